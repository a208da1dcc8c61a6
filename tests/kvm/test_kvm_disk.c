/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the tests of a disk under a real guest: every byte both ways, read-only, resets. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/util.h"
#include "disk_script.h"
#include "guests.h"
#include "lossy_fs.h"
#include "mounts.h"
#include "support.h"

enum { SECTOR = 512, SECTORS = 256, DISK_SIZE = SECTOR * SECTORS };
enum { MEMORY_END = 1 << 20, BUFFERS_SIZE = MEMORY_END - DISK_BUFFERS };

static struct nestvirt_host *host;
static struct lossy_fs fs;
static int directory = -1;
static char path[40];

static const char *const engines[] = { "threads", "io_uring" };

static void write_file(const uint8_t *bytes)
{
    int fd = openat(directory, "disk", O_RDWR | O_CREAT | O_CLOEXEC, 0600);

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(pwrite(fd, bytes, DISK_SIZE, 0), DISK_SIZE);
    close(fd);
}

static void check_file(const uint8_t *bytes)
{
    static uint8_t found[DISK_SIZE + 1];
    int fd = openat(directory, "disk", O_RDONLY | O_CLOEXEC);

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(pread(fd, found, sizeof(found), 0), DISK_SIZE);
    close(fd);
    ck_assert_mem_eq(found, bytes, DISK_SIZE);
}

/* Bytes that are not the same anywhere nearby. */
static void fill(uint8_t *bytes, size_t length, uint32_t seed)
{
    for (size_t i = 0; i < length; i++) {
        seed = seed * 1664525 + 1013904223;
        bytes[i] = (uint8_t)(seed >> 24);
    }
}

static const struct {
    uint32_t sector, sectors, place; /* place: in the buffers */
} reads[8] = {
    { 0, 1, 0 },        { 255, 1, 0x1000 }, { 1, 2, 0x1e00 },   { 3, 7, 0x3007 },
    { 64, 64, 0x8000 }, { 10, 1, 0x601 },   { 11, 8, 0x5002 },  { 200, 16, 0x20000 },
}, writes[8] = {
    { 250, 5, 0x30000 },  { 0, 1, 0x31001 },   { 20, 3, 0x32ffd },  { 40, 64, 0x40000 },
    { 23, 1, 0x50000 },   { 255, 1, 0x50200 }, { 128, 9, 0x51001 }, { 110, 2, 0x53333 },
};

/* Eight reads in a batch, eight writes, a flush, and the whole disk read back in pieces. */
START_TEST(test_every_byte)
{
    static uint8_t disk[DISK_SIZE];
    static uint8_t memory[BUFFERS_SIZE];
    static uint8_t found[BUFFERS_SIZE];
    enum { BACK = 0x58000, BACK_PARTS = 8, BACK_LENGTH = DISK_SIZE / BACK_PARTS };
    struct script script;

    fill(disk, sizeof(disk), 1);
    fill(memory, sizeof(memory), 2);
    write_file(disk);
    disk_begin(&script, host, path, engines[_i], NULL);
    ck_nv_ok(nestvirt_memory_write(script.vm, DISK_BUFFERS, memory, sizeof(memory), &error));
    for (uint32_t i = 0; i < 8; i++) {
        disk_request(&script, i, DISK_IN, reads[i].sector, DISK_BUFFERS + reads[i].place,
                     reads[i].sectors * SECTOR);
        memcpy(memory + reads[i].place, disk + reads[i].sector * SECTOR, reads[i].sectors * SECTOR);
    }
    for (uint32_t i = 0; i < 8; i++) {
        disk_request(&script, 8 + i, DISK_OUT, writes[i].sector, DISK_BUFFERS + writes[i].place,
                     writes[i].sectors * SECTOR);
        memcpy(disk + writes[i].sector * SECTOR, memory + writes[i].place,
               writes[i].sectors * SECTOR);
    }
    disk_request(&script, 16, DISK_FLUSH, 0, 0, 0);
    for (uint32_t i = 0; i < BACK_PARTS; i++)
        disk_request(&script, 17 + i, DISK_IN, i * BACK_LENGTH / SECTOR,
                     DISK_BUFFERS + BACK + i * BACK_LENGTH, BACK_LENGTH);
    memcpy(memory + BACK, disk, DISK_SIZE);
    disk_drive(&script, DISK_F_FLUSH);
    disk_submit(&script, 8);
    disk_submit(&script, 16);
    disk_submit(&script, 17);
    disk_submit(&script, 25);
    script_run(&script);
    for (uint32_t i = 0; i < 25; i++)
        ck_assert_msg(disk_status(&script, i) == 0, "request %u: %u", i, disk_status(&script, i));
    ck_nv_ok(nestvirt_memory_read(script.vm, DISK_BUFFERS, found, sizeof(found), &error));
    ck_assert_mem_eq(found, memory, sizeof(memory));
    check_file(disk);
    ck_assert_uint_eq(disk_counter(&script, "reads"), 16);
    ck_assert_uint_eq(disk_counter(&script, "writes"), 8);
    ck_assert_uint_eq(disk_counter(&script, "flushes"), 1);
    ck_assert_uint_eq(disk_counter(&script, "errors"), 0);
    script_end(&script);
}
END_TEST

/* Whether the driver takes note of F_RO or not. */
START_TEST(test_hostile_37_read_only)
{
    static uint8_t disk[DISK_SIZE];
    const struct {
        uint64_t sector;
        uint32_t sectors, flags;
    } segment = { 0, 8, 0 };
    struct script script;
    uint8_t found[SECTOR];

    fill(disk, sizeof(disk), 3);
    write_file(disk);
    disk_begin(&script, host, path, NULL, "stop"); /* a refusal is no failure of the host */
    ck_nv_ok(nestvirt_device_set_u64(script.device, "read_only", 1, &error));
    ck_nv_ok(nestvirt_memory_write(script.vm, DISK_BUFFERS, &segment, 16, &error));
    disk_request(&script, 0, DISK_OUT, 0, DISK_BUFFERS + SECTOR, SECTOR);
    disk_request(&script, 1, DISK_DISCARD, 0, DISK_BUFFERS, 16);
    disk_request(&script, 2, DISK_WRITE_ZEROES, 0, DISK_BUFFERS, 16);
    disk_request(&script, 3, DISK_IN, 7, DISK_BUFFERS + 2 * SECTOR, SECTOR);
    disk_drive(&script, _i ? DISK_F_RO : 0);
    disk_submit(&script, 4);
    script_run(&script);
    ck_assert_uint_eq(disk_status(&script, 0), 1);
    ck_assert_uint_ne(disk_status(&script, 1), 0);
    ck_assert_uint_ne(disk_status(&script, 2), 0);
    ck_assert_uint_ne(disk_status(&script, 1), 0xff);
    ck_assert_uint_ne(disk_status(&script, 2), 0xff);
    ck_assert_uint_eq(disk_status(&script, 3), 0);
    ck_nv_ok(nestvirt_memory_read(script.vm, DISK_BUFFERS + 2 * SECTOR, found, SECTOR, &error));
    ck_assert_mem_eq(found, disk + 7 * SECTOR, SECTOR);
    check_file(disk);
    script_end(&script);
}
END_TEST

enum { RESETS = 100, IN_FLIGHT = 8, MARK = 0x4d41524b };

/* What the guest finds in its own memory after one reset: steps of its script. */
struct after_reset {
    uint32_t buffers[IN_FLIGHT];
    uint32_t used;
    uint32_t interrupt;
};

static uint32_t buffer_of(uint32_t request)
{
    return DISK_BUFFERS + request * SECTOR;
}

/* Requests go out, a reset follows at once or a little later; then the memory is the guest's. */
static void add_reset_round(struct script *script, uint32_t round, struct after_reset *after)
{
    script_store16(script, SCRIPT_AVAILABLE + 2, 0);
    script_store16(script, SCRIPT_USED + 2, 0);
    disk_drive(script, 0);
    script_set_available(script, IN_FLIGHT);
    script_put(script, NV_VIRTIO_REG_QUEUE_NOTIFY, 0);
    for (uint32_t i = 0; i < round % 8; i++)
        script_read(script, NV_VIRTIO_REG_STATUS);
    script_put(script, NV_VIRTIO_REG_STATUS, 0);
    for (uint32_t i = 0; i < IN_FLIGHT; i++)
        script_store32(script, buffer_of(i), MARK);
    script_store32(script, SCRIPT_USED, MARK);
    for (uint32_t i = 0; i < 10; i++) /* exits, each of which takes some time */
        after->interrupt = script_read(script, NV_VIRTIO_REG_INTERRUPT_STATUS);
    for (uint32_t i = 0; i < IN_FLIGHT; i++)
        after->buffers[i] = script_read_memory(script, buffer_of(i));
    after->used = script_read_memory(script, SCRIPT_USED);
}

START_TEST(test_hostile_27_resets_in_flight)
{
    static struct after_reset after[RESETS];
    struct script script;
    uint32_t last = IN_FLIGHT;

    lossy_fs_start(&fs, DISK_SIZE);
    lossy_fs_delay(&fs, 300);
    disk_begin(&script, host, fs.path, engines[_i], "stop"); /* a cancelled request is no failure */
    for (uint32_t i = 0; i < IN_FLIGHT; i++)
        disk_request(&script, i, i % 4 == 3 ? DISK_OUT : DISK_IN, i, buffer_of(i), SECTOR);
    for (uint32_t i = 0; i < RESETS; i++)
        add_reset_round(&script, i, &after[i]);
    script_store16(&script, SCRIPT_AVAILABLE + 2, 0);
    script_store32(&script, SCRIPT_USED, 0);
    disk_request(&script, last, DISK_OUT, 100, DISK_BUFFERS, SECTOR);
    disk_drive(&script, 0);
    disk_submit(&script, (uint16_t)(last + 1));
    script_run(&script);
    for (uint32_t i = 0; i < RESETS; i++) {
        for (uint32_t k = 0; k < IN_FLIGHT; k++)
            ck_assert_msg(script_value(&script, after[i].buffers[k]) == MARK,
                          "reset %u: buffer %u was written", i, k);
        ck_assert_uint_eq(script_value(&script, after[i].used), MARK);
        ck_assert_uint_eq(script_value(&script, after[i].interrupt), 0);
    }
    ck_assert_uint_eq(disk_status(&script, last), 0);
    ck_assert_uint_eq(disk_counter(&script, "faults"), 0);
    /* Some were done, others not: the resets came in between. */
    ck_assert_uint_gt(disk_counter(&script, "reads"), 6);
    ck_assert_uint_lt(disk_counter(&script, "reads"), 6 * (RESETS + 1));
    script_end(&script);
}
END_TEST

/* A disk that does not answer holds up neither pause nor stop; only the end waits for it. */
START_TEST(test_slow_disk)
{
    enum { SLOW_US = 20000000 };
    struct script script;

    lossy_fs_start(&fs, DISK_SIZE);
    disk_begin(&script, host, fs.path, engines[_i], NULL);
    disk_request(&script, 0, DISK_OUT, 0, DISK_BUFFERS, SECTOR);
    disk_request(&script, 1, DISK_IN, 1, DISK_BUFFERS + SECTOR, SECTOR);
    disk_drive(&script, 0);
    script_store32(&script, DISK_BUFFERS, MARK);
    disk_submit(&script, 2);
    script_finish(&script);
    ck_nv_ok(nestvirt_vm_build(script.vm, &error));
    lossy_fs_delay(&fs, SLOW_US);
    ck_nv_ok(nestvirt_vm_start(script.vm, &error));
    while (script_load32(&script, DISK_BUFFERS) != MARK)
        usleep(1000);
    usleep(20000);
    ck_nv_ok(nestvirt_vm_pause(script.vm, &error));
    ck_nv_ok(nestvirt_vm_resume(script.vm, &error));
    ck_nv_ok(nestvirt_vm_stop(script.vm, 10000, &error));
    ck_assert_msg(lossy_fs_count(&fs).writes == 0, "the disk was waited for");
    lossy_fs_delay(&fs, 0);
    script_end(&script);
    ck_assert_uint_le(lossy_fs_count(&fs).writes, 1);
}
END_TEST

static void setup(void)
{
    directory = mounts_tmpfs(4 << 20);
    snprintf(path, sizeof(path), "/proc/self/fd/%d/disk", directory);
}

static void teardown(void)
{
    close(directory);
    lossy_fs_stop(&fs);
}

Suite *nv_test_suite(void)
{
    Suite *suite = suite_create("kvm_disk");
    TCase *tcase = support_case(suite, "disk", 60);
    TCase *slow = support_case(suite, "slow", 60);

    host = support_host();
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_loop_test(tcase, test_every_byte, 0, 2);
    tcase_add_loop_test(tcase, test_hostile_37_read_only, 0, 2);
    tcase_add_loop_test(tcase, test_hostile_27_resets_in_flight, 0, 2);
    tcase_add_checked_fixture(slow, setup, teardown);
    tcase_add_loop_test(slow, test_slow_disk, 0, 2);
    return suite;
}
