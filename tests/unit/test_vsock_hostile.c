/* SPDX-License-Identifier: Apache-2.0 */
/* Proves the socket device against hostile guests: packets, credit, a broken ring.
 */
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/util.h"
#include "vsock_guest.h"

/* Sends bytes as they are: a header that may lie about what follows. */
static void send_raw(const void *bytes, uint32_t length)
{
    uint64_t at = guest_alloc(&vs_guest, length);

    memcpy(guest_mem(&vs_guest, at, length), bytes, length);
    guest_add(&vs_guest, NV_VSOCK_TX, &(struct guest_part){ at, length, false }, 1);
    guest_kick(&vs_guest, NV_VSOCK_TX);
    ck_assert(guest_wait_used(&vs_guest, NV_VSOCK_TX, NULL, NULL, 5000));
}

START_TEST(test_hostile_46_vsock_wrong_addresses_and_types)
{
    static const struct {
        uint64_t src_cid, dst_cid;
        uint16_t type, op;
    } cases[] = {
        { 4, 2, 1, NV_VSOCK_REQUEST },
        { 2, 2, 1, NV_VSOCK_REQUEST },
        { 3, 3, 1, NV_VSOCK_REQUEST },
        { 3, 0, 1, NV_VSOCK_REQUEST },
        { 3, 1ull << 32 | 2, 1, NV_VSOCK_RW },
        { 1ull << 32 | 3, 2, 1, NV_VSOCK_RW },
        { 3, 2, 0, NV_VSOCK_REQUEST },
        { 3, 2, 2, NV_VSOCK_REQUEST },
        { 3, 2, 0xffff, NV_VSOCK_REQUEST },
        { 3, 2, 1, 0 },
        { 3, 2, 1, 8 },
        { 3, 2, 1, 0xffff },
        { 3, 2, 1, NV_VSOCK_RESPONSE },
        { 3, 2, 1, NV_VSOCK_SHUTDOWN },
        { 3, 2, 1, NV_VSOCK_RW },
        { 3, 2, 1, NV_VSOCK_CREDIT_UPDATE },
        { 3, 2, 1, NV_VSOCK_CREDIT_REQUEST },
    };
    int listener = vs_listen(VS_PORT);

    for (size_t i = 0; i < NV_ARRAY_SIZE(cases); i++) {
        struct nv_vsock_header header = vs_header(cases[i].op);
        struct vs_packet packet;

        header.src_cid = cases[i].src_cid;
        header.dst_cid = cases[i].dst_cid;
        header.type = cases[i].type;
        vs_tx(&header, NULL, 0);
        vs_expect(NV_VSOCK_RST, &packet);
        ck_assert_uint_eq(packet.header.src_cid, cases[i].dst_cid);
        ck_assert_uint_eq(packet.header.src_port, VS_PORT);
        ck_assert_uint_eq(packet.header.dst_port, VS_GUEST_PORT);
        ck_assert_uint_eq(packet.header.type, cases[i].type);
        /* A RST is never answered, right or wrong. */
        header.op = NV_VSOCK_RST;
        vs_tx(&header, NULL, 0);
        vs_expect_nothing();
    }
    ck_assert_uint_eq(guest_get_u64(&vs_guest, "connections_open"), 0);
    ck_assert_uint_eq(guest_get_u64(&vs_guest, "faults"), 0);
    close(listener);
}
END_TEST

/* What an open connection must not hear. */
START_TEST(test_hostile_46_vsock_wrong_operations)
{
    static const uint16_t ops[] = { 0, NV_VSOCK_REQUEST, NV_VSOCK_RESPONSE, 8, 0x8000 };
    int listener = vs_listen(VS_PORT);

    for (size_t i = 0; i < NV_ARRAY_SIZE(ops); i++) {
        int fd = vs_connect_guest(listener, VS_GUEST_PORT);

        vs_tx_op(ops[i]);
        vs_expect(NV_VSOCK_RST, NULL);
        ck_assert(vs_is_at_end(fd));
        vs_expect_nothing();
        ck_assert_uint_eq(guest_get_u64(&vs_guest, "connections_open"), 0);
        close(fd);
    }
    close(listener);
}
END_TEST

START_TEST(test_hostile_46_vsock_length_beyond_the_buffer)
{
    static const uint32_t lengths[] = { 1, 5, 4096, 0x7fffffff, 0xffffffff };
    int listener = vs_listen(VS_PORT);

    for (size_t i = 0; i < NV_ARRAY_SIZE(lengths); i++) {
        struct nv_vsock_header header = vs_header(NV_VSOCK_RW);
        int fd = vs_connect_guest(listener, VS_GUEST_PORT);

        header.length = lengths[i];
        vs_tx(&header, "1234", lengths[i] > 4 ? 4 : 0);
        vs_expect(NV_VSOCK_RST, NULL);
        ck_assert(vs_is_at_end(fd));
        close(fd);
        header.op = NV_VSOCK_REQUEST; /* of no connection: none is made */
        vs_tx(&header, NULL, 0);
        vs_expect(NV_VSOCK_RST, NULL);
        ck_assert_uint_eq(guest_get_u64(&vs_guest, "connections_open"), 0);
    }
    close(listener);
}
END_TEST

START_TEST(test_hostile_46_vsock_short_headers)
{
    uint8_t bytes[NV_VSOCK_HEADER] = { 0 };
    uint64_t at = guest_alloc(&vs_guest, 64);

    for (uint32_t length = 1; length < NV_VSOCK_HEADER; length++)
        send_raw(bytes, length);
    ck_assert_uint_eq(guest_get_u64(&vs_guest, "dropped"), NV_VSOCK_HEADER - 1);
    vs_expect_nothing();
    /* A buffer that is for writing has no header. */
    guest_add(&vs_guest, NV_VSOCK_TX, &(struct guest_part){ at, 64, true }, 1);
    guest_kick(&vs_guest, NV_VSOCK_TX);
    ck_assert(guest_wait_used(&vs_guest, NV_VSOCK_TX, NULL, NULL, 5000));
    ck_assert_uint_eq(guest_get_u64(&vs_guest, "dropped"), NV_VSOCK_HEADER);
    ck_assert_uint_eq(guest_get_u64(&vs_guest, "faults"), 0);
}
END_TEST

/* A header in bytes, one buffer each. */
START_TEST(test_hostile_46_vsock_header_in_pieces)
{
    uint64_t at = guest_alloc(&vs_guest, NV_VSOCK_HEADER);
    struct guest_part parts[NV_VSOCK_HEADER];
    uint8_t *bytes = guest_mem(&vs_guest, at, NV_VSOCK_HEADER);

    memset(bytes, 0, NV_VSOCK_HEADER);
    bytes[0] = VS_CID;
    bytes[8] = NV_VSOCK_HOST_CID;
    bytes[28] = NV_VSOCK_STREAM;
    bytes[30] = NV_VSOCK_REQUEST;
    for (uint32_t i = 0; i < NV_VSOCK_HEADER; i++)
        parts[i] = (struct guest_part){ at + i, 1, false };
    ck_assert_int_ge(guest_add(&vs_guest, NV_VSOCK_TX, parts, NV_VSOCK_HEADER), 0);
    guest_kick(&vs_guest, NV_VSOCK_TX);
    vs_expect(NV_VSOCK_RST, NULL);
}
END_TEST

/* Buffers too small for a header, or for a byte behind it; and then one of many small pieces. */
START_TEST(test_hostile_46_vsock_tiny_receive_buffers)
{
    static const uint32_t sizes[] = { 1, 43, 44 };
    struct guest_part parts[60];
    uint64_t at = guest_alloc(&vs_guest, 256);
    int listener = vs_listen(VS_PORT);
    int fd = vs_connect_guest(listener, VS_GUEST_PORT);
    uint32_t length;
    struct vs_packet packet;

    vs_refill = false;
    while (vs_rx_within(&packet, 0))
        ;
    for (uint32_t i = 0; i < 31; i++) { /* use up the proper ones */
        send(fd, "x", 1, 0);
        vs_expect(NV_VSOCK_RW, NULL);
    }
    vs_refill = true;
    vs_tx_op(NV_VSOCK_CREDIT_REQUEST);
    vs_expect(NV_VSOCK_CREDIT_UPDATE, NULL);
    vs_refill = false;
    send(fd, "x", 1, 0);
    vs_expect(NV_VSOCK_RW, NULL);
    send(fd, "hello, small world", 18, 0);
    for (size_t i = 0; i < NV_ARRAY_SIZE(sizes); i++) {
        guest_add(&vs_guest, NV_VSOCK_RX, &(struct guest_part){ at, sizes[i], true }, 1);
        guest_kick(&vs_guest, NV_VSOCK_RX);
        ck_assert(guest_wait_used(&vs_guest, NV_VSOCK_RX, NULL, &length, 5000));
        ck_assert_uint_eq(length, 0);
    }
    for (uint32_t i = 0; i < NV_ARRAY_SIZE(parts); i++)
        parts[i] = (struct guest_part){ at + i, 1, true };
    guest_add(&vs_guest, NV_VSOCK_RX, parts, NV_ARRAY_SIZE(parts));
    guest_kick(&vs_guest, NV_VSOCK_RX);
    ck_assert(guest_wait_used(&vs_guest, NV_VSOCK_RX, NULL, &length, 5000));
    ck_assert_uint_eq(length, 60);
    ck_assert_mem_eq((uint8_t *)guest_mem(&vs_guest, at, 60) + NV_VSOCK_HEADER, "hello, small wor",
                     16);
    vs_give(1, 100);
    vs_expect(NV_VSOCK_RW, &packet);
    ck_assert_mem_eq(packet.data, "ld", 2);
    /* A packet without bytes needs its whole header, too. */
    vs_tx_op(NV_VSOCK_CREDIT_REQUEST);
    guest_add(&vs_guest, NV_VSOCK_RX, &(struct guest_part){ at, 43, true }, 1);
    guest_kick(&vs_guest, NV_VSOCK_RX);
    ck_assert(guest_wait_used(&vs_guest, NV_VSOCK_RX, NULL, &length, 5000));
    ck_assert_uint_eq(length, 0);
    vs_give(1, NV_VSOCK_HEADER);
    vs_expect(NV_VSOCK_CREDIT_UPDATE, NULL);
    close(fd);
    close(listener);
}
END_TEST

/* Credit of nothing, of everything, and taken back. What the host has is held in its socket. */
START_TEST(test_hostile_47_vsock_credit_lies)
{
    static const struct {
        uint32_t buf_alloc, fwd_cnt;
        uint32_t credit; /* when 1,000 bytes were sent */
    } cases[] = {
        { 0, 0, 0 },
        { 0xffffffff, 0, 0xffffffff - 1000 },
        { 0xffffffff, 1000, 0xffffffff },
        { 1000, 0, 0 },
        { 999, 0, 0 },
        { 1001, 0, 1 },
        { 4096, 1000, 4096 },
        { 4096, 1001, 0 }, /* more than was sent */
        { 4096, 0x80000000, 0 },
        { 0x80000000, 0x80000000, 0 },
        { 0xffffffff, 0x80000000, 0x80000000u - 1001 },
    };
    struct nv_vsock_connection *c;
    int listener = vs_listen(VS_PORT);
    int fd = vs_connect_guest(listener, VS_GUEST_PORT);
    static uint8_t bytes[1000];
    struct nv_vsock_header header = vs_header(NV_VSOCK_CREDIT_UPDATE);
    struct vs_packet packet;

    send(fd, bytes, sizeof(bytes), 0);
    vs_expect(NV_VSOCK_RW, &packet);
    ck_assert_uint_eq(packet.header.length, 1000);
    c = nv_vsock_find(vs_device, VS_PORT, VS_GUEST_PORT);
    ck_assert_ptr_nonnull(c);
    for (size_t i = 0; i < NV_ARRAY_SIZE(cases); i++) {
        header.buf_alloc = cases[i].buf_alloc;
        header.fwd_cnt = cases[i].fwd_cnt;
        vs_tx(&header, NULL, 0);
        ck_assert_msg(nv_vsock_credit(c) == cases[i].credit, "case %zu: %u", i, nv_vsock_credit(c));
    }
    close(fd);
    close(listener);
}
END_TEST

START_TEST(test_hostile_47_vsock_counters_wrap)
{
    int listener = vs_listen(VS_PORT);
    int fd = vs_connect_guest(listener, VS_GUEST_PORT);
    struct nv_vsock_connection *c = nv_vsock_find(vs_device, VS_PORT, VS_GUEST_PORT);
    struct nv_vsock_header header = vs_header(NV_VSOCK_CREDIT_UPDATE);
    struct vs_packet packet;
    static uint8_t bytes[300];

    nv_virtio_lock(&vs_device->virtio);
    c->sent = c->peer_fwd_cnt = 0xffffff00;
    c->forwarded = c->told = 0xffffff00;
    nv_virtio_unlock(&vs_device->virtio);
    header.fwd_cnt = 0xffffff00;
    vs_tx(&header, NULL, 0);
    send(fd, bytes, sizeof(bytes), 0);
    vs_expect(NV_VSOCK_RW, &packet);
    ck_assert_uint_eq(packet.header.length, 300);
    ck_assert_uint_eq(nv_vsock_credit(c), VS_WINDOW - 300);
    header.fwd_cnt = 44;
    header.op = NV_VSOCK_RW;
    vs_tx(&header, bytes, sizeof(bytes));
    ck_assert_uint_eq(nv_vsock_credit(c), VS_WINDOW);
    vs_tx_op(NV_VSOCK_CREDIT_REQUEST);
    vs_expect(NV_VSOCK_CREDIT_UPDATE, &packet);
    ck_assert_uint_eq(packet.header.fwd_cnt, 44);
    close(fd);
    close(listener);
}
END_TEST

/* A guest without room gets nothing, is asked once, and then gets it. */
START_TEST(test_hostile_47_vsock_no_credit)
{
    struct nv_vsock_header header = vs_header(NV_VSOCK_REQUEST);
    int listener = vs_listen(VS_PORT);
    struct vs_packet packet;
    int fd;

    header.buf_alloc = 0;
    vs_tx(&header, NULL, 0);
    vs_expect(NV_VSOCK_RESPONSE, NULL);
    fd = vs_accept(listener);
    send(fd, "0123456789", 10, 0);
    vs_expect_nothing();
    header.op = NV_VSOCK_CREDIT_UPDATE;
    header.buf_alloc = 4;
    vs_tx(&header, NULL, 0);
    vs_expect(NV_VSOCK_RW, &packet);
    ck_assert_uint_eq(packet.header.length, 4);
    vs_expect(NV_VSOCK_CREDIT_REQUEST, NULL);
    vs_tx(&header, NULL, 0);
    vs_expect_nothing();
    header.fwd_cnt = 4;
    header.buf_alloc = VS_WINDOW;
    vs_tx(&header, NULL, 0);
    vs_expect(NV_VSOCK_RW, &packet);
    ck_assert_uint_eq(packet.header.length, 6);
    ck_assert_mem_eq(packet.data, "456789", 6);
    close(fd);
    close(listener);
}
END_TEST

/* The guest sends more than it was granted while nobody reads. */
START_TEST(test_hostile_47_vsock_more_than_granted)
{
    static uint8_t chunk[32768];
    struct nv_vsock_header header = vs_header(NV_VSOCK_RW);
    int listener = vs_listen(VS_PORT);
    int fd = vs_connect_guest(listener, VS_GUEST_PORT);
    struct nv_vsock_connection *c = nv_vsock_find(vs_device, VS_PORT, VS_GUEST_PORT);
    struct vs_packet packet = { 0 };
    uint32_t sent = 0;

    while (guest_get_u64(&vs_guest, "connections_open") > 0 && packet.header.op != NV_VSOCK_RST) {
        vs_tx(&header, chunk, sizeof(chunk));
        sent += sizeof(chunk);
        ck_assert_uint_le(c->held_length, NV_VSOCK_WINDOW);
        ck_assert_uint_le(c->held_capacity, NV_VSOCK_WINDOW);
        ck_assert_uint_le(sent, 4 * 1024 * 1024);
        vs_rx_within(&packet, 0);
    }
    while (packet.header.op != NV_VSOCK_RST)
        ck_assert(vs_rx_within(&packet, 5000));
    ck_assert_uint_gt(sent, NV_VSOCK_WINDOW);
    ck_assert_uint_eq(guest_get_u64(&vs_guest, "connections_open"), 0);
    close(fd);
    close(listener);
}
END_TEST

/* A broken ring: the connections end, and a reset makes the device good again. */
START_TEST(test_hostile_01_vsock_broken_ring)
{
    int listener = vs_listen(VS_PORT);
    int fd = vs_connect_guest(listener, VS_GUEST_PORT);

    guest_put_index(&vs_guest, NV_VSOCK_TX, 20000);
    guest_kick(&vs_guest, NV_VSOCK_TX);
    ck_assert(vs_is_at_end(fd));
    ck_assert_uint_eq(guest_get_u64(&vs_guest, "faults"), 1);
    vs_expect_counter("connections_open", 0);
    ck_assert(guest_read32(&vs_guest, NV_VIRTIO_REG_STATUS) & NV_VIRTIO_NEEDS_RESET);
    close(fd);
    guest_reset(&vs_guest);
    vs_drive(8);
    close(vs_connect_guest(listener, VS_GUEST_PORT));
    close(listener);
}
END_TEST

static void add_tests(TCase *tcase)
{
    tcase_add_test(tcase, test_hostile_46_vsock_wrong_addresses_and_types);
    tcase_add_test(tcase, test_hostile_46_vsock_wrong_operations);
    tcase_add_test(tcase, test_hostile_46_vsock_length_beyond_the_buffer);
    tcase_add_test(tcase, test_hostile_46_vsock_short_headers);
    tcase_add_test(tcase, test_hostile_46_vsock_header_in_pieces);
    tcase_add_test(tcase, test_hostile_46_vsock_tiny_receive_buffers);
    tcase_add_test(tcase, test_hostile_47_vsock_credit_lies);
    tcase_add_test(tcase, test_hostile_47_vsock_counters_wrap);
    tcase_add_test(tcase, test_hostile_47_vsock_no_credit);
    tcase_add_test(tcase, test_hostile_47_vsock_more_than_granted);
    tcase_add_test(tcase, test_hostile_01_vsock_broken_ring);
}

Suite *nv_test_suite(void)
{
    Suite *suite = suite_create("vsock_hostile");

    vs_add_both(suite, add_tests);
    return suite;
}
