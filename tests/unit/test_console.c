/* SPDX-License-Identifier: Apache-2.0 */
/* Proves the console with one terminal: streams both ways, its size, emergency writes, its life. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "console_guest.h"
#include "core/util.h"

enum { COLS = 0, ROWS = 2, PORTS = 4, EMERGENCY = 8, RECEIVE = 0, TRANSMIT = 1 };
enum { F_SIZE = 1 << 0, F_MULTIPORT = 1 << 1, F_EMERG_WRITE = 1 << 2 };

static void setup(void)
{
    console_begin(GUEST_LOOP);
}

static void setup_without_loop(void)
{
    console_begin(0);
}

static int memory_file(const char *text)
{
    int fd = memfd_create("test", MFD_CLOEXEC);

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    ck_assert_int_eq(lseek(fd, 0, SEEK_SET), 0);
    return fd;
}

START_TEST(test_output_and_input)
{
    struct console_ends *ends = console_pipes(0);
    uint64_t at;

    console_drive(GUEST_ALL);
    ck_assert_uint_eq(guest.features & 7, F_SIZE | F_EMERG_WRITE);
    ck_assert_uint_eq(guest.virtio->queue_count, 2);
    console_send_text(0, "hello ");
    console_send_text(0, "world");
    console_must_read(ends->output, "hello world", 11);
    console_must_use(TRANSMIT, 0);
    console_must_use(TRANSMIT, 0);
    ck_assert_uint_eq(guest_get_u64(&guest, "sent"), 11);

    at = console_post(RECEIVE, 100);
    console_must_not_use(RECEIVE, 20);
    ck_assert_int_eq(write(ends->input, "typed", 5), 5);
    console_must_receive(0, at, "typed");
    ck_assert_uint_eq(guest_get_u64(&guest, "received"), 5);
    ck_assert_uint_eq(guest_get_u64(&guest, "dropped"), 0);
    console_loop_must_rest();
}
END_TEST

/* Input that comes before the guest has room waits in the pipe. */
START_TEST(test_input_before_buffers)
{
    struct console_ends *ends = console_pipes(0);
    uint64_t first;
    uint64_t second;

    console_drive(GUEST_ALL);
    ck_assert_int_eq(write(ends->input, "abcdefgh", 8), 8);
    console_loop_must_rest();
    first = console_post(RECEIVE, 5);
    console_must_receive(0, first, "abcde");
    console_loop_must_rest();
    second = console_post(RECEIVE, 5);
    console_must_receive(0, second, "fgh");
}
END_TEST

START_TEST(test_scattered_output)
{
    enum { LENGTH = 50000 };
    struct console_ends *ends = console_sockets(0);
    uint8_t *bytes = malloc(LENGTH);
    uint64_t base;
    struct guest_part parts[5];

    console_drive(GUEST_ALL);
    base = guest_alloc(&guest, LENGTH);
    console_pattern(bytes, LENGTH, 0);
    memcpy(guest_mem(&guest, base, LENGTH), bytes, LENGTH);
    parts[0] = (struct guest_part){ base, 1, false };
    parts[1] = (struct guest_part){ base + 1, 40000, false };
    parts[2] = (struct guest_part){ base + 40001, 0, false };
    parts[3] = (struct guest_part){ base + 40001, 9999, false };
    parts[4] = (struct guest_part){ base, 100, true }; /* means nothing here */
    ck_assert_int_ge(guest_add(&guest, TRANSMIT, parts, 5), 0);
    guest_kick(&guest, TRANSMIT);
    console_must_read(ends->output, bytes, LENGTH);
    console_must_use(TRANSMIT, 0);
    console_must_be_quiet(ends->output, 10);
    ck_assert_uint_eq(guest_get_u64(&guest, "sent"), LENGTH);
    free(bytes);
}
END_TEST

START_TEST(test_without_descriptors)
{
    console_drive(GUEST_ALL);
    console_post(RECEIVE, 10);
    console_send_text(0, "to nobody");
    console_must_use(TRANSMIT, 0);
    console_must_not_use(RECEIVE, 10);
    guest_set_config(&guest, EMERGENCY, 4, 'x');
    ck_assert_uint_eq(guest_get_u64(&guest, "sent"), 0);
    ck_assert_uint_eq(guest_get_u64(&guest, "dropped"), 0);
}
END_TEST

START_TEST(test_files)
{
    int output = memory_file("");
    int input = memory_file("from a file");
    char bytes[16] = "";
    uint64_t at;

    ck_assert_int_eq(console_set_fd("output", 0, output), 0);
    ck_assert_int_eq(console_set_fd("input", 0, input), 0);
    console_drive(GUEST_ALL);
    at = console_post(RECEIVE, 6);
    console_must_receive(0, at, "from a");
    at = console_post(RECEIVE, 100);
    console_must_receive(0, at, " file");
    console_post(RECEIVE, 100);
    console_must_not_use(RECEIVE, 20); /* its end: a terminal goes on */
    console_send_text(0, "to a file");
    console_must_use(TRANSMIT, 0);
    guest_stop(&guest);
    ck_assert_int_eq(pread(output, bytes, sizeof(bytes), 0), 9);
    ck_assert_str_eq(bytes, "to a file");
    close(output);
    close(input);
}
END_TEST

/* A descriptor that can be neither read nor written: nothing comes, and output is dropped. */
START_TEST(test_wrong_direction)
{
    int pair[2];

    ck_assert_int_eq(pipe2(pair, O_CLOEXEC), 0);
    ck_assert_int_eq(console_set_fd("output", 0, pair[0]), 0);
    ck_assert_int_eq(console_set_fd("input", 0, pair[1]), 0);
    console_drive(GUEST_ALL);
    console_post(RECEIVE, 10);
    console_send_text(0, "abc");
    console_must_use(TRANSMIT, 0);
    ck_assert_uint_eq(guest_get_u64(&guest, "dropped"), 3);
    console_must_not_use(RECEIVE, 10);
    console_loop_must_rest();
    close(pair[0]);
    close(pair[1]);
}
END_TEST

/* More buffers than a pass fills: the rest is filled by the next one. */
START_TEST(test_many_buffers)
{
    enum { COUNT = 500 };
    int zero = open("/dev/zero", O_RDONLY | O_CLOEXEC);

    ck_assert_int_eq(console_set_fd("input", 0, zero), 0);
    close(zero);
    ck_assert_int_eq(guest_set_u64(&guest, "queue_size", 512), 0);
    guest.ring_size = 512;
    console_drive(GUEST_ALL);
    for (unsigned i = 0; i < COUNT; i++)
        ck_assert_int_ge(
            guest_add(&guest, RECEIVE, &(struct guest_part){ 0x80000, 1 + i % 9, true }, 1), 0);
    guest_kick(&guest, RECEIVE);
    for (unsigned i = 0; i < COUNT; i++)
        console_must_use(RECEIVE, 1 + i % 9);
    console_loop_must_rest();
}
END_TEST

START_TEST(test_input_ends)
{
    struct console_ends *ends = console_pipes(0);
    uint64_t at;

    console_drive(GUEST_ALL);
    at = console_post(RECEIVE, 10);
    console_post(RECEIVE, 10);
    ck_assert_int_eq(write(ends->input, "last", 4), 4);
    close(ends->input);
    ends->input = -1;
    console_must_receive(0, at, "last");
    console_must_not_use(RECEIVE, 20);
    console_loop_must_rest();
    console_send_text(0, "still here");
    console_must_read(ends->output, "still here", 10);
}
END_TEST

START_TEST(test_size)
{
    uint32_t generation;
    uint64_t interrupts;

    ck_assert_int_eq(guest_set_u64(&guest, "cols", 80), 0);
    ck_assert_int_eq(guest_set_u64(&guest, "rows", 25), 0);
    console_drive(GUEST_ALL);
    ck_assert_uint_eq(guest_config(&guest, COLS, 2), 80);
    ck_assert_uint_eq(guest_config(&guest, ROWS, 2), 25);
    ck_assert_uint_eq(guest_config(&guest, PORTS, 4), 1);
    ck_assert_uint_eq(guest_config(&guest, EMERGENCY, 4), 0);
    generation = guest_read32(&guest, NV_VIRTIO_REG_CONFIG_GENERATION);
    interrupts = guest_interrupts(&guest);
    ck_assert_int_eq(guest_set_u64(&guest, "cols", 132), 0);
    ck_assert_uint_ne(guest_read32(&guest, NV_VIRTIO_REG_CONFIG_GENERATION), generation);
    ck_assert_uint_eq(guest_interrupts(&guest), interrupts + 1);
    ck_assert_uint_eq(guest_read32(&guest, NV_VIRTIO_REG_INTERRUPT_STATUS) & 2, 2);
    ck_assert_uint_eq(guest_config(&guest, COLS, 4), 132 | 25 << 16);
    ck_assert_int_eq(guest_set_u64(&guest, "cols", 65536), -EINVAL);
    /* Not the guest's to write. */
    guest_set_config(&guest, COLS, 4, 0);
    guest_set_config(&guest, PORTS, 4, 99);
    ck_assert_uint_eq(guest_config(&guest, COLS, 4), 132 | 25 << 16);
    ck_assert_uint_eq(guest_config(&guest, PORTS, 4), 1);
    ck_assert_uint_eq(guest_get_u64(&guest, "ignored"), 2);
}
END_TEST

START_TEST(test_hostile_44_console_emergency)
{
    struct console_ends *ends = console_pipes(0);
    char bytes[1024];

    ck_assert_int_eq(guest_wire(&guest), 0);
    guest_start(&guest);
    /* Before any driver, of any width. */
    guest_set_config(&guest, EMERGENCY, 4, 0x12345600 | 'a');
    guest_set_config(&guest, EMERGENCY, 2, 'b');
    guest_set_config(&guest, EMERGENCY, 1, 'c');
    guest_set_config(&guest, EMERGENCY + 1, 1, 'x');
    guest_set_config(&guest, EMERGENCY + 4, 4, 'x');
    guest_set_config(&guest, EMERGENCY + 2, 4, 'x');
    console_must_read(ends->output, "abc", 3);
    console_must_be_quiet(ends->output, 10);
    /* With nobody who reads, it neither waits nor grows. */
    for (unsigned i = 0; i < 20000; i++)
        guest_set_config(&guest, EMERGENCY, 4, 'y');
    ck_assert_uint_eq(guest_get_u64(&guest, "sent") + guest_get_u64(&guest, "dropped"), 20003);
    ck_assert_uint_ge(guest_get_u64(&guest, "dropped"), 10000);
    memset(bytes, 'y', sizeof(bytes));
    console_must_read(ends->output, bytes, sizeof(bytes));
}
END_TEST

START_TEST(test_emergency_is_limited_too)
{
    console_pipes(0);
    ck_assert_int_eq(guest_set_u64(&guest, "tx_bytes", 10), 0);
    ck_assert_int_eq(guest_set_u64(&guest, "tx_bytes_refill_ms", 3600000), 0);
    console_drive(GUEST_ALL);
    for (unsigned i = 0; i < 100; i++)
        guest_set_config(&guest, EMERGENCY, 4, 'y');
    ck_assert_uint_le(guest_get_u64(&guest, "sent"), 11);
    ck_assert_uint_ge(guest_get_u64(&guest, "dropped"), 89);
}
END_TEST

/* What the guest sent and no pass has seen comes out when the VM stops. */
START_TEST(test_stop_flushes)
{
    struct console_ends *ends = console_pipes(0);

    console_drive(GUEST_ALL);
    console_add(0, "power ", 6);
    console_add(0, "down", 4);
    guest_stop(&guest);
    console_must_read(ends->output, "power down", 10);
    console_add(0, "later", 5);
    guest_kick(&guest, TRANSMIT);
    console_must_be_quiet(ends->output, 20);
}
END_TEST

START_TEST(test_pause)
{
    struct console_ends *ends = console_pipes(0);
    uint64_t at;

    console_drive(GUEST_ALL);
    at = console_post(RECEIVE, 10);
    console_must_not_use(RECEIVE, 10);
    guest_pause(&guest);
    console_send_text(0, "held");
    ck_assert_int_eq(write(ends->input, "in", 2), 2);
    console_must_be_quiet(ends->output, 30);
    console_must_not_use(RECEIVE, 10);
    console_loop_must_rest();
    guest_resume(&guest);
    console_must_read(ends->output, "held", 4);
    console_must_receive(0, at, "in");
}
END_TEST

START_TEST(test_guest_reset)
{
    struct console_ends *ends = console_pipes(0);
    uint64_t at;

    console_drive(GUEST_ALL);
    console_post(RECEIVE, 10);
    console_must_not_use(RECEIVE, 10);
    for (unsigned i = 0; i < 100; i++) {
        guest_reset(&guest);
        ck_assert_int_eq(guest_drive(&guest, i % 2 ? GUEST_ALL : 0), 0);
        at = console_post(RECEIVE, 10);
        ck_assert_int_eq(write(ends->input, "in", 2), 2);
        console_send_text(0, "out");
        console_must_read(ends->output, "out", 3);
        console_must_receive(0, at, "in");
    }
    ck_assert_uint_eq(guest_get_u64(&guest, "dropped"), 0);
}
END_TEST

START_TEST(test_rebuild)
{
    struct console_ends *ends = console_pipes(0);

    console_pipes(1);
    ck_assert_int_eq(guest_set_u64(&guest, "ports", 2), 0);
    for (unsigned i = 0; i < 50; i++) {
        console_drive(GUEST_ALL);
        console_post(RECEIVE, 10);
        console_send_text(0, "round");
        console_must_read(ends->output, "round", 5);
        if (i % 2)
            guest_stop(&guest);
        guest_unbuild(&guest);
    }
}
END_TEST

static void must_refuse(int code, const char *text)
{
    ck_assert_int_eq(guest_wire(&guest), code);
    ck_assert_msg(strstr(guest.error, text), "%s", guest.error);
}

START_TEST(test_bad_properties)
{
    int fd = open("/dev/null", O_RDWR | O_CLOEXEC);

    ck_assert_int_eq(guest_set_u64(&guest, "ports", 0), -EINVAL);
    ck_assert_int_eq(guest_set_u64(&guest, "ports", 9), -EINVAL);
    ck_assert_int_eq(guest_set_u64(&guest, "consoles", 2), 0);
    must_refuse(-EINVAL, "only 1 ports");
    ck_assert_int_eq(guest_set_u64(&guest, "consoles", 1), 0);
    ck_assert_int_eq(console_set_fd("input", 3, fd), 0);
    must_refuse(-EINVAL, "port 3 has an input");
    ck_assert_int_eq(guest_set_u64(&guest, "ports", 4), 0);
    ck_assert_int_eq(console_set_text("name", 1, "a/b"), 0);
    must_refuse(-EINVAL, "slash");
    ck_assert_int_eq(console_set_text("name", 1, "a b"), 0);
    must_refuse(-EINVAL, "space");
    ck_assert_int_eq(
        console_set_text("name", 1,
                         "12345678901234567890123456789012345678901234567890123456789012345"),
        0);
    must_refuse(-EINVAL, "longer than 64");
    ck_assert_int_eq(
        console_set_text("name", 1,
                         "1234567890123456789012345678901234567890123456789012345678901234"),
        0);
    ck_assert_int_eq(
        console_set_text("name", 2,
                         "1234567890123456789012345678901234567890123456789012345678901234"),
        0);
    must_refuse(-EEXIST, "name of port 1");
    ck_assert_int_eq(console_set_text("name", 2, ""), 0);
    ck_assert_int_eq(guest_wire(&guest), 0);
    close(fd);
}
END_TEST

/* The limit on descriptors is met at each one that the device opens: nothing is left behind. */
START_TEST(test_out_of_descriptors)
{
    struct rlimit old;
    struct rlimit low;
    int first = dup(0);
    unsigned failures = 0;
    int r = -EMFILE;

    close(first);
    console_pipes(0);
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &old), 0);
    for (low = old; r < 0; failures++) {
        low.rlim_cur = (rlim_t)first + 1 + failures;
        ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &low), 0);
        r = guest_wire(&guest);
        ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &old), 0);
        ck_assert_msg(r == 0 || r == -EMFILE, "%d: %s", r, guest.error);
        if (r < 0)
            ck_assert_msg(strstr(guest.error, "ulimit -n"), "%s", guest.error);
    }
    ck_assert_uint_ge(failures, 4);
    guest_unbuild(&guest);
    console_drive(GUEST_ALL);
    console_send_text(0, "works");
    console_must_read(console_of(0)->output, "works", 5);
}
END_TEST

/* Without a loop notifications are served where they arise, and nothing waits. */
START_TEST(test_without_loop)
{
    struct console_ends *ends = console_sockets(0);
    uint64_t at;

    console_drive(GUEST_ALL);
    console_send_text(0, "abc");
    ck_assert(guest_used(&guest, TRANSMIT, NULL, NULL));
    console_must_read(ends->output, "abc", 3);
    at = console_post(RECEIVE, 10);
    ck_assert(!guest_used(&guest, RECEIVE, NULL, NULL));
    ck_assert_int_eq(write(ends->input, "in", 2), 2);
    guest_kick(&guest, RECEIVE);
    console_must_receive(0, at, "in");
}
END_TEST

Suite *nv_test_suite(void)
{
    Suite *suite = suite_create("console");
    TCase *tcase = support_case(suite, "streams", 120);

    tcase_add_checked_fixture(tcase, setup, console_end);
    tcase_add_test(tcase, test_output_and_input);
    tcase_add_test(tcase, test_input_before_buffers);
    tcase_add_test(tcase, test_scattered_output);
    tcase_add_test(tcase, test_without_descriptors);
    tcase_add_test(tcase, test_files);
    tcase_add_test(tcase, test_wrong_direction);
    tcase_add_test(tcase, test_many_buffers);
    tcase_add_test(tcase, test_input_ends);
    tcase_add_test(tcase, test_size);
    tcase_add_test(tcase, test_hostile_44_console_emergency);
    tcase_add_test(tcase, test_emergency_is_limited_too);
    tcase_add_test(tcase, test_stop_flushes);
    tcase_add_test(tcase, test_pause);
    tcase_add_test(tcase, test_guest_reset);
    tcase_add_test(tcase, test_rebuild);
    tcase_add_test(tcase, test_bad_properties);
    tcase_add_test(tcase, test_out_of_descriptors);
    tcase = support_case(suite, "without loop", 60);
    tcase_add_checked_fixture(tcase, setup_without_loop, console_end);
    tcase_add_test(tcase, test_without_loop);
    return suite;
}
