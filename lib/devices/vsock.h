/* SPDX-License-Identifier: Apache-2.0 */
/* Owns what the files of the socket device share: its state, connections, and packet header. */
#ifndef NV_DEVICES_VSOCK_H
#define NV_DEVICES_VSOCK_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "devices/device.h"

/*
 * The device in one picture (virtio 1.2, 5.10):
 *
 *   vsock.c            class, properties, life, passes over the queues, the timer
 *   vsock_table.c      connections: making, finding, watching, ending
 *   vsock_listen.c     the socket file at the path
 *   vsock_host.c       Unix sockets: clients, new ones, bytes to and from them
 *   vsock_from_guest.c packets of the transmit queue
 *   vsock_to_guest.c   packets into the receive queue
 *
 * A connection is a Unix socket and a pair of ports. Bytes for the guest go from the socket
 * straight into its buffers, so that nothing is held; bytes from the guest are held when the socket
 * is full, at most NV_VSOCK_WINDOW for each connection, which is what we grant.
 *
 * All is guarded by the virtio device's lock. Connections are given back to the allocator only when
 * the device is taken apart: a callback of the loop that comes late finds a free one.
 */

enum { NV_VSOCK_RX, NV_VSOCK_TX, NV_VSOCK_EVENT, NV_VSOCK_QUEUES };

enum {
    NV_VSOCK_HEADER = 44, /* bytes */
    NV_VSOCK_HOST_CID = 2,
    NV_VSOCK_STREAM = 1,
    NV_VSOCK_WINDOW = 256 * 1024,      /* bytes of each connection held for the host, as in Linux */
    NV_VSOCK_PACKET_MAX = 64 * 1024,   /* bytes in a packet to the guest, as in Linux */
    NV_VSOCK_PASS_MAX = 1024 * 1024,   /* bytes moved before the loop's other work has its turn */
    NV_VSOCK_CONNECT_COST = 16 * 1024, /* a connect takes as long as to move so many */
    NV_VSOCK_BUCKETS = 1024,
    NV_VSOCK_RESETS = 64, /* that wait for the guest, of packets without a connection */
    NV_VSOCK_LINE = 32    /* bytes in "CONNECT 4294967294\n" and a few more */
};

/* Operations (5.10.6). */
enum {
    NV_VSOCK_REQUEST = 1,
    NV_VSOCK_RESPONSE,
    NV_VSOCK_RST,
    NV_VSOCK_SHUTDOWN,
    NV_VSOCK_RW,
    NV_VSOCK_CREDIT_UPDATE,
    NV_VSOCK_CREDIT_REQUEST
};

/* Flags of SHUTDOWN: the sender will not receive, will not send. */
enum { NV_VSOCK_NO_RECEIVE = 1, NV_VSOCK_NO_SEND = 2, NV_VSOCK_BOTH = 3 };

struct nv_vsock_header {
    uint64_t src_cid, dst_cid;
    uint32_t src_port, dst_port;
    uint32_t length;
    uint16_t type, op;
    uint32_t flags;
    uint32_t buf_alloc, fwd_cnt;
};

enum nv_vsock_state {
    NV_VSOCK_FREE,
    NV_VSOCK_HANDSHAKE, /* a host's client has not finished its line */
    NV_VSOCK_REQUESTED, /* the guest has not answered our REQUEST */
    NV_VSOCK_OPEN,
    NV_VSOCK_HOST_GONE, /* the socket is closed; the guest is to finish */
    NV_VSOCK_ENDED      /* the guest is done; a RST or bytes for the host are left */
};

struct nv_vsock;

struct nv_vsock_connection {
    struct nv_vsock *device;
    struct nv_source source; /* the socket */
    enum nv_vsock_state state;
    int32_t watched;                  /* EPOLL* bits, -1: not watched */
    struct nv_vsock_connection *next; /* in its bucket, or of the free ones */
    TAILQ_ENTRY(nv_vsock_connection) ready;
    bool is_ready;      /* in the list of those with something for the guest */
    bool is_bound;      /* in the table, by its ports */
    bool is_readable;   /* the socket may have bytes */
    bool has_hung_up;   /* the socket has told that nothing goes either way any more */
    bool host_eof;      /* no more bytes come from the host */
    bool host_is_deaf;  /* the host takes no more bytes */
    uint8_t guest_shut; /* NV_VSOCK_NO_*, as the guest has told */
    uint32_t pending;   /* packets for the guest: 1 << op */
    uint32_t host_port;
    uint32_t guest_port;
    uint64_t deadline_ns; /* of the state; 0: none */

    /* Credit, modulo 2^32 (5.10.6.3). */
    uint32_t peer_buf_alloc, peer_fwd_cnt; /* as the guest has told last */
    uint32_t sent;                         /* bytes to the guest */
    uint32_t forwarded;                    /* bytes from the guest that left us */
    uint32_t told;                         /* forwarded, as the guest knows */

    uint8_t *held; /* bytes for the host; NULL: none */
    uint32_t held_start, held_length, held_capacity;

    char line[NV_VSOCK_LINE + 1];
    uint32_t line_length;
};

TAILQ_HEAD(nv_vsock_ready, nv_vsock_connection);

/* A RST that answers a packet without a connection. */
struct nv_vsock_reset {
    uint64_t src_cid;
    uint32_t src_port, dst_port;
    uint16_t type;
};

struct nv_vsock {
    struct nv_virtio virtio;
    /* Properties. */
    uint64_t cid;
    char *path;
    uint64_t connections; /* at most */
    uint64_t open, refused, dropped, rx_bytes, tx_bytes;

    bool is_claimed;
    struct nestvirt_loop *loop;
    struct nv_source listener;                /* fd -1: none */
    uint64_t listener_device, listener_inode; /* of the file at path that is ours */
    uint64_t listener_retry_ns;               /* 0: clients are taken as they come */
    bool listener_is_watched;
    bool has_event;  /* the guest is to be told that all connections are gone */
    bool was_paused; /* what was due meanwhile is caught up with in the next pass */

    struct nv_timer timer;
    uint64_t timer_ns;                /* as set; 0: not */
    uint64_t connect_ns, shutdown_ns; /* how long the other side has */

    /* Connects to the host's socket for a port: a descriptor or -errno. Tests have their own. */
    int (*connect)(struct nv_vsock *s, uint32_t port);

    struct nv_vsock_connection **slots; /* all that were ever needed */
    uint32_t slot_count, slot_capacity;
    struct nv_vsock_connection *free;
    struct nv_vsock_connection *buckets[NV_VSOCK_BUCKETS];
    uint64_t hash_key; /* odd and secret: a guest cannot choose ports of one bucket */
    uint32_t next_port;
    struct nv_vsock_ready ready;

    struct nv_vsock_reset resets[NV_VSOCK_RESETS]; /* a ring */
    uint32_t reset_start, reset_count;
};

/* True while the guest is to be served. */
static inline bool nv_vsock_is_on(const struct nv_vsock *s)
{
    return s->virtio.is_running && nv_virtio_is_live(&s->virtio);
}

/* --- Connections (vsock_table.c) --- */

/* A connection with this socket; NULL: there are too many, or no memory. Then fd stays open. */
struct nv_vsock_connection *nv_vsock_new(struct nv_vsock *s, int fd, enum nv_vsock_state state);

/* By its ports; NULL: none. */
struct nv_vsock_connection *nv_vsock_find(const struct nv_vsock *s, uint32_t host_port,
                                          uint32_t guest_port);
void nv_vsock_bind(struct nv_vsock_connection *c, uint32_t host_port, uint32_t guest_port);

/* A host port that is not in use with this port of the guest. */
uint32_t nv_vsock_choose_port(struct nv_vsock *s, uint32_t guest_port);

/* There is something for the guest: packets (1 << op), or bytes of the socket if readable. */
void nv_vsock_want(struct nv_vsock_connection *c, uint32_t packets);

/* Takes it out of the list of those that want something. */
void nv_vsock_unready(struct nv_vsock_connection *c);

/* Bytes that the guest has room for. */
uint32_t nv_vsock_credit(const struct nv_vsock_connection *c);

/* True if bytes of the socket can be given to the guest. */
bool nv_vsock_can_read(const struct nv_vsock_connection *c);

/* Watches the socket for what is wanted from it, and nothing else. */
void nv_vsock_watch(struct nv_vsock_connection *c);

/* The state has as long as it has from now on; see also nv_vsock_arm(). */
void nv_vsock_set_deadline(struct nv_vsock_connection *c);

/*
 * Ends of a connection. free: at once and without a word. abort: the guest gets a RST, the host's
 * socket is closed. refuse: the same before it was open, counted. end: the guest is done; what is
 * held goes to the host. host_gone: the host is done. settle: frees it if nothing is left to do.
 */
void nv_vsock_free(struct nv_vsock_connection *c);
void nv_vsock_abort(struct nv_vsock_connection *c);
void nv_vsock_refuse(struct nv_vsock_connection *c);
void nv_vsock_end(struct nv_vsock_connection *c);
void nv_vsock_host_gone(struct nv_vsock_connection *c);
void nv_vsock_settle(struct nv_vsock_connection *c);

/* The guest needs no more packets of it: it leaves the table. */
void nv_vsock_unbind(struct nv_vsock_connection *c);

/* Closes the socket and forgets what is held for it. */
void nv_vsock_close(struct nv_vsock_connection *c);

/* All of them at once, and what waits for the guest. */
void nv_vsock_free_all(struct nv_vsock *s);

/* Gives everything back to the allocator; no lock held, nothing runs. */
void nv_vsock_destroy_table(struct nv_vsock *s);

/* --- The timer (vsock.c) --- */

/* Wakes the device at this time. */
void nv_vsock_arm(struct nv_vsock *s, uint64_t deadline_ns);

/* --- The socket file (vsock_listen.c) --- */

/* Listens at path; -errno with the remedy. stop: undoes it. */
int nv_vsock_listen(struct nv_vsock *s, struct nestvirt_error **ret_error);
void nv_vsock_stop_listening(struct nv_vsock *s);

/* --- Unix sockets (vsock_host.c) --- */

/* Watches for clients, or does not. */
void nv_vsock_watch_listener(struct nv_vsock *s);

/* Takes clients that wait. adopt: takes over one's socket. */
void nv_vsock_accept(struct nv_vsock *s);
void nv_vsock_adopt(struct nv_vsock *s, int fd);

/* Connects to a socket at a path, or at path_PORT: a descriptor or -errno. */
int nv_vsock_connect_path(const char *path);
int nv_vsock_connect(struct nv_vsock *s, uint32_t port);

/* The loop saw these EPOLL* bits. */
void nv_vsock_on_socket(struct nv_vsock_connection *c, uint32_t events);

/* Bytes of the guest: all of length, which the window has room for. -errno: no memory. */
int nv_vsock_give(struct nv_vsock_connection *c, struct nv_chain *chain, uint32_t length);

/* The guest's answer to a host's client: "OK <port>". False if it cannot be told. */
bool nv_vsock_greet(struct nv_vsock_connection *c);

/* The guest has shut its side: tells the socket. */
void nv_vsock_shut(struct nv_vsock_connection *c);

/* The socket has no more bytes. */
void nv_vsock_on_eof(struct nv_vsock_connection *c);

/* --- Packets --- */

/* One packet of the guest (vsock_from_guest.c). Returns the bytes it moved, or a connect's cost. */
uint32_t nv_vsock_receive(struct nv_vsock *s, struct nv_chain *chain);

/* True if something waits for the guest (vsock_to_guest.c). */
bool nv_vsock_has_packets(const struct nv_vsock *s);

/*
 * Puts the next packet into the guest's buffers: bytes written; 0: there is none after all;
 * -ENOSPC: the buffers are too small for any use.
 */
int nv_vsock_send(struct nv_vsock *s, struct nv_chain *chain);

#endif
