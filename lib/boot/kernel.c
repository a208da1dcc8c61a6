/* SPDX-License-Identifier: Apache-2.0 */
/* Owns a kernel that was checked and waits to be placed: segments, entry and its own limits. */
#include "boot/kernel.h"

#include <errno.h>
#include <stdlib.h>

#include <nestvirt/boot.h>

#include "core/util.h"
#include "memory/layout.h"

/* Where an initrd must end if the kernel does not say: Linux boot protocol, initrd_addr_max. */
#define DEFAULT_INITRD_END 0x38000000ull

void nv_kernel_init(struct nv_kernel *kernel, const struct nv_image *image)
{
    *kernel = (struct nv_kernel){
        .image = *image,
        .initrd_end = DEFAULT_INITRD_END,
        .cmdline_max = NESTVIRT_CMDLINE_MAX,
    };
}

void nv_kernel_destroy(struct nv_kernel *kernel)
{
    free(kernel->unpacked);
    *kernel = (struct nv_kernel){ .image.fd = -1 };
}

/* The checks that need nothing but the segment itself. */
static int check_segment(const struct nv_image *image, const struct nv_segment *segment,
                         struct nestvirt_error **ret_error)
{
    unsigned long long address = segment->address;
    unsigned long long size = segment->memory_size;

    if (!nv_range_fits(segment->offset, segment->file_size, image->size))
        return nv_fail(ret_error, -ENOEXEC, image->name, "give the whole file",
                       "is truncated: the segment for 0x%llx needs bytes 0x%llx + 0x%llx of 0x%llx",
                       address, (unsigned long long)segment->offset,
                       (unsigned long long)segment->file_size, (unsigned long long)image->size);
    if (segment->file_size > segment->memory_size)
        return nv_fail(ret_error, -ENOEXEC, image->name, "build the kernel again",
                       "the segment for 0x%llx has more bytes in the file than in memory", address);
    if (!nv_range_fits(segment->address, segment->memory_size, NV_LAYOUT_ADDRESS_END))
        return nv_fail(ret_error, -ENOEXEC, image->name, "build the kernel again",
                       "a segment at 0x%llx + 0x%llx is beyond the guest's 46-bit address space",
                       address, size);
    if (segment->address < NV_LAYOUT_HIGH_START)
        return nv_fail(ret_error, -ENOEXEC, image->name,
                       "link it to load at 0x100000 or above, or boot it as a flat image",
                       "a segment at 0x%llx + 0x%llx is below 1 MiB, where tables stand", address,
                       size);
    return 0;
}

int nv_kernel_add_segment(struct nv_kernel *kernel, const struct nv_memory *memory,
                          const struct nv_segment *segment, struct nestvirt_error **ret_error)
{
    unsigned long long address = segment->address;
    int r = check_segment(&kernel->image, segment, ret_error);

    if (r < 0)
        return r;
    if (kernel->segment_count == NV_SEGMENTS_MAX)
        return nv_fail(ret_error, -ENOEXEC, kernel->image.name, "link it with fewer segments",
                       "has more than %d segments", NV_SEGMENTS_MAX);
    for (uint32_t i = 0; i < kernel->segment_count; i++) {
        const struct nv_segment *other = &kernel->segments[i];

        if (nv_ranges_overlap(segment->address, segment->memory_size, other->address,
                              other->memory_size))
            return nv_fail(ret_error, -ENOEXEC, kernel->image.name, "build the kernel again",
                           "segments at 0x%llx and 0x%llx overlap", address,
                           (unsigned long long)other->address);
    }
    if (!nv_memory_covers(memory, nv_gpa_at(segment->address), segment->memory_size))
        return nv_fail(ret_error, -E2BIG, kernel->image.name, "give the VM more memory",
                       "needs guest memory at 0x%llx + 0x%llx", address,
                       (unsigned long long)segment->memory_size);
    kernel->segments[kernel->segment_count++] = *segment;
    return 0;
}

int nv_kernel_set_entry(struct nv_kernel *kernel, uint64_t entry, struct nestvirt_error **ret_error)
{
    if (entry >= NV_ENTRY_LIMIT)
        return nv_fail(ret_error, -ENOEXEC, kernel->image.name, "link it to be entered below 4 GiB",
                       "the entry 0x%llx is not in the first 4 GiB", (unsigned long long)entry);
    for (uint32_t i = 0; i < kernel->segment_count; i++)
        if (entry >= kernel->segments[i].address &&
            entry - kernel->segments[i].address < kernel->segments[i].memory_size) {
            kernel->entry = entry;
            return 0;
        }
    return nv_fail(ret_error, -ENOEXEC, kernel->image.name, "build the kernel again",
                   "the entry 0x%llx is outside its segments", (unsigned long long)entry);
}

/* Finds a part of the kernel that shares bytes with a range; false if there is none. */
static bool find_conflict(const struct nv_kernel *kernel, uint64_t address, uint64_t length,
                          uint64_t *ret_start)
{
    uint64_t lowest = UINT64_MAX;

    for (uint32_t i = 0; i < kernel->segment_count; i++) {
        const struct nv_segment *segment = &kernel->segments[i];

        lowest = NV_MIN(lowest, segment->address);
        if (nv_ranges_overlap(address, length, segment->address, segment->memory_size)) {
            *ret_start = segment->address;
            return true;
        }
    }
    *ret_start = lowest;
    return nv_ranges_overlap(address, length, lowest, kernel->working_size);
}

int nv_kernel_find_initrd(const struct nv_kernel *kernel, const struct nv_memory *memory,
                          uint64_t size, uint64_t *ret_address, struct nestvirt_error **ret_error)
{
    const uint64_t limit = NV_MIN(nv_memory_low_end(memory), kernel->initrd_end);
    uint64_t end = limit;

    /* Each round ends below one more part of the kernel: at most segments + 2 rounds. */
    while (end > NV_LAYOUT_HIGH_START && size <= end - NV_LAYOUT_HIGH_START) {
        uint64_t address = nv_align_down(end - size, NV_PAGE_SIZE);

        if (!find_conflict(kernel, address, size, &end)) {
            *ret_address = address;
            return 0;
        }
    }
    return nv_fail(ret_error, -E2BIG, "initrd", "give the VM more memory or use a smaller initrd",
                   "0x%llx bytes do not fit beside the kernel between 0x%llx and 0x%llx",
                   (unsigned long long)size, (unsigned long long)NV_LAYOUT_HIGH_START,
                   (unsigned long long)limit);
}

int nv_kernel_place(const struct nv_kernel *kernel, const struct nv_memory *memory,
                    struct nestvirt_error **ret_error)
{
    for (uint32_t i = 0; i < kernel->segment_count; i++) {
        const struct nv_segment *segment = &kernel->segments[i];
        int r = nv_image_load(&kernel->image, segment->offset, segment->file_size, memory,
                              nv_gpa_at(segment->address), ret_error);

        if (r < 0)
            return r;
        /* What a build that failed later, or the caller, has left there. */
        r = nv_memory_clear(memory, nv_gpa_at(segment->address + segment->file_size),
                            segment->memory_size - segment->file_size);
        if (r < 0)
            return nv_fail(ret_error, NESTVIRT_E_BUG, kernel->image.name, "please report it",
                           "a checked segment is outside guest memory");
    }
    return 0;
}
