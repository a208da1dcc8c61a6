/* SPDX-License-Identifier: Apache-2.0 */
/* Owns a network device on a real tap in a namespace of the test, its driver and the host's end. */
#include "net_guest.h"

#include <poll.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "core/cleanup.h"
#include "core/util.h"
#include "netns.h"
#include "support.h"

struct net net;

static uint8_t received[NV_NET_READ_MAX];

void net_enter(void)
{
    net.device = NULL;
    net.packets = -1;
    netns_enter();
    netns_make_tap(NET_TAP, 0);
    netns_set_mtu(NET_TAP, 9000);
    netns_set_up(NET_TAP, true);
}

void net_leave(void)
{
    net_end();
    netns_leave();
}

void net_new(unsigned flags)
{
    net.packets = netns_open_packets(NET_TAP, flags & NET_HEADERS);
    ck_assert_int_eq(guest_new(&net.guest, "net", flags & GUEST_LOOP), 0);
    net.device = net.guest.device->state;
    ck_assert_int_eq(guest_set_string(&net.guest, "tap", NET_TAP), 0);
}

void net_run(unsigned flags, uint64_t features)
{
    ck_assert_msg(guest_wire(&net.guest) == 0, "%s", net.guest.error);
    guest_start(&net.guest);
    if (flags & NET_IDLE)
        return;
    ck_assert_int_eq(guest_drive(&net.guest, features), 0);
    net_wait_ready();
}

void net_setup(unsigned flags, uint64_t features)
{
    net_new(flags);
    net_run(flags, features);
}

void net_end(void)
{
    if (net.device)
        guest_free(&net.guest);
    if (net.packets >= 0)
        close(net.packets);
    net.device = NULL;
    net.packets = -1;
}

void net_wait_ready(void)
{
    for (int i = 0; i < NET_TIMEOUT; i++) {
        {
            NV_VIRTIO_GUARD(net.guest.virtio);
            if (net.device->pairs[0].stale == 0 &&
                net.device->offload == net.device->wanted_offload)
                return;
        }
        usleep(1000);
    }
    ck_abort_msg("the device does not look at its tap");
}

void net_frame(uint8_t *frame, size_t length, uint8_t seed)
{
    static const uint8_t head[NV_NET_FRAME_MIN] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2,
                                                    0,    0,    0,    0,    9,    0x88, 0xb5 };

    for (size_t i = 0; i < length; i++)
        frame[i] = i < sizeof(head) ? head[i] : (uint8_t)(seed + i * 7 + i / 256);
}

static void host_send(const uint8_t *header, const uint8_t *frame, size_t length)
{
    const struct iovec parts[] = {
        { (void *)header, header ? NET_HOST_HEADER : 0 },
        { (void *)frame, length },
    };

    ck_assert_int_eq(writev(net.packets, parts, 2),
                     (ssize_t)length + (header ? NET_HOST_HEADER : 0));
}

/*
 * With a header it goes by the interface's queue, which drops all until the kernel has noticed that
 * the tap is open: then again. The device must not look meanwhile.
 */
void net_host_send(const uint8_t *header, const uint8_t *frame, size_t length)
{
    struct pollfd tap = { .events = POLLIN };

    host_send(header, frame, length);
    if (!header)
        return;
    ck_assert_ptr_null(net.guest.loop);
    tap.fd = net.device->pairs[0].tap.fd;
    for (int i = 0; i < 25 && poll(&tap, 1, 200) == 0; i++)
        host_send(header, frame, length);
}

uint64_t net_add_buffer(uint32_t queue, uint32_t length)
{
    const struct guest_part part = { guest_alloc(&net.guest, length), length, true };

    ck_assert_uint_ne(part.address, 0);
    ck_assert_int_ge(guest_add(&net.guest, queue, &part, 1), 0);
    return part.address;
}

uint32_t net_take(uint32_t queue, uint32_t *ret_head)
{
    uint32_t length;

    if (!guest_wait_used(&net.guest, queue, ret_head, &length, net.guest.loop ? NET_TIMEOUT : 0))
        return 0;
    return length;
}

void net_send_parts(uint32_t queue, const struct guest_part *parts, uint32_t count)
{
    uint32_t length;
    uint32_t taken;
    int head = guest_add(&net.guest, queue, parts, count);

    ck_assert_int_ge(head, 0);
    guest_kick(&net.guest, queue);
    ck_assert(guest_wait_used(&net.guest, queue, &taken, &length, NET_TIMEOUT));
    ck_assert_uint_eq(taken, (uint32_t)head);
    ck_assert_uint_eq(length, 0);
}

int net_send(uint32_t queue, const uint8_t *header, const uint8_t *frame, size_t length)
{
    const struct guest_part parts[] = {
        { guest_alloc(&net.guest, NET_HEADER), NET_HEADER, false },
        { guest_alloc(&net.guest, length), (uint32_t)length, false },
    };
    int head;

    ck_assert_uint_ne(parts[1].address, 0);
    memset(guest_mem(&net.guest, parts[0].address, NET_HEADER), 0, NET_HEADER);
    if (header)
        memcpy(guest_mem(&net.guest, parts[0].address, NET_HEADER), header, NET_HEADER);
    if (length)
        memcpy(guest_mem(&net.guest, parts[1].address, length), frame, length);
    head = guest_add(&net.guest, queue, parts, length ? 2 : 1);
    ck_assert_int_ge(head, 0);
    guest_kick(&net.guest, queue);
    return head;
}

void net_expect(const uint8_t *frame, size_t length)
{
    ssize_t got = netns_receive(net.packets, received, sizeof(received), NET_TIMEOUT);

    ck_assert_int_eq(got, length);
    ck_assert_mem_eq(received, frame, length);
}

void net_expect_nothing(void)
{
    ck_assert_int_eq(netns_receive(net.packets, received, sizeof(received), NET_SILENCE), 0);
}

void net_wait_for(const char *property, uint64_t value)
{
    for (int i = 0; i < NET_TIMEOUT; i++) {
        if (guest_get_u64(&net.guest, property) == value)
            return;
        usleep(1000);
    }
    ck_abort_msg("property %s is %llu, not %llu", property,
                 (unsigned long long)guest_get_u64(&net.guest, property),
                 (unsigned long long)value);
}
