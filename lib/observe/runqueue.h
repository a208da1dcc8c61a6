/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* Owns what the BPF program and the library share: buckets of waits, and the maps' values. */
#ifndef NV_OBSERVE_RUNQUEUE_H
#define NV_OBSERVE_RUNQUEUE_H

#include <stdint.h>

/*
 * Buckets are log-linear: up to 2 us they are 125 ns wide, and from there each power of two has
 * eight of equal width, so that none is wider than an eighth of what it counts, and every power of
 * two in microseconds is a limit. The last has no end.
 */
enum {
    NV_WAIT_UNIT_NS = 125,
    NV_WAIT_BITS = 3,    /* 2^3 buckets for each power of two */
    NV_WAIT_POWERS = 27, /* from 1 us to 2^27 us, 134 s */
    NV_WAIT_BUCKETS = ((NV_WAIT_POWERS + 1) << NV_WAIT_BITS) + 1
};

/* The place of the highest bit that is set, without a loop, which the verifier would unroll. */
static inline uint32_t nv_highest_bit(uint64_t value)
{
    uint32_t place = 0;

    for (uint32_t step = 32; step > 0; step >>= 1) {
        if (value >> step) {
            value >>= step;
            place += step;
        }
    }
    return place;
}

/* The bucket of a wait of so many nanoseconds. */
static inline uint32_t nv_wait_bucket(uint64_t ns)
{
    uint64_t units = ns / NV_WAIT_UNIT_NS;
    uint32_t shift;
    uint32_t bucket;

    if (units < 2u << NV_WAIT_BITS)
        return (uint32_t)units;
    shift = nv_highest_bit(units) - NV_WAIT_BITS;
    bucket = (shift << NV_WAIT_BITS) + (uint32_t)(units >> shift);
    return bucket < NV_WAIT_BUCKETS ? bucket : NV_WAIT_BUCKETS - 1;
}

/* Waits that have ended. Of one VM, or of all. */
struct nv_wait_sums {
    uint64_t counts[NV_WAIT_BUCKETS];
    uint64_t times_ns[NV_WAIT_BUCKETS];
    uint64_t max_ns;
    uint64_t lost;      /* waits that were not seen, and of which the kernel kept no figure */
    uint64_t preempted; /* waits that began with the thread being put off its CPU */
    uint64_t inferred;  /* waits that were not seen, and taken from the kernel's figure */
};

/* What is kept with an observed thread. */
struct nv_wait_state {
    uint64_t since_ns;     /* waits for a CPU since then; 0: does not */
    uint64_t run_delay_ns; /* the kernel's sums when it was last seen leaving a CPU */
    uint64_t arrivals;
    uint32_t vm;         /* id of its VM */
    uint16_t is_counted; /* the wait before its present time on a CPU */
    uint16_t was_on_cpu; /* the wait under way began with the thread being put off its CPU */
};

enum { NV_WATCH_ADD = 1, NV_WATCH_REMOVE = 2 };

/* How the library asks for a thread to be observed, and which of the two totals is in use. */
struct nv_watch_control {
    uint32_t request; /* NV_WATCH_* */
    uint32_t vm;
    int32_t result; /* 0 before; 1: done; or -errno */
    uint32_t total; /* 0 or 1 */
};

enum { NV_WATCH_VMS_MAX = 65536 }; /* more than there can be threads (the kernel's usual 32768) */

#endif
