/* SPDX-License-Identifier: Apache-2.0 */
/* Proves the socket device's properties, and its socket file: what may be at its path, what not.
 */
#include <errno.h>
#include <fcntl.h>
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
    tcase_add_test(tcase, test_path_is_taken_over);
    return suite;
}
