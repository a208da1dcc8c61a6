/* SPDX-License-Identifier: Apache-2.0 */
/* Proves plans: how many VMs fit into recorded machines, what stops them first, exact ends. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "core/util.h"
#include "report_trees.h"
#include "support.h"

static struct nestvirt_report *report;
static struct nestvirt_plan_config config;
static struct nestvirt_plan plan;

static void setup(void)
{
    tree_make(TREE_INTEL_FULL);
    nestvirt_plan_config_init(&config, sizeof(config));
    config.memory_size = NV_MIB(128);
    config.files = 0;
    report = NULL;
}

static void teardown(void)
{
    ck_assert_int_eq(nestvirt_report_free(report), 0);
    tree_remove();
}

/* A plan by the tree as it is now. */
static void make(uint32_t vms)
{
    ck_assert_int_eq(nestvirt_report_free(report), 0);
    report = tree_report();
    config.vms = vms;
    nestvirt_plan_init(&plan, sizeof(plan));
    ck_nv_ok(nestvirt_report_get_plan(report, &config, &plan, &error));
}

static void put_limits(const char *files, const char *addresses)
{
    char text[512];

    snprintf(text, sizeof(text),
             "Max data size             unlimited            unlimited            bytes     \n"
             "Max processes             unlimited            unlimited            processes \n"
             "Max open files            %-20s unlimited            files     \n"
             "Max locked memory         unlimited            unlimited            bytes     \n"
             "Max address space         %-20s unlimited            bytes     \n",
             files, addresses);
    tree_put("proc/self/limits", text);
}

/* Nothing is tight but what a test makes so. */
static void put_plenty(void)
{
    put_limits("unlimited", "unlimited");
    tree_put("proc/self/cgroup", "0::/\n");
    tree_put("proc/sys/vm/max_map_count", "2147483647\n");
    tree_put("proc/sys/kernel/pid_max", "1000000000\n");
    tree_put("proc/sys/kernel/threads-max", "1000000000\n");
    tree_put("proc/meminfo", "MemTotal: 1099511627776 kB\nMemAvailable: 1099511627776 kB\n"
                             "SwapFree: 0 kB\n");
}

/* A VM with one vCPU has two descriptors; 1024 less 3 in use leave room for 510. */
START_TEST(test_descriptors)
{
    make(510);
    ck_assert_uint_eq(plan.idle, NESTVIRT_ANSWER_YES);
    ck_assert_uint_eq(plan.idle_vms, 510);
    ck_assert_str_eq(plan.idle_limit, "limit.open_files");
    ck_assert_uint_eq(plan.descriptors, 1020);
    ck_assert_uint_eq(plan.needed, 1020);
    ck_assert_uint_eq(plan.available, 1021);
    make(511);
    ck_assert_uint_eq(plan.idle, NESTVIRT_ANSWER_NO);
    ck_assert_uint_eq(plan.needed, 1022);
    config.files = 1;
    make(340);
    ck_assert_uint_eq(plan.idle, NESTVIRT_ANSWER_YES);
    make(341);
    ck_assert_uint_eq(plan.idle, NESTVIRT_ANSWER_NO);
    config.files = 0;
    config.vcpus = 4;
    make(204);
    ck_assert_uint_eq(plan.idle, NESTVIRT_ANSWER_YES);
    make(205);
    ck_assert_uint_eq(plan.idle, NESTVIRT_ANSWER_NO);
}
END_TEST

/* 60 GiB hold many idle guests but fewer that use all of their memory; both are said. */
START_TEST(test_idle_and_touched)
{
    put_limits("unlimited", "unlimited");
    make(450);
    ck_assert_uint_eq(plan.idle, NESTVIRT_ANSWER_YES);
    ck_assert_uint_eq(plan.touched, NESTVIRT_ANSWER_YES);
    ck_assert_uint_ge(plan.touched_vms, 450);
    ck_assert_uint_lt(plan.touched_vms, 480); /* 60 GiB / 128 MiB, and what VMs cost */
    ck_assert_str_eq(plan.touched_limit, "memory.available");
    make(480);
    ck_assert_uint_eq(plan.idle, NESTVIRT_ANSWER_YES);
    ck_assert_uint_eq(plan.touched, NESTVIRT_ANSWER_NO);
    ck_assert_uint_gt(plan.touched_memory, NV_GIB(60));
    ck_assert_uint_lt(plan.idle_memory, NV_GIB(1));
}
END_TEST

/* One resource after the other is the tight one. */
START_TEST(test_what_stops_first)
{
    put_plenty();
    make(1);
    ck_assert_str_eq(plan.idle_limit, "limit.mappings");
    tree_put("proc/sys/kernel/pid_max", "1768\n");
    make(1);
    ck_assert_str_eq(plan.idle_limit, "limit.pids");
    ck_assert_uint_eq(plan.idle_vms, 500); /* two threads each, 768 in use */
    tree_put("proc/sys/kernel/threads-max", "1000\n");
    make(1);
    ck_assert_str_eq(plan.idle_limit, "limit.threads");
    ck_assert_uint_eq(plan.idle_vms, 116);
    tree_put("proc/self/cgroup", "0::/user.slice/app.service\n");
    tree_put("sys/fs/cgroup/user.slice/pids.max", "150\n");
    make(1);
    ck_assert_str_eq(plan.idle_limit, "limit.cgroup_pids");
    ck_assert_uint_eq(plan.idle_vms, 25);
    put_limits("unlimited", "2147483648");
    make(1);
    ck_assert_str_eq(plan.idle_limit, "limit.address_space");
    ck_assert_uint_eq(plan.idle_vms, 15); /* less than 2 GiB, in VMs of 130 MiB */
    tree_put("proc/sys/vm/max_map_count", "72\n");
    make(1);
    ck_assert_str_eq(plan.idle_limit, "limit.mappings");
    ck_assert_uint_eq(plan.idle_vms, 10);
    put_limits("4", "2147483648");
    make(1);
    ck_assert_uint_eq(plan.idle_vms, 0);
    ck_assert_uint_eq(plan.idle, NESTVIRT_ANSWER_NO);
    ck_assert_str_eq(plan.touched_limit, "limit.open_files");
}
END_TEST

START_TEST(test_memory_of_the_group)
{
    put_plenty();
    tree_put("proc/self/cgroup", "0::/user.slice/app.service\n");
    tree_put("sys/fs/cgroup/user.slice/pids.max", "max\n");
    tree_put("sys/fs/cgroup/user.slice/app.service/pids.max", "max\n");
    tree_put("sys/fs/cgroup/user.slice/memory.max", "1073741824\n");
    tree_put("sys/fs/cgroup/user.slice/memory.current", "0\n");
    make(7);
    ck_assert_uint_eq(plan.touched, NESTVIRT_ANSWER_YES);
    ck_assert_uint_eq(plan.touched_vms, 7);
    ck_assert_str_eq(plan.touched_limit, "limit.cgroup_memory");
    make(8);
    ck_assert_uint_eq(plan.touched, NESTVIRT_ANSWER_NO);
    ck_assert_uint_eq(plan.idle, NESTVIRT_ANSWER_YES);
}
END_TEST

/* Where nothing is overcommitted, idle guests need all their memory too. */
START_TEST(test_strict_overcommit)
{
    put_limits("unlimited", "unlimited");
    tree_put("proc/sys/vm/overcommit_memory", "2\n");
    make(1);
    ck_assert_str_eq(plan.idle_limit, "limit.overcommit");
    ck_assert_uint_eq(plan.idle_vms, 236); /* 30 GiB, in VMs of 130 MiB */
    ck_assert_uint_eq(plan.touched_vms, 236);
}
END_TEST

/* Shadow paging costs 2.5 MiB for each GiB, touched or not. */
START_TEST(test_shadow_paging)
{
    uint64_t paged;

    put_plenty();
    config.memory_size = NV_GIB(4);
    make(1);
    paged = plan.idle_memory;
    tree_put("sys/module/kvm_intel/parameters/ept", "N\n");
    make(1);
    ck_assert_uint_eq(plan.idle_memory - paged, NV_MIB(10));
}
END_TEST

START_TEST(test_devices)
{
    uint64_t descriptors;
    uint64_t threads;

    put_plenty();
    make(2);
    descriptors = plan.descriptors;
    threads = plan.threads;
    config.devices = 3;
    make(2);
    ck_assert_uint_ge(plan.descriptors, descriptors + 2 * 3 * 5);
    ck_assert_uint_ge(plan.threads, threads + 2);
    config.devices = UINT32_MAX; /* absurd, but counted right */
    config.vcpus = 254;
    make(UINT32_MAX);
    ck_assert_uint_eq(plan.idle, NESTVIRT_ANSWER_NO);
    ck_assert_uint_eq(plan.descriptors, UINT64_MAX); /* too many to tell */
    config.memory_size = NV_GIB(16) * 1024;
    make(UINT32_MAX);
    ck_assert_uint_eq(plan.touched_memory, UINT64_MAX);
}
END_TEST

START_TEST(test_obstacles)
{
    config.vcpus = 254;
    make(1);
    ck_assert_uint_eq(plan.idle, NESTVIRT_ANSWER_YES);
    config.vcpus = 255;
    make(1);
    ck_assert_uint_eq(plan.idle, NESTVIRT_ANSWER_NO);
    ck_assert_str_eq(plan.idle_limit, "kvm.max_vcpus");
    config.vcpus = 1;
    tree_put("kvm", "open 13\n");
    make(1);
    ck_assert_uint_eq(plan.idle, NESTVIRT_ANSWER_NO);
    ck_assert_uint_eq(plan.idle_vms, 0);
    ck_assert_str_eq(plan.idle_limit, "device.kvm");
    ck_assert_str_eq(plan.touched_limit, "device.kvm");
    make(0);
    ck_assert_uint_eq(plan.idle_vms, 0);
}
END_TEST

START_TEST(test_unknown)
{
    put_plenty();
    tree_put("proc/sys/vm/max_map_count", NULL);
    make(1);
    ck_assert_uint_eq(plan.idle, NESTVIRT_ANSWER_UNKNOWN);
    ck_assert_str_eq(plan.unknown, "limit.mappings");
    put_limits("4", "unlimited");
    make(1); /* what is known is enough for a no */
    ck_assert_uint_eq(plan.idle, NESTVIRT_ANSWER_NO);
    tree_put("kvm", "api_version 12\n");
    put_plenty();
    make(1);
    ck_assert_uint_eq(plan.idle, NESTVIRT_ANSWER_UNKNOWN); /* its permissions alone say little */
    ck_assert_str_eq(plan.unknown, "device.kvm");
}
END_TEST

START_TEST(test_misuse)
{
    make(1);
    config.vcpus = 0;
    ck_nv_fails_with(nestvirt_report_get_plan(report, &config, &plan, &error), -EINVAL, "0 vCPUs");
    config.vcpus = 1;
    config.memory_size = 0;
    ck_nv_fails_with(nestvirt_report_get_plan(report, &config, &plan, &error), -EINVAL, "16 TiB");
    config.memory_size = NV_GIB(16) * 1024 + 1;
    ck_nv_fails(nestvirt_report_get_plan(report, &config, &plan, &error), -EINVAL);
    config.memory_size = NV_GIB(16) * 1024;
    ck_nv_ok(nestvirt_report_get_plan(report, &config, &plan, &error));
    config.flags = 1;
    ck_nv_fails_with(nestvirt_report_get_plan(report, &config, &plan, &error), -EINVAL, "flags");
    config.flags = 0;
    ck_nv_fails(nestvirt_report_get_plan(NULL, &config, &plan, &error), -EFAULT);
    ck_nv_fails(nestvirt_report_get_plan(report, NULL, &plan, &error), -EFAULT);
    ck_nv_fails(nestvirt_report_get_plan(report, &config, NULL, &error), -EFAULT);
    plan.size = 8;
    ck_nv_fails(nestvirt_report_get_plan(report, &config, &plan, &error), -EINVAL);
    plan.size = sizeof(plan);
    config.size = 8;
    ck_nv_fails(nestvirt_report_get_plan(report, &config, &plan, &error), -EINVAL);
    nestvirt_plan_config_init(&config, sizeof(config));
    ck_assert_uint_eq(config.vcpus, 1);
    ck_assert_uint_eq(config.files, 2);
}
END_TEST

Suite *nv_test_suite(void)
{
    Suite *suite = suite_create("report_plan");
    TCase *tcase = support_case(suite, "plan", 60);

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, test_descriptors);
    tcase_add_test(tcase, test_idle_and_touched);
    tcase_add_test(tcase, test_what_stops_first);
    tcase_add_test(tcase, test_memory_of_the_group);
    tcase_add_test(tcase, test_strict_overcommit);
    tcase_add_test(tcase, test_shadow_paging);
    tcase_add_test(tcase, test_devices);
    tcase_add_test(tcase, test_obstacles);
    tcase_add_test(tcase, test_unknown);
    tcase_add_test(tcase, test_misuse);
    return suite;
}
