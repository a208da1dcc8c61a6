/* SPDX-License-Identifier: Apache-2.0 */
/* Owns what the console's tests share: a device on pipes, and the driver's side of its ports. */
#include "console_guest.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "core/util.h"
#include "devices/console.h"

struct virtio_guest guest;

int console_epoll_errno;

int __real_epoll_ctl(int epoll, int operation, int fd, struct epoll_event *event);
int __wrap_epoll_ctl(int epoll, int operation, int fd, struct epoll_event *event);

int __wrap_epoll_ctl(int epoll, int operation, int fd, struct epoll_event *event)
{
    int failure = __atomic_load_n(&console_epoll_errno, __ATOMIC_SEQ_CST);

    if (failure && operation == EPOLL_CTL_ADD) {
        errno = failure;
        return -1;
    }
    return __real_epoll_ctl(epoll, operation, fd, event);
}

static struct console_ends ends[NV_CONSOLE_PORTS_MAX];

void console_begin(uint32_t flags)
{
    for (unsigned i = 0; i < NV_CONSOLE_PORTS_MAX; i++)
        ends[i] = (struct console_ends){ -1, -1 };
    ck_assert_int_eq(guest_new(&guest, "console", flags), 0);
}

void console_end(void)
{
    guest_free(&guest);
    for (unsigned i = 0; i < NV_CONSOLE_PORTS_MAX; i++) {
        if (ends[i].output >= 0)
            close(ends[i].output);
        if (ends[i].input >= 0 && ends[i].input != ends[i].output)
            close(ends[i].input);
    }
}

static const char *port_name(const char *name, unsigned port)
{
    static char text[32];

    snprintf(text, sizeof(text), port ? "%s%u" : "%s", name, port);
    return text;
}

int console_set_fd(const char *name, unsigned port, int fd)
{
    return guest_set_fd(&guest, port_name(name, port), fd);
}

int console_set_text(const char *name, unsigned port, const char *text)
{
    return guest_set_string(&guest, port_name(name, port), text);
}

struct console_ends *console_of(unsigned port)
{
    return &ends[port];
}

struct console_ends *console_pipes(unsigned port)
{
    int output[2];
    int input[2];

    ck_assert_int_eq(pipe2(output, O_CLOEXEC), 0);
    ck_assert_int_eq(pipe2(input, O_CLOEXEC), 0);
    ck_assert_int_ge(fcntl(output[1], F_SETPIPE_SZ, 4096), 4096);
    ck_assert_int_eq(console_set_fd("output", port, output[1]), 0);
    ck_assert_int_eq(console_set_fd("input", port, input[0]), 0);
    close(output[1]);
    close(input[0]);
    ends[port] = (struct console_ends){ .output = output[0], .input = input[1] };
    return &ends[port];
}

struct console_ends *console_sockets(unsigned port)
{
    int pair[2];

    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    ck_assert_int_eq(console_set_fd("output", port, pair[1]), 0);
    ck_assert_int_eq(console_set_fd("input", port, pair[1]), 0);
    close(pair[1]);
    ends[port] = (struct console_ends){ .output = pair[0], .input = pair[0] };
    return &ends[port];
}

void console_drive(uint64_t features)
{
    ck_assert_msg(guest_wire(&guest) == 0, "%s", guest.error);
    guest_start(&guest);
    ck_assert_int_eq(guest_drive(&guest, features), 0);
}

void console_drive_ports(unsigned ports)
{
    console_drive(GUEST_ALL);
    for (unsigned i = 0; i < 32; i++)
        console_post(CONTROL_RECEIVE, 80);
    console_control(UINT32_MAX, DEVICE_READY, 1);
    for (unsigned i = 0; i < ports; i++)
        console_must_hear(i, PORT_ADD, 1, NULL, 0);
    for (unsigned i = 0; i < ports; i++) {
        console_control(i, PORT_READY, 1);
        while (guest_wait_used(&guest, CONTROL_RECEIVE, NULL, NULL, 50))
            ;
        console_control(i, PORT_OPEN, 1);
    }
}

uint32_t console_receive_queue(unsigned port)
{
    return port ? 2 + 2 * port : 0;
}

uint32_t console_transmit_queue(unsigned port)
{
    return console_receive_queue(port) + 1;
}

void console_add(unsigned port, const void *bytes, uint32_t length)
{
    uint64_t buffer = guest_alloc(&guest, length);

    ck_assert(buffer);
    memcpy(guest_mem(&guest, buffer, length), bytes, length);
    ck_assert_int_ge(guest_add(&guest, console_transmit_queue(port),
                               &(struct guest_part){ buffer, length, false }, 1),
                     0);
}

void console_send(unsigned port, const void *bytes, uint32_t length)
{
    console_add(port, bytes, length);
    guest_kick(&guest, console_transmit_queue(port));
}

void console_send_text(unsigned port, const char *text)
{
    console_send(port, text, (uint32_t)strlen(text));
}

void console_pattern(uint8_t *bytes, uint32_t length, uint32_t from)
{
    for (uint32_t i = 0; i < length; i++)
        bytes[i] = (uint8_t)((from + i) * 5 + (from + i) / 256);
}

void console_must_use(uint32_t queue, uint32_t length)
{
    uint32_t used;

    ck_assert(guest_wait_used(&guest, queue, NULL, &used, CONSOLE_WAIT_MS));
    ck_assert_uint_eq(used, length);
}

void console_must_not_use(uint32_t queue, unsigned milliseconds)
{
    ck_assert(!guest_wait_used(&guest, queue, NULL, NULL, milliseconds));
}

uint64_t console_post(uint32_t queue, uint32_t length)
{
    uint64_t buffer = guest_alloc(&guest, length);

    ck_assert(buffer);
    ck_assert_int_ge(guest_add(&guest, queue, &(struct guest_part){ buffer, length, true }, 1), 0);
    guest_kick(&guest, queue);
    return buffer;
}

void console_must_receive(unsigned port, uint64_t at, const char *text)
{
    uint32_t length = (uint32_t)strlen(text);

    console_must_use(console_receive_queue(port), length);
    ck_assert_mem_eq(guest_mem(&guest, at, length), text, length);
}

void console_must_read(int fd, const void *bytes, size_t length)
{
    const uint8_t *expected = bytes;
    struct pollfd poller = { .fd = fd, .events = POLLIN };
    uint8_t buffer[4096];
    size_t done = 0;

    while (done < length) {
        ssize_t r;

        ck_assert_msg(poll(&poller, 1, CONSOLE_WAIT_MS) == 1, "only %zu of %zu bytes came", done,
                      length);
        r = read(fd, buffer, NV_MIN(sizeof(buffer), length - done));
        ck_assert_int_gt(r, 0);
        ck_assert_mem_eq(buffer, expected + done, (size_t)r);
        done += (size_t)r;
    }
}

void console_must_be_quiet(int fd, int milliseconds)
{
    struct pollfd poller = { .fd = fd, .events = POLLIN };

    ck_assert_int_eq(poll(&poller, 1, milliseconds), 0);
}

void console_control(uint32_t port, uint16_t event, uint16_t value)
{
    uint64_t buffer = guest_alloc(&guest, 8);
    uint8_t *bytes = guest_mem(&guest, buffer, 8);

    ck_assert(buffer);
    nv_put_le32(bytes, port);
    nv_put_le16(bytes + 4, event);
    nv_put_le16(bytes + 6, value);
    ck_assert_int_ge(
        guest_add(&guest, CONTROL_TRANSMIT, &(struct guest_part){ buffer, 8, false }, 1), 0);
    guest_kick(&guest, CONTROL_TRANSMIT);
    console_must_use(CONTROL_TRANSMIT, 0);
}

/* Where the buffer of a head is: posted buffers are one descriptor each. */
static const uint8_t *buffer_of(uint32_t queue, uint32_t head, uint32_t length)
{
    const uint8_t *descriptor =
        guest_mem(&guest, guest.queues[queue].descriptors + 16ull * head, 16);

    return guest_mem(&guest, nv_get_le64(descriptor), length);
}

void console_must_hear(uint32_t port, uint16_t event, uint16_t value, const void *more,
                       uint32_t length)
{
    const uint8_t *bytes;
    uint32_t head;
    uint32_t used;

    ck_assert_msg(guest_wait_used(&guest, CONTROL_RECEIVE, &head, &used, CONSOLE_WAIT_MS),
                  "port %u, event %u does not come", port, event);
    ck_assert_uint_ge(used, 8);
    bytes = buffer_of(CONTROL_RECEIVE, head, used);
    ck_assert_uint_eq(nv_get_le32(bytes), port);
    ck_assert_uint_eq(nv_get_le16(bytes + 4), event);
    ck_assert_uint_eq(nv_get_le16(bytes + 6), value);
    ck_assert_uint_eq(used, 8 + length);
    if (length)
        ck_assert_mem_eq(bytes + 8, more, length);
}

void console_must_hear_nothing(void)
{
    console_must_not_use(CONTROL_RECEIVE, 30);
}

static uint64_t loop_ns(void)
{
    struct timespec time;
    clockid_t clock;

    ck_assert_int_eq(pthread_getcpuclockid(guest.loop->thread, &clock), 0);
    ck_assert_int_eq(clock_gettime(clock, &time), 0);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

void console_loop_must_rest(void)
{
    uint64_t before;

    usleep(10000);
    before = loop_ns();
    usleep(100000);
    ck_assert_uint_lt(loop_ns() - before, 20000000);
}

uint64_t console_wait_counter(const char *name, uint64_t least)
{
    uint64_t value = 0;

    for (unsigned i = 0; i < CONSOLE_WAIT_MS; i++) {
        value = guest_get_u64(&guest, name);
        if (value >= least)
            break;
        usleep(1000);
    }
    return value;
}
