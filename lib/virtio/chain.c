/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the bytes of a descriptor chain: reading, writing and skipping them. */
#include <stdlib.h>
#include <string.h>

#include "core/util.h"
#include "virtio/queue.h"

void nv_chain_destroy(struct nv_chain *chain)
{
    free(chain->parts);
    *chain = (struct nv_chain){ 0 };
}

/* The bytes to take from a part, at most length; the part is trimmed and left behind when empty. */
static uint8_t *take(struct iovec *parts, uint32_t *at, uint64_t length, uint64_t *ret_run)
{
    struct iovec *part = &parts[*at];
    uint8_t *bytes = part->iov_base;

    *ret_run = NV_MIN(length, (uint64_t)part->iov_len);
    part->iov_base = bytes + *ret_run;
    part->iov_len -= *ret_run;
    if (part->iov_len == 0)
        (*at)++;
    return bytes;
}

uint64_t nv_chain_read(struct nv_chain *chain, void *buffer, uint64_t length)
{
    uint8_t *to = buffer;
    uint64_t left = length = NV_MIN(length, chain->read_left);

    while (left > 0) {
        uint64_t run;
        const uint8_t *from = take(chain->parts, &chain->read_at, left, &run);

        memcpy(to, from, run);
        to += run;
        left -= run;
    }
    chain->read_left -= length;
    return length;
}

uint64_t nv_chain_skip_read(struct nv_chain *chain, uint64_t length)
{
    uint64_t left = length = NV_MIN(length, chain->read_left);

    while (left > 0) {
        uint64_t run;

        take(chain->parts, &chain->read_at, left, &run);
        left -= run;
    }
    chain->read_left -= length;
    return length;
}

uint64_t nv_chain_skip_write(struct nv_chain *chain, uint64_t length)
{
    uint64_t left = length = NV_MIN(length, chain->write_left);

    while (left > 0) {
        uint64_t run;

        take(chain->parts, &chain->write_at, left, &run);
        left -= run;
    }
    chain->write_left -= length;
    return length;
}

uint64_t nv_chain_write(struct nv_chain *chain, const void *buffer, uint64_t length)
{
    const uint8_t *from = buffer;
    uint64_t left = length = NV_MIN(length, chain->write_left);

    while (left > 0) {
        uint64_t run;
        uint8_t *to = take(chain->parts, &chain->write_at, left, &run);

        memcpy(to, from, run);
        from += run;
        left -= run;
    }
    chain->write_left -= length;
    chain->written += length;
    return length;
}

uint8_t *nv_chain_take_last(struct nv_chain *chain)
{
    struct iovec *part;

    if (chain->write_left == 0)
        return NULL;
    part = &chain->parts[chain->write_end - 1];
    part->iov_len--;
    chain->write_left--;
    if (part->iov_len == 0)
        chain->write_end--;
    return (uint8_t *)part->iov_base + part->iov_len;
}
