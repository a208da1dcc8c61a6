/* SPDX-License-Identifier: Apache-2.0 */
/* Owns careful reads and writes on descriptors that a caller shares with us. */
#include "host/file.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/util.h"

/*
 * True if opening the descriptor anew gives the same thing: not for the master side of a
 * pseudo-terminal, where it makes another terminal.
 */
static bool can_reopen(int fd, const struct stat *info)
{
    char name[32];

    if (S_ISFIFO(info->st_mode))
        return true;
    return S_ISCHR(info->st_mode) && ptsname_r(fd, name, sizeof(name)) != 0;
}

/* A pipe that polls writable takes this much at once (POSIX PIPE_BUF); a terminal one byte. */
enum { PIPE_CHUNK = 4096 };

const char *nv_fd_hint(int sys_errno, const char *otherwise)
{
    if (sys_errno == EMFILE)
        return "raise the limit on open files (ulimit -n)";
    return sys_errno == ENFILE ? "raise fs.file-max" : otherwise;
}

int nv_fd_dup(int fd)
{
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);

    return copy < 0 ? -errno : copy;
}

/* A disk may take seconds for what looks like nothing, and there is no asking it before. */
static int init_writer(struct nv_stream *stream, int fd)
{
    int r = nv_writer_start(fd, &stream->writer);

    if (r < 0) {
        close(fd);
        stream->fd = -1;
        return r;
    }
    stream->fd = nv_writer_fd(stream->writer);
    stream->kind = NV_STREAM_WRITER;
    return 0;
}

int nv_stream_init(struct nv_stream *stream, int fd, bool for_write)
{
    int access_mode = fcntl(fd, F_GETFL) & O_ACCMODE;
    struct stat info;
    char path[64];
    int own;

    *stream = (struct nv_stream){ .fd = fd, .kind = NV_STREAM_POLLED };
    if (access_mode == (for_write ? O_RDONLY : O_WRONLY) || fstat(fd, &info) < 0) {
        stream->kind = NV_STREAM_FILE; /* every use says EBADF at once */
        return 0;
    }
    if (for_write && (S_ISREG(info.st_mode) || S_ISBLK(info.st_mode)))
        return init_writer(stream, fd);
    if (S_ISSOCK(info.st_mode)) {
        stream->kind = NV_STREAM_SOCKET;
    } else if (S_ISREG(info.st_mode)) {
        stream->kind = NV_STREAM_FILE;
    } else if (can_reopen(fd, &info)) {
        /* A description of our own may be non-blocking without the caller's becoming so. */
        snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
        own = open(path, (for_write ? O_WRONLY : O_RDONLY) | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
        if (own >= 0) {
            close(fd);
            *stream = (struct nv_stream){ .fd = own, .kind = NV_STREAM_OWN };
        }
    }
    return 0;
}

uint64_t nv_stream_close(struct nv_stream *stream)
{
    uint64_t lost = 0;

    if (stream->writer)
        lost = nv_writer_stop(stream->writer);
    else if (stream->fd >= 0)
        close(stream->fd);
    *stream = (struct nv_stream){ .fd = -1 };
    return lost;
}

bool nv_stream_get_thread(const struct nv_stream *stream, pthread_t *ret_thread)
{
    if (!stream->writer)
        return false;
    *ret_thread = nv_writer_thread(stream->writer);
    return true;
}

void nv_stream_send(const struct nv_stream *stream, nv_errand_fn *fn, void *user_data,
                    struct nv_errand_result *result)
{
    if (stream->writer)
        nv_writer_send(stream->writer, fn, user_data, result);
}

bool nv_stream_drain(const struct nv_stream *stream, uint64_t deadline_ns)
{
    return stream->writer && nv_writer_drain(stream->writer, deadline_ns);
}

uint64_t nv_stream_take_lost(const struct nv_stream *stream)
{
    return stream->writer ? nv_writer_take_lost(stream->writer) : 0;
}

/* True if a descriptor that may block can move something now; then *length is cut to that. */
static bool poll_ready(const struct nv_stream *stream, short events, size_t *length)
{
    struct pollfd poller = { .fd = stream->fd, .events = events };
    struct stat info;

    if (poll(&poller, 1, 0) <= 0)
        return false;
    if (events == POLLOUT) {
        bool is_pipe = fstat(stream->fd, &info) == 0 && S_ISFIFO(info.st_mode);

        *length = NV_MIN(*length, is_pipe ? (size_t)PIPE_CHUNK : (size_t)1);
    }
    return true;
}

ssize_t nv_stream_write(const struct nv_stream *stream, const void *bytes, size_t length)
{
    ssize_t done;

    if (stream->writer)
        return nv_writer_write(stream->writer, bytes, length);
    do {
        if (stream->kind == NV_STREAM_SOCKET) {
            done = send(stream->fd, bytes, length, MSG_DONTWAIT | MSG_NOSIGNAL);
        } else {
            if (stream->kind == NV_STREAM_POLLED && !poll_ready(stream, POLLOUT, &length))
                return -EAGAIN;
            done = write(stream->fd, bytes, length);
        }
    } while (done < 0 && errno == EINTR);
    return done < 0 ? -errno : done;
}

ssize_t nv_stream_read(const struct nv_stream *stream, void *bytes, size_t length)
{
    ssize_t done;

    do {
        if (stream->kind == NV_STREAM_SOCKET) {
            done = recv(stream->fd, bytes, length, MSG_DONTWAIT);
        } else {
            if (stream->kind == NV_STREAM_POLLED && !poll_ready(stream, POLLIN, &length))
                return -EAGAIN;
            done = read(stream->fd, bytes, length);
        }
    } while (done < 0 && errno == EINTR);
    return done < 0 ? -errno : done;
}
