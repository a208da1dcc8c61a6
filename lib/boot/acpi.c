/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the ACPI tables RSDP, XSDT, FADT and MADT, and the assembly of all with the DSDT. */
#include <errno.h>

#include "boot/boot.h"
#include "boot/tables.h"
#include "core/cleanup.h"
#include "core/error.h"
#include "core/util.h"
#include "memory/layout.h"

/* Numbers in brackets are sections of the ACPI Specification, version 6.4. */
enum {
    RSDP_SIZE = 36, /* [5.2.5.3], and offsets in it */
    RSDP_SIZE_1_0 = 20,
    RSDP_CHECKSUM = 8,
    RSDP_XSDT = 24,
    RSDP_EXTENDED_CHECKSUM = 32,
    RSDP_REVISION = 2,
    HEADER_SIZE = 36, /* [5.2.6], and offsets in it */
    HEADER_LENGTH = 4,
    HEADER_CHECKSUM = 9,
    XSDT_REVISION = 1,
    DSDT_REVISION = 2, /* integers have 64 bits */
    FADT_REVISION = 6,
    MADT_REVISION = 5,
    TABLE_ALIGNMENT = 16,
};

enum { /* offsets in the FADT [5.2.9] */
       FADT_C2_LATENCY = 96,
       FADT_C3_LATENCY = 98,
       FADT_BOOT_ARCH = 109,
       FADT_FLAGS = 112,
       FADT_RESET_REGISTER = 116,
       FADT_RESET_VALUE = 128,
       FADT_MINOR = 131,
       FADT_X_DSDT = 140,
       FADT_SLEEP_CONTROL = 244,
       FADT_SLEEP_STATUS = 256,
       FADT_SIZE = 276,
};

enum {
    FADT_MINOR_VERSION = 4,
    FADT_NO_C_STATE = 0xffff, /* a latency too long to be used */
    FADT_RESET = 1,           /* what is written to reset */
    BOOT_8042 = 1 << 1,       /* [5.2.9.3] */
    BOOT_NO_VGA = 1 << 2,
    BOOT_NO_RTC = 1 << 5,
    FLAG_WBINVD = 1 << 0, /* [5.2.9, fixed feature flags] */
    FLAG_C1 = 1 << 2,
    FLAG_NO_FIXED_POWER_BUTTON = 1 << 4, /* a control-method button, or none */
    FLAG_NO_FIXED_SLEEP_BUTTON = 1 << 5,
    FLAG_RESET_REGISTER = 1 << 10,
    FLAG_HW_REDUCED = 1 << 20,
};

enum {
    MADT_PCAT_COMPAT = 1 << 0, /* [5.2.12] */
    MADT_LAPIC = 0,            /* entry types */
    MADT_IOAPIC = 1,
    MADT_OVERRIDE = 2,
    MADT_LAPIC_NMI = 4,
    MADT_X2APIC = 9,
    MADT_X2APIC_NMI = 10,
    MADT_ENABLED = 1 << 0,
    MADT_LEVEL_HIGH = 3 << 2 | 1, /* [5.2.12.5] */
    MADT_ISA_IRQS = 16,
    MADT_NMI_LINT = 1,
};

static uint64_t address_of(size_t offset)
{
    return NV_LAYOUT_ACPI + offset;
}

size_t nv_acpi_begin(struct nv_tables *tables, const char *signature, uint8_t revision)
{
    size_t start;

    nv_tables_align(tables, TABLE_ALIGNMENT);
    start = tables->length;
    nv_tables_text(tables, signature, 4);
    nv_tables_u32(tables, 0); /* length */
    nv_tables_u8(tables, revision);
    nv_tables_u8(tables, 0); /* checksum */
    nv_tables_text(tables, "NSTVRT", 6);
    nv_tables_text(tables, "NESTVIRT", 8);
    nv_tables_u32(tables, 1);
    nv_tables_text(tables, "NSTV", 4);
    nv_tables_u32(tables, 1);
    return start;
}

void nv_acpi_end(struct nv_tables *tables, size_t start)
{
    nv_tables_set_u32(tables, start + HEADER_LENGTH, (uint32_t)(tables->length - start));
    nv_tables_checksum(tables, start, tables->length - start, start + HEADER_CHECKSUM);
}

/* The RSDT's address is left out: whoever knows the XSDT does not look at it. */
static void write_rsdp(struct nv_tables *tables)
{
    nv_tables_text(tables, "RSD PTR", 8);
    nv_tables_u8(tables, 0); /* checksum */
    nv_tables_text(tables, "NSTVRT", 6);
    nv_tables_u8(tables, RSDP_REVISION);
    nv_tables_u32(tables, 0);
    nv_tables_u32(tables, RSDP_SIZE);
    nv_tables_zero(tables, RSDP_SIZE - RSDP_XSDT);
}

static void finish_rsdp(struct nv_tables *tables, size_t xsdt)
{
    nv_tables_set_u64(tables, RSDP_XSDT, address_of(xsdt));
    nv_tables_checksum(tables, 0, RSDP_SIZE_1_0, RSDP_CHECKSUM);
    nv_tables_checksum(tables, 0, RSDP_SIZE, RSDP_EXTENDED_CHECKSUM);
}

/* A register of one byte at an I/O port [5.2.3.2]. */
static void put_port_register(uint8_t *bytes, uint16_t port)
{
    bytes[0] = 1; /* I/O space */
    bytes[1] = 8; /* bits */
    bytes[2] = 0; /* from bit 0 */
    bytes[3] = 1; /* by byte accesses */
    nv_put_le64(bytes + 4, port);
}

/*
 * [4.1, 5.2.9] Hardware-reduced: no SCI, PM timer, GPE blocks or FACS. Linux then does without PIC
 * and PIT too.
 */
static size_t write_fadt(struct nv_tables *tables, const struct nv_boot_machine *machine,
                         size_t dsdt)
{
    uint8_t fadt[FADT_SIZE] = { 0 };
    uint32_t flags = FLAG_WBINVD | FLAG_C1 | FLAG_NO_FIXED_POWER_BUTTON |
                     FLAG_NO_FIXED_SLEEP_BUTTON | FLAG_HW_REDUCED;
    size_t start = nv_acpi_begin(tables, "FACP", FADT_REVISION);

    nv_put_le16(fadt + FADT_C2_LATENCY, FADT_NO_C_STATE);
    nv_put_le16(fadt + FADT_C3_LATENCY, FADT_NO_C_STATE);
    nv_put_le16(fadt + FADT_BOOT_ARCH,
                BOOT_NO_VGA | BOOT_NO_RTC | (machine->has_i8042 ? BOOT_8042 : 0));
    fadt[FADT_MINOR] = FADT_MINOR_VERSION;
    nv_put_le64(fadt + FADT_X_DSDT, address_of(dsdt));
    if (machine->has_power) {
        flags |= FLAG_RESET_REGISTER;
        put_port_register(fadt + FADT_RESET_REGISTER, NV_PORT_ACPI + 2);
        fadt[FADT_RESET_VALUE] = FADT_RESET;
        put_port_register(fadt + FADT_SLEEP_CONTROL, NV_PORT_ACPI);
        put_port_register(fadt + FADT_SLEEP_STATUS, NV_PORT_ACPI + 1);
    }
    nv_put_le32(fadt + FADT_FLAGS, flags);
    nv_tables_data(tables, fadt + HEADER_SIZE, FADT_SIZE - HEADER_SIZE);
    nv_acpi_end(tables, start);
    return start;
}

/* [5.2.12.2, 5.2.12.12] Ids above 254 need the longer entry, others may not have it. */
static void write_lapics(struct nv_tables *tables, uint32_t count)
{
    for (uint32_t id = 0; id < count && !tables->error; id++) {
        if (id <= NV_TABLES_APIC_ID_MAX) {
            nv_tables_u8(tables, MADT_LAPIC);
            nv_tables_u8(tables, 8);
            nv_tables_u8(tables, (uint8_t)id); /* _UID */
            nv_tables_u8(tables, (uint8_t)id);
            nv_tables_u32(tables, MADT_ENABLED);
        } else {
            nv_tables_u8(tables, MADT_X2APIC);
            nv_tables_u8(tables, 16);
            nv_tables_u16(tables, 0);
            nv_tables_u32(tables, id);
            nv_tables_u32(tables, MADT_ENABLED);
            nv_tables_u32(tables, id); /* _UID */
        }
    }
}

/* [5.2.12.7, 5.2.12.13] All processors' LINT1 is NMI, in each of the two notations used. */
static void write_nmis(struct nv_tables *tables, uint32_t count)
{
    nv_tables_u8(tables, MADT_LAPIC_NMI);
    nv_tables_u8(tables, 6);
    nv_tables_u8(tables, UINT8_MAX);
    nv_tables_u16(tables, 0);
    nv_tables_u8(tables, MADT_NMI_LINT);
    if (count <= NV_TABLES_APIC_ID_MAX + 1)
        return;
    nv_tables_u8(tables, MADT_X2APIC_NMI);
    nv_tables_u8(tables, 12);
    nv_tables_u16(tables, 0);
    nv_tables_u32(tables, UINT32_MAX);
    nv_tables_u8(tables, MADT_NMI_LINT);
    nv_tables_zero(tables, 3);
}

/*
 * [5.2.12.3, 5.2.12.5] ISA interrupt n is at pin n, edge-triggered, unless an entry says so. IRQ 0
 * never gets one: it is the timer's, and Linux takes it for the SCI, whose number is 0 here.
 */
static void write_ioapic(struct nv_tables *tables, const struct nv_boot_machine *machine)
{
    nv_tables_u8(tables, MADT_IOAPIC);
    nv_tables_u8(tables, 12);
    nv_tables_u8(tables, nv_tables_ioapic_id(machine));
    nv_tables_u8(tables, 0);
    nv_tables_u32(tables, NV_LAYOUT_IOAPIC);
    nv_tables_u32(tables, 0); /* first GSI */
    for (uint8_t irq = 1; irq < MADT_ISA_IRQS; irq++) {
        if (!nv_tables_is_level(machine, irq))
            continue;
        nv_tables_u8(tables, MADT_OVERRIDE);
        nv_tables_u8(tables, 10);
        nv_tables_u8(tables, 0); /* ISA */
        nv_tables_u8(tables, irq);
        nv_tables_u32(tables, irq);
        nv_tables_u16(tables, MADT_LEVEL_HIGH);
    }
}

static size_t write_madt(struct nv_tables *tables, const struct nv_boot_machine *machine)
{
    size_t start = nv_acpi_begin(tables, "APIC", MADT_REVISION);

    nv_tables_u32(tables, NV_LAYOUT_LAPIC);
    nv_tables_u32(tables, machine->has_pic ? MADT_PCAT_COMPAT : 0);
    write_lapics(tables, machine->vcpus);
    if (machine->has_irqchip) {
        write_ioapic(tables, machine);
        write_nmis(tables, machine->vcpus);
    }
    nv_acpi_end(tables, start);
    return start;
}

static void write_tables(struct nv_tables *tables, const struct nv_boot_machine *machine,
                         const struct nv_memory *memory)
{
    size_t dsdt;
    size_t fadt;
    size_t madt;
    size_t srat = 0;
    size_t slit = 0;
    size_t xsdt;

    write_rsdp(tables);
    dsdt = nv_acpi_begin(tables, "DSDT", DSDT_REVISION);
    nv_dsdt_write(tables, machine);
    nv_acpi_end(tables, dsdt);
    fadt = write_fadt(tables, machine, dsdt);
    madt = write_madt(tables, machine);
    if (machine->nodes) {
        srat = nv_srat_write(tables, machine, memory);
        slit = nv_slit_write(tables, machine->nodes);
    }
    xsdt = nv_acpi_begin(tables, "XSDT", XSDT_REVISION);
    nv_tables_u64(tables, address_of(fadt));
    nv_tables_u64(tables, address_of(madt));
    if (machine->nodes) {
        nv_tables_u64(tables, address_of(srat));
        nv_tables_u64(tables, address_of(slit));
    }
    nv_acpi_end(tables, xsdt);
    finish_rsdp(tables, xsdt);
}

int nv_acpi_write(const struct nv_boot_machine *machine, const struct nv_memory *memory,
                  struct nestvirt_error **ret_error)
{
    static const char name[] = "ACPI tables";
    NV_AUTO_FREE uint8_t *buffer = calloc(1, NV_LAYOUT_ACPI_SIZE);
    struct nv_tables tables;
    int r;

    if (!buffer)
        return nv_fail(ret_error, -ENOMEM, name, "free memory on the host", "out of memory");
    nv_tables_init(&tables, buffer, NV_LAYOUT_ACPI_SIZE);
    write_tables(&tables, machine, memory);
    if (tables.error == -E2BIG)
        return nv_fail(ret_error, -E2BIG, name, "use fewer vCPUs",
                       "do not fit in 0x%llx bytes with %u vCPUs", NV_LAYOUT_ACPI_SIZE,
                       machine->vcpus);
    if (tables.error)
        return nv_fail(ret_error, NESTVIRT_E_BUG, name, "report it", "malformed (%d)",
                       tables.error);
    r = nv_memory_write(memory, nv_gpa_at(NV_LAYOUT_ACPI), buffer, tables.length);
    if (r < 0)
        return nv_fail(ret_error, r, name, "add memory that covers address 0 to 0x100000",
                       "no guest memory at 0x%llx, length 0x%zx", NV_LAYOUT_ACPI, tables.length);
    return 0;
}
