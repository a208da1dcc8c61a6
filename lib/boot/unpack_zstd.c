/* SPDX-License-Identifier: Apache-2.0 */
/* Owns unpacking of zstd, by libzstd. */
#include <errno.h>
#include <zstd.h>

#include "boot/unpack.h"

enum { CREATE, FREE, DECOMPRESS, IS_ERROR };

static int unpack_stream(void *const symbols[], ZSTD_DStream *stream, const uint8_t *packed,
                         size_t packed_size, struct nv_unpack_buffer *out,
                         struct nestvirt_error **ret_error)
{
    __typeof__(&ZSTD_decompressStream) decompress = symbols[DECOMPRESS];
    __typeof__(&ZSTD_isError) is_error = symbols[IS_ERROR];
    ZSTD_inBuffer in = { .src = packed, .size = packed_size };
    size_t status = 1;

    /* 0: one frame is complete; what follows is Linux's size word */
    while (status != 0) {
        ZSTD_outBuffer piece;
        int r = nv_unpack_grow(out, 1, ret_error);

        if (r < 0)
            return r;
        piece = (ZSTD_outBuffer){ .dst = out->bytes, .size = out->capacity, .pos = out->size };
        status = decompress(stream, &piece, &in);
        if (is_error(status))
            return nv_unpack_fail("zstd", NULL, ret_error);
        out->size = piece.pos;
        if (status != 0 && in.pos == in.size && piece.pos < piece.size)
            return nv_unpack_fail("zstd", "it ends early", ret_error);
    }
    return 0;
}

static int unpack_zstd(void *const symbols[], const uint8_t *packed, size_t packed_size,
                       struct nv_unpack_buffer *out, struct nestvirt_error **ret_error)
{
    __typeof__(&ZSTD_createDStream) create = symbols[CREATE];
    __typeof__(&ZSTD_freeDStream) release = symbols[FREE];
    ZSTD_DStream *stream = create();
    int r;

    if (!stream)
        return nv_fail(ret_error, -ENOMEM, NV_PAYLOAD_NAME, "free memory on the host",
                       "libzstd could not be set up");
    r = unpack_stream(symbols, stream, packed, packed_size, out, ret_error);
    release(stream);
    return r;
}

const struct nv_unpacker nv_unpack_zstd = {
    .library = "libzstd.so.1",
    .symbols = { [CREATE] = "ZSTD_createDStream",
                 [FREE] = "ZSTD_freeDStream",
                 [DECOMPRESS] = "ZSTD_decompressStream",
                 [IS_ERROR] = "ZSTD_isError" },
    .unpack = unpack_zstd,
};
