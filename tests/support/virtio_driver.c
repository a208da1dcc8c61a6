/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the guest's driver that a test plays: initialisation, rings, requests, notifications. */
#include <endian.h>
#include <errno.h>
#include <poll.h>
#include <string.h>

#include "core/log.h"
#include "core/util.h"
#include "virtio_guest.h"

enum { RING_INDEX = 2, RING_ENTRIES = 4, DESCRIPTOR_SIZE = 16 };

/* What the rings of a queue take, in whole pages. */
static uint64_t stride(uint32_t size)
{
    return nv_align_up((DESCRIPTOR_SIZE + 2 + 8) * (uint64_t)size + 16, NV_PAGE_SIZE);
}

void *guest_mem(struct virtio_guest *guest, uint64_t address, uint64_t length)
{
    if (length > 0 && nv_range_fits(address, length, GUEST_SPAN)) /* quickly, for fuzzers */
        return guest->low + address;
    return nv_memory_at(&guest->memory, nv_gpa_at(address), length);
}

/* A 16-bit field of a ring; the device reads and writes it at the same time. NULL: not there. */
static uint16_t *ring_u16(struct virtio_guest *guest, uint64_t ring, uint64_t offset)
{
    return guest_mem(guest, ring + offset, 2);
}

static uint16_t load_u16(struct virtio_guest *guest, uint64_t ring, uint64_t offset)
{
    const uint16_t *at = ring_u16(guest, ring, offset);

    return at ? le16toh(__atomic_load_n(at, __ATOMIC_ACQUIRE)) : 0;
}

static void store_u16(struct virtio_guest *guest, uint64_t ring, uint64_t offset, uint16_t value)
{
    uint16_t *at = ring_u16(guest, ring, offset);

    if (at)
        __atomic_store_n(at, htole16(value), __ATOMIC_RELEASE);
}

static uint32_t load_u32(struct virtio_guest *guest, uint64_t address)
{
    const uint32_t *at = guest_mem(guest, address, 4);

    return at ? le32toh(__atomic_load_n(at, __ATOMIC_RELAXED)) : 0;
}

int guest_negotiate(struct virtio_guest *guest, uint64_t features)
{
    enum { STATUS = NV_VIRTIO_ACKNOWLEDGE | NV_VIRTIO_DRIVER };
    uint64_t offered;

    guest_write32(guest, NV_VIRTIO_REG_STATUS, 0);
    guest_write32(guest, NV_VIRTIO_REG_STATUS, NV_VIRTIO_ACKNOWLEDGE);
    guest_write32(guest, NV_VIRTIO_REG_STATUS, STATUS);
    guest_write32(guest, NV_VIRTIO_REG_DEVICE_FEATURES_SEL, 0);
    offered = guest_read32(guest, NV_VIRTIO_REG_DEVICE_FEATURES);
    guest_write32(guest, NV_VIRTIO_REG_DEVICE_FEATURES_SEL, 1);
    offered |= (uint64_t)guest_read32(guest, NV_VIRTIO_REG_DEVICE_FEATURES) << 32;
    features = features == GUEST_ALL ? offered : features | NV_VIRTIO_F_VERSION_1;
    guest_write32(guest, NV_VIRTIO_REG_DRIVER_FEATURES_SEL, 0);
    guest_write32(guest, NV_VIRTIO_REG_DRIVER_FEATURES, (uint32_t)features);
    guest_write32(guest, NV_VIRTIO_REG_DRIVER_FEATURES_SEL, 1);
    guest_write32(guest, NV_VIRTIO_REG_DRIVER_FEATURES, (uint32_t)(features >> 32));
    guest_write32(guest, NV_VIRTIO_REG_STATUS, STATUS | NV_VIRTIO_FEATURES_OK);
    if (!(guest_read32(guest, NV_VIRTIO_REG_STATUS) & NV_VIRTIO_FEATURES_OK))
        return -EPROTO;
    guest->features = features;
    guest->has_event_idx = features & NV_VIRTIO_F_EVENT_IDX;
    guest->queue_count = 0;
    guest->heap = GUEST_RINGS;
    return 0;
}

static void init_queue(struct guest_queue *q, uint32_t size, uint64_t rings)
{
    q->size = size;
    q->descriptors = rings;
    q->driver = q->descriptors + DESCRIPTOR_SIZE * (uint64_t)size;
    q->device = nv_align_up(q->driver + RING_ENTRIES + 2 * (uint64_t)size + 2, 4);
    q->next_available = q->last_used = q->last_kick = 0;
    q->free_count = (uint16_t)size;
    for (uint32_t i = 0; i < size; i++)
        q->free[i] = (uint16_t)(size - 1 - i);
}

int guest_setup_queue(struct virtio_guest *guest, uint32_t queue, uint32_t size)
{
    struct guest_queue *q = &guest->queues[queue];
    uint64_t rings = guest->heap;
    uint32_t max;

    guest_write32(guest, NV_VIRTIO_REG_QUEUE_SEL, queue);
    max = guest_read32(guest, NV_VIRTIO_REG_QUEUE_NUM_MAX);
    if (max == 0)
        return -ENOENT;
    if (size == 0)
        size = NV_MIN(max, guest->ring_size);
    if (size > NV_QUEUE_SIZE_MAX || rings + stride(size) > GUEST_SPAN)
        return -ENOSPC;
    init_queue(q, size, rings);
    memset(guest->low + rings, 0, stride(size));
    guest->heap = rings + stride(size);
    guest->dirty_end = NV_MAX(guest->dirty_end, guest->heap);
    guest->queue_count = NV_MAX(guest->queue_count, queue + 1);
    guest_write32(guest, NV_VIRTIO_REG_QUEUE_NUM, size);
    guest_write32(guest, NV_VIRTIO_REG_QUEUE_DESC_LOW, (uint32_t)q->descriptors);
    guest_write32(guest, NV_VIRTIO_REG_QUEUE_DESC_HIGH, (uint32_t)(q->descriptors >> 32));
    guest_write32(guest, NV_VIRTIO_REG_QUEUE_DRIVER_LOW, (uint32_t)q->driver);
    guest_write32(guest, NV_VIRTIO_REG_QUEUE_DRIVER_HIGH, (uint32_t)(q->driver >> 32));
    guest_write32(guest, NV_VIRTIO_REG_QUEUE_DEVICE_LOW, (uint32_t)q->device);
    guest_write32(guest, NV_VIRTIO_REG_QUEUE_DEVICE_HIGH, (uint32_t)(q->device >> 32));
    guest_write32(guest, NV_VIRTIO_REG_QUEUE_READY, 1);
    if (guest->has_no_interrupt && !guest->has_event_idx)
        store_u16(guest, q->driver, 0, 1);
    return guest_read32(guest, NV_VIRTIO_REG_QUEUE_READY) == 1 ? 0 : -EIO;
}

void guest_driver_ok(struct virtio_guest *guest)
{
    uint32_t status = guest_read32(guest, NV_VIRTIO_REG_STATUS);

    guest_write32(guest, NV_VIRTIO_REG_STATUS,
                  (status & ~(uint32_t)NV_VIRTIO_NEEDS_RESET) | NV_VIRTIO_DRIVER_OK);
}

int guest_drive(struct virtio_guest *guest, uint64_t features)
{
    int r = guest_negotiate(guest, features);

    for (uint32_t i = 0; i < guest->virtio->queue_count && r >= 0; i++)
        r = guest_setup_queue(guest, i, 0);
    if (r >= 0)
        guest_driver_ok(guest);
    return r;
}

void guest_reset(struct virtio_guest *guest)
{
    guest_write32(guest, NV_VIRTIO_REG_STATUS, 0);
    memset(guest->low + GUEST_RINGS, 0, guest->dirty_end - GUEST_RINGS);
    guest->heap = guest->dirty_end = GUEST_RINGS;
    guest->queue_count = 0;
    guest->has_no_interrupt = false;
}

void guest_touch(struct virtio_guest *guest, uint64_t address, uint64_t length)
{
    uint64_t end;

    if (!nv_add_overflows(address, length, &end))
        guest->dirty_end = NV_MAX(guest->dirty_end, NV_MIN(end, (uint64_t)GUEST_SPAN));
}

uint64_t guest_alloc(struct virtio_guest *guest, uint64_t length)
{
    uint64_t address = nv_align_up(guest->heap, 16);

    if (address > GUEST_SPAN || length > GUEST_SPAN - address)
        return 0;
    guest->heap = address + length;
    guest->dirty_end = NV_MAX(guest->dirty_end, guest->heap);
    return address;
}

void guest_put_descriptor(struct virtio_guest *guest, uint64_t table, uint32_t index,
                          uint64_t address, uint32_t length, uint16_t flags, uint16_t next)
{
    uint64_t *words = guest_mem(guest, table + DESCRIPTOR_SIZE * (uint64_t)index, DESCRIPTOR_SIZE);

    if (!words)
        return;
    __atomic_store_n(&words[0], htole64(address), __ATOMIC_RELAXED);
    __atomic_store_n(&words[1], htole64(length | (uint64_t)flags << 32 | (uint64_t)next << 48),
                     __ATOMIC_RELAXED);
}

void guest_put_available(struct virtio_guest *guest, uint32_t queue, uint16_t slot, uint16_t head)
{
    struct guest_queue *q = &guest->queues[queue];

    store_u16(guest, q->driver, RING_ENTRIES + 2ull * (slot & (q->size - 1)), head);
}

void guest_put_index(struct virtio_guest *guest, uint32_t queue, uint16_t index)
{
    store_u16(guest, guest->queues[queue].driver, RING_INDEX, index);
}

static uint16_t flags_of(const struct guest_part *part, bool has_next)
{
    return (uint16_t)((part->is_writable ? GUEST_WRITE : 0) | (has_next ? GUEST_NEXT : 0));
}

static uint16_t take_free(struct guest_queue *q)
{
    return q->free[--q->free_count];
}

static int publish(struct virtio_guest *guest, uint32_t queue, uint16_t head, uint16_t count)
{
    struct guest_queue *q = &guest->queues[queue];

    q->count[head] = count;
    guest_put_available(guest, queue, q->next_available++, head);
    guest_put_index(guest, queue, q->next_available);
    return head;
}

int guest_add(struct virtio_guest *guest, uint32_t queue, const struct guest_part *parts,
              uint32_t count)
{
    struct guest_queue *q = &guest->queues[queue];
    uint16_t head;
    uint16_t at;

    if (count == 0 || count > q->free_count)
        return -ENOSPC;
    head = at = take_free(q);
    for (uint32_t i = 0; i < count; i++) {
        bool has_next = i + 1 < count;

        q->next[at] = has_next ? take_free(q) : 0;
        guest_put_descriptor(guest, q->descriptors, at, parts[i].address, parts[i].length,
                             flags_of(&parts[i], has_next), q->next[at]);
        at = q->next[at];
    }
    return publish(guest, queue, head, (uint16_t)count);
}

int guest_add_indirect(struct virtio_guest *guest, uint32_t queue, uint64_t table,
                       const struct guest_part *parts, uint32_t count)
{
    struct guest_queue *q = &guest->queues[queue];
    uint16_t head;

    if (table == 0)
        table = guest_alloc(guest, DESCRIPTOR_SIZE * (uint64_t)count);
    if (table == 0 || q->free_count == 0)
        return -ENOSPC;
    head = take_free(q);
    for (uint32_t i = 0; i < count; i++)
        guest_put_descriptor(guest, table, i, parts[i].address, parts[i].length,
                             flags_of(&parts[i], i + 1 < count), (uint16_t)(i + 1));
    guest_put_descriptor(guest, q->descriptors, head, table, DESCRIPTOR_SIZE * count,
                         GUEST_INDIRECT, 0);
    return publish(guest, queue, head, 1);
}

void guest_kick(struct virtio_guest *guest, uint32_t queue)
{
    guest_write32(guest, NV_VIRTIO_REG_QUEUE_NOTIFY, queue);
}

bool guest_kick_wanted(struct virtio_guest *guest, uint32_t queue)
{
    struct guest_queue *q = &guest->queues[queue];
    uint16_t now = q->next_available;
    uint16_t event;
    bool is_wanted;

    /* Before it the new index, behind it what the device wants: nv_queue_arm() does the reverse. */
    __atomic_exchange_n(&q->fence, 1, __ATOMIC_SEQ_CST);
    event = load_u16(guest, q->device, RING_ENTRIES + 8ull * q->size);
    if (guest->has_event_idx)
        is_wanted = (uint16_t)(now - event - 1) < (uint16_t)(now - q->last_kick);
    else
        is_wanted = !(load_u16(guest, q->device, 0) & 1);
    q->last_kick = now;
    if (is_wanted)
        guest_kick(guest, queue);
    return is_wanted;
}

uint16_t guest_used_index(struct virtio_guest *guest, uint32_t queue)
{
    return load_u16(guest, guest->queues[queue].device, RING_INDEX);
}

/* The descriptors of a chain are the driver's again. */
static void free_chain(struct guest_queue *q, uint32_t head)
{
    uint16_t at = (uint16_t)head;

    if (head >= q->size)
        return;
    for (uint16_t i = 0; i < q->count[head] && q->free_count < q->size; i++) {
        q->free[q->free_count++] = at;
        at = q->next[at];
    }
    q->count[head] = 0;
}

bool guest_used(struct virtio_guest *guest, uint32_t queue, uint32_t *ret_head,
                uint32_t *ret_length)
{
    struct guest_queue *q = &guest->queues[queue];
    uint64_t entry = q->device + RING_ENTRIES + 8ull * (q->last_used & (q->size - 1));
    uint16_t waiting = (uint16_t)(guest_used_index(guest, queue) - q->last_used);
    uint32_t head;

    if (waiting == 0 || waiting > q->size) /* more: the test itself broke the ring */
        return false;
    head = load_u32(guest, entry);
    if (ret_head)
        *ret_head = head;
    if (ret_length)
        *ret_length = load_u32(guest, entry + 4);
    free_chain(q, head);
    q->last_used++;
    if (guest->has_event_idx && !guest->has_no_interrupt)
        store_u16(guest, q->driver, RING_ENTRIES + 2ull * q->size, q->last_used);
    return true;
}

bool guest_wait_used(struct virtio_guest *guest, uint32_t queue, uint32_t *ret_head,
                     uint32_t *ret_length, unsigned timeout_ms)
{
    const uint64_t end_ns = nv_now_ns() + timeout_ms * 1000000ull;

    while (!guest_used(guest, queue, ret_head, ret_length)) {
        struct pollfd irq = { .fd = guest->virtio->irq_fd, .events = POLLIN };

        if (nv_now_ns() >= end_ns)
            return false;
        /* Not for long: the driver may have asked for no interrupt. */
        poll(&irq, 1, 1);
        guest_interrupts(guest);
    }
    return true;
}
