/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the MP table, which tells kernels without ACPI the processors and the interrupt wiring. */
#include <errno.h>

#include "boot/boot.h"
#include "boot/tables.h"
#include "core/cleanup.h"
#include "core/error.h"
#include "memory/layout.h"

/* Numbers in brackets are sections of the Intel MultiProcessor Specification, version 1.4. */
enum {
    MP_POINTER_SIZE = 16,     /* [4.1] */
    MP_POINTER_CHECKSUM = 10, /* offset */
    MP_SPEC_REVISION = 4,     /* 1.4 */
    MP_LENGTH = 4,            /* offsets in the configuration table's header [4.2] */
    MP_CHECKSUM = 7,
    MP_ENTRY_COUNT = 34,
    MP_ENTRY_PROCESSOR = 0, /* entry types [4.3] */
    MP_ENTRY_BUS = 1,
    MP_ENTRY_IOAPIC = 2,
    MP_ENTRY_INTERRUPT = 3,
    MP_ENTRY_LOCAL_INTERRUPT = 4,
    MP_CPU_ENABLED = 1 << 0, /* [4.3.1] */
    MP_CPU_BOOT = 1 << 1,
    MP_CPU_SIGNATURE = 0x600, /* family 6; a kernel asks CPUID for the rest */
    MP_CPU_FEATURES = 0x201,  /* FPU and APIC */
    MP_LAPIC_VERSION = 0x14,  /* what KVM's local APIC says of itself */
    MP_IOAPIC_VERSION = 0x11,
    MP_IOAPIC_ENABLED = 1 << 0, /* [4.3.3] */
    MP_INT = 0,                 /* interrupt types [4.3.4] */
    MP_NMI = 1,
    MP_EXTINT = 3,
    MP_ACTIVE_HIGH = 1, /* polarity and trigger mode [4.3.4] */
    MP_EDGE = 1 << 2,
    MP_LEVEL = 3 << 2,
    MP_ISA_BUS = 0,
    MP_ALL_LAPICS = 0xff,
};

static void write_pointer(struct nv_tables *tables)
{
    nv_tables_text(tables, "_MP_", 4);
    nv_tables_u32(tables, NV_LAYOUT_MPTABLE + MP_POINTER_SIZE);
    nv_tables_u8(tables, MP_POINTER_SIZE / 16);
    nv_tables_u8(tables, MP_SPEC_REVISION);
    nv_tables_zero(tables, 6); /* checksum; no default configuration; no IMCR */
    nv_tables_checksum(tables, 0, MP_POINTER_SIZE, MP_POINTER_CHECKSUM);
}

static void write_header(struct nv_tables *tables)
{
    nv_tables_text(tables, "PCMP", 4);
    nv_tables_u16(tables, 0); /* length */
    nv_tables_u8(tables, MP_SPEC_REVISION);
    nv_tables_u8(tables, 0); /* checksum */
    nv_tables_text(tables, "NESTVIRT", 8);
    nv_tables_text(tables, "KVM", 12);
    nv_tables_zero(tables, 6); /* no table of the manufacturer's */
    nv_tables_u16(tables, 0);  /* entry count */
    nv_tables_u32(tables, NV_LAYOUT_LAPIC);
    nv_tables_zero(tables, 4); /* no extended table */
}

static uint16_t write_processors(struct nv_tables *tables, uint32_t count)
{
    for (uint32_t id = 0; id < count; id++) {
        nv_tables_u8(tables, MP_ENTRY_PROCESSOR);
        nv_tables_u8(tables, (uint8_t)id);
        nv_tables_u8(tables, MP_LAPIC_VERSION);
        nv_tables_u8(tables, MP_CPU_ENABLED | (id == 0 ? MP_CPU_BOOT : 0));
        nv_tables_u32(tables, MP_CPU_SIGNATURE);
        nv_tables_u32(tables, MP_CPU_FEATURES);
        nv_tables_zero(tables, 8);
    }
    return (uint16_t)count;
}

static uint16_t write_interrupt(struct nv_tables *tables, uint8_t entry, uint8_t type,
                                uint16_t flags, uint8_t irq, uint8_t apic, uint8_t pin)
{
    nv_tables_u8(tables, entry);
    nv_tables_u8(tables, type);
    nv_tables_u16(tables, flags);
    nv_tables_u8(tables, MP_ISA_BUS);
    nv_tables_u8(tables, irq);
    nv_tables_u8(tables, apic);
    nv_tables_u8(tables, pin);
    return 1;
}

/*
 * The bus, the IOAPIC and what is wired to it: ISA interrupt n to pin n. Real machines have 16
 * ISA interrupts; here pins 16 to 23 go by the same rule, because Linux sets up only pins that
 * have an entry, and numbers them by the pin.
 */
static uint16_t write_ioapic(struct nv_tables *tables, const struct nv_boot_machine *machine)
{
    uint8_t id = nv_tables_ioapic_id(machine);

    nv_tables_u8(tables, MP_ENTRY_BUS);
    nv_tables_u8(tables, MP_ISA_BUS);
    nv_tables_text(tables, "ISA", 6);
    nv_tables_u8(tables, MP_ENTRY_IOAPIC);
    nv_tables_u8(tables, id);
    nv_tables_u8(tables, MP_IOAPIC_VERSION);
    nv_tables_u8(tables, MP_IOAPIC_ENABLED);
    nv_tables_u32(tables, NV_LAYOUT_IOAPIC);
    for (uint8_t pin = 0; pin < NV_TABLES_PINS; pin++) {
        uint16_t trigger = nv_tables_is_level(machine, pin) ? MP_LEVEL : MP_EDGE;

        write_interrupt(tables, MP_ENTRY_INTERRUPT, MP_INT, MP_ACTIVE_HIGH | trigger, pin, id, pin);
    }
    return 2 + NV_TABLES_PINS;
}

/* [4.3.5] Without a PIC nothing drives LINT0, so it gets no entry; no kernel needs one. */
static uint16_t write_local_interrupts(struct nv_tables *tables,
                                       const struct nv_boot_machine *machine)
{
    uint16_t count = 0;

    if (machine->has_pic)
        count += write_interrupt(tables, MP_ENTRY_LOCAL_INTERRUPT, MP_EXTINT, 0, 0, 0, 0);
    count += write_interrupt(tables, MP_ENTRY_LOCAL_INTERRUPT, MP_NMI, 0, 0, MP_ALL_LAPICS, 1);
    return count;
}

static void write_table(struct nv_tables *tables, const struct nv_boot_machine *machine)
{
    size_t start = MP_POINTER_SIZE;
    uint16_t count;

    write_pointer(tables);
    write_header(tables);
    count = write_processors(tables, machine->vcpus);
    if (machine->has_irqchip) {
        count += write_ioapic(tables, machine);
        count += write_local_interrupts(tables, machine);
    }
    nv_tables_set_u16(tables, start + MP_LENGTH, (uint16_t)(tables->length - start));
    nv_tables_set_u16(tables, start + MP_ENTRY_COUNT, count);
    nv_tables_checksum(tables, start, tables->length - start, start + MP_CHECKSUM);
}

int nv_mptable_write(const struct nv_boot_machine *machine, const struct nv_memory *memory,
                     struct nestvirt_error **ret_error)
{
    static const char name[] = "MP table";
    NV_AUTO_FREE uint8_t *buffer = NULL;
    struct nv_tables tables;
    int r;

    /* The IOAPIC takes the id behind the last processor. */
    if (machine->vcpus > NV_TABLES_APIC_ID_MAX)
        return nv_fail(ret_error, -E2BIG, name, "use ACPI discovery, or fewer vCPUs",
                       "has room for %d vCPUs, not for %u", NV_TABLES_APIC_ID_MAX, machine->vcpus);
    buffer = calloc(1, NV_LAYOUT_MPTABLE_SIZE);
    if (!buffer)
        return nv_fail(ret_error, -ENOMEM, name, "free memory on the host", "out of memory");
    nv_tables_init(&tables, buffer, NV_LAYOUT_MPTABLE_SIZE);
    write_table(&tables, machine);
    if (tables.error)
        return nv_fail(ret_error, tables.error, name, "use ACPI discovery, or fewer vCPUs",
                       "does not fit in 0x%llx bytes", NV_LAYOUT_MPTABLE_SIZE);
    r = nv_memory_write(memory, nv_gpa_at(NV_LAYOUT_MPTABLE), buffer, tables.length);
    if (r < 0)
        return nv_fail(ret_error, r, name, "add memory that covers address 0 to 0x100000",
                       "no guest memory at 0x%llx, length 0x%zx", NV_LAYOUT_MPTABLE, tables.length);
    return 0;
}
