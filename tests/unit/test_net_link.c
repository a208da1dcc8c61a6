/* SPDX-License-Identifier: Apache-2.0 */
/* Proves the network device's link: set by the caller, and what becomes of its tap while it runs.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <time.h>
#include <unistd.h>

#include "core/util.h"
#include "net_guest.h"
#include "netns.h"
#include "support.h"

enum { RX = 0, TX = 1 };
enum { CONFIG_STATUS = 6 };

static uint8_t frame[1000];

static void add_buffers(void)
{
    for (int i = 0; i < 20; i++)
        net_add_buffer(RX, 1100);
    guest_kick(&net.guest, RX);
}

static bool link_is_up(void)
{
    return guest_config(&net.guest, CONFIG_STATUS, 2) == 1;
}

/* The guest's interrupt for a change of the configuration; acknowledges it. */
static bool config_interrupt(void)
{
    uint32_t status = guest_read32(&net.guest, NV_VIRTIO_REG_INTERRUPT_STATUS);

    guest_write32(&net.guest, NV_VIRTIO_REG_INTERRUPT_ACK, status);
    return status & 2;
}

static void wait_event(unsigned number, uint64_t value)
{
    for (int i = 0; i < NET_TIMEOUT && guest_events(&net.guest) < number; i++)
        usleep(1000);
    ck_assert_uint_eq(guest_events(&net.guest), number);
    ck_assert_uint_eq(net.guest.events[number - 1].kind, NESTVIRT_EVENT_LINK);
    ck_assert_uint_eq(net.guest.events[number - 1].value, value);
}

/* Time of the loop's thread while nothing happens, in microseconds a second. */
static uint64_t idle_cost(void)
{
    struct timespec time[2];
    clockid_t clock;

    ck_assert_int_eq(pthread_getcpuclockid(net.guest.loop->thread, &clock), 0);
    clock_gettime(clock, &time[0]);
    usleep(200000);
    clock_gettime(clock, &time[1]);
    return 5 * ((uint64_t)(time[1].tv_sec - time[0].tv_sec) * 1000000u +
                (uint64_t)(time[1].tv_nsec - time[0].tv_nsec) / 1000);
}

START_TEST(test_net_link_property)
{
    net_setup(GUEST_LOOP, GUEST_ALL);
    net_frame(frame, sizeof(frame), 1);
    add_buffers();
    ck_assert(link_is_up() && !config_interrupt());
    ck_assert_int_eq(guest_set_u64(&net.guest, "link", 1), 0);
    ck_assert(!config_interrupt()); /* no change */

    ck_assert_int_eq(guest_set_u64(&net.guest, "link", 0), 0);
    ck_assert(!link_is_up() && config_interrupt());
    net_send(TX, NULL, frame, sizeof(frame));
    net_wait_for("tx_dropped", 1);
    for (int i = 0; i < 5; i++)
        net_host_send(NULL, frame, sizeof(frame));
    net_expect_nothing();
    ck_assert_uint_eq(guest_get_u64(&net.guest, "rx_packets"), 0);
    ck_assert_uint_lt(idle_cost(), 100000);

    /* What came meanwhile is lost. */
    ck_assert_int_eq(guest_set_u64(&net.guest, "link", 1), 0);
    ck_assert(link_is_up() && config_interrupt());
    net_wait_for("rx_dropped", 5);
    net_wait_ready();
    net_host_send(NULL, frame, sizeof(frame));
    net_wait_for("rx_packets", 1);
    net_send(TX, NULL, frame, sizeof(frame));
    net_expect(frame, sizeof(frame));
    ck_assert_uint_eq(guest_events(&net.guest), 0);
    ck_assert_int_eq(guest_set_u64(&net.guest, "link", 2), -EINVAL);
}
END_TEST

START_TEST(test_net_link_down_from_start)
{
    net_new(0);
    ck_assert_int_eq(guest_set_u64(&net.guest, "link", 0), 0);
    net_run(NET_IDLE, 0);
    ck_assert_int_eq(guest_drive(&net.guest, GUEST_ALL), 0);
    ck_assert(!link_is_up());
    net_send(TX, NULL, frame, sizeof(frame));
    net_wait_for("tx_dropped", 1);
}
END_TEST

/* Faults, number 7: the interface goes down and comes back. */
START_TEST(test_fault_7_net_tap_down)
{
    net_setup(GUEST_LOOP, GUEST_ALL);
    net_frame(frame, sizeof(frame), 1);
    add_buffers();
    netns_set_up(NET_TAP, false);
    for (int i = 0; i < 10; i++)
        net_send(TX, NULL, frame, sizeof(frame));
    net_wait_for("tx_dropped", 10);
    wait_event(1, EIO);
    ck_assert_uint_lt(idle_cost(), 100000);
    ck_assert(link_is_up()); /* to the guest it is a network that loses everything */

    netns_set_up(NET_TAP, true);
    close(net.packets);
    net.packets = netns_open_packets(NET_TAP, false);
    wait_event(2, 0); /* without a packet's help */
    net_send(TX, NULL, frame, sizeof(frame));
    net_expect(frame, sizeof(frame));
    net_host_send(NULL, frame, sizeof(frame));
    net_wait_for("rx_packets", 1);
    ck_assert_uint_eq(guest_events(&net.guest), 2);
    ck_assert_uint_eq(guest_log_lines(&net.guest), 0);
}
END_TEST

/* The event comes only when somebody may hear it, and once. */
START_TEST(test_fault_7_net_tap_down_and_paused)
{
    net_setup(GUEST_LOOP, GUEST_ALL);
    net_frame(frame, sizeof(frame), 1);
    netns_set_up(NET_TAP, false);
    net_send(TX, NULL, frame, sizeof(frame));
    wait_event(1, EIO);
    guest_pause(&net.guest);
    netns_set_up(NET_TAP, true);
    usleep(1200000);
    ck_assert_uint_eq(guest_events(&net.guest), 1);
    guest_resume(&net.guest);
    wait_event(2, 0);
}
END_TEST

/* Faults, number 7: deleted while it runs: found by a packet of the guest, or by the poll. */
START_TEST(test_fault_7_net_tap_deleted)
{
    bool guest_sends = _i;

    net_setup(GUEST_LOOP, GUEST_ALL);
    net_frame(frame, sizeof(frame), 1);
    if (!guest_sends)
        add_buffers();
    netns_delete(NET_TAP);
    if (guest_sends)
        net_send(TX, NULL, frame, sizeof(frame));
    wait_event(1, EBADFD);
    ck_assert(!link_is_up() && config_interrupt());
    ck_assert_uint_lt(idle_cost(), 100000);
    ck_assert_uint_eq(net.device->pairs[0].watched, 0);

    /* For ever: the guest sends into the void, the caller may play with the link. */
    for (int i = 0; i < 10; i++)
        net_send(TX, NULL, frame, sizeof(frame));
    net_wait_for("tx_dropped", guest_sends ? 11 : 10);
    ck_assert_int_eq(guest_set_u64(&net.guest, "link", 0), 0);
    ck_assert_int_eq(guest_set_u64(&net.guest, "link", 1), 0);
    ck_assert(!link_is_up() && !config_interrupt());
    ck_assert_int_eq(guest_drive(&net.guest, GUEST_ALL), 0);
    guest_pause(&net.guest);
    guest_resume(&net.guest);
    usleep(20000);
    ck_assert_uint_eq(guest_events(&net.guest), 1);

    /* Built again it makes a new one, or says what is missing. */
    guest_unbuild(&net.guest);
    ck_assert_msg(guest_wire(&net.guest) == 0, "%s", net.guest.error);
    guest_start(&net.guest);
    ck_assert(link_is_up());
}
END_TEST

/* Deleted before the driver comes. */
START_TEST(test_fault_7_net_tap_deleted_early)
{
    net_setup(GUEST_LOOP | NET_IDLE, 0);
    netns_delete(NET_TAP);
    ck_assert_int_eq(guest_drive(&net.guest, GUEST_ALL), 0);
    wait_event(1, EBADFD);
    ck_assert_uint_eq(guest_get_u64(&net.guest, "faults"), 0);
}
END_TEST

/* A caller's descriptor, also one that blocks: its flags stay, and nothing ever waits for it. */
START_TEST(test_net_lent_descriptor)
{
    unsigned blocking = _i ? NETNS_BLOCKING : 0;
    int fd = netns_open_tap("nvlent0", blocking);
    int flags = fcntl(fd, F_GETFL);

    netns_set_up("nvlent0", true);
    ck_assert_int_eq(guest_new(&net.guest, "net", GUEST_LOOP), 0);
    net.device = net.guest.device->state;
    ck_assert_int_eq(guest_set_fd(&net.guest, "fd", fd), 0);
    net.packets = netns_open_packets("nvlent0", false);
    for (int round = 0; round < 3; round++) {
        net_run(0, GUEST_ALL);
        net_frame(frame, sizeof(frame), (uint8_t)round);
        add_buffers();
        for (int i = 0; i < 10; i++) {
            net_host_send(NULL, frame, sizeof(frame));
            ck_assert_uint_eq(net_take(RX, NULL), NET_HEADER + sizeof(frame));
            net_send(TX, NULL, frame, sizeof(frame));
            net_expect(frame, sizeof(frame));
        }
        ck_assert_int_eq(fcntl(fd, F_GETFL), flags);
        guest_unbuild(&net.guest);
    }
    net_run(0, GUEST_ALL);
    netns_set_up("nvlent0", false);
    net_send(TX, NULL, frame, sizeof(frame));
    wait_event(1, EIO);
    netns_delete("nvlent0");
    net_send(TX, NULL, frame, sizeof(frame));
    wait_event(2, EBADFD);
    guest_unbuild(&net.guest);
    ck_assert_int_eq(guest_wire(&net.guest), -EINVAL);
    net_end();
    close(fd);
}
END_TEST

Suite *nv_test_suite(void)
{
    Suite *suite = suite_create("net_link");
    TCase *tcase = support_case(suite, "link", 60);

    tcase_add_checked_fixture(tcase, net_enter, net_leave);
    tcase_add_test(tcase, test_net_link_property);
    tcase_add_test(tcase, test_net_link_down_from_start);
    tcase_add_test(tcase, test_fault_7_net_tap_down);
    tcase_add_test(tcase, test_fault_7_net_tap_down_and_paused);
    tcase_add_loop_test(tcase, test_fault_7_net_tap_deleted, 0, 2);
    tcase_add_test(tcase, test_fault_7_net_tap_deleted_early);
    tcase_add_loop_test(tcase, test_net_lent_descriptor, 0, 2);
    return suite;
}
