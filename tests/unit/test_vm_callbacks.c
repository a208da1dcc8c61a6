/* SPDX-License-Identifier: Apache-2.0 */
/* Proves what callbacks may call, what is refused to them, and that others keep their time. */
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "fake_kvm.h"
#include "support.h"

enum { PORT = 0x700, WAIT_MS = 20000 };

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

/* What a handler on a vCPU's thread does; the test waits until it has. */
struct callback {
    struct nestvirt_vm *vm;
    sem_t entered;
    sem_t go_on;
    bool blocks;
    void (*act)(struct nestvirt_vm *vm);
    void (*act_late)(struct nestvirt_vm *vm); /* after go_on */
    int32_t action;
    atomic_uint freed;
};

static int32_t on_access(void *user_data, struct nestvirt_access *access)
{
    struct callback *callback = user_data;

    if (callback->act)
        callback->act(callback->vm);
    sem_post(&callback->entered);
    while (callback->blocks && sem_wait(&callback->go_on) < 0)
        ;
    if (callback->act_late)
        callback->act_late(callback->vm);
    return callback->action;
}

static void on_free(void *user_data)
{
    atomic_fetch_add(&((struct callback *)user_data)->freed, 1);
}

static void callback_init(struct callback *callback, void (*act)(struct nestvirt_vm *vm),
                          bool blocks, int32_t action)
{
    memset(callback, 0, sizeof(*callback));
    callback->vm = fake_kvm_vm(host, 0, NESTVIRT_CHIP_SPLIT, 2);
    callback->act = act;
    callback->blocks = blocks;
    callback->action = action;
    sem_init(&callback->entered, 0, 0);
    sem_init(&callback->go_on, 0, 0);
    ck_assert_int_eq(nestvirt_handler_add(callback->vm, NESTVIRT_SPACE_PORT, PORT, 1, on_access,
                                          callback, on_free, NULL),
                     0);
    ck_nv_ok(nestvirt_irq_add(callback->vm, 10, 0, &error));
    fake_kvm_push_out(0, 0, PORT, 1);
    ck_nv_ok(nestvirt_vm_build(callback->vm, &error));
    ck_nv_ok(nestvirt_vm_start(callback->vm, &error));
    sem_wait(&callback->entered);
}

static void callback_end(struct callback *callback)
{
    ck_assert_int_eq(nestvirt_vm_free(callback->vm), 0);
    ck_assert_uint_eq(atomic_load(&callback->freed), 1);
    sem_destroy(&callback->entered);
    sem_destroy(&callback->go_on);
}

START_TEST(test_stop_times_out_in_a_callback)
{
    struct callback callback;
    struct nestvirt_vm_result result;

    callback_init(&callback, NULL, true, NESTVIRT_ACTION_RESUME);
    ck_nv_fails_with(nestvirt_vm_stop(callback.vm, 30, &error), -ETIMEDOUT, "callback");
    ck_assert_int_eq(nestvirt_vm_get_state(callback.vm), NESTVIRT_STATE_RUNNING);
    ck_nv_fails(nestvirt_vm_wait(callback.vm, 0, NULL, &error), -ETIMEDOUT);
    ck_nv_fails(nestvirt_vm_stop(callback.vm, 0, &error), -ETIMEDOUT);
    sem_post(&callback.go_on);
    nestvirt_vm_result_init(&result, sizeof(result));
    ck_nv_ok(nestvirt_vm_wait(callback.vm, WAIT_MS, &result, &error));
    ck_assert_uint_eq(result.reason, NESTVIRT_RESULT_STOPPED);
    ck_nv_ok(nestvirt_vm_stop(callback.vm, 0, &error));
    callback_end(&callback);
}
END_TEST

static int wrong; /* first unexpected result in a callback */

static void expect(int r, int expected)
{
    if (r != expected && wrong == 0)
        wrong = r ? r : 1;
}

static void do_what_is_refused(struct nestvirt_vm *vm)
{
    wrong = 0;
    expect(nestvirt_vm_pause(vm, NULL), -EDEADLK);
    expect(nestvirt_vm_stop(vm, -1, NULL), -EDEADLK);
    expect(nestvirt_vm_wait(vm, -1, NULL, NULL), -EDEADLK);
    expect(nestvirt_vm_free(vm), -EDEADLK);
    expect(nestvirt_vm_set_exit_handler(vm, NULL, NULL, NULL, NULL), -EDEADLK);
}

START_TEST(test_misuse_06_deadlock_is_refused)
{
    struct callback callback;

    callback_init(&callback, do_what_is_refused, false, NESTVIRT_ACTION_RESUME);
    ck_assert_int_eq(wrong, 0);
    ck_assert_int_eq(nestvirt_vm_get_state(callback.vm), NESTVIRT_STATE_RUNNING);
    ck_nv_ok(nestvirt_vm_pause(callback.vm, &error));
    callback_end(&callback);
}
END_TEST

static void do_what_is_allowed(struct nestvirt_vm *vm)
{
    struct nestvirt_vcpu *vcpu;
    struct nestvirt_vcpu *other;
    struct nestvirt_regs regs;
    struct nestvirt_event event;
    struct nestvirt_memory_config config;
    uint8_t bytes[8] = { 0 };
    void *pointer;

    wrong = 0;
    nestvirt_regs_init(&regs, sizeof(regs));
    nestvirt_event_init(&event, sizeof(event));
    nestvirt_memory_config_init(&config, sizeof(config));
    expect(nestvirt_vm_get_state(vm), NESTVIRT_STATE_RUNNING);
    expect(nestvirt_vm_get_vcpu(vm, 0, &vcpu, NULL), 0);
    expect(nestvirt_vm_get_vcpu(vm, 1, &other, NULL), 0);
    expect(nestvirt_vcpu_get_regs(vcpu, &regs, NULL), 0);
    expect(nestvirt_vcpu_set_regs(vcpu, &regs, NULL), 0);
    expect(nestvirt_vcpu_skip(vcpu, 1, NULL), 0);
    expect(nestvirt_vcpu_inject_exception(vcpu, 6, 0, 0, NULL), 0);
    expect(nestvirt_vcpu_get_regs(other, &regs, NULL), -EBUSY);
    expect(nestvirt_memory_write(vm, 0x1000, bytes, sizeof(bytes), NULL), 0);
    expect(nestvirt_memory_read(vm, 0x1000, bytes, sizeof(bytes), NULL), 0);
    expect(nestvirt_memory_get_pointer(vm, 0x1000, 8, &pointer, NULL), 0);
    expect(nestvirt_memory_get(vm, 0, &config, NULL), 0);
    expect(nestvirt_irq_set(vm, 10, 1, NULL), 0);
    expect(nestvirt_irq_set(vm, 10, 0, NULL), 0);
    expect(nestvirt_msi_send(vm, 0xfee00000, 0x30, NULL), 1);
    expect(nestvirt_vm_next_event(vm, &event, NULL), 1);
    expect(nestvirt_vm_get_event_fd(vm, NULL) >= 0, 1);
    expect(nestvirt_irq_add(vm, 11, 0, NULL), -EBUSY);
    expect(nestvirt_vm_validate(vm, NULL), -EBUSY);
}

START_TEST(test_callback_may_call_back)
{
    struct callback callback;

    callback_init(&callback, do_what_is_allowed, false, NESTVIRT_ACTION_RESUME);
    ck_assert_int_eq(wrong, 0);
    callback_end(&callback);
}
END_TEST

static void *pauser(void *argument)
{
    return (void *)(intptr_t)nestvirt_vm_pause(argument, NULL);
}

/* A thread pauses (and so holds what pausing holds) while the callback makes its calls. */
START_TEST(test_callback_may_call_back_while_a_pause_waits)
{
    struct callback callback;
    pthread_t thread;
    void *result;

    callback_init(&callback, NULL, true, NESTVIRT_ACTION_RESUME);
    callback.act_late = do_what_is_allowed;
    wrong = 1;
    ck_assert_int_eq(pthread_create(&thread, NULL, pauser, callback.vm), 0);
    usleep(20000);
    sem_post(&callback.go_on);
    pthread_join(thread, &result);
    ck_assert_int_eq((intptr_t)result, 0);
    ck_assert_int_eq(wrong, 0);
    callback_end(&callback);
}
END_TEST

START_TEST(test_handler_stops_the_vm)
{
    struct callback callback;
    struct nestvirt_vm_result result;

    callback_init(&callback, NULL, false, NESTVIRT_ACTION_STOP);
    nestvirt_vm_result_init(&result, sizeof(result));
    ck_nv_ok(nestvirt_vm_wait(callback.vm, WAIT_MS, &result, &error));
    ck_assert_uint_eq(result.reason, NESTVIRT_RESULT_STOPPED);
    callback_end(&callback);
}
END_TEST

/* The caller runs while others wait: a stop with a time limit keeps to it, a second free is told.
 */
static void *stopper(void *argument)
{
    return (void *)(intptr_t)nestvirt_vm_stop(argument, -1, NULL);
}

START_TEST(test_stop_keeps_its_time_behind_another_call)
{
    struct callback callback;
    pthread_t thread;
    void *result;

    callback_init(&callback, NULL, true, NESTVIRT_ACTION_RESUME);
    ck_assert_int_eq(pthread_create(&thread, NULL, pauser, callback.vm), 0);
    usleep(20000); /* it waits for the callback, and holds up other changes of state */
    ck_nv_fails(nestvirt_vm_stop(callback.vm, 20, &error), -ETIMEDOUT);
    sem_post(&callback.go_on);
    pthread_join(thread, &result);
    ck_assert_int_eq((intptr_t)result, 0);
    ck_assert_int_eq(pthread_create(&thread, NULL, stopper, callback.vm), 0);
    pthread_join(thread, &result);
    ck_assert_int_eq((intptr_t)result, 0);
    callback_end(&callback);
}
END_TEST

static void *freer(void *argument)
{
    return (void *)(intptr_t)nestvirt_vm_free(argument);
}

START_TEST(test_misuse_06_two_threads_free)
{
    struct callback callback;
    pthread_t thread;
    void *result;

    callback_init(&callback, NULL, true, NESTVIRT_ACTION_RESUME);
    ck_assert_int_eq(pthread_create(&thread, NULL, freer, callback.vm), 0);
    usleep(20000); /* it waits for the callback */
    ck_assert_int_eq(nestvirt_vm_free(callback.vm), -EBADF);
    sem_post(&callback.go_on);
    pthread_join(thread, &result);
    ck_assert_int_eq((intptr_t)result, 0);
    ck_assert_uint_eq(atomic_load(&callback.freed), 1);
    sem_destroy(&callback.entered);
    sem_destroy(&callback.go_on);
}
END_TEST

Suite *nv_test_suite(void)
{
    Suite *suite = suite_create("vm_callbacks");
    TCase *tcase = support_case(suite, "callbacks", 60);

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, test_stop_times_out_in_a_callback);
    tcase_add_test(tcase, test_misuse_06_deadlock_is_refused);
    tcase_add_test(tcase, test_callback_may_call_back);
    tcase_add_test(tcase, test_callback_may_call_back_while_a_pause_waits);
    tcase_add_test(tcase, test_handler_stops_the_vm);
    tcase_add_test(tcase, test_stop_keeps_its_time_behind_another_call);
    tcase_add_test(tcase, test_misuse_06_two_threads_free);
    return suite;
}
