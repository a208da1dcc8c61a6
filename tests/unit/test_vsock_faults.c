/* SPDX-License-Identifier: Apache-2.0 */
/* Proves the socket device when calls fail: nothing leaks, both sides are told, it goes on. */
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/error.h"
#include "core/util.h"
#include "vsock_guest.h"

enum call {
    CALLOC,
    REALLOC,
    EPOLL_CTL,
    SOCKET,
    BIND,
    LISTEN,
    UNLINK,
    LSTAT,
    RECV,
    SEND,
    RECVMSG,
    SENDMSG,
    ACCEPT4,
    GETRANDOM,
    CALLS
};

/* The left-th call from now on fails, on whatever thread. */
static struct {
    atomic_int left;
    int error;
} faults[CALLS];

static bool fails(enum call call)
{
    if (atomic_load(&faults[call].left) == 0 || atomic_fetch_sub(&faults[call].left, 1) != 1)
        return false;
    errno = faults[call].error;
    return true;
}

static void arm(enum call call, int n, int error)
{
    faults[call].error = error;
    atomic_store(&faults[call].left, n);
}

/* All that was armed has happened. */
static void ck_happened(void)
{
    for (int i = 0; i < CALLS; i++)
        ck_assert_msg(atomic_load(&faults[i].left) == 0, "call %d did not fail", i);
}

#define WRAP(call, failure, type, name, parameters, arguments)    \
    type __real_##name parameters;                                \
    type __wrap_##name parameters;                                \
    type __wrap_##name parameters                                 \
    {                                                             \
        return fails(call) ? (failure) : __real_##name arguments; \
    }

WRAP(CALLOC, NULL, void *, calloc, (size_t n, size_t size), (n, size))
WRAP(REALLOC, NULL, void *, realloc, (void *old, size_t size), (old, size))
WRAP(EPOLL_CTL, -1, int, epoll_ctl, (int e, int op, int fd, struct epoll_event *event),
     (e, op, fd, event))
WRAP(SOCKET, -1, int, socket, (int domain, int type, int protocol), (domain, type, protocol))
WRAP(BIND, -1, int, bind, (int fd, const struct sockaddr *address, socklen_t length),
     (fd, address, length))
WRAP(LISTEN, -1, int, listen, (int fd, int backlog), (fd, backlog))
WRAP(UNLINK, -1, int, unlink, (const char *path), (path))
WRAP(LSTAT, -1, int, lstat64, (const char *path, struct stat *info), (path, info))
WRAP(RECV, -1, ssize_t, recv, (int fd, void *to, size_t length, int flags), (fd, to, length, flags))
/* What recv() is in builds with fortified sources. */
WRAP(RECV, -1, ssize_t, __recv_chk, (int fd, void *to, size_t length, size_t size, int flags),
     (fd, to, length, size, flags))
WRAP(SEND, -1, ssize_t, send, (int fd, const void *from, size_t length, int flags),
     (fd, from, length, flags))
WRAP(RECVMSG, -1, ssize_t, recvmsg, (int fd, struct msghdr *message, int flags),
     (fd, message, flags))
WRAP(SENDMSG, -1, ssize_t, sendmsg, (int fd, const struct msghdr *message, int flags),
     (fd, message, flags))
WRAP(ACCEPT4, -1, int, accept4, (int fd, struct sockaddr *address, socklen_t *length, int flags),
     (fd, address, length, flags))
WRAP(GETRANDOM, -1, ssize_t, getrandom, (void *to, size_t length, unsigned flags),
     (to, length, flags))

static void disarm(void)
{
    for (int i = 0; i < CALLS; i++)
        atomic_store(&faults[i].left, 0);
}

static void setup_not_built(void)
{
    disarm();
    vs_make(0);
}

static void start(void)
{
    ck_assert_msg(guest_wire(&vs_guest) == 0, "%s", vs_guest.error);
    guest_start(&vs_guest);
    vs_drive(16);
}

START_TEST(test_build)
{
    static const struct {
        enum call call;
        int error;
        const char *text;
    } cases[] = {
        { SOCKET, EMFILE, "ulimit -n" },     { SOCKET, ENFILE, "fs.file-max" },
        { SOCKET, ENOMEM, "free memory" },   { BIND, EACCES, "may write to" },
        { BIND, ENOENT, "make the folder" }, { LISTEN, EADDRINUSE, "listen" },
    };

    for (size_t i = 0; i < NV_ARRAY_SIZE(cases); i++) {
        arm(cases[i].call, 1, cases[i].error);
        ck_assert_int_eq(guest_wire(&vs_guest), -cases[i].error);
        ck_happened();
        ck_assert_msg(strstr(vs_guest.error, cases[i].text) != NULL, "%s", vs_guest.error);
        ck_assert_int_lt(access(vs_path, F_OK), 0);
    }
    arm(GETRANDOM, 1, EAGAIN); /* early in the host's boot: another key */
    start();
    ck_happened();
    ck_assert_uint_eq(vs_device->hash_key & 1, 1);
}
END_TEST

/* What may go wrong with an old socket file at the path. */
START_TEST(test_stale_file)
{
    int old = vs_listen(1);

    ck_assert_int_eq(rename(nv_text("%s_1", vs_path).s, vs_path), 0);
    close(old);
    arm(LSTAT, 2, EACCES);
    ck_assert_int_eq(guest_wire(&vs_guest), -EACCES);
    arm(UNLINK, 1, EPERM);
    ck_assert_int_eq(guest_wire(&vs_guest), -EPERM);
    ck_assert_ptr_nonnull(strstr(vs_guest.error, "remove the old socket file"));
    arm(LSTAT, 3, EACCES); /* the last look, after the two have changed places */
    ck_assert_int_eq(guest_wire(&vs_guest), -EACCES);
    ck_happened();
    vs_must_be_alone();
    ck_assert_int_eq(nv_vsock_connect_path(vs_path), -ECONNREFUSED);
    start();
    vs_must_be_alone();
    close(vs_client("CONNECT 1\n"));
}
END_TEST

START_TEST(test_no_memory_for_a_connection)
{
    static const enum call calls[] = { REALLOC, CALLOC };
    int listener = vs_listen(VS_PORT);
    int fd;

    start();
    vs_tx_op(NV_VSOCK_RST); /* the queue has its memory */
    for (size_t i = 0; i < NV_ARRAY_SIZE(calls); i++) {
        arm(calls[i], 1, ENOMEM);
        vs_tx_op(NV_VSOCK_REQUEST);
        ck_happened();
        vs_expect(NV_VSOCK_RST, NULL);
        fd = vs_accept(listener);
        ck_assert(vs_is_at_end(fd));
        close(fd);
        arm(CALLOC, 1, ENOMEM);
        fd = vs_client("CONNECT 1\n");
        ck_assert(vs_is_at_end(fd));
        close(fd);
    }
    ck_assert_uint_eq(guest_get_u64(&vs_guest, "refused"), 4);
    close(vs_connect_guest(listener, VS_GUEST_PORT));
    close(listener);
}
END_TEST

/* Bytes that neither the socket nor we have room for. */
START_TEST(test_no_memory_for_bytes)
{
    static uint8_t chunk[32768];
    struct nv_vsock_header header = vs_header(NV_VSOCK_RW);
    int listener = vs_listen(VS_PORT);
    struct nv_vsock_connection *c;
    struct vs_packet packet;
    int fd;

    start();
    fd = vs_connect_guest(listener, VS_GUEST_PORT);
    c = nv_vsock_find(vs_device, VS_PORT, VS_GUEST_PORT);
    while (c->held_length == 0)
        vs_tx(&header, chunk, sizeof(chunk));
    arm(REALLOC, 1, ENOMEM);
    for (int i = 0; i < 4 && atomic_load(&faults[REALLOC].left) > 0; i++)
        vs_tx(&header, chunk, sizeof(chunk));
    ck_happened();
    do
        ck_assert(vs_rx_within(&packet, 0));
    while (packet.header.op == NV_VSOCK_CREDIT_UPDATE);
    ck_assert_uint_eq(packet.header.op, NV_VSOCK_RST);
    vs_expect_counter("connections_open", 0);
    close(fd);
    close(listener);
}
END_TEST

/* Interrupted calls are made again; others end the connection. */
START_TEST(test_bytes)
{
    struct nv_vsock_header header = vs_header(NV_VSOCK_RW);
    int listener = vs_listen(VS_PORT);
    struct vs_packet packet;
    int fd;

    start();
    fd = vs_connect_guest(listener, VS_GUEST_PORT);
    arm(SENDMSG, 1, EINTR);
    arm(SEND, 1, EINTR);
    vs_tx(&header, "one", 3);
    vs_expect_bytes(fd, "one");
    ck_happened();
    __real_send(fd, "two", 3, 0);
    arm(RECVMSG, 1, EINTR);
    vs_look();
    vs_expect(NV_VSOCK_RW, &packet);
    ck_happened();
    arm(SENDMSG, 1, ENOBUFS);
    vs_tx(&header, "lost", 4);
    vs_expect(NV_VSOCK_SHUTDOWN, &packet);
    ck_assert_uint_eq(packet.header.flags, NV_VSOCK_NO_RECEIVE);
    __real_send(fd, "three", 5, 0);
    arm(RECVMSG, 1, EIO);
    vs_expect(NV_VSOCK_RST, NULL);
    vs_expect_counter("connections_open", 0);
    close(fd);
    close(listener);
}
END_TEST

START_TEST(test_handshake)
{
    struct nv_vsock_header header = vs_header(NV_VSOCK_RESPONSE);
    struct vs_packet packet;
    int fd;

    start();
    fd = vs_client("CONNECT 5\n");
    arm(RECV, 1, EINTR);
    vs_look();
    vs_expect(NV_VSOCK_REQUEST, &packet);
    ck_happened();
    header.src_port = 5;
    header.dst_port = packet.header.src_port;
    arm(SEND, 1, EPIPE);
    vs_tx(&header, NULL, 0);
    ck_happened();
    vs_expect(NV_VSOCK_RST, NULL);
    close(fd);
    fd = vs_client("CONNECT 5\n");
    arm(RECV, 2, EIO); /* the bytes that were there are gone */
    vs_look();
    ck_happened();
    vs_expect_nothing();
    ck_assert(vs_is_at_end(fd));
    close(fd);
    ck_assert_uint_eq(guest_get_u64(&vs_guest, "refused"), 2);
}
END_TEST

/* A client is asked to wait when something has run out, and not when it has gone by itself. */
START_TEST(test_accept)
{
    static const int errors[] = { EMFILE, ENFILE, ENOBUFS, ENOMEM };

    start();
    for (size_t i = 0; i < NV_ARRAY_SIZE(errors); i++) {
        arm(ACCEPT4, 1, errors[i]);
        vs_look();
        ck_assert_uint_ne(vs_device->listener_retry_ns, 0);
        vs_device->listener_retry_ns = 0;
    }
    arm(ACCEPT4, 1, ECONNABORTED);
    vs_look();
    ck_assert_uint_eq(vs_device->listener_retry_ns, 0);
}
END_TEST

/* Sockets that cannot be watched at the moment are tried again. */
START_TEST(test_loop)
{
    uint32_t port;
    int fd;

    disarm();
    vs_make(GUEST_LOOP);
    ck_assert_int_eq(guest_wire(&vs_guest), 0);
    guest_start(&vs_guest);
    arm(EPOLL_CTL, 1, ENOSPC);
    vs_drive(16); /* the listener */
    ck_happened();
    fd = vs_client("");
    vs_expect_counter("connections_open", 1);
    close(fd);
    vs_expect_counter("connections_open", 0);
    arm(EPOLL_CTL, 1, ENOMEM);
    fd = vs_connect_host(VS_GUEST_PORT, &port);
    ck_happened();
    __real_send(fd, "late", 4, 0);
    vs_expect(NV_VSOCK_RW, NULL);
    close(fd);
    vs_unmake();
}
END_TEST

Suite *nv_test_suite(void)
{
    Suite *suite = suite_create("vsock_faults");
    TCase *tcase = support_case(suite, "faults", 60);
    TCase *looped = support_case(suite, "loop", 60);

    tcase_add_checked_fixture(tcase, setup_not_built, vs_unmake);
    tcase_add_test(tcase, test_build);
    tcase_add_test(tcase, test_stale_file);
    tcase_add_test(tcase, test_no_memory_for_a_connection);
    tcase_add_test(tcase, test_no_memory_for_bytes);
    tcase_add_test(tcase, test_bytes);
    tcase_add_test(tcase, test_handshake);
    tcase_add_test(tcase, test_accept);
    tcase_add_test(looped, test_loop);
    return suite;
}
