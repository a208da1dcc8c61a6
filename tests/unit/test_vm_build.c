/* SPDX-License-Identifier: Apache-2.0 */
/* Proves how a VM is put together: the order of KVM's calls, the configuration, validate. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/util.h"
#include "fake_kvm.h"
#include "memory/layout.h"
#include "support.h"

static struct nestvirt_host *host;
static struct nestvirt_vm *vm;
static int event;

static void setup(void)
{
    fake_kvm_reset();
    host = fake_kvm_host();
    event = eventfd(0, EFD_CLOEXEC);
    vm = NULL;
}

static void teardown(void)
{
    ck_assert_int_eq(nestvirt_vm_free(vm), 0);
    ck_assert_int_eq(nestvirt_host_free(host), 0);
    close(event);
}

static void add_region(uint64_t address, uint64_t length)
{
    struct nestvirt_memory_config config;

    nestvirt_memory_config_init(&config, sizeof(config));
    config.address = address;
    config.length = length;
    ck_nv_ok(nestvirt_memory_add(vm, &config, &error));
}

static void add_ioeventfd(uint64_t address)
{
    struct nestvirt_ioeventfd_config config;

    nestvirt_ioeventfd_config_init(&config, sizeof(config));
    config.space = NESTVIRT_SPACE_PORT;
    config.length = 2;
    config.flags = NESTVIRT_IOEVENTFD_DATAMATCH;
    config.value = 7;
    config.address = address;
    config.fd = event;
    ck_nv_ok(nestvirt_ioeventfd_add(vm, &config, &error));
}

/* A later slot would wait for a grace period that the chip begins: see the order in assemble.c. */
START_TEST(test_order_of_calls)
{
    vm = fake_kvm_vm(host, 0, NESTVIRT_CHIP_SPLIT, 3);
    add_region(1 << 30, 4096);
    add_region(1 << 29, 4096);
    ck_assert_int_eq(nestvirt_irq_add(vm, 9, 0, NULL), 9);
    ck_nv_ok(nestvirt_irqfd_add(vm, 9, event, &error));
    add_ioeventfd(0x900);
    add_ioeventfd(0x910);
    ck_assert_uint_eq(fake_kvm_count(KVM_CREATE_VM), 0); /* nothing before build */
    ck_nv_ok(nestvirt_vm_validate(vm, &error));
    ck_assert_uint_eq(fake_kvm_count(KVM_CREATE_VM), 0);
    ck_nv_ok(nestvirt_vm_build(vm, &error));
    ck_assert_uint_eq(fake_kvm_count(KVM_CREATE_VM), 1);
    ck_assert_uint_eq(fake_kvm_count(KVM_SET_USER_MEMORY_REGION), 3);
    ck_assert_uint_eq(fake_kvm_count(KVM_ENABLE_CAP), 1);
    ck_assert_uint_eq(fake_kvm_count(KVM_CREATE_VCPU), 3);
    ck_assert_uint_eq(fake_kvm_count(KVM_IRQFD), 1);
    ck_assert_uint_eq(fake_kvm_count(KVM_IOEVENTFD), 2);
    ck_assert_uint_eq(fake_kvm_count(KVM_CREATE_IRQCHIP), 0);
    ck_assert_uint_eq(fake_kvm_count(KVM_CREATE_PIT2), 0);
    ck_assert_int_lt(fake_kvm_last(KVM_CREATE_VM), fake_kvm_first(KVM_SET_USER_MEMORY_REGION));
    ck_assert_int_lt(fake_kvm_last(KVM_SET_TSS_ADDR), fake_kvm_first(KVM_CREATE_VCPU));
    ck_assert_int_lt(fake_kvm_last(KVM_SET_USER_MEMORY_REGION), fake_kvm_first(KVM_ENABLE_CAP));
    ck_assert_int_lt(fake_kvm_last(KVM_ENABLE_CAP), fake_kvm_first(KVM_CREATE_VCPU));
    ck_assert_int_lt(fake_kvm_last(KVM_CREATE_VCPU), fake_kvm_first(KVM_IRQFD));
    ck_assert_int_eq(fake_kvm_last(KVM_IOEVENTFD), (int)fake_kvm_calls() - 1); /* the last */
    ck_assert_int_lt(fake_kvm_last(KVM_SET_SIGNAL_MASK), fake_kvm_first(KVM_IOEVENTFD));
    ck_assert_int_eq(fake_kvm_first(KVM_SET_GSI_ROUTING), -1);
}
END_TEST

START_TEST(test_what_kvm_is_told)
{
    struct kvm_ioeventfd ioeventfd;
    struct kvm_userspace_memory_region slot;
    void *pointer;

    vm = fake_kvm_vm(host, 0, NESTVIRT_CHIP_SPLIT, 1);
    add_region(1 << 30, 8192);
    add_ioeventfd(0x910);
    ck_nv_ok(nestvirt_vm_build(vm, &error));
    ck_nv_ok(nestvirt_memory_get_pointer(vm, 1 << 30, 8192, &pointer, &error));
    slot = fake_kvm_slot(1);
    ck_assert_uint_eq(slot.guest_phys_addr, 1 << 30);
    ck_assert_uint_eq(slot.memory_size, 8192);
    ck_assert_uint_eq(slot.userspace_addr, (uintptr_t)pointer);
    ck_assert_uint_eq(slot.flags, 0);
    ioeventfd = fake_kvm_ioeventfd();
    ck_assert_uint_eq(ioeventfd.addr, 0x910);
    ck_assert_uint_eq(ioeventfd.len, 2);
    ck_assert_uint_eq(ioeventfd.datamatch, 7);
    ck_assert_uint_eq(ioeventfd.flags, KVM_IOEVENTFD_FLAG_PIO | KVM_IOEVENTFD_FLAG_DATAMATCH);
    ck_assert_int_ne(ioeventfd.fd, event); /* its own copy */
}
END_TEST

START_TEST(test_chips)
{
    vm = fake_kvm_vm(host, NESTVIRT_VM_PIT, NESTVIRT_CHIP_KERNEL, 1);
    ck_nv_ok(nestvirt_vm_build(vm, &error));
    ck_assert_uint_eq(fake_kvm_count(KVM_CREATE_IRQCHIP), 1);
    ck_assert_uint_eq(fake_kvm_count(KVM_CREATE_PIT2), 1);
    ck_assert_uint_eq(fake_kvm_count(KVM_ENABLE_CAP), 0);
    ck_assert_int_lt(fake_kvm_last(KVM_SET_USER_MEMORY_REGION), fake_kvm_first(KVM_CREATE_IRQCHIP));
    ck_assert_int_lt(fake_kvm_last(KVM_CREATE_PIT2), fake_kvm_first(KVM_CREATE_VCPU));
    ck_assert_int_eq(nestvirt_vm_free(vm), 0);
    fake_kvm_reset();
    vm = fake_kvm_vm(host, 0, NESTVIRT_CHIP_NONE, 1);
    ck_nv_ok(nestvirt_vm_build(vm, &error));
    ck_assert_uint_eq(fake_kvm_count(KVM_CREATE_IRQCHIP) + fake_kvm_count(KVM_ENABLE_CAP), 0);
    ck_nv_fails(nestvirt_msi_send(vm, 0xfee00000, 1, &error), -ENOTSUP);
}
END_TEST

static void add_read_only(void)
{
    struct nestvirt_memory_config config;

    nestvirt_memory_config_init(&config, sizeof(config));
    config.flags = NESTVIRT_MEMORY_READ_ONLY;
    config.address = 1 << 30;
    config.length = 4096;
    ck_nv_ok(nestvirt_memory_add(vm, &config, &error));
}

START_TEST(test_read_only_slot)
{
    vm = fake_kvm_vm(host, 0, NESTVIRT_CHIP_SPLIT, 1);
    add_read_only();
    ck_nv_ok(nestvirt_vm_build(vm, &error));
    ck_assert_uint_eq(fake_kvm_slot(0).flags, 0);
    ck_assert_uint_eq(fake_kvm_slot(1).flags, KVM_MEM_READONLY);
}
END_TEST

START_TEST(test_host_without_read_only_slots)
{
    nestvirt_host_free(host);
    fake_kvm_set_capability(KVM_CAP_READONLY_MEM, 0);
    host = fake_kvm_host();
    vm = fake_kvm_vm(host, 0, NESTVIRT_CHIP_SPLIT, 1);
    ck_nv_ok(nestvirt_vm_validate(vm, &error));
    add_read_only();
    ck_nv_fails_with(nestvirt_vm_validate(vm, &error), -ENOTSUP, "memory region 1");
    ck_nv_fails_with(nestvirt_vm_build(vm, &error), -ENOTSUP, "KVM_CAP_READONLY_MEM");
}
END_TEST

/* What vm_config can ask for, and what needs a descriptor. */
START_TEST(test_misuse_16_backing_of_the_vm)
{
    struct nestvirt_vm_config config;

    nestvirt_vm_config_init(&config, sizeof(config));
    config.memory_size = 1 << 20;
    config.memory_backing = NESTVIRT_BACKING_FD;
    ck_nv_fails_with(nestvirt_vm_new(host, &config, &vm, &error), -EINVAL, "nestvirt_memory_add");
    config.memory_backing = NESTVIRT_BACKING_FILE;
    ck_nv_fails_with(nestvirt_vm_new(host, &config, &vm, &error), -EINVAL, "nestvirt_memory_add");
    config.memory_backing = NESTVIRT_BACKING_HUGETLB;
    ck_nv_fails_with(nestvirt_vm_new(host, &config, &vm, &error), -EINVAL, "page size");
    config.memory_size = 1ull << 40;
    if (!support_is_valgrind()) /* it has no huge pages */
        ck_nv_fails_with(nestvirt_vm_new(host, &config, &vm, &error), -ENOMEM, "nr_hugepages");
}
END_TEST

/* Merging is set and read back while the VM runs; the figures are there. */
START_TEST(test_misuse_13_merging_while_running)
{
    struct nestvirt_memory_config config;
    struct nestvirt_memory_ksm ksm;

    vm = fake_kvm_vm(host, 0, NESTVIRT_CHIP_SPLIT, 1);
    ck_nv_ok(nestvirt_vm_build(vm, &error));
    ck_nv_ok(nestvirt_vm_start(vm, &error));
    nestvirt_memory_config_init(&config, sizeof(config));
    nestvirt_memory_ksm_init(&ksm, sizeof(ksm));
    for (uint32_t on = 2; on-- > 0;) {
        ck_nv_ok(nestvirt_memory_set_mergeable(vm, 0, on, &error));
        ck_nv_ok(nestvirt_memory_get(vm, 0, &config, &error));
        ck_assert_uint_eq(config.flags & NESTVIRT_MEMORY_MERGEABLE,
                          on ? NESTVIRT_MEMORY_MERGEABLE : 0);
        ck_nv_ok(nestvirt_memory_get_ksm(vm, NESTVIRT_MEMORY_EVERY, &ksm, &error));
        ck_assert_uint_eq(ksm.mergeable_bytes, on ? config.length : 0);
    }
    ck_nv_fails_with(nestvirt_memory_set_mergeable(vm, 0, 2, &error), -EINVAL, "0 or 1");
    ck_nv_fails(nestvirt_memory_set_mergeable(vm, 1, 1, &error), -ENOENT);
    ck_nv_fails(nestvirt_memory_set_mergeable(NULL, 0, 1, &error), -EFAULT);
    ck_nv_fails(nestvirt_memory_get_ksm(vm, 1, &ksm, &error), -ENOENT);
    ck_nv_fails(nestvirt_memory_get_ksm(vm, 0, NULL, &error), -EFAULT);
    ksm.size = sizeof(ksm) - 1;
    ck_nv_fails(nestvirt_memory_get_ksm(vm, 0, &ksm, &error), -EINVAL);
}
END_TEST

/* The first instruction of a flat image in each mode. */
static void build_flat(uint32_t mode, uint64_t address)
{
    static const uint8_t code[16] = { 0xf4 };
    struct nestvirt_flat_config config;
    int fd = memfd_create("flat", MFD_CLOEXEC);

    ck_assert_int_eq(write(fd, code, sizeof(code)), sizeof(code));
    nestvirt_flat_config_init(&config, sizeof(config));
    config.mode = mode;
    config.address = config.entry = address;
    vm = fake_kvm_vm(host, 0, NESTVIRT_CHIP_SPLIT, 2);
    ck_nv_ok(nestvirt_boot_set_flat_fd(vm, fd, &config, &error));
    close(fd);
    ck_nv_ok(nestvirt_vm_build(vm, &error));
}

START_TEST(test_start_registers)
{
    struct kvm_sregs sregs;

    build_flat(NESTVIRT_MODE_REAL, 0x23000);
    sregs = fake_kvm_sregs(0, 0);
    ck_assert_uint_eq(sregs.cs.base, 0x20000);
    ck_assert_uint_eq(sregs.cs.selector, 0x2000);
    ck_assert_uint_eq(fake_kvm_regs(0, 0).rip, 0x3000);
    ck_assert_uint_eq(fake_kvm_regs(0, 0).rflags, 2);
    ck_assert_uint_eq(fake_kvm_regs(0, 1).rip, 0xfff0); /* others stay as after reset */
    ck_assert_int_eq(nestvirt_vm_free(vm), 0);
    build_flat(NESTVIRT_MODE_PROTECTED, 0x100000);
    sregs = fake_kvm_sregs(1, 0);
    ck_assert_uint_eq(sregs.cr0 & 1, 1);
    ck_assert_uint_eq(sregs.cr0 >> 31, 0);
    ck_assert_uint_eq(sregs.cs.db, 1);
    ck_assert_uint_eq(fake_kvm_regs(1, 0).rip, 0x100000);
    ck_assert_int_eq(nestvirt_vm_free(vm), 0);
    build_flat(NESTVIRT_MODE_LONG, 0x100000);
    sregs = fake_kvm_sregs(2, 0);
    ck_assert_uint_eq(sregs.cr0 >> 31, 1);
    ck_assert_uint_eq(sregs.cr3, NV_LAYOUT_PAGE_TABLES);
    ck_assert_uint_eq(sregs.cr4 & 1 << 5, 1 << 5);
    ck_assert_uint_eq(sregs.efer & (1 << 8 | 1 << 10), 1 << 8 | 1 << 10);
    ck_assert_uint_eq(sregs.cs.l, 1);
    ck_assert_uint_eq(sregs.cs.db, 0);
    ck_assert_uint_eq(sregs.gdt.base, NV_LAYOUT_GDT);
}
END_TEST

START_TEST(test_registers_in_and_out)
{
    struct nestvirt_vcpu *vcpu;
    struct nestvirt_regs regs;
    struct nestvirt_regs got;
    struct nestvirt_sregs sregs;
    struct nestvirt_sregs same;
    uint64_t value;

    vm = fake_kvm_vm(host, 0, NESTVIRT_CHIP_SPLIT, 2);
    ck_nv_ok(nestvirt_vm_build(vm, &error));
    ck_nv_ok(nestvirt_vm_get_vcpu(vm, 1, &vcpu, &error));
    ck_nv_fails(nestvirt_vm_get_vcpu(vm, 2, &vcpu, &error), -ENOENT);
    ck_assert_ptr_null(vcpu);
    ck_nv_ok(nestvirt_vm_get_vcpu(vm, 1, &vcpu, &error));
    nestvirt_regs_init(&regs, sizeof(regs));
    for (uint64_t *r = &regs.rax; r <= &regs.rflags; r++)
        *r = (uint64_t)(r - &regs.rax + 1) * 0x0101010101010101;
    ck_nv_ok(nestvirt_vcpu_set_regs(vcpu, &regs, &error));
    nestvirt_regs_init(&got, sizeof(got));
    ck_nv_ok(nestvirt_vcpu_get_regs(vcpu, &got, &error));
    ck_assert_mem_eq(&got, &regs, sizeof(regs));
    ck_nv_ok(nestvirt_vcpu_skip(vcpu, 15, &error));
    ck_assert_uint_eq(fake_kvm_regs(0, 1).rip, regs.rip + 15);
    ck_nv_fails(nestvirt_vcpu_skip(vcpu, 0, &error), -EINVAL);
    ck_nv_fails(nestvirt_vcpu_skip(vcpu, 16, &error), -EINVAL);
    nestvirt_sregs_init(&sregs, sizeof(sregs));
    memset(&sregs.cs, 0x11, 12); /* base and limit of each segment */
    sregs.ldt = (struct nestvirt_segment){ .base = 5, .limit = 6, .selector = 7, .dpl = 3 };
    sregs.gdt_limit = sregs.idt_limit = 0xffff;
    sregs.cr8 = 8;
    sregs.apic_base = 0xfee00900;
    ck_nv_ok(nestvirt_vcpu_set_sregs(vcpu, &sregs, &error));
    nestvirt_sregs_init(&same, sizeof(same));
    ck_nv_ok(nestvirt_vcpu_get_sregs(vcpu, &same, &error));
    ck_assert_mem_eq(&same, &sregs, sizeof(sregs));
    sregs.gdt_limit = 0x10000;
    ck_nv_fails(nestvirt_vcpu_set_sregs(vcpu, &sregs, &error), -EINVAL);
    ck_nv_ok(nestvirt_vcpu_set_msr(vcpu, 0x174, 0x1234, &error));
    ck_nv_ok(nestvirt_vcpu_get_msr(vcpu, 0x174, &value, &error));
    ck_assert_uint_eq(value, 0x1234);
    ck_nv_fails_with(nestvirt_vcpu_get_msr(vcpu, 0x175, &value, &error), -ENOENT, "0x175");
    ck_assert_uint_eq(value, 0);
    ck_nv_fails(nestvirt_vcpu_set_msr(vcpu, 0x175, 1, &error), -ENOENT);
    ck_nv_ok(nestvirt_vcpu_inject_exception(vcpu, 14, 1, 2, &error));
    ck_assert_uint_eq(fake_kvm_events(0, 1).exception.nr, 14);
    ck_assert_uint_eq(fake_kvm_events(0, 1).exception.injected, 1);
    ck_assert_uint_eq(fake_kvm_events(0, 1).exception.has_error_code, 1);
    ck_assert_uint_eq(fake_kvm_events(0, 1).exception.error_code, 2);
    ck_nv_fails(nestvirt_vcpu_inject_exception(vcpu, 2, 0, 0, &error), -EINVAL);
    ck_nv_fails(nestvirt_vcpu_inject_exception(vcpu, 32, 0, 0, &error), -EINVAL);
    ck_nv_fails(nestvirt_vcpu_inject_exception(vcpu, 6, 2, 0, &error), -EINVAL);
}
END_TEST

/* All problems at once, each with the VM's name and a remedy. */
START_TEST(test_validate_lists_every_problem)
{
    struct nestvirt_error *list = NULL;
    struct nestvirt_vm_config config;
    const struct nestvirt_error *row;
    unsigned count = 0;

    nestvirt_vm_config_init(&config, sizeof(config));
    config.name = "bad";
    ck_nv_ok(nestvirt_vm_new(host, &config, &vm, &error));
    ck_nv_fails_with(nestvirt_vm_validate(vm, &error), -EINVAL, "no memory");
    ck_nv_fails_with(nestvirt_vm_build(vm, &error), -EINVAL, "no memory");
    ck_nv_ok(nestvirt_device_add(vm, "reset", NULL, &error));
    ck_nv_ok(nestvirt_device_add(vm, "reset", NULL, &error));
    ck_nv_ok(nestvirt_boot_set_initrd(vm, "/proc/self/exe", &error));
    ck_assert_int_eq(nestvirt_vm_validate(vm, &list), NESTVIRT_E_INVALID_VM);
    for (row = list; row; row = nestvirt_error_get_next(row)) {
        ck_assert_int_lt(nestvirt_error_get_code(row), 0);
        ck_assert_int_gt(strlen(nestvirt_error_get_hint(row)), 0);
        ck_assert_int_gt(strlen(nestvirt_error_get_object(row)), 0);
        count++;
    }
    ck_assert_uint_ge(count, 3);
    nestvirt_error_free(list);
    ck_assert_int_eq(nestvirt_vm_validate(vm, NULL), NESTVIRT_E_INVALID_VM);
    ck_assert_int_eq(nestvirt_vm_build(vm, &list), NESTVIRT_E_INVALID_VM);
    for (row = list; row; row = nestvirt_error_get_next(row)) {
        const char *first = strstr(nestvirt_error_get_message(row), "vm bad");

        ck_assert_msg(first == nestvirt_error_get_message(row), "\"%s\" names no VM",
                      nestvirt_error_get_message(row));
        ck_assert_ptr_null(strstr(first + 1, "vm bad")); /* and only once */
    }
    nestvirt_error_free(list);
    ck_assert_uint_eq(fake_kvm_count(KVM_CREATE_VM), 0);
}
END_TEST

static int32_t ignore(void *user_data, struct nestvirt_access *access)
{
    return NESTVIRT_ACTION_RESUME;
}

START_TEST(test_handler_over_memory)
{
    vm = fake_kvm_vm(host, 0, NESTVIRT_CHIP_SPLIT, 1);
    ck_assert_int_ge(
        nestvirt_handler_add(vm, NESTVIRT_SPACE_MMIO, (2 << 20) - 1, 2, ignore, NULL, NULL, NULL),
        0);
    ck_nv_fails_with(nestvirt_vm_build(vm, &error), -EEXIST, "guest memory");
}
END_TEST

START_TEST(test_too_many_slots)
{
    fake_kvm_set_capability(KVM_CAP_NR_MEMSLOTS, 2);
    ck_assert_int_eq(nestvirt_host_free(host), 0);
    host = fake_kvm_host();
    vm = fake_kvm_vm(host, 0, NESTVIRT_CHIP_SPLIT, 1);
    add_region(1 << 30, 4096);
    ck_nv_ok(nestvirt_vm_validate(vm, &error));
    add_region(1 << 29, 4096);
    ck_nv_fails_with(nestvirt_vm_validate(vm, &error), -ENOSPC, "3 memory slots");
    ck_nv_ok(nestvirt_memory_remove(vm, 2, &error));
    ck_nv_ok(nestvirt_vm_validate(vm, &error));
}
END_TEST

/* What the host lacks is said at once, by the call that needs it. */
START_TEST(test_missing_features)
{
    struct nestvirt_vm_config config;

    fake_kvm_set_capability(KVM_CAP_SPLIT_IRQCHIP, 0);
    fake_kvm_set_capability(KVM_CAP_IRQFD, 0);
    fake_kvm_set_capability(KVM_CAP_IOEVENTFD, 0);
    ck_assert_int_eq(nestvirt_host_free(host), 0);
    host = fake_kvm_host();
    nestvirt_vm_config_init(&config, sizeof(config));
    ck_nv_fails_with(nestvirt_vm_new(host, &config, &vm, &error), -ENOTSUP, "SPLIT_IRQCHIP");
    ck_assert_ptr_null(vm);
    vm = fake_kvm_vm(host, 0, NESTVIRT_CHIP_KERNEL, 1);
    ck_assert_int_eq(nestvirt_irq_add(vm, 9, 0, NULL), 9);
    ck_nv_fails_with(nestvirt_irqfd_add(vm, 9, event, &error), -ENOTSUP, "KVM_CAP_IRQFD");
    ck_nv_fails_with(nestvirt_ioeventfd_add(vm,
                                            &(struct nestvirt_ioeventfd_config){
                                                .size = sizeof(struct nestvirt_ioeventfd_config),
                                                .space = NESTVIRT_SPACE_MMIO,
                                                .fd = event },
                                            &error),
                     -ENOTSUP, "KVM_CAP_IOEVENTFD");
}
END_TEST

static void count_free(void *user_data)
{
    (*(unsigned *)user_data)++;
}

static void log_line(void *user_data, uint32_t level, const char *text)
{
}

static int32_t on_exit_callback(void *user_data, struct nestvirt_exit *exit)
{
    return NESTVIRT_ACTION_DEFAULT;
}

START_TEST(test_sinks_free_their_data_once)
{
    unsigned logs = 0;
    unsigned exits = 0;

    vm = fake_kvm_vm(host, 0, NESTVIRT_CHIP_SPLIT, 1);
    ck_nv_ok(nestvirt_vm_set_log(vm, NESTVIRT_LOG_INFO, log_line, &logs, count_free, &error));
    ck_nv_fails(nestvirt_vm_set_log(vm, 5, log_line, &logs, count_free, &error), -EINVAL);
    ck_assert_uint_eq(logs, 0);
    ck_nv_ok(nestvirt_vm_set_log(vm, NESTVIRT_LOG_INFO, log_line, &logs, count_free, &error));
    ck_assert_uint_eq(logs, 1);
    ck_nv_ok(nestvirt_vm_set_log(vm, 0, NULL, NULL, NULL, &error));
    ck_assert_uint_eq(logs, 2);
    ck_nv_ok(nestvirt_vm_set_exit_handler(vm, on_exit_callback, &exits, count_free, &error));
    ck_nv_ok(nestvirt_vm_set_exit_handler(vm, on_exit_callback, &exits, count_free, &error));
    ck_assert_uint_eq(exits, 1);
    ck_nv_ok(nestvirt_vm_set_log(vm, NESTVIRT_LOG_INFO, log_line, &logs, count_free, &error));
    ck_assert_int_eq(nestvirt_vm_free(vm), 0);
    vm = NULL;
    ck_assert_uint_eq(logs, 3);
    ck_assert_uint_eq(exits, 2);
}
END_TEST

Suite *nv_test_suite(void)
{
    Suite *suite = suite_create("vm_build");
    TCase *tcase = support_case(suite, "build", 60);

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, test_order_of_calls);
    tcase_add_test(tcase, test_what_kvm_is_told);
    tcase_add_test(tcase, test_read_only_slot);
    tcase_add_test(tcase, test_host_without_read_only_slots);
    tcase_add_test(tcase, test_misuse_16_backing_of_the_vm);
    tcase_add_test(tcase, test_misuse_13_merging_while_running);
    tcase_add_test(tcase, test_chips);
    tcase_add_test(tcase, test_start_registers);
    tcase_add_test(tcase, test_registers_in_and_out);
    tcase_add_test(tcase, test_validate_lists_every_problem);
    tcase_add_test(tcase, test_handler_over_memory);
    tcase_add_test(tcase, test_too_many_slots);
    tcase_add_test(tcase, test_missing_features);
    tcase_add_test(tcase, test_sinks_free_their_data_once);
    return suite;
}
