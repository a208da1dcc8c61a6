/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the loaded BPF program, by libbpf, which is loaded when the first one is. */
#include "observe/probe.h"

#include <assert.h>
#include <dlfcn.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "core/cleanup.h"
#include "core/error.h"
#include "core/util.h"
#include "host/file.h"
#include "observe/object.h"
#include "observe/patience.h"

static const char object_name[] = "BPF program";

/* The functions of libbpf in use. */
#define FUNCTIONS(X)                    \
    X(libbpf_set_print)                 \
    X(libbpf_num_possible_cpus)         \
    X(bpf_object__open_mem)             \
    X(bpf_object__load)                 \
    X(bpf_object__close)                \
    X(bpf_object__find_program_by_name) \
    X(bpf_object__find_map_by_name)     \
    X(bpf_program__fd)                  \
    X(bpf_program__attach)              \
    X(bpf_link__destroy)                \
    X(bpf_map__fd)                      \
    X(bpf_map_update_elem)              \
    X(bpf_map_lookup_elem)              \
    X(bpf_map_delete_elem)              \
    X(bpf_link_create)                  \
    X(bpf_iter_create)

struct functions {
#define MEMBER(name) __typeof__(&name) name;
    FUNCTIONS(MEMBER)
#undef MEMBER
};

/* Programs that are attached for good; the iterator is called on request. */
static const char *const tracepoints[] = { "nv_on_wakeup", "nv_on_wakeup_new", "nv_on_switch" };

struct nv_probe {
    struct functions bpf;
    struct bpf_object *object;
    struct bpf_link *links[NV_ARRAY_SIZE(tracepoints)];
    volatile struct nv_watch_control *control; /* shared with the program */
    int iterator_fd;
    int vms_fd;
    int totals_fd;
    size_t cpus;
    struct nv_wait_sums *per_cpu; /* of a total, one for each CPU there can be */
};

static int print_nothing(enum libbpf_print_level level, const char *format, va_list arguments)
{
    return 0;
}

/* libbpf is kept for good: its functions may be on other threads' stacks. */
static int load(struct functions *bpf, bool *ret_is_shared, struct nestvirt_error **ret_error)
{
    static const char name[] = "libbpf.so.1";
    const int flags = RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE;
    void *library = dlopen(name, flags | RTLD_NOLOAD);

    *ret_is_shared = library;
    if (!library)
        library = dlopen(name, flags);
    if (!library)
        return nv_fail(ret_error, -ENOTSUP, "libbpf", "install libbpf1", "%s cannot be loaded",
                       name);
#define FIND(function) bpf->function = (__typeof__(bpf->function))dlsym(library, #function);
    FUNCTIONS(FIND)
#undef FIND
    dlclose(library);
    for (size_t i = 0; i < sizeof(*bpf) / sizeof(void *); i++)
        if (!((void **)bpf)[i])
            return nv_fail(ret_error, -ENOTSUP, "libbpf", "install libbpf1 1.0 or later",
                           "%s lacks a function", name);
    return 0;
}

static const char *hint_of(int code)
{
    if (code == EPERM || code == EACCES)
        return "run the program with CAP_BPF and CAP_PERFMON, or as root";
    if (code == ENOMEM)
        return "free memory on this host";
    if (code == EMFILE || code == ENFILE)
        return nv_fd_hint(code, "");
    return "use Linux 6.1 or later with BTF (/sys/kernel/btf/vmlinux)";
}

/* What kernels answer that lack something is the same to a caller; it is told in the text. */
static int fail_step(int code, const char *step, struct nestvirt_error **ret_error)
{
    static const int kept[] = { EPERM, EACCES, ENOMEM, EMFILE, ENFILE };
    int result = ENOTSUP;

    for (size_t i = 0; i < NV_ARRAY_SIZE(kept); i++)
        result = kept[i] == code ? code : result;
    return nv_fail(ret_error, -result, object_name, hint_of(code), "%s: %s", step, strerror(code));
}

static int find_maps(struct nv_probe *probe, struct nestvirt_error **ret_error)
{
    struct bpf_map *vms = probe->bpf.bpf_object__find_map_by_name(probe->object, "nv_vms");
    struct bpf_map *totals = probe->bpf.bpf_object__find_map_by_name(probe->object, "nv_totals");
    struct bpf_map *shared = probe->bpf.bpf_object__find_map_by_name(probe->object, ".bss");
    struct bpf_program *iterator =
        probe->bpf.bpf_object__find_program_by_name(probe->object, "nv_on_request");
    int cpus = probe->bpf.libbpf_num_possible_cpus();
    void *control;

    if (!vms || !totals || !shared || !iterator)
        return fail_step(EINVAL, "finding its parts", ret_error);
    control = mmap(NULL, NV_PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED,
                   probe->bpf.bpf_map__fd(shared), 0);
    if (control == MAP_FAILED)
        return fail_step(errno, "mapping its variables", ret_error);
    probe->control = control;
    if (cpus <= 0)
        return fail_step(-cpus, "counting CPUs", ret_error);
    probe->vms_fd = probe->bpf.bpf_map__fd(vms);
    probe->totals_fd = probe->bpf.bpf_map__fd(totals);
    probe->iterator_fd = probe->bpf.bpf_program__fd(iterator);
    probe->cpus = (size_t)cpus;
    probe->per_cpu = calloc(probe->cpus, sizeof(*probe->per_cpu));
    return probe->per_cpu ? 0 : fail_step(ENOMEM, "malloc", ret_error);
}

static int attach(struct nv_probe *probe, struct nestvirt_error **ret_error)
{
    for (size_t i = 0; i < NV_ARRAY_SIZE(tracepoints); i++) {
        struct bpf_program *program =
            probe->bpf.bpf_object__find_program_by_name(probe->object, tracepoints[i]);

        if (!program)
            return fail_step(EINVAL, "finding its parts", ret_error);
        probe->links[i] = probe->bpf.bpf_program__attach(program);
        if (!probe->links[i])
            return fail_step(errno, "attaching it to the scheduler's tracepoints", ret_error);
    }
    return 0;
}

/* The iterator over one thread came with Linux 6.1: an older one goes over all, or refuses. */
static int try_out(struct nv_probe *probe, struct nestvirt_error **ret_error)
{
    pid_t self = gettid();
    int r = nv_probe_watch(probe, self, UINT32_MAX);

    if (r < 0)
        return fail_step(-r, "asking it to observe a thread", ret_error);
    nv_probe_ignore(probe, self);
    return 0;
}

static int set_up(struct nv_probe *probe, struct nestvirt_error **ret_error)
{
    LIBBPF_OPTS(bpf_object_open_opts, options, .object_name = "nestvirt");
    int r;

    probe->object =
        probe->bpf.bpf_object__open_mem(nv_runqueue_object, nv_runqueue_object_size, &options);
    if (!probe->object)
        return fail_step(errno, "opening it", ret_error);
    r = probe->bpf.bpf_object__load(probe->object);
    if (r < 0)
        return fail_step(-r, "loading it into the kernel", ret_error);
    r = find_maps(probe, ret_error);
    if (r == 0)
        r = attach(probe, ret_error);
    return r < 0 ? r : try_out(probe, ret_error);
}

/*
 * libbpf prints what goes wrong to stderr, unless it is told where to, which is once for the whole
 * process. Where it was loaded by this library it stays silent; where the program uses it itself,
 * the program's choice is put back.
 */
int nv_probe_open(struct nv_probe **ret_probe, struct nestvirt_error **ret_error)
{
    struct nv_probe *probe = calloc(1, sizeof(*probe));
    libbpf_print_fn_t former;
    bool is_shared;
    int r;

    if (!probe)
        return fail_step(ENOMEM, "malloc", ret_error);
    r = load(&probe->bpf, &is_shared, ret_error);
    if (r == 0) {
        former = probe->bpf.libbpf_set_print(print_nothing);
        r = set_up(probe, ret_error);
        if (is_shared)
            probe->bpf.libbpf_set_print(former);
    }
    if (r < 0) {
        nv_probe_close(probe);
        return r;
    }
    *ret_probe = probe;
    return 0;
}

void nv_probe_close(struct nv_probe *probe)
{
    if (!probe)
        return;
    for (size_t i = 0; i < NV_ARRAY_SIZE(tracepoints); i++)
        if (probe->links[i])
            probe->bpf.bpf_link__destroy(probe->links[i]);
    if (probe->object)
        probe->bpf.bpf_object__close(probe->object);
    if (probe->control)
        munmap((void *)probe->control, NV_PAGE_SIZE);
    free(probe->per_cpu);
    free(probe);
}

int nv_probe_add(struct nv_probe *probe, uint32_t id)
{
    static const struct nv_wait_sums none;
    int r = probe->bpf.bpf_map_update_elem(probe->vms_fd, &id, &none, BPF_NOEXIST);

    return r == -E2BIG ? -ENOSPC : r;
}

void nv_probe_remove(struct nv_probe *probe, uint32_t id)
{
    probe->bpf.bpf_map_delete_elem(probe->vms_fd, &id);
}

/* Lets the program see one thread, which it treats as the control says. */
static int request(void *user_data, pid_t tid)
{
    struct nv_probe *probe = user_data;
    union bpf_iter_link_info which = { .task.tid = (uint32_t)tid };
    LIBBPF_OPTS(bpf_link_create_opts, options, .iter_info = &which, .iter_info_len = sizeof(which));
    NV_AUTO_FD link = probe->bpf.bpf_link_create(probe->iterator_fd, 0, BPF_TRACE_ITER, &options);
    NV_AUTO_FD iterator = -1;
    char none[8];

    if (link < 0)
        return link;
    iterator = probe->bpf.bpf_iter_create(link);
    if (iterator < 0)
        return iterator;
    probe->control->result = 0;
    if (read(iterator, none, sizeof(none)) < 0)
        return -errno;
    return probe->control->result == 0 ? -ESRCH : NV_MIN(probe->control->result, 0);
}

int nv_probe_watch(struct nv_probe *probe, pid_t tid, uint32_t id)
{
    probe->control->request = NV_WATCH_ADD;
    probe->control->vm = id;
    return nv_ask_patiently(request, probe, tid);
}

void nv_probe_ignore(struct nv_probe *probe, pid_t tid)
{
    probe->control->request = NV_WATCH_REMOVE;
    nv_ask_patiently(request, probe, tid);
}

static void add_up(struct nv_wait_sums *sums, const struct nv_wait_sums *more)
{
    for (uint32_t i = 0; i < NV_WAIT_BUCKETS; i++) {
        sums->counts[i] += more->counts[i];
        sums->times_ns[i] += more->times_ns[i];
    }
    sums->max_ns = NV_MAX(sums->max_ns, more->max_ns);
    sums->lost += more->lost;
    sums->preempted += more->preempted;
    sums->inferred += more->inferred;
}

int nv_probe_read(struct nv_probe *probe, uint32_t id, struct nv_wait_sums *ret_sums)
{
    uint32_t total = probe->control->total;
    int r;

    if (id != NV_PROBE_TOTAL)
        return probe->bpf.bpf_map_lookup_elem(probe->vms_fd, &id, ret_sums);
    r = probe->bpf.bpf_map_lookup_elem(probe->totals_fd, &total, probe->per_cpu);
    if (r < 0)
        return r;
    *ret_sums = (struct nv_wait_sums){ { 0 } };
    for (size_t i = 0; i < probe->cpus; i++)
        add_up(ret_sums, &probe->per_cpu[i]);
    return 0;
}

/*
 * The figures of a VM are replaced as a whole. The total that is not in use is emptied: whoever
 * still had it in hand at the last change is done by now.
 */
int nv_probe_clear(struct nv_probe *probe, uint32_t id)
{
    static const struct nv_wait_sums none;
    uint32_t other = !probe->control->total;
    int r;

    if (id != NV_PROBE_TOTAL)
        return probe->bpf.bpf_map_update_elem(probe->vms_fd, &id, &none, BPF_EXIST);
    memset(probe->per_cpu, 0, probe->cpus * sizeof(*probe->per_cpu));
    r = probe->bpf.bpf_map_update_elem(probe->totals_fd, &other, probe->per_cpu, BPF_EXIST);
    if (r == 0)
        probe->control->total = other;
    return r;
}

static_assert(sizeof(struct nv_wait_sums) % 8 == 0, "as the kernel lays out one for each CPU");
