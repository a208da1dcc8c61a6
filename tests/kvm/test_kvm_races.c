/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the tests of calls that race on real KVM: starts, runs by hand, registers, waits, stops. */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "guests.h"
#include "support.h"

static struct nestvirt_host *host;

struct racer {
    struct nestvirt_vm *vm;
    struct nestvirt_vcpu *vcpu;
    atomic_bool is_over;
    atomic_int bad;
};

/* Runs the vCPU as soon as the VM lets it, until the VM has stopped. */
static void *run_eagerly(void *argument)
{
    struct racer *racer = argument;
    struct nestvirt_exit exit;

    nestvirt_exit_init(&exit, sizeof(exit));
    while (!atomic_load(&racer->is_over))
        nestvirt_vcpu_run(racer->vcpu, &exit, NULL);
    return NULL;
}

START_TEST(test_run_begins_with_the_start)
{
    for (int i = 0; i < 100; i++) {
        struct racer racer = { .vm = GUEST_NEW(host, spin, .flags = NESTVIRT_VM_MANUAL_VCPUS) };
        pthread_t thread;

        ck_nv_ok(nestvirt_vm_get_vcpu(racer.vm, 0, &racer.vcpu, &error));
        ck_nv_ok(nestvirt_vm_build(racer.vm, &error));
        pthread_create(&thread, NULL, run_eagerly, &racer);
        usleep(200);
        ck_nv_ok(nestvirt_vm_start(racer.vm, &error));
        usleep(200);
        ck_nv_ok(nestvirt_vm_stop(racer.vm, 5000, &error));
        atomic_store(&racer.is_over, true);
        pthread_join(thread, NULL);
        ck_assert_int_eq(nestvirt_vm_free(racer.vm), 0);
    }
}
END_TEST

START_TEST(test_registers_between_runs)
{
    enum { TRIES = 5000, TRIES_MAX = 5000000 };
    struct racer racer = { .vm = GUEST_NEW(host, storm, .flags = NESTVIRT_VM_MANUAL_VCPUS) };
    struct nestvirt_regs regs;
    pthread_t thread;
    int seen = 0;

    nestvirt_regs_init(&regs, sizeof(regs));
    guest_start(racer.vm);
    ck_nv_ok(nestvirt_vm_get_vcpu(racer.vm, 0, &racer.vcpu, &error));
    pthread_create(&thread, NULL, run_eagerly, &racer);
    /* Beside other programs it may take longer until one falls between two runs. */
    for (int i = 0; i < TRIES || (seen == 0 && i < TRIES_MAX); i++) {
        int r = nestvirt_vcpu_get_regs(racer.vcpu, &regs, NULL);

        ck_assert_msg(r == 0 || r == -EBUSY, "%d", r);
        seen += r == 0;
    }
    ck_nv_ok(nestvirt_vm_stop(racer.vm, 2000, &error));
    atomic_store(&racer.is_over, true);
    pthread_join(thread, NULL);
    ck_assert_int_gt(seen, 0);
    nestvirt_vm_free(racer.vm);
}
END_TEST

/* A successful wait always has a reason. */
static void *wait_again_and_again(void *argument)
{
    struct racer *racer = argument;
    struct nestvirt_vm_result result;

    nestvirt_vm_result_init(&result, sizeof(result));
    while (!atomic_load(&racer->is_over))
        if (nestvirt_vm_wait(racer->vm, 0, &result, NULL) == 0 &&
            result.reason == NESTVIRT_RESULT_NONE)
            atomic_fetch_add(&racer->bad, 1);
    return NULL;
}

START_TEST(test_wait_during_restarts)
{
    struct racer racer = { .vm = GUEST_NEW(host, exit_code) };
    pthread_t thread;

    guest_start(racer.vm);
    pthread_create(&thread, NULL, wait_again_and_again, &racer);
    for (int i = 0; i < 100; i++) {
        guest_wait(racer.vm, NULL);
        ck_nv_ok(nestvirt_vm_start(racer.vm, &error));
    }
    atomic_store(&racer.is_over, true);
    pthread_join(thread, NULL);
    ck_assert_int_eq(atomic_load(&racer.bad), 0);
    nestvirt_vm_free(racer.vm);
}
END_TEST

static int32_t stay_inside(void *user_data, struct nestvirt_access *access)
{
    struct racer *racer = user_data;

    (void)access;
    atomic_fetch_add(&racer->bad, 1);
    while (!atomic_load(&racer->is_over))
        usleep(1000);
    return NESTVIRT_ACTION_RESUME;
}

static void *pause_it(void *argument)
{
    struct racer *racer = argument;

    nestvirt_vm_pause(racer->vm, NULL);
    return NULL;
}

START_TEST(test_stop_keeps_its_timeout)
{
    struct racer racer = { .vm = GUEST_NEW(host, ports) };
    pthread_t thread;

    ck_nv_ok(nestvirt_handler_add(racer.vm, NESTVIRT_SPACE_PORT, 0x700, 1, stay_inside, &racer,
                                  NULL, &error));
    guest_start(racer.vm);
    while (!atomic_load(&racer.bad))
        usleep(1000);
    pthread_create(&thread, NULL, pause_it, &racer);
    usleep(50000);
    /* The pause waits for the callback; a stop with a timeout does not wait for the pause. */
    ck_nv_fails(nestvirt_vm_stop(racer.vm, 50, &error), -ETIMEDOUT);
    atomic_store(&racer.is_over, true);
    pthread_join(thread, NULL);
    ck_nv_ok(nestvirt_vm_stop(racer.vm, 5000, &error));
    nestvirt_vm_free(racer.vm);
}
END_TEST

START_TEST(test_fault_03_file_size_limit)
{
    struct rlimit old, tiny;
    struct nestvirt_vm_config config;
    struct nestvirt_vm *vm;

    getrlimit(RLIMIT_FSIZE, &old);
    tiny = (struct rlimit){ .rlim_cur = 1 << 20, .rlim_max = old.rlim_max };
    nestvirt_vm_config_init(&config, sizeof(config));
    config.memory_size = 16 << 20;
    config.memory_backing = NESTVIRT_BACKING_MEMFD;
    setrlimit(RLIMIT_FSIZE, &tiny);
    ck_nv_fails_with(nestvirt_vm_new(host, &config, &vm, &error), -EFBIG, "ulimit -f");
    setrlimit(RLIMIT_FSIZE, &old);
    ck_nv_ok(nestvirt_vm_new(host, &config, &vm, &error));
    nestvirt_vm_free(vm);
}
END_TEST

Suite *nv_test_suite(void)
{
    Suite *suite = suite_create("kvm_races");
    TCase *tcase = support_case(suite, "races", 60);

    host = support_host();
    tcase_add_test(tcase, test_run_begins_with_the_start);
    tcase_add_test(tcase, test_registers_between_runs);
    tcase_add_test(tcase, test_wait_during_restarts);
    tcase_add_test(tcase, test_stop_keeps_its_timeout);
    tcase_add_test(tcase, test_fault_03_file_size_limit);
    return suite;
}
