/* SPDX-License-Identifier: Apache-2.0 */
/* Proves the socket device's life on the host: building again, pauses, timeouts, limits.
 */
#include <pthread.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/error.h"
#include "core/util.h"
#include "vsock_guest.h"

START_TEST(test_built_again)
{
    for (int i = 0; i < 50; i++) {
        int listener = vs_listen(VS_PORT);
        uint32_t port;
        int guests;
        int hosts;

        vs_build(16);
        guests = vs_connect_guest(listener, VS_GUEST_PORT);
        hosts = vs_connect_host(VS_GUEST_PORT, &port);
        send(hosts, "x", 1, MSG_NOSIGNAL);
        if (i % 2)
            guest_stop(&vs_guest);
        if (i % 2)
            ck_assert(!vs_exists(vs_path));
        guest_unbuild(&vs_guest);
        ck_assert(!vs_exists(vs_path));
        ck_assert(vs_device->slots == NULL);
        ck_assert_uint_eq(guest_get_u64(&vs_guest, "connections_open"), 0);
        close(hosts);
        close(guests);
        close(listener);
        unlink(nv_text("%s_%d", vs_path, VS_PORT).s);
    }
}
END_TEST

START_TEST(test_stop_ends_everything)
{
    int listener = vs_listen(VS_PORT);
    uint32_t port;
    int guests;
    int hosts;
    int waiting;

    vs_build(16);
    guests = vs_connect_guest(listener, VS_GUEST_PORT);
    hosts = vs_connect_host(VS_GUEST_PORT, &port);
    waiting = vs_client("CONN");
    guest_stop(&vs_guest);
    ck_assert(vs_is_at_end(guests));
    ck_assert(vs_is_at_end(hosts));
    ck_assert(vs_is_at_end(waiting));
    close(guests);
    close(hosts);
    close(waiting);
    close(listener);
}
END_TEST

/* The guest's driver begins anew: what was is gone, and it works again. */
START_TEST(test_reset)
{
    int listener = vs_listen(VS_PORT);
    uint32_t port;
    int fd;

    vs_build(16);
    for (int i = 0; i < 20; i++) {
        int hosts;

        fd = vs_connect_guest(listener, VS_GUEST_PORT);
        hosts = vs_connect_host(VS_GUEST_PORT, &port);
        send(fd, "x", 1, MSG_NOSIGNAL);
        guest_reset(&vs_guest);
        ck_assert(vs_is_at_end(fd));
        ck_assert(vs_is_at_end(hosts));
        ck_assert_uint_eq(guest_get_u64(&vs_guest, "connections_open"), 0);
        close(fd);
        close(hosts);
        vs_drive(16);
        vs_expect_nothing();
    }
    close(listener);
}
END_TEST

/* Clients that come before the driver wait for it. */
START_TEST(test_client_before_the_driver)
{
    struct vs_packet packet;
    int fd;

    ck_assert_int_eq(guest_wire(&vs_guest), 0);
    fd = vs_client("CONNECT 77\n");
    guest_start(&vs_guest);
    usleep(20000);
    ck_assert_uint_eq(guest_get_u64(&vs_guest, "connections_open"), 0);
    vs_drive(16);
    vs_expect(NV_VSOCK_REQUEST, &packet);
    ck_assert_uint_eq(packet.header.dst_port, 77);
    close(fd);
}
END_TEST

START_TEST(test_pause)
{
    int listener = vs_listen(VS_PORT);
    struct vs_packet packet;
    uint32_t port;
    int guests;
    int hosts;
    int late;

    vs_build(16);
    vs_device->connect_ns = 50000000;
    guests = vs_connect_guest(listener, VS_GUEST_PORT);
    hosts = vs_client("CONNECT 5\n");
    vs_expect(NV_VSOCK_REQUEST, &packet);
    port = packet.header.src_port;
    guest_pause(&vs_guest);
    send(guests, "waits", 5, MSG_NOSIGNAL);
    late = vs_client("CONNECT 6\n");
    usleep(200000); /* nobody's time runs out */
    ck_assert_uint_eq(guest_get_u64(&vs_guest, "connections_open"), 2);
    vs_device->connect_ns = 5000000000;
    guest_resume(&vs_guest);
    for (int i = 0; i < 2; i++) {
        ck_assert(vs_rx_within(&packet, 5000));
        ck_assert(packet.header.op == NV_VSOCK_RW || packet.header.op == NV_VSOCK_REQUEST);
    }
    {
        struct nv_vsock_header header = vs_header(NV_VSOCK_RESPONSE);

        header.src_port = 5;
        header.dst_port = port;
        vs_tx(&header, NULL, 0);
    }
    vs_expect_bytes(hosts, "OK ");
    close(guests);
    close(hosts);
    close(late);
    close(listener);
}
END_TEST

START_TEST(test_timeout_of_a_client)
{
    struct vs_packet packet;
    int fd;

    vs_build(16);
    vs_device->connect_ns = 100000000;
    fd = vs_client("CONNECT ");
    ck_assert(vs_is_at_end(fd)); /* without the rest of its line */
    close(fd);
    fd = vs_client("CONNECT 5\n");
    vs_expect(NV_VSOCK_REQUEST, NULL);
    ck_assert(vs_is_at_end(fd)); /* without the guest's answer */
    vs_expect(NV_VSOCK_RST, &packet);
    ck_assert_uint_eq(packet.header.dst_port, 5);
    close(fd);
    ck_assert_uint_eq(guest_get_u64(&vs_guest, "refused"), 2);
    vs_expect_counter("connections_open", 0);
}
END_TEST

/* As above, but the guest has no buffers: it never hears of the client. */
START_TEST(test_timeout_without_buffers)
{
    int fd;

    ck_assert_int_eq(guest_wire(&vs_guest), 0);
    guest_start(&vs_guest);
    vs_drive(0);
    vs_device->connect_ns = 100000000;
    fd = vs_client("CONNECT 5\n");
    ck_assert(vs_is_at_end(fd));
    vs_expect_counter("connections_open", 0);
    vs_give(4, 100);
    vs_expect_nothing();
    close(fd);
}
END_TEST

START_TEST(test_timeout_of_the_guest)
{
    int listener = vs_listen(VS_PORT);
    int fd;

    vs_build(16);
    vs_device->shutdown_ns = 100000000;
    fd = vs_connect_guest(listener, VS_GUEST_PORT);
    close(fd);
    vs_expect(NV_VSOCK_SHUTDOWN, NULL);
    vs_expect(NV_VSOCK_RST, NULL); /* it did not answer */
    vs_expect_counter("connections_open", 0);
    close(listener);
}
END_TEST

/* The guest is done, and the host does not read what is left. */
START_TEST(test_timeout_of_a_slow_reader)
{
    static uint8_t chunk[32768];
    int listener = vs_listen(VS_PORT);
    struct nv_vsock_header header = vs_header(NV_VSOCK_RW);
    struct vs_packet packet;
    int fd;

    vs_build(16);
    vs_device->shutdown_ns = 200000000;
    fd = vs_connect_guest(listener, VS_GUEST_PORT);
    for (uint32_t i = 0; i < NV_VSOCK_WINDOW / sizeof(chunk); i++)
        vs_tx(&header, chunk, sizeof(chunk));
    header = vs_header(NV_VSOCK_SHUTDOWN);
    header.flags = NV_VSOCK_BOTH;
    vs_tx(&header, NULL, 0);
    do
        ck_assert(vs_rx_within(&packet, 5000));
    while (packet.header.op != NV_VSOCK_RST);
    ck_assert_uint_eq(guest_get_u64(&vs_guest, "connections_open"), 1);
    vs_expect_counter("connections_open", 0);
    close(fd);
    close(listener);
}
END_TEST

/* Descriptors run out: clients wait, the loop does not spin, and later it goes on. */
START_TEST(test_descriptors_run_out)
{
    struct rlimit limit;
    struct rlimit low;
    struct vs_packet packet;
    int fd;

    vs_build(16);
    fd = vs_client("");
    vs_expect_counter("connections_open", 1);
    close(fd);
    vs_expect_counter("connections_open", 0);
    getrlimit(RLIMIT_NOFILE, &limit);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    low = (struct rlimit){ .rlim_cur = (rlim_t)fd + 1, .rlim_max = limit.rlim_max };
    setrlimit(RLIMIT_NOFILE, &low);
    {
        struct sockaddr_un address = { .sun_family = AF_UNIX };

        strcpy(address.sun_path, vs_path);
        ck_assert_int_eq(connect(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
    }
    send(fd, "CONNECT 8\n", 10, MSG_NOSIGNAL);
    usleep(100000);
    ck_assert_uint_eq(guest_get_u64(&vs_guest, "connections_open"), 0);
    vs_tx_op(NV_VSOCK_REQUEST); /* the guest is told at once */
    vs_expect(NV_VSOCK_RST, NULL);
    setrlimit(RLIMIT_NOFILE, &limit);
    vs_expect(NV_VSOCK_REQUEST, &packet);
    ck_assert_uint_eq(packet.header.dst_port, 8);
    close(fd);
}
END_TEST

/* More clients than connections: they are turned away. */
START_TEST(test_cap_for_clients)
{
    int fds[6];

    guest_set_u64(&vs_guest, "connections", 4);
    vs_build(16);
    for (size_t i = 0; i < NV_ARRAY_SIZE(fds); i++)
        fds[i] = vs_client("");
    vs_expect_counter("refused", 2);
    ck_assert_uint_eq(guest_get_u64(&vs_guest, "connections_open"), 4);
    ck_assert(vs_is_at_end(fds[4]));
    ck_assert(vs_is_at_end(fds[5]));
    for (size_t i = 0; i < NV_ARRAY_SIZE(fds); i++)
        close(fds[i]);
    vs_expect_counter("connections_open", 0);
}
END_TEST

static void *come_and_go(void *argument)
{
    atomic_bool *ends = argument;

    while (!atomic_load(ends)) {
        int fd = vs_come(vs_path);

        if (fd >= 0)
            close(fd);
    }
    return NULL;
}

/* Clients come and go while the guest resets and the device is built anew: for the sanitizers. */
START_TEST(test_races)
{
    atomic_bool ends = false;
    pthread_t threads[2];
    struct vs_packet packet;

    for (int i = 0; i < 2; i++)
        pthread_create(&threads[i], NULL, come_and_go, &ends);
    for (int i = 0; i < 10; i++) {
        vs_build(16);
        for (int k = 0; k < 5; k++) {
            struct nv_vsock_header header = vs_header(NV_VSOCK_RESPONSE);

            for (int n = 0; n < 20 && vs_rx_within(&packet, 20); n++) {
                if (packet.header.op != NV_VSOCK_REQUEST)
                    continue;
                header.src_port = packet.header.dst_port;
                header.dst_port = packet.header.src_port;
                vs_tx(&header, NULL, 0);
            }
            if (k == 2) {
                guest_pause(&vs_guest);
                guest_resume(&vs_guest);
            }
            guest_reset(&vs_guest);
            vs_drive(16);
        }
        guest_stop(&vs_guest);
        guest_unbuild(&vs_guest);
    }
    atomic_store(&ends, true);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
}
END_TEST

static void add_life(TCase *tcase)
{
    tcase_add_test(tcase, test_built_again);
    tcase_add_test(tcase, test_stop_ends_everything);
    tcase_add_test(tcase, test_reset);
    tcase_add_test(tcase, test_client_before_the_driver);
    tcase_add_test(tcase, test_pause);
    tcase_add_test(tcase, test_timeout_of_a_client);
    tcase_add_test(tcase, test_timeout_without_buffers);
    tcase_add_test(tcase, test_timeout_of_the_guest);
    tcase_add_test(tcase, test_timeout_of_a_slow_reader);
    /* Valgrind plays the limit itself: it takes the client and hangs up, as no kernel does. */
    if (!support_is_valgrind())
        tcase_add_test(tcase, test_descriptors_run_out);
    tcase_add_test(tcase, test_cap_for_clients);
    tcase_add_test(tcase, test_races);
}

Suite *nv_test_suite(void)
{
    Suite *suite = suite_create("vsock_host");
    TCase *life = support_case(suite, "life", 120);

    tcase_add_checked_fixture(life, vs_make_looped, vs_unmake);
    add_life(life);
    return suite;
}
