/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the door of memory.h. */
#include <stddef.h>

#include "api/api.h"
#include "memory/ksm.h"
#include "memory/numa.h"

enum {
    MEMORY_CONFIG_FIRST = offsetof(struct nestvirt_memory_config, offset),
    MEMORY_KSM_FIRST = sizeof(struct nestvirt_memory_ksm),
    PLACEMENT_FIRST = sizeof(struct nestvirt_memory_placement)
};

NV_EXPORT void nestvirt_memory_config_init(struct nestvirt_memory_config *config,
                                           size_t caller_size)
{
    nv_struct_init(config, caller_size);
    if (config && caller_size >= offsetof(struct nestvirt_memory_config, huge_pages))
        config->fd = -1;
}

NV_EXPORT int nestvirt_memory_add(struct nestvirt_vm *vm,
                                  const struct nestvirt_memory_config *config,
                                  struct nestvirt_error **ret_error)
{
    struct nestvirt_memory_config ours;
    struct nv_log log;
    int refused = 0;
    int r = nv_api_vm(vm, ret_error);

    if (r == 0)
        r = nv_struct_in(&ours, sizeof(ours), MEMORY_CONFIG_FIRST, config, "memory config",
                         ret_error);
    if (r == 0)
        r = nv_api_enter_plain(vm, "add memory", ret_error);
    if (r < 0)
        return r;
    ours.size = sizeof(ours);
    r = nv_memory_add(&vm->memory, &ours, ret_error);
    if (r >= 0)
        refused = nv_memory_refused(&vm->memory, (uint32_t)r);
    log = vm->log;
    nv_api_leave(vm);
    if (refused) /* no callback runs with a lock held */
        nv_log(&log, NESTVIRT_LOG_WARNING,
               "vm %s: memory region %d: the host refuses its policy for nodes (mbind: %s)",
               vm->name, r, nv_error_code_name(-refused));
    return r;
}

NV_EXPORT int nestvirt_memory_remove(struct nestvirt_vm *vm, uint32_t region,
                                     struct nestvirt_error **ret_error)
{
    int r = nv_api_enter_plain(vm, "remove memory", ret_error);

    if (r < 0)
        return r;
    r = nv_memory_remove(&vm->memory, region, ret_error);
    nv_api_leave(vm);
    return r;
}

/*
 * For looking at the map: it only changes in state new, under the api_lock, which must not be
 * waited for in other states.
 */
static pthread_mutex_t *enter_map(struct nestvirt_vm *vm)
{
    if (vm->state != NESTVIRT_STATE_NEW)
        return NULL;
    pthread_mutex_lock(&vm->api_lock);
    return &vm->api_lock;
}

#define MAP_GUARD(vm) \
    __attribute__((cleanup(nv_cleanup_unlock), unused)) pthread_mutex_t *map_guard = enter_map(vm)

NV_EXPORT int nestvirt_memory_get(struct nestvirt_vm *vm, uint32_t region,
                                  struct nestvirt_memory_config *config,
                                  struct nestvirt_error **ret_error)
{
    struct nestvirt_memory_config ours;
    int r = nv_api_vm(vm, ret_error);

    if (r < 0)
        return r;
    MAP_GUARD(vm);
    r = nv_memory_get_config(&vm->memory, region, &ours, ret_error);
    return r < 0 ? r
                 : nv_struct_out(config, &ours, sizeof(ours), MEMORY_CONFIG_FIRST, "memory config",
                                 ret_error);
}

NV_EXPORT int nestvirt_memory_set_mergeable(struct nestvirt_vm *vm, uint32_t region, uint32_t on,
                                            struct nestvirt_error **ret_error)
{
    int r = nv_api_enter(vm, "change merging", ret_error);

    if (r < 0)
        return r;
    if (on > 1)
        r = nv_fail(ret_error, -EINVAL, nv_region_name(region).s, "use 0 or 1",
                    "merging cannot be set to %u", on);
    else
        r = nv_memory_set_mergeable(&vm->memory, region, on, ret_error);
    nv_api_leave(vm);
    return r;
}

NV_EXPORT void nestvirt_memory_ksm_init(struct nestvirt_memory_ksm *ksm, size_t caller_size)
{
    nv_struct_init(ksm, caller_size);
}

NV_EXPORT int nestvirt_memory_get_ksm(struct nestvirt_vm *vm, uint32_t region,
                                      struct nestvirt_memory_ksm *ksm,
                                      struct nestvirt_error **ret_error)
{
    struct nestvirt_memory_ksm ours = { .size = sizeof(ours) };
    int r = nv_api_vm(vm, ret_error);

    if (r == 0)
        r = nv_struct_check(ksm, MEMORY_KSM_FIRST, "memory ksm", ret_error);
    if (r < 0)
        return r;
    MAP_GUARD(vm);
    r = nv_memory_get_ksm(&vm->memory, NULL, region, &ours, ret_error);
    return r < 0
               ? r
               : nv_struct_out(ksm, &ours, sizeof(ours), MEMORY_KSM_FIRST, "memory ksm", ret_error);
}

static int outside(struct nestvirt_vm *vm, uint64_t address, size_t length,
                   struct nestvirt_error **ret_error)
{
    return nv_fail(ret_error, -EFAULT, nv_vm_name(vm).s, "see nestvirt_memory_get for the regions",
                   "0x%llx + 0x%zx is not all guest memory", (unsigned long long)address, length);
}

NV_EXPORT int nestvirt_memory_read(struct nestvirt_vm *vm, uint64_t address, void *buffer,
                                   size_t length, struct nestvirt_error **ret_error)
{
    int r = nv_api_vm(vm, ret_error);

    if (r == 0)
        r = nv_api_pointer(buffer, "buffer", ret_error);
    if (r < 0)
        return r;
    MAP_GUARD(vm);
    if (nv_memory_read(&vm->memory, nv_gpa_at(address), buffer, length) < 0)
        return outside(vm, address, length, ret_error);
    return 0;
}

NV_EXPORT int nestvirt_memory_write(struct nestvirt_vm *vm, uint64_t address, const void *buffer,
                                    size_t length, struct nestvirt_error **ret_error)
{
    int r = nv_api_vm(vm, ret_error);

    if (r == 0)
        r = nv_api_pointer(buffer, "buffer", ret_error);
    if (r < 0)
        return r;
    MAP_GUARD(vm);
    if (nv_memory_write(&vm->memory, nv_gpa_at(address), buffer, length) < 0)
        return outside(vm, address, length, ret_error);
    return 0;
}

NV_EXPORT int nestvirt_memory_get_pointer(struct nestvirt_vm *vm, uint64_t address, size_t length,
                                          void **ret_pointer, struct nestvirt_error **ret_error)
{
    int r;

    if (ret_pointer)
        *ret_pointer = NULL;
    r = nv_api_vm(vm, ret_error);
    if (r == 0)
        r = nv_api_pointer(ret_pointer, "ret_pointer", ret_error);
    if (r < 0)
        return r;
    MAP_GUARD(vm);
    *ret_pointer = nv_memory_at(&vm->memory, nv_gpa_at(address), length);
    return *ret_pointer ? 0 : outside(vm, address, length, ret_error);
}

NV_EXPORT int nestvirt_memory_set_numa(struct nestvirt_vm *vm, uint32_t region, uint32_t policy,
                                       const char *nodes, uint32_t flags,
                                       struct nestvirt_error **ret_error)
{
    int r = nv_api_enter(vm, "set the policy for nodes", ret_error);

    if (r < 0)
        return r;
    r = nv_memory_set_numa(&vm->memory, region, policy, nodes, flags, ret_error);
    nv_api_leave(vm);
    return r;
}

NV_EXPORT void nestvirt_memory_placement_init(struct nestvirt_memory_placement *placement,
                                              size_t caller_size)
{
    nv_struct_init(placement, caller_size);
}

NV_EXPORT int nestvirt_memory_get_placement(struct nestvirt_vm *vm, uint32_t region,
                                            struct nestvirt_memory_placement *placement,
                                            uint64_t *pages, uint32_t count,
                                            struct nestvirt_error **ret_error)
{
    struct nestvirt_memory_placement ours;
    int r = nv_api_vm(vm, ret_error);

    if (r == 0)
        r = nv_struct_check(placement, PLACEMENT_FIRST, "memory placement", ret_error);
    if (r == 0 && count > 0)
        r = nv_api_pointer(pages, "pages", ret_error);
    if (r < 0)
        return r;
    MAP_GUARD(vm);
    r = nv_memory_get_placement(&vm->memory, region, &ours, pages, count, ret_error);
    if (r < 0)
        return r;
    return nv_struct_out(placement, &ours, sizeof(ours), PLACEMENT_FIRST, "memory placement",
                         ret_error);
}
