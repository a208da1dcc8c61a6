/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the completion of instructions that KVM hosts which interpret guest ring 0 refuse. */
#include <string.h>

#include "core/util.h"
#include "vcpu/vcpu.h"

enum { EXCEPTION_BREAKPOINT = 3 };
enum { RFLAGS_AC = 1u << 18 };

enum fixup_action { FIXUP_SKIP, FIXUP_BREAKPOINT, FIXUP_CLEAR_AC, FIXUP_SET_AC };

static const struct {
    uint8_t bytes[3];
    uint8_t length;
    enum fixup_action action;
} fixups[] = {
    { { 0xcc }, 1, FIXUP_BREAKPOINT },           /* int3 */
    { { 0x9b }, 1, FIXUP_SKIP },                 /* fwait */
    { { 0x0f, 0x01, 0xca }, 3, FIXUP_CLEAR_AC }, /* clac */
    { { 0x0f, 0x01, 0xcb }, 3, FIXUP_SET_AC },   /* stac */
};

static bool apply(struct nestvirt_vcpu *vcpu, uint8_t length, enum fixup_action action)
{
    const struct nestvirt_host *host = vcpu->group->host;
    struct kvm_regs regs;

    if (nv_kvm_call(host, vcpu->fd, KVM_GET_REGS, &regs) < 0)
        return false;
    regs.rip += length;
    if (action == FIXUP_CLEAR_AC)
        regs.rflags &= ~(uint64_t)RFLAGS_AC;
    if (action == FIXUP_SET_AC)
        regs.rflags |= RFLAGS_AC;
    if (nv_kvm_call(host, vcpu->fd, KVM_SET_REGS, &regs) < 0)
        return false;
    if (action == FIXUP_BREAKPOINT)
        return nv_vcpu_inject(vcpu, EXCEPTION_BREAKPOINT, false, 0, NULL) == 0;
    return true;
}

bool nv_vcpu_fixup(struct nestvirt_vcpu *vcpu, const struct nestvirt_exit *exit)
{
    if (exit->code != KVM_INTERNAL_ERROR_EMULATION)
        return false;
    for (size_t i = 0; i < NV_ARRAY_SIZE(fixups); i++)
        if (exit->instruction_length >= fixups[i].length &&
            memcmp(exit->instruction, fixups[i].bytes, fixups[i].length) == 0)
            return apply(vcpu, fixups[i].length, fixups[i].action);
    return false;
}
