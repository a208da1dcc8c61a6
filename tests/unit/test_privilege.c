/* SPDX-License-Identifier: Apache-2.0 */
/* Proves giving up privileges: by the threads of a VM, by the process, and what misuse leads to. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/util.h"
#include "fake_kvm.h"
#include "host/privileges.h"
#include "host/process.h"
#include "support.h"
#include "vm/vm.h"

enum { NOBODY = 65534 };

static struct nestvirt_host *host;

static void setup(void)
{
    fake_kvm_reset();
    host = fake_kvm_host();
}

static void teardown(void)
{
    ck_assert_int_eq(nestvirt_host_free(host), 0);
}

/* Two vCPUs, a loop, a disk's workers, and two who write to files. */
static struct nestvirt_vm *make_vm(void)
{
    struct nestvirt_vm *vm = fake_kvm_vm(host, 0, NESTVIRT_CHIP_SPLIT, 2);
    struct nestvirt_device *disk, *serial, *console;
    int fd = memfd_create("disk", MFD_CLOEXEC);

    ck_assert_int_eq(ftruncate(fd, 4096), 0);
    ck_nv_ok(nestvirt_device_add(vm, "blk", &disk, &error));
    ck_nv_ok(nestvirt_device_set_fd(disk, "fd", fd, &error));
    ck_nv_ok(nestvirt_device_add(vm, "serial", &serial, &error));
    ck_nv_ok(nestvirt_device_set_fd(serial, "output", fd, &error));
    ck_nv_ok(nestvirt_device_add(vm, "console", &console, &error));
    ck_nv_ok(nestvirt_device_set_fd(console, "output", fd, &error));
    close(fd);
    return vm;
}

static int do_nothing(void *user_data, uint32_t role, const char **ret_call)
{
    return 0;
}

/* Its threads have come as far as to wait, with their names. */
static struct nestvirt_vm *make_built(void)
{
    struct nestvirt_vm *vm = make_vm();
    struct nv_errand_result result = { 0 };

    ck_nv_ok(nestvirt_vm_build(vm, &error));
    nv_vm_send(vm, do_nothing, NULL, &result);
    return vm;
}

static unsigned long long read_field(const char *task, const char *key, int base)
{
    char path[64], text[4096];
    const char *line;
    ssize_t length;
    int fd;

    snprintf(path, sizeof(path), "/proc/self/task/%.20s/status", task);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    ck_assert_int_ge(fd, 0);
    length = read(fd, text, sizeof(text) - 1);
    close(fd);
    ck_assert_int_gt(length, 0);
    text[length] = '\0';
    line = strstr(text, key);
    ck_assert_ptr_nonnull(line);
    return strtoull(line + strlen(key), NULL, base);
}

/* How many threads with the library's names there are, all of which have nothing. */
static unsigned check_library_threads(bool is_dropped)
{
    DIR *folder = opendir("/proc/self/task");
    struct dirent *entry;
    unsigned count = 0;

    ck_assert_ptr_nonnull(folder);
    while ((entry = readdir(folder))) {
        char path[64], name[16] = "";
        FILE *file;

        snprintf(path, sizeof(path), "/proc/self/task/%.20s/comm", entry->d_name);
        file = fopen(path, "re");
        if (!file)
            continue;
        ck_assert_ptr_nonnull(fgets(name, sizeof(name), file));
        fclose(file);
        if (strncmp(name, "nv", 2) != 0)
            continue;
        count++;
        ck_assert_uint_eq(read_field(entry->d_name, "\nNoNewPrivs:", 10), is_dropped);
        if (is_dropped) {
            ck_assert_uint_eq(read_field(entry->d_name, "\nCapPrm:", 16), 0);
            ck_assert_uint_eq(read_field(entry->d_name, "\nCapEff:", 16), 0);
            ck_assert_uint_eq(read_field(entry->d_name, "\nCapInh:", 16), 0);
            ck_assert_uint_eq(read_field(entry->d_name, "\nCapAmb:", 16), 0);
            if (geteuid() == 0)
                ck_assert_uint_eq(read_field(entry->d_name, "\nCapBnd:", 16), 0);
        }
    }
    closedir(folder);
    return count;
}

START_TEST(test_every_thread_and_no_other)
{
    struct nestvirt_vm *vm = make_built();
    char self[24];
    unsigned long long before;
    unsigned count;

    snprintf(self, sizeof(self), "%d", gettid());
    before = read_field(self, "\nCapEff:", 16);
    count = check_library_threads(false);
    ck_assert_uint_ge(count, 6);
    ck_nv_ok(nestvirt_vm_remove_privileges(vm, &error));
    ck_assert_uint_eq(check_library_threads(true), count);
    ck_assert_uint_eq(read_field(self, "\nCapEff:", 16), before);
    ck_assert_uint_eq(read_field(self, "\nNoNewPrivs:", 10), 0);
    ck_nv_ok(nestvirt_vm_start(vm, &error));
    ck_nv_ok(nestvirt_vm_stop(vm, -1, &error));
    ck_nv_ok(nestvirt_vm_build(vm, &error)); /* with new workers */
    ck_assert_uint_eq(check_library_threads(true), count);
    ck_assert_int_eq(nestvirt_vm_free(vm), 0);
}
END_TEST

START_TEST(test_shared_loop)
{
    struct nestvirt_vm *vm = make_vm();
    struct nestvirt_loop *loop;

    ck_nv_ok(nestvirt_loop_new(&loop, &error));
    ck_nv_ok(nestvirt_vm_set_loop(vm, loop, &error));
    ck_nv_ok(nestvirt_vm_build(vm, &error));
    ck_nv_ok(nestvirt_vm_remove_privileges(vm, &error));
    ck_assert_int_eq(nestvirt_vm_free(vm), 0);
    ck_assert_uint_eq(check_library_threads(true), 1); /* for whoever uses it next */
    ck_assert_int_eq(nestvirt_loop_free(loop), 0);
}
END_TEST

START_TEST(test_manual_vm_has_no_threads)
{
    struct nestvirt_vm *vm = fake_kvm_vm(host, NESTVIRT_VM_MANUAL_VCPUS, NESTVIRT_CHIP_SPLIT, 1);

    ck_nv_ok(nestvirt_vm_build(vm, &error));
    ck_nv_ok(nestvirt_vm_remove_privileges(vm, &error));
    ck_nv_fails(nestvirt_vm_remove_privileges(vm, &error), -EALREADY);
    ck_nv_ok(nestvirt_vm_start(vm, &error));
    ck_assert_int_eq(nestvirt_vm_free(vm), 0);
}
END_TEST

START_TEST(test_misuse_18_wrong_time)
{
    struct nestvirt_vm *vm = make_vm();

    ck_nv_fails(nestvirt_vm_remove_privileges(NULL, &error), -EFAULT);
    ck_nv_fails(nestvirt_vm_remove_privileges((struct nestvirt_vm *)host, &error), -EBADF);
    ck_nv_fails_with(nestvirt_vm_remove_privileges(vm, &error), -EBUSY, "nestvirt_vm_build");
    ck_nv_ok(nestvirt_vm_build(vm, &error));
    ck_nv_ok(nestvirt_vm_remove_privileges(vm, &error));
    ck_nv_fails(nestvirt_vm_remove_privileges(vm, &error), -EALREADY);
    ck_assert_int_eq(nestvirt_vm_get_state(vm), NESTVIRT_STATE_BUILT);
    ck_nv_ok(nestvirt_vm_start(vm, &error));
    ck_nv_fails(nestvirt_vm_remove_privileges(vm, &error), -EALREADY);
    ck_assert_int_eq(nestvirt_vm_free(vm), 0);
}
END_TEST

START_TEST(test_misuse_18_after_start)
{
    struct nestvirt_vm *vm = make_built();

    ck_nv_ok(nestvirt_vm_start(vm, &error));
    ck_nv_fails(nestvirt_vm_remove_privileges(vm, &error), -EBUSY);
    ck_nv_ok(nestvirt_vm_pause(vm, &error));
    ck_nv_fails(nestvirt_vm_remove_privileges(vm, &error), -EBUSY);
    ck_nv_ok(nestvirt_vm_stop(vm, -1, &error));
    ck_nv_fails(nestvirt_vm_remove_privileges(vm, &error), -EBUSY);
    ck_nv_ok(nestvirt_vm_build(vm, &error));
    ck_nv_fails(nestvirt_vm_remove_privileges(vm, &error), -EBUSY);
    ck_assert_int_eq(nestvirt_vm_get_state(vm), NESTVIRT_STATE_BUILT);
    check_library_threads(false);
    ck_assert_int_eq(nestvirt_vm_free(vm), 0);
}
END_TEST

/* Forbids capset() to threads of one role. */
static int forbid(void *user_data, uint32_t role, const char **ret_call)
{
    struct sock_filter code[] = {
        { BPF_LD | BPF_W | BPF_ABS, 0, 0, offsetof(struct seccomp_data, nr) },
        { BPF_JMP | BPF_JEQ | BPF_K, 0, 1, SYS_capset },
        { BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ERRNO | EACCES },
        { BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW },
    };
    struct sock_fprog program = { NV_ARRAY_SIZE(code), code };

    if (role != *(uint32_t *)user_data)
        return 0;
    *ret_call = "seccomp";
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
        syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) < 0)
        return -errno;
    return 0;
}

static const struct {
    uint32_t role;
    const char *thread;
} failing[] = {
    { NESTVIRT_ROLE_VCPU, "(nv" },
    { NESTVIRT_ROLE_LOOP, "(nv-loop)" },
    { NESTVIRT_ROLE_WORKER, "(nv-disk)" },
};

/* A thread that cannot is named, and the guest never runs. */
START_TEST(test_misuse_18_failure_ends_the_vm)
{
    struct nestvirt_vm *vm = make_built();
    struct nv_errand_result result = { 0 };
    uint32_t role = failing[_i].role;
    unsigned runs = fake_kvm_runs();

    if (support_is_valgrind())
        role = 0; /* it makes calls of its own */
    nv_vm_send(vm, forbid, &role, &result);
    ck_assert_int_eq(result.code, 0);
    if (role) {
        ck_nv_fails_with(nestvirt_vm_remove_privileges(vm, &error), -EACCES, failing[_i].thread);
        ck_assert_int_eq(nestvirt_vm_get_state(vm), NESTVIRT_STATE_FAILED);
        ck_nv_fails(nestvirt_vm_start(vm, &error), -EBUSY);
        ck_nv_fails(nestvirt_vm_build(vm, &error), -EBUSY);
        ck_nv_fails(nestvirt_vm_remove_privileges(vm, &error), -EALREADY);
        ck_assert_uint_eq(fake_kvm_runs(), runs);
    }
    ck_assert_int_eq(nestvirt_vm_free(vm), 0);
}
END_TEST

/* --- The process --- */

static void expect_bad(const struct nestvirt_privilege_config *config, int code)
{
    ck_nv_fails(nestvirt_process_remove_privileges(config, &error), code);
}

START_TEST(test_bad_config)
{
    const struct nestvirt_privilege_config good = { .size = sizeof(good) };
    const uint32_t groups[2] = { 1, UINT32_MAX };
    struct nestvirt_privilege_config bad;
    struct {
        struct nestvirt_privilege_config config;
        uint64_t tail;
    } longer = { good, 1 };

    longer.config.size = sizeof(longer);
    expect_bad(&longer.config, -E2BIG);
    bad = good;
    bad.size = 8;
    expect_bad(&bad, -EINVAL);
    bad = good;
    bad.flags = 1u << 3;
    expect_bad(&bad, -EINVAL);
    bad = good;
    bad.reserved = 1;
    expect_bad(&bad, -EINVAL);
    bad = good;
    bad.uid = NOBODY; /* without its flag */
    expect_bad(&bad, -EINVAL);
    bad.flags = NESTVIRT_PRIVILEGE_UID;
    bad.uid = UINT32_MAX;
    expect_bad(&bad, -EINVAL);
    bad = good;
    bad.flags = NESTVIRT_PRIVILEGE_GROUPS;
    bad.group_count = 2;
    expect_bad(&bad, -EFAULT);
    bad.groups = groups;
    expect_bad(&bad, -EINVAL);
    bad.group_count = NESTVIRT_PRIVILEGE_GROUPS_MAX + 1;
    expect_bad(&bad, -EINVAL);
}
END_TEST

/* Runs fn in a process that may lose what it has; it returns 0 if all is well, else a line. */
static void in_child(int (*fn)(void))
{
    pid_t child;
    int status;

    fflush(stdout);
    child = fork();
    if (child == 0) {
        alarm(30);
        _exit(fn() == 0 ? 66 : 1);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 66, "the child ended with %#x",
                  status);
}

#define EXPECT(condition)                                      \
    do {                                                       \
        if (!(condition)) {                                    \
            printf("line %d: not %s\n", __LINE__, #condition); \
            fflush(stdout);                                    \
            return __LINE__;                                   \
        }                                                      \
    } while (0)

static struct nestvirt_privilege_config to_nobody(void)
{
    return (struct nestvirt_privilege_config){
        .size = sizeof(struct nestvirt_privilege_config),
        .flags = NESTVIRT_PRIVILEGE_UID | NESTVIRT_PRIVILEGE_GID | NESTVIRT_PRIVILEGE_GROUPS,
        .uid = NOBODY,
        .gid = NOBODY,
    };
}

static void *wait_long(void *unused)
{
    prctl(PR_SET_NAME, "bystander");
    pause();
    return NULL;
}

static void start_bystander(void)
{
    pthread_t thread;

    pthread_create(&thread, NULL, wait_long, NULL);
    usleep(20000);
}

static int become_nobody(void)
{
    struct nestvirt_privilege_config config = to_nobody();
    gid_t groups[8];

    start_bystander();
    EXPECT(nestvirt_process_remove_privileges(&config, NULL) == 0);
    EXPECT(getuid() == NOBODY && geteuid() == NOBODY && getegid() == NOBODY);
    EXPECT(getgroups(8, groups) == 0);
    EXPECT(setuid(0) < 0);
    EXPECT(nestvirt_process_remove_privileges(&config, NULL) == 0); /* what is so already */
    EXPECT(nestvirt_process_remove_privileges(NULL, NULL) == 0);
    config.uid = 0;
    EXPECT(nestvirt_process_remove_privileges(&config, NULL) == -EPERM);
    config.uid = NOBODY;
    config.gid = 0;
    EXPECT(nestvirt_process_remove_privileges(&config, NULL) == -EPERM);
    return 0;
}

START_TEST(test_process_becomes_nobody)
{
    in_child(become_nobody);
}
END_TEST

/* The thread sanitizer's own thread keeps everything too, and would be named. */
static bool has_hidden_thread(void)
{
#ifdef __SANITIZE_THREAD__
    return true;
#else
    return false;
#endif
}

/* The C library would take the process down: what cannot be done everywhere is refused before. */
static int bereave_one(void)
{
    struct nestvirt_privilege_config config = to_nobody();
    struct nestvirt_error *error = NULL;

    start_bystander();
    EXPECT(nestvirt_process_remove_privileges(NULL, &error) == -EPERM);
    EXPECT(strstr(nestvirt_error_get_message(error), "(bystander) kept"));
    nestvirt_error_free(error);
    EXPECT(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1);
    EXPECT(nestvirt_process_remove_privileges(&config, &error) == -EPERM);
    EXPECT(strstr(nestvirt_error_get_message(error), "CAP_SETUID"));
    nestvirt_error_free(error);
    EXPECT(getuid() == 0);
    return 0;
}

START_TEST(test_thread_that_kept_something_is_named)
{
    in_child(bereave_one);
}
END_TEST

/* --- What status files say --- */

static char root[64];

static void write_task(const char *task, const char *file, const char *text)
{
    char path[160];
    FILE *stream;

    snprintf(path, sizeof(path), "%s/proc/self/task/%s", root, task);
    mkdir(path, 0755);
    snprintf(path, sizeof(path), "%s/proc/self/task/%s/%s", root, task, file);
    stream = fopen(path, "we");
    ck_assert_ptr_nonnull(stream);
    fputs(text, stream);
    fclose(stream);
}

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *walk)
{
    return remove(path);
}

#define EMPTY "CapInh:\t0\nCapPrm:\t0\nCapEff:\t0\nCapBnd:\tff\nCapAmb:\t0\nNoNewPrivs:\t1\n"

START_TEST(test_status_files)
{
    char path[128];
    struct nv_tree tree;

    snprintf(root, sizeof(root), "/tmp/nestvirt-tasks-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(root));
    ck_nv_ok(nv_tree_open(root, &tree, &error));
    ck_nv_fails(nv_process_check_threads(&tree, &error), -ENOENT);
    for (const char *const *part =
             (const char *const[]){ "/proc", "/proc/self", "/proc/self/task", NULL };
         *part; part++) {
        snprintf(path, sizeof(path), "%s%s", root, *part);
        ck_assert_int_eq(mkdir(path, 0755), 0);
    }
    ck_nv_ok(nv_process_check_threads(&tree, &error));
    write_task("7", "status", "Name:\tquiet\n" EMPTY);
    write_task("7", "stat", "7 (quiet) S 1 1 1 0 -1 4194304 1 0\n");
    ck_nv_ok(nv_process_check_threads(&tree, &error));
    write_task("8", "status", "Name:\tkvm-x) 1\nCapPrm:\t1ff\nCapEff:\t1ff\n");
    write_task("8", "stat", "8 (kvm-x) 1) S 1 1 1 0 -1 16384 1 0\n"); /* the kernel's own */
    ck_nv_ok(nv_process_check_threads(&tree, &error));
    write_task("9", "status", "Name:\tgo worker\n" EMPTY "CapAmb:\t0\n");
    write_task("9", "stat", "9 (go worker) S 1 1 1 0 -1 4194304 1 0\n");
    ck_nv_ok(nv_process_check_threads(&tree, &error));
    for (const char *const *set =
             (const char *const[]){ "CapInh", "CapPrm", "CapEff", "CapAmb", NULL };
         *set; set++) {
        char status[128];

        snprintf(status, sizeof(status), "Name:\tgo worker\n%s:\t0000000000000400\n", *set);
        write_task("9", "status", status);
        ck_nv_fails_with(nv_process_check_threads(&tree, &error), -EPERM, "thread 9 (go worker)");
    }
    write_task("9", "stat", "garbage"); /* not known to be the kernel's */
    ck_nv_fails(nv_process_check_threads(&tree, &error), -EPERM);
    nv_tree_close(&tree);
    nftw(root, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}
END_TEST

/* --- The list of needs --- */

START_TEST(test_needs)
{
    struct nestvirt_need need;
    struct nestvirt_need early = { .size = 8 };
    bool has_role[NESTVIRT_ROLE_CALLER + 1] = { false };

    nestvirt_need_init(&need, sizeof(need));
    for (uint32_t i = 0; nestvirt_privilege_get_need(i, &need, NULL) == 0; i++) {
        ck_assert_uint_eq(need.size, sizeof(need));
        ck_assert_uint_ge(need.kind, NESTVIRT_NEED_SYSCALL);
        ck_assert_uint_le(need.kind, NESTVIRT_NEED_FD);
        has_role[need.role] = true;
    }
    for (int role = NESTVIRT_ROLE_VCPU; role <= NESTVIRT_ROLE_CALLER; role++)
        ck_assert(has_role[role]);
    ck_nv_fails(nestvirt_privilege_get_need(0, NULL, &error), -EFAULT);
    ck_nv_fails(nestvirt_privilege_get_need(0, &early, &error), -EINVAL);
}
END_TEST

START_TEST(test_build_without_libcap_ng)
{
    struct nestvirt_vm *vm = make_built();
    struct nestvirt_privilege_config config = to_nobody();

    ck_nv_fails(nestvirt_vm_remove_privileges(vm, &error), -ENOTSUP);
    ck_nv_fails(nestvirt_process_remove_privileges(&config, &error), -ENOTSUP);
    ck_nv_ok(nestvirt_vm_start(vm, &error)); /* nothing has changed */
    ck_assert_int_eq(nestvirt_vm_free(vm), 0);
}
END_TEST

Suite *nv_test_suite(void)
{
    Suite *suite = suite_create("privilege");
    TCase *vm = support_case(suite, "vm", 60);
    TCase *process = support_case(suite, "process", 60);
    struct nv_privileges *privileges = NULL;
    bool has_library = nv_privileges_open(&privileges, NULL) == 0;

    nv_privileges_close(privileges);
    tcase_add_checked_fixture(vm, setup, teardown);
    tcase_add_test(process, test_bad_config);
    tcase_add_test(process, test_status_files);
    tcase_add_test(process, test_needs);
    if (!has_library) {
        tcase_add_test(vm, test_build_without_libcap_ng);
        return suite;
    }
    tcase_add_test(vm, test_every_thread_and_no_other);
    tcase_add_test(vm, test_shared_loop);
    tcase_add_test(vm, test_manual_vm_has_no_threads);
    tcase_add_test(vm, test_misuse_18_wrong_time);
    tcase_add_test(vm, test_misuse_18_after_start);
    tcase_add_loop_test(vm, test_misuse_18_failure_ends_the_vm, 0, NV_ARRAY_SIZE(failing));
    if (geteuid() == 0 && !support_is_valgrind()) {
        tcase_add_test(process, test_process_becomes_nobody);
        if (!has_hidden_thread())
            tcase_add_test(process, test_thread_that_kept_something_is_named);
    }
    return suite;
}
