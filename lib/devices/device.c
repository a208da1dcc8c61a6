/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the common part of devices: making and freeing them, and their typed properties. */
#include "devices/device.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/cleanup.h"
#include "core/tags.h"
#include "core/util.h"
#include "host/file.h"

enum { STRING_MAX = 4096 }; /* a path, at most */

const struct nv_device_class *nv_device_find_class(const char *name)
{
    for (size_t i = 0; nv_device_classes[i]; i++)
        if (strcmp(nv_device_classes[i]->name, name) == 0)
            return nv_device_classes[i];
    return NULL;
}

struct nv_text nv_device_name(const struct nestvirt_device *device)
{
    return nv_text("device %u (%s)", device->number, device->class->name);
}

static uint64_t *number_at(const struct nestvirt_device *device, const struct nv_property *row)
{
    return (uint64_t *)((uint8_t *)device->state + row->offset);
}

static int *fd_at(const struct nestvirt_device *device, const struct nv_property *row)
{
    return (int *)((uint8_t *)device->state + row->offset);
}

static char **text_at(const struct nestvirt_device *device, const struct nv_property *row)
{
    return (char **)((uint8_t *)device->state + row->offset);
}

int nv_device_new(const struct nv_device_class *class, uint32_t number, void *owner,
                  struct nestvirt_device **ret_device, struct nestvirt_error **ret_error)
{
    struct nestvirt_device *device = calloc(1, sizeof(*device));
    void *state = calloc(1, class->state_size);

    if (!device || !state) {
        free(device);
        free(state);
        return nv_fail_sys(ret_error, ENOMEM, class->name, "malloc", "free memory in this process");
    }
    *device = (struct nestvirt_device){
        .tag = NV_TAG_DEVICE, .number = number, .class = class, .owner = owner, .state = state
    };
    pthread_mutex_init(&device->live_lock, NULL);
    for (size_t i = 0; i < class->property_count; i++) {
        const struct nv_property *row = &class->properties[i];

        if (row->type == NESTVIRT_PROPERTY_FD)
            *fd_at(device, row) = -1;
        else if (row->type != NESTVIRT_PROPERTY_STRING)
            *number_at(device, row) = row->initial;
    }
    *ret_device = device;
    return 0;
}

void nv_device_free(struct nestvirt_device *device)
{
    if (!device)
        return;
    nv_device_unbuild(device);
    if (device->class->destroy)
        device->class->destroy(device);
    for (size_t i = 0; i < device->class->property_count; i++) {
        const struct nv_property *row = &device->class->properties[i];

        if (row->type == NESTVIRT_PROPERTY_FD && *fd_at(device, row) >= 0)
            close(*fd_at(device, row));
        if (row->type == NESTVIRT_PROPERTY_STRING)
            free(*text_at(device, row));
    }
    pthread_mutex_destroy(&device->live_lock);
    device->tag = NV_TAG_FREED;
    free(device->state);
    free(device);
}

static int name_error(struct nestvirt_device *device, int code, struct nestvirt_error **ret_error)
{
    if (code < 0 && ret_error)
        nv_error_prefix(ret_error, nv_device_name(device).s);
    return code;
}

/* The virtio part of a device's state. */
static struct nv_virtio *virtio_of(const struct nestvirt_device *device)
{
    return device->class->virtio ? device->state : NULL;
}

static int claim_virtio(struct nestvirt_device *device, const struct nv_device_env *env,
                        struct nestvirt_error **ret_error)
{
    const struct nv_virtio_env virtio_env = {
        .memory = env->memory,
        .bus = env->bus,
        .irq = env->irq,
        .loop = env->loop,
        .log = env->log,
        .vm_name = env->vm_name,
    };

    return nv_virtio_claim(device->state, device->class->virtio, device->class->name,
                           device->number, &virtio_env, ret_error);
}

int nv_device_claim(struct nestvirt_device *device, const struct nv_device_env *env,
                    struct nestvirt_error **ret_error)
{
    int r = 0;

    device->is_built = true;
    if (virtio_of(device))
        r = claim_virtio(device, env, ret_error);
    if (r >= 0 && device->class->claim)
        r = device->class->claim(device, env, ret_error);
    return name_error(device, r, ret_error);
}

static void end_live(struct nestvirt_device *device)
{
    NV_GUARD(&device->live_lock);
    device->is_live = false;
}

/* A live property that is set meanwhile waits: it is either wired in or applied, never missed. */
int nv_device_wire(struct nestvirt_device *device, const struct nv_device_env *env,
                   struct nestvirt_error **ret_error)
{
    int r = 0;

    NV_GUARD(&device->live_lock);
    if (device->class->wire)
        r = device->class->wire(device, env, ret_error);
    if (r >= 0 && virtio_of(device))
        r = nv_virtio_wire(virtio_of(device), ret_error);
    device->is_live = r >= 0;
    return name_error(device, r, ret_error);
}

void nv_device_unbuild(struct nestvirt_device *device)
{
    struct nv_virtio *v = virtio_of(device);

    if (!device->is_built)
        return;
    device->is_built = false;
    end_live(device);
    if (v)
        nv_virtio_quiesce(v);
    if (device->class->unbuild)
        device->class->unbuild(device);
    if (v)
        nv_virtio_unclaim(v);
}

void nv_device_start(struct nestvirt_device *device)
{
    if (virtio_of(device))
        nv_virtio_start(virtio_of(device));
    if (device->class->start)
        device->class->start(device);
}

void nv_device_stop(struct nestvirt_device *device, uint64_t deadline_ns)
{
    if (virtio_of(device))
        nv_virtio_halt(virtio_of(device));
    if (device->class->stop)
        device->class->stop(device, deadline_ns);
}

void nv_device_pause(struct nestvirt_device *device)
{
    if (virtio_of(device))
        nv_virtio_halt(virtio_of(device));
    if (device->class->pause)
        device->class->pause(device);
}

void nv_device_resume(struct nestvirt_device *device)
{
    if (device->class->resume)
        device->class->resume(device);
    if (virtio_of(device))
        nv_virtio_resume(virtio_of(device));
}

void nv_device_send(struct nestvirt_device *device, nv_errand_fn *fn, void *user_data,
                    struct nv_errand_result *result)
{
    if (device->class->send)
        device->class->send(device, fn, user_data, result);
}

void nv_device_describe(const struct nestvirt_device *device, struct nv_device_place *place)
{
    const struct nv_virtio *v = virtio_of(device);

    if (v) {
        place->is_virtio = true;
        place->window = v->window;
        place->pin = (uint8_t)v->pin;
    }
    if (device->class->describe)
        device->class->describe(device, place);
}

bool nv_device_needs_loop(const struct nestvirt_device *device)
{
    return device->class->needs_loop || device->class->virtio;
}

bool nv_device_thread_at(const struct nestvirt_device *device, uint32_t index,
                         pthread_t *ret_thread)
{
    return device->class->thread_at && device->class->thread_at(device, index, ret_thread);
}

int nv_device_claim_port(const struct nv_device_env *env, uint64_t port, uint64_t length,
                         int32_t (*fn)(void *user_data, struct nestvirt_access *access),
                         void *user_data, struct nestvirt_error **ret_error)
{
    const struct nv_range range = {
        .address = port, .length = length, .fn = fn, .user_data = user_data
    };

    return nv_bus_add(env->bus, NESTVIRT_SPACE_PORT, &range, true, ret_error);
}

static int unknown_property(const struct nestvirt_device *device, const char *name,
                            struct nestvirt_error **ret_error)
{
    char list[256] = "";
    size_t used = 0;

    for (size_t i = 0; i < device->class->property_count; i++) {
        int n = snprintf(list + used, sizeof(list) - used, "%s%s",
                         i ? ", " : "it has: ", device->class->properties[i].name);

        if (n < 0 || (size_t)n >= sizeof(list) - used)
            break;
        used += (size_t)n;
    }
    return nv_fail(ret_error, -ENOENT, nv_device_name(device).s, list, "has no property \"%.64s\"",
                   name);
}

const struct nv_property *nv_device_find_property(const struct nestvirt_device *device,
                                                  const char *name)
{
    for (size_t i = 0; i < device->class->property_count; i++)
        if (strcmp(device->class->properties[i].name, name) == 0)
            return &device->class->properties[i];
    return NULL;
}

static int set_number(struct nestvirt_device *device, const struct nv_property *row,
                      uint64_t number, struct nestvirt_error **ret_error)
{
    uint64_t old;
    int r;

    if (number < row->min || number > row->max)
        return nv_fail(ret_error, -EINVAL, nv_device_name(device).s, row->help,
                       "property %s: %llu is not between %llu and %llu", row->name,
                       (unsigned long long)number, (unsigned long long)row->min,
                       (unsigned long long)row->max);
    NV_GUARD(&device->live_lock);
    old = __atomic_exchange_n(number_at(device, row), number, __ATOMIC_RELAXED);
    if (!device->class->changed)
        return 0;
    r = device->is_live ? device->class->changed(device, row, ret_error) : 0;
    if (r < 0)
        __atomic_store_n(number_at(device, row), old, __ATOMIC_RELAXED);
    return r;
}

static int set_fd(struct nestvirt_device *device, const struct nv_property *row, int fd,
                  struct nestvirt_error **ret_error)
{
    int copy = nv_fd_dup(fd);

    if (copy < 0)
        return nv_fail(ret_error, copy, nv_device_name(device).s,
                       nv_fd_hint(-copy, "pass an open descriptor"),
                       "property %s: cannot duplicate descriptor %d", row->name, fd);
    if (*fd_at(device, row) >= 0)
        close(*fd_at(device, row));
    *fd_at(device, row) = copy;
    return 0;
}

static int set_text(struct nestvirt_device *device, const struct nv_property *row, const char *text,
                    struct nestvirt_error **ret_error)
{
    char *copy;

    if (strnlen(text, STRING_MAX) == STRING_MAX)
        return nv_fail(ret_error, -ENAMETOOLONG, nv_device_name(device).s, "shorten it",
                       "property %s is longer than %d bytes", row->name, STRING_MAX - 1);
    copy = strdup(text);
    if (!copy)
        return nv_fail_sys(ret_error, ENOMEM, nv_device_name(device).s, "malloc",
                           "free memory in this process");
    free(*text_at(device, row));
    *text_at(device, row) = copy;
    return 0;
}

static uint32_t kind_of(uint32_t type)
{
    return type == NESTVIRT_PROPERTY_BOOL ? NESTVIRT_PROPERTY_U64 : type;
}

int nv_device_set(struct nestvirt_device *device, const char *name, uint32_t type, bool is_new,
                  uint64_t number, const char *text, struct nestvirt_error **ret_error)
{
    const struct nv_property *row = nv_device_find_property(device, name);
    const struct nv_text object = nv_device_name(device);

    if (!row)
        return unknown_property(device, name, ret_error);
    if (row->flags & NESTVIRT_PROPERTY_READ_ONLY)
        return nv_fail(ret_error, -EPERM, object.s, "read it with nestvirt_device_get_u64",
                       "property %s is read-only", row->name);
    if (kind_of(row->type) != type)
        return nv_fail(ret_error, -EINVAL, object.s, row->help, "property %s has another type",
                       row->name);
    if (!is_new && !(row->flags & NESTVIRT_PROPERTY_LIVE))
        return nv_fail(ret_error, -EBUSY, object.s, "set it before the VM is built",
                       "property %s cannot be changed any more", row->name);
    if (type == NESTVIRT_PROPERTY_FD)
        return set_fd(device, row, (int)number, ret_error);
    if (type == NESTVIRT_PROPERTY_STRING)
        return set_text(device, row, text, ret_error);
    return set_number(device, row, number, ret_error);
}

int nv_device_get(struct nestvirt_device *device, const char *name, uint64_t *ret_value,
                  struct nestvirt_error **ret_error)
{
    const struct nv_property *row = nv_device_find_property(device, name);

    if (!row)
        return unknown_property(device, name, ret_error);
    if (kind_of(row->type) != NESTVIRT_PROPERTY_U64)
        return nv_fail(ret_error, -EINVAL, nv_device_name(device).s, row->help,
                       "property %s is not a number", row->name);
    *ret_value = __atomic_load_n(number_at(device, row), __ATOMIC_RELAXED);
    return 0;
}
