/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Virtio devices of the caller's own (virtio 1.2, MMIO transport, split rings). The library keeps
 * the registers, the rings and the interrupt, and checks everything the guest hands over; the
 * caller gets requests (descriptor chains) and answers them.
 *
 * The library's own virtio devices are kinds for nestvirt_device_add().
 */
#ifndef NESTVIRT_VIRTIO_H
#define NESTVIRT_VIRTIO_H

#include <nestvirt/device.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A request of the guest: readable bytes, then writable ones. */
struct nestvirt_chain;

enum {
    NESTVIRT_VIRTIO_QUEUES_MAX = 64,
    NESTVIRT_VIRTIO_QUEUE_SIZE_MAX = 1024,
    NESTVIRT_VIRTIO_CONFIG_MAX = 256 /* bytes */
};

struct nestvirt_virtio_config {
    uint32_t size;
    uint32_t flags;         /* 0 */
    uint32_t device_id;     /* what the driver looks for: virtio 1.2, section 5; 1 to 0xffff */
    uint32_t queue_count;   /* 1 to NESTVIRT_VIRTIO_QUEUES_MAX */
    uint32_t queue_size;    /* most descriptors of each queue, a power of two; 0: 256 */
    uint32_t config_length; /* bytes of the configuration space, 0 to NESTVIRT_VIRTIO_CONFIG_MAX */
    uint64_t features;      /* the device's own: bits 0 to 23 and 50 up; the library adds its own */
    const void *config;     /* what the configuration starts with, copied; NULL: zeroes */
};

/* Zeroes the structure and sets its size; never writes past caller_size bytes. */
void nestvirt_virtio_config_init(struct nestvirt_virtio_config *config, size_t caller_size);

/*
 * Adds a virtio device of the caller's own; it belongs to the VM and lives as long. State new.
 *
 * fn: called when a queue has requests, or may have: take them with nestvirt_virtio_next_chain()
 * until there is none. It runs on the event loop's thread after the guest has notified, and once
 * for each queue when the driver is ready. free_data (may be NULL) is called once with user_data
 * when the VM is freed; not if this call fails.
 *
 * The properties "faults", "ignored" and "notified" are read with nestvirt_device_get_u64().
 * Errors: -EINVAL for a number out of range or a feature bit that is the library's; -EFAULT without
 * fn; -ENOSPC above 64 devices; -E2BIG, -ENOMEM, -EBUSY.
 */
int nestvirt_virtio_add(struct nestvirt_vm *vm, const struct nestvirt_virtio_config *config,
                        void (*fn)(void *user_data, struct nestvirt_device *device, uint32_t queue),
                        void *user_data, void (*free_data)(void *user_data),
                        struct nestvirt_device **ret_device, struct nestvirt_error **ret_error);

/*
 * Sets what is called when the guest resets the device or takes a queue away: complete every chain
 * of that queue soon, the guest's vCPU waits for it. Needed where chains are completed outside of
 * the queue's function. It runs on the vCPU's thread, with the same user_data. State new.
 * Errors: -EBADF for a device of the library, -EBUSY.
 */
int nestvirt_virtio_set_drop_handler(struct nestvirt_device *device,
                                     void (*fn)(void *user_data, struct nestvirt_device *device,
                                                uint32_t queue),
                                     struct nestvirt_error **ret_error);

/*
 * Lets the guest write the configuration space, and sets what is called when it has written length
 * bytes at offset. It runs on the vCPU's thread, with the same user_data. State new. Errors as
 * for nestvirt_virtio_set_drop_handler().
 */
int nestvirt_virtio_set_config_handler(struct nestvirt_device *device,
                                       void (*fn)(void *user_data, struct nestvirt_device *device,
                                                  uint32_t offset, uint32_t length),
                                       struct nestvirt_error **ret_error);

/*
 * Takes the queue's next request: 1, or 0 if there is none (or the driver is not ready, or the VM
 * paused: the function is called again). Within one call of the queue's function, at most a queue
 * full; then it is called again. Each chain must be completed; the VM must not be freed before. Any
 * thread. -EINVAL for a queue that does not exist, -ENOMEM, -EBUSY before the VM is built.
 */
int nestvirt_virtio_next_chain(struct nestvirt_device *device, uint32_t queue,
                               struct nestvirt_chain **ret_chain,
                               struct nestvirt_error **ret_error);

/* Reads how many bytes are left to read and to write. */
int nestvirt_chain_get_size(struct nestvirt_chain *chain, uint64_t *ret_readable,
                            uint64_t *ret_writable, struct nestvirt_error **ret_error);

/*
 * Copies the next readable bytes, or fills the next writable ones; at most length and at most
 * 2^31 - 1. Each byte can be read and written once. Returns how many bytes. One thread at a time
 * for each chain. -ESTALE when the VM has been built anew since: complete the chain.
 */
int nestvirt_chain_read(struct nestvirt_chain *chain, void *buffer, size_t length,
                        struct nestvirt_error **ret_error);
int nestvirt_chain_write(struct nestvirt_chain *chain, const void *buffer, size_t length,
                         struct nestvirt_error **ret_error);

/*
 * Gives a chain back to the guest with what was written to it, and interrupts if the guest wants
 * that. Frees the chain, in every case. Any thread. Returns 1 if the guest got it, 0 if it has
 * reset the device meanwhile.
 */
int nestvirt_chain_complete(struct nestvirt_chain *chain, struct nestvirt_error **ret_error);

/* The features that the driver has accepted; 0 before. Any thread. -EBUSY before build. */
int nestvirt_virtio_get_features(struct nestvirt_device *device, uint64_t *ret_features,
                                 struct nestvirt_error **ret_error);

/*
 * Reads or writes the configuration space; a write tells the driver. Any thread. -EINVAL when the
 * bytes are not within it, -EBUSY before the VM is built.
 */
int nestvirt_virtio_get_config(struct nestvirt_device *device, uint32_t offset, void *buffer,
                               uint32_t length, struct nestvirt_error **ret_error);
int nestvirt_virtio_set_config(struct nestvirt_device *device, uint32_t offset, const void *bytes,
                               uint32_t length, struct nestvirt_error **ret_error);

/*
 * Asks for a reset, because the guest broke the device's protocol: sets DEVICE_NEEDS_RESET
 * (virtio 1.2, 2.1.2). The device stops until the driver resets it. Any thread. -EBUSY before the
 * VM is built.
 */
int nestvirt_virtio_request_reset(struct nestvirt_device *device,
                                  struct nestvirt_error **ret_error);

#ifdef __cplusplus
}
#endif

#endif
