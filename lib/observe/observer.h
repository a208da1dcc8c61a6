/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns observers: which threads count for which VM, by the BPF program or by the kernel's sums.
 *
 * An observer and a VM know of each other by a watch, which the VM's room holds under the VM's
 * api_lock, and which holds a reference to the observer: whichever is freed first, the other one
 * finds out. The observer's lock is taken after the api_lock, and nothing inside of it.
 */
#ifndef NV_OBSERVE_OBSERVER_H
#define NV_OBSERVE_OBSERVER_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "host/tree.h"
#include "observe/probe.h"
#include "observe/schedstat.h"
#include "observe/waits.h"

/* A kind of thread for those that callers name; next to NESTVIRT_OBSERVE_*, which are the
 * library's. */
enum {
    NV_OBSERVE_GIVEN = 1 << 30,
    NV_OBSERVE_OWN = NESTVIRT_OBSERVE_VCPU | NESTVIRT_OBSERVE_LOOP | NESTVIRT_OBSERVE_WORKER
};

struct nv_watched {
    pid_t tid;
    uint32_t kind; /* NESTVIRT_OBSERVE_* or NV_OBSERVE_GIVEN */
    /* Without the program: when it was taken in or the counting began, and as read last. */
    struct nv_run_delay base;
    struct nv_run_delay last;
};

/* A VM under observation. All but `next_of_vm` is guarded by the observer's lock. */
struct nv_watch {
    struct nestvirt_observer *observer;
    struct nv_watch *next_of_vm;
    struct nv_watch *next;
    struct nv_watch *previous;
    uint32_t id;    /* of its figures in the program */
    uint32_t kinds; /* NESTVIRT_OBSERVE_* */
    bool is_incomplete;
    uint32_t count;
    uint32_t room;
    struct nv_watched *threads;
    struct nv_run_delay past; /* without the program: of threads that have ended */
};

struct nestvirt_observer {
    uint32_t tag;
    uint32_t process;
    atomic_uint references; /* the handle's and the watches' */
    char reason[256];       /* why there is no program; else empty */
    pthread_mutex_t lock;
    bool is_closed;         /* the handle is gone */
    struct nv_probe *probe; /* NULL: the kernel's sums */
    struct nv_tree tree;    /* where these are */
    uint32_t last_id;
    uint32_t watch_count;
    uint32_t thread_count; /* of all watches */
    uint32_t incomplete_count;
    struct nv_watch *watches;
    struct nv_run_delay past; /* without the program: of VMs that were removed */
};

/* flags: NESTVIRT_OBSERVER_*. root: where /proc is, NULL for "/". Errors: observe.h (public). */
int nv_observer_new(uint32_t flags, const char *root, struct nestvirt_observer **ret_observer,
                    struct nestvirt_error **ret_error);

/* Ends the counting; the memory goes with the last watch. */
void nv_observer_close(struct nestvirt_observer *observer);

/* The total, and counting anew. */
int nv_observer_read(struct nestvirt_observer *observer, struct nv_waits *ret_waits,
                     struct nestvirt_error **ret_error);
int nv_observer_restart(struct nestvirt_observer *observer, struct nestvirt_error **ret_error);

/* Begins to observe a VM, as yet without threads. */
int nv_watch_new(struct nestvirt_observer *observer, struct nv_watch **ret_watch,
                 struct nestvirt_error **ret_error);

/* Ends it; threads that are still there no longer count. */
void nv_watch_free(struct nv_watch *watch);

/* True if the observer is gone, and the watch is only to be freed. */
bool nv_watch_is_over(struct nv_watch *watch);

/*
 * A thread counts from now on: 1, or 0 if it does already. -ESRCH if it has ended, -EBUSY if it
 * counts for another VM. A thread that cannot be observed makes the watch incomplete.
 */
int nv_watch_add(struct nv_watch *watch, pid_t tid, uint32_t kind,
                 struct nestvirt_error **ret_error);

/* Threads of these kinds are about to end. */
void nv_watch_drop(struct nv_watch *watch, uint32_t kinds);

/* Every thread of the VM is observed, or not. */
void nv_watch_set_complete(struct nv_watch *watch, bool is_complete);

int nv_watch_read(struct nv_watch *watch, struct nv_waits *ret_waits,
                  struct nestvirt_error **ret_error);

#endif
