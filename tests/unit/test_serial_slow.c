/* SPDX-License-Identifier: Apache-2.0 */
/* Proves the serial port with readers that are slow or gone: bounded, counted, nobody waits. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/log.h"
#include "core/util.h"
#include "file_gate.h"
#include "host/loop.h"
#include "serial_guest.h"
#include "vm/vm.h"

enum { OUT_SIZE = 65536, PIPE_SIZE = 4096 };

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

static void must_be_quiet(int fd)
{
    struct pollfd poller = { .fd = fd, .events = POLLIN };

    ck_assert_int_eq(poll(&poller, 1, 20), 0);
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

/* What the tests send, byte by byte. */
static uint8_t byte_at(uint64_t i)
{
    return (uint8_t)(i * 5 + i / 256);
}

/* Bytes from the first on; not asserted one by one, which takes a minute under valgrind. */
static void must_be_sent(const uint8_t *bytes, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        if (bytes[i] != byte_at(i))
            ck_abort_msg("byte %llu is 0x%02x", (unsigned long long)i, bytes[i]);
    }
}

/* Sends as a guest that does not look whether it may. */
static uint64_t full_since; /* not before */

static void send_all(unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        if (i == OUT_SIZE)
            full_since = nv_now_ns();
        serial_out(DATA, byte_at(i));
    }
}

/* The guest is told to wait while the port is patient: for a second since it became full. */
static void must_be_held(void)
{
    uint8_t status = serial_in(LSR);

    if (nv_now_ns() - full_since < 1000000000) /* else this machine was too slow to see it */
        ck_assert_uint_eq(status, 0);          /* neither empty nor idle */
}

/* A reader that takes nothing: bounded, counted, in order, and the guest is told to wait. */
START_TEST(test_slow_reader)
{
    enum { SENT = OUT_SIZE + PIPE_SIZE + 500 };
    int out[2];
    uint64_t taken;
    uint8_t *bytes = malloc(SENT);
    unsigned interrupts;

    serial_pipe(out);
    ck_assert_int_eq(fcntl(out[1], F_SETPIPE_SZ, PIPE_SIZE), PIPE_SIZE);
    serial_setup(out[1], -1);
    send_all(SENT);
    taken = SENT - serial_dropped();
    ck_assert_uint_ge(taken, OUT_SIZE);
    ck_assert_uint_le(taken, OUT_SIZE + PIPE_SIZE);
    must_be_held();
    serial_out(MCR, MCR_OUT2);
    serial_out(IER, 2);
    ck_assert_uint_eq(serial_in(IIR), 1);
    interrupts = serial_interrupts();
    must_read(out[0], bytes, taken);
    must_be_sent(bytes, taken);
    must_be_quiet(out[0]);
    serial_wait(LSR, LSR_READY);
    serial_wait(IIR, 2); /* the transmitter has become empty */
    ck_assert_uint_eq(serial_interrupts(), interrupts + 1);
    serial_out(DATA, '!');
    must_read(out[0], bytes, 1);
    ck_assert_uint_eq(bytes[0], '!');
    loop_must_rest();
    serial_teardown();
    free(bytes);
    close(out[0]);
    close(out[1]);
}
END_TEST

static void fill(int fd)
{
    ck_assert_int_eq(fcntl(fd, F_SETPIPE_SZ, PIPE_SIZE), PIPE_SIZE);
    send_all(OUT_SIZE + PIPE_SIZE);
    must_be_held();
}

/* A guest that waits for the transmitter does not hang for ever on a reader that never reads. */
START_TEST(test_patience_ends)
{
    int out[2];

    serial_pipe(out);
    serial_setup(out[1], -1);
    fill(out[1]);
    usleep(1100000);
    ck_assert_uint_eq(serial_in(LSR), LSR_READY);
    serial_out(DATA, 'g');
    ck_assert_uint_eq(serial_dropped(), 1);
    serial_teardown();
    close(out[0]);
    close(out[1]);
}
END_TEST

/* On a vCPU's thread and with SIGPIPE's default action, which would end this process. */
START_TEST(test_fault_09_reader_gone)
{
    int out[2];
    struct sigaction old;

    sigaction(SIGPIPE, NULL, &old);
    ck_assert_ptr_eq(old.sa_handler, SIG_DFL);
    serial_pipe(out);
    serial_setup(out[1], -1);
    close(out[0]);
    for (int i = 0; i < 1000; i++)
        fake_kvm_push_out(0, 0, COM1, 'x');
    for (int i = 0; i < 200000 && serial_dropped() < 1000; i++) /* read while the vCPU counts */
        usleep(100);
    ck_assert(fake_kvm_wait_idle(0, 0));
    ck_assert_uint_eq(serial_dropped(), 1000);
    ck_assert_uint_eq(serial_in(LSR), LSR_READY);
    loop_must_rest();
    serial_teardown();
    close(out[1]);
}
END_TEST

START_TEST(test_fault_09_reader_goes_with_data_pending)
{
    int out[2];

    serial_pipe(out);
    serial_setup(out[1], -1);
    fill(out[1]);
    close(out[0]);
    serial_wait(LSR, LSR_READY);
    ck_assert_uint_ge(serial_dropped(), OUT_SIZE);
    loop_must_rest();
    serial_teardown();
    close(out[1]);
}
END_TEST

/* Freeing and building again do not wait for a reader. */
START_TEST(test_unbuild_with_data_pending)
{
    int out[2];
    uint64_t start;

    serial_pipe(out);
    serial_setup(out[1], -1);
    fill(out[1]);
    start = nv_now_ns();
    ck_nv_ok(nestvirt_vm_stop(serial_vm, -1, &error));
    serial_run();
    ck_assert_uint_eq(serial_in(LSR), LSR_READY); /* nothing waits any more */
    fill(out[1]);
    serial_teardown();
    ck_assert_uint_lt(nv_now_ns() - start, 5000000000ull);
    close(out[0]);
    close(out[1]);
}
END_TEST

/* What the guest wrote last comes out though nobody runs any more. */
START_TEST(test_stop_flushes)
{
    int out[2];
    uint8_t *bytes = malloc(OUT_SIZE);

    serial_pipe(out);
    serial_setup(out[1], -1);
    ck_assert_int_eq(fcntl(out[1], F_SETPIPE_SZ, PIPE_SIZE), PIPE_SIZE);
    send_all(OUT_SIZE);
    ck_nv_ok(nestvirt_vm_stop(serial_vm, -1, &error));
    must_read(out[0], bytes, OUT_SIZE);
    must_be_sent(bytes, OUT_SIZE);
    free(bytes);
    serial_teardown();
    close(out[0]);
    close(out[1]);
}
END_TEST

/* A file on a disk that does not answer holds up neither a vCPU nor the VM's end. */
START_TEST(test_fault_06_serial_slow_file)
{
    enum { SENT = 2 * OUT_SIZE + 1000 };
    int file = file_gate_new();
    uint64_t begin_ns;
    uint64_t taken;
    uint8_t *bytes = malloc(SENT);

    serial_setup(file, -1);
    file_gate_set(true);
    serial_out(DATA, 0);
    file_gate_await();
    for (unsigned i = 1; i < SENT; i++)
        serial_out(DATA, byte_at(i));
    loop_must_rest();
    taken = SENT - serial_dropped();
    ck_assert_uint_ge(taken, OUT_SIZE);
    ck_assert_uint_le(taken, 2 * OUT_SIZE);
    begin_ns = nv_now_ns();
    ck_nv_ok(nestvirt_vm_stop(serial_vm, -1, &error));
    ck_assert_uint_lt(nv_now_ns() - begin_ns, 10000000000ull);
    file_gate_set(false);
    serial_teardown();
    ck_assert_int_ge(pread(file, bytes, SENT, 0), OUT_SIZE);
    must_be_sent(bytes, OUT_SIZE);
    free(bytes);
    close(file);
}
END_TEST

/* The guest writes a byte to a port of its own. */
static void send_to(uint64_t port)
{
    struct nestvirt_access access = {
        .size = sizeof(access),
        .space = NESTVIRT_SPACE_PORT,
        .address = port,
        .length = 1,
        .is_write = 1,
    };
    const struct nv_range *range = nv_bus_find(&serial_vm->bus.port, port, 1);

    ck_assert_ptr_nonnull(range);
    ck_assert_int_eq(range->fn(range->user_data, &access), NESTVIRT_ACTION_RESUME);
}

/* However many ports write to such a disk, the VM's end does not wait for one after the other. */
START_TEST(test_fault_06_many_slow_files)
{
    enum { PORTS = 12, PORT = 0x1000 };
    int file = file_gate_new();
    uint64_t begin_ns;

    ck_assert_int_eq(fcntl(file, F_SETFL, O_APPEND), 0);
    serial_make(file, -1);
    for (uint64_t i = 1; i < PORTS; i++) {
        struct nestvirt_device *device;

        ck_nv_ok(nestvirt_device_add(serial_vm, "serial", &device, &error));
        ck_nv_ok(nestvirt_device_set_fd(device, "output", file, &error));
        ck_nv_ok(nestvirt_device_set_u64(device, "port", PORT + 8 * i, &error));
        ck_nv_ok(nestvirt_device_set_u64(device, "irq", 5 + i, &error));
    }
    serial_run();
    file_gate_set(true);
    send_to(COM1);
    for (uint64_t i = 1; i < PORTS; i++)
        send_to(PORT + 8 * i);
    file_gate_await();
    begin_ns = nv_now_ns();
    ck_nv_ok(nestvirt_vm_stop(serial_vm, -1, &error));
    ck_assert_uint_lt(nv_now_ns() - begin_ns, 3000000000ull); /* 6 one after the other */
    file_gate_set(false);
    serial_teardown();
    ck_assert_int_eq(lseek(file, 0, SEEK_END), PORTS);
    close(file);
}
END_TEST

/* The loop goes on without a VM that was freed with output pending and input to come. */
START_TEST(test_freed_vm_leaves_the_loop)
{
    struct nestvirt_loop *loop;
    int out[2];
    int in[2];

    serial_pipe(out);
    serial_pipe(in);
    ck_nv_ok(nestvirt_loop_new(&loop, &error));
    serial_make(out[1], in[0]);
    ck_nv_ok(nestvirt_vm_set_loop(serial_vm, loop, &error));
    serial_run();
    fill(out[1]);
    serial_teardown();
    for (uint32_t i = 0; i < loop->place_count; i++)
        ck_assert_ptr_null(loop->places[i].source);
    ck_assert_int_eq(nestvirt_loop_free(loop), 0);
    for (int i = 0; i < 2; i++) {
        close(out[i]);
        close(in[i]);
    }
}
END_TEST

Suite *nv_test_suite(void)
{
    Suite *suite = suite_create("serial_slow");
    TCase *tcase = support_case(suite, "slow", 60);

    tcase_add_test(tcase, test_slow_reader);
    tcase_add_test(tcase, test_patience_ends);
    tcase_add_test(tcase, test_fault_09_reader_gone);
    tcase_add_test(tcase, test_fault_09_reader_goes_with_data_pending);
    tcase_add_test(tcase, test_unbuild_with_data_pending);
    tcase_add_test(tcase, test_stop_flushes);
    tcase_add_test(tcase, test_fault_06_serial_slow_file);
    tcase_add_test(tcase, test_fault_06_many_slow_files);
    tcase_add_test(tcase, test_freed_vm_leaves_the_loop);
    return suite;
}
