/* SPDX-License-Identifier: Apache-2.0 */
/* Proves the network device's way of packets: both directions, merging, offloads, limits. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "core/util.h"
#include "net_guest.h"
#include "netns.h"
#include "support.h"

enum { RX = 0, TX = 1 };

/* Without a loop a receive pass is a notification of its queue. */
static void look(void)
{
    guest_kick(&net.guest, RX);
}

/* --- Sending --- */

START_TEST(test_net_sends_frame)
{
    static const size_t lengths[] = { 14, 15, 60, 1500, 1514, 9000 };
    uint8_t frame[9000];

    net_setup(0, GUEST_ALL);
    for (size_t i = 0; i < NV_ARRAY_SIZE(lengths); i++) {
        net_frame(frame, lengths[i], (uint8_t)i);
        net_send(TX, NULL, frame, lengths[i]);
        ck_assert(guest_used(&net.guest, TX, NULL, NULL));
        net_expect(frame, lengths[i]);
    }
    ck_assert_uint_eq(guest_get_u64(&net.guest, "tx_packets"), NV_ARRAY_SIZE(lengths));
    ck_assert_uint_eq(guest_get_u64(&net.guest, "tx_bytes"), 14 + 15 + 60 + 1500 + 1514 + 9000);
    ck_assert_uint_eq(guest_get_u64(&net.guest, "tx_dropped"), 0);
}
END_TEST

/* Header and frame may lie in buffers in any way (virtio 1.2, 2.7.4). */
START_TEST(test_net_sends_any_layout)
{
    uint8_t packet[NET_HEADER + 300] = { 0 };
    uint64_t at;

    net_setup(0, GUEST_ALL);
    net_frame(packet + NET_HEADER, 300, 3);
    at = guest_alloc(&net.guest, sizeof(packet));
    memcpy(guest_mem(&net.guest, at, sizeof(packet)), packet, sizeof(packet));
    for (uint32_t cut = 0; cut <= 40; cut++) {
        const struct guest_part parts[] = {
            { at, cut, false },
            { at + cut, 1, false },
            { at + cut + 1, (uint32_t)sizeof(packet) - cut - 1, false },
        };

        net_send_parts(TX, parts, 3);
        net_expect(packet + NET_HEADER, 300);
    }
}
END_TEST

/* More pieces than one call takes. */
START_TEST(test_net_sends_many_pieces)
{
    enum { PIECES = 200, EACH = 5 };
    uint8_t packet[PIECES * EACH] = { 0 };
    struct guest_part parts[PIECES];
    uint64_t at;
    uint64_t table;

    net_setup(0, GUEST_ALL);
    net_frame(packet + NET_HEADER, sizeof(packet) - NET_HEADER, 5);
    at = guest_alloc(&net.guest, sizeof(packet));
    memcpy(guest_mem(&net.guest, at, sizeof(packet)), packet, sizeof(packet));
    for (uint32_t i = 0; i < PIECES; i++)
        parts[i] = (struct guest_part){ at + i * EACH, EACH, false };
    table = guest_alloc(&net.guest, PIECES * 16);
    ck_assert_int_ge(guest_add_indirect(&net.guest, TX, table, parts, PIECES), 0);
    guest_kick(&net.guest, TX);
    ck_assert(guest_used(&net.guest, TX, NULL, NULL));
    net_expect(packet + NET_HEADER, sizeof(packet) - NET_HEADER);
}
END_TEST

/* A TCP segment over IPv4 with room for a checksum, of a length of data. */
static void make_tcp(uint8_t *frame, size_t data)
{
    static const uint8_t head[14 + 20] = {
        2, 0, 0, 0, 0, 9,  2, 0, 0, 0,  0, 8, 8, 0,  0x45, 0, 0,
        0, 0, 1, 0, 0, 64, 6, 0, 0, 10, 0, 0, 2, 10, 0,    0, 1
    };
    size_t length = sizeof(head) + 20 + data;
    uint32_t sum = 0;

    memset(frame, 0, length);
    memcpy(frame, head, sizeof(head));
    frame[16] = (uint8_t)((length - 14) >> 8);
    frame[17] = (uint8_t)(length - 14);
    for (size_t i = 14; i < 34; i += 2)
        sum += (uint32_t)frame[i] << 8 | frame[i + 1];
    sum = ~((sum & 0xffff) + (sum >> 16));
    frame[24] = (uint8_t)(sum >> 8);
    frame[25] = (uint8_t)sum;
    frame[34] = 0x12;
    frame[46] = 0x50; /* header of 20 bytes */
    frame[47] = 0x10; /* ACK */
    for (size_t i = 54; i < length; i++)
        frame[i] = (uint8_t)i;
}

enum { TCP_DATA = 10000, TCP_LENGTH = 54 + TCP_DATA, TCP_SEGMENT = 1448 };

/* What asks for segments and checksums of that. */
static const uint8_t tcp_header[NET_HEADER] = {
    1, 1, 54, 0, TCP_SEGMENT & 0xff, TCP_SEGMENT >> 8, 34, 0, 16, 0, 0, 0
};

START_TEST(test_net_sends_offloads)
{
    uint8_t frame[TCP_LENGTH];
    uint8_t got[NET_HOST_HEADER + TCP_LENGTH + 1];

    net_setup(NET_HEADERS, GUEST_ALL);
    make_tcp(frame, TCP_DATA);
    net_send(TX, tcp_header, frame, sizeof(frame));
    ck_assert_int_eq(netns_receive(net.packets, got, sizeof(got), NET_TIMEOUT),
                     NET_HOST_HEADER + TCP_LENGTH);
    ck_assert_int_eq(got[NV_NET_HDR_FLAGS] & 1, 1);
    ck_assert_int_eq(got[NV_NET_HDR_GSO_TYPE], 1);
    ck_assert_int_eq(nv_get_le16(got + NV_NET_HDR_GSO_SIZE), TCP_SEGMENT);
    ck_assert_int_eq(nv_get_le16(got + NV_NET_HDR_CSUM_OFFSET), 16);
    ck_assert_mem_eq(got + NET_HOST_HEADER, frame, sizeof(frame));
}
END_TEST

/* What a driver leaves behind in fields that mean nothing does no harm (5.1.6.2). */
START_TEST(test_net_ignores_unused_fields)
{
    static const uint8_t header[NET_HEADER] = { 0xfe, 0,    0xff, 0xff, 0xff, 0xff,
                                                0xff, 0xff, 0xff, 0xff, 7,    7 };
    uint8_t frame[100];

    net_setup(0, GUEST_ALL);
    net_frame(frame, sizeof(frame), 1);
    net_send(TX, header, frame, sizeof(frame));
    net_expect(frame, sizeof(frame));
}
END_TEST

/* --- Receiving --- */

/* A buffer must hold this frame, in so many buffers. */
static void check_packet(uint64_t address, const uint8_t *frame, size_t length, uint32_t used,
                         uint16_t buffers)
{
    const uint8_t *bytes = guest_mem(&net.guest, address, NET_HEADER + length);

    ck_assert_uint_eq(used, NET_HEADER + length);
    ck_assert_int_eq(bytes[NV_NET_HDR_GSO_TYPE], 0);
    ck_assert_uint_eq(nv_get_le16(bytes + NV_NET_HDR_NUM_BUFFERS), buffers);
    ck_assert_mem_eq(bytes + NET_HEADER, frame, length);
}

START_TEST(test_net_receives_frame)
{
    static const uint64_t features[] = { GUEST_ALL, NV_NET_F_MRG_RXBUF, 0 };
    uint8_t frame[1514];

    for (size_t i = 0; i < NV_ARRAY_SIZE(features); i++) {
        uint64_t first;
        uint64_t second;

        net_setup(0, features[i]);
        first = net_add_buffer(RX, 2000);
        second = net_add_buffer(RX, NET_HEADER + 60); /* exactly */
        net_frame(frame, sizeof(frame), (uint8_t)i);
        net_host_send(NULL, frame, 1514);
        net_host_send(NULL, frame, 60);
        look();
        check_packet(first, frame, 1514, net_take(RX, NULL), 1);
        check_packet(second, frame, 60, net_take(RX, NULL), 1);
        ck_assert_uint_eq(guest_get_u64(&net.guest, "rx_packets"), 2);
        ck_assert_uint_eq(guest_get_u64(&net.guest, "rx_bytes"), 1514 + 60);
        net_end();
    }
}
END_TEST

/* The header's fields may lie in different buffers. */
START_TEST(test_net_receives_any_layout)
{
    uint8_t frame[100];

    net_setup(0, GUEST_ALL);
    net_frame(frame, sizeof(frame), 2);
    for (uint32_t cut = 0; cut <= 14; cut++) {
        uint64_t at = guest_alloc(&net.guest, 200);
        const struct guest_part parts[] = {
            { at, cut, true },
            { at + cut, 1, true },
            { at + cut + 1, 150, true },
        };

        memset(guest_mem(&net.guest, at, 200), 0xee, 200);
        ck_assert_int_ge(guest_add(&net.guest, RX, parts, 3), 0);
        net_host_send(NULL, frame, sizeof(frame));
        look();
        check_packet(at, frame, sizeof(frame), net_take(RX, NULL), 1);
    }
}
END_TEST

START_TEST(test_net_receives_into_many_pieces)
{
    enum { PIECES = 100, EACH = 7 };
    struct guest_part parts[PIECES];
    uint8_t frame[400];
    uint64_t at;
    uint64_t table;

    net_setup(0, GUEST_ALL);
    net_frame(frame, sizeof(frame), 4);
    at = guest_alloc(&net.guest, PIECES * EACH);
    for (uint32_t i = 0; i < PIECES; i++)
        parts[i] = (struct guest_part){ at + i * EACH, EACH, true };
    table = guest_alloc(&net.guest, PIECES * 16);
    ck_assert_int_ge(guest_add_indirect(&net.guest, RX, table, parts, PIECES), 0);
    net_host_send(NULL, frame, sizeof(frame));
    look();
    check_packet(at, frame, sizeof(frame), net_take(RX, NULL), 1);
}
END_TEST

/* Buffers of a size; a frame goes into exactly as many as it needs, and their bytes are all. */
static void check_merge(uint32_t size, size_t length)
{
    uint32_t need = (uint32_t)((NET_HEADER + length + size - 1) / size);
    uint8_t frame[9000];
    uint64_t first = 0;

    net_setup(0, NV_NET_F_MRG_RXBUF);
    net_frame(frame, length, (uint8_t)size);
    for (uint32_t i = 0; i < 40; i++) {
        uint64_t at = guest_alloc(&net.guest, size);
        const struct guest_part part = { at, size, true };

        if (i == 0)
            first = at;
        ck_assert_uint_eq(at, first + i * (uint64_t)size); /* one behind the other */
        ck_assert_int_ge(guest_add(&net.guest, RX, &part, 1), 0);
    }
    net_host_send(NULL, frame, length);
    look();
    ck_assert_uint_eq(guest_used_index(&net.guest, RX), need);
    ck_assert_uint_eq(nv_get_le16(guest_mem(&net.guest, first + 10, 2)), need);
    for (uint32_t i = 0; i < need; i++)
        ck_assert_uint_eq(net_take(RX, NULL),
                          i + 1 < need ? size : NET_HEADER + length - (need - 1) * size);
    ck_assert_mem_eq(guest_mem(&net.guest, first + NET_HEADER, length), frame, length);
    net_end();
}

START_TEST(test_net_merges_buffers)
{
    check_merge(512, 1514);
    check_merge(512, 500);
    check_merge(512, 501);
    check_merge(512, 512 * 3 - 12);
    check_merge(512, 512 * 3 - 11);
    check_merge(1536, 9000);
    check_merge(16, 16 * 40 - 12);
    check_merge(256, 256 * 30);
}
END_TEST

/* A driver that looks at the ring all the time finds a packet's buffers all at once, or none. */
START_TEST(test_net_merges_at_once)
{
    enum { SIZE = 64, PIECES = 50 };
    const uint64_t until_ns = nv_now_ns() + 1000000000u;
    uint8_t frame[SIZE * PIECES - NET_HEADER];
    uint64_t at[NV_QUEUE_SIZE_MAX];
    uint16_t seen = 0;

    net_setup(GUEST_LOOP, NV_NET_F_MRG_RXBUF);
    net_frame(frame, sizeof(frame), 1);
    for (int i = 0; i < PIECES; i++) {
        const struct guest_part part = { guest_alloc(&net.guest, SIZE), SIZE, true };
        int head = guest_add(&net.guest, RX, &part, 1);

        at[head] = part.address;
    }
    guest_kick(&net.guest, RX);
    while (nv_now_ns() < until_ns) {
        const uint64_t end_ns = nv_now_ns() + NET_TIMEOUT * 1000000ull;
        uint16_t now;

        net_host_send(NULL, frame, sizeof(frame));
        do
            now = guest_used_index(&net.guest, RX);
        while (now == seen && nv_now_ns() < end_ns);
        ck_assert_uint_eq((uint16_t)(now - seen), PIECES);
        seen = now;
        for (int i = 0; i < PIECES; i++) {
            struct guest_part part = { .length = SIZE, .is_writable = true };
            uint32_t head;
            int again;

            ck_assert(guest_used(&net.guest, RX, &head, NULL));
            part.address = at[head];
            again = guest_add(&net.guest, RX, &part, 1);
            at[again] = part.address;
        }
        guest_kick(&net.guest, RX);
    }
}
END_TEST

/* Packets in a row, with small and large ones: all come, whole and in order. */
START_TEST(test_net_merges_in_order)
{
    enum { ROUNDS = 300, SIZE = 256, BUFFERS = 32 };
    uint64_t at[NV_QUEUE_SIZE_MAX];
    uint8_t frame[1514];
    uint8_t got[2048];

    net_setup(0, GUEST_ALL);
    for (uint32_t i = 0; i < BUFFERS; i++) {
        const struct guest_part part = { guest_alloc(&net.guest, SIZE), SIZE, true };
        int head = guest_add(&net.guest, RX, &part, 1);

        at[head] = part.address;
    }
    for (uint32_t round = 0; round < ROUNDS; round++) {
        size_t length = 60 + round * 37 % 1400;
        uint32_t total = 0;
        uint32_t head;
        uint32_t count = 0;
        uint32_t used;

        net_frame(frame, length, (uint8_t)round);
        net_host_send(NULL, frame, length);
        look();
        while ((used = net_take(RX, &head))) {
            struct guest_part part = { at[head], SIZE, true };
            int again;

            memcpy(got + total, guest_mem(&net.guest, at[head], used), used);
            total += used;
            count++;
            again = guest_add(&net.guest, RX, &part, 1);
            at[again] = part.address;
        }
        ck_assert_uint_eq(total, NET_HEADER + length);
        ck_assert_uint_eq(nv_get_le16(got + 10), count);
        ck_assert_mem_eq(got + NET_HEADER, frame, length);
    }
}
END_TEST

/* Without buffers packets stay in the tap; in the middle of a packet it waits for more. */
START_TEST(test_net_waits_for_buffers)
{
    static const uint64_t features[] = { NV_NET_F_MRG_RXBUF,
                                         NV_NET_F_MRG_RXBUF | NV_VIRTIO_F_EVENT_IDX };
    uint8_t frame[1514];

    net_frame(frame, sizeof(frame), 9);
    for (size_t i = 0; i < NV_ARRAY_SIZE(features); i++) {
        uint64_t first;

        net_setup(0, features[i]);
        net_host_send(NULL, frame, sizeof(frame));
        look();
        ck_assert_uint_eq(guest_used_index(&net.guest, RX), 0);
        first = net_add_buffer(RX, 512);
        ck_assert(guest_kick_wanted(&net.guest, RX));
        ck_assert_uint_eq(guest_used_index(&net.guest, RX), 0); /* nothing of it yet */
        net_add_buffer(RX, 512);
        ck_assert(guest_kick_wanted(&net.guest, RX));
        ck_assert_uint_eq(guest_used_index(&net.guest, RX), 0);
        net_add_buffer(RX, 512);
        ck_assert(guest_kick_wanted(&net.guest, RX));
        ck_assert_uint_eq(guest_used_index(&net.guest, RX), 3);
        ck_assert_uint_eq(nv_get_le16(guest_mem(&net.guest, first + 10, 2)), 3);
        ck_assert_mem_eq(guest_mem(&net.guest, first + NET_HEADER, 1514), frame, 1514);
        ck_assert_uint_eq(guest_get_u64(&net.guest, "rx_packets"), 1);
        net_end();
    }
}
END_TEST

/* The host leaves segmentation to a guest that accepted that, in one packet of 10000 bytes. */
START_TEST(test_net_receives_offloads)
{
    uint8_t frame[TCP_LENGTH];
    uint64_t at;
    const uint8_t *bytes;

    net_setup(NET_HEADERS, GUEST_ALL);
    make_tcp(frame, TCP_DATA);
    at = net_add_buffer(RX, 20000);
    net_host_send(tcp_header, frame, sizeof(frame));
    look();
    ck_assert_uint_eq(net_take(RX, NULL), NET_HEADER + TCP_LENGTH);
    bytes = guest_mem(&net.guest, at, NET_HEADER + TCP_LENGTH);
    ck_assert_int_eq(bytes[NV_NET_HDR_FLAGS], 1);
    ck_assert_int_eq(bytes[NV_NET_HDR_GSO_TYPE], 1);
    ck_assert_int_eq(nv_get_le16(bytes + NV_NET_HDR_GSO_SIZE), TCP_SEGMENT);
    ck_assert_mem_eq(bytes + NET_HEADER, frame, sizeof(frame));
}
END_TEST

/* Without these features the host does the work, also when an earlier driver had them. */
START_TEST(test_net_receives_without_offloads)
{
    uint8_t frame[TCP_LENGTH];
    uint64_t at[16];

    net_setup(NET_HEADERS, GUEST_ALL);
    make_tcp(frame, TCP_DATA);
    net_host_send(tcp_header, frame, sizeof(frame)); /* for the first driver, who goes */
    ck_assert_int_eq(guest_drive(&net.guest, NV_NET_F_MRG_RXBUF), 0);
    ck_assert_uint_eq(guest_get_u64(&net.guest, "rx_dropped"), 1);
    for (size_t i = 0; i < NV_ARRAY_SIZE(at); i++)
        at[i] = net_add_buffer(RX, 2000);
    net_host_send(tcp_header, frame, sizeof(frame));
    look();
    ck_assert_uint_eq(guest_used_index(&net.guest, RX), (TCP_DATA + TCP_SEGMENT - 1) / TCP_SEGMENT);
    for (uint32_t i = 0; i < guest_used_index(&net.guest, RX); i++) {
        const uint8_t *bytes = guest_mem(&net.guest, at[i], 2000);

        ck_assert_int_eq(bytes[NV_NET_HDR_FLAGS], 0);
        ck_assert_int_eq(bytes[NV_NET_HDR_GSO_TYPE], 0);
        ck_assert(nv_get_le16(bytes + NET_HEADER + 50) != 0); /* the checksum */
    }
}
END_TEST

/* --- Limits --- */

START_TEST(test_net_limits_sending)
{
    uint8_t frame[1000];

    net_new(GUEST_LOOP);
    ck_assert_int_eq(guest_set_u64(&net.guest, "tx_rate_operations", 4), 0);
    ck_assert_int_eq(guest_set_u64(&net.guest, "tx_rate_operations_refill_ms", 3600000), 0);
    net_run(0, GUEST_ALL);
    net_frame(frame, sizeof(frame), 1);
    for (int i = 0; i < 6; i++)
        net_send(TX, NULL, frame, sizeof(frame));
    for (int i = 0; i < 4; i++)
        net_expect(frame, sizeof(frame));
    net_expect_nothing();
    ck_assert_uint_eq(guest_used_index(&net.guest, TX), 4);
    /* More a second from now on. */
    ck_assert_int_eq(guest_set_u64(&net.guest, "tx_rate_operations_refill_ms", 40), 0);
    for (int i = 0; i < 2; i++)
        net_expect(frame, sizeof(frame));
    net_wait_for("tx_packets", 6);
}
END_TEST

START_TEST(test_net_limits_receiving)
{
    uint8_t frame[1000];

    net_new(GUEST_LOOP);
    ck_assert_int_eq(guest_set_u64(&net.guest, "rx_rate_bytes", 3000), 0);
    ck_assert_int_eq(guest_set_u64(&net.guest, "rx_rate_bytes_refill_ms", 3600000), 0);
    net_run(0, GUEST_ALL);
    net_frame(frame, sizeof(frame), 1);
    for (int i = 0; i < 10; i++)
        net_add_buffer(RX, 2000);
    guest_kick(&net.guest, RX);
    for (int i = 0; i < 10; i++)
        net_host_send(NULL, frame, sizeof(frame));
    /* A packet's bytes are taken from what is left before the next one goes. */
    net_wait_for("rx_packets", 4);
    usleep(NET_SILENCE * 1000);
    ck_assert_uint_eq(guest_get_u64(&net.guest, "rx_packets"), 4);
    ck_assert_int_eq(guest_set_u64(&net.guest, "rx_rate_bytes_refill_ms", 50), 0);
    net_wait_for("rx_packets", 10);
    ck_assert_uint_eq(guest_get_u64(&net.guest, "rx_dropped"), 0);
}
END_TEST

/* --- With a loop: nothing is asked for, all comes by itself --- */

START_TEST(test_net_echoes_by_loop)
{
    enum { ROUNDS = 200, SIZE = 2000 };
    uint8_t frame[1500];
    uint64_t at[NV_QUEUE_SIZE_MAX];

    net_setup(GUEST_LOOP, GUEST_ALL);
    net_frame(frame, sizeof(frame), 1);
    for (int i = 0; i < ROUNDS; i++) {
        const struct guest_part part = { i ? at[0] : guest_alloc(&net.guest, SIZE), SIZE, true };
        const struct guest_part back[] = { { part.address, NET_HEADER + 1500, false } };
        uint32_t used;

        at[0] = part.address;
        ck_assert_int_ge(guest_add(&net.guest, RX, &part, 1), 0);
        guest_kick_wanted(&net.guest, RX);
        frame[20] = (uint8_t)i;
        net_host_send(NULL, frame, sizeof(frame));
        used = net_take(RX, NULL);
        check_packet(part.address, frame, sizeof(frame), used, 1);
        memset(guest_mem(&net.guest, part.address, NET_HEADER), 0, NET_HEADER);
        net_send_parts(TX, back, 1);
        net_expect(frame, sizeof(frame));
    }
    ck_assert_uint_eq(guest_get_u64(&net.guest, "rx_packets"), ROUNDS);
    ck_assert_uint_eq(guest_get_u64(&net.guest, "tx_packets"), ROUNDS);
}
END_TEST

/* A paused guest receives nothing, and all of it afterwards. */
START_TEST(test_net_pauses)
{
    uint8_t frame[100];

    net_setup(GUEST_LOOP, GUEST_ALL);
    net_frame(frame, sizeof(frame), 1);
    for (int i = 0; i < 5; i++)
        net_add_buffer(RX, 2000);
    guest_kick(&net.guest, RX);
    guest_pause(&net.guest);
    for (int i = 0; i < 3; i++)
        net_host_send(NULL, frame, sizeof(frame));
    net_send(TX, NULL, frame, sizeof(frame));
    net_expect_nothing();
    ck_assert_uint_eq(guest_used_index(&net.guest, RX), 0);
    guest_resume(&net.guest);
    net_expect(frame, sizeof(frame));
    net_wait_for("rx_packets", 3);
}
END_TEST

/* The device made anew from its saved state, as in a clone, with a tap that has nothing for it. */
static void renew(void)
{
    struct nv_writer writer = { 0 };
    struct nv_reader reader;

    guest_pause(&net.guest);
    ck_nv_ok(nv_device_save(net.guest.device, &writer, &error));
    guest_unbuild(&net.guest);
    ck_assert_int_eq(guest_wire(&net.guest), 0);
    reader = (struct nv_reader){ .bytes = writer.bytes, .left = writer.length };
    ck_nv_ok(nv_device_load(net.guest.device, &reader, &error));
    guest_resume(&net.guest);
    nv_writer_destroy(&writer);
    look();
    net_wait_ready();
}

/*
 * Buffers that a packet had begun to fill when the state was saved are all the guest's ever more:
 * each comes back once, with the next packets.
 */
START_TEST(test_net_goes_on_with_begun_packet)
{
    enum { BUFFERS = 3 };
    uint8_t frame[1000];
    uint32_t heads = 0;
    uint32_t head;

    net_setup(0, GUEST_ALL);
    for (uint32_t i = 0; i < BUFFERS; i++)
        net_add_buffer(RX, 200);
    net_frame(frame, sizeof(frame), 1);
    net_host_send(NULL, frame, sizeof(frame));
    look();
    ck_assert_uint_eq(net_take(RX, &head), 0);
    renew();
    look(); /* there is no packet yet */
    net_add_buffer(RX, 200);
    for (uint32_t i = 0; i < BUFFERS + 1; i++) {
        net_host_send(NULL, frame, 60);
        look();
        ck_assert_uint_eq(net_take(RX, &head), NET_HEADER + 60);
        heads += 1u << head;
        look();
    }
    ck_assert_uint_eq(heads, (1u << (BUFFERS + 1)) - 1);
    ck_assert_uint_eq(guest_get_u64(&net.guest, "faults"), 0);
}
END_TEST

Suite *nv_test_suite(void)
{
    Suite *suite = suite_create("net_packets");
    TCase *tcase = support_case(suite, "packets", 60);

    tcase_add_checked_fixture(tcase, net_enter, net_leave);
    tcase_add_test(tcase, test_net_sends_frame);
    tcase_add_test(tcase, test_net_sends_any_layout);
    tcase_add_test(tcase, test_net_sends_many_pieces);
    tcase_add_test(tcase, test_net_sends_offloads);
    tcase_add_test(tcase, test_net_ignores_unused_fields);
    tcase_add_test(tcase, test_net_receives_frame);
    tcase_add_test(tcase, test_net_receives_any_layout);
    tcase_add_test(tcase, test_net_receives_into_many_pieces);
    tcase_add_test(tcase, test_net_merges_buffers);
    tcase_add_test(tcase, test_net_merges_at_once);
    tcase_add_test(tcase, test_net_merges_in_order);
    tcase_add_test(tcase, test_net_waits_for_buffers);
    tcase_add_test(tcase, test_net_receives_offloads);
    tcase_add_test(tcase, test_net_receives_without_offloads);
    tcase_add_test(tcase, test_net_limits_sending);
    tcase_add_test(tcase, test_net_limits_receiving);
    tcase_add_test(tcase, test_net_echoes_by_loop);
    tcase_add_test(tcase, test_net_pauses);
    tcase_add_test(tcase, test_net_goes_on_with_begun_packet);
    return suite;
}
