/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the guest's memory map, and the one checked way to its bytes. */
#include "memory/memory.h"

#include <errno.h>
#include <string.h>

#include "core/util.h"
#include "memory/layout.h"
#include "memory/numa.h"
#include "memory/region.h"

/* From here on madvise is cheaper than writing zeroes. */
enum { CLEAR_BY_ADVICE_MIN = 64 * 1024 };

void nv_memory_init(struct nv_memory *memory)
{
    memset(memory, 0, sizeof(*memory));
    for (size_t i = 0; i < NV_MEMORY_REGIONS_MAX; i++)
        memory->regions[i].fd = -1;
}

void nv_memory_destroy(struct nv_memory *memory, bool unmap)
{
    for (size_t i = 0; i < NV_MEMORY_REGIONS_MAX; i++)
        if (memory->regions[i].used)
            nv_region_drop(&memory->regions[i], unmap);
    memory->slot_count = 0;
}

static void insert_slot(struct nv_memory *memory, const struct nv_memory_slot *slot)
{
    uint32_t i = memory->slot_count++;

    for (; i > 0 && memory->slots[i - 1].address > slot->address; i--)
        memory->slots[i] = memory->slots[i - 1];
    memory->slots[i] = *slot;
}

/* Splits the default layout around the gap; other regions are one piece. Returns the pieces. */
static uint32_t split(const struct nestvirt_memory_config *config, struct nv_memory_slot pieces[2])
{
    uint64_t first = config->length;

    if (config->flags & NESTVIRT_MEMORY_DEFAULT_LAYOUT)
        first = NV_MIN(first, NV_LAYOUT_GAP);
    pieces[0] = (struct nv_memory_slot){ .address = config->address, .length = first };
    pieces[1] =
        (struct nv_memory_slot){ .address = NV_LAYOUT_GAP_END, .length = config->length - first };
    return pieces[1].length ? 2 : 1;
}

/* Nothing touches the pages before nv_region_fill(). */
static int set_up(struct nv_memory *memory, uint32_t number, struct nestvirt_error **ret_error)
{
    struct nv_memory_region *region = &memory->regions[number];
    int r = nv_memory_place(memory, number, ret_error);

    if (r == 0)
        r = nv_region_advise(region, number, ret_error);
    if (r == 0)
        r = nv_region_fill(region, number, ret_error);
    if (r < 0)
        nv_region_drop(region, true);
    return r;
}

int nv_memory_add(struct nv_memory *memory, const struct nestvirt_memory_config *config,
                  struct nestvirt_error **ret_error)
{
    struct nv_memory_slot pieces[2];
    uint32_t number = 0;
    uint32_t count;
    int r;

    while (number < NV_MEMORY_REGIONS_MAX && memory->regions[number].used)
        number++;
    if (number == NV_MEMORY_REGIONS_MAX)
        return nv_fail(ret_error, -ENOSPC, nv_region_name(number).s, "use fewer, larger regions",
                       "a VM has at most %d regions", NV_MEMORY_REGIONS_MAX);
    r = nv_region_check(config, number, ret_error);
    if (r < 0)
        return r;
    count = split(config, pieces);
    for (uint32_t i = 0; i < count; i++) {
        r = nv_region_check_place(memory, pieces[i].address, pieces[i].length, number, ret_error);
        if (r < 0)
            return r;
    }
    r = nv_region_map(config, number, &memory->regions[number], ret_error);
    if (r == 0)
        r = set_up(memory, number, ret_error);
    if (r < 0)
        return r;
    pieces[0].host = memory->regions[number].host;
    pieces[1].host = pieces[0].host + pieces[0].length;
    for (uint32_t i = 0; i < count; i++) {
        pieces[i].region = number;
        pieces[i].is_read_only = config->flags & NESTVIRT_MEMORY_READ_ONLY;
        insert_slot(memory, &pieces[i]);
    }
    return (int)number;
}

int nv_memory_remove(struct nv_memory *memory, uint32_t region, struct nestvirt_error **ret_error)
{
    uint32_t kept = 0;
    int r = nv_memory_find_region(memory, region, ret_error);

    if (r < 0)
        return r;
    for (uint32_t i = 0; i < memory->slot_count; i++)
        if (memory->slots[i].region != region)
            memory->slots[kept++] = memory->slots[i];
    memory->slot_count = kept;
    nv_region_drop(&memory->regions[region], true);
    return 0;
}

int nv_memory_set_mergeable(struct nv_memory *memory, uint32_t region, bool on,
                            struct nestvirt_error **ret_error)
{
    int r = nv_memory_find_region(memory, region, ret_error);

    return r < 0 ? r : nv_region_set_mergeable(&memory->regions[region], region, on, ret_error);
}

int nv_memory_get_config(const struct nv_memory *memory, uint32_t region,
                         struct nestvirt_memory_config *ret_config,
                         struct nestvirt_error **ret_error)
{
    int r = nv_memory_find_region(memory, region, ret_error);

    if (r < 0)
        return r;
    *ret_config = memory->regions[region].config;
    ret_config->flags &= ~(uint32_t)NESTVIRT_MEMORY_MERGEABLE;
    if (nv_region_is_mergeable(&memory->regions[region]))
        ret_config->flags |= NESTVIRT_MEMORY_MERGEABLE;
    return 0;
}

int nv_memory_reset(struct nv_memory *memory, struct nestvirt_error **ret_error)
{
    int r = 0;

    for (uint32_t i = 0; i < NV_MEMORY_REGIONS_MAX && r == 0; i++)
        if (memory->regions[i].used)
            r = nv_region_reset(&memory->regions[i], i, ret_error);
    return r;
}

int nv_memory_prefault(struct nv_memory *memory, struct nestvirt_error **ret_error)
{
    int r = 0;

    for (uint32_t i = 0; i < NV_MEMORY_REGIONS_MAX && r == 0; i++)
        if (memory->regions[i].used)
            r = nv_region_prefault(&memory->regions[i], i, ret_error);
    return r;
}

uint64_t nv_memory_prefaulted(const struct nv_memory *memory)
{
    uint64_t bytes = 0;

    for (uint32_t i = 0; i < NV_MEMORY_REGIONS_MAX; i++) {
        const struct nestvirt_memory_config *config = &memory->regions[i].config;

        if (memory->regions[i].used && config->flags & NESTVIRT_MEMORY_PREFAULT &&
            config->backing != NESTVIRT_BACKING_HUGETLB && config->backing != NESTVIRT_BACKING_FD)
            bytes += config->length;
    }
    return bytes;
}

static const struct nv_memory_slot *find_slot(const struct nv_memory *memory, uint64_t address)
{
    uint32_t low = 0;
    uint32_t high = memory->slot_count;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        const struct nv_memory_slot *slot = &memory->slots[middle];

        if (address < slot->address)
            high = middle;
        else if (address - slot->address < slot->length)
            return slot;
        else
            low = middle + 1;
    }
    return NULL;
}

static void *run_of(const struct nv_memory_slot *slot, nv_gpa address, uint64_t *length)
{
    uint64_t offset;

    if (!slot || *length == 0)
        return NULL;
    offset = address.value - slot->address;
    *length = NV_MIN(*length, slot->length - offset);
    return slot->host + offset;
}

void *nv_memory_run(const struct nv_memory *memory, nv_gpa address, uint64_t *length)
{
    return run_of(find_slot(memory, address.value), address, length);
}

void *nv_memory_run_writable(const struct nv_memory *memory, nv_gpa address, uint64_t *length)
{
    const struct nv_memory_slot *slot = find_slot(memory, address.value);

    return slot && slot->is_read_only ? NULL : run_of(slot, address, length);
}

void *nv_memory_at(const struct nv_memory *memory, nv_gpa address, uint64_t length)
{
    uint64_t run = length;
    void *host = nv_memory_run(memory, address, &run);

    return host && run == length ? host : NULL;
}

void *nv_memory_at_writable(const struct nv_memory *memory, nv_gpa address, uint64_t length)
{
    uint64_t run = length;
    void *host = nv_memory_run_writable(memory, address, &run);

    return host && run == length ? host : NULL;
}

bool nv_memory_covers(const struct nv_memory *memory, nv_gpa address, uint64_t length)
{
    while (length > 0) {
        uint64_t run = length;

        if (!nv_memory_run(memory, address, &run))
            return false;
        address.value += run;
        length -= run;
    }
    return true;
}

bool nv_memory_touches(const struct nv_memory *memory, uint64_t address, uint64_t length)
{
    for (uint32_t i = 0; i < memory->slot_count; i++)
        if (nv_ranges_overlap(address, length, memory->slots[i].address, memory->slots[i].length))
            return true;
    return false;
}

int nv_memory_read(const struct nv_memory *memory, nv_gpa address, void *buffer, size_t length)
{
    uint8_t *to = buffer;

    if (!nv_memory_covers(memory, address, length))
        return -EFAULT;
    while (length > 0) {
        uint64_t run = length;
        const void *from = nv_memory_run(memory, address, &run);

        memcpy(to, from, run);
        to += run;
        address.value += run;
        length -= run;
    }
    return 0;
}

int nv_memory_write(const struct nv_memory *memory, nv_gpa address, const void *buffer,
                    size_t length)
{
    const uint8_t *from = buffer;

    if (!nv_memory_covers(memory, address, length))
        return -EFAULT;
    while (length > 0) {
        uint64_t run = length;
        void *to = nv_memory_run(memory, address, &run);

        memcpy(to, from, run);
        from += run;
        address.value += run;
        length -= run;
    }
    return 0;
}

/*
 * Zeroes bytes of one slot. Whole pages of a long stretch are given back to the host instead, so
 * that zeroing what was never touched costs nothing.
 */
static void clear_run(const struct nv_memory *memory, uint64_t address, uint8_t *host,
                      uint64_t length)
{
    const struct nv_memory_slot *slot = find_slot(memory, address);
    const struct nv_memory_region *region = &memory->regions[slot->region];
    uint8_t *first = (uint8_t *)(uintptr_t)nv_align_up((uintptr_t)host, NV_PAGE_SIZE);
    uint8_t *last = (uint8_t *)(uintptr_t)nv_align_down((uintptr_t)host + length, NV_PAGE_SIZE);

    if (length < CLEAR_BY_ADVICE_MIN ||
        nv_region_give_back(region, first, (uint64_t)(last - first)) < 0) {
        memset(host, 0, length);
        return;
    }
    memset(host, 0, (size_t)(first - host));
    memset(last, 0, (size_t)(host + length - last));
}

int nv_memory_clear(const struct nv_memory *memory, nv_gpa address, uint64_t length)
{
    if (!nv_memory_covers(memory, address, length))
        return -EFAULT;
    while (length > 0) {
        uint64_t run = length;
        void *to = nv_memory_run(memory, address, &run);

        clear_run(memory, address.value, to, run);
        address.value += run;
        length -= run;
    }
    return 0;
}

/* The region whose mapping holds a piece of this process's memory; NULL if none does. */
static const struct nv_memory_region *find_mapping(const struct nv_memory *memory,
                                                   const uint8_t *host, uint64_t length)
{
    for (uint32_t i = 0; i < NV_MEMORY_REGIONS_MAX; i++) {
        const struct nv_memory_region *region = &memory->regions[i];
        uint64_t offset = (uintptr_t)host - (uintptr_t)region->host; /* huge if it is before */

        if (region->used && nv_range_fits(offset, length, region->config.length))
            return region;
    }
    return NULL;
}

int nv_memory_discard(const struct nv_memory *memory, void *host, uint64_t length)
{
    const struct nv_memory_region *region = find_mapping(memory, host, length);
    int r;

    if (!region || region->config.flags & NESTVIRT_MEMORY_READ_ONLY ||
        !nv_is_aligned((uintptr_t)host | length, NV_PAGE_SIZE))
        return -EFAULT;
    r = length ? nv_region_give_back(region, host, length) : 0;
    if (r < 0)
        memset(host, 0, length);
    return r;
}

uint64_t nv_memory_total(const struct nv_memory *memory)
{
    uint64_t total = 0;

    for (uint32_t i = 0; i < memory->slot_count; i++)
        total += memory->slots[i].length;
    return total;
}

uint64_t nv_memory_low_end(const struct nv_memory *memory)
{
    uint64_t length = NV_LAYOUT_GAP;
    uint64_t end = 0;

    /* Slots that touch continue each other. */
    while (end < NV_LAYOUT_GAP && nv_memory_run_writable(memory, nv_gpa_at(end), &length)) {
        end += length;
        length = NV_LAYOUT_GAP;
    }
    return NV_MIN(end, NV_LAYOUT_GAP);
}
