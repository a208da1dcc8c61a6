/* SPDX-License-Identifier: Apache-2.0 */
/* Owns careful reads and writes on descriptors that a caller shares with us. */
#ifndef NV_HOST_FILE_H
#define NV_HOST_FILE_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "host/writer.h"

/* How a descriptor can be used without ever blocking and without changing its status flags. */
enum nv_stream_kind {
    NV_STREAM_FILE,   /* regular file to be read, as fast as its disk is */
    NV_STREAM_WRITER, /* regular file to be written, by a thread */
    NV_STREAM_SOCKET, /* MSG_DONTWAIT */
    NV_STREAM_OWN,    /* opened anew for us with O_NONBLOCK (pipes, terminals) */
    NV_STREAM_POLLED  /* poll first, then a little at a time */
};

/* What a VM that stops waits for its files at most; a slow disk has the rest later. */
#define NV_STREAM_STOP_NS 500000000ull

struct nv_stream {
    int fd; /* ours; -1: none */
    enum nv_stream_kind kind;
    struct nv_writer *writer; /* NULL: none */
};

/*
 * Takes over fd, a duplicate of the caller's, also on failure. for_write chooses the direction.
 * -ENOMEM, -EMFILE, -EAGAIN and the like, when a thread is needed and cannot be had.
 */
int nv_stream_init(struct nv_stream *stream, int fd, bool for_write);

/* The thread that writes to a file; false: there is none. */
bool nv_stream_get_thread(const struct nv_stream *stream, pthread_t *ret_thread);

/* Waits until a file has all that was written; returns how many bytes it did not take. */
uint64_t nv_stream_close(struct nv_stream *stream);

/* Sends the thread of a file on an errand, before anything is written; nothing without one. */
void nv_stream_send(const struct nv_stream *stream, nv_errand_fn *fn, void *user_data,
                    struct nv_errand_result *result);

/*
 * Waits, but not beyond a time (CLOCK_MONOTONIC), until a file has all that was written: true if it
 * has. Other streams have it at once, or nothing can be done: false.
 */
bool nv_stream_drain(const struct nv_stream *stream, uint64_t deadline_ns);

/* Bytes that a file did not take, of those written before; each is told once. */
uint64_t nv_stream_take_lost(const struct nv_stream *stream);

/*
 * Never block and never raise SIGPIPE on a socket; on pipes the calling thread must have SIGPIPE
 * blocked. Return bytes moved, 0 at end of file (read), -EAGAIN (the stream's fd polls ready when
 * that is over), or another -errno.
 */
ssize_t nv_stream_write(const struct nv_stream *stream, const void *bytes, size_t length);
ssize_t nv_stream_read(const struct nv_stream *stream, void *bytes, size_t length);

/* The remedy when a descriptor cannot be had: for the limits on open files, else otherwise. */
const char *nv_fd_hint(int sys_errno, const char *otherwise);

/* Duplicates a caller's descriptor with CLOEXEC, above the standard three. -errno. */
int nv_fd_dup(int fd);

#endif
