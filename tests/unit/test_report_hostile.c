/* SPDX-License-Identifier: Apache-2.0 */
/* Proves that a recorded machine may hold anything: the report is made, at once, from within. */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "core/log.h"
#include "core/util.h"
#include "report_trees.h"
#include "support.h"

enum { SECONDS_MAX = 20, GIANT = 1048576 };

/* Every file that the report reads. */
static const char *const files[] = {
    "proc/cpuinfo",
    "proc/meminfo",
    "proc/loadavg",
    "proc/misc",
    "proc/self/limits",
    "proc/self/status",
    "proc/self/maps",
    "proc/self/cgroup",
    "proc/sys/kernel/threads-max",
    "proc/sys/kernel/pid_max",
    "proc/sys/kernel/osrelease",
    "proc/sys/fs/file-nr",
    "proc/sys/vm/max_map_count",
    "proc/sys/vm/overcommit_memory",
    "proc/sys/vm/overcommit_ratio",
    "proc/xen/capabilities",
    "sys/hypervisor/type",
    "sys/class/dmi/id/sys_vendor",
    "sys/class/dmi/id/product_name",
    "sys/kernel/mm/ksm/run",
    "sys/kernel/mm/ksm/pages_sharing",
    "sys/kernel/mm/transparent_hugepage/enabled",
    "sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages",
    "sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages",
    "sys/devices/system/node/online",
    "sys/fs/cgroup/user.slice/pids.max",
    "sys/fs/cgroup/user.slice/pids.current",
    "sys/fs/cgroup/user.slice/memory.max",
    "sys/fs/cgroup/user.slice/memory.stat",
    "sys/module/kvm_intel/parameters/ept",
    "sys/module/kvm_intel/parameters/nested",
    "lib/modules/6.1.0-18-amd64/modules.dep",
    "lib/modules/6.1.0-18-amd64/modules.builtin",
    "cpuid",
    "msr",
    "kvm",
    "dev/kvm",
    "dev/net/tun",
};

static void setup(void)
{
    tree_make(TREE_INTEL_FULL);
}

static void teardown(void)
{
    tree_remove();
}

static void remove_file(const char *path)
{
    tree_put(path, ""); /* and its folders */
    ck_assert_int_eq(unlink(tree_path(path)), 0);
}

/* The report, all of its items and a plan, in time; texts must be printable. */
static void read_all(void)
{
    const uint64_t start = nv_now_ns();
    struct nestvirt_report *report = tree_report();
    struct nestvirt_report_item item;
    struct nestvirt_plan_config config;
    struct nestvirt_plan plan;

    nestvirt_report_item_init(&item, sizeof(item));
    for (uint32_t i = 0; nestvirt_report_get_item(report, i, &item, NULL) == 0; i++) {
        const char *texts[] = { item.name, item.title, item.value, item.reason, item.remedy };

        ck_assert_uint_le(item.answer, NESTVIRT_ANSWER_YES);
        for (size_t j = 0; j < NV_ARRAY_SIZE(texts); j++)
            for (const char *at = texts[j]; *at; at++)
                ck_assert_msg(*at >= 0x20 && *at <= 0x7e, "%s has byte 0x%02x", item.name, *at);
    }
    nestvirt_plan_config_init(&config, sizeof(config));
    nestvirt_plan_init(&plan, sizeof(plan));
    config.vms = 10;
    config.memory_size = NV_MIB(128);
    ck_nv_ok(nestvirt_report_get_plan(report, &config, &plan, &error));
    ck_assert_int_eq(nestvirt_report_free(report), 0);
    ck_assert_uint_lt(nv_now_ns() - start, SECONDS_MAX * 1000000000ull);
}

/* Valgrind is slow: one file in eight will do there; sanitizers see them all. */
static bool is_left_out(int number)
{
    return support_is_valgrind() && number % 8 != 0;
}

/* Each file cut after some bytes of what it should have. */
START_TEST(test_truncated)
{
    static const int lengths[] = { 0, 1, 7, 20, 60 };
    char text[4096];

    if (is_left_out(_i))
        return;
    for (size_t i = 0; i < NV_ARRAY_SIZE(lengths); i++) {
        int fd = open(tree_path(files[_i]), O_RDONLY | O_CLOEXEC);
        ssize_t length = fd < 0 ? 0 : read(fd, text, sizeof(text));

        if (fd >= 0)
            close(fd);
        tree_put_bytes(files[_i], text, (size_t)NV_MIN(length, (ssize_t)lengths[i]));
        read_all();
        tree_remove();
        tree_make(TREE_INTEL_FULL);
    }
}
END_TEST

START_TEST(test_garbage)
{
    uint8_t bytes[8192];

    if (is_left_out(_i))
        return;
    for (uint32_t seed = 1; seed < 4; seed++) {
        uint32_t state = seed * 2654435761u + (uint32_t)_i;

        for (size_t i = 0; i < sizeof(bytes); i++) {
            state = state * 1664525u + 1013904223u;
            bytes[i] = (uint8_t)(state >> 24);
        }
        tree_put_bytes(files[_i], bytes, sizeof(bytes));
        read_all();
    }
}
END_TEST

/* One endless line; many short ones; digits without end. */
START_TEST(test_giant)
{
    static const char *const patterns[] = {
        "x", "flags : vmx\n", "9", "8:pids:/a/", ",", "-", "/"
    };
    const size_t size = support_is_valgrind() ? GIANT / 16 : GIANT;
    char *text;

    if (is_left_out(_i))
        return;
    text = malloc(size);
    ck_assert_ptr_nonnull(text);
    for (size_t i = 0; i < 2; i++) {
        const char *pattern = patterns[((size_t)_i + 3 * i) % NV_ARRAY_SIZE(patterns)];
        size_t length = strlen(pattern);

        for (size_t j = 0; j < size; j++)
            text[j] = pattern[j % length];
        tree_put_bytes(files[_i], text, size);
        read_all();
    }
    free(text);
}
END_TEST

START_TEST(test_numbers_out_of_range)
{
    static const char *const texts[] = {
        "18446744073709551615\n",      "18446744073709551616\n", "-1\n", "0x10\n", "1e9\n",
        "99999999999999999999999999\n"
    };

    if (is_left_out(_i))
        return;
    for (size_t i = 0; i < NV_ARRAY_SIZE(texts); i++) {
        tree_put(files[_i], texts[i]);
        read_all();
    }
    tree_put("proc/meminfo", "MemTotal: 18446744073709551615 kB\nMemAvailable: -3 kB\n"
                             "CommitLimit: 18446744073709551615 kB\nCommitted_AS: 7 kB\n");
    tree_put("proc/sys/vm/overcommit_memory", "2\n");
    read_all();
}
END_TEST

START_TEST(test_folder_instead)
{
    remove_file(files[_i]);
    ck_assert_int_eq(mkdir(tree_path(files[_i]), 0755), 0);
    read_all();
}
END_TEST

/* It must not wait for somebody to write. */
START_TEST(test_pipe_instead)
{
    remove_file(files[_i]);
    ck_assert_int_eq(mkfifo(tree_path(files[_i]), 0644), 0);
    read_all();
}
END_TEST

START_TEST(test_links)
{
    remove_file(files[_i]);
    ck_assert_int_eq(symlink("/loop", tree_path(files[_i])), 0);
    unlink(tree_path("loop"));
    ck_assert_int_eq(symlink("/loop", tree_path("loop")), 0);
    read_all();
    ck_assert_int_eq(unlink(tree_path(files[_i])), 0);
    ck_assert_int_eq(symlink("../../../../../../../../../etc/passwd", tree_path(files[_i])), 0);
    read_all();
}
END_TEST

START_TEST(test_file_instead_of_folders)
{
    static const char *const folders[] = { "sys/kernel/mm/hugepages/hugepages-2048kB",
                                           "sys/module/kvm_intel/parameters", "proc/self/fd" };

    for (size_t i = 0; i < NV_ARRAY_SIZE(folders); i++) {
        char from[256];

        snprintf(from, sizeof(from), "%s", tree_path(folders[i]));
        ck_assert_int_eq(rename(from, tree_path("away")), 0);
        tree_put(folders[i], "no folder\n");
        read_all();
        ck_assert_int_eq(unlink(from), 0);
        ck_assert_int_eq(rename(tree_path("away"), from), 0);
    }
}
END_TEST

/* A link that leads out is followed within: what is outside is not read. */
START_TEST(test_nothing_outside_is_read)
{
    char outside[] = "/tmp/nestvirt-outside-XXXXXX";
    int fd = mkostemp(outside, O_CLOEXEC);
    struct nestvirt_report *report;

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, "77\n", 3), 3);
    close(fd);
    remove_file("proc/sys/vm/max_map_count");
    ck_assert_int_eq(symlink(outside, tree_path("proc/sys/vm/max_map_count")), 0);
    report = tree_report();
    ck_assert_uint_eq(tree_item(report, "limit.mappings").answer, NESTVIRT_ANSWER_UNKNOWN);
    ck_assert_int_eq(nestvirt_report_free(report), 0);
    unlink(outside);
}
END_TEST

/* A release that climbs, many sizes of huge pages, deep and long cgroups. */
START_TEST(test_odd_names)
{
    char path[600];
    char name[64];

    tree_put("proc/sys/kernel/osrelease", "../../etc\n");
    for (int i = 0; i < 200; i++) {
        snprintf(name, sizeof(name), "sys/kernel/mm/hugepages/hugepages-%dkB/nr_hugepages", i);
        tree_put(name, "1\n");
    }
    tree_put("sys/kernel/mm/hugepages/hugepages-99999999999999999999kB/nr_hugepages", "1\n");
    tree_put("sys/kernel/mm/hugepages/hugepages-kB/nr_hugepages", "1\n");
    read_all();
    memset(path, '/', sizeof(path) - 1);
    path[sizeof(path) - 1] = '\0';
    memcpy(path, "0::/a", 5);
    tree_put("proc/self/cgroup", path);
    read_all();
    for (size_t i = 0; i + 2 < sizeof(path) - 5; i += 3)
        memcpy(path + 4 + i, "/..", 3);
    tree_put("proc/self/cgroup", path);
    read_all();
    tree_put("kvm", "open 99999999999\nopen x\nKVM_CAP_NESTED_STATE -1\n");
    read_all();
    tree_put("cpuid", "   0x00000001 0xffffffffffffffff: eax=z\n\n0x1 0x0: eax=1 ebx=2\n");
    read_all();
}
END_TEST

Suite *nv_test_suite(void)
{
    Suite *suite = suite_create("report_hostile");
    TCase *tcase = support_case(suite, "hostile", 60);

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_loop_test(tcase, test_truncated, 0, NV_ARRAY_SIZE(files));
    tcase_add_loop_test(tcase, test_garbage, 0, NV_ARRAY_SIZE(files));
    tcase_add_loop_test(tcase, test_giant, 0, NV_ARRAY_SIZE(files));
    tcase_add_loop_test(tcase, test_numbers_out_of_range, 0, NV_ARRAY_SIZE(files));
    tcase_add_loop_test(tcase, test_folder_instead, 0, NV_ARRAY_SIZE(files));
    tcase_add_loop_test(tcase, test_pipe_instead, 0, NV_ARRAY_SIZE(files));
    tcase_add_loop_test(tcase, test_links, 0, NV_ARRAY_SIZE(files));
    tcase_add_test(tcase, test_file_instead_of_folders);
    tcase_add_test(tcase, test_nothing_outside_is_read);
    tcase_add_test(tcase, test_odd_names);
    return suite;
}
