/* SPDX-License-Identifier: Apache-2.0 */
/* Proves that every call refuses NULL and handles of another kind. */
#include <errno.h>
#include <string.h>

#include "fake_kvm.h"
#include "support.h"

static struct nestvirt_host *host;
static struct nestvirt_vm *vm;
static struct nestvirt_vcpu *vcpu;
static struct nestvirt_device *device;
static struct nestvirt_loop *loop;

static void setup(void)
{
    fake_kvm_reset();
    host = fake_kvm_host();
    vm = fake_kvm_vm(host, 0, NESTVIRT_CHIP_SPLIT, 2);
    ck_nv_ok(nestvirt_vm_get_vcpu(vm, 0, &vcpu, &error));
    ck_nv_ok(nestvirt_device_add(vm, "serial", &device, &error));
    ck_nv_ok(nestvirt_loop_new(&loop, &error));
}

static void teardown(void)
{
    ck_assert_int_eq(nestvirt_loop_free(loop), 0);
    ck_assert_int_eq(nestvirt_vm_free(vm), 0);
    ck_assert_int_eq(nestvirt_host_free(host), 0);
}

static int32_t handle(void *user_data, struct nestvirt_access *access)
{
    return NESTVIRT_ACTION_RESUME;
}

/* The functions of vm.h and the first of memory.h on a VM; the others follow. */
static int on_vm_life(int which, struct nestvirt_vm *v, struct nestvirt_error **e)
{
    struct nestvirt_event event = { .size = sizeof(event) };
    switch (which) {
    case 0:
        return nestvirt_vm_set_loop(v, loop, e);
    case 1:
        return nestvirt_vm_set_log(v, 0, NULL, NULL, NULL, e);
    case 2:
        return nestvirt_vm_validate(v, e);
    case 3:
        return nestvirt_vm_build(v, e);
    case 4:
        return nestvirt_vm_start(v, e);
    case 5:
        return nestvirt_vm_pause(v, e);
    case 6:
        return nestvirt_vm_resume(v, e);
    case 7:
        return nestvirt_vm_request_stop(v, e);
    case 8:
        return nestvirt_vm_stop(v, 0, e);
    case 9:
        return nestvirt_vm_wait(v, 0, NULL, e);
    case 10:
        return nestvirt_vm_get_event_fd(v, e);
    case 11:
        return nestvirt_vm_next_event(v, &event, e);
    default:
        return 1; /* one of the others */
    }
}

/* Every function on a VM, with a handle chosen by the test. */
static int on_vm(int which, struct nestvirt_vm *v, struct nestvirt_error **e)
{
    struct nestvirt_memory_config memory = { .size = sizeof(memory), .length = 4096 };
    struct nestvirt_ioeventfd_config io = { .size = sizeof(io) };
    struct nestvirt_flat_config flat = { .size = sizeof(flat) };
    struct nestvirt_vcpu *out;
    char byte;
    void *pointer;
    int r = on_vm_life(which, v, e);

    if (r != 1)
        return r;
    switch (which) {
    case 12:
        return nestvirt_vm_set_exit_handler(v, NULL, NULL, NULL, e);
    case 13:
        return nestvirt_memory_add(v, &memory, e);
    case 14:
        return nestvirt_memory_remove(v, 0, e);
    case 15:
        return nestvirt_memory_get(v, 0, &memory, e);
    case 16:
        return nestvirt_memory_read(v, 0, &byte, 1, e);
    case 17:
        return nestvirt_memory_write(v, 0, "", 1, e);
    case 18:
        return nestvirt_memory_get_pointer(v, 0, 1, &pointer, e);
    case 19:
        return nestvirt_vm_get_vcpu(v, 0, &out, e);
    case 20:
        return nestvirt_vm_add_cpuid_mask(v, 1, 0, 2, 1, 0, e);
    case 21:
        return nestvirt_device_add(v, "exit", NULL, e);
    case 22:
        return nestvirt_handler_add(v, NESTVIRT_SPACE_PORT, 1, 1, handle, NULL, NULL, e);
    case 23:
        return nestvirt_handler_remove(v, 0, e);
    case 24:
        return nestvirt_ioeventfd_add(v, &io, e);
    case 25:
        return nestvirt_irq_add(v, 7, 0, e);
    case 26:
        return nestvirt_irq_set(v, 7, 1, e);
    case 27:
        return nestvirt_irqfd_add(v, 7, 0, e);
    case 28:
        return nestvirt_msi_send(v, 0xfee00000, 0, e);
    case 29:
        return nestvirt_boot_set_kernel(v, "/x", 0, e);
    case 30:
        return nestvirt_boot_set_kernel_fd(v, 0, 0, e);
    case 31:
        return nestvirt_boot_set_initrd(v, "/x", e);
    case 32:
        return nestvirt_boot_set_initrd_fd(v, 0, e);
    case 33:
        return nestvirt_boot_set_cmdline(v, "", e);
    case 34:
        return nestvirt_boot_set_discovery(v, 0, e);
    case 35:
        return nestvirt_boot_set_flat(v, "/x", &flat, e);
    default:
        return nestvirt_boot_set_flat_fd(v, 0, &flat, e);
    }
}

enum { VM_CALLS = 37 };

static int on_vcpu(int which, struct nestvirt_vcpu *v, struct nestvirt_error **e)
{
    struct nestvirt_regs regs = { .size = sizeof(regs) };
    struct nestvirt_sregs sregs = { .size = sizeof(sregs) };
    struct nestvirt_exit exit = { .size = sizeof(exit) };
    uint64_t value;

    switch (which) {
    case 0:
        return nestvirt_vcpu_get_regs(v, &regs, e);
    case 1:
        return nestvirt_vcpu_set_regs(v, &regs, e);
    case 2:
        return nestvirt_vcpu_get_sregs(v, &sregs, e);
    case 3:
        return nestvirt_vcpu_set_sregs(v, &sregs, e);
    case 4:
        return nestvirt_vcpu_get_msr(v, 0x174, &value, e);
    case 5:
        return nestvirt_vcpu_set_msr(v, 0x174, 0, e);
    case 6:
        return nestvirt_vcpu_run(v, &exit, e);
    case 7:
        return nestvirt_vcpu_cancel(v, e);
    case 8:
        return nestvirt_vcpu_inject_exception(v, 6, 0, 0, e);
    default:
        return nestvirt_vcpu_skip(v, 1, e);
    }
}

enum { VCPU_CALLS = 10 };

START_TEST(test_misuse_01_and_02_vm_handles)
{
    void *const others[] = { host, vcpu, device, loop };

    ck_nv_fails(on_vm(_i, NULL, &error), -EFAULT);
    ck_assert_int_eq(on_vm(_i, NULL, NULL), -EFAULT);
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
        ck_nv_fails(on_vm(_i, others[i], &error), -EBADF);
    ck_assert_int_eq(nestvirt_vm_get_state(vm), NESTVIRT_STATE_NEW);
}
END_TEST

START_TEST(test_misuse_01_and_02_vcpu_handles)
{
    void *const others[] = { host, vm, device, loop };

    ck_nv_fails(on_vcpu(_i, NULL, &error), -EFAULT);
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
        ck_nv_fails(on_vcpu(_i, others[i], &error), -EBADF);
}
END_TEST

START_TEST(test_misuse_01_and_02_other_handles)
{
    struct nestvirt_host_info info = { .size = sizeof(info) };
    struct nestvirt_cpuid_entry entry = { .size = sizeof(entry) };
    struct nestvirt_vm *made = vm;
    uint64_t value = 9;

    ck_nv_fails(nestvirt_host_get_info(NULL, &info, &error), -EFAULT);
    ck_nv_fails(nestvirt_host_get_info((void *)vm, &info, &error), -EBADF);
    ck_nv_fails(nestvirt_host_get_cpuid((void *)vm, 0, &entry, &error), -EBADF);
    ck_nv_fails(nestvirt_vm_new(NULL, NULL, &made, &error), -EFAULT);
    ck_assert_ptr_null(made);
    made = vm;
    ck_nv_fails(nestvirt_vm_new((void *)loop, NULL, &made, &error), -EBADF);
    ck_assert_ptr_null(made);
    ck_nv_fails(nestvirt_vm_set_loop(vm, NULL, &error), -EFAULT);
    ck_nv_fails(nestvirt_vm_set_loop(vm, (void *)host, &error), -EBADF);
    ck_nv_fails(nestvirt_device_set_u64(NULL, "port", 1, &error), -EFAULT);
    ck_nv_fails(nestvirt_device_set_u64((void *)vm, "port", 1, &error), -EBADF);
    ck_nv_fails(nestvirt_device_set_fd((void *)vm, "input", 1, &error), -EBADF);
    ck_nv_fails(nestvirt_device_set_string((void *)vm, "x", "y", &error), -EBADF);
    ck_nv_fails(nestvirt_device_get_u64((void *)vm, "port", &value, &error), -EBADF);
    ck_assert_uint_eq(value, 0);
    ck_assert_int_eq(nestvirt_vm_get_state(NULL), -EFAULT);
    ck_assert_int_eq(nestvirt_vm_get_state((void *)host), -EBADF);
    ck_assert_int_eq(nestvirt_vm_free((void *)host), -EBADF);
    ck_assert_int_eq(nestvirt_host_free((void *)vm), -EBADF);
    ck_assert_int_eq(nestvirt_loop_free((void *)vm), -EBADF);
}
END_TEST

START_TEST(test_misuse_01_null_outputs_and_texts)
{
    ck_nv_fails(nestvirt_vm_new(host, NULL, NULL, &error), -EFAULT);
    ck_nv_fails(nestvirt_vm_get_vcpu(vm, 0, NULL, &error), -EFAULT);
    ck_nv_fails(nestvirt_memory_add(vm, NULL, &error), -EFAULT);
    ck_nv_fails(nestvirt_memory_get(vm, 0, NULL, &error), -EFAULT);
    ck_nv_fails(nestvirt_memory_read(vm, 0, NULL, 1, &error), -EFAULT);
    ck_nv_fails(nestvirt_memory_write(vm, 0, NULL, 1, &error), -EFAULT);
    ck_nv_fails(nestvirt_memory_get_pointer(vm, 0, 1, NULL, &error), -EFAULT);
    ck_nv_fails(nestvirt_device_add(vm, NULL, NULL, &error), -EFAULT);
    ck_nv_fails(nestvirt_device_set_u64(device, NULL, 1, &error), -EFAULT);
    ck_nv_fails(nestvirt_device_set_string(device, "x", NULL, &error), -EFAULT);
    ck_nv_fails(nestvirt_device_get_u64(device, "port", NULL, &error), -EFAULT);
    ck_nv_fails(nestvirt_device_get_property(NULL, 0, NULL, &error), -EFAULT);
    ck_nv_fails(nestvirt_device_get_property("exit", 0, NULL, &error), -EFAULT);
    ck_nv_fails(nestvirt_handler_add(vm, 1, 1, 1, NULL, NULL, NULL, &error), -EFAULT);
    ck_nv_fails(nestvirt_ioeventfd_add(vm, NULL, &error), -EFAULT);
    ck_nv_fails(nestvirt_boot_set_kernel(vm, NULL, 0, &error), -EFAULT);
    ck_nv_fails(nestvirt_boot_set_initrd(vm, NULL, &error), -EFAULT);
    ck_nv_fails(nestvirt_boot_set_flat(vm, NULL, NULL, &error), -EFAULT);
    ck_nv_fails(nestvirt_boot_set_flat(vm, "/x", NULL, &error), -EFAULT);
    ck_nv_fails(nestvirt_vm_next_event(vm, NULL, &error), -EFAULT);
    ck_nv_fails(nestvirt_host_get_info(host, NULL, &error), -EFAULT);
    ck_nv_fails(nestvirt_host_get_cpuid(host, 0, NULL, &error), -EFAULT);
    ck_nv_ok(nestvirt_boot_set_cmdline(vm, NULL, &error)); /* stands for none */
}
END_TEST

Suite *nv_test_suite(void)
{
    Suite *suite = suite_create("api_handles");
    TCase *tcase = support_case(suite, "handles", 60);

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_loop_test(tcase, test_misuse_01_and_02_vm_handles, 0, VM_CALLS);
    tcase_add_loop_test(tcase, test_misuse_01_and_02_vcpu_handles, 0, VCPU_CALLS);
    tcase_add_test(tcase, test_misuse_01_and_02_other_handles);
    tcase_add_test(tcase, test_misuse_01_null_outputs_and_texts);
    return suite;
}
