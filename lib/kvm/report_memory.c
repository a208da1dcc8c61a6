/* SPDX-License-Identifier: Apache-2.0 */
/* Owns what the report says of memory: how much, merging, nodes, huge pages. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/error.h"
#include "core/util.h"
#include "kvm/report.h"

#define HUGE_PAGES "sys/kernel/mm/hugepages"

/* A number of proc/meminfo, which has KiB. */
static void add_meminfo(struct nv_survey *survey, const char *name, const char *title,
                        const char *key, enum nv_room_kind room)
{
    struct nv_fact fact = { .source = nv_report_text(survey, "/proc/meminfo, %s", key) };
    char text[64];
    uint64_t kib;
    int r = nv_facts_field(&survey->tree, "proc/meminfo", key, text, sizeof(text));

    if (r == 0 && nv_facts_number(text, &kib) && kib <= UINT64_MAX / 1024) {
        fact.answer = kib ? NESTVIRT_ANSWER_YES : NESTVIRT_ANSWER_NO;
        fact.number = kib * 1024;
        fact.value = nv_report_text(survey, "%llu MiB", (unsigned long long)kib / 1024);
    } else {
        fact.reason = nv_report_text(survey, "/proc/meminfo %s", nv_report_why(r ? r : -EINVAL));
    }
    if (room != NV_ROOMS)
        survey->report->rooms[room] =
            (struct nv_room){ .item = name, .is_known = fact.answer != 0, .left = fact.number };
    nv_report_add(survey, NESTVIRT_GROUP_MEMORY, name, title, &fact);
}

static void add_ksm(struct nv_survey *survey)
{
    static const char *const modes[] = { "off", "on", "off, all pages taken apart" };
    struct nv_fact fact = { .source = "/sys/kernel/mm/ksm/run" };
    uint64_t run;
    uint64_t sharing;
    int r = nv_tree_read_u64(&survey->tree, "sys/kernel/mm/ksm/run", &run);

    if (r == 0 && run < NV_ARRAY_SIZE(modes)) {
        fact.answer = NESTVIRT_ANSWER_YES;
        fact.value = modes[run];
        if (run == 1 &&
            nv_tree_read_u64(&survey->tree, "sys/kernel/mm/ksm/pages_sharing", &sharing) == 0) {
            fact.number = sharing;
            fact.value =
                nv_report_text(survey, "on, %llu pages saved", (unsigned long long)sharing);
        }
        if (run != 1)
            fact.remedy = "echo 1 > /sys/kernel/mm/ksm/run, if guests may know of each other";
    } else if (r == -ENOENT) {
        fact.answer = NESTVIRT_ANSWER_NO;
        fact.reason = "this kernel has none";
    } else {
        fact.reason = nv_report_why(r ? r : -EINVAL);
    }
    nv_report_add(survey, NESTVIRT_GROUP_MEMORY, "memory.ksm", "KSM, merging of equal pages",
                  &fact);
}

static void add_nodes(struct nv_survey *survey)
{
    struct nv_fact fact = { .source = "/sys/devices/system/node/online" };
    char text[64];
    struct nv_set *nodes = calloc(1, sizeof(*nodes));
    int r = -ENOMEM;

    if (nodes)
        r = nv_tree_read_list(&survey->tree, "sys/devices/system/node/online", nodes);
    if (r == 0 && !nv_set_is_empty(nodes)) {
        fact.answer = NESTVIRT_ANSWER_YES;
        fact.number = nv_set_count(nodes);
        nv_list_format(nodes, text, sizeof(text));
        fact.value = nv_report_text(survey, "%llu (%s)", (unsigned long long)fact.number, text);
    } else if (r == -ENOENT) {
        fact.answer = NESTVIRT_ANSWER_NO;
        fact.number = 1;
        fact.value = "1";
        fact.reason = "this kernel knows no nodes";
    } else {
        fact.reason = nv_report_why(r ? r : -EINVAL);
    }
    free(nodes);
    nv_report_add(survey, NESTVIRT_GROUP_MEMORY, "memory.nodes", "NUMA nodes", &fact);
}

/* "always [madvise] never": what stands in brackets. */
static void add_transparent(struct nv_survey *survey)
{
    struct nv_fact fact = { .source = "/sys/kernel/mm/transparent_hugepage/enabled" };
    char text[128];
    char *start;
    char *end;
    int r = nv_facts_text(&survey->tree, "sys/kernel/mm/transparent_hugepage/enabled", text,
                          sizeof(text));

    start = r == 0 ? strchr(text, '[') : NULL;
    end = start ? strchr(start, ']') : NULL;
    if (end) {
        *end = '\0';
        fact.value = nv_report_text(survey, "%s", start + 1);
        fact.answer = strcmp(start + 1, "never") ? NESTVIRT_ANSWER_YES : NESTVIRT_ANSWER_NO;
        if (fact.answer == NESTVIRT_ANSWER_NO)
            fact.remedy = "echo madvise > /sys/kernel/mm/transparent_hugepage/enabled";
    } else if (r == -ENOENT) {
        fact.answer = NESTVIRT_ANSWER_NO;
        fact.reason = "this kernel has none";
    } else {
        fact.reason = nv_report_why(r ? r : -EINVAL);
    }
    nv_report_add(survey, NESTVIRT_GROUP_MEMORY, "memory.transparent_huge_pages",
                  "transparent huge pages", &fact);
}

/* Sizes in KiB, in ascending order; a folder may list them in any. */
struct sizes {
    uint32_t count;
    uint64_t kib[16]; /* processors have at most a few */
};

static int note_size(void *data, const char *name)
{
    struct sizes *sizes = data;
    unsigned long long kib;
    uint32_t place;

    if (sscanf(name, "hugepages-%llukB", &kib) != 1 || sizes->count == NV_ARRAY_SIZE(sizes->kib))
        return 0;
    for (place = sizes->count++; place > 0 && sizes->kib[place - 1] > kib; place--)
        sizes->kib[place] = sizes->kib[place - 1];
    sizes->kib[place] = kib;
    return 0;
}

static void add_pool(struct nv_survey *survey, uint64_t kib)
{
    const unsigned long long size = kib;
    const struct nv_text folder = nv_text(HUGE_PAGES "/hugepages-%llukB", size);
    struct nv_fact fact = { .source = nv_report_text(survey, "/%s", folder.s) };
    uint64_t total;
    uint64_t free_pages;
    int r = nv_tree_read_u64(&survey->tree, nv_text("%s/nr_hugepages", folder.s).s, &total);

    if (r == 0)
        r = nv_tree_read_u64(&survey->tree, nv_text("%s/free_hugepages", folder.s).s, &free_pages);
    if (r == 0) {
        fact.answer = free_pages ? NESTVIRT_ANSWER_YES : NESTVIRT_ANSWER_NO;
        fact.number = free_pages;
        fact.value = nv_report_text(survey, "%llu of %llu free", (unsigned long long)free_pages,
                                    (unsigned long long)total);
        if (!free_pages)
            fact.remedy = nv_report_text(survey, "echo NUMBER > /%s/nr_hugepages", folder.s);
    } else {
        fact.reason = nv_report_why(r);
    }
    nv_report_add(
        survey, NESTVIRT_GROUP_MEMORY, nv_report_text(survey, "memory.huge_pages.%llukB", size),
        size % 1048576 == 0 ? nv_report_text(survey, "huge pages of %llu GiB", size / 1048576)
                            : nv_report_text(survey, "huge pages of %llu MiB", size / 1024),
        &fact);
}

static void add_pools(struct nv_survey *survey)
{
    struct sizes sizes = { 0 };
    int r = nv_facts_entries(&survey->tree, HUGE_PAGES, note_size, &sizes);
    struct nv_fact fact = { .answer = sizes.count ? NESTVIRT_ANSWER_YES : NESTVIRT_ANSWER_NO,
                            .number = sizes.count,
                            .source = "/" HUGE_PAGES };

    if (r < 0 && r != -ENOENT) {
        fact.answer = NESTVIRT_ANSWER_UNKNOWN;
        fact.reason = nv_report_why(r);
    } else if (!sizes.count) {
        fact.reason = "this kernel has none";
    }
    fact.value = nv_report_text(survey, "%u", sizes.count);
    nv_report_add(survey, NESTVIRT_GROUP_MEMORY, "memory.huge_page_sizes", "sizes of huge pages",
                  &fact);
    for (uint32_t i = 0; i < sizes.count; i++)
        add_pool(survey, sizes.kib[i]);
}

void nv_survey_memory(struct nv_survey *survey)
{
    add_meminfo(survey, "memory.total", "memory", "MemTotal", NV_ROOMS);
    add_meminfo(survey, "memory.available", "memory that can be had", "MemAvailable",
                NV_ROOM_MEMORY);
    add_meminfo(survey, "memory.swap", "free swap", "SwapFree", NV_ROOMS);
    add_ksm(survey);
    add_nodes(survey);
    add_transparent(survey);
    add_pools(survey);
}
