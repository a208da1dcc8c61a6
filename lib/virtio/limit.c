/* SPDX-License-Identifier: Apache-2.0 */
/* Owns rate limits: token buckets of bytes and of operations. */
#include "virtio/limit.h"

#include "core/util.h"

static uint64_t property(const uint64_t *value)
{
    return __atomic_load_n(value, __ATOMIC_RELAXED);
}

/* Tokens that flow in within a time, as exact as 128 bits are; no more than there is room for. */
static uint64_t inflow(uint64_t size, uint64_t refill_ns, uint64_t elapsed_ns, uint64_t room)
{
    unsigned __int128 tokens = (unsigned __int128)size * elapsed_ns / refill_ns;

    return tokens > room ? room : (uint64_t)tokens;
}

/* Brings the level to now; false without a limit. A new size starts with a full bucket. */
static bool refresh(struct nv_bucket *bucket, uint64_t now_ns)
{
    uint64_t size = property(&bucket->size);
    uint64_t refill_ns = NV_MAX(property(&bucket->refill_ms), 1u) * 1000000u;
    uint64_t elapsed_ns;
    uint64_t tokens;
    uint64_t room; /* a debt needs room beyond the size */

    if (!bucket->is_primed) {
        bucket->is_primed = true;
        bucket->burst_left = property(&bucket->burst);
        bucket->known_size = 0;
    }
    if (size != bucket->known_size) {
        bucket->known_size = size;
        bucket->level = (int64_t)size;
        bucket->time_ns = now_ns;
    }
    if (size == 0)
        return false;
    if (now_ns <= bucket->time_ns)
        return true;
    elapsed_ns = now_ns - bucket->time_ns;
    room = (uint64_t)((int64_t)size - bucket->level);
    tokens = inflow(size, refill_ns, elapsed_ns, room);
    if (tokens == room) {
        bucket->level = (int64_t)size;
        bucket->time_ns = now_ns;
    } else {
        bucket->level += (int64_t)tokens;
        /* Only the time that these tokens took: the rest counts for the next one. */
        bucket->time_ns += (uint64_t)((unsigned __int128)tokens * refill_ns / size);
    }
    return true;
}

/* When there will be a token, in nanoseconds; 0: there is one. */
static uint64_t ready_at(struct nv_bucket *bucket, uint64_t now_ns)
{
    uint64_t missing;
    uint64_t refill_ns;
    unsigned __int128 wait_ns;

    if (!refresh(bucket, now_ns) || bucket->level > 0 || bucket->burst_left > 0)
        return 0;
    missing = (uint64_t)(1 - bucket->level);
    refill_ns = NV_MAX(property(&bucket->refill_ms), 1u) * 1000000u;
    wait_ns = (unsigned __int128)missing * refill_ns / bucket->known_size + 1;
    /* A great debt on a small bucket is not paid in anybody's time. */
    if (wait_ns > UINT64_MAX - bucket->time_ns)
        return UINT64_MAX;
    return bucket->time_ns + (uint64_t)wait_ns;
}

static void take(struct nv_bucket *bucket, uint64_t tokens)
{
    uint64_t from_burst = NV_MIN(tokens, bucket->burst_left);

    if (bucket->known_size == 0)
        return;
    bucket->burst_left -= from_burst;
    bucket->level -= (int64_t)(tokens - from_burst);
}

uint64_t nv_limit_take(struct nv_limit *limit, uint64_t bytes, uint64_t now_ns)
{
    uint64_t bytes_at = ready_at(&limit->bytes, now_ns);
    uint64_t operations_at = ready_at(&limit->operations, now_ns);

    if (bytes_at || operations_at)
        return NV_MAX(bytes_at, operations_at);
    take(&limit->bytes, NV_MIN(bytes, 1ull << 32));
    take(&limit->operations, 1);
    return 0;
}

void nv_limit_reset(struct nv_limit *limit)
{
    limit->bytes.is_primed = limit->operations.is_primed = false;
}
