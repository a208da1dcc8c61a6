/* SPDX-License-Identifier: Apache-2.0 */
/* Owns images of guest memory: one sealed memfd, from which regions are mapped copy-on-write. */
#ifndef NV_MEMORY_IMAGE_H
#define NV_MEMORY_IMAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "core/record.h"
#include "host/limits.h"
#include "memory/memory.h"

/* What a clone does as its template did. Locked or touched pages would be copies, all of them. */
#define NV_IMAGE_FLAGS                                                                      \
    (NESTVIRT_MEMORY_DEFAULT_LAYOUT | NESTVIRT_MEMORY_READ_ONLY | NESTVIRT_MEMORY_NO_DUMP | \
     NESTVIRT_MEMORY_MERGEABLE)

/* One region of the VM that the image is of. */
struct nv_ram_region {
    uint64_t address; /* guest physical */
    uint64_t length;
    uint64_t offset; /* in the image */
    uint32_t flags;  /* NESTVIRT_MEMORY_*, those that a clone has too */
};

struct nv_ram {
    int fd;          /* -1: none */
    uint64_t offset; /* of the image in the file: 0 in a memfd of ours */
    uint64_t length; /* bytes of all regions */
    uint64_t data;   /* bytes that are there; the others are holes and read as zero */
    bool is_trusted; /* a file that may be mapped though it is not sealed */
    uint32_t count;
    struct nv_ram_region regions[NV_MEMORY_REGIONS_MAX];
};

void nv_ram_init(struct nv_ram *image);
void nv_ram_destroy(struct nv_ram *image);

/*
 * Copies guest memory, which nobody changes meanwhile, into a memfd: only pages with data. origin:
 * the image that its regions were mapped from, or NULL. headroom: is asked for the pages before
 * they are copied. -ENOMEM, -EMFILE and the like.
 */
int nv_ram_copy(const struct nv_memory *memory, const struct nv_ram *origin,
                struct nv_headroom *headroom, struct nv_ram *ret_image,
                struct nestvirt_error **ret_error);

/* Lists the regions of an image of this memory. */
void nv_ram_describe(const struct nv_memory *memory, struct nv_ram *image);

/* True if nv_ram_take() can be had: one region, in a memfd of the library's. */
bool nv_ram_can_take(const struct nv_memory *memory);

/*
 * Lets go of guest memory whose addresses somebody may be looking at: what is there from now on are
 * private pages of the file fd, or zeroes for -1. The mappings stay until nv_memory_destroy().
 */
void nv_ram_leave(struct nv_memory *memory, int fd);

/* Takes the memory itself; the map is empty then. Nothing may use it any more. */
void nv_ram_take(struct nv_memory *memory, struct nv_ram *ret_image);

/* A memfd of so many bytes, to be filled; and no more changes of it. -errno. */
int nv_ram_open_file(uint64_t length, int *ret_fd, struct nestvirt_error **ret_error);
void nv_ram_seal(const struct nv_ram *image);

/* Adds the image's regions to an empty map, copy-on-write. Errors as nv_memory_add(). */
int nv_ram_map(const struct nv_ram *image, struct nv_memory *memory,
               struct nestvirt_error **ret_error);

/* The list of regions, without their bytes. NESTVIRT_E_BAD_STATE. */
void nv_ram_save(const struct nv_ram *image, struct nv_writer *writer);
int nv_ram_load(struct nv_reader *reader, struct nv_ram *ret_image,
                struct nestvirt_error **ret_error);

/* The next stretch of data at or behind from, before end; false if there is none. */
bool nv_ram_next_data(int fd, uint64_t from, uint64_t end, uint64_t *ret_start, uint64_t *ret_end);

/* Bytes of data in a memfd of so many bytes. */
uint64_t nv_ram_measure(int fd, uint64_t length);

/* True if a page is all zeroes. */
bool nv_page_is_zero(const uint8_t *page);

/* Writes all of it, whatever signals and limits say; -errno. */
int nv_ram_write(int fd, const void *bytes, uint64_t length, uint64_t offset);

#endif
