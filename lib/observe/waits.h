/* SPDX-License-Identifier: Apache-2.0 */
/* Owns what can be said of waits that were counted: limits, percentiles, text, JSON. */
#ifndef NV_OBSERVE_WAITS_H
#define NV_OBSERVE_WAITS_H

#include <stddef.h>
#include <stdint.h>

#include <nestvirt/observe.h>

#include "observe/runqueue.h"

/* What was read of a VM or in total. */
struct nv_waits {
    struct nestvirt_waits info; /* of our size */
    struct nv_wait_sums sums;   /* zero with NESTVIRT_WAITS_TOTALS_ONLY */
};

/* Where a bucket begins, in nanoseconds; UINT64_MAX behind the last. */
uint64_t nv_wait_limit(uint32_t bucket);

/* Adds up the buckets into info. */
void nv_waits_sum_up(struct nv_waits *waits);

/* A percentile of NV_WAIT_BUCKETS numbers; max_ns: of the last bucket, and the most it can be. */
uint64_t nv_waits_percentile(const uint64_t *numbers, uint32_t per_million, uint64_t max_ns);

/* What the texts say beside the figures. */
struct nv_waits_labels {
    const char *vm;     /* NULL: the total */
    const char *reason; /* why there are totals only, or "" */
};

/*
 * Each writes at most size bytes with a closing zero (nothing with size 0), and returns the length
 * that it has or would have.
 */
size_t nv_waits_text(const struct nv_waits *waits, const struct nv_waits_labels *labels,
                     uint32_t weight, char *buffer, size_t size);
size_t nv_waits_json(const struct nv_waits *waits, const struct nv_waits_labels *labels,
                     char *buffer, size_t size);

#endif
