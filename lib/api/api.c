/* SPDX-License-Identifier: Apache-2.0 */
/* Owns what every public function does first: checking handles, the fork and the state. */
#include "api/api.h"

#include <string.h>
#include <time.h>
#include <unistd.h>

#include "core/tags.h"

int nv_api_handle(const uint32_t *tag, uint32_t wanted, const char *name,
                  struct nestvirt_error **ret_error)
{
    if (!tag)
        return nv_fail(ret_error, -EFAULT, name, "pass a handle", "is NULL");
    if (*tag != wanted)
        return nv_fail(ret_error, -EBADF, name, "pass the right handle",
                       "is another kind of object, or was freed");
    return 0;
}

static int check_fork(const struct nestvirt_host *host, const char *name,
                      struct nestvirt_error **ret_error)
{
    if (nv_host_is_forked(host))
        return nv_fail(ret_error, -ECHILD, name, "open the host and make VMs in this process",
                       "belongs to the parent process");
    return 0;
}

int nv_api_host(const struct nestvirt_host *host, struct nestvirt_error **ret_error)
{
    int r;

    nv_ok(ret_error);
    r = nv_api_handle(host ? &host->tag : NULL, NV_TAG_HOST, "host", ret_error);
    return r < 0 ? r : check_fork(host, "host", ret_error);
}

int nv_api_loop(const struct nestvirt_loop *loop, struct nestvirt_error **ret_error)
{
    int r;

    nv_ok(ret_error);
    r = nv_api_handle(loop ? &loop->tag : NULL, NV_TAG_LOOP, "event loop", ret_error);
    if (r == 0 && loop->process != (uint32_t)getpid())
        return nv_fail(ret_error, -ECHILD, "event loop", "make one in this process",
                       "belongs to the parent process");
    return r;
}

int nv_api_vm(const struct nestvirt_vm *vm, struct nestvirt_error **ret_error)
{
    int r;

    nv_ok(ret_error);
    r = nv_api_handle(vm ? &vm->tag : NULL, NV_TAG_VM, "vm", ret_error);
    return r < 0 ? r : check_fork(vm->host, nv_vm_name(vm).s, ret_error);
}

int nv_api_vcpu(const struct nestvirt_vcpu *vcpu, struct nestvirt_error **ret_error)
{
    int r;

    nv_ok(ret_error);
    r = nv_api_handle(vcpu ? &vcpu->tag : NULL, NV_TAG_VCPU, "vcpu", ret_error);
    return r < 0 ? r : check_fork(vcpu->group->host, nv_vcpu_name(vcpu).s, ret_error);
}

int nv_api_device(const struct nestvirt_device *device, struct nestvirt_error **ret_error)
{
    const struct nestvirt_vm *vm;
    int r;

    nv_ok(ret_error);
    r = nv_api_handle(device ? &device->tag : NULL, NV_TAG_DEVICE, "device", ret_error);
    if (r < 0)
        return r;
    vm = device->owner;
    return check_fork(vm->host, nv_device_name(device).s, ret_error);
}

int nv_api_pointer(const void *pointer, const char *name, struct nestvirt_error **ret_error)
{
    if (pointer)
        return 0;
    return nv_fail(ret_error, -EFAULT, name, "pass a valid pointer", "is NULL");
}

int nv_api_enter(struct nestvirt_vm *vm, const char *what, struct nestvirt_error **ret_error)
{
    return nv_api_enter_until(vm, what, UINT64_MAX, ret_error);
}

static int lock_until(pthread_mutex_t *mutex, uint64_t deadline_ns)
{
    const struct timespec when = {
        .tv_sec = (time_t)(deadline_ns / 1000000000u),
        .tv_nsec = (long)(deadline_ns % 1000000000u),
    };

    if (deadline_ns == UINT64_MAX)
        return pthread_mutex_lock(mutex);
    return pthread_mutex_clocklock(mutex, CLOCK_MONOTONIC, &when);
}

int nv_api_enter_until(struct nestvirt_vm *vm, const char *what, uint64_t deadline_ns,
                       struct nestvirt_error **ret_error)
{
    int r = nv_api_vm(vm, ret_error);

    if (r < 0)
        return r;
    if (nv_vm_is_own_thread(vm))
        return nv_fail(ret_error, -EDEADLK, nv_vm_name(vm).s,
                       "call it from another thread; a callback may return NESTVIRT_ACTION_STOP",
                       "cannot %s from one of its own callbacks or vCPU threads", what);
    if (lock_until(&vm->api_lock, deadline_ns) != 0)
        return nv_fail(ret_error, -ETIMEDOUT, nv_vm_name(vm).s, "try again when it has returned",
                       "cannot %s while another call is under way", what);
    return 0;
}

int nv_api_enter_new(struct nestvirt_vm *vm, const char *what, struct nestvirt_error **ret_error)
{
    int r = nv_api_vm(vm, ret_error);

    if (r < 0)
        return r;
    /* Looked at before the lock, which a state change may hold while it waits for a callback. */
    if (vm->state == NESTVIRT_STATE_NEW) {
        pthread_mutex_lock(&vm->api_lock);
        if (vm->state == NESTVIRT_STATE_NEW)
            return 0;
        pthread_mutex_unlock(&vm->api_lock);
    }
    return nv_fail(ret_error, -EBUSY, nv_vm_name(vm).s, "do it before nestvirt_vm_build",
                   "cannot %s while %s", what, nv_state_name(vm->state));
}

int nv_api_enter_plain(struct nestvirt_vm *vm, const char *what, struct nestvirt_error **ret_error)
{
    int r = nv_api_enter_new(vm, what, ret_error);

    if (r < 0 || !vm->origin)
        return r;
    nv_api_leave(vm);
    return nv_fail(ret_error, -EBUSY, nv_vm_name(vm).s, "do it before making the template",
                   "cannot %s: it is a clone", what);
}

void nv_api_leave(struct nestvirt_vm *vm)
{
    pthread_mutex_unlock(&vm->api_lock);
}

uint64_t nv_api_deadline(int32_t timeout_ms)
{
    return timeout_ms < 0 ? UINT64_MAX : nv_now_ns() + (uint64_t)timeout_ms * 1000000u;
}

static int fail_room(size_t length, const char *object, size_t size,
                     struct nestvirt_error **ret_error)
{
    return nv_fail(ret_error, -E2BIG, object, nv_text("give it %zu bytes", length + 1).s,
                   "does not fit into %zu bytes", size);
}

int nv_api_give_text(const char *text, const char *object, char *buffer, size_t size,
                     struct nestvirt_error **ret_error)
{
    size_t length = strlen(text);

    if (length >= size)
        return fail_room(length, object, size, ret_error);
    memcpy(buffer, text, length + 1);
    return (int)length;
}

int nv_api_give_set(const struct nv_set *set, const char *object, char *buffer, size_t size,
                    struct nestvirt_error **ret_error)
{
    size_t length = nv_list_format(set, buffer, size);

    if (length < size)
        return (int)length;
    if (size > 0)
        buffer[0] = '\0';
    return fail_room(length, object, size, ret_error);
}
