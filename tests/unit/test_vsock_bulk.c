/* SPDX-License-Identifier: Apache-2.0 */
/* Proves the socket device with much: many bytes each way, many connections, slow readers. */
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/util.h"
#include "vsock_guest.h"

/* The guest closes before a slow reader has everything: nothing is lost. */
START_TEST(test_bytes_behind_the_end_arrive)
{
    enum { TOTAL = NV_VSOCK_WINDOW, CHUNK = 32768 };
    static uint8_t chunk[TOTAL];
    int listener = vs_listen(VS_PORT);
    int fd = vs_connect_guest(listener, VS_GUEST_PORT);
    struct nv_vsock_header header = vs_header(NV_VSOCK_RW);
    struct vs_packet packet;

    for (uint32_t i = 0; i < TOTAL; i++)
        chunk[i] = (uint8_t)(i * 7 + i / 1000);
    for (uint32_t at = 0; at < TOTAL; at += CHUNK)
        vs_tx(&header, chunk + at, CHUNK);
    header = vs_header(NV_VSOCK_SHUTDOWN);
    header.flags = NV_VSOCK_BOTH;
    vs_tx(&header, NULL, 0);
    do
        ck_assert(vs_rx_within(&packet, 5000));
    while (packet.header.op == NV_VSOCK_CREDIT_UPDATE);
    ck_assert_uint_eq(packet.header.op, NV_VSOCK_RST);
    ck_assert_uint_eq(guest_get_u64(&vs_guest, "connections_open"), 1);
    ck_assert_int_eq((int)send(fd, "x", 1, MSG_NOSIGNAL), -1); /* nobody would get it */
    {
        static uint8_t got[TOTAL];

        ck_assert_uint_eq(vs_read(fd, got, TOTAL), TOTAL);
        ck_assert_mem_eq(got, chunk, TOTAL);
    }
    ck_assert(vs_is_at_end(fd));
    vs_expect_counter("connections_open", 0);
    close(fd);
    close(listener);
}
END_TEST

/* What a stream of bytes looks like at an offset. */
static uint8_t pattern(uint64_t offset)
{
    return (uint8_t)(offset * 31 + offset / 4096);
}

START_TEST(test_16_mib_to_the_guest)
{
    static uint8_t chunk[65536];
    int listener = vs_listen(VS_PORT);
    int fd = vs_connect_guest(listener, VS_GUEST_PORT);
    struct nv_vsock_header header = vs_header(NV_VSOCK_CREDIT_UPDATE);
    static struct vs_packet packet;
    const uint64_t large = NV_MIB(support_rounds(16));
    uint64_t sent = 0;
    uint64_t got = 0;

    while (got < large) {
        ssize_t done;

        for (uint32_t i = 0; i < sizeof(chunk); i++)
            chunk[i] = pattern(sent + i);
        done = send(fd, chunk, NV_MIN(sizeof(chunk), large - sent), MSG_DONTWAIT | MSG_NOSIGNAL);
        sent += done > 0 ? (uint64_t)done : 0;
        while (got < sent && vs_rx_within(&packet, vs_guest.loop ? 1000 : 0)) {
            ck_assert(packet.header.op == NV_VSOCK_RW ||
                      packet.header.op == NV_VSOCK_CREDIT_REQUEST);
            for (uint32_t i = 0; i < packet.header.length; i += 97)
                ck_assert_uint_eq(packet.data[i], pattern(got + i));
            got += packet.header.length;
            ck_assert_uint_le(got - header.fwd_cnt, VS_WINDOW);
            if (got - header.fwd_cnt < VS_WINDOW / 2)
                continue;
            header.fwd_cnt = (uint32_t)got;
            vs_tx(&header, NULL, 0);
        }
    }
    ck_assert_uint_eq(guest_get_u64(&vs_guest, "rx_bytes"), large);
    close(fd);
    close(listener);
}
END_TEST

START_TEST(test_16_mib_to_the_host)
{
    static uint8_t chunk[32768];
    static struct vs_packet packet;
    int listener = vs_listen(VS_PORT);
    int fd = vs_connect_guest(listener, VS_GUEST_PORT);
    struct nv_vsock_header header = vs_header(NV_VSOCK_RW);
    const uint64_t large = NV_MIB(support_rounds(16));
    uint64_t sent = 0;
    uint64_t got = 0;
    uint32_t forwarded = 0;

    while (got < large) {
        ssize_t done;

        while (sent < large && sent - forwarded + sizeof(chunk) <= NV_VSOCK_WINDOW) {
            for (uint32_t i = 0; i < sizeof(chunk); i++)
                chunk[i] = pattern(sent + i);
            vs_tx(&header, chunk, sizeof(chunk));
            sent += sizeof(chunk);
            while (vs_rx_within(&packet, 0)) {
                ck_assert_uint_eq(packet.header.op, NV_VSOCK_CREDIT_UPDATE);
                forwarded = packet.header.fwd_cnt;
            }
        }
        while ((done = recv(fd, chunk, sizeof(chunk), MSG_DONTWAIT)) > 0) {
            for (uint32_t i = 0; i < (uint32_t)done; i += 97)
                ck_assert_uint_eq(chunk[i], pattern(got + i));
            got += (uint64_t)done;
        }
        if (vs_rx_within(&packet, vs_guest.loop && sent < large ? 5 : 0))
            forwarded = packet.header.fwd_cnt;
    }
    ck_assert_uint_eq(guest_get_u64(&vs_guest, "tx_bytes"), large);
    close(fd);
    close(listener);
}
END_TEST

START_TEST(test_1000_connections)
{
    enum { MANY = 1000 };
    static int fds[MANY];
    struct nv_vsock_header header = vs_header(NV_VSOCK_RW);
    struct rlimit limit;
    struct vs_packet packet;
    int listener = vs_listen(VS_PORT);

    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = NV_MIN((rlim_t)4096, limit.rlim_max);
    setrlimit(RLIMIT_NOFILE, &limit);
    ck_assert_uint_ge(limit.rlim_cur, 2 * MANY + 64);
    for (uint32_t i = 0; i < MANY; i++)
        fds[i] = vs_connect_guest(listener, i);
    ck_assert_uint_eq(guest_get_u64(&vs_guest, "connections_open"), MANY);
    for (uint32_t i = 0; i < MANY; i++) {
        header.src_port = i;
        vs_tx(&header, &i, sizeof(i));
    }
    for (uint32_t i = 0; i < MANY; i++) {
        uint32_t value;

        ck_assert_uint_eq(recv(fds[i], &value, sizeof(value), 0), sizeof(value));
        ck_assert_uint_eq(value, i);
        send(fds[i], &value, sizeof(value), 0);
    }
    for (uint32_t i = 0; i < MANY; i++) {
        vs_expect(NV_VSOCK_RW, &packet);
        ck_assert_uint_eq(nv_get_le32(packet.data), packet.header.dst_port);
    }
    for (uint32_t i = 0; i < MANY; i++) {
        close(fds[i]);
        vs_expect(NV_VSOCK_SHUTDOWN, NULL);
    }
    header.op = NV_VSOCK_RST;
    for (uint32_t i = 0; i < MANY; i++) {
        header.src_port = i;
        vs_tx(&header, NULL, 0);
    }
    ck_assert_uint_eq(guest_get_u64(&vs_guest, "connections_open"), 0);
    close(listener);
}
END_TEST

static void add_tests(TCase *tcase)
{
    tcase_add_test(tcase, test_bytes_behind_the_end_arrive);
    tcase_add_test(tcase, test_16_mib_to_the_guest);
    tcase_add_test(tcase, test_16_mib_to_the_host);
    tcase_add_test(tcase, test_1000_connections);
}

Suite *nv_test_suite(void)
{
    Suite *suite = suite_create("vsock_bulk");

    vs_add_both(suite, add_tests);
    return suite;
}
