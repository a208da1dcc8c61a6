/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the fake KVM's KVM_RUN: scripted exits, and halting until a kick. */
#include <errno.h>
#include <string.h>
#include <time.h>

#include "fake_kvm_state.h"

/* What the guest does first when it goes on: it takes the answer to its read. Lock held. */
static void complete(struct fake_vcpu *vcpu)
{
    struct fake_exit *exit = vcpu->pending;
    struct kvm_run *run = vcpu->run;

    if (!exit)
        return;
    vcpu->pending = NULL;
    if (exit->reason == KVM_EXIT_IO && !exit->is_write)
        memcpy(exit->data, (uint8_t *)run + run->io.data_offset, FAKE_DATA_MAX);
    if (exit->reason == KVM_EXIT_MMIO && !exit->is_write)
        memcpy(exit->data, run->mmio.data, run->mmio.len);
    exit->is_done = true;
}

/* only_further: nothing but what an instruction that has begun does next. */
static struct fake_exit *next_exit(const struct fake_vcpu *vcpu, bool only_further)
{
    for (unsigned i = 0; i < fake.script_length; i++) {
        struct script_row *row = &fake.script[i];

        if (row->is_taken || row->vcpu != vcpu->index ||
            (row->vm != FAKE_ANY_VM && row->vm != vcpu->vm))
            continue;
        if (only_further && !row->exit.is_further)
            break;
        row->is_taken = true;
        return &row->exit;
    }
    return NULL;
}

static void fill_access(struct kvm_run *run, const struct fake_exit *exit)
{
    uint32_t length = exit->length ? exit->length : 1;
    uint32_t count = exit->count ? exit->count : 1;

    if (exit->reason == KVM_EXIT_MMIO) {
        run->mmio.phys_addr = exit->address;
        run->mmio.len = length;
        run->mmio.is_write = exit->is_write;
        memcpy(run->mmio.data, exit->data, sizeof(run->mmio.data));
        return;
    }
    run->io.direction = exit->is_write ? KVM_EXIT_IO_OUT : KVM_EXIT_IO_IN;
    run->io.size = (uint8_t)length;
    run->io.port = (uint16_t)exit->address;
    run->io.count = count;
    run->io.data_offset = 4096;
    memset((uint8_t *)run + 4096, 0x5a, FAKE_DATA_MAX);
    if (exit->is_write)
        memcpy((uint8_t *)run + 4096, exit->data, FAKE_DATA_MAX);
}

static void fill_run(struct kvm_run *run, const struct fake_exit *exit)
{
    run->exit_reason = exit->reason;
    switch (exit->reason) {
    case KVM_EXIT_IO:
    case KVM_EXIT_MMIO:
        fill_access(run, exit);
        break;
    case KVM_EXIT_IOAPIC_EOI:
        run->eoi.vector = (uint8_t)exit->code;
        break;
    case KVM_EXIT_INTERNAL_ERROR:
        run->internal.suberror = (uint32_t)exit->code;
        break;
    case KVM_EXIT_SYSTEM_EVENT:
        run->system_event.type = (uint32_t)exit->code;
        break;
    case KVM_EXIT_FAIL_ENTRY:
        run->fail_entry.hardware_entry_failure_reason = exit->code;
        break;
    case KVM_EXIT_DEBUG:
        run->debug.arch.exception = (uint32_t)exit->code;
        break;
    default:
        break;
    }
}

/* Waits a millisecond for a signal that KVM_RUN lets in; it stays pending, as KVM leaves it. */
static bool wait_signal(const sigset_t *run_mask)
{
    const struct timespec while_ns = { .tv_nsec = 1000000 };
    sigset_t awaited;
    int number;

    sigfillset(&awaited);
    for (int i = 1; i < 64; i++)
        if (sigismember(run_mask, i) == 1)
            sigdelset(&awaited, i);
    number = sigtimedwait(&awaited, NULL, &while_ns);
    if (number > 0)
        pthread_kill(pthread_self(), number);
    return number > 0 || errno == EINTR;
}

int fake_run(struct fake_vcpu *vcpu)
{
    struct kvm_run *run;
    sigset_t run_mask;
    struct fake_exit *exit;
    bool is_signalled;

    pthread_mutex_lock(&fake_lock);
    fake.runs++;
    run = vcpu->run;
    run_mask = vcpu->run_mask;
    vcpu->is_idle = false;
    complete(vcpu);
    /* As in KVM, immediate_exit is looked at on entry alone: later only a signal helps. */
    is_signalled = __atomic_load_n(&run->immediate_exit, __ATOMIC_SEQ_CST);
    for (;;) {
        int r = -EINTR;

        exit = next_exit(vcpu, is_signalled);
        if (!exit && is_signalled) {
            pthread_mutex_unlock(&fake_lock);
            return r;
        }
        if (exit) {
            r = -exit->error;
            exit->is_done = exit->error != 0;
            if (!exit->error) {
                vcpu->pending = exit;
                fill_run(run, exit);
            }
            pthread_mutex_unlock(&fake_lock);
            return r;
        }
        vcpu->is_idle = true;
        pthread_mutex_unlock(&fake_lock);
        is_signalled = wait_signal(&run_mask);
        pthread_mutex_lock(&fake_lock);
        vcpu->is_idle = false;
    }
}
