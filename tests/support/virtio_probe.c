/* SPDX-License-Identifier: Apache-2.0 */
/* Owns a virtio device for tests of the core: it echoes requests, at once or when it is told. */
#include "virtio_probe.h"

#include <string.h>

#include "core/util.h"

/* What can be read goes back to what can be written. */
static uint32_t echo(struct nv_chain *chain)
{
    uint8_t bytes[PROBE_ECHO_MAX];
    uint64_t length = nv_chain_read(chain, bytes, sizeof(bytes));

    return (uint32_t)nv_chain_write(chain, bytes, length);
}

/* Keeps the chain; its parts move along. */
static void keep(struct probe *probe, uint32_t queue, struct nv_chain *chain)
{
    nv_virtio_hold(&probe->virtio, queue);
    probe->held[queue][probe->held_count[queue]++] = (struct probe_held){ .chain = *chain };
    *chain = (struct nv_chain){ 0 };
}

static void probe_serve(struct nv_virtio *v, uint32_t queue)
{
    struct probe *probe = (struct probe *)v;
    struct nv_chain *chain = &v->queues[queue].chain;

    probe->passes++;
    if (probe->on_round)
        probe->on_round(probe, queue, false);
    while (nv_virtio_pop(v, queue, chain) > 0) {
        probe->pops++;
        if (probe->on_pop)
            probe->on_pop(probe, queue, chain);
        if (probe->holds)
            keep(probe, queue, chain);
        else
            nv_virtio_complete(v, queue, chain, echo(chain));
    }
    if (probe->on_round)
        probe->on_round(probe, queue, true);
}

/* The oldest held request that no thread has taken; NULL: none. Lock held. */
static struct probe_held *take(struct probe *probe, uint32_t queue)
{
    for (unsigned i = 0; i < probe->held_count[queue]; i++)
        if (!probe->held[queue][i].is_taken)
            return &probe->held[queue][i];
    return NULL;
}

/* Forgets a held request; the others move up. Lock held. */
static void forget(struct probe *probe, uint32_t queue, uint16_t head)
{
    struct probe_held *list = probe->held[queue];
    unsigned at = 0;

    while (list[at].chain.head != head)
        at++;
    nv_chain_destroy(&list[at].chain);
    probe->held_count[queue]--;
    memmove(&list[at], &list[at + 1], (probe->held_count[queue] - at) * sizeof(*list));
}

int probe_finish(struct probe *probe, uint32_t queue)
{
    struct nv_virtio *v = &probe->virtio;
    struct probe_held *held;
    struct nv_chain chain;
    uint32_t written;
    bool is_wanted;

    {
        NV_VIRTIO_GUARD(v);
        held = take(probe, queue);
        if (!held)
            return -1;
        held->is_taken = true;
        chain = held->chain;
    }
    written = echo(&chain); /* without the lock: the request is held */
    NV_VIRTIO_GUARD(v);
    is_wanted = nv_virtio_release(v, queue, &chain, written);
    forget(probe, queue, chain.head);
    nv_virtio_signal(v, queue);
    return is_wanted;
}

static void probe_drop(struct nv_virtio *v, uint32_t queue)
{
    struct probe *probe = (struct probe *)v;
    struct probe_held *held;

    probe->drops++;
    while (probe->drop_cancels && (held = take(probe, queue))) {
        nv_virtio_release(v, queue, &held->chain, 0);
        forget(probe, queue, held->chain.head);
    }
}

static int probe_activate(struct nv_virtio *v)
{
    struct probe *probe = (struct probe *)v;

    probe->activations++;
    return probe->activate_result;
}

static void probe_reset(struct nv_virtio *v)
{
    ((struct probe *)v)->resets++;
}

static void probe_write_config(struct nv_virtio *v, uint32_t offset, const uint8_t *bytes,
                               uint32_t length)
{
    ((struct probe *)v)->config_writes++;
    memcpy(v->config + offset, bytes, length);
}

static void probe_read_config(struct nv_virtio *v)
{
    ((struct probe *)v)->config_reads++;
}

static bool probe_check_features(const struct nv_virtio *v, uint64_t features)
{
    return !(features & PROBE_CHECKED) || (features & PROBE_PLAIN);
}

static const struct nv_virtio_class probe_virtio = {
    .id = PROBE_ID,
    .serve = probe_serve,
    .activate = probe_activate,
    .drop = probe_drop,
    .reset = probe_reset,
    .write_config = probe_write_config,
    .read_config = probe_read_config,
    .check_features = probe_check_features,
};

static int probe_wire(struct nestvirt_device *device, const struct nv_device_env *env,
                      struct nestvirt_error **ret_error)
{
    struct probe *probe = device->state;

    probe->virtio.queue_count = probe->queues ? probe->queues : 1;
    probe->virtio.offered = PROBE_PLAIN | PROBE_CHECKED;
    probe->virtio.config_length = probe->config_bytes ? probe->config_bytes : PROBE_CONFIG_LENGTH;
    for (uint32_t i = 0; i < probe->virtio.config_length; i++)
        probe->virtio.config[i] = (uint8_t)(i + 1);
    return 0;
}

/* What is still held goes, as when a device joins its threads. */
static void probe_unbuild(struct nestvirt_device *device)
{
    struct probe *probe = device->state;

    for (uint32_t i = 0; i < PROBE_QUEUES_MAX; i++)
        while (probe_finish(probe, i) >= 0)
            ;
}

static const struct nv_property probe_properties[] = {
    NV_VIRTIO_PROPERTIES(struct probe),
};

const struct nv_device_class probe_class = {
    .name = "probe",
    .help = "a virtio device of the tests",
    .virtio = &probe_virtio,
    .state_size = sizeof(struct probe),
    .properties = probe_properties,
    .property_count = NV_ARRAY_SIZE(probe_properties),
    .wire = probe_wire,
    .unbuild = probe_unbuild,
};
