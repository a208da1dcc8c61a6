/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the packing of payloads for tests, with the real libraries. */
#include <stdlib.h>
#include <string.h>

#include "core/util.h"
#include "image.h"

#if NV_HAVE_ZLIB
#include <zlib.h>
#endif
#if NV_HAVE_LZ4
#include <lz4.h>
#endif
#if NV_HAVE_ZSTD
#include <zstd.h>
#endif
#if NV_HAVE_XZ
#include <lzma.h>
#endif

const char *const packing_names[PACKINGS] = { "gzip", "lz4", "zstd", "xz" };

/* Room for any codec's worst case. Unused when every codec is off. */
__attribute__((unused)) static struct image new_output(const struct image *content)
{
    return image_new(content->size + content->size / 16 + 4096);
}

__attribute__((unused)) static void append_word(struct image *image, uint32_t word)
{
    image_resize(image, image->size + 4);
    image_put32(image, image->size - 4, word);
}

#if NV_HAVE_ZLIB
static struct image pack_gzip(const struct image *content)
{
    struct image out = new_output(content);
    z_stream stream = { .next_in = content->bytes,
                        .avail_in = (uInt)content->size,
                        .next_out = out.bytes,
                        .avail_out = (uInt)out.size };

    image_require(deflateInit2(&stream, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) == Z_OK,
                  "deflateInit2");
    image_require(deflate(&stream, Z_FINISH) == Z_STREAM_END, "deflate");
    image_resize(&out, stream.total_out);
    deflateEnd(&stream);
    /* gzip ends with the size already */
    return out;
}
#else
static struct image pack_gzip(const struct image *content)
{
    return image_new(0);
}
#endif

#if NV_HAVE_LZ4
static struct image pack_lz4(const struct image *content)
{
    enum { BLOCK = 8 << 20 };
    struct image out = image_new(0);

    append_word(&out, 0x184c2102);
    for (size_t at = 0; at < content->size; at += BLOCK) {
        int size = (int)NV_MIN(content->size - at, (size_t)BLOCK);
        int bound = LZ4_compressBound(size);
        size_t start = out.size + 4;
        int packed;

        append_word(&out, 0);
        image_resize(&out, start + (size_t)bound);
        packed = LZ4_compress_default((const char *)content->bytes + at, (char *)out.bytes + start,
                                      size, bound);
        image_require(packed > 0, "LZ4_compress_default");
        image_put32(&out, start - 4, (uint32_t)packed);
        image_resize(&out, start + (size_t)packed);
    }
    append_word(&out, (uint32_t)content->size);
    return out;
}
#else
static struct image pack_lz4(const struct image *content)
{
    return image_new(0);
}
#endif

#if NV_HAVE_ZSTD
static struct image pack_zstd(const struct image *content)
{
    struct image out = new_output(content);
    size_t size = ZSTD_compress(out.bytes, out.size, content->bytes, content->size, 3);

    image_require(!ZSTD_isError(size), "ZSTD_compress");
    image_resize(&out, size);
    append_word(&out, (uint32_t)content->size);
    return out;
}
#else
static struct image pack_zstd(const struct image *content)
{
    return image_new(0);
}
#endif

#if NV_HAVE_XZ
static struct image pack_xz(const struct image *content)
{
    struct image out = new_output(content);
    size_t size = 0;

    image_require(lzma_easy_buffer_encode(1, LZMA_CHECK_CRC32, NULL, content->bytes, content->size,
                                          out.bytes, &size, out.size) == LZMA_OK,
                  "lzma_easy_buffer_encode");
    image_resize(&out, size);
    append_word(&out, (uint32_t)content->size);
    return out;
}
#else
static struct image pack_xz(const struct image *content)
{
    return image_new(0);
}
#endif

struct image image_pack(enum packing packing, const struct image *content)
{
    static struct image (*const packers[PACKINGS])(const struct image *) = { pack_gzip, pack_lz4,
                                                                             pack_zstd, pack_xz };

    return packers[packing](content);
}

bool image_has_packing(enum packing packing)
{
    static const bool has[PACKINGS] = { NV_HAVE_ZLIB, NV_HAVE_LZ4, NV_HAVE_ZSTD, NV_HAVE_XZ };

    return has[packing];
}
