/* SPDX-License-Identifier: Apache-2.0 */
/* Owns virtio devices of the caller's own: their callbacks and the chains they hold. */
#ifndef NV_DEVICES_OWN_H
#define NV_DEVICES_OWN_H

#include <nestvirt/virtio.h>

#include "devices/device.h"

/* A request in the caller's hands. It belongs to the device until it is completed. */
struct nestvirt_chain {
    uint32_t tag;
    struct nestvirt_device *device;
    uint32_t queue;
    uint32_t run; /* of the device; another one: orphaned by a new build */
    struct nv_chain chain;
    struct nestvirt_chain *next; /* among all or among the free ones */
    struct nestvirt_chain *previous;
};

/* The caller's functions; only queue must be there. */
struct nv_own_calls {
    void (*queue)(void *user_data, struct nestvirt_device *device, uint32_t queue);
    void (*drop)(void *user_data, struct nestvirt_device *device, uint32_t queue);
    void (*write_config)(void *user_data, struct nestvirt_device *device, uint32_t offset,
                         uint32_t length);
    void *user_data;
    void (*free_data)(void *user_data);
};

/* Not in the table of kinds: made by nv_own_new() only. */
extern const struct nv_device_class nv_device_own;

/* True for a device made by nv_own_new(). */
bool nv_own_is(const struct nestvirt_device *device);

/* Makes a device; config is of our size and checked. */
int nv_own_new(const struct nestvirt_virtio_config *config, const struct nv_own_calls *calls,
               uint32_t number, void *owner, struct nestvirt_device **ret_device,
               struct nestvirt_error **ret_error);

/* The functions, to be changed before the VM is built. */
struct nv_own_calls *nv_own_calls(struct nestvirt_device *device);

/* As in virtio.h (public). */
int nv_own_next(struct nestvirt_device *device, uint32_t queue, struct nestvirt_chain **ret_chain,
                struct nestvirt_error **ret_error);
int nv_own_complete(struct nestvirt_chain *chain);

/* Around each access to the chain's bytes; false: it is of an earlier run. */
bool nv_own_begin_copy(struct nestvirt_chain *chain);
void nv_own_end_copy(struct nestvirt_chain *chain);

int nv_own_get_config(struct nestvirt_device *device, uint32_t offset, void *buffer,
                      uint32_t length, struct nestvirt_error **ret_error);
int nv_own_set_config(struct nestvirt_device *device, uint32_t offset, const void *bytes,
                      uint32_t length, struct nestvirt_error **ret_error);
int nv_own_get_features(struct nestvirt_device *device, uint64_t *ret_features,
                        struct nestvirt_error **ret_error);
int nv_own_request_reset(struct nestvirt_device *device, struct nestvirt_error **ret_error);

#endif
