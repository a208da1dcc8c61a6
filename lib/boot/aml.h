/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the encoding of AML, the byte code of ACPI's definition blocks (ACPI 6.4, chapter 20). */
#ifndef NV_BOOT_AML_H
#define NV_BOOT_AML_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "boot/tables.h"

/*
 * Terms are appended in the order in which AML has them, each operator before its operands. What
 * has a body is opened by a function that returns a mark, and closed by nv_aml_end() with it.
 * Errors stick in the writer; a malformed name is -EINVAL.
 */

/* One-byte operators and operands (20.3). */
enum {
    NV_AML_ZERO = 0x00, /* also "no target" */
    NV_AML_ONE = 0x01,
    NV_AML_LOCAL0 = 0x60, /* up to LOCAL0 + 7 */
    NV_AML_ARG0 = 0x68,   /* up to ARG0 + 6 */
    NV_AML_STORE = 0x70,  /* source, target */
    NV_AML_AND = 0x7b,    /* operand, operand, target */
    NV_AML_NOTIFY = 0x86, /* object, value */
    NV_AML_LAND = 0x90,   /* operand, operand */
    NV_AML_LEQUAL = 0x93, /* operand, operand */
    NV_AML_RETURN = 0xa4, /* value */
};

enum {
    NV_AML_SYSTEM_IO = 1,          /* region spaces (20.2.5.2) */
    NV_AML_FIELD_BYTE_ACCESS = 1,  /* field flags, no lock */
    NV_AML_FIELD_WRITE_ZEROS = 64, /* bits outside of a written unit become 0 */
};

void nv_aml_op(struct nv_tables *tables, uint8_t op);

/* An integer in its shortest form (20.2.3). */
void nv_aml_integer(struct nv_tables *tables, uint64_t value);

/* A string of ASCII characters (20.2.3). */
void nv_aml_string(struct nv_tables *tables, const char *text);

/* The number of an identifier of three letters and four hexadecimal digits, as "PNP0501". */
void nv_aml_eisaid(struct nv_tables *tables, const char *id);

/* A name or path such as "_HID", "\\_SB.GED" or "^X"; segments are filled up with '_' (20.2.2). */
void nv_aml_path(struct nv_tables *tables, const char *path);

/* Name (path, ...): its value follows (20.2.5.1). */
void nv_aml_name(struct nv_tables *tables, const char *path);
void nv_aml_name_integer(struct nv_tables *tables, const char *path, uint64_t value);
void nv_aml_name_string(struct nv_tables *tables, const char *path, const char *text);
void nv_aml_name_eisaid(struct nv_tables *tables, const char *path, const char *id);

/* Things with a body; each returns its mark. */
size_t nv_aml_scope(struct nv_tables *tables, const char *path);
size_t nv_aml_device(struct nv_tables *tables, const char *path);
size_t nv_aml_method(struct nv_tables *tables, const char *path, uint8_t arguments,
                     bool serialized);
size_t nv_aml_package(struct nv_tables *tables, uint8_t elements);
size_t nv_aml_if(struct nv_tables *tables); /* the predicate comes first in the body */
size_t nv_aml_field(struct nv_tables *tables, const char *region, uint8_t flags);
void nv_aml_end(struct nv_tables *tables, size_t mark);

/* A unit of a field: name (one segment) and width in bits. */
void nv_aml_field_unit(struct nv_tables *tables, const char *name, uint32_t bits);

/* An operation region (20.2.5.2). */
void nv_aml_region(struct nv_tables *tables, const char *path, uint8_t space, uint64_t address,
                   uint64_t length);

/* A resource template (6.4), usually after nv_aml_name("_CRS"); closed by its own end. */
size_t nv_aml_resources(struct nv_tables *tables);
void nv_aml_resources_end(struct nv_tables *tables, size_t mark);

/* Resources: ports; an interrupt of its own, active high; memory to read and write. */
void nv_aml_resource_io(struct nv_tables *tables, uint16_t port, uint8_t count);
void nv_aml_resource_interrupt(struct nv_tables *tables, uint32_t gsi, bool is_level);
void nv_aml_resource_memory32(struct nv_tables *tables, uint32_t address, uint32_t length);

#endif
