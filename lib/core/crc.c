/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the computation of CRC-32. */
#include "core/crc.h"

#include "core/util.h"

#define POLYNOMIAL 0xedb88320u /* bits reversed */

void nv_crc_init(struct nv_crc *crc)
{
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t value = i;

        for (int bit = 0; bit < 8; bit++)
            value = value >> 1 ^ (value & 1 ? POLYNOMIAL : 0);
        crc->table[0][i] = value;
    }
    for (uint32_t i = 0; i < 256; i++)
        for (int k = 1; k < 8; k++)
            crc->table[k][i] =
                crc->table[k - 1][i] >> 8 ^ crc->table[0][crc->table[k - 1][i] & 0xff];
}

uint32_t nv_crc_add(const struct nv_crc *crc, uint32_t before, const void *bytes, size_t length)
{
    const uint8_t *at = bytes;
    uint32_t value = ~before;

    for (; length >= 8; length -= 8, at += 8) {
        uint32_t low = nv_get_le32(at) ^ value;
        uint32_t high = nv_get_le32(at + 4);

        value = crc->table[7][low & 0xff] ^ crc->table[6][low >> 8 & 0xff] ^
                crc->table[5][low >> 16 & 0xff] ^ crc->table[4][low >> 24] ^
                crc->table[3][high & 0xff] ^ crc->table[2][high >> 8 & 0xff] ^
                crc->table[1][high >> 16 & 0xff] ^ crc->table[0][high >> 24];
    }
    for (; length > 0; length--, at++)
        value = value >> 8 ^ crc->table[0][(value ^ *at) & 0xff];
    return ~value;
}
