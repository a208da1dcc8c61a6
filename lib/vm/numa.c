/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the guest's NUMA nodes: adding them, and checking what belongs to them. */
#include "vm/numa.h"

#include <errno.h>
#include <stdlib.h>

#include "core/util.h"

int nv_vm_add_guest_node(struct nestvirt_vm *vm, const char *vcpus,
                         struct nestvirt_error **ret_error)
{
    uint32_t number = vm->nodes ? vm->nodes->count : 0;
    struct nv_text name = nv_text("guest node %u", number);
    struct nv_set set = { { 0 } };
    int r = vcpus ? nv_list_parse(vcpus, "vCPU", &set, ret_error) : 0;

    if (r < 0)
        return r;
    if (number == NESTVIRT_GUEST_NODES_MAX)
        return nv_fail(ret_error, -ENOSPC, name.s, "use fewer", "a guest has at most %d nodes",
                       NESTVIRT_GUEST_NODES_MAX);
    if (nv_set_next(&set, vm->group.count) != NV_SET_MAX)
        return nv_fail(ret_error, -EINVAL, name.s, "name those it has, or give it more",
                       "vCPU %u does not exist: the VM has %u", nv_set_next(&set, vm->group.count),
                       vm->group.count);
    if (!vm->nodes)
        vm->nodes = calloc(1, sizeof(*vm->nodes));
    if (!vm->nodes)
        return nv_fail(ret_error, -ENOMEM, name.s, "free memory in this process", "out of memory");
    vm->nodes->vcpus[number] = set;
    vm->nodes->count++;
    return (int)number;
}

int nv_vm_set_guest_distance(struct nestvirt_vm *vm, uint32_t from, uint32_t to, uint32_t distance,
                             struct nestvirt_error **ret_error)
{
    uint32_t count = vm->nodes ? vm->nodes->count : 0;
    struct nv_text name = nv_text("guest node %u", from >= count ? from : to);

    if (from >= count || to >= count)
        return nv_fail(ret_error, -ENOENT, name.s, "add it first", "does not exist: there are %u",
                       count);
    if (from == to && distance != NESTVIRT_DISTANCE_LOCAL)
        return nv_fail(ret_error, -EINVAL, name.s, "leave it out", "is at distance %d of itself",
                       NESTVIRT_DISTANCE_LOCAL);
    if (from == to)
        return 0;
    if (distance <= NESTVIRT_DISTANCE_LOCAL || distance > NESTVIRT_DISTANCE_MAX)
        return nv_fail(ret_error, -EINVAL, name.s, "use 11 to 254",
                       "cannot be at distance %u of node %u", distance, from);
    vm->nodes->distance[from][to] = (uint8_t)distance;
    return 0;
}

static void check_vcpus(const struct nestvirt_vm *vm, struct nestvirt_error **list)
{
    for (uint32_t i = 0; i < vm->group.count; i++) {
        struct nestvirt_error *error = NULL;
        uint32_t found[2] = { 0 };
        uint32_t times = 0;

        for (uint32_t node = 0; node < vm->nodes->count; node++)
            if (nv_set_has(&vm->nodes->vcpus[node], i) && times < 2)
                found[times++] = node;
        if (times == 0)
            nv_fail(&error, -EINVAL, nv_text("vcpu %u", i).s, "name it in one node",
                    "is in none of the guest's %u nodes", vm->nodes->count);
        else if (times == 2)
            nv_fail(&error, -EINVAL, nv_text("vcpu %u", i).s, "name it in one node",
                    "is in guest nodes %u and %u", found[0], found[1]);
        nv_error_append(list, error);
    }
}

static void check_regions(const struct nestvirt_vm *vm, struct nv_set *used,
                          struct nestvirt_error **list)
{
    uint32_t count = vm->nodes ? vm->nodes->count : 0;

    for (uint32_t i = 0; i < NV_MEMORY_REGIONS_MAX; i++) {
        const struct nv_memory_region *region = &vm->memory.regions[i];
        struct nestvirt_error *error = NULL;

        if (!region->used)
            continue;
        if (region->config.guest_node >= NV_MAX(count, 1u))
            nv_fail(&error, -EINVAL, nv_region_name(i).s, "call nestvirt_numa_add_guest_node first",
                    "is in guest node %u, and there are %u", region->config.guest_node, count);
        nv_error_append(list, error);
        nv_set_add(used, region->config.guest_node);
    }
}

void nv_vm_check_guest_nodes(const struct nestvirt_vm *vm, struct nestvirt_error **list)
{
    struct nestvirt_error *error = NULL;
    struct nv_set used = { { 0 } };

    check_regions(vm, &used, list);
    if (!vm->nodes)
        return;
    check_vcpus(vm, list);
    for (uint32_t i = 0; i < vm->nodes->count; i++) {
        if (nv_set_has(&used, i) || !nv_set_is_empty(&vm->nodes->vcpus[i]))
            continue;
        nv_fail(&error, -EINVAL, nv_text("guest node %u", i).s, "give it some, or leave it out",
                "has neither vCPUs nor memory");
        nv_error_append(list, error);
        error = NULL;
    }
    if (vm->boot.discovery & NESTVIRT_DISCOVERY_ACPI && vm->boot.kernel_fd >= 0 &&
        !vm->boot.is_flat && vm->chip != NESTVIRT_CHIP_NONE)
        return;
    nv_fail(&error, -EINVAL, nv_vm_name(vm).s,
            "boot a kernel with NESTVIRT_DISCOVERY_ACPI and an interrupt chip, or leave them out",
            "has guest nodes, and no ACPI tables to tell of them");
    nv_error_append(list, error);
}
