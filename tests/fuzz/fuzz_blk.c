/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzzes the disk device: a guest's requests, registers and rings, on an image in memory. */
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/util.h"
#include "devices/blk.h"
#include "virtio_guest.h"

enum { SECTORS = 128, IMAGE_SIZE = SECTORS * 512, STEPS_MAX = 40, QUEUES = 2 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Devices that are made once; the first byte of an input chooses. */
enum kind { WRITABLE, READ_ONLY, THROUGH, STOPPING, KINDS };

static struct disk {
    struct virtio_guest guest;
    int fd;
    bool is_made;
    uint64_t size; /* of the image, as the host has it */
} disks[KINDS];

struct input {
    const uint8_t *at;
    size_t left;
};

static uint64_t take(struct input *in, unsigned bytes)
{
    uint64_t value = 0;

    for (unsigned i = 0; i < bytes && in->left > 0; i++, in->at++, in->left--)
        value |= (uint64_t)*in->at << (8 * i);
    return value;
}

static void require(bool is_true, const char *promise)
{
    if (is_true)
        return;
    fprintf(stderr, "broken: %s\n", promise);
    abort();
}

static void make(struct disk *disk, enum kind kind)
{
    struct virtio_guest *guest = &disk->guest;

    disk->fd = memfd_create("fuzz", MFD_CLOEXEC);
    require(disk->fd >= 0 && ftruncate(disk->fd, IMAGE_SIZE) == 0, "an image can be had");
    require(guest_new(guest, "blk", 0) == 0, "a device can be had");
    guest_set_fd(guest, "fd", disk->fd);
    guest_set_u64(guest, "queues", QUEUES);
    guest_set_u64(guest, "read_only", kind == READ_ONLY);
    guest_set_u64(guest, "writeback", kind != THROUGH);
    guest_set_u64(guest, "discard", kind != THROUGH);
    guest_set_string(guest, "serial", "fuzzed");
    guest_set_string(guest, "on_error", kind == STOPPING ? "stop" : "report");
    require(guest_wire(guest) == 0, guest->error);
    guest_start(guest);
    disk->size = IMAGE_SIZE;
    disk->is_made = true;
}

/* Where a buffer is: mostly in ordinary memory, sometimes where it hurts. */
static uint64_t choose_address(struct virtio_guest *guest, struct input *in, uint32_t length)
{
    switch (take(in, 1) % 8) {
    case 0:
        return take(in, 8);
    case 1:
        return GUEST_SPAN - take(in, 1) * 8;
    case 2:
        return GUEST_RINGS + take(in, 2) % 0x2000; /* the rings themselves */
    case 3:
        return GUEST_ISLAND + take(in, 2);
    default:
        return guest_alloc(guest, NV_MIN(length, 8192u));
    }
}

static uint32_t choose_length(struct input *in)
{
    uint32_t kind = (uint32_t)take(in, 1);

    switch (kind % 4) {
    case 0:
        return (uint32_t)take(in, 2);
    case 1:
        return kind & 0x80 ? (uint32_t)take(in, 4) : kind / 4;
    default:
        return 512 * (1 + (kind / 4) % 16);
    }
}

static uint32_t choose_type(struct input *in)
{
    static const uint32_t types[] = { BLK_T_IN,     BLK_T_OUT,     BLK_T_FLUSH,
                                      BLK_T_GET_ID, BLK_T_DISCARD, BLK_T_WRITE_ZEROES };
    uint32_t kind = (uint32_t)take(in, 1);

    return kind < 240 ? types[kind % NV_ARRAY_SIZE(types)] : (uint32_t)take(in, 4);
}

static uint64_t choose_sector(struct input *in)
{
    uint32_t kind = (uint32_t)take(in, 1);

    return kind < 224 ? kind % (SECTORS + 2) : take(in, 8);
}

static uint64_t make_header(struct virtio_guest *guest, struct input *in, uint32_t type)
{
    uint64_t at = guest_alloc(guest, 16);
    uint8_t *bytes = guest_mem(guest, at, 16);

    if (at == 0 || !bytes)
        return 0;
    nv_put_le32(bytes, type);
    nv_put_le64(bytes + 8, choose_sector(in));
    return at;
}

static uint64_t make_segment(struct virtio_guest *guest, struct input *in)
{
    uint64_t at = guest_alloc(guest, 32);
    uint8_t *bytes = guest_mem(guest, at, 32);

    if (at == 0 || !bytes)
        return 0;
    nv_put_le64(bytes, choose_sector(in));
    nv_put_le32(bytes + 8, (uint32_t)take(in, take(in, 1) % 8 ? 1 : 4));
    nv_put_le32(bytes + 12, (uint32_t)take(in, 1) % 4);
    return at;
}

static void add_request(struct virtio_guest *guest, struct input *in)
{
    enum { PARTS_MAX = 8 };
    struct guest_part parts[PARTS_MAX + 3];
    uint32_t shape = (uint32_t)take(in, 1);
    uint32_t type = choose_type(in);
    uint32_t count = 0;

    if (shape % 16)
        parts[count++] = (struct guest_part){ make_header(guest, in, type), 16, false };
    if ((type == BLK_T_DISCARD || type == BLK_T_WRITE_ZEROES) && shape % 32 != 31)
        parts[count++] = (struct guest_part){ make_segment(guest, in), 16, false };
    for (uint32_t left = (shape / 4) % PARTS_MAX; left > 0; left--) {
        uint32_t length = choose_length(in);
        uint64_t address = choose_address(guest, in, length);
        bool is_odd = take(in, 1) % 32 == 31;

        parts[count++] = (struct guest_part){ address, length, (type != BLK_T_OUT) != is_odd };
    }
    if (shape < 240)
        parts[count++] = (struct guest_part){ guest_alloc(guest, 1), 1, true };
    if (count == 0)
        return;
    if (shape & 0x40)
        guest_add_indirect(guest, shape % QUEUES, 0, parts, count);
    else
        guest_add(guest, shape % QUEUES, parts, count);
}

/* The host, too, does what it likes. */
static void shrink_image(struct disk *disk, uint64_t sectors)
{
    disk->size = NV_MIN(sectors, (uint64_t)SECTORS) * 512;
    require(ftruncate(disk->fd, (off_t)disk->size) == 0, "an image can be cut");
}

static void check_image(struct disk *disk)
{
    struct stat info;

    require(fstat(disk->fd, &info) == 0 && (uint64_t)info.st_size == disk->size,
            "the image keeps its size");
}

static void step(struct disk *disk, struct input *in)
{
    struct virtio_guest *guest = &disk->guest;
    uint32_t what = (uint32_t)take(in, 1);
    uint64_t at;

    switch (what % 16) {
    default:
        add_request(guest, in);
        break;
    case 8:
    case 9:
        guest_kick(guest, what / 16 % QUEUES);
        break;
    case 10:
        at = guest->queues[what / 16 % QUEUES].descriptors;
        guest_put_descriptor(guest, at, (uint32_t)take(in, 1), take(in, 8), (uint32_t)take(in, 4),
                             (uint16_t)take(in, 1), (uint16_t)take(in, 1));
        break;
    case 11:
        guest_put_index(guest, what / 16 % QUEUES, (uint16_t)take(in, 2));
        break;
    case 12:
        guest_set_config(guest, (uint32_t)take(in, 1) % 64, 1u << (what / 16 % 3), take(in, 1));
        break;
    case 13:
        shrink_image(disk, take(in, 1));
        break;
    case 14:
        guest_set_u64(guest, "resize", 512 * take(in, 1));
        break;
    case 15:
        if (what & 0x80) {
            guest_drive(guest, what & 0x40 ? GUEST_ALL : take(in, 2));
        } else {
            guest_pause(guest);
            guest_resume(guest);
        }
        break;
    }
}

/* The device has no request left, and is as at first for the next input. */
static void restore(struct disk *disk)
{
    struct virtio_guest *guest = &disk->guest;

    check_image(disk);
    guest_reset(guest);
    for (uint32_t i = 0; i < QUEUES; i++)
        require(guest->virtio->queues[i].held == 0, "a reset leaves nothing in flight");
    if (disk->size != IMAGE_SIZE) {
        shrink_image(disk, SECTORS);
        guest_set_u64(guest, "resize", 0);
    } else if (guest_get_u64(guest, "capacity") != SECTORS) {
        guest_set_u64(guest, "resize", 0);
    }
    require(guest_get_u64(guest, "capacity") == SECTORS, "the capacity follows the image");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = { data, size };
    enum kind kind = (enum kind)(take(&in, 1) % KINDS);
    struct disk *disk = &disks[kind];

    if (!disk->is_made)
        make(disk, kind);
    if (guest_drive(&disk->guest, GUEST_ALL) < 0)
        return 0;
    for (int i = 0; i < STEPS_MAX && in.left > 0; i++)
        step(disk, &in);
    for (uint32_t i = 0; i < QUEUES; i++)
        guest_kick(&disk->guest, i);
    restore(disk);
    if (kind == READ_ONLY)
        require(guest_get_u64(&disk->guest, "writes") == 0, "a read-only disk is not written");
    return 0;
}
