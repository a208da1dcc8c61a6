/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Run-queue latency: how long the threads of VMs were ready to run and had to wait for a CPU.
 *
 * An observer counts the waits of the VMs that are added to it, for each VM and in total, as a
 * histogram of how many waits took how long, and of how much time was spent in waits that long. A
 * wait begins when a sleeping thread becomes ready, or when a thread is put off its CPU though it
 * could go on; it ends when the thread gets a CPU. Waits that have not ended are not counted yet.
 *
 * It does so by a BPF program at the scheduler's tracepoints, which costs every switch between
 * threads of the host a fraction of a microsecond as long as there is an observer, however many VMs
 * it has. That takes CAP_BPF and CAP_PERFMON (or root) in nestvirt_observer_new() and not later,
 * Linux 6.1 or later with BTF, and libbpf.so.1, which is loaded by the first call. Where one of
 * these is missing, the observer reads the kernel's own sums (/proc/PID/task/TID/schedstat): then
 * there are totals and no histogram, and flags and nestvirt_observer_get_reason() say so.
 *
 * A VM that is built again keeps its figures, and threads that a build makes are taken in by
 * themselves. Freeing a VM removes it from its observers; the total keeps what was counted. An
 * observer may be freed before the VMs, or after.
 */
#ifndef NESTVIRT_OBSERVE_H
#define NESTVIRT_OBSERVE_H

#include <nestvirt/vm.h>

#ifdef __cplusplus
extern "C" {
#endif

struct nestvirt_observer;

/* nestvirt_observer_config.flags */
enum {
    NESTVIRT_OBSERVER_NEED_BPF = 1 << 0, /* without a histogram there is to be no observer */
    NESTVIRT_OBSERVER_SCHEDSTAT = 1 << 1 /* totals are enough; not together with the other */
};

struct nestvirt_observer_config {
    uint32_t size;
    uint32_t flags; /* NESTVIRT_OBSERVER_* */
};

/* Zeroes the structure and sets its size; never writes past caller_size bytes. */
void nestvirt_observer_config_init(struct nestvirt_observer_config *config, size_t caller_size);

/*
 * Makes an observer, which counts from now on.
 *
 * config: NULL for a histogram where that is possible, and totals elsewhere.
 * ret_observer: free it with nestvirt_observer_free(). It takes 13 descriptors and 4 KiB of
 * the kernel's memory for each VM.
 * Any thread. Takes some 20 milliseconds with BPF. Errors: with NESTVIRT_OBSERVER_NEED_BPF -EPERM
 * or -EACCES without the right, and -ENOTSUP where the kernel, libbpf or this build of the library
 * cannot (the text tells which); without it -ENOTSUP on a kernel that has neither; -EINVAL, -E2BIG,
 * -EFAULT, -ENOMEM, -EMFILE.
 */
int nestvirt_observer_new(const struct nestvirt_observer_config *config,
                          struct nestvirt_observer **ret_observer,
                          struct nestvirt_error **ret_error);

/*
 * Ends the counting and frees the observer, whose VMs go on. NULL is allowed. In a child process
 * after fork: closes what the child has inherited, and touches nothing else. Any thread, while no
 * other call on it is under way. Errors: -EBADF.
 */
int nestvirt_observer_free(struct nestvirt_observer *observer);

/*
 * Why there are only totals, as a sentence; empty if there is a histogram. The observer's, valid
 * until it is freed; never NULL: "" for NULL and for another kind of handle.
 */
const char *nestvirt_observer_get_reason(const struct nestvirt_observer *observer);

/* kinds of nestvirt_observer_add() */
enum {
    NESTVIRT_OBSERVE_VCPU = 1 << 0,  /* vCPU threads */
    NESTVIRT_OBSERVE_LOOP = 1 << 1,  /* the event loop, unless it was given to the VM */
    NESTVIRT_OBSERVE_WORKER = 1 << 2 /* threads that wait for files */
};

/*
 * Observes the threads of a VM from now on, and those that later builds make. An event loop that
 * was given to the VM (nestvirt_vm_set_loop()) may work for several and is left out.
 *
 * kinds: NESTVIRT_OBSERVE_*, 0: all. Called again for an observed VM with other kinds, these
 * are added; if that fails, some of the threads may be observed already.
 * Any state, also while the guest runs. About 50 microseconds for each thread.
 * Errors: -EALREADY, all of them are observed; -ENOSPC, an observer has room for 65,536 VMs;
 * -ENOMEM, -EMFILE; -ECHILD; -EDEADLK from a callback or a vCPU of this VM; what /proc answers.
 */
int nestvirt_observer_add(struct nestvirt_observer *observer, struct nestvirt_vm *vm,
                          uint32_t kinds, struct nestvirt_error **ret_error);

/*
 * Counts one more thread of this process to an observed VM: such as one that drives its vCPUs by
 * hand. It counts until it ends, or the VM is removed. A thread counts for one VM.
 *
 * tid: as gettid() gives it in the thread.
 * Errors: -ENOENT, the VM is not observed; -ESRCH, this process has no such thread; -EALREADY, it
 * counts for this VM; -EBUSY, it counts for another one; those of nestvirt_observer_add().
 */
int nestvirt_observer_add_thread(struct nestvirt_observer *observer, struct nestvirt_vm *vm,
                                 int32_t tid, struct nestvirt_error **ret_error);

/*
 * No longer observes a VM, whose figures are gone; the total keeps what was counted. Any state.
 * Errors: -ENOENT, it is not observed; -ECHILD; -EDEADLK from a callback or a vCPU of this VM.
 */
int nestvirt_observer_remove(struct nestvirt_observer *observer, struct nestvirt_vm *vm,
                             struct nestvirt_error **ret_error);

/*
 * Counts anew from 0, for all VMs and in total, not in one moment but one after the other. A wait
 * under way counts as a whole when it ends. Errors: -ENOMEM (some may count anew by then), -ECHILD.
 */
int nestvirt_observer_start(struct nestvirt_observer *observer, struct nestvirt_error **ret_error);

/* nestvirt_waits.flags */
enum {
    NESTVIRT_WAITS_TOTALS_ONLY =
        1 << 0, /* no histogram, max_ns, lost, preempted, inferred: these are 0 */
    /* A thread that a later build made could not be observed; nestvirt_observer_add() says why. */
    NESTVIRT_WAITS_INCOMPLETE = 1 << 1
};

/* Waits that ended since the VM was added, or since the last nestvirt_observer_start(). */
struct nestvirt_waits {
    uint32_t size;
    uint32_t flags;     /* NESTVIRT_WAITS_* */
    uint64_t count;     /* waits */
    uint64_t time_ns;   /* nanoseconds that they took together */
    uint64_t max_ns;    /* the longest */
    uint64_t lost;      /* waits that were not seen whole and are in no other figure */
    uint64_t preempted; /* those of count that began with the thread being put off its CPU */
    /*
     * Those of count that no tracepoint told of, as some kernels leave some out: how long they took
     * is the kernel's own figure then, and they were counted when the thread left its CPU again.
     */
    uint64_t inferred;
    uint32_t threads; /* observed now */
    uint32_t vms;     /* observed now; 1 for a VM */
};

/* Zeroes the structure and sets its size; never writes past caller_size bytes. */
void nestvirt_waits_init(struct nestvirt_waits *waits, size_t caller_size);

enum {
    /*
     * Buckets of a histogram: 125 ns wide up to 2 us, then eight for each power of two up to 134 s,
     * and one for what is longer. Fixed for good.
     */
    NESTVIRT_WAIT_BUCKETS = 225
};

/*
 * The nanoseconds at which a bucket begins; it ends before the next one's. UINT64_MAX for
 * NESTVIRT_WAIT_BUCKETS and above. Any thread.
 */
uint64_t nestvirt_waits_get_limit(uint32_t bucket);

/*
 * Reads the figures.
 *
 * vm: NULL for the total of all VMs, those that were removed included.
 * counts: NULL, or buckets numbers: how many waits took how long.
 * times_ns: NULL, or buckets numbers: nanoseconds spent in waits that took so long. Divided by the
 * time that has passed, it tells how many threads were waiting on the average.
 * buckets: NESTVIRT_WAIT_BUCKETS, or any number if both are NULL.
 * With BPF the total costs the same for any number of VMs; without, every thread is looked at.
 * Any thread. Errors: -ENOENT, the VM is not observed; -EINVAL, buckets is another number; -EFAULT;
 * -ECHILD; -EDEADLK from a callback or a vCPU of this VM.
 */
int nestvirt_observer_read(struct nestvirt_observer *observer, struct nestvirt_vm *vm,
                           struct nestvirt_waits *waits, uint64_t *counts, uint64_t *times_ns,
                           uint32_t buckets, struct nestvirt_error **ret_error);

/*
 * A percentile of what was read: the wait that so many of all do not exceed (with counts), or in
 * waits no longer than which so much of the time was spent (with times_ns). Within a bucket it is
 * interpolated, so it is off by an eighth at most. Any thread; calls nothing.
 *
 * waits: as read with the numbers. numbers: counts or times_ns, buckets of them.
 * buckets: NESTVIRT_WAIT_BUCKETS. per_million: 500000 for the median, 990000 for p99, 1000000 for
 * the longest.
 * ret_ns: nanoseconds; 0 if there was no wait.
 * Errors: -ENOTSUP, there are only totals; -EINVAL, another number of buckets, or more than a
 * million; -EFAULT.
 */
int nestvirt_waits_get_percentile(const struct nestvirt_waits *waits, const uint64_t *numbers,
                                  uint32_t buckets, uint32_t per_million, uint64_t *ret_ns,
                                  struct nestvirt_error **ret_error);

/* What rows of nestvirt_observer_get_text() count. */
enum {
    NESTVIRT_WEIGHT_COUNT = 1, /* waits */
    NESTVIRT_WEIGHT_TIME = 2   /* microseconds spent in such waits */
};

/*
 * Writes the figures as a table for people: a row for each power of two in microseconds, as BCC's
 * runqlat prints it ("usecs : count distribution"), with the VM's name above if it is of one, and
 * below how many were lost if any were. With totals only it is a line with them and the reason.
 *
 * vm: as in nestvirt_observer_read(). weight: NESTVIRT_WEIGHT_*.
 * buffer: gets the text with a closing zero; 4096 bytes are enough. NULL with size 0 asks for the
 * length.
 * Returns the text's length. Errors: -E2BIG when it does not fit into size bytes (buffer is then
 * empty; the message tells the length); -EINVAL an unknown weight; those of reading.
 */
int nestvirt_observer_get_text(struct nestvirt_observer *observer, struct nestvirt_vm *vm,
                               uint32_t weight, char *buffer, size_t size,
                               struct nestvirt_error **ret_error);

/*
 * Writes the figures as one object of JSON in one line: "source" ("bpf" or "schedstat"), "reason"
 * and "vm" (text or null), "count", "time_ns", "max_ns", "lost", "preempted", "inferred",
 * "threads", "vms", "incomplete" (true or false); "percentiles" with "by_count" and "by_time", each
 * with p50_ns, p90_ns, p99_ns and p999_ns; "buckets": those that are not empty, each with from_ns,
 * to_ns (null for the last), count and time_ns. With totals only, max_ns, lost, preempted,
 * inferred, percentiles and buckets are null. Later releases may add members.
 *
 * As nestvirt_observer_get_text(); 32768 bytes are enough.
 */
int nestvirt_observer_get_json(struct nestvirt_observer *observer, struct nestvirt_vm *vm,
                               char *buffer, size_t size, struct nestvirt_error **ret_error);

#ifdef __cplusplus
}
#endif

#endif
