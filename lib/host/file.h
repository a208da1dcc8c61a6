/* SPDX-License-Identifier: Apache-2.0 */
/* Owns careful reads and writes on descriptors that a caller shares with us. */
#ifndef NV_HOST_FILE_H
#define NV_HOST_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* How a descriptor can be used without ever blocking and without changing its status flags. */
enum nv_stream_kind {
    NV_STREAM_FILE,   /* regular file: reads and writes return at once */
    NV_STREAM_SOCKET, /* MSG_DONTWAIT */
    NV_STREAM_OWN,    /* opened anew for us with O_NONBLOCK (pipes, terminals) */
    NV_STREAM_POLLED  /* poll first, then a little at a time */
};

struct nv_stream {
    int fd; /* ours; -1: none */
    enum nv_stream_kind kind;
};

/* Takes over fd, a duplicate of the caller's. for_write chooses the direction. */
void nv_stream_init(struct nv_stream *stream, int fd, bool for_write);
void nv_stream_close(struct nv_stream *stream);

/*
 * Never block and never raise SIGPIPE on a socket; on pipes the calling thread must have SIGPIPE
 * blocked. Return bytes moved, 0 at end of file (read), -EAGAIN, or another -errno.
 */
ssize_t nv_stream_write(const struct nv_stream *stream, const void *bytes, size_t length);
ssize_t nv_stream_read(const struct nv_stream *stream, void *bytes, size_t length);

/* The remedy when a descriptor cannot be had: for the limits on open files, else otherwise. */
const char *nv_fd_hint(int sys_errno, const char *otherwise);

/* Duplicates a caller's descriptor with CLOEXEC, above the standard three. -errno. */
int nv_fd_dup(int fd);

#endif
