/* SPDX-License-Identifier: Apache-2.0 */
/* Owns what the kernel itself sums up of a thread's waits, for hosts without the BPF program. */
#ifndef NV_OBSERVE_SCHEDSTAT_H
#define NV_OBSERVE_SCHEDSTAT_H

#include <stdint.h>
#include <sys/types.h>

#include "host/tree.h"

struct nv_run_delay {
    uint64_t time_ns; /* ready to run and without a CPU */
    uint64_t count;   /* times that it got one */
};

/* Of a thread of this process. -ENOENT: it has ended; -ENOTSUP: not a kernel that has this. */
int nv_run_delay_read(const struct nv_tree *tree, pid_t tid, struct nv_run_delay *ret_delay);

/* -ENOTSUP with the reason if this kernel does not sum it up. */
int nv_run_delay_check(const struct nv_tree *tree, struct nestvirt_error **ret_error);

#endif
