/* SPDX-License-Identifier: Apache-2.0 */
/* Owns packets from the guest to the tap: their headers are not believed. */
#include <errno.h>

#include "core/util.h"
#include "devices/net.h"

enum { FLAG_NEEDS_CSUM = 1 };
enum { GSO_NONE = 0, GSO_TCPV4 = 1, GSO_TCPV6 = 4, GSO_ECN = 0x80 };

enum { TCP_CHECKSUM_OFFSET = 16 };

/* What becomes of a request. */
enum outcome { SENT, DROPPED, WAITS };

/* True if the segmentation that the header asks for was negotiated and makes sense. */
static bool is_gso_sound(const uint8_t *header, uint64_t features)
{
    uint8_t type = header[NV_NET_HDR_GSO_TYPE];
    uint64_t needed = 0;

    if (type & GSO_ECN)
        needed |= NV_NET_F_HOST_ECN;
    switch (type & ~GSO_ECN) {
    case GSO_TCPV4:
        needed |= NV_NET_F_HOST_TSO4;
        break;
    case GSO_TCPV6:
        needed |= NV_NET_F_HOST_TSO6;
        break;
    default:
        return false;
    }
    return (features & needed) == needed && nv_get_le16(header + NV_NET_HDR_GSO_SIZE) > 0 &&
           nv_get_le16(header + NV_NET_HDR_CSUM_OFFSET) == TCP_CHECKSUM_OFFSET;
}

/*
 * Checks a copied header against the frame and what was negotiated (5.1.6.2), and leaves in it
 * only what was checked. False: the packet is to be dropped.
 */
static bool clean_header(uint8_t *header, uint64_t frame, uint64_t features)
{
    bool needs_csum = header[NV_NET_HDR_FLAGS] & FLAG_NEEDS_CSUM;
    bool has_gso = header[NV_NET_HDR_GSO_TYPE] != GSO_NONE;

    /* Flags unknown to us are to be ignored; segmentation needs a checksum (5.1.6.2.1). */
    header[NV_NET_HDR_FLAGS] = needs_csum ? FLAG_NEEDS_CSUM : 0;
    nv_put_le16(header + NV_NET_HDR_NUM_BUFFERS, 0);
    if (has_gso && (!needs_csum || !is_gso_sound(header, features)))
        return false;
    if (!has_gso)
        nv_put_le16(header + NV_NET_HDR_GSO_SIZE, 0);
    if (!needs_csum) {
        nv_put_le16(header + NV_NET_HDR_HDR_LEN, 0);
        nv_put_le16(header + NV_NET_HDR_CSUM_START, 0);
        nv_put_le16(header + NV_NET_HDR_CSUM_OFFSET, 0);
        return true;
    }
    return (features & NV_NET_F_CSUM) && nv_get_le16(header + NV_NET_HDR_HDR_LEN) <= frame &&
           nv_get_le16(header + NV_NET_HDR_CSUM_START) >= NV_NET_FRAME_MIN &&
           (uint64_t)nv_get_le16(header + NV_NET_HDR_CSUM_START) +
                   nv_get_le16(header + NV_NET_HDR_CSUM_OFFSET) + sizeof(uint16_t) <=
               frame;
}

/* Hands a frame over, as it lies in the guest's memory or, if in too many pieces, as a copy. */
static ssize_t write_frame(struct nv_net_pair *pair, struct nv_chain *chain, uint8_t *header)
{
    struct iovec parts[NV_NET_PARTS_MAX];
    int count;
    const struct iovec *from = nv_chain_readable(chain, &count);

    parts[0] = (struct iovec){ header, NV_NET_HEADER };
    if (count < NV_NET_PARTS_MAX) {
        for (int i = 0; i < count; i++)
            parts[i + 1] = from[i];
    } else {
        uint64_t length = nv_chain_read(chain, pair->net->packet, NV_NET_PACKET_MAX);

        parts[1] = (struct iovec){ pair->net->packet, length };
        count = 1;
    }
    return nv_tap_write(&pair->tap, parts, count + 1);
}

static enum outcome send_one(struct nv_net_pair *pair, struct nv_chain *chain, uint64_t *ret_bytes)
{
    struct nv_net *net = pair->net;
    uint8_t header[NV_NET_HEADER];
    bool is_whole = nv_chain_read(chain, header, sizeof(header)) == sizeof(header);
    uint64_t frame = chain->read_left;
    ssize_t done;

    *ret_bytes = frame;
    if (!is_whole || frame < NV_NET_FRAME_MIN || frame > NV_NET_PACKET_MAX - NV_NET_HEADER ||
        !clean_header(header, frame, net->virtio.features) || !nv_net_is_open(pair))
        return DROPPED;
    if (nv_net_must_wait(net, &net->tx, frame))
        return WAITS;
    done = write_frame(pair, chain, header);
    if (done == -EAGAIN) {
        pair->is_blocked = true;
        return WAITS;
    }
    net->tx.is_granted = false;
    if (done >= 0) {
        nv_net_went_well(net);
        return SENT;
    }
    nv_net_went_wrong(net, (int)-done);
    return DROPPED;
}

void nv_net_serve_tx(struct nv_net_pair *pair)
{
    struct nv_net *net = pair->net;
    struct nv_virtio *v = &net->virtio;
    uint32_t queue = nv_net_tx_queue(pair);
    struct nv_chain *chain = &v->queues[queue].chain;
    uint64_t passed = 0;
    uint32_t packets = 0;

    pair->is_blocked = false;
    while (nv_virtio_pop(v, queue, chain) > 0) {
        uint64_t bytes;
        enum outcome outcome = send_one(pair, chain, &bytes);

        if (outcome == WAITS) {
            nv_virtio_unpop(v, queue, chain);
            break;
        }
        nv_count(outcome == SENT ? &net->tx_packets : &net->tx_dropped, 1);
        if (outcome == SENT) {
            nv_count(&net->tx_bytes, bytes);
            passed += bytes;
        }
        nv_virtio_complete(v, queue, chain, 0);
        if (++packets == NV_NET_PASS_PACKETS || passed >= NV_NET_PASS_BYTES) {
            nv_virtio_serve_later(v, queue);
            break;
        }
    }
    nv_net_watch(pair);
}
