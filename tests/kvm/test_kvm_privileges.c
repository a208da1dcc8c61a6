/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the proof that VMs run as nobody without any capability: what build opened is enough. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/util.h"
#include "guests.h"
#include "many_script.h"
#include "support.h"

enum { NOBODY = 65534, CHILD_SECONDS = 60 };

static const char *const engines[] = { "threads", "io_uring" };
static struct many many; /* a child has a copy of it */

static void become_nobody(void)
{
    struct nestvirt_privilege_config config;

    nestvirt_privilege_config_init(&config, sizeof(config));
    config.flags = NESTVIRT_PRIVILEGE_UID | NESTVIRT_PRIVILEGE_GID | NESTVIRT_PRIVILEGE_GROUPS;
    config.uid = config.gid = NOBODY;
    ck_nv_ok(nestvirt_process_remove_privileges(&config, &error));
}

static unsigned long long number_of(const char *status, const char *key, int base)
{
    const char *line = strstr(status, key);

    ck_assert_ptr_nonnull(line);
    return strtoull(line + strlen(key), NULL, base);
}

static void check_thread(const char *task)
{
    static const char *const sets[] = { "\nCapInh:", "\nCapPrm:", "\nCapEff:", "\nCapAmb:" };
    char path[64], status[4096];
    int fd;
    ssize_t length;

    snprintf(path, sizeof(path), "/proc/self/task/%.20s/status", task);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    ck_assert_int_ge(fd, 0);
    length = read(fd, status, sizeof(status) - 1);
    close(fd);
    ck_assert_int_gt(length, 0);
    status[length] = '\0';
    for (size_t i = 0; i < NV_ARRAY_SIZE(sets); i++)
        ck_assert_msg(number_of(status, sets[i], 16) == 0, "%s in\n%s", sets[i], status);
    ck_assert_msg(number_of(status, "\nNoNewPrivs:", 10) == 1, "in\n%s", status);
    ck_assert_uint_eq(number_of(status, "\nUid:", 10), NOBODY);
    ck_assert_uint_eq(number_of(status, "\nGid:", 10), NOBODY);
}

/* All of them: the library's and this one, which asked. */
static unsigned check_threads(void)
{
    DIR *folder = opendir("/proc/self/task");
    struct dirent *entry;
    unsigned count = 0;

    ck_assert_ptr_nonnull(folder);
    while ((entry = readdir(folder)))
        if (entry->d_name[0] != '.') {
            check_thread(entry->d_name);
            count++;
        }
    closedir(folder);
    return count;
}

static void run_many(void)
{
    ck_nv_ok(nestvirt_vm_start(many.script.vm, &error));
    many_feed(&many);
    many_check(&many);
    ck_nv_ok(nestvirt_vm_stop(many.script.vm, -1, &error));
}

/* Twice: the second build makes the socket anew, and workers. */
static void live_as_nobody(const char *engine)
{
    struct nestvirt_host *host = support_host();

    many_begin(&many, host, engine, true);
    ck_nv_ok(nestvirt_vm_build(many.script.vm, &error));
    become_nobody();
    ck_nv_ok(nestvirt_vm_remove_privileges(many.script.vm, &error));
    ck_assert_uint_ge(check_threads(), 4); /* this one, a vCPU, the loop, workers */
    run_many();
    ck_nv_ok(nestvirt_vm_build(many.script.vm, &error));
    check_threads();
    many_write(&many);
    run_many();
    ck_assert_int_eq(nestvirt_vm_free(many.script.vm), 0);
    ck_assert_int_eq(nestvirt_host_free(host), 0);
}

/* In a process of its own, which cannot come back. */
static void in_child(void (*fn)(const char *), const char *argument)
{
    pid_t child;
    int status;

    fflush(stdout);
    child = fork();
    if (child == 0) {
        alarm(CHILD_SECONDS);
        fn(argument);
        _exit(66);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
        support_skip("see above");
    ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 66, "the child ended with %#x",
                  status);
}

START_TEST(test_all_devices_as_nobody)
{
    in_child(live_as_nobody, engines[_i]);
}
END_TEST

/* A disk that only root may open: the next start says which, and the VM is failed. */
static void restart_as_nobody(const char *path)
{
    struct nestvirt_host *host = support_host();
    struct nestvirt_vm *vm = GUEST_NEW(host, exit_code, .mode = NESTVIRT_MODE_REAL);
    struct nestvirt_device *disk;

    ck_nv_ok(nestvirt_device_add(vm, "blk", &disk, &error));
    ck_nv_ok(nestvirt_device_set_string(disk, "path", path, &error));
    ck_nv_ok(nestvirt_vm_build(vm, &error));
    become_nobody();
    ck_nv_ok(nestvirt_vm_remove_privileges(vm, &error));
    ck_nv_ok(nestvirt_vm_start(vm, &error));
    ck_assert_uint_eq(guest_wait(vm, NULL), NESTVIRT_RESULT_GUEST_EXIT);
    ck_nv_fails_with(nestvirt_vm_start(vm, &error), -EACCES, "device 2 (blk)");
    ck_assert_int_eq(nestvirt_vm_get_state(vm), NESTVIRT_STATE_FAILED);
    ck_assert_int_eq(nestvirt_vm_free(vm), 0);
    ck_assert_int_eq(nestvirt_host_free(host), 0);
}

START_TEST(test_restart_needs_what_build_needs)
{
    char path[96];
    int fd;

    snprintf(path, sizeof(path), "%s/disk", many.folder);
    fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(ftruncate(fd, 4096), 0);
    close(fd);
    in_child(restart_as_nobody, path);
    unlink(path);
}
END_TEST

/* A tap by name: whether the device or the tap itself is not that user's is the machine's. */
static void tap_of_root(const char *unused)
{
    struct nestvirt_host *host = support_host();
    struct nestvirt_error *text;

    many_begin(&many, host, "threads", false);
    ck_nv_ok(nestvirt_vm_build(many.script.vm, &error));
    become_nobody();
    ck_nv_ok(nestvirt_vm_remove_privileges(many.script.vm, &error));
    run_many();
    ck_assert_int_lt(nestvirt_vm_start(many.script.vm, &text), 0);
    ck_assert_ptr_nonnull(strstr(nestvirt_error_get_message(text), "device 3 (net)"));
    nestvirt_error_free(text);
    ck_assert_int_eq(nestvirt_vm_get_state(many.script.vm), NESTVIRT_STATE_FAILED);
}

START_TEST(test_restart_with_a_tap_of_root)
{
    in_child(tap_of_root, NULL);
}
END_TEST

static void setup(void)
{
    many_make_folder(&many);
}

static void teardown(void)
{
    many_remove_folder(&many);
}

Suite *nv_test_suite(void)
{
    Suite *suite = suite_create("kvm_privileges");
    TCase *tcase = support_case(suite, "nobody", 2 * CHILD_SECONDS);

    if (geteuid() != 0)
        support_skip("only root can become nobody");
    nestvirt_host_free(support_host());
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_loop_test(tcase, test_all_devices_as_nobody, 0, NV_ARRAY_SIZE(engines));
    tcase_add_test(tcase, test_restart_needs_what_build_needs);
    tcase_add_test(tcase, test_restart_with_a_tap_of_root);
    return suite;
}
