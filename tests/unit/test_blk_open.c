/* SPDX-License-Identifier: Apache-2.0 */
/* Proves that a bad image is refused with its own code and a remedy, and nothing is lost. */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "blk_guest.h"
#include "core/cleanup.h"

static void setup(void)
{
    blk_setup(BLK_MODE_THREADS);
}

/* Claim (which validates) and wire say so, with the text; and all is well once it is mended. */
static void check_refused(int code, const char *problem, const char *remedy)
{
    for (int i = 0; i < 2; i++) {
        int r = i == 0 ? guest_claim(&guest) : guest_wire(&guest);

        if (i == 0)
            guest_unbuild(&guest);
        ck_assert_msg(r == code, "%d (%s), not %d", r, guest.error, code);
        ck_assert_msg(strstr(guest.error, problem), "no \"%s\" in \"%s\"", problem, guest.error);
        ck_assert_msg(strstr(guest.error, remedy), "no \"%s\" in \"%s\"", remedy, guest.error);
        ck_assert_ptr_nonnull(strstr(guest.error, "device 0 (blk): "));
    }
}

/* The same where only opening can tell. */
static void check_refused_late(int code, const char *problem, const char *remedy)
{
    int r = guest_claim(&guest);

    guest_unbuild(&guest);
    ck_assert_msg(r == 0, "%s", guest.error);
    r = guest_wire(&guest);
    ck_assert_msg(r == code, "%d (%s), not %d", r, guest.error, code);
    ck_assert_msg(strstr(guest.error, problem), "no \"%s\" in \"%s\"", problem, guest.error);
    ck_assert_msg(strstr(guest.error, remedy), "no \"%s\" in \"%s\"", remedy, guest.error);
}

static void check_works(void)
{
    blk_begin();
    blk_works();
    guest_unbuild(&guest);
}

START_TEST(test_missing)
{
    blk_set_text("path", "/nonexistent/disk.img");
    check_refused(-ENOENT, "/nonexistent/disk.img", "make the image first");
    blk_set_text("path", "");
    check_refused(-EINVAL, "it has no file", "set path or fd");
    blk_set_text("path", blk_path);
    check_works();
}
END_TEST

START_TEST(test_both)
{
    NV_AUTO_FD fd = open(blk_path, O_RDWR | O_CLOEXEC);

    ck_assert_int_eq(guest_set_fd(&guest, "fd", fd), 0);
    check_refused(-EINVAL, "both a path and a descriptor", "set only one");
}
END_TEST

START_TEST(test_kinds)
{
    char path[160];
    struct sockaddr_un name = { .sun_family = AF_UNIX };
    int fd;

    blk_set_text("path", blk_folder);
    check_refused(-EISDIR, "is a directory", "give a file");
    blk_set_text("path", "/dev/null");
    check_refused(-EINVAL, "is a character device", "regular file or a block device");
    snprintf(path, sizeof(path), "%s/pipe", blk_folder);
    ck_assert_int_eq(mkfifo(path, 0600), 0);
    blk_set_text("path", path);
    check_refused(-EINVAL, "is a pipe", "regular file or a block device");
    unlink(path);
    snprintf(name.sun_path, sizeof(name.sun_path), "%s/socket", blk_folder);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&name, sizeof(name)), 0);
    blk_set_text("path", name.sun_path);
    check_refused(-EINVAL, "is a socket", "regular file or a block device");
    close(fd);
    unlink(name.sun_path);
    blk_set_text("path", blk_path);
    check_works();
}
END_TEST

START_TEST(test_sizes)
{
    ck_assert_int_eq(truncate(blk_path, 0), 0);
    check_refused(-EINVAL, "is empty", "truncate -s 1G");
    ck_assert_int_eq(truncate(blk_path, 1000), 0);
    check_refused(-EINVAL, "1000 bytes", "truncate -s %512");
    ck_assert_int_eq(truncate(blk_path, 1024), 0);
    blk_set("block_size", 4096);
    check_refused_late(-EINVAL, "no whole number of blocks", "multiple of 4096");
    blk_set("block_size", 512);
    blk_begin();
    ck_assert_uint_eq(guest_get_u64(&guest, "capacity"), 2);
}
END_TEST

START_TEST(test_texts)
{
    blk_set_text("serial", "123456789012345678901");
    check_refused(-EINVAL, "21 bytes", "at most 20");
    blk_set_text("serial", "12345678901234567890");
    blk_set_text("engine", "magic");
    check_refused(-EINVAL, "\"magic\" is not known", "auto, threads or io_uring");
    blk_set_text("engine", "auto");
    blk_set_text("on_error", "panic");
    check_refused(-EINVAL, "\"panic\" is not known", "report, stop or stop_on_enospc");
    blk_set_text("on_error", "stop");
    ck_assert_int_eq(guest_set_u64(&guest, "block_size", 256), -EINVAL);
    blk_set("block_size", 768);
    check_refused(-EINVAL, "not a power of two", "4096");
    blk_set("block_size", 512);
    ck_assert_int_eq(guest_set_u64(&guest, "queues", 17), -EINVAL);
    ck_assert_int_eq(guest_set_u64(&guest, "workers", 0), -EINVAL);
    ck_assert_int_eq(guest_set_u64(&guest, "reads", 0), -EPERM);
    check_works();
    ck_assert_int_eq(guest_wire(&guest), 0);
    ck_assert_int_eq(guest_set_u64(&guest, "read_only", 1), -EBUSY);
}
END_TEST

/* As a user without rights, which root is not: in a process of its own. */
START_TEST(test_permissions)
{
    int status;
    pid_t child = fork();

    if (child == 0) {
        int r = -1;

        if (chmod(blk_path, 0444) < 0 || chmod(blk_folder, 0755) < 0 ||
            (geteuid() == 0 && seteuid(65534) < 0))
            _exit(1);
        if (guest_claim(&guest) != -EACCES || !strstr(guest.error, "set read_only"))
            _exit(2);
        guest_unbuild(&guest);
        guest_set_u64(&guest, "read_only", 1);
        r = guest_claim(&guest);
        guest_unbuild(&guest);
        if (r != 0)
            _exit(3);
        if (geteuid() == 65534 && (seteuid(0) < 0 || chmod(blk_path, 0) < 0 || seteuid(65534) < 0))
            _exit(4);
        if (geteuid() != 65534)
            chmod(blk_path, 0);
        if (guest_claim(&guest) != -EACCES || !strstr(guest.error, "give this process the right"))
            _exit(5);
        guest_unbuild(&guest);
        _exit(0);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "step %d", WEXITSTATUS(status));
}
END_TEST

START_TEST(test_descriptors)
{
    int fd = open(blk_path, O_RDONLY | O_CLOEXEC);

    blk_set_text("path", "");
    ck_assert_int_eq(guest_set_fd(&guest, "fd", fd), 0);
    close(fd);
    check_refused(-EBADF, "not open for writing", "O_RDWR, or set read_only");
    blk_set("read_only", 1);
    check_works();
    fd = open(blk_path, O_WRONLY | O_CLOEXEC);
    ck_assert_int_eq(guest_set_fd(&guest, "fd", fd), 0);
    close(fd);
    check_refused(-EBADF, "not open for reading", "open it for reading");
    blk_set("read_only", 0);
    check_refused(-EBADF, "not open for reading", "O_RDWR");
    fd = open(blk_path, O_RDWR | O_APPEND | O_CLOEXEC);
    ck_assert_int_eq(guest_set_fd(&guest, "fd", fd), 0);
    close(fd);
    check_refused(-EBADF, "open for appending", "without O_APPEND");
    ck_assert_int_eq(guest_set_fd(&guest, "fd", -1), -EBADF);
    ck_assert_int_eq(guest_set_u64(&guest, "fd", 0), -EINVAL);
}
END_TEST

/* Two writers of one image, or a writer and a reader, are refused; two readers are not. */
START_TEST(test_locked)
{
    static struct virtio_guest other;

    ck_assert_int_eq(guest_wire(&guest), 0);
    ck_assert_int_eq(guest_new(&other, "blk", 0), 0);
    ck_assert_int_eq(guest_set_string(&other, "path", blk_path), 0);
    ck_assert_int_eq(guest_wire(&other), -EBUSY);
    ck_assert_ptr_nonnull(strstr(other.error, "stop its other user"));
    ck_assert_int_eq(guest_set_u64(&other, "read_only", 1), 0);
    ck_assert_int_eq(guest_wire(&other), -EBUSY);
    ck_assert_ptr_nonnull(strstr(other.error, "set lock to 0"));
    guest_unbuild(&guest);
    blk_set("read_only", 1);
    ck_assert_int_eq(guest_wire(&guest), 0);
    ck_assert_int_eq(guest_wire(&other), 0);
    guest_unbuild(&other);
    ck_assert_int_eq(guest_set_u64(&other, "read_only", 0), 0);
    ck_assert_int_eq(guest_wire(&other), -EBUSY);
    ck_assert_int_eq(guest_set_u64(&other, "lock", 0), 0);
    ck_assert_int_eq(guest_wire(&other), 0);
    guest_free(&other);
}
END_TEST

/* Two disks on duplicates of one descriptor find each other, though these share their locks. */
START_TEST(test_locked_by_descriptor)
{
    static struct virtio_guest other;
    int fd = open(blk_path, O_RDWR | O_CLOEXEC);

    blk_set_text("path", "");
    ck_assert_int_eq(guest_set_fd(&guest, "fd", fd), 0);
    ck_assert_int_eq(guest_wire(&guest), 0);
    ck_assert_int_eq(guest_new(&other, "blk", 0), 0);
    ck_assert_int_eq(guest_set_fd(&other, "fd", fd), 0);
    ck_assert_int_eq(guest_wire(&other), -EBUSY);
    ck_assert_ptr_nonnull(strstr(other.error, "stop its other user"));
    ck_assert_int_eq(guest_set_u64(&other, "read_only", 1), 0);
    ck_assert_int_eq(guest_wire(&other), -EBUSY);
    guest_unbuild(&guest);
    blk_set("read_only", 1);
    ck_assert_int_eq(guest_wire(&guest), 0);
    ck_assert_int_eq(guest_wire(&other), 0);
    guest_unbuild(&other);
    guest_unbuild(&guest);
    ck_assert_int_eq(guest_set_u64(&other, "read_only", 0), 0);
    ck_assert_int_eq(guest_wire(&other), 0); /* no lock is left of the first */
    guest_free(&other);
    close(fd);
}
END_TEST

/* A caller that has locked its descriptor may give it to a disk; others are still kept off. */
START_TEST(test_locked_by_caller)
{
    static struct virtio_guest other;
    struct flock range = { .l_type = F_WRLCK };
    int fd = open(blk_path, O_RDWR | O_CLOEXEC);

    ck_assert_int_eq(fcntl(fd, F_OFD_SETLK, &range), 0);
    blk_set_text("path", "");
    ck_assert_int_eq(guest_set_fd(&guest, "fd", fd), 0);
    ck_assert_int_eq(guest_wire(&guest), 0);
    ck_assert_int_eq(guest_new(&other, "blk", 0), 0);
    ck_assert_int_eq(guest_set_string(&other, "path", blk_path), 0);
    ck_assert_int_eq(guest_wire(&other), -EBUSY);
    guest_free(&other);
    close(fd);
}
END_TEST

/* True if somebody has a lock of the image that keeps readers off too. */
static bool has_write_lock(void)
{
    struct flock range = { .l_type = F_RDLCK };
    int fd = open(blk_path, O_RDONLY | O_CLOEXEC);

    ck_assert_int_eq(fcntl(fd, F_OFD_GETLK, &range), 0);
    close(fd);
    return range.l_type == F_WRLCK;
}

/* The caller's lock is still there, and of the same kind, when the disk has gone. */
START_TEST(test_lock_of_caller_stays)
{
    struct flock range = { .l_type = F_WRLCK };
    int fd = open(blk_path, O_RDWR | O_CLOEXEC);

    ck_assert_int_eq(fcntl(fd, F_OFD_SETLK, &range), 0);
    blk_set_text("path", "");
    ck_assert_int_eq(guest_set_fd(&guest, "fd", fd), 0);
    for (uint64_t read_only = 0; read_only < 2; read_only++) {
        blk_set("read_only", read_only);
        ck_assert_int_eq(guest_wire(&guest), 0);
        ck_assert(has_write_lock());
        guest_unbuild(&guest);
        ck_assert(has_write_lock());
    }
    close(fd);
}
END_TEST

/* Gone, or a pipe in its place, between validation and build. */
START_TEST(test_vanishing)
{
    struct nestvirt_error *error = NULL;

    ck_assert_int_eq(guest_claim(&guest), 0);
    unlink(blk_path);
    ck_assert_int_eq(nv_device_wire(guest.device, &guest.env, &error), -ENOENT);
    nestvirt_error_free(error);
    guest_unbuild(&guest);
    check_refused(-ENOENT, "disk.img", "make the image first");
}
END_TEST

/* What the guest has open is not touched by taking its name away. */
START_TEST(test_unlinked_while_running)
{
    blk_begin();
    unlink(blk_path);
    blk_works();
    ck_assert_int_eq(blk_write(4, blk_buffer(512, 9), 512).status, BLK_S_OK);
    ck_assert_int_eq(blk_flush().status, BLK_S_OK);
}
END_TEST

/* The device has no look inside: the format is never guessed. */
START_TEST(test_hostile_55_blk_header_of_another_format)
{
    static const uint8_t qcow2[] = { 'Q', 'F', 'I', 0xfb, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 104 };
    uint64_t buffer;

    blk_begin();
    buffer = blk_buffer(512, 0);
    memcpy(guest_mem(&guest, buffer, 512), qcow2, sizeof(qcow2));
    ck_assert_int_eq(blk_write(0, buffer, 512).status, BLK_S_OK);
    guest_unbuild(&guest);
    blk_begin();
    ck_assert_uint_eq(guest_get_u64(&guest, "capacity"), BLK_SECTORS);
    buffer = blk_buffer(512, 0xee);
    ck_assert_int_eq(blk_read(0, buffer, 512).status, BLK_S_OK);
    ck_assert_mem_eq(guest_mem(&guest, buffer, 512), qcow2, sizeof(qcow2));
}
END_TEST

/* A block device, where the machine lets a test make one. */
START_TEST(test_block_device)
{
    char command[256];
    char loop[64] = "";
    FILE *pipe;

    snprintf(command, sizeof(command), "losetup -f --show %s 2>/dev/null", blk_path);
    pipe = popen(command, "re");
    if (pipe && fgets(loop, sizeof(loop), pipe))
        loop[strcspn(loop, "\n")] = 0;
    if (pipe)
        pclose(pipe);
    if (!loop[0]) {
        fprintf(stderr, "block device not tried: no loop device to be had\n");
        return;
    }
    blk_set_text("path", loop);
    blk_begin();
    /* It goes away when the last one closes it. */
    snprintf(command, sizeof(command), "losetup -d %s", loop);
    ck_assert_int_eq(system(command), 0);
    blk_works();
    ck_assert_uint_eq(guest_get_u64(&guest, "capacity"), BLK_SECTORS);
    ck_assert_int_eq(blk_write(4, blk_buffer(512, 9), 512).status, BLK_S_OK);
    ck_assert_int_eq(blk_segment(BLK_T_WRITE_ZEROES, 8, 8, 0).status, BLK_S_OK);
    ck_assert_int_eq(blk_flush().status, BLK_S_OK);
    guest_unbuild(&guest);
    ck_assert_int_eq(blk_image_byte(4 * 512), 9);
    ck_assert_int_eq(blk_image_byte(8 * 512), 0);
}
END_TEST

Suite *nv_test_suite(void)
{
    Suite *suite = suite_create("blk_open");
    TCase *tcase = blk_case(suite, "open", 60);

    tcase_add_checked_fixture(tcase, setup, blk_teardown);
    tcase_add_test(tcase, test_missing);
    tcase_add_test(tcase, test_both);
    tcase_add_test(tcase, test_kinds);
    tcase_add_test(tcase, test_sizes);
    tcase_add_test(tcase, test_texts);
    tcase_add_test(tcase, test_permissions);
    tcase_add_test(tcase, test_descriptors);
    tcase_add_test(tcase, test_locked);
    tcase_add_test(tcase, test_locked_by_descriptor);
    tcase_add_test(tcase, test_locked_by_caller);
    tcase_add_test(tcase, test_lock_of_caller_stays);
    tcase_add_test(tcase, test_vanishing);
    tcase_add_test(tcase, test_unlinked_while_running);
    tcase_add_test(tcase, test_hostile_55_blk_header_of_another_format);
    tcase_add_test(tcase, test_block_device);
    return suite;
}
