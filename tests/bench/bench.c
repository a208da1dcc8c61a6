/* SPDX-License-Identifier: Apache-2.0 */
/* Owns time, series of measurements, and the report. */
#include "bench.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* The kernel frees what a VM leaves behind within a few grace periods. */
enum { SETTLE_NS = 2000000 };

/* A ratio this many times worse than its target is a broken benchmark or library, not noise. */
enum { NONSENSE_FACTOR = 2 };

uint64_t bench_now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC_RAW, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

void bench_sleep(long ns)
{
    const struct timespec time = { .tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000 };

    nanosleep(&time, NULL);
}

void bench_settle(void)
{
    bench_sleep(SETTLE_NS);
}

void bench_add(struct bench_series *series, uint64_t ns)
{
    if (series->count == series->room) {
        size_t room = series->room ? series->room * 2 : 256;
        uint64_t *grown = realloc(series->ns, room * sizeof(*grown));

        if (!grown)
            bench_need(-12, "memory for measurements");
        series->ns = grown;
        series->room = room;
    }
    series->ns[series->count++] = ns;
}

void bench_clear(struct bench_series *series)
{
    free(series->ns);
    *series = (struct bench_series){ 0 };
}

struct bench_series bench_part(const struct bench_series *series, size_t from, size_t to)
{
    return (struct bench_series){ .ns = series->ns + from, .count = to - from };
}

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;

    return x < y ? -1 : x > y;
}

uint64_t bench_percentile(const struct bench_series *series, unsigned percent)
{
    uint64_t *sorted;
    uint64_t value;

    if (series->count == 0)
        return 0;
    sorted = malloc(series->count * sizeof(*sorted));
    if (!sorted)
        return 0;
    memcpy(sorted, series->ns, series->count * sizeof(*sorted));
    qsort(sorted, series->count, sizeof(*sorted), compare);
    value = sorted[(series->count - 1) * percent / 100];
    free(sorted);
    return value;
}

void bench_begin(struct bench_report *report, int *argc, char **argv)
{
    int kept = 1;

    *report = (struct bench_report){ 0 };
    for (int i = 1; i < *argc; i++) {
        if (strcmp(argv[i], "--strict") == 0)
            report->is_strict = true;
        else
            argv[kept++] = argv[i];
    }
    *argc = kept;
    argv[kept] = NULL;
}

static double ratio_of(const struct bench_line *line, unsigned percent)
{
    double ours = (double)bench_percentile(line->ours, percent);
    double base = (double)bench_percentile(line->base, percent);

    if (ours == 0 || base == 0)
        return 0;
    return line->kind == BENCH_COST ? ours / base : base / ours;
}

static bool is_met(const struct bench_line *line, double ratio, double target)
{
    return line->kind == BENCH_COST ? ratio <= target : ratio >= target;
}

static const char *verdict(const struct bench_line *line, double ratio, double target)
{
    if (target == 0)
        return "none";
    return is_met(line, ratio, target) ? "met" : "missed";
}

static void judge(struct bench_report *report, const struct bench_line *line, double p50,
                  double p99)
{
    double limit = line->nonsense;

    if (limit == 0)
        limit = line->kind == BENCH_COST ? line->target * NONSENSE_FACTOR
                                         : line->target / NONSENSE_FACTOR;
    if (line->target != 0 && !is_met(line, p50, line->target))
        report->has_missed = true;
    if (line->target_p99 != 0 && !is_met(line, p99, line->target_p99))
        report->has_missed = true;
    if (p50 <= 0 || (line->target != 0 && !is_met(line, p50, limit)))
        report->is_nonsense = true;
}

static void print_json(const struct bench_line *line, double p50, double p99)
{
    const char *unit = line->unit ? line->unit : "ns";

    printf("{\"name\":\"%s\",\"ratio\":%.3f,\"p50\":%.3f,\"p99\":%.3f,\"rounds\":%zu", line->name,
           p50, p50, p99, line->ours->count);
    if (line->target != 0)
        printf(",\"target\":%.2f", line->target);
    printf(",\"verdict\":\"%s\"", verdict(line, p50, line->target));
    if (line->target_p99 != 0)
        printf(",\"target_p99\":%.2f,\"verdict_p99\":\"%s\"", line->target_p99,
               verdict(line, p99, line->target_p99));
    if (line->at)
        printf(",\"at\":\"%s\"", line->at);
    for (int i = 0; i < 4; i++)
        printf(
            ",\"%s_p%d_%s\":%llu", i < 2 ? "ours" : "base", i % 2 ? 99 : 50, unit,
            (unsigned long long)bench_percentile(i < 2 ? line->ours : line->base, i % 2 ? 99 : 50));
    printf("%s}\n", line->extra ? line->extra : "");
    fflush(stdout);
}

static void print_text(const struct bench_line *line, double p50, double p99)
{
    char target[32] = "-";
    const char *unit = line->unit ? "thousand" : "us";

    if (line->target != 0)
        snprintf(target, sizeof(target), "%s %.2f",
                 line->kind == BENCH_COST ? "<=" : ">=", line->target);
    fprintf(stderr,
            "%-16s %-14s ratio %6.3f (p99 %6.3f)  target %-8s %-6s  ours %9.1f %s  base %9.1f %s\n",
            line->name, line->at ? line->at : "", p50, p99, target,
            verdict(line, p50, line->target), (double)bench_percentile(line->ours, 50) / 1000, unit,
            (double)bench_percentile(line->base, 50) / 1000, unit);
}

void bench_print(struct bench_report *report, const struct bench_line *line)
{
    double p50 = ratio_of(line, 50);
    double p99 = ratio_of(line, 99);

    print_json(line, p50, p99);
    print_text(line, p50, p99);
    judge(report, line, p50, p99);
}

int bench_end(const struct bench_report *report)
{
    if (report->is_nonsense)
        fprintf(stderr, "a ratio is out of all reason\n");
    return report->is_nonsense || (report->is_strict && report->has_missed);
}

void bench_need(int r, const char *what)
{
    if (r >= 0)
        return;
    fprintf(stderr, "%s: %s\n", what, strerror(-r));
    exit(1);
}

void bench_skip(const char *reason)
{
    printf("SKIP: %s\n", reason);
    exit(BENCH_SKIP);
}

uint64_t bench_available(void)
{
    FILE *file = fopen("/proc/meminfo", "re");
    unsigned long long kib = 0;
    char line[128];

    while (file && fgets(line, sizeof(line), file))
        if (sscanf(line, "MemAvailable: %llu kB", &kib) == 1)
            break;
    if (file)
        fclose(file);
    return kib * 1024;
}

void bench_need_files(uint64_t count)
{
    struct rlimit limit;

    bench_need(getrlimit(RLIMIT_NOFILE, &limit) < 0 ? -errno : 0, "getrlimit");
    limit.rlim_cur = limit.rlim_max;
    bench_need(setrlimit(RLIMIT_NOFILE, &limit) < 0 ? -errno : 0, "setrlimit");
    if (limit.rlim_max < count)
        bench_skip("too few open files: raise the hard limit (ulimit -Hn)");
}

void bench_need_kvm(void)
{
    int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);

    if (fd < 0)
        bench_skip("/dev/kvm cannot be opened: load kvm_intel or kvm_amd, or join the group kvm");
    close(fd);
}

int bench_spawn(void (*run)(const void *state, int fd), const void *state, pid_t *ret_pid)
{
    int fds[2];
    pid_t pid;

    bench_need(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0 ? -errno : 0, "socket");
    pid = fork();
    bench_need(pid < 0 ? -errno : 0, "fork");
    if (pid == 0) {
        close(fds[0]);
        run(state, fds[1]);
        _exit(0);
    }
    close(fds[1]);
    if (ret_pid)
        *ret_pid = pid;
    return fds[0];
}
