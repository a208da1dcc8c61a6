/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the host's KSM: its settings and figures in the kernel's files. */
#include "host/ksm.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/cleanup.h"
#include "core/error.h"
#include "core/util.h"

static const char folder[] = "sys/kernel/mm/ksm";

/* One setting; in the order of their bits. */
struct knob {
    const char *name;
    size_t offset;
    uint32_t min;
    uint32_t max;
};

#define KNOB(NAME, MEMBER, MIN, MAX)                                         \
    {                                                                        \
        (NAME), offsetof(struct nestvirt_ksm_settings, MEMBER), (MIN), (MAX) \
    }

static const struct knob knobs[] = {
    KNOB("run", run, 0, NESTVIRT_KSM_UNMERGE),
    KNOB("pages_to_scan", pages_to_scan, 1, UINT32_MAX),
    KNOB("sleep_millisecs", sleep_ms, 0, UINT32_MAX),
    KNOB("merge_across_nodes", merge_across_nodes, 0, 1),
    KNOB("use_zero_pages", use_zero_pages, 0, 1),
    KNOB("max_page_sharing", max_page_sharing, 2, INT32_MAX),
    KNOB("smart_scan", smart_scan, 0, 1),
    KNOB("advisor_mode", advisor_mode, 0, NESTVIRT_KSM_ADVISOR_SCAN_TIME),
    KNOB("advisor_max_cpu", advisor_max_cpu, 1, 100),
    KNOB("advisor_min_pages_to_scan", advisor_min_pages, 1, UINT32_MAX),
    KNOB("advisor_max_pages_to_scan", advisor_max_pages, 1, UINT32_MAX),
    KNOB("advisor_target_scan_time", advisor_target_s, 1, UINT32_MAX),
};

enum { KNOBS = NV_ARRAY_SIZE(knobs), ALL_FLAGS = (1 << KNOBS) - 1 };

static const char *const advisors[] = { "none", "scan-time" };

static uint32_t *value_of(struct nestvirt_ksm_settings *settings, unsigned knob)
{
    return (uint32_t *)((uint8_t *)settings + knobs[knob].offset);
}

static uint32_t get_value(const struct nestvirt_ksm_settings *settings, unsigned knob)
{
    return *(const uint32_t *)((const uint8_t *)settings + knobs[knob].offset);
}

static struct nv_text path_of(const char *name)
{
    return nv_text("%s/%s", folder, name);
}

static bool is_advisor(unsigned knob)
{
    return 1u << knob == NESTVIRT_KSM_ADVISOR_MODE;
}

/* The advisor's file lists all and puts the chosen one into brackets. */
static int read_advisor(const struct nv_tree *tree, uint32_t *ret_value)
{
    char text[128];
    ssize_t length = nv_tree_read(tree, path_of("advisor_mode").s, text, sizeof(text));

    if (length < 0)
        return (int)length;
    for (uint32_t i = 0; i < NV_ARRAY_SIZE(advisors); i++) {
        if (strstr(text, nv_text("[%s]", advisors[i]).s)) {
            *ret_value = i;
            return 0;
        }
    }
    return -EINVAL;
}

static int read_knob(const struct nv_tree *tree, unsigned knob, uint32_t *ret_value)
{
    uint64_t value;
    int r;

    if (is_advisor(knob))
        return read_advisor(tree, ret_value);
    r = nv_tree_read_u64(tree, path_of(knobs[knob].name).s, &value);
    if (r < 0)
        return r;
    *ret_value = (uint32_t)NV_MIN(value, (uint64_t)UINT32_MAX);
    return 0;
}

static int check_there(const struct nv_tree *tree, struct nestvirt_error **ret_error)
{
    NV_AUTO_FD fd = nv_tree_open_at(tree, path_of("run").s, O_RDONLY);

    if (fd >= 0)
        return 0;
    if (fd == -ENOENT || fd == -ENOTDIR)
        return nv_fail(ret_error, -ENOTSUP, "KSM", "use a kernel with CONFIG_KSM, and mount /sys",
                       "this host has none");
    return nv_fail_sys(ret_error, -fd, "KSM", "open", "check who may read /sys");
}

int nv_ksm_read(const struct nv_tree *tree, struct nestvirt_ksm_settings *ret_settings,
                struct nestvirt_error **ret_error)
{
    struct nestvirt_ksm_settings settings = { .size = sizeof(settings) };
    int r = check_there(tree, ret_error);

    if (r < 0)
        return r;
    for (unsigned i = 0; i < KNOBS; i++) {
        r = read_knob(tree, i, value_of(&settings, i));
        if (r == 0)
            settings.flags |= 1u << i;
        else if (r != -ENOENT && r != -EINVAL) /* an advisor of later kernels is not known */
            return nv_fail_sys(ret_error, -r, nv_text("KSM: %s", knobs[i].name).s, "read",
                               "check who may read /sys/kernel/mm/ksm");
    }
    *ret_settings = settings;
    return 0;
}

int nv_ksm_read_stats(const struct nv_tree *tree, struct nestvirt_ksm_stats *ret_stats,
                      struct nestvirt_error **ret_error)
{
    static const struct {
        const char *name;
        size_t offset;
    } rows[] = {
        { "pages_shared", offsetof(struct nestvirt_ksm_stats, pages_shared) },
        { "pages_sharing", offsetof(struct nestvirt_ksm_stats, pages_sharing) },
        { "pages_unshared", offsetof(struct nestvirt_ksm_stats, pages_unshared) },
        { "pages_volatile", offsetof(struct nestvirt_ksm_stats, pages_volatile) },
        { "full_scans", offsetof(struct nestvirt_ksm_stats, full_scans) },
        { "pages_scanned", offsetof(struct nestvirt_ksm_stats, pages_scanned) },
        { "pages_skipped", offsetof(struct nestvirt_ksm_stats, pages_skipped) },
        { "ksm_zero_pages", offsetof(struct nestvirt_ksm_stats, zero_pages) },
        { "general_profit", offsetof(struct nestvirt_ksm_stats, general_profit) },
    };
    struct nestvirt_ksm_stats stats = { .size = sizeof(stats) };
    int r = check_there(tree, ret_error);

    if (r < 0)
        return r;
    for (size_t i = 0; i < NV_ARRAY_SIZE(rows); i++) {
        char text[32];
        char *end;
        ssize_t length = nv_tree_read(tree, path_of(rows[i].name).s, text, sizeof(text));
        long long value;

        if (length <= 0)
            continue;
        errno = 0;
        value = strtoll(text, &end, 10); /* the profit may be a loss */
        if (errno || end == text || (*end && *end != '\n'))
            continue;
        memcpy((uint8_t *)&stats + rows[i].offset, &value, sizeof(value));
        stats.flags |= 1u << i;
    }
    *ret_stats = stats;
    return 0;
}

int nv_ksm_check(const struct nestvirt_ksm_settings *settings, struct nestvirt_error **ret_error)
{
    const uint32_t both = NESTVIRT_KSM_ADVISOR_MIN_PAGES | NESTVIRT_KSM_ADVISOR_MAX_PAGES;

    if (settings->flags == 0 || settings->flags & ~(uint32_t)ALL_FLAGS)
        return nv_fail(ret_error, -EINVAL, "KSM", "use NESTVIRT_KSM_*", "no or unknown flags 0x%x",
                       settings->flags);
    for (unsigned i = 0; i < KNOBS; i++) {
        uint32_t value = get_value(settings, i);

        if (!(settings->flags & 1u << i) || (value >= knobs[i].min && value <= knobs[i].max))
            continue;
        return nv_fail(ret_error, -EINVAL, nv_text("KSM: %s", knobs[i].name).s,
                       nv_text("use %u to %u", knobs[i].min, knobs[i].max).s, "cannot be %u",
                       value);
    }
    if ((settings->flags & both) == both &&
        settings->advisor_min_pages > settings->advisor_max_pages)
        return nv_fail(ret_error, -EINVAL, "KSM", "exchange them",
                       "advisor_min_pages is above advisor_max_pages");
    return 0;
}

static const char *hint_of(int code, unsigned knob)
{
    uint32_t flag = 1u << knob;

    if (code == -EACCES || code == -EPERM)
        return "only root may change it";
    if (code == -EROFS)
        return "mount /sys writable";
    if (code == -EBUSY &&
        (flag & (NESTVIRT_KSM_MERGE_ACROSS_NODES | NESTVIRT_KSM_MAX_PAGE_SHARING)))
        return "it can only change while no page is merged: set run to NESTVIRT_KSM_UNMERGE first";
    if (code == -EINVAL && flag == NESTVIRT_KSM_PAGES_TO_SCAN)
        return "an advisor may be choosing it: set advisor_mode to NESTVIRT_KSM_ADVISOR_NONE";
    return "see the kernel's documentation, admin-guide/mm/ksm";
}

static int write_knob(const struct nv_tree *tree, unsigned knob, uint32_t value,
                      struct nestvirt_error **ret_error)
{
    const struct nv_text text =
        is_advisor(knob) ? nv_text("%s\n", advisors[value]) : nv_text("%u\n", value);
    int r = nv_tree_write(tree, path_of(knobs[knob].name).s, text.s);

    if (r == -ENOENT)
        return nv_fail(ret_error, -ENOTSUP, nv_text("KSM: %s", knobs[knob].name).s,
                       "use a later kernel, or leave it out", "this kernel does not have it");
    if (r < 0)
        return nv_fail_sys(ret_error, -r, nv_text("KSM: %s", knobs[knob].name).s, "write",
                           hint_of(r, knob));
    return 0;
}

/* Unmerges all for a moment, so that what merged pages forbid can be written. */
static int write_unmerged(const struct nv_tree *tree, unsigned knob, uint32_t value,
                          struct nestvirt_error **ret_error)
{
    char run[8];
    ssize_t length = nv_tree_read(tree, path_of("run").s, run, sizeof(run));
    int r;

    if (length < 0 || nv_tree_write(tree, path_of("run").s, "2\n") < 0)
        return write_knob(tree, knob, value, ret_error);
    r = write_knob(tree, knob, value, ret_error);
    nv_tree_write(tree, path_of("run").s, run);
    return r;
}

/* Only if it is to change. is_return: former settings are put back. */
static int change_knob(const struct nv_tree *tree, unsigned knob, uint32_t value, bool is_return,
                       struct nestvirt_error **ret_error)
{
    struct nestvirt_error *error = NULL;
    uint32_t now;
    int r = read_knob(tree, knob, &now);

    if (r == 0 && now == value)
        return 0;
    r = write_knob(tree, knob, value, &error);
    if (r == -EBUSY && is_return) {
        nv_error_free(error);
        return write_unmerged(tree, knob, value, ret_error);
    }
    if (ret_error)
        *ret_error = error;
    else
        nv_error_free(error);
    return r;
}

/*
 * Stopping and unmerging come first, an advisor goes before what it would choose; what is begun
 * comes last.
 */
static unsigned stage_of(const struct nestvirt_ksm_settings *settings, unsigned knob)
{
    uint32_t flag = 1u << knob;

    if (flag == NESTVIRT_KSM_RUN)
        return settings->run == NESTVIRT_KSM_MERGE ? 4 : 0;
    if (flag == NESTVIRT_KSM_ADVISOR_MODE)
        return settings->advisor_mode == NESTVIRT_KSM_ADVISOR_NONE ? 1 : 3;
    return 2;
}

/* The first failure; if former settings are put back, the others are too. */
static int apply_stage(const struct nv_tree *tree, const struct nestvirt_ksm_settings *settings,
                       unsigned stage, bool is_return, struct nestvirt_error **ret_error)
{
    int result = 0;

    for (unsigned i = 0; i < KNOBS && (result == 0 || is_return); i++) {
        int r;

        if (!(settings->flags & 1u << i) || stage_of(settings, i) != stage)
            continue;
        r = change_knob(tree, i, get_value(settings, i), is_return, result == 0 ? ret_error : NULL);
        if (result == 0)
            result = r;
    }
    return result;
}

int nv_ksm_apply(const struct nv_tree *tree, const struct nestvirt_ksm_settings *settings,
                 bool is_return, struct nestvirt_error **ret_error)
{
    enum { STAGES = 5 };
    int result = 0;

    for (unsigned stage = 0; stage < STAGES && (result == 0 || is_return); stage++) {
        int r = apply_stage(tree, settings, stage, is_return, result == 0 ? ret_error : NULL);

        if (result == 0)
            result = r;
    }
    return result;
}

/* What is not a number to the kernel; others may have values that this library would not set. */
static bool is_word(unsigned knob)
{
    return is_advisor(knob) || 1u << knob == NESTVIRT_KSM_RUN;
}

bool nv_ksm_parse_line(const char *line, struct nestvirt_ksm_settings *settings)
{
    char name[32];
    unsigned value;
    int used = 0;

    if (sscanf(line, "%31[a-z_] %10u%n", name, &value, &used) != 2 || line[used] != '\0')
        return false;
    for (unsigned i = 0; i < KNOBS; i++) {
        if (strcmp(name, knobs[i].name) != 0)
            continue;
        if (settings->flags & 1u << i || (is_word(i) && value > knobs[i].max))
            return false;
        *value_of(settings, i) = value;
        settings->flags |= 1u << i;
        return true;
    }
    return false;
}

int nv_ksm_print(const struct nestvirt_ksm_settings *settings, char *text, size_t size)
{
    size_t used = 0;

    for (unsigned i = 0; i < KNOBS; i++) {
        int length;

        if (!(settings->flags & 1u << i))
            continue;
        length =
            snprintf(text + used, size - used, "%s %u\n", knobs[i].name, get_value(settings, i));
        if (length < 0 || (size_t)length >= size - used)
            return -ENOSPC;
        used += (size_t)length;
    }
    return (int)used;
}
