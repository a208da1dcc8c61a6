/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the tests of the ACPI tables and of the AML encoder, the last word given to iasl. */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "boot/aml.h"
#include "boot/boot.h"
#include "boot/tables.h"
#include "core/util.h"
#include "memory/layout.h"

Suite *nv_test_suite(void);

enum { HEADER_SIZE = 36, MADT_ENTRIES = 44, IASL_SECONDS = 60, AML_SIZE = 2 * 1024 * 1024 };

enum { LAPIC = 0, IOAPIC = 1, OVERRIDE = 2, LAPIC_NMI = 4, X2APIC = 9, X2APIC_NMI = 10 };

static struct nv_memory memory;
static struct nv_tables aml;

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
    nv_tables_init(&aml, calloc(1, AML_SIZE), AML_SIZE);
    ck_assert_ptr_nonnull(aml.bytes);
}

static void teardown(void)
{
    nv_memory_destroy(&memory, true);
    free(aml.bytes);
}

static struct nv_boot_machine full_machine(uint32_t vcpus)
{
    return (struct nv_boot_machine){
        .vcpus = vcpus,
        .has_irqchip = true,
        .serial_count = 1,
        .serial = { { NV_PORT_SERIAL, 4 } },
        .has_power = true,
        .has_i8042 = true,
        .event_pin = 9,
    };
}

static uint8_t sum(const uint8_t *bytes, size_t length)
{
    uint8_t total = 0;

    while (length--)
        total = (uint8_t)(total + *bytes++);
    return total;
}

/* The table at a guest address, checked as a kernel checks it. */
static const uint8_t *table_at(uint64_t address, const char *signature)
{
    const uint8_t *table = nv_memory_at(&memory, nv_gpa_at(address), HEADER_SIZE);

    ck_assert_uint_ge(address, NV_LAYOUT_ACPI);
    ck_assert_uint_lt(address, NV_LAYOUT_ACPI + NV_LAYOUT_ACPI_SIZE);
    ck_assert_ptr_nonnull(table);
    ck_assert_mem_eq(table, signature, 4);
    ck_assert_uint_le(address - NV_LAYOUT_ACPI + nv_get_le32(table + 4), NV_LAYOUT_ACPI_SIZE);
    ck_assert_uint_eq(sum(table, nv_get_le32(table + 4)), 0);
    return table;
}

static const uint8_t *xsdt_table(void)
{
    const uint8_t *rsdp = nv_memory_at(&memory, nv_gpa_at(NV_LAYOUT_ACPI), 36);

    return table_at(nv_get_le64(rsdp + 24), "XSDT");
}

static const uint8_t *fadt_table(void)
{
    return table_at(nv_get_le64(xsdt_table() + HEADER_SIZE), "FACP");
}

static const uint8_t *madt_table(void)
{
    return table_at(nv_get_le64(xsdt_table() + HEADER_SIZE + 8), "APIC");
}

static const uint8_t *dsdt_table(void)
{
    return table_at(nv_get_le64(fadt_table() + 140), "DSDT");
}

static void write_tables(const struct nv_boot_machine *machine)
{
    struct nestvirt_error *error = NULL;

    add_memory(0, NV_MIB(1));
    ck_assert_int_eq(nv_acpi_write(machine, &memory, &error), 0);
    ck_assert_ptr_null(error);
}

static const uint8_t *find_entry(uint8_t type, uint32_t index)
{
    const uint8_t *madt = madt_table();
    const uint8_t *entry = madt + MADT_ENTRIES;
    const uint8_t *end = madt + nv_get_le32(madt + 4);

    for (; entry < end; entry += entry[1]) {
        ck_assert_uint_ge(entry[1], 6);
        if (entry[0] == type && index-- == 0)
            return entry;
    }
    ck_assert_ptr_eq(entry, end);
    return NULL;
}

static uint32_t count_entries(uint8_t type)
{
    uint32_t count = 0;

    while (find_entry(type, count))
        count++;
    return count;
}

static uint32_t count_in_dsdt(const void *bytes, size_t length)
{
    const uint8_t *at = dsdt_table();
    const uint8_t *end = at + nv_get_le32(at + 4);
    uint32_t count = 0;

    while ((at = memmem(at, (size_t)(end - at), bytes, length))) {
        at += length;
        count++;
    }
    return count;
}

static uint32_t count_text(const char *text)
{
    return count_in_dsdt(text, strlen(text));
}

static uint32_t count_interrupts(uint8_t flags, uint8_t pin)
{
    const uint8_t resource[] = { 0x89, 6, 0, flags, 1, pin, 0, 0, 0 };

    return count_in_dsdt(resource, sizeof(resource));
}

static void check_untouched(uint64_t address, uint64_t length)
{
    const uint8_t *bytes = nv_memory_at(&memory, nv_gpa_at(address), length);

    ck_assert_ptr_nonnull(bytes);
    for (uint64_t i = 0; i < length; i++)
        if (bytes[i])
            ck_abort_msg("byte at 0x%llx is written", (unsigned long long)(address + i));
}

START_TEST(test_rsdp)
{
    struct nv_boot_machine machine = full_machine(1);
    const uint8_t *rsdp;

    write_tables(&machine);
    rsdp = nv_memory_at(&memory, nv_gpa_at(NV_LAYOUT_ACPI), 36);
    ck_assert_mem_eq(rsdp, "RSD PTR ", 8);
    ck_assert_uint_eq(sum(rsdp, 20), 0);
    ck_assert_uint_eq(sum(rsdp, 36), 0);
    ck_assert_uint_eq(rsdp[15], 2);
    ck_assert_uint_eq(nv_get_le32(rsdp + 16), 0);
    ck_assert_uint_eq(nv_get_le32(rsdp + 20), 36);
    ck_assert_uint_eq(nv_get_le32(xsdt_table() + 4), HEADER_SIZE + 2 * 8);
    ck_assert_uint_eq(dsdt_table()[8], 2);
}
END_TEST

static const uint32_t good_counts[] = { 1, 2, 8, 254, 255, 256, 300, 1000 };

START_TEST(test_counts)
{
    uint32_t vcpus = good_counts[_i];
    struct nv_boot_machine machine = full_machine(vcpus);

    write_tables(&machine);
    ck_assert_uint_eq(count_entries(LAPIC), NV_MIN(vcpus, 255));
    ck_assert_uint_eq(count_entries(X2APIC), vcpus - NV_MIN(vcpus, 255));
    ck_assert_uint_eq(count_entries(IOAPIC), 1);
    ck_assert_uint_eq(count_entries(OVERRIDE), 0);
    ck_assert_uint_eq(count_entries(LAPIC_NMI), 1);
    ck_assert_uint_eq(count_entries(X2APIC_NMI), vcpus > 255 ? 1 : 0);
    ck_assert_uint_eq(count_text("ACPI0007"), vcpus);
}
END_TEST

START_TEST(test_madt)
{
    struct nv_boot_machine machine = full_machine(300);

    write_tables(&machine);
    ck_assert_uint_eq(nv_get_le32(madt_table() + 36), NV_LAYOUT_LAPIC);
    ck_assert_uint_eq(nv_get_le32(madt_table() + 40), 0);
    for (uint32_t i = 0; i < 300; i++) {
        const uint8_t *entry = i < 255 ? find_entry(LAPIC, i) : find_entry(X2APIC, i - 255);

        ck_assert_uint_eq(entry[1], i < 255 ? 8 : 16);
        ck_assert_uint_eq(i < 255 ? entry[2] : nv_get_le32(entry + 12), i);
        ck_assert_uint_eq(i < 255 ? entry[3] : nv_get_le32(entry + 4), i);
        ck_assert_uint_eq(nv_get_le32(i < 255 ? entry + 4 : entry + 8), 1);
    }
    ck_assert_uint_eq(find_entry(LAPIC_NMI, 0)[2], 0xff);
    ck_assert_uint_eq(find_entry(LAPIC_NMI, 0)[5], 1);
    ck_assert_uint_eq(nv_get_le32(find_entry(X2APIC_NMI, 0) + 4), 0xffffffff);
    ck_assert_uint_eq(find_entry(X2APIC_NMI, 0)[8], 1);
    ck_assert_uint_eq(find_entry(IOAPIC, 0)[2], 0);
}
END_TEST

START_TEST(test_ioapic)
{
    struct nv_boot_machine machine = full_machine(7);

    write_tables(&machine);
    ck_assert_uint_eq(find_entry(IOAPIC, 0)[2], 7);
    ck_assert_uint_eq(nv_get_le32(find_entry(IOAPIC, 0) + 4), NV_LAYOUT_IOAPIC);
    ck_assert_uint_eq(nv_get_le32(find_entry(IOAPIC, 0) + 8), 0);
}
END_TEST

/* Only ISA interrupts have overrides, and IRQ 0 never. The DSDT says what the MADT says. */
START_TEST(test_level_pins)
{
    struct nv_boot_machine machine = full_machine(1);
    static const uint8_t override[10] = { 2, 10, 0, 4, 4, 0, 0, 0, 0x0d, 0 };

    write_tables(&machine);
    ck_assert_uint_eq(count_interrupts(0x03, 4), 1);
    ck_assert_uint_eq(count_interrupts(0x03, 9), 1);
    machine.level_pins = 1u << 0 | 1u << 4 | 1u << 9 | 1u << 16 | 1u << 30;
    ck_assert_int_eq(nv_acpi_write(&machine, &memory, NULL), 0);
    ck_assert_uint_eq(count_entries(OVERRIDE), 2);
    ck_assert_mem_eq(find_entry(OVERRIDE, 0), override, sizeof(override));
    ck_assert_uint_eq(find_entry(OVERRIDE, 1)[3], 9);
    ck_assert_uint_eq(count_interrupts(0x01, 4), 1);
    ck_assert_uint_eq(count_interrupts(0x01, 9), 1);
}
END_TEST

START_TEST(test_fadt)
{
    struct nv_boot_machine machine = full_machine(1);
    static const uint8_t registers[3][12] = {
        { 1, 8, 0, 1, 0x02, 0x06 }, /* reset */
        { 1, 8, 0, 1, 0x00, 0x06 }, /* sleep control */
        { 1, 8, 0, 1, 0x01, 0x06 }, /* sleep status */
    };
    const uint8_t *fadt;

    write_tables(&machine);
    fadt = fadt_table();
    ck_assert_uint_eq(nv_get_le32(fadt + 4), 276);
    ck_assert_uint_eq(fadt[8], 6);
    ck_assert_uint_eq(fadt[131], 4);
    ck_assert_uint_eq(nv_get_le32(fadt + 40), 0);
    ck_assert_uint_eq(nv_get_le32(fadt + 112), 1 << 20 | 1 << 10 | 1 << 5 | 1 << 4 | 1 << 2 | 1);
    ck_assert_uint_eq(nv_get_le16(fadt + 109), 1 << 5 | 1 << 2 | 1 << 1);
    ck_assert_mem_eq(fadt + 116, registers[0], 12);
    ck_assert_uint_eq(fadt[128], 1);
    ck_assert_mem_eq(fadt + 244, registers[1], 12);
    ck_assert_mem_eq(fadt + 256, registers[2], 12);
}
END_TEST

START_TEST(test_without_power)
{
    static const uint8_t none[12] = { 0 };
    struct nv_boot_machine machine = full_machine(1);
    const uint8_t *fadt;

    machine.has_power = false;
    machine.has_i8042 = false;
    write_tables(&machine);
    fadt = fadt_table();
    ck_assert_uint_eq(nv_get_le32(fadt + 112), 1 << 20 | 1 << 5 | 1 << 4 | 1 << 2 | 1);
    ck_assert_uint_eq(nv_get_le16(fadt + 109), 1 << 5 | 1 << 2);
    ck_assert_mem_eq(fadt + 116, none, 12);
    ck_assert_uint_eq(fadt[128], 0);
    ck_assert_mem_eq(fadt + 244, none, 12);
    ck_assert_mem_eq(fadt + 256, none, 12);
    ck_assert_uint_eq(count_text("_S5_"), 0);
    ck_assert_uint_eq(count_text("PWRB"), 0);
    ck_assert_uint_eq(count_text("ACPI0013"), 0);
    ck_assert_uint_eq(count_text("COM1"), 1);
}
END_TEST

START_TEST(test_with_pic)
{
    struct nv_boot_machine machine = full_machine(1);

    machine.has_pic = true;
    write_tables(&machine);
    ck_assert_uint_eq(nv_get_le32(madt_table() + 40), 1);
}
END_TEST

START_TEST(test_without_interrupt_controller)
{
    struct nv_boot_machine machine = full_machine(2);

    machine.has_irqchip = false;
    machine.level_pins = 1u << 4;
    write_tables(&machine);
    ck_assert_uint_eq(nv_get_le32(madt_table() + 4), MADT_ENTRIES + 2 * 8);
    ck_assert_uint_eq(count_entries(LAPIC), 2);
    ck_assert_uint_eq(count_text("_S5_"), 1);
    ck_assert_uint_eq(count_text("ACPI0013"), 0);
    ck_assert_uint_eq(count_text("COM1"), 1);
    ck_assert_uint_eq(count_interrupts(0x01, 4) + count_interrupts(0x03, 4), 0);
}
END_TEST

START_TEST(test_serials)
{
    struct nv_boot_machine machine = full_machine(1);
    static const uint8_t second[] = { 0x47, 1, 0xf8, 0x02, 0xf8, 0x02, 1, 8 };

    machine.serial_count = 2;
    machine.serial[1].port = 0x2f8;
    machine.serial[1].pin = 17;
    write_tables(&machine);
    ck_assert_uint_eq(count_text("COM1"), 1);
    ck_assert_uint_eq(count_text("COM2"), 1);
    ck_assert_uint_eq(count_in_dsdt(second, sizeof(second)), 1);
    ck_assert_uint_eq(count_interrupts(0x03, 17), 1);
    machine.serial_count = UINT32_MAX;
    ck_assert_int_eq(nv_acpi_write(&machine, &memory, NULL), 0);
    ck_assert_uint_eq(count_text("COM4"), 1);
    ck_assert_uint_eq(count_text("COM5"), 0);
    machine.serial[1].pin = 40; /* no pin, and no bit in level_pins either */
    machine.level_pins = UINT32_MAX;
    ck_assert_int_eq(nv_acpi_write(&machine, &memory, NULL), 0);
    ck_assert_uint_eq(count_interrupts(0x03, 40), 1);
}
END_TEST

static const uint32_t bad_counts[] = { 2000, 5000, UINT32_MAX };

START_TEST(test_too_many)
{
    struct nv_boot_machine machine = full_machine(bad_counts[_i]);
    struct nestvirt_error *error = NULL;

    add_memory(0, NV_MIB(1));
    ck_assert_int_eq(nv_acpi_write(&machine, &memory, &error), -E2BIG);
    ck_assert_int_eq(nestvirt_error_get_code(error), -E2BIG);
    ck_assert_str_eq(nestvirt_error_get_hint(error), "use fewer vCPUs");
    nestvirt_error_free(error);
    check_untouched(0, NV_MIB(1));
    ck_assert_int_eq(nv_acpi_write(&machine, &memory, NULL), -E2BIG);
}
END_TEST

START_TEST(test_no_memory)
{
    struct nv_boot_machine machine = full_machine(1);
    struct nestvirt_error *error = NULL;

    add_memory(0, NV_LAYOUT_ACPI);
    add_memory(NV_LAYOUT_MPTABLE, NV_MIB(1));
    ck_assert_int_eq(nv_acpi_write(&machine, &memory, &error), -EFAULT);
    ck_assert_str_eq(nestvirt_error_get_object(error), "ACPI tables");
    nestvirt_error_free(error);
    check_untouched(0, NV_LAYOUT_ACPI);
    check_untouched(NV_LAYOUT_MPTABLE, NV_MIB(1));
}
END_TEST

/* The tables of 300 processors take several pages, and only the first exists. */
START_TEST(test_half_memory)
{
    struct nv_boot_machine machine = full_machine(300);

    add_memory(NV_LAYOUT_ACPI, NV_PAGE_SIZE);
    ck_assert_int_eq(nv_acpi_write(&machine, &memory, NULL), -EFAULT);
    check_untouched(NV_LAYOUT_ACPI, NV_PAGE_SIZE);
    machine.vcpus = 1;
    ck_assert_int_eq(nv_acpi_write(&machine, &memory, NULL), 0);
}
END_TEST

static const struct {
    uint32_t length; /* of the package, its length bytes included */
    uint8_t count;
    uint8_t bytes[4];
} lengths[] = {
    { 1, 1, { 0x01 } },
    { 62, 1, { 0x3e } },
    { 63, 1, { 0x3f } },
    { 65, 2, { 0x41, 0x04 } }, /* 64 cannot be: a body of 63 needs two bytes */
    { 66, 2, { 0x42, 0x04 } },
    { 0xfff, 2, { 0x4f, 0xff } },
    { 0x1001, 3, { 0x81, 0x00, 0x01 } },
    { 0xfffff, 3, { 0x8f, 0xff, 0xff } },
    { 0x100001, 4, { 0xc1, 0x00, 0x00, 0x01 } },
};

START_TEST(test_package_length)
{
    uint32_t body = lengths[_i].length - lengths[_i].count;
    size_t mark = nv_aml_if(&aml);

    for (uint32_t i = 0; i < body; i++)
        nv_tables_u8(&aml, 0x5a);
    nv_aml_end(&aml, mark);
    ck_assert_int_eq(aml.error, 0);
    ck_assert_uint_eq(aml.length, 1 + lengths[_i].length);
    ck_assert_uint_eq(aml.bytes[0], 0xa0);
    ck_assert_mem_eq(aml.bytes + 1, lengths[_i].bytes, lengths[_i].count);
    for (uint32_t i = 0; i < body; i++)
        ck_assert_uint_eq(aml.bytes[1 + lengths[_i].count + i], 0x5a);
}
END_TEST

/* A field unit's width does not count its own bytes, so 64 and 4096 themselves can be seen. */
START_TEST(test_field_unit)
{
    static const uint8_t expected[] = { 'A', '_', '_', '_',  0x3f, 'B', '_', '_', '_', 0x40, 4, 'C',
                                        '_', '_', '_', 0x4f, 0xff, 'D', '_', '_', '_', 0x80, 0, 1 };

    nv_aml_field_unit(&aml, "A", 63);
    nv_aml_field_unit(&aml, "B", 64);
    nv_aml_field_unit(&aml, "C", 4095);
    nv_aml_field_unit(&aml, "D", 4096);
    ck_assert_uint_eq(aml.length, sizeof(expected));
    ck_assert_mem_eq(aml.bytes, expected, sizeof(expected));
    nv_aml_field_unit(&aml, "E", 1u << 28);
    ck_assert_int_eq(aml.error, -EINVAL);
}
END_TEST

START_TEST(test_integers)
{
    static const uint8_t expected[] = { 0, 1,    0x0a, 2,    0x0a, 0xff, 0x0b, 0,
                                        1, 0x0b, 0xff, 0xff, 0x0c, 0,    0,    1,
                                        0, 0x0c, 0xff, 0xff, 0xff, 0xff, 0x0e, 0,
                                        0, 0,    0,    1,    0,    0,    0 };
    static const uint64_t values[] = { 0, 1, 2, 255, 256, 65535, 65536, UINT32_MAX, 1ull << 32 };

    for (size_t i = 0; i < NV_ARRAY_SIZE(values); i++)
        nv_aml_integer(&aml, values[i]);
    ck_assert_uint_eq(aml.length, sizeof(expected));
    ck_assert_mem_eq(aml.bytes, expected, sizeof(expected));
}
END_TEST

static const struct {
    const char *path;
    const char *bytes;
} paths[] = {
    { "_HID", "_HID" },
    { "GED", "GED_" },
    { "\\_SB", "\\_SB_" },
    { "^^X1", "^^X1__" },
    { "\\_SB.GED", "\\\x2e_SB_GED_" },
    { "A.BB.CCC", "\x2f\x03"
                  "A___BB__CCC_" },
};

START_TEST(test_paths)
{
    nv_aml_path(&aml, paths[_i].path);
    ck_assert_int_eq(aml.error, 0);
    ck_assert_uint_eq(aml.length, strlen(paths[_i].bytes));
    ck_assert_mem_eq(aml.bytes, paths[_i].bytes, aml.length);
}
END_TEST

static const char *const bad_paths[] = {
    "", "ABCDE", "1ABC", "a", "A.", ".A", "A..B", "A B", "\\"
};

START_TEST(test_bad_paths)
{
    nv_aml_path(&aml, bad_paths[_i]);
    ck_assert_int_eq(aml.error, -EINVAL);
}
END_TEST

static const char *const bad_ids[] = { "", "PNP050", "PNP05011", "pnp0501", "PNP05g1", "PN@0501" };

START_TEST(test_bad_ids)
{
    nv_aml_eisaid(&aml, bad_ids[_i]);
    ck_assert_int_eq(aml.error, -EINVAL);
}
END_TEST

/* A virtio device as other code describes it, byte for byte as iasl compiles it. */
static const uint8_t virtio_device[] = {
    0x5b, 0x82, 0x4c, 0x04, 'V',  'R',  '0',  '0',  0x08, '_',  'H',  'I',  'D',  0x0d, 'L',  'N',
    'R',  'O',  '0',  '0',  '0',  '5',  0x00, 0x08, '_',  'U',  'I',  'D',  0x0a, 0x07, 0x08, '_',
    'C',  'C',  'A',  0x01, 0x08, '_',  'C',  'R',  'S',  0x11, 0x1a, 0x0a, 0x17, 0x86, 0x09, 0x00,
    0x01, 0x00, 0x00, 0x00, 0xd0, 0x00, 0x10, 0x00, 0x00, 0x89, 0x06, 0x00, 0x03, 0x01, 0x05, 0x00,
    0x00, 0x00, 0x79, 0x00, 0x08, '_',  'C',  'I',  'D',  0x0c, 0x41, 0xd0, 0x05, 0x01,
};

static void write_virtio_device(void)
{
    size_t device = nv_aml_device(&aml, "VR00");
    size_t resources;

    nv_aml_name_string(&aml, "_HID", "LNRO0005");
    nv_aml_name_integer(&aml, "_UID", 7);
    nv_aml_name_integer(&aml, "_CCA", 1);
    nv_aml_name(&aml, "_CRS");
    resources = nv_aml_resources(&aml);
    nv_aml_resource_memory32(&aml, 0xd0000000, 0x1000);
    nv_aml_resource_interrupt(&aml, 5, false);
    nv_aml_resources_end(&aml, resources);
    nv_aml_name_eisaid(&aml, "_CID", "PNP0501");
    nv_aml_end(&aml, device);
}

START_TEST(test_virtio_device)
{
    write_virtio_device();
    ck_assert_int_eq(aml.error, 0);
    ck_assert_uint_eq(aml.length, sizeof(virtio_device));
    ck_assert_mem_eq(aml.bytes, virtio_device, sizeof(virtio_device));
}
END_TEST

/* In a buffer of any smaller size the writer stops, stays in bounds and keeps the first error. */
START_TEST(test_full_buffer)
{
    for (size_t size = 0; size < sizeof(virtio_device); size++) {
        memset(aml.bytes, 0xee, sizeof(virtio_device));
        nv_tables_init(&aml, aml.bytes, size);
        write_virtio_device();
        nv_aml_path(&aml, "");
        ck_assert_int_eq(aml.error, -E2BIG);
        ck_assert_uint_le(aml.length, size);
        for (size_t i = size; i < sizeof(virtio_device); i++)
            ck_assert_uint_eq(aml.bytes[i], 0xee);
    }
}
END_TEST

START_TEST(test_writer_misuse)
{
    nv_tables_u32(&aml, 0x01020304);
    switch (_i) {
    case 0:
        nv_tables_set_u16(&aml, 3, 0);
        break;
    case 1:
        nv_tables_set_u64(&aml, 0, 0);
        break;
    case 2:
        nv_tables_checksum(&aml, 0, 5, 0);
        break;
    case 3:
        nv_tables_insert(&aml, 5, "x", 1);
        break;
    case 4:
        nv_tables_text(&aml, "12345", 4);
        break;
    default:
        nv_aml_end(&aml, 5);
    }
    ck_assert_int_eq(aml.error, -EINVAL);
    ck_assert_mem_eq(aml.bytes, "\4\3\2\1\0\0\0\0", 8);
}
END_TEST

static char *read_text(const char *path)
{
    FILE *file = fopen(path, "r");
    char *text = calloc(1, AML_SIZE);

    ck_assert_ptr_nonnull(file);
    ck_assert_ptr_nonnull(text);
    ck_assert_uint_lt(fread(text, 1, AML_SIZE - 1, file), AML_SIZE - 1);
    fclose(file);
    return text;
}

/* Runs iasl in a folder; fails with what it printed unless it succeeds without any remark. */
static void run_iasl(const char *folder, const char *arguments)
{
    char command[512];
    char path[256];
    char *output;
    int status;

    snprintf(command, sizeof(command), "cd %s && iasl %s > output 2>&1", folder, arguments);
    status = system(command);
    snprintf(path, sizeof(path), "%s/output", folder);
    output = read_text(path);
    ck_assert_msg(status == 0, "%s: status %d (package acpica-tools has iasl)\n%s", command, status,
                  output);
    ck_assert_msg(!strstr(output, "rror ") && !strstr(output, "Warning "), "%s", output);
    if (strstr(arguments, "-tc"))
        ck_assert_msg(strstr(output, "0 Errors, 0 Warnings, 0 Remarks"), "%s", output);
    free(output);
}

/* Takes a table apart and puts it together again; what comes out must be what went in. */
static char *round_trip(const char *folder, const uint8_t *table)
{
    uint32_t length = nv_get_le32(table + 4);
    char path[256];
    FILE *file;
    char *text;

    snprintf(path, sizeof(path), "%s/table.dat", folder);
    file = fopen(path, "w");
    ck_assert_ptr_nonnull(file);
    ck_assert_uint_eq(fwrite(table, 1, length, file), length);
    ck_assert_int_eq(fclose(file), 0);
    run_iasl(folder, "-d table.dat");
    run_iasl(folder, "-oa -tc -p again table.dsl"); /* -oa: keeps the encoding as it is */
    snprintf(path, sizeof(path), "%s/again.aml", folder);
    text = read_text(path);
    /* iasl signs as the creator, which changes the checksum too. */
    ck_assert_mem_eq(text + 4, table + 4, 5);
    ck_assert_mem_eq(text + HEADER_SIZE, table + HEADER_SIZE, length - HEADER_SIZE);
    free(text);
    snprintf(path, sizeof(path), "%s/table.dsl", folder);
    return read_text(path);
}

static void check_dsdt(const char *source, bool has_power)
{
    static const char *const power[] = {
        "_S5",
        "\"ACPI0013\"",
        "EisaId (\"PNP0C0C\")",
        "SystemIO, 0x0604, One",
        "ESTS,   8",
        "Method (_EVT, 1, Serialized)",
        "Local0 = ESTS",
        "Notify (PWRB, 0x80)",
    };

    ck_assert_ptr_nonnull(strstr(source, "EisaId (\"PNP0501\")"));
    ck_assert_ptr_nonnull(strstr(source, "Name (_STA, 0x0F)"));
    ck_assert_ptr_nonnull(strstr(source, "\"ACPI0007\""));
    for (size_t i = 0; i < NV_ARRAY_SIZE(power); i++)
        ck_assert_msg(!strstr(source, power[i]) == !has_power, "%s", power[i]);
}

static const uint32_t iasl_counts[] = { 1, 2, 300 };

START_TEST(test_iasl)
{
    struct nv_boot_machine machine = full_machine(iasl_counts[_i / 2]);
    char folder[] = "/tmp/nv_acpi_XXXXXX";
    char command[64];
    char *source;

    machine.has_power = _i % 2;
    machine.level_pins = 1u << 11;
    write_tables(&machine);
    ck_assert_ptr_nonnull(mkdtemp(folder));
    free(round_trip(folder, xsdt_table()));
    free(round_trip(folder, fadt_table()));
    free(round_trip(folder, madt_table()));
    source = round_trip(folder, dsdt_table());
    check_dsdt(source, machine.has_power);
    free(source);
    snprintf(command, sizeof(command), "rm -r %s", folder);
    ck_assert_int_eq(system(command), 0);
}
END_TEST

static TCase *tables_case(void)
{
    TCase *tcase = tcase_create("tables");

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, test_rsdp);
    tcase_add_loop_test(tcase, test_counts, 0, (int)NV_ARRAY_SIZE(good_counts));
    tcase_add_test(tcase, test_madt);
    tcase_add_test(tcase, test_ioapic);
    tcase_add_test(tcase, test_level_pins);
    tcase_add_test(tcase, test_fadt);
    tcase_add_test(tcase, test_without_power);
    tcase_add_test(tcase, test_with_pic);
    tcase_add_test(tcase, test_without_interrupt_controller);
    tcase_add_test(tcase, test_serials);
    tcase_add_loop_test(tcase, test_too_many, 0, (int)NV_ARRAY_SIZE(bad_counts));
    tcase_add_test(tcase, test_no_memory);
    tcase_add_test(tcase, test_half_memory);
    return tcase;
}

static TCase *aml_case(void)
{
    TCase *tcase = tcase_create("aml");

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_loop_test(tcase, test_package_length, 0, (int)NV_ARRAY_SIZE(lengths));
    tcase_add_test(tcase, test_field_unit);
    tcase_add_test(tcase, test_integers);
    tcase_add_loop_test(tcase, test_paths, 0, (int)NV_ARRAY_SIZE(paths));
    tcase_add_loop_test(tcase, test_bad_paths, 0, (int)NV_ARRAY_SIZE(bad_paths));
    tcase_add_loop_test(tcase, test_bad_ids, 0, (int)NV_ARRAY_SIZE(bad_ids));
    tcase_add_test(tcase, test_virtio_device);
    tcase_add_test(tcase, test_full_buffer);
    tcase_add_loop_test(tcase, test_writer_misuse, 0, 6);
    return tcase;
}

Suite *nv_test_suite(void)
{
    Suite *suite = suite_create("boot_acpi");
    TCase *iasl = tcase_create("iasl");

    tcase_add_checked_fixture(iasl, setup, teardown);
    tcase_set_timeout(iasl, IASL_SECONDS);
    tcase_add_loop_test(iasl, test_iasl, 0, 2 * (int)NV_ARRAY_SIZE(iasl_counts));
    suite_add_tcase(suite, tables_case());
    suite_add_tcase(suite, aml_case());
    suite_add_tcase(suite, iasl);
    return suite;
}
