/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the door of numa.h: the host's nodes, and the guest's. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/api.h"
#include "core/tags.h"
#include "core/util.h"
#include "host/topology.h"
#include "vm/numa.h"

struct nestvirt_numa {
    uint32_t tag;
    struct nv_topology topology;
};

enum {
    NUMA_CONFIG_FIRST = sizeof(struct nestvirt_numa_config),
    NODE_FIRST = sizeof(struct nestvirt_numa_node),
    POOL_FIRST = sizeof(struct nestvirt_numa_pool),
    NEED_FIRST = sizeof(struct nestvirt_numa_need)
};

static int check_numa(const struct nestvirt_numa *numa, struct nestvirt_error **ret_error)
{
    nv_ok(ret_error);
    return nv_api_handle(numa ? &numa->tag : NULL, NV_TAG_NUMA, "numa", ret_error);
}

NV_EXPORT void nestvirt_numa_config_init(struct nestvirt_numa_config *config, size_t caller_size)
{
    nv_struct_init(config, caller_size);
}

NV_EXPORT void nestvirt_numa_node_init(struct nestvirt_numa_node *node, size_t caller_size)
{
    nv_struct_init(node, caller_size);
}

NV_EXPORT void nestvirt_numa_pool_init(struct nestvirt_numa_pool *pool, size_t caller_size)
{
    nv_struct_init(pool, caller_size);
}

NV_EXPORT void nestvirt_numa_need_init(struct nestvirt_numa_need *need, size_t caller_size)
{
    nv_struct_init(need, caller_size);
}

NV_EXPORT int nestvirt_numa_new(const struct nestvirt_numa_config *config,
                                struct nestvirt_numa **ret_numa, struct nestvirt_error **ret_error)
{
    struct nestvirt_numa_config ours = { .size = sizeof(ours) };
    struct nestvirt_numa *numa;
    int r;

    nv_ok(ret_error);
    r = nv_api_pointer(ret_numa, "ret_numa", ret_error);
    if (r < 0)
        return r;
    *ret_numa = NULL;
    if (config)
        r = nv_struct_in(&ours, sizeof(ours), NUMA_CONFIG_FIRST, config, "numa config", ret_error);
    if (r < 0)
        return r;
    if (ours.flags)
        return nv_fail(ret_error, -EINVAL, "numa config", "clear them", "unknown flags 0x%x",
                       ours.flags);
    numa = calloc(1, sizeof(*numa));
    if (!numa)
        return nv_fail(ret_error, -ENOMEM, "numa", "free memory in this process", "out of memory");
    r = nv_topology_read(ours.root, &numa->topology, ret_error);
    if (r < 0) {
        free(numa);
        return r;
    }
    numa->tag = NV_TAG_NUMA;
    *ret_numa = numa;
    return 0;
}

NV_EXPORT int nestvirt_numa_free(struct nestvirt_numa *numa)
{
    if (!numa)
        return 0;
    if (numa->tag != NV_TAG_NUMA)
        return -EBADF;
    nv_topology_free(&numa->topology);
    numa->tag = NV_TAG_FREED;
    free(numa);
    return 0;
}

/* The position of a node, or -ENOENT with what there is. */
static int find_node(const struct nestvirt_numa *numa, uint32_t node,
                     struct nestvirt_error **ret_error)
{
    char list[64];
    int position = nv_topology_find(&numa->topology, node);

    if (position >= 0)
        return position;
    if (nv_list_format(&numa->topology.online, list, sizeof(list)) >= sizeof(list))
        snprintf(list, sizeof(list), "%u", numa->topology.count);
    return nv_fail(ret_error, -ENOENT, nv_text("node %u", node).s,
                   nv_text("this host has %s", list).s, "is not online");
}

static int fail_position(const char *what, uint32_t position, struct nestvirt_error **ret_error)
{
    return nv_fail(ret_error, -ENOENT, nv_text("%s %u", what, position).s,
                   "stop at the first -ENOENT", "is behind the last one");
}

NV_EXPORT int nestvirt_numa_get_node(const struct nestvirt_numa *numa, uint32_t position,
                                     struct nestvirt_numa_node *node,
                                     struct nestvirt_error **ret_error)
{
    struct nestvirt_numa_node ours = { .size = sizeof(ours) };
    const struct nv_node *found;
    int r = check_numa(numa, ret_error);

    if (r == 0)
        r = nv_struct_check(node, NODE_FIRST, "numa node", ret_error);
    if (r < 0)
        return r;
    if (position >= numa->topology.count)
        return fail_position("node at position", position, ret_error);
    found = &numa->topology.nodes[position];
    if (nv_set_has(&numa->topology.allowed, found->number))
        ours.flags |= NESTVIRT_NUMA_NODE_ALLOWED;
    ours.node = found->number;
    ours.cpus = nv_set_count(&found->cpus);
    ours.cpus_allowed = nv_topology_cpus(&numa->topology, found);
    ours.pools = found->pool_count;
    ours.memory_total = found->memory_total;
    ours.memory_free = found->memory_free;
    ours.memory_available = found->memory_available;
    return nv_struct_out(node, &ours, sizeof(ours), NODE_FIRST, "numa node", ret_error);
}

NV_EXPORT int nestvirt_numa_get_cpus(const struct nestvirt_numa *numa, uint32_t node,
                                     uint32_t allowed, char *buffer, size_t size,
                                     struct nestvirt_error **ret_error)
{
    struct nv_set cpus;
    int r = check_numa(numa, ret_error);

    if (buffer && size > 0)
        buffer[0] = '\0';
    if (r == 0)
        r = nv_api_pointer(buffer, "buffer", ret_error);
    if (r == 0)
        r = find_node(numa, node, ret_error);
    if (r < 0)
        return r;
    cpus = numa->topology.nodes[r].cpus;
    if (allowed)
        cpus = nv_set_and(&cpus, &numa->topology.cpus_allowed);
    return nv_api_give_set(&cpus, nv_text("node %u: list of CPUs", node).s, buffer, size,
                           ret_error);
}

NV_EXPORT int nestvirt_numa_get_distance(const struct nestvirt_numa *numa, uint32_t from,
                                         uint32_t to, struct nestvirt_error **ret_error)
{
    int r = check_numa(numa, ret_error);
    int row;
    int column;

    if (r < 0)
        return r;
    row = find_node(numa, from, ret_error);
    if (row < 0)
        return row;
    column = find_node(numa, to, ret_error);
    if (column < 0)
        return column;
    return numa->topology.distances[(size_t)row * numa->topology.count + (size_t)column];
}

NV_EXPORT int nestvirt_numa_get_pool(const struct nestvirt_numa *numa, uint32_t node,
                                     uint32_t position, struct nestvirt_numa_pool *pool,
                                     struct nestvirt_error **ret_error)
{
    struct nestvirt_numa_pool ours = { .size = sizeof(ours) };
    const struct nv_node *found;
    int r = check_numa(numa, ret_error);

    if (r == 0)
        r = nv_struct_check(pool, POOL_FIRST, "numa pool", ret_error);
    if (r == 0)
        r = find_node(numa, node, ret_error);
    if (r < 0)
        return r;
    found = &numa->topology.nodes[r];
    if (position >= found->pool_count)
        return fail_position("huge page pool", position, ret_error);
    ours.page_size = found->pools[position].page_size;
    ours.total = found->pools[position].total;
    ours.free = found->pools[position].free;
    return nv_struct_out(pool, &ours, sizeof(ours), POOL_FIRST, "numa pool", ret_error);
}

static int check_need(const struct nestvirt_numa_need *need, struct nestvirt_error **ret_error)
{
    if (need->flags || need->reserved)
        return nv_fail(ret_error, -EINVAL, "numa need", "clear them",
                       "unknown flags 0x%x, reserved field 0x%x", need->flags, need->reserved);
    if (need->memory == 0 && need->vcpus == 0)
        return nv_fail(ret_error, -EINVAL, "numa need", "set memory, vcpus, or both",
                       "wants nothing");
    if (need->page_size & (need->page_size - 1))
        return nv_fail(ret_error, -EINVAL, "numa need", "use 2 MiB, 1 GiB, or 0",
                       "page size 0x%llx is not a power of two",
                       (unsigned long long)need->page_size);
    return 0;
}

NV_EXPORT int nestvirt_numa_get_place(const struct nestvirt_numa *numa,
                                      const struct nestvirt_numa_need *need,
                                      struct nestvirt_error **ret_error)
{
    struct nestvirt_numa_need ours;
    int r = check_numa(numa, ret_error);

    if (r == 0)
        r = nv_struct_in(&ours, sizeof(ours), NEED_FIRST, need, "numa need", ret_error);
    if (r == 0)
        r = check_need(&ours, ret_error);
    if (r < 0)
        return r;
    r = nv_topology_place(&numa->topology,
                          &(const struct nv_need){
                              .memory = ours.memory,
                              .page_size = ours.page_size,
                              .cpus = ours.vcpus,
                          },
                          ret_error);
    return r < 0 ? r : (int)numa->topology.nodes[r].number;
}

NV_EXPORT int nestvirt_numa_add_guest_node(struct nestvirt_vm *vm, const char *vcpus,
                                           struct nestvirt_error **ret_error)
{
    int r = nv_api_enter_plain(vm, "add a guest node", ret_error);

    if (r < 0)
        return r;
    r = nv_vm_add_guest_node(vm, vcpus, ret_error);
    nv_api_leave(vm);
    return r;
}

NV_EXPORT int nestvirt_numa_set_guest_distance(struct nestvirt_vm *vm, uint32_t from, uint32_t to,
                                               uint32_t distance, struct nestvirt_error **ret_error)
{
    int r = nv_api_enter_plain(vm, "set a guest distance", ret_error);

    if (r < 0)
        return r;
    r = nv_vm_set_guest_distance(vm, from, to, distance, ret_error);
    nv_api_leave(vm);
    return r;
}
