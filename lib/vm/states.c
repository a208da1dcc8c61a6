/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the VM's state machine: build, start, pause, resume, stop, wait, and runs by hand. */
#include <assert.h>
#include <errno.h>

#include "core/cleanup.h"
#include "core/util.h"
#include "host/thread.h"
#include "vm/state.h"
#include "vm/vm.h"

const char *nv_state_name(int state)
{
    static const char *const names[] = { "unknown", "new",     "built", "running",
                                         "paused",  "stopped", "failed" };

    static_assert(NV_ARRAY_SIZE(names) == NESTVIRT_STATE_FAILED + 1, "a name for each state");
    return state > 0 && state <= NESTVIRT_STATE_FAILED ? names[state] : names[0];
}

const char *nv_result_name(uint32_t reason)
{
    static const char *const names[] = {
        "none",       "guest reset",       "guest shutdown", "triple fault",
        "guest exit", "stopped by caller", "internal error", "guest halt",
    };

    static_assert(NV_ARRAY_SIZE(names) == NESTVIRT_RESULT_GUEST_HALT + 1, "a name for each");
    return reason <= NESTVIRT_RESULT_GUEST_HALT ? names[reason] : "unknown";
}

static int refuse(struct nestvirt_vm *vm, int code, const char *what, const char *hint,
                  struct nestvirt_error **ret_error)
{
    return nv_fail(ret_error, code, nv_vm_name(vm).s, hint, "cannot %s while %s", what,
                   nv_state_name(vm->state));
}

static bool has_stopped(const struct nestvirt_vm *vm)
{
    return vm->state == NESTVIRT_STATE_STOPPED || vm->state == NESTVIRT_STATE_FAILED;
}

int nv_vm_validate(struct nestvirt_vm *vm, struct nestvirt_error **ret_error)
{
    struct nestvirt_error *list = NULL;

    nv_vm_check(vm, &list);
    return nv_error_give(list, ret_error);
}

/* A stopped VM becomes as new: memory zeroed, KVM objects closed; threads and handles stay. */
static int clear_last_run(struct nestvirt_vm *vm, struct nestvirt_error **ret_error)
{
    nv_vm_take_apart(vm);
    return nv_memory_reset(&vm->memory, ret_error);
}

int nv_vm_build(struct nestvirt_vm *vm, struct nestvirt_error **ret_error)
{
    bool is_first = vm->state == NESTVIRT_STATE_NEW;
    int r = 0;

    if (!is_first && !has_stopped(vm))
        return refuse(vm, -EBUSY, "build", "build once, before start", ret_error);
    if (vm->is_consumed)
        return nv_fail(ret_error, -EBUSY, nv_vm_name(vm).s, "make a clone with nestvirt_clone_new",
                       "has become a template and cannot run again");
    if (vm->is_unfit)
        return nv_fail(ret_error, -EBUSY, nv_vm_name(vm).s, "free it and make it anew",
                       "is not to run: one of its threads could not give up its privileges");
    if (is_first)
        r = nv_vm_validate(vm, ret_error);
    else
        r = clear_last_run(vm, ret_error);
    if (r == 0)
        r = nv_vm_assemble(vm, ret_error);
    if (r == 0)
        r = nv_vm_confine_again(vm, ret_error);
    if (r < 0) {
        /* The first build leaves the VM as it was; a later one cannot bring the last run back. */
        if (is_first)
            nv_group_join(&vm->group);
        if (ret_error)
            nv_error_prefix(ret_error, nv_vm_name(vm).s);
        if (!is_first) {
            NV_GUARD(&vm->group.lock);
            nv_vm_set_state(vm, NESTVIRT_STATE_FAILED);
        }
        return r;
    }
    nv_vm_watch_threads(vm);
    NV_GUARD(&vm->group.lock);
    vm->group.has_ended = false; /* only now: until here the last result stands */
    vm->group.result = (struct nestvirt_vm_result){ 0 };
    nv_vm_set_state(vm, NESTVIRT_STATE_BUILT);
    return 0;
}

/*
 * State and release change together: a run by hand may begin in the very next moment. A device that
 * has asked for a pause meanwhile gets it.
 */
static void release(struct nestvirt_vm *vm)
{
    pthread_mutex_lock(&vm->group.lock);
    nv_vm_set_state(vm, NESTVIRT_STATE_RUNNING);
    nv_group_release(&vm->group);
    if (atomic_load(&vm->is_to_pause))
        nv_vm_park_to_pause(vm);
    pthread_mutex_unlock(&vm->group.lock);
    pthread_cond_broadcast(&vm->group.changed);
}

int nv_vm_start(struct nestvirt_vm *vm, struct nestvirt_error **ret_error)
{
    int r;

    if (vm->state == NESTVIRT_STATE_RUNNING)
        return refuse(vm, -EALREADY, "start", "it runs", ret_error);
    if (has_stopped(vm)) {
        r = nv_vm_build(vm, ret_error);
        if (r < 0)
            return r;
    }
    if (vm->state == NESTVIRT_STATE_PAUSED)
        return refuse(vm, -EBUSY, "start", "call nestvirt_vm_resume", ret_error);
    if (vm->state != NESTVIRT_STATE_BUILT)
        return refuse(vm, -EBUSY, "start", "call nestvirt_vm_build first", ret_error);
    r = nv_group_prepare(&vm->group, ret_error);
    if (r < 0) {
        nv_error_prefix(ret_error, nv_vm_name(vm).s);
        return r;
    }
    if (vm->is_loaded) {
        r = nv_vm_go_on(vm, ret_error);
        if (r < 0)
            return r;
    }
    for (uint32_t i = 0; i < vm->device_count && !vm->is_loaded; i++)
        nv_device_start(vm->devices[i]);
    atomic_store(&vm->is_to_pause, false);
    vm->was_started = true;
    release(vm);
    return 0;
}

void nv_vm_set_paused(struct nestvirt_vm *vm)
{
    for (uint32_t i = 0; i < vm->device_count; i++)
        nv_device_pause(vm->devices[i]);
    nv_vm_set_state(vm, NESTVIRT_STATE_PAUSED);
    pthread_cond_broadcast(&vm->group.changed);
}

static int signal_failed(struct nestvirt_vm *vm, int code, struct nestvirt_error **ret_error)
{
    return nv_fail(ret_error, code, nv_vm_name(vm).s,
                   "raise the limit on queued signals (ulimit -i) and try again",
                   "a vCPU could not be signalled");
}

int nv_vm_pause(struct nestvirt_vm *vm, struct nestvirt_error **ret_error)
{
    int r;

    if (vm->state == NESTVIRT_STATE_PAUSED)
        return refuse(vm, -EALREADY, "pause", "it is paused", ret_error);
    if (vm->state != NESTVIRT_STATE_RUNNING)
        return refuse(vm, -EBUSY, "pause", "start it first", ret_error);
    r = nv_group_park(&vm->group);
    if (r < 0)
        return signal_failed(vm, r, ret_error);
    NV_GUARD(&vm->group.lock);
    nv_group_wait_parked(&vm->group, UINT64_MAX);
    if (has_stopped(vm)) /* the guest ended in that moment */
        return refuse(vm, -EBUSY, "pause", "see nestvirt_vm_wait", ret_error);
    if (vm->state == NESTVIRT_STATE_RUNNING)
        nv_vm_set_paused(vm);
    return 0;
}

/* Tells the guest's clock that time passed without it; otherwise its watchdogs complain. */
static void mark_clock(struct nestvirt_vm *vm)
{
    if (!vm->host->has_kvmclock_ctrl)
        return;
    for (uint32_t i = 0; i < vm->group.count; i++) /* -EINVAL: this guest does not use it */
        nv_kvm_call(vm->host, vm->group.vcpus[i].fd, KVM_KVMCLOCK_CTRL, NULL);
}

int nv_vm_resume(struct nestvirt_vm *vm, struct nestvirt_error **ret_error)
{
    if (vm->state == NESTVIRT_STATE_RUNNING)
        return refuse(vm, -EALREADY, "resume", "it runs", ret_error);
    if (vm->state != NESTVIRT_STATE_PAUSED)
        return refuse(vm, -EBUSY, "resume", "pause it first, or start it", ret_error);
    mark_clock(vm);
    atomic_store(&vm->is_to_pause, false); /* what was asked for up to now has been had */
    for (uint32_t i = 0; i < vm->device_count; i++)
        nv_device_resume(vm->devices[i]);
    release(vm);
    return 0;
}

/* The run ends now; if nothing is active, this thread does what the last vCPU would. */
static int finish(struct nestvirt_vm *vm, uint64_t deadline_ns, struct nestvirt_error **ret_error)
{
    struct nv_signal_shield shield;
    int r;

    NV_GUARD(&vm->group.lock);
    r = nv_group_wait_parked(&vm->group, deadline_ns);
    if (r < 0)
        return nv_fail(ret_error, r, nv_vm_name(vm).s,
                       "return from callbacks, then call nestvirt_vm_wait",
                       "a vCPU is still inside a callback");
    nv_signals_shield(&shield);
    vm->group.upward.parked(vm);
    nv_signals_unshield(&shield);
    return 0;
}

int nv_vm_stop(struct nestvirt_vm *vm, uint64_t deadline_ns, struct nestvirt_error **ret_error)
{
    int r;

    if (has_stopped(vm))
        return 0;
    if (vm->state == NESTVIRT_STATE_NEW)
        return refuse(vm, -EBUSY, "stop", "free it, or start it first", ret_error);
    r = nv_group_end_reason(&vm->group, NESTVIRT_RESULT_STOPPED, 0);
    if (r < 0)
        return signal_failed(vm, r, ret_error);
    return finish(vm, deadline_ns, ret_error);
}

/* What could not be confined ends before it has begun. */
static void fail_built(struct nestvirt_vm *vm)
{
    if (nv_group_end_reason(&vm->group, NESTVIRT_RESULT_INTERNAL_ERROR, 0) == 0)
        finish(vm, UINT64_MAX, NULL);
}

int nv_vm_drop(struct nestvirt_vm *vm, struct nestvirt_error **ret_error)
{
    static const char what[] = "give up privileges";
    int r;

    if (vm->is_confined)
        return refuse(vm, -EALREADY, what, "do it once", ret_error);
    if (vm->state == NESTVIRT_STATE_NEW)
        return refuse(vm, -EBUSY, what, "call nestvirt_vm_build first", ret_error);
    if (vm->state != NESTVIRT_STATE_BUILT || vm->was_started)
        return nv_fail(ret_error, -EBUSY, nv_vm_name(vm).s, "do it between build and start",
                       "cannot give up privileges after the first start");
    r = nv_vm_remove_privileges(vm, ret_error);
    if (vm->is_unfit)
        fail_built(vm);
    return r;
}

int nv_vm_wait(struct nestvirt_vm *vm, uint64_t deadline_ns, struct nestvirt_vm_result *ret_result,
               struct nestvirt_error **ret_error)
{
    int r = 0;

    NV_GUARD(&vm->group.lock);
    if (vm->state == NESTVIRT_STATE_NEW || vm->state == NESTVIRT_STATE_BUILT)
        return refuse(vm, -EBUSY, "wait", "start it first", ret_error);
    while (!has_stopped(vm) && r == 0)
        r = nv_group_wait_change(&vm->group, deadline_ns);
    if (!has_stopped(vm))
        return nv_fail(ret_error, r, nv_vm_name(vm).s, "wait longer, or call nestvirt_vm_stop",
                       "has not stopped in the time given");
    *ret_result = vm->group.result;
    ret_result->size = sizeof(*ret_result);
    return 0;
}

int nv_vm_request_stop(struct nestvirt_vm *vm, struct nestvirt_error **ret_error)
{
    if (vm->state != NESTVIRT_STATE_RUNNING)
        return refuse(vm, -EBUSY, "ask for a stop", "start or resume it first", ret_error);
    if (!(vm->boot.discovery & NESTVIRT_DISCOVERY_ACPI) || (vm->boot.kernel_fd < 0 && !vm->origin))
        return nv_fail(ret_error, -ENOTSUP, nv_vm_name(vm).s,
                       "boot a kernel with NESTVIRT_DISCOVERY_ACPI, or use nestvirt_vm_stop",
                       "has no ACPI tables and so no power button");
    for (uint32_t i = 0; i < vm->device_count; i++)
        if (vm->devices[i]->class->request_stop)
            return vm->devices[i]->class->request_stop(vm->devices[i], ret_error);
    return nv_fail(ret_error, -ENOTSUP, nv_vm_name(vm).s,
                   "add a \"reset\" device, or use nestvirt_vm_stop", "has no power button");
}

/* Counts a run by hand in, unless the VM is not running or the vCPU has a driver. */
static int begin_run(struct nestvirt_vcpu *vcpu, struct nestvirt_vm *vm,
                     struct nestvirt_error **ret_error)
{
    NV_GUARD(&vm->group.lock);
    if (vm->state != NESTVIRT_STATE_RUNNING)
        return refuse(vm, -EBUSY, "run a vCPU", "start or resume the VM", ret_error);
    /* Whoever waits for the vCPUs to park has asked once; a vCPU that went in again would stay. */
    if (atomic_load(&vm->group.leave))
        return nv_fail(ret_error, -EBUSY, nv_vcpu_name(vcpu).s,
                       "wait until it has, then resume or start it", "the VM pauses or stops");
    if (nv_vcpu_is_in_run(vcpu))
        return nv_fail(ret_error, -EBUSY, nv_vcpu_name(vcpu).s, "use one thread per vCPU",
                       "is being run by another thread");
    nv_vcpu_enter(vcpu);
    vm->group.active++;
    return 0;
}

/*
 * Counts a run by hand out; true if the VM's run is over. Once this has returned, another thread
 * may free the VM: neither may be touched any more. did_leave: a cancel, if there was one, is told.
 */
static bool end_run(struct nestvirt_vcpu *vcpu, struct nestvirt_vm *vm, bool did_leave)
{
    NV_GUARD(&vm->group.lock);
    nv_vcpu_exit(vcpu);
    if (did_leave)
        atomic_store(&vcpu->is_canceled, false);
    if (--vm->group.active == 0)
        vm->group.upward.parked(vm);
    pthread_cond_broadcast(&vm->group.changed);
    return vm->group.has_ended;
}

int nv_vm_run_vcpu(struct nestvirt_vcpu *vcpu, struct nestvirt_exit *exit,
                   struct nestvirt_error **ret_error)
{
    struct nestvirt_vm *vm = vcpu->group->upward.owner;
    struct nv_signal_shield shield;
    sigset_t mask;
    enum nv_step step;
    uint32_t index = vcpu->index;
    bool has_ended;
    int r;

    nv_signals_shield(&shield);
    r = begin_run(vcpu, vm, ret_error);
    if (r == 0) {
        mask = shield.old;
        sigaddset(&mask, SIGPIPE);
        sigaddset(&mask, SIGXFSZ);
        sigdelset(&mask, nv_kick_signal());
        r = nv_vcpu_set_run_mask(vcpu, &mask);
        if (r < 0)
            nv_fail_sys(ret_error, -r, nv_vcpu_name(vcpu).s, "KVM_SET_SIGNAL_MASK", "");
        step = r == 0 ? nv_vcpu_run(vcpu, exit) : NV_STEP_LEAVE;
        has_ended = end_run(vcpu, vm, step == NV_STEP_LEAVE);
        if (step == NV_STEP_LEAVE)
            *exit = (struct nestvirt_exit){
                .size = sizeof(*exit),
                .reason = has_ended ? NESTVIRT_EXIT_STOPPED : NESTVIRT_EXIT_CANCELED,
                .vcpu = index,
            };
    }
    nv_signals_unshield(&shield);
    return r;
}
