/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the tests of templates on real KVM: bare guests go on in their clones. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "guests.h"
#include "support.h"

/* Where real-mode guests count, and those in long mode, which have page tables there. */
enum {
    COUNTER = 0x3000,
    LONG_COUNTER = 0x40000,
    LONG_TSC = 0x40010,
    CLOCK = 0x41000,
    MARK = 0x8000
};

static struct nestvirt_host *host;
static uint64_t counter_at = COUNTER;

static uint32_t counter(struct nestvirt_vm *vm)
{
    uint32_t value = 0;

    ck_nv_ok(nestvirt_memory_read(vm, counter_at, &value, sizeof(value), &error));
    return value;
}

static void await_progress(struct nestvirt_vm *vm, uint32_t value)
{
    for (int i = 0; i < 10000 && counter(vm) == value; i++)
        usleep(1000);
    ck_assert_uint_ne(counter(vm), value);
}

static void count_low(void)
{
    counter_at = COUNTER;
}

static void count_high(void)
{
    counter_at = LONG_COUNTER;
}

static struct nestvirt_template *template_of(struct nestvirt_vm *vm, uint32_t flags)
{
    struct nestvirt_template *template;

    ck_nv_ok(nestvirt_template_new(vm, flags, &template, &error));
    return template;
}

static struct nestvirt_vm *clone_of(struct nestvirt_template *template, const char *name)
{
    struct nestvirt_clone_config config;
    struct nestvirt_vm *vm;

    nestvirt_clone_config_init(&config, sizeof(config));
    config.name = name;
    ck_nv_ok(nestvirt_clone_new(template, &config, &vm, &error));
    ck_assert_int_eq(nestvirt_vm_get_state(vm), NESTVIRT_STATE_NEW);
    return vm;
}

/* A spinning guest is paused; its clones count on from there, each for itself, and so does it. */
START_TEST(test_paused)
{
    struct nestvirt_vm *vm = GUEST_NEW(host, spin);
    struct nestvirt_vm *clones[3];
    struct nestvirt_template *template;
    uint32_t value, mark;

    guest_start(vm);
    await_progress(vm, 0);
    ck_nv_ok(nestvirt_vm_pause(vm, &error));
    value = counter(vm);
    template = template_of(vm, 0);
    for (uint32_t i = 0; i < 3; i++) {
        clones[i] = clone_of(template, "clone");
        ck_assert_uint_eq(counter(clones[i]), value);
        ck_nv_ok(nestvirt_vm_build(clones[i], &error));
        ck_assert_uint_eq(counter(clones[i]), value);
        mark = i;
        ck_nv_ok(nestvirt_memory_write(clones[i], MARK, &mark, sizeof(mark), &error));
    }
    ck_assert_int_eq(nestvirt_template_free(template), 0);
    for (uint32_t i = 0; i < 3; i++) {
        ck_nv_ok(nestvirt_vm_start(clones[i], &error));
        await_progress(clones[i], value);
        ck_nv_ok(nestvirt_memory_read(clones[i], MARK, &mark, sizeof(mark), &error));
        ck_assert_uint_eq(mark, i);
    }
    ck_assert_uint_eq(counter(vm), value);
    ck_nv_ok(nestvirt_vm_resume(vm, &error));
    await_progress(vm, value);
    for (uint32_t i = 0; i < 3; i++)
        nestvirt_vm_free(clones[i]);
    nestvirt_vm_free(vm);
}
END_TEST

/* Stopped and started again, a clone goes back to where its template stood. */
START_TEST(test_again)
{
    struct nestvirt_vm *vm = GUEST_NEW(host, spin);
    struct nestvirt_template *template;
    struct nestvirt_vm *clone;
    volatile uint32_t *held;
    void *pointer;
    uint32_t value;

    guest_start(vm);
    await_progress(vm, 0);
    ck_nv_ok(nestvirt_vm_pause(vm, &error));
    value = counter(vm);
    ck_nv_ok(nestvirt_memory_get_pointer(vm, 0x3000, sizeof(value), &pointer, &error));
    template = template_of(vm, NESTVIRT_TEMPLATE_CONSUME);
    held = pointer; /* whoever still has it neither faults nor reaches the template */
    *held = *held + 1000;
    ck_nv_fails(nestvirt_memory_read(vm, 0x3000, &(uint32_t){ 0 }, 4, &error), -EFAULT);
    ck_assert_int_eq(nestvirt_vm_get_state(vm), NESTVIRT_STATE_STOPPED);
    ck_nv_fails(nestvirt_vm_start(vm, &error), -EBUSY);
    nestvirt_vm_free(vm);
    clone = clone_of(template, "clone");
    ck_nv_fails(nestvirt_vm_start(clone, &error), -EBUSY);
    ck_nv_ok(nestvirt_vm_build(clone, &error));
    for (int i = 0; i < 3; i++) {
        ck_nv_ok(nestvirt_vm_start(clone, &error));
        await_progress(clone, value);
        ck_nv_ok(nestvirt_vm_stop(clone, 5000, &error));
        ck_nv_ok(nestvirt_vm_build(clone, &error));
        ck_assert_uint_eq(counter(clone), value);
    }
    nestvirt_vm_free(clone);
    nestvirt_template_free(template);
}
END_TEST

/* What was built and never ran starts from its first instruction. */
START_TEST(test_built)
{
    struct nestvirt_vm *vm = GUEST_NEW(host, exit_code);
    struct nestvirt_template *template;
    struct nestvirt_vm_result result;
    struct nestvirt_vm *clone;

    ck_nv_ok(nestvirt_vm_build(vm, &error));
    template = template_of(vm, 0);
    for (int i = 0; i < 3; i++) {
        clone = clone_of(template, "clone");
        guest_start(clone);
        ck_assert_uint_eq(guest_wait(clone, &result), NESTVIRT_RESULT_GUEST_EXIT);
        ck_assert_int_eq(result.exit_code, 7);
        nestvirt_vm_free(clone);
    }
    ck_nv_ok(nestvirt_vm_start(vm, &error));
    ck_assert_uint_eq(guest_wait(vm, NULL), NESTVIRT_RESULT_GUEST_EXIT);
    nestvirt_vm_free(vm);
    nestvirt_template_free(template);
}
END_TEST

/* A template of a clone, and so on. */
START_TEST(test_generations)
{
    struct nestvirt_vm *vm = GUEST_NEW(host, spin);
    uint32_t value = 0;

    guest_start(vm);
    for (int i = 0; i < 4; i++) {
        struct nestvirt_template *template;

        await_progress(vm, value);
        ck_nv_ok(nestvirt_vm_pause(vm, &error));
        value = counter(vm);
        template = template_of(vm, i % 2 ? NESTVIRT_TEMPLATE_CONSUME : 0);
        nestvirt_vm_free(vm);
        vm = clone_of(template, "next");
        nestvirt_template_free(template);
        ck_assert_uint_eq(counter(vm), value);
        guest_start(vm);
    }
    nestvirt_vm_free(vm);
}
END_TEST

/*
 * A timer that is armed when the state is saved fires in the clone: its deadline is an MSR that the
 * local APIC heeds only when its timer's mode is there already, and the APIC has to be there too.
 */
START_TEST(test_armed_timer)
{
    struct nestvirt_vm *vm = GUEST_NEW(host, deadline, .mode = NESTVIRT_MODE_LONG);
    struct nestvirt_template *template;
    uint32_t value;

    guest_start(vm);
    await_progress(vm, 0);
    for (int i = 0; i < 3; i++) {
        usleep(20000); /* well before the next one */
        ck_nv_ok(nestvirt_vm_pause(vm, &error));
        value = counter(vm);
        template = template_of(vm, NESTVIRT_TEMPLATE_CONSUME);
        nestvirt_vm_free(vm);
        vm = clone_of(template, "clone");
        nestvirt_template_free(template);
        guest_start(vm);
        await_progress(vm, value);
        await_progress(vm, value + 1);
    }
    nestvirt_vm_free(vm);
}
END_TEST

/* The time on kvm-clock in nanoseconds, from its page (Documentation/virt/kvm/x86/msr.rst). */
static uint64_t guest_time(struct nestvirt_vm *vm)
{
    struct {
        uint32_t version, pad;
        uint64_t tsc, time;
        uint32_t scale;
        int8_t shift;
        uint8_t flags, pad2[2];
    } page;
    uint64_t tsc, passed;

    ck_nv_ok(nestvirt_vm_pause(vm, &error));
    ck_nv_ok(nestvirt_memory_read(vm, CLOCK, &page, sizeof(page), &error));
    ck_nv_ok(nestvirt_memory_read(vm, LONG_TSC, &tsc, sizeof(tsc), &error));
    passed = tsc > page.tsc ? tsc - page.tsc : 0;
    passed = page.shift < 0 ? passed >> -page.shift : passed << page.shift;
    return page.time + (uint64_t)((unsigned __int128)passed * page.scale >> 32);
}

/* The clock stands still with the template, and then goes on, in clones too that start late. */
START_TEST(test_clock)
{
    struct nestvirt_vm *vm = GUEST_NEW(host, clock, .mode = NESTVIRT_MODE_LONG);
    const uint64_t slack_ns = 1000000000;
    struct nestvirt_template *template;
    uint64_t before, after;
    uint32_t value;

    guest_start(vm);
    await_progress(vm, 0);
    usleep(3000000); /* so that a clock that begins anew is behind */
    before = guest_time(vm);
    ck_assert_uint_gt(before, 2900000000);
    template = template_of(vm, 0);
    nestvirt_vm_free(vm);
    vm = clone_of(template, "clone");
    ck_nv_ok(nestvirt_vm_build(vm, &error));
    usleep(1500000);
    for (int i = 0; i < 2; i++) {
        value = counter(vm);
        ck_nv_ok(nestvirt_vm_start(vm, &error));
        await_progress(vm, value);
        after = guest_time(vm);
        ck_assert_uint_ge(after, before);
        ck_assert_uint_lt(after, before + slack_ns);
        ck_nv_ok(nestvirt_vm_stop(vm, 5000, &error));
        ck_nv_ok(nestvirt_vm_build(vm, &error));
    }
    nestvirt_vm_free(vm);
    nestvirt_template_free(template);
}
END_TEST

static int make_file(void)
{
    int fd = memfd_create("state", MFD_CLOEXEC | MFD_ALLOW_SEALING);

    ck_assert_int_ge(fd, 0);
    return fd;
}

/* Through a file: copied, sealed and mapped, trusted and mapped. */
START_TEST(test_file)
{
    static const uint32_t flags[] = { 0, 0, NESTVIRT_TEMPLATE_TRUST_FILE };
    struct nestvirt_vm *vm = GUEST_NEW(host, spin);
    struct nestvirt_template *template;
    int fd = make_file();
    uint32_t value;

    guest_start(vm);
    await_progress(vm, 0);
    ck_nv_ok(nestvirt_vm_pause(vm, &error));
    value = counter(vm);
    template = template_of(vm, NESTVIRT_TEMPLATE_CONSUME);
    nestvirt_vm_free(vm);
    ck_nv_ok(nestvirt_template_write(template, NULL, fd, &error));
    nestvirt_template_free(template);
    for (int i = 0; i < 3; i++) {
        if (i == 1)
            ck_assert_int_eq(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_WRITE), 0);
        ck_nv_ok(nestvirt_template_open(host, fd, flags[i], NULL, &template, &error));
        vm = clone_of(template, "restored");
        nestvirt_template_free(template);
        ck_assert_uint_eq(counter(vm), value);
        guest_start(vm);
        await_progress(vm, value);
        nestvirt_vm_free(vm);
    }
    close(fd);
}
END_TEST

/* Only what differs: a clone is saved against its template, and both are read from files. */
START_TEST(test_changes)
{
    struct nestvirt_vm *vm = GUEST_NEW(host, spin);
    struct nestvirt_template *base, *later;
    int full = make_file(), changes = make_file();
    uint32_t value;

    guest_start(vm);
    await_progress(vm, 0);
    ck_nv_ok(nestvirt_vm_pause(vm, &error));
    base = template_of(vm, 0);
    nestvirt_vm_free(vm);
    vm = clone_of(base, "clone");
    guest_start(vm);
    await_progress(vm, counter(vm));
    ck_nv_ok(nestvirt_vm_pause(vm, &error));
    value = counter(vm);
    later = template_of(vm, NESTVIRT_TEMPLATE_CONSUME);
    nestvirt_vm_free(vm);
    ck_nv_ok(nestvirt_template_write(base, NULL, full, &error));
    ck_nv_ok(nestvirt_template_write(later, base, changes, &error));
    nestvirt_template_free(base);
    nestvirt_template_free(later);
    ck_nv_fails(nestvirt_template_open(host, changes, 0, NULL, &later, &error), -EINVAL);
    ck_nv_ok(nestvirt_template_open(host, full, 0, NULL, &base, &error));
    ck_nv_ok(nestvirt_template_open(host, changes, 0, base, &later, &error));
    vm = clone_of(later, "restored");
    nestvirt_template_free(later);
    ck_nv_fails(nestvirt_template_open(host, full, 0, base, &later, &error), -EINVAL);
    ck_assert_ptr_null(later);
    nestvirt_template_free(base);
    ck_assert_uint_eq(counter(vm), value);
    guest_start(vm);
    await_progress(vm, value);
    nestvirt_vm_free(vm);
    close(full);
    close(changes);
}
END_TEST

Suite *nv_test_suite(void)
{
    Suite *suite = suite_create("kvm_template");
    TCase *tcase = support_case(suite, "life", 60);

    host = support_host();
    tcase_add_test(tcase, test_paused);
    tcase_add_test(tcase, test_again);
    tcase_add_test(tcase, test_built);
    tcase_add_test(tcase, test_generations);
    tcase = support_case(suite, "time", 60);
    tcase_add_checked_fixture(tcase, count_high, count_low);
    tcase_add_test(tcase, test_armed_timer);
    tcase_add_test(tcase, test_clock);
    tcase = support_case(suite, "files", 60);
    tcase_add_test(tcase, test_file);
    tcase_add_test(tcase, test_changes);
    return suite;
}
