/* SPDX-License-Identifier: Apache-2.0 */
/* Proves which call is allowed in which state, and what the states do, on a fake KVM. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "fake_kvm.h"
#include "support.h"

enum { STATES = 6, PIN = 10, PORT = 0x700 };

/* A VM with one of each, in a chosen state. */
struct subject {
    struct nestvirt_host *host;
    struct nestvirt_vm *vm;
    struct nestvirt_vcpu *vcpu;
    struct nestvirt_device *device;
    struct nestvirt_loop *loop;
    int handler;
    int event;
};

static int32_t answer_zero(void *user_data, struct nestvirt_access *access)
{
    return NESTVIRT_ACTION_RESUME;
}

static void subject_start(struct subject *s, int state)
{
    struct nestvirt_vm_result result;

    if (state == NESTVIRT_STATE_FAILED)
        fake_kvm_push_reason(0, 0, KVM_EXIT_INTERNAL_ERROR);
    ck_nv_ok(nestvirt_vm_start(s->vm, &error));
    nestvirt_vm_result_init(&result, sizeof(result));
    if (state == NESTVIRT_STATE_PAUSED)
        ck_nv_ok(nestvirt_vm_pause(s->vm, &error));
    if (state == NESTVIRT_STATE_STOPPED)
        ck_nv_ok(nestvirt_vm_stop(s->vm, -1, &error));
    if (state == NESTVIRT_STATE_FAILED)
        ck_nv_ok(nestvirt_vm_wait(s->vm, 20000, &result, &error));
}

static void subject_init(struct subject *s, uint32_t flags, int state)
{
    fake_kvm_reset();
    s->host = fake_kvm_host();
    s->vm = fake_kvm_vm(s->host, flags, NESTVIRT_CHIP_SPLIT, 1);
    s->event = eventfd(0, EFD_CLOEXEC);
    ck_nv_ok(nestvirt_loop_new(&s->loop, &error));
    ck_nv_ok(nestvirt_vm_get_vcpu(s->vm, 0, &s->vcpu, &error));
    ck_nv_ok(nestvirt_device_add(s->vm, "exit", &s->device, &error));
    ck_nv_ok(nestvirt_irq_add(s->vm, PIN, 0, &error));
    s->handler =
        nestvirt_handler_add(s->vm, NESTVIRT_SPACE_PORT, PORT, 4, answer_zero, NULL, NULL, NULL);
    ck_assert_int_ge(s->handler, 0);
    if (state > NESTVIRT_STATE_NEW)
        ck_nv_ok(nestvirt_vm_build(s->vm, &error));
    if (state > NESTVIRT_STATE_BUILT)
        subject_start(s, state);
    ck_assert_int_eq(nestvirt_vm_get_state(s->vm), state);
}

static void subject_end(struct subject *s)
{
    ck_assert_int_eq(nestvirt_vm_free(s->vm), 0);
    ck_assert_int_eq(nestvirt_loop_free(s->loop), 0);
    ck_assert_int_eq(nestvirt_host_free(s->host), 0);
    close(s->event);
}

static int do_validate(struct subject *s, struct nestvirt_error **e)
{
    return nestvirt_vm_validate(s->vm, e);
}

static int do_build(struct subject *s, struct nestvirt_error **e)
{
    return nestvirt_vm_build(s->vm, e);
}

static int do_start(struct subject *s, struct nestvirt_error **e)
{
    return nestvirt_vm_start(s->vm, e);
}

static int do_pause(struct subject *s, struct nestvirt_error **e)
{
    return nestvirt_vm_pause(s->vm, e);
}

static int do_resume(struct subject *s, struct nestvirt_error **e)
{
    return nestvirt_vm_resume(s->vm, e);
}

static int do_request_stop(struct subject *s, struct nestvirt_error **e)
{
    return nestvirt_vm_request_stop(s->vm, e);
}

static int do_stop(struct subject *s, struct nestvirt_error **e)
{
    return nestvirt_vm_stop(s->vm, 20000, e);
}

static int do_wait(struct subject *s, struct nestvirt_error **e)
{
    return nestvirt_vm_wait(s->vm, 0, NULL, e);
}

static int do_set_loop(struct subject *s, struct nestvirt_error **e)
{
    return nestvirt_vm_set_loop(s->vm, s->loop, e);
}

static void log_nothing(void *user_data, uint32_t level, const char *text)
{
}

static int do_set_log(struct subject *s, struct nestvirt_error **e)
{
    return nestvirt_vm_set_log(s->vm, NESTVIRT_LOG_DEBUG, log_nothing, NULL, NULL, e);
}

static int32_t resume_exit(void *user_data, struct nestvirt_exit *exit)
{
    return NESTVIRT_ACTION_RESUME;
}

static int do_set_exit_handler(struct subject *s, struct nestvirt_error **e)
{
    return nestvirt_vm_set_exit_handler(s->vm, resume_exit, NULL, NULL, e);
}

static int do_next_event(struct subject *s, struct nestvirt_error **e)
{
    struct nestvirt_event event;

    nestvirt_event_init(&event, sizeof(event));
    return nestvirt_vm_next_event(s->vm, &event, e);
}

static int do_event_fd(struct subject *s, struct nestvirt_error **e)
{
    return nestvirt_vm_get_event_fd(s->vm, e);
}

static int do_memory_add(struct subject *s, struct nestvirt_error **e)
{
    struct nestvirt_memory_config config;

    nestvirt_memory_config_init(&config, sizeof(config));
    config.address = 1 << 30;
    config.length = 4096;
    return nestvirt_memory_add(s->vm, &config, e);
}

static int do_memory_remove(struct subject *s, struct nestvirt_error **e)
{
    return nestvirt_memory_remove(s->vm, 0, e);
}

static int do_memory_get(struct subject *s, struct nestvirt_error **e)
{
    struct nestvirt_memory_config config;

    nestvirt_memory_config_init(&config, sizeof(config));
    return nestvirt_memory_get(s->vm, 0, &config, e);
}

static int do_memory_read(struct subject *s, struct nestvirt_error **e)
{
    char bytes[8];

    return nestvirt_memory_read(s->vm, 0x1000, bytes, sizeof(bytes), e);
}

static int do_memory_write(struct subject *s, struct nestvirt_error **e)
{
    return nestvirt_memory_write(s->vm, 0x1000, "12345678", 8, e);
}

static int do_memory_pointer(struct subject *s, struct nestvirt_error **e)
{
    void *pointer;

    return nestvirt_memory_get_pointer(s->vm, 0x1000, 8, &pointer, e);
}

static int do_get_vcpu(struct subject *s, struct nestvirt_error **e)
{
    struct nestvirt_vcpu *vcpu;

    return nestvirt_vm_get_vcpu(s->vm, 0, &vcpu, e);
}

static int do_cpuid_mask(struct subject *s, struct nestvirt_error **e)
{
    return nestvirt_vm_add_cpuid_mask(s->vm, 1, 0, 2, 1, 0, e);
}

static int do_get_regs(struct subject *s, struct nestvirt_error **e)
{
    struct nestvirt_regs regs;

    nestvirt_regs_init(&regs, sizeof(regs));
    return nestvirt_vcpu_get_regs(s->vcpu, &regs, e);
}

static int do_set_regs(struct subject *s, struct nestvirt_error **e)
{
    struct nestvirt_regs regs;

    nestvirt_regs_init(&regs, sizeof(regs));
    return nestvirt_vcpu_set_regs(s->vcpu, &regs, e);
}

static int do_get_sregs(struct subject *s, struct nestvirt_error **e)
{
    struct nestvirt_sregs sregs;

    nestvirt_sregs_init(&sregs, sizeof(sregs));
    return nestvirt_vcpu_get_sregs(s->vcpu, &sregs, e);
}

static int do_set_sregs(struct subject *s, struct nestvirt_error **e)
{
    struct nestvirt_sregs sregs;

    nestvirt_sregs_init(&sregs, sizeof(sregs));
    return nestvirt_vcpu_set_sregs(s->vcpu, &sregs, e);
}

static int do_get_msr(struct subject *s, struct nestvirt_error **e)
{
    uint64_t value;

    return nestvirt_vcpu_get_msr(s->vcpu, 0x174, &value, e);
}

static int do_set_msr(struct subject *s, struct nestvirt_error **e)
{
    return nestvirt_vcpu_set_msr(s->vcpu, 0x174, 1, e);
}

static int do_inject(struct subject *s, struct nestvirt_error **e)
{
    return nestvirt_vcpu_inject_exception(s->vcpu, 6, 0, 0, e);
}

static int do_skip(struct subject *s, struct nestvirt_error **e)
{
    return nestvirt_vcpu_skip(s->vcpu, 1, e);
}

static int do_run(struct subject *s, struct nestvirt_error **e)
{
    struct nestvirt_exit exit;

    nestvirt_exit_init(&exit, sizeof(exit));
    return nestvirt_vcpu_run(s->vcpu, &exit, e);
}

static int do_cancel(struct subject *s, struct nestvirt_error **e)
{
    return nestvirt_vcpu_cancel(s->vcpu, e);
}

static int do_device_add(struct subject *s, struct nestvirt_error **e)
{
    return nestvirt_device_add(s->vm, "reset", NULL, e);
}

static int do_device_set(struct subject *s, struct nestvirt_error **e)
{
    return nestvirt_device_set_u64(s->device, "port", 0x900, e);
}

static int do_device_get(struct subject *s, struct nestvirt_error **e)
{
    uint64_t value;

    return nestvirt_device_get_u64(s->device, "port", &value, e);
}

static int do_handler_add(struct subject *s, struct nestvirt_error **e)
{
    return nestvirt_handler_add(s->vm, NESTVIRT_SPACE_PORT, 0x800, 1, answer_zero, NULL, NULL, e);
}

static int do_handler_remove(struct subject *s, struct nestvirt_error **e)
{
    return nestvirt_handler_remove(s->vm, (uint32_t)s->handler, e);
}

static int do_ioeventfd_add(struct subject *s, struct nestvirt_error **e)
{
    struct nestvirt_ioeventfd_config config;

    nestvirt_ioeventfd_config_init(&config, sizeof(config));
    config.space = NESTVIRT_SPACE_MMIO;
    config.address = 0xd0000000;
    config.fd = s->event;
    return nestvirt_ioeventfd_add(s->vm, &config, e);
}

static int do_irq_add(struct subject *s, struct nestvirt_error **e)
{
    return nestvirt_irq_add(s->vm, 12, 0, e);
}

static int do_irqfd_add(struct subject *s, struct nestvirt_error **e)
{
    return nestvirt_irqfd_add(s->vm, PIN, s->event, e);
}

static int do_irq_set(struct subject *s, struct nestvirt_error **e)
{
    return nestvirt_irq_set(s->vm, PIN, 1, e);
}

static int do_msi(struct subject *s, struct nestvirt_error **e)
{
    return nestvirt_msi_send(s->vm, 0xfee00000, 0x30, e);
}

static int do_set_kernel(struct subject *s, struct nestvirt_error **e)
{
    return nestvirt_boot_set_kernel(s->vm, "/proc/self/exe", NESTVIRT_KERNEL_AUTO, e);
}

static int do_set_initrd(struct subject *s, struct nestvirt_error **e)
{
    return nestvirt_boot_set_initrd(s->vm, "/proc/self/exe", e);
}

static int do_set_cmdline(struct subject *s, struct nestvirt_error **e)
{
    return nestvirt_boot_set_cmdline(s->vm, "quiet", e);
}

static int do_set_discovery(struct subject *s, struct nestvirt_error **e)
{
    return nestvirt_boot_set_discovery(s->vm, 0, e);
}

static int do_set_flat(struct subject *s, struct nestvirt_error **e)
{
    struct nestvirt_flat_config config;

    nestvirt_flat_config_init(&config, sizeof(config));
    return nestvirt_boot_set_flat(s->vm, "/proc/self/exe", &config, e);
}

/* A call and its results: new, built, running, paused, stopped, failed. */
struct row {
    const char *name;
    int (*call)(struct subject *s, struct nestvirt_error **ret_error);
    int results[STATES];
};

#define ONLY_NEW 0, -EBUSY, -EBUSY, -EBUSY, -EBUSY, -EBUSY
#define ANY 0, 0, 0, 0, 0, 0
#define QUIET 0, 0, -EBUSY, -EBUSY, -EBUSY, -EBUSY
#define STILL -EBUSY, 0, -EBUSY, 0, 0, 0
#define LINES -EBUSY, 0, 0, 0, -EBUSY, -EBUSY
#define NEVER -EINVAL, -EINVAL, -EINVAL, -EINVAL, -EINVAL, -EINVAL

static const struct row rows[] = {
    { "validate", do_validate, { ONLY_NEW } },
    { "build", do_build, { 0, -EBUSY, -EBUSY, -EBUSY, 0, 0 } },
    { "start", do_start, { -EBUSY, 0, -EALREADY, -EBUSY, 0, 0 } },
    { "pause", do_pause, { -EBUSY, -EBUSY, 0, -EALREADY, -EBUSY, -EBUSY } },
    { "resume", do_resume, { -EBUSY, -EBUSY, -EALREADY, 0, -EBUSY, -EBUSY } },
    { "request_stop", do_request_stop, { -EBUSY, -EBUSY, -ENOTSUP, -EBUSY, -EBUSY, -EBUSY } },
    { "stop", do_stop, { -EBUSY, 0, 0, 0, 0, 0 } },
    { "wait", do_wait, { -EBUSY, -EBUSY, -ETIMEDOUT, -ETIMEDOUT, 0, 0 } },
    { "set_loop", do_set_loop, { ONLY_NEW } },
    { "set_log", do_set_log, { QUIET } },
    { "set_exit_handler", do_set_exit_handler, { QUIET } },
    { "next_event", do_next_event, { ANY } },
    { "get_event_fd", do_event_fd, { ANY } },
    { "memory_add", do_memory_add, { ONLY_NEW } },
    { "memory_remove", do_memory_remove, { ONLY_NEW } },
    { "memory_get", do_memory_get, { ANY } },
    { "memory_read", do_memory_read, { ANY } },
    { "memory_write", do_memory_write, { ANY } },
    { "memory_get_pointer", do_memory_pointer, { ANY } },
    { "get_vcpu", do_get_vcpu, { ANY } },
    { "add_cpuid_mask", do_cpuid_mask, { ONLY_NEW } },
    { "get_regs", do_get_regs, { STILL } },
    { "set_regs", do_set_regs, { STILL } },
    { "get_sregs", do_get_sregs, { STILL } },
    { "set_sregs", do_set_sregs, { STILL } },
    { "get_msr", do_get_msr, { STILL } },
    { "set_msr", do_set_msr, { STILL } },
    { "inject_exception", do_inject, { STILL } },
    { "skip", do_skip, { STILL } },
    { "vcpu_run", do_run, { NEVER } },
    { "vcpu_cancel", do_cancel, { NEVER } },
    { "device_add", do_device_add, { ONLY_NEW } },
    { "device_set_u64", do_device_set, { ONLY_NEW } },
    { "device_get_u64", do_device_get, { ANY } },
    { "handler_add", do_handler_add, { ONLY_NEW } },
    { "handler_remove", do_handler_remove, { ONLY_NEW } },
    { "ioeventfd_add", do_ioeventfd_add, { ONLY_NEW } },
    { "irq_add", do_irq_add, { ONLY_NEW } },
    { "irqfd_add", do_irqfd_add, { ONLY_NEW } },
    { "irq_set", do_irq_set, { LINES } },
    { "msi_send", do_msi, { LINES } },
    { "set_kernel", do_set_kernel, { ONLY_NEW } },
    { "set_initrd", do_set_initrd, { ONLY_NEW } },
    { "set_cmdline", do_set_cmdline, { ONLY_NEW } },
    { "set_discovery", do_set_discovery, { ONLY_NEW } },
    { "set_flat", do_set_flat, { ONLY_NEW } },
};

/* With NESTVIRT_VM_MANUAL_VCPUS; nobody runs the vCPU meanwhile, so its registers are free. */
static const struct row manual_rows[] = {
    { "vcpu_cancel", do_cancel, { -EBUSY, -EBUSY, 0, -EBUSY, -EBUSY, -1 } },
    { "vcpu_run", do_run, { -EBUSY, -EBUSY, 1, -EBUSY, -EBUSY, -1 } },
    { "get_regs", do_get_regs, { -EBUSY, 0, 0, 0, 0, -1 } },
    { "skip", do_skip, { -EBUSY, 0, 0, 0, 0, -1 } },
    { "pause", do_pause, { -EBUSY, -EBUSY, 0, -EALREADY, -EBUSY, -1 } },
    { "stop", do_stop, { -EBUSY, 0, 0, 0, 0, -1 } },
};

static void check_cell(const struct row *row, uint32_t flags, int state)
{
    struct subject s;
    struct nestvirt_error *error = NULL;
    int expected = row->results[state - 1];
    int r;

    subject_init(&s, flags, state);
    r = row->call(&s, &error);
    if (expected >= 0)
        ck_assert_msg(r >= 0 && !error, "%s while %s: %d (%s)", row->name,
                      nestvirt_vm_state_name(state), r, nestvirt_error_get_message(error));
    else
        ck_assert_msg(r == expected && nestvirt_error_get_code(error) == r,
                      "%s while %s: %d (%s), not %d", row->name, nestvirt_vm_state_name(state), r,
                      nestvirt_error_get_message(error), expected);
    if (expected == -EBUSY && row->call != do_device_set)
        ck_assert_msg(strstr(nestvirt_error_get_message(error), nestvirt_vm_state_name(state)),
                      "%s: \"%s\" does not say the state", row->name,
                      nestvirt_error_get_message(error));
    if (expected < 0)
        ck_assert_int_eq(nestvirt_vm_get_state(s.vm), state);
    nestvirt_error_free(error);
    subject_end(&s);
}

START_TEST(test_misuse_03_each_call_in_each_state)
{
    for (int state = NESTVIRT_STATE_NEW; state <= NESTVIRT_STATE_FAILED; state++)
        check_cell(&rows[_i], 0, state);
}
END_TEST

START_TEST(test_misuse_03_manual_vcpu_in_each_state)
{
    for (int state = NESTVIRT_STATE_NEW; state <= NESTVIRT_STATE_STOPPED; state++) {
        if (manual_rows[_i].results[state - 1] != 1) /* 1: would wait for an exit */
            check_cell(&manual_rows[_i], NESTVIRT_VM_MANUAL_VCPUS, state);
    }
}
END_TEST

START_TEST(test_state_names)
{
    static const char *const names[] = { "unknown", "new",     "built",  "running",
                                         "paused",  "stopped", "failed", "unknown" };

    for (int i = 0; i < 8; i++)
        ck_assert_str_eq(nestvirt_vm_state_name(i), names[i]);
    ck_assert_str_eq(nestvirt_vm_state_name(-1), "unknown");
    ck_assert_str_eq(nestvirt_vm_result_name(NESTVIRT_RESULT_NONE), "none");
    ck_assert_str_eq(nestvirt_vm_result_name(NESTVIRT_RESULT_GUEST_HALT), "guest halt");
    ck_assert_str_eq(nestvirt_vm_result_name(99), "unknown");
}
END_TEST

Suite *nv_test_suite(void)
{
    Suite *suite = suite_create("vm_states");
    TCase *tcase = support_case(suite, "states", 120);

    tcase_add_loop_test(tcase, test_misuse_03_each_call_in_each_state, 0,
                        sizeof(rows) / sizeof(rows[0]));
    tcase_add_loop_test(tcase, test_misuse_03_manual_vcpu_in_each_state, 0,
                        sizeof(manual_rows) / sizeof(manual_rows[0]));
    tcase_add_test(tcase, test_state_names);
    return suite;
}
