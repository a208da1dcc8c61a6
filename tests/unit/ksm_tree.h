/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the fake tree of a kernel with KSM, and what others do to it meanwhile. */
#ifndef TESTS_UNIT_KSM_TREE_H
#define TESTS_UNIT_KSM_TREE_H

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/error.h"
#include "core/util.h"
#include "host/ksm.h"
#include "support.h"

enum { BASIC = NESTVIRT_KSM_SMART_SCAN - 1, ALL = (1 << 12) - 1, RECORD_SIZE = 2048 };

static char root[64];
static char record[96];
static struct nv_tree tree;

/* --- The tree --- */

static const char *path_in(const char *name)
{
    static char path[256];

    snprintf(path, sizeof(path), "%s/%s", root, name);
    return path;
}

static void put(const char *name, const char *text)
{
    FILE *file = fopen(path_in(name), "we");

    ck_assert_ptr_nonnull(file);
    fputs(text, file);
    fclose(file);
}

static void put_knob(const char *name, const char *text)
{
    put(nv_text("sys/kernel/mm/ksm/%s", name).s, text);
}

static const char *get(const char *name)
{
    static char text[RECORD_SIZE];
    FILE *file = fopen(path_in(name), "re");

    text[0] = '\0';
    if (file) {
        text[fread(text, 1, sizeof(text) - 1, file)] = '\0';
        fclose(file);
    }
    return text;
}

/* The first line, as the kernel's files are. */
static unsigned get_knob(const char *name)
{
    return (unsigned)strtoul(get(nv_text("sys/kernel/mm/ksm/%s", name).s), NULL, 10);
}

static void make_folder(const char *name)
{
    ck_assert_int_eq(mkdir(path_in(name), 0755), 0);
}

static void set_alive(bool is_alive)
{
    const struct nv_text folder = nv_text("proc/%d", getpid());
    const struct nv_text file = nv_text("proc/%d/stat", getpid());

    mkdir(path_in(folder.s), 0755);
    if (is_alive)
        put(file.s, "1 (a b) c) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4711 20\n");
    else
        unlink(path_in(file.s));
}

static void make_old_kernel(void)
{
    put_knob("run", "0\n");
    put_knob("pages_to_scan", "100\n");
    put_knob("sleep_millisecs", "20\n");
    put_knob("merge_across_nodes", "1\n");
    put_knob("use_zero_pages", "0\n");
    put_knob("max_page_sharing", "256\n");
    put_knob("pages_shared", "3\n");
    put_knob("pages_sharing", "40\n");
    put_knob("pages_unshared", "5\n");
    put_knob("pages_volatile", "6\n");
    put_knob("full_scans", "7\n");
}

static void make_new_kernel(void)
{
    make_old_kernel();
    put_knob("smart_scan", "1\n");
    put_knob("advisor_mode", "[none] scan-time\n");
    put_knob("advisor_max_cpu", "70\n");
    put_knob("advisor_min_pages_to_scan", "500\n");
    put_knob("advisor_max_pages_to_scan", "30000\n");
    put_knob("advisor_target_scan_time", "200\n");
    put_knob("pages_scanned", "8\n");
    put_knob("pages_skipped", "9\n");
    put_knob("ksm_zero_pages", "10\n");
    put_knob("general_profit", "-11\n");
}

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *walk)
{
    return remove(path);
}

/* --- Writes, noted and made to fail --- */

static struct {
    char log[1024];      /* "name=value " of each write */
    const char *name;    /* fails */
    int error;           /* with this */
    bool is_only_shared; /* unless "2" has been written to run */
    void (*fn)(void);    /* called before the first */
} writes;

int __real_nv_tree_write(const struct nv_tree *tree, const char *path, const char *text);
int __wrap_nv_tree_write(const struct nv_tree *tree, const char *path, const char *text);

int __wrap_nv_tree_write(const struct nv_tree *t, const char *path, const char *text)
{
    const char *name = strrchr(path, '/') + 1;
    size_t used = strlen(writes.log);
    void (*fn)(void) = writes.fn;

    writes.fn = NULL;
    if (fn)
        fn();
    snprintf(writes.log + used, sizeof(writes.log) - used, "%s=%.*s ", name,
             (int)strcspn(text, "\n"), text);
    if (writes.name && strcmp(name, writes.name) == 0 &&
        !(writes.is_only_shared && strstr(writes.log, "run=2 ")))
        return writes.error;
    return __real_nv_tree_write(t, path, text);
}

/* What somebody else does just before a record is written. */
static void (*before_record)(void);

int __real_nv_ksm_write_record(const struct nv_tree *tree, const struct nv_ksm_place *place,
                               const struct nestvirt_ksm_settings *former,
                               struct nestvirt_error **ret_error);
int __wrap_nv_ksm_write_record(const struct nv_tree *tree, const struct nv_ksm_place *place,
                               const struct nestvirt_ksm_settings *former,
                               struct nestvirt_error **ret_error);

int __wrap_nv_ksm_write_record(const struct nv_tree *t, const struct nv_ksm_place *place,
                               const struct nestvirt_ksm_settings *former,
                               struct nestvirt_error **ret_error)
{
    if (before_record)
        before_record();
    return __real_nv_ksm_write_record(t, place, former, ret_error);
}

static void setup(void)
{
    static const char *const folders[] = {
        "sys",  "sys/kernel", "sys/kernel/mm",   "sys/kernel/mm/ksm",
        "proc", "proc/sys",   "proc/sys/kernel", "proc/sys/kernel/random",
        "run"
    };

    snprintf(root, sizeof(root), "/tmp/nestvirt-ksm-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(root));
    for (size_t i = 0; i < NV_ARRAY_SIZE(folders); i++)
        make_folder(folders[i]);
    put("proc/sys/kernel/random/boot_id", "01234567-89ab-cdef-0123-456789abcdef\n");
    set_alive(true);
    snprintf(record, sizeof(record), "%s/run/record", root);
    ck_nv_ok(nv_tree_open(root, &tree, &error));
    memset(&writes, 0, sizeof(writes));
    before_record = NULL;
}

static void teardown(void)
{
    nv_tree_close(&tree);
    nftw(root, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static struct nestvirt_ksm_token *change(const struct nestvirt_ksm_settings *settings)
{
    struct nestvirt_ksm_token *token = NULL;

    ck_nv_ok(nv_ksm_set(&tree, settings, record, &token, &error));
    ck_assert_ptr_nonnull(token);
    ck_nv_ok(nv_tree_open(root, &tree, &error)); /* the token has the other */
    return token;
}

static void expect_refused(const struct nestvirt_ksm_settings *settings, int code, const char *text)
{
    struct nestvirt_ksm_token *token = NULL;

    ck_nv_fails_with(nv_ksm_set(&tree, settings, record, &token, &error), code, text);
    ck_assert_ptr_null(token);
}

static const struct nestvirt_ksm_settings tuned = {
    .size = sizeof(tuned),
    .flags = NESTVIRT_KSM_RUN | NESTVIRT_KSM_PAGES_TO_SCAN | NESTVIRT_KSM_SLEEP_MS,
    .run = NESTVIRT_KSM_MERGE,
    .pages_to_scan = 5000,
    .sleep_ms = 1,
};

#endif
