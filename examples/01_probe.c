/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tells what this host offers to VMs, whether guests may run VMs of their own, and what limits
 * there are.
 *
 *     01_probe [--json] [--root DIR | DEVICE]       the report; --json for programs
 *     01_probe --plan VMS,MEMORY[,VCPUS[,DEVICES]]  whether so many VMs fit: 500,256M
 *     01_probe --cpuid [DEVICE]                     CPUID as KVM supports it for guests
 *     01_probe --devices                            the devices of this library
 *
 * Status: 0 if KVM can be used, and the plan fits with guests that are idle; 1 if not, or not
 * known; 2 for a wrong command line. --plan goes with --json and --root too.
 */
#include <errno.h>
#include <string.h>

#include "common.h"

static const char *answer_of(const struct nestvirt_report_item *item)
{
    return nestvirt_report_answer_name(item->answer);
}

/* A detail under an item, with a word before it. */
static void print_detail(const char *word, const char *text)
{
    if (text[0])
        printf("           %s%s\n", word, text);
}

static void print_item(const struct nestvirt_report_item *item)
{
    printf("  %-7s  %s%s%s\n", answer_of(item), item->title, item->value[0] ? ": " : "",
           item->value);
    print_detail("", item->reason);
    if (item->answer != NESTVIRT_ANSWER_YES || item->group == NESTVIRT_GROUP_LIMIT)
        print_detail("-> ", item->remedy);
}

static void print_report(struct nestvirt_report *report)
{
    static const char *const headings[] = {
        [NESTVIRT_GROUP_HOST] = "The host",
        [NESTVIRT_GROUP_NESTED] = "Guests that run VMs",
        [NESTVIRT_GROUP_CPU] = "What the processor has",
        [NESTVIRT_GROUP_KVM] = "What KVM uses and offers",
        [NESTVIRT_GROUP_MODULE] = "Kernel modules",
        [NESTVIRT_GROUP_DEVICE] = "Device files",
        [NESTVIRT_GROUP_MEMORY] = "Memory",
        [NESTVIRT_GROUP_LIMIT] = "Limits (yes: there is one)",
    };
    struct nestvirt_report_item item;
    uint32_t group = 0;

    for (uint32_t i = 0;; i++) {
        nestvirt_report_item_init(&item, sizeof(item));
        if (nestvirt_report_get_item(report, i, &item, NULL) < 0)
            break;
        if (item.group != group && item.group < sizeof(headings) / sizeof(headings[0]))
            printf("%s%s\n", group ? "\n" : "", headings[item.group]);
        group = item.group;
        print_item(&item);
    }
}

/* A JSON string (RFC 8259, 7). */
static void print_string(const char *text)
{
    putchar('"');
    for (; *text; text++) {
        if (*text == '"' || *text == '\\')
            printf("\\%c", *text);
        else if ((unsigned char)*text < 0x20)
            printf("\\u%04x", (unsigned char)*text);
        else
            putchar(*text);
    }
    putchar('"');
}

static void print_pair(const char *name, const char *text)
{
    printf("\"%s\": ", name);
    print_string(text);
    printf(", ");
}

/* Without a limit null, as not all programs read 2^64 - 1. */
static void print_number(const char *name, uint64_t number, const char *end)
{
    if (number == UINT64_MAX)
        printf("\"%s\": null%s", name, end);
    else
        printf("\"%s\": %llu%s", name, (unsigned long long)number, end);
}

static void print_report_json(struct nestvirt_report *report)
{
    struct nestvirt_report_item item;

    printf("{\"version\": \"%s\", \"items\": [", nestvirt_version_string());
    for (uint32_t i = 0;; i++) {
        nestvirt_report_item_init(&item, sizeof(item));
        if (nestvirt_report_get_item(report, i, &item, NULL) < 0)
            break;
        printf("%s\n  {", i ? "," : "");
        print_pair("name", item.name);
        print_pair("group", nestvirt_report_group_name(item.group));
        print_pair("title", item.title);
        print_pair("answer", answer_of(&item));
        print_pair("value", item.value);
        print_pair("reason", item.reason);
        print_pair("source", item.source);
        print_pair("remedy", item.remedy);
        print_number("number", item.number, "}");
    }
    printf("\n]}\n");
}

/* Digits with K, M, G or T behind them; *at is moved. False: none, or too large. */
static int take_number(const char **at, uint64_t *ret_number)
{
    static const char units[] = "KMGT";
    const char *unit;
    char *end;

    errno = 0;
    if (**at < '0' || **at > '9')
        return 0;
    *ret_number = strtoull(*at, &end, 10);
    unit = *end ? strchr(units, *end) : NULL;
    if (unit) {
        int shift = 10 * (int)(unit - units + 1);

        if (*ret_number >> (64 - shift))
            return 0;
        *ret_number <<= shift;
        end++;
    }
    *at = end;
    return errno == 0;
}

/* "500,256M,2,1" */
static int read_plan(const char *text, struct nestvirt_plan_config *plan)
{
    uint64_t numbers[4] = { 0, 0, 1, 0 };
    int count = 0;

    do {
        if (count == 4 || !take_number(&text, &numbers[count]))
            return 0;
        count++;
    } while (*text++ == ',');
    if (text[-1] || count < 2 || numbers[0] > UINT32_MAX || numbers[2] > UINT32_MAX ||
        numbers[3] > UINT32_MAX)
        return 0;
    nestvirt_plan_config_init(plan, sizeof(*plan));
    plan->vms = (uint32_t)numbers[0];
    plan->memory_size = numbers[1];
    plan->vcpus = (uint32_t)numbers[2];
    plan->devices = (uint32_t)numbers[3];
    return 1;
}

/* How many fit, and what stops the next. */
static void print_fit(struct nestvirt_report *report, const char *when, uint32_t answer,
                      uint64_t vms, const char *limit)
{
    struct nestvirt_report_item item;

    nestvirt_report_item_init(&item, sizeof(item));
    printf("%-7s  %s: ", nestvirt_report_answer_name(answer), when);
    if (vms == UINT64_MAX)
        printf("no limit is known\n");
    else
        printf("at most %llu\n", (unsigned long long)vms);
    if (!limit[0] || nestvirt_report_get_named(report, limit, &item, NULL) < 0)
        return;
    printf("         stopped by %s: %s%s%s\n", item.title, item.value, item.reason[0] ? "; " : "",
           item.reason);
    if (item.remedy[0])
        printf("         -> %s\n", item.remedy);
}

static void print_plan(struct nestvirt_report *report, const struct nestvirt_plan_config *config,
                       const struct nestvirt_plan *plan)
{
    printf("%u VM%s of %llu MiB and %u vCPU%s, %u device%s each\n", config->vms,
           config->vms == 1 ? "" : "s", (unsigned long long)config->memory_size >> 20,
           config->vcpus, config->vcpus == 1 ? "" : "s", config->devices,
           config->devices == 1 ? "" : "s");
    print_fit(report, "if they use hardly any memory", plan->idle, plan->idle_vms,
              plan->idle_limit);
    print_fit(report, "if they use all their memory", plan->touched, plan->touched_vms,
              plan->touched_limit);
    printf("They need %llu MiB idle, %llu MiB with all memory used, %llu open files, %llu "
           "mappings, %llu threads.\n",
           (unsigned long long)plan->idle_memory >> 20,
           (unsigned long long)plan->touched_memory >> 20, (unsigned long long)plan->descriptors,
           (unsigned long long)plan->mappings, (unsigned long long)plan->threads);
    if (plan->unknown[0])
        printf("It is not known what %s allows.\n", plan->unknown);
}

static void print_plan_json(const struct nestvirt_plan *plan)
{
    printf("{");
    print_pair("idle", nestvirt_report_answer_name(plan->idle));
    print_pair("touched", nestvirt_report_answer_name(plan->touched));
    print_pair("idle_limit", plan->idle_limit);
    print_pair("touched_limit", plan->touched_limit);
    print_pair("unknown", plan->unknown);
    print_number("idle_vms", plan->idle_vms, ", ");
    print_number("touched_vms", plan->touched_vms, ", ");
    print_number("idle_memory", plan->idle_memory, ", ");
    print_number("touched_memory", plan->touched_memory, ", ");
    print_number("descriptors", plan->descriptors, ", ");
    print_number("mappings", plan->mappings, ", ");
    print_number("threads", plan->threads, ", ");
    print_number("needed", plan->needed, ", ");
    print_number("available", plan->available, "}\n");
}

/* The supported CPUID leaves, one line each. */
static void print_cpuid(const char *device)
{
    struct nestvirt_error *error = NULL;
    struct nestvirt_cpuid_entry entry;
    struct nestvirt_host *host;

    TRY(nestvirt_host_open(device, &host, &error));
    printf("CPUID for guests:\n      leaf     index  eax      ebx      ecx      edx\n");
    for (uint32_t i = 0;; i++) {
        nestvirt_cpuid_entry_init(&entry, sizeof(entry));
        if (nestvirt_host_get_cpuid(host, i, &entry, NULL) < 0)
            break;
        printf("  %08x  %8x  %08x %08x %08x %08x\n", entry.leaf, entry.index, entry.eax, entry.ebx,
               entry.ecx, entry.edx);
    }
    nestvirt_host_free(host);
}

static void print_devices(void)
{
    struct nestvirt_device_property property;
    const char *kind;

    printf("devices of libnestvirt %s:\n", nestvirt_version_string());
    for (uint32_t i = 0; (kind = nestvirt_device_get_kind(i)); i++) {
        printf("  %s\n", kind);
        for (uint32_t j = 0;; j++) {
            nestvirt_device_property_init(&property, sizeof(property));
            if (nestvirt_device_get_property(kind, j, &property, NULL) < 0)
                break;
            printf("    %-10s %s\n", property.name, property.help);
        }
    }
}

/* What the command line asks for. */
struct options {
    struct nestvirt_report_config report;
    struct nestvirt_plan_config plan;
    int is_json, has_plan, is_cpuid, is_devices;
};

static int usage(void)
{
    fprintf(stderr,
            "usage: 01_probe [--json] [--plan VMS,MEMORY[,VCPUS[,DEVICES]]] "
            "[--root DIR | DEVICE]\n"
            "       01_probe --cpuid [DEVICE] | --devices\n"
            "  --json     for programs\n"
            "  --plan     whether so many VMs fit: 500,256M is 500 of 256 MiB, with 1 virtual CPU\n"
            "             and no device each\n"
            "  --root     of another machine, whose files are in this folder (report.h)\n"
            "  --cpuid    CPUID as KVM supports it for guests\n"
            "  --devices  the devices of this library, and what they can be told\n");
    return 2;
}

static int read_options(int argc, char **argv, struct options *options)
{
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--json") == 0)
            options->is_json = 1;
        else if (strcmp(argv[i], "--cpuid") == 0)
            options->is_cpuid = 1;
        else if (strcmp(argv[i], "--devices") == 0)
            options->is_devices = 1;
        else if (strcmp(argv[i], "--root") == 0 && i + 1 < argc)
            options->report.root = argv[++i];
        else if (strcmp(argv[i], "--plan") == 0 && i + 1 < argc)
            options->has_plan = read_plan(argv[++i], &options->plan) ? 1 : -1;
        else if (argv[i][0] != '-' && !options->report.device)
            options->report.device = argv[i];
        else
            return 0;
    }
    return options->has_plan >= 0;
}

/* Prints the report or the plan; the program's status. */
static int tell(const struct options *options)
{
    struct nestvirt_error *error = NULL;
    struct nestvirt_report *report;
    struct nestvirt_report_item kvm;
    struct nestvirt_plan plan;
    int is_good;

    TRY(nestvirt_report_new(&options->report, &report, &error));
    nestvirt_report_item_init(&kvm, sizeof(kvm));
    TRY(nestvirt_report_get_named(report, "device.kvm", &kvm, &error));
    is_good = kvm.answer == NESTVIRT_ANSWER_YES;
    if (options->has_plan) {
        nestvirt_plan_init(&plan, sizeof(plan));
        TRY(nestvirt_report_get_plan(report, &options->plan, &plan, &error));
        is_good = is_good && plan.idle == NESTVIRT_ANSWER_YES;
        if (options->is_json)
            print_plan_json(&plan);
        else
            print_plan(report, &options->plan, &plan);
    } else if (options->is_json) {
        print_report_json(report);
    } else {
        print_report(report);
    }
    nestvirt_report_free(report);
    return is_good ? 0 : 1;
}

int main(int argc, char **argv)
{
    struct options options = { .is_json = 0 };

    nestvirt_report_config_init(&options.report, sizeof(options.report));
    if (!read_options(argc, argv, &options))
        return usage();
    if (options.is_cpuid)
        print_cpuid(options.report.device);
    if (options.is_devices)
        print_devices();
    return options.is_cpuid || options.is_devices ? 0 : tell(&options);
}
