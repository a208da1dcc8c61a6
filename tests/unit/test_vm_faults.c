/* SPDX-License-Identifier: Apache-2.0 */
/* Proves that each call which fails on the way to a VM gives a clean error and leaves nothing. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/util.h"
#include "fake_kvm.h"
#include "faults.h"
#include "leak.h"
#include "support.h"

enum { PIN = 10, TRIES_MAX = 2000 };

static struct nestvirt_host *host;
static struct nestvirt_vm *vm;
static int kernel = -1, rom = -1, event = -1, pipe_ends[2];

static void make_files(void)
{
    static const uint8_t code[64] = { 0xf4 };

    kernel = memfd_create("kernel", MFD_CLOEXEC);
    event = eventfd(0, EFD_CLOEXEC);
    rom = memfd_create("rom", MFD_CLOEXEC);
    ck_assert_int_ge(kernel, 0);
    ck_assert_int_eq(ftruncate(rom, 4096), 0);
    ck_assert_int_ge(event, 0);
    ck_assert_int_eq(write(kernel, code, sizeof(code)), sizeof(code));
    ck_assert_int_eq(pipe2(pipe_ends, O_CLOEXEC), 0);
}

static void setup(void)
{
    make_files();
    fake_kvm_reset();
    host = fake_kvm_host();
}

static void teardown(void)
{
    ck_assert_int_eq(nestvirt_host_free(host), 0);
    close(kernel);
    close(rom);
    close(event);
    close(pipe_ends[0]);
    close(pipe_ends[1]);
}

/* The steps of configuring a full VM; each is a call of the library that may fail. */
static int add_memory(uint64_t address, uint32_t backing, struct nestvirt_error **e)
{
    struct nestvirt_memory_config config;

    nestvirt_memory_config_init(&config, sizeof(config));
    config.address = address;
    config.length = 1 << 20;
    config.backing = backing;
    return nestvirt_memory_add(vm, &config, e);
}

static int make_vm(struct nestvirt_error **e)
{
    struct nestvirt_vm_config config;

    nestvirt_vm_config_init(&config, sizeof(config));
    config.vcpus = 2;
    config.name = "full";
    return nestvirt_vm_new(host, &config, &vm, e);
}

static int add_low(struct nestvirt_error **e)
{
    return add_memory(0, NESTVIRT_BACKING_ANONYMOUS, e);
}

/* A copied file, with all kinds of advice. */
static int add_file(struct nestvirt_error **e)
{
    struct nestvirt_memory_config config;

    nestvirt_memory_config_init(&config, sizeof(config));
    config.flags = NESTVIRT_MEMORY_READ_ONLY | NESTVIRT_MEMORY_NO_DUMP | NESTVIRT_MEMORY_PREFAULT;
    config.huge_pages = NESTVIRT_HUGE_PAGES_NEVER;
    config.address = 1 << 29;
    config.length = 4096;
    config.backing = NESTVIRT_BACKING_FILE;
    config.fd = rom;
    return nestvirt_memory_add(vm, &config, e);
}

static int add_high(struct nestvirt_error **e)
{
    return add_memory(1 << 30, NESTVIRT_BACKING_MEMFD, e);
}

static int add_serial(struct nestvirt_error **e)
{
    struct nestvirt_device *device;
    int r = nestvirt_device_add(vm, "serial", &device, e);

    /* A failure in between leaves a device without its descriptors: the caller would give up. */
    if (r == 0)
        r = nestvirt_device_set_fd(device, "output", pipe_ends[1], e);
    if (r == 0)
        r = nestvirt_device_set_fd(device, "input", pipe_ends[0], e);
    return r;
}

static int add_reset(struct nestvirt_error **e)
{
    return nestvirt_device_add(vm, "reset", NULL, e);
}

static int add_exit(struct nestvirt_error **e)
{
    return nestvirt_device_add(vm, "exit", NULL, e);
}

static int add_kernel(struct nestvirt_error **e)
{
    struct nestvirt_flat_config config;

    nestvirt_flat_config_init(&config, sizeof(config));
    config.address = config.entry = 0x10000;
    config.mode = NESTVIRT_MODE_LONG;
    return nestvirt_boot_set_flat_fd(vm, kernel, &config, e);
}

static int32_t ignore(void *user_data, struct nestvirt_access *access)
{
    return NESTVIRT_ACTION_RESUME;
}

static int add_handler(struct nestvirt_error **e)
{
    return nestvirt_handler_add(vm, NESTVIRT_SPACE_MMIO, 0xd0001000, 16, ignore, NULL, NULL, e);
}

static int add_irqfd(struct nestvirt_error **e)
{
    int r = nestvirt_irq_add(vm, PIN, 0, NULL);

    return r == PIN || r == -EEXIST ? nestvirt_irqfd_add(vm, PIN, event, e) : r;
}

static int add_ioeventfd(struct nestvirt_error **e)
{
    struct nestvirt_ioeventfd_config config;

    nestvirt_ioeventfd_config_init(&config, sizeof(config));
    config.space = NESTVIRT_SPACE_MMIO;
    config.address = 0xd0000000;
    config.fd = event;
    return nestvirt_ioeventfd_add(vm, &config, e);
}

static int set_threads(struct nestvirt_error **e)
{
    struct nestvirt_thread_config config;

    nestvirt_thread_config_init(&config, sizeof(config));
    config.flags = NESTVIRT_THREAD_SET_NICE;
    config.nice = 1;
    return nestvirt_thread_set(vm, NESTVIRT_THREAD_VCPU, NESTVIRT_THREAD_EVERY, &config, e);
}

static int build(struct nestvirt_error **e)
{
    return nestvirt_vm_build(vm, e);
}

static int (*const steps[])(struct nestvirt_error **e) = {
    make_vm,    add_low,     add_file,  add_high,      add_serial,  add_reset, add_exit,
    add_kernel, add_handler, add_irqfd, add_ioeventfd, set_threads, build,
};

enum { STEPS = NV_ARRAY_SIZE(steps), BUILD = STEPS - 1 };

/* Makes everything up to a step, which is not done. */
static void make_until(size_t step)
{
    vm = NULL;
    for (size_t i = 0; i < step; i++)
        ck_nv_ok(steps[i](&error));
}

static void free_vm(void)
{
    ck_assert_int_eq(nestvirt_vm_free(vm), 0);
    vm = NULL;
}

/* An error that is good for something: the code, the object, and a whole sentence. */
static void check_error(const char *what, unsigned n, int r, const struct nestvirt_error *error,
                        int expected)
{
    ck_assert_msg(r == expected, "%s %u: %d (%s), not %d", what, n, r,
                  nestvirt_error_get_message(error), expected);
    ck_assert_int_eq(nestvirt_error_get_code(error), r);
    ck_assert_msg(strlen(nestvirt_error_get_message(error)) > 15, "%s %u: \"%s\"", what, n,
                  nestvirt_error_get_message(error));
}

static void check_leak(const char *what, unsigned n, const struct leak_count *before)
{
    char text[256];

    ck_assert_msg(!leak_compare(before, text, sizeof(text)), "%s %u: %s", what, n, text);
}

/* After a failed build everything is as before it: build works now, and so does the VM. */
static void check_usable(void)
{
    struct nestvirt_loop *loop = NULL;

    ck_assert_int_eq(nestvirt_vm_get_state(vm), NESTVIRT_STATE_NEW);
    ck_nv_ok(nestvirt_vm_validate(vm, &error));
    ck_nv_ok(nestvirt_loop_new(&loop, &error));
    ck_nv_ok(nestvirt_vm_set_loop(vm, loop, &error)); /* no loop of the failed build is left */
    ck_assert_int_eq(nestvirt_loop_free(loop), 0);
    ck_nv_ok(nestvirt_vm_build(vm, &error));
    ck_nv_ok(nestvirt_vm_start(vm, &error));
    ck_nv_ok(nestvirt_vm_stop(vm, -1, &error));
}

START_TEST(test_fault_11_each_kvm_call_of_build)
{
    static const int errors[] = { ENOMEM, EMFILE, ENOSPC };
    struct leak_count before;
    unsigned n = 1;

    for (; n < TRIES_MAX; n++) {
        struct nestvirt_error *failure = NULL;
        int error_number = errors[n % NV_ARRAY_SIZE(errors)];
        int r;

        make_until(BUILD);
        before = leak_count();
        fake_kvm_fail(n, error_number);
        r = build(&failure);
        if (!fake_kvm_has_failed()) {
            ck_assert_int_eq(r, 0);
            break;
        }
        fake_kvm_fail(0, 0);
        check_error("KVM call", n, r, failure, -error_number);
        ck_assert_ptr_nonnull(strstr(nestvirt_error_get_object(failure), "vm full"));
        nestvirt_error_free(failure);
        check_leak("KVM call", n, &before);
        check_usable();
        free_vm();
        fake_kvm_reset();
    }
    fake_kvm_fail(0, 0);
    free_vm();
    ck_assert_uint_ge(n, 20); /* all of them were reached */
    ck_assert_uint_lt(n, TRIES_MAX);
}
END_TEST

/* A start that failed did not replace what the last run ended with. */
static void check_last_result(void)
{
    struct nestvirt_vm_result result;

    nestvirt_vm_result_init(&result, sizeof(result));
    ck_nv_ok(nestvirt_vm_wait(vm, 0, &result, &error));
    ck_assert_uint_eq(result.reason, NESTVIRT_RESULT_STOPPED);
}

START_TEST(test_fault_11_each_kvm_call_of_start_again)
{
    unsigned n = 1;

    for (; n < TRIES_MAX; n++) {
        struct nestvirt_error *failure = NULL;
        int r;

        make_until(STEPS);
        ck_nv_ok(nestvirt_vm_start(vm, &error));
        ck_nv_ok(nestvirt_vm_stop(vm, -1, &error));
        fake_kvm_fail(n, ENOMEM);
        r = nestvirt_vm_start(vm, &failure);
        if (!fake_kvm_has_failed()) {
            ck_assert_int_eq(r, 0);
            break;
        }
        fake_kvm_fail(0, 0);
        if (r < 0) {
            check_error("KVM call", n, r, failure, -ENOMEM);
            ck_assert_int_eq(nestvirt_vm_get_state(vm), NESTVIRT_STATE_FAILED);
            check_last_result();
        }
        nestvirt_error_free(failure);
        if (r < 0)
            ck_nv_ok(nestvirt_vm_start(vm, &error));
        ck_nv_ok(nestvirt_vm_stop(vm, -1, &error));
        free_vm();
        fake_kvm_reset();
    }
    fake_kvm_fail(0, 0);
    free_vm();
    ck_assert_uint_ge(n, 20);
    ck_assert_uint_lt(n, TRIES_MAX);
}
END_TEST

START_TEST(test_fault_11_each_kvm_call_of_host_open)
{
    unsigned n = 1;

    for (; n < TRIES_MAX; n++) {
        struct nestvirt_host *other = NULL;
        struct nestvirt_error *error = NULL;
        struct leak_count before = leak_count();
        int r;

        fake_kvm_fail(n, EMFILE);
        r = nv_host_open(&fake_kvm_ops, "fake", -1, &other, &error);
        if (r == 0)
            ck_assert_int_eq(nestvirt_host_free(other), 0);
        else
            ck_assert_int_gt(strlen(nestvirt_error_get_message(error)), 15);
        nestvirt_error_free(error);
        check_leak("KVM call", n, &before);
        if (!fake_kvm_has_failed())
            break;
    }
    fake_kvm_fail(0, 0);
    ck_assert_uint_ge(n, 15);
    ck_assert_uint_lt(n, TRIES_MAX);
}
END_TEST

/* KVM_CREATE_VM and others may be interrupted, and are tried again. */
START_TEST(test_fault_16_interrupted_calls_are_repeated)
{
    unsigned n = 1;

    for (; n < TRIES_MAX; n++) {
        int fd;

        make_until(BUILD);
        fake_kvm_fail(n, EINTR);
        fd = nestvirt_vm_build(vm, NULL);
        if (!fake_kvm_has_failed())
            break;
        /* Mapping is no ioctl and is not interrupted. */
        ck_assert_msg(fd == 0 || fd == -EINTR, "KVM call %u: %d", n, fd);
        free_vm();
        fake_kvm_reset();
    }
    fake_kvm_fail(0, 0);
    free_vm();
    fake_kvm_fail_request(KVM_CREATE_VM, EINTR); /* but not for ever */
    make_until(BUILD);
    ck_nv_fails(build(&error), -EINTR);
    free_vm();
}
END_TEST

/* How often each call must be met, at least, over all steps; 0: it is not made on this way. */
static const unsigned least[FAULT_CALLS] = {
    [FAULT_MALLOC] = 12,      [FAULT_MMAP] = 2,      [FAULT_MADVISE] = 2, [FAULT_EVENTFD] = 1,
    [FAULT_EPOLL_CREATE] = 1, [FAULT_EPOLL_CTL] = 2, [FAULT_THREAD] = 3,  [FAULT_MEMFD] = 1,
    [FAULT_FCNTL] = 8,        [FAULT_FTRUNCATE] = 1, [FAULT_PREAD] = 1,   [FAULT_FSTAT] = 2,
};

/* Fails call n of one step. Returns false if the step makes fewer calls. */
static bool fail_step(enum fault_call call, size_t step, unsigned n)
{
    struct nestvirt_error *failure = NULL;
    struct leak_count before;
    bool has_happened;
    int r;

    make_until(step);
    before = leak_count();
    faults_arm(call, n);
    r = steps[step](&failure);
    has_happened = faults_disarm();
    if (has_happened && r < 0) {
        ck_assert_int_eq(nestvirt_error_get_code(failure),
                         failure && nestvirt_error_get_errno(failure) == ENOMEM ? -ENOMEM : r);
        ck_assert_msg(strlen(nestvirt_error_get_message(failure)) > 15, "%s %u of step %zu: \"%s\"",
                      fault_names[call], n, step, nestvirt_error_get_message(failure));
        if (steps[step] != add_serial)
            check_leak(fault_names[call], n, &before);
        if (step == BUILD)
            check_usable();
        else if (steps[step] == make_vm)
            ck_assert_ptr_null(vm);
        else if (steps[step] != add_serial)
            ck_nv_ok(steps[step](&error)); /* the same again works */
    } else if (!has_happened) {
        ck_assert_msg(r >= 0, "step %zu: %d (%s)", step, r, nestvirt_error_get_message(failure));
    }
    nestvirt_error_free(failure);
    free_vm();
    fake_kvm_reset();
    return has_happened;
}

START_TEST(test_fault_11_each_system_call)
{
    enum fault_call call = (enum fault_call)_i;
    unsigned total = 0;

    for (size_t step = 0; step < STEPS; step++)
        for (unsigned n = 1; n < TRIES_MAX && fail_step(call, step, n); n++)
            total++;
    ck_assert_msg(total >= least[call], "%s was met %u times, not %u", fault_names[call], total,
                  least[call]);
    ck_assert_uint_lt(total, TRIES_MAX);
}
END_TEST

/* An error object that cannot be made is a static one, with a text all the same. */
START_TEST(test_no_memory_for_the_error)
{
    struct nestvirt_error *error = NULL;
    int r;

    faults_arm(FAULT_MALLOC, 1);
    r = nestvirt_host_open("/nonexistent", NULL, &error);
    ck_assert(faults_disarm());
    ck_assert_int_eq(r, -EFAULT);
    ck_assert_ptr_nonnull(error);
    ck_assert_int_eq(nestvirt_error_get_code(error), -ENOMEM);
    ck_assert_int_eq(nestvirt_error_get_errno(error), ENOMEM);
    ck_assert_ptr_nonnull(strstr(nestvirt_error_get_message(error), "out of memory"));
    ck_assert_str_eq(nestvirt_error_get_object(error), "");
    ck_assert_ptr_null(nestvirt_error_get_next(error));
    nestvirt_error_free(error);
    nestvirt_error_free(error); /* it is nobody's */
}
END_TEST

Suite *nv_test_suite(void)
{
    Suite *suite = suite_create("vm_faults");
    TCase *tcase = support_case(suite, "faults", 300);

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, test_fault_11_each_kvm_call_of_build);
    tcase_add_test(tcase, test_fault_11_each_kvm_call_of_start_again);
    tcase_add_test(tcase, test_fault_11_each_kvm_call_of_host_open);
    tcase_add_test(tcase, test_fault_16_interrupted_calls_are_repeated);
    tcase_add_loop_test(tcase, test_fault_11_each_system_call, 0, FAULT_CALLS);
    tcase_add_test(tcase, test_no_memory_for_the_error);
    return suite;
}
