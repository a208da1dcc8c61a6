/* SPDX-License-Identifier: Apache-2.0 */
/* Proves the serial port's registers, FIFO, loop-back and interrupts. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "serial_guest.h"

enum { IER_RECEIVED = 1, IER_TRANSMIT = 2, LCR_DLAB = 0x80, MCR_LOOP = 0x10 };

static int input[2];

static void setup(void)
{
    serial_pipe(input);
    serial_setup(-1, input[0]);
}

static void teardown(void)
{
    serial_teardown();
    close(input[0]);
    close(input[1]);
}

static void type(const char *text)
{
    ck_assert_int_eq(write(input[1], text, strlen(text)), (ssize_t)strlen(text));
    serial_wait(LSR, LSR_DATA);
}

START_TEST(test_registers_after_reset)
{
    ck_assert_uint_eq(serial_in(IER), 0);
    ck_assert_uint_eq(serial_in(IIR), 1);
    ck_assert_uint_eq(serial_in(LCR), 0);
    ck_assert_uint_eq(serial_in(MCR), 0);
    ck_assert_uint_eq(serial_in(LSR), LSR_READY);
    ck_assert_uint_eq(serial_in(MSR), 0xb0);
    ck_assert_uint_eq(serial_in(SCRATCH), 0);
    ck_assert_uint_eq(serial_in(DATA), 0);
}
END_TEST

START_TEST(test_registers_keep_their_bits)
{
    serial_out(SCRATCH, 0xa5);
    ck_assert_uint_eq(serial_in(SCRATCH), 0xa5);
    serial_out(IER, 0xff);
    ck_assert_uint_eq(serial_in(IER), 0x0f);
    serial_out(MCR, 0xef);
    ck_assert_uint_eq(serial_in(MCR), 0x0f);
    serial_out(LCR, 0x1f);
    ck_assert_uint_eq(serial_in(LCR), 0x1f);
    serial_out(LSR, 0); /* read-only */
    serial_out(MSR, 0);
    ck_assert_uint_eq(serial_in(LSR), LSR_READY);
    ck_assert_uint_eq(serial_in(MSR), 0xb0);
}
END_TEST

START_TEST(test_divisor_latch)
{
    serial_out(IER, 0x05);
    serial_out(LCR, LCR_DLAB | 3);
    ck_assert_uint_eq(serial_in(DATA), 12);
    ck_assert_uint_eq(serial_in(IER), 0);
    serial_out(DATA, 0x34);
    serial_out(IER, 0x12);
    ck_assert_uint_eq(serial_in(DATA), 0x34);
    ck_assert_uint_eq(serial_in(IER), 0x12);
    serial_out(LCR, 3);
    ck_assert_uint_eq(serial_in(IER), 0x05);
}
END_TEST

START_TEST(test_fifo)
{
    ck_assert_uint_eq(serial_in(IIR), 0x01);
    serial_out(FCR, 1);
    ck_assert_uint_eq(serial_in(IIR), 0xc1); /* so that Linux sees a 16550A */
    type("abc");
    serial_out(FCR, 3);
    ck_assert_uint_eq(serial_in(LSR) & LSR_DATA, 0);
    type("d");
    ck_assert_uint_eq(serial_in(DATA), 'd');
    serial_out(FCR, 0);
    ck_assert_uint_eq(serial_in(IIR), 0x01);
}
END_TEST

START_TEST(test_loop_back)
{
    serial_out(MCR, MCR_LOOP);
    ck_assert_uint_eq(serial_in(MSR), 0);
    serial_out(MCR, MCR_LOOP | 1);
    ck_assert_uint_eq(serial_in(MSR), 0x20);
    serial_out(MCR, MCR_LOOP | 2);
    ck_assert_uint_eq(serial_in(MSR), 0x10);
    serial_out(MCR, MCR_LOOP | 4);
    ck_assert_uint_eq(serial_in(MSR), 0x40);
    serial_out(MCR, MCR_LOOP | 8);
    ck_assert_uint_eq(serial_in(MSR), 0x80); /* Linux probes with 0x1a and expects 0x90 */
    serial_out(DATA, 'x');
    ck_assert_uint_eq(serial_in(LSR) & LSR_DATA, LSR_DATA);
    ck_assert_uint_eq(serial_in(DATA), 'x');
    ck_assert_uint_eq(serial_in(LSR) & LSR_DATA, 0);
    for (int i = 0; i < 1000; i++) /* bounded */
        serial_out(DATA, (uint8_t)i);
    for (int i = 0; i < 256; i++)
        ck_assert_uint_eq(serial_in(DATA), (uint8_t)i);
    ck_assert_uint_eq(serial_in(LSR) & LSR_DATA, 0);
}
END_TEST

START_TEST(test_hostile_29_wide_accesses)
{
    struct nestvirt_access access = serial_access(SCRATCH, 1, 1, 0x11);

    access = serial_access(LCR, 4, 1, 0x11223303);
    ck_assert_uint_eq(serial_in(LCR), 3);
    ck_assert_uint_eq(serial_in(MCR), 0);
    access = serial_access(LCR, 4, 0, 0);
    ck_assert_mem_eq(access.data, "\x03\0\0\0\0\0\0\0", 8);
    access = serial_access(DATA, 2, 0, 0);
    ck_assert_uint_eq(access.data[1], 0);
}
END_TEST

START_TEST(test_transmit_interrupt_edges)
{
    serial_out(IER, IER_TRANSMIT);
    ck_assert_uint_eq(serial_interrupts(), 0); /* OUT2 does not connect it yet */
    serial_out(IER, 0);
    serial_out(MCR, MCR_OUT2);
    serial_out(IER, IER_TRANSMIT);
    ck_assert_uint_eq(serial_interrupts(), 1); /* at enabling: the transmitter is empty */
    ck_assert_uint_eq(serial_in(IIR), 2);
    ck_assert_uint_eq(serial_in(IIR), 1); /* reading it acknowledges */
    serial_out(IER, IER_TRANSMIT);
    ck_assert_uint_eq(serial_interrupts(), 1); /* no new edge */
    serial_out(DATA, 'a');
    ck_assert_uint_eq(serial_interrupts(), 2);
    serial_out(DATA, 'b'); /* not acknowledged in between: an edge all the same */
    ck_assert_uint_eq(serial_interrupts(), 3);
    serial_out(IER, 0);
    serial_out(DATA, 'c');
    ck_assert_uint_eq(serial_interrupts(), 3);
    ck_assert_uint_eq(serial_in(IIR), 1);
}
END_TEST

static void wait_interrupts(unsigned count)
{
    for (int i = 0; i < 40000 && serial_interrupts() < count; i++)
        usleep(500);
    ck_assert_uint_eq(serial_interrupts(), count);
}

START_TEST(test_receive_interrupt)
{
    serial_out(MCR, MCR_OUT2);
    serial_out(IER, IER_RECEIVED | IER_TRANSMIT);
    ck_assert_uint_eq(serial_in(IIR), 2);
    ck_assert_uint_eq(serial_interrupts(), 1);
    type("hi");
    wait_interrupts(2);
    serial_out(DATA, 'x');
    wait_interrupts(2); /* the line is up: one cause among two */
    ck_assert_uint_eq(serial_in(IIR), 4);
    ck_assert_uint_eq(serial_in(IIR), 4); /* only reading the data clears it */
    ck_assert_uint_eq(serial_in(DATA), 'h');
    ck_assert_uint_eq(serial_in(IIR), 4);
    ck_assert_uint_eq(serial_in(DATA), 'i');
    ck_assert_uint_eq(serial_in(IIR), 2);
    ck_assert_uint_eq(serial_in(IIR), 1);
    type("j");
    wait_interrupts(3);
    ck_assert_uint_eq(serial_in(DATA), 'j');
}
END_TEST

/* Input that waited before the guest enabled the interrupt raises it then. */
START_TEST(test_receive_interrupt_enabled_late)
{
    type("k");
    ck_assert_uint_eq(serial_interrupts(), 0);
    serial_out(IER, IER_RECEIVED);
    ck_assert_uint_eq(serial_interrupts(), 0);
    serial_out(MCR, MCR_OUT2);
    ck_assert_uint_eq(serial_interrupts(), 1);
}
END_TEST

START_TEST(test_restart_resets_registers)
{
    serial_out(MCR, MCR_OUT2);
    serial_out(IER, 3);
    serial_out(SCRATCH, 7);
    serial_out(LCR, 3);
    ck_nv_ok(nestvirt_vm_stop(serial_vm, -1, &error));
    type("z"); /* while stopped it may be taken, but must not crash */
    serial_run();
    ck_assert_uint_eq(serial_in(IER), 0);
    ck_assert_uint_eq(serial_in(SCRATCH), 0);
    ck_assert_uint_eq(serial_in(LCR), 0);
    ck_assert_int_eq(write(input[1], "y", 1), 1);
    serial_wait(LSR, LSR_DATA);
}
END_TEST

static void teardown_vm(void)
{
    serial_teardown();
}

START_TEST(test_properties)
{
    uint64_t value;

    serial_make(-1, -1);
    ck_nv_ok(nestvirt_device_get_u64(serial_device, "port", &value, &error));
    ck_assert_uint_eq(value, 0x3f8);
    ck_nv_ok(nestvirt_device_get_u64(serial_device, "irq", &value, &error));
    ck_assert_uint_eq(value, 4);
    ck_nv_ok(nestvirt_device_set_u64(serial_device, "port", 0xfff8, &error));
    ck_nv_fails(nestvirt_device_set_u64(serial_device, "port", 0xfff9, &error), -EINVAL);
    ck_nv_fails(nestvirt_device_set_u64(serial_device, "irq", 24, &error), -EINVAL);
    ck_nv_fails(nestvirt_device_set_u64(serial_device, "dropped", 0, &error), -EPERM);
    ck_nv_fails(nestvirt_device_set_u64(serial_device, "output", 1, &error), -EINVAL);
    ck_nv_fails(nestvirt_device_set_fd(serial_device, "port", 1, &error), -EINVAL);
    ck_nv_fails(nestvirt_device_set_fd(serial_device, "output", -1, &error), -EBADF);
    ck_nv_fails(nestvirt_device_set_fd(serial_device, "output", 19999, &error), -EBADF);
    ck_nv_fails(nestvirt_device_set_string(serial_device, "output", "x", &error), -EINVAL);
    ck_nv_fails_with(nestvirt_device_set_u64(serial_device, "baud", 1, &error), -ENOENT, "output");
}
END_TEST

START_TEST(test_two_ports)
{
    struct nestvirt_device *second;

    serial_make(-1, -1);
    ck_nv_ok(nestvirt_device_add(serial_vm, "serial", &second, &error));
    ck_nv_ok(nestvirt_device_set_u64(second, "irq", 3, &error));
    ck_nv_fails_with(nestvirt_vm_build(serial_vm, &error), -EEXIST, "device 1 (serial)");
    ck_nv_ok(nestvirt_device_set_u64(second, "port", 0x2f8, &error));
    ck_nv_ok(nestvirt_device_set_u64(second, "irq", 4, &error));
    ck_nv_fails_with(nestvirt_vm_build(serial_vm, &error), -EEXIST, "interrupt pin 4");
    ck_nv_ok(nestvirt_device_set_u64(second, "irq", 3, &error));
    ck_nv_ok(nestvirt_vm_build(serial_vm, &error));
}
END_TEST

Suite *nv_test_suite(void)
{
    Suite *suite = suite_create("serial");
    TCase *registers = support_case(suite, "registers", 60);
    TCase *others = support_case(suite, "others", 60);

    tcase_add_checked_fixture(registers, setup, teardown);
    tcase_add_test(registers, test_registers_after_reset);
    tcase_add_test(registers, test_registers_keep_their_bits);
    tcase_add_test(registers, test_divisor_latch);
    tcase_add_test(registers, test_fifo);
    tcase_add_test(registers, test_loop_back);
    tcase_add_test(registers, test_hostile_29_wide_accesses);
    tcase_add_test(registers, test_transmit_interrupt_edges);
    tcase_add_test(registers, test_receive_interrupt);
    tcase_add_test(registers, test_receive_interrupt_enabled_late);
    tcase_add_test(registers, test_restart_resets_registers);
    tcase_add_checked_fixture(others, NULL, teardown_vm);
    tcase_add_test(others, test_properties);
    tcase_add_test(others, test_two_ports);
    return suite;
}
