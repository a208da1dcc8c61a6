/* SPDX-License-Identifier: Apache-2.0 */
/* Proves that no guest can do harm through the disk device; numbers of the list of hostile cases.
 */
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "blk_guest.h"

/* What must never happen, whatever the request. */
static void check_unharmed(void)
{
    ck_assert_uint_eq(blk_image_size(), BLK_SECTORS * 512);
    ck_assert_uint_eq(guest_read32(&guest, NV_VIRTIO_REG_STATUS) & NV_VIRTIO_NEEDS_RESET, 0);
    blk_works();
}

static void check_image_unchanged(void)
{
    for (int i = 0; i < BLK_SECTORS; i++)
        ck_assert_int_eq(blk_image_byte((uint64_t)i * 512 + 5), i);
}

START_TEST(test_hostile_35_blk_sector)
{
    const uint64_t sectors[] = {
        BLK_SECTORS,    BLK_SECTORS - 1,  BLK_SECTORS + 1,      UINT64_MAX,
        UINT64_MAX - 1, UINT64_MAX / 512, UINT64_MAX / 512 + 1, 1ull << 63,
        1ull << 55,     (1ull << 55) - 1, INT64_MAX / 512,      1ull << 32
    };
    struct guest_part halves[] = { { 0, 512, true }, { 0, 512, true } };
    uint64_t buffer;

    blk_setup((enum blk_mode)_i);
    blk_begin();
    buffer = blk_buffer(1024, 0xee);
    halves[0].address = buffer;
    halves[1].address = buffer + 512;
    for (size_t i = 0; i < NV_ARRAY_SIZE(sectors); i++) {
        struct blk_answer answer = blk_read(sectors[i], buffer, 1024);

        ck_assert_int_eq(answer.status, BLK_S_IOERR);
        ck_assert_uint_eq(answer.length, 0);
        ck_assert_int_eq(blk_write(sectors[i], buffer, 1024).status, BLK_S_IOERR);
        for (int j = 0; j < 2; j++) { /* the sum over the whole chain counts */
            halves[0].is_writable = halves[1].is_writable = j == 0;
            answer = blk_request(j == 0 ? BLK_T_IN : BLK_T_OUT, sectors[i], halves, 2);
            ck_assert_int_eq(answer.status, BLK_S_IOERR);
        }
        ck_assert_int_eq(blk_segment(BLK_T_DISCARD, sectors[i], 2, 0).status, BLK_S_IOERR);
        ck_assert_int_eq(blk_segment(BLK_T_WRITE_ZEROES, sectors[i], 2, 0).status, BLK_S_IOERR);
    }
    ck_assert(blk_is_all(buffer, 1024, 0xee));
    check_image_unchanged();
    ck_assert_uint_eq(guest_get_u64(&guest, "errors"), NV_ARRAY_SIZE(sectors) * 6);
    ck_assert_uint_eq(guest_events(&guest), 0); /* the guest's errors are not the host's */
    check_unharmed();
    blk_teardown();
}
END_TEST

/* 4 GiB in one request, and a ring full of them: refused by length, never read. */
START_TEST(test_hostile_35_blk_giant_sum)
{
    enum { COUNT = 512 };
    static struct guest_part parts[COUNT];

    blk_setup((enum blk_mode)_i);
    blk_begin();
    for (int i = 0; i < COUNT; i++)
        parts[i] = (struct guest_part){ 0x80000, 0x80000, true };
    for (int i = 0; i < 8; i++)
        ck_assert_int_eq(blk_request(BLK_T_IN, 0, parts, COUNT).status, BLK_S_IOERR);
    check_unharmed();
    blk_teardown();
}
END_TEST

START_TEST(test_hostile_36_blk_odd_length)
{
    const uint32_t lengths[] = { 1, 511, 513, 1023, 4095 };
    const uint32_t types[] = { 2, 3, 5, 6, 7, 9, 10, 12, 14, 15, 0x80000000, UINT32_MAX, 1 << 8 };
    uint64_t buffer;

    blk_setup((enum blk_mode)_i);
    blk_begin();
    buffer = blk_buffer(4096, 0xee);
    for (size_t i = 0; i < NV_ARRAY_SIZE(lengths); i++) {
        ck_assert_int_eq(blk_read(0, buffer, lengths[i]).status, BLK_S_IOERR);
        ck_assert_int_eq(blk_write(0, buffer, lengths[i]).status, BLK_S_IOERR);
    }
    for (size_t i = 0; i < NV_ARRAY_SIZE(types); i++) {
        const struct guest_part part = { buffer, 512, true };

        ck_assert_int_eq(blk_request(types[i], 0, &part, 1).status, BLK_S_UNSUPP);
    }
    ck_assert_int_eq(blk_read(0, buffer, 0).status, BLK_S_OK); /* no sector at all is no error */
    ck_assert_int_eq(blk_write(BLK_SECTORS, buffer, 0).status, BLK_S_OK);
    ck_assert_int_eq(blk_write(BLK_SECTORS + 1, buffer, 0).status, BLK_S_IOERR);
    ck_assert(blk_is_all(buffer, 4096, 0xee));
    check_image_unchanged();
    check_unharmed();
    blk_teardown();
}
END_TEST

START_TEST(test_hostile_37_blk_write_to_read_only)
{
    uint64_t buffer;

    blk_setup((enum blk_mode)_i);
    blk_set("read_only", 1);
    for (int i = 0; i < 2; i++) {
        blk_begin_with(i == 0 ? GUEST_ALL : 0); /* whether the driver knows or not */
        ck_assert(!(guest.features & BLK_F_DISCARD));
        buffer = blk_buffer(512, 0xee);
        ck_assert_int_eq(blk_write(4, buffer, 512).status, BLK_S_IOERR);
        ck_assert_int_eq(blk_segment(BLK_T_DISCARD, 4, 8, 0).status, BLK_S_IOERR);
        ck_assert_int_eq(blk_segment(BLK_T_WRITE_ZEROES, 4, 8, 0).status, BLK_S_IOERR);
        ck_assert_int_eq(blk_segment(BLK_T_WRITE_ZEROES, 4, 8, 1).status, BLK_S_IOERR);
        ck_assert_int_eq(blk_flush().status, BLK_S_OK);
        ck_assert_uint_eq(guest_events(&guest), 0); /* the host was not even asked */
        check_image_unchanged();
        check_unharmed();
        guest_unbuild(&guest);
    }
    blk_teardown();
}
END_TEST

START_TEST(test_hostile_38_blk_segments)
{
    const uint32_t counts[] = { 0, 2, 32, 0x10000 / 16 };
    uint64_t buffer;

    blk_setup((enum blk_mode)_i);
    blk_begin();
    ck_assert_int_eq(blk_segment(BLK_T_DISCARD, 0, 8, 1).status, BLK_S_UNSUPP);
    ck_assert_int_eq(blk_segment(BLK_T_DISCARD, 0, 8, 2).status, BLK_S_UNSUPP);
    ck_assert_int_eq(blk_segment(BLK_T_WRITE_ZEROES, 0, 8, 2).status, BLK_S_UNSUPP);
    ck_assert_int_eq(blk_segment(BLK_T_WRITE_ZEROES, 0, 8, 0x80000001).status, BLK_S_UNSUPP);
    ck_assert_int_eq(blk_segment(BLK_T_WRITE_ZEROES, 0, UINT32_MAX, 0).status, BLK_S_IOERR);
    ck_assert_int_eq(blk_segment(BLK_T_WRITE_ZEROES, 0, BLK_ZEROES_MAX + 1, 1).status, BLK_S_IOERR);
    ck_assert_int_eq(blk_segment(BLK_T_DISCARD, 0, BLK_DISCARD_MAX + 1, 0).status, BLK_S_IOERR);
    ck_assert_int_eq(blk_segment(BLK_T_DISCARD, UINT64_MAX, UINT32_MAX, 0).status, BLK_S_IOERR);
    ck_assert_int_eq(blk_segment(BLK_T_DISCARD, 1, BLK_SECTORS, 0).status, BLK_S_IOERR);
    buffer = blk_buffer(0x10000, 0);
    for (size_t i = 0; i < NV_ARRAY_SIZE(counts); i++) {
        const struct guest_part part = { buffer, counts[i] * 16, false };

        ck_assert_int_eq(blk_request(BLK_T_DISCARD, 0, &part, 1).status, BLK_S_IOERR);
        ck_assert_int_eq(blk_request(BLK_T_WRITE_ZEROES, 0, &part, 1).status, BLK_S_IOERR);
    }
    for (uint32_t length = 1; length < 32; length += length == 15 ? 2 : 1) {
        const struct guest_part part = { buffer, length, false };

        ck_assert_int_eq(blk_request(BLK_T_DISCARD, 0, &part, 1).status, BLK_S_IOERR);
    }
    check_image_unchanged();
    ck_assert_int_eq(blk_segment(BLK_T_DISCARD, 0, 0, 0).status, BLK_S_OK); /* nothing is done */
    check_image_unchanged();
    check_unharmed();
    blk_teardown();
}
END_TEST

START_TEST(test_hostile_39_blk_serial_buffer)
{
    const uint32_t lengths[] = { 0, 1, 19, 20, 21, 4096, 65536 };
    uint64_t buffer;

    blk_setup((enum blk_mode)_i);
    blk_set_text("serial", "01234567890123456789");
    blk_begin();
    buffer = blk_buffer(65536, 0xee);
    for (size_t i = 0; i < NV_ARRAY_SIZE(lengths); i++) {
        const struct guest_part part = { buffer, lengths[i], true };
        uint32_t wanted = NV_MIN(lengths[i], 20u);
        struct blk_answer answer;

        memset(guest_mem(&guest, buffer, 65536), 0xee, 65536);
        answer = blk_request(BLK_T_GET_ID, UINT64_MAX, &part, 1);
        ck_assert_int_eq(answer.status, BLK_S_OK);
        ck_assert_uint_eq(answer.length, lengths[i] <= 20 ? wanted + 1 : wanted);
        ck_assert_mem_eq(guest_mem(&guest, buffer, 65536), "01234567890123456789", wanted);
        ck_assert(blk_is_all(buffer + wanted, 65536 - wanted, 0xee));
    }
    check_unharmed();
    blk_teardown();
}
END_TEST

/* Buffers in two regions that touch: no pointer is taken beyond one (CVE-2019-18960). */
START_TEST(test_hostile_12_blk_two_regions)
{
    blk_setup((enum blk_mode)_i);
    blk_begin();
    ck_assert_int_eq(blk_read(5, GUEST_SPAN - 512, 1024).status, BLK_S_OK);
    ck_assert(blk_is_all(GUEST_SPAN - 512, 512, 5) && blk_is_all(GUEST_SPAN, 512, 6));
    ck_assert_int_eq(blk_write(20, GUEST_SPAN - 512, 1024).status, BLK_S_OK);
    ck_assert_int_eq(blk_image_byte(20 * 512), 5);
    ck_assert_int_eq(blk_image_byte(21 * 512 + 511), 6);
    blk_teardown();
}
END_TEST

/* A request as raw buffers: each a length and whether writable. Returns the outcome. */
static struct blk_answer send_raw(const struct guest_part *parts, uint32_t count, bool *ret_broken)
{
    struct blk_answer answer = { .status = 0xaa };

    ck_assert_int_ge(guest_add(&guest, 0, parts, count), 0);
    guest_kick(&guest, 0);
    *ret_broken = false;
    for (int i = 0; i < 2000; i++) {
        if (guest_wait_used(&guest, 0, NULL, &answer.length, 1))
            return answer;
        if (guest_read32(&guest, NV_VIRTIO_REG_STATUS) & NV_VIRTIO_NEEDS_RESET) {
            *ret_broken = true;
            return answer;
        }
    }
    ck_abort_msg("no outcome");
}

START_TEST(test_hostile_15_blk_header_and_status)
{
    uint64_t at;
    bool is_broken;

    blk_setup((enum blk_mode)_i);
    blk_begin();
    /* The header is writable: its first 16 bytes cannot be read; the last byte is the answer. */
    at = blk_buffer(64, 0);
    send_raw((struct guest_part[]){ { at, 16, true }, { at + 16, 1, true } }, 2, &is_broken);
    ck_assert(!is_broken);
    ck_assert(blk_is_all(at, 16, 0) && blk_is_all(at + 16, 1, BLK_S_IOERR));
    /* A short header. */
    at = blk_buffer(64, 0);
    send_raw((struct guest_part[]){ { at, 15, false }, { at + 16, 1, true } }, 2, &is_broken);
    ck_assert(!is_broken);
    ck_assert(blk_is_all(at, 16, 0) && blk_is_all(at + 16, 1, BLK_S_IOERR));
    check_unharmed();
    /* A readable status byte: nothing may be written, so there is no answer. */
    at = blk_buffer(64, 0);
    send_raw((struct guest_part[]){ { at, 16, false }, { at + 16, 1, false } }, 2, &is_broken);
    ck_assert(is_broken);
    ck_assert(blk_is_all(at, 64, 0));
    ck_assert_uint_eq(guest_get_u64(&guest, "faults"), 1);
    ck_assert_int_eq(guest_drive(&guest, GUEST_ALL), 0);
    check_unharmed();
    check_image_unchanged();
    blk_teardown();
}
END_TEST

/* Another vCPU rewrites header, sector and descriptors while they are taken apart. */
struct mutator {
    uint64_t header;
    uint64_t descriptors;
    bool quit;
};

static void *mutate(void *argument)
{
    struct mutator *m = argument;
    uint8_t *header = guest_mem(&guest, m->header, 16);
    uint64_t *words = guest_mem(&guest, m->descriptors, 64 * 16);
    unsigned seed = 1;

    while (!__atomic_load_n(&m->quit, __ATOMIC_RELAXED)) {
        int r = rand_r(&seed);

        __atomic_store_n(header, r & 1, __ATOMIC_RELAXED);
        __atomic_store_n((uint64_t *)(header + 8), (r & 2) ? 3 : UINT64_MAX / 512 - (r & 0xff),
                         __ATOMIC_RELAXED);
        /* Lengths of buffers: the low half of the second word. */
        __atomic_store_n((uint32_t *)&words[2 * (r % 64) + 1], (r & 4) ? 512 : 1 << (r % 20),
                         __ATOMIC_RELAXED);
    }
    return NULL;
}

START_TEST(test_hostile_16_blk_racing_changes)
{
    struct mutator m = { 0 };
    pthread_t thread;

    blk_setup((enum blk_mode)_i);
    blk_begin();
    for (int round = 0; round < 200; round++) {
        m.header = blk_buffer(16, 0);
        m.descriptors = guest.queues[0].descriptors;
        __atomic_store_n(&m.quit, false, __ATOMIC_RELAXED);
        for (int i = 0; i < 16; i++) {
            const struct guest_part parts[] = { { m.header, 16, false },
                                                { 0x90000, 512, i % 2 },
                                                { 0xa0000, 1, true } };

            guest_add(&guest, 0, parts, 3);
        }
        ck_assert_int_eq(pthread_create(&thread, NULL, mutate, &m), 0);
        guest_kick(&guest, 0);
        for (int i = 0; i < 16; i++)
            if (!guest_wait_used(&guest, 0, NULL, NULL, 1) &&
                guest_read32(&guest, NV_VIRTIO_REG_STATUS) & NV_VIRTIO_NEEDS_RESET)
                break;
        __atomic_store_n(&m.quit, true, __ATOMIC_RELAXED);
        pthread_join(thread, NULL);
        ck_assert_int_eq(guest_drive(&guest, GUEST_ALL), 0);
    }
    ck_assert_uint_eq(blk_image_size(), BLK_SECTORS * 512);
    blk_teardown();
}
END_TEST

/*
 * Reset with a ring full of requests under way, many times: when it returns nothing is, and what
 * was never begun leaves no trace later.
 */
START_TEST(test_hostile_27_blk_reset_in_flight)
{
    enum { EACH = 20, LENGTH = 4096 };
    const uint32_t rounds = support_rounds(10000);
    bool was_busy = false;

    blk_setup((enum blk_mode)_i);
    blk_begin();
    for (uint32_t round = 0; round < rounds; round++) {
        uint64_t area = blk_buffer(LENGTH, 0x33);

        for (int i = 0; i < EACH; i++)
            blk_add(0, i % 3 ? BLK_T_OUT : BLK_T_IN, 16,
                    &(struct guest_part){ area, LENGTH, i % 3 == 0 }, 1);
        guest_kick(&guest, 0);
        if (round % 16 == 0)
            usleep(50);
        was_busy |= guest_used_index(&guest, 0) < EACH;
        guest_reset(&guest);
        for (uint32_t i = 0; i < guest.virtio->queue_count; i++)
            ck_assert_uint_eq(guest.virtio->queues[i].held, 0);
        ck_assert(blk_is_all(area, LENGTH, 0)); /* no late write: guest_reset() zeroed it */
        ck_assert_uint_eq(guest_read32(&guest, NV_VIRTIO_REG_INTERRUPT_STATUS), 0);
        ck_assert_int_eq(guest_drive(&guest, GUEST_ALL), 0);
    }
    ck_assert(was_busy || _i == BLK_MODE_HERE);
    check_unharmed();
    blk_teardown();
}
END_TEST

/* A queue is switched off in the same way, while another goes on. */
START_TEST(test_hostile_28_blk_queue_off_in_flight)
{
    const uint32_t rounds = support_rounds(500);

    blk_setup((enum blk_mode)_i);
    blk_set("queues", 2);
    blk_begin();
    for (uint32_t round = 0; round < rounds; round++) {
        uint64_t area = blk_buffer(4096, 0x33);
        uint64_t status;

        for (int i = 0; i < 16; i++)
            blk_add(0, BLK_T_OUT, 16, &(struct guest_part){ area, 4096, false }, 1);
        guest_kick(&guest, 0);
        status = blk_add(1, BLK_T_IN, 1, &(struct guest_part){ area, 512, true }, 1);
        guest_kick(&guest, 1);
        guest_write32(&guest, NV_VIRTIO_REG_QUEUE_SEL, 0);
        guest_write32(&guest, NV_VIRTIO_REG_QUEUE_READY, 0);
        ck_assert_uint_eq(guest.virtio->queues[0].held, 0);
        blk_wait(1);
        ck_assert_int_eq(blk_status(status), BLK_S_OK);
        guest_reset(&guest);
        ck_assert_int_eq(guest_drive(&guest, GUEST_ALL), 0);
    }
    check_unharmed();
    blk_teardown();
}
END_TEST

/* More requests than the device holds at a time, from all queues: each is answered. */
START_TEST(test_more_than_are_held)
{
    enum { QUEUES = 16, EACH = 84 }; /* 1344 */
    uint64_t status[QUEUES];
    uint64_t area;

    blk_setup((enum blk_mode)_i);
    blk_set("queues", QUEUES);
    guest.ring_size = 256;
    blk_begin();
    area = blk_buffer(512, 0x44);
    for (uint32_t q = 0; q < QUEUES; q++)
        for (int i = 0; i < EACH; i++)
            status[q] = blk_add(q, BLK_T_OUT, 16, &(struct guest_part){ area, 512, false }, 1);
    for (uint32_t q = 0; q < QUEUES; q++)
        guest_kick(&guest, q);
    for (uint32_t q = 0; q < QUEUES; q++) {
        for (int i = 0; i < EACH; i++)
            blk_wait(q);
        ck_assert_int_eq(blk_status(status[q]), BLK_S_OK);
    }
    ck_assert_uint_eq(guest_get_u64(&guest, "writes"), QUEUES * EACH);
    check_unharmed();
    blk_teardown();
}
END_TEST

Suite *nv_test_suite(void)
{
    Suite *suite = suite_create("blk_hostile");
    int modes = blk_modes();
    TCase *tcase = blk_case(suite, "hostile", 240);

    tcase_add_loop_test(tcase, test_hostile_35_blk_sector, 0, modes);
    tcase_add_loop_test(tcase, test_hostile_35_blk_giant_sum, 0, modes);
    tcase_add_loop_test(tcase, test_hostile_36_blk_odd_length, 0, modes);
    tcase_add_loop_test(tcase, test_hostile_37_blk_write_to_read_only, 0, modes);
    tcase_add_loop_test(tcase, test_hostile_38_blk_segments, 0, modes);
    tcase_add_loop_test(tcase, test_hostile_39_blk_serial_buffer, 0, modes);
    tcase_add_loop_test(tcase, test_hostile_12_blk_two_regions, 0, modes);
    tcase_add_loop_test(tcase, test_hostile_15_blk_header_and_status, 0, modes);
    tcase_add_loop_test(tcase, test_hostile_16_blk_racing_changes, 0, modes);
    tcase_add_loop_test(tcase, test_hostile_27_blk_reset_in_flight, 0, modes);
    tcase_add_loop_test(tcase, test_hostile_28_blk_queue_off_in_flight, 0, modes);
    tcase_add_loop_test(tcase, test_more_than_are_held, 0, modes);
    return suite;
}
