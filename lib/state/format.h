/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the layout of a file of saved state, for the writer and the reader in this room. */
#ifndef NV_STATE_FORMAT_H
#define NV_STATE_FORMAT_H

#include <stdint.h>

#include "core/util.h"
#include "state/template.h"

/*
 * All numbers are little-endian.
 *
 *   header       128 bytes, see struct nv_state_header
 *   config       records: first the list of memory regions (memory/image.c)
 *   machine      records
 *   extents      of the memory that follows: 24 bytes each, sorted
 *   memory       at memory_offset, a multiple of 4096. Of a full file: the whole image, with holes
 *                where there is no data, so that it can be mapped; no extent has a page of zeroes,
 *                so that a copy of the file has no hole in one. Of changes: the extents' bytes one
 *                behind the other.
 *
 * The header goes to the file last: one that was not finished has none.
 */
enum {
    NV_STATE_HEADER = 128,
    NV_STATE_EXTENT = 24,
    NV_STATE_VERSION = 1,
    NV_STATE_CHANGES = 1 << 0, /* flag: only what differs from the template base_id */
};

/* No state of a VM comes near this; keeps a damaged length from taking all memory. */
#define NV_STATE_RECORDS_MAX NV_MIB(64)

/* Bytes of an extent at most: it is read and checked at once. */
#define NV_STATE_EXTENT_MAX NV_MIB(1)

static const uint8_t nv_state_magic[8] = { 'n', 'v', 's', 't', 'a', 't', 'e', 0x1a };

struct nv_state_header {
    uint32_t version;                /* at 8 */
    uint32_t flags;                  /* at 12 */
    uint8_t id[NV_TEMPLATE_ID];      /* at 16 */
    uint8_t base_id[NV_TEMPLATE_ID]; /* at 32 */
    uint64_t config_length;          /* at 48 */
    uint64_t machine_length;         /* at 56 */
    uint64_t extent_count;           /* at 64 */
    uint64_t memory_length;          /* at 72 */
    uint64_t memory_offset;          /* at 80 */
    uint64_t file_length;            /* at 88 */
    uint32_t body_crc;               /* at 96: of config, machine and extents */
    /* at 124: CRC of the header before it; zeroes between */
};

struct nv_state_extent {
    uint64_t offset; /* in the image */
    uint64_t length;
    uint32_t crc; /* and 4 bytes of zeroes */
};

#endif
