/* SPDX-License-Identifier: Apache-2.0 */
/* Proves the map of ports and MMIO ranges, and the list of ioeventfds. */
#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "bus/bus.h"
#include "core/util.h"
#include "memory/layout.h"
#include "support.h"

enum { PORT = NESTVIRT_SPACE_PORT, MMIO = NESTVIRT_SPACE_MMIO };

static struct nv_bus bus;
static unsigned freed;

static void setup(void)
{
    memset(&bus, 0, sizeof(bus));
    freed = 0;
}

static void teardown(void)
{
    nv_bus_destroy(&bus);
}

static int32_t handle(void *user_data, struct nestvirt_access *access)
{
    return NESTVIRT_ACTION_RESUME;
}

static void count_free(void *user_data)
{
    freed++;
}

static struct nv_range range_at(uint64_t address, uint64_t length)
{
    return (struct nv_range){
        .address = address, .length = length, .fn = handle, .free_data = count_free
    };
}

static int add(uint32_t space, uint64_t address, uint64_t length)
{
    const struct nv_range range = range_at(address, length);

    return nv_bus_add(&bus, space, &range, false, NULL);
}

static void add_fails(uint32_t space, uint64_t address, uint64_t length, int code)
{
    const struct nv_range range = range_at(address, length);
    uint32_t ports = bus.port.count;
    uint32_t windows = bus.mmio.count;

    ck_nv_fails(nv_bus_add(&bus, space, &range, false, &error), code);
    ck_assert_uint_eq(bus.port.count, ports);
    ck_assert_uint_eq(bus.mmio.count, windows);
    ck_assert_uint_eq(freed, 0); /* a failed call does not free */
}

START_TEST(test_refused_ranges)
{
    add_fails(0, 0x100, 1, -EINVAL);
    add_fails(3, 0x100, 1, -EINVAL);
    add_fails(PORT, 0x100, 0, -EINVAL);
    add_fails(PORT, 0xffff, 2, -EINVAL);
    add_fails(PORT, 0x10000, 1, -EINVAL);
    add_fails(PORT, 1, UINT64_MAX, -EINVAL);
    add_fails(MMIO, NV_LAYOUT_ADDRESS_END, 1, -EINVAL);
    add_fails(MMIO, NV_LAYOUT_ADDRESS_END - 1, 2, -EINVAL);
    add_fails(MMIO, UINT64_MAX, 2, -EINVAL);
    add_fails(MMIO, 0x1000, UINT64_MAX, -EINVAL);
    ck_assert_int_ge(add(PORT, 0xffff, 1), 0); /* exact ends */
    ck_assert_int_ge(add(MMIO, NV_LAYOUT_ADDRESS_END - 1, 1), 0);
}
END_TEST

START_TEST(test_windows_of_the_library)
{
    const struct nv_range ioapic = range_at(NV_LAYOUT_IOAPIC, NV_LAYOUT_IOAPIC_SIZE);

    add_fails(MMIO, NV_LAYOUT_IOAPIC, 1, -EEXIST);
    add_fails(MMIO, NV_LAYOUT_IOAPIC - 1, 2, -EEXIST);
    add_fails(MMIO, NV_LAYOUT_IOAPIC + NV_LAYOUT_IOAPIC_SIZE - 1, 1, -EEXIST);
    add_fails(MMIO, NV_LAYOUT_LAPIC + NV_LAYOUT_LAPIC_SIZE - 1, 1, -EEXIST);
    ck_assert_int_ge(add(MMIO, NV_LAYOUT_IOAPIC - 1, 1), 0);
    ck_assert_int_ge(add(MMIO, NV_LAYOUT_IOAPIC + NV_LAYOUT_IOAPIC_SIZE, 1), 0);
    ck_nv_ok(nv_bus_add(&bus, MMIO, &ioapic, true, &error)); /* the library itself may */
}
END_TEST

START_TEST(test_overlaps_and_neighbours)
{
    ck_assert_int_ge(add(PORT, 0x100, 0x10), 0);
    add_fails(PORT, 0x100, 0x10, -EEXIST);
    add_fails(PORT, 0x10f, 1, -EEXIST);
    add_fails(PORT, 0xff, 2, -EEXIST);
    add_fails(PORT, 0x0, 0x10000, -EEXIST);
    add_fails(PORT, 0x104, 4, -EEXIST);
    ck_assert_int_ge(add(PORT, 0x110, 1), 0);
    ck_assert_int_ge(add(PORT, 0xff, 1), 0);
    ck_assert_int_ge(add(MMIO, 0x100, 0x10), 0); /* another space */
    for (uint32_t i = 1; i < bus.port.count; i++)
        ck_assert_uint_lt(bus.port.ranges[i - 1].address, bus.port.ranges[i].address);
}
END_TEST

START_TEST(test_find)
{
    ck_assert_int_eq(add(PORT, 0x100, 8), 0);
    ck_assert_int_eq(add(PORT, 0x108, 8), 1);
    ck_assert_int_eq(add(PORT, 0x200, 1), 2);
    ck_assert_uint_eq(nv_bus_find(&bus.port, 0x100, 1)->number, 0);
    ck_assert_uint_eq(nv_bus_find(&bus.port, 0x107, 1)->number, 0);
    ck_assert_uint_eq(nv_bus_find(&bus.port, 0x108, 4)->number, 1);
    ck_assert_uint_eq(nv_bus_find(&bus.port, 0x100, 8)->number, 0);
    ck_assert_uint_eq(nv_bus_find(&bus.port, 0x200, 1)->number, 2);
    ck_assert_ptr_null(nv_bus_find(&bus.port, 0x107, 2)); /* over the border to a neighbour */
    ck_assert_ptr_null(nv_bus_find(&bus.port, 0x10f, 2)); /* over the end */
    ck_assert_ptr_null(nv_bus_find(&bus.port, 0xff, 2));  /* from before */
    ck_assert_ptr_null(nv_bus_find(&bus.port, 0xff, 1));
    ck_assert_ptr_null(nv_bus_find(&bus.port, 0x110, 1));
    ck_assert_ptr_null(nv_bus_find(&bus.port, 0x201, 1));
    ck_assert_ptr_null(nv_bus_find(&bus.port, 0xffff, 4));
    ck_assert_ptr_null(nv_bus_find(&bus.mmio, 0x100, 1));
    ck_assert_ptr_null(nv_bus_find(&bus.port, UINT64_MAX, 8));
}
END_TEST

/* Every range is found among the most there may be, whatever the order they came in. */
START_TEST(test_4096_ranges)
{
    for (uint32_t i = 0; i < NV_RANGES_MAX; i++) {
        uint64_t place = (uint64_t)(i * 2654435761u % NV_RANGES_MAX); /* odd: each place once */

        ck_assert_int_eq(add(MMIO, 0x10000 + place * 16, 8), (int)i);
    }
    add_fails(MMIO, 0x9000000, 1, -ENOSPC);
    ck_assert_int_ge(add(PORT, 1, 1), 0); /* the limit is each space's */
    for (uint64_t i = 0; i < NV_RANGES_MAX; i++) {
        const struct nv_range *found = nv_bus_find(&bus.mmio, 0x10000 + i * 16 + 7, 1);

        ck_assert_ptr_nonnull(found);
        ck_assert_uint_eq(found->address, 0x10000 + i * 16);
        ck_assert_ptr_null(nv_bus_find(&bus.mmio, 0x10000 + i * 16 + 8, 1));
        ck_assert_ptr_null(nv_bus_find(&bus.mmio, 0x10000 + i * 16 + 7, 2));
    }
    nv_bus_destroy(&bus);
    ck_assert_uint_eq(freed, NV_RANGES_MAX + 1);
}
END_TEST

START_TEST(test_removal)
{
    struct nv_range taken;
    const struct nv_range internal = range_at(0x300, 8);

    ck_assert_int_eq(add(PORT, 0x100, 8), 0);
    ck_assert_int_eq(add(MMIO, 0x100, 8), 1);
    ck_nv_ok(nv_bus_add(&bus, PORT, &internal, true, &error));
    ck_nv_ok(nv_bus_remove(&bus, 0, &taken, &error));
    ck_assert_uint_eq(taken.address, 0x100);
    ck_assert_ptr_null(nv_bus_find(&bus.port, 0x100, 1));
    ck_nv_fails(nv_bus_remove(&bus, 0, &taken, &error), -ENOENT);
    ck_nv_fails(nv_bus_remove(&bus, 7, &taken, &error), -ENOENT);
    ck_nv_fails(nv_bus_remove(&bus, NV_RANGE_INTERNAL, &taken, &error), -ENOENT);
    ck_assert_ptr_nonnull(nv_bus_find(&bus.port, 0x300, 1));
    nv_bus_remove_internal(&bus);
    ck_assert_ptr_null(nv_bus_find(&bus.port, 0x300, 1));
    ck_assert_ptr_nonnull(nv_bus_find(&bus.mmio, 0x100, 1));
    ck_assert_int_eq(add(PORT, 0x100, 8), 2); /* numbers are not used again */
    ck_assert_uint_eq(freed, 0);              /* that is up to who took it */
}
END_TEST

static struct nestvirt_ioeventfd_config config_at(uint64_t address, uint32_t length, int fd)
{
    return (struct nestvirt_ioeventfd_config){ .size = sizeof(struct nestvirt_ioeventfd_config),
                                               .space = MMIO,
                                               .length = length,
                                               .address = address,
                                               .fd = fd };
}

static void ioeventfd_fails(const struct nestvirt_ioeventfd_config *config, int code)
{
    ck_nv_fails(nv_bus_add_ioeventfd(&bus, config, &error), code);
    ck_assert_uint_eq(bus.ioeventfd_count, 0);
}

START_TEST(test_refused_ioeventfds)
{
    int event = eventfd(0, EFD_CLOEXEC);
    struct nestvirt_ioeventfd_config config = config_at(0xd0000000, 4, -1);

    ioeventfd_fails(&config, -EBADF);
    config = config_at(0xd0000000, 3, event);
    ioeventfd_fails(&config, -EINVAL);
    config = config_at(0xd0000000, 16, event);
    ioeventfd_fails(&config, -EINVAL);
    config = config_at(NV_LAYOUT_ADDRESS_END - 1, 2, event);
    ioeventfd_fails(&config, -EINVAL);
    config = config_at(UINT64_MAX, 8, event);
    ioeventfd_fails(&config, -EINVAL);
    config = config_at(0x100, 0, event);
    config.space = PORT;
    ioeventfd_fails(&config, -EINVAL); /* a port access has a length */
    config.space = 0;
    ioeventfd_fails(&config, -EINVAL);
    config = config_at(0x100, 4, event);
    config.flags = 2;
    ioeventfd_fails(&config, -EINVAL);
    config.flags = 0;
    config.value = 1;
    ioeventfd_fails(&config, -EINVAL); /* a value that would be ignored */
    config.value = 0;
    config.reserved = 1;
    ioeventfd_fails(&config, -EINVAL);
    config = config_at(0x100, 0, event);
    config.flags = NESTVIRT_IOEVENTFD_DATAMATCH;
    ioeventfd_fails(&config, -EINVAL);
    close(event);
}
END_TEST

START_TEST(test_same_ioeventfds)
{
    int event = eventfd(0, EFD_CLOEXEC);
    struct nestvirt_ioeventfd_config config = config_at(0x1000, 4, event);

    config.flags = NESTVIRT_IOEVENTFD_DATAMATCH;
    for (config.value = 0; config.value < 4; config.value++)
        ck_nv_ok(nv_bus_add_ioeventfd(&bus, &config, &error));
    config.value = 2;
    ck_nv_fails(nv_bus_add_ioeventfd(&bus, &config, &error), -EEXIST);
    config.flags = 0;
    config.value = 0;
    ck_nv_fails(nv_bus_add_ioeventfd(&bus, &config, &error), -EEXIST); /* any value */
    config.length = 2;
    ck_nv_ok(nv_bus_add_ioeventfd(&bus, &config, &error));
    config.length = 0;
    ck_nv_fails(nv_bus_add_ioeventfd(&bus, &config, &error), -EEXIST); /* any length */
    config.address = 0x1004;
    ck_nv_ok(nv_bus_add_ioeventfd(&bus, &config, &error));
    close(event);
}
END_TEST

START_TEST(test_number_of_ioeventfds_is_limited)
{
    int event = eventfd(0, EFD_CLOEXEC);
    struct nestvirt_ioeventfd_config config = config_at(0, 4, event);

    for (uint64_t i = 0; i < NV_IOEVENTFDS_MAX; i++) {
        config.address = i * 4;
        ck_nv_ok(nv_bus_add_ioeventfd(&bus, &config, &error));
    }
    config.address = 0x100000;
    ck_nv_fails(nv_bus_add_ioeventfd(&bus, &config, &error), -ENOSPC);
    close(event);
}
END_TEST

Suite *nv_test_suite(void)
{
    Suite *suite = suite_create("bus");
    TCase *tcase = support_case(suite, "bus", 60);

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, test_refused_ranges);
    tcase_add_test(tcase, test_windows_of_the_library);
    tcase_add_test(tcase, test_overlaps_and_neighbours);
    tcase_add_test(tcase, test_find);
    tcase_add_test(tcase, test_4096_ranges);
    tcase_add_test(tcase, test_removal);
    tcase_add_test(tcase, test_refused_ioeventfds);
    tcase_add_test(tcase, test_same_ioeventfds);
    tcase_add_test(tcase, test_number_of_ioeventfds_is_limited);
    return suite;
}
