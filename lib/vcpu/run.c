/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the exit loop: the only place that enters KVM_RUN, and what each exit leads to. */
#include <errno.h>
#include <string.h>

#include "core/cleanup.h"
#include "core/util.h"
#include "vcpu/vcpu.h"

static void exit_begin(struct nestvirt_vcpu *vcpu, struct nestvirt_exit *exit, uint32_t reason)
{
    *exit = (struct nestvirt_exit){ .size = sizeof(*exit), .reason = reason, .vcpu = vcpu->index };
}

/* Where the vCPU is and on which instruction, for exits that end the run. */
static void exit_locate(struct nestvirt_vcpu *vcpu, struct nestvirt_exit *exit)
{
    struct kvm_regs regs;

    if (nv_kvm_call(vcpu->group->host, vcpu->fd, KVM_GET_REGS, &regs) < 0)
        return;
    exit->rip = regs.rip;
    exit->instruction_length = nv_vcpu_fetch(vcpu, regs.rip, exit->instruction);
}

static void end_at(struct nestvirt_vcpu *vcpu, uint32_t reason, const struct nestvirt_exit *exit)
{
    struct nestvirt_vm_result result = {
        .size = sizeof(result),
        .reason = reason,
        .vcpu = vcpu->index,
        .suberror = reason == NESTVIRT_RESULT_INTERNAL_ERROR ? (uint32_t)exit->code : 0,
        .rip = exit->rip,
        .instruction_length = exit->instruction_length,
    };

    memcpy(result.instruction, exit->instruction, sizeof(result.instruction));
    nv_group_end(vcpu->group, &result);
}

/* HLT without an interrupt chip: the vCPU is done; when all are, so is the VM. */
static void halt(struct nestvirt_vcpu *vcpu)
{
    struct nv_group *group = vcpu->group;

    vcpu->is_halted = true;
    if (__atomic_add_fetch(&group->halted, 1, __ATOMIC_SEQ_CST) == group->count)
        nv_group_end_reason(group, NESTVIRT_RESULT_GUEST_HALT, vcpu->index);
}

/* What happens to an exit of a library-run vCPU that neither a handler nor a callback took. */
static void do_default(struct nestvirt_vcpu *vcpu, struct nestvirt_exit *exit)
{
    switch (exit->reason) {
    case NESTVIRT_EXIT_PORT:
    case NESTVIRT_EXIT_MMIO:
        if (!exit->is_write)
            memset(exit->data, 0xff, sizeof(exit->data));
        break;
    case NESTVIRT_EXIT_HALT:
        halt(vcpu);
        break;
    case NESTVIRT_EXIT_SHUTDOWN:
        end_at(vcpu, NESTVIRT_RESULT_TRIPLE_FAULT, exit);
        break;
    case NESTVIRT_EXIT_DEBUG:
        break;
    default:
        end_at(vcpu, NESTVIRT_RESULT_INTERNAL_ERROR, exit);
    }
}

/*
 * Nobody of ours handles this exit: it goes to the caller (manual), to the callback, or to its
 * default. For reads the answer is in exit->data afterwards. What KVM leaves of a vCPU after a
 * triple fault is not defined: going on would lead here again, for ever.
 */
static enum nv_step unhandled(struct nestvirt_vcpu *vcpu, struct nestvirt_exit *exit)
{
    struct nv_group *group = vcpu->group;
    const uint32_t reason = exit->reason;
    int32_t action = NESTVIRT_ACTION_DEFAULT;

    if (nv_log_allowed(&vcpu->unhandled_limit))
        group->upward.unhandled(group->upward.owner, exit);
    if (group->is_manual)
        return NV_STEP_DELIVER;
    if (group->exit_fn)
        action = group->exit_fn(group->exit_data, exit);
    exit->reason = reason; /* whatever the handler has made of it */
    if (action == NESTVIRT_ACTION_RESUME && reason == NESTVIRT_EXIT_SHUTDOWN) {
        nv_log(group->log, NESTVIRT_LOG_ERROR,
               "vm %s: vcpu %u: its handler resumes after a triple fault, where none can go on",
               group->name, vcpu->index);
        action = NESTVIRT_ACTION_DEFAULT;
    }
    if (action == NESTVIRT_ACTION_STOP)
        nv_group_end_reason(group, NESTVIRT_RESULT_STOPPED, vcpu->index);
    else if (action != NESTVIRT_ACTION_RESUME)
        do_default(vcpu, exit);
    return NV_STEP_RESUME;
}

/* One access, to a handler if there is one. data: the bytes in the shared area. */
static enum nv_step access_one(struct nestvirt_vcpu *vcpu, uint32_t space, uint64_t address,
                               uint32_t length, bool is_write, uint8_t *data,
                               struct nestvirt_exit *exit)
{
    struct nv_group *group = vcpu->group;
    const struct nv_range *range = nv_bus_find(
        space == NESTVIRT_SPACE_PORT ? &group->bus->port : &group->bus->mmio, address, length);
    enum nv_step step;

    if (range) {
        struct nestvirt_access access = {
            .size = sizeof(access),
            .space = space,
            .vcpu = vcpu->index,
            .address = address,
            .offset = address - range->address,
            .length = length,
            .is_write = is_write,
        };
        int32_t action;

        if (is_write)
            memcpy(access.data, data, length);
        action = range->fn(range->user_data, &access);
        if (action == NV_ACTION_AGAIN && range->number == NV_RANGE_INTERNAL)
            return NV_STEP_AGAIN;
        if (action == NESTVIRT_ACTION_RESUME || action == NESTVIRT_ACTION_STOP) {
            if (!is_write)
                memcpy(data, access.data, length);
            if (action == NESTVIRT_ACTION_STOP)
                nv_group_end_reason(group, NESTVIRT_RESULT_STOPPED, vcpu->index);
            return NV_STEP_RESUME;
        }
    }
    exit_begin(vcpu, exit, space == NESTVIRT_SPACE_PORT ? NESTVIRT_EXIT_PORT : NESTVIRT_EXIT_MMIO);
    exit->address = address;
    exit->length = length;
    exit->is_write = is_write;
    if (is_write)
        memcpy(exit->data, data, length);
    step = unhandled(vcpu, exit);
    if (step == NV_STEP_RESUME && !is_write)
        memcpy(data, exit->data, length);
    return step;
}

/* String instructions give several elements at once; io_position is the next one to do. */
static enum nv_step handle_port(struct nestvirt_vcpu *vcpu, struct nestvirt_exit *exit)
{
    struct kvm_run *run = vcpu->run;
    uint64_t shared_size = vcpu->group->host->info.vcpu_mmap_size;
    uint32_t size = run->io.size;
    uint64_t bytes = (uint64_t)size * run->io.count;

    if (size == 0 || size > 4 || !nv_range_fits(run->io.data_offset, bytes, shared_size))
        return NV_STEP_RESUME;
    while (vcpu->io_position < run->io.count) {
        uint8_t *data = (uint8_t *)run + run->io.data_offset + (uint64_t)vcpu->io_position * size;
        enum nv_step step = access_one(vcpu, NESTVIRT_SPACE_PORT, run->io.port, size,
                                       run->io.direction == KVM_EXIT_IO_OUT, data, exit);

        if (step != NV_STEP_RESUME)
            return step;
        vcpu->io_position++;
    }
    vcpu->io_position = 0;
    return NV_STEP_RESUME;
}

static enum nv_step handle_mmio(struct nestvirt_vcpu *vcpu, struct nestvirt_exit *exit)
{
    struct kvm_run *run = vcpu->run;

    if (run->mmio.len == 0 || run->mmio.len > sizeof(run->mmio.data))
        return NV_STEP_RESUME;
    return access_one(vcpu, NESTVIRT_SPACE_MMIO, run->mmio.phys_addr, run->mmio.len,
                      run->mmio.is_write, run->mmio.data, exit);
}

static enum nv_step handle_internal_error(struct nestvirt_vcpu *vcpu, struct nestvirt_exit *exit)
{
    exit_begin(vcpu, exit, NESTVIRT_EXIT_INTERNAL_ERROR);
    exit->code = vcpu->run->internal.suberror;
    exit_locate(vcpu, exit);
    if (vcpu->group->has_fixups && nv_vcpu_fixup(vcpu, exit))
        return NV_STEP_RESUME;
    return unhandled(vcpu, exit);
}

static enum nv_step handle_system_event(struct nestvirt_vcpu *vcpu)
{
    uint32_t reason = vcpu->run->system_event.type == KVM_SYSTEM_EVENT_SHUTDOWN
                          ? NESTVIRT_RESULT_GUEST_SHUTDOWN
                          : NESTVIRT_RESULT_GUEST_RESET;

    nv_group_end_reason(vcpu->group, reason, vcpu->index);
    return NV_STEP_RESUME;
}

static enum nv_step handle_other(struct nestvirt_vcpu *vcpu, struct nestvirt_exit *exit,
                                 uint32_t reason, uint64_t code)
{
    exit_begin(vcpu, exit, reason);
    exit->code = code;
    if (reason != NESTVIRT_EXIT_HALT)
        exit_locate(vcpu, exit);
    return unhandled(vcpu, exit);
}

static enum nv_step handle_exit(struct nestvirt_vcpu *vcpu, struct nestvirt_exit *exit)
{
    struct kvm_run *run = vcpu->run;

    switch (run->exit_reason) {
    case KVM_EXIT_IO:
        return handle_port(vcpu, exit);
    case KVM_EXIT_MMIO:
        return handle_mmio(vcpu, exit);
    case KVM_EXIT_IOAPIC_EOI:
        nv_irq_eoi(vcpu->group->irq, run->eoi.vector);
        return NV_STEP_RESUME;
    case KVM_EXIT_HLT:
        return handle_other(vcpu, exit, NESTVIRT_EXIT_HALT, 0);
    case KVM_EXIT_SHUTDOWN:
        return handle_other(vcpu, exit, NESTVIRT_EXIT_SHUTDOWN, 0);
    case KVM_EXIT_DEBUG:
        return handle_other(vcpu, exit, NESTVIRT_EXIT_DEBUG, run->debug.arch.exception);
    case KVM_EXIT_INTERNAL_ERROR:
        return handle_internal_error(vcpu, exit);
    case KVM_EXIT_FAIL_ENTRY:
        return handle_other(vcpu, exit, NESTVIRT_EXIT_ENTRY_FAILED,
                            run->fail_entry.hardware_entry_failure_reason);
    case KVM_EXIT_SYSTEM_EVENT:
        return handle_system_event(vcpu);
    case KVM_EXIT_IRQ_WINDOW_OPEN:
    case KVM_EXIT_SET_TPR:
    case KVM_EXIT_INTR:
        return NV_STEP_RESUME;
    default:
        return handle_other(vcpu, exit, NESTVIRT_EXIT_UNKNOWN, run->exit_reason);
    }
}

/* KVM_RUN itself failed: EFAULT for memory that went away, ENOMEM, and the like. */
static enum nv_step handle_run_error(struct nestvirt_vcpu *vcpu, struct nestvirt_exit *exit,
                                     int error)
{
    exit_begin(vcpu, exit, NESTVIRT_EXIT_UNKNOWN);
    exit->code = (uint64_t)error;
    exit_locate(vcpu, exit);
    if (nv_log_allowed(&vcpu->error_limit))
        nv_log(vcpu->group->log, NESTVIRT_LOG_ERROR, "vm %s: vcpu %u: KVM_RUN failed with errno %d",
               vcpu->group->name, vcpu->index, error);
    return unhandled(vcpu, exit);
}

/* Takes the caller's answer to a read that was delivered, and does what is left of its exit. */
static enum nv_step finish_delivered(struct nestvirt_vcpu *vcpu, struct nestvirt_exit *exit)
{
    struct kvm_run *run = vcpu->run;

    vcpu->awaits_answer = false;
    if (run->exit_reason == KVM_EXIT_MMIO) {
        if (!run->mmio.is_write)
            memcpy(run->mmio.data, exit->data, sizeof(run->mmio.data));
        return NV_STEP_RESUME;
    }
    if (run->io.direction == KVM_EXIT_IO_IN)
        memcpy((uint8_t *)run + run->io.data_offset + (uint64_t)vcpu->io_position * run->io.size,
               exit->data, run->io.size);
    vcpu->io_position++;
    return handle_port(vcpu, exit);
}

static bool is_to_leave(struct nestvirt_vcpu *vcpu)
{
    return atomic_load(&vcpu->group->leave) || atomic_load(&vcpu->is_canceled);
}

enum nv_step nv_vcpu_run(struct nestvirt_vcpu *vcpu, struct nestvirt_exit *exit)
{
    const struct nv_kvm_ops *ops = vcpu->group->host->ops;
    enum nv_step step = vcpu->has_again ? NV_STEP_AGAIN : NV_STEP_RESUME;

    vcpu->has_again = false;
    if (vcpu->awaits_answer)
        step = finish_delivered(vcpu, exit);
    while (step == NV_STEP_RESUME || step == NV_STEP_AGAIN) {
        int r;

        if (step == NV_STEP_AGAIN) {
            vcpu->has_again = is_to_leave(vcpu);
            if (vcpu->has_again)
                return NV_STEP_LEAVE;
            step = handle_exit(vcpu, exit);
            continue;
        }

        if (vcpu->is_halted)
            return NV_STEP_LEAVE;
        r = ops->ioctl(vcpu->fd, KVM_RUN, NULL);
        if (r >= 0) {
            step = handle_exit(vcpu, exit);
        } else if (r == -EINTR || r == -EAGAIN) {
            /* Only here is the last exit complete, so that registers are what they seem. */
            bool was_kicked = nv_vcpu_absorb(vcpu);

            if (is_to_leave(vcpu) || (vcpu->group->is_manual && !was_kicked))
                return NV_STEP_LEAVE;
        } else {
            step = handle_run_error(vcpu, exit, -r);
            /* It may fail for ever, and then no EINTR tells of the end. */
            if (step == NV_STEP_RESUME && is_to_leave(vcpu))
                return NV_STEP_LEAVE;
        }
    }
    vcpu->awaits_answer = step == NV_STEP_DELIVER && (exit->reason == NESTVIRT_EXIT_PORT ||
                                                      exit->reason == NESTVIRT_EXIT_MMIO);
    return step;
}

/*
 * KVM_RUN that completes the last exit and enters no guest. A kick that waits, as that of a cancel
 * does, goes on waiting.
 */
static int complete(struct nestvirt_vcpu *vcpu)
{
    uint8_t was_kicked;
    int r;

    NV_GUARD(&vcpu->lock);
    was_kicked = vcpu->run->immediate_exit;
    vcpu->run->immediate_exit = 1;
    r = vcpu->group->host->ops->ioctl(vcpu->fd, KVM_RUN, NULL);
    vcpu->run->immediate_exit = was_kicked;
    return r;
}

int nv_vcpu_settle(struct nestvirt_vcpu *vcpu, uint64_t deadline_ns,
                   struct nestvirt_error **ret_error)
{
    const struct nv_text name = nv_vcpu_name(vcpu);
    struct nestvirt_exit exit = { .size = sizeof(exit) };
    int r;

    if (vcpu->awaits_answer)
        return nv_fail(ret_error, -EBUSY, name.s, "answer it with nestvirt_vcpu_run, then pause",
                       "an access of the guest is not finished");
    while (vcpu->has_again && handle_exit(vcpu, &exit) == NV_STEP_AGAIN)
        if (nv_now_ns() >= deadline_ns)
            return nv_fail(ret_error, -EBUSY, name.s, "try again when its disk is idle",
                           "an access of the guest is not finished");
    vcpu->has_again = false;
    r = complete(vcpu);
    if (r == -EINTR || r == -EAGAIN)
        return 0;
    /* The instruction goes on to its next access, which may be for a handler of the caller's. */
    vcpu->has_again = r >= 0;
    return nv_fail(ret_error, -EBUSY, name.s, "resume the VM, pause it and try again",
                   "is in the middle of an instruction");
}

int nv_vcpu_run_nothing(struct nestvirt_vcpu *vcpu)
{
    int r = complete(vcpu);

    return r == -EAGAIN || r == -ENOMEM ? r : 0; /* others belong to the run */
}
