/* SPDX-License-Identifier: Apache-2.0 */
/* Proves what the network device makes of answers that a tap gives rarely; the linker puts them in.
 */
#include <errno.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "core/util.h"
#include "net_guest.h"
#include "support.h"

enum { RX = 0, TX = 1 };

ssize_t __real_nv_tap_read(const struct nv_tap *tap, const struct iovec *parts, int count);
ssize_t __wrap_nv_tap_read(const struct nv_tap *tap, const struct iovec *parts, int count);
ssize_t __real_nv_tap_write(const struct nv_tap *tap, const struct iovec *parts, int count);
ssize_t __wrap_nv_tap_write(const struct nv_tap *tap, const struct iovec *parts, int count);
int __real_nv_tap_set_offload(const struct nv_tap *tap, uint32_t offload);
int __wrap_nv_tap_set_offload(const struct nv_tap *tap, uint32_t offload);

/* Each call takes one off. */
static int fault_error;
static int read_faults, write_faults, offload_faults;
static atomic_uint offload_calls, offload_calls_elsewhere;
static uint8_t read_flags; /* into the header of each packet read */

static bool take_fault(int *faults)
{
    return *faults > 0 && (*faults)-- > 0;
}

ssize_t __wrap_nv_tap_read(const struct nv_tap *tap, const struct iovec *parts, int count)
{
    ssize_t done;

    if (take_fault(&read_faults))
        return -fault_error;
    done = __real_nv_tap_read(tap, parts, count);
    if (done > 0)
        *(uint8_t *)parts[0].iov_base |= read_flags;
    return done;
}

ssize_t __wrap_nv_tap_write(const struct nv_tap *tap, const struct iovec *parts, int count)
{
    return take_fault(&write_faults) ? -fault_error : __real_nv_tap_write(tap, parts, count);
}

int __wrap_nv_tap_set_offload(const struct nv_tap *tap, uint32_t offload)
{
    atomic_fetch_add(&offload_calls, 1);
    if (net.guest.loop && net.guest.is_wired && !nv_loop_is_own_thread(net.guest.loop))
        atomic_fetch_add(&offload_calls_elsewhere, 1);
    return take_fault(&offload_faults) ? -fault_error : __real_nv_tap_set_offload(tap, offload);
}

static uint8_t frame[1000];

static void setup(void)
{
    net_enter();
    net_frame(frame, sizeof(frame), 1);
    read_faults = write_faults = offload_faults = 0;
    read_flags = 0;
}

/* A tap that takes nothing for a while: every packet goes once, in order. */
START_TEST(test_fault_2_net_write_waits)
{
    net_new(GUEST_LOOP);
    ck_assert_int_eq(guest_set_u64(&net.guest, "tx_rate_operations", 100), 0);
    net_run(0, GUEST_ALL);
    fault_error = EAGAIN;
    write_faults = 5;
    for (uint8_t i = 0; i < 10; i++) {
        frame[20] = i;
        net_send(TX, NULL, frame, sizeof(frame));
    }
    for (uint8_t i = 0; i < 10; i++) {
        frame[20] = i;
        net_expect(frame, sizeof(frame));
    }
    net_expect_nothing();
    ck_assert_uint_eq(guest_get_u64(&net.guest, "tx_packets"), 10);
    ck_assert_uint_eq(guest_get_u64(&net.guest, "tx_dropped"), 0);
}
END_TEST

static const int write_errors[] = { EINVAL, ENOMEM, EFAULT, ENOBUFS };

START_TEST(test_fault_1_net_write_fails)
{
    net_setup(GUEST_LOOP, GUEST_ALL);
    fault_error = write_errors[_i];
    write_faults = 3;
    for (uint8_t i = 0; i < 4; i++) {
        frame[20] = i;
        net_send(TX, NULL, frame, sizeof(frame));
    }
    net_expect(frame, sizeof(frame));
    ck_assert_uint_eq(guest_get_u64(&net.guest, "tx_dropped"), 3);
    ck_assert_uint_eq(guest_events(&net.guest), 0);
}
END_TEST

START_TEST(test_fault_1_net_read_fails)
{
    net_setup(GUEST_LOOP, GUEST_ALL);
    net_add_buffer(RX, 2000);
    fault_error = EFAULT;
    read_faults = 3;
    guest_kick(&net.guest, RX);
    net_wait_for("rx_dropped", 3);
    net_host_send(NULL, frame, sizeof(frame));
    ck_assert_uint_eq(net_take(RX, NULL), NET_HEADER + sizeof(frame));
}
END_TEST

/* A driver without GUEST_CSUM sees no flags (virtio 1.2, 5.1.6.4.1). */
START_TEST(test_net_flags_as_negotiated)
{
    enum { DATA_VALID = 2 };
    static const uint64_t features[] = { 0, NV_NET_F_MRG_RXBUF, NV_NET_F_GUEST_CSUM };

    for (size_t i = 0; i < NV_ARRAY_SIZE(features); i++) {
        uint64_t at;

        net_setup(0, features[i]);
        at = net_add_buffer(RX, 2000);
        read_flags = DATA_VALID;
        net_host_send(NULL, frame, sizeof(frame));
        guest_kick(&net.guest, RX);
        ck_assert_uint_eq(net_take(RX, NULL), NET_HEADER + sizeof(frame));
        ck_assert_uint_eq(*(uint8_t *)guest_mem(&net.guest, at, 1), i == 2 ? DATA_VALID : 0);
        net_end();
    }
}
END_TEST

START_TEST(test_hostile_34_net_activation_fails)
{
    net_setup(NET_IDLE, 0);
    fault_error = EINVAL;
    offload_faults = 1;
    ck_assert_int_eq(guest_drive(&net.guest, GUEST_ALL), 0);
    ck_assert(guest_read32(&net.guest, NV_VIRTIO_REG_STATUS) & NV_VIRTIO_NEEDS_RESET);
    ck_assert_uint_eq(guest_get_u64(&net.guest, "faults"), 1);
    ck_assert_int_eq(guest_drive(&net.guest, GUEST_ALL), 0);
    net_send(TX, NULL, frame, sizeof(frame));
    net_expect(frame, sizeof(frame));
}
END_TEST

/* With a loop it is found out a little later. */
START_TEST(test_hostile_34_net_offloads_fail)
{
    net_setup(GUEST_LOOP | NET_IDLE, 0);
    fault_error = EINVAL;
    offload_faults = 1;
    ck_assert_int_eq(guest_drive(&net.guest, GUEST_ALL), 0);
    for (int i = 0; i < NET_TIMEOUT && guest_get_u64(&net.guest, "faults") == 0; i++)
        usleep(1000);
    ck_assert(guest_read32(&net.guest, NV_VIRTIO_REG_STATUS) & NV_VIRTIO_NEEDS_RESET);
    ck_assert_int_eq(guest_drive(&net.guest, GUEST_ALL), 0);
    net_wait_ready();
    net_send(TX, NULL, frame, sizeof(frame));
    net_expect(frame, sizeof(frame));
}
END_TEST

/*
 * A guest that resets its device again and again, with other features each time: a lock of all the
 * host's network is taken now and then only, and never by a vCPU. In the end the tap is right.
 */
START_TEST(test_hostile_41_net_offload_storm)
{
    enum { ROUNDS = 2000 };
    uint64_t begin_ns = nv_now_ns();
    uint64_t elapsed_ms;

    net_setup(GUEST_LOOP, GUEST_ALL);
    atomic_store(&offload_calls, 0);
    for (int i = 0; i < ROUNDS; i++)
        ck_assert_int_eq(guest_drive(&net.guest, i % 2 ? GUEST_ALL : NV_NET_F_MRG_RXBUF), 0);
    elapsed_ms = (nv_now_ns() - begin_ns) / 1000000;
    ck_assert_uint_le(atomic_load(&offload_calls), 2 + elapsed_ms / 100);
    ck_assert_uint_eq(atomic_load(&offload_calls_elsewhere), 0);
    ck_assert_int_eq(guest_drive(&net.guest, 0), 0);
    net_wait_ready();
    ck_assert_uint_eq(net.device->offload, 0);
    net_add_buffer(RX, 2000);
    guest_kick(&net.guest, RX);
    net_host_send(NULL, frame, sizeof(frame));
    ck_assert_uint_eq(net_take(RX, NULL), NET_HEADER + sizeof(frame));
}
END_TEST

/* Until the tap is as a driver without offloads needs it, that driver gets nothing. */
START_TEST(test_net_receives_only_as_negotiated)
{
    net_setup(GUEST_LOOP, GUEST_ALL);
    {
        NV_VIRTIO_GUARD(net.guest.virtio);
        net.device->follow_after_ns = nv_now_ns() + 300000000;
    }
    ck_assert_int_eq(guest_drive(&net.guest, 0), 0);
    net_add_buffer(RX, 2000);
    guest_kick(&net.guest, RX);
    usleep(30000);
    net_host_send(NULL, frame, sizeof(frame)); /* as the tap was: it is thrown away */
    net_wait_for("rx_dropped", 1);
    net_wait_ready();
    ck_assert_uint_eq(guest_get_u64(&net.guest, "rx_packets"), 0);
    net_host_send(NULL, frame, sizeof(frame));
    ck_assert_uint_eq(net_take(RX, NULL), NET_HEADER + sizeof(frame));
}
END_TEST

Suite *nv_test_suite(void)
{
    Suite *suite = suite_create("net_faults");
    TCase *tcase = support_case(suite, "faults", 60);

    tcase_add_checked_fixture(tcase, setup, net_leave);
    tcase_add_test(tcase, test_fault_2_net_write_waits);
    tcase_add_loop_test(tcase, test_fault_1_net_write_fails, 0, NV_ARRAY_SIZE(write_errors));
    tcase_add_test(tcase, test_fault_1_net_read_fails);
    tcase_add_test(tcase, test_net_flags_as_negotiated);
    tcase_add_test(tcase, test_hostile_34_net_activation_fails);
    tcase_add_test(tcase, test_hostile_34_net_offloads_fail);
    tcase_add_test(tcase, test_hostile_41_net_offload_storm);
    tcase_add_test(tcase, test_net_receives_only_as_negotiated);
    return suite;
}
