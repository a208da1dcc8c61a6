/* SPDX-License-Identifier: Apache-2.0 */
/* Owns what the parts of the network device share: its state, its numbers, who calls whom. */
#ifndef NV_DEVICES_NET_H
#define NV_DEVICES_NET_H

#include <stdbool.h>
#include <stdint.h>

#include "devices/device.h"
#include "host/tap.h"
#include "virtio/limit.h"

/* Feature bits (virtio 1.2, 5.1.3). */
#define NV_NET_F_CSUM (1ull << 0)
#define NV_NET_F_GUEST_CSUM (1ull << 1)
#define NV_NET_F_MTU (1ull << 3)
#define NV_NET_F_MAC (1ull << 5)
#define NV_NET_F_GUEST_TSO4 (1ull << 7)
#define NV_NET_F_GUEST_TSO6 (1ull << 8)
#define NV_NET_F_GUEST_ECN (1ull << 9)
#define NV_NET_F_HOST_TSO4 (1ull << 11)
#define NV_NET_F_HOST_TSO6 (1ull << 12)
#define NV_NET_F_HOST_ECN (1ull << 13)
#define NV_NET_F_MRG_RXBUF (1ull << 15)
#define NV_NET_F_STATUS (1ull << 16)
#define NV_NET_F_CTRL_VQ (1ull << 17)
#define NV_NET_F_CTRL_RX (1ull << 18)
#define NV_NET_F_MQ (1ull << 22)
#define NV_NET_F_CTRL_MAC_ADDR (1ull << 23)

enum {
    NV_NET_PAIRS_MAX = 8,
    NV_NET_MAC = 6,             /* bytes of an address */
    NV_NET_HEADER = 12,         /* struct virtio_net_hdr (5.1.6), always with num_buffers */
    NV_NET_FRAME_MIN = 14,      /* an Ethernet header */
    NV_NET_PACKET_MAX = 65562,  /* header, Ethernet header and 64 KiB (5.1.6.3.1) */
    NV_NET_READ_MAX = 65600,    /* a little more, to tell when the tap has a longer one */
    NV_NET_PARTS_MAX = 64,      /* pieces in one call to the tap; more are copied together */
    NV_NET_PASS_PACKETS = 256,  /* of a queue in one pass */
    NV_NET_PASS_BYTES = 524288, /* then others have their turn */
    NV_NET_PASS_BUFFERS = 1024, /* receiving: one packet can cost a whole ring of tiny ones */
    NV_NET_STALE_MAX = 4096     /* waiting packets that are thrown away at most; taps hold 1000 */
};

/* Offsets in the header and its values (5.1.6). */
enum {
    NV_NET_HDR_FLAGS = 0,
    NV_NET_HDR_GSO_TYPE = 1,
    NV_NET_HDR_HDR_LEN = 2,
    NV_NET_HDR_GSO_SIZE = 4,
    NV_NET_HDR_CSUM_START = 6,
    NV_NET_HDR_CSUM_OFFSET = 8,
    NV_NET_HDR_NUM_BUFFERS = 10
};

/* Offsets in the configuration (5.1.4), and its status. */
enum {
    NV_NET_CONFIG_MAC = 0,
    NV_NET_CONFIG_STATUS = 6,
    NV_NET_CONFIG_PAIRS = 8,
    NV_NET_CONFIG_MTU = 10,
    NV_NET_CONFIG_LENGTH = 12
};
enum { NV_NET_LINK_UP = 1 };

/* A buffer of the guest that holds a part of a packet. */
struct nv_net_piece {
    uint16_t head;
    bool is_replayed; /* see struct nv_chain */
    uint32_t length;
};

/* The packet that is on its way to the guest; with mergeable buffers it may need many of them. */
struct nv_net_receive {
    uint32_t length; /* of the packet; 0: none under way */
    uint32_t done;   /* bytes of it in buffers of the guest */
    uint32_t count;
    struct nv_net_piece pieces[NV_QUEUE_SIZE_MAX]; /* popped, and not given back yet */
    uint8_t *num_buffers[2];                       /* the field's bytes in the guest's memory */
    uint8_t bytes[NV_NET_READ_MAX];
};

/* A receive queue, a transmit queue and a queue of the tap. */
struct nv_net_pair {
    struct nv_net *net;
    uint32_t number;
    struct nv_tap tap;
    struct nv_source source; /* of the tap */
    uint32_t watched;        /* EPOLL*; 0: not in the loop */
    bool is_starved;         /* the guest has no buffers */
    bool is_blocked;         /* the tap takes nothing */
    uint32_t stale;          /* packets to throw away at most, until the tap is empty */
    uint32_t buffers;        /* looked at in this pass */
    struct nv_net_receive *receive;
};

/* One direction's limit. */
struct nv_net_flow {
    struct nv_limit limit; /* properties */
    struct nv_timer timer; /* when there is room again */
    bool is_waiting;       /* for it */
    bool is_granted;       /* room was taken for a packet that then could not go */
    uint32_t charge;       /* receiving: the last packet's bytes, to be taken before the next */
};

struct nv_net {
    struct nv_virtio virtio;
    /* Properties. */
    char *tap_name;
    int tap_fd;
    char *mac_text;
    uint64_t mtu, link, offloads, mrg_rxbuf, pair_count;
    uint64_t rx_packets, rx_bytes, rx_dropped, tx_packets, tx_bytes, tx_dropped;
    struct nv_net_flow rx, tx;

    uint8_t mac[NV_NET_MAC];
    bool has_random_mac; /* mac is kept from build to build */
    const struct nestvirt_device *device;
    struct nv_device_owner upward;

    /* From wire to unbuild. */
    bool is_wired;
    uint32_t open_count; /* pairs that are open */
    struct nv_net_pair pairs[NV_NET_PAIRS_MAX];
    uint8_t *packet;         /* NV_NET_PACKET_MAX bytes, for packets in too many pieces */
    uint32_t wanted_offload; /* NV_TAP_*, as the driver has accepted them */
    uint32_t offload;        /* as the tap has them; follows wanted_offload */
    uint32_t active;         /* pairs that the driver uses */
    uint32_t attached;       /* pairs that the interface sends to; follows active */
    uint64_t follow_after_ns;
    int down_errno;  /* why the tap is down; 0: it is not, or nobody noticed */
    int told_errno;  /* what the event said last */
    bool is_gone;    /* the interface was deleted */
    bool needs_care; /* what care_timer should do had to wait for the end of a pause */
    struct nv_timer care_timer;
};

static inline uint32_t nv_net_rx_queue(const struct nv_net_pair *pair)
{
    return 2 * pair->number;
}

static inline uint32_t nv_net_tx_queue(const struct nv_net_pair *pair)
{
    return 2 * pair->number + 1;
}

/* True if packets may pass: the link is up and the driver uses this pair. */
static inline bool nv_net_is_open(const struct nv_net_pair *pair)
{
    const struct nv_net *net = pair->net;

    return __atomic_load_n(&net->link, __ATOMIC_RELAXED) && !net->is_gone &&
           pair->number < net->active;
}

/* True if packets may come in: the tap makes none that the driver would not understand. */
static inline bool nv_net_can_receive(const struct nv_net_pair *pair)
{
    return nv_net_is_open(pair) && !(pair->net->offload & ~pair->net->wanted_offload);
}

/* True for an address that one interface can have. */
bool nv_net_is_mac(const uint8_t mac[NV_NET_MAC]);

/* The callback of care_timer: what takes time, is tried again, or calls upward. */
void nv_net_on_care(void *user_data);

/* Sets a timer, if there is a loop. */
static inline void nv_net_set_timer(struct nv_net *net, struct nv_timer *timer,
                                    uint64_t deadline_ns)
{
    if (net->virtio.loop)
        nv_loop_set_timer(net->virtio.loop, timer, deadline_ns);
}

/* All of these with the device's lock held. */

/* Passes over a queue (net_rx.c, net_tx.c, net_ctrl.c). */
void nv_net_serve_rx(struct nv_net_pair *pair);
void nv_net_serve_tx(struct nv_net_pair *pair);
void nv_net_serve_ctrl(struct nv_net *net, uint32_t queue);

/* Forgets the packet that is under way to the guest. */
void nv_net_drop_rx(struct nv_net_pair *pair);

/* True if a packet of so many bytes has to wait; then a timer serves the queues again. */
bool nv_net_must_wait(struct nv_net *net, struct nv_net_flow *flow, uint64_t bytes);

/* A packet has passed the tap, or the tap has answered with -errno. */
void nv_net_went_well(struct nv_net *net);
void nv_net_went_wrong(struct nv_net *net, int error);

/* Watches the tap for what is of use now. */
void nv_net_watch(struct nv_net_pair *pair);
void nv_net_watch_all(struct nv_net *net);

/* Tells the driver when the link's state is another one than it knows. */
void nv_net_update_status(struct nv_net *net);

/* The driver uses so many pairs from now on, and offloads (NV_TAP_*); the tap follows. */
void nv_net_set_active(struct nv_net *net, uint32_t pairs);
void nv_net_set_offload(struct nv_net *net, uint32_t offload);

#endif
