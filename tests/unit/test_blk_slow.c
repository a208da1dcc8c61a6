/* SPDX-License-Identifier: Apache-2.0 */
/* Proves that a disk which does not answer, or cannot be had, holds up nothing but itself. */
#include <pthread.h>
#include <unistd.h>

#include "blk_faults.h"
#include "blk_guest.h"

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

/* A medium that does not answer holds up nothing but its own requests. */
START_TEST(test_fault_06_blk_slow_disk)
{
    static struct virtio_guest other;
    uint64_t begin_ns;
    uint64_t buffer;
    uint32_t zero = 0;

    setup_mode(BLK_MODE_THREADS, "report");
    ck_assert_int_eq(guest_new(&other, "rng", 0), 0);
    other.loop = other.env.loop = nv_loop_ref(guest.loop);
    ck_assert_int_eq(guest_wire(&other), 0);
    guest_start(&other);
    ck_assert_int_eq(guest_drive(&other, GUEST_ALL), 0);

    disk_block(DISK_READ, true);
    disk_block(DISK_WRITE, true);
    for (int i = 0; i < 8; i++)
        blk_add(0, i % 2 ? BLK_T_OUT : BLK_T_IN, 20,
                &(struct guest_part){ blk_buffer(512, 1), 512, i % 2 == 0 }, 1);
    guest_kick(&guest, 0);
    wait_until(disk_blocked() == 2); /* both threads of the disk */

    begin_ns = nv_now_ns();
    for (int i = 0; i < 20; i++) {
        buffer = guest_alloc(&other, 64);
        guest_add(&other, 0, &(struct guest_part){ buffer, 64, true }, 1);
        guest_kick(&other, 0);
        ck_assert(guest_wait_used(&other, 0, NULL, NULL, BLK_TIMEOUT_MS));
    }
    /* A reset waits, but lets the vCPU look around again and again. */
    ck_assert_int_eq(guest_access_once(&guest, NV_VIRTIO_REG_STATUS, 4, true, &zero),
                     NV_ACTION_AGAIN);
    ck_assert_uint_eq(blk_held(), 2); /* those not begun are gone */
    guest_pause(&guest);
    guest_resume(&guest);
    guest_stop(&guest);
    ck_assert_uint_lt(nv_now_ns() - begin_ns, 5000000000ull);
    ck_assert_int_eq(disk_blocked(), 2);
    disk_clear(false);
    guest_unbuild(&guest);
    guest_free(&other);
    teardown();
}
END_TEST

/* A single thread tells what it has done before it begins what may take long. */
START_TEST(test_fault_06_blk_answers_before_slow_work)
{
    uint64_t status;

    disk_clear(false);
    blk_setup(BLK_MODE_THREADS);
    blk_set("workers", 1);
    blk_begin();
    disk_block(DISK_SYNC, true);
    status = blk_add(0, BLK_T_OUT, 20, &(struct guest_part){ blk_buffer(512, 1), 512, false }, 1);
    blk_add(0, BLK_T_FLUSH, 0, NULL, 0);
    guest_kick(&guest, 0);
    blk_wait(0);
    ck_assert_int_eq(blk_status(status), BLK_S_OK);
    wait_until(disk_blocked() == 1);
    disk_clear(false);
    blk_wait(0);
    teardown();
}
END_TEST

/*
 * What fails while the guest resets its disk, or switches the queue off, is not kept for later: the
 * guest waits for it, and nobody could let it go.
 */
START_TEST(test_fault_06_blk_fails_during_reset)
{
    uint64_t offset = _i ? NV_VIRTIO_REG_QUEUE_READY : NV_VIRTIO_REG_STATUS;
    uint32_t zero = 0;

    setup_mode(BLK_MODE_THREADS, "stop");
    disk_block(DISK_WRITE, true);
    disk_fail(DISK_WRITE, EIO, -1);
    blk_add(0, BLK_T_OUT, 20, &(struct guest_part){ blk_buffer(512, 1), 512, false }, 1);
    guest_kick(&guest, 0);
    wait_until(disk_blocked() == 1);
    guest_write32(&guest, NV_VIRTIO_REG_QUEUE_SEL, 0);
    ck_assert_int_eq(guest_access_once(&guest, offset, 4, true, &zero), NV_ACTION_AGAIN);
    disk_block(DISK_WRITE, false);
    for (int i = 0; blk_held() > 0 && i < 4000; i++)
        guest_access_once(&guest, offset, 4, true, &zero);
    ck_assert_uint_eq(blk_held(), 0);
    ck_assert_uint_eq(guest_pauses(&guest), 0);
    disk_clear(false);
    ck_assert_int_eq(guest_drive(&guest, GUEST_ALL), 0);
    blk_works();
    teardown();
}
END_TEST

/* What began before the owner mended the disk, and fails after it, does not stop the VM again. */
START_TEST(test_fault_06_blk_fails_after_going_on)
{
    uint64_t status;

    setup_mode(BLK_MODE_THREADS, "stop");
    disk_fail(DISK_WRITE, EIO, 2);
    blk_add(0, BLK_T_OUT, 20, &(struct guest_part){ blk_buffer(512, 1), 512, false }, 1);
    guest_kick(&guest, 0);
    wait_until(guest_pauses(&guest) == 1);
    guest_pause(&guest);
    guest_resume(&guest); /* the first is tried again, and fails again */
    wait_until(guest_pauses(&guest) == 2);
    disk_fail(DISK_WRITE, EIO, 1);
    disk_block(DISK_WRITE, true);
    status = blk_add(0, BLK_T_OUT, 21, &(struct guest_part){ blk_buffer(512, 2), 512, false }, 1);
    guest_kick(&guest, 0);
    wait_until(disk_blocked() == 1);
    guest_pause(&guest);
    guest_resume(&guest);
    wait_until(disk_blocked() == 2); /* the first is on its way once more */
    disk_block(DISK_WRITE, false);
    blk_wait(0);
    blk_wait(0);
    ck_assert_int_eq(blk_status(status), BLK_S_OK);
    ck_assert_uint_eq(guest_pauses(&guest), 2);
    ck_assert_int_eq(blk_image_byte(20 * 512), 1);
    ck_assert_int_eq(blk_image_byte(21 * 512), 2);
    teardown();
}
END_TEST

/* A request of several MiB, from buffers that are one and the same. */
enum { LONG_PARTS = 16, LONG_PART = 512 * 1024, LONG_SECTOR = 2048 };

static uint64_t begin_long(void)
{
    struct guest_part parts[LONG_PARTS];
    uint64_t buffer;
    uint64_t status;

    disk_clear(false);
    blk_setup(BLK_MODE_THREADS);
    ck_assert_int_eq(truncate(blk_path, 16 << 20), 0);
    blk_begin();
    buffer = blk_buffer(LONG_PART, 0x5a);
    for (int i = 0; i < LONG_PARTS; i++)
        parts[i] = (struct guest_part){ buffer, LONG_PART, false };
    disk_block(DISK_WRITE, true);
    status = blk_add(0, BLK_T_OUT, LONG_SECTOR, parts, LONG_PARTS);
    guest_kick(&guest, 0);
    wait_until(disk_blocked() == 1);
    return status;
}

/* What was under way came to its end, and nothing else of the request has begun. */
static void check_one_piece(void)
{
    ck_assert_int_eq(disk_count(DISK_WRITE), 1);
    ck_assert_int_eq(blk_image_byte(LONG_SECTOR * 512), 0x5a);
    ck_assert_int_eq(blk_image_byte(LONG_SECTOR * 512 + NV_DISK_PIECE - 1), 0x5a);
    ck_assert_int_eq(blk_image_byte(LONG_SECTOR * 512 + NV_DISK_PIECE), 0);
}

/* A reset, or a queue switched off, waits for a piece of a long request and not for all of it. */
START_TEST(test_fault_06_blk_reset_ends_long_request)
{
    uint64_t offset = _i ? NV_VIRTIO_REG_QUEUE_READY : NV_VIRTIO_REG_STATUS;
    uint32_t zero = 0;

    begin_long();
    guest_write32(&guest, NV_VIRTIO_REG_QUEUE_SEL, 0);
    ck_assert_int_eq(guest_access_once(&guest, offset, 4, true, &zero), NV_ACTION_AGAIN);
    disk_block(DISK_WRITE, false);
    guest_access(&guest, offset, 4, true, &zero);
    ck_assert_uint_eq(blk_held(), 0);
    check_one_piece();
    guest_reset(&guest);
    ck_assert_int_eq(guest_drive(&guest, GUEST_ALL), 0);
    blk_works();
    teardown();
}
END_TEST

static void *let_go(void *argument)
{
    usleep(100000);
    disk_block(DISK_WRITE, false);
    return NULL;
}

/* Nor do a build and the end of the VM. Nobody is told that the disk failed. */
START_TEST(test_fault_06_blk_unbuild_ends_long_request)
{
    pthread_t thread;

    begin_long();
    guest_stop(&guest);
    ck_assert_int_eq(pthread_create(&thread, NULL, let_go, NULL), 0);
    guest_unbuild(&guest);
    pthread_join(thread, NULL);
    check_one_piece();
    ck_assert_uint_eq(guest_events(&guest), 0);
    teardown();
}
END_TEST

/* Left alone, each piece is done, once and in its place. */
START_TEST(test_fault_06_blk_long_request)
{
    uint64_t status = begin_long();

    disk_block(DISK_WRITE, false);
    ck_assert_uint_eq(blk_wait(0), 1);
    ck_assert_int_eq(blk_status(status), BLK_S_OK);
    ck_assert_int_eq(disk_count(DISK_WRITE), LONG_PARTS * LONG_PART / NV_DISK_PIECE);
    ck_assert_int_eq(blk_image_byte(LONG_SECTOR * 512 - 1), 0);
    for (int i = 0; i < LONG_PARTS; i++)
        ck_assert_int_eq(blk_image_byte(LONG_SECTOR * 512 + (uint64_t)i * LONG_PART), 0x5a);
    ck_assert_int_eq(blk_image_byte(LONG_SECTOR * 512 + LONG_PARTS * LONG_PART - 1), 0x5a);
    ck_assert_int_eq(blk_image_byte(LONG_SECTOR * 512 + LONG_PARTS * LONG_PART), 0);
    teardown();
}
END_TEST

/* What cannot be had when the device is built. */
START_TEST(test_fault_11_blk_resources)
{
    disk_clear(true);
    blk_setup(BLK_MODE_THREADS);
    for (int k = 0; k < 4; k++) {
        disk_fail_after(DISK_THREAD, EAGAIN, k);
        ck_assert_int_eq(guest_wire(&guest), k < 2 ? -EAGAIN : 0);
        ck_assert(k >= 2 || strstr(guest.error, "ulimit -u"));
        guest_unbuild(&guest);
    }
    disk_clear(true);
    for (int k = 0; k < 4; k++) {
        disk_fail_after(DISK_CALLOC, ENOMEM, k);
        if (guest_wire(&guest) == 0)
            break;
        ck_assert(k < 3);
    }
    disk_clear(true);
    guest_unbuild(&guest);
    blk_begin();
    blk_works();
    blk_teardown();
}
END_TEST

Suite *nv_test_suite(void)
{
    Suite *suite = suite_create("blk_slow");
    TCase *tcase = blk_case(suite, "slow", 120);

    tcase_add_test(tcase, test_fault_06_blk_slow_disk);
    tcase_add_test(tcase, test_fault_06_blk_answers_before_slow_work);
    tcase_add_loop_test(tcase, test_fault_06_blk_fails_during_reset, 0, 2);
    tcase_add_test(tcase, test_fault_06_blk_fails_after_going_on);
    tcase_add_loop_test(tcase, test_fault_06_blk_reset_ends_long_request, 0, 2);
    tcase_add_test(tcase, test_fault_06_blk_unbuild_ends_long_request);
    tcase_add_test(tcase, test_fault_06_blk_long_request);
    tcase_add_test(tcase, test_fault_11_blk_resources);
    return suite;
}
