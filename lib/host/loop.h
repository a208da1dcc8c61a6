/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the event loop: one thread that calls back for ready descriptors. */
#ifndef NV_HOST_LOOP_H
#define NV_HOST_LOOP_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>

#include <nestvirt/host.h>

#include "host/errand.h"
#include "host/timers.h"

enum { NV_LOOP_BATCH = 16 };

/* A descriptor to watch. Owned by whoever adds it; must stay until it is removed. */
struct nv_source {
    int fd;
    /* Called on the loop's thread with EPOLL* bits. */
    void (*fn)(void *user_data, uint32_t events);
    void *user_data;
    uint32_t place; /* in the loop's table, from 1; 0: not added */
};

/* A place in the loop's table. Its generation tells late events of a former source apart. */
struct nv_loop_place {
    struct nv_source *source;
    uint32_t generation;
};

struct nestvirt_loop {
    uint32_t tag;
    atomic_uint references;
    int epoll_fd;
    int wake_fd; /* the thread looks at quit and the timers */
    bool quit;
    bool has_thread;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t idle; /* signalled when a callback has returned */
    struct nv_source *running;
    struct nv_timers timers; /* a few of each VM */
    struct nv_timer *firing;
    struct nv_loop_place *places;
    uint32_t place_count;
    uint32_t first_free; /* no place before this is free: thousands of sources come and go */
    uint32_t process;    /* of the creator, for children that free an inherited loop */
};

int nv_loop_new(struct nestvirt_loop **ret_loop, struct nestvirt_error **ret_error);
struct nestvirt_loop *nv_loop_ref(struct nestvirt_loop *loop);

/* The last reference ends the thread and waits for it; not from the loop's own thread. */
void nv_loop_unref(struct nestvirt_loop *loop);

/*
 * Watches for events (EPOLL*, 0: for errors only). -EPERM: the descriptor cannot be polled, as
 * regular files; -ENOMEM, -ENOSPC.
 */
int nv_loop_add(struct nestvirt_loop *loop, struct nv_source *source, uint32_t events);

/* Watches a source that was added for other events. -errno as nv_loop_add(); -ENOENT: not added. */
int nv_loop_change(struct nestvirt_loop *loop, struct nv_source *source, uint32_t events);

/* Stops watching without waiting: a callback may still be under way. Callable from anywhere. */
void nv_loop_disable(struct nestvirt_loop *loop, struct nv_source *source);

/* Stops watching; when it returns, the callback does not run any more and will not again. */
void nv_loop_remove(struct nestvirt_loop *loop, struct nv_source *source);

/*
 * Sets a timer, anew if it is set; a deadline in the past fires at once. Precise to a millisecond.
 * Never fails. clear: when it returns, the callback does not run any more and will not, until the
 * timer is set again; so it must not hold a lock that the callback takes.
 */
void nv_loop_set_timer(struct nestvirt_loop *loop, struct nv_timer *timer, uint64_t deadline_ns);
void nv_loop_clear_timer(struct nestvirt_loop *loop, struct nv_timer *timer);

/* Sends the loop's thread on an errand, between its callbacks, and waits for it. Any thread. */
void nv_loop_send(struct nestvirt_loop *loop, nv_errand_fn *fn, void *user_data,
                  struct nv_errand_result *result);

/* True on the loop's own thread. */
bool nv_loop_is_own_thread(const struct nestvirt_loop *loop);

#endif
