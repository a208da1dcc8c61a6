/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the process's user, groups and capabilities, and what its threads have kept of them. */
#ifndef NV_HOST_PROCESS_H
#define NV_HOST_PROCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include <nestvirt/error.h>

#include "host/tree.h"

/* Who to become. */
struct nv_identity {
    bool has_uid;
    bool has_gid;
    bool has_groups;
    uid_t uid;
    gid_t gid;
    const gid_t *groups; /* supplementary; what is set replaces all */
    size_t group_count;
};

/*
 * Becomes that in all threads, takes the caller's capabilities, sets its no_new_privs, then looks
 * at all threads. -EPERM: not permitted (nothing has changed), or a thread has kept capabilities
 * (all else is done); -ENOTSUP; what the kernel answers. What has no effect is not done.
 */
int nv_process_drop(const struct nv_identity *identity, struct nestvirt_error **ret_error);

/* -EPERM, naming it, if a thread in proc/self/task of the tree has capabilities. */
int nv_process_check_threads(const struct nv_tree *tree, struct nestvirt_error **ret_error);

#endif
