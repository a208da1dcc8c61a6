/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the packets that the socket device puts into the guest's buffers, one connection in turn. */
#include <errno.h>
#include <sys/socket.h>

#include "core/util.h"
#include "devices/vsock.h"

enum { READ_PARTS = 32 }; /* of a chain, filled by one packet */

bool nv_vsock_has_packets(const struct nv_vsock *s)
{
    return s->reset_count > 0 || !TAILQ_EMPTY(&s->ready);
}

static int write_header(struct nv_chain *chain, const struct nv_vsock_header *header)
{
    uint8_t bytes[NV_VSOCK_HEADER];

    nv_put_le64(bytes, header->src_cid);
    nv_put_le64(bytes + 8, header->dst_cid);
    nv_put_le32(bytes + 16, header->src_port);
    nv_put_le32(bytes + 20, header->dst_port);
    nv_put_le32(bytes + 24, header->length);
    nv_put_le16(bytes + 28, header->type);
    nv_put_le16(bytes + 30, header->op);
    nv_put_le32(bytes + 32, header->flags);
    nv_put_le32(bytes + 36, header->buf_alloc);
    nv_put_le32(bytes + 40, header->fwd_cnt);
    nv_chain_write(chain, bytes, sizeof(bytes));
    return (int)(sizeof(bytes) + header->length);
}

static int send_reset(struct nv_vsock *s, struct nv_chain *chain)
{
    const struct nv_vsock_reset *reset = &s->resets[s->reset_start];
    const struct nv_vsock_header header = { .src_cid = reset->src_cid,
                                            .dst_cid = s->cid,
                                            .src_port = reset->src_port,
                                            .dst_port = reset->dst_port,
                                            .type = reset->type,
                                            .op = NV_VSOCK_RST };

    s->reset_start = (s->reset_start + 1) % NV_VSOCK_RESETS;
    s->reset_count--;
    return write_header(chain, &header);
}

/* A packet of the connection; every one tells the guest its credit. */
static int send_packet(struct nv_vsock_connection *c, struct nv_chain *chain, uint16_t op,
                       uint32_t flags, uint32_t length)
{
    const struct nv_vsock_header header = { .src_cid = NV_VSOCK_HOST_CID,
                                            .dst_cid = c->device->cid,
                                            .src_port = c->host_port,
                                            .dst_port = c->guest_port,
                                            .length = length,
                                            .type = NV_VSOCK_STREAM,
                                            .op = op,
                                            .flags = flags,
                                            .buf_alloc = NV_VSOCK_WINDOW,
                                            .fwd_cnt = c->forwarded };

    c->pending &= ~(1u << op | 1u << NV_VSOCK_CREDIT_UPDATE);
    c->told = c->forwarded;
    return write_header(chain, &header);
}

static uint32_t shutdown_flags(const struct nv_vsock_connection *c)
{
    return (c->host_is_deaf ? NV_VSOCK_NO_RECEIVE : 0u) | (c->host_eof ? NV_VSOCK_NO_SEND : 0u);
}

/* A packet without bytes: its length; 0 if none is pending. */
static int send_control(struct nv_vsock_connection *c, struct nv_chain *chain)
{
    /* A RST says all; the others in the order in which they make sense. */
    static const uint8_t order[] = { NV_VSOCK_RST,           NV_VSOCK_REQUEST,
                                     NV_VSOCK_RESPONSE,      NV_VSOCK_SHUTDOWN,
                                     NV_VSOCK_CREDIT_UPDATE, NV_VSOCK_CREDIT_REQUEST };

    for (size_t i = 0; i < NV_ARRAY_SIZE(order); i++)
        if (c->pending & 1u << order[i])
            return send_packet(c, chain, order[i],
                               order[i] == NV_VSOCK_SHUTDOWN ? shutdown_flags(c) : 0, 0);
    return 0;
}

/* The chain's buffers behind the header, at most limit bytes; returns how many. */
static uint32_t find_room(const struct nv_chain *chain, uint32_t limit, struct msghdr *message)
{
    int count;
    const struct iovec *from = nv_chain_writable(chain, &count);
    struct iovec *parts = message->msg_iov;
    size_t skip = NV_VSOCK_HEADER;
    uint32_t room = 0;

    for (int i = 0; i < count && message->msg_iovlen < READ_PARTS && room < limit; i++) {
        size_t off = NV_MIN(skip, from[i].iov_len);
        size_t run = NV_MIN(from[i].iov_len - off, limit - room);

        skip -= off;
        if (run == 0)
            continue;
        parts[message->msg_iovlen++] = (struct iovec){ (uint8_t *)from[i].iov_base + off, run };
        room += (uint32_t)run;
    }
    return room;
}

/* What a read of the socket without bytes means. */
static void on_no_bytes(struct nv_vsock_connection *c, ssize_t got, int code)
{
    c->is_readable = false;
    if (got == 0)
        nv_vsock_on_eof(c);
    else if (code != EAGAIN && code != EINTR)
        nv_vsock_abort(c);
}

/* Bytes of the socket, straight into the guest's buffers. */
static int send_bytes(struct nv_vsock_connection *c, struct nv_chain *chain)
{
    struct iovec parts[READ_PARTS];
    struct msghdr message = { .msg_iov = parts };
    uint32_t limit = NV_MIN(nv_vsock_credit(c), (uint32_t)NV_VSOCK_PACKET_MAX);
    uint32_t room = find_room(chain, limit, &message);
    ssize_t got;

    if (room == 0)
        return -ENOSPC;
    got = recvmsg(c->source.fd, &message, MSG_DONTWAIT);
    if (got <= 0) {
        on_no_bytes(c, got, errno);
        return 0;
    }
    c->sent += (uint32_t)got;
    c->is_readable = (uint32_t)got == room;
    if (c->is_readable && nv_vsock_credit(c) == 0)
        c->pending |= 1u << NV_VSOCK_CREDIT_REQUEST;
    nv_count(&c->device->rx_bytes, (uint64_t)got);
    return send_packet(c, chain, NV_VSOCK_RW, 0, (uint32_t)got);
}

static int send_next(struct nv_vsock_connection *c, struct nv_chain *chain)
{
    int r = 0;

    if (c->pending == 0 && c->is_readable && nv_vsock_can_read(c))
        r = send_bytes(c, chain);
    return r == 0 && c->pending != 0 ? send_control(c, chain) : r;
}

/* The connection's turn is over: it goes to the end of the line, or leaves it. */
static void take_turn(struct nv_vsock_connection *c)
{
    nv_vsock_unready(c);
    if (c->pending != 0 || (c->is_readable && nv_vsock_can_read(c)))
        nv_vsock_want(c, 0);
    else if (c->state == NV_VSOCK_ENDED)
        nv_vsock_unbind(c); /* the RST is out */
    nv_vsock_watch(c);
    if (c->state == NV_VSOCK_ENDED)
        nv_vsock_settle(c);
}

int nv_vsock_send(struct nv_vsock *s, struct nv_chain *chain)
{
    if (chain->write_left < NV_VSOCK_HEADER)
        return -ENOSPC;
    if (s->reset_count > 0)
        return send_reset(s, chain);
    while (!TAILQ_EMPTY(&s->ready)) {
        struct nv_vsock_connection *c = TAILQ_FIRST(&s->ready);
        int r = send_next(c, chain);

        take_turn(c);
        if (r != 0)
            return r;
    }
    return 0;
}
