/* SPDX-License-Identifier: Apache-2.0 */
/* Proves control groups of the running kernel: limits that are felt, moves, and refusals. */
#include <errno.h>
#include <grp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "cgroup_dir.h"
#include "core/error.h"
#include "core/log.h"
#include "guests.h"
#include "support.h"

enum { VCPU = NESTVIRT_THREAD_VCPU, NOBODY = 65534 };

static struct nestvirt_host *host;
static char mount_1[256], mount_cpuset[256], mount_cpuacct[256]; /* of version 1 */
static char cpu_list[2][16];                                     /* two that may be used */

static struct nestvirt_thread_info vcpu_info(struct nestvirt_vm *vm, uint32_t index)
{
    struct nestvirt_thread_info info;

    nestvirt_thread_info_init(&info, sizeof(info));
    ck_nv_ok(nestvirt_thread_get(vm, index, &info, &error));
    ck_assert_uint_eq(info.kind, VCPU);
    return info;
}

static int set_cpus(struct nestvirt_vm *vm, const char *cpus, struct nestvirt_error **e)
{
    struct nestvirt_thread_config config;

    nestvirt_thread_config_init(&config, sizeof(config));
    config.cpus = cpus;
    return nestvirt_thread_set(vm, VCPU, NESTVIRT_THREAD_EVERY, &config, e);
}

static void expect_group(struct nestvirt_vm *vm, const char *controller, const char *path)
{
    char text[4096];
    const char *line;

    ck_nv_ok(nestvirt_cgroup_get_of_thread(vm, VCPU, 0, text, sizeof(text), &error));
    line = strstr(text, nv_text(":%s:", controller).s);
    ck_assert_msg(line != NULL, "no %s in %s", controller, text);
    line += strlen(controller) + 2;
    ck_assert_msg(strncmp(line, path, strlen(path)) == 0 && line[strlen(path)] == '\n',
                  "not %s: %s", path, line);
}

/* The part of a CPU, in percent, that a spinning vCPU gets in 3.5 seconds. */
static double measure(struct nestvirt_vm *vm)
{
    const struct timespec duration = { .tv_sec = 3, .tv_nsec = 500000000 };
    uint64_t wall = nv_now_ns();
    uint64_t used = vcpu_info(vm, 0).cpu_time_ns;

    nanosleep(&duration, NULL);
    used = vcpu_info(vm, 0).cpu_time_ns - used;
    wall = nv_now_ns() - wall;
    return 100.0 * (double)used / (double)wall;
}

static struct nestvirt_cgroup_usage usage_of(struct nestvirt_vm *vm)
{
    struct nestvirt_cgroup_usage usage;

    nestvirt_cgroup_usage_init(&usage, sizeof(usage));
    ck_nv_ok(nestvirt_cgroup_get_usage(vm, &usage, &error));
    return usage;
}

/*
 * 20 % and 3 points. Neighbours of a shared machine can only take from it: what is above counts at
 * once, what is below is tried again on the other CPU.
 */
START_TEST(test_limit_is_felt)
{
    enum { TRIES = 6 };
    const double limit = 20, margin = 3;
    struct nestvirt_vm *vm = GUEST_NEW(host, spin);
    const char *group = cgroup_dir_make(mount_1, "limit");
    const char *account = cgroup_dir_make(mount_cpuacct, "limit");
    struct nestvirt_cgroup_usage usage;
    double percent = 0;

    cgroup_dir_put(group, "cpu.cfs_period_us", "100000");
    cgroup_dir_put(group, "cpu.cfs_quota_us", "20000");
    ck_nv_ok(nestvirt_cgroup_set(vm, group, NESTVIRT_CGROUP_NEED_CPU, &error));
    if (strcmp(mount_1, mount_cpuacct) != 0)
        ck_nv_ok(nestvirt_cgroup_set(vm, account, 0, &error));
    guest_start(vm);
    expect_group(vm, "cpu", strrchr(group, '/'));
    for (int i = 0; i < TRIES && percent < limit - margin; i++) {
        ck_nv_ok(set_cpus(vm, cpu_list[i % 2], &error));
        usleep(200000); /* what the quota had saved up is gone */
        percent = measure(vm);
        printf("a quota of 20 %% on CPU %s: %.1f %%\n", cpu_list[i % 2], percent);
        ck_assert_double_le(percent, limit + margin);
    }
    ck_assert_double_ge(percent, limit - margin);
    usage = usage_of(vm);
    ck_assert_uint_eq(usage.flags & ~NESTVIRT_CGROUP_HAS_SPLIT & 0xf,
                      NESTVIRT_CGROUP_HAS_TIME | NESTVIRT_CGROUP_HAS_THROTTLING |
                          NESTVIRT_CGROUP_HAS_LIMIT);
    ck_assert_uint_eq(usage.quota_us, 20000);
    ck_assert_uint_eq(usage.period_us, 100000);
    ck_assert_uint_gt(usage.periods, 10);
    ck_assert_uint_gt(usage.throttled_periods, 0);
    ck_assert_uint_gt(usage.throttled_ns, 0);
    /* All of the group is this thread; and it had next to nothing before it joined. */
    ck_assert_double_eq_tol((double)usage.cpu_time_ns, (double)vcpu_info(vm, 0).cpu_time_ns, 100e6);
    nestvirt_vm_free(vm);
    cgroup_dir_remove();
}
END_TEST

START_TEST(test_move_while_running)
{
    struct nestvirt_vm *vm = GUEST_NEW(host, spin);
    const char *first = cgroup_dir_make(mount_1, "first");
    const char *second = cgroup_dir_make(mount_1, "second");

    guest_start(vm);
    ck_assert_int_eq(nestvirt_cgroup_set(vm, first, 0, NULL), 1);
    expect_group(vm, "cpu", strrchr(first, '/'));
    ck_assert_int_eq(atoi(cgroup_dir_get(first, "tasks")), vcpu_info(vm, 0).tid);
    ck_assert_int_eq(nestvirt_cgroup_set(vm, second, 0, NULL), 1);
    expect_group(vm, "cpu", strrchr(second, '/'));
    ck_assert_str_eq(cgroup_dir_get(first, "tasks"), "");
    ck_nv_ok(nestvirt_vm_stop(vm, -1, &error));
    ck_nv_ok(nestvirt_vm_start(vm, &error));
    expect_group(vm, "cpu", strrchr(second, '/'));
    nestvirt_vm_free(vm);
    cgroup_dir_remove();
}
END_TEST

/* A cpuset is the CPUs that a thread is allowed; asking for others is the silent trimming. */
START_TEST(test_misuse_12_cpuset)
{
    struct nestvirt_vm *vm = GUEST_NEW(host, spin);
    const char *group = cgroup_dir_make(mount_cpuset, "set");
    const struct nv_text both = nv_text("%s,%s", cpu_list[0], cpu_list[1]);
    char cpus[256];

    guest_start(vm);
    ck_nv_fails_with(nestvirt_cgroup_set(vm, group, 0, &error), -ENOSPC, "cpuset.cpus");
    expect_group(vm, "cpuset", "/");
    cgroup_dir_put(group, "cpuset.mems", "0");
    cgroup_dir_put(group, "cpuset.cpus", cpu_list[0]);
    ck_nv_ok(set_cpus(vm, cpu_list[1], &error));
    ck_nv_fails_with(nestvirt_cgroup_set(vm, group, NESTVIRT_CGROUP_NEED_CPUSET, &error), -EINVAL,
                     nv_text("CPU %s is absent", cpu_list[1]).s);
    expect_group(vm, "cpuset", "/");
    ck_nv_ok(nestvirt_thread_get_cpus(vm, VCPU, 0, cpus, sizeof(cpus), &error));
    ck_assert_str_eq(cpus, cpu_list[1]);
    ck_nv_ok(set_cpus(vm, cpu_list[0], &error));
    ck_nv_ok(nestvirt_cgroup_set(vm, group, NESTVIRT_CGROUP_NEED_CPUSET, &error));
    ck_nv_fails_with(set_cpus(vm, both.s, &error), -EINVAL,
                     nv_text("CPU %s is absent, offline or not allowed", cpu_list[1]).s);
    ck_nv_ok(nestvirt_thread_get_cpus(vm, VCPU, 0, cpus, sizeof(cpus), &error));
    ck_assert_str_eq(cpus, cpu_list[0]);
    nestvirt_vm_free(vm);
    cgroup_dir_remove();
}
END_TEST

START_TEST(test_removed_group)
{
    struct nestvirt_vm *vm = GUEST_NEW(host, halt);
    const char *group = cgroup_dir_make(mount_1, "gone");

    ck_nv_ok(nestvirt_cgroup_set(vm, group, 0, &error));
    ck_assert_int_eq(rmdir(group), 0);
    ck_nv_fails_with(nestvirt_vm_build(vm, &error), -ENOENT, "was removed since it was set");
    ck_nv_fails(nestvirt_cgroup_set(vm, group, 0, &error), -ENOENT);
    ck_assert_int_eq(nestvirt_vm_get_state(vm), NESTVIRT_STATE_NEW);
    nestvirt_vm_free(vm);
    cgroup_dir_remove();
}
END_TEST

START_TEST(test_no_memory_by_thread)
{
    const char *mount = cgroup_dir_mount("memory");
    struct nestvirt_vm *vm = GUEST_NEW(host, halt);
    const char *group = cgroup_dir_make(mount_1, "memory");

    ck_nv_fails_with(nestvirt_cgroup_set(vm, group, NESTVIRT_CGROUP_NEED_MEMORY, &error), -ENOTSUP,
                     "a process of its own");
    if (mount)
        ck_nv_fails_with(nestvirt_cgroup_set(vm, mount, 0, &error), -ENOTSUP, "cgroup.procs");
    nestvirt_vm_free(vm);
    cgroup_dir_remove();
}
END_TEST

/* Threads move; this kernel's version 2 may be without controllers, then that is what is told. */
START_TEST(test_version_2)
{
    const char *mount = cgroup_dir_mount("cgroup2");
    struct nestvirt_vm *vm = GUEST_NEW(host, spin, .vcpus = 2);
    const char *group;
    const char *domain;
    const char *below;
    char path[512];

    if (!mount) {
        printf("version 2 not tried: it is not mounted\n");
        nestvirt_vm_free(vm);
        return;
    }
    group = cgroup_dir_make(mount, "threads");
    domain = cgroup_dir_make(mount, "domain");
    below = cgroup_dir_make(domain, "below");
    guest_start(vm);
    ck_nv_fails_with(nestvirt_cgroup_set(vm, group, 0, &error), -ENOTSUP, "write \"threaded\"");
    cgroup_dir_put(group, "cgroup.type", "threaded");
    cgroup_dir_put(below, "cgroup.type", "threaded");
    ck_assert_int_eq(nestvirt_cgroup_set(vm, group, 0, NULL), 2);
    expect_group(vm, "", strrchr(group, '/'));
    ck_assert_uint_eq(usage_of(vm).flags & NESTVIRT_CGROUP_HAS_TIME, NESTVIRT_CGROUP_HAS_TIME);
    /* Another threaded domain than that of the process: where it was, it stays. */
    ck_nv_fails_with(nestvirt_cgroup_set(vm, below, 0, &error), -ENOTSUP, "threaded domain");
    expect_group(vm, "", strrchr(group, '/'));
    if (!strstr(cgroup_dir_get(group, "cgroup.controllers"), "cpu"))
        ck_nv_fails_with(nestvirt_cgroup_set(vm, group, NESTVIRT_CGROUP_NEED_CPU, &error), -ENOTSUP,
                         "cgroup.subtree_control");
    ck_nv_ok(nestvirt_cgroup_get(vm, 0, path, sizeof(path), &error));
    ck_assert_str_eq(path, group);
    nestvirt_vm_free(vm);
    cgroup_dir_remove();
}
END_TEST

/* In a child process, where check has no say. */
static int is_wrong(int r, int code, struct nestvirt_error **error, const char *text)
{
    const char *message = nestvirt_error_get_message(*error);
    int is_right = r == code && strstr(message, text);

    if (!is_right)
        printf("FAIL: %d, not %d: %s\n", r, code, message);
    nestvirt_error_free(*error);
    return !is_right;
}

/* In a mount namespace of its own where the hierarchy is read-only. */
static int try_read_only(const char *group)
{
    struct nestvirt_host *own = support_host();
    struct nestvirt_vm *vm = GUEST_NEW(own, halt);
    struct nestvirt_error *error;
    int bad;

    if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
        mount(mount_1, mount_1, NULL, MS_BIND, NULL) < 0 ||
        mount(NULL, mount_1, NULL, MS_BIND | MS_REMOUNT | MS_RDONLY, NULL) < 0)
        return 2;
    bad = is_wrong(nestvirt_cgroup_set(vm, group, 0, &error), -EROFS, &error, "read-write");
    bad |= nestvirt_vm_build(vm, NULL) != 0; /* nothing of it was kept */
    bad |= is_wrong(nestvirt_cgroup_set(vm, group, 0, &error), -EROFS, &error, group);
    nestvirt_vm_free(vm);
    nestvirt_host_free(own);
    return bad;
}

/* What was opened with the right to it is used without: a start after privileges were dropped. */
static int try_as_nobody(const char *group)
{
    struct nestvirt_host *own = support_host();
    struct nestvirt_vm *vm = GUEST_NEW(own, halt);
    struct nestvirt_error *error;
    int bad = nestvirt_cgroup_set(vm, group, 0, NULL) != 0;

    if (setgroups(0, NULL) < 0 || setresgid(NOBODY, NOBODY, NOBODY) < 0 ||
        setresuid(NOBODY, NOBODY, NOBODY) < 0)
        return 2;
    bad |= is_wrong(nestvirt_cgroup_set(vm, group, 0, &error), -EACCES, &error, "run as root");
    bad |= is_wrong(nestvirt_vm_build(vm, &error), 0, &error, "");
    nestvirt_vm_free(vm);
    nestvirt_host_free(own);
    return bad;
}

static void in_child(int (*fn)(const char *group), const char *name)
{
    const char *group = cgroup_dir_make(mount_1, name);
    pid_t child = fork();
    int status;

    if (child == 0)
        _exit(fn(group));
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
    cgroup_dir_remove();
}

START_TEST(test_read_only)
{
    in_child(try_read_only, "read-only");
}
END_TEST

START_TEST(test_without_rights)
{
    in_child(try_as_nobody, "nobody");
}
END_TEST

/* The groups go although whoever made them is killed. */
START_TEST(test_guardian)
{
    char path[256];
    int ends[2];
    ssize_t length;
    pid_t child;

    ck_assert_int_eq(pipe(ends), 0);
    child = fork();
    if (child == 0) {
        const char *group;

        cgroup_dir_begin();
        group = cgroup_dir_make(mount_1, "guarded");
        if (write(ends[1], group, strlen(group)) < 0)
            _exit(1);
        pause();
    }
    length = read(ends[0], path, sizeof(path) - 1);
    ck_assert_int_gt(length, 0);
    path[length] = '\0';
    ck_assert_int_eq(access(path, F_OK), 0);
    ck_assert_int_eq(kill(child, SIGKILL), 0);
    waitpid(child, NULL, 0);
    for (int i = 0; i < 500 && access(path, F_OK) == 0; i++)
        usleep(10000);
    ck_assert_int_eq(access(path, F_OK), -1);
    close(ends[0]);
    close(ends[1]);
}
END_TEST

static void find_host(void)
{
    const char *mounts[3];
    char *places[] = { mount_1, mount_cpuset, mount_cpuacct };
    static const char *const names[] = { "cpu", "cpuset", "cpuacct" };
    cpu_set_t set;
    int found = 0;

    for (int i = 0; i < 3; i++) {
        mounts[i] = cgroup_dir_mount(names[i]);
        if (!mounts[i])
            support_skip_host("cgroup version 1 with cpu, cpuset and cpuacct is not mounted here");
        snprintf(places[i], sizeof(mount_1), "%s", mounts[i]);
    }
    if (geteuid() != 0)
        support_skip("making control groups needs a right; run it as root");
    sched_getaffinity(0, sizeof(set), &set);
    for (int i = 0; i < CPU_SETSIZE && found < 2; i++)
        if (CPU_ISSET(i, &set))
            snprintf(cpu_list[found++], sizeof(cpu_list[0]), "%d", i);
    if (found < 2)
        support_skip("this process may use one CPU only");
}

Suite *nv_test_suite(void)
{
    Suite *suite = suite_create("kvm_cgroup");
    TCase *tcase = support_case(suite, "cgroup", 60);

    host = support_host();
    find_host();
    cgroup_dir_begin();
    tcase_add_test(tcase, test_limit_is_felt);
    tcase_add_test(tcase, test_move_while_running);
    tcase_add_test(tcase, test_misuse_12_cpuset);
    tcase_add_test(tcase, test_removed_group);
    tcase_add_test(tcase, test_no_memory_by_thread);
    tcase_add_test(tcase, test_version_2);
    tcase_add_test(tcase, test_read_only);
    tcase_add_test(tcase, test_without_rights);
    tcase_add_test(tcase, test_guardian);
    return suite;
}
