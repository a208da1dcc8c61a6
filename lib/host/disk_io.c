/* SPDX-License-Identifier: Apache-2.0 */
/* Owns transfers to and from disk images; each is one system call, or a little more. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/util.h"
#include "host/disk.h"

enum {
    BOUNCE_SIZE = 65536, /* bytes of the buffer for odd pieces; on the stack of who transfers */
    BOUNCE_ALIGN = 4096  /* enough for every disk */
};

ssize_t nv_disk_read_cached(struct nv_disk *disk, const struct iovec *parts, int count,
                            uint64_t offset)
{
    ssize_t done;

    if (disk->is_direct || atomic_load_explicit(&disk->has_no_cached, memory_order_relaxed))
        return -EAGAIN;
    /* Not preadv2(), which as a cancellation point costs a busy disk several percent. */
    done = syscall(SYS_preadv2, disk->fd, parts, (long)NV_MIN(count, IOV_MAX), (long)offset, 0L,
                   (long)RWF_NOWAIT);
    if (done >= 0)
        return done;
    if (errno == EOPNOTSUPP || errno == ENOSYS)
        atomic_store_explicit(&disk->has_no_cached, true, memory_order_relaxed);
    return errno == EOPNOTSUPP || errno == ENOSYS || errno == EINTR ? -EAGAIN : -errno;
}

bool nv_disk_is_aligned(const struct nv_disk *disk, const struct iovec *parts, int count,
                        uint64_t offset)
{
    if (!disk->is_direct)
        return true;
    if (!nv_is_aligned(offset, disk->offset_align))
        return false;
    for (int i = 0; i < NV_MIN(count, IOV_MAX); i++)
        if (!nv_is_aligned((uintptr_t)parts[i].iov_base, disk->memory_align) ||
            !nv_is_aligned(parts[i].iov_len, disk->offset_align))
            return false;
    return true;
}

/* Copies between the parts and a buffer, at most size bytes; returns how many. */
static size_t copy_parts(const struct iovec *parts, int count, uint8_t *buffer, size_t size,
                         bool is_write)
{
    size_t done = 0;

    for (int i = 0; i < count && done < size; i++) {
        size_t run = NV_MIN(parts[i].iov_len, size - done);

        if (is_write)
            memcpy(buffer + done, parts[i].iov_base, run);
        else
            memcpy(parts[i].iov_base, buffer + done, run);
        done += run;
    }
    return done;
}

static ssize_t read_bounced(const struct nv_disk *disk, const struct iovec *parts, int count,
                            uint64_t offset)
{
    _Alignas(BOUNCE_ALIGN) uint8_t buffer[BOUNCE_SIZE];
    size_t wanted = 0;
    ssize_t done;

    for (int i = 0; i < count && wanted < BOUNCE_SIZE; i++)
        wanted += NV_MIN(parts[i].iov_len, BOUNCE_SIZE - wanted);
    done = pread(disk->fd, buffer, wanted, (off_t)offset);
    if (done < 0)
        return -errno;
    return (ssize_t)copy_parts(parts, count, buffer, (size_t)done, false);
}

static ssize_t write_bounced(const struct nv_disk *disk, const struct iovec *parts, int count,
                             uint64_t offset)
{
    _Alignas(BOUNCE_ALIGN) uint8_t buffer[BOUNCE_SIZE];
    size_t length = copy_parts(parts, count, buffer, BOUNCE_SIZE, true);
    ssize_t done = pwrite(disk->fd, buffer, length, (off_t)offset);

    return done < 0 ? -errno : done;
}

/* The first parts that are one piece together, or if the first is more than that, a piece of it. */
struct piece {
    struct iovec part;
    const struct iovec *parts; /* NULL: it is part */
    int count;
};

static struct piece first_piece(const struct iovec *parts, int count)
{
    struct piece piece = { .part = *parts, .parts = parts };
    size_t length = 0;

    while (piece.count < NV_MIN(count, IOV_MAX) &&
           parts[piece.count].iov_len <= NV_DISK_PIECE - length)
        length += parts[piece.count++].iov_len;
    if (piece.count == 0) {
        piece.part.iov_len = NV_DISK_PIECE;
        piece.parts = NULL;
        piece.count = 1;
    }
    return piece;
}

static const struct iovec *parts_of(const struct piece *piece)
{
    return piece->parts ? piece->parts : &piece->part;
}

ssize_t nv_disk_read(const struct nv_disk *disk, const struct iovec *parts, int count,
                     uint64_t offset)
{
    const struct piece piece = first_piece(parts, count);
    ssize_t done;

    if (!nv_disk_is_aligned(disk, parts, count, offset))
        return read_bounced(disk, parts, count, offset);
    done = preadv(disk->fd, parts_of(&piece), piece.count, (off_t)offset);
    if (done < 0 && errno == EINVAL && disk->is_direct) /* stricter than it said */
        return read_bounced(disk, parts, count, offset);
    return done < 0 ? -errno : done;
}

ssize_t nv_disk_write(const struct nv_disk *disk, const struct iovec *parts, int count,
                      uint64_t offset)
{
    const struct piece piece = first_piece(parts, count);
    ssize_t done;

    if (!nv_disk_is_aligned(disk, parts, count, offset))
        return write_bounced(disk, parts, count, offset);
    done = pwritev(disk->fd, parts_of(&piece), piece.count, (off_t)offset);
    if (done < 0 && errno == EINVAL && disk->is_direct)
        return write_bounced(disk, parts, count, offset);
    return done < 0 ? -errno : done;
}

bool nv_disk_holds(const struct nv_disk *disk, uint64_t offset, uint64_t length)
{
    struct stat info;

    if (disk->is_block) /* says so itself */
        return true;
    return fstat(disk->fd, &info) == 0 && nv_range_fits(offset, length, (uint64_t)info.st_size);
}

int nv_disk_flush(const struct nv_disk *disk)
{
    int r;

    do {
        r = fdatasync(disk->fd) < 0 ? -errno : 0;
    } while (r == -EINTR);
    return r;
}

static int allocate(const struct nv_disk *disk, int mode, uint64_t offset, uint64_t length)
{
    int r;

    do {
        r = fallocate(disk->fd, mode | FALLOC_FL_KEEP_SIZE, (off_t)offset, (off_t)length);
        r = r < 0 ? -errno : 0;
    } while (r == -EINTR);
    return r;
}

int nv_disk_discard(const struct nv_disk *disk, uint64_t offset, uint64_t length)
{
    return allocate(disk, FALLOC_FL_PUNCH_HOLE, offset, length);
}

/* For what has no other way to zeroes. */
static int write_zeroes(const struct nv_disk *disk, uint64_t offset, uint64_t length)
{
    static const _Alignas(BOUNCE_ALIGN) uint8_t zeroes[BOUNCE_SIZE];

    if (!nv_disk_holds(disk, offset, length))
        return -EIO;
    while (length > 0) {
        ssize_t done = pwrite(disk->fd, zeroes, NV_MIN(length, sizeof(zeroes)), (off_t)offset);

        if (done < 0 && errno != EINTR)
            return -errno;
        if (done == 0)
            return -EIO;
        if (done > 0) {
            offset += (uint64_t)done;
            length -= (uint64_t)done;
        }
    }
    return 0;
}

int nv_disk_zero(const struct nv_disk *disk, uint64_t offset, uint64_t length, bool may_discard)
{
    int r = -EOPNOTSUPP;

    if (may_discard)
        r = allocate(disk, FALLOC_FL_PUNCH_HOLE, offset, length);
    if (r == -EOPNOTSUPP)
        r = allocate(disk, FALLOC_FL_ZERO_RANGE, offset, length);
    return r == -EOPNOTSUPP ? write_zeroes(disk, offset, length) : r;
}
