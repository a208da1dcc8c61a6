/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the memory policies of NUMA, by those functions of libnuma that neither print nor exit. */
#include "host/numa.h"

#include <dlfcn.h>
#include <errno.h>
#include <numaif.h>
#include <stdbool.h>
#include <sys/mman.h>

#include <nestvirt/memory.h>

#include "core/error.h"
#include "core/util.h"

#ifndef MPOL_PREFERRED_MANY /* headers before Linux 5.15 */
#define MPOL_PREFERRED_MANY 5
#endif

enum {
    NODES_MAX = NV_SET_MAX + 1, /* the kernel counts one less than it is told */
    MODE_MASK = 0xff,           /* of a policy; above it are flags */
    ROOM = 8 << 20 /* bytes; libnuma itself and what its constructor takes are a tenth of it */
};

static const int modes[] = {
    [NESTVIRT_NUMA_DEFAULT] = MPOL_DEFAULT,
    [NESTVIRT_NUMA_LOCAL] = MPOL_LOCAL,
    [NESTVIRT_NUMA_BIND] = MPOL_BIND,
    [NESTVIRT_NUMA_PREFERRED] = MPOL_PREFERRED,
    [NESTVIRT_NUMA_PREFERRED_MANY] = MPOL_PREFERRED_MANY,
    [NESTVIRT_NUMA_INTERLEAVE] = MPOL_INTERLEAVE,
};

/*
 * libnuma's constructor ends the process when it gets no memory, so there must be some: malloc may
 * take a megabyte or two to give a byte. Loaded for good, libnuma needs that once only.
 */
static bool has_room(void)
{
    void *room = mmap(NULL, ROOM, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (room == MAP_FAILED)
        return false;
    munmap(room, ROOM);
    return true;
}

int nv_numa_open(struct nv_numa_ops *ret_ops, struct nestvirt_error **ret_error)
{
    static const char hint[] = "install libnuma1, or leave the policy for nodes out";
    static const char name[] = "libnuma.so.1";
    struct nv_numa_ops ops = { 0 };
    const int flags = RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE;
    void *library = dlopen(name, flags | RTLD_NOLOAD);

    if (!library && !has_room())
        return nv_fail(ret_error, -ENOMEM, "libnuma", "free memory in this process",
                       "no memory to load it");
    if (!library)
        library = dlopen(name, flags);
    if (!library)
        return nv_fail(ret_error, -ENOTSUP, "libnuma", hint, "%s cannot be loaded", name);
    ops.mbind = (__typeof__(&mbind))dlsym(library, "mbind");
    ops.get_mempolicy = (__typeof__(&get_mempolicy))dlsym(library, "get_mempolicy");
    ops.move_pages = (__typeof__(&move_pages))dlsym(library, "move_pages");
    dlclose(library);
    if (!ops.mbind || !ops.get_mempolicy || !ops.move_pages)
        return nv_fail(ret_error, -ENOTSUP, "libnuma", hint,
                       "%s lacks mbind, get_mempolicy or move_pages", name);
    *ret_ops = ops;
    return 0;
}

int nv_numa_bind(const struct nv_numa_ops *ops, void *start, uint64_t length, uint32_t policy,
                 const struct nv_set *nodes, uint32_t flags)
{
    bool has_nodes = !nv_set_is_empty(nodes);
    unsigned how =
        (flags & NV_NUMA_STRICT ? MPOL_MF_STRICT : 0) | (flags & NV_NUMA_MOVE ? MPOL_MF_MOVE : 0);

    if (policy >= NV_ARRAY_SIZE(modes))
        return -EINVAL;
    if (ops->mbind(start, length, modes[policy],
                   has_nodes ? (const unsigned long *)nodes->words : NULL,
                   has_nodes ? NODES_MAX : 0, how) < 0)
        return -errno;
    return 0;
}

int nv_numa_get(const struct nv_numa_ops *ops, void *address, uint32_t *ret_policy,
                struct nv_set *ret_nodes)
{
    struct nv_set nodes = { { 0 } };
    int mode = 0;

    if (ops->get_mempolicy(&mode, (unsigned long *)nodes.words, NODES_MAX, address, MPOL_F_ADDR) <
        0)
        return -errno;
    mode &= MODE_MASK;
    if (mode == MPOL_PREFERRED && nv_set_is_empty(&nodes)) /* how Linux before 5.14 has it */
        mode = MPOL_LOCAL;
    for (uint32_t i = 0; i < NV_ARRAY_SIZE(modes); i++) {
        if (modes[i] != mode)
            continue;
        *ret_policy = i;
        *ret_nodes = nodes;
        return 0;
    }
    return -ENOTSUP; /* set by somebody else */
}

int nv_numa_locate(const struct nv_numa_ops *ops, uint32_t count, void **pages, int *ret_nodes)
{
    return ops->move_pages(0, count, pages, NULL, ret_nodes, 0) < 0 ? -errno : 0;
}
