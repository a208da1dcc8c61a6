/* SPDX-License-Identifier: Apache-2.0 */
/* Proves starting, stopping and pausing from several threads, and many times. */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/util.h"
#include "fake_kvm.h"
#include "support.h"

enum { WAIT_MS = 20000 };

static struct nestvirt_host *host;

static void setup(void)
{
    fake_kvm_reset();
    host = fake_kvm_host();
}

static void teardown(void)
{
    ck_assert_int_eq(nestvirt_host_free(host), 0);
}

static struct nestvirt_vm *built(uint32_t vcpus)
{
    struct nestvirt_vm *vm = fake_kvm_vm(host, 0, NESTVIRT_CHIP_SPLIT, vcpus);

    ck_nv_ok(nestvirt_vm_build(vm, &error));
    return vm;
}

START_TEST(test_start_and_stop_100_times)
{
    struct nestvirt_vm *vm = built(2);
    void *pointer;
    void *same;
    uint32_t word = 0x12345678;

    ck_nv_ok(nestvirt_memory_get_pointer(vm, 0x1000, 4, &pointer, &error));
    for (int i = 0; i < 100; i++) {
        ck_nv_ok(nestvirt_vm_start(vm, &error));
        ck_nv_ok(nestvirt_memory_read(vm, 0x1000, &word, 4, &error));
        ck_assert_uint_eq(word, 0); /* memory starts zeroed each time */
        memset(pointer, 0xaa, 4);
        if (i % 3 == 0)
            ck_nv_ok(nestvirt_vm_pause(vm, &error));
        ck_nv_ok(nestvirt_vm_stop(vm, -1, &error));
        ck_nv_ok(nestvirt_memory_read(vm, 0x1000, &word, 4, &error));
        ck_assert_uint_eq(word, 0xaaaaaaaa); /* what was left can be looked at */
    }
    ck_nv_ok(nestvirt_memory_get_pointer(vm, 0x1000, 4, &same, &error));
    ck_assert_ptr_eq(same, pointer);
    ck_assert_uint_eq(fake_kvm_count(KVM_CREATE_VM), 100);
    ck_assert_uint_eq(fake_kvm_count(KVM_CREATE_VCPU), 200);
    ck_assert_int_eq(nestvirt_vm_free(vm), 0);
}
END_TEST

START_TEST(test_free_in_each_state)
{
    for (int state = NESTVIRT_STATE_NEW; state <= NESTVIRT_STATE_STOPPED; state++) {
        struct nestvirt_vm *vm = fake_kvm_vm(host, 0, NESTVIRT_CHIP_SPLIT, 2);

        if (state >= NESTVIRT_STATE_BUILT)
            ck_nv_ok(nestvirt_vm_build(vm, &error));
        if (state >= NESTVIRT_STATE_RUNNING)
            ck_nv_ok(nestvirt_vm_start(vm, &error));
        if (state == NESTVIRT_STATE_PAUSED)
            ck_nv_ok(nestvirt_vm_pause(vm, &error));
        if (state == NESTVIRT_STATE_STOPPED)
            ck_nv_ok(nestvirt_vm_stop(vm, -1, &error));
        ck_assert_int_eq(nestvirt_vm_free(vm), 0);
    }
    ck_assert_int_eq(nestvirt_vm_free(NULL), 0);
}
END_TEST

START_TEST(test_paused_vm_costs_nothing)
{
    struct nestvirt_vm *vm = built(2);
    unsigned runs;

    ck_nv_ok(nestvirt_vm_start(vm, &error));
    ck_nv_ok(nestvirt_vm_pause(vm, &error));
    runs = fake_kvm_runs();
    usleep(30000);
    ck_assert_uint_eq(fake_kvm_runs(), runs);
    fake_kvm_push_out(0, 1, 0x99, 1); /* would run on if it were not parked */
    usleep(10000);
    ck_assert_uint_eq(fake_kvm_runs(), runs);
    ck_nv_ok(nestvirt_vm_resume(vm, &error));
    ck_assert(fake_kvm_wait_idle(0, 1));
    ck_assert_int_eq(nestvirt_vm_free(vm), 0);
}
END_TEST

/* A kick must end one entry, not the vCPU's patience: after resume it halts, and does not spin. */
START_TEST(test_no_kick_stays_behind)
{
    struct nestvirt_vm *vm = built(1);
    unsigned runs;

    ck_nv_ok(nestvirt_vm_start(vm, &error));
    for (int i = 0; i < 50; i++) {
        ck_nv_ok(nestvirt_vm_pause(vm, &error));
        ck_nv_ok(nestvirt_vm_resume(vm, &error));
    }
    ck_assert(fake_kvm_wait_idle(0, 0));
    runs = fake_kvm_runs();
    usleep(30000);
    ck_assert_uint_le(fake_kvm_runs(), runs + 1);
    ck_assert_int_eq(nestvirt_vm_free(vm), 0);
}
END_TEST

/* Several threads change the state as they like. */
enum { RACERS = 6, ROUNDS = 150 };

static atomic_uint strange; /* results that no state explains */

static void *racer(void *argument)
{
    struct nestvirt_vm *vm = argument;
    unsigned seed = (unsigned)(uintptr_t)&seed;

    for (int i = 0; i < ROUNDS; i++) {
        int r;

        switch (rand_r(&seed) % 5) {
        case 0:
            r = nestvirt_vm_start(vm, NULL);
            break;
        case 1:
            r = nestvirt_vm_pause(vm, NULL);
            break;
        case 2:
            r = nestvirt_vm_resume(vm, NULL);
            break;
        case 3:
            r = nestvirt_vm_stop(vm, -1, NULL);
            break;
        default:
            r = nestvirt_vm_wait(vm, 0, NULL, NULL);
            break;
        }
        if (r != 0 && r != -EBUSY && r != -EALREADY && r != -ETIMEDOUT)
            atomic_fetch_add(&strange, 1);
    }
    return NULL;
}

START_TEST(test_misuse_06_state_changes_from_many_threads)
{
    struct nestvirt_vm *vm = built(2);
    pthread_t threads[RACERS];

    atomic_store(&strange, 0);
    for (int i = 0; i < RACERS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, racer, vm), 0);
    for (int i = 0; i < RACERS; i++)
        pthread_join(threads[i], NULL);
    ck_assert_uint_eq(atomic_load(&strange), 0);
    nestvirt_vm_stop(vm, -1, NULL);
    ck_nv_ok(nestvirt_vm_start(vm, &error));
    ck_nv_ok(nestvirt_vm_stop(vm, -1, &error));
    ck_assert_int_eq(nestvirt_vm_free(vm), 0);
}
END_TEST

/* The guest ends its VM while others pause, resume and wait. */
START_TEST(test_hostile_18_guest_reset_against_pause)
{
    for (int i = 0; i < 60; i++) {
        struct nestvirt_vm *vm = fake_kvm_vm(host, 0, NESTVIRT_CHIP_SPLIT, 2);
        struct nestvirt_vm_result result;

        ck_nv_ok(nestvirt_device_add(vm, "exit", NULL, &error));
        ck_nv_ok(nestvirt_vm_build(vm, &error));
        fake_kvm_push_out((uint32_t)i, 1, 0x501, 7);
        ck_nv_ok(nestvirt_vm_start(vm, &error));
        if (nestvirt_vm_pause(vm, NULL) == 0)
            nestvirt_vm_resume(vm, NULL);
        nestvirt_vm_result_init(&result, sizeof(result));
        ck_nv_ok(nestvirt_vm_wait(vm, WAIT_MS, &result, &error));
        ck_assert_uint_eq(result.reason, NESTVIRT_RESULT_GUEST_EXIT);
        ck_assert_uint_eq(result.vcpu, 1);
        ck_assert_int_eq(nestvirt_vm_free(vm), 0);
    }
}
END_TEST

static void *waiter(void *argument)
{
    struct nestvirt_vm_result result;

    nestvirt_vm_result_init(&result, sizeof(result));
    if (nestvirt_vm_wait(argument, WAIT_MS, &result, NULL) < 0)
        return NULL;
    return (void *)(uintptr_t)result.reason;
}

START_TEST(test_all_waiters_wake)
{
    struct nestvirt_vm *vm = built(1);
    pthread_t threads[4];

    ck_nv_ok(nestvirt_vm_start(vm, &error));
    for (size_t i = 0; i < NV_ARRAY_SIZE(threads); i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, waiter, vm), 0);
    usleep(5000);
    ck_nv_ok(nestvirt_vm_stop(vm, -1, &error));
    for (size_t i = 0; i < NV_ARRAY_SIZE(threads); i++) {
        void *reason;

        pthread_join(threads[i], &reason);
        ck_assert_uint_eq((uintptr_t)reason, NESTVIRT_RESULT_STOPPED);
    }
    ck_assert_int_eq(nestvirt_vm_free(vm), 0);
}
END_TEST

START_TEST(test_two_vms_at_once)
{
    struct nestvirt_vm *first = built(1);
    struct nestvirt_vm *second = built(2);

    ck_nv_ok(nestvirt_vm_start(first, &error));
    ck_nv_ok(nestvirt_vm_start(second, &error));
    ck_nv_ok(nestvirt_vm_stop(first, -1, &error));
    ck_assert_int_eq(nestvirt_vm_get_state(second), NESTVIRT_STATE_RUNNING);
    ck_assert_int_eq(nestvirt_vm_free(first), 0);
    ck_nv_ok(nestvirt_vm_pause(second, &error));
    ck_assert_int_eq(nestvirt_vm_free(second), 0);
}
END_TEST

/* The VM keeps the host alive when its owner has let go. */
START_TEST(test_host_freed_before_the_vm)
{
    struct nestvirt_host *own = fake_kvm_host();
    struct nestvirt_vm *vm = fake_kvm_vm(own, 0, NESTVIRT_CHIP_SPLIT, 1);

    ck_assert_int_eq(nestvirt_host_free(own), 0);
    ck_nv_ok(nestvirt_vm_build(vm, &error));
    ck_nv_ok(nestvirt_vm_start(vm, &error));
    ck_assert_int_eq(nestvirt_vm_free(vm), 0);
}
END_TEST

Suite *nv_test_suite(void)
{
    Suite *suite = suite_create("vm_threads");
    TCase *tcase = support_case(suite, "threads", 120);

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, test_start_and_stop_100_times);
    tcase_add_test(tcase, test_free_in_each_state);
    tcase_add_test(tcase, test_paused_vm_costs_nothing);
    tcase_add_test(tcase, test_no_kick_stays_behind);
    tcase_add_test(tcase, test_misuse_06_state_changes_from_many_threads);
    tcase_add_test(tcase, test_hostile_18_guest_reset_against_pause);
    tcase_add_test(tcase, test_all_waiters_wake);
    tcase_add_test(tcase, test_two_vms_at_once);
    tcase_add_test(tcase, test_host_freed_before_the_vm);
    return suite;
}
