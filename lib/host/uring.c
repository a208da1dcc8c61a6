/* SPDX-License-Identifier: Apache-2.0 */
/* Owns a ring of io_uring, by liburing, which is loaded when the first ring is made. */
#include "host/uring.h"

#include <dlfcn.h>
#include <errno.h>
#include <liburing.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "core/error.h"
#include "core/util.h"
#include "host/file.h"

enum { SUBMIT_MAX = 128 }; /* prepared at once; more are submitted in several goes */

/* The functions of liburing that are not in its header. */
enum { INIT, EXIT, REGISTER_EVENTFD, SUBMIT, SYMBOLS };
static const char *const names[SYMBOLS] = { [INIT] = "io_uring_queue_init_params",
                                            [EXIT] = "io_uring_queue_exit",
                                            [REGISTER_EVENTFD] = "io_uring_register_eventfd",
                                            [SUBMIT] = "io_uring_submit" };

struct nv_uring {
    void *library;
    void *symbols[SYMBOLS];
    struct io_uring ring;
    bool has_ring;
    int fd;
    uint32_t room;
    uint32_t prepared;
    uint32_t under_way;
    void *refused[SUBMIT_MAX]; /* tags of what the kernel did not take */
    uint32_t refused_count;
};

static int load(struct nv_uring *uring, struct nestvirt_error **ret_error)
{
    uring->library = dlopen("liburing.so.2", RTLD_NOW | RTLD_LOCAL);
    if (!uring->library)
        return nv_fail(ret_error, -ENOTSUP, "io_uring", "install liburing2, or use engine threads",
                       "liburing.so.2 cannot be loaded");
    for (int i = 0; i < SYMBOLS; i++) {
        uring->symbols[i] = dlsym(uring->library, names[i]);
        if (!uring->symbols[i])
            return nv_fail(ret_error, -ENOTSUP, "io_uring", "use engine threads",
                           "liburing.so.2 has no %s", names[i]);
    }
    return 0;
}

static int set_up(struct nv_uring *uring, struct nestvirt_error **ret_error)
{
    __typeof__(&io_uring_queue_init_params) init = uring->symbols[INIT];
    __typeof__(&io_uring_register_eventfd) register_eventfd = uring->symbols[REGISTER_EVENTFD];
    struct io_uring_params params = { .flags = IORING_SETUP_CLAMP | IORING_SETUP_CQSIZE,
                                      .cq_entries = 2 * NV_MAX(uring->room, (uint32_t)SUBMIT_MAX) };
    int r = init(SUBMIT_MAX, &uring->ring, &params);

    if (r < 0)
        return nv_fail_sys(ret_error, -r, "io_uring", "io_uring_setup",
                           nv_fd_hint(-r, "see kernel.io_uring_disabled, or use engine threads"));
    uring->has_ring = true;
    uring->room = NV_MIN(uring->room, params.cq_entries);
    uring->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (uring->fd < 0)
        return nv_fail_sys(ret_error, errno, "io_uring", "eventfd", nv_fd_hint(errno, "try again"));
    r = register_eventfd(&uring->ring, uring->fd);
    if (r < 0)
        return nv_fail_sys(ret_error, -r, "io_uring", "io_uring_register", "use engine threads");
    return 0;
}

int nv_uring_open(struct nv_uring **ret_uring, uint32_t room, struct nestvirt_error **ret_error)
{
    struct nv_uring *uring = calloc(1, sizeof(*uring));
    int r;

    if (!uring)
        return nv_fail_sys(ret_error, ENOMEM, "io_uring", "calloc", "free memory in this process");
    uring->fd = -1;
    uring->room = room;
    r = load(uring, ret_error);
    if (r >= 0)
        r = set_up(uring, ret_error);
    if (r < 0) {
        nv_uring_close(uring);
        return r;
    }
    *ret_uring = uring;
    return 0;
}

void nv_uring_close(struct nv_uring *uring)
{
    if (!uring)
        return;
    if (uring->has_ring) {
        __typeof__(&io_uring_queue_exit) leave = uring->symbols[EXIT];

        leave(&uring->ring);
    }
    if (uring->fd >= 0)
        close(uring->fd);
    if (uring->library)
        dlclose(uring->library);
    free(uring);
}

int nv_uring_fd(const struct nv_uring *uring)
{
    return uring->fd;
}

uint32_t nv_uring_under_way(const struct nv_uring *uring)
{
    return uring->under_way;
}

bool nv_uring_add(struct nv_uring *uring, bool is_write, int fd, const struct iovec *parts,
                  int count, uint64_t offset, void *tag)
{
    struct io_uring_sqe *entry;

    if (uring->under_way >= uring->room || uring->refused_count > 0)
        return false;
    entry = io_uring_get_sqe(&uring->ring);
    if (!entry) {
        nv_uring_submit(uring);
        entry = uring->refused_count > 0 ? NULL : io_uring_get_sqe(&uring->ring);
    }
    if (!entry)
        return false;
    if (is_write)
        io_uring_prep_writev(entry, fd, parts, (unsigned)count, offset);
    else
        io_uring_prep_readv(entry, fd, parts, (unsigned)count, offset);
    io_uring_sqe_set_data(entry, tag);
    uring->prepared++;
    uring->under_way++;
    return true;
}

/*
 * Empties the submission queue of what the kernel did not take. It looks at the queue only inside
 * of a submission, and nobody else makes one.
 */
static void take_back(struct nv_uring *uring)
{
    struct io_uring_sq *queue = &uring->ring.sq;
    unsigned first = io_uring_smp_load_acquire(queue->khead);

    for (unsigned at = first; at != queue->sqe_tail && uring->refused_count < SUBMIT_MAX; at++) {
        const struct io_uring_sqe *entry = &queue->sqes[at & queue->ring_mask];

        uring->refused[uring->refused_count++] = (void *)(uintptr_t)entry->user_data;
    }
    queue->sqe_head = queue->sqe_tail = first;
    io_uring_smp_store_release(queue->ktail, first);
}

/*
 * Whether the kernel refuses for want of memory or for good, as by a filter of system calls, is all
 * the same: to ask again and again would keep the loop from its other work.
 */
void nv_uring_submit(struct nv_uring *uring)
{
    __typeof__(&io_uring_submit) submit = uring->symbols[SUBMIT];

    if (uring->prepared == 0)
        return;
    submit(&uring->ring);
    uring->prepared = 0;
    take_back(uring);
    if (uring->refused_count > 0)
        eventfd_write(uring->fd, 1);
}

void *nv_uring_next(struct nv_uring *uring, int *ret_result)
{
    struct io_uring_cqe *entry;
    unsigned head;

    if (uring->refused_count > 0) {
        *ret_result = -EAGAIN;
        uring->under_way--;
        return uring->refused[--uring->refused_count];
    }
    io_uring_for_each_cqe(&uring->ring, head, entry)
    {
        void *tag = io_uring_cqe_get_data(entry);

        *ret_result = entry->res;
        io_uring_cq_advance(&uring->ring, 1);
        uring->under_way--;
        return tag;
    }
    return NULL;
}
