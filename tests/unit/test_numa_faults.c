/* SPDX-License-Identifier: Apache-2.0 */
/* Proves that each call which fails on the way to nodes gives a clean error and leaves nothing. */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "core/util.h"
#include "fake_kvm.h"
#include "fake_numa.h"
#include "faults.h"
#include "leak.h"
#include "nodes.h"
#include "support.h"
#include "vm/vm.h"

enum { TRIES_MAX = 200 };

static struct nestvirt_host *host;
static struct nestvirt_vm *vm;
static const char *root;
static bool has_happened;

/* Ends the failures, before check wants memory; passes a result on. */
static int done(int r)
{
    has_happened = faults_disarm();
    return r;
}

static void setup(void)
{
    fake_kvm_reset();
    root = nodes_make();
    nodes_fill_two();
    fake_numa_reset(root);
    host = fake_kvm_host();
    vm = fake_kvm_vm(host, 0, NESTVIRT_CHIP_SPLIT, 2);
    vm->memory.numa_ops = &fake_numa.ops;
}

static void teardown(void)
{
    ck_assert_int_eq(nestvirt_vm_free(vm), 0);
    ck_assert_int_eq(nestvirt_host_free(host), 0);
    nodes_remove();
}

static int make_numa(struct nestvirt_error **e)
{
    const struct nestvirt_numa_config config = { sizeof(config), 0, root };
    struct nestvirt_numa *numa = NULL;
    int r = done(nestvirt_numa_new(&config, &numa, e));

    ck_assert_int_eq(numa != NULL, r == 0);
    nestvirt_numa_free(numa);
    return r;
}

static int add_memory(struct nestvirt_error **e)
{
    struct nestvirt_memory_config config;
    int r;

    nestvirt_memory_config_init(&config, sizeof(config));
    config.address = NV_MIB(16);
    config.length = NV_MIB(1);
    config.flags = NESTVIRT_MEMORY_NUMA_STRICT;
    config.numa_policy = NESTVIRT_NUMA_BIND;
    config.numa_nodes = "0";
    r = done(nestvirt_memory_add(vm, &config, e));
    if (r >= 0)
        ck_nv_ok(nestvirt_memory_remove(vm, (uint32_t)r, &error));
    return r;
}

/* On the real library, whose loading needs room. */
static int add_local(struct nestvirt_error **e)
{
    struct nestvirt_memory_config config;
    int r;

    nestvirt_memory_config_init(&config, sizeof(config));
    config.address = NV_MIB(16);
    config.length = NV_MIB(1);
    config.numa_policy = NESTVIRT_NUMA_LOCAL;
    vm->memory.numa_ops = NULL;
    r = done(nestvirt_memory_add(vm, &config, e));
    vm->memory.numa_ops = &fake_numa.ops;
    if (r >= 0)
        ck_nv_ok(nestvirt_memory_remove(vm, (uint32_t)r, &error));
    return r == -ENOTSUP ? 0 : r; /* a build or a machine without libnuma */
}

static int set_policy(struct nestvirt_error **e)
{
    int r = done(nestvirt_memory_set_numa(vm, 0, NESTVIRT_NUMA_BIND, "1", NESTVIRT_NUMA_STRICT, e));

    return r == -ENOTSUP ? 0 : r;
}

static int add_node(struct nestvirt_error **e)
{
    int r = done(nestvirt_numa_add_guest_node(vm, "0", e));

    return r < 0 ? r : 0;
}

static const struct {
    const char *name;
    int (*step)(struct nestvirt_error **e);
} steps[] = {
    { "numa_new", make_numa },         { "memory_add", add_memory },   { "add_local", add_local },
    { "memory_set_numa", set_policy }, { "add_guest_node", add_node },
};

static const enum fault_call calls[] = { FAULT_MALLOC, FAULT_MMAP, FAULT_MADVISE, FAULT_FSTAT };

START_TEST(test_fault_11_each_call)
{
    int (*step)(struct nestvirt_error **) = steps[_i / 4].step;
    enum fault_call call = calls[_i % 4];
    unsigned n = 1;

    step(NULL); /* what is made once and kept is made now */
    for (; n < TRIES_MAX; n++) {
        const struct leak_count before = leak_count();
        struct nestvirt_error *error = NULL;
        char text[256];
        int r;

        faults_arm(call, n);
        r = step(&error);
        if (!has_happened) {
            nestvirt_error_free(error);
            break;
        }
        if (r < 0)
            ck_assert_int_gt(strlen(nestvirt_error_get_message(error)), 15);
        if (r < 0 && r != -EIO && r != -ENOTSUP)
            ck_assert_msg(r == -fault_errors[call] || r == -ENOMEM, "%s, %s %u: %d",
                          steps[_i / 4].name, fault_names[call], n, r);
        nestvirt_error_free(error);
        ck_assert_msg(!leak_compare(&before, text, sizeof(text)), "%s, %s %u: %s",
                      steps[_i / 4].name, fault_names[call], n, text);
    }
    ck_assert_uint_lt(n, TRIES_MAX);
}
END_TEST

Suite *nv_test_suite(void)
{
    Suite *suite = suite_create("numa_faults");
    TCase *tcase = support_case(suite, "faults", 120);

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_loop_test(tcase, test_fault_11_each_call, 0, 4 * (int)NV_ARRAY_SIZE(steps));
    return suite;
}
