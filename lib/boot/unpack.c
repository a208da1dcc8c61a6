/* SPDX-License-Identifier: Apache-2.0 */
/* Owns unpacking: which format, and the codecs, whose libraries are loaded only when needed. */
#include "boot/unpack.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/util.h"

/* What meson compiled in: NV_HAVE_* is 0 or 1. */
#if NV_HAVE_ZLIB
#define GZIP (&nv_unpack_gzip)
#else
#define GZIP NULL
#endif
#if NV_HAVE_LZ4
#define LZ4 (&nv_unpack_lz4)
#else
#define LZ4 NULL
#endif
#if NV_HAVE_ZSTD
#define ZSTD (&nv_unpack_zstd)
#else
#define ZSTD NULL
#endif
#if NV_HAVE_XZ
#define XZ (&nv_unpack_xz)
#else
#define XZ NULL
#endif

enum { FIRST_CAPACITY = 1 << 20, MAGIC_MAX = 6 };

/* Formats that kernels are packed with, by their first bytes. */
static const struct format {
    const char *name;
    const struct nv_unpacker *unpacker; /* NULL: not here */
    uint8_t magic_size;
    uint8_t magic[MAGIC_MAX];
} formats[] = {
    { "gzip", GZIP, 2, { 0x1f, 0x8b } },
    { "lz4", LZ4, 4, { 0x02, 0x21, 0x4c, 0x18 } },
    { "zstd", ZSTD, 4, { 0x28, 0xb5, 0x2f, 0xfd } },
    { "xz", XZ, 6, { 0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00 } },
    { "bzip2", NULL, 3, { 0x42, 0x5a, 0x68 } },
    { "lzma", NULL, 3, { 0x5d, 0x00, 0x00 } },
    { "lzo", NULL, 4, { 0x89, 0x4c, 0x5a, 0x4f } },
};

static int fail_limit(const struct nv_unpack_buffer *out, struct nestvirt_error **ret_error)
{
    return nv_fail(ret_error, -E2BIG, NV_PAYLOAD_NAME, "give the VM more memory",
                   "unpacks to more than 0x%zx bytes", out->limit);
}

int nv_unpack_grow(struct nv_unpack_buffer *out, size_t wanted, struct nestvirt_error **ret_error)
{
    size_t capacity = NV_MAX(2 * out->capacity, (size_t)FIRST_CAPACITY);
    uint8_t *bytes;

    if (out->size > out->limit)
        return fail_limit(out, ret_error);
    if (wanted <= out->capacity - out->size)
        return 0;
    /* Beyond the limit by what is wanted at most: only then is it known that it does not do. */
    capacity = NV_MAX(NV_MIN(capacity, out->limit), out->size + wanted);
    bytes = realloc(out->bytes, capacity);
    if (!bytes)
        return nv_fail(ret_error, -ENOMEM, NV_PAYLOAD_NAME, "free memory on the host",
                       "out of memory for 0x%zx unpacked bytes", capacity);
    out->bytes = bytes;
    out->capacity = capacity;
    return 0;
}

int nv_unpack_fail(const char *format, const char *detail, struct nestvirt_error **ret_error)
{
    return nv_fail(ret_error, -ENOEXEC, NV_PAYLOAD_NAME, "give the whole, unchanged kernel",
                   "the %s data is damaged%s%s%s", format, detail ? " (" : "", detail ? detail : "",
                   detail ? ")" : "");
}

static const struct format *find_format(const uint8_t *packed, size_t packed_size)
{
    for (size_t i = 0; i < NV_ARRAY_SIZE(formats); i++)
        if (packed_size >= formats[i].magic_size &&
            memcmp(packed, formats[i].magic, formats[i].magic_size) == 0)
            return &formats[i];
    return NULL;
}

/* Opens the library of a codec and finds its functions; NULL if any of it is missing. */
static void *open_library(const struct nv_unpacker *unpacker, void *symbols[NV_SYMBOLS_MAX])
{
    void *library = dlopen(unpacker->library, RTLD_NOW | RTLD_LOCAL);

    if (!library)
        return NULL;
    for (size_t i = 0; i < NV_SYMBOLS_MAX && unpacker->symbols[i]; i++) {
        symbols[i] = dlsym(library, unpacker->symbols[i]);
        if (!symbols[i]) {
            dlclose(library);
            return NULL;
        }
    }
    return library;
}

static int run_unpacker(const struct format *format, const uint8_t *packed, size_t packed_size,
                        struct nv_unpack_buffer *out, struct nestvirt_error **ret_error)
{
    void *symbols[NV_SYMBOLS_MAX] = { NULL };
    void *library;
    int r;

    if (!format->unpacker)
        return nv_fail(ret_error, -ENOTSUP, NV_PAYLOAD_NAME, "pack it with gzip, lz4, zstd or xz",
                       "is packed with %s, which this build of the library cannot unpack",
                       format->name);
    library = open_library(format->unpacker, symbols);
    if (!library)
        return nv_fail(ret_error, -ENOTSUP, NV_PAYLOAD_NAME, "install that library",
                       "is packed with %s, and %s cannot be loaded", format->name,
                       format->unpacker->library);
    r = format->unpacker->unpack(symbols, packed, packed_size, out, ret_error);
    dlclose(library);
    return r;
}

int nv_unpack(const uint8_t *packed, size_t packed_size, size_t limit, uint8_t **ret_bytes,
              size_t *ret_size, struct nestvirt_error **ret_error)
{
    const struct format *format = find_format(packed, packed_size);
    struct nv_unpack_buffer out = { .limit = limit };
    int r;

    if (!format)
        return nv_fail(ret_error, -ENOTSUP, NV_PAYLOAD_NAME, "pack it with gzip, lz4, zstd or xz",
                       "is packed in an unknown format");
    r = run_unpacker(format, packed, packed_size, &out, ret_error);
    if (r == 0 && out.size > limit)
        r = fail_limit(&out, ret_error);
    if (r < 0) {
        free(out.bytes);
        return r;
    }
    *ret_bytes = out.bytes;
    *ret_size = out.size;
    return 0;
}
