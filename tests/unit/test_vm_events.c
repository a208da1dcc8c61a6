/* SPDX-License-Identifier: Apache-2.0 */
/* Proves that events come in order, that none is lost silently, and what results say. */
#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "fake_kvm.h"
#include "support.h"
#include "vm/events.h"

enum { RESET_PORT = 0x602, SLEEP_PORT = 0x600, I8042_PORT = 0x64, EXIT_PORT = 0x501 };

static struct nestvirt_host *host;
static struct nestvirt_vm *vm;

static void setup(void)
{
    fake_kvm_reset();
    host = fake_kvm_host();
    vm = fake_kvm_vm(host, 0, NESTVIRT_CHIP_SPLIT, 1);
}

static void teardown(void)
{
    ck_assert_int_eq(nestvirt_vm_free(vm), 0);
    ck_assert_int_eq(nestvirt_host_free(host), 0);
}

static void must_event(uint32_t kind, uint64_t first, uint64_t second)
{
    struct nestvirt_event event;

    nestvirt_event_init(&event, sizeof(event));
    ck_assert_int_eq(nestvirt_vm_next_event(vm, &event, NULL), 1);
    ck_assert_uint_eq(event.size, sizeof(event));
    ck_assert_uint_eq(event.kind, kind);
    ck_assert_uint_eq(event.values[0], first);
    ck_assert_uint_eq(event.values[1], second);
    ck_assert_uint_gt(event.time_ns, 0);
}

static void must_be_empty(void)
{
    struct nestvirt_event event;

    memset(&event, 0xee, sizeof(event));
    event.size = sizeof(event);
    ck_assert_int_eq(nestvirt_vm_next_event(vm, &event, NULL), 0);
    ck_assert_uint_eq(event.kind, 0xeeeeeeee);
}

static bool is_readable(int fd)
{
    struct pollfd poller = { .fd = fd, .events = POLLIN };

    return poll(&poller, 1, 0) == 1;
}

static struct nestvirt_vm_result run_to_end(void)
{
    struct nestvirt_vm_result result;

    nestvirt_vm_result_init(&result, sizeof(result));
    ck_nv_ok(nestvirt_vm_start(vm, &error));
    ck_nv_ok(nestvirt_vm_wait(vm, 20000, &result, &error));
    return result;
}

START_TEST(test_events_in_order)
{
    must_be_empty();
    ck_nv_ok(nestvirt_vm_build(vm, &error));
    ck_nv_ok(nestvirt_vm_start(vm, &error));
    ck_nv_ok(nestvirt_vm_pause(vm, &error));
    ck_nv_ok(nestvirt_vm_resume(vm, &error));
    ck_nv_ok(nestvirt_vm_stop(vm, -1, &error));
    must_event(NESTVIRT_EVENT_STATE, NESTVIRT_STATE_NEW, NESTVIRT_STATE_BUILT);
    must_event(NESTVIRT_EVENT_STATE, NESTVIRT_STATE_BUILT, NESTVIRT_STATE_RUNNING);
    must_event(NESTVIRT_EVENT_STATE, NESTVIRT_STATE_RUNNING, NESTVIRT_STATE_PAUSED);
    must_event(NESTVIRT_EVENT_STATE, NESTVIRT_STATE_PAUSED, NESTVIRT_STATE_RUNNING);
    must_event(NESTVIRT_EVENT_STATE, NESTVIRT_STATE_RUNNING, NESTVIRT_STATE_STOPPED);
    must_event(NESTVIRT_EVENT_STOPPED, NESTVIRT_RESULT_STOPPED, 0);
    must_be_empty();
}
END_TEST

START_TEST(test_failing_calls_make_no_events)
{
    ck_nv_fails(nestvirt_vm_start(vm, &error), -EBUSY);
    ck_nv_fails(nestvirt_vm_stop(vm, -1, &error), -EBUSY);
    fake_kvm_fail_request(KVM_CREATE_VM, EMFILE);
    ck_nv_fails(nestvirt_vm_build(vm, &error), -EMFILE);
    must_be_empty();
}
END_TEST

START_TEST(test_event_fd_tells_of_events)
{
    int fd;

    ck_nv_ok(nestvirt_vm_build(vm, &error));
    fd = nestvirt_vm_get_event_fd(vm, NULL);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(nestvirt_vm_get_event_fd(vm, NULL), fd);
    ck_assert(is_readable(fd)); /* of an event before it was made */
    must_event(NESTVIRT_EVENT_STATE, NESTVIRT_STATE_NEW, NESTVIRT_STATE_BUILT);
    ck_assert(!is_readable(fd));
    ck_nv_ok(nestvirt_vm_stop(vm, -1, &error));
    ck_assert(is_readable(fd));
    must_event(NESTVIRT_EVENT_STATE, NESTVIRT_STATE_BUILT, NESTVIRT_STATE_STOPPED);
    ck_assert(is_readable(fd));
    must_event(NESTVIRT_EVENT_STOPPED, NESTVIRT_RESULT_STOPPED, 0);
    ck_assert(!is_readable(fd));
}
END_TEST

START_TEST(test_event_fd_stays_quiet_while_none_wait)
{
    int fd = nestvirt_vm_get_event_fd(vm, NULL);

    ck_assert_int_ge(fd, 0);
    ck_assert(!is_readable(fd));
    must_be_empty();
    ck_assert(!is_readable(fd));
}
END_TEST

/* The first 64 are kept; what came later is counted. with_fd: also by the descriptor. */
static void overflow(bool makes_fd_first, bool makes_fd_last)
{
    int fd = makes_fd_first ? nestvirt_vm_get_event_fd(vm, NULL) : -1;

    ck_nv_ok(nestvirt_vm_build(vm, &error));
    ck_nv_ok(nestvirt_vm_start(vm, &error));
    for (int i = 0; i < 40; i++) {
        ck_nv_ok(nestvirt_vm_pause(vm, &error));
        ck_nv_ok(nestvirt_vm_resume(vm, &error));
    }
    must_event(NESTVIRT_EVENT_STATE, NESTVIRT_STATE_NEW, NESTVIRT_STATE_BUILT);
    must_event(NESTVIRT_EVENT_STATE, NESTVIRT_STATE_BUILT, NESTVIRT_STATE_RUNNING);
    for (int i = 0; i < (NV_EVENTS_MAX - 2) / 2; i++) {
        must_event(NESTVIRT_EVENT_STATE, NESTVIRT_STATE_RUNNING, NESTVIRT_STATE_PAUSED);
        must_event(NESTVIRT_EVENT_STATE, NESTVIRT_STATE_PAUSED, NESTVIRT_STATE_RUNNING);
    }
    if (makes_fd_last)
        fd = nestvirt_vm_get_event_fd(vm, NULL);
    if (fd >= 0)
        ck_assert(is_readable(fd));
    must_event(NESTVIRT_EVENT_LOST, 82 - NV_EVENTS_MAX, 0);
    must_be_empty();
    if (fd >= 0)
        ck_assert(!is_readable(fd));
}

START_TEST(test_full_queue_gives_lost)
{
    overflow(_i == 1, _i == 2);
}
END_TEST

static void check_power(uint16_t port, uint8_t value, uint32_t reason)
{
    struct nestvirt_vm_result result;
    struct nestvirt_vm_result again;

    fake_kvm_push_out(FAKE_ANY_VM, 0, port, value);
    result = run_to_end();
    ck_assert_uint_eq(result.reason, reason);
    ck_assert_uint_eq(result.vcpu, 0);
    ck_assert_int_eq(nestvirt_vm_get_state(vm), NESTVIRT_STATE_STOPPED);
    nestvirt_vm_result_init(&again, sizeof(again));
    ck_nv_ok(nestvirt_vm_wait(vm, 0, &again, &error));
    ck_assert_mem_eq(&again, &result, sizeof(result));
}

START_TEST(test_result_of_each_way_to_end)
{
    struct nestvirt_vm_result result;

    ck_nv_ok(nestvirt_device_add(vm, "reset", NULL, &error));
    ck_nv_ok(nestvirt_device_add(vm, "exit", NULL, &error));
    ck_nv_ok(nestvirt_vm_build(vm, &error));
    check_power(RESET_PORT, 1, NESTVIRT_RESULT_GUEST_RESET);
    check_power(I8042_PORT, 0xfe, NESTVIRT_RESULT_GUEST_RESET);
    check_power(SLEEP_PORT, 1 << 5 | 5 << 2, NESTVIRT_RESULT_GUEST_SHUTDOWN);
    check_power(EXIT_PORT, 0, NESTVIRT_RESULT_GUEST_EXIT);
    fake_kvm_push_out(FAKE_ANY_VM, 0, EXIT_PORT, 200);
    result = run_to_end();
    ck_assert_uint_eq(result.reason, NESTVIRT_RESULT_GUEST_EXIT);
    ck_assert_int_eq(result.exit_code, 200);
    fake_kvm_push_reason(FAKE_ANY_VM, 0, KVM_EXIT_SHUTDOWN);
    result = run_to_end();
    ck_assert_uint_eq(result.reason, NESTVIRT_RESULT_TRIPLE_FAULT);
    ck_assert_int_eq(result.exit_code, 0);
}
END_TEST

static void check_system_event(uint64_t type, uint32_t reason)
{
    struct nestvirt_vm_result result;
    const struct fake_exit exit = { .reason = KVM_EXIT_SYSTEM_EVENT, .code = type };

    fake_kvm_push(FAKE_ANY_VM, 0, &exit);
    result = run_to_end();
    ck_assert_uint_eq(result.reason, reason);
}

START_TEST(test_result_of_system_events)
{
    ck_nv_ok(nestvirt_vm_build(vm, &error));
    check_system_event(KVM_SYSTEM_EVENT_SHUTDOWN, NESTVIRT_RESULT_GUEST_SHUTDOWN);
    check_system_event(KVM_SYSTEM_EVENT_RESET, NESTVIRT_RESULT_GUEST_RESET);
}
END_TEST

START_TEST(test_hostile_52_internal_error_names_the_instruction)
{
    static const uint8_t code[] = { 0x0f, 0xb8, 0xc0, 0x90 };
    const struct fake_exit exit = { .reason = KVM_EXIT_INTERNAL_ERROR, .code = 1 };
    struct nestvirt_vm_result result;

    ck_nv_ok(nestvirt_vm_build(vm, &error));
    ck_nv_ok(nestvirt_memory_write(vm, 0x2000, code, sizeof(code), &error));
    fake_kvm_set_rip(0, 0, 0x2000);
    fake_kvm_push(0, 0, &exit);
    result = run_to_end();
    ck_assert_uint_eq(result.reason, NESTVIRT_RESULT_INTERNAL_ERROR);
    ck_assert_uint_eq(result.suberror, 1);
    ck_assert_uint_eq(result.rip, 0x2000);
    ck_assert_uint_eq(result.instruction_length, 15);
    ck_assert_mem_eq(result.instruction, code, sizeof(code));
    ck_assert_int_eq(nestvirt_vm_get_state(vm), NESTVIRT_STATE_FAILED);
    must_event(NESTVIRT_EVENT_STATE, NESTVIRT_STATE_NEW, NESTVIRT_STATE_BUILT);
    must_event(NESTVIRT_EVENT_STATE, NESTVIRT_STATE_BUILT, NESTVIRT_STATE_RUNNING);
    must_event(NESTVIRT_EVENT_UNHANDLED_EXIT, 0, 0);
    must_event(NESTVIRT_EVENT_STATE, NESTVIRT_STATE_RUNNING, NESTVIRT_STATE_FAILED);
    must_event(NESTVIRT_EVENT_STOPPED, NESTVIRT_RESULT_INTERNAL_ERROR, 0);
    must_be_empty();
}
END_TEST

START_TEST(test_instruction_at_the_end_of_memory)
{
    struct nestvirt_vm_result result;

    ck_nv_ok(nestvirt_vm_build(vm, &error));
    fake_kvm_set_rip(0, 0, (2 << 20) - 3);
    fake_kvm_push_reason(0, 0, KVM_EXIT_INTERNAL_ERROR);
    result = run_to_end();
    ck_assert_uint_eq(result.instruction_length, 3);
    fake_kvm_push_reason(1, 0, KVM_EXIT_INTERNAL_ERROR);
    result = run_to_end(); /* the reset vector, where there is no memory */
    ck_assert_uint_eq(result.instruction_length, 0);
}
END_TEST

/* KVM_RUN itself fails: once, or for ever as when the kernel has given the VM up. */
START_TEST(test_run_that_fails)
{
    const struct fake_exit exit = { .reason = 0, .error = EFAULT };
    struct nestvirt_vm_result result;

    ck_nv_ok(nestvirt_vm_build(vm, &error));
    fake_kvm_push(0, 0, &exit);
    result = run_to_end();
    ck_assert_uint_eq(result.reason, NESTVIRT_RESULT_INTERNAL_ERROR);
    ck_assert_uint_eq(result.suberror, EFAULT);
    fake_kvm_fail_request(KVM_RUN, EIO);
    result = run_to_end();
    ck_assert_uint_eq(result.reason, NESTVIRT_RESULT_INTERNAL_ERROR);
    ck_assert_uint_eq(result.suberror, EIO);
    ck_assert_int_eq(nestvirt_vm_get_state(vm), NESTVIRT_STATE_FAILED);
    fake_kvm_fail_request(KVM_RUN, 0);
    ck_nv_ok(nestvirt_vm_start(vm, &error));
    ck_nv_ok(nestvirt_vm_stop(vm, 20000, &error));
}
END_TEST

/* Only the first of each burst makes an event, so a guest cannot flood the queue. */
START_TEST(test_hostile_52_storm_of_unknown_accesses)
{
    enum { STORM = 1000 };
    struct nestvirt_event event;
    unsigned count = 0;

    for (int i = 0; i < STORM; i++)
        fake_kvm_push_out(0, 0, 0x1234, (uint8_t)i);
    ck_nv_ok(nestvirt_vm_build(vm, &error));
    ck_nv_ok(nestvirt_vm_start(vm, &error));
    nestvirt_event_init(&event, sizeof(event));
    must_event(NESTVIRT_EVENT_STATE, NESTVIRT_STATE_NEW, NESTVIRT_STATE_BUILT); /* meanwhile */
    must_event(NESTVIRT_EVENT_STATE, NESTVIRT_STATE_BUILT, NESTVIRT_STATE_RUNNING);
    for (int i = 0; i < 200000 && count == 0; i++) {
        if (nestvirt_vm_next_event(vm, &event, NULL) == 1)
            count = event.kind == NESTVIRT_EVENT_UNHANDLED_EXIT;
        usleep(100);
    }
    ck_assert(fake_kvm_wait_idle(0, 0));
    while (nestvirt_vm_next_event(vm, &event, NULL) == 1) {
        ck_assert_uint_eq(event.kind, NESTVIRT_EVENT_UNHANDLED_EXIT); /* none was lost */
        ck_assert_uint_eq(event.values[0], 0x1234);
        ck_assert_uint_eq(event.values[1], 1);
        ck_assert_uint_eq(event.values[2], 1);
        count++;
    }
    ck_assert_uint_ge(count, 1);
    ck_assert_uint_le(count, 20); /* ten a second */
    ck_nv_ok(nestvirt_vm_stop(vm, 20000, &error));
}
END_TEST

static void push_many(struct nv_events *events, uint32_t kind, int count)
{
    for (int i = 0; i < count; i++)
        nv_events_push(events, kind, 0, (const uint64_t[4]){ (uint64_t)i });
}

static void must_pop(struct nv_events *events, uint32_t kind, uint64_t first)
{
    struct nestvirt_event event;

    ck_assert_int_eq(nv_events_pop(events, &event), 1);
    ck_assert_uint_eq(event.kind, kind);
    ck_assert_uint_eq(event.values[0], first);
}

/* Whoever waits for the end of a run is told of it, however full the queue is. */
START_TEST(test_full_queue_keeps_ends)
{
    struct nv_events events;
    struct nestvirt_event event;

    nv_events_init(&events);
    push_many(&events, NESTVIRT_EVENT_STATE, 10); /* not at the queue's start */
    for (uint64_t i = 0; i < 10; i++)
        must_pop(&events, NESTVIRT_EVENT_STATE, i);
    push_many(&events, NESTVIRT_EVENT_STATE, NV_EVENTS_MAX);
    push_many(&events, NESTVIRT_EVENT_STOPPED, 2);
    push_many(&events, NESTVIRT_EVENT_STATE, 1);
    for (uint64_t i = 0; i < NV_EVENTS_MAX - 2; i++)
        must_pop(&events, NESTVIRT_EVENT_STATE, i);
    must_pop(&events, NESTVIRT_EVENT_STOPPED, 0);
    must_pop(&events, NESTVIRT_EVENT_STOPPED, 1);
    must_pop(&events, NESTVIRT_EVENT_LOST, 3);
    push_many(&events, NESTVIRT_EVENT_STOPPED, NV_EVENTS_MAX + 3); /* of ends, the last */
    for (uint64_t i = 3; i < NV_EVENTS_MAX + 3; i++)
        must_pop(&events, NESTVIRT_EVENT_STOPPED, i);
    must_pop(&events, NESTVIRT_EVENT_LOST, 3);
    ck_assert_int_eq(nv_events_pop(&events, &event), 0);
    nv_events_destroy(&events);
}
END_TEST

static int32_t resume_always(void *user_data, struct nestvirt_exit *exit)
{
    atomic_uint *calls = user_data;

    atomic_fetch_add(calls, 1);
    exit->reason = NESTVIRT_EXIT_DEBUG; /* as a careless one may */
    return NESTVIRT_ACTION_RESUME;
}

/* A vCPU cannot go on after a triple fault, whatever the handler says: it is asked once. */
START_TEST(test_hostile_52_resumed_triple_fault)
{
    enum { FAULTS = 50 };
    atomic_uint calls = 0;

    ck_nv_ok(nestvirt_vm_set_exit_handler(vm, resume_always, &calls, NULL, &error));
    ck_nv_ok(nestvirt_vm_build(vm, &error));
    for (int i = 0; i < FAULTS; i++)
        fake_kvm_push_reason(0, 0, KVM_EXIT_SHUTDOWN);
    ck_assert_uint_eq(run_to_end().reason, NESTVIRT_RESULT_TRIPLE_FAULT);
    ck_assert_uint_eq(atomic_load(&calls), 1);
    must_event(NESTVIRT_EVENT_STATE, NESTVIRT_STATE_NEW, NESTVIRT_STATE_BUILT);
    must_event(NESTVIRT_EVENT_STATE, NESTVIRT_STATE_BUILT, NESTVIRT_STATE_RUNNING);
    must_event(NESTVIRT_EVENT_UNHANDLED_EXIT, 0, 0);
    must_event(NESTVIRT_EVENT_STATE, NESTVIRT_STATE_RUNNING, NESTVIRT_STATE_STOPPED);
    must_event(NESTVIRT_EVENT_STOPPED, NESTVIRT_RESULT_TRIPLE_FAULT, 0);
}
END_TEST

/* What a guest causes leaves room in the queue for what its owner must know. */
START_TEST(test_flood_leaves_room)
{
    struct nv_events events;
    struct nestvirt_event event;
    const uint64_t values[4] = { 1, 2 };

    nv_events_init(&events);
    for (int i = 0; i < 100; i++)
        nv_events_push(&events, NESTVIRT_EVENT_UNHANDLED_EXIT, 0, values);
    nv_events_push(&events, NESTVIRT_EVENT_STATE, 0, values);
    for (int i = 0; i < NV_EVENTS_MAX / 2; i++) {
        ck_assert_int_eq(nv_events_pop(&events, &event), 1);
        ck_assert_uint_eq(event.kind, NESTVIRT_EVENT_UNHANDLED_EXIT);
    }
    ck_assert_int_eq(nv_events_pop(&events, &event), 1);
    ck_assert_uint_eq(event.kind, NESTVIRT_EVENT_STATE);
    ck_assert_int_eq(nv_events_pop(&events, &event), 1);
    ck_assert_uint_eq(event.kind, NESTVIRT_EVENT_LOST);
    ck_assert_uint_eq(event.values[0], 100 - NV_EVENTS_MAX / 2);
    ck_assert_int_eq(nv_events_pop(&events, &event), 0);
    nv_events_destroy(&events);
}
END_TEST

START_TEST(test_wait_times_out)
{
    struct nestvirt_vm_result result;

    nestvirt_vm_result_init(&result, sizeof(result));
    ck_nv_ok(nestvirt_vm_build(vm, &error));
    ck_nv_ok(nestvirt_vm_start(vm, &error));
    ck_nv_fails_with(nestvirt_vm_wait(vm, 20, &result, &error), -ETIMEDOUT, "vm fake");
    ck_assert_uint_eq(result.reason, NESTVIRT_RESULT_NONE);
    ck_nv_ok(nestvirt_vm_stop(vm, -1, &error));
    ck_nv_ok(nestvirt_vm_wait(vm, -1, &result, &error));
    ck_assert_uint_eq(result.reason, NESTVIRT_RESULT_STOPPED);
}
END_TEST

Suite *nv_test_suite(void)
{
    Suite *suite = suite_create("vm_events");
    TCase *tcase = support_case(suite, "events", 60);

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, test_events_in_order);
    tcase_add_test(tcase, test_failing_calls_make_no_events);
    tcase_add_test(tcase, test_event_fd_tells_of_events);
    tcase_add_test(tcase, test_event_fd_stays_quiet_while_none_wait);
    tcase_add_loop_test(tcase, test_full_queue_gives_lost, 0, 3);
    tcase_add_test(tcase, test_result_of_each_way_to_end);
    tcase_add_test(tcase, test_result_of_system_events);
    tcase_add_test(tcase, test_hostile_52_internal_error_names_the_instruction);
    tcase_add_test(tcase, test_instruction_at_the_end_of_memory);
    tcase_add_test(tcase, test_run_that_fails);
    tcase_add_test(tcase, test_hostile_52_storm_of_unknown_accesses);
    tcase_add_test(tcase, test_flood_leaves_room);
    tcase_add_test(tcase, test_full_queue_keeps_ends);
    tcase_add_test(tcase, test_hostile_52_resumed_triple_fault);
    tcase_add_test(tcase, test_wait_times_out);
    return suite;
}
