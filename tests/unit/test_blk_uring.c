/* SPDX-License-Identifier: Apache-2.0 */
/* Proves that a disk does without io_uring when the kernel takes no more transfers by it. */
#include <dlfcn.h>
#include <liburing.h>
#include <unistd.h>

#include "blk_guest.h"

/* What becomes of submissions: after so many good ones, only so many of each one's transfers. */
static struct {
    atomic_int spared;
    atomic_int taken; /* 0: all fail */
    atomic_uint calls;
    int (*submit)(struct io_uring *ring);
} fault;

static int submit(struct io_uring *ring)
{
    unsigned end = ring->sq.sqe_tail;
    unsigned taken = (unsigned)atomic_load(&fault.taken);
    int r;

    atomic_fetch_add(&fault.calls, 1);
    if (atomic_fetch_sub(&fault.spared, 1) > 0 || taken >= end - ring->sq.sqe_head)
        return fault.submit(ring);
    ring->sq.sqe_tail = ring->sq.sqe_head + taken;
    r = fault.submit(ring);
    ring->sq.sqe_tail = end;
    return taken ? r : -EPERM;
}

void *__real_dlsym(void *library, const char *name);
void *__wrap_dlsym(void *library, const char *name);
void *__wrap_dlsym(void *library, const char *name)
{
    void *symbol = __real_dlsym(library, name);
    void *ours = NULL;

    if (strcmp(name, "io_uring_submit") != 0 || !symbol)
        return symbol;
    /* ISO C has no cast between these two. */
    memcpy(&fault.submit, &symbol, sizeof(symbol));
    memcpy(&ours, &(int (*)(struct io_uring *)){ submit }, sizeof(ours));
    return ours;
}

static void setup(int spared, int taken)
{
    atomic_store(&fault.spared, spared);
    atomic_store(&fault.taken, taken);
    atomic_store(&fault.calls, 0);
    if (blk_modes() <= BLK_MODE_URING)
        support_skip("no io_uring here");
    blk_setup(BLK_MODE_URING);
    guest.ring_size = 256;
    ck_assert_int_eq(truncate(blk_path, 1 << 20), 0);
    blk_begin();
}

/* Writes to a sector each, several in one pass. */
static void write_all(unsigned count)
{
    uint64_t status[64];

    for (unsigned i = 0; i < count; i++)
        status[i] = blk_add(0, BLK_T_OUT, 200 + i,
                            &(struct guest_part){ blk_buffer(512, 0x40 + (int)i), 512, false }, 1);
    guest_kick(&guest, 0);
    for (unsigned i = 0; i < count; i++)
        blk_wait(0);
    for (unsigned i = 0; i < count; i++) {
        ck_assert_int_eq(blk_status(status[i]), BLK_S_OK);
        ck_assert_int_eq(blk_image_byte((200 + i) * 512ull), 0x40 + (int)i);
        ck_assert_int_eq(blk_image_byte((201 + i) * 512ull - 1), 0x40 + (int)i);
    }
}

/* All that is refused is done by threads, each request once, and nobody asks without end. */
START_TEST(test_fault_02_blk_uring_refuses)
{
    setup(_i, _i == 2 ? 3 : 0);
    for (unsigned round = 1; round <= 20; round++) {
        write_all(40);
        ck_assert_uint_eq(guest_get_u64(&guest, "writes"), 40 * round);
    }
    ck_assert_uint_eq(guest_get_u64(&guest, "errors"), 0);
    ck_assert_uint_le(atomic_load(&fault.calls), 20 * 40);
    atomic_store(&fault.spared, 1000000);
    write_all(40);
    blk_teardown();
}
END_TEST

/* The device can be taken apart and built again all the same, at any moment. */
START_TEST(test_fault_02_blk_uring_refuses_at_the_end)
{
    for (int round = 0; round < 30; round++) {
        setup(round % 3, round % 2);
        for (unsigned i = 0; i < 30; i++)
            blk_add(0, BLK_T_OUT, 200 + i,
                    &(struct guest_part){ blk_buffer(512, 0x40), 512, false }, 1);
        guest_kick(&guest, 0);
        usleep((unsigned)round * 20);
        guest_unbuild(&guest);
        blk_teardown();
    }
}
END_TEST

Suite *nv_test_suite(void)
{
    Suite *suite = suite_create("blk_uring");
    TCase *tcase = blk_case(suite, "refused", 60);

    tcase_add_loop_test(tcase, test_fault_02_blk_uring_refuses, 0, 3);
    tcase_add_test(tcase, test_fault_02_blk_uring_refuses_at_the_end);
    return suite;
}
