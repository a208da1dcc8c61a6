/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Control groups: putting the library's threads of a VM into them, and reading CPU figures.
 *
 * Threads, not the process: what can be had for a part of a process is time on CPUs (controllers
 * cpu, cpuacct, cpuset, and in version 1 also freezer, blkio and pids). Memory cannot. The kernel
 * charges it to the group of the process, in version 2 because groups of single threads have no
 * memory controller, in version 1 because pages count for the process's first thread, whichever
 * thread touches them. Whoever wants to limit a VM's memory runs it in a process of its own and
 * puts that into a group (cgroup.procs).
 *
 * The library makes no groups, sets no limits and removes nothing: that is the caller's; a group
 * can be removed once the VM was freed. A thread joins after it was created and the VM too, which
 * costs less than creating a VM inside of a group. For each group that is set the library keeps a
 * descriptor open, so that later builds join it without the right to open its files.
 */
#ifndef NESTVIRT_CGROUP_H
#define NESTVIRT_CGROUP_H

#include <nestvirt/thread.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Flags of nestvirt_cgroup_set(). */
enum {
    /* Which threads; none of the first three: all of them. */
    NESTVIRT_CGROUP_VCPU = 1 << 0,        /* those of NESTVIRT_THREAD_VCPU */
    NESTVIRT_CGROUP_LOOP = 1 << 1,        /* the VM's own event loop */
    NESTVIRT_CGROUP_WORKER = 1 << 2,      /* those of NESTVIRT_THREAD_WORKER */
    NESTVIRT_CGROUP_SHARED_LOOP = 1 << 3, /* in addition, an event loop that was given to the VM */
    /* What the group must be able to do; else the call fails. */
    NESTVIRT_CGROUP_NEED_CPU = 1 << 4,    /* share and limit CPU time */
    NESTVIRT_CGROUP_NEED_CPUSET = 1 << 5, /* say which CPUs */
    NESTVIRT_CGROUP_NEED_MEMORY = 1 << 6  /* count memory of the VM: never, see above */
};

/*
 * Puts threads of the VM into a control group: those there are at once, also while the guest runs,
 * and those that a later build makes. In version 1, call it once for each hierarchy. Another group
 * of the same hierarchy takes the place of the former for the threads that are meant.
 *
 * path: an absolute folder below a mounted cgroup file system, of version 1 or 2; a group of
 * version 2 must be of type "threaded", and near enough to the process's own.
 * flags: NESTVIRT_CGROUP_*.
 * Returns the number of threads that were moved, 0 in state new.
 *
 * When one thread cannot be moved, or a cpuset takes CPUs from it that nestvirt_thread_set() gave
 * it, all are moved back to where they were, as far as the process may still write there: after
 * privileges were given up, threads may stay in the new group.
 * Errors: -EINVAL unknown flags, a path that is not absolute or not in a cgroup file system;
 * -ENOENT no such folder, or the VM is built and has no such threads; -EROFS a read-only mount;
 * -EACCES, -EPERM without the right to write there; -ENOTSUP a group of version 2 that is not
 * threaded or belongs to another domain, a controller that is needed and missing, NEED_MEMORY, a
 * hierarchy that only has the memory controller, vCPUs driven by hand with
 * NESTVIRT_CGROUP_VCPU; -ENOSPC a cpuset without CPUs or nodes; -EDEADLK from a callback or a vCPU
 * of this VM; other codes of the kernel. Messages name the remedy. Any state.
 */
int nestvirt_cgroup_set(struct nestvirt_vm *vm, const char *path, uint32_t flags,
                        struct nestvirt_error **ret_error);

/*
 * Writes the path of group number position (from 0) among those that were set, with a closing zero;
 * links are resolved. Returns its length. Errors: -ENOENT behind the last, -E2BIG when it does not
 * fit into size bytes, -EDEADLK from a callback or a vCPU of this VM; buffer is then empty. Any
 * state.
 */
int nestvirt_cgroup_get(struct nestvirt_vm *vm, uint32_t position, char *buffer, size_t size,
                        struct nestvirt_error **ret_error);

/* nestvirt_cgroup_usage.flags: which fields are known. */
enum {
    NESTVIRT_CGROUP_HAS_TIME = 1 << 0,       /* cpu_time_ns */
    NESTVIRT_CGROUP_HAS_SPLIT = 1 << 1,      /* user_time_ns, system_time_ns */
    NESTVIRT_CGROUP_HAS_THROTTLING = 1 << 2, /* periods, throttled_periods, throttled_ns */
    NESTVIRT_CGROUP_HAS_LIMIT = 1 << 3       /* quota_us, period_us */
};

/* CPU figures of a VM's groups, of all that run in them and below. */
struct nestvirt_cgroup_usage {
    uint32_t size;
    uint32_t flags; /* NESTVIRT_CGROUP_HAS_* */
    uint64_t cpu_time_ns;
    uint64_t user_time_ns;
    uint64_t system_time_ns;
    uint64_t periods;           /* of the limit that have passed with something to run */
    uint64_t throttled_periods; /* in how many the quota was used up */
    uint64_t throttled_ns;      /* for how long, added up over CPUs */
    uint64_t quota_us;          /* CPU time in each period; 0: no limit */
    uint64_t period_us;
};

/* Zeroes the structure and sets its size; never writes past caller_size bytes. */
void nestvirt_cgroup_usage_init(struct nestvirt_cgroup_usage *usage, size_t caller_size);

/*
 * Reads the CPU figures of the groups that were set; what several have is added up, the smallest
 * limit counts. Errors: -ENOENT no group was set, or one was removed; -ENOTSUP none has such
 * figures (version 1: set one with the controller cpu and one with cpuacct); -EDEADLK from a
 * callback or a vCPU of this VM. Any state.
 */
int nestvirt_cgroup_get_usage(struct nestvirt_vm *vm, struct nestvirt_cgroup_usage *usage,
                              struct nestvirt_error **ret_error);

/*
 * Writes the groups that a thread of the VM is in now, in the kernel's form (cgroups(7),
 * /proc/PID/cgroup): a line for each hierarchy, "2:cpuacct:/vm1", version 2 as "0::/vm1".
 * Returns the text's length. Errors: as nestvirt_thread_get_cpus().
 */
int nestvirt_cgroup_get_of_thread(struct nestvirt_vm *vm, uint32_t kind, uint32_t index,
                                  char *buffer, size_t size, struct nestvirt_error **ret_error);

#ifdef __cplusplus
}
#endif

#endif
