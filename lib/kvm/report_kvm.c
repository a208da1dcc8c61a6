/* SPDX-License-Identifier: Apache-2.0 */
/* Owns what the report says of KVM: what it uses of the processor, and what it gives to guests. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/error.h"
#include "core/util.h"
#include "kvm/kvm.h"
#include "kvm/report.h"

/* A switch of KVM's module, and the processor's feature that it needs. */
struct row {
    const char *name;
    const char *title;
    enum nv_survey_module module;
    const char *parameter;
    const char *cpu;
    bool needs_cpu; /* the parameter alone does not say it */
};

static const struct row rows[] = {
    { "kvm.ept", "KVM uses EPT", NV_THE_KVM_INTEL, "ept", "cpu.ept", false },
    { "kvm.unrestricted_guest", "KVM uses unrestricted guests", NV_THE_KVM_INTEL,
      "unrestricted_guest", "cpu.unrestricted_guest", false },
    { "kvm.vpid", "KVM uses VPID", NV_THE_KVM_INTEL, "vpid", "cpu.vpid", false },
    { "kvm.vmcs_shadowing", "KVM uses VMCS shadowing", NV_THE_KVM_INTEL, "enable_shadow_vmcs",
      "cpu.vmcs_shadowing", false },
    { "kvm.apicv", "KVM uses APICv", NV_THE_KVM_INTEL, "enable_apicv", "cpu.apicv", false },
    { "kvm.posted_interrupts", "KVM uses posted interrupts", NV_THE_KVM_INTEL, "enable_apicv",
      "cpu.posted_interrupts", true },
    { "kvm.npt", "KVM uses NPT", NV_THE_KVM_AMD, "npt", "cpu.npt", false },
    { "kvm.avic", "KVM uses AVIC", NV_THE_KVM_AMD, "avic", "cpu.avic", false },
    { "kvm.vgif", "KVM uses vGIF", NV_THE_KVM_AMD, "vgif", "cpu.vgif", false },
};

bool nv_survey_is_interpreted(const struct nv_survey *survey)
{
    return survey->modules[NV_THE_KVM_PVM].state >= NV_MODULE_LOADED;
}

static enum nv_survey_module vendor_module(const struct nv_survey *survey)
{
    return survey->vendor == NV_VENDOR_AMD ? NV_THE_KVM_AMD : NV_THE_KVM_INTEL;
}

/* Why a module's parameters say nothing here; false if they may. */
static bool is_out_of_use(struct nv_survey *survey, enum nv_survey_module number,
                          struct nv_fact *fact)
{
    const struct nv_module *module = &survey->modules[number];

    if (survey->vendor != NV_VENDOR_UNKNOWN && vendor_module(survey) != number) {
        fact->answer = NESTVIRT_ANSWER_NO;
        fact->reason = nv_report_text(survey, "%s is not for this processor", module->name);
        fact->source = "/proc/cpuinfo, vendor_id";
    } else if (nv_survey_is_interpreted(survey)) {
        fact->answer = NESTVIRT_ANSWER_NO;
        fact->reason = "KVM here is software (kvm_pvm)";
        fact->source = "/sys/module/kvm_pvm";
    } else if (module->state == NV_MODULE_ABSENT) {
        fact->answer = NESTVIRT_ANSWER_NO;
        fact->reason = nv_report_text(survey, "this kernel has no module %s", module->name);
        fact->source = nv_report_text(survey, "/%s/modules.dep", survey->modules_folder);
    } else if (module->state < NV_MODULE_LOADED) {
        fact->reason = nv_report_text(survey, "%s is not loaded", module->name);
        fact->remedy = nv_survey_load(survey, number);
        fact->source = nv_report_text(survey, "/sys/module/%s", module->name);
    } else if (survey->kvm == NV_KVM_MISSING) {
        fact->answer = NESTVIRT_ANSWER_NO;
        fact->reason = nv_report_text(survey, "%s is there but has made no KVM", module->name);
        fact->source = nv_report_text(survey, "/sys/module/%s", module->name);
    } else {
        return false;
    }
    return true;
}

static const char *reload(struct nv_survey *survey, enum nv_survey_module number,
                          const char *parameter)
{
    const struct nv_module *module = &survey->modules[number];

    if (module->state == NV_MODULE_BUILT_IN)
        return nv_report_text(survey, "boot with %s.%s=1", module->name, parameter);
    return nv_report_text(survey, "modprobe -r %s && modprobe %s %s=1", module->name, module->name,
                          parameter);
}

static void ask_parameter(struct nv_survey *survey, const struct row *row, struct nv_fact *fact)
{
    const char *module = survey->modules[row->module].name;
    const struct nestvirt_report_item *cpu = nv_report_find(survey->report, row->cpu);
    enum nv_switch setting;
    char text[32];

    if (is_out_of_use(survey, row->module, fact))
        return;
    setting = nv_module_parameter(&survey->tree, module, row->parameter, text, sizeof(text));
    fact->source = nv_report_text(survey, "/sys/module/%s/parameters/%s", module, row->parameter);
    fact->value = nv_report_text(survey, "%s=%s", row->parameter, text[0] ? text : "?");
    if (setting == NV_SWITCH_UNKNOWN) {
        fact->reason = "the module does not tell";
        return;
    }
    if (setting == NV_SWITCH_ON && row->needs_cpu) {
        fact->answer = cpu->answer;
        fact->reason = cpu->answer == NESTVIRT_ANSWER_YES ? "" : "see what the processor has";
        return;
    }
    fact->answer = setting == NV_SWITCH_ON ? NESTVIRT_ANSWER_YES : NESTVIRT_ANSWER_NO;
    if (setting == NV_SWITCH_ON && cpu->answer == NESTVIRT_ANSWER_NO)
        fact->reason = "KVM says so, though the kernel does not list it for this processor";
    if (setting == NV_SWITCH_ON)
        return;
    if (cpu->answer == NESTVIRT_ANSWER_YES) {
        fact->reason = "the processor has it, but KVM was told or found that it shall not use it";
        fact->remedy = reload(survey, row->module, row->parameter);
    } else {
        fact->reason = "see what the processor has";
    }
}

/* --- What KVM itself says --- */

struct record {
    const char *name;
    uint64_t value;
};

static int match_record(void *data, const char *line)
{
    struct record *record = data;
    size_t length = strlen(record->name);

    return strncmp(line, record->name, length) == 0 && line[length] == ' ' &&
           nv_facts_number(line + length, &record->value);
}

/* A number that KVM was recorded to answer. False: it was not. */
static bool get_record(const struct nv_survey *survey, const char *name, uint64_t *ret_value)
{
    struct record record = { .name = name };

    if (survey->is_live || nv_facts_lines(&survey->tree, "kvm", match_record, &record) != 1)
        return false;
    *ret_value = record.value;
    return true;
}

static bool get_capability(const struct nv_survey *survey, int number, const char *name,
                           uint64_t *ret_value)
{
    int r;

    if (!survey->host)
        return get_record(survey, name, ret_value);
    r = nv_kvm_call(survey->host, survey->host->fd, KVM_CHECK_EXTENSION, (void *)(uintptr_t)number);
    *ret_value = r > 0 ? (uint64_t)r : 0;
    return r >= 0;
}

static void set_kvm_state(struct nv_survey *survey, int code)
{
    if (code == 0)
        survey->kvm = NV_KVM_ANSWERS;
    else if (code == -ENOENT || code == -ENXIO || code == -ENODEV)
        survey->kvm = NV_KVM_MISSING;
    else if (code == -EACCES || code == -EPERM)
        survey->kvm = NV_KVM_DENIED;
    else
        survey->kvm = NV_KVM_BROKEN;
}

static void open_kvm(struct nv_survey *survey)
{
    struct nestvirt_error *error = NULL;
    uint64_t code;
    int r;

    survey->kvm_reason = survey->kvm_remedy = "";
    if (survey->is_live) {
        r = nv_host_open(&nv_kvm_real_ops, survey->device, -1, &survey->host, &error);
        set_kvm_state(survey, r);
        if (r < 0 && survey->kvm == NV_KVM_BROKEN) {
            survey->kvm_reason = nv_report_text(survey, "%s", nv_error_get_message(error));
            survey->kvm_remedy = nv_report_text(survey, "%s", nv_error_get_hint(error));
        }
        nv_error_free(error);
    } else if (get_record(survey, "open", &code)) {
        set_kvm_state(survey, code < 4096 ? -(int)code : -EIO);
        if (survey->kvm == NV_KVM_BROKEN)
            survey->kvm_reason = nv_report_text(survey, "open: %s", nv_report_why(-(int)code));
    } else {
        r = nv_facts_may_use(&survey->tree, "dev/kvm");
        if (r < 0)
            set_kvm_state(survey, r);
    }
    survey->report->is_usable = survey->kvm == NV_KVM_ANSWERS;
}

/* Why KVM was not asked. */
static const char *silence(const struct nv_survey *survey)
{
    switch (survey->kvm) {
    case NV_KVM_MISSING:
        return "there is no KVM";
    case NV_KVM_DENIED:
        return "KVM may not be opened";
    default:
        return "KVM could not be asked";
    }
}

static void add_capabilities(struct nv_survey *survey)
{
    static const struct {
        const char *name;
        const char *title;
        int capability;
        const char *text;
        bool is_number;
    } list[] = {
        { "kvm.max_vcpus", "vCPUs that a VM may have", KVM_CAP_MAX_VCPUS, "KVM_CAP_MAX_VCPUS",
          true },
        { "kvm.recommended_vcpus", "vCPUs that KVM recommends at most", KVM_CAP_NR_VCPUS,
          "KVM_CAP_NR_VCPUS", true },
        { "kvm.memory_slots", "memory slots of a VM", KVM_CAP_NR_MEMSLOTS, "KVM_CAP_NR_MEMSLOTS",
          true },
        { "kvm.split_irqchip", "interrupt chip split between kernel and library",
          KVM_CAP_SPLIT_IRQCHIP, "KVM_CAP_SPLIT_IRQCHIP", false },
        { "kvm.irqfd", "interrupts by eventfd", KVM_CAP_IRQFD, "KVM_CAP_IRQFD", false },
        { "kvm.ioeventfd", "guest writes signal an eventfd", KVM_CAP_IOEVENTFD, "KVM_CAP_IOEVENTFD",
          false },
        { "kvm.readonly_memory", "read-only memory", KVM_CAP_READONLY_MEM, "KVM_CAP_READONLY_MEM",
          false },
    };

    for (size_t i = 0; i < NV_ARRAY_SIZE(list); i++) {
        struct nv_fact fact = { .source = list[i].text };
        uint64_t value = 0;

        if (get_capability(survey, list[i].capability, list[i].text, &value)) {
            fact.answer = value ? NESTVIRT_ANSWER_YES : NESTVIRT_ANSWER_NO;
            fact.number = list[i].is_number ? value : 0;
            fact.value =
                list[i].is_number ? nv_report_text(survey, "%llu", (unsigned long long)value) : "";
            if (list[i].capability == KVM_CAP_MAX_VCPUS)
                survey->report->max_vcpus = (uint32_t)NV_MIN(value, UINT32_MAX);
        } else {
            fact.reason = silence(survey);
        }
        nv_report_add(survey, NESTVIRT_GROUP_KVM, list[i].name, list[i].title, &fact);
    }
}

static void add_version(struct nv_survey *survey)
{
    struct nv_fact fact = { .source = "KVM_GET_API_VERSION" };
    uint64_t version = 0;

    if (survey->host)
        version = survey->host->info.api_version;
    if (survey->host || get_record(survey, "api_version", &version)) {
        fact.answer = version == KVM_API_VERSION ? NESTVIRT_ANSWER_YES : NESTVIRT_ANSWER_NO;
        fact.number = version;
        fact.value = nv_report_text(survey, "%llu", (unsigned long long)version);
    } else {
        fact.reason = silence(survey);
    }
    nv_report_add(survey, NESTVIRT_GROUP_KVM, "kvm.api_version", "KVM's API is version 12", &fact);
}

static void add_interpreted(struct nv_survey *survey)
{
    struct nv_fact fact = { .answer = NESTVIRT_ANSWER_NO, .source = "/sys/module/kvm_pvm" };

    if (nv_survey_is_interpreted(survey)) {
        fact.answer = NESTVIRT_ANSWER_YES;
        fact.value = "kvm_pvm";
        fact.reason = "guest kernels are interpreted: correct, but a thousand times slower";
        fact.remedy = "use a host with kvm_intel or kvm_amd for speed; set NESTVIRT_VM_FIXUPS here";
    } else if (survey->kvm == NV_KVM_UNKNOWN) {
        fact.answer = NESTVIRT_ANSWER_UNKNOWN;
        fact.reason = silence(survey);
    }
    nv_report_add(survey, NESTVIRT_GROUP_KVM, "kvm.interpreted", "KVM is software that interprets",
                  &fact);
}

/* KVM of x86 is not linked without it, so that where KVM is built in, this is too. */
static void add_irqbypass(struct nv_survey *survey)
{
    struct nv_module *module = &survey->modules[NV_THE_IRQBYPASS];
    struct nv_fact fact = { .source = "/sys/module/irqbypass" };

    if (module->state < NV_MODULE_LOADED &&
        survey->modules[NV_THE_KVM].state == NV_MODULE_BUILT_IN) {
        module->state = NV_MODULE_BUILT_IN;
        fact.reason = "KVM is built in, which needs it";
        fact.source = "/sys/module/kvm";
    }
    if (module->state >= NV_MODULE_LOADED) {
        fact.answer = NESTVIRT_ANSWER_YES;
        fact.value = module->state == NV_MODULE_LOADED ? "loaded" : "built in";
    } else if (module->state != NV_MODULE_UNKNOWN) {
        fact.answer = NESTVIRT_ANSWER_NO;
        fact.reason = "it comes with KVM's module";
        fact.remedy = nv_survey_load(survey, NV_THE_IRQBYPASS);
    } else {
        fact.reason = "it may be built in: the kernel's list of modules is missing";
    }
    nv_report_add(survey, NESTVIRT_GROUP_KVM, "kvm.irqbypass",
                  "irqbypass, interrupts of devices straight to guests", &fact);
}

/* --- Nested --- */

/* What is known by the parameter `nested` alone. */
static void ask_nested_parameter(struct nv_survey *survey, struct nv_fact *fact)
{
    const enum nv_survey_module number = vendor_module(survey);
    const char *module = survey->modules[number].name;
    char text[32];

    if (is_out_of_use(survey, number, fact))
        return;
    fact->source = nv_report_text(survey, "/sys/module/%s/parameters/nested", module);
    switch (nv_module_parameter(&survey->tree, module, "nested", text, sizeof(text))) {
    case NV_SWITCH_ON:
        fact->answer = NESTVIRT_ANSWER_YES;
        break;
    case NV_SWITCH_OFF:
        fact->answer = NESTVIRT_ANSWER_NO;
        fact->reason = nv_report_text(survey, "%s runs with nested=%s", module, text);
        fact->remedy = reload(survey, number, "nested");
        break;
    default:
        fact->reason = "the module does not tell";
    }
    fact->value = nv_report_text(survey, "nested=%s", text[0] ? text : "?");
}

/* VMX or SVM in the CPUID that KVM supports for guests: the last word. */
static void ask_guests(struct nv_survey *survey, bool is_vmx, const struct nv_fact *parameter,
                       struct nv_fact *fact)
{
    const uint32_t feature = is_vmx ? NESTVIRT_HOST_NESTED_VMX : NESTVIRT_HOST_NESTED_SVM;
    const enum nv_vendor vendor = is_vmx ? NV_VENDOR_INTEL : NV_VENDOR_AMD;
    uint64_t value = 0;

    fact->source = is_vmx ? "KVM_GET_SUPPORTED_CPUID, leaf 0x1, ecx bit 5"
                          : "KVM_GET_SUPPORTED_CPUID, leaf 0x80000001, ecx bit 2";
    if (survey->host || get_record(survey, is_vmx ? "nested_vmx" : "nested_svm", &value)) {
        if (survey->host)
            value = survey->host->info.features & feature;
        fact->answer = value ? NESTVIRT_ANSWER_YES : NESTVIRT_ANSWER_NO;
        if (!value && survey->vendor != NV_VENDOR_UNKNOWN && survey->vendor != vendor) {
            fact->reason = "not on this processor";
        } else if (!value) {
            fact->reason = parameter->reason && parameter->reason[0] ? parameter->reason
                                                                     : "KVM does not offer it";
            fact->remedy = parameter->remedy;
        }
        return;
    }
    if (survey->vendor != NV_VENDOR_UNKNOWN && survey->vendor != vendor) {
        fact->answer = NESTVIRT_ANSWER_NO;
        fact->reason = "not on this processor";
        fact->source = "/proc/cpuinfo, vendor_id";
        return;
    }
    if (survey->vendor != vendor) {
        fact->reason = silence(survey);
        return;
    }
    *fact = *parameter;
    fact->value = "";
    if (fact->answer == NESTVIRT_ANSWER_YES)
        fact->reason = nv_report_text(survey, "by the module's parameter: %s", silence(survey));
}

static void add_nested_state(struct nv_survey *survey)
{
    struct nv_fact fact = { .source = "KVM_CAP_NESTED_STATE" };
    uint64_t bytes = 0;

    if (get_capability(survey, KVM_CAP_NESTED_STATE, "KVM_CAP_NESTED_STATE", &bytes)) {
        fact.answer = bytes ? NESTVIRT_ANSWER_YES : NESTVIRT_ANSWER_NO;
        fact.number = bytes;
        fact.value = bytes ? nv_report_text(survey, "%llu bytes", (unsigned long long)bytes) : "";
        fact.reason = bytes ? "" : "a VM whose guest runs VMs cannot be saved";
    } else {
        fact.reason = silence(survey);
    }
    nv_report_add(survey, NESTVIRT_GROUP_NESTED, "nested.state",
                  "state of nested guests can be saved and restored", &fact);
}

static void add_nested(struct nv_survey *survey)
{
    struct nv_fact parameter = { .answer = NESTVIRT_ANSWER_UNKNOWN };
    struct nv_fact vmx = parameter;
    struct nv_fact svm = parameter;
    const struct nv_fact *own;

    ask_nested_parameter(survey, &parameter);
    ask_guests(survey, true, &parameter, &vmx);
    ask_guests(survey, false, &parameter, &svm);
    own = svm.answer == NESTVIRT_ANSWER_YES || survey->vendor == NV_VENDOR_AMD ? &svm : &vmx;
    nv_report_add(survey, NESTVIRT_GROUP_NESTED, "nested.available",
                  "guests may run VMs of their own", own);
    nv_report_add(survey, NESTVIRT_GROUP_NESTED, "nested.vmx", "guests may use VMX", &vmx);
    nv_report_add(survey, NESTVIRT_GROUP_NESTED, "nested.svm", "guests may use SVM", &svm);
    nv_report_add(survey, NESTVIRT_GROUP_NESTED, "nested.parameter",
                  "KVM's module is set to nested guests", &parameter);
    add_nested_state(survey);
}

void nv_survey_kvm(struct nv_survey *survey)
{
    open_kvm(survey);
    add_interpreted(survey);
    for (size_t i = 0; i < NV_ARRAY_SIZE(rows); i++) {
        struct nv_fact fact = { .answer = NESTVIRT_ANSWER_UNKNOWN };

        ask_parameter(survey, &rows[i], &fact);
        nv_report_add(survey, NESTVIRT_GROUP_KVM, rows[i].name, rows[i].title, &fact);
    }
    add_irqbypass(survey);
    add_version(survey);
    add_capabilities(survey);
    add_nested(survey);
    survey->report->has_paging =
        nv_report_is_yes(survey->report, "kvm.ept") || nv_report_is_yes(survey->report, "kvm.npt");
    nv_host_unref(survey->host);
    survey->host = NULL;
}
