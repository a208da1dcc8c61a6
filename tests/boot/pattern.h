/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the bytes that guests and tests send each other, and their checksum; needs no C library. */
#ifndef TESTS_BOOT_PATTERN_H
#define TESTS_BOOT_PATTERN_H

#include <stddef.h>
#include <stdint.h>

/* Word number `index` of a pattern: each differs, and none compresses. */
static inline uint64_t pattern_word(uint64_t seed, uint64_t index)
{
    uint64_t z = (seed << 40) + (index + 1) * 0x9e3779b97f4a7c15ull;

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return z ^ (z >> 31);
}

/* The bytes of a pattern from `offset` on; offset and length are multiples of 8. */
static inline void pattern_fill(void *bytes, size_t length, uint64_t seed, uint64_t offset)
{
    uint64_t *words = bytes;
    size_t i;

    for (i = 0; i < length / 8; i++)
        words[i] = pattern_word(seed, offset / 8 + i);
}

/* CRC-32 as of zip and Ethernet; begins with 0 and goes on with its own result. */
static inline uint32_t pattern_sum(uint32_t sum, const void *bytes, size_t length)
{
    static uint32_t table[256];
    const uint8_t *at = bytes;
    uint32_t i, bit, value;

    for (i = 0; i < 256 && !table[255]; i++) {
        for (value = i, bit = 0; bit < 8; bit++)
            value = value >> 1 ^ (value & 1 ? 0xedb88320u : 0);
        table[i] = value;
    }
    sum = ~sum;
    while (length--)
        sum = sum >> 8 ^ table[(sum ^ *at++) & 0xff];
    return ~sum;
}

#endif
