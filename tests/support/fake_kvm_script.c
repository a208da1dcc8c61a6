/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the tests' side of the fake KVM: what it shall do, and what it was told. */
#include <check.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "core/cleanup.h"
#include "core/log.h"
#include "core/util.h"
#include "fake_kvm_state.h"

enum { IDLE_SECONDS = 20 };

static const struct kvm_cpuid_entry2 usual_cpuid[] = {
    { .function = 0, .eax = 0xb, .ebx = 0x756e6547, .ecx = 0x6c65746e, .edx = 0x49656e69 },
    { .function = 1, .eax = 0x806f8, .ebx = 0x12345678, .ecx = 0x01e00021, .edx = 0x178bfbff },
    { .function = 4, .index = 0, .flags = 1, .eax = 0xfc004121, .ebx = 0x2c0003f },
    { .function = 4, .index = 1, .flags = 1, .eax = 0xfc004122, .ebx = 0x1c0003f },
    { .function = 4, .index = 2, .flags = 1, .eax = 0xfc01c143, .ebx = 0x3c0003f },
    { .function = 4, .index = 3, .flags = 1, .eax = 0xfc07c163, .ebx = 0x380003f },
    { .function = 4, .index = 4, .flags = 1 },
    { .function = 7, .index = 0, .flags = 1, .ebx = 0x9c0fa9 },
    { .function = 0xb, .index = 0, .flags = 1 },
    { .function = 0x40000000, .eax = 0x40000001, .ebx = 0x4b4d564b },
    { .function = 0x40000001, .eax = 0x0100ffff },
    { .function = 0x80000000, .eax = 0x80000008 },
    { .function = 0x80000001, .ecx = 0x121, .edx = 0x2c100800 },
    { .function = 0x80000008, .eax = 0x3030 },
};

static const struct {
    int capability;
    int value;
} usual_capabilities[] = {
    { KVM_CAP_USER_MEMORY, 1 },
    { KVM_CAP_EXT_CPUID, 1 },
    { KVM_CAP_MP_STATE, 1 },
    { KVM_CAP_VCPU_EVENTS, 1 },
    { KVM_CAP_IMMEDIATE_EXIT, 1 },
    { KVM_CAP_CHECK_EXTENSION_VM, 1 },
    { KVM_CAP_SPLIT_IRQCHIP, 1 },
    { KVM_CAP_IRQFD, 1 },
    { KVM_CAP_IOEVENTFD, 1 },
    { KVM_CAP_TSC_DEADLINE_TIMER, 1 },
    { KVM_CAP_ADJUST_CLOCK, 1 },
    { KVM_CAP_READONLY_MEM, 1 },
    { KVM_CAP_MAX_VCPUS, 1024 },
    { KVM_CAP_NR_VCPUS, 4 },
    { KVM_CAP_NR_MEMSLOTS, 32764 },
    { KVM_CAP_SET_TSS_ADDR, 1 },
    { KVM_CAP_SET_IDENTITY_MAP_ADDR, 1 },
    { KVM_CAP_KVMCLOCK_CTRL, 1 },
};

/* A child of fork() finds the fake unlocked, whatever vCPU threads did at that moment. */
static void lock_for_fork(void)
{
    pthread_mutex_lock(&fake_lock);
}

static void unlock_after_fork(void)
{
    pthread_mutex_unlock(&fake_lock);
}

static void prepare_for_fork(void)
{
    pthread_atfork(lock_for_fork, unlock_after_fork, unlock_after_fork);
}

void fake_kvm_reset(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    static bool was_host[FDS_MAX];

    pthread_once(&once, prepare_for_fork);
    pthread_mutex_lock(&fake_lock);
    for (int i = 0; i < FDS_MAX; i++)
        was_host[i] = fake.fds[i].kind == KIND_HOST;
    memset(&fake, 0, sizeof(fake));
    for (int i = 0; i < FDS_MAX; i++)
        fake.fds[i].kind = was_host[i] ? KIND_HOST : KIND_NONE;
    fake.version = KVM_API_VERSION;
    fake.mmap_size = 3 * 4096;
    fake.tsc_khz = 2400000;
    fake.msi_result = 1;
    for (size_t i = 0; i < sizeof(usual_capabilities) / sizeof(usual_capabilities[0]); i++)
        fake.capabilities[usual_capabilities[i].capability] = usual_capabilities[i].value;
    pthread_mutex_unlock(&fake_lock);
    fake_kvm_set_cpuid(usual_cpuid, sizeof(usual_cpuid) / sizeof(usual_cpuid[0]));
}

struct nestvirt_host *fake_kvm_host(void)
{
    struct nestvirt_host *host = NULL;
    struct nestvirt_error *error = NULL;
    int r = nv_host_open(&fake_kvm_ops, "fake", -1, &host, &error);

    ck_assert_msg(r == 0, "%d: %s", r, nv_error_get_message(error));
    return host;
}

struct nestvirt_vm *fake_kvm_vm(struct nestvirt_host *host, uint32_t flags, uint32_t chip,
                                uint32_t vcpus)
{
    struct nestvirt_vm_config config;
    struct nestvirt_vm *vm = NULL;
    struct nestvirt_error *error = NULL;
    int r;

    nestvirt_vm_config_init(&config, sizeof(config));
    config.flags = flags;
    config.interrupt_chip = chip;
    config.vcpus = vcpus;
    config.memory_size = 2 << 20;
    config.name = "fake";
    r = nestvirt_vm_new(host, &config, &vm, &error);
    ck_assert_msg(r == 0, "%d: %s", r, nestvirt_error_get_message(error));
    return vm;
}

static struct fake_vcpu *find_vcpu(uint32_t vm, uint32_t index)
{
    for (uint32_t i = 0; i < fake.vcpu_count; i++)
        if (fake.vcpus[i]->vm == vm && fake.vcpus[i]->index == index)
            return fake.vcpus[i];
    return NULL;
}

void fake_kvm_fail(unsigned n, int error)
{
    NV_GUARD(&fake_lock);
    fake.fail_at = n;
    fake.fail_error = error;
    fake.has_failed = false;
}

bool fake_kvm_has_failed(void)
{
    NV_GUARD(&fake_lock);
    return fake.has_failed;
}

void fake_kvm_fail_request(unsigned long request, int error)
{
    size_t place = 0;

    NV_GUARD(&fake_lock);
    while (place < FAILING_MAX && fake.failing[place].error &&
           fake.failing[place].request != request)
        place++;
    ck_assert_uint_lt(place, FAILING_MAX);
    fake.failing[place].request = request;
    fake.failing[place].error = error;
}

void fake_kvm_set_capability(int capability, int value)
{
    NV_GUARD(&fake_lock);
    fake.capabilities[capability] = value;
}

void fake_kvm_set_version(int version)
{
    NV_GUARD(&fake_lock);
    fake.version = version;
}

void fake_kvm_set_mmap_size(int size)
{
    NV_GUARD(&fake_lock);
    fake.mmap_size = size;
}

void fake_kvm_set_tsc_khz(uint32_t khz)
{
    NV_GUARD(&fake_lock);
    fake.tsc_khz = khz;
}

void fake_kvm_set_cpuid(const struct kvm_cpuid_entry2 *entries, uint32_t count)
{
    NV_GUARD(&fake_lock);
    fake.cpuid.list.nent = count;
    memcpy(fake.cpuid.list.entries, entries, count * sizeof(*entries));
}

void fake_kvm_set_msi_result(int result)
{
    NV_GUARD(&fake_lock);
    fake.msi_result = result;
}

const struct fake_exit *fake_kvm_push(uint32_t vm, uint32_t vcpu, const struct fake_exit *exit)
{
    struct script_row *row;

    NV_GUARD(&fake_lock);
    ck_assert_uint_lt(fake.script_length, SCRIPT_MAX);
    row = &fake.script[fake.script_length++];
    *row = (struct script_row){ .vm = vm, .vcpu = vcpu, .exit = *exit };
    return &row->exit;
}

void fake_kvm_push_reason(uint32_t vm, uint32_t vcpu, uint32_t reason)
{
    fake_kvm_push(vm, vcpu, &(struct fake_exit){ .reason = reason });
}

void fake_kvm_push_out(uint32_t vm, uint32_t vcpu, uint16_t port, uint8_t value)
{
    const struct fake_exit exit = {
        .reason = KVM_EXIT_IO, .address = port, .is_write = true, .data = { value }
    };

    fake_kvm_push(vm, vcpu, &exit);
}

const struct fake_exit *fake_kvm_push_in(uint32_t vm, uint32_t vcpu, uint16_t port)
{
    return fake_kvm_push(vm, vcpu, &(struct fake_exit){ .reason = KVM_EXIT_IO, .address = port });
}

/* Lock held. */
static bool is_idle(uint32_t vm, uint32_t index)
{
    const struct fake_vcpu *vcpu = find_vcpu(vm, index);

    for (unsigned i = 0; i < fake.script_length; i++)
        if (!fake.script[i].is_taken && fake.script[i].vcpu == index &&
            (fake.script[i].vm == vm || fake.script[i].vm == FAKE_ANY_VM))
            return false;
    return vcpu && vcpu->is_idle && !vcpu->pending;
}

bool fake_kvm_wait_idle(uint32_t vm, uint32_t vcpu)
{
    uint64_t end = nv_now_ns() + IDLE_SECONDS * 1000000000ull;
    bool result = false;

    while (!result && nv_now_ns() < end) {
        pthread_mutex_lock(&fake_lock);
        result = is_idle(vm, vcpu);
        pthread_mutex_unlock(&fake_lock);
        if (!result)
            usleep(500);
    }
    return result;
}

unsigned fake_kvm_runs(void)
{
    NV_GUARD(&fake_lock);
    return fake.runs;
}

unsigned fake_kvm_calls(void)
{
    NV_GUARD(&fake_lock);
    return fake.calls;
}

unsigned fake_kvm_count(unsigned long request)
{
    unsigned count = 0;

    NV_GUARD(&fake_lock);
    for (unsigned i = 0; i < NV_MIN(fake.calls, (unsigned)RECORD_MAX); i++)
        count += fake.record[i] == request;
    return count;
}

int fake_kvm_first(unsigned long request)
{
    NV_GUARD(&fake_lock);
    for (unsigned i = 0; i < NV_MIN(fake.calls, (unsigned)RECORD_MAX); i++)
        if (fake.record[i] == request)
            return (int)i;
    return -1;
}

int fake_kvm_last(unsigned long request)
{
    NV_GUARD(&fake_lock);
    for (unsigned i = NV_MIN(fake.calls, (unsigned)RECORD_MAX); i > 0; i--)
        if (fake.record[i - 1] == request)
            return (int)i - 1;
    return -1;
}

unsigned fake_kvm_msi_count(void)
{
    NV_GUARD(&fake_lock);
    return fake.msi_count;
}

struct kvm_msi fake_kvm_msi(unsigned number)
{
    NV_GUARD(&fake_lock);
    ck_assert_uint_lt(number, fake.msi_count);
    return fake.msis[number];
}

unsigned fake_kvm_routes(struct kvm_irq_routing_entry routes[NV_IOAPIC_PINS])
{
    NV_GUARD(&fake_lock);
    memcpy(routes, fake.routes, sizeof(fake.routes));
    return fake.route_count;
}

struct kvm_userspace_memory_region fake_kvm_slot(unsigned number)
{
    NV_GUARD(&fake_lock);
    ck_assert_uint_lt(number, SLOTS_MAX);
    return fake.slots[number];
}

struct kvm_irqfd fake_kvm_irqfd(void)
{
    NV_GUARD(&fake_lock);
    return fake.irqfd;
}

struct kvm_ioeventfd fake_kvm_ioeventfd(void)
{
    NV_GUARD(&fake_lock);
    return fake.ioeventfd;
}

struct kvm_irq_level fake_kvm_line(void)
{
    NV_GUARD(&fake_lock);
    return fake.line;
}

/* Lock held. */
static struct fake_vcpu *must_find(uint32_t vm, uint32_t index)
{
    struct fake_vcpu *vcpu = find_vcpu(vm, index);

    ck_assert_msg(vcpu, "KVM has no vCPU %u of VM %u", index, vm);
    return vcpu;
}

struct kvm_vcpu_events fake_kvm_events(uint32_t vm, uint32_t vcpu)
{
    NV_GUARD(&fake_lock);
    return must_find(vm, vcpu)->events;
}

struct kvm_regs fake_kvm_regs(uint32_t vm, uint32_t vcpu)
{
    NV_GUARD(&fake_lock);
    return must_find(vm, vcpu)->regs;
}

uint32_t fake_kvm_tsc_khz(uint32_t vm, uint32_t vcpu)
{
    NV_GUARD(&fake_lock);
    return must_find(vm, vcpu)->tsc_khz;
}

struct kvm_sregs fake_kvm_sregs(uint32_t vm, uint32_t vcpu)
{
    NV_GUARD(&fake_lock);
    return must_find(vm, vcpu)->sregs;
}

void fake_kvm_set_rip(uint32_t vm, uint32_t vcpu, uint64_t rip)
{
    NV_GUARD(&fake_lock);
    must_find(vm, vcpu)->regs.rip = rip;
    must_find(vm, vcpu)->sregs.cs.base = 0;
}

union nv_cpuid fake_kvm_cpuid_of(uint32_t vm, uint32_t vcpu)
{
    NV_GUARD(&fake_lock);
    return must_find(vm, vcpu)->cpuid;
}
