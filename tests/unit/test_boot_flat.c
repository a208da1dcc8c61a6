/* SPDX-License-Identifier: Apache-2.0 */
/* Proves that flat images are copied as they are, with the tables of their mode and no others. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/error.h"
#include "core/util.h"
#include "image.h"
#include "memory/layout.h"
#include "support.h"

enum { SIZE = 0x1234 };
static const uint64_t MEMORY = NV_MIB(2);

static struct loader loader;
static struct image code;

static void setup(void)
{
    loader_init(&loader, MEMORY);
    loader.source.is_flat = true;
    loader.source.discovery = NESTVIRT_DISCOVERY_ACPI | NESTVIRT_DISCOVERY_MPTABLE;
    loader.machine.has_irqchip = true;
    code = image_new(SIZE);
    memset(code.bytes, 0xf4, code.size);
}

static void teardown(void)
{
    loader_destroy(&loader);
    image_free(&code);
}

static void set(uint32_t mode, uint64_t address, uint64_t entry)
{
    loader.source.flat.mode = mode;
    loader.source.flat.address = address;
    loader.source.flat.entry = entry;
    loader_set_kernel(&loader, &code, 0);
}

static void must_load(uint32_t mode, uint64_t address, uint64_t entry)
{
    set(mode, address, entry);
    loader_must_load(&loader);
    ck_assert_uint_eq(loader.start.mode, mode);
    ck_assert_uint_eq(loader.start.rip, entry);
    ck_assert_uint_eq(loader.start.rsi, 0);
    ck_assert_uint_eq(loader.start.rbx, 0);
    ck_assert_mem_eq(loader_at(&loader, address, SIZE), code.bytes, SIZE);
}

static void must_fail(uint32_t mode, uint64_t address, uint64_t entry, int code_expected)
{
    set(mode, address, entry);
    loader_must_fail(&loader, code_expected, "flat image");
}

START_TEST(test_real_mode_writes_nothing_else)
{
    must_load(NESTVIRT_MODE_REAL, 0x1000, 0x1010);
    ck_assert_uint_eq(loader.start.rsp, 0x1000);
    memset(loader_at(&loader, 0x1000, SIZE), 0, SIZE);
    ck_assert(loader_is_untouched(&loader));
}
END_TEST

START_TEST(test_protected_mode_has_descriptors)
{
    must_load(NESTVIRT_MODE_PROTECTED, 0x100000, 0x100000);
    ck_assert_uint_eq(loader.start.rsp, 0x100000);
    ck_assert_uint_ne(nv_get_le64(loader_at(&loader, NV_LAYOUT_GDT + NV_SELECTOR_CODE32, 8)), 0);
    ck_assert_uint_eq(nv_get_le64(loader_at(&loader, NV_LAYOUT_PAGE_TABLES, 8)), 0);
}
END_TEST

START_TEST(test_long_mode_has_page_tables_and_no_discovery)
{
    must_load(NESTVIRT_MODE_LONG, 0x100000, 0x100000 + SIZE - 1);
    ck_assert_uint_ne(nv_get_le64(loader_at(&loader, NV_LAYOUT_GDT + NV_SELECTOR_CODE64, 8)), 0);
    ck_assert_uint_ne(nv_get_le64(loader_at(&loader, NV_LAYOUT_PAGE_TABLES, 8)), 0);
    ck_assert_uint_eq(*loader_at(&loader, NV_LAYOUT_ACPI, 1), 0);
    ck_assert_uint_eq(*loader_at(&loader, NV_LAYOUT_MPTABLE, 1), 0);
    ck_assert_uint_eq(*loader_at(&loader, NV_LAYOUT_ZERO_PAGE, 1), 0);
}
END_TEST

START_TEST(test_stack)
{
    must_load(NESTVIRT_MODE_REAL, 0, 0);
    ck_assert_uint_eq(loader.start.rsp, 0); /* nothing is below */
    must_load(NESTVIRT_MODE_REAL, 0xfff, 0xfff);
    ck_assert_uint_eq(loader.start.rsp, 0); /* not a whole page */
    must_load(NESTVIRT_MODE_REAL, 0x1008, 0x1008);
    ck_assert_uint_eq(loader.start.rsp, 0x1000); /* aligned */
    must_load(NESTVIRT_MODE_LONG, 0x9000, 0x9000);
    ck_assert_uint_eq(loader.start.rsp, 0); /* tables are below */
    must_load(NESTVIRT_MODE_LONG, 0xa000, 0xa000);
    ck_assert_uint_eq(loader.start.rsp, 0xa000);
    loader.source.flat.stack = 0x8000;
    must_load(NESTVIRT_MODE_LONG, 0xa000, 0xa000);
    ck_assert_uint_eq(loader.start.rsp, 0x8000);
}
END_TEST

START_TEST(test_stack_needs_memory_below)
{
    loader_add_memory(&loader, NV_MIB(4), NV_MIB(1));
    must_load(NESTVIRT_MODE_LONG, NV_MIB(4), NV_MIB(4));
    ck_assert_uint_eq(loader.start.rsp, 0);
}
END_TEST

START_TEST(test_exact_ends)
{
    must_load(NESTVIRT_MODE_LONG, MEMORY - SIZE, MEMORY - SIZE);
    must_load(NESTVIRT_MODE_REAL, 0x100000 - 1, 0x100000 - 1);
    must_load(NESTVIRT_MODE_LONG, NV_LAYOUT_TABLES_END, NV_LAYOUT_TABLES_END);
    must_load(NESTVIRT_MODE_REAL, NV_LAYOUT_GDT, NV_LAYOUT_GDT);
    image_resize(&code, NV_LAYOUT_GDT);
    set(NESTVIRT_MODE_LONG, 0, 0);
    loader_must_load(&loader);
}
END_TEST

START_TEST(test_one_past)
{
    must_fail(NESTVIRT_MODE_LONG, MEMORY - SIZE + 1, MEMORY - SIZE + 1, -E2BIG);
    must_fail(NESTVIRT_MODE_REAL, 0x100000, 0x100000, -EINVAL);
    must_fail(NESTVIRT_MODE_LONG, NV_LAYOUT_TABLES_END - 1, NV_LAYOUT_TABLES_END, -EINVAL);
    must_fail(NESTVIRT_MODE_PROTECTED, NV_LAYOUT_GDT, NV_LAYOUT_GDT, -EINVAL);
    image_resize(&code, NV_LAYOUT_GDT + 1);
    must_fail(NESTVIRT_MODE_LONG, 0, 0, -EINVAL);
    must_fail(NESTVIRT_MODE_PROTECTED, 0, 0, -EINVAL);
}
END_TEST

START_TEST(test_hostile_54_flat_entry_outside)
{
    must_fail(NESTVIRT_MODE_LONG, 0x100000, 0x100000 + SIZE, -EINVAL);
    must_fail(NESTVIRT_MODE_LONG, 0x100000, 0xfffff, -EINVAL);
    must_fail(NESTVIRT_MODE_LONG, 0x100000, 0, -EINVAL);
    must_fail(NESTVIRT_MODE_LONG, 0x100000, UINT64_MAX, -EINVAL);
}
END_TEST

START_TEST(test_hostile_54_flat_address_wraps)
{
    must_fail(NESTVIRT_MODE_LONG, UINT64_MAX, UINT64_MAX, -EINVAL);
    must_fail(NESTVIRT_MODE_LONG, UINT64_MAX - SIZE + 1, 0, -EINVAL);
    must_fail(NESTVIRT_MODE_LONG, (1ull << 46) - SIZE + 1, 0x1000, -EINVAL);
    must_fail(NESTVIRT_MODE_LONG, 1ull << 63, 1ull << 63, -EINVAL);
}
END_TEST

START_TEST(test_hostile_54_flat_above_the_mode)
{
    loader_add_memory(&loader, NV_GIB(4), NV_MIB(1));
    must_fail(NESTVIRT_MODE_LONG, NV_GIB(4), NV_GIB(4), -EINVAL);
    must_fail(NESTVIRT_MODE_PROTECTED, NV_GIB(4), NV_GIB(4), -EINVAL);
    must_fail(3, 0x100000, 0x100000, -EINVAL);
    must_fail(UINT32_MAX, 0x100000, 0x100000, -EINVAL);
    loader.source.flat.stack = NV_MIB(1) + 1;
    must_fail(NESTVIRT_MODE_REAL, 0x1000, 0x1000, -EINVAL);
    loader.source.flat.stack = NV_GIB(4) + 1;
    must_fail(NESTVIRT_MODE_LONG, 0x100000, 0x100000, -EINVAL);
    loader.source.flat.stack = NV_GIB(4);
    must_load(NESTVIRT_MODE_LONG, 0x100000, 0x100000);
}
END_TEST

START_TEST(test_no_memory_for_tables)
{
    loader_destroy(&loader);
    loader_init(&loader, 0);
    loader.source.is_flat = true;
    loader_add_memory(&loader, NV_MIB(1), NV_MIB(1));
    set(NESTVIRT_MODE_LONG, NV_MIB(1), NV_MIB(1));
    ck_assert_int_eq(loader_run(&loader), -E2BIG);
    ck_assert_str_eq(nv_error_get_object(loader.error), "guest memory");
    ck_assert(!loader.start.valid);
}
END_TEST

START_TEST(test_flat_has_no_use_for_linux_things)
{
    set(NESTVIRT_MODE_LONG, 0x100000, 0x100000);
    loader_set_initrd(&loader, &code);
    loader_must_fail(&loader, -EINVAL, "initrd");
    close(loader.source.initrd_fd);
    loader.source.initrd_fd = -1;
    strcpy(loader.source.cmdline, "quiet");
    loader_must_fail(&loader, -EINVAL, "kernel command line");
}
END_TEST

START_TEST(test_hostile_54_flat_is_no_file)
{
    int ends[2];

    image_resize(&code, 0);
    must_fail(NESTVIRT_MODE_LONG, 0x100000, 0x100000, -ENOEXEC);
    close(loader.source.kernel_fd);
    loader.source.kernel_fd = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    loader_must_fail(&loader, -EISDIR, "flat image");
    close(loader.source.kernel_fd);
    ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
    loader.source.kernel_fd = ends[0];
    loader_must_fail(&loader, -EINVAL, "flat image");
    close(ends[1]);
}
END_TEST

/* Files of sysfs say they have 4096 bytes and then give fewer, as one that is cut off meanwhile. */
START_TEST(test_hostile_54_file_shrinks)
{
    static const char path[] = "/sys/kernel/mm/ksm/run";
    struct stat status;

    if (stat(path, &status) < 0 || status.st_size != 4096) {
        printf("skip: no %s of 4096 bytes\n", path);
        return;
    }
    set(NESTVIRT_MODE_REAL, 0x1000, 0x1000);
    close(loader.source.kernel_fd);
    loader.source.kernel_fd = open(path, O_RDONLY | O_CLOEXEC);
    ck_assert_int_ge(loader.source.kernel_fd, 0);
    ck_assert_int_eq(loader_run(&loader), -ENOEXEC);
    ck_assert_ptr_nonnull(strstr(nv_error_get_message(loader.error), "became shorter"));
    ck_assert(!loader.start.valid);
}
END_TEST

Suite *nv_test_suite(void)
{
    Suite *suite = suite_create("boot_flat");
    TCase *tcase = support_case(suite, "boot_flat", 30);

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, test_real_mode_writes_nothing_else);
    tcase_add_test(tcase, test_protected_mode_has_descriptors);
    tcase_add_test(tcase, test_long_mode_has_page_tables_and_no_discovery);
    tcase_add_test(tcase, test_stack);
    tcase_add_test(tcase, test_stack_needs_memory_below);
    tcase_add_test(tcase, test_exact_ends);
    tcase_add_test(tcase, test_one_past);
    tcase_add_test(tcase, test_hostile_54_flat_entry_outside);
    tcase_add_test(tcase, test_hostile_54_flat_address_wraps);
    tcase_add_test(tcase, test_hostile_54_flat_above_the_mode);
    tcase_add_test(tcase, test_no_memory_for_tables);
    tcase_add_test(tcase, test_flat_has_no_use_for_linux_things);
    tcase_add_test(tcase, test_hostile_54_flat_is_no_file);
    tcase_add_test(tcase, test_hostile_54_file_shrinks);
    return suite;
}
