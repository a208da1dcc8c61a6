/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the boot processor's descriptor table and page tables. */
#include <errno.h>

#include "boot/bootdata.h"
#include "core/util.h"
#include "memory/layout.h"
#include "vcpu/start.h"

/* Page table entries (Intel SDM volume 3, 4.5): accessed and dirty, so that nobody must set them.
 */
enum {
    PRESENT = 1 << 0,
    WRITABLE = 1 << 1,
    ACCESSED = 1 << 5,
    DIRTY = 1 << 6,
    LARGE = 1 << 7,
    TABLE_ENTRY = PRESENT | WRITABLE | ACCESSED,
    PAGE_ENTRY = TABLE_ENTRY | DIRTY | LARGE,
    ENTRIES = 512,
    DIRECTORIES = 4 /* of 1 GiB each */
};

#define AT_PML4 NV_LAYOUT_PAGE_TABLES
#define AT_PDPT (AT_PML4 + NV_PAGE_SIZE)
#define AT_DIRECTORIES (AT_PDPT + NV_PAGE_SIZE)

_Static_assert((2 + DIRECTORIES) * NV_PAGE_SIZE == NV_LAYOUT_PAGE_TABLES_SIZE, "no room");

/* Flat segments, marked as accessed (Intel SDM volume 3, 3.4.5); the rest is null. */
static const uint64_t descriptors[NV_GDT_ENTRIES] = {
    [NV_SELECTOR_CODE64 / 8] = 0x00af9b000000ffffull,
    [NV_SELECTOR_DATA / 8] = 0x00cf93000000ffffull,
    [NV_SELECTOR_TSS / 8] = 0x00008b0000000067ull, /* two entries, busy */
    [NV_SELECTOR_CODE32 / 8] = 0x00cf9b000000ffffull,
};

_Static_assert(sizeof(descriptors) <= NV_LAYOUT_IDT - NV_LAYOUT_GDT, "no room");

/* Writes count entries, each step more than the one before. */
static int write_entries(const struct nv_memory *memory, uint64_t address, uint64_t first,
                         uint64_t step, uint32_t count)
{
    uint8_t bytes[ENTRIES * 8];

    for (uint32_t i = 0; i < count; i++)
        nv_put_le64(bytes + 8 * (size_t)i, first + i * step);
    return nv_memory_write(memory, nv_gpa_at(address), bytes, 8 * (size_t)count);
}

static int write_page_tables(const struct nv_memory *memory)
{
    int r = write_entries(memory, AT_PML4, AT_PDPT | TABLE_ENTRY, 0, 1);

    if (r < 0)
        return r;
    r = write_entries(memory, AT_PDPT, AT_DIRECTORIES | TABLE_ENTRY, NV_PAGE_SIZE, DIRECTORIES);
    for (uint64_t i = 0; i < DIRECTORIES && r == 0; i++)
        r = write_entries(memory, AT_DIRECTORIES + i * NV_PAGE_SIZE, NV_GIB(i) | PAGE_ENTRY,
                          NV_MIB(2), ENTRIES);
    return r;
}

int nv_cpu_tables_write(const struct nv_memory *memory, bool long_mode,
                        struct nestvirt_error **ret_error)
{
    uint8_t bytes[sizeof(descriptors)];
    int r;

    for (size_t i = 0; i < NV_ARRAY_SIZE(descriptors); i++)
        nv_put_le64(bytes + 8 * i, descriptors[i]);
    r = nv_memory_write(memory, nv_gpa_at(NV_LAYOUT_GDT), bytes, sizeof(bytes));
    if (r == 0 && long_mode)
        r = write_page_tables(memory);
    if (r < 0)
        return nv_fail(ret_error, -E2BIG, "guest memory", "add a region of memory at address 0",
                       "there is none at 0x500 to 0x8fff for the descriptor and page tables");
    return 0;
}
