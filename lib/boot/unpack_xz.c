/* SPDX-License-Identifier: Apache-2.0 */
/* Owns unpacking of xz, by liblzma. */
#include <errno.h>
#include <lzma.h>

#include "boot/unpack.h"
#include "core/util.h"

enum { INIT, CODE, END };

/* For the dictionary, which the file chooses: Linux uses at most 128 MiB. */
static const uint64_t MEMORY_LIMIT = NV_MIB(160);

static int unpack_stream(void *const symbols[], lzma_stream *stream, struct nv_unpack_buffer *out,
                         struct nestvirt_error **ret_error)
{
    __typeof__(&lzma_code) code = symbols[CODE];
    lzma_ret status = LZMA_OK;

    while (status != LZMA_STREAM_END) {
        int r = nv_unpack_grow(out, 1, ret_error);

        if (r < 0)
            return r;
        stream->next_out = out->bytes + out->size;
        stream->avail_out = out->capacity - out->size;
        status = code(stream, LZMA_RUN);
        out->size = out->capacity - stream->avail_out;
        if (status == LZMA_MEM_ERROR)
            return nv_fail(ret_error, -ENOMEM, NV_PAYLOAD_NAME, "free memory on the host",
                           "out of memory in liblzma");
        if (status == LZMA_MEMLIMIT_ERROR)
            return nv_fail(ret_error, -E2BIG, NV_PAYLOAD_NAME, "pack it with a smaller dictionary",
                           "needs more than 0x%llx bytes to unpack xz",
                           (unsigned long long)MEMORY_LIMIT);
        if (status == LZMA_BUF_ERROR || (status == LZMA_OK && stream->avail_out != 0))
            return nv_unpack_fail("xz", "it ends early", ret_error);
        if (status != LZMA_OK && status != LZMA_STREAM_END)
            return nv_unpack_fail("xz", NULL, ret_error);
    }
    return 0;
}

static int unpack_xz(void *const symbols[], const uint8_t *packed, size_t packed_size,
                     struct nv_unpack_buffer *out, struct nestvirt_error **ret_error)
{
    __typeof__(&lzma_stream_decoder) init = symbols[INIT];
    __typeof__(&lzma_end) end = symbols[END];
    lzma_stream stream = LZMA_STREAM_INIT;
    int r;

    if (init(&stream, MEMORY_LIMIT, 0) != LZMA_OK)
        return nv_fail(ret_error, -ENOMEM, NV_PAYLOAD_NAME, "free memory on the host",
                       "liblzma could not be set up");
    stream.next_in = packed;
    stream.avail_in = packed_size;
    r = unpack_stream(symbols, &stream, out, ret_error);
    end(&stream);
    return r;
}

const struct nv_unpacker nv_unpack_xz = {
    .library = "liblzma.so.5",
    .symbols = { [INIT] = "lzma_stream_decoder", [CODE] = "lzma_code", [END] = "lzma_end" },
    .unpack = unpack_xz,
};
