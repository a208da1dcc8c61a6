/* SPDX-License-Identifier: Apache-2.0 */
/* Owns a folder that stands in for the kernel's files about control groups. */
#include "cgroup_tree.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "core/error.h"
#include "support.h"

char cgroup_tree_root[64];

static const char mounts[] =
    "23 1 0:5 / / rw - ext4 /dev/vda rw\n"
    "31 23 0:28 / /sys/fs/cgroup rw,relatime shared:1 - tmpfs tmpfs rw,mode=755\n"
    "32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime shared:2 master:1 - cgroup cgroup rw,cpu\n"
    "33 31 0:30 / /sys/fs/cgroup/cpuacct rw,relatime - cgroup cgroup rw,cpuacct\n"
    "34 31 0:31 / /sys/fs/cgroup/cpuset rw,relatime - cgroup cgroup rw,cpuset\n"
    "35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n"
    "36 31 0:33 / /sys/fs/cgroup/both rw,relatime - cgroup cgroup ro,cpu,memory\n"
    "37 31 0:34 / /sys/fs/cgroup/two rw,relatime - cgroup2 cgroup2 rw,nsdelegate\n"
    "38 31 0:35 / /sys/fs/cgroup/a\\040space rw,relatime - cgroup cgroup rw,name=mine\n"
    "39 31 0:36 /docker/7 /sys/fs/cgroup/inner rw,relatime - cgroup cgroup rw,pids\n"
    "a line of another kind\n"
    "40 31 0:37 / /half rw - \n";

static void add_groups(void)
{
    static const char *const files[][2] = {
        { "cpu/vm1/tasks", "" },
        { "cpu/old/tasks", "" },
        { "cpu/vm1/cpu.stat", "nr_periods 50\nnr_throttled 40\nthrottled_time 7000000\n" },
        { "cpu/vm1/cpu.cfs_quota_us", "20000\n" },
        { "cpu/vm1/cpu.cfs_period_us", "100000\n" },
        { "cpuacct/vm1/tasks", "" },
        { "cpuacct/vm1/cpuacct.usage", "123456789\n" },
        { "cpuacct/vm1/cpuacct.usage_user", "120000000\n" },
        { "cpuacct/vm1/cpuacct.usage_sys", "3456789\n" },
        { "cpuset/vm1/tasks", "" },
        { "memory/vm1/tasks", "" },
        { "both/vm1/tasks", "" },
        { "both/old/tasks", "" },
        { "a space/vm1/tasks", "" },
        { "a space/old/tasks", "" },
        { "inner/vm1/tasks", "" },
        { "inner/old/tasks", "" },
        { "two/cgroup.threads", "" },
        { "two/old/cgroup.threads", "" },
        { "two/vm1/cgroup.threads", "" },
        { "two/vm1/cgroup.type", "threaded\n" },
        { "two/vm1/cgroup.controllers", "cpuset cpu\n" },
        { "two/vm1/cpu.stat", "usage_usec 5000\nuser_usec 4000\nsystem_usec 1000\nnr_periods 9\n"
                              "nr_throttled 3\nthrottled_usec 70\n" },
        { "two/vm1/cpu.max", "30000 100000\n" },
        { "two/vm2/cgroup.threads", "" },
        { "two/vm2/cgroup.type", "threaded\n" },
        { "two/vm2/cgroup.controllers", "\n" },
        { "two/vm2/cpu.stat", "usage_usec 1\nuser_usec 1\nsystem_usec 0\n" },
        { "two/plain/cgroup.threads", "" },
        { "two/plain/cgroup.type", "domain\n" },
        { "two/invalid/cgroup.threads", "" },
        { "two/invalid/cgroup.type", "domain invalid\n" },
    };

    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
        cgroup_tree_put(nv_text("/sys/fs/cgroup/%s", files[i][0]).s, files[i][1]);
}

void cgroup_tree_make(void)
{
    strcpy(cgroup_tree_root, "/tmp/nestvirt-cgroup.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(cgroup_tree_root));
    cgroup_tree_put("/proc/self/mountinfo", mounts);
    add_groups();
}

void cgroup_tree_remove(void)
{
    ck_assert_int_eq(system(nv_text("rm -rf %s", cgroup_tree_root).s), 0);
}

void cgroup_tree_put(const char *path, const char *text)
{
    char full[512];
    FILE *file;

    snprintf(full, sizeof(full), "%s%s", cgroup_tree_root, path);
    for (char *at = full + strlen(cgroup_tree_root) + 1; (at = strchr(at, '/')); at++) {
        *at = '\0';
        ck_assert(mkdir(full, 0700) == 0 || errno == EEXIST);
        *at = '/';
    }
    file = fopen(full, "we");
    ck_assert_ptr_nonnull(file);
    fputs(text, file);
    fclose(file);
}

const char *cgroup_tree_get(const char *path)
{
    static char text[4096];
    FILE *file = fopen(nv_text("%s%s", cgroup_tree_root, path).s, "re");
    size_t length;

    ck_assert_msg(file != NULL, "no %s", path);
    length = fread(text, 1, sizeof(text) - 1, file);
    text[length] = '\0';
    fclose(file);
    return text;
}

void cgroup_tree_add_thread(int tid)
{
    cgroup_tree_put(nv_text("/proc/self/task/%d/cgroup", tid).s,
                    "9:name=mine:/old\n8:pids:/docker/7/old\n4:memory,cpu:/old\n3:cpuset:/old\n"
                    "2:cpuacct:/old\n1:cpu:/old\n0::/old\n");
}
