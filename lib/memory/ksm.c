/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the report of what KSM has merged. */
#include "memory/ksm.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/cleanup.h"
#include "core/util.h"
#include "host/tree.h"
#include "memory/region.h"

/* A line of smaps is cut to this: only a mapping's name is ever longer. */
enum { LINE_MAX_KEPT = 160, READ_SIZE = 16 * 1024 };

/* What was read of a process's smaps so far. */
struct scan {
    const struct nv_memory *memory;
    uint32_t region; /* NESTVIRT_MEMORY_EVERY */
    bool is_within;  /* the mapping at hand is one of the regions' */
    bool has_other;  /* a mapping holds more than a region's pages */
    uint32_t mappings;
    uint32_t counts; /* of those, with a line "KSM:" */
    uint64_t merged_bytes;
};

static bool is_wanted(const struct nv_memory_region *region, uint32_t number, uint32_t wanted)
{
    return region->used && (wanted == NESTVIRT_MEMORY_EVERY || wanted == number);
}

/* The beginning of a mapping: which region is it of? */
static void begin_mapping(struct scan *scan, uint64_t start, uint64_t end)
{
    scan->is_within = false;
    if (start >= end)
        return;
    for (uint32_t i = 0; i < NV_MEMORY_REGIONS_MAX; i++) {
        const struct nv_memory_region *region = &scan->memory->regions[i];
        uint64_t first = (uintptr_t)region->host;
        uint64_t last = first + region->config.length;

        if (!is_wanted(region, i, scan->region) || !nv_region_is_mergeable(region) ||
            !nv_ranges_overlap(start, end - start, first, last - first))
            continue;
        if (start < first || end > last) {
            scan->has_other = true;
            continue;
        }
        scan->is_within = true;
        scan->mappings++;
        return;
    }
}

static void take_line(struct scan *scan, const char *line)
{
    unsigned long long start;
    unsigned long long end;
    unsigned long long kib;

    if (sscanf(line, "%llx-%llx ", &start, &end) == 2) {
        begin_mapping(scan, start, end);
    } else if (scan->is_within && sscanf(line, "KSM: %llu kB", &kib) == 1) {
        scan->counts++;
        scan->merged_bytes += NV_KIB(kib);
    }
}

/* Cuts what was read into lines; a rest waits in line. */
static void take_bytes(struct scan *scan, const char *bytes, size_t count, char *line,
                       size_t *length)
{
    for (size_t i = 0; i < count; i++) {
        if (bytes[i] != '\n') {
            if (*length + 1 < LINE_MAX_KEPT)
                line[(*length)++] = bytes[i];
            continue;
        }
        line[*length] = '\0';
        take_line(scan, line);
        *length = 0;
    }
}

/* smaps may be long, and the kernel walks all page tables for it: read it bit by bit. */
static int scan_smaps(struct scan *scan, const struct nv_tree *tree)
{
    NV_AUTO_FREE char *bytes = malloc(READ_SIZE);
    NV_AUTO_FD fd = nv_tree_open_at(tree, "proc/self/smaps", O_RDONLY);
    char line[LINE_MAX_KEPT];
    size_t length = 0;

    if (!bytes)
        return -ENOMEM;
    if (fd < 0)
        return fd;
    for (;;) {
        ssize_t n = read(fd, bytes, READ_SIZE);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? -errno : 0;
        take_bytes(scan, bytes, (size_t)n, line, &length);
    }
}

/* Reads the counters of the whole process that this kernel has. */
static void read_process(const struct nv_tree *tree, struct nestvirt_memory_ksm *ksm)
{
    const struct {
        const char *name;
        uint32_t flag;
        void *value; /* 64 bits */
    } rows[] = {
        { "ksm_merging_pages ", NESTVIRT_MEMORY_KSM_MERGING_PAGES, &ksm->process_merging_pages },
        { "ksm_zero_pages ", NESTVIRT_MEMORY_KSM_ZERO_PAGES, &ksm->process_zero_pages },
        { "ksm_rmap_items ", NESTVIRT_MEMORY_KSM_RMAP_ITEMS, &ksm->process_rmap_items },
        { "ksm_process_profit ", NESTVIRT_MEMORY_KSM_PROFIT, &ksm->process_profit },
    };
    char text[1024];

    if (nv_tree_read(tree, "proc/self/ksm_stat", text, sizeof(text)) <= 0)
        return;
    for (size_t i = 0; i < NV_ARRAY_SIZE(rows); i++) {
        const char *at = strstr(text, rows[i].name);
        long long value;

        if (!at || sscanf(at + strlen(rows[i].name), "%lld", &value) != 1)
            continue;
        memcpy(rows[i].value, &value, sizeof(value));
        ksm->flags |= rows[i].flag;
    }
}

static void read_host(const struct nv_tree *tree, struct nestvirt_memory_ksm *ksm)
{
    uint64_t run;

    if (nv_tree_read_u64(tree, "sys/kernel/mm/ksm/run", &run) < 0)
        return;
    ksm->host_run = (uint32_t)run;
    ksm->flags |= NESTVIRT_MEMORY_KSM_HOST_RUN;
}

static int read_merged(const struct nv_memory *memory, const struct nv_tree *tree, uint32_t region,
                       struct nestvirt_memory_ksm *ksm)
{
    struct scan scan = { .memory = memory, .region = region };
    int r = ksm->mergeable_bytes ? scan_smaps(&scan, tree) : 0; /* else nothing is merged */

    if (r == -ENOMEM || r == -EMFILE || r == -ENFILE)
        return r;
    if (r < 0 || scan.has_other || scan.counts != scan.mappings)
        return 0;
    ksm->merged_bytes = scan.merged_bytes;
    ksm->flags |= NESTVIRT_MEMORY_KSM_MERGED;
    return 0;
}

int nv_memory_get_ksm(const struct nv_memory *memory, const char *root, uint32_t region,
                      struct nestvirt_memory_ksm *ret_ksm, struct nestvirt_error **ret_error)
{
    struct nestvirt_memory_ksm ksm = { .size = ret_ksm->size };
    bool is_known = region == NESTVIRT_MEMORY_EVERY;
    struct nv_tree tree;
    int r;

    for (uint32_t i = 0; i < NV_MEMORY_REGIONS_MAX; i++) {
        if (!is_wanted(&memory->regions[i], i, region))
            continue;
        is_known = true;
        if (nv_region_is_mergeable(&memory->regions[i]))
            ksm.mergeable_bytes += memory->regions[i].config.length;
    }
    if (!is_known)
        return nv_fail(ret_error, -ENOENT, nv_region_name(region).s,
                       "use a number nestvirt_memory_add returned", "does not exist");
    r = nv_tree_open(root, &tree, ret_error);
    if (r < 0)
        return r;
    r = read_merged(memory, &tree, region, &ksm);
    read_process(&tree, &ksm);
    read_host(&tree, &ksm);
    nv_tree_close(&tree);
    if (r < 0)
        return nv_fail_sys(ret_error, -r, "/proc/self/smaps", "read",
                           "free memory, or raise the limit on open files");
    *ret_ksm = ksm;
    return 0;
}
