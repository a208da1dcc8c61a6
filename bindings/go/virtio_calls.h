/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the functions that the library calls for virtio devices of the program's own, with its
 * types. */
#ifndef NESTVIRT_GO_VIRTIO_CALLS_H
#define NESTVIRT_GO_VIRTIO_CALLS_H

#include "abi.h"

void go_virtio_queue(void *user_data, struct nestvirt_device *device, uint32_t queue);
void go_virtio_drop(void *user_data, struct nestvirt_device *device, uint32_t queue);
void go_virtio_config(void *user_data, struct nestvirt_device *device, uint32_t offset,
                      uint32_t length);
void go_virtio_free(void *user_data);

#endif
