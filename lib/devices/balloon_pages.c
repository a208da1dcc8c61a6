/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the balloon's pages: those that the guest gives, and how they go back to the host. */
#include <stdlib.h>

#include "core/util.h"
#include "devices/balloon.h"

/* What one pass over a queue does at most: a few milliseconds of the loop's time. */
enum {
    PASS_CALLS = 512, /* to the host, or looks at page numbers */
    PASS_BYTES = 64 << 20,
    ZEROED_COST = 16,     /* times as long as to release: pages are copied, and then zeroed */
    BATCH = 256,          /* page numbers read at once, as many as Linux sends */
    NUMBER_BYTES = 4,     /* le32 */
    CHUNK_BYTES = 4 << 20 /* of a report, released by one call */
};

/* What is left of a pass. */
struct pass {
    uint32_t calls;
    uint64_t bytes;
};

static bool is_over(const struct pass *pass)
{
    return pass->calls == 0 || pass->bytes == 0;
}

static void release(struct nv_balloon *balloon, struct pass *pass, void *host, uint64_t length)
{
    bool is_zeroed = nv_memory_discard(balloon->virtio.memory, host, length) < 0;

    if (is_zeroed)
        nv_count(&balloon->failed, 1);
    pass->calls -= pass->calls > 0;
    pass->bytes -= NV_MIN(pass->bytes, is_zeroed ? ZEROED_COST * length : length);
}

/* Releases pages that follow each other; those outside of memory or read-only are not the
 * guest's to give. */
static void release_run(struct nv_balloon *balloon, struct pass *pass, uint64_t number,
                        uint64_t count)
{
    uint64_t address = number * NV_BALLOON_PAGE;
    uint64_t left = count * NV_BALLOON_PAGE;

    while (left > 0) {
        uint64_t run = left;
        void *host = nv_memory_run_writable(balloon->virtio.memory, nv_gpa_at(address), &run);

        if (host) {
            release(balloon, pass, host, run);
            nv_count(&balloon->inflated, run);
        } else {
            run = NV_BALLOON_PAGE;
            nv_count(&balloon->refused, 1);
        }
        address += run;
        left -= run;
    }
}

static int compare(const void *a, const void *b)
{
    uint32_t left = *(const uint32_t *)a;
    uint32_t right = *(const uint32_t *)b;

    return (left > right) - (left < right);
}

/* Releases the next page numbers of a chain, neighbours together. */
static void release_batch(struct nv_balloon *balloon, struct pass *pass, struct nv_chain *chain)
{
    uint8_t bytes[BATCH * NUMBER_BYTES];
    uint32_t numbers[BATCH];
    uint64_t length = nv_chain_read(chain, bytes, sizeof(bytes));
    uint32_t count = (uint32_t)(length / NUMBER_BYTES);
    uint32_t first = 0;

    /* Also for numbers of no memory: 2^30 of them fit into one chain. */
    pass->calls -= pass->calls > 0;
    if (length % NUMBER_BYTES)
        nv_count(&balloon->refused, 1);
    for (uint32_t i = 0; i < count; i++)
        numbers[i] = nv_get_le32(bytes + (size_t)i * NUMBER_BYTES);
    qsort(numbers, count, sizeof(numbers[0]), compare);
    for (uint32_t i = 1; i <= count; i++) {
        if (i < count && numbers[i] - numbers[i - 1] <= 1) /* a neighbour, or the same again */
            continue;
        release_run(balloon, pass, numbers[first], (uint64_t)numbers[i - 1] - numbers[first] + 1);
        first = i;
    }
}

void nv_balloon_serve_inflate(struct nv_balloon *balloon, uint32_t queue)
{
    struct pass pass = { PASS_CALLS, PASS_BYTES };

    while (nv_balloon_take(balloon, queue)) {
        struct nv_chain *chain = &balloon->virtio.queues[queue].chain;

        while (chain->read_left > 0 && !is_over(&pass))
            release_batch(balloon, &pass, chain);
        if (chain->read_left > 0) {
            nv_virtio_serve_later(&balloon->virtio, queue);
            return;
        }
        nv_balloon_give_back(balloon, queue);
    }
}

/* The guest uses the pages again, which needs nothing of us: the host gives them when touched. */
void nv_balloon_serve_deflate(struct nv_balloon *balloon, uint32_t queue)
{
    while (nv_balloon_take(balloon, queue)) {
        const struct nv_chain *chain = &balloon->virtio.queues[queue].chain;

        nv_count(&balloon->deflated, chain->read_left / NUMBER_BYTES * NV_BALLOON_PAGE);
        nv_balloon_give_back(balloon, queue);
    }
}

/* Releases the whole pages at the front of a report's buffers. */
static void release_front(struct nv_balloon *balloon, struct pass *pass, struct nv_chain *chain)
{
    int count;
    const struct iovec *part = nv_chain_writable(chain, &count);
    uint8_t *start = part->iov_base;
    uint8_t *host = (uint8_t *)(uintptr_t)nv_align_up((uintptr_t)start, NV_BALLOON_PAGE);
    uint64_t lead = (uint64_t)(host - start);
    uint64_t length = part->iov_len > lead ? part->iov_len - lead : 0;

    length = nv_align_down(NV_MIN(length, (uint64_t)CHUNK_BYTES), NV_BALLOON_PAGE);
    if (length == 0) { /* less than a page */
        pass->calls -= pass->calls > 0;
        nv_count(&balloon->refused, 1);
        nv_chain_skip_write(chain, part->iov_len);
        return;
    }
    release(balloon, pass, host, length);
    nv_count(&balloon->reported, length);
    nv_chain_skip_write(chain, lead + length);
}

void nv_balloon_serve_reports(struct nv_balloon *balloon, uint32_t queue)
{
    struct pass pass = { PASS_CALLS, PASS_BYTES };

    while (nv_balloon_take(balloon, queue)) {
        struct nv_chain *chain = &balloon->virtio.queues[queue].chain;

        while (chain->write_left > 0 && !is_over(&pass))
            release_front(balloon, &pass, chain);
        if (chain->write_left > 0) {
            nv_virtio_serve_later(&balloon->virtio, queue);
            return;
        }
        nv_balloon_give_back(balloon, queue);
    }
}
