/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the MMIO registers' offsets (virtio 1.2, 4.2.2); for the virtio room and its tests. */
#ifndef NV_VIRTIO_REGISTERS_H
#define NV_VIRTIO_REGISTERS_H

#include "virtio/virtio.h"

enum {
    NV_VIRTIO_REG_MAGIC = 0x000,
    NV_VIRTIO_REG_VERSION = 0x004,
    NV_VIRTIO_REG_DEVICE_ID = 0x008,
    NV_VIRTIO_REG_VENDOR_ID = 0x00c,
    NV_VIRTIO_REG_DEVICE_FEATURES = 0x010,
    NV_VIRTIO_REG_DEVICE_FEATURES_SEL = 0x014,
    NV_VIRTIO_REG_DRIVER_FEATURES = 0x020,
    NV_VIRTIO_REG_DRIVER_FEATURES_SEL = 0x024,
    NV_VIRTIO_REG_QUEUE_SEL = 0x030,
    NV_VIRTIO_REG_QUEUE_NUM_MAX = 0x034,
    NV_VIRTIO_REG_QUEUE_NUM = 0x038,
    NV_VIRTIO_REG_QUEUE_READY = 0x044,
    NV_VIRTIO_REG_QUEUE_NOTIFY = 0x050,
    NV_VIRTIO_REG_INTERRUPT_STATUS = 0x060,
    NV_VIRTIO_REG_INTERRUPT_ACK = 0x064,
    NV_VIRTIO_REG_STATUS = 0x070,
    NV_VIRTIO_REG_QUEUE_DESC_LOW = 0x080,
    NV_VIRTIO_REG_QUEUE_DESC_HIGH = 0x084,
    NV_VIRTIO_REG_QUEUE_DRIVER_LOW = 0x090,
    NV_VIRTIO_REG_QUEUE_DRIVER_HIGH = 0x094,
    NV_VIRTIO_REG_QUEUE_DEVICE_LOW = 0x0a0,
    NV_VIRTIO_REG_QUEUE_DEVICE_HIGH = 0x0a4,
    NV_VIRTIO_REG_SHM_LEN_LOW = 0x0b0,
    NV_VIRTIO_REG_SHM_LEN_HIGH = 0x0b4,
    NV_VIRTIO_REG_SHM_BASE_LOW = 0x0b8,
    NV_VIRTIO_REG_SHM_BASE_HIGH = 0x0bc,
    NV_VIRTIO_REG_CONFIG_GENERATION = 0x0fc,
    NV_VIRTIO_REG_CONFIG = 0x100
};

/* The driver's side as after a reset; nothing may be held. Lock held, or nobody knows the device.
 */
void nv_virtio_clear(struct nv_virtio *v);

/* The guest has notified a queue by an exit. Lock held. */
void nv_virtio_notify(struct nv_virtio *v, uint32_t queue);

#endif
