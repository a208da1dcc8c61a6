/* SPDX-License-Identifier: Apache-2.0 */
/* Owns a VM's saved state: making a template of it, making it from a template, and going on. */
#include "vm/state.h"

#include <errno.h>

#include "core/cleanup.h"
#include "core/util.h"
#include "devices/own.h"

enum { CONFIG_RECORD = NV_RECORD('V', 'M', 'C', 'F'), CONFIG_VERSION = 1 };
enum { MACHINE_RECORD = NV_RECORD('M', 'A', 'C', 'H'), MACHINE_VERSION = 1 };

/* What disks of the host may take, all together, to finish the requests under way. */
static const uint64_t SETTLE_NS = 10000000000ull;

/* --- Saving --- */

/* True for what was built and has never run: clones start it as it would have been started. */
static bool is_fresh(const struct nestvirt_vm *vm)
{
    return vm->state == NESTVIRT_STATE_BUILT && !vm->is_loaded;
}

static void save_config(const struct nestvirt_vm *vm, struct nv_writer *writer)
{
    size_t mark = nv_write_begin(writer, CONFIG_RECORD, CONFIG_VERSION);

    nv_write_u32(writer, vm->chip);
    nv_write_u32(writer, vm->flags);
    nv_write_u32(writer, vm->group.count);
    nv_write_u8(writer, is_fresh(vm));
    nv_write_u32(writer, vm->boot.kernel_fd >= 0 || vm->origin ? vm->boot.discovery : 0);
    nv_write_u32(writer, vm->masks.count);
    for (uint32_t i = 0; i < vm->masks.count; i++) {
        nv_write_u32(writer, vm->masks.rows[i].leaf);
        nv_write_u32(writer, vm->masks.rows[i].index);
        nv_write_u32(writer, vm->masks.rows[i].cpu_register);
        nv_write_u32(writer, vm->masks.rows[i].clear);
        nv_write_u32(writer, vm->masks.rows[i].set);
    }
    nv_write_u32(writer, vm->device_count);
    for (uint32_t i = 0; i < vm->device_count; i++)
        nv_device_save_config(vm->devices[i], writer);
    nv_write_end(writer, mark);
}

/* What is read last is the farthest: a clock that had been set, and has not run, is as it was. */
static int save_clock(struct nestvirt_vm *vm, struct nv_writer *writer,
                      struct nestvirt_error **ret_error)
{
    struct kvm_clock_data clock = { .clock = vm->clock };
    int r = 0;

    if (vm->state != NESTVIRT_STATE_BUILT)
        r = nv_kvm_try(vm->host, vm->group.vm_fd, KVM_GET_CLOCK, &clock, nv_vm_name(vm).s,
                       ret_error);
    nv_write_u64(writer, clock.clock);
    return r;
}

static int save_timer(struct nestvirt_vm *vm, struct nv_writer *writer,
                      struct nestvirt_error **ret_error)
{
    struct kvm_pit_state2 pit = { 0 };
    int r;

    if (!(vm->flags & NESTVIRT_VM_PIT))
        return 0;
    r = nv_kvm_try(vm->host, vm->group.vm_fd, KVM_GET_PIT2, &pit, "interval timer", ret_error);
    nv_write_blob(writer, &pit, sizeof(pit));
    return r;
}

/*
 * Devices before the interrupt controllers, and those before the vCPUs: an interrupt that arises
 * meanwhile comes once too often and not once too seldom.
 */
static int save_machine(struct nestvirt_vm *vm, struct nv_writer *writer,
                        struct nestvirt_error **ret_error)
{
    size_t mark = nv_write_begin(writer, MACHINE_RECORD, MACHINE_VERSION);
    bool has_run = !is_fresh(vm);
    int r = 0;

    for (uint32_t i = 0; i < vm->device_count && has_run && r >= 0; i++)
        r = nv_device_save(vm->devices[i], writer, ret_error);
    if (r >= 0 && has_run)
        r = nv_irq_save(&vm->irq, writer, ret_error);
    if (r >= 0 && has_run)
        r = save_timer(vm, writer, ret_error);
    for (uint32_t i = 0; i < vm->group.count && r >= 0; i++)
        r = nv_vcpu_save(&vm->group.vcpus[i], writer, ret_error);
    if (r >= 0 && has_run)
        r = save_clock(vm, writer, ret_error);
    nv_write_end(writer, mark);
    return r;
}

static int check_devices(struct nestvirt_vm *vm, struct nestvirt_error **ret_error)
{
    for (uint32_t i = 0; i < vm->device_count; i++)
        if (nv_own_is(vm->devices[i]))
            return nv_fail(ret_error, -ENOTSUP, nv_device_name(vm->devices[i]).s,
                           "make templates of VMs without such devices",
                           "what a device of the caller's own remembers is not known here");
    return 0;
}

static int check_vm(struct nestvirt_vm *vm, struct nestvirt_error **ret_error)
{
    if (vm->state != NESTVIRT_STATE_BUILT && vm->state != NESTVIRT_STATE_PAUSED)
        return nv_fail(ret_error, -EBUSY, nv_vm_name(vm).s, "build or pause it first",
                       "cannot become a template while %s", nv_state_name(vm->state));
    if (vm->flags & NESTVIRT_VM_NESTED)
        return nv_fail(ret_error, -ENOTSUP, nv_vm_name(vm).s, "make it without NESTVIRT_VM_NESTED",
                       "the state of VMs inside of it cannot be saved");
    return check_devices(vm, ret_error);
}

/* Nothing changes guest memory from here on. */
static int settle(struct nestvirt_vm *vm, struct nestvirt_error **ret_error)
{
    uint64_t deadline_ns = nv_now_ns() + SETTLE_NS;
    int r = 0;

    for (uint32_t i = 0; i < vm->group.count && vm->state == NESTVIRT_STATE_PAUSED && r >= 0; i++)
        r = nv_vcpu_settle(&vm->group.vcpus[i], deadline_ns, ret_error);
    for (uint32_t i = 0; i < vm->device_count && r >= 0; i++)
        r = nv_device_settle(vm->devices[i], deadline_ns, ret_error);
    return r;
}

/* Without serving its devices once more, as a stop would: the template has what they had to do. */
static void use_up(struct nestvirt_vm *vm, struct nv_ram *ret_image)
{
    uint64_t values[4] = { NESTVIRT_RESULT_STOPPED };

    pthread_mutex_lock(&vm->group.lock);
    vm->is_consumed = true;
    vm->group.has_ended = true;
    vm->group.result = (struct nestvirt_vm_result){ .size = sizeof(vm->group.result),
                                                    .reason = NESTVIRT_RESULT_STOPPED };
    nv_vm_set_state(vm, NESTVIRT_STATE_STOPPED);
    nv_events_push(&vm->events, NESTVIRT_EVENT_STOPPED, 0, values);
    pthread_mutex_unlock(&vm->group.lock);
    pthread_cond_broadcast(&vm->group.changed);
    nv_vm_take_apart(vm);
    if (ret_image)
        nv_ram_take(&vm->memory, ret_image);
    else
        nv_ram_leave(&vm->memory, -1);
}

static int save(struct nestvirt_vm *vm, uint32_t flags, struct nestvirt_template *template,
                struct nestvirt_error **ret_error)
{
    bool is_consumed = flags & NESTVIRT_TEMPLATE_CONSUME;
    bool is_taken = is_consumed && nv_ram_can_take(&vm->memory);
    int r = settle(vm, ret_error);

    if (r >= 0)
        r = save_machine(vm, &template->machine, ret_error);
    if (r >= 0 && !is_taken)
        r = nv_ram_copy(&vm->memory, vm->origin ? &vm->origin->image : NULL, &vm->host->headroom,
                        &template->image, ret_error);
    if (r < 0)
        return r;
    if (is_taken)
        nv_ram_describe(&vm->memory, &template->image);
    nv_ram_save(&template->image, &template->config);
    save_config(vm, &template->config);
    if (template->config.error || template->machine.error)
        return nv_vm_fail_memory(vm, ret_error);
    if (is_consumed)
        use_up(vm, is_taken ? &template->image : NULL);
    return 0;
}

int nv_vm_save(struct nestvirt_vm *vm, uint32_t flags, struct nestvirt_template **ret_template,
               struct nestvirt_error **ret_error)
{
    struct nestvirt_template *template;
    int r = check_vm(vm, ret_error);

    if (r >= 0)
        r = nv_template_new(vm->host, &template, ret_error);
    if (r < 0)
        return r;
    r = save(vm, flags, template, ret_error);
    if (r < 0) {
        nv_template_unref(template);
        if (ret_error)
            nv_error_prefix(ret_error, nv_vm_name(vm).s);
        return r;
    }
    *ret_template = template;
    return 0;
}
