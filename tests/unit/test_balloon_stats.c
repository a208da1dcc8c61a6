/* SPDX-License-Identifier: Apache-2.0 */
/* Proves the balloon's statistics: asked for in time, and read with care. */
#include <string.h>
#include <unistd.h>

#include "core/util.h"
#include "support.h"
#include "virtio_guest.h"

enum { STATS = 2, STAT_BYTES = 10, WAIT_MS = 20000 };
enum { FREE_MEMORY = 4, TOTAL_MEMORY = 5, LAST_TAG = 15 };

static struct virtio_guest guest;

static void setup(void)
{
    ck_assert_int_eq(guest_new(&guest, "balloon", GUEST_LOOP), 0);
}

static void teardown(void)
{
    guest_free(&guest);
}

static void drive(void)
{
    ck_assert_int_eq(guest_wire(&guest), 0);
    guest_start(&guest);
    ck_assert_int_eq(guest_drive(&guest, GUEST_ALL), 0);
}

static uint64_t list;
static uint32_t list_length;

static void put(uint16_t tag, uint64_t value)
{
    uint8_t *at = guest_mem(&guest, list + list_length, STAT_BYTES);

    nv_put_le16(at, tag);
    nv_put_le64(at + 2, value);
    list_length += STAT_BYTES;
}

static void begin_list(void)
{
    list = guest_alloc(&guest, 4096);
    list_length = 0;
    ck_assert(list);
}

static void send_list(uint32_t length)
{
    ck_assert_int_ge(guest_add(&guest, STATS, &(struct guest_part){ list, length, false }, 1), 0);
    guest_kick(&guest, STATS);
}

static uint64_t wait_updates(uint64_t least)
{
    uint64_t value = 0;

    for (unsigned i = 0; i < WAIT_MS; i++) {
        value = guest_get_u64(&guest, "stats_updates");
        if (value >= least)
            break;
        usleep(1000);
    }
    return value;
}

static bool is_asked(unsigned timeout_ms)
{
    return guest_wait_used(&guest, STATS, NULL, NULL, timeout_ms);
}

START_TEST(test_asked_in_time)
{
    ck_assert_int_eq(guest_set_u64(&guest, "stats_interval_ms", 20), 0);
    drive();
    for (uint64_t round = 1; round <= 5; round++) {
        begin_list();
        put(FREE_MEMORY, round << 40);
        put(TOTAL_MEMORY, 1000);
        send_list(list_length);
        ck_assert_uint_eq(wait_updates(round), round);
        ck_assert_uint_eq(guest_get_u64(&guest, "stat_free_memory"), round << 40);
        ck_assert_uint_eq(guest_get_u64(&guest, "stat_total_memory"), 1000);
        ck_assert(is_asked(WAIT_MS));
    }
    ck_assert(!is_asked(100)); /* a guest that does not answer is not asked again */
}
END_TEST

START_TEST(test_interval_is_live)
{
    drive();
    begin_list();
    send_list(0);
    ck_assert(!is_asked(50));
    ck_assert_int_eq(guest_set_u64(&guest, "stats_interval_ms", 10), 0);
    ck_assert(is_asked(WAIT_MS));
    send_list(0);
    ck_assert_uint_eq(wait_updates(2), 2);
    ck_assert_int_eq(guest_set_u64(&guest, "stats_interval_ms", 0), 0);
    is_asked(50); /* one may have been under way */
    send_list(0);
    ck_assert(!is_asked(50));
}
END_TEST

START_TEST(test_every_tag)
{
    static const char *const names[] = {
        "stat_swap_in",          "stat_swap_out",     "stat_major_faults",
        "stat_minor_faults",     "stat_free_memory",  "stat_total_memory",
        "stat_available_memory", "stat_disk_caches",  "stat_hugetlb_allocations",
        "stat_hugetlb_failures", "stat_oom_kills",    "stat_allocation_stalls",
        "stat_async_scans",      "stat_direct_scans", "stat_async_reclaims",
        "stat_direct_reclaims",
    };

    drive();
    begin_list();
    for (uint16_t tag = 0; tag <= LAST_TAG; tag++)
        put(tag, 1000u + tag);
    send_list(list_length);
    ck_assert_uint_eq(wait_updates(1), 1);
    for (uint16_t tag = 0; tag <= LAST_TAG; tag++)
        ck_assert_uint_eq(guest_get_u64(&guest, names[tag]), 1000u + tag);
}
END_TEST

START_TEST(test_hostile_51_balloon_unknown_tags)
{
    drive();
    begin_list();
    put(LAST_TAG + 1, 1);
    put(UINT16_MAX, 2);
    put(0x8000, 3);
    put(FREE_MEMORY, 77);
    put(256 + FREE_MEMORY, 4);
    send_list(list_length);
    ck_assert_uint_eq(wait_updates(1), 1);
    ck_assert_uint_eq(guest_get_u64(&guest, "stat_free_memory"), 77);
    ck_assert_uint_eq(guest_get_u64(&guest, "stat_total_memory"), 0);
    ck_assert_uint_eq(guest_get_u64(&guest, "faults"), 0);
    ck_assert_uint_eq(guest_log_lines(&guest), 0);
}
END_TEST

/* A list of any length: whole entries count, and no more than 64 of them. */
START_TEST(test_hostile_51_balloon_lengths)
{
    uint8_t *bytes;

    ck_assert_int_eq(guest_set_u64(&guest, "stats_interval_ms", 1), 0);
    drive();
    begin_list();
    put(FREE_MEMORY, 5);
    put(TOTAL_MEMORY, 6);
    send_list(2 * STAT_BYTES - 1);
    ck_assert_uint_eq(wait_updates(1), 1);
    ck_assert_uint_eq(guest_get_u64(&guest, "stat_free_memory"), 5);
    ck_assert_uint_eq(guest_get_u64(&guest, "stat_total_memory"), 0);
    ck_assert(is_asked(WAIT_MS));
    /* 1 MiB of entries. */
    list = GUEST_SPAN - 0x80000;
    bytes = guest_mem(&guest, list, 0x80000);
    for (uint32_t i = 0; i + STAT_BYTES <= 0x80000; i += STAT_BYTES) {
        nv_put_le16(bytes + i, FREE_MEMORY);
        nv_put_le64(bytes + i + 2, i / STAT_BYTES);
    }
    send_list(0x80000);
    ck_assert_uint_eq(wait_updates(2), 2);
    ck_assert_uint_eq(guest_get_u64(&guest, "stat_free_memory"), 63);
    ck_assert(is_asked(WAIT_MS));
    /* Nothing that is readable. */
    ck_assert_int_ge(guest_add(&guest, STATS, &(struct guest_part){ list, 100, true }, 1), 0);
    guest_kick(&guest, STATS);
    ck_assert_uint_eq(wait_updates(3), 3);
    ck_assert(is_asked(WAIT_MS));
    ck_assert_uint_eq(guest_get_u64(&guest, "faults"), 0);
}
END_TEST

/* A flood of lists: one is looked at, the others wait in the ring for their time. */
START_TEST(test_hostile_51_balloon_flood)
{
    drive();
    begin_list();
    put(FREE_MEMORY, 1);
    for (unsigned i = 0; i < 60; i++)
        send_list(list_length);
    for (unsigned i = 0; i < 5; i++) {
        uint64_t notified = guest_get_u64(&guest, "notified");

        for (unsigned k = 0; k < 1000; k++)
            guest_kick(&guest, STATS);
        while (guest_get_u64(&guest, "notified") == notified)
            usleep(100);
    }
    ck_assert(!is_asked(50));
    ck_assert_uint_eq(guest_get_u64(&guest, "stats_updates"), 1);
    ck_assert_int_eq(guest_set_u64(&guest, "stats_interval_ms", 1), 0);
    for (unsigned i = 0; i < 60; i++)
        ck_assert(is_asked(WAIT_MS));
    ck_assert_uint_eq(wait_updates(60), 60);
}
END_TEST

START_TEST(test_pause_and_reset)
{
    ck_assert_int_eq(guest_set_u64(&guest, "stats_interval_ms", 10), 0);
    drive();
    begin_list();
    send_list(0);
    ck_assert_uint_eq(wait_updates(1), 1);
    guest_pause(&guest);
    is_asked(50); /* perhaps before the pause */
    send_list(0);
    ck_assert(!is_asked(50));
    guest_resume(&guest);
    ck_assert(is_asked(WAIT_MS));
    /* A list that is held does not hold up a reset. */
    ck_assert_int_eq(guest_set_u64(&guest, "stats_interval_ms", 3600000), 0);
    send_list(0); /* the third; it waits in the ring if the timer had not asked before the pause */
    ck_assert_uint_ge(wait_updates(2), 2);
    guest_write32(&guest, NV_VIRTIO_REG_STATUS, 0);
    ck_assert_uint_eq(guest_read32(&guest, NV_VIRTIO_REG_STATUS), 0);
    ck_assert_int_eq(guest_set_u64(&guest, "stats_interval_ms", 1), 0);
    ck_assert_int_eq(guest_drive(&guest, GUEST_ALL), 0);
    begin_list();
    for (unsigned i = 0; i < 10; i++) {
        send_list(0);
        ck_assert(is_asked(WAIT_MS));
    }
}
END_TEST

/* A driver without statistics is never asked. */
START_TEST(test_not_accepted)
{
    ck_assert_int_eq(guest_set_u64(&guest, "stats_interval_ms", 1), 0);
    ck_assert_int_eq(guest_wire(&guest), 0);
    guest_start(&guest);
    ck_assert_int_eq(guest_drive(&guest, 0), 0);
    begin_list();
    put(FREE_MEMORY, 1);
    send_list(list_length);
    ck_assert(!is_asked(50));
    ck_assert_uint_eq(guest_get_u64(&guest, "stats_updates"), 0);
}
END_TEST

Suite *nv_test_suite(void)
{
    Suite *suite = suite_create("balloon_stats");
    TCase *tcase = support_case(suite, "statistics", 120);

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, test_asked_in_time);
    tcase_add_test(tcase, test_interval_is_live);
    tcase_add_test(tcase, test_every_tag);
    tcase_add_test(tcase, test_hostile_51_balloon_unknown_tags);
    tcase_add_test(tcase, test_hostile_51_balloon_lengths);
    tcase_add_test(tcase, test_hostile_51_balloon_flood);
    tcase_add_test(tcase, test_pause_and_reset);
    tcase_add_test(tcase, test_not_accepted);
    return suite;
}
