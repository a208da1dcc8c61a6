/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The library's threads of a VM: which there are, on which CPUs and how urgently they run.
 *
 * A new thread inherits CPUs, policy, nice value and control groups of the thread that builds the
 * VM. What is set here is kept by the VM: each build applies it to the threads there are then,
 * after they were created and before one of them runs guest code; a start after a stop is such a
 * build.
 *
 * An event loop that several VMs share (nestvirt_vm_set_loop()) has one thread: what one VM sets
 * for it holds for all, and the last call counts. Threads of the kernel that work for a VM, such as
 * those of io_uring, are not among these.
 */
#ifndef NESTVIRT_THREAD_H
#define NESTVIRT_THREAD_H

#include <nestvirt/vm.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Kinds of threads. */
enum {
    NESTVIRT_THREAD_VCPU = 1, /* one for each vCPU; its index is the vCPU's */
    NESTVIRT_THREAD_LOOP = 2, /* the event loop, index 0; none if no device needs one */
    /*
     * Those that wait for files: some for each disk, one for each serial line or console port whose
     * output is a file; counted through in the order of the devices.
     */
    NESTVIRT_THREAD_WORKER = 3
};

enum {
    NESTVIRT_THREAD_EVERY = 0x7fffffff /* as an index: all of the kind */
};

/* nestvirt_thread_config.policy, nestvirt_thread_info.policy; see sched(7). */
enum {
    NESTVIRT_SCHED_LEAVE = 0, /* config: as it is; info: one that is not among these */
    NESTVIRT_SCHED_OTHER = 1,
    NESTVIRT_SCHED_BATCH = 2,
    NESTVIRT_SCHED_IDLE = 3,
    NESTVIRT_SCHED_FIFO = 4,
    NESTVIRT_SCHED_RR = 5
};

/* nestvirt_thread_config.flags */
enum {
    NESTVIRT_THREAD_SET_NICE = 1 << 0, /* nice is to be set */
    /*
     * The threads named by this call get one new cookie of core scheduling: they share a core's
     * hardware threads with each other and with nobody else.
     */
    NESTVIRT_THREAD_CORE_COOKIE = 1 << 1
};

struct nestvirt_thread_config {
    uint32_t size;
    uint32_t flags;    /* NESTVIRT_THREAD_SET_NICE, NESTVIRT_THREAD_CORE_COOKIE */
    uint32_t policy;   /* NESTVIRT_SCHED_* */
    int32_t priority;  /* of FIFO and RR, 1 to 99; 0 for the others */
    int32_t nice;      /* -20 (most urgent) to 19, with NESTVIRT_THREAD_SET_NICE; else 0 */
    uint32_t reserved; /* 0 */
    const char *cpus;  /* "0-3,8", as taskset and numactl take it; copied; NULL: as they are */
};

/* Zeroes the structure, which leaves everything as it is, and sets its size. */
void nestvirt_thread_config_init(struct nestvirt_thread_config *config, size_t caller_size);

/*
 * Sets where and how urgently threads of the VM run: those that there are at once, also while the
 * guest runs, and those that a later build makes. What a call leaves out stays as it was.
 *
 * kind: NESTVIRT_THREAD_VCPU, _LOOP or _WORKER. index: the thread's, or NESTVIRT_THREAD_EVERY,
 * which also replaces what was set for single ones.
 * Returns the number of threads that were changed, 0 in state new.
 *
 * All is read back from the kernel, which silently leaves out CPUs that are absent or not allowed:
 * here that is an error. When one thread cannot be set, all are put back as they were.
 * Errors: -EINVAL an unknown kind, flag or policy, a priority or nice value out of range, a
 * malformed or empty list, CPUs that are absent or that a cpuset keeps from the thread (the message
 * names them; in state new this is found by nestvirt_vm_validate() or build); -ENOENT no such
 * thread: index behind the last, or in a state other than new none of that kind; -ENOTSUP vCPUs
 * driven by hand, which run on the caller's threads, or no core scheduling on this host; -EPERM,
 * -EACCES without the right: the message names the limit or capability; -EDEADLK from a callback or
 * a vCPU of this VM; -ENOMEM. Any state.
 */
int nestvirt_thread_set(struct nestvirt_vm *vm, uint32_t kind, uint32_t index,
                        const struct nestvirt_thread_config *config,
                        struct nestvirt_error **ret_error);

/* nestvirt_thread_info.flags */
enum {
    NESTVIRT_THREAD_SHARED = 1 << 0,     /* an event loop that was given to the VM */
    NESTVIRT_THREAD_HAS_TIMES = 1 << 1,  /* cpu_time_ns and run_delay_ns are known */
    NESTVIRT_THREAD_HAS_COOKIE = 1 << 2, /* core_cookie is known */
    NESTVIRT_THREAD_HAS_CPU = 1 << 3     /* last_cpu is known */
};

/* A thread as the kernel sees it now. */
struct nestvirt_thread_info {
    uint32_t size;
    uint32_t flags;        /* NESTVIRT_THREAD_SHARED, NESTVIRT_THREAD_HAS_* */
    uint32_t kind;         /* NESTVIRT_THREAD_VCPU, _LOOP, _WORKER */
    uint32_t index;        /* within its kind */
    int32_t tid;           /* its id, as in /proc/self/task */
    uint32_t policy;       /* NESTVIRT_SCHED_* */
    int32_t priority;      /* of FIFO and RR; else 0 */
    int32_t nice;          /* -20 to 19 */
    uint64_t core_cookie;  /* equal for threads that may share a core; 0: none */
    uint64_t cpu_time_ns;  /* nanoseconds on a CPU since the thread began */
    uint64_t run_delay_ns; /* nanoseconds it was ready to run and had to wait for a CPU */
    uint32_t last_cpu;     /* where it runs, or ran last */
    uint32_t reserved;
    uint8_t name[16]; /* text with a closing zero */
};

/* Zeroes the structure and sets its size; never writes past caller_size bytes. */
void nestvirt_thread_info_init(struct nestvirt_thread_info *info, size_t caller_size);

/*
 * Reads thread number position (from 0) of the VM: vCPUs, the loop, workers. Any state; none in
 * state new. Errors: -ENOENT behind the last; -EDEADLK from a callback or a vCPU of this VM; a code
 * of /proc.
 */
int nestvirt_thread_get(struct nestvirt_vm *vm, uint32_t position,
                        struct nestvirt_thread_info *info, struct nestvirt_error **ret_error);

/*
 * Writes the CPUs a thread may run on, read from the kernel, as a list ("0-3,8") with a closing
 * zero. index: of one thread.
 * Returns the list's length. Errors: -E2BIG when it does not fit into size bytes (the message tells
 * the length), -ENOENT no such thread, -EINVAL an unknown kind or NESTVIRT_THREAD_EVERY, -EDEADLK
 * from a callback or a vCPU of this VM; buffer is then empty. Any state.
 */
int nestvirt_thread_get_cpus(struct nestvirt_vm *vm, uint32_t kind, uint32_t index, char *buffer,
                             size_t size, struct nestvirt_error **ret_error);

#ifdef __cplusplus
}
#endif

#endif
