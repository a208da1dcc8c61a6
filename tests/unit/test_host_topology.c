/* SPDX-License-Identifier: Apache-2.0 */
/* Proves the reader of the host's nodes, and the choice among them, on fake trees and this host. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "core/error.h"
#include "core/util.h"
#include "host/topology.h"
#include "nodes.h"
#include "support.h"

#define NODE "sys/devices/system/node/"
#define COUNT(nodes) ((uint32_t)NV_ARRAY_SIZE(nodes))

static const char *root;
static struct nestvirt_numa *numa;

static void setup(void)
{
    root = nodes_make();
    numa = NULL;
}

static void teardown(void)
{
    ck_assert_int_eq(nestvirt_numa_free(numa), 0);
    nodes_remove();
}

static int read_again(struct nestvirt_error **error)
{
    const struct nestvirt_numa_config config = { sizeof(config), 0, root };

    nestvirt_numa_free(numa);
    return nestvirt_numa_new(&config, &numa, error);
}

static struct nestvirt_numa_node node_at(uint32_t position)
{
    struct nestvirt_numa_node node;

    nestvirt_numa_node_init(&node, sizeof(node));
    ck_nv_ok(nestvirt_numa_get_node(numa, position, &node, &error));
    return node;
}

static uint32_t count_nodes(void)
{
    struct nestvirt_numa_node node;
    uint32_t count = 0;

    nestvirt_numa_node_init(&node, sizeof(node));
    while (nestvirt_numa_get_node(numa, count, &node, NULL) == 0)
        count++;
    return count;
}

static const char *cpus_of(uint32_t node, uint32_t allowed)
{
    static char text[64];

    ck_assert_int_eq(nestvirt_numa_get_cpus(numa, node, allowed, text, sizeof(text), NULL),
                     strlen(text));
    return text;
}

static int place(uint64_t mib, uint32_t vcpus, uint64_t page_size, struct nestvirt_error **error)
{
    const struct nestvirt_numa_need need = {
        .size = sizeof(need), .memory = NV_MIB(mib), .vcpus = vcpus, .page_size = page_size
    };

    return nestvirt_numa_get_place(numa, &need, error);
}

START_TEST(test_without_numa)
{
    static const struct fake_node machine = { 0, "0-1", 24000, 20000, 100, NULL, 3 };
    struct nestvirt_numa_pool pool;
    struct nestvirt_numa_node node;

    nodes_fill(NULL, NULL, &machine, 1);
    ck_nv_ok(read_again(&error));
    ck_assert_uint_eq(count_nodes(), 1);
    node = node_at(0);
    ck_assert_uint_eq(node.node, 0);
    ck_assert_uint_eq(node.cpus, 2);
    ck_assert_uint_eq(node.cpus_allowed, 2);
    ck_assert_uint_eq(node.flags, NESTVIRT_NUMA_NODE_ALLOWED);
    ck_assert_uint_eq(node.memory_total, NV_MIB(24000));
    ck_assert_uint_eq(node.memory_free, NV_MIB(20000));
    ck_assert_uint_eq(node.memory_available, NV_MIB(20100) + NV_KIB(4));
    ck_assert_uint_eq(node.pools, 2);
    nestvirt_numa_pool_init(&pool, sizeof(pool));
    ck_nv_ok(nestvirt_numa_get_pool(numa, 0, 0, &pool, &error));
    ck_assert_uint_eq(pool.page_size, NV_MIB(2)); /* by size, whatever the folder's order */
    ck_assert_uint_eq(pool.total, 6);
    ck_assert_uint_eq(pool.free, 3);
    ck_nv_ok(nestvirt_numa_get_pool(numa, 0, 1, &pool, &error));
    ck_assert_uint_eq(pool.page_size, NV_GIB(1));
    ck_nv_fails(nestvirt_numa_get_pool(numa, 0, 2, &pool, &error), -ENOENT);
    ck_assert_int_eq(nestvirt_numa_get_distance(numa, 0, 0, NULL), 10);
    nodes_drop("sys/kernel/mm");
    ck_nv_ok(read_again(&error));
    ck_assert_uint_eq(node_at(0).pools, 0);
}
END_TEST

START_TEST(test_one_node)
{
    static const struct fake_node node = { 0, "0-7", 100, 50, 0, "10", 0 };

    nodes_fill("0", "0", &node, 1);
    ck_nv_ok(read_again(&error));
    ck_assert_uint_eq(count_nodes(), 1);
    ck_assert_str_eq(cpus_of(0, 0), "0-7");
    ck_assert_int_eq(nestvirt_numa_get_distance(numa, 0, 0, NULL), 10);
    ck_assert_int_eq(place(50, 8, 0, NULL), 0);
    ck_assert_int_eq(place(51, 8, 0, NULL), -ENOSPC);
}
END_TEST

START_TEST(test_two_nodes)
{
    char text[4] = "xxx";

    nodes_fill_two();
    nodes_put("proc/self/status", "Name:\tx\nCpus_allowed_list:\t0-1,5\nMems_allowed:\t1\n"
                                  "Mems_allowed_list:\t0\nSeccomp:\t0\n");
    ck_nv_ok(read_again(&error));
    ck_assert_uint_eq(count_nodes(), 2);
    ck_assert_str_eq(cpus_of(0, 0), "0-3");
    ck_assert_str_eq(cpus_of(0, 1), "0-1");
    ck_assert_str_eq(cpus_of(1, 1), "5");
    ck_assert_int_eq(nestvirt_numa_get_distance(numa, 0, 1, NULL), 21);
    ck_assert_uint_eq(node_at(0).flags, NESTVIRT_NUMA_NODE_ALLOWED);
    ck_assert_uint_eq(node_at(1).flags, 0);
    ck_assert_uint_eq(node_at(0).cpus_allowed, 2);
    ck_nv_fails_with(nestvirt_numa_get_distance(numa, 0, 2, &error), -ENOENT,
                     "node 2: is not online; this host has 0-1");
    ck_nv_fails(nestvirt_numa_get_cpus(numa, 2, 0, text, sizeof(text), &error), -ENOENT);
    ck_nv_fails(nestvirt_numa_get_cpus(numa, 0, 0, NULL, 0, &error), -EFAULT);
    ck_nv_fails_with(nestvirt_numa_get_cpus(numa, 0, 0, text, 3, &error), -E2BIG, "4 bytes");
    ck_assert_str_eq(text, ""); /* "0-" would be another list */
    ck_nv_fails(nestvirt_numa_get_cpus(numa, 0, 0, text, 0, &error), -E2BIG);
    ck_assert_int_eq(nestvirt_numa_get_cpus(numa, 0, 0, text, 4, NULL), 3);
    ck_assert_str_eq(text, "0-3");
    nodes_put("proc/thread-self/status", "Mems_allowed_list:\t1\n"); /* this thread's comes first */
    ck_nv_ok(read_again(&error));
    ck_assert_uint_eq(node_at(0).flags, 0);
    ck_assert_str_eq(cpus_of(0, 1), "0-3");
}
END_TEST

/* A node of memory only, one of CPUs only, numbers far apart, others offline. */
START_TEST(test_sparse_nodes)
{
    static const struct fake_node nodes[] = {
        { 1, "0-3,8", 4096, 1024, 512, "10 20 40 30", 0 },
        { 8, "", 8192, 8000, 0, "20 10 40 40", 0 },
        { 250, "4-7", 0, 0, 0, "40 40 10 30", 0 },
        { 1023, "100", 10, 10, 0, "30 40 30 10", 0 },
    };

    nodes_fill("1,8,250,1023", "0-1023", nodes, COUNT(nodes));
    ck_nv_ok(read_again(&error));
    ck_assert_uint_eq(count_nodes(), 4);
    ck_assert_uint_eq(node_at(1).node, 8);
    ck_assert_uint_eq(node_at(1).cpus, 0);
    ck_assert_str_eq(cpus_of(8, 0), "");
    ck_assert_uint_eq(node_at(2).memory_total, 0);
    ck_assert_int_eq(nestvirt_numa_get_distance(numa, 1023, 250, NULL), 30);
    ck_assert_int_eq(nestvirt_numa_get_distance(numa, 0, 250, NULL), -ENOENT);
    ck_assert_int_eq(place(1536, 5, 0, NULL), 1);
    ck_assert_int_eq(place(7000, 0, 0, NULL), 8);
    ck_assert_int_eq(place(10, 1, 0, NULL), 1);
    ck_assert_int_eq(place(7000, 1, 0, NULL), -ENOSPC);
}
END_TEST

START_TEST(test_eight_nodes)
{
    struct fake_node nodes[8];
    char cpus[8][16];
    char distances[8][32];

    for (uint32_t i = 0; i < 8; i++) {
        snprintf(cpus[i], sizeof(cpus[i]), "%u-%u", i * 16, i * 16 + 15);
        distances[i][0] = '\0';
        for (uint32_t j = 0; j < 8; j++)
            sprintf(distances[i] + strlen(distances[i]), "%s%u", j ? " " : "",
                    i == j           ? 10
                    : i / 4 == j / 4 ? 12
                                     : 32);
        nodes[i] = (struct fake_node){ i, cpus[i], 65536, 1000 + i % 5 * 100, 0, distances[i], i };
    }
    nodes_fill("0-7", "0-7", nodes, 8);
    ck_nv_ok(read_again(&error));
    ck_assert_uint_eq(count_nodes(), 8);
    ck_assert_int_eq(nestvirt_numa_get_distance(numa, 0, 3, NULL), 12);
    ck_assert_int_eq(nestvirt_numa_get_distance(numa, 0, 4, NULL), 32);
    ck_assert_str_eq(cpus_of(7, 0), "112-127");
    ck_assert_int_eq(place(500, 16, 0, NULL), 4); /* most memory, the CPUs being equal */
    ck_assert_int_eq(place(14, 4, NV_MIB(2), NULL), 7);
    ck_nv_fails_with(place(16, 4, NV_MIB(2), &error), -ENOSPC, "in huge pages of 2048 KiB");
    ck_nv_fails_with(place(1, 1, NV_GIB(1), &error), -ENOSPC, "node 0 has 0 MiB");
    nodes_put("proc/self/status", "Cpus_allowed_list:\t32-47,16-23\nMems_allowed_list:\t0-7\n");
    ck_nv_ok(read_again(&error));
    ck_assert_int_eq(place(500, 1, 0, NULL), 2); /* most CPUs that this thread may use */
}
END_TEST

/* More than an error has room for; and more than any kernel has. */
START_TEST(test_many_nodes)
{
    char row[4 * 64 + 1] = "10";
    struct fake_node nodes[64];

    for (uint32_t i = 1; i < 64; i++)
        strcat(row, " 20");
    for (uint32_t i = 0; i < 64; i++)
        nodes[i] = (struct fake_node){ i + 960, "", 16, 1, 0, row, 0 };
    nodes_fill("960-1023", "0-1023", nodes, 64);
    ck_nv_ok(read_again(&error));
    ck_assert_uint_eq(count_nodes(), 64);
    ck_nv_fails_with(place(2, 0, 0, &error), -ENOSPC, "node 969 has 1 MiB, node 970 has 1 MiB");
    ck_nv_fails_with(place(2, 0, 0, &error), -ENOSPC, ", ...; ask for less");
    nodes_put(NODE "online", "0-1024\n");
    ck_nv_fails_with(read_again(&error), -EINVAL, NODE "online: is malformed");
}
END_TEST

START_TEST(test_place_says_what_lacks)
{
    nodes_fill_two();
    nodes_put("proc/self/status", "Cpus_allowed_list:\t0-7\nMems_allowed_list:\t0\n");
    ck_nv_ok(read_again(&error));
    ck_nv_fails_with(place(1200, 1, 0, &error), -ENOSPC,
                     "none has 1200 MiB free and 1 CPUs to use: node 0 has 1000 MiB, node 1 is "
                     "not allowed");
    ck_nv_fails_with(place(100, 5, 0, &error), -ENOSPC, "node 0 has 4 CPUs,");
    ck_nv_fails_with(place(2000, 5, 0, &error), -ENOSPC, "node 0 has 1000 MiB and 4 CPUs,");
    ck_assert_int_eq(place(1000, 4, 0, NULL), 0);
    ck_nv_fails_with(place(0, 0, 0, &error), -EINVAL, "wants nothing");
    ck_nv_fails_with(place(1, 1, 3, &error), -EINVAL, "0x3");
}
END_TEST

/* What a file may say, and that the error names it. */
static const struct {
    const char *path;
    const char *text; /* NULL: the file is missing */
    int code;
} broken[] = {
    { NODE "online", "", -EINVAL },
    { NODE "online", "zero\n", -EINVAL },
    { NODE "online", "0-9999\n", -EINVAL },
    { NODE "online", "0,2\n", -ENOENT }, /* node2 has no folder */
    { NODE "possible", "0,,1\n", -EINVAL },
    { NODE "node1/cpulist", "4-\n", -EINVAL },
    { NODE "node1/cpulist", NULL, -ENOENT },
    { NODE "node1/meminfo", "", -EINVAL },
    { NODE "node1/meminfo", "Node 1 MemTotal: kB\n", -EINVAL },
    { NODE "node1/meminfo", "Node 1 MemTotal: 5 MB\n", -EINVAL },
    { NODE "node1/meminfo", "Node 1 MemTotal: 99999999999999999999 kB\n", -EINVAL },
    { NODE "node1/meminfo", "Node 1 MemTotal: -5 kB\n", -EINVAL },
    { NODE "node1/meminfo", "Node 1 MemTotal: 5 kB\nNode 1 MemFree: 6 kB\n", -EINVAL },
    { NODE "node1/meminfo", "Node 1 MemTotal: 5 kB\nNode 1 SReclaimable: x kB\n", -EINVAL },
    { NODE "node1/meminfo", NULL, -ENOENT },
    { NODE "node1/distance", "10\n", -EINVAL },
    { NODE "node1/distance", "10 20 30\n", -EINVAL },
    { NODE "node1/distance", "10 256\n", -EINVAL },
    { NODE "node1/distance", "10 -1\n", -EINVAL },
    { NODE "node1/hugepages/hugepages-2048kB/nr_hugepages", "many\n", -EINVAL },
    { NODE "node1/hugepages/hugepages-2048kB/free_hugepages", NULL, -ENOENT },
    { "proc/self/status", "Mems_allowed_list:\t0-\n", -EINVAL },
    { "proc/self/status", "Cpus_allowed_list:\tall\n", -EINVAL },
};

START_TEST(test_broken_files)
{
    nodes_fill_two();
    if (broken[_i].text)
        nodes_put(broken[_i].path, "%s", broken[_i].text);
    else
        nodes_drop(broken[_i].path);
    if (broken[_i].code == -ENOENT && broken[_i].text)
        ck_nv_fails_with(read_again(&error), -ENOENT, NODE "node2/cpulist: read: ");
    else
        ck_nv_fails_with(read_again(&error), broken[_i].code, broken[_i].path);
    ck_assert_ptr_null(numa);
}
END_TEST

START_TEST(test_odd_files)
{
    char path[256];

    nodes_fill_two();
    nodes_drop(NODE "possible");
    nodes_drop(NODE "node0/distance");
    nodes_put(NODE "node0/hugepages/other", "x");
    nodes_put(NODE "node0/hugepages/hugepages-kB/x", "x");
    nodes_put(NODE "node0/hugepages/hugepages-64kBx/x", "x");
    for (int i = 0; i < 12; i++) {
        snprintf(path, sizeof(path), NODE "node1/hugepages/hugepages-%dkB/nr_hugepages", 4 << i);
        nodes_put(path, "1");
        snprintf(path, sizeof(path), NODE "node1/hugepages/hugepages-%dkB/free_hugepages", 4 << i);
        nodes_put(path, "1");
    }
    ck_nv_ok(read_again(&error));
    ck_assert_int_eq(nestvirt_numa_get_distance(numa, 0, 1, NULL), 20);
    ck_assert_uint_eq(node_at(0).pools, 2);
    ck_assert_uint_eq(node_at(1).pools, NV_POOLS_MAX);
    snprintf(path, sizeof(path), "%s/" NODE "online", root);
    nodes_drop(NODE "online");
    ck_assert_int_eq(mkfifo(path, 0600), 0);
    ck_nv_fails_with(read_again(&error), -EINVAL, NODE "online"); /* and does not wait for it */
}
END_TEST

START_TEST(test_handles)
{
    struct nestvirt_numa_config config = { sizeof(config), 1, NULL };
    struct nestvirt_numa_node node;
    uint32_t other[64] = { 0x6e766803 };

    ck_nv_fails(nestvirt_numa_new(NULL, NULL, &error), -EFAULT);
    ck_nv_fails_with(nestvirt_numa_new(&config, &numa, &error), -EINVAL, "flags 0x1");
    config.flags = 0;
    config.size = 3;
    ck_nv_fails(nestvirt_numa_new(&config, &numa, &error), -EINVAL);
    config = (struct nestvirt_numa_config){ sizeof(config), 0, "/nonexistent" };
    ck_nv_fails_with(nestvirt_numa_new(&config, &numa, &error), -ENOENT, "/nonexistent");
    ck_assert_ptr_null(numa);
    config.root = root;
    ck_nv_fails(nestvirt_numa_new(&config, &numa, &error), -ENOENT); /* an empty folder */
    nestvirt_numa_node_init(&node, sizeof(node));
    ck_nv_fails(nestvirt_numa_get_node(NULL, 0, &node, &error), -EFAULT);
    ck_nv_fails(nestvirt_numa_get_node((const void *)other, 0, &node, &error), -EBADF);
    ck_assert_int_eq(nestvirt_numa_free((void *)other), -EBADF);
    ck_nv_ok(nestvirt_numa_new(NULL, &numa, &error));
    ck_nv_fails(nestvirt_numa_get_node(numa, 0, NULL, &error), -EFAULT);
    ck_nv_fails(nestvirt_numa_get_cpus(numa, 0, 0, NULL, 1, &error), -EFAULT);
    ck_nv_fails(nestvirt_numa_get_place(numa, NULL, &error), -EFAULT);
}
END_TEST

/* Whatever this machine is, its nodes have its memory and its CPUs. */
START_TEST(test_this_host)
{
    uint64_t total = 0;
    uint32_t cpus = 0;

    ck_nv_ok(nestvirt_numa_new(NULL, &numa, &error));
    for (uint32_t i = 0; i < count_nodes(); i++) {
        total += node_at(i).memory_total;
        cpus += node_at(i).cpus;
        ck_assert_int_ge(nestvirt_numa_get_distance(numa, node_at(i).node, node_at(0).node, NULL),
                         10);
    }
    ck_assert_uint_gt(total, NV_MIB(64));
    ck_assert_uint_ge(cpus, 1);
    ck_nv_ok(place(1, 1, 0, &error));
}
END_TEST

Suite *nv_test_suite(void)
{
    Suite *suite = suite_create("host_topology");
    TCase *trees = support_case(suite, "trees", 60);

    tcase_add_checked_fixture(trees, setup, teardown);
    tcase_add_test(trees, test_without_numa);
    tcase_add_test(trees, test_one_node);
    tcase_add_test(trees, test_two_nodes);
    tcase_add_test(trees, test_sparse_nodes);
    tcase_add_test(trees, test_eight_nodes);
    tcase_add_test(trees, test_many_nodes);
    tcase_add_test(trees, test_place_says_what_lacks);
    tcase_add_loop_test(trees, test_broken_files, 0, (int)NV_ARRAY_SIZE(broken));
    tcase_add_test(trees, test_odd_files);
    tcase_add_test(trees, test_handles);
    tcase_add_test(trees, test_this_host);
    return suite;
}
