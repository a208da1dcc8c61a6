/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the cleanup attributes: descriptors, heap memory and locks that give themselves back. */
#ifndef NV_CORE_CLEANUP_H
#define NV_CORE_CLEANUP_H

#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

static inline void nv_cleanup_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
}

static inline void nv_cleanup_free(void *pointer)
{
    free(*(void **)pointer);
}

static inline void nv_cleanup_unlock(pthread_mutex_t **mutex)
{
    if (*mutex)
        pthread_mutex_unlock(*mutex);
}

static inline pthread_mutex_t *nv_lock(pthread_mutex_t *mutex)
{
    pthread_mutex_lock(mutex);
    return mutex;
}

#define NV_AUTO_FD __attribute__((cleanup(nv_cleanup_fd))) int
#define NV_AUTO_FREE __attribute__((cleanup(nv_cleanup_free)))

#define NV_LOCK_NAME2(line) nv_guard_##line
#define NV_LOCK_NAME(line) NV_LOCK_NAME2(line)
/* Holds a mutex until the end of the block. */
#define NV_GUARD(mutex)                                                                           \
    __attribute__((cleanup(nv_cleanup_unlock), unused)) pthread_mutex_t *NV_LOCK_NAME(__LINE__) = \
        nv_lock(mutex)

/* Gives an automatically closed descriptor to the caller. */
static inline int nv_steal_fd(int *fd)
{
    int taken = *fd;

    *fd = -1;
    return taken;
}

/* Gives an automatically freed pointer to the caller. */
#define NV_STEAL(pointer)                          \
    ({                                             \
        __typeof__(pointer) nv_taken_ = (pointer); \
        (pointer) = NULL;                          \
        nv_taken_;                                 \
    })

#endif
