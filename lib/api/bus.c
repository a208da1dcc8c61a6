/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the door of device.h for the caller's own devices: handlers, ioeventfds, interrupts. */
#include "api/api.h"

enum { IOEVENTFD_FIRST = sizeof(struct nestvirt_ioeventfd_config) };

NV_EXPORT int nestvirt_handler_add(struct nestvirt_vm *vm, uint32_t space, uint64_t address,
                                   uint64_t length,
                                   int32_t (*fn)(void *user_data, struct nestvirt_access *access),
                                   void *user_data, void (*free_data)(void *user_data),
                                   struct nestvirt_error **ret_error)
{
    const struct nv_range range = {
        .address = address,
        .length = length,
        .fn = fn,
        .user_data = user_data,
        .free_data = free_data,
    };
    int r = nv_api_vm(vm, ret_error);

    if (r < 0)
        return r;
    if (!fn)
        return nv_fail(ret_error, -EFAULT, "fn", "pass a function", "is NULL");
    r = nv_api_enter_new(vm, "add a handler", ret_error);
    if (r < 0)
        return r;
    r = nv_bus_add(&vm->bus, space, &range, false, ret_error);
    nv_api_leave(vm);
    return r;
}

NV_EXPORT int nestvirt_handler_remove(struct nestvirt_vm *vm, uint32_t handler,
                                      struct nestvirt_error **ret_error)
{
    struct nv_range range;
    int r = nv_api_enter_new(vm, "remove a handler", ret_error);

    if (r < 0)
        return r;
    r = nv_bus_remove(&vm->bus, handler, &range, ret_error);
    nv_api_leave(vm);
    if (r == 0 && range.free_data) /* a callback: without the lock */
        range.free_data(range.user_data);
    return r;
}

NV_EXPORT void nestvirt_ioeventfd_config_init(struct nestvirt_ioeventfd_config *config,
                                              size_t caller_size)
{
    nv_struct_init(config, caller_size);
    if (config && caller_size >= offsetof(struct nestvirt_ioeventfd_config, reserved))
        config->fd = -1;
}

NV_EXPORT int nestvirt_ioeventfd_add(struct nestvirt_vm *vm,
                                     const struct nestvirt_ioeventfd_config *config,
                                     struct nestvirt_error **ret_error)
{
    struct nestvirt_ioeventfd_config ours;
    int r = nv_api_vm(vm, ret_error);

    if (r == 0)
        r = nv_struct_in(&ours, sizeof(ours), IOEVENTFD_FIRST, config, "ioeventfd config",
                         ret_error);
    if (r == 0)
        r = nv_api_enter_new(vm, "add an ioeventfd", ret_error);
    if (r < 0)
        return r;
    if (vm->host->info.features & NESTVIRT_HOST_IOEVENTFD)
        r = nv_bus_add_ioeventfd(&vm->bus, &ours, ret_error);
    else
        r = nv_fail(ret_error, -ENOTSUP, "ioeventfd", "use a handler instead",
                    "this host lacks KVM_CAP_IOEVENTFD");
    nv_api_leave(vm);
    return r;
}

NV_EXPORT int nestvirt_irq_add(struct nestvirt_vm *vm, uint32_t pin, uint32_t flags,
                               struct nestvirt_error **ret_error)
{
    int r = nv_api_enter_new(vm, "claim an interrupt pin", ret_error);

    if (r < 0)
        return r;
    r = nv_irq_claim(&vm->irq, pin, flags, false, ret_error);
    nv_api_leave(vm);
    return r;
}

NV_EXPORT int nestvirt_irqfd_add(struct nestvirt_vm *vm, uint32_t pin, int fd,
                                 struct nestvirt_error **ret_error)
{
    int r = nv_api_enter_new(vm, "add an irqfd", ret_error);

    if (r < 0)
        return r;
    if (vm->host->info.features & NESTVIRT_HOST_IRQFD)
        r = nv_irq_add_fd(&vm->irq, pin, fd, ret_error);
    else
        r = nv_fail(ret_error, -ENOTSUP, "irqfd", "use nestvirt_irq_set instead",
                    "this host lacks KVM_CAP_IRQFD");
    nv_api_leave(vm);
    return r;
}

/* Interrupts are for a VM that runs or is about to. */
static int check_lines(struct nestvirt_vm *vm, const char *object,
                       struct nestvirt_error **ret_error)
{
    int state = vm->state;

    if (state >= NESTVIRT_STATE_BUILT && state <= NESTVIRT_STATE_PAUSED)
        return 0;
    return nv_fail(ret_error, -EBUSY, object, "build the VM first", "no interrupts while %s",
                   nv_state_name(state));
}

/* -EBUSY from the lines means that there is no KVM VM to take the interrupt. */
static int delivered(struct nestvirt_vm *vm, int r, const char *object,
                     struct nestvirt_error **ret_error)
{
    if (r == -EBUSY)
        return nv_fail(ret_error, -EBUSY, object, "build the VM first", "no interrupts while %s",
                       nv_state_name(vm->state));
    if (r == -EINVAL)
        return nv_fail(ret_error, -EINVAL, object,
                       "claim the pin with nestvirt_irq_add, or give an MSI's address and data",
                       "is not an interrupt of this VM");
    if (r < 0)
        return nv_fail_sys(ret_error, -r, object, "KVM_SIGNAL_MSI or KVM_IRQ_LINE", "");
    return r;
}

NV_EXPORT int nestvirt_irq_set(struct nestvirt_vm *vm, uint32_t pin, uint32_t level,
                               struct nestvirt_error **ret_error)
{
    const struct nv_text name = nv_text("interrupt pin %u", pin);
    int r = nv_api_vm(vm, ret_error);

    if (r < 0)
        return r;
    if (level > 1)
        return nv_fail(ret_error, -EINVAL, name.s, "use 0 or 1", "level %u", level);
    r = check_lines(vm, name.s, ret_error);
    if (r < 0)
        return r;
    return delivered(vm, nv_irq_set(&vm->irq, pin, level), name.s, ret_error);
}

NV_EXPORT int nestvirt_msi_send(struct nestvirt_vm *vm, uint64_t address, uint32_t data,
                                struct nestvirt_error **ret_error)
{
    int r = nv_api_vm(vm, ret_error);

    if (r < 0)
        return r;
    if (vm->chip == NESTVIRT_CHIP_NONE)
        return nv_fail(ret_error, -ENOTSUP, "MSI", "make the VM with NESTVIRT_CHIP_SPLIT",
                       "the VM has no interrupt chip");
    r = check_lines(vm, "MSI", ret_error);
    if (r < 0)
        return r;
    return delivered(vm, nv_irq_msi(&vm->irq, address, data), "MSI", ret_error);
}
