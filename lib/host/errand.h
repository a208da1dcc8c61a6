/* SPDX-License-Identifier: Apache-2.0 */
/* Owns errands: what each thread of a waiting pool does once on itself, as it must for privileges.
 */
#ifndef NV_HOST_ERRAND_H
#define NV_HOST_ERRAND_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

/*
 * What a thread does on its own behalf; called without a lock. 0, or -errno with *ret_call the name
 * of what failed.
 */
typedef int nv_errand_fn(void *user_data, uint32_t role, const char **ret_call);

/* How an errand went. */
struct nv_errand_result {
    int code;         /* 0, or of the first thread that failed */
    const char *call; /* what failed, a constant */
    char thread[16];  /* its name */
    int tid;          /* and number */
};

/* Of a pool of threads that wait under a lock. Zero-initialised but for done. */
struct nv_errand {
    nv_errand_fn *fn;
    void *user_data;
    uint32_t role;
    uint32_t number; /* raised with each errand; a thread remembers the last it has seen */
    uint32_t left;   /* threads that have not done it yet */
    pthread_cond_t done;
    struct nv_errand_result result;
};

void nv_errand_init(struct nv_errand *errand, uint32_t role);
void nv_errand_destroy(struct nv_errand *errand);

/* Does an errand on the calling thread and remembers in *result if it is the first to fail. */
void nv_errand_do(nv_errand_fn *fn, void *user_data, uint32_t role,
                  struct nv_errand_result *result);

/*
 * For the threads of the pool, whenever they wake: true if there was an errand that this one had
 * not seen; it has done it then, with the lock released meanwhile.
 */
bool nv_errand_serve(struct nv_errand *errand, pthread_mutex_t *lock, uint32_t *seen);

/*
 * Sends all `count` threads on an errand and waits for them. They wait on `wake`, have nothing else
 * to do, and are none of the caller's. Called with the lock held, by one caller at a time.
 */
void nv_errand_run(struct nv_errand *errand, pthread_mutex_t *lock, pthread_cond_t *wake,
                   uint32_t count, nv_errand_fn *fn, void *user_data,
                   struct nv_errand_result *result);

#endif
