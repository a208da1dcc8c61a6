// SPDX-License-Identifier: Apache-2.0
// This file owns the steps about networks: addresses, and streams over TCP and vsock.

#include <linux/in.h>
#include <linux/ioctl.h>
#include <linux/sockios.h>
#include <linux/vm_sockets.h>

#include "../pattern.h"
#include "guest.h"

enum {
    IFF_UP_RUNNING = 0x41,
    MIB = 1 << 20,
};

union address {
    struct sockaddr_in ip;
    struct sockaddr_vm vm;
    uint16_t family;
};

static long sys_socket(int family, int type)
{
    return sys3(__NR_socket, family, type, 0);
}

static uint16_t swap16(uint64_t value)
{
    return (uint16_t)((value & 0xff) << 8 | (value >> 8 & 0xff));
}

// "10.0.0.2" as it stands in a packet
static uint32_t parse_ip(const char *text)
{
    uint32_t value = 0;
    unsigned int i;

    for (i = 0; i < 4; i++) {
        value |= (uint32_t)text_number(text) << 8 * i;
        while (*text && *text++ != '.')
            ;
    }
    return value;
}

// --- Interfaces

// What the calls for interfaces take: a name and an address or flags.
struct request {
    char name[16];
    union {
        struct sockaddr_in address;
        uint16_t flags;
        char space[24];
    };
};

// ifup:NAME:ADDRESS: gives an interface an address of a /24 network.
static void step_ifup(const char *arg)
{
    const char *const *args = split(arg);
    struct request request = { .name = "" };
    size_t len = text_len(args[0]);
    long fd = sys_socket(AF_INET, SOCK_DGRAM);

    if (line_error("ifup", fd))
        return;
    memcpy(request.name, args[0], len < 15 ? len : 15);
    request.address.sin_family = AF_INET;
    request.address.sin_addr.s_addr = parse_ip(args[1]);
    if (line_error("ifup", sys_ioctl(fd, SIOCSIFADDR, &request)))
        return;
    request.address.sin_addr.s_addr = 0x00ffffff;
    sys_ioctl(fd, SIOCSIFNETMASK, &request);
    request.flags = IFF_UP_RUNNING;
    if (!line_error("ifup", sys_ioctl(fd, SIOCSIFFLAGS, &request)))
        line_text("ifup", "ok");
    sys_close(fd);
}

// --- Streams

static size_t make_address(union address *address, bool is_vsock, uint64_t cid, uint64_t port)
{
    memset(address, 0, sizeof(*address));
    if (!is_vsock) {
        address->ip.sin_family = AF_INET;
        address->ip.sin_port = swap16(port);
        return sizeof(address->ip);
    }
    address->vm.svm_family = AF_VSOCK;
    address->vm.svm_cid = (uint32_t)cid;
    address->vm.svm_port = (uint32_t)port;
    return sizeof(address->vm);
}

// A socket that listens, or an error.
static long listen_on(bool is_vsock, uint64_t port)
{
    union address address;
    size_t len = make_address(&address, is_vsock, VMADDR_CID_ANY, port);
    long fd = sys_socket(is_vsock ? AF_VSOCK : AF_INET, SOCK_STREAM), ret;
    int on = 1;

    if (fd < 0)
        return fd;
    sys6(__NR_setsockopt, fd, 1, 2, (long)&on, sizeof(on), 0); // SOL_SOCKET, SO_REUSEADDR
    ret = sys3(__NR_bind, fd, (long)&address, (long)len);
    if (ret >= 0)
        ret = sys3(__NR_listen, fd, 1, 0);
    if (ret >= 0)
        return fd;
    sys_close(fd);
    return ret;
}

// Waits for one connection; prints "waiting KEY" when it may come. Returns it, or an error.
static long accept_one(const char *key, bool is_vsock, uint64_t port)
{
    long listener = listen_on(is_vsock, port), fd;

    if (listener < 0)
        return listener;
    line_text("waiting", key);
    fd = sys3(__NR_accept, listener, 0, 0);
    sys_close(listener);
    return fd;
}

// Reads a stream to its end; prints "KEY BYTES CRC".
static void drain_stream(const char *key, long fd)
{
    uint64_t bytes = 0;
    uint32_t sum = 0;
    long got;

    while ((got = sys_read(fd, buffer, BUFFER_SIZE)) > 0) {
        sum = pattern_sum(sum, buffer, (size_t)got);
        bytes += (uint64_t)got;
    }
    if (!line_error(key, got))
        line_numbers(key, bytes, sum);
}

// Writes a pattern into a stream; false if it broke.
static bool fill_stream(const char *key, long fd, uint64_t mib, uint64_t seed)
{
    uint64_t offset;
    size_t at;
    long done;

    for (offset = 0; offset < mib * MIB; offset += BUFFER_SIZE) {
        pattern_fill(buffer, BUFFER_SIZE, seed, offset);
        for (at = 0; at < BUFFER_SIZE; at += (size_t)done) {
            done = sys_write(fd, buffer + at, BUFFER_SIZE - at);
            if (line_error(key, done))
                return false;
        }
    }
    return true;
}

// sink:tcp|vsock:PORT
static void step_sink(const char *arg)
{
    const char *const *args = split(arg);
    long fd = accept_one("sink", text_equal(args[0], "vsock"), text_number(args[1]));

    if (line_error("sink", fd))
        return;
    drain_stream("sink", fd);
    sys_close(fd);
}

// source:tcp|vsock:PORT:MIB:SEED
static void step_source(const char *arg)
{
    const char *const *args = split(arg);
    uint64_t mib = text_number(args[2]), seed = text_number(args[3]);
    long fd = accept_one("source", text_equal(args[0], "vsock"), text_number(args[1]));

    if (line_error("source", fd))
        return;
    if (fill_stream("source", fd, mib, seed))
        line_text("source", "ok");
    sys3(__NR_shutdown, fd, SHUT_WR, 0);
    sys_read(fd, buffer, 1); // the peer has read all when it closes
    sys_close(fd);
}

// reply:tcp|vsock:PORT: sends back what comes on one connection until its end.
static void step_reply(const char *arg)
{
    const char *const *args = split(arg);
    long fd = accept_one("reply", text_equal(args[0], "vsock"), text_number(args[1])), got;
    uint64_t bytes = 0;

    if (line_error("reply", fd))
        return;
    while ((got = sys_read(fd, buffer, BUFFER_SIZE)) > 0) {
        if (line_error("reply", sys_write(fd, buffer, (size_t)got)))
            break;
        bytes += (uint64_t)got;
    }
    if (!line_error("reply", got))
        line_number("reply", bytes);
    sys_close(fd);
}

// call:PORT:TEXT: connects to the host by vsock, sends the text, prints the answer.
static void step_call(const char *arg)
{
    const char *const *args = split(arg);
    union address address;
    size_t len = make_address(&address, true, VMADDR_CID_HOST, text_number(args[0]));
    long fd = sys_socket(AF_VSOCK, SOCK_STREAM), got;

    if (line_error("call", fd))
        return;
    if (line_error("call", sys3(__NR_connect, fd, (long)&address, (long)len)) ||
        line_error("call", sys_write(fd, args[1], text_len(args[1])))) {
        sys_close(fd);
        return;
    }
    sys3(__NR_shutdown, fd, SHUT_WR, 0);
    got = sys_read(fd, buffer, LINE_MAX);
    if (!line_error("call", got))
        line("call", buffer, (size_t)got);
    sys_close(fd);
}

// Writes a number behind a blank; returns the place behind it.
static char *put_number(char *at, uint64_t value)
{
    *at++ = ' ';
    return at + digits_of(at, value);
}

// One challenge, answered by what only this guest can say: see step_answer().
static void answer_one(long fd)
{
    uint64_t random[2] = { 0, 0 };
    uint32_t cid = 0;
    char *at = buffer;
    long vsock, got = sys_read(fd, scratch, LINE_MAX);

    if (line_error("answer", got))
        return;
    need_devtmpfs();
    vsock = sys_open("/dev/vsock", O_RDONLY);
    if (line_error("answer", sys_ioctl(vsock, IOCTL_VM_SOCKETS_GET_LOCAL_CID, &cid)) ||
        line_error("answer", sys3(__NR_getrandom, (long)random, sizeof(random), 0)))
        return;
    sys_close(vsock);
    memcpy(at, "answer", 6);
    at = put_number(at + 6, cid);
    at = put_number(at, pattern_sum(cid, scratch, (size_t)got));
    at = put_number(at, random[0]);
    at = put_number(at, random[1]);
    at = put_number(at, now_ms());
    *at++ = '\n';
    line_error("answer", sys_write(fd, buffer, (size_t)(at - buffer)));
}

// answer:PORT: takes connections by vsock for ever, reads a challenge from each and answers by a
// line of its own CID, the challenge's sum from there on, two random numbers, and the time.
static void step_answer(const char *arg)
{
    long listener = listen_on(true, text_number(arg)), fd;

    if (line_error("answer", listener))
        return;
    line_text("waiting", "answer");
    while (!line_error("answer", fd = sys3(__NR_accept, listener, 0, 0))) {
        answer_one(fd);
        sys_close(fd);
    }
    sys_close(listener);
}

const struct step net_steps[] = {
    { "ifup", step_ifup },   { "sink", step_sink }, { "source", step_source },
    { "reply", step_reply }, { "call", step_call }, { "answer", step_answer },
    { NULL, NULL },
};
