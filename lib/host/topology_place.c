/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the choice of the NUMA node that something fits on. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "core/error.h"
#include "core/util.h"
#include "host/topology.h"

enum { LACKS_MAX = 400 }; /* of an error's text; what is longer ends in "..." */

/* Bytes of the kind of memory asked for. */
static uint64_t memory_of(const struct nv_node *node, const struct nv_need *need)
{
    uint64_t bytes;

    if (need->page_size == 0)
        return node->memory_available;
    for (uint32_t i = 0; i < node->pool_count; i++) {
        if (node->pools[i].page_size != need->page_size)
            continue;
        return nv_mul_overflows(node->pools[i].free, need->page_size, &bytes) ? UINT64_MAX : bytes;
    }
    return 0;
}

/* Appends what a node lacks. */
static void tell(char text[static LACKS_MAX], const struct nv_topology *topology,
                 const struct nv_node *node, const struct nv_need *need)
{
    uint64_t memory = memory_of(node, need);
    uint32_t cpus = nv_topology_cpus(topology, node);
    size_t used = strlen(text);
    char line[128];
    int length = snprintf(line, sizeof(line), "%snode %u ", used ? ", " : "", node->number);

    if (!nv_set_has(&topology->allowed, node->number))
        length += snprintf(line + length, sizeof(line) - (size_t)length, "is not allowed");
    else if (memory < need->memory && cpus < need->cpus)
        length += snprintf(line + length, sizeof(line) - (size_t)length, "has %llu MiB and %u CPUs",
                           (unsigned long long)(memory >> 20), cpus);
    else if (memory < need->memory)
        length += snprintf(line + length, sizeof(line) - (size_t)length, "has %llu MiB",
                           (unsigned long long)(memory >> 20));
    else
        length += snprintf(line + length, sizeof(line) - (size_t)length, "has %u CPUs", cpus);
    if (used + (size_t)length + sizeof(", ...") < LACKS_MAX)
        strcpy(text + used, line);
    else if (!strstr(text, ", ..."))
        strcpy(text + used, ", ...");
}

static int fail_place(const struct nv_topology *topology, const struct nv_need *need,
                      struct nestvirt_error **ret_error)
{
    char text[LACKS_MAX] = "";

    for (uint32_t i = 0; i < topology->count; i++)
        tell(text, topology, &topology->nodes[i], need);
    return nv_fail(
        ret_error, -ENOSPC, "NUMA nodes",
        "ask for less, wait until some is free, or spread it over several nodes",
        "none has %llu MiB free%s and %u CPUs to use: %s", (unsigned long long)(need->memory >> 20),
        need->page_size
            ? nv_text(" in huge pages of %llu KiB", (unsigned long long)(need->page_size >> 10)).s
            : "",
        need->cpus, text);
}

int nv_topology_place(const struct nv_topology *topology, const struct nv_need *need,
                      struct nestvirt_error **ret_error)
{
    uint64_t best_memory = 0;
    uint32_t best_cpus = 0;
    int best = -1;

    for (uint32_t i = 0; i < topology->count; i++) {
        const struct nv_node *node = &topology->nodes[i];
        uint64_t memory = memory_of(node, need);
        uint32_t cpus = nv_topology_cpus(topology, node);

        if (!nv_set_has(&topology->allowed, node->number) || memory < need->memory ||
            cpus < need->cpus)
            continue;
        if (best >= 0 && (cpus < best_cpus || (cpus == best_cpus && memory <= best_memory)))
            continue;
        best = (int)i;
        best_memory = memory;
        best_cpus = cpus;
    }
    return best >= 0 ? best : fail_place(topology, need, ret_error);
}
