/* SPDX-License-Identifier: Apache-2.0 */
/* Owns which limit a failed call has run into. */
#include "host/limits.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/cleanup.h"
#include "host/cgroup_limit.h"
#include "host/facts.h"

enum {
    /* Less than this is left where a limit is at its end, though others take and give meanwhile. */
    MAPPINGS_NEAR = 8,
    THREADS_NEAR = 8,
    PIDS_NEAR = 400, /* the kernel keeps 300, and ids of groups and sessions count too */
    MEMORY_NEAR = 1024 * 1024
};

/* Capabilities with which RLIMIT_NPROC does not count (setrlimit(2), capabilities(7)). */
#define CAPS_ABOVE_NPROC (1ull << 21 | 1ull << 24)

static struct nv_text full(const char *what, uint64_t limit, const char *remedy)
{
    return nv_text("%s: the limit of %llu is reached; %s", what, (unsigned long long)limit, remedy);
}

static bool read_number(const struct nv_tree *tree, const char *path, uint64_t *ret_number)
{
    return nv_tree_read_u64(tree, path, ret_number) == 0;
}

/* Bytes of a field in KiB. */
static bool read_bytes(const struct nv_tree *tree, const char *path, const char *key,
                       uint64_t *ret_bytes)
{
    char text[64];

    if (nv_facts_field(tree, path, key, text, sizeof(text)) < 0 ||
        !nv_facts_number(text, ret_bytes))
        return false;
    *ret_bytes *= 1024;
    return true;
}

static bool is_limited(const struct nv_tree *tree, const char *name, uint64_t *ret_limit)
{
    uint64_t hard;

    return nv_facts_limit(tree, name, ret_limit, &hard) == 0 && *ret_limit != UINT64_MAX;
}

bool nv_limit_is_above_nproc(const struct nv_tree *tree)
{
    char text[64];
    uint64_t uid;

    if (nv_facts_field(tree, "proc/self/status", "Uid", text, sizeof(text)) == 0 &&
        nv_facts_number(text, &uid) && uid == 0)
        return true;
    return nv_facts_field(tree, "proc/self/status", "CapEff", text, sizeof(text)) == 0 &&
           (strtoull(text, NULL, 16) & CAPS_ABOVE_NPROC);
}

/* The number behind the stroke of proc/loadavg. */
uint64_t nv_limit_count_threads(const struct nv_tree *tree)
{
    char text[128];
    const char *stroke;
    uint64_t count;

    if (nv_facts_text(tree, "proc/loadavg", text, sizeof(text)) < 0)
        return 0;
    stroke = strchr(text, '/');
    return stroke && nv_facts_number(stroke + 1, &count) ? count : 0;
}

/* A user's own threads are not counted: it is that limit if it is no other. */
static struct nv_text find_threads(const struct nv_tree *tree, const char *otherwise)
{
    const uint64_t used = nv_limit_count_threads(tree);
    struct nv_cgroup_limit group;
    uint64_t limit;

    if (nv_cgroup_find_limit(tree, NV_LIMITED_PIDS, &group) == 0 && group.limit != UINT64_MAX &&
        group.used + THREADS_NEAR >= group.limit)
        return full("threads of this cgroup", group.limit,
                    "raise pids.max, or TasksMax= of the service");
    if (read_number(tree, "proc/sys/kernel/threads-max", &limit) && used + THREADS_NEAR >= limit)
        return full("threads of the host", limit, "raise kernel.threads-max");
    if (read_number(tree, "proc/sys/kernel/pid_max", &limit) && used + PIDS_NEAR >= limit)
        return full("process ids of the host", limit, "raise kernel.pid_max");
    if (is_limited(tree, "Max processes", &limit) && !nv_limit_is_above_nproc(tree))
        return full("threads of this user", limit, "raise it (ulimit -u, or LimitNPROC=)");
    return nv_text("%s", otherwise);
}

/* Without malloc(), which has failed by then. */
static bool count_mappings(const struct nv_tree *tree, uint64_t *ret_count)
{
    NV_AUTO_FD fd = nv_tree_open_file(tree, "proc/self/maps", O_RDONLY);
    char chunk[4096];
    uint64_t count = 0;
    ssize_t done = 1;

    while (fd >= 0 && done > 0) {
        done = read(fd, chunk, sizeof(chunk));
        for (ssize_t i = 0; i < done; i++)
            count += chunk[i] == '\n';
    }
    *ret_count = count;
    return fd >= 0 && done == 0;
}

static bool has_mappings_full(const struct nv_tree *tree, uint64_t *ret_limit)
{
    uint64_t used;

    return read_number(tree, "proc/sys/vm/max_map_count", ret_limit) &&
           count_mappings(tree, &used) && used + MAPPINGS_NEAR >= *ret_limit;
}

/* In mode 2 the kernel keeps count of what it has promised. */
static bool has_promised_all(const struct nv_tree *tree, uint64_t wanted, uint64_t *ret_limit)
{
    uint64_t mode;
    uint64_t used;

    return read_number(tree, "proc/sys/vm/overcommit_memory", &mode) && mode == 2 &&
           read_bytes(tree, "proc/meminfo", "CommitLimit", ret_limit) &&
           read_bytes(tree, "proc/meminfo", "Committed_AS", &used) && used + wanted > *ret_limit;
}

static struct nv_text find_memory(const struct nv_tree *tree, uint64_t wanted,
                                  const char *otherwise)
{
    const uint64_t more = wanted ? wanted : MEMORY_NEAR;
    struct nv_cgroup_limit group;
    uint64_t limit;
    uint64_t used;

    if (has_mappings_full(tree, &limit))
        return full("mappings of this process", limit, "raise vm.max_map_count");
    if (is_limited(tree, "Max address space", &limit) &&
        read_bytes(tree, "proc/self/status", "VmSize", &used) && used + more > limit)
        return full("bytes of address space", limit, "raise it (ulimit -v)");
    if (is_limited(tree, "Max data size", &limit) &&
        read_bytes(tree, "proc/self/status", "VmData", &used) && used + more > limit)
        return full("bytes of private memory", limit, "raise it (ulimit -d)");
    if (has_promised_all(tree, more, &limit))
        return full("bytes promised on the host", limit, "set vm.overcommit_memory=0");
    if (nv_cgroup_find_limit(tree, NV_LIMITED_MEMORY, &group) == 0 && group.limit != UINT64_MAX &&
        group.used + MEMORY_NEAR >= group.limit)
        return full("bytes of memory of this cgroup", group.limit,
                    "raise memory.max, or MemoryMax= of the service");
    return nv_text("%s", otherwise);
}

struct nv_text nv_limit_find(const struct nv_tree *tree, int sys_errno, uint64_t wanted,
                             const char *otherwise)
{
    if (sys_errno == EAGAIN)
        return find_threads(tree, otherwise);
    if (sys_errno == ENOMEM)
        return find_memory(tree, wanted, otherwise);
    return nv_text("%s", otherwise);
}

/* Without a descriptor nothing can be looked up, but then it is plain which limit it was. */
struct nv_text nv_limit_hint(int sys_errno, uint64_t wanted, const char *otherwise)
{
    struct nv_text text;
    struct nv_tree tree;

    if (sys_errno == EMFILE)
        return nv_text("the limit on open files of this process is reached: raise it (ulimit -n, "
                       "or LimitNOFILE=)");
    if (sys_errno == ENFILE)
        return nv_text("the host's limit on open files is reached: raise fs.file-max");
    if (nv_tree_open(NULL, &tree, NULL) < 0)
        return nv_text("%s", otherwise);
    text = nv_limit_find(&tree, sys_errno, wanted, otherwise);
    nv_tree_close(&tree);
    return text;
}
