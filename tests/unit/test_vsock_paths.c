/* SPDX-License-Identifier: Apache-2.0 */
/* Proves the socket device's properties, and its socket file: what may be at its path, what not.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/error.h"
#include "core/util.h"
#include "vsock_guest.h"

START_TEST(test_cid_is_needed)
{
    struct virtio_guest other;

    ck_assert_int_eq(guest_new(&other, "vsock", 0), 0);
    ck_assert_int_eq(guest_claim(&other), -EINVAL);
    ck_assert_ptr_nonnull(strstr(other.error, "cid"));
    guest_unbuild(&other);
    ck_assert_int_eq(guest_set_u64(&other, "cid", 2), -EINVAL);
    ck_assert_int_eq(guest_set_u64(&other, "cid", 0xffffffff), -EINVAL);
    ck_assert_int_eq(guest_set_u64(&other, "cid", 0xfffffffe), 0);
    ck_assert_int_eq(guest_wire(&other), 0);
    ck_assert_uint_eq(guest_config(&other, 0, 8), 0xfffffffe);
    guest_free(&other);
}
END_TEST

/* A device without a path refuses, and makes no file. */
START_TEST(test_no_path)
{
    struct virtio_guest other;

    ck_assert_int_eq(guest_set_string(&vs_guest, "path", ""), 0);
    vs_build(16);
    vs_tx_op(NV_VSOCK_REQUEST);
    vs_expect(NV_VSOCK_RST, NULL);
    ck_assert_int_eq(nv_vsock_connect(vs_device, VS_PORT), -ECONNREFUSED);
    ck_assert_int_eq(guest_new(&other, "vsock", 0), 0);
    ck_assert_int_eq(guest_set_u64(&other, "cid", 9), 0);
    ck_assert_int_eq(guest_wire(&other), 0);
    ck_assert_int_eq(nv_vsock_connect(other.device->state, VS_PORT), -ECONNREFUSED);
    guest_free(&other);
}
END_TEST

START_TEST(test_longest_path)
{
    char path[128];
    size_t length = strlen(vs_folder);
    int listener;
    struct nv_vsock_header header = vs_header(NV_VSOCK_REQUEST);

    memset(path, 'x', sizeof(path));
    memcpy(path, vs_folder, length);
    path[length] = '/';
    path[97] = '\0';
    guest_set_string(&vs_guest, "path", path);
    ck_assert_int_eq(guest_claim(&vs_guest), -ENAMETOOLONG);
    ck_assert_ptr_nonnull(strstr(vs_guest.error, "at most 96 bytes"));
    guest_unbuild(&vs_guest);
    path[96] = '\0';
    guest_set_string(&vs_guest, "path", path);
    vs_build(16);
    strcpy(vs_path + strlen(vs_folder), "/y");
    listener = vs_listen(0xffffffff);
    ck_assert_int_eq(rename(nv_text("%s_4294967295", vs_path).s, nv_text("%s_4294967295", path).s),
                     0);
    header.dst_port = 0xffffffff;
    vs_tx(&header, NULL, 0);
    vs_expect(NV_VSOCK_RESPONSE, NULL);
    close(vs_accept(listener));
    close(listener);
}
END_TEST

START_TEST(test_something_else_at_the_path)
{
    int file = open(vs_path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);

    ck_assert_int_eq((int)write(file, "mine", 4), 4);
    close(file);
    ck_assert_int_eq(guest_wire(&vs_guest), -EEXIST);
    ck_assert_ptr_nonnull(strstr(vs_guest.error, "remove the file"));
    ck_assert(vs_exists(vs_path));
    unlink(vs_path);
    ck_assert_int_eq(mkdir(vs_path, 0700), 0);
    ck_assert_int_eq(guest_wire(&vs_guest), -EEXIST);
    rmdir(vs_path);
    ck_assert_int_eq(symlink("/nonexistent/x", vs_path), 0);
    ck_assert_int_eq(guest_wire(&vs_guest), -EEXIST);
    unlink(vs_path);
    vs_build(16); /* nothing is left of the failures */
}
END_TEST

static int listen_at(const char *path)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    strcpy(address.sun_path, path);
    ck_assert_int_eq(bind(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
    ck_assert_int_eq(listen(fd, 0), 0);
    return fd;
}

START_TEST(test_somebody_listens_at_the_path)
{
    int other = listen_at(vs_path);
    int fds[2];

    ck_assert_int_eq(guest_wire(&vs_guest), -EADDRINUSE);
    ck_assert_ptr_nonnull(strstr(vs_guest.error, "use another path"));
    ck_assert(vs_exists(vs_path));
    /* Also when too many wait there already. */
    for (int i = 0; i < 2; i++)
        fds[i] = vs_come(vs_path);
    ck_assert_int_eq(guest_wire(&vs_guest), -EADDRINUSE);
    ck_assert(vs_exists(vs_path));
    close(fds[0]);
    close(fds[1]);
    close(other);
    vs_build(16); /* now it is stale */
    close(vs_client("CONNECT 1\n"));
}
END_TEST

START_TEST(test_no_folder)
{
    guest_set_string(&vs_guest, "path", "/nonexistent/s");
    ck_assert_int_eq(guest_wire(&vs_guest), -ENOENT);
    ck_assert_ptr_nonnull(strstr(vs_guest.error, "make the folder first"));
}
END_TEST

enum { RIVALS = 4 };

/* A device's listening part, and whether it came to the path. */
struct rival {
    struct nv_vsock device;
    pthread_barrier_t *start;
    int result;
};

static void *take_path(void *argument)
{
    struct rival *rival = argument;

    pthread_barrier_wait(rival->start);
    rival->result = nv_vsock_listen(&rival->device, NULL);
    return NULL;
}

static unsigned compete(struct rival *rivals, pthread_barrier_t *start)
{
    pthread_t threads[RIVALS];
    unsigned winners = 0;

    for (unsigned i = 0; i < RIVALS; i++) {
        memset(&rivals[i].device, 0, sizeof(rivals[i].device));
        rivals[i].device.path = vs_path;
        rivals[i].device.hash_key = i;
        rivals[i].device.listener.fd = -1;
        rivals[i].start = start;
        ck_assert_int_eq(pthread_create(&threads[i], NULL, take_path, &rivals[i]), 0);
    }
    for (unsigned i = 0; i < RIVALS; i++) {
        pthread_join(threads[i], NULL);
        ck_assert(rivals[i].result == 0 || rivals[i].result == -EADDRINUSE);
        winners += rivals[i].result == 0;
    }
    return winners;
}

/* Several want one path, where a stale file is or nothing: one gets it, and is found there. */
START_TEST(test_one_of_several)
{
    static struct rival rivals[RIVALS];
    pthread_barrier_t start;

    pthread_barrier_init(&start, NULL, RIVALS);
    for (int round = 0; round < 300; round++) {
        if (round % 2)
            close(listen_at(vs_path));
        ck_assert_uint_eq(compete(rivals, &start), 1);
        vs_must_be_alone();
        close(vs_come(vs_path));
        for (unsigned i = 0; i < RIVALS; i++)
            nv_vsock_stop_listening(&rivals[i].device);
        ck_assert(!vs_exists(vs_path));
    }
    pthread_barrier_destroy(&start);
}
END_TEST

static atomic_bool is_over;
static atomic_uint absent;

static void *look_always(void *argument)
{
    while (!atomic_load(&is_over))
        if (!vs_exists(vs_path))
            atomic_fetch_add(&absent, 1);
    return NULL;
}

/* Who looks at the path while a stale file is replaced always finds a socket. */
START_TEST(test_replaced_at_once)
{
    pthread_t thread;

    close(listen_at(vs_path));
    atomic_store(&absent, 0);
    atomic_store(&is_over, false);
    ck_assert_int_eq(pthread_create(&thread, NULL, look_always, NULL), 0);
    for (int round = 0; round < 500; round++) {
        struct nv_vsock device = { .path = vs_path, .listener = { .fd = -1 } };

        ck_assert_int_eq(nv_vsock_listen(&device, NULL), 0);
        close(device.listener.fd); /* stale, as after a kill */
    }
    atomic_store(&is_over, true);
    pthread_join(thread, NULL);
    ck_assert_uint_eq(atomic_load(&absent), 0);
    vs_must_be_alone();
    unlink(vs_path);
}
END_TEST

/* Only our own socket is removed in the end. */
START_TEST(test_path_is_taken_over)
{
    int other;

    vs_build(16);
    unlink(vs_path);
    other = listen_at(vs_path);
    guest_unbuild(&vs_guest);
    ck_assert(vs_exists(vs_path));
    close(other);
    unlink(vs_path);
}
END_TEST

Suite *nv_test_suite(void)
{
    Suite *suite = suite_create("vsock_paths");
    TCase *tcase = support_case(suite, "paths", 60);

    tcase_add_checked_fixture(tcase, vs_make_looped, vs_unmake);
    tcase_add_test(tcase, test_cid_is_needed);
    tcase_add_test(tcase, test_no_path);
    tcase_add_test(tcase, test_longest_path);
    tcase_add_test(tcase, test_something_else_at_the_path);
    tcase_add_test(tcase, test_somebody_listens_at_the_path);
    tcase_add_test(tcase, test_no_folder);
    tcase_add_test(tcase, test_one_of_several);
    tcase_add_test(tcase, test_replaced_at_once);
    tcase_add_test(tcase, test_path_is_taken_over);
    return suite;
}
