/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the order in which a VM is put together, and its taking apart. */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "core/util.h"
#include "memory/layout.h"
#include "memory/numa.h"
#include "vm/state.h"
#include "vm/vm.h"

/* What must be there at once: KVM's own, and regions that are to be filled. */
static int check_headroom(struct nestvirt_vm *vm, struct nestvirt_error **ret_error)
{
    const bool has_paging = !(vm->host->info.features & NESTVIRT_HOST_INTERPRETED);
    uint64_t bytes = nv_kvm_idle_bytes(has_paging, vm->group.count, vm->device_count,
                                       nv_memory_total(&vm->memory));

    if (vm->state == NESTVIRT_STATE_NEW) /* later it is there already */
        bytes += nv_memory_prefaulted(&vm->memory);
    return nv_headroom_take(&vm->host->headroom, bytes, nv_vm_name(vm).s, ret_error);
}

static int create_vm(struct nestvirt_vm *vm, struct nestvirt_error **ret_error)
{
    int r = nv_kvm_try(vm->host, vm->host->fd, KVM_CREATE_VM, 0, nv_vm_name(vm).s, ret_error);

    if (r < 0)
        return r;
    vm->group.vm_fd = r;
    return 0;
}

/*
 * Intel processors that cannot run real mode natively need pages of KVM's own; elsewhere these
 * calls do nothing.
 */
static int set_kvm_pages(struct nestvirt_vm *vm, struct nestvirt_error **ret_error)
{
    uint64_t identity = NV_LAYOUT_KVM_PAGES;
    int r = 0;

    if (vm->host->can_set_identity_map)
        r = nv_kvm_try(vm->host, vm->group.vm_fd, KVM_SET_IDENTITY_MAP_ADDR, &identity,
                       nv_vm_name(vm).s, ret_error);
    if (r >= 0 && vm->host->can_set_tss)
        r = nv_kvm_try(vm->host, vm->group.vm_fd, KVM_SET_TSS_ADDR, identity + NV_PAGE_SIZE,
                       nv_vm_name(vm).s, ret_error);
    return r < 0 ? r : 0;
}

/* All of them before the interrupt chip: each later one would wait for a grace period. */
static int add_slots(struct nestvirt_vm *vm, struct nestvirt_error **ret_error)
{
    for (uint32_t i = 0; i < vm->memory.slot_count; i++) {
        const struct nv_memory_slot *slot = &vm->memory.slots[i];
        struct kvm_userspace_memory_region region = {
            .slot = i,
            .flags = slot->is_read_only ? KVM_MEM_READONLY : 0,
            .guest_phys_addr = slot->address,
            .memory_size = slot->length,
            .userspace_addr = (uintptr_t)slot->host,
        };
        int r = nv_kvm_try(vm->host, vm->group.vm_fd, KVM_SET_USER_MEMORY_REGION, &region,
                           nv_region_name(slot->region).s, ret_error);

        if (r < 0)
            return r;
    }
    return 0;
}

static int create_chip(struct nestvirt_vm *vm, struct nestvirt_error **ret_error)
{
    struct kvm_pit_config pit = { 0 };
    int r = nv_irq_create_chip(&vm->irq, vm->host, vm->group.vm_fd, ret_error);

    if (r >= 0 && vm->flags & NESTVIRT_VM_PIT)
        r = nv_kvm_try(vm->host, vm->group.vm_fd, KVM_CREATE_PIT2, &pit, "interval timer",
                       ret_error);
    return r < 0 ? r : 0;
}

static int ensure_loop(struct nestvirt_vm *vm, struct nestvirt_error **ret_error)
{
    struct nestvirt_loop *loop;
    bool needed = false;
    int r;

    for (uint32_t i = 0; i < vm->device_count; i++)
        needed |= nv_device_needs_loop(vm->devices[i]);
    if (!needed || vm->loop)
        return 0;
    r = nv_loop_new(&loop, ret_error);
    if (r < 0)
        return r;
    nv_vm_set_loop(vm, loop);
    return 0;
}

static struct nv_device_env make_env(struct nestvirt_vm *vm)
{
    return (struct nv_device_env){
        .memory = &vm->memory,
        .upward = { .owner = vm, .event = nv_vm_device_event, .pause = nv_vm_pause_soon },
        .bus = &vm->bus,
        .irq = &vm->irq,
        .group = &vm->group,
        .loop = vm->loop,
        .log = &vm->log,
        .vm_name = vm->name,
        .is_fresh_clone = vm->origin && vm->is_fresh,
    };
}

void nv_vm_claim(struct nestvirt_vm *vm, struct nestvirt_error **list)
{
    const struct nv_device_env env = make_env(vm);
    const struct nv_range ioapic = {
        .address = NV_LAYOUT_IOAPIC,
        .length = NV_LAYOUT_IOAPIC_SIZE,
        .fn = nv_ioapic_access,
        .user_data = &vm->irq,
    };
    struct nestvirt_error *error = NULL;

    if (vm->chip == NESTVIRT_CHIP_SPLIT &&
        nv_bus_add(&vm->bus, NESTVIRT_SPACE_MMIO, &ioapic, true, &error) < 0)
        nv_error_append(list, error);
    for (uint32_t i = 0; i < vm->device_count; i++) {
        error = NULL;
        if (nv_device_claim(vm->devices[i], &env, &error) < 0)
            nv_error_append(list, error);
    }
}

void nv_vm_unclaim(struct nestvirt_vm *vm)
{
    for (uint32_t i = 0; i < vm->device_count; i++)
        nv_device_unbuild(vm->devices[i]);
    nv_bus_remove_internal(&vm->bus);
    nv_irq_release_internal(&vm->irq);
}

static int build_devices(struct nestvirt_vm *vm, struct nestvirt_error **ret_error)
{
    const struct nv_device_env env = make_env(vm);
    struct nestvirt_error *list = NULL;
    int r;

    nv_vm_claim(vm, &list);
    r = nv_error_give(list, ret_error);
    for (uint32_t i = 0; i < vm->device_count && r >= 0; i++)
        r = nv_device_wire(vm->devices[i], &env, ret_error);
    return r;
}

static_assert((int)NV_BOOT_VIRTIO_MAX >= (int)NV_DEVICES_MAX,
              "the tables have room for every device");

static void describe_machine(const struct nestvirt_vm *vm, struct nv_boot_machine *machine)
{
    *machine = (struct nv_boot_machine){
        .vcpus = vm->group.count,
        .has_irqchip = vm->chip != NESTVIRT_CHIP_NONE,
        .has_pic = vm->chip == NESTVIRT_CHIP_KERNEL,
        .level_pins = nv_irq_level_pins(&vm->irq),
        .nodes = vm->nodes,
    };
    for (uint32_t i = 0; i < vm->device_count; i++) {
        struct nv_device_place place = { 0 };

        nv_device_describe(vm->devices[i], &place);
        if (place.is_serial && machine->serial_count < NV_BOOT_SERIALS_MAX) {
            machine->serial[machine->serial_count].port = place.port;
            machine->serial[machine->serial_count++].pin = place.pin;
        }
        if (place.is_virtio) {
            machine->virtio[machine->virtio_count].window = place.window;
            machine->virtio[machine->virtio_count++].pin = place.pin;
        }
        if (place.is_generation) {
            machine->has_generation = true;
            machine->generation_pin = place.pin;
        }
        if (place.is_power) {
            machine->has_power = true;
            machine->has_i8042 = place.port != 0;
            machine->event_pin = place.pin;
        }
    }
}

static void keep_line(void *user_data, uint32_t level, const char *text)
{
    struct nestvirt_vm *vm = user_data;

    vm->late.level = level;
    snprintf(vm->late.text, sizeof(vm->late.text), "%s", text);
}

static int load(struct nestvirt_vm *vm, struct nv_cpu_start *ret_start,
                struct nestvirt_error **ret_error)
{
    const struct nv_log late = { .level = vm->log.level, .fn = keep_line, .user_data = vm };
    struct nv_boot_machine machine;

    if (vm->boot.kernel_fd < 0)
        return 0;
    describe_machine(vm, &machine);
    return nv_boot_load(&vm->boot, &machine, &vm->memory, &late, ret_start, ret_error);
}

/*
 * The order matters: slots, then the chip, then vCPUs; ioeventfds last (see the figures in
 * tests/bench). Devices and the kernel come first because they fail most often and cost KVM
 * nothing.
 */
int nv_vm_assemble(struct nestvirt_vm *vm, struct nestvirt_error **ret_error)
{
    struct nv_cpu_start start = { 0 };
    bool had_loop = vm->loop;
    int r = check_headroom(vm, ret_error);

    if (r >= 0)
        r = ensure_loop(vm, ret_error);
    if (r >= 0)
        r = build_devices(vm, ret_error);
    if (r >= 0)
        r = nv_memory_prefault(&vm->memory, ret_error);
    if (r >= 0)
        r = load(vm, &start, ret_error);
    if (r >= 0)
        r = create_vm(vm, ret_error);
    if (r >= 0)
        r = set_kvm_pages(vm, ret_error);
    if (r >= 0)
        r = add_slots(vm, ret_error);
    if (r >= 0)
        r = create_chip(vm, ret_error);
    if (r >= 0)
        r = nv_group_build(&vm->group, &vm->masks, &start, ret_error);
    if (r >= 0)
        r = nv_irq_attach(&vm->irq, vm->host, vm->group.vm_fd, ret_error);
    if (r >= 0)
        r = nv_bus_attach(&vm->bus, vm->host, vm->group.vm_fd, ret_error);
    if (r >= 0 && vm->origin)
        r = nv_vm_load(vm, ret_error);
    if (r >= 0)
        r = nv_memory_check_placed(&vm->memory, ret_error);
    if (r >= 0)
        r = nv_vm_settle_threads(vm, ret_error);
    if (r < 0) {
        nv_vm_take_apart(vm);
        if (!had_loop) {
            struct nestvirt_loop *loop = vm->loop;

            nv_vm_set_loop(vm, NULL);
            nv_loop_unref(loop);
        }
        return r;
    }
    return 0;
}

void nv_vm_take_apart(struct nestvirt_vm *vm)
{
    nv_vm_drop_threads(vm, NESTVIRT_OBSERVE_WORKER);
    nv_irq_detach(&vm->irq);
    nv_group_close(&vm->group);
    if (vm->group.vm_fd >= 0)
        close(vm->group.vm_fd);
    vm->group.vm_fd = -1;
    nv_vm_unclaim(vm);
}
