/* SPDX-License-Identifier: Apache-2.0 */
/* Owns log sinks: finished lines to a callback, silent without one. */
#include "core/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <time.h>

enum { LIMIT_LINES = 10 };
static const uint64_t LIMIT_WINDOW_NS = 1000000000ull;

uint64_t nv_now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000ull + (uint64_t)now.tv_nsec;
}

void nv_log(const struct nv_log *log, uint32_t level, const char *format, ...)
{
    char line[512];
    va_list args;

    if (!log || !log->fn || level > log->level)
        return;
    va_start(args, format);
    vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    log->fn(log->user_data, level, line);
}

int nv_log_allowed(struct nv_log_limit *limit)
{
    uint64_t now = nv_now_ns();

    if (now - limit->window_start_ns >= LIMIT_WINDOW_NS) {
        limit->window_start_ns = now;
        limit->lines = 0;
    }
    if (limit->lines >= LIMIT_LINES)
        return 0;
    limit->lines++;
    return 1;
}

void nv_log_clear(struct nv_log *log)
{
    struct nv_log old = *log;

    *log = (struct nv_log){ 0 };
    if (old.free_data)
        old.free_data(old.user_data);
}
