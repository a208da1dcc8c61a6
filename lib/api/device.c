/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the door of device.h: devices and their properties. */
#include <stdio.h>

#include "api/api.h"

enum { PROPERTY_FIRST = sizeof(struct nestvirt_device_property) };

NV_EXPORT void nestvirt_device_property_init(struct nestvirt_device_property *property,
                                             size_t caller_size)
{
    nv_struct_init(property, caller_size);
}

NV_EXPORT const char *nestvirt_device_get_kind(uint32_t position)
{
    for (uint32_t i = 0; nv_device_classes[i]; i++)
        if (i == position)
            return nv_device_classes[i]->name;
    return NULL;
}

static int unknown_kind(const char *kind, struct nestvirt_error **ret_error)
{
    char list[256] = "known kinds: ";
    size_t used = 13;

    for (uint32_t i = 0; nv_device_classes[i] && used < sizeof(list); i++)
        used += (size_t)snprintf(list + used, sizeof(list) - used, "%s%s", i ? ", " : "",
                                 nv_device_classes[i]->name);
    return nv_fail(ret_error, -ENOENT, "device", list, "there is no kind \"%.64s\"", kind);
}

NV_EXPORT int nestvirt_device_get_property(const char *kind, uint32_t position,
                                           struct nestvirt_device_property *property,
                                           struct nestvirt_error **ret_error)
{
    const struct nv_device_class *class;
    const struct nv_property *row;
    struct nestvirt_device_property ours = { .size = sizeof(ours) };
    int r;

    nv_ok(ret_error);
    r = nv_api_pointer(kind, "kind", ret_error);
    if (r == 0)
        r = nv_struct_check(property, PROPERTY_FIRST, "device property", ret_error);
    if (r < 0)
        return r;
    class = nv_device_find_class(kind);
    if (!class)
        return unknown_kind(kind, ret_error);
    if (position >= class->property_count)
        return nv_fail(ret_error, -ENOENT, class->name, "stop at the first -ENOENT",
                       "has %zu properties", class->property_count);
    row = &class->properties[position];
    ours.flags = row->flags;
    ours.type = row->type;
    ours.name = row->name;
    ours.help = row->help;
    return nv_struct_out(property, &ours, sizeof(ours), PROPERTY_FIRST, "device property",
                         ret_error);
}

NV_EXPORT int nestvirt_device_add(struct nestvirt_vm *vm, const char *kind,
                                  struct nestvirt_device **ret_device,
                                  struct nestvirt_error **ret_error)
{
    const struct nv_device_class *class;
    struct nestvirt_device *device = NULL;
    int r;

    if (ret_device)
        *ret_device = NULL;
    r = nv_api_vm(vm, ret_error);
    if (r == 0)
        r = nv_api_pointer(kind, "kind", ret_error);
    if (r < 0)
        return r;
    class = nv_device_find_class(kind);
    if (!class)
        return unknown_kind(kind, ret_error);
    r = nv_api_enter_plain(vm, "add a device", ret_error);
    if (r < 0)
        return r;
    r = nv_vm_check_room(vm, ret_error);
    if (r == 0)
        r = nv_device_new(class, vm->device_count, vm, &device, ret_error);
    if (r == 0)
        vm->devices[vm->device_count++] = device;
    if (ret_device)
        *ret_device = device;
    nv_api_leave(vm);
    return r;
}

NV_EXPORT int nestvirt_device_get(struct nestvirt_vm *vm, uint32_t number,
                                  struct nestvirt_device **ret_device,
                                  struct nestvirt_error **ret_error)
{
    bool is_new;
    int r;

    if (ret_device)
        *ret_device = NULL;
    r = nv_api_vm(vm, ret_error);
    if (r == 0)
        r = nv_api_pointer(ret_device, "ret_device", ret_error);
    if (r < 0)
        return r;
    /* The list only changes in state new; in others the lock must not be waited for. */
    is_new = vm->state == NESTVIRT_STATE_NEW;
    if (is_new)
        pthread_mutex_lock(&vm->api_lock);
    if (number < vm->device_count)
        *ret_device = vm->devices[number];
    else
        r = nv_fail(ret_error, -ENOENT, nv_vm_name(vm).s, "stop at the first -ENOENT",
                    "has %u devices", vm->device_count);
    if (is_new)
        pthread_mutex_unlock(&vm->api_lock);
    return r;
}

static int set_property(struct nestvirt_device *device, const char *name, uint32_t type,
                        uint64_t number, const char *text, struct nestvirt_error **ret_error)
{
    struct nestvirt_vm *vm;
    int r = nv_api_device(device, ret_error);

    if (r == 0)
        r = nv_api_pointer(name, "name", ret_error);
    if (r < 0)
        return r;
    vm = device->owner;
    /* Only state new needs the lock: later settings are live ones, which are atomic. */
    if (vm->state != NESTVIRT_STATE_NEW)
        return nv_device_set(device, name, type, false, number, text, ret_error);
    pthread_mutex_lock(&vm->api_lock);
    r = nv_device_set(device, name, type, vm->state == NESTVIRT_STATE_NEW, number, text, ret_error);
    pthread_mutex_unlock(&vm->api_lock);
    return r;
}

NV_EXPORT int nestvirt_device_set_u64(struct nestvirt_device *device, const char *name,
                                      uint64_t value, struct nestvirt_error **ret_error)
{
    return set_property(device, name, NESTVIRT_PROPERTY_U64, value, NULL, ret_error);
}

NV_EXPORT int nestvirt_device_set_fd(struct nestvirt_device *device, const char *name, int fd,
                                     struct nestvirt_error **ret_error)
{
    return set_property(device, name, NESTVIRT_PROPERTY_FD, (uint64_t)(int64_t)fd, NULL, ret_error);
}

NV_EXPORT int nestvirt_device_set_string(struct nestvirt_device *device, const char *name,
                                         const char *value, struct nestvirt_error **ret_error)
{
    int r;

    nv_ok(ret_error);
    r = nv_api_pointer(value, "value", ret_error);
    if (r < 0)
        return r;
    return set_property(device, name, NESTVIRT_PROPERTY_STRING, 0, value, ret_error);
}

NV_EXPORT int nestvirt_device_get_u64(struct nestvirt_device *device, const char *name,
                                      uint64_t *ret_value, struct nestvirt_error **ret_error)
{
    int r;

    if (ret_value)
        *ret_value = 0;
    r = nv_api_device(device, ret_error);
    if (r == 0)
        r = nv_api_pointer(name, "name", ret_error);
    if (r == 0)
        r = nv_api_pointer(ret_value, "ret_value", ret_error);
    if (r < 0)
        return r;
    return nv_device_get(device, name, ret_value, ret_error);
}
