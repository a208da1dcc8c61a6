/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the host has less while VMs are there. It is found out by a control group of theirs, which
 * counts exactly and nobody else's memory; without one by MemAvailable, which other programs move,
 * and which comes back late after VMs have gone.
 */
#ifndef BENCH_USAGE_H
#define BENCH_USAGE_H

#include <stdint.h>

#include "bench.h"

/* Who makes VMs, in a process that ends without taking them apart. */
struct usage_contender {
    void (*prepare)(void); /* what is there before and does not count, NULL for nothing */
    void (*fill)(uint64_t count);
    uint64_t count;
};

/* Makes the group if it can; it is removed at the end of the program. */
void usage_begin(void);

/* By what it is counted, as a JSON field for a line's extra. */
const char *usage_extra(void);

/* Puts this process into the group, if there is one. */
void usage_join(void);

/* Grows with what is taken. */
uint64_t usage_now(void);

/* Waits until what was freed has come back. */
void usage_settle(void);

/* Bytes for each of the VMs that one process makes, with the process. */
uint64_t usage_measure(const struct usage_contender *contender);

#endif
