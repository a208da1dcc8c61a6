/* SPDX-License-Identifier: Apache-2.0 */
/* Owns recorded machines for tests of the report: what their kernels say, written into folders. */
#ifndef TESTS_UNIT_REPORT_TREES_H
#define TESTS_UNIT_REPORT_TREES_H

#include <nestvirt/nestvirt.h>

/*
 * Made by hand from the formats that the kernel documents (proc(5), the KVM API, modules.dep(5),
 * the cgroup documents) and that `cpuid -r` prints.
 */
enum tree_machine {
    TREE_INTEL_FULL,   /* bare metal with VMCS shadowing and posted interrupts */
    TREE_INTEL_PLAIN,  /* without both, nested=N */
    TREE_INTEL_OLD,    /* Linux 4.19: the kernel lists no flags of VMX, MSRs are readable */
    TREE_INTEL_SILENT, /* the same, MSRs are not */
    TREE_AMD_FULL,     /* with AVIC and vGIF; a guest of Hyper-V */
    TREE_AMD_PLAIN,    /* without */
    TREE_CLOUD,        /* a guest of KVM that gets no VMX */
    TREE_INTERPRETED,  /* the same with kvm_pvm */
    TREE_NOT_LOADED,   /* bare metal, kvm_intel could be loaded; memory is not overcommitted */
    TREE_DENIED,       /* TREE_INTEL_FULL, but KVM may not be opened */
    TREE_FIRMWARE_OFF, /* VMX is locked off */
    TREE_XEN,          /* a guest of Xen */
    TREE_VMWARE,       /* a guest of VMware that has hidden its CPUID name */
    TREE_EMPTY,        /* nothing at all */
    TREE_MACHINES
};

extern const char *const tree_names[TREE_MACHINES];

/* Writes a machine into a new folder, whose path it returns; one at a time. */
const char *tree_make(enum tree_machine machine);

/* Adds or replaces a file; NULL removes it. */
void tree_put(const char *path, const char *text);
void tree_put_bytes(const char *path, const void *bytes, size_t length);

/* The path of a file within the folder; valid until the next call. */
const char *tree_path(const char *path);

/* Removes the folder, if there is one. */
void tree_remove(void);

/* The report on the folder; fails the test if there is none. Free it. */
struct nestvirt_report *tree_report(void);

/* An item by its name; fails the test if there is none. */
struct nestvirt_report_item tree_item(struct nestvirt_report *report, const char *name);

#endif
