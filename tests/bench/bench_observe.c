/* SPDX-License-Identifier: Apache-2.0 */
/*
 * M10: 12,800 threads, each of a VM of its own, that wait for a CPU all at once, and what became of
 * their waits. M10.lost: those that were lost. M10.total: the histogram's time against the
 * kernel's own sum. M10.wrong: waits that a VM has more than its thread had. M10.switch: what a
 * switch between two threads costs with so many observed, against one.
 *
 * The threads are plain ones and the VMs are never built: it is the scheduler that is measured.
 */
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <nestvirt/nestvirt.h>

#include "bench.h"

enum {
    THREADS = 12800,
    ROUNDS = 3,
    STACK = 16 << 10, /* the least that the C library takes */
    TURNS = 3,        /* of running and sleeping, each round */
    SPIN_US = 60,
    SLEEP_US = 2000,
    NICE = 5, /* this may not be the only work here */
    QUIET_US = 200000,
    SWITCHES = 4000,
    SERIES = 30,
    PER_OBSERVER = 5 /* measurements of them in a row */
};

struct worker {
    pthread_t thread;
    int tid;
    struct nestvirt_vm *vm;
    uint64_t time_ns; /* the kernel's sums before a round */
    uint64_t count;
};

static struct worker workers[THREADS];
static atomic_int phase; /* a futex: workers run when it changes */
static atomic_int ready; /* how many wait for it */
static atomic_bool ends;

static void futex(atomic_int *word, int operation, int value)
{
    syscall(SYS_futex, word, operation | FUTEX_PRIVATE_FLAG, value, NULL, NULL, 0);
}

static void spin(uint64_t us)
{
    uint64_t end = bench_now_ns() + us * 1000;

    while (bench_now_ns() < end)
        ;
}

static void *work(void *argument)
{
    struct worker *worker = argument;
    int seen = atomic_load(&phase);

    worker->tid = gettid();
    for (;;) {
        atomic_fetch_add(&ready, 1);
        while (atomic_load(&phase) == seen)
            futex(&phase, FUTEX_WAIT, seen);
        seen = atomic_load(&phase);
        if (atomic_load(&ends))
            return NULL;
        for (int i = 0; i < TURNS; i++) {
            spin(SPIN_US);
            sched_yield();
            spin(SPIN_US);
            usleep(SLEEP_US);
        }
    }
}

static void await_ready(void)
{
    while (atomic_load(&ready) < THREADS)
        usleep(10000);
    usleep(QUIET_US); /* the last ones have yet to sleep */
}

static void start_round(void)
{
    atomic_store(&ready, 0);
    atomic_fetch_add(&phase, 1);
    futex(&phase, FUTEX_WAKE, INT_MAX);
}

static void start_threads(void)
{
    pthread_attr_t attributes;

    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, STACK);
    pthread_attr_setguardsize(&attributes, 0);
    for (int i = 0; i < THREADS; i++) {
        int r = pthread_create(&workers[i].thread, &attributes, work, &workers[i]);

        if (r == EAGAIN)
            bench_skip(
                "M10 needs 12,800 threads: raise ulimit -u, pids.max of the control group, or "
                "kernel.threads-max");
        bench_need(-r, "pthread_create");
    }
    pthread_attr_destroy(&attributes);
    await_ready();
}

static void end_threads(void)
{
    atomic_store(&ends, true);
    start_round();
    for (int i = 0; i < THREADS; i++)
        pthread_join(workers[i].thread, NULL);
}

static void read_kernel(const struct worker *worker, uint64_t *ret_time_ns, uint64_t *ret_count)
{
    char path[64];
    FILE *file;

    snprintf(path, sizeof(path), "/proc/self/task/%d/schedstat", worker->tid);
    file = fopen(path, "re");
    if (!file || fscanf(file, "%*u %" SCNu64 " %" SCNu64, ret_time_ns, ret_count) != 2)
        bench_skip("this kernel does not tell how long threads wait: take one with "
                   "CONFIG_SCHED_INFO");
    fclose(file);
}

static struct nestvirt_observer *open_observer(void)
{
    struct nestvirt_observer_config config;
    struct nestvirt_error *error = NULL;
    struct nestvirt_observer *observer;
    int r;

    nestvirt_observer_config_init(&config, sizeof(config));
    config.flags = NESTVIRT_OBSERVER_NEED_BPF;
    r = nestvirt_observer_new(&config, &observer, &error);
    if (r == -EPERM || r == -EACCES || r == -ENOTSUP)
        bench_skip(nestvirt_error_get_message(error)); /* it says what to do */
    bench_need(r, "nestvirt_observer_new");
    return observer;
}

static void observe(struct nestvirt_observer *observer, struct worker *worker)
{
    bench_need(nestvirt_observer_add(observer, worker->vm, 0, NULL), "nestvirt_observer_add");
    bench_need(nestvirt_observer_add_thread(observer, worker->vm, worker->tid, NULL),
               "nestvirt_observer_add_thread");
}

static void make_vms(struct nestvirt_host *host)
{
    struct nestvirt_vm_config config;

    nestvirt_vm_config_init(&config, sizeof(config));
    config.flags = NESTVIRT_VM_MANUAL_VCPUS;
    for (int i = 0; i < THREADS; i++)
        bench_need(nestvirt_vm_new(host, &config, &workers[i].vm, NULL), "nestvirt_vm_new");
}

static struct nestvirt_waits read_waits(struct nestvirt_observer *observer, struct nestvirt_vm *vm)
{
    struct nestvirt_waits waits;

    nestvirt_waits_init(&waits, sizeof(waits));
    bench_need(nestvirt_observer_read(observer, vm, &waits, NULL, NULL, 0, NULL),
               "nestvirt_observer_read");
    return waits;
}

/* What all rounds found. */
struct findings {
    uint64_t waits;
    uint64_t lost;
    uint64_t wrong;
    uint64_t time_ns;
    uint64_t kernel_time_ns;
    uint64_t read_ns; /* for reading every VM once */
    uint64_t max_ns;
    double worst; /* the round's ratio farthest from 1 */
};

static void look(struct nestvirt_observer *observer, struct findings *findings)
{
    uint64_t before_ns = findings->time_ns;
    uint64_t kernel_before_ns = findings->kernel_time_ns;
    struct nestvirt_waits total = read_waits(observer, NULL);
    uint64_t seen = 0;
    uint64_t start_ns;
    double ratio;

    for (int i = 0; i < THREADS; i++) {
        struct nestvirt_waits waits = read_waits(observer, workers[i].vm);
        uint64_t time_ns = 0;
        uint64_t count = 0;

        read_kernel(&workers[i], &time_ns, &count);
        count -= workers[i].count;
        findings->kernel_time_ns += time_ns - workers[i].time_ns;
        findings->wrong += waits.count > count ? waits.count - count : 0;
        findings->lost += waits.count < count ? count - waits.count : 0;
        seen += waits.count;
    }
    start_ns = bench_now_ns();
    for (int i = 0; i < THREADS; i++)
        read_waits(observer, workers[i].vm);
    findings->read_ns = bench_now_ns() - start_ns;
    findings->wrong += seen > total.count ? seen - total.count : total.count - seen;
    findings->waits += total.count;
    findings->time_ns += total.time_ns;
    findings->max_ns = total.max_ns > findings->max_ns ? total.max_ns : findings->max_ns;
    ratio = (double)(findings->time_ns - before_ns) /
            (double)(findings->kernel_time_ns - kernel_before_ns);
    if (findings->worst == 0 ||
        (ratio > 1 ? ratio - 1 : 1 - ratio) >
            (findings->worst > 1 ? findings->worst - 1 : 1 - findings->worst))
        findings->worst = ratio;
}

static void run_rounds(struct nestvirt_observer *observer, struct findings *findings)
{
    for (int i = 0; i < ROUNDS; i++) {
        bench_need(nestvirt_observer_start(observer, NULL), "nestvirt_observer_start");
        for (int j = 0; j < THREADS; j++)
            read_kernel(&workers[j], &workers[j].time_ns, &workers[j].count);
        start_round();
        await_ready();
        look(observer, findings);
    }
}

static void print_value(struct bench_report *report, const char *name, double value, bool is_ratio,
                        const struct findings *findings)
{
    bool is_met = is_ratio ? value >= 0.98 && value <= 1.02 : value == 0;

    printf("{\"name\":\"%s\",\"%s\":%.4f,\"rounds\":%d,\"target\":%s,\"verdict\":\"%s\","
           "\"threads\":%d,\"waits\":%" PRIu64 ",\"longest_ms\":%.1f,\"read_all_ms\":%.1f}\n",
           name, is_ratio ? "ratio" : "value", value, ROUNDS, is_ratio ? "1.00" : "0",
           is_met ? "met" : "missed", THREADS, findings->waits, (double)findings->max_ns / 1e6,
           (double)findings->read_ns / 1e6);
    fprintf(stderr, "%-16s %d threads, %" PRIu64 " waits  %s %.4f  target %s  %s\n", name, THREADS,
            findings->waits, is_ratio ? "ratio" : "value", value, is_ratio ? "1.00 +- 0.02" : "0",
            is_met ? "met" : "missed");
    report->has_missed |= !is_met;
    report->is_nonsense |= is_ratio && (value < 0.5 || value > 2);
}

/* --- What a switch costs --- */

/* Both on one CPU, so that each call of one lets the other go on. */
static void *yield(void *argument)
{
    for (int i = 0; i < SWITCHES; i++)
        sched_yield();
    return NULL;
}

static uint64_t time_switches(void)
{
    pthread_t other;
    uint64_t start = bench_now_ns();

    bench_need(-pthread_create(&other, NULL, yield, NULL), "pthread_create");
    yield(NULL);
    pthread_join(other, NULL);
    return (bench_now_ns() - start) / (2 * SWITCHES);
}

static void stay_on_one_cpu(void)
{
    cpu_set_t set;

    CPU_ZERO(&set);
    CPU_SET(sched_getcpu(), &set);
    bench_need(sched_setaffinity(0, sizeof(set), &set) < 0 ? -errno : 0, "sched_setaffinity");
}

enum { OF_ALL, OF_ONE, WITHOUT, KINDS };

/* One that counts this thread, and the workers if it is of all. */
static struct nestvirt_observer *open_kind(int kind)
{
    struct nestvirt_observer *observer;

    if (kind == WITHOUT)
        return NULL;
    observer = open_observer();
    for (int i = 0; i < (kind == OF_ALL ? THREADS : 1); i++)
        observe(observer, &workers[i]);
    bench_need(nestvirt_observer_add_thread(observer, workers[0].vm, gettid(), NULL),
               "nestvirt_observer_add_thread");
    return observer;
}

/* An observer is alone in the kernel while it is measured: all of them take turns. */
static void measure_switches(struct bench_report *report)
{
    struct bench_series series[KINDS] = { { 0 } };
    char extra[64];

    stay_on_one_cpu();
    for (int i = 0; i < SERIES; i += PER_OBSERVER) {
        for (int kind = 0; kind < KINDS; kind++) {
            struct nestvirt_observer *observer = open_kind(kind);

            for (int j = 0; j < PER_OBSERVER; j++)
                bench_add(&series[kind], time_switches());
            nestvirt_observer_free(observer);
        }
    }
    snprintf(extra, sizeof(extra), ",\"without_p50_ns\":%" PRIu64,
             bench_percentile(&series[WITHOUT], 50));
    bench_print(report, &(struct bench_line){ .name = "M10.switch",
                                              .target = 1.1,
                                              .extra = extra,
                                              .ours = &series[OF_ALL],
                                              .base = &series[OF_ONE] });
    for (int i = 0; i < KINDS; i++)
        bench_clear(&series[i]);
}

int main(int argc, char **argv)
{
    struct bench_report report;
    struct findings findings = { 0 };
    struct nestvirt_observer *observer;
    struct nestvirt_host *host;

    bench_begin(&report, &argc, argv);
    bench_need_kvm();
    setpriority(PRIO_PROCESS, 0, NICE);
    bench_need(nestvirt_host_open(NULL, &host, NULL), "nestvirt_host_open");
    observer = open_observer();
    make_vms(host);
    start_threads();
    for (int i = 0; i < THREADS; i++)
        observe(observer, &workers[i]);
    run_rounds(observer, &findings);
    findings.lost += read_waits(observer, NULL).lost;
    print_value(&report, "M10.lost", (double)findings.lost, false, &findings);
    print_value(&report, "M10.total", findings.worst, true, &findings);
    print_value(&report, "M10.wrong", (double)findings.wrong, false, &findings);
    nestvirt_observer_free(observer);
    measure_switches(&report);
    end_threads();
    for (int i = 0; i < THREADS; i++)
        nestvirt_vm_free(workers[i].vm);
    nestvirt_host_free(host);
    return bench_end(&report);
}
