/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the ACPI tables SRAT and SLIT, which tell the guest its NUMA nodes. */
#include "boot/tables.h"

/* Numbers in brackets are sections of the ACPI Specification, version 6.4. */
enum {
    SRAT_REVISION = 3, /* [5.2.16] */
    SLIT_REVISION = 1, /* [5.2.17] */
    SRAT_LAPIC = 0,    /* structure types [5.2.16.1 to 5.2.16.3] */
    SRAT_MEMORY = 1,
    SRAT_X2APIC = 2,
    SRAT_ENABLED = 1 << 0,
};

/* As in the MADT, ids above 254 need the longer structure. */
static void write_processor(struct nv_tables *tables, uint32_t id, uint32_t node)
{
    if (id <= NV_TABLES_APIC_ID_MAX) {
        nv_tables_u8(tables, SRAT_LAPIC);
        nv_tables_u8(tables, 16);
        nv_tables_u8(tables, (uint8_t)node);
        nv_tables_u8(tables, (uint8_t)id);
        nv_tables_u32(tables, SRAT_ENABLED);
        nv_tables_u32(tables, node >> 8 << 8); /* EID 0, then bits 8 to 31 of the node */
        nv_tables_u32(tables, 0);              /* clock domain */
    } else {
        nv_tables_u8(tables, SRAT_X2APIC);
        nv_tables_u8(tables, 24);
        nv_tables_zero(tables, 2);
        nv_tables_u32(tables, node);
        nv_tables_u32(tables, id);
        nv_tables_u32(tables, SRAT_ENABLED);
        nv_tables_zero(tables, 8); /* clock domain; reserved */
    }
}

static void write_memory(struct nv_tables *tables, const struct nv_memory_slot *slot, uint32_t node)
{
    nv_tables_u8(tables, SRAT_MEMORY);
    nv_tables_u8(tables, 40);
    nv_tables_u32(tables, node);
    nv_tables_zero(tables, 2);
    nv_tables_u64(tables, slot->address);
    nv_tables_u64(tables, slot->length);
    nv_tables_zero(tables, 4);
    nv_tables_u32(tables, SRAT_ENABLED);
    nv_tables_zero(tables, 8);
}

size_t nv_srat_write(struct nv_tables *tables, const struct nv_boot_machine *machine,
                     const struct nv_memory *memory)
{
    size_t start = nv_acpi_begin(tables, "SRAT", SRAT_REVISION);

    nv_tables_u32(tables, 1); /* reserved, for what came before version 2 */
    nv_tables_zero(tables, 8);
    for (uint32_t id = 0; id < machine->vcpus && !tables->error; id++)
        for (uint32_t node = 0; node < machine->nodes->count; node++)
            if (nv_set_has(&machine->nodes->vcpus[node], id))
                write_processor(tables, id, node);
    for (uint32_t i = 0; i < memory->slot_count; i++)
        write_memory(tables, &memory->slots[i],
                     memory->regions[memory->slots[i].region].config.guest_node);
    nv_acpi_end(tables, start);
    return start;
}

/* What is not set is as the way back, and else the usual. */
static uint8_t distance(const struct nv_boot_nodes *nodes, uint32_t from, uint32_t to)
{
    if (from == to)
        return NESTVIRT_DISTANCE_LOCAL;
    if (nodes->distance[from][to])
        return nodes->distance[from][to];
    return nodes->distance[to][from] ? nodes->distance[to][from] : NESTVIRT_DISTANCE_DEFAULT;
}

size_t nv_slit_write(struct nv_tables *tables, const struct nv_boot_nodes *nodes)
{
    size_t start = nv_acpi_begin(tables, "SLIT", SLIT_REVISION);

    nv_tables_u64(tables, nodes->count);
    for (uint32_t from = 0; from < nodes->count; from++)
        for (uint32_t to = 0; to < nodes->count; to++)
            nv_tables_u8(tables, distance(nodes, from, to));
    nv_acpi_end(tables, start);
    return start;
}
