/* SPDX-License-Identifier: Apache-2.0 */
/* Owns unpacking: which format, and the codecs, whose libraries are loaded only when needed. */
#ifndef NV_BOOT_UNPACK_H
#define NV_BOOT_UNPACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/error.h"

/* The object in messages. */
#define NV_PAYLOAD_NAME "kernel payload"

/* Unpacked bytes, growing up to a limit. */
struct nv_unpack_buffer {
    uint8_t *bytes;
    size_t size;     /* bytes that are there */
    size_t capacity; /* bytes allocated */
    size_t limit;    /* of size; capacity exceeds it by one request at most */
};

enum { NV_SYMBOLS_MAX = 4 };

/* A codec. unpack adds to out: -ENOEXEC for damaged data, -ENOMEM, or what growing says. */
struct nv_unpacker {
    const char *library; /* file name with version, for dlopen */
    const char *symbols[NV_SYMBOLS_MAX];
    int (*unpack)(void *const symbols[], const uint8_t *packed, size_t packed_size,
                  struct nv_unpack_buffer *out, struct nestvirt_error **ret_error);
};

extern const struct nv_unpacker nv_unpack_gzip;
extern const struct nv_unpacker nv_unpack_lz4;
extern const struct nv_unpacker nv_unpack_zstd;
extern const struct nv_unpacker nv_unpack_xz;

/* Makes room for wanted bytes. -E2BIG when more than the limit is there already, -ENOMEM. */
int nv_unpack_grow(struct nv_unpack_buffer *out, size_t wanted, struct nestvirt_error **ret_error);

/* For codecs: damaged data; detail is the library's word for it, or NULL. -ENOEXEC. */
int nv_unpack_fail(const char *format, const char *detail, struct nestvirt_error **ret_error);

/*
 * Unpacks by what the first bytes say, to at most limit bytes; the caller frees them.
 * -ENOTSUP when the format is unknown, compiled out, or its library is missing.
 */
int nv_unpack(const uint8_t *packed, size_t packed_size, size_t limit, uint8_t **ret_bytes,
              size_t *ret_size, struct nestvirt_error **ret_error);

#endif
