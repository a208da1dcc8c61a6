/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the door of virtio.h: virtio devices of the caller's own. */
#include "api/api.h"
#include "core/tags.h"
#include "core/util.h"
#include "devices/own.h"

enum { CONFIG_FIRST = sizeof(struct nestvirt_virtio_config) };

/* The bits of a device's own (virtio 1.2, 2.2): 0 to 23 and from 50 up. */
#define OWN_FEATURES (0xffffffull | ~0ull << 50)

NV_EXPORT void nestvirt_virtio_config_init(struct nestvirt_virtio_config *config,
                                           size_t caller_size)
{
    nv_struct_init(config, caller_size);
}

static int refuse(const char *field, unsigned long long value, const char *hint,
                  struct nestvirt_error **ret_error)
{
    return nv_fail(ret_error, -EINVAL, "virtio config", hint, "%s is %llu", field, value);
}

static int check(const struct nestvirt_virtio_config *config, struct nestvirt_error **ret_error)
{
    if (config->flags)
        return refuse("flags", config->flags, "set it to 0", ret_error);
    if (config->device_id == 0 || config->device_id > 0xffff)
        return refuse("device_id", config->device_id, "use a number of virtio 1.2, section 5",
                      ret_error);
    if (config->queue_count == 0 || config->queue_count > NESTVIRT_VIRTIO_QUEUES_MAX)
        return refuse("queue_count", config->queue_count, "use 1 to 64", ret_error);
    if (config->queue_size > NESTVIRT_VIRTIO_QUEUE_SIZE_MAX ||
        (config->queue_size & (config->queue_size - 1)))
        return refuse("queue_size", config->queue_size, "use a power of two up to 1024", ret_error);
    if (config->config_length > NESTVIRT_VIRTIO_CONFIG_MAX)
        return refuse("config_length", config->config_length, "use at most 256", ret_error);
    if (config->features & ~OWN_FEATURES)
        return refuse("features", (unsigned long long)config->features,
                      "use bits 0 to 23 and 50 to 63; the library offers the others itself",
                      ret_error);
    return 0;
}

NV_EXPORT int
nestvirt_virtio_add(struct nestvirt_vm *vm, const struct nestvirt_virtio_config *config,
                    void (*fn)(void *user_data, struct nestvirt_device *device, uint32_t queue),
                    void *user_data, void (*free_data)(void *user_data),
                    struct nestvirt_device **ret_device, struct nestvirt_error **ret_error)
{
    const struct nv_own_calls calls = { .queue = fn,
                                        .user_data = user_data,
                                        .free_data = free_data };
    struct nestvirt_virtio_config ours;
    struct nestvirt_device *device = NULL;
    int r;

    if (ret_device)
        *ret_device = NULL;
    r = nv_api_vm(vm, ret_error);
    if (r == 0)
        r = nv_struct_in(&ours, sizeof(ours), CONFIG_FIRST, config, "virtio config", ret_error);
    if (r == 0)
        r = check(&ours, ret_error);
    if (r == 0 && !fn)
        r = nv_fail(ret_error, -EFAULT, "fn", "pass a function", "is NULL");
    if (r == 0)
        r = nv_api_enter_plain(vm, "add a device", ret_error);
    if (r < 0)
        return r;
    r = nv_vm_check_room(vm, ret_error);
    if (r == 0)
        r = nv_own_new(&ours, &calls, vm->device_count, vm, &device, ret_error);
    if (r == 0)
        vm->devices[vm->device_count++] = device;
    if (ret_device)
        *ret_device = device;
    nv_api_leave(vm);
    return r;
}

/* The handle must be of such a device. */
static int check_device(const struct nestvirt_device *device, struct nestvirt_error **ret_error)
{
    int r = nv_api_device(device, ret_error);

    if (r == 0 && !nv_own_is(device))
        r = nv_fail(ret_error, -EBADF, nv_device_name(device).s,
                    "pass a device of nestvirt_virtio_add", "is the library's own");
    return r;
}

/* Functions are set in state new: the api_lock is held when this returns 0. */
static int enter_handlers(struct nestvirt_device *device, struct nestvirt_error **ret_error)
{
    int r = check_device(device, ret_error);

    return r < 0 ? r : nv_api_enter_new(device->owner, "set a handler", ret_error);
}

NV_EXPORT int nestvirt_virtio_set_drop_handler(struct nestvirt_device *device,
                                               void (*fn)(void *user_data,
                                                          struct nestvirt_device *device,
                                                          uint32_t queue),
                                               struct nestvirt_error **ret_error)
{
    int r = enter_handlers(device, ret_error);

    if (r < 0)
        return r;
    nv_own_calls(device)->drop = fn;
    nv_api_leave(device->owner);
    return 0;
}

NV_EXPORT int nestvirt_virtio_set_config_handler(struct nestvirt_device *device,
                                                 void (*fn)(void *user_data,
                                                            struct nestvirt_device *device,
                                                            uint32_t offset, uint32_t length),
                                                 struct nestvirt_error **ret_error)
{
    int r = enter_handlers(device, ret_error);

    if (r < 0)
        return r;
    nv_own_calls(device)->write_config = fn;
    nv_api_leave(device->owner);
    return 0;
}

static int check_chain(const struct nestvirt_chain *chain, struct nestvirt_error **ret_error)
{
    nv_ok(ret_error);
    if (!chain)
        return nv_api_pointer(chain, "chain", ret_error);
    if (chain->tag != NV_TAG_CHAIN)
        return nv_fail(ret_error, -EBADF, "chain", "pass what nestvirt_virtio_next_chain gave",
                       "is no chain, or completed");
    return nv_api_device(chain->device, ret_error);
}

NV_EXPORT int nestvirt_virtio_next_chain(struct nestvirt_device *device, uint32_t queue,
                                         struct nestvirt_chain **ret_chain,
                                         struct nestvirt_error **ret_error)
{
    int r;

    if (ret_chain)
        *ret_chain = NULL;
    r = check_device(device, ret_error);
    if (r == 0)
        r = nv_api_pointer(ret_chain, "ret_chain", ret_error);
    return r < 0 ? r : nv_own_next(device, queue, ret_chain, ret_error);
}

NV_EXPORT int nestvirt_chain_get_size(struct nestvirt_chain *chain, uint64_t *ret_readable,
                                      uint64_t *ret_writable, struct nestvirt_error **ret_error)
{
    int r = check_chain(chain, ret_error);

    if (ret_readable)
        *ret_readable = r < 0 ? 0 : chain->chain.read_left;
    if (ret_writable)
        *ret_writable = r < 0 ? 0 : chain->chain.write_left;
    return r;
}

static int begin_copy(struct nestvirt_chain *chain, const void *buffer, size_t length,
                      struct nestvirt_error **ret_error)
{
    int r = check_chain(chain, ret_error);

    if (r == 0 && length > 0)
        r = nv_api_pointer(buffer, "buffer", ret_error);
    if (r == 0 && !nv_own_begin_copy(chain))
        r = nv_fail(ret_error, -ESTALE, nv_device_name(chain->device).s, "complete it",
                    "the chain is of an earlier run");
    return r;
}

NV_EXPORT int nestvirt_chain_read(struct nestvirt_chain *chain, void *buffer, size_t length,
                                  struct nestvirt_error **ret_error)
{
    int r = begin_copy(chain, buffer, length, ret_error);

    if (r < 0)
        return r;
    r = (int)nv_chain_read(&chain->chain, buffer, NV_MIN(length, (size_t)INT32_MAX));
    nv_own_end_copy(chain);
    return r;
}

NV_EXPORT int nestvirt_chain_write(struct nestvirt_chain *chain, const void *buffer, size_t length,
                                   struct nestvirt_error **ret_error)
{
    int r = begin_copy(chain, buffer, length, ret_error);

    if (r < 0)
        return r;
    r = (int)nv_chain_write(&chain->chain, buffer, NV_MIN(length, (size_t)INT32_MAX));
    nv_own_end_copy(chain);
    return r;
}

NV_EXPORT int nestvirt_chain_complete(struct nestvirt_chain *chain,
                                      struct nestvirt_error **ret_error)
{
    int r = check_chain(chain, ret_error);

    return r < 0 ? r : nv_own_complete(chain);
}

NV_EXPORT int nestvirt_virtio_get_features(struct nestvirt_device *device, uint64_t *ret_features,
                                           struct nestvirt_error **ret_error)
{
    int r;

    if (ret_features)
        *ret_features = 0;
    r = check_device(device, ret_error);
    if (r == 0)
        r = nv_api_pointer(ret_features, "ret_features", ret_error);
    return r < 0 ? r : nv_own_get_features(device, ret_features, ret_error);
}

NV_EXPORT int nestvirt_virtio_get_config(struct nestvirt_device *device, uint32_t offset,
                                         void *buffer, uint32_t length,
                                         struct nestvirt_error **ret_error)
{
    int r = check_device(device, ret_error);

    if (r == 0 && length > 0)
        r = nv_api_pointer(buffer, "buffer", ret_error);
    return r < 0 || length == 0 ? r : nv_own_get_config(device, offset, buffer, length, ret_error);
}

NV_EXPORT int nestvirt_virtio_set_config(struct nestvirt_device *device, uint32_t offset,
                                         const void *bytes, uint32_t length,
                                         struct nestvirt_error **ret_error)
{
    int r = check_device(device, ret_error);

    if (r == 0 && length > 0)
        r = nv_api_pointer(bytes, "bytes", ret_error);
    return r < 0 || length == 0 ? r : nv_own_set_config(device, offset, bytes, length, ret_error);
}

NV_EXPORT int nestvirt_virtio_request_reset(struct nestvirt_device *device,
                                            struct nestvirt_error **ret_error)
{
    int r = check_device(device, ret_error);

    return r < 0 ? r : nv_own_request_reset(device, ret_error);
}
