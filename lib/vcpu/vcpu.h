/* SPDX-License-Identifier: Apache-2.0 */
/* Owns vCPUs and the group a VM's vCPUs form: threads, running, kicking, parking, ending. */
#ifndef NV_VCPU_VCPU_H
#define NV_VCPU_VCPU_H

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <nestvirt/vcpu.h>

#include "bus/bus.h"
#include "bus/irq.h"
#include "core/log.h"
#include "core/record.h"
#include "host/errand.h"
#include "kvm/kvm.h"
#include "memory/memory.h"
#include "vcpu/cpuid.h"
#include "vcpu/start.h"

struct nv_group;

struct nestvirt_vcpu {
    uint32_t tag;
    uint32_t index;
    struct nv_group *group;
    int fd;              /* -1: not built */
    struct kvm_run *run; /* NULL: not built */
    pthread_t thread;
    void *stack;            /* its, from the host's */
    atomic_bool has_thread; /* thread is valid */
    uint32_t epoch;         /* the last run this thread took part in */
    uint32_t errand;        /* the last it has done */

    pthread_mutex_t lock; /* guards the four below, and run->immediate_exit's setting */
    bool in_run;
    bool signal_sent;
    pthread_t runner;  /* who is in run; valid while in_run */
    sigset_t run_mask; /* what KVM_SET_SIGNAL_MASK was told; valid if has_run_mask */
    bool has_run_mask;

    uint32_t features[NV_CPUID_WORDS]; /* that its CPUID tells */

    /* Touched by the runner alone. */
    uint32_t io_position; /* element of a string port access under way */
    bool has_again;       /* the last exit is to be handled (again) before the vCPU goes on */
    bool awaits_answer;   /* a read exit went to the caller; its data comes with the next run */
    bool is_halted;       /* HLT without an interrupt chip: nothing will wake it */
    struct nv_log_limit unhandled_limit;
    struct nv_log_limit error_limit;
    atomic_bool is_canceled; /* nestvirt_vcpu_cancel() since the last run */
};

/* What a group tells the room above. All are called on a vCPU's thread or the stopping caller's. */
struct nv_group_owner {
    void *owner;
    void (*parked)(void *owner); /* the last vCPU has parked; group lock held */
    void (*unhandled)(void *owner, const struct nestvirt_exit *exit); /* rate-limited */
};

struct nv_group {
    struct nestvirt_host *host;
    const char *name; /* the VM's */
    int vm_fd;        /* -1: not built */
    bool is_manual;
    bool has_fixups;
    bool has_irqchip;
    struct nv_bus *bus;
    struct nv_irq *irq;
    const struct nv_memory *memory;
    const struct nv_log *log;
    struct nv_group_owner upward;
    int32_t (*exit_fn)(void *user_data, struct nestvirt_exit *exit);
    void *exit_data;
    uint32_t count;
    struct nestvirt_vcpu *vcpus;

    pthread_mutex_t lock;
    pthread_cond_t changed; /* CLOCK_MONOTONIC */
    uint32_t epoch;         /* raised at each release */
    uint32_t active;        /* vCPUs that have not parked since; manual: inside nestvirt_vcpu_run */
    uint32_t halted;
    struct nv_errand errand;
    bool quit;
    atomic_bool leave; /* vCPUs are to park */
    bool has_ended;    /* result is valid */
    struct nestvirt_vm_result result;
};

/* Prepares count vCPUs without KVM. -ENOMEM. */
int nv_group_init(struct nv_group *group, uint32_t count);
void nv_group_destroy(struct nv_group *group);

/*
 * Creates the KVM vCPUs, their CPUID and start registers, and (first time) their parked threads.
 * group->vm_fd is set. On failure everything made by this call is taken back.
 */
int nv_group_build(struct nv_group *group, const struct nv_cpuid_masks *masks,
                   const struct nv_cpu_start *start, struct nestvirt_error **ret_error);

/* Closes the KVM vCPUs; threads stay parked. Nothing may be active. */
void nv_group_close(struct nv_group *group);

/* Ends and joins the threads. Nothing may be active. */
void nv_group_join(struct nv_group *group);

/* Sends the group's threads on an errand; they are parked. A group run by hand has none. */
void nv_group_send(struct nv_group *group, nv_errand_fn *fn, void *user_data,
                   struct nv_errand_result *result);

/*
 * Before the first release of a build: KVM makes a thread of its own for the VM (Linux 6.13). Here
 * a limit on threads is an error, while a vCPU would try again for ever; and not in the build,
 * because the thread keeps the privileges of the one that made it.
 */
int nv_group_prepare(struct nv_group *group, struct nestvirt_error **ret_error);

/*
 * Lets the vCPUs run. Called with the lock held, together with the change of state; the caller
 * then broadcasts group->changed, best without the lock, which the woken threads want.
 */
void nv_group_release(struct nv_group *group);

/* Asks all vCPUs to park; NESTVIRT_E_VCPU_STUCK if one could not be signalled. */
int nv_group_park(struct nv_group *group);

/*
 * Waits until all have parked. deadline_ns: CLOCK_MONOTONIC, UINT64_MAX for ever. -ETIMEDOUT.
 * Called with the group's lock held.
 */
int nv_group_wait_parked(struct nv_group *group, uint64_t deadline_ns);

/* Waits for any change, with the lock held; -ETIMEDOUT at the deadline. */
int nv_group_wait_change(struct nv_group *group, uint64_t deadline_ns);

/* Ends the run: the first result counts; all vCPUs park (see nv_group_park). Any thread. */
int nv_group_end(struct nv_group *group, const struct nestvirt_vm_result *result);

/* The same for the plain reasons. */
int nv_group_end_reason(struct nv_group *group, uint32_t reason, uint32_t vcpu);

/* True on a vCPU's thread, or on a caller's thread that drives one right now. */
bool nv_group_is_own_thread(struct nv_group *group);

/* Gets a vCPU out of guest mode, or keeps it from entering. 0 or NESTVIRT_E_VCPU_STUCK. */
int nv_vcpu_kick(struct nestvirt_vcpu *vcpu);

/* Bracket a stretch of runs on this thread: kicks reach it in between. */
void nv_vcpu_enter(struct nestvirt_vcpu *vcpu);
void nv_vcpu_exit(struct nestvirt_vcpu *vcpu);

/*
 * After EINTR: consumes the kick, so that the next run is not interrupted by it again. False if
 * there was none: a signal of the caller's thread was the cause.
 */
bool nv_vcpu_absorb(struct nestvirt_vcpu *vcpu);

/* True on the thread that is in a run of this vCPU. */
bool nv_vcpu_is_runner(struct nestvirt_vcpu *vcpu);

/* True while some thread is in a run of this vCPU. */
bool nv_vcpu_is_in_run(struct nestvirt_vcpu *vcpu);

/* Tells KVM which signals to block inside KVM_RUN, if that differs from last time. */
int nv_vcpu_set_run_mask(struct nestvirt_vcpu *vcpu, const sigset_t *mask);

enum nv_step {
    NV_STEP_RESUME,  /* go on */
    NV_STEP_DELIVER, /* exit is filled; the caller of a manual vCPU gets it */
    NV_STEP_AGAIN,   /* within this room: the handler wants to be called again */
    NV_STEP_LEAVE    /* canceled, parked or ended */
};

/*
 * Runs the vCPU until there is an exit to deliver (manual) or it is to leave. *exit is of our size
 * and carries the answer to a read delivered before.
 */
enum nv_step nv_vcpu_run(struct nestvirt_vcpu *vcpu, struct nestvirt_exit *exit);

/*
 * Enters KVM_RUN on this thread and leaves before any instruction, for what KVM makes at the first
 * run; nobody is in run. -EAGAIN or -ENOMEM if it could not.
 */
int nv_vcpu_run_nothing(struct nestvirt_vcpu *vcpu);

/* Tries to complete an instruction interpreted hosts refuse; true if the vCPU can go on. */
bool nv_vcpu_fixup(struct nestvirt_vcpu *vcpu, const struct nestvirt_exit *exit);

/* Bytes at the vCPU's instruction pointer, at most 15; returns how many could be read. */
uint32_t nv_vcpu_fetch(struct nestvirt_vcpu *vcpu, uint64_t rip, uint8_t bytes[16]);

/* Registers (regs_x86_64.c). The vCPU is not in guest mode. */
int nv_vcpu_get_regs(struct nestvirt_vcpu *vcpu, struct nestvirt_regs *ret_regs,
                     struct nestvirt_error **ret_error);
int nv_vcpu_set_regs(struct nestvirt_vcpu *vcpu, const struct nestvirt_regs *regs,
                     struct nestvirt_error **ret_error);
int nv_vcpu_get_sregs(struct nestvirt_vcpu *vcpu, struct nestvirt_sregs *ret_sregs,
                      struct nestvirt_error **ret_error);
int nv_vcpu_set_sregs(struct nestvirt_vcpu *vcpu, const struct nestvirt_sregs *sregs,
                      struct nestvirt_error **ret_error);
int nv_vcpu_get_msr(struct nestvirt_vcpu *vcpu, uint32_t index, uint64_t *ret_value,
                    struct nestvirt_error **ret_error);
int nv_vcpu_set_msr(struct nestvirt_vcpu *vcpu, uint32_t index, uint64_t value,
                    struct nestvirt_error **ret_error);
int nv_vcpu_inject(struct nestvirt_vcpu *vcpu, uint32_t vector, bool has_code, uint32_t code,
                   struct nestvirt_error **ret_error);
/* Without a local APIC in the kernel each KVM_RUN takes CR8 from its structure, whatever SREGS
 * said. */
void nv_vcpu_use_cr8(struct nestvirt_vcpu *vcpu, uint64_t cr8);
int nv_vcpu_skip(struct nestvirt_vcpu *vcpu, uint32_t length, struct nestvirt_error **ret_error);

/*
 * A vCPU as it stands, and put back to that (state_x86_64.c). It is parked; save first completes
 * the access it came out with. -EBUSY for one whose exit is in the caller's hands.
 */
int nv_vcpu_save(struct nestvirt_vcpu *vcpu, struct nv_writer *writer,
                 struct nestvirt_error **ret_error);
int nv_vcpu_load(struct nestvirt_vcpu *vcpu, struct nv_reader *reader,
                 struct nestvirt_error **ret_error);

/* Passes over the record that nv_vcpu_load() reads. NESTVIRT_E_BAD_STATE if it is not there. */
int nv_vcpu_pass(const struct nestvirt_vcpu *vcpu, struct nv_reader *reader,
                 struct nestvirt_error **ret_error);

/*
 * Completes the access that a parked vCPU came out with (run.c): 0, -EBUSY as above, or if a device
 * is not done with it by deadline_ns (CLOCK_MONOTONIC), or if the instruction makes one more, which
 * is done when the vCPU goes on. Nothing is lost, and a cancel stays.
 */
int nv_vcpu_settle(struct nestvirt_vcpu *vcpu, uint64_t deadline_ns,
                   struct nestvirt_error **ret_error);

/* Puts the boot vCPU in its start state. */
int nv_vcpu_set_start(struct nestvirt_vcpu *vcpu, const struct nv_cpu_start *start,
                      struct nestvirt_error **ret_error);

/* "vcpu 3", for errors. */
struct nv_text nv_vcpu_name(const struct nestvirt_vcpu *vcpu);

#endif
