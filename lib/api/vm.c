/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the door of vm.h: the VM's life, result and events. */
#include <string.h>

#include "api/api.h"

enum {
    VM_CONFIG_FIRST = sizeof(struct nestvirt_vm_config),
    VM_RESULT_FIRST = sizeof(struct nestvirt_vm_result),
    EVENT_FIRST = sizeof(struct nestvirt_event)
};

NV_EXPORT void nestvirt_vm_config_init(struct nestvirt_vm_config *config, size_t caller_size)
{
    nv_struct_init(config, caller_size);
    if (config && caller_size >= offsetof(struct nestvirt_vm_config, interrupt_chip))
        config->vcpus = 1;
}

static int check_chip(const struct nestvirt_host *host, const struct nestvirt_vm_config *config,
                      struct nestvirt_error **ret_error)
{
    if (config->interrupt_chip > NESTVIRT_CHIP_KERNEL)
        return nv_fail(ret_error, -EINVAL, "vm", "use NESTVIRT_CHIP_*", "unknown interrupt chip %u",
                       config->interrupt_chip);
    if (config->interrupt_chip == NESTVIRT_CHIP_SPLIT &&
        !(host->info.features & NESTVIRT_HOST_SPLIT_IRQCHIP))
        return nv_fail(ret_error, -ENOTSUP, "vm",
                       "use NESTVIRT_CHIP_KERNEL or NESTVIRT_CHIP_NONE, or Linux 5.10 or later",
                       "this host lacks KVM_CAP_SPLIT_IRQCHIP");
    if ((config->flags & NESTVIRT_VM_PIT) && config->interrupt_chip != NESTVIRT_CHIP_KERNEL)
        return nv_fail(ret_error, -EINVAL, "vm", "use NESTVIRT_CHIP_KERNEL, or leave it out",
                       "NESTVIRT_VM_PIT needs the interrupt chip in the kernel");
    return 0;
}

/* Who has to be told that guests may use VMX or SVM. */
static int check_nested(const struct nestvirt_host *host, const struct nestvirt_vm_config *config,
                        struct nestvirt_error **ret_error)
{
    const uint32_t nested = NESTVIRT_HOST_NESTED_VMX | NESTVIRT_HOST_NESTED_SVM;
    const char *hint = "load kvm_intel or kvm_amd with nested=1, or clear NESTVIRT_VM_NESTED";

    if (!(config->flags & NESTVIRT_VM_NESTED) || (host->info.features & nested))
        return 0;
    if (host->info.features & NESTVIRT_HOST_INTERPRETED)
        return nv_fail(ret_error, -ENOTSUP, "vm", hint,
                       "this host's KVM is software (kvm_pvm), which has no VMX or SVM for guests");
    return nv_fail(ret_error, -ENOTSUP, "vm", hint,
                   "this host's KVM does not let guests use VMX or SVM");
}

static int check_config(const struct nestvirt_host *host, const struct nestvirt_vm_config *config,
                        struct nestvirt_error **ret_error)
{
    const uint32_t known =
        NESTVIRT_VM_MANUAL_VCPUS | NESTVIRT_VM_FIXUPS | NESTVIRT_VM_PIT | NESTVIRT_VM_NESTED;
    int r;

    if (config->flags & ~known)
        return nv_fail(ret_error, -EINVAL, "vm", "clear them", "unknown flags 0x%x",
                       config->flags & ~known);
    if (config->reserved)
        return nv_fail(ret_error, -EINVAL, "vm", "set it to 0", "reserved field is 0x%x",
                       config->reserved);
    if (config->vcpus == 0 || config->vcpus > host->info.max_vcpus)
        return nv_fail(ret_error, -EINVAL, "vm", nv_text("give it 1 to %u", host->info.max_vcpus).s,
                       "%u vCPUs", config->vcpus);
    if (config->name && strnlen(config->name, NESTVIRT_VM_NAME_MAX + 1) > NESTVIRT_VM_NAME_MAX)
        return nv_fail(ret_error, -EINVAL, "vm", "shorten it", "the name is longer than %d bytes",
                       NESTVIRT_VM_NAME_MAX);
    if (config->memory_size == 0 && config->memory_backing != 0)
        return nv_fail(ret_error, -EINVAL, "vm", "set memory_size too",
                       "memory_backing without memory_size");
    if (config->memory_backing == NESTVIRT_BACKING_FD ||
        config->memory_backing == NESTVIRT_BACKING_FILE)
        return nv_fail(ret_error, -EINVAL, "vm", "use nestvirt_memory_add",
                       "memory_backing %u needs a descriptor", config->memory_backing);
    r = check_nested(host, config, ret_error);
    return r < 0 ? r : check_chip(host, config, ret_error);
}

NV_EXPORT int nestvirt_vm_new(struct nestvirt_host *host, const struct nestvirt_vm_config *config,
                              struct nestvirt_vm **ret_vm, struct nestvirt_error **ret_error)
{
    struct nestvirt_vm_config ours;
    int r;

    if (ret_vm)
        *ret_vm = NULL;
    r = nv_api_host(host, ret_error);
    if (r == 0)
        r = nv_api_pointer(ret_vm, "ret_vm", ret_error);
    if (r < 0)
        return r;
    nestvirt_vm_config_init(&ours, sizeof(ours));
    if (config)
        r = nv_struct_in(&ours, sizeof(ours), VM_CONFIG_FIRST, config, "vm config", ret_error);
    if (r == 0)
        r = check_config(host, &ours, ret_error);
    return r < 0 ? r : nv_vm_new(host, &ours, ret_vm, ret_error);
}

NV_EXPORT int nestvirt_vm_free(struct nestvirt_vm *vm)
{
    int r;

    if (!vm)
        return 0;
    r = nv_api_vm(vm, NULL);
    if (r < 0)
        return r == -ECHILD ? 0 : r;
    if (atomic_exchange(&vm->is_freeing, true))
        return -EBADF;
    r = nv_api_enter(vm, "be freed", NULL);
    if (r == 0) {
        if (vm->state != NESTVIRT_STATE_NEW)
            r = nv_vm_stop(vm, UINT64_MAX, NULL);
        nv_api_leave(vm);
    }
    if (r < 0)
        vm->is_freeing = false;
    else
        nv_vm_free(vm);
    return r;
}

NV_EXPORT int nestvirt_vm_get_state(struct nestvirt_vm *vm)
{
    int r = nv_api_vm(vm, NULL);

    return r < 0 ? r : vm->state;
}

NV_EXPORT const char *nestvirt_vm_state_name(int state)
{
    return nv_state_name(state);
}

NV_EXPORT int nestvirt_vm_set_loop(struct nestvirt_vm *vm, struct nestvirt_loop *loop,
                                   struct nestvirt_error **ret_error)
{
    int r = nv_api_vm(vm, ret_error);

    if (r == 0)
        r = nv_api_loop(loop, ret_error);
    if (r == 0)
        r = nv_api_enter_new(vm, "set the event loop", ret_error);
    if (r < 0)
        return r;
    if (vm->loop)
        r = nv_fail(ret_error, -EBUSY, nv_vm_name(vm).s, "set it once", "has an event loop");
    else
        nv_vm_set_loop(vm, nv_loop_ref(loop));
    vm->has_given_loop = vm->loop;
    nv_api_leave(vm);
    return r;
}

/* Sinks may be set while nothing runs yet. */
static int enter_quiet(struct nestvirt_vm *vm, const char *what, struct nestvirt_error **ret_error)
{
    int r = nv_api_enter(vm, what, ret_error);

    if (r < 0)
        return r;
    if (vm->state == NESTVIRT_STATE_NEW || vm->state == NESTVIRT_STATE_BUILT)
        return 0;
    r = nv_fail(ret_error, -EBUSY, nv_vm_name(vm).s, "do it before nestvirt_vm_start",
                "cannot %s while %s", what, nv_state_name(vm->state));
    nv_api_leave(vm);
    return r;
}

NV_EXPORT int nestvirt_vm_set_log(struct nestvirt_vm *vm, uint32_t level,
                                  void (*fn)(void *user_data, uint32_t level, const char *text),
                                  void *user_data, void (*free_data)(void *user_data),
                                  struct nestvirt_error **ret_error)
{
    struct nv_log old;
    int r = enter_quiet(vm, "set the log", ret_error);

    if (r < 0)
        return r;
    if (level > NESTVIRT_LOG_DEBUG) {
        r = nv_fail(ret_error, -EINVAL, nv_vm_name(vm).s, "use NESTVIRT_LOG_*",
                    "unknown log level %u", level);
    } else {
        old = vm->log;
        vm->log = (struct nv_log){
            .level = level, .fn = fn, .user_data = user_data, .free_data = free_data
        };
    }
    nv_api_leave(vm);
    if (r == 0)
        nv_log_clear(&old);
    return r;
}

NV_EXPORT int nestvirt_vm_validate(struct nestvirt_vm *vm, struct nestvirt_error **ret_error)
{
    int r = nv_api_enter_new(vm, "validate", ret_error);

    if (r < 0)
        return r;
    r = nv_vm_validate(vm, ret_error);
    nv_api_leave(vm);
    return r;
}

/* Gives the lock back, then logs what arose under it: no callback runs with a lock held. */
static void leave_and_log(struct nestvirt_vm *vm)
{
    const struct nv_late_line late = vm->late;
    const struct nv_log log = vm->log;

    vm->late.level = 0;
    nv_api_leave(vm);
    if (late.level)
        nv_log(&log, late.level, "%s", late.text);
}

NV_EXPORT int nestvirt_vm_build(struct nestvirt_vm *vm, struct nestvirt_error **ret_error)
{
    int r = nv_api_enter(vm, "build", ret_error);

    if (r < 0)
        return r;
    r = nv_vm_build(vm, ret_error);
    leave_and_log(vm);
    return r;
}

NV_EXPORT int nestvirt_vm_start(struct nestvirt_vm *vm, struct nestvirt_error **ret_error)
{
    int r = nv_api_enter(vm, "start", ret_error);

    if (r < 0)
        return r;
    r = nv_vm_start(vm, ret_error);
    leave_and_log(vm);
    return r;
}

NV_EXPORT int nestvirt_vm_pause(struct nestvirt_vm *vm, struct nestvirt_error **ret_error)
{
    int r = nv_api_enter(vm, "pause", ret_error);

    if (r < 0)
        return r;
    r = nv_vm_pause(vm, ret_error);
    nv_api_leave(vm);
    return r;
}

NV_EXPORT int nestvirt_vm_resume(struct nestvirt_vm *vm, struct nestvirt_error **ret_error)
{
    int r = nv_api_enter(vm, "resume", ret_error);

    if (r < 0)
        return r;
    r = nv_vm_resume(vm, ret_error);
    nv_api_leave(vm);
    return r;
}

NV_EXPORT int nestvirt_vm_request_stop(struct nestvirt_vm *vm, struct nestvirt_error **ret_error)
{
    int r = nv_api_enter(vm, "ask for a stop", ret_error);

    if (r < 0)
        return r;
    r = nv_vm_request_stop(vm, ret_error);
    nv_api_leave(vm);
    return r;
}

NV_EXPORT int nestvirt_vm_stop(struct nestvirt_vm *vm, int32_t timeout_ms,
                               struct nestvirt_error **ret_error)
{
    uint64_t deadline_ns = nv_api_deadline(timeout_ms);
    int r = nv_api_enter_until(vm, "stop", deadline_ns, ret_error);

    if (r < 0)
        return r;
    r = nv_vm_stop(vm, deadline_ns, ret_error);
    nv_api_leave(vm);
    return r;
}

NV_EXPORT void nestvirt_vm_result_init(struct nestvirt_vm_result *result, size_t caller_size)
{
    nv_struct_init(result, caller_size);
}

NV_EXPORT int nestvirt_vm_wait(struct nestvirt_vm *vm, int32_t timeout_ms,
                               struct nestvirt_vm_result *result, struct nestvirt_error **ret_error)
{
    struct nestvirt_vm_result ours;
    int r = nv_api_vm(vm, ret_error);

    if (r < 0)
        return r;
    if (nv_vm_is_own_thread(vm))
        return nv_fail(ret_error, -EDEADLK, nv_vm_name(vm).s, "wait on another thread",
                       "cannot be waited for from one of its own callbacks or vCPU threads");
    if (result)
        r = nv_struct_check(result, VM_RESULT_FIRST, "vm result", ret_error);
    if (r == 0)
        r = nv_vm_wait(vm, nv_api_deadline(timeout_ms), &ours, ret_error);
    if (r == 0 && result)
        r = nv_struct_out(result, &ours, sizeof(ours), VM_RESULT_FIRST, "vm result", ret_error);
    return r;
}

NV_EXPORT const char *nestvirt_vm_result_name(uint32_t reason)
{
    return nv_result_name(reason);
}

NV_EXPORT void nestvirt_event_init(struct nestvirt_event *event, size_t caller_size)
{
    nv_struct_init(event, caller_size);
}

NV_EXPORT int nestvirt_vm_get_event_fd(struct nestvirt_vm *vm, struct nestvirt_error **ret_error)
{
    int r = nv_api_vm(vm, ret_error);

    if (r < 0)
        return r;
    r = nv_events_fd(&vm->events);
    if (r < 0)
        return nv_fail_sys(ret_error, -r, nv_vm_name(vm).s, "eventfd",
                           "raise the limit on open files");
    return r;
}

NV_EXPORT int nestvirt_vm_next_event(struct nestvirt_vm *vm, struct nestvirt_event *event,
                                     struct nestvirt_error **ret_error)
{
    struct nestvirt_event ours;
    int r = nv_api_vm(vm, ret_error);

    if (r == 0)
        r = nv_struct_check(event, EVENT_FIRST, "event", ret_error);
    if (r < 0 || nv_events_pop(&vm->events, &ours) == 0)
        return r;
    r = nv_struct_out(event, &ours, sizeof(ours), EVENT_FIRST, "event", ret_error);
    return r < 0 ? r : 1;
}

NV_EXPORT int nestvirt_vm_set_exit_handler(
    struct nestvirt_vm *vm, int32_t (*fn)(void *user_data, struct nestvirt_exit *exit),
    void *user_data, void (*free_data)(void *user_data), struct nestvirt_error **ret_error)
{
    void (*old_free)(void *);
    void *old_data;
    int r = enter_quiet(vm, "set the exit handler", ret_error);

    if (r < 0)
        return r;
    old_free = vm->exit_free;
    old_data = vm->group.exit_data;
    vm->group.exit_fn = fn;
    vm->group.exit_data = user_data;
    vm->exit_free = free_data;
    nv_api_leave(vm);
    if (old_free)
        old_free(old_data);
    return 0;
}
