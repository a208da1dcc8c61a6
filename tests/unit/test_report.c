/* SPDX-License-Identifier: Apache-2.0 */
/* Proves the report's calls: misuse, this very machine, speed, limits as they are now. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/log.h"
#include "core/util.h"
#include "report_trees.h"
#include "support.h"

enum { ROUNDS = 5, REPORT_NS_MAX = 20 * 1000000, NOBODY = 65534 };

static struct nestvirt_report *report_of_this_machine(void)
{
    struct nestvirt_report *report = NULL;

    ck_nv_ok(nestvirt_report_new(NULL, &report, &error));
    return report;
}

START_TEST(test_misuse_of_new)
{
    struct nestvirt_report *report = (struct nestvirt_report *)1;
    struct nestvirt_report_config config;

    ck_nv_fails(nestvirt_report_new(NULL, NULL, &error), -EFAULT);
    nestvirt_report_config_init(&config, sizeof(config));
    config.flags = 2;
    ck_nv_fails_with(nestvirt_report_new(&config, &report, &error), -EINVAL, "flags 0x2");
    ck_assert_ptr_null(report);
    config.flags = 0;
    config.size = 7;
    ck_nv_fails(nestvirt_report_new(&config, &report, &error), -EINVAL);
    config.size = sizeof(config);
    config.root = "/nonexistent/root";
    ck_nv_fails_with(nestvirt_report_new(&config, &report, &error), -ENOENT, "/nonexistent/root");
    config.root = "/dev/null";
    ck_nv_fails(nestvirt_report_new(&config, &report, &error), -ENOTDIR);
    config.root = "/tmp";
    config.device = "/dev/kvm";
    ck_nv_fails_with(nestvirt_report_new(&config, &report, &error), -EINVAL, "another root");
    ck_assert_ptr_null(report);
}
END_TEST

START_TEST(test_misuse_of_items)
{
    struct nestvirt_report *report = report_of_this_machine();
    struct nestvirt_loop *loop;
    struct nestvirt_report_item item;
    uint32_t count = 0;

    nestvirt_report_item_init(&item, sizeof(item));
    ck_nv_fails(nestvirt_report_get_item(NULL, 0, &item, &error), -EFAULT);
    ck_nv_fails(nestvirt_report_get_item(report, 0, NULL, &error), -EFAULT);
    ck_nv_fails(nestvirt_report_get_named(report, NULL, &item, &error), -EFAULT);
    ck_nv_fails(nestvirt_report_get_named(NULL, "cpu.vmx", &item, &error), -EFAULT);
    ck_nv_fails(nestvirt_report_get_named(report, "cpu.vmx", NULL, &error), -EFAULT);
    ck_nv_fails_with(nestvirt_report_get_named(report, "cpu.x", &item, &error), -ENOENT, "cpu.x");
    ck_nv_fails(nestvirt_report_get_named(report, "", &item, &error), -ENOENT);
    while (nestvirt_report_get_item(report, count, &item, NULL) == 0)
        count++;
    ck_nv_fails(nestvirt_report_get_item(report, count, &item, &error), -ENOENT);
    ck_nv_fails(nestvirt_report_get_item(report, UINT32_MAX, &item, &error), -ENOENT);
    item.size = 4;
    ck_nv_fails(nestvirt_report_get_item(report, 0, &item, &error), -EINVAL);
    ck_nv_ok(nestvirt_loop_new(&loop, &error));
    item.size = sizeof(item);
    ck_nv_fails(nestvirt_report_get_item((struct nestvirt_report *)loop, 0, &item, &error), -EBADF);
    ck_assert_int_eq(nestvirt_report_free((struct nestvirt_report *)loop), -EBADF);
    ck_assert_int_eq(nestvirt_loop_free(loop), 0);
    ck_assert_int_eq(nestvirt_report_free(NULL), 0);
    ck_assert_int_eq(nestvirt_report_free(report), 0);
}
END_TEST

START_TEST(test_names_of_constants)
{
    ck_assert_str_eq(nestvirt_report_answer_name(NESTVIRT_ANSWER_YES), "yes");
    ck_assert_str_eq(nestvirt_report_answer_name(NESTVIRT_ANSWER_NO), "no");
    ck_assert_str_eq(nestvirt_report_answer_name(NESTVIRT_ANSWER_UNKNOWN), "unknown");
    ck_assert_str_eq(nestvirt_report_answer_name(3), "unknown");
    ck_assert_str_eq(nestvirt_report_group_name(NESTVIRT_GROUP_HOST), "host");
    ck_assert_str_eq(nestvirt_report_group_name(NESTVIRT_GROUP_NESTED), "nested");
    ck_assert_str_eq(nestvirt_report_group_name(NESTVIRT_GROUP_CPU), "cpu");
    ck_assert_str_eq(nestvirt_report_group_name(NESTVIRT_GROUP_KVM), "kvm");
    ck_assert_str_eq(nestvirt_report_group_name(NESTVIRT_GROUP_MODULE), "module");
    ck_assert_str_eq(nestvirt_report_group_name(NESTVIRT_GROUP_DEVICE), "device");
    ck_assert_str_eq(nestvirt_report_group_name(NESTVIRT_GROUP_MEMORY), "memory");
    ck_assert_str_eq(nestvirt_report_group_name(NESTVIRT_GROUP_LIMIT), "limit");
    ck_assert_str_eq(nestvirt_report_group_name(0), "unknown");
    ck_assert_str_eq(nestvirt_report_group_name(9), "unknown");
}
END_TEST

/* The limits are those that the kernel says by other ways. */
START_TEST(test_this_machine)
{
    struct nestvirt_report *report = report_of_this_machine();
    struct rlimit files;

    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &files), 0);
    if (!support_is_valgrind()) /* which keeps some for itself */
        ck_assert_uint_eq(tree_item(report, "limit.open_files").number, files.rlim_cur);
    ck_assert_uint_eq(tree_item(report, "memory.total").number,
                      (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE));
    ck_assert_uint_ne(tree_item(report, "host.kind").answer, NESTVIRT_ANSWER_UNKNOWN);
    ck_assert_uint_ne(tree_item(report, "cpu.vmx").answer, NESTVIRT_ANSWER_UNKNOWN);
    ck_assert_uint_eq(tree_item(report, "limit.mappings").answer, NESTVIRT_ANSWER_YES);
    if (access("/dev/kvm", R_OK | W_OK) < 0)
        ck_assert_uint_eq(tree_item(report, "device.kvm").answer, NESTVIRT_ANSWER_NO);
    ck_assert_int_eq(nestvirt_report_free(report), 0);
}
END_TEST

/* Open files are counted as they are. */
START_TEST(test_open_files_are_counted)
{
    struct nestvirt_report *before = report_of_this_machine();
    struct nestvirt_report *after;
    unsigned long long counts[2];
    int fds[3];

    for (size_t i = 0; i < NV_ARRAY_SIZE(fds); i++)
        fds[i] = open("/dev/null", O_RDONLY | O_CLOEXEC);
    after = report_of_this_machine();
    for (size_t i = 0; i < NV_ARRAY_SIZE(fds); i++)
        close(fds[i]);
    ck_assert_int_eq(sscanf(tree_item(before, "limit.open_files").value, "%*u, %llu", &counts[0]),
                     1);
    ck_assert_int_eq(sscanf(tree_item(after, "limit.open_files").value, "%*u, %llu", &counts[1]),
                     1);
    ck_assert_uint_eq(counts[1], counts[0] + NV_ARRAY_SIZE(fds));
    ck_assert_int_eq(nestvirt_report_free(before), 0);
    ck_assert_int_eq(nestvirt_report_free(after), 0);
}
END_TEST

START_TEST(test_other_devices)
{
    static const struct {
        const char *device;
        const char *text;
    } rows[] = { { "/nonexistent/kvm", "" }, { "/dev/null", "is not KVM" }, { "/", "is not KVM" } };
    struct nestvirt_report_config config;
    struct nestvirt_report *report;

    nestvirt_report_config_init(&config, sizeof(config));
    for (size_t i = 0; i < NV_ARRAY_SIZE(rows); i++) {
        config.root = i == 0 ? "/" : NULL;
        config.device = rows[i].device;
        ck_nv_ok(nestvirt_report_new(&config, &report, &error));
        ck_assert_uint_eq(tree_item(report, "device.kvm").answer, NESTVIRT_ANSWER_NO);
        ck_assert_ptr_nonnull(strstr(tree_item(report, "device.kvm").reason, rows[i].text));
        ck_assert_ptr_nonnull(strstr(tree_item(report, "device.kvm").value, rows[i].device));
        ck_assert_uint_eq(tree_item(report, "kvm.api_version").answer, NESTVIRT_ANSWER_UNKNOWN);
        ck_assert_int_eq(nestvirt_report_free(report), 0);
    }
}
END_TEST

static int compare(const void *a, const void *b)
{
    const uint64_t left = *(const uint64_t *)a;
    const uint64_t right = *(const uint64_t *)b;

    return left < right ? -1 : left > right;
}

START_TEST(test_speed)
{
    uint64_t times[ROUNDS];

    if (support_is_valgrind())
        return;
    for (int i = 0; i < ROUNDS; i++) {
        uint64_t start = nv_now_ns();
        struct nestvirt_report *report = report_of_this_machine();

        times[i] = nv_now_ns() - start;
        ck_assert_int_eq(nestvirt_report_free(report), 0);
    }
    qsort(times, ROUNDS, sizeof(times[0]), compare);
    ck_assert_msg(times[ROUNDS / 2] < REPORT_NS_MAX, "%llu us",
                  (unsigned long long)times[ROUNDS / 2] / 1000);
}
END_TEST

/* Without descriptors there is no report; with a few, no leak. */
START_TEST(test_no_descriptors)
{
    struct nestvirt_report *report = NULL;
    struct rlimit old;
    struct rlimit few;
    int next = open("/dev/null", O_RDONLY | O_CLOEXEC);

    close(next);
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &old), 0);
    for (rlim_t more = 0; more < 4; more++) {
        int r;

        few = (struct rlimit){ (rlim_t)next + more, old.rlim_max };
        ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &few), 0);
        r = nestvirt_report_new(NULL, &report, NULL);
        ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &old), 0);
        ck_assert_int_eq(r, more ? 0 : -EMFILE);
        ck_assert_int_eq(nestvirt_report_free(report), 0);
    }
}
END_TEST

/* As somebody who may not use a device. The child tells by its status. */
START_TEST(test_permission)
{
    struct nestvirt_report_item item;
    struct nestvirt_report *report;
    pid_t child;
    int status;

    if (geteuid() != 0)
        return;
    tree_make(TREE_INTEL_FULL);
    ck_assert_int_eq(chmod(tree_path("dev/net/tun"), 0600), 0);
    ck_assert_int_eq(chmod(tree_path(""), 0755), 0);
    tree_put("kvm", NULL);
    ck_assert_int_eq(chmod(tree_path("dev/kvm"), 0660), 0);
    child = fork();
    if (child == 0) {
        if (setgid(NOBODY) < 0 || setuid(NOBODY) < 0)
            _exit(1);
        report = tree_report();
        item = tree_item(report, "device.tun");
        if (item.answer != NESTVIRT_ANSWER_NO || !strstr(item.remedy, "/dev/net/tun"))
            _exit(2);
        item = tree_item(report, "device.kvm");
        if (item.answer != NESTVIRT_ANSWER_NO || !strstr(item.remedy, "kvm"))
            _exit(3);
        _exit(nestvirt_report_free(report));
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
}
END_TEST

/* A copy in a child of fork() may be read. */
START_TEST(test_fork)
{
    struct nestvirt_report *report = report_of_this_machine();
    struct nestvirt_report_item item;
    pid_t child = fork();
    int status;

    if (child == 0) {
        nestvirt_report_item_init(&item, sizeof(item));
        _exit(nestvirt_report_get_item(report, 0, &item, NULL) == 0 &&
                      nestvirt_report_free(report) == 0
                  ? 0
                  : 1);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
    ck_assert_int_eq(nestvirt_report_free(report), 0);
}
END_TEST

Suite *nv_test_suite(void)
{
    Suite *suite = suite_create("report");
    TCase *tcase = support_case(suite, "report", 60);

    tcase_add_checked_fixture(tcase, NULL, tree_remove);
    tcase_add_test(tcase, test_misuse_of_new);
    tcase_add_test(tcase, test_misuse_of_items);
    tcase_add_test(tcase, test_names_of_constants);
    tcase_add_test(tcase, test_this_machine);
    tcase_add_test(tcase, test_open_files_are_counted);
    tcase_add_test(tcase, test_other_devices);
    tcase_add_test(tcase, test_speed);
    tcase_add_test(tcase, test_no_descriptors);
    tcase_add_test(tcase, test_permission);
    tcase_add_test(tcase, test_fork);
    return suite;
}
