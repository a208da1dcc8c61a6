/* SPDX-License-Identifier: Apache-2.0 */
/* Proves on real guests that waits for a CPU are counted: all, once, and for the right VM. */
#include <errno.h>
#include <grp.h>
#include <inttypes.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "guests.h"
#include "support.h"

enum { SPINNERS = 6, RUN_MS = 2000, NOBODY = 65534, BUCKETS = NESTVIRT_WAIT_BUCKETS };

static struct nestvirt_host *host;
static struct nestvirt_observer *observer;

/* What the kernel itself sums up for a VM's threads. */
struct sums {
    uint64_t time_ns;
    uint64_t count;
};

static struct sums kernel_sums(struct nestvirt_vm *vm)
{
    struct nestvirt_thread_info info;
    struct sums sums = { 0 };

    nestvirt_thread_info_init(&info, sizeof(info));
    for (uint32_t i = 0; nestvirt_thread_get(vm, i, &info, NULL) == 0; i++) {
        uint64_t time_ns;
        uint64_t count;
        char path[64];
        FILE *file;

        snprintf(path, sizeof(path), "/proc/self/task/%d/schedstat", info.tid);
        file = fopen(path, "re");
        ck_assert_ptr_nonnull(file);
        ck_assert_int_eq(fscanf(file, "%*u %" SCNu64 " %" SCNu64, &time_ns, &count), 2);
        fclose(file);
        sums.time_ns += time_ns;
        sums.count += count;
    }
    return sums;
}

static struct nestvirt_waits waits_of(struct nestvirt_vm *vm)
{
    struct nestvirt_waits waits;

    nestvirt_waits_init(&waits, sizeof(waits));
    ck_nv_ok(nestvirt_observer_read(observer, vm, &waits, NULL, NULL, 0, &error));
    return waits;
}

static bool sleeps(int tid)
{
    char path[64];
    char line[256] = "";
    const char *end;
    FILE *file;

    snprintf(path, sizeof(path), "/proc/self/task/%d/stat", tid);
    file = fopen(path, "re");
    ck_assert_ptr_nonnull(file);
    ck_assert_ptr_nonnull(fgets(line, sizeof(line), file));
    fclose(file);
    end = strrchr(line, ')');
    return end && end[2] == 'S';
}

/* Waits until every thread of the VM sleeps, however busy the host is. */
static void settle(struct nestvirt_vm *vm)
{
    struct nestvirt_thread_info info;

    nestvirt_thread_info_init(&info, sizeof(info));
    for (uint32_t i = 0; nestvirt_thread_get(vm, i, &info, NULL) == 0; i++)
        for (int j = 0; j < 10000 && !sleeps(info.tid); j++)
            usleep(1000);
}

/* A VM whose thread waits to be let go. */
static struct nestvirt_vm *built(void)
{
    struct nestvirt_vm *vm = GUEST_NEW(host, spin, .mode = NESTVIRT_MODE_REAL);

    ck_nv_ok(nestvirt_vm_build(vm, &error));
    settle(vm);
    return vm;
}

static void pause_vm(struct nestvirt_vm *vm)
{
    ck_nv_ok(nestvirt_vm_pause(vm, &error));
    settle(vm);
}

/* Waits until more waits have ended; alone on its CPU a thread has few. */
static void await_waits(struct nestvirt_vm *vm, uint64_t more_than)
{
    for (int i = 0; i < 2000 && waits_of(vm).count <= more_than; i++)
        usleep(10000);
    ck_assert_uint_gt(waits_of(vm).count, more_than);
}

static void make_observer(uint32_t flags)
{
    struct nestvirt_observer_config config;

    nestvirt_observer_config_init(&config, sizeof(config));
    config.flags = flags;
    ck_nv_ok(nestvirt_observer_new(&config, &observer, &error));
}

static void setup(void)
{
    struct nestvirt_observer_config config;
    int r;

    nestvirt_observer_config_init(&config, sizeof(config));
    config.flags = NESTVIRT_OBSERVER_NEED_BPF;
    r = nestvirt_observer_new(&config, &observer, NULL);
    if (r == -EPERM || r == -ENOTSUP)
        support_skip("this host does not let us load the BPF program");
    ck_assert_int_eq(r, 0);
    ck_assert_str_eq(nestvirt_observer_get_reason(observer), "");
}

static void teardown(void)
{
    ck_assert_int_eq(nestvirt_observer_free(observer), 0);
}

static void check_close(uint64_t ours, uint64_t kernels)
{
    double ratio = (double)ours / (double)kernels;

    ck_assert_msg(ratio > 0.98 && ratio < 1.02, "%" PRIu64 " / %" PRIu64 " = %.4f", ours, kernels,
                  ratio);
}

/* More spinning vCPUs than CPUs, between two moments in which none of them can run. */
static void run_spinners(struct nestvirt_vm *vms[SPINNERS], struct sums ret_before[SPINNERS],
                         struct sums ret_after[SPINNERS])
{
    for (int i = 0; i < SPINNERS; i++) {
        vms[i] = built();
        ck_nv_ok(nestvirt_observer_add(observer, vms[i], 0, &error));
        ret_before[i] = kernel_sums(vms[i]);
    }
    for (int i = 0; i < SPINNERS; i++)
        ck_nv_ok(nestvirt_vm_start(vms[i], &error));
    usleep(RUN_MS * 1000);
    for (int i = 0; i < SPINNERS; i++)
        pause_vm(vms[i]);
    for (int i = 0; i < SPINNERS; i++)
        ret_after[i] = kernel_sums(vms[i]);
}

START_TEST(test_agrees_with_the_kernel)
{
    struct nestvirt_vm *vms[SPINNERS];
    struct sums before[SPINNERS];
    struct sums after[SPINNERS];
    uint64_t time_ns = 0;
    uint64_t count = 0;

    run_spinners(vms, before, after);
    for (int i = 0; i < SPINNERS; i++) {
        struct nestvirt_waits waits = waits_of(vms[i]);

        /* To the very wait: none is lost, none is another VM's. */
        ck_assert_uint_eq(waits.count, after[i].count - before[i].count);
        check_close(waits.time_ns, after[i].time_ns - before[i].time_ns);
        ck_assert_uint_eq(waits.lost, 0);
        ck_assert_uint_eq(waits.threads, 1);
        ck_assert_uint_gt(waits.preempted, waits.count / 2);
        ck_assert_uint_le(waits.inferred, waits.count / 4);
        ck_assert_uint_gt(waits.max_ns, 1000000);
        count += waits.count;
        time_ns += waits.time_ns;
    }
    ck_assert_uint_eq(waits_of(NULL).count, count);
    ck_assert_uint_eq(waits_of(NULL).time_ns, time_ns);
    ck_assert_uint_eq(waits_of(NULL).vms, SPINNERS);
    ck_assert_uint_eq(waits_of(NULL).threads, SPINNERS);
    for (int i = 0; i < SPINNERS; i++)
        ck_assert_int_eq(nestvirt_vm_free(vms[i]), 0);
    ck_assert_uint_eq(waits_of(NULL).vms, 0);
    ck_assert_uint_ge(waits_of(NULL).count, count);
    ck_assert_uint_eq(waits_of(NULL).lost, 0);
}
END_TEST

START_TEST(test_percentiles_are_of_the_buckets)
{
    struct nestvirt_vm *vms[SPINNERS];
    struct sums sums[SPINNERS];
    uint64_t counts[BUCKETS];
    uint64_t times[BUCKETS];
    struct nestvirt_waits waits;
    uint64_t sum = 0;
    uint64_t p50;
    uint64_t p100;

    run_spinners(vms, sums, sums);
    nestvirt_waits_init(&waits, sizeof(waits));
    ck_nv_ok(nestvirt_observer_read(observer, NULL, &waits, counts, times, BUCKETS, &error));
    for (uint32_t i = 0; i < BUCKETS; i++) {
        sum += counts[i];
        ck_assert_uint_ge(times[i], counts[i] * nestvirt_waits_get_limit(i));
        ck_assert(counts[i] == 0 || times[i] < counts[i] * nestvirt_waits_get_limit(i + 1));
    }
    ck_assert_uint_eq(sum, waits.count);
    ck_nv_ok(nestvirt_waits_get_percentile(&waits, times, BUCKETS, 500000, &p50, &error));
    ck_nv_ok(nestvirt_waits_get_percentile(&waits, counts, BUCKETS, 1000000, &p100, &error));
    ck_assert_uint_gt(p50, 1000000); /* of the time: a CPU is shared with five others */
    ck_assert_uint_le(p50, p100);
    ck_assert_uint_eq(p100, waits.max_ns);
    for (int i = 0; i < SPINNERS; i++)
        ck_assert_int_eq(nestvirt_vm_free(vms[i]), 0);
}
END_TEST

START_TEST(test_idle_has_none)
{
    struct nestvirt_vm *halted = GUEST_NEW(host, halt, .mode = NESTVIRT_MODE_REAL);
    struct nestvirt_vm *idle = built();
    struct nestvirt_vm *busy = built();
    struct sums before;

    guest_start(halted);
    usleep(100000);
    settle(halted);
    before = kernel_sums(halted);
    ck_nv_ok(nestvirt_observer_add(observer, halted, 0, &error));
    ck_nv_ok(nestvirt_observer_add(observer, idle, 0, &error));
    ck_nv_ok(nestvirt_observer_add(observer, busy, 0, &error));
    ck_nv_ok(nestvirt_vm_start(busy, &error));
    await_waits(busy, 3);
    usleep(300000);
    ck_assert_uint_eq(waits_of(idle).count, 0);
    ck_assert_uint_eq(waits_of(idle).time_ns, 0);
    /* KVM itself may wake a halted vCPU. */
    ck_assert_uint_le(waits_of(halted).count, kernel_sums(halted).count - before.count);
    ck_assert_uint_lt(waits_of(halted).count, 10);
    ck_assert_uint_eq(waits_of(NULL).lost, 0);
    ck_assert_int_eq(nestvirt_vm_free(halted), 0);
    ck_assert_int_eq(nestvirt_vm_free(idle), 0);
    ck_assert_int_eq(nestvirt_vm_free(busy), 0);
}
END_TEST

START_TEST(test_counts_anew)
{
    struct nestvirt_vm *vm = built();
    uint64_t before;

    ck_nv_ok(nestvirt_observer_add(observer, vm, 0, &error));
    ck_nv_ok(nestvirt_vm_start(vm, &error));
    usleep(200000);
    pause_vm(vm);
    before = waits_of(vm).count;
    ck_assert_uint_gt(before, 0);
    for (int i = 0; i < 3; i++) {
        ck_nv_ok(nestvirt_observer_start(observer, &error));
        ck_assert_uint_eq(waits_of(vm).count, 0);
        ck_assert_uint_eq(waits_of(NULL).count, 0);
        ck_assert_uint_eq(waits_of(NULL).max_ns, 0);
        ck_nv_ok(nestvirt_vm_resume(vm, &error));
        usleep(50000);
        pause_vm(vm);
        ck_assert_uint_gt(waits_of(vm).count, 0);
        ck_assert_uint_eq(waits_of(vm).count, waits_of(NULL).count);
    }
    ck_assert_int_eq(nestvirt_vm_free(vm), 0);
}
END_TEST

/* Threads that a later build makes are observed; those that stay keep on counting. */
START_TEST(test_built_again)
{
    struct nestvirt_vm *vm = GUEST_NEW(host, spin, .mode = NESTVIRT_MODE_REAL);
    struct nestvirt_device *serial;
    uint64_t count;

    ck_nv_ok(nestvirt_device_add(vm, "serial", &serial, &error));
    ck_nv_ok(nestvirt_observer_add(observer, vm, 0, &error));
    ck_assert_uint_eq(waits_of(vm).threads, 0);
    guest_start(vm);
    ck_assert_uint_ge(waits_of(vm).threads, 1);
    for (int i = 0; i < 3; i++) {
        usleep(50000);
        ck_nv_ok(nestvirt_vm_stop(vm, -1, &error));
        count = waits_of(vm).count;
        ck_assert_uint_gt(count, 0);
        ck_nv_ok(nestvirt_vm_start(vm, &error));
        await_waits(vm, count);
        ck_assert_uint_eq(waits_of(vm).flags, 0);
    }
    ck_assert_uint_eq(waits_of(vm).lost, 0);
    ck_nv_fails_with(nestvirt_observer_add(observer, vm, 0, &error), -EALREADY, "observed");
    ck_assert_int_eq(nestvirt_vm_free(vm), 0);
}
END_TEST

START_TEST(test_removed)
{
    struct nestvirt_vm *vm = built();
    uint64_t count;

    ck_nv_ok(nestvirt_observer_add(observer, vm, 0, &error));
    ck_nv_ok(nestvirt_vm_start(vm, &error));
    await_waits(vm, 0);
    ck_nv_ok(nestvirt_observer_remove(observer, vm, &error));
    count = waits_of(NULL).count;
    ck_assert_uint_gt(count, 0);
    usleep(100000);
    ck_assert_uint_eq(waits_of(NULL).count, count);
    ck_assert_uint_eq(waits_of(NULL).lost, 0);
    ck_nv_fails(nestvirt_observer_remove(observer, vm, &error), -ENOENT);
    ck_nv_ok(nestvirt_observer_add(observer, vm, NESTVIRT_OBSERVE_VCPU, &error));
    await_waits(vm, 0);
    ck_assert_int_eq(nestvirt_vm_free(vm), 0);
}
END_TEST

/* Either may go first, also while the other is in use. */
START_TEST(test_freed_in_any_order)
{
    struct nestvirt_observer *second;
    struct nestvirt_vm *vms[3] = { built(), built(), built() };

    ck_nv_ok(nestvirt_observer_new(NULL, &second, &error));
    for (int i = 0; i < 3; i++) {
        ck_nv_ok(nestvirt_observer_add(observer, vms[i], 0, &error));
        ck_nv_ok(nestvirt_observer_add(second, vms[i], 0, &error));
        ck_nv_ok(nestvirt_vm_start(vms[i], &error));
    }
    usleep(50000);
    ck_assert_int_eq(nestvirt_vm_free(vms[0]), 0);
    ck_assert_int_eq(nestvirt_observer_free(second), 0);
    ck_assert_uint_eq(waits_of(NULL).vms, 2);
    ck_nv_ok(nestvirt_vm_stop(vms[1], -1, &error));
    ck_nv_ok(nestvirt_vm_start(vms[1], &error));
    ck_assert_int_eq(nestvirt_vm_free(vms[1]), 0);
    await_waits(vms[2], 0);
    ck_assert_uint_eq(waits_of(NULL).lost, 0);
    ck_nv_ok(nestvirt_observer_remove(observer, vms[2], &error));
    ck_nv_ok(nestvirt_observer_add(observer, vms[2], 0, &error));
    ck_assert_int_eq(nestvirt_vm_free(vms[2]), 0);
}
END_TEST

/* Threads that drive vCPUs by hand. */
START_TEST(test_given_threads)
{
    struct nestvirt_vm *vm =
        GUEST_NEW(host, spin, .flags = NESTVIRT_VM_MANUAL_VCPUS, .mode = NESTVIRT_MODE_REAL);
    struct nestvirt_vm *other = built();
    struct nestvirt_waits before;
    struct nestvirt_waits after;

    ck_nv_fails(nestvirt_observer_add_thread(observer, vm, gettid(), &error), -ENOENT);
    ck_nv_ok(nestvirt_observer_add(observer, vm, 0, &error));
    ck_nv_ok(nestvirt_observer_add(observer, other, 0, &error));
    ck_nv_ok(nestvirt_observer_add_thread(observer, vm, gettid(), &error));
    ck_nv_fails(nestvirt_observer_add_thread(observer, vm, gettid(), &error), -EALREADY);
    ck_nv_fails(nestvirt_observer_add_thread(observer, other, gettid(), &error), -EBUSY);
    ck_nv_fails(nestvirt_observer_add_thread(observer, vm, 1, &error), -ESRCH);
    ck_nv_fails(nestvirt_observer_add_thread(observer, vm, -1, &error), -ESRCH);
    before = waits_of(vm);
    for (int i = 0; i < 10; i++)
        usleep(1000);
    after = waits_of(vm);
    ck_assert_uint_ge(after.count - after.preempted, before.count - before.preempted + 10);
    ck_assert_uint_le(after.inferred, 5);
    ck_assert_uint_eq(after.lost, 0);
    ck_assert_int_eq(nestvirt_vm_free(other), 0);
    ck_assert_int_eq(nestvirt_vm_free(vm), 0);
}
END_TEST

START_TEST(test_totals_agree_too)
{
    struct nestvirt_vm *vms[SPINNERS];
    struct sums before[SPINNERS];
    struct sums after[SPINNERS];
    char text[512];

    make_observer(NESTVIRT_OBSERVER_SCHEDSTAT);
    run_spinners(vms, before, after);
    for (int i = 0; i < SPINNERS; i++) {
        struct nestvirt_waits waits = waits_of(vms[i]);

        ck_assert_uint_eq(waits.flags, NESTVIRT_WAITS_TOTALS_ONLY);
        ck_assert_uint_eq(waits.time_ns, after[i].time_ns - before[i].time_ns);
        ck_assert_uint_eq(waits.count, after[i].count - before[i].count);
    }
    ck_assert_int_gt(
        nestvirt_observer_get_text(observer, NULL, NESTVIRT_WEIGHT_COUNT, text, sizeof(text), NULL),
        0);
    ck_assert_ptr_nonnull(strstr(text, "the caller asked for totals"));
    for (int i = 0; i < SPINNERS; i++)
        ck_assert_int_eq(nestvirt_vm_free(vms[i]), 0);
    ck_assert_int_eq(nestvirt_observer_free(observer), 0);
}
END_TEST

/* Runs a check in a child, which gives back 0 or the line that failed. No ck_ in there. */
static void in_child(int (*check)(struct nestvirt_vm *vm), struct nestvirt_vm *vm)
{
    int status;
    pid_t child;

    fflush(NULL);
    child = fork();
    if (child == 0) {
        int line;

        alarm(20);
        line = check(vm);
        _exit(line ? 1 + line % 254 : 0); /* never 0 for a line */
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status 0x%x: line %d mod 254",
                  status, WEXITSTATUS(status) - 1);
}

#define NEED(condition)      \
    do {                     \
        if (!(condition))    \
            return __LINE__; \
    } while (0)

static int without_rights(struct nestvirt_vm *unused)
{
    struct nestvirt_observer_config config;
    struct nestvirt_observer *own = NULL;
    struct nestvirt_error *error = NULL;
    struct nestvirt_waits waits;

    NEED(setgroups(0, NULL) == 0 && setresgid(NOBODY, NOBODY, NOBODY) == 0);
    NEED(setresuid(NOBODY, NOBODY, NOBODY) == 0);
    nestvirt_observer_config_init(&config, sizeof(config));
    config.flags = NESTVIRT_OBSERVER_NEED_BPF;
    NEED(nestvirt_observer_new(&config, &own, &error) == -EPERM && !own);
    NEED(strstr(nestvirt_error_get_message(error), "CAP_BPF and CAP_PERFMON"));
    nestvirt_error_free(error);
    NEED(nestvirt_observer_new(NULL, &own, NULL) == 0);
    NEED(strstr(nestvirt_observer_get_reason(own), "CAP_BPF and CAP_PERFMON"));
    nestvirt_waits_init(&waits, sizeof(waits));
    NEED(nestvirt_observer_read(own, NULL, &waits, NULL, NULL, 0, NULL) == 0);
    NEED(waits.flags == NESTVIRT_WAITS_TOTALS_ONLY);
    return nestvirt_observer_free(own) == 0 ? 0 : __LINE__;
}

START_TEST(test_without_rights)
{
    if (geteuid() != 0)
        support_skip("needs root, to give its rights up");
    in_child(without_rights, NULL);
}
END_TEST

/* What takes rights is done when the observer is there. */
static int with_rights_dropped(struct nestvirt_vm *unused)
{
    struct nestvirt_observer *own = NULL;
    struct nestvirt_vm *vm;
    struct nestvirt_host *own_host;
    struct nestvirt_waits waits;

    NEED(nestvirt_host_open(NULL, &own_host, NULL) == 0);
    NEED(nestvirt_observer_new(NULL, &own, NULL) == 0);
    NEED(setgroups(0, NULL) == 0 && setresgid(NOBODY, NOBODY, NOBODY) == 0);
    NEED(setresuid(NOBODY, NOBODY, NOBODY) == 0);
    vm = GUEST_NEW(own_host, spin, .mode = NESTVIRT_MODE_REAL);
    NEED(nestvirt_vm_build(vm, NULL) == 0);
    NEED(nestvirt_observer_add(own, vm, 0, NULL) == 0);
    NEED(nestvirt_vm_start(vm, NULL) == 0);
    usleep(100000);
    NEED(nestvirt_observer_start(own, NULL) == 0);
    usleep(100000);
    nestvirt_waits_init(&waits, sizeof(waits));
    NEED(nestvirt_observer_read(own, vm, &waits, NULL, NULL, 0, NULL) == 0);
    NEED(waits.flags == 0 && waits.lost == 0 && waits.threads == 1);
    NEED(nestvirt_vm_free(vm) == 0);
    NEED(nestvirt_observer_free(own) == 0);
    return 0;
}

START_TEST(test_rights_are_for_the_start)
{
    if (geteuid() != 0)
        support_skip("needs root, to give its rights up");
    in_child(with_rights_dropped, NULL);
}
END_TEST

static int is_refused(struct nestvirt_vm *vm)
{
    struct nestvirt_waits waits;
    char text[16];

    nestvirt_waits_init(&waits, sizeof(waits));
    NEED(nestvirt_observer_read(observer, NULL, &waits, NULL, NULL, 0, NULL) == -ECHILD);
    NEED(nestvirt_observer_read(observer, vm, &waits, NULL, NULL, 0, NULL) == -ECHILD);
    NEED(nestvirt_observer_add(observer, vm, 0, NULL) == -ECHILD);
    NEED(nestvirt_observer_remove(observer, vm, NULL) == -ECHILD);
    NEED(nestvirt_observer_start(observer, NULL) == -ECHILD);
    NEED(nestvirt_observer_get_json(observer, NULL, text, sizeof(text), NULL) == -ECHILD);
    NEED(nestvirt_observer_free(observer) == 0);
    return 0;
}

START_TEST(test_fork)
{
    struct nestvirt_vm *vm = built();

    ck_nv_ok(nestvirt_observer_add(observer, vm, 0, &error));
    ck_nv_ok(nestvirt_vm_start(vm, &error));
    in_child(is_refused, vm);
    await_waits(vm, 0);
    ck_assert_uint_eq(waits_of(vm).lost, 0);
    ck_assert_int_eq(nestvirt_vm_free(vm), 0);
}
END_TEST

/* However many CPUs there are: what this thread starts shares one with it, and has to wait. */
static void use_one_cpu(void)
{
    cpu_set_t one;

    CPU_ZERO(&one);
    CPU_SET((size_t)sched_getcpu(), &one);
    if (sched_setaffinity(0, sizeof(one), &one) < 0)
        support_skip("this thread cannot stay on one CPU: run it where sched_setaffinity() works");
}

Suite *nv_test_suite(void)
{
    Suite *suite = suite_create("observe");
    TCase *tc = support_case(suite, "totals", 60);

    host = support_host();
    use_one_cpu();
    /* What every host has; the other case ends this program where it lacks the BPF program. */
    tcase_add_test(tc, test_totals_agree_too);
    tcase_add_test(tc, test_without_rights);
    tc = support_case(suite, "observe", 60);
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, test_agrees_with_the_kernel);
    tcase_add_test(tc, test_percentiles_are_of_the_buckets);
    tcase_add_test(tc, test_idle_has_none);
    tcase_add_test(tc, test_counts_anew);
    tcase_add_test(tc, test_built_again);
    tcase_add_test(tc, test_removed);
    tcase_add_test(tc, test_freed_in_any_order);
    tcase_add_test(tc, test_given_threads);
    tcase_add_test(tc, test_rights_are_for_the_start);
    tcase_add_test(tc, test_fork);
    return suite;
}
