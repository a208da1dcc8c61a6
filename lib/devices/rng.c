/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the entropy device (virtio 1.2, 5.4): random bytes from the host's getrandom(). */
#include <sys/random.h>

#include "core/util.h"
#include "devices/device.h"
#include "virtio/limit.h"

enum {
    REQUEST_QUEUE,
    REQUEST_MAX = 65536, /* bytes given to one request, however long its buffers are */
    PASS_MAX = 262144    /* bytes in one pass: a millisecond; then others have their turn */
};

/* When the host has no entropy yet, or refuses, the request waits this long for the next try. */
static const uint64_t RETRY_NS = 100000000;

struct rng_state {
    struct nv_virtio virtio;
    /* Properties. */
    uint64_t bytes;   /* given so far */
    uint64_t starved; /* times the host gave nothing */
    struct nv_limit limit;

    struct nv_timer timer; /* for a request that waits */
};

static const struct nv_property rng_properties[] = {
    NV_VIRTIO_PROPERTIES(struct rng_state),
    NV_LIMIT_PROPERTIES(struct rng_state, limit, "rate", "given to the guest"),
    NV_COUNTER_ROW(struct rng_state, "bytes", bytes, "random bytes given to the guest"),
    NV_COUNTER_ROW(struct rng_state, "starved", starved,
                   "times the host's getrandom() gave nothing and a request had to wait"),
};

/* Fills the request's buffers, at most REQUEST_MAX bytes, in place. Less only if the host fails. */
static uint32_t fill(struct nv_chain *chain)
{
    uint32_t done = 0;

    while (chain->write_left > 0 && done < REQUEST_MAX) {
        int count;
        const struct iovec *part = nv_chain_writable(chain, &count);
        ssize_t got = getrandom(part->iov_base, NV_MIN(part->iov_len, (size_t)(REQUEST_MAX - done)),
                                GRND_NONBLOCK);

        if (got <= 0)
            break;
        nv_chain_skip_write(chain, (uint64_t)got);
        done += (uint32_t)got;
    }
    return done;
}

/* Puts the request back, to be looked at again at a time. */
static void wait_until(struct rng_state *s, const struct nv_chain *chain, uint64_t when_ns)
{
    nv_virtio_unpop(&s->virtio, REQUEST_QUEUE, chain);
    if (s->virtio.loop)
        nv_loop_set_timer(s->virtio.loop, &s->timer, when_ns);
}

static void rng_serve(struct nv_virtio *v, uint32_t queue)
{
    struct rng_state *s = (struct rng_state *)v;
    struct nv_chain *chain = &v->queues[queue].chain;
    uint32_t passed = 0;

    while (nv_virtio_pop(v, queue, chain) > 0) {
        bool is_empty = chain->write_left == 0;
        uint64_t now_ns = nv_now_ns();
        uint64_t when_ns =
            nv_limit_take(&s->limit, NV_MIN(chain->write_left, (uint64_t)REQUEST_MAX), now_ns);
        uint32_t done;

        if (when_ns) {
            wait_until(s, chain, when_ns);
            return;
        }
        done = fill(chain);
        if (done == 0 && !is_empty) {
            nv_count(&s->starved, 1);
            wait_until(s, chain, now_ns + RETRY_NS);
            return;
        }
        nv_count(&s->bytes, done);
        nv_virtio_complete(v, queue, chain, done);
        passed += done;
        if (v->loop && passed >= PASS_MAX) {
            nv_virtio_serve_later(v, queue);
            return;
        }
    }
}

static void on_timer(void *user_data)
{
    struct rng_state *s = user_data;

    NV_VIRTIO_GUARD(&s->virtio);
    nv_virtio_serve(&s->virtio, REQUEST_QUEUE);
}

static const struct nv_virtio_class rng_virtio = {
    .id = NV_VIRTIO_ID_RNG,
    .serve = rng_serve,
};

static int rng_wire(struct nestvirt_device *device, const struct nv_device_env *env,
                    struct nestvirt_error **ret_error)
{
    struct rng_state *s = device->state;

    s->virtio.queue_count = REQUEST_QUEUE + 1;
    s->timer = (struct nv_timer){ .fn = on_timer, .user_data = s };
    nv_limit_reset(&s->limit);
    return 0;
}

/* A request that waits may go by the new limit. */
static int rng_changed(struct nestvirt_device *device, const struct nv_property *row,
                       struct nestvirt_error **ret_error)
{
    nv_virtio_serve_later(device->state, REQUEST_QUEUE);
    return 0;
}

static void rng_unbuild(struct nestvirt_device *device)
{
    struct rng_state *s = device->state;

    if (s->virtio.is_claimed && s->virtio.loop)
        nv_loop_clear_timer(s->virtio.loop, &s->timer);
}

const struct nv_device_class nv_device_rng = {
    .name = "rng",
    .help = "virtio entropy device, fed by the host's getrandom()",
    .virtio = &rng_virtio,
    .state_size = sizeof(struct rng_state),
    .properties = rng_properties,
    .property_count = NV_ARRAY_SIZE(rng_properties),
    .wire = rng_wire,
    .unbuild = rng_unbuild,
    .changed = rng_changed,
};
