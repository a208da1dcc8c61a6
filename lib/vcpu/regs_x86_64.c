/* SPDX-License-Identifier: Apache-2.0 */
/* Owns registers: between the public structures and KVM's, and the start state of the boot CPU. */
#include <errno.h>
#include <string.h>

#include "core/structs.h"
#include "core/util.h"
#include "memory/layout.h"
#include "vcpu/vcpu.h"

#define REGS_COPY(to, from)                                                              \
    do {                                                                                 \
        (to)->rax = (from)->rax, (to)->rbx = (from)->rbx, (to)->rcx = (from)->rcx;       \
        (to)->rdx = (from)->rdx, (to)->rsi = (from)->rsi, (to)->rdi = (from)->rdi;       \
        (to)->rsp = (from)->rsp, (to)->rbp = (from)->rbp, (to)->r8 = (from)->r8;         \
        (to)->r9 = (from)->r9, (to)->r10 = (from)->r10, (to)->r11 = (from)->r11;         \
        (to)->r12 = (from)->r12, (to)->r13 = (from)->r13, (to)->r14 = (from)->r14;       \
        (to)->r15 = (from)->r15, (to)->rip = (from)->rip, (to)->rflags = (from)->rflags; \
    } while (0)

static int try(struct nestvirt_vcpu *vcpu, unsigned long request, void *argument, const char *name,
               struct nestvirt_error **ret_error)
{
    int r = nv_kvm_call_named(vcpu->group->host, vcpu->fd, request, argument, name,
                              nv_vcpu_name(vcpu).s, ret_error);

    return r < 0 ? r : 0;
}

int nv_vcpu_get_regs(struct nestvirt_vcpu *vcpu, struct nestvirt_regs *ret_regs,
                     struct nestvirt_error **ret_error)
{
    struct kvm_regs regs;
    int r = try(vcpu, KVM_GET_REGS, &regs, "KVM_GET_REGS", ret_error);

    if (r < 0)
        return r;
    *ret_regs = (struct nestvirt_regs){ .size = sizeof(*ret_regs) };
    REGS_COPY(ret_regs, &regs);
    return 0;
}

int nv_vcpu_set_regs(struct nestvirt_vcpu *vcpu, const struct nestvirt_regs *regs,
                     struct nestvirt_error **ret_error)
{
    struct kvm_regs kvm_regs = { 0 };
    int r;

    REGS_COPY(&kvm_regs, regs);
    r = try(vcpu, KVM_SET_REGS, &kvm_regs, "KVM_SET_REGS", ret_error);
    if (r == 0 && vcpu->is_halted) { /* it has somewhere to go again */
        vcpu->is_halted = false;
        __atomic_sub_fetch(&vcpu->group->halted, 1, __ATOMIC_SEQ_CST);
    }
    return r;
}

static struct nestvirt_segment segment_out(const struct kvm_segment *s)
{
    return (struct nestvirt_segment){
        .base = s->base,
        .limit = s->limit,
        .selector = s->selector,
        .type = s->type,
        .present = s->present,
        .dpl = s->dpl,
        .db = s->db,
        .s = s->s,
        .l = s->l,
        .g = s->g,
        .avl = s->avl,
        .unusable = s->unusable,
    };
}

static struct kvm_segment segment_in(const struct nestvirt_segment *s)
{
    return (struct kvm_segment){
        .base = s->base,
        .limit = s->limit,
        .selector = s->selector,
        .type = s->type,
        .present = s->present,
        .dpl = s->dpl,
        .db = s->db,
        .s = s->s,
        .l = s->l,
        .g = s->g,
        .avl = s->avl,
        .unusable = s->unusable,
    };
}

int nv_vcpu_get_sregs(struct nestvirt_vcpu *vcpu, struct nestvirt_sregs *ret_sregs,
                      struct nestvirt_error **ret_error)
{
    struct kvm_sregs k;
    int r = try(vcpu, KVM_GET_SREGS, &k, "KVM_GET_SREGS", ret_error);

    if (r < 0)
        return r;
    *ret_sregs = (struct nestvirt_sregs){
        .size = sizeof(*ret_sregs),
        .cs = segment_out(&k.cs),
        .ds = segment_out(&k.ds),
        .es = segment_out(&k.es),
        .fs = segment_out(&k.fs),
        .gs = segment_out(&k.gs),
        .ss = segment_out(&k.ss),
        .tr = segment_out(&k.tr),
        .ldt = segment_out(&k.ldt),
        .gdt_base = k.gdt.base,
        .idt_base = k.idt.base,
        .gdt_limit = k.gdt.limit,
        .idt_limit = k.idt.limit,
        .cr0 = k.cr0,
        .cr2 = k.cr2,
        .cr3 = k.cr3,
        .cr4 = k.cr4,
        .cr8 = k.cr8,
        .efer = k.efer,
        .apic_base = k.apic_base,
    };
    return 0;
}

void nv_vcpu_use_cr8(struct nestvirt_vcpu *vcpu, uint64_t cr8)
{
    if (!vcpu->group->has_irqchip)
        vcpu->run->cr8 = cr8;
}

int nv_vcpu_set_sregs(struct nestvirt_vcpu *vcpu, const struct nestvirt_sregs *sregs,
                      struct nestvirt_error **ret_error)
{
    struct kvm_sregs k = {
        .cs = segment_in(&sregs->cs),
        .ds = segment_in(&sregs->ds),
        .es = segment_in(&sregs->es),
        .fs = segment_in(&sregs->fs),
        .gs = segment_in(&sregs->gs),
        .ss = segment_in(&sregs->ss),
        .tr = segment_in(&sregs->tr),
        .ldt = segment_in(&sregs->ldt),
        .gdt = { .base = sregs->gdt_base, .limit = (uint16_t)sregs->gdt_limit },
        .idt = { .base = sregs->idt_base, .limit = (uint16_t)sregs->idt_limit },
        .cr0 = sregs->cr0,
        .cr2 = sregs->cr2,
        .cr3 = sregs->cr3,
        .cr4 = sregs->cr4,
        .cr8 = sregs->cr8,
        .efer = sregs->efer,
        .apic_base = sregs->apic_base,
    };
    int r;

    if (sregs->gdt_limit > 0xffff || sregs->idt_limit > 0xffff)
        return nv_fail(ret_error, -EINVAL, nv_vcpu_name(vcpu).s, "use at most 0xffff",
                       "a descriptor table limit is too large");
    r = try(vcpu, KVM_SET_SREGS, &k, "KVM_SET_SREGS", ret_error);
    if (r >= 0)
        nv_vcpu_use_cr8(vcpu, sregs->cr8);
    return r;
}

/* KVM_GET_MSRS and KVM_SET_MSRS return how many they did: 1 or 0. */
static int one_msr(struct nestvirt_vcpu *vcpu, unsigned long request, uint32_t index,
                   uint64_t *value, const char *name, struct nestvirt_error **ret_error)
{
    union {
        struct kvm_msrs header;
        uint8_t room[sizeof(struct kvm_msrs) + sizeof(struct kvm_msr_entry)];
    } list = { .header.nmsrs = 1 };
    int r;

    list.header.entries[0] = (struct kvm_msr_entry){ .index = index, .data = *value };
    r = nv_kvm_call_named(vcpu->group->host, vcpu->fd, request, &list, name, nv_vcpu_name(vcpu).s,
                          ret_error);
    if (r < 0)
        return r;
    if (r == 0)
        return nv_fail(ret_error, -ENOENT, nv_vcpu_name(vcpu).s,
                       "check its number, and the value against the CPUID bits set",
                       "KVM refuses MSR 0x%x", index);
    *value = list.header.entries[0].data;
    return 0;
}

int nv_vcpu_get_msr(struct nestvirt_vcpu *vcpu, uint32_t index, uint64_t *ret_value,
                    struct nestvirt_error **ret_error)
{
    uint64_t value = 0;
    int r = one_msr(vcpu, KVM_GET_MSRS, index, &value, "KVM_GET_MSRS", ret_error);

    if (r == 0)
        *ret_value = value;
    return r;
}

int nv_vcpu_set_msr(struct nestvirt_vcpu *vcpu, uint32_t index, uint64_t value,
                    struct nestvirt_error **ret_error)
{
    return one_msr(vcpu, KVM_SET_MSRS, index, &value, "KVM_SET_MSRS", ret_error);
}

int nv_vcpu_inject(struct nestvirt_vcpu *vcpu, uint32_t vector, bool has_code, uint32_t code,
                   struct nestvirt_error **ret_error)
{
    struct kvm_vcpu_events events;
    int r = try(vcpu, KVM_GET_VCPU_EVENTS, &events, "KVM_GET_VCPU_EVENTS", ret_error);

    if (r < 0)
        return r;
    events.exception.injected = 1;
    events.exception.nr = (uint8_t)vector;
    events.exception.has_error_code = has_code;
    events.exception.error_code = code;
    events.flags = 0; /* only the exception changes */
    return try(vcpu, KVM_SET_VCPU_EVENTS, &events, "KVM_SET_VCPU_EVENTS", ret_error);
}

int nv_vcpu_skip(struct nestvirt_vcpu *vcpu, uint32_t length, struct nestvirt_error **ret_error)
{
    struct kvm_regs regs;
    int r = try(vcpu, KVM_GET_REGS, &regs, "KVM_GET_REGS", ret_error);

    if (r < 0)
        return r;
    regs.rip += length;
    return try(vcpu, KVM_SET_REGS, &regs, "KVM_SET_REGS", ret_error);
}

uint32_t nv_vcpu_fetch(struct nestvirt_vcpu *vcpu, uint64_t rip, uint8_t bytes[16])
{
    enum { INSTRUCTION_MAX = 15 };
    const struct nestvirt_host *host = vcpu->group->host;
    struct kvm_sregs sregs;
    uint32_t done = 0;

    if (nv_kvm_call(host, vcpu->fd, KVM_GET_SREGS, &sregs) < 0)
        return 0;
    /* The instruction may cross a page: translate each part. */
    while (done < INSTRUCTION_MAX) {
        struct kvm_translation place = { .linear_address = sregs.cs.base + rip + done };
        uint64_t in_page = NV_PAGE_SIZE - (place.linear_address & (NV_PAGE_SIZE - 1));
        uint32_t length = (uint32_t)NV_MIN(in_page, (uint64_t)(INSTRUCTION_MAX - done));

        if (nv_kvm_call(host, vcpu->fd, KVM_TRANSLATE, &place) < 0 || !place.valid)
            break;
        if (nv_memory_read(vcpu->group->memory, nv_gpa_at(place.physical_address), bytes + done,
                           length) < 0)
            break;
        done += length;
    }
    return done;
}

enum { CR0_PE = 1u << 0, CR0_ET = 1u << 4, CR0_NE = 1u << 5, CR4_PAE = 1u << 5 };
#define CR0_PG (1u << 31)
enum { EFER_LME = 1u << 8, EFER_LMA = 1u << 10 };
enum { TYPE_CODE = 0xb, TYPE_DATA = 0x3, TYPE_TSS_BUSY = 0xb };

static struct kvm_segment flat_segment(uint16_t selector, uint8_t type, bool is_long)
{
    return (struct kvm_segment){
        .selector = selector,
        .limit = 0xffffffffu,
        .type = type,
        .present = 1,
        .db = !is_long,
        .l = is_long,
        .s = 1,
        .g = 1,
    };
}

/* CS and SS such that their bases are multiples of 64 KiB; IP and SP are the rest. */
static void set_real_mode(struct kvm_sregs *sregs, struct kvm_regs *regs)
{
    sregs->cs.base = regs->rip & 0xf0000;
    sregs->cs.selector = (uint16_t)(sregs->cs.base >> 4);
    regs->rip -= sregs->cs.base;
    if (regs->rsp == 0)
        return;
    sregs->ss.base = (regs->rsp - 1) & 0xf0000;
    sregs->ss.selector = (uint16_t)(sregs->ss.base >> 4);
    regs->rsp -= sregs->ss.base;
}

/* Protected mode with paging off, or long mode; descriptor and page tables as in layout.h. */
static void set_flat_mode(struct kvm_sregs *sregs, bool is_long)
{
    struct kvm_segment data = flat_segment(NV_SELECTOR_DATA, TYPE_DATA, false);

    sregs->cs = flat_segment(is_long ? NV_SELECTOR_CODE64 : NV_SELECTOR_CODE32, TYPE_CODE, is_long);
    sregs->ds = sregs->es = sregs->fs = sregs->gs = sregs->ss = data;
    sregs->tr = (struct kvm_segment){
        .selector = NV_SELECTOR_TSS, .limit = 0x67, .type = TYPE_TSS_BUSY, .present = 1
    };
    sregs->gdt.base = NV_LAYOUT_GDT;
    sregs->gdt.limit = NV_LAYOUT_IDT - NV_LAYOUT_GDT - 1;
    sregs->idt.base = NV_LAYOUT_IDT;
    sregs->idt.limit = 0;
    sregs->cr0 = CR0_PE | CR0_ET | CR0_NE;
    if (is_long) {
        sregs->cr0 |= CR0_PG;
        sregs->cr3 = NV_LAYOUT_PAGE_TABLES;
        sregs->cr4 = CR4_PAE;
        sregs->efer |= EFER_LME | EFER_LMA;
    }
}

int nv_vcpu_set_start(struct nestvirt_vcpu *vcpu, const struct nv_cpu_start *start,
                      struct nestvirt_error **ret_error)
{
    struct kvm_regs regs = {
        .rip = start->rip,
        .rsp = start->rsp,
        .rsi = start->rsi,
        .rbx = start->rbx,
        .rflags = 2, /* bit 1 is always set */
    };
    struct kvm_sregs sregs;
    int r = try(vcpu, KVM_GET_SREGS, &sregs, "KVM_GET_SREGS", ret_error);

    if (r < 0)
        return r;
    if (start->mode == NESTVIRT_MODE_REAL) {
        set_real_mode(&sregs, &regs);
    } else {
        set_flat_mode(&sregs, start->mode == NESTVIRT_MODE_LONG);
    }
    r = try(vcpu, KVM_SET_SREGS, &sregs, "KVM_SET_SREGS", ret_error);
    if (r < 0)
        return r;
    return try(vcpu, KVM_SET_REGS, &regs, "KVM_SET_REGS", ret_error);
}
