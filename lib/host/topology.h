/* SPDX-License-Identifier: Apache-2.0 */
/* Owns what the kernel tells of the host's NUMA nodes: CPUs, memory, distances, huge page pools. */
#ifndef NV_HOST_TOPOLOGY_H
#define NV_HOST_TOPOLOGY_H

#include <stdint.h>

#include <nestvirt/error.h>

#include "host/list.h"

enum {
    NV_NODES_MAX = 1024, /* what the largest kernels are built for */
    NV_POOLS_MAX = 8     /* sizes of huge pages; architectures have at most five */
};

/* Huge pages of one size on one node. */
struct nv_pool {
    uint64_t page_size; /* bytes */
    uint64_t total;     /* pages */
    uint64_t free;
};

struct nv_node {
    uint32_t number;
    uint32_t pool_count;
    struct nv_set cpus;    /* online */
    uint64_t memory_total; /* bytes; 0: a node of CPUs only */
    uint64_t memory_free;
    uint64_t memory_available;          /* free, or in caches that the kernel gives up */
    struct nv_pool pools[NV_POOLS_MAX]; /* by size of page */
};

/* The host at one moment. */
struct nv_topology {
    struct nv_set possible; /* nodes that could come */
    struct nv_set online;
    struct nv_set allowed;      /* nodes that this thread may have memory of (cpuset) */
    struct nv_set cpus_allowed; /* CPUs that this thread may run on */
    uint32_t count;
    struct nv_node *nodes; /* those online, by number */
    uint8_t *distances;    /* count rows of count columns */
};

/* What is wanted of one node. */
struct nv_need {
    uint64_t memory;    /* bytes */
    uint64_t page_size; /* 0: ordinary pages; else huge pages of this size */
    uint32_t cpus;
};

/*
 * Reads everything below root (NULL for "/"). A kernel without NUMA is one node 0 with all CPUs
 * and all memory. Errors: -ENOENT and other codes of the system, -EINVAL for a malformed file, each
 * with its name; -ENOMEM.
 */
int nv_topology_read(const char *root, struct nv_topology *ret_topology,
                     struct nestvirt_error **ret_error);
void nv_topology_free(struct nv_topology *topology);

/* The position of a node in nodes, or -1. */
int nv_topology_find(const struct nv_topology *topology, uint32_t number);

/*
 * The position of the node that fits best: of those with enough, the one with most CPUs that this
 * thread may use, then with most memory of the kind asked for. -ENOSPC: what each node lacks.
 */
int nv_topology_place(const struct nv_topology *topology, const struct nv_need *need,
                      struct nestvirt_error **ret_error);

/* CPUs of a node that this thread may run on. */
uint32_t nv_topology_cpus(const struct nv_topology *topology, const struct nv_node *node);

#endif
