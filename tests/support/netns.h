/* SPDX-License-Identifier: Apache-2.0 */
/* Owns a network namespace for a test: taps, their states and packets at the host's end of them. */
#ifndef TESTS_SUPPORT_NETNS_H
#define TESTS_SUPPORT_NETNS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* Flags of taps. */
enum {
    NETNS_MANY_QUEUES = 1 << 0, /* made and opened with IFF_MULTI_QUEUE */
    NETNS_NO_HEADER = 1 << 1,   /* without vnet headers */
    NETNS_TUN = 1 << 2,         /* packets of IP, not of Ethernet */
    NETNS_BLOCKING = 1 << 3     /* opened without O_NONBLOCK */
};

/*
 * Puts the calling thread into an empty network namespace, and back. With all that was made there
 * the namespace goes when nobody uses it any more. Skips the program where this is not allowed or
 * /dev/net/tun does not open. leave may be called at any time.
 */
void netns_enter(void);
void netns_leave(void);

/* These fail the running test if they fail. */

/* Makes a tap that stays when nobody has it open, down; or opens one, made if need be. */
void netns_make_tap(const char *name, unsigned flags);
int netns_open_tap(const char *name, unsigned flags);

void netns_delete(const char *name);
void netns_set_up(const char *name, bool is_up);
void netns_set_mtu(const char *name, int mtu);
void netns_set_address(const char *name, const char *address, const char *mask);

/*
 * A socket for frames that go into a tap and come out of it. with_header: each begins with 10 bytes
 * of struct virtio_net_hdr, so that offloads can be seen and asked for.
 */
int netns_open_packets(const char *name, bool with_header);

/* Waits for a frame; 0 if none comes in the time. */
ssize_t netns_receive(int packets, void *buffer, size_t length, int timeout_ms);

#endif
