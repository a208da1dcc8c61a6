/* SPDX-License-Identifier: Apache-2.0 */
/* Proves that a queue's saved state brings back what was in flight, once, and nothing impossible.
 */
#include <string.h>

#include "core/util.h"
#include "support.h"
#include "virtio/queue.h"
#include "virtio_checks.h"

enum { SIZE = 8, TABLE = 0x1000, DRIVER = 0x2000, DEVICE = 0x3000, DATA = 0x4000 };

static struct nv_memory memory;
static struct nv_queue queue, loaded;
static struct nv_chain chain;
static struct nv_writer writer;

static void put(uint64_t address, const void *bytes, size_t length)
{
    ck_assert_int_eq(nv_memory_write(&memory, nv_gpa_at(address), bytes, length), 0);
}

/* Chains of one buffer each, of which so many are available. */
static void setup(void)
{
    const struct nestvirt_memory_config config = { .size = sizeof(config), .length = 0x10000 };
    uint8_t bytes[16] = { 0 };

    nv_memory_init(&memory);
    ck_nv_ok(nv_memory_add(&memory, &config, &error));
    for (uint32_t i = 0; i < SIZE; i++) {
        nv_put_le64(bytes, DATA + 0x100 * i);
        nv_put_le32(bytes + 8, 16);
        put(TABLE + 16 * i, bytes, sizeof(bytes));
        nv_put_le16(bytes, (uint16_t)i);
        put(DRIVER + 4 + 2 * i, bytes, 2);
    }
    nv_put_le16(bytes, 5);
    put(DRIVER + 2, bytes, 2);
    memset(&queue, 0, sizeof(queue));
    queue =
        (struct nv_queue){ .size = SIZE, .descriptors = TABLE, .driver = DRIVER, .device = DEVICE };
    ck_assert_int_eq(nv_queue_open(&queue, &memory, false, false), 0);
    memset(&chain, 0, sizeof(chain));
    memset(&writer, 0, sizeof(writer));
}

static void teardown(void)
{
    nv_chain_destroy(&chain);
    nv_writer_destroy(&writer);
    nv_memory_destroy(&memory, true);
}

static int load(struct nestvirt_error **ret_error)
{
    struct nv_reader reader = { .bytes = writer.bytes, .left = writer.length };

    return nv_queue_load(&loaded, &memory, SIZE, false, false, &reader, ret_error);
}

static void expect_pop(uint16_t head)
{
    ck_assert_int_eq(nv_queue_pop(&loaded, &chain), 1);
    ck_assert_uint_eq(chain.head, head);
    ck_assert_uint_eq(chain.read_left, 16);
}

/* Two of three are in flight, one was answered: those two come again, then what waits. */
START_TEST(test_replay)
{
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(nv_queue_pop(&queue, &chain), 1);
    nv_queue_push(&queue, 1, 0);
    nv_queue_save(&queue, &writer);
    ck_nv_ok(load(&error));
    ck_assert(nv_queue_has_more(&loaded));
    expect_pop(0);
    nv_queue_unpop(&loaded, &chain);
    expect_pop(0);
    expect_pop(2);
    nv_queue_unpop(&loaded, &chain);
    expect_pop(2);
    expect_pop(3);
    expect_pop(4);
    ck_assert_int_eq(nv_queue_pop(&loaded, &chain), 0);
    ck_assert(!nv_queue_has_more(&loaded));
    ck_assert_uint_eq(loaded.next_used, 1);
    nv_queue_push(&loaded, 2, 0);
    ck_assert_uint_eq(loaded.next_used, 2);
}
END_TEST

/* The guest offers a head that is still to be replayed: as any head in flight. */
START_TEST(test_replay_twice)
{
    uint8_t bytes[2];

    ck_assert_int_eq(nv_queue_pop(&queue, &chain), 1);
    nv_queue_save(&queue, &writer);
    nv_put_le16(bytes, 0);
    put(DRIVER + 4 + 2, bytes, 2); /* the second entry is head 0 too */
    ck_nv_ok(load(&error));
    expect_pop(0);
    ck_assert_int_lt(nv_queue_pop(&loaded, &chain), 0);
}
END_TEST

START_TEST(test_broken)
{
    queue.fault = "something";
    nv_queue_save(&queue, &writer);
    ck_nv_ok(load(&error));
    ck_assert_int_lt(nv_queue_pop(&loaded, &chain), 0);
}
END_TEST

START_TEST(test_not_set_up)
{
    nv_queue_reset(&queue);
    nv_queue_save(&queue, &writer);
    ck_nv_ok(load(&error));
    ck_assert(!loaded.is_ready);
}
END_TEST

/* Sizes, places and heads that cannot be. */
START_TEST(test_impossible)
{
    const struct nv_queue good = queue;

    queue.size = 2 * SIZE; /* more than the device has */
    nv_queue_save(&queue, &writer);
    ck_nv_fails(load(&error), NESTVIRT_E_BAD_STATE);
    nv_writer_destroy(&writer);
    queue = good;
    queue.size = 7;
    nv_queue_save(&queue, &writer);
    ck_nv_fails(load(&error), NESTVIRT_E_BAD_STATE);
    nv_writer_destroy(&writer);
    queue = good;
    queue.device = 0x10000 - 4;
    nv_queue_save(&queue, &writer);
    ck_nv_fails(load(&error), NESTVIRT_E_BAD_STATE);
    nv_writer_destroy(&writer);
    queue = good;
    queue.in_flight[0] = 1u << SIZE;
    nv_queue_save(&queue, &writer);
    ck_nv_fails(load(&error), NESTVIRT_E_BAD_STATE);
    nv_writer_destroy(&writer);
    queue.in_flight[0] = 0;
    queue.in_flight[15] = 1;
    nv_queue_save(&queue, &writer);
    ck_nv_fails(load(&error), NESTVIRT_E_BAD_STATE);
    for (size_t length = 0; length < writer.length; length++) {
        struct nv_reader reader = { .bytes = writer.bytes, .left = length };

        ck_nv_fails(nv_queue_load(&loaded, &memory, SIZE, false, false, &reader, &error),
                    NESTVIRT_E_BAD_STATE);
    }
}
END_TEST

/* Saves the device as it is said to stand, and puts a new one back to that. */
static int load_as(uint8_t status, uint64_t features, uint64_t driver_features, bool is_ready,
                   struct nestvirt_error **ret_error)
{
    struct nv_reader reader;
    int r;

    checks_make(0);
    checks_start(GUEST_ALL);
    guest.virtio->status = status;
    guest.virtio->features = features;
    guest.virtio->driver_features = driver_features;
    for (uint32_t i = 0; i < guest.virtio->queue_count && !is_ready; i++)
        nv_queue_reset(&guest.virtio->queues[i].ring);
    ck_nv_ok(nv_virtio_save(guest.virtio, &writer, &error));
    guest_free(&guest);
    checks_make(0);
    ck_assert_int_eq(guest_wire(&guest), 0);
    reader = (struct nv_reader){ .bytes = writer.bytes, .left = writer.length };
    r = nv_virtio_load(guest.virtio, &reader, ret_error);
    guest_free(&guest);
    nv_writer_destroy(&writer);
    return r;
}

/* Each value of the status: those that a driver can bring it to, and no others. */
START_TEST(test_status)
{
    static const uint8_t steps[] = { 0, 1, 3, 0xb, 0xf };

    for (unsigned status = 0; status < 256; status++) {
        uint64_t features = status & NV_VIRTIO_FEATURES_OK ? NV_VIRTIO_F_VERSION_1 : 0;
        bool is_known = false;

        for (size_t i = 0; i < NV_ARRAY_SIZE(steps); i++)
            is_known |= (status & ~(64u | 128u)) == steps[i];
        if (is_known)
            ck_nv_ok(load_as((uint8_t)status, features, features, false, &error));
        else
            ck_nv_fails_with(load_as((uint8_t)status, features, features, false, &error),
                             NESTVIRT_E_BAD_STATE, "status");
    }
}
END_TEST

START_TEST(test_features_and_queues)
{
    const uint64_t one = NV_VIRTIO_F_VERSION_1;

    ck_nv_ok(load_as(0xf, one, one, true, &error));
    ck_nv_ok(load_as(0xb, one, one, true, &error));
    ck_nv_ok(load_as(3, 0, one, false, &error));
    ck_nv_fails(load_as(3, one, one, false, &error), NESTVIRT_E_BAD_STATE);
    ck_nv_fails(load_as(0xf, one, 0, true, &error), NESTVIRT_E_BAD_STATE);
    ck_nv_fails_with(load_as(3, 0, one, true, &error), NESTVIRT_E_BAD_STATE, "ready");
    ck_nv_fails_with(load_as(0, 0, 0, true, &error), NESTVIRT_E_BAD_STATE, "ready");
}
END_TEST

Suite *nv_test_suite(void)
{
    Suite *suite = suite_create("virtio_state");
    TCase *tcase = support_case(suite, "queue", 20);

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, test_replay);
    tcase_add_test(tcase, test_replay_twice);
    tcase_add_test(tcase, test_broken);
    tcase_add_test(tcase, test_not_set_up);
    tcase_add_test(tcase, test_impossible);
    tcase = support_case(suite, "device", 60);
    tcase_add_test(tcase, test_status);
    tcase_add_test(tcase, test_features_and_queues);
    return suite;
}
