/* SPDX-License-Identifier: Apache-2.0 */
/* Owns errands: what each thread of a waiting pool does once on itself, as it must for privileges.
 */
#include "host/errand.h"

#include <sys/prctl.h>
#include <unistd.h>

void nv_errand_init(struct nv_errand *errand, uint32_t role)
{
    *errand = (struct nv_errand){ .role = role };
    pthread_cond_init(&errand->done, NULL);
}

void nv_errand_destroy(struct nv_errand *errand)
{
    pthread_cond_destroy(&errand->done);
}

void nv_errand_do(nv_errand_fn *fn, void *user_data, uint32_t role, struct nv_errand_result *result)
{
    const char *call = "errand";
    int code = fn(user_data, role, &call);

    if (code >= 0 || result->code < 0)
        return;
    result->code = code;
    result->call = call;
    result->tid = gettid();
    prctl(PR_GET_NAME, result->thread);
}

/* The result is the pool's: several threads may be at it, so it is merged under the lock. */
bool nv_errand_serve(struct nv_errand *errand, pthread_mutex_t *lock, uint32_t *seen)
{
    struct nv_errand_result result = { 0 };
    nv_errand_fn *fn = errand->fn;
    void *user_data = errand->user_data;

    if (*seen == errand->number)
        return false;
    *seen = errand->number;
    pthread_mutex_unlock(lock);
    nv_errand_do(fn, user_data, errand->role, &result);
    pthread_mutex_lock(lock);
    if (errand->result.code == 0)
        errand->result = result;
    if (--errand->left == 0)
        pthread_cond_signal(&errand->done);
    return true;
}

void nv_errand_run(struct nv_errand *errand, pthread_mutex_t *lock, pthread_cond_t *wake,
                   uint32_t count, nv_errand_fn *fn, void *user_data,
                   struct nv_errand_result *result)
{
    errand->fn = fn;
    errand->user_data = user_data;
    errand->result = (struct nv_errand_result){ 0 };
    errand->left = count;
    errand->number++;
    pthread_cond_broadcast(wake);
    while (errand->left > 0)
        pthread_cond_wait(&errand->done, lock);
    if (result->code == 0)
        *result = errand->result;
}
