/* SPDX-License-Identifier: Apache-2.0 */
/* Proves the entropy device: bounded requests, rate limits, and a host that gives little. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "core/log.h"
#include "support.h"
#include "virtio_guest.h"

enum { QUEUE = 0, REQUEST_MAX = 65536, WAIT_MS = 20000 };

static struct virtio_guest guest;

/* What the host's getrandom() does next; put in by the linker. */
static int host_errno;     /* 0: it works */
static unsigned host_most; /* bytes at once; 0: as many as asked for */
static unsigned host_calls;
static unsigned host_bad_flags;

ssize_t __real_getrandom(void *buffer, size_t length, unsigned flags);
ssize_t __wrap_getrandom(void *buffer, size_t length, unsigned flags);

ssize_t __wrap_getrandom(void *buffer, size_t length, unsigned flags)
{
    int failure = __atomic_load_n(&host_errno, __ATOMIC_SEQ_CST);

    __atomic_fetch_add(&host_calls, 1, __ATOMIC_SEQ_CST);
    if (flags != GRND_NONBLOCK)
        host_bad_flags++;
    if (failure) {
        errno = failure;
        return -1;
    }
    if (host_most && length > host_most)
        length = host_most;
    return __real_getrandom(buffer, length, flags);
}

static void set_host_errno(int value)
{
    __atomic_store_n(&host_errno, value, __ATOMIC_SEQ_CST);
}

static unsigned get_host_calls(void)
{
    return __atomic_load_n(&host_calls, __ATOMIC_SEQ_CST);
}

static void begin(uint32_t flags)
{
    host_errno = 0;
    host_most = host_calls = host_bad_flags = 0;
    ck_assert_int_eq(guest_new(&guest, "rng", flags), 0);
}

static void drive(void)
{
    ck_assert_int_eq(guest_wire(&guest), 0);
    guest_start(&guest);
    ck_assert_int_eq(guest_drive(&guest, GUEST_ALL), 0);
}

static void setup(void)
{
    begin(0);
    drive();
}

static void setup_loop(void)
{
    begin(GUEST_LOOP);
}

static void teardown(void)
{
    ck_assert_uint_eq(host_bad_flags, 0);
    guest_free(&guest);
}

/* Asks for so many bytes; returns their address. */
static uint64_t ask(uint32_t length)
{
    uint64_t buffer = guest_alloc(&guest, length);

    ck_assert(buffer);
    ck_assert_int_ge(guest_add(&guest, QUEUE, &(struct guest_part){ buffer, length, true }, 1), 0);
    guest_kick(&guest, QUEUE);
    return buffer;
}

static void must_give(uint32_t length)
{
    uint32_t given;

    ck_assert(guest_wait_used(&guest, QUEUE, NULL, &given, WAIT_MS));
    ck_assert_uint_eq(given, length);
}

static unsigned count_zeroes(uint64_t address, uint32_t length)
{
    const uint8_t *bytes = guest_mem(&guest, address, length);
    unsigned count = 0;

    for (uint32_t i = 0; i < length; i++)
        count += bytes[i] == 0;
    return count;
}

START_TEST(test_bytes)
{
    uint64_t first = ask(1000);
    uint64_t second = ask(1000);

    must_give(1000);
    must_give(1000);
    ck_assert_uint_lt(count_zeroes(first, 1000), 50);
    ck_assert_int_ne(memcmp(guest_mem(&guest, first, 1000), guest_mem(&guest, second, 1000), 1000),
                     0);
    ck_assert_uint_eq(guest_get_u64(&guest, "bytes"), 2000);
    ck_assert_uint_eq(guest_get_u64(&guest, "starved"), 0);
}
END_TEST

/* Not a byte outside of the buffers, however they are cut. */
START_TEST(test_scattered_buffers)
{
    const uint64_t base = guest_alloc(&guest, 4096);
    const struct guest_part parts[] = {
        { base + 16, 8, false },  { base + 64, 1, true },    { base + 128, 0, true },
        { base + 256, 31, true }, { base + 512, 300, true },
    };
    const uint8_t *bytes = guest_mem(&guest, base, 4096);

    ck_assert_int_ge(guest_add(&guest, QUEUE, parts, 5), 0);
    guest_kick(&guest, QUEUE);
    must_give(332);
    for (uint32_t i = 0; i < 4096; i++)
        if (!(i == 64 || (i >= 256 && i < 287) || (i >= 512 && i < 812)))
            ck_assert_uint_eq(bytes[i], 0);
    ck_assert_uint_lt(count_zeroes(base + 512, 300), 20);
}
END_TEST

START_TEST(test_hostile_45_rng_giant_request)
{
    enum { PARTS = 1000, LENGTH = 0x40000, AT = 0x80000 };
    struct guest_part *parts = calloc(PARTS, sizeof(*parts));
    uint8_t *bytes = guest_mem(&guest, AT, LENGTH);

    /* 250 MiB of buffers, all the same: 64 KiB are given, once. */
    for (uint32_t i = 0; i < PARTS; i++)
        parts[i] = (struct guest_part){ AT, LENGTH, true };
    ck_assert_int_ge(guest_add_indirect(&guest, QUEUE, 0, parts, PARTS), 0);
    guest_kick(&guest, QUEUE);
    must_give(REQUEST_MAX);
    for (uint32_t i = REQUEST_MAX; i < LENGTH; i++)
        ck_assert_uint_eq(bytes[i], 0);
    ck_assert_uint_lt(count_zeroes(AT, REQUEST_MAX), 1000);
    ck_assert_uint_eq(guest_get_u64(&guest, "bytes"), REQUEST_MAX);
    free(parts);

    /* One buffer of 4 GiB is not in memory. */
    ck_assert_int_ge(guest_add(&guest, QUEUE, &(struct guest_part){ AT, UINT32_MAX, true }, 1), 0);
    guest_kick(&guest, QUEUE);
    ck_assert(guest_read32(&guest, NV_VIRTIO_REG_STATUS) & NV_VIRTIO_NEEDS_RESET);
    ck_assert_uint_eq(guest_get_u64(&guest, "bytes"), REQUEST_MAX);
    ck_assert_int_eq(guest_drive(&guest, GUEST_ALL), 0);
    ask(16);
    must_give(16);
}
END_TEST

START_TEST(test_hostile_45_rng_no_room)
{
    const uint64_t base = guest_alloc(&guest, 64);

    ck_assert_int_ge(guest_add(&guest, QUEUE, &(struct guest_part){ base, 64, false }, 1), 0);
    ck_assert_int_ge(guest_add(&guest, QUEUE, &(struct guest_part){ base, 0, true }, 1), 0);
    guest_kick(&guest, QUEUE);
    must_give(0);
    must_give(0);
    ck_assert_uint_eq(count_zeroes(base, 64), 64);
    ck_assert_uint_eq(host_calls, 0);
    ck_assert_uint_eq(guest_get_u64(&guest, "starved"), 0);
}
END_TEST

START_TEST(test_host_gives_a_little)
{
    uint64_t at;

    host_most = 7;
    at = ask(1000);
    must_give(1000);
    ck_assert_uint_lt(count_zeroes(at, 1000), 50);
    ck_assert_uint_ge(host_calls, 1000 / 7);
}
END_TEST

/* Without a loop the next notification tries again. */
START_TEST(test_host_gives_nothing)
{
    set_host_errno(EAGAIN);
    ask(100);
    ck_assert(!guest_used(&guest, QUEUE, NULL, NULL));
    ck_assert_uint_eq(guest_get_u64(&guest, "starved"), 1);
    set_host_errno(0);
    guest_kick(&guest, QUEUE);
    must_give(100);
    ck_assert_uint_eq(guest_get_u64(&guest, "bytes"), 100);
}
END_TEST

START_TEST(test_request_waits_for_the_host)
{
    uint64_t begin_ns;
    uint64_t tries;

    drive();
    set_host_errno(ENOSYS);
    begin_ns = nv_now_ns();
    ask(100);
    while (guest_get_u64(&guest, "starved") < 3 && nv_now_ns() - begin_ns < WAIT_MS * 1000000ull)
        ck_assert(!guest_wait_used(&guest, QUEUE, NULL, NULL, 10));
    tries = get_host_calls();
    ck_assert_uint_ge(tries, 3);
    /* It does not go round and round: a try each 100 ms, besides that of the notification. */
    ck_assert_uint_le(tries, 2 + (nv_now_ns() - begin_ns) / 100000000);
    set_host_errno(0);
    must_give(100);
}
END_TEST

START_TEST(test_hostile_45_rng_rate)
{
    ck_assert_int_eq(guest_set_u64(&guest, "rate_bytes", 1000), 0);
    ck_assert_int_eq(guest_set_u64(&guest, "rate_bytes_refill_ms", 3600000), 0);
    drive();
    ask(2000); /* into debt */
    ask(10);
    must_give(2000);
    ck_assert(!guest_wait_used(&guest, QUEUE, NULL, NULL, 100));
    for (unsigned i = 0; i < 1000; i++)
        guest_kick(&guest, QUEUE);
    ck_assert(!guest_wait_used(&guest, QUEUE, NULL, NULL, 100));
    ck_assert_uint_eq(guest_get_u64(&guest, "bytes"), 2000);
    ck_assert_int_eq(guest_set_u64(&guest, "rate_bytes", 0), 0); /* live: no limit any more */
    must_give(10);
}
END_TEST

/* Random bytes take the host's time: many large requests are no single pass. */
START_TEST(test_hostile_45_rng_takes_turns)
{
    enum { COUNT = GUEST_RING_SIZE };
    struct guest_part part = { .length = REQUEST_MAX, .is_writable = true };
    uint64_t before;

    drive();
    part.address = guest_alloc(&guest, REQUEST_MAX);
    before = guest_get_u64(&guest, "notified");
    for (unsigned i = 0; i < COUNT; i++)
        ck_assert_int_ge(guest_add(&guest, QUEUE, &part, 1), 0);
    guest_kick(&guest, QUEUE);
    for (unsigned i = 0; i < COUNT; i++)
        must_give(REQUEST_MAX);
    ck_assert_uint_ge(guest_get_u64(&guest, "notified") - before, COUNT / 4);
}
END_TEST

START_TEST(test_rate_lets_through_in_time)
{
    ck_assert_int_eq(guest_set_u64(&guest, "rate_operations", 1), 0);
    ck_assert_int_eq(guest_set_u64(&guest, "rate_operations_refill_ms", 50), 0);
    drive();
    for (unsigned i = 0; i < 4; i++)
        ask(10);
    for (unsigned i = 0; i < 4; i++)
        must_give(10);
}
END_TEST

START_TEST(test_pause_and_reset_while_a_request_waits)
{
    drive();
    set_host_errno(EAGAIN);
    ask(10);
    ck_assert(!guest_wait_used(&guest, QUEUE, NULL, NULL, 20));
    guest_pause(&guest);
    set_host_errno(0);
    ck_assert(!guest_wait_used(&guest, QUEUE, NULL, NULL, 250));
    guest_resume(&guest);
    must_give(10);

    set_host_errno(EAGAIN);
    ask(10);
    ck_assert(!guest_wait_used(&guest, QUEUE, NULL, NULL, 20));
    guest_write32(&guest, NV_VIRTIO_REG_STATUS, 0);
    set_host_errno(0);
    ck_assert_int_eq(guest_drive(&guest, GUEST_ALL), 0);
    ck_assert(!guest_wait_used(&guest, QUEUE, NULL, NULL, 150));
    ask(20);
    must_give(20);
}
END_TEST

START_TEST(test_rebuild)
{
    for (unsigned i = 0; i < 50; i++) {
        drive();
        set_host_errno(i % 2 ? EAGAIN : 0);
        ask(10);
        if (i % 2 == 0)
            must_give(10);
        set_host_errno(0);
        guest_stop(&guest);
        guest_unbuild(&guest);
    }
    ck_assert_int_lt(guest_set_u64(&guest, "queue_size", 3), 1);
    ck_assert_int_eq(guest_wire(&guest), -EINVAL);
    ck_assert_int_eq(guest_set_u64(&guest, "queue_size", 4), 0);
    drive();
    ask(10);
    must_give(10);
}
END_TEST

/* The smallest ring: a request that waits does not keep the loop busy. */
START_TEST(test_hostile_33_ring_of_one_waits)
{
    guest.ring_size = 1;
    drive();
    set_host_errno(ENOSYS);
    ask(100);
    usleep(200000);
    ck_assert_uint_lt(guest_get_u64(&guest, "notified"), 20);
    set_host_errno(0);
    must_give(100);
}
END_TEST

Suite *nv_test_suite(void)
{
    Suite *suite = suite_create("rng");
    TCase *tcase = support_case(suite, "requests", 60);

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, test_bytes);
    tcase_add_test(tcase, test_scattered_buffers);
    tcase_add_test(tcase, test_hostile_45_rng_giant_request);
    tcase_add_test(tcase, test_hostile_45_rng_no_room);
    tcase_add_test(tcase, test_host_gives_a_little);
    tcase_add_test(tcase, test_host_gives_nothing);
    tcase = support_case(suite, "time", 60);
    tcase_add_checked_fixture(tcase, setup_loop, teardown);
    tcase_add_test(tcase, test_request_waits_for_the_host);
    tcase_add_test(tcase, test_hostile_33_ring_of_one_waits);
    tcase_add_test(tcase, test_hostile_45_rng_rate);
    tcase_add_test(tcase, test_hostile_45_rng_takes_turns);
    tcase_add_test(tcase, test_rate_lets_through_in_time);
    tcase_add_test(tcase, test_pause_and_reset_while_a_request_waits);
    tcase_add_test(tcase, test_rebuild);
    return suite;
}
