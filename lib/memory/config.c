/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the checks on a region's configuration and place. */
#include <errno.h>

#include "core/util.h"
#include "memory/layout.h"
#include "memory/region.h"

struct nv_text nv_region_name(uint32_t number)
{
    return nv_text("memory region %u", number);
}

static bool has_file(const struct nestvirt_memory_config *config)
{
    return config->backing == NESTVIRT_BACKING_FD || config->backing == NESTVIRT_BACKING_FILE;
}

static int check_words(const struct nestvirt_memory_config *config, const char *name,
                       struct nestvirt_error **ret_error)
{
    const uint32_t known = NESTVIRT_MEMORY_DEFAULT_LAYOUT | NESTVIRT_MEMORY_PREFAULT |
                           NESTVIRT_MEMORY_LOCK | NESTVIRT_MEMORY_READ_ONLY |
                           NESTVIRT_MEMORY_NO_DUMP | NESTVIRT_MEMORY_MERGEABLE |
                           NESTVIRT_MEMORY_ALLOW_UNSEALED | NESTVIRT_MEMORY_NUMA_STRICT;

    if (config->flags & ~known)
        return nv_fail(ret_error, -EINVAL, name, "clear them", "unknown flags 0x%x",
                       config->flags & ~known);
    if (config->reserved)
        return nv_fail(ret_error, -EINVAL, name, "set it to 0", "reserved field is 0x%x",
                       config->reserved);
    if (config->backing > NESTVIRT_BACKING_FILE)
        return nv_fail(ret_error, -EINVAL, name, "use NESTVIRT_BACKING_*", "unknown backing %u",
                       config->backing);
    if (config->huge_pages > NESTVIRT_HUGE_PAGES_NEVER)
        return nv_fail(ret_error, -EINVAL, name, "use NESTVIRT_HUGE_PAGES_*",
                       "unknown huge_pages %u", config->huge_pages);
    return 0;
}

static int check_size(const struct nestvirt_memory_config *config, const char *name,
                      struct nestvirt_error **ret_error)
{
    if (config->length == 0)
        return nv_fail(ret_error, -EINVAL, name, "give it at least one page of 4096 bytes",
                       "size is 0");
    if (!nv_is_aligned(config->length, NV_PAGE_SIZE))
        return nv_fail(ret_error, -EINVAL, name, "round it",
                       "size 0x%llx is not a multiple of 4096", (unsigned long long)config->length);
    if (!nv_is_aligned(config->address, NV_PAGE_SIZE))
        return nv_fail(ret_error, -EINVAL, name, "round it",
                       "address 0x%llx is not a multiple of 4096",
                       (unsigned long long)config->address);
    if (config->length > NV_LAYOUT_REGION_MAX)
        return nv_fail(ret_error, -EINVAL, name, "use several or smaller regions",
                       "size 0x%llx is above the limit of 16 TiB",
                       (unsigned long long)config->length);
    if (!nv_range_fits(config->address, config->length, NV_LAYOUT_ADDRESS_END))
        return nv_fail(ret_error, -EINVAL, name, "place it lower",
                       "0x%llx + 0x%llx is beyond the guest's 46-bit address space",
                       (unsigned long long)config->address, (unsigned long long)config->length);
    if (config->flags & NESTVIRT_MEMORY_DEFAULT_LAYOUT && config->address != 0)
        return nv_fail(ret_error, -EINVAL, name, "set the address to 0",
                       "has an address and asks for the default layout");
    return 0;
}

static int check_huge(const struct nestvirt_memory_config *config, const char *name,
                      struct nestvirt_error **ret_error)
{
    uint64_t size = config->page_size;

    if (config->backing != NESTVIRT_BACKING_HUGETLB) {
        if (size == 0)
            return 0;
        return nv_fail(ret_error, -EINVAL, name, "use NESTVIRT_BACKING_HUGETLB, or set it to 0",
                       "page_size is set for another backing");
    }
    if (size != 0 && size != NV_MIB(2) && size != NV_GIB(1))
        return nv_fail(ret_error, -EINVAL, name, "use 2 MiB or 1 GiB, or 0 for the host's default",
                       "unknown page size 0x%llx", (unsigned long long)size);
    if (config->huge_pages)
        return nv_fail(ret_error, -EINVAL, name, "leave huge_pages at the default",
                       "transparent huge pages do not go with NESTVIRT_BACKING_HUGETLB");
    size = size ? size : nv_hugetlb_default_size();
    if (!nv_is_aligned(config->length | config->address, size))
        return nv_fail(ret_error, -EINVAL, name, "round them, or use smaller pages",
                       "address 0x%llx or size 0x%llx is not a multiple of the page size 0x%llx",
                       (unsigned long long)config->address, (unsigned long long)config->length,
                       (unsigned long long)size);
    return 0;
}

static int check_file(const struct nestvirt_memory_config *config, const char *name,
                      struct nestvirt_error **ret_error)
{
    if (!has_file(config) && config->offset)
        return nv_fail(ret_error, -EINVAL, name,
                       "use NESTVIRT_BACKING_FD or NESTVIRT_BACKING_FILE, or set it to 0",
                       "offset is set for a backing without a file");
    if (!has_file(config) && config->flags & NESTVIRT_MEMORY_ALLOW_UNSEALED)
        return nv_fail(ret_error, -EINVAL, name,
                       "use NESTVIRT_BACKING_FD or NESTVIRT_BACKING_FILE, or leave it out",
                       "NESTVIRT_MEMORY_ALLOW_UNSEALED for a backing without a file");
    if (!nv_is_aligned(config->offset, NV_PAGE_SIZE))
        return nv_fail(ret_error, -EINVAL, name, "round it",
                       "offset 0x%llx is not a multiple of 4096",
                       (unsigned long long)config->offset);
    return 0;
}

/* What the kernel would take and then ignore. */
static int check_mergeable(const struct nestvirt_memory_config *config, const char *name,
                           struct nestvirt_error **ret_error)
{
    return config->flags & NESTVIRT_MEMORY_MERGEABLE
               ? nv_region_check_mergeable(config, name, ret_error)
               : 0;
}

int nv_region_check(const struct nestvirt_memory_config *config, uint32_t number,
                    struct nestvirt_error **ret_error)
{
    static int (*const checks[])(const struct nestvirt_memory_config *, const char *,
                                 struct nestvirt_error **) = { check_words, check_size, check_huge,
                                                               check_file, check_mergeable };
    const struct nv_text name = nv_region_name(number);
    int r = 0;

    for (size_t i = 0; i < NV_ARRAY_SIZE(checks) && r == 0; i++)
        r = checks[i](config, name.s, ret_error);
    return r;
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

int nv_region_check_place(const struct nv_memory *memory, uint64_t address, uint64_t length,
                          uint32_t number, struct nestvirt_error **ret_error)
{
    for (size_t i = 0; i < NV_ARRAY_SIZE(windows); i++)
        if (nv_ranges_overlap(address, length, windows[i].address, windows[i].length))
            return nv_fail(ret_error, -EEXIST, nv_region_name(number).s,
                           "keep RAM out of 0xfec00000 to 0xffffffff",
                           "0x%llx + 0x%llx overlaps %s at 0x%llx", (unsigned long long)address,
                           (unsigned long long)length, windows[i].name,
                           (unsigned long long)windows[i].address);
    for (uint32_t i = 0; i < memory->slot_count; i++) {
        const struct nv_memory_slot *slot = &memory->slots[i];

        if (nv_ranges_overlap(address, length, slot->address, slot->length))
            return nv_fail(ret_error, -EEXIST, nv_region_name(number).s,
                           "move or shorten it; the first one may be the VM's memory_size, which "
                           "can be 0",
                           "0x%llx + 0x%llx overlaps region %u at 0x%llx + 0x%llx",
                           (unsigned long long)address, (unsigned long long)length, slot->region,
                           (unsigned long long)slot->address, (unsigned long long)slot->length);
    }
    return 0;
}
