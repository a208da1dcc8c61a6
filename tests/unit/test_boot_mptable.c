/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the tests of the MP table: what a kernel that follows its pointers and lengths finds. */
#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "boot/boot.h"
#include "core/util.h"
#include "memory/layout.h"

Suite *nv_test_suite(void);

enum { POINTER_SIZE = 16, HEADER_SIZE = 44, CPU_SIZE = 20, ENTRY_SIZE = 8, TYPES = 5 };

static struct nv_memory memory;

static void add_memory(uint64_t address, uint64_t length)
{
    struct nestvirt_memory_config config = { .size = sizeof(config),
                                             .address = address,
                                             .length = length };

    ck_assert_int_ge(nv_memory_add(&memory, &config, NULL), 0);
}

static void setup(void)
{
    nv_memory_init(&memory);
}

static void teardown(void)
{
    nv_memory_destroy(&memory, true);
}

static struct nv_boot_machine plain_machine(uint32_t vcpus)
{
    return (struct nv_boot_machine){ .vcpus = vcpus, .has_irqchip = true };
}

static uint8_t sum(const uint8_t *bytes, size_t length)
{
    uint8_t total = 0;

    while (length--)
        total = (uint8_t)(total + *bytes++);
    return total;
}

/* Writes the table of a machine; returns the place of its configuration table. */
static const uint8_t *write_table(const struct nv_boot_machine *machine)
{
    struct nestvirt_error *error = NULL;
    const uint8_t *pointer;

    add_memory(0, NV_MIB(1));
    ck_assert_int_eq(nv_mptable_write(machine, &memory, &error), 0);
    ck_assert_ptr_null(error);
    pointer = nv_memory_at(&memory, nv_gpa_at(NV_LAYOUT_MPTABLE), NV_LAYOUT_MPTABLE_SIZE);
    ck_assert_mem_eq(pointer, "_MP_", 4);
    ck_assert_uint_eq(nv_get_le32(pointer + 4), NV_LAYOUT_MPTABLE + POINTER_SIZE);
    return nv_memory_at(&memory, nv_gpa_at(nv_get_le32(pointer + 4)), HEADER_SIZE);
}

/* Finds entry number index of a type, going by the lengths of the entries; NULL if none. */
static const uint8_t *find_entry(const uint8_t *table, uint8_t type, uint32_t index)
{
    const uint8_t *entry = table + HEADER_SIZE;
    const uint8_t *end = table + nv_get_le16(table + 4);

    for (; entry < end; entry += entry[0] == 0 ? CPU_SIZE : ENTRY_SIZE) {
        ck_assert_uint_lt(entry[0], TYPES);
        if (entry[0] == type && index-- == 0)
            return entry;
    }
    ck_assert_ptr_eq(entry, end);
    return NULL;
}

static uint32_t count_entries(const uint8_t *table, uint8_t type)
{
    uint32_t count = 0;

    while (find_entry(table, type, count))
        count++;
    return count;
}

static void check_untouched(uint64_t address, uint64_t length)
{
    const uint8_t *bytes = nv_memory_at(&memory, nv_gpa_at(address), length);

    ck_assert_ptr_nonnull(bytes);
    for (uint64_t i = 0; i < length; i++)
        if (bytes[i])
            ck_abort_msg("byte at 0x%llx is written", (unsigned long long)(address + i));
}

START_TEST(test_pointer)
{
    struct nv_boot_machine machine = plain_machine(1);
    const uint8_t *pointer = write_table(&machine) - POINTER_SIZE;

    ck_assert_uint_eq(NV_LAYOUT_MPTABLE % 16, 0);
    ck_assert_uint_ge(NV_LAYOUT_MPTABLE, 0xf0000);
    ck_assert_uint_lt(NV_LAYOUT_MPTABLE, 0x100000);
    ck_assert_uint_eq(pointer[8], 1);
    ck_assert_uint_eq(pointer[9], 4);
    ck_assert_uint_eq(sum(pointer, POINTER_SIZE), 0);
    ck_assert_uint_eq(pointer[11], 0);
    ck_assert_uint_eq(pointer[12], 0);
}
END_TEST

static const uint32_t good_counts[] = { 1, 2, 8, 253, 254 };

START_TEST(test_counts)
{
    uint32_t vcpus = good_counts[_i];
    struct nv_boot_machine machine = plain_machine(vcpus);
    const uint8_t *table = write_table(&machine);
    uint32_t total = 0;

    ck_assert_mem_eq(table, "PCMP", 4);
    ck_assert_uint_eq(table[6], 4);
    ck_assert_uint_eq(sum(table, nv_get_le16(table + 4)), 0);
    ck_assert_uint_eq(nv_get_le32(table + 36), NV_LAYOUT_LAPIC);
    ck_assert_uint_eq(count_entries(table, 0), vcpus);
    ck_assert_uint_eq(count_entries(table, 1), 1);
    ck_assert_uint_eq(count_entries(table, 2), 1);
    ck_assert_uint_eq(count_entries(table, 3), 24);
    ck_assert_uint_eq(count_entries(table, 4), 1);
    for (uint8_t type = 0; type < TYPES; type++)
        total += count_entries(table, type);
    ck_assert_uint_eq(nv_get_le16(table + 34), total);
}
END_TEST

START_TEST(test_processors)
{
    struct nv_boot_machine machine = plain_machine(254);
    const uint8_t *table = write_table(&machine);

    for (uint32_t i = 0; i < 254; i++) {
        const uint8_t *cpu = find_entry(table, 0, i);

        ck_assert_ptr_nonnull(cpu);
        ck_assert_uint_eq(cpu[1], i);
        ck_assert_uint_eq(cpu[2], 0x14);
        ck_assert_uint_eq(cpu[3], i == 0 ? 3 : 1);
    }
}
END_TEST

START_TEST(test_ioapic)
{
    struct nv_boot_machine machine = plain_machine(7);
    const uint8_t *table = write_table(&machine);
    const uint8_t *bus = find_entry(table, 1, 0);
    const uint8_t *ioapic = find_entry(table, 2, 0);

    ck_assert_uint_eq(bus[1], 0);
    ck_assert_mem_eq(bus + 2, "ISA   ", 6);
    ck_assert_uint_eq(ioapic[1], 7);
    ck_assert_uint_eq(ioapic[2], 0x11);
    ck_assert_uint_eq(ioapic[3], 1);
    ck_assert_uint_eq(nv_get_le32(ioapic + 4), NV_LAYOUT_IOAPIC);
}
END_TEST

START_TEST(test_interrupts)
{
    struct nv_boot_machine machine = plain_machine(3);
    const uint8_t *table;

    machine.level_pins = 1u << 5 | 1u << 23 | 1u << 24 | 1u << 31; /* there are no pins above 23 */
    table = write_table(&machine);
    for (uint32_t pin = 0; pin < 24; pin++) {
        const uint8_t *entry = find_entry(table, 3, pin);

        ck_assert_uint_eq(entry[1], 0);
        ck_assert_uint_eq(nv_get_le16(entry + 2), pin == 5 || pin == 23 ? 0x0d : 0x05);
        ck_assert_uint_eq(entry[4], 0);
        ck_assert_uint_eq(entry[5], pin);
        ck_assert_uint_eq(entry[6], 3);
        ck_assert_uint_eq(entry[7], pin);
    }
}
END_TEST

START_TEST(test_local_interrupts)
{
    static const uint8_t extint[8] = { 4, 3, 0, 0, 0, 0, 0, 0 };
    static const uint8_t nmi[8] = { 4, 1, 0, 0, 0, 0, 0xff, 1 };
    struct nv_boot_machine machine = plain_machine(1);
    const uint8_t *table;

    machine.has_pic = _i;
    table = write_table(&machine);
    ck_assert_uint_eq(count_entries(table, 4), _i ? 2 : 1);
    ck_assert_mem_eq(find_entry(table, 4, 0), _i ? extint : nmi, 8);
    if (_i)
        ck_assert_mem_eq(find_entry(table, 4, 1), nmi, 8);
}
END_TEST

START_TEST(test_without_interrupt_controller)
{
    struct nv_boot_machine machine = { .vcpus = 2 };
    const uint8_t *table = write_table(&machine);

    ck_assert_uint_eq(nv_get_le16(table + 34), 2);
    ck_assert_uint_eq(count_entries(table, 0), 2);
    ck_assert_uint_eq(nv_get_le16(table + 4), HEADER_SIZE + 2 * CPU_SIZE);
    ck_assert_uint_eq(sum(table, HEADER_SIZE + 2 * CPU_SIZE), 0);
}
END_TEST

static const uint32_t bad_counts[] = { 255, 300, UINT32_MAX };

START_TEST(test_too_many)
{
    struct nv_boot_machine machine = plain_machine(bad_counts[_i]);
    struct nestvirt_error *error = NULL;

    add_memory(0, NV_MIB(1));
    ck_assert_int_eq(nv_mptable_write(&machine, &memory, &error), -E2BIG);
    ck_assert_int_eq(nestvirt_error_get_code(error), -E2BIG);
    ck_assert_ptr_nonnull(strstr(nestvirt_error_get_hint(error), "ACPI"));
    nestvirt_error_free(error);
    check_untouched(0, NV_MIB(1));
    ck_assert_int_eq(nv_mptable_write(&machine, &memory, NULL), -E2BIG);
}
END_TEST

START_TEST(test_no_memory)
{
    struct nv_boot_machine machine = plain_machine(1);
    struct nestvirt_error *error = NULL;

    add_memory(0, NV_LAYOUT_MPTABLE);
    add_memory(NV_MIB(1), NV_MIB(1));
    ck_assert_int_eq(nv_mptable_write(&machine, &memory, &error), -EFAULT);
    ck_assert_int_eq(nestvirt_error_get_code(error), -EFAULT);
    ck_assert_str_eq(nestvirt_error_get_object(error), "MP table");
    nestvirt_error_free(error);
    check_untouched(0, NV_LAYOUT_MPTABLE);
    check_untouched(NV_MIB(1), NV_MIB(1));
}
END_TEST

/* The table of 254 processors takes two pages, and only the first exists. */
START_TEST(test_half_memory)
{
    struct nv_boot_machine machine = plain_machine(254);

    add_memory(NV_LAYOUT_MPTABLE, NV_PAGE_SIZE);
    ck_assert_int_eq(nv_mptable_write(&machine, &memory, NULL), -EFAULT);
    check_untouched(NV_LAYOUT_MPTABLE, NV_PAGE_SIZE);
    machine.vcpus = 1;
    ck_assert_int_eq(nv_mptable_write(&machine, &memory, NULL), 0);
}
END_TEST

Suite *nv_test_suite(void)
{
    Suite *suite = suite_create("boot_mptable");
    TCase *tcase = tcase_create("mptable");

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, test_pointer);
    tcase_add_loop_test(tcase, test_counts, 0, (int)NV_ARRAY_SIZE(good_counts));
    tcase_add_test(tcase, test_processors);
    tcase_add_test(tcase, test_ioapic);
    tcase_add_test(tcase, test_interrupts);
    tcase_add_loop_test(tcase, test_local_interrupts, 0, 2);
    tcase_add_test(tcase, test_without_interrupt_controller);
    tcase_add_loop_test(tcase, test_too_many, 0, (int)NV_ARRAY_SIZE(bad_counts));
    tcase_add_test(tcase, test_no_memory);
    tcase_add_test(tcase, test_half_memory);
    suite_add_tcase(suite, tcase);
    return suite;
}
