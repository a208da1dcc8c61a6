/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the writer and the reader of records of saved state. */
#include "core/record.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/util.h"

void nv_writer_destroy(struct nv_writer *writer)
{
    free(writer->bytes);
    *writer = (struct nv_writer){ 0 };
}

/* Room for more bytes at the end; NULL after an error. */
static uint8_t *extend(struct nv_writer *writer, size_t more)
{
    enum { FIRST = 4096 };
    size_t wanted = writer->length + more;
    uint8_t *at;

    if (writer->error)
        return NULL;
    if (wanted > writer->capacity) {
        size_t capacity = NV_MAX(NV_MAX(2 * writer->capacity, wanted), (size_t)FIRST);
        uint8_t *grown = realloc(writer->bytes, capacity);

        if (!grown) {
            writer->error = -ENOMEM;
            return NULL;
        }
        writer->bytes = grown;
        writer->capacity = capacity;
    }
    at = writer->bytes + writer->length;
    writer->length = wanted;
    return at;
}

void nv_write_data(struct nv_writer *writer, const void *data, size_t length)
{
    uint8_t *at = extend(writer, length);

    if (at && length)
        memcpy(at, data, length);
}

void nv_write_u8(struct nv_writer *writer, uint8_t value)
{
    nv_write_data(writer, &value, sizeof(value));
}

void nv_write_u16(struct nv_writer *writer, uint16_t value)
{
    uint8_t *at = extend(writer, sizeof(value));

    if (at)
        nv_put_le16(at, value);
}

void nv_write_u32(struct nv_writer *writer, uint32_t value)
{
    uint8_t *at = extend(writer, sizeof(value));

    if (at)
        nv_put_le32(at, value);
}

void nv_write_u64(struct nv_writer *writer, uint64_t value)
{
    uint8_t *at = extend(writer, sizeof(value));

    if (at)
        nv_put_le64(at, value);
}

void nv_write_blob(struct nv_writer *writer, const void *data, size_t length)
{
    nv_write_u32(writer, (uint32_t)length);
    nv_write_data(writer, data, length);
}

void nv_write_text(struct nv_writer *writer, const char *text)
{
    nv_write_blob(writer, text, text ? strlen(text) : 0);
}

size_t nv_write_begin(struct nv_writer *writer, uint32_t tag, uint32_t version)
{
    nv_write_u32(writer, tag);
    nv_write_u32(writer, version);
    nv_write_u64(writer, 0);
    return writer->length;
}

void nv_write_end(struct nv_writer *writer, size_t mark)
{
    if (!writer->error)
        nv_put_le64(writer->bytes + mark - 8, writer->length - mark);
}

const uint8_t *nv_read_data(struct nv_reader *reader, size_t length)
{
    const uint8_t *at = reader->bytes;

    if (reader->is_bad || length > reader->left) {
        reader->is_bad = true;
        return NULL;
    }
    reader->bytes += length;
    reader->left -= length;
    return at;
}

uint8_t nv_read_u8(struct nv_reader *reader)
{
    const uint8_t *at = nv_read_data(reader, 1);

    return at ? *at : 0;
}

uint16_t nv_read_u16(struct nv_reader *reader)
{
    const uint8_t *at = nv_read_data(reader, 2);

    return at ? nv_get_le16(at) : 0;
}

uint32_t nv_read_u32(struct nv_reader *reader)
{
    const uint8_t *at = nv_read_data(reader, 4);

    return at ? nv_get_le32(at) : 0;
}

uint64_t nv_read_u64(struct nv_reader *reader)
{
    const uint8_t *at = nv_read_data(reader, 8);

    return at ? nv_get_le64(at) : 0;
}

bool nv_read_bool(struct nv_reader *reader)
{
    uint8_t value = nv_read_u8(reader);

    if (value > 1)
        reader->is_bad = true;
    return value == 1;
}

const uint8_t *nv_read_blob(struct nv_reader *reader, size_t *ret_length)
{
    uint32_t length = nv_read_u32(reader);

    *ret_length = reader->is_bad ? 0 : length;
    return nv_read_data(reader, length);
}

void nv_read_exactly(struct nv_reader *reader, void *buffer, size_t length)
{
    size_t found;
    const uint8_t *at = nv_read_blob(reader, &found);

    if (at && found == length) {
        memcpy(buffer, at, length);
        return;
    }
    memset(buffer, 0, length);
    reader->is_bad = true;
}

void nv_read_text(struct nv_reader *reader, char *buffer, size_t size)
{
    size_t length;
    const uint8_t *at = nv_read_blob(reader, &length);

    buffer[0] = '\0';
    if (!at || length >= size || memchr(at, '\0', length)) {
        reader->is_bad = true;
        return;
    }
    memcpy(buffer, at, length);
    buffer[length] = '\0';
}

int nv_bad_state(const char *what, const char *reason, struct nestvirt_error **ret_error)
{
    return nv_fail(ret_error, NESTVIRT_E_BAD_STATE, what,
                   "save it again, with a library that is not newer than this one", "%s", reason);
}

int nv_read_begin(struct nv_reader *reader, uint32_t tag, uint32_t version, const char *what,
                  struct nv_reader *ret_body, struct nestvirt_error **ret_error)
{
    uint32_t found = nv_read_u32(reader);
    uint32_t its_version = nv_read_u32(reader);
    uint64_t length = nv_read_u64(reader);
    const uint8_t *body;

    if (reader->is_bad || found != tag)
        return nv_bad_state(what, "its record is missing", ret_error);
    if (its_version != version)
        return nv_bad_state(what, "its record is of a version that is not known", ret_error);
    body = nv_read_data(reader, length);
    if (!body)
        return nv_bad_state(what, "its record is cut off", ret_error);
    *ret_body = (struct nv_reader){ .bytes = body, .left = length };
    return 0;
}

int nv_read_end(const struct nv_reader *body, const char *what, struct nestvirt_error **ret_error)
{
    if (body->is_bad)
        return nv_bad_state(what, "its record holds a value that cannot be", ret_error);
    if (body->left > 0)
        return nv_bad_state(what, "its record is too long", ret_error);
    return 0;
}
