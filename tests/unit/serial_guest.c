/* SPDX-License-Identifier: Apache-2.0 */
/* Owns a VM with one serial port on the fake KVM, and its guest's accesses made by the test. */
#include "serial_guest.h"

#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "core/util.h"
#include "memory/layout.h"
#include "vm/vm.h"

struct nestvirt_host *serial_host;
struct nestvirt_vm *serial_vm;
struct nestvirt_device *serial_device;

static const uint64_t PATIENCE_NS = 20000000000ull;

void serial_make(int output, int input)
{
    fake_kvm_reset();
    serial_host = fake_kvm_host();
    serial_vm = fake_kvm_vm(serial_host, 0, NESTVIRT_CHIP_SPLIT, 1);
    ck_nv_ok(nestvirt_device_add(serial_vm, "serial", &serial_device, &error));
    if (output >= 0)
        ck_nv_ok(nestvirt_device_set_fd(serial_device, "output", output, &error));
    if (input >= 0)
        ck_nv_ok(nestvirt_device_set_fd(serial_device, "input", input, &error));
}

static void ioapic_write(uint64_t offset, uint32_t value)
{
    struct nestvirt_access access = { .offset = offset, .length = 4, .is_write = 1 };

    nv_put_le32(access.data, value);
    nv_ioapic_access(&serial_vm->irq, &access);
}

void serial_run(void)
{
    if (nestvirt_vm_get_state(serial_vm) == NESTVIRT_STATE_NEW)
        ck_nv_ok(nestvirt_vm_build(serial_vm, &error));
    ck_nv_ok(nestvirt_vm_start(serial_vm, &error));
    ioapic_write(0x00, 0x10 + 2 * COM1_PIN);
    ioapic_write(0x10, COM1_VECTOR);
}

void serial_setup(int output, int input)
{
    serial_make(output, input);
    serial_run();
}

void serial_teardown(void)
{
    ck_assert_int_eq(nestvirt_vm_free(serial_vm), 0);
    ck_assert_int_eq(nestvirt_host_free(serial_host), 0);
    serial_vm = NULL;
}

struct nestvirt_access serial_access(uint32_t offset, uint32_t length, int is_write, uint32_t value)
{
    struct nestvirt_access access = { .size = sizeof(access),
                                      .space = NESTVIRT_SPACE_PORT,
                                      .address = COM1 + offset,
                                      .offset = offset,
                                      .length = length,
                                      .is_write = (uint32_t)is_write };
    const struct nv_range *range = nv_bus_find(&serial_vm->bus.port, COM1 + offset, length);

    ck_assert_ptr_nonnull(range);
    nv_put_le32(access.data, value);
    ck_assert_int_eq(range->fn(range->user_data, &access), NESTVIRT_ACTION_RESUME);
    return access;
}

uint8_t serial_in(uint32_t offset)
{
    return serial_access(offset, 1, 0, 0).data[0];
}

void serial_out(uint32_t offset, uint8_t value)
{
    serial_access(offset, 1, 1, value);
}

void serial_wait(uint32_t offset, uint8_t mask)
{
    uint64_t end = nv_now_ns() + PATIENCE_NS;

    while ((serial_in(offset) & mask) != mask) {
        ck_assert_msg(nv_now_ns() < end, "register %u never has 0x%x", offset, mask);
        usleep(200);
    }
}

void serial_receive(uint8_t *bytes, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        serial_wait(LSR, LSR_DATA);
        bytes[i] = serial_in(DATA);
    }
}

unsigned serial_interrupts(void)
{
    unsigned count = 0;

    for (unsigned i = 0; i < fake_kvm_msi_count(); i++)
        count += (fake_kvm_msi(i).data & 0xff) == COM1_VECTOR;
    return count;
}

uint64_t serial_dropped(void)
{
    uint64_t value = 0;

    ck_nv_ok(nestvirt_device_get_u64(serial_device, "dropped", &value, &error));
    return value;
}

uint64_t serial_loop_ns(void)
{
    struct nestvirt_loop *loop = serial_vm->loop;
    struct timespec used;
    clockid_t clock;

    ck_assert_int_eq(pthread_getcpuclockid(loop->thread, &clock), 0);
    ck_assert_int_eq(clock_gettime(clock, &used), 0);
    return (uint64_t)used.tv_sec * 1000000000u + (uint64_t)used.tv_nsec;
}

void serial_pipe(int ends[2])
{
    ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
}
