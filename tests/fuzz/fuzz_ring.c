/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzzes the virtqueue: descriptors, tables and rings of any content before an echoing device. */
#include <stdio.h>
#include <stdlib.h>

#include "core/util.h"
#include "device_program.h"
#include "virtio_probe.h"

enum {
    TABLES = 0x4000,
    BUFFERS = 0x5000,
    LOW_END = 0x8000,
    STEPS_MAX = 200,
    CHAINS_MAX = 4096 /* of one input: the rest of it is not interesting */
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct virtio_guest guest;
static unsigned chains;

static void require(int is_true, const char *what)
{
    if (is_true)
        return;
    fprintf(stderr, "broken promise: %s\n", what);
    abort();
}

static bool is_inside(const struct iovec *part)
{
    for (uint32_t i = 0; i < guest.memory.slot_count; i++) {
        const struct nv_memory_slot *slot = &guest.memory.slots[i];
        uint64_t offset = (uintptr_t)part->iov_base - (uintptr_t)slot->host;

        if (nv_range_fits(offset, part->iov_len, slot->length))
            return true;
    }
    return false;
}

/* What every chain must be, whatever the guest wrote. */
static void check_chain(struct probe *probe, uint32_t queue, struct nv_chain *chain)
{
    const struct nv_queue *ring = &probe->virtio.queues[queue].ring;
    uint64_t bytes = 0;

    chains++;
    require(chain->head < ring->size, "a head exists");
    require(ring->in_flight[chain->head / 64] >> chain->head % 64 & 1, "a head is in flight");
    require(chain->read_end == chain->write_at && chain->read_at == 0, "readable before writable");
    require(chain->write_end <= NV_CHAIN_PARTS_MAX, "a chain is bounded");
    for (uint32_t i = 0; i < chain->write_end; i++) {
        require(chain->parts[i].iov_len > 0, "no part is empty");
        require(is_inside(&chain->parts[i]), "a part is guest memory");
        bytes += chain->parts[i].iov_len;
    }
    require(bytes == chain->read_left + chain->write_left, "the bytes are those of the parts");
    require(bytes <= 1ull << 32, "a chain has at most 2^32 bytes");
}

static void setup(void)
{
    struct probe *probe;

    require(guest_new_class(&guest, &probe_class, 0) == 0, "guest_new_class");
    probe = probe_of(&guest);
    probe->on_pop = check_chain;
    probe->drop_cancels = true;
    require(guest_wire(&guest) == 0, "guest_wire");
    guest_start(&guest);
}

static uint64_t place(struct fuzz_input *input)
{
    static const uint64_t bases[] = {
        0,
        GUEST_RINGS,
        TABLES,
        BUFFERS,
        BUFFERS + 0x100,
        BUFFERS,
        GUEST_SPAN - 128,
        GUEST_HOLE - 128,
        GUEST_HOLE,
        GUEST_ISLAND,
        GUEST_END - 128,
        0xd0000000,
        UINT64_MAX - 127,
        TABLES,
        TABLES + 0x100,
        GUEST_RINGS + 0x400,
    };
    uint8_t what = (uint8_t)fuzz_take(input, 1);

    return bases[what % 16] + 8ull * (what / 16) + (fuzz_take(input, 1) % 128);
}

static uint32_t length(struct fuzz_input *input)
{
    uint8_t what = (uint8_t)fuzz_take(input, 1);

    if (what < 0x80)
        return what;
    if (what < 0xe0)
        return 16u * (what - 0x7f);
    return (uint32_t)fuzz_take(input, what < 0xf0 ? 2 : 4);
}

static void put_descriptor(struct fuzz_input *input, uint64_t table)
{
    uint32_t index = (uint32_t)fuzz_take(input, 1) % 64;
    uint8_t shape = (uint8_t)fuzz_take(input, 1);
    uint16_t next = (uint16_t)fuzz_take(input, 1);
    uint64_t address = place(input);

    if (shape & 0x80)
        next |= 0xff00;
    guest_put_descriptor(&guest, table, index, address, length(input), shape & 7, next);
}

static void raw_bytes(struct fuzz_input *input)
{
    uint64_t address = fuzz_take(input, 2) % (LOW_END - 8);

    nv_put_le64(guest.low + address, fuzz_take(input, 8));
}

static void good_request(struct fuzz_input *input)
{
    uint8_t shape = (uint8_t)fuzz_take(input, 1);
    const struct guest_part parts[] = { { BUFFERS, shape, false },
                                        { BUFFERS + 0x800, 2u * shape, true } };

    if (shape & 1)
        guest_add(&guest, 0, parts, 2);
    else
        guest_add_indirect(&guest, 0, TABLES, parts, 2);
}

static void kick(void)
{
    const uint64_t faults = guest.virtio->faults;
    const bool was_broken = guest.virtio->status & NV_VIRTIO_NEEDS_RESET;

    guest_kick(&guest, 0);
    require(guest.virtio->faults - faults <= 1, "a device breaks once");
    require((guest.virtio->faults != faults) ==
                (!was_broken && (guest.virtio->status & NV_VIRTIO_NEEDS_RESET)),
            "a device that breaks needs a reset");
}

static void drive(uint8_t features, uint8_t size)
{
    guest.ring_size = 1u << size % 7;
    require(guest_drive(&guest, (features & 1 ? NV_VIRTIO_F_EVENT_IDX : 0) |
                                    (features & 2 ? NV_VIRTIO_F_INDIRECT_DESC : 0)) == 0,
            "a driver that does right is ready");
    probe_of(&guest)->holds = features & 4;
}

static void step(struct fuzz_input *input)
{
    struct guest_queue *q = &guest.queues[0];

    switch (fuzz_take(input, 1) % 16) {
    case 0:
    case 1:
    case 2:
        put_descriptor(input, q->descriptors);
        break;
    case 3:
    case 4:
        put_descriptor(input, TABLES + fuzz_take(input, 1) % 4);
        break;
    case 5:
        guest_put_available(&guest, 0, (uint16_t)fuzz_take(input, 1),
                            (uint16_t)fuzz_take(input, 1));
        break;
    case 6:
        guest_put_index(&guest, 0,
                        (uint16_t)(guest_used_index(&guest, 0) + (int8_t)fuzz_take(input, 1)));
        break;
    case 7:
        guest_put_index(&guest, 0, (uint16_t)fuzz_take(input, 2));
        break;
    case 8:
        raw_bytes(input);
        break;
    case 9:
        good_request(input);
        break;
    case 10:
        probe_finish(probe_of(&guest), 0);
        break;
    case 11:
        while (guest_used(&guest, 0, NULL, NULL))
            ;
        break;
    case 12:
        drive((uint8_t)fuzz_take(input, 1), (uint8_t)fuzz_take(input, 1));
        break;
    default:
        kick();
        break;
    }
}

/* Whatever it was, a reset makes the device work. */
static void check_recovery(void)
{
    static const struct guest_part parts[] = { { BUFFERS, 8, false }, { BUFFERS + 8, 8, true } };
    uint32_t written = 0;

    guest_reset(&guest);
    probe_of(&guest)->holds = false;
    guest.ring_size = 4;
    require(guest_drive(&guest, 0) == 0, "a reset recovers");
    require(guest_add(&guest, 0, parts, 2) >= 0, "a request");
    guest_kick(&guest, 0);
    require(guest_used(&guest, 0, NULL, &written) && written == 8, "an answer");
    guest_reset(&guest);
    require(probe_of(&guest)->held_count[0] == 0, "nothing is held behind a reset");
}

/* Only what a request may have written. */
static void clean(void)
{
    memset(guest.low, 0, LOW_END);
    memset(guest.low + GUEST_SPAN - 256, 0, 256);
    memset(guest.memory.slots[1].host, 0, 4096);
    memset(guest.memory.slots[1].host + GUEST_SPAN_SIZE - 256, 0, 256);
    memset(guest.memory.slots[2].host, 0, 4096 + 256);
    memset(guest.memory.slots[2].host + GUEST_ISLAND_SIZE - 256, 0, 256);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input input = { data, size };

    if (!guest.device)
        setup();
    chains = 0;
    drive((uint8_t)fuzz_take(&input, 1), (uint8_t)fuzz_take(&input, 1));
    for (int i = 0; i < STEPS_MAX && input.left > 0 && chains < CHAINS_MAX; i++)
        step(&input);
    check_recovery();
    clean();
    return 0;
}
