/* SPDX-License-Identifier: Apache-2.0 */
/* Proves the token buckets: rates, bursts, debts, changes while running, and no overflow. */
#include "core/util.h"
#include "support.h"
#include "virtio/limit.h"

static const uint64_t SECOND = 1000000000ull;

static struct nv_limit limit;

/* Any time but 0, as a clock gives it. */
static const uint64_t START = 77000000001ull;

static void setup(void)
{
    limit = (struct nv_limit){ .bytes.refill_ms = 1000, .operations.refill_ms = 1000 };
}

/* Takes requests as fast as they go until the end; returns how many. */
static uint64_t run(uint64_t bytes, uint64_t from_ns, uint64_t end_ns)
{
    uint64_t now_ns = from_ns;
    uint64_t count = 0;
    bool is_later = true; /* or a timer would spin */

    while (now_ns < end_ns && is_later) {
        uint64_t later_ns = nv_limit_take(&limit, bytes, now_ns);

        if (later_ns) {
            is_later = later_ns > now_ns;
            now_ns = later_ns;
        } else {
            count++;
        }
    }
    ck_assert(is_later);
    return count;
}

START_TEST(test_no_limit)
{
    for (uint64_t i = 0; i < 1000; i++)
        ck_assert_uint_eq(nv_limit_take(&limit, UINT64_MAX, START), 0);
}
END_TEST

START_TEST(test_rate_of_operations)
{
    limit.operations.size = 100;
    /* A full bucket at the start, then 100 a second. */
    ck_assert_uint_eq(run(0, START, START + 1), 100);
    ck_assert_uint_eq(run(0, START, START + 10 * SECOND), 999);
}
END_TEST

START_TEST(test_rate_of_bytes)
{
    static const uint64_t sizes[] = { 1, 512, 1000, 4096, 100000, 1 << 20 };

    for (size_t i = 0; i < NV_ARRAY_SIZE(sizes); i++) {
        uint64_t bytes;

        setup();
        limit.bytes.size = 100000;
        bytes = run(sizes[i], START, START + 100 * SECOND) * sizes[i];
        /* A bucket full, what flows in, and the debt of the last one. */
        ck_assert_uint_le(bytes, 101 * limit.bytes.size + sizes[i]);
        ck_assert_uint_ge(bytes, 100 * limit.bytes.size);
    }
}
END_TEST

START_TEST(test_both_limits_count)
{
    limit.bytes.size = 1000;
    limit.operations.size = 10;
    ck_assert_uint_le(run(1, START, START + 10 * SECOND), 110);
    setup();
    limit.bytes.size = 1000;
    limit.operations.size = 10;
    ck_assert_uint_le(run(500, START, START + 10 * SECOND), 23);
}
END_TEST

START_TEST(test_burst_once)
{
    limit.operations.size = 10;
    limit.operations.burst = 500;
    ck_assert_uint_eq(run(0, START, START + 1), 510);
    ck_assert_uint_le(run(0, START + 1, START + 10 * SECOND), 100);
    nv_limit_reset(&limit);
    ck_assert_uint_eq(run(0, START + 20 * SECOND, START + 20 * SECOND + 1), 510);
}
END_TEST

/* A request larger than the bucket passes, and is paid for in full by those behind it. */
START_TEST(test_debt)
{
    uint64_t later_ns;

    limit.bytes.size = 1000;
    ck_assert_uint_eq(nv_limit_take(&limit, 100000, START), 0);
    later_ns = nv_limit_take(&limit, 1, START);
    ck_assert_uint_ge(later_ns, START + 99 * SECOND);
    ck_assert_uint_le(later_ns, START + 100 * SECOND);
    for (uint64_t at = 1; at < 99; at += 7)
        ck_assert_uint_eq(nv_limit_take(&limit, 1, START + at * SECOND), later_ns);
    ck_assert_uint_ne(nv_limit_take(&limit, 1, later_ns - 2), 0);
    ck_assert_uint_eq(nv_limit_take(&limit, 1, later_ns), 0);
}
END_TEST

/* Nobody asks while the debt is paid off: it is not forgiven sooner. */
START_TEST(test_debt_is_not_forgiven)
{
    limit.bytes.size = 1000;
    ck_assert_uint_eq(nv_limit_take(&limit, 100000, START), 0);
    ck_assert_uint_ne(nv_limit_take(&limit, 1, START + 50 * SECOND), 0);
    ck_assert_uint_ne(nv_limit_take(&limit, 1, START + 98 * SECOND), 0);
    ck_assert_uint_eq(nv_limit_take(&limit, 1, START + 100 * SECOND), 0);
}
END_TEST

/* The bucket does not fill above its size, however long nothing happens. */
START_TEST(test_idle_saves_nothing)
{
    limit.operations.size = 50;
    ck_assert_uint_eq(run(0, START, START + 1), 50);
    ck_assert_uint_eq(run(0, START + 5000 * SECOND, START + 5000 * SECOND + 1), 50);
}
END_TEST

START_TEST(test_change_while_running)
{
    limit.operations.size = 10;
    ck_assert_uint_eq(run(0, START, START + 1), 10);
    limit.operations.size = 1000;
    ck_assert_uint_eq(run(0, START + 1, START + 2), 1000);
    limit.operations.size = 0; /* off */
    for (int i = 0; i < 10000; i++)
        ck_assert_uint_eq(nv_limit_take(&limit, 1, START + 2), 0);
    limit.operations.size = 10;
    ck_assert_uint_eq(run(0, START + 2, START + 3), 10);
    limit.operations.refill_ms = 100; /* ten times as fast */
    ck_assert_uint_ge(run(0, START + 3, START + 3 + SECOND), 99);
    limit.operations.refill_ms = 0; /* nobody can set it */
    run(0, START + 2 * SECOND, START + 2 * SECOND + 1000000);
}
END_TEST

START_TEST(test_time_goes_backwards)
{
    limit.operations.size = 10;
    ck_assert_uint_eq(run(0, START, START + 1), 10);
    ck_assert_uint_gt(nv_limit_take(&limit, 0, START - 60 * SECOND), START - 60 * SECOND);
    ck_assert_uint_gt(nv_limit_take(&limit, 0, 0), 0);
    ck_assert_uint_eq(nv_limit_take(&limit, 0, START + SECOND), 0);
}
END_TEST

/* Corners of the properties' ranges: nothing wraps, and the answer is never in the past. */
START_TEST(test_no_overflow)
{
    static const uint64_t sizes[] = { 1, 2, 1000, 1ull << 32, 1ull << 40 };
    static const uint64_t refills[] = { 1, 7, 1000, 3600000 };
    static const uint64_t requests[] = { 0, 1, 1ull << 32, UINT64_MAX };
    static const uint64_t times[] = { 0, 1, 1ull << 32, 1ull << 62, UINT64_MAX - 1 };

    for (size_t i = 0; i < 5 * 4 * 4 * 5 * 2; i++) {
        uint64_t now_ns = times[i % 5];
        uint64_t size = sizes[i / 5 % 5];
        uint64_t request = requests[i / 100 % 4];
        bool is_good = true;

        setup();
        limit.bytes.size = limit.operations.size = size;
        limit.bytes.refill_ms = limit.operations.refill_ms = refills[i / 25 % 4];
        limit.bytes.burst = i / 400 ? 1ull << 40 : 0;
        for (int step = 0; step < 50 && now_ns < UINT64_MAX; step++) {
            uint64_t later_ns = nv_limit_take(&limit, request, now_ns);

            is_good &= (later_ns == 0 || later_ns > now_ns) && limit.bytes.level <= (int64_t)size &&
                       limit.bytes.level >= -(1ll << 33);
            if (later_ns)
                now_ns = later_ns;
        }
        ck_assert_msg(is_good, "case %zu", i);
    }
}
END_TEST

/* However often it is asked, no part of a token is lost or made by rounding. */
START_TEST(test_no_rounding)
{
    uint64_t count = 0;

    limit.operations.size = 3;
    limit.operations.refill_ms = 1000;
    for (uint64_t at = 0; at < 1000 * SECOND; at += 7654321)
        count += nv_limit_take(&limit, 0, START + at) == 0;
    ck_assert_uint_ge(count, 3 + 3 * 1000 - 1);
    ck_assert_uint_le(count, 3 + 3 * 1000);
}
END_TEST

Suite *nv_test_suite(void)
{
    Suite *suite = suite_create("virtio_limit");
    TCase *tcase = support_case(suite, "buckets", 60);

    tcase_add_checked_fixture(tcase, setup, NULL);
    tcase_add_test(tcase, test_no_limit);
    tcase_add_test(tcase, test_rate_of_operations);
    tcase_add_test(tcase, test_rate_of_bytes);
    tcase_add_test(tcase, test_both_limits_count);
    tcase_add_test(tcase, test_burst_once);
    tcase_add_test(tcase, test_debt);
    tcase_add_test(tcase, test_debt_is_not_forgiven);
    tcase_add_test(tcase, test_idle_saves_nothing);
    tcase_add_test(tcase, test_change_while_running);
    tcase_add_test(tcase, test_time_goes_backwards);
    tcase_add_test(tcase, test_no_overflow);
    tcase_add_test(tcase, test_no_rounding);
    return suite;
}
