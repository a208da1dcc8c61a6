/* SPDX-License-Identifier: Apache-2.0 */
/* Owns what the kernel tells of the host's NUMA nodes: CPUs, memory, distances, huge page pools. */
#include "host/topology.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "core/cleanup.h"
#include "core/error.h"
#include "core/util.h"
#include "host/facts.h"
#include "host/tree.h"

#define NODES "sys/devices/system/node"

enum {
    FILE_MAX = 65536,    /* proc/self/status of the largest machines */
    DISTANCE_LOCAL = 10, /* what the kernel tells where firmware does not (ACPI 6.4, 5.2.17) */
    DISTANCE_REMOTE = 20,
    DISTANCE_MAX = 255
};

static int fail_file(int code, const char *path, struct nestvirt_error **ret_error)
{
    if (code == -EINVAL)
        return nv_fail(ret_error, code, path, "this library needs Linux's own form of it",
                       "is malformed");
    return nv_fail_sys(ret_error, -code, path, "read", "mount proc and sysfs where they belong");
}

static int read_list(const struct nv_tree *tree, const char *path, struct nv_set *ret_set,
                     struct nestvirt_error **ret_error)
{
    int r = nv_tree_read_list(tree, path, ret_set);

    return r < 0 ? fail_file(r, path, ret_error) : 0;
}

/* Digits at *at after blanks, moved behind them; false if there are none or they say too much. */
static bool take_number(const char **at, uint64_t max, uint64_t *ret_value)
{
    uint64_t value = 0;

    while (**at == ' ' || **at == '\t')
        (*at)++;
    if (**at < '0' || **at > '9')
        return false;
    for (; **at >= '0' && **at <= '9'; (*at)++) {
        value = value * 10 + (uint64_t)(**at - '0');
        if (value > max)
            return false;
    }
    *ret_value = value;
    return true;
}

/* What stands behind "NAME:" in a file of lines; NULL if there is no such line. */
static const char *find_line(const char *text, const char *name)
{
    size_t length = strlen(name);
    const char *at = text;

    while ((at = strstr(at, name))) {
        bool begins = at == text || at[-1] == ' ' || at[-1] == '\n';

        at += length;
        if (begins && *at == ':')
            return at + 1;
    }
    return NULL;
}

/* "NAME: 123 kB" as bytes: 0 where the line is missing, -EINVAL for another kind of line. */
static int find_bytes(const char *text, const char *name, uint64_t *ret_bytes)
{
    const char *at = find_line(text, name);
    uint64_t kib;

    *ret_bytes = 0;
    if (!at)
        return 0;
    if (!take_number(&at, UINT64_MAX >> 20, &kib) || strncmp(at, " kB", 3) != 0)
        return -EINVAL;
    *ret_bytes = NV_KIB(kib);
    return 1;
}

/* A node's meminfo, or that of the whole machine; the lines are the same. */
static int read_memory(const struct nv_tree *tree, const char *path, struct nv_node *node,
                       struct nestvirt_error **ret_error)
{
    static const char *const names[] = { "MemFree", "Active(file)", "Inactive(file)",
                                         "SReclaimable" };
    char text[8192];
    ssize_t length = nv_tree_read(tree, path, text, sizeof(text));
    int found;

    if (length < 0)
        return fail_file((int)length, path, ret_error);
    found = find_bytes(text, "MemTotal", &node->memory_total);
    node->memory_available = 0;
    for (size_t i = 0; i < NV_ARRAY_SIZE(names) && found >= 0; i++) {
        uint64_t bytes;

        if (find_bytes(text, names[i], &bytes) < 0)
            found = -EINVAL;
        node->memory_available += bytes;
        if (i == 0)
            node->memory_free = bytes;
    }
    if (found <= 0 || node->memory_free > node->memory_total)
        return fail_file(-EINVAL, path, ret_error);
    node->memory_available = NV_MIN(node->memory_available, node->memory_total);
    return 0;
}

/* The pools of a node, as they are found. */
struct pool_search {
    const struct nv_tree *tree;
    const char *folder;
    struct nv_node *node;
    struct nestvirt_error **ret_error;
    int result; /* -errno with its text written */
};

/* Takes one entry of the folder; 1 to end the search. */
static int read_pool(void *data, const char *name)
{
    static const char start[] = "hugepages-";
    struct pool_search *search = data;
    struct nv_node *node = search->node;
    struct nv_text path = nv_text("%s/%.60s/nr_hugepages", search->folder, name);
    const char *at = name + strlen(start);
    struct nv_pool pool = { 0 };
    uint32_t i;
    int r;

    if (strncmp(name, start, strlen(start)) != 0 ||
        !take_number(&at, UINT64_MAX >> 20, &pool.page_size) || strcmp(at, "kB") != 0)
        return 0;
    pool.page_size = NV_KIB(pool.page_size);
    r = nv_tree_read_u64(search->tree, path.s, &pool.total);
    if (r == 0) {
        path = nv_text("%s/%.60s/free_hugepages", search->folder, name);
        r = nv_tree_read_u64(search->tree, path.s, &pool.free);
    }
    if (r < 0) {
        search->result = fail_file(r, path.s, search->ret_error);
        return 1;
    }
    for (i = node->pool_count++; i > 0 && node->pools[i - 1].page_size > pool.page_size; i--)
        node->pools[i] = node->pools[i - 1];
    node->pools[i] = pool;
    return node->pool_count == NV_POOLS_MAX;
}

/* A kernel without huge pages has no such folder. */
static int read_pools(const struct nv_tree *tree, const char *folder, struct nv_node *node,
                      struct nestvirt_error **ret_error)
{
    struct pool_search search = {
        .tree = tree, .folder = folder, .node = node, .ret_error = ret_error
    };
    int r = nv_facts_entries(tree, folder, read_pool, &search);

    if (r < 0)
        return r == -ENOENT ? 0 : fail_file(r, folder, ret_error);
    return search.result;
}

/* "10 21 21": one number for each node online. */
static int read_distances(const struct nv_tree *tree, const struct nv_topology *topology,
                          uint32_t position, struct nestvirt_error **ret_error)
{
    const struct nv_text path = nv_text(NODES "/node%u/distance", topology->nodes[position].number);
    uint8_t *row = topology->distances + (size_t)position * topology->count;
    char text[4 * NV_NODES_MAX + 2];
    ssize_t length = nv_tree_read(tree, path.s, text, sizeof(text));
    const char *at = text;

    if (length == -ENOENT) {
        for (uint32_t i = 0; i < topology->count; i++)
            row[i] = i == position ? DISTANCE_LOCAL : DISTANCE_REMOTE;
        return 0;
    }
    if (length < 0)
        return fail_file((int)length, path.s, ret_error);
    for (uint32_t i = 0; i < topology->count; i++) {
        uint64_t value;

        if (!take_number(&at, DISTANCE_MAX, &value))
            return fail_file(-EINVAL, path.s, ret_error);
        row[i] = (uint8_t)value;
    }
    if (at[strspn(at, " \t\n")])
        return fail_file(-EINVAL, path.s, ret_error);
    return 0;
}

static int read_node(const struct nv_tree *tree, const struct nv_topology *topology,
                     uint32_t position, struct nestvirt_error **ret_error)
{
    struct nv_node *node = &topology->nodes[position];
    int r =
        read_list(tree, nv_text(NODES "/node%u/cpulist", node->number).s, &node->cpus, ret_error);

    if (r == 0)
        r = read_memory(tree, nv_text(NODES "/node%u/meminfo", node->number).s, node, ret_error);
    if (r == 0)
        r = read_pools(tree, nv_text(NODES "/node%u/hugepages", node->number).s, node, ret_error);
    if (r == 0)
        r = read_distances(tree, topology, position, ret_error);
    return r;
}

/* A kernel without NUMA. */
static int read_machine(const struct nv_tree *tree, struct nv_topology *topology,
                        struct nestvirt_error **ret_error)
{
    struct nv_node *node = topology->nodes;
    int r = read_list(tree, "sys/devices/system/cpu/online", &node->cpus, ret_error);

    if (r == 0)
        r = read_memory(tree, "proc/meminfo", node, ret_error);
    if (r == 0)
        r = read_pools(tree, "sys/kernel/mm/hugepages", node, ret_error);
    topology->distances[0] = DISTANCE_LOCAL;
    return r;
}

static int make_nodes(struct nv_topology *topology, struct nestvirt_error **ret_error)
{
    uint32_t number = 0;

    topology->count = nv_set_count(&topology->online);
    if (topology->count == 0 || topology->count > NV_NODES_MAX)
        return fail_file(-EINVAL, NODES "/online", ret_error);
    topology->nodes = calloc(topology->count, sizeof(topology->nodes[0]));
    topology->distances = calloc(topology->count, topology->count);
    if (!topology->nodes || !topology->distances)
        return nv_fail(ret_error, -ENOMEM, "NUMA nodes", "free memory in this process",
                       "out of memory");
    for (uint32_t i = 0; i < topology->count; i++) {
        topology->nodes[i].number = nv_set_next(&topology->online, number);
        number = topology->nodes[i].number + 1;
    }
    return 0;
}

static int read_nodes(const struct nv_tree *tree, struct nv_topology *topology,
                      struct nestvirt_error **ret_error)
{
    int r = nv_tree_read_list(tree, NODES "/online", &topology->online);
    bool has_nodes = r != -ENOENT;

    if (!has_nodes)
        nv_set_add(&topology->online, 0);
    else if (r < 0)
        return fail_file(r, NODES "/online", ret_error);
    r = make_nodes(topology, ret_error);
    if (r < 0 || !has_nodes) {
        topology->possible = topology->online;
        return r < 0 ? r : read_machine(tree, topology, ret_error);
    }
    r = nv_tree_read_list(tree, NODES "/possible", &topology->possible);
    if (r < 0 && r != -ENOENT)
        return fail_file(r, NODES "/possible", ret_error);
    if (r == -ENOENT)
        topology->possible = topology->online;
    r = 0;
    for (uint32_t i = 0; i < topology->count && r == 0; i++)
        r = read_node(tree, topology, i, ret_error);
    return r;
}

/* One list in a status file; where it is missing, nothing is forbidden. */
static int find_allowed(char *text, const char *name, struct nv_set *set)
{
    char *line = (char *)find_line(text, name);
    char *newline;
    char saved;
    int r;

    if (!line)
        return 0;
    newline = line + strcspn(line, "\n");
    saved = *newline;
    *newline = '\0';
    r = nv_list_parse_kernel(line, set);
    *newline = saved;
    return r;
}

static int read_allowed(const struct nv_tree *tree, struct nv_topology *topology,
                        struct nestvirt_error **ret_error)
{
    NV_AUTO_FREE char *text = malloc(FILE_MAX);
    const char *path = "proc/thread-self/status";
    ssize_t length;

    topology->allowed = topology->online;
    for (uint32_t i = 0; i < topology->count; i++)
        for (size_t j = 0; j < NV_SET_WORDS; j++)
            topology->cpus_allowed.words[j] |= topology->nodes[i].cpus.words[j];
    if (!text)
        return nv_fail(ret_error, -ENOMEM, "NUMA nodes", "free memory in this process",
                       "out of memory");
    length = nv_tree_read(tree, path, text, FILE_MAX);
    if (length == -ENOENT) {
        path = "proc/self/status";
        length = nv_tree_read(tree, path, text, FILE_MAX);
    }
    if (length == -ENOENT)
        return 0;
    if (length < 0)
        return fail_file((int)length, path, ret_error);
    if (find_allowed(text, "Mems_allowed_list", &topology->allowed) < 0 ||
        find_allowed(text, "Cpus_allowed_list", &topology->cpus_allowed) < 0)
        return fail_file(-EINVAL, path, ret_error);
    return 0;
}

int nv_topology_read(const char *root, struct nv_topology *ret_topology,
                     struct nestvirt_error **ret_error)
{
    struct nv_topology topology = { 0 };
    struct nv_tree tree = { .fd = -1 };
    int r = nv_tree_open(root, &tree, ret_error);

    if (r == 0)
        r = read_nodes(&tree, &topology, ret_error);
    if (r == 0)
        r = read_allowed(&tree, &topology, ret_error);
    nv_tree_close(&tree);
    if (r < 0)
        nv_topology_free(&topology);
    else
        *ret_topology = topology;
    return r;
}

void nv_topology_free(struct nv_topology *topology)
{
    free(topology->nodes);
    free(topology->distances);
    *topology = (struct nv_topology){ 0 };
}

int nv_topology_find(const struct nv_topology *topology, uint32_t number)
{
    for (uint32_t i = 0; i < topology->count; i++)
        if (topology->nodes[i].number == number)
            return (int)i;
    return -1;
}

uint32_t nv_topology_cpus(const struct nv_topology *topology, const struct nv_node *node)
{
    const struct nv_set usable = nv_set_and(&node->cpus, &topology->cpus_allowed);

    return nv_set_count(&usable);
}
