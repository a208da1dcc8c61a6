/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the event loop: one thread that calls back for ready descriptors. */
#include "host/loop.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <nestvirt/privilege.h>

#include "core/cleanup.h"
#include "core/error.h"
#include "core/log.h"
#include "core/tags.h"
#include "core/util.h"
#include "host/limits.h"
#include "host/thread.h"

/* Marks the event of wake_fd; no place has this number. */
static const uint64_t WAKE = UINT64_MAX;

static uint64_t place_key(const struct nestvirt_loop *loop, uint32_t place)
{
    return (uint64_t)loop->places[place - 1].generation << 32 | place;
}

/* Calls the source an event belongs to, unless it was removed since the event arose. */
static void dispatch(struct nestvirt_loop *loop, const struct epoll_event *event)
{
    uint32_t place = (uint32_t)event->data.u64;
    struct nv_source *source;

    NV_GUARD(&loop->lock);
    if (place_key(loop, place) != event->data.u64)
        return;
    source = loop->places[place - 1].source;
    loop->running = source;
    pthread_mutex_unlock(&loop->lock);
    source->fn(source->user_data, event->events);
    pthread_mutex_lock(&loop->lock);
    loop->running = NULL;
    pthread_cond_broadcast(&loop->idle);
}

/* Fires what is due and returns how long to sleep, in milliseconds; -1 for ever. */
static int run_timers(struct nestvirt_loop *loop)
{
    enum { FIRED_MAX = 64 };
    struct nv_timer *timer;
    int fired = 0;

    NV_GUARD(&loop->lock);
    while ((timer = loop->timers.first)) {
        uint64_t now_ns = nv_now_ns();

        if (timer->deadline_ns > now_ns)
            return (int)NV_MIN((timer->deadline_ns - now_ns) / 1000000u + 1, 1000000000u);
        nv_timers_remove(&loop->timers, timer);
        loop->firing = timer;
        pthread_mutex_unlock(&loop->lock);
        timer->fn(timer->user_data);
        pthread_mutex_lock(&loop->lock);
        loop->firing = NULL;
        pthread_cond_broadcast(&loop->idle);
        if (++fired == FIRED_MAX) /* descriptors have their turn */
            return 0;
    }
    return -1;
}

static bool is_to_quit(struct nestvirt_loop *loop)
{
    eventfd_t value;

    eventfd_read(loop->wake_fd, &value);
    NV_GUARD(&loop->lock);
    return loop->quit;
}

static void *loop_main(void *argument)
{
    struct nestvirt_loop *loop = argument;

    nv_thread_set_name("nv-loop");
    for (;;) {
        struct epoll_event events[NV_LOOP_BATCH];
        int timeout_ms = run_timers(loop);
        int count = epoll_wait(loop->epoll_fd, events, NV_LOOP_BATCH, timeout_ms);

        for (int i = 0; i < count; i++) {
            if (events[i].data.u64 != WAKE)
                dispatch(loop, &events[i]);
            else if (is_to_quit(loop))
                return NULL;
        }
    }
}

static void loop_destroy(struct nestvirt_loop *loop)
{
    if (loop->has_thread) {
        pthread_mutex_lock(&loop->lock);
        loop->quit = true;
        pthread_mutex_unlock(&loop->lock);
        eventfd_write(loop->wake_fd, 1);
        pthread_join(loop->thread, NULL);
    }
    if (loop->epoll_fd >= 0)
        close(loop->epoll_fd);
    if (loop->wake_fd >= 0)
        close(loop->wake_fd);
    pthread_mutex_destroy(&loop->lock);
    pthread_cond_destroy(&loop->idle);
    free(loop->places);
    loop->tag = NV_TAG_FREED;
    free(loop);
}

static int loop_open(struct nestvirt_loop *loop, struct nestvirt_error **ret_error)
{
    struct epoll_event wake = { .events = EPOLLIN, .data.u64 = WAKE };
    int r;

    loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (loop->epoll_fd < 0)
        return nv_fail_sys(ret_error, errno, "event loop", "epoll_create1",
                           "raise the limit on open files");
    loop->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (loop->wake_fd < 0)
        return nv_fail_sys(ret_error, errno, "event loop", "eventfd",
                           "raise the limit on open files");
    if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, loop->wake_fd, &wake) < 0)
        return nv_fail_sys(ret_error, errno, "event loop", "epoll_ctl",
                           "raise fs.epoll.max_user_watches");
    r = nv_thread_create(&loop->thread, NULL, loop_main, loop);
    if (r < 0)
        return nv_fail_sys(ret_error, -r, "event loop", "pthread_create",
                           nv_limit_hint(-r, 0, "raise the limit on processes and threads").s);
    loop->has_thread = true;
    return 0;
}

int nv_loop_new(struct nestvirt_loop **ret_loop, struct nestvirt_error **ret_error)
{
    struct nestvirt_loop *loop = calloc(1, sizeof(*loop));
    int r;

    if (!loop)
        return nv_fail_sys(ret_error, ENOMEM, "event loop", "malloc",
                           "free memory in this process");
    loop->tag = NV_TAG_LOOP;
    atomic_init(&loop->references, 1);
    loop->epoll_fd = loop->wake_fd = -1;
    loop->process = (uint32_t)getpid();
    pthread_mutex_init(&loop->lock, NULL);
    pthread_cond_init(&loop->idle, NULL);
    r = loop_open(loop, ret_error);
    if (r < 0) {
        loop_destroy(loop);
        return r;
    }
    *ret_loop = loop;
    return 0;
}

struct nestvirt_loop *nv_loop_ref(struct nestvirt_loop *loop)
{
    atomic_fetch_add(&loop->references, 1);
    return loop;
}

void nv_loop_unref(struct nestvirt_loop *loop)
{
    if (loop && atomic_fetch_sub(&loop->references, 1) == 1)
        loop_destroy(loop);
}

static int control(struct nestvirt_loop *loop, int operation, struct nv_source *source,
                   uint32_t events)
{
    struct epoll_event event = { .events = events, .data.u64 = place_key(loop, source->place) };

    return epoll_ctl(loop->epoll_fd, operation, source->fd, &event) < 0 ? -errno : 0;
}

/* A free place in the table, from 1; or -ENOMEM. Called with the lock held. */
static int find_place(struct nestvirt_loop *loop)
{
    enum { FIRST = 16 };
    uint32_t count = loop->place_count;
    uint32_t more = NV_MAX(count, (uint32_t)FIRST);
    struct nv_loop_place *grown;

    while (loop->first_free < count && loop->places[loop->first_free].source)
        loop->first_free++;
    if (loop->first_free < count)
        return (int)loop->first_free + 1;
    grown = realloc(loop->places, ((size_t)count + more) * sizeof(*grown));
    if (!grown)
        return -ENOMEM;
    for (uint32_t i = 0; i < more; i++)
        grown[count + i] = (struct nv_loop_place){ 0 };
    loop->places = grown;
    loop->place_count += more;
    return (int)count + 1;
}

int nv_loop_add(struct nestvirt_loop *loop, struct nv_source *source, uint32_t events)
{
    int r;

    NV_GUARD(&loop->lock);
    r = find_place(loop);
    if (r < 0)
        return r;
    source->place = (uint32_t)r;
    loop->places[source->place - 1].source = source;
    r = control(loop, EPOLL_CTL_ADD, source, events);
    if (r < 0) {
        loop->places[source->place - 1].source = NULL;
        source->place = 0;
    }
    return r;
}

int nv_loop_change(struct nestvirt_loop *loop, struct nv_source *source, uint32_t events)
{
    NV_GUARD(&loop->lock);
    return source->place ? control(loop, EPOLL_CTL_MOD, source, events) : -ENOENT;
}

/* Called with the lock held. */
static void disable(struct nestvirt_loop *loop, struct nv_source *source)
{
    struct nv_loop_place *place;

    if (!source->place)
        return;
    control(loop, EPOLL_CTL_DEL, source, 0);
    place = &loop->places[source->place - 1];
    place->source = NULL;
    place->generation++;
    loop->first_free = NV_MIN(loop->first_free, source->place - 1);
    source->place = 0;
}

void nv_loop_disable(struct nestvirt_loop *loop, struct nv_source *source)
{
    NV_GUARD(&loop->lock);
    disable(loop, source);
}

void nv_loop_remove(struct nestvirt_loop *loop, struct nv_source *source)
{
    NV_GUARD(&loop->lock);
    disable(loop, source);
    while (loop->running == source && !nv_loop_is_own_thread(loop))
        pthread_cond_wait(&loop->idle, &loop->lock);
}

void nv_loop_set_timer(struct nestvirt_loop *loop, struct nv_timer *timer, uint64_t deadline_ns)
{
    NV_GUARD(&loop->lock);
    nv_timers_remove(&loop->timers, timer);
    nv_timers_add(&loop->timers, timer, deadline_ns);
    if (!nv_loop_is_own_thread(loop) && loop->timers.first == timer)
        eventfd_write(loop->wake_fd, 1);
}

void nv_loop_clear_timer(struct nestvirt_loop *loop, struct nv_timer *timer)
{
    NV_GUARD(&loop->lock);
    nv_timers_remove(&loop->timers, timer);
    while (loop->firing == timer && !nv_loop_is_own_thread(loop))
        pthread_cond_wait(&loop->idle, &loop->lock);
    nv_timers_remove(&loop->timers, timer); /* its callback may have set it again */
}

/* An errand of the loop's thread, which is a pool of one. */
struct loop_errand {
    struct nv_timer timer;
    struct nv_errand errand;
    pthread_mutex_t lock;
    uint32_t seen;
};

static void on_errand(void *user_data)
{
    struct loop_errand *e = user_data;

    NV_GUARD(&e->lock);
    nv_errand_serve(&e->errand, &e->lock, &e->seen);
}

void nv_loop_send(struct nestvirt_loop *loop, nv_errand_fn *fn, void *user_data,
                  struct nv_errand_result *result)
{
    struct loop_errand e = { .timer = { .fn = on_errand, .user_data = &e },
                             .lock = PTHREAD_MUTEX_INITIALIZER };

    if (nv_loop_is_own_thread(loop)) {
        nv_errand_do(fn, user_data, NESTVIRT_ROLE_LOOP, result);
        return;
    }
    nv_errand_init(&e.errand, NESTVIRT_ROLE_LOOP);
    pthread_mutex_lock(&e.lock);
    nv_loop_set_timer(loop, &e.timer, 1);
    nv_errand_run(&e.errand, &e.lock, &loop->idle, 1, fn, user_data, result);
    pthread_mutex_unlock(&e.lock);
    nv_loop_clear_timer(loop, &e.timer); /* its callback may not have returned */
    nv_errand_destroy(&e.errand);
    pthread_mutex_destroy(&e.lock);
}

bool nv_loop_is_own_thread(const struct nestvirt_loop *loop)
{
    return loop->has_thread && pthread_equal(loop->thread, pthread_self());
}
