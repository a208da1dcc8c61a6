/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the making of scripts for the guest "script". */
#include "script.h"

#include <string.h>

#include "guests.h"
#include "support.h"

enum { STEPS = 0x20000, STEP_SIZE = 16, EXIT_CODE = 77 };
enum { END, WRITE32, READ32, WAIT16, WAIT_BITS, WRITE16, ADD32, WAIT_SAME, JUMP, OUT32, WRITE8 };

void script_begin(struct script *script, struct nestvirt_host *host, const char *kind)
{
    *script = (struct script){ .vm = GUEST_NEW(host, script, .mode = NESTVIRT_MODE_LONG) };
    if (kind)
        ck_nv_ok(nestvirt_device_add(script->vm, kind, &script->device, &error));
}

static uint32_t add(struct script *script, uint32_t operation, uint32_t value, uint64_t address)
{
    const struct {
        uint32_t operation;
        uint32_t value;
        uint64_t address;
    } step = { operation, value, address };
    uint32_t number = script->steps++;

    ck_nv_ok(nestvirt_memory_write(script->vm, STEPS + (uint64_t)number * STEP_SIZE, &step,
                                   sizeof(step), &error));
    return number;
}

void script_put(struct script *script, uint32_t reg, uint32_t value)
{
    add(script, WRITE32, value, SCRIPT_WINDOW + reg);
}

uint32_t script_read(struct script *script, uint32_t reg)
{
    return add(script, READ32, 0, SCRIPT_WINDOW + reg);
}

void script_wait_used(struct script *script, uint16_t index)
{
    script_wait16(script, SCRIPT_USED + 2, index);
}

void script_wait16(struct script *script, uint64_t address, uint16_t value)
{
    add(script, WAIT16, value, address);
}

void script_wait_bits(struct script *script, uint32_t reg, uint32_t bits)
{
    add(script, WAIT_BITS, bits, SCRIPT_WINDOW + reg);
}

void script_set_available(struct script *script, uint16_t index)
{
    add(script, WRITE16, index, SCRIPT_AVAILABLE + 2);
}

void script_put8(struct script *script, uint32_t reg, uint8_t value)
{
    add(script, WRITE8, value, SCRIPT_WINDOW + reg);
}

void script_store16(struct script *script, uint64_t address, uint16_t value)
{
    add(script, WRITE16, value, address);
}

void script_store32(struct script *script, uint64_t address, uint32_t value)
{
    add(script, WRITE32, value, address);
}

uint32_t script_read_memory(struct script *script, uint64_t address)
{
    return add(script, READ32, 0, address);
}

void script_add32(struct script *script, uint64_t address, uint32_t value)
{
    add(script, ADD32, value, address);
}

void script_wait_all_used(struct script *script)
{
    add(script, WAIT_SAME, SCRIPT_AVAILABLE + 2, SCRIPT_USED + 2);
}

void script_out32(struct script *script, uint16_t port, uint64_t address)
{
    add(script, OUT32, port, address);
}

void script_jump(struct script *script, uint32_t step)
{
    add(script, JUMP, step, 0);
}

void script_set_queue(struct script *script, uint32_t size, uint64_t table, uint64_t available,
                      uint64_t used)
{
    script_put(script, NV_VIRTIO_REG_QUEUE_SEL, 0);
    script_put(script, NV_VIRTIO_REG_QUEUE_NUM, size);
    script_put(script, NV_VIRTIO_REG_QUEUE_DESC_LOW, (uint32_t)table);
    script_put(script, NV_VIRTIO_REG_QUEUE_DESC_HIGH, (uint32_t)(table >> 32));
    script_put(script, NV_VIRTIO_REG_QUEUE_DRIVER_LOW, (uint32_t)available);
    script_put(script, NV_VIRTIO_REG_QUEUE_DRIVER_HIGH, (uint32_t)(available >> 32));
    script_put(script, NV_VIRTIO_REG_QUEUE_DEVICE_LOW, (uint32_t)used);
    script_put(script, NV_VIRTIO_REG_QUEUE_DEVICE_HIGH, (uint32_t)(used >> 32));
    script_put(script, NV_VIRTIO_REG_QUEUE_READY, 1);
}

void script_drive_to_queues(struct script *script, uint64_t features)
{
    features |= NV_VIRTIO_F_VERSION_1;
    script_put(script, NV_VIRTIO_REG_STATUS, 0);
    script_put(script, NV_VIRTIO_REG_STATUS, 1);
    script_put(script, NV_VIRTIO_REG_STATUS, 3);
    for (uint32_t i = 0; i < 2; i++) {
        script_put(script, NV_VIRTIO_REG_DRIVER_FEATURES_SEL, i);
        script_put(script, NV_VIRTIO_REG_DRIVER_FEATURES, (uint32_t)(features >> (32 * i)));
    }
    script_put(script, NV_VIRTIO_REG_STATUS, 11);
}

void script_drive(struct script *script, uint64_t features)
{
    script_drive_to_queues(script, features);
    script_set_queue(script, SCRIPT_SIZE, SCRIPT_TABLE, SCRIPT_AVAILABLE, SCRIPT_USED);
    script_put(script, NV_VIRTIO_REG_STATUS, 15);
}

void script_descriptor(struct script *script, uint64_t table, uint32_t index, uint64_t address,
                       uint32_t length, uint16_t flags, uint16_t next)
{
    const struct {
        uint64_t address;
        uint32_t length;
        uint16_t flags;
        uint16_t next;
    } descriptor = { address, length, flags, next };

    ck_nv_ok(nestvirt_memory_write(script->vm, table + 16ull * index, &descriptor,
                                   sizeof(descriptor), &error));
}

void script_write16(struct script *script, uint64_t address, uint16_t value)
{
    ck_nv_ok(nestvirt_memory_write(script->vm, address, &value, sizeof(value), &error));
}

void script_head(struct script *script, uint32_t position, uint16_t head)
{
    script_write16(script, SCRIPT_AVAILABLE + 4 + 2ull * position, head);
}

uint32_t script_load32(struct script *script, uint64_t address)
{
    uint32_t value;

    ck_nv_ok(nestvirt_memory_read(script->vm, address, &value, sizeof(value), &error));
    return value;
}

void script_finish(struct script *script)
{
    add(script, END, EXIT_CODE, 0);
}

void script_run(struct script *script)
{
    struct nestvirt_vm_result result;

    script_finish(script);
    guest_start(script->vm);
    ck_assert_uint_eq(guest_wait(script->vm, &result), NESTVIRT_RESULT_GUEST_EXIT);
    ck_assert_int_eq(result.exit_code, EXIT_CODE);
}

uint32_t script_value(struct script *script, uint32_t step)
{
    return script_load32(script, STEPS + (uint64_t)step * STEP_SIZE + 4);
}

void script_end(struct script *script)
{
    ck_assert_int_eq(nestvirt_vm_free(script->vm), 0);
}
