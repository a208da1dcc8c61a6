/* SPDX-License-Identifier: Apache-2.0 */
/* Proves what each exit leads to: handlers, the exit callback and defaults. */
#include <errno.h>
#include <string.h>

#include "fake_kvm.h"
#include "support.h"

enum { PORT = 0x700, WAIT_MS = 20000 };
static const uint64_t MMIO = 0xd0000000;

static struct nestvirt_host *host;
static struct nestvirt_vm *vm;
static struct nestvirt_vcpu *vcpu;

static void make(uint32_t flags, uint32_t chip, uint32_t vcpus)
{
    fake_kvm_reset();
    host = fake_kvm_host();
    vm = fake_kvm_vm(host, flags, chip, vcpus);
    ck_nv_ok(nestvirt_vm_get_vcpu(vm, 0, &vcpu, &error));
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

/* What handlers and callbacks saw, and what they answer. */
static struct {
    unsigned count;
    struct nestvirt_access access[8];
    struct nestvirt_exit exit;
    uint8_t answer[8];
    int32_t action;
} seen;

static int32_t on_access(void *user_data, struct nestvirt_access *access)
{
    seen.access[seen.count++ % 8] = *access;
    if (!access->is_write)
        memcpy(access->data, seen.answer, sizeof(access->data));
    return seen.action;
}

static int32_t on_exit_callback(void *user_data, struct nestvirt_exit *exit)
{
    seen.count++;
    seen.exit = *exit;
    if (exit->reason == NESTVIRT_EXIT_PORT && !exit->is_write)
        memcpy(exit->data, seen.answer, sizeof(exit->data));
    return seen.action;
}

static void forget(int32_t action)
{
    memset(&seen, 0, sizeof(seen));
    seen.action = action;
    memcpy(seen.answer, "\x11\x22\x33\x44\x55\x66\x77\x88", 8);
}

START_TEST(test_handler_sees_the_access)
{
    const struct fake_exit write = {
        .reason = KVM_EXIT_MMIO, .address = MMIO + 8, .length = 4, .is_write = true, .data = "abcd"
    };
    const struct fake_exit read = { .reason = KVM_EXIT_MMIO, .address = MMIO, .length = 8 };
    const struct fake_exit *answered;

    make(0, NESTVIRT_CHIP_SPLIT, 2);
    forget(NESTVIRT_ACTION_RESUME);
    ck_assert_int_eq(
        nestvirt_handler_add(vm, NESTVIRT_SPACE_MMIO, MMIO, 16, on_access, NULL, NULL, NULL), 0);
    fake_kvm_push(0, 1, &write);
    answered = fake_kvm_push(0, 1, &read);
    run();
    ck_assert(fake_kvm_wait_idle(0, 1));
    ck_assert_uint_eq(seen.count, 2);
    ck_assert_uint_eq(seen.access[0].size, sizeof(seen.access[0]));
    ck_assert_uint_eq(seen.access[0].space, NESTVIRT_SPACE_MMIO);
    ck_assert_uint_eq(seen.access[0].vcpu, 1);
    ck_assert_uint_eq(seen.access[0].address, MMIO + 8);
    ck_assert_uint_eq(seen.access[0].offset, 8);
    ck_assert_uint_eq(seen.access[0].length, 4);
    ck_assert_uint_eq(seen.access[0].is_write, 1);
    ck_assert_mem_eq(seen.access[0].data, "abcd\0\0\0\0", 8);
    ck_assert_uint_eq(seen.access[1].is_write, 0);
    ck_assert_mem_eq(seen.access[1].data, "\0\0\0\0\0\0\0\0", 8); /* zeroed beforehand */
    ck_assert_mem_eq(answered->data, seen.answer, 8);
}
END_TEST

START_TEST(test_string_access_gives_each_element)
{
    const struct fake_exit write = { .reason = KVM_EXIT_IO,
                                     .address = PORT,
                                     .length = 2,
                                     .count = 3,
                                     .is_write = true,
                                     .data = "aabbcc" };
    const struct fake_exit read = {
        .reason = KVM_EXIT_IO, .address = PORT, .length = 4, .count = 2
    };
    const struct fake_exit *answered;

    make(0, NESTVIRT_CHIP_SPLIT, 1);
    forget(NESTVIRT_ACTION_RESUME);
    ck_assert_int_eq(
        nestvirt_handler_add(vm, NESTVIRT_SPACE_PORT, PORT, 4, on_access, NULL, NULL, NULL), 0);
    fake_kvm_push(0, 0, &write);
    answered = fake_kvm_push(0, 0, &read);
    run();
    ck_assert(fake_kvm_wait_idle(0, 0));
    ck_assert_uint_eq(seen.count, 5);
    ck_assert_mem_eq(seen.access[0].data, "aa", 3);
    ck_assert_mem_eq(seen.access[1].data, "bb", 3);
    ck_assert_mem_eq(seen.access[2].data, "cc", 3);
    ck_assert_mem_eq(answered->data, "\x11\x22\x33\x44\x11\x22\x33\x44\x5a", 9);
}
END_TEST

START_TEST(test_unclaimed_accesses)
{
    const struct fake_exit read = { .reason = KVM_EXIT_MMIO, .address = MMIO, .length = 4 };
    const struct fake_exit *port;
    const struct fake_exit *mmio;

    make(0, NESTVIRT_CHIP_SPLIT, 1);
    port = fake_kvm_push_in(0, 0, PORT);
    mmio = fake_kvm_push(0, 0, &read);
    fake_kvm_push_out(0, 0, PORT, 1);
    run();
    ck_assert(fake_kvm_wait_idle(0, 0));
    ck_assert_mem_eq(port->data, "\xff\x5a", 2);
    ck_assert_mem_eq(mmio->data, "\xff\xff\xff\xff\0\0\0\0", 8);
    ck_assert_int_eq(nestvirt_vm_get_state(vm), NESTVIRT_STATE_RUNNING);
}
END_TEST

/* DEFAULT from a handler is as if it were not there. */
START_TEST(test_handler_that_declines)
{
    const struct fake_exit *answered;

    make(0, NESTVIRT_CHIP_SPLIT, 1);
    forget(NESTVIRT_ACTION_DEFAULT);
    ck_assert_int_eq(
        nestvirt_handler_add(vm, NESTVIRT_SPACE_PORT, PORT, 4, on_access, NULL, NULL, NULL), 0);
    answered = fake_kvm_push_in(0, 0, PORT);
    run();
    ck_assert(fake_kvm_wait_idle(0, 0));
    ck_assert_uint_eq(seen.count, 1);
    ck_assert_uint_eq(answered->data[0], 0xff);
}
END_TEST

/* What the kernel shares is not believed: sizes that do not fit touch nothing. */
START_TEST(test_impossible_accesses)
{
    const struct fake_exit mmio = { .reason = KVM_EXIT_MMIO, .address = MMIO, .length = 9 };
    const struct fake_exit port = {
        .reason = KVM_EXIT_IO, .address = PORT, .length = 8, .is_write = true
    };

    make(0, NESTVIRT_CHIP_SPLIT, 1);
    forget(NESTVIRT_ACTION_RESUME);
    ck_nv_ok(nestvirt_vm_set_exit_handler(vm, on_exit_callback, NULL, NULL, &error));
    fake_kvm_push(0, 0, &mmio);
    fake_kvm_push(0, 0, &port);
    run();
    ck_assert(fake_kvm_wait_idle(0, 0));
    ck_assert_uint_eq(seen.count, 0);
}
END_TEST

START_TEST(test_exit_callback_answers)
{
    const struct fake_exit *answered;

    make(0, NESTVIRT_CHIP_SPLIT, 1);
    forget(NESTVIRT_ACTION_RESUME);
    ck_nv_ok(nestvirt_vm_set_exit_handler(vm, on_exit_callback, NULL, NULL, &error));
    answered = fake_kvm_push_in(0, 0, PORT);
    run();
    ck_assert(fake_kvm_wait_idle(0, 0));
    ck_assert_uint_eq(answered->data[0], 0x11);
    ck_assert_uint_eq(seen.exit.size, sizeof(seen.exit));
    ck_assert_uint_eq(seen.exit.reason, NESTVIRT_EXIT_PORT);
    ck_assert_uint_eq(seen.exit.address, PORT);
    ck_assert_uint_eq(seen.exit.length, 1);
    ck_assert_uint_eq(seen.exit.is_write, 0);
}
END_TEST

START_TEST(test_exit_callback_stops)
{
    struct nestvirt_vm_result result;

    make(0, NESTVIRT_CHIP_SPLIT, 1);
    forget(NESTVIRT_ACTION_STOP);
    ck_nv_ok(nestvirt_vm_set_exit_handler(vm, on_exit_callback, NULL, NULL, &error));
    fake_kvm_push_reason(0, 0, KVM_EXIT_INTERNAL_ERROR);
    run();
    nestvirt_vm_result_init(&result, sizeof(result));
    ck_nv_ok(nestvirt_vm_wait(vm, WAIT_MS, &result, &error));
    ck_assert_uint_eq(result.reason, NESTVIRT_RESULT_STOPPED);
    ck_assert_int_eq(nestvirt_vm_get_state(vm), NESTVIRT_STATE_STOPPED);
}
END_TEST

START_TEST(test_exit_callback_resolves_an_internal_error)
{
    const struct fake_exit debug = { .reason = KVM_EXIT_DEBUG, .code = 1 };

    make(0, NESTVIRT_CHIP_SPLIT, 1);
    forget(NESTVIRT_ACTION_RESUME);
    ck_nv_ok(nestvirt_vm_set_exit_handler(vm, on_exit_callback, NULL, NULL, &error));
    fake_kvm_push_reason(0, 0, KVM_EXIT_INTERNAL_ERROR);
    fake_kvm_push(0, 0, &debug);
    run();
    ck_assert(fake_kvm_wait_idle(0, 0));
    ck_assert_uint_eq(seen.count, 2);
    ck_assert_uint_eq(seen.exit.reason, NESTVIRT_EXIT_DEBUG);
    ck_assert_uint_eq(seen.exit.code, 1);
    ck_assert_int_eq(nestvirt_vm_get_state(vm), NESTVIRT_STATE_RUNNING);
}
END_TEST

START_TEST(test_entry_failure_and_unknown_exits_end_the_run)
{
    const struct fake_exit entry = { .reason = KVM_EXIT_FAIL_ENTRY, .code = 0x80000021 };
    const struct fake_exit unknown = { .reason = 4711 };
    struct nestvirt_vm_result result;

    make(0, NESTVIRT_CHIP_SPLIT, 1);
    fake_kvm_push(0, 0, &entry);
    fake_kvm_push(1, 0, &unknown);
    run();
    nestvirt_vm_result_init(&result, sizeof(result));
    ck_nv_ok(nestvirt_vm_wait(vm, WAIT_MS, &result, &error));
    ck_assert_uint_eq(result.reason, NESTVIRT_RESULT_INTERNAL_ERROR);
    ck_assert_uint_eq(result.suberror, 0x80000021);
    ck_nv_ok(nestvirt_vm_start(vm, &error));
    ck_nv_ok(nestvirt_vm_wait(vm, WAIT_MS, &result, &error));
    ck_assert_uint_eq(result.suberror, 4711);
}
END_TEST

/* Without a chip nothing wakes a halted vCPU: when all halt, the VM ends. */
START_TEST(test_halt_without_a_chip)
{
    struct nestvirt_vm_result result;

    make(0, NESTVIRT_CHIP_NONE, 2);
    nestvirt_vm_result_init(&result, sizeof(result));
    fake_kvm_push_reason(FAKE_ANY_VM, 0, KVM_EXIT_HLT);
    run();
    ck_nv_fails(nestvirt_vm_wait(vm, 30, &result, &error), -ETIMEDOUT);
    ck_nv_ok(nestvirt_vm_pause(vm, &error));
    ck_nv_ok(nestvirt_vm_resume(vm, &error));
    fake_kvm_push_reason(0, 1, KVM_EXIT_HLT);
    ck_nv_ok(nestvirt_vm_wait(vm, WAIT_MS, &result, &error));
    ck_assert_uint_eq(result.reason, NESTVIRT_RESULT_GUEST_HALT);
    ck_nv_ok(nestvirt_vm_start(vm, &error)); /* halts do not count on */
    ck_nv_fails(nestvirt_vm_wait(vm, 30, &result, &error), -ETIMEDOUT);
}
END_TEST

/* The instructions interpreted hosts refuse; only with NESTVIRT_VM_FIXUPS. */
static const struct {
    uint8_t bytes[3];
    uint8_t length;
    uint64_t clear, set;
    bool injects;
} fixups[] = {
    { { 0xcc }, 1, 0, 0, true },
    { { 0x9b }, 1, 0, 0, false },
    { { 0x0f, 0x01, 0xca }, 3, 1 << 18, 0, false },
    { { 0x0f, 0x01, 0xcb }, 3, 0, 1 << 18, false },
};

static void fail_at(const uint8_t *code, size_t length, uint64_t suberror)
{
    const struct fake_exit exit = { .reason = KVM_EXIT_INTERNAL_ERROR, .code = suberror };

    ck_nv_ok(nestvirt_vm_build(vm, &error));
    ck_nv_ok(nestvirt_memory_write(vm, 0x3000, code, length, &error));
    fake_kvm_set_rip(0, 0, 0x3000);
    fake_kvm_push(0, 0, &exit);
    ck_nv_ok(nestvirt_vm_start(vm, &error));
}

START_TEST(test_fixups)
{
    struct kvm_regs regs;

    make(NESTVIRT_VM_FIXUPS, NESTVIRT_CHIP_SPLIT, 1);
    fail_at(fixups[_i].bytes, fixups[_i].length, KVM_INTERNAL_ERROR_EMULATION);
    ck_assert(fake_kvm_wait_idle(0, 0));
    regs = fake_kvm_regs(0, 0);
    ck_assert_uint_eq(regs.rip, 0x3000u + fixups[_i].length);
    ck_assert_uint_eq(regs.rflags & fixups[_i].clear, 0);
    ck_assert_uint_eq(regs.rflags & fixups[_i].set, fixups[_i].set);
    ck_assert_uint_eq(fake_kvm_events(0, 0).exception.injected, fixups[_i].injects);
    if (fixups[_i].injects)
        ck_assert_uint_eq(fake_kvm_events(0, 0).exception.nr, 3);
    ck_assert_int_eq(nestvirt_vm_get_state(vm), NESTVIRT_STATE_RUNNING);
}
END_TEST

START_TEST(test_no_fixups_for_others)
{
    static const uint8_t popcnt[] = { 0xf3, 0x0f, 0xb8 };
    uint32_t flags = _i == 0 ? 0 : NESTVIRT_VM_FIXUPS;
    const uint8_t *code = _i == 1 ? popcnt : fixups[0].bytes;

    make(flags, NESTVIRT_CHIP_SPLIT, 1);
    fail_at(code, 3, _i == 2 ? KVM_INTERNAL_ERROR_EMULATION + 1 : KVM_INTERNAL_ERROR_EMULATION);
    ck_nv_ok(nestvirt_vm_wait(vm, WAIT_MS, NULL, &error));
    ck_assert_int_eq(nestvirt_vm_get_state(vm), NESTVIRT_STATE_FAILED);
    ck_assert_uint_eq(fake_kvm_regs(0, 0).rip, 0x3000);
}
END_TEST

Suite *nv_test_suite(void)
{
    Suite *suite = suite_create("vm_run");
    TCase *tcase = support_case(suite, "run", 60);

    tcase_add_checked_fixture(tcase, NULL, teardown);
    tcase_add_test(tcase, test_handler_sees_the_access);
    tcase_add_test(tcase, test_string_access_gives_each_element);
    tcase_add_test(tcase, test_unclaimed_accesses);
    tcase_add_test(tcase, test_handler_that_declines);
    tcase_add_test(tcase, test_impossible_accesses);
    tcase_add_test(tcase, test_exit_callback_answers);
    tcase_add_test(tcase, test_exit_callback_stops);
    tcase_add_test(tcase, test_exit_callback_resolves_an_internal_error);
    tcase_add_test(tcase, test_entry_failure_and_unknown_exits_end_the_run);
    tcase_add_test(tcase, test_halt_without_a_chip);
    tcase_add_loop_test(tcase, test_fixups, 0, 4);
    tcase_add_loop_test(tcase, test_no_fixups_for_others, 0, 3);
    return suite;
}
