/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the reading of the limits that cgroups put on this process. */
#ifndef NV_HOST_CGROUP_LIMIT_H
#define NV_HOST_CGROUP_LIMIT_H

#include <stdint.h>

#include "host/tree.h"

enum nv_limited { NV_LIMITED_PIDS, NV_LIMITED_MEMORY };

struct nv_cgroup_limit {
    uint64_t limit; /* UINT64_MAX: none */
    uint64_t used;  /* of it; memory without caches that can be dropped */
};

/*
 * The limit that leaves the least, of the process's own cgroup and those above it, version 1 and 2,
 * where they are usually mounted. -errno if it cannot be found out which cgroup that is.
 */
int nv_cgroup_find_limit(const struct nv_tree *tree, enum nv_limited what,
                         struct nv_cgroup_limit *ret_limit);

#endif
