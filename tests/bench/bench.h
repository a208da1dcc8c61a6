/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the benchmarks share: time, series of measurements, and the report.
 *
 * Contenders are measured in turn. A line of the report compares ours with a base by ratios at p50
 * and p99; it goes to stdout as JSON and to stderr for people.
 */
#ifndef BENCH_BENCH_H
#define BENCH_BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum { BENCH_SKIP = 77 }; /* exit status: the environment lacks something */

/* CLOCK_MONOTONIC_RAW in nanoseconds. */
uint64_t bench_now_ns(void);

/* Sleeps so long, less than a second. */
void bench_sleep(long ns);

/* Sleeps, for what the kernel still has to do after a VM is gone. */
void bench_settle(void);

/* Measurements of one contender, in nanoseconds or what the line says. Zeroed is empty. */
struct bench_series {
    uint64_t *ns;
    size_t count;
    size_t room;
};

void bench_add(struct bench_series *series, uint64_t ns);
void bench_clear(struct bench_series *series);

/* The value that `percent` of the measurements do not exceed; 0 if there are none. */
uint64_t bench_percentile(const struct bench_series *series, unsigned percent);

/* Measurements from..to of a series, to be looked at and not to be cleared. */
struct bench_series bench_part(const struct bench_series *series, size_t from, size_t to);

/* Starts a process that does run(state, fd) and ends; returns the socket to it. ret_pid: NULL, or
 * its ID. */
int bench_spawn(void (*run)(const void *state, int fd), const void *state, pid_t *ret_pid);

enum bench_kind {
    BENCH_COST,  /* ratio is ours / base: small is good */
    BENCH_SPEED, /* ratio is base / ours, as rates are compared: large is good */
};

struct bench_line {
    const char *name;
    enum bench_kind kind;
    double target;     /* of the ratio at p50; 0 for none */
    double target_p99; /* of the ratio at p99; 0 for none */
    double nonsense;   /* a ratio at p50 this bad is an error; 0: twice as bad as the target */
    const char *unit;  /* of the measurements, NULL: ns */
    const char *at;    /* under which condition, NULL for none */
    const char *extra; /* further JSON fields, each with a comma before it; NULL for none */
    const struct bench_series *ours;
    const struct bench_series *base;
};

struct bench_report {
    bool is_strict;
    bool has_missed;
    bool is_nonsense;
};

/* Takes --strict from the command line and removes it. */
void bench_begin(struct bench_report *report, int *argc, char **argv);

void bench_print(struct bench_report *report, const struct bench_line *line);

/* The program's exit status: 1 for nonsense, or with --strict for a missed target; else 0. */
int bench_end(const struct bench_report *report);

/* Ends the program with a message if r is negative. */
void bench_need(int r, const char *what);

/* Ends the program as skipped, with the reason and what to do about it. */
void bench_skip(const char *reason) __attribute__((noreturn));

/* MemAvailable, in bytes. */
uint64_t bench_available(void);

/* Raises this process's limit on open files to the hard one; skips below so many. */
void bench_need_files(uint64_t count);

/* Skips the program unless /dev/kvm opens. */
void bench_need_kvm(void);

#endif
