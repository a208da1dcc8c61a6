/* SPDX-License-Identifier: Apache-2.0 */
/* Proves the finding of control groups, moves and figures, on a folder made for it. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cgroup_tree.h"
#include "core/error.h"
#include "host/cgroup.h"
#include "support.h"

#define ROOT "/sys/fs/cgroup"

enum { TID = 4711 };

static struct nv_tree tree;
static struct nv_cgroup group = { .tasks_fd = -1 };

static void setup(void)
{
    cgroup_tree_make();
    cgroup_tree_add_thread(TID);
    ck_assert_int_eq(nv_tree_open(cgroup_tree_root, &tree, NULL), 0);
}

static void teardown(void)
{
    nv_cgroup_close(&group);
    nv_tree_close(&tree);
    cgroup_tree_remove();
}

static void open_group(const char *path)
{
    nv_cgroup_close(&group);
    ck_nv_ok(nv_cgroup_open(&tree, path, &group, &error));
}

START_TEST(test_open)
{
    open_group(ROOT "/cpu/vm1");
    ck_assert_uint_eq(group.version, 1);
    ck_assert_str_eq(group.path, ROOT "/cpu/vm1");
    ck_assert_str_eq(group.mount, ROOT "/cpu");
    ck_assert_str_eq(group.controllers, "cpu");
    open_group(ROOT "//cpu/../both/./vm1/");
    ck_assert_str_eq(group.path, ROOT "/both/vm1");
    ck_assert_str_eq(group.controllers, "cpu,memory");
    open_group(ROOT "/a space/vm1");
    ck_assert_str_eq(group.mount, ROOT "/a space");
    open_group(ROOT "/two/vm1");
    ck_assert_uint_eq(group.version, 2);
    open_group(ROOT "/two"); /* the root, which has no type */
    ck_assert_int_eq(symlink("both", nv_text("%s" ROOT "/cpu,memory", cgroup_tree_root).s), 0);
    open_group(ROOT "/cpu,memory/vm1");
    ck_assert_str_eq(group.path, ROOT "/both/vm1");
}
END_TEST

START_TEST(test_refused)
{
    static const struct {
        const char *path;
        int code;
        const char *text;
    } rows[] = {
        { "", -EINVAL, "not absolute" },
        { "sys/fs/cgroup/cpu/vm1", -EINVAL, "not absolute" },
        { ROOT "/cpu/absent", -ENOENT, "mkdir" },
        { ROOT "/cpu/vm1/tasks", -EINVAL, "not a folder" },
        { ROOT, -EINVAL, "not in a cgroup file system" },
        { "/proc", -EINVAL, "not in a cgroup file system" },
        { ROOT "/two/plain", -ENOTSUP, "write \"threaded\" to its cgroup.type" },
        { ROOT "/two/invalid", -ENOTSUP, "its type is \"domain invalid\"" },
        { ROOT "/memory/vm1", -ENOTSUP, "charged to the group of the process" },
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        ck_nv_fails_with(nv_cgroup_open(&tree, rows[i].path, &group, &error), rows[i].code,
                         rows[i].text);
    ck_assert_int_eq(unlink(nv_text("%s" ROOT "/cpu/vm1/tasks", cgroup_tree_root).s), 0);
    ck_nv_fails(nv_cgroup_open(&tree, ROOT "/cpu/vm1", &group, &error), -ENOENT);
    cgroup_tree_put("/proc/self/mountinfo", "");
    ck_nv_fails(nv_cgroup_open(&tree, ROOT "/two/vm1", &group, &error), -EINVAL);
    ck_assert_int_eq(unlink(nv_text("%s/proc/self/mountinfo", cgroup_tree_root).s), 0);
    ck_nv_fails_with(nv_cgroup_open(&tree, ROOT "/two/vm1", &group, &error), -ENOENT,
                     "mount /proc");
}
END_TEST

/* What is mounted over a group counts, and the last of several mounts. */
START_TEST(test_mounts_over_mounts)
{
    cgroup_tree_put("/proc/self/mountinfo",
                    "1 0 0:1 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpuacct\n"
                    "2 1 0:2 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n"
                    "3 1 0:3 / /sys/fs/cgroup/cpu/vm1x rw - tmpfs tmpfs rw\n");
    open_group(ROOT "/cpu/vm1");
    ck_assert_str_eq(group.controllers, "cpu");
    cgroup_tree_put("/proc/self/mountinfo",
                    "2 1 0:2 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n"
                    "3 1 0:3 / /sys/fs/cgroup/cpu/vm1 rw - tmpfs tmpfs rw\n");
    ck_nv_fails(nv_cgroup_open(&tree, ROOT "/cpu/vm1", &group, &error), -EINVAL);
}
END_TEST

START_TEST(test_needs)
{
    open_group(ROOT "/cpu/vm1");
    ck_nv_ok(nv_cgroup_need(&tree, &group, "cpu", &error));
    ck_nv_fails_with(nv_cgroup_need(&tree, &group, "cpuset", &error), -ENOTSUP, "-o cpuset");
    open_group(ROOT "/cpuacct/vm1");
    ck_nv_fails(nv_cgroup_need(&tree, &group, "cpu", &error), -ENOTSUP);
    open_group(ROOT "/both/vm1");
    ck_nv_ok(nv_cgroup_need(&tree, &group, "cpu", &error));
    open_group(ROOT "/two/vm1");
    ck_nv_ok(nv_cgroup_need(&tree, &group, "cpu", &error));
    ck_nv_ok(nv_cgroup_need(&tree, &group, "cpuset", &error));
    open_group(ROOT "/two/vm2");
    ck_nv_fails_with(nv_cgroup_need(&tree, &group, "cpu", &error), -ENOTSUP,
                     "write \"+cpu\" to cgroup.subtree_control");
}
END_TEST

static void expect_folder(const char *path, const char *folder)
{
    char *found;

    open_group(path);
    ck_nv_ok(nv_cgroup_find(&tree, &group, TID, &found, &error));
    ck_assert_str_eq(found, folder);
    ck_assert_int_eq(nv_cgroup_move_back(&tree, &group, found, TID), 0);
    free(found);
    ck_nv_ok(nv_cgroup_move(&group, TID, "thread", &error));
    ck_nv_ok(nv_cgroup_move(&group, TID + 1, "thread", &error));
}

START_TEST(test_move)
{
    expect_folder(ROOT "/cpu/vm1", ROOT "/cpu/old");
    ck_assert_str_eq(cgroup_tree_get(ROOT "/cpu/vm1/tasks"), "4711\n4712\n");
    ck_assert_str_eq(cgroup_tree_get(ROOT "/cpu/old/tasks"), "4711\n");
    expect_folder(ROOT "/both/vm1", ROOT "/both/old");
    expect_folder(ROOT "/a space/vm1", ROOT "/a space/old");
    expect_folder(ROOT "/inner/vm1", ROOT "/inner/old"); /* in a container */
    expect_folder(ROOT "/two/vm1", ROOT "/two/old");
    ck_assert_str_eq(cgroup_tree_get(ROOT "/two/vm1/cgroup.threads"), "4711\n4712\n");
    ck_assert_str_eq(cgroup_tree_get(ROOT "/two/old/cgroup.threads"), "4711\n");
}
END_TEST

START_TEST(test_present_group_not_to_be_found)
{
    const struct nv_text file = nv_text("/proc/self/task/%d/cgroup", TID);
    static const char *const texts[] = { "",           "\n",     "8:pids:/docker/77/old\n",
                                         "8:pids:/\n", "8:pids", "pids:/docker/7/old",
                                         "8::/x\n" };
    char *folder;

    open_group(ROOT "/inner/vm1");
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        cgroup_tree_put(file.s, texts[i]);
        ck_nv_fails_with(nv_cgroup_find(&tree, &group, TID, &folder, &error), -ENOTSUP, "outside");
    }
    open_group(ROOT "/two/vm1");
    cgroup_tree_put(file.s, "1:cpu:/old\n0::/../outside\n");
    ck_nv_fails(nv_cgroup_find(&tree, &group, TID, &folder, &error), -ENOTSUP);
    ck_nv_fails(nv_cgroup_find(&tree, &group, TID + 1, &folder, &error), -ENOENT);
    ck_assert_int_eq(nv_cgroup_move_back(&tree, &group, ROOT "/two/absent", TID), -ENOENT);
}
END_TEST

START_TEST(test_usage_1)
{
    struct nestvirt_cgroup_usage usage = { 0 };

    open_group(ROOT "/cpu/vm1");
    ck_assert_int_eq(nv_cgroup_add_usage(&tree, &group, &usage), 0);
    ck_assert_uint_eq(usage.flags, NESTVIRT_CGROUP_HAS_THROTTLING | NESTVIRT_CGROUP_HAS_LIMIT);
    ck_assert_uint_eq(usage.periods, 50);
    ck_assert_uint_eq(usage.throttled_periods, 40);
    ck_assert_uint_eq(usage.throttled_ns, 7000000);
    ck_assert_uint_eq(usage.quota_us, 20000);
    ck_assert_uint_eq(usage.period_us, 100000);
    open_group(ROOT "/cpuacct/vm1");
    ck_assert_int_eq(nv_cgroup_add_usage(&tree, &group, &usage), 0);
    ck_assert_uint_eq(usage.flags, 0xf);
    ck_assert_uint_eq(usage.cpu_time_ns, 123456789);
    ck_assert_uint_eq(usage.user_time_ns, 120000000);
    ck_assert_uint_eq(usage.system_time_ns, 3456789);
    ck_assert_uint_eq(usage.quota_us, 20000);
}
END_TEST

START_TEST(test_usage_2)
{
    struct nestvirt_cgroup_usage usage = { 0 };

    open_group(ROOT "/two/vm2");
    ck_assert_int_eq(nv_cgroup_add_usage(&tree, &group, &usage), 0);
    ck_assert_uint_eq(usage.flags, NESTVIRT_CGROUP_HAS_TIME | NESTVIRT_CGROUP_HAS_SPLIT);
    open_group(ROOT "/two/vm1");
    ck_assert_int_eq(nv_cgroup_add_usage(&tree, &group, &usage), 0);
    ck_assert_uint_eq(usage.flags, 0xf);
    ck_assert_uint_eq(usage.cpu_time_ns, 5001000);
    ck_assert_uint_eq(usage.user_time_ns, 4001000);
    ck_assert_uint_eq(usage.system_time_ns, 1000000);
    ck_assert_uint_eq(usage.periods, 9);
    ck_assert_uint_eq(usage.throttled_periods, 3);
    ck_assert_uint_eq(usage.throttled_ns, 70000);
    ck_assert_uint_eq(usage.quota_us, 30000);
    cgroup_tree_put(ROOT "/two/vm1/cpu.max", "10000 50000\n"); /* a smaller part of a CPU */
    ck_assert_int_eq(nv_cgroup_add_usage(&tree, &group, &usage), 0);
    ck_assert_uint_eq(usage.period_us, 50000);
    cgroup_tree_put(ROOT "/two/vm1/cpu.max", "max 100000\n");
    ck_assert_int_eq(nv_cgroup_add_usage(&tree, &group, &usage), 0);
    ck_assert_uint_eq(usage.quota_us, 10000);
}
END_TEST

START_TEST(test_no_limit)
{
    struct nestvirt_cgroup_usage usage = { 0 };

    cgroup_tree_put(ROOT "/two/vm1/cpu.max", "max 100000\n");
    open_group(ROOT "/two/vm1");
    ck_assert_int_eq(nv_cgroup_add_usage(&tree, &group, &usage), 0);
    ck_assert(usage.flags & NESTVIRT_CGROUP_HAS_LIMIT);
    ck_assert_uint_eq(usage.quota_us, 0);
    usage.flags = 0;
    cgroup_tree_put(ROOT "/cpu/vm1/cpu.cfs_quota_us", "-1\n");
    open_group(ROOT "/cpu/vm1");
    ck_assert_int_eq(nv_cgroup_add_usage(&tree, &group, &usage), 0);
    ck_assert(usage.flags & NESTVIRT_CGROUP_HAS_LIMIT);
    ck_assert_uint_eq(usage.quota_us, 0);
    ck_assert_uint_eq(usage.period_us, 100000);
}
END_TEST

/* What is not a figure is not known; never a wrong one. */
START_TEST(test_strange_figures)
{
    static const char *const texts[] = { "",
                                         "\n",
                                         "usage_usec",
                                         "xusage_usec 1",
                                         "usage_usec x",
                                         "0 0",
                                         "max 0",
                                         "20000",
                                         "nr_periods 1\nnr_throttled" };
    static const char *const files[] = { "two/vm1/cpu.stat", "two/vm1/cpu.max", "cpu/vm1/cpu.stat",
                                         "cpu/vm1/cpu.cfs_period_us", "cpuacct/vm1/cpuacct.usage" };

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct nestvirt_cgroup_usage usage = { 0 };

        for (size_t j = 0; j < sizeof(files) / sizeof(files[0]); j++)
            if (j != 3 || strcmp(texts[i], "20000") != 0)
                cgroup_tree_put(nv_text(ROOT "/%s", files[j]).s, texts[i]);
            else
                cgroup_tree_put(nv_text(ROOT "/%s", files[j]).s, "0\n");
        open_group(ROOT "/two/vm1");
        ck_assert_int_eq(nv_cgroup_add_usage(&tree, &group, &usage), 0);
        open_group(ROOT "/cpu/vm1");
        ck_assert_int_eq(nv_cgroup_add_usage(&tree, &group, &usage), 0);
        ck_assert_uint_eq(usage.flags, 0);
        ck_assert_uint_eq(usage.cpu_time_ns + usage.quota_us + usage.periods, 0);
    }
    ck_assert_int_eq(system(nv_text("rm -rf %s" ROOT "/cpu/vm1", cgroup_tree_root).s), 0);
    ck_assert_int_eq(nv_cgroup_add_usage(&tree, &group, &(struct nestvirt_cgroup_usage){ 0 }),
                     -ENOENT);
}
END_TEST

START_TEST(test_beside)
{
    struct nv_cgroup other = { .tasks_fd = -1 };

    open_group(ROOT "/two/vm1");
    ck_nv_ok(nv_cgroup_open(&tree, ROOT "/two/vm2", &other, &error));
    ck_assert(nv_cgroup_is_beside(&group, &other));
    nv_cgroup_close(&other);
    nv_cgroup_close(&other);
    ck_nv_ok(nv_cgroup_open(&tree, ROOT "/cpu/vm1", &other, &error));
    ck_assert(!nv_cgroup_is_beside(&group, &other));
    open_group(ROOT "/cpuacct/vm1");
    ck_assert(!nv_cgroup_is_beside(&group, &other));
    nv_cgroup_close(&other);
}
END_TEST

Suite *nv_test_suite(void)
{
    Suite *suite = suite_create("host_cgroup");
    TCase *tcase = support_case(suite, "cgroup", 60);

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, test_open);
    tcase_add_test(tcase, test_refused);
    tcase_add_test(tcase, test_mounts_over_mounts);
    tcase_add_test(tcase, test_needs);
    tcase_add_test(tcase, test_move);
    tcase_add_test(tcase, test_present_group_not_to_be_found);
    tcase_add_test(tcase, test_usage_1);
    tcase_add_test(tcase, test_usage_2);
    tcase_add_test(tcase, test_no_limit);
    tcase_add_test(tcase, test_strange_figures);
    tcase_add_test(tcase, test_beside);
    return suite;
}
