/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The virtual machine: its life from new to free, its result and its events.
 *
 *   new --build--> built --start--> running <--pause/resume--> paused
 *                    ^                 |                          |
 *                    +-build- stopped <+--- stop, or the guest ---+
 *
 * A guest that resets, powers off, faults or writes to the exit device stops its VM; the result
 * says which. `failed` is `stopped` after an internal error. Start again from either: memory is
 * zeroed (but see the backings in memory.h), the kernel is loaded anew, and registers are as after
 * a reset.
 */
#ifndef NESTVIRT_VM_H
#define NESTVIRT_VM_H

#include <nestvirt/host.h>

#ifdef __cplusplus
extern "C" {
#endif

struct nestvirt_vm;
struct nestvirt_exit;

/* States, in the order of a VM's life; see the drawing above. */
enum {
    NESTVIRT_STATE_NEW = 1,
    NESTVIRT_STATE_BUILT = 2,
    NESTVIRT_STATE_RUNNING = 3,
    NESTVIRT_STATE_PAUSED = 4,
    NESTVIRT_STATE_STOPPED = 5,
    NESTVIRT_STATE_FAILED = 6
};

/* nestvirt_vm_config.interrupt_chip */
enum {
    NESTVIRT_CHIP_SPLIT = 0, /* local APICs in the kernel, IOAPIC in the library; no PIC, no PIT */
    NESTVIRT_CHIP_NONE = 1,  /* nothing: HLT is an exit, interrupts are the caller's */
    NESTVIRT_CHIP_KERNEL = 2 /* PIC, IOAPIC and local APICs in the kernel: slow to create */
};

/* nestvirt_vm_config.flags */
enum {
    /* No vCPU threads: the caller runs each vCPU with nestvirt_vcpu_run(). */
    NESTVIRT_VM_MANUAL_VCPUS = 1 << 0,
    /* Complete the few instructions that interpreted KVM hosts refuse (int3, fwait, clac, stac). */
    NESTVIRT_VM_FIXUPS = 1 << 1,
    /* A programmable interval timer; only with NESTVIRT_CHIP_KERNEL. */
    NESTVIRT_VM_PIT = 1 << 2,
    /*
     * The guest sees VMX or SVM and may run VMs of its own. Without it they are hidden, whatever a
     * CPUID mask says. Only where the host has NESTVIRT_HOST_NESTED_VMX or
     * NESTVIRT_HOST_NESTED_SVM; nestvirt_report_new() tells why it has not.
     */
    NESTVIRT_VM_NESTED = 1 << 3
};

enum {
    NESTVIRT_VM_NAME_MAX = 63 /* bytes of a VM's name */
};

struct nestvirt_vm_config {
    uint32_t size;
    uint32_t flags;          /* NESTVIRT_VM_* */
    uint64_t memory_size;    /* bytes of RAM in the default layout, 0: regions are added by hand */
    uint32_t memory_backing; /* NESTVIRT_BACKING_ANONYMOUS, _MEMFD or _HUGETLB, of that RAM */
    uint32_t vcpus;          /* 1 to nestvirt_host_info.max_vcpus; _init sets 1 */
    uint32_t interrupt_chip; /* NESTVIRT_CHIP_* */
    uint32_t reserved;       /* 0 */
    const char *name;        /* copied; for messages and thread names; NULL: "vm" */
};

/* Sets the defaults: one vCPU, split chip, no memory. Never writes past caller_size bytes. */
void nestvirt_vm_config_init(struct nestvirt_vm_config *config, size_t caller_size);

/*
 * Makes a VM in state new. Nothing of KVM is created before nestvirt_vm_build().
 *
 * config: copied; NULL for the defaults.
 * Errors: -EINVAL for 0 or too many vCPUs, a bad memory size, an unknown flag or chip, a name that
 * is too long; -E2BIG; -ENOMEM; -ENOTSUP if the host lacks the chip, or has no VMX or SVM to give
 * and NESTVIRT_VM_NESTED is set (the message names the module's parameter).
 */
int nestvirt_vm_new(struct nestvirt_host *host, const struct nestvirt_vm_config *config,
                    struct nestvirt_vm **ret_vm, struct nestvirt_error **ret_error);

/*
 * Stops the VM if it runs, joins its threads and frees it with its vCPUs and devices. NULL is
 * allowed. Any state. Errors: -EDEADLK from a callback or a vCPU of this VM, -EBADF (also while
 * another thread frees it), NESTVIRT_E_VCPU_STUCK; in all cases nothing was freed. In a child
 * process after fork: frees the handle only.
 */
int nestvirt_vm_free(struct nestvirt_vm *vm);

/* The state now, NESTVIRT_STATE_*, or a negative code. Any state. */
int nestvirt_vm_get_state(struct nestvirt_vm *vm);

/* The name of a state: "new", "running", ...; static; "unknown" for other values. */
const char *nestvirt_vm_state_name(int state);

/*
 * Gives the VM an event loop to share. The VM holds it until it is freed. State new.
 * Errors: -EBUSY in another state or if the VM has a loop.
 */
int nestvirt_vm_set_loop(struct nestvirt_vm *vm, struct nestvirt_loop *loop,
                         struct nestvirt_error **ret_error);

/* Levels of nestvirt_vm_set_log(). */
enum {
    NESTVIRT_LOG_ERROR = 1,
    NESTVIRT_LOG_WARNING = 2,
    NESTVIRT_LOG_INFO = 3,
    NESTVIRT_LOG_DEBUG = 4
};

/*
 * Sets where the VM's log lines go; silent without it. Lines up to `level` are passed as finished
 * strings without a newline, on whichever thread they arise, rate-limited where a guest can cause
 * them. fn NULL removes the sink. free_data (may be NULL) is called once with user_data when the
 * sink is replaced or the VM is freed; if the call fails, it is not called. State new or built.
 */
int nestvirt_vm_set_log(struct nestvirt_vm *vm, uint32_t level,
                        void (*fn)(void *user_data, uint32_t level, const char *text),
                        void *user_data, void (*free_data)(void *user_data),
                        struct nestvirt_error **ret_error);

/*
 * Lists every problem that would make build fail, without creating anything. State new.
 * Returns 0, the code of the only problem, or NESTVIRT_E_INVALID_VM with the list in ret_error
 * (nestvirt_error_get_next()).
 */
int nestvirt_vm_validate(struct nestvirt_vm *vm, struct nestvirt_error **ret_error);

/*
 * Creates everything the VM needs - KVM objects, memory, threads (parked), devices - opens all it
 * will ever open, and loads the kernel. Privileges may be dropped after it. State new; also stopped
 * or failed, to prepare another start (memory zeroed, registers as after reset) before changing
 * memory or registers. A failed first build leaves the VM new, though guest memory may hold what
 * was loaded; a failed later one leaves it failed, with the last result.
 * Errors: what nestvirt_vm_validate() reports; -ENOMEM, -EMFILE, -EAGAIN (threads), -ENOSPC and
 * other codes of the kernel; those of the kernel loader (boot.h).
 */
int nestvirt_vm_build(struct nestvirt_vm *vm, struct nestvirt_error **ret_error);

/*
 * Lets the guest run and returns at once. States built, stopped, failed (the last two build
 * first). Errors: -EBUSY in other states, -EALREADY when running; those of build; -EAGAIN if KVM
 * cannot make its own thread of the VM, which stays built.
 */
int nestvirt_vm_start(struct nestvirt_vm *vm, struct nestvirt_error **ret_error);

/*
 * Stops all vCPUs at an instruction boundary and returns when none runs any more. A vCPU driven by
 * hand leaves nestvirt_vcpu_run() with NESTVIRT_EXIT_CANCELED. State running; -EALREADY when
 * paused, -EDEADLK from a callback or vCPU of this VM, NESTVIRT_E_VCPU_STUCK when one could not be
 * signalled (pause again, or stop).
 */
int nestvirt_vm_pause(struct nestvirt_vm *vm, struct nestvirt_error **ret_error);

/* Lets a paused VM run on. State paused; -EALREADY when running. */
int nestvirt_vm_resume(struct nestvirt_vm *vm, struct nestvirt_error **ret_error);

/*
 * Asks the guest to shut down, by the ACPI power button; it may take its time or not obey.
 * State running. Errors: -ENOTSUP with the reason, when the VM has no ACPI tables, no `reset`
 * device, or its guest has not set up ACPI's event device.
 */
int nestvirt_vm_request_stop(struct nestvirt_vm *vm, struct nestvirt_error **ret_error);

/*
 * Stops the VM whatever the guest does. timeout_ms: how long to wait for vCPUs that are inside a
 * callback, -1 for ever. States running, paused; built becomes stopped too; 0 at once when stopped
 * or failed. Errors: -EBUSY when new, -ETIMEDOUT (the VM stops as soon as the callback returns),
 * -EDEADLK from a callback or vCPU of this VM: return NESTVIRT_ACTION_STOP there instead.
 */
int nestvirt_vm_stop(struct nestvirt_vm *vm, int32_t timeout_ms, struct nestvirt_error **ret_error);

/* nestvirt_vm_result.reason */
enum {
    NESTVIRT_RESULT_NONE = 0,           /* has not ended */
    NESTVIRT_RESULT_GUEST_RESET = 1,    /* the guest asked for a reset */
    NESTVIRT_RESULT_GUEST_SHUTDOWN = 2, /* the guest powered itself off */
    NESTVIRT_RESULT_TRIPLE_FAULT = 3,   /* also how some kernels reset */
    NESTVIRT_RESULT_GUEST_EXIT = 4,     /* the guest wrote to the exit device: exit_code */
    NESTVIRT_RESULT_STOPPED = 5,        /* the caller stopped it */
    NESTVIRT_RESULT_INTERNAL_ERROR = 6, /* KVM could not go on: rip, suberror, instruction */
    NESTVIRT_RESULT_GUEST_HALT = 7      /* every vCPU halted and nothing can wake it (CHIP_NONE) */
};

struct nestvirt_vm_result {
    uint32_t size;
    uint32_t flags;              /* 0 */
    uint32_t reason;             /* NESTVIRT_RESULT_* */
    int32_t exit_code;           /* of GUEST_EXIT */
    uint32_t vcpu;               /* the vCPU that ended the run, if one did */
    uint32_t suberror;           /* of INTERNAL_ERROR, as KVM reports it; else 0 */
    uint64_t rip;                /* of INTERNAL_ERROR and TRIPLE_FAULT, where known */
    uint32_t instruction_length; /* bytes known in instruction */
    uint32_t reserved;
    uint8_t instruction[16]; /* at rip */
};

/* Zeroes the structure and sets its size; never writes past caller_size bytes. */
void nestvirt_vm_result_init(struct nestvirt_vm_result *result, size_t caller_size);

/*
 * Waits until the VM has stopped. timeout_ms: -1 for ever, 0 to look only. result may be NULL.
 * Any state but new and built (-EBUSY). Errors: -ETIMEDOUT, -EDEADLK on the VM's own threads.
 */
int nestvirt_vm_wait(struct nestvirt_vm *vm, int32_t timeout_ms, struct nestvirt_vm_result *result,
                     struct nestvirt_error **ret_error);

/* The name of a result: "guest reset", ...; static; "unknown" for other values. */
const char *nestvirt_vm_result_name(uint32_t reason);

/* nestvirt_event.kind */
enum {
    NESTVIRT_EVENT_STATE = 1,          /* the state changed: values[0] old, values[1] new */
    NESTVIRT_EVENT_STOPPED = 2,        /* the VM stopped: values[0] is the result's reason */
    NESTVIRT_EVENT_UNHANDLED_EXIT = 3, /* an access nobody owns: values address, length, is_write;
                                          the first of each burst only */
    NESTVIRT_EVENT_LOST = 4,           /* values[0] events were dropped: the queue was full */
    NESTVIRT_EVENT_IO_ERROR = 5,       /* a disk: values[0] the device's number, values[1] the errno
                                          of the host; the VM is paused if the disk's policy says so */
    NESTVIRT_EVENT_LINK = 6 /* a network device: values[0] its number, values[1] 0, or the
                               errno with which its tap went down */
};

struct nestvirt_event {
    uint32_t size;
    uint32_t flags;   /* 0 */
    uint32_t kind;    /* NESTVIRT_EVENT_* */
    uint32_t vcpu;    /* where one is concerned */
    uint64_t time_ns; /* CLOCK_MONOTONIC, nanoseconds */
    uint64_t values[4];
};

/* Zeroes the structure and sets its size; never writes past caller_size bytes. */
void nestvirt_event_init(struct nestvirt_event *event, size_t caller_size);

/*
 * A descriptor that polls readable while events wait. Made at the first call; it belongs to the VM
 * and closes with it: poll it, do not read or close it. Any state. Returns it, or -EMFILE, -ENOMEM.
 */
int nestvirt_vm_get_event_fd(struct nestvirt_vm *vm, struct nestvirt_error **ret_error);

/*
 * Takes the oldest event: 1 if event was filled, 0 if none waits. At most 64 wait; events before
 * the first call are kept too. What comes when the queue is full is dropped and counted
 * (NESTVIRT_EVENT_LOST, behind all others), but for NESTVIRT_EVENT_STOPPED, which takes the place
 * of the newest of another kind. What a guest can cause gets half of the queue. Any state.
 */
int nestvirt_vm_next_event(struct nestvirt_vm *vm, struct nestvirt_event *event,
                           struct nestvirt_error **ret_error);

/* What an exit callback or an access handler answers. */
enum {
    NESTVIRT_ACTION_DEFAULT = 0, /* not mine: do what would be done without the callback */
    NESTVIRT_ACTION_RESUME = 1,  /* dealt with: the vCPU goes on */
    NESTVIRT_ACTION_STOP = 2     /* stop the VM, result NESTVIRT_RESULT_STOPPED */
};

/*
 * Sets the callback for exits nobody handles: accesses to unclaimed ports and addresses, internal
 * errors, debug exits. It runs on the vCPU's thread and may use the vCPU (registers,
 * nestvirt_vcpu_inject_exception(), nestvirt_vcpu_skip()). For a read it may put the value in
 * exit->data and answer RESUME. Defaults: unclaimed reads give all ones and writes are dropped; an
 * internal error ends the run. After a triple fault (NESTVIRT_EXIT_SHUTDOWN) a vCPU cannot go on,
 * for KVM leaves its state undefined: RESUME ends the run there as DEFAULT does, with
 * NESTVIRT_RESULT_TRIPLE_FAULT, and logs an error. free_data as for nestvirt_vm_set_log(). State
 * new or built.
 */
int nestvirt_vm_set_exit_handler(struct nestvirt_vm *vm,
                                 int32_t (*fn)(void *user_data, struct nestvirt_exit *exit),
                                 void *user_data, void (*free_data)(void *user_data),
                                 struct nestvirt_error **ret_error);

#ifdef __cplusplus
}
#endif

#endif
