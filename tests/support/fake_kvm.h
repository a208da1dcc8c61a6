/* SPDX-License-Identifier: Apache-2.0 */
/* Owns a KVM made of plain code: scripted exits, chosen failures, and a record of all calls. */
#ifndef TESTS_SUPPORT_FAKE_KVM_H
#define TESTS_SUPPORT_FAKE_KVM_H

#include <stdbool.h>
#include <stdint.h>

#include <nestvirt/nestvirt.h>

#include "kvm/kvm.h"

/*
 * Its descriptors are real ones (of /dev/null), so that they count as leaks if nobody closes them.
 * VMs are numbered from 0 in the order of KVM_CREATE_VM since fake_kvm_reset(), so a VM of the
 * library gets another number with each build. All functions may be called from any thread.
 */
extern const struct nv_kvm_ops fake_kvm_ops;

/* What the record calls the ops that are no ioctl. */
enum { FAKE_OPEN = 1, FAKE_MAP = 2 };

enum { FAKE_ANY_VM = 0xffff, FAKE_DATA_MAX = 64 };

/* Forgets everything but open hosts: no script, no failures, an empty record, all capabilities as
 * usual. */
void fake_kvm_reset(void);

/* Opens a host on the fake; fails the test if that fails. */
struct nestvirt_host *fake_kvm_host(void);

/* Makes a VM of 2 MiB on it; fails the test if that fails. */
struct nestvirt_vm *fake_kvm_vm(struct nestvirt_host *host, uint32_t flags, uint32_t chip,
                                uint32_t vcpus);

/* The n-th call from now on (1: the next) fails with -error; n 0: none. KVM_RUN does not count. */
void fake_kvm_fail(unsigned n, int error);

/* True if the call chosen by fake_kvm_fail() was made. */
bool fake_kvm_has_failed(void);

/* Every call of this request fails with -error, until error 0. */
void fake_kvm_fail_request(unsigned long request, int error);

/* What the host says of itself. */
void fake_kvm_set_capability(int capability, int value);
void fake_kvm_set_version(int version);
void fake_kvm_set_mmap_size(int size);
void fake_kvm_set_tsc_khz(uint32_t khz); /* of vCPUs made from now on */
void fake_kvm_set_cpuid(const struct kvm_cpuid_entry2 *entries, uint32_t count);

/* What KVM_SIGNAL_MSI returns: 1 delivered (the default), 0 dropped, or negative. */
void fake_kvm_set_msi_result(int result);

/* One return from KVM_RUN. */
struct fake_exit {
    uint32_t reason;             /* KVM_EXIT_* */
    int error;                   /* not 0: KVM_RUN fails with -error instead */
    uint64_t address;            /* port or guest physical address */
    uint32_t length;             /* bytes of an element; 0 counts as 1 */
    uint32_t count;              /* elements of a port access; 0 counts as 1 */
    bool is_write;               /* else the answer is put into data */
    bool is_further;             /* of the same instruction: comes even when KVM_RUN is kicked */
    bool is_done;                /* set when the vCPU has come back from it */
    uint8_t data[FAKE_DATA_MAX]; /* what the guest writes, or what it got */
    uint64_t code;               /* vector, suberror, event type, exception */
};

/*
 * Queues an exit for a vCPU. One whose queue is empty is halted: it waits for a kick, or more. The
 * result is the entry in the queue, valid until fake_kvm_reset().
 */
const struct fake_exit *fake_kvm_push(uint32_t vm, uint32_t vcpu, const struct fake_exit *exit);

/* Short forms: an exit without details, and byte accesses to a port. */
void fake_kvm_push_reason(uint32_t vm, uint32_t vcpu, uint32_t reason);
void fake_kvm_push_out(uint32_t vm, uint32_t vcpu, uint16_t port, uint8_t value);
const struct fake_exit *fake_kvm_push_in(uint32_t vm, uint32_t vcpu, uint16_t port);

/* Waits until the vCPU has done all its exits and halts. False after 20 seconds. */
bool fake_kvm_wait_idle(uint32_t vm, uint32_t vcpu);

/* Times KVM_RUN was entered since the reset, on all vCPUs. */
unsigned fake_kvm_runs(void);

/* Calls since the reset: of one request, and of all. KVM_RUN is not among them. */
unsigned fake_kvm_count(unsigned long request);
unsigned fake_kvm_calls(void);

/* Place of the first and last call of a request among all calls; -1 if there was none. */
int fake_kvm_first(unsigned long request);
int fake_kvm_last(unsigned long request);

/* What KVM was told. */
unsigned fake_kvm_msi_count(void);
struct kvm_msi fake_kvm_msi(unsigned number);
unsigned fake_kvm_routes(struct kvm_irq_routing_entry routes[NV_IOAPIC_PINS]);
struct kvm_userspace_memory_region fake_kvm_slot(unsigned number);
struct kvm_irqfd fake_kvm_irqfd(void);         /* the last */
struct kvm_ioeventfd fake_kvm_ioeventfd(void); /* the last */
struct kvm_irq_level fake_kvm_line(void);      /* the last */
struct kvm_vcpu_events fake_kvm_events(uint32_t vm, uint32_t vcpu);
struct kvm_regs fake_kvm_regs(uint32_t vm, uint32_t vcpu);
struct kvm_sregs fake_kvm_sregs(uint32_t vm, uint32_t vcpu);
void fake_kvm_set_rip(uint32_t vm, uint32_t vcpu, uint64_t rip);
union nv_cpuid fake_kvm_cpuid_of(uint32_t vm, uint32_t vcpu);
uint32_t fake_kvm_tsc_khz(uint32_t vm, uint32_t vcpu);

#endif
