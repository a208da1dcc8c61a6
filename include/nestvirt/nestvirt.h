/* SPDX-License-Identifier: Apache-2.0 */
/* libnestvirt: Linux KVM virtual machines inside your own program. Includes every header. */
#ifndef NESTVIRT_NESTVIRT_H
#define NESTVIRT_NESTVIRT_H

#include <nestvirt/boot.h>
#include <nestvirt/cgroup.h>
#include <nestvirt/common.h>
#include <nestvirt/device.h>
#include <nestvirt/error.h>
#include <nestvirt/host.h>
#include <nestvirt/ksm.h>
#include <nestvirt/memory.h>
#include <nestvirt/numa.h>
#include <nestvirt/observe.h>
#include <nestvirt/privilege.h>
#include <nestvirt/report.h>
#include <nestvirt/template.h>
#include <nestvirt/thread.h>
#include <nestvirt/vcpu.h>
#include <nestvirt/virtio.h>
#include <nestvirt/vm.h>

#endif
