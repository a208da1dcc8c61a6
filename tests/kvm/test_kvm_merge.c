/* SPDX-License-Identifier: Apache-2.0 */
/* Proves merging between two real VMs: with KSM on for both and not otherwise, and undone when it
 * is switched off; the VMs' reports against the host's figures. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/util.h"
#include "guests.h"
#include "settings.h"
#include "support.h"

#define KSM "/sys/kernel/mm/ksm/"

enum {
    CONTENTS_AT = 2 << 20,
    CONTENTS = 64 << 20,
    PAGE = 4096,
    PAGES = CONTENTS / PAGE,
    WAIT_MS = 60000,
    FULL_SCANS = 4 /* KSM merges what it has seen unchanged in an earlier scan */
};

static struct nestvirt_host *host;

/* Random words, the same for each VM and other ones for each page. */
static void fill(struct nestvirt_vm *vm)
{
    uint64_t seed = 88172645463325252ull;
    uint64_t *words;

    ck_nv_ok(nestvirt_memory_get_pointer(vm, CONTENTS_AT, CONTENTS, (void **)&words, &error));
    for (size_t i = 0; i < CONTENTS / sizeof(*words); i++) {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        words[i] = seed;
    }
}

static struct nestvirt_vm *make_vm(void)
{
    struct nestvirt_vm *vm = GUEST_NEW(host, halt, .memory = CONTENTS_AT + CONTENTS);

    guest_start(vm);
    fill(vm);
    return vm;
}

static struct nestvirt_memory_ksm report(struct nestvirt_vm *vm)
{
    struct nestvirt_memory_ksm ksm;

    nestvirt_memory_ksm_init(&ksm, sizeof(ksm));
    ck_nv_ok(nestvirt_memory_get_ksm(vm, NESTVIRT_MEMORY_EVERY, &ksm, &error));
    return ksm;
}

static uint64_t merged_pages(struct nestvirt_vm *vm)
{
    return report(vm).merged_bytes / PAGE;
}

static void wait_for_scans(void)
{
    uint64_t end = settings_get(KSM "full_scans") + FULL_SCANS;

    for (int i = 0; i < WAIT_MS / 50 && settings_get(KSM "full_scans") < end; i++)
        usleep(50000);
    ck_assert_uint_ge(settings_get(KSM "full_scans"), end);
}

static void wait_for_sharing(uint64_t pages)
{
    for (int i = 0; i < WAIT_MS / 50 && settings_get(KSM "pages_sharing") < pages; i++)
        usleep(50000);
}

static void about(uint64_t value, uint64_t expected)
{
    ck_assert_uint_ge(value, expected - expected / 20);
    ck_assert_uint_le(value, expected + expected / 20);
}

static void check_equal(struct nestvirt_vm *a, struct nestvirt_vm *b)
{
    void *left;
    void *right;

    ck_nv_ok(nestvirt_memory_get_pointer(a, CONTENTS_AT, CONTENTS, &left, &error));
    ck_nv_ok(nestvirt_memory_get_pointer(b, CONTENTS_AT, CONTENTS, &right, &error));
    ck_assert_int_eq(memcmp(left, right, CONTENTS), 0);
}

/* The middle of the test: both are mergeable. */
static void check_merged(struct nestvirt_vm *a, struct nestvirt_vm *b, uint64_t before)
{
    struct nestvirt_memory_ksm ksm;
    uint64_t sharing;

    wait_for_sharing(before + PAGES - PAGES / 100);
    sharing = settings_get(KSM "pages_sharing") - before;
    about(sharing, PAGES);
    ksm = report(a);
    printf("pages_sharing +%llu, merged in the first VM %llu, in the second %llu, in the process "
           "%llu\n",
           (unsigned long long)sharing, (unsigned long long)ksm.merged_bytes / PAGE,
           (unsigned long long)merged_pages(b), (unsigned long long)ksm.process_merging_pages);
    ck_assert_uint_eq(ksm.mergeable_bytes, CONTENTS_AT + CONTENTS);
    ck_assert_uint_eq(ksm.host_run, 1);
    if (ksm.flags & NESTVIRT_MEMORY_KSM_MERGED) {
        about(ksm.merged_bytes / PAGE, sharing);
        about(merged_pages(b), sharing);
    } else {
        printf("not checked: this kernel tells merged pages of the process only\n");
    }
    if (ksm.flags & NESTVIRT_MEMORY_KSM_MERGING_PAGES)
        about(ksm.process_merging_pages, 2 * sharing);
    check_equal(a, b);
}

START_TEST(test_two_vms_merge_and_unmerge)
{
    struct nestvirt_vm *a = make_vm();
    struct nestvirt_vm *b = make_vm();
    uint64_t before = settings_get(KSM "pages_sharing");

    ck_assert_uint_eq(report(a).mergeable_bytes, 0);
    ck_nv_ok(nestvirt_memory_set_mergeable(a, 0, 1, &error));
    wait_for_scans(); /* the other one is off: nothing to merge with */
    ck_assert_uint_le(settings_get(KSM "pages_sharing") - before, PAGES / 100);
    ck_assert_uint_le(merged_pages(a), PAGES / 100);
    ck_assert_uint_eq(merged_pages(b), 0);
    ck_nv_ok(nestvirt_memory_set_mergeable(b, 0, 1, &error));
    check_merged(a, b, before);
    ck_nv_ok(nestvirt_memory_set_mergeable(b, 0, 0, &error));
    ck_assert_uint_eq(merged_pages(b), 0); /* at once */
    wait_for_scans();                      /* the host's figure follows */
    ck_assert_uint_le(settings_get(KSM "pages_sharing") - before, PAGES / 100);
    check_equal(a, b);
    ck_nv_ok(nestvirt_memory_set_mergeable(a, 0, 0, &error));
    ck_assert_uint_eq(merged_pages(a), 0);
    ck_assert_uint_eq(report(a).mergeable_bytes, 0);
    check_equal(a, b);
    ck_assert_int_eq(nestvirt_vm_free(a), 0);
    ck_assert_int_eq(nestvirt_vm_free(b), 0);
}
END_TEST

Suite *nv_test_suite(void)
{
    Suite *suite = suite_create("kvm merge");
    TCase *tcase = support_case(suite, "merge", 110);

    host = support_host();
    settings_begin(KSM "run");
    if (!settings_set(KSM "sleep_millisecs", 10) || !settings_set(KSM "pages_to_scan", 10000) ||
        !settings_set(KSM "run", 1)) {
        settings_restore();
        support_skip("KSM cannot be tuned here (its advisor may be on)");
    }
    tcase_add_test(tcase, test_two_vms_merge_and_unmerge);
    return suite;
}
