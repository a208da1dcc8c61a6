/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the fake KVM's calls that read and set whole parts of a VM's state. */
#include <errno.h>
#include <string.h>

#include "fake_kvm_state.h"

/* Those that exist; of others KVM only tells the names: of two that follow each other, and one. */
static const uint32_t msr_names[] = { 0x10, 0x4b564d05, 0x4b564d06, 0x174, 0x6e0, 0x123 };
static const uint32_t msrs_known[FAKE_MSRS] = { 0x10, 0x174, 0x6e0 };

int fake_msr_names(struct kvm_msr_list *list)
{
    const uint32_t count = sizeof(msr_names) / sizeof(msr_names[0]);

    if (list->nmsrs < count)
        return -E2BIG;
    list->nmsrs = count;
    memcpy(list->indices, msr_names, sizeof(msr_names));
    return 0;
}

/* As KVM does it: until the first that is not known. */
static int msrs(struct fake_vcpu *vcpu, struct kvm_msrs *list, bool is_set)
{
    for (uint32_t i = 0; i < list->nmsrs; i++) {
        uint32_t known = 0;

        while (known < FAKE_MSRS && msrs_known[known] != list->entries[i].index)
            known++;
        if (known == FAKE_MSRS)
            return (int)i;
        if (is_set)
            vcpu->msrs[known] = list->entries[i].data;
        else
            list->entries[i].data = vcpu->msrs[known];
    }
    return (int)list->nmsrs;
}

#define GET(from) (memcpy(argument, &(from), sizeof(from)), 0)
#define SET(to) (memcpy(&(to), argument, sizeof(to)), 0)

int fake_saved_vcpu_ioctl(struct fake_vcpu *vcpu, unsigned long request, void *argument)
{
    switch (request) {
    case KVM_GET_MSRS:
        return msrs(vcpu, argument, false);
    case KVM_SET_MSRS:
        return msrs(vcpu, argument, true);
    case KVM_GET_XCRS:
        return GET(vcpu->xcrs);
    case KVM_SET_XCRS:
        return SET(vcpu->xcrs);
    case KVM_GET_XSAVE:
        return GET(vcpu->xsave);
    case KVM_SET_XSAVE:
        return SET(vcpu->xsave);
    case KVM_GET_LAPIC:
        return GET(vcpu->lapic);
    case KVM_SET_LAPIC:
        return SET(vcpu->lapic);
    case KVM_GET_DEBUGREGS:
        return GET(vcpu->debugregs);
    case KVM_SET_DEBUGREGS:
        return SET(vcpu->debugregs);
    case KVM_GET_MP_STATE:
        return GET(vcpu->mp_state);
    case KVM_SET_MP_STATE:
        return SET(vcpu->mp_state);
    case KVM_GET_TSC_KHZ:
        return (int)vcpu->tsc_khz;
    case KVM_SET_TSC_KHZ:
        if (!fake.capabilities[KVM_CAP_TSC_CONTROL])
            return -EINVAL;
        vcpu->tsc_khz = (uint32_t)(uintptr_t)argument;
        return 0;
    default:
        return -ENOTTY;
    }
}

int fake_saved_vm_ioctl(unsigned long request, void *argument)
{
    struct kvm_irqchip *chip = argument;

    switch (request) {
    case KVM_CHECK_EXTENSION:
        return 0;
    case KVM_GET_CLOCK:
        return GET(fake.clock);
    case KVM_SET_CLOCK:
        return SET(fake.clock);
    case KVM_GET_PIT2:
        return GET(fake.pit);
    case KVM_SET_PIT2:
        return SET(fake.pit);
    case KVM_GET_IRQCHIP:
        return chip->chip_id < 3 ? GET(fake.chips[chip->chip_id]) : -EINVAL;
    case KVM_SET_IRQCHIP:
        return chip->chip_id < 3 ? SET(fake.chips[chip->chip_id]) : -EINVAL;
    default:
        return -ENOTTY;
    }
}
