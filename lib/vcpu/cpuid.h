/* SPDX-License-Identifier: Apache-2.0 */
/* Owns what CPUID tells the guest: KVM's supported set, the VM's masks, the topology. */
#ifndef NV_VCPU_CPUID_H
#define NV_VCPU_CPUID_H

#include <stdbool.h>
#include <stdint.h>

#include "kvm/kvm.h"

enum { NV_CPUID_MASKS_MAX = 64 };

struct nv_cpuid_mask {
    uint32_t leaf;
    uint32_t index;
    uint32_t cpu_register; /* 0 eax ... 3 edx */
    uint32_t clear;
    uint32_t set;
};

/* What a VM changes of what KVM supports. */
struct nv_cpuid_masks {
    bool shows_nested; /* VMX or SVM stay, where KVM offers them */
    uint32_t count;
    struct nv_cpuid_mask rows[NV_CPUID_MASKS_MAX];
};

/* Adds a mask. Errors: nestvirt_vm_add_cpuid_mask(). */
int nv_cpuid_add_mask(struct nv_cpuid_masks *masks, const struct nv_cpuid_mask *mask,
                      const struct nestvirt_host *host, struct nestvirt_error **ret_error);

/*
 * Fills list with what vCPU number index of count sees: one thread per core, one package, APIC id
 * = index.
 */
void nv_cpuid_fill(union nv_cpuid *list, const struct nestvirt_host *host,
                   const struct nv_cpuid_masks *masks, uint32_t index, uint32_t count,
                   bool has_irqchip);

/* The words of features that software looks at, as a vCPU with this list sees them. */
enum { NV_CPUID_WORDS = 8 };
void nv_cpuid_get_features(union nv_cpuid *list, uint32_t ret_words[NV_CPUID_WORDS]);

#endif
