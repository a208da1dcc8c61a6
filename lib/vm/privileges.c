/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the errands of a VM's threads, and that each of them gives up its privileges. */
#include <errno.h>

#include "core/util.h"
#include "host/privileges.h"
#include "vm/vm.h"

/* Those that each build makes anew. */
static void send_devices(struct nestvirt_vm *vm, nv_errand_fn *fn, void *user_data,
                         struct nv_errand_result *result)
{
    for (uint32_t i = 0; i < vm->device_count; i++)
        nv_device_send(vm->devices[i], fn, user_data, result);
}

void nv_vm_send(struct nestvirt_vm *vm, nv_errand_fn *fn, void *user_data,
                struct nv_errand_result *result)
{
    nv_group_send(&vm->group, fn, user_data, result);
    if (vm->loop)
        nv_loop_send(vm->loop, fn, user_data, result);
    send_devices(vm, fn, user_data, result);
}

static int tell(struct nestvirt_vm *vm, const struct nv_errand_result *result,
                struct nestvirt_error **ret_error)
{
    if (result->code == 0)
        return 0;
    return nv_fail(ret_error, result->code, nv_vm_name(vm).s,
                   "free it; look for a seccomp filter that forbids the call",
                   "its thread %d (%s) could not give up its privileges: %s failed with errno %d",
                   result->tid, result->thread, result->call, -result->code);
}

int nv_vm_confine(struct nestvirt_vm *vm, nv_errand_fn *fn, void *user_data,
                  struct nestvirt_error **ret_error)
{
    struct nv_errand_result result = { 0 };

    nv_vm_send(vm, fn, user_data, &result);
    vm->is_confined = true;
    vm->is_unfit = result.code < 0;
    return tell(vm, &result, ret_error);
}

static int drop(void *user_data, uint32_t role, const char **ret_call)
{
    return nv_privileges_drop(user_data, ret_call);
}

int nv_vm_remove_privileges(struct nestvirt_vm *vm, struct nestvirt_error **ret_error)
{
    int r = nv_privileges_open(&vm->privileges, ret_error);

    return r < 0 ? r : nv_vm_confine(vm, drop, vm->privileges, ret_error);
}

/* The vCPUs and the loop have done it, and a filter may forbid it to them by now. */
int nv_vm_confine_again(struct nestvirt_vm *vm, struct nestvirt_error **ret_error)
{
    struct nv_errand_result result = { 0 };

    if (vm->privileges)
        send_devices(vm, drop, vm->privileges, &result);
    vm->is_unfit |= result.code < 0;
    return tell(vm, &result, ret_error);
}
