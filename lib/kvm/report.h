/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the report on a host: its items, how they are found out, and plans by them. */
#ifndef NV_KVM_REPORT_H
#define NV_KVM_REPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <nestvirt/host.h>
#include <nestvirt/report.h>

#include "host/facts.h"
#include "host/module.h"
#include "host/tree.h"

enum {
    NV_REPORT_ITEMS_MAX = 128, /* there are about 80; a pool for each size of huge pages */
    NV_REPORT_TEXTS = 49152,   /* bytes of texts made for the items */
    NV_REPORT_TEXT_MAX = 512   /* bytes of one of them */
};

/* What a plan may run out of. */
enum nv_room_kind {
    NV_ROOM_DESCRIPTORS,
    NV_ROOM_SYSTEM_FILES,
    NV_ROOM_MAPPINGS,
    NV_ROOM_PROCESSES,
    NV_ROOM_THREADS,
    NV_ROOM_PIDS,
    NV_ROOM_GROUP_PIDS,
    NV_ROOM_ADDRESSES,
    NV_ROOM_DATA,
    NV_ROOM_MEMORY,
    NV_ROOM_GROUP_MEMORY,
    NV_ROOM_COMMIT,
    NV_ROOMS
};

struct nv_room {
    const char *item; /* NULL: nothing is said of it */
    bool is_known;
    uint64_t left; /* UINT64_MAX: no limit */
};

struct nestvirt_report {
    uint32_t tag;
    uint32_t count;
    struct nestvirt_report_item items[NV_REPORT_ITEMS_MAX];
    struct nv_room rooms[NV_ROOMS];
    bool has_paging;    /* guests' pages are translated by the processor: EPT or NPT is in use */
    bool is_usable;     /* KVM answers */
    uint32_t max_vcpus; /* of a VM; 0: unknown */
    size_t used;
    char texts[NV_REPORT_TEXTS];
};

/* What an item says; texts NULL are "". */
struct nv_fact {
    uint32_t answer;
    uint64_t number;
    const char *value;
    const char *reason;
    const char *source;
    const char *remedy;
};

enum nv_vendor { NV_VENDOR_UNKNOWN, NV_VENDOR_INTEL, NV_VENDOR_AMD };

/* The registers of a CPUID leaf. */
struct nv_cpuid_leaf {
    uint32_t eax, ebx, ecx, edx;
};

enum { NV_FLAGS_MAX = 4096 }; /* bytes of a line of flags in proc/cpuinfo */

/* The modules that are asked for. */
enum nv_survey_module {
    NV_THE_KVM,
    NV_THE_KVM_INTEL,
    NV_THE_KVM_AMD,
    NV_THE_KVM_PVM,
    NV_THE_IRQBYPASS,
    NV_THE_TUN,
    NV_THE_VHOST_NET,
    NV_THE_VHOST_VSOCK,
    NV_THE_MODULES
};

enum nv_kvm_state {
    NV_KVM_UNKNOWN, /* a recorded machine that does not tell */
    NV_KVM_MISSING,
    NV_KVM_DENIED,
    NV_KVM_BROKEN, /* another error, in survey.kvm_reason */
    NV_KVM_ANSWERS
};

/* What is known while a report is made. */
struct nv_survey {
    struct nestvirt_report *report;
    struct nv_tree tree;
    bool is_live;       /* this machine, not a recorded one */
    const char *device; /* of KVM */

    bool has_cpuinfo;
    bool has_vmx_flags;
    enum nv_vendor vendor;
    char flags[NV_FLAGS_MAX];
    char vmx_flags[NV_FLAGS_MAX];

    struct nv_module modules[NV_THE_MODULES];
    char modules_folder[128]; /* "": the release is unknown */

    enum nv_kvm_state kvm;
    const char *kvm_reason;
    const char *kvm_remedy;
    struct nestvirt_host *host; /* open while groups KVM and NESTED are made; NULL if recorded */
};

/* --- report.c --- */

/* Adds an item; names and titles are static. */
void nv_report_add(struct nv_survey *survey, uint32_t group, const char *name, const char *title,
                   const struct nv_fact *fact);

/* A text that lives as long as the report; what cannot be printed becomes '?'. */
const char *nv_report_text(struct nv_survey *survey, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Finds an item; NULL. */
const struct nestvirt_report_item *nv_report_find(const struct nestvirt_report *report,
                                                  const char *name);

/* True if an item's answer is yes. */
bool nv_report_is_yes(const struct nestvirt_report *report, const char *name);

/* Why a file could not be read, such as "is missing" or "permission denied". */
const char *nv_report_why(int code);

/* Makes a report; config is of our size. Errors: nestvirt_report_new(). */
int nv_report_new(const struct nestvirt_report_config *config, struct nestvirt_report **ret_report,
                  struct nestvirt_error **ret_error);

/* --- The parts, in the order in which they are made --- */

void nv_survey_cpu(struct nv_survey *survey);     /* report_cpu_x86_64.c: group CPU */
void nv_survey_host(struct nv_survey *survey);    /* report_host.c: group HOST */
void nv_survey_kvm(struct nv_survey *survey);     /* report_kvm.c: groups KVM and NESTED */
void nv_survey_devices(struct nv_survey *survey); /* report_devices.c: MODULE and DEVICE */
void nv_survey_memory(struct nv_survey *survey);  /* report_memory.c: group MEMORY */
void nv_survey_limits(struct nv_survey *survey);  /* report_limits.c: group LIMIT */

/* "modprobe kvm_intel" if that can be done and would help; else "". */
const char *nv_survey_load(struct nv_survey *survey, enum nv_survey_module module);

/* True if the module that makes KVM work here is the interpreter. */
bool nv_survey_is_interpreted(const struct nv_survey *survey);

/* --- Registers of the processor (report_registers_x86_64.c) --- */

/* Reads a CPUID leaf: of this processor, or as recorded. False: there is none. */
bool nv_survey_cpuid(const struct nv_survey *survey, uint32_t leaf, uint32_t index,
                     struct nv_cpuid_leaf *ret_leaf);

/* Reads an MSR of the first processor. 0 or -errno. */
int nv_survey_msr(const struct nv_survey *survey, uint32_t number, uint64_t *ret_value);

/* --- Plans (report_plan.c) --- */

void nv_report_plan(const struct nestvirt_report *report, const struct nestvirt_plan_config *config,
                    struct nestvirt_plan *ret_plan);

#endif
