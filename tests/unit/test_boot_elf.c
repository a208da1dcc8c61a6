/* SPDX-License-Identifier: Apache-2.0 */
/* Proves that ELF kernels load as their headers say, from regular files only. */
#include <check.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/util.h"
#include "image.h"
#include "memory/layout.h"
#include "support.h"

static const uint64_t MEMORY = NV_MIB(4);

static struct loader loader;
static struct image elf;

static void setup(void)
{
    loader_init(&loader, MEMORY);
    elf = image_elf();
}

static void teardown(void)
{
    loader_destroy(&loader);
    image_free(&elf);
}

static void must_load_as(uint32_t format)
{
    loader_set_kernel(&loader, &elf, format);
    loader_must_load(&loader);
}

static void must_load(void)
{
    must_load_as(NESTVIRT_KERNEL_AUTO);
}

static void must_fail_as(uint32_t format, int code)
{
    loader_set_kernel(&loader, &elf, format);
    loader_must_fail(&loader, code, "kernel");
}

static void must_fail(int code)
{
    must_fail_as(NESTVIRT_KERNEL_AUTO, code);
}

START_TEST(test_segments_are_placed)
{
    must_load();
    ck_assert_mem_eq(loader_at(&loader, 0x100000, 0x200), elf.bytes + 0x1000, 0x200);
    ck_assert_mem_eq(loader_at(&loader, 0x200000, 0x100), elf.bytes + 0x1200, 0x100);
    ck_assert_uint_eq(*loader_at(&loader, 0x100200, 1), 0);
    ck_assert_uint_eq(*loader_at(&loader, 0x200100, 1), 0);
}
END_TEST

START_TEST(test_start_is_the_64_bit_protocol)
{
    must_load();
    ck_assert_uint_eq(loader.start.mode, NESTVIRT_MODE_LONG);
    ck_assert_uint_eq(loader.start.rip, ELF_ENTRY_VALUE);
    ck_assert_uint_eq(loader.start.rsi, NV_LAYOUT_ZERO_PAGE);
    ck_assert_uint_eq(loader.start.rbx, 0);
}
END_TEST

START_TEST(test_page_tables_map_4_gib)
{
    const uint8_t *tables;

    must_load();
    tables = loader_at(&loader, NV_LAYOUT_PAGE_TABLES, NV_LAYOUT_PAGE_TABLES_SIZE);
    ck_assert_uint_eq(nv_get_le64(tables), 0x4023);
    ck_assert_uint_eq(nv_get_le64(tables + 8), 0);
    for (uint64_t i = 0; i < 4; i++)
        ck_assert_uint_eq(nv_get_le64(tables + 0x1000 + 8 * i), 0x5023 + 0x1000 * i);
    ck_assert_uint_eq(nv_get_le64(tables + 0x1020), 0);
    for (uint64_t i = 0; i < 2048; i++)
        ck_assert_uint_eq(nv_get_le64(tables + 0x2000 + 8 * i), NV_MIB(2 * i) | 0xe3);
}
END_TEST

START_TEST(test_descriptors_match_selectors)
{
    const uint8_t *table;

    must_load();
    table = loader_at(&loader, NV_LAYOUT_GDT, 8 * NV_GDT_ENTRIES);
    ck_assert_uint_eq(nv_get_le64(table), 0);
    ck_assert_uint_eq(nv_get_le64(table + 8), 0);
    ck_assert_uint_eq(nv_get_le64(table + NV_SELECTOR_CODE64), 0x00af9b000000ffff);
    ck_assert_uint_eq(nv_get_le64(table + NV_SELECTOR_DATA), 0x00cf93000000ffff);
    ck_assert_uint_eq(nv_get_le64(table + NV_SELECTOR_TSS), 0x00008b0000000067);
    ck_assert_uint_eq(nv_get_le64(table + NV_SELECTOR_TSS + 8), 0);
    ck_assert_uint_eq(nv_get_le64(table + NV_SELECTOR_CODE32), 0x00cf9b000000ffff);
}
END_TEST

START_TEST(test_zero_page_describes_memory)
{
    const uint8_t *page;

    loader_add_memory(&loader, MEMORY, NV_MIB(1)); /* touches: one piece */
    loader_add_memory(&loader, NV_GIB(4), NV_MIB(1));
    must_load();
    page = loader_at(&loader, NV_LAYOUT_ZERO_PAGE, 4096);
    ck_assert_uint_eq(page[0x1e8], 4);
    ck_assert_uint_eq(nv_get_le64(page + 0x2d0), 0);
    ck_assert_uint_eq(nv_get_le64(page + 0x2d8), 0x9fc00);
    ck_assert_uint_eq(nv_get_le32(page + 0x2e0), 1);
    ck_assert_uint_eq(nv_get_le64(page + 0x2e4), 0x9fc00);
    ck_assert_uint_eq(nv_get_le64(page + 0x2ec), 0x60400);
    ck_assert_uint_eq(nv_get_le32(page + 0x2f4), 2);
    ck_assert_uint_eq(nv_get_le64(page + 0x2f8), 0x100000);
    ck_assert_uint_eq(nv_get_le64(page + 0x300), NV_MIB(4));
    ck_assert_uint_eq(nv_get_le32(page + 0x308), 1);
    ck_assert_uint_eq(nv_get_le64(page + 0x30c), NV_GIB(4));
    ck_assert_uint_eq(nv_get_le64(page + 0x314), NV_MIB(1));
}
END_TEST

START_TEST(test_zero_page_has_a_header_of_our_own)
{
    const uint8_t *page;

    must_load();
    page = loader_at(&loader, NV_LAYOUT_ZERO_PAGE, 4096);
    ck_assert_uint_eq(nv_get_le16(page + 0x1fe), 0xaa55);
    ck_assert_mem_eq(page + 0x202, "HdrS", 4);
    ck_assert_uint_ge(nv_get_le16(page + 0x206), 0x20c);
    ck_assert_uint_eq(page[0x210], 0xff);
    ck_assert_uint_eq(page[0x211] & 1, 1);
    ck_assert_uint_eq(page[0x1ef], 0); /* the sentinel */
    ck_assert_uint_eq(nv_get_le64(page + 0x70), 0);
}
END_TEST

START_TEST(test_discovery_tables_are_announced)
{
    loader.machine.has_irqchip = true;
    loader.source.discovery = NESTVIRT_DISCOVERY_ACPI | NESTVIRT_DISCOVERY_MPTABLE;
    must_load();
    ck_assert_uint_eq(nv_get_le64(loader_at(&loader, NV_LAYOUT_ZERO_PAGE + 0x70, 8)),
                      NV_LAYOUT_ACPI);
    ck_assert_mem_eq(loader_at(&loader, NV_LAYOUT_ACPI, 8), "RSD PTR ", 8);
    ck_assert_mem_eq(loader_at(&loader, NV_LAYOUT_MPTABLE, 4), "_MP_", 4);
    must_load_as(NESTVIRT_KERNEL_PVH);
    ck_assert_uint_eq(nv_get_le64(loader_at(&loader, NV_LAYOUT_PVH + 32, 8)), NV_LAYOUT_ACPI);
}
END_TEST

START_TEST(test_no_discovery_tables_without_interrupt_controllers)
{
    loader.source.discovery = NESTVIRT_DISCOVERY_ACPI | NESTVIRT_DISCOVERY_MPTABLE;
    must_load();
    ck_assert_uint_eq(*loader_at(&loader, NV_LAYOUT_ACPI, 1), 0);
    ck_assert_uint_eq(*loader_at(&loader, NV_LAYOUT_MPTABLE, 1), 0);
}
END_TEST

START_TEST(test_pvh_starts_at_the_note)
{
    const uint8_t *info;

    must_load_as(NESTVIRT_KERNEL_PVH);
    ck_assert_uint_eq(loader.start.mode, NESTVIRT_MODE_PROTECTED);
    ck_assert_uint_eq(loader.start.rip, ELF_PVH_VALUE);
    ck_assert_uint_eq(loader.start.rbx, NV_LAYOUT_PVH);
    ck_assert_uint_eq(loader.start.rsi, 0);
    info = loader_at(&loader, NV_LAYOUT_PVH, 4096);
    ck_assert_uint_eq(nv_get_le32(info), 0x336ec578);
    ck_assert_uint_eq(nv_get_le32(info + 4), 1);
    ck_assert_uint_eq(nv_get_le32(info + 12), 0);
    ck_assert_uint_eq(nv_get_le64(info + 24), NV_LAYOUT_CMDLINE);
    ck_assert_uint_eq(nv_get_le64(info + 40), NV_LAYOUT_PVH + 0x80);
    ck_assert_uint_eq(nv_get_le32(info + 48), 3);
    ck_assert_uint_eq(nv_get_le64(info + 0x80 + 48), 0x100000);
    ck_assert_uint_eq(nv_get_le64(info + 0x80 + 56), MEMORY - 0x100000);
    ck_assert_uint_eq(nv_get_le32(info + 0x80 + 64), 1);
}
END_TEST

START_TEST(test_pvh_entry_of_8_bytes)
{
    image_resize(&elf, ELF_SIZE + 0x18);
    memcpy(elf.bytes + ELF_SIZE, elf.bytes + ELF_NOTE, 0x14);
    image_put32(&elf, ELF_SIZE + 4, 8);
    image_put64(&elf, ELF_NOTES + PH_OFFSET, ELF_SIZE);
    image_put64(&elf, ELF_NOTES + PH_FILE_SIZE, 0x18);
    must_load_as(NESTVIRT_KERNEL_PVH);
    ck_assert_uint_eq(loader.start.rip, ELF_PVH_VALUE);
    image_put32(&elf, ELF_SIZE + 0x14, 1); /* 4 GiB more */
    loader.start.valid = false;
    ck_assert_int_eq(nv_memory_reset(&loader.memory, NULL), 0);
    must_fail_as(NESTVIRT_KERNEL_PVH, -ENOEXEC);
}
END_TEST

START_TEST(test_formats)
{
    must_load_as(NESTVIRT_KERNEL_ELF);
    ck_assert_uint_eq(loader.start.rip, ELF_ENTRY_VALUE);
    loader_destroy(&loader);
    loader_init(&loader, MEMORY);
    must_fail_as(NESTVIRT_KERNEL_BZIMAGE, -ENOEXEC);
    must_fail_as(NESTVIRT_KERNEL_BZIMAGE_IN_GUEST, -ENOEXEC);
    must_fail_as(77, -EINVAL);
}
END_TEST

START_TEST(test_no_kernel_is_no_start)
{
    ck_assert_int_eq(loader_run(&loader), 0);
    ck_assert(!loader.start.valid);
    ck_assert(loader_is_untouched(&loader));
}
END_TEST

START_TEST(test_file_position_is_kept)
{
    loader_set_kernel(&loader, &elf, NESTVIRT_KERNEL_AUTO);
    ck_assert_int_eq(lseek(loader.source.kernel_fd, 5, SEEK_SET), 5);
    loader_must_load(&loader);
    ck_assert_int_eq(lseek(loader.source.kernel_fd, 0, SEEK_CUR), 5);
}
END_TEST

START_TEST(test_exact_ends)
{
    /* Of the file: segments may touch it and each other. */
    image_put64(&elf, ELF_SECOND + PH_ADDRESS, 0x101000);
    must_load();
    /* Of memory. */
    image_put64(&elf, ELF_SECOND + PH_ADDRESS, MEMORY - 0x2000);
    must_load();
    /* Of the first segment. */
    image_put64(&elf, ELF_ENTRY, 0x100fff);
    must_load();
    ck_assert_uint_eq(loader.start.rip, 0x100fff);
    image_put64(&elf, ELF_ENTRY, 0x100000);
    must_load();
    /* The program headers at the end of the file. */
    image_resize(&elf, ELF_SIZE + 3 * ELF_HEADER_SIZE);
    memcpy(elf.bytes + ELF_SIZE, elf.bytes + ELF_HEADERS, 3 * ELF_HEADER_SIZE);
    image_put64(&elf, ELF_PHOFF, ELF_SIZE);
    must_load();
}
END_TEST

START_TEST(test_empty_segments_are_passed_over)
{
    image_put64(&elf, ELF_SECOND + PH_MEMORY_SIZE, 0);
    image_put64(&elf, ELF_SECOND + PH_FILE_SIZE, 0);
    image_put64(&elf, ELF_SECOND + PH_ADDRESS, 0);
    must_load();
}
END_TEST

START_TEST(test_no_memory_at_0)
{
    loader_destroy(&loader);
    loader_init(&loader, 0);
    loader_add_memory(&loader, 0x100000, MEMORY);
    loader_set_kernel(&loader, &elf, NESTVIRT_KERNEL_AUTO);
    loader_must_fail(&loader, -E2BIG, "guest memory");
    loader_set_kernel(&loader, &elf, NESTVIRT_KERNEL_PVH);
    loader_must_fail(&loader, -E2BIG, "guest memory");
}
END_TEST

START_TEST(test_memory_that_begins_within_the_tables)
{
    loader_destroy(&loader);
    loader_init(&loader, 0);
    loader_add_memory(&loader, NV_LAYOUT_PAGE_TABLES, MEMORY);
    loader_set_kernel(&loader, &elf, NESTVIRT_KERNEL_AUTO);
    loader_must_fail(&loader, -E2BIG, "guest memory");
}
END_TEST

START_TEST(test_no_memory_at_all)
{
    loader_destroy(&loader);
    loader_init(&loader, 0);
    must_fail(-E2BIG);
}
END_TEST

START_TEST(test_most_pieces_of_memory)
{
    for (uint64_t i = 1; i < NV_MEMORY_REGIONS_MAX; i++)
        loader_add_memory(&loader, NV_GIB(4) + NV_MIB(2) * i, NV_MIB(1));
    must_load();
    ck_assert_uint_eq(*loader_at(&loader, NV_LAYOUT_ZERO_PAGE + 0x1e8, 1),
                      NV_MEMORY_REGIONS_MAX + 2);
    must_load_as(NESTVIRT_KERNEL_PVH);
}
END_TEST

START_TEST(test_segment_across_regions)
{
    loader_add_memory(&loader, MEMORY, NV_MIB(1));
    image_put64(&elf, ELF_FIRST + PH_ADDRESS, MEMORY - 0x100);
    image_put64(&elf, ELF_ENTRY, MEMORY - 0x100);
    must_load();
    ck_assert_mem_eq(loader_at(&loader, MEMORY - 0x100, 0x100), elf.bytes + 0x1000, 0x100);
    ck_assert_mem_eq(loader_at(&loader, MEMORY, 0x100), elf.bytes + 0x1100, 0x100);
}
END_TEST

START_TEST(test_hostile_54_kernel_is_empty)
{
    image_resize(&elf, 0);
    must_fail(-ENOEXEC);
}
END_TEST

START_TEST(test_hostile_54_kernel_is_a_directory)
{
    loader.source.kernel_fd = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    loader_must_fail(&loader, -EISDIR, "kernel");
}
END_TEST

START_TEST(test_hostile_54_kernel_is_a_fifo)
{
    int ends[2];

    ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
    loader.source.kernel_fd = ends[0];
    loader_must_fail(&loader, -EINVAL, "kernel");
    close(ends[1]);
}
END_TEST

START_TEST(test_hostile_54_kernel_is_a_device_or_socket)
{
    loader.source.kernel_fd = open("/dev/zero", O_RDONLY | O_CLOEXEC);
    loader_must_fail(&loader, -EINVAL, "kernel");
    close(loader.source.kernel_fd);
    loader.source.kernel_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    loader_must_fail(&loader, -EINVAL, "kernel");
}
END_TEST

START_TEST(test_kernel_is_write_only_or_closed)
{
    char path[] = "/tmp/nestvirt-test-XXXXXX";
    int fd = mkstemp(path);

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, elf.bytes, elf.size), (ssize_t)elf.size);
    loader.source.kernel_fd = open(path, O_WRONLY | O_CLOEXEC);
    unlink(path);
    close(fd);
    loader.source.format = NESTVIRT_KERNEL_ELF;
    loader_must_fail(&loader, -EBADF, "kernel");
    close(loader.source.kernel_fd);
    loader_must_fail(&loader, -EBADF, "kernel");
    loader.source.kernel_fd = -1;
}
END_TEST

START_TEST(test_check_file_gives_the_size)
{
    struct nestvirt_error *error = NULL;
    uint64_t size = 0;
    int fd = image_fd(&elf);

    ck_assert_int_eq(nv_boot_check_file(fd, "kernel", &size, &error), 0);
    ck_assert_uint_eq(size, ELF_SIZE);
    ck_assert_ptr_null(error);
    close(fd);
}
END_TEST

Suite *nv_test_suite(void)
{
    Suite *suite = suite_create("boot_elf");
    TCase *tcase = support_case(suite, "boot_elf", 30);

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, test_segments_are_placed);
    tcase_add_test(tcase, test_start_is_the_64_bit_protocol);
    tcase_add_test(tcase, test_page_tables_map_4_gib);
    tcase_add_test(tcase, test_descriptors_match_selectors);
    tcase_add_test(tcase, test_zero_page_describes_memory);
    tcase_add_test(tcase, test_zero_page_has_a_header_of_our_own);
    tcase_add_test(tcase, test_discovery_tables_are_announced);
    tcase_add_test(tcase, test_no_discovery_tables_without_interrupt_controllers);
    tcase_add_test(tcase, test_pvh_starts_at_the_note);
    tcase_add_test(tcase, test_pvh_entry_of_8_bytes);
    tcase_add_test(tcase, test_formats);
    tcase_add_test(tcase, test_no_kernel_is_no_start);
    tcase_add_test(tcase, test_file_position_is_kept);
    tcase_add_test(tcase, test_exact_ends);
    tcase_add_test(tcase, test_empty_segments_are_passed_over);
    tcase_add_test(tcase, test_no_memory_at_0);
    tcase_add_test(tcase, test_memory_that_begins_within_the_tables);
    tcase_add_test(tcase, test_no_memory_at_all);
    tcase_add_test(tcase, test_most_pieces_of_memory);
    tcase_add_test(tcase, test_segment_across_regions);
    tcase_add_test(tcase, test_hostile_54_kernel_is_empty);
    tcase_add_test(tcase, test_hostile_54_kernel_is_a_directory);
    tcase_add_test(tcase, test_hostile_54_kernel_is_a_fifo);
    tcase_add_test(tcase, test_hostile_54_kernel_is_a_device_or_socket);
    tcase_add_test(tcase, test_kernel_is_write_only_or_closed);
    tcase_add_test(tcase, test_check_file_gives_the_size);
    return suite;
}
