/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the tests of the limits of control groups that many VMs run into. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cgroup_dir.h"
#include "core/error.h"
#include "crowd.h"
#include "limit.h"
#include "support.h"

START_TEST(test_fault_13_threads_of_a_cgroup)
{
    struct limit limit = { .code = -EAGAIN, .text = "pids.max" };
    const char *mount = cgroup_dir_mount("pids");
    char tasks[256];

    limit.group = cgroup_dir_make(mount, "pids");
    cgroup_dir_put(limit.group, "pids.max", "40");
    snprintf(tasks, sizeof(tasks), "%s/cgroup.procs", limit.group);
    limit.group = tasks;
    limit_check(&limit);
    cgroup_dir_remove();
}
END_TEST

/* Past it the kernel would end the process. */
START_TEST(test_fault_13_memory_of_a_cgroup)
{
    struct limit limit = { .code = -ENOMEM, .text = "cgroup", .memory = 512 << 20 };
    const char *mount = cgroup_dir_mount("memory");
    char tasks[256];

    limit.group = cgroup_dir_make(mount, "memory");
    cgroup_dir_put(limit.group, "memory.limit_in_bytes", "134217728");
    snprintf(tasks, sizeof(tasks), "%s/cgroup.procs", limit.group);
    limit.group = tasks;
    limit_check(&limit);
    cgroup_dir_remove();
}
END_TEST

/* --- A cgroup whose memory is full of what has been read of a file --- */

enum { GROUP_MEMORY = 192 << 20, CACHE = 176 << 20, CACHE_VM = 16 << 20, ROUNDS = 4 };

struct full {
    char tasks[256];
    char usage[256];
    char stat[256];
    int file;
};

static uint64_t read_active(const char *path)
{
    FILE *file = fopen(path, "re");
    unsigned long long value = 0;
    char line[128];

    while (file && fgets(line, sizeof(line), file))
        if (sscanf(line, "total_active_file %llu", &value) == 1)
            break;
    if (file)
        fclose(file);
    return value;
}

static uint64_t read_usage(const char *path)
{
    FILE *file = fopen(path, "re");
    unsigned long long value = 0;

    if (file && fscanf(file, "%llu", &value) != 1)
        value = 0;
    if (file)
        fclose(file);
    return value;
}

/* Made outside of the group; whoever reads it first has its pages. */
static void read_often(int fd)
{
    static char buffer[1 << 20];

    for (int i = 0; i < ROUNDS; i++)
        for (off_t at = 0; pread(fd, buffer, sizeof(buffer), at) > 0; at += sizeof(buffer))
            ;
}

/* In the child. Read again and again, the pages are active. */
static int make_vm_amid_cache(void *user_data)
{
    const struct full *full = user_data;
    struct nestvirt_error *error = NULL;
    struct nestvirt_host *host;
    struct crowd *crowd;
    int r = 0;

    if (dprintf(open(full->tasks, O_WRONLY), "%d\n", getpid()) < 0)
        return limit_complain(full->tasks, strerror(errno));
    read_often(full->file);
    if (read_usage(full->usage) < CACHE)
        return limit_complain("the cache of this group does not fill", strerror(errno));
    if (read_active(full->stat) < CACHE / 2)
        return limit_complain("the cache of this group is not active", NULL);
    if (limit_open_host(&host) < 0)
        return 1;
    crowd = crowd_new(host, CACHE_VM, false);
    if (!crowd || crowd_add(crowd, &error) < 0)
        r = limit_complain("no VM beside a cache that can go", nestvirt_error_get_message(error));
    else if (crowd_find_bad(crowd) < crowd->count)
        r = limit_complain("the VM does not run", NULL);
    crowd_free(crowd);
    nestvirt_host_free(host);
    return r;
}

static int make_file(void)
{
    static const char zeroes[1 << 20];
    char path[] = "/var/tmp/nestvirt-cache-XXXXXX";
    int fd = mkostemp(path, O_CLOEXEC);

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(unlink(path), 0);
    for (size_t done = 0; done < CACHE; done += sizeof(zeroes))
        ck_assert_int_eq(write(fd, zeroes, sizeof(zeroes)), sizeof(zeroes));
    ck_assert_int_eq(fsync(fd), 0);
    ck_assert_int_eq(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED), 0);
    return fd;
}

START_TEST(test_cache_of_a_cgroup_is_no_hindrance)
{
    struct full full;
    const char *mount = cgroup_dir_mount("memory");
    const char *group;
    int status;

    group = cgroup_dir_make(mount, "cache");
    cgroup_dir_put(group, "memory.limit_in_bytes", nv_text("%d", GROUP_MEMORY).s);
    snprintf(full.tasks, sizeof(full.tasks), "%s/cgroup.procs", group);
    snprintf(full.usage, sizeof(full.usage), "%s/memory.usage_in_bytes", group);
    snprintf(full.stat, sizeof(full.stat), "%s/memory.stat", group);
    full.file = make_file();
    status = crowd_run_child(make_vm_amid_cache, &full);
    close(full.file);
    cgroup_dir_remove();
    ck_assert_int_eq(status, 0);
}
END_TEST

Suite *nv_test_suite(void)
{
    Suite *suite = suite_create("kvm_limits_cgroup");
    TCase *tcase = support_case(suite, "limits", 60);

    nestvirt_host_free(support_host());
    if (geteuid() != 0)
        support_skip("making control groups needs root: run it as root");
    if (!cgroup_dir_mount("pids") || !cgroup_dir_mount("memory"))
        support_skip_host("the controllers pids and memory are not mounted as version 1: boot "
                          "with systemd.unified_cgroup_hierarchy=0; unit tests have made-up files "
                          "of version 2");
    limit_begin();
    cgroup_dir_begin();
    tcase_add_test(tcase, test_fault_13_threads_of_a_cgroup);
    tcase_add_test(tcase, test_fault_13_memory_of_a_cgroup);
    tcase_add_test(tcase, test_cache_of_a_cgroup_is_no_hindrance);
    return suite;
}
