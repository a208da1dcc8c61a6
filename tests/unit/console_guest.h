/* SPDX-License-Identifier: Apache-2.0 */
/* Owns what the console's tests share: a device on pipes, and the driver's side of its ports. */
#ifndef TESTS_UNIT_CONSOLE_GUEST_H
#define TESTS_UNIT_CONSOLE_GUEST_H

#include "support.h"
#include "virtio_guest.h"

enum { CONTROL_RECEIVE = 2, CONTROL_TRANSMIT = 3, CONSOLE_WAIT_MS = 20000 };

/* Control messages (virtio 1.2, 5.3.6.2). */
enum {
    DEVICE_READY,
    PORT_ADD,
    PORT_REMOVE,
    PORT_READY,
    CONSOLE_PORT,
    RESIZE,
    PORT_OPEN,
    PORT_NAME
};

extern struct virtio_guest guest;

/* Adding a descriptor to an epoll set fails so; 0: it works. */
extern int console_epoll_errno;

/* Our end of a port's descriptors; -1: none. */
struct console_ends {
    int output; /* to read what the guest sends */
    int input;  /* to write what it is to receive */
};

/* Makes the device, not built yet; and frees it and the ends that are open. */
void console_begin(uint32_t flags);
void console_end(void);

/* Gives a port pipes (output of one page) or a socket pair. */
struct console_ends *console_pipes(unsigned port);
struct console_ends *console_sockets(unsigned port);
struct console_ends *console_of(unsigned port);

/* Sets a descriptor or text property of a port; port 0's have no number in their names. */
int console_set_fd(const char *name, unsigned port, int fd);
int console_set_text(const char *name, unsigned port, const char *text);

/* Builds, starts and drives. */
void console_drive(uint64_t features);

/* Two ports' handshake: port 0 a terminal, port 1 named; opened by the guest. */
void console_drive_ports(unsigned ports);

uint32_t console_receive_queue(unsigned port);
uint32_t console_transmit_queue(unsigned port);

/* Sends bytes with one request; _add does not notify. A pattern begins anywhere. */
void console_add(unsigned port, const void *bytes, uint32_t length);
void console_send(unsigned port, const void *bytes, uint32_t length);
void console_send_text(unsigned port, const char *text);
void console_pattern(uint8_t *bytes, uint32_t length, uint32_t from);

/* Waits until a request of a queue is used; its length must be as told. */
void console_must_use(uint32_t queue, uint32_t length);
void console_must_not_use(uint32_t queue, unsigned milliseconds);

/* Gives a receive queue a buffer; returns its address. */
uint64_t console_post(uint32_t queue, uint32_t length);

/* Waits for input in the oldest buffer, which was posted at an address. */
void console_must_receive(unsigned port, uint64_t at, const char *text);

/* Reads from a descriptor exactly these bytes. */
void console_must_read(int fd, const void *bytes, size_t length);
void console_must_be_quiet(int fd, int milliseconds);

/* Control messages: sends one; takes the next one from a buffer posted for it. */
void console_control(uint32_t port, uint16_t event, uint16_t value);
void console_must_hear(uint32_t port, uint16_t event, uint16_t value, const void *more,
                       uint32_t length);
void console_must_hear_nothing(void);

/* The loop's thread does not go round and round. */
void console_loop_must_rest(void);

uint64_t console_wait_counter(const char *name, uint64_t least);

#endif
