/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the PVH start information (Xen's x86/HVM direct boot ABI, version 1). */
#include <errno.h>
#include <string.h>

#include "boot/bootdata.h"
#include "core/util.h"
#include "memory/layout.h"

/* struct hvm_start_info, hvm_modlist_entry and hvm_memmap_table_entry, in one page. */
enum {
    MAGIC = 0x336ec578,
    VERSION = 1,
    AT_VERSION = 4,
    AT_MODULE_COUNT = 12,
    AT_MODULES = 16,
    AT_CMDLINE = 24,
    AT_RSDP = 32,
    AT_MAP = 40,
    AT_MAP_COUNT = 48,
    MODULE = 0x40, /* the list of one module; its size at + 8 */
    MAP = 0x80,
    MAP_ENTRY_SIZE = 24
};

_Static_assert(MAP + NV_E820_MAX * MAP_ENTRY_SIZE <= NV_PAGE_SIZE, "the map fits");

static void fill_map(uint8_t *page, const struct nv_memory *memory)
{
    struct nv_e820_entry entries[NV_E820_MAX];
    uint32_t count = nv_e820_make(memory, entries);

    for (uint32_t i = 0; i < count; i++) {
        uint8_t *to = page + MAP + (size_t)i * MAP_ENTRY_SIZE;

        nv_put_le64(to, entries[i].address);
        nv_put_le64(to + 8, entries[i].length);
        nv_put_le32(to + 16, entries[i].type);
    }
    nv_put_le64(page + AT_MAP, NV_LAYOUT_PVH + MAP);
    nv_put_le32(page + AT_MAP_COUNT, count);
}

int nv_pvh_write(const struct nv_boot_data *data, const struct nv_memory *memory,
                 struct nestvirt_error **ret_error)
{
    uint8_t page[NV_PAGE_SIZE] = { 0 };

    nv_put_le32(page, MAGIC);
    nv_put_le32(page + AT_VERSION, VERSION);
    nv_put_le64(page + AT_CMDLINE, NV_LAYOUT_CMDLINE);
    if (data->has_acpi)
        nv_put_le64(page + AT_RSDP, NV_LAYOUT_ACPI);
    if (data->initrd_size) {
        nv_put_le32(page + AT_MODULE_COUNT, 1);
        nv_put_le64(page + AT_MODULES, NV_LAYOUT_PVH + MODULE);
        nv_put_le64(page + MODULE, data->initrd_address);
        nv_put_le64(page + MODULE + 8, data->initrd_size);
    }
    fill_map(page, memory);
    if (nv_memory_write(memory, nv_gpa_at(NV_LAYOUT_PVH), page, sizeof(page)) < 0)
        return nv_fail(ret_error, -E2BIG, "guest memory", "add a region of memory at address 0",
                       "there is none at 0x1000 for the PVH start information");
    return 0;
}
