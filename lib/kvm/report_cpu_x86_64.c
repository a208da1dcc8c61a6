/* SPDX-License-Identifier: Apache-2.0 */
/* Owns what the report says of the processor: each feature of virtualization, and who tells it. */
#include <string.h>

#include "core/util.h"
#include "kvm/report.h"

enum { EBX, ECX, EDX };

/* MSRs of VMX (Intel SDM volume 3, appendix A); what may be switched on is in the upper half. */
enum { MSR_FEATURE_CONTROL = 0x3a, MSR_PIN_CONTROLS = 0x481, MSR_SECONDARY_CONTROLS = 0x48b };
#define FEATURE_CONTROL_LOCKED 0x1u
#define FEATURE_CONTROL_VMX 0x4u

#define ALLOWED(bit) (1ull << (32 + (bit)))

/* A feature and where it is told. AMD's stand in a CPUID leaf, Intel's but for VMX in MSRs. */
struct row {
    const char *name;
    const char *title;
    enum nv_vendor vendor;
    const char *flag; /* in proc/cpuinfo, "flags" or "vmx flags" */
    uint32_t leaf;    /* 0: none */
    uint32_t leaf_register;
    uint32_t leaf_bit;
    uint32_t msr; /* 0: none */
    uint64_t msr_bits;
};

#define BASES 2
static const struct row rows[] = {
    { "cpu.vmx", "VMX, virtualization by Intel", NV_VENDOR_INTEL, "vmx", 0x1, ECX, 5, 0, 0 },
    { "cpu.svm", "SVM, virtualization by AMD", NV_VENDOR_AMD, "svm", 0x80000001u, ECX, 2, 0, 0 },
    { "cpu.ept", "EPT, pages of guests translated by the processor", NV_VENDOR_INTEL, "ept", 0, 0,
      0, MSR_SECONDARY_CONTROLS, ALLOWED(1) },
    { "cpu.unrestricted_guest", "unrestricted guest, real mode without emulation", NV_VENDOR_INTEL,
      "unrestricted_guest", 0, 0, 0, MSR_SECONDARY_CONTROLS, ALLOWED(7) },
    { "cpu.vpid", "VPID, the TLB survives exits", NV_VENDOR_INTEL, "vpid", 0, 0, 0,
      MSR_SECONDARY_CONTROLS, ALLOWED(5) },
    { "cpu.vmcs_shadowing", "VMCS shadowing, nested guests with fewer exits", NV_VENDOR_INTEL,
      "shadow_vmcs", 0, 0, 0, MSR_SECONDARY_CONTROLS, ALLOWED(14) },
    { "cpu.apicv", "APICv, interrupts without exits", NV_VENDOR_INTEL, "apicv", 0, 0, 0,
      MSR_SECONDARY_CONTROLS, ALLOWED(8) | ALLOWED(9) },
    { "cpu.posted_interrupts", "posted interrupts", NV_VENDOR_INTEL, "posted_intr", 0, 0, 0,
      MSR_PIN_CONTROLS, ALLOWED(7) },
    { "cpu.npt", "NPT, pages of guests translated by the processor", NV_VENDOR_AMD, "npt",
      0x8000000au, EDX, 0, 0, 0 },
    { "cpu.avic", "AVIC, interrupts without exits", NV_VENDOR_AMD, "avic", 0x8000000au, EDX, 13, 0,
      0 },
    { "cpu.vgif", "vGIF, nested guests with fewer exits", NV_VENDOR_AMD, "vgif", 0x8000000au, EDX,
      16, 0, 0 },
};

static const char *const vendor_reason[] = {
    [NV_VENDOR_UNKNOWN] = "",
    [NV_VENDOR_INTEL] = "this is an Intel processor",
    [NV_VENDOR_AMD] = "this is an AMD processor",
};

/* -1: nobody tells; else the bit. */
static int ask_cpuid(const struct nv_survey *survey, const struct row *row)
{
    struct nv_cpuid_leaf leaf;
    uint32_t value;

    if (!row->leaf || !nv_survey_cpuid(survey, row->leaf, 0, &leaf))
        return -1;
    value = row->leaf_register == ECX ? leaf.ecx : leaf.edx;
    return value >> row->leaf_bit & 1;
}

static const char *cpuid_source(struct nv_survey *survey, const struct row *row)
{
    return nv_report_text(survey, "CPUID 0x%x, %s bit %u", row->leaf,
                          row->leaf_register == ECX ? "ecx" : "edx", row->leaf_bit);
}

/* Why VMX or SVM is not there, though the processor may have it. */
static void explain_base(struct nv_survey *survey, const struct row *row, struct nv_fact *fact)
{
    uint64_t control;

    fact->answer = NESTVIRT_ANSWER_NO;
    if (ask_cpuid(survey, row) == 1) {
        fact->reason = "the processor has it, but the kernel found it switched off by the firmware";
        fact->remedy = "switch on virtualization in the firmware";
        if (row->vendor == NV_VENDOR_INTEL &&
            nv_survey_msr(survey, MSR_FEATURE_CONTROL, &control) == 0 &&
            (control & FEATURE_CONTROL_LOCKED) && !(control & FEATURE_CONTROL_VMX))
            fact->source = "MSR 0x3a, bits 0 and 2";
    } else if (nv_facts_has_word(survey->flags, "hypervisor")) {
        fact->reason = "the hypervisor that this machine is a guest of does not pass it on";
        fact->remedy =
            "ask for nested virtualization where this machine is made, or use bare metal";
    } else {
        fact->reason = "the processor has none, or the firmware hides it";
        fact->remedy = "switch on virtualization in the firmware";
    }
}

/* By CPUID or MSR, where the kernel's list of flags does not tell. */
static void ask_processor(struct nv_survey *survey, const struct row *row, struct nv_fact *fact)
{
    int bit = ask_cpuid(survey, row);
    uint64_t value;
    int r;

    if (bit >= 0) {
        fact->answer = bit ? NESTVIRT_ANSWER_YES : NESTVIRT_ANSWER_NO;
        fact->source = cpuid_source(survey, row);
        return;
    }
    if (!row->msr) {
        fact->reason = "neither /proc/cpuinfo nor CPUID can be read";
        fact->source = cpuid_source(survey, row);
        return;
    }
    r = nv_survey_msr(survey, row->msr, &value);
    fact->source = nv_report_text(survey, "MSR 0x%x", row->msr);
    if (r == 0) {
        fact->answer =
            (value & row->msr_bits) == row->msr_bits ? NESTVIRT_ANSWER_YES : NESTVIRT_ANSWER_NO;
        return;
    }
    fact->reason = nv_report_text(
        survey, "/proc/cpuinfo has no line \"vmx flags\", and /dev/cpu/0/msr %s", nv_report_why(r));
    fact->remedy = "use Linux 5.6 or later, or load the module msr and look as root";
}

static bool has_flag(const struct nv_survey *survey, const struct row *row)
{
    return nv_facts_has_word(survey->flags, row->flag) ||
           nv_facts_has_word(survey->vmx_flags, row->flag);
}

/* True if the kernel lists the feature wherever it is there. */
static bool is_listed(const struct nv_survey *survey, const struct row *row)
{
    return row->msr ? survey->has_vmx_flags : survey->has_cpuinfo;
}

static void ask(struct nv_survey *survey, const struct row *row, struct nv_fact *fact)
{
    const struct nestvirt_report *report = survey->report;
    const char *base = row->vendor == NV_VENDOR_INTEL ? "cpu.vmx" : "cpu.svm";
    bool is_base = row - rows < BASES;

    if (survey->vendor != NV_VENDOR_UNKNOWN && survey->vendor != row->vendor) {
        fact->answer = NESTVIRT_ANSWER_NO;
        fact->reason = vendor_reason[survey->vendor];
        fact->source = "/proc/cpuinfo, vendor_id";
        return;
    }
    if (!is_base && nv_report_find(report, base)->answer != NESTVIRT_ANSWER_YES) {
        fact->answer = nv_report_find(report, base)->answer;
        fact->reason = row->vendor == NV_VENDOR_INTEL ? "see VMX" : "see SVM";
        fact->source = nv_report_find(report, base)->source;
        return;
    }
    if (!is_listed(survey, row) && !has_flag(survey, row)) {
        ask_processor(survey, row, fact);
        return;
    }
    fact->answer = has_flag(survey, row) ? NESTVIRT_ANSWER_YES : NESTVIRT_ANSWER_NO;
    fact->source = row->msr && survey->has_vmx_flags
                       ? nv_report_text(survey, "/proc/cpuinfo, vmx flags: %s", row->flag)
                       : nv_report_text(survey, "/proc/cpuinfo, flags: %s", row->flag);
    if (fact->answer == NESTVIRT_ANSWER_YES)
        return;
    if (is_base)
        explain_base(survey, row, fact);
    else if (ask_cpuid(survey, row) == 1)
        fact->reason = "CPUID has it, but this kernel does not use it";
    else
        fact->reason = "the processor has none, or a hypervisor does not pass it on";
}

/* Without proc/cpuinfo the processor says who made it (CPUID leaf 0). */
static void find_vendor(struct nv_survey *survey)
{
    struct nv_cpuid_leaf leaf;
    char name[13] = "";

    if (survey->vendor != NV_VENDOR_UNKNOWN || !nv_survey_cpuid(survey, 0, 0, &leaf))
        return;
    nv_put_le32(name, leaf.ebx);
    nv_put_le32(name + 4, leaf.edx);
    nv_put_le32(name + 8, leaf.ecx);
    if (strcmp(name, "GenuineIntel") == 0)
        survey->vendor = NV_VENDOR_INTEL;
    else if (strcmp(name, "AuthenticAMD") == 0 || strcmp(name, "HygonGenuine") == 0)
        survey->vendor = NV_VENDOR_AMD;
}

void nv_survey_cpu(struct nv_survey *survey)
{
    find_vendor(survey);
    for (size_t i = 0; i < NV_ARRAY_SIZE(rows); i++) {
        struct nv_fact fact = { .answer = NESTVIRT_ANSWER_UNKNOWN };

        ask(survey, &rows[i], &fact);
        nv_report_add(survey, NESTVIRT_GROUP_CPU, rows[i].name, rows[i].title, &fact);
    }
}
