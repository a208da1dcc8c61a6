/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the file behind an image of guest memory: making, sealing and mapping it, and its record. */
#include "memory/image.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "core/cleanup.h"
#include "core/util.h"
#include "host/thread.h"
#include "memory/layout.h"

enum { IMAGE_RECORD = NV_RECORD('M', 'E', 'M', 'R'), IMAGE_VERSION = 1 };

/* Pages that the kernel still holds for a moment keep a memfd from being sealed. */
enum { SEAL_TRIES = 100, SEAL_WAIT_NS = 1000000 };

static const char object[] = "memory image";

void nv_ram_init(struct nv_ram *image)
{
    *image = (struct nv_ram){ .fd = -1 };
}

void nv_ram_destroy(struct nv_ram *image)
{
    if (image->fd >= 0)
        close(image->fd);
    nv_ram_init(image);
}

int nv_ram_open_file(uint64_t length, int *ret_fd, struct nestvirt_error **ret_error)
{
    NV_AUTO_FD fd = memfd_create("nestvirt-template", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    struct nv_signal_shield shield;
    int r;

    if (fd < 0)
        return nv_fail_sys(ret_error, errno, object, "memfd_create",
                           "raise the limit on open files");
    nv_signals_shield(&shield); /* RLIMIT_FSIZE would send SIGXFSZ */
    r = ftruncate(fd, (off_t)length) < 0 ? errno : 0;
    nv_signals_unshield(&shield);
    if (r)
        return nv_fail_sys(ret_error, r, object, "ftruncate of a memfd",
                           "raise the limit on file size (ulimit -f)");
    *ret_fd = nv_steal_fd(&fd);
    return 0;
}

/*
 * Nobody else has the descriptor, so that a seal against writes that cannot be had is no loss: then
 * there is one against writes from now on.
 */
void nv_ram_seal(const struct nv_ram *image)
{
    const struct timespec pause = { .tv_nsec = SEAL_WAIT_NS };
    const int size = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;

    for (int i = 0; i < SEAL_TRIES; i++) {
        if (fcntl(image->fd, F_ADD_SEALS, F_SEAL_WRITE | size) == 0 || errno != EBUSY)
            return;
        nanosleep(&pause, NULL);
    }
    fcntl(image->fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE | size);
}

int nv_ram_write(int fd, const void *bytes, uint64_t length, uint64_t offset)
{
    const uint8_t *at = bytes;
    struct nv_signal_shield shield;
    int r = 0;

    nv_signals_shield(&shield);
    while (length > 0 && r == 0) {
        ssize_t done = pwrite(fd, at, NV_MIN(length, NV_MIB(64)), (off_t)offset);

        if (done < 0 && errno != EINTR)
            r = -errno;
        if (done == 0)
            r = -EIO;
        if (done > 0) {
            at += done;
            offset += (uint64_t)done;
            length -= (uint64_t)done;
        }
    }
    nv_signals_unshield(&shield);
    return r;
}

bool nv_page_is_zero(const uint8_t *page)
{
    uint64_t first;

    memcpy(&first, page, sizeof(first));
    return first == 0 && memcmp(page, page + sizeof(first), NV_PAGE_SIZE - sizeof(first)) == 0;
}

bool nv_ram_next_data(int fd, uint64_t from, uint64_t end, uint64_t *ret_start, uint64_t *ret_end)
{
    off_t start = lseek(fd, (off_t)from, SEEK_DATA);
    off_t stop;

    if (start < 0 && errno == EINVAL) { /* this file system knows no holes */
        *ret_start = from;
        *ret_end = end;
        return from < end;
    }
    if (start < 0 || (uint64_t)start >= end)
        return false;
    stop = lseek(fd, start, SEEK_HOLE);
    *ret_start = nv_align_down((uint64_t)start, NV_PAGE_SIZE);
    *ret_end = stop < 0 ? end : NV_MIN(nv_align_up((uint64_t)stop, NV_PAGE_SIZE), end);
    *ret_start = NV_MAX(*ret_start, from);
    return *ret_start < *ret_end;
}

uint64_t nv_ram_measure(int fd, uint64_t length)
{
    uint64_t bytes = 0;
    uint64_t start;
    uint64_t end = 0;

    while (nv_ram_next_data(fd, end, length, &start, &end))
        bytes += end - start;
    return bytes;
}

int nv_ram_map(const struct nv_ram *image, struct nv_memory *memory,
               struct nestvirt_error **ret_error)
{
    for (uint32_t i = 0; i < image->count; i++) {
        const struct nv_ram_region *from = &image->regions[i];
        const struct nestvirt_memory_config config = {
            .size = sizeof(config),
            .flags = from->flags | (image->is_trusted ? NESTVIRT_MEMORY_ALLOW_UNSEALED : 0),
            .address = from->address,
            .length = from->length,
            .backing = NESTVIRT_BACKING_FILE,
            .offset = image->offset + from->offset,
            .fd = image->fd,
        };
        int r = nv_memory_add(memory, &config, ret_error);

        if (r < 0)
            return r;
        memory->regions[r].is_image = true;
    }
    return 0;
}

void nv_ram_save(const struct nv_ram *image, struct nv_writer *writer)
{
    size_t mark = nv_write_begin(writer, IMAGE_RECORD, IMAGE_VERSION);

    nv_write_u32(writer, image->count);
    for (uint32_t i = 0; i < image->count; i++) {
        nv_write_u64(writer, image->regions[i].address);
        nv_write_u64(writer, image->regions[i].length);
        nv_write_u32(writer, image->regions[i].flags);
    }
    nv_write_end(writer, mark);
}

int nv_ram_load(struct nv_reader *reader, struct nv_ram *ret_image,
                struct nestvirt_error **ret_error)
{
    struct nv_reader body;
    uint32_t count;
    int r = nv_read_begin(reader, IMAGE_RECORD, IMAGE_VERSION, object, &body, ret_error);

    if (r < 0)
        return r;
    nv_ram_init(ret_image);
    count = nv_read_u32(&body);
    if (count > NV_MEMORY_REGIONS_MAX)
        return nv_bad_state(object, "it has too many regions", ret_error);
    for (uint32_t i = 0; i < count; i++) {
        struct nv_ram_region *region = &ret_image->regions[i];

        region->address = nv_read_u64(&body);
        region->length = nv_read_u64(&body);
        region->flags = nv_read_u32(&body);
        region->offset = ret_image->length;
        if (region->length == 0 || region->length > NV_LAYOUT_REGION_MAX ||
            !nv_is_aligned(region->length, NV_PAGE_SIZE) ||
            region->flags & ~(uint32_t)NV_IMAGE_FLAGS)
            body.is_bad = true;
        else
            ret_image->length += region->length;
    }
    ret_image->count = count;
    return nv_read_end(&body, object, ret_error);
}

bool nv_ram_can_take(const struct nv_memory *memory)
{
    const struct nv_memory_region *only = NULL;

    for (uint32_t i = 0; i < NV_MEMORY_REGIONS_MAX; i++) {
        if (!memory->regions[i].used)
            continue;
        if (only)
            return false;
        only = &memory->regions[i];
    }
    return only && only->config.backing == NESTVIRT_BACKING_MEMFD;
}

void nv_ram_take(struct nv_memory *memory, struct nv_ram *ret_image)
{
    nv_ram_init(ret_image);
    nv_ram_describe(memory, ret_image);
    for (uint32_t i = 0; i < NV_MEMORY_REGIONS_MAX; i++)
        if (memory->regions[i].used) {
            ret_image->fd = memory->regions[i].fd;
            memory->regions[i].fd = -1;
        }
    ret_image->data = nv_ram_measure(ret_image->fd, ret_image->length);
    nv_ram_leave(memory, ret_image->fd);
    nv_ram_seal(ret_image);
}

/* If it fails the pages stay as they are, which costs memory and no more. */
void nv_ram_leave(struct nv_memory *memory, int fd)
{
    const int flags = MAP_PRIVATE | MAP_FIXED | MAP_NORESERVE | (fd < 0 ? MAP_ANONYMOUS : 0);

    memory->slot_count = 0; /* no address of the guest leads anywhere any more */
    for (uint32_t i = 0; i < NV_MEMORY_REGIONS_MAX; i++) {
        const struct nv_memory_region *region = &memory->regions[i];

        if (!region->used || mmap(region->host, region->config.length, PROT_READ | PROT_WRITE,
                                  flags, fd, 0) == MAP_FAILED)
            continue;
        madvise(region->host, region->config.length, MADV_DONTFORK);
        if (region->config.flags & NESTVIRT_MEMORY_NO_DUMP)
            madvise(region->host, region->config.length, MADV_DONTDUMP);
    }
}
