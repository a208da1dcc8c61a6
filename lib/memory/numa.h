/* SPDX-License-Identifier: Apache-2.0 */
/* Owns on which nodes of the host a region's pages are: policies, and where the pages went. */
#ifndef NV_MEMORY_NUMA_H
#define NV_MEMORY_NUMA_H

#include <stdint.h>

#include "host/list.h"
#include "memory/memory.h"

/* Of a region that has, or had, a policy of its own. */
struct nv_memory_policy {
    uint32_t policy; /* NESTVIRT_NUMA_* */
    bool is_strict;
    int refused; /* the errno with which the host refused it; it was not strict */
    struct nv_set nodes;
    char text[]; /* nodes as the configuration names them */
};

/*
 * Gives a region that was just mapped, and not touched, the policy of its configuration. Errors:
 * memory.h (public); the caller unmaps the region then.
 */
int nv_memory_place(struct nv_memory *memory, uint32_t region, struct nestvirt_error **ret_error);

/* The errno with which the host refused the policy of a region that does not insist, or 0. */
int nv_memory_refused(const struct nv_memory *memory, uint32_t region);

/* Checks regions that insist and were touched in build. -EIO: how many pages are elsewhere. */
int nv_memory_check_placed(const struct nv_memory *memory, struct nestvirt_error **ret_error);

/* The kernel's policies, as tests or libnuma have them. */
int nv_memory_open_numa(const struct nv_memory *memory, struct nv_numa_ops *ret_ops,
                        struct nestvirt_error **ret_error);

/* -ENOENT for an unknown region. */
int nv_memory_find_region(const struct nv_memory *memory, uint32_t region,
                          struct nestvirt_error **ret_error);

/*
 * Looks where every page is, a bounded number at a time, and counts up: counts has room for count
 * nodes. 0 or -errno.
 */
int nv_memory_count_pages(const struct nv_numa_ops *ops, const struct nv_memory_region *region,
                          struct nestvirt_memory_placement *placement, uint64_t *counts,
                          uint32_t count);

/* Doors: see memory.h (public). */
int nv_memory_set_numa(struct nv_memory *memory, uint32_t region, uint32_t policy,
                       const char *nodes, uint32_t flags, struct nestvirt_error **ret_error);
int nv_memory_get_placement(const struct nv_memory *memory, uint32_t region,
                            struct nestvirt_memory_placement *ret_placement, uint64_t *pages,
                            uint32_t count, struct nestvirt_error **ret_error);

#endif
