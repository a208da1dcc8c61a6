/* SPDX-License-Identifier: Apache-2.0 */
/* What 10_density sees of the host, and the limits it raises for itself. */
#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "common.h"
#include "density.h"

enum { PAGE = 4096, DESCRIPTORS_EACH = 3, DESCRIPTORS_WITH_LOOP = 6, DESCRIPTORS_OWN = 64 };

/* The number behind a key of a file, in KiB or whatever the kernel writes there. */
static uint64_t field(const char *path, const char *key)
{
    FILE *file = fopen(path, "re");
    unsigned long long value = 0;
    char line[256];

    while (file && fgets(line, sizeof(line), file))
        if (strncmp(line, key, strlen(key)) == 0) {
            value = strtoull(line + strlen(key), NULL, 10);
            break;
        }
    if (file)
        fclose(file);
    return value;
}

static uint64_t count_entries(const char *path)
{
    DIR *folder = opendir(path);
    uint64_t count = 0;

    while (folder && readdir(folder))
        count++;
    if (folder)
        closedir(folder);
    return count > 3 ? count - 3 : 0; /* ".", "..", and the folder itself */
}

static uint64_t count_lines(const char *path)
{
    FILE *file = fopen(path, "re");
    uint64_t count = 0;
    int c;

    while (file && (c = getc_unlocked(file)) != EOF)
        count += c == '\n';
    if (file)
        fclose(file);
    return count;
}

uint64_t look_at_memory(void)
{
    return field("/proc/meminfo", "MemAvailable:") * 1024;
}

static uint64_t ksm_saved(void)
{
    struct nestvirt_ksm_stats stats;

    nestvirt_ksm_stats_init(&stats, sizeof(stats));
    if (nestvirt_ksm_get_stats(&stats, NULL) < 0)
        return 0;
    return stats.pages_sharing * PAGE;
}

void look_at_all(struct look *look)
{
    look->available = look_at_memory();
    look->ksm_saved = ksm_saved();
    look->descriptors = count_entries("/proc/self/fd");
    look->mappings = count_lines("/proc/self/maps");
    look->threads = field("/proc/self/status", "Threads:");
    look->resident = field("/proc/self/status", "VmRSS:") * 1024;
}

/* Up to what is needed, or as far as this user may. */
static void raise_one(int resource, const char *name, uint64_t needed)
{
    struct rlimit limit;
    rlim_t before;

    if (getrlimit((__rlimit_resource_t)resource, &limit) < 0 || limit.rlim_cur >= needed)
        return;
    before = limit.rlim_cur;
    limit.rlim_cur = needed;
    if (limit.rlim_max < needed)
        limit.rlim_max = needed;
    if (setrlimit((__rlimit_resource_t)resource, &limit) < 0) {
        getrlimit((__rlimit_resource_t)resource, &limit);
        limit.rlim_cur = limit.rlim_max;
        setrlimit((__rlimit_resource_t)resource, &limit);
        getrlimit((__rlimit_resource_t)resource, &limit);
    }
    fprintf(stderr, "limit on %s: raised for this process from %llu to %llu\n", name,
            (unsigned long long)before, (unsigned long long)limit.rlim_cur);
}

void raise_limits(const struct options *options)
{
    const uint64_t vms = options->count ? options->count : 100000; /* more than there is room for */
    const uint64_t each = options->has_loop ? DESCRIPTORS_WITH_LOOP : DESCRIPTORS_EACH;

    raise_one(RLIMIT_NOFILE, "open files", vms * each + DESCRIPTORS_OWN);
    raise_one(RLIMIT_NPROC, "threads", 2 * vms + DESCRIPTORS_OWN);
    raise_one(RLIMIT_SIGPENDING, "queued signals", vms + DESCRIPTORS_OWN);
}

void print_plan(const struct options *options)
{
    struct nestvirt_error *error = NULL;
    struct nestvirt_plan_config config;
    struct nestvirt_report_item item;
    struct nestvirt_report *report;
    struct nestvirt_plan plan;

    nestvirt_plan_config_init(&config, sizeof(config));
    nestvirt_plan_init(&plan, sizeof(plan));
    nestvirt_report_item_init(&item, sizeof(item));
    config.memory_size = options->memory;
    config.vms = (uint32_t)options->count;
    config.files = 1;
    config.devices = options->has_loop;
    TRY(nestvirt_report_new(NULL, &report, &error));
    TRY(nestvirt_report_get_plan(report, &config, &plan, &error));
    fprintf(stderr, "plan: %llu idle VMs fit, %llu with all their memory in use\n",
            (unsigned long long)plan.idle_vms, (unsigned long long)plan.touched_vms);
    if (plan.idle_limit[0] && nestvirt_report_get_named(report, plan.idle_limit, &item, NULL) == 0)
        fprintf(stderr, "plan: the next one is stopped by %s (%s)%s%s\n", item.title, item.value,
                item.remedy[0] ? "; to go on: " : "", item.remedy);
    nestvirt_report_free(report);
}
