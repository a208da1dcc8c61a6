/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the description of guest memory that kernels are given. */
#include "boot/bootdata.h"

#include "core/util.h"
#include "memory/layout.h"

/* Appends the part of a slot that lies in [from, to). */
static uint32_t add_part(struct nv_e820_entry *entries, uint32_t count,
                         const struct nv_memory_slot *slot, uint64_t from, uint64_t to)
{
    struct nv_e820_entry *last = count ? &entries[count - 1] : NULL;
    uint64_t start = NV_MAX(slot->address, from);
    uint64_t end = NV_MIN(slot->address + slot->length, to);

    if (start >= end || slot->is_read_only) /* no RAM */
        return count;
    if (last && last->type == NV_E820_USABLE && last->address + last->length == start) {
        last->length += end - start;
        return count;
    }
    entries[count] = (struct nv_e820_entry){ start, end - start, NV_E820_USABLE };
    return count + 1;
}

uint32_t nv_e820_make(const struct nv_memory *memory, struct nv_e820_entry ret_entries[NV_E820_MAX])
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < memory->slot_count; i++)
        count = add_part(ret_entries, count, &memory->slots[i], 0, NV_LAYOUT_LOW_END);
    ret_entries[count++] =
        (struct nv_e820_entry){ NV_LAYOUT_LOW_END, NV_LAYOUT_HIGH_START - NV_LAYOUT_LOW_END,
                                NV_E820_RESERVED };
    for (uint32_t i = 0; i < memory->slot_count; i++)
        count = add_part(ret_entries, count, &memory->slots[i], NV_LAYOUT_HIGH_START, UINT64_MAX);
    return count;
}
