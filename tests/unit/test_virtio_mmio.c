/* SPDX-License-Identifier: Apache-2.0 */
/* Proves the MMIO registers and the status machine; numbers are those of hostile-guest.md. */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "core/log.h"
#include "core/util.h"
#include "memory/layout.h"
#include "virtio_checks.h"

enum { DRIVER_STATUS = NV_VIRTIO_ACKNOWLEDGE | NV_VIRTIO_DRIVER };

/* Sets up queue 0 by registers only; returns QueueReady afterwards. */
static uint32_t try_queue(uint32_t size, uint64_t descriptors, uint64_t driver, uint64_t device)
{
    guest_write32(&guest, NV_VIRTIO_REG_QUEUE_SEL, 0);
    guest_write32(&guest, NV_VIRTIO_REG_QUEUE_NUM, size);
    guest_write32(&guest, NV_VIRTIO_REG_QUEUE_DESC_LOW, (uint32_t)descriptors);
    guest_write32(&guest, NV_VIRTIO_REG_QUEUE_DESC_HIGH, (uint32_t)(descriptors >> 32));
    guest_write32(&guest, NV_VIRTIO_REG_QUEUE_DRIVER_LOW, (uint32_t)driver);
    guest_write32(&guest, NV_VIRTIO_REG_QUEUE_DRIVER_HIGH, (uint32_t)(driver >> 32));
    guest_write32(&guest, NV_VIRTIO_REG_QUEUE_DEVICE_LOW, (uint32_t)device);
    guest_write32(&guest, NV_VIRTIO_REG_QUEUE_DEVICE_HIGH, (uint32_t)(device >> 32));
    guest_write32(&guest, NV_VIRTIO_REG_QUEUE_READY, 1);
    return guest_read32(&guest, NV_VIRTIO_REG_QUEUE_READY);
}

START_TEST(test_identity)
{
    ck_assert_uint_eq(guest_read32(&guest, NV_VIRTIO_REG_MAGIC), 0x74726976);
    ck_assert_uint_eq(guest_read32(&guest, NV_VIRTIO_REG_VERSION), 2);
    ck_assert_uint_eq(guest_read32(&guest, NV_VIRTIO_REG_DEVICE_ID), PROBE_ID);
    ck_assert_uint_ne(guest_read32(&guest, NV_VIRTIO_REG_VENDOR_ID), 0);
    for (uint32_t i = NV_VIRTIO_REG_SHM_LEN_LOW; i <= NV_VIRTIO_REG_SHM_BASE_HIGH; i += 4)
        ck_assert_uint_eq(guest_read32(&guest, i), UINT32_MAX);
    checks_ignored(0);
}
END_TEST

START_TEST(test_hostile_19_queue_sizes)
{
    static const uint32_t bad[] = { 0,       3,       255,     257,        512,
                                    0x10000, 0x10001, 0x10100, 0x80000000, UINT32_MAX };
    static const uint32_t good[] = { 1, 2, 4, 128, 256 };

    guest_reset(&guest);
    ck_assert_int_eq(guest_negotiate(&guest, GUEST_ALL), 0);
    ck_assert_uint_eq(guest_read32(&guest, NV_VIRTIO_REG_QUEUE_NUM_MAX), 256);
    checks_ignored(0);
    for (size_t i = 0; i < NV_ARRAY_SIZE(bad); i++) {
        ck_assert_uint_eq(try_queue(bad[i], 0x10000, 0x20000, 0x30000), 0);
        checks_ignored(1);
    }
    for (size_t i = 0; i < NV_ARRAY_SIZE(good); i++) {
        ck_assert_uint_eq(try_queue(good[i], 0x10000, 0x20000, 0x30000), 1);
        guest_write32(&guest, NV_VIRTIO_REG_QUEUE_READY, 0);
        ck_assert_uint_eq(guest_read32(&guest, NV_VIRTIO_REG_QUEUE_READY), 0);
    }
    probe_of(&guest)->passes = 0;
    guest_driver_ok(&guest);
    guest_kick(&guest, 0);
    ck_assert_uint_eq(probe_of(&guest)->passes, 0);
}
END_TEST

START_TEST(test_hostile_20_places_of_rings)
{
    enum { SIZE = 16, DESC = 16 * SIZE, DRIVER = 6 + 2 * SIZE, DEVICE = 6 + 8 * SIZE };
    static const struct {
        uint64_t descriptors, driver, device;
        bool is_good;
    } rows[] = {
        { 0x10001, 0x20000, 0x30000, false },
        { 0x10008, 0x20000, 0x30000, false },
        { 0x10000, 0x20001, 0x30000, false },
        { 0x10000, 0x20000, 0x30001, false },
        { 0x10000, 0x20000, 0x30002, false },
        { 0x10010, 0x20002, 0x30004, true },
        { 0, 0, 0, true }, /* over each other, and at 0 */
        { GUEST_HOLE, 0x20000, 0x30000, false },
        { GUEST_HOLE - DESC + 16, 0x20000, 0x30000, false },
        { GUEST_HOLE - DESC, 0x20000, 0x30000, true },
        { GUEST_SPAN - 16, 0x20000, 0x30000, false }, /* in two regions */
        { 0x10000, GUEST_HOLE - DRIVER + 2, 0x30000, false },
        { 0x10000, GUEST_HOLE - DRIVER, 0x30000, true },
        { 0x10000, 0x20000, GUEST_HOLE - DEVICE + 2, false },
        { 0x10000, 0x20000, GUEST_HOLE - DEVICE - 2, true },
        { 0x10000, 0x20000, GUEST_ISLAND, true },
        { UINT64_MAX - 15, 0x20000, 0x30000, false },
        { 0x10000, UINT64_MAX - 1, 0x30000, false },
        { 0x10000, 0x20000, UINT64_MAX - 3, false },
        { 0x100000010000, 0x20000, 0x30000, false },
        { 0x10000, 0xd0000000, 0x30000, false }, /* our own window */
    };

    for (size_t i = 0; i < NV_ARRAY_SIZE(rows); i++) {
        guest_reset(&guest);
        ck_assert_int_eq(guest_negotiate(&guest, GUEST_ALL), 0);
        ck_assert_msg(try_queue(SIZE, rows[i].descriptors, rows[i].driver, rows[i].device) ==
                          rows[i].is_good,
                      "row %zu", i);
        checks_ignored(!rows[i].is_good);
    }
}
END_TEST

START_TEST(test_hostile_21_queue_writes_while_ready)
{
    static const uint32_t registers[] = {
        NV_VIRTIO_REG_QUEUE_NUM,         NV_VIRTIO_REG_QUEUE_DESC_LOW,
        NV_VIRTIO_REG_QUEUE_DESC_HIGH,   NV_VIRTIO_REG_QUEUE_DRIVER_LOW,
        NV_VIRTIO_REG_QUEUE_DRIVER_HIGH, NV_VIRTIO_REG_QUEUE_DEVICE_LOW,
        NV_VIRTIO_REG_QUEUE_DEVICE_HIGH,
    };

    guest_write32(&guest, NV_VIRTIO_REG_QUEUE_SEL, 0);
    for (size_t i = 0; i < NV_ARRAY_SIZE(registers); i++) {
        guest_write32(&guest, registers[i], 0x77777777);
        checks_ignored(1);
    }
    guest_write32(&guest, NV_VIRTIO_REG_QUEUE_READY, 1);
    checks_ignored(1);
    checks_echo(0);
    /* Ready, but before DRIVER_OK. */
    guest_reset(&guest);
    ck_assert_int_eq(guest_negotiate(&guest, GUEST_ALL), 0);
    ck_assert_int_eq(guest_setup_queue(&guest, 0, 0), 0);
    for (size_t i = 0; i < NV_ARRAY_SIZE(registers); i++)
        guest_write32(&guest, registers[i], 0x77777777);
    checks_ignored(NV_ARRAY_SIZE(registers));
    guest_driver_ok(&guest);
    checks_echo(0);
    /* Off again while the driver is ready: stays off until a reset. */
    guest_write32(&guest, NV_VIRTIO_REG_QUEUE_READY, 0);
    for (size_t i = 0; i < NV_ARRAY_SIZE(registers); i++)
        guest_write32(&guest, registers[i], 0);
    guest_write32(&guest, NV_VIRTIO_REG_QUEUE_READY, 1);
    ck_assert_uint_eq(guest_read32(&guest, NV_VIRTIO_REG_QUEUE_READY), 0);
    checks_ignored(NV_ARRAY_SIZE(registers) + 1);
    guest_write32(&guest, NV_VIRTIO_REG_QUEUE_READY, 2);
    checks_ignored(1);
    /* Before FEATURES_OK there is nothing to set up. */
    guest_reset(&guest);
    for (size_t i = 0; i < NV_ARRAY_SIZE(registers); i++)
        guest_write32(&guest, registers[i], 16);
    guest_write32(&guest, NV_VIRTIO_REG_QUEUE_READY, 1);
    checks_ignored(NV_ARRAY_SIZE(registers) + 1);
}
END_TEST

START_TEST(test_hostile_22_absent_queues)
{
    static const uint32_t queues[] = { 2, 3, 64, 0xffff, 0x10000, 0x80000000, UINT32_MAX };

    guest_reset(&guest);
    ck_assert_int_eq(guest_negotiate(&guest, GUEST_ALL), 0);
    for (size_t i = 0; i < NV_ARRAY_SIZE(queues); i++) {
        guest_write32(&guest, NV_VIRTIO_REG_QUEUE_SEL, queues[i]);
        ck_assert_uint_eq(guest_read32(&guest, NV_VIRTIO_REG_QUEUE_NUM_MAX), 0);
        ck_assert_uint_eq(guest_read32(&guest, NV_VIRTIO_REG_QUEUE_READY), 0);
        checks_ignored(0);
        guest_write32(&guest, NV_VIRTIO_REG_QUEUE_NUM, 16);
        guest_write32(&guest, NV_VIRTIO_REG_QUEUE_DESC_LOW, 0x1000);
        guest_write32(&guest, NV_VIRTIO_REG_QUEUE_DRIVER_HIGH, 0x1000);
        guest_write32(&guest, NV_VIRTIO_REG_QUEUE_DEVICE_LOW, 0x1000);
        guest_write32(&guest, NV_VIRTIO_REG_QUEUE_READY, 1);
        guest_write32(&guest, NV_VIRTIO_REG_QUEUE_READY, 0);
        checks_ignored(6);
        guest_kick(&guest, queues[i]);
        checks_ignored(1);
    }
    ck_assert_int_eq(guest_setup_queue(&guest, 0, 0), 0);
    guest_driver_ok(&guest);
    guest_kick(&guest, 1); /* there, but not set up */
    for (size_t i = 0; i < NV_ARRAY_SIZE(queues); i++)
        guest_kick(&guest, queues[i]);
    checks_ignored(NV_ARRAY_SIZE(queues));
    checks_echo(0);
}
END_TEST

START_TEST(test_hostile_23_status_bits)
{
    static const uint32_t bad_first[] = { 2, 4, 8, 3 | 4, 1 | 4, 1 | 8, 0x100, 0x101, UINT32_MAX };

    guest_write32(&guest, NV_VIRTIO_REG_STATUS, 0xb); /* DRIVER_OK away */
    guest_write32(&guest, NV_VIRTIO_REG_STATUS, 0x7);
    guest_write32(&guest, NV_VIRTIO_REG_STATUS, 0x100);
    guest_write32(&guest, NV_VIRTIO_REG_STATUS, 0x40);
    checks_ignored(4);
    ck_assert_uint_eq(checks_status(), 0xf);
    checks_echo(0);
    guest_write32(&guest, NV_VIRTIO_REG_STATUS, 0xf | NV_VIRTIO_NEEDS_RESET | 0x30);
    ck_assert_uint_eq(checks_status(), 0xf); /* not the driver's bits */
    checks_echo(0);
    guest_reset(&guest);
    for (size_t i = 0; i < NV_ARRAY_SIZE(bad_first); i++) {
        guest_write32(&guest, NV_VIRTIO_REG_STATUS, bad_first[i]);
        checks_ignored(1);
        ck_assert_uint_eq(checks_status(), 0);
    }
    guest_write32(&guest, NV_VIRTIO_REG_STATUS, 1);
    guest_write32(&guest, NV_VIRTIO_REG_STATUS, 7); /* without FEATURES_OK */
    checks_ignored(1);
    ck_assert_uint_eq(checks_status(), 1);
    ck_assert_uint_eq(probe_of(&guest)->activations, 1);
}
END_TEST

START_TEST(test_failed_driver_is_not_served)
{
    unsigned passes = probe_of(&guest)->passes;

    guest_write32(&guest, NV_VIRTIO_REG_STATUS, 0xf | NV_VIRTIO_FAILED);
    ck_assert_uint_eq(checks_status(), 0xf | NV_VIRTIO_FAILED);
    checks_add(0, 8);
    guest_kick(&guest, 0);
    ck_assert_uint_eq(probe_of(&guest)->passes, passes);
    guest_write32(&guest, NV_VIRTIO_REG_STATUS, 0xf);
    checks_ignored(1);
    guest_reset(&guest);
    ck_assert_int_eq(guest_drive(&guest, GUEST_ALL), 0);
    checks_echo(0);
}
END_TEST

START_TEST(test_hostile_24_early_kick)
{
    struct probe *probe = probe_of(&guest);
    unsigned passes = probe->passes;

    guest_reset(&guest);
    ck_assert_int_eq(guest_negotiate(&guest, GUEST_ALL), 0);
    for (uint32_t i = 0; i < 2; i++)
        ck_assert_int_eq(guest_setup_queue(&guest, i, 0), 0);
    for (uint32_t i = 0; i < 2; i++) {
        checks_add(i, 40);
        guest_kick(&guest, i);
        ck_assert_uint_eq(guest_used_index(&guest, i), 0);
    }
    ck_assert_uint_eq(probe->passes, passes);
    ck_assert_uint_eq(guest_interrupts(&guest), 0);
    guest_driver_ok(&guest);
    for (uint32_t i = 0; i < 2; i++)
        ck_assert(guest_used(&guest, i, NULL, NULL));
    ck_assert_uint_gt(guest_interrupts(&guest), 0);
}
END_TEST

START_TEST(test_hostile_25_features_refused)
{
    static const uint64_t refused[] = {
        0,                                    /* VERSION_1 missing */
        PROBE_PLAIN,                          /* likewise */
        NV_VIRTIO_F_VERSION_1 | 1ull << 2,    /* not offered */
        NV_VIRTIO_F_VERSION_1 | 1ull << 33,   /* not offered */
        NV_VIRTIO_F_VERSION_1 | 1ull << 34,   /* a packed ring */
        NV_VIRTIO_F_VERSION_1 | 1ull << 63,   /* not offered */
        NV_VIRTIO_F_VERSION_1 | PROBE_CHECKED /* a bit it depends on is missing */
    };

    for (size_t i = 0; i < NV_ARRAY_SIZE(refused); i++) {
        guest_write32(&guest, NV_VIRTIO_REG_STATUS, 0);
        guest_write32(&guest, NV_VIRTIO_REG_STATUS, DRIVER_STATUS);
        for (uint32_t half = 0; half < 2; half++) {
            guest_write32(&guest, NV_VIRTIO_REG_DRIVER_FEATURES_SEL, half);
            guest_write32(&guest, NV_VIRTIO_REG_DRIVER_FEATURES,
                          (uint32_t)(refused[i] >> 32 * half));
        }
        guest_write32(&guest, NV_VIRTIO_REG_STATUS, DRIVER_STATUS | NV_VIRTIO_FEATURES_OK);
        ck_assert_uint_eq(checks_status(), DRIVER_STATUS);
        checks_ignored(1);
        /* Nor in one go. */
        guest_write32(&guest, NV_VIRTIO_REG_STATUS, 0xf);
        ck_assert_uint_eq(checks_status(), DRIVER_STATUS);
        checks_ignored(1);
        ck_assert_uint_eq(guest.virtio->features, 0);
        ck_assert_uint_eq(try_queue(16, 0x10000, 0x20000, 0x30000), 0);
        checks_ignored(8);
    }
    ck_assert_int_eq(guest_negotiate(&guest, PROBE_CHECKED | PROBE_PLAIN), 0);
}
END_TEST

START_TEST(test_hostile_26_features_after_the_fact)
{
    const uint64_t features = guest.virtio->features;

    for (uint32_t select = 0; select < 4; select++) {
        guest_write32(&guest, NV_VIRTIO_REG_DRIVER_FEATURES_SEL, select);
        guest_write32(&guest, NV_VIRTIO_REG_DRIVER_FEATURES, UINT32_MAX);
        checks_ignored(1);
    }
    ck_assert_uint_eq(guest.virtio->features, features);
    ck_assert_uint_eq(guest.virtio->driver_features, features);
    for (uint32_t select = 2; select; select *= 2) { /* there are no such halves */
        guest_write32(&guest, NV_VIRTIO_REG_DEVICE_FEATURES_SEL, select);
        ck_assert_uint_eq(guest_read32(&guest, NV_VIRTIO_REG_DEVICE_FEATURES), 0);
    }
    checks_echo(0);
}
END_TEST

/* Every access to the registers that is not one of 4 bytes at a register it is made for. */
START_TEST(test_hostile_29_odd_accesses)
{
    static const uint32_t lengths[] = { 1, 2, 4, 8 };
    static const uint16_t read_only[] = { 0x00, 0x04, 0x08, 0x0c, 0x10, 0x34, 0x60, 0xfc };
    static const uint16_t write_only[] = { 0x14, 0x20, 0x24, 0x30, 0x38, 0x50, 0x64, 0x80, 0xa4 };

    for (uint32_t i = 0; i < NV_ARRAY_SIZE(lengths); i++)
        for (uint32_t offset = 0; offset < 0x100; offset++) {
            uint64_t data = UINT64_MAX;

            if (lengths[i] == 4 && offset % 4 == 0)
                continue;
            guest_access(&guest, offset, lengths[i], true, &data);
            checks_ignored(offset + lengths[i] <= NV_LAYOUT_VIRTIO_SIZE);
            guest_access(&guest, offset, lengths[i], false, &data);
            checks_ignored(offset + lengths[i] <= NV_LAYOUT_VIRTIO_SIZE);
            ck_assert_int_eq(memcmp(&data, &(uint64_t){ 0 }, lengths[i]), 0);
        }
    for (size_t i = 0; i < NV_ARRAY_SIZE(read_only); i++) {
        guest_write32(&guest, read_only[i], 0);
        guest_write32(&guest, read_only[i], UINT32_MAX);
        checks_ignored(2);
    }
    for (size_t i = 0; i < NV_ARRAY_SIZE(write_only); i++) {
        ck_assert_uint_eq(guest_read32(&guest, write_only[i]), 0);
        checks_ignored(1);
    }
    checks_echo(0);
    checks_echo(1);
}
END_TEST

/* Over the end of the window and behind it is nobody; registers that do not exist do nothing. */
START_TEST(test_hostile_29_end_of_window)
{
    uint64_t data = 0;

    for (uint32_t offset = NV_LAYOUT_VIRTIO_SIZE - 7; offset < NV_LAYOUT_VIRTIO_SIZE + 8;
         offset++) {
        ck_assert_int_eq(guest_access_once(&guest, offset, 8, true, &data),
                         NESTVIRT_ACTION_DEFAULT);
        ck_assert_int_eq(guest_access_once(&guest, offset, 8, false, &data),
                         NESTVIRT_ACTION_DEFAULT);
    }
    ck_assert_int_eq(guest_access_once(&guest, NV_LAYOUT_VIRTIO_SIZE - 8, 8, false, &data),
                     NESTVIRT_ACTION_RESUME);
    ck_assert_uint_eq(data, 0);
    checks_ignored(1);
    for (uint32_t offset = 0; offset < 0x100; offset += 4)
        if (offset == 0x18 || offset == 0x28 || offset == 0x3c || offset == 0x54 ||
            offset == 0x74 || offset == 0xa8 || offset == 0xc0 || offset == 0xf8) {
            guest_write32(&guest, offset, UINT32_MAX);
            ck_assert_uint_eq(guest_read32(&guest, offset), 0);
            checks_ignored(2);
        }
}
END_TEST

START_TEST(test_hostile_30_config_bounds)
{
    struct probe *probe = probe_of(&guest);
    uint64_t data;

    for (uint32_t length = 1; length <= 8; length++)
        for (uint32_t offset = 0; offset + length <= NV_VIRTIO_CONFIG_MAX; offset++) {
            bool is_inside = offset + length <= PROBE_CONFIG_LENGTH;

            data = 0;
            guest_access(&guest, NV_VIRTIO_REG_CONFIG + offset, length, false, &data);
            for (uint32_t i = 0; i < length; i++)
                ck_assert_uint_eq(((uint8_t *)&data)[i], is_inside ? offset + i + 1 : 0);
            guest_access(&guest, NV_VIRTIO_REG_CONFIG + offset, length, true, &data);
            checks_ignored(is_inside ? 0 : 2);
        }
    ck_assert_uint_eq(probe->config_writes, probe->config_reads);
    for (uint32_t i = 0; i < NV_VIRTIO_CONFIG_MAX; i++)
        ck_assert_uint_eq(probe->virtio.config[i], i < PROBE_CONFIG_LENGTH ? i + 1 : 0);
}
END_TEST

/* A device without write_config has a configuration that cannot be written. */
START_TEST(test_hostile_30_config_is_read_only)
{
    guest_free(&guest);
    ck_assert_int_eq(guest_new(&guest, "rng", 0), 0);
    ck_assert_int_eq(guest_wire(&guest), 0);
    guest_start(&guest);
    ck_assert_uint_eq(guest_config(&guest, 0, 1), 0);
    guest_set_config(&guest, 0, 4, 1);
    ck_assert_uint_eq(guest_get_u64(&guest, "ignored"), 2);
}
END_TEST

/* A driver that reads 8 bytes in two halves sees by the generation that they do not belong. */
START_TEST(test_hostile_31_config_generation)
{
    uint32_t before = guest_read32(&guest, NV_VIRTIO_REG_CONFIG_GENERATION);
    uint64_t low = guest_config(&guest, 0, 4);
    uint32_t after;

    ck_assert_uint_eq(low, 0x04030201);
    ck_assert_uint_eq(guest_read32(&guest, NV_VIRTIO_REG_CONFIG_GENERATION), before);
    {
        NV_VIRTIO_GUARD(guest.virtio);
        memset(guest.virtio->config, 0x99, 8);
        nv_virtio_config_changed(guest.virtio);
    }
    after = guest_read32(&guest, NV_VIRTIO_REG_CONFIG_GENERATION);
    ck_assert_uint_ne(after, before);
    ck_assert_uint_eq(guest_config(&guest, 0, 8), 0x9999999999999999);
    ck_assert_uint_eq(guest_read32(&guest, NV_VIRTIO_REG_CONFIG_GENERATION), after);
    ck_assert_uint_eq(guest_read32(&guest, NV_VIRTIO_REG_INTERRUPT_STATUS), 2);
    ck_assert_uint_eq(guest_interrupts(&guest), 1);
    /* Not before DRIVER_OK. */
    guest_reset(&guest);
    guest_interrupts(&guest);
    {
        NV_VIRTIO_GUARD(guest.virtio);
        nv_virtio_config_changed(guest.virtio);
    }
    ck_assert_uint_eq(guest_read32(&guest, NV_VIRTIO_REG_INTERRUPT_STATUS), 0);
    ck_assert_uint_eq(guest_interrupts(&guest), 1);
}
END_TEST

START_TEST(test_hostile_33_spurious_kicks)
{
    uint64_t passes;

    for (int i = 0; i < 1000000; i++) {
        guest_kick(&guest, 0);
        guest_write32(&guest, NV_VIRTIO_REG_INTERRUPT_ACK, UINT32_MAX);
    }
    checks_ignored(0);
    ck_assert_uint_eq(guest_interrupts(&guest), 0);
    checks_echo(0);
    checks_echo(1);
    guest_free(&guest);
    /* With a loop a storm of them makes few passes, and the other queue has its turn. */
    checks_make(GUEST_LOOP);
    checks_start(GUEST_ALL);
    for (int i = 0; i < 200000; i++) {
        guest_kick(&guest, 0);
        if (i % 10000 == 0)
            checks_echo(1);
    }
    passes = guest_get_u64(&guest, "notified");
    ck_assert_uint_gt(passes, 20);
    ck_assert_uint_le(passes, 200000 + 2 * 20 + 2);
}
END_TEST

START_TEST(test_hostile_33_acknowledge)
{
    checks_add(0, 4);
    guest_kick(&guest, 0);
    ck_assert_uint_eq(guest_read32(&guest, NV_VIRTIO_REG_INTERRUPT_STATUS), 1);
    guest_write32(&guest, NV_VIRTIO_REG_INTERRUPT_ACK, ~1u);
    ck_assert_uint_eq(guest_read32(&guest, NV_VIRTIO_REG_INTERRUPT_STATUS), 1);
    guest_write32(&guest, NV_VIRTIO_REG_INTERRUPT_ACK, 1);
    ck_assert_uint_eq(guest_read32(&guest, NV_VIRTIO_REG_INTERRUPT_STATUS), 0);
    checks_ignored(0);
}
END_TEST

START_TEST(test_hostile_34_activation_fails)
{
    struct probe *probe = probe_of(&guest);

    guest_reset(&guest);
    probe->activate_result = -EIO;
    ck_assert_int_eq(guest_negotiate(&guest, GUEST_ALL), 0);
    ck_assert_int_eq(guest_setup_queue(&guest, 0, 0), 0);
    checks_add(0, 8);
    guest_driver_ok(&guest);
    ck_assert_uint_eq(probe->passes, 2); /* those of the fixture */
    probe->activate_result = 0;
    ck_assert_uint_eq(guest_get_u64(&guest, "faults"), 1);
    ck_assert_uint_eq(checks_status(), 0xf | NV_VIRTIO_NEEDS_RESET);
    ck_assert_uint_eq(guest_read32(&guest, NV_VIRTIO_REG_INTERRUPT_STATUS), 2);
    ck_assert_uint_eq(guest_interrupts(&guest), 1);
    guest_reset(&guest);
    ck_assert_int_eq(guest_drive(&guest, GUEST_ALL), 0);
    checks_echo(0);
}
END_TEST

/* What breaks before DRIVER_OK is told by the status only. */
START_TEST(test_needs_reset_before_driver_ok)
{
    guest_reset(&guest);
    ck_assert_int_eq(guest_negotiate(&guest, GUEST_ALL), 0);
    {
        NV_VIRTIO_GUARD(guest.virtio);
        nv_virtio_break(guest.virtio, "the test wants it");
    }
    ck_assert_uint_eq(checks_status(), 0xb | NV_VIRTIO_NEEDS_RESET);
    ck_assert_uint_eq(guest_read32(&guest, NV_VIRTIO_REG_INTERRUPT_STATUS), 0);
    ck_assert_uint_eq(guest_interrupts(&guest), 0);
    ck_assert_uint_eq(guest_log_lines(&guest), 1);
    ck_assert_str_eq(guest.log_text, "vm test: device 0 (probe) needs a reset: the test wants it");
    guest_driver_ok(&guest);
    ck_assert_uint_eq(checks_status(), 0xf | NV_VIRTIO_NEEDS_RESET);
    guest_reset(&guest);
    ck_assert_uint_eq(checks_status(), 0);
}
END_TEST

/* A guest that breaks the device again and again does not fill the log. */
START_TEST(test_log_does_not_flood)
{
    uint64_t start_ns = nv_now_ns();
    uint64_t seconds;

    for (int i = 0; i < 20000; i++) {
        guest_put_index(&guest, 0, 0x8000);
        guest_kick(&guest, 0);
        guest_reset(&guest);
        ck_assert_int_eq(guest_drive(&guest, GUEST_ALL), 0);
    }
    seconds = (nv_now_ns() - start_ns) / 1000000000u;
    ck_assert_uint_ge(guest_log_lines(&guest), 10);
    ck_assert_uint_le(guest_log_lines(&guest), 10 * (seconds + 2));
    ck_assert_uint_eq(guest_get_u64(&guest, "faults"), 20000);
}
END_TEST

Suite *nv_test_suite(void)
{
    Suite *suite = suite_create("virtio_mmio");
    TCase *tcase = support_case(suite, "registers", 60);

    tcase_add_checked_fixture(tcase, checks_setup, checks_teardown);
    tcase_add_test(tcase, test_identity);
    tcase_add_test(tcase, test_hostile_19_queue_sizes);
    tcase_add_test(tcase, test_hostile_20_places_of_rings);
    tcase_add_test(tcase, test_hostile_21_queue_writes_while_ready);
    tcase_add_test(tcase, test_hostile_22_absent_queues);
    tcase_add_test(tcase, test_hostile_23_status_bits);
    tcase_add_test(tcase, test_failed_driver_is_not_served);
    tcase_add_test(tcase, test_hostile_24_early_kick);
    tcase_add_test(tcase, test_hostile_25_features_refused);
    tcase_add_test(tcase, test_hostile_26_features_after_the_fact);
    tcase_add_test(tcase, test_hostile_29_odd_accesses);
    tcase_add_test(tcase, test_hostile_29_end_of_window);
    tcase_add_test(tcase, test_hostile_30_config_bounds);
    tcase_add_test(tcase, test_hostile_30_config_is_read_only);
    tcase_add_test(tcase, test_hostile_31_config_generation);
    tcase_add_test(tcase, test_hostile_33_spurious_kicks);
    tcase_add_test(tcase, test_hostile_33_acknowledge);
    tcase_add_test(tcase, test_hostile_34_activation_fails);
    tcase_add_test(tcase, test_needs_reset_before_driver_ok);
    tcase_add_test(tcase, test_log_does_not_flood);
    return suite;
}
