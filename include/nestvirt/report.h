/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The report on a host: what its processor, its KVM, its devices and its limits allow, and whether
 * guests may run VMs of their own; and a plan: how many VMs of a given size fit.
 *
 * A report is a list of items that does not change after it was made. It needs no nestvirt_host,
 * so that it can also tell why opening one fails. It changes nothing on the host: no module is
 * loaded, no VM is made.
 */
#ifndef NESTVIRT_REPORT_H
#define NESTVIRT_REPORT_H

#include <nestvirt/error.h>

#ifdef __cplusplus
extern "C" {
#endif

struct nestvirt_report;

struct nestvirt_report_config {
    uint32_t size;
    uint32_t flags; /* 0 */
    /*
     * NULL or "/": this machine. Else a folder that holds a copy of what another one says: the
     * kernel's files below proc, sys, dev and lib/modules; `cpuid` as `cpuid -r` prints it; `msr`
     * with lines "0x48b 0xffffffff00000000"; and `kvm` with lines "name number", where the names
     * are open (an errno, 0 for success), api_version, KVM_CAP_*, nested_vmx and nested_svm. What
     * is missing is unknown. Nothing outside of the folder is opened.
     */
    const char *root;
    const char *device; /* KVM's device, NULL: /dev/kvm; only without another root */
};

/* Zeroes the structure and sets its size; never writes past caller_size bytes. */
void nestvirt_report_config_init(struct nestvirt_report_config *config, size_t caller_size);

/* nestvirt_report_item.answer */
enum {
    NESTVIRT_ANSWER_UNKNOWN = 0, /* could not be found out; reason says why */
    NESTVIRT_ANSWER_NO = 1,
    NESTVIRT_ANSWER_YES = 2
};

/* nestvirt_report_item.group; items of a group follow each other. */
enum {
    NESTVIRT_GROUP_HOST = 1,   /* what this machine is */
    NESTVIRT_GROUP_NESTED = 2, /* may guests run VMs of their own? */
    NESTVIRT_GROUP_CPU = 3,    /* what the processor has */
    NESTVIRT_GROUP_KVM = 4,    /* what KVM uses of it: the parameters of its module */
    NESTVIRT_GROUP_MODULE = 5, /* kernel modules: yes means loaded or built in */
    NESTVIRT_GROUP_DEVICE = 6, /* device files: yes means that this process may use it */
    NESTVIRT_GROUP_MEMORY = 7, /* number in bytes or as the title says */
    NESTVIRT_GROUP_LIMIT = 8   /* yes means that there is a limit, which is in number */
};

/* nestvirt_report_item.number of "host.kind" */
enum {
    NESTVIRT_KIND_UNKNOWN = 0,
    NESTVIRT_KIND_BARE_METAL = 1,
    NESTVIRT_KIND_KVM = 2, /* this and the following: a guest of it */
    NESTVIRT_KIND_XEN = 3,
    NESTVIRT_KIND_HYPERV = 4,
    NESTVIRT_KIND_VMWARE = 5,
    NESTVIRT_KIND_OTHER = 6
};

/* One question and its answer. The texts belong to the report; none is NULL, all may be "". */
struct nestvirt_report_item {
    uint32_t size;
    uint32_t flags;     /* 0 */
    uint32_t answer;    /* NESTVIRT_ANSWER_* */
    uint32_t group;     /* NESTVIRT_GROUP_* */
    uint64_t number;    /* where one is concerned; UINT64_MAX: no limit; else 0 */
    const char *name;   /* for programs, such as "nested.vmx", "cpu.ept", "limit.open_files" */
    const char *title;  /* for people */
    const char *value;  /* such as "guest of KVM" or "20000" */
    const char *reason; /* why the answer is this one, where that is not plain */
    const char *source; /* where it was read: a file, a CPUID leaf, an MSR, a KVM capability */
    const char *remedy; /* what to do about it, where something can be done */
};

/* Zeroes the structure and sets its size; never writes past caller_size bytes. */
void nestvirt_report_item_init(struct nestvirt_report_item *item, size_t caller_size);

/*
 * Makes a report, which takes some milliseconds. Files that cannot be read, or hold something
 * else than the kernel writes there, make items unknown, not the call fail.
 *
 * config: NULL for the defaults.
 * Errors: -ENOENT, -ENOTDIR, -EACCES of root; -EINVAL for a device together with a root; -EMFILE,
 * -ENFILE, -ENOMEM.
 */
int nestvirt_report_new(const struct nestvirt_report_config *config,
                        struct nestvirt_report **ret_report, struct nestvirt_error **ret_error);

/* Frees a report and the texts of its items. NULL is allowed. Returns 0 or -EBADF. */
int nestvirt_report_free(struct nestvirt_report *report);

/*
 * Reads item number position (from 0). -ENOENT behind the last one. A report and its texts may be
 * read by several threads at once, and in a child process after fork().
 */
int nestvirt_report_get_item(const struct nestvirt_report *report, uint32_t position,
                             struct nestvirt_report_item *item, struct nestvirt_error **ret_error);

/* Reads the item of a name. -ENOENT if there is none, -EFAULT for NULL. */
int nestvirt_report_get_named(const struct nestvirt_report *report, const char *name,
                              struct nestvirt_report_item *item, struct nestvirt_error **ret_error);

/* The name of an answer: "yes", "no", "unknown"; static; "unknown" for other values. */
const char *nestvirt_report_answer_name(uint32_t answer);

/* The name of a group: "host", "nested", ...; static; "unknown" for other values. */
const char *nestvirt_report_group_name(uint32_t group);

/* The VMs that somebody wants, all alike, in this process. */
struct nestvirt_plan_config {
    uint32_t size;
    uint32_t flags;       /* 0 */
    uint64_t memory_size; /* bytes of RAM of each */
    uint32_t vms;         /* how many; 0: only asks how many fit */
    uint32_t vcpus;       /* of each; _init sets 1 */
    uint32_t devices;     /* of each: blk, net and the like, with their usual properties */
    uint32_t files;       /* boot files that each keeps: kernel and initrd; _init sets 2 */
};

/* Zeroes the structure and sets size, vcpus and files; never writes past caller_size bytes. */
void nestvirt_plan_config_init(struct nestvirt_plan_config *config, size_t caller_size);

/*
 * What becomes of a plan, twice: `idle`, if guests use hardly any of their memory; and `touched`,
 * if each comes to use all of it, as guests do in time. What lies between the two works for as
 * long as memory is overcommitted with luck; past it the kernel ends processes to get memory.
 */
struct nestvirt_plan {
    uint32_t size;
    uint32_t flags;          /* 0 */
    uint32_t idle;           /* NESTVIRT_ANSWER_*: can so many VMs be made? */
    uint32_t touched;        /* NESTVIRT_ANSWER_*: and may they use all their memory? */
    uint64_t idle_vms;       /* how many can be made; UINT64_MAX: nothing known stops them */
    uint64_t touched_vms;    /* how many may use all their memory */
    uint64_t idle_memory;    /* bytes that the host needs for the planned ones */
    uint64_t touched_memory; /* the same, all memory touched */
    uint64_t descriptors;    /* open files of the planned ones */
    uint64_t mappings;       /* of memory, in this process */
    uint64_t threads;        /* with KVM's own, which count as well */
    uint64_t needed;         /* of what idle_limit limits, by the planned ones */
    uint64_t available;      /* and what is left of it now */
    const char *idle_limit;  /* name of the item that stops more than idle_vms; "": none is known */
    const char
        *touched_limit;  /* that stops more than touched_vms; never "" where idle_limit is not */
    const char *unknown; /* name of an item that may stop them earlier but is unknown; or "" */
};

/* Zeroes the structure and sets its size; never writes past caller_size bytes. */
void nestvirt_plan_init(struct nestvirt_plan *plan, size_t caller_size);

/*
 * Says whether planned VMs fit, by what the report knows: limits and memory less what was in use
 * when it was made. VMs are counted at the most that an idle one costs, so that a few more than
 * idle_vms may be possible. The names belong to the report.
 * Errors: -EINVAL for no vCPU, and for memory that is 0 or above 16 TiB.
 */
int nestvirt_report_get_plan(const struct nestvirt_report *report,
                             const struct nestvirt_plan_config *config, struct nestvirt_plan *plan,
                             struct nestvirt_error **ret_error);

#ifdef __cplusplus
}
#endif

#endif
