/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the control groups that a VM's threads are put into. */
#ifndef NV_VM_CGROUPS_H
#define NV_VM_CGROUPS_H

#include <stdint.h>

#include <nestvirt/cgroup.h>

#include "host/cgroup.h"

/* A group, and for which threads: NESTVIRT_CGROUP_VCPU to _SHARED_LOOP. */
struct nv_kept_cgroup {
    struct nv_cgroup group;
    uint32_t kinds;
};

/* Zero-initialised: nothing is kept, and nothing is done. */
struct nv_kept_cgroups {
    struct nv_kept_cgroup *rows;
    uint32_t count;
    const char *root; /* of paths and /proc, NULL: "/"; tests put it elsewhere */
};

/*
 * Keeps a group for threads of these kinds and moves those there are: their number. The api_lock is
 * held, as for all below.
 */
int nv_vm_set_cgroup(struct nestvirt_vm *vm, const char *path, uint32_t flags,
                     struct nestvirt_error **ret_error);

/* The last step of a build: threads join the groups that are kept, then take their places. */
int nv_vm_settle_threads(struct nestvirt_vm *vm, struct nestvirt_error **ret_error);

int nv_vm_get_cgroup_usage(const struct nestvirt_vm *vm, struct nestvirt_cgroup_usage *ret_usage,
                           struct nestvirt_error **ret_error);

void nv_vm_free_cgroups(struct nestvirt_vm *vm);

#endif
