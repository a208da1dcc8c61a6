/* SPDX-License-Identifier: Apache-2.0 */
/* Owns what the report says of limits that many VMs run into, and of what is in use. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/error.h"
#include "core/util.h"
#include "host/cgroup_limit.h"
#include "host/limits.h"
#include "kvm/report.h"

/* What stands in an item of a limit, and is left for a plan. */
struct row {
    const char *name;
    const char *title;
    const char *source;
    const char *remedy;
    enum nv_room_kind room; /* NV_ROOMS: none */
};

static const char *amount(struct nv_survey *survey, uint64_t limit)
{
    if (limit == UINT64_MAX)
        return "unlimited";
    return nv_report_text(survey, "%llu", (unsigned long long)limit);
}

/* used UINT64_MAX: unknown, which counts as none. */
static void add_limit(struct nv_survey *survey, const struct row *row, uint64_t limit,
                      uint64_t used, const char *reason)
{
    const bool has_used = used != UINT64_MAX;
    struct nv_fact fact = {
        .answer = limit == UINT64_MAX ? NESTVIRT_ANSWER_NO : NESTVIRT_ANSWER_YES,
        .number = limit,
        .value = amount(survey, limit),
        .reason = reason,
        .source = row->source,
        .remedy = limit == UINT64_MAX ? "" : row->remedy,
    };

    if (has_used && limit != UINT64_MAX)
        fact.value =
            nv_report_text(survey, "%s, %llu in use", fact.value, (unsigned long long)used);
    if (row->room != NV_ROOMS) {
        struct nv_room *room = &survey->report->rooms[row->room];

        *room = (struct nv_room){ .item = row->name, .is_known = true, .left = limit };
        if (has_used && limit != UINT64_MAX)
            room->left = limit > used ? limit - used : 0;
    }
    nv_report_add(survey, NESTVIRT_GROUP_LIMIT, row->name, row->title, &fact);
}

static void add_unknown(struct nv_survey *survey, const struct row *row, int code)
{
    const struct nv_fact fact = { .reason = nv_report_why(code), .source = row->source };

    if (row->room != NV_ROOMS)
        survey->report->rooms[row->room] = (struct nv_room){ .item = row->name };
    nv_report_add(survey, NESTVIRT_GROUP_LIMIT, row->name, row->title, &fact);
}

/* One of proc/self/limits. */
static void add_own(struct nv_survey *survey, const struct row *row, const char *limit_name,
                    uint64_t used)
{
    uint64_t soft;
    uint64_t hard;
    int r = nv_facts_limit(&survey->tree, limit_name, &soft, &hard);

    if (r < 0)
        add_unknown(survey, row, r);
    else
        add_limit(survey, row, soft, used,
                  soft < hard ? nv_report_text(survey, "this process may raise it to %s",
                                               amount(survey, hard))
                              : "");
}

/* One that a file holds alone. */
static void add_file(struct nv_survey *survey, const struct row *row, uint64_t used)
{
    uint64_t limit;
    int r = nv_tree_read_u64(&survey->tree, row->source + 1, &limit);

    if (r < 0)
        add_unknown(survey, row, r);
    else
        add_limit(survey, row, limit, used, "");
}

/* Bytes of a field of proc/self/status, UINT64_MAX if it does not tell. */
static uint64_t status_bytes(struct nv_survey *survey, const char *key)
{
    char text[64];
    uint64_t kib;

    if (nv_facts_field(&survey->tree, "proc/self/status", key, text, sizeof(text)) < 0 ||
        !nv_facts_number(text, &kib) || kib > UINT64_MAX / 1024)
        return UINT64_MAX;
    return kib * 1024;
}

static void add_files(struct nv_survey *survey)
{
    static const struct row own = { "limit.open_files", "open files of this process",
                                    "/proc/self/limits, Max open files",
                                    "ulimit -n, or LimitNOFILE= of the service",
                                    NV_ROOM_DESCRIPTORS };
    static const struct row system = { "limit.system_files", "open files of the host",
                                       "/proc/sys/fs/file-nr", "sysctl fs.file-max",
                                       NV_ROOM_SYSTEM_FILES };
    const uint64_t ours =
        survey->is_live ? 2 : 0; /* the tree, and the folder while it is counted */
    unsigned long long used_files;
    unsigned long long limit;
    uint64_t used = UINT64_MAX;
    char text[128];
    int r;

    if (nv_facts_count_entries(&survey->tree, "proc/self/fd", &used) == 0)
        used -= NV_MIN(used, ours);
    add_own(survey, &own, "Max open files", used);
    r = nv_facts_text(&survey->tree, "proc/sys/fs/file-nr", text, sizeof(text));
    if (r == 0 && sscanf(text, "%llu %*u %llu", &used_files, &limit) == 2)
        add_limit(survey, &system, limit > INT64_MAX / 2 ? UINT64_MAX : limit, used_files, "");
    else
        add_unknown(survey, &system, r ? r : -EINVAL);
}

static void add_threads(struct nv_survey *survey)
{
    static const struct row own = { "limit.processes", "threads of this user",
                                    "/proc/self/limits, Max processes",
                                    "ulimit -u, or LimitNPROC= of the service", NV_ROOM_PROCESSES };
    static const struct row threads = { "limit.threads", "threads of the host",
                                        "/proc/sys/kernel/threads-max", "sysctl kernel.threads-max",
                                        NV_ROOM_THREADS };
    static const struct row pids = { "limit.pids", "process ids of the host",
                                     "/proc/sys/kernel/pid_max", "sysctl kernel.pid_max",
                                     NV_ROOM_PIDS };
    static const struct row group = { "limit.cgroup_pids", "threads of this process's cgroup",
                                      "pids.max of the cgroup and those above",
                                      "raise pids.max, or TasksMax= of the service",
                                      NV_ROOM_GROUP_PIDS };
    const uint64_t threads_now = nv_limit_count_threads(&survey->tree);
    const uint64_t used = threads_now ? threads_now : UINT64_MAX;
    struct nv_cgroup_limit limit;
    int r;

    if (nv_limit_is_above_nproc(&survey->tree))
        add_limit(survey, &own, UINT64_MAX, UINT64_MAX, "root and CAP_SYS_RESOURCE are above it");
    else /* of this user, at most as many as of all */
        add_own(survey, &own, "Max processes", used);
    add_file(survey, &threads, used);
    add_file(survey, &pids, used);
    r = nv_cgroup_find_limit(&survey->tree, NV_LIMITED_PIDS, &limit);
    if (r < 0)
        add_unknown(survey, &group, r);
    else
        add_limit(survey, &group, limit.limit, limit.used, "");
}

static void add_mappings(struct nv_survey *survey)
{
    static const struct row row = { "limit.mappings", "mappings of memory of a process",
                                    "/proc/sys/vm/max_map_count", "sysctl vm.max_map_count",
                                    NV_ROOM_MAPPINGS };
    uint64_t used = UINT64_MAX;

    nv_facts_count_lines(&survey->tree, "proc/self/maps", &used);
    add_file(survey, &row, used);
}

/* Memory that was promised: only in mode 2 does the kernel keep count of mappings like a guest's.
 */
static void add_overcommit(struct nv_survey *survey)
{
    static const struct row row = { "limit.overcommit", "memory that may be promised, in bytes",
                                    "/proc/sys/vm/overcommit_memory",
                                    "sysctl vm.overcommit_memory=0, or raise vm.overcommit_ratio",
                                    NV_ROOM_COMMIT };
    static const char *const reasons[] = {
        "mode 0: guest memory is not counted before it is touched",
        "mode 1: nothing is counted",
    };
    char limit[64];
    char used[64];
    uint64_t limit_kib;
    uint64_t used_kib;
    uint64_t mode;
    uint64_t ratio = 0;
    int r = nv_tree_read_u64(&survey->tree, row.source + 1, &mode);

    if (r == 0 && mode < NV_ARRAY_SIZE(reasons)) {
        add_limit(survey, &row, UINT64_MAX, UINT64_MAX, reasons[mode]);
        return;
    }
    if (r == 0)
        r = nv_facts_field(&survey->tree, "proc/meminfo", "CommitLimit", limit, sizeof(limit));
    if (r == 0)
        r = nv_facts_field(&survey->tree, "proc/meminfo", "Committed_AS", used, sizeof(used));
    if (r < 0 || mode != 2 || !nv_facts_number(limit, &limit_kib) ||
        !nv_facts_number(used, &used_kib) || limit_kib > UINT64_MAX / 2048 ||
        used_kib > UINT64_MAX / 2048) {
        add_unknown(survey, &row, r ? r : -EINVAL);
        return;
    }
    nv_tree_read_u64(&survey->tree, "proc/sys/vm/overcommit_ratio", &ratio);
    add_limit(survey, &row, limit_kib * 1024, used_kib * 1024,
              nv_report_text(survey, "mode 2: all of a guest's memory counts; ratio %llu%%",
                             (unsigned long long)ratio));
}

static void add_bytes(struct nv_survey *survey)
{
    static const struct row addresses = { "limit.address_space", "address space, in bytes",
                                          "/proc/self/limits, Max address space", "ulimit -v",
                                          NV_ROOM_ADDRESSES };
    static const struct row data = { "limit.data", "private memory, in bytes",
                                     "/proc/self/limits, Max data size", "ulimit -d",
                                     NV_ROOM_DATA };
    static const struct row locked = { "limit.locked_memory", "locked memory, in bytes",
                                       "/proc/self/limits, Max locked memory",
                                       "ulimit -l, or LimitMEMLOCK= of the service", NV_ROOMS };
    static const struct row group = { "limit.cgroup_memory",
                                      "memory of this process's cgroup, in bytes",
                                      "memory.max of the cgroup and those above",
                                      "raise it, or MemoryMax= of the service",
                                      NV_ROOM_GROUP_MEMORY };
    struct nv_cgroup_limit limit;
    int r;

    add_own(survey, &addresses, "Max address space", status_bytes(survey, "VmSize"));
    add_own(survey, &data, "Max data size", status_bytes(survey, "VmData"));
    add_own(survey, &locked, "Max locked memory", status_bytes(survey, "VmLck"));
    r = nv_cgroup_find_limit(&survey->tree, NV_LIMITED_MEMORY, &limit);
    if (r < 0)
        add_unknown(survey, &group, r);
    else
        add_limit(survey, &group, limit.limit, limit.used, "");
}

void nv_survey_limits(struct nv_survey *survey)
{
    add_files(survey);
    add_threads(survey);
    add_mappings(survey);
    add_bytes(survey);
    add_overcommit(survey);
}
