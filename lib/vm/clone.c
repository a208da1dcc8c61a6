/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the making of a VM from a template, and putting it back to where the template stood. */
#include <errno.h>

#include "core/cleanup.h"
#include "core/util.h"
#include "vm/state.h"

enum { CONFIG_RECORD = NV_RECORD('V', 'M', 'C', 'F'), CONFIG_VERSION = 1 };
enum { MACHINE_RECORD = NV_RECORD('M', 'A', 'C', 'H'), MACHINE_VERSION = 1 };

enum {
    KNOWN_FLAGS = NESTVIRT_VM_MANUAL_VCPUS | NESTVIRT_VM_FIXUPS | NESTVIRT_VM_PIT,
    KNOWN_DISCOVERY =
        NESTVIRT_DISCOVERY_MPTABLE | NESTVIRT_DISCOVERY_ACPI | NESTVIRT_DISCOVERY_CMDLINE
};

static const char object[] = "template";

/* What a record of the configuration begins with. */
struct parts {
    uint32_t chip;
    uint32_t flags;
    uint32_t vcpus;
    bool is_fresh;
    uint32_t discovery;
    uint32_t devices;
    struct nv_cpuid_masks masks;
};

static void read_masks(struct nv_reader *body, struct nv_cpuid_masks *masks)
{
    masks->count = nv_read_u32(body);
    if (masks->count > NV_CPUID_MASKS_MAX) {
        body->is_bad = true;
        masks->count = 0;
    }
    for (uint32_t i = 0; i < masks->count; i++) {
        struct nv_cpuid_mask *row = &masks->rows[i];

        row->leaf = nv_read_u32(body);
        row->index = nv_read_u32(body);
        row->cpu_register = nv_read_u32(body);
        row->clear = nv_read_u32(body);
        row->set = nv_read_u32(body);
        if (row->cpu_register > 3)
            body->is_bad = true;
    }
}

/* Enters the record behind the list of memory regions, and reads it up to the devices. */
static int read_parts(const struct nestvirt_template *template, struct parts *parts,
                      struct nv_reader *ret_body, struct nestvirt_error **ret_error)
{
    struct nv_reader reader = { .bytes = template->config.bytes, .left = template->config.length };
    struct nv_ram image;
    int r = nv_ram_load(&reader, &image, ret_error);

    if (r == 0)
        r = nv_read_begin(&reader, CONFIG_RECORD, CONFIG_VERSION, object, ret_body, ret_error);
    if (r == 0)
        r = nv_read_end(&reader, object, ret_error);
    if (r < 0)
        return r;
    parts->chip = nv_read_u32(ret_body);
    parts->flags = nv_read_u32(ret_body);
    parts->vcpus = nv_read_u32(ret_body);
    parts->is_fresh = nv_read_bool(ret_body);
    parts->discovery = nv_read_u32(ret_body);
    read_masks(ret_body, &parts->masks);
    parts->devices = nv_read_u32(ret_body);
    if (ret_body->is_bad || parts->chip > NESTVIRT_CHIP_KERNEL ||
        parts->flags & ~(uint32_t)KNOWN_FLAGS || parts->vcpus == 0 ||
        parts->discovery & ~(uint32_t)KNOWN_DISCOVERY || parts->devices > NV_DEVICES_MAX ||
        ((parts->flags & NESTVIRT_VM_PIT) && parts->chip != NESTVIRT_CHIP_KERNEL))
        return nv_bad_state(object, "it describes a VM that cannot be", ret_error);
    if (parts->vcpus > template->host->info.max_vcpus)
        return nv_fail(ret_error, -ENOTSUP, object, "use another host",
                       "has %u vCPUs, this host at most %u", parts->vcpus,
                       template->host->info.max_vcpus);
    return 0;
}

int nv_vm_count_parts(const struct nestvirt_template *template, uint32_t *ret_vcpus,
                      uint32_t *ret_devices, struct nestvirt_error **ret_error)
{
    struct parts parts = { 0 };
    struct nv_reader body;
    int r = read_parts(template, &parts, &body, ret_error);

    if (r < 0)
        return r;
    *ret_vcpus = parts.vcpus;
    *ret_devices = parts.devices;
    return 0;
}

static int add_parts(struct nestvirt_vm *vm, const struct parts *parts, struct nv_reader *body,
                     struct nestvirt_error **ret_error)
{
    int r = nv_ram_map(&vm->origin->image, &vm->memory, ret_error);

    vm->masks = parts->masks;
    vm->boot.discovery = parts->discovery;
    vm->is_fresh = parts->is_fresh;
    for (uint32_t i = 0; i < parts->devices && r >= 0; i++) {
        r = nv_device_load_config(body, i, vm, &vm->devices[i], ret_error);
        if (r >= 0)
            vm->device_count++;
    }
    return r < 0 ? r : nv_read_end(body, object, ret_error);
}

int nv_vm_new_clone(struct nestvirt_template *template, const char *name,
                    struct nestvirt_vm **ret_vm, struct nestvirt_error **ret_error)
{
    struct nestvirt_vm_config config = { .size = sizeof(config), .name = name };
    struct parts parts = { 0 };
    struct nv_reader body;
    struct nestvirt_vm *vm;
    int r = read_parts(template, &parts, &body, ret_error);

    if (r < 0)
        return r;
    config.flags = parts.flags;
    config.vcpus = parts.vcpus;
    config.interrupt_chip = parts.chip;
    r = nv_vm_new(template->host, &config, &vm, ret_error);
    if (r < 0)
        return r;
    vm->origin = nv_template_ref(template);
    r = add_parts(vm, &parts, &body, ret_error);
    if (r < 0) {
        nv_vm_free(vm);
        return r;
    }
    *ret_vm = vm;
    return 0;
}

static int load_timer(struct nestvirt_vm *vm, struct nv_reader *body,
                      struct nestvirt_error **ret_error)
{
    struct kvm_pit_state2 pit;
    int r;

    if (!(vm->flags & NESTVIRT_VM_PIT))
        return 0;
    nv_read_exactly(body, &pit, sizeof(pit));
    if (body->is_bad)
        return nv_bad_state("interval timer", "its state has another size", ret_error);
    r = nv_kvm_try(vm->host, vm->group.vm_fd, KVM_SET_PIT2, &pit, "interval timer", ret_error);
    return r < 0 ? r : 0;
}

int nv_vm_load(struct nestvirt_vm *vm, struct nestvirt_error **ret_error)
{
    const struct nv_writer *machine = &vm->origin->machine;
    struct nv_reader reader = { .bytes = machine->bytes, .left = machine->length };
    struct nv_reader body;
    bool has_run = !vm->is_fresh;
    int r = nv_read_begin(&reader, MACHINE_RECORD, MACHINE_VERSION, object, &body, ret_error);

    for (uint32_t i = 0; i < vm->device_count && has_run && r >= 0; i++)
        r = nv_device_load(vm->devices[i], &body, ret_error);
    if (r >= 0 && has_run)
        r = nv_irq_load(&vm->irq, &body, ret_error);
    if (r >= 0 && has_run)
        r = load_timer(vm, &body, ret_error);
    for (uint32_t i = 0; i < vm->group.count && r >= 0; i++)
        r = nv_vcpu_load(&vm->group.vcpus[i], &body, ret_error);
    if (r < 0)
        return r;
    vm->clock = has_run ? nv_read_u64(&body) : 0;
    r = nv_read_end(&body, object, ret_error);
    vm->is_loaded = r == 0 && has_run;
    return r;
}

/* The interval timer's state, if there is one. */
static void pass_timer(const struct nestvirt_vm *clone, struct nv_reader *body)
{
    struct kvm_pit_state2 pit;

    if (clone->flags & NESTVIRT_VM_PIT)
        nv_read_exactly(body, &pit, sizeof(pit));
}

int nv_vm_check_machine(const struct nestvirt_vm *clone, struct nestvirt_error **ret_error)
{
    const struct nv_writer *machine = &clone->origin->machine;
    struct nv_reader reader = { .bytes = machine->bytes, .left = machine->length };
    struct nv_reader body;
    bool has_run = !clone->is_fresh;
    int r = nv_read_begin(&reader, MACHINE_RECORD, MACHINE_VERSION, object, &body, ret_error);

    if (r == 0)
        r = nv_read_end(&reader, object, ret_error);
    for (uint32_t i = 0; i < clone->device_count && has_run && r == 0; i++)
        r = nv_device_pass(clone->devices[i], &body, ret_error);
    if (r == 0 && has_run) {
        r = nv_irq_pass(&body, ret_error);
        pass_timer(clone, &body);
    }
    for (uint32_t i = 0; i < clone->group.count && r == 0; i++)
        r = nv_vcpu_pass(&clone->group.vcpus[i], &body, ret_error);
    if (r < 0)
        return r;
    if (has_run)
        nv_read_u64(&body); /* the clock */
    return nv_read_end(&body, object, ret_error);
}

int nv_vm_go_on(struct nestvirt_vm *vm, struct nestvirt_error **ret_error)
{
    struct kvm_clock_data clock = { .clock = vm->clock };
    int r =
        nv_kvm_try(vm->host, vm->group.vm_fd, KVM_SET_CLOCK, &clock, nv_vm_name(vm).s, ret_error);

    if (r < 0)
        return r;
    for (uint32_t i = 0; i < vm->device_count; i++)
        nv_device_resume(vm->devices[i]);
    return 0;
}

int nv_vm_get_generation(struct nestvirt_vm *vm, uint8_t ret_id[NESTVIRT_GENERATION_SIZE],
                         struct nestvirt_error **ret_error)
{
    for (uint32_t i = 0; i < vm->device_count; i++)
        if (vm->devices[i]->class->get_generation)
            return vm->devices[i]->class->get_generation(vm->devices[i], ret_id, ret_error);
    return nv_fail(ret_error, -ENOENT, nv_vm_name(vm).s, "add a \"vmgenid\" device",
                   "has no generation ID");
}
