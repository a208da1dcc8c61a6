/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the ring cases of a hostile guest as real guests, on the entropy device: its buffers are
 * filled with what is never all zero. */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/util.h"
#include "script.h"
#include "support.h"

static struct nestvirt_host *host;

enum { INDIRECT = NV_VIRTIO_F_INDIRECT_DESC };

/* What a guest puts into memory before it starts; the queue's first chain begins at head 0. */
struct ring_case {
    const char *name;
    uint64_t features;
    uint16_t available; /* index it publishes */
    uint16_t head;
    struct {
        uint64_t address;
        uint32_t length;
        uint16_t flags;
        uint16_t next;
    } table[4], indirect[4];
};

#define BUFFER                             \
    {                                      \
        SCRIPT_BUFFER, 64, SCRIPT_WRITE, 0 \
    }

static const struct ring_case faults[] = {
    { "01 index jumps", 0, 9, 0, { BUFFER }, { { 0 } } },
    { "02 index goes backwards", 0, 0xffff, 0, { BUFFER }, { { 0 } } },
    { "04 head too large", 0, 1, 8, { BUFFER }, { { 0 } } },
    { "05 next too large",
      0,
      1,
      0,
      { { SCRIPT_BUFFER, 8, SCRIPT_WRITE | SCRIPT_NEXT, 8 } },
      { { 0 } } },
    { "06 loop",
      0,
      1,
      0,
      { { SCRIPT_BUFFER, 8, SCRIPT_WRITE | SCRIPT_NEXT, 1 },
        { SCRIPT_BUFFER, 8, SCRIPT_WRITE | SCRIPT_NEXT, 0 } },
      { { 0 } } },
    { "08 indirect not negotiated",
      0,
      1,
      0,
      { { SCRIPT_INDIRECT, 16, SCRIPT_IS_INDIRECT, 0 } },
      { BUFFER } },
    { "08 indirect within indirect",
      INDIRECT,
      1,
      0,
      { { SCRIPT_INDIRECT, 16, SCRIPT_IS_INDIRECT, 0 } },
      { { SCRIPT_INDIRECT, 16, SCRIPT_IS_INDIRECT, 0 } } },
    { "08 indirect with next",
      INDIRECT,
      1,
      0,
      { { SCRIPT_INDIRECT, 16, SCRIPT_IS_INDIRECT | SCRIPT_NEXT, 1 }, BUFFER },
      { BUFFER } },
    { "08 indirect of odd length",
      INDIRECT,
      1,
      0,
      { { SCRIPT_INDIRECT, 24, SCRIPT_IS_INDIRECT, 0 } },
      { BUFFER } },
    { "08 indirect of no length",
      INDIRECT,
      1,
      0,
      { { SCRIPT_INDIRECT, 0, SCRIPT_IS_INDIRECT, 0 } },
      { BUFFER } },
    { "08 indirect outside of memory",
      INDIRECT,
      1,
      0,
      { { 0xa0000000, 16, SCRIPT_IS_INDIRECT, 0 } },
      { BUFFER } },
    { "10 address wraps", 0, 1, 0, { { 0xfffffffffffffff0ull, 64, SCRIPT_WRITE, 0 } }, { { 0 } } },
    { "11 buffer in a hole", 0, 1, 0, { { 0xa0000000, 64, SCRIPT_WRITE, 0 } }, { { 0 } } },
    { "11 buffer in a device's window",
      0,
      1,
      0,
      { { SCRIPT_WINDOW, 64, SCRIPT_WRITE, 0 } },
      { { 0 } } },
    { "11 buffer reaches out of memory", 0, 1, 0, { { 0xffff0, 64, SCRIPT_WRITE, 0 } }, { { 0 } } },
    { "14 readable behind writable",
      0,
      1,
      0,
      { { SCRIPT_BUFFER, 8, SCRIPT_WRITE | SCRIPT_NEXT, 1 }, { SCRIPT_BUFFER, 8, 0, 0 } },
      { { 0 } } },
};

static void prepare(struct script *script, const struct ring_case *c)
{
    script_begin(script, host, "rng");
    for (uint32_t i = 0; i < 4; i++) {
        script_descriptor(script, SCRIPT_TABLE, i, c->table[i].address, c->table[i].length,
                          c->table[i].flags, c->table[i].next);
        script_descriptor(script, SCRIPT_INDIRECT, i, c->indirect[i].address, c->indirect[i].length,
                          c->indirect[i].flags, c->indirect[i].next);
    }
    script_head(script, 0, c->head);
    script_drive(script, c->features);
}

static uint64_t counter(const struct script *script, const char *name)
{
    uint64_t value;

    ck_nv_ok(nestvirt_device_get_u64(script->device, name, &value, &error));
    return value;
}

/* Each fault: the device needs a reset, gives nothing back, and works again after the reset. */
START_TEST(test_hostile_ring_faults)
{
    const struct ring_case *c = &faults[_i];
    struct script script;
    uint32_t status;

    prepare(&script, c);
    script_set_available(&script, c->available);
    script_put(&script, NV_VIRTIO_REG_QUEUE_NOTIFY, 0);
    script_wait_bits(&script, NV_VIRTIO_REG_STATUS, NV_VIRTIO_NEEDS_RESET);
    status = script_read(&script, NV_VIRTIO_REG_INTERRUPT_STATUS);
    /* The same queue after a reset, with a good chain. */
    script_drive_to_queues(&script, 0);
    script_descriptor(&script, SCRIPT_TABLE, 7, SCRIPT_BUFFER + 0x1000, 64, SCRIPT_WRITE, 0);
    script_head(&script, 1, 7);
    script_set_queue(&script, SCRIPT_SIZE, SCRIPT_TABLE, SCRIPT_AVAILABLE + 0x800, SCRIPT_USED);
    script_write16(&script, SCRIPT_AVAILABLE + 0x800 + 4, 7);
    script_write16(&script, SCRIPT_AVAILABLE + 0x800 + 2, 1);
    script_put(&script, NV_VIRTIO_REG_STATUS, 15);
    script_wait_used(&script, 1);
    script_run(&script);
    ck_assert_msg(script_value(&script, status) & 2, "%s: no configuration interrupt", c->name);
    ck_assert_uint_eq(counter(&script, "faults"), 1);
    ck_assert_uint_eq(script_load32(&script, SCRIPT_USED + 4), 7);
    ck_assert_uint_eq(script_load32(&script, SCRIPT_USED + 8), 64);
    ck_assert_uint_ne(script_load32(&script, SCRIPT_BUFFER + 0x1000) |
                          script_load32(&script, SCRIPT_BUFFER + 0x1004),
                      0);
    script_end(&script);
}
END_TEST

/* 9, 13: legal however odd. */
static const struct ring_case oddities[] = {
    { "09 direct chain that ends in an indirect table",
      INDIRECT,
      1,
      0,
      { { SCRIPT_BUFFER, 16, SCRIPT_WRITE | SCRIPT_NEXT, 1 },
        { SCRIPT_INDIRECT, 32, SCRIPT_IS_INDIRECT | SCRIPT_WRITE, 0 } },
      { { SCRIPT_BUFFER + 16, 16, SCRIPT_WRITE | SCRIPT_NEXT, 1 },
        { SCRIPT_BUFFER + 32, 32, SCRIPT_WRITE, 0 } } },
    { "13 descriptor of no length",
      0,
      1,
      0,
      { { SCRIPT_BUFFER, 0, SCRIPT_WRITE | SCRIPT_NEXT, 1 }, BUFFER },
      { { 0 } } },
};

START_TEST(test_hostile_ring_oddities)
{
    struct script script;

    prepare(&script, &oddities[_i]);
    script_set_available(&script, 1);
    script_put(&script, NV_VIRTIO_REG_QUEUE_NOTIFY, 0);
    script_wait_used(&script, 1);
    script_run(&script);
    ck_assert_uint_eq(script_load32(&script, SCRIPT_USED + 8), 64);
    ck_assert_uint_eq(counter(&script, "faults"), 0);
    script_end(&script);
}
END_TEST

START_TEST(test_hostile_18_duplicate_head)
{
    struct script script;

    /* The same head twice in one batch is served twice: it is not in flight the second time. */
    prepare(&script, &oddities[1]);
    script_head(&script, 1, 0);
    script_set_available(&script, 2);
    script_put(&script, NV_VIRTIO_REG_QUEUE_NOTIFY, 0);
    script_wait_used(&script, 2);
    script_run(&script);
    ck_assert_uint_eq(counter(&script, "faults"), 0);
    script_end(&script);
}
END_TEST

/* 19, 20: sizes and places of rings; the queue does not become ready. */
START_TEST(test_hostile_19_20_ring_places)
{
    static const struct {
        uint32_t size;
        uint64_t table, available, used;
    } cases[] = {
        { 0, SCRIPT_TABLE, SCRIPT_AVAILABLE, SCRIPT_USED },
        { 6, SCRIPT_TABLE, SCRIPT_AVAILABLE, SCRIPT_USED },
        { 512, SCRIPT_TABLE, SCRIPT_AVAILABLE, SCRIPT_USED },
        { 0x10008, SCRIPT_TABLE, SCRIPT_AVAILABLE, SCRIPT_USED },
        { 8, SCRIPT_TABLE + 8, SCRIPT_AVAILABLE, SCRIPT_USED },
        { 8, SCRIPT_TABLE, SCRIPT_AVAILABLE + 1, SCRIPT_USED },
        { 8, SCRIPT_TABLE, SCRIPT_AVAILABLE, SCRIPT_USED + 2 },
        { 8, 0xfffc0, SCRIPT_AVAILABLE, SCRIPT_USED },
        { 8, SCRIPT_TABLE, 0xffff0, SCRIPT_USED },
        { 8, SCRIPT_TABLE, SCRIPT_AVAILABLE, 0xd0000000 },
        { 8, 0xfffffffffffffff0ull, SCRIPT_AVAILABLE, SCRIPT_USED },
    };
    uint32_t steps[NV_ARRAY_SIZE(cases)];
    struct script script;

    script_begin(&script, host, "rng");
    for (uint32_t i = 0; i < NV_ARRAY_SIZE(cases); i++) {
        script_drive_to_queues(&script, 0);
        script_set_queue(&script, cases[i].size, cases[i].table, cases[i].available, cases[i].used);
        steps[i] = script_read(&script, NV_VIRTIO_REG_QUEUE_READY);
    }
    script_run(&script);
    for (uint32_t i = 0; i < NV_ARRAY_SIZE(cases); i++)
        ck_assert_msg(script_value(&script, steps[i]) == 0, "case %u became ready", i);
    ck_assert_uint_eq(counter(&script, "ignored"), NV_ARRAY_SIZE(cases));
    script_end(&script);
}
END_TEST

/* 22, 25: absent queues, notifications of none, features that were not offered. */
START_TEST(test_hostile_22_25_registers)
{
    static const uint32_t numbers[] = { 1, 0xffff, 0x80000000u };
    struct script script;
    uint32_t max;
    uint32_t status;

    prepare(&script, &oddities[1]);
    script_put(&script, NV_VIRTIO_REG_QUEUE_SEL, 1);
    max = script_read(&script, NV_VIRTIO_REG_QUEUE_NUM_MAX);
    for (uint32_t i = 0; i < NV_ARRAY_SIZE(numbers); i++)
        script_put(&script, NV_VIRTIO_REG_QUEUE_NOTIFY, numbers[i]);
    script_drive_to_queues(&script, 1ull << 7);
    status = script_read(&script, NV_VIRTIO_REG_STATUS);
    script_run(&script);
    ck_assert_uint_eq(script_value(&script, max), 0);
    ck_assert_uint_eq(script_value(&script, status), 3);
    ck_assert_uint_eq(counter(&script, "ignored"), NV_ARRAY_SIZE(numbers) + 1);
    ck_assert_uint_eq(counter(&script, "faults"), 0);
    script_end(&script);
}
END_TEST

/* 24: a notification before DRIVER_OK touches nothing, and is not lost. */
START_TEST(test_hostile_24_early_notification)
{
    struct script script;
    uint32_t early;

    script_begin(&script, host, "rng");
    script_descriptor(&script, SCRIPT_TABLE, 0, SCRIPT_BUFFER, 64, SCRIPT_WRITE, 0);
    script_drive_to_queues(&script, 0);
    script_set_queue(&script, SCRIPT_SIZE, SCRIPT_TABLE, SCRIPT_AVAILABLE, SCRIPT_USED);
    script_set_available(&script, 1);
    script_put(&script, NV_VIRTIO_REG_QUEUE_NOTIFY, 0);
    for (int i = 0; i < 200; i++) /* exits, each of which takes some time */
        early = script_read(&script, NV_VIRTIO_REG_STATUS);
    early = script_read(&script, SCRIPT_USED - SCRIPT_WINDOW);
    script_put(&script, NV_VIRTIO_REG_STATUS, 15);
    script_wait_used(&script, 1);
    script_run(&script);
    ck_assert_uint_eq(script_value(&script, early), 0);
    script_end(&script);
}
END_TEST

enum { STOPPED_ROUNDS = 2000 };

/* In a process of its own, which is stopped and continued all the while. */
static void run_requests(void)
{
    struct nestvirt_host *own = NULL;
    struct script script;

    if (nestvirt_host_open(NULL, &own, NULL) < 0)
        _exit(2);
    script_begin(&script, own, "rng");
    script_descriptor(&script, SCRIPT_TABLE, 0, SCRIPT_BUFFER, 64, SCRIPT_WRITE, 0);
    script_drive(&script, 0);
    for (uint16_t i = 1; i <= STOPPED_ROUNDS; i++) {
        script_set_available(&script, i);
        script_put(&script, NV_VIRTIO_REG_QUEUE_NOTIFY, 0);
        script_wait_used(&script, i);
    }
    script_run(&script);
    script_end(&script);
    _exit(nestvirt_host_free(own) == 0 ? 0 : 3);
}

START_TEST(test_fault_20_stopped_and_continued)
{
    pid_t child = fork();
    int stops = 0;
    int status;

    ck_assert_int_ge(child, 0);
    if (child == 0)
        run_requests();
    while (waitpid(child, &status, WNOHANG) == 0) {
        kill(child, SIGSTOP);
        usleep(3000);
        kill(child, SIGCONT);
        usleep(2000);
        stops++;
    }
    ck_assert(WIFEXITED(status));
    ck_assert_int_eq(WEXITSTATUS(status), 0);
    ck_assert_int_gt(stops, 3);
}
END_TEST

Suite *nv_test_suite(void)
{
    Suite *suite = suite_create("kvm_ring");
    TCase *tcase = support_case(suite, "ring", 60);

    host = support_host();
    tcase_add_loop_test(tcase, test_hostile_ring_faults, 0, (int)NV_ARRAY_SIZE(faults));
    tcase_add_loop_test(tcase, test_hostile_ring_oddities, 0, (int)NV_ARRAY_SIZE(oddities));
    tcase_add_test(tcase, test_hostile_18_duplicate_head);
    tcase_add_test(tcase, test_hostile_19_20_ring_places);
    tcase_add_test(tcase, test_hostile_22_25_registers);
    tcase_add_test(tcase, test_hostile_24_early_notification);
    tcase_add_test(tcase, test_fault_20_stopped_and_continued);
    return suite;
}
