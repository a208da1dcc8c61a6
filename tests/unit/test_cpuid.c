/* SPDX-License-Identifier: Apache-2.0 */
/* Proves what CPUID tells guests: topology for each number of vCPUs, masks, what a chip allows. */
#include <errno.h>
#include <string.h>

#include "core/util.h"
#include "fake_kvm.h"
#include "support.h"
#include "vcpu/cpuid.h"

enum { EAX, EBX, ECX, EDX };
#define X2APIC (1u << 21)
#define TSC_DEADLINE (1u << 24)
#define HYPERVISOR (1u << 31)
#define HTT (1u << 28)
#define VMX (1u << 5)

static struct nestvirt_host *host;
static struct nv_cpuid_masks masks;
static union nv_cpuid list;

static void setup(void)
{
    fake_kvm_reset();
    host = fake_kvm_host();
    memset(&masks, 0, sizeof(masks));
}

static void teardown(void)
{
    nv_host_unref(host);
}

static const struct kvm_cpuid_entry2 *leaf_at(uint32_t leaf, uint32_t index)
{
    for (uint32_t i = 0; i < list.list.nent; i++)
        if (list.list.entries[i].function == leaf && list.list.entries[i].index == index)
            return &list.list.entries[i];
    ck_abort_msg("no leaf 0x%x index %u", leaf, index);
    return NULL;
}

static void fill(uint32_t index, uint32_t count, bool has_irqchip)
{
    memset(&list, 0xee, sizeof(list));
    nv_cpuid_fill(&list, host, &masks, index, count, has_irqchip);
    ck_assert_uint_le(list.list.nent, NV_KVM_CPUID_MAX);
}

static const struct {
    uint32_t count;
    uint32_t bits; /* of an APIC id that number the cores */
} sizes[] = { { 1, 0 }, { 2, 1 }, { 3, 2 }, { 8, 3 }, { 254, 8 } };

static void check_topology(uint32_t index, uint32_t count, uint32_t bits)
{
    const struct kvm_cpuid_entry2 *entry;

    fill(index, count, true);
    entry = leaf_at(1, 0);
    ck_assert_uint_eq(entry->ebx >> 24, index);
    ck_assert_uint_eq(entry->ebx >> 16 & 0xff, count);
    ck_assert_uint_eq(entry->ebx & 0xffff, 0x5678); /* not ours */
    ck_assert_uint_eq(entry->edx & HTT, count > 1 ? HTT : 0);
    ck_assert_uint_eq(entry->ecx & HYPERVISOR, HYPERVISOR);
    entry = leaf_at(0xb, 0); /* threads: one */
    ck_assert_uint_eq(entry->eax, 0);
    ck_assert_uint_eq(entry->ebx, 1);
    ck_assert_uint_eq(entry->ecx, 0x100);
    ck_assert_uint_eq(entry->edx, index);
    entry = leaf_at(0xb, 1); /* cores */
    ck_assert_uint_eq(entry->eax, bits);
    ck_assert_uint_eq(entry->ebx, count);
    ck_assert_uint_eq(entry->ecx, 0x201);
    ck_assert_uint_eq(entry->edx, index);
    ck_assert_uint_eq(entry->flags, KVM_CPUID_FLAG_SIGNIFCANT_INDEX);
    entry = leaf_at(0xb, 2); /* the end */
    ck_assert_uint_eq(entry->eax, 0);
    ck_assert_uint_eq(entry->ebx, 0);
    ck_assert_uint_eq(entry->ecx, 2);
    ck_assert_uint_eq(entry->edx, index);
}

START_TEST(test_topology)
{
    uint32_t count = sizes[_i].count;

    check_topology(0, count, sizes[_i].bits);
    check_topology(count - 1, count, sizes[_i].bits);
}
END_TEST

START_TEST(test_caches)
{
    for (size_t i = 0; i < NV_ARRAY_SIZE(sizes); i++) {
        uint32_t count = sizes[i].count;

        fill(0, count, true);
        for (uint32_t level = 0; level < 4; level++) {
            uint32_t eax = leaf_at(4, level)->eax;

            ck_assert_uint_eq(eax & 0x1f, level == 0 ? 1 : level == 1 ? 2 : 3);
            ck_assert_uint_eq(eax >> 14 & 0xfff, level == 3 ? count - 1 : 0);
            ck_assert_uint_eq(eax >> 26, NV_MIN(count - 1, 63u));
        }
        ck_assert_uint_eq(leaf_at(4, 4)->eax, 0); /* the end stays the end */
    }
}
END_TEST

START_TEST(test_amd_topology)
{
    static const struct kvm_cpuid_entry2 amd[] = {
        { .function = 1 },
        { .function = 0x80000001 },
        { .function = 0x80000008, .ecx = 0xffffffff },
        { .function = 0x8000001d, .index = 0, .flags = 1, .eax = 0xffffc121 },
        { .function = 0x8000001d, .index = 3, .flags = 1, .eax = 0xffffc163 },
        { .function = 0x8000001e, .eax = 99, .ebx = 0x1ff, .ecx = 0x7ff },
    };

    nv_host_unref(host);
    fake_kvm_set_cpuid(amd, NV_ARRAY_SIZE(amd));
    host = fake_kvm_host();
    fill(4, 5, true);
    ck_assert_uint_eq(leaf_at(0x80000008, 0)->ecx, 0xffff3f04);
    ck_assert_uint_eq(leaf_at(0x80000001, 0)->ecx, 2);
    ck_assert_uint_eq(leaf_at(0x8000001e, 0)->eax, 4);
    ck_assert_uint_eq(leaf_at(0x8000001e, 0)->ebx, 4);
    ck_assert_uint_eq(leaf_at(0x8000001e, 0)->ecx, 0);
    ck_assert_uint_eq(leaf_at(0x8000001d, 0)->eax >> 14, 0);
    ck_assert_uint_eq(leaf_at(0x8000001d, 3)->eax >> 14, 4);
    fill(0, 1, true);
    ck_assert_uint_eq(leaf_at(0x80000001, 0)->ecx, 0);
    ck_assert_uint_eq(list.list.nent, NV_ARRAY_SIZE(amd)); /* no leaf 0xb is invented */
}
END_TEST

START_TEST(test_chip_features)
{
    fill(0, 1, true);
    ck_assert_uint_eq(leaf_at(1, 0)->ecx & (X2APIC | TSC_DEADLINE), X2APIC | TSC_DEADLINE);
    ck_assert_uint_eq(leaf_at(0x40000001, 0)->eax, 0x0100ffff);
    fill(0, 1, false);
    ck_assert_uint_eq(leaf_at(1, 0)->ecx & (X2APIC | TSC_DEADLINE), 0);
    ck_assert_uint_eq(leaf_at(0x40000001, 0)->eax, 0x0100172f); /* clock and steal time stay */
}
END_TEST

START_TEST(test_no_deadline_timer_without_the_capability)
{
    nv_host_unref(host);
    fake_kvm_set_capability(KVM_CAP_TSC_DEADLINE_TIMER, 0);
    host = fake_kvm_host();
    ck_assert_uint_eq(host->info.features & NESTVIRT_HOST_TSC_DEADLINE, 0);
}
END_TEST

static struct nv_cpuid_mask mask_of(uint32_t leaf, uint32_t index, uint32_t cpu_register,
                                    uint32_t clear, uint32_t set)
{
    return (struct nv_cpuid_mask){
        .leaf = leaf, .index = index, .cpu_register = cpu_register, .clear = clear, .set = set
    };
}

static void add_mask(uint32_t leaf, uint32_t cpu_register, uint32_t clear, uint32_t set)
{
    const struct nv_cpuid_mask mask = mask_of(leaf, 0, cpu_register, clear, set);

    ck_nv_ok(nv_cpuid_add_mask(&masks, &mask, host, &error));
}

START_TEST(test_masks)
{
    add_mask(7, EBX, 0x1, 0x2);
    add_mask(7, EBX, 0x8, 0x1); /* they add up, in order */
    add_mask(0x80000001, EDX, 0xffffffff, 0);
    add_mask(1, EBX, 0xff000000, 0); /* what the library computes comes after */
    fill(5, 8, true);
    ck_assert_uint_eq(leaf_at(7, 0)->ebx, (((0x9c0fa9u & ~0x1u) | 0x2u) & ~0x8u) | 0x1u);
    ck_assert_uint_eq(leaf_at(0x80000001, 0)->edx, 0);
    ck_assert_uint_eq(leaf_at(1, 0)->ebx >> 24, 5);
    ck_assert_uint_eq(leaf_at(7, 0)->eax, 0);
}
END_TEST

START_TEST(test_refused_masks)
{
    struct nv_cpuid_mask mask = mask_of(7, 0, 4, 1, 0);

    ck_nv_fails(nv_cpuid_add_mask(&masks, &mask, host, &error), -EINVAL);
    mask = mask_of(7, 0, EBX, 3, 2);
    ck_nv_fails_with(nv_cpuid_add_mask(&masks, &mask, host, &error), -EINVAL, "0x2");
    mask = mask_of(0x12345, 0, EBX, 1, 0);
    ck_nv_fails_with(nv_cpuid_add_mask(&masks, &mask, host, &error), -ENOENT, "0x12345");
    mask = mask_of(4, 9, EBX, 1, 0);
    ck_nv_fails(nv_cpuid_add_mask(&masks, &mask, host, &error), -ENOENT);
    ck_assert_uint_eq(masks.count, 0);
    for (int i = 0; i < NV_CPUID_MASKS_MAX; i++)
        add_mask(7, EBX, 1, 0);
    mask = mask_of(7, 0, EBX, 1, 0);
    ck_nv_fails(nv_cpuid_add_mask(&masks, &mask, host, &error), -ENOSPC);
}
END_TEST

/* What a host on an AMD processor offers: SVM with its own leaf. */
static const struct kvm_cpuid_entry2 with_svm[] = {
    { .function = 1, .ecx = 0x80000201 },
    { .function = 0x80000001, .ecx = 0x25, .edx = 0x2c100800 },
    { .function = 0x8000000a, .eax = 1, .ebx = 8, .edx = 0x1bcff },
};

START_TEST(test_nested_is_hidden)
{
    fill(0, 1, true);
    ck_assert_uint_eq(leaf_at(1, 0)->ecx & VMX, 0);
    ck_assert_uint_eq(leaf_at(1, 0)->ecx & 1, 1); /* the others stay */
    add_mask(1, ECX, 0, VMX);
    fill(0, 1, true);
    ck_assert_uint_eq(leaf_at(1, 0)->ecx & VMX, 0); /* a mask is not the switch */
    nv_host_unref(host);
    fake_kvm_set_cpuid(with_svm, NV_ARRAY_SIZE(with_svm));
    host = fake_kvm_host();
    fill(0, 1, true);
    ck_assert_uint_eq(leaf_at(0x80000001, 0)->ecx, 0x21);
    ck_assert_uint_eq(leaf_at(0x8000000a, 0)->eax, 0);
    ck_assert_uint_eq(leaf_at(0x8000000a, 0)->ebx, 0);
    ck_assert_uint_eq(leaf_at(0x8000000a, 0)->edx, 0);
}
END_TEST

START_TEST(test_nested_is_shown)
{
    masks.shows_nested = true;
    fill(0, 1, true);
    ck_assert_uint_eq(leaf_at(1, 0)->ecx & VMX, VMX);
    nv_host_unref(host);
    fake_kvm_set_cpuid(with_svm, NV_ARRAY_SIZE(with_svm));
    host = fake_kvm_host();
    fill(0, 1, true);
    ck_assert_uint_eq(leaf_at(0x80000001, 0)->ecx, 0x25);
    ck_assert_uint_eq(leaf_at(0x8000000a, 0)->edx, 0x1bcff);
    ck_assert_uint_eq(leaf_at(1, 0)->ecx & VMX, 0); /* nothing is invented */
}
END_TEST

/* The switch of a whole VM, as KVM gets it. */
START_TEST(test_nested_switch)
{
    struct nestvirt_vm *vm = fake_kvm_vm(host, 0, NESTVIRT_CHIP_SPLIT, 1);

    ck_nv_ok(nestvirt_vm_build(vm, &error));
    list = fake_kvm_cpuid_of(0, 0);
    ck_assert_uint_eq(leaf_at(1, 0)->ecx & VMX, 0);
    ck_assert_int_eq(nestvirt_vm_free(vm), 0);
    vm = fake_kvm_vm(host, NESTVIRT_VM_NESTED, NESTVIRT_CHIP_SPLIT, 1);
    ck_nv_ok(nestvirt_vm_build(vm, &error));
    list = fake_kvm_cpuid_of(1, 0);
    ck_assert_uint_eq(leaf_at(1, 0)->ecx & VMX, VMX);
    ck_assert_int_eq(nestvirt_vm_free(vm), 0);
}
END_TEST

START_TEST(test_nested_is_refused)
{
    struct nestvirt_vm_config config;
    struct nestvirt_vm *vm = NULL;

    nestvirt_vm_config_init(&config, sizeof(config));
    config.flags = NESTVIRT_VM_NESTED;
    host->info.features &= ~(uint32_t)(NESTVIRT_HOST_NESTED_VMX | NESTVIRT_HOST_INTERPRETED);
    ck_nv_fails_with(nestvirt_vm_new(host, &config, &vm, &error), -ENOTSUP, "does not let guests");
    ck_nv_fails_with(nestvirt_vm_new(host, &config, &vm, &error), -ENOTSUP, "nested=1");
    host->info.features |= NESTVIRT_HOST_INTERPRETED;
    ck_nv_fails_with(nestvirt_vm_new(host, &config, &vm, &error), -ENOTSUP, "kvm_pvm");
    ck_assert_ptr_null(vm);
    host->info.features |= NESTVIRT_HOST_NESTED_SVM;
    ck_nv_ok(nestvirt_vm_new(host, &config, &vm, &error));
    ck_assert_int_eq(nestvirt_vm_free(vm), 0);
}
END_TEST

/* Each vCPU of a VM gets its own list. */
START_TEST(test_vcpus_get_theirs)
{
    struct nestvirt_vm *vm = fake_kvm_vm(host, 0, NESTVIRT_CHIP_SPLIT, 3);

    ck_nv_ok(nestvirt_vm_add_cpuid_mask(vm, 7, 0, EBX, 0xffffffff, 0, &error));
    ck_nv_ok(nestvirt_vm_build(vm, &error));
    for (uint32_t i = 0; i < 3; i++) {
        list = fake_kvm_cpuid_of(0, i);
        ck_assert_uint_eq(leaf_at(1, 0)->ebx >> 24, i);
        ck_assert_uint_eq(leaf_at(0xb, 1)->edx, i);
        ck_assert_uint_eq(leaf_at(7, 0)->ebx, 0);
    }
    ck_assert_int_eq(nestvirt_vm_free(vm), 0);
}
END_TEST

/* A full list has no room for more levels: nothing is written behind it. */
START_TEST(test_full_list)
{
    static struct kvm_cpuid_entry2 many[NV_KVM_CPUID_MAX];

    for (uint32_t i = 0; i < NV_KVM_CPUID_MAX; i++)
        many[i] = (struct kvm_cpuid_entry2){ .function = 0x1000 + i };
    many[0].function = 0xb;
    many[0].flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX;
    nv_host_unref(host);
    fake_kvm_set_cpuid(many, NV_KVM_CPUID_MAX);
    host = fake_kvm_host();
    fill(0, 2, true);
    ck_assert_uint_eq(list.list.nent, NV_KVM_CPUID_MAX);
}
END_TEST

Suite *nv_test_suite(void)
{
    Suite *suite = suite_create("cpuid");
    TCase *tcase = support_case(suite, "cpuid", 60);

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_loop_test(tcase, test_topology, 0, NV_ARRAY_SIZE(sizes));
    tcase_add_test(tcase, test_caches);
    tcase_add_test(tcase, test_amd_topology);
    tcase_add_test(tcase, test_chip_features);
    tcase_add_test(tcase, test_no_deadline_timer_without_the_capability);
    tcase_add_test(tcase, test_masks);
    tcase_add_test(tcase, test_refused_masks);
    tcase_add_test(tcase, test_nested_is_hidden);
    tcase_add_test(tcase, test_nested_is_shown);
    tcase_add_test(tcase, test_nested_switch);
    tcase_add_test(tcase, test_nested_is_refused);
    tcase_add_test(tcase, test_vcpus_get_theirs);
    tcase_add_test(tcase, test_full_list);
    return suite;
}
