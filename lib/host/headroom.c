/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the look at what is left of memory before more of it is promised. */
#include <errno.h>
#include <string.h>
#include <time.h>

#include "core/cleanup.h"
#include "core/log.h"
#include "core/util.h"
#include "host/cgroup_limit.h"
#include "host/facts.h"
#include "host/limits.h"

/*
 * What must stay: the kernel keeps some memory for itself, and this process needs some for what it
 * does meanwhile. Below it, ends of processes by the kernel are near.
 */
#define KEPT NV_MIB(32)

/* Others take memory too, and estimates are not exact: a look is good for so long, and so much. */
enum { LOOK_NS = 100000000, LOOK_PART = 4 };

/* What was just freed comes back when the kernel's grace periods have passed. */
enum { TRIES = 5, TRY_NS = 20000000 };

void nv_headroom_init(struct nv_headroom *headroom)
{
    memset(headroom, 0, sizeof(*headroom));
    pthread_mutex_init(&headroom->lock, NULL);
}

void nv_headroom_destroy(struct nv_headroom *headroom)
{
    pthread_mutex_destroy(&headroom->lock);
}

struct nv_headroom_left nv_headroom_read(const struct nv_tree *tree)
{
    struct nv_headroom_left left = { .bytes = UINT64_MAX, .what = "", .remedy = "" };
    struct nv_cgroup_limit group;
    char text[64];
    uint64_t kib;

    if (nv_facts_field(tree, "proc/meminfo", "MemAvailable", text, sizeof(text)) == 0 &&
        nv_facts_number(text, &kib))
        left = (struct nv_headroom_left){ kib * 1024, "the host's memory",
                                          "free some, or make fewer or smaller VMs" };
    if (nv_cgroup_find_limit(tree, NV_LIMITED_MEMORY, &group) == 0 && group.limit != UINT64_MAX &&
        group.limit - NV_MIN(group.used, group.limit) < left.bytes)
        left = (struct nv_headroom_left){ group.limit - NV_MIN(group.used, group.limit),
                                          "the memory of this process's cgroup",
                                          "raise memory.max, or MemoryMax= of the service" };
    return left;
}

/* Looks anew. False if bytes would leave too little. Called with the lock held. */
static bool look(struct nv_headroom *headroom, uint64_t bytes, struct nv_headroom_left *ret_left)
{
    struct nv_tree tree;

    headroom->left = 0;
    headroom->read_ns = nv_now_ns();
    *ret_left = (struct nv_headroom_left){ .bytes = UINT64_MAX };
    if (nv_tree_open(NULL, &tree, NULL) == 0) {
        *ret_left = nv_headroom_read(&tree);
        nv_tree_close(&tree);
    }
    if (ret_left->bytes == UINT64_MAX) /* unknown: nothing can be said */
        return true;
    if (ret_left->bytes < KEPT || bytes > ret_left->bytes - KEPT)
        return false;
    headroom->left = (ret_left->bytes - KEPT - bytes) / LOOK_PART;
    return true;
}

static bool take(struct nv_headroom *headroom, uint64_t bytes, struct nv_headroom_left *ret_left)
{
    NV_GUARD(&headroom->lock);
    if (headroom->left < bytes || nv_now_ns() - headroom->read_ns >= LOOK_NS)
        return look(headroom, bytes, ret_left);
    headroom->left -= bytes;
    return true;
}

int nv_headroom_take(struct nv_headroom *headroom, uint64_t bytes, const char *object,
                     struct nestvirt_error **ret_error)
{
    const struct timespec pause = { .tv_nsec = TRY_NS };
    struct nv_headroom_left left;

    for (int i = 0; i < TRIES; i++) {
        if (i > 0)
            nanosleep(&pause, NULL); /* with no lock held: others may be content with less */
        if (take(headroom, bytes, &left))
            return 0;
    }
    return nv_fail(ret_error, -ENOMEM, object, left.remedy,
                   "needs about %llu KiB of %s, of which %llu KiB are left and %llu KiB must stay",
                   (unsigned long long)bytes / 1024, left.what,
                   (unsigned long long)left.bytes / 1024, (unsigned long long)KEPT / 1024);
}
