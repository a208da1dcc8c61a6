/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the MMIO transport (virtio 1.2, 4.2.2) and the device's status machine behind it (3.1). */
#include <string.h>
#include <time.h>

#include "core/cleanup.h"
#include "core/log.h"
#include "core/util.h"
#include "virtio/registers.h"

enum { MAGIC = 0x74726976, VERSION = 2, VENDOR = 0x5452564e /* "NVRT" */ };

void nv_virtio_clear(struct nv_virtio *v)
{
    for (uint32_t i = 0; i < v->queue_count && v->queues; i++) {
        nv_queue_reset(&v->queues[i].ring);
        v->queues[i].is_dropping = false;
    }
    v->features = v->driver_features = 0;
    v->device_select = v->driver_select = v->queue_select = 0;
    v->status = 0;
    v->is_resetting = false;
    atomic_store(&v->interrupt_status, 0);
    v->generation++;
}

static bool has_held(const struct nv_virtio *v, uint32_t first, uint32_t end)
{
    for (uint32_t i = first; i < end; i++)
        if (v->queues[i].held > 0)
            return true;
    return false;
}

/* Waits a little for held chains; true if none is left. */
static bool wait_for_held(struct nv_virtio *v, uint32_t first, uint32_t end)
{
    const uint64_t deadline_ns = nv_now_ns() + NV_VIRTIO_DRAIN_SLICE_MS * 1000000ull;
    const struct timespec when = {
        .tv_sec = (time_t)(deadline_ns / 1000000000u),
        .tv_nsec = (long)(deadline_ns % 1000000000u),
    };

    while (has_held(v, first, end))
        if (pthread_cond_timedwait(&v->drained, &v->lock, &when) != 0)
            return !has_held(v, first, end);
    return true;
}

static void drop(struct nv_virtio *v, uint32_t queue)
{
    if (v->class->drop)
        v->class->drop(v, queue);
}

/*
 * The driver's write returns only when nothing is in flight any more, because Linux does not read
 * the status back. In between the vCPU looks whether it is to leave.
 */
static int32_t reset(struct nv_virtio *v)
{
    if (!v->is_resetting) {
        v->is_resetting = true;
        for (uint32_t i = 0; i < v->queue_count; i++)
            drop(v, i);
    }
    if (!wait_for_held(v, 0, v->queue_count))
        return NV_ACTION_AGAIN;
    /* Another vCPU's reset may have been faster. */
    if (v->is_resetting) {
        nv_virtio_clear(v);
        if (v->class->reset)
            v->class->reset(v);
    }
    return NESTVIRT_ACTION_RESUME;
}

static bool may_accept(const struct nv_virtio *v, uint64_t features)
{
    if ((features & ~v->offered) || !(features & NV_VIRTIO_F_VERSION_1))
        return false;
    return !v->class->check_features || v->class->check_features(v, features);
}

static void activate(struct nv_virtio *v)
{
    int r = v->class->activate ? v->class->activate(v) : 0;

    if (r < 0)
        nv_virtio_break(v, "it cannot be activated");
    /* A notification that came too early is not lost. */
    for (uint32_t i = 0; i < v->queue_count; i++)
        if (nv_virtio_can_serve(v, i))
            nv_virtio_notify(v, i);
}

bool nv_virtio_is_step(uint8_t old, uint8_t status)
{
    static const uint8_t order[] = { NV_VIRTIO_ACKNOWLEDGE, NV_VIRTIO_DRIVER, NV_VIRTIO_FEATURES_OK,
                                     NV_VIRTIO_DRIVER_OK };
    bool has_gap = false;

    if ((old & NV_VIRTIO_DRIVER_BITS) & ~status)
        return false;
    for (size_t i = 0; i < NV_ARRAY_SIZE(order); i++) {
        if (!(status & order[i]))
            has_gap = true;
        else if (has_gap)
            return false;
    }
    return true;
}

static void write_status(struct nv_virtio *v, uint32_t value)
{
    uint8_t old = v->status;
    uint8_t status = value & NV_VIRTIO_DRIVER_BITS;
    uint8_t added = status & (uint8_t)~old;

    if (value > 0xff || v->is_resetting || !nv_virtio_is_step(old, status)) {
        nv_virtio_ignore(v);
        return;
    }
    if ((added & NV_VIRTIO_FEATURES_OK) && !may_accept(v, v->driver_features)) {
        nv_virtio_ignore(v);
        status &= (uint8_t) ~(NV_VIRTIO_FEATURES_OK | NV_VIRTIO_DRIVER_OK);
        added &= (uint8_t) ~(NV_VIRTIO_FEATURES_OK | NV_VIRTIO_DRIVER_OK);
    }
    if (added & NV_VIRTIO_FEATURES_OK)
        v->features = v->driver_features;
    v->status = status | (old & NV_VIRTIO_NEEDS_RESET);
    if ((added & NV_VIRTIO_DRIVER_OK) && !(status & NV_VIRTIO_FAILED))
        activate(v);
}

/* The selected queue while the driver may set it up; else NULL. */
static struct nv_virtio_queue *changeable(struct nv_virtio *v)
{
    struct nv_virtio_queue *q;

    if (v->queue_select >= v->queue_count || (v->status & NV_VIRTIO_DRIVER_OK) ||
        !(v->status & NV_VIRTIO_FEATURES_OK) || v->is_resetting)
        return NULL;
    q = &v->queues[v->queue_select];
    return q->ring.is_ready || q->is_dropping ? NULL : q;
}

static int32_t switch_off(struct nv_virtio *v)
{
    struct nv_virtio_queue *q;

    if (v->queue_select >= v->queue_count) {
        nv_virtio_ignore(v);
        return NESTVIRT_ACTION_RESUME;
    }
    q = &v->queues[v->queue_select];
    if (!q->ring.is_ready)
        return NESTVIRT_ACTION_RESUME;
    if (!q->is_dropping) {
        q->is_dropping = true;
        drop(v, v->queue_select);
    }
    if (!wait_for_held(v, v->queue_select, v->queue_select + 1))
        return NV_ACTION_AGAIN;
    nv_queue_reset(&q->ring);
    q->is_dropping = false;
    return NESTVIRT_ACTION_RESUME;
}

static void switch_on(struct nv_virtio *v)
{
    struct nv_virtio_queue *q = changeable(v);

    if (!q || q->ring.size > v->queue_size ||
        nv_queue_open(&q->ring, v->memory, v->features & NV_VIRTIO_F_INDIRECT_DESC,
                      v->features & NV_VIRTIO_F_EVENT_IDX) < 0)
        nv_virtio_ignore(v);
}

static int32_t write_ready(struct nv_virtio *v, uint32_t value)
{
    if (value == 0)
        return switch_off(v);
    if (value == 1)
        switch_on(v);
    else
        nv_virtio_ignore(v);
    return NESTVIRT_ACTION_RESUME;
}

static void write_queue_size(struct nv_virtio *v, uint32_t value)
{
    struct nv_virtio_queue *q = changeable(v);

    if (q)
        q->ring.size = value;
    else
        nv_virtio_ignore(v);
}

static void set_half(uint64_t *address, bool high, uint32_t value)
{
    *address = high ? (*address & 0xffffffffu) | (uint64_t)value << 32
                    : (*address & ~0xffffffffull) | value;
}

static void write_ring(struct nv_virtio *v, uint64_t offset, uint32_t value)
{
    struct nv_virtio_queue *q = changeable(v);

    if (!q) {
        nv_virtio_ignore(v);
        return;
    }
    switch (offset & ~7ull) {
    case NV_VIRTIO_REG_QUEUE_DESC_LOW:
        set_half(&q->ring.descriptors, offset & 4, value);
        break;
    case NV_VIRTIO_REG_QUEUE_DRIVER_LOW:
        set_half(&q->ring.driver, offset & 4, value);
        break;
    default:
        set_half(&q->ring.device, offset & 4, value);
        break;
    }
}

static void write_features(struct nv_virtio *v, uint32_t value)
{
    if ((v->status & NV_VIRTIO_FEATURES_OK) || v->driver_select > 1) {
        if (v->driver_select <= 1 || value != 0)
            nv_virtio_ignore(v);
        return;
    }
    set_half(&v->driver_features, v->driver_select == 1, value);
}

static void write_notify(struct nv_virtio *v, uint32_t value)
{
    if (value < v->queue_count)
        nv_virtio_notify(v, value);
    else
        nv_virtio_ignore(v);
}

static int32_t write_register(struct nv_virtio *v, uint64_t offset, uint32_t value)
{
    switch (offset) {
    case NV_VIRTIO_REG_DEVICE_FEATURES_SEL:
        v->device_select = value;
        break;
    case NV_VIRTIO_REG_DRIVER_FEATURES:
        write_features(v, value);
        break;
    case NV_VIRTIO_REG_DRIVER_FEATURES_SEL:
        v->driver_select = value;
        break;
    case NV_VIRTIO_REG_QUEUE_SEL:
        v->queue_select = value;
        break;
    case NV_VIRTIO_REG_QUEUE_NUM:
        write_queue_size(v, value);
        break;
    case NV_VIRTIO_REG_QUEUE_READY:
        return write_ready(v, value);
    case NV_VIRTIO_REG_QUEUE_NOTIFY:
        write_notify(v, value);
        break;
    case NV_VIRTIO_REG_STATUS:
        if (value == 0)
            return reset(v);
        write_status(v, value);
        break;
    case NV_VIRTIO_REG_QUEUE_DESC_LOW:
    case NV_VIRTIO_REG_QUEUE_DESC_HIGH:
    case NV_VIRTIO_REG_QUEUE_DRIVER_LOW:
    case NV_VIRTIO_REG_QUEUE_DRIVER_HIGH:
    case NV_VIRTIO_REG_QUEUE_DEVICE_LOW:
    case NV_VIRTIO_REG_QUEUE_DEVICE_HIGH:
        write_ring(v, offset, value);
        break;
    default:
        nv_virtio_ignore(v);
        break;
    }
    return NESTVIRT_ACTION_RESUME;
}

static uint32_t read_register(struct nv_virtio *v, uint64_t offset)
{
    bool has_queue = v->queue_select < v->queue_count;

    switch (offset) {
    case NV_VIRTIO_REG_MAGIC:
        return MAGIC;
    case NV_VIRTIO_REG_VERSION:
        return VERSION;
    case NV_VIRTIO_REG_DEVICE_ID:
        return v->class->id;
    case NV_VIRTIO_REG_VENDOR_ID:
        return VENDOR;
    case NV_VIRTIO_REG_DEVICE_FEATURES:
        return v->device_select > 1 ? 0 : (uint32_t)(v->offered >> (32 * v->device_select));
    case NV_VIRTIO_REG_QUEUE_NUM_MAX:
        return has_queue ? (uint32_t)v->queue_size : 0;
    case NV_VIRTIO_REG_QUEUE_READY:
        return has_queue ? v->queues[v->queue_select].ring.is_ready : 0;
    case NV_VIRTIO_REG_STATUS:
        return v->status;
    case NV_VIRTIO_REG_SHM_LEN_LOW: /* no shared memory: all ones (4.2.2) */
    case NV_VIRTIO_REG_SHM_LEN_HIGH:
    case NV_VIRTIO_REG_SHM_BASE_LOW:
    case NV_VIRTIO_REG_SHM_BASE_HIGH:
        return 0xffffffffu;
    case NV_VIRTIO_REG_CONFIG_GENERATION:
        return v->generation;
    default:
        nv_virtio_ignore(v);
        return 0;
    }
}

static void access_config(struct nv_virtio *v, struct nestvirt_access *access)
{
    uint64_t offset = access->offset - NV_VIRTIO_REG_CONFIG;

    if (!nv_range_fits(offset, access->length, v->config_length)) {
        nv_virtio_ignore(v);
    } else if (!access->is_write) {
        if (v->class->read_config)
            v->class->read_config(v);
        memcpy(access->data, v->config + offset, access->length);
    } else if (v->class->write_config && !v->is_resetting) {
        v->class->write_config(v, (uint32_t)offset, access->data, access->length);
    } else {
        nv_virtio_ignore(v);
    }
}

/* What every interrupt of the guest needs, without waiting for a pass under way. */
static bool access_interrupt(struct nv_virtio *v, struct nestvirt_access *access)
{
    if (access->length != 4)
        return false;
    if (access->offset == NV_VIRTIO_REG_INTERRUPT_STATUS && !access->is_write)
        nv_put_le32(access->data, atomic_load(&v->interrupt_status));
    else if (access->offset == NV_VIRTIO_REG_INTERRUPT_ACK && access->is_write)
        atomic_fetch_and(&v->interrupt_status, ~nv_get_le32(access->data));
    else
        return false;
    return true;
}

int32_t nv_virtio_access(void *user_data, struct nestvirt_access *access)
{
    struct nv_virtio *v = user_data;

    if (access_interrupt(v, access))
        return NESTVIRT_ACTION_RESUME;
    NV_VIRTIO_GUARD(v);
    if (access->offset >= NV_VIRTIO_REG_CONFIG)
        access_config(v, access);
    else if (access->length != 4 || access->offset % 4)
        nv_virtio_ignore(v);
    else if (access->is_write)
        return write_register(v, access->offset, nv_get_le32(access->data));
    else
        nv_put_le32(access->data, read_register(v, access->offset));
    return NESTVIRT_ACTION_RESUME;
}
