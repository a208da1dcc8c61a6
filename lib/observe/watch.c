/* SPDX-License-Identifier: Apache-2.0 */
/* Owns watches: the threads of a VM that an observer counts. */
#include "observe/watch.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

#include "core/cleanup.h"
#include "core/error.h"
#include "core/util.h"

static int fail(const struct nestvirt_observer *observer, int code, const char *call,
                struct nestvirt_error **ret_error)
{
    if (code == -ENOSPC)
        return nv_fail(ret_error, code, "observer", "use another one for the rest",
                       "has room for %d VMs", NV_WATCH_VMS_MAX);
    return nv_fail_sys(ret_error, -code, "observer", call,
                       observer->probe ? "free memory and descriptors" : "mount /proc");
}

/* The list is short of nothing; both ends of a link are set. */
static void link_in(struct nestvirt_observer *observer, struct nv_watch *watch)
{
    watch->next = observer->watches;
    if (watch->next)
        watch->next->previous = watch;
    observer->watches = watch;
    observer->watch_count++;
}

static void link_out(struct nestvirt_observer *observer, struct nv_watch *watch)
{
    if (watch->previous)
        watch->previous->next = watch->next;
    else
        observer->watches = watch->next;
    if (watch->next)
        watch->next->previous = watch->previous;
    observer->watch_count--;
}

int nv_watch_new(struct nestvirt_observer *observer, struct nv_watch **ret_watch,
                 struct nestvirt_error **ret_error)
{
    struct nv_watch *watch = calloc(1, sizeof(*watch));
    int r = 0;

    if (!watch)
        return fail(observer, -ENOMEM, "malloc", ret_error);
    pthread_mutex_lock(&observer->lock);
    watch->observer = observer;
    watch->id = observer->last_id + 1;
    if (observer->probe)
        r = nv_probe_add(observer->probe, watch->id);
    if (r == 0) {
        observer->last_id++;
        link_in(observer, watch);
        atomic_fetch_add(&observer->references, 1);
    }
    pthread_mutex_unlock(&observer->lock);
    if (r < 0) {
        free(watch);
        return fail(observer, r, "making room for a VM", ret_error);
    }
    *ret_watch = watch;
    return 0;
}

static struct nv_run_delay more(struct nv_run_delay sum, const struct nv_watched *thread)
{
    /* The kernel's sums of a thread only grow. */
    sum.time_ns += thread->last.time_ns - thread->base.time_ns;
    sum.count += thread->last.count - thread->base.count;
    return sum;
}

/* One that has ended keeps what was read last. */
static void look(const struct nestvirt_observer *observer, struct nv_watched *thread)
{
    struct nv_run_delay now;

    if (!observer->probe && nv_run_delay_read(&observer->tree, thread->tid, &now) == 0 &&
        now.time_ns >= thread->last.time_ns && now.count >= thread->last.count)
        thread->last = now;
}

struct nv_run_delay nv_watch_delay(struct nv_watch *watch)
{
    struct nv_run_delay sum = watch->past;

    for (uint32_t i = 0; i < watch->count; i++) {
        look(watch->observer, &watch->threads[i]);
        sum = more(sum, &watch->threads[i]);
    }
    return sum;
}

void nv_watch_restart(struct nv_watch *watch)
{
    watch->past = (struct nv_run_delay){ 0 };
    for (uint32_t i = 0; i < watch->count; i++) {
        look(watch->observer, &watch->threads[i]);
        watch->threads[i].base = watch->threads[i].last;
    }
}

void nv_watch_free(struct nv_watch *watch)
{
    struct nestvirt_observer *observer = watch->observer;

    pthread_mutex_lock(&observer->lock);
    for (uint32_t i = 0; i < watch->count && observer->probe; i++)
        nv_probe_ignore(observer->probe, watch->threads[i].tid);
    if (observer->probe) {
        nv_probe_remove(observer->probe, watch->id);
    } else if (!observer->is_closed) {
        const struct nv_run_delay delay = nv_watch_delay(watch);

        observer->past.time_ns += delay.time_ns;
        observer->past.count += delay.count;
    }
    link_out(observer, watch);
    pthread_mutex_unlock(&observer->lock);
    nv_observer_put(observer);
    free(watch->threads);
    free(watch);
}

bool nv_watch_is_over(struct nv_watch *watch)
{
    NV_GUARD(&watch->observer->lock);
    return watch->observer->is_closed;
}

static bool has(const struct nv_watch *watch, pid_t tid)
{
    for (uint32_t i = 0; i < watch->count; i++)
        if (watch->threads[i].tid == tid)
            return true;
    return false;
}

/* The program would take any thread of the host. */
static bool is_ours(const struct nestvirt_observer *observer, pid_t tid)
{
    NV_AUTO_FD fd =
        tid > 0 ? nv_tree_open_at(&observer->tree, nv_text("proc/self/task/%d", tid).s, O_PATH)
                : -1;

    return fd >= 0;
}

static void forget(struct nv_watch *watch, uint32_t i)
{
    look(watch->observer, &watch->threads[i]);
    watch->past = more(watch->past, &watch->threads[i]);
    watch->threads[i] = watch->threads[--watch->count];
}

/* Nobody tells when a thread that a caller named has ended. */
static void forget_ended(struct nv_watch *watch)
{
    for (uint32_t i = watch->count; i-- > 0;) {
        const struct nv_watched *thread = &watch->threads[i];

        if (thread->kind == NV_OBSERVE_GIVEN && !is_ours(watch->observer, thread->tid))
            forget(watch, i);
    }
}

static int make_room(struct nv_watch *watch)
{
    uint32_t room = NV_MAX(2 * watch->room, 1u);
    struct nv_watched *threads;

    if (watch->count == watch->room)
        forget_ended(watch);
    if (watch->count < watch->room)
        return 0;
    threads = realloc(watch->threads, room * sizeof(*threads));
    if (!threads)
        return -ENOMEM;
    watch->threads = threads;
    watch->room = room;
    return 0;
}

/* Without the program: threads of VMs are their own, but callers may name one twice. */
static bool is_taken(const struct nestvirt_observer *observer, pid_t tid)
{
    for (const struct nv_watch *watch = observer->watches; watch; watch = watch->next)
        if (has(watch, tid))
            return true;
    return false;
}

static int take_in(struct nv_watch *watch, struct nv_watched *thread)
{
    const struct nestvirt_observer *observer = watch->observer;
    bool is_given = thread->kind == NV_OBSERVE_GIVEN;
    int r;

    if (is_given && !is_ours(observer, thread->tid))
        return -ESRCH;
    if (observer->probe)
        return nv_probe_watch(observer->probe, thread->tid, watch->id);
    if (is_given && is_taken(observer, thread->tid))
        return -EBUSY;
    r = nv_run_delay_read(&observer->tree, thread->tid, &thread->base);
    thread->last = thread->base;
    return r == -ENOENT ? -ESRCH : r;
}

int nv_watch_add(struct nv_watch *watch, pid_t tid, uint32_t kind,
                 struct nestvirt_error **ret_error)
{
    struct nestvirt_observer *observer = watch->observer;
    struct nv_watched thread = { .tid = tid, .kind = kind };
    const struct nv_text name = nv_text("thread %d", tid);
    int r;

    NV_GUARD(&observer->lock);
    if (has(watch, tid))
        return 0;
    r = make_room(watch);
    if (r == 0)
        r = take_in(watch, &thread);
    if (r == -ESRCH)
        return nv_fail(ret_error, r, name.s, "name one as gettid() gives it",
                       "this process has no such thread");
    if (r == -EBUSY)
        return nv_fail(ret_error, r, name.s, "remove that one, or use another observer",
                       "counts for another VM");
    if (r < 0)
        return fail(observer, r, "observing a thread", ret_error);
    watch->threads[watch->count++] = thread;
    return 1;
}

void nv_watch_drop(struct nv_watch *watch, uint32_t kinds)
{
    NV_GUARD(&watch->observer->lock);
    for (uint32_t i = watch->count; i-- > 0;)
        if (watch->threads[i].kind & kinds)
            forget(watch, i);
}

void nv_watch_set_complete(struct nv_watch *watch, bool is_complete)
{
    NV_GUARD(&watch->observer->lock);
    watch->is_incomplete = !is_complete;
}

int nv_watch_read(struct nv_watch *watch, struct nv_waits *ret_waits,
                  struct nestvirt_error **ret_error)
{
    struct nestvirt_waits *info = &ret_waits->info;
    struct nv_run_delay delay;

    NV_GUARD(&watch->observer->lock);
    *ret_waits = (struct nv_waits){ .info = { .size = sizeof(*info), .vms = 1 } };
    info->threads = watch->count;
    info->flags |= watch->is_incomplete ? NESTVIRT_WAITS_INCOMPLETE : 0u;
    if (watch->observer->probe)
        return nv_observer_read_sums(watch->observer, watch->id, ret_waits, ret_error);
    delay = nv_watch_delay(watch);
    info->flags |= NESTVIRT_WAITS_TOTALS_ONLY;
    info->count = delay.count;
    info->time_ns = delay.time_ns;
    return 0;
}
