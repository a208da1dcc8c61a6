/* SPDX-License-Identifier: Apache-2.0 */
/* Owns copies of files that share their blocks with the original until one of them is written. */
#include "host/reflink.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/error.h"
#include "core/util.h"
#include "host/thread.h"

enum { PIECE = 1 << 20 }; /* bytes of a copy at a time */

static const char object[] = "reflink";

/* The descriptor of a regular file that is open for `access` (O_RDONLY or O_WRONLY); its size. */
static int check_file(int fd, const char *what, int access, uint64_t *ret_size,
                      struct nestvirt_error **ret_error)
{
    struct stat status;
    const int flags = fcntl(fd, F_GETFL);

    if (flags < 0 || fstat(fd, &status) < 0)
        return nv_fail(ret_error, -EBADF, object, "give an open file", "%s is no descriptor", what);
    if (!S_ISREG(status.st_mode))
        return nv_fail(ret_error, -EINVAL, object,
                       "give regular files; copy or snapshot a block device by its own means",
                       "%s is no regular file", what);
    if ((flags & O_ACCMODE) != O_RDWR && (flags & O_ACCMODE) != access)
        return nv_fail(ret_error, -EBADF, object,
                       access == O_RDONLY ? "open it for reading" : "open it for writing",
                       "%s is open for the other direction only", what);
    *ret_size = (uint64_t)status.st_size;
    return 0;
}

/* Bytes from one offset to another, by way of a buffer. */
static int copy_range(int from, int to, off_t at, off_t end, void *buffer)
{
    while (at < end) {
        const size_t want = (size_t)NV_MIN(end - at, (off_t)PIECE);
        ssize_t got = pread(from, buffer, want, at);
        ssize_t done = 0;

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -errno;
        if (got == 0) /* it got shorter meanwhile */
            return -EIO;
        while (done < got) {
            ssize_t more =
                pwrite(to, (char *)buffer + done, (size_t)(got - done), at + (off_t)done);

            if (more < 0 && errno != EINTR)
                return -errno;
            done += more < 0 ? 0 : more;
        }
        at += got;
    }
    return 0;
}

/* All data, with holes where the original has them. 0 or -errno. */
static int copy(int from, int to, off_t size)
{
    void *buffer = malloc(PIECE);
    off_t at = 0;
    int r = buffer ? 0 : -ENOMEM;

    while (r == 0 && at < size) {
        off_t data = lseek(from, at, SEEK_DATA);
        off_t hole = data < 0 ? -1 : lseek(from, data, SEEK_HOLE);

        if (data < 0 && errno == ENXIO) /* a hole up to the end */
            break;
        if (hole < 0)
            r = -errno;
        else
            r = copy_range(from, to, data, NV_MIN(hole, size), buffer);
        at = hole;
    }
    free(buffer);
    if (r == 0 && ftruncate(to, size) < 0)
        r = -errno;
    return r;
}

/* What kernels and file systems say that cannot do it at all, for these two files. */
static bool is_refused(int r)
{
    return r == -EOPNOTSUPP || r == -ENOTTY || r == -ENOSYS || r == -EXDEV || r == -EINVAL;
}

static int fail_refused(int r, struct nestvirt_error **ret_error)
{
    if (r == -EXDEV)
        return nv_fail(ret_error, -EXDEV, object,
                       "make the new file on the original's file system, or let it be copied",
                       "the two files are on different file systems");
    return nv_fail(ret_error, -EOPNOTSUPP, object,
                   "use XFS or Btrfs, or let the file be copied, or give the clone an overlay",
                   "this file system cannot share blocks between files");
}

/*
 * 0 if blocks are shared, 1 if they were copied, or -errno. ret_is_final: that is the file systems'
 * answer, and a copy was not asked for.
 */
static int share_or_copy(int from, int to, bool or_copy, off_t size, bool *ret_is_final)
{
    int r;

    do
        r = ioctl(to, FICLONE, from) < 0 ? -errno : 0;
    while (r == -EINTR);
    *ret_is_final = is_refused(r) && !or_copy;
    if (r == 0 || *ret_is_final)
        return r;
    if (is_refused(r))
        r = copy(from, to, size);
    if (r == 0)
        return 1;
    return ftruncate(to, 0) < 0 ? -errno : r; /* then it is the caller's to throw away */
}

int nv_reflink(int from, int to, bool or_copy, struct nestvirt_error **ret_error)
{
    uint64_t size = 0;
    uint64_t size_to = 0;
    struct nv_signal_shield shield;
    bool is_final;
    int r = check_file(from, "the original", O_RDONLY, &size, ret_error);

    if (r == 0)
        r = check_file(to, "the new file", O_WRONLY, &size_to, ret_error);
    if (r < 0)
        return r;
    if (size_to > 0)
        return nv_fail(ret_error, -EINVAL, object, "make it with O_TMPFILE or O_TRUNC",
                       "the new file is not empty");
    nv_signals_shield(&shield); /* RLIMIT_FSIZE would send SIGXFSZ */
    r = share_or_copy(from, to, or_copy, (off_t)size, &is_final);
    nv_signals_unshield(&shield);
    if (r >= 0)
        return r;
    if (is_final)
        return fail_refused(r, ret_error);
    return nv_fail_sys(ret_error, -r, object, "copying the file",
                       "look at the file system's room and health");
}
