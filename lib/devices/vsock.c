/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the virtio socket device (virtio 1.2, 5.10): its life, passes over its queues, its timer. */
#include "devices/vsock.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/random.h>
#include <sys/un.h>

#include "core/cleanup.h"
#include "core/error.h"
#include "core/util.h"

#define F_STREAM (1ull << 0)

enum { SUFFIX_MAX = sizeof("_4294967295") - 1 };

/* As Linux has them: how long a connect and the end of a connection may take. */
static const uint64_t CONNECT_NS = 2000000000;
static const uint64_t SHUTDOWN_NS = 8000000000;

/* Deadlines are looked at no more often than this, however many there are. */
static const uint64_t TICK_NS = 50000000;

static const struct nv_property vsock_properties[] = {
    NV_VIRTIO_PROPERTIES(struct nv_vsock),
    { .name = "cid",
      .type = NESTVIRT_PROPERTY_U64,
      .flags = NESTVIRT_PROPERTY_IDENTITY,
      .offset = offsetof(struct nv_vsock, cid),
      .min = 3,
      .max = 0xfffffffe,
      .help = "the guest's address, 3 to 4294967294; the host is 2" },
    { .name = "path",
      .type = NESTVIRT_PROPERTY_STRING,
      .flags = NESTVIRT_PROPERTY_IDENTITY,
      .offset = offsetof(struct nv_vsock, path),
      .help =
          "Unix socket where programs send \"CONNECT port\" to reach the guest; the guest "
          "reaches those that listen at path_PORT; without it nobody reaches anybody; in a folder "
          "whose file system answers at once, such as /run, as the event loop looks there" },
    { .name = "connections",
      .type = NESTVIRT_PROPERTY_U64,
      .offset = offsetof(struct nv_vsock, connections),
      .initial = 1024,
      .min = 1,
      .max = 65536,
      .help = "most connections at a time; each holds up to 256 KiB while its reader is slow" },
    NV_COUNTER_ROW(struct nv_vsock, "connections_open", open, "connections at the moment"),
    NV_COUNTER_ROW(struct nv_vsock, "refused", refused, "connections that did not come about"),
    NV_COUNTER_ROW(struct nv_vsock, "dropped", dropped,
                   "packets that could be neither used nor answered"),
    NV_COUNTER_ROW(struct nv_vsock, "rx_bytes", rx_bytes, "bytes that the guest has received"),
    NV_COUNTER_ROW(struct nv_vsock, "tx_bytes", tx_bytes, "bytes that the guest has sent"),
};

void nv_vsock_arm(struct nv_vsock *s, uint64_t deadline_ns)
{
    if (!s->loop || (s->timer_ns != 0 && s->timer_ns <= deadline_ns))
        return;
    s->timer_ns = deadline_ns;
    nv_loop_set_timer(s->loop, &s->timer, deadline_ns);
}

/* The other side has had its time. */
static void expire(struct nv_vsock_connection *c)
{
    c->deadline_ns = 0;
    if (c->state == NV_VSOCK_HANDSHAKE || c->state == NV_VSOCK_REQUESTED) {
        nv_vsock_refuse(c);
    } else if (c->state == NV_VSOCK_HOST_GONE) {
        nv_vsock_abort(c);
    } else {
        nv_vsock_close(c);
        nv_vsock_settle(c);
    }
}

/* Everything that is due by now. */
static void look_at_deadlines(struct nv_vsock *s)
{
    uint64_t now_ns = nv_now_ns();
    uint64_t next_ns = UINT64_MAX;

    if (s->listener_retry_ns != 0 && s->listener_retry_ns <= now_ns) {
        s->listener_retry_ns = 0;
        nv_vsock_watch_listener(s);
    }
    for (uint32_t i = 0; i < s->slot_count; i++) {
        struct nv_vsock_connection *c = s->slots[i];

        if (c->state == NV_VSOCK_FREE)
            continue;
        if (c->deadline_ns != 0 && c->deadline_ns <= now_ns) {
            expire(c);
            continue;
        }
        if (c->deadline_ns != 0)
            next_ns = NV_MIN(next_ns, c->deadline_ns);
        nv_vsock_watch(c); /* if it could not be watched before */
    }
    if (s->listener_retry_ns != 0)
        next_ns = NV_MIN(next_ns, s->listener_retry_ns);
    if (next_ns != UINT64_MAX)
        nv_vsock_arm(s, NV_MAX(next_ns, now_ns + TICK_NS));
}

static void on_timer(void *user_data)
{
    struct nv_vsock *s = user_data;

    NV_VIRTIO_GUARD(&s->virtio);
    s->timer_ns = 0;
    if (!nv_vsock_is_on(s))
        return;
    look_at_deadlines(s);
    nv_virtio_serve(&s->virtio, NV_VSOCK_RX);
}

static void on_listener(void *user_data, uint32_t events)
{
    struct nv_vsock *s = user_data;

    NV_VIRTIO_GUARD(&s->virtio);
    if (nv_vsock_is_on(s)) {
        nv_vsock_accept(s);
        nv_virtio_serve(&s->virtio, NV_VSOCK_RX);
    }
    nv_vsock_watch_listener(s);
}

/* After a pause: all have their whole time again, and what was not watched is. */
static void catch_up(struct nv_vsock *s)
{
    s->was_paused = false;
    for (uint32_t i = 0; i < s->slot_count; i++) {
        if (s->slots[i]->state == NV_VSOCK_FREE)
            continue;
        if (s->slots[i]->deadline_ns != 0)
            nv_vsock_set_deadline(s->slots[i]);
        nv_vsock_watch(s->slots[i]);
    }
    if (s->listener_retry_ns != 0)
        nv_vsock_arm(s, s->listener_retry_ns);
    nv_vsock_watch_listener(s);
}

/* Without a loop (tests): what it would have told. */
static void look_at_sockets(struct nv_vsock *s)
{
    nv_vsock_accept(s);
    look_at_deadlines(s);
    for (uint32_t i = 0; i < s->slot_count; i++) {
        struct nv_vsock_connection *c = s->slots[i];
        struct pollfd look = { .fd = c->source.fd, .events = POLLIN | POLLOUT };

        if (c->source.fd >= 0 && poll(&look, 1, 0) == 1)
            nv_vsock_on_socket(c, (uint32_t)look.revents);
    }
}

/* Packets for the guest, while there are any and buffers for them. */
static void serve_rx(struct nv_vsock *s)
{
    struct nv_virtio *v = &s->virtio;
    struct nv_chain *chain = &v->queues[NV_VSOCK_RX].chain;
    uint64_t moved = 0;

    if (!s->loop)
        look_at_sockets(s);
    while (nv_vsock_has_packets(s)) {
        int r;

        if (s->loop && moved >= NV_VSOCK_PASS_MAX) {
            nv_virtio_serve_later(v, NV_VSOCK_RX);
            return;
        }
        if (nv_virtio_pop(v, NV_VSOCK_RX, chain) <= 0)
            return;
        r = nv_vsock_send(s, chain);
        if (r == 0) {
            nv_virtio_unpop(v, NV_VSOCK_RX, chain);
            return;
        }
        nv_virtio_complete(v, NV_VSOCK_RX, chain, r < 0 ? 0 : (uint32_t)r);
        moved += r < 0 ? 0 : (uint64_t)r;
    }
}

static void serve_tx(struct nv_vsock *s)
{
    struct nv_virtio *v = &s->virtio;
    struct nv_chain *chain = &v->queues[NV_VSOCK_TX].chain;
    uint64_t moved = 0;

    while (nv_virtio_pop(v, NV_VSOCK_TX, chain) > 0) {
        moved += nv_vsock_receive(s, chain);
        nv_virtio_complete(v, NV_VSOCK_TX, chain, 0);
        if (s->loop && moved >= NV_VSOCK_PASS_MAX) {
            nv_virtio_serve_later(v, NV_VSOCK_TX);
            break;
        }
    }
    nv_virtio_serve(v, NV_VSOCK_RX); /* the answers */
}

/*
 * 5.10.6.7: a transport reset. The driver ends all connections and reads its CID anew: it is a
 * clone, or was restored, and those who were connected are not.
 */
static void serve_event(struct nv_vsock *s)
{
    static const uint8_t transport_reset[4];
    struct nv_virtio *v = &s->virtio;
    struct nv_chain *chain = &v->queues[NV_VSOCK_EVENT].chain;

    if (!s->has_event || nv_virtio_pop(v, NV_VSOCK_EVENT, chain) <= 0)
        return;
    s->has_event = false;
    nv_chain_write(chain, transport_reset, sizeof(transport_reset));
    nv_virtio_complete(v, NV_VSOCK_EVENT, chain, (uint32_t)chain->written);
}

static void vsock_serve(struct nv_virtio *v, uint32_t queue)
{
    struct nv_vsock *s = (struct nv_vsock *)v;

    if (s->was_paused)
        catch_up(s);
    if (queue == NV_VSOCK_RX)
        serve_rx(s);
    else if (queue == NV_VSOCK_TX)
        serve_tx(s);
    else
        serve_event(s);
    if (!nv_virtio_is_live(v)) /* the guest broke a ring: nobody will be served any more */
        nv_vsock_free_all(s);
}

static int vsock_activate(struct nv_virtio *v)
{
    nv_vsock_watch_listener((struct nv_vsock *)v);
    return 0;
}

static void vsock_reset(struct nv_virtio *v)
{
    struct nv_vsock *s = (struct nv_vsock *)v;

    nv_vsock_free_all(s);
    s->has_event = false;
    s->listener_retry_ns = 0;
    nv_vsock_watch_listener(s);
}

static const struct nv_virtio_class vsock_virtio = {
    .id = NV_VIRTIO_ID_VSOCK,
    .serve = vsock_serve,
    .activate = vsock_activate,
    .reset = vsock_reset,
};

static int vsock_claim(struct nestvirt_device *device, const struct nv_device_env *env,
                       struct nestvirt_error **ret_error)
{
    enum { LENGTH_MAX = sizeof(((struct sockaddr_un *)0)->sun_path) - 1 - SUFFIX_MAX };
    struct nv_vsock *s = device->state;

    if (s->cid == 0)
        return nv_fail(ret_error, -EINVAL, "property cid",
                       "set a number from 3 on, another for each VM", "it is not set");
    if (s->path && strlen(s->path) > LENGTH_MAX)
        return nv_fail(ret_error, -ENAMETOOLONG, "property path",
                       nv_text("use at most %d bytes, so that _PORT fits behind it", LENGTH_MAX).s,
                       "it is %zu bytes long", strlen(s->path));
    s->loop = env->loop;
    s->listener = (struct nv_source){ .fd = -1, .fn = on_listener, .user_data = s };
    s->listener_is_watched = s->was_paused = s->has_event = false;
    s->listener_retry_ns = 0;
    s->timer = (struct nv_timer){ .fn = on_timer, .user_data = s };
    s->timer_ns = 0;
    s->connect_ns = CONNECT_NS;
    s->shutdown_ns = SHUTDOWN_NS;
    s->connect = nv_vsock_connect;
    s->reset_start = s->reset_count = 0;
    TAILQ_INIT(&s->ready);
    s->is_claimed = true;
    return 0;
}

static int vsock_wire(struct nestvirt_device *device, const struct nv_device_env *env,
                      struct nestvirt_error **ret_error)
{
    struct nv_vsock *s = device->state;

    s->virtio.queue_count = NV_VSOCK_QUEUES;
    s->virtio.offered = F_STREAM;
    s->virtio.config_length = 8;
    nv_put_le64(s->virtio.config, s->cid);
    if (getrandom(&s->hash_key, sizeof(s->hash_key), GRND_NONBLOCK) < 0)
        s->hash_key = nv_now_ns() * 0x9e3779b97f4a7c15u;
    s->hash_key |= 1;
    return s->path && *s->path ? nv_vsock_listen(s, ret_error) : 0;
}

static void vsock_unbuild(struct nestvirt_device *device)
{
    struct nv_vsock *s = device->state;

    if (!s->is_claimed)
        return;
    s->is_claimed = false;
    if (s->loop) {
        nv_loop_remove(s->loop, &s->listener);
        nv_loop_clear_timer(s->loop, &s->timer);
    }
    nv_vsock_stop_listening(s);
    nv_vsock_destroy_table(s);
    s->loop = NULL;
}

static void vsock_stop(struct nestvirt_device *device, uint64_t deadline_ns)
{
    struct nv_vsock *s = device->state;

    NV_VIRTIO_GUARD(&s->virtio);
    nv_vsock_free_all(s);
    nv_vsock_stop_listening(s);
}

static void vsock_pause(struct nestvirt_device *device)
{
    struct nv_vsock *s = device->state;

    NV_VIRTIO_GUARD(&s->virtio);
    s->was_paused = true;
}

/* Connections are not saved: the driver is told that they are gone. */
static int vsock_load(struct nestvirt_device *device, struct nv_reader *reader,
                      struct nestvirt_error **ret_error)
{
    struct nv_vsock *s = device->state;

    s->was_paused = true;
    s->has_event = nv_virtio_is_live(&s->virtio);
    return 0;
}

const struct nv_device_class nv_device_vsock = {
    .name = "vsock",
    .help = "virtio socket device: connections between the guest and Unix sockets of the host",
    .virtio = &vsock_virtio,
    .state_size = sizeof(struct nv_vsock),
    .properties = vsock_properties,
    .property_count = NV_ARRAY_SIZE(vsock_properties),
    .claim = vsock_claim,
    .wire = vsock_wire,
    .unbuild = vsock_unbuild,
    .stop = vsock_stop,
    .pause = vsock_pause,
    .load = vsock_load,
};
