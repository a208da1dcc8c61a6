/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Proves that what the guest has flushed survives: its program is killed at any moment, and the
 * host loses all that was not synced.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/util.h"
#include "guests.h"
#include "lossy_fs.h"
#include "script.h"
#include "support.h"

/*
 * The guest writes record n, a sector that begins and ends with n, at position n % RECORDS, and
 * says so on the port when it may count on it.
 */
enum { RECORDS = 64, PORT = 0x700 };
enum { WORDS = LOSSY_SECTOR / 4, BODY = 0x5a5a5a5a };
enum { HEADER = SCRIPT_BUFFER, RECORD = SCRIPT_BUFFER + 0x200, RECORD_END = RECORD + 508 };
enum { FLUSH_HEADER = SCRIPT_BUFFER + 0x100, STATUS = SCRIPT_BUFFER + 0x600 };
enum { T_OUT = 1, T_FLUSH = 4, F_FLUSH = 1 << 9, F_CONFIG_WCE = 1 << 11, CONFIG_WRITEBACK = 32 };

/* What makes a write last. */
enum mode {
    FLUSHED,          /* a flush after it */
    WRITE_THROUGH,    /* the disk's property */
    GUEST_CHOICE,     /* the driver switched the cache off */
    FEATURE_NOT_TAKEN /* the driver knows of no flush: the disk has no cache to it */
};

struct test {
    const char *engine;
    enum mode mode;
    int rounds;
    bool is_broken;  /* syncs do nothing */
    bool is_delayed; /* the medium takes its time, so that kills come in the midst of transfers */
};

static struct lossy_fs fs;
static pid_t writer;
static int promises = -1; /* of the writer, in its order */
static bool syncs_are_lies;

/* Stands before the C library's for all of this program. */
int fdatasync(int fd)
{
    return syncs_are_lies ? 0 : (int)syscall(SYS_fdatasync, fd);
}

/* --- The writer: a process with a VM, until it is killed. --- */

static int32_t on_promise(void *user_data, struct nestvirt_access *access)
{
    const int *pipe_end = user_data;

    if (write(*pipe_end, access->data, 4) != 4)
        _exit(1);
    return NESTVIRT_ACTION_RESUME;
}

static void put_memory(struct script *script, uint64_t address, const void *data, size_t length)
{
    ck_nv_ok(nestvirt_memory_write(script->vm, address, data, length, &error));
}

/* Heads: 0 writes, 3 flushes. */
static void lay_out_requests(struct script *script, uint32_t last)
{
    const uint32_t headers[2][4] = { { T_OUT }, { T_FLUSH } }; /* type, unused, sector */
    uint32_t record[WORDS];

    for (int i = 0; i < WORDS; i++)
        record[i] = BODY;
    record[0] = record[WORDS - 1] = last;
    put_memory(script, HEADER, headers[0], 16);
    put_memory(script, FLUSH_HEADER, headers[1], 16);
    put_memory(script, RECORD, record, sizeof(record));
    script_descriptor(script, SCRIPT_TABLE, 0, HEADER, 16, SCRIPT_NEXT, 1);
    script_descriptor(script, SCRIPT_TABLE, 1, RECORD, LOSSY_SECTOR, SCRIPT_NEXT, 2);
    script_descriptor(script, SCRIPT_TABLE, 2, STATUS, 1, SCRIPT_WRITE, 0);
    script_descriptor(script, SCRIPT_TABLE, 3, FLUSH_HEADER, 16, SCRIPT_NEXT, 4);
    script_descriptor(script, SCRIPT_TABLE, 4, STATUS + 1, 1, SCRIPT_WRITE, 0);
}

static void drive(struct script *script, enum mode mode)
{
    const uint64_t features[] = { [FLUSHED] = F_FLUSH,
                                  [GUEST_CHOICE] = F_FLUSH | F_CONFIG_WCE,
                                  [WRITE_THROUGH] = 0,
                                  [FEATURE_NOT_TAKEN] = 0 };

    for (uint32_t i = 0; i < SCRIPT_SIZE; i++)
        script_head(script, i, mode == FLUSHED && i % 2 ? 3 : 0);
    script_drive(script, features[mode]);
    if (mode == GUEST_CHOICE)
        script_put8(script, NV_VIRTIO_REG_CONFIG + CONFIG_WRITEBACK, 0);
}

static void do_request(struct script *script)
{
    script_add32(script, SCRIPT_AVAILABLE, 1 << 16); /* the index, behind the flags */
    script_put(script, NV_VIRTIO_REG_QUEUE_NOTIFY, 0);
    script_wait_all_used(script);
}

/* Records after `last` for ever; an error of the disk ends the promises. */
static void write_records(struct script *script, enum mode mode, uint32_t last)
{
    uint32_t first_step = script->steps;

    for (uint32_t i = 1; i <= RECORDS; i++) {
        script_store32(script, HEADER + 8, (last + i) % RECORDS);
        script_add32(script, RECORD, 1);
        script_add32(script, RECORD_END, 1);
        script_store16(script, STATUS, mode == FLUSHED ? 0xffff : 0x00ff);
        do_request(script);
        if (mode == FLUSHED)
            do_request(script);
        script_wait16(script, STATUS, 0);
        script_out32(script, PORT, RECORD);
    }
    script_jump(script, first_step);
}

static struct {
    const struct test *test;
    uint32_t last;
    int pipe_end;
} job; /* of the writer */

START_TEST(test_writer)
{
    struct nestvirt_host *host;
    struct script script;

    ck_nv_ok(nestvirt_host_open(NULL, &host, &error));
    script_begin(&script, host, "blk");
    ck_nv_ok(nestvirt_device_set_string(script.device, "path", fs.path, &error));
    ck_nv_ok(nestvirt_device_set_string(script.device, "engine", job.test->engine, &error));
    ck_nv_ok(nestvirt_device_set_u64(script.device, "writeback", job.test->mode != WRITE_THROUGH,
                                     &error));
    ck_nv_ok(nestvirt_handler_add(script.vm, NESTVIRT_SPACE_PORT, PORT, 4, on_promise,
                                  &job.pipe_end, NULL, &error));
    lay_out_requests(&script, job.last);
    drive(&script, job.test->mode);
    write_records(&script, job.test->mode, job.last);
    guest_start(script.vm);
    ck_nv_ok(nestvirt_vm_wait(script.vm, 10000, NULL, &error));
    ck_abort_msg("the guest ended");
}
END_TEST

/* A test of its own, so that its checks end this process only. */
static void run_writer(void)
{
    Suite *suite = suite_create("writer");
    TCase *tcase = tcase_create("writer");
    SRunner *runner;
    TestResult **failures;

    if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
        _exit(1);
    syncs_are_lies = job.test->is_broken;
    suite_add_tcase(suite, tcase);
    tcase_add_test(tcase, test_writer);
    runner = srunner_create(suite);
    srunner_set_fork_status(runner, CK_NOFORK);
    srunner_run_all(runner, CK_SILENT);
    failures = srunner_failures(runner);
    fprintf(stderr, "writer: %s\n", tr_msg(failures[0]));
    _exit(1);
}

/* --- The parent: kills it and looks what is left. --- */

static void start_writer(const struct test *test, uint32_t last)
{
    int ends[2];

    ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
    promises = ends[0];
    writer = fork();
    if (writer == 0) {
        job.test = test;
        job.last = last;
        job.pipe_end = ends[1];
        run_writer();
    }
    close(ends[1]);
    ck_assert_int_gt(writer, 0);
}

static void kill_writer(void)
{
    int status;

    kill(writer, SIGKILL);
    ck_assert_int_eq(waitpid(writer, &status, 0), writer);
    writer = 0;
    ck_assert_msg(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL,
                  "the writer ended by itself, with status 0x%x", (unsigned)status);
}

/* All that the writer promised; each number follows the one before. */
static uint32_t take_promises(uint32_t last)
{
    uint32_t numbers[256];
    ssize_t length;

    while ((length = read(promises, numbers, sizeof(numbers))) > 0) {
        ck_assert_int_eq(length % 4, 0);
        for (ssize_t i = 0; i < length / 4; i++)
            ck_assert_uint_eq(numbers[i], ++last);
    }
    ck_assert_int_eq(length, 0);
    close(promises);
    promises = -1;
    return last;
}

/* The number of promised records that are not there. Only the one after them may be there too. */
static uint32_t count_missing(uint32_t last)
{
    static uint32_t records[RECORDS][WORDS];
    uint32_t missing = 0;
    int fd = open(fs.path, O_RDONLY | O_CLOEXEC);

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(pread(fd, records, sizeof(records), 0), sizeof(records));
    close(fd);
    for (uint32_t i = 0; i < RECORDS; i++) {
        uint32_t number = records[i][0];
        uint32_t promised = last - (last - i) % RECORDS; /* the newest of those at i */

        promised = last < i || promised == 0 ? 0 : promised;
        if (number == last + 1 && number % RECORDS == i)
            promised = number;
        missing += number != promised;
        ck_assert_uint_eq(records[i][WORDS - 1], number);
        for (int k = 1; k < WORDS - 1; k++)
            ck_assert_uint_eq(records[i][k], number ? BODY : 0);
    }
    return missing;
}

/* Some are killed while they are being set up, most while they write. */
static void wait_a_moment(unsigned round)
{
    struct pollfd poller = { .fd = promises, .events = POLLIN };

    if (round % 8 != 7)
        ck_assert_int_eq(poll(&poller, 1, 10000), 1);
    usleep((useconds_t)(random() % 5000));
}

START_TEST(test_killed_writers)
{
    static const struct test tests[] = {
        { "threads", FLUSHED, 200, false, false },
        { "io_uring", FLUSHED, 50, false, false },
        { "threads", FLUSHED, 20, false, true },
        { "threads", WRITE_THROUGH, 50, false, false },
        { "io_uring", WRITE_THROUGH, 25, false, false },
        { "threads", GUEST_CHOICE, 25, false, false },
        { "threads", FEATURE_NOT_TAKEN, 25, false, false },
        { "threads", FLUSHED, 20, true, false },
        { "threads", WRITE_THROUGH, 20, true, false },
    };
    const struct test *test = &tests[_i];
    uint32_t last = 0;
    uint32_t lost = 0;
    uint32_t missing = 0;
    int round = 0;

    srandom(1);
    if (test->is_delayed)
        lossy_fs_delay(&fs, 500);
    while (round < test->rounds && missing == 0) {
        start_writer(test, last);
        wait_a_moment((unsigned)round++);
        kill_writer();
        lost += lossy_fs_lose(&fs).lost;
        last = take_promises(last);
        missing = count_missing(last);
    }
    printf("%s, mode %d%s: %d rounds, %u promises, %u sectors lost, %u promised ones missing\n",
           test->engine, test->mode, test->is_broken ? ", syncs are lies" : "", round, last, lost,
           missing);
    if (test->is_broken) {
        ck_assert_uint_gt(missing, 0);
        return;
    }
    ck_assert_uint_eq(missing, 0);
    ck_assert_uint_ge(last, (uint32_t)test->rounds / 2); /* they did come to write */
    ck_assert_msg(lost > 0 || test->rounds < 200, "no round came between a write and its flush");
}
END_TEST

static void setup(void)
{
    lossy_fs_start(&fs, RECORDS * LOSSY_SECTOR);
}

static void teardown(void)
{
    if (writer > 0) {
        kill(writer, SIGKILL);
        waitpid(writer, NULL, 0);
        writer = 0;
    }
    if (promises >= 0)
        close(promises);
    promises = -1;
    lossy_fs_stop(&fs);
}

Suite *nv_test_suite(void)
{
    Suite *suite = suite_create("kvm_flush");
    TCase *tcase = support_case(suite, "flush", 110);

    nestvirt_host_free(support_host()); /* there is one; writers open their own */
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_loop_test(tcase, test_killed_writers, 0, 9);
    return suite;
}
