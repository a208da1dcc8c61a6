/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the encoding of AML, the byte code of ACPI's definition blocks (ACPI 6.4, chapter 20). */
#include "boot/aml.h"

#include <errno.h>
#include <string.h>

#include "core/util.h"

enum {
    OP_NAME = 0x08,
    OP_BYTE = 0x0a,
    OP_WORD = 0x0b,
    OP_DWORD = 0x0c,
    OP_STRING = 0x0d,
    OP_QWORD = 0x0e,
    OP_SCOPE = 0x10,
    OP_BUFFER = 0x11,
    OP_PACKAGE = 0x12,
    OP_METHOD = 0x14,
    OP_DUAL_NAME = 0x2e,
    OP_MULTI_NAME = 0x2f,
    OP_EXTENDED = 0x5b, /* the first of two bytes: the next three */
    OP_REGION = 0x80,
    OP_FIELD = 0x81,
    OP_DEVICE = 0x82,
    OP_IF = 0xa0,
    SEGMENT_SIZE = 4,
    SEGMENTS_MAX = 255,       /* their count is one byte */
    PACKAGE_LENGTH_BYTES = 4, /* at most */
    ARGUMENTS_MAX = 7,
    METHOD_SERIALIZED = 1 << 3,
};

static void set_invalid(struct nv_tables *tables)
{
    if (!tables->error)
        tables->error = -EINVAL;
}

void nv_aml_op(struct nv_tables *tables, uint8_t op)
{
    nv_tables_u8(tables, op);
}

void nv_aml_integer(struct nv_tables *tables, uint64_t value)
{
    if (value <= 1) {
        nv_tables_u8(tables, value ? NV_AML_ONE : NV_AML_ZERO);
    } else if (value <= UINT8_MAX) {
        nv_tables_u8(tables, OP_BYTE);
        nv_tables_u8(tables, (uint8_t)value);
    } else if (value <= UINT16_MAX) {
        nv_tables_u8(tables, OP_WORD);
        nv_tables_u16(tables, (uint16_t)value);
    } else if (value <= UINT32_MAX) {
        nv_tables_u8(tables, OP_DWORD);
        nv_tables_u32(tables, (uint32_t)value);
    } else {
        nv_tables_u8(tables, OP_QWORD);
        nv_tables_u64(tables, value);
    }
}

void nv_aml_string(struct nv_tables *tables, const char *text)
{
    nv_tables_u8(tables, OP_STRING);
    nv_tables_data(tables, text, strlen(text) + 1);
}

/* The value of a digit, upper case; 16 if it is none. */
static uint32_t hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return (uint32_t)(c - '0');
    return c >= 'A' && c <= 'F' ? (uint32_t)(c - 'A') + 10 : 16;
}

/* ACPI 6.4, 19.3.4: five bits for each letter, four for each digit, the high byte first. */
void nv_aml_eisaid(struct nv_tables *tables, const char *id)
{
    uint32_t value = 0;

    if (strlen(id) != 7) {
        set_invalid(tables);
        return;
    }
    for (size_t i = 0; i < 7; i++) {
        uint32_t part = i < 3 ? (uint32_t)(id[i] - '@') : hex_digit(id[i]);

        if (i < 3 ? part < 1 || part > 26 : part > 15) {
            set_invalid(tables);
            return;
        }
        value = i < 3 ? value << 5 | part : value << 4 | part;
    }
    nv_tables_u8(tables, OP_DWORD);
    nv_tables_u32(tables, __builtin_bswap32(value));
}

static bool is_name_character(char c, bool is_first)
{
    return (c >= 'A' && c <= 'Z') || c == '_' || (!is_first && c >= '0' && c <= '9');
}

/* Appends one segment and returns its characters in the path; 0 if it is malformed. */
static size_t put_segment(struct nv_tables *tables, const char *path)
{
    char segment[SEGMENT_SIZE];
    size_t length = strcspn(path, ".");

    if (length == 0 || length > sizeof(segment)) {
        set_invalid(tables);
        return 0;
    }
    memset(segment, '_', sizeof(segment));
    for (size_t i = 0; i < length; i++) {
        if (!is_name_character(path[i], i == 0)) {
            set_invalid(tables);
            return 0;
        }
        segment[i] = path[i];
    }
    nv_tables_data(tables, segment, sizeof(segment));
    return length;
}

void nv_aml_path(struct nv_tables *tables, const char *path)
{
    size_t segments = 1;

    for (; *path == '\\' || *path == '^'; path++)
        nv_tables_u8(tables, (uint8_t)*path);
    for (const char *dot = strchr(path, '.'); dot; dot = strchr(dot + 1, '.'))
        segments++;
    if (segments > SEGMENTS_MAX) {
        set_invalid(tables);
        return;
    }
    if (segments == 2) {
        nv_tables_u8(tables, OP_DUAL_NAME);
    } else if (segments > 2) {
        nv_tables_u8(tables, OP_MULTI_NAME);
        nv_tables_u8(tables, (uint8_t)segments);
    }
    for (size_t i = 0; i < segments; i++) {
        size_t length = put_segment(tables, path);

        if (length == 0)
            return;
        path += length + 1; /* the last time, one past the end: not read */
    }
}

void nv_aml_name(struct nv_tables *tables, const char *path)
{
    nv_tables_u8(tables, OP_NAME);
    nv_aml_path(tables, path);
}

void nv_aml_name_integer(struct nv_tables *tables, const char *path, uint64_t value)
{
    nv_aml_name(tables, path);
    nv_aml_integer(tables, value);
}

void nv_aml_name_string(struct nv_tables *tables, const char *path, const char *text)
{
    nv_aml_name(tables, path);
    nv_aml_string(tables, text);
}

void nv_aml_name_eisaid(struct nv_tables *tables, const char *path, const char *id)
{
    nv_aml_name(tables, path);
    nv_aml_eisaid(tables, id);
}

/*
 * 20.2.4: up to 63 in one byte; otherwise the low four bits and, above them, the number of further
 * bytes, eight bits each. Returns the bytes used, 0 if length is too large.
 */
static size_t encode_length(uint64_t length, uint8_t ret_bytes[PACKAGE_LENGTH_BYTES])
{
    size_t count = 1;

    if (length <= 63) {
        ret_bytes[0] = (uint8_t)length;
        return 1;
    }
    while (length >> (4 + 8 * (count - 1)))
        count++;
    if (count > PACKAGE_LENGTH_BYTES)
        return 0;
    ret_bytes[0] = (uint8_t)((count - 1) << 6 | (length & 15));
    for (size_t i = 1; i < count; i++)
        ret_bytes[i] = (uint8_t)(length >> (4 + 8 * (i - 1)));
    return count;
}

/* The length counts its own bytes, and so may need one more than the body alone. */
void nv_aml_end(struct nv_tables *tables, size_t mark)
{
    uint64_t body = tables->length - mark;
    uint8_t bytes[PACKAGE_LENGTH_BYTES];
    size_t count = 1;

    if (tables->error)
        return;
    while (count <= PACKAGE_LENGTH_BYTES && encode_length(body + count, bytes) != count)
        count++;
    if (mark > tables->length || count > PACKAGE_LENGTH_BYTES) {
        set_invalid(tables);
        return;
    }
    nv_tables_insert(tables, mark, bytes, count);
}

size_t nv_aml_scope(struct nv_tables *tables, const char *path)
{
    size_t mark;

    nv_tables_u8(tables, OP_SCOPE);
    mark = tables->length;
    nv_aml_path(tables, path);
    return mark;
}

size_t nv_aml_device(struct nv_tables *tables, const char *path)
{
    size_t mark;

    nv_tables_u8(tables, OP_EXTENDED);
    nv_tables_u8(tables, OP_DEVICE);
    mark = tables->length;
    nv_aml_path(tables, path);
    return mark;
}

size_t nv_aml_method(struct nv_tables *tables, const char *path, uint8_t arguments, bool serialized)
{
    size_t mark;

    if (arguments > ARGUMENTS_MAX)
        set_invalid(tables);
    nv_tables_u8(tables, OP_METHOD);
    mark = tables->length;
    nv_aml_path(tables, path);
    nv_tables_u8(tables, (uint8_t)(arguments | (serialized ? METHOD_SERIALIZED : 0)));
    return mark;
}

size_t nv_aml_package(struct nv_tables *tables, uint8_t elements)
{
    size_t mark;

    nv_tables_u8(tables, OP_PACKAGE);
    mark = tables->length;
    nv_tables_u8(tables, elements);
    return mark;
}

size_t nv_aml_if(struct nv_tables *tables)
{
    nv_tables_u8(tables, OP_IF);
    return tables->length;
}

size_t nv_aml_field(struct nv_tables *tables, const char *region, uint8_t flags)
{
    size_t mark;

    nv_tables_u8(tables, OP_EXTENDED);
    nv_tables_u8(tables, OP_FIELD);
    mark = tables->length;
    nv_aml_path(tables, region);
    nv_tables_u8(tables, flags);
    return mark;
}

void nv_aml_field_unit(struct nv_tables *tables, const char *name, uint32_t bits)
{
    uint8_t bytes[PACKAGE_LENGTH_BYTES];
    size_t count = encode_length(bits, bytes); /* 20.2.5.2: here it does not count itself */

    if (put_segment(tables, name) != strlen(name) || count == 0) {
        set_invalid(tables);
        return;
    }
    nv_tables_data(tables, bytes, count);
}

void nv_aml_region(struct nv_tables *tables, const char *path, uint8_t space, uint64_t address,
                   uint64_t length)
{
    nv_tables_u8(tables, OP_EXTENDED);
    nv_tables_u8(tables, OP_REGION);
    nv_aml_path(tables, path);
    nv_tables_u8(tables, space);
    nv_aml_integer(tables, address);
    nv_aml_integer(tables, length);
}

size_t nv_aml_resources(struct nv_tables *tables)
{
    nv_tables_u8(tables, OP_BUFFER);
    return tables->length;
}

void nv_aml_resources_end(struct nv_tables *tables, size_t mark)
{
    uint8_t bytes[9];
    struct nv_tables size;

    nv_tables_u16(tables, 0x0079); /* 6.4.2.9: end tag; 0 stands for a right checksum */
    if (tables->error)
        return;
    nv_tables_init(&size, bytes, sizeof(bytes));
    nv_aml_integer(&size, tables->length - mark);
    nv_tables_insert(tables, mark, bytes, size.length);
    nv_aml_end(tables, mark);
}

/* 6.4.2.5: 16-bit decoding, a fixed place. */
void nv_aml_resource_io(struct nv_tables *tables, uint16_t port, uint8_t count)
{
    nv_tables_u8(tables, 0x47);
    nv_tables_u8(tables, 1);
    nv_tables_u16(tables, port);
    nv_tables_u16(tables, port);
    nv_tables_u8(tables, 1);
    nv_tables_u8(tables, count);
}

/* 6.4.3.6: consumer, exclusive, active high. */
void nv_aml_resource_interrupt(struct nv_tables *tables, uint32_t gsi, bool is_level)
{
    nv_tables_u8(tables, 0x89);
    nv_tables_u16(tables, 6); /* bytes that follow */
    nv_tables_u8(tables, is_level ? 0x01 : 0x03);
    nv_tables_u8(tables, 1); /* interrupts */
    nv_tables_u32(tables, gsi);
}

/* 6.4.3.4: read and write. */
void nv_aml_resource_memory32(struct nv_tables *tables, uint32_t address, uint32_t length)
{
    nv_tables_u8(tables, 0x86);
    nv_tables_u16(tables, 9); /* bytes that follow */
    nv_tables_u8(tables, 1);
    nv_tables_u32(tables, address);
    nv_tables_u32(tables, length);
}
