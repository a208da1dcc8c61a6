/* SPDX-License-Identifier: Apache-2.0 */
/* Proves what becomes of the guest's requests when the host's disk fails, is full, short or slow.
 */
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "blk_faults.h"
#include "blk_guest.h"

static const int errors[] = { EIO, ENOSPC, EDQUOT, EFBIG };
enum { ERRORS = 4 };

static void setup_mode(enum blk_mode mode, const char *policy)
{
    disk_clear(false);
    blk_setup(mode);
    blk_set_text("on_error", policy);
    blk_begin();
}

static void teardown(void)
{
    disk_clear(true);
    blk_teardown();
}

static void check_event(unsigned number, int error)
{
    wait_until(guest_events(&guest) > number);
    ck_assert_uint_eq(guest.events[number].kind, NESTVIRT_EVENT_IO_ERROR);
    ck_assert_uint_eq(guest.events[number].value, (uint64_t)error);
}

/* The guest is told, and everything goes on. */
START_TEST(test_fault_01_blk_report)
{
    uint64_t buffer;
    int error = errors[_i % ERRORS];

    setup_mode((enum blk_mode)(_i / ERRORS), "report");
    buffer = blk_buffer(4096, 0x77);
    disk_fail(DISK_READ, error, 1);
    ck_assert_int_eq(blk_read(8, buffer, 4096).status, BLK_S_IOERR);
    ck_assert(blk_is_all(buffer, 4096, 0x77));
    disk_fail(DISK_WRITE, error, 1);
    ck_assert_int_eq(blk_write(8, buffer, 4096).status, BLK_S_IOERR);
    ck_assert_int_eq(blk_image_byte(8 * 512), 8);
    disk_fail(DISK_ALLOCATE, error, 1);
    ck_assert_int_eq(blk_segment(BLK_T_DISCARD, 8, 8, 0).status, BLK_S_IOERR);
    disk_fail(DISK_ALLOCATE, error, 1);
    ck_assert_int_eq(blk_segment(BLK_T_WRITE_ZEROES, 8, 8, 1).status, BLK_S_IOERR);
    ck_assert_uint_eq(guest_get_u64(&guest, "errors"), 4);
    ck_assert_uint_eq(guest_pauses(&guest), 0);
    check_event(0, error);
    ck_assert_uint_eq(guest_events(&guest), 1); /* at most one a second */
    blk_works();
    teardown();
}
END_TEST

/* What failed once may be gone though a second try succeeds: no flush says OK until a reset. */
START_TEST(test_fault_01_blk_failed_flush)
{
    const char *const policies[] = { "report", "stop", "stop_on_enospc" };

    setup_mode((enum blk_mode)(_i / 3), policies[_i % 3]);
    ck_assert_int_eq(blk_flush().status, BLK_S_OK);
    disk_fail(DISK_SYNC, ENOSPC, 1);
    ck_assert_int_eq(blk_flush().status, BLK_S_IOERR);
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(blk_flush().status, BLK_S_IOERR);
    check_event(0, ENOSPC);
    ck_assert_uint_eq(guest_pauses(&guest), _i % 3 == 0 ? 0 : 1);
    guest_pause(&guest);
    guest_resume(&guest);
    ck_assert_int_eq(blk_flush().status, BLK_S_IOERR);
    blk_works();
    ck_assert_int_eq(guest_drive(&guest, GUEST_ALL), 0);
    ck_assert_int_eq(blk_flush().status, BLK_S_OK);
    teardown();
}
END_TEST

/* Nor does it in a clone, whose disk is a copy of one that may lack what was written. */
START_TEST(test_fault_01_blk_failed_flush_is_saved)
{
    struct nv_writer writer = { 0 };
    struct nv_reader reader;

    setup_mode((enum blk_mode)_i, "report");
    disk_fail(DISK_SYNC, EIO, 1);
    ck_assert_int_eq(blk_flush().status, BLK_S_IOERR);
    guest_pause(&guest);
    ck_nv_ok(nv_device_save(guest.device, &writer, &error));
    guest_unbuild(&guest);
    ck_assert_int_eq(guest_wire(&guest), 0);
    reader = (struct nv_reader){ .bytes = writer.bytes, .left = writer.length };
    ck_nv_ok(nv_device_load(guest.device, &reader, &error));
    guest_resume(&guest);
    nv_writer_destroy(&writer);
    ck_assert_int_eq(blk_flush().status, BLK_S_IOERR);
    blk_works();
    ck_assert_int_eq(guest_drive(&guest, GUEST_ALL), 0);
    ck_assert_int_eq(blk_flush().status, BLK_S_OK);
    teardown();
}
END_TEST

START_TEST(test_fault_01_blk_failed_write_through)
{
    setup_mode((enum blk_mode)_i, "stop");
    guest_set_config(&guest, BLK_CONFIG_WRITEBACK, 1, 0);
    ck_assert_int_eq(blk_write(4, blk_buffer(512, 9), 512).status, BLK_S_OK);
    ck_assert_int_eq(disk_count(DISK_SYNC), 1);
    disk_fail(DISK_SYNC, EIO, 1);
    ck_assert_int_eq(blk_write(4, blk_buffer(512, 9), 512).status, BLK_S_IOERR);
    ck_assert_int_eq(blk_flush().status, BLK_S_IOERR);
    teardown();
}
END_TEST

/* Requests are held, the owner is told once, and they are done when the VM goes on. */
START_TEST(test_fault_01_blk_stop)
{
    enum { COUNT = 5 };
    uint64_t status[COUNT];
    uint64_t buffer[COUNT];
    bool is_full = _i % ERRORS == 1 || _i % ERRORS == 2;

    setup_mode((enum blk_mode)(_i / ERRORS), is_full ? "stop_on_enospc" : "stop");
    disk_fail(DISK_WRITE, errors[_i % ERRORS], -1);
    disk_fail(DISK_READ, errors[_i % ERRORS], -1);
    for (int i = 0; i < COUNT; i++) {
        buffer[i] = blk_buffer(512, 0x50 + i);
        status[i] = blk_add(0, i == 0 ? BLK_T_IN : BLK_T_OUT, 20 + (uint64_t)i,
                            &(struct guest_part){ buffer[i], 512, i == 0 }, 1);
    }
    guest_kick(&guest, 0);
    wait_until(blk_held() == COUNT && disk_blocked() == 0);
    check_event(0, errors[_i % ERRORS]);
    wait_until(guest_pauses(&guest) == 1);
    guest_pause(&guest);
    ck_assert(!guest_wait_used(&guest, 0, NULL, NULL, 20));
    for (int i = 0; i < COUNT; i++)
        ck_assert_int_eq(blk_status(status[i]), 0xaa);

    /* Not yet: told again. Then the disk is well. */
    guest_resume(&guest);
    wait_until(guest_pauses(&guest) == 2 && guest_events(&guest) == 2);
    guest_pause(&guest);
    disk_clear(false);
    guest_resume(&guest);
    for (int i = 0; i < COUNT; i++)
        blk_wait(0);
    ck_assert(blk_is_all(buffer[0], 512, 20));
    for (int i = 0; i < COUNT; i++) {
        ck_assert_int_eq(blk_status(status[i]), BLK_S_OK);
        ck_assert(i == 0 || blk_image_byte((20 + i) * 512) == 0x50 + i);
    }
    ck_assert_uint_eq(guest_events(&guest), 2);
    teardown();
}
END_TEST

START_TEST(test_fault_01_blk_other_errors_than_full)
{
    setup_mode((enum blk_mode)_i, "stop_on_enospc");
    disk_fail(DISK_WRITE, EIO, 1);
    ck_assert_int_eq(blk_write(4, blk_buffer(512, 9), 512).status, BLK_S_IOERR);
    ck_assert_uint_eq(guest_pauses(&guest), 0);
    teardown();
}
END_TEST

/* A guest that resets its disk does not wait for the host to be mended; nor does the end. */
START_TEST(test_fault_01_blk_reset_while_held)
{
    uint64_t status;

    setup_mode((enum blk_mode)_i, "stop");
    for (int i = 0; i < 2; i++) {
        disk_fail(DISK_WRITE, EIO, 1);
        status =
            blk_add(0, BLK_T_OUT, 20, &(struct guest_part){ blk_buffer(512, 1), 512, false }, 1);
        guest_kick(&guest, 0);
        wait_until(guest_pauses(&guest) == (unsigned)i + 1);
        ck_assert_int_eq(blk_status(status), 0xaa);
        if (i == 0) {
            ck_assert_int_eq(guest_drive(&guest, GUEST_ALL), 0);
            ck_assert_uint_eq(blk_held(), 0);
            guest_resume(&guest);
            ck_assert_int_eq(blk_image_byte(20 * 512), 20);
            blk_works();
        }
    }
    guest_stop(&guest);
    guest_unbuild(&guest);
    blk_begin();
    blk_works();
    teardown();
}
END_TEST

/* The real thing: a file system of 64 KiB. In a mount namespace that ends with the test. */
START_TEST(test_fault_01_blk_full_file_system)
{
    char filler[160];
    int fd;

    disk_clear(true);
    blk_setup((enum blk_mode)_i);
    if (unshare(CLONE_NEWNS) < 0 || mount("none", "/", "none", MS_REC | MS_PRIVATE, NULL) < 0 ||
        mount("none", blk_folder, "tmpfs", 0, "size=64k") < 0) {
        fprintf(stderr, "full file system not tried: mounting is not allowed here\n");
        blk_teardown();
        return;
    }
    fd = open(blk_path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    ck_assert_int_eq(ftruncate(fd, 1024 * 1024), 0);
    close(fd);
    snprintf(filler, sizeof(filler), "%s/filler", blk_folder);
    fd = open(filler, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    ck_assert_int_eq(fallocate(fd, 0, 0, 60 * 1024), 0);
    close(fd);
    blk_set_text("on_error", "stop_on_enospc");
    blk_begin();
    blk_add(0, BLK_T_OUT, 64, &(struct guest_part){ blk_buffer(16384, 0x21), 16384, false }, 1);
    guest_kick(&guest, 0);
    wait_until(guest_pauses(&guest) == 1);
    check_event(0, ENOSPC);
    guest_pause(&guest);
    unlink(filler);
    guest_resume(&guest);
    ck_assert_uint_eq(blk_wait(0), 1);
    ck_assert_int_eq(blk_image_byte(64 * 512), 0x21);
    ck_assert_int_eq(blk_image_byte(64 * 512 + 16383), 0x21);
    ck_assert_int_eq(blk_image_byte(64 * 512 + 16384), 0);
    guest_unbuild(&guest);
    umount(blk_folder);
    blk_teardown();
}
END_TEST

/* Each byte moves once, however small the pieces and often the interruptions. */
START_TEST(test_fault_02_blk_short_and_interrupted)
{
    const unsigned cuts[] = { 1, 7, 511, 512, 3000 };
    struct guest_part parts[3];
    uint64_t buffer;

    for (size_t i = 0; i < NV_ARRAY_SIZE(cuts); i++) {
        setup_mode((enum blk_mode)_i, "report");
        disk_cut(cuts[i]);
        disk_fail(DISK_READ, EINTR, 3);
        disk_fail(DISK_WRITE, EINTR, 3);
        disk_fail(DISK_SYNC, EINTR, 2);
        disk_fail(DISK_ALLOCATE, EINTR, 2);
        buffer = blk_buffer(4096, 0);
        for (uint32_t j = 0; j < 4096; j++)
            *(uint8_t *)guest_mem(&guest, buffer + j, 1) = (uint8_t)(j * 7 + j / 256);
        parts[0] = (struct guest_part){ buffer, 100, false };
        parts[1] = (struct guest_part){ buffer + 100, 2500, false };
        parts[2] = (struct guest_part){ buffer + 2600, 4096 - 2600, false };
        ck_assert_int_eq(blk_request(BLK_T_OUT, 8, parts, 3).status, BLK_S_OK);
        ck_assert_int_eq(blk_flush().status, BLK_S_OK);
        for (uint32_t j = 0; j < 4096; j++)
            ck_assert_int_eq(blk_image_byte(8 * 512 + j), (uint8_t)(j * 7 + j / 256));
        memset(guest_mem(&guest, buffer, 4096), 0, 4096);
        for (int j = 0; j < 3; j++)
            parts[j].is_writable = true;
        disk_fail(DISK_READ, EAGAIN, 2);
        if (cuts[i] > 1) /* once also with a part of it cached */
            disk_fail(DISK_CACHED, 0, 0);
        ck_assert_int_eq(blk_request(BLK_T_IN, 8, parts, 3).status, BLK_S_OK);
        for (uint32_t j = 0; j < 4096; j++)
            ck_assert_int_eq(*(uint8_t *)guest_mem(&guest, buffer + j, 1),
                             (uint8_t)(j * 7 + j / 256));
        ck_assert_int_eq(blk_segment(BLK_T_WRITE_ZEROES, 30, 8, 0).status, BLK_S_OK);
        ck_assert_int_eq(blk_image_byte(8 * 512 - 1), 7);
        ck_assert_int_eq(blk_image_byte(16 * 512), 16);
        ck_assert_uint_eq(guest_get_u64(&guest, "errors"), 0);
        teardown();
    }
}
END_TEST

/* File systems without the calls: zeroes are written, discards refused, cached reads not tried. */
START_TEST(test_fault_02_blk_missing_calls)
{
    int tried;

    setup_mode((enum blk_mode)_i, "stop");
    disk_fail(DISK_ALLOCATE, EOPNOTSUPP, -1);
    disk_cut(1000);
    ck_assert_int_eq(blk_segment(BLK_T_WRITE_ZEROES, 30, 8, 1).status, BLK_S_OK);
    ck_assert_int_eq(blk_image_byte(30 * 512), 0);
    ck_assert_int_eq(blk_image_byte(38 * 512 - 1), 0);
    ck_assert_int_eq(blk_image_byte(38 * 512), 38);
    ck_assert_int_eq(blk_segment(BLK_T_DISCARD, 50, 8, 0).status, BLK_S_UNSUPP);
    ck_assert_int_eq(blk_image_byte(50 * 512), 50);
    ck_assert_uint_eq(guest_events(&guest), 0);
    disk_fail(DISK_CACHED, EOPNOTSUPP, -1);
    blk_works();
    tried = disk_count(DISK_CACHED);
    blk_works();
    ck_assert_int_eq(disk_count(DISK_CACHED), tried);
    teardown();
}
END_TEST

/* A limit on the size of files gives an error, never the signal. */
START_TEST(test_fault_03_blk_file_size_limit)
{
    const struct rlimit limit = { 8192, RLIM_INFINITY };
    const struct rlimit none = { RLIM_INFINITY, RLIM_INFINITY };

    disk_clear(true);
    signal(SIGXFSZ, SIG_DFL);
    blk_setup((enum blk_mode)_i);
    blk_begin();
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    ck_assert_int_eq(blk_write(64, blk_buffer(4096, 1), 4096).status, BLK_S_IOERR);
    ck_assert_int_eq(blk_write(8, blk_buffer(8192, 1), 8192).status, BLK_S_IOERR);
    ck_assert_int_eq(blk_write(0, blk_buffer(512, 1), 512).status, BLK_S_OK);
    check_event(0, EFBIG);
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &none), 0);
    ck_assert_int_eq(blk_write(64, blk_buffer(4096, 1), 4096).status, BLK_S_OK);
    blk_teardown();
}
END_TEST

START_TEST(test_fault_04_blk_truncated)
{
    uint64_t buffer;

    disk_clear(true);
    blk_setup((enum blk_mode)_i);
    blk_begin();
    blk_works();
    buffer = blk_buffer(4096, 0xee);
    ck_assert_int_eq(truncate(blk_path, 18 * 512), 0);
    ck_assert_int_eq(blk_read(16, buffer, 4096).status, BLK_S_IOERR);
    ck_assert_int_eq(blk_read(64, buffer, 4096).status, BLK_S_IOERR);
    ck_assert_int_eq(blk_write(16, buffer, 4096).status, BLK_S_IOERR);
    ck_assert_int_eq(blk_write(64, buffer, 4096).status, BLK_S_IOERR);
    blk_segment(BLK_T_DISCARD, 16, 8, 0);
    blk_segment(BLK_T_WRITE_ZEROES, 64, 8, 0);
    ck_assert_uint_eq(blk_image_size(), 18 * 512);
    blk_works();
    blk_set("resize", 0);
    ck_assert_uint_eq(guest_get_u64(&guest, "capacity"), 18);
    ck_assert_int_eq(truncate(blk_path, 0), 0);
    ck_assert_int_eq(guest_set_u64(&guest, "resize", 0), -EINVAL);
    ck_assert_uint_eq(guest_get_u64(&guest, "capacity"), 18);
    ck_assert_int_eq(blk_read(0, buffer, 512).status, BLK_S_IOERR);
    blk_teardown();
}
END_TEST

/* Reads of neighbours are one call; what it does not give goes on by itself. */
START_TEST(test_fault_02_blk_neighbours)
{
    enum { COUNT = 40, PARTS = 4 };
    uint64_t status[COUNT];
    uint64_t buffer[COUNT];
    const unsigned cuts[] = { 0, 128, 700, 5 };

    disk_clear(true);
    blk_setup((enum blk_mode)_i);
    guest.ring_size = 256;
    blk_begin();
    for (size_t i = 0; i < NV_ARRAY_SIZE(cuts); i++) {
        disk_clear(true);
        disk_cut(cuts[i]);
        for (int j = 0; j < COUNT; j++) {
            struct guest_part parts[PARTS];

            buffer[j] = blk_buffer(512, 0xee);
            for (uint32_t k = 0; k < PARTS; k++)
                parts[k] = (struct guest_part){ buffer[j] + 128ull * k, 128, true };
            /* Neighbours, but for a gap after each ten. */
            status[j] = blk_add(0, BLK_T_IN, (uint64_t)j + (uint64_t)j / 10, parts, PARTS);
        }
        guest_kick(&guest, 0);
        for (int j = 0; j < COUNT; j++)
            ck_assert_uint_eq(blk_wait(0), 513);
        for (int j = 0; j < COUNT; j++) {
            ck_assert_int_eq(blk_status(status[j]), BLK_S_OK);
            ck_assert(blk_is_all(buffer[j], 512, j + j / 10));
        }
        if (cuts[i] == 0 && _i == BLK_MODE_HERE) { /* else maybe in several passes */
            ck_assert_int_eq(disk_count(DISK_CACHED), 4);
            ck_assert_int_eq(disk_count(DISK_READ), 0);
        }
    }
    teardown();
}
END_TEST

Suite *nv_test_suite(void)
{
    Suite *suite = suite_create("blk_faults");
    int modes = blk_modes();
    TCase *tcase = blk_case(suite, "faults", 120);

    tcase_add_loop_test(tcase, test_fault_01_blk_report, 0, 2 * ERRORS);
    tcase_add_loop_test(tcase, test_fault_01_blk_failed_flush, 0, 2 * 3);
    tcase_add_loop_test(tcase, test_fault_01_blk_failed_flush_is_saved, 0, 2);
    tcase_add_loop_test(tcase, test_fault_01_blk_failed_write_through, 0, 2);
    tcase_add_loop_test(tcase, test_fault_01_blk_stop, 0, 2 * ERRORS);
    tcase_add_loop_test(tcase, test_fault_01_blk_other_errors_than_full, 0, 2);
    tcase_add_loop_test(tcase, test_fault_01_blk_reset_while_held, 0, 2);
    tcase_add_loop_test(tcase, test_fault_01_blk_full_file_system, 1, modes);
    tcase_add_loop_test(tcase, test_fault_02_blk_short_and_interrupted, 0, 2);
    tcase_add_loop_test(tcase, test_fault_02_blk_missing_calls, 0, 2);
    tcase_add_loop_test(tcase, test_fault_03_blk_file_size_limit, 1, modes);
    tcase_add_loop_test(tcase, test_fault_04_blk_truncated, 0, modes);
    tcase_add_loop_test(tcase, test_fault_02_blk_neighbours, 0, 2);
    return suite;
}
