/* SPDX-License-Identifier: Apache-2.0 */
/* Owns a virtio device for tests of the core: it echoes requests, at once or when it is told. */
#ifndef TESTS_SUPPORT_VIRTIO_PROBE_H
#define TESTS_SUPPORT_VIRTIO_PROBE_H

#include "virtio_guest.h"

enum {
    PROBE_QUEUES_MAX = 4,
    PROBE_ID = 63,            /* no device has it */
    PROBE_ECHO_MAX = 4096,    /* bytes of each request that are echoed */
    PROBE_CONFIG_LENGTH = 12, /* unless the test says otherwise */
    PROBE_CHECKED = 1 << 1,   /* feature bits: this one needs PROBE_PLAIN */
    PROBE_PLAIN = 1 << 0
};

/* A chain that the device works on. */
struct probe_held {
    struct nv_chain chain;
    bool is_taken; /* by a thread that completes it */
};

/*
 * What a test may set before guest_wire() or while nothing runs, and what the device counts; the
 * counts under the device's lock.
 */
struct probe {
    struct nv_virtio virtio;

    uint32_t queues; /* 0: one */
    uint32_t config_bytes;
    bool holds;        /* requests are kept until probe_finish() */
    bool drop_cancels; /* drop gives held ones up */
    int activate_result;
    /* Called for each chain, before it is answered. */
    void (*on_pop)(struct probe *probe, uint32_t queue, struct nv_chain *chain);
    /* Called before and behind each round over a queue. */
    void (*on_round)(struct probe *probe, uint32_t queue, bool is_end);

    unsigned pops, passes, drops, resets, activations, config_reads, config_writes;
    struct probe_held held[PROBE_QUEUES_MAX][NV_QUEUE_SIZE_MAX];
    unsigned held_count[PROBE_QUEUES_MAX];
};

extern const struct nv_device_class probe_class;

static inline struct probe *probe_of(struct virtio_guest *guest)
{
    return guest->device->state;
}

/*
 * Completes a held request of a queue, as a thread of the device's would: 1 if the guest got it, 0
 * if it came too late, -1 if there is none. Callable from any thread.
 */
int probe_finish(struct probe *probe, uint32_t queue);

#endif
