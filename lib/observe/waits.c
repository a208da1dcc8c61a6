/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the arithmetic of histograms of waits: limits, sums, percentiles. */
#include "observe/waits.h"

#include <assert.h>

#include "core/util.h"

static_assert((int)NESTVIRT_WAIT_BUCKETS == (int)NV_WAIT_BUCKETS, "what the header says");

uint64_t nv_wait_limit(uint32_t bucket)
{
    const uint32_t in_row = 1u << NV_WAIT_BITS;
    uint32_t shift;

    if (bucket >= NV_WAIT_BUCKETS)
        return UINT64_MAX;
    if (bucket < 2 * in_row)
        return (uint64_t)bucket * NV_WAIT_UNIT_NS;
    shift = (bucket >> NV_WAIT_BITS) - 1;
    return ((uint64_t)(in_row + bucket % in_row) << shift) * NV_WAIT_UNIT_NS;
}

void nv_waits_sum_up(struct nv_waits *waits)
{
    waits->info.count = 0;
    waits->info.time_ns = 0;
    for (uint32_t i = 0; i < NV_WAIT_BUCKETS; i++) {
        waits->info.count += waits->sums.counts[i];
        waits->info.time_ns += waits->sums.times_ns[i];
    }
    waits->info.max_ns = waits->sums.max_ns;
    waits->info.lost = waits->sums.lost;
    waits->info.preempted = waits->sums.preempted;
    waits->info.inferred = waits->sums.inferred;
}

/* Within a bucket the numbers are taken as spread evenly. */
uint64_t nv_waits_percentile(const uint64_t *numbers, uint32_t per_million, uint64_t max_ns)
{
    unsigned __int128 before = 0;
    unsigned __int128 total = 0;
    unsigned __int128 rank;

    for (uint32_t i = 0; i < NV_WAIT_BUCKETS; i++)
        total += numbers[i];
    rank = (total * per_million + 999999) / 1000000;
    rank = NV_MAX(rank, 1u);
    for (uint32_t i = 0; i < NV_WAIT_BUCKETS; i++) {
        uint64_t low = nv_wait_limit(i);
        uint64_t high = NV_MIN(nv_wait_limit(i + 1), NV_MAX(max_ns, low));

        if (before + numbers[i] >= rank)
            return low + (uint64_t)((high - low) * (rank - before) / numbers[i]);
        before += numbers[i];
    }
    return 0; /* there are none */
}
