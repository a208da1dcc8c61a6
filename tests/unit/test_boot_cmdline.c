/* SPDX-License-Identifier: Apache-2.0 */
/* Proves that the command line reaches the kernel whole or not at all. */
#include <check.h>
#include <errno.h>
#include <string.h>

#include "core/util.h"
#include "image.h"
#include "memory/layout.h"
#include "support.h"

static struct loader loader;
static struct image elf;
static struct image bz;

static void setup(void)
{
    struct image payload = image_new(64);

    loader_init(&loader, NV_MIB(4));
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

static void set_length(size_t length)
{
    memset(loader.source.cmdline, 0, sizeof(loader.source.cmdline));
    memset(loader.source.cmdline, 'c', length);
}

static void must_arrive(const struct image *kernel, uint32_t format)
{
    size_t size = strlen(loader.source.cmdline) + 1;

    loader_set_kernel(&loader, kernel, format);
    loader_must_load(&loader);
    ck_assert_mem_eq(loader_at(&loader, NV_LAYOUT_CMDLINE, size), loader.source.cmdline, size);
}

static void must_fail(const struct image *kernel, uint32_t format)
{
    loader_set_kernel(&loader, kernel, format);
    loader_must_fail(&loader, -E2BIG, "kernel command line");
}

START_TEST(test_linux)
{
    strcpy(loader.source.cmdline, "console=ttyS0 quiet");
    must_arrive(&elf, NESTVIRT_KERNEL_AUTO);
    ck_assert_uint_eq(nv_get_le32(loader_at(&loader, NV_LAYOUT_ZERO_PAGE + 0x228, 4)),
                      NV_LAYOUT_CMDLINE);
    ck_assert_uint_eq(nv_get_le32(loader_at(&loader, NV_LAYOUT_ZERO_PAGE + 0xc8, 4)), 0);
}
END_TEST

START_TEST(test_pvh)
{
    strcpy(loader.source.cmdline, "console=ttyS0 quiet");
    must_arrive(&elf, NESTVIRT_KERNEL_PVH);
    ck_assert_uint_eq(nv_get_le64(loader_at(&loader, NV_LAYOUT_PVH + 24, 8)), NV_LAYOUT_CMDLINE);
}
END_TEST

START_TEST(test_none)
{
    must_arrive(&elf, NESTVIRT_KERNEL_AUTO);
    must_arrive(&bz, NESTVIRT_KERNEL_BZIMAGE_IN_GUEST);
}
END_TEST

START_TEST(test_shorter_one_at_the_next_start)
{
    strcpy(loader.source.cmdline, "console=ttyS0 quiet");
    must_arrive(&elf, NESTVIRT_KERNEL_AUTO);
    strcpy(loader.source.cmdline, "quiet");
    must_arrive(&elf, NESTVIRT_KERNEL_AUTO);
}
END_TEST

START_TEST(test_longest)
{
    set_length(NESTVIRT_CMDLINE_MAX);
    must_arrive(&elf, NESTVIRT_KERNEL_AUTO);
    must_arrive(&elf, NESTVIRT_KERNEL_PVH);
    must_arrive(&bz, NESTVIRT_KERNEL_BZIMAGE_IN_GUEST);
}
END_TEST

START_TEST(test_hostile_54_cmdline_without_end)
{
    set_length(NESTVIRT_CMDLINE_MAX + 1); /* no room for its final 0 */
    must_fail(&elf, NESTVIRT_KERNEL_AUTO);
    must_fail(&elf, NESTVIRT_KERNEL_PVH);
    must_fail(&bz, NESTVIRT_KERNEL_BZIMAGE_IN_GUEST);
}
END_TEST

START_TEST(test_hostile_54_cmdline_too_long_for_the_kernel)
{
    image_put32(&bz, BZ_CMDLINE_SIZE, 255);
    set_length(256);
    must_fail(&bz, NESTVIRT_KERNEL_BZIMAGE_IN_GUEST);
    set_length(255);
    must_arrive(&bz, NESTVIRT_KERNEL_BZIMAGE_IN_GUEST);
}
END_TEST

START_TEST(test_hostile_54_cmdline_size_of_the_kernel)
{
    image_put32(&bz, BZ_CMDLINE_SIZE, 0);
    set_length(1);
    must_fail(&bz, NESTVIRT_KERNEL_BZIMAGE_IN_GUEST);
    set_length(0);
    must_arrive(&bz, NESTVIRT_KERNEL_BZIMAGE_IN_GUEST);
    image_put32(&bz, BZ_CMDLINE_SIZE, UINT32_MAX);
    set_length(NESTVIRT_CMDLINE_MAX);
    must_arrive(&bz, NESTVIRT_KERNEL_BZIMAGE_IN_GUEST);
    set_length(NESTVIRT_CMDLINE_MAX + 1);
    loader_set_kernel(&loader, &bz, NESTVIRT_KERNEL_BZIMAGE_IN_GUEST);
    ck_assert_int_eq(loader_run(&loader), -E2BIG);
}
END_TEST

START_TEST(test_without_a_kernel)
{
    set_length(1);
    loader_must_fail(&loader, -EINVAL, "kernel command line");
}
END_TEST

START_TEST(test_memory_that_ends_before_it)
{
    loader_destroy(&loader);
    loader_init(&loader, NV_LAYOUT_CMDLINE);
    loader_add_memory(&loader, 0x100000, NV_MIB(3));
    loader_set_kernel(&loader, &elf, NESTVIRT_KERNEL_AUTO);
    loader_must_fail(&loader, -E2BIG, "guest memory");
}
END_TEST

Suite *nv_test_suite(void)
{
    Suite *suite = suite_create("boot_cmdline");
    TCase *tcase = support_case(suite, "boot_cmdline", 30);

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, test_linux);
    tcase_add_test(tcase, test_pvh);
    tcase_add_test(tcase, test_none);
    tcase_add_test(tcase, test_shorter_one_at_the_next_start);
    tcase_add_test(tcase, test_longest);
    tcase_add_test(tcase, test_hostile_54_cmdline_without_end);
    tcase_add_test(tcase, test_hostile_54_cmdline_too_long_for_the_kernel);
    tcase_add_test(tcase, test_hostile_54_cmdline_size_of_the_kernel);
    tcase_add_test(tcase, test_without_a_kernel);
    tcase_add_test(tcase, test_memory_that_ends_before_it);
    return suite;
}
