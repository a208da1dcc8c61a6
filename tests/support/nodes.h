/* SPDX-License-Identifier: Apache-2.0 */
/* Owns fake trees of proc and sys, as machines with NUMA nodes have them. */
#ifndef TESTS_SUPPORT_NODES_H
#define TESTS_SUPPORT_NODES_H

#include <stdint.h>

/* One node of a fake machine. */
struct fake_node {
    uint32_t number;
    const char *cpus;   /* "0-3", "" for none */
    uint64_t total_mib; /* 0: no memory */
    uint64_t free_mib;
    uint64_t cache_mib;    /* page cache */
    const char *distances; /* NULL: no such file */
    uint64_t huge_free;    /* pages of 2 MiB; as many again are in use */
};

/* Makes an empty tree and returns its path, valid until nodes_remove(). */
const char *nodes_make(void);
void nodes_remove(void);

/* Writes a file below it, making the folders; text as for printf. */
void nodes_put(const char *path, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Removes a file or folder of the tree. */
void nodes_drop(const char *path);

/* Fills the tree: online and possible are lists of nodes, NULL for a kernel without NUMA. */
void nodes_fill(const char *online, const char *possible, const struct fake_node *nodes,
                uint32_t count);

/* Two nodes of 4 CPUs: 0-3 with 1000 of 2048 MiB free, 4-7 with 1500. */
void nodes_fill_two(void);

#endif
