/* SPDX-License-Identifier: Apache-2.0 */
/* Proves what hostile guests may do to the network device (numbers of hostile-guest.md). */
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "core/util.h"
#include "net_guest.h"
#include "netns.h"
#include "support.h"

enum { RX = 0, TX = 1, CTRL = 2 };

/* A sound frame goes through: the device still lives. */
static void check_alive(void)
{
    uint8_t frame[100];

    net_frame(frame, sizeof(frame), 77);
    net_send(TX, NULL, frame, sizeof(frame));
    net_expect(frame, sizeof(frame));
    ck_assert(guest_used(&net.guest, TX, NULL, NULL));
    ck_assert_uint_eq(guest_get_u64(&net.guest, "faults"), 0);
    ck_assert_uint_eq(guest_log_lines(&net.guest), 0);
}

/* --- 40 --- */

START_TEST(test_hostile_40_net_short_frames)
{
    uint8_t frame[NV_NET_FRAME_MIN];
    uint32_t dropped = 0;
    uint64_t at;

    net_setup(0, GUEST_ALL);
    net_frame(frame, sizeof(frame), 0);
    at = guest_alloc(&net.guest, 64);
    for (uint32_t length = 1; length < NET_HEADER + NV_NET_FRAME_MIN; length++) {
        const struct guest_part part = { at, length, false };

        net_send_parts(TX, &part, 1);
        ck_assert_uint_eq(guest_get_u64(&net.guest, "tx_dropped"), ++dropped);
    }
    {
        const struct guest_part writable = { at, 64, true };
        const struct guest_part empty = { at, 0, false };

        net_send_parts(TX, &writable, 1);
        net_send_parts(TX, &empty, 1);
        ck_assert_uint_eq(guest_get_u64(&net.guest, "tx_dropped"), dropped + 2);
    }
    net_expect_nothing();
    net_send(TX, NULL, frame, sizeof(frame)); /* the shortest that may be */
    net_expect(frame, sizeof(frame));
    ck_assert(guest_used(&net.guest, TX, NULL, NULL));
    check_alive();
}
END_TEST

START_TEST(test_hostile_40_net_long_frames)
{
    static const uint32_t too_long[] = { NV_NET_PACKET_MAX - NET_HEADER + 1, 70000, 200000,
                                         0x80000 };
    uint8_t frame[NV_NET_PACKET_MAX - NET_HEADER];

    net_setup(0, GUEST_ALL);
    net_frame(frame, sizeof(frame), 0);
    for (size_t i = 0; i < NV_ARRAY_SIZE(too_long); i++) {
        const struct guest_part parts[] = {
            { 0x10000, NET_HEADER, false },
            { 0x10000, too_long[i], false },
        };

        memset(guest_mem(&net.guest, 0x10000, NET_HEADER), 0, NET_HEADER);
        net_send_parts(TX, parts, 2);
        ck_assert_uint_eq(guest_get_u64(&net.guest, "tx_dropped"), i + 1);
    }
    net_expect_nothing();
    net_send(TX, NULL, frame, sizeof(frame)); /* the longest */
    net_expect(frame, sizeof(frame));
    ck_assert(guest_used(&net.guest, TX, NULL, NULL));
    check_alive();
}
END_TEST

/* The same memory 64 times over: 4 GiB of frame in one chain. */
START_TEST(test_hostile_40_net_giant_chain)
{
    struct guest_part parts[64];
    uint64_t table;

    net_setup(0, GUEST_ALL);
    for (size_t i = 0; i < NV_ARRAY_SIZE(parts); i++)
        parts[i] = (struct guest_part){ 0, GUEST_SPAN, false };
    table = guest_alloc(&net.guest, sizeof(parts) * 16);
    ck_assert_int_ge(guest_add_indirect(&net.guest, TX, table, parts, 64), 0);
    guest_kick(&net.guest, TX);
    ck_assert(guest_used(&net.guest, TX, NULL, NULL));
    ck_assert_uint_eq(guest_get_u64(&net.guest, "tx_dropped"), 1);
    check_alive();
}
END_TEST

/* --- 41 --- */

struct bad_header {
    const char *what;
    uint64_t without; /* feature that is not accepted */
    uint8_t header[NET_HEADER];
};

#define LE16(n) ((n)&0xff), ((n) >> 8)
#define HEADER(FLAGS, GSO, HDR_LEN, SIZE, START, OFFSET)                       \
    {                                                                          \
        FLAGS, GSO, LE16(HDR_LEN), LE16(SIZE), LE16(START), LE16(OFFSET), 0, 0 \
    }

enum { LENGTH = 1000 };

static const struct bad_header bad_headers[] = {
    { "checksum without the feature",
      NV_NET_F_CSUM | NV_NET_F_HOST_TSO4 | NV_NET_F_HOST_TSO6 | NV_NET_F_HOST_ECN,
      HEADER(1, 0, 0, 0, 34, 16) },
    { "checksum one past the end", 0, HEADER(1, 0, 0, 0, LENGTH - 17, 16) },
    { "checksum far behind", 0, HEADER(1, 0, 0, 0, 0xffff, 0xffff) },
    { "checksum start behind", 0, HEADER(1, 0, 0, 0, 0xffff, 0) },
    { "checksum offset behind", 0, HEADER(1, 0, 0, 0, 34, 0xffff) },
    { "checksum of the Ethernet header", 0, HEADER(1, 0, 0, 0, 13, 16) },
    { "header longer than the frame", 0, HEADER(1, 0, LENGTH + 1, 0, 34, 16) },
    { "TSO4 without the feature", NV_NET_F_HOST_TSO4 | NV_NET_F_HOST_ECN,
      HEADER(1, 1, 54, 500, 34, 16) },
    { "TSO6 without the feature", NV_NET_F_HOST_TSO6, HEADER(1, 4, 54, 500, 34, 16) },
    { "ECN without the feature", NV_NET_F_HOST_ECN, HEADER(1, 0x81, 54, 500, 34, 16) },
    { "ECN of nothing", 0, HEADER(1, 0x80, 54, 500, 34, 16) },
    { "UDP segments", 0, HEADER(1, 3, 54, 500, 34, 6) },
    { "UDP segments of the new kind", 0, HEADER(1, 5, 54, 500, 34, 6) },
    { "unknown segments", 0, HEADER(1, 2, 54, 500, 34, 16) },
    { "all kinds at once", 0, HEADER(1, 0x7f, 54, 500, 34, 16) },
    { "segments of 0 bytes", 0, HEADER(1, 1, 54, 0, 34, 16) },
    { "segments without checksum", 0, HEADER(0, 1, 54, 500, 34, 16) },
    { "segments with another checksum", 0, HEADER(1, 1, 54, 500, 34, 6) },
    { "segments, header too long", 0, HEADER(1, 1, LENGTH + 1, 500, 34, 16) },
    { "all ones", 0, HEADER(0xff, 0xff, 0xffff, 0xffff, 0xffff, 0xffff) },
};

START_TEST(test_hostile_41_net_bad_header)
{
    const struct bad_header *bad = &bad_headers[_i];
    uint8_t frame[LENGTH];

    net_setup(NET_IDLE, 0);
    ck_assert_int_eq(guest_drive(&net.guest, net.device->virtio.offered & ~bad->without), 0);
    net_frame(frame, sizeof(frame), 0);
    net_send(TX, bad->header, frame, sizeof(frame));
    ck_assert(guest_used(&net.guest, TX, NULL, NULL));
    ck_assert_msg(guest_get_u64(&net.guest, "tx_dropped") == 1, "%s", bad->what);
    net_expect_nothing();
    check_alive();
}
END_TEST

/* Sound to us, and yet the tap refuses: TCP over IPv6 that is none. */
START_TEST(test_hostile_41_net_refused_by_tap)
{
    static const uint8_t header[NET_HEADER] = HEADER(1, 4, 54, 500, 34, 16);
    uint8_t frame[LENGTH];

    net_setup(0, GUEST_ALL);
    net_frame(frame, sizeof(frame), 0);
    frame[12] = 8; /* IPv4 */
    frame[13] = 0;
    net_send(TX, header, frame, sizeof(frame));
    ck_assert(guest_used(&net.guest, TX, NULL, NULL));
    ck_assert_uint_eq(guest_get_u64(&net.guest, "tx_dropped"), 1);
    check_alive();
}
END_TEST

/* --- 42 --- */

static void check_dropped(uint32_t buffers, uint32_t size, uint64_t features, size_t length)
{
    uint8_t frame[1514];

    net_setup(0, features);
    net_frame(frame, length, 0);
    for (uint32_t i = 0; i < buffers; i++)
        net_add_buffer(RX, size);
    for (int i = 0; i < 3; i++)
        net_host_send(NULL, frame, length);
    guest_kick(&net.guest, RX);
    ck_assert_uint_eq(guest_get_u64(&net.guest, "rx_dropped"), 3);
    ck_assert_uint_eq(guest_used_index(&net.guest, RX), 0);
    check_alive();
    net_end();
}

START_TEST(test_hostile_42_net_tiny_buffers)
{
    check_dropped(GUEST_RING_SIZE, 1, GUEST_ALL, 60);
    check_dropped(GUEST_RING_SIZE, 11, GUEST_ALL, 60);
    check_dropped(GUEST_RING_SIZE, 12, GUEST_ALL, GUEST_RING_SIZE * 12 - 11);
    check_dropped(GUEST_RING_SIZE, 16, GUEST_ALL, GUEST_RING_SIZE * 16 - 11);
    check_dropped(4, 1, 0, 60);
    check_dropped(4, 12 + 59, 0, 60);
    check_dropped(4, 13, 0, 60);
}
END_TEST

/* After a packet that no buffers can hold, all of them are there for one that they can. */
START_TEST(test_hostile_42_net_buffers_survive)
{
    uint8_t frame[1514];
    uint32_t used = 0;
    uint32_t total = 0;

    net_setup(0, GUEST_ALL);
    net_frame(frame, sizeof(frame), 0);
    for (uint32_t i = 0; i < GUEST_RING_SIZE; i++)
        net_add_buffer(RX, 16);
    net_host_send(NULL, frame, 1500);
    net_host_send(NULL, frame, GUEST_RING_SIZE * 16 - 12);
    guest_kick(&net.guest, RX);
    ck_assert_uint_eq(guest_get_u64(&net.guest, "rx_dropped"), 1);
    ck_assert_uint_eq(guest_used_index(&net.guest, RX), GUEST_RING_SIZE);
    while ((used = net_take(RX, NULL)))
        total += used;
    ck_assert_uint_eq(total, GUEST_RING_SIZE * 16);
    check_alive();
}
END_TEST

/* A buffer of nothing, of readable bytes, of zero length, in the middle of a packet. */
START_TEST(test_hostile_42_net_useless_buffers)
{
    uint8_t frame[1000];

    net_setup(0, GUEST_ALL);
    net_frame(frame, sizeof(frame), 0);
    for (int i = 0; i < 4; i++) {
        const struct guest_part useless[] = {
            { GUEST_RINGS + 0x40000, 2000, false },
            { GUEST_RINGS + 0x40000, 0, true },
            { GUEST_RINGS + 0x40000, 0, false },
            { GUEST_RINGS + 0x40000, 0, true },
        };

        net_add_buffer(RX, 100);
        ck_assert_int_ge(guest_add(&net.guest, RX, &useless[i], 1), 0);
    }
    net_add_buffer(RX, 2000);
    net_host_send(NULL, frame, sizeof(frame));
    guest_kick(&net.guest, RX);
    ck_assert_uint_eq(guest_get_u64(&net.guest, "rx_dropped"), 1);
    ck_assert_uint_eq(guest_used_index(&net.guest, RX), 0);
    check_alive();
}
END_TEST

static uint64_t thread_time_ns(const struct nestvirt_loop *loop)
{
    struct timespec time;
    clockid_t clock;

    ck_assert_int_eq(pthread_getcpuclockid(loop->thread, &clock), 0);
    ck_assert_int_eq(clock_gettime(clock, &time), 0);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

/* A guest without buffers, or with half a packet's, costs nothing while packets wait. */
START_TEST(test_hostile_42_net_no_spin)
{
    uint8_t frame[1000];
    uint64_t before_ns;

    net_setup(GUEST_LOOP, GUEST_ALL);
    net_frame(frame, sizeof(frame), 0);
    for (int i = 0; i < 10; i++)
        net_host_send(NULL, frame, sizeof(frame));
    for (int half = 0; half < 2; half++) {
        usleep(20000);
        before_ns = thread_time_ns(net.guest.loop);
        usleep(200000);
        ck_assert_uint_lt(thread_time_ns(net.guest.loop) - before_ns, 20000000);
        net_add_buffer(RX, 500);
        guest_kick_wanted(&net.guest, RX);
    }
    net_add_buffer(RX, 500);
    guest_kick_wanted(&net.guest, RX);
    ck_assert_uint_eq(net_take(RX, NULL), 500);
}
END_TEST

/* --- 27 --- */

/* A reset in the middle of a packet: it is lost, and no byte comes later. */
START_TEST(test_hostile_27_net_reset_mid_packet)
{
    uint8_t frame[1000];
    uint64_t at[2];

    net_setup(0, GUEST_ALL);
    net_frame(frame, sizeof(frame), 0);
    for (int round = 0; round < 100; round++) {
        at[0] = net_add_buffer(RX, 300);
        at[1] = net_add_buffer(RX, 300);
        net_host_send(NULL, frame, sizeof(frame));
        guest_kick(&net.guest, RX);
        ck_assert_uint_eq(net.device->pairs[0].receive->count, 2);
        if (round % 2) {
            guest_write32(&net.guest, NV_VIRTIO_REG_STATUS, 0);
        } else {
            guest_write32(&net.guest, NV_VIRTIO_REG_QUEUE_SEL, RX);
            guest_write32(&net.guest, NV_VIRTIO_REG_QUEUE_READY, 0);
        }
        ck_assert_uint_eq(net.device->pairs[0].receive->count, 0);
        ck_assert_uint_eq(guest_get_u64(&net.guest, "rx_dropped"), round + 1);
        memset(guest_mem(&net.guest, at[0], 300), 0xaa, 300);
        memset(guest_mem(&net.guest, at[1], 300), 0xaa, 300);
        ck_assert_int_eq(guest_drive(&net.guest, GUEST_ALL), 0);
    }
    check_alive();
}
END_TEST

/* --- 43 --- */

/* A command of some bytes; room for the answer. Returns the answer, -1 without. */
static int control(const uint8_t *bytes, uint32_t length, uint32_t room)
{
    uint64_t at = guest_alloc(&net.guest, 256);
    const struct guest_part parts[] = {
        { at, length, false },
        { at + 128, room, true },
    };
    uint8_t *memory = guest_mem(&net.guest, at, 256);
    uint32_t written;

    memcpy(memory, bytes, length);
    memset(memory + 128, 0xee, 128);
    ck_assert_int_ge(guest_add(&net.guest, CTRL, parts, room ? 2 : 1), 0);
    guest_kick(&net.guest, CTRL);
    ck_assert(guest_used(&net.guest, CTRL, NULL, &written));
    ck_assert_uint_eq(written, room ? 1 : 0);
    ck_assert_uint_eq(memory[129], 0xee);
    ck_assert_mem_eq(memory, bytes, length);
    return room ? memory[128] : -1;
}

struct command {
    uint32_t length;
    uint8_t bytes[40];
};

/* Each with all that it needs: longer or shorter is wrong. */
static const struct command sound_commands[] = {
    { 3, { 0, 0, 1 } },
    { 3, { 0, 1, 0 } },
    { 8, { 1, 1, 2, 0, 0, 0, 0, 5 } },
    { 10, { 1, 0, 0, 0, 0, 0, 0, 0, 0, 0 } },
    { 22, { 1, 0, 1, 0, 0, 0, 2, 0, 0, 0, 0, 1, 1, 0, 0, 0, 1, 0, 94, 0, 0, 1 } },
};

START_TEST(test_hostile_43_net_ctrl_lengths)
{
    const struct command *command = &sound_commands[_i];

    net_setup(0, GUEST_ALL);
    ck_assert_int_eq(control(command->bytes, command->length, 1), 0);
    ck_assert_int_eq(control(command->bytes, command->length, 100), 0);
    for (uint32_t length = 0; length < 40; length++)
        if (length != command->length)
            ck_assert_msg(control(command->bytes, length, 1) == 1, "length %u", length);
    ck_assert_int_eq(control(command->bytes, command->length, 0), -1);
    check_alive();
}
END_TEST

static const struct command bad_commands[] = {
    { 3, { 0, 0, 2 } },                                   /* neither on nor off */
    { 3, { 0, 2, 1 } },                                   /* not offered */
    { 3, { 0, 255, 1 } },                                 /* unknown */
    { 8, { 1, 1, 0, 0, 0, 0, 0, 0 } },                    /* no address */
    { 8, { 1, 1, 3, 0, 0, 0, 0, 5 } },                    /* a group's address */
    { 8, { 1, 2, 2, 0, 0, 0, 0, 5 } },                    /* unknown */
    { 10, { 1, 0, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0 } }, /* entries that are not there */
    { 14, { 1, 0, 0xab, 0xaa, 0xaa, 0x2a, 0, 0, 0, 0, 0, 0, 0, 0 } }, /* times 6 is 2^32 + 2 */
    { 4, { 2, 0, 1, 0 } },                                            /* VLANs: not offered */
    { 2, { 3, 0 } },                                                  /* announcements: the same */
    { 4, { 4, 0, 1, 0 } },                                            /* pairs: not offered */
    { 10, { 5, 0, 0, 0, 0, 0, 0, 0, 0, 0 } },                         /* offloads: not offered */
    { 2, { 255, 255 } },
};

START_TEST(test_hostile_43_net_ctrl_refused)
{
    net_setup(0, GUEST_ALL);
    ck_assert_int_eq(control(bad_commands[_i].bytes, bad_commands[_i].length, 1), 1);
    check_alive();
}
END_TEST

/* Nothing may be commanded that was not negotiated. */
START_TEST(test_hostile_43_net_ctrl_not_negotiated)
{
    net_setup(0, NV_NET_F_CTRL_VQ);
    for (size_t i = 0; i < NV_ARRAY_SIZE(sound_commands); i++)
        ck_assert_int_eq(control(sound_commands[i].bytes, sound_commands[i].length, 1), 1);
    check_alive();
}
END_TEST

/* --- 25 --- */

START_TEST(test_hostile_25_net_feature_dependencies)
{
    static const uint64_t broken[] = {
        NV_NET_F_GUEST_TSO4,
        NV_NET_F_GUEST_TSO6,
        NV_NET_F_GUEST_ECN | NV_NET_F_GUEST_CSUM,
        NV_NET_F_HOST_TSO4,
        NV_NET_F_HOST_TSO6,
        NV_NET_F_HOST_ECN | NV_NET_F_CSUM,
        NV_NET_F_CTRL_RX,
        NV_NET_F_CTRL_MAC_ADDR,
        NV_NET_F_MQ | NV_NET_F_CTRL_VQ, /* not offered */
        NV_NET_F_MTU,                   /* nor that */
    };

    net_setup(NET_IDLE, 0);
    for (size_t i = 0; i < NV_ARRAY_SIZE(broken); i++)
        ck_assert_int_lt(guest_negotiate(&net.guest, broken[i]), 0);
    ck_assert_int_eq(guest_drive(&net.guest, NV_NET_F_GUEST_TSO4 | NV_NET_F_GUEST_CSUM), 0);
    check_alive();
}
END_TEST

Suite *nv_test_suite(void)
{
    Suite *suite = suite_create("net_hostile");
    TCase *tcase = support_case(suite, "hostile", 60);

    tcase_add_checked_fixture(tcase, net_enter, net_leave);
    tcase_add_test(tcase, test_hostile_25_net_feature_dependencies);
    tcase_add_test(tcase, test_hostile_27_net_reset_mid_packet);
    tcase_add_test(tcase, test_hostile_40_net_short_frames);
    tcase_add_test(tcase, test_hostile_40_net_long_frames);
    tcase_add_test(tcase, test_hostile_40_net_giant_chain);
    tcase_add_loop_test(tcase, test_hostile_41_net_bad_header, 0, NV_ARRAY_SIZE(bad_headers));
    tcase_add_test(tcase, test_hostile_41_net_refused_by_tap);
    tcase_add_test(tcase, test_hostile_42_net_tiny_buffers);
    tcase_add_test(tcase, test_hostile_42_net_buffers_survive);
    tcase_add_test(tcase, test_hostile_42_net_useless_buffers);
    tcase_add_test(tcase, test_hostile_42_net_no_spin);
    tcase_add_loop_test(tcase, test_hostile_43_net_ctrl_lengths, 0, NV_ARRAY_SIZE(sound_commands));
    tcase_add_loop_test(tcase, test_hostile_43_net_ctrl_refused, 0, NV_ARRAY_SIZE(bad_commands));
    tcase_add_test(tcase, test_hostile_43_net_ctrl_not_negotiated);
    return suite;
}
