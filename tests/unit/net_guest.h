/* SPDX-License-Identifier: Apache-2.0 */
/* Owns a network device on a real tap in a namespace of the test, its driver and the host's end. */
#ifndef TESTS_UNIT_NET_GUEST_H
#define TESTS_UNIT_NET_GUEST_H

#include <stdbool.h>
#include <stdint.h>

#include "devices/net.h"
#include "virtio_guest.h"

#define NET_TAP "nvtest0"

enum {
    NET_HEADER = 12,
    NET_HOST_HEADER = 10, /* as packet sockets have it */
    NET_TIMEOUT = 20000,  /* ms, for what must come */
    NET_SILENCE = 50      /* ms, for what must not */
};

/* Flags of net_setup() besides GUEST_*. */
enum {
    NET_HEADERS = 1 << 8, /* the host's end sees vnet headers */
    NET_IDLE = 1 << 9     /* the driver has not begun: the test does that */
};

struct net {
    struct virtio_guest guest;
    struct nv_net *device;
    int packets; /* the host's end */
};

/* The one of the running test. */
extern struct net net;

/* Around each test: the namespace with a tap; and its end, with the device if there is one. */
void net_enter(void);
void net_leave(void);

/* A device that is not built yet, on the tap by name; and what comes after setting properties. */
void net_new(unsigned flags);
void net_run(unsigned flags, uint64_t features);

/* Both. */
void net_setup(unsigned flags, uint64_t features);

/* Takes the device apart and frees it. */
void net_end(void);

/* Waits until the tap is as the driver wants it, and what waited in it before is thrown away. */
void net_wait_ready(void);

/* Fills a frame of a length: broadcast, of a type nobody minds, then bytes counting from seed. */
void net_frame(uint8_t *frame, size_t length, uint8_t seed);

/* The host sends a frame, with a header of NET_HOST_HEADER bytes if the socket has them. */
void net_host_send(const uint8_t *header, const uint8_t *frame, size_t length);

/* Gives the device a receive buffer; returns its address. */
uint64_t net_add_buffer(uint32_t queue, uint32_t length);

/* Takes the next used receive buffer; returns its length in bytes. 0: there is none. */
uint32_t net_take(uint32_t queue, uint32_t *ret_head);

/* The guest sends header and frame, in one buffer each; returns the head. */
int net_send(uint32_t queue, const uint8_t *header, const uint8_t *frame, size_t length);

/* The same from parts; the caller has filled them. Completed when it returns. */
void net_send_parts(uint32_t queue, const struct guest_part *parts, uint32_t count);

/* The host's next frame must be this one; or nothing must come. */
void net_expect(const uint8_t *frame, size_t length);
void net_expect_nothing(void);

/* Waits until a property has a value. */
void net_wait_for(const char *property, uint64_t value);

#endif
