/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the observer object: making and ending it, its total, counting anew. */
#include "observe/observer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/cleanup.h"
#include "core/error.h"
#include "core/tags.h"
#include "observe/watch.h"

/* Opens the program, or finds out why not. */
static int choose_source(struct nestvirt_observer *observer, uint32_t flags,
                         struct nestvirt_error **ret_error)
{
    struct nestvirt_error *error = NULL;
    int r = 0;

    if (flags & NESTVIRT_OBSERVER_SCHEDSTAT)
        snprintf(observer->reason, sizeof(observer->reason), "the caller asked for totals");
    else
        r = nv_probe_open(&observer->probe,
                          flags & NESTVIRT_OBSERVER_NEED_BPF ? ret_error : &error);
    if (flags & NESTVIRT_OBSERVER_NEED_BPF || observer->probe)
        return r;
    if (r < 0)
        snprintf(observer->reason, sizeof(observer->reason), "%s",
                 error ? nv_error_get_message(error) : "out of memory");
    nv_error_free(error);
    return nv_run_delay_check(&observer->tree, ret_error);
}

static void unref(struct nestvirt_observer *observer)
{
    if (atomic_fetch_sub(&observer->references, 1) != 1)
        return;
    pthread_mutex_destroy(&observer->lock);
    observer->tag = NV_TAG_FREED;
    free(observer);
}

int nv_observer_new(uint32_t flags, const char *root, struct nestvirt_observer **ret_observer,
                    struct nestvirt_error **ret_error)
{
    struct nestvirt_observer *observer = calloc(1, sizeof(*observer));
    int r;

    if (!observer)
        return nv_fail_sys(ret_error, ENOMEM, "observer", "malloc", "free memory in this process");
    observer->tag = NV_TAG_OBSERVER;
    observer->process = (uint32_t)getpid();
    observer->references = 1;
    observer->tree.fd = -1;
    pthread_mutex_init(&observer->lock, NULL);
    r = nv_tree_open(root, &observer->tree, ret_error);
    if (r == 0)
        r = choose_source(observer, flags, ret_error);
    if (r < 0) {
        nv_tree_close(&observer->tree);
        unref(observer);
        return r;
    }
    *ret_observer = observer;
    return 0;
}

/*
 * In a child process the lock may be held by a thread that is not there: only the descriptors go,
 * without which the program would stay in the kernel as long as the child lives.
 */
void nv_observer_close(struct nestvirt_observer *observer)
{
    if (observer->process != (uint32_t)getpid()) {
        observer->tag = NV_TAG_FREED;
        nv_probe_close(observer->probe);
        nv_tree_close(&observer->tree);
        return;
    }
    pthread_mutex_lock(&observer->lock);
    observer->is_closed = true;
    observer->tag = NV_TAG_FREED;
    nv_probe_close(observer->probe);
    observer->probe = NULL;
    nv_tree_close(&observer->tree);
    pthread_mutex_unlock(&observer->lock);
    unref(observer);
}

void nv_observer_put(struct nestvirt_observer *observer)
{
    unref(observer);
}

static int fail_read(int code, struct nestvirt_error **ret_error)
{
    return nv_fail_sys(ret_error, -code, "observer", "reading the figures",
                       "free memory on this host");
}

int nv_observer_read_sums(struct nestvirt_observer *observer, uint32_t id,
                          struct nv_waits *ret_waits, struct nestvirt_error **ret_error)
{
    int r = nv_probe_read(observer->probe, id, &ret_waits->sums);

    if (r < 0)
        return fail_read(r, ret_error);
    nv_waits_sum_up(ret_waits);
    return 0;
}

int nv_observer_read(struct nestvirt_observer *observer, struct nv_waits *ret_waits,
                     struct nestvirt_error **ret_error)
{
    struct nestvirt_waits *info = &ret_waits->info;

    NV_GUARD(&observer->lock);
    *ret_waits = (struct nv_waits){ .info = { .size = sizeof(*info) } };
    info->vms = observer->watch_count;
    for (struct nv_watch *watch = observer->watches; watch; watch = watch->next) {
        info->threads += watch->count;
        info->flags |= watch->is_incomplete ? NESTVIRT_WAITS_INCOMPLETE : 0u;
    }
    if (observer->probe)
        return nv_observer_read_sums(observer, NV_PROBE_TOTAL, ret_waits, ret_error);
    info->flags |= NESTVIRT_WAITS_TOTALS_ONLY;
    info->count = observer->past.count;
    info->time_ns = observer->past.time_ns;
    for (struct nv_watch *watch = observer->watches; watch; watch = watch->next) {
        const struct nv_run_delay delay = nv_watch_delay(watch);

        info->count += delay.count;
        info->time_ns += delay.time_ns;
    }
    return 0;
}

int nv_observer_restart(struct nestvirt_observer *observer, struct nestvirt_error **ret_error)
{
    int r = 0;

    NV_GUARD(&observer->lock);
    observer->past = (struct nv_run_delay){ 0 };
    for (struct nv_watch *watch = observer->watches; watch && r == 0; watch = watch->next) {
        if (observer->probe)
            r = nv_probe_clear(observer->probe, watch->id);
        else
            nv_watch_restart(watch);
    }
    if (observer->probe && r == 0)
        r = nv_probe_clear(observer->probe, NV_PROBE_TOTAL);
    return r < 0 ? fail_read(r, ret_error) : 0;
}
