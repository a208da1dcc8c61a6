/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the VM object's making, checking and freeing. */
#include "vm/vm.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/cleanup.h"
#include "core/tags.h"
#include "core/util.h"
#include "host/file.h"
#include "host/limits.h"
#include "state/template.h"
#include "vm/numa.h"

struct nv_text nv_vm_name(const struct nestvirt_vm *vm)
{
    return nv_text("vm %s", vm->name);
}

int nv_vm_fail_memory(const struct nestvirt_vm *vm, struct nestvirt_error **ret_error)
{
    return nv_fail_sys(ret_error, ENOMEM, nv_vm_name(vm).s, "malloc",
                       nv_limit_hint(ENOMEM, 0, "free memory in this process").s);
}

bool nv_vm_is_own_thread(struct nestvirt_vm *vm)
{
    if (nv_group_is_own_thread(&vm->group))
        return true;
    NV_GUARD(&vm->group.lock);
    return vm->loop && nv_loop_is_own_thread(vm->loop);
}

void nv_vm_set_loop(struct nestvirt_vm *vm, struct nestvirt_loop *loop)
{
    NV_GUARD(&vm->group.lock);
    vm->loop = loop;
}

int nv_vm_check_room(const struct nestvirt_vm *vm, struct nestvirt_error **ret_error)
{
    if (vm->device_count < NV_DEVICES_MAX)
        return 0;
    return nv_fail(ret_error, -ENOSPC, nv_vm_name(vm).s, "use fewer", "has at most %d devices",
                   NV_DEVICES_MAX);
}

/* The last vCPU has parked. Group lock held. */
static void on_parked(void *owner)
{
    struct nestvirt_vm *vm = owner;
    uint64_t values[4] = { vm->group.result.reason };
    bool has_failed = vm->group.result.reason == NESTVIRT_RESULT_INTERNAL_ERROR;
    uint64_t deadline_ns;

    if (!vm->group.has_ended && vm->state == NESTVIRT_STATE_RUNNING &&
        atomic_exchange(&vm->is_to_pause, false))
        nv_vm_set_paused(vm);
    if (!vm->group.has_ended || vm->state == NESTVIRT_STATE_STOPPED ||
        vm->state == NESTVIRT_STATE_FAILED)
        return;
    deadline_ns = nv_now_ns() + NV_STREAM_STOP_NS;
    for (uint32_t i = 0; i < vm->device_count; i++)
        nv_device_stop(vm->devices[i], deadline_ns);
    nv_vm_set_state(vm, has_failed ? NESTVIRT_STATE_FAILED : NESTVIRT_STATE_STOPPED);
    nv_events_push(&vm->events, NESTVIRT_EVENT_STOPPED, vm->group.result.vcpu, values);
    pthread_cond_broadcast(&vm->group.changed);
}

void nv_vm_device_event(void *owner, const struct nestvirt_device *device, uint32_t kind,
                        uint64_t value)
{
    struct nestvirt_vm *vm = owner;
    const uint64_t values[4] = { device->number, value };

    nv_events_push(&vm->events, kind, 0, values);
}

void nv_vm_park_to_pause(struct nestvirt_vm *vm)
{
    nv_group_park(&vm->group); /* one that could not be signalled parks at its next exit */
    if (vm->group.active == 0)
        on_parked(vm);
}

void nv_vm_pause_soon(void *owner)
{
    struct nestvirt_vm *vm = owner;

    NV_GUARD(&vm->group.lock);
    /* While paused it may be that devices resume and one has failed already: see nv_vm_resume(). */
    if ((vm->state != NESTVIRT_STATE_RUNNING && vm->state != NESTVIRT_STATE_PAUSED) ||
        vm->group.has_ended)
        return;
    atomic_store(&vm->is_to_pause, true);
    if (vm->state == NESTVIRT_STATE_RUNNING)
        nv_vm_park_to_pause(vm);
}

static void on_unhandled(void *owner, const struct nestvirt_exit *exit)
{
    struct nestvirt_vm *vm = owner;
    const uint64_t values[4] = { exit->address, exit->length, exit->is_write, exit->reason };

    nv_events_push(&vm->events, NESTVIRT_EVENT_UNHANDLED_EXIT, exit->vcpu, values);
    nv_log(&vm->log, NESTVIRT_LOG_DEBUG,
           "vm %s: vcpu %u: unhandled exit %u at 0x%llx, length %u, %s", vm->name, exit->vcpu,
           exit->reason, (unsigned long long)exit->address, exit->length,
           exit->is_write ? "write" : "read");
}

void nv_vm_set_state(struct nestvirt_vm *vm, int state)
{
    const uint64_t values[4] = { (uint64_t)vm->state, (uint64_t)state };

    if (vm->state == state)
        return;
    vm->state = state;
    nv_events_push(&vm->events, NESTVIRT_EVENT_STATE, 0, values);
}

static int add_memory(struct nestvirt_vm *vm, const struct nestvirt_vm_config *config,
                      struct nestvirt_error **ret_error)
{
    const struct nestvirt_memory_config memory = {
        .size = sizeof(memory),
        .flags = NESTVIRT_MEMORY_DEFAULT_LAYOUT,
        .length = config->memory_size,
        .backing = config->memory_backing,
        .fd = -1,
    };
    int r;

    if (config->memory_size == 0)
        return 0;
    r = nv_memory_add(&vm->memory, &memory, ret_error);
    return r < 0 ? r : 0;
}

int nv_vm_new(struct nestvirt_host *host, const struct nestvirt_vm_config *config,
              struct nestvirt_vm **ret_vm, struct nestvirt_error **ret_error)
{
    struct nestvirt_vm *vm = calloc(1, sizeof(*vm));
    int r;

    if (!vm)
        return nv_fail_sys(ret_error, ENOMEM, "vm", "malloc",
                           nv_limit_hint(ENOMEM, 0, "free memory in this process").s);
    vm->tag = NV_TAG_VM;
    vm->host = nv_host_ref(host);
    snprintf(vm->name, sizeof(vm->name), "%s", config->name ? config->name : "vm");
    vm->flags = config->flags;
    vm->chip = config->interrupt_chip;
    vm->state = NESTVIRT_STATE_NEW;
    vm->boot.kernel_fd = vm->boot.initrd_fd = -1;
    vm->boot.discovery =
        NESTVIRT_DISCOVERY_MPTABLE | NESTVIRT_DISCOVERY_ACPI | NESTVIRT_DISCOVERY_CMDLINE;
    pthread_mutex_init(&vm->api_lock, NULL);
    nv_memory_init(&vm->memory);
    nv_irq_init(&vm->irq, vm->chip);
    nv_events_init(&vm->events);
    vm->group.host = host;
    vm->group.name = vm->name;
    vm->group.is_manual = vm->flags & NESTVIRT_VM_MANUAL_VCPUS;
    vm->group.has_fixups = vm->flags & NESTVIRT_VM_FIXUPS;
    vm->masks.shows_nested = vm->flags & NESTVIRT_VM_NESTED;
    vm->group.has_irqchip = vm->chip != NESTVIRT_CHIP_NONE;
    vm->group.bus = &vm->bus;
    vm->group.irq = &vm->irq;
    vm->group.memory = &vm->memory;
    vm->group.log = &vm->log;
    vm->group.upward =
        (struct nv_group_owner){ .owner = vm, .parked = on_parked, .unhandled = on_unhandled };
    r = nv_group_init(&vm->group, config->vcpus);
    if (r < 0)
        nv_vm_fail_memory(vm, ret_error);
    else
        r = add_memory(vm, config, ret_error);
    if (r < 0) {
        nv_vm_free(vm);
        return r;
    }
    *ret_vm = vm;
    return 0;
}

void nv_vm_free(struct nestvirt_vm *vm)
{
    nv_vm_drop_threads(vm, NV_OBSERVE_OWN);
    if (vm->group.vcpus) {
        nv_group_join(&vm->group);
        nv_vm_take_apart(vm);
        nv_group_destroy(&vm->group);
    }
    for (uint32_t i = 0; i < vm->device_count; i++)
        nv_device_free(vm->devices[i]);
    nv_bus_destroy(&vm->bus);
    nv_irq_destroy(&vm->irq);
    nv_loop_unref(vm->loop);
    nv_vm_end_watches(vm);
    free(vm->kept_places.rows);
    nv_vm_free_cgroups(vm);
    nv_memory_destroy(&vm->memory, true);
    nv_template_unref(vm->origin);
    if (vm->boot.kernel_fd >= 0)
        close(vm->boot.kernel_fd);
    if (vm->boot.initrd_fd >= 0)
        close(vm->boot.initrd_fd);
    if (vm->exit_free)
        vm->exit_free(vm->group.exit_data);
    free(vm->nodes);
    nv_log_clear(&vm->log);
    nv_events_destroy(&vm->events);
    nv_privileges_close(vm->privileges);
    pthread_mutex_destroy(&vm->api_lock);
    nv_host_unref(vm->host);
    vm->tag = NV_TAG_FREED;
    free(vm);
}

static void check_slots(struct nestvirt_vm *vm, struct nestvirt_error **list)
{
    struct nestvirt_error *error = NULL;

    if (vm->memory.slot_count == 0)
        nv_fail(&error, -EINVAL, nv_vm_name(vm).s,
                "set memory_size in the configuration, or call nestvirt_memory_add",
                "has no memory");
    else if (vm->memory.slot_count > vm->host->info.max_memory_slots)
        nv_fail(&error, -ENOSPC, nv_vm_name(vm).s, "use fewer, larger regions",
                "needs %u memory slots, KVM has %u", vm->memory.slot_count,
                vm->host->info.max_memory_slots);
    nv_error_append(list, error);
}

static void check_read_only(struct nestvirt_vm *vm, struct nestvirt_error **list)
{
    struct nestvirt_error *error = NULL;

    if (vm->host->info.features & NESTVIRT_HOST_READONLY_MEMORY)
        return;
    for (uint32_t i = 0; i < vm->memory.slot_count && !error; i++)
        if (vm->memory.slots[i].is_read_only)
            nv_fail(&error, -ENOTSUP, nv_region_name(vm->memory.slots[i].region).s,
                    "leave NESTVIRT_MEMORY_READ_ONLY out",
                    "is read-only, and this host lacks KVM_CAP_READONLY_MEM");
    nv_error_append(list, error);
}

void nv_vm_check(struct nestvirt_vm *vm, struct nestvirt_error **list)
{
    struct nestvirt_error *error = NULL;

    check_slots(vm, list);
    check_read_only(vm, list);
    nv_vm_check_guest_nodes(vm, list);
    nv_vm_claim(vm, list);
    nv_bus_check_memory(&vm->bus, &vm->memory, list);
    nv_vm_unclaim(vm);
    nv_vm_check_places(vm, list);
    if (vm->boot.initrd_fd >= 0 && vm->boot.kernel_fd < 0) {
        nv_fail(&error, -EINVAL, nv_vm_name(vm).s, "set a kernel, or leave the initrd out",
                "has an initrd but no kernel");
        nv_error_append(list, error);
        error = NULL;
    }
    if (vm->boot.initrd_fd >= 0 && vm->boot.is_flat) {
        nv_fail(&error, -EINVAL, nv_vm_name(vm).s, "write it with nestvirt_memory_write",
                "has an initrd, which a flat image cannot find");
        nv_error_append(list, error);
    }
    if (vm->boot.cmdline[0] && (vm->boot.kernel_fd < 0 || vm->boot.is_flat)) {
        error = NULL;
        nv_fail(&error, -EINVAL, nv_vm_name(vm).s, "set a kernel, or leave it out",
                "has a command line but no kernel to be given it");
        nv_error_append(list, error);
    }
}
