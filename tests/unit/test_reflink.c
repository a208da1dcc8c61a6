/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Proves what copies of disks do where blocks cannot be shared, and what they refuse. Where they
 * can be shared is tried by the boot suite, on a file system of its own.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "support.h"

enum { MIB = 1 << 20, HOLE_MIB = 8, SIZE = HOLE_MIB * MIB + 5000 };

static int from, to; /* of tmpfs, which has no reflinks */

static void setup(void)
{
    from = memfd_create("from", MFD_CLOEXEC);
    to = memfd_create("to", MFD_CLOEXEC);
    ck_assert_int_ge(from, 0);
    ck_assert_int_ge(to, 0);
    ck_assert_int_eq(pwrite(from, "begin", 5, 0), 5);
    ck_assert_int_eq(pwrite(from, "end", 3, SIZE - 3), 3);
}

static void teardown(void)
{
    close(from);
    close(to);
}

static off_t size_of(int fd)
{
    struct stat status;

    ck_assert_int_eq(fstat(fd, &status), 0);
    return status.st_size;
}

START_TEST(test_refused)
{
    ck_nv_fails_with(nestvirt_reflink_new(from, to, 0, &error), -EOPNOTSUPP, "XFS or Btrfs");
    ck_assert_int_eq(size_of(to), 0);
}
END_TEST

/* All bytes, and no more room than the original takes: a hole is no data. */
START_TEST(test_copied)
{
    struct stat one, other;
    char text[6] = "";

    ck_assert_int_eq(nestvirt_reflink_new(from, to, NESTVIRT_REFLINK_OR_COPY, NULL), 1);
    ck_assert_int_eq(size_of(to), SIZE);
    ck_assert_int_eq(pread(to, text, 5, 0), 5);
    ck_assert_str_eq(text, "begin");
    memset(text, 0, sizeof(text));
    ck_assert_int_eq(pread(to, text, 5, SIZE - 3), 3);
    ck_assert_str_eq(text, "end");
    ck_assert_int_eq(pread(to, text, 1, 3 * MIB), 1);
    ck_assert_int_eq(text[0], 0);
    ck_assert_int_eq(fstat(from, &one), 0);
    ck_assert_int_eq(fstat(to, &other), 0);
    ck_assert_int_eq(other.st_blocks, one.st_blocks);
}
END_TEST

/* More than a piece, and nothing but a hole. */
START_TEST(test_shapes)
{
    static char bytes[3 * MIB / 2], back[sizeof(bytes)];

    memset(bytes, 'a', sizeof(bytes));
    ck_assert_int_eq(pwrite(from, bytes, sizeof(bytes), 100), sizeof(bytes));
    ck_assert_int_eq(nestvirt_reflink_new(from, to, NESTVIRT_REFLINK_OR_COPY, NULL), 1);
    ck_assert_int_eq(pread(to, back, sizeof(back), 100), sizeof(back));
    ck_assert_int_eq(memcmp(back, bytes, sizeof(back)), 0);
    ck_assert_int_eq(ftruncate(from, 0), 0);
    ck_assert_int_eq(ftruncate(from, SIZE), 0);
    ck_assert_int_eq(ftruncate(to, 0), 0);
    ck_assert_int_eq(nestvirt_reflink_new(from, to, NESTVIRT_REFLINK_OR_COPY, NULL), 1);
    ck_assert_int_eq(size_of(to), SIZE);
}
END_TEST

START_TEST(test_misuse)
{
    int folder = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC), pipes[2];
    int reader, writer;
    char path[64];

    ck_assert_int_eq(pipe2(pipes, O_CLOEXEC), 0);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", to);
    reader = open(path, O_RDONLY | O_CLOEXEC);
    writer = open(path, O_WRONLY | O_CLOEXEC);
    ck_nv_fails_with(nestvirt_reflink_new(-1, to, 0, &error), -EBADF, "the original");
    ck_nv_fails_with(nestvirt_reflink_new(from, -1, 0, &error), -EBADF, "the new file");
    ck_nv_fails_with(nestvirt_reflink_new(folder, to, 0, &error), -EINVAL, "regular");
    ck_nv_fails_with(nestvirt_reflink_new(from, pipes[1], 0, &error), -EINVAL, "regular");
    ck_nv_fails_with(nestvirt_reflink_new(from, reader, 1, &error), -EBADF, "for writing");
    ck_nv_fails_with(nestvirt_reflink_new(writer, to, 1, &error), -EBADF, "for reading");
    ck_nv_fails_with(nestvirt_reflink_new(from, from, 1, &error), -EINVAL, "not empty");
    ck_nv_fails_with(nestvirt_reflink_new(from, to, 2, &error), -EINVAL, "0x2");
    ck_assert_int_eq(size_of(from), SIZE);
    close(reader);
    close(writer);
    close(folder);
    close(pipes[0]);
    close(pipes[1]);
}
END_TEST

/* No room half way: the new file is empty, as it was. */
START_TEST(test_failure)
{
    ck_assert_int_eq(fcntl(to, F_GET_SEALS), F_SEAL_SEAL);
    close(to);
    to = memfd_create("to", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    ck_assert_int_ge(to, 0);
    ck_assert_int_eq(fcntl(to, F_ADD_SEALS, F_SEAL_GROW), 0);
    ck_nv_fails_with(nestvirt_reflink_new(from, to, 1, &error), -EPERM, "copying the file");
    ck_assert_int_eq(size_of(to), 0);
}
END_TEST

/* The limit on file size is an error like others: its signal would end the program. */
START_TEST(test_fault_03_size_limit)
{
    struct rlimit limit, small;
    int r;

    ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &limit), 0);
    small = limit;
    small.rlim_cur = MIB;
    setrlimit(RLIMIT_FSIZE, &small); /* for check, too: it writes at each of its own checks */
    r = nestvirt_reflink_new(from, to, NESTVIRT_REFLINK_OR_COPY, NULL);
    setrlimit(RLIMIT_FSIZE, &limit);
    ck_assert_int_eq(r, -EFBIG);
    ck_assert_int_eq(size_of(to), 0);
}
END_TEST

/* A file of another file system: /tmp and a memfd, if they are not the same. */
START_TEST(test_elsewhere)
{
    int file = open("/tmp", O_RDWR | O_TMPFILE | O_CLOEXEC, 0600), r;
    struct stat one, other;

    ck_assert_int_ge(file, 0);
    ck_assert_int_eq(fstat(file, &one), 0);
    ck_assert_int_eq(fstat(from, &other), 0);
    r = nestvirt_reflink_new(from, file, 0, NULL);
    ck_assert_int_eq(r, one.st_dev == other.st_dev ? -EOPNOTSUPP : -EXDEV);
    ck_assert_int_eq(nestvirt_reflink_new(from, file, NESTVIRT_REFLINK_OR_COPY, NULL), 1);
    ck_assert_int_eq(size_of(file), SIZE);
    close(file);
}
END_TEST

Suite *nv_test_suite(void)
{
    Suite *suite = suite_create("reflink");
    TCase *tcase = support_case(suite, "copies", 30);

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, test_refused);
    tcase_add_test(tcase, test_copied);
    tcase_add_test(tcase, test_shapes);
    tcase_add_test(tcase, test_misuse);
    tcase_add_test(tcase, test_failure);
    tcase_add_test(tcase, test_fault_03_size_limit);
    tcase_add_test(tcase, test_elsewhere);
    return suite;
}
