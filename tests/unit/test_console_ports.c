/* SPDX-License-Identifier: Apache-2.0 */
/* Proves the console with several ports: control messages, names, opening and closing, hostility.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "console_guest.h"
#include "core/util.h"

enum { F_SIZE = 1 << 0, F_MULTIPORT = 1 << 1, PORTS = 4 };

static void setup(void)
{
    console_begin(GUEST_LOOP);
    ck_assert_int_eq(guest_set_u64(&guest, "ports", 3), 0);
    for (unsigned i = 0; i < 3; i++)
        console_pipes(i);
}

static void setup_plain(void)
{
    console_begin(GUEST_LOOP);
}

static void post_control(unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        console_post(CONTROL_RECEIVE, 80);
}

START_TEST(test_handshake)
{
    static const uint8_t size[] = { 80, 0, 25, 0 };

    ck_assert_int_eq(console_set_text("name", 1, "org.test.1"), 0);
    ck_assert_int_eq(guest_set_u64(&guest, "cols", 80), 0);
    ck_assert_int_eq(guest_set_u64(&guest, "rows", 25), 0);
    console_drive(GUEST_ALL);
    ck_assert_uint_eq(guest.features & 7, 7);
    ck_assert_uint_eq(guest.virtio->queue_count, 8);
    ck_assert_uint_eq(guest_config(&guest, PORTS, 4), 3);
    post_control(16);
    console_must_hear_nothing();
    console_control(UINT32_MAX, DEVICE_READY, 1);
    for (uint32_t i = 0; i < 3; i++)
        console_must_hear(i, PORT_ADD, 1, NULL, 0);
    console_must_hear_nothing();
    console_control(0, PORT_READY, 1);
    console_must_hear(0, CONSOLE_PORT, 1, NULL, 0);
    console_must_hear(0, RESIZE, 1, size, sizeof(size));
    console_must_hear(0, PORT_OPEN, 1, NULL, 0);
    console_control(1, PORT_READY, 1);
    console_must_hear(1, PORT_NAME, 1, "org.test.1", 10);
    console_must_hear(1, PORT_OPEN, 1, NULL, 0);
    console_control(2, PORT_READY, 1);
    console_must_hear(2, PORT_OPEN, 1, NULL, 0);
    console_must_hear_nothing();
    ck_assert_uint_eq(guest_get_u64(&guest, "malformed"), 0);
}
END_TEST

/* Messages wait until the guest has room for them, and never pile up. */
START_TEST(test_messages_wait_for_buffers)
{
    console_drive(GUEST_ALL);
    for (unsigned i = 0; i < 100; i++)
        console_control(UINT32_MAX, DEVICE_READY, 1);
    post_control(1);
    console_must_hear(0, PORT_ADD, 1, NULL, 0);
    post_control(16);
    console_must_hear(1, PORT_ADD, 1, NULL, 0);
    console_must_hear(2, PORT_ADD, 1, NULL, 0);
    console_must_hear_nothing();
}
END_TEST

START_TEST(test_streams)
{
    uint64_t at[3];

    console_drive_ports(3);
    for (unsigned i = 0; i < 3; i++)
        at[i] = console_post(console_receive_queue(i), 10);
    for (unsigned i = 0; i < 3; i++) {
        char text[] = "port 0";

        text[5] = (char)('0' + i);
        console_send_text(i, text);
        console_must_read(console_of(i)->output, text, 6);
        ck_assert_int_eq(write(console_of(i)->input, text, 6), 6);
        console_must_receive(i, at[i], text);
    }
    for (unsigned i = 0; i < 3; i++)
        console_must_be_quiet(console_of(i)->output, 5);
    console_loop_must_rest();
}
END_TEST

/* A port that the guest has not opened gets nothing: its driver would throw it away. */
START_TEST(test_input_only_while_open)
{
    uint64_t at;

    console_drive_ports(3);
    at = console_post(console_receive_queue(1), 10);
    console_post(console_receive_queue(1), 10);
    console_control(1, PORT_OPEN, 0);
    ck_assert_int_eq(write(console_of(1)->input, "early", 5), 5);
    console_must_not_use(console_receive_queue(1), 20);
    console_loop_must_rest();
    console_control(1, PORT_OPEN, 1);
    console_must_receive(1, at, "early");
    console_control(1, PORT_OPEN, 0);
    ck_assert_int_eq(write(console_of(1)->input, "late", 4), 4);
    console_must_not_use(console_receive_queue(1), 20);
}
END_TEST

/* The end of the input closes a port for the guest; a terminal stays open. */
START_TEST(test_input_ends)
{
    uint64_t at;

    console_drive_ports(3);
    at = console_post(console_receive_queue(1), 10);
    console_post(console_receive_queue(1), 10);
    console_post(console_receive_queue(0), 10);
    ck_assert_int_eq(write(console_of(1)->input, "bye", 3), 3);
    for (unsigned i = 0; i < 2; i++) {
        close(console_of(i)->input);
        console_of(i)->input = -1;
    }
    console_must_receive(1, at, "bye");
    console_must_hear(1, PORT_OPEN, 0, NULL, 0);
    console_must_not_use(console_receive_queue(0), 20);
    console_must_hear_nothing();
    console_loop_must_rest();
    /* Output still goes out, and the next driver is told the same. */
    console_send_text(1, "answer");
    console_must_read(console_of(1)->output, "answer", 6);
    guest_reset(&guest);
    ck_assert_int_eq(guest_drive(&guest, GUEST_ALL), 0);
    post_control(16);
    console_control(1, PORT_READY, 1);
    console_must_hear(1, PORT_OPEN, 0, NULL, 0);
}
END_TEST

START_TEST(test_resize)
{
    static const uint8_t both[] = { 132, 0, 43, 0 };
    uint64_t interrupts;

    console_drive_ports(3);
    interrupts = guest_interrupts(&guest);
    ck_assert_int_eq(guest_set_u64(&guest, "cols", 132), 0);
    console_must_hear_nothing(); /* rows are not known yet */
    ck_assert_int_eq(guest_set_u64(&guest, "rows", 43), 0);
    console_must_hear(0, RESIZE, 1, both, sizeof(both));
    console_must_hear_nothing();
    ck_assert_uint_ge(guest_interrupts(&guest), interrupts + 2);
    ck_assert_uint_eq(guest_config(&guest, 0, 4), 132 | 43 << 16);
}
END_TEST

START_TEST(test_resize_rows_first)
{
    static const uint8_t both[] = { 43, 0, 132, 0 };

    ck_assert_int_eq(guest_set_u64(&guest, "rows_first", 1), 0);
    console_drive_ports(3);
    ck_assert_int_eq(guest_set_u64(&guest, "cols", 132), 0);
    ck_assert_int_eq(guest_set_u64(&guest, "rows", 43), 0);
    console_must_hear(0, RESIZE, 1, both, sizeof(both));
    ck_assert_uint_eq(guest_config(&guest, 0, 4), 132 | 43 << 16); /* always in this order */
}
END_TEST

/* A driver that knows no ports uses port 0, as a terminal, and nothing else. */
START_TEST(test_driver_without_ports)
{
    uint64_t at;

    ck_assert_int_eq(guest_set_u64(&guest, "consoles", 0), 0);
    console_drive(F_SIZE);
    at = console_post(0, 10);
    ck_assert_int_eq(write(console_of(0)->input, "in", 2), 2);
    console_must_receive(0, at, "in");
    console_send_text(0, "out");
    console_must_read(console_of(0)->output, "out", 3);
    console_send_text(1, "nowhere");
    post_control(4);
    guest_kick(&guest, CONTROL_TRANSMIT);
    console_must_not_use(console_transmit_queue(1), 20);
    console_must_hear_nothing();
    ck_assert_int_eq(guest_set_u64(&guest, "cols", 80), 0);
    ck_assert_int_eq(guest_set_u64(&guest, "rows", 25), 0);
    console_must_hear_nothing();
}
END_TEST

START_TEST(test_eight_ports)
{
    uint64_t at;

    ck_assert_int_eq(guest_set_u64(&guest, "ports", 8), 0);
    ck_assert_int_eq(guest_set_u64(&guest, "consoles", 8), 0);
    console_pipes(7);
    guest.ring_size = 32;
    console_drive_ports(8);
    ck_assert_uint_eq(guest.virtio->queue_count, 18);
    at = console_post(console_receive_queue(7), 10);
    ck_assert_int_eq(write(console_of(7)->input, "in", 2), 2);
    console_must_receive(7, at, "in");
    console_send_text(7, "out");
    console_must_read(console_of(7)->output, "out", 3);
}
END_TEST

/* A single port with a name has control messages, or nobody would learn it. */
START_TEST(test_single_named_port)
{
    ck_assert_int_eq(console_set_text("name", 0, "only"), 0);
    ck_assert_int_eq(guest_set_u64(&guest, "consoles", 0), 0);
    console_drive(GUEST_ALL);
    ck_assert_uint_eq(guest.virtio->queue_count, 4);
    post_control(4);
    console_control(0, PORT_READY, 1);
    console_must_hear(0, PORT_NAME, 1, "only", 4);
    console_must_hear(0, PORT_OPEN, 1, NULL, 0);
    console_must_hear_nothing();
}
END_TEST

static void send_control(const void *bytes, uint32_t length)
{
    uint64_t buffer = guest_alloc(&guest, length);

    ck_assert(buffer);
    memcpy(guest_mem(&guest, buffer, length), bytes, length);
    ck_assert_int_ge(
        guest_add(&guest, CONTROL_TRANSMIT, &(struct guest_part){ buffer, length, false }, 1), 0);
    guest_kick(&guest, CONTROL_TRANSMIT);
    console_must_use(CONTROL_TRANSMIT, 0);
}

START_TEST(test_hostile_44_console_bad_control)
{
    uint8_t bytes[4096] = { 0 };

    console_drive(GUEST_ALL);
    post_control(16);
    console_control(3, PORT_READY, 1); /* no such port */
    console_control(UINT32_MAX, PORT_OPEN, 1);
    console_control(0x80000000, PORT_READY, 0);
    for (uint16_t event = 0; event < 100; event++) /* the device's own, and unknown ones */
        if (event != DEVICE_READY && event != PORT_READY && event != PORT_OPEN)
            console_control(0, event, 1);
    console_control(0, UINT16_MAX, UINT16_MAX);
    ck_assert_uint_eq(guest_get_u64(&guest, "malformed"), 3 + 97 + 1);
    send_control(bytes, 7); /* short */
    send_control(bytes, 1);
    ck_assert_uint_eq(guest_get_u64(&guest, "malformed"), 103);
    ck_assert_int_ge(
        guest_add(&guest, CONTROL_TRANSMIT, &(struct guest_part){ 0x1000, 64, true }, 1), 0);
    guest_kick(&guest, CONTROL_TRANSMIT);
    console_must_use(CONTROL_TRANSMIT, 0);
    ck_assert_uint_eq(guest_get_u64(&guest, "malformed"), 104);
    console_must_hear_nothing();
    /* A long one is a message with something behind it. */
    bytes[4] = DEVICE_READY;
    bytes[6] = 1;
    send_control(bytes, sizeof(bytes));
    console_must_hear(0, PORT_ADD, 1, NULL, 0);
    ck_assert_uint_eq(guest_get_u64(&guest, "faults"), 0);
    ck_assert_uint_eq(guest_log_lines(&guest), 0);
}
END_TEST

/* A receive buffer without room for its message is given back empty; the message is lost. */
START_TEST(test_hostile_44_console_small_control_buffer)
{
    console_drive(GUEST_ALL);
    console_post(CONTROL_RECEIVE, 7);
    ck_assert_int_ge(
        guest_add(&guest, CONTROL_RECEIVE, &(struct guest_part){ 0x1000, 64, false }, 1), 0);
    post_control(1);
    console_control(UINT32_MAX, DEVICE_READY, 1);
    console_must_use(CONTROL_RECEIVE, 0);
    console_must_use(CONTROL_RECEIVE, 0);
    console_must_hear(2, PORT_ADD, 1, NULL, 0);
    ck_assert_uint_eq(guest_get_u64(&guest, "malformed"), 2);
}
END_TEST

START_TEST(test_hostile_44_console_control_flood)
{
    static const uint16_t events[] = { DEVICE_READY, PORT_READY, PORT_OPEN };
    uint64_t heap;

    console_drive(GUEST_ALL);
    heap = guest.heap;
    for (unsigned i = 0; i < 20000; i++) {
        guest.heap = heap;
        console_control(i % 4, events[i % 3], i / 3 % 2);
    }
    ck_assert_uint_ge(guest_get_u64(&guest, "malformed"), 1);
    ck_assert_uint_eq(guest_get_u64(&guest, "faults"), 0);
    console_loop_must_rest();
    /* Everything that was to be told are a few events of each port. */
    post_control(48);
    for (unsigned i = 0; guest_wait_used(&guest, CONTROL_RECEIVE, NULL, NULL, 50); i++)
        ck_assert_uint_lt(i, 3 * 5);
}
END_TEST

/* The driver goes through its handshake again and again, with input and output under way. */
START_TEST(test_driver_again_and_again)
{
    for (unsigned round = 0; round < 20; round++) {
        uint64_t at;

        if (round == 0) {
            console_drive_ports(3);
        } else {
            guest_reset(&guest);
            ck_assert_int_eq(guest_drive(&guest, GUEST_ALL), 0);
            post_control(16);
            console_control(1, PORT_READY, 1);
            console_control(1, PORT_OPEN, 1);
        }
        at = console_post(console_receive_queue(1), 10);
        ck_assert_int_eq(write(console_of(1)->input, "in", 2), 2);
        console_must_receive(1, at, "in");
        console_send_text(1, "out");
        console_must_read(console_of(1)->output, "out", 3);
    }
}
END_TEST

Suite *nv_test_suite(void)
{
    Suite *suite = suite_create("console_ports");
    TCase *tcase = support_case(suite, "ports", 120);

    tcase_add_checked_fixture(tcase, setup, console_end);
    tcase_add_test(tcase, test_handshake);
    tcase_add_test(tcase, test_messages_wait_for_buffers);
    tcase_add_test(tcase, test_streams);
    tcase_add_test(tcase, test_input_only_while_open);
    tcase_add_test(tcase, test_input_ends);
    tcase_add_test(tcase, test_resize);
    tcase_add_test(tcase, test_resize_rows_first);
    tcase_add_test(tcase, test_driver_without_ports);
    tcase_add_test(tcase, test_eight_ports);
    tcase_add_test(tcase, test_hostile_44_console_bad_control);
    tcase_add_test(tcase, test_hostile_44_console_small_control_buffer);
    tcase_add_test(tcase, test_hostile_44_console_control_flood);
    tcase_add_test(tcase, test_driver_again_and_again);
    tcase = support_case(suite, "one port", 60);
    tcase_add_checked_fixture(tcase, setup_plain, console_end);
    tcase_add_test(tcase, test_single_named_port);
    return suite;
}
