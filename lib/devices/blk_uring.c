/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the disk device's use of io_uring: whole transfers; what goes another way, threads do. */
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <sys/eventfd.h>

#include "core/error.h"
#include "core/util.h"
#include "devices/blk.h"

static void on_ended(void *user_data, uint32_t events)
{
    struct blk_state *s = user_data;
    eventfd_t value;

    eventfd_read(nv_uring_fd(s->uring), &value);
    nv_blk_on_ended(s);
}

int nv_blk_open_uring(struct blk_state *s, struct nestvirt_error **ret_error)
{
    int r = nv_uring_open(&s->uring, BLK_HELD_MAX, ret_error);

    if (r < 0)
        return r;
    s->ended = (struct nv_source){ .fd = nv_uring_fd(s->uring), .fn = on_ended, .user_data = s };
    r = nv_loop_add(s->virtio.loop, &s->ended, EPOLLIN);
    if (r < 0) {
        nv_uring_close(s->uring);
        s->uring = NULL;
        return nv_fail_sys(ret_error, -r, "io_uring", "epoll_ctl",
                           "raise fs.epoll.max_user_watches");
    }
    return 0;
}

/* The kernel finishes what it has under way; the loop's thread, which submitted it, still lives. */
void nv_blk_close_uring(struct blk_state *s)
{
    struct pollfd poller;
    eventfd_t value;
    int result;

    if (!s->uring)
        return;
    nv_loop_remove(s->virtio.loop, &s->ended);
    poller = (struct pollfd){ .fd = nv_uring_fd(s->uring), .events = POLLIN };
    for (;;) {
        while (nv_uring_next(s->uring, &result))
            ;
        if (nv_uring_under_way(s->uring) == 0)
            break;
        poll(&poller, 1, 100);
        eventfd_read(poller.fd, &value);
    }
    nv_uring_close(s->uring);
    s->uring = NULL;
}

/* Only what one call of the kernel does: the others need checks and waits in between. */
bool nv_blk_start_uring(struct blk_state *s, struct blk_request *request)
{
    bool is_write = request->type == BLK_T_OUT;
    const struct iovec *parts;
    int count;

    if (!s->uring || request->length > NV_DISK_PIECE ||
        atomic_load_explicit(&s->disk.has_no_cached, memory_order_relaxed) ||
        (is_write ? request->is_through : request->type != BLK_T_IN))
        return false;
    parts = is_write ? nv_chain_readable(&request->chain, &count)
                     : nv_chain_writable(&request->chain, &count);
    if (count > IOV_MAX || !nv_disk_is_aligned(&s->disk, parts, count, request->offset) ||
        (is_write && !nv_disk_holds(&s->disk, request->offset, request->length)))
        return false;
    return nv_uring_add(s->uring, is_write, s->disk.fd, parts, count, request->offset, request);
}
