/* SPDX-License-Identifier: Apache-2.0 */
/* Owns on which nodes of the host a region's pages are. */
#include <errno.h>

#include "core/error.h"
#include "core/util.h"
#include "host/numa.h"
#include "memory/numa.h"

enum { BATCH = 256 }; /* pages asked for at once; the kernel itself goes by 16 */

int nv_memory_open_numa(const struct nv_memory *memory, struct nv_numa_ops *ret_ops,
                        struct nestvirt_error **ret_error)
{
    if (!memory->numa_ops)
        return nv_numa_open(ret_ops, ret_error);
    *ret_ops = *memory->numa_ops;
    return 0;
}

int nv_memory_find_region(const struct nv_memory *memory, uint32_t number,
                          struct nestvirt_error **ret_error)
{
    if (number < NV_MEMORY_REGIONS_MAX && memory->regions[number].used)
        return 0;
    return nv_fail(ret_error, -ENOENT, nv_region_name(number).s,
                   "use a number nestvirt_memory_add returned", "does not exist");
}

int nv_memory_count_pages(const struct nv_numa_ops *ops, const struct nv_memory_region *region,
                          struct nestvirt_memory_placement *placement, uint64_t *counts,
                          uint32_t count)
{
    uint64_t total = region->config.length / NV_PAGE_SIZE;
    void *pages[BATCH];
    int nodes[BATCH];

    for (uint64_t done = 0; done < total; done += BATCH) {
        uint32_t batch = (uint32_t)NV_MIN(total - done, (uint64_t)BATCH);
        int r;

        for (uint32_t i = 0; i < batch; i++)
            pages[i] = region->host + (done + i) * NV_PAGE_SIZE;
        r = nv_numa_locate(ops, batch, pages, nodes);
        if (r < 0)
            return r;
        for (uint32_t i = 0; i < batch; i++) {
            if (nodes[i] < 0)
                placement->absent++;
            else if ((uint32_t)nodes[i] < count)
                counts[nodes[i]]++;
            else
                placement->elsewhere++;
            placement->resident += nodes[i] >= 0;
        }
    }
    return 0;
}

int nv_memory_get_placement(const struct nv_memory *memory, uint32_t number,
                            struct nestvirt_memory_placement *ret_placement, uint64_t *pages,
                            uint32_t count, struct nestvirt_error **ret_error)
{
    const struct nv_text name = nv_region_name(number);
    struct nestvirt_memory_placement placement = { .size = sizeof(placement) };
    struct nv_numa_ops ops;
    struct nv_set nodes;
    int r = nv_memory_find_region(memory, number, ret_error);

    if (r == 0)
        r = nv_memory_open_numa(memory, &ops, ret_error);
    if (r < 0)
        return r;
    for (uint32_t i = 0; i < count; i++)
        pages[i] = 0;
    r = nv_numa_get(&ops, memory->regions[number].host, &placement.policy, &nodes);
    if (r < 0)
        return nv_fail_sys(ret_error, -r, name.s, "get_mempolicy",
                           "let the sandbox allow it, or see who else sets policies");
    r = nv_memory_count_pages(&ops, &memory->regions[number], &placement, pages, count);
    if (r < 0)
        return nv_fail_sys(ret_error, -r, name.s, "move_pages", "let the sandbox allow it");
    *ret_placement = placement;
    return 0;
}
