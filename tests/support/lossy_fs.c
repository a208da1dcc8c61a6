/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns a FUSE file system of one file that loses, on order, what was written but not synced. It
 * speaks the kernel's protocol itself, so that its server is one small loop without threads.
 */
#include "lossy_fs.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "mounts.h"
#include "support.h"

enum { MAX_WRITE = 1 << 17, ROOM = MAX_WRITE + 4096 };
enum { ORDER_COUNT, ORDER_LOSE, ORDER_FAIL_WRITES, ORDER_FAIL_SYNCS, ORDER_DELAY };

struct order {
    uint32_t kind;
    uint32_t value;
};

/* The server's; its process has a copy of its own. */
static struct {
    int fuse;
    int control;
    uint32_t size;
    int write_error;
    int sync_error;
    uint32_t delay_us;
    struct lossy_counts counts;
    uint8_t current[LOSSY_SIZE_MAX];
    uint8_t durable[LOSSY_SIZE_MAX];
    _Alignas(8) uint8_t room[ROOM];
} server;

/* A reply; to a request whose sender was killed meanwhile it fails, which is as well. */
static void reply(uint64_t unique, int error, const void *data, size_t length)
{
    struct fuse_out_header header = { .len = (uint32_t)(sizeof(header) + length),
                                      .error = error,
                                      .unique = unique };
    const struct iovec parts[2] = { { &header, sizeof(header) }, { (void *)data, length } };

    if (writev(server.fuse, parts, 2) < 0 && errno == ENODEV)
        _exit(0);
}

static void reply_init(uint64_t unique, const struct fuse_init_in *in)
{
    const struct fuse_init_out out = {
        .major = FUSE_KERNEL_VERSION,
        .minor = FUSE_KERNEL_MINOR_VERSION,
        .max_readahead = in->max_readahead,
        .flags = FUSE_BIG_WRITES | FUSE_ASYNC_DIO,
        .max_background = 16,
        .congestion_threshold = 12,
        .max_write = MAX_WRITE,
        .time_gran = 1,
    };

    reply(unique, 0, &out, sizeof(out));
}

static void reply_attributes(uint64_t unique)
{
    const struct fuse_attr_out out = {
        .attr = { .ino = FUSE_ROOT_ID,
                  .size = server.size,
                  .blocks = server.size / LOSSY_SECTOR,
                  .mode = S_IFREG | 0600,
                  .nlink = 1,
                  .blksize = 4096 },
    };

    reply(unique, 0, &out, sizeof(out));
}

static void lose(void)
{
    server.counts.lost = 0;
    for (uint32_t i = 0; i < server.size; i += LOSSY_SECTOR)
        server.counts.lost += memcmp(server.current + i, server.durable + i, LOSSY_SECTOR) != 0;
    memcpy(server.current, server.durable, server.size);
}

/* One order of the test. False: it is gone. */
static bool obey(void)
{
    struct order order;

    if (read(server.control, &order, sizeof(order)) != sizeof(order))
        return false;
    if (order.kind == ORDER_LOSE)
        lose();
    else if (order.kind == ORDER_FAIL_WRITES)
        server.write_error = (int)order.value;
    else if (order.kind == ORDER_FAIL_SYNCS)
        server.sync_error = (int)order.value;
    else if (order.kind == ORDER_DELAY)
        server.delay_us = order.value;
    return write(server.control, &server.counts, sizeof(server.counts)) == sizeof(server.counts);
}

/* Before a transfer. Orders are heard meanwhile, and one that ends the delay does so at once. */
static void delay(void)
{
    struct pollfd poller = { .fd = server.control, .events = POLLIN };
    struct timespec now;
    uint64_t begin_us;
    uint64_t passed_us = 0;

    clock_gettime(CLOCK_MONOTONIC, &now);
    begin_us = (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
    while (passed_us < server.delay_us) {
        uint64_t left_us = server.delay_us - passed_us;
        const struct timespec left = { .tv_sec = (time_t)(left_us / 1000000),
                                       .tv_nsec = (long)(left_us % 1000000) * 1000 };

        if (ppoll(&poller, 1, &left, NULL) > 0 && !obey())
            _exit(0);
        clock_gettime(CLOCK_MONOTONIC, &now);
        passed_us = (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000 - begin_us;
    }
}

static void reply_read(uint64_t unique, const struct fuse_read_in *in)
{
    uint64_t length = in->size;

    delay();
    if (in->offset >= server.size)
        length = 0;
    else if (length > server.size - in->offset)
        length = server.size - in->offset;
    reply(unique, 0, server.current + in->offset, length);
}

static void reply_write(uint64_t unique, const struct fuse_write_in *in)
{
    struct fuse_write_out out = { .size = in->size };

    delay();
    if (server.write_error || in->offset > server.size || in->size > server.size - in->offset) {
        server.counts.failed++;
        reply(unique, server.write_error ? -server.write_error : -EFBIG, NULL, 0);
        return;
    }
    memcpy(server.current + in->offset, in + 1, in->size);
    server.counts.writes++;
    reply(unique, 0, &out, sizeof(out));
}

static void reply_sync(uint64_t unique)
{
    delay();
    if (server.sync_error) {
        server.counts.failed++;
    } else {
        memcpy(server.durable, server.current, server.size);
        server.counts.syncs++;
    }
    reply(unique, -server.sync_error, NULL, 0);
}

/* One request of the kernel. False: the file system is no more. */
static bool serve(void)
{
    const struct fuse_in_header *in = (const struct fuse_in_header *)server.room;
    const struct fuse_open_out opened = { .open_flags = FOPEN_DIRECT_IO };
    ssize_t length = read(server.fuse, server.room, sizeof(server.room));

    if (length < (ssize_t)sizeof(*in))
        return length < 0 && errno != ENODEV; /* EAGAIN, ENOENT: the request was taken back */
    switch (in->opcode) {
    case FUSE_INIT:
        reply_init(in->unique, (const struct fuse_init_in *)(in + 1));
        break;
    case FUSE_GETATTR:
        reply_attributes(in->unique);
        break;
    case FUSE_OPEN:
        reply(in->unique, 0, &opened, sizeof(opened));
        break;
    case FUSE_READ:
        reply_read(in->unique, (const struct fuse_read_in *)(in + 1));
        break;
    case FUSE_WRITE:
        reply_write(in->unique, (const struct fuse_write_in *)(in + 1));
        break;
    case FUSE_FSYNC:
        reply_sync(in->unique);
        break;
    case FUSE_FLUSH: /* a close: no sync */
    case FUSE_RELEASE:
        reply(in->unique, 0, NULL, 0);
        break;
    case FUSE_FORGET:
    case FUSE_BATCH_FORGET:
    case FUSE_INTERRUPT:
        break;
    default:
        reply(in->unique, -ENOSYS, NULL, 0);
    }
    return true;
}

/* Descriptors of the test are not to be held open here. */
static void close_others(void)
{
    unsigned low = (unsigned)(server.fuse < server.control ? server.fuse : server.control);
    unsigned high = (unsigned)(server.fuse + server.control) - low;

    if (low > 3)
        close_range(3, low - 1, 0);
    if (high > low + 1)
        close_range(low + 1, high - 1, 0);
    close_range(high + 1, ~0u, 0);
}

static void run_server(pid_t parent)
{
    struct pollfd pollers[2] = { { .fd = server.fuse, .events = POLLIN },
                                 { .fd = server.control, .events = POLLIN } };
    bool goes_on = prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 && getppid() == parent;

    close_others();
    while (goes_on && (poll(pollers, 2, -1) > 0 || errno == EINTR)) {
        if (pollers[0].revents)
            goes_on = serve();
        if (goes_on && pollers[1].revents)
            goes_on = obey();
    }
    _exit(0);
}

static void fork_server(struct lossy_fs *fs, int fuse, uint32_t size)
{
    pid_t parent = getpid();
    int ends[2];

    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
    fs->control = ends[0];
    fs->server = fork();
    if (fs->server == 0) {
        server.fuse = fuse;
        server.control = ends[1];
        server.size = size;
        run_server(parent);
    }
    close(ends[1]);
    ck_assert_int_gt(fs->server, 0);
}

/*
 * io_uring asks whether the file is ready and waits for the answer; once told that there is none,
 * the kernel does not ask again. So no transfer that is delayed stands before that question.
 */
static void answer_poll(const struct lossy_fs *fs)
{
    struct pollfd poller = { .fd = open(fs->path, O_RDWR | O_CLOEXEC), .events = POLLIN };

    ck_assert_msg(poller.fd >= 0, "%s: %s", fs->path, strerror(errno));
    poll(&poller, 1, 0);
    close(poller.fd);
}

void lossy_fs_start(struct lossy_fs *fs, uint32_t size)
{
    int fuse = open("/dev/fuse", O_RDWR | O_CLOEXEC | O_NONBLOCK);
    char number[16];
    const struct mount_option options[] = { { "source", "lossy" },
                                            { "fd", number },
                                            { "rootmode", "100000" }, /* the root is the file */
                                            { "user_id", "0" },
                                            { "group_id", "0" },
                                            { NULL, NULL } };

    *fs = (struct lossy_fs){ .control = -1, .mount = -1 };
    ck_assert_uint_le(size, LOSSY_SIZE_MAX);
    if (fuse < 0)
        support_skip("/dev/fuse does not open: no module fuse, or no permission");
    snprintf(number, sizeof(number), "%d", fuse);
    fork_server(fs, fuse, size);
    fs->mount = mounts_try("fuse", options);
    close(fuse);
    if (fs->mount == -EPERM || fs->mount == -ENOSYS || fs->mount == -ENODEV) {
        lossy_fs_stop(fs);
        support_skip("this process may not mount a FUSE file system; run it as root");
    }
    ck_assert_msg(fs->mount >= 0, "mounting: %s", strerror(-fs->mount));
    snprintf(fs->path, sizeof(fs->path), "/proc/self/fd/%d", fs->mount);
    answer_poll(fs);
}

void lossy_fs_stop(struct lossy_fs *fs)
{
    if (fs->server > 0) {
        kill(fs->server, SIGKILL); /* requests under way fail, and closing waits for nobody */
        waitpid(fs->server, NULL, 0);
        close(fs->control);
    }
    if (fs->server > 0 && fs->mount >= 0)
        close(fs->mount);
    *fs = (struct lossy_fs){ .control = -1, .mount = -1 };
}

static struct lossy_counts send_order(struct lossy_fs *fs, uint32_t kind, uint32_t value)
{
    const struct order order = { kind, value };
    struct lossy_counts counts;

    ck_assert_int_eq(write(fs->control, &order, sizeof(order)), sizeof(order));
    ck_assert_int_eq(read(fs->control, &counts, sizeof(counts)), sizeof(counts));
    return counts;
}

struct lossy_counts lossy_fs_lose(struct lossy_fs *fs)
{
    return send_order(fs, ORDER_LOSE, 0);
}

struct lossy_counts lossy_fs_fail_writes(struct lossy_fs *fs, int code)
{
    return send_order(fs, ORDER_FAIL_WRITES, (uint32_t)code);
}

struct lossy_counts lossy_fs_fail_syncs(struct lossy_fs *fs, int code)
{
    return send_order(fs, ORDER_FAIL_SYNCS, (uint32_t)code);
}

struct lossy_counts lossy_fs_delay(struct lossy_fs *fs, uint32_t microseconds)
{
    return send_order(fs, ORDER_DELAY, microseconds);
}

struct lossy_counts lossy_fs_count(struct lossy_fs *fs)
{
    return send_order(fs, ORDER_COUNT, 0);
}
