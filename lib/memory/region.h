/* SPDX-License-Identifier: Apache-2.0 */
/* Owns what happens to one region: its checks, its mapping, its advice and its contents. */
#ifndef NV_MEMORY_REGION_H
#define NV_MEMORY_REGION_H

#include <stdbool.h>
#include <stdint.h>

#include "core/error.h"
#include "memory/memory.h"

/* The configuration by itself, without looking at the host or other regions. */
int nv_region_check(const struct nestvirt_memory_config *config, uint32_t number,
                    struct nestvirt_error **ret_error);

/* Could KSM merge its pages? -ENOTSUP with the reason. */
int nv_region_check_mergeable(const struct nestvirt_memory_config *config, const char *name,
                              struct nestvirt_error **ret_error);

/* A piece against the library's own windows and the other regions: -EEXIST. */
int nv_region_check_place(const struct nv_memory *memory, uint64_t address, uint64_t length,
                          uint32_t number, struct nestvirt_error **ret_error);

/* Maps a checked configuration; touches nothing. Undone by nv_region_drop(). */
int nv_region_map(const struct nestvirt_memory_config *config, uint32_t number,
                  struct nv_memory_region *ret_region, struct nestvirt_error **ret_error);
void nv_region_drop(struct nv_memory_region *region, bool unmap);

/* True if pages are those of a file that others see too. */
bool nv_region_is_shared(const struct nv_memory_region *region);

/* True if untouched pages are those of the caller's file. */
bool nv_region_is_lazy_file(const struct nv_memory_region *region);

/* Tells the kernel how to treat the mapping: forks, dumps, huge pages, KSM, locking. */
int nv_region_advise(struct nv_memory_region *region, uint32_t number,
                     struct nestvirt_error **ret_error);

/* KSM on or off: memory.h (public). */
int nv_region_set_mergeable(struct nv_memory_region *region, uint32_t number, bool on,
                            struct nestvirt_error **ret_error);
bool nv_region_is_mergeable(const struct nv_memory_region *region);

/* Puts in what must be there from the start: huge pages, the copy of a file. */
int nv_region_fill(const struct nv_memory_region *region, uint32_t number,
                   struct nestvirt_error **ret_error);

/* Touches every page, if the region asks for it. */
int nv_region_prefault(const struct nv_memory_region *region, uint32_t number,
                       struct nestvirt_error **ret_error);

/* The contents of a new start: zeroes, the file's bytes, or what the caller's descriptor has. */
int nv_region_reset(const struct nv_memory_region *region, uint32_t number,
                    struct nestvirt_error **ret_error);

/* Gives whole pages back to the host, after which they read as zero; -errno if it cannot be. */
int nv_region_give_back(const struct nv_memory_region *region, uint8_t *host, uint64_t length);

/*
 * Touches a mapping on as many threads as there are CPUs for this one, for writing or reading.
 * -errno: -EFAULT if a page cannot be had, -ENOTSUP before Linux 5.14.
 */
int nv_populate(uint8_t *start, uint64_t length, uint64_t page_size, bool for_write);

/* A huge page pool of the host: its size by default, and the error when pages of it are missing. */
uint64_t nv_hugetlb_default_size(void);
int nv_hugetlb_fail(const struct nestvirt_memory_config *config, uint64_t page_size,
                    uint32_t number, struct nestvirt_error **ret_error);

#endif
