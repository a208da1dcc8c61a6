/* SPDX-License-Identifier: Apache-2.0 */
/* Owns a kernel's policies for nodes made of plain code: pages on nodes, moves, failures, a record.
 */
#include "fake_numa.h"

#include <check.h>
#include <errno.h>
#include <linux/mempolicy.h>
#include <stdbool.h>
#include <string.h>

struct fake_numa fake_numa;

/* As ck_assert(), which takes memory even for what is so. */
#define REQUIRE(is_so)            \
    do {                          \
        if (!(is_so))             \
            ck_abort_msg(#is_so); \
    } while (0)

static int deny(int error)
{
    errno = error;
    return -1;
}

/* Moves what may move to the first node of the set; counts what is elsewhere afterwards. */
static unsigned apply(bool moves)
{
    unsigned strays = 0;

    for (unsigned long i = 0; i < fake_numa.length / 4096; i++) {
        int node = fake_numa.pages[i];

        if (node < 0 || nv_set_has(&fake_numa.nodes, (uint32_t)node % FAKE_STUCK))
            continue;
        if (moves && node < FAKE_STUCK)
            fake_numa.pages[i] = (int)nv_set_next(&fake_numa.nodes, 0);
        else
            strays++;
    }
    return strays;
}

static long fake_mbind(void *start, unsigned long length, int mode, const unsigned long *nodes,
                       unsigned long max_node, unsigned flags)
{
    int error = fake_numa.fail_bind;

    fake_numa.binds++;
    fake_numa.fail_bind = 0;
    if (error)
        return deny(error);
    REQUIRE(length / 4096 <= FAKE_PAGES_MAX);
    fake_numa.start = start;
    fake_numa.length = length;
    fake_numa.mode = mode;
    fake_numa.max_node = max_node;
    fake_numa.flags = flags;
    fake_numa.has_mask = nodes != NULL;
    memset(&fake_numa.nodes, 0, sizeof(fake_numa.nodes));
    if (nodes)
        memcpy(&fake_numa.nodes, nodes, (max_node - 1) / 8);
    return apply(flags & MPOL_MF_MOVE) && flags & MPOL_MF_STRICT ? deny(EIO) : 0;
}

static long fake_get_mempolicy(int *mode, unsigned long *nodes, unsigned long max_node,
                               void *address, unsigned flags)
{
    const struct nv_set *kept =
        nv_set_is_empty(&fake_numa.kept_nodes) ? &fake_numa.nodes : &fake_numa.kept_nodes;

    if (fake_numa.fail_get)
        return deny(fake_numa.fail_get);
    REQUIRE(flags == MPOL_F_ADDR);
    *mode = fake_numa.mode;
    memcpy(nodes, kept, (max_node - 1) / 8);
    return 0;
}

static long fake_move_pages(int pid, unsigned long count, void **pages, const int *nodes,
                            int *status, int flags)
{
    if (fake_numa.fail_move)
        return deny(fake_numa.fail_move);
    REQUIRE(pid == 0);
    REQUIRE(!nodes); /* asks only */
    REQUIRE(flags == 0);
    fake_numa.batches++;
    if (count > fake_numa.batch_max)
        fake_numa.batch_max = count;
    for (unsigned long i = 0; i < count; i++) {
        unsigned long page = (unsigned long)((uint8_t *)pages[i] - fake_numa.start) / 4096;

        REQUIRE(page < fake_numa.length / 4096);
        status[i] = fake_numa.pages[page];
        if (status[i] >= 0)
            status[i] %= FAKE_STUCK;
    }
    return 0;
}

void fake_numa_reset(const char *root)
{
    memset(&fake_numa, 0, sizeof(fake_numa));
    fake_numa.ops = (struct nv_numa_ops){ root, fake_mbind, fake_get_mempolicy, fake_move_pages };
    fake_numa_put(0, FAKE_PAGES_MAX, FAKE_ABSENT);
}

void fake_numa_put(uint32_t first, uint32_t last, int node)
{
    for (uint32_t i = first; i < last; i++)
        fake_numa.pages[i] = node;
}
