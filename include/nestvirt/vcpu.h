/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Virtual CPUs: registers, CPUID and MSRs, and driving one by hand.
 *
 * Register calls need a vCPU that is not running guest code: state built or paused, a vCPU driven
 * by hand between two runs, the vCPU's own exit callback, or state stopped and failed (to look at
 * what was left; setting has no effect on a later start). Otherwise they return -EBUSY.
 */
#ifndef NESTVIRT_VCPU_H
#define NESTVIRT_VCPU_H

#include <nestvirt/vm.h>

#ifdef __cplusplus
extern "C" {
#endif

struct nestvirt_vcpu;

/* General registers (KVM API documentation 4.11). */
struct nestvirt_regs {
    uint32_t size;
    uint32_t flags;
    uint64_t rax, rbx, rcx, rdx, rsi, rdi, rsp, rbp;
    uint64_t r8, r9, r10, r11, r12, r13, r14, r15;
    uint64_t rip, rflags;
};

/* A segment register with its hidden part. */
struct nestvirt_segment {
    uint64_t base;
    uint32_t limit;
    uint16_t selector;
    uint8_t type;    /* 4 bits of the descriptor */
    uint8_t present; /* the following are 0 or 1, dpl 0 to 3 */
    uint8_t dpl;
    uint8_t db;
    uint8_t s;
    uint8_t l;
    uint8_t g;
    uint8_t avl;
    uint8_t unusable;
    uint8_t reserved;
};

/* Segment, control and table registers (KVM API documentation 4.13). */
struct nestvirt_sregs {
    uint32_t size;
    uint32_t flags;
    struct nestvirt_segment cs, ds, es, fs, gs, ss, tr, ldt;
    uint64_t gdt_base, idt_base;
    uint32_t gdt_limit, idt_limit;
    uint64_t cr0, cr2, cr3, cr4, cr8, efer, apic_base;
};

/* Zero the structure and set its size; never write past caller_size bytes. */
void nestvirt_regs_init(struct nestvirt_regs *regs, size_t caller_size);
void nestvirt_sregs_init(struct nestvirt_sregs *sregs, size_t caller_size);

/*
 * The VM's vCPU number index (from 0). It belongs to the VM and lives as long. Any state.
 * -ENOENT when the VM has fewer.
 */
int nestvirt_vm_get_vcpu(struct nestvirt_vm *vm, uint32_t index, struct nestvirt_vcpu **ret_vcpu,
                         struct nestvirt_error **ret_error);

/*
 * Changes one register of one CPUID leaf for all vCPUs of the VM: bits in clear become 0, then
 * bits in set become 1. Calls add up. Leaves the library computes (topology, APIC id) are written
 * after these masks. State new. -EINVAL for a register above 3 or overlapping masks, -ENOENT
 * for a leaf the host does not offer, -ENOSPC above 64 masks.
 *
 * cpu_register: 0 eax, 1 ebx, 2 ecx, 3 edx.
 */
int nestvirt_vm_add_cpuid_mask(struct nestvirt_vm *vm, uint32_t leaf, uint32_t index,
                               uint32_t cpu_register, uint32_t clear, uint32_t set,
                               struct nestvirt_error **ret_error);

/*
 * Read and write all general registers, or all segment, control and table registers. To change
 * some, read first. Allowed states: see the beginning of vcpu.h. Errors: -EBUSY; -EINVAL when KVM
 * refuses the values, for a descriptor table limit above 0xffff, or for non-zero flags.
 */
int nestvirt_vcpu_get_regs(struct nestvirt_vcpu *vcpu, struct nestvirt_regs *regs,
                           struct nestvirt_error **ret_error);
int nestvirt_vcpu_set_regs(struct nestvirt_vcpu *vcpu, const struct nestvirt_regs *regs,
                           struct nestvirt_error **ret_error);
int nestvirt_vcpu_get_sregs(struct nestvirt_vcpu *vcpu, struct nestvirt_sregs *sregs,
                            struct nestvirt_error **ret_error);
int nestvirt_vcpu_set_sregs(struct nestvirt_vcpu *vcpu, const struct nestvirt_sregs *sregs,
                            struct nestvirt_error **ret_error);

/*
 * Reads or writes one model-specific register. -ENOENT when KVM does not know it or refuses the
 * value.
 */
int nestvirt_vcpu_get_msr(struct nestvirt_vcpu *vcpu, uint32_t index, uint64_t *ret_value,
                          struct nestvirt_error **ret_error);
int nestvirt_vcpu_set_msr(struct nestvirt_vcpu *vcpu, uint32_t index, uint64_t value,
                          struct nestvirt_error **ret_error);

/* nestvirt_exit.reason */
enum {
    NESTVIRT_EXIT_PORT = 1,           /* port access: address, length, is_write, data */
    NESTVIRT_EXIT_MMIO = 2,           /* access outside memory: the same */
    NESTVIRT_EXIT_HALT = 3,           /* HLT, with NESTVIRT_CHIP_NONE */
    NESTVIRT_EXIT_SHUTDOWN = 4,       /* triple fault */
    NESTVIRT_EXIT_DEBUG = 5,          /* debug exit: code is the exception */
    NESTVIRT_EXIT_INTERNAL_ERROR = 6, /* KVM cannot go on: code is the suberror */
    NESTVIRT_EXIT_CANCELED = 7,       /* nestvirt_vcpu_cancel(), pause, or a signal handler ran */
    NESTVIRT_EXIT_STOPPED = 8,        /* the guest ended its VM: see nestvirt_vm_wait() */
    NESTVIRT_EXIT_ENTRY_FAILED = 9,   /* the hardware refused the state: code is its reason */
    NESTVIRT_EXIT_UNKNOWN = 10        /* code is KVM's own exit reason */
};

/*
 * Why a vCPU left guest mode. Filled by nestvirt_vcpu_run() and passed to exit callbacks.
 */
struct nestvirt_exit {
    uint32_t size;
    uint32_t flags;    /* 0 */
    uint32_t reason;   /* NESTVIRT_EXIT_* */
    uint32_t vcpu;     /* its number */
    uint64_t address;  /* port, or guest physical address */
    uint32_t length;   /* bytes of the access, 1 to 8 */
    uint32_t is_write; /* 1: data holds what the guest wrote; 0: put the answer there */
    uint8_t data[8];   /* little-endian */
    uint64_t code;     /* see the reasons */
    uint64_t rip;      /* of DEBUG, INTERNAL_ERROR, ENTRY_FAILED; else 0 */
    uint32_t instruction_length;
    uint32_t reserved;
    uint8_t instruction[16]; /* bytes at rip, of INTERNAL_ERROR */
};

/* Zeroes the structure and sets its size; never writes past caller_size bytes. */
void nestvirt_exit_init(struct nestvirt_exit *exit, size_t caller_size);

/*
 * Runs a vCPU on the calling thread until something happens that no handler takes care of.
 * For a VM with NESTVIRT_VM_MANUAL_VCPUS in state running (start the VM first). After a read exit,
 * put the value in exit->data and pass the same exit to the next call. At most one thread at a
 * time per vCPU. While it runs, the library blocks its own real-time signal, SIGPIPE and
 * SIGXFSZ on the calling thread and restores the mask afterwards.
 * Errors: -EBUSY (state, or another thread drives it), -EINVAL for a VM with vCPU threads. Guest
 * trouble is an exit, not an error.
 */
int nestvirt_vcpu_run(struct nestvirt_vcpu *vcpu, struct nestvirt_exit *exit,
                      struct nestvirt_error **ret_error);

/*
 * Makes a vCPU driven by hand leave nestvirt_vcpu_run() with NESTVIRT_EXIT_CANCELED: the present
 * run, or the next one if none is under way. Safe from any thread and from callbacks.
 * State running.
 */
int nestvirt_vcpu_cancel(struct nestvirt_vcpu *vcpu, struct nestvirt_error **ret_error);

/*
 * Queues an exception for the next entry: vector 0 to 31 but 2, with its error code if
 * has_error_code is not 0. With nestvirt_vcpu_skip(), this resolves an internal error instead of
 * ending the run.
 */
int nestvirt_vcpu_inject_exception(struct nestvirt_vcpu *vcpu, uint32_t vector,
                                   uint32_t has_error_code, uint32_t error_code,
                                   struct nestvirt_error **ret_error);

/* Moves the instruction pointer on by length bytes, 1 to 15. */
int nestvirt_vcpu_skip(struct nestvirt_vcpu *vcpu, uint32_t length,
                       struct nestvirt_error **ret_error);

#ifdef __cplusplus
}
#endif

#endif
