/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the reading of the limits that cgroups put on this process. */
#include "host/cgroup_limit.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "core/util.h"
#include "host/facts.h"

enum { PATH_LENGTH = 1024, DEPTH_MAX = 64 };

/* Version 1 says "no limit" by the largest number of whole pages. */
#define LARGE (1ull << 62)

/*
 * A line of memory.stat: parts halves of it count as used but come back under pressure. As the
 * kernel estimates MemAvailable: the whole file cache, without what has to be written first, and
 * half of the slabs that can shrink. Locked pages and tmpfs are in neither list of files.
 */
struct share {
    const char *key;
    int parts;
};

enum { SHARES = 5, WHOLE = 2 };

struct names {
    const char *controller;
    const char *limit;
    const char *used;
    struct share shares[SHARES];
};

static const struct names version_1[] = {
    [NV_LIMITED_PIDS] = { "pids", "pids.max", "pids.current", { { NULL, 0 } } },
    [NV_LIMITED_MEMORY] = { "memory",
                            "memory.limit_in_bytes",
                            "memory.usage_in_bytes",
                            { { "total_active_file", WHOLE },
                              { "total_inactive_file", WHOLE },
                              { "total_dirty", -WHOLE },
                              { "total_writeback", -WHOLE } } },
};

static const struct names version_2[] = {
    [NV_LIMITED_PIDS] = { "pids", "pids.max", "pids.current", { { NULL, 0 } } },
    [NV_LIMITED_MEMORY] = { "memory",
                            "memory.max",
                            "memory.current",
                            { { "active_file", WHOLE },
                              { "inactive_file", WHOLE },
                              { "file_dirty", -WHOLE },
                              { "file_writeback", -WHOLE },
                              { "slab_reclaimable", 1 } } },
};

/* The process's cgroups; "": none. */
struct own {
    const char *controller;
    char first[PATH_LENGTH]; /* of the controller's hierarchy of version 1 */
    char second[PATH_LENGTH];
};

/* "8:pids:/a/b" or "0::/a/b" (cgroups(7)). */
static int match_own(void *data, const char *line)
{
    struct own *own = data;
    const char *list = strchr(line, ':');
    const char *path = list ? strchr(list + 1, ':') : NULL;
    char controllers[256];

    if (!path || path[1] != '/')
        return 0;
    snprintf(controllers, sizeof(controllers), "%.*s", (int)(path - list - 1), list + 1);
    if (!controllers[0])
        snprintf(own->second, sizeof(own->second), "%s", path + 1);
    else if (nv_facts_has_word(controllers, own->controller))
        snprintf(own->first, sizeof(own->first), "%s", path + 1);
    return 0;
}

static bool read_number(const struct nv_tree *tree, const char *folder, const char *path,
                        const char *file, uint64_t *ret_value)
{
    char name[PATH_LENGTH + 128];
    char text[64];

    snprintf(name, sizeof(name), "%s%s/%s", folder, path, file);
    if (nv_facts_text(tree, name, text, sizeof(text)) < 0)
        return false;
    if (strcmp(text, "max") == 0) {
        *ret_value = UINT64_MAX;
        return true;
    }
    if (!nv_facts_number(text, ret_value))
        return false;
    if (*ret_value >= LARGE)
        *ret_value = UINT64_MAX;
    return true;
}

struct cache {
    const struct share *shares;
    uint64_t clean;
    uint64_t busy;
};

static int match_share(void *data, const char *line)
{
    struct cache *cache = data;

    for (int i = 0; i < SHARES && cache->shares[i].key; i++) {
        const struct share *share = &cache->shares[i];
        size_t length = strlen(share->key);
        uint64_t value;

        if (strncmp(line, share->key, length) != 0 || line[length] != ' ' ||
            !nv_facts_number(line + length, &value) || value >= LARGE)
            continue;
        if (share->parts > 0)
            cache->clean += value / WHOLE * (uint64_t)share->parts;
        else
            cache->busy += value;
        break;
    }
    return 0;
}

static uint64_t read_used(const struct nv_tree *tree, const char *folder, const char *path,
                          const struct names *names)
{
    struct cache cache = { .shares = names->shares };
    char name[PATH_LENGTH + 128];
    uint64_t used = 0;

    if (!read_number(tree, folder, path, names->used, &used))
        return 0;
    snprintf(name, sizeof(name), "%s%s/memory.stat", folder, path);
    if (names->shares[0].key && nv_facts_lines(tree, name, match_share, &cache) >= 0 &&
        cache.clean > cache.busy)
        used -= NV_MIN(cache.clean - cache.busy, used);
    return used;
}

static uint64_t left_of(const struct nv_cgroup_limit *limit)
{
    if (limit->limit == UINT64_MAX)
        return UINT64_MAX;
    return limit->limit > limit->used ? limit->limit - limit->used : 0;
}

/* From the process's cgroup up to the root of what is mounted; path is used up. */
static void walk_up(const struct nv_tree *tree, const char *folder, char *path,
                    const struct names *names, struct nv_cgroup_limit *tightest)
{
    for (int depth = 0; depth < DEPTH_MAX; depth++) {
        struct nv_cgroup_limit here;
        char *slash = strrchr(path, '/');

        if (slash && slash[1] == '\0') {
            *slash = '\0';
            slash = strrchr(path, '/');
        }
        if (read_number(tree, folder, path, names->limit, &here.limit)) {
            here.used = read_used(tree, folder, path, names);
            if (left_of(&here) < left_of(tightest))
                *tightest = here;
        }
        if (!slash)
            break;
        *slash = '\0';
    }
}

int nv_cgroup_find_limit(const struct nv_tree *tree, enum nv_limited what,
                         struct nv_cgroup_limit *ret_limit)
{
    struct own own = { .controller = version_1[what].controller };
    struct nv_cgroup_limit tightest = { .limit = UINT64_MAX };
    char folder[64];
    int r = nv_facts_lines(tree, "proc/self/cgroup", match_own, &own);

    if (r < 0)
        return r;
    if (own.first[0]) {
        snprintf(folder, sizeof(folder), "sys/fs/cgroup/%s", own.controller);
        walk_up(tree, folder, own.first, &version_1[what], &tightest);
    } else if (own.second[0]) {
        walk_up(tree, "sys/fs/cgroup", own.second, &version_2[what], &tightest);
    }
    *ret_limit = tightest;
    return 0;
}
