/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the report object: making it from its parts, its items and their texts. */
#include "kvm/report.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/cleanup.h"
#include "core/error.h"
#include "core/tags.h"
#include "core/util.h"

static const char *or_empty(const char *text)
{
    return text ? text : "";
}

void nv_report_add(struct nv_survey *survey, uint32_t group, const char *name, const char *title,
                   const struct nv_fact *fact)
{
    struct nestvirt_report *report = survey->report;

    if (report->count == NV_REPORT_ITEMS_MAX)
        return;
    report->items[report->count++] = (struct nestvirt_report_item){
        .size = sizeof(report->items[0]),
        .answer = fact->answer,
        .group = group,
        .number = fact->number,
        .name = name,
        .title = title,
        .value = or_empty(fact->value),
        .reason = or_empty(fact->reason),
        .source = or_empty(fact->source),
        .remedy = or_empty(fact->remedy),
    };
}

const char *nv_report_text(struct nv_survey *survey, const char *format, ...)
{
    struct nestvirt_report *report = survey->report;
    char *text = report->texts + report->used;
    size_t room = sizeof(report->texts) - report->used;
    va_list args;

    if (room > NV_REPORT_TEXT_MAX)
        room = NV_REPORT_TEXT_MAX;
    if (room < 2)
        return "";
    va_start(args, format);
    if (vsnprintf(text, room, format, args) < 0)
        text[0] = '\0';
    va_end(args);
    for (char *at = text; *at; at++)
        if (*at < 0x20 || *at > 0x7e) /* what files say is not to be trusted */
            *at = '?';
    report->used += strlen(text) + 1;
    return text;
}

const struct nestvirt_report_item *nv_report_find(const struct nestvirt_report *report,
                                                  const char *name)
{
    for (uint32_t i = 0; i < report->count; i++)
        if (strcmp(report->items[i].name, name) == 0)
            return &report->items[i];
    return NULL;
}

bool nv_report_is_yes(const struct nestvirt_report *report, const char *name)
{
    const struct nestvirt_report_item *item = nv_report_find(report, name);

    return item && item->answer == NESTVIRT_ANSWER_YES;
}

const char *nv_report_why(int code)
{
    switch (code) {
    case -ENOENT:
    case -ENXIO:
    case -ENODEV:
    case -ENOTDIR:
        return "is missing";
    case -EACCES:
    case -EPERM:
        return "permission denied";
    case -EINVAL:
    case -EISDIR:
    case -ELOOP:
        return "is not what the kernel puts there";
    default:
        return or_empty(strerrordesc_np(-code));
    }
}

/* The first processor's flags; they are those of all. */
static void read_cpuinfo(struct nv_survey *survey)
{
    const char *path = "proc/cpuinfo";
    char vendor[32];
    int r = nv_facts_field(&survey->tree, path, "vendor_id", vendor, sizeof(vendor));

    if (r == 0 && strcmp(vendor, "GenuineIntel") == 0)
        survey->vendor = NV_VENDOR_INTEL;
    else if (r == 0 && (strcmp(vendor, "AuthenticAMD") == 0 || strcmp(vendor, "HygonGenuine") == 0))
        survey->vendor = NV_VENDOR_AMD;
    survey->has_cpuinfo =
        nv_facts_field(&survey->tree, path, "flags", survey->flags, sizeof(survey->flags)) == 0;
    survey->has_vmx_flags = nv_facts_field(&survey->tree, path, "vmx flags", survey->vmx_flags,
                                           sizeof(survey->vmx_flags)) == 0;
}

static void find_modules(struct nv_survey *survey)
{
    static const char *const names[] = { "kvm",       "kvm_intel", "kvm_amd",   "kvm_pvm",
                                         "irqbypass", "tun",       "vhost_net", "vhost_vsock" };

    static_assert(NV_ARRAY_SIZE(names) == NV_THE_MODULES, "a name for each module");
    for (size_t i = 0; i < NV_THE_MODULES; i++)
        survey->modules[i].name = names[i];
    nv_modules_find(&survey->tree, survey->modules, NV_THE_MODULES, survey->modules_folder,
                    sizeof(survey->modules_folder));
}

/* Groups stand together and in their order, whatever was needed first. */
static void sort_items(struct nestvirt_report *report)
{
    struct nestvirt_report_item item;
    uint32_t place;

    for (uint32_t i = 1; i < report->count; i++) {
        item = report->items[i];
        for (place = i; place > 0 && report->items[place - 1].group > item.group; place--)
            report->items[place] = report->items[place - 1];
        report->items[place] = item;
    }
}

static bool is_live_root(const char *root)
{
    return !root || strcmp(root, "/") == 0;
}

int nv_report_new(const struct nestvirt_report_config *config, struct nestvirt_report **ret_report,
                  struct nestvirt_error **ret_error)
{
    NV_AUTO_FREE struct nestvirt_report *report = calloc(1, sizeof(*report));
    NV_AUTO_FREE struct nv_survey *survey = calloc(1, sizeof(*survey));
    int r;

    if (!report || !survey)
        return nv_fail_sys(ret_error, ENOMEM, "report", "malloc", "free memory in this process");
    report->tag = NV_TAG_REPORT;
    survey->report = report;
    survey->is_live = is_live_root(config->root);
    if (!survey->is_live && config->device)
        return nv_fail(ret_error, -EINVAL, "report", "leave one of them NULL",
                       "a device and another root than this machine's");
    survey->device = config->device ? config->device : "/dev/kvm";
    r = nv_tree_open(config->root, &survey->tree, ret_error);
    if (r < 0)
        return r;
    read_cpuinfo(survey);
    find_modules(survey);
    nv_survey_cpu(survey);
    nv_survey_host(survey);
    nv_survey_kvm(survey);
    nv_survey_devices(survey);
    nv_survey_memory(survey);
    nv_survey_limits(survey);
    nv_tree_close(&survey->tree);
    sort_items(report);
    *ret_report = NV_STEAL(report);
    return 0;
}
