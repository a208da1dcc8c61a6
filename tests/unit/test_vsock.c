/* SPDX-License-Identifier: Apache-2.0 */
/* Proves the socket device with sound guests and hosts: connects, bytes, ends; with and without
 * loop. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/util.h"
#include "vsock_guest.h"

START_TEST(test_registers)
{
    ck_assert_uint_eq(guest_read32(&vs_guest, NV_VIRTIO_REG_DEVICE_ID), 19);
    ck_assert_uint_eq(guest_config(&vs_guest, 0, 8), VS_CID);
    ck_assert_uint_eq(guest_get_u64(&vs_guest, "connections"), 1024);
    ck_assert_uint_eq(vs_guest.queue_count, 3);
}
END_TEST

START_TEST(test_guest_connects)
{
    int listener = vs_listen(VS_PORT);
    int fd = vs_connect_guest(listener, VS_GUEST_PORT);
    struct nv_vsock_header header = vs_header(NV_VSOCK_RW);
    struct vs_packet packet;

    ck_assert_uint_eq(guest_get_u64(&vs_guest, "connections_open"), 1);
    vs_tx(&header, "hello", 5);
    vs_expect_bytes(fd, "hello");
    ck_assert_int_eq((int)send(fd, "there", 5, 0), 5);
    vs_expect(NV_VSOCK_RW, &packet);
    ck_assert_uint_eq(packet.header.length, 5);
    ck_assert_mem_eq(packet.data, "there", 5);
    ck_assert_uint_eq(packet.header.src_port, VS_PORT);
    ck_assert_uint_eq(packet.header.dst_port, VS_GUEST_PORT);
    ck_assert_uint_eq(packet.header.fwd_cnt, 5);
    header = vs_header(NV_VSOCK_SHUTDOWN);
    header.flags = NV_VSOCK_BOTH;
    vs_tx(&header, NULL, 0);
    vs_expect(NV_VSOCK_RST, NULL);
    ck_assert(vs_is_at_end(fd));
    vs_expect_nothing();
    ck_assert_uint_eq(guest_get_u64(&vs_guest, "connections_open"), 0);
    ck_assert_uint_eq(guest_get_u64(&vs_guest, "tx_bytes"), 5);
    ck_assert_uint_eq(guest_get_u64(&vs_guest, "rx_bytes"), 5);
    ck_assert_uint_eq(guest_get_u64(&vs_guest, "refused"), 0);
    close(fd);
    close(listener);
}
END_TEST

START_TEST(test_guest_is_refused)
{
    struct vs_packet packet;

    vs_tx_op(NV_VSOCK_REQUEST);
    vs_expect(NV_VSOCK_RST, &packet);
    ck_assert_uint_eq(packet.header.src_cid, NV_VSOCK_HOST_CID);
    ck_assert_uint_eq(packet.header.src_port, VS_PORT);
    ck_assert_uint_eq(packet.header.dst_port, VS_GUEST_PORT);
    ck_assert_uint_eq(guest_get_u64(&vs_guest, "refused"), 1);
    ck_assert_uint_eq(guest_get_u64(&vs_guest, "connections_open"), 0);
    vs_expect_nothing();
}
END_TEST

/* A service that takes nobody: more would have to wait. */
START_TEST(test_guest_is_refused_by_full_backlog)
{
    int listener = vs_listen(VS_PORT);
    struct nv_vsock_header header = vs_header(NV_VSOCK_REQUEST);
    struct vs_packet packet;

    ck_assert_int_eq(listen(listener, 0), 0);
    close(vs_connect_guest(listener, 1));
    vs_expect(NV_VSOCK_SHUTDOWN, NULL);
    header.src_port = 2;
    vs_tx(&header, NULL, 0);
    vs_expect(NV_VSOCK_RESPONSE, NULL); /* waits in the backlog */
    header.src_port = 3;
    vs_tx(&header, NULL, 0);
    vs_expect(NV_VSOCK_RST, &packet);
    ck_assert_uint_eq(packet.header.dst_port, 3);
    ck_assert_uint_eq(guest_get_u64(&vs_guest, "refused"), 1);
    close(listener);
}
END_TEST

START_TEST(test_host_connects)
{
    uint32_t port;
    int fd = vs_connect_host(VS_GUEST_PORT, &port);
    struct nv_vsock_header header = vs_header(NV_VSOCK_RW);
    struct vs_packet packet;

    ck_assert_uint_ge(port, 0x40000000);
    header.dst_port = port;
    vs_tx(&header, "hi", 2);
    vs_expect_bytes(fd, "hi");
    ck_assert_int_eq((int)send(fd, "ho", 2, 0), 2);
    vs_expect(NV_VSOCK_RW, &packet);
    ck_assert_mem_eq(packet.data, "ho", 2);
    close(fd);
    vs_expect(NV_VSOCK_SHUTDOWN, &packet);
    ck_assert_uint_eq(packet.header.flags, NV_VSOCK_BOTH);
    header.op = NV_VSOCK_RST;
    vs_tx(&header, NULL, 0);
    vs_expect_nothing();
    ck_assert_uint_eq(guest_get_u64(&vs_guest, "connections_open"), 0);
}
END_TEST

START_TEST(test_host_is_refused)
{
    struct nv_vsock_header header = vs_header(NV_VSOCK_RST);
    struct vs_packet packet;
    int fd = vs_client("CONNECT 9\n");

    vs_expect(NV_VSOCK_REQUEST, &packet);
    header.src_port = 9;
    header.dst_port = packet.header.src_port;
    vs_tx(&header, NULL, 0);
    ck_assert(vs_is_at_end(fd));
    vs_expect_nothing();
    ck_assert_uint_eq(guest_get_u64(&vs_guest, "refused"), 1);
    ck_assert_uint_eq(guest_get_u64(&vs_guest, "connections_open"), 0);
    close(fd);
}
END_TEST

START_TEST(test_two_hosts_have_two_ports)
{
    uint32_t one;
    uint32_t two;
    int first = vs_connect_host(VS_GUEST_PORT, &one);
    int second = vs_connect_host(VS_GUEST_PORT, &two);

    ck_assert_uint_ne(one, two);
    close(first);
    close(second);
}
END_TEST

/* Ports of the host that the guest has taken itself are left out. */
START_TEST(test_ports_in_use_are_left_out)
{
    struct nv_vsock_header header = vs_header(NV_VSOCK_REQUEST);
    int listener = vs_listen(0x40000000);
    uint32_t port;
    int fd;

    header.dst_port = 0x40000000;
    vs_tx(&header, NULL, 0);
    vs_expect(NV_VSOCK_RESPONSE, NULL);
    fd = vs_connect_host(VS_GUEST_PORT, &port);
    ck_assert_uint_eq(port, 0x40000001);
    close(fd);
    close(listener);
}
END_TEST

static const char *const bad_lines[] = {
    "\n",
    "HELLO 5\n",
    "CONNECT\n",
    "CONNECT \n",
    "CONNECT x\n",
    "CONNECT -1\n",
    "CONNECT 5 5\n",
    "CONNECT  5\n",
    "CONNECT 5",
    "CONNECT 4294967295\n",
    "CONNECT 99999999999999999999\n",
    "CONNECT 000000000000000000000000000005\n",
    "CONNECT 5\r\r\n",
    "XXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXX",
};

START_TEST(test_bad_lines)
{
    for (size_t i = 0; i < NV_ARRAY_SIZE(bad_lines); i++) {
        int fd = vs_client(bad_lines[i]);
        uint8_t byte;
        ssize_t got;

        shutdown(fd, SHUT_WR);
        vs_expect_counter("refused", i + 1);
        got = recv(fd, &byte, 1, 0);
        ck_assert_msg(got == 0 || (got < 0 && errno == ECONNRESET), "line %zu: %zd", i, got);
        vs_expect_nothing();
        close(fd);
    }
    ck_assert_uint_eq(guest_get_u64(&vs_guest, "connections_open"), 0);
}
END_TEST

START_TEST(test_line_in_pieces)
{
    static const char *const pieces[] = { "c", "onnect", " ", "6", "553", "4\r", "\nbehind" };
    struct nv_vsock_header header = vs_header(NV_VSOCK_RESPONSE);
    struct vs_packet packet;
    int fd = vs_client("");

    for (size_t i = 0; i < NV_ARRAY_SIZE(pieces); i++) {
        vs_expect_nothing();
        send(fd, pieces[i], strlen(pieces[i]), 0);
    }
    vs_expect(NV_VSOCK_REQUEST, &packet);
    ck_assert_uint_eq(packet.header.dst_port, 65534);
    vs_expect_nothing();
    header.src_port = 65534;
    header.dst_port = packet.header.src_port;
    vs_tx(&header, NULL, 0);
    vs_expect(NV_VSOCK_RW, &packet);
    ck_assert_uint_eq(packet.header.length, 6);
    ck_assert_mem_eq(packet.data, "behind", 6);
    vs_expect_bytes(fd, "OK 1073741824\n");
    close(fd);
}
END_TEST

/* The client leaves before the guest has answered. */
START_TEST(test_host_gives_up)
{
    int fd = vs_client("CONNECT 9\n");

    vs_expect(NV_VSOCK_REQUEST, NULL);
    close(fd);
    vs_expect(NV_VSOCK_RST, NULL);
    ck_assert_uint_eq(guest_get_u64(&vs_guest, "refused"), 1);
    vs_expect_counter("connections_open", 0);
}
END_TEST

/* Something else than a RESPONSE to our REQUEST. */
START_TEST(test_wrong_answer)
{
    struct nv_vsock_header header = vs_header(NV_VSOCK_CREDIT_UPDATE);
    struct vs_packet packet;
    int fd = vs_client("CONNECT 9\n");

    vs_expect(NV_VSOCK_REQUEST, &packet);
    header.src_port = 9;
    header.dst_port = packet.header.src_port;
    vs_tx(&header, NULL, 0);
    vs_expect_nothing();
    header.op = NV_VSOCK_RW;
    vs_tx(&header, "x", 1);
    vs_expect(NV_VSOCK_RST, NULL);
    ck_assert(vs_is_at_end(fd));
    close(fd);
}
END_TEST

START_TEST(test_host_ends_first)
{
    int listener = vs_listen(VS_PORT);
    int fd = vs_connect_guest(listener, VS_GUEST_PORT);
    struct nv_vsock_header header = vs_header(NV_VSOCK_RW);
    struct vs_packet packet;

    send(fd, "last", 4, 0);
    shutdown(fd, SHUT_WR);
    vs_expect(NV_VSOCK_RW, &packet);
    ck_assert_uint_eq(packet.header.length, 4);
    vs_expect(NV_VSOCK_SHUTDOWN, &packet);
    ck_assert_uint_eq(packet.header.flags, NV_VSOCK_NO_SEND);
    /* The other way still works. */
    vs_tx(&header, "answer", 6);
    vs_expect_bytes(fd, "answer");
    vs_expect_nothing();
    header = vs_header(NV_VSOCK_SHUTDOWN);
    header.flags = NV_VSOCK_NO_SEND;
    vs_tx(&header, NULL, 0);
    ck_assert(vs_is_at_end(fd));
    /* Now nothing goes either way. */
    vs_expect(NV_VSOCK_SHUTDOWN, &packet);
    ck_assert_uint_eq(packet.header.flags, NV_VSOCK_BOTH);
    vs_tx_op(NV_VSOCK_RST);
    vs_expect_counter("connections_open", 0);
    close(fd);
    close(listener);
}
END_TEST

START_TEST(test_guest_ends_first)
{
    int listener = vs_listen(VS_PORT);
    int fd = vs_connect_guest(listener, VS_GUEST_PORT);
    struct nv_vsock_header header = vs_header(NV_VSOCK_RW);
    struct vs_packet packet;

    vs_tx(&header, "last", 4);
    header = vs_header(NV_VSOCK_SHUTDOWN);
    header.flags = NV_VSOCK_NO_SEND;
    vs_tx(&header, NULL, 0);
    vs_expect_bytes(fd, "last");
    ck_assert(vs_is_at_end(fd));
    vs_expect_nothing();
    send(fd, "answer", 6, 0);
    vs_expect(NV_VSOCK_RW, &packet);
    ck_assert_uint_eq(packet.header.length, 6);
    /* Bytes behind the end are a breach. */
    header = vs_header(NV_VSOCK_RW);
    vs_tx(&header, "more", 4);
    vs_expect(NV_VSOCK_RST, NULL);
    vs_expect_counter("connections_open", 0);
    close(fd);
    close(listener);
}
END_TEST

START_TEST(test_guest_does_not_receive)
{
    int listener = vs_listen(VS_PORT);
    int fd = vs_connect_guest(listener, VS_GUEST_PORT);
    struct nv_vsock_header header = vs_header(NV_VSOCK_SHUTDOWN);
    struct vs_packet packet;

    header.flags = NV_VSOCK_NO_RECEIVE;
    vs_tx(&header, NULL, 0);
    ck_assert_int_eq((int)send(fd, "x", 1, MSG_NOSIGNAL), -1);
    ck_assert_int_eq(errno, EPIPE);
    vs_expect_nothing();
    header = vs_header(NV_VSOCK_RW);
    vs_tx(&header, "still", 5);
    vs_expect_bytes(fd, "still");
    close(fd);
    vs_expect(NV_VSOCK_SHUTDOWN, &packet);
    ck_assert_uint_eq(packet.header.flags, NV_VSOCK_BOTH);
    close(listener);
}
END_TEST

START_TEST(test_host_does_not_receive)
{
    int listener = vs_listen(VS_PORT);
    int fd = vs_connect_guest(listener, VS_GUEST_PORT);
    struct nv_vsock_header header = vs_header(NV_VSOCK_RW);
    struct vs_packet packet;

    shutdown(fd, SHUT_RD);
    vs_tx(&header, "x", 1);
    vs_expect(NV_VSOCK_SHUTDOWN, &packet);
    ck_assert_uint_eq(packet.header.flags, NV_VSOCK_NO_RECEIVE);
    send(fd, "still", 5, 0);
    vs_expect(NV_VSOCK_RW, &packet);
    ck_assert_uint_eq(packet.header.length, 5);
    vs_tx(&header, "y", 1); /* was under way */
    vs_expect_nothing();
    close(fd);
    vs_expect(NV_VSOCK_SHUTDOWN, &packet);
    ck_assert_uint_eq(packet.header.flags, NV_VSOCK_BOTH);
    vs_tx(&header, "z", 1);
    vs_expect_nothing();
    header = vs_header(NV_VSOCK_SHUTDOWN);
    header.flags = NV_VSOCK_BOTH;
    vs_tx(&header, NULL, 0);
    vs_expect(NV_VSOCK_RST, NULL);
    vs_expect_counter("connections_open", 0);
    close(listener);
}
END_TEST

/* Buffers of the event queue are kept: there is no event. */
START_TEST(test_event_queue)
{
    uint64_t address = guest_alloc(&vs_guest, 8);

    guest_add(&vs_guest, NV_VSOCK_EVENT, &(struct guest_part){ address, 8, true }, 1);
    guest_kick(&vs_guest, NV_VSOCK_EVENT);
    ck_assert(!guest_wait_used(&vs_guest, NV_VSOCK_EVENT, NULL, NULL, 20));
    vs_tx_op(NV_VSOCK_REQUEST);
    vs_expect(NV_VSOCK_RST, NULL);
}
END_TEST

static void add_tests(TCase *tcase)
{
    tcase_add_test(tcase, test_registers);
    tcase_add_test(tcase, test_guest_connects);
    tcase_add_test(tcase, test_guest_is_refused);
    tcase_add_test(tcase, test_guest_is_refused_by_full_backlog);
    tcase_add_test(tcase, test_host_connects);
    tcase_add_test(tcase, test_host_is_refused);
    tcase_add_test(tcase, test_two_hosts_have_two_ports);
    tcase_add_test(tcase, test_ports_in_use_are_left_out);
    tcase_add_test(tcase, test_bad_lines);
    tcase_add_test(tcase, test_line_in_pieces);
    tcase_add_test(tcase, test_host_gives_up);
    tcase_add_test(tcase, test_wrong_answer);
    tcase_add_test(tcase, test_host_ends_first);
    tcase_add_test(tcase, test_guest_ends_first);
    tcase_add_test(tcase, test_guest_does_not_receive);
    tcase_add_test(tcase, test_host_does_not_receive);
    tcase_add_test(tcase, test_event_queue);
}

Suite *nv_test_suite(void)
{
    Suite *suite = suite_create("vsock");

    vs_add_both(suite, add_tests);
    return suite;
}
