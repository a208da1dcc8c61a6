/* SPDX-License-Identifier: Apache-2.0 */
/* Proves that what the packers pack is unpacked again, within limits, and damage is noticed. */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "boot/unpack.h"
#include "core/error.h"
#include "core/util.h"
#include "image.h"
#include "support.h"

enum { LIMIT = 32 << 20 };

/* Bytes that neither pack well nor not at all. */
static struct image make_content(size_t size)
{
    struct image content = image_new(size);
    uint32_t seed = 1;

    for (size_t i = 0; i < size; i++) {
        seed = seed * 1664525 + 1013904223;
        content.bytes[i] = (uint8_t)(i % 7 ? seed >> 30 : seed >> 24);
    }
    return content;
}

static void must_be(const struct image *packed, size_t limit, const struct image *content)
{
    struct nestvirt_error *error = NULL;
    uint8_t *bytes = NULL;
    size_t size = 0;
    int r = nv_unpack(packed->bytes, packed->size, limit, &bytes, &size, &error);

    ck_assert_msg(r == 0, "%d (%s)", r, nv_error_get_message(error));
    ck_assert_uint_eq(size, content->size);
    ck_assert(size == 0 || memcmp(bytes, content->bytes, size) == 0);
    free(bytes);
}

static void must_fail(const struct image *packed, size_t limit, int code)
{
    struct nestvirt_error *error = NULL;
    uint8_t *bytes = NULL;
    size_t size = 0;
    int r = nv_unpack(packed->bytes, packed->size, limit, &bytes, &size, &error);

    ck_assert_msg(r == code, "%d (%s), not %d", r, nv_error_get_message(error), code);
    ck_assert_str_eq(nv_error_get_object(error), "kernel payload");
    ck_assert_str_ne(nv_error_get_hint(error), "");
    ck_assert_ptr_null(bytes);
    nv_error_free(error);
}

START_TEST(test_round_trip)
{
    /* One past the first capacity of the buffer, and past one and two blocks of lz4. */
    static const size_t sizes[] = { 1,       100,           4096,          1 << 20, (1 << 20) + 1,
                                    8 << 20, (8 << 20) + 1, (17 << 20) + 5 };

    for (size_t i = 0; i < NV_ARRAY_SIZE(sizes); i++) {
        struct image content = make_content(sizes[i]);
        struct image packed = image_pack((enum packing)_i, &content);

        must_be(&packed, LIMIT, &content);
        image_free(&packed);
        image_free(&content);
    }
}
END_TEST

START_TEST(test_limit)
{
    struct image content = make_content((2 << 20) + 1);
    struct image packed = image_pack((enum packing)_i, &content);

    must_be(&packed, content.size, &content);
    must_fail(&packed, content.size - 1, -E2BIG);
    must_fail(&packed, 4096, -E2BIG);
    must_fail(&packed, 1, -E2BIG);
    must_fail(&packed, 0, -E2BIG);
    image_free(&packed);
    image_free(&content);
}
END_TEST

START_TEST(test_trailing_bytes_do_not_matter)
{
    struct image content = make_content(10000);
    struct image packed = image_pack((enum packing)_i, &content);

    if (_i != PACKED_LZ4) { /* whose blocks end where the input does */
        image_resize(&packed, packed.size + 100);
        must_be(&packed, LIMIT, &content);
    }
    image_free(&packed);
    image_free(&content);
}
END_TEST

/* Cut off within the data, at every byte: an error or, for lz4 between blocks, less content. */
START_TEST(test_hostile_54_packed_data_is_cut_off)
{
    struct image content = make_content(600);
    struct image packed = image_pack((enum packing)_i, &content);

    for (size_t size = 6; size < packed.size - 4; size++) {
        struct image part = image_new(size);
        uint8_t *bytes = NULL;
        size_t length = 0;
        int r;

        memcpy(part.bytes, packed.bytes, size); /* a block of its own, for the sanitizer */
        r = nv_unpack(part.bytes, part.size, LIMIT, &bytes, &length, NULL);
        ck_assert_msg(r == -ENOEXEC || (r == 0 && length < content.size) ||
                          (_i == PACKED_GZIP && r == 0),
                      "%zu of %zu bytes: %d", size, packed.size, r);
        free(bytes);
        image_free(&part);
    }
    image_free(&packed);
    image_free(&content);
}
END_TEST

START_TEST(test_hostile_54_packed_data_is_flipped)
{
    struct image content = make_content(600);
    struct image packed = image_pack((enum packing)_i, &content);

    for (size_t bit = 0; bit < packed.size * 8; bit++) {
        uint8_t *bytes = NULL;
        size_t size = 0;
        int r;

        packed.bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        r = nv_unpack(packed.bytes, packed.size, LIMIT, &bytes, &size, NULL);
        packed.bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        ck_assert_msg(r == 0 || r == -ENOEXEC || r == -ENOTSUP || r == -E2BIG, "%d", r);
        ck_assert_uint_le(size, LIMIT);
        free(bytes);
    }
    image_free(&packed);
    image_free(&content);
}
END_TEST

START_TEST(test_hostile_54_lz4_blocks)
{
    struct image packed = image_new(16);

    image_put32(&packed, 0, 0x184c2102);
    image_put32(&packed, 4, 0); /* an empty block */
    must_fail(&packed, LIMIT, -ENOEXEC);
    image_put32(&packed, 4, 9); /* one past the end */
    must_fail(&packed, LIMIT, -ENOEXEC);
    image_put32(&packed, 4, UINT32_MAX);
    must_fail(&packed, LIMIT, -ENOEXEC);
    image_put32(&packed, 4, 0x184c2102); /* a second frame, which is allowed, then an empty block */
    must_fail(&packed, LIMIT, -ENOEXEC);
    image_free(&packed);
}
END_TEST

START_TEST(test_lz4_frames_follow_each_other)
{
    struct image content = make_content(1000);
    struct image packed = image_pack(PACKED_LZ4, &content);
    size_t frame = packed.size - 4; /* without the size */

    image_resize(&packed, 2 * frame + 4);
    memcpy(packed.bytes + frame, packed.bytes, frame);
    image_resize(&content, 2000);
    memcpy(content.bytes + 1000, content.bytes, 1000);
    must_be(&packed, LIMIT, &content);
    image_free(&packed);
    image_free(&content);
}
END_TEST

START_TEST(test_unknown_formats)
{
    static const char *const starts[] = { "BZh91AY", "\x5d\0\0\0\x80", "\x89LZO\0\r\n", "MZ", "" };

    for (size_t i = 0; i < NV_ARRAY_SIZE(starts); i++) {
        struct image packed = image_new(64);

        memcpy(packed.bytes, starts[i], strlen(starts[i]));
        must_fail(&packed, LIMIT, -ENOTSUP);
        image_free(&packed);
    }
}
END_TEST

START_TEST(test_shorter_than_any_mark)
{
    struct image packed = image_new(0);

    must_fail(&packed, LIMIT, -ENOTSUP);
    image_resize(&packed, 1);
    packed.bytes[0] = 0x1f;
    must_fail(&packed, LIMIT, -ENOTSUP);
    image_free(&packed);
}
END_TEST

START_TEST(test_codec_that_is_not_there)
{
    static const uint8_t marks[PACKINGS][6] = { { 0x1f, 0x8b },
                                                { 0x02, 0x21, 0x4c, 0x18 },
                                                { 0x28, 0xb5, 0x2f, 0xfd },
                                                { 0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00 } };

    for (enum packing packing = 0; packing < PACKINGS; packing++) {
        struct image packed = image_new(64);

        memcpy(packed.bytes, marks[packing], sizeof(marks[packing]));
        must_fail(&packed, LIMIT, image_has_packing(packing) ? -ENOEXEC : -ENOTSUP);
        image_free(&packed);
    }
}
END_TEST

Suite *nv_test_suite(void)
{
    Suite *suite = suite_create("boot_unpack");
    TCase *tcase = support_case(suite, "boot_unpack", 60);

    for (int i = 0; i < PACKINGS; i++) {
        if (!image_has_packing((enum packing)i)) {
            printf("skip: no %s codec in this build\n", packing_names[i]);
            continue;
        }
        tcase_add_loop_test(tcase, test_round_trip, i, i + 1);
        tcase_add_loop_test(tcase, test_limit, i, i + 1);
        tcase_add_loop_test(tcase, test_trailing_bytes_do_not_matter, i, i + 1);
        tcase_add_loop_test(tcase, test_hostile_54_packed_data_is_cut_off, i, i + 1);
        tcase_add_loop_test(tcase, test_hostile_54_packed_data_is_flipped, i, i + 1);
    }
    if (image_has_packing(PACKED_LZ4)) {
        tcase_add_test(tcase, test_lz4_frames_follow_each_other);
        tcase_add_test(tcase, test_hostile_54_lz4_blocks);
    }
    tcase_add_test(tcase, test_unknown_formats);
    tcase_add_test(tcase, test_shorter_than_any_mark);
    tcase_add_test(tcase, test_codec_that_is_not_there);
    return suite;
}
