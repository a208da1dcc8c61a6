/* SPDX-License-Identifier: Apache-2.0 */
/* Owns small arithmetic: overflow checks, alignment, ranges and little-endian bytes. */
#ifndef NV_CORE_UTIL_H
#define NV_CORE_UTIL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NV_ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))
#define NV_KIB(n) ((uint64_t)(n) << 10)
#define NV_MIB(n) ((uint64_t)(n) << 20)
#define NV_GIB(n) ((uint64_t)(n) << 30)
#define NV_PAGE_SIZE 4096u

#define NV_MIN(a, b) ((a) < (b) ? (a) : (b))
#define NV_MAX(a, b) ((a) > (b) ? (a) : (b))

/* True if a + b does not fit; otherwise *ret_sum is their sum. */
#define nv_add_overflows(a, b, ret_sum) __builtin_add_overflow(a, b, ret_sum)
#define nv_mul_overflows(a, b, ret_product) __builtin_mul_overflow(a, b, ret_product)

static inline bool nv_is_aligned(uint64_t value, uint64_t alignment)
{
    return (value & (alignment - 1)) == 0;
}

static inline uint64_t nv_align_down(uint64_t value, uint64_t alignment)
{
    return value & ~(alignment - 1);
}

/* Rounds up to a power of two; 0 if the result does not fit. */
static inline uint64_t nv_align_up(uint64_t value, uint64_t alignment)
{
    uint64_t sum;

    if (nv_add_overflows(value, alignment - 1, &sum))
        return 0;
    return nv_align_down(sum, alignment);
}

/* True if [offset, offset + length) lies within [0, size). */
static inline bool nv_range_fits(uint64_t offset, uint64_t length, uint64_t size)
{
    return offset <= size && length <= size - offset;
}

/* True if two ranges that do not wrap share a byte; empty ranges share none. */
static inline bool nv_ranges_overlap(uint64_t a, uint64_t a_length, uint64_t b, uint64_t b_length)
{
    if (a_length == 0 || b_length == 0)
        return false;
    return a <= b ? b - a < a_length : a - b < b_length;
}

/* Counts up what others read at any time, as the counters among the properties. */
static inline void nv_count(uint64_t *counter, uint64_t more)
{
    __atomic_fetch_add(counter, more, __ATOMIC_RELAXED);
}

static inline uint16_t nv_get_le16(const void *bytes)
{
    const uint8_t *b = bytes;

    return (uint16_t)(b[0] | b[1] << 8);
}

static inline uint32_t nv_get_le32(const void *bytes)
{
    const uint8_t *b = bytes;

    return (uint32_t)nv_get_le16(b) | (uint32_t)nv_get_le16(b + 2) << 16;
}

static inline uint64_t nv_get_le64(const void *bytes)
{
    const uint8_t *b = bytes;

    return (uint64_t)nv_get_le32(b) | (uint64_t)nv_get_le32(b + 4) << 32;
}

static inline void nv_put_le16(void *bytes, uint16_t value)
{
    uint8_t *b = bytes;

    b[0] = (uint8_t)value;
    b[1] = (uint8_t)(value >> 8);
}

static inline void nv_put_le32(void *bytes, uint32_t value)
{
    uint8_t *b = bytes;

    nv_put_le16(b, (uint16_t)value);
    nv_put_le16(b + 2, (uint16_t)(value >> 16));
}

static inline void nv_put_le64(void *bytes, uint64_t value)
{
    uint8_t *b = bytes;

    nv_put_le32(b, (uint32_t)value);
    nv_put_le32(b + 4, (uint32_t)(value >> 32));
}

#endif
