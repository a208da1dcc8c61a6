/* SPDX-License-Identifier: Apache-2.0 */
/* Owns how a fuzzer's bytes become a driver: requests of any shape, register accesses, resets. */
#ifndef TESTS_FUZZ_DEVICE_PROGRAM_H
#define TESTS_FUZZ_DEVICE_PROGRAM_H

#include <stdint.h>
#include <string.h>

#include "memory/layout.h"
#include "virtio_guest.h"

/* The input, taken from its front; zeroes behind its end. */
struct fuzz_input {
    const uint8_t *data;
    size_t left;
};

static inline uint64_t fuzz_take(struct fuzz_input *input, unsigned bytes)
{
    uint64_t value = 0;

    for (unsigned i = 0; i < bytes && input->left > 0; i++) {
        value |= (uint64_t)*input->data++ << (8 * i);
        input->left--;
    }
    return value;
}

/* Where buffers lie: mostly on the heap, sometimes anywhere. */
static inline uint64_t fuzz_address(struct fuzz_input *input, struct virtio_guest *guest,
                                    uint32_t length)
{
    static const uint64_t odd[] = { 0,          GUEST_SPAN - 8, GUEST_HOLE - 4, GUEST_ISLAND,
                                    GUEST_HOLE, 0xfec00000,     UINT64_MAX - 3, GUEST_RINGS };
    uint8_t kind = (uint8_t)fuzz_take(input, 1);

    if (kind < 8)
        return odd[kind];
    if (kind < 16)
        return fuzz_take(input, 3);
    return guest_alloc(guest, length < 4096 ? length : 4096);
}

static inline uint32_t fuzz_length(struct fuzz_input *input)
{
    uint8_t kind = (uint8_t)fuzz_take(input, 1);

    if (kind < 0xf0)
        return kind;
    return (uint32_t)fuzz_take(input, kind < 0xfe ? 2 : 4) & (kind < 0xfd ? 0xfffu : UINT32_MAX);
}

/* Fills the start of a readable buffer. */
static inline void fuzz_fill(struct fuzz_input *input, struct virtio_guest *guest, uint64_t address,
                             uint32_t length)
{
    uint32_t run = length < 64 ? length : 64;
    uint8_t *bytes = address < GUEST_SPAN ? guest_mem(guest, address, run) : NULL;

    if (!bytes)
        return;
    for (uint32_t i = 0; i < run; i++)
        bytes[i] = (uint8_t)fuzz_take(input, 1);
    guest_touch(guest, address, run);
}

static inline void fuzz_request(struct fuzz_input *input, struct virtio_guest *guest)
{
    struct guest_part parts[8];
    uint8_t shape = (uint8_t)fuzz_take(input, 1);
    uint32_t queue = (uint32_t)fuzz_take(input, 1) % guest->virtio->queue_count;
    uint32_t count = 1 + (shape & 7);

    if (queue >= guest->queue_count)
        return;
    for (uint32_t i = 0; i < count; i++) {
        parts[i].length = fuzz_length(input);
        parts[i].address = fuzz_address(input, guest, parts[i].length);
        parts[i].is_writable = shape & 0x10 ? fuzz_take(input, 1) & 1 : shape & 0x20;
        if (!parts[i].is_writable)
            fuzz_fill(input, guest, parts[i].address, parts[i].length);
    }
    if (shape & 0x40)
        guest_add_indirect(guest, queue, 0, parts, count);
    else
        guest_add(guest, queue, parts, count);
    if (!(shape & 0x80))
        guest_kick(guest, queue);
}

/* An access of any kind to the device's window. */
static inline void fuzz_access(struct fuzz_input *input, struct virtio_guest *guest)
{
    uint8_t shape = (uint8_t)fuzz_take(input, 1);
    uint64_t offset = fuzz_take(input, 2) % (NV_LAYOUT_VIRTIO_SIZE + 8);
    uint8_t data[8];

    memset(data, 0, sizeof(data));
    for (unsigned i = 0; i < 4; i++)
        data[i] = (uint8_t)fuzz_take(input, 1);
    guest_access(guest, offset, 1u << (shape & 3), shape & 4, data);
}

/* Makes the driver begin anew, with features and queues of its choice. */
static inline void fuzz_drive(struct fuzz_input *input, struct virtio_guest *guest)
{
    uint64_t features = fuzz_take(input, 1) | NV_VIRTIO_F_INDIRECT_DESC;
    uint64_t queues = fuzz_take(input, 1);

    guest_reset(guest);
    if (guest_negotiate(guest, features) < 0)
        return;
    for (uint32_t i = 0; i < guest->virtio->queue_count; i++)
        if (queues >> i & 1)
            guest_setup_queue(guest, i, 0);
    guest_driver_ok(guest);
}

/* What a byte does if the target has no use for it. */
static inline void fuzz_step(struct fuzz_input *input, struct virtio_guest *guest, uint8_t what)
{
    uint32_t queue;

    switch (what % 16) {
    case 0:
        fuzz_drive(input, guest);
        break;
    case 1:
        fuzz_access(input, guest);
        break;
    case 2:
        guest_pause(guest);
        guest_resume(guest);
        break;
    case 3:
        guest_kick(guest, (uint32_t)fuzz_take(input, 1));
        break;
    case 4:
        queue = (uint32_t)fuzz_take(input, 1) % guest->virtio->queue_count;
        if (queue < guest->queue_count)
            guest_put_index(guest, queue, (uint16_t)fuzz_take(input, 2));
        break;
    case 5:
        guest_set_config(guest, (uint32_t)fuzz_take(input, 1) % 16, 4, fuzz_take(input, 4));
        break;
    case 6:
    case 7:
        queue = (uint32_t)fuzz_take(input, 1) % guest->virtio->queue_count;
        while (queue < guest->queue_count && guest_used(guest, queue, NULL, NULL))
            ;
        break;
    default:
        fuzz_request(input, guest);
        break;
    }
}

#endif
