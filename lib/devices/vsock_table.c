/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the socket device's connections: making, finding, watching and ending them. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/util.h"
#include "devices/vsock.h"

/* Ports that the library assigns on the host's side; others than those that services have. */
enum { FIRST_PORT = 0x40000000, PORT_MASK = 0x3fffffff };

static const uint64_t RETRY_NS = 250000000;

static uint32_t bucket_of(const struct nv_vsock *s, uint32_t host_port, uint32_t guest_port)
{
    enum { SHIFT = 64 - 10 };

    static_assert(1u << (64 - SHIFT) == NV_VSOCK_BUCKETS, "as many as the hash has values");
    return (uint32_t)(((uint64_t)host_port << 32 | guest_port) * s->hash_key >> SHIFT);
}

struct nv_vsock_connection *nv_vsock_find(const struct nv_vsock *s, uint32_t host_port,
                                          uint32_t guest_port)
{
    struct nv_vsock_connection *c = s->buckets[bucket_of(s, host_port, guest_port)];

    while (c && (c->host_port != host_port || c->guest_port != guest_port))
        c = c->next;
    return c;
}

void nv_vsock_bind(struct nv_vsock_connection *c, uint32_t host_port, uint32_t guest_port)
{
    struct nv_vsock_connection **bucket =
        &c->device->buckets[bucket_of(c->device, host_port, guest_port)];

    c->host_port = host_port;
    c->guest_port = guest_port;
    c->next = *bucket;
    *bucket = c;
    c->is_bound = true;
}

void nv_vsock_unbind(struct nv_vsock_connection *c)
{
    struct nv_vsock_connection **at =
        &c->device->buckets[bucket_of(c->device, c->host_port, c->guest_port)];

    if (!c->is_bound)
        return;
    while (*at != c)
        at = &(*at)->next;
    *at = c->next;
    c->next = NULL;
    c->is_bound = false;
    c->pending = 0;
    nv_vsock_unready(c);
}

uint32_t nv_vsock_choose_port(struct nv_vsock *s, uint32_t guest_port)
{
    uint32_t port;

    do
        port = FIRST_PORT + (s->next_port++ & PORT_MASK);
    while (nv_vsock_find(s, port, guest_port)); /* not more often than there are connections */
    return port;
}

static void on_socket(void *user_data, uint32_t events)
{
    struct nv_vsock_connection *c = user_data;
    struct nv_vsock *s = c->device;

    NV_VIRTIO_GUARD(&s->virtio);
    if (c->state == NV_VSOCK_FREE || c->watched < 0)
        return;
    if (nv_vsock_is_on(s)) {
        nv_vsock_on_socket(c, events);
        nv_virtio_serve(&s->virtio, NV_VSOCK_RX);
    } else {
        nv_loop_disable(s->loop, &c->source);
        c->watched = -1;
        return;
    }
    if (c->state != NV_VSOCK_FREE)
        nv_vsock_watch(c);
}

/* A new slot, of which there may be one more. */
static struct nv_vsock_connection *grow(struct nv_vsock *s)
{
    enum { FIRST = 16 };
    struct nv_vsock_connection *c;

    if (s->slot_count == s->slot_capacity) {
        uint32_t capacity = s->slot_capacity ? 2 * s->slot_capacity : FIRST;
        struct nv_vsock_connection **grown =
            realloc(s->slots, capacity * sizeof(struct nv_vsock_connection *));

        if (!grown)
            return NULL;
        s->slots = grown;
        s->slot_capacity = capacity;
    }
    c = calloc(1, sizeof(*c));
    if (!c)
        return NULL;
    c->device = s;
    c->source = (struct nv_source){ .fd = -1, .fn = on_socket, .user_data = c };
    c->watched = -1;
    s->slots[s->slot_count++] = c;
    return c;
}

/* Everything back to zero but what a late callback may look at. */
static void wipe(struct nv_vsock_connection *c)
{
    c->is_ready = c->is_bound = c->is_readable = c->has_hung_up = false;
    c->host_eof = c->host_is_deaf = false;
    c->guest_shut = 0;
    c->pending = c->host_port = c->guest_port = 0;
    c->deadline_ns = 0;
    c->peer_buf_alloc = c->peer_fwd_cnt = c->sent = c->forwarded = c->told = 0;
    c->line_length = 0;
}

struct nv_vsock_connection *nv_vsock_new(struct nv_vsock *s, int fd, enum nv_vsock_state state)
{
    struct nv_vsock_connection *c = s->free;

    if (s->open >= s->connections)
        return NULL;
    if (c)
        s->free = c->next;
    else
        c = grow(s);
    if (!c)
        return NULL;
    wipe(c);
    c->next = NULL;
    c->source.fd = fd;
    c->state = state;
    nv_count(&s->open, 1);
    nv_vsock_set_deadline(c);
    return c;
}

void nv_vsock_want(struct nv_vsock_connection *c, uint32_t packets)
{
    c->pending |= packets;
    if (c->is_ready || !c->is_bound)
        return;
    TAILQ_INSERT_TAIL(&c->device->ready, c, ready);
    c->is_ready = true;
}

void nv_vsock_unready(struct nv_vsock_connection *c)
{
    if (c->is_ready)
        TAILQ_REMOVE(&c->device->ready, c, ready);
    c->is_ready = false;
}

uint32_t nv_vsock_credit(const struct nv_vsock_connection *c)
{
    uint32_t under_way = c->sent - c->peer_fwd_cnt;

    /* A guest that takes back credit, or acknowledges what was not sent, has none. */
    return under_way >= c->peer_buf_alloc ? 0 : c->peer_buf_alloc - under_way;
}

bool nv_vsock_can_read(const struct nv_vsock_connection *c)
{
    return c->state == NV_VSOCK_OPEN && !c->host_eof && !(c->guest_shut & NV_VSOCK_NO_RECEIVE) &&
           nv_vsock_credit(c) > 0;
}

/* EPOLL* bits; -1: none, because a socket that has hung up would report that for ever. */
static int32_t wanted_events(const struct nv_vsock_connection *c)
{
    uint32_t events = 0;

    if (c->source.fd < 0)
        return -1;
    if (c->state == NV_VSOCK_HANDSHAKE || (nv_vsock_can_read(c) && !c->is_readable))
        events |= EPOLLIN;
    if (c->held_length > 0)
        events |= EPOLLOUT;
    return events == 0 && c->has_hung_up ? -1 : (int32_t)events;
}

void nv_vsock_watch(struct nv_vsock_connection *c)
{
    struct nv_vsock *s = c->device;
    int32_t wanted = wanted_events(c);
    int r = 0;

    if (!s->loop || wanted == c->watched)
        return;
    if (wanted >= 0 && c->watched < 0)
        r = nv_loop_add(s->loop, &c->source, (uint32_t)wanted);
    else if (wanted >= 0)
        r = nv_loop_change(s->loop, &c->source, (uint32_t)wanted);
    if (wanted < 0 || r < 0)
        nv_loop_disable(s->loop, &c->source);
    c->watched = r < 0 ? -1 : wanted;
    if (r < 0) /* no memory for it now */
        nv_vsock_arm(s, nv_now_ns() + RETRY_NS);
}

void nv_vsock_set_deadline(struct nv_vsock_connection *c)
{
    struct nv_vsock *s = c->device;
    uint64_t length_ns = 0;

    if (c->state == NV_VSOCK_HANDSHAKE || c->state == NV_VSOCK_REQUESTED)
        length_ns = s->connect_ns;
    else if (c->state == NV_VSOCK_HOST_GONE || (c->state == NV_VSOCK_ENDED && c->source.fd >= 0))
        length_ns = s->shutdown_ns;
    c->deadline_ns = length_ns ? nv_now_ns() + length_ns : 0;
    if (c->deadline_ns)
        nv_vsock_arm(s, c->deadline_ns);
}

void nv_vsock_close(struct nv_vsock_connection *c)
{
    free(c->held);
    c->held = NULL;
    c->held_start = c->held_length = c->held_capacity = 0;
    c->is_readable = false;
    if (c->source.fd < 0)
        return;
    if (c->watched >= 0)
        nv_loop_disable(c->device->loop, &c->source);
    c->watched = -1;
    close(c->source.fd);
    c->source.fd = -1;
}

void nv_vsock_free(struct nv_vsock_connection *c)
{
    struct nv_vsock *s = c->device;

    nv_vsock_close(c);
    nv_vsock_unbind(c);
    c->state = NV_VSOCK_FREE;
    c->next = s->free;
    s->free = c;
    nv_count(&s->open, UINT64_MAX);
}

void nv_vsock_settle(struct nv_vsock_connection *c)
{
    if (c->source.fd < 0 && !c->is_bound)
        nv_vsock_free(c);
}

void nv_vsock_abort(struct nv_vsock_connection *c)
{
    nv_vsock_close(c);
    c->state = NV_VSOCK_ENDED;
    c->deadline_ns = 0;
    /* Of a connection that it was never asked for, the guest need not hear. */
    if (c->pending & 1u << NV_VSOCK_REQUEST)
        nv_vsock_unbind(c);
    c->pending = 0;
    nv_vsock_want(c, 1u << NV_VSOCK_RST);
    nv_vsock_settle(c);
}

void nv_vsock_refuse(struct nv_vsock_connection *c)
{
    nv_count(&c->device->refused, 1);
    nv_vsock_abort(c);
}

void nv_vsock_end(struct nv_vsock_connection *c)
{
    if (c->held_length == 0)
        nv_vsock_close(c);
    nv_vsock_shut(c);
    c->state = NV_VSOCK_ENDED;
    c->pending = 0;
    nv_vsock_want(c, 1u << NV_VSOCK_RST);
    nv_vsock_set_deadline(c);
    nv_vsock_watch(c);
}

void nv_vsock_host_gone(struct nv_vsock_connection *c)
{
    c->forwarded += c->held_length; /* to nobody */
    nv_vsock_close(c);
    c->state = NV_VSOCK_HOST_GONE;
    c->host_eof = c->host_is_deaf = true;
    nv_vsock_want(c, 1u << NV_VSOCK_SHUTDOWN);
    nv_vsock_set_deadline(c);
}

void nv_vsock_free_all(struct nv_vsock *s)
{
    for (uint32_t i = 0; i < s->slot_count; i++)
        if (s->slots[i]->state != NV_VSOCK_FREE)
            nv_vsock_free(s->slots[i]);
    s->reset_start = s->reset_count = 0;
}

void nv_vsock_destroy_table(struct nv_vsock *s)
{
    for (uint32_t i = 0; i < s->slot_count && s->loop; i++)
        nv_loop_remove(s->loop, &s->slots[i]->source);
    nv_vsock_free_all(s);
    for (uint32_t i = 0; i < s->slot_count; i++)
        free(s->slots[i]);
    free(s->slots);
    s->slots = NULL;
    s->free = NULL;
    s->slot_count = s->slot_capacity = 0;
}
