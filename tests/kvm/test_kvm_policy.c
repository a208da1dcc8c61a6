/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the tests of what a disk does when the host fails: report, or pause the VM and try again. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "disk_script.h"
#include "guests.h"
#include "lossy_fs.h"
#include "mounts.h"
#include "support.h"

enum { SECTOR = 512, DISK_SIZE = 256 * SECTOR, TMPFS_SIZE = 128 << 10, AT = 100 };

static struct nestvirt_host *host;
static struct lossy_fs fs;
static int directory = -1; /* of a small tmpfs */
static char path[40];

/* A disk that has no blocks yet, on a file system that has none left. */
static void fill_up(void)
{
    static const uint8_t bytes[4096];
    int disk = openat(directory, "disk", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    int filler = openat(directory, "filler", O_RDWR | O_CREAT | O_CLOEXEC, 0600);

    ck_assert_int_ge(disk, 0);
    ck_assert_int_ge(filler, 0);
    ck_assert_int_eq(ftruncate(disk, DISK_SIZE), 0);
    while (write(filler, bytes, sizeof(bytes)) > 0)
        ;
    ck_assert_int_eq(errno, ENOSPC);
    close(disk);
    close(filler);
}

static void make_room(void)
{
    ck_assert_int_eq(unlinkat(directory, "filler", 0), 0);
}

/* What the guest writes; and what it finds on the host. */
static void fill(uint8_t bytes[SECTOR])
{
    for (int i = 0; i < SECTOR; i++)
        bytes[i] = (uint8_t)(i * 7 + 1);
}

static void check_written(const char *file, bool is_written)
{
    static const uint8_t zeroes[SECTOR];
    uint8_t wanted[SECTOR];
    uint8_t found[SECTOR];
    int fd = open(file, O_RDONLY | O_CLOEXEC);

    fill(wanted);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(pread(fd, found, SECTOR, (off_t)AT * SECTOR), SECTOR);
    close(fd);
    ck_assert_mem_eq(found, is_written ? wanted : zeroes, SECTOR);
}

/* A guest that writes one sector, waits for the answer and ends. */
static void add_write(struct script *script)
{
    uint8_t bytes[SECTOR];

    fill(bytes);
    ck_nv_ok(nestvirt_memory_write(script->vm, DISK_BUFFERS, bytes, SECTOR, &error));
    disk_request(script, 0, DISK_OUT, AT, DISK_BUFFERS, SECTOR);
    disk_drive(script, DISK_F_FLUSH);
    disk_submit(script, 1);
    script_finish(script);
}

static void begin_write(struct script *script, const char *file, const char *engine,
                        const char *on_error)
{
    disk_begin(script, host, file, engine, on_error);
    add_write(script);
}

/* Held: the guest knows nothing of it. */
static void check_held(struct script *script)
{
    ck_assert_uint_eq(disk_status(script, 0), 0xff);
    ck_assert_uint_eq(disk_used(script), 0);
    ck_assert_uint_eq(disk_counter(script, "writes"), 0);
    ck_assert_uint_eq(disk_counter(script, "errors"), 0);
}

static void check_answer(struct script *script, uint8_t status)
{
    ck_assert_uint_eq(guest_wait(script->vm, NULL), NESTVIRT_RESULT_GUEST_EXIT);
    ck_assert_uint_eq(disk_status(script, 0), status);
    ck_assert_uint_eq(disk_used(script), 1);
    ck_assert_uint_eq(disk_counter(script, "writes"), status == 0);
    ck_assert_uint_eq(disk_counter(script, "errors"), status != 0);
}

static const struct {
    const char *engine;
    const char *on_error;
} pausing[] = {
    { "threads", "stop_on_enospc" },
    { "io_uring", "stop_on_enospc" },
    { "threads", "stop" },
};

/* The VM pauses by itself; with room, the same request succeeds, once. */
START_TEST(test_full_then_room)
{
    struct script script;

    fill_up();
    begin_write(&script, path, pausing[_i].engine, pausing[_i].on_error);
    guest_start(script.vm);
    disk_expect_pause(&script, ENOSPC);
    check_held(&script);
    make_room();
    ck_nv_ok(nestvirt_vm_resume(script.vm, &error));
    check_answer(&script, 0);
    ck_assert_uint_eq(disk_count_reports(&script, ENOSPC, 0), 0);
    check_written(path, true);
    script_end(&script);
}
END_TEST

/* Going on too early: each time the VM pauses again, however soon the disk fails. */
START_TEST(test_resumed_while_full)
{
    enum { TIMES = 200 };
    struct script script;

    fill_up();
    begin_write(&script, path, "threads", "stop_on_enospc");
    guest_start(script.vm);
    disk_expect_pause(&script, ENOSPC);
    for (int i = 0; i < TIMES; i++) {
        ck_nv_ok(nestvirt_vm_resume(script.vm, &error));
        disk_expect_pause(&script, ENOSPC);
        check_held(&script);
    }
    make_room();
    ck_nv_ok(nestvirt_vm_resume(script.vm, &error));
    check_answer(&script, 0);
    check_written(path, true);
    script_end(&script);
}
END_TEST

START_TEST(test_full_and_reported)
{
    struct script script;

    fill_up();
    begin_write(&script, path, pausing[_i].engine, "report");
    guest_start(script.vm);
    check_answer(&script, 1);
    ck_assert_uint_eq(disk_count_reports(&script, ENOSPC, 1), 1);
    make_room();
    check_written(path, false);
    script_end(&script);
}
END_TEST

/* A medium that fails, and works again: written once. */
START_TEST(test_medium_fails_then_works)
{
    struct script script;

    lossy_fs_start(&fs, DISK_SIZE);
    lossy_fs_fail_writes(&fs, EIO);
    begin_write(&script, fs.path, pausing[_i].engine, "stop");
    guest_start(script.vm);
    for (int i = 0; i < 3; i++) {
        disk_expect_pause(&script, EIO);
        check_held(&script);
        ck_nv_ok(nestvirt_vm_resume(script.vm, &error));
    }
    disk_expect_pause(&script, EIO);
    ck_assert_uint_ge(lossy_fs_fail_writes(&fs, 0).failed, 4);
    ck_nv_ok(nestvirt_vm_resume(script.vm, &error));
    check_answer(&script, 0);
    check_written(fs.path, true);
    ck_assert_uint_eq(lossy_fs_count(&fs).writes, 1);
    script_end(&script);
}
END_TEST

/* What is not a full disk does not stop for stop_on_enospc. */
START_TEST(test_medium_fails_and_reported)
{
    struct script script;

    lossy_fs_start(&fs, DISK_SIZE);
    lossy_fs_fail_writes(&fs, EIO);
    begin_write(&script, fs.path, pausing[_i].engine, _i ? "stop_on_enospc" : "report");
    guest_start(script.vm);
    check_answer(&script, 1);
    ck_assert_uint_eq(disk_count_reports(&script, EIO, 1), 1);
    check_written(fs.path, false);
    script_end(&script);
}
END_TEST

/*
 * A flush that failed is never tried again: the VM pauses, but its answer stands for good. The
 * guest may see it before it pauses, so that it waits for a sign.
 */
START_TEST(test_flush_fails)
{
    enum { SIGN = DISK_BUFFERS + SECTOR };
    struct script script;

    lossy_fs_start(&fs, DISK_SIZE);
    lossy_fs_fail_syncs(&fs, EIO);
    disk_begin(&script, host, fs.path, pausing[_i].engine, _i == 2 ? "report" : "stop");
    for (uint32_t i = 0; i < 2; i++)
        disk_request(&script, i, DISK_FLUSH, 0, 0, 0);
    disk_request(&script, 2, DISK_OUT, 0, DISK_BUFFERS, SECTOR);
    disk_drive(&script, DISK_F_FLUSH);
    for (uint16_t i = 1; i <= 2; i++) {
        disk_submit(&script, i);
        if (_i < 2)
            script_wait16(&script, SIGN, i);
    }
    disk_submit(&script, 3);
    script_finish(&script);
    guest_start(script.vm);
    for (uint16_t i = 1; i <= 2 && _i < 2; i++) {
        disk_expect_pause(&script, EIO);
        ck_assert_uint_eq(disk_status(&script, i - 1), 1);
        lossy_fs_fail_syncs(&fs, 0); /* which is no help */
        script_write16(&script, SIGN, i);
        ck_nv_ok(nestvirt_vm_resume(script.vm, &error));
    }
    ck_assert_uint_eq(guest_wait(script.vm, NULL), NESTVIRT_RESULT_GUEST_EXIT);
    ck_assert_uint_eq(disk_status(&script, 0), 1);
    ck_assert_uint_eq(disk_status(&script, 1), 1);
    ck_assert_uint_eq(disk_status(&script, 2), 0);
    ck_assert_uint_eq(disk_counter(&script, "flushes"), 0);
    script_end(&script);
}
END_TEST

/* Held requests hold up nobody; the VM can be started anew, or freed at once. */
START_TEST(test_stop_and_free_while_held)
{
    struct script script;

    fill_up();
    begin_write(&script, path, pausing[_i].engine, pausing[_i].on_error);
    guest_start(script.vm);
    disk_expect_pause(&script, ENOSPC);
    if (_i != 1) {
        ck_nv_ok(nestvirt_vm_stop(script.vm, 5000, &error));
        check_held(&script);
    }
    if (_i == 2) {
        script.steps = 0; /* memory is zeroed by a build */
        ck_nv_ok(nestvirt_vm_build(script.vm, &error));
        add_write(&script);
        make_room();
        ck_nv_ok(nestvirt_vm_start(script.vm, &error));
        check_answer(&script, 0);
        check_written(path, true);
    }
    ck_assert_int_eq(nestvirt_vm_free(script.vm), 0);
}
END_TEST

static void do_nothing(int number)
{
}

/* vCPUs that the program drives: the run returns, none may begin until the VM goes on. */
START_TEST(test_manual_vcpu)
{
    struct script script = { .vm = GUEST_NEW(host, script, .mode = NESTVIRT_MODE_LONG,
                                             .flags = NESTVIRT_VM_MANUAL_VCPUS) };
    const struct sigaction bound = { .sa_handler = do_nothing }; /* ends a run that never ends */
    struct sigaction old;
    struct nestvirt_vcpu *vcpu;
    struct nestvirt_exit exit;

    sigaction(SIGALRM, &bound, &old);
    alarm(20);
    fill_up();
    disk_add(&script, path, "threads", "stop_on_enospc");
    add_write(&script);
    guest_start(script.vm);
    ck_nv_ok(nestvirt_vm_get_vcpu(script.vm, 0, &vcpu, &error));
    nestvirt_exit_init(&exit, sizeof(exit));
    for (int i = 0; i < 20; i++) {
        /* The pause may come before the run of this vCPU has begun. */
        if (nestvirt_vcpu_run(vcpu, &exit, NULL) == 0)
            ck_assert_uint_eq(exit.reason, NESTVIRT_EXIT_CANCELED);
        disk_expect_pause(&script, ENOSPC);
        ck_nv_fails(nestvirt_vcpu_run(vcpu, &exit, &error), -EBUSY);
        check_held(&script);
        if (i == 19)
            make_room();
        ck_nv_ok(nestvirt_vm_resume(script.vm, &error));
    }
    ck_nv_ok(nestvirt_vcpu_run(vcpu, &exit, &error));
    ck_assert_uint_eq(exit.reason, NESTVIRT_EXIT_STOPPED);
    alarm(0);
    sigaction(SIGALRM, &old, NULL);
    check_answer(&script, 0);
    check_written(path, true);
    script_end(&script);
}
END_TEST

static void await_pause(struct nestvirt_vm *vm)
{
    for (int i = 0; i < 10000 && nestvirt_vm_get_state(vm) != NESTVIRT_STATE_PAUSED; i++)
        usleep(1000);
    ck_assert_int_eq(nestvirt_vm_get_state(vm), NESTVIRT_STATE_PAUSED);
}

/* Pause, resume, stop and free at any moment around the policy's own pause. */
START_TEST(test_calls_around_the_pause)
{
    enum { TIMES = 100 };
    struct script script;

    fill_up();
    srandom(1);
    for (int i = 0; i < TIMES; i++) {
        begin_write(&script, path, "threads", "stop");
        guest_start(script.vm);
        usleep((useconds_t)(random() % 4000));
        if (i % 4 == 0) { /* the policy's pause may be there already, or come later */
            nestvirt_vm_pause(script.vm, NULL);
            ck_assert_int_eq(nestvirt_vm_get_state(script.vm), NESTVIRT_STATE_PAUSED);
        }
        if (i % 4 == 1) {
            nestvirt_vm_pause(script.vm, NULL);
            nestvirt_vm_resume(script.vm, NULL);
        }
        if (i % 4 < 2 && i % 8 < 4)
            await_pause(script.vm);
        if (i % 4 < 3)
            ck_nv_ok(nestvirt_vm_stop(script.vm, 5000, &error));
        ck_assert_int_eq(nestvirt_vm_free(script.vm), 0);
    }
}
END_TEST

/* A guest that resets its disk all the time, whatever is held. */
START_TEST(test_resets_around_the_pause)
{
    enum { TIMES = 100, REQUESTS = 4 };
    struct script script;
    uint32_t told = 0;

    fill_up();
    disk_begin(&script, host, path, pausing[_i].engine, "stop_on_enospc");
    for (uint32_t i = 0; i < REQUESTS; i++)
        disk_request(&script, i, DISK_OUT, i * 8, DISK_BUFFERS, SECTOR);
    for (uint32_t round = 0; round < 8; round++) {
        script_store16(&script, SCRIPT_AVAILABLE + 2, 0);
        disk_drive(&script, 0);
        script_set_available(&script, REQUESTS);
        script_put(&script, NV_VIRTIO_REG_QUEUE_NOTIFY, 0);
        for (uint32_t i = 0; i < round; i++)
            script_read(&script, NV_VIRTIO_REG_STATUS);
        script_put(&script, NV_VIRTIO_REG_STATUS, 0);
    }
    script_jump(&script, 0);
    guest_start(script.vm);
    for (uint32_t i = 0; i < TIMES; i++) {
        /* Reset before it is paused, the disk may fail anew: told twice, and then paused twice. */
        told += disk_await_pause(&script, ENOSPC);
        ck_assert_uint_gt(told, i);
        ck_nv_ok(nestvirt_vm_resume(script.vm, &error));
    }
    ck_nv_ok(nestvirt_vm_stop(script.vm, 5000, &error));
    ck_assert_uint_eq(disk_counter(&script, "faults"), 0);
    ck_assert_uint_eq(disk_counter(&script, "writes"), 0);
    script_end(&script);
}
END_TEST

static void setup(void)
{
    directory = mounts_tmpfs(TMPFS_SIZE);
    snprintf(path, sizeof(path), "/proc/self/fd/%d/disk", directory);
}

static void teardown(void)
{
    close(directory);
    lossy_fs_stop(&fs);
}

Suite *nv_test_suite(void)
{
    Suite *suite = suite_create("kvm_policy");
    TCase *tcase = support_case(suite, "policy", 60);

    host = support_host();
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_loop_test(tcase, test_full_then_room, 0, 3);
    tcase_add_test(tcase, test_resumed_while_full);
    tcase_add_loop_test(tcase, test_full_and_reported, 0, 2);
    tcase_add_loop_test(tcase, test_medium_fails_then_works, 0, 2);
    tcase_add_loop_test(tcase, test_medium_fails_and_reported, 0, 2);
    tcase_add_loop_test(tcase, test_flush_fails, 0, 3);
    tcase_add_loop_test(tcase, test_stop_and_free_while_held, 0, 3);
    tcase_add_test(tcase, test_manual_vcpu);
    tcase_add_test(tcase, test_calls_around_the_pause);
    tcase_add_loop_test(tcase, test_resets_around_the_pause, 0, 2);
    return suite;
}
