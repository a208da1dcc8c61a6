/* SPDX-License-Identifier: Apache-2.0 */
/* Owns getting a vCPU out of guest mode, without any process-wide signal handler. */
#include <errno.h>
#include <string.h>
#include <time.h>

#include "core/cleanup.h"
#include "core/util.h"
#include "host/thread.h"
#include "vcpu/vcpu.h"

/* The kernel's limit on queued signals is the user's, shared with others: it may clear. */
enum { SIGNAL_TRIES = 1000, SIGNAL_WAIT_NS = 1000000 };

/*
 * Two parts: immediate_exit stops the next entry, the signal ends the present one. It is blocked in
 * the thread and unblocked inside KVM_RUN alone, so it stays pending until nv_vcpu_absorb() takes
 * it; at most one is under way.
 */
int nv_vcpu_kick(struct nestvirt_vcpu *vcpu)
{
    const struct timespec pause = { .tv_nsec = SIGNAL_WAIT_NS };

    NV_GUARD(&vcpu->lock);
    if (!vcpu->run)
        return 0;
    __atomic_store_n(&vcpu->run->immediate_exit, 1, __ATOMIC_SEQ_CST);
    if (!vcpu->in_run || vcpu->signal_sent)
        return 0;
    if (pthread_equal(vcpu->runner, pthread_self()))
        return 0; /* not in guest mode: it is here */
    for (int i = 0; i < SIGNAL_TRIES; i++) {
        int r = pthread_kill(vcpu->runner, nv_kick_signal());

        if (r == 0) {
            vcpu->signal_sent = true;
            return 0;
        }
        if (r != EAGAIN)
            break;
        nanosleep(&pause, NULL);
    }
    return NESTVIRT_E_VCPU_STUCK;
}

/* Called with the vCPU's lock held, on the thread the signal was sent to. */
static void consume_signal(struct nestvirt_vcpu *vcpu)
{
    const struct timespec now = { 0 };
    sigset_t set;

    if (!vcpu->signal_sent)
        return;
    sigemptyset(&set);
    sigaddset(&set, nv_kick_signal());
    while (sigtimedwait(&set, NULL, &now) < 0 && errno == EINTR)
        ;
    vcpu->signal_sent = false;
}

bool nv_vcpu_absorb(struct nestvirt_vcpu *vcpu)
{
    NV_GUARD(&vcpu->lock);
    consume_signal(vcpu);
    return __atomic_exchange_n(&vcpu->run->immediate_exit, 0, __ATOMIC_SEQ_CST) != 0;
}

void nv_vcpu_enter(struct nestvirt_vcpu *vcpu)
{
    NV_GUARD(&vcpu->lock);
    vcpu->runner = pthread_self();
    vcpu->in_run = true;
}

void nv_vcpu_exit(struct nestvirt_vcpu *vcpu)
{
    NV_GUARD(&vcpu->lock);
    consume_signal(vcpu);
    vcpu->in_run = false;
}

bool nv_vcpu_is_runner(struct nestvirt_vcpu *vcpu)
{
    NV_GUARD(&vcpu->lock);
    return vcpu->in_run && pthread_equal(vcpu->runner, pthread_self());
}

bool nv_vcpu_is_in_run(struct nestvirt_vcpu *vcpu)
{
    NV_GUARD(&vcpu->lock);
    return vcpu->in_run;
}

int nv_vcpu_set_run_mask(struct nestvirt_vcpu *vcpu, const sigset_t *mask)
{
    enum { KERNEL_SIGSET_SIZE = 8 };
    union {
        struct kvm_signal_mask header;
        uint8_t room[sizeof(struct kvm_signal_mask) + KERNEL_SIGSET_SIZE];
    } request = { 0 };
    int r;

    if (vcpu->has_run_mask && memcmp(&vcpu->run_mask, mask, KERNEL_SIGSET_SIZE) == 0)
        return 0;
    request.header.len = KERNEL_SIGSET_SIZE;
    memcpy(request.header.sigset, mask, KERNEL_SIGSET_SIZE);
    r = nv_kvm_call(vcpu->group->host, vcpu->fd, KVM_SET_SIGNAL_MASK, &request);
    if (r < 0)
        return r;
    vcpu->run_mask = *mask;
    vcpu->has_run_mask = true;
    return 0;
}
