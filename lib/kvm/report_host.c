/* SPDX-License-Identifier: Apache-2.0 */
/* Owns what the report says of the machine: processor, kernel, and what it is a guest of. */
#include <stdio.h>
#include <string.h>

#include "core/util.h"
#include "kvm/report.h"

#define LEAF_HYPERVISOR 0x40000000u
#define LEAF_HYPERVISOR_2 0x40000100u /* KVM that also plays Hyper-V tells its own name there */

/* Names of hypervisors: in CPUID, and of machines in the firmware's tables. */
struct row {
    const char *text;
    uint32_t kind;
    const char *value;
};

static const struct row signatures[] = {
    { "KVMKVMKVM", NESTVIRT_KIND_KVM, "guest of KVM" },
    { "XenVMMXenVMM", NESTVIRT_KIND_XEN, "guest of Xen" },
    { "Microsoft Hv", NESTVIRT_KIND_HYPERV, "guest of Hyper-V" },
    { "VMwareVMware", NESTVIRT_KIND_VMWARE, "guest of VMware" },
    { "VBoxVBoxVBox", NESTVIRT_KIND_OTHER, "guest of VirtualBox" },
    { "TCGTCGTCGTCG", NESTVIRT_KIND_OTHER, "guest of QEMU without KVM" },
    { "bhyve bhyve ", NESTVIRT_KIND_OTHER, "guest of bhyve" },
    { "ACRNACRNACRN", NESTVIRT_KIND_OTHER, "guest of ACRN" },
};

static const struct row vendors[] = {
    { "QEMU", NESTVIRT_KIND_KVM, "guest of KVM or QEMU" },
    { "Google", NESTVIRT_KIND_KVM, "guest of KVM" },
    { "OpenStack Foundation", NESTVIRT_KIND_KVM, "guest of KVM" },
    { "Xen", NESTVIRT_KIND_XEN, "guest of Xen" },
    { "VMware, Inc.", NESTVIRT_KIND_VMWARE, "guest of VMware" },
    { "innotek GmbH", NESTVIRT_KIND_OTHER, "guest of VirtualBox" },
    { "Parallels", NESTVIRT_KIND_OTHER, "guest of Parallels" },
};

static const struct row *find_row(const struct row *rows, size_t count, const char *text)
{
    for (size_t i = 0; i < count; i++)
        if (strncmp(text, rows[i].text, strlen(rows[i].text)) == 0)
            return &rows[i];
    return NULL;
}

/* The twelve letters by which a hypervisor names itself (KVM CPUID documentation). */
static const struct row *ask_cpuid(const struct nv_survey *survey, uint32_t number, char name[13])
{
    struct nv_cpuid_leaf leaf;

    memset(name, 0, 13);
    if (!nv_survey_cpuid(survey, number, 0, &leaf))
        return NULL;
    nv_put_le32(name, leaf.ebx);
    nv_put_le32(name + 4, leaf.ecx);
    nv_put_le32(name + 8, leaf.edx);
    return find_row(signatures, NV_ARRAY_SIZE(signatures), name);
}

static void set_kind(struct nv_fact *fact, uint32_t kind, const char *value, const char *source)
{
    *fact = (struct nv_fact){
        .answer = NESTVIRT_ANSWER_YES, .number = kind, .value = value, .source = source
    };
}

/* A machine whose kernel sees a hypervisor. */
static void name_hypervisor(struct nv_survey *survey, struct nv_fact *fact)
{
    char vendor[64];
    char name[13];
    const struct row *row = ask_cpuid(survey, LEAF_HYPERVISOR, name);
    const struct row *second;

    if (row && row->kind == NESTVIRT_KIND_HYPERV) {
        char unused[13];

        second = ask_cpuid(survey, LEAF_HYPERVISOR_2, unused);
        if (second && second->kind == NESTVIRT_KIND_KVM)
            row = second;
    }
    if (row) {
        set_kind(fact, row->kind, row->value, "CPUID 0x40000000");
        return;
    }
    if (nv_facts_text(&survey->tree, "sys/class/dmi/id/sys_vendor", vendor, sizeof(vendor)) == 0) {
        row = find_row(vendors, NV_ARRAY_SIZE(vendors), vendor);
        if (!row && strncmp(vendor, "Microsoft", 9) == 0)
            row = &signatures[2];
        if (row) {
            set_kind(fact, row->kind, row->value, "/sys/class/dmi/id/sys_vendor");
            return;
        }
    }
    set_kind(fact, NESTVIRT_KIND_OTHER, "guest of another hypervisor",
             "/proc/cpuinfo, flags: hypervisor");
    if (name[0])
        fact->reason = nv_report_text(survey, "it names itself \"%s\"", name);
}

/* Xen tells of itself in sysfs; its first domain owns the hardware. */
static bool is_xen(struct nv_survey *survey, struct nv_fact *fact)
{
    char text[64];

    if (nv_facts_text(&survey->tree, "sys/hypervisor/type", text, sizeof(text)) < 0 ||
        strcmp(text, "xen") != 0)
        return false;
    set_kind(fact, NESTVIRT_KIND_XEN, "guest of Xen", "/sys/hypervisor/type");
    if (nv_facts_text(&survey->tree, "proc/xen/capabilities", text, sizeof(text)) == 0 &&
        strstr(text, "control_d")) {
        fact->value = "first domain of Xen";
        fact->source = "/proc/xen/capabilities";
    }
    return true;
}

static void find_kind(struct nv_survey *survey, struct nv_fact *fact)
{
    struct nv_cpuid_leaf leaf;
    bool is_guest = nv_facts_has_word(survey->flags, "hypervisor");

    if (is_xen(survey, fact))
        return;
    if (!survey->has_cpuinfo && nv_survey_cpuid(survey, 1, 0, &leaf))
        is_guest = leaf.ecx >> 31;
    else if (!survey->has_cpuinfo) {
        fact->value = "unknown";
        fact->reason = "neither /proc/cpuinfo nor CPUID can be read";
        fact->source = "/proc/cpuinfo, flags: hypervisor";
        return;
    }
    if (is_guest)
        name_hypervisor(survey, fact);
    else
        set_kind(fact, NESTVIRT_KIND_BARE_METAL, "bare metal", "/proc/cpuinfo, flags: hypervisor");
}

static void add_guest(struct nv_survey *survey, const struct nv_fact *kind)
{
    struct nv_fact fact = { .value = kind->value, .source = kind->source };

    if (kind->answer == NESTVIRT_ANSWER_UNKNOWN) {
        fact.reason = kind->reason;
    } else if (kind->number == NESTVIRT_KIND_BARE_METAL) {
        fact.answer = NESTVIRT_ANSWER_NO;
    } else {
        fact.answer = NESTVIRT_ANSWER_YES;
        fact.reason = "VMs here are nested themselves, and a VM inside of them is so twice";
    }
    nv_report_add(survey, NESTVIRT_GROUP_HOST, "host.guest", "this host is itself a guest", &fact);
}

/* An item that shows a text of a file. */
static void add_text(struct nv_survey *survey, const char *name, const char *title,
                     const char *path, const char *field)
{
    struct nv_fact fact = { .answer = NESTVIRT_ANSWER_YES };
    char text[128];
    int r = field ? nv_facts_field(&survey->tree, path, field, text, sizeof(text))
                  : nv_facts_text(&survey->tree, path, text, sizeof(text));

    fact.source = field ? nv_report_text(survey, "/%s, %s", path, field)
                        : nv_report_text(survey, "/%s", path);
    if (r < 0) {
        fact.answer = NESTVIRT_ANSWER_UNKNOWN;
        fact.reason = nv_report_text(survey, "/%s %s", path, nv_report_why(r));
    } else {
        fact.value = nv_report_text(survey, "%s", text);
    }
    nv_report_add(survey, NESTVIRT_GROUP_HOST, name, title, &fact);
}

static void add_machine(struct nv_survey *survey)
{
    struct nv_fact fact = { .source = "/sys/class/dmi/id" };
    char vendor[64];
    char product[64];
    int r = nv_facts_text(&survey->tree, "sys/class/dmi/id/sys_vendor", vendor, sizeof(vendor));

    if (r == 0)
        r = nv_facts_text(&survey->tree, "sys/class/dmi/id/product_name", product, sizeof(product));
    if (r == 0) {
        fact.answer = NESTVIRT_ANSWER_YES;
        fact.value = nv_report_text(survey, "%s %s", vendor, product);
    } else {
        fact.reason = nv_report_text(survey, "sys_vendor or product_name %s", nv_report_why(r));
    }
    nv_report_add(survey, NESTVIRT_GROUP_HOST, "host.machine", "machine, by its firmware", &fact);
}

void nv_survey_host(struct nv_survey *survey)
{
    struct nv_fact kind = { .answer = NESTVIRT_ANSWER_UNKNOWN };

    find_kind(survey, &kind);
    nv_report_add(survey, NESTVIRT_GROUP_HOST, "host.kind", "kind of host", &kind);
    add_guest(survey, &kind);
    add_machine(survey);
    add_text(survey, "host.processor", "processor", "proc/cpuinfo", "model name");
    add_text(survey, "host.kernel", "kernel", "proc/sys/kernel/osrelease", NULL);
}
