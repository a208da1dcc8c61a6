/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the copying of guest memory into an image: which pages may hold data, and those that do. */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "core/cleanup.h"
#include "core/util.h"
#include "memory/image.h"
#include "memory/region.h"

/* Entries of /proc/self/pagemap (Documentation/admin-guide/mm/pagemap.rst). */
#define PAGE_PRESENT (1ull << 63)
#define PAGE_SWAPPED (1ull << 62)

enum { PIECE_PAGES = 512 }; /* whose entries are looked at together */

static const char object[] = "memory image";

/* How pages with data are found. */
struct source {
    struct nv_headroom *headroom;
    const struct nv_memory_region *region;
    int pagemap_fd; /* -1: not used */
    int file_fd;    /* holes of it are zeroes; -1: not used */
    uint64_t file_offset;
    uint64_t entries[PIECE_PAGES];
    uint64_t data_start, data_end; /* the stretch of the file's data that was found last */
};

/* A private mapping's own pages are in the page table; behind those of an image is its file. */
static void find_source(const struct nv_memory_region *region, const struct nv_ram *origin,
                        int pagemap_fd, struct source *ret_source)
{
    bool is_plain = region->page_size == NV_PAGE_SIZE && !nv_region_is_lazy_file(region);

    ret_source->region = region;
    ret_source->pagemap_fd = ret_source->file_fd = -1;
    ret_source->file_offset = region->config.offset;
    ret_source->data_start = ret_source->data_end = 0;
    if (region->config.backing == NESTVIRT_BACKING_MEMFD) {
        ret_source->file_fd = region->fd;
        ret_source->file_offset = 0;
    } else if (region->is_image && origin && pagemap_fd >= 0) {
        ret_source->file_fd = origin->fd;
        ret_source->pagemap_fd = pagemap_fd;
    } else if (is_plain && region->config.backing != NESTVIRT_BACKING_FD) {
        ret_source->pagemap_fd = pagemap_fd;
    }
}

/* Pages whose entries cannot be read may hold data. */
static void look_at_piece(struct source *source, uint64_t offset, uint32_t pages)
{
    uint64_t first = ((uintptr_t)source->region->host + offset) / NV_PAGE_SIZE;
    size_t wanted = pages * sizeof(source->entries[0]);

    if (source->pagemap_fd < 0)
        return;
    if (pread(source->pagemap_fd, source->entries, wanted, (off_t)(first * 8)) == (ssize_t)wanted)
        return;
    for (uint32_t i = 0; i < pages; i++)
        source->entries[i] = PAGE_PRESENT;
}

static bool is_in_file(struct source *source, uint64_t offset)
{
    uint64_t at = source->file_offset + offset;
    uint64_t end = source->file_offset + source->region->config.length;

    if (at < source->data_start) /* in the hole before the stretch */
        return false;
    if (at < source->data_end)
        return true;
    if (source->data_start == UINT64_MAX)
        return false;
    if (!nv_ram_next_data(source->file_fd, at, end, &source->data_start, &source->data_end))
        source->data_start = source->data_end = UINT64_MAX;
    return at >= source->data_start;
}

static bool may_hold_data(struct source *source, uint64_t offset, uint32_t page)
{
    if (source->pagemap_fd >= 0 && source->entries[page] & (PAGE_PRESENT | PAGE_SWAPPED))
        return true;
    if (source->file_fd >= 0)
        return is_in_file(source, offset);
    return source->pagemap_fd < 0;
}

static int copy_run(const struct source *source, struct nv_ram *image, uint64_t image_offset,
                    uint64_t start, uint64_t end, struct nestvirt_error **ret_error)
{
    int r;

    if (start == end)
        return 0;
    r = nv_headroom_take(source->headroom, end - start, object, ret_error);
    if (r < 0)
        return r;
    image->data += end - start;
    r = nv_ram_write(image->fd, source->region->host + start, end - start, image_offset + start);
    return r < 0
               ? nv_fail_sys(ret_error, -r, object, "write to a memfd",
                             "free memory on the host, or raise the limit on file size (ulimit -f)")
               : 0;
}

/* Copies runs of pages that are not all zeroes. */
static int copy_region(struct source *source, struct nv_ram *image, uint64_t image_offset,
                       struct nestvirt_error **ret_error)
{
    const struct nv_memory_region *region = source->region;
    uint64_t length = region->config.length;
    uint64_t start = 0; /* of the run that goes on */
    int r = 0;

    for (uint64_t offset = 0; offset < length && r == 0; offset += NV_PAGE_SIZE) {
        uint32_t page = (uint32_t)(offset / NV_PAGE_SIZE % PIECE_PAGES);

        if (page == 0)
            look_at_piece(
                source, offset,
                (uint32_t)NV_MIN((length - offset) / NV_PAGE_SIZE, (uint64_t)PIECE_PAGES));
        if (may_hold_data(source, offset, page) && !nv_page_is_zero(region->host + offset))
            continue;
        r = copy_run(source, image, image_offset, start, offset, ret_error);
        start = offset + NV_PAGE_SIZE;
    }
    if (r == 0 && start < length)
        r = copy_run(source, image, image_offset, start, length, ret_error);
    return r;
}

void nv_ram_describe(const struct nv_memory *memory, struct nv_ram *image)
{
    for (uint32_t i = 0; i < NV_MEMORY_REGIONS_MAX; i++) {
        const struct nv_memory_region *region = &memory->regions[i];

        if (!region->used)
            continue;
        image->regions[image->count++] = (struct nv_ram_region){
            .address = region->config.address,
            .length = region->config.length,
            .offset = image->length,
            .flags = (region->config.flags & NV_IMAGE_FLAGS & ~NESTVIRT_MEMORY_MERGEABLE) |
                     (nv_region_is_mergeable(region) ? NESTVIRT_MEMORY_MERGEABLE : 0),
        };
        image->length += region->config.length;
    }
}

static int copy_all(const struct nv_memory *memory, const struct nv_ram *origin,
                    struct nv_headroom *headroom, struct nv_ram *image,
                    struct nestvirt_error **ret_error)
{
    NV_AUTO_FD pagemap_fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
    NV_AUTO_FREE struct source *source = malloc(sizeof(*source));
    uint32_t next = 0;
    int r = 0;

    if (!source)
        return nv_fail_sys(ret_error, ENOMEM, object, "malloc", "free memory in this process");
    source->headroom = headroom;
    for (uint32_t i = 0; i < NV_MEMORY_REGIONS_MAX && r == 0; i++) {
        if (!memory->regions[i].used)
            continue;
        find_source(&memory->regions[i], origin, pagemap_fd, source);
        r = copy_region(source, image, image->regions[next++].offset, ret_error);
    }
    return r;
}

int nv_ram_copy(const struct nv_memory *memory, const struct nv_ram *origin,
                struct nv_headroom *headroom, struct nv_ram *ret_image,
                struct nestvirt_error **ret_error)
{
    int r;

    nv_ram_init(ret_image);
    nv_ram_describe(memory, ret_image);
    r = nv_ram_open_file(ret_image->length, &ret_image->fd, ret_error);
    if (r < 0)
        return r;
    r = copy_all(memory, origin, headroom, ret_image, ret_error);
    if (r < 0) {
        nv_ram_destroy(ret_image);
        return r;
    }
    nv_ram_seal(ret_image);
    return 0;
}
