/* SPDX-License-Identifier: Apache-2.0 */
/* Proves that no ring or chain breaks the virtqueue; numbers are those of hostile-guest.md. */
#include <errno.h>
#include <string.h>

#include "core/util.h"
#include "virtio_checks.h"

/* One descriptor at index 0 of queue 0, in the available ring but not yet notified. */
static void put_one(uint64_t address, uint32_t length, uint16_t flags, uint16_t next)
{
    guest_put_descriptor(&guest, guest.queues[0].descriptors, 0, address, length, flags, next);
    guest_put_available(&guest, 0, guest.queues[0].next_available, 0);
    guest_put_index(&guest, 0, (uint16_t)(guest.queues[0].next_available + 1));
}

static void put_more(uint32_t index, uint64_t address, uint32_t length, uint16_t flags,
                     uint16_t next)
{
    guest_put_descriptor(&guest, guest.queues[0].descriptors, index, address, length, flags, next);
}

/* The chain put by hand is answered with so many bytes. */
static void answered(uint32_t bytes)
{
    uint32_t head;
    uint32_t length;

    guest.queues[0].next_available++;
    guest_kick(&guest, 0);
    ck_assert_uint_eq(checks_status(), 0xf);
    ck_assert(guest_used(&guest, 0, &head, &length));
    ck_assert_uint_eq(length, bytes);
    ck_assert(!guest_used(&guest, 0, NULL, NULL));
}

START_TEST(test_hostile_01_available_index_jumps)
{
    static const uint16_t jumps[] = { GUEST_RING_SIZE + 1, 0x7fff, 0x8000, 0xfffe };

    checks_echo(0);
    for (size_t i = 0; i < NV_ARRAY_SIZE(jumps); i++) {
        guest_put_index(&guest, 0, (uint16_t)(guest.queues[0].next_available + jumps[i]));
        checks_breaks(0);
        ck_assert_uint_eq(probe_of(&guest)->pops, 1 + 2 * (i + 1));
    }
}
END_TEST

START_TEST(test_hostile_02_available_index_goes_back)
{
    checks_echo(0);
    checks_echo(0);
    guest_put_index(&guest, 0, 1);
    checks_breaks(0);
}
END_TEST

/* As if another vCPU put one request more into queue 0 for each that is taken. */
static void one_more(struct probe *probe, uint32_t queue, struct nv_chain *chain)
{
    if (queue == 0)
        guest_put_index(&guest, 0, ++guest.queues[0].next_available);
}

START_TEST(test_hostile_03_index_advances_while_draining)
{
    struct probe *probe = probe_of(&guest);

    probe->on_pop = one_more;
    put_more(0, 0, 0, GUEST_WRITE, 0); /* all slots of the available ring say 0 */
    guest_put_index(&guest, 0, ++guest.queues[0].next_available);
    for (unsigned pass = 1; pass <= 2000; pass++) {
        guest_kick(&guest, 0);
        ck_assert_uint_eq(probe->pops, pass * GUEST_RING_SIZE);
    }
    ck_assert_uint_eq(checks_status(), 0xf);
}
END_TEST

/* With a loop the pass is followed by others, and another device's source has its turn. */
START_TEST(test_hostile_03_others_are_served)
{
    struct probe *probe;

    checks_make(GUEST_LOOP);
    probe = probe_of(&guest);
    checks_start(GUEST_ALL);
    probe->on_pop = one_more;
    put_more(0, 0, 0, GUEST_WRITE, 0);
    guest_put_index(&guest, 0, ++guest.queues[0].next_available);
    guest_kick(&guest, 0);
    for (int i = 0; i < 50; i++)
        checks_echo(1);
    guest_write32(&guest, NV_VIRTIO_REG_STATUS, 0);
    NV_VIRTIO_GUARD(guest.virtio);
    ck_assert_uint_gt(probe->pops, GUEST_RING_SIZE);
    probe->on_pop = NULL;
}
END_TEST

/* As if another vCPU moved the index back and forth, always in time. */
static void back_and_forth(struct probe *probe, uint32_t queue, bool is_end)
{
    guest_put_index(&guest, 0, is_end);
}

START_TEST(test_hostile_03_index_moves_back_and_forth)
{
    struct probe *probe = probe_of(&guest);

    probe->on_round = back_and_forth;
    put_more(0, 0, 0, GUEST_WRITE, 0);
    guest_kick(&guest, 0);
    ck_assert_uint_eq(probe->pops, 0);
    ck_assert_uint_le(probe->passes, 2 + GUEST_RING_SIZE);
    probe->on_round = NULL;
    guest_put_index(&guest, 0, 0);
    ck_assert_uint_eq(checks_status(), 0xf);
    checks_echo(0);
}
END_TEST

START_TEST(test_hostile_04_head_out_of_range)
{
    static const uint16_t heads[] = { GUEST_RING_SIZE, GUEST_RING_SIZE + 1, 0x8000, 0xffff };

    for (size_t i = 0; i < NV_ARRAY_SIZE(heads); i++) {
        guest_put_available(&guest, 0, guest.queues[0].next_available, heads[i]);
        guest_put_index(&guest, 0, (uint16_t)(guest.queues[0].next_available + 1));
        checks_breaks(0);
    }
}
END_TEST

START_TEST(test_hostile_05_next_out_of_range)
{
    static const uint16_t nexts[] = { GUEST_RING_SIZE, 0x7fff, 0xffff };

    for (size_t i = 0; i < NV_ARRAY_SIZE(nexts); i++) {
        put_one(0, 16, GUEST_NEXT, nexts[i]);
        checks_breaks(0);
    }
    /* The same within an indirect table: its own length counts, not the queue's. */
    put_one(0x80000, 3 * 16, GUEST_INDIRECT, 0);
    guest_put_descriptor(&guest, 0x80000, 0, 0, 16, GUEST_NEXT, 3);
    checks_breaks(0);
}
END_TEST

START_TEST(test_hostile_06_descriptor_loop)
{
    put_one(0, 16, GUEST_NEXT, 0);
    checks_breaks(0);
    put_one(0, 16, GUEST_NEXT, 1);
    put_more(1, 0, 0, GUEST_NEXT, 2);
    put_more(2, 0, 0, GUEST_NEXT, 1);
    checks_breaks(0);
    put_one(0x80000, 2 * 16, GUEST_INDIRECT, 0);
    guest_put_descriptor(&guest, 0x80000, 0, 0, 16, GUEST_NEXT, 1);
    guest_put_descriptor(&guest, 0x80000, 1, 0, 16, GUEST_NEXT, 0);
    checks_breaks(0);
}
END_TEST

/* The longest chain works; a queue has no more descriptors than that. */
START_TEST(test_hostile_06_longest_chain)
{
    for (uint16_t i = 0; i + 1 < GUEST_RING_SIZE; i++)
        put_more(i, 0, 1, GUEST_NEXT, (uint16_t)(i + 1));
    put_more(GUEST_RING_SIZE - 1, 0x80000, 64, GUEST_WRITE, 0);
    guest_put_available(&guest, 0, 0, 0);
    guest_put_index(&guest, 0, 1);
    answered(GUEST_RING_SIZE - 1);
}
END_TEST

START_TEST(test_hostile_07_total_above_4_gib)
{
    /* Lengths that no memory covers would break anyway: so one table that repeats a buffer. */
    enum { COUNT = 1024 };
    const struct nestvirt_memory_config config = { .size = sizeof(config),
                                                   .address = 0x400000,
                                                   .length = 0x400000 + NV_PAGE_SIZE };

    ck_nv_ok(nv_memory_add(&guest.memory, &config, &error));
    put_one(0x80000, COUNT * 16, GUEST_INDIRECT, 0);
    for (uint16_t i = 0; i < COUNT; i++)
        guest_put_descriptor(&guest, 0x80000, i, 0x400000, 0x400000, i + 1 < COUNT ? GUEST_NEXT : 0,
                             (uint16_t)(i + 1));
    answered(0); /* exactly 2^32 */
    put_one(0x80000, COUNT * 16, GUEST_INDIRECT, 0);
    guest_put_descriptor(&guest, 0x80000, 5, 0x400000, 0x400001, GUEST_NEXT, 6);
    checks_breaks(0);
    ck_assert_ptr_nonnull(strstr(guest.log_text, "2^32"));
}
END_TEST

START_TEST(test_hostile_08_indirect_not_negotiated)
{
    guest_reset(&guest);
    ck_assert_int_eq(guest_drive(&guest, NV_VIRTIO_F_EVENT_IDX), 0);
    put_one(0x80000, 16, GUEST_INDIRECT, 0);
    checks_breaks(0);
}
END_TEST

START_TEST(test_hostile_08_indirect_tables)
{
    static const struct {
        uint64_t address;
        uint32_t length;
        uint16_t flags;
    } tables[] = {
        { 0x80000, 16, GUEST_INDIRECT | GUEST_NEXT },
        { 0x80000, 0, GUEST_INDIRECT },
        { 0x80000, 15, GUEST_INDIRECT },
        { 0x80000, 17, GUEST_INDIRECT },
        { 0x80000, 1025 * 16, GUEST_INDIRECT },
        { 0x80000, 0xfffffff0, GUEST_INDIRECT },
        { GUEST_HOLE, 16, GUEST_INDIRECT },
        { GUEST_HOLE - 16, 32, GUEST_INDIRECT },
        { GUEST_SPAN - 16, 32, GUEST_INDIRECT }, /* in two regions */
        { UINT64_MAX - 15, 16, GUEST_INDIRECT },
        { UINT64_MAX - 15, 32, GUEST_INDIRECT },
    };

    for (size_t i = 0; i < NV_ARRAY_SIZE(tables); i++) {
        put_one(tables[i].address, tables[i].length, tables[i].flags, 0);
        checks_breaks(0);
    }
    put_one(0x80000, 32, GUEST_INDIRECT, 0); /* nested */
    guest_put_descriptor(&guest, 0x80000, 0, 0, 16, GUEST_NEXT, 1);
    guest_put_descriptor(&guest, 0x80000, 1, 0x90000, 16, GUEST_INDIRECT, 0);
    checks_breaks(0);
}
END_TEST

/* Longer than the queue, up to 1024, and at any address (Linux does so). */
START_TEST(test_hostile_08_long_and_odd_tables)
{
    static const uint64_t places[] = { 0x80000, 0x80001, 0x80008, 0x8000c, GUEST_SPAN - 16384 };

    for (size_t p = 0; p < NV_ARRAY_SIZE(places); p++) {
        uint8_t *table = guest_mem(&guest, places[p], 1024 * 16);

        for (uint32_t i = 0; i < 1024; i++) {
            bool is_last = i == 1023;

            nv_put_le64(table + 16 * i, 0xa0000);
            nv_put_le32(table + 16 * i + 8, is_last ? 2000 : 1);
            nv_put_le16(table + 16 * i + 12, is_last ? GUEST_WRITE : GUEST_NEXT);
            nv_put_le16(table + 16 * i + 14, (uint16_t)(i + 1));
        }
        put_one(places[p], 1024 * 16, GUEST_INDIRECT, 0);
        answered(1023);
    }
}
END_TEST

START_TEST(test_hostile_09_direct_chain_ends_in_indirect)
{
    put_one(0x90000, 4, GUEST_NEXT, 7);
    put_more(7, 0x90004, 4, GUEST_NEXT, 3);
    put_more(3, 0x80000, 32, GUEST_INDIRECT | GUEST_WRITE, 0); /* WRITE means nothing there */
    guest_put_descriptor(&guest, 0x80000, 0, 0x90008, 4, GUEST_NEXT, 1);
    guest_put_descriptor(&guest, 0x80000, 1, 0xa0000, 100, GUEST_WRITE, 0);
    memcpy(guest.low + 0x90000, "virtio works", 12);
    answered(12);
    ck_assert_int_eq(memcmp(guest.low + 0xa0000, "virtio works\0", 13), 0);
    /* A full direct chain before a full table. */
    for (uint16_t i = 0; i + 1 < GUEST_RING_SIZE; i++)
        put_more(i, 0, 1, GUEST_NEXT, (uint16_t)(i + 1));
    put_more(GUEST_RING_SIZE - 1, 0x80000, 1024 * 16, GUEST_INDIRECT, 0);
    for (uint16_t i = 0; i < 1024; i++)
        guest_put_descriptor(&guest, 0x80000, i, 0xa0000, 1,
                             (uint16_t)(GUEST_WRITE | (i < 1023 ? GUEST_NEXT : 0)),
                             (uint16_t)(i + 1));
    guest_put_available(&guest, 0, 1, 0);
    guest_put_index(&guest, 0, 2);
    answered(GUEST_RING_SIZE - 1);
}
END_TEST

START_TEST(test_hostile_10_address_wraps)
{
    static const struct {
        uint64_t address;
        uint32_t length;
    } buffers[] = {
        { UINT64_MAX, 1 },
        { UINT64_MAX, 2 },
        { UINT64_MAX - 0xfff, 0x2000 },
        { UINT64_MAX - 0xfffffffe, UINT32_MAX },
        { 0, UINT32_MAX },
        { GUEST_SPAN - 16, UINT32_MAX },
    };

    for (size_t i = 0; i < 2 * NV_ARRAY_SIZE(buffers); i++) {
        put_one(buffers[i / 2].address, buffers[i / 2].length, i % 2 ? GUEST_WRITE : 0, 0);
        checks_breaks(0);
    }
}
END_TEST

START_TEST(test_hostile_11_buffer_outside_of_memory)
{
    const uint64_t window = guest.virtio->window;
    const struct {
        uint64_t address;
        uint32_t length;
    } buffers[] = {
        { GUEST_HOLE, 1 },       { GUEST_HOLE - 1, 2 },
        { GUEST_ISLAND - 1, 1 }, { GUEST_ISLAND - 1, 2 },
        { GUEST_END, 1 },        { GUEST_END - 1, 2 },
        { 0xfec00000, 4 },       { 0xfee00000, 16 },
        { window, 0x200 },       { window + NV_VIRTIO_REG_QUEUE_NOTIFY, 4 },
    };

    for (size_t i = 0; i < 2 * NV_ARRAY_SIZE(buffers); i++) {
        put_one(buffers[i / 2].address, buffers[i / 2].length, i % 2 ? GUEST_WRITE : 0, 0);
        checks_breaks(0);
    }
    put_one(GUEST_HOLE - 1, 1, GUEST_WRITE, 0); /* the last byte there is */
    answered(0);
    put_one(GUEST_ISLAND, GUEST_ISLAND_SIZE, GUEST_WRITE, 0);
    answered(0);
}
END_TEST

/* Devices read read-only memory and never write there: no buffer, no ring. */
START_TEST(test_hostile_11_buffer_in_read_only_memory)
{
    enum { ROM = 0x400000 };
    const struct nestvirt_memory_config config = { .size = sizeof(config),
                                                   .flags = NESTVIRT_MEMORY_READ_ONLY,
                                                   .address = ROM,
                                                   .length = NV_PAGE_SIZE };
    uint8_t *bytes;

    ck_nv_ok(nv_memory_add(&guest.memory, &config, &error));
    bytes = guest_mem(&guest, ROM, NV_PAGE_SIZE);
    memset(bytes, 0x5a, NV_PAGE_SIZE);
    put_one(ROM, 16, 0, 0);
    answered(0);
    put_one(ROM, 16, GUEST_NEXT, 1);
    put_more(1, ROM, 16, GUEST_WRITE, 0);
    checks_breaks(0);
    put_one(ROM + NV_PAGE_SIZE - 1, 1, GUEST_WRITE, 0);
    checks_breaks(0);
    put_one(0x80000, 16, GUEST_NEXT, 1); /* as a later part of a buffer too */
    put_more(1, 0x90000, 16, GUEST_WRITE | GUEST_NEXT, 2);
    put_more(2, ROM, 1, GUEST_WRITE, 0);
    checks_breaks(0);
    for (uint32_t i = 0; i < NV_PAGE_SIZE; i++)
        ck_assert_uint_eq(bytes[i], 0x5a);
}
END_TEST

START_TEST(test_hostile_20_used_ring_in_read_only_memory)
{
    enum { ROM = 0x400000 };
    const struct nestvirt_memory_config config = { .size = sizeof(config),
                                                   .flags = NESTVIRT_MEMORY_READ_ONLY,
                                                   .address = ROM,
                                                   .length = NV_PAGE_SIZE };
    struct nv_queue queue = { .size = 8, .descriptors = ROM, .driver = ROM + 0x200 };

    ck_nv_ok(nv_memory_add(&guest.memory, &config, &error));
    queue.device = ROM + 0x400;
    ck_assert_int_eq(nv_queue_open(&queue, &guest.memory, false, false), -EINVAL);
    ck_assert_ptr_nonnull(strstr(queue.fault, "read-only"));
    queue.device = 0x80000;
    ck_assert_int_eq(nv_queue_open(&queue, &guest.memory, false, false), 0);
}
END_TEST

START_TEST(test_hostile_12_buffer_in_two_regions)
{
    uint8_t *behind = guest_mem(&guest, GUEST_SPAN, 200);

    for (uint32_t i = 0; i < 200; i++)
        guest.low[0x90000 + i] = (uint8_t)(i + 1);
    put_one(0x90000, 200, GUEST_NEXT, 1);
    put_more(1, GUEST_SPAN - 77, 200, GUEST_WRITE, 0);
    answered(200);
    ck_assert_int_eq(memcmp(guest.low + GUEST_SPAN - 77, guest.low + 0x90000, 77), 0);
    ck_assert_int_eq(memcmp(behind, guest.low + 0x90000 + 77, 123), 0);
    put_one(GUEST_SPAN - 77, 200, GUEST_NEXT, 1);
    put_more(1, 0xa0000, 200, GUEST_WRITE, 0);
    answered(200);
    ck_assert_int_eq(memcmp(guest.low + 0xa0000, guest.low + 0x90000, 200), 0);
}
END_TEST

START_TEST(test_hostile_13_zero_length)
{
    put_one(0x90000, 0, 0, 0);
    answered(0);
    put_one(UINT64_MAX, 0, GUEST_WRITE, 0); /* it has no byte anywhere */
    answered(0);
    put_one(0x90000, 0, GUEST_NEXT, 1);
    put_more(1, 0x90000, 5, GUEST_NEXT, 2);
    put_more(2, 0x90000, 0, GUEST_NEXT, 3);
    put_more(3, 0xa0000, 0, GUEST_NEXT | GUEST_WRITE, 4);
    put_more(4, 0xa0000, 9, GUEST_NEXT | GUEST_WRITE, 5);
    put_more(5, 0xa0000, 0, GUEST_WRITE, 0);
    answered(5);
}
END_TEST

START_TEST(test_hostile_14_readable_after_writable)
{
    put_one(0x90000, 5, GUEST_NEXT | GUEST_WRITE, 1);
    put_more(1, 0xa0000, 5, 0, 0);
    checks_breaks(0);
    put_one(0x90000, 0, GUEST_NEXT | GUEST_WRITE, 1); /* even if they are empty */
    put_more(1, 0xa0000, 0, 0, 0);
    checks_breaks(0);
}
END_TEST

/* Nothing is written to what the driver gave for reading. */
START_TEST(test_hostile_15_readable_buffers_stay)
{
    memset(guest.low + 0x90000, 0x55, 4096);
    put_one(0x90000, 2048, GUEST_NEXT, 1);
    put_more(1, 0x90800, 2048, 0, 0);
    answered(0);
    for (int i = 0; i < 4096; i++)
        ck_assert_uint_eq(guest.low[0x90000 + i], 0x55);
}
END_TEST

/* The guest changes everything when the device has taken the chain: it sees the first version. */
static void spoil(struct probe *probe, uint32_t queue, struct nv_chain *chain)
{
    for (uint32_t i = 0; i < GUEST_RING_SIZE; i++)
        put_more(i, GUEST_HOLE, UINT32_MAX, GUEST_NEXT, 0xffff);
    for (uint16_t i = 0; i < GUEST_RING_SIZE; i++)
        guest_put_available(&guest, 0, i, 0xffff);
}

START_TEST(test_hostile_16_one_snapshot)
{
    probe_of(&guest)->on_pop = spoil;
    memcpy(guest.low + 0x90000, "snapshot", 8);
    put_one(0x90000, 8, GUEST_NEXT, 1);
    put_more(1, 0xa0000, 8, GUEST_WRITE, 0);
    answered(8);
    ck_assert_int_eq(memcmp(guest.low + 0xa0000, "snapshot", 8), 0);
}
END_TEST

/* All rings and buffers over each other: anything may come of it but an end or a hang. */
START_TEST(test_hostile_17_rings_overlap)
{
    uint32_t seed = 1;

    for (int round = 0; round < 20000; round++) {
        uint8_t *page = guest.low + 0x90000;

        guest_reset(&guest);
        ck_assert_int_eq(guest_negotiate(&guest, GUEST_ALL), 0);
        seed = seed * 1664525 + 1013904223;
        guest_write32(&guest, NV_VIRTIO_REG_QUEUE_SEL, 0);
        guest_write32(&guest, NV_VIRTIO_REG_QUEUE_NUM, 1u << (seed >> 8) % 5);
        guest_write32(&guest, NV_VIRTIO_REG_QUEUE_DESC_LOW, 0x90000 + (seed >> 12) % 4 * 16);
        guest_write32(&guest, NV_VIRTIO_REG_QUEUE_DRIVER_LOW, 0x90000 + (seed >> 16) % 16 * 2);
        guest_write32(&guest, NV_VIRTIO_REG_QUEUE_DEVICE_LOW, 0x90000 + (seed >> 20) % 16 * 4);
        guest_write32(&guest, NV_VIRTIO_REG_QUEUE_READY, 1);
        ck_assert_uint_eq(guest_read32(&guest, NV_VIRTIO_REG_QUEUE_READY), 1);
        for (int i = 0; i < 128; i++) {
            seed = seed * 1664525 + 1013904223;
            page[i] = (uint8_t)(seed >> 24) & (i % 4 < 2 ? 7 : 0);
        }
        for (int i = 0; i < 8; i++) /* descriptors often point to the rings */
            page[16 * i + 2] = (seed >> i) & 1 ? 9 : 0;
        guest_driver_ok(&guest);
        for (int i = 0; i < 4; i++)
            guest_kick(&guest, 0);
    }
    guest_reset(&guest);
    ck_assert_int_eq(guest_drive(&guest, GUEST_ALL), 0);
    checks_echo(0);
    ck_assert_uint_le(guest_log_lines(&guest), 10 + 10 * 60);
}
END_TEST

START_TEST(test_hostile_18_head_in_flight_twice)
{
    struct probe *probe = probe_of(&guest);

    probe->holds = true;
    put_one(0x90000, 8, GUEST_WRITE, 0);
    guest_put_available(&guest, 0, 1, 0);
    guest_kick(&guest, 0);
    ck_assert_uint_eq(probe->held_count[0], 1);
    guest_put_index(&guest, 0, 2);
    probe->drop_cancels = true;
    probe->holds = false;
    checks_breaks(0);
    ck_assert_uint_eq(probe->held_count[0], 0);
}
END_TEST

/* Given back, a head may come again; and the same chain in another queue is another one. */
START_TEST(test_hostile_18_head_comes_again)
{
    struct probe *probe = probe_of(&guest);

    probe->holds = true;
    for (int i = 0; i < 3; i++) {
        put_one(0x90000, 8, GUEST_WRITE, 0);
        guest.queues[0].next_available++;
        guest_kick(&guest, 0);
        ck_assert_uint_eq(probe->held_count[0], 1);
        ck_assert_int_eq(probe_finish(probe, 0), 1);
        ck_assert(guest_used(&guest, 0, NULL, NULL));
    }
    ck_assert_uint_eq(checks_status(), 0xf);
}
END_TEST

Suite *nv_test_suite(void)
{
    Suite *suite = suite_create("virtio_ring_hostile");
    TCase *ring = support_case(suite, "available ring", 60);
    TCase *chain = support_case(suite, "chains", 60);
    TCase *loop = support_case(suite, "loop", 60);

    tcase_add_checked_fixture(ring, checks_setup, checks_teardown);
    tcase_add_test(ring, test_hostile_01_available_index_jumps);
    tcase_add_test(ring, test_hostile_02_available_index_goes_back);
    tcase_add_test(ring, test_hostile_03_index_advances_while_draining);
    tcase_add_test(ring, test_hostile_03_index_moves_back_and_forth);
    tcase_add_test(ring, test_hostile_04_head_out_of_range);
    tcase_add_test(ring, test_hostile_16_one_snapshot);
    tcase_add_test(ring, test_hostile_17_rings_overlap);
    tcase_add_test(ring, test_hostile_18_head_in_flight_twice);
    tcase_add_test(ring, test_hostile_18_head_comes_again);
    tcase_add_checked_fixture(loop, NULL, checks_teardown);
    tcase_add_test(loop, test_hostile_03_others_are_served);
    tcase_add_checked_fixture(chain, checks_setup, checks_teardown);
    tcase_add_test(chain, test_hostile_05_next_out_of_range);
    tcase_add_test(chain, test_hostile_06_descriptor_loop);
    tcase_add_test(chain, test_hostile_06_longest_chain);
    tcase_add_test(chain, test_hostile_07_total_above_4_gib);
    tcase_add_test(chain, test_hostile_08_indirect_not_negotiated);
    tcase_add_test(chain, test_hostile_08_indirect_tables);
    tcase_add_test(chain, test_hostile_08_long_and_odd_tables);
    tcase_add_test(chain, test_hostile_09_direct_chain_ends_in_indirect);
    tcase_add_test(chain, test_hostile_10_address_wraps);
    tcase_add_test(chain, test_hostile_11_buffer_outside_of_memory);
    tcase_add_test(chain, test_hostile_11_buffer_in_read_only_memory);
    tcase_add_test(chain, test_hostile_20_used_ring_in_read_only_memory);
    tcase_add_test(chain, test_hostile_12_buffer_in_two_regions);
    tcase_add_test(chain, test_hostile_13_zero_length);
    tcase_add_test(chain, test_hostile_14_readable_after_writable);
    tcase_add_test(chain, test_hostile_15_readable_buffers_stay);
    return suite;
}
