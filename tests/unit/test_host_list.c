/* SPDX-License-Identifier: Apache-2.0 */
/* Proves the lists of CPUs and nodes, and the kernel's files under an injected root. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/error.h"
#include "host/list.h"
#include "host/tree.h"
#include "support.h"

static const char *again(const char *text)
{
    static char out[256];
    struct nv_set set;

    ck_assert_int_eq(nv_list_parse(text, "CPU", &set, NULL), 0);
    ck_assert_uint_eq(nv_list_format(&set, out, sizeof(out)), strlen(out));
    return out;
}

START_TEST(test_lists)
{
    ck_assert_str_eq(again("0"), "0");
    ck_assert_str_eq(again("0-3,8"), "0-3,8");
    ck_assert_str_eq(again("8,3,0,2,1"), "0-3,8");
    ck_assert_str_eq(again(" 1,1,1-1\n"), "1");
    ck_assert_str_eq(again("0-8:4"), "0,4,8");
    ck_assert_str_eq(again("0-9:4"), "0,4,8");
    ck_assert_str_eq(again("63-64,127-128"), "63-64,127-128");
    ck_assert_str_eq(again("8191"), "8191");
    ck_assert_str_eq(again("0-8191"), "0-8191");
}
END_TEST

START_TEST(test_malformed)
{
    static const char *const texts[] = {
        "a",      "0-",    "-1",   "3-1",  "0,,1", "0,",    ",0", "0 1", "8192",
        "0-8192", "0-3:0", "0-3:", "0-3x", "0x1",  "1-2-3", "+1", "1;2", "99999999999999999999999"
    };

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct nestvirt_error *error;
        struct nv_set set = { { 5 } };

        ck_assert_int_eq(nv_list_parse(texts[i], "CPU", &set, &error), -EINVAL);
        ck_assert_ptr_nonnull(strstr(nv_error_get_message(error), "CPU list"));
        ck_assert_ptr_nonnull(strstr(nv_error_get_message(error), "0-3,8"));
        ck_assert_uint_eq(set.words[0], 5);
        nv_error_free(error);
    }
}
END_TEST

START_TEST(test_empty)
{
    struct nestvirt_error *error;
    struct nv_set set;

    ck_assert_int_eq(nv_list_parse("", "node", &set, &error), -EINVAL);
    ck_assert_ptr_nonnull(strstr(nv_error_get_message(error), "is empty"));
    nv_error_free(error);
    ck_assert_int_eq(nv_list_parse(" \n", "node", &set, NULL), -EINVAL);
    ck_assert_int_eq(nv_list_parse_kernel("\n", &set), 0);
    ck_assert(nv_set_is_empty(&set));
    ck_assert_uint_eq(nv_list_format(&set, NULL, 0), 0);
}
END_TEST

START_TEST(test_cut_off)
{
    struct nv_set set;
    char out[4];

    ck_assert_int_eq(nv_list_parse("1,3,5", "CPU", &set, NULL), 0);
    ck_assert_uint_eq(nv_list_format(&set, out, sizeof(out)), 5);
    ck_assert_str_eq(out, "1,3");
}
END_TEST

START_TEST(test_sets)
{
    struct nv_set a;
    struct nv_set b;
    struct nv_set c;

    ck_assert_int_eq(nv_list_parse("0-3,100", "CPU", &a, NULL), 0);
    ck_assert_int_eq(nv_list_parse("2-3", "CPU", &b, NULL), 0);
    ck_assert_uint_eq(nv_set_count(&a), 5);
    ck_assert(nv_set_is_within(&b, &a));
    ck_assert(!nv_set_is_within(&a, &b));
    c = nv_set_minus(&a, &b);
    ck_assert(nv_set_has(&c, 100) && nv_set_has(&c, 1) && !nv_set_has(&c, 2));
    c = nv_set_and(&a, &b);
    ck_assert(nv_set_is_equal(&c, &b));
    ck_assert_uint_eq(nv_set_next(&a, 4), 100);
    ck_assert_uint_eq(nv_set_next(&a, 101), NV_SET_MAX);
    ck_assert(!nv_set_has(&a, NV_SET_MAX));
    nv_set_add(&a, NV_SET_MAX); /* nothing is written behind the set */
    ck_assert_uint_eq(nv_set_count(&a), 5);
}
END_TEST

static char folder[64];
static struct nv_tree tree;
static int refusal; /* what openat2() fails with; 0: it works */

long __real_syscall(long number, ...);
long __wrap_syscall(long number, long a, long b, long c, long d);

long __wrap_syscall(long number, long a, long b, long c, long d)
{
    if (refusal && number == SYS_openat2) {
        errno = refusal;
        return -1;
    }
    return __real_syscall(number, a, b, c, d);
}

static void put(const char *name, const char *text)
{
    char path[128];
    FILE *file;

    snprintf(path, sizeof(path), "%s/%s", folder, name);
    file = fopen(path, "we");
    ck_assert_ptr_nonnull(file);
    fputs(text, file);
    fclose(file);
}

static void setup(void)
{
    strcpy(folder, "/tmp/nestvirt-tree.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    ck_assert_int_eq(nv_tree_open(folder, &tree, NULL), 0);
}

/* As older kernels, sandboxes, and renames elsewhere do. */
static void setup_without(int error)
{
    refusal = error;
    setup();
}

static void setup_old(void)
{
    setup_without(ENOSYS);
}

static void setup_sandbox(void)
{
    setup_without(EPERM);
}

static void setup_busy(void)
{
    setup_without(EAGAIN);
}

static void teardown(void)
{
    char command[128];

    refusal = 0;
    nv_tree_close(&tree);
    snprintf(command, sizeof(command), "rm -rf %s", folder);
    ck_assert_int_eq(system(command), 0);
}

START_TEST(test_files)
{
    char text[8];
    uint64_t value;
    struct nv_set set;

    put("number", "42\n");
    put("list", "0-1,7\n");
    put("long", "0123456789");
    ck_assert_int_eq(nv_tree_read_u64(&tree, "number", &value), 0);
    ck_assert_uint_eq(value, 42);
    ck_assert_int_eq(nv_tree_read_list(&tree, "list", &set), 0);
    ck_assert_uint_eq(nv_set_count(&set), 3);
    ck_assert_int_eq(nv_tree_read(&tree, "long", text, sizeof(text)), 7);
    ck_assert_str_eq(text, "0123456");
    ck_assert_int_eq(nv_tree_read_u64(&tree, "list", &value), -EINVAL);
    ck_assert_int_eq(nv_tree_read_u64(&tree, "absent", &value), -ENOENT);
    put("number", "-1\n");
    ck_assert_int_eq(nv_tree_read_u64(&tree, "number", &value), -EINVAL);
    put("number", "18446744073709551616");
    ck_assert_int_eq(nv_tree_read_u64(&tree, "number", &value), -EINVAL);
    put("number", "");
    ck_assert_int_eq(nv_tree_read_u64(&tree, "number", &value), -EINVAL);
    ck_assert_int_eq(nv_tree_write(&tree, "number", "7"), 0);
    ck_assert_int_eq(nv_tree_read_u64(&tree, "number", &value), 0);
    ck_assert_uint_eq(value, 7);
    ck_assert_int_eq(nv_tree_write(&tree, "absent", "7"), -ENOENT);
}
END_TEST

START_TEST(test_hostile_files)
{
    char path[128];
    char text[8];

    snprintf(path, sizeof(path), "%s/pipe", folder);
    ck_assert_int_eq(mkfifo(path, 0600), 0);
    ck_assert_int_eq(nv_tree_read(&tree, "pipe", text, sizeof(text)), -EINVAL);
    ck_assert_int_eq(nv_tree_write(&tree, "pipe", "x"), -ENXIO);
    snprintf(path, sizeof(path), "%s/folder", folder);
    ck_assert_int_eq(mkdir(path, 0700), 0);
    ck_assert_int_eq(nv_tree_read(&tree, "folder", text, sizeof(text)), -EISDIR);
    snprintf(path, sizeof(path), "%s/loop", folder);
    ck_assert_int_eq(symlink("loop", path), 0);
    ck_assert_int_eq(nv_tree_read(&tree, "loop", text, sizeof(text)), -ELOOP);
    /* Links and dots lead nowhere but to the root. */
    snprintf(path, sizeof(path), "%s/out", folder);
    ck_assert_int_eq(symlink("/etc/passwd", path), 0);
    ck_assert_int_eq(nv_tree_read(&tree, "out", text, sizeof(text)), -ENOENT);
    ck_assert_int_eq(nv_tree_read(&tree, "../../etc/passwd", text, sizeof(text)), -ENOENT);
}
END_TEST

START_TEST(test_roots)
{
    struct nestvirt_error *error;
    struct nv_tree other = { -1 };
    char text[64];

    ck_assert_int_eq(nv_tree_open("/nonexistent", &other, &error), -ENOENT);
    ck_assert_ptr_nonnull(strstr(nv_error_get_message(error), "/nonexistent"));
    nv_error_free(error);
    ck_assert_int_eq(nv_tree_open(NULL, &other, NULL), 0);
    ck_assert_int_gt(nv_tree_read(&other, "proc/self/comm", text, sizeof(text)), 0);
    ck_assert_int_gt(nv_tree_read(&other, "/proc/self/comm", text, sizeof(text)), 0);
    nv_tree_close(&other);
    nv_tree_close(&other);
}
END_TEST

static void add_files(Suite *suite, const char *name, void (*begin)(void))
{
    TCase *files = support_case(suite, name, 30);

    tcase_add_checked_fixture(files, begin, teardown);
    tcase_add_test(files, test_files);
    tcase_add_test(files, test_hostile_files);
    tcase_add_test(files, test_roots);
}

Suite *nv_test_suite(void)
{
    Suite *suite = suite_create("host_list");
    TCase *lists = support_case(suite, "lists", 30);

    tcase_add_test(lists, test_lists);
    tcase_add_test(lists, test_malformed);
    tcase_add_test(lists, test_empty);
    tcase_add_test(lists, test_cut_off);
    tcase_add_test(lists, test_sets);
    add_files(suite, "files", setup);
    add_files(suite, "files of an old kernel", setup_old);
    add_files(suite, "files in a sandbox", setup_sandbox);
    add_files(suite, "files on a busy host", setup_busy);
    return suite;
}
