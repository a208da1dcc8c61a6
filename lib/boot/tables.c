/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the bounded byte writer and the checksum that all firmware tables are made with. */
#include "boot/tables.h"

#include <errno.h>
#include <string.h>

#include "core/util.h"

void nv_tables_init(struct nv_tables *tables, uint8_t *bytes, size_t size)
{
    *tables = (struct nv_tables){ .bytes = bytes, .size = size };
}

/* Room for length more bytes, or NULL. */
static uint8_t *take(struct nv_tables *tables, size_t length)
{
    uint8_t *room = tables->bytes + tables->length;

    if (tables->error)
        return NULL;
    if (!nv_range_fits(tables->length, length, tables->size)) {
        tables->error = -E2BIG;
        return NULL;
    }
    tables->length += length;
    return room;
}

/* The length bytes that were written at offset, or NULL. */
static uint8_t *written(struct nv_tables *tables, size_t offset, size_t length)
{
    if (tables->error)
        return NULL;
    if (!nv_range_fits(offset, length, tables->length)) {
        tables->error = -EINVAL;
        return NULL;
    }
    return tables->bytes + offset;
}

void nv_tables_data(struct nv_tables *tables, const void *data, size_t length)
{
    uint8_t *room = take(tables, length);

    if (room)
        memcpy(room, data, length);
}

void nv_tables_zero(struct nv_tables *tables, size_t length)
{
    uint8_t *room = take(tables, length);

    if (room)
        memset(room, 0, length);
}

void nv_tables_u8(struct nv_tables *tables, uint8_t value)
{
    nv_tables_data(tables, &value, sizeof(value));
}

void nv_tables_u16(struct nv_tables *tables, uint16_t value)
{
    uint8_t bytes[2];

    nv_put_le16(bytes, value);
    nv_tables_data(tables, bytes, sizeof(bytes));
}

void nv_tables_u32(struct nv_tables *tables, uint32_t value)
{
    uint8_t bytes[4];

    nv_put_le32(bytes, value);
    nv_tables_data(tables, bytes, sizeof(bytes));
}

void nv_tables_u64(struct nv_tables *tables, uint64_t value)
{
    uint8_t bytes[8];

    nv_put_le64(bytes, value);
    nv_tables_data(tables, bytes, sizeof(bytes));
}

void nv_tables_text(struct nv_tables *tables, const char *text, size_t width)
{
    size_t length = strlen(text);
    uint8_t *room;

    if (length > width) {
        tables->error = tables->error ? tables->error : -EINVAL;
        return;
    }
    room = take(tables, width);
    if (!room)
        return;
    memset(room, ' ', width);
    memcpy(room, text, length);
}

void nv_tables_align(struct nv_tables *tables, size_t alignment)
{
    nv_tables_zero(tables, nv_align_up(tables->length, alignment) - tables->length);
}

void nv_tables_insert(struct nv_tables *tables, size_t offset, const void *data, size_t length)
{
    size_t behind = tables->length - offset;
    uint8_t *place = offset <= tables->length ? written(tables, offset, behind) : NULL;

    if (!place) {
        tables->error = tables->error ? tables->error : -EINVAL;
        return;
    }
    if (!take(tables, length))
        return;
    memmove(place + length, place, behind);
    memcpy(place, data, length);
}

void nv_tables_set_u16(struct nv_tables *tables, size_t offset, uint16_t value)
{
    uint8_t *place = written(tables, offset, sizeof(value));

    if (place)
        nv_put_le16(place, value);
}

void nv_tables_set_u32(struct nv_tables *tables, size_t offset, uint32_t value)
{
    uint8_t *place = written(tables, offset, sizeof(value));

    if (place)
        nv_put_le32(place, value);
}

void nv_tables_set_u64(struct nv_tables *tables, size_t offset, uint64_t value)
{
    uint8_t *place = written(tables, offset, sizeof(value));

    if (place)
        nv_put_le64(place, value);
}

void nv_tables_checksum(struct nv_tables *tables, size_t start, size_t length, size_t where)
{
    const uint8_t *table = written(tables, start, length);
    uint8_t *place = written(tables, where, 1);
    uint8_t sum = 0;

    if (!table || !place)
        return;
    for (size_t i = 0; i < length; i++)
        sum = (uint8_t)(sum + table[i]);
    *place = (uint8_t)(*place - sum);
}

uint8_t nv_tables_ioapic_id(const struct nv_boot_machine *machine)
{
    /* With xAPICs the ids of IOAPICs are a space of their own, so 0 is as good as any. */
    return machine->vcpus <= NV_TABLES_APIC_ID_MAX ? (uint8_t)machine->vcpus : 0;
}

bool nv_tables_is_level(const struct nv_boot_machine *machine, uint32_t pin)
{
    return pin < NV_TABLES_PINS && (machine->level_pins >> pin & 1);
}
