/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A virtual machine monitor of one's own on the bare level: memory and registers set by hand, a
 * device of its own at an MMIO address, and the vCPU driven by a loop of the program.
 *
 *     05_custom_vmm
 */
#include <string.h>

#include "common.h"

enum { CODE = 0x1000, DEVICE = 0x80000, DEVICE_SIZE = 0x1000 };

/*
 * 16-bit code: multiplies 6 by 7 with the device (operands at +0 and +4, product at +8), writes
 * the product to port 0x10 and halts. DS is set by hand so that its base is the device.
 */
static const unsigned char guest[] = "\x66\xc7\x06\x00\x00\x06\x00\x00\x00" /* movl $6, 0 */
                                     "\x66\xc7\x06\x04\x00\x07\x00\x00\x00" /* movl $7, 4 */
                                     "\x66\xa1\x08\x00"                     /* movl 8, %eax */
                                     "\xe6\x10"                             /* out %al, $0x10 */
                                     "\xf4";                                /* hlt */

/* The device: two operands and their product. */
struct multiplier {
    uint32_t operands[2];
    unsigned accesses;
};

static int32_t on_access(void *user_data, struct nestvirt_access *access)
{
    struct multiplier *device = user_data;
    uint32_t product = device->operands[0] * device->operands[1];

    if (access->length != 4 || access->offset > 8 || access->offset % 4)
        return NESTVIRT_ACTION_DEFAULT;
    device->accesses++;
    if (access->is_write && access->offset < 8)
        memcpy(&device->operands[access->offset / 4], access->data, 4);
    else if (!access->is_write)
        memcpy(access->data, &product, 4);
    return NESTVIRT_ACTION_RESUME;
}

/* Memory on both sides of the device; the vCPU belongs to this program. */
static struct nestvirt_vm *make_vm(struct nestvirt_host *host, struct multiplier *device)
{
    struct nestvirt_error *error = NULL;
    struct nestvirt_vm_config config;
    struct nestvirt_memory_config memory;
    struct nestvirt_vm *vm;

    nestvirt_vm_config_init(&config, sizeof(config));
    config.name = "custom";
    config.flags = NESTVIRT_VM_MANUAL_VCPUS;
    config.interrupt_chip = NESTVIRT_CHIP_NONE;
    TRY(nestvirt_vm_new(host, &config, &vm, &error));

    nestvirt_memory_config_init(&memory, sizeof(memory));
    memory.length = DEVICE;
    TRY(nestvirt_memory_add(vm, &memory, &error));
    memory.address = DEVICE + DEVICE_SIZE;
    TRY(nestvirt_memory_add(vm, &memory, &error));
    TRY(nestvirt_memory_write(vm, CODE, guest, sizeof(guest), &error));
    TRY(nestvirt_handler_add(vm, NESTVIRT_SPACE_MMIO, DEVICE, DEVICE_SIZE, on_access, device, NULL,
                             &error));
    TRY(nestvirt_vm_build(vm, &error));
    return vm;
}

static void set_registers(struct nestvirt_vcpu *vcpu)
{
    struct nestvirt_error *error = NULL;
    struct nestvirt_regs regs;
    struct nestvirt_sregs sregs;

    nestvirt_sregs_init(&sregs, sizeof(sregs));
    TRY(nestvirt_vcpu_get_sregs(vcpu, &sregs, &error));
    sregs.cs.base = 0;
    sregs.cs.selector = 0;
    sregs.ds.base = DEVICE;
    sregs.ds.selector = DEVICE >> 4;
    TRY(nestvirt_vcpu_set_sregs(vcpu, &sregs, &error));
    nestvirt_regs_init(&regs, sizeof(regs));
    regs.rip = CODE;
    regs.rflags = 2;
    TRY(nestvirt_vcpu_set_regs(vcpu, &regs, &error));
}

/* The heart of a VMM: run, look why the guest came out, act, run on. Returns what port 0x10 got. */
static int drive(struct nestvirt_vcpu *vcpu)
{
    struct nestvirt_error *error = NULL;
    struct nestvirt_exit exit;
    int answer = -1;

    nestvirt_exit_init(&exit, sizeof(exit));
    for (;;) {
        TRY(nestvirt_vcpu_run(vcpu, &exit, &error));
        switch (exit.reason) {
        case NESTVIRT_EXIT_PORT:
            if (exit.is_write && exit.address == 0x10)
                answer = exit.data[0];
            break;
        case NESTVIRT_EXIT_HALT:
            return answer;
        default:
            fprintf(stderr, "unexpected exit %u at RIP 0x%llx\n", exit.reason,
                    (unsigned long long)exit.rip);
            return -1;
        }
    }
}

int main(void)
{
    struct nestvirt_error *error = NULL;
    struct multiplier device = { { 0, 0 }, 0 };
    struct nestvirt_host *host;
    struct nestvirt_vm *vm;
    struct nestvirt_vcpu *vcpu;
    int answer;

    TRY(nestvirt_host_open(NULL, &host, &error));
    vm = make_vm(host, &device);
    TRY(nestvirt_vm_get_vcpu(vm, 0, &vcpu, &error));
    set_registers(vcpu);
    TRY(nestvirt_vm_start(vm, &error));
    answer = drive(vcpu);
    printf("the guest says 6 x 7 = %d, after %u accesses to the device\n", answer, device.accesses);
    nestvirt_vm_free(vm);
    nestvirt_host_free(host);
    return answer == 42 && device.accesses == 3 ? 0 : 1;
}
