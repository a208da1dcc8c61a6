/* SPDX-License-Identifier: Apache-2.0 */
/* Proves guests on the host's real huge pages: taken, returned, and what happens without enough. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/crc.h"
#include "core/util.h"
#include "guests.h"
#include "memory/memory.h"
#include "settings.h"
#include "support.h"
#include "vm/vm.h"

#define POOL "/sys/kernel/mm/hugepages/hugepages-2048kB"
#define POOL_GIB "/sys/kernel/mm/hugepages/hugepages-1048576kB"

enum { PAGES = 8 };

static struct nestvirt_host *host;

/* Pages that nobody has or was promised. */
static uint64_t count_free(void)
{
    return settings_get(POOL "/free_hugepages") - settings_get(POOL "/resv_hugepages");
}

static struct nestvirt_vm *make_vm(uint64_t pages)
{
    struct nestvirt_vm *vm;
    struct nestvirt_vm_config config;

    nestvirt_vm_config_init(&config, sizeof(config));
    config.memory_size = pages * NV_MIB(2);
    config.memory_backing = NESTVIRT_BACKING_HUGETLB;
    ck_nv_ok(nestvirt_vm_new(host, &config, &vm, &error));
    return vm;
}

static void run_guest(struct nestvirt_vm *vm)
{
    struct nestvirt_vm_result result;

    ck_nv_ok(nestvirt_vm_start(vm, &error));
    ck_assert_uint_eq(guest_wait(vm, &result), NESTVIRT_RESULT_GUEST_EXIT);
    ck_assert_int_eq(result.exit_code, 7);
}

START_TEST(test_pages_used_and_returned)
{
    uint64_t before = count_free();
    struct nestvirt_vm *vm = make_vm(PAGES);
    struct nestvirt_flat_config flat;
    char path[] = "/tmp/nestvirt-hugetlb-XXXXXX";
    int image = mkstemp(path);
    uint32_t word = 0x12345678;

    unlink(path);
    ck_assert_int_eq(write(image, guest_exit_code, (size_t)(guest_exit_code_end - guest_exit_code)),
                     guest_exit_code_end - guest_exit_code);
    ck_assert_uint_eq(before - count_free(), PAGES);
    ck_assert_uint_eq(settings_get(POOL "/resv_hugepages"), 0); /* there, not only promised */
    nestvirt_flat_config_init(&flat, sizeof(flat));
    flat.address = flat.entry = 0x1000;
    ck_nv_ok(nestvirt_boot_set_flat_fd(vm, image, &flat, &error));
    ck_nv_ok(nestvirt_device_add(vm, "exit", NULL, &error));
    ck_nv_ok(nestvirt_vm_build(vm, &error));
    ck_nv_ok(nestvirt_memory_write(vm, NV_MIB(15), &word, sizeof(word), &error));
    run_guest(vm);
    ck_nv_ok(nestvirt_memory_read(vm, NV_MIB(15), &word, sizeof(word), &error));
    ck_assert_uint_eq(word, 0x12345678);
    run_guest(vm); /* again: memory is zeroed, and the pages stay */
    ck_nv_ok(nestvirt_memory_read(vm, NV_MIB(15), &word, sizeof(word), &error));
    ck_assert_uint_eq(word, 0);
    ck_assert_uint_eq(before - count_free(), PAGES);
    ck_assert_int_eq(nestvirt_vm_free(vm), 0);
    ck_assert_uint_eq(count_free(), before);
    close(image);
}
END_TEST

START_TEST(test_misuse_11_one_page_missing)
{
    struct nestvirt_vm_config config;
    struct nestvirt_vm *vm;
    uint64_t left = count_free();

    nestvirt_vm_config_init(&config, sizeof(config));
    config.memory_backing = NESTVIRT_BACKING_HUGETLB;
    config.memory_size = (left + 1) * NV_MIB(2);
    ck_nv_fails_with(nestvirt_vm_new(host, &config, &vm, &error), -ENOMEM,
                     "of which 1 are missing in the pool " POOL);
    ck_assert_uint_eq(count_free(), left);
    ck_assert_int_eq(nestvirt_vm_free(make_vm(left)), 0); /* the exact rest */
    ck_assert_uint_eq(count_free(), left);
}
END_TEST

/* Given back by the guest, the page is zeroed and stays: another could take it from the pool. */
START_TEST(test_hostile_50_discard_of_huge_pages)
{
    const struct nestvirt_memory_config config = { .size = sizeof(config),
                                                   .length = 2 * NV_MIB(2),
                                                   .backing = NESTVIRT_BACKING_HUGETLB };
    static struct nv_memory memory;
    uint64_t left;
    uint8_t *bytes;

    nv_memory_init(&memory);
    ck_nv_ok(nv_memory_add(&memory, &config, &error));
    left = count_free();
    bytes = nv_memory_at(&memory, nv_gpa_at(0), config.length);
    memset(bytes, 0xaa, config.length);
    ck_assert_int_eq(nv_memory_discard(&memory, bytes + 4096, NV_MIB(2)), -EOPNOTSUPP);
    ck_assert_uint_eq(bytes[4095], 0xaa);
    for (size_t i = 0; i < NV_MIB(2); i++)
        ck_assert_uint_eq(bytes[4096 + i], 0);
    ck_assert_uint_eq(bytes[4096 + NV_MIB(2)], 0xaa);
    ck_nv_ok(nv_memory_reset(&memory, &error));
    ck_assert_uint_eq(bytes[0] | bytes[config.length - 1], 0);
    ck_assert_uint_eq(count_free(), left);
    nv_memory_destroy(&memory, true);
}
END_TEST

/* The caller's memfd of huge pages, too. */
START_TEST(test_descriptor_of_huge_pages)
{
    int fd = memfd_create("huge", MFD_CLOEXEC | MFD_HUGETLB | MFD_ALLOW_SEALING);
    uint64_t before = count_free();
    struct nestvirt_memory_config config = { .size = sizeof(config),
                                             .length = NV_MIB(2),
                                             .backing = NESTVIRT_BACKING_FD };
    static struct nv_memory memory;

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(ftruncate(fd, (off_t)NV_MIB(4)), 0);
    ck_assert_int_eq(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK), 0);
    config.fd = fd;
    nv_memory_init(&memory);
    config.offset = 4096;
    ck_nv_fails_with(nv_memory_add(&memory, &config, &error), -EINVAL, "huge pages");
    config.offset = NV_MIB(2);
    ck_nv_ok(nv_memory_add(&memory, &config, &error));
    ck_assert_uint_eq(before - count_free(), 1);
    nv_memory_destroy(&memory, true);
    close(fd);
    ck_assert_uint_eq(count_free(), before);
}
END_TEST

/* A file of saved state in a memfd of huge pages, which have no pwrite(): memory at 2 MiB. */
static int make_huge_state(void)
{
    int plain = memfd_create("plain", MFD_CLOEXEC);
    int huge = memfd_create("huge", MFD_CLOEXEC | MFD_HUGETLB | MFD_ALLOW_SEALING);
    struct nestvirt_template *template;
    struct nestvirt_vm_config config;
    struct nestvirt_vm *vm;
    struct nv_crc crc;
    uint64_t offset;
    uint8_t *bytes;

    nestvirt_vm_config_init(&config, sizeof(config));
    config.memory_size = NV_MIB(2);
    ck_nv_ok(nestvirt_vm_new(host, &config, &vm, &error));
    ck_nv_ok(nestvirt_memory_write(vm, 0x5000, "mark", 4, &error));
    ck_nv_ok(nestvirt_vm_build(vm, &error));
    ck_nv_ok(nestvirt_template_new(vm, 0, &template, &error));
    nestvirt_vm_free(vm);
    ck_nv_ok(nestvirt_template_write(template, NULL, plain, &error));
    nestvirt_template_free(template);
    ck_assert_int_eq(ftruncate(huge, (off_t)NV_MIB(4)), 0);
    bytes = mmap(NULL, NV_MIB(4), PROT_READ | PROT_WRITE, MAP_SHARED, huge, 0);
    ck_assert_ptr_ne(bytes, MAP_FAILED);
    ck_assert_int_eq(pread(plain, bytes, 128, 0), 128);
    offset = nv_get_le64(bytes + 80);
    ck_assert_int_eq(pread(plain, bytes, offset, 0), (ssize_t)offset);
    ck_assert_int_eq(pread(plain, bytes + NV_MIB(2), NV_MIB(2), (off_t)offset), NV_MIB(2));
    nv_put_le64(bytes + 80, NV_MIB(2));
    nv_put_le64(bytes + 88, NV_MIB(4));
    nv_crc_init(&crc);
    nv_put_le32(bytes + 124, nv_crc_add(&crc, 0, bytes, 124));
    munmap(bytes, NV_MIB(4));
    close(plain);
    ck_assert_int_eq(fcntl(huge, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_WRITE), 0);
    return huge;
}

/*
 * Its pages cannot be mapped as those of clones: they are copied, once, and not for each clone; and
 * only those that are there, however long the file says that it is.
 */
START_TEST(test_hostile_template_of_huge_pages)
{
    static const uint32_t flags[] = { 0, NESTVIRT_TEMPLATE_TRUST_FILE };
    uint64_t before = count_free();
    int huge = make_huge_state();

    for (size_t i = 0; i < NV_ARRAY_SIZE(flags); i++) {
        struct nestvirt_template *template;
        struct nestvirt_vm *clone;
        char mark[5] = "";

        ck_nv_ok(nestvirt_template_open(host, huge, flags[i], NULL, &template, &error));
        ck_nv_ok(nestvirt_clone_new(template, NULL, &clone, &error));
        nestvirt_template_free(template);
        ck_assert(!clone->memory.regions[0].is_copied);
        ck_nv_ok(nestvirt_memory_read(clone, 0x5000, mark, 4, &error));
        ck_assert_str_eq(mark, "mark");
        nestvirt_vm_free(clone);
    }
    close(huge);
    ck_assert_uint_eq(count_free(), before);
}
END_TEST

START_TEST(test_pages_of_1_gib)
{
    const struct nestvirt_memory_config config = { .size = sizeof(config),
                                                   .address = NV_GIB(4),
                                                   .length = NV_GIB(1),
                                                   .backing = NESTVIRT_BACKING_HUGETLB,
                                                   .page_size = NV_GIB(1) };
    static struct nv_memory memory;
    uint64_t old;

    if (access(POOL_GIB, F_OK) < 0) {
        printf("not tried: this host has no huge pages of 1 GiB\n");
        return;
    }
    old = settings_get(POOL_GIB "/nr_hugepages");
    if (!settings_set(POOL_GIB "/nr_hugepages", old + 1) ||
        settings_get(POOL_GIB "/free_hugepages") == 0) {
        printf("not tried: this host has no 1 GiB in one piece\n");
        return;
    }
    nv_memory_init(&memory);
    ck_nv_ok(nv_memory_add(&memory, &config, &error));
    ck_assert_uint_eq(settings_get(POOL_GIB "/free_hugepages"), old);
    nv_memory_destroy(&memory, true);
    ck_assert_uint_eq(settings_get(POOL_GIB "/free_hugepages"), old + 1);
}
END_TEST

Suite *nv_test_suite(void)
{
    Suite *suite = suite_create("kvm hugetlb");
    TCase *tcase = support_case(suite, "hugetlb", 60);

    host = support_host();
    settings_begin(POOL "/nr_hugepages");
    if (!settings_set(POOL "/nr_hugepages", settings_get(POOL "/nr_hugepages") + PAGES) ||
        count_free() < PAGES) {
        settings_restore();
        support_skip("the pool of 2 MiB pages cannot grow by 16 MiB");
    }
    tcase_add_test(tcase, test_pages_used_and_returned);
    tcase_add_test(tcase, test_misuse_11_one_page_missing);
    tcase_add_test(tcase, test_hostile_50_discard_of_huge_pages);
    tcase_add_test(tcase, test_descriptor_of_huge_pages);
    tcase_add_test(tcase, test_hostile_template_of_huge_pages);
    tcase_add_test(tcase, test_pages_of_1_gib);
    return suite;
}
