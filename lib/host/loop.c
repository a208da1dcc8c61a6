/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the event loop: one thread that calls back for ready descriptors. */
#include "host/loop.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "core/cleanup.h"
#include "core/error.h"
#include "core/tags.h"
#include "host/thread.h"

/* Marks the event of quit_fd; no place has this number. */
static const uint64_t QUIT = UINT64_MAX;

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

static void *loop_main(void *argument)
{
    struct nestvirt_loop *loop = argument;

    nv_thread_set_name("nv-loop");
    for (;;) {
        struct epoll_event events[NV_LOOP_BATCH];
        int count = epoll_wait(loop->epoll_fd, events, NV_LOOP_BATCH, -1);

        for (int i = 0; i < count; i++) {
            if (events[i].data.u64 == QUIT)
                return NULL;
            dispatch(loop, &events[i]);
        }
    }
}

static void loop_destroy(struct nestvirt_loop *loop)
{
    if (loop->has_thread) {
        eventfd_write(loop->quit_fd, 1);
        pthread_join(loop->thread, NULL);
    }
    if (loop->epoll_fd >= 0)
        close(loop->epoll_fd);
    if (loop->quit_fd >= 0)
        close(loop->quit_fd);
    pthread_mutex_destroy(&loop->lock);
    pthread_cond_destroy(&loop->idle);
    free(loop->places);
    loop->tag = NV_TAG_FREED;
    free(loop);
}

static int loop_open(struct nestvirt_loop *loop, struct nestvirt_error **ret_error)
{
    struct epoll_event quit = { .events = EPOLLIN, .data.u64 = QUIT };
    int r;

    loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (loop->epoll_fd < 0)
        return nv_fail_sys(ret_error, errno, "event loop", "epoll_create1",
                           "raise the limit on open files");
    loop->quit_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (loop->quit_fd < 0)
        return nv_fail_sys(ret_error, errno, "event loop", "eventfd",
                           "raise the limit on open files");
    if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, loop->quit_fd, &quit) < 0)
        return nv_fail_sys(ret_error, errno, "event loop", "epoll_ctl",
                           "raise fs.epoll.max_user_watches");
    r = nv_thread_create(&loop->thread, NULL, loop_main, loop);
    if (r < 0)
        return nv_fail_sys(ret_error, -r, "event loop", "pthread_create",
                           "raise the limit on processes and threads");
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
    loop->epoll_fd = loop->quit_fd = -1;
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
    enum { GROWTH = 16 };
    struct nv_loop_place *grown;

    for (uint32_t i = 0; i < loop->place_count; i++)
        if (!loop->places[i].source)
            return (int)i + 1;
    grown = realloc(loop->places, (loop->place_count + GROWTH) * sizeof(*grown));
    if (!grown)
        return -ENOMEM;
    for (uint32_t i = 0; i < GROWTH; i++)
        grown[loop->place_count + i] = (struct nv_loop_place){ 0 };
    loop->places = grown;
    loop->place_count += GROWTH;
    return (int)(loop->place_count - GROWTH) + 1;
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

bool nv_loop_is_own_thread(const struct nestvirt_loop *loop)
{
    return loop->has_thread && pthread_equal(loop->thread, pthread_self());
}
