/* SPDX-License-Identifier: Apache-2.0 */
/* Owns a small pool of threads for work that waits, such as disk I/O. */
#ifndef NV_HOST_WORKERS_H
#define NV_HOST_WORKERS_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include <nestvirt/error.h>

#include "host/errand.h"

enum { NV_WORKERS_MAX = 16 };

/* One piece of work; lies in what it is about. */
struct nv_job {
    struct nv_job *next;
};

/* First in, first out. Zero-initialised is empty. */
struct nv_job_list {
    struct nv_job *first;
    struct nv_job *last;
};

static inline void nv_job_append(struct nv_job_list *list, struct nv_job *job)
{
    job->next = NULL;
    if (list->last)
        list->last->next = job;
    else
        list->first = job;
    list->last = job;
}

static inline struct nv_job *nv_job_take(struct nv_job_list *list)
{
    struct nv_job *job = list->first;

    if (job) {
        list->first = job->next;
        if (!list->first)
            list->last = NULL;
    }
    return job;
}

/* Takes those out for which is_wanted is true, in order. */
struct nv_job_list nv_job_filter(struct nv_job_list *list,
                                 bool (*is_wanted)(const struct nv_job *job, uint64_t argument),
                                 uint64_t argument);

/* What the threads do with jobs; called without a lock, but for is_quick. */
struct nv_workers_ops {
    void (*run)(void *user_data, struct nv_job *job);
    /* Jobs that have run, soon after; several at a time if they and the next are quick. */
    void (*done)(void *user_data, struct nv_job_list jobs);
    /* Is a job unlikely to wait for anything? Others are only begun when all are told. */
    bool (*is_quick)(const struct nv_job *job);
};

struct nv_workers {
    const struct nv_workers_ops *ops;
    void *user_data;
    pthread_mutex_t lock; /* the following; nothing else is taken inside */
    pthread_cond_t wake;
    struct nv_job_list jobs;
    uint32_t idle;
    struct nv_errand errand;
    bool quit;
    uint32_t count; /* threads; 0: not started */
    pthread_t threads[NV_WORKERS_MAX];
};

/* Starts count threads. -EAGAIN and the like; then nothing is left to undo. */
int nv_workers_start(struct nv_workers *workers, uint32_t count, const struct nv_workers_ops *ops,
                     void *user_data, struct nestvirt_error **ret_error);

/* Sends the threads on an errand, before there are jobs. Nothing if it was not started. */
void nv_workers_send(struct nv_workers *workers, nv_errand_fn *fn, void *user_data,
                     struct nv_errand_result *result);

/* Hands over jobs; the list is empty afterwards. Any thread, any lock of the owner. */
void nv_workers_submit(struct nv_workers *workers, struct nv_job_list *jobs);

/* Takes back those that have not begun. */
struct nv_job_list nv_workers_cancel(struct nv_workers *workers,
                                     bool (*is_wanted)(const struct nv_job *job, uint64_t argument),
                                     uint64_t argument);

/* Waits for what has begun; what has not is forgotten. Nothing if it was not started. */
void nv_workers_stop(struct nv_workers *workers);

#endif
