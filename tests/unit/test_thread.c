/* SPDX-License-Identifier: Apache-2.0 */
/* Proves nestvirt_thread_*: what is kept and applied, for whom, and what a failure leaves. */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "fake_kvm.h"
#include "support.h"

enum { VCPUS = 3, VCPU = NESTVIRT_THREAD_VCPU, LOOP = NESTVIRT_THREAD_LOOP };
enum { WORKER = NESTVIRT_THREAD_WORKER, EVERY = NESTVIRT_THREAD_EVERY };

static struct nestvirt_host *host;
static struct nestvirt_vm *vm;
static char first_cpu[16]; /* one that this program may use */

/* The kernel's part, which can be told to refuse the n-th change of a nice value. */
static unsigned nice_calls, fail_nice_at;

int __real_setpriority(int which, id_t who, int value);
int __wrap_setpriority(int which, id_t who, int value);
int __wrap_setpriority(int which, id_t who, int value)
{
    if (++nice_calls != fail_nice_at)
        return __real_setpriority(which, who, value);
    errno = EACCES;
    return -1;
}

static void find_cpu(void)
{
    cpu_set_t set;
    int cpu = 0;

    ck_assert_int_eq(sched_getaffinity(0, sizeof(set), &set), 0);
    while (!CPU_ISSET(cpu, &set))
        cpu++;
    snprintf(first_cpu, sizeof(first_cpu), "%d", cpu);
}

static void setup(void)
{
    find_cpu();
    nice_calls = fail_nice_at = 0;
    fake_kvm_reset();
    host = fake_kvm_host();
    vm = fake_kvm_vm(host, 0, NESTVIRT_CHIP_SPLIT, VCPUS);
}

static void teardown(void)
{
    ck_assert_int_eq(nestvirt_vm_free(vm), 0);
    ck_assert_int_eq(nestvirt_host_free(host), 0);
}

/* A disk with two workers; with it the VM has an event loop. */
static void add_disk(void)
{
    struct nestvirt_device *device;
    int disk = memfd_create("disk", MFD_CLOEXEC);

    ck_assert_int_eq(ftruncate(disk, 1 << 20), 0);
    ck_nv_ok(nestvirt_device_add(vm, "blk", &device, &error));
    ck_nv_ok(nestvirt_device_set_fd(device, "fd", disk, &error));
    ck_nv_ok(nestvirt_device_set_string(device, "engine", "threads", &error));
    close(disk);
}

static struct nestvirt_thread_config nice_to(int32_t nice)
{
    struct nestvirt_thread_config config;

    nestvirt_thread_config_init(&config, sizeof(config));
    config.flags = NESTVIRT_THREAD_SET_NICE;
    config.nice = nice;
    return config;
}

static int set_nice(uint32_t kind, uint32_t index, int32_t nice, struct nestvirt_error **e)
{
    const struct nestvirt_thread_config config = nice_to(nice);

    return nestvirt_thread_set(vm, kind, index, &config, e);
}

static struct nestvirt_thread_info info_of(uint32_t kind, uint32_t index)
{
    struct nestvirt_thread_info info;

    nestvirt_thread_info_init(&info, sizeof(info));
    for (uint32_t i = 0; nestvirt_thread_get(vm, i, &info, NULL) == 0; i++)
        if (info.kind == kind && info.index == index)
            return info;
    ck_abort_msg("no thread %u of kind %u", index, kind);
}

/* That of the program, which its threads begin with. */
static int32_t own_nice(void)
{
    return getpriority(PRIO_PROCESS, 0);
}

static int32_t nice_of(uint32_t kind, uint32_t index)
{
    return info_of(kind, index).nice;
}

START_TEST(test_list)
{
    static const struct {
        uint32_t kind, index;
        const char *name;
    } rows[] = {
        { VCPU, 0, "nv0:" },      { VCPU, 1, "nv1:" },      { VCPU, 2, "nv2:" },
        { LOOP, 0, "nv-" },       { WORKER, 0, "nv-disk" }, { WORKER, 1, "nv-disk" },
        { WORKER, 2, "nv-disk" }, { WORKER, 3, "nv-disk" },
    };
    const uint32_t count = sizeof(rows) / sizeof(rows[0]);
    struct nestvirt_thread_info info;

    add_disk();
    add_disk();
    nestvirt_thread_info_init(&info, sizeof(info));
    ck_nv_fails(nestvirt_thread_get(vm, 0, &info, &error), -ENOENT);
    ck_nv_ok(nestvirt_vm_build(vm, &error));
    usleep(20000); /* they name themselves */
    for (uint32_t i = 0; i < count; i++) {
        ck_nv_ok(nestvirt_thread_get(vm, i, &info, &error));
        ck_assert_uint_eq(info.kind, rows[i].kind);
        ck_assert_uint_eq(info.index, rows[i].index);
        ck_assert_int_eq(strncmp((char *)info.name, rows[i].name, strlen(rows[i].name)), 0);
        ck_assert_int_gt(info.tid, 0);
        ck_assert_uint_eq(info.policy, NESTVIRT_SCHED_OTHER);
        ck_assert_uint_eq(info.flags & NESTVIRT_THREAD_SHARED, 0);
        ck_assert_int_eq(info.nice, own_nice());
    }
    ck_nv_fails(nestvirt_thread_get(vm, count, &info, &error), -ENOENT);
}
END_TEST

/* A serial line whose output is a file has a thread, and so has each such port of a console. */
START_TEST(test_list_of_writers)
{
    struct nestvirt_device *device;
    int output = memfd_create("output", MFD_CLOEXEC);
    int ends[2];

    ck_assert_int_eq(pipe(ends), 0);
    ck_nv_ok(nestvirt_device_add(vm, "serial", &device, &error));
    ck_nv_ok(nestvirt_device_set_fd(device, "output", output, &error));
    ck_nv_ok(nestvirt_device_add(vm, "console", &device, &error));
    ck_nv_ok(nestvirt_device_set_u64(device, "ports", 3, &error));
    ck_nv_ok(nestvirt_device_set_fd(device, "output", ends[1], &error)); /* needs none */
    ck_nv_ok(nestvirt_device_set_fd(device, "output1", output, &error));
    ck_nv_ok(nestvirt_device_set_fd(device, "output2", output, &error));
    ck_nv_ok(set_nice(WORKER, EVERY, 2, &error));
    ck_nv_ok(set_nice(WORKER, 2, 3, &error));
    ck_nv_ok(nestvirt_vm_build(vm, &error));
    usleep(20000);
    for (uint32_t i = 0; i < 3; i++) {
        const struct nestvirt_thread_info info = info_of(WORKER, i);

        ck_assert_str_eq((const char *)info.name, "nv-file");
        ck_assert_int_eq(info.nice, i == 2 ? 3 : 2);
    }
    ck_nv_fails(set_nice(WORKER, 3, 1, &error), -ENOENT);
    close(output);
    close(ends[0]);
    close(ends[1]);
}
END_TEST

START_TEST(test_kept_and_applied_in_build)
{
    struct nestvirt_thread_config config = nice_to(4);
    char cpus[64];

    add_disk();
    config.cpus = first_cpu;
    config.policy = NESTVIRT_SCHED_BATCH;
    ck_assert_int_eq(nestvirt_thread_set(vm, VCPU, 1, &config, NULL), 0);
    ck_assert_int_eq(set_nice(LOOP, EVERY, 2, NULL), 0);
    ck_assert_int_eq(set_nice(WORKER, 1, 3, NULL), 0);
    for (int i = 0; i < 2; i++) { /* workers of the second build are new */
        ck_nv_ok(nestvirt_vm_build(vm, &error));
        ck_nv_ok(nestvirt_thread_get_cpus(vm, VCPU, 1, cpus, sizeof(cpus), &error));
        ck_assert_str_eq(cpus, first_cpu);
        ck_assert_int_eq(nice_of(VCPU, 1), 4);
        ck_assert_uint_eq(info_of(VCPU, 1).policy, NESTVIRT_SCHED_BATCH);
        ck_assert_int_eq(nice_of(VCPU, 0), own_nice());
        ck_assert_int_eq(nice_of(LOOP, 0), 2);
        ck_assert_int_eq(nice_of(WORKER, 0), own_nice());
        ck_assert_int_eq(nice_of(WORKER, 1), 3);
        ck_nv_ok(nestvirt_vm_stop(vm, -1, &error));
    }
}
END_TEST

/* Running, paused and stopped, the changes are at once. */
START_TEST(test_each_state)
{
    ck_nv_ok(nestvirt_vm_build(vm, &error));
    ck_assert_int_eq(set_nice(VCPU, 0, 1, NULL), 1);
    ck_assert_int_eq(nice_of(VCPU, 0), 1);
    ck_nv_ok(nestvirt_vm_start(vm, &error));
    ck_assert_int_eq(set_nice(VCPU, EVERY, 2, NULL), VCPUS);
    ck_assert_int_eq(nice_of(VCPU, 2), 2);
    ck_nv_ok(nestvirt_vm_pause(vm, &error));
    ck_assert_int_eq(set_nice(VCPU, 0, 3, NULL), 1);
    ck_nv_ok(nestvirt_vm_stop(vm, -1, &error));
    ck_assert_int_eq(set_nice(VCPU, 1, 4, NULL), 1);
    ck_nv_ok(nestvirt_vm_start(vm, &error));
    ck_assert_int_eq(nice_of(VCPU, 0), 3);
    ck_assert_int_eq(nice_of(VCPU, 1), 4);
    ck_assert_int_eq(nice_of(VCPU, 2), 2);
}
END_TEST

/* For every one of a kind outdoes what was set for one; what is set for one later outdoes that. */
START_TEST(test_every_and_one)
{
    struct nestvirt_thread_config config;
    char cpus[64];

    nestvirt_thread_config_init(&config, sizeof(config));
    config.cpus = first_cpu;
    ck_nv_ok(nestvirt_thread_set(vm, VCPU, 0, &config, &error));
    ck_nv_ok(set_nice(VCPU, 0, 5, &error));
    ck_nv_ok(set_nice(VCPU, EVERY, 6, &error));
    ck_nv_ok(set_nice(VCPU, 2, 7, &error));
    ck_nv_ok(nestvirt_vm_build(vm, &error));
    ck_assert_int_eq(nice_of(VCPU, 0), 6);
    ck_assert_int_eq(nice_of(VCPU, 1), 6);
    ck_assert_int_eq(nice_of(VCPU, 2), 7);
    ck_nv_ok(nestvirt_thread_get_cpus(vm, VCPU, 0, cpus, sizeof(cpus), &error));
    ck_assert_str_eq(cpus, first_cpu); /* which the other said nothing of */
}
END_TEST

START_TEST(test_second_of_three_fails_at_once)
{
    ck_nv_ok(nestvirt_vm_build(vm, &error));
    ck_nv_ok(set_nice(VCPU, 0, 1, &error));
    nice_calls = 0;
    fail_nice_at = 2;
    ck_nv_fails_with(set_nice(VCPU, EVERY, 8, &error), -EACCES, "vcpu 1");
    for (uint32_t i = 0; i < VCPUS; i++)
        ck_assert_int_eq(nice_of(VCPU, i), i == 0 ? 1 : own_nice());
    ck_nv_ok(nestvirt_vm_stop(vm, -1, &error));
    ck_nv_ok(nestvirt_vm_build(vm, &error)); /* nor was it kept */
    ck_assert_int_eq(nice_of(VCPU, 0), 1);
    ck_assert_int_eq(nice_of(VCPU, 2), own_nice());
}
END_TEST

START_TEST(test_second_of_three_fails_in_build)
{
    struct nestvirt_loop *loop;

    ck_nv_ok(nestvirt_loop_new(&loop, &error));
    ck_nv_ok(nestvirt_vm_set_loop(vm, loop, &error));
    ck_nv_ok(set_nice(VCPU, EVERY, 8, &error));
    ck_nv_ok(set_nice(LOOP, 0, 8, &error));
    fail_nice_at = 2;
    ck_nv_fails_with(nestvirt_vm_build(vm, &error), -EACCES, "vcpu 1");
    ck_assert_int_eq(nestvirt_vm_get_state(vm), NESTVIRT_STATE_NEW);
    nice_calls = 0;
    fail_nice_at = 4; /* the loop, which stays */
    ck_nv_fails_with(nestvirt_vm_build(vm, &error), -EACCES, "event loop");
    fail_nice_at = 0;
    ck_nv_ok(nestvirt_vm_build(vm, &error));
    ck_assert_int_eq(nice_of(VCPU, 1), 8);
    ck_assert_uint_eq(info_of(LOOP, 0).flags & NESTVIRT_THREAD_SHARED, NESTVIRT_THREAD_SHARED);
    ck_assert_int_eq(nestvirt_loop_free(loop), 0);
}
END_TEST

START_TEST(test_bad_values)
{
    struct nestvirt_thread_config config;

#define BAD(text, ...)                                                                      \
    do {                                                                                    \
        nestvirt_thread_config_init(&config, sizeof(config));                               \
        config = (struct nestvirt_thread_config){ .size = sizeof(config), __VA_ARGS__ };    \
        ck_nv_fails_with(nestvirt_thread_set(vm, VCPU, 0, &config, &error), -EINVAL, text); \
    } while (0)
    BAD("unknown flags 0x4", .flags = 4);
    BAD("unknown policy 6", .policy = 6);
    BAD("reserved field", .reserved = 1);
    BAD("priority 0 of", .policy = NESTVIRT_SCHED_FIFO);
    BAD("priority 100 of", .policy = NESTVIRT_SCHED_RR, .priority = 100);
    BAD("priority -1 of", .policy = NESTVIRT_SCHED_RR, .priority = -1);
    BAD("without a real-time policy", .policy = NESTVIRT_SCHED_OTHER, .priority = 1);
    BAD("without a real-time policy", .priority = 1);
    BAD("nice 20", .flags = NESTVIRT_THREAD_SET_NICE, .nice = 20);
    BAD("nice -21", .flags = NESTVIRT_THREAD_SET_NICE, .nice = -21);
    BAD("without its flag", .nice = 1);
    BAD("is empty", .cpus = "");
    BAD("is malformed", .cpus = "0-");
    BAD("is malformed", .cpus = "3-1");
    BAD("is malformed", .cpus = "0,,1");
    BAD("is malformed", .cpus = "all");
    BAD("is malformed", .cpus = "8192");
    ck_nv_ok(nestvirt_vm_build(vm, &error)); /* nothing of it was kept */
    ck_assert_int_eq(nice_of(VCPU, 0), own_nice());
}
END_TEST

START_TEST(test_misuse_12_absent_cpus)
{
    struct nestvirt_thread_config config;
    char before[256];
    char after[256];
    char list[32];

    nestvirt_thread_config_init(&config, sizeof(config));
    snprintf(list, sizeof(list), "%s,7000-7001", first_cpu);
    config.cpus = list;
    ck_nv_ok(nestvirt_thread_set(vm, VCPU, EVERY, &config, &error));
    ck_nv_fails_with(nestvirt_vm_validate(vm, &error), -EINVAL, "every vcpu: CPU 7000-7001");
    ck_nv_fails_with(nestvirt_vm_build(vm, &error), -EINVAL, "CPU 7000-7001");
    config.cpus = first_cpu;
    ck_nv_ok(nestvirt_thread_set(vm, VCPU, 0, &config, &error)); /* of every one it stays */
    ck_nv_fails(nestvirt_vm_validate(vm, &error), -EINVAL);
    ck_nv_ok(nestvirt_thread_set(vm, VCPU, EVERY, &config, &error));
    ck_nv_ok(nestvirt_vm_build(vm, &error));
    config.cpus = list;
    ck_nv_ok(nestvirt_thread_get_cpus(vm, VCPU, 1, before, sizeof(before), &error));
    ck_nv_fails_with(nestvirt_thread_set(vm, VCPU, 1, &config, &error), -EINVAL, "CPU 7000-7001");
    ck_nv_ok(nestvirt_thread_get_cpus(vm, VCPU, 1, after, sizeof(after), &error));
    ck_assert_str_eq(before, after);
}
END_TEST

START_TEST(test_no_such_thread)
{
    const struct nestvirt_thread_config config = nice_to(1);
    char cpus[16] = "x";

    ck_nv_fails(set_nice(0, 0, 1, &error), -EINVAL);
    ck_nv_fails(set_nice(4, 0, 1, &error), -EINVAL);
    ck_nv_fails(set_nice(VCPU, VCPUS, 1, &error), -ENOENT);
    ck_nv_fails(set_nice(VCPU, UINT32_MAX, 1, &error), -ENOENT);
    ck_nv_fails(set_nice(LOOP, 1, 1, &error), -ENOENT);
    ck_nv_fails(set_nice(WORKER, 1024, 1, &error), -ENOENT);
    ck_nv_fails(nestvirt_thread_get_cpus(vm, VCPU, 0, cpus, sizeof(cpus), &error), -ENOENT);
    ck_assert_str_eq(cpus, "");
    ck_nv_fails(nestvirt_thread_get_cpus(vm, VCPU, EVERY, cpus, sizeof(cpus), &error), -EINVAL);
    ck_nv_fails(nestvirt_thread_get_cpus(vm, VCPU, 0, NULL, 0, &error), -EFAULT);
    ck_nv_fails(nestvirt_thread_set(vm, VCPU, 0, NULL, &error), -EFAULT);
    ck_nv_fails(nestvirt_thread_set(NULL, VCPU, 0, &config, &error), -EFAULT);
    ck_nv_fails(nestvirt_thread_get(vm, 0, NULL, &error), -EFAULT);
    ck_nv_ok(set_nice(LOOP, EVERY, 1, &error)); /* before build nobody knows */
    ck_nv_ok(nestvirt_vm_build(vm, &error));
    ck_nv_fails(set_nice(LOOP, EVERY, 1, &error), -ENOENT);
    ck_nv_fails(set_nice(WORKER, 0, 1, &error), -ENOENT);
    ck_nv_fails_with(nestvirt_thread_get_cpus(vm, VCPU, 0, cpus, 1, &error), -E2BIG, "give it");
}
END_TEST

START_TEST(test_worker_that_build_does_not_make)
{
    add_disk();
    ck_nv_ok(set_nice(WORKER, 2, 1, &error));
    ck_nv_fails_with(nestvirt_vm_build(vm, &error), -ENOENT, "worker 2");
    ck_assert_int_eq(nestvirt_vm_get_state(vm), NESTVIRT_STATE_NEW);
    add_disk(); /* now it does */
    ck_nv_ok(nestvirt_vm_build(vm, &error));
    ck_assert_int_eq(nice_of(WORKER, 2), 1);
}
END_TEST

START_TEST(test_manual_vcpus)
{
    struct nestvirt_thread_info info;

    ck_assert_int_eq(nestvirt_vm_free(vm), 0);
    vm = fake_kvm_vm(host, NESTVIRT_VM_MANUAL_VCPUS, NESTVIRT_CHIP_SPLIT, 1);
    add_disk();
    ck_nv_fails_with(set_nice(VCPU, 0, 1, &error), -ENOTSUP, "driven by hand");
    ck_nv_fails(set_nice(VCPU, EVERY, 1, &error), -ENOTSUP);
    ck_nv_ok(nestvirt_vm_build(vm, &error));
    nestvirt_thread_info_init(&info, sizeof(info));
    ck_nv_ok(nestvirt_thread_get(vm, 0, &info, &error));
    ck_assert_uint_eq(info.kind, LOOP);
    ck_nv_ok(set_nice(WORKER, 1, 1, &error));
}
END_TEST

static int results[3];

/* On the vCPU's thread, where waiting for the VM's lock could be for ever. */
static int32_t on_exit(void *user_data, struct nestvirt_exit *exit)
{
    struct nestvirt_thread_info info;
    char cpus[16];

    nestvirt_thread_info_init(&info, sizeof(info));
    results[0] = set_nice(VCPU, 0, 1, NULL);
    results[1] = nestvirt_thread_get(vm, 0, &info, NULL);
    results[2] = nestvirt_thread_get_cpus(vm, VCPU, 0, cpus, sizeof(cpus), NULL);
    return NESTVIRT_ACTION_STOP;
}

START_TEST(test_misuse_06_from_a_callback)
{
    ck_nv_ok(nestvirt_vm_set_exit_handler(vm, on_exit, NULL, NULL, &error));
    ck_nv_ok(nestvirt_vm_build(vm, &error));
    fake_kvm_push_out(0, 0, 0x99, 1);
    ck_nv_ok(nestvirt_vm_start(vm, &error));
    ck_nv_ok(nestvirt_vm_wait(vm, 10000, NULL, &error));
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(results[i], -EDEADLK);
}
END_TEST

/* Threads set, others look, and the VM starts and stops meanwhile. */
static void *setter(void *argument)
{
    uintptr_t failures = 0;

    for (int i = 0; i < 200; i++) {
        struct nestvirt_thread_info info;

        nestvirt_thread_info_init(&info, sizeof(info));
        failures += set_nice(VCPU, i % 4 ? EVERY : 1, i % 20, NULL) < 0;
        nestvirt_thread_get(vm, (uint32_t)i % 5, &info, NULL);
    }
    return (void *)failures;
}

START_TEST(test_from_many_threads)
{
    pthread_t threads[3];

    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, setter, NULL), 0);
    ck_nv_ok(nestvirt_vm_build(vm, &error));
    for (int i = 0; i < 20; i++) {
        ck_nv_ok(nestvirt_vm_start(vm, &error));
        ck_nv_ok(nestvirt_vm_stop(vm, -1, &error));
    }
    for (int i = 0; i < 3; i++) {
        void *failures;

        pthread_join(threads[i], &failures);
        ck_assert_ptr_null(failures);
    }
}
END_TEST

Suite *nv_test_suite(void)
{
    Suite *suite = suite_create("thread");
    TCase *tcase = support_case(suite, "thread", 60);

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, test_list);
    tcase_add_test(tcase, test_list_of_writers);
    tcase_add_test(tcase, test_kept_and_applied_in_build);
    tcase_add_test(tcase, test_each_state);
    tcase_add_test(tcase, test_every_and_one);
    tcase_add_test(tcase, test_second_of_three_fails_at_once);
    tcase_add_test(tcase, test_second_of_three_fails_in_build);
    tcase_add_test(tcase, test_bad_values);
    tcase_add_test(tcase, test_misuse_12_absent_cpus);
    tcase_add_test(tcase, test_no_such_thread);
    tcase_add_test(tcase, test_worker_that_build_does_not_make);
    tcase_add_test(tcase, test_manual_vcpus);
    tcase_add_test(tcase, test_misuse_06_from_a_callback);
    tcase_add_test(tcase, test_from_many_threads);
    return suite;
}
