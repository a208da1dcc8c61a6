/* SPDX-License-Identifier: Apache-2.0 */
/* Owns what CPUID tells the guest: KVM's supported set, the VM's masks, the topology. */
#include <errno.h>
#include <string.h>

#include "core/util.h"
#include "vcpu/cpuid.h"

/* Leaves by their numbers (Intel SDM volume 2, CPUID; AMD APM volume 3, appendix E). */
enum { LEAF_FEATURES = 0x1, LEAF_CACHES = 0x4, LEAF_EXTENDED = 0x7 };
enum { LEAF_TOPOLOGY = 0xb, LEAF_TOPOLOGY_2 = 0x1f };
#define LEAF_KVM_FEATURES 0x40000001u
#define LEAF_AMD_FEATURES 0x80000001u
#define LEAF_AMD_SIZES 0x80000008u
#define LEAF_AMD_SVM 0x8000000au
#define LEAF_AMD_CACHES 0x8000001du
#define LEAF_AMD_TOPOLOGY 0x8000001eu

#define ECX_VMX (1u << 5) /* leaf 1 */
#define ECX_SVM (1u << 2) /* leaf 0x80000001 */

/* KVM features that need the local APIC in the kernel: async page faults, PV EOI, unhalt, IPIs. */
#define KVM_APIC_FEATURES (1u << 4 | 1u << 6 | 1u << 7 | 1u << 11 | 1u << 13 | 1u << 14 | 1u << 15)

static struct kvm_cpuid_entry2 *find(struct kvm_cpuid2 *list, uint32_t leaf, uint32_t index)
{
    for (uint32_t i = 0; i < list->nent; i++) {
        struct kvm_cpuid_entry2 *entry = &list->entries[i];

        if (entry->function != leaf)
            continue;
        if (!(entry->flags & KVM_CPUID_FLAG_SIGNIFCANT_INDEX) || entry->index == index)
            return entry;
    }
    return NULL;
}

static uint32_t *register_of(struct kvm_cpuid_entry2 *entry, uint32_t number)
{
    uint32_t *registers[] = { &entry->eax, &entry->ebx, &entry->ecx, &entry->edx };

    return registers[number];
}

int nv_cpuid_add_mask(struct nv_cpuid_masks *masks, const struct nv_cpuid_mask *mask,
                      const struct nestvirt_host *host, struct nestvirt_error **ret_error)
{
    const struct nv_text name = nv_text("CPUID leaf 0x%x index %u", mask->leaf, mask->index);

    if (mask->cpu_register > 3)
        return nv_fail(ret_error, -EINVAL, name.s, "use 0 (eax) to 3 (edx)",
                       "there is no register %u", mask->cpu_register);
    if (mask->clear & mask->set)
        return nv_fail(ret_error, -EINVAL, name.s, "put each bit in one of them",
                       "clear and set share bits 0x%x", mask->clear & mask->set);
    if (!find((struct kvm_cpuid2 *)&host->cpuid.list, mask->leaf, mask->index))
        return nv_fail(ret_error, -ENOENT, name.s, "see nestvirt_host_get_cpuid",
                       "is not offered by this host");
    if (masks->count >= NV_CPUID_MASKS_MAX)
        return nv_fail(ret_error, -ENOSPC, name.s, "join masks of one register",
                       "a VM has at most %d masks", NV_CPUID_MASKS_MAX);
    masks->rows[masks->count++] = *mask;
    return 0;
}

static void apply_masks(struct kvm_cpuid2 *list, const struct nv_cpuid_masks *masks)
{
    for (uint32_t i = 0; i < masks->count; i++) {
        const struct nv_cpuid_mask *mask = &masks->rows[i];
        struct kvm_cpuid_entry2 *entry = find(list, mask->leaf, mask->index);
        uint32_t *value = entry ? register_of(entry, mask->cpu_register) : NULL;

        if (value)
            *value = (*value & ~mask->clear) | mask->set;
    }
}

/* Bits that hold numbers 0 to count - 1. */
static uint32_t bits_for(uint32_t count)
{
    uint32_t bits = 0;

    while ((1u << bits) < count)
        bits++;
    return bits;
}

static void set_features(struct kvm_cpuid2 *list, const struct nestvirt_host *host, uint32_t index,
                         uint32_t count, bool has_irqchip)
{
    struct kvm_cpuid_entry2 *entry = find(list, LEAF_FEATURES, 0);

    if (entry) {
        entry->ebx = (entry->ebx & 0x0000ffffu) | (count & 0xff) << 16 | index << 24;
        entry->edx = count > 1 ? entry->edx | 1u << 28 : entry->edx & ~(1u << 28);
        entry->ecx |= 1u << 31; /* a hypervisor is present */
        if (!has_irqchip)
            entry->ecx &= ~(1u << 21 | 1u << 24);
        else if (host->info.features & NESTVIRT_HOST_TSC_DEADLINE)
            entry->ecx |= 1u << 24;
    }
    entry = find(list, LEAF_KVM_FEATURES, 0);
    if (entry && !has_irqchip)
        entry->eax &= ~KVM_APIC_FEATURES;
}

/* Leaves 0xb and 0x1f: level 0 is the thread (one per core), level 1 the core (count of them). */
static void set_topology(struct kvm_cpuid2 *list, uint32_t leaf, uint32_t index, uint32_t count)
{
    for (uint32_t i = 0; i < list->nent; i++) {
        struct kvm_cpuid_entry2 *entry = &list->entries[i];

        if (entry->function != leaf)
            continue;
        entry->edx = index;
        entry->eax = entry->index == 1 ? bits_for(count) : 0;
        entry->ebx = entry->index == 0 ? 1 : entry->index == 1 ? count : 0;
        entry->ecx = entry->index | (entry->index < 2 ? (entry->index + 1) << 8 : 0);
    }
}

/* KVM may report only level 0 of leaf 0xb: the guest needs level 1 and the end. */
static void add_topology_levels(struct kvm_cpuid2 *list, uint32_t leaf)
{
    const struct kvm_cpuid_entry2 *first = find(list, leaf, 0);

    if (!first)
        return;
    for (uint32_t level = 1; level <= 2; level++) {
        const struct kvm_cpuid_entry2 *there = find(list, leaf, level);

        if ((there && there->index == level) || list->nent >= NV_KVM_CPUID_MAX)
            continue;
        list->entries[list->nent++] = (struct kvm_cpuid_entry2){
            .function = leaf, .index = level, .flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX
        };
    }
}

static void set_caches(struct kvm_cpuid2 *list, uint32_t count)
{
    for (uint32_t i = 0; i < list->nent; i++) {
        struct kvm_cpuid_entry2 *entry = &list->entries[i];
        uint32_t level = entry->eax >> 5 & 7;
        uint32_t sharing = level >= 3 ? count - 1 : 0;

        if ((entry->function != LEAF_CACHES && entry->function != LEAF_AMD_CACHES) ||
            (entry->eax & 0x1f) == 0)
            continue;
        entry->eax = (entry->eax & 0x3fffu) | sharing << 14;
        if (entry->function == LEAF_CACHES)
            entry->eax |= NV_MIN(count - 1, 63u) << 26;
    }
}

static void set_amd_topology(struct kvm_cpuid2 *list, uint32_t index, uint32_t count)
{
    struct kvm_cpuid_entry2 *entry = find(list, LEAF_AMD_SIZES, 0);

    if (entry)
        entry->ecx = (entry->ecx & ~0xf0ffu) | bits_for(count) << 12 | (count - 1);
    entry = find(list, LEAF_AMD_TOPOLOGY, 0);
    if (entry) {
        entry->eax = index;        /* extended APIC id */
        entry->ebx = index & 0xff; /* core id, one thread per core */
        entry->ecx = 0;            /* one node */
        entry->edx = 0;
    }
    entry = find(list, LEAF_AMD_FEATURES, 0);
    if (entry) /* CmpLegacy says that the logical count above is of cores */
        entry->ecx = count > 1 ? entry->ecx | 1u << 1 : entry->ecx & ~(1u << 1);
}

/* VMX and SVM, and the leaf that tells SVM's features: KVM then has no nested guests to expect. */
static void hide_nested(struct kvm_cpuid2 *list)
{
    struct kvm_cpuid_entry2 *entry = find(list, LEAF_FEATURES, 0);

    if (entry)
        entry->ecx &= ~ECX_VMX;
    entry = find(list, LEAF_AMD_FEATURES, 0);
    if (entry)
        entry->ecx &= ~ECX_SVM;
    entry = find(list, LEAF_AMD_SVM, 0);
    if (entry)
        entry->eax = entry->ebx = entry->ecx = entry->edx = 0;
}

void nv_cpuid_fill(union nv_cpuid *list, const struct nestvirt_host *host,
                   const struct nv_cpuid_masks *masks, uint32_t index, uint32_t count,
                   bool has_irqchip)
{
    struct kvm_cpuid2 *entries = &list->list;

    memcpy(list, &host->cpuid,
           sizeof(host->cpuid.list) + host->cpuid.list.nent * sizeof(struct kvm_cpuid_entry2));
    apply_masks(entries, masks);
    if (!masks->shows_nested)
        hide_nested(entries);
    add_topology_levels(entries, LEAF_TOPOLOGY);
    add_topology_levels(entries, LEAF_TOPOLOGY_2);
    set_features(entries, host, index, count, has_irqchip);
    set_topology(entries, LEAF_TOPOLOGY, index, count);
    set_topology(entries, LEAF_TOPOLOGY_2, index, count);
    set_caches(entries, count);
    set_amd_topology(entries, index, count);
}

void nv_cpuid_get_features(union nv_cpuid *list, uint32_t ret_words[NV_CPUID_WORDS])
{
    static const struct {
        uint32_t leaf, index, number;
    } places[NV_CPUID_WORDS] = {
        { LEAF_FEATURES, 0, 2 },     { LEAF_FEATURES, 0, 3 },     { LEAF_EXTENDED, 0, 1 },
        { LEAF_EXTENDED, 0, 2 },     { LEAF_EXTENDED, 0, 3 },     { LEAF_AMD_FEATURES, 0, 2 },
        { LEAF_AMD_FEATURES, 0, 3 }, { LEAF_KVM_FEATURES, 0, 0 },
    };

    for (uint32_t i = 0; i < NV_CPUID_WORDS; i++) {
        struct kvm_cpuid_entry2 *entry = find(&list->list, places[i].leaf, places[i].index);

        ret_words[i] = entry ? *register_of(entry, places[i].number) : 0;
    }
}
