/* SPDX-License-Identifier: Apache-2.0 */
/* Proves guest memory: what is refused, the layout, the checked copies, fork and seals. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/util.h"
#include "memory/layout.h"
#include "memory/memory.h"
#include "support.h"

enum { PAGE = 4096 };

static struct nv_memory memory;

static void setup(void)
{
    nv_memory_init(&memory);
}

static void teardown(void)
{
    nv_memory_destroy(&memory, true);
}

static struct nestvirt_memory_config region(uint64_t address, uint64_t length)
{
    return (struct nestvirt_memory_config){ .size = sizeof(struct nestvirt_memory_config),
                                            .address = address,
                                            .length = length };
}

static void add(uint64_t address, uint64_t length)
{
    const struct nestvirt_memory_config config = region(address, length);

    ck_nv_ok(nv_memory_add(&memory, &config, &error));
}

static void add_fails(uint64_t address, uint64_t length, int code, const char *text)
{
    const struct nestvirt_memory_config config = region(address, length);
    struct nv_memory before = memory;

    ck_nv_fails_with(nv_memory_add(&memory, &config, &error), code, text);
    ck_assert_mem_eq(&memory, &before, sizeof(memory)); /* nothing changed */
}

static void add_layout(uint64_t length)
{
    struct nestvirt_memory_config config = region(0, length);

    config.flags = NESTVIRT_MEMORY_DEFAULT_LAYOUT;
    ck_nv_ok(nv_memory_add(&memory, &config, &error));
}

START_TEST(test_misuse_08_sizes_and_addresses)
{
    add_fails(0, 0, -EINVAL, "memory region 0: size is 0");
    add_fails(0, 0x1f03, -EINVAL, "0x1f03 is not a multiple of 4096");
    add_fails(0, PAGE - 1, -EINVAL, "multiple");
    add_fails(0, PAGE + 1, -EINVAL, "multiple");
    add_fails(1, PAGE, -EINVAL, "address 0x1 ");
    add_fails(PAGE - 1, PAGE, -EINVAL, "address");
    add_fails(0, 1ull << 63, -EINVAL, "16 TiB");
    add_fails(0, NV_LAYOUT_REGION_MAX + PAGE, -EINVAL, "16 TiB");
    add_fails(0, UINT64_MAX - PAGE + 1, -EINVAL, "16 TiB");
    add_fails(0, UINT64_MAX, -EINVAL, "multiple");
}
END_TEST

START_TEST(test_misuse_09_end_of_the_address_space)
{
    add(NV_LAYOUT_ADDRESS_END - PAGE, PAGE); /* exact end */
    add_fails(NV_LAYOUT_ADDRESS_END - PAGE, 2 * PAGE, -EINVAL, "46-bit");
    add_fails(NV_LAYOUT_ADDRESS_END, PAGE, -EINVAL, "46-bit");
    add_fails(UINT64_MAX - PAGE + 1, PAGE, -EINVAL, "46-bit");     /* ends at 2^64 */
    add_fails(UINT64_MAX - PAGE + 1, 2 * PAGE, -EINVAL, "46-bit"); /* wraps to 4096 */
}
END_TEST

START_TEST(test_largest_region)
{
    const struct nestvirt_memory_config config = region(1ull << 45, NV_LAYOUT_REGION_MAX);
    struct nestvirt_error *error = NULL;
    int r = nv_memory_add(&memory, &config, &error);

    /* Not every machine, and not valgrind, has so much address space: then it is a clean error. */
    ck_assert_msg(r >= 0 || r == -ENOMEM || r == -EINVAL, "%d", r);
    nestvirt_error_free(error);
}
END_TEST

START_TEST(test_misuse_05_unknown_bits)
{
    struct nestvirt_memory_config config = region(0, PAGE);

    config.flags = 1u << 8 | NESTVIRT_MEMORY_LOCK;
    ck_nv_fails_with(nv_memory_add(&memory, &config, &error), -EINVAL, "flags 0x100");
    config.flags = 1u << 31;
    ck_nv_fails(nv_memory_add(&memory, &config, &error), -EINVAL);
    config.flags = 0;
    config.reserved = 1;
    ck_nv_fails_with(nv_memory_add(&memory, &config, &error), -EINVAL, "reserved");
    config.reserved = 0;
    config.backing = 5;
    ck_nv_fails_with(nv_memory_add(&memory, &config, &error), -EINVAL, "backing 5");
    config.backing = 0;
    config.flags = NESTVIRT_MEMORY_DEFAULT_LAYOUT;
    config.address = PAGE;
    ck_nv_fails_with(nv_memory_add(&memory, &config, &error), -EINVAL, "default layout");
    ck_assert_uint_eq(memory.slot_count, 0);
}
END_TEST

START_TEST(test_misuse_09_overlaps)
{
    add(0x10000, 0x4000);
    add_fails(0x10000, 0x4000, -EEXIST, "region 0 at 0x10000 + 0x4000");
    add_fails(0xf000, 0x2000, -EEXIST, "memory region 1");
    add_fails(0x13000, 0x2000, -EEXIST, "memory_size");
    add_fails(0x11000, 0x1000, -EEXIST, "overlaps");
    add_fails(0x0, 0x100000, -EEXIST, "overlaps");
    add(0xf000, 0x1000); /* touching is not overlapping */
    add(0x14000, 0x1000);
    ck_assert_uint_eq(memory.slot_count, 3);
}
END_TEST

START_TEST(test_misuse_09_windows_of_the_library)
{
    add_fails(NV_LAYOUT_IOAPIC, PAGE, -EEXIST, "the IOAPIC");
    add_fails(NV_LAYOUT_IOAPIC - PAGE, 2 * PAGE, -EEXIST, "the IOAPIC");
    add_fails(NV_LAYOUT_LAPIC, PAGE, -EEXIST, "the local APICs");
    add_fails(NV_LAYOUT_LAPIC + NV_LAYOUT_LAPIC_SIZE - PAGE, PAGE, -EEXIST, "local APICs");
    add_fails(NV_LAYOUT_KVM_PAGES + 3 * PAGE, PAGE, -EEXIST, "KVM's own pages");
    add_fails(0, 0x100000000, -EEXIST, "the IOAPIC");
    add(NV_LAYOUT_IOAPIC - PAGE, PAGE);
    add(NV_LAYOUT_IOAPIC + PAGE, PAGE);
    add(NV_LAYOUT_KVM_PAGES - PAGE, PAGE);
    add(NV_LAYOUT_KVM_PAGES + NV_LAYOUT_KVM_PAGES_SIZE, PAGE);
}
END_TEST

/* The default layout: slots in order, and what is in between. */
static const struct {
    uint64_t length;
    uint32_t slots;
    uint64_t first, second;
    uint64_t low_end;
} layouts[] = {
    { 4096, 1, 4096, 0, 4096 },
    { NV_GIB(3) - PAGE, 1, NV_GIB(3) - PAGE, 0, NV_GIB(3) - PAGE },
    { NV_GIB(3), 1, NV_GIB(3), 0, NV_GIB(3) },
    { NV_GIB(3) + PAGE, 2, NV_GIB(3), PAGE, NV_GIB(3) },
    { NV_GIB(8), 2, NV_GIB(3), NV_GIB(5), NV_GIB(3) },
};

START_TEST(test_default_layout)
{
    uint64_t length = layouts[_i].length;

    add_layout(length);
    ck_assert_uint_eq(memory.slot_count, layouts[_i].slots);
    ck_assert_uint_eq(memory.slots[0].address, 0);
    ck_assert_uint_eq(memory.slots[0].length, layouts[_i].first);
    if (layouts[_i].slots == 2) {
        ck_assert_uint_eq(memory.slots[1].address, NV_GIB(4));
        ck_assert_uint_eq(memory.slots[1].length, layouts[_i].second);
        ck_assert_ptr_eq(memory.slots[1].host, memory.slots[0].host + layouts[_i].first);
        ck_assert_ptr_nonnull(
            nv_memory_at(&memory, nv_gpa_at(NV_GIB(4) + layouts[_i].second - 1), 1));
        ck_assert_ptr_null(nv_memory_at(&memory, nv_gpa_at(NV_GIB(4) + layouts[_i].second), 1));
        ck_assert_ptr_null(nv_memory_at(&memory, nv_gpa_at(NV_GIB(4) - 1), 1));
    }
    ck_assert_uint_eq(nv_memory_total(&memory), length);
    ck_assert_uint_eq(nv_memory_low_end(&memory), layouts[_i].low_end);
    ck_assert_ptr_nonnull(nv_memory_at(&memory, nv_gpa_at(layouts[_i].first - 1), 1));
    ck_assert_ptr_null(nv_memory_at(&memory, nv_gpa_at(layouts[_i].first), 1));
    ck_assert_ptr_null(nv_memory_at(&memory, nv_gpa_at(layouts[_i].first - 1), 2));
    ck_assert(!nv_memory_touches(&memory, NV_LAYOUT_GAP, NV_GIB(1)));
}
END_TEST

START_TEST(test_pointer_lies_within_one_piece)
{
    uint64_t run;

    add(0x10000, 0x2000);
    add(0x12000, 0x1000);
    ck_assert_ptr_nonnull(nv_memory_at(&memory, nv_gpa_at(0x10000), 0x2000));
    ck_assert_ptr_null(nv_memory_at(&memory, nv_gpa_at(0x10000), 0x2001));
    ck_assert_ptr_null(nv_memory_at(&memory, nv_gpa_at(0x11fff), 2));
    ck_assert_ptr_null(nv_memory_at(&memory, nv_gpa_at(0xffff), 1));
    ck_assert_ptr_null(nv_memory_at(&memory, nv_gpa_at(0x10000), 0));
    ck_assert_ptr_null(nv_memory_at(&memory, nv_gpa_at(0x10000), UINT64_MAX));
    ck_assert_ptr_null(nv_memory_at(&memory, nv_gpa_at(UINT64_MAX), 1));
    ck_assert_ptr_null(nv_memory_at(&memory, nv_gpa_at(UINT64_MAX), UINT64_MAX));
    run = UINT64_MAX;
    ck_assert_ptr_nonnull(nv_memory_run(&memory, nv_gpa_at(0x11ff0), &run));
    ck_assert_uint_eq(run, 0x10);
}
END_TEST

START_TEST(test_copies_span_regions_that_touch)
{
    uint8_t out[0x3000];
    uint8_t in[0x3000];

    for (size_t i = 0; i < sizeof(out); i++)
        out[i] = (uint8_t)(i * 7 + (i >> 8));
    add(0x11000, 0x1000); /* not in order */
    add(0x10000, 0x1000);
    add(0x12000, 0x1000);
    ck_assert_int_eq(nv_memory_write(&memory, nv_gpa_at(0x10000), out, sizeof(out)), 0);
    ck_assert_int_eq(nv_memory_read(&memory, nv_gpa_at(0x10000), in, sizeof(in)), 0);
    ck_assert_mem_eq(in, out, sizeof(in));
    ck_assert_uint_eq(*(uint8_t *)nv_memory_at(&memory, nv_gpa_at(0x11000), 1), out[0x1000]);
    ck_assert_int_eq(nv_memory_clear(&memory, nv_gpa_at(0x10fff), 0x1002), 0);
    ck_assert_int_eq(nv_memory_read(&memory, nv_gpa_at(0x10000), in, sizeof(in)), 0);
    memset(out + 0xfff, 0, 0x1002);
    ck_assert_mem_eq(in, out, sizeof(in));
}
END_TEST

START_TEST(test_copies_at_the_edges)
{
    uint8_t bytes[32] = { 1 };
    uint8_t before[32] = { 1 };

    add(0x10000, 0x1000);
    ck_assert_int_eq(nv_memory_read(&memory, nv_gpa_at(0x10fe0), bytes, 32), 0); /* exact end */
    memcpy(bytes, before, 32);
    ck_assert_int_eq(nv_memory_read(&memory, nv_gpa_at(0x10fe1), bytes, 32), -EFAULT);
    ck_assert_mem_eq(bytes, before, 32); /* nothing was copied */
    ck_assert_int_eq(nv_memory_write(&memory, nv_gpa_at(0x10fe1), "\xee\xee", 32), -EFAULT);
    ck_assert_uint_eq(*(uint8_t *)nv_memory_at(&memory, nv_gpa_at(0x10fe1), 1), 0);
    ck_assert_int_eq(nv_memory_read(&memory, nv_gpa_at(0xfff0), bytes, 32), -EFAULT);
    ck_assert_int_eq(nv_memory_read(&memory, nv_gpa_at(UINT64_MAX), bytes, 2), -EFAULT);
    ck_assert_int_eq(nv_memory_read(&memory, nv_gpa_at(0x10000), bytes, SIZE_MAX), -EFAULT);
    ck_assert_int_eq(nv_memory_clear(&memory, nv_gpa_at(0x10fff), 2), -EFAULT);
    ck_assert_int_eq(nv_memory_read(&memory, nv_gpa_at(0), bytes, 0), 0);
    ck_assert(nv_memory_covers(&memory, nv_gpa_at(0x10000), 0x1000));
    ck_assert(!nv_memory_covers(&memory, nv_gpa_at(0x10000), 0x1001));
}
END_TEST

/* Clearing long stretches gives pages back; the edges stay exact for both backings. */
START_TEST(test_clear_long_stretches)
{
    struct nestvirt_memory_config config = region(0, NV_MIB(1));
    uint8_t *bytes;

    config.backing = (uint32_t)_i;
    ck_nv_ok(nv_memory_add(&memory, &config, &error));
    bytes = nv_memory_at(&memory, nv_gpa_at(0), NV_MIB(1));
    memset(bytes, 0xaa, NV_MIB(1));
    ck_assert_int_eq(nv_memory_clear(&memory, nv_gpa_at(0x1801), NV_KIB(256)), 0);
    ck_assert_uint_eq(bytes[0x1800], 0xaa);
    ck_assert_uint_eq(bytes[0x1801 + NV_KIB(256)], 0xaa);
    ck_assert_uint_eq(bytes[0x1801], 0);
    ck_assert_mem_eq(bytes + 0x1802, bytes + 0x1801, NV_KIB(256) - 1); /* all are as the first */
}
END_TEST

START_TEST(test_zero_for_each_backing)
{
    struct nestvirt_memory_config config = region(0, 0x3000);
    uint8_t *bytes;

    config.backing = (uint32_t)_i;
    ck_nv_ok(nv_memory_add(&memory, &config, &error));
    bytes = nv_memory_at(&memory, nv_gpa_at(0), 0x3000);
    ck_assert_uint_eq(bytes[0x2fff], 0);
    memset(bytes, 0x55, 0x3000);
    ck_nv_ok(nv_memory_reset(&memory, &error));
    ck_assert_uint_eq(bytes[0], 0);
    ck_assert_mem_eq(bytes + 1, bytes, 0x2fff); /* all are as the first */
    ck_assert_ptr_eq(nv_memory_at(&memory, nv_gpa_at(0), 0x3000), bytes);
}
END_TEST

START_TEST(test_numbers_stay_their_own)
{
    const struct nestvirt_memory_config config = region(0x10000, 0x1000);

    add(0, 0x1000);
    add(0x1000, 0x1000);
    add(0x2000, 0x1000);
    ck_nv_ok(nv_memory_remove(&memory, 1, &error));
    ck_nv_fails_with(nv_memory_remove(&memory, 1, &error), -ENOENT, "memory region 1");
    ck_assert_ptr_null(nv_memory_at(&memory, nv_gpa_at(0x1000), 1));
    ck_assert_ptr_nonnull(nv_memory_at(&memory, nv_gpa_at(0x2000), 1));
    ck_assert_int_eq(nv_memory_add(&memory, &config, NULL), 1);
    ck_nv_fails(nv_memory_remove(&memory, 64, &error), -ENOENT);
    ck_nv_fails(nv_memory_remove(&memory, UINT32_MAX, &error), -ENOENT);
}
END_TEST

START_TEST(test_number_of_regions_is_limited)
{
    for (uint64_t i = 0; i < NV_MEMORY_REGIONS_MAX; i++)
        add((NV_MEMORY_REGIONS_MAX - i) * 2 * PAGE, PAGE);
    add_fails(0x40000000, PAGE, -ENOSPC, "64 regions");
    for (uint32_t i = 1; i < memory.slot_count; i++)
        ck_assert_uint_lt(memory.slots[i - 1].address, memory.slots[i].address);
    for (uint64_t i = 1; i <= NV_MEMORY_REGIONS_MAX; i++) { /* every one is found */
        ck_assert_ptr_nonnull(nv_memory_at(&memory, nv_gpa_at(i * 2 * PAGE), PAGE));
        ck_assert_ptr_null(nv_memory_at(&memory, nv_gpa_at(i * 2 * PAGE + PAGE), 1));
    }
}
END_TEST

START_TEST(test_fault_05_memfd_is_sealed)
{
    struct nestvirt_memory_config config = region(0, 0x2000);
    int fd;

    config.backing = NESTVIRT_BACKING_MEMFD;
    ck_nv_ok(nv_memory_add(&memory, &config, &error));
    fd = memory.regions[0].fd;
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(fcntl(fd, F_GET_SEALS), F_SEAL_SHRINK | F_SEAL_GROW);
    ck_assert_int_ne(fcntl(fd, F_GETFD) & FD_CLOEXEC, 0);
    ck_assert_int_eq(ftruncate(fd, 0x1000), -1);
    ck_assert_int_eq(errno, EPERM);
    ck_assert_int_eq(ftruncate(fd, 0x3000), -1);
    ck_assert_int_eq(lseek(fd, 0, SEEK_END), 0x2000);
}
END_TEST

/* A child finds no guest memory: a system call with its address says EFAULT. */
START_TEST(test_misuse_07_memory_is_not_inherited)
{
    struct nestvirt_memory_config config = region(0, PAGE);
    int ends[2];
    int status;
    pid_t child;
    void *guest;

    config.backing = (uint32_t)_i;
    ck_nv_ok(nv_memory_add(&memory, &config, &error));
    guest = nv_memory_at(&memory, nv_gpa_at(0), PAGE);
    memset(guest, 0x11, PAGE);
    ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
    fflush(NULL);
    child = fork();
    if (child == 0)
        _exit(write(ends[1], guest, 16) < 0 && errno == EFAULT ? 0 : 1);
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
    ck_assert_int_eq(write(ends[1], guest, 16), 16); /* but the parent does */
    close(ends[0]);
    close(ends[1]);
}
END_TEST

START_TEST(test_low_end)
{
    ck_assert_uint_eq(nv_memory_low_end(&memory), 0);
    add(0x1000, 0x1000);
    ck_assert_uint_eq(nv_memory_low_end(&memory), 0);
    add(0, 0x1000);
    ck_assert_uint_eq(nv_memory_low_end(&memory), 0x2000);
    add(NV_GIB(4), 0x1000);
    ck_assert_uint_eq(nv_memory_low_end(&memory), 0x2000);
    ck_assert_uint_eq(nv_memory_total(&memory), 0x3000);
}
END_TEST

Suite *nv_test_suite(void)
{
    Suite *suite = suite_create("memory");
    TCase *tcase = support_case(suite, "memory", 60);

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, test_misuse_08_sizes_and_addresses);
    tcase_add_test(tcase, test_misuse_09_end_of_the_address_space);
    tcase_add_test(tcase, test_largest_region);
    tcase_add_test(tcase, test_misuse_05_unknown_bits);
    tcase_add_test(tcase, test_misuse_09_overlaps);
    tcase_add_test(tcase, test_misuse_09_windows_of_the_library);
    tcase_add_loop_test(tcase, test_default_layout, 0, NV_ARRAY_SIZE(layouts));
    tcase_add_test(tcase, test_pointer_lies_within_one_piece);
    tcase_add_test(tcase, test_copies_span_regions_that_touch);
    tcase_add_test(tcase, test_copies_at_the_edges);
    tcase_add_loop_test(tcase, test_clear_long_stretches, 0, 2);
    tcase_add_loop_test(tcase, test_zero_for_each_backing, 0, 2);
    tcase_add_test(tcase, test_numbers_stay_their_own);
    tcase_add_test(tcase, test_number_of_regions_is_limited);
    tcase_add_test(tcase, test_fault_05_memfd_is_sealed);
    tcase_add_loop_test(tcase, test_misuse_07_memory_is_not_inherited, 0, 2);
    tcase_add_test(tcase, test_low_end);
    return suite;
}
