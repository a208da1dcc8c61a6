/* SPDX-License-Identifier: Apache-2.0 */
/* Owns what a disk request means (virtio 1.2, 5.2.6): its checks, and doing it. */
#include <errno.h>
#include <string.h>
#include <time.h>

#include "core/util.h"
#include "devices/blk.h"

enum { HEADER_SIZE = 16, SEGMENT_SIZE = 16 };
enum { ZEROES_F_UNMAP = 1 << 0 };

static enum blk_step answer(struct blk_request *request, int result)
{
    request->result = result;
    return BLK_ANSWERED;
}

/* A range of sectors, as the guest gave it, against the disk. */
static enum blk_step set_range(const struct blk_state *s, struct blk_request *request,
                               uint64_t sector, uint64_t sectors)
{
    if (!nv_range_fits(sector, sectors, s->capacity))
        return answer(request, -EIO);
    request->offset = sector * NV_SECTOR_SIZE;
    request->length = request->total = sectors * NV_SECTOR_SIZE;
    if (!nv_is_aligned(request->offset | request->length, s->disk.offset_align))
        return answer(request, -EIO);
    return request->length > 0 ? BLK_WORK : answer(request, 0);
}

static enum blk_step parse_transfer(const struct blk_state *s, struct blk_request *request,
                                    uint64_t sector)
{
    bool is_write = request->type == BLK_T_OUT;
    uint64_t length = is_write ? request->chain.read_left : request->chain.write_left;

    if ((is_write && s->is_read_only) || length % NV_SECTOR_SIZE)
        return answer(request, -EIO);
    return set_range(s, request, sector, length / NV_SECTOR_SIZE);
}

/* Discard and write-zeroes; we take one segment at a time, as the configuration says. */
static enum blk_step parse_segment(const struct blk_state *s, struct blk_request *request)
{
    bool is_discard = request->type == BLK_T_DISCARD;
    uint8_t segment[SEGMENT_SIZE];
    uint64_t sectors;
    uint32_t flags;

    if (!s->has_discard)
        return answer(request, -EOPNOTSUPP);
    if (s->is_read_only || request->chain.read_left != sizeof(segment))
        return answer(request, -EIO);
    nv_chain_read(&request->chain, segment, sizeof(segment));
    sectors = nv_get_le32(segment + 8);
    flags = nv_get_le32(segment + 12);
    if (flags & ~(is_discard ? 0u : (uint32_t)ZEROES_F_UNMAP))
        return answer(request, -EOPNOTSUPP);
    if (sectors > (is_discard ? BLK_DISCARD_MAX : BLK_ZEROES_MAX))
        return answer(request, -EIO);
    request->may_discard = flags & ZEROES_F_UNMAP;
    return set_range(s, request, nv_get_le64(segment), sectors);
}

/* The name is not terminated if it fills the field (5.2.6). */
static enum blk_step parse_id(const struct blk_state *s, struct blk_request *request)
{
    char id[BLK_ID_SIZE] = { 0 };

    if (s->serial)
        memcpy(id, s->serial, strnlen(s->serial, sizeof(id)));
    nv_chain_write(&request->chain, id, sizeof(id));
    return answer(request, 0);
}

enum blk_step nv_blk_parse(struct blk_state *s, struct blk_request *request)
{
    uint8_t header[HEADER_SIZE];
    uint64_t got = nv_chain_read(&request->chain, header, sizeof(header));

    request->offset = request->length = request->total = 0;
    request->is_held = request->is_lost = request->may_discard = false;
    request->is_through = s->is_writethrough;
    request->type = got == sizeof(header) ? nv_get_le32(header) : UINT32_MAX;
    request->status = nv_chain_take_last(&request->chain);
    if (!request->status)
        return BLK_BROKEN;
    if (got != sizeof(header))
        return answer(request, -EIO);
    switch (request->type) {
    case BLK_T_IN:
    case BLK_T_OUT:
        return parse_transfer(s, request, nv_get_le64(header + 8));
    case BLK_T_FLUSH:
        return BLK_WORK;
    case BLK_T_GET_ID:
        return parse_id(s, request);
    case BLK_T_DISCARD:
    case BLK_T_WRITE_ZEROES:
        return parse_segment(s, request);
    default:
        return answer(request, -EOPNOTSUPP);
    }
}

/* One transfer of what is left; bytes or -errno. */
static ssize_t transfer(struct blk_state *s, struct blk_request *request)
{
    const struct iovec *parts;
    int count;

    if (request->type == BLK_T_IN) {
        parts = nv_chain_writable(&request->chain, &count);
        return nv_disk_read(&s->disk, parts, count, request->offset);
    }
    parts = nv_chain_readable(&request->chain, &count);
    return nv_disk_write(&s->disk, parts, count, request->offset);
}

void nv_blk_advance(struct blk_request *request, uint64_t done)
{
    if (request->type == BLK_T_IN)
        nv_chain_skip_write(&request->chain, done);
    else
        nv_chain_skip_read(&request->chain, done);
    request->offset += done;
    request->length -= done;
}

/* True if nobody waits for the request any more: the guest's reset, or the device's end, does. */
static bool is_given_up(struct blk_state *s, const struct blk_request *request)
{
    return atomic_load_explicit(&s->given_up, memory_order_relaxed) & 1u << request->queue;
}

/*
 * All that is left, in as many transfers as it takes; each byte once. A request may be of 4 GiB,
 * and who wants to be rid of it must not have to wait for all of it.
 */
static int transfer_all(struct blk_state *s, struct blk_request *request)
{
    enum { AGAIN_MAX = 1000 }; /* a second */
    const struct timespec while_busy = { .tv_nsec = 1000000 };
    int again = 0;

    while (request->length > 0) {
        ssize_t done = transfer(s, request);

        if (done > 0) {
            nv_blk_advance(request, (uint64_t)done);
            if (request->length > 0 && is_given_up(s, request))
                return -ECANCELED;
        } else if (done == 0) {
            return -EIO; /* the file has become shorter */
        } else if (done == -EAGAIN && again++ < AGAIN_MAX) {
            nanosleep(&while_busy, NULL);
        } else if (done != -EINTR) {
            return done == -EAGAIN ? -EIO : (int)done;
        }
    }
    return 0;
}

static int flush(struct blk_state *s, struct blk_request *request)
{
    int r;

    if (s->is_read_only)
        return 0;
    r = atomic_load(&s->has_lost_writes) ? -EIO : nv_disk_flush(&s->disk);
    if (r < 0) {
        atomic_store(&s->has_lost_writes, true);
        request->is_lost = true;
    }
    return r;
}

static int run(struct blk_state *s, struct blk_request *request)
{
    switch (request->type) {
    case BLK_T_IN:
        return transfer_all(s, request);
    case BLK_T_OUT:
        return nv_disk_holds(&s->disk, request->offset, request->length) ? transfer_all(s, request)
                                                                         : -EIO;
    case BLK_T_FLUSH:
        return flush(s, request);
    case BLK_T_DISCARD:
        return nv_disk_discard(&s->disk, request->offset, request->length);
    default:
        return nv_disk_zero(&s->disk, request->offset, request->length, request->may_discard);
    }
}

void nv_blk_run(struct blk_state *s, struct blk_request *request)
{
    int r = run(s, request);

    if (r == 0 && request->is_through && request->type != BLK_T_IN && request->type != BLK_T_FLUSH)
        r = flush(s, request);
    request->result = r;
}
