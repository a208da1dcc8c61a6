/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzzes the MMIO transport: programs of register accesses of any width, order and value. */
#include <stdio.h>
#include <stdlib.h>

#include "core/util.h"
#include "device_program.h"
#include "memory/layout.h"
#include "virtio_probe.h"

enum { QUEUES = 2, RINGS = 0x1000, LOW_END = 0x4000, STEPS_MAX = 300 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct virtio_guest guest;
static struct nv_queue before[QUEUES]; /* the queues as they were */

static void require(int is_true, const char *what)
{
    if (is_true)
        return;
    fprintf(stderr, "broken promise: %s\n", what);
    abort();
}

static void setup(void)
{
    require(guest_new_class(&guest, &probe_class, 0) == 0, "guest_new_class");
    probe_of(&guest)->queues = QUEUES;
    probe_of(&guest)->drop_cancels = true; /* or a reset would wait */
    require(guest_wire(&guest) == 0, "guest_wire");
    guest_start(&guest);
}

/* What may never be, whatever was written. */
static void check_device(void)
{
    const struct nv_virtio *v = guest.virtio;
    bool has_features = v->status & NV_VIRTIO_FEATURES_OK;

    require(!(v->status & NV_VIRTIO_DRIVER) || (v->status & NV_VIRTIO_ACKNOWLEDGE), "DRIVER");
    require(!has_features || (v->status & NV_VIRTIO_DRIVER), "FEATURES_OK");
    require(!(v->status & NV_VIRTIO_DRIVER_OK) || has_features, "DRIVER_OK");
    require(!(v->status & 0x30), "no other status bits");
    require(!(v->features & ~v->offered), "only offered features");
    require(!has_features || (v->features & NV_VIRTIO_F_VERSION_1), "VERSION_1");
    require(!has_features || !(v->features & PROBE_CHECKED) || (v->features & PROBE_PLAIN),
            "features that belong together");
    require(has_features || !v->features, "no features before FEATURES_OK");
    require(!v->is_resetting, "a reset is done");
    require(!(atomic_load(&v->interrupt_status) & ~3u), "interrupt status");
    for (uint32_t i = 0; i < QUEUES; i++) {
        const struct nv_queue *ring = &v->queues[i].ring;

        require(!ring->is_ready || has_features, "queues after FEATURES_OK");
        require(!ring->is_ready || (ring->size > 0 && ring->size <= v->queue_size &&
                                    (ring->size & (ring->size - 1)) == 0),
                "a ready queue has a size");
        require(v->queues[i].held == probe_of(&guest)->held_count[i], "held chains");
    }
}

/* A ready queue stays as it is until it is switched off or the device reset. */
static void check_queues(bool may_switch)
{
    for (uint32_t i = 0; i < QUEUES; i++) {
        const struct nv_queue *ring = &guest.virtio->queues[i].ring;

        if (before[i].is_ready && !may_switch)
            require(ring->is_ready && ring->size == before[i].size &&
                        ring->descriptors == before[i].descriptors &&
                        ring->driver == before[i].driver && ring->device == before[i].device &&
                        ring->table == before[i].table && ring->available == before[i].available &&
                        ring->used == before[i].used,
                    "a ready queue does not change");
        before[i] = *ring;
    }
}

static uint64_t offset_of(struct fuzz_input *input)
{
    static const uint16_t registers[] = {
        0x000, 0x010, 0x014, 0x020, 0x024, 0x030, 0x034, 0x038, 0x044, 0x044, 0x050,
        0x060, 0x064, 0x070, 0x070, 0x070, 0x080, 0x084, 0x090, 0x094, 0x0a0, 0x0a4,
        0x0b0, 0x0fc, 0x100, 0x104, 0x108, 0x10c, 0x1f8, 0x1fc, 0x200, 0x038,
    };
    uint8_t what = (uint8_t)fuzz_take(input, 1);

    if (what < 0xc0)
        return registers[what % 32];
    return fuzz_take(input, 2) % (NV_LAYOUT_VIRTIO_SIZE + 16);
}

static uint64_t value_of(struct fuzz_input *input)
{
    static const uint64_t usual[] = {
        0,          1,          2,          3,          4,          8,
        0xb,        0xf,        0x10,       0x40,       0x80,       0x100,
        0x1000,     0x1400,     0x1800,     0x2000,     0x2400,     0x2800,
        0x30000003, 0x3,        0x10000000, 0x20000000, GUEST_HOLE, GUEST_SPAN - 16,
        0xd0000000, 0xffffffff, 0x80000000, 0x7f,       0x8f,       0x4f,
        0x101,      UINT64_MAX,
    };
    uint8_t what = (uint8_t)fuzz_take(input, 1);

    if (what < 0xc0)
        return usual[what % 32];
    return fuzz_take(input, what < 0xe0 ? 4 : 8);
}

static void access_window(struct fuzz_input *input, uint8_t shape)
{
    static const uint8_t lengths[] = { 4, 4, 4, 1, 2, 8, 3, 4 };
    uint32_t size = lengths[shape >> 1 & 7];
    bool is_write = shape & 1;
    uint64_t offset = offset_of(input);
    uint8_t data[8] = { 0 };

    if (is_write)
        nv_put_le64(data, value_of(input));
    require(guest_access_once(&guest, offset, size, is_write, data) != NV_ACTION_AGAIN,
            "nothing has to wait");
    if (!is_write && offset + size <= NV_VIRTIO_REG_CONFIG && (size != 4 || offset % 4))
        for (uint32_t i = 0; i < size; i++)
            require(data[i] == 0, "odd accesses read zeroes");
    check_device();
    check_queues(is_write &&
                 (offset == NV_VIRTIO_REG_STATUS || offset == NV_VIRTIO_REG_QUEUE_READY));
}

/* A driver that knows how to, so that the rest is reached too. */
static void drive(uint8_t how)
{
    guest.ring_size = 16;
    if (how & 0x10)
        guest_negotiate(&guest, how & 3);
    else
        guest_drive(&guest, (how & 1 ? NV_VIRTIO_F_EVENT_IDX : 0) |
                                (how & 2 ? NV_VIRTIO_F_INDIRECT_DESC : 0));
    probe_of(&guest)->holds = how & 4;
    check_device();
    check_queues(true);
}

/* A request where the usual rings are. */
static void request(uint8_t queue)
{
    static const struct guest_part parts[] = { { 0x3000, 16, false }, { 0x3100, 16, true } };

    if (queue % QUEUES < guest.queue_count)
        guest_add(&guest, queue % QUEUES, parts, 2);
}

static void change_config(uint8_t value)
{
    NV_VIRTIO_GUARD(guest.virtio);
    guest.virtio->config[0] = value;
    nv_virtio_config_changed(guest.virtio);
}

static void step(struct fuzz_input *input)
{
    uint8_t what = (uint8_t)fuzz_take(input, 1);

    switch (what >> 4) {
    case 0:
        drive((uint8_t)fuzz_take(input, 1));
        break;
    case 1:
        request(what);
        break;
    case 2:
        probe_finish(probe_of(&guest), what % QUEUES);
        break;
    case 3:
        change_config(what);
        break;
    case 4:
        guest_pause(&guest);
        if (what & 1)
            guest_resume(&guest);
        break;
    case 5:
        nv_put_le64(guest.low + RINGS + fuzz_take(input, 2) % (LOW_END - RINGS - 8),
                    fuzz_take(input, 8));
        break;
    default:
        access_window(input, what);
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input input = { data, size };

    if (!guest.device)
        setup();
    memset(before, 0, sizeof(before));
    for (int i = 0; i < STEPS_MAX && input.left > 0; i++)
        step(&input);
    guest_resume(&guest);
    guest_reset(&guest);
    check_device();
    probe_of(&guest)->holds = false;
    memset(guest.low, 0, LOW_END);
    return 0;
}
