/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the layout of the fake KVM's memory, for its own files only. */
#ifndef TESTS_SUPPORT_FAKE_KVM_STATE_H
#define TESTS_SUPPORT_FAKE_KVM_STATE_H

#include <pthread.h>
#include <signal.h>

#include "fake_kvm.h"

enum {
    FDS_MAX = 4096,
    RECORD_MAX = 32768,
    SCRIPT_MAX = 2048,
    VCPUS_MAX = 300,
    MSIS_MAX = 1024,
    SLOTS_MAX = 256,
    CAPABILITIES_MAX = 512,
    FAILING_MAX = 8,
    FAKE_MSRS = 3
};

enum kind { KIND_NONE, KIND_HOST, KIND_VM, KIND_VCPU };

/* A vCPU of a KVM VM. Places are taken by KVM_CREATE_VCPU and never given back before a reset. */
struct fake_vcpu {
    uint32_t vm;
    uint32_t index;
    struct kvm_run *run;
    sigset_t run_mask;
    bool is_idle;
    struct fake_exit *pending; /* delivered, not yet completed */
    struct kvm_regs regs;
    struct kvm_sregs sregs;
    struct kvm_vcpu_events events;
    uint64_t msrs[FAKE_MSRS];
    struct kvm_xcrs xcrs;
    struct kvm_xsave xsave;
    struct kvm_lapic_state lapic;
    struct kvm_debugregs debugregs;
    struct kvm_mp_state mp_state;
    uint32_t tsc_khz;
    union nv_cpuid cpuid;
};

struct script_row {
    uint32_t vm;
    uint32_t vcpu;
    bool is_taken;
    struct fake_exit exit;
};

/* Everything there is, under its lock. */
struct fake_state {
    struct {
        enum kind kind;
        uint32_t vm;
        struct fake_vcpu *vcpu;
    } fds[FDS_MAX];
    unsigned long record[RECORD_MAX];
    unsigned calls;
    unsigned runs;
    unsigned fail_at;
    int fail_error;
    bool has_failed;
    struct {
        unsigned long request;
        int error;
    } failing[FAILING_MAX];
    int version;
    int mmap_size;
    int capabilities[CAPABILITIES_MAX];
    union nv_cpuid cpuid;
    uint32_t vms;
    struct fake_vcpu *vcpus[VCPUS_MAX];
    uint32_t vcpu_count;
    struct script_row script[SCRIPT_MAX];
    unsigned script_length;
    int msi_result;
    struct kvm_msi msis[MSIS_MAX];
    unsigned msi_count;
    struct kvm_irq_routing_entry routes[NV_IOAPIC_PINS];
    unsigned route_count;
    struct kvm_userspace_memory_region slots[SLOTS_MAX];
    struct kvm_irqfd irqfd;
    struct kvm_ioeventfd ioeventfd;
    struct kvm_irq_level line;
    struct kvm_irqchip chips[3];
    struct kvm_pit_state2 pit;
    uint32_t tsc_khz;
    struct kvm_clock_data clock; /* as set last; it stands still */
};

extern pthread_mutex_t fake_lock;
extern struct fake_state fake;

/* Calls that save and restore (fake_kvm_saved.c); -ENOTTY for another. Lock held. */
int fake_saved_vm_ioctl(unsigned long request, void *argument);
int fake_saved_vcpu_ioctl(struct fake_vcpu *vcpu, unsigned long request, void *argument);
int fake_msr_names(struct kvm_msr_list *list);

/* KVM_RUN (fake_kvm_run.c). */
int fake_run(struct fake_vcpu *vcpu);

#endif
