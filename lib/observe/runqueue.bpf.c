/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/*
 * Owns the BPF program that sees how long threads wait for a CPU: tracepoints of the scheduler, and
 * an iterator through which the library names the threads.
 *
 * What is kept of a thread is in its own task storage, which goes with the thread, so that nothing
 * of it can come to another one that gets its id; a thread without it costs one look-up. Nothing is
 * allocated in the scheduler, so nothing can fail there for want of room.
 *
 * The tracepoints do not tell of everything: there are kernels that pass over some switches, and
 * a tracepoint inside of a tracepoint is left out. So whenever a thread leaves its CPU, what was
 * counted is compared with how often the kernel itself says that the thread got one. A single wait
 * that was not seen is then taken from the kernel's sum; if there were more, they are lost, and
 * counted as such.
 *
 * No helper used here is for GPL programs only, but the kernel lets only programs under a
 * compatible license read its structures (check_ptr_to_btf_access() in its verifier): hence this
 * file's second license, which is the one that the kernel is told.
 */
#include <stdbool.h>
#include <stddef.h>

#include "observe/runqueue.h"

/* What bpf_helpers.h expects of a vmlinux.h. */
typedef uint8_t __u8;
typedef uint16_t __u16;
typedef uint32_t __u32;
typedef uint64_t __u64;
typedef int32_t __s32;
typedef int64_t __s64;
typedef uint16_t __be16;
typedef uint32_t __be32;
typedef uint32_t __wsum;

#include <bpf/bpf_helpers.h>

/* Numbers of the kernel's interface (linux/bpf.h, which needs a libc for this machine). */
enum {
    BPF_MAP_TYPE_HASH = 1,
    BPF_MAP_TYPE_PERCPU_ARRAY = 6,
    BPF_MAP_TYPE_TASK_STORAGE = 29,
    BPF_F_NO_PREALLOC = 1,
    BPF_LOCAL_STORAGE_GET_F_CREATE = 1
};

enum { FIELD_EXISTS = 2 }; /* of __builtin_preserve_field_info() */

enum { RUNNING = 0, QUEUED = 1 }; /* TASK_RUNNING, TASK_ON_RQ_QUEUED */

/* The members in use; where they are in this kernel is found when the program is loaded. */
struct sched_info {
    unsigned long pcount;
    unsigned long long run_delay;
} __attribute__((preserve_access_index));

struct task_struct {
    unsigned __state;
    int on_cpu;
    int on_rq;
    struct sched_info sched_info; /* not in every kernel */
} __attribute__((preserve_access_index));

struct {
    __uint(type, BPF_MAP_TYPE_TASK_STORAGE);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __type(key, int);
    __type(value, struct nv_wait_state);
} nv_threads SEC(".maps");

/* Keyed by ids that are not used twice: a late event cannot come to a VM that was added since. */
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __uint(max_entries, NV_WATCH_VMS_MAX);
    __type(key, uint32_t);
    __type(value, struct nv_wait_sums);
} nv_vms SEC(".maps");

/* Of all VMs since the start. The library empties the one that is not in use, then changes over. */
struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, 2);
    __type(key, uint32_t);
    __type(value, struct nv_wait_sums);
} nv_totals SEC(".maps");

struct nv_watch_control nv_control;

char nv_license[] SEC("license") = "GPL";

static void raise_max(struct nv_wait_sums *sums, uint64_t ns)
{
    uint64_t max = sums->max_ns;

    /* A few tries: others of the same VM may raise it too. */
    for (int i = 0; i < 4 && ns > max; i++) {
        uint64_t found = __sync_val_compare_and_swap(&sums->max_ns, max, ns);

        if (found == max)
            break;
        max = found;
    }
}

/* Several CPUs may count for one VM, so these are atomic; nobody waits. */
static void count_wait(struct nv_wait_sums *sums, const struct nv_wait_state *state, uint64_t ns,
                       bool is_inferred)
{
    uint64_t bucket = nv_wait_bucket(ns);

    /* Keeps the compiler from checking one register and using another, which is refused. */
    __asm__ volatile("" : "+r"(bucket));
    if (bucket >= NV_WAIT_BUCKETS)
        return;
    __sync_fetch_and_add(&sums->counts[bucket], 1);
    __sync_fetch_and_add(&sums->times_ns[bucket], ns);
    if (is_inferred)
        __sync_fetch_and_add(&sums->inferred, 1);
    if (state->was_on_cpu)
        __sync_fetch_and_add(&sums->preempted, 1);
    raise_max(sums, ns);
}

static struct nv_wait_sums *total_sums(void)
{
    uint32_t total = nv_control.total & 1;

    return bpf_map_lookup_elem(&nv_totals, &total);
}

/* A thread that is still ending may outlive its VM's figures: it is not observed any more. */
static void count_lost(const struct nv_wait_state *state, uint64_t waits)
{
    uint32_t vm = state->vm;
    struct nv_wait_sums *sums = bpf_map_lookup_elem(&nv_vms, &vm);
    struct nv_wait_sums *total = total_sums();

    if (!sums || !total)
        return;
    __sync_fetch_and_add(&sums->lost, waits);
    __sync_fetch_and_add(&total->lost, waits);
}

static void count_for_vm(const struct nv_wait_state *state, uint64_t ns, bool is_inferred)
{
    uint32_t vm = state->vm;
    struct nv_wait_sums *sums = bpf_map_lookup_elem(&nv_vms, &vm);
    struct nv_wait_sums *total = total_sums();

    if (!sums || !total)
        return;
    count_wait(sums, state, ns, is_inferred);
    count_wait(total, state, ns, is_inferred);
}

static bool has_run_delay(struct task_struct *task)
{
    return __builtin_preserve_field_info(task->sched_info, FIELD_EXISTS);
}

/* The thread leaves its CPU: was every time that it got one counted? */
static void reconcile(struct task_struct *task, struct nv_wait_state *state)
{
    uint64_t arrivals = state->arrivals + 1;
    uint64_t run_delay_ns = 0;
    uint64_t missed;

    if (has_run_delay(task)) {
        arrivals = task->sched_info.pcount;
        run_delay_ns = task->sched_info.run_delay;
    }
    missed = arrivals - state->arrivals;
    if (missed == 1 && !state->is_counted && has_run_delay(task))
        count_for_vm(state, run_delay_ns - state->run_delay_ns, true);
    else if (missed > state->is_counted)
        count_lost(state, missed - state->is_counted);
    state->arrivals = arrivals;
    state->run_delay_ns = run_delay_ns;
    state->is_counted = 0;
}

/*
 * A thread that has become ready. One that waits already was put off its CPU before it could sleep;
 * one that has not left its CPU yet does not wait, and starts afresh when it leaves it.
 */
static int on_ready(struct task_struct *task)
{
    struct nv_wait_state *state = bpf_task_storage_get(&nv_threads, task, NULL, 0);

    if (!state || state->since_ns)
        return 0;
    state->was_on_cpu = 0;
    state->since_ns = bpf_ktime_get_ns();
    return 0;
}

SEC("tp_btf/sched_wakeup")
int nv_on_wakeup(uint64_t *arguments)
{
    return on_ready((struct task_struct *)arguments[0]);
}

SEC("tp_btf/sched_wakeup_new")
int nv_on_wakeup_new(uint64_t *arguments)
{
    return on_ready((struct task_struct *)arguments[0]);
}

static uint64_t leave_cpu(struct task_struct *task, bool is_preempted)
{
    struct nv_wait_state *state = bpf_task_storage_get(&nv_threads, task, NULL, 0);
    uint64_t now_ns;

    if (!state)
        return 0;
    now_ns = bpf_ktime_get_ns();
    reconcile(task, state);
    state->was_on_cpu = 1;
    state->since_ns = is_preempted || task->__state == RUNNING ? now_ns : 0;
    return now_ns;
}

/* arguments: whether prev was preempted, prev, next. */
SEC("tp_btf/sched_switch")
int nv_on_switch(uint64_t *arguments)
{
    struct task_struct *prev = (struct task_struct *)arguments[1];
    struct task_struct *next = (struct task_struct *)arguments[2];
    uint64_t now_ns = leave_cpu(prev, arguments[0] & 1);
    struct nv_wait_state *state = bpf_task_storage_get(&nv_threads, next, NULL, 0);

    if (!state)
        return 0;
    if (state->since_ns) {
        count_for_vm(state, (now_ns ? now_ns : bpf_ktime_get_ns()) - state->since_ns, false);
        state->is_counted = 1;
    }
    state->since_ns = 0;
    return 0;
}

static void take_sums(struct task_struct *task, struct nv_wait_state *state)
{
    if (!has_run_delay(task))
        return;
    state->arrivals = task->sched_info.pcount;
    state->run_delay_ns = task->sched_info.run_delay;
}

/*
 * Observes a thread from now on. It may run, wait or sleep, and change that in this very moment. So
 * its storage comes first, from where on the tracepoints see the thread; what happened before that
 * is not missed: the kernel's sums are taken once more, unless a tracepoint already has. That it
 * waits is taken back if it got a CPU meanwhile.
 */
static int32_t watch(struct task_struct *task, uint32_t vm)
{
    struct nv_wait_state fresh = { .vm = vm, .is_counted = task->on_cpu };
    struct nv_wait_state now = { 0 };
    struct nv_wait_state *state;

    take_sums(task, &fresh);
    state = bpf_task_storage_get(&nv_threads, task, &fresh, BPF_LOCAL_STORAGE_GET_F_CREATE);
    if (!state)
        return -12; /* ENOMEM */
    if (state->vm != vm)
        return -16; /* EBUSY */
    take_sums(task, &now);
    __sync_val_compare_and_swap(&state->arrivals, fresh.arrivals, now.arrivals);
    __sync_val_compare_and_swap(&state->run_delay_ns, fresh.run_delay_ns, now.run_delay_ns);
    if (task->__state == RUNNING && task->on_rq == QUEUED && !task->on_cpu) {
        now.since_ns = bpf_ktime_get_ns();
        __sync_val_compare_and_swap(&state->since_ns, 0, now.since_ns);
        if (task->on_cpu)
            __sync_val_compare_and_swap(&state->since_ns, now.since_ns, 0);
    }
    return 1;
}

/* arguments: the iterator's own, the task. The iterator goes over one thread. */
SEC("iter/task")
int nv_on_request(uint64_t *arguments)
{
    struct task_struct *task = (struct task_struct *)arguments[1];

    if (!task)
        return 0;
    if (nv_control.request == NV_WATCH_ADD) {
        nv_control.result = watch(task, nv_control.vm);
    } else if (nv_control.request == NV_WATCH_REMOVE) {
        /* EBUSY: not at this moment, which is EAGAIN here. Without storage there is nothing to do.
         */
        nv_control.result = bpf_task_storage_delete(&nv_threads, task) == -16 ? -11 : 1;
    }
    return 0;
}
