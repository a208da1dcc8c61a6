/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the tests of many VMs in one process, at once and one after the other: what an idle one
 * takes, that all of them run, and that nothing is left of those that are gone.
 */
#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "crowd.h"
#include "leak.h"
#include "support.h"

enum {
    MANY = 1200,
    FDS_EACH = 8, /* of a VM with a device */
    FDS_IDLE = 3,
    MAPPINGS_IDLE = 8,
    CYCLES = 10000,
    CYCLES_WARM = 200,
    CYCLES_RSS_KIB = 1024,
    STOPS = 300,
    STOP_BATCHES = 5, /* other programs can only make it longer: the best one counts */
    STOP_P99_NS = 5000000,
    KICKS = 100000,
    KICKS_PAUSED = 2000
};

static struct nestvirt_host *host;

static uint64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* A number of /proc/self/status. */
static long status(const char *key)
{
    FILE *file = fopen("/proc/self/status", "re");
    char line[256];
    long value = -1;

    ck_assert_ptr_nonnull(file);
    while (fgets(line, sizeof(line), file))
        if (strncmp(line, key, strlen(key)) == 0)
            value = strtol(line + strlen(key), NULL, 10);
    fclose(file);
    return value;
}

static int count_mappings(void)
{
    FILE *maps = fopen("/proc/self/maps", "re");
    int count = 0;
    int c;

    ck_assert_ptr_nonnull(maps);
    while ((c = fgetc(maps)) != EOF)
        count += c == '\n';
    fclose(maps);
    return count;
}

static void add(struct crowd *crowd, uint32_t count)
{
    while (count-- > 0)
        ck_nv_ok(crowd_add(crowd, &error));
}

/* Per VM: its vCPU's thread, and KVM's own, which leak_count() leaves out. */
START_TEST(test_cost_of_an_idle_vm)
{
    const struct leak_count before = leak_count();
    const int mappings = count_mappings();
    struct crowd *crowd = crowd_new(host, 128 << 20, false);
    struct leak_count after;

    add(crowd, MANY / 4);
    ck_assert_uint_eq(crowd_find_bad(crowd), crowd->count);
    after = leak_count();
    printf("%u idle VMs: %d descriptors, %d mappings, %d threads\n", crowd->count,
           after.fds - before.fds, count_mappings() - mappings, after.threads - before.threads);
    ck_assert_int_le(after.fds - before.fds - 1, FDS_IDLE * (int)crowd->count); /* 1: the image */
    ck_assert_int_le(count_mappings() - mappings, MAPPINGS_IDLE * (int)crowd->count);
    ck_assert_int_eq(after.threads - before.threads, (int)crowd->count);
    crowd_free(crowd);
}
END_TEST

/* The CPU time of this process, in milliseconds. */
static uint64_t cpu_ms(void)
{
    struct timespec used;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
    return (uint64_t)used.tv_sec * 1000u + (uint64_t)used.tv_nsec / 1000000u;
}

/* A loop of theirs does not make a thread for each; and while they halt, nothing takes time. */
START_TEST(test_many_share_a_loop)
{
    const struct leak_count before = leak_count();
    struct crowd *crowd = crowd_new(host, 16 << 20, false);
    uint64_t used;

    ck_nv_ok(nestvirt_loop_new(&crowd->loop, &error));
    add(crowd, MANY);
    ck_assert_uint_eq(crowd_find_bad(crowd), crowd->count);
    ck_assert_int_eq(leak_count().threads - before.threads, MANY + 1);
    used = cpu_ms();
    sleep(1);
    used = cpu_ms() - used;
    printf("%u VMs that halt take %llu ms of a second\n", crowd->count, (unsigned long long)used);
    ck_assert_uint_le(used, 50);
    /* One in the middle ends and comes back; the others do not notice. */
    ck_nv_ok(nestvirt_vm_stop(crowd->vms[MANY / 2], 5000, &error));
    ck_nv_ok(nestvirt_vm_start(crowd->vms[MANY / 2], &error));
    ck_assert_uint_eq(crowd_find_bad(crowd), crowd->count);
    ck_assert_int_eq(nestvirt_loop_free(crowd->loop), 0);
    crowd_free(crowd);
}
END_TEST

static void cycle(struct crowd *crowd, int count)
{
    for (int i = 0; i < count; i++) {
        add(crowd, 1);
        while (crowd_progress(crowd, 0) == 0)
            usleep(20);
        crowd_remove(crowd);
    }
}

START_TEST(test_cycles_leave_nothing)
{
    struct crowd *crowd = crowd_new(host, 16 << 20, false);
    struct leak_count before;
    struct leak_count after;
    long rss;
    int mappings;

    cycle(crowd, CYCLES_WARM);
    malloc_trim(0); /* what earlier tests have left would hide a leak */
    before = leak_count();
    mappings = count_mappings();
    rss = status("VmRSS:");
    cycle(crowd, CYCLES);
    after = leak_count();
    malloc_trim(0);
    printf("after %d cycles: RSS %ld -> %ld KiB\n", CYCLES, rss, status("VmRSS:"));
    ck_assert_int_eq(after.fds, before.fds);
    ck_assert_int_eq(after.threads, before.threads);
    ck_assert_int_eq(after.mappings, before.mappings);
    ck_assert_int_eq(count_mappings(), mappings);
    ck_assert_int_le(status("VmRSS:") - rss, CYCLES_RSS_KIB);
    crowd_free(crowd);
}
END_TEST

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;

    return x < y ? -1 : x > y;
}

/* Stops of a guest that never leaves by itself; the time that 99% of them do not exceed. */
static uint64_t measure_stops(struct crowd *crowd)
{
    static uint64_t times[STOPS];

    for (int i = 0; i < STOPS; i++) {
        uint64_t start;

        ck_assert(crowd_has_run(crowd, 0));
        start = now_ns();
        ck_nv_ok(nestvirt_vm_stop(crowd->vms[0], 5000, &error));
        times[i] = now_ns() - start;
        usleep(5000); /* others have their turn before it spins again */
        ck_nv_ok(nestvirt_vm_start(crowd->vms[0], &error));
    }
    qsort(times, STOPS, sizeof(times[0]), compare);
    printf("stop: p50 %llu us, p99 %llu us\n", (unsigned long long)times[STOPS / 2] / 1000,
           (unsigned long long)times[STOPS * 99 / 100] / 1000);
    return times[STOPS * 99 / 100];
}

START_TEST(test_stop_is_prompt)
{
    struct crowd *crowd = crowd_new(host, 1 << 20, true);
    struct nestvirt_thread_info info;
    uint64_t p99_ns = UINT64_MAX;

    add(crowd, 1);
    nestvirt_thread_info_init(&info, sizeof(info));
    ck_nv_ok(nestvirt_thread_get(crowd->vms[0], 0, &info, &error));
    crowd_come_first(info.tid, true);
    crowd_come_first(0, true);
    for (int i = 0; i < STOP_BATCHES && p99_ns >= STOP_P99_NS; i++)
        p99_ns = measure_stops(crowd);
    crowd_come_first(0, false);
    crowd_free(crowd);
    ck_assert_uint_lt(p99_ns, STOP_P99_NS);
}
END_TEST

/* A vCPU by hand, and another thread that brings it out. */
struct kicked {
    struct nestvirt_vcpu *vcpu;
    atomic_uint returned; /* runs that were canceled */
    atomic_bool is_over;
};

static void *run_by_hand(void *argument)
{
    struct kicked *kicked = argument;
    struct nestvirt_exit exit;

    nestvirt_exit_init(&exit, sizeof(exit));
    while (!atomic_load(&kicked->is_over))
        if (nestvirt_vcpu_run(kicked->vcpu, &exit, NULL) == 0 &&
            exit.reason == NESTVIRT_EXIT_CANCELED)
            atomic_fetch_add(&kicked->returned, 1);
    return NULL;
}

static struct nestvirt_vm *make_manual(const struct crowd *crowd)
{
    struct nestvirt_flat_config flat;
    struct nestvirt_vm_config config;
    struct nestvirt_vm *vm;

    nestvirt_vm_config_init(&config, sizeof(config));
    config.memory_size = 1 << 20;
    config.flags = NESTVIRT_VM_MANUAL_VCPUS;
    ck_nv_ok(nestvirt_vm_new(host, &config, &vm, &error));
    nestvirt_flat_config_init(&flat, sizeof(flat));
    flat.address = flat.entry = 0x1000;
    ck_nv_ok(nestvirt_boot_set_flat_fd(vm, crowd->image, &flat, &error));
    ck_nv_ok(nestvirt_vm_build(vm, &error));
    ck_nv_ok(nestvirt_vm_start(vm, &error));
    return vm;
}

/* Waits for the answer to a kick; false after five seconds: it was lost. */
static bool has_answered(struct kicked *kicked, unsigned count)
{
    const uint64_t deadline = now_ns() + 5000000000u;

    while (atomic_load(&kicked->returned) < count) {
        if (now_ns() > deadline)
            return false;
        sched_yield();
    }
    return true;
}

/* Each one brings the vCPU out, wherever it is: entering, in the guest, or on its way out. */
START_TEST(test_no_kick_is_lost)
{
    struct crowd *crowd = crowd_new(host, 1 << 20, true);
    struct kicked kicked = { 0 };
    struct nestvirt_vm *vm = make_manual(crowd);
    pthread_t thread;
    unsigned i;

    ck_nv_ok(nestvirt_vm_get_vcpu(vm, 0, &kicked.vcpu, &error));
    pthread_create(&thread, NULL, run_by_hand, &kicked);
    pthread_setschedparam(thread, SCHED_FIFO, &(struct sched_param){ 1 });
    crowd_come_first(0, true);
    for (i = 0; i < KICKS; i++) {
        ck_nv_ok(nestvirt_vcpu_cancel(kicked.vcpu, &error));
        if (!has_answered(&kicked, i + 1))
            break;
    }
    crowd_come_first(0, false);
    atomic_store(&kicked.is_over, true);
    ck_nv_ok(nestvirt_vm_stop(vm, 5000, &error));
    pthread_join(thread, NULL);
    ck_assert_int_eq(nestvirt_vm_free(vm), 0);
    crowd_free(crowd);
    ck_assert_uint_eq(i, KICKS);
    /* None was answered twice either, which would hide a lost one. The last run was stopped. */
    ck_assert_uint_le(atomic_load(&kicked.returned), KICKS + 1);
}
END_TEST

/* The same by pauses of a guest that runs on a thread of the library. */
START_TEST(test_no_pause_is_lost)
{
    struct crowd *crowd = crowd_new(host, 1 << 20, true);

    add(crowd, 1);
    for (int i = 0; i < KICKS_PAUSED; i++) {
        ck_nv_ok(nestvirt_vm_pause(crowd->vms[0], &error));
        ck_nv_ok(nestvirt_vm_resume(crowd->vms[0], &error));
    }
    crowd_free(crowd);
}
END_TEST

static void raise_limit(void)
{
    struct rlimit limit;

    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    if (limit.rlim_max < MANY * FDS_EACH)
        support_skip("1,200 VMs need 9,600 open files: raise the hard limit (ulimit -Hn)");
}

Suite *nv_test_suite(void)
{
    Suite *suite = suite_create("kvm_many");
    TCase *tcase = support_case(suite, "many", 120);

    host = support_host();
    raise_limit();
    tcase_add_test(tcase, test_cost_of_an_idle_vm);
    tcase_add_test(tcase, test_many_share_a_loop);
    tcase_add_test(tcase, test_cycles_leave_nothing);
    tcase_add_test(tcase, test_stop_is_prompt);
    tcase_add_test(tcase, test_no_kick_is_lost);
    tcase_add_test(tcase, test_no_pause_is_lost);
    return suite;
}
