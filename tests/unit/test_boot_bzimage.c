/* SPDX-License-Identifier: Apache-2.0 */
/* Proves that bzImages load, unpacked by host or guest, and that hostile headers are refused. */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "core/util.h"
#include "image.h"
#include "memory/layout.h"
#include "support.h"

static const uint64_t MEMORY = NV_MIB(4);

static struct loader loader;
static struct image elf;
static struct image bz;

/* A bzImage whose payload is no packing format: it can only unpack itself. */
static void setup(void)
{
    struct image payload = image_new(0x300);

    memset(payload.bytes, 'u', payload.size);
    loader_init(&loader, MEMORY);
    elf = image_elf();
    bz = image_bzimage(&payload);
    image_free(&payload);
}

static void teardown(void)
{
    loader_destroy(&loader);
    image_free(&elf);
    image_free(&bz);
}

/* Replaces the bzImage by one around packed content; tests that need a codec are added with it. */
static void repack(enum packing packing, const struct image *content)
{
    struct image payload = image_pack(packing, content);

    image_free(&bz);
    bz = image_bzimage(&payload);
    image_free(&payload);
}

static void must_load_as(uint32_t format)
{
    loader_set_kernel(&loader, &bz, format);
    loader_must_load(&loader);
}

static void must_fail_with(uint32_t format, int code, const char *object)
{
    loader_set_kernel(&loader, &bz, format);
    loader_must_fail(&loader, code, object);
}

/* Both ways of unpacking begin with the same header. */
static void must_fail(int code)
{
    must_fail_with(NESTVIRT_KERNEL_BZIMAGE, code, "kernel");
    must_fail_with(NESTVIRT_KERNEL_BZIMAGE_IN_GUEST, code, "kernel");
}

static void must_fail_in_guest(int code)
{
    must_fail_with(NESTVIRT_KERNEL_BZIMAGE_IN_GUEST, code, "kernel");
}

START_TEST(test_unpacked_on_the_host)
{
    const uint8_t *page;

    repack((enum packing)_i, &elf);
    must_load_as(NESTVIRT_KERNEL_AUTO);
    ck_assert_int_eq(loader.log_lines, 0);
    ck_assert_uint_eq(loader.start.mode, NESTVIRT_MODE_LONG);
    ck_assert_uint_eq(loader.start.rip, ELF_ENTRY_VALUE);
    ck_assert_uint_eq(loader.start.rsi, NV_LAYOUT_ZERO_PAGE);
    ck_assert_mem_eq(loader_at(&loader, 0x100000, 0x200), elf.bytes + 0x1000, 0x200);
    ck_assert_mem_eq(loader_at(&loader, 0x200000, 0x100), elf.bytes + 0x1200, 0x100);
    page = loader_at(&loader, NV_LAYOUT_ZERO_PAGE, 4096);
    ck_assert_mem_eq(page + 0x212, bz.bytes + 0x212, 6);
    ck_assert_uint_eq(page[0x210], 0xff);
    ck_assert_uint_eq(nv_get_le32(page + BZ_INIT_SIZE), BZ_MEMORY_SIZE);
    ck_assert_uint_eq(nv_get_le32(page + 0x228), NV_LAYOUT_CMDLINE);
}
END_TEST

START_TEST(test_unpacked_in_the_guest)
{
    image_put64(&bz, 0x250, 0x1234); /* setup_data, of which there is none */
    must_load_as(NESTVIRT_KERNEL_BZIMAGE_IN_GUEST);
    ck_assert_int_eq(loader.log_lines, 0);
    ck_assert_uint_eq(loader.start.rip, BZ_ADDRESS + 0x200);
    ck_assert_uint_eq(loader.start.rsi, NV_LAYOUT_ZERO_PAGE);
    ck_assert_mem_eq(loader_at(&loader, BZ_ADDRESS, bz.size - BZ_BODY), bz.bytes + BZ_BODY,
                     bz.size - BZ_BODY);
    ck_assert_uint_eq(nv_get_le64(loader_at(&loader, NV_LAYOUT_ZERO_PAGE + 0x250, 8)), 0);
}
END_TEST

START_TEST(test_unknown_packing_falls_back)
{
    must_load_as(NESTVIRT_KERNEL_AUTO);
    ck_assert_uint_eq(loader.start.rip, BZ_ADDRESS + 0x200);
    ck_assert_int_eq(loader.log_lines, 1);
    ck_assert_ptr_nonnull(strstr(loader.last_line, "3 kernel payload: is packed in an unknown"));
    ck_assert_ptr_nonnull(strstr(loader.last_line, "will unpack itself"));
}
END_TEST

START_TEST(test_known_packing_without_codec_falls_back)
{
    memcpy(bz.bytes + BZ_BODY + BZ_PAYLOAD_AT, "BZh9", 4);
    must_load_as(NESTVIRT_KERNEL_BZIMAGE);
    ck_assert_uint_eq(loader.start.rip, BZ_ADDRESS + 0x200);
    ck_assert_ptr_nonnull(strstr(loader.last_line, "bzip2"));
}
END_TEST

START_TEST(test_setup_sects_0_means_4)
{
    bz.bytes[BZ_SETUP_SECTS] = 0;
    must_load_as(NESTVIRT_KERNEL_BZIMAGE_IN_GUEST);
    ck_assert_mem_eq(loader_at(&loader, BZ_ADDRESS, 16), bz.bytes + BZ_BODY, 16);
}
END_TEST

START_TEST(test_what_follows_the_code_is_not_loaded)
{
    size_t code = bz.size - BZ_BODY;

    image_resize(&bz, bz.size + 512);
    memset(bz.bytes + bz.size - 512, 's', 512); /* a signature */
    must_load_as(NESTVIRT_KERNEL_BZIMAGE_IN_GUEST);
    ck_assert_uint_eq(*loader_at(&loader, BZ_ADDRESS + code, 1), 0);
}
END_TEST

START_TEST(test_longest_header)
{
    bz.bytes[BZ_JUMP] = 0xff; /* ends behind what the zero page has room for */
    bz.bytes[0x28f] = 0x77;
    bz.bytes[0x290] = 0x77;
    must_load_as(NESTVIRT_KERNEL_BZIMAGE_IN_GUEST);
    ck_assert_uint_eq(*loader_at(&loader, NV_LAYOUT_ZERO_PAGE + 0x28f, 1), 0x77);
    ck_assert_uint_eq(*loader_at(&loader, NV_LAYOUT_ZERO_PAGE + 0x290, 1), 0);
}
END_TEST

START_TEST(test_exact_ends)
{
    /* init_size to the end of memory. */
    image_put32(&bz, BZ_INIT_SIZE, (uint32_t)(MEMORY - BZ_ADDRESS));
    must_load_as(NESTVIRT_KERNEL_BZIMAGE_IN_GUEST);
    image_put32(&bz, BZ_INIT_SIZE, (uint32_t)(MEMORY - BZ_ADDRESS) + 1);
    loader.start.valid = false;
    nv_memory_reset(&loader.memory, NULL);
    must_fail_in_guest(-E2BIG);
}
END_TEST

/* Number 54 */

START_TEST(test_hostile_54_bzimage_truncated_header)
{
    loader_destroy(&loader);
    loader_init(&loader, 0x10000); /* little, as all of it is looked at each time */
    for (size_t size = 0; size <= 0x290; size++) {
        struct image part = { bz.bytes, size };

        for (uint32_t format = 0; format <= NESTVIRT_KERNEL_BZIMAGE_IN_GUEST; format++) {
            loader_set_kernel(&loader, &part, format);
            loader_must_fail(&loader, -ENOEXEC, "kernel");
        }
    }
}
END_TEST

START_TEST(test_hostile_54_bzimage_truncated_body)
{
    for (size_t size = BZ_BODY; size <= bz.size - 16; size += 0x33) {
        struct image part = { bz.bytes, size };

        loader_set_kernel(&loader, &part, NESTVIRT_KERNEL_BZIMAGE_IN_GUEST);
        loader_must_fail(&loader, -ENOEXEC, "kernel");
    }
    image_resize(&bz, BZ_BODY + BZ_PAYLOAD_AT + 0x2ff);
    must_fail_with(NESTVIRT_KERNEL_AUTO, -ENOEXEC, "kernel");
}
END_TEST

START_TEST(test_hostile_54_bzimage_setup_sects)
{
    static const uint8_t values[] = { 255, 128, 9, 8 };

    image_resize(&bz, 9 * 512); /* setup sectors up to the end leave nothing */
    for (size_t i = 0; i < NV_ARRAY_SIZE(values); i++) {
        bz.bytes[BZ_SETUP_SECTS] = values[i];
        must_fail(-ENOEXEC);
    }
}
END_TEST

START_TEST(test_hostile_54_bzimage_marks)
{
    static const struct {
        size_t offset;
        uint8_t value;
    } cases[] = {
        { BZ_BOOT_FLAG, 0 },    { BZ_BOOT_FLAG + 1, 0 }, { BZ_MAGIC, 'h' },
        { BZ_MAGIC + 3, 0 },    { BZ_VERSION, 9 },       { BZ_VERSION + 1, 1 },
        { BZ_LOADFLAGS, 0xfe }, { BZ_JUMP, 0 },          { BZ_JUMP, 0x61 },
    };

    for (size_t i = 0; i < NV_ARRAY_SIZE(cases); i++) {
        uint8_t old = bz.bytes[cases[i].offset];

        bz.bytes[cases[i].offset] = cases[i].value;
        must_fail(-ENOEXEC);
        bz.bytes[cases[i].offset] = old;
    }
}
END_TEST

START_TEST(test_hostile_54_bzimage_payload_range)
{
    static const struct {
        uint32_t offset;
        uint32_t length;
    } cases[] = {
        { BZ_PAYLOAD_AT, 0 },
        { BZ_PAYLOAD_AT, 0x301 },
        { BZ_PAYLOAD_AT + 1, 0x300 },
        { UINT32_MAX, 1 },
        { 0, UINT32_MAX },
        { UINT32_MAX, UINT32_MAX },
        { UINT32_MAX - 0x2ff, 0x300 },
        { 0x80000000, 0x80000000 },
        { 0x701, 1 },
    };

    for (size_t i = 0; i < NV_ARRAY_SIZE(cases); i++) {
        image_put32(&bz, BZ_PAYLOAD_OFFSET, cases[i].offset);
        image_put32(&bz, BZ_PAYLOAD_LENGTH, cases[i].length);
        must_fail_with(NESTVIRT_KERNEL_AUTO, -ENOEXEC, "kernel");
    }
}
END_TEST

START_TEST(test_hostile_54_bzimage_place)
{
    static const uint64_t values[] = { 0,          NV_LAYOUT_GDT, 0xfffff,    UINT64_MAX,
                                       1ull << 63, 1ull << 46,    ~0xfffffull };

    for (size_t i = 0; i < NV_ARRAY_SIZE(values); i++) {
        image_put64(&bz, BZ_PREF_ADDRESS, values[i]);
        must_fail_in_guest(-ENOEXEC);
    }
    image_put64(&bz, BZ_PREF_ADDRESS, MEMORY);
    must_fail_in_guest(-E2BIG);
    image_put64(&bz, BZ_PREF_ADDRESS, BZ_ADDRESS);
    image_put32(&bz, BZ_INIT_SIZE, UINT32_MAX);
    must_fail_in_guest(-E2BIG);
}
END_TEST

START_TEST(test_hostile_54_bzimage_init_size_too_small)
{
    image_put32(&bz, BZ_INIT_SIZE, 0); /* what the file has counts then */
    image_put64(&bz, BZ_PREF_ADDRESS, MEMORY - (bz.size - BZ_BODY));
    must_load_as(NESTVIRT_KERNEL_BZIMAGE_IN_GUEST);
    image_put64(&bz, BZ_PREF_ADDRESS, MEMORY - (bz.size - BZ_BODY) + 1);
    loader.start.valid = false;
    nv_memory_reset(&loader.memory, NULL);
    must_fail_in_guest(-E2BIG);
}
END_TEST

START_TEST(test_hostile_54_bzimage_syssize)
{
    static const uint32_t values[] = { UINT32_MAX, 0x10000000, 0x71, 0, 0x20 };

    for (size_t i = 0; i < NV_ARRAY_SIZE(values); i++) {
        image_put32(&bz, BZ_SYSSIZE, values[i]);
        must_fail_in_guest(-ENOEXEC);
    }
}
END_TEST

START_TEST(test_hostile_54_bzimage_without_64_bit_entry)
{
    image_put16(&bz, BZ_XLOADFLAGS, 0xfffe);
    must_fail_in_guest(-ENOEXEC);
    image_put16(&bz, BZ_XLOADFLAGS, 1);
    image_put16(&bz, BZ_VERSION, 0x020b); /* xloadflags came with 2.12 */
    must_fail_in_guest(-ENOEXEC);
    must_fail_with(NESTVIRT_KERNEL_AUTO, -ENOEXEC, "kernel");
}
END_TEST

START_TEST(test_hostile_54_bzimage_too_old)
{
    repack((enum packing)_i, &elf);
    image_put16(&bz, BZ_VERSION, 0x0209); /* whose header has no init_size */
    must_fail_with(NESTVIRT_KERNEL_AUTO, -ENOEXEC, "kernel");
    image_put16(&bz, BZ_VERSION, 0x020a);
    must_load_as(NESTVIRT_KERNEL_AUTO);
}
END_TEST

START_TEST(test_hostile_54_payload_is_damaged)
{
    repack((enum packing)_i, &elf);
    memset(bz.bytes + BZ_BODY + BZ_PAYLOAD_AT + 12, 0xff, 64);
    must_fail_with(NESTVIRT_KERNEL_AUTO, -ENOEXEC, "kernel payload");
}
END_TEST

START_TEST(test_hostile_54_payload_is_no_elf)
{
    struct image other = image_new(5000);

    memset(other.bytes, 'x', other.size);
    repack((enum packing)_i, &other);
    must_fail_with(NESTVIRT_KERNEL_AUTO, -ENOEXEC, "kernel payload");
    image_resize(&other, 1);
    repack((enum packing)_i, &other);
    must_fail_with(NESTVIRT_KERNEL_AUTO, -ENOEXEC, "kernel payload");
    image_free(&other);
}
END_TEST

START_TEST(test_hostile_54_payload_has_hostile_elf)
{
    image_put64(&elf, ELF_SECOND + PH_ADDRESS, 0x3000);
    repack((enum packing)_i, &elf);
    must_fail_with(NESTVIRT_KERNEL_AUTO, -ENOEXEC, "kernel payload");
    image_put64(&elf, ELF_SECOND + PH_ADDRESS, MEMORY);
    repack((enum packing)_i, &elf);
    must_fail_with(NESTVIRT_KERNEL_AUTO, -E2BIG, "kernel payload");
}
END_TEST

START_TEST(test_hostile_54_payload_is_a_bomb)
{
    struct image zeroes = image_new(NV_MIB(64));

    repack((enum packing)_i, &zeroes);
    image_free(&zeroes);
    must_fail_with(NESTVIRT_KERNEL_AUTO, -E2BIG, "kernel payload");
}
END_TEST

START_TEST(test_hostile_54_payload_lies_about_its_size)
{
    static const uint32_t values[] = { 0, 1, UINT32_MAX, 0x80000000 };

    for (size_t i = 0; i < NV_ARRAY_SIZE(values); i++) {
        size_t end;

        repack((enum packing)_i, &elf);
        if (_i == PACKED_GZIP) /* whose format ends with the size, and checks it */
            return;
        end = BZ_BODY + BZ_PAYLOAD_AT + nv_get_le32(bz.bytes + BZ_PAYLOAD_LENGTH);
        image_put32(&bz, end - 4, values[i]);
        must_load_as(NESTVIRT_KERNEL_AUTO);
        ck_assert_uint_eq(loader.start.rip, ELF_ENTRY_VALUE);
    }
}
END_TEST

static void add_payloads(TCase *tcase, int packing)
{
    if (!image_has_packing((enum packing)packing)) {
        printf("skip: no %s codec in this build\n", packing_names[packing]);
        return;
    }
    tcase_add_loop_test(tcase, test_unpacked_on_the_host, packing, packing + 1);
    tcase_add_loop_test(tcase, test_hostile_54_bzimage_too_old, packing, packing + 1);
    tcase_add_loop_test(tcase, test_hostile_54_payload_is_damaged, packing, packing + 1);
    tcase_add_loop_test(tcase, test_hostile_54_payload_is_a_bomb, packing, packing + 1);
    tcase_add_loop_test(tcase, test_hostile_54_payload_is_no_elf, packing, packing + 1);
    tcase_add_loop_test(tcase, test_hostile_54_payload_has_hostile_elf, packing, packing + 1);
    tcase_add_loop_test(tcase, test_hostile_54_payload_lies_about_its_size, packing, packing + 1);
}

Suite *nv_test_suite(void)
{
    Suite *suite = suite_create("boot_bzimage");
    TCase *tcase = support_case(suite, "boot_bzimage", 30);

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, test_unpacked_in_the_guest);
    tcase_add_test(tcase, test_unknown_packing_falls_back);
    tcase_add_test(tcase, test_known_packing_without_codec_falls_back);
    tcase_add_test(tcase, test_setup_sects_0_means_4);
    tcase_add_test(tcase, test_what_follows_the_code_is_not_loaded);
    tcase_add_test(tcase, test_longest_header);
    tcase_add_test(tcase, test_exact_ends);
    tcase_add_test(tcase, test_hostile_54_bzimage_truncated_header);
    tcase_add_test(tcase, test_hostile_54_bzimage_truncated_body);
    tcase_add_test(tcase, test_hostile_54_bzimage_setup_sects);
    tcase_add_test(tcase, test_hostile_54_bzimage_marks);
    tcase_add_test(tcase, test_hostile_54_bzimage_payload_range);
    tcase_add_test(tcase, test_hostile_54_bzimage_place);
    tcase_add_test(tcase, test_hostile_54_bzimage_init_size_too_small);
    tcase_add_test(tcase, test_hostile_54_bzimage_syssize);
    tcase_add_test(tcase, test_hostile_54_bzimage_without_64_bit_entry);
    for (int packing = 0; packing < PACKINGS; packing++)
        add_payloads(tcase, packing);
    return suite;
}
