/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the bounded byte writer and the checksum that all firmware tables are made with. */
#ifndef NV_BOOT_TABLES_H
#define NV_BOOT_TABLES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "boot/boot.h"

enum {
    NV_TABLES_APIC_ID_MAX = 254, /* 255 stands for all local APICs */
    NV_TABLES_PINS = 24          /* of the IOAPIC */
};

/* Bytes being written. The first error sticks, and nothing is written after it. */
struct nv_tables {
    uint8_t *bytes;
    size_t size;
    size_t length;
    int error; /* 0, -E2BIG when size is used up, -EINVAL for what cannot be written */
};

void nv_tables_init(struct nv_tables *tables, uint8_t *bytes, size_t size);

/* Append bytes, zeroes, little-endian numbers. */
void nv_tables_data(struct nv_tables *tables, const void *data, size_t length);
void nv_tables_zero(struct nv_tables *tables, size_t length);
void nv_tables_u8(struct nv_tables *tables, uint8_t value);
void nv_tables_u16(struct nv_tables *tables, uint16_t value);
void nv_tables_u32(struct nv_tables *tables, uint32_t value);
void nv_tables_u64(struct nv_tables *tables, uint64_t value);

/* Appends a text, filled up with spaces to width; -EINVAL when it is longer. */
void nv_tables_text(struct nv_tables *tables, const char *text, size_t width);

/* Appends zeroes up to a multiple of alignment, a power of two. */
void nv_tables_align(struct nv_tables *tables, size_t alignment);

/* Puts bytes in at an offset and moves what is behind. */
void nv_tables_insert(struct nv_tables *tables, size_t offset, const void *data, size_t length);

/* Change numbers that were written before. */
void nv_tables_set_u16(struct nv_tables *tables, size_t offset, uint16_t value);
void nv_tables_set_u32(struct nv_tables *tables, size_t offset, uint32_t value);
void nv_tables_set_u64(struct nv_tables *tables, size_t offset, uint64_t value);

/* Changes the byte at where so that length bytes from start on add up to 0. */
void nv_tables_checksum(struct nv_tables *tables, size_t start, size_t length, size_t where);

/* The IOAPIC's id in the tables. */
uint8_t nv_tables_ioapic_id(const struct nv_boot_machine *machine);

/* True if a pin of the IOAPIC is level-triggered. */
bool nv_tables_is_level(const struct nv_boot_machine *machine, uint32_t pin);

/* Opens an ACPI table with its header (ACPI 6.4, 5.2.6) and returns its offset; and closes it. */
size_t nv_acpi_begin(struct nv_tables *tables, const char *signature, uint8_t revision);
void nv_acpi_end(struct nv_tables *tables, size_t start);

/* Write the SRAT and the SLIT of a machine with NUMA nodes; their offsets. */
size_t nv_srat_write(struct nv_tables *tables, const struct nv_boot_machine *machine,
                     const struct nv_memory *memory);
size_t nv_slit_write(struct nv_tables *tables, const struct nv_boot_nodes *nodes);

/* Writes the content of the DSDT, without its header. */
void nv_dsdt_write(struct nv_tables *tables, const struct nv_boot_machine *machine);

#endif
