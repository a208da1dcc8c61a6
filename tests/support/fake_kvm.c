/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the fake KVM's calls: descriptors, ioctls, chosen failures, the record. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fake_kvm_state.h"

pthread_mutex_t fake_lock = PTHREAD_MUTEX_INITIALIZER;
struct fake_state fake;

static struct fake_vcpu vcpu_places[VCPUS_MAX];

/* Notes a call; the error it has to fail with, or 0. Lock held. */
static int note(unsigned long request)
{
    if (fake.calls < RECORD_MAX)
        fake.record[fake.calls] = request;
    fake.calls++;
    if (fake.fail_at > 0 && --fake.fail_at == 0) {
        fake.has_failed = true;
        return fake.fail_error;
    }
    for (size_t i = 0; i < FAILING_MAX; i++)
        if (fake.failing[i].request == request && fake.failing[i].error)
            return fake.failing[i].error;
    return 0;
}

static int new_fd(enum kind kind, uint32_t vm, struct fake_vcpu *vcpu)
{
    int fd = open("/dev/null", O_RDWR | O_CLOEXEC);

    if (fd < 0)
        return -errno;
    if (fd >= FDS_MAX) {
        close(fd);
        return -EMFILE;
    }
    fake.fds[fd].kind = kind;
    fake.fds[fd].vm = vm;
    fake.fds[fd].vcpu = vcpu;
    return fd;
}

static int fake_open(const char *path)
{
    int r;

    pthread_mutex_lock(&fake_lock);
    r = -note(FAKE_OPEN);
    if (r == 0)
        r = new_fd(KIND_HOST, 0, NULL);
    pthread_mutex_unlock(&fake_lock);
    return r;
}

static int fake_map(int fd, size_t length, void **ret_pointer)
{
    void *area;
    int r;

    pthread_mutex_lock(&fake_lock);
    r = -note(FAKE_MAP);
    if (r == 0) {
        area = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        if (area == MAP_FAILED) {
            r = -errno;
        } else {
            madvise(area, length, MADV_DONTFORK); /* so that a leak is counted */
            fake.fds[fd].vcpu->run = area;
            *ret_pointer = area;
        }
    }
    pthread_mutex_unlock(&fake_lock);
    return r;
}

static int create_vcpu(uint32_t vm, uint32_t index)
{
    struct fake_vcpu *vcpu;
    int fd;

    if (fake.vcpu_count == VCPUS_MAX)
        return -ENOSPC;
    vcpu = &vcpu_places[fake.vcpu_count];
    memset(vcpu, 0, sizeof(*vcpu));
    vcpu->vm = vm;
    vcpu->index = index;
    vcpu->regs.rip = 0xfff0;
    vcpu->tsc_khz = fake.tsc_khz;
    vcpu->sregs.cs.base = 0xffff0000;
    vcpu->sregs.cs.selector = 0xf000;
    fd = new_fd(KIND_VCPU, vm, vcpu);
    if (fd >= 0)
        fake.vcpus[fake.vcpu_count++] = vcpu;
    return fd;
}

static int host_ioctl(unsigned long request, void *argument)
{
    unsigned capability = (unsigned)(uintptr_t)argument;
    union nv_cpuid *list = argument;

    switch (request) {
    case KVM_GET_API_VERSION:
        return fake.version;
    case KVM_GET_VCPU_MMAP_SIZE:
        return fake.mmap_size;
    case KVM_CHECK_EXTENSION:
        return capability < CAPABILITIES_MAX ? fake.capabilities[capability] : 0;
    case KVM_GET_SUPPORTED_CPUID:
        if (list->list.nent < fake.cpuid.list.nent)
            return -E2BIG;
        memcpy(list, &fake.cpuid,
               sizeof(fake.cpuid.list) + fake.cpuid.list.nent * sizeof(struct kvm_cpuid_entry2));
        return 0;
    case KVM_GET_MSR_INDEX_LIST:
        return fake_msr_names(argument);
    case KVM_CREATE_VM:
        return new_fd(KIND_VM, fake.vms++, NULL);
    default:
        return -ENOTTY;
    }
}

static int set_routing(const struct kvm_irq_routing *table)
{
    if (table->nr > NV_IOAPIC_PINS)
        return -EINVAL;
    fake.route_count = table->nr;
    memcpy(fake.routes, table->entries, table->nr * sizeof(table->entries[0]));
    return 0;
}

static int vm_ioctl(uint32_t vm, unsigned long request, void *argument)
{
    const struct kvm_userspace_memory_region *slot = argument;

    switch (request) {
    case KVM_CREATE_VCPU:
        return create_vcpu(vm, (uint32_t)(uintptr_t)argument);
    case KVM_SET_USER_MEMORY_REGION:
        if (slot->slot < SLOTS_MAX)
            fake.slots[slot->slot] = *slot;
        return 0;
    case KVM_SET_GSI_ROUTING:
        return set_routing(argument);
    case KVM_SIGNAL_MSI:
        if (fake.msi_count < MSIS_MAX)
            fake.msis[fake.msi_count++] = *(const struct kvm_msi *)argument;
        return fake.msi_result;
    case KVM_IRQFD:
        fake.irqfd = *(const struct kvm_irqfd *)argument;
        return 0;
    case KVM_IOEVENTFD:
        fake.ioeventfd = *(const struct kvm_ioeventfd *)argument;
        return 0;
    case KVM_IRQ_LINE:
        fake.line = *(const struct kvm_irq_level *)argument;
        return 0;
    case KVM_SET_IDENTITY_MAP_ADDR:
    case KVM_SET_TSS_ADDR:
    case KVM_ENABLE_CAP:
    case KVM_CREATE_IRQCHIP:
    case KVM_CREATE_PIT2:
        return 0;
    default:
        return fake_saved_vm_ioctl(request, argument);
    }
}

static int set_signal_mask(struct fake_vcpu *vcpu, const struct kvm_signal_mask *mask)
{
    if (mask->len != 8)
        return -EINVAL;
    sigemptyset(&vcpu->run_mask);
    memcpy(&vcpu->run_mask, mask->sigset, 8);
    return 0;
}

static int vcpu_ioctl(struct fake_vcpu *vcpu, unsigned long request, void *argument)
{
    struct kvm_translation *place = argument;

    switch (request) {
    case KVM_GET_REGS:
        *(struct kvm_regs *)argument = vcpu->regs;
        return 0;
    case KVM_SET_REGS:
        vcpu->regs = *(const struct kvm_regs *)argument;
        return 0;
    case KVM_GET_SREGS:
        *(struct kvm_sregs *)argument = vcpu->sregs;
        return 0;
    case KVM_SET_SREGS:
        vcpu->sregs = *(const struct kvm_sregs *)argument;
        return 0;
    case KVM_GET_VCPU_EVENTS:
        *(struct kvm_vcpu_events *)argument = vcpu->events;
        return 0;
    case KVM_SET_VCPU_EVENTS:
        vcpu->events = *(const struct kvm_vcpu_events *)argument;
        return 0;
    case KVM_TRANSLATE:
        place->physical_address = place->linear_address;
        place->valid = 1;
        return 0;
    case KVM_SET_CPUID2:
        memcpy(&vcpu->cpuid, argument,
               sizeof(struct kvm_cpuid2) +
                   ((struct kvm_cpuid2 *)argument)->nent * sizeof(struct kvm_cpuid_entry2));
        return 0;
    case KVM_SET_SIGNAL_MASK:
        return set_signal_mask(vcpu, argument);
    case KVM_KVMCLOCK_CTRL:
        return -EINVAL; /* as for a guest that does not use it */
    default:
        return fake_saved_vcpu_ioctl(vcpu, request, argument);
    }
}

static int fake_ioctl(int fd, unsigned long request, void *argument)
{
    struct fake_vcpu *vcpu;
    enum kind kind;
    int r;

    pthread_mutex_lock(&fake_lock);
    kind = fd >= 0 && fd < FDS_MAX ? fake.fds[fd].kind : KIND_NONE;
    vcpu = kind == KIND_VCPU ? fake.fds[fd].vcpu : NULL;
    if (vcpu && request == KVM_RUN) {
        for (size_t i = 0; i < FAILING_MAX; i++) {
            r = fake.failing[i].request == KVM_RUN ? -fake.failing[i].error : 0;
            if (r < 0) {
                pthread_mutex_unlock(&fake_lock);
                return r;
            }
        }
        pthread_mutex_unlock(&fake_lock);
        return fake_run(vcpu);
    }
    r = -note(request);
    if (r == 0 && kind == KIND_HOST)
        r = host_ioctl(request, argument);
    else if (r == 0 && kind == KIND_VM)
        r = vm_ioctl(fake.fds[fd].vm, request, argument);
    else if (r == 0 && kind == KIND_VCPU)
        r = vcpu_ioctl(vcpu, request, argument);
    else if (r == 0)
        r = -EBADF;
    pthread_mutex_unlock(&fake_lock);
    return r;
}

const struct nv_kvm_ops fake_kvm_ops = {
    .open = fake_open,
    .ioctl = fake_ioctl,
    .map = fake_map,
};
