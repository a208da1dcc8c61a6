/* SPDX-License-Identifier: Apache-2.0 */
/* Owns records of saved state: little-endian bytes with a tag, a version and a length. */
#ifndef NV_CORE_RECORD_H
#define NV_CORE_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/error.h"

/*
 * A record is a tag (le32), a version (le32), a length (le64) and so many bytes, which may be
 * records again. Each room writes and reads its own; what a reader does not know it refuses.
 */
#define NV_RECORD(a, b, c, d) \
    ((uint32_t)(a) | (uint32_t)(b) << 8 | (uint32_t)(c) << 16 | (uint32_t)(d) << 24)

enum { NV_RECORD_HEADER = 16 };

/* Bytes being written. Zeroed is empty; the first error sticks, and nothing is written then. */
struct nv_writer {
    uint8_t *bytes;
    size_t length;
    size_t capacity;
    int error; /* 0 or -ENOMEM */
};

void nv_writer_destroy(struct nv_writer *writer);

void nv_write_data(struct nv_writer *writer, const void *data, size_t length);
void nv_write_u8(struct nv_writer *writer, uint8_t value);
void nv_write_u16(struct nv_writer *writer, uint16_t value);
void nv_write_u32(struct nv_writer *writer, uint32_t value);
void nv_write_u64(struct nv_writer *writer, uint64_t value);

/* A length (le32) and the bytes; NULL is written as none, and read as an empty text. */
void nv_write_blob(struct nv_writer *writer, const void *data, size_t length);
void nv_write_text(struct nv_writer *writer, const char *text);

/* Opens a record and returns its mark; end closes it. */
size_t nv_write_begin(struct nv_writer *writer, uint32_t tag, uint32_t version);
void nv_write_end(struct nv_writer *writer, size_t mark);

/* Bytes being read. Behind the end all numbers are 0, and is_bad is set. */
struct nv_reader {
    const uint8_t *bytes;
    size_t left;
    bool is_bad;
};

uint8_t nv_read_u8(struct nv_reader *reader);
uint16_t nv_read_u16(struct nv_reader *reader);
uint32_t nv_read_u32(struct nv_reader *reader);
uint64_t nv_read_u64(struct nv_reader *reader);

/* A byte that is 0 or 1; any other is bad. */
bool nv_read_bool(struct nv_reader *reader);

/* So many bytes where they stand; NULL and is_bad if they are not there. */
const uint8_t *nv_read_data(struct nv_reader *reader, size_t length);

/* A blob: its bytes where they stand and its length; NULL if it is bad. */
const uint8_t *nv_read_blob(struct nv_reader *reader, size_t *ret_length);

/* A blob of exactly length bytes, copied; zeroes and is_bad if it is another. */
void nv_read_exactly(struct nv_reader *reader, void *buffer, size_t length);

/* A text of less than size bytes into buffer; empty and is_bad if it does not fit. */
void nv_read_text(struct nv_reader *reader, char *buffer, size_t size);

/*
 * Enters the next record, which has to have this tag and version. what names it in messages.
 * NESTVIRT_E_BAD_STATE.
 */
int nv_read_begin(struct nv_reader *reader, uint32_t tag, uint32_t version, const char *what,
                  struct nv_reader *ret_body, struct nestvirt_error **ret_error);

/* Refuses a body that was too short or is too long. NESTVIRT_E_BAD_STATE. */
int nv_read_end(const struct nv_reader *body, const char *what, struct nestvirt_error **ret_error);

/* NESTVIRT_E_BAD_STATE with a reason. */
int nv_bad_state(const char *what, const char *reason, struct nestvirt_error **ret_error);

#endif
