/* SPDX-License-Identifier: Apache-2.0 */
/* Owns unpacking of gzip, by zlib. */
#include <errno.h>
#include <limits.h>
#include <zlib.h>

#include "boot/unpack.h"
#include "core/util.h"

enum {
    INIT,
    INFLATE,
    END,
    GZIP_WINDOW = 15 + 16 /* the largest window, in a gzip wrapper */
};

static int inflate_all(void *const symbols[], z_stream *stream, struct nv_unpack_buffer *out,
                       struct nestvirt_error **ret_error)
{
    __typeof__(&inflate) run = symbols[INFLATE];
    int status = Z_OK;

    while (status != Z_STREAM_END) {
        size_t room;
        int r = nv_unpack_grow(out, 1, ret_error);

        if (r < 0)
            return r;
        room = NV_MIN(out->capacity - out->size, (size_t)UINT_MAX);
        stream->next_out = out->bytes + out->size;
        stream->avail_out = (uInt)room;
        status = run(stream, Z_NO_FLUSH);
        out->size += room - stream->avail_out;
        if (status == Z_BUF_ERROR || (status == Z_OK && stream->avail_out != 0))
            return nv_unpack_fail("gzip", "it ends early", ret_error);
        if (status != Z_OK && status != Z_STREAM_END)
            return nv_unpack_fail("gzip", stream->msg, ret_error);
    }
    return 0;
}

static int unpack_gzip(void *const symbols[], const uint8_t *packed, size_t packed_size,
                       struct nv_unpack_buffer *out, struct nestvirt_error **ret_error)
{
    __typeof__(&inflateInit2_) init = symbols[INIT];
    __typeof__(&inflateEnd) end = symbols[END];
    z_stream stream = { .next_in = (Bytef *)packed };
    int r;

    if (packed_size > UINT_MAX)
        return nv_unpack_fail("gzip", "it is too long", ret_error);
    stream.avail_in = (uInt)packed_size;
    if (init(&stream, GZIP_WINDOW, ZLIB_VERSION, (int)sizeof(stream)) != Z_OK)
        return nv_fail(ret_error, -ENOMEM, NV_PAYLOAD_NAME, "free memory on the host",
                       "zlib could not be set up");
    r = inflate_all(symbols, &stream, out, ret_error);
    end(&stream);
    return r;
}

const struct nv_unpacker nv_unpack_gzip = {
    .library = "libz.so.1",
    .symbols = { [INIT] = "inflateInit2_", [INFLATE] = "inflate", [END] = "inflateEnd" },
    .unpack = unpack_gzip,
};
