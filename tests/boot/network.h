/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the host's side of a guest's network: a namespace with a tap, pings, streams and sockets. */
#ifndef TESTS_BOOT_NETWORK_H
#define TESTS_BOOT_NETWORK_H

#include <stdbool.h>
#include <stdint.h>

#define NETWORK_TAP "nvtap0"
#define NETWORK_HOST "10.77.0.1"
#define NETWORK_GUEST "10.77.0.2"

/* Each packet costs an interpreted guest milliseconds, and TCP makes them no longer for a slow
 * peer. */
enum { NETWORK_MTU = 9000 };

/*
 * Takes the calling thread into a network namespace of its own with a tap that is up and has the
 * host's address. Skips where this process may not. leave: back again; the namespace goes.
 */
void network_enter(void);
void network_leave(void);

/*
 * The same with a bridge that has the address, and so many taps in it: NETWORK_TAP, and those with
 * the digits that follow instead of its 0.
 */
void network_enter_bridge(unsigned taps);

/* The MAC that the host knows for an address, as a text of 17 characters; "" if it knows none. */
void network_get_mac(const char *address, char ret_mac[18]);

/* Sends echo requests to a guest until one is answered; fails after some seconds. */
void network_ping(int seconds);
void network_ping_at(const char *address, int seconds);

/* Connects to a port of a guest; fails after some seconds. */
int network_connect(uint16_t port);
int network_connect_at(const char *address, uint16_t port);

/* A Unix socket that listens, and one that is connected. */
int network_listen_unix(const char *path);
int network_connect_unix(const char *path);

/* Waits for a connection, or for bytes; fails after some seconds. */
int network_accept(int fd);
void network_wait(int fd, int seconds);

/* Sends so many MiB of a pattern and the end of the stream; reads a stream to its end. */
void network_send(int fd, uint64_t mib, uint64_t seed);
uint64_t network_receive(int fd, uint32_t *ret_sum);

/* Sends a pattern and reads as much back, a round at a time; returns the sum of what came back. */
enum { NETWORK_ROUND = 16384 }; /* bytes */

uint32_t network_echo(int fd, uint64_t seed, unsigned rounds);

/* One round of it: out, and back; returns the sum of this and what came before. */
void network_send_round(int fd, uint64_t seed, unsigned round);
uint32_t network_receive_round(int fd, uint32_t sum);

#endif
