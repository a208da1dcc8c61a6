/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the entropy device (virtio 1.2, 5.4): random bytes from the host's getrandom(). */
#include <errno.h>
#include <sys/random.h>

#include "core/util.h"
#include "devices/device.h"

enum {
    REQUEST_QUEUE,
    REQUEST_MAX = 65536 /* bytes given to one request, however long its buffers are */
};

struct rng_state {
    struct nv_virtio virtio;
    uint64_t bytes; /* given so far */
};

static const struct nv_property rng_properties[] = {
    NV_VIRTIO_PROPERTIES(struct rng_state),
    { .name = "bytes",
      .type = NESTVIRT_PROPERTY_U64,
      .flags = NESTVIRT_PROPERTY_READ_ONLY | NESTVIRT_PROPERTY_LIVE,
      .offset = offsetof(struct rng_state, bytes),
      .max = UINT64_MAX,
      .help = "random bytes given to the guest" },
};

/* Fills the request's buffers, at most REQUEST_MAX bytes. */
static uint32_t fill(struct nv_chain *chain)
{
    uint8_t bytes[256]; /* getrandom() of so many neither fails nor gives less */
    uint32_t done = 0;

    while (chain->write_left > 0 && done < REQUEST_MAX) {
        uint64_t run =
            NV_MIN(chain->write_left, (uint64_t)NV_MIN(sizeof(bytes), REQUEST_MAX - done));
        ssize_t got = getrandom(bytes, run, GRND_NONBLOCK);

        if (got <= 0)
            break;
        done += (uint32_t)nv_chain_write(chain, bytes, (uint64_t)got);
    }
    return done;
}

static void rng_serve(struct nv_virtio *v, uint32_t queue)
{
    struct rng_state *s = (struct rng_state *)v;
    struct nv_chain *chain = &v->queues[queue].chain;

    while (nv_virtio_pop(v, queue, chain) > 0) {
        uint32_t done = fill(chain);

        __atomic_fetch_add(&s->bytes, done, __ATOMIC_RELAXED);
        nv_virtio_complete(v, queue, chain, done);
    }
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
    return 0;
}

const struct nv_device_class nv_device_rng = {
    .name = "rng",
    .help = "virtio entropy device, fed by the host's getrandom()",
    .virtio = &rng_virtio,
    .state_size = sizeof(struct rng_state),
    .properties = rng_properties,
    .property_count = NV_ARRAY_SIZE(rng_properties),
    .wire = rng_wire,
};
