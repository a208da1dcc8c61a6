/* SPDX-License-Identifier: Apache-2.0 */
/* Owns a ring of io_uring: transfers that no thread of ours waits for. */
#ifndef NV_HOST_URING_H
#define NV_HOST_URING_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include <nestvirt/error.h>

/* One user at a time: the owner's lock is held in all calls. */
struct nv_uring;

/*
 * Makes a ring with room for so many transfers under way; the library is loaded here. -ENOTSUP: it
 * is missing, or this build is without it; else what the host's kernel answers.
 */
int nv_uring_open(struct nv_uring **ret_uring, uint32_t room, struct nestvirt_error **ret_error);

/* Nothing may be under way. NULL is allowed. */
void nv_uring_close(struct nv_uring *uring);

/* Polls readable when transfers have ended; an eventfd, to be read by the owner. */
int nv_uring_fd(const struct nv_uring *uring);

/*
 * Prepares a transfer; the parts must stay until it has ended. False: there is no room. Only from
 * threads that live until then: the kernel cancels what an ending thread has submitted.
 */
bool nv_uring_add(struct nv_uring *uring, bool is_write, int fd, const struct iovec *parts,
                  int count, uint64_t offset, void *tag);

/*
 * Hands what was prepared to the kernel; without need nothing is done. What the kernel does not
 * take ends with -EAGAIN, and until that was seen there is no room.
 */
void nv_uring_submit(struct nv_uring *uring);

/* The next that has ended: its tag and bytes or -errno. NULL: no more. */
void *nv_uring_next(struct nv_uring *uring, int *ret_result);

/* Transfers that were added and not yet seen by nv_uring_next(). */
uint32_t nv_uring_under_way(const struct nv_uring *uring);

#endif
