/* SPDX-License-Identifier: Apache-2.0 */
/* Owns guest memory: regions with their backing, and the one checked way to their bytes. */
#include "memory/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/cleanup.h"
#include "core/error.h"
#include "core/util.h"
#include "host/thread.h"
#include "memory/layout.h"
#include "memory/numa.h"

/* From here on madvise is cheaper than writing zeroes. */
enum { CLEAR_BY_ADVICE_MIN = 64 * 1024 };

static struct nv_text region_name(uint32_t region)
{
    return nv_text("memory region %u", region);
}

void nv_memory_init(struct nv_memory *memory)
{
    memset(memory, 0, sizeof(*memory));
    for (size_t i = 0; i < NV_MEMORY_REGIONS_MAX; i++)
        memory->regions[i].fd = -1;
}

static void region_drop(struct nv_memory_region *region, bool unmap)
{
    if (unmap && region->host)
        munmap(region->host, region->config.length);
    if (region->fd >= 0)
        close(region->fd);
    free(region->policy);
    *region = (struct nv_memory_region){ .fd = -1 };
}

void nv_memory_destroy(struct nv_memory *memory, bool unmap)
{
    for (size_t i = 0; i < NV_MEMORY_REGIONS_MAX; i++)
        if (memory->regions[i].used)
            region_drop(&memory->regions[i], unmap);
    memory->slot_count = 0;
}

static int check_config(const struct nestvirt_memory_config *config, uint32_t number,
                        struct nestvirt_error **ret_error)
{
    const struct nv_text name = region_name(number);
    bool by_layout = config->flags & NESTVIRT_MEMORY_DEFAULT_LAYOUT;

    if (config->flags & ~(uint32_t)(NESTVIRT_MEMORY_DEFAULT_LAYOUT | NESTVIRT_MEMORY_NUMA_STRICT))
        return nv_fail(ret_error, -EINVAL, name.s, "clear them", "unknown flags 0x%x",
                       config->flags);
    if (config->reserved)
        return nv_fail(ret_error, -EINVAL, name.s, "set it to 0", "reserved field is 0x%x",
                       config->reserved);
    if (config->backing > NESTVIRT_BACKING_MEMFD)
        return nv_fail(ret_error, -EINVAL, name.s, "use NESTVIRT_BACKING_*", "unknown backing %u",
                       config->backing);
    if (config->offset || config->page_size || config->huge_pages)
        return nv_fail(ret_error, -ENOTSUP, name.s, "leave them zero",
                       "placement fields are set, which this build does not know");
    if (config->length == 0)
        return nv_fail(ret_error, -EINVAL, name.s, "give it at least one page of 4096 bytes",
                       "size is 0");
    if (!nv_is_aligned(config->length, NV_PAGE_SIZE))
        return nv_fail(ret_error, -EINVAL, name.s, "round it",
                       "size 0x%llx is not a multiple of 4096", (unsigned long long)config->length);
    if (!nv_is_aligned(config->address, NV_PAGE_SIZE))
        return nv_fail(ret_error, -EINVAL, name.s, "round it",
                       "address 0x%llx is not a multiple of 4096",
                       (unsigned long long)config->address);
    if (config->length > NV_LAYOUT_REGION_MAX)
        return nv_fail(ret_error, -EINVAL, name.s, "use several or smaller regions",
                       "size 0x%llx is above the limit of 16 TiB",
                       (unsigned long long)config->length);
    if (!nv_range_fits(config->address, config->length, NV_LAYOUT_ADDRESS_END))
        return nv_fail(ret_error, -EINVAL, name.s, "place it lower",
                       "0x%llx + 0x%llx is beyond the guest's 46-bit address space",
                       (unsigned long long)config->address, (unsigned long long)config->length);
    if (by_layout && config->address != 0)
        return nv_fail(ret_error, -EINVAL, name.s, "set the address to 0",
                       "has an address and asks for the default layout");
    return 0;
}

/* The library's own windows, which memory must leave free. */
static const struct {
    uint64_t address;
    uint64_t length;
    const char *name;
} windows[] = {
    { NV_LAYOUT_IOAPIC, NV_LAYOUT_IOAPIC_SIZE, "the IOAPIC" },
    { NV_LAYOUT_LAPIC, NV_LAYOUT_LAPIC_SIZE, "the local APICs" },
    { NV_LAYOUT_KVM_PAGES, NV_LAYOUT_KVM_PAGES_SIZE, "KVM's own pages" },
};

static int check_place(const struct nv_memory *memory, uint64_t address, uint64_t length,
                       uint32_t number, struct nestvirt_error **ret_error)
{
    for (size_t i = 0; i < NV_ARRAY_SIZE(windows); i++)
        if (nv_ranges_overlap(address, length, windows[i].address, windows[i].length))
            return nv_fail(ret_error, -EEXIST, region_name(number).s,
                           "keep RAM out of 0xfec00000 to 0xffffffff",
                           "0x%llx + 0x%llx overlaps %s at 0x%llx", (unsigned long long)address,
                           (unsigned long long)length, windows[i].name,
                           (unsigned long long)windows[i].address);
    for (uint32_t i = 0; i < memory->slot_count; i++) {
        const struct nv_memory_slot *slot = &memory->slots[i];

        if (nv_ranges_overlap(address, length, slot->address, slot->length))
            return nv_fail(ret_error, -EEXIST, region_name(number).s, "move or shorten it",
                           "0x%llx + 0x%llx overlaps region %u at 0x%llx + 0x%llx",
                           (unsigned long long)address, (unsigned long long)length, slot->region,
                           (unsigned long long)slot->address, (unsigned long long)slot->length);
    }
    return 0;
}

static int open_memfd(uint64_t length, const char *name, struct nestvirt_error **ret_error)
{
    NV_AUTO_FD fd = memfd_create("nestvirt", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    struct nv_signal_shield shield;
    int r;

    if (fd < 0)
        return nv_fail_sys(ret_error, errno, name, "memfd_create", "raise the limit on open files");
    nv_signals_shield(&shield); /* RLIMIT_FSIZE would send SIGXFSZ */
    r = ftruncate(fd, (off_t)length) < 0 ? errno : 0;
    nv_signals_unshield(&shield);
    if (r)
        return nv_fail_sys(ret_error, r, name, "ftruncate of a memfd",
                           "use less memory, or raise the limit on file size (ulimit -f)");
    if (fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
        return nv_fail_sys(ret_error, errno, name, "F_ADD_SEALS", "use anonymous backing");
    return nv_steal_fd(&fd);
}

static int map_region(const struct nestvirt_memory_config *config, uint32_t number,
                      struct nv_memory_region *ret_region, struct nestvirt_error **ret_error)
{
    static const char hint[] = "use less memory, or raise the limits on address space and mappings";
    const struct nv_text name = region_name(number);
    int flags = MAP_NORESERVE | MAP_PRIVATE | MAP_ANONYMOUS;
    NV_AUTO_FD fd = -1;
    void *host;

    if (config->backing == NESTVIRT_BACKING_MEMFD) {
        fd = open_memfd(config->length, name.s, ret_error);
        if (fd < 0)
            return fd;
        flags = MAP_NORESERVE | MAP_SHARED;
    }
    host = mmap(NULL, config->length, PROT_READ | PROT_WRITE, flags, fd, 0);
    if (host == MAP_FAILED)
        return nv_fail_sys(ret_error, errno, name.s, "mmap", hint);
    if (madvise(host, config->length, MADV_DONTFORK) < 0) {
        int saved = errno;

        munmap(host, config->length);
        return nv_fail_sys(ret_error, saved, name.s, "madvise(MADV_DONTFORK)", hint);
    }
    *ret_region = (struct nv_memory_region){
        .used = true, .config = *config, .host = host, .fd = nv_steal_fd(&fd)
    };
    return 0;
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
        return nv_fail(ret_error, -ENOSPC, region_name(number).s, "use fewer, larger regions",
                       "a VM has at most %d regions", NV_MEMORY_REGIONS_MAX);
    r = check_config(config, number, ret_error);
    if (r < 0)
        return r;
    count = split(config, pieces);
    for (uint32_t i = 0; i < count; i++) {
        r = check_place(memory, pieces[i].address, pieces[i].length, number, ret_error);
        if (r < 0)
            return r;
    }
    r = map_region(config, number, &memory->regions[number], ret_error);
    if (r < 0)
        return r;
    r = nv_memory_place(memory, number, ret_error);
    if (r < 0) {
        region_drop(&memory->regions[number], true);
        return r;
    }
    pieces[0].host = memory->regions[number].host;
    pieces[1].host = pieces[0].host + pieces[0].length;
    for (uint32_t i = 0; i < count; i++) {
        pieces[i].region = number;
        insert_slot(memory, &pieces[i]);
    }
    return (int)number;
}

int nv_memory_remove(struct nv_memory *memory, uint32_t region, struct nestvirt_error **ret_error)
{
    uint32_t kept = 0;

    if (region >= NV_MEMORY_REGIONS_MAX || !memory->regions[region].used)
        return nv_fail(ret_error, -ENOENT, region_name(region).s, "use a number add returned",
                       "does not exist");
    for (uint32_t i = 0; i < memory->slot_count; i++)
        if (memory->slots[i].region != region)
            memory->slots[kept++] = memory->slots[i];
    memory->slot_count = kept;
    region_drop(&memory->regions[region], true);
    return 0;
}

int nv_memory_zero(struct nv_memory *memory, struct nestvirt_error **ret_error)
{
    for (uint32_t i = 0; i < NV_MEMORY_REGIONS_MAX; i++) {
        struct nv_memory_region *region = &memory->regions[i];
        int advice = region->fd >= 0 ? MADV_REMOVE : MADV_DONTNEED;

        if (region->used && madvise(region->host, region->config.length, advice) < 0)
            return nv_fail_sys(ret_error, errno, region_name(i).s, "madvise",
                               "unlock the memory or make a new VM");
    }
    return 0;
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

void *nv_memory_run(const struct nv_memory *memory, nv_gpa address, uint64_t *length)
{
    const struct nv_memory_slot *slot = find_slot(memory, address.value);
    uint64_t offset;

    if (!slot || *length == 0)
        return NULL;
    offset = address.value - slot->address;
    *length = NV_MIN(*length, slot->length - offset);
    return slot->host + offset;
}

void *nv_memory_at(const struct nv_memory *memory, nv_gpa address, uint64_t length)
{
    uint64_t run = length;
    void *host = nv_memory_run(memory, address, &run);

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
    int advice = memory->regions[slot->region].fd >= 0 ? MADV_REMOVE : MADV_DONTNEED;
    uint8_t *first = (uint8_t *)(uintptr_t)nv_align_up((uintptr_t)host, NV_PAGE_SIZE);
    uint8_t *last = (uint8_t *)(uintptr_t)nv_align_down((uintptr_t)host + length, NV_PAGE_SIZE);

    if (length < CLEAR_BY_ADVICE_MIN || madvise(first, (size_t)(last - first), advice) < 0) {
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
    int advice;
    int r;

    if (!region || !nv_is_aligned((uintptr_t)host | length, NV_PAGE_SIZE))
        return -EFAULT;
    /* A shared mapping's page stays in its file, so that needs a hole; a private one's does not. */
    advice = region->fd >= 0 ? MADV_REMOVE : MADV_DONTNEED;
    if (length == 0 || madvise(host, length, advice) == 0)
        return 0;
    r = -errno;
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
    while (end < NV_LAYOUT_GAP && nv_memory_run(memory, nv_gpa_at(end), &length)) {
        end += length;
        length = NV_LAYOUT_GAP;
    }
    return NV_MIN(end, NV_LAYOUT_GAP);
}
