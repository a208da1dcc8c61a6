/* SPDX-License-Identifier: Apache-2.0 */
/* Proves vCPUs that the caller runs by hand: exits, answers, cancels, and eager threads. */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>

#include "fake_kvm.h"
#include "host/thread.h"
#include "support.h"

enum { PORT = 0x700, WAIT_MS = 20000 };

static struct nestvirt_host *host;
static struct nestvirt_vm *vm;
static struct nestvirt_vcpu *vcpu;
static unsigned handled;

static void make(uint32_t chip, uint32_t vcpus)
{
    fake_kvm_reset();
    host = fake_kvm_host();
    vm = fake_kvm_vm(host, NESTVIRT_VM_MANUAL_VCPUS, chip, vcpus);
    ck_nv_ok(nestvirt_vm_get_vcpu(vm, 0, &vcpu, &error));
    handled = 0;
}

static void run(void)
{
    ck_nv_ok(nestvirt_vm_build(vm, &error));
    ck_nv_ok(nestvirt_vm_start(vm, &error));
}

static void teardown(void)
{
    ck_assert_int_eq(nestvirt_vm_free(vm), 0);
    ck_assert_int_eq(nestvirt_host_free(host), 0);
    vm = NULL;
}

static int32_t on_access(void *user_data, struct nestvirt_access *access)
{
    handled++;
    return NESTVIRT_ACTION_RESUME;
}

static struct nestvirt_exit next_exit(void)
{
    struct nestvirt_exit exit;

    nestvirt_exit_init(&exit, sizeof(exit));
    ck_nv_ok(nestvirt_vcpu_run(vcpu, &exit, &error));
    return exit;
}

START_TEST(test_manual_exits)
{
    struct nestvirt_exit exit;
    const struct fake_exit *answered;

    make(NESTVIRT_CHIP_NONE, 1);
    ck_assert_int_eq(
        nestvirt_handler_add(vm, NESTVIRT_SPACE_PORT, PORT, 1, on_access, NULL, NULL, NULL), 0);
    fake_kvm_push_out(0, 0, PORT, 1);
    fake_kvm_push_out(0, 0, PORT + 1, 2);
    answered = fake_kvm_push_in(0, 0, PORT + 2);
    fake_kvm_push_reason(0, 0, KVM_EXIT_HLT);
    fake_kvm_push_reason(0, 0, KVM_EXIT_SHUTDOWN);
    run();
    exit = next_exit();
    ck_assert_uint_eq(handled, 1); /* the handler's was no exit */
    ck_assert_uint_eq(exit.reason, NESTVIRT_EXIT_PORT);
    ck_assert_uint_eq(exit.address, PORT + 1);
    ck_assert_uint_eq(exit.is_write, 1);
    ck_assert_uint_eq(exit.data[0], 2);
    exit = next_exit();
    ck_assert_uint_eq(exit.address, PORT + 2);
    ck_assert_uint_eq(exit.is_write, 0);
    exit.data[0] = 0x77;
    ck_nv_ok(nestvirt_vcpu_run(vcpu, &exit, &error));
    ck_assert_uint_eq(answered->data[0], 0x77);
    ck_assert_uint_eq(exit.reason, NESTVIRT_EXIT_HALT);
    ck_assert_uint_eq(next_exit().reason, NESTVIRT_EXIT_SHUTDOWN);
    ck_assert_int_eq(nestvirt_vm_get_state(vm), NESTVIRT_STATE_RUNNING);
}
END_TEST

START_TEST(test_manual_string_read)
{
    const struct fake_exit read = {
        .reason = KVM_EXIT_IO, .address = PORT, .length = 2, .count = 3
    };
    const struct fake_exit *answered;
    struct nestvirt_exit exit;

    make(NESTVIRT_CHIP_NONE, 1);
    answered = fake_kvm_push(0, 0, &read);
    fake_kvm_push_reason(0, 0, KVM_EXIT_HLT);
    run();
    exit = next_exit();
    for (uint8_t i = 0; i < 3; i++) {
        ck_assert_uint_eq(exit.reason, NESTVIRT_EXIT_PORT);
        exit.data[0] = (uint8_t)(i * 2);
        exit.data[1] = (uint8_t)(i * 2 + 1);
        ck_nv_ok(nestvirt_vcpu_run(vcpu, &exit, &error));
    }
    ck_assert_uint_eq(exit.reason, NESTVIRT_EXIT_HALT);
    ck_assert_mem_eq(answered->data, "\0\1\2\3\4\5\x5a", 7);
}
END_TEST

START_TEST(test_manual_guest_ends_the_vm)
{
    make(NESTVIRT_CHIP_SPLIT, 1);
    ck_nv_ok(nestvirt_device_add(vm, "exit", NULL, &error));
    fake_kvm_push_out(0, 0, 0x501, 3);
    run();
    ck_assert_uint_eq(next_exit().reason, NESTVIRT_EXIT_STOPPED);
    ck_assert_int_eq(nestvirt_vm_get_state(vm), NESTVIRT_STATE_STOPPED);
}
END_TEST

START_TEST(test_manual_cancel_before_the_run)
{
    make(NESTVIRT_CHIP_SPLIT, 1);
    run();
    ck_nv_ok(nestvirt_vcpu_cancel(vcpu, &error));
    ck_assert_uint_eq(next_exit().reason, NESTVIRT_EXIT_CANCELED);
    fake_kvm_push_reason(0, 0, KVM_EXIT_DEBUG);
    ck_assert_uint_eq(next_exit().reason, NESTVIRT_EXIT_DEBUG); /* it cancels one run */
}
END_TEST

static int32_t cancel_it(void *user_data, struct nestvirt_access *access)
{
    nestvirt_vcpu_cancel(user_data, NULL);
    return NESTVIRT_ACTION_DEFAULT;
}

/* A cancel that meets another exit is not lost: the next run tells of it. */
START_TEST(test_manual_cancel_during_another_exit)
{
    make(NESTVIRT_CHIP_SPLIT, 1);
    ck_assert_int_eq(
        nestvirt_handler_add(vm, NESTVIRT_SPACE_PORT, PORT, 1, cancel_it, vcpu, NULL, NULL), 0);
    fake_kvm_push_out(0, 0, PORT, 1);
    run();
    ck_assert_uint_eq(next_exit().reason, NESTVIRT_EXIT_PORT);
    fake_kvm_push_reason(0, 0, KVM_EXIT_DEBUG);
    ck_assert_uint_eq(next_exit().reason, NESTVIRT_EXIT_CANCELED);
    ck_assert_uint_eq(next_exit().reason, NESTVIRT_EXIT_DEBUG);
}
END_TEST

/* A cancel that was not seen does not reach into the next start. */
START_TEST(test_manual_cancel_ends_with_the_run)
{
    make(NESTVIRT_CHIP_SPLIT, 1);
    run();
    ck_nv_ok(nestvirt_vcpu_cancel(vcpu, &error));
    ck_nv_ok(nestvirt_vm_stop(vm, -1, &error));
    ck_nv_ok(nestvirt_vm_start(vm, &error));
    ck_nv_ok(nestvirt_vm_pause(vm, &error));
    ck_nv_ok(nestvirt_vm_resume(vm, &error));
    fake_kvm_push_reason(1, 0, KVM_EXIT_DEBUG);
    ck_assert_uint_eq(next_exit().reason, NESTVIRT_EXIT_DEBUG);
}
END_TEST

/* A thread that runs its vCPU again at once, whatever it is told. */
static atomic_bool is_done;
static atomic_uint unexpected;

static void *eager(void *argument)
{
    while (!atomic_load(&is_done)) {
        struct nestvirt_exit exit;
        int r;

        nestvirt_exit_init(&exit, sizeof(exit));
        r = nestvirt_vcpu_run(argument, &exit, NULL);
        if (r != -EBUSY && r != 0)
            atomic_fetch_add(&unexpected, 1);
        if (r == 0 && exit.reason != NESTVIRT_EXIT_CANCELED && exit.reason != NESTVIRT_EXIT_STOPPED)
            atomic_fetch_add(&unexpected, 1);
    }
    return NULL;
}

START_TEST(test_manual_pause_meets_eager_threads)
{
    struct nestvirt_vcpu *second;
    pthread_t threads[2];

    make(NESTVIRT_CHIP_SPLIT, 2);
    ck_nv_ok(nestvirt_vm_get_vcpu(vm, 1, &second, &error));
    run();
    atomic_store(&is_done, false);
    atomic_store(&unexpected, 0);
    ck_assert_int_eq(pthread_create(&threads[0], NULL, eager, vcpu), 0);
    ck_assert_int_eq(pthread_create(&threads[1], NULL, eager, second), 0);
    for (int i = 0; i < 200; i++) {
        ck_nv_ok(nestvirt_vm_pause(vm, &error));
        ck_nv_ok(nestvirt_vm_resume(vm, &error));
    }
    ck_nv_ok(nestvirt_vm_stop(vm, WAIT_MS, &error));
    atomic_store(&is_done, true);
    pthread_join(threads[0], NULL);
    pthread_join(threads[1], NULL);
    ck_assert_uint_eq(atomic_load(&unexpected), 0);
}
END_TEST

static void *run_once(void *argument)
{
    struct nestvirt_exit exit;

    nestvirt_exit_init(&exit, sizeof(exit));
    return (void *)(intptr_t)nestvirt_vcpu_run(argument, &exit, NULL);
}

START_TEST(test_misuse_06_two_drivers)
{
    pthread_t thread;
    void *result;
    struct nestvirt_exit exit;
    struct nestvirt_regs regs;

    make(NESTVIRT_CHIP_SPLIT, 1);
    run();
    ck_assert_int_eq(pthread_create(&thread, NULL, run_once, vcpu), 0);
    ck_assert(fake_kvm_wait_idle(0, 0));
    nestvirt_exit_init(&exit, sizeof(exit));
    nestvirt_regs_init(&regs, sizeof(regs));
    ck_nv_fails_with(nestvirt_vcpu_run(vcpu, &exit, &error), -EBUSY, "another thread");
    ck_nv_fails(nestvirt_vcpu_get_regs(vcpu, &regs, &error), -EBUSY);
    ck_nv_ok(nestvirt_vcpu_cancel(vcpu, &error));
    pthread_join(thread, &result);
    ck_assert_int_eq((intptr_t)result, 0);
}
END_TEST

static void ignore(int number)
{
}

/* The caller's signals and mask are the caller's. */
START_TEST(test_manual_run_keeps_the_signal_mask)
{
    struct sigaction action = { .sa_handler = ignore };
    struct sigaction old;
    sigset_t before;
    sigset_t after;

    make(NESTVIRT_CHIP_SPLIT, 1);
    run();
    sigaction(nv_kick_signal(), NULL, &old);
    ck_assert_ptr_eq(old.sa_handler, SIG_DFL); /* a kick that got through would be the end */
    sigaction(SIGUSR1, &action, &old);
    pthread_sigmask(SIG_SETMASK, NULL, &before);
    for (int i = 0; i < 100; i++) {
        ck_nv_ok(nestvirt_vcpu_cancel(vcpu, &error));
        ck_assert_uint_eq(next_exit().reason, NESTVIRT_EXIT_CANCELED);
    }
    pthread_sigmask(SIG_SETMASK, NULL, &after);
    for (int i = 1; i < 64; i++)
        ck_assert_int_eq(sigismember(&before, i), sigismember(&after, i));
    sigpending(&after);
    ck_assert_int_eq(sigismember(&after, nv_kick_signal()), 0);
    sigaction(SIGUSR1, &old, NULL);
}
END_TEST

Suite *nv_test_suite(void)
{
    Suite *suite = suite_create("vm_manual");
    TCase *tcase = support_case(suite, "manual", 60);

    tcase_add_checked_fixture(tcase, NULL, teardown);
    tcase_add_test(tcase, test_manual_exits);
    tcase_add_test(tcase, test_manual_string_read);
    tcase_add_test(tcase, test_manual_guest_ends_the_vm);
    tcase_add_test(tcase, test_manual_cancel_before_the_run);
    tcase_add_test(tcase, test_manual_cancel_during_another_exit);
    tcase_add_test(tcase, test_manual_cancel_ends_with_the_run);
    tcase_add_test(tcase, test_manual_pause_meets_eager_threads);
    tcase_add_test(tcase, test_misuse_06_two_drivers);
    tcase_add_test(tcase, test_manual_run_keeps_the_signal_mask);
    return suite;
}
