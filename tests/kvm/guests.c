/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the making of VMs that run the bare guests. */
#include "guests.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "support.h"

enum { REAL_BASE = 0x1000, FLAT_BASE = 0x10000, WAIT_MS = 10000 };

struct nestvirt_vm *guest_new(struct nestvirt_host *host, const uint8_t *start, const uint8_t *end,
                              const struct guest_options *options)
{
    struct nestvirt_vm_config config;
    struct nestvirt_flat_config flat;
    struct nestvirt_vm *vm;
    int image = memfd_create("guest", MFD_CLOEXEC);

    ck_assert_int_ge(image, 0);
    ck_assert_int_eq(write(image, start, (size_t)(end - start)), end - start);
    nestvirt_vm_config_init(&config, sizeof(config));
    config.name = "test";
    config.flags = options->flags;
    config.interrupt_chip = options->chip;
    config.vcpus = options->vcpus ? options->vcpus : 1;
    config.memory_size = options->memory ? options->memory : 1 << 20;
    ck_nv_ok(nestvirt_vm_new(host, &config, &vm, &error));
    ck_nv_ok(nestvirt_device_add(vm, "exit", NULL, &error));
    ck_nv_ok(nestvirt_device_add(vm, "reset", NULL, &error));
    nestvirt_flat_config_init(&flat, sizeof(flat));
    flat.address = flat.entry = options->mode == NESTVIRT_MODE_REAL ? REAL_BASE : FLAT_BASE;
    flat.mode = options->mode;
    ck_nv_ok(nestvirt_boot_set_flat_fd(vm, image, &flat, &error));
    close(image);
    return vm;
}

void guest_start(struct nestvirt_vm *vm)
{
    ck_nv_ok(nestvirt_vm_build(vm, &error));
    ck_nv_ok(nestvirt_vm_start(vm, &error));
}

uint32_t guest_wait(struct nestvirt_vm *vm, struct nestvirt_vm_result *result)
{
    struct nestvirt_vm_result own;

    result = result ? result : &own;
    nestvirt_vm_result_init(result, sizeof(*result));
    ck_nv_ok(nestvirt_vm_wait(vm, WAIT_MS, result, &error));
    return result->reason;
}
