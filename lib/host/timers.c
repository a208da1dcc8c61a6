/* SPDX-License-Identifier: Apache-2.0 */
/* Owns timers in the order of their deadlines; any number of them, and never in want of memory. */
#include "host/timers.h"

#include <stddef.h>

#include "core/util.h"

/*
 * A pairing heap: each timer is in one tree, whose links lie in the timers. To add one takes a
 * single comparison, to remove one in the long run a number of them that is logarithmic in the
 * timers that are set.
 */

/* Makes one tree of two. Either may be NULL. */
static struct nv_timer *meld(struct nv_timer *a, struct nv_timer *b)
{
    struct nv_timer *upper = a;
    struct nv_timer *lower = b;

    if (!a || !b)
        return a ? a : b;
    if (b->deadline_ns < a->deadline_ns) {
        upper = b;
        lower = a;
    }
    lower->prev = upper;
    lower->next = upper->child;
    if (lower->next)
        lower->next->prev = lower;
    upper->child = lower;
    return upper;
}

/* Takes a tree out of its list and returns the next one of the list. */
static struct nv_timer *detach(struct nv_timer *timer)
{
    struct nv_timer *next = timer->next;

    timer->next = timer->prev = NULL;
    return next;
}

/* Makes one tree of a list of them: two by two from its begin, then together from its end. */
static struct nv_timer *meld_list(struct nv_timer *list)
{
    struct nv_timer *pairs = NULL;
    struct nv_timer *all = NULL;

    while (list) {
        struct nv_timer *a = list;
        struct nv_timer *b = detach(a);
        struct nv_timer *pair;

        list = b ? detach(b) : NULL;
        pair = meld(a, b);
        pair->next = pairs;
        pairs = pair;
    }
    while (pairs) {
        struct nv_timer *pair = pairs;

        pairs = detach(pair);
        all = meld(all, pair);
    }
    return all;
}

void nv_timers_add(struct nv_timers *timers, struct nv_timer *timer, uint64_t deadline_ns)
{
    timer->deadline_ns = NV_MAX(deadline_ns, 1u);
    timer->child = timer->next = timer->prev = NULL;
    timers->first = meld(timers->first, timer);
}

void nv_timers_remove(struct nv_timers *timers, struct nv_timer *timer)
{
    struct nv_timer *below;

    if (timer->deadline_ns == 0)
        return;
    below = meld_list(timer->child);
    if (timer == timers->first) {
        timers->first = below;
    } else {
        if (timer->prev->child == timer)
            timer->prev->child = timer->next;
        else
            timer->prev->next = timer->next;
        if (timer->next)
            timer->next->prev = timer->prev;
        timers->first = meld(timers->first, below);
    }
    timer->child = timer->next = timer->prev = NULL;
    timer->deadline_ns = 0;
}
