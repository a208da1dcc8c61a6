/* SPDX-License-Identifier: Apache-2.0 */
/* Owns a vCPU's saved state: its record, and the order in which KVM has to be given it back. */
#include <errno.h>
#include <string.h>

#include "core/cleanup.h"
#include "core/util.h"
#include "vcpu/vcpu.h"

enum { VCPU_RECORD = NV_RECORD('V', 'C', 'P', 'U'), VCPU_VERSION = 2 };

enum {
    MSRS_MAX = 1024, /* KVM has about a hundred */
    MSR_TSC_DEADLINE = 0x6e0,
    XSAVE_MAX = 64 * 1024 /* with every extension there is: 11 KiB */
};

#define MSR_EFER 0xc0000080u
#define EFER_SVME (1ull << 12)
#define CR4_VMXE (1ull << 13)

/* KVM_GET_MSR_INDEX_LIST's answer. */
union index_list {
    struct kvm_msr_list list;
    uint8_t room[sizeof(struct kvm_msr_list) + MSRS_MAX * sizeof(uint32_t)];
};

/* For KVM_GET_MSRS and KVM_SET_MSRS. */
union msr_list {
    struct kvm_msrs list;
    uint8_t room[sizeof(struct kvm_msrs) + MSRS_MAX * sizeof(struct kvm_msr_entry)];
};

/* A structure of KVM's that is saved as it is: x86 is little-endian, and they never change. */
struct part {
    const char *name;
    unsigned long get;
    unsigned long set;
    size_t size;
    bool needs_chip; /* only with local APICs in the kernel */
    bool may_lack;   /* a host without it says so, and nothing is saved */
};

#define PART(NAME, TYPE, ...)                                                              \
    {                                                                                      \
        .name = #NAME, .get = KVM_GET_##NAME, .set = KVM_SET_##NAME, .size = sizeof(TYPE), \
        __VA_ARGS__                                                                        \
    }

/* In the order of loading. MSRs have their place between XCRS and LAPIC, XSAVE before them. */
static const struct part before_msrs[] = {
    PART(SREGS, struct kvm_sregs, 0),
    PART(REGS, struct kvm_regs, 0),
    PART(XCRS, struct kvm_xcrs, .may_lack = true),
};
static const struct part behind_msrs[] = {
    PART(LAPIC, struct kvm_lapic_state, .needs_chip = true),
};
static const struct part behind_deadline[] = {
    PART(VCPU_EVENTS, struct kvm_vcpu_events, 0),
    PART(DEBUGREGS, struct kvm_debugregs, .may_lack = true),
    PART(MP_STATE, struct kvm_mp_state, .needs_chip = true),
};

enum { PART_MAX = sizeof(struct kvm_lapic_state) };

static int call(struct nestvirt_vcpu *vcpu, unsigned long request, void *argument, const char *name,
                struct nestvirt_error **ret_error)
{
    return nv_kvm_call_named(vcpu->group->host, vcpu->fd, request, argument, name,
                             nv_vcpu_name(vcpu).s, ret_error);
}

static int save_parts(struct nestvirt_vcpu *vcpu, const struct part *parts, size_t count,
                      struct nv_writer *writer, struct nestvirt_error **ret_error)
{
    uint8_t bytes[PART_MAX];

    for (size_t i = 0; i < count; i++) {
        const struct part *part = &parts[i];
        int r;

        memset(bytes, 0, sizeof(bytes));
        if (part->needs_chip && !vcpu->group->has_irqchip) {
            nv_write_blob(writer, NULL, 0);
            continue;
        }
        r = nv_kvm_call(vcpu->group->host, vcpu->fd, part->get, bytes);
        if (r < 0 && part->may_lack)
            nv_write_blob(writer, NULL, 0);
        else if (r < 0)
            return nv_fail_sys(ret_error, -r, nv_vcpu_name(vcpu).s,
                               nv_text("KVM_GET_%s", part->name).s, "");
        else
            nv_write_blob(writer, bytes, part->size);
    }
    return 0;
}

/*
 * No VM that runs VMs of its own is saved, so that no guest that was has got there; but KVM takes
 * from its host, CPUID or not, what it would never let the guest do.
 */
static int check_not_nested(const struct nestvirt_vcpu *vcpu, const struct kvm_sregs *sregs,
                            struct nestvirt_error **ret_error)
{
    if (!(sregs->efer & EFER_SVME) && !(sregs->cr4 & CR4_VMXE))
        return 0;
    return nv_bad_state(nv_vcpu_name(vcpu).s, "it has SVM or VMX switched on", ret_error);
}

static int load_parts(struct nestvirt_vcpu *vcpu, const struct part *parts, size_t count,
                      struct nv_reader *reader, struct nestvirt_error **ret_error)
{
    uint8_t bytes[PART_MAX] = { 0 };

    for (size_t i = 0; i < count; i++) {
        const struct part *part = &parts[i];
        bool may_lack = part->may_lack || part->needs_chip;
        size_t length;
        const uint8_t *found = nv_read_blob(reader, &length);
        int r;

        if (!found || (length != part->size && !(may_lack && length == 0)))
            return nv_bad_state(nv_vcpu_name(vcpu).s, "its registers have another size", ret_error);
        if (length == 0)
            continue;
        memcpy(bytes, found, length);
        r = part->set == KVM_SET_SREGS ? check_not_nested(vcpu, (const void *)bytes, ret_error) : 0;
        if (r == 0)
            r = call(vcpu, part->set, bytes, nv_text("KVM_SET_%s", part->name).s, ret_error);
        if (r < 0)
            return r;
        if (part->set == KVM_SET_SREGS)
            nv_vcpu_use_cr8(vcpu, ((const struct kvm_sregs *)bytes)->cr8);
    }
    return 0;
}

/* How fast the guest's time stamp counter goes, in kHz; 0 where KVM does not say. */
static uint32_t tsc_khz(const struct nestvirt_vcpu *vcpu)
{
    return (uint32_t)NV_MAX(nv_kvm_call(vcpu->group->host, vcpu->fd, KVM_GET_TSC_KHZ, NULL), 0);
}

/*
 * Another host's counter may go at another rate, of which the guest has measured the former. What
 * KVM itself takes as the same is left alone (its tsc_tolerance_ppm).
 */
static int load_tsc_khz(struct nestvirt_vcpu *vcpu, struct nv_reader *body,
                        struct nestvirt_error **ret_error)
{
    enum { TOLERANCE_PPM = 250 };
    const uint64_t before = nv_read_u32(body);
    const uint64_t now = tsc_khz(vcpu);
    const uint64_t apart = before > now ? before - now : now - before;

    if (before == 0 || apart * 1000000 <= before * TOLERANCE_PPM ||
        nv_kvm_call(vcpu->group->host, vcpu->fd, KVM_SET_TSC_KHZ, (void *)(uintptr_t)before) >= 0)
        return 0;
    return nv_fail(ret_error, -ENOTSUP, nv_vcpu_name(vcpu).s,
                   "use a host of the same kind, or one whose processor scales the counter",
                   "had a time stamp counter of %llu kHz, and this host's KVM gives %llu kHz only",
                   (unsigned long long)before, (unsigned long long)now);
}

/* Extensions with large registers need more than the 4096 bytes of struct kvm_xsave. */
static size_t xsave_size(const struct nestvirt_vcpu *vcpu)
{
    int size = nv_kvm_call(vcpu->group->host, vcpu->group->vm_fd, KVM_CHECK_EXTENSION,
                           (void *)(uintptr_t)KVM_CAP_XSAVE2);

    if (size <= (int)sizeof(struct kvm_xsave) || size > XSAVE_MAX)
        return sizeof(struct kvm_xsave);
    return (size_t)size;
}

static int save_xsave(struct nestvirt_vcpu *vcpu, struct nv_writer *writer,
                      struct nestvirt_error **ret_error)
{
    size_t size = xsave_size(vcpu);
    bool is_large = size > sizeof(struct kvm_xsave);
    NV_AUTO_FREE uint8_t *bytes = calloc(1, size);
    int r;

    if (!bytes)
        return nv_fail_sys(ret_error, ENOMEM, nv_vcpu_name(vcpu).s, "malloc",
                           "free memory in this process");
    r = call(vcpu, is_large ? KVM_GET_XSAVE2 : KVM_GET_XSAVE, bytes, "KVM_GET_XSAVE", ret_error);
    if (r < 0)
        return r;
    nv_write_blob(writer, bytes, size);
    return 0;
}

static int load_xsave(struct nestvirt_vcpu *vcpu, struct nv_reader *reader,
                      struct nestvirt_error **ret_error)
{
    size_t size = xsave_size(vcpu);
    size_t length;
    const uint8_t *found = nv_read_blob(reader, &length);
    NV_AUTO_FREE uint8_t *bytes = calloc(1, size);
    int r;

    if (!found || length < sizeof(struct kvm_xsave) || length > XSAVE_MAX)
        return nv_bad_state(nv_vcpu_name(vcpu).s, "its vector registers have another size",
                            ret_error);
    if (length > size)
        return nv_fail(ret_error, -ENOTSUP, nv_vcpu_name(vcpu).s, "use a host of the same kind",
                       "has vector registers that this host lacks");
    if (!bytes)
        return nv_fail_sys(ret_error, ENOMEM, nv_vcpu_name(vcpu).s, "malloc",
                           "free memory in this process");
    memcpy(bytes, found, length);
    r = call(vcpu, KVM_SET_XSAVE, bytes, "KVM_SET_XSAVE", ret_error);
    return r < 0 ? r : 0;
}

/*
 * All that KVM names and this vCPU has. KVM_GET_MSRS stops at the first that it does not have,
 * which is left out.
 */
static int save_msrs(struct nestvirt_vcpu *vcpu, struct nv_writer *writer,
                     struct nestvirt_error **ret_error)
{
    const struct nestvirt_host *host = vcpu->group->host;
    union index_list names = { .list.nmsrs = MSRS_MAX };
    union msr_list msrs;
    uint32_t next = 0;
    int r = nv_kvm_call_named(host, host->fd, KVM_GET_MSR_INDEX_LIST, &names,
                              "KVM_GET_MSR_INDEX_LIST", nv_vcpu_name(vcpu).s, ret_error);

    if (r < 0)
        return r;
    while (next < names.list.nmsrs) {
        uint32_t count = names.list.nmsrs - next;

        memset(&msrs, 0, sizeof(msrs.list) + count * sizeof(struct kvm_msr_entry));
        msrs.list.nmsrs = count;
        for (uint32_t i = 0; i < count; i++)
            msrs.list.entries[i].index = names.list.indices[next + i];
        r = call(vcpu, KVM_GET_MSRS, &msrs, "KVM_GET_MSRS", ret_error);
        if (r < 0)
            return r;
        if (r > 0) /* 0 is the end; it says that KVM lists a register that this guest has not */
            nv_write_u32(writer, (uint32_t)r);
        for (int i = 0; i < r; i++) {
            nv_write_u32(writer, msrs.list.entries[i].index);
            nv_write_u64(writer, msrs.list.entries[i].data);
        }
        next += (uint32_t)r + 1;
    }
    nv_write_u32(writer, 0); /* the end */
    return 0;
}

/* A register that cannot be written is no matter if it has the value already. */
static int check_msr(struct nestvirt_vcpu *vcpu, const struct kvm_msr_entry *entry,
                     struct nestvirt_error **ret_error)
{
    uint64_t value = 0;

    if (nv_vcpu_get_msr(vcpu, entry->index, &value, NULL) == 0 && value == entry->data)
        return 0;
    return nv_fail(ret_error, -ENOTSUP, nv_vcpu_name(vcpu).s, "use a host of the same kind",
                   "this host's KVM refuses MSR 0x%x the value 0x%llx", entry->index,
                   (unsigned long long)entry->data);
}

static int set_msrs(struct nestvirt_vcpu *vcpu, const struct kvm_msr_entry *entries, uint32_t count,
                    struct nestvirt_error **ret_error)
{
    union msr_list msrs;

    while (count > 0) {
        int r;

        memset(&msrs.list, 0, sizeof(msrs.list));
        msrs.list.nmsrs = count;
        memcpy(msrs.list.entries, entries, count * sizeof(*entries));
        r = call(vcpu, KVM_SET_MSRS, &msrs, "KVM_SET_MSRS", ret_error);
        if (r < 0)
            return r;
        if ((uint32_t)r >= count)
            return 0;
        if (check_msr(vcpu, &entries[r], ret_error) < 0)
            return -ENOTSUP;
        entries += r + 1;
        count -= (uint32_t)r + 1;
    }
    return 0;
}

/* All but the TSC deadline, whose timer belongs to the local APIC and comes behind it. */
static int load_msrs(struct nestvirt_vcpu *vcpu, struct nv_reader *reader, uint64_t *ret_deadline,
                     struct nestvirt_error **ret_error)
{
    struct kvm_msr_entry entries[MSRS_MAX];
    uint32_t count = 0;
    uint32_t left;

    while ((left = nv_read_u32(reader)) > 0)
        for (; left > 0 && !reader->is_bad; left--) {
            struct kvm_msr_entry entry = { .index = nv_read_u32(reader) };

            entry.data = nv_read_u64(reader);
            if (entry.index == MSR_TSC_DEADLINE)
                *ret_deadline = entry.data;
            else if (count < MSRS_MAX && entry.index != MSR_EFER) /* which SREGS have */
                entries[count++] = entry;
            else
                reader->is_bad = true;
        }
    if (reader->is_bad)
        return nv_bad_state(nv_vcpu_name(vcpu).s,
                            "its model-specific registers are cut off, or others than those saved",
                            ret_error);
    return set_msrs(vcpu, entries, count, ret_error);
}

int nv_vcpu_save(struct nestvirt_vcpu *vcpu, struct nv_writer *writer,
                 struct nestvirt_error **ret_error)
{
    size_t mark = nv_write_begin(writer, VCPU_RECORD, VCPU_VERSION);
    int r;

    nv_write_u8(writer, vcpu->is_halted);
    for (uint32_t i = 0; i < NV_CPUID_WORDS; i++)
        nv_write_u32(writer, vcpu->features[i]);
    nv_write_u32(writer, tsc_khz(vcpu));
    r = save_parts(vcpu, before_msrs, NV_ARRAY_SIZE(before_msrs), writer, ret_error);
    if (r >= 0)
        r = save_xsave(vcpu, writer, ret_error);
    if (r >= 0)
        r = save_msrs(vcpu, writer, ret_error);
    if (r >= 0)
        r = save_parts(vcpu, behind_msrs, NV_ARRAY_SIZE(behind_msrs), writer, ret_error);
    if (r >= 0)
        r = save_parts(vcpu, behind_deadline, NV_ARRAY_SIZE(behind_deadline), writer, ret_error);
    nv_write_end(writer, mark);
    return r < 0 ? r : 0;
}

/* What the guest has found once it goes on using. */
static int check_features(struct nestvirt_vcpu *vcpu, struct nv_reader *body,
                          struct nestvirt_error **ret_error)
{
    for (uint32_t i = 0; i < NV_CPUID_WORDS; i++) {
        uint32_t missing = nv_read_u32(body) & ~vcpu->features[i];

        if (missing)
            return nv_fail(ret_error, -ENOTSUP, nv_vcpu_name(vcpu).s,
                           "use a host with a processor and KVM of the same kind",
                           "had processor features (word %u, bits 0x%x) that this host lacks", i,
                           missing);
    }
    return 0;
}

static int load_rest(struct nestvirt_vcpu *vcpu, struct nv_reader *body,
                     struct nestvirt_error **ret_error)
{
    uint64_t deadline = 0;
    int r = load_tsc_khz(vcpu, body, ret_error);

    if (r >= 0)
        r = load_parts(vcpu, before_msrs, NV_ARRAY_SIZE(before_msrs), body, ret_error);
    if (r >= 0)
        r = load_xsave(vcpu, body, ret_error);
    if (r >= 0)
        r = load_msrs(vcpu, body, &deadline, ret_error);
    if (r >= 0)
        r = load_parts(vcpu, behind_msrs, NV_ARRAY_SIZE(behind_msrs), body, ret_error);
    /* The local APIC has to know its timer's mode before this arms it. */
    if (r >= 0 && deadline && vcpu->group->has_irqchip)
        r = nv_vcpu_set_msr(vcpu, MSR_TSC_DEADLINE, deadline, ret_error);
    if (r >= 0)
        r = load_parts(vcpu, behind_deadline, NV_ARRAY_SIZE(behind_deadline), body, ret_error);
    return r;
}

/*
 * One that halts without an interrupt chip has ended (see run.c), and so has the VM when all have:
 * that is never saved, and a clone of it would neither run nor end.
 */
static int load_halted(struct nestvirt_vcpu *vcpu, struct nv_reader *body,
                       struct nestvirt_error **ret_error)
{
    struct nv_group *group = vcpu->group;

    vcpu->is_halted = nv_read_bool(body);
    if (!vcpu->is_halted)
        return 0;
    if (++group->halted == group->count || group->has_irqchip || group->is_manual)
        return nv_bad_state(nv_vcpu_name(vcpu).s, "it has halted for good", ret_error);
    return 0;
}

int nv_vcpu_load(struct nestvirt_vcpu *vcpu, struct nv_reader *reader,
                 struct nestvirt_error **ret_error)
{
    const struct nv_text name = nv_vcpu_name(vcpu);
    struct nv_reader body;
    int r = nv_read_begin(reader, VCPU_RECORD, VCPU_VERSION, name.s, &body, ret_error);

    if (r < 0)
        return r;
    r = load_halted(vcpu, &body, ret_error);
    if (r >= 0)
        r = check_features(vcpu, &body, ret_error);
    if (r >= 0)
        r = load_rest(vcpu, &body, ret_error);
    return r < 0 ? r : nv_read_end(&body, name.s, ret_error);
}

int nv_vcpu_pass(const struct nestvirt_vcpu *vcpu, struct nv_reader *reader,
                 struct nestvirt_error **ret_error)
{
    return nv_read_begin(reader, VCPU_RECORD, VCPU_VERSION, nv_vcpu_name(vcpu).s,
                         &(struct nv_reader){ 0 }, ret_error);
}
