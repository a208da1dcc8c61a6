/* SPDX-License-Identifier: Apache-2.0 */
/* Owns unpacking of lz4 in its legacy frame format, which kernels use, by liblz4. */
#include <lz4.h>

#include "boot/unpack.h"
#include "core/util.h"

enum {
    DECOMPRESS,
    BLOCK_SIZE = 8 << 20, /* unpacked, of every block but the last */
    WORD = 4              /* each block stands behind its packed size */
};

static const uint32_t FRAME_MAGIC = 0x184c2102;

static int unpack_block(void *const symbols[], const uint8_t *packed, uint32_t packed_size,
                        struct nv_unpack_buffer *out, struct nestvirt_error **ret_error)
{
    __typeof__(&LZ4_decompress_safe) decompress = symbols[DECOMPRESS];
    int r = nv_unpack_grow(out, BLOCK_SIZE, ret_error);
    int n;

    if (r < 0)
        return r;
    n = decompress((const char *)packed, (char *)out->bytes + out->size, (int)packed_size,
                   BLOCK_SIZE);
    if (n < 0)
        return nv_unpack_fail("lz4", NULL, ret_error);
    out->size += (size_t)n;
    return 0;
}

static int unpack_lz4(void *const symbols[], const uint8_t *packed, size_t packed_size,
                      struct nv_unpack_buffer *out, struct nestvirt_error **ret_error)
{
    /* The caller saw the magic number. Linux appends the unpacked size as one more word. */
    packed += WORD;
    packed_size -= WORD;
    while (packed_size > WORD) {
        uint32_t block = nv_get_le32(packed);
        int r;

        packed += WORD;
        packed_size -= WORD;
        if (block == FRAME_MAGIC)
            continue;
        if (block == 0 || block > packed_size || block > (uint32_t)LZ4_COMPRESSBOUND(BLOCK_SIZE))
            return nv_unpack_fail("lz4", "it ends early", ret_error);
        r = unpack_block(symbols, packed, block, out, ret_error);
        if (r < 0)
            return r;
        packed += block;
        packed_size -= block;
    }
    return 0;
}

const struct nv_unpacker nv_unpack_lz4 = {
    .library = "liblz4.so.1",
    .symbols = { [DECOMPRESS] = "LZ4_decompress_safe" },
    .unpack = unpack_lz4,
};
