/* SPDX-License-Identifier: Apache-2.0 */
/* Proves the virtqueue with a driver that does right: every kind of chain, wrap, interrupts. */
#include <errno.h>
#include <string.h>

#include "core/util.h"
#include "virtio_checks.h"

enum { SENT = 0x80000, ANSWER = 0x90000, TABLE = 0xa0000 };

START_TEST(test_entropy)
{
    uint64_t buffer;
    uint32_t head;
    uint32_t length;
    int added;

    ck_assert_int_eq(guest_new(&guest, "rng", 0), 0);
    ck_assert_int_eq(guest_wire(&guest), 0);
    guest_start(&guest);
    ck_assert_int_eq(guest_drive(&guest, GUEST_ALL), 0);
    buffer = guest_alloc(&guest, 64);
    added = guest_add(&guest, 0, &(struct guest_part){ buffer, 64, true }, 1);
    ck_assert_int_ge(added, 0);
    guest_kick(&guest, 0);
    ck_assert(guest_used(&guest, 0, &head, &length));
    ck_assert_int_eq((int)head, added);
    ck_assert_uint_eq(length, 64);
    ck_assert_uint_eq(guest_interrupts(&guest), 1);
    ck_assert(!guest_used(&guest, 0, NULL, NULL));
    ck_assert_uint_eq(guest_get_u64(&guest, "bytes"), 64);
}
END_TEST

/* The four ways to negotiate what a ring can do. */
static uint64_t features_of(int i)
{
    return (i & 1 ? NV_VIRTIO_F_EVENT_IDX : 0) | (i & 2 ? NV_VIRTIO_F_INDIRECT_DESC : 0);
}

static void start_with(uint64_t features, uint32_t flags, uint32_t size)
{
    checks_make(flags);
    guest.ring_size = size;
    if (size > 256)
        ck_assert_int_eq(guest_set_u64(&guest, "queue_size", size), 0);
    checks_start(features);
}

static void send_one(uint32_t serial, bool is_indirect)
{
    static const struct guest_part parts[] = {
        { SENT, 3, false }, { SENT + 3, 1, false }, { ANSWER, 2, true }, { ANSWER + 2, 2, true }
    };
    uint32_t head;
    uint32_t length;
    int added;

    nv_put_le32(guest.low + SENT, serial);
    nv_put_le32(guest.low + ANSWER, ~serial);
    if (is_indirect)
        added = guest_add_indirect(&guest, 0, TABLE + 64 * (serial % 8), parts, 4);
    else
        added = guest_add(&guest, 0, parts, 4);
    guest_kick_wanted(&guest, 0);
    if (added < 0 || !guest_used(&guest, 0, &head, &length) || (int)head != added || length != 4 ||
        nv_get_le32(guest.low + ANSWER) != serial)
        ck_abort_msg("request %u: %d", serial, added);
}

/* More requests than 16-bit indexes count, with rings of several sizes: indexes wrap. */
START_TEST(test_wrap)
{
    static const uint32_t sizes[] = { 4, 64, 1024 };

    for (size_t i = 0; i < NV_ARRAY_SIZE(sizes); i++) {
        if (support_is_valgrind() && i != (size_t)_i % NV_ARRAY_SIZE(sizes))
            continue; /* one of them for each set of features */
        start_with(features_of(_i), 0, sizes[i]);
        for (uint32_t serial = 0; serial < 66000; serial++)
            send_one(serial, (_i & 2) && serial % 3);
        ck_assert_uint_eq(probe_of(&guest)->pops, 66000);
        ck_assert_uint_eq(guest_interrupts(&guest), 66000);
        ck_assert_uint_eq(guest.queues[0].next_available, 66000 - 65536);
        checks_ignored(0);
        guest_free(&guest);
    }
    start_with(GUEST_ALL, 0, 64);
}
END_TEST

/* One descriptor is enough for a ring: with a table, or one way at a time. */
START_TEST(test_smallest_ring)
{
    static const struct guest_part write_only = { ANSWER, 16, true };
    static const struct guest_part both[] = { { SENT, 16, false }, { ANSWER, 16, true } };

    start_with(features_of(_i), 0, 1);
    for (int i = 0; i < 1000; i++) {
        uint32_t length;

        ck_assert_int_eq(guest_add(&guest, 0, &write_only, 1), 0);
        ck_assert_int_eq(guest_add(&guest, 0, &write_only, 1), -ENOSPC);
        ck_assert(guest_kick_wanted(&guest, 0));
        ck_assert(guest_used(&guest, 0, NULL, &length));
        ck_assert_uint_eq(length, 0);
        if (!(_i & 2))
            continue;
        ck_assert_int_eq(guest_add_indirect(&guest, 0, TABLE, both, 2), 0);
        ck_assert(guest_kick_wanted(&guest, 0));
        ck_assert(guest_used(&guest, 0, NULL, &length));
        ck_assert_uint_eq(length, 16);
    }
}
END_TEST

/* A full ring of requests makes one pass and one interrupt. */
START_TEST(test_batch)
{
    start_with(features_of(_i), 0, 128);
    for (unsigned round = 0; round < 1000; round++) {
        for (unsigned i = 0; i < 64; i++)
            checks_add(0, 1);
        guest.heap = guest.dirty_end = 0x8000;
        guest_kick(&guest, 0);
        for (unsigned i = 0; i < 64; i++)
            ck_assert(guest_used(&guest, 0, NULL, NULL));
        ck_assert(!guest_used(&guest, 0, NULL, NULL));
        ck_assert_uint_eq(guest_interrupts(&guest), round + 1);
    }
}
END_TEST

START_TEST(test_suppressed_interrupts)
{
    checks_make(0);
    guest.has_no_interrupt = true;
    checks_start(features_of(_i));
    for (unsigned i = 0; i < 200; i++) {
        checks_add(0, 4);
        guest_kick(&guest, 0);
        ck_assert_uint_eq(guest_used_index(&guest, 0), i + 1);
        guest.heap = 0x8000;
        guest_used(&guest, 0, NULL, NULL);
    }
    /* With EVENT_IDX the event stayed at 0, which the first request passed. */
    ck_assert_uint_eq(guest_interrupts(&guest), _i & 1);
}
END_TEST

/*
 * A driver that polls turns interrupts on again and then looks: what came before it sees itself,
 * what comes later interrupts.
 */
START_TEST(test_interrupts_wanted_again)
{
    uint64_t flags;
    uint64_t before;

    checks_make(0);
    guest.has_no_interrupt = true;
    checks_start(features_of(_i));
    flags = guest.queues[0].driver;
    for (int i = 0; i < 5; i++) {
        checks_add(0, 4);
        guest_kick(&guest, 0);
    }
    before = guest_interrupts(&guest);
    if (_i & 1)
        nv_put_le16(guest.low + guest.queues[0].driver + 4 + 2 * GUEST_RING_SIZE, 5);
    else
        nv_put_le16(guest.low + flags, 0);
    for (int i = 0; i < 5; i++)
        ck_assert(guest_used(&guest, 0, NULL, NULL));
    ck_assert_uint_eq(guest_interrupts(&guest), before);
    checks_add(0, 4);
    guest_kick(&guest, 0);
    ck_assert_uint_eq(guest_interrupts(&guest), before + 1);
}
END_TEST

/* Puts requests of no bytes, without a kick. */
static void add_empty(unsigned count)
{
    static const struct guest_part part = { ANSWER, 0, true };

    while (count--)
        ck_assert_int_ge(guest_add(&guest, 0, &part, 1), 0);
}

static uint32_t random_next(uint32_t *seed)
{
    *seed = *seed * 1664525 + 1013904223;
    return *seed >> 8;
}

/* Wherever the driver's event is, at the wrap too: an interrupt comes exactly when it is passed. */
START_TEST(test_hostile_32_event_index)
{
    const uint32_t rounds = support_rounds(60000);
    uint64_t interrupts = 0;
    uint32_t seed = 7;
    uint16_t used = 0;

    start_with(NV_VIRTIO_F_EVENT_IDX, 0, 64);
    guest.has_no_interrupt = true; /* the test sets the event itself */
    for (uint32_t round = 0; round < rounds; round++) {
        unsigned count = 1 + random_next(&seed) % 5;
        uint16_t event = (uint16_t)(random_next(&seed) % 4 ? used + random_next(&seed) % 8 - 2
                                                           : random_next(&seed));
        bool is_passed = false;

        nv_put_le16(guest.low + guest.queues[0].driver + 4 + 2 * 64, event);
        add_empty(count);
        guest_kick(&guest, 0);
        for (unsigned i = 0; i < count; i++)
            is_passed |= used++ == event;
        interrupts += is_passed;
        while (guest_used(&guest, 0, NULL, NULL))
            ;
        if (guest_interrupts(&guest) != interrupts)
            ck_abort_msg("round %u: used %u, event %u", round, used, event);
    }
    ck_assert_uint_gt(interrupts, rounds / 6);
    ck_assert_uint_eq(guest_used_index(&guest, 0), used);
}
END_TEST

/* The device asks not to be told while it looks anyway, and to be told of the next one. */
START_TEST(test_notifications_suppressed)
{
    start_with(features_of(_i), 0, 64);
    for (int i = 0; i < 300; i++) {
        add_empty(1);
        ck_assert(guest_kick_wanted(&guest, 0));
        ck_assert(guest_used(&guest, 0, NULL, NULL));
    }
    /* In the middle of a pass the flag is up. */
    if (_i & 1)
        return;
    nv_queue_silence(&guest.virtio->queues[0].ring);
    add_empty(1);
    ck_assert(!guest_kick_wanted(&guest, 0));
    ck_assert(nv_queue_arm(&guest.virtio->queues[0].ring));
    ck_assert(guest_kick_wanted(&guest, 0));
}
END_TEST

static void put_during_pass(struct probe *probe, uint32_t queue, struct nv_chain *chain)
{
    if (probe->pops % 2)
        add_empty(1);
}

/* What is put while the device is at it is served without a kick. */
START_TEST(test_put_during_pass)
{
    start_with(features_of(_i), 0, 64);
    probe_of(&guest)->on_pop = put_during_pass;
    for (unsigned i = 1; i <= 100; i++) {
        add_empty(1);
        guest_kick(&guest, 0);
        ck_assert_uint_eq(probe_of(&guest)->pops, 2 * i);
        while (guest_used(&guest, 0, NULL, NULL))
            ;
    }
}
END_TEST

START_TEST(test_completed_out_of_order)
{
    struct probe *probe;
    uint32_t heads[8];
    uint32_t head;

    start_with(features_of(_i), 0, 64);
    probe = probe_of(&guest);
    probe->holds = true;
    for (int i = 0; i < 8; i++)
        heads[i] = checks_add(0, 10);
    guest_kick(&guest, 0);
    for (int i = 0; i < 8; i++) {
        unsigned at = (unsigned)(7 - i);

        /* The last one first. */
        for (unsigned k = 0; k < at; k++)
            probe->held[0][k].is_taken = true;
        ck_assert_int_eq(probe_finish(probe, 0), 1);
        for (unsigned k = 0; k < at; k++)
            probe->held[0][k].is_taken = false;
        ck_assert(guest_used(&guest, 0, &head, NULL));
        ck_assert_uint_eq(head, heads[at]);
    }
}
END_TEST

/* With a loop: from one thread to the other and back, nothing is lost. */
START_TEST(test_through_the_loop)
{
    start_with(features_of(_i), GUEST_LOOP, 64);
    for (int i = 0; i < 3000; i++) {
        unsigned count = 1 + (unsigned)i % 7;

        add_empty(count);
        guest_kick_wanted(&guest, 0);
        while (count--)
            ck_assert(guest_wait_used(&guest, 0, NULL, NULL, 20000));
    }
    checks_echo(1);
}
END_TEST

/* Nothing is served during a pause; afterwards it is, without another kick. */
START_TEST(test_pause)
{
    start_with(GUEST_ALL, GUEST_LOOP, 64);
    for (int i = 0; i < 50; i++) {
        unsigned passes;

        guest_pause(&guest);
        {
            NV_VIRTIO_GUARD(guest.virtio);
            passes = probe_of(&guest)->passes;
        }
        add_empty(3);
        guest_kick(&guest, 0);
        for (int k = 0; k < 3; k++)
            ck_assert_int_eq(guest_wait_used(&guest, 0, NULL, NULL, k == 0 && i < 5 ? 3 : 0),
                             false);
        {
            NV_VIRTIO_GUARD(guest.virtio);
            ck_assert_uint_eq(probe_of(&guest)->passes, passes);
        }
        guest_resume(&guest);
        for (int k = 0; k < 3; k++)
            ck_assert(guest_wait_used(&guest, 0, NULL, NULL, 20000));
    }
}
END_TEST

/* Stopped, taken apart and built again, with as many queues as then. */
START_TEST(test_built_many_times)
{
    checks_make(_i ? GUEST_LOOP : 0);
    for (uint32_t i = 0; i < 50; i++) {
        probe_of(&guest)->queues = 1 + i % 4;
        checks_start(GUEST_ALL);
        for (uint32_t queue = 0; queue < 1 + i % 4; queue++)
            checks_echo(queue);
        guest_stop(&guest);
        guest_kick(&guest, 0);
        guest_unbuild(&guest);
    }
}
END_TEST

/* Odd sizes are refused before anything is built. */
START_TEST(test_queue_size_property)
{
    static const uint64_t bad[] = { 3, 100, 1023 };

    checks_make(0);
    for (size_t i = 0; i < NV_ARRAY_SIZE(bad); i++) {
        ck_assert_int_eq(guest_set_u64(&guest, "queue_size", bad[i]), 0);
        ck_assert_int_eq(guest_wire(&guest), -EINVAL);
        ck_assert_ptr_nonnull(strstr(guest.error, "device 0 (probe)"));
        ck_assert_ptr_nonnull(strstr(guest.error, "power of two"));
    }
    ck_assert_int_eq(guest_set_u64(&guest, "queue_size", 0), -EINVAL);
    ck_assert_int_eq(guest_set_u64(&guest, "queue_size", 2048), -EINVAL);
    ck_assert_int_eq(guest_set_u64(&guest, "queue_size", 8), 0);
    checks_start(GUEST_ALL);
    guest_write32(&guest, NV_VIRTIO_REG_QUEUE_SEL, 1);
    ck_assert_uint_eq(guest_read32(&guest, NV_VIRTIO_REG_QUEUE_NUM_MAX), 8);
    ck_assert_uint_eq(guest.queues[1].size, 8);
    checks_echo(1);
    ck_assert_int_eq(guest_set_u64(&guest, "queue_size", 16), -EBUSY);
}
END_TEST

/* Reading, writing and leaving out, across pieces and beyond the end. */
static void use_chain(struct probe *probe, uint32_t queue, struct nv_chain *chain)
{
    uint8_t bytes[16] = { 0 };
    int count;

    ck_assert_uint_eq(chain->read_left, 10);
    ck_assert_uint_eq(chain->write_left, 10);
    ck_assert_uint_eq(nv_chain_skip_read(chain, 2), 2);
    ck_assert_uint_eq(nv_chain_read(chain, bytes, 5), 5);
    ck_assert_int_eq(memcmp(bytes, "cdefg", 5), 0);
    nv_chain_readable(chain, &count);
    ck_assert_int_eq(count, 1);
    ck_assert_uint_eq(nv_chain_skip_read(chain, 100), 3);
    ck_assert_uint_eq(nv_chain_read(chain, bytes, 1), 0);
    ck_assert_ptr_eq(nv_chain_take_last(chain), guest.low + ANSWER + 9);
    *nv_chain_take_last(chain) = 'y';
    ck_assert_uint_eq(nv_chain_write(chain, "123", 3), 3);
    ck_assert_uint_eq(nv_chain_skip_write(chain, 2), 2);
    nv_chain_writable(chain, &count);
    ck_assert_int_eq(count, 1);
    ck_assert_uint_eq(nv_chain_write(chain, "456789", 6), 3);
    ck_assert_uint_eq(nv_chain_write(chain, "0", 1), 0);
    ck_assert_ptr_null(nv_chain_take_last(chain));
    ck_assert_uint_eq(nv_chain_skip_write(chain, 1), 0);
    ck_assert_uint_eq(chain->written, 6);
}

START_TEST(test_chain_bytes)
{
    static const struct guest_part parts[] = {
        { SENT, 6, false },  { SENT + 6, 0, false },  { SENT + 6, 4, false },
        { ANSWER, 4, true }, { ANSWER + 4, 5, true }, { ANSWER + 9, 1, true },
    };

    start_with(GUEST_ALL, 0, 64);
    probe_of(&guest)->on_pop = use_chain;
    memcpy(guest.low + SENT, "abcdefghij", 10);
    memcpy(guest.low + ANSWER, "..........", 10);
    ck_assert_int_ge(guest_add(&guest, 0, parts, 6), 0);
    guest_kick(&guest, 0);
    ck_assert(guest_used(&guest, 0, NULL, NULL));
    ck_assert_int_eq(memcmp(guest.low + ANSWER, "123..456y.", 10), 0);
}
END_TEST

static void put_back(struct probe *probe, uint32_t queue, struct nv_chain *chain)
{
    uint16_t head = chain->head;

    if (probe->pops % 3 == 0)
        return;
    nv_virtio_unpop(&probe->virtio, queue, chain);
    ck_assert_int_eq(nv_virtio_pop(&probe->virtio, queue, chain), 1);
    ck_assert_uint_eq(chain->head, head);
}

/* A chain put back is the next one taken, whole. */
START_TEST(test_unpop)
{
    start_with(GUEST_ALL, 0, 64);
    probe_of(&guest)->on_pop = put_back;
    for (int i = 0; i < 100; i++)
        checks_echo(0);
}
END_TEST

Suite *nv_test_suite(void)
{
    Suite *suite = suite_create("virtio_ring");
    TCase *tcase = support_case(suite, "ring", 60);

    tcase_add_checked_fixture(tcase, NULL, checks_teardown);
    tcase_add_test(tcase, test_entropy);
    tcase_add_loop_test(tcase, test_wrap, 0, 4);
    tcase_add_loop_test(tcase, test_smallest_ring, 0, 4);
    tcase_add_loop_test(tcase, test_batch, 0, 4);
    tcase_add_loop_test(tcase, test_suppressed_interrupts, 0, 4);
    tcase_add_loop_test(tcase, test_interrupts_wanted_again, 0, 4);
    tcase_add_test(tcase, test_hostile_32_event_index);
    tcase_add_loop_test(tcase, test_notifications_suppressed, 0, 4);
    tcase_add_loop_test(tcase, test_put_during_pass, 0, 4);
    tcase_add_loop_test(tcase, test_completed_out_of_order, 0, 4);
    tcase_add_loop_test(tcase, test_through_the_loop, 0, 4);
    tcase_add_test(tcase, test_pause);
    tcase_add_loop_test(tcase, test_built_many_times, 0, 2);
    tcase_add_test(tcase, test_queue_size_property);
    tcase_add_test(tcase, test_chain_bytes);
    tcase_add_test(tcase, test_unpop);
    return suite;
}
