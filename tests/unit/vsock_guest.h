/* SPDX-License-Identifier: Apache-2.0 */
/* Owns a socket device, its guest's driver, and the programs on the host, as tests play them. */
#ifndef TESTS_UNIT_VSOCK_GUEST_H
#define TESTS_UNIT_VSOCK_GUEST_H

#include <stdbool.h>
#include <stdint.h>

#include "devices/vsock.h"
#include "support.h"
#include "virtio_guest.h"

enum {
    VS_CID = 3,
    VS_PORT = 5000,        /* of a service of the host */
    VS_GUEST_PORT = 70000, /* of a client or service in the guest */
    VS_WINDOW = 256 * 1024 /* that the guest grants by default */
};

struct vs_packet {
    struct nv_vsock_header header;
    uint8_t data[65536];
};

extern struct virtio_guest vs_guest;
extern struct nv_vsock *vs_device;
extern char vs_folder[64];
extern char vs_path[80]; /* in the folder, which is removed in the end with all that is in it */

/* Makes a folder and a device, not built; and all gone. */
void vs_make(uint32_t flags);
void vs_make_looped(void);
void vs_unmake(void);

/* The same, up to a driver that is ready and has given `buffers` receive buffers of 4 KiB. */
void vs_start(uint32_t flags, uint32_t buffers);
void vs_drive(uint32_t buffers);
void vs_build(uint32_t buffers); /* what vs_start() does behind vs_make() */
void vs_setup_inline(void);
void vs_setup_loop(void);
void vs_teardown(void);

/* Two cases, without and with a loop, to which add gives the same tests. */
void vs_add_both(Suite *suite, void (*add)(TCase *tcase));

/* Whether there is a file; and a client that never waits: its descriptor. */
bool vs_exists(const char *path);

/* Nothing is in the folder but the socket file, if that. */
void vs_must_be_alone(void);
int vs_come(const char *path);

/* A header of the guest to the host; from VS_GUEST_PORT to VS_PORT with credit unless changed. */
struct nv_vsock_header vs_header(uint16_t op);

/* Sends a packet and waits until the device has given it back. */
void vs_tx(const struct nv_vsock_header *header, const void *data, uint32_t length);
void vs_tx_op(uint16_t op);

/* Gives receive buffers of this many bytes; vs_refill: whether each is given again when used. */
void vs_give(uint32_t count, uint32_t length);
extern bool vs_refill;

/* The next packet for the guest, within the time: false if none comes. */
bool vs_rx_within(struct vs_packet *packet, unsigned timeout_ms);

/* It must come, and be this one; nothing must come. */
void vs_expect(uint16_t op, struct vs_packet *packet);
void vs_expect_nothing(void);

/* Lets a device without a loop look at its sockets. */
void vs_look(void);

/* A service of the host at path_PORT, and the next client of it. */
int vs_listen(uint32_t port);
int vs_accept(int listener);

/* A client of the host: connected to the device's socket, and having sent a line. */
int vs_client(const char *line);

/* Reads exactly length bytes, or to the end of the stream. Returns how many. */
size_t vs_read(int fd, void *buffer, size_t length);
bool vs_is_at_end(int fd);
void vs_expect_bytes(int fd, const char *text);

/* A connection that the guest made: the host's end. And one that the host made, its port told. */
int vs_connect_guest(int listener, uint32_t guest_port);
int vs_connect_host(uint32_t guest_port, uint32_t *ret_host_port);

/* Waits until a counter has this value. */
void vs_expect_counter(const char *name, uint64_t value);

#endif
