/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the tests of a VM's life on real KVM: starting, results, pausing, stopping, again. */
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "guests.h"
#include "support.h"

static struct nestvirt_host *host;

static uint32_t counter(struct nestvirt_vm *vm)
{
    uint32_t value = 0;

    ck_nv_ok(nestvirt_memory_read(vm, 0x3000, &value, sizeof(value), &error));
    return value;
}

/* Waits until the spinning guest has moved on from value; fails after 10 seconds. */
static void await_progress(struct nestvirt_vm *vm, uint32_t value)
{
    for (int i = 0; i < 10000 && counter(vm) == value; i++)
        usleep(1000);
    ck_assert_uint_ne(counter(vm), value);
}

START_TEST(test_exit_code)
{
    struct nestvirt_vm *vm = GUEST_NEW(host, exit_code);
    struct nestvirt_vm_result result;

    guest_start(vm);
    ck_assert_uint_eq(guest_wait(vm, &result), NESTVIRT_RESULT_GUEST_EXIT);
    ck_assert_int_eq(result.exit_code, 7);
    ck_assert_int_eq(nestvirt_vm_get_state(vm), NESTVIRT_STATE_STOPPED);
    ck_assert_int_eq(nestvirt_vm_free(vm), 0);
}
END_TEST

START_TEST(test_reset)
{
    struct nestvirt_vm *vm = GUEST_NEW(host, reset);

    guest_start(vm);
    ck_assert_uint_eq(guest_wait(vm, NULL), NESTVIRT_RESULT_GUEST_RESET);
    nestvirt_vm_free(vm);
}
END_TEST

START_TEST(test_power_off)
{
    struct nestvirt_vm *vm = GUEST_NEW(host, power_off);

    guest_start(vm);
    ck_assert_uint_eq(guest_wait(vm, NULL), NESTVIRT_RESULT_GUEST_SHUTDOWN);
    nestvirt_vm_free(vm);
}
END_TEST

START_TEST(test_hostile_52_triple_fault)
{
    struct nestvirt_vm *vm = GUEST_NEW(host, triple_fault, .mode = NESTVIRT_MODE_PROTECTED);

    guest_start(vm);
    ck_assert_uint_eq(guest_wait(vm, NULL), NESTVIRT_RESULT_TRIPLE_FAULT);
    ck_assert_int_eq(nestvirt_vm_get_state(vm), NESTVIRT_STATE_STOPPED);
    nestvirt_vm_free(vm);
}
END_TEST

START_TEST(test_hostile_52_jump_to_hole)
{
    struct nestvirt_vm *vm = GUEST_NEW(host, hole, .mode = NESTVIRT_MODE_PROTECTED);
    struct nestvirt_vm_result result;

    guest_start(vm);
    ck_assert_uint_eq(guest_wait(vm, &result), NESTVIRT_RESULT_INTERNAL_ERROR);
    ck_assert_uint_eq(result.rip, 0xc8000000);
    ck_assert_int_eq(nestvirt_vm_get_state(vm), NESTVIRT_STATE_FAILED);
    nestvirt_vm_free(vm);
}
END_TEST

START_TEST(test_hostile_52_storm_is_kickable)
{
    struct nestvirt_vm *vm = GUEST_NEW(host, storm);
    struct nestvirt_event event;
    unsigned unhandled = 0;

    guest_start(vm);
    usleep(200000);
    ck_nv_ok(nestvirt_vm_pause(vm, &error));
    ck_nv_ok(nestvirt_vm_resume(vm, &error));
    ck_nv_ok(nestvirt_vm_stop(vm, 5000, &error));
    nestvirt_event_init(&event, sizeof(event));
    while (nestvirt_vm_next_event(vm, &event, NULL) == 1)
        unhandled += event.kind == NESTVIRT_EVENT_UNHANDLED_EXIT;
    ck_assert_uint_gt(unhandled, 0);
    ck_assert_uint_le(unhandled, 30); /* rate-limited: ten a second */
    nestvirt_vm_free(vm);
}
END_TEST

START_TEST(test_unclaimed_reads_ones)
{
    struct nestvirt_vm *vm = GUEST_NEW(host, unclaimed);
    struct nestvirt_vm_result result;

    guest_start(vm);
    ck_assert_uint_eq(guest_wait(vm, &result), NESTVIRT_RESULT_GUEST_EXIT);
    ck_assert_int_eq(result.exit_code, 0xff);
    nestvirt_vm_free(vm);
}
END_TEST

START_TEST(test_start_again)
{
    struct nestvirt_vm *vm = GUEST_NEW(host, exit_code);
    struct nestvirt_vm_result result;
    uint32_t mark = 0x12345678;

    guest_start(vm);
    for (int i = 0; i < 50; i++) {
        ck_assert_uint_eq(guest_wait(vm, &result), NESTVIRT_RESULT_GUEST_EXIT);
        ck_assert_int_eq(result.exit_code, 7);
        ck_nv_ok(nestvirt_memory_write(vm, 0x5000, &mark, sizeof(mark), &error));
        ck_nv_ok(nestvirt_vm_start(vm, &error));
    }
    guest_wait(vm, NULL);
    ck_nv_ok(nestvirt_memory_read(vm, 0x5000, &mark, sizeof(mark), &error));
    ck_assert_uint_eq(mark, 0); /* zeroed by the last start */
    nestvirt_vm_free(vm);
}
END_TEST

START_TEST(test_pause_stands_still)
{
    struct nestvirt_vm *vm = GUEST_NEW(host, spin);
    uint32_t value;

    guest_start(vm);
    await_progress(vm, 0);
    for (int i = 0; i < 20; i++) {
        ck_nv_ok(nestvirt_vm_pause(vm, &error));
        value = counter(vm);
        usleep(2000);
        ck_assert_uint_eq(counter(vm), value);
        ck_nv_ok(nestvirt_vm_resume(vm, &error));
        await_progress(vm, value);
    }
    ck_nv_ok(nestvirt_vm_stop(vm, 5000, &error));
    ck_assert_uint_eq(guest_wait(vm, NULL), NESTVIRT_RESULT_STOPPED);
    nestvirt_vm_free(vm);
}
END_TEST

START_TEST(test_stop_in_halt)
{
    struct nestvirt_vm *vm = GUEST_NEW(host, halt, .vcpus = 2);

    for (int i = 0; i < 20; i++) {
        if (i == 0)
            guest_start(vm);
        else
            ck_nv_ok(nestvirt_vm_start(vm, &error));
        usleep((useconds_t)i * 500); /* also before the first instruction */
        ck_nv_ok(nestvirt_vm_stop(vm, 5000, &error));
        ck_assert_uint_eq(guest_wait(vm, NULL), NESTVIRT_RESULT_STOPPED);
    }
    nestvirt_vm_free(vm);
}
END_TEST

START_TEST(test_stop_while_paused_or_built)
{
    struct nestvirt_vm *vm = GUEST_NEW(host, spin);

    ck_nv_ok(nestvirt_vm_build(vm, &error));
    ck_nv_ok(nestvirt_vm_stop(vm, 0, &error));
    ck_nv_ok(nestvirt_vm_start(vm, &error));
    ck_nv_ok(nestvirt_vm_pause(vm, &error));
    ck_nv_ok(nestvirt_vm_stop(vm, 0, &error));
    ck_assert_uint_eq(guest_wait(vm, NULL), NESTVIRT_RESULT_STOPPED);
    nestvirt_vm_free(vm);
}
END_TEST

START_TEST(test_free_while_running)
{
    struct nestvirt_vm *vm = GUEST_NEW(host, spin, .vcpus = 2);

    guest_start(vm);
    await_progress(vm, 0);
    ck_assert_int_eq(nestvirt_vm_free(vm), 0);
}
END_TEST

START_TEST(test_many_at_once)
{
    enum { COUNT = 40 };
    struct nestvirt_vm *vms[COUNT];
    struct nestvirt_vm_result result;

    for (int i = 0; i < COUNT; i++) {
        vms[i] = i % 2 ? GUEST_NEW(host, exit_code) : GUEST_NEW(host, spin);
        guest_start(vms[i]);
    }
    for (int i = 1; i < COUNT; i += 2) {
        ck_assert_uint_eq(guest_wait(vms[i], &result), NESTVIRT_RESULT_GUEST_EXIT);
        ck_assert_int_eq(result.exit_code, 7);
    }
    for (int i = 0; i < COUNT; i += 2)
        ck_assert_int_eq(nestvirt_vm_get_state(vms[i]), NESTVIRT_STATE_RUNNING);
    for (int i = 0; i < COUNT; i++)
        ck_assert_int_eq(nestvirt_vm_free(vms[i]), 0);
}
END_TEST

START_TEST(test_halt_without_chip)
{
    struct nestvirt_vm *vm = GUEST_NEW(host, halt_once, .chip = NESTVIRT_CHIP_NONE);

    guest_start(vm);
    ck_assert_uint_eq(guest_wait(vm, NULL), NESTVIRT_RESULT_GUEST_HALT);
    nestvirt_vm_free(vm);
}
END_TEST

START_TEST(test_chip_in_kernel)
{
    struct nestvirt_vm *vm =
        GUEST_NEW(host, exit_code, .chip = NESTVIRT_CHIP_KERNEL, .flags = NESTVIRT_VM_PIT);

    guest_start(vm);
    ck_assert_uint_eq(guest_wait(vm, NULL), NESTVIRT_RESULT_GUEST_EXIT);
    nestvirt_vm_free(vm);
}
END_TEST

START_TEST(test_misuse_07_child_after_fork)
{
    struct nestvirt_vm *vm = GUEST_NEW(host, spin);
    struct nestvirt_vcpu *vcpu;
    uint32_t value;
    int status;
    pid_t child;

    guest_start(vm);
    ck_nv_ok(nestvirt_vm_get_vcpu(vm, 0, &vcpu, &error));
    await_progress(vm, 0);
    child = fork();
    if (child == 0) {
        struct nestvirt_regs regs;
        struct nestvirt_vm *other = NULL;
        int bad = 0;

        nestvirt_regs_init(&regs, sizeof(regs));
        bad |= nestvirt_vm_pause(vm, NULL) != -ECHILD;
        bad |= nestvirt_vm_get_state(vm) != -ECHILD;
        bad |= nestvirt_memory_read(vm, 0x3000, &value, 4, NULL) != -ECHILD;
        bad |= nestvirt_vcpu_get_regs(vcpu, &regs, NULL) != -ECHILD;
        bad |= nestvirt_vm_new(host, NULL, &other, NULL) != -ECHILD;
        bad |= nestvirt_vm_free(vm) != 0;
        bad |= nestvirt_host_free(host) != 0;
        _exit(bad);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
    await_progress(vm, counter(vm)); /* the parent's VM goes on */
    nestvirt_vm_free(vm);
}
END_TEST

START_TEST(test_events_tell_the_story)
{
    static const uint64_t states[][2] = {
        { NESTVIRT_STATE_NEW, NESTVIRT_STATE_BUILT },
        { NESTVIRT_STATE_BUILT, NESTVIRT_STATE_RUNNING },
        { NESTVIRT_STATE_RUNNING, NESTVIRT_STATE_STOPPED },
    };
    struct nestvirt_vm *vm = GUEST_NEW(host, exit_code);
    struct nestvirt_event event;

    guest_start(vm);
    guest_wait(vm, NULL);
    for (size_t i = 0; i < 3; i++) {
        nestvirt_event_init(&event, sizeof(event));
        ck_assert_int_eq(nestvirt_vm_next_event(vm, &event, NULL), 1);
        ck_assert_uint_eq(event.kind, NESTVIRT_EVENT_STATE);
        ck_assert_uint_eq(event.values[0], states[i][0]);
        ck_assert_uint_eq(event.values[1], states[i][1]);
    }
    ck_assert_int_eq(nestvirt_vm_next_event(vm, &event, NULL), 1);
    ck_assert_uint_eq(event.kind, NESTVIRT_EVENT_STOPPED);
    ck_assert_uint_eq(event.values[0], NESTVIRT_RESULT_GUEST_EXIT);
    ck_assert_int_eq(nestvirt_vm_next_event(vm, &event, NULL), 0);
    nestvirt_vm_free(vm);
}
END_TEST

Suite *nv_test_suite(void)
{
    Suite *suite = suite_create("kvm_life");
    TCase *tcase = support_case(suite, "life", 60);

    host = support_host();
    tcase_add_test(tcase, test_exit_code);
    tcase_add_test(tcase, test_reset);
    tcase_add_test(tcase, test_power_off);
    tcase_add_test(tcase, test_hostile_52_triple_fault);
    tcase_add_test(tcase, test_hostile_52_jump_to_hole);
    tcase_add_test(tcase, test_hostile_52_storm_is_kickable);
    tcase_add_test(tcase, test_unclaimed_reads_ones);
    tcase_add_test(tcase, test_start_again);
    tcase_add_test(tcase, test_pause_stands_still);
    tcase_add_test(tcase, test_stop_in_halt);
    tcase_add_test(tcase, test_stop_while_paused_or_built);
    tcase_add_test(tcase, test_free_while_running);
    tcase_add_test(tcase, test_many_at_once);
    tcase_add_test(tcase, test_halt_without_chip);
    tcase_add_test(tcase, test_chip_in_kernel);
    tcase_add_test(tcase, test_misuse_07_child_after_fork);
    tcase_add_test(tcase, test_events_tell_the_story);
    return suite;
}
