/* SPDX-License-Identifier: Apache-2.0 */
/* Owns timers in the order of their deadlines; any number of them, and never in want of memory. */
#ifndef NV_HOST_TIMERS_H
#define NV_HOST_TIMERS_H

#include <stdint.h>

/* Calls back once at a time. Owned by whoever sets it; must stay until it is cleared. */
struct nv_timer {
    /* Called on the loop's thread. */
    void (*fn)(void *user_data);
    void *user_data;
    uint64_t deadline_ns; /* CLOCK_MONOTONIC; 0: not set */

    /* A pairing heap (timers.c): no timer comes before the one that it hangs on. */
    struct nv_timer *child;
    struct nv_timer *next; /* hangs on the same timer */
    struct nv_timer *prev; /* likewise, or for the first of them the timer that they hang on */
};

/* Those that are set. The first one is due next. Zero-initialised is empty. */
struct nv_timers {
    struct nv_timer *first;
};

/* Sets a timer that is not set. */
void nv_timers_add(struct nv_timers *timers, struct nv_timer *timer, uint64_t deadline_ns);

/* Clears a timer; nothing if it is not set. */
void nv_timers_remove(struct nv_timers *timers, struct nv_timer *timer);

#endif
