/* SPDX-License-Identifier: Apache-2.0 */
/* Owns rate limits: token buckets of bytes and of operations that the caller may change any time.
 */
#ifndef NV_VIRTIO_LIMIT_H
#define NV_VIRTIO_LIMIT_H

#include <stdbool.h>
#include <stdint.h>

#include "virtio/virtio.h"

/* One bucket: `size` tokens flow in every refill_ms; zero size: no limit. */
struct nv_bucket {
    /* Properties, changed at any time. */
    uint64_t size;      /* tokens it holds */
    uint64_t burst;     /* tokens more, once, at the start */
    uint64_t refill_ms; /* milliseconds in which an empty bucket fills */

    bool is_primed;
    uint64_t known_size; /* what level was reckoned by */
    int64_t level;       /* below zero: a debt of the last request */
    uint64_t burst_left;
    uint64_t time_ns; /* of level */
};

/* The limits of one direction of a device: every request needs room in both buckets. */
struct nv_limit {
    struct nv_bucket bytes;
    struct nv_bucket operations;
};

/*
 * Asks whether a request of so many bytes may go now: 0, and it is counted; else the time at which
 * to ask again, in CLOCK_MONOTONIC nanoseconds. A request goes as soon as there is any room, and
 * its debt holds up those behind it, so that requests larger than the bucket pass too.
 */
uint64_t nv_limit_take(struct nv_limit *limit, uint64_t bytes, uint64_t now_ns);

/* Full buckets and bursts again, as at a start. */
void nv_limit_reset(struct nv_limit *limit);

#define NV_BUCKET_ROWS_(STATE, MEMBER, PREFIX, UNIT, WHAT)                                 \
    { .name = PREFIX,                                                                      \
      .type = NESTVIRT_PROPERTY_U64,                                                       \
      .flags = NESTVIRT_PROPERTY_LIVE,                                                     \
      .offset = offsetof(STATE, MEMBER.size),                                              \
      .max = 1ull << 40,                                                                   \
      .help = "most " UNIT " " WHAT " in the time of " PREFIX "_refill_ms; 0: no limit" }, \
        { .name = PREFIX "_burst",                                                         \
          .type = NESTVIRT_PROPERTY_U64,                                                   \
          .flags = NESTVIRT_PROPERTY_LIVE,                                                 \
          .offset = offsetof(STATE, MEMBER.burst),                                         \
          .max = 1ull << 40,                                                               \
          .help = UNIT " that may pass once, beyond the limit, from the start on" },       \
    {                                                                                      \
        .name = PREFIX "_refill_ms", .type = NESTVIRT_PROPERTY_U64,                        \
        .flags = NESTVIRT_PROPERTY_LIVE, .offset = offsetof(STATE, MEMBER.refill_ms),      \
        .initial = 1000, .min = 1, .max = 3600000,                                         \
        .help = "milliseconds in which the limit of " PREFIX " fills again"                \
    }

/*
 * Property rows of a struct nv_limit in a device's state: PREFIX is a text such as "rate" or "tx"
 * and gives PREFIX_bytes, PREFIX_bytes_burst, PREFIX_bytes_refill_ms and the same of _operations.
 */
#define NV_LIMIT_PROPERTIES(STATE, MEMBER, PREFIX, WHAT)                  \
    NV_BUCKET_ROWS_(STATE, MEMBER.bytes, PREFIX "_bytes", "bytes", WHAT), \
        NV_BUCKET_ROWS_(STATE, MEMBER.operations, PREFIX "_operations", "operations", WHAT)

#endif
