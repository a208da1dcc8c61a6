/* SPDX-License-Identifier: Apache-2.0 */
/* Proves the serial port on what callers connect: pipes, files, sockets, terminals.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <termios.h>
#include <unistd.h>

#include "serial_guest.h"

enum { IN_SIZE = 256 };

static void print(const char *text)
{
    for (; *text; text++)
        serial_out(DATA, (uint8_t)*text);
}

/* Reads count bytes; fails the test if they do not come. */
static void must_read(int fd, uint8_t *bytes, size_t count)
{
    struct pollfd poller = { .fd = fd, .events = POLLIN };
    size_t done = 0;

    while (done < count) {
        ssize_t r;

        ck_assert_msg(poll(&poller, 1, 20000) == 1, "only %zu of %zu bytes came", done, count);
        r = read(fd, bytes + done, count - done);
        ck_assert_int_gt(r, 0);
        done += (size_t)r;
    }
}

/* The loop may work for a moment, but not go round and round. */
static void loop_must_rest(void)
{
    uint64_t before;

    usleep(10000);
    before = serial_loop_ns();
    usleep(100000);
    ck_assert_uint_lt(serial_loop_ns() - before, 20000000);
}

START_TEST(test_pipes)
{
    int out[2];
    int in[2];
    uint8_t bytes[16];

    serial_pipe(out);
    serial_pipe(in);
    serial_setup(out[1], in[0]);
    print("hello");
    must_read(out[0], bytes, 5);
    ck_assert_mem_eq(bytes, "hello", 5);
    ck_assert_int_eq(write(in[1], "typed", 5), 5);
    serial_receive(bytes, 5);
    ck_assert_mem_eq(bytes, "typed", 5);
    ck_assert_int_eq(fcntl(out[1], F_GETFL) & O_NONBLOCK, 0); /* the caller's stay as they were */
    ck_assert_int_eq(fcntl(in[0], F_GETFL) & O_NONBLOCK, 0);
    ck_assert_uint_eq(serial_dropped(), 0);
    loop_must_rest();
    serial_teardown();
    for (int i = 0; i < 2; i++) {
        close(out[i]);
        close(in[i]);
    }
}
END_TEST

START_TEST(test_socket_pair)
{
    int ends[2];
    uint8_t bytes[16];

    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    serial_setup(ends[0], ends[0]);
    print("ping");
    must_read(ends[1], bytes, 4);
    ck_assert_mem_eq(bytes, "ping", 4);
    ck_assert_int_eq(write(ends[1], "pong", 4), 4);
    serial_receive(bytes, 4);
    ck_assert_mem_eq(bytes, "pong", 4);
    close(ends[1]);
    print("nobody listens");
    ck_assert_uint_eq(serial_dropped(), 14);
    loop_must_rest();
    serial_teardown();
    close(ends[0]);
}
END_TEST

START_TEST(test_regular_files)
{
    int out = memfd_create("test", MFD_CLOEXEC);
    int in = memfd_create("test", MFD_CLOEXEC);
    uint8_t bytes[1000];
    uint8_t got[1000];

    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)(i * 3 + i / 256);
    ck_assert_int_eq(write(in, bytes, sizeof(bytes)), sizeof(bytes));
    lseek(in, 0, SEEK_SET);
    serial_setup(out, in);
    serial_receive(got, sizeof(got));
    ck_assert_mem_eq(got, bytes, sizeof(bytes));
    ck_assert_uint_eq(serial_in(LSR) & LSR_DATA, 0);
    print("to a file");
    loop_must_rest();
    ck_nv_ok(nestvirt_vm_stop(serial_vm, -1, &error));
    ck_assert_int_eq(pread(out, got, sizeof(got), 0), 9);
    ck_assert_mem_eq(got, "to a file", 9);
    serial_teardown();
    close(out);
    close(in);
}
END_TEST

START_TEST(test_null_and_full)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    int full = open("/dev/full", O_RDWR | O_CLOEXEC);

    serial_setup(null, null);
    for (int i = 0; i < 100000; i++)
        serial_out(DATA, 'x');
    ck_assert_uint_eq(serial_in(LSR), LSR_READY);
    ck_assert_uint_eq(serial_dropped(), 0);
    loop_must_rest();
    serial_teardown();
    serial_setup(full, -1);
    print("12345");
    ck_assert_uint_eq(serial_dropped(), 5);
    serial_teardown();
    close(null);
    close(full);
}
END_TEST

/* Both sides of a pseudo-terminal; opening the master anew would give another terminal. */
START_TEST(test_terminal)
{
    int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    int slave;
    struct termios raw;
    uint8_t bytes[16];

    ck_assert_int_ge(master, 0);
    ck_assert_int_eq(grantpt(master), 0);
    ck_assert_int_eq(unlockpt(master), 0);
    slave = open(ptsname(master), O_RDWR | O_NOCTTY | O_CLOEXEC);
    ck_assert_int_ge(slave, 0);
    ck_assert_int_eq(tcgetattr(slave, &raw), 0);
    cfmakeraw(&raw);
    ck_assert_int_eq(tcsetattr(slave, TCSANOW, &raw), 0);
    for (int i = 0; i < 2; i++) {
        int ours = i == 0 ? master : slave;
        int theirs = i == 0 ? slave : master;

        serial_setup(ours, ours);
        print("login:");
        must_read(theirs, bytes, 6);
        ck_assert_mem_eq(bytes, "login:", 6);
        ck_assert_int_eq(write(theirs, "root", 4), 4);
        serial_receive(bytes, 4);
        ck_assert_mem_eq(bytes, "root", 4);
        ck_assert_int_eq(fcntl(ours, F_GETFL) & O_NONBLOCK, 0);
        serial_teardown();
    }
    close(slave);
    close(master);
}
END_TEST

/* The sender is held back: no more is taken than the guest has room for. */
START_TEST(test_input_back_pressure)
{
    int in[2];
    uint8_t bytes[2000];
    uint8_t got[2000];
    int left = 0;

    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)(i * 11 + i / 256);
    serial_pipe(in);
    serial_setup(-1, in[0]);
    ck_assert_int_eq(write(in[1], bytes, sizeof(bytes)), sizeof(bytes));
    serial_wait(LSR, LSR_DATA);
    usleep(20000);
    ck_assert_int_eq(ioctl(in[0], FIONREAD, &left), 0);
    ck_assert_int_eq(left, sizeof(bytes) - IN_SIZE);
    loop_must_rest();
    serial_receive(got, sizeof(got));
    ck_assert_mem_eq(got, bytes, sizeof(bytes));
    ck_assert_int_eq(write(in[1], "more", 4), 4);
    serial_receive(got, 4);
    ck_assert_mem_eq(got, "more", 4);
    serial_teardown();
    close(in[0]);
    close(in[1]);
}
END_TEST

START_TEST(test_end_of_input)
{
    int in[2];
    uint8_t got[5];

    serial_pipe(in);
    serial_setup(-1, in[0]);
    ck_assert_int_eq(write(in[1], "last", 4), 4);
    close(in[1]);
    serial_receive(got, 4);
    ck_assert_mem_eq(got, "last", 4);
    ck_assert_uint_eq(serial_in(LSR) & LSR_DATA, 0);
    ck_assert_uint_eq(serial_in(DATA), 0);
    loop_must_rest();
    serial_teardown();
    close(in[0]);
}
END_TEST

/* The sender goes while the guest's buffer is full: what was sent still arrives. */
START_TEST(test_end_of_input_behind_a_full_buffer)
{
    int in[2];
    uint8_t bytes[1000];
    uint8_t got[1000];

    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)(i * 13 + i / 256);
    serial_pipe(in);
    serial_setup(-1, in[0]);
    ck_assert_int_eq(write(in[1], bytes, sizeof(bytes)), sizeof(bytes));
    close(in[1]);
    loop_must_rest();
    serial_receive(got, sizeof(got));
    ck_assert_mem_eq(got, bytes, sizeof(bytes));
    loop_must_rest();
    serial_teardown();
    close(in[0]);
}
END_TEST

/* The wrong ends, and things that are no streams at all. */
START_TEST(test_wrong_descriptors)
{
    int ends[2];
    int folder = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    serial_pipe(ends);
    serial_setup(ends[0], ends[1]);
    print("abc");
    ck_assert_uint_eq(serial_dropped(), 3);
    loop_must_rest();
    serial_teardown();
    serial_setup(folder, folder);
    print("abc");
    ck_assert_uint_eq(serial_dropped(), 3);
    ck_assert_uint_eq(serial_in(LSR), LSR_READY);
    loop_must_rest();
    serial_teardown();
    close(folder);
    close(ends[0]);
    close(ends[1]);
}
END_TEST

START_TEST(test_two_vms_on_one_loop)
{
    struct nestvirt_loop *loop;
    struct nestvirt_vm *vms[2];
    struct nestvirt_host *host;
    int out[2][2];
    uint8_t bytes[3];

    fake_kvm_reset();
    host = fake_kvm_host();
    ck_nv_ok(nestvirt_loop_new(&loop, &error));
    for (int i = 0; i < 2; i++) {
        struct nestvirt_device *device;

        serial_pipe(out[i]);
        vms[i] = fake_kvm_vm(host, 0, NESTVIRT_CHIP_SPLIT, 1);
        ck_nv_ok(nestvirt_vm_set_loop(vms[i], loop, &error));
        ck_nv_fails(nestvirt_vm_set_loop(vms[i], loop, &error), -EBUSY);
        ck_nv_ok(nestvirt_device_add(vms[i], "serial", &device, &error));
        ck_nv_ok(nestvirt_device_set_fd(device, "output", out[i][1], &error));
        ck_nv_ok(nestvirt_vm_build(vms[i], &error));
        for (int k = 0; k < 3; k++)
            fake_kvm_push_out((uint32_t)i, 0, COM1, (uint8_t)('a' + 3 * i + k));
    }
    ck_assert_int_eq(nestvirt_loop_free(loop), 0); /* the VMs hold it */
    ck_nv_ok(nestvirt_vm_start(vms[0], &error));
    ck_nv_ok(nestvirt_vm_start(vms[1], &error));
    must_read(out[1][0], bytes, 3);
    ck_assert_mem_eq(bytes, "def", 3);
    must_read(out[0][0], bytes, 3);
    ck_assert_mem_eq(bytes, "abc", 3);
    ck_assert_int_eq(nestvirt_vm_free(vms[0]), 0);
    fake_kvm_push_out(1, 0, COM1, 'z');
    must_read(out[1][0], bytes, 1);
    ck_assert_int_eq(nestvirt_vm_free(vms[1]), 0);
    ck_assert_int_eq(nestvirt_host_free(host), 0);
    for (int i = 0; i < 2; i++) {
        close(out[i][0]);
        close(out[i][1]);
    }
}
END_TEST

Suite *nv_test_suite(void)
{
    Suite *suite = suite_create("serial_streams");
    TCase *tcase = support_case(suite, "streams", 60);

    tcase_add_test(tcase, test_pipes);
    tcase_add_test(tcase, test_socket_pair);
    tcase_add_test(tcase, test_regular_files);
    tcase_add_test(tcase, test_null_and_full);
    tcase_add_test(tcase, test_terminal);
    tcase_add_test(tcase, test_input_back_pressure);
    tcase_add_test(tcase, test_end_of_input);
    tcase_add_test(tcase, test_end_of_input_behind_a_full_buffer);
    tcase_add_test(tcase, test_wrong_descriptors);
    tcase_add_test(tcase, test_two_vms_on_one_loop);
    return suite;
}
