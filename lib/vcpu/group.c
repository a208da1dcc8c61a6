/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the group a VM's vCPUs form: making them, their threads, parking, ending a run. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <nestvirt/privilege.h>

#include "core/cleanup.h"
#include "core/tags.h"
#include "core/util.h"
#include "host/thread.h"
#include "vcpu/vcpu.h"

int nv_group_init(struct nv_group *group, uint32_t count)
{
    pthread_condattr_t attributes;

    group->vcpus = calloc(count, sizeof(*group->vcpus));
    if (!group->vcpus)
        return -ENOMEM;
    group->count = count;
    group->vm_fd = -1;
    pthread_mutex_init(&group->lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&group->changed, &attributes);
    pthread_condattr_destroy(&attributes);
    nv_errand_init(&group->errand, NESTVIRT_ROLE_VCPU);
    for (uint32_t i = 0; i < count; i++) {
        struct nestvirt_vcpu *vcpu = &group->vcpus[i];

        vcpu->tag = NV_TAG_VCPU;
        vcpu->index = i;
        vcpu->group = group;
        vcpu->fd = -1;
        pthread_mutex_init(&vcpu->lock, NULL);
    }
    return 0;
}

void nv_group_destroy(struct nv_group *group)
{
    if (!group->vcpus)
        return;
    nv_group_join(group);
    nv_group_close(group);
    for (uint32_t i = 0; i < group->count; i++) {
        group->vcpus[i].tag = NV_TAG_FREED;
        pthread_mutex_destroy(&group->vcpus[i].lock);
    }
    pthread_mutex_destroy(&group->lock);
    pthread_cond_destroy(&group->changed);
    nv_errand_destroy(&group->errand);
    free(group->vcpus);
    group->vcpus = NULL;
}

struct nv_text nv_vcpu_name(const struct nestvirt_vcpu *vcpu)
{
    return nv_text("vcpu %u", vcpu->index);
}

/* One stretch of running on the vCPU's own thread. */
static void run_stretch(struct nestvirt_vcpu *vcpu)
{
    struct nestvirt_exit exit = { .size = sizeof(exit) };

    nv_vcpu_enter(vcpu);
    while (nv_vcpu_run(vcpu, &exit) != NV_STEP_LEAVE)
        ;
    nv_vcpu_exit(vcpu);
}

static void *vcpu_main(void *argument)
{
    struct nestvirt_vcpu *vcpu = argument;
    struct nv_group *group = vcpu->group;

    nv_thread_set_name(nv_text("nv%u:%s", vcpu->index, group->name).s);
    pthread_mutex_lock(&group->lock);
    for (;;) {
        while (!group->quit && vcpu->epoch == group->epoch)
            if (!nv_errand_serve(&group->errand, &group->lock, &vcpu->errand))
                pthread_cond_wait(&group->changed, &group->lock);
        if (group->quit)
            break;
        vcpu->epoch = group->epoch;
        pthread_mutex_unlock(&group->lock);
        run_stretch(vcpu);
        pthread_mutex_lock(&group->lock);
        if (--group->active == 0)
            group->upward.parked(group->upward.owner);
        pthread_cond_broadcast(&group->changed);
    }
    pthread_mutex_unlock(&group->lock);
    return NULL;
}

static int create_vcpu(struct nestvirt_vcpu *vcpu, const struct nv_cpuid_masks *masks,
                       struct nestvirt_error **ret_error)
{
    struct nv_group *group = vcpu->group;
    const struct nv_text name = nv_vcpu_name(vcpu);
    union nv_cpuid cpuid;
    void *run;
    int r;

    r = nv_kvm_try(group->host, group->vm_fd, KVM_CREATE_VCPU, vcpu->index, name.s, ret_error);
    if (r < 0)
        return r;
    vcpu->fd = r;
    r = group->host->ops->map(vcpu->fd, group->host->info.vcpu_mmap_size, &run);
    if (r < 0)
        return nv_fail_sys(ret_error, -r, name.s, "mmap",
                           nv_limit_hint(-r, 0, "raise the limit on mappings").s);
    pthread_mutex_lock(&vcpu->lock);
    vcpu->run = run;
    pthread_mutex_unlock(&vcpu->lock);
    vcpu->io_position = 0;
    vcpu->awaits_answer = false;
    vcpu->has_again = false;
    vcpu->is_halted = false;
    vcpu->has_run_mask = false;
    atomic_store(&vcpu->is_canceled, false);
    nv_cpuid_fill(&cpuid, group->host, masks, vcpu->index, group->count, group->has_irqchip);
    nv_cpuid_get_features(&cpuid, vcpu->features);
    r = nv_kvm_try(group->host, vcpu->fd, KVM_SET_CPUID2, &cpuid, name.s, ret_error);
    return r < 0 ? r : 0;
}

/* Threads of the library block everything but the kick inside KVM_RUN. */
static int set_thread_mask(struct nestvirt_vcpu *vcpu, struct nestvirt_error **ret_error)
{
    sigset_t mask;
    int r;

    sigfillset(&mask);
    sigdelset(&mask, nv_kick_signal());
    r = nv_vcpu_set_run_mask(vcpu, &mask);
    if (r < 0)
        return nv_fail_sys(ret_error, -r, nv_vcpu_name(vcpu).s, "KVM_SET_SIGNAL_MASK", "");
    return 0;
}

static const char threads_hint[] = "raise the limit on processes and threads (ulimit -u, pids.max)";

static int start_thread(struct nestvirt_vcpu *vcpu, struct nestvirt_error **ret_error)
{
    struct nv_group *group = vcpu->group;
    int r;

    if (vcpu->has_thread)
        return 0;
    vcpu->epoch = group->epoch;
    vcpu->errand = group->errand.number;
    vcpu->stack = nv_stacks_take(&group->host->stacks);
    if (!vcpu->stack)
        return nv_fail_sys(ret_error, ENOMEM, nv_vcpu_name(vcpu).s, "mmap of a stack",
                           nv_limit_hint(ENOMEM, NV_STACK_SIZE, "raise the limit on mappings").s);
    r = nv_thread_create(&vcpu->thread, vcpu->stack, vcpu_main, vcpu);
    if (r < 0) {
        nv_stacks_give(&group->host->stacks, vcpu->stack);
        vcpu->stack = NULL;
        return nv_fail_sys(ret_error, -r, nv_vcpu_name(vcpu).s, "pthread_create",
                           nv_limit_hint(-r, 0, threads_hint).s);
    }
    vcpu->has_thread = true;
    return 0;
}

int nv_group_build(struct nv_group *group, const struct nv_cpuid_masks *masks,
                   const struct nv_cpu_start *start, struct nestvirt_error **ret_error)
{
    int r = 0;

    for (uint32_t i = 0; i < group->count && r >= 0; i++) {
        r = create_vcpu(&group->vcpus[i], masks, ret_error);
        if (r >= 0 && i == 0 && start->valid)
            r = nv_vcpu_set_start(&group->vcpus[i], start, ret_error);
        if (r >= 0 && !group->is_manual)
            r = set_thread_mask(&group->vcpus[i], ret_error);
        if (r >= 0 && !group->is_manual)
            r = start_thread(&group->vcpus[i], ret_error);
    }
    if (r < 0) {
        nv_group_close(group);
        return r;
    }
    group->halted = 0;
    return 0;
}

void nv_group_close(struct nv_group *group)
{
    for (uint32_t i = 0; i < group->count; i++) {
        struct nestvirt_vcpu *vcpu = &group->vcpus[i];

        NV_GUARD(&vcpu->lock);
        if (vcpu->run)
            munmap(vcpu->run, group->host->info.vcpu_mmap_size);
        if (vcpu->fd >= 0)
            close(vcpu->fd);
        vcpu->run = NULL;
        vcpu->fd = -1;
    }
}

void nv_group_join(struct nv_group *group)
{
    pthread_mutex_lock(&group->lock);
    group->quit = true;
    pthread_cond_broadcast(&group->changed);
    pthread_mutex_unlock(&group->lock);
    for (uint32_t i = 0; i < group->count; i++) {
        struct nestvirt_vcpu *vcpu = &group->vcpus[i];

        if (vcpu->has_thread)
            pthread_join(vcpu->thread, NULL);
        vcpu->has_thread = false;
        nv_stacks_give(&group->host->stacks, vcpu->stack);
        vcpu->stack = NULL;
    }
    group->quit = false;
}

void nv_group_send(struct nv_group *group, nv_errand_fn *fn, void *user_data,
                   struct nv_errand_result *result)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < group->count; i++)
        count += group->vcpus[i].has_thread ? 1 : 0;
    NV_GUARD(&group->lock);
    nv_errand_run(&group->errand, &group->lock, &group->changed, count, fn, user_data, result);
}

int nv_group_prepare(struct nv_group *group, struct nestvirt_error **ret_error)
{
    int r = group->host->has_late_thread ? nv_vcpu_run_nothing(&group->vcpus[0]) : 0;

    if (r < 0)
        return nv_fail_sys(ret_error, -r, nv_vcpu_name(&group->vcpus[0]).s, "KVM_RUN",
                           nv_limit_hint(-r, 0, threads_hint).s);
    return 0;
}

void nv_group_release(struct nv_group *group)
{
    atomic_store(&group->leave, false);
    group->epoch++;
    if (!group->is_manual) /* runs by hand count themselves */
        group->active = group->count;
}

int nv_group_park(struct nv_group *group)
{
    int r = 0;

    atomic_store(&group->leave, true);
    for (uint32_t i = 0; i < group->count; i++) {
        int kicked = nv_vcpu_kick(&group->vcpus[i]);

        if (kicked < 0)
            r = kicked;
    }
    return r;
}

int nv_group_wait_change(struct nv_group *group, uint64_t deadline_ns)
{
    const struct timespec when = {
        .tv_sec = (time_t)(deadline_ns / 1000000000u),
        .tv_nsec = (long)(deadline_ns % 1000000000u),
    };
    int r;

    if (deadline_ns == UINT64_MAX)
        r = pthread_cond_wait(&group->changed, &group->lock);
    else
        r = pthread_cond_timedwait(&group->changed, &group->lock, &when);
    return r == ETIMEDOUT ? -ETIMEDOUT : 0;
}

int nv_group_wait_parked(struct nv_group *group, uint64_t deadline_ns)
{
    int r = 0;

    while (group->active > 0 && r == 0)
        r = nv_group_wait_change(group, deadline_ns);
    return group->active > 0 ? r : 0;
}

int nv_group_end(struct nv_group *group, const struct nestvirt_vm_result *result)
{
    pthread_mutex_lock(&group->lock);
    if (!group->has_ended) {
        group->has_ended = true;
        group->result = *result;
    }
    pthread_mutex_unlock(&group->lock);
    return nv_group_park(group);
}

int nv_group_end_reason(struct nv_group *group, uint32_t reason, uint32_t vcpu)
{
    const struct nestvirt_vm_result result = { .size = sizeof(result),
                                               .reason = reason,
                                               .vcpu = vcpu };

    return nv_group_end(group, &result);
}

bool nv_group_is_own_thread(struct nv_group *group)
{
    for (uint32_t i = 0; i < group->count; i++) {
        struct nestvirt_vcpu *vcpu = &group->vcpus[i];

        if (vcpu->has_thread && pthread_equal(vcpu->thread, pthread_self()))
            return true;
        if (group->is_manual && nv_vcpu_is_runner(vcpu))
            return true;
    }
    return false;
}
