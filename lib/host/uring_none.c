/* SPDX-License-Identifier: Apache-2.0 */
/* Owns what stands for io_uring in builds without liburing's header. */
#include <errno.h>

#include "core/error.h"
#include "host/uring.h"

int nv_uring_open(struct nv_uring **ret_uring, uint32_t room, struct nestvirt_error **ret_error)
{
    return nv_fail(ret_error, -ENOTSUP, "io_uring", "use engine threads",
                   "this build of the library is without it");
}

void nv_uring_close(struct nv_uring *uring)
{
}

int nv_uring_fd(const struct nv_uring *uring)
{
    return -1;
}

bool nv_uring_add(struct nv_uring *uring, bool is_write, int fd, const struct iovec *parts,
                  int count, uint64_t offset, void *tag)
{
    return false;
}

void nv_uring_submit(struct nv_uring *uring)
{
}

void *nv_uring_next(struct nv_uring *uring, int *ret_result)
{
    return NULL;
}

uint32_t nv_uring_under_way(const struct nv_uring *uring)
{
    return 0;
}
