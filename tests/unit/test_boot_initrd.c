/* SPDX-License-Identifier: Apache-2.0 */
/* Proves that an initrd is placed high, clear of the kernel, and refused where it does not fit. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "core/util.h"
#include "image.h"
#include "memory/layout.h"
#include "support.h"

static const uint64_t MEMORY = NV_MIB(4);

static struct loader loader;
static struct image elf;
static struct image initrd;

static void setup(void)
{
    loader_init(&loader, MEMORY);
    elf = image_elf();
    initrd = image_new(0);
}

static void teardown(void)
{
    loader_destroy(&loader);
    image_free(&elf);
    image_free(&initrd);
}

static void set_size(size_t size)
{
    image_resize(&initrd, size);
    memset(initrd.bytes, 'i', size);
    loader_set_initrd(&loader, &initrd);
}

static void load(const struct image *kernel, uint32_t format)
{
    loader_set_kernel(&loader, kernel, format);
    loader_must_load(&loader);
}

static void must_be_at(uint64_t address)
{
    const uint8_t *page = loader_at(&loader, NV_LAYOUT_ZERO_PAGE, 4096);

    ck_assert_uint_eq(nv_get_le32(page + 0x218), address);
    ck_assert_uint_eq(nv_get_le32(page + 0x21c), initrd.size);
    ck_assert_uint_eq(nv_get_le32(page + 0xc0), 0);
    ck_assert_uint_eq(nv_get_le32(page + 0xc4), 0);
    if (initrd.size > 0)
        ck_assert_mem_eq(loader_at(&loader, address, initrd.size), initrd.bytes, initrd.size);
    ck_assert_mem_eq(loader_at(&loader, 0x100000, 0x200), elf.bytes + 0x1000, 0x200);
    ck_assert_mem_eq(loader_at(&loader, 0x200000, 0x100), elf.bytes + 0x1200, 0x100);
}

static void must_fail(int code)
{
    loader_set_kernel(&loader, &elf, NESTVIRT_KERNEL_AUTO);
    loader_must_fail(&loader, code, "initrd");
}

START_TEST(test_none)
{
    load(&elf, NESTVIRT_KERNEL_AUTO);
    must_be_at(0);
}
END_TEST

START_TEST(test_at_the_end_of_memory)
{
    set_size(1);
    load(&elf, NESTVIRT_KERNEL_AUTO);
    must_be_at(MEMORY - 0x1000);
    set_size(0x1000);
    load(&elf, NESTVIRT_KERNEL_AUTO);
    must_be_at(MEMORY - 0x1000);
    set_size(0x1001);
    load(&elf, NESTVIRT_KERNEL_AUTO);
    must_be_at(MEMORY - 0x2000);
}
END_TEST

START_TEST(test_exactly_above_the_kernel)
{
    set_size(MEMORY - 0x202000);
    load(&elf, NESTVIRT_KERNEL_AUTO);
    must_be_at(0x202000);
}
END_TEST

START_TEST(test_between_segments)
{
    image_put64(&elf, ELF_SECOND + PH_ADDRESS, MEMORY - 0x2000);
    set_size(0x3000);
    load(&elf, NESTVIRT_KERNEL_AUTO);
    ck_assert_uint_eq(nv_get_le32(loader_at(&loader, NV_LAYOUT_ZERO_PAGE + 0x218, 4)),
                      MEMORY - 0x5000);
}
END_TEST

START_TEST(test_below_the_kernel)
{
    /* The only gap that is large enough ends where the lower segment begins. */
    image_put64(&elf, ELF_FIRST + PH_ADDRESS, 0x180000);
    image_put64(&elf, ELF_FIRST + PH_MEMORY_SIZE, 0x80000);
    image_put64(&elf, ELF_ENTRY, 0x180000);
    image_put64(&elf, ELF_SECOND + PH_MEMORY_SIZE, MEMORY - 0x200000);
    set_size(0x80000);
    load(&elf, NESTVIRT_KERNEL_AUTO);
    ck_assert_uint_eq(nv_get_le32(loader_at(&loader, NV_LAYOUT_ZERO_PAGE + 0x218, 4)), 0x100000);
    set_size(0x80001);
    loader.start.valid = false;
    nv_memory_reset(&loader.memory, NULL);
    must_fail(-E2BIG);
}
END_TEST

START_TEST(test_pvh_module)
{
    const uint8_t *info;

    set_size(0x1001);
    load(&elf, NESTVIRT_KERNEL_PVH);
    info = loader_at(&loader, NV_LAYOUT_PVH, 4096);
    ck_assert_uint_eq(nv_get_le32(info + 12), 1);
    ck_assert_uint_eq(nv_get_le64(info + 16), NV_LAYOUT_PVH + 0x40);
    ck_assert_uint_eq(nv_get_le64(info + 0x40), MEMORY - 0x2000);
    ck_assert_uint_eq(nv_get_le64(info + 0x48), 0x1001);
    ck_assert_uint_eq(*loader_at(&loader, MEMORY - 0x2000, 1), 'i');
}
END_TEST

START_TEST(test_below_the_kernels_own_limit)
{
    struct image payload = image_new(64);
    struct image bz = image_bzimage(&payload);

    image_put32(&bz, BZ_INITRD_MAX, 0x37ffff);
    set_size(0x2000);
    load(&bz, NESTVIRT_KERNEL_BZIMAGE_IN_GUEST);
    ck_assert_uint_eq(nv_get_le32(loader_at(&loader, NV_LAYOUT_ZERO_PAGE + 0x218, 4)), 0x37e000);
    /* A limit that is not at the end of a page. */
    image_put32(&bz, BZ_INITRD_MAX, 0x37fffe);
    load(&bz, NESTVIRT_KERNEL_BZIMAGE_IN_GUEST);
    ck_assert_uint_eq(nv_get_le32(loader_at(&loader, NV_LAYOUT_ZERO_PAGE + 0x218, 4)), 0x37d000);
    image_put32(&bz, BZ_INITRD_MAX, UINT32_MAX);
    load(&bz, NESTVIRT_KERNEL_BZIMAGE_IN_GUEST);
    ck_assert_uint_eq(nv_get_le32(loader_at(&loader, NV_LAYOUT_ZERO_PAGE + 0x218, 4)), 0x3fe000);
    image_free(&bz);
    image_free(&payload);
}
END_TEST

START_TEST(test_clear_of_what_the_kernel_uses_early)
{
    struct image payload = image_new(64);
    struct image bz = image_bzimage(&payload);

    /* 0x100000 to 0x280000 */
    set_size(MEMORY - BZ_ADDRESS - BZ_MEMORY_SIZE);
    load(&bz, NESTVIRT_KERNEL_BZIMAGE_IN_GUEST);
    ck_assert_uint_eq(nv_get_le32(loader_at(&loader, NV_LAYOUT_ZERO_PAGE + 0x218, 4)), 0x280000);
    set_size(initrd.size + 1);
    loader_set_kernel(&loader, &bz, NESTVIRT_KERNEL_BZIMAGE_IN_GUEST);
    ck_assert_int_eq(loader_run(&loader), -E2BIG);
    image_free(&bz);
    image_free(&payload);
}
END_TEST

START_TEST(test_clear_of_init_size_when_unpacked_on_the_host)
{
    for (enum packing packing = 0; packing < PACKINGS; packing++) {
        struct image payload = image_pack(packing, &elf);
        struct image bz = image_bzimage(&payload);

        image_put32(&bz, BZ_INIT_SIZE, 0x200000);
        set_size(0x100000);
        if (image_has_packing(packing)) {
            load(&bz, NESTVIRT_KERNEL_AUTO);
            must_be_at(0x300000);
            set_size(0x100001);
            loader_set_kernel(&loader, &bz, NESTVIRT_KERNEL_AUTO);
            ck_assert_int_eq(loader_run(&loader), -E2BIG);
        }
        image_free(&bz);
        image_free(&payload);
    }
}
END_TEST

START_TEST(test_elf_limit_is_896_mib)
{
    loader_destroy(&loader);
    loader_init(&loader, NV_GIB(1));
    set_size(0x1000);
    load(&elf, NESTVIRT_KERNEL_AUTO);
    must_be_at(0x38000000 - 0x1000);
}
END_TEST

START_TEST(test_not_beyond_a_hole)
{
    loader_add_memory(&loader, MEMORY + 0x10000, NV_MIB(1));
    set_size(0x1000);
    load(&elf, NESTVIRT_KERNEL_AUTO);
    must_be_at(MEMORY - 0x1000);
}
END_TEST

START_TEST(test_hostile_54_initrd_limit_of_the_kernel)
{
    static const uint32_t limits[] = { 0, 1, 0xfff, 0xffffe, 0xfffff, 0x100000, 0x27ffff };
    struct image payload = image_new(64);
    struct image bz = image_bzimage(&payload);

    set_size(0x1000);
    for (size_t i = 0; i < NV_ARRAY_SIZE(limits); i++) {
        image_put32(&bz, BZ_INITRD_MAX, limits[i]);
        loader_set_kernel(&loader, &bz, NESTVIRT_KERNEL_BZIMAGE_IN_GUEST);
        loader_must_fail(&loader, -E2BIG, "initrd");
    }
    image_free(&bz);
    image_free(&payload);
}
END_TEST

START_TEST(test_hostile_54_initrd_too_large)
{
    set_size(MEMORY - 0x202000 + 1);
    must_fail(-E2BIG);
    set_size(MEMORY);
    must_fail(-E2BIG);
    set_size(MEMORY + 1);
    must_fail(-E2BIG);
}
END_TEST

START_TEST(test_hostile_54_initrd_of_absurd_size)
{
    static const off_t sizes[] = { 1ll << 32, (1ll << 32) + 1, 1ll << 40, INT64_MAX };

    set_size(1);
    for (size_t i = 0; i < NV_ARRAY_SIZE(sizes); i++) {
        if (ftruncate(loader.source.initrd_fd, sizes[i]) < 0)
            continue; /* no file can be so large here */
        must_fail(-E2BIG);
    }
}
END_TEST

START_TEST(test_hostile_54_initrd_is_no_file)
{
    int ends[2];

    set_size(0);
    must_fail(-ENOEXEC);
    close(loader.source.initrd_fd);
    loader.source.initrd_fd = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    must_fail(-EISDIR);
    close(loader.source.initrd_fd);
    ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
    loader.source.initrd_fd = ends[0];
    must_fail(-EINVAL);
    close(ends[1]);
}
END_TEST

START_TEST(test_without_a_kernel)
{
    set_size(10);
    loader_must_fail(&loader, -EINVAL, "initrd");
}
END_TEST

Suite *nv_test_suite(void)
{
    Suite *suite = suite_create("boot_initrd");
    TCase *tcase = support_case(suite, "boot_initrd", 30);

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, test_none);
    tcase_add_test(tcase, test_at_the_end_of_memory);
    tcase_add_test(tcase, test_exactly_above_the_kernel);
    tcase_add_test(tcase, test_between_segments);
    tcase_add_test(tcase, test_below_the_kernel);
    tcase_add_test(tcase, test_pvh_module);
    tcase_add_test(tcase, test_below_the_kernels_own_limit);
    tcase_add_test(tcase, test_clear_of_what_the_kernel_uses_early);
    tcase_add_test(tcase, test_clear_of_init_size_when_unpacked_on_the_host);
    tcase_add_test(tcase, test_elf_limit_is_896_mib);
    tcase_add_test(tcase, test_not_beyond_a_hole);
    tcase_add_test(tcase, test_hostile_54_initrd_limit_of_the_kernel);
    tcase_add_test(tcase, test_hostile_54_initrd_too_large);
    tcase_add_test(tcase, test_hostile_54_initrd_of_absurd_size);
    tcase_add_test(tcase, test_hostile_54_initrd_is_no_file);
    tcase_add_test(tcase, test_without_a_kernel);
    return suite;
}
