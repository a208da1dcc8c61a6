/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the declarations of the bare guests, and the making of VMs that run them. */
#ifndef TESTS_KVM_GUESTS_H
#define TESTS_KVM_GUESTS_H

#include <stddef.h>
#include <stdint.h>

#include <nestvirt/nestvirt.h>

#define GUEST(name)                      \
    extern const uint8_t guest_##name[]; \
    extern const uint8_t guest_##name##_end[]

GUEST(exit_code);
GUEST(spin);
GUEST(halt);
GUEST(halt_once);
GUEST(triple_fault);
GUEST(mmio);
GUEST(ports);
GUEST(unclaimed);
GUEST(storm);
GUEST(hole);
GUEST(fixups);
GUEST(interrupts);
GUEST(second_cpu);
GUEST(notify);
GUEST(reset);
GUEST(power_off);
GUEST(echo);
GUEST(script);
GUEST(deadline);
GUEST(clock);

/* How a guest is to be set up; zero is the usual. */
struct guest_options {
    uint32_t flags;  /* NESTVIRT_VM_* */
    uint32_t chip;   /* NESTVIRT_CHIP_* */
    uint32_t vcpus;  /* 0: 1 */
    uint32_t mode;   /* NESTVIRT_MODE_*; real mode loads at 0x1000, others at 0x10000 */
    uint64_t memory; /* 0: 1 MiB */
};

/* A VM in state new with "exit" and "reset" devices and the guest as its flat image. */
struct nestvirt_vm *guest_new(struct nestvirt_host *host, const uint8_t *start, const uint8_t *end,
                              const struct guest_options *options);

#define GUEST_NEW(host, name, ...) \
    guest_new(host, guest_##name, guest_##name##_end, &(struct guest_options){ __VA_ARGS__ })

/* Builds and starts. */
void guest_start(struct nestvirt_vm *vm);

/* Waits at most 10 seconds for the end and returns the reason. */
uint32_t guest_wait(struct nestvirt_vm *vm, struct nestvirt_vm_result *result);

#endif
