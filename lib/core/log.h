/* SPDX-License-Identifier: Apache-2.0 */
/* Owns log sinks: finished lines to a callback, silent without one. */
#ifndef NV_CORE_LOG_H
#define NV_CORE_LOG_H

#include <stdint.h>

struct nv_log {
    uint32_t level; /* 0: silent */
    void (*fn)(void *user_data, uint32_t level, const char *text);
    void *user_data;
    void (*free_data)(void *user_data);
};

/* At most a burst of lines per interval, for what a guest can cause. Zero-initialised. */
struct nv_log_limit {
    uint64_t window_start_ns;
    uint32_t lines;
};

void nv_log(const struct nv_log *log, uint32_t level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* True if a line may be logged now: at most 10 a second. One thread at a time per limit. */
int nv_log_allowed(struct nv_log_limit *limit);

/* Calls free_data once and empties the sink. */
void nv_log_clear(struct nv_log *log);

/* CLOCK_MONOTONIC in nanoseconds. */
uint64_t nv_now_ns(void);

#endif
