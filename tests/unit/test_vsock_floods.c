/* SPDX-License-Identifier: Apache-2.0 */
/* Proves the socket device against floods of connects, guests that take nothing, and dead peers. */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/util.h"
#include "vsock_guest.h"

START_TEST(test_hostile_48_vsock_100k_connects)
{
    enum { CAP = 64 };
    const uint32_t flood = support_rounds(100000);
    struct nv_vsock_header header = vs_header(NV_VSOCK_REQUEST);
    int listener = vs_listen(VS_PORT);
    struct vs_packet packet;
    uint32_t resets = 0;
    uint32_t responses = 0;

    vs_refill = false;
    while (vs_rx_within(&packet, 0))
        ;
    vs_device->connections = CAP;
    for (uint32_t i = 0; i < flood; i++) {
        header.src_port = i;
        vs_tx(&header, NULL, 0);
    }
    ck_assert_uint_eq(vs_device->slot_count, CAP);
    ck_assert_uint_eq(guest_get_u64(&vs_guest, "connections_open"), CAP);
    ck_assert_uint_eq(guest_get_u64(&vs_guest, "refused"), flood - CAP);
    /* There were 32 buffers; the rest waits within bounds, or is lost. */
    vs_refill = true;
    while (vs_rx_within(&packet, 20)) {
        responses += packet.header.op == NV_VSOCK_RESPONSE;
        resets += packet.header.op == NV_VSOCK_RST;
        if (responses + resets == 32)
            vs_give(8, NV_VSOCK_HEADER);
    }
    ck_assert_uint_eq(responses, CAP);
    ck_assert_uint_eq(resets, NV_VSOCK_RESETS);
    ck_assert_uint_eq(guest_get_u64(&vs_guest, "dropped"), flood - CAP - NV_VSOCK_RESETS);
    close(listener);
}
END_TEST

static atomic_uint calls; /* of the loop, for sockets */
static void (*real_call)(void *user_data, uint32_t events);

static void count_call(void *user_data, uint32_t events)
{
    atomic_fetch_add(&calls, 1);
    real_call(user_data, events);
}

/* Nothing is to be done: the loop sleeps. Not measured by time, for which others are too busy. */
static void ck_loop_sleeps(void)
{
    enum { FEW = 20 };

    if (!vs_guest.loop)
        return;
    pthread_mutex_lock(&vs_guest.loop->lock);
    while (vs_guest.loop->running) /* it reads its function without the lock */
        pthread_cond_wait(&vs_guest.loop->idle, &vs_guest.loop->lock);
    for (uint32_t i = 0; i < vs_device->slot_count; i++) {
        if (vs_device->slots[i]->source.fn != count_call)
            real_call = vs_device->slots[i]->source.fn;
        vs_device->slots[i]->source.fn = count_call;
    }
    atomic_store(&calls, 0);
    pthread_mutex_unlock(&vs_guest.loop->lock);
    usleep(300000);
    ck_assert_uint_le(atomic_load(&calls), FEW);
}

/* No receive buffers at all: what the guest sends still arrives, and the loop sleeps. */
START_TEST(test_hostile_49_vsock_no_receive_buffers)
{
    int listener = vs_listen(VS_PORT);
    struct nv_vsock_header header = vs_header(NV_VSOCK_REQUEST);
    struct vs_packet packet;
    int fds[4];

    for (uint32_t i = 0; i < NV_ARRAY_SIZE(fds); i++) {
        header = vs_header(NV_VSOCK_REQUEST);
        header.src_port = i;
        vs_tx(&header, NULL, 0);
        fds[i] = vs_accept(listener);
        send(fds[i], "for the guest", 13, 0);
        header.op = NV_VSOCK_RW;
        vs_tx(&header, "for the host", 12);
        vs_expect_bytes(fds[i], "for the host");
    }
    shutdown(fds[1], SHUT_WR);
    close(fds[2]);
    ck_loop_sleeps();
    ck_assert_uint_eq(guest_used_index(&vs_guest, NV_VSOCK_RX), 0);
    vs_give(16, NV_VSOCK_HEADER + 100);
    for (uint32_t i = 0; i < 2 * NV_ARRAY_SIZE(fds) + 2; i++)
        ck_assert(vs_rx_within(&packet, 5000));
    vs_expect_nothing();
    close(fds[0]);
    close(fds[1]);
    close(fds[3]);
    close(listener);
}
END_TEST

/* Every connection gets its turn, however much the others have. */
START_TEST(test_hostile_48_vsock_fair_turns)
{
    enum { MANY = 8 };
    static uint8_t bytes[65536];
    int listener = vs_listen(VS_PORT);
    int fds[MANY];
    uint32_t turns[MANY] = { 0 };
    struct vs_packet packet;

    vs_refill = false;
    vs_give(MANY, NV_VSOCK_HEADER);
    for (uint32_t i = 0; i < MANY; i++)
        fds[i] = vs_connect_guest(listener, i);
    for (uint32_t i = 0; i < MANY; i++)
        send(fds[i], bytes, sizeof(bytes), 0);
    vs_look();
    usleep(vs_guest.loop ? 50000 : 0);
    vs_refill = true;
    vs_give(4, NV_VSOCK_HEADER + 4096);
    for (uint32_t i = 0; i < 8 * MANY; i++) {
        vs_expect(NV_VSOCK_RW, &packet);
        turns[packet.header.dst_port]++;
    }
    for (uint32_t i = 0; i < MANY; i++) {
        ck_assert_uint_ge(turns[i], 7);
        close(fds[i]);
    }
    close(listener);
}
END_TEST

/* No credit, and the host leaves: nothing more is to be done, so nothing is. */
START_TEST(test_hostile_49_vsock_no_credit_and_no_host)
{
    struct nv_vsock_header header = vs_header(NV_VSOCK_REQUEST);
    int listener = vs_listen(VS_PORT);
    struct vs_packet packet;
    int fd;

    vs_give(8, NV_VSOCK_HEADER + 100);
    header.buf_alloc = 0;
    vs_tx(&header, NULL, 0);
    vs_expect(NV_VSOCK_RESPONSE, NULL);
    fd = vs_accept(listener);
    send(fd, "last words", 10, 0);
    close(fd);
    ck_loop_sleeps();
    vs_expect_nothing();
    header.op = NV_VSOCK_CREDIT_UPDATE;
    header.buf_alloc = VS_WINDOW;
    vs_tx(&header, NULL, 0);
    vs_expect(NV_VSOCK_RW, &packet);
    ck_assert_mem_eq(packet.data, "last words", 10);
    vs_expect(NV_VSOCK_SHUTDOWN, &packet);
    ck_assert_uint_eq(packet.header.flags, NV_VSOCK_BOTH);
    close(listener);
}
END_TEST

/* The program on the host is killed while bytes are under way in both directions. */
START_TEST(test_fault_09_vsock_peer_is_killed)
{
    static uint8_t chunk[32768];
    int listener = vs_listen(VS_PORT);
    int fd = vs_connect_guest(listener, VS_GUEST_PORT);
    struct nv_vsock_header header = vs_header(NV_VSOCK_RW);
    struct vs_packet packet = { 0 };
    pid_t child = fork();
    int status;

    if (child == 0) {
        pause();
        _exit(0);
    }
    close(fd);
    for (int i = 0; i < 8; i++)
        vs_tx(&header, chunk, sizeof(chunk));
    kill(child, SIGKILL);
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    while (packet.header.op != NV_VSOCK_SHUTDOWN && packet.header.op != NV_VSOCK_RST)
        ck_assert(vs_rx_within(&packet, 5000));
    for (int i = 0; i < 8; i++) /* what is still under way harms nobody */
        vs_tx(&header, chunk, sizeof(chunk));
    vs_tx_op(NV_VSOCK_RST);
    vs_expect_counter("connections_open", 0);
    close(listener);
}
END_TEST

/* It is stopped, and reads nothing: the guest's credit ends, others go on. */
START_TEST(test_fault_09_vsock_peer_is_blocked)
{
    enum { CHUNK = 32768 };
    static uint8_t chunk[CHUNK];
    int listener = vs_listen(VS_PORT);
    int blocked = vs_connect_guest(listener, 1);
    int lively = vs_connect_guest(listener, 2);
    struct nv_vsock_header header = vs_header(NV_VSOCK_RW);
    struct vs_packet packet;
    uint32_t forwarded = 0;
    uint32_t sent = 0;

    header.src_port = 1;
    while (sent + CHUNK - forwarded <= NV_VSOCK_WINDOW) {
        vs_tx(&header, chunk, CHUNK);
        sent += CHUNK;
        while (vs_rx_within(&packet, vs_guest.loop ? 20 : 0)) {
            ck_assert_uint_eq(packet.header.op, NV_VSOCK_CREDIT_UPDATE);
            forwarded = packet.header.fwd_cnt;
        }
    }
    ck_assert_uint_ge(sent, NV_VSOCK_WINDOW);
    header.src_port = 2;
    vs_tx(&header, "still here", 10);
    vs_expect_bytes(lively, "still here");
    for (uint32_t got = 0; got < sent; got += CHUNK)
        ck_assert_uint_eq(vs_read(blocked, chunk, CHUNK), CHUNK);
    header.src_port = 1;
    header.op = NV_VSOCK_CREDIT_REQUEST;
    vs_tx(&header, NULL, 0);
    do
        ck_assert(vs_rx_within(&packet, 5000));
    while (packet.header.fwd_cnt != sent);
    close(blocked);
    close(lively);
    close(listener);
}
END_TEST

/* A peer with unread bytes that closes: the guest hears of a reset. */
START_TEST(test_fault_09_vsock_peer_resets)
{
    int listener = vs_listen(VS_PORT);
    int fd = vs_connect_guest(listener, VS_GUEST_PORT);
    struct nv_vsock_header header = vs_header(NV_VSOCK_RW);

    vs_tx(&header, "unread", 6);
    close(fd);
    vs_expect(NV_VSOCK_RST, NULL);
    vs_expect_counter("connections_open", 0);
    close(listener);
}
END_TEST

/* A guest that guesses the port answers what it was not asked yet. */
START_TEST(test_hostile_46_vsock_answer_before_the_question)
{
    struct nv_vsock_header header = vs_header(NV_VSOCK_RESPONSE);
    int fd = vs_client("CONNECT 7\n");

    vs_expect_counter("connections_open", 1);
    header.src_port = 7;
    header.dst_port = 0x40000000;
    while (guest_get_u64(&vs_guest, "refused") == 0) {
        vs_tx(&header, NULL, 0); /* until the client's line is there */
        ck_assert_uint_eq(guest_get_u64(&vs_guest, "faults"), 0);
    }
    ck_assert(vs_is_at_end(fd));
    vs_expect_counter("connections_open", 0);
    close(fd);
}
END_TEST

/* The client leaves before the guest could be asked. */
START_TEST(test_hostile_49_vsock_client_leaves_unheard)
{
    int fd = vs_client("CONNECT 7\n");

    vs_expect_counter("connections_open", 1);
    vs_look();
    close(fd);
    vs_expect_counter("refused", 1);
    vs_expect_counter("connections_open", 0);
    vs_give(4, 100);
    vs_expect_nothing();
}
END_TEST

static void setup_inline_dry(void)
{
    vs_start(0, 0);
}

static void setup_loop_dry(void)
{
    vs_start(GUEST_LOOP, 0);
}

static void add_tests(TCase *tcase)
{
    tcase_add_test(tcase, test_hostile_48_vsock_100k_connects);
    tcase_add_test(tcase, test_fault_09_vsock_peer_is_killed);
    tcase_add_test(tcase, test_fault_09_vsock_peer_is_blocked);
    tcase_add_test(tcase, test_fault_09_vsock_peer_resets);
}

static void add_dry_tests(Suite *suite, const char *name, void (*setup)(void))
{
    TCase *tcase = support_case(suite, name, 60);

    tcase_add_checked_fixture(tcase, setup, vs_teardown);
    tcase_add_test(tcase, test_hostile_49_vsock_no_receive_buffers);
    tcase_add_test(tcase, test_hostile_49_vsock_no_credit_and_no_host);
    tcase_add_test(tcase, test_hostile_48_vsock_fair_turns);
    tcase_add_test(tcase, test_hostile_46_vsock_answer_before_the_question);
    tcase_add_test(tcase, test_hostile_49_vsock_client_leaves_unheard);
}

Suite *nv_test_suite(void)
{
    Suite *suite = suite_create("vsock_floods");

    vs_add_both(suite, add_tests);
    add_dry_tests(suite, "dry without a loop", setup_inline_dry);
    add_dry_tests(suite, "dry with a loop", setup_loop_dry);
    return suite;
}
