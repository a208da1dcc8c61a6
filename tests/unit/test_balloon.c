/* SPDX-License-Identifier: Apache-2.0 */
/* Proves that memory given to the balloon really goes back to the host, and only the guest's own.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/log.h"
#include "core/util.h"
#include "support.h"
#include "virtio_guest.h"

enum { INFLATE, DEFLATE, STATS, REPORTS = 4, PAGE = 4096, WAIT_MS = 20000 };
enum { NUM_PAGES = 0, ACTUAL = 4 };
enum { F_STATS_VQ = 1 << 1, F_DEFLATE_ON_OOM = 1 << 2, F_PAGE_REPORTING = 1 << 5 };

/* Regions of pages to give, one of each backing; rings and lists of pages are elsewhere. */
enum { PRIVATE_AT = 0x400000, SHARED_AT = 0x800000, SPARE = 0x100000, GIVEN = 0x40000 };
static const uint64_t places[] = { PRIVATE_AT, SHARED_AT };

static struct virtio_guest guest;
static unsigned call_count; /* of madvise() */
static int call_errno;      /* it fails so; 0: it works */

int __real_madvise(void *address, size_t length, int advice);
int __wrap_madvise(void *address, size_t length, int advice);

int __wrap_madvise(void *address, size_t length, int advice)
{
    call_count++;
    if (call_errno) {
        errno = call_errno;
        return -1;
    }
    return __real_madvise(address, length, advice);
}

static void add_region(uint64_t address, uint32_t backing)
{
    const struct nestvirt_memory_config config = {
        .size = sizeof(config), .address = address, .length = SPARE, .backing = backing
    };

    ck_nv_ok(nv_memory_add(&guest.memory, &config, &error));
}

static void begin(uint32_t flags)
{
    ck_assert_int_eq(guest_new(&guest, "balloon", flags), 0);
    add_region(PRIVATE_AT, NESTVIRT_BACKING_ANONYMOUS);
    add_region(SHARED_AT, NESTVIRT_BACKING_MEMFD);
    ck_assert_int_eq(guest_set_u64(&guest, "free_page_reporting", 1), 0);
}

static void drive(uint64_t features)
{
    ck_assert_msg(guest_wire(&guest) == 0, "%s", guest.error);
    guest_start(&guest);
    ck_assert_int_eq(guest_drive(&guest, features), 0);
    call_count = 0;
    call_errno = 0;
}

static void setup(void)
{
    begin(0);
    drive(GUEST_ALL);
}

static void setup_loop(void)
{
    begin(GUEST_LOOP);
}

static void teardown(void)
{
    call_errno = 0;
    guest_free(&guest);
}

/* Pages of guest memory that this process has. */
static unsigned count_resident(uint64_t address, uint64_t length)
{
    unsigned char pages[SPARE / PAGE];
    unsigned count = 0;

    ck_assert_int_eq(mincore(guest_mem(&guest, address, length), length, pages), 0);
    for (uint64_t i = 0; i < length / PAGE; i++)
        count += pages[i] & 1;
    return count;
}

static bool is_all(uint64_t address, uint64_t length, uint8_t value)
{
    const uint8_t *bytes = guest_mem(&guest, address, length);

    return bytes[0] == value && memcmp(bytes, bytes + 1, length - 1) == 0;
}

/* Sends page numbers and waits for the answer. */
static void send_numbers(uint32_t queue, const uint32_t *numbers, uint32_t count, uint32_t odd)
{
    uint64_t list = guest_alloc(&guest, 4ull * count + odd);
    uint8_t *bytes = guest_mem(&guest, list, 4ull * count + odd);
    uint32_t length;

    ck_assert(list);
    for (uint32_t i = 0; i < count; i++)
        nv_put_le32(bytes + 4ull * i, numbers[i]);
    ck_assert_int_ge(
        guest_add(&guest, queue, &(struct guest_part){ list, 4 * count + odd, false }, 1), 0);
    guest_kick(&guest, queue);
    ck_assert(guest_wait_used(&guest, queue, NULL, &length, WAIT_MS));
    ck_assert_uint_eq(length, 0);
}

START_TEST(test_inflate)
{
    enum { COUNT = GIVEN / PAGE };
    uint64_t at = places[_i];
    uint32_t numbers[COUNT];
    const struct nv_memory_region *shared = &guest.memory.regions[4];
    struct stat before;
    struct stat after;

    memset(guest_mem(&guest, at, SPARE), 0xaa, SPARE);
    ck_assert_uint_eq(count_resident(at, SPARE), SPARE / PAGE);
    ck_assert_int_eq(fstat(shared->fd, &before), 0);
    for (uint32_t i = 0; i < COUNT; i++)
        numbers[i] = (uint32_t)(at / PAGE) + 16 + i;
    send_numbers(INFLATE, numbers, COUNT, 0);
    ck_assert_uint_eq(call_count, 1);
    ck_assert_uint_eq(count_resident(at + 16 * PAGE, GIVEN), 0);
    ck_assert_uint_eq(count_resident(at, SPARE), (SPARE - GIVEN) / PAGE);
    ck_assert_int_eq(fstat(shared->fd, &after), 0);
    if (at == SHARED_AT)
        ck_assert_int_eq(before.st_blocks - after.st_blocks, GIVEN / 512);
    /* Zeroes when the guest uses them again, and nothing else is lost. */
    ck_assert(is_all(at + 16 * PAGE, GIVEN, 0));
    ck_assert(is_all(at, 16 * PAGE, 0xaa));
    ck_assert(is_all(at + 16 * PAGE + GIVEN, SPARE - GIVEN - 16 * PAGE, 0xaa));
    ck_assert_uint_eq(guest_get_u64(&guest, "inflated"), GIVEN);
    ck_assert_uint_eq(guest_get_u64(&guest, "refused"), 0);
    send_numbers(DEFLATE, numbers, COUNT, 0);
    ck_assert_uint_eq(guest_get_u64(&guest, "deflated"), GIVEN);
}
END_TEST

/* Neighbours go together in whatever order they come; the same page twice is one page. */
START_TEST(test_neighbours_go_together)
{
    enum { COUNT = 64, FIRST = PRIVATE_AT / PAGE };
    uint32_t numbers[2 * COUNT];

    for (uint32_t i = 0; i < COUNT; i++)
        numbers[i] = FIRST + COUNT - 1 - i;
    send_numbers(INFLATE, numbers, COUNT, 0);
    ck_assert_uint_eq(call_count, 1);
    for (uint32_t i = 0; i < COUNT; i++) {
        numbers[2 * i] = FIRST + (i * 37) % COUNT;
        numbers[2 * i + 1] = FIRST + (i * 11) % COUNT;
    }
    send_numbers(INFLATE, numbers, 2 * COUNT, 0);
    ck_assert_uint_eq(call_count, 2);
    ck_assert_uint_eq(guest_get_u64(&guest, "inflated"), 2 * COUNT * PAGE);
    for (uint32_t i = 0; i < COUNT; i++)
        numbers[i] = FIRST + 2 * i;
    send_numbers(INFLATE, numbers, COUNT, 0);
    ck_assert_uint_eq(call_count, 2 + COUNT);
}
END_TEST

START_TEST(test_hostile_50_balloon_outside_memory)
{
    static const uint32_t numbers[] = {
        GUEST_HOLE / PAGE,
        GUEST_END / PAGE,
        UINT32_MAX,
        0xfec00,
        PRIVATE_AT / PAGE,
        (SHARED_AT + SPARE) / PAGE,
        (SHARED_AT + SPARE) / PAGE - 1,
        0xfffff,
        0x80000000,
    };

    memset(guest_mem(&guest, PRIVATE_AT, 2 * PAGE), 0xaa, 2 * PAGE);
    send_numbers(INFLATE, numbers, NV_ARRAY_SIZE(numbers), 0);
    ck_assert_uint_eq(guest_get_u64(&guest, "refused"), 7);
    ck_assert_uint_eq(guest_get_u64(&guest, "inflated"), 2 * PAGE);
    ck_assert(is_all(PRIVATE_AT, PAGE, 0));
    ck_assert(is_all(PRIVATE_AT + PAGE, PAGE, 0xaa));
    ck_assert_uint_eq(guest_get_u64(&guest, "faults"), 0);
    ck_assert_uint_eq(guest_log_lines(&guest), 0);
}
END_TEST

/* A run across two regions that touch, of which each is given back by itself. */
START_TEST(test_hostile_50_balloon_two_regions)
{
    static const uint32_t numbers[] = { GUEST_SPAN / PAGE - 1, GUEST_SPAN / PAGE,
                                        GUEST_HOLE / PAGE - 1, GUEST_HOLE / PAGE };

    memset(guest_mem(&guest, GUEST_SPAN - PAGE, PAGE), 0xaa, PAGE);
    memset(guest_mem(&guest, GUEST_SPAN, PAGE), 0xaa, PAGE);
    send_numbers(INFLATE, numbers, 4, 0);
    ck_assert_uint_eq(guest_get_u64(&guest, "inflated"), 3 * PAGE);
    ck_assert_uint_eq(guest_get_u64(&guest, "refused"), 1);
    ck_assert(is_all(GUEST_SPAN - PAGE, PAGE, 0));
    ck_assert(is_all(GUEST_SPAN, PAGE, 0));
}
END_TEST

START_TEST(test_hostile_50_balloon_odd_lengths)
{
    static const uint32_t number = PRIVATE_AT / PAGE;
    uint64_t list;
    struct guest_part parts[8];

    send_numbers(INFLATE, &number, 1, 3);
    ck_assert_uint_eq(guest_get_u64(&guest, "refused"), 1);
    send_numbers(INFLATE, &number, 0, 1);
    ck_assert_uint_eq(guest_get_u64(&guest, "refused"), 2);
    ck_assert_uint_eq(guest_get_u64(&guest, "inflated"), PAGE);
    send_numbers(DEFLATE, &number, 1, 3);
    ck_assert_uint_eq(guest_get_u64(&guest, "deflated"), PAGE);
    /* A number in pieces of one byte, nothing, and what is writable. */
    list = guest_alloc(&guest, 16);
    nv_put_le32(guest_mem(&guest, list, 4), number);
    for (uint32_t i = 0; i < 4; i++)
        parts[i] = (struct guest_part){ list + i, 1, false };
    parts[4] = (struct guest_part){ PRIVATE_AT, 0, false };
    parts[5] = (struct guest_part){ PRIVATE_AT, PAGE, true };
    memset(guest_mem(&guest, PRIVATE_AT, PAGE), 0xaa, PAGE);
    ck_assert_int_ge(guest_add(&guest, INFLATE, parts, 6), 0);
    ck_assert_int_ge(guest_add(&guest, INFLATE, parts + 4, 2), 0);
    guest_kick(&guest, INFLATE);
    ck_assert(guest_used(&guest, INFLATE, NULL, NULL));
    ck_assert(guest_used(&guest, INFLATE, NULL, NULL));
    ck_assert_uint_eq(guest_get_u64(&guest, "inflated"), 2 * PAGE);
    ck_assert(is_all(PRIVATE_AT, PAGE, 0));
}
END_TEST

/* The guest may give the pages of its own rings: what it reads then is its own affair. */
START_TEST(test_hostile_50_balloon_own_rings)
{
    const struct guest_queue *q = &guest.queues[INFLATE];
    uint32_t numbers[256];

    for (uint32_t i = 0; i < 256; i++)
        numbers[i] = i;
    memcpy(guest_mem(&guest, PRIVATE_AT, sizeof(numbers)), numbers, sizeof(numbers));
    ck_assert_int_ge(
        guest_add(&guest, INFLATE, &(struct guest_part){ PRIVATE_AT, sizeof(numbers), false }, 1),
        0);
    guest_kick(&guest, INFLATE);
    ck_assert_uint_eq(guest_get_u64(&guest, "inflated"), GUEST_SPAN);
    ck_assert(is_all(q->descriptors, 16ull * q->size, 0));
    for (unsigned i = 0; i < 4; i++)
        guest_kick(&guest, INFLATE);
    ck_assert_int_eq(guest_drive(&guest, GUEST_ALL), 0);
    send_numbers(INFLATE, &numbers[255], 1, 0);
    ck_assert_uint_eq(guest_get_u64(&guest, "inflated"), GUEST_SPAN + PAGE);
}
END_TEST

START_TEST(test_hostile_50_balloon_read_only_memory)
{
    enum { ROM_AT = 0x4000000 };
    const struct nestvirt_memory_config config = { .size = sizeof(config),
                                                   .flags = NESTVIRT_MEMORY_READ_ONLY,
                                                   .address = ROM_AT,
                                                   .length = 2 * PAGE };
    const uint32_t numbers[] = { ROM_AT / PAGE, ROM_AT / PAGE + 1 };

    ck_nv_ok(nv_memory_add(&guest.memory, &config, &error));
    memset(guest_mem(&guest, ROM_AT, 2 * PAGE), 0xaa, 2 * PAGE);
    call_count = 0;
    send_numbers(INFLATE, numbers, 2, 0);
    ck_assert_uint_eq(guest_get_u64(&guest, "refused"), 2);
    ck_assert_uint_eq(guest_get_u64(&guest, "inflated"), 0);
    ck_assert_uint_eq(call_count, 0);
    ck_assert(is_all(ROM_AT, 2 * PAGE, 0xaa));
}
END_TEST

/* What the host does not take back reads as zero all the same. */
START_TEST(test_host_refuses)
{
    uint32_t number = (uint32_t)(places[_i] / PAGE);
    uint64_t report = places[_i] + PAGE;

    memset(guest_mem(&guest, places[_i], 3 * PAGE), 0xaa, 3 * PAGE);
    call_errno = EINVAL;
    send_numbers(INFLATE, &number, 1, 0);
    ck_assert_int_ge(guest_add(&guest, REPORTS, &(struct guest_part){ report, PAGE, true }, 1), 0);
    guest_kick(&guest, REPORTS);
    ck_assert(guest_used(&guest, REPORTS, NULL, NULL));
    ck_assert_uint_eq(guest_get_u64(&guest, "failed"), 2);
    ck_assert(is_all(places[_i], 2 * PAGE, 0));
    ck_assert(is_all(places[_i] + 2 * PAGE, PAGE, 0xaa));
}
END_TEST

/* The room that gives pages back looks at its arguments once more. */
START_TEST(test_discard_checks)
{
    uint8_t *host = guest_mem(&guest, PRIVATE_AT, SPARE);
    uint8_t own[PAGE];

    memset(host, 0xaa, SPARE);
    ck_assert_int_eq(nv_memory_discard(&guest.memory, host + 1, PAGE), -EFAULT);
    ck_assert_int_eq(nv_memory_discard(&guest.memory, host, PAGE - 1), -EFAULT);
    ck_assert_int_eq(nv_memory_discard(&guest.memory, host, SPARE + PAGE), -EFAULT);
    ck_assert_int_eq(nv_memory_discard(&guest.memory, host - PAGE, 2 * PAGE), -EFAULT);
    ck_assert_int_eq(nv_memory_discard(&guest.memory, own, PAGE), -EFAULT);
    ck_assert_int_eq(nv_memory_discard(&guest.memory, NULL, 0), -EFAULT);
    ck_assert_int_eq(nv_memory_discard(&guest.memory, host, 0), 0);
    ck_assert_uint_eq(call_count, 0);
    ck_assert(is_all(PRIVATE_AT, SPARE, 0xaa));
    ck_assert_int_eq(nv_memory_discard(&guest.memory, host, SPARE), 0);
    ck_assert(is_all(PRIVATE_AT, SPARE, 0));
}
END_TEST

static void report(const struct guest_part *parts, uint32_t count)
{
    ck_assert_int_ge(guest_add(&guest, REPORTS, parts, count), 0);
    guest_kick(&guest, REPORTS);
    ck_assert(guest_used(&guest, REPORTS, NULL, NULL));
}

/* Where pages are zeroed instead, as in a clone, that takes longer, and so a pass ends earlier. */
START_TEST(test_hostile_50_balloon_costly_pages)
{
    enum { PARTS = 8, PASSES = 2 };
    struct guest_part parts[PARTS];

    call_errno = EINVAL;
    for (uint32_t i = 0; i < PARTS; i++)
        parts[i] = (struct guest_part){ PRIVATE_AT, SPARE, true };
    ck_assert_int_ge(guest_add(&guest, REPORTS, parts, PARTS), 0);
    for (uint32_t i = 1; i <= PASSES; i++) {
        ck_assert(!guest_used(&guest, REPORTS, NULL, NULL));
        guest_kick(&guest, REPORTS);
        ck_assert_uint_eq(guest_get_u64(&guest, "reported"), i * PARTS / PASSES * SPARE);
    }
    ck_assert(guest_used(&guest, REPORTS, NULL, NULL));
}
END_TEST

START_TEST(test_free_page_reports)
{
    uint64_t at = places[_i];
    const struct guest_part parts[] = {
        { at + 0x10000, 0x20000, true },
        { at + 0x40000, PAGE, true },
    };

    memset(guest_mem(&guest, at, SPARE), 0xaa, SPARE);
    report(parts, 2);
    ck_assert_uint_eq(count_resident(at, SPARE), (SPARE - 0x21000) / PAGE);
    ck_assert_uint_eq(guest_get_u64(&guest, "reported"), 0x21000);
    ck_assert(is_all(at + 0x10000, 0x20000, 0));
    ck_assert(is_all(at, 0x10000, 0xaa));
    ck_assert(is_all(at + 0x30000, 0x10000, 0xaa));
    ck_assert(is_all(at + 0x41000, SPARE - 0x41000, 0xaa));
}
END_TEST

/* Only whole pages inside a report go. */
START_TEST(test_hostile_50_balloon_odd_reports)
{
    const uint64_t at = PRIVATE_AT;
    const struct guest_part parts[] = {
        { at, PAGE, false },               /* readable: no report */
        { at + 1, PAGE - 1, true },        /* less than a page */
        { at + 2 * PAGE - 1, 2, true },    /* across a border */
        { at + 3 * PAGE - 1, PAGE, true }, /* a page long, but none whole */
        { at + 5 * PAGE - 1, PAGE + 2, true },
        { at + 8 * PAGE, PAGE + 1, true },
        { at + 9 * PAGE, 0, true },
    };

    memset(guest_mem(&guest, at, SPARE), 0xaa, SPARE);
    report(parts, 7);
    ck_assert_uint_eq(guest_get_u64(&guest, "reported"), 2 * PAGE);
    ck_assert_uint_ge(guest_get_u64(&guest, "refused"), 3);
    ck_assert(is_all(at, 5 * PAGE, 0xaa));
    ck_assert(is_all(at + 5 * PAGE, PAGE, 0));
    ck_assert(is_all(at + 6 * PAGE, 2 * PAGE, 0xaa));
    ck_assert(is_all(at + 8 * PAGE, PAGE, 0));
    ck_assert(is_all(at + 9 * PAGE, SPARE - 9 * PAGE, 0xaa));
}
END_TEST

/* Linux leaves out the queues it does not use: then reports come by the first that is free. */
START_TEST(test_queue_numbers)
{
    static const struct {
        uint64_t features;
        uint32_t reports;
    } rows[] = {
        { F_PAGE_REPORTING, 2 },
        { F_PAGE_REPORTING, 4 },
        { F_PAGE_REPORTING | F_STATS_VQ, 3 },
        { F_PAGE_REPORTING | F_STATS_VQ, 4 },
    };

    for (size_t i = 0; i < NV_ARRAY_SIZE(rows); i++) {
        uint64_t before = guest_get_u64(&guest, "reported");

        guest_reset(&guest);
        ck_assert_int_eq(guest_drive(&guest, rows[i].features), 0);
        ck_assert_int_ge(
            guest_add(&guest, rows[i].reports, &(struct guest_part){ PRIVATE_AT, PAGE, true }, 1),
            0);
        guest_kick(&guest, rows[i].reports);
        ck_assert(guest_used(&guest, rows[i].reports, NULL, NULL));
        ck_assert_uint_eq(guest_get_u64(&guest, "reported"), before + PAGE);
    }
    guest_reset(&guest);
    ck_assert_int_eq(guest_drive(&guest, 0), 0); /* not accepted: not served */
    ck_assert_int_ge(guest_add(&guest, REPORTS, &(struct guest_part){ PRIVATE_AT, PAGE, true }, 1),
                     0);
    guest_kick(&guest, REPORTS);
    ck_assert(!guest_used(&guest, REPORTS, NULL, NULL));
}
END_TEST

START_TEST(test_target_and_actual)
{
    const uint64_t total = GUEST_SPAN + GUEST_SPAN_SIZE + GUEST_ISLAND_SIZE + 2ull * SPARE;
    uint32_t generation;
    uint64_t interrupts;

    ck_assert_int_eq(guest_set_u64(&guest, "target", total + PAGE), 0);
    ck_assert_int_eq(guest_wire(&guest), -EINVAL);
    ck_assert_msg(strstr(guest.error, "more than the guest's"), "%s", guest.error);
    ck_assert_int_eq(guest_set_u64(&guest, "target", 4097), 0);
    ck_assert_int_eq(guest_wire(&guest), -EINVAL);
    ck_assert_int_eq(guest_set_u64(&guest, "target", 0x10000), 0);
    drive(GUEST_ALL);
    ck_assert_uint_eq(guest_config(&guest, NUM_PAGES, 4), 16);
    ck_assert_uint_eq(guest_config(&guest, ACTUAL, 4), 0);
    interrupts = guest_interrupts(&guest);
    generation = guest_read32(&guest, NV_VIRTIO_REG_CONFIG_GENERATION);
    ck_assert_int_eq(guest_set_u64(&guest, "target", total), 0);
    ck_assert_uint_eq(guest_config(&guest, NUM_PAGES, 4), total / PAGE);
    ck_assert_uint_eq(guest_interrupts(&guest), interrupts + 1);
    ck_assert_uint_ne(guest_read32(&guest, NV_VIRTIO_REG_CONFIG_GENERATION), generation);
    ck_assert_int_eq(guest_set_u64(&guest, "target", total + PAGE), -EINVAL);
    ck_assert_int_eq(guest_set_u64(&guest, "target", 100), -EINVAL);
    ck_assert_uint_eq(guest_get_u64(&guest, "target"), total);
    ck_assert_uint_eq(guest_config(&guest, NUM_PAGES, 4), total / PAGE);

    guest_set_config(&guest, ACTUAL, 4, 10);
    ck_assert_uint_eq(guest_get_u64(&guest, "actual"), 10 * PAGE);
    guest_set_config(&guest, ACTUAL, 4, UINT32_MAX);
    ck_assert_uint_eq(guest_get_u64(&guest, "actual"), (uint64_t)UINT32_MAX * PAGE);
    guest_set_config(&guest, ACTUAL + 2, 2, 0);
    guest_set_config(&guest, ACTUAL, 1, 1);
    ck_assert_uint_eq(guest_get_u64(&guest, "actual"), 0xff01ull * PAGE);
    guest_set_config(&guest, NUM_PAGES, 4, 0); /* not the guest's */
    guest_set_config(&guest, ACTUAL + 1, 4, 0);
    guest_set_config(&guest, 8, 4, 1);
    ck_assert_uint_eq(guest_config(&guest, NUM_PAGES, 4), total / PAGE);
    ck_assert_uint_eq(guest_get_u64(&guest, "actual"), 0xff01ull * PAGE);
    ck_assert_uint_eq(guest_get_u64(&guest, "ignored"), 3);
    guest_write32(&guest, NV_VIRTIO_REG_STATUS, 0);
    ck_assert_uint_eq(guest_get_u64(&guest, "actual"), 0);
    ck_assert_uint_eq(guest_config(&guest, ACTUAL, 4), 0);
}
END_TEST

START_TEST(test_features)
{
    drive(GUEST_ALL);
    ck_assert_uint_eq(guest.features & 0xff, F_STATS_VQ | F_PAGE_REPORTING);
    guest_unbuild(&guest);
    ck_assert_int_eq(guest_set_u64(&guest, "free_page_reporting", 0), 0);
    ck_assert_int_eq(guest_set_u64(&guest, "deflate_on_oom", 1), 0);
    drive(GUEST_ALL);
    ck_assert_uint_eq(guest.features & 0xff, F_STATS_VQ | F_DEFLATE_ON_OOM);
    ck_assert_uint_eq(guest.virtio->queue_count, 3);
    guest_unbuild(&guest);
    ck_assert_int_eq(guest_set_u64(&guest, "stats", 0), 0);
    drive(GUEST_ALL);
    ck_assert_uint_eq(guest.features & 0xff, F_DEFLATE_ON_OOM);
    ck_assert_uint_eq(guest.virtio->queue_count, 2);
}
END_TEST

/* 65 million page numbers in one request: piece by piece, and others have their turn. */
static void send_giant(void)
{
    enum { PARTS = 1000, LENGTH = 0x40000, AT = 0x80000 };
    struct guest_part *parts = calloc(PARTS, sizeof(*parts));
    uint8_t *list = guest_mem(&guest, AT, LENGTH);

    for (uint32_t i = 0; i < LENGTH / 4; i++)
        nv_put_le32(list + 4ull * i, PRIVATE_AT / PAGE + (i & 1));
    for (uint32_t i = 0; i < PARTS; i++)
        parts[i] = (struct guest_part){ AT, LENGTH, false };
    ck_assert_int_ge(guest_add_indirect(&guest, INFLATE, 0, parts, PARTS), 0);
    guest_kick(&guest, INFLATE);
    free(parts);
}

START_TEST(test_hostile_50_balloon_giant_request)
{
    static const uint32_t number = PRIVATE_AT / PAGE;

    uint64_t begin_ns;

    drive(GUEST_ALL);
    begin_ns = nv_now_ns();
    send_giant();
    for (unsigned i = 0; i < 10; i++)
        send_numbers(DEFLATE, &number, 1, 0);
    /* Else this machine was too slow to see it. */
    if (nv_now_ns() - begin_ns < 200000000)
        ck_assert(!guest_used(&guest, INFLATE, NULL, NULL));
    /* A reset does not wait for the rest of it. */
    guest_write32(&guest, NV_VIRTIO_REG_STATUS, 0);
    ck_assert_uint_eq(guest_read32(&guest, NV_VIRTIO_REG_STATUS), 0);
    ck_assert_int_eq(guest_drive(&guest, GUEST_ALL), 0);
    send_numbers(INFLATE, &number, 1, 0);

    send_giant(); /* and a pause neither */
    guest_pause(&guest);
    guest_resume(&guest);
    guest_stop(&guest);
    guest_unbuild(&guest);
    drive(GUEST_ALL);
    send_numbers(INFLATE, &number, 1, 0);
}
END_TEST

START_TEST(test_hostile_50_balloon_giant_report)
{
    enum { PARTS = 1000 };
    struct guest_part *parts = calloc(PARTS, sizeof(*parts));
    static const uint32_t number = PRIVATE_AT / PAGE;

    drive(GUEST_ALL);
    for (uint32_t i = 0; i < PARTS; i++)
        parts[i] = (struct guest_part){ places[i % 2], SPARE, true };
    ck_assert_int_ge(guest_add_indirect(&guest, REPORTS, 0, parts, PARTS), 0);
    guest_kick(&guest, REPORTS);
    send_numbers(DEFLATE, &number, 1, 0);
    ck_assert(guest_wait_used(&guest, REPORTS, NULL, NULL, WAIT_MS));
    ck_assert_uint_eq(guest_get_u64(&guest, "reported"), (uint64_t)PARTS * SPARE);
    free(parts);
}
END_TEST

/* Numbers of no memory call nobody, but to look at them takes its time too. */
START_TEST(test_hostile_50_balloon_giant_nonsense)
{
    enum { PARTS = 50 };
    struct guest_part *parts = calloc(PARTS, sizeof(*parts));
    uint64_t before;

    drive(GUEST_ALL);
    memset(guest_mem(&guest, places[0], SPARE), 0xff, SPARE);
    for (uint32_t i = 0; i < PARTS; i++)
        parts[i] = (struct guest_part){ places[0], SPARE, false };
    before = guest_get_u64(&guest, "notified");
    ck_assert_int_ge(guest_add_indirect(&guest, INFLATE, 0, parts, PARTS), 0);
    guest_kick(&guest, INFLATE);
    ck_assert(guest_wait_used(&guest, INFLATE, NULL, NULL, WAIT_MS));
    ck_assert_uint_eq(guest_get_u64(&guest, "refused"), (uint64_t)PARTS * SPARE / 1024);
    ck_assert_uint_ge(guest_get_u64(&guest, "notified") - before,
                      (uint64_t)PARTS * SPARE / 1024 / 512);
    free(parts);
}
END_TEST

/* Inflated and deflated at once, by two queues, while the guest writes to the pages. */
START_TEST(test_hostile_50_balloon_races)
{
    uint32_t numbers[64];
    uint64_t heap;

    drive(GUEST_ALL);
    heap = guest.heap;
    for (uint32_t i = 0; i < 64; i++)
        numbers[i] = SHARED_AT / PAGE + i;
    for (unsigned round = 0; round < 300; round++) {
        uint64_t list = heap;
        const struct guest_part part = { list, sizeof(numbers), false };

        memcpy(guest_mem(&guest, list, sizeof(numbers)), numbers, sizeof(numbers));
        ck_assert_int_ge(guest_add(&guest, INFLATE, &part, 1), 0);
        ck_assert_int_ge(guest_add(&guest, DEFLATE, &part, 1), 0);
        guest_kick(&guest, INFLATE);
        guest_kick(&guest, DEFLATE);
        memset(guest_mem(&guest, SHARED_AT, 64 * PAGE), 0xaa, 64 * PAGE);
        ck_assert(guest_wait_used(&guest, INFLATE, NULL, NULL, WAIT_MS));
        ck_assert(guest_wait_used(&guest, DEFLATE, NULL, NULL, WAIT_MS));
    }
    ck_assert_uint_eq(guest_get_u64(&guest, "inflated"), 300ull * 64 * PAGE);
    ck_assert_uint_eq(guest_get_u64(&guest, "deflated"), 300ull * 64 * PAGE);
}
END_TEST

START_TEST(test_rebuild)
{
    static const uint32_t number = PRIVATE_AT / PAGE;

    ck_assert_int_eq(guest_set_u64(&guest, "stats_interval_ms", 1), 0);
    for (unsigned i = 0; i < 50; i++) {
        drive(GUEST_ALL);
        send_numbers(INFLATE, &number, 1, 0);
        guest_stop(&guest);
        guest_unbuild(&guest);
    }
    ck_assert_uint_eq(guest_get_u64(&guest, "inflated"), 50 * PAGE);
}
END_TEST

Suite *nv_test_suite(void)
{
    Suite *suite = suite_create("balloon");
    TCase *tcase = support_case(suite, "pages", 60);

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_loop_test(tcase, test_inflate, 0, NV_ARRAY_SIZE(places));
    tcase_add_test(tcase, test_neighbours_go_together);
    tcase_add_test(tcase, test_hostile_50_balloon_outside_memory);
    tcase_add_test(tcase, test_hostile_50_balloon_two_regions);
    tcase_add_test(tcase, test_hostile_50_balloon_odd_lengths);
    tcase_add_test(tcase, test_hostile_50_balloon_own_rings);
    tcase_add_test(tcase, test_hostile_50_balloon_read_only_memory);
    tcase_add_loop_test(tcase, test_host_refuses, 0, NV_ARRAY_SIZE(places));
    tcase_add_test(tcase, test_discard_checks);
    tcase_add_loop_test(tcase, test_free_page_reports, 0, NV_ARRAY_SIZE(places));
    tcase_add_test(tcase, test_hostile_50_balloon_odd_reports);
    tcase_add_test(tcase, test_hostile_50_balloon_costly_pages);
    tcase_add_test(tcase, test_queue_numbers);
    tcase = support_case(suite, "life", 120);
    tcase_add_checked_fixture(tcase, setup_loop, teardown);
    tcase_add_test(tcase, test_target_and_actual);
    tcase_add_test(tcase, test_features);
    tcase_add_test(tcase, test_hostile_50_balloon_giant_request);
    tcase_add_test(tcase, test_hostile_50_balloon_giant_report);
    tcase_add_test(tcase, test_hostile_50_balloon_giant_nonsense);
    tcase_add_test(tcase, test_hostile_50_balloon_races);
    tcase_add_test(tcase, test_rebuild);
    return suite;
}
