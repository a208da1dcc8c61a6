/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the tests of memory on real nodes: policies the kernel has taken, pages where they belong.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "guests.h"
#include "support.h"

enum { PAGE = 4096, PAGES = 2048, NODES_MAX = 1024, FAR = 0x10000000 };

static struct nestvirt_host *host;
static uint32_t node;   /* one that this process may have memory of */
static uint32_t absent; /* one that there is not */
static char node_text[16];

/* Finds the nodes of this machine; what it has none of, or no libnuma, is a reason to skip. */
static void find_nodes(void)
{
    struct nestvirt_error *error = NULL;
    struct nestvirt_numa *numa = NULL;
    struct nestvirt_numa_node found;
    int has_one = 0;

    if (nestvirt_numa_new(NULL, &numa, &error) < 0)
        support_skip(nestvirt_error_get_message(error));
    nestvirt_numa_node_init(&found, sizeof(found));
    for (uint32_t i = 0; nestvirt_numa_get_node(numa, i, &found, NULL) == 0; i++) {
        absent = found.node + 1;
        if (has_one || !(found.flags & NESTVIRT_NUMA_NODE_ALLOWED) || !found.memory_total)
            continue;
        node = found.node;
        has_one = 1;
    }
    nestvirt_numa_free(numa);
    if (!has_one)
        support_skip("this process may have memory of no node");
    snprintf(node_text, sizeof(node_text), "%u", node);
}

/* Skips where the policies cannot be had at all. */
static void need_policies(void)
{
    struct nestvirt_error *error = NULL;
    struct nestvirt_vm_config config;
    struct nestvirt_vm *vm;
    int r;

    nestvirt_vm_config_init(&config, sizeof(config));
    config.memory_size = PAGE;
    r = nestvirt_vm_new(host, &config, &vm, &error);
    if (r == 0)
        r = nestvirt_memory_set_numa(vm, 0, NESTVIRT_NUMA_BIND, node_text, 0, &error);
    nestvirt_vm_free(vm);
    if (r == -ENOTSUP || r == -EPERM)
        support_skip(nestvirt_error_get_message(error));
    nestvirt_error_free(error);
}

static struct nestvirt_memory_config region(uint32_t policy, const char *nodes, uint32_t flags)
{
    struct nestvirt_memory_config config;

    nestvirt_memory_config_init(&config, sizeof(config));
    config.address = FAR;
    config.length = (uint64_t)PAGES * PAGE;
    config.numa_policy = policy;
    config.numa_nodes = nodes;
    config.flags = flags;
    return config;
}

static uint64_t pages_of[NODES_MAX];

static struct nestvirt_memory_placement look(struct nestvirt_vm *vm, uint32_t number)
{
    struct nestvirt_memory_placement placement;

    nestvirt_memory_placement_init(&placement, sizeof(placement));
    ck_nv_ok(nestvirt_memory_get_placement(vm, number, &placement, pages_of, NODES_MAX, &error));
    ck_assert_uint_eq(placement.elsewhere, 0);
    return placement;
}

static void touch(struct nestvirt_vm *vm, uint64_t pages)
{
    void *pointer;

    ck_nv_ok(nestvirt_memory_get_pointer(vm, FAR, pages * PAGE, &pointer, &error));
    memset(pointer, 0x5a, pages * PAGE);
}

static const struct {
    uint32_t policy;
    uint32_t backing;
    uint32_t flags;
} kinds[] = {
    { NESTVIRT_NUMA_BIND, NESTVIRT_BACKING_ANONYMOUS, NESTVIRT_MEMORY_NUMA_STRICT },
    { NESTVIRT_NUMA_BIND, NESTVIRT_BACKING_MEMFD, NESTVIRT_MEMORY_NUMA_STRICT },
    { NESTVIRT_NUMA_PREFERRED, NESTVIRT_BACKING_ANONYMOUS, NESTVIRT_MEMORY_NUMA_STRICT },
    { NESTVIRT_NUMA_PREFERRED_MANY, NESTVIRT_BACKING_ANONYMOUS, 0 },
    { NESTVIRT_NUMA_INTERLEAVE, NESTVIRT_BACKING_ANONYMOUS, NESTVIRT_MEMORY_NUMA_STRICT },
    { NESTVIRT_NUMA_INTERLEAVE, NESTVIRT_BACKING_MEMFD, 0 },
};

START_TEST(test_pages_are_where_they_belong)
{
    struct nestvirt_vm *vm = GUEST_NEW(host, exit_code);
    struct nestvirt_memory_config config = region(kinds[_i].policy, node_text, kinds[_i].flags);
    struct nestvirt_memory_placement placement;

    config.backing = kinds[_i].backing;
    ck_nv_ok(nestvirt_memory_add(vm, &config, &error));
    for (int i = 0; i < 2; i++) { /* the second look finds what the first one left */
        placement = look(vm, 1);
        ck_assert_uint_eq(placement.policy, kinds[_i].policy);
        ck_assert_uint_eq(placement.resident, 0);
        ck_assert_uint_eq(placement.absent, PAGES);
    }
    touch(vm, 100);
    placement = look(vm, 1);
    ck_assert_uint_ge(placement.resident, 100); /* more where the host gives huge pages unasked */
    touch(vm, PAGES);
    placement = look(vm, 1);
    ck_assert_uint_eq(placement.resident, PAGES);
    ck_assert_uint_eq(placement.absent, 0);
    ck_assert_uint_eq(pages_of[node], PAGES);
    guest_start(vm);
    ck_assert_uint_eq(guest_wait(vm, NULL), NESTVIRT_RESULT_GUEST_EXIT);
    ck_nv_ok(nestvirt_vm_build(vm, &error)); /* a new start gives the pages back */
    ck_assert_uint_eq(look(vm, 1).resident, 0);
    ck_assert_uint_eq(look(vm, 1).policy, kinds[_i].policy);
    nestvirt_vm_free(vm);
}
END_TEST

START_TEST(test_misuse_13_absent_node)
{
    struct nestvirt_vm *vm = GUEST_NEW(host, exit_code);
    struct nestvirt_memory_config config;
    char text[16];

    snprintf(text, sizeof(text), "%u", absent);
    config = region(NESTVIRT_NUMA_BIND, text, 0);
    ck_nv_fails_with(nestvirt_memory_add(vm, &config, &error), -EINVAL, "this host has ");
    config = region(NESTVIRT_NUMA_BIND, "", 0);
    ck_nv_fails_with(nestvirt_memory_add(vm, &config, &error), -EINVAL, "is empty");
    ck_nv_fails_with(
        nestvirt_memory_set_numa(vm, 0, NESTVIRT_NUMA_BIND, text, NESTVIRT_NUMA_MOVE, &error),
        -EINVAL, "this host has ");
    nestvirt_vm_free(vm);
}
END_TEST

static uint32_t counter(struct nestvirt_vm *vm)
{
    uint32_t value = 0;

    ck_nv_ok(nestvirt_memory_read(vm, 0x3000, &value, sizeof(value), &error));
    return value;
}

START_TEST(test_migrate_while_running)
{
    static const uint32_t policies[] = { NESTVIRT_NUMA_BIND, NESTVIRT_NUMA_INTERLEAVE,
                                         NESTVIRT_NUMA_PREFERRED };
    struct nestvirt_vm *vm = GUEST_NEW(host, spin);
    uint32_t first;

    guest_start(vm);
    first = counter(vm);
    for (int i = 0; i < 60; i++) {
        ck_nv_ok(nestvirt_memory_set_numa(vm, 0, policies[i % 3], node_text,
                                          NESTVIRT_NUMA_MOVE | NESTVIRT_NUMA_STRICT, &error));
        ck_assert_uint_eq(look(vm, 0).policy, policies[i % 3]);
    }
    ck_assert_uint_gt(pages_of[node], 0);
    ck_nv_ok(nestvirt_memory_set_numa(vm, 0, NESTVIRT_NUMA_LOCAL, NULL, 0, &error));
    ck_assert_uint_eq(look(vm, 0).policy, NESTVIRT_NUMA_LOCAL);
    ck_nv_ok(nestvirt_memory_set_numa(vm, 0, NESTVIRT_NUMA_DEFAULT, NULL, 0, &error));
    ck_assert_uint_eq(look(vm, 0).policy, NESTVIRT_NUMA_DEFAULT);
    for (int i = 0; i < 10000 && counter(vm) == first; i++)
        usleep(1000);
    ck_assert_uint_ne(counter(vm), first);
    ck_nv_ok(nestvirt_vm_stop(vm, 5000, &error));
    nestvirt_vm_free(vm);
}
END_TEST

Suite *nv_test_suite(void)
{
    Suite *suite = suite_create("kvm_numa");
    TCase *tcase = support_case(suite, "numa", 60);

    host = support_host();
    find_nodes();
    need_policies();
    tcase_add_loop_test(tcase, test_pages_are_where_they_belong, 0,
                        (int)(sizeof(kinds) / sizeof(kinds[0])));
    tcase_add_test(tcase, test_misuse_13_absent_node);
    tcase_add_test(tcase, test_migrate_while_running);
    return suite;
}
