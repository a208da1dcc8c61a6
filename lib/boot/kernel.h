/* SPDX-License-Identifier: Apache-2.0 */
/* Owns a kernel that was checked and waits to be placed: segments, entry and its own limits. */
#ifndef NV_BOOT_KERNEL_H
#define NV_BOOT_KERNEL_H

#include <stdbool.h>
#include <stdint.h>

#include "boot/source.h"

enum {
    NV_SEGMENTS_MAX = 32,       /* Linux has 5; keeps the comparison of each pair short */
    NV_SETUP_HEADER_AT = 0x1f1, /* of struct setup_header in the file and in the zero page */
    NV_SETUP_HEADER_MAX = 0x290 - NV_SETUP_HEADER_AT /* the zero page has room for no more */
};

/* The kernel and the tables for it must be within the identity map of the page tables. */
#define NV_ENTRY_LIMIT 0x100000000ull

/* A piece of the image; what memory_size has beyond file_size reads as zero. */
struct nv_segment {
    uint64_t offset;
    uint64_t file_size;
    uint64_t address;
    uint64_t memory_size;
};

struct nv_kernel {
    struct nv_image image; /* what the segments refer to */
    uint8_t *unpacked;     /* owned bytes of image, NULL if it is a file */
    struct nv_segment segments[NV_SEGMENTS_MAX];
    uint32_t segment_count;
    uint64_t entry;
    bool is_pvh;           /* entered by the PVH protocol, else by Linux's 64-bit one */
    uint64_t working_size; /* bytes from the lowest segment on that it uses early, 0: unknown */
    uint64_t initrd_end;   /* first address that an initrd must not reach */
    uint64_t cmdline_max;  /* bytes without the final 0 */
    uint8_t setup_header[NV_SETUP_HEADER_MAX];
    uint32_t setup_header_size; /* 0: none, the image was no bzImage */
};

/* An empty kernel with the limits of one that does not tell its own. */
void nv_kernel_init(struct nv_kernel *kernel, const struct nv_image *image);

/* Frees what it owns; once after nv_kernel_init. */
void nv_kernel_destroy(struct nv_kernel *kernel);

/*
 * Checks a segment and adds it. -ENOEXEC when it is truncated, wraps, lies below 1 MiB or overlaps
 * another; -E2BIG when guest memory does not cover it.
 */
int nv_kernel_add_segment(struct nv_kernel *kernel, const struct nv_memory *memory,
                          const struct nv_segment *segment, struct nestvirt_error **ret_error);

/* Sets the entry. -ENOEXEC when it is outside every segment or above 4 GiB. */
int nv_kernel_set_entry(struct nv_kernel *kernel, uint64_t entry,
                        struct nestvirt_error **ret_error);

/*
 * Finds the highest place for an initrd below memory's and the kernel's limits, clear of the
 * kernel. -E2BIG if there is none.
 */
int nv_kernel_find_initrd(const struct nv_kernel *kernel, const struct nv_memory *memory,
                          uint64_t size, uint64_t *ret_address, struct nestvirt_error **ret_error);

/* Copies the segments to guest memory. */
int nv_kernel_place(const struct nv_kernel *kernel, const struct nv_memory *memory,
                    struct nestvirt_error **ret_error);

#endif
