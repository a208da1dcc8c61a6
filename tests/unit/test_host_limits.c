/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the tests of naming the limit behind a failure, and of looking at memory beforehand. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "host/limits.h"
#include "report_trees.h"
#include "support.h"

#define LIMITS(data)                                                                  \
    "Limit                     Soft Limit           Hard Limit           Units\n"     \
    "Max processes             100                  200                  processes\n" \
    "Max address space         unlimited            unlimited            bytes\n"     \
    "Max data size             " data "            unlimited            bytes\n"

enum { KIB = 1024 };

static struct nv_tree tree;

static void set_up(void)
{
    ck_nv_ok(nv_tree_open(tree_make(TREE_EMPTY), &tree, &error));
    tree_put("proc/self/cgroup", "0::/own\n");
    tree_put("proc/self/status", "Uid:\t1000\t1000\nCapEff:\t0000000000000000\n"
                                 "VmSize:\t  1000 kB\nVmData:\t  500 kB\n");
    tree_put("proc/self/limits", LIMITS("unlimited"));
    tree_put("proc/self/maps", "1\n2\n3\n");
    tree_put("proc/loadavg", "0.00 0.00 0.00 1/900 4711\n");
    tree_put("proc/meminfo",
             "MemAvailable:  100000 kB\nCommitLimit: 1000 kB\nCommitted_AS: 900 kB\n");
    tree_put("proc/sys/kernel/threads-max", "30000\n");
    tree_put("proc/sys/kernel/pid_max", "32768\n");
    tree_put("proc/sys/vm/max_map_count", "65530\n");
    tree_put("proc/sys/vm/overcommit_memory", "0\n");
}

static void tear_down(void)
{
    nv_tree_close(&tree);
    tree_remove();
}

static void expect(int sys_errno, uint64_t wanted, const char *text)
{
    const struct nv_text found = nv_limit_find(&tree, sys_errno, wanted, "else");

    ck_assert_msg(strstr(found.s, text), "no \"%s\" in \"%s\"", text, found.s);
}

START_TEST(test_threads)
{
    expect(EAGAIN, 0, "threads of this user: the limit of 100 is reached; raise it (ulimit -u");
    tree_put("proc/self/status", "Uid:\t1000\nCapEff:\t0000000001000000\n");
    expect(EAGAIN, 0, "else");
    tree_put("proc/self/status", "Uid:\t0\nCapEff:\t0000000000000000\n");
    expect(EAGAIN, 0, "else");
    tree_put("proc/loadavg", "0.00 0.00 0.00 1/32500 4711\n");
    tree_put("proc/sys/kernel/threads-max", "60000\n");
    expect(EAGAIN, 0,
           "process ids of the host: the limit of 32768 is reached; raise kernel.pid_max");
    tree_put("proc/sys/kernel/threads-max", "32501\n");
    expect(EAGAIN, 0, "kernel.threads-max");
    tree_put("sys/fs/cgroup/own/pids.max", "50\n");
    tree_put("sys/fs/cgroup/own/pids.current", "49\n");
    expect(EAGAIN, 0, "threads of this cgroup: the limit of 50 is reached; raise pids.max");
}
END_TEST

START_TEST(test_memory)
{
    expect(ENOMEM, 0, "else");
    tree_put("proc/self/limits", LIMITS("614400   "));
    expect(ENOMEM, 100 * KIB, "else");
    expect(ENOMEM, 100 * KIB + 1,
           "private memory: the limit of 614400 is reached; raise it (ulimit -d");
    tree_put("proc/self/limits", LIMITS("unlimited"));
    tree_put("proc/sys/vm/overcommit_memory", "2\n");
    expect(ENOMEM, 100 * KIB, "else");
    expect(ENOMEM, 101 * KIB, "vm.overcommit_memory=0");
    tree_put("sys/fs/cgroup/own/memory.max", "9000000\n");
    tree_put("sys/fs/cgroup/own/memory.current", "8900000\n");
    expect(ENOMEM, 1, "memory of this cgroup: the limit of 9000000 is reached");
    tree_put("proc/sys/vm/max_map_count", "4\n");
    expect(ENOMEM, 1,
           "mappings of this process: the limit of 4 is reached; raise vm.max_map_count");
}
END_TEST

START_TEST(test_others)
{
    expect(EIO, 0, "else");
    ck_assert_ptr_nonnull(strstr(nv_limit_hint(EMFILE, 0, "else").s, "ulimit -n"));
    ck_assert_ptr_nonnull(strstr(nv_limit_hint(ENFILE, 0, "else").s, "fs.file-max"));
    ck_assert_str_eq(nv_limit_hint(EIO, 0, "else").s, "else");
}
END_TEST

/* Files that are missing, or that say something else, end no program and name nothing. */
START_TEST(test_nothing_to_read)
{
    tear_down();
    ck_nv_ok(nv_tree_open(tree_make(TREE_EMPTY), &tree, &error));
    expect(EAGAIN, 0, "else");
    expect(ENOMEM, 0, "else");
    ck_assert_uint_eq(nv_headroom_read(&tree).bytes, UINT64_MAX);
    tree_put("proc/meminfo", "MemAvailable: none\n");
    tree_put("proc/self/cgroup", "nonsense\n");
    tree_put("proc/sys/vm/max_map_count", "many\n");
    expect(ENOMEM, 0, "else");
    ck_assert_uint_eq(nv_headroom_read(&tree).bytes, UINT64_MAX);
}
END_TEST

START_TEST(test_headroom)
{
    ck_assert_uint_eq(nv_headroom_read(&tree).bytes, 100000 * KIB);
    ck_assert_ptr_nonnull(strstr(nv_headroom_read(&tree).what, "host"));
    tree_put("sys/fs/cgroup/own/memory.max", "9000000\n");
    tree_put("sys/fs/cgroup/own/memory.current", "8900000\n");
    ck_assert_uint_eq(nv_headroom_read(&tree).bytes, 100000);
    ck_assert_ptr_nonnull(strstr(nv_headroom_read(&tree).what, "cgroup"));
    tree_put("sys/fs/cgroup/own/memory.current", "9900000\n");
    ck_assert_uint_eq(nv_headroom_read(&tree).bytes, 0);
}
END_TEST

/* What the kernel takes back counts as left, but not what it would have to write first. */
START_TEST(test_cache_is_left)
{
    tree_put("sys/fs/cgroup/own/memory.max", "9000000\n");
    tree_put("sys/fs/cgroup/own/memory.current", "8900000\n");
    tree_put("sys/fs/cgroup/own/memory.stat",
             "anon 400000\nactive_file 6000000\ninactive_file 2000000\nfile_dirty 300000\n"
             "file_writeback 100000\nslab_reclaimable 400000\nworkingset_active_file 7\n");
    ck_assert_uint_eq(nv_headroom_read(&tree).bytes, 100000 + 7600000 + 200000);
    tree_put("sys/fs/cgroup/own/memory.stat", "active_file 100\nfile_dirty 300000\n");
    ck_assert_uint_eq(nv_headroom_read(&tree).bytes, 100000);
    tree_put("sys/fs/cgroup/own/memory.stat", "active_file 99000000\n"); /* torn reads */
    ck_assert_uint_eq(nv_headroom_read(&tree).bytes, 9000000);
    tree_put("sys/fs/cgroup/own/memory.stat",
             "active_file 18446744073709551615\ninactive_file 18446744073709551616\n"
             "slab_reclaimable -5\n");
    ck_assert_uint_eq(nv_headroom_read(&tree).bytes, 100000);
}
END_TEST

START_TEST(test_cache_is_left_version_1)
{
    tree_put("proc/self/cgroup", "3:memory:/one\n0::/own\n");
    tree_put("sys/fs/cgroup/memory/one/memory.limit_in_bytes", "9000000\n");
    tree_put("sys/fs/cgroup/memory/one/memory.usage_in_bytes", "8900000\n");
    tree_put("sys/fs/cgroup/memory/one/memory.stat",
             "active_file 5\ninactive_file 5\ndirty 5\ntotal_active_file 6000000\n"
             "total_inactive_file 2000000\ntotal_dirty 300000\ntotal_writeback 100000\n");
    ck_assert_uint_eq(nv_headroom_read(&tree).bytes, 100000 + 7600000);
}
END_TEST

/* On this machine: little fits, and what no machine has does not. */
START_TEST(test_take)
{
    struct nv_headroom headroom;

    nv_headroom_init(&headroom);
    for (int i = 0; i < 1000; i++)
        ck_nv_ok(nv_headroom_take(&headroom, 1 << 16, "vm x", &error));
    ck_nv_fails_with(nv_headroom_take(&headroom, 1ull << 50, "vm x", &error), -ENOMEM,
                     "vm x: needs");
    ck_nv_ok(nv_headroom_take(&headroom, 1 << 16, "vm x", &error));
    nv_headroom_destroy(&headroom);
}
END_TEST

Suite *nv_test_suite(void)
{
    Suite *suite = suite_create("host_limits");
    TCase *tcase = support_case(suite, "limits", 20);

    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, test_threads);
    tcase_add_test(tcase, test_memory);
    tcase_add_test(tcase, test_others);
    tcase_add_test(tcase, test_nothing_to_read);
    tcase_add_test(tcase, test_headroom);
    tcase_add_test(tcase, test_cache_is_left);
    tcase_add_test(tcase, test_cache_is_left_version_1);
    tcase_add_test(tcase, test_take);
    return suite;
}
