/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the touching of memory on several threads at once. */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/mman.h>

#include "core/util.h"
#include "host/thread.h"
#include "memory/region.h"

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22 /* Linux 5.14 */
#define MADV_POPULATE_WRITE 23
#endif

/* Beyond this many the kernel's own locks are the limit. */
enum { THREADS_MAX = 16 };

/* Small enough for threads to end together, large enough to be taken seldom. */
#define CHUNK_MIN NV_MIB(64)

struct populate {
    uint8_t *start;
    uint64_t length;
    uint64_t chunk;
    int advice;
    atomic_uint_least64_t next; /* offset of the next chunk */
    atomic_int result;
};

static int touch(void *start, uint64_t length, int advice)
{
    while (madvise(start, length, advice) < 0)
        if (errno != EINTR)
            return errno == EINVAL ? -ENOTSUP : -errno;
    return 0;
}

static void *populate_main(void *argument)
{
    struct populate *populate = argument;

    while (atomic_load(&populate->result) == 0) {
        uint64_t offset = atomic_fetch_add(&populate->next, populate->chunk);
        int r;

        if (offset >= populate->length)
            break;
        r = touch(populate->start + offset, NV_MIN(populate->chunk, populate->length - offset),
                  populate->advice);
        if (r < 0)
            atomic_store(&populate->result, r);
    }
    return NULL;
}

/* The CPUs that this thread may use; on hosts of more than a set holds, the bound. */
static uint64_t count_cpus(void)
{
    cpu_set_t set;

    if (sched_getaffinity(0, sizeof(set), &set) < 0)
        return THREADS_MAX;
    return NV_MIN((uint64_t)CPU_COUNT(&set), (uint64_t)THREADS_MAX);
}

int nv_populate(uint8_t *start, uint64_t length, uint64_t page_size, bool for_write)
{
    struct populate populate = { .start = start,
                                 .length = length,
                                 .chunk = NV_MAX(page_size, CHUNK_MIN),
                                 .advice = for_write ? MADV_POPULATE_WRITE : MADV_POPULATE_READ };
    pthread_t threads[THREADS_MAX];
    uint64_t wanted = NV_MIN(count_cpus(), length / populate.chunk);
    uint32_t count = 0;

    /* One less: this thread works too. Without more threads it does all. */
    while (count + 1 < wanted &&
           nv_thread_create(&threads[count], NULL, populate_main, &populate) == 0)
        count++;
    populate_main(&populate);
    for (uint32_t i = 0; i < count; i++)
        pthread_join(threads[i], NULL);
    return atomic_load(&populate.result);
}
