/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the way from the library's calls for virtio devices to the exported Go functions. */
#include "virtio_calls.h"

#include "_cgo_export.h"

void go_virtio_queue(void *user_data, struct nestvirt_device *device, uint32_t queue)
{
    (void)device; /* the cell knows it */
    goNestvirtQueue(user_data, queue);
}

void go_virtio_drop(void *user_data, struct nestvirt_device *device, uint32_t queue)
{
    (void)device;
    goNestvirtDrop(user_data, queue);
}

void go_virtio_config(void *user_data, struct nestvirt_device *device, uint32_t offset,
                      uint32_t length)
{
    (void)device;
    goNestvirtConfig(user_data, offset, length);
}

void go_virtio_free(void *user_data)
{
    goNestvirtFree(user_data);
}
