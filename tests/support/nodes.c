/* SPDX-License-Identifier: Apache-2.0 */
/* Owns fake trees of proc and sys, as machines with NUMA nodes have them. */
#include "nodes.h"

#include <check.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static char folder[64];

const char *nodes_make(void)
{
    strcpy(folder, "/tmp/nestvirt-nodes.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    return folder;
}

void nodes_remove(void)
{
    nodes_drop("");
}

void nodes_drop(const char *path)
{
    char command[256];

    snprintf(command, sizeof(command), "rm -rf %s/%s", folder, path);
    ck_assert_int_eq(system(command), 0);
}

void nodes_put(const char *path, const char *format, ...)
{
    char whole[256];
    va_list arguments;
    FILE *file;

    snprintf(whole, sizeof(whole), "%s/%s", folder, path);
    for (char *slash = strchr(whole + strlen(folder) + 1, '/'); slash;
         slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        mkdir(whole, 0700);
        *slash = '/';
    }
    file = fopen(whole, "we");
    ck_assert_ptr_nonnull(file);
    va_start(arguments, format);
    vfprintf(file, format, arguments);
    va_end(arguments);
    fclose(file);
}

/* prefix: "Node 3 ", or "" for the whole machine. */
static void put_memory(const char *path, const char *prefix, const struct fake_node *node)
{
    const unsigned long long kib = 1024;

    nodes_put(
        path,
        "%sMemTotal:       %8llu kB\n%sMemFree:        %8llu kB\n"
        "%sMemUsed:        %8llu kB\n%sActive(anon):   %8llu kB\n"
        "%sActive(file):   %8llu kB\n%sInactive(file): %8llu kB\n%sFilePages:           0 kB\n"
        "%sSReclaimable:        4 kB\n",
        prefix, node->total_mib * kib, prefix, node->free_mib * kib, prefix,
        (node->total_mib - node->free_mib) * kib, prefix, 7 * kib, prefix,
        node->cache_mib / 2 * kib, prefix, (node->cache_mib - node->cache_mib / 2) * kib, prefix,
        prefix);
}

static void put_pools(const char *path, const struct fake_node *node)
{
    static const unsigned long sizes[] = { 1048576, 2048 };
    char name[128];

    for (unsigned i = 0; i < 2; i++) {
        snprintf(name, sizeof(name), "%s/hugepages-%lukB/nr_hugepages", path, sizes[i]);
        nodes_put(name, "%llu\n", (unsigned long long)(i ? 2 * node->huge_free : 0));
        snprintf(name, sizeof(name), "%s/hugepages-%lukB/free_hugepages", path, sizes[i]);
        nodes_put(name, "%llu\n", (unsigned long long)(i ? node->huge_free : 0));
    }
}

static void put_node(const struct fake_node *node)
{
    char path[128];
    char prefix[32];

    snprintf(path, sizeof(path), "sys/devices/system/node/node%u/cpulist", node->number);
    nodes_put(path, "%s\n", node->cpus);
    snprintf(path, sizeof(path), "sys/devices/system/node/node%u/meminfo", node->number);
    snprintf(prefix, sizeof(prefix), "Node %u ", node->number);
    put_memory(path, prefix, node);
    snprintf(path, sizeof(path), "sys/devices/system/node/node%u/hugepages", node->number);
    put_pools(path, node);
    snprintf(path, sizeof(path), "sys/devices/system/node/node%u/distance", node->number);
    if (node->distances)
        nodes_put(path, "%s\n", node->distances);
}

void nodes_fill(const char *online, const char *possible, const struct fake_node *nodes,
                uint32_t count)
{
    if (!online) {
        nodes_put("sys/devices/system/cpu/online", "%s\n", nodes->cpus);
        put_memory("proc/meminfo", "", nodes);
        put_pools("sys/kernel/mm/hugepages", nodes);
        return;
    }
    nodes_put("sys/devices/system/node/online", "%s\n", online);
    nodes_put("sys/devices/system/node/possible", "%s\n", possible);
    for (uint32_t i = 0; i < count; i++)
        put_node(&nodes[i]);
}

void nodes_fill_two(void)
{
    static const struct fake_node nodes[] = {
        { 0, "0-3", 2048, 1000, 0, "10 21", 0 },
        { 1, "4-7", 2048, 1500, 0, "21 10", 0 },
    };

    nodes_fill("0-1", "0-3", nodes, 2);
}
