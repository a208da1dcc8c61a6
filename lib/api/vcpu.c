/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the door of vcpu.h: registers, CPUID masks, and driving a vCPU by hand. */
#include "api/api.h"

enum {
    REGS_FIRST = sizeof(struct nestvirt_regs),
    SREGS_FIRST = sizeof(struct nestvirt_sregs),
    EXIT_FIRST = sizeof(struct nestvirt_exit)
};

NV_EXPORT void nestvirt_regs_init(struct nestvirt_regs *regs, size_t caller_size)
{
    nv_struct_init(regs, caller_size);
}

NV_EXPORT void nestvirt_sregs_init(struct nestvirt_sregs *sregs, size_t caller_size)
{
    nv_struct_init(sregs, caller_size);
}

NV_EXPORT void nestvirt_exit_init(struct nestvirt_exit *exit, size_t caller_size)
{
    nv_struct_init(exit, caller_size);
}

NV_EXPORT int nestvirt_vm_get_vcpu(struct nestvirt_vm *vm, uint32_t index,
                                   struct nestvirt_vcpu **ret_vcpu,
                                   struct nestvirt_error **ret_error)
{
    int r;

    if (ret_vcpu)
        *ret_vcpu = NULL;
    r = nv_api_vm(vm, ret_error);
    if (r == 0)
        r = nv_api_pointer(ret_vcpu, "ret_vcpu", ret_error);
    if (r < 0)
        return r;
    if (index >= vm->group.count)
        return nv_fail(ret_error, -ENOENT, nv_vm_name(vm).s, "count from 0",
                       "has %u vCPUs, not number %u", vm->group.count, index);
    *ret_vcpu = &vm->group.vcpus[index];
    return 0;
}

NV_EXPORT int nestvirt_vm_add_cpuid_mask(struct nestvirt_vm *vm, uint32_t leaf, uint32_t index,
                                         uint32_t cpu_register, uint32_t clear, uint32_t set,
                                         struct nestvirt_error **ret_error)
{
    const struct nv_cpuid_mask mask = {
        .leaf = leaf, .index = index, .cpu_register = cpu_register, .clear = clear, .set = set
    };
    int r = nv_api_enter_plain(vm, "mask CPUID", ret_error);

    if (r < 0)
        return r;
    r = nv_cpuid_add_mask(&vm->masks, &mask, vm->host, ret_error);
    nv_api_leave(vm);
    return r;
}

static struct nestvirt_vm *vm_of(const struct nestvirt_vcpu *vcpu)
{
    return vcpu->group->upward.owner;
}

/*
 * A vCPU driven by hand, between two runs: the group's lock keeps the next one out. NULL if it is
 * in a run or its VM does not run.
 */
static pthread_mutex_t *lock_between_runs(struct nestvirt_vcpu *vcpu)
{
    struct nv_group *group = vcpu->group;

    if (!group->is_manual)
        return NULL;
    pthread_mutex_lock(&group->lock);
    if (vm_of(vcpu)->state == NESTVIRT_STATE_RUNNING && !nv_vcpu_is_in_run(vcpu))
        return &group->lock;
    pthread_mutex_unlock(&group->lock);
    return NULL;
}

/* A VM that stands still: its api_lock keeps it so. NULL if it runs or has no vCPUs yet. */
static pthread_mutex_t *lock_standstill(struct nestvirt_vcpu *vcpu)
{
    struct nestvirt_vm *vm = vm_of(vcpu);

    pthread_mutex_lock(&vm->api_lock);
    if (vm->state != NESTVIRT_STATE_RUNNING && vm->state != NESTVIRT_STATE_NEW && vcpu->fd >= 0)
        return &vm->api_lock;
    pthread_mutex_unlock(&vm->api_lock);
    return NULL;
}

/*
 * Lets the caller at a vCPU's registers: its own runner at once (in a callback), others while
 * nothing runs. ret_lock tells which lock to give back, if any.
 */
static int enter_vcpu(struct nestvirt_vcpu *vcpu, pthread_mutex_t **ret_lock,
                      struct nestvirt_error **ret_error)
{
    struct nestvirt_vm *vm;
    int r = nv_api_vcpu(vcpu, ret_error);

    *ret_lock = NULL;
    if (r < 0)
        return r;
    vm = vm_of(vcpu);
    if (nv_vcpu_is_runner(vcpu))
        return 0;
    if (!nv_vm_is_own_thread(vm)) {
        *ret_lock = lock_between_runs(vcpu);
        if (!*ret_lock)
            *ret_lock = lock_standstill(vcpu);
        if (*ret_lock)
            return 0;
    }
    return nv_fail(ret_error, -EBUSY, nv_vcpu_name(vcpu).s,
                   "pause the VM, or call from this vCPU's own callback",
                   "cannot be looked at or changed while %s", nv_state_name(vm->state));
}

#define VCPU_ENTER(vcpu, ret_error)                                                         \
    __attribute__((cleanup(nv_cleanup_unlock), unused)) pthread_mutex_t *vcpu_guard = NULL; \
    do {                                                                                    \
        int entered_ = enter_vcpu(vcpu, &vcpu_guard, ret_error);                            \
        if (entered_ < 0)                                                                   \
            return entered_;                                                                \
    } while (0)

NV_EXPORT int nestvirt_vcpu_get_regs(struct nestvirt_vcpu *vcpu, struct nestvirt_regs *regs,
                                     struct nestvirt_error **ret_error)
{
    struct nestvirt_regs ours;
    int r;

    VCPU_ENTER(vcpu, ret_error);
    r = nv_struct_check(regs, REGS_FIRST, "regs", ret_error);
    if (r == 0)
        r = nv_vcpu_get_regs(vcpu, &ours, ret_error);
    return r < 0 ? r : nv_struct_out(regs, &ours, sizeof(ours), REGS_FIRST, "regs", ret_error);
}

/* Structures for setting have no flags yet. */
static int check_flags(uint32_t flags, const char *name, struct nestvirt_error **ret_error)
{
    if (flags == 0)
        return 0;
    return nv_fail(ret_error, -EINVAL, name, "clear them", "unknown flags 0x%x", flags);
}

NV_EXPORT int nestvirt_vcpu_set_regs(struct nestvirt_vcpu *vcpu, const struct nestvirt_regs *regs,
                                     struct nestvirt_error **ret_error)
{
    struct nestvirt_regs ours;
    int r;

    VCPU_ENTER(vcpu, ret_error);
    r = nv_struct_in(&ours, sizeof(ours), REGS_FIRST, regs, "regs", ret_error);
    if (r == 0)
        r = check_flags(ours.flags, "regs", ret_error);
    return r < 0 ? r : nv_vcpu_set_regs(vcpu, &ours, ret_error);
}

NV_EXPORT int nestvirt_vcpu_get_sregs(struct nestvirt_vcpu *vcpu, struct nestvirt_sregs *sregs,
                                      struct nestvirt_error **ret_error)
{
    struct nestvirt_sregs ours;
    int r;

    VCPU_ENTER(vcpu, ret_error);
    r = nv_struct_check(sregs, SREGS_FIRST, "sregs", ret_error);
    if (r == 0)
        r = nv_vcpu_get_sregs(vcpu, &ours, ret_error);
    return r < 0 ? r : nv_struct_out(sregs, &ours, sizeof(ours), SREGS_FIRST, "sregs", ret_error);
}

NV_EXPORT int nestvirt_vcpu_set_sregs(struct nestvirt_vcpu *vcpu,
                                      const struct nestvirt_sregs *sregs,
                                      struct nestvirt_error **ret_error)
{
    struct nestvirt_sregs ours;
    int r;

    VCPU_ENTER(vcpu, ret_error);
    r = nv_struct_in(&ours, sizeof(ours), SREGS_FIRST, sregs, "sregs", ret_error);
    if (r == 0)
        r = check_flags(ours.flags, "sregs", ret_error);
    return r < 0 ? r : nv_vcpu_set_sregs(vcpu, &ours, ret_error);
}

NV_EXPORT int nestvirt_vcpu_get_msr(struct nestvirt_vcpu *vcpu, uint32_t index, uint64_t *ret_value,
                                    struct nestvirt_error **ret_error)
{
    int r;

    if (ret_value)
        *ret_value = 0;
    VCPU_ENTER(vcpu, ret_error);
    r = nv_api_pointer(ret_value, "ret_value", ret_error);
    if (r < 0)
        return r;
    return nv_vcpu_get_msr(vcpu, index, ret_value, ret_error);
}

NV_EXPORT int nestvirt_vcpu_set_msr(struct nestvirt_vcpu *vcpu, uint32_t index, uint64_t value,
                                    struct nestvirt_error **ret_error)
{
    VCPU_ENTER(vcpu, ret_error);
    return nv_vcpu_set_msr(vcpu, index, value, ret_error);
}

NV_EXPORT int nestvirt_vcpu_run(struct nestvirt_vcpu *vcpu, struct nestvirt_exit *exit,
                                struct nestvirt_error **ret_error)
{
    struct nestvirt_exit ours;
    int r = nv_api_vcpu(vcpu, ret_error);

    if (r == 0)
        r = nv_struct_in(&ours, sizeof(ours), EXIT_FIRST, exit, "exit", ret_error);
    if (r < 0)
        return r;
    if (!vcpu->group->is_manual)
        return nv_fail(ret_error, -EINVAL, nv_vcpu_name(vcpu).s,
                       "make the VM with NESTVIRT_VM_MANUAL_VCPUS",
                       "has a thread of its own and cannot be run by hand");
    r = nv_vm_run_vcpu(vcpu, &ours, ret_error);
    return r < 0 ? r : nv_struct_out(exit, &ours, sizeof(ours), EXIT_FIRST, "exit", ret_error);
}

NV_EXPORT int nestvirt_vcpu_cancel(struct nestvirt_vcpu *vcpu, struct nestvirt_error **ret_error)
{
    int r = nv_api_vcpu(vcpu, ret_error);

    if (r < 0)
        return r;
    if (!vcpu->group->is_manual)
        return nv_fail(ret_error, -EINVAL, nv_vcpu_name(vcpu).s, "use nestvirt_vm_pause",
                       "has a thread of its own");
    if (vm_of(vcpu)->state != NESTVIRT_STATE_RUNNING)
        return nv_fail(ret_error, -EBUSY, nv_vcpu_name(vcpu).s, "start the VM",
                       "cannot be canceled while %s", nv_state_name(vm_of(vcpu)->state));
    atomic_store(&vcpu->is_canceled, true);
    r = nv_vcpu_kick(vcpu);
    if (r < 0)
        return nv_fail(ret_error, r, nv_vcpu_name(vcpu).s,
                       "raise the limit on queued signals (ulimit -i)", "could not be signalled");
    return 0;
}

NV_EXPORT int nestvirt_vcpu_inject_exception(struct nestvirt_vcpu *vcpu, uint32_t vector,
                                             uint32_t has_error_code, uint32_t error_code,
                                             struct nestvirt_error **ret_error)
{
    enum { VECTOR_NMI = 2, VECTOR_MAX = 31 };

    VCPU_ENTER(vcpu, ret_error);
    if (vector > VECTOR_MAX || vector == VECTOR_NMI || has_error_code > 1)
        return nv_fail(ret_error, -EINVAL, nv_vcpu_name(vcpu).s,
                       "use 0 to 31 but 2, and 0 or 1 for has_error_code",
                       "exception %u with error code flag %u", vector, has_error_code);
    return nv_vcpu_inject(vcpu, vector, has_error_code, error_code, ret_error);
}

NV_EXPORT int nestvirt_vcpu_skip(struct nestvirt_vcpu *vcpu, uint32_t length,
                                 struct nestvirt_error **ret_error)
{
    enum { LENGTH_MAX = 15 };

    VCPU_ENTER(vcpu, ret_error);
    if (length == 0 || length > LENGTH_MAX)
        return nv_fail(ret_error, -EINVAL, nv_vcpu_name(vcpu).s, "use 1 to 15",
                       "an instruction has no %u bytes", length);
    return nv_vcpu_skip(vcpu, length, ret_error);
}
