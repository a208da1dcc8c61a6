/* SPDX-License-Identifier: Apache-2.0 */
/* Proves reading, changing and putting back KSM's settings, on fake trees of several kernels. */
#include "ksm_tree.h"

/* --- Reading --- */
START_TEST(test_new_kernel)
{
    struct nestvirt_ksm_settings s;
    struct nestvirt_ksm_stats stats;

    make_new_kernel();
    ck_nv_ok(nv_ksm_read(&tree, &s, &error));
    ck_assert_uint_eq(s.flags, ALL);
    ck_assert_uint_eq(s.pages_to_scan, 100);
    ck_assert_uint_eq(s.sleep_ms, 20);
    ck_assert_uint_eq(s.merge_across_nodes, 1);
    ck_assert_uint_eq(s.max_page_sharing, 256);
    ck_assert_uint_eq(s.smart_scan, 1);
    ck_assert_uint_eq(s.advisor_mode, NESTVIRT_KSM_ADVISOR_NONE);
    ck_assert_uint_eq(s.advisor_max_cpu, 70);
    ck_assert_uint_eq(s.advisor_min_pages, 500);
    ck_assert_uint_eq(s.advisor_max_pages, 30000);
    ck_assert_uint_eq(s.advisor_target_s, 200);
    ck_nv_ok(nv_ksm_read_stats(&tree, &stats, &error));
    ck_assert_uint_eq(stats.flags, (1 << 9) - 1);
    ck_assert_uint_eq(stats.pages_shared, 3);
    ck_assert_uint_eq(stats.pages_sharing, 40);
    ck_assert_uint_eq(stats.pages_unshared, 5);
    ck_assert_uint_eq(stats.pages_volatile, 6);
    ck_assert_uint_eq(stats.full_scans, 7);
    ck_assert_uint_eq(stats.pages_scanned, 8);
    ck_assert_uint_eq(stats.pages_skipped, 9);
    ck_assert_uint_eq(stats.zero_pages, 10);
    ck_assert_int_eq(stats.general_profit, -11);
}
END_TEST

START_TEST(test_old_kernel)
{
    struct nestvirt_ksm_settings s;
    struct nestvirt_ksm_stats stats;

    make_old_kernel();
    ck_nv_ok(nv_ksm_read(&tree, &s, &error));
    ck_assert_uint_eq(s.flags, BASIC);
    ck_assert_uint_eq(s.smart_scan, 0);
    ck_nv_ok(nv_ksm_read_stats(&tree, &stats, &error));
    ck_assert_uint_eq(stats.flags, (1 << 5) - 1);
    s.flags = NESTVIRT_KSM_SMART_SCAN;
    expect_refused(&s, -ENOTSUP, "0x40");
    ck_assert_str_eq(writes.log, "");
}
END_TEST

/* Garbage is not known; a later kernel's advisor is not ours. */
START_TEST(test_odd_kernel)
{
    struct nestvirt_ksm_settings s;
    struct nestvirt_ksm_stats stats;

    make_new_kernel();
    put_knob("smart_scan", "yes\n");
    put_knob("advisor_mode", "none [psychic]\n");
    put_knob("pages_to_scan", "99999999999\n");
    put_knob("pages_shared", "");
    put_knob("pages_sharing", "many\n");
    ck_nv_ok(nv_ksm_read(&tree, &s, &error));
    ck_assert_uint_eq(s.flags, ALL & ~(NESTVIRT_KSM_SMART_SCAN | NESTVIRT_KSM_ADVISOR_MODE));
    ck_assert_uint_eq(s.pages_to_scan, UINT32_MAX);
    ck_nv_ok(nv_ksm_read_stats(&tree, &stats, &error));
    ck_assert_uint_eq(stats.flags & 3, 0);
    ck_assert_uint_eq(stats.pages_sharing, 0);
}
END_TEST

START_TEST(test_misuse_13_no_ksm)
{
    struct nestvirt_ksm_settings s;
    struct nestvirt_ksm_stats stats;

    ck_nv_fails_with(nv_ksm_read(&tree, &s, &error), -ENOTSUP, "CONFIG_KSM");
    ck_nv_fails(nv_ksm_read_stats(&tree, &stats, &error), -ENOTSUP);
    expect_refused(&tuned, -ENOTSUP, "CONFIG_KSM");
}
END_TEST

/* --- Changing --- */

START_TEST(test_ranges)
{
    static const struct nestvirt_ksm_settings bad[] = {
        { .flags = 0 },
        { .flags = 1 << 12 },
        { .flags = NESTVIRT_KSM_RUN, .run = 3 },
        { .flags = NESTVIRT_KSM_PAGES_TO_SCAN, .pages_to_scan = 0 },
        { .flags = NESTVIRT_KSM_MERGE_ACROSS_NODES, .merge_across_nodes = 2 },
        { .flags = NESTVIRT_KSM_USE_ZERO_PAGES, .use_zero_pages = 2 },
        { .flags = NESTVIRT_KSM_MAX_PAGE_SHARING, .max_page_sharing = 1 },
        { .flags = NESTVIRT_KSM_MAX_PAGE_SHARING, .max_page_sharing = 1u << 31 },
        { .flags = NESTVIRT_KSM_SMART_SCAN, .smart_scan = 2 },
        { .flags = NESTVIRT_KSM_ADVISOR_MODE, .advisor_mode = 2 },
        { .flags = NESTVIRT_KSM_ADVISOR_MAX_CPU, .advisor_max_cpu = 0 },
        { .flags = NESTVIRT_KSM_ADVISOR_MAX_CPU, .advisor_max_cpu = 101 },
        { .flags = NESTVIRT_KSM_ADVISOR_MIN_PAGES, .advisor_min_pages = 0 },
        { .flags = NESTVIRT_KSM_ADVISOR_MAX_PAGES, .advisor_max_pages = 0 },
        { .flags = NESTVIRT_KSM_ADVISOR_TARGET_S, .advisor_target_s = 0 },
        { .flags = NESTVIRT_KSM_ADVISOR_MIN_PAGES | NESTVIRT_KSM_ADVISOR_MAX_PAGES,
          .advisor_min_pages = 2,
          .advisor_max_pages = 1 },
    };

    make_new_kernel();
    for (size_t i = 0; i < NV_ARRAY_SIZE(bad); i++)
        expect_refused(&bad[i], -EINVAL, "KSM");
    ck_assert_str_eq(writes.log, "");
    ck_assert_int_ne(access(record, F_OK), 0);
}
END_TEST

START_TEST(test_change_and_put_back)
{
    struct nestvirt_ksm_token *token;

    make_new_kernel();
    token = change(&tuned);
    ck_assert_uint_eq(get_knob("run"), 1);
    ck_assert_uint_eq(get_knob("pages_to_scan"), 5000);
    ck_assert_uint_eq(get_knob("sleep_millisecs"), 1);
    ck_assert_str_eq(writes.log, "pages_to_scan=5000 sleep_millisecs=1 run=1 ");
    ck_assert_ptr_nonnull(strstr(get("run/record"), "pages_to_scan 100\n"));
    writes.log[0] = '\0';
    ck_assert_int_eq(nv_ksm_put_back(token), 0);
    ck_assert_str_eq(writes.log, "run=0 pages_to_scan=100 sleep_millisecs=20 ");
    ck_assert_uint_eq(get_knob("run"), 0);
    ck_assert_uint_eq(get_knob("pages_to_scan"), 100);
    ck_assert_int_ne(access(record, F_OK), 0);
}
END_TEST

/* An advisor goes before what it chooses and comes after; leaving it costs pages_to_scan. */
START_TEST(test_advisor)
{
    struct nestvirt_ksm_settings s = tuned;
    struct nestvirt_ksm_token *token;

    make_new_kernel();
    put_knob("advisor_mode", "none [scan-time]\n");
    s.flags |= NESTVIRT_KSM_ADVISOR_MODE;
    token = change(&s);
    ck_assert_str_eq(writes.log, "advisor_mode=none pages_to_scan=5000 sleep_millisecs=1 run=1 ");
    put_knob("advisor_mode", "[none] scan-time\n");
    writes.log[0] = '\0';
    ck_assert_int_eq(nv_ksm_put_back(token), 0);
    ck_assert_str_eq(writes.log,
                     "run=0 pages_to_scan=100 sleep_millisecs=20 advisor_mode=scan-time ");
    s = (struct nestvirt_ksm_settings){ .flags = NESTVIRT_KSM_ADVISOR_MODE,
                                        .advisor_mode = NESTVIRT_KSM_ADVISOR_SCAN_TIME };
    put_knob("advisor_mode", "[none] scan-time\n");
    token = change(&s);
    ck_assert_ptr_nonnull(strstr(get("run/record"), "pages_to_scan 100\n"));
    put_knob("advisor_mode", "none [scan-time]\n");
    put_knob("pages_to_scan", "500\n");
    ck_assert_int_eq(nv_ksm_put_back(token), 0);
    ck_assert_uint_eq(get_knob("pages_to_scan"), 100);
}
END_TEST

START_TEST(test_failure_puts_back)
{
    static const int errors[] = { -EACCES, -EPERM, -EROFS, -EINVAL, -EIO };

    make_new_kernel();
    for (size_t i = 0; i < NV_ARRAY_SIZE(errors); i++) {
        writes.name = "sleep_millisecs";
        writes.error = errors[i];
        writes.log[0] = '\0';
        expect_refused(&tuned, errors[i], "sleep_millisecs");
        ck_assert_str_eq(writes.log, "pages_to_scan=5000 sleep_millisecs=1 pages_to_scan=100 ");
        ck_assert_uint_eq(get_knob("pages_to_scan"), 100);
        ck_assert_uint_eq(get_knob("run"), 0);
        ck_assert_int_ne(access(record, F_OK), 0);
    }
}
END_TEST

START_TEST(test_merged_pages_in_the_way)
{
    const struct nestvirt_ksm_settings s = { .flags = NESTVIRT_KSM_MERGE_ACROSS_NODES };
    struct nestvirt_ksm_token *token;

    make_new_kernel();
    put_knob("run", "1\n");
    writes.name = "merge_across_nodes";
    writes.error = -EBUSY;
    expect_refused(&s, -EBUSY, "NESTVIRT_KSM_UNMERGE");
    ck_assert_uint_eq(get_knob("merge_across_nodes"), 1);
    writes.name = NULL;
    token = change(&s);
    writes.name = "merge_across_nodes"; /* pages have been merged since */
    writes.is_only_shared = true;
    writes.log[0] = '\0';
    ck_assert_int_eq(nv_ksm_put_back(token), 0);
    ck_assert_str_eq(writes.log, "merge_across_nodes=1 run=2 merge_across_nodes=1 run=1 ");
    ck_assert_uint_eq(get_knob("merge_across_nodes"), 1);
}
END_TEST

/* What cannot be put back keeps its token and its record; the rest is. */
START_TEST(test_put_back_again)
{
    struct nestvirt_ksm_token *token;

    make_new_kernel();
    token = change(&tuned);
    writes.name = "pages_to_scan";
    writes.error = -EIO;
    ck_assert_int_eq(nv_ksm_put_back(token), -EIO);
    ck_assert_uint_eq(get_knob("run"), 0);
    ck_assert_uint_eq(get_knob("sleep_millisecs"), 20);
    ck_assert_int_eq(access(record, F_OK), 0);
    writes.name = NULL;
    ck_assert_int_eq(nv_ksm_put_back(token), 0);
    ck_assert_uint_eq(get_knob("pages_to_scan"), 100);
}
END_TEST

START_TEST(test_child_does_nothing)
{
    struct nestvirt_ksm_token *token;
    pid_t child;
    int status;

    make_new_kernel();
    token = change(&tuned);
    child = fork();
    if (child == 0)
        _exit(nv_ksm_put_back(token) == 0 ? 66 : 1);
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 66 << 8);
    ck_assert_uint_eq(get_knob("run"), 1);
    ck_assert_int_eq(access(record, F_OK), 0);
    ck_assert_int_eq(nv_ksm_put_back(token), 0);
}
END_TEST

/* --- Records --- */

START_TEST(test_two_at_once)
{
    struct nestvirt_ksm_token *token;

    make_new_kernel();
    token = change(&tuned);
    expect_refused(&tuned, -EBUSY, nv_text("process %d", getpid()).s);
    ck_nv_fails_with(nv_ksm_recover(&tree, record, &error), -EBUSY,
                     nv_text("process %d", getpid()).s);
    ck_assert_uint_eq(get_knob("run"), 1);
    ck_assert_int_eq(nv_ksm_put_back(token), 0);
}
END_TEST

static void tune_by_hand(void)
{
    put_knob("sleep_millisecs", "77\n");
}

/* What was read before the record was ours may be another's, who has put it back since. */
START_TEST(test_former_settings_are_those_of_the_record)
{
    make_new_kernel();
    before_record = tune_by_hand;
    expect_refused(&tuned, -EBUSY, "just now");
    ck_assert_str_eq(writes.log, "");
    ck_assert_int_ne(access(record, F_OK), 0);
    before_record = NULL;
    ck_assert_int_eq(nv_ksm_put_back(change(&tuned)), 0);
    ck_assert_uint_eq(get_knob("sleep_millisecs"), 77);
}
END_TEST

static void choose_pages(void)
{
    put_knob("pages_to_scan", "1234\n");
}

/* Without /proc nobody can say whether it lives, itself not either: it must not be for ever. */
START_TEST(test_owner_that_was_not_seen)
{
    struct nestvirt_ksm_token *token;

    make_new_kernel();
    set_alive(false);
    token = change(&tuned);
    ck_assert_int_eq(nv_ksm_recover(&tree, record, NULL), 1);
    ck_assert_uint_eq(get_knob("sleep_millisecs"), 20);
    ck_assert_int_eq(nv_ksm_put_back(token), 0);
}
END_TEST

/* An advisor may choose another number at any time. */
START_TEST(test_advisor_chooses_meanwhile)
{
    const struct nestvirt_ksm_settings s = {
        .flags = NESTVIRT_KSM_PAGES_TO_SCAN | NESTVIRT_KSM_ADVISOR_MODE,
        .pages_to_scan = 5000,
        .advisor_mode = NESTVIRT_KSM_ADVISOR_NONE,
    };

    make_new_kernel();
    put_knob("advisor_mode", "none [scan-time]\n");
    before_record = choose_pages;
    ck_assert_int_eq(nv_ksm_put_back(change(&s)), 0);
}
END_TEST

static pthread_barrier_t all_ready;

static void meet(void)
{
    pthread_barrier_wait(&all_ready);
}

static void *change_in_thread(void *argument)
{
    struct nv_tree own;
    struct nestvirt_ksm_token *token = NULL;
    int *result = argument;

    ck_nv_ok(nv_tree_open(root, &own, &error));
    *result = nv_ksm_set(&own, &tuned, record, &token, NULL);
    if (*result < 0)
        nv_tree_close(&own);
    pthread_barrier_wait(&all_ready);
    ck_assert_int_eq(token ? nv_ksm_put_back(token) : 0, 0);
    return NULL;
}

/* One of them gets it, and the record is whole; neither takes the other's draft away. */
START_TEST(test_two_threads_at_once)
{
    enum { ROUNDS = 300 };

    make_new_kernel();
    ck_assert_int_eq(pthread_barrier_init(&all_ready, NULL, 2), 0);
    before_record = meet;
    for (int i = 0; i < ROUNDS; i++) {
        pthread_t threads[2];
        int results[2];

        for (int j = 0; j < 2; j++)
            ck_assert_int_eq(pthread_create(&threads[j], NULL, change_in_thread, &results[j]), 0);
        for (int j = 0; j < 2; j++)
            pthread_join(threads[j], NULL);
        ck_assert_int_eq(results[0] + results[1], -EBUSY);
        ck_assert_uint_eq(get_knob("sleep_millisecs"), 20);
        writes.log[0] = '\0';
    }
    pthread_barrier_destroy(&all_ready);
}
END_TEST

/* What /proc says of a program that died: nothing, another's time, or that nobody waited for it. */
static const char *const deaths[] = {
    NULL,
    "1 (x) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 1 18 4712 20\n",
    "1 (x) Z 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 1 18 4711 20\n",
};

/* The program dies; another process may have its number by now. */
START_TEST(test_recovery)
{
    const struct nv_text stat = nv_text("proc/%d/stat", getpid());
    struct nestvirt_ksm_token *token;

    make_new_kernel();
    ck_assert_int_eq(nv_ksm_recover(&tree, record, NULL), 0);
    for (size_t i = 0; i < sizeof(deaths) / sizeof(deaths[0]); i++) {
        token = change(&tuned);
        /* Its first thread has ended, others go on. */
        put(stat.s, "1 (x) Z 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 2 18 4711 20\n");
        expect_refused(&tuned, -EBUSY, "has changed the settings");
        set_alive(false);
        if (deaths[i])
            put(stat.s, deaths[i]);
        expect_refused(&tuned, -ESTALE, "nestvirt_ksm_remove_record");
        ck_nv_ok(nv_ksm_recover(&tree, record, &error));
        ck_assert_uint_eq(get_knob("run"), 0);
        ck_assert_uint_eq(get_knob("pages_to_scan"), 100);
        ck_assert_uint_eq(get_knob("sleep_millisecs"), 20);
        ck_assert_int_ne(access(record, F_OK), 0);
        ck_assert_int_eq(nv_ksm_recover(&tree, record, NULL), 0);
        set_alive(true);
        ck_assert_int_eq(nv_ksm_put_back(token), 0); /* it does no harm */
    }
}
END_TEST

START_TEST(test_recovery_after_boot)
{
    struct nestvirt_ksm_token *token;

    make_new_kernel();
    token = change(&tuned);
    put("proc/sys/kernel/random/boot_id", "11111111-89ab-cdef-0123-456789abcdef\n");
    writes.log[0] = '\0';
    ck_assert_int_eq(nv_ksm_recover(&tree, record, NULL), 0);
    ck_assert_str_eq(writes.log, "");
    ck_assert_int_ne(access(record, F_OK), 0);
    ck_assert_int_eq(nv_ksm_put_back(token), 0);
}
END_TEST

START_TEST(test_recovery_that_fails)
{
    struct nestvirt_ksm_token *token;

    make_new_kernel();
    token = change(&tuned);
    set_alive(false);
    writes.name = "run";
    writes.error = -EACCES;
    ck_nv_fails_with(nv_ksm_recover(&tree, record, &error), -EACCES, "run");
    ck_assert_int_eq(access(record, F_OK), 0);
    ck_assert_uint_eq(get_knob("pages_to_scan"), 100);
    writes.name = NULL;
    ck_assert_int_eq(nv_ksm_recover(&tree, record, NULL), 1);
    ck_assert_int_eq(nv_ksm_put_back(token), 0);
}
END_TEST

static int second_result;

static void recover_too(void)
{
    second_result = nv_ksm_recover(&tree, record, NULL);
}

/* The slower of two would put back settings, and remove the record, of a third that came after. */
START_TEST(test_two_recoveries_at_once)
{
    struct nestvirt_ksm_token *token;

    make_new_kernel();
    token = change(&tuned);
    set_alive(false);
    writes.fn = recover_too;
    ck_assert_int_eq(nv_ksm_recover(&tree, record, NULL), 1);
    ck_assert_int_eq(second_result, -EBUSY);
    ck_assert_int_eq(nv_ksm_put_back(token), 0);
}
END_TEST

/* Where this process was not seen, it was taken for dead; another program has the settings now. */
START_TEST(test_record_of_another)
{
    struct nestvirt_ksm_token *token;

    make_new_kernel();
    token = change(&tuned);
    put("run/record",
        nv_text("nestvirt-ksm 1\nowner %d 4711 01234567\nrun 0\nend\n", getpid() + 1).s);
    writes.log[0] = '\0';
    ck_assert_int_eq(nv_ksm_put_back(token), 0);
    ck_assert_str_eq(writes.log, "");
    ck_assert_int_eq(access(record, F_OK), 0);
}
END_TEST

static void expect_hostile(int code)
{
    struct nestvirt_ksm_token *token;

    writes.log[0] = '\0';
    ck_nv_fails(nv_ksm_recover(&tree, record, &error), code);
    ck_nv_fails(nv_ksm_set(&tree, &tuned, record, &token, &error), code);
    ck_assert_str_eq(writes.log, "");
}

static const char good[] = "nestvirt-ksm 1\n"
                           "owner 2 4711 01234567-89ab-cdef-0123-456789abcdef\n"
                           "run 0\n"
                           "advisor_max_cpu 4000000000\n" /* what others have set is taken */
                           "end\n";

START_TEST(test_garbage)
{
    static const char *const texts[] = {
        "",
        "\n",
        "end\n",
        "nestvirt-ksm 2\nowner 2 4 a\nrun 0\nend\n",
        "nestvirt-ksm 1\nowner 2 4 a\nend\n",
        "nestvirt-ksm 1\nowner 0 4 a\nrun 0\nend\n",
        "nestvirt-ksm 1\nowner -2 4 a\nrun 0\nend\n",
        "nestvirt-ksm 1\nowner 2 4 a b\nrun 0\nend\n",
        "nestvirt-ksm 1\nowner 2 4 a\nrun 3\nend\n",
        "nestvirt-ksm 1\nowner 2 4 a\nrun 0 0\nend\n",
        "nestvirt-ksm 1\nowner 2 4 a\nrun 0\nrun 1\nend\n",
        "nestvirt-ksm 1\nowner 2 4 a\nadvisor_mode 2\nend\n",
        "nestvirt-ksm 1\nowner 2 4 a\n../run 0\nend\n",
        "nestvirt-ksm 1\nowner 2 4 a\nfull_scans 0\nend\n",
        "nestvirt-ksm 1\nowner 2 4 a\nrun 0\nend\nmore\n",
    };
    char part[sizeof(good)];

    make_new_kernel();
    for (size_t i = 0; i < NV_ARRAY_SIZE(texts); i++) {
        put("run/record", texts[i]);
        expect_hostile(-EINVAL);
    }
    for (size_t i = 0; i < sizeof(good) - 2; i++) { /* without the last newline it is complete */
        snprintf(part, sizeof(part), "%.*s", (int)i, good);
        put("run/record", part);
        expect_hostile(-EINVAL);
    }
    put("run/record", good);
    ck_assert_int_eq(nv_ksm_recover(&tree, record, NULL), 1);
}
END_TEST

START_TEST(test_too_long)
{
    FILE *file = fopen(record, "we");

    make_new_kernel();
    fputs("nestvirt-ksm 1\nowner 2 4 a\n", file);
    for (int i = 0; i < 1000; i++)
        fputs("run 0\n", file);
    fclose(file);
    expect_hostile(-EINVAL);
}
END_TEST

START_TEST(test_not_a_file_of_ours)
{
    char other[128];

    make_new_kernel();
    snprintf(other, sizeof(other), "%s/run/other", root);
    put("run/other", good);
    ck_assert_int_eq(symlink("other", record), 0);
    expect_hostile(-ELOOP);
    unlink(record);
    ck_assert_int_eq(symlink("nowhere", record), 0);
    expect_hostile(-ELOOP);
    unlink(record);
    ck_assert_int_eq(link(other, record), 0); /* somebody may have kept a name for it */
    expect_hostile(-EPERM);
    unlink(record);
    ck_assert_int_eq(mkfifo(record, 0600), 0);
    expect_hostile(-EINVAL);
    unlink(record);
    ck_assert_int_eq(mkdir(record, 0700), 0);
    expect_hostile(-EINVAL);
    rmdir(record);
    ck_assert_int_eq(rename(other, record), 0);
    ck_assert_int_eq(chmod(record, 0620), 0);
    expect_hostile(-EPERM);
    ck_assert_int_eq(chmod(record, 0602), 0);
    expect_hostile(-EPERM);
    ck_assert_int_eq(chmod(record, 0644), 0);
    if (geteuid() == 0) {
        ck_assert_int_eq(chown(record, 65534, 65534), 0);
        expect_hostile(-EPERM);
        ck_assert_int_eq(chown(record, 0, 0), 0);
    }
    ck_assert_int_eq(nv_ksm_recover(&tree, record, NULL), 1);
}
END_TEST

START_TEST(test_folder_of_others)
{
    char folder[128];

    make_new_kernel();
    snprintf(folder, sizeof(folder), "%s/run", root);
    ck_assert_int_eq(chmod(folder, 0777), 0);
    expect_hostile(-EPERM);
    ck_assert_int_eq(chmod(folder, 01777), 0);
    put("run/record", good);
    ck_assert_int_eq(nv_ksm_recover(&tree, record, NULL), 1);
    ck_assert_int_eq(rename(folder, path_in("real")), 0);
    ck_assert_int_eq(symlink("real", folder), 0);
    expect_hostile(-ELOOP);
    unlink(folder);
    expect_hostile(-ENOENT);
    snprintf(record, sizeof(record), "%s/real/", root);
    expect_hostile(-EINVAL);
    snprintf(record, sizeof(record), "%s/real/..", root);
    expect_hostile(-EINVAL);
}
END_TEST

START_TEST(test_long_path)
{
    char path[400];
    struct nv_ksm_place place;

    memset(path, 'a', sizeof(path));
    path[sizeof(path) - 1] = '\0';
    ck_nv_fails(nv_ksm_open_place(path, &place, &error), -ENAMETOOLONG);
    path[200] = '\0'; /* the name alone */
    ck_nv_fails(nv_ksm_open_place(path, &place, &error), -ENAMETOOLONG);
}
END_TEST

/* --- The doors --- */

START_TEST(test_misuse)
{
    struct nestvirt_ksm_settings s = { .size = 8 };
    struct nestvirt_ksm_stats stats = { .size = 8 };
    struct nestvirt_ksm_token *token = (struct nestvirt_ksm_token *)&s;
    uint32_t no_token[8] = { 0 };

    ck_nv_fails(nestvirt_ksm_get_settings(NULL, &error), -EFAULT);
    ck_nv_fails(nestvirt_ksm_get_settings(&s, &error), -EINVAL);
    ck_nv_fails(nestvirt_ksm_get_stats(NULL, &error), -EFAULT);
    ck_nv_fails(nestvirt_ksm_get_stats(&stats, &error), -EINVAL);
    ck_nv_fails(nestvirt_ksm_set_settings(&s, record, NULL, &error), -EFAULT);
    ck_nv_fails(nestvirt_ksm_set_settings(NULL, record, &token, &error), -EFAULT);
    ck_assert_ptr_null(token);
    ck_nv_fails(nestvirt_ksm_set_settings(&s, record, &token, &error), -EINVAL);
    nestvirt_ksm_settings_init(&s, sizeof(s));
    ck_nv_fails(nestvirt_ksm_set_settings(&s, record, &token, &error), -EINVAL);
    ck_assert_int_eq(nestvirt_ksm_token_free(NULL), 0);
    ck_assert_int_eq(nestvirt_ksm_token_free((struct nestvirt_ksm_token *)no_token), -EBADF);
    ck_assert_str_eq(writes.log, "");
}
END_TEST

Suite *nv_test_suite(void)
{
    Suite *suite = suite_create("ksm");
    TCase *tcase = support_case(suite, "ksm", 60);

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, test_new_kernel);
    tcase_add_test(tcase, test_old_kernel);
    tcase_add_test(tcase, test_odd_kernel);
    tcase_add_test(tcase, test_misuse_13_no_ksm);
    tcase_add_test(tcase, test_ranges);
    tcase_add_test(tcase, test_change_and_put_back);
    tcase_add_test(tcase, test_advisor);
    tcase_add_test(tcase, test_failure_puts_back);
    tcase_add_test(tcase, test_merged_pages_in_the_way);
    tcase_add_test(tcase, test_put_back_again);
    tcase_add_test(tcase, test_child_does_nothing);
    tcase_add_test(tcase, test_two_at_once);
    tcase_add_test(tcase, test_former_settings_are_those_of_the_record);
    tcase_add_test(tcase, test_owner_that_was_not_seen);
    tcase_add_test(tcase, test_advisor_chooses_meanwhile);
    tcase_add_test(tcase, test_two_threads_at_once);
    tcase_add_test(tcase, test_recovery);
    tcase_add_test(tcase, test_two_recoveries_at_once);
    tcase_add_test(tcase, test_record_of_another);
    tcase_add_test(tcase, test_recovery_after_boot);
    tcase_add_test(tcase, test_recovery_that_fails);
    tcase_add_test(tcase, test_garbage);
    tcase_add_test(tcase, test_too_long);
    tcase_add_test(tcase, test_not_a_file_of_ours);
    tcase_add_test(tcase, test_folder_of_others);
    tcase_add_test(tcase, test_long_path);
    tcase_add_test(tcase, test_misuse);
    return suite;
}
