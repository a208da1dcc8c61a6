/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the test of a guest's notifications: of 100,000 none is lost. Each is for one buffer, and
 * the guest waits for that before it goes on: where one is lost it stands still.
 */
#include <stdio.h>
#include <unistd.h>

#include "core/util.h"
#include "script.h"
#include "support.h"

enum {
    KICKS = 100000,
    LENGTH = 16,     /* of the buffer */
    COUNT = 0x60000, /* where the guest counts */
    POLL_US = 10000,
    STILL_POLLS = 500 /* five seconds without one more: it is lost */
};

static struct nestvirt_host *host;

static void make_guest(struct script *script)
{
    uint32_t again;

    script_begin(script, host, "rng");
    for (uint32_t i = 0; i < SCRIPT_SIZE; i++) {
        script_descriptor(script, SCRIPT_TABLE, i, SCRIPT_BUFFER, LENGTH, SCRIPT_WRITE, 0);
        script_head(script, i, (uint16_t)i);
    }
    script_drive(script, 0);
    again = script->steps;
    script_add32(script, SCRIPT_AVAILABLE, 1 << 16); /* the index, behind the flags */
    script_put(script, NV_VIRTIO_REG_QUEUE_NOTIFY, 0);
    script_wait_all_used(script);
    script_add32(script, COUNT, 1);
    script_jump(script, again);
}

START_TEST(test_no_notification_is_lost)
{
    struct script script;
    uint64_t bytes = 0;
    uint32_t count = 0;
    int still = 0;

    make_guest(&script);
    ck_nv_ok(nestvirt_vm_build(script.vm, &error));
    ck_nv_ok(nestvirt_vm_start(script.vm, &error));
    while (count < KICKS && still < STILL_POLLS) {
        uint32_t now = script_load32(&script, COUNT);

        still = now == count ? still + 1 : 0;
        count = now;
        usleep(POLL_US);
    }
    ck_nv_ok(nestvirt_vm_pause(script.vm, &error));
    printf("%u notifications answered\n", count);
    ck_assert_msg(count >= KICKS, "notification %u is lost", count + 1);
    count = script_load32(&script, COUNT);
    ck_nv_ok(nestvirt_device_get_u64(script.device, "bytes", &bytes, &error));
    /* One more may be on its way. */
    ck_assert_uint_ge(bytes, (uint64_t)count * LENGTH);
    ck_assert_uint_le(bytes, ((uint64_t)count + 1) * LENGTH);
    script_end(&script);
}
END_TEST

Suite *nv_test_suite(void)
{
    Suite *suite = suite_create("kvm_kicks");
    TCase *tcase = support_case(suite, "kicks", 120);

    host = support_host();
    tcase_add_test(tcase, test_no_notification_is_lost);
    return suite;
}
