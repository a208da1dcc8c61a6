/* SPDX-License-Identifier: Apache-2.0 */
/* Owns packets from the tap to the guest: whole ones only, in one buffer or merged from several. */
#include <endian.h>
#include <errno.h>

#include "core/util.h"
#include "devices/net.h"

/* The next chain of the queue; false if there is none now, then is_starved tells why. */
static bool pop(struct nv_net_pair *pair, struct nv_chain *chain)
{
    struct nv_virtio *v = &pair->net->virtio;
    uint32_t queue = nv_net_rx_queue(pair);

    if (nv_virtio_pop(v, queue, chain) > 0) {
        pair->buffers++;
        return true;
    }
    if (v->queues[queue].is_drained)
        pair->is_starved = true; /* the guest will notify */
    else if (nv_virtio_can_serve(v, queue))
        nv_virtio_serve_later(v, queue); /* the pass is over */
    return false;
}

static void unpop(struct nv_net_pair *pair, const struct nv_chain *chain)
{
    nv_virtio_unpop(&pair->net->virtio, nv_net_rx_queue(pair), chain);
}

/* Where a byte of a list of buffers lies; NULL behind its end. */
static uint8_t *byte_at(const struct iovec *parts, int count, size_t offset)
{
    for (int i = 0; i < count; i++) {
        if (offset < parts[i].iov_len)
            return (uint8_t *)parts[i].iov_base + offset;
        offset -= parts[i].iov_len;
    }
    return NULL;
}

static void add_piece(struct nv_net_receive *rx, const struct nv_chain *chain, uint32_t length)
{
    rx->pieces[rx->count++] = (struct nv_net_piece){ .head = chain->head,
                                                     .is_replayed = chain->is_replayed,
                                                     .length = length };
    rx->done += length;
}

/* The buffers cannot hold the packet: they are the guest's again, the packet is dropped. */
static void give_up(struct nv_net_pair *pair)
{
    struct nv_net_receive *rx = pair->receive;

    while (rx->count > 0) {
        const struct nv_net_piece *piece = &rx->pieces[--rx->count];

        unpop(pair, &(struct nv_chain){ .head = piece->head, .is_replayed = piece->is_replayed });
    }
    rx->length = rx->done = 0;
    nv_count(&pair->net->rx_dropped, 1);
}

/*
 * The packet is whole: the guest gets it. A driver that polls meanwhile must find either none of
 * its buffers or all (2.7.8.2), so that only the last one moves the used index.
 */
static void finish(struct nv_net_pair *pair)
{
    struct nv_net *net = pair->net;
    struct nv_net_receive *rx = pair->receive;
    uint32_t queue = nv_net_rx_queue(pair);
    const struct nv_net_piece *last = &rx->pieces[rx->count - 1];
    const struct nv_chain chain = { .head = last->head };

    nv_count(&net->rx_packets, 1);
    nv_count(&net->rx_bytes, rx->length - NV_NET_HEADER);
    *rx->num_buffers[0] = (uint8_t)rx->count;
    *rx->num_buffers[1] = (uint8_t)(rx->count >> 8);
    for (uint32_t i = 0; i + 1 < rx->count; i++)
        nv_queue_stage(&net->virtio.queues[queue].ring, rx->pieces[i].head, rx->pieces[i].length);
    nv_virtio_complete(&net->virtio, queue, &chain, last->length);
    rx->length = rx->done = rx->count = 0;
}

/* Brings the rest of the packet into further buffers. False: it waits for them. */
static bool spread(struct nv_net_pair *pair)
{
    struct nv_net_receive *rx = pair->receive;
    const struct nv_virtio_queue *q = &pair->net->virtio.queues[nv_net_rx_queue(pair)];
    struct nv_chain *chain = &pair->net->virtio.queues[nv_net_rx_queue(pair)].chain;

    while (rx->done < rx->length) {
        uint64_t run;

        if (rx->count == q->ring.size) {
            give_up(pair); /* every buffer there can be, and yet too small */
            return true;
        }
        if (!pop(pair, chain))
            return false;
        run = nv_chain_write(chain, rx->bytes + rx->done, rx->length - rx->done);
        if (run == 0) {
            unpop(pair, chain);
            give_up(pair);
            return true;
        }
        add_piece(rx, chain, (uint32_t)run);
    }
    finish(pair);
    return true;
}

/* True if the tap may write into the chain itself. */
static bool is_direct(const struct nv_chain *chain)
{
    int count;

    nv_chain_writable(chain, &count);
    return chain->write_left >= NV_NET_HEADER && count < NV_NET_PARTS_MAX;
}

/* Reads a packet into the chain, and what it cannot hold behind that into our own bytes. */
static ssize_t read_direct(struct nv_net_pair *pair, const struct nv_chain *chain)
{
    struct iovec parts[NV_NET_PARTS_MAX];
    size_t room = NV_NET_READ_MAX;
    int count;
    const struct iovec *to = nv_chain_writable(chain, &count);
    int used = 0;

    for (int i = 0; i < count && room > 0; i++) {
        parts[used] = to[i];
        parts[used].iov_len = NV_MIN(to[i].iov_len, room);
        room -= parts[used++].iov_len;
    }
    if (room > 0)
        parts[used++] = (struct iovec){ pair->receive->bytes + NV_NET_READ_MAX - room, room };
    return nv_tap_read(&pair->tap, parts, used);
}

static ssize_t read_bytes(struct nv_net_pair *pair)
{
    const struct iovec part = { pair->receive->bytes, NV_NET_READ_MAX };

    return nv_tap_read(&pair->tap, &part, 1);
}

/* The tap gave no packet. True if there may be another one all the same. */
static bool read_failed(struct nv_net_pair *pair, int error)
{
    if (error == EAGAIN) {
        pair->stale = 0;
        return false;
    }
    nv_net_went_wrong(pair->net, error);
    if (error == EBADFD || error == EIO)
        return false;
    nv_count(&pair->net->rx_dropped, 1);
    return true;
}

/* True if a packet of so many bytes can be given to the guest, beginning with this chain. */
static bool can_begin(const struct nv_net_pair *pair, const struct nv_chain *chain, ssize_t length)
{
    if (length < NV_NET_HEADER + NV_NET_FRAME_MIN || length >= NV_NET_READ_MAX ||
        chain->write_left < NV_NET_HEADER)
        return false;
    return (pair->net->virtio.features & NV_NET_F_MRG_RXBUF) ||
           (uint64_t)length <= chain->write_left;
}

/* Takes a packet from the tap and brings it into this chain and further ones. */
static bool begin(struct nv_net_pair *pair, struct nv_chain *chain)
{
    struct nv_net *net = pair->net;
    struct nv_net_receive *rx = pair->receive;
    bool direct = is_direct(chain);
    ssize_t length = direct ? read_direct(pair, chain) : read_bytes(pair);
    uint32_t run;
    int count;
    const struct iovec *parts = nv_chain_writable(chain, &count);

    if (length < 0) {
        unpop(pair, chain);
        return read_failed(pair, (int)-length);
    }
    net->rx.is_granted = false;
    net->rx.charge = (uint32_t)length;
    if (!can_begin(pair, chain, length)) {
        unpop(pair, chain);
        nv_count(&net->rx_dropped, 1);
        return true;
    }
    rx->num_buffers[0] = byte_at(parts, count, NV_NET_HDR_NUM_BUFFERS);
    rx->num_buffers[1] = byte_at(parts, count, NV_NET_HDR_NUM_BUFFERS + 1);
    rx->length = (uint32_t)length;
    run = (uint32_t)NV_MIN((uint64_t)length, chain->write_left);
    if (!direct)
        nv_chain_write(chain, rx->bytes, run);
    else if (!(net->virtio.features & NV_NET_F_GUEST_CSUM))
        *byte_at(parts, count, NV_NET_HDR_FLAGS) = 0; /* 5.1.6.4.1 */
    add_piece(rx, chain, run);
    return spread(pair);
}

/* Throws away what waited in the tap while nobody was to have it. */
static bool discard(struct nv_net_pair *pair)
{
    ssize_t length = read_bytes(pair);

    if (length < 0)
        return read_failed(pair, (int)-length) && --pair->stale > 0;
    pair->stale--;
    nv_count(&pair->net->rx_dropped, 1);
    return true;
}

/* One step of a pass. False: there is nothing to do now. */
static bool receive_one(struct nv_net_pair *pair)
{
    struct nv_net *net = pair->net;
    struct nv_chain *chain = &net->virtio.queues[nv_net_rx_queue(pair)].chain;

    if (!nv_net_can_receive(pair))
        return false;
    if (pair->receive->length > 0)
        return spread(pair);
    if (pair->stale > 0)
        return discard(pair);
    if (nv_net_must_wait(net, &net->rx, net->rx.charge) || !pop(pair, chain))
        return false;
    return begin(pair, chain);
}

void nv_net_drop_rx(struct nv_net_pair *pair)
{
    struct nv_net_receive *rx = pair->receive;

    if (rx->length > 0)
        nv_count(&pair->net->rx_dropped, 1);
    rx->length = rx->done = rx->count = 0;
    pair->is_starved = false;
}

void nv_net_serve_rx(struct nv_net_pair *pair)
{
    uint64_t bytes = pair->net->rx_bytes;
    uint32_t steps = 0;

    pair->is_starved = false;
    pair->buffers = 0;
    while (receive_one(pair))
        if (++steps == NV_NET_PASS_PACKETS || pair->net->rx_bytes - bytes >= NV_NET_PASS_BYTES ||
            pair->buffers >= NV_NET_PASS_BUFFERS) {
            /* Others have their turn. */
            nv_virtio_serve_later(&pair->net->virtio, nv_net_rx_queue(pair));
            break;
        }
    nv_net_watch(pair);
}
