/* SPDX-License-Identifier: Apache-2.0 */
/* Proves the virtio core against other threads: held requests at a reset, and a guest that
 * rewrites. */
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "core/util.h"
#include "virtio_checks.h"

enum { IN_FLIGHT = 256, SENT = 0x90000, ANSWER = 0x90100, TABLE = 0x90200, BYTES = 8 };

static atomic_bool stop_thread;

static void *complete_all(void *argument)
{
    while (!atomic_load(&stop_thread))
        for (uint32_t i = 0; i < 2; i++)
            probe_finish(probe_of(&guest), i);
    return NULL;
}

/* Puts requests into a queue until it is full; they share their buffers. */
static void fill_queue(uint32_t queue)
{
    static const struct guest_part parts[] = { { SENT, BYTES, false }, { ANSWER, BYTES, true } };

    while (guest_add_indirect(&guest, queue, TABLE, parts, 2) >= 0)
        ;
}

static void pause_us(unsigned us)
{
    const struct timespec time = { .tv_nsec = (long)us * 1000 };

    if (us)
        nanosleep(&time, NULL);
}

/* Nothing of the device's comes to the guest any more. */
static void stays_silent(uint16_t used, uint64_t interrupts)
{
    ck_assert_uint_eq(guest_used_index(&guest, 0), used);
    ck_assert_uint_eq(guest_interrupts(&guest), interrupts);
    for (int i = 0; i < BYTES; i++)
        ck_assert_uint_eq(guest.low[ANSWER + i], 0);
}

static void reset_rounds(int rounds)
{
    uint32_t seed = 1;
    unsigned early = 0;

    for (int i = 0; i < rounds; i++) {
        uint64_t interrupts;
        uint16_t used;

        memset(guest.low + SENT, 0x5a, BYTES);
        fill_queue(0);
        guest_kick(&guest, 0);
        seed = seed * 1664525 + 1013904223;
        pause_us((seed >> 8) % 4 ? 0 : (seed >> 16) % 50);
        guest_write32(&guest, NV_VIRTIO_REG_STATUS, 0);
        used = guest_used_index(&guest, 0);
        early += used < IN_FLIGHT;
        memset(guest.low + ANSWER, 0, BYTES);
        interrupts = guest_interrupts(&guest);
        ck_assert_uint_eq(guest_read32(&guest, NV_VIRTIO_REG_INTERRUPT_STATUS), 0);
        ck_assert_uint_eq(checks_status(), 0);
        pause_us((seed >> 24) % 4 ? 0 : 20);
        stays_silent(used, interrupts);
        ck_assert_int_eq(guest_drive(&guest, i % 2 ? GUEST_ALL : NV_VIRTIO_F_INDIRECT_DESC), 0);
    }
    ck_assert_uint_gt(early, 0); /* else this proves nothing */
}

static void start_probe(uint32_t flags)
{
    checks_make(flags);
    guest.ring_size = IN_FLIGHT;
    checks_start(GUEST_ALL);
    probe_of(&guest)->holds = true;
}

START_TEST(test_hostile_27_reset_with_requests_in_flight)
{
    pthread_t thread;

    start_probe(_i & 1 ? GUEST_LOOP : 0);
    probe_of(&guest)->drop_cancels = _i & 2;
    atomic_store(&stop_thread, false);
    ck_assert_int_eq(pthread_create(&thread, NULL, complete_all, NULL), 0);
    reset_rounds(2500);
    {
        NV_VIRTIO_GUARD(guest.virtio);
        probe_of(&guest)->holds = false;
    }
    atomic_store(&stop_thread, true);
    pthread_join(thread, NULL);
    checks_echo(0);
    checks_echo(1);
}
END_TEST

static int32_t write_once(uint64_t offset, uint32_t value)
{
    uint8_t data[4];

    nv_put_le32(data, value);
    return guest_access_once(&guest, offset, sizeof(data), true, data);
}

/* Nobody completes: the vCPU is let out again and again, and the device is dead meanwhile. */
START_TEST(test_hostile_27_the_wait_is_interruptible)
{
    struct probe *probe;
    unsigned pops;
    unsigned drops;

    start_probe(0);
    probe = probe_of(&guest);
    drops = probe->drops;
    fill_queue(0);
    guest_kick(&guest, 0);
    pops = probe->pops;
    ck_assert_uint_eq(probe->held_count[0], IN_FLIGHT);
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(write_once(NV_VIRTIO_REG_STATUS, 0), NV_ACTION_AGAIN);
    ck_assert_uint_eq(probe->drops, drops + 2); /* once for each queue */
    guest_kick(&guest, 0);
    guest_kick(&guest, 1);
    guest_write32(&guest, NV_VIRTIO_REG_STATUS, 0xf);
    guest_write32(&guest, NV_VIRTIO_REG_QUEUE_NUM, 4);
    guest_set_config(&guest, 0, 4, 0);
    ck_assert_uint_eq(probe->pops, pops);
    ck_assert_uint_eq(probe->config_writes, 0);
    for (int i = 0; i < IN_FLIGHT; i++)
        ck_assert_int_eq(probe_finish(probe, 0), 0);
    ck_assert_int_eq(probe_finish(probe, 0), -1);
    ck_assert_uint_eq(guest_used_index(&guest, 0), 0);
    ck_assert_uint_eq(probe->resets, 1); /* the driver's first; this one is not done yet */
    ck_assert_int_eq(write_once(NV_VIRTIO_REG_STATUS, 0), NESTVIRT_ACTION_RESUME);
    ck_assert_uint_eq(probe->resets, 2);
    ck_assert_uint_eq(guest_interrupts(&guest), 0);
    probe->holds = false;
    ck_assert_int_eq(guest_drive(&guest, GUEST_ALL), 0);
    checks_echo(0);
}
END_TEST

/* Completes queue 0's request while a reset waits, and gives the lock back only after its slice. */
static void *complete_late(void *argument)
{
    struct probe *probe = probe_of(&guest);
    bool is_waiting = false;

    while (!is_waiting) {
        NV_VIRTIO_GUARD(guest.virtio);
        is_waiting = guest.virtio->is_resetting;
        if (!is_waiting)
            continue;
        pause_us(4 * NV_VIRTIO_DRAIN_SLICE_MS * 1000);
        nv_virtio_release(&probe->virtio, 0, &probe->held[0][0].chain, 0);
        nv_chain_destroy(&probe->held[0][0].chain);
        probe->held_count[0] = 0;
    }
    return NULL;
}

START_TEST(test_hostile_27_all_queues_are_drained)
{
    pthread_t thread;

    start_probe(0);
    for (uint32_t i = 0; i < 2; i++) {
        checks_add(i, 4);
        guest_kick(&guest, i);
        ck_assert_uint_eq(probe_of(&guest)->held_count[i], 1);
    }
    ck_assert_int_eq(pthread_create(&thread, NULL, complete_late, NULL), 0);
    ck_assert_int_eq(write_once(NV_VIRTIO_REG_STATUS, 0), NV_ACTION_AGAIN);
    pthread_join(thread, NULL);
    ck_assert_int_eq(probe_finish(probe_of(&guest), 1), 0);
    ck_assert_int_eq(write_once(NV_VIRTIO_REG_STATUS, 0), NESTVIRT_ACTION_RESUME);
}
END_TEST

/* As other vCPUs do, a few times. */
static void *write_register(void *argument)
{
    const uint32_t *row = argument;

    for (int i = 0; i < 300; i++) {
        guest_write32(&guest, NV_VIRTIO_REG_QUEUE_SEL, 0);
        guest_write32(&guest, row[0], row[1]);
    }
    return NULL;
}

/* Several vCPUs reset, switch off and set up at once: bounded, and afterwards it works. */
START_TEST(test_hostile_27_several_resets_at_once)
{
    static uint32_t rows[][2] = {
        { NV_VIRTIO_REG_STATUS, 0 },
        { NV_VIRTIO_REG_STATUS, 0 },
        { NV_VIRTIO_REG_QUEUE_READY, 0 },
        { NV_VIRTIO_REG_QUEUE_NOTIFY, 0 },
    };
    pthread_t worker;
    pthread_t threads[4];

    start_probe(0);
    atomic_store(&stop_thread, false);
    ck_assert_int_eq(pthread_create(&worker, NULL, complete_all, NULL), 0);
    for (int round = 0; round < 5; round++) {
        fill_queue(0);
        guest_kick(&guest, 0);
        for (int i = 0; i < 4; i++)
            ck_assert_int_eq(pthread_create(&threads[i], NULL, write_register, rows[i]), 0);
        for (int i = 0; i < 4; i++)
            pthread_join(threads[i], NULL);
        ck_assert_int_eq(guest_drive(&guest, GUEST_ALL), 0);
    }
    atomic_store(&stop_thread, true);
    pthread_join(worker, NULL);
    probe_of(&guest)->holds = false;
    checks_echo(0);
}
END_TEST

START_TEST(test_hostile_28_queue_off_with_requests_in_flight)
{
    struct probe *probe;
    unsigned drops;
    uint16_t used;

    start_probe(0);
    probe = probe_of(&guest);
    drops = probe->drops;
    fill_queue(0);
    guest_kick(&guest, 0);
    ck_assert_int_eq(probe_finish(probe, 0), 1);
    guest_write32(&guest, NV_VIRTIO_REG_QUEUE_SEL, 0);
    ck_assert_int_eq(write_once(NV_VIRTIO_REG_QUEUE_READY, 0), NV_ACTION_AGAIN);
    used = guest_used_index(&guest, 0);
    ck_assert_uint_eq(used, 1);
    for (int i = 1; i < IN_FLIGHT; i++)
        ck_assert_int_eq(probe_finish(probe, 0), 0);
    ck_assert_int_eq(write_once(NV_VIRTIO_REG_QUEUE_READY, 0), NESTVIRT_ACTION_RESUME);
    ck_assert_uint_eq(guest_read32(&guest, NV_VIRTIO_REG_QUEUE_READY), 0);
    ck_assert_uint_eq(guest_used_index(&guest, 0), used);
    ck_assert_uint_eq(probe->drops, drops + 1);
    guest_kick(&guest, 0);
    ck_assert_uint_eq(guest_used_index(&guest, 0), used);
    /* The other queue lives on. */
    probe->holds = false;
    checks_echo(1);
    ck_assert_uint_eq(checks_status(), 0xf);
}
END_TEST

/* The VM ends with requests in flight, and is built again. */
START_TEST(test_stop_with_requests_in_flight)
{
    start_probe(_i ? GUEST_LOOP : 0);
    for (int i = 0; i < 20; i++) {
        fill_queue(0);
        guest_kick(&guest, 0);
        guest_stop(&guest);
        guest_unbuild(&guest);
        checks_start(GUEST_ALL);
    }
}
END_TEST

/* --- A vCPU that rewrites everything while the device reads it. --- */

static pthread_mutex_t rewriting = PTHREAD_MUTEX_INITIALIZER;
static atomic_bool is_wanted; /* by the other thread: mutexes are not fair */
static atomic_uint outside;   /* pieces of chains that are not guest memory */

static bool is_inside(const struct iovec *part)
{
    for (uint32_t i = 0; i < guest.memory.slot_count; i++) {
        const struct nv_memory_slot *slot = &guest.memory.slots[i];
        uint64_t offset = (uint64_t)((uint8_t *)part->iov_base - slot->host);

        if ((uint8_t *)part->iov_base >= slot->host && offset < slot->length &&
            part->iov_len <= slot->length - offset)
            return true;
    }
    return false;
}

static void check_parts(struct probe *probe, uint32_t queue, struct nv_chain *chain)
{
    uint64_t bytes = 0;

    for (uint32_t i = 0; i < chain->write_end; i++) {
        bytes += chain->parts[i].iov_len;
        if (!is_inside(&chain->parts[i]) || chain->parts[i].iov_len == 0)
            atomic_fetch_add(&outside, 1);
    }
    if (bytes != chain->read_left + chain->write_left || chain->read_end != chain->write_at ||
        chain->write_end > NV_CHAIN_PARTS_MAX)
        atomic_fetch_add(&outside, 1);
}

/* Xorshift. */
static uint32_t random_next(uint64_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return (uint32_t)(*seed >> 16);
}

enum { SMALL_RING = 16, TABLES = 0xa0000, TABLE_LENGTH = 8, TABLE_COUNT = 4 };

/* Any descriptor of a small world: mostly right, so that much is taken before it breaks. */
static void rewrite_descriptor(uint64_t table, uint32_t count, uint64_t *seed)
{
    static const uint64_t addresses[] = { SENT, ANSWER, GUEST_SPAN - 8, GUEST_ISLAND };
    uint32_t pick = random_next(seed);
    uint64_t address = addresses[pick % NV_ARRAY_SIZE(addresses)];
    uint16_t flags = (pick >> 2 & 1) ? GUEST_WRITE : 0;
    uint32_t length = pick >> 8 & 15;

    if ((pick >> 3) % 8 == 0) {
        flags = GUEST_INDIRECT;
        address = TABLES + (pick >> 16) % TABLE_COUNT * 0x100 + ((pick >> 18) % 4 == 0);
        length = 16 * (1 + (pick >> 20) % TABLE_LENGTH);
    } else if ((pick >> 16) % 4 == 0) {
        flags |= GUEST_NEXT;
    } else if ((pick >> 16) % 64 == 1) {
        address = GUEST_HOLE - 4;
    }
    guest_put_descriptor(&guest, table, random_next(seed) % count, address, length, flags,
                         (uint16_t)(random_next(seed) % count));
}

static void *rewrite(void *argument)
{
    uint64_t seed = 99;

    while (!atomic_load(&stop_thread)) {
        if (atomic_load(&is_wanted))
            continue;
        pthread_mutex_lock(&rewriting);
        for (int i = 0; i < 50; i++) {
            uint32_t pick = random_next(&seed);

            rewrite_descriptor(guest.queues[0].descriptors, SMALL_RING, &seed);
            rewrite_descriptor(TABLES + pick % TABLE_COUNT * 0x100, TABLE_LENGTH, &seed);
            guest_put_available(&guest, 0, (uint16_t)pick, (uint16_t)(pick >> 4) % SMALL_RING);
            if (pick >> 8 & 1)
                guest_put_index(&guest, 0,
                                (uint16_t)(guest_used_index(&guest, 0) + (pick >> 9) % 8));
        }
        pthread_mutex_unlock(&rewriting);
    }
    return NULL;
}

START_TEST(test_hostile_16_rewritten_while_read)
{
    struct probe *probe;
    pthread_t thread;
    unsigned breaks = 0;

    checks_make(0);
    guest.ring_size = SMALL_RING;
    checks_start(GUEST_ALL);
    probe = probe_of(&guest);
    probe->on_pop = check_parts;
    atomic_store(&stop_thread, false);
    atomic_store(&outside, 0);
    ck_assert_int_eq(pthread_create(&thread, NULL, rewrite, NULL), 0);
    for (int i = 0; breaks < 500 || probe->pops < 10000; i++) {
        guest_kick(&guest, 0);
        if (!(checks_status() & NV_VIRTIO_NEEDS_RESET))
            continue;
        breaks++;
        atomic_store(&is_wanted, true);
        pthread_mutex_lock(&rewriting);
        ck_assert_int_eq(guest_drive(&guest, i % 5 ? GUEST_ALL : NV_VIRTIO_F_INDIRECT_DESC), 0);
        pthread_mutex_unlock(&rewriting);
        atomic_store(&is_wanted, false);
    }
    atomic_store(&stop_thread, true);
    pthread_join(thread, NULL);
    ck_assert_uint_eq(atomic_load(&outside), 0);
    guest_reset(&guest);
    ck_assert_int_eq(guest_drive(&guest, GUEST_ALL), 0);
    checks_echo(0);
}
END_TEST

Suite *nv_test_suite(void)
{
    Suite *suite = suite_create("virtio_race");
    TCase *tcase = support_case(suite, "threads", 110);

    tcase_add_checked_fixture(tcase, NULL, checks_teardown);
    tcase_add_loop_test(tcase, test_hostile_27_reset_with_requests_in_flight, 0, 4);
    tcase_add_test(tcase, test_hostile_27_the_wait_is_interruptible);
    tcase_add_test(tcase, test_hostile_27_all_queues_are_drained);
    tcase_add_test(tcase, test_hostile_27_several_resets_at_once);
    tcase_add_test(tcase, test_hostile_28_queue_off_with_requests_in_flight);
    tcase_add_loop_test(tcase, test_stop_with_requests_in_flight, 0, 2);
    tcase_add_test(tcase, test_hostile_16_rewritten_while_read);
    return suite;
}
