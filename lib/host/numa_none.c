/* SPDX-License-Identifier: Apache-2.0 */
/* Owns what stands for the policies of NUMA in builds without libnuma's header. */
#include <errno.h>

#include "core/error.h"
#include "host/numa.h"

int nv_numa_open(struct nv_numa_ops *ret_ops, struct nestvirt_error **ret_error)
{
    return nv_fail(ret_error, -ENOTSUP, "libnuma", "leave the policy for nodes out",
                   "this build of the library is without it");
}

int nv_numa_bind(const struct nv_numa_ops *ops, void *start, uint64_t length, uint32_t policy,
                 const struct nv_set *nodes, uint32_t flags)
{
    return -ENOTSUP;
}

int nv_numa_get(const struct nv_numa_ops *ops, void *address, uint32_t *ret_policy,
                struct nv_set *ret_nodes)
{
    return -ENOTSUP;
}

int nv_numa_locate(const struct nv_numa_ops *ops, uint32_t count, void **pages, int *ret_nodes)
{
    return -ENOTSUP;
}
