/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the proof on the host's real KSM: settings change, come back, and outlive no program. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/error.h"
#include "ksm_guard.h"
#include "support.h"

enum { PAGES = 123, SLEEP_MS = 77 };

static char folder[64];
static char record[96];

static unsigned read_knob(const char *name)
{
    char path[96];
    FILE *file;
    unsigned value = 0;

    snprintf(path, sizeof(path), "/sys/kernel/mm/ksm/%s", name);
    file = fopen(path, "re");
    ck_assert_ptr_nonnull(file);
    ck_assert_int_eq(fscanf(file, "%u", &value), 1);
    fclose(file);
    return value;
}

static int change(struct nestvirt_ksm_token **ret_token, struct nestvirt_error **ret_error)
{
    struct nestvirt_ksm_settings settings;

    nestvirt_ksm_settings_init(&settings, sizeof(settings));
    settings.flags = NESTVIRT_KSM_PAGES_TO_SCAN | NESTVIRT_KSM_SLEEP_MS;
    settings.pages_to_scan = PAGES;
    settings.sleep_ms = SLEEP_MS;
    return nestvirt_ksm_set_settings(&settings, record, ret_token, ret_error);
}

static void expect_changed(void)
{
    ck_assert_uint_eq(read_knob("pages_to_scan"), PAGES);
    ck_assert_uint_eq(read_knob("sleep_millisecs"), SLEEP_MS);
}

START_TEST(test_reading)
{
    struct nestvirt_ksm_settings settings;
    struct nestvirt_ksm_stats stats;

    nestvirt_ksm_settings_init(&settings, sizeof(settings));
    ck_nv_ok(nestvirt_ksm_get_settings(&settings, &error));
    ck_assert_uint_eq(settings.run, read_knob("run"));
    ck_assert_uint_eq(settings.pages_to_scan, read_knob("pages_to_scan"));
    ck_assert_uint_eq(settings.sleep_ms, read_knob("sleep_millisecs"));
    ck_assert_uint_eq(settings.max_page_sharing, read_knob("max_page_sharing"));
    nestvirt_ksm_stats_init(&stats, sizeof(stats));
    ck_nv_ok(nestvirt_ksm_get_stats(&stats, &error));
    ck_assert_uint_ne(stats.flags & NESTVIRT_KSM_HAS_PAGES_SHARING, 0);
    ck_assert_uint_ne(stats.flags & NESTVIRT_KSM_HAS_FULL_SCANS, 0);
}
END_TEST

START_TEST(test_change_and_put_back)
{
    struct nestvirt_ksm_token *first, *token;

    ck_nv_ok(change(&first, &error));
    expect_changed();
    ck_nv_fails_with(change(&token, &error), -EBUSY, nv_text("process %d", getpid()).s);
    ck_assert_ptr_null(token);
    ck_nv_fails(nestvirt_ksm_remove_record(record, &error), -EBUSY);
    expect_changed();
    ck_assert_int_eq(nestvirt_ksm_token_free(first), 0);
    ck_assert(ksm_guard_is_clean());
    ck_assert_int_ne(access(record, F_OK), 0);
}
END_TEST

/* A child that changes the settings and waits to be killed. */
static pid_t start_changer(void)
{
    int ends[2];
    pid_t child;
    char byte = 0;

    ck_assert_int_eq(pipe(ends), 0);
    child = fork();
    if (child == 0) {
        struct nestvirt_ksm_token *token;

        byte = change(&token, NULL) == 0;
        if (write(ends[1], &byte, 1) == 1)
            sleep(60);
        _exit(1);
    }
    ck_assert_int_eq(read(ends[0], &byte, 1), 1);
    ck_assert_int_eq(byte, 1);
    close(ends[0]);
    close(ends[1]);
    return child;
}

START_TEST(test_killed)
{
    pid_t child = start_changer();
    struct nestvirt_ksm_token *token;

    expect_changed();
    ck_nv_fails_with(change(&token, &error), -EBUSY, nv_text("process %d", child).s);
    ck_nv_fails_with(nestvirt_ksm_remove_record(record, &error), -EBUSY,
                     nv_text("process %d", child).s);
    ck_assert_int_eq(kill(child, SIGKILL), 0);
    ck_assert_int_eq(waitpid(child, NULL, 0), child);
    expect_changed(); /* nobody has put them back */
    ck_nv_fails_with(change(&token, &error), -ESTALE, "nestvirt_ksm_remove_record");
    ck_assert_int_eq(nestvirt_ksm_remove_record(record, NULL), 1);
    ck_assert(ksm_guard_is_clean());
    ck_assert_int_eq(nestvirt_ksm_remove_record(record, NULL), 0);
    ck_nv_ok(change(&token, &error));
    expect_changed();
    ck_assert_int_eq(nestvirt_ksm_token_free(token), 0);
    ck_assert(ksm_guard_is_clean());
}
END_TEST

/* 66, or what went wrong. */
static int change_as_nobody(void)
{
    struct nestvirt_ksm_token *token;
    struct nestvirt_error *error = NULL;

    if (setuid(65534) < 0)
        return 1;
    if (change(&token, &error) != -EACCES)
        return 2;
    return strstr(nestvirt_error_get_message(error), "only root") ? 66 : 3;
}

START_TEST(test_only_root)
{
    pid_t child = fork();
    int status;

    if (child == 0)
        _exit(change_as_nobody());
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 66 << 8);
}
END_TEST

static void setup(void)
{
    snprintf(folder, sizeof(folder), "/tmp/nestvirt-ksm-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    ck_assert(ksm_guard_begin());
    snprintf(record, sizeof(record), "%s/record", folder);
}

static void teardown(void)
{
    ksm_guard_end();
    unlink(record);
    rmdir(folder);
}

Suite *nv_test_suite(void)
{
    Suite *suite = suite_create("kvm_ksm");
    TCase *tcase = support_case(suite, "ksm", 60);

    if (geteuid() != 0 || access("/sys/kernel/mm/ksm/run", W_OK) < 0)
        support_skip("KSM is not in this kernel, or not for this user to change");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, test_reading);
    tcase_add_test(tcase, test_change_and_put_back);
    tcase_add_test(tcase, test_killed);
    tcase_add_test(tcase, test_only_root);
    return suite;
}
