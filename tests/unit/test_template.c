/* SPDX-License-Identifier: Apache-2.0 */
/* Proves templates on the fake KVM: states, order of calls, failures of each call, identity. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/util.h"
#include "fake_kvm.h"
#include "state/template.h"
#include "support.h"
#include "vm/vm.h"

enum { TRIES_MAX = 400, SERIAL = 0, RNG = 1, VMGENID = 2 };

static struct nestvirt_host *host;
static struct nestvirt_vm *vm;
static struct nestvirt_template *template;

static void setup(void)
{
    fake_kvm_reset();
    host = fake_kvm_host();
    vm = fake_kvm_vm(host, 0, NESTVIRT_CHIP_SPLIT, 2);
    ck_nv_ok(nestvirt_device_add(vm, "serial", NULL, &error));
    ck_nv_ok(nestvirt_device_add(vm, "rng", NULL, &error));
    ck_nv_ok(nestvirt_device_add(vm, "vmgenid", NULL, &error));
    template = NULL;
}

static void teardown(void)
{
    ck_assert_int_eq(nestvirt_template_free(template), 0);
    ck_assert_int_eq(nestvirt_vm_free(vm), 0);
    ck_assert_int_eq(nestvirt_host_free(host), 0);
}

static void run_and_pause(void)
{
    ck_nv_ok(nestvirt_vm_build(vm, &error));
    ck_nv_ok(nestvirt_vm_start(vm, &error));
    ck_nv_ok(nestvirt_vm_pause(vm, &error));
}

static struct nestvirt_vm *clone_of(struct nestvirt_template *from)
{
    struct nestvirt_vm *clone;

    ck_nv_ok(nestvirt_clone_new(from, NULL, &clone, &error));
    return clone;
}

START_TEST(test_states)
{
    ck_nv_fails(nestvirt_template_new(vm, 0, &template, &error), -EBUSY);
    ck_assert_ptr_null(template);
    ck_nv_ok(nestvirt_vm_build(vm, &error));
    ck_nv_ok(nestvirt_template_new(vm, 0, &template, &error));
    nestvirt_template_free(template);
    ck_nv_ok(nestvirt_vm_start(vm, &error));
    ck_nv_fails(nestvirt_template_new(vm, 0, &template, &error), -EBUSY);
    ck_nv_ok(nestvirt_vm_pause(vm, &error));
    ck_nv_fails(nestvirt_template_new(vm, 1u << 30, &template, &error), -EINVAL);
    ck_nv_fails(nestvirt_template_new(vm, NESTVIRT_TEMPLATE_TRUST_FILE, &template, &error),
                -EINVAL);
    ck_nv_fails(nestvirt_template_new(vm, 0, NULL, &error), -EFAULT);
    ck_nv_ok(nestvirt_template_new(vm, NESTVIRT_TEMPLATE_CONSUME, &template, &error));
    ck_assert_int_eq(nestvirt_vm_get_state(vm), NESTVIRT_STATE_STOPPED);
    ck_nv_fails(nestvirt_vm_start(vm, &error), -EBUSY);
    ck_nv_fails(nestvirt_vm_build(vm, &error), -EBUSY);
    ck_nv_fails(nestvirt_memory_read(vm, 0, &(int){ 0 }, 1, &error), -EFAULT);
    ck_nv_ok(nestvirt_vm_stop(vm, 0, &error));
}
END_TEST

START_TEST(test_handles)
{
    struct nestvirt_template_info info;
    struct nestvirt_clone_config config;
    struct nestvirt_vm *clone;
    char name[NESTVIRT_VM_NAME_MAX + 2];

    run_and_pause();
    ck_nv_ok(nestvirt_template_new(vm, 0, &template, &error));
    nestvirt_template_info_init(&info, sizeof(info));
    ck_nv_ok(nestvirt_template_get_info(template, &info, &error));
    ck_assert_uint_eq(info.memory_size, 2 << 20);
    ck_assert_uint_gt(info.data_size, 0); /* the generation ID */
    ck_assert_uint_le(info.data_size, 8192);
    ck_assert_uint_gt(info.state_size, 4096);
    ck_assert_uint_eq(info.vcpus, 2);
    ck_assert_uint_eq(info.devices, 3);
    ck_nv_fails(nestvirt_template_get_info(NULL, &info, &error), -EFAULT);
    ck_nv_fails(nestvirt_template_get_info((void *)vm, &info, &error), -EBADF);
    ck_nv_fails(nestvirt_template_get_info(template, NULL, &error), -EFAULT);
    ck_assert_int_eq(nestvirt_template_free(NULL), 0);
    ck_assert_int_eq(nestvirt_template_free((void *)vm), -EBADF);
    ck_nv_fails(nestvirt_clone_new(NULL, NULL, &clone, &error), -EFAULT);
    ck_nv_fails(nestvirt_clone_new(template, NULL, NULL, &error), -EFAULT);
    nestvirt_clone_config_init(&config, sizeof(config));
    config.flags = 1;
    ck_nv_fails(nestvirt_clone_new(template, &config, &clone, &error), -EINVAL);
    ck_assert_ptr_null(clone);
    memset(name, 'x', sizeof(name));
    name[sizeof(name) - 1] = '\0';
    config.flags = 0;
    config.name = name;
    ck_nv_fails(nestvirt_clone_new(template, &config, &clone, &error), -EINVAL);
}
END_TEST

/* What a clone has from its template cannot be changed; what is its own is not copied. */
START_TEST(test_identity)
{
    struct nestvirt_memory_config memory;
    struct nestvirt_device *device;
    struct nestvirt_vm *clone;
    uint8_t first[NESTVIRT_GENERATION_SIZE], second[NESTVIRT_GENERATION_SIZE];
    uint64_t value;

    ck_nv_ok(nestvirt_device_get(vm, RNG, &device, &error));
    ck_nv_ok(nestvirt_device_set_u64(device, "queue_size", 32, &error));
    ck_nv_fails(nestvirt_vm_get_generation(vm, first, sizeof(first), &error), -EBUSY);
    run_and_pause();
    ck_nv_fails(nestvirt_vm_get_generation(vm, first, 15, &error), -EINVAL);
    ck_assert_int_eq(nestvirt_vm_get_generation(vm, first, sizeof(first), NULL), 16);
    ck_nv_ok(nestvirt_memory_read(vm, 0xef000, second, sizeof(second), &error));
    ck_assert_mem_eq(first, second, sizeof(first));
    ck_nv_ok(nestvirt_template_new(vm, 0, &template, &error));
    clone = clone_of(template);
    nestvirt_memory_config_init(&memory, sizeof(memory));
    memory.address = 1 << 30;
    memory.length = 4096;
    ck_nv_fails(nestvirt_memory_add(clone, &memory, &error), -EBUSY);
    ck_nv_fails(nestvirt_memory_remove(clone, 0, &error), -EBUSY);
    ck_nv_fails(nestvirt_device_add(clone, "rng", NULL, &error), -EBUSY);
    ck_nv_fails(nestvirt_boot_set_cmdline(clone, "x", &error), -EBUSY);
    ck_nv_ok(nestvirt_device_get(clone, RNG, &device, &error));
    ck_nv_ok(nestvirt_device_get_u64(device, "queue_size", &value, &error));
    ck_assert_uint_eq(value, 32);
    ck_nv_fails(nestvirt_device_get(clone, 3, &device, &error), -ENOENT);
    ck_assert_ptr_null(device);
    ck_nv_ok(nestvirt_vm_build(clone, &error));
    ck_assert_int_eq(nestvirt_vm_get_generation(clone, second, sizeof(second), NULL), 16);
    ck_assert_int_ne(memcmp(first, second, sizeof(first)), 0);
    ck_nv_ok(nestvirt_memory_read(clone, 0xef000, first, sizeof(first), &error));
    ck_assert_mem_eq(first, second, sizeof(first));
    ck_assert_int_eq(nestvirt_vm_free(clone), 0);
}
END_TEST

/* The order in which KVM wants a vCPU back; the clock last, and only when the guest goes on. */
/* A clone that starts anew from a template that had never run is another machine each time. */
START_TEST(test_fresh_clone_starts_again)
{
    uint8_t ids[3][NESTVIRT_GENERATION_SIZE], seen[NESTVIRT_GENERATION_SIZE];
    struct nestvirt_vm *clone;

    ck_nv_ok(nestvirt_vm_build(vm, &error));
    ck_assert_int_eq(nestvirt_vm_get_generation(vm, ids[0], sizeof(ids[0]), NULL), 16);
    ck_nv_ok(nestvirt_template_new(vm, 0, &template, &error));
    clone = clone_of(template);
    ck_nv_ok(nestvirt_vm_build(clone, &error));
    for (int i = 1; i < 3; i++) {
        ck_nv_ok(nestvirt_vm_start(clone, &error));
        ck_assert_int_eq(nestvirt_vm_get_generation(clone, ids[i], sizeof(ids[i]), NULL), 16);
        ck_nv_ok(nestvirt_memory_read(clone, 0xef000, seen, sizeof(seen), &error));
        ck_assert_mem_eq(seen, ids[i], sizeof(seen));
        ck_assert_mem_ne(ids[i], ids[i - 1], sizeof(seen));
        ck_nv_ok(nestvirt_vm_stop(clone, 1000, &error));
    }
    ck_assert_mem_ne(ids[2], ids[0], sizeof(seen));
    ck_assert_int_eq(nestvirt_vm_free(clone), 0);
}
END_TEST

START_TEST(test_order)
{
    struct nestvirt_vm *clone;
    const struct nv_irq *irq;

    run_and_pause();
    fake_kvm_set_rip(0, 0, 0x1234);
    fake_kvm_set_rip(0, 1, 0x5678);
    vm->irq.pins[4].entry = 0x0000000000000021;
    ck_nv_ok(nestvirt_template_new(vm, 0, &template, &error));
    clone = clone_of(template);
    ck_nv_ok(nestvirt_vm_build(clone, &error));
    ck_assert_uint_eq(fake_kvm_regs(1, 0).rip, 0x1234);
    ck_assert_uint_eq(fake_kvm_regs(1, 1).rip, 0x5678);
    irq = &clone->irq;
    ck_assert_uint_eq(irq->pins[4].entry, 0x21);
    ck_assert_int_lt(fake_kvm_first(KVM_SET_SREGS), fake_kvm_first(KVM_SET_REGS));
    ck_assert_int_lt(fake_kvm_first(KVM_SET_REGS), fake_kvm_first(KVM_SET_XCRS));
    ck_assert_int_lt(fake_kvm_first(KVM_SET_XCRS), fake_kvm_first(KVM_SET_XSAVE));
    ck_assert_int_lt(fake_kvm_first(KVM_SET_XSAVE), fake_kvm_first(KVM_SET_MSRS));
    ck_assert_int_lt(fake_kvm_first(KVM_SET_MSRS), fake_kvm_first(KVM_SET_LAPIC));
    ck_assert_int_lt(fake_kvm_first(KVM_SET_LAPIC), fake_kvm_first(KVM_SET_VCPU_EVENTS));
    ck_assert_int_lt(fake_kvm_first(KVM_SET_VCPU_EVENTS), fake_kvm_first(KVM_SET_DEBUGREGS));
    ck_assert_int_lt(fake_kvm_first(KVM_SET_DEBUGREGS), fake_kvm_first(KVM_SET_MP_STATE));
    ck_assert_uint_eq(fake_kvm_count(KVM_SET_LAPIC), 2);
    ck_assert_uint_eq(fake_kvm_count(KVM_SET_CLOCK), 0);
    ck_nv_ok(nestvirt_vm_start(clone, &error));
    ck_assert_uint_eq(fake_kvm_count(KVM_SET_CLOCK), 1);
    ck_nv_ok(nestvirt_vm_stop(clone, 1000, &error));
    ck_nv_ok(nestvirt_vm_start(clone, &error)); /* from the template once more */
    ck_assert_uint_eq(fake_kvm_count(KVM_SET_CLOCK), 2);
    ck_assert_uint_eq(fake_kvm_count(KVM_SET_LAPIC), 4);
    ck_assert_int_eq(nestvirt_vm_free(clone), 0);
}
END_TEST

static void queue(void *user_data, struct nestvirt_device *device, uint32_t number)
{
}

START_TEST(test_own_devices)
{
    struct nestvirt_virtio_config config;
    struct nestvirt_device *device;

    nestvirt_virtio_config_init(&config, sizeof(config));
    config.device_id = 40;
    config.queue_count = 1;
    ck_nv_ok(nestvirt_virtio_add(vm, &config, queue, NULL, NULL, &device, &error));
    run_and_pause();
    ck_nv_fails_with(nestvirt_template_new(vm, 0, &template, &error), -ENOTSUP, "device 3");
    ck_nv_ok(nestvirt_vm_resume(vm, &error));
}
END_TEST

/* Each call that fails while saving leaves the VM paused; what a host may lack is left out. */
START_TEST(test_faults_of_saving)
{
    unsigned n = 0, refused = 0;

    run_and_pause();
    do {
        int r;

        ck_assert_uint_lt(++n, TRIES_MAX);
        fake_kvm_fail(n, EIO);
        r = nestvirt_template_new(vm, 0, &template, NULL);
        ck_assert_int_eq(r < 0, template == NULL);
        ck_assert_int_eq(nestvirt_vm_get_state(vm), NESTVIRT_STATE_PAUSED);
        refused += r < 0;
        nestvirt_template_free(template);
        template = NULL;
    } while (fake_kvm_has_failed());
    fake_kvm_fail(0, 0);
    ck_assert_uint_gt(refused, 10);
    ck_nv_ok(nestvirt_vm_resume(vm, &error));
}
END_TEST

/* Each call that fails while a clone is built leaves it new, and it can be built then. */
START_TEST(test_faults_of_building)
{
    unsigned n = 0, refused = 0;

    run_and_pause();
    ck_nv_ok(nestvirt_template_new(vm, 0, &template, &error));
    do {
        struct nestvirt_vm *clone = clone_of(template);
        int r;

        ck_assert_uint_lt(++n, TRIES_MAX);
        fake_kvm_fail(n, EIO);
        r = nestvirt_vm_build(clone, NULL);
        ck_assert_int_eq(nestvirt_vm_get_state(clone),
                         r < 0 ? NESTVIRT_STATE_NEW : NESTVIRT_STATE_BUILT);
        refused += r < 0;
        if (r < 0) {
            ck_assert(fake_kvm_has_failed());
            ck_nv_ok(nestvirt_vm_build(clone, &error));
        }
        ck_assert_int_eq(nestvirt_vm_free(clone), 0);
    } while (fake_kvm_has_failed());
    fake_kvm_fail(0, 0);
    ck_assert_uint_gt(refused, 30);
}
END_TEST

/* KVM names two registers in a row that this guest has not: what comes behind them is saved too. */
START_TEST(test_two_msrs_refused_in_a_row)
{
    struct nestvirt_vcpu *vcpu;
    struct nestvirt_vm *clone;
    uint64_t value = 0;

    run_and_pause();
    ck_nv_ok(nestvirt_vm_get_vcpu(vm, 1, &vcpu, &error));
    ck_nv_fails(nestvirt_vcpu_get_msr(vcpu, 0x4b564d05, &value, &error), -ENOENT);
    ck_nv_fails(nestvirt_vcpu_get_msr(vcpu, 0x4b564d06, &value, &error), -ENOENT);
    ck_nv_ok(nestvirt_vcpu_set_msr(vcpu, 0x174, 0x1234, &error));
    ck_nv_ok(nestvirt_template_new(vm, 0, &template, &error));
    clone = clone_of(template);
    ck_nv_ok(nestvirt_vm_build(clone, &error));
    ck_nv_ok(nestvirt_vm_get_vcpu(clone, 1, &vcpu, &error));
    ck_nv_ok(nestvirt_vcpu_get_msr(vcpu, 0x174, &value, &error));
    ck_assert_uint_eq(value, 0x1234);
    ck_assert_int_eq(nestvirt_vm_free(clone), 0);
}
END_TEST

/* On a host whose processor lacks what the guest uses. */
START_TEST(test_lesser_host)
{
    static const struct kvm_cpuid_entry2 lesser[] = {
        { .function = 0, .eax = 1 },
        { .function = 1, .eax = 0x806f8, .ecx = 0x01e00021, .edx = 0x078bfbff },
    };
    struct nestvirt_template *there;
    struct nestvirt_host *other;
    struct nestvirt_vm *clone;
    int fd = memfd_create("state", MFD_CLOEXEC);

    run_and_pause();
    ck_nv_ok(nestvirt_template_new(vm, 0, &template, &error));
    ck_nv_ok(nestvirt_template_write(template, NULL, fd, &error));
    fake_kvm_set_cpuid(lesser, 2);
    other = fake_kvm_host();
    ck_nv_ok(nestvirt_template_open(other, fd, 0, NULL, &there, &error));
    clone = clone_of(there);
    ck_nv_fails_with(nestvirt_vm_build(clone, &error), -ENOTSUP, "processor features");
    ck_assert_int_eq(nestvirt_vm_free(clone), 0);
    nestvirt_template_free(there);
    ck_assert_int_eq(nestvirt_host_free(other), 0);
    close(fd);
}
END_TEST

/* A host whose counter goes at another rate gives the guest its own, or does not take it. */
START_TEST(test_other_tsc)
{
    enum { KHZ = 2400000, NEAR = 2400500, FAR = 3000000 };
    struct nestvirt_vm *clone;

    run_and_pause();
    ck_nv_ok(nestvirt_template_new(vm, 0, &template, &error));
    fake_kvm_set_tsc_khz(NEAR);
    clone = clone_of(template);
    ck_nv_ok(nestvirt_vm_build(clone, &error));
    ck_assert_uint_eq(fake_kvm_tsc_khz(1, 1), NEAR);
    ck_assert_int_eq(nestvirt_vm_free(clone), 0);
    fake_kvm_set_tsc_khz(FAR);
    clone = clone_of(template);
    ck_nv_fails_with(nestvirt_vm_build(clone, &error), -ENOTSUP, "2400000 kHz");
    fake_kvm_set_capability(KVM_CAP_TSC_CONTROL, 1);
    ck_nv_ok(nestvirt_vm_build(clone, &error));
    ck_assert_uint_eq(fake_kvm_tsc_khz(3, 1), KHZ);
    ck_assert_int_eq(nestvirt_vm_free(clone), 0);
}
END_TEST

/* Without local APICs in the kernel each KVM_RUN takes CR8 from its own structure. */
START_TEST(test_cr8_without_chip)
{
    struct nestvirt_vm *plain = fake_kvm_vm(host, 0, NESTVIRT_CHIP_NONE, 1);
    struct nestvirt_sregs sregs;
    struct nestvirt_vcpu *vcpu;
    struct nestvirt_vm *clone;

    ck_nv_ok(nestvirt_vm_build(plain, &error));
    ck_nv_ok(nestvirt_vm_get_vcpu(plain, 0, &vcpu, &error));
    nestvirt_sregs_init(&sregs, sizeof(sregs));
    ck_nv_ok(nestvirt_vcpu_get_sregs(vcpu, &sregs, &error));
    sregs.cr8 = 5;
    ck_nv_ok(nestvirt_vcpu_set_sregs(vcpu, &sregs, &error));
    ck_assert_uint_eq(plain->group.vcpus[0].run->cr8, 5);
    ck_nv_ok(nestvirt_template_new(plain, 0, &template, &error));
    clone = clone_of(template);
    ck_nv_ok(nestvirt_vm_build(clone, &error));
    ck_assert_uint_eq(clone->group.vcpus[0].run->cr8, 5);
    ck_assert_int_eq(nestvirt_vm_free(clone), 0);
    ck_assert_int_eq(nestvirt_vm_free(plain), 0);
}
END_TEST

/*
 * A vCPU that halts for good exists only without an interrupt chip, and when all have, the VM has
 * ended: from such a state nobody would ever run, nor end.
 */
START_TEST(test_hostile_halted)
{
    struct nestvirt_vm *plain = fake_kvm_vm(host, 0, NESTVIRT_CHIP_NONE, 2);
    struct nestvirt_vm *manual = fake_kvm_vm(host, NESTVIRT_VM_MANUAL_VCPUS, NESTVIRT_CHIP_NONE, 2);
    struct nestvirt_vm *of[] = { plain, manual, vm };
    struct nestvirt_vm *clone;

    ck_nv_ok(nestvirt_vm_build(plain, &error));
    ck_nv_ok(nestvirt_vm_build(manual, &error));
    ck_nv_ok(nestvirt_vm_build(vm, &error));
    for (size_t i = 0; i < 3; i++) {
        for (uint32_t k = 0; k < 2; k++) {
            of[i]->group.vcpus[k].is_halted = true;
            ck_nv_ok(nestvirt_template_new(of[i], 0, &template, &error));
            of[i]->group.vcpus[k].is_halted = k == 0 && i == 0;
            clone = clone_of(template);
            if (k == 0 && i == 0)
                ck_nv_ok(nestvirt_vm_build(clone, &error));
            else
                ck_nv_fails_with(nestvirt_vm_build(clone, &error), NESTVIRT_E_BAD_STATE, "halted");
            ck_assert_int_eq(nestvirt_vm_free(clone), 0);
            ck_assert_int_eq(nestvirt_template_free(template), 0);
        }
    }
    template = NULL;
    ck_assert_int_eq(nestvirt_vm_free(plain), 0);
    ck_assert_int_eq(nestvirt_vm_free(manual), 0);
}
END_TEST

/* KVM takes from its host what it lets no guest do: to run VMs of its own where CPUID has none. */
START_TEST(test_hostile_nested)
{
    static const struct {
        uint64_t efer, cr4;
    } rows[] = { { 1 << 12, 0 }, { 0, 1 << 13 } };
    struct nestvirt_sregs sregs;
    struct nestvirt_vcpu *vcpu;
    struct nestvirt_vm *clone;

    ck_nv_ok(nestvirt_vm_build(vm, &error));
    ck_nv_ok(nestvirt_vm_get_vcpu(vm, 1, &vcpu, &error));
    nestvirt_sregs_init(&sregs, sizeof(sregs));
    ck_nv_ok(nestvirt_vcpu_get_sregs(vcpu, &sregs, &error));
    for (size_t i = 0; i < NV_ARRAY_SIZE(rows); i++) {
        sregs.efer = rows[i].efer;
        sregs.cr4 = rows[i].cr4;
        ck_nv_ok(nestvirt_vcpu_set_sregs(vcpu, &sregs, &error));
        ck_nv_ok(nestvirt_template_new(vm, 0, &template, &error));
        clone = clone_of(template);
        ck_nv_fails_with(nestvirt_vm_build(clone, &error), NESTVIRT_E_BAD_STATE, "SVM or VMX");
        ck_assert_int_eq(nestvirt_vm_free(clone), 0);
        ck_assert_int_eq(nestvirt_template_free(template), 0);
        template = NULL;
    }
}
END_TEST

/* The same by a register of the list, where EFER is not: it is one of those of KVM_GET_SREGS. */
START_TEST(test_hostile_efer_in_list)
{
    static const uint8_t sysenter[12] = { 0x74, 1, 0, 0, 0x34, 0x12 };
    struct nestvirt_vcpu *vcpu;
    struct nestvirt_vm *clone;
    uint8_t *at;

    ck_nv_ok(nestvirt_vm_build(vm, &error));
    ck_nv_ok(nestvirt_vm_get_vcpu(vm, 1, &vcpu, &error));
    ck_nv_ok(nestvirt_vcpu_set_msr(vcpu, 0x174, 0x1234, &error));
    ck_nv_ok(nestvirt_template_new(vm, 0, &template, &error));
    at = memmem(template->machine.bytes, template->machine.length, sysenter, sizeof(sysenter));
    ck_assert_ptr_nonnull(at);
    nv_put_le32(at, 0xc0000080);
    clone = clone_of(template);
    ck_nv_fails(nestvirt_vm_build(clone, &error), NESTVIRT_E_BAD_STATE);
    ck_assert_int_eq(nestvirt_vm_free(clone), 0);
}
END_TEST

/* A start that fails can be tried again. */
START_TEST(test_fault_of_clock)
{
    struct nestvirt_vm *clone;

    run_and_pause();
    ck_nv_ok(nestvirt_template_new(vm, 0, &template, &error));
    clone = clone_of(template);
    ck_nv_ok(nestvirt_vm_build(clone, &error));
    fake_kvm_fail_request(KVM_SET_CLOCK, EINVAL);
    ck_nv_fails(nestvirt_vm_start(clone, &error), -EINVAL);
    ck_assert_int_eq(nestvirt_vm_get_state(clone), NESTVIRT_STATE_BUILT);
    fake_kvm_fail_request(KVM_SET_CLOCK, 0);
    ck_nv_ok(nestvirt_vm_start(clone, &error));
    ck_assert_int_eq(nestvirt_vm_free(clone), 0);
}
END_TEST

Suite *nv_test_suite(void)
{
    Suite *suite = suite_create("template");
    TCase *tcase = support_case(suite, "templates", 60);

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, test_states);
    tcase_add_test(tcase, test_handles);
    tcase_add_test(tcase, test_identity);
    tcase_add_test(tcase, test_fresh_clone_starts_again);
    tcase_add_test(tcase, test_order);
    tcase_add_test(tcase, test_own_devices);
    tcase_add_test(tcase, test_two_msrs_refused_in_a_row);
    tcase_add_test(tcase, test_lesser_host);
    tcase_add_test(tcase, test_other_tsc);
    tcase_add_test(tcase, test_cr8_without_chip);
    tcase_add_test(tcase, test_hostile_halted);
    tcase_add_test(tcase, test_hostile_nested);
    tcase_add_test(tcase, test_hostile_efer_in_list);
    tcase = support_case(suite, "faults", 120);
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, test_faults_of_saving);
    tcase_add_test(tcase, test_faults_of_building);
    tcase_add_test(tcase, test_fault_of_clock);
    return suite;
}
