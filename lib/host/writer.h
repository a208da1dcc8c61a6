/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the thread that writes to a file for those who must not wait for the file's disk. */
#ifndef NV_HOST_WRITER_H
#define NV_HOST_WRITER_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "host/errand.h"

struct nv_writer;

/* Takes over the descriptor of a file on success. -errno; then nothing is left to undo. */
int nv_writer_start(int fd, struct nv_writer **ret_writer);

/* Sends the thread on an errand, before there are bytes. */
void nv_writer_send(struct nv_writer *writer, nv_errand_fn *fn, void *user_data,
                    struct nv_errand_result *result);

/* Polls writable when there is room again after -EAGAIN; not to be used otherwise. */
int nv_writer_fd(const struct nv_writer *writer);

pthread_t nv_writer_thread(const struct nv_writer *writer);

/* Keeps bytes for the thread, as many as there is room for; -EAGAIN: none. */
ssize_t nv_writer_write(struct nv_writer *writer, const void *bytes, size_t length);

/* Waits until all is with the file (true), or until a time (CLOCK_MONOTONIC) has come. */
bool nv_writer_drain(struct nv_writer *writer, uint64_t deadline_ns);

/* Bytes that the file did not take, since this was asked last. */
uint64_t nv_writer_take_lost(struct nv_writer *writer);

/* Waits for all that is kept, and closes the file. Returns what nv_writer_take_lost() would. */
uint64_t nv_writer_stop(struct nv_writer *writer);

#endif
