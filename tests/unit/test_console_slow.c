/* SPDX-License-Identifier: Apache-2.0 */
/* Proves the console with readers that are slow or gone, and guests that flood: nobody waits. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "console_guest.h"
#include "core/log.h"
#include "core/util.h"
#include "file_gate.h"

enum { RECEIVE = 0, TRANSMIT = 1, PIPE_SIZE = 4096, CHUNK = 1000 };

static uint8_t bytes[64 * CHUNK];

static void setup(void)
{
    console_begin(GUEST_LOOP);
    console_pattern(bytes, sizeof(bytes), 0);
}

static void setup_without_loop(void)
{
    console_begin(0);
    console_pattern(bytes, sizeof(bytes), 0);
}

/* Port 1 is no terminal: the driver waits without holding a lock, so its output waits as well. */
static void drive_two_ports(void)
{
    ck_assert_int_eq(guest_set_u64(&guest, "ports", 2), 0);
    console_drive_ports(2);
}

static void send_chunks(unsigned port, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        console_send(port, bytes + (size_t)i * CHUNK, CHUNK);
}

/* Takes back what the device used of a queue; returns how many. */
static unsigned count_used(uint32_t queue)
{
    unsigned count = 0;

    while (guest_wait_used(&guest, queue, NULL, NULL, 50))
        count++;
    return count;
}

/* A port's output waits for its reader, in the guest's ring, for as long as it takes. */
START_TEST(test_fault_09_console_port_blocked)
{
    struct console_ends *ends;
    unsigned used;

    console_pipes(0);
    ends = console_pipes(1);
    ck_assert_int_eq(guest_set_u64(&guest, "patience_ms", 1), 0);
    drive_two_ports();
    send_chunks(1, 20);
    used = count_used(console_transmit_queue(1));
    ck_assert_uint_le(used, PIPE_SIZE / CHUNK);
    console_loop_must_rest();
    /* The other port is not held up. */
    console_send_text(0, "free");
    console_must_read(console_of(0)->output, "free", 4);
    ck_assert_uint_eq(guest_get_u64(&guest, "dropped"), 0);
    console_must_read(ends->output, bytes, 20 * CHUNK);
    for (; used < 20; used++)
        console_must_use(console_transmit_queue(1), 0);
    ck_assert_uint_eq(console_wait_counter("sent", 20 * CHUNK + 4), 20 * CHUNK + 4);
    ck_assert_uint_eq(guest_get_u64(&guest, "dropped"), 0);
    console_loop_must_rest();
}
END_TEST

/* A terminal's driver waits with a lock held: after a while its output is dropped instead. */
START_TEST(test_fault_09_console_terminal_blocked)
{
    struct console_ends *ends = console_pipes(0);
    uint64_t sent;

    ck_assert_int_eq(guest_set_u64(&guest, "patience_ms", 200), 0);
    console_drive(GUEST_ALL);
    send_chunks(0, 20);
    for (unsigned i = 0; i < 20; i++)
        console_must_use(TRANSMIT, 0);
    sent = guest_get_u64(&guest, "sent");
    ck_assert_uint_le(sent, PIPE_SIZE);
    ck_assert_uint_eq(guest_get_u64(&guest, "dropped"), 20 * CHUNK - sent);
    console_loop_must_rest();
    /* Once lost, nothing waits for it any more. */
    send_chunks(0, 20);
    for (unsigned i = 0; i < 20; i++)
        console_must_use(TRANSMIT, 0);
    ck_assert_uint_eq(guest_get_u64(&guest, "dropped"), 40 * CHUNK - sent);
    /* A reader that comes back gets what is sent then. */
    console_must_read(ends->output, bytes, sent);
    console_send_text(0, "again");
    console_must_read(ends->output, "again", 5);
    console_must_use(TRANSMIT, 0);
    /* And is waited for as before. */
    ck_assert_int_eq(guest_set_u64(&guest, "patience_ms", 3600000), 0);
    send_chunks(0, 10);
    ck_assert_uint_le(count_used(TRANSMIT), PIPE_SIZE / CHUNK);
    ck_assert_uint_eq(guest_get_u64(&guest, "dropped"), 40 * CHUNK - sent);
}
END_TEST

START_TEST(test_patience_is_live)
{
    console_pipes(0);
    ck_assert_int_eq(guest_set_u64(&guest, "patience_ms", 3600000), 0);
    console_drive(GUEST_ALL);
    send_chunks(0, 10);
    ck_assert_uint_le(count_used(TRANSMIT), PIPE_SIZE / CHUNK);
    ck_assert_uint_eq(guest_get_u64(&guest, "dropped"), 0);
    ck_assert_int_eq(guest_set_u64(&guest, "patience_ms", 0), 0);
    ck_assert_uint_ge(console_wait_counter("dropped", 10 * CHUNK - PIPE_SIZE),
                      10 * CHUNK - PIPE_SIZE);
}
END_TEST

/* The reader is killed while output waits for it: no SIGPIPE, counted, and the guest goes on. */
START_TEST(test_fault_09_console_reader_killed)
{
    static struct console_ends *(*const make[])(unsigned port) = { console_pipes, console_sockets };
    struct console_ends *ends;
    unsigned used;

    console_pipes(0);
    ends = make[_i](1);
    drive_two_ports();
    for (unsigned i = 0; i < 8; i++) /* a socket takes more than a pipe of one page */
        console_send(1, bytes, sizeof(bytes));
    used = count_used(console_transmit_queue(1));
    ck_assert_uint_lt(used, 8);
    close(ends->output);
    if (ends->input == ends->output)
        ends->input = -1;
    ends->output = -1;
    for (; used < 8; used++)
        console_must_use(console_transmit_queue(1), 0);
    ck_assert_uint_eq(guest_get_u64(&guest, "sent") + guest_get_u64(&guest, "dropped"),
                      8 * sizeof(bytes));
    console_send_text(1, "to nobody");
    console_must_use(console_transmit_queue(1), 0);
    console_loop_must_rest();
    console_send_text(0, "alive");
    console_must_read(console_of(0)->output, "alive", 5);
}
END_TEST

/* When the loop has no memory to watch a descriptor, both ways go on after a moment. */
START_TEST(test_fault_11_console_loop_without_memory)
{
    struct console_ends *ends = console_pipes(0);
    uint64_t at;

    ck_assert_int_eq(guest_set_u64(&guest, "patience_ms", 3600000), 0);
    console_drive(GUEST_ALL);
    __atomic_store_n(&console_epoll_errno, ENOMEM, __ATOMIC_SEQ_CST);
    at = console_post(RECEIVE, 10);
    send_chunks(0, 10);
    count_used(TRANSMIT);
    ck_assert_int_eq(write(ends->input, "in", 2), 2);
    console_must_receive(0, at, "in");
    console_must_read(ends->output, bytes, 10 * CHUNK);
    console_loop_must_rest();
    __atomic_store_n(&console_epoll_errno, 0, __ATOMIC_SEQ_CST);
}
END_TEST

/* A reset, a pause and a stop while output waits for its reader. */
START_TEST(test_reset_while_blocked)
{
    struct console_ends *ends;

    console_pipes(0);
    ends = console_pipes(1);
    drive_two_ports();
    send_chunks(1, 20);
    ck_assert_uint_lt(count_used(console_transmit_queue(1)), 20);
    guest_write32(&guest, NV_VIRTIO_REG_STATUS, 0);
    ck_assert_uint_eq(guest_read32(&guest, NV_VIRTIO_REG_STATUS), 0);
    ck_assert_uint_gt(guest_get_u64(&guest, "dropped"), 0);
    console_must_read(ends->output, bytes, guest_get_u64(&guest, "sent"));
    console_must_be_quiet(ends->output, 20);
    ck_assert_int_eq(guest_drive(&guest, GUEST_ALL), 0);
    console_send_text(1, "new");
    console_must_read(ends->output, "new", 3);
}
END_TEST

START_TEST(test_queue_off_while_blocked)
{
    struct console_ends *ends;

    console_pipes(0);
    ends = console_pipes(1);
    drive_two_ports();
    send_chunks(1, 20);
    ck_assert_uint_lt(count_used(console_transmit_queue(1)), 20);
    guest_write32(&guest, NV_VIRTIO_REG_QUEUE_SEL, console_transmit_queue(1));
    guest_write32(&guest, NV_VIRTIO_REG_QUEUE_READY, 0);
    ck_assert_uint_eq(guest_read32(&guest, NV_VIRTIO_REG_QUEUE_READY), 0);
    console_must_read(ends->output, bytes, guest_get_u64(&guest, "sent"));
    console_must_be_quiet(ends->output, 20);
}
END_TEST

START_TEST(test_pause_while_blocked)
{
    struct console_ends *ends;
    uint64_t sent;

    console_pipes(0);
    ends = console_pipes(1);
    drive_two_ports();
    send_chunks(1, 20);
    count_used(console_transmit_queue(1));
    guest_pause(&guest);
    sent = guest_get_u64(&guest, "sent");
    console_must_read(ends->output, bytes, sent);
    console_must_be_quiet(ends->output, 30);
    console_loop_must_rest();
    guest_resume(&guest);
    console_must_read(ends->output, bytes + sent, 20 * CHUNK - sent);
}
END_TEST

START_TEST(test_stop_while_blocked)
{
    console_pipes(0);
    ck_assert_int_eq(guest_set_u64(&guest, "patience_ms", 3600000), 0);
    console_drive(GUEST_ALL);
    console_send(0, bytes, 2 * PIPE_SIZE);
    ck_assert_uint_eq(console_wait_counter("sent", PIPE_SIZE), PIPE_SIZE);
    guest_stop(&guest);
    ck_assert_uint_eq(guest_get_u64(&guest, "dropped"), PIPE_SIZE);
    console_loop_must_rest();
}
END_TEST

/* What the file holds in the end. */
static void check_file(int file, size_t length)
{
    static uint8_t found[sizeof(bytes) + 1];

    ck_assert_int_eq(pread(file, found, sizeof(found), 0), (ssize_t)length);
    ck_assert_mem_eq(found, bytes, length);
}

/* A port whose output goes to a file on a disk that does not answer, and one that goes on. */
static int begin_slow_file(void)
{
    int file = file_gate_new();

    console_pipes(0);
    ck_assert_int_eq(console_set_fd("output", 1, file), 0);
    drive_two_ports();
    file_gate_set(true);
    send_chunks(1, 50);
    file_gate_await();
    return file;
}

/* The disk holds up neither the loop nor the guest's end, and has all of it later. */
START_TEST(test_fault_06_console_slow_file)
{
    int file = begin_slow_file();
    uint64_t begin_ns = nv_now_ns();

    console_send_text(0, "free");
    console_must_read(console_of(0)->output, "free", 4);
    for (unsigned i = 0; i < 50; i++)
        console_must_use(console_transmit_queue(1), 0);
    console_loop_must_rest();
    guest_pause(&guest);
    guest_resume(&guest);
    guest_stop(&guest);
    ck_assert_uint_lt(nv_now_ns() - begin_ns, 10000000000ull);
    file_gate_set(false);
    guest_unbuild(&guest);
    ck_assert_uint_eq(guest_get_u64(&guest, "dropped"), 0);
    check_file(file, 50 * CHUNK);
    close(file);
}
END_TEST

/* More than is kept for the disk waits in the guest's ring. */
START_TEST(test_fault_06_console_slow_file_is_bounded)
{
    int file = begin_slow_file();
    unsigned used = count_used(console_transmit_queue(1));

    ck_assert_uint_eq(used, 50);
    for (unsigned i = 50; i < 72; i++)
        console_send(1, bytes + (size_t)(i % 64) * CHUNK, CHUNK);
    used += count_used(console_transmit_queue(1));
    ck_assert_uint_ge(used, 64);
    ck_assert_uint_lt(used, 72);
    console_loop_must_rest();
    file_gate_set(false);
    for (; used < 72; used++)
        console_must_use(console_transmit_queue(1), 0);
    guest_stop(&guest);
    ck_assert_int_eq(lseek(file, 0, SEEK_END), 72 * CHUNK);
    ck_assert_uint_eq(guest_get_u64(&guest, "dropped"), 0);
    close(file);
}
END_TEST

/* In a file on a disk that answers, all of it is there as soon as the guest has stopped. */
START_TEST(test_stop_completes_file)
{
    int file = file_gate_new();

    ck_assert_int_eq(console_set_fd("output", 0, file), 0);
    console_drive(GUEST_ALL);
    send_chunks(0, 60);
    guest_stop(&guest);
    check_file(file, 60 * CHUNK);
    ck_assert_uint_eq(guest_get_u64(&guest, "dropped"), 0);
    close(file);
}
END_TEST

/* One request of 250 MiB. */
static void send_giant(unsigned port)
{
    enum { PARTS = 1000, LENGTH = 0x40000, AT = 0x80000 };
    struct guest_part *parts = calloc(PARTS, sizeof(*parts));

    for (uint32_t i = 0; i < PARTS; i++)
        parts[i] = (struct guest_part){ AT, LENGTH, false };
    ck_assert_int_ge(guest_add_indirect(&guest, console_transmit_queue(port), 0, parts, PARTS), 0);
    guest_kick(&guest, console_transmit_queue(port));
    free(parts);
}

/* Giant output is written piece by piece, and others have their turn in between. */
START_TEST(test_hostile_44_console_giant_request)
{
    int null = open("/dev/null", O_WRONLY | O_CLOEXEC);

    console_pipes(0);
    ck_assert_int_eq(console_set_fd("output", 1, null), 0);
    close(null);
    drive_two_ports();
    send_giant(1);
    console_send_text(0, "between");
    console_must_read(console_of(0)->output, "between", 7);
    console_must_use(console_transmit_queue(1), 0);
    ck_assert_uint_eq(console_wait_counter("sent", 1000ull * 0x40000 + 7), 1000ull * 0x40000 + 7);
}
END_TEST

START_TEST(test_hostile_44_console_giant_request_dropped)
{
    struct console_ends *ends = console_pipes(0);

    ck_assert_int_eq(guest_set_u64(&guest, "patience_ms", 0), 0);
    console_drive(GUEST_ALL);
    send_giant(0);
    console_must_use(TRANSMIT, 0);
    ck_assert_uint_eq(guest_get_u64(&guest, "dropped") + guest_get_u64(&guest, "sent"),
                      1000ull * 0x40000);
    ck_assert_int_eq(fcntl(ends->output, F_GETPIPE_SZ), PIPE_SIZE);
}
END_TEST

/* The limit holds whatever the guest does, and is paid by what is written. */
START_TEST(test_hostile_44_console_flood_is_limited)
{
    struct console_ends *ends = console_sockets(0);
    struct pollfd poller = { .fd = ends->output, .events = POLLIN };
    uint64_t begin_ns;
    uint64_t elapsed_ms;
    uint64_t received = 0;

    ck_assert_int_eq(guest_set_u64(&guest, "tx_bytes", 1000), 0);
    ck_assert_int_eq(guest_set_u64(&guest, "tx_bytes_refill_ms", 100), 0);
    console_drive(GUEST_ALL);
    begin_ns = nv_now_ns();
    for (unsigned i = 0; i < 50; i++) {
        console_add(0, bytes, 100);
        guest_kick(&guest, TRANSMIT);
    }
    while (received < 3000 && poll(&poller, 1, CONSOLE_WAIT_MS) == 1) {
        uint8_t buffer[256];
        ssize_t r = read(ends->output, buffer, sizeof(buffer));

        ck_assert_int_gt(r, 0);
        received += (uint64_t)r;
        for (unsigned k = 0; k < 10; k++)
            guest_kick(&guest, TRANSMIT);
    }
    elapsed_ms = (nv_now_ns() - begin_ns) / 1000000;
    ck_assert_uint_ge(received, 3000);
    /* A full bucket at first, one write that is paid later, and 10 bytes a millisecond. */
    ck_assert_uint_le(received, 1000 + 200 + 10 * (elapsed_ms + 1));
    /* Lifted while output waits. */
    ck_assert_int_eq(guest_set_u64(&guest, "tx_bytes", 0), 0);
    ck_assert_uint_eq(console_wait_counter("sent", 5000), 5000);
    ck_assert_uint_eq(guest_get_u64(&guest, "dropped"), 0);
}
END_TEST

/* Notifications without requests, and requests without bytes, cost a pass each and no more. */
START_TEST(test_hostile_44_console_empty_flood)
{
    console_pipes(0);
    console_drive(GUEST_ALL);
    for (unsigned round = 0; round < 1000; round++) {
        for (unsigned i = 0; i < 60; i++) {
            ck_assert_int_ge(
                guest_add(&guest, TRANSMIT, &(struct guest_part){ 0x1000, 0, false }, 1), 0);
            guest_kick(&guest, TRANSMIT);
        }
        for (unsigned i = 0; i < 60; i++)
            console_must_use(TRANSMIT, 0);
    }
    ck_assert_uint_eq(guest_get_u64(&guest, "sent"), 0);
    ck_assert_uint_eq(guest_get_u64(&guest, "faults"), 0);
    console_loop_must_rest();
}
END_TEST

/* A writer that floods is held back by the pipe; the device takes only what the guest has room for.
 */
START_TEST(test_input_flood)
{
    struct console_ends *ends = console_pipes(0);
    struct pollfd poller = { .fd = ends->input, .events = POLLOUT };
    uint64_t written = 0;

    ck_assert_int_eq(fcntl(ends->input, F_SETFL, O_NONBLOCK), 0);
    console_drive(GUEST_ALL);
    while (poll(&poller, 1, 50) == 1) {
        ssize_t r = write(ends->input, bytes, sizeof(bytes));

        if (r < 0)
            break;
        written += (uint64_t)r;
        ck_assert_uint_le(written, 1 << 20);
    }
    console_loop_must_rest();
    ck_assert_uint_eq(guest_get_u64(&guest, "received"), 0);
    for (unsigned i = 0; i < 16; i++)
        console_post(RECEIVE, 100);
    for (unsigned i = 0; i < 16; i++)
        console_must_use(RECEIVE, 100);
    ck_assert_uint_eq(guest_get_u64(&guest, "received"), 1600);
}
END_TEST

/* Receive buffers without room, or with readable bytes only, are given back empty. */
START_TEST(test_input_without_room)
{
    struct console_ends *ends = console_pipes(0);
    uint64_t at;

    console_drive(GUEST_ALL);
    ck_assert_int_eq(write(ends->input, "abc", 3), 3);
    console_post(RECEIVE, 0);
    ck_assert_int_ge(guest_add(&guest, RECEIVE, &(struct guest_part){ 0x1000, 10, false }, 1), 0);
    guest_kick(&guest, RECEIVE);
    console_must_use(RECEIVE, 0);
    console_must_use(RECEIVE, 0);
    at = console_post(RECEIVE, 10);
    console_must_receive(0, at, "abc");
}
END_TEST

/* Without a loop a reader that does not take holds the chain until the next notification. */
START_TEST(test_blocked_without_loop)
{
    struct console_ends *ends = console_pipes(0);

    ck_assert_int_eq(guest_set_u64(&guest, "patience_ms", 3600000), 0);
    console_drive(GUEST_ALL);
    console_send(0, bytes, 2 * PIPE_SIZE);
    ck_assert(!guest_used(&guest, TRANSMIT, NULL, NULL));
    console_must_read(ends->output, bytes, PIPE_SIZE);
    guest_kick(&guest, TRANSMIT);
    ck_assert(guest_used(&guest, TRANSMIT, NULL, NULL));
    console_must_read(ends->output, bytes + PIPE_SIZE, PIPE_SIZE);
}
END_TEST

Suite *nv_test_suite(void)
{
    Suite *suite = suite_create("console_slow");
    TCase *tcase = support_case(suite, "slow", 120);

    tcase_add_checked_fixture(tcase, setup, console_end);
    tcase_add_test(tcase, test_fault_09_console_port_blocked);
    tcase_add_test(tcase, test_fault_09_console_terminal_blocked);
    tcase_add_test(tcase, test_patience_is_live);
    tcase_add_loop_test(tcase, test_fault_09_console_reader_killed, 0, 2);
    tcase_add_test(tcase, test_fault_11_console_loop_without_memory);
    tcase_add_test(tcase, test_reset_while_blocked);
    tcase_add_test(tcase, test_queue_off_while_blocked);
    tcase_add_test(tcase, test_pause_while_blocked);
    tcase_add_test(tcase, test_stop_while_blocked);
    tcase_add_test(tcase, test_fault_06_console_slow_file);
    tcase_add_test(tcase, test_fault_06_console_slow_file_is_bounded);
    tcase_add_test(tcase, test_stop_completes_file);
    tcase_add_test(tcase, test_hostile_44_console_giant_request);
    tcase_add_test(tcase, test_hostile_44_console_giant_request_dropped);
    tcase_add_test(tcase, test_hostile_44_console_flood_is_limited);
    tcase_add_test(tcase, test_hostile_44_console_empty_flood);
    tcase_add_test(tcase, test_input_flood);
    tcase_add_test(tcase, test_input_without_room);
    tcase = support_case(suite, "without loop", 60);
    tcase_add_checked_fixture(tcase, setup_without_loop, console_end);
    tcase_add_test(tcase, test_blocked_without_loop);
    return suite;
}
