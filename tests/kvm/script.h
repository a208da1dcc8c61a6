/* SPDX-License-Identifier: Apache-2.0 */
/* Owns guests that drive a virtio device step by step, as the host's side of a test wrote down. */
#ifndef TESTS_KVM_SCRIPT_H
#define TESTS_KVM_SCRIPT_H

#include <stdint.h>

#include <nestvirt/nestvirt.h>

#include "virtio/registers.h"

enum {
    SCRIPT_WINDOW = 0xd0002000, /* device 2: behind "exit" and "reset" */
    SCRIPT_SIZE = 8,            /* descriptors of the queue */
    SCRIPT_TABLE = 0x40000,     /* its rings */
    SCRIPT_AVAILABLE = 0x41000,
    SCRIPT_USED = 0x42000,
    SCRIPT_INDIRECT = 0x43000,
    SCRIPT_BUFFER = 0x50000 /* where buffers may be */
};

enum { SCRIPT_NEXT = 1, SCRIPT_WRITE = 2, SCRIPT_IS_INDIRECT = 4 };

struct script {
    struct nestvirt_vm *vm;
    struct nestvirt_device *device;
    uint32_t steps;
};

/* A VM with 1 MiB, "exit", "reset" and, as device 2, one of this kind (NULL: to be added). */
void script_begin(struct script *script, struct nestvirt_host *host, const char *kind);

/* Steps of the guest. read returns the step's number, for script_value(). */
void script_put(struct script *script, uint32_t reg, uint32_t value);
uint32_t script_read(struct script *script, uint32_t reg);
void script_wait_used(struct script *script, uint16_t index);
void script_wait16(struct script *script, uint64_t address, uint16_t value);
void script_wait_bits(struct script *script, uint32_t reg, uint32_t bits);
void script_set_available(struct script *script, uint16_t index);
void script_put8(struct script *script, uint32_t reg, uint8_t value);
void script_store16(struct script *script, uint64_t address, uint16_t value);
void script_store32(struct script *script, uint64_t address, uint32_t value);
uint32_t script_read_memory(struct script *script, uint64_t address);
void script_add32(struct script *script, uint64_t address, uint32_t value);
/* Waits until queue 0 has given back all that was made available. */
void script_wait_all_used(struct script *script);
/* Writes 32 bits of memory to a port. */
void script_out32(struct script *script, uint16_t port, uint64_t address);
/* Goes on at this step; script->steps is the number of the next one. */
void script_jump(struct script *script, uint32_t step);

/* The driver's way to DRIVER_OK (virtio 1.2, 3.1.1) with queue 0 at the places above. */
void script_drive(struct script *script, uint64_t features);
void script_drive_to_queues(struct script *script, uint64_t features);
void script_set_queue(struct script *script, uint32_t size, uint64_t table, uint64_t available,
                      uint64_t used);

/* Memory before the start: descriptors and available heads. */
void script_descriptor(struct script *script, uint64_t table, uint32_t index, uint64_t address,
                       uint32_t length, uint16_t flags, uint16_t next);
void script_head(struct script *script, uint32_t position, uint16_t head);
void script_write16(struct script *script, uint64_t address, uint16_t value);
uint32_t script_load32(struct script *script, uint64_t address);

/* Adds the end: an exit that script_run() and guest_wait() see. */
void script_finish(struct script *script);

/* Adds the end, runs the guest to it and checks that it came there. */
void script_run(struct script *script);

/* What a read step got. */
uint32_t script_value(struct script *script, uint32_t step);

void script_end(struct script *script);

#endif
