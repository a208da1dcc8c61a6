/* SPDX-License-Identifier: Apache-2.0 */
/* Proves nestvirt_cgroup_*: who joins which group and when, and what a failure leaves. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "cgroup_tree.h"
#include "core/error.h"
#include "fake_kvm.h"
#include "support.h"
#include "vm/vm.h"

#define ROOT "/sys/fs/cgroup"

enum { VCPUS = 3, VCPU = NESTVIRT_THREAD_VCPU, EVERY = NESTVIRT_THREAD_EVERY };

static struct nestvirt_host *host;
static struct nestvirt_vm *vm;
static int disk = -1;

/* The kernel's part, which can be told to refuse the n-th move. */
static unsigned writes, fail_write_at;
static int write_error;

ssize_t __real_write(int fd, const void *bytes, size_t length);
ssize_t __wrap_write(int fd, const void *bytes, size_t length);
ssize_t __wrap_write(int fd, const void *bytes, size_t length)
{
    if (++writes != fail_write_at)
        return __real_write(fd, bytes, length);
    errno = write_error;
    return -1;
}

static void setup(void)
{
    writes = fail_write_at = 0;
    cgroup_tree_make();
    fake_kvm_reset();
    host = fake_kvm_host();
    vm = fake_kvm_vm(host, 0, NESTVIRT_CHIP_SPLIT, VCPUS);
    vm->cgroups.root = cgroup_tree_root;
}

static void teardown(void)
{
    ck_assert_int_eq(nestvirt_vm_free(vm), 0);
    ck_assert_int_eq(nestvirt_host_free(host), 0);
    cgroup_tree_remove();
    if (disk >= 0)
        close(disk);
    disk = -1;
}

static void add_disk(void)
{
    struct nestvirt_device *device;

    disk = memfd_create("disk", MFD_CLOEXEC);
    ck_assert_int_eq(ftruncate(disk, 1 << 20), 0);
    ck_nv_ok(nestvirt_device_add(vm, "blk", &device, &error));
    ck_nv_ok(nestvirt_device_set_fd(device, "fd", disk, &error));
    ck_nv_ok(nestvirt_device_set_string(device, "engine", "threads", &error));
}

static int tid_of(uint32_t kind, uint32_t index)
{
    struct nestvirt_thread_info info;

    nestvirt_thread_info_init(&info, sizeof(info));
    for (uint32_t i = 0; nestvirt_thread_get(vm, i, &info, NULL) == 0; i++)
        if (info.kind == kind && info.index == index)
            return info.tid;
    ck_abort_msg("no thread %u of kind %u", index, kind);
}

/* Builds and tells the folder of the threads that there are. */
static void build(void)
{
    struct nestvirt_thread_info info;

    ck_nv_ok(nestvirt_vm_build(vm, &error));
    nestvirt_thread_info_init(&info, sizeof(info));
    for (uint32_t i = 0; nestvirt_thread_get(vm, i, &info, NULL) == 0; i++)
        cgroup_tree_add_thread(info.tid);
}

static struct nv_text tids(int first, int second, int third)
{
    return nv_text("%d\n%d\n%d\n", first, second, third);
}

static struct nv_text vcpu_tids(void)
{
    return tids(tid_of(VCPU, 0), tid_of(VCPU, 1), tid_of(VCPU, 2));
}

START_TEST(test_at_once)
{
    char text[256];

    build();
    ck_assert_int_eq(nestvirt_cgroup_set(vm, ROOT "/two/vm1", NESTVIRT_CGROUP_NEED_CPU, NULL),
                     VCPUS);
    ck_assert_str_eq(cgroup_tree_get(ROOT "/two/vm1/cgroup.threads"), vcpu_tids().s);
    ck_assert_int_eq(nestvirt_cgroup_set(vm, ROOT "/cpu/vm1", 0, NULL), VCPUS);
    ck_assert_str_eq(cgroup_tree_get(ROOT "/cpu/vm1/tasks"), vcpu_tids().s);
    ck_assert_int_eq(nestvirt_cgroup_get(vm, 0, text, sizeof(text), NULL), strlen(text));
    ck_assert_str_eq(text, ROOT "/two/vm1");
    ck_nv_ok(nestvirt_cgroup_get(vm, 1, text, sizeof(text), &error));
    ck_assert_str_eq(text, ROOT "/cpu/vm1");
    ck_nv_fails(nestvirt_cgroup_get(vm, 2, text, sizeof(text), &error), -ENOENT);
    ck_nv_ok(nestvirt_cgroup_get_of_thread(vm, VCPU, 1, text, sizeof(text), &error));
    ck_assert_ptr_nonnull(strstr(text, "\n0::/old\n")); /* the folder knows no better */
}
END_TEST

/* Set before, joined at the end of build; the same threads again at the end of the next. */
START_TEST(test_in_build)
{
    ck_assert_int_eq(nestvirt_cgroup_set(vm, ROOT "/cpu/vm1", 0, NULL), 0);
    ck_assert_str_eq(cgroup_tree_get(ROOT "/cpu/vm1/tasks"), "");
    ck_nv_fails_with(nestvirt_vm_build(vm, &error), -ENOENT, "cgroup"); /* unknown threads */
    ck_assert_int_eq(nestvirt_vm_get_state(vm), NESTVIRT_STATE_NEW);
    ck_assert_str_eq(cgroup_tree_get(ROOT "/cpu/vm1/tasks"), "");
}
END_TEST

START_TEST(test_in_next_build)
{
    build();
    ck_nv_ok(nestvirt_cgroup_set(vm, ROOT "/cpu/vm1", 0, &error));
    ck_nv_ok(nestvirt_vm_start(vm, &error));
    ck_nv_ok(nestvirt_vm_stop(vm, -1, &error));
    ck_nv_ok(nestvirt_vm_start(vm, &error));
    ck_assert_str_eq(cgroup_tree_get(ROOT "/cpu/vm1/tasks"),
                     nv_text("%s%s", vcpu_tids().s, vcpu_tids().s).s);
}
END_TEST

START_TEST(test_kinds)
{
    struct nestvirt_loop *loop;
    int shared;

    ck_nv_ok(nestvirt_loop_new(&loop, &error));
    ck_nv_ok(nestvirt_vm_set_loop(vm, loop, &error));
    add_disk();
    build();
    shared = tid_of(NESTVIRT_THREAD_LOOP, 0);
    ck_assert_int_eq(nestvirt_cgroup_set(vm, ROOT "/cpu/vm1", NESTVIRT_CGROUP_WORKER, NULL), 2);
    ck_assert_str_eq(
        cgroup_tree_get(ROOT "/cpu/vm1/tasks"),
        nv_text("%d\n%d\n", tid_of(NESTVIRT_THREAD_WORKER, 0), tid_of(NESTVIRT_THREAD_WORKER, 1))
            .s);
    ck_assert_int_eq(nestvirt_cgroup_set(vm, ROOT "/cpuacct/vm1", 0, NULL), VCPUS + 2);
    ck_assert_ptr_null(
        strstr(cgroup_tree_get(ROOT "/cpuacct/vm1/tasks"), nv_text("%d\n", shared).s));
    ck_assert_int_eq(nestvirt_cgroup_set(vm, ROOT "/cpuset/vm1", NESTVIRT_CGROUP_SHARED_LOOP, NULL),
                     VCPUS + 3);
    ck_nv_fails(nestvirt_cgroup_set(vm, ROOT "/cpuset/vm1", NESTVIRT_CGROUP_LOOP, &error), -ENOENT);
    ck_assert_int_eq(nestvirt_loop_free(loop), 0);
}
END_TEST

/* Another group of a hierarchy takes over the kinds it is for; the rest stays where it was. */
START_TEST(test_another_group)
{
    char text[256];

    add_disk();
    build();
    ck_nv_ok(nestvirt_cgroup_set(vm, ROOT "/two/vm1", 0, &error));
    ck_assert_int_eq(nestvirt_cgroup_set(vm, ROOT "/two/vm2", NESTVIRT_CGROUP_VCPU, NULL), VCPUS);
    ck_nv_ok(nestvirt_cgroup_get(vm, 0, text, sizeof(text), &error));
    ck_assert_str_eq(text, ROOT "/two/vm1"); /* for the loop and workers */
    ck_nv_ok(nestvirt_cgroup_set(vm, ROOT "/two/vm2", 0, &error));
    ck_nv_ok(nestvirt_cgroup_get(vm, 0, text, sizeof(text), &error));
    ck_assert_str_eq(text, ROOT "/two/vm2");
    ck_nv_fails(nestvirt_cgroup_get(vm, 1, text, sizeof(text), &error), -ENOENT);
}
END_TEST

START_TEST(test_second_of_three_fails)
{
    static const struct {
        int error;
        int code;
        const char *text;
    } rows[] = {
        { EOPNOTSUPP, -ENOTSUP, "threaded domain" },
        { EACCES, -EACCES, "vcpu 1" },
        { EPERM, -EPERM, "run as root" },
        { ENOSPC, -ENOSPC, "cpuset.cpus" },
        { EINVAL, -EINVAL, "cpu.rt_runtime_us" },
        { EBUSY, -EBUSY, "cgroup.subtree_control" },
        { ENODEV, -ENOENT, "was removed" },
        { ESRCH, -ESRCH, "moving it to" },
    };
    struct nv_text moved_back;
    char text[16];

    build();
    moved_back = nv_text("%d\n", tid_of(VCPU, 0));
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        cgroup_tree_put(ROOT "/cpu/old/tasks", "");
        writes = 0;
        fail_write_at = 2;
        write_error = rows[i].error;
        ck_nv_fails_with(nestvirt_cgroup_set(vm, ROOT "/cpu/vm1", 0, &error), rows[i].code,
                         rows[i].text);
        /* The second was not moved, but nobody can be sure. */
        ck_assert(strstr(cgroup_tree_get(ROOT "/cpu/old/tasks"), moved_back.s));
        ck_nv_fails(nestvirt_cgroup_get(vm, 0, text, sizeof(text), &error), -ENOENT);
    }
}
END_TEST

/* A failure in the placing behind it moves all back as well. */
START_TEST(test_places_fail_in_next_build)
{
    struct nestvirt_thread_config config;
    struct nv_text last;

    build();
    ck_nv_ok(nestvirt_cgroup_set(vm, ROOT "/cpu/vm1", 0, &error));
    cgroup_tree_put(ROOT "/cpu/old/tasks", "");
    ck_nv_ok(nestvirt_vm_stop(vm, -1, &error));
    nestvirt_thread_config_init(&config, sizeof(config));
    vm->state = NESTVIRT_STATE_NEW; /* so that it is kept only */
    config.cpus = "8000";
    ck_nv_ok(nestvirt_thread_set(vm, VCPU, 2, &config, &error));
    vm->state = NESTVIRT_STATE_STOPPED;
    ck_nv_fails_with(nestvirt_vm_build(vm, &error), -EINVAL, "CPU 8000");
    last = nv_text("%d\n", tid_of(VCPU, 0)); /* over the others: each opens the file anew */
    ck_assert_int_eq(strncmp(cgroup_tree_get(ROOT "/cpu/old/tasks"), last.s, strlen(last.s)), 0);
}
END_TEST

START_TEST(test_refused)
{
    char text[8] = "x";

    ck_nv_fails(nestvirt_cgroup_set(NULL, ROOT "/cpu/vm1", 0, &error), -EFAULT);
    ck_nv_fails(nestvirt_cgroup_set(vm, NULL, 0, &error), -EFAULT);
    ck_nv_fails_with(nestvirt_cgroup_set(vm, ROOT "/cpu/vm1", 0x80, &error), -EINVAL, "0x80");
    ck_nv_fails(nestvirt_cgroup_set(vm, ROOT "/cpu/absent", 0, &error), -ENOENT);
    ck_nv_fails(nestvirt_cgroup_set(vm, "cpu/vm1", 0, &error), -EINVAL);
    ck_nv_fails_with(nestvirt_cgroup_set(vm, ROOT "/two/vm2", NESTVIRT_CGROUP_NEED_CPU, &error),
                     -ENOTSUP, "+cpu");
    ck_nv_fails_with(nestvirt_cgroup_set(vm, ROOT "/cpu/vm1", NESTVIRT_CGROUP_NEED_CPUSET, &error),
                     -ENOTSUP, "cpuset");
    ck_nv_fails_with(nestvirt_cgroup_set(vm, ROOT "/memory/vm1", 0, &error), -ENOTSUP,
                     "memory is charged");
    ck_nv_fails_with(nestvirt_cgroup_set(vm, ROOT "/both/vm1", NESTVIRT_CGROUP_NEED_MEMORY, &error),
                     -ENOTSUP, "group of the process");
    ck_nv_fails_with(nestvirt_cgroup_set(vm, ROOT "/two/vm1", NESTVIRT_CGROUP_NEED_MEMORY, &error),
                     -ENOTSUP, "no memory controller");
    ck_nv_fails(nestvirt_cgroup_get(vm, 0, text, sizeof(text), &error), -ENOENT);
    ck_assert_str_eq(text, "");
    ck_nv_fails(nestvirt_cgroup_get(vm, 0, NULL, 0, &error), -EFAULT);
    ck_nv_fails(nestvirt_cgroup_get_of_thread(vm, VCPU, 0, text, sizeof(text), &error), -ENOENT);
    build();
    ck_nv_fails(nestvirt_cgroup_get_of_thread(vm, VCPU, EVERY, text, 8, &error), -EINVAL);
    ck_nv_fails(nestvirt_cgroup_get_of_thread(vm, VCPU, 3, text, 8, &error), -ENOENT);
    ck_nv_fails_with(nestvirt_cgroup_get_of_thread(vm, VCPU, 0, text, 8, &error), -E2BIG,
                     "give it");
    ck_assert_str_eq(text, "");
}
END_TEST

START_TEST(test_manual_vcpus)
{
    ck_assert_int_eq(nestvirt_vm_free(vm), 0);
    vm = fake_kvm_vm(host, NESTVIRT_VM_MANUAL_VCPUS, NESTVIRT_CHIP_SPLIT, 1);
    vm->cgroups.root = cgroup_tree_root;
    add_disk();
    ck_nv_fails_with(nestvirt_cgroup_set(vm, ROOT "/cpu/vm1", NESTVIRT_CGROUP_VCPU, &error),
                     -ENOTSUP, "driven by hand");
    build();
    ck_assert_int_eq(nestvirt_cgroup_set(vm, ROOT "/cpu/vm1", 0, NULL), 3);
}
END_TEST

START_TEST(test_usage)
{
    struct nestvirt_cgroup_usage usage;

    nestvirt_cgroup_usage_init(&usage, sizeof(usage));
    ck_nv_fails(nestvirt_cgroup_get_usage(vm, &usage, &error), -ENOENT);
    ck_nv_ok(nestvirt_cgroup_set(vm, ROOT "/cpuset/vm1", 0, &error));
    ck_nv_fails_with(nestvirt_cgroup_get_usage(vm, &usage, &error), -ENOTSUP, "cpuacct");
    ck_nv_ok(nestvirt_cgroup_set(vm, ROOT "/cpu/vm1", 0, &error));
    ck_nv_ok(nestvirt_cgroup_set(vm, ROOT "/cpuacct/vm1", 0, &error));
    ck_nv_ok(nestvirt_cgroup_get_usage(vm, &usage, &error));
    ck_assert_uint_eq(usage.flags, 0xf);
    ck_assert_uint_eq(usage.cpu_time_ns, 123456789);
    ck_assert_uint_eq(usage.throttled_periods, 40);
    ck_assert_uint_eq(usage.quota_us, 20000);
    ck_nv_fails(nestvirt_cgroup_get_usage(vm, NULL, &error), -EFAULT);
    ck_assert_int_eq(system(nv_text("rm -rf %s" ROOT "/cpu/vm1", cgroup_tree_root).s), 0);
    ck_nv_fails_with(nestvirt_cgroup_get_usage(vm, &usage, &error), -ENOENT, "removed");
}
END_TEST

Suite *nv_test_suite(void)
{
    Suite *suite = suite_create("cgroup");
    TCase *tcase = support_case(suite, "cgroup", 60);

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, test_at_once);
    tcase_add_test(tcase, test_in_build);
    tcase_add_test(tcase, test_in_next_build);
    tcase_add_test(tcase, test_kinds);
    tcase_add_test(tcase, test_another_group);
    tcase_add_test(tcase, test_second_of_three_fails);
    tcase_add_test(tcase, test_places_fail_in_next_build);
    tcase_add_test(tcase, test_refused);
    tcase_add_test(tcase, test_manual_vcpus);
    tcase_add_test(tcase, test_usage);
    return suite;
}
