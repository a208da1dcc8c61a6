/* SPDX-License-Identifier: Apache-2.0 */
/* Proves that hostile ELF headers, segments and notes are refused before memory is written. */
#include <check.h>
#include <elf.h>
#include <errno.h>

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

START_TEST(test_hostile_54_elf_phoff)
{
    static const uint64_t values[] = { UINT64_MAX, UINT64_MAX - 3 * ELF_HEADER_SIZE + 1, 1ull << 63,
                                       ELF_SIZE - 3 * ELF_HEADER_SIZE + 1, ELF_SIZE };

    for (size_t i = 0; i < NV_ARRAY_SIZE(values); i++) {
        image_put64(&elf, ELF_PHOFF, values[i]);
        must_fail(-ENOEXEC);
    }
}
END_TEST

START_TEST(test_hostile_54_elf_phnum)
{
    static const uint16_t values[] = { 0, 129, 256, 0xffff, 128 };

    for (size_t i = 0; i < NV_ARRAY_SIZE(values); i++) {
        if (values[i] == 129) /* all of these are in the file, and of a type not looked at */
            image_resize(&elf, 64 + 0xffff * ELF_HEADER_SIZE);
        if (values[i] == 128) /* allowed, but one byte is missing */
            image_resize(&elf, 64 + 128 * ELF_HEADER_SIZE - 1);
        image_put16(&elf, ELF_PHNUM, values[i]);
        must_fail(-ENOEXEC);
    }
}
END_TEST

START_TEST(test_hostile_54_elf_phentsize)
{
    static const uint16_t values[] = { 0, 1, 32, 55, 57, 0xffff };

    for (size_t i = 0; i < NV_ARRAY_SIZE(values); i++) {
        image_put16(&elf, ELF_PHENTSIZE, values[i]);
        must_fail(-ENOEXEC);
    }
}
END_TEST

START_TEST(test_hostile_54_elf_of_another_kind)
{
    static const struct {
        size_t offset;
        uint8_t value;
    } cases[] = { { EI_CLASS, ELFCLASS32 },
                  { EI_DATA, ELFDATA2MSB },
                  { EI_VERSION, 0 },
                  { ELF_TYPE, ET_REL },
                  { ELF_TYPE, ET_CORE },
                  { ELF_MACHINE, EM_386 },
                  { ELF_MACHINE, 0xb7 },
                  { 20, 2 },
                  { 0, 0 } };

    for (size_t i = 0; i < NV_ARRAY_SIZE(cases); i++) {
        uint8_t old = elf.bytes[cases[i].offset];

        elf.bytes[cases[i].offset] = cases[i].value;
        must_fail(-ENOEXEC);
        elf.bytes[cases[i].offset] = old;
    }
}
END_TEST

START_TEST(test_hostile_54_elf_truncated_anywhere)
{
    /* The header, the program headers and every piece of the segments are needed. */
    for (size_t size = 0; size < ELF_SIZE; size += size < 0x300 ? 1 : 0x3d) {
        struct image part = { elf.bytes, size };

        loader_set_kernel(&loader, &part, NESTVIRT_KERNEL_AUTO);
        loader_must_fail(&loader, -ENOEXEC, "kernel");
    }
}
END_TEST

START_TEST(test_hostile_54_elf_truncated_by_one_byte)
{
    image_resize(&elf, ELF_SIZE - 1);
    must_fail(-ENOEXEC);
}
END_TEST

START_TEST(test_hostile_54_segment_offset)
{
    static const uint64_t values[] = { UINT64_MAX, UINT64_MAX - 0xff, 1ull << 63, 0x1201,
                                       ELF_SIZE };

    for (size_t i = 0; i < NV_ARRAY_SIZE(values); i++) {
        image_put64(&elf, ELF_SECOND + PH_OFFSET, values[i]);
        must_fail(-ENOEXEC);
    }
}
END_TEST

START_TEST(test_hostile_54_segment_file_size)
{
    static const uint64_t values[] = { UINT64_MAX, 1ull << 63, UINT64_MAX - 0x11ff, 0x101, 0x2001 };

    for (size_t i = 0; i < NV_ARRAY_SIZE(values); i++) {
        image_put64(&elf, ELF_SECOND + PH_FILE_SIZE, values[i]);
        must_fail(-ENOEXEC);
    }
}
END_TEST

START_TEST(test_hostile_54_segment_file_size_above_memory_size)
{
    image_put64(&elf, ELF_SECOND + PH_MEMORY_SIZE, 0xff);
    must_fail(-ENOEXEC);
    image_put64(&elf, ELF_SECOND + PH_MEMORY_SIZE, 0);
    must_fail(-ENOEXEC);
    image_put64(&elf, ELF_SECOND + PH_MEMORY_SIZE, 0x100);
    must_load();
}
END_TEST

START_TEST(test_hostile_54_segment_memory_size)
{
    static const uint64_t values[] = { UINT64_MAX, UINT64_MAX - 0x200000 + 1, 1ull << 63,
                                       (1ull << 46) - 0x200000 + 1 };

    for (size_t i = 0; i < NV_ARRAY_SIZE(values); i++) {
        image_put64(&elf, ELF_SECOND + PH_MEMORY_SIZE, values[i]);
        must_fail(-ENOEXEC);
    }
    image_put64(&elf, ELF_SECOND + PH_MEMORY_SIZE, (1ull << 46) - 0x200000);
    must_fail(-E2BIG);
    image_put64(&elf, ELF_SECOND + PH_MEMORY_SIZE, MEMORY - 0x200000 + 1);
    must_fail(-E2BIG);
}
END_TEST

START_TEST(test_hostile_54_segment_address)
{
    static const uint64_t values[] = { UINT64_MAX, UINT64_MAX - 0x1fff, 1ull << 63, 1ull << 46,
                                       (1ull << 46) - 0x1fff };

    for (size_t i = 0; i < NV_ARRAY_SIZE(values); i++) {
        image_put64(&elf, ELF_SECOND + PH_ADDRESS, values[i]);
        must_fail(-ENOEXEC);
    }
}
END_TEST

START_TEST(test_hostile_54_segment_outside_memory)
{
    static const uint64_t values[] = { MEMORY, MEMORY - 0x2000 + 1, MEMORY - 1, 0xfec00000,
                                       NV_GIB(4) };

    for (size_t i = 0; i < NV_ARRAY_SIZE(values); i++) {
        image_put64(&elf, ELF_SECOND + PH_ADDRESS, values[i]);
        must_fail(-E2BIG);
    }
}
END_TEST

START_TEST(test_hostile_54_segment_over_tables)
{
    static const uint64_t values[] = {
        0,
        NV_LAYOUT_GDT,
        NV_LAYOUT_ZERO_PAGE,
        NV_LAYOUT_PAGE_TABLES,
        NV_LAYOUT_CMDLINE,
        0x9fc00,
        NV_LAYOUT_ACPI,
        NV_LAYOUT_MPTABLE,
        0xfe000,
        0xfffff,
    };

    for (size_t i = 0; i < NV_ARRAY_SIZE(values); i++) {
        image_put64(&elf, ELF_SECOND + PH_ADDRESS, values[i]);
        must_fail(-ENOEXEC);
    }
}
END_TEST

START_TEST(test_hostile_54_segments_overlap)
{
    static const uint64_t values[] = { 0x100000, 0x100fff, 0x100800, 0x100001 };

    for (size_t i = 0; i < NV_ARRAY_SIZE(values); i++) {
        image_put64(&elf, ELF_SECOND + PH_ADDRESS, values[i]);
        must_fail(-ENOEXEC);
    }
    /* The later one below, reaching in by one byte. */
    image_put64(&elf, ELF_FIRST + PH_ADDRESS, 0x201fff);
    image_put64(&elf, ELF_SECOND + PH_ADDRESS, 0x200000);
    must_fail(-ENOEXEC);
}
END_TEST

START_TEST(test_hostile_54_too_many_segments)
{
    const size_t headers = ELF_SIZE;

    image_resize(&elf, headers + 33 * ELF_HEADER_SIZE);
    for (size_t i = 0; i < 33; i++) {
        size_t at = headers + i * ELF_HEADER_SIZE;

        image_put32(&elf, at + PH_TYPE, PT_LOAD);
        image_put64(&elf, at + PH_ADDRESS, 0x100000 + i * 0x1000);
        image_put64(&elf, at + PH_MEMORY_SIZE, 0x1000);
    }
    image_put64(&elf, ELF_PHOFF, headers);
    image_put16(&elf, ELF_PHNUM, 33);
    must_fail(-ENOEXEC);
    image_put16(&elf, ELF_PHNUM, 32);
    must_load();
}
END_TEST

START_TEST(test_hostile_54_no_segments)
{
    image_put32(&elf, ELF_FIRST + PH_TYPE, PT_NULL);
    image_put32(&elf, ELF_SECOND + PH_TYPE, PT_NULL);
    must_fail(-ENOEXEC);
}
END_TEST

START_TEST(test_hostile_54_entry_outside)
{
    static const uint64_t values[] = { 0,        0xfffff,    0x101000,       0x1fffff,
                                       0x202000, 0x80000000, 0x100000000ull, UINT64_MAX };

    for (size_t i = 0; i < NV_ARRAY_SIZE(values); i++) {
        image_put64(&elf, ELF_ENTRY, values[i]);
        must_fail(-ENOEXEC);
    }
}
END_TEST

START_TEST(test_hostile_54_entry_above_the_page_tables)
{
    loader_add_memory(&loader, NV_GIB(4), NV_MIB(1));
    image_put64(&elf, ELF_FIRST + PH_ADDRESS, NV_GIB(4));
    image_put64(&elf, ELF_ENTRY, NV_GIB(4));
    must_fail(-ENOEXEC);
}
END_TEST

static void must_fail_pvh(void)
{
    must_fail_as(NESTVIRT_KERNEL_PVH, -ENOEXEC);
}

START_TEST(test_hostile_54_note_sizes)
{
    static const uint32_t values[] = { UINT32_MAX,  UINT32_MAX - 3, UINT32_MAX - 11,
                                       0x80000000u, 0x7fffffff,     0x1000,
                                       13 };

    for (size_t field = 0; field <= 4; field += 4)
        for (size_t i = 0; i < NV_ARRAY_SIZE(values); i++) {
            uint32_t old = nv_get_le32(elf.bytes + ELF_NOTE + field);

            image_put32(&elf, ELF_NOTE + field, values[i]);
            must_fail_pvh();
            image_put32(&elf, ELF_NOTE + field, old);
            /* The same in the note before it, so that the right one is never reached. */
            old = nv_get_le32(elf.bytes + 0x200 + field);
            image_put32(&elf, 0x200 + field, values[i]);
            if (values[i] != 13)
                must_fail_pvh();
            image_put32(&elf, 0x200 + field, old);
        }
    must_load_as(NESTVIRT_KERNEL_PVH);
}
END_TEST

START_TEST(test_hostile_54_note_sum_wraps)
{
    /* Together, and with padding, these make 0 in 32 bits. */
    image_put32(&elf, ELF_NOTE, 0x80000000u);
    image_put32(&elf, ELF_NOTE + 4, 0x80000000u - 12);
    must_fail_pvh();
}
END_TEST

START_TEST(test_hostile_54_note_too_short_or_foreign)
{
    image_put32(&elf, ELF_NOTE + 4, 3);
    must_fail_pvh();
    image_put32(&elf, ELF_NOTE + 4, 0);
    must_fail_pvh();
    image_put32(&elf, ELF_NOTE + 4, 4);
    image_put32(&elf, ELF_NOTE + 8, 17);
    must_fail_pvh();
    image_put32(&elf, ELF_NOTE + 8, 18);
    elf.bytes[ELF_NOTE + 12] = 'Y';
    must_fail_pvh();
    elf.bytes[ELF_NOTE + 12] = 'X';
    image_put32(&elf, ELF_NOTE, 3); /* without its final 0 */
    must_fail_pvh();
}
END_TEST

START_TEST(test_hostile_54_note_segment)
{
    for (uint64_t size = 0; size < 0x2c; size++) {
        image_put64(&elf, ELF_NOTES + PH_FILE_SIZE, size);
        must_fail_pvh();
    }
    image_put64(&elf, ELF_NOTES + PH_FILE_SIZE, UINT64_MAX);
    must_fail_pvh();
    image_put64(&elf, ELF_NOTES + PH_FILE_SIZE, 64 * 1024 + 1);
    must_fail_pvh();
    image_put64(&elf, ELF_NOTES + PH_FILE_SIZE, 0x2c);
    image_put64(&elf, ELF_NOTES + PH_OFFSET, UINT64_MAX - 0x2b);
    must_fail_pvh();
    image_put64(&elf, ELF_NOTES + PH_OFFSET, ELF_SIZE - 0x2b);
    must_fail_pvh();
}
END_TEST

START_TEST(test_hostile_54_last_note_without_padding)
{
    image_put32(&elf, ELF_NOTE + 4, 3);
    image_put32(&elf, ELF_NOTE + 8, 17);
    image_put64(&elf, ELF_NOTES + PH_FILE_SIZE, 0x2b);
    must_fail_pvh();
}
END_TEST

START_TEST(test_hostile_54_note_entry_outside)
{
    image_put32(&elf, ELF_NOTE + 16, 0x300000);
    must_fail_pvh();
    image_put32(&elf, ELF_NOTE + 16, 0);
    must_fail_pvh();
}
END_TEST

START_TEST(test_hostile_54_no_note)
{
    image_put32(&elf, ELF_NOTES + PH_TYPE, PT_NULL);
    must_fail_pvh();
    must_load();
}
END_TEST

Suite *nv_test_suite(void)
{
    Suite *suite = suite_create("boot_elf_hostile");
    TCase *tcase = support_case(suite, "boot_elf_hostile", 30);

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, test_hostile_54_elf_phoff);
    tcase_add_test(tcase, test_hostile_54_elf_phnum);
    tcase_add_test(tcase, test_hostile_54_elf_phentsize);
    tcase_add_test(tcase, test_hostile_54_elf_of_another_kind);
    tcase_add_test(tcase, test_hostile_54_elf_truncated_anywhere);
    tcase_add_test(tcase, test_hostile_54_elf_truncated_by_one_byte);
    tcase_add_test(tcase, test_hostile_54_segment_offset);
    tcase_add_test(tcase, test_hostile_54_segment_file_size);
    tcase_add_test(tcase, test_hostile_54_segment_file_size_above_memory_size);
    tcase_add_test(tcase, test_hostile_54_segment_memory_size);
    tcase_add_test(tcase, test_hostile_54_segment_address);
    tcase_add_test(tcase, test_hostile_54_segment_outside_memory);
    tcase_add_test(tcase, test_hostile_54_segment_over_tables);
    tcase_add_test(tcase, test_hostile_54_segments_overlap);
    tcase_add_test(tcase, test_hostile_54_too_many_segments);
    tcase_add_test(tcase, test_hostile_54_no_segments);
    tcase_add_test(tcase, test_hostile_54_entry_outside);
    tcase_add_test(tcase, test_hostile_54_entry_above_the_page_tables);
    tcase_add_test(tcase, test_hostile_54_note_sizes);
    tcase_add_test(tcase, test_hostile_54_note_sum_wraps);
    tcase_add_test(tcase, test_hostile_54_note_too_short_or_foreign);
    tcase_add_test(tcase, test_hostile_54_note_segment);
    tcase_add_test(tcase, test_hostile_54_last_note_without_padding);
    tcase_add_test(tcase, test_hostile_54_note_entry_outside);
    tcase_add_test(tcase, test_hostile_54_no_note);
    return suite;
}
