/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the door of report.h: the report on a host, its items, plans by it. */
#include <string.h>

#include "api/api.h"
#include "core/tags.h"
#include "core/util.h"
#include "kvm/report.h"

/* Sizes of the structures in release 0.1. */
enum {
    REPORT_CONFIG_FIRST = sizeof(struct nestvirt_report_config),
    REPORT_ITEM_FIRST = sizeof(struct nestvirt_report_item),
    PLAN_CONFIG_FIRST = sizeof(struct nestvirt_plan_config),
    PLAN_FIRST = sizeof(struct nestvirt_plan)
};

static const uint64_t MEMORY_MAX = NV_GIB(16) * 1024; /* as nestvirt_memory_add() */

NV_EXPORT void nestvirt_report_config_init(struct nestvirt_report_config *config,
                                           size_t caller_size)
{
    nv_struct_init(config, caller_size);
}

NV_EXPORT void nestvirt_report_item_init(struct nestvirt_report_item *item, size_t caller_size)
{
    nv_struct_init(item, caller_size);
}

NV_EXPORT void nestvirt_plan_config_init(struct nestvirt_plan_config *config, size_t caller_size)
{
    nv_struct_init(config, caller_size);
    if (config && caller_size >= offsetof(struct nestvirt_plan_config, devices))
        config->vcpus = 1;
    if (config && caller_size >= PLAN_CONFIG_FIRST)
        config->files = 2; /* its last field then */
}

NV_EXPORT void nestvirt_plan_init(struct nestvirt_plan *plan, size_t caller_size)
{
    nv_struct_init(plan, caller_size);
}

/* A report is nobody's but the caller's: a child of fork() may read its copy. */
static int check_report(const struct nestvirt_report *report, struct nestvirt_error **ret_error)
{
    nv_ok(ret_error);
    return nv_api_handle(report ? &report->tag : NULL, NV_TAG_REPORT, "report", ret_error);
}

NV_EXPORT int nestvirt_report_new(const struct nestvirt_report_config *config,
                                  struct nestvirt_report **ret_report,
                                  struct nestvirt_error **ret_error)
{
    struct nestvirt_report_config ours = { .size = sizeof(ours) };
    int r;

    nv_ok(ret_error);
    r = nv_api_pointer(ret_report, "ret_report", ret_error);
    if (r < 0)
        return r;
    *ret_report = NULL;
    if (config)
        r = nv_struct_in(&ours, sizeof(ours), REPORT_CONFIG_FIRST, config, "report config",
                         ret_error);
    if (r == 0 && ours.flags)
        r = nv_fail(ret_error, -EINVAL, "report", "clear them", "unknown flags 0x%x", ours.flags);
    return r < 0 ? r : nv_report_new(&ours, ret_report, ret_error);
}

NV_EXPORT int nestvirt_report_free(struct nestvirt_report *report)
{
    int r;

    if (!report)
        return 0;
    r = check_report(report, NULL);
    if (r < 0)
        return r;
    report->tag = NV_TAG_FREED;
    free(report);
    return 0;
}

NV_EXPORT int nestvirt_report_get_item(const struct nestvirt_report *report, uint32_t position,
                                       struct nestvirt_report_item *item,
                                       struct nestvirt_error **ret_error)
{
    int r = check_report(report, ret_error);

    if (r == 0)
        r = nv_struct_check(item, REPORT_ITEM_FIRST, "report item", ret_error);
    if (r < 0)
        return r;
    if (position >= report->count)
        return nv_fail(ret_error, -ENOENT, nv_text("report item %u", position).s,
                       "stop at the first -ENOENT", "the report has %u items", report->count);
    return nv_struct_out(item, &report->items[position], sizeof(report->items[0]),
                         REPORT_ITEM_FIRST, "report item", ret_error);
}

NV_EXPORT int nestvirt_report_get_named(const struct nestvirt_report *report, const char *name,
                                        struct nestvirt_report_item *item,
                                        struct nestvirt_error **ret_error)
{
    const struct nestvirt_report_item *found;
    int r = check_report(report, ret_error);

    if (r == 0)
        r = nv_api_pointer(name, "name", ret_error);
    if (r == 0)
        r = nv_struct_check(item, REPORT_ITEM_FIRST, "report item", ret_error);
    if (r < 0)
        return r;
    found = nv_report_find(report, name);
    if (!found)
        return nv_fail(ret_error, -ENOENT, nv_text("report item \"%.60s\"", name).s,
                       "see nestvirt_report_get_item for the names", "there is none");
    return nv_struct_out(item, found, sizeof(*found), REPORT_ITEM_FIRST, "report item", ret_error);
}

NV_EXPORT const char *nestvirt_report_answer_name(uint32_t answer)
{
    static const char *const names[] = { "unknown", "no", "yes" };

    return answer < NV_ARRAY_SIZE(names) ? names[answer] : names[0];
}

NV_EXPORT const char *nestvirt_report_group_name(uint32_t group)
{
    static const char *const names[] = { "unknown", "host",   "nested", "cpu",  "kvm",
                                         "module",  "device", "memory", "limit" };

    return group < NV_ARRAY_SIZE(names) ? names[group] : names[0];
}

static int check_plan(const struct nestvirt_plan_config *config, struct nestvirt_error **ret_error)
{
    if (config->flags)
        return nv_fail(ret_error, -EINVAL, "plan", "clear them", "unknown flags 0x%x",
                       config->flags);
    if (config->vcpus == 0)
        return nv_fail(ret_error, -EINVAL, "plan", "give each VM at least one", "0 vCPUs");
    if (config->memory_size == 0 || config->memory_size > MEMORY_MAX)
        return nv_fail(ret_error, -EINVAL, "plan", "give each VM 1 byte to 16 TiB",
                       "memory_size is 0x%llx", (unsigned long long)config->memory_size);
    return 0;
}

NV_EXPORT int nestvirt_report_get_plan(const struct nestvirt_report *report,
                                       const struct nestvirt_plan_config *config,
                                       struct nestvirt_plan *plan,
                                       struct nestvirt_error **ret_error)
{
    struct nestvirt_plan_config ours = { .size = sizeof(ours) };
    struct nestvirt_plan result;
    int r = check_report(report, ret_error);

    if (r == 0)
        r = nv_struct_in(&ours, sizeof(ours), PLAN_CONFIG_FIRST, config, "plan config", ret_error);
    if (r == 0)
        r = check_plan(&ours, ret_error);
    if (r == 0)
        r = nv_struct_check(plan, PLAN_FIRST, "plan", ret_error);
    if (r < 0)
        return r;
    nv_report_plan(report, &ours, &result);
    return nv_struct_out(plan, &result, sizeof(result), PLAN_FIRST, "plan", ret_error);
}
