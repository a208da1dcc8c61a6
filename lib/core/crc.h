/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the checksum of saved state: CRC-32 (IEEE 802.3), as zlib's crc32(). */
#ifndef NV_CORE_CRC_H
#define NV_CORE_CRC_H

#include <stddef.h>
#include <stdint.h>

/*
 * zlib is loaded at run time and may be missing, and a file that cannot be checked must not be
 * used: so there is one here. Eight bytes at a time, by tables that are made in some microseconds.
 */
struct nv_crc {
    uint32_t table[8][256];
};

void nv_crc_init(struct nv_crc *crc);

/* The checksum of more bytes behind those that gave `before`; 0 to begin with. */
uint32_t nv_crc_add(const struct nv_crc *crc, uint32_t before, const void *bytes, size_t length);

#endif
