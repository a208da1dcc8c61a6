/* SPDX-License-Identifier: Apache-2.0 */
/* Proves the report on KSM against trees of kernels old and new, and what a kernel may refuse. */
#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/util.h"
#include "memory/ksm.h"
#include "memory/region.h"
#include "support.h"

enum { LENGTH = 64 * 1024, REGIONS = 3 };

static struct nv_memory memory;
static char root[] = "/tmp/nestvirt-ksm-XXXXXX";
static struct nestvirt_memory_ksm ksm;
static int advice_errno; /* what madvise() fails with; 0: it works */

int __real_madvise(void *address, size_t length, int advice);
int __wrap_madvise(void *address, size_t length, int advice);

int __wrap_madvise(void *address, size_t length, int advice)
{
    if (advice_errno && (advice == MADV_MERGEABLE || advice == MADV_UNMERGEABLE)) {
        errno = advice_errno;
        return -1;
    }
    return __real_madvise(address, length, advice);
}

static void make_file(const char *path, const char *text)
{
    FILE *file = fopen(nv_text("%s/%s", root, path).s, "we");

    ck_assert_ptr_nonnull(file);
    ck_assert_int_ge(fputs(text, file), 0);
    fclose(file);
}

static void make_folder(const char *path)
{
    ck_assert_int_eq(mkdir(nv_text("%s/%s", root, path).s, 0700), 0);
}

static void setup(void)
{
    static const char *const folders[] = { "proc",       "proc/self",     "sys",
                                           "sys/kernel", "sys/kernel/mm", "sys/kernel/mm/ksm" };

    memcpy(strrchr(root, '-'), "-XXXXXX", 8);
    ck_assert_ptr_nonnull(mkdtemp(root));
    for (size_t i = 0; i < NV_ARRAY_SIZE(folders); i++)
        make_folder(folders[i]);
    nv_memory_init(&memory);
    for (uint64_t i = 0; i < REGIONS; i++) {
        const struct nestvirt_memory_config config = { .size = sizeof(config),
                                                       .address = i * LENGTH,
                                                       .length = LENGTH };

        ck_nv_ok(nv_memory_add(&memory, &config, &error));
    }
    ck_nv_ok(nv_memory_set_mergeable(&memory, 1, true, &error));
    ksm = (struct nestvirt_memory_ksm){ .size = sizeof(ksm) };
}

static int remove_one(const char *path, const struct stat *status, int kind, struct FTW *place)
{
    (void)status;
    (void)kind;
    (void)place;
    return remove(path);
}

static void teardown(void)
{
    advice_errno = 0;
    nv_memory_destroy(&memory, true);
    nftw(root, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

/* Appends a mapping to smaps; ksm_kib below 0: as before Linux 6.8. */
static void add_mapping(const uint8_t *start, const uint8_t *end, int ksm_kib)
{
    FILE *file = fopen(nv_text("%s/proc/self/smaps", root).s, "ae");

    fprintf(file, "%lx-%lx rw-p 00000000 00:00 0 \nSize:       64 kB\nRss:        64 kB\n",
            (unsigned long)(uintptr_t)start, (unsigned long)(uintptr_t)end);
    if (ksm_kib >= 0)
        fprintf(file, "KSM:       %8d kB\n", ksm_kib);
    fprintf(file, "THPeligible:    0\nVmFlags: rd wr mr mw me dc mg\n");
    fclose(file);
}

static void add_region(uint32_t number, int ksm_kib)
{
    add_mapping(memory.regions[number].host, memory.regions[number].host + LENGTH, ksm_kib);
}

static void read_report(uint32_t region)
{
    ck_nv_ok(nv_memory_get_ksm(&memory, root, region, &ksm, &error));
    ck_assert_uint_eq(ksm.size, sizeof(ksm));
}

START_TEST(test_new_kernel)
{
    static const uint8_t other[2 * LENGTH];

    add_mapping(other, other + LENGTH, 1000);
    for (uint32_t i = 0; i < REGIONS; i++)
        add_region(i, 4 << i);
    add_mapping(other + LENGTH, other + 2 * LENGTH, 3000);
    make_file("proc/self/ksm_stat", "ksm_rmap_items 16\nksm_zero_pages 5\nksm_merging_pages 12\n"
                                    "ksm_process_profit -300\nksm_merge_any: no\n");
    make_file("sys/kernel/mm/ksm/run", "1\n");
    read_report(1);
    ck_assert_uint_eq(ksm.flags, (NESTVIRT_MEMORY_KSM_HOST_RUN << 1) - 1);
    ck_assert_uint_eq(ksm.mergeable_bytes, LENGTH);
    ck_assert_uint_eq(ksm.merged_bytes, 8192);
    ck_assert_uint_eq(ksm.process_merging_pages, 12);
    ck_assert_uint_eq(ksm.process_zero_pages, 5);
    ck_assert_uint_eq(ksm.process_rmap_items, 16);
    ck_assert_int_eq(ksm.process_profit, -300);
    ck_assert_uint_eq(ksm.host_run, 1);
    /* Of a region that is not mergeable nothing is merged, and its mapping may be a joined one. */
    read_report(0);
    ck_assert_uint_eq(ksm.flags, (NESTVIRT_MEMORY_KSM_HOST_RUN << 1) - 1);
    ck_assert_uint_eq(ksm.mergeable_bytes, 0);
    ck_assert_uint_eq(ksm.merged_bytes, 0);
    read_report(NESTVIRT_MEMORY_EVERY);
    ck_assert_uint_eq(ksm.mergeable_bytes, LENGTH);
    ck_assert_uint_eq(ksm.merged_bytes, 8192);
    ck_nv_ok(nv_memory_set_mergeable(&memory, 2, true, &error));
    read_report(NESTVIRT_MEMORY_EVERY);
    ck_assert_uint_eq(ksm.mergeable_bytes, 2 * LENGTH);
    ck_assert_uint_eq(ksm.merged_bytes, 24 * 1024);
}
END_TEST

/* The kernel may show a region as several mappings. */
START_TEST(test_region_in_pieces)
{
    const struct nv_memory_region *region = &memory.regions[1];

    add_mapping(region->map, region->host + 0x3000, 12);
    add_mapping(region->host + 0x3000, region->host + LENGTH, 8);
    read_report(1);
    ck_assert(ksm.flags & NESTVIRT_MEMORY_KSM_MERGED);
    ck_assert_uint_eq(ksm.merged_bytes, 20 * 1024);
}
END_TEST

/* What is not the region's alone is not told as if it were. */
START_TEST(test_region_within_a_larger_mapping)
{
    const struct nv_memory_region *region = &memory.regions[1];

    add_mapping(region->map, region->host + LENGTH + 4096, 12);
    read_report(1);
    ck_assert(!(ksm.flags & NESTVIRT_MEMORY_KSM_MERGED));
    ck_assert_uint_eq(ksm.merged_bytes, 0);
}
END_TEST

START_TEST(test_old_kernels)
{
    for (uint32_t i = 0; i < REGIONS; i++)
        add_region(i, i == 2 ? 8 : -1);
    make_file("proc/self/ksm_stat", "ksm_rmap_items 7\n");
    read_report(NESTVIRT_MEMORY_EVERY);
    ck_assert_uint_eq(ksm.flags, NESTVIRT_MEMORY_KSM_RMAP_ITEMS);
    ck_assert_uint_eq(ksm.process_rmap_items, 7);
    ck_assert_uint_eq(ksm.merged_bytes, 0);
    make_file("proc/self/ksm_stat", "ksm_merging_pages \nksm_zero_pages x\n");
    make_file("sys/kernel/mm/ksm/run", "yes\n");
    read_report(NESTVIRT_MEMORY_EVERY);
    ck_assert_uint_eq(ksm.flags, 0);
    ck_assert_uint_eq(ksm.mergeable_bytes, LENGTH);
}
END_TEST

START_TEST(test_nothing_there)
{
    read_report(NESTVIRT_MEMORY_EVERY);
    ck_assert_uint_eq(ksm.flags, 0);
    ck_nv_fails_with(nv_memory_get_ksm(&memory, root, REGIONS, &ksm, &error), -ENOENT,
                     "memory region 3");
    ck_nv_fails(nv_memory_get_ksm(&memory, "/nonexistent", 0, &ksm, &error), -ENOENT);
}
END_TEST

/* Long names, lines without an end, and more than one buffer. */
START_TEST(test_long_and_odd_lines)
{
    const struct nv_memory_region *region = &memory.regions[1];
    FILE *file = fopen(nv_text("%s/proc/self/smaps", root).s, "we");

    for (int i = 0; i < 300; i++) {
        fprintf(file, "%x-%x r--p 00000000 00:00 0 ", 0x1000 * i, 0x1000 * i + 0x1000);
        for (int j = 0; j < 400; j++)
            fputs("KSM: 9 kB ", file);
        fputs("\nKSM:   77 kB\n", file);
    }
    fprintf(file, "%lx-%lx rw-p 00000000 00:00 0\nKSM:    16 kB\n",
            (unsigned long)(uintptr_t)region->host,
            (unsigned long)(uintptr_t)region->host + LENGTH);
    fputs("ffffffffffffffff-0 ---p\nKSM: 1 kB\n-\n\nKSM:", file);
    fclose(file);
    read_report(1);
    ck_assert_uint_eq(ksm.merged_bytes, 16 * 1024);
}
END_TEST

START_TEST(test_misuse_13_kernel_refuses)
{
    advice_errno = EINVAL;
    ck_nv_fails_with(nv_memory_set_mergeable(&memory, 0, true, &error), -ENOTSUP, "CONFIG_KSM");
    advice_errno = EPERM;
    ck_nv_fails_with(nv_memory_set_mergeable(&memory, 0, true, &error), -EPERM, "seccomp");
    advice_errno = EAGAIN;
    ck_nv_fails_with(nv_memory_set_mergeable(&memory, 0, true, &error), -EAGAIN, "MADV_MERGEABLE");
    ck_nv_fails_with(nv_memory_set_mergeable(&memory, 1, false, &error), -EAGAIN,
                     "MADV_UNMERGEABLE");
    ck_assert(!nv_region_is_mergeable(&memory.regions[0]));
    ck_assert(nv_region_is_mergeable(&memory.regions[1]));
}
END_TEST

START_TEST(test_misuse_13_kernel_refuses_at_add)
{
    const struct nestvirt_memory_config config = { .size = sizeof(config),
                                                   .flags = NESTVIRT_MEMORY_MERGEABLE,
                                                   .address = REGIONS * LENGTH,
                                                   .length = LENGTH };
    struct nv_memory before = memory;

    advice_errno = EINVAL;
    ck_nv_fails_with(nv_memory_add(&memory, &config, &error), -ENOTSUP, "has no KSM");
    ck_assert_mem_eq(&memory, &before, sizeof(memory));
}
END_TEST

Suite *nv_test_suite(void)
{
    Suite *suite = suite_create("memory ksm");
    TCase *tcase = support_case(suite, "ksm", 60);

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, test_new_kernel);
    tcase_add_test(tcase, test_region_in_pieces);
    tcase_add_test(tcase, test_region_within_a_larger_mapping);
    tcase_add_test(tcase, test_old_kernels);
    tcase_add_test(tcase, test_nothing_there);
    tcase_add_test(tcase, test_long_and_odd_lines);
    tcase_add_test(tcase, test_misuse_13_kernel_refuses);
    tcase_add_test(tcase, test_misuse_13_kernel_refuses_at_add);
    return suite;
}
