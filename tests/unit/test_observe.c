/* SPDX-License-Identifier: Apache-2.0 */
/* Proves the arithmetic of waits: buckets, percentiles, the table and JSON. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "observe/patience.h"
#include "observe/waits.h"
#include "support.h"

enum { LAST = NV_WAIT_BUCKETS - 1 };
static const uint64_t US = 1000, SECOND = 1000000000;

static struct nv_waits waits;

static void setup(void)
{
    memset(&waits, 0, sizeof(waits));
    waits.info.size = sizeof(waits.info);
}

/* Counts waits as the BPF program does. */
static void add(uint64_t ns, uint64_t count)
{
    uint32_t bucket = nv_wait_bucket(ns);

    waits.sums.counts[bucket] += count;
    waits.sums.times_ns[bucket] += ns * count;
    if (ns > waits.sums.max_ns)
        waits.sums.max_ns = ns;
    nv_waits_sum_up(&waits);
}

START_TEST(test_highest_bit)
{
    for (uint32_t i = 0; i < 64; i++) {
        ck_assert_uint_eq(nv_highest_bit(UINT64_C(1) << i), i);
        ck_assert_uint_eq(nv_highest_bit((UINT64_C(2) << i) - 1), i);
    }
}
END_TEST

/* Each bucket begins where the one before it ends, to the nanosecond. */
START_TEST(test_limits_are_of_the_buckets)
{
    ck_assert_uint_eq(nv_wait_limit(0), 0);
    for (uint32_t i = 0; i < NV_WAIT_BUCKETS; i++) {
        uint64_t low = nv_wait_limit(i);

        ck_assert_uint_eq(nv_wait_bucket(low), i);
        if (i == 0)
            continue;
        ck_assert_uint_eq(nv_wait_bucket(low - 1), i - 1);
        /* An eighth at most, but for the first few. */
        ck_assert(i < 16 || low - nv_wait_limit(i - 1) <= nv_wait_limit(i - 1) / 8);
    }
    ck_assert_uint_eq(nv_wait_bucket(UINT64_MAX), LAST);
    ck_assert_uint_eq(nv_wait_limit(LAST), (UINT64_C(1) << 27) * US);
    ck_assert_uint_gt(nv_wait_limit(LAST), 64 * SECOND);
    ck_assert_uint_eq(nv_wait_limit(LAST + 1), UINT64_MAX);
    ck_assert_uint_eq(nv_wait_limit(UINT32_MAX), UINT64_MAX);
}
END_TEST

/* Powers of two in microseconds are limits, as the table needs it. */
START_TEST(test_rows_are_whole_buckets)
{
    for (uint64_t us = 1; us <= UINT64_C(1) << 27; us <<= 1)
        ck_assert_uint_eq(nv_wait_limit(nv_wait_bucket(us * US)), us * US);
}
END_TEST

static uint64_t percentile(uint32_t per_million)
{
    return nv_waits_percentile(waits.sums.counts, per_million, waits.info.max_ns);
}

START_TEST(test_percentiles)
{
    ck_assert_uint_eq(percentile(500000), 0); /* of nothing */
    add(100 * US, 98);
    add(10 * US * US, 2);
    ck_assert_uint_ge(percentile(0), 96 * US);
    ck_assert_uint_le(percentile(980000), 104 * US);
    ck_assert_uint_ge(percentile(500000), 96 * US);
    ck_assert_uint_lt(percentile(500000), percentile(980000));
    ck_assert_uint_ge(percentile(980001), 9 * US * US);
    ck_assert_uint_eq(percentile(1000000), 10 * US * US);
    /* Most of the time went into the long ones. */
    ck_assert_uint_ge(nv_waits_percentile(waits.sums.times_ns, 500000, waits.info.max_ns),
                      9 * US * US);
}
END_TEST

START_TEST(test_percentiles_at_the_ends)
{
    add(0, 1);
    ck_assert_uint_eq(percentile(1000000), 0); /* not more than the longest */
    add(200 * SECOND, 1);
    ck_assert_uint_eq(percentile(1000000), 200 * SECOND);
    for (uint32_t i = 0; i < NV_WAIT_BUCKETS; i++)
        waits.sums.times_ns[i] = UINT64_MAX; /* sums of times do not wrap */
    ck_assert_uint_gt(nv_waits_percentile(waits.sums.times_ns, 500000, UINT64_MAX), 100 * US);
    ck_assert_uint_lt(nv_waits_percentile(waits.sums.times_ns, 500000, UINT64_MAX), SECOND);
}
END_TEST

static const char *text_of(const char *vm, uint32_t weight)
{
    static char text[4096];
    const struct nv_waits_labels labels = { vm, "no libbpf" };
    size_t length = nv_waits_text(&waits, &labels, weight, text, sizeof(text));

    ck_assert_uint_lt(length, sizeof(text));
    ck_assert_uint_eq(length, strlen(text));
    ck_assert_uint_eq(length, nv_waits_text(&waits, &labels, weight, NULL, 0));
    return text;
}

/* As runqlat of the BPF compiler collection prints it. */
START_TEST(test_text)
{
    add(500, 20);
    add(1999, 20);
    add(9 * US, 80);
    add(40 * US, 1);
    ck_assert_str_eq(
        text_of(NULL, NESTVIRT_WEIGHT_COUNT),
        "     usecs               : count    distribution\n"
        "         0 -> 1          : 40       |********************                    |\n"
        "         2 -> 3          : 0        |                                        |\n"
        "         4 -> 7          : 0        |                                        |\n"
        "         8 -> 15         : 80       |****************************************|\n"
        "        16 -> 31         : 0        |                                        |\n"
        "        32 -> 63         : 1        |                                        |\n");
}
END_TEST

START_TEST(test_text_by_time)
{
    add(3 * US, 100);
    add(300 * US, 2);
    waits.info.lost = 3;
    waits.info.flags = NESTVIRT_WAITS_INCOMPLETE;
    ck_assert_str_eq(
        text_of("web1", NESTVIRT_WEIGHT_TIME),
        "vm = web1\n"
        "     usecs               : waited   distribution\n"
        "         0 -> 1          : 0        |                                        |\n"
        "         2 -> 3          : 300      |********************                    |\n"
        "         4 -> 7          : 0        |                                        |\n"
        "         8 -> 15         : 0        |                                        |\n"
        "        16 -> 31         : 0        |                                        |\n"
        "        32 -> 63         : 0        |                                        |\n"
        "        64 -> 127        : 0        |                                        |\n"
        "       128 -> 255        : 0        |                                        |\n"
        "       256 -> 511        : 600      |****************************************|\n"
        "lost = 3\n"
        "incomplete: not every thread is observed\n");
}
END_TEST

START_TEST(test_text_of_little)
{
    ck_assert_str_eq(text_of(NULL, NESTVIRT_WEIGHT_COUNT),
                     "     usecs               : count    distribution\n");
    waits.info.flags = NESTVIRT_WAITS_TOTALS_ONLY;
    waits.info.count = 12;
    waits.info.time_ns = 34567;
    ck_assert_str_eq(text_of("a", NESTVIRT_WEIGHT_COUNT),
                     "vm = a\n12 waits of 34 usecs together (no histogram: no libbpf)\n");
}
END_TEST

/* The sizes that the header names hold in the worst case. */
START_TEST(test_longest)
{
    static char text[32768];
    char reason[256];
    const struct nv_waits_labels labels = { "\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1", reason };

    memset(reason, '\1', sizeof(reason) - 1);
    reason[sizeof(reason) - 1] = '\0';
    memset(&waits.info, 0x7f, sizeof(waits.info));
    memset(&waits.sums, 0x7f, sizeof(waits.sums));
    for (uint32_t flags = 0; flags < 4; flags++) {
        waits.info.flags = flags;
        ck_assert_uint_lt(nv_waits_text(&waits, &labels, 1, text, 4096), 4096);
        ck_assert_uint_lt(nv_waits_text(&waits, &labels, 2, text, 4096), 4096);
        ck_assert_uint_lt(nv_waits_json(&waits, &labels, text, sizeof(text)), sizeof(text));
    }
}
END_TEST

START_TEST(test_json)
{
    const struct nv_waits_labels labels = { "a\"\\\n", "no" };
    char text[2048];

    add(1 * US, 4);
    add(200 * SECOND, 1);
    waits.info.threads = 2;
    waits.info.vms = 1;
    nv_waits_json(&waits, &labels, text, sizeof(text));
    ck_assert_str_eq(text,
                     "{\"source\":\"bpf\",\"reason\":null,\"vm\":\"a\\\"\\\\\\u000a\",\"count\":5,"
                     "\"time_ns\":200000004000,\"max_ns\":200000000000,\"lost\":0,\"preempted\":0,"
                     "\"inferred\":0,"
                     "\"threads\":2,\"vms\":1,\"incomplete\":false,\"percentiles\":{\"by_count\":{"
                     "\"p50_ns\":1093,\"p90_ns\":200000000000,\"p99_ns\":200000000000,"
                     "\"p999_ns\":200000000000},\"by_time\":{\"p50_ns\":167108863342,"
                     "\"p90_ns\":193421772668,\"p99_ns\":199342177266,\"p999_ns\":199934217726}},"
                     "\"buckets\":[{\"from_ns\":1000,\"to_ns\":1125,\"count\":4,\"time_ns\":4000},"
                     "{\"from_ns\":134217728000,\"to_ns\":null,\"count\":1,"
                     "\"time_ns\":200000000000}]}");
}
END_TEST

START_TEST(test_json_of_totals)
{
    const struct nv_waits_labels labels = { NULL, "no rights" };
    char text[512];

    waits.info.flags = NESTVIRT_WAITS_TOTALS_ONLY | NESTVIRT_WAITS_INCOMPLETE;
    waits.info.count = 7;
    nv_waits_json(&waits, &labels, text, sizeof(text));
    ck_assert_str_eq(
        text, "{\"source\":\"schedstat\",\"reason\":\"no rights\",\"vm\":null,"
              "\"count\":7,\"time_ns\":0,\"max_ns\":null,\"lost\":null,"
              "\"preempted\":null,\"inferred\":null,\"threads\":0,\"vms\":0,\"incomplete\":true,"
              "\"percentiles\":null,\"buckets\":null}");
}
END_TEST

/* Whatever the size, nothing is written behind it, and what is there ends with a zero. */
START_TEST(test_sizes)
{
    const struct nv_waits_labels labels = { "vm", "" };
    char text[1024];
    size_t length;

    add(5 * US, 3);
    length = nv_waits_json(&waits, &labels, NULL, 0);
    ck_assert_uint_lt(length, sizeof(text));
    for (size_t size = 1; size < length + 10; size++) {
        memset(text, 'x', sizeof(text));
        ck_assert_uint_eq(nv_waits_json(&waits, &labels, text, size), length);
        ck_assert_ptr_nonnull(memchr(text, '\0', size));
        ck_assert_int_eq(text[size], 'x');
    }
}
END_TEST

static int ask(uint32_t buckets, uint32_t per_million, uint64_t *ret_ns,
               struct nestvirt_error **ret_error)
{
    return nestvirt_waits_get_percentile(&waits.info, waits.sums.counts, buckets, per_million,
                                         ret_ns, ret_error);
}

START_TEST(test_percentiles_of_the_interface)
{
    uint64_t ns = 1;

    ck_nv_ok(ask(NESTVIRT_WAIT_BUCKETS, 500000, &ns, &error));
    ck_assert_uint_eq(ns, 0);
    add(5 * US, 1);
    ck_nv_ok(ask(NESTVIRT_WAIT_BUCKETS, 1000000, &ns, &error));
    ck_assert_uint_eq(ns, 5 * US);
    ck_nv_fails(ask(NESTVIRT_WAIT_BUCKETS, 1000001, &ns, &error), -EINVAL);
    ck_nv_fails_with(ask(224, 0, &ns, &error), -EINVAL, "225");
    ck_nv_fails(ask(NESTVIRT_WAIT_BUCKETS, 0, NULL, &error), -EFAULT);
    ck_nv_fails(
        nestvirt_waits_get_percentile(&waits.info, NULL, NESTVIRT_WAIT_BUCKETS, 0, &ns, &error),
        -EFAULT);
    waits.info.flags = NESTVIRT_WAITS_TOTALS_ONLY;
    ck_nv_fails(ask(NESTVIRT_WAIT_BUCKETS, 500000, &ns, &error), -ENOTSUP);
    ck_assert_uint_eq(ns, 5 * US);
    ck_assert_uint_eq(nestvirt_waits_get_limit(8), US);
    ck_assert_uint_eq(nestvirt_waits_get_limit(NESTVIRT_WAIT_BUCKETS), UINT64_MAX);
}
END_TEST

/* --- A kernel that is short of something for a moment --- */

struct kernel {
    int asked;
    int refusals; /* so many first */
    int code;     /* of them */
    int answer;   /* then */
};

static int ask_kernel(void *user_data, pid_t tid)
{
    struct kernel *kernel = user_data;

    ck_assert_int_eq(tid, 4711);
    return kernel->asked++ < kernel->refusals ? kernel->code : kernel->answer;
}

static void expect_answer(int refusals, int code, int answer, int asked)
{
    struct kernel kernel = { .refusals = refusals, .code = code, .answer = answer };

    ck_assert_int_eq(nv_ask_patiently(ask_kernel, &kernel, 4711), asked > refusals ? answer : code);
    ck_assert_int_eq(kernel.asked, asked);
}

/* Asked again for what comes back soon, for nothing else, and not for ever. */
START_TEST(test_asks_again)
{
    expect_answer(0, 0, 0, 1);
    expect_answer(1, -ENOMEM, 0, 2);
    expect_answer(7, -EAGAIN, 0, 8);
    expect_answer(3, -ENOMEM, -ESRCH, 4);
    expect_answer(100, -EPERM, 0, 1);
    expect_answer(100, -ESRCH, 0, 1);
    expect_answer(49, -ENOMEM, 0, 50);
    expect_answer(1000, -ENOMEM, 0, 50);
}
END_TEST

Suite *nv_test_suite(void)
{
    Suite *suite = suite_create("observe");
    TCase *tc = support_case(suite, "waits", 20);

    tcase_add_checked_fixture(tc, setup, NULL);
    tcase_add_test(tc, test_highest_bit);
    tcase_add_test(tc, test_asks_again);
    tcase_add_test(tc, test_limits_are_of_the_buckets);
    tcase_add_test(tc, test_rows_are_whole_buckets);
    tcase_add_test(tc, test_percentiles);
    tcase_add_test(tc, test_percentiles_at_the_ends);
    tcase_add_test(tc, test_text);
    tcase_add_test(tc, test_text_by_time);
    tcase_add_test(tc, test_text_of_little);
    tcase_add_test(tc, test_longest);
    tcase_add_test(tc, test_json);
    tcase_add_test(tc, test_json_of_totals);
    tcase_add_test(tc, test_sizes);
    tcase_add_test(tc, test_percentiles_of_the_interface);
    return suite;
}
