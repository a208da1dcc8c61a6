/* SPDX-License-Identifier: Apache-2.0 */
/* Proves the pause that a device asks for, against all that may happen to the VM meanwhile. */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

#include "fake_kvm.h"
#include "support.h"
#include "vm/vm.h"

static struct nestvirt_host *host;
static struct nestvirt_vm *vm;

/* A device that counts, and asks for a pause while it resumes so many times. */
static struct nv_device_class asking_class;
static atomic_int pauses;
static atomic_int resumes;
static atomic_int questions;

static void on_pause(struct nestvirt_device *device)
{
    atomic_fetch_add(&pauses, 1);
}

static void on_resume(struct nestvirt_device *device)
{
    atomic_fetch_add(&resumes, 1);
    if (atomic_load(&questions) > 0) {
        atomic_fetch_sub(&questions, 1);
        nv_vm_pause_soon(vm);
    }
}

static void begin(uint32_t flags, uint32_t vcpus)
{
    struct nestvirt_device *device;

    fake_kvm_reset();
    host = fake_kvm_host();
    vm = fake_kvm_vm(host, flags, NESTVIRT_CHIP_SPLIT, vcpus);
    ck_nv_ok(nestvirt_device_add(vm, "exit", &device, &error));
    asking_class = *device->class;
    asking_class.pause = on_pause;
    asking_class.resume = on_resume;
    device->class = &asking_class;
    atomic_store(&pauses, 0);
    atomic_store(&resumes, 0);
    atomic_store(&questions, 0);
    ck_nv_ok(nestvirt_vm_build(vm, &error));
}

static void end(void)
{
    ck_assert_int_eq(nestvirt_vm_free(vm), 0);
    ck_assert_int_eq(nestvirt_host_free(host), 0);
}

static void await_state(int state)
{
    for (int i = 0; i < 20000 && nestvirt_vm_get_state(vm) != state; i++)
        usleep(1000);
    ck_assert_int_eq(nestvirt_vm_get_state(vm), state);
}

/* No state comes by itself any more. */
static void check_stays(int state)
{
    usleep(20000);
    ck_assert_int_eq(nestvirt_vm_get_state(vm), state);
}

START_TEST(test_while_running)
{
    begin(0, 2);
    ck_nv_ok(nestvirt_vm_start(vm, &error));
    for (int i = 1; i <= 20; i++) {
        nv_vm_pause_soon(vm);
        nv_vm_pause_soon(vm);
        await_state(NESTVIRT_STATE_PAUSED);
        ck_assert_int_eq(pauses, i);
        ck_nv_fails(nestvirt_vm_pause(vm, &error), -EALREADY);
        ck_nv_ok(nestvirt_vm_resume(vm, &error));
        ck_assert_int_eq(nestvirt_vm_get_state(vm), NESTVIRT_STATE_RUNNING);
    }
    check_stays(NESTVIRT_STATE_RUNNING);
    end();
}
END_TEST

/* Each vCPU that is driven by hand comes out; with none inside, the pause is there at once. */
START_TEST(test_by_hand)
{
    begin(NESTVIRT_VM_MANUAL_VCPUS, 2);
    ck_nv_ok(nestvirt_vm_start(vm, &error));
    nv_vm_pause_soon(vm);
    ck_assert_int_eq(nestvirt_vm_get_state(vm), NESTVIRT_STATE_PAUSED);
    atomic_store(&questions, 1);
    ck_nv_ok(nestvirt_vm_resume(vm, &error));
    ck_assert_int_eq(nestvirt_vm_get_state(vm), NESTVIRT_STATE_PAUSED);
    ck_nv_ok(nestvirt_vm_resume(vm, &error));
    ck_assert_int_eq(nestvirt_vm_get_state(vm), NESTVIRT_STATE_RUNNING);
    end();
}
END_TEST

/* A device that fails anew before the vCPUs go on: the pause is not lost. */
START_TEST(test_while_resuming)
{
    enum { TIMES = 20 };

    begin(0, 2);
    ck_nv_ok(nestvirt_vm_start(vm, &error));
    nv_vm_pause_soon(vm);
    await_state(NESTVIRT_STATE_PAUSED);
    atomic_store(&questions, TIMES);
    for (int i = 0; i < TIMES; i++) {
        ck_nv_ok(nestvirt_vm_resume(vm, &error));
        await_state(NESTVIRT_STATE_PAUSED);
        ck_assert_int_eq(pauses, i + 2);
    }
    ck_nv_ok(nestvirt_vm_resume(vm, &error));
    check_stays(NESTVIRT_STATE_RUNNING);
    ck_assert_int_eq(resumes, TIMES + 1);
    end();
}
END_TEST

/* What was asked for before the resume has been had: the VM is not paused once more. */
START_TEST(test_while_paused)
{
    begin(0, 1);
    ck_nv_ok(nestvirt_vm_start(vm, &error));
    ck_nv_ok(nestvirt_vm_pause(vm, &error));
    nv_vm_pause_soon(vm);
    check_stays(NESTVIRT_STATE_PAUSED);
    ck_assert_int_eq(pauses, 1);
    ck_nv_ok(nestvirt_vm_resume(vm, &error));
    check_stays(NESTVIRT_STATE_RUNNING);
    end();
}
END_TEST

/* A run that has ended, or not begun, knows nothing of it; nor does the next. */
START_TEST(test_while_not_running)
{
    begin(0, 1);
    nv_vm_pause_soon(vm);
    ck_assert_int_eq(nestvirt_vm_get_state(vm), NESTVIRT_STATE_BUILT);
    ck_nv_ok(nestvirt_vm_start(vm, &error));
    check_stays(NESTVIRT_STATE_RUNNING);
    nv_vm_pause_soon(vm);
    ck_nv_ok(nestvirt_vm_stop(vm, -1, &error));
    ck_assert_int_eq(nestvirt_vm_get_state(vm), NESTVIRT_STATE_STOPPED);
    nv_vm_pause_soon(vm);
    check_stays(NESTVIRT_STATE_STOPPED);
    ck_nv_ok(nestvirt_vm_start(vm, &error));
    check_stays(NESTVIRT_STATE_RUNNING);
    ck_nv_ok(nestvirt_vm_pause(vm, &error));
    nv_vm_pause_soon(vm);
    ck_nv_ok(nestvirt_vm_stop(vm, -1, &error));
    ck_nv_ok(nestvirt_vm_start(vm, &error));
    check_stays(NESTVIRT_STATE_RUNNING);
    end();
}
END_TEST

static void *ask_always(void *argument)
{
    atomic_bool *is_over = argument;

    while (!atomic_load(is_over))
        nv_vm_pause_soon(vm);
    return NULL;
}

START_TEST(test_against_all_calls)
{
    enum { TIMES = 300, THREADS = 2 };
    atomic_bool is_over = false;
    pthread_t threads[THREADS];

    begin(0, 2);
    for (int i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, ask_always, &is_over), 0);
    for (int i = 0; i < TIMES; i++) {
        nestvirt_vm_start(vm, NULL);
        if (i % 2) {
            nestvirt_vm_pause(vm, NULL);
            ck_assert_int_eq(nestvirt_vm_resume(vm, NULL), 0);
        }
        await_state(NESTVIRT_STATE_PAUSED);
        if (i % 3 == 0) {
            ck_nv_ok(nestvirt_vm_stop(vm, -1, &error));
            ck_nv_ok(nestvirt_vm_build(vm, &error));
        } else {
            ck_assert_int_eq(nestvirt_vm_resume(vm, NULL), 0);
        }
    }
    atomic_store(&is_over, true);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    ck_nv_ok(nestvirt_vm_stop(vm, -1, &error));
    end();
}
END_TEST

Suite *nv_test_suite(void)
{
    Suite *suite = suite_create("vm_pause");
    TCase *tcase = support_case(suite, "pause", 60);

    tcase_add_test(tcase, test_while_running);
    tcase_add_test(tcase, test_by_hand);
    tcase_add_test(tcase, test_while_resuming);
    tcase_add_test(tcase, test_while_paused);
    tcase_add_test(tcase, test_while_not_running);
    tcase_add_test(tcase, test_against_all_calls);
    return suite;
}
