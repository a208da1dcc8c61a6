/* SPDX-License-Identifier: Apache-2.0 */
/* Owns what the report says of kernel modules and of device files. */
#include <errno.h>
#include <stdlib.h>

#include "core/util.h"
#include "kvm/report.h"

enum { CAP_NET_ADMIN_BIT = 12 }; /* capabilities(7) */

const char *nv_survey_load(struct nv_survey *survey, enum nv_survey_module module)
{
    const struct nestvirt_report *report = survey->report;
    const struct nv_module *it = &survey->modules[module];
    const char *cpu = module == NV_THE_KVM_AMD ? "cpu.svm" : "cpu.vmx";

    if (it->state != NV_MODULE_LOADABLE)
        return "";
    if ((module == NV_THE_KVM_INTEL || module == NV_THE_KVM_AMD) &&
        nv_report_find(report, cpu)->answer == NESTVIRT_ANSWER_NO)
        return nv_report_find(report, cpu)->remedy;
    return nv_report_text(survey, "modprobe %s", it->name);
}

static void add_module(struct nv_survey *survey, enum nv_survey_module number, const char *name,
                       const char *title)
{
    static const char *const values[] = {
        [NV_MODULE_UNKNOWN] = "not loaded",     [NV_MODULE_ABSENT] = "not in this kernel",
        [NV_MODULE_LOADABLE] = "can be loaded", [NV_MODULE_LOADED] = "loaded",
        [NV_MODULE_BUILT_IN] = "built in",
    };
    const struct nv_module *module = &survey->modules[number];
    struct nv_fact fact = { .value = values[module->state] };
    const char *cpu = number == NV_THE_KVM_AMD ? "cpu.svm" : "cpu.vmx";

    if (module->state >= NV_MODULE_LOADED) {
        fact.answer = NESTVIRT_ANSWER_YES;
        fact.source = module->state == NV_MODULE_LOADED
                          ? nv_report_text(survey, "/sys/module/%s", module->name)
                          : "/sys/module, modules.builtin or /proc/misc";
        nv_report_add(survey, NESTVIRT_GROUP_MODULE, name, title, &fact);
        return;
    }
    fact.source = nv_report_text(survey, "/%s/modules.dep", survey->modules_folder);
    if (module->state == NV_MODULE_UNKNOWN) {
        fact.reason = "the list of modules cannot be read: it may be loadable or built in";
    } else {
        fact.answer = NESTVIRT_ANSWER_NO;
        fact.remedy = nv_survey_load(survey, number);
    }
    if ((number == NV_THE_KVM_INTEL || number == NV_THE_KVM_AMD) &&
        nv_report_find(survey->report, cpu)->answer == NESTVIRT_ANSWER_NO)
        fact.reason = nv_report_find(survey->report, cpu)->reason;
    nv_report_add(survey, NESTVIRT_GROUP_MODULE, name, title, &fact);
}

/* "200 tun": a driver that has made its device is there, though only modules stand in sys/module.
 */
static int match_device(void *data, const char *line)
{
    struct nv_module *modules = data;
    static const struct {
        enum nv_survey_module module;
        const char *device;
    } list[] = { { NV_THE_TUN, "tun" },
                 { NV_THE_VHOST_NET, "vhost-net" },
                 { NV_THE_VHOST_VSOCK, "vhost-vsock" } };

    for (size_t i = 0; i < NV_ARRAY_SIZE(list); i++)
        if (modules[list[i].module].state < NV_MODULE_LOADED &&
            nv_facts_has_word(line, list[i].device))
            modules[list[i].module].state = NV_MODULE_BUILT_IN;
    return 0;
}

static void add_modules(struct nv_survey *survey)
{
    nv_facts_lines(&survey->tree, "proc/misc", match_device, survey->modules);
    add_module(survey, NV_THE_KVM, "module.kvm", "kvm, what all KVM shares");
    add_module(survey, NV_THE_KVM_INTEL, "module.kvm_intel", "kvm_intel, KVM on VMX");
    add_module(survey, NV_THE_KVM_AMD, "module.kvm_amd", "kvm_amd, KVM on SVM");
    add_module(survey, NV_THE_IRQBYPASS, "module.irqbypass", "irqbypass");
    add_module(survey, NV_THE_TUN, "module.tun", "tun, network of guests by tap");
    add_module(survey, NV_THE_VHOST_NET, "module.vhost_net", "vhost_net");
    add_module(survey, NV_THE_VHOST_VSOCK, "module.vhost_vsock", "vhost_vsock");
}

/* How a module that makes KVM could be had. */
static void explain_missing(struct nv_survey *survey, struct nv_fact *fact)
{
    const enum nv_survey_module number =
        survey->vendor == NV_VENDOR_AMD ? NV_THE_KVM_AMD : NV_THE_KVM_INTEL;
    const struct nestvirt_report_item *cpu =
        nv_report_find(survey->report, number == NV_THE_KVM_AMD ? "cpu.svm" : "cpu.vmx");

    fact->answer = NESTVIRT_ANSWER_NO;
    fact->reason = "there is none";
    if (cpu->answer == NESTVIRT_ANSWER_NO) {
        fact->reason = cpu->reason;
        fact->remedy = cpu->remedy;
    } else if (survey->modules[number].state == NV_MODULE_LOADABLE) {
        fact->reason = nv_report_text(survey, "%s is not loaded", survey->modules[number].name);
        fact->remedy = nv_survey_load(survey, number);
    } else if (survey->modules[number].state >= NV_MODULE_LOADED) {
        fact->reason = "KVM's module is there, the device is not";
        fact->remedy = "give the device to this container, or look into dmesg for why KVM is off";
    }
}

static void add_kvm(struct nv_survey *survey)
{
    struct nv_fact fact = { .value = survey->device, .source = "open" };

    switch (survey->kvm) {
    case NV_KVM_ANSWERS:
        fact.answer = NESTVIRT_ANSWER_YES;
        break;
    case NV_KVM_MISSING:
        explain_missing(survey, &fact);
        break;
    case NV_KVM_DENIED:
        fact.answer = NESTVIRT_ANSWER_NO;
        fact.reason = "permission denied";
        fact.remedy = "usermod -aG kvm $USER, and log in again";
        break;
    case NV_KVM_BROKEN:
        fact.answer = NESTVIRT_ANSWER_NO;
        fact.reason = survey->kvm_reason;
        fact.remedy = survey->kvm_remedy;
        break;
    default:
        fact.reason = "it was not recorded whether it can be opened";
    }
    fact.value = nv_report_text(survey, "%s", survey->device);
    nv_report_add(survey, NESTVIRT_GROUP_DEVICE, "device.kvm", "KVM", &fact);
}

/* A device file by its permissions. It is not opened, which would load the module. */
static void add_device(struct nv_survey *survey, const char *name, const char *title,
                       const char *path, enum nv_survey_module module)
{
    int r = nv_facts_may_use(&survey->tree, path + 1);
    struct nv_fact fact = {
        .answer = r < 0 ? NESTVIRT_ANSWER_NO : NESTVIRT_ANSWER_YES,
        .value = path,
        .source = "access",
    };

    if (r == -EACCES || r == -EPERM) {
        fact.reason = "permission denied";
        fact.remedy = nv_report_text(survey, "let this user read and write %s", path);
    } else if (r == -ENOENT || r == -ENOTDIR) {
        fact.reason = "is missing";
        fact.remedy = nv_survey_load(survey, module);
    } else if (r < 0) {
        fact.answer = NESTVIRT_ANSWER_UNKNOWN;
        fact.reason = nv_report_why(r);
    } else if (survey->modules[module].state == NV_MODULE_LOADABLE) {
        fact.reason = "its module is loaded at first use";
    }
    nv_report_add(survey, NESTVIRT_GROUP_DEVICE, name, title, &fact);
}

/* A tap that exists may be used without it. */
static void add_tap_making(struct nv_survey *survey)
{
    struct nv_fact fact = { .value = "CAP_NET_ADMIN", .source = "/proc/self/status, CapEff" };
    char text[32];
    char *end;
    unsigned long long capabilities;
    int r = nv_facts_field(&survey->tree, "proc/self/status", "CapEff", text, sizeof(text));

    if (r < 0) {
        fact.reason = nv_report_text(survey, "/proc/self/status %s", nv_report_why(r));
    } else {
        capabilities = strtoull(text, &end, 16);
        if (end == text || *end)
            fact.reason = "/proc/self/status is not what the kernel puts there";
        else
            fact.answer =
                capabilities >> CAP_NET_ADMIN_BIT & 1 ? NESTVIRT_ANSWER_YES : NESTVIRT_ANSWER_NO;
    }
    if (fact.answer == NESTVIRT_ANSWER_NO) {
        fact.reason = "this process lacks CAP_NET_ADMIN";
        fact.remedy = "make taps beforehand: ip tuntap add NAME mode tap user $USER";
    }
    nv_report_add(survey, NESTVIRT_GROUP_DEVICE, "device.tap_making", "this process may make taps",
                  &fact);
}

void nv_survey_devices(struct nv_survey *survey)
{
    add_modules(survey);
    add_kvm(survey);
    add_device(survey, "device.tun", "taps", "/dev/net/tun", NV_THE_TUN);
    add_tap_making(survey);
    add_device(survey, "device.vhost_net", "network in the kernel", "/dev/vhost-net",
               NV_THE_VHOST_NET);
    add_device(survey, "device.vhost_vsock", "vsock in the kernel", "/dev/vhost-vsock",
               NV_THE_VHOST_VSOCK);
}
