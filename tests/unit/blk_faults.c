/* SPDX-License-Identifier: Apache-2.0 */
/* Owns faults of a disk: failing, short and endless system calls, put in by the linker's --wrap. */
#include "blk_faults.h"

#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "core/util.h"

static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    unsigned cut;
    int blocked;
    struct {
        int error;
        int spared;
        int left; /* failures; -1: for ever */
        int count;
        bool is_blocked;
    } calls[DISK_CALLS];
} faults = { .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER };

static void set(enum disk_call call, int error, int spared, int count)
{
    pthread_mutex_lock(&faults.lock);
    faults.calls[call].error = error;
    faults.calls[call].spared = spared;
    faults.calls[call].left = count;
    pthread_mutex_unlock(&faults.lock);
}

void disk_fail(enum disk_call call, int error, int count)
{
    set(call, error, 0, count);
}

void disk_fail_after(enum disk_call call, int error, int after)
{
    set(call, error, after, 1);
}

void disk_cut(unsigned bytes)
{
    __atomic_store_n(&faults.cut, bytes, __ATOMIC_RELAXED);
}

void disk_block(enum disk_call call, bool is_blocked)
{
    pthread_mutex_lock(&faults.lock);
    faults.calls[call].is_blocked = is_blocked;
    pthread_cond_broadcast(&faults.changed);
    pthread_mutex_unlock(&faults.lock);
}

int disk_blocked(void)
{
    return __atomic_load_n(&faults.blocked, __ATOMIC_RELAXED);
}

int disk_count(enum disk_call call)
{
    return __atomic_load_n(&faults.calls[call].count, __ATOMIC_RELAXED);
}

void disk_clear(bool cached)
{
    for (int i = 0; i < DISK_CALLS; i++) {
        set((enum disk_call)i, 0, 0, 0);
        __atomic_store_n(&faults.calls[i].count, 0, __ATOMIC_RELAXED);
        disk_block((enum disk_call)i, false);
    }
    disk_cut(0);
    if (!cached)
        disk_fail(DISK_CACHED, EAGAIN, -1);
}

/* True if this call fails; errno is set. Decided when the call begins. */
static bool fails(enum disk_call call)
{
    bool is_to_fail = false;
    int error = 0;

    pthread_mutex_lock(&faults.lock);
    __atomic_fetch_add(&faults.calls[call].count, 1, __ATOMIC_RELAXED);
    if (faults.calls[call].spared > 0) {
        faults.calls[call].spared--;
    } else if (faults.calls[call].left != 0) {
        is_to_fail = true;
        error = faults.calls[call].error;
        if (faults.calls[call].left > 0)
            faults.calls[call].left--;
    }
    __atomic_fetch_add(&faults.blocked, 1, __ATOMIC_RELAXED);
    while (faults.calls[call].is_blocked)
        pthread_cond_wait(&faults.changed, &faults.lock);
    __atomic_fetch_sub(&faults.blocked, 1, __ATOMIC_RELAXED);
    pthread_mutex_unlock(&faults.lock);
    if (is_to_fail)
        errno = error;
    return is_to_fail;
}

static size_t cut(size_t length)
{
    unsigned most = __atomic_load_n(&faults.cut, __ATOMIC_RELAXED);

    return most ? NV_MIN(length, (size_t)most) : length;
}

/* The parts of a transfer, cut to what may be moved at once. */
struct cut_parts {
    struct iovec part;
    const struct iovec *parts;
    int count;
};

static struct cut_parts cut_all(const struct iovec *parts, int count)
{
    struct cut_parts cuts = { .parts = parts, .count = count };

    if (count > 0 && cut(SIZE_MAX) != SIZE_MAX) {
        cuts.part = (struct iovec){ parts->iov_base, cut(parts->iov_len) };
        cuts.count = 1;
    }
    return cuts;
}

static const struct iovec *parts_of(const struct cut_parts *cuts)
{
    return cuts->part.iov_base ? &cuts->part : cuts->parts;
}

#define WRAP_PARTS(call, name)                                                         \
    ssize_t __real_##name(int fd, const struct iovec *parts, int count, off_t offset); \
    ssize_t __wrap_##name(int fd, const struct iovec *parts, int count, off_t offset); \
    ssize_t __wrap_##name(int fd, const struct iovec *parts, int count, off_t offset)  \
    {                                                                                  \
        const struct cut_parts cuts = cut_all(parts, count);                           \
                                                                                       \
        if (fails(call))                                                               \
            return -1;                                                                 \
        return __real_##name(fd, parts_of(&cuts), cuts.count, offset);                 \
    }

WRAP_PARTS(DISK_READ, preadv64)
WRAP_PARTS(DISK_WRITE, pwritev64)

#define WRAP(call, failure, type, name, parameters, arguments)    \
    type __real_##name parameters;                                \
    type __wrap_##name parameters;                                \
    type __wrap_##name parameters                                 \
    {                                                             \
        return fails(call) ? (failure) : __real_##name arguments; \
    }

WRAP(DISK_READ, -1, ssize_t, pread64, (int fd, void *buffer, size_t length, off_t offset),
     (fd, buffer, cut(length), offset))
WRAP(DISK_WRITE, -1, ssize_t, pwrite64, (int fd, const void *buffer, size_t length, off_t offset),
     (fd, buffer, cut(length), offset))
WRAP(DISK_SYNC, -1, int, fdatasync, (int fd), (fd))
WRAP(DISK_ALLOCATE, -1, int, fallocate64, (int fd, int mode, off_t offset, off_t length),
     (fd, mode, offset, length))
WRAP(DISK_THREAD, faults.calls[DISK_THREAD].error, int, pthread_create,
     (pthread_t * thread, const pthread_attr_t *attributes, void *(*main)(void *), void *argument),
     (thread, attributes, main, argument))
WRAP(DISK_CALLOC, NULL, void *, calloc, (size_t count, size_t size), (count, size))

/* The library's only one is a preadv2() that may not wait. */
long __real_syscall(long number, ...);
long __wrap_syscall(long number, int fd, const struct iovec *parts, long count, long offset,
                    long high, long flags);
long __wrap_syscall(long number, int fd, const struct iovec *parts, long count, long offset,
                    long high, long flags)
{
    const struct cut_parts cuts = cut_all(parts, (int)count);

    if (number != SYS_preadv2)
        abort();
    if (fails(DISK_CACHED))
        return -1;
    return __real_syscall(number, fd, parts_of(&cuts), (long)cuts.count, offset, high, flags);
}
