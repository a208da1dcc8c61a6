/* SPDX-License-Identifier: Apache-2.0 */
/* Owns a virtio device's life on the host's side: queues and their eventfds, passes, interrupts. */
#include "virtio/virtio.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "core/cleanup.h"
#include "core/error.h"
#include "core/util.h"
#include "host/file.h"
#include "memory/layout.h"
#include "virtio/registers.h"

/*
 * Watching a ring (see watch_ring): a queue that is notified again within HASTE_NS some times in a
 * row is watched for WATCH_NS when it is empty, in passes of at most PASS_NS. Once in vain, and it
 * has to earn that anew.
 */
enum { HASTE_NS = 50000, HASTE_TO_WATCH = 2, WATCH_NS = 15000, PASS_NS = 200000 };

/* Interrupt status bits (virtio 1.2, 4.2.2). */
enum { INTERRUPT_USED = 1, INTERRUPT_CONFIG = 2 };

static void interrupt(struct nv_virtio *v, uint32_t why)
{
    atomic_fetch_or(&v->interrupt_status, why);
    if (v->has_pin)
        eventfd_write(v->irq_fd, 1);
}

struct nv_virtio *nv_virtio_lock(struct nv_virtio *v)
{
    pthread_mutex_lock(&v->lock);
    return v;
}

void nv_virtio_unlock(struct nv_virtio *v)
{
    const char *why = v->why;

    v->why = NULL;
    if (why && !nv_log_allowed(&v->log_limit))
        why = NULL;
    pthread_mutex_unlock(&v->lock);
    if (why)
        nv_log(v->log, NESTVIRT_LOG_WARNING, "%s needs a reset: %s", v->name, why);
}

bool nv_virtio_is_live(const struct nv_virtio *v)
{
    return (v->status & NV_VIRTIO_DRIVER_OK) &&
           !(v->status & (NV_VIRTIO_NEEDS_RESET | NV_VIRTIO_FAILED)) && !v->is_resetting;
}

bool nv_virtio_can_serve(const struct nv_virtio *v, uint32_t queue)
{
    return v->is_running && nv_virtio_is_live(v) && queue < v->queue_count &&
           v->queues[queue].ring.is_ready && !v->queues[queue].is_dropping;
}

void nv_virtio_break(struct nv_virtio *v, const char *why)
{
    if (v->status & NV_VIRTIO_NEEDS_RESET)
        return;
    v->status |= NV_VIRTIO_NEEDS_RESET;
    v->why = why;
    nv_count(&v->faults, 1);
    if (v->status & NV_VIRTIO_DRIVER_OK)
        interrupt(v, INTERRUPT_CONFIG);
}

void nv_virtio_config_changed(struct nv_virtio *v)
{
    v->generation++;
    if (nv_virtio_is_live(v))
        interrupt(v, INTERRUPT_CONFIG);
}

int nv_virtio_pop(struct nv_virtio *v, uint32_t queue, struct nv_chain *chain)
{
    struct nv_virtio_queue *q = &v->queues[queue];
    int r;

    if (!nv_virtio_can_serve(v, queue) || q->budget == 0)
        return 0;
    r = nv_queue_pop(&q->ring, chain);
    if (r == 0)
        q->is_drained = true;
    if (r < 0)
        nv_virtio_break(v, q->ring.fault ? q->ring.fault : "out of memory");
    if (r <= 0)
        return 0;
    q->budget--;
    return 1;
}

void nv_virtio_unpop(struct nv_virtio *v, uint32_t queue, const struct nv_chain *chain)
{
    nv_queue_unpop(&v->queues[queue].ring, chain);
    v->queues[queue].budget++;
}

void nv_virtio_complete(struct nv_virtio *v, uint32_t queue, const struct nv_chain *chain,
                        uint32_t written)
{
    if (nv_virtio_is_live(v) && v->queues[queue].ring.is_ready && !v->queues[queue].is_dropping)
        nv_queue_push(&v->queues[queue].ring, chain->head, written);
}

void nv_virtio_hold(struct nv_virtio *v, uint32_t queue)
{
    v->queues[queue].held++;
}

bool nv_virtio_release(struct nv_virtio *v, uint32_t queue, const struct nv_chain *chain,
                       uint32_t written)
{
    struct nv_virtio_queue *q = &v->queues[queue];
    bool is_wanted = nv_virtio_is_live(v) && q->ring.is_ready && !q->is_dropping;

    if (is_wanted)
        nv_queue_push(&q->ring, chain->head, written);
    if (--q->held == 0)
        pthread_cond_broadcast(&v->drained);
    return is_wanted;
}

void nv_virtio_signal(struct nv_virtio *v, uint32_t queue)
{
    struct nv_virtio_queue *q = &v->queues[queue];

    if (nv_virtio_is_live(v) && q->ring.is_ready && nv_queue_wants_interrupt(&q->ring))
        interrupt(v, INTERRUPT_USED);
}

void nv_virtio_serve_later(struct nv_virtio *v, uint32_t queue)
{
    if (v->loop)
        eventfd_write(v->queues[queue].kick.fd, 1);
}

/*
 * Looks for the next requests a little while instead of sleeping, which costs more CPU than that
 * when they come at once. Without the lock: of the ring only its place in guest memory is used,
 * which stays. True if there are some.
 */
static bool watch_ring(struct nv_virtio *v, struct nv_virtio_queue *q, uint64_t pass_end_ns)
{
    enum { LOOKS = 16 }; /* between two looks at the clock */
    const uint8_t *index = nv_queue_index(&q->ring);
    const uint16_t seen = q->ring.next_available;
    uint64_t end_ns = nv_now_ns() + WATCH_NS;
    bool has_come = false;

    if (end_ns > pass_end_ns)
        return false;
    nv_virtio_unlock(v);
    do
        for (int i = 0; i < LOOKS && !has_come; i++)
            has_come = nv_queue_index_load(index) != seen;
    while (!has_come && nv_now_ns() < end_ns);
    nv_virtio_lock(v);
    if (!has_come)
        q->haste = 0;
    return has_come && nv_virtio_can_serve(v, (uint32_t)(q - v->queues));
}

/* hasty: the queue may be watched at the end of the pass. */
static void serve(struct nv_virtio *v, uint32_t queue, bool is_hasty)
{
    struct nv_virtio_queue *q = &v->queues[queue];
    uint64_t pass_end_ns = nv_now_ns() + PASS_NS;
    bool has_more;

    if (q->is_serving || !nv_virtio_can_serve(v, queue))
        return;
    q->is_serving = true;
    q->budget = q->ring.size;
    do {
        uint32_t before = q->budget;

        q->is_drained = has_more = false;
        nv_queue_silence(&q->ring);
        v->class->serve(v, queue);
        if (nv_virtio_can_serve(v, queue) && q->is_drained) {
            nv_virtio_signal(v, queue);
            has_more = is_hasty && q->budget < before && watch_ring(v, q, pass_end_ns);
            if (!has_more && nv_virtio_can_serve(v, queue))
                has_more = nv_queue_arm(&q->ring);
        }
        /* One more round costs even if this one found nothing: indexes can go back and forth. */
        if (has_more && q->budget == before)
            q->budget--;
        if (has_more && v->loop && nv_now_ns() > pass_end_ns)
            q->budget = 0;
    } while (has_more && q->budget > 0);
    q->is_serving = false;
    nv_virtio_signal(v, queue);
    /* A pass serves a queue full, or as long as PASS_NS; then others have their turn. */
    if (q->budget == 0 && nv_virtio_can_serve(v, queue) && (has_more || nv_queue_arm(&q->ring)))
        nv_virtio_serve_later(v, queue);
}

void nv_virtio_serve(struct nv_virtio *v, uint32_t queue)
{
    serve(v, queue, false);
}

void nv_virtio_serve_last(struct nv_virtio *v, uint32_t queue)
{
    struct nv_virtio_queue *q = &v->queues[queue];

    /* Not by serve(): a pass that lets go of the lock for a moment would be in the way. */
    v->is_running = true;
    q->budget = q->ring.size;
    if (nv_virtio_can_serve(v, queue))
        v->class->serve(v, queue);
    v->is_running = false;
}

void nv_virtio_notify(struct nv_virtio *v, uint32_t queue)
{
    if (v->loop) {
        nv_virtio_serve_later(v, queue);
    } else {
        nv_count(&v->notified, 1);
        nv_virtio_serve(v, queue);
    }
}

void nv_virtio_ignore(struct nv_virtio *v)
{
    nv_count(&v->ignored, 1);
}

/* The guest has written to QueueNotify, or something wants the queue to be looked at. */
static void on_kick(void *user_data, uint32_t events)
{
    struct nv_virtio_queue *q = user_data;
    struct nv_virtio *v = q->v;

    NV_VIRTIO_GUARD(v);
    nv_count(&v->notified, 1);
    q->haste = nv_now_ns() - q->rest_ns < HASTE_NS ? NV_MIN(q->haste + 1, HASTE_TO_WATCH) : 0;
    serve(v, (uint32_t)(q - v->queues), q->haste == HASTE_TO_WATCH);
    q->rest_ns = nv_now_ns();
}

static void init_lock(struct nv_virtio *v)
{
    pthread_condattr_t attributes;

    pthread_mutex_init(&v->lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&v->drained, &attributes);
    pthread_condattr_destroy(&attributes);
}

static int claim_window(struct nv_virtio *v, uint32_t number, struct nestvirt_error **ret_error)
{
    const struct nv_range range = {
        .address = NV_LAYOUT_VIRTIO + (uint64_t)number * NV_LAYOUT_VIRTIO_STRIDE,
        .length = NV_LAYOUT_VIRTIO_SIZE,
        .fn = nv_virtio_access,
        .user_data = v,
    };

    v->window = range.address;
    return nv_bus_add(v->bus, NESTVIRT_SPACE_MMIO, &range, true, ret_error);
}

int nv_virtio_claim(struct nv_virtio *v, const struct nv_virtio_class *class, const char *name,
                    uint32_t number, const struct nv_virtio_env *env,
                    struct nestvirt_error **ret_error)
{
    int r;

    if ((v->queue_size & (v->queue_size - 1)) != 0)
        return nv_fail(ret_error, -EINVAL, "property queue_size",
                       nv_text("use %llu", 1ull << (63 - __builtin_clzll(v->queue_size))).s,
                       "%llu is not a power of two", (unsigned long long)v->queue_size);
    v->class = class;
    v->memory = env->memory;
    v->bus = env->bus;
    v->irq = env->irq;
    v->loop = env->loop;
    v->log = env->log;
    snprintf(v->name, sizeof(v->name), "vm %s: device %u (%s)", env->vm_name, number, name);
    v->queue_count = 0;
    v->offered = 0;
    v->config_length = 0;
    v->queues = NULL;
    v->has_pin = v->is_wired = v->is_running = false;
    v->irq_fd = -1;
    memset(v->config, 0, sizeof(v->config));
    init_lock(v);
    v->is_claimed = true;
    nv_virtio_clear(v);
    r = claim_window(v, number, ret_error);
    if (r < 0 || v->irq->chip == NESTVIRT_CHIP_NONE)
        return r;
    r = nv_irq_share(v->irq, ret_error);
    if (r < 0)
        return r;
    v->pin = (uint32_t)r;
    v->has_pin = true;
    return 0;
}

static int out_of(struct nestvirt_error **ret_error, int code, const char *call, const char *hint)
{
    return nv_fail_sys(ret_error, -code, "queue", call, nv_fd_hint(-code, hint));
}

/* One queue's notification: an eventfd that KVM signals without an exit. */
static int wire_queue(struct nv_virtio *v, uint32_t number, struct nestvirt_error **ret_error)
{
    struct nv_virtio_queue *q = &v->queues[number];
    struct nestvirt_ioeventfd_config config = {
        .size = sizeof(config),
        .flags = NESTVIRT_IOEVENTFD_DATAMATCH,
        .space = NESTVIRT_SPACE_MMIO,
        .length = 4,
        .address = v->window + NV_VIRTIO_REG_QUEUE_NOTIFY,
        .value = number,
    };
    int r;

    q->kick = (struct nv_source){ .fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
                                  .fn = on_kick,
                                  .user_data = q };
    if (q->kick.fd < 0)
        return out_of(ret_error, -errno, "eventfd", "use fewer queues");
    r = nv_loop_add(v->loop, &q->kick, EPOLLIN | EPOLLET); /* so that nobody has to read it */
    if (r < 0)
        return out_of(ret_error, r, "epoll_ctl", "raise fs.epoll.max_user_watches");
    config.fd = q->kick.fd;
    return nv_bus_lend_ioeventfd(v->bus, &config, ret_error);
}

int nv_virtio_wire(struct nv_virtio *v, struct nestvirt_error **ret_error)
{
    int r = 0;

    v->queues = calloc(v->queue_count, sizeof(*v->queues));
    if (!v->queues)
        return nv_fail_sys(ret_error, ENOMEM, "queues", "calloc", "free memory in this process");
    v->is_wired = true;
    v->offered |= NV_VIRTIO_F_INDIRECT_DESC | NV_VIRTIO_F_EVENT_IDX | NV_VIRTIO_F_VERSION_1;
    for (uint32_t i = 0; i < v->queue_count; i++) {
        v->queues[i].v = v;
        v->queues[i].kick.fd = -1;
    }
    for (uint32_t i = 0; i < v->queue_count && v->loop && r >= 0; i++)
        r = wire_queue(v, i, ret_error);
    if (r >= 0 && v->has_pin)
        r = v->irq_fd = nv_irq_open_fd(v->irq, v->pin, ret_error);
    return r < 0 ? r : 0;
}

void nv_virtio_start(struct nv_virtio *v)
{
    NV_VIRTIO_GUARD(v);
    nv_virtio_clear(v);
    v->is_loaded = false;
    v->is_running = true;
}

void nv_virtio_resume(struct nv_virtio *v)
{
    NV_VIRTIO_GUARD(v);
    v->is_running = true;
    /* An interrupt that was on its way when the state was saved; one too many does no harm. */
    if (v->is_loaded && v->has_pin && atomic_load(&v->interrupt_status))
        eventfd_write(v->irq_fd, 1);
    v->is_loaded = false;
    for (uint32_t i = 0; i < v->queue_count; i++)
        nv_virtio_serve_later(v, i);
}

void nv_virtio_halt(struct nv_virtio *v)
{
    NV_VIRTIO_GUARD(v);
    v->is_running = false;
}

void nv_virtio_quiesce(struct nv_virtio *v)
{
    if (!v->is_wired)
        return;
    nv_virtio_halt(v);
    for (uint32_t i = 0; i < v->queue_count && v->loop; i++)
        nv_loop_remove(v->loop, &v->queues[i].kick);
}

void nv_virtio_unclaim(struct nv_virtio *v)
{
    if (!v->is_claimed)
        return;
    for (uint32_t i = 0; i < v->queue_count && v->queues; i++) {
        if (v->queues[i].kick.fd >= 0)
            close(v->queues[i].kick.fd);
        nv_chain_destroy(&v->queues[i].chain);
    }
    free(v->queues);
    v->queues = NULL;
    v->irq_fd = -1; /* the pin's: it closes it */
    pthread_cond_destroy(&v->drained);
    pthread_mutex_destroy(&v->lock);
    v->is_claimed = v->is_wired = v->has_pin = false;
}
