/* SPDX-License-Identifier: Apache-2.0 */
/* Proves what observers know of VMs, on a BPF program and a /proc that are fakes. */
#include <dlfcn.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fake_kvm.h"
#include "observe/observer.h"
#include "support.h"

enum { VMS_MAX = 8, THREADS_MAX = 64, VCPUS = 2, ANY = 0x1000000 };

static struct nestvirt_host *host;
static struct nestvirt_vm *vm;
static struct nestvirt_observer *observer;

/* The program: which thread counts for whom, and which call is to fail. */
static struct {
    bool is_on;
    uint32_t ids[VMS_MAX]; /* with room for figures; 0: free */
    pid_t tids[THREADS_MAX];
    uint32_t owners[THREADS_MAX];
    uint32_t count;
    uint64_t lost;
    unsigned calls;
    unsigned fail_at;
    int error;
} fake;

static int next_call(void)
{
    return ++fake.calls == fake.fail_at ? -fake.error : 0;
}

int __wrap_nv_probe_open(struct nv_probe **ret_probe, struct nestvirt_error **ret_error);
int __real_nv_probe_open(struct nv_probe **ret_probe, struct nestvirt_error **ret_error);
int __wrap_nv_probe_open(struct nv_probe **ret_probe, struct nestvirt_error **ret_error)
{
    if (!fake.is_on)
        return __real_nv_probe_open(ret_probe, ret_error);
    *ret_probe = (struct nv_probe *)&fake;
    return 0;
}

void __wrap_nv_probe_close(struct nv_probe *probe);
void __real_nv_probe_close(struct nv_probe *probe);
void __wrap_nv_probe_close(struct nv_probe *probe)
{
    if (probe != (struct nv_probe *)&fake)
        __real_nv_probe_close(probe);
}

int __wrap_nv_probe_add(struct nv_probe *probe, uint32_t id);
int __wrap_nv_probe_add(struct nv_probe *probe, uint32_t id)
{
    int r = next_call();

    for (int i = 0; i < VMS_MAX && r == 0; i++) {
        ck_assert_uint_ne(fake.ids[i], id);
        if (fake.ids[i] == 0) {
            fake.ids[i] = id;
            return 0;
        }
    }
    return r < 0 ? r : -ENOSPC;
}

void __wrap_nv_probe_remove(struct nv_probe *probe, uint32_t id);
void __wrap_nv_probe_remove(struct nv_probe *probe, uint32_t id)
{
    for (int i = 0; i < VMS_MAX; i++)
        fake.ids[i] = fake.ids[i] == id ? 0 : fake.ids[i];
}

int __wrap_nv_probe_watch(struct nv_probe *probe, pid_t tid, uint32_t id);
int __wrap_nv_probe_watch(struct nv_probe *probe, pid_t tid, uint32_t id)
{
    int r = next_call();

    for (uint32_t i = 0; i < fake.count && r == 0; i++)
        if (fake.tids[i] == tid)
            return fake.owners[i] == id ? 0 : -EBUSY;
    if (r < 0)
        return r;
    ck_assert_uint_lt(fake.count, THREADS_MAX);
    fake.tids[fake.count] = tid;
    fake.owners[fake.count++] = id;
    return 0;
}

void __wrap_nv_probe_ignore(struct nv_probe *probe, pid_t tid);
void __wrap_nv_probe_ignore(struct nv_probe *probe, pid_t tid)
{
    for (uint32_t i = 0; i < fake.count; i++) {
        if (fake.tids[i] != tid)
            continue;
        fake.tids[i] = fake.tids[--fake.count];
        fake.owners[i] = fake.owners[fake.count];
        return;
    }
}

/* Each VM has waited as often as its id says, 5 us each time; in total ten times. */
int __wrap_nv_probe_read(struct nv_probe *probe, uint32_t id, struct nv_wait_sums *ret_sums);
int __wrap_nv_probe_read(struct nv_probe *probe, uint32_t id, struct nv_wait_sums *ret_sums)
{
    int r = next_call();

    memset(ret_sums, 0, sizeof(*ret_sums));
    ret_sums->counts[nv_wait_bucket(5000)] = id == NV_PROBE_TOTAL ? 10 : id;
    ret_sums->times_ns[nv_wait_bucket(5000)] = 5000 * (id == NV_PROBE_TOTAL ? 10 : id);
    ret_sums->max_ns = 5000;
    ret_sums->lost = fake.lost;
    return r;
}

int __wrap_nv_probe_clear(struct nv_probe *probe, uint32_t id);
int __wrap_nv_probe_clear(struct nv_probe *probe, uint32_t id)
{
    return next_call();
}

/* The loader, which can be told that there is no libbpf. */
static bool has_no_libbpf;

void *__real_dlopen(const char *name, int flags);
void *__wrap_dlopen(const char *name, int flags);
void *__wrap_dlopen(const char *name, int flags)
{
    if (name && strstr(name, "libbpf") && has_no_libbpf)
        return NULL;
    return __real_dlopen(name, flags);
}

static int make(uint32_t flags, struct nestvirt_error **ret_error)
{
    struct nestvirt_observer_config config;

    nestvirt_observer_config_init(&config, sizeof(config));
    config.flags = flags;
    return nestvirt_observer_new(&config, &observer, ret_error);
}

static void setup(void)
{
    memset(&fake, 0, sizeof(fake));
    fake.is_on = true;
    has_no_libbpf = false;
    fake_kvm_reset();
    host = fake_kvm_host();
    vm = fake_kvm_vm(host, 0, NESTVIRT_CHIP_SPLIT, VCPUS);
    ck_nv_ok(make(NESTVIRT_OBSERVER_NEED_BPF, &error));
}

static void teardown(void)
{
    ck_assert_int_eq(nestvirt_vm_free(vm), 0);
    ck_assert_int_eq(nestvirt_observer_free(observer), 0);
    ck_assert_int_eq(nestvirt_host_free(host), 0);
    for (int i = 0; i < VMS_MAX; i++)
        ck_assert_uint_eq(fake.ids[i], 0);
}

static struct nestvirt_waits waits_of(struct nestvirt_vm *of)
{
    struct nestvirt_waits waits;

    nestvirt_waits_init(&waits, sizeof(waits));
    ck_nv_ok(nestvirt_observer_read(observer, of, &waits, NULL, NULL, ANY, &error));
    return waits;
}

static void fail_next(unsigned calls, int error)
{
    fake.calls = 0;
    fake.fail_at = calls;
    fake.error = error;
}

/* A disk with two workers and the event loop that it needs. */
static void add_disk(void)
{
    struct nestvirt_device *device;
    int disk = memfd_create("disk", MFD_CLOEXEC);

    ck_assert_int_eq(ftruncate(disk, 1 << 20), 0);
    ck_nv_ok(nestvirt_device_add(vm, "blk", &device, &error));
    ck_nv_ok(nestvirt_device_set_fd(device, "fd", disk, &error));
    ck_nv_ok(nestvirt_device_set_string(device, "engine", "threads", &error));
    close(disk);
}

START_TEST(test_threads_of_a_build)
{
    add_disk();
    ck_nv_ok(nestvirt_observer_add(observer, vm, 0, &error));
    ck_assert_uint_eq(fake.count, 0);
    ck_nv_ok(nestvirt_vm_build(vm, &error));
    ck_assert_uint_eq(fake.count, VCPUS + 1 + 2);
    ck_assert_uint_eq(waits_of(vm).threads, fake.count);
    ck_assert_uint_eq(waits_of(vm).count, 1);
    ck_assert_uint_eq(waits_of(vm).time_ns, 5000);
    ck_assert_uint_eq(waits_of(vm).max_ns, 5000);
    ck_assert_uint_eq(waits_of(NULL).count, 10);
    ck_nv_fails(nestvirt_observer_add(observer, vm, 0, &error), -EALREADY);
}
END_TEST

START_TEST(test_kinds)
{
    add_disk();
    ck_nv_ok(nestvirt_vm_build(vm, &error));
    ck_nv_ok(nestvirt_observer_add(observer, vm, NESTVIRT_OBSERVE_WORKER, &error));
    ck_assert_uint_eq(fake.count, 2);
    ck_nv_ok(nestvirt_observer_add(observer, vm, NESTVIRT_OBSERVE_VCPU, &error));
    ck_assert_uint_eq(fake.count, 2 + VCPUS);
    ck_nv_fails(nestvirt_observer_add(observer, vm, NESTVIRT_OBSERVE_VCPU, &error), -EALREADY);
    ck_nv_ok(nestvirt_observer_add(observer, vm, NESTVIRT_OBSERVE_LOOP, &error));
    ck_assert_uint_eq(fake.count, 2 + VCPUS + 1);
    ck_nv_fails(nestvirt_observer_add(observer, vm, 8, &error), -EINVAL);
    ck_assert_uint_eq(waits_of(NULL).threads, 2 + VCPUS + 1);
    ck_nv_ok(nestvirt_observer_remove(observer, vm, &error));
    ck_assert_uint_eq(waits_of(NULL).threads, 0);
    ck_assert_uint_eq(fake.count, 0);
    ck_nv_fails(nestvirt_observer_remove(observer, vm, &error), -ENOENT);
}
END_TEST

/* It may work for several VMs. */
START_TEST(test_given_loop_is_nobodys)
{
    struct nestvirt_loop *loop;

    add_disk();
    ck_nv_ok(nestvirt_loop_new(&loop, &error));
    ck_nv_ok(nestvirt_vm_set_loop(vm, loop, &error));
    ck_nv_ok(nestvirt_vm_build(vm, &error));
    ck_nv_ok(nestvirt_observer_add(observer, vm, NESTVIRT_OBSERVE_LOOP, &error));
    ck_assert_uint_eq(fake.count, 0);
    ck_assert_int_eq(nestvirt_loop_free(loop), 0);
}
END_TEST

/* After each start there are the threads that there were, be they new or not. */
START_TEST(test_built_again)
{
    add_disk();
    ck_nv_ok(nestvirt_observer_add(observer, vm, 0, &error));
    ck_nv_ok(nestvirt_vm_build(vm, &error));
    for (int i = 0; i < 3; i++) {
        ck_nv_ok(nestvirt_vm_start(vm, &error));
        ck_assert_uint_eq(waits_of(vm).threads, VCPUS + 1 + 2);
        ck_assert_uint_eq(waits_of(vm).flags, 0);
        ck_nv_ok(nestvirt_vm_stop(vm, -1, &error));
        ck_assert_uint_eq(waits_of(vm).count, 1);
    }
}
END_TEST

/* What a build cannot have observed does not fail it, and is not hidden. */
START_TEST(test_incomplete)
{
    ck_nv_ok(nestvirt_observer_add(observer, vm, 0, &error));
    fail_next(2, ENOMEM);
    ck_nv_ok(nestvirt_vm_build(vm, &error));
    ck_assert_uint_eq(waits_of(vm).flags, NESTVIRT_WAITS_INCOMPLETE);
    ck_assert_uint_eq(waits_of(NULL).flags, NESTVIRT_WAITS_INCOMPLETE);
    fail_next(1, ENOMEM);
    ck_nv_fails_with(nestvirt_observer_add(observer, vm, 0, &error), -ENOMEM, "observing");
    ck_assert_uint_eq(waits_of(vm).flags, NESTVIRT_WAITS_INCOMPLETE);
    ck_nv_ok(nestvirt_observer_add(observer, vm, 0, &error));
    ck_assert_uint_eq(waits_of(vm).flags, 0);
    ck_assert_uint_eq(waits_of(NULL).flags, 0);
    ck_assert_uint_eq(waits_of(vm).threads, VCPUS);
    ck_nv_ok(nestvirt_observer_remove(observer, vm, &error));
    ck_nv_ok(nestvirt_observer_add(observer, vm, NESTVIRT_OBSERVE_LOOP, &error));
    ck_nv_ok(nestvirt_vm_start(vm, &error));
    ck_nv_ok(nestvirt_vm_stop(vm, -1, &error));
    fail_next(1, ENOMEM);
    ck_nv_fails(nestvirt_observer_add(observer, vm, NESTVIRT_OBSERVE_VCPU, &error), -ENOMEM);
    ck_assert_uint_eq(waits_of(NULL).flags, NESTVIRT_WAITS_INCOMPLETE);
    ck_nv_ok(nestvirt_observer_remove(observer, vm, &error));
    ck_assert_uint_eq(waits_of(NULL).flags, 0);
}
END_TEST

START_TEST(test_failed_add_leaves_nothing)
{
    ck_nv_ok(nestvirt_vm_build(vm, &error));
    for (unsigned i = 1; i <= 1 + VCPUS; i++) {
        fail_next(i, ENOMEM);
        ck_nv_fails(nestvirt_observer_add(observer, vm, 0, &error), -ENOMEM);
        ck_assert_uint_eq(fake.count, 0);
        ck_assert_uint_eq(waits_of(NULL).vms, 0);
    }
    fail_next(1, ENOSPC);
    ck_nv_fails_with(nestvirt_observer_add(observer, vm, 0, &error), -ENOSPC, "65536 VMs");
    ck_nv_ok(nestvirt_observer_add(observer, vm, 0, &error));
}
END_TEST

START_TEST(test_failed_reads)
{
    struct nestvirt_waits waits;
    char text[4096];

    nestvirt_waits_init(&waits, sizeof(waits));
    ck_nv_ok(nestvirt_observer_add(observer, vm, 0, &error));
    fail_next(1, ENOMEM);
    ck_nv_fails(nestvirt_observer_read(observer, vm, &waits, NULL, NULL, 0, &error), -ENOMEM);
    fail_next(1, ENOMEM);
    ck_nv_fails(nestvirt_observer_read(observer, NULL, &waits, NULL, NULL, 0, &error), -ENOMEM);
    fail_next(1, ENOMEM);
    ck_nv_fails(
        nestvirt_observer_get_text(observer, vm, NESTVIRT_WEIGHT_COUNT, text, sizeof(text), &error),
        -ENOMEM);
    for (unsigned i = 1; i <= 2; i++) {
        fail_next(i, ENOMEM);
        ck_nv_fails(nestvirt_observer_start(observer, &error), -ENOMEM);
    }
    ck_nv_ok(nestvirt_observer_start(observer, &error));
    ck_assert_uint_eq(waits.count, 0);
}
END_TEST

START_TEST(test_texts)
{
    char text[32768];
    int length;

    ck_nv_ok(nestvirt_observer_add(observer, vm, 0, &error));
    fake.lost = 2;
    length = nestvirt_observer_get_text(observer, vm, NESTVIRT_WEIGHT_COUNT, NULL, 0, NULL);
    ck_assert_int_gt(length, 0);
    ck_assert_int_eq(nestvirt_observer_get_text(observer, vm, NESTVIRT_WEIGHT_COUNT, text,
                                                (size_t)length + 1, NULL),
                     length);
    ck_assert_int_eq(strncmp(text, "vm = ", 5), 0);
    ck_assert_ptr_nonnull(strstr(text, "lost = 2\n"));
    ck_nv_fails_with(nestvirt_observer_get_text(observer, vm, NESTVIRT_WEIGHT_COUNT, text,
                                                (size_t)length, &error),
                     -E2BIG, "bytes");
    ck_assert_str_eq(text, "");
    ck_nv_fails(nestvirt_observer_get_text(observer, vm, 3, text, sizeof(text), &error), -EINVAL);
    ck_nv_fails(nestvirt_observer_get_json(observer, vm, NULL, 5, &error), -EFAULT);
    ck_nv_fails(nestvirt_observer_get_json(observer, vm, text, 5, &error), -E2BIG);
    length = nestvirt_observer_get_json(observer, NULL, text, sizeof(text), NULL);
    ck_assert_int_eq((int)strlen(text), length);
    ck_assert_ptr_nonnull(strstr(text, "\"vm\":null,\"count\":10,"));
}
END_TEST

START_TEST(test_histogram)
{
    uint64_t counts[NESTVIRT_WAIT_BUCKETS];
    uint64_t times[NESTVIRT_WAIT_BUCKETS];
    struct nestvirt_waits waits;

    nestvirt_waits_init(&waits, sizeof(waits));
    ck_nv_ok(nestvirt_observer_read(observer, NULL, &waits, counts, times, NESTVIRT_WAIT_BUCKETS,
                                    &error));
    for (uint32_t i = 0; i < NESTVIRT_WAIT_BUCKETS; i++) {
        bool is_it = nestvirt_waits_get_limit(i) == 5000;

        ck_assert_uint_eq(counts[i], is_it ? 10 : 0);
        ck_assert_uint_eq(times[i], is_it ? 50000 : 0);
    }
    ck_nv_fails(nestvirt_observer_read(observer, NULL, &waits, counts, NULL, 224, &error), -EINVAL);
    ck_nv_fails(nestvirt_observer_read(observer, NULL, NULL, NULL, NULL, 0, &error), -EFAULT);
    ck_nv_fails(nestvirt_observer_read(observer, vm, &waits, NULL, NULL, 0, &error), -ENOENT);
}
END_TEST

START_TEST(test_given_threads)
{
    struct nestvirt_vm *other = fake_kvm_vm(host, NESTVIRT_VM_MANUAL_VCPUS, 0, 1);
    const int32_t self = gettid();

    ck_nv_ok(nestvirt_vm_build(other, &error));
    ck_nv_fails(nestvirt_observer_add_thread(observer, other, self, &error), -ENOENT);
    ck_nv_ok(nestvirt_observer_add(observer, other, 0, &error));
    ck_assert_uint_eq(fake.count, 0);
    ck_nv_ok(nestvirt_observer_add_thread(observer, other, self, &error));
    ck_assert_int_eq(fake.tids[0], self);
    ck_nv_fails(nestvirt_observer_add_thread(observer, other, self, &error), -EALREADY);
    ck_nv_fails(nestvirt_observer_add_thread(observer, other, 0, &error), -ESRCH);
    ck_nv_fails(nestvirt_observer_add_thread(observer, other, -1, &error), -ESRCH);
    ck_nv_ok(nestvirt_observer_add(observer, vm, 0, &error));
    ck_nv_fails(nestvirt_observer_add_thread(observer, vm, self, &error), -EBUSY);
    ck_assert_int_eq(nestvirt_vm_free(other), 0);
    ck_assert_uint_eq(fake.count, 0); /* this thread lives on, and may count for another VM */
    ck_nv_ok(nestvirt_observer_add_thread(observer, vm, self, &error));
}
END_TEST

/* Whichever goes first. */
START_TEST(test_observer_goes_first)
{
    struct nestvirt_observer *first = observer;

    ck_nv_ok(nestvirt_vm_build(vm, &error));
    ck_nv_ok(nestvirt_observer_add(first, vm, 0, &error));
    ck_assert_int_eq(nestvirt_observer_free(first), 0);
    ck_nv_ok(make(0, &error));
    ck_nv_ok(nestvirt_vm_start(vm, &error));
    ck_nv_ok(nestvirt_vm_stop(vm, -1, &error));
    ck_nv_ok(nestvirt_vm_start(vm, &error)); /* builds, and finds out */
    memset(fake.ids, 0, sizeof(fake.ids));
    fake.count = 0;
    ck_nv_ok(nestvirt_observer_add(observer, vm, 0, &error));
    ck_assert_uint_eq(fake.count, VCPUS);
}
END_TEST

START_TEST(test_misuse)
{
    struct nestvirt_observer_config config;
    struct nestvirt_observer *none = (struct nestvirt_observer *)vm;

    nestvirt_observer_config_init(&config, sizeof(config));
    ck_nv_fails(nestvirt_observer_new(&config, NULL, &error), -EFAULT);
    config.flags = 4;
    ck_nv_fails(nestvirt_observer_new(&config, &none, &error), -EINVAL);
    ck_assert_ptr_null(none);
    config.flags = NESTVIRT_OBSERVER_NEED_BPF | NESTVIRT_OBSERVER_SCHEDSTAT;
    ck_nv_fails(nestvirt_observer_new(&config, &none, &error), -EINVAL);
    config.size = 4;
    ck_nv_fails(nestvirt_observer_new(&config, &none, &error), -EINVAL);
    ck_nv_fails(nestvirt_observer_add(NULL, vm, 0, &error), -EFAULT);
    ck_nv_fails(nestvirt_observer_add(observer, NULL, 0, &error), -EFAULT);
    ck_nv_fails(nestvirt_observer_add((void *)vm, vm, 0, &error), -EBADF);
    ck_nv_fails(nestvirt_observer_add(observer, (void *)observer, 0, &error), -EBADF);
    ck_nv_fails(nestvirt_observer_start(NULL, &error), -EFAULT);
    ck_assert_int_eq(nestvirt_observer_free(NULL), 0);
    ck_assert_int_eq(nestvirt_observer_free((void *)vm), -EBADF);
    ck_assert_str_eq(nestvirt_observer_get_reason(NULL), "");
    ck_assert_str_eq(nestvirt_observer_get_reason((void *)vm), "");
}
END_TEST

/* Without libbpf there are totals, or nothing if that was asked for; the reason is told. */
START_TEST(test_no_libbpf)
{
    ck_assert_int_eq(nestvirt_observer_free(observer), 0);
    fake.is_on = false;
    has_no_libbpf = true;
    ck_nv_fails(make(NESTVIRT_OBSERVER_NEED_BPF, &error), -ENOTSUP);
    ck_assert_ptr_null(observer);
    ck_nv_ok(make(0, &error));
    ck_assert(strstr(nestvirt_observer_get_reason(observer), "libbpf") ||
              strstr(nestvirt_observer_get_reason(observer), "build"));
    ck_nv_ok(nestvirt_observer_add(observer, vm, 0, &error));
    ck_nv_ok(nestvirt_vm_build(vm, &error));
    ck_assert_uint_eq(waits_of(vm).flags, NESTVIRT_WAITS_TOTALS_ONLY);
    ck_assert_uint_eq(waits_of(vm).threads, VCPUS);
    ck_nv_ok(nestvirt_vm_start(vm, &error));
    usleep(1000);
    ck_nv_ok(nestvirt_vm_stop(vm, -1, &error));
    ck_assert_uint_gt(waits_of(vm).count, 0);
    ck_assert_uint_eq(waits_of(vm).count, waits_of(NULL).count);
    ck_nv_ok(nestvirt_observer_remove(observer, vm, &error));
    ck_assert_uint_gt(waits_of(NULL).count, 0);
    ck_nv_ok(nestvirt_observer_start(observer, &error));
    ck_assert_uint_eq(waits_of(NULL).count, 0);
}
END_TEST

/* --- A /proc that is a folder --- */

static char root[64];

static void put_thread(int tid, const char *text)
{
    char path[256];
    FILE *file;

    snprintf(path, sizeof(path), "mkdir -p %s/proc/self/task/%d", root, tid);
    ck_assert_int_eq(system(path), 0);
    snprintf(path, sizeof(path), "%s/proc/self/task/%d/schedstat", root, tid);
    file = fopen(path, "we");
    ck_assert_ptr_nonnull(file);
    fputs(text, file);
    fclose(file);
}

static void remove_root(void)
{
    char command[128];

    snprintf(command, sizeof(command), "rm -rf %s", root);
    ck_assert_int_eq(system(command), 0);
}

static void check_sums(struct nv_watch *watch, uint64_t time_ns, uint64_t count)
{
    struct nv_waits waits;

    ck_nv_ok(nv_watch_read(watch, &waits, &error));
    ck_assert_uint_eq(waits.info.time_ns, time_ns);
    ck_assert_uint_eq(waits.info.count, count);
    ck_assert_uint_eq(waits.info.flags, NESTVIRT_WAITS_TOTALS_ONLY);
}

START_TEST(test_sums_of_the_kernel)
{
    const uint32_t kind = NESTVIRT_OBSERVE_VCPU;
    struct nestvirt_observer *own;
    struct nv_watch *watch;
    struct nv_waits total;

    strcpy(root, "/tmp/nestvirt-observe-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(root));
    ck_nv_fails_with(nv_observer_new(NESTVIRT_OBSERVER_SCHEDSTAT, root, &own, &error), -ENOTSUP,
                     "CONFIG_SCHED_INFO");
    put_thread(getpid(), "1 2 3\n");
    ck_nv_ok(nv_observer_new(NESTVIRT_OBSERVER_SCHEDSTAT, root, &own, &error));
    ck_nv_ok(nv_watch_new(own, &watch, &error));
    put_thread(1001, "5 1000 10\n");
    put_thread(1002, "5 70000 7\n");
    ck_assert_int_eq(nv_watch_add(watch, 1001, kind, NULL), 1);
    ck_assert_int_eq(nv_watch_add(watch, 1001, kind, NULL), 0);
    ck_assert_int_eq(nv_watch_add(watch, 1002, NESTVIRT_OBSERVE_WORKER, NULL), 1);
    ck_nv_fails(nv_watch_add(watch, 1003, kind, &error), -ESRCH);
    put_thread(1003, "what?\n");
    ck_nv_fails(nv_watch_add(watch, 1003, kind, &error), -ENOTSUP);
    check_sums(watch, 0, 0);
    put_thread(1001, "9 1500 12\n");
    check_sums(watch, 500, 2);
    put_thread(1002, "9 70001 8\n");
    nv_watch_drop(watch, NESTVIRT_OBSERVE_WORKER); /* counts no more, but stays counted */
    put_thread(1002, "9 99999 99\n");
    check_sums(watch, 501, 3);
    put_thread(1001, "9 20 2\n"); /* another thread of the same id */
    check_sums(watch, 501, 3);
    put_thread(1001, "9 2000 20\n");
    check_sums(watch, 1001, 11);
    nv_watch_free(watch);
    ck_nv_ok(nv_observer_read(own, &total, &error));
    ck_assert_uint_eq(total.info.time_ns, 1001);
    ck_assert_uint_eq(total.info.count, 11);
    ck_nv_ok(nv_observer_restart(own, &error));
    ck_nv_ok(nv_observer_read(own, &total, &error));
    ck_assert_uint_eq(total.info.count, 0);
    nv_observer_close(own);
    remove_root();
}
END_TEST

Suite *nv_test_suite(void)
{
    Suite *suite = suite_create("observe_vm");
    TCase *tc = support_case(suite, "observe_vm", 20);

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, test_threads_of_a_build);
    tcase_add_test(tc, test_kinds);
    tcase_add_test(tc, test_given_loop_is_nobodys);
    tcase_add_test(tc, test_built_again);
    tcase_add_test(tc, test_incomplete);
    tcase_add_test(tc, test_failed_add_leaves_nothing);
    tcase_add_test(tc, test_failed_reads);
    tcase_add_test(tc, test_texts);
    tcase_add_test(tc, test_histogram);
    tcase_add_test(tc, test_given_threads);
    tcase_add_test(tc, test_observer_goes_first);
    tcase_add_test(tc, test_misuse);
    tcase_add_test(tc, test_no_libbpf);
    tcase_add_test(tc, test_sums_of_the_kernel);
    return suite;
}
