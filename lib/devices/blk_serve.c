/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the way of disk requests: from the ring to the threads and back, limits, error policy. */
#include <errno.h>

#include "core/cleanup.h"
#include "core/log.h"
#include "core/util.h"
#include "devices/blk.h"

enum {
    CACHED_MAX = 256 * 1024,      /* bytes of one read done on the loop's thread */
    CACHED_PASS_MAX = 1024 * 1024 /* and of all in one pass; then others have their turn */
};

/* Errors that are only reported are told to the owner this often at most. */
static const uint64_t QUIET_NS = 1000000000ull;

struct report {
    int code; /* 0: nothing to tell */
    bool has_pause;
};

static struct blk_request *request_of(struct nv_job *job)
{
    return (struct blk_request *)job;
}

static struct report take_report(struct blk_state *s)
{
    struct report report = { s->report_code, s->report_pause };

    s->report_code = 0;
    s->report_pause = false;
    return report;
}

/* Without the device's lock. */
static void deliver(struct blk_state *s, const struct report *report)
{
    if (report->code && s->upward.event)
        s->upward.event(s->upward.owner, s->device, NESTVIRT_EVENT_IO_ERROR,
                        (uint64_t)report->code);
    if (report->has_pause && s->upward.pause)
        s->upward.pause(s->upward.owner);
}

static bool is_full(int code)
{
    return code == -ENOSPC || code == -EDQUOT;
}

/* The host failed: true if the request is to wait until the VM goes on. */
static bool heed_policy(struct blk_state *s, struct blk_request *request)
{
    bool has_pause =
        s->policy == BLK_STOP || (s->policy == BLK_STOP_ON_ENOSPC && is_full(request->result));
    uint64_t now_ns;

    if (has_pause) {
        if (!s->is_stopped) {
            s->report_code = -request->result;
            s->report_pause = true;
        }
        s->is_stopped = true;
        return !request->is_lost;
    }
    now_ns = nv_now_ns();
    if (now_ns >= s->quiet_until_ns && !s->report_code) {
        s->report_code = -request->result;
        s->quiet_until_ns = now_ns + QUIET_NS;
    }
    return false;
}

static void count(struct blk_state *s, const struct blk_request *request)
{
    if (request->result == -ECANCELED) /* the guest gave it up */
        return;
    if (request->result < 0) {
        nv_count(&s->errors, 1);
    } else if (request->type == BLK_T_IN) {
        nv_count(&s->reads, 1);
        nv_count(&s->bytes_read, request->total);
    } else if (request->type == BLK_T_OUT) {
        nv_count(&s->writes, 1);
        nv_count(&s->bytes_written, request->total);
    } else if (request->type == BLK_T_FLUSH) {
        nv_count(&s->flushes, 1);
    }
}

/* Bytes that the guest finds written from the start of its buffers on (2.7.8.2). */
static uint32_t written_bytes(const struct blk_request *request)
{
    uint64_t written = request->chain.written;

    if (request->type == BLK_T_IN)
        written += request->total - request->length;
    return (uint32_t)written + (request->chain.write_left == 0);
}

static struct blk_request *take_place(struct blk_state *s)
{
    struct blk_request *request = s->free;

    s->free = request->job.next ? request_of(request->job.next) : NULL;
    return request;
}

static void give_place(struct blk_state *s, struct blk_request *request)
{
    request->job.next = s->free ? &s->free->job : NULL;
    s->free = request;
}

/* Answers a request and takes its place back. Lock held. */
static void finish(struct blk_state *s, struct blk_request *request)
{
    uint32_t written = written_bytes(request);
    uint8_t status = BLK_S_OK;

    if (request->result < 0)
        status = request->result == -EOPNOTSUPP ? BLK_S_UNSUPP : BLK_S_IOERR;
    __atomic_store_n(request->status, status, __ATOMIC_RELAXED);
    count(s, request);
    if (request->is_held)
        nv_virtio_release(&s->virtio, request->queue, &request->chain, written);
    else
        nv_virtio_complete(&s->virtio, request->queue, &request->chain, written);
    if (request->chain.capacity > BLK_PARTS_KEPT)
        nv_chain_destroy(&request->chain);
    give_place(s, request);
}

/* Keeps the request beyond this pass. */
static void hold(struct blk_state *s, struct blk_request *request)
{
    if (request->is_held)
        return;
    request->is_held = true;
    nv_virtio_hold(&s->virtio, request->queue);
}

/* False if the guest has given the request up meanwhile, and may wait for its end. */
static bool is_wanted(const struct blk_state *s, const struct blk_request *request)
{
    return nv_virtio_is_live(&s->virtio) && !s->virtio.queues[request->queue].is_dropping;
}

/* True if the VM went on while the request was under way, perhaps because the cause is gone. */
static bool deserves_retry(const struct blk_state *s, const struct blk_request *request)
{
    return s->workers.count > 0 && request->epoch != s->epoch && !request->is_lost;
}

/* A request has been done: it is answered, tried again, or waits for better times. */
static void conclude(struct blk_state *s, struct blk_request *request)
{
    struct nv_job_list again = { NULL, NULL };

    if (request->result >= 0 || request->result == -EOPNOTSUPP || request->result == -ECANCELED ||
        !is_wanted(s, request)) {
        finish(s, request);
    } else if (deserves_retry(s, request)) {
        request->epoch = s->epoch;
        nv_job_append(&again, &request->job);
        nv_workers_submit(&s->workers, &again);
    } else if (heed_policy(s, request)) {
        hold(s, request);
        nv_job_append(&s->stopped, &request->job);
    } else {
        finish(s, request);
    }
}

/* Without one, no request has to ask for the time. */
static bool has_limit(const struct blk_state *s)
{
    return __atomic_load_n(&s->limit.bytes.size, __ATOMIC_RELAXED) ||
           __atomic_load_n(&s->limit.operations.size, __ATOMIC_RELAXED);
}

/* True if the rate limit makes the request wait: it is back in its ring. */
static bool is_limited(struct blk_state *s, const struct blk_request *request)
{
    uint64_t when_ns;

    if (!has_limit(s))
        return false;
    when_ns = nv_limit_take(&s->limit, request->total, nv_now_ns());
    if (!when_ns)
        return false;
    nv_virtio_unpop(&s->virtio, request->queue, &request->chain);
    s->limited |= 1u << request->queue;
    if (s->virtio.loop)
        nv_loop_set_timer(s->virtio.loop, &s->timer, when_ns);
    return true;
}

/* Without a loop (tests) there are no threads: all is done here, and the lock let go to report. */
static void run_here(struct blk_state *s, struct blk_request *request)
{
    struct report report;

    nv_blk_run(s, request);
    conclude(s, request);
    report = take_report(s);
    if (!report.code)
        return;
    nv_virtio_unlock(&s->virtio);
    deliver(s, &report);
    nv_virtio_lock(&s->virtio);
}

/* Does what may wait for the medium. */
static void start(struct blk_state *s, struct blk_request *request)
{
    if (s->workers.count == 0) {
        run_here(s, request);
        return;
    }
    hold(s, request);
    request->epoch = s->epoch;
    if (!nv_blk_start_uring(s, request))
        nv_job_append(&s->fresh, &request->job);
}

/* Reads what is in the page cache; the rest is started. */
static void end_run(struct blk_state *s)
{
    struct blk_run *run = &s->run;
    uint32_t count = run->count;
    ssize_t done;
    uint64_t left;

    if (count == 0)
        return;
    done = nv_disk_read_cached(&s->disk, run->parts, run->part_count, run->offset);
    left = done > 0 ? (uint64_t)done : 0;
    run->count = 0;
    for (uint32_t i = 0; i < count; i++) {
        struct blk_request *request = run->requests[i];
        uint64_t length = NV_MIN(left, request->length);

        nv_blk_advance(request, length);
        left -= length;
        if (request->length > 0) {
            start(s, request);
        } else {
            request->result = 0;
            finish(s, request);
        }
    }
}

/* Puts a read to its neighbours; false if it is not for the run. */
static bool join_run(struct blk_state *s, struct blk_request *request)
{
    struct blk_run *run = &s->run;
    int count;
    const struct iovec *parts = nv_chain_writable(&request->chain, &count);

    if (count > BLK_RUN_PARTS || s->disk.is_direct)
        return false;
    if (run->count > 0 &&
        (run->count == BLK_RUN_MAX || run->part_count + count > BLK_RUN_PARTS ||
         run->offset + run->length != request->offset || run->length >= CACHED_MAX))
        end_run(s);
    if (run->count == 0) {
        run->part_count = 0;
        run->offset = request->offset;
        run->length = 0;
    }
    for (int i = 0; i < count; i++)
        run->parts[run->part_count++] = parts[i];
    run->length += request->length;
    run->requests[run->count++] = request;
    return true;
}

/* Begins a popped request; false if no more may be popped. room: cached bytes left in this pass. */
static bool begin(struct blk_state *s, struct blk_request *request, uint64_t *room)
{
    enum blk_step step = nv_blk_parse(s, request);

    if (step == BLK_BROKEN) {
        nv_virtio_break(&s->virtio, "a disk request without a byte for its status");
        give_place(s, request);
        return false;
    }
    if (step == BLK_ANSWERED) {
        finish(s, request);
        return true;
    }
    if (is_limited(s, request)) {
        give_place(s, request);
        return false;
    }
    if (request->type == BLK_T_IN && request->length <= NV_MIN(*room, (uint64_t)CACHED_MAX) &&
        join_run(s, request)) {
        if (s->virtio.loop)
            *room -= request->total;
        return true;
    }
    if (s->workers.count == 0)
        end_run(s); /* in their order */
    start(s, request);
    return true;
}

/* What was begun in this pass goes out together. */
static void hand_over(struct blk_state *s)
{
    nv_workers_submit(&s->workers, &s->fresh);
    if (s->uring)
        nv_uring_submit(s->uring);
}

void nv_blk_serve(struct nv_virtio *v, uint32_t queue)
{
    struct blk_state *s = (struct blk_state *)v;
    uint64_t room = CACHED_PASS_MAX;

    /* Requests given up are over: neither a reset nor a queue's end returns before. */
    if (atomic_load_explicit(&s->given_up, memory_order_relaxed) & 1u << queue)
        atomic_fetch_and(&s->given_up, ~(1u << queue));
    while (s->free && room >= NV_SECTOR_SIZE && nv_virtio_pop(v, queue, &s->free->chain) > 0) {
        struct blk_request *request = take_place(s);

        request->queue = (uint16_t)queue;
        if (!begin(s, request, &room))
            break;
    }
    end_run(s);
    if (!s->free)
        s->starved |= 1u << queue;
    else if (room < NV_SECTOR_SIZE)
        nv_virtio_serve_later(v, queue);
    hand_over(s);
}

static void serve_starved(struct blk_state *s)
{
    uint32_t starved = s->starved;

    s->starved = 0;
    for (; starved; starved &= starved - 1)
        nv_virtio_serve_later(&s->virtio, (uint32_t)__builtin_ctz(starved));
}

/* Interrupts for what was completed; then there is room for others. */
static struct report end_batch(struct blk_state *s, uint32_t queues)
{
    for (; queues; queues &= queues - 1)
        nv_virtio_signal(&s->virtio, (uint32_t)__builtin_ctz(queues));
    if (s->free)
        serve_starved(s);
    return take_report(s);
}

/* On the threads: jobs that were run come back. */
static struct report take_jobs(struct blk_state *s, struct nv_job_list *jobs)
{
    uint32_t queues = 0;
    struct nv_job *job;

    NV_VIRTIO_GUARD(&s->virtio);
    while ((job = nv_job_take(jobs))) {
        queues |= 1u << request_of(job)->queue;
        conclude(s, request_of(job));
    }
    return end_batch(s, queues);
}

static void on_done(void *user_data, struct nv_job_list jobs)
{
    struct blk_state *s = user_data;
    struct report report = take_jobs(s, &jobs);

    deliver(s, &report);
}

/*
 * On the loop's thread: transfers of the ring come back. What is not done to the end goes on in a
 * thread, which finds out why; nothing else has to know how a transfer can fail.
 */
static struct report take_ended(struct blk_state *s)
{
    struct blk_request *request;
    uint32_t queues = 0;
    int result;

    NV_VIRTIO_GUARD(&s->virtio);
    while ((request = nv_uring_next(s->uring, &result))) {
        if (result > 0)
            nv_blk_advance(request, (uint64_t)result);
        if (request->length > 0) {
            nv_job_append(&s->fresh, &request->job);
            continue;
        }
        request->result = 0;
        queues |= 1u << request->queue;
        conclude(s, request);
    }
    hand_over(s);
    return end_batch(s, queues);
}

void nv_blk_on_ended(struct blk_state *s)
{
    struct report report = take_ended(s);

    deliver(s, &report);
}

static void on_run(void *user_data, struct nv_job *job)
{
    nv_blk_run(user_data, request_of(job));
}

/* A write goes to the page cache. */
static bool is_quick(const struct nv_job *job)
{
    const struct blk_request *request = (const struct blk_request *)job;

    return request->type == BLK_T_OUT && !request->is_through;
}

const struct nv_workers_ops nv_blk_workers = {
    .run = on_run,
    .done = on_done,
    .is_quick = is_quick,
};

static bool is_of_queue(const struct nv_job *job, uint64_t queue)
{
    return ((const struct blk_request *)job)->queue == queue;
}

static void cancel(struct blk_state *s, struct nv_job_list jobs)
{
    struct nv_job *job;

    while ((job = nv_job_take(&jobs))) {
        request_of(job)->result = -ECANCELED;
        finish(s, request_of(job));
    }
}

void nv_blk_drop(struct nv_virtio *v, uint32_t queue)
{
    struct blk_state *s = (struct blk_state *)v;

    atomic_fetch_or(&s->given_up, 1u << queue);
    if (s->workers.count > 0)
        cancel(s, nv_workers_cancel(&s->workers, is_of_queue, queue));
    cancel(s, nv_job_filter(&s->stopped, is_of_queue, queue));
    s->starved &= ~(1u << queue);
    s->limited &= ~(1u << queue);
    if (s->free)
        serve_starved(s);
}

void nv_blk_on_timer(void *user_data)
{
    struct blk_state *s = user_data;
    uint32_t limited;

    NV_VIRTIO_GUARD(&s->virtio);
    limited = s->limited;
    s->limited = 0;
    for (; limited; limited &= limited - 1)
        nv_virtio_serve(&s->virtio, (uint32_t)__builtin_ctz(limited));
}

static struct report retry(struct blk_state *s)
{
    struct nv_job_list jobs;
    struct nv_job *job;

    NV_VIRTIO_GUARD(&s->virtio);
    jobs = s->stopped;
    s->stopped = (struct nv_job_list){ NULL, NULL };
    s->epoch += s->is_stopped;
    for (job = jobs.first; job; job = job->next)
        request_of(job)->epoch = s->epoch;
    s->is_stopped = false;
    if (s->workers.count > 0) {
        nv_workers_submit(&s->workers, &jobs);
        return (struct report){ 0 };
    }
    while ((job = nv_job_take(&jobs))) {
        uint32_t queue = request_of(job)->queue;

        nv_blk_run(s, request_of(job));
        conclude(s, request_of(job));
        nv_virtio_signal(&s->virtio, queue);
    }
    return take_report(s);
}

void nv_blk_retry(struct blk_state *s)
{
    struct report report = retry(s);

    deliver(s, &report);
}
