/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the boot test of disks: a file system, a raw disk that is cleared and grows, and a read-only
 * one. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "console.h"
#include "sandbox.h"
#include "support.h"
#include "tools.h"

enum {
    BOOT_SECONDS = 400,
    LONG = 180,    /* seconds for what takes few: other tests may run beside this one */
    REBIND = 300,  /* for 240 seconds of the guest */
    SEED_HOST = 1, /* of each file's bytes */
    SEED_RAW,
    SEED_FIXED,
    SEED_GUEST,
    SEED_PASSING,
    SEED_GROWN
};

struct disks {
    struct nestvirt_device *system; /* vda, ext4 */
    struct nestvirt_device *raw;    /* vdb */
    struct nestvirt_device *fixed;  /* vdc, read-only */
    int system_fd, raw_fd, fixed_fd;
};

static struct nestvirt_host *host;
static struct linux_vm linux_vm;

/* An ext4 file system of 64 MiB with a file of 1 MiB in it, a raw disk and a small one. */
static void make_images(struct disks *disks)
{
    const char *system = tools_path("system.img"), *content = tools_path("content");
    const char *const command[] = { "mkfs.ext4", "-q",    "-F",   "-b",  "4096",
                                    "-d",        content, system, "64M", NULL };

    ck_assert_int_eq(mkdir(content, 0700), 0);
    close(tools_make_file(tools_path("content/from_host"), 1, SEED_HOST));
    ck_assert_int_eq(tools_run(command), 0);
    disks->system_fd = open(system, O_RDWR | O_CLOEXEC);
    ck_assert_int_ge(disks->system_fd, 0);
    disks->raw_fd = tools_make_file(tools_path("raw.img"), 8, SEED_RAW);
    disks->fixed_fd = tools_make_file(tools_path("fixed.img"), 4, SEED_FIXED);
}

static void add_disks(struct nestvirt_vm *vm, void *data)
{
    struct disks *disks = data;

    ck_nv_ok(nestvirt_device_add(vm, "blk", &disks->system, &error));
    ck_nv_ok(nestvirt_device_set_string(disks->system, "path", tools_path("system.img"), &error));
    ck_nv_ok(nestvirt_device_set_string(disks->system, "serial", "nestvirt-1", &error));
    ck_nv_ok(nestvirt_device_add(vm, "blk", &disks->raw, &error));
    ck_nv_ok(nestvirt_device_set_fd(disks->raw, "fd", disks->raw_fd, &error));
    ck_nv_ok(nestvirt_device_set_u64(disks->raw, "queues", 2, &error));
    ck_nv_ok(nestvirt_device_add(vm, "blk", &disks->fixed, &error));
    ck_nv_ok(nestvirt_device_set_string(disks->fixed, "path", tools_path("fixed.img"), &error));
    ck_nv_ok(nestvirt_device_set_u64(disks->fixed, "read_only", 1, &error));
}

/* Orders a sum and compares it. */
static void expect_sum(const char *path, uint64_t bytes, uint32_t sum)
{
    char order[64], answer[64];

    snprintf(order, sizeof(order), "sum:%s:direct", path);
    snprintf(answer, sizeof(answer), "sum %llu %u", (unsigned long long)bytes, sum);
    linux_order(&linux_vm, order, answer, LONG);
}

static void fill(const char *where, uint64_t mib, uint64_t seed, uint64_t at, const char *how)
{
    char order[64], answer[64];

    snprintf(order, sizeof(order), "fill:%s:%d:%d:%d:%s", where, (int)mib, (int)seed, (int)at, how);
    snprintf(answer, sizeof(answer), "fill %u", tools_sum_pattern(mib, seed));
    linux_order(&linux_vm, order, answer, LONG);
}

/* Files both ways, and a deleted one whose blocks go back to the host. */
static void use_file_system(const struct disks *disks)
{
    uint64_t before, after;

    linux_order(&linux_vm, "cat:/sys/block/vda/serial", "cat nestvirt-1", LONG);
    linux_order(&linux_vm, "link:/sys/block/vda/device/driver",
                "link ../../../../bus/virtio/drivers/virtio_blk", LONG);
    linux_order(&linux_vm, "mount:/dev/vda:/mnt:rw", "mount ok", LONG);
    expect_sum("/mnt/from_host", MIB, tools_sum_pattern(1, SEED_HOST));
    fill("/mnt/from_guest", 2, SEED_GUEST, 0, "");
    expect_sum("/mnt/from_guest", 2 * MIB, tools_sum_pattern(2, SEED_GUEST));
    fill("/mnt/passing", 16, SEED_PASSING, 0, "direct");
    before = tools_allocated(disks->system_fd);
    ck_assert_uint_ge(before, 18 * MIB);
    linux_order(&linux_vm, "remove:/mnt/passing,sync,trim:/mnt", "trim ", LONG);
    after = tools_allocated(disks->system_fd);
    ck_assert_msg(after + 15 * MIB < before, "%llu bytes before, %llu after",
                  (unsigned long long)before, (unsigned long long)after);
}

static void try_read_only(const struct disks *disks)
{
    linux_order(&linux_vm, "cat:/sys/block/vdc/ro", "cat 1", LONG);
    expect_sum("/dev/vdc", 4 * MIB, tools_sum_pattern(4, SEED_FIXED));
    linux_order(&linux_vm, "fill:/dev/vdc:1:9", "fill error", LONG);
    ck_assert_uint_eq(tools_sum_file(disks->fixed_fd, 0, 0), tools_sum_pattern(4, SEED_FIXED));
}

/* The first 4 MiB are discarded, the next 2 zeroed; the rest is as it was. */
static void clear_raw(const struct disks *disks)
{
    uint64_t before = tools_allocated(disks->raw_fd);
    uint64_t after;

    ck_assert_uint_ge(before, 8 * MIB);
    linux_order(&linux_vm, "discard:/dev/vdb:0:4", "discard ok", LONG);
    after = tools_allocated(disks->raw_fd);
    ck_assert_msg(after + 3 * MIB < before, "%llu bytes before, %llu after",
                  (unsigned long long)before, (unsigned long long)after);
    linux_order(&linux_vm, "zero:/dev/vdb:4:2", "zero ok", LONG);
    expect_sum("/dev/vdb", 8 * MIB, tools_sum_file(disks->raw_fd, 0, 0));
}

/* The image grows; the guest learns it at once and writes behind the former end. */
static void grow_raw(const struct disks *disks)
{
    ck_assert_int_eq(ftruncate(disks->raw_fd, 12 * MIB), 0);
    ck_nv_ok(nestvirt_device_set_u64(disks->raw, "resize", 0, &error));
    linux_expect(&linux_vm, "[vdb] new size: 24576", LONG);
    linux_order(&linux_vm, "cat:/sys/block/vdb/size", "cat 24576", LONG);
    fill("/dev/vdb", 2, SEED_GROWN, 10, "direct");
    ck_assert_uint_eq(tools_sum_file(disks->raw_fd, 10 * MIB, 0), tools_sum_pattern(2, SEED_GROWN));
}

/* Each time the driver resets the device and reads from it. */
static void rebind(const struct disks *disks)
{
    linux_order(&linux_vm, "rebind:virtio_blk:virtio1:100:240", "rebind ", REBIND);
    printf("blk: %llu rebinds in %llu ms\n", (unsigned long long)linux_number(&linux_vm, "rebind"),
           (unsigned long long)linux_second_number(&linux_vm, "rebind"));
    ck_assert_uint_eq(linux_number(&linux_vm, "rebind"), 100);
    expect_sum("/dev/vdb", 12 * MIB, tools_sum_file(disks->raw_fd, 0, 0));
}

/* What the host finds after the guest has gone. */
static void check_file_system(const struct disks *disks)
{
    char dump[256];
    const char *system = tools_path("system.img"), *copy = tools_path("copy");
    const char *const check[] = { "e2fsck", "-fn", system, NULL };
    const char *const fetch[] = { "debugfs", "-R", dump, system, NULL };
    int fd;

    snprintf(dump, sizeof(dump), "dump from_guest %s", copy);
    ck_assert_int_eq(tools_run(check), 0);
    ck_assert_int_eq(tools_run(fetch), 0);
    fd = open(copy, O_RDONLY | O_CLOEXEC);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(lseek(fd, 0, SEEK_END), 2 * MIB);
    ck_assert_uint_eq(tools_sum_file(fd, 0, 0), tools_sum_pattern(2, SEED_GUEST));
    close(fd);
}

static void expect_no_faults(struct nestvirt_device *device)
{
    uint64_t faults = 0, errors = 0;

    ck_nv_ok(nestvirt_device_get_u64(device, "faults", &faults, &error));
    ck_nv_ok(nestvirt_device_get_u64(device, "errors", &errors, &error));
    ck_assert_uint_eq(faults, 0);
    ck_assert_uint_eq(errors, 0);
}

static void end(const struct disks *disks)
{
    linux_order(&linux_vm, "umount:/mnt", "umount ok", LONG);
    linux_type(&linux_vm, "quit\n");
    linux_expect_end(&linux_vm, NESTVIRT_RESULT_GUEST_RESET, 60, NULL);
    expect_no_faults(disks->system);
    expect_no_faults(disks->raw);
    expect_no_faults(disks->fixed);
    check_file_system(disks);
}

/* Every thread gives up its privileges and may call only what the library says that it needs. */
static void confine(struct nestvirt_vm *vm)
{
    ck_nv_ok(nestvirt_vm_remove_privileges(vm, &error));
    sandbox_begin();
    sandbox_add_vm(vm, 0, NULL);
}

START_TEST(test_disks)
{
    struct disks disks;
    const struct linux_options options = {
        .kernel = linux_file("NESTVIRT_TEST_KERNEL_FAST", "vmlinux"),
        .discovery = NESTVIRT_DISCOVERY_MPTABLE | NESTVIRT_DISCOVERY_CMDLINE,
        .steps = "obey",
        .add = add_disks,
        .data = &disks,
        .built = confine,
    };

    make_images(&disks);
    linux_start(&linux_vm, host, &options);
    linux_expect(&linux_vm, "nv: waiting order", BOOT_SECONDS);
    linux_note(&linux_vm, "booted");
    use_file_system(&disks);
    linux_note(&linux_vm, "use file system");
    try_read_only(&disks);
    linux_note(&linux_vm, "try read only");
    clear_raw(&disks);
    linux_note(&linux_vm, "clear raw");
    grow_raw(&disks);
    linux_note(&linux_vm, "grow raw");
    rebind(&disks);
    linux_note(&linux_vm, "rebind");
    end(&disks);

    /* The same VM once more: what was written is there. */
    linux_forget(&linux_vm);
    ck_nv_ok(nestvirt_vm_start(linux_vm.vm, &error));
    linux_expect(&linux_vm, "nv: waiting order", BOOT_SECONDS);
    linux_order(&linux_vm, "mount:/dev/vda:/mnt:rw", "mount ok", LONG);
    expect_sum("/mnt/from_guest", 2 * MIB, tools_sum_pattern(2, SEED_GUEST));
    end(&disks);
    linux_note(&linux_vm, "second start");
    linux_free(&linux_vm);
    ck_assert_uint_eq(sandbox_count(0), 0);
    sandbox_end();
    close(disks.system_fd);
    close(disks.raw_fd);
    close(disks.fixed_fd);
}
END_TEST

Suite *nv_test_suite(void)
{
    Suite *suite = suite_create("boot_disk");
    TCase *tcase = support_case(suite, "disk", 1200);

    host = support_host();
    linux_file("NESTVIRT_TEST_KERNEL_FAST", "vmlinux");
    linux_file("NESTVIRT_TEST_INITRD", "");
    tcase_add_unchecked_fixture(tcase, tools_make_folder, tools_remove_folder);
    tcase_add_test(tcase, test_disks);
    return suite;
}
