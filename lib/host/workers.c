/* SPDX-License-Identifier: Apache-2.0 */
/* Owns a small pool of threads for work that waits, such as disk I/O. */
#include "host/workers.h"

#include <stddef.h>

#include <nestvirt/privilege.h>

#include "core/cleanup.h"
#include "core/error.h"
#include "core/log.h"
#include "host/thread.h"

/* Jobs that have run are told together, up to so many, while none takes longer than this. */
enum { DONE_MAX = 16 };
static const uint64_t QUICK_NS = 20000;

struct nv_job_list nv_job_filter(struct nv_job_list *list,
                                 bool (*is_wanted)(const struct nv_job *job, uint64_t argument),
                                 uint64_t argument)
{
    struct nv_job_list rest = { NULL, NULL };
    struct nv_job_list wanted = { NULL, NULL };
    struct nv_job *job;

    while ((job = nv_job_take(list)))
        nv_job_append(is_wanted(job, argument) ? &wanted : &rest, job);
    *list = rest;
    return wanted;
}

/*
 * The next job. NULL: there is none that is quick (has_done: others wait to be told), or the pool
 * ends. Who takes one of several wakes a colleague, so that handing over many costs one call.
 */
static struct nv_job *next_job(struct nv_workers *workers, bool has_done, uint32_t *errand)
{
    struct nv_job *job;

    NV_GUARD(&workers->lock);
    while (!has_done && !workers->jobs.first && !workers->quit) {
        if (nv_errand_serve(&workers->errand, &workers->lock, errand))
            continue;
        workers->idle++;
        pthread_cond_wait(&workers->wake, &workers->lock);
        workers->idle--;
    }
    if (workers->quit ||
        (has_done && workers->jobs.first && !workers->ops->is_quick(workers->jobs.first)))
        return NULL;
    job = nv_job_take(&workers->jobs);
    if (workers->jobs.first && workers->idle > 0)
        pthread_cond_signal(&workers->wake);
    return job;
}

/* True if it took no time worth the name. */
static bool run_job(struct nv_workers *workers, struct nv_job *job)
{
    uint64_t begin_ns = nv_now_ns();

    workers->ops->run(workers->user_data, job);
    return nv_now_ns() - begin_ns < QUICK_NS;
}

static void *worker_main(void *argument)
{
    struct nv_workers *workers = argument;
    struct nv_job_list done = { NULL, NULL };
    uint32_t done_count = 0;
    uint32_t errand = 0; /* the last that this thread has done */

    nv_thread_set_name("nv-disk");
    for (;;) {
        struct nv_job *job = next_job(workers, done_count > 0, &errand);
        bool is_quick = job && run_job(workers, job);

        if (job) {
            nv_job_append(&done, job);
            done_count++;
        } else if (done_count == 0) {
            return NULL; /* the pool ends */
        }
        if (!is_quick || done_count == DONE_MAX) {
            workers->ops->done(workers->user_data, done);
            done = (struct nv_job_list){ NULL, NULL };
            done_count = 0;
        }
    }
}

int nv_workers_start(struct nv_workers *workers, uint32_t count, const struct nv_workers_ops *ops,
                     void *user_data, struct nestvirt_error **ret_error)
{
    *workers = (struct nv_workers){ .ops = ops, .user_data = user_data };
    pthread_mutex_init(&workers->lock, NULL);
    pthread_cond_init(&workers->wake, NULL);
    nv_errand_init(&workers->errand, NESTVIRT_ROLE_WORKER);
    for (uint32_t i = 0; i < count; i++) {
        int r = nv_thread_create(&workers->threads[i], NULL, worker_main, workers);

        if (r < 0 && i == 0) {
            nv_errand_destroy(&workers->errand);
            pthread_cond_destroy(&workers->wake);
            pthread_mutex_destroy(&workers->lock);
        }
        if (r < 0) {
            nv_workers_stop(workers);
            return nv_fail_sys(ret_error, -r, "disk workers", "pthread_create",
                               "raise the limit on processes and threads (ulimit -u)");
        }
        workers->count++;
    }
    return 0;
}

void nv_workers_send(struct nv_workers *workers, nv_errand_fn *fn, void *user_data,
                     struct nv_errand_result *result)
{
    if (workers->count == 0)
        return;
    NV_GUARD(&workers->lock);
    nv_errand_run(&workers->errand, &workers->lock, &workers->wake, workers->count, fn, user_data,
                  result);
}

void nv_workers_submit(struct nv_workers *workers, struct nv_job_list *jobs)
{
    if (!jobs->first)
        return;
    NV_GUARD(&workers->lock);
    if (workers->jobs.last)
        workers->jobs.last->next = jobs->first;
    else
        workers->jobs.first = jobs->first;
    workers->jobs.last = jobs->last;
    *jobs = (struct nv_job_list){ NULL, NULL };
    if (workers->idle > 0)
        pthread_cond_signal(&workers->wake);
}

struct nv_job_list nv_workers_cancel(struct nv_workers *workers,
                                     bool (*is_wanted)(const struct nv_job *job, uint64_t argument),
                                     uint64_t argument)
{
    NV_GUARD(&workers->lock);
    return nv_job_filter(&workers->jobs, is_wanted, argument);
}

static void tell_to_quit(struct nv_workers *workers)
{
    NV_GUARD(&workers->lock);
    workers->quit = true;
    pthread_cond_broadcast(&workers->wake);
}

void nv_workers_stop(struct nv_workers *workers)
{
    if (workers->count == 0)
        return;
    tell_to_quit(workers);
    for (uint32_t i = 0; i < workers->count; i++)
        pthread_join(workers->threads[i], NULL);
    workers->count = 0; /* only now: jobs that end look at it */
    nv_errand_destroy(&workers->errand);
    pthread_cond_destroy(&workers->wake);
    pthread_mutex_destroy(&workers->lock);
}
