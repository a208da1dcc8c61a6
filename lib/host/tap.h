/* SPDX-License-Identifier: Apache-2.0 */
/* Owns tap interfaces: opening their queues, what they may offload, packets in and out. */
#ifndef NV_HOST_TAP_H
#define NV_HOST_TAP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include <nestvirt/error.h>

enum { NV_TAP_NAME_MAX = 15 }; /* bytes of an interface's name */

/* What packets read from a tap may leave to the reader. */
enum {
    NV_TAP_CSUM = 1 << 0, /* checksums; without it nothing else */
    NV_TAP_TSO4 = 1 << 1,
    NV_TAP_TSO6 = 1 << 2,
    NV_TAP_TSO_ECN = 1 << 3
};

/* A queue of a tap. Its packets begin with a struct virtio_net_hdr_v1, little-endian. */
struct nv_tap {
    int fd;       /* -1: none */
    bool is_lent; /* the open file is the caller's, and may block */
};

/*
 * Opens a queue of the interface, which is made if the process may do that. is_one_of_many: it
 * has several queues. Errors: -EPERM, -EBUSY, -EINVAL, -ENOENT, -EACCES, -EMFILE, ...
 */
int nv_tap_open(const char *name, bool is_one_of_many, struct nv_tap *ret_tap,
                struct nestvirt_error **ret_error);

/* A duplicate of a caller's descriptor. -EINVAL if that is no tap, or one without vnet headers. */
int nv_tap_dup(int fd, struct nv_tap *ret_tap, struct nestvirt_error **ret_error);

void nv_tap_close(struct nv_tap *tap);

/* Sets NV_TAP_*, of the whole interface. -errno. */
int nv_tap_set_offload(const struct nv_tap *tap, uint32_t offload);

/* Whether the interface sends packets to this queue, one of many. May take milliseconds. -errno. */
int nv_tap_set_attached(const struct nv_tap *tap, bool is_attached);

/* True if a packet would be taken: the interface exists, is up, and its queue has room. */
bool nv_tap_is_writable(const struct nv_tap *tap);

/*
 * One packet; never wait. Bytes moved, -EAGAIN, -EIO (the interface is down), -EBADFD (it is gone
 * for ever) or another -errno. What of a packet does not fit into the parts is lost.
 */
ssize_t nv_tap_read(const struct nv_tap *tap, const struct iovec *parts, int count);
ssize_t nv_tap_write(const struct nv_tap *tap, const struct iovec *parts, int count);

#endif
