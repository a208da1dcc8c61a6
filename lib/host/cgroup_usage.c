/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the reading of a control group's CPU figures, of both versions. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/cleanup.h"
#include "host/cgroup.h"

/* Reads a file of the group; false if it has none of this name. */
static bool read_file(const struct nv_tree *tree, const struct nv_cgroup *group, const char *file,
                      char *text, size_t size)
{
    NV_AUTO_FREE char *path = NULL;

    return asprintf(&path, "%s/%s", group->path, file) >= 0 &&
           nv_tree_read(tree, path, text, size) >= 0;
}

/* A number that has a file to itself. -1 ("no limit") is none. */
static bool read_number(const struct nv_tree *tree, const struct nv_cgroup *group, const char *file,
                        uint64_t *ret_value)
{
    NV_AUTO_FREE char *path = NULL;

    return asprintf(&path, "%s/%s", group->path, file) >= 0 &&
           nv_tree_read_u64(tree, path, ret_value) == 0;
}

/* The number in the line that begins with a key. */
static bool find_number(const char *text, const char *key, uint64_t *ret_value)
{
    size_t length = strlen(key);

    for (const char *line = text; line; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, key, length) == 0 && line[length] == ' ')
            return sscanf(line + length, "%" SCNu64, ret_value) == 1;
    }
    return false;
}

/* The smallest limit counts: quotas are compared by the part of a CPU that they give. */
static void add_limit(struct nestvirt_cgroup_usage *usage, uint64_t quota, uint64_t period)
{
    bool is_first = !(usage->flags & NESTVIRT_CGROUP_HAS_LIMIT);

    usage->flags |= NESTVIRT_CGROUP_HAS_LIMIT;
    if (is_first || usage->quota_us == 0 ||
        (quota > 0 &&
         (double)quota / (double)period < (double)usage->quota_us / (double)usage->period_us)) {
        usage->quota_us = quota;
        usage->period_us = period;
    }
}

static void add_throttling(struct nestvirt_cgroup_usage *usage, const char *stat,
                           const char *time_key, uint64_t time_unit)
{
    uint64_t periods;
    uint64_t throttled;
    uint64_t time;

    if (!find_number(stat, "nr_periods", &periods) ||
        !find_number(stat, "nr_throttled", &throttled) || !find_number(stat, time_key, &time))
        return;
    usage->flags |= NESTVIRT_CGROUP_HAS_THROTTLING;
    usage->periods += periods;
    usage->throttled_periods += throttled;
    usage->throttled_ns += time * time_unit;
}

static void add_times(struct nestvirt_cgroup_usage *usage, bool has_split, const uint64_t ns[3])
{
    usage->flags |= NESTVIRT_CGROUP_HAS_TIME;
    usage->cpu_time_ns += ns[0];
    if (!has_split)
        return;
    usage->flags |= NESTVIRT_CGROUP_HAS_SPLIT;
    usage->user_time_ns += ns[1];
    usage->system_time_ns += ns[2];
}

static void add_version_1(const struct nv_tree *tree, const struct nv_cgroup *group,
                          struct nestvirt_cgroup_usage *usage)
{
    char stat[1024];
    uint64_t quota = 0;
    uint64_t period;
    uint64_t ns[3];

    if (read_number(tree, group, "cpuacct.usage", &ns[0]))
        add_times(usage,
                  read_number(tree, group, "cpuacct.usage_user", &ns[1]) &&
                      read_number(tree, group, "cpuacct.usage_sys", &ns[2]),
                  ns);
    if (read_file(tree, group, "cpu.stat", stat, sizeof(stat)))
        add_throttling(usage, stat, "throttled_time", 1);
    if (!read_number(tree, group, "cpu.cfs_period_us", &period) || period == 0)
        return;
    read_number(tree, group, "cpu.cfs_quota_us", &quota);
    add_limit(usage, quota, period);
}

static void add_version_2(const struct nv_tree *tree, const struct nv_cgroup *group,
                          struct nestvirt_cgroup_usage *usage)
{
    enum { US = 1000 };
    char text[1024];
    uint64_t quota = 0;
    uint64_t period;
    uint64_t us[3];
    bool has_split;

    if (read_file(tree, group, "cpu.stat", text, sizeof(text))) {
        has_split =
            find_number(text, "user_usec", &us[1]) && find_number(text, "system_usec", &us[2]);
        if (find_number(text, "usage_usec", &us[0]))
            add_times(usage, has_split, (const uint64_t[]){ us[0] * US, us[1] * US, us[2] * US });
        add_throttling(usage, text, "throttled_usec", US);
    }
    if (!read_file(tree, group, "cpu.max", text, sizeof(text)))
        return;
    if (sscanf(text, "max %" SCNu64, &period) != 1 &&
        sscanf(text, "%" SCNu64 " %" SCNu64, &quota, &period) != 2)
        return;
    if (period > 0)
        add_limit(usage, quota, period);
}

int nv_cgroup_add_usage(const struct nv_tree *tree, const struct nv_cgroup *group,
                        struct nestvirt_cgroup_usage *usage)
{
    NV_AUTO_FD fd = nv_tree_open_at(tree, group->path, O_RDONLY | O_DIRECTORY);

    if (fd < 0)
        return fd;
    if (group->version == 2)
        add_version_2(tree, group, usage);
    else
        add_version_1(tree, group, usage);
    return 0;
}
