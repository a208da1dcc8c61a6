/* SPDX-License-Identifier: Apache-2.0 */
/* Owns virtio devices of the caller's own: callbacks without a lock, and the chains they hold. */
#include "devices/own.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/cleanup.h"
#include "core/tags.h"
#include "core/util.h"

enum { PARTS_KEPT = 256 }; /* memory of a chain's list of buffers that is kept for the next one */

struct own_state {
    struct nv_virtio virtio;
    struct nestvirt_device *device;
    struct nv_own_calls calls;
    struct nestvirt_virtio_config config; /* of the caller; its own config pointer is not kept */
    uint8_t bytes[NV_VIRTIO_CONFIG_MAX];  /* what the configuration starts with */
    struct nv_virtio_class class;         /* with this device's number */

    /* Guarded by the device's live_lock. */
    uint32_t run;                 /* raised at each unbuild */
    uint32_t users;               /* calls that use what an unbuild takes away, without the lock */
    pthread_cond_t is_unused;     /* signalled when there are none */
    struct nestvirt_chain *taken; /* chains in the caller's hands */
    struct nestvirt_chain *spare;
};

static const struct nv_property own_properties[] = { NV_VIRTIO_PROPERTIES(struct own_state) };

/* Calls back without the lock, which is held before and after. */
static void own_serve(struct nv_virtio *v, uint32_t queue)
{
    struct own_state *s = (struct own_state *)v;

    nv_virtio_unlock(v);
    s->calls.queue(s->calls.user_data, s->device, queue);
    nv_virtio_lock(v);
}

static void own_drop(struct nv_virtio *v, uint32_t queue)
{
    struct own_state *s = (struct own_state *)v;

    if (!s->calls.drop)
        return;
    nv_virtio_unlock(v);
    s->calls.drop(s->calls.user_data, s->device, queue);
    nv_virtio_lock(v);
}

static void own_write_config(struct nv_virtio *v, uint32_t offset, const uint8_t *bytes,
                             uint32_t length)
{
    struct own_state *s = (struct own_state *)v;

    memcpy(v->config + offset, bytes, length);
    nv_virtio_unlock(v);
    s->calls.write_config(s->calls.user_data, s->device, offset, length);
    nv_virtio_lock(v);
}

static const struct nv_virtio_class own_virtio = { .serve = own_serve, .drop = own_drop };

static int own_claim(struct nestvirt_device *device, const struct nv_device_env *env,
                     struct nestvirt_error **ret_error)
{
    struct own_state *s = device->state;

    s->class = own_virtio;
    s->class.id = s->config.device_id;
    if (s->calls.write_config)
        s->class.write_config = own_write_config;
    s->virtio.class = &s->class;
    return 0;
}

static int own_wire(struct nestvirt_device *device, const struct nv_device_env *env,
                    struct nestvirt_error **ret_error)
{
    struct own_state *s = device->state;

    s->virtio.queue_count = s->config.queue_count;
    s->virtio.offered = s->config.features;
    s->virtio.config_length = s->config.config_length;
    memcpy(s->virtio.config, s->bytes, sizeof(s->bytes));
    return 0;
}

/*
 * Chains that are still in the caller's hands are orphans now: only to be completed. Calls under
 * way end first: what they copy is not to get into the memory of the next run.
 */
static void own_unbuild(struct nestvirt_device *device)
{
    struct own_state *s = device->state;

    NV_GUARD(&device->live_lock);
    s->run++;
    while (s->users > 0)
        pthread_cond_wait(&s->is_unused, &device->live_lock);
}

static void free_list(struct nestvirt_chain *chain)
{
    while (chain) {
        struct nestvirt_chain *next = chain->next;

        chain->tag = NV_TAG_FREED;
        nv_chain_destroy(&chain->chain);
        free(chain);
        chain = next;
    }
}

static void own_destroy(struct nestvirt_device *device)
{
    struct own_state *s = device->state;

    free_list(s->taken);
    free_list(s->spare);
    pthread_cond_destroy(&s->is_unused);
    if (s->calls.free_data)
        s->calls.free_data(s->calls.user_data);
}

const struct nv_device_class nv_device_own = {
    .name = "virtio",
    .help = "a virtio device of the program's own",
    .virtio = &own_virtio,
    .state_size = sizeof(struct own_state),
    .properties = own_properties,
    .property_count = NV_ARRAY_SIZE(own_properties),
    .claim = own_claim,
    .wire = own_wire,
    .unbuild = own_unbuild,
    .destroy = own_destroy,
};

bool nv_own_is(const struct nestvirt_device *device)
{
    return device->class == &nv_device_own;
}

int nv_own_new(const struct nestvirt_virtio_config *config, const struct nv_own_calls *calls,
               uint32_t number, void *owner, struct nestvirt_device **ret_device,
               struct nestvirt_error **ret_error)
{
    struct nestvirt_device *device;
    struct own_state *s;
    int r = nv_device_new(&nv_device_own, number, owner, &device, ret_error);

    if (r < 0)
        return r;
    s = device->state;
    s->device = device;
    pthread_cond_init(&s->is_unused, NULL);
    s->calls = *calls;
    s->config = *config;
    s->config.config = NULL;
    if (config->config)
        memcpy(s->bytes, config->config, config->config_length);
    if (config->queue_size)
        s->virtio.queue_size = config->queue_size;
    *ret_device = device;
    return 0;
}

struct nv_own_calls *nv_own_calls(struct nestvirt_device *device)
{
    return &((struct own_state *)device->state)->calls;
}

static int not_built(const struct nestvirt_device *device, struct nestvirt_error **ret_error)
{
    return nv_fail(ret_error, -EBUSY, nv_device_name(device).s, "call nestvirt_vm_build first",
                   "is not built");
}

/* The end of a call that was counted in users. live_lock held. */
static void leave(struct own_state *s)
{
    if (--s->users == 0)
        pthread_cond_broadcast(&s->is_unused);
}

/* A chain to fill, from the spare ones. live_lock held. */
static struct nestvirt_chain *take_spare(struct own_state *s)
{
    struct nestvirt_chain *chain = s->spare;

    if (chain)
        s->spare = chain->next;
    else
        chain = calloc(1, sizeof(*chain));
    if (chain)
        chain->next = chain->previous = NULL;
    return chain;
}

static void put_spare(struct own_state *s, struct nestvirt_chain *chain)
{
    chain->tag = NV_TAG_FREED;
    if (chain->chain.capacity > PARTS_KEPT)
        nv_chain_destroy(&chain->chain);
    chain->next = s->spare;
    s->spare = chain;
}

static void link_taken(struct own_state *s, struct nestvirt_chain *chain)
{
    chain->next = s->taken;
    if (s->taken)
        s->taken->previous = chain;
    s->taken = chain;
}

static void unlink_taken(struct own_state *s, struct nestvirt_chain *chain)
{
    if (chain->previous)
        chain->previous->next = chain->next;
    else
        s->taken = chain->next;
    if (chain->next)
        chain->next->previous = chain->previous;
}

/*
 * Pops and holds; asks for a notification when there is nothing. Not with the live_lock, because a
 * ring that is broken is logged, by a function of the caller's.
 */
static int pop(struct own_state *s, uint32_t queue, struct nestvirt_chain *chain)
{
    struct nv_virtio *v = &s->virtio;
    struct nv_virtio_queue *q = &v->queues[queue];
    int r;

    NV_VIRTIO_GUARD(v);
    do {
        if (!q->is_serving)
            q->budget = 1;
        r = nv_virtio_pop(v, queue, &chain->chain);
    } while (r == 0 && nv_virtio_can_serve(v, queue) && q->budget > 0 && nv_queue_arm(&q->ring));
    if (r > 0)
        nv_virtio_hold(v, queue);
    return r;
}

/* Begins a call that takes a chain; it is counted in users if this returns 0. */
static int prepare(struct nestvirt_device *device, struct nestvirt_chain **ret_chain,
                   struct nestvirt_error **ret_error)
{
    struct own_state *s = device->state;

    NV_GUARD(&device->live_lock);
    if (!device->is_live)
        return not_built(device, ret_error);
    *ret_chain = take_spare(s);
    if (!*ret_chain)
        return nv_fail_sys(ret_error, ENOMEM, nv_device_name(device).s, "calloc",
                           "free memory in this process");
    (*ret_chain)->run = s->run;
    s->users++;
    return 0;
}

int nv_own_next(struct nestvirt_device *device, uint32_t queue, struct nestvirt_chain **ret_chain,
                struct nestvirt_error **ret_error)
{
    struct own_state *s = device->state;
    struct nestvirt_chain *chain;
    int r;

    if (queue >= s->config.queue_count)
        return nv_fail(ret_error, -EINVAL, nv_device_name(device).s,
                       nv_text("use 0 to %u", s->config.queue_count - 1).s, "has no queue %u",
                       queue);
    r = prepare(device, &chain, ret_error);
    if (r < 0)
        return r;
    chain->device = device;
    chain->queue = queue;
    r = pop(s, queue, chain);
    NV_GUARD(&device->live_lock);
    leave(s);
    if (r == 0) {
        put_spare(s, chain);
        return 0;
    }
    chain->tag = NV_TAG_CHAIN;
    link_taken(s, chain);
    *ret_chain = chain;
    return 1;
}

bool nv_own_begin_copy(struct nestvirt_chain *chain)
{
    struct own_state *s = chain->device->state;

    NV_GUARD(&chain->device->live_lock);
    if (chain->run != s->run)
        return false;
    s->users++;
    return true;
}

void nv_own_end_copy(struct nestvirt_chain *chain)
{
    NV_GUARD(&chain->device->live_lock);
    leave(chain->device->state);
}

int nv_own_complete(struct nestvirt_chain *chain)
{
    struct nestvirt_device *device = chain->device;
    struct own_state *s = device->state;
    struct nv_virtio *v = &s->virtio;
    bool is_given = false;

    NV_GUARD(&device->live_lock);
    if (chain->tag != NV_TAG_CHAIN) /* another thread was faster */
        return -EBADF;
    if (device->is_live && chain->run == s->run) {
        NV_VIRTIO_GUARD(v);
        is_given = nv_virtio_release(v, chain->queue, &chain->chain,
                                     (uint32_t)NV_MIN(chain->chain.written, UINT32_MAX));
        /* Within a call of `queue` the interrupt comes at its end. */
        if (!v->queues[chain->queue].is_serving || !nv_loop_is_own_thread(v->loop))
            nv_virtio_signal(v, chain->queue);
    }
    unlink_taken(s, chain);
    put_spare(s, chain);
    return is_given;
}

static int check_config(const struct nestvirt_device *device, uint32_t offset, uint32_t length,
                        struct nestvirt_error **ret_error)
{
    const struct own_state *s = device->state;

    if (nv_range_fits(offset, length, s->config.config_length))
        return 0;
    return nv_fail(ret_error, -EINVAL, nv_device_name(device).s, "stay within config_length",
                   "has %u bytes of configuration, not %llu", s->config.config_length,
                   (unsigned long long)offset + length);
}

int nv_own_get_config(struct nestvirt_device *device, uint32_t offset, void *buffer,
                      uint32_t length, struct nestvirt_error **ret_error)
{
    struct own_state *s = device->state;
    int r = check_config(device, offset, length, ret_error);

    if (r < 0)
        return r;
    NV_GUARD(&device->live_lock);
    if (!device->is_live)
        return not_built(device, ret_error);
    NV_VIRTIO_GUARD(&s->virtio);
    memcpy(buffer, s->virtio.config + offset, length);
    return 0;
}

int nv_own_set_config(struct nestvirt_device *device, uint32_t offset, const void *bytes,
                      uint32_t length, struct nestvirt_error **ret_error)
{
    struct own_state *s = device->state;
    int r = check_config(device, offset, length, ret_error);

    if (r < 0)
        return r;
    NV_GUARD(&device->live_lock);
    if (!device->is_live)
        return not_built(device, ret_error);
    NV_VIRTIO_GUARD(&s->virtio);
    memcpy(s->virtio.config + offset, bytes, length);
    nv_virtio_config_changed(&s->virtio);
    return 0;
}

int nv_own_get_features(struct nestvirt_device *device, uint64_t *ret_features,
                        struct nestvirt_error **ret_error)
{
    struct own_state *s = device->state;

    NV_GUARD(&device->live_lock);
    if (!device->is_live)
        return not_built(device, ret_error);
    NV_VIRTIO_GUARD(&s->virtio);
    *ret_features = s->virtio.features;
    return 0;
}

int nv_own_request_reset(struct nestvirt_device *device, struct nestvirt_error **ret_error)
{
    struct own_state *s = device->state;

    pthread_mutex_lock(&device->live_lock);
    if (!device->is_live) {
        pthread_mutex_unlock(&device->live_lock);
        return not_built(device, ret_error);
    }
    s->users++;
    pthread_mutex_unlock(&device->live_lock);
    nv_virtio_lock(&s->virtio);
    nv_virtio_break(&s->virtio, "the program asked for it");
    nv_virtio_unlock(&s->virtio); /* logs: not with the live_lock */
    NV_GUARD(&device->live_lock);
    leave(s);
    return 0;
}
