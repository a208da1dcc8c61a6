/* SPDX-License-Identifier: Apache-2.0 */
/* Owns guest memory: regions with their backing, and the one checked way to their bytes. */
#ifndef NV_MEMORY_MEMORY_H
#define NV_MEMORY_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <nestvirt/memory.h>

#include "core/error.h"

/* A guest physical address: a type of its own, so that it is never mistaken for a pointer. */
typedef struct nv_gpa {
    uint64_t value;
} nv_gpa;

static inline nv_gpa nv_gpa_at(uint64_t value)
{
    return (nv_gpa){ value };
}

struct nv_memory_policy;
struct nv_numa_ops;

/* A piece of a region as KVM sees it: one memory slot. Sorted by address in the map. */
struct nv_memory_slot {
    uint64_t address;
    uint64_t length;
    uint8_t *host;
    uint32_t region;
    bool is_read_only; /* for the guest and its devices */
};

struct nv_memory_region {
    bool used;
    bool is_image;      /* mapped from the image of a template (image.h) */
    bool is_copied;     /* a file that is not trusted: host is anonymous memory with its bytes */
    uint32_t mergeable; /* KSM may merge it; changes while the guest runs */
    struct nestvirt_memory_config config;
    uint8_t *host; /* config.length bytes */
    uint8_t *map;  /* the mapping, which may begin before and end behind them */
    uint64_t map_length;
    uint64_t page_size; /* above 4096: of a pool of huge pages */
    int fd;             /* a memfd, the caller's descriptor or a file to copy; else -1 */
    struct nv_memory_policy *policy; /* for nodes (numa.h), or NULL */
};

enum {
    NV_MEMORY_REGIONS_MAX = 64, /* far above what boards have; keeps every walk short */
    NV_MEMORY_SLOTS_MAX = 2 * NV_MEMORY_REGIONS_MAX
};

struct nv_memory {
    struct nv_memory_region regions[NV_MEMORY_REGIONS_MAX];
    struct nv_memory_slot slots[NV_MEMORY_SLOTS_MAX];
    uint32_t slot_count;
    const struct nv_numa_ops *numa_ops; /* NULL: libnuma's, loaded when a region needs them */
};

/* "memory region 2", for errors. */
struct nv_text nv_region_name(uint32_t number);

void nv_memory_init(struct nv_memory *memory);

/* Unmaps everything. unmap false: the mappings are not this process's (after fork). */
void nv_memory_destroy(struct nv_memory *memory, bool unmap);

/* Adds a region (config already of our size); returns its number. Errors: memory.h (public). */
int nv_memory_add(struct nv_memory *memory, const struct nestvirt_memory_config *config,
                  struct nestvirt_error **ret_error);

int nv_memory_remove(struct nv_memory *memory, uint32_t region, struct nestvirt_error **ret_error);

/*
 * The contents of a new start: zeroes, the pages given back to the host; a file's own bytes; what
 * the caller's descriptor has stays.
 */
int nv_memory_reset(struct nv_memory *memory, struct nestvirt_error **ret_error);

/* Touches the pages of regions that ask for it. */
/* Bytes that the prefault takes of the host's free memory at most, the first time. */
uint64_t nv_memory_prefaulted(const struct nv_memory *memory);
int nv_memory_prefault(struct nv_memory *memory, struct nestvirt_error **ret_error);

/* KSM on or off for a region. Errors: memory.h (public). */
int nv_memory_set_mergeable(struct nv_memory *memory, uint32_t region, bool on,
                            struct nestvirt_error **ret_error);

/* A region's configuration as it is now; -ENOENT. */
int nv_memory_get_config(const struct nv_memory *memory, uint32_t region,
                         struct nestvirt_memory_config *ret_config,
                         struct nestvirt_error **ret_error);

/*
 * The only way from a guest address to a pointer: length bytes within one slot, or NULL. A length
 * of 0 gives NULL.
 */
void *nv_memory_at(const struct nv_memory *memory, nv_gpa address, uint64_t length);

/* As nv_memory_at, but for the longest run from address on, at most *length; NULL if none. */
void *nv_memory_run(const struct nv_memory *memory, nv_gpa address, uint64_t *length);

/* The same for what the guest's devices write: NULL for read-only memory. */
void *nv_memory_at_writable(const struct nv_memory *memory, nv_gpa address, uint64_t length);
void *nv_memory_run_writable(const struct nv_memory *memory, nv_gpa address, uint64_t *length);

/* Checked copies; may span slots that touch. -EFAULT and nothing done if any byte is outside. */
int nv_memory_read(const struct nv_memory *memory, nv_gpa address, void *buffer, size_t length);
int nv_memory_write(const struct nv_memory *memory, nv_gpa address, const void *buffer,
                    size_t length);

/* Fills with zeroes. -EFAULT as above. */
int nv_memory_clear(const struct nv_memory *memory, nv_gpa address, uint64_t length);

/*
 * Gives whole pages back to the host: they read as zero afterwards, whatever their backing. host
 * and length are as nv_memory_run() told. A page that the host does not take back is zeroed; then
 * -errno. -EFAULT and nothing done if any byte is not guest memory or is read-only, or a page is
 * not whole.
 */
int nv_memory_discard(const struct nv_memory *memory, void *host, uint64_t length);

/* True if every byte is guest memory. */
bool nv_memory_covers(const struct nv_memory *memory, nv_gpa address, uint64_t length);

/* True if any byte is guest memory. */
bool nv_memory_touches(const struct nv_memory *memory, uint64_t address, uint64_t length);

/* Bytes of all regions, and the end of the slot that holds address 0 (0 if none). */
uint64_t nv_memory_total(const struct nv_memory *memory);
uint64_t nv_memory_low_end(const struct nv_memory *memory);

#endif
