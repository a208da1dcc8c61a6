/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the kernel command line as the guest gets it: devices of the library, then the caller's
 * words. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "boot/bootdata.h"
#include "core/error.h"
#include "memory/layout.h"

int nv_cmdline_make(const struct nv_boot_source *source, const struct nv_boot_machine *machine,
                    struct nv_cmdline *ret_cmdline, struct nestvirt_error **ret_error)
{
    uint32_t count = source->discovery & NESTVIRT_DISCOVERY_CMDLINE ? machine->virtio_count : 0;
    size_t used = 0;

    /* In front: what stands behind "--" is not for the kernel. */
    for (uint32_t i = 0; i < count && used < sizeof(ret_cmdline->text); i++)
        used +=
            (size_t)snprintf(ret_cmdline->text + used, sizeof(ret_cmdline->text) - used,
                             "virtio_mmio.device=%d@0x%llx:%u ", NV_LAYOUT_VIRTIO_SIZE,
                             (unsigned long long)machine->virtio[i].window, machine->virtio[i].pin);
    if (used + strlen(source->cmdline) > NESTVIRT_CMDLINE_MAX)
        return nv_fail(ret_error, -E2BIG, "kernel command line",
                       "shorten it, use fewer devices, or let the kernel find them through ACPI "
                       "(nestvirt_boot_set_discovery)",
                       "has no room for the %u virtio devices: %zu bytes of at most %d", count,
                       used + strlen(source->cmdline), NESTVIRT_CMDLINE_MAX);
    strcpy(ret_cmdline->text + used, source->cmdline);
    return 0;
}
