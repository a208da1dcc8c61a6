/* SPDX-License-Identifier: Apache-2.0 */
/* Proves the small arithmetic at its edges, and the log. */
#include <string.h>

#include "core/log.h"
#include "core/util.h"
#include "support.h"

START_TEST(test_alignment)
{
    ck_assert(nv_is_aligned(0, 4096));
    ck_assert(nv_is_aligned(4096, 4096));
    ck_assert(!nv_is_aligned(4095, 4096));
    ck_assert_uint_eq(nv_align_down(4095, 4096), 0);
    ck_assert_uint_eq(nv_align_down(UINT64_MAX, 4096), UINT64_MAX - 4095);
    ck_assert_uint_eq(nv_align_up(0, 4096), 0);
    ck_assert_uint_eq(nv_align_up(1, 4096), 4096);
    ck_assert_uint_eq(nv_align_up(4096, 4096), 4096);
    ck_assert_uint_eq(nv_align_up(UINT64_MAX - 4095, 4096), UINT64_MAX - 4095);
    ck_assert_uint_eq(nv_align_up(UINT64_MAX - 4094, 4096), 0);
    ck_assert_uint_eq(nv_align_up(UINT64_MAX, 4096), 0);
}
END_TEST

START_TEST(test_ranges_that_fit)
{
    ck_assert(nv_range_fits(0, 10, 10));
    ck_assert(!nv_range_fits(0, 11, 10));
    ck_assert(nv_range_fits(10, 0, 10));
    ck_assert(!nv_range_fits(11, 0, 10));
    ck_assert(!nv_range_fits(1, UINT64_MAX, 10));
    ck_assert(!nv_range_fits(UINT64_MAX, 1, 10));
    ck_assert(nv_range_fits(0, UINT64_MAX, UINT64_MAX));
    ck_assert(!nv_range_fits(1, UINT64_MAX, UINT64_MAX));
    ck_assert(nv_range_fits(UINT64_MAX - 1, 1, UINT64_MAX));
}
END_TEST

START_TEST(test_ranges_that_overlap)
{
    ck_assert(nv_ranges_overlap(0, 10, 9, 1));
    ck_assert(!nv_ranges_overlap(0, 10, 10, 1));
    ck_assert(nv_ranges_overlap(9, 1, 0, 10));
    ck_assert(!nv_ranges_overlap(10, 1, 0, 10));
    ck_assert(nv_ranges_overlap(5, 1, 5, 1));
    ck_assert(nv_ranges_overlap(0, 100, 50, 1));
    ck_assert(!nv_ranges_overlap(5, 0, 0, 10));
    ck_assert(!nv_ranges_overlap(0, 10, 5, 0));
    ck_assert(nv_ranges_overlap(UINT64_MAX, 1, 0, UINT64_MAX) == false);
    ck_assert(nv_ranges_overlap(UINT64_MAX - 1, 1, 0, UINT64_MAX));
}
END_TEST

START_TEST(test_sums)
{
    uint64_t sum;
    uint32_t product;

    ck_assert(!nv_add_overflows((uint64_t)1, (uint64_t)2, &sum));
    ck_assert_uint_eq(sum, 3);
    ck_assert(nv_add_overflows(UINT64_MAX, (uint64_t)1, &sum));
    ck_assert(!nv_mul_overflows(0xffffu, 0x10001u, &product));
    ck_assert_uint_eq(product, UINT32_MAX);
    ck_assert(nv_mul_overflows(0x10000u, 0x10000u, &product));
}
END_TEST

START_TEST(test_little_endian)
{
    uint8_t bytes[10] = { 0 };

    nv_put_le64(bytes + 1, 0xf1e2d3c4b5a69788); /* not aligned */
    ck_assert_mem_eq(bytes, "\0\x88\x97\xa6\xb5\xc4\xd3\xe2\xf1\0", 10);
    ck_assert_uint_eq(nv_get_le64(bytes + 1), 0xf1e2d3c4b5a69788);
    ck_assert_uint_eq(nv_get_le32(bytes + 5), 0xf1e2d3c4);
    ck_assert_uint_eq(nv_get_le16(bytes + 7), 0xf1e2);
    nv_put_le16(bytes, 0xffee);
    nv_put_le32(bytes + 2, 0x89abcdef);
    ck_assert_mem_eq(bytes, "\xee\xff\xef\xcd\xab\x89", 6);
}
END_TEST

struct lines {
    unsigned count;
    unsigned freed;
    uint32_t level;
    char text[1024];
};

static void on_line(void *user_data, uint32_t level, const char *text)
{
    struct lines *lines = user_data;

    lines->count++;
    lines->level = level;
    strncpy(lines->text, text, sizeof(lines->text) - 1);
}

static void on_free(void *user_data)
{
    ((struct lines *)user_data)->freed++;
}

START_TEST(test_log)
{
    struct lines lines = { 0 };
    struct nv_log log = {
        .level = NESTVIRT_LOG_WARNING, .fn = on_line, .user_data = &lines, .free_data = on_free
    };
    char text[2000];

    nv_log(NULL, NESTVIRT_LOG_ERROR, "nobody");
    nv_log(&log, NESTVIRT_LOG_INFO, "too fine");
    ck_assert_uint_eq(lines.count, 0);
    nv_log(&log, NESTVIRT_LOG_WARNING, "%d %s", 5, "things");
    ck_assert_uint_eq(lines.count, 1);
    ck_assert_uint_eq(lines.level, NESTVIRT_LOG_WARNING);
    ck_assert_str_eq(lines.text, "5 things");
    memset(text, 'x', sizeof(text));
    text[sizeof(text) - 1] = '\0';
    nv_log(&log, NESTVIRT_LOG_ERROR, "%s", text);
    ck_assert_int_lt(strlen(lines.text), 1000);
    nv_log_clear(&log);
    nv_log_clear(&log);
    ck_assert_uint_eq(lines.freed, 1);
    nv_log(&log, NESTVIRT_LOG_ERROR, "gone");
    ck_assert_uint_eq(lines.count, 2);
}
END_TEST

START_TEST(test_log_limit)
{
    struct nv_log_limit limit = { 0 };
    unsigned allowed = 0;

    for (int i = 0; i < 1000; i++)
        allowed += nv_log_allowed(&limit) != 0;
    ck_assert_uint_ge(allowed, 10);
    ck_assert_uint_le(allowed, 30); /* the machine may be slow */
    limit.window_start_ns -= 1000000000u;
    ck_assert_int_eq(nv_log_allowed(&limit), 1);
}
END_TEST

Suite *nv_test_suite(void)
{
    Suite *suite = suite_create("core_util");
    TCase *tcase = support_case(suite, "util", 30);

    tcase_add_test(tcase, test_alignment);
    tcase_add_test(tcase, test_ranges_that_fit);
    tcase_add_test(tcase, test_ranges_that_overlap);
    tcase_add_test(tcase, test_sums);
    tcase_add_test(tcase, test_little_endian);
    tcase_add_test(tcase, test_log);
    tcase_add_test(tcase, test_log_limit);
    return suite;
}
