/* SPDX-License-Identifier: Apache-2.0 */
/* Owns a kernel's policies for nodes made of plain code: pages on nodes, moves, failures, a record.
 */
#ifndef TESTS_SUPPORT_FAKE_NUMA_H
#define TESTS_SUPPORT_FAKE_NUMA_H

#include <stdint.h>

#include "host/numa.h"

enum {
    FAKE_PAGES_MAX = 4096,
    FAKE_ABSENT = -2,    /* -ENOENT, as move_pages() says it */
    FAKE_STUCK = 1 << 16 /* added to a page's node: it does not move */
};

/* What it was asked, and what it holds. It knows one region: that of the first mbind(). */
struct fake_numa {
    struct nv_numa_ops ops; /* for nv_memory.numa_ops */
    unsigned binds;         /* calls of mbind() */
    unsigned batches;       /* calls of move_pages() */
    unsigned long batch_max;
    uint8_t *start;
    unsigned long length;
    int mode;
    unsigned long max_node;
    unsigned flags;
    struct nv_set nodes;
    int has_mask;              /* whether mbind() was given one */
    int fail_bind;             /* an errno for the next mbind() */
    int fail_get, fail_move;   /* the same for all calls of get_mempolicy() and move_pages() */
    struct nv_set kept_nodes;  /* not empty: what get_mempolicy() says instead */
    int pages[FAKE_PAGES_MAX]; /* node of each, or FAKE_ABSENT */
};

extern struct fake_numa fake_numa;

/* Forgets everything; all pages are absent. root: of the nodes. */
void fake_numa_reset(const char *root);

/* Puts pages first to last - 1 on a node. */
void fake_numa_put(uint32_t first, uint32_t last, int node);

#endif
