/* SPDX-License-Identifier: Apache-2.0 */
/* Owns flat images: copied to memory as they are. */
#include "boot/flat.h"

#include <errno.h>

#include "boot/source.h"
#include "core/util.h"
#include "memory/layout.h"

static const char name[] = "flat image";

/* What the entry and the stack must be below, by mode. */
static const struct {
    uint64_t end;
    const char *text;
} reach[] = {
    [NESTVIRT_MODE_REAL] = { NV_MIB(1), "1 MiB, where real mode ends" },
    [NESTVIRT_MODE_PROTECTED] = { NV_GIB(4), "4 GiB, where protected mode ends" },
    [NESTVIRT_MODE_LONG] = { NV_GIB(4), "4 GiB, where the first page tables end" },
};

static int check_place(const struct nestvirt_flat_config *flat, uint64_t size,
                       const struct nv_memory *memory, struct nestvirt_error **ret_error)
{
    unsigned long long address = flat->address;
    unsigned long long length = size;

    if (!nv_range_fits(flat->address, size, NV_LAYOUT_ADDRESS_END))
        return nv_fail(ret_error, -EINVAL, name, "place it lower",
                       "0x%llx + 0x%llx is beyond the guest's 46-bit address space", address,
                       length);
    if (flat->entry < flat->address || flat->entry - flat->address >= size)
        return nv_fail(ret_error, -EINVAL, name, "give an address within it",
                       "the entry 0x%llx is outside the image at 0x%llx + 0x%llx",
                       (unsigned long long)flat->entry, address, length);
    if (flat->mode != NESTVIRT_MODE_REAL &&
        nv_ranges_overlap(flat->address, size, NV_LAYOUT_GDT, NV_LAYOUT_TABLES_END - NV_LAYOUT_GDT))
        return nv_fail(ret_error, -EINVAL, name, "place it at 0x9000 or above",
                       "0x%llx + 0x%llx overlaps the tables at 0x500 to 0x8fff", address, length);
    if (!nv_memory_covers(memory, nv_gpa_at(flat->address), size))
        return nv_fail(ret_error, -E2BIG, name, "give the VM more memory, or place it elsewhere",
                       "there is not guest memory all over 0x%llx + 0x%llx", address, length);
    return 0;
}

static int check_mode(const struct nestvirt_flat_config *flat, struct nestvirt_error **ret_error)
{
    if (flat->mode >= NV_ARRAY_SIZE(reach))
        return nv_fail(ret_error, -EINVAL, name, "use NESTVIRT_MODE_*", "unknown mode %u",
                       flat->mode);
    if (flat->entry >= reach[flat->mode].end)
        return nv_fail(ret_error, -EINVAL, name, "place it lower, or use another mode",
                       "the entry 0x%llx is not below %s", (unsigned long long)flat->entry,
                       reach[flat->mode].text);
    if (flat->stack > reach[flat->mode].end)
        return nv_fail(ret_error, -EINVAL, name, "place it lower, or use another mode",
                       "the stack 0x%llx is not below %s", (unsigned long long)flat->stack,
                       reach[flat->mode].text);
    return 0;
}

/* The page below the image if that is memory and not used by tables, else 0. */
static uint64_t default_stack(const struct nestvirt_flat_config *flat,
                              const struct nv_memory *memory)
{
    uint64_t top = nv_align_down(flat->address, 16);
    uint64_t lowest = flat->mode == NESTVIRT_MODE_REAL ? 0 : NV_LAYOUT_TABLES_END;

    if (top < lowest + NV_PAGE_SIZE ||
        !nv_memory_covers(memory, nv_gpa_at(top - NV_PAGE_SIZE), NV_PAGE_SIZE))
        return 0;
    return top;
}

int nv_flat_load(const struct nv_boot_source *source, const struct nv_memory *memory,
                 struct nv_cpu_start *ret_start, struct nestvirt_error **ret_error)
{
    const struct nestvirt_flat_config *flat = &source->flat;
    struct nv_image image;
    int r = nv_image_open(source->kernel_fd, name, &image, ret_error);

    if (r < 0)
        return r;
    r = check_mode(flat, ret_error);
    if (r < 0)
        return r;
    r = check_place(flat, image.size, memory, ret_error);
    if (r < 0)
        return r;
    r = nv_image_load(&image, 0, image.size, memory, nv_gpa_at(flat->address), ret_error);
    if (r < 0)
        return r;
    *ret_start = (struct nv_cpu_start){
        .valid = true,
        .mode = flat->mode,
        .rip = flat->entry,
        .rsp = flat->stack ? flat->stack : default_stack(flat, memory),
    };
    return 0;
}
