/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the tests of vCPUs on real KVM: by hand, registers, exits, kicks, handlers, callbacks. */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "guests.h"
#include "support.h"

static struct nestvirt_host *host;

/* A started VM with its vCPU 0, to be run by hand. */
static struct nestvirt_vcpu *start_manual(struct nestvirt_vm *vm)
{
    struct nestvirt_vcpu *vcpu;

    guest_start(vm);
    ck_nv_ok(nestvirt_vm_get_vcpu(vm, 0, &vcpu, &error));
    return vcpu;
}

static uint32_t run(struct nestvirt_vcpu *vcpu, struct nestvirt_exit *exit)
{
    ck_nv_ok(nestvirt_vcpu_run(vcpu, exit, &error));
    return exit->reason;
}

/* The next exit must be this port access. */
static void expect_port(struct nestvirt_vcpu *vcpu, struct nestvirt_exit *exit, uint64_t port,
                        uint32_t length, uint32_t is_write)
{
    ck_assert_uint_eq(run(vcpu, exit), NESTVIRT_EXIT_PORT);
    ck_assert_uint_eq(exit->address, port);
    ck_assert_uint_eq(exit->length, length);
    ck_assert_uint_eq(exit->is_write, is_write);
}

START_TEST(test_ports_by_hand)
{
    static const uint8_t widths[][4] = { { 0xa1 }, { 0xa3, 0xa2 }, { 0xa7, 0xa6, 0xa5, 0xa4 } };
    struct nestvirt_vm *vm = GUEST_NEW(host, ports, .flags = NESTVIRT_VM_MANUAL_VCPUS);
    struct nestvirt_vcpu *vcpu = start_manual(vm);
    struct nestvirt_vm_result result;
    struct nestvirt_exit exit;
    uint8_t seen[32];

    nestvirt_exit_init(&exit, sizeof(exit));
    for (uint32_t i = 0; i < 3; i++) {
        expect_port(vcpu, &exit, 0x700, 1u << i, 1);
        ck_assert_mem_eq(exit.data, widths[i], 1u << i);
    }
    for (uint32_t i = 0; i < 3; i++) {
        expect_port(vcpu, &exit, 0x700, 1u << i, 0);
        memcpy(exit.data, "\x11\x22\x33\x44", 4);
    }
    for (uint32_t i = 0; i < 4; i++) {
        expect_port(vcpu, &exit, 0x700, 1, 1);
        ck_assert_uint_eq(exit.data[0], 'a' + i);
    }
    for (uint32_t i = 0; i < 4; i++) {
        expect_port(vcpu, &exit, 0x700, 1, 0);
        exit.data[0] = (uint8_t)('w' + i);
    }
    ck_assert_uint_eq(run(vcpu, &exit), NESTVIRT_EXIT_STOPPED);
    ck_assert_uint_eq(guest_wait(vm, &result), NESTVIRT_RESULT_GUEST_EXIT);
    ck_assert_int_eq(result.exit_code, 9);
    ck_nv_ok(nestvirt_memory_read(vm, 0x3000, seen, sizeof(seen), &error));
    ck_assert_mem_eq(seen, "\x11\x00\x11\x22\x11\x22\x33\x44", 8);
    ck_assert_mem_eq(seen + 0x10, "wxyz", 4);
    nestvirt_vm_free(vm);
}
END_TEST

START_TEST(test_mmio_by_hand)
{
    struct nestvirt_vm *vm =
        GUEST_NEW(host, mmio, .flags = NESTVIRT_VM_MANUAL_VCPUS, .mode = NESTVIRT_MODE_PROTECTED);
    struct nestvirt_vcpu *vcpu = start_manual(vm);
    struct nestvirt_vm_result result;
    struct nestvirt_exit exit;

    nestvirt_exit_init(&exit, sizeof(exit));
    ck_assert_uint_eq(run(vcpu, &exit), NESTVIRT_EXIT_MMIO);
    ck_assert_uint_eq(exit.address, 0xd0000000);
    ck_assert_uint_eq(exit.is_write, 1);
    ck_assert_mem_eq(exit.data, "\x44\x33\x22\x11", 4);
    ck_assert_uint_eq(run(vcpu, &exit), NESTVIRT_EXIT_MMIO);
    ck_assert_uint_eq(exit.address, 0xd0000004);
    ck_assert_uint_eq(exit.is_write, 0);
    memcpy(exit.data, "\x21\x43\x65\x07", 4);
    ck_assert_uint_eq(run(vcpu, &exit), NESTVIRT_EXIT_MMIO);
    ck_assert_uint_eq(exit.address, 0xd0000009);
    ck_assert_uint_eq(exit.length, 1);
    ck_assert_uint_eq(run(vcpu, &exit), NESTVIRT_EXIT_STOPPED);
    guest_wait(vm, &result);
    ck_assert_int_eq(result.exit_code, 0x21);
    nestvirt_vm_free(vm);
}
END_TEST

START_TEST(test_halt_and_shutdown_by_hand)
{
    struct nestvirt_vm *vm =
        GUEST_NEW(host, halt_once, .flags = NESTVIRT_VM_MANUAL_VCPUS, .chip = NESTVIRT_CHIP_NONE);
    struct nestvirt_vcpu *vcpu = start_manual(vm);
    struct nestvirt_exit exit;

    nestvirt_exit_init(&exit, sizeof(exit));
    ck_assert_uint_eq(run(vcpu, &exit), NESTVIRT_EXIT_HALT);
    ck_assert_uint_eq(run(vcpu, &exit), NESTVIRT_EXIT_HALT); /* the second one: it goes on */
    nestvirt_vm_free(vm);
    vm = GUEST_NEW(host, triple_fault, .flags = NESTVIRT_VM_MANUAL_VCPUS,
                   .mode = NESTVIRT_MODE_PROTECTED);
    vcpu = start_manual(vm);
    ck_assert_uint_eq(run(vcpu, &exit), NESTVIRT_EXIT_SHUTDOWN);
    ck_nv_ok(nestvirt_vm_stop(vm, 1000, &error));
    nestvirt_vm_free(vm);
}
END_TEST

START_TEST(test_registers)
{
    struct nestvirt_vm *vm = GUEST_NEW(host, spin, .flags = NESTVIRT_VM_MANUAL_VCPUS);
    struct nestvirt_vcpu *vcpu = start_manual(vm);
    struct nestvirt_regs regs, again;
    struct nestvirt_sregs sregs;
    uint64_t value;

    nestvirt_regs_init(&regs, sizeof(regs));
    nestvirt_regs_init(&again, sizeof(again));
    ck_nv_ok(nestvirt_vcpu_get_regs(vcpu, &regs, &error));
    ck_assert_uint_eq(regs.rip, 0x1000);
    regs.rax = 0x1122334455667788;
    regs.r15 = 0x99aabbccddeeff00;
    ck_nv_ok(nestvirt_vcpu_set_regs(vcpu, &regs, &error));
    ck_nv_ok(nestvirt_vcpu_get_regs(vcpu, &again, &error));
    ck_assert_mem_eq(&regs, &again, sizeof(regs));
    nestvirt_sregs_init(&sregs, sizeof(sregs));
    ck_nv_ok(nestvirt_vcpu_get_sregs(vcpu, &sregs, &error));
    ck_assert_uint_eq(sregs.cs.base, 0);
    sregs.ds.base = 0x4000;
    sregs.ds.selector = 0x400;
    ck_nv_ok(nestvirt_vcpu_set_sregs(vcpu, &sregs, &error));
    ck_nv_ok(nestvirt_vcpu_set_msr(vcpu, 0xc0000082, 0xffffffff81000000, &error)); /* LSTAR */
    ck_nv_ok(nestvirt_vcpu_get_msr(vcpu, 0xc0000082, &value, &error));
    ck_assert_uint_eq(value, 0xffffffff81000000);
    ck_nv_fails(nestvirt_vcpu_get_msr(vcpu, 0x12345, &value, &error), -ENOENT);
    ck_assert_uint_eq(value, 0);
    nestvirt_vm_free(vm);
}
END_TEST

START_TEST(test_registers_need_standstill)
{
    struct nestvirt_vm *vm = GUEST_NEW(host, spin);
    struct nestvirt_vcpu *vcpu = start_manual(vm);
    struct nestvirt_regs regs;

    nestvirt_regs_init(&regs, sizeof(regs));
    ck_nv_fails(nestvirt_vcpu_get_regs(vcpu, &regs, &error), -EBUSY);
    ck_nv_ok(nestvirt_vm_pause(vm, &error));
    ck_nv_ok(nestvirt_vcpu_get_regs(vcpu, &regs, &error));
    ck_assert_uint_ge(regs.rip, 0x1000);
    ck_nv_ok(nestvirt_vm_stop(vm, 1000, &error));
    ck_nv_ok(nestvirt_vcpu_get_regs(vcpu, &regs, &error)); /* post mortem */
    nestvirt_vm_free(vm);
}
END_TEST

struct canceler {
    struct nestvirt_vcpu *vcpu;
    atomic_int canceled; /* exits seen by the runner */
    int rounds;
};

static void *cancel_again_and_again(void *argument)
{
    struct canceler *canceler = argument;

    for (int i = 0; i < canceler->rounds; i++) {
        if (nestvirt_vcpu_cancel(canceler->vcpu, NULL) < 0)
            return "cancel failed";
        while (atomic_load(&canceler->canceled) <= i)
            ;
    }
    return NULL;
}

/* Every cancel leads to exactly one canceled exit, in guest mode or out of it. */
static void count_cancels(const char *what, struct nestvirt_vm *vm, int rounds)
{
    struct canceler canceler = { .vcpu = start_manual(vm), .rounds = rounds };
    struct nestvirt_exit exit;
    pthread_t thread;
    void *problem;

    nestvirt_exit_init(&exit, sizeof(exit));
    pthread_create(&thread, NULL, cancel_again_and_again, &canceler);
    for (int i = 0; i < rounds; i++) {
        ck_assert_msg(run(canceler.vcpu, &exit) == NESTVIRT_EXIT_CANCELED, "%s: round %d: exit %u",
                      what, i, exit.reason);
        atomic_fetch_add(&canceler.canceled, 1);
    }
    pthread_join(thread, &problem);
    ck_assert_msg(!problem, "%s", (const char *)problem);
    nestvirt_vm_free(vm);
}

START_TEST(test_no_kick_is_lost)
{
    count_cancels("spinning", GUEST_NEW(host, spin, .flags = NESTVIRT_VM_MANUAL_VCPUS), 2000);
    count_cancels("halted", GUEST_NEW(host, halt, .flags = NESTVIRT_VM_MANUAL_VCPUS), 2000);
}
END_TEST

START_TEST(test_pause_reaches_manual_vcpu)
{
    struct nestvirt_vm *vm = GUEST_NEW(host, spin, .flags = NESTVIRT_VM_MANUAL_VCPUS);
    struct nestvirt_vcpu *vcpu = start_manual(vm);
    struct nestvirt_exit exit;

    nestvirt_exit_init(&exit, sizeof(exit));
    ck_nv_ok(nestvirt_vm_pause(vm, &error));
    ck_nv_fails(nestvirt_vcpu_run(vcpu, &exit, &error), -EBUSY);
    ck_nv_ok(nestvirt_vm_resume(vm, &error));
    ck_nv_ok(nestvirt_vcpu_cancel(vcpu, &error));
    ck_assert_uint_eq(run(vcpu, &exit), NESTVIRT_EXIT_CANCELED);
    ck_nv_ok(nestvirt_vm_stop(vm, 1000, &error));
    ck_nv_fails(nestvirt_vcpu_run(vcpu, &exit, &error), -EBUSY);
    nestvirt_vm_free(vm);
}
END_TEST

/* A thread with the default action for every signal must survive being kicked. */
START_TEST(test_kick_signal_does_not_leak)
{
    struct nestvirt_vm *vm = GUEST_NEW(host, halt, .flags = NESTVIRT_VM_MANUAL_VCPUS);
    struct nestvirt_vcpu *vcpu = start_manual(vm);
    struct nestvirt_exit exit;
    sigset_t before, after, pending;

    nestvirt_exit_init(&exit, sizeof(exit));
    pthread_sigmask(SIG_SETMASK, NULL, &before);
    for (int i = 0; i < 100; i++) {
        ck_nv_ok(nestvirt_vcpu_cancel(vcpu, &error));
        ck_assert_uint_eq(run(vcpu, &exit), NESTVIRT_EXIT_CANCELED);
    }
    pthread_sigmask(SIG_SETMASK, NULL, &after);
    sigpending(&pending);
    ck_assert_mem_eq(&before, &after, 8); /* what the kernel has of it */
    for (int i = SIGRTMIN; i <= SIGRTMAX; i++)
        ck_assert_int_eq(sigismember(&pending, i), 0);
    nestvirt_vm_free(vm);
}
END_TEST

static atomic_int alarms;

static void on_alarm(int signal)
{
    (void)signal;
    atomic_fetch_add(&alarms, 1);
}

/* The caller's own handlers run on its thread, and a run by hand tells of them. */
START_TEST(test_callers_signals_arrive)
{
    struct nestvirt_vm *vm = GUEST_NEW(host, halt, .flags = NESTVIRT_VM_MANUAL_VCPUS);
    struct nestvirt_vcpu *vcpu = start_manual(vm);
    struct sigaction action = { .sa_handler = on_alarm }, old;
    struct nestvirt_exit exit;

    nestvirt_exit_init(&exit, sizeof(exit));
    sigaction(SIGALRM, &action, &old);
    alarm(1);
    ck_assert_uint_eq(run(vcpu, &exit), NESTVIRT_EXIT_CANCELED);
    ck_assert_int_eq(atomic_load(&alarms), 1);
    sigaction(SIGALRM, &old, NULL);
    nestvirt_vm_free(vm);
}
END_TEST

START_TEST(test_resolve_by_hand)
{
    struct nestvirt_vm *vm =
        GUEST_NEW(host, hole, .flags = NESTVIRT_VM_MANUAL_VCPUS, .mode = NESTVIRT_MODE_PROTECTED);
    struct nestvirt_vcpu *vcpu = start_manual(vm);
    struct nestvirt_exit exit;
    struct nestvirt_regs regs;

    nestvirt_exit_init(&exit, sizeof(exit));
    nestvirt_regs_init(&regs, sizeof(regs));
    ck_assert_uint_eq(run(vcpu, &exit), NESTVIRT_EXIT_INTERNAL_ERROR);
    ck_assert_uint_eq(exit.rip, 0xc8000000);
    ck_nv_ok(nestvirt_vcpu_skip(vcpu, 5, &error));
    ck_nv_ok(nestvirt_vcpu_get_regs(vcpu, &regs, &error));
    ck_assert_uint_eq(regs.rip, 0xc8000005);
    /* No interrupt table: an exception injected there is a triple fault. */
    ck_nv_ok(nestvirt_vcpu_inject_exception(vcpu, 6, 0, 0, &error));
    ck_assert_uint_eq(run(vcpu, &exit), NESTVIRT_EXIT_SHUTDOWN);
    ck_nv_fails(nestvirt_vcpu_inject_exception(vcpu, 32, 0, 0, &error), -EINVAL);
    ck_nv_fails(nestvirt_vcpu_skip(vcpu, 16, &error), -EINVAL);
    nestvirt_vm_free(vm);
}
END_TEST

static int32_t note_access(void *user_data, struct nestvirt_access *access)
{
    uint8_t *seen = user_data;

    seen[0]++;
    seen[1] = access->data[0];
    return NESTVIRT_ACTION_RESUME;
}

START_TEST(test_fixups)
{
    struct nestvirt_vm *vm =
        GUEST_NEW(host, fixups, .flags = NESTVIRT_VM_FIXUPS, .mode = NESTVIRT_MODE_LONG);
    struct nestvirt_vm_result result;
    uint8_t seen[2] = { 0 };

    ck_nv_ok(
        nestvirt_handler_add(vm, NESTVIRT_SPACE_PORT, 0x700, 1, note_access, seen, NULL, &error));
    guest_start(vm);
    ck_assert_uint_eq(guest_wait(vm, &result), NESTVIRT_RESULT_GUEST_EXIT);
    ck_assert_int_eq(result.exit_code, 6);
    ck_assert_uint_eq(seen[0], 1);
    ck_assert_uint_eq(seen[1], 3);
    nestvirt_vm_free(vm);
}
END_TEST

struct callback {
    struct nestvirt_vm *vm;
    struct nestvirt_vcpu *vcpu;
    int codes[8];
    uint64_t rip;
    int32_t answer;
    atomic_bool blocks;
    atomic_bool is_inside;
    int freed;
};

static void count_free(void *user_data)
{
    ((struct callback *)user_data)->freed++;
}

/* What a callback may and may not do to its own VM. */
static int32_t call_back(void *user_data, struct nestvirt_access *access)
{
    struct callback *c = user_data;
    struct nestvirt_regs regs;
    uint32_t word;

    (void)access;
    nestvirt_regs_init(&regs, sizeof(regs));
    c->codes[0] = nestvirt_vm_stop(c->vm, 1000, NULL);
    c->codes[1] = nestvirt_vm_pause(c->vm, NULL);
    c->codes[2] = nestvirt_vm_free(c->vm);
    c->codes[3] = nestvirt_vm_wait(c->vm, 1000, NULL, NULL);
    c->codes[4] = nestvirt_memory_read(c->vm, 0x1000, &word, sizeof(word), NULL);
    c->codes[5] = nestvirt_vcpu_get_regs(c->vcpu, &regs, NULL);
    c->codes[6] = nestvirt_vm_get_state(c->vm);
    c->codes[7] = nestvirt_handler_remove(c->vm, 0, NULL);
    c->rip = regs.rip;
    atomic_store(&c->is_inside, true);
    while (atomic_load(&c->blocks))
        usleep(1000);
    return c->answer;
}

START_TEST(test_misuse_06_calls_from_a_callback)
{
    struct callback c = { .answer = NESTVIRT_ACTION_STOP };

    c.vm = GUEST_NEW(host, ports);
    ck_nv_ok(nestvirt_vm_get_vcpu(c.vm, 0, &c.vcpu, &error));
    ck_nv_ok(nestvirt_handler_add(c.vm, NESTVIRT_SPACE_PORT, 0x700, 1, call_back, &c, count_free,
                                  &error));
    guest_start(c.vm);
    ck_assert_uint_eq(guest_wait(c.vm, NULL), NESTVIRT_RESULT_STOPPED);
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(c.codes[i], -EDEADLK);
    ck_assert_int_eq(c.codes[4], 0);
    ck_assert_int_eq(c.codes[5], 0);
    ck_assert_int_eq(c.codes[6], NESTVIRT_STATE_RUNNING);
    ck_assert_int_eq(c.codes[7], -EBUSY);
    ck_assert_uint_ge(c.rip, 0x1000);
    ck_assert_int_eq(c.freed, 0);
    nestvirt_vm_free(c.vm);
    ck_assert_int_eq(c.freed, 1);
}
END_TEST

START_TEST(test_stop_waits_for_a_callback)
{
    struct callback c = { .answer = NESTVIRT_ACTION_RESUME, .blocks = true };

    c.vm = GUEST_NEW(host, ports);
    ck_nv_ok(nestvirt_vm_get_vcpu(c.vm, 0, &c.vcpu, &error));
    ck_nv_ok(
        nestvirt_handler_add(c.vm, NESTVIRT_SPACE_PORT, 0x700, 1, call_back, &c, NULL, &error));
    guest_start(c.vm);
    while (!atomic_load(&c.is_inside))
        usleep(1000);
    ck_nv_fails(nestvirt_vm_stop(c.vm, 50, &error), -ETIMEDOUT);
    ck_nv_fails(nestvirt_vm_wait(c.vm, 50, NULL, &error), -ETIMEDOUT);
    atomic_store(&c.blocks, false);
    ck_assert_uint_eq(guest_wait(c.vm, NULL), NESTVIRT_RESULT_STOPPED);
    nestvirt_vm_free(c.vm);
}
END_TEST

static int32_t answer_exit(void *user_data, struct nestvirt_exit *exit)
{
    uint32_t *reasons = user_data;

    reasons[exit->reason]++;
    if (exit->reason == NESTVIRT_EXIT_PORT && !exit->is_write) {
        exit->data[0] = 0x2a;
        return NESTVIRT_ACTION_RESUME;
    }
    return NESTVIRT_ACTION_DEFAULT;
}

START_TEST(test_exit_handler_answers)
{
    struct nestvirt_vm *vm = GUEST_NEW(host, unclaimed);
    struct nestvirt_vm_result result;
    uint32_t reasons[16] = { 0 };

    ck_nv_ok(nestvirt_vm_set_exit_handler(vm, answer_exit, reasons, NULL, &error));
    guest_start(vm);
    ck_assert_uint_eq(guest_wait(vm, &result), NESTVIRT_RESULT_GUEST_EXIT);
    ck_assert_int_eq(result.exit_code, 0x2a);
    ck_assert_uint_eq(reasons[NESTVIRT_EXIT_PORT], 1);
    nestvirt_vm_free(vm);
}
END_TEST

START_TEST(test_handler_gets_mmio)
{
    struct nestvirt_vm *vm = GUEST_NEW(host, mmio, .mode = NESTVIRT_MODE_PROTECTED);
    struct nestvirt_vm_result result;
    uint8_t seen[2] = { 0 };

    ck_nv_ok(nestvirt_handler_add(vm, NESTVIRT_SPACE_MMIO, 0xd0000000, 0x1000, note_access, seen,
                                  NULL, &error));
    guest_start(vm);
    ck_assert_uint_eq(guest_wait(vm, &result), NESTVIRT_RESULT_GUEST_EXIT);
    ck_assert_int_eq(result.exit_code, 0); /* reads are zeroed before the handler */
    ck_assert_uint_eq(seen[0], 3);
    ck_assert_uint_eq(seen[1], 0x55);
    nestvirt_vm_free(vm);
}
END_TEST

START_TEST(test_hostile_53_no_region_changes_while_running)
{
    struct nestvirt_vm *vm = GUEST_NEW(host, spin);
    struct nestvirt_memory_config config;

    nestvirt_memory_config_init(&config, sizeof(config));
    config.address = 0x10000000;
    config.length = 4096;
    guest_start(vm);
    ck_nv_fails(nestvirt_memory_remove(vm, 0, &error), -EBUSY);
    ck_nv_fails(nestvirt_memory_add(vm, &config, &error), -EBUSY);
    nestvirt_vm_free(vm);
}
END_TEST

Suite *nv_test_suite(void)
{
    Suite *suite = suite_create("kvm_vcpu");
    TCase *tcase = support_case(suite, "vcpu", 60);

    host = support_host();
    tcase_add_test(tcase, test_ports_by_hand);
    tcase_add_test(tcase, test_mmio_by_hand);
    tcase_add_test(tcase, test_halt_and_shutdown_by_hand);
    tcase_add_test(tcase, test_registers);
    tcase_add_test(tcase, test_registers_need_standstill);
    tcase_add_test(tcase, test_no_kick_is_lost);
    tcase_add_test(tcase, test_pause_reaches_manual_vcpu);
    tcase_add_test(tcase, test_kick_signal_does_not_leak);
    tcase_add_test(tcase, test_callers_signals_arrive);
    tcase_add_test(tcase, test_resolve_by_hand);
    tcase_add_test(tcase, test_fixups);
    tcase_add_test(tcase, test_misuse_06_calls_from_a_callback);
    tcase_add_test(tcase, test_stop_waits_for_a_callback);
    tcase_add_test(tcase, test_exit_handler_answers);
    tcase_add_test(tcase, test_handler_gets_mmio);
    tcase_add_test(tcase, test_hostile_53_no_region_changes_while_running);
    return suite;
}
