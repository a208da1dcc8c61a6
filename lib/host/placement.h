/* SPDX-License-Identifier: Apache-2.0 */
/* Owns where and how urgently a thread runs: CPUs, policy, nice value, core cookie, its times. */
#ifndef NV_HOST_PLACEMENT_H
#define NV_HOST_PLACEMENT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include <nestvirt/error.h>

#include "core/error.h"
#include "host/list.h"
#include "host/tree.h"

/* nv_placement.fields */
enum {
    NV_PLACE_CPUS = 1 << 0,
    NV_PLACE_POLICY = 1 << 1, /* with priority */
    NV_PLACE_NICE = 1 << 2,
    NV_PLACE_ALL = NV_PLACE_CPUS | NV_PLACE_POLICY | NV_PLACE_NICE
};

struct nv_placement {
    uint32_t fields; /* which of the following are meant */
    int policy;      /* SCHED_* of the kernel */
    int priority;
    int nice;
    struct nv_set cpus;
};

/* A thread to be placed. */
struct nv_place {
    pid_t tid;
    struct nv_text name; /* for messages */
    struct nv_placement wanted;
    struct nv_placement former; /* filled by nv_places_apply() */
    uint32_t done;              /* fields that were changed; 0 before */
};

/* Reads all fields of a thread from the kernel. 0 or -errno. */
int nv_placement_read(pid_t tid, struct nv_placement *ret_placement);

/* Puts what part means over what whole has. */
void nv_placement_merge(struct nv_placement *whole, const struct nv_placement *part);

/*
 * Places all threads and reads back what became of it. When one fails, all are put back; what may
 * fail for lack of a right comes before what cannot, so that this needs no right either. Errors:
 * thread.h (public).
 */
int nv_places_apply(struct nv_place *places, uint32_t count, struct nestvirt_error **ret_error);

/* Puts all threads back to what they were before nv_places_apply(). */
void nv_places_undo(struct nv_place *places, uint32_t count);

/*
 * Gives the threads one new cookie of core scheduling. The calling thread keeps its own. Nothing
 * changes on failure. -ENOTSUP with the reason where the kernel or the CPUs have no such thing.
 */
int nv_core_share(const struct nv_place *places, uint32_t count, struct nestvirt_error **ret_error);

/* The cookie of a thread as a number that only tells equal from different; -errno. */
int nv_core_read(pid_t tid, uint64_t *ret_cookie);

/* What /proc tells of a thread; fields of files that are absent are zero and their flag false. */
struct nv_thread_sight {
    bool has_times; /* the two below */
    uint64_t cpu_time_ns;
    uint64_t run_delay_ns;
    bool has_cpu;
    uint32_t last_cpu;
    char name[16];
};

/* 0, or -errno when there is no such thread. */
int nv_thread_look(const struct nv_tree *tree, pid_t tid, struct nv_thread_sight *ret_sight);

#endif
