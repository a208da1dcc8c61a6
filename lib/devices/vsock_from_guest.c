/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the packets that the guest sends through the socket device, and what each does. */
#include <errno.h>

#include "core/util.h"
#include "devices/vsock.h"

/* Offsets in the header (virtio 1.2, 5.10.6). */
enum {
    SRC_CID = 0,
    DST_CID = 8,
    SRC_PORT = 16,
    DST_PORT = 20,
    LENGTH = 24,
    TYPE = 28,
    OP = 30,
    FLAGS = 32,
    BUF_ALLOC = 36,
    FWD_CNT = 40
};

static bool read_header(struct nv_chain *chain, struct nv_vsock_header *ret_header)
{
    uint8_t bytes[NV_VSOCK_HEADER];

    if (nv_chain_read(chain, bytes, sizeof(bytes)) < sizeof(bytes))
        return false;
    *ret_header = (struct nv_vsock_header){
        .src_cid = nv_get_le64(bytes + SRC_CID),
        .dst_cid = nv_get_le64(bytes + DST_CID),
        .src_port = nv_get_le32(bytes + SRC_PORT),
        .dst_port = nv_get_le32(bytes + DST_PORT),
        .length = nv_get_le32(bytes + LENGTH),
        .type = nv_get_le16(bytes + TYPE),
        .op = nv_get_le16(bytes + OP),
        .flags = nv_get_le32(bytes + FLAGS),
        .buf_alloc = nv_get_le32(bytes + BUF_ALLOC),
        .fwd_cnt = nv_get_le32(bytes + FWD_CNT),
    };
    return true;
}

/* Answers a packet without a connection; but a RST is never answered. */
static void reset(struct nv_vsock *s, const struct nv_vsock_header *header)
{
    if (header->op == NV_VSOCK_RST)
        return;
    if (s->reset_count == NV_VSOCK_RESETS) {
        nv_count(&s->dropped, 1);
        return;
    }
    s->resets[(s->reset_start + s->reset_count++) % NV_VSOCK_RESETS] =
        (struct nv_vsock_reset){ .src_cid = header->dst_cid,
                                 .src_port = header->dst_port,
                                 .dst_port = header->src_port,
                                 .type = header->type };
}

/* The guest wants to reach a service of the host. */
static void connect_guest(struct nv_vsock *s, const struct nv_vsock_header *header)
{
    struct nv_vsock_connection *c = NULL;
    int fd = s->open < s->connections ? s->connect(s, header->dst_port) : -ENOSPC;

    if (fd >= 0)
        c = nv_vsock_new(s, fd, NV_VSOCK_OPEN);
    if (!c) {
        if (fd >= 0)
            close(fd);
        nv_count(&s->refused, 1);
        reset(s, header);
        return;
    }
    c->peer_buf_alloc = header->buf_alloc;
    c->peer_fwd_cnt = header->fwd_cnt;
    nv_vsock_bind(c, header->dst_port, header->src_port);
    nv_vsock_want(c, 1u << NV_VSOCK_RESPONSE);
    nv_vsock_watch(c);
}

/* The guest breaks the connection off. It is not answered. */
static void drop(struct nv_vsock_connection *c)
{
    if (c->state == NV_VSOCK_REQUESTED)
        nv_count(&c->device->refused, 1);
    if (c->state != NV_VSOCK_ENDED)
        nv_vsock_close(c);
    nv_vsock_unbind(c);
    nv_vsock_settle(c);
}

static void open_requested(struct nv_vsock_connection *c, uint16_t op)
{
    if (op == NV_VSOCK_CREDIT_UPDATE || op == NV_VSOCK_CREDIT_REQUEST)
        return;
    if (op != NV_VSOCK_RESPONSE || (c->pending & 1u << NV_VSOCK_REQUEST) || !nv_vsock_greet(c)) {
        nv_vsock_refuse(c);
        return;
    }
    c->state = NV_VSOCK_OPEN;
    c->deadline_ns = 0;
    nv_vsock_watch(c);
}

static void take_bytes(struct nv_vsock_connection *c, struct nv_chain *chain, uint32_t length)
{
    if (c->state == NV_VSOCK_HOST_GONE) {
        c->forwarded += length; /* it was under way when the host left */
        return;
    }
    /* Not more than the credit that was granted. */
    if ((c->guest_shut & NV_VSOCK_NO_SEND) || length > NV_VSOCK_WINDOW - c->held_length ||
        nv_vsock_give(c, chain, length) < 0) {
        nv_vsock_abort(c);
        return;
    }
    nv_count(&c->device->tx_bytes, length);
    nv_vsock_watch(c);
}

static void shut(struct nv_vsock_connection *c, uint32_t flags)
{
    c->guest_shut |= flags & NV_VSOCK_BOTH;
    if (c->guest_shut == NV_VSOCK_BOTH) {
        nv_vsock_end(c);
    } else if (c->state == NV_VSOCK_OPEN) {
        nv_vsock_shut(c);
        if (c->has_hung_up && (c->guest_shut & NV_VSOCK_NO_RECEIVE))
            nv_vsock_host_gone(c);
        else
            nv_vsock_watch(c);
    }
}

static void take_packet(struct nv_vsock_connection *c, struct nv_chain *chain,
                        const struct nv_vsock_header *header)
{
    switch (header->op) {
    case NV_VSOCK_RW:
        take_bytes(c, chain, header->length);
        break;
    case NV_VSOCK_SHUTDOWN:
        shut(c, header->flags);
        break;
    case NV_VSOCK_CREDIT_UPDATE:
        break;
    case NV_VSOCK_CREDIT_REQUEST:
        nv_vsock_want(c, 1u << NV_VSOCK_CREDIT_UPDATE);
        break;
    default:
        nv_vsock_abort(c);
        break;
    }
}

static void update_credit(struct nv_vsock_connection *c, const struct nv_vsock_header *header)
{
    bool had_credit = nv_vsock_credit(c) > 0;

    c->peer_buf_alloc = header->buf_alloc;
    c->peer_fwd_cnt = header->fwd_cnt;
    if (had_credit || nv_vsock_credit(c) == 0)
        return;
    if (nv_vsock_can_read(c)) {
        c->is_readable = true; /* perhaps */
        nv_vsock_want(c, 0);
    }
}

uint32_t nv_vsock_receive(struct nv_vsock *s, struct nv_chain *chain)
{
    struct nv_vsock_header header;
    struct nv_vsock_connection *c = NULL;
    bool is_sound;

    if (!read_header(chain, &header)) {
        nv_count(&s->dropped, 1);
        return 0;
    }
    is_sound = header.src_cid == s->cid && header.dst_cid == NV_VSOCK_HOST_CID &&
               header.type == NV_VSOCK_STREAM;
    if (is_sound)
        c = nv_vsock_find(s, header.dst_port, header.src_port);
    if (!c) {
        if (!is_sound || header.op != NV_VSOCK_REQUEST || header.length > chain->read_left) {
            reset(s, &header);
            return 0;
        }
        connect_guest(s, &header);
        return NV_VSOCK_CONNECT_COST;
    }
    if (header.op == NV_VSOCK_RST) {
        drop(c);
        return 0;
    }
    if (c->state == NV_VSOCK_ENDED) /* a RST is on its way */
        return 0;
    update_credit(c, &header);
    if (header.length > chain->read_left)
        nv_vsock_abort(c);
    else if (c->state == NV_VSOCK_REQUESTED)
        open_requested(c, header.op);
    else
        take_packet(c, chain, &header);
    return header.op == NV_VSOCK_RW ? header.length : 0;
}
