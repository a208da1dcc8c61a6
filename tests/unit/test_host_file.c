/* SPDX-License-Identifier: Apache-2.0 */
/* Proves the careful streams: never blocking, never SIGPIPE, status flags of callers untouched. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/log.h"
#include "host/file.h"
#include "host/thread.h"
#include "support.h"

static struct nv_stream stream;

static void open_stream(int fd, bool for_write)
{
    int copy = nv_fd_dup(fd);

    ck_assert_int_ge(copy, 3);
    ck_assert_int_ne(fcntl(copy, F_GETFD) & FD_CLOEXEC, 0);
    ck_assert_int_eq(nv_stream_init(&stream, copy, for_write), 0);
    ck_assert_int_ne(fcntl(stream.fd, F_GETFD) & FD_CLOEXEC, 0);
}

START_TEST(test_dup)
{
    ck_assert_int_eq(nv_fd_dup(-1), -EBADF);
    ck_assert_int_eq(nv_fd_dup(19999), -EBADF);
}
END_TEST

START_TEST(test_pipe_never_blocks)
{
    int ends[2];
    char bytes[8192] = { 0 };
    ssize_t total = 0;
    ssize_t done;

    ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
    open_stream(ends[1], true);
    ck_assert_int_eq(stream.kind, NV_STREAM_OWN);
    while ((done = nv_stream_write(&stream, bytes, sizeof(bytes))) > 0)
        total += done;
    ck_assert_int_eq(done, -EAGAIN);
    ck_assert_int_ge(total, 4096);
    ck_assert_int_eq(fcntl(ends[1], F_GETFL) & O_NONBLOCK, 0);
    nv_stream_close(&stream);
    ck_assert_int_eq(stream.fd, -1);
    nv_stream_close(&stream);
    open_stream(ends[0], false);
    for (ssize_t left = total; left > 0; left -= done) {
        done = nv_stream_read(&stream, bytes, sizeof(bytes));
        ck_assert_int_gt(done, 0);
    }
    ck_assert_int_eq(nv_stream_read(&stream, bytes, sizeof(bytes)), -EAGAIN);
    close(ends[1]);
    ck_assert_int_eq(nv_stream_read(&stream, bytes, sizeof(bytes)), 0);
    nv_stream_close(&stream);
    close(ends[0]);
}
END_TEST

/* What could not be opened anew is polled first, and then moved a little at a time. */
START_TEST(test_polled_pipe_never_blocks)
{
    int ends[2];
    char bytes[8192] = { 0 };
    ssize_t total = 0;
    ssize_t done;

    ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
    stream = (struct nv_stream){ .fd = ends[1], .kind = NV_STREAM_POLLED };
    while ((done = nv_stream_write(&stream, bytes, sizeof(bytes))) > 0) {
        ck_assert_int_le(done, 4096);
        total += done;
    }
    ck_assert_int_eq(done, -EAGAIN);
    stream.fd = ends[0];
    while (total > 0) {
        done = nv_stream_read(&stream, bytes, sizeof(bytes));
        ck_assert_int_gt(done, 0);
        total -= done;
    }
    ck_assert_int_eq(nv_stream_read(&stream, bytes, sizeof(bytes)), -EAGAIN);
    close(ends[1]);
    ck_assert_int_eq(nv_stream_read(&stream, bytes, sizeof(bytes)), 0);
    close(ends[0]);
}
END_TEST

START_TEST(test_socket_raises_no_sigpipe)
{
    int ends[2];
    char bytes[8192] = { 0 };
    ssize_t done;

    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    open_stream(ends[0], true);
    ck_assert_int_eq(stream.kind, NV_STREAM_SOCKET);
    while ((done = nv_stream_write(&stream, bytes, sizeof(bytes))) > 0)
        ;
    ck_assert_int_eq(done, -EAGAIN);
    ck_assert_int_eq(nv_stream_read(&stream, bytes, sizeof(bytes)), -EAGAIN);
    close(ends[1]);
    done = nv_stream_write(&stream, bytes, 1); /* SIGPIPE's default action would end us */
    ck_assert_msg(done == -EPIPE || done == -ECONNRESET, "%zd", done);
    nv_stream_close(&stream);
    close(ends[0]);
}
END_TEST

START_TEST(test_regular_file)
{
    int file = memfd_create("test", MFD_CLOEXEC);
    char bytes[8];

    open_stream(file, true);
    ck_assert_int_eq(stream.kind, NV_STREAM_WRITER);
    ck_assert_int_eq(nv_stream_write(&stream, "top", 3), 3);
    ck_assert(nv_stream_drain(&stream, UINT64_MAX));
    ck_assert_int_eq(lseek(file, 0, SEEK_END), 3);
    ck_assert_int_eq(nv_stream_write(&stream, "ic", 2), 2);
    ck_assert_uint_eq(nv_stream_close(&stream), 0);
    ck_assert_int_eq(lseek(file, 0, SEEK_SET), 0);
    open_stream(file, false);
    ck_assert_int_eq(stream.kind, NV_STREAM_FILE);
    ck_assert(!nv_stream_drain(&stream, UINT64_MAX));
    ck_assert_int_eq(nv_stream_read(&stream, bytes, sizeof(bytes)), 5);
    ck_assert_int_eq(nv_stream_read(&stream, bytes, sizeof(bytes)), 0);
    nv_stream_close(&stream);
    close(file);
}
END_TEST

/* Far more than is kept at a time: it comes in order, and the descriptor tells when to go on. */
START_TEST(test_much_for_a_file)
{
    enum { TOTAL = 5000000 };
    int file = memfd_create("test", MFD_CLOEXEC);
    uint8_t *bytes = malloc(TOTAL);
    uint8_t *found = malloc(TOTAL + 1);
    size_t done = 0;

    for (int i = 0; i < TOTAL; i++)
        bytes[i] = (uint8_t)(i * 7 + i / 256);
    open_stream(file, true);
    while (done < TOTAL) {
        struct pollfd poller = { .fd = stream.fd, .events = POLLOUT };
        size_t run = (size_t)TOTAL - done < 9999 ? (size_t)TOTAL - done : 9999;
        ssize_t r = nv_stream_write(&stream, bytes + done, run);

        if (r == -EAGAIN)
            ck_assert_int_eq(poll(&poller, 1, 20000), 1);
        else
            ck_assert_int_gt(r, 0);
        done += r > 0 ? (size_t)r : 0;
    }
    ck_assert_uint_eq(nv_stream_close(&stream), 0);
    ck_assert_int_eq(pread(file, found, TOTAL + 1, 0), TOTAL);
    ck_assert_int_eq(memcmp(found, bytes, TOTAL), 0);
    free(found);
    free(bytes);
    close(file);
}
END_TEST

/* What a full disk, or a limit, does not let into the file is counted; later bytes go on. */
START_TEST(test_file_that_takes_no_more)
{
    struct rlimit limit;
    struct rlimit small;
    int file = memfd_create("test", MFD_CLOEXEC);

    ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &limit), 0);
    small = limit;
    small.rlim_cur = 4;
    open_stream(file, true);
    setrlimit(RLIMIT_FSIZE, &small); /* for check, too: it writes at each of its own checks */
    nv_stream_write(&stream, "hello", 5);
    nv_stream_drain(&stream, UINT64_MAX);
    setrlimit(RLIMIT_FSIZE, &limit);
    ck_assert_uint_eq(nv_stream_take_lost(&stream), 1);
    ck_assert_uint_eq(nv_stream_take_lost(&stream), 0);
    ck_assert_int_eq(nv_stream_write(&stream, "world", 5), 5);
    ck_assert_uint_eq(nv_stream_close(&stream), 0);
    ck_assert_int_eq(lseek(file, 0, SEEK_END), 9);
    close(file);
}
END_TEST

/* A thread that cannot be had is an error, and closes what it was given. */
START_TEST(test_file_without_a_thread)
{
    struct rlimit limit;
    struct rlimit none;
    int file = memfd_create("test", MFD_CLOEXEC);
    int copy = nv_fd_dup(file);
    int r;

    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
    none = limit;
    none.rlim_cur = 1;
    setrlimit(RLIMIT_NOFILE, &none);
    r = nv_stream_init(&stream, copy, true);
    setrlimit(RLIMIT_NOFILE, &limit);
    ck_assert_int_eq(r, -EMFILE);
    ck_assert_int_eq(stream.fd, -1);
    ck_assert_int_eq(fcntl(copy, F_GETFD), -1);
    close(file);
}
END_TEST

START_TEST(test_wrong_directions)
{
    int ends[2];
    char byte = 0;

    ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
    open_stream(ends[0], true);
    ck_assert_int_eq(nv_stream_write(&stream, &byte, 1), -EBADF);
    nv_stream_close(&stream);
    open_stream(ends[1], false);
    ck_assert_int_eq(nv_stream_read(&stream, &byte, 1), -EBADF);
    nv_stream_close(&stream);
    close(ends[0]);
    close(ends[1]);
}
END_TEST

/* A masked stretch on a caller's thread: what arose in it is gone, what was before is kept. */
START_TEST(test_signal_shield)
{
    struct nv_signal_shield shield;
    sigset_t before;
    sigset_t now;
    sigset_t one;

    pthread_sigmask(SIG_SETMASK, NULL, &before);
    nv_signals_shield(&shield);
    pthread_sigmask(SIG_SETMASK, NULL, &now);
    ck_assert_int_eq(sigismember(&now, SIGPIPE), 1);
    ck_assert_int_eq(sigismember(&now, SIGXFSZ), 1);
    ck_assert_int_eq(sigismember(&now, nv_kick_signal()), 1);
    ck_assert_int_eq(sigismember(&now, SIGINT), sigismember(&before, SIGINT));
    pthread_kill(pthread_self(), SIGPIPE);
    pthread_kill(pthread_self(), nv_kick_signal());
    nv_signals_unshield(&shield);
    sigpending(&now);
    ck_assert_int_eq(sigismember(&now, SIGPIPE), 0);
    pthread_sigmask(SIG_SETMASK, NULL, &now);
    ck_assert_int_eq(sigismember(&now, SIGPIPE), sigismember(&before, SIGPIPE));
    sigemptyset(&one);
    sigaddset(&one, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &one, NULL);
    pthread_kill(pthread_self(), SIGPIPE); /* the caller's own */
    nv_signals_shield(&shield);
    nv_signals_unshield(&shield);
    sigpending(&now);
    ck_assert_int_eq(sigismember(&now, SIGPIPE), 1);
    sigtimedwait(&one, NULL, &(struct timespec){ 0 });
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}
END_TEST

Suite *nv_test_suite(void)
{
    Suite *suite = suite_create("host_file");
    TCase *tcase = support_case(suite, "file", 30);

    tcase_add_test(tcase, test_dup);
    tcase_add_test(tcase, test_pipe_never_blocks);
    tcase_add_test(tcase, test_polled_pipe_never_blocks);
    tcase_add_test(tcase, test_socket_raises_no_sigpipe);
    tcase_add_test(tcase, test_regular_file);
    tcase_add_test(tcase, test_much_for_a_file);
    tcase_add_test(tcase, test_file_that_takes_no_more);
    tcase_add_test(tcase, test_file_without_a_thread);
    tcase_add_test(tcase, test_wrong_directions);
    tcase_add_test(tcase, test_signal_shield);
    return suite;
}
