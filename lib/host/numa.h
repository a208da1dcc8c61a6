/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the memory policies of NUMA, by those functions of libnuma that neither print nor exit. */
#ifndef NV_HOST_NUMA_H
#define NV_HOST_NUMA_H

#include <stdint.h>

#include <nestvirt/error.h>

#include "host/list.h"

/*
 * How the library reaches the kernel's policies; tests put others in its place. The functions are
 * as numaif.h has them: -1 and errno on failure.
 */
struct nv_numa_ops {
    const char *root; /* where the nodes are read from (topology.h); NULL: "/" */
    long (*mbind)(void *start, unsigned long length, int mode, const unsigned long *nodes,
                  unsigned long max_node, unsigned flags);
    long (*get_mempolicy)(int *mode, unsigned long *nodes, unsigned long max_node, void *address,
                          unsigned flags);
    long (*move_pages)(int pid, unsigned long count, void **pages, const int *nodes, int *status,
                       int flags);
};

enum { NV_NUMA_STRICT = 1 << 0, NV_NUMA_MOVE = 1 << 1 };

/*
 * Loads libnuma, for good, and finds its functions. -ENOTSUP with a remedy where it is missing,
 * -ENOMEM where loading it could end the process.
 */
int nv_numa_open(struct nv_numa_ops *ret_ops, struct nestvirt_error **ret_error);

/*
 * Sets the policy, NESTVIRT_NUMA_*, of whole pages. NV_NUMA_MOVE moves those that are elsewhere.
 * -EIO with NV_NUMA_STRICT if one is elsewhere (and stays there); else -errno.
 */
int nv_numa_bind(const struct nv_numa_ops *ops, void *start, uint64_t length, uint32_t policy,
                 const struct nv_set *nodes, uint32_t flags);

/* The policy of the page at an address, as the kernel has it. Touches nothing. 0 or -errno. */
int nv_numa_get(const struct nv_numa_ops *ops, void *address, uint32_t *ret_policy,
                struct nv_set *ret_nodes);

/* The node of each page, negative where none is resident. Touches nothing. 0 or -errno. */
int nv_numa_locate(const struct nv_numa_ops *ops, uint32_t count, void **pages, int *ret_nodes);

#endif
