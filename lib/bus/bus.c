/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the map from ports and MMIO addresses to handlers. */
#include "bus/bus.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/error.h"
#include "core/util.h"
#include "memory/layout.h"

static struct nv_space *space_of(struct nv_bus *bus, uint32_t space)
{
    return space == NESTVIRT_SPACE_PORT ? &bus->port : &bus->mmio;
}

static struct nv_text range_name(uint32_t space, uint64_t address, uint64_t length)
{
    return nv_text("%s range 0x%llx + 0x%llx", space == NESTVIRT_SPACE_PORT ? "port" : "MMIO",
                   (unsigned long long)address, (unsigned long long)length);
}

static struct nv_range take_range(struct nv_space *space, uint32_t i)
{
    struct nv_range range = space->ranges[i];

    memmove(&space->ranges[i], &space->ranges[i + 1],
            (space->count - i - 1) * sizeof(space->ranges[0]));
    space->count--;
    return range;
}

static void destroy_space(struct nv_space *space)
{
    while (space->count > 0) {
        struct nv_range range = take_range(space, space->count - 1);

        if (range.free_data)
            range.free_data(range.user_data);
    }
    free(space->ranges);
    *space = (struct nv_space){ 0 };
}

void nv_bus_destroy(struct nv_bus *bus)
{
    destroy_space(&bus->port);
    destroy_space(&bus->mmio);
    for (uint32_t i = 0; i < bus->ioeventfd_count; i++)
        if (!bus->ioeventfds[i].is_lent)
            close(bus->ioeventfds[i].config.fd);
    free(bus->ioeventfds);
    bus->ioeventfds = NULL;
    bus->ioeventfd_count = 0;
}

static int check_range(uint32_t space, uint64_t address, uint64_t length, bool internal,
                       struct nestvirt_error **ret_error)
{
    const struct nv_text name = range_name(space, address, length);
    uint64_t end = space == NESTVIRT_SPACE_PORT ? 0x10000 : NV_LAYOUT_ADDRESS_END;

    if (space != NESTVIRT_SPACE_PORT && space != NESTVIRT_SPACE_MMIO)
        return nv_fail(ret_error, -EINVAL, "handler", "use NESTVIRT_SPACE_*",
                       "unknown address space %u", space);
    if (length == 0)
        return nv_fail(ret_error, -EINVAL, name.s, "give it at least one byte", "is empty");
    if (!nv_range_fits(address, length, end))
        return nv_fail(ret_error, -EINVAL, name.s, "move or shorten it",
                       "ends beyond the address space");
    if (!internal && space == NESTVIRT_SPACE_MMIO &&
        (nv_ranges_overlap(address, length, NV_LAYOUT_IOAPIC, NV_LAYOUT_IOAPIC_SIZE) ||
         nv_ranges_overlap(address, length, NV_LAYOUT_LAPIC, NV_LAYOUT_LAPIC_SIZE)))
        return nv_fail(ret_error, -EEXIST, name.s, "place it below 0xfec00000",
                       "overlaps the interrupt controllers");
    return 0;
}

static int grow_space(struct nv_space *space, const char *name, struct nestvirt_error **ret_error)
{
    uint32_t capacity = space->capacity ? space->capacity * 2 : 8;
    struct nv_range *ranges;

    if (space->count < space->capacity)
        return 0;
    if (space->count >= NV_RANGES_MAX)
        return nv_fail(ret_error, -ENOSPC, name, "join ranges", "a VM has at most %d ranges",
                       NV_RANGES_MAX);
    ranges = realloc(space->ranges, capacity * sizeof(*ranges));
    if (!ranges)
        return nv_fail_sys(ret_error, ENOMEM, name, "malloc", "free memory in this process");
    space->ranges = ranges;
    space->capacity = capacity;
    return 0;
}

/* Index of the first range that ends behind address. */
static uint32_t lower_bound(const struct nv_space *space, uint64_t address)
{
    uint32_t low = 0;
    uint32_t high = space->count;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        const struct nv_range *range = &space->ranges[middle];

        if (address >= range->address && address - range->address >= range->length)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

int nv_bus_add(struct nv_bus *bus, uint32_t space_id, const struct nv_range *range, bool internal,
               struct nestvirt_error **ret_error)
{
    const struct nv_text name = range_name(space_id, range->address, range->length);
    struct nv_space *space;
    uint32_t i;
    int r = check_range(space_id, range->address, range->length, internal, ret_error);

    if (r < 0)
        return r;
    space = space_of(bus, space_id);
    i = lower_bound(space, range->address);
    if (i < space->count && nv_ranges_overlap(range->address, range->length,
                                              space->ranges[i].address, space->ranges[i].length))
        return nv_fail(ret_error, -EEXIST, name.s, "move or shorten it",
                       "overlaps the range at 0x%llx + 0x%llx",
                       (unsigned long long)space->ranges[i].address,
                       (unsigned long long)space->ranges[i].length);
    r = grow_space(space, name.s, ret_error);
    if (r < 0)
        return r;
    memmove(&space->ranges[i + 1], &space->ranges[i], (space->count - i) * sizeof(*space->ranges));
    space->ranges[i] = *range;
    space->count++;
    space->ranges[i].number = internal ? NV_RANGE_INTERNAL : bus->next_number++;
    return internal ? 0 : (int)space->ranges[i].number;
}

static bool remove_number(struct nv_space *space, uint32_t number, struct nv_range *ret_range)
{
    for (uint32_t i = 0; i < space->count; i++) {
        if (space->ranges[i].number == number) {
            *ret_range = take_range(space, i);
            return true;
        }
    }
    return false;
}

int nv_bus_remove(struct nv_bus *bus, uint32_t number, struct nv_range *ret_range,
                  struct nestvirt_error **ret_error)
{
    if (number != NV_RANGE_INTERNAL && (remove_number(&bus->port, number, ret_range) ||
                                        remove_number(&bus->mmio, number, ret_range)))
        return 0;
    return nv_fail(ret_error, -ENOENT, nv_text("handler %u", number).s,
                   "use a number nestvirt_handler_add returned", "does not exist");
}

void nv_bus_remove_internal(struct nv_bus *bus)
{
    struct nv_range range;
    uint32_t kept = 0;

    while (remove_number(&bus->port, NV_RANGE_INTERNAL, &range) ||
           remove_number(&bus->mmio, NV_RANGE_INTERNAL, &range))
        ;
    for (uint32_t i = 0; i < bus->ioeventfd_count; i++)
        if (!bus->ioeventfds[i].is_lent)
            bus->ioeventfds[kept++] = bus->ioeventfds[i];
    bus->ioeventfd_count = kept;
}

const struct nv_range *nv_bus_find(const struct nv_space *space, uint64_t address, uint32_t length)
{
    uint32_t i = lower_bound(space, address);
    const struct nv_range *range;

    if (i == space->count)
        return NULL;
    range = &space->ranges[i];
    if (address < range->address || !nv_range_fits(address - range->address, length, range->length))
        return NULL;
    return range;
}

void nv_bus_check_memory(const struct nv_bus *bus, const struct nv_memory *memory,
                         struct nestvirt_error **list)
{
    for (uint32_t i = 0; i < bus->mmio.count; i++) {
        const struct nv_range *range = &bus->mmio.ranges[i];
        struct nestvirt_error *error = NULL;

        if (!nv_memory_touches(memory, range->address, range->length))
            continue;
        nv_fail(&error, -EEXIST, range_name(NESTVIRT_SPACE_MMIO, range->address, range->length).s,
                "move the handler or the memory region", "lies over guest memory");
        nv_error_append(list, error);
    }
}
