/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the DSDT's content: the processors, serial ports, power button and power-off of the machine.
 */
#include <stdio.h>

#include "boot/aml.h"
#include "boot/tables.h"
#include "memory/layout.h"

enum {
    SERIAL_PORTS = 8,
    SLEEP_TYPE_OFF = 5,       /* what the sleep control register takes for "off" */
    EVENT_POWER_BUTTON = 1,   /* bit 0 of the event status byte */
    NOTIFY_PRESSED = 0x80,    /* ACPI 6.4, 4.8.2.2.1.2: the button was pressed */
    NOTIFY_GENERATION = 0x80, /* the generation ID is a new one */
    STATUS_ALL_WELL = 0x0f,   /* 6.3.7: present, enabled, shown, working */
};

/*
 * ACPI 6.4, 8.4: a device of _HID ACPI0007 each; _UID is that of the MADT's entry. The tables are
 * full long before three digits are used up.
 */
static void write_processors(struct nv_tables *tables, uint32_t count)
{
    for (uint32_t i = 0; i < count && !tables->error; i++) {
        char name[16];
        size_t device;

        snprintf(name, sizeof(name), "C%03X", i);
        device = nv_aml_device(tables, name);
        nv_aml_name_string(tables, "_HID", "ACPI0007");
        nv_aml_name_integer(tables, "_UID", i);
        nv_aml_end(tables, device);
    }
}

static void write_serials(struct nv_tables *tables, const struct nv_boot_machine *machine)
{
    for (uint32_t i = 0; i < machine->serial_count && i < NV_BOOT_SERIALS_MAX; i++) {
        const char name[] = { 'C', 'O', 'M', (char)('1' + i), '\0' };
        size_t device = nv_aml_device(tables, name);
        size_t resources;

        nv_aml_name_eisaid(tables, "_HID", "PNP0501");
        nv_aml_name_integer(tables, "_UID", i);
        nv_aml_name_integer(tables, "_STA", STATUS_ALL_WELL);
        nv_aml_name(tables, "_CRS");
        resources = nv_aml_resources(tables);
        nv_aml_resource_io(tables, machine->serial[i].port, SERIAL_PORTS);
        if (machine->has_irqchip)
            nv_aml_resource_interrupt(tables, machine->serial[i].pin,
                                      nv_tables_is_level(machine, machine->serial[i].pin));
        nv_aml_resources_end(tables, resources);
        nv_aml_end(tables, device);
    }
}

/*
 * What the drivers of virtio-mmio know such a device by: _HID LNRO0005, its window and interrupt.
 * It reads and writes memory as the processors see it (ACPI 6.4, 6.2.17).
 */
static void write_virtio(struct nv_tables *tables, const struct nv_boot_machine *machine)
{
    for (uint32_t i = 0; i < machine->virtio_count && !tables->error; i++) {
        char name[16];
        size_t device;
        size_t resources;

        snprintf(name, sizeof(name), "V%03X", i);
        device = nv_aml_device(tables, name);
        nv_aml_name_string(tables, "_HID", "LNRO0005");
        nv_aml_name_integer(tables, "_UID", i);
        nv_aml_name_integer(tables, "_CCA", 1);
        nv_aml_name(tables, "_CRS");
        resources = nv_aml_resources(tables);
        nv_aml_resource_memory32(tables, (uint32_t)machine->virtio[i].window,
                                 NV_LAYOUT_VIRTIO_SIZE);
        nv_aml_resource_interrupt(tables, machine->virtio[i].pin,
                                  nv_tables_is_level(machine, machine->virtio[i].pin));
        nv_aml_resources_end(tables, resources);
        nv_aml_end(tables, device);
    }
}

/* _EVT: reading the event status clears it, so it is read once and then looked at. */
static void write_event_method(struct nv_tables *tables)
{
    size_t method = nv_aml_method(tables, "_EVT", 1, true);
    size_t condition;

    nv_aml_op(tables, NV_AML_STORE);
    nv_aml_path(tables, "ESTS");
    nv_aml_op(tables, NV_AML_LOCAL0);
    condition = nv_aml_if(tables);
    nv_aml_op(tables, NV_AML_AND);
    nv_aml_op(tables, NV_AML_LOCAL0);
    nv_aml_integer(tables, EVENT_POWER_BUTTON);
    nv_aml_op(tables, NV_AML_ZERO);
    nv_aml_op(tables, NV_AML_NOTIFY);
    nv_aml_path(tables, "PWRB");
    nv_aml_integer(tables, NOTIFY_PRESSED);
    nv_aml_end(tables, condition);
    nv_aml_end(tables, method);
}

/* ACPI 6.4, 5.6.9: the generic event device, which carries the power button's events. */
static void write_events(struct nv_tables *tables, const struct nv_boot_machine *machine)
{
    size_t device;
    size_t inner;

    device = nv_aml_device(tables, "PWRB");
    nv_aml_name_eisaid(tables, "_HID", "PNP0C0C");
    nv_aml_end(tables, device);

    device = nv_aml_device(tables, "GED");
    nv_aml_name_string(tables, "_HID", "ACPI0013");
    nv_aml_name_integer(tables, "_UID", 0);
    nv_aml_name(tables, "_CRS");
    inner = nv_aml_resources(tables);
    nv_aml_resource_interrupt(tables, machine->event_pin,
                              nv_tables_is_level(machine, machine->event_pin));
    nv_aml_resources_end(tables, inner);
    nv_aml_region(tables, "EVST", NV_AML_SYSTEM_IO, NV_PORT_ACPI + 4, 1);
    inner = nv_aml_field(tables, "EVST", NV_AML_FIELD_BYTE_ACCESS | NV_AML_FIELD_WRITE_ZEROS);
    nv_aml_field_unit(tables, "ESTS", 8);
    nv_aml_end(tables, inner);
    write_event_method(tables);
    nv_aml_end(tables, device);
}

/* A generic event device of its own, with one event: its method need not ask what happened. */
static void write_generation_event(struct nv_tables *tables, const struct nv_boot_machine *machine)
{
    size_t device = nv_aml_device(tables, "GEDV");
    size_t inner;

    nv_aml_name_string(tables, "_HID", "ACPI0013");
    nv_aml_name_integer(tables, "_UID", 1);
    nv_aml_name(tables, "_CRS");
    inner = nv_aml_resources(tables);
    nv_aml_resource_interrupt(tables, machine->generation_pin,
                              nv_tables_is_level(machine, machine->generation_pin));
    nv_aml_resources_end(tables, inner);
    inner = nv_aml_method(tables, "_EVT", 1, true);
    nv_aml_op(tables, NV_AML_NOTIFY);
    nv_aml_path(tables, "VGEN");
    nv_aml_integer(tables, NOTIFY_GENERATION);
    nv_aml_end(tables, inner);
    nv_aml_end(tables, device);
}

/*
 * "Virtual Machine Generation ID" (Microsoft, 2012): a device of this _CID and _DDN, whose ADDR is
 * a package of the low and high half of the address of 16 bytes. Linux knows the short _CID too.
 */
static void write_generation(struct nv_tables *tables, const struct nv_boot_machine *machine)
{
    size_t device = nv_aml_device(tables, "VGEN");
    size_t package;

    nv_aml_name_string(tables, "_HID", "NVRT0001");
    nv_aml_name(tables, "_CID");
    package = nv_aml_package(tables, 2);
    nv_aml_string(tables, "VM_Gen_Counter");
    nv_aml_string(tables, "VMGENCTR");
    nv_aml_end(tables, package);
    nv_aml_name_string(tables, "_DDN", "VM_Gen_Counter");
    nv_aml_name(tables, "ADDR");
    package = nv_aml_package(tables, 2);
    nv_aml_integer(tables, NV_LAYOUT_GENERATION);
    nv_aml_integer(tables, 0);
    nv_aml_end(tables, package);
    nv_aml_end(tables, device);
    write_generation_event(tables, machine);
}

/* ACPI 6.4, 7.4.2: the sleep type, then three elements that only other hardware uses. */
static void write_power_off(struct nv_tables *tables)
{
    size_t package;

    nv_aml_name(tables, "\\_S5");
    package = nv_aml_package(tables, 4);
    nv_aml_integer(tables, SLEEP_TYPE_OFF);
    nv_aml_integer(tables, 0);
    nv_aml_integer(tables, 0);
    nv_aml_integer(tables, 0);
    nv_aml_end(tables, package);
}

void nv_dsdt_write(struct nv_tables *tables, const struct nv_boot_machine *machine)
{
    size_t scope;

    if (machine->has_power)
        write_power_off(tables);
    scope = nv_aml_scope(tables, "\\_SB");
    write_processors(tables, machine->vcpus);
    write_serials(tables, machine);
    if (machine->has_irqchip)
        write_virtio(tables, machine);
    if (machine->has_power && machine->has_irqchip) /* events need an interrupt */
        write_events(tables, machine);
    if (machine->has_generation && machine->has_irqchip)
        write_generation(tables, machine);
    nv_aml_end(tables, scope);
}
