/* SPDX-License-Identifier: Apache-2.0 */
/* Proves error objects: texts, lists, prefixes, and the table of codes. */
#include <errno.h>
#include <string.h>

#include "core/error.h"
#include "core/error_codes.h"
#include "support.h"

static const struct {
    int code;
    const char *name;
    const char *text;
} rows[] = {
#define ROW(name, value, text) { value, #name, text },
    NV_ERROR_CODES(ROW)
#undef ROW
};

enum { ROWS = sizeof(rows) / sizeof(rows[0]) };

START_TEST(test_each_code_has_one_name_and_text)
{
    ck_assert_int_lt(rows[_i].code, 0);
    ck_assert_str_eq(nestvirt_error_code_name(rows[_i].code), rows[_i].name);
    ck_assert_str_eq(nestvirt_error_code_text(rows[_i].code), rows[_i].text);
    ck_assert_int_gt(strlen(rows[_i].text), 5);
    for (int k = 0; k < ROWS; k++) {
        if (k == _i)
            continue;
        ck_assert_int_ne(rows[k].code, rows[_i].code);
        ck_assert_str_ne(rows[k].name, rows[_i].name);
        ck_assert_str_ne(rows[k].text, rows[_i].text);
    }
}
END_TEST

/* Never renumbered: programs have these values compiled in. */
START_TEST(test_codes_of_the_library)
{
    ck_assert_int_eq(NESTVIRT_E_BUG, -4000);
    ck_assert_int_eq(NESTVIRT_E_NO_INTERRUPT_PIN, -4001);
    ck_assert_int_eq(NESTVIRT_E_VCPU_STUCK, -4002);
    ck_assert_int_eq(NESTVIRT_E_BAD_STATE, -4004);
    ck_assert_str_eq(nestvirt_error_code_name(-4004), "NESTVIRT_E_BAD_STATE");
    ck_assert_int_eq(NESTVIRT_E_INVALID_VM, -4003);
    ck_assert_str_eq(nestvirt_error_code_name(-4003), "NESTVIRT_E_INVALID_VM");
}
END_TEST

START_TEST(test_other_codes)
{
    static const int unknown[] = { 0, 1, 22, -3999, -4005, -100000, INT32_MIN, INT32_MAX };

    for (size_t i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++) {
        ck_assert_str_eq(nestvirt_error_code_text(unknown[i]),
                         unknown[i] == 0 ? nestvirt_error_code_text(0) : "unknown code");
        ck_assert_str_eq(nestvirt_error_code_name(unknown[i]), "UNKNOWN");
    }
    ck_assert_str_eq(nestvirt_error_code_name(-EPIPE), "EPIPE"); /* errno values not in the table */
}
END_TEST

START_TEST(test_null_is_allowed)
{
    ck_assert_int_eq(nestvirt_error_get_code(NULL), -EFAULT);
    ck_assert_int_eq(nestvirt_error_get_errno(NULL), 0);
    ck_assert_str_eq(nestvirt_error_get_message(NULL), "");
    ck_assert_str_eq(nestvirt_error_get_object(NULL), "");
    ck_assert_str_eq(nestvirt_error_get_hint(NULL), "");
    ck_assert_ptr_null(nestvirt_error_get_next(NULL));
    nestvirt_error_free(NULL);
    ck_assert_int_eq(nv_fail(NULL, -EINVAL, "a", "b", "c"), -EINVAL);
    ck_assert_int_eq(nv_ok(NULL), 0);
}
END_TEST

START_TEST(test_parts_of_an_error)
{
    struct nestvirt_error *error = NULL;

    ck_assert_int_eq(nv_fail(&error, -EINVAL, "thing 3", "use 2", "is %d", 17), -EINVAL);
    ck_assert_int_eq(nestvirt_error_get_code(error), -EINVAL);
    ck_assert_int_eq(nestvirt_error_get_errno(error), 0);
    ck_assert_str_eq(nestvirt_error_get_object(error), "thing 3");
    ck_assert_str_eq(nestvirt_error_get_hint(error), "use 2");
    ck_assert_str_eq(nestvirt_error_get_message(error), "thing 3: is 17; use 2");
    nestvirt_error_free(error);
    nv_fail(&error, -EINVAL, NULL, NULL, "bare");
    ck_assert_str_eq(nestvirt_error_get_message(error), "bare");
    ck_assert_str_eq(nestvirt_error_get_object(error), "");
    ck_assert_str_eq(nestvirt_error_get_hint(error), "");
    nestvirt_error_free(error);
}
END_TEST

START_TEST(test_system_calls)
{
    struct nestvirt_error *error = NULL;

    ck_assert_int_eq(nv_fail_sys(&error, EMFILE, "vcpu 0", "eventfd", "raise"), -EMFILE);
    ck_assert_int_eq(nestvirt_error_get_code(error), -EMFILE);
    ck_assert_int_eq(nestvirt_error_get_errno(error), EMFILE);
    ck_assert_str_eq(nestvirt_error_get_message(error),
                     "vcpu 0: eventfd: Too many open files (EMFILE); raise");
    nestvirt_error_free(error);
    ck_assert_int_eq(nv_fail_sys(&error, 0, "x", "call", ""), -EIO); /* never a success */
    nestvirt_error_free(error);
    ck_assert_int_eq(nv_fail_sys(&error, 9999, "x", "call", ""), -9999);
    ck_assert_ptr_nonnull(strstr(nestvirt_error_get_message(error), "unknown error"));
    nestvirt_error_free(error);
}
END_TEST

START_TEST(test_lists)
{
    struct nestvirt_error *list = NULL;
    const struct nestvirt_error *row;

    nv_error_append(&list, NULL);
    ck_assert_ptr_null(list);
    for (int i = 1; i <= 5; i++) {
        struct nestvirt_error *error = NULL;

        nv_fail(&error, -i, "row", NULL, "number %d", i);
        nv_error_append(&list, error);
    }
    nv_error_append(&list, NULL);
    row = list;
    for (int i = 1; i <= 5; i++) {
        ck_assert_int_eq(nestvirt_error_get_code(row), -i);
        row = nestvirt_error_get_next(row);
    }
    ck_assert_ptr_null(row);
    nestvirt_error_free(list); /* all of them: a leak checker would tell */
}
END_TEST

START_TEST(test_prefix)
{
    struct nestvirt_error *list = NULL;
    struct nestvirt_error *second = NULL;

    nv_error_prefix(NULL, "x");
    nv_error_prefix(&list, "x");
    ck_assert_ptr_null(list);
    nv_fail_sys(&list, ENOMEM, "region 2", "mmap", "less");
    nv_fail(&second, -EBUSY, "", "", "busy");
    nv_error_append(&list, second);
    nv_error_prefix(&list, "vm a");
    ck_assert_str_eq(nestvirt_error_get_object(list), "vm a: region 2");
    ck_assert_ptr_eq(strstr(nestvirt_error_get_message(list), "vm a: region 2: mmap"),
                     nestvirt_error_get_message(list));
    ck_assert_str_eq(nestvirt_error_get_hint(list), "less");
    ck_assert_int_eq(nestvirt_error_get_errno(list), ENOMEM);
    ck_assert_int_eq(nestvirt_error_get_code(list), -ENOMEM);
    ck_assert_str_eq(nestvirt_error_get_object(nestvirt_error_get_next(list)), "vm a");
    ck_assert_str_eq(nestvirt_error_get_message(nestvirt_error_get_next(list)), "vm a: busy");
    nv_error_prefix(&list, "vm a"); /* not twice */
    ck_assert_str_eq(nestvirt_error_get_object(list), "vm a: region 2");
    nv_error_prefix(&list, "vm"); /* which is another name */
    ck_assert_str_eq(nestvirt_error_get_object(list), "vm: vm a: region 2");
    nestvirt_error_free(list);
}
END_TEST

START_TEST(test_long_texts_are_cut)
{
    char text[5000];
    struct nestvirt_error *error = NULL;

    memset(text, 'x', sizeof(text));
    text[sizeof(text) - 1] = '\0';
    ck_assert_int_eq(nv_fail(&error, -EINVAL, text, text, "%s", text), -EINVAL);
    ck_assert_int_lt(strlen(nestvirt_error_get_message(error)), 2000);
    nv_error_prefix(&error, text);
    ck_assert_int_lt(strlen(nestvirt_error_get_message(error)), 2000);
    nestvirt_error_free(error);
    ck_assert_int_eq(strlen(nv_text("%s", text).s), NV_TEXT_SIZE - 1);
    ck_assert_str_eq(nv_text("a %d", 5).s, "a 5");
}
END_TEST

START_TEST(test_giving_a_list)
{
    struct nestvirt_error *list = NULL;
    struct nestvirt_error *more = NULL;
    struct nestvirt_error *given = NULL;

    ck_assert_int_eq(nv_error_give(NULL, &given), 0);
    ck_assert_ptr_null(given);
    nv_fail(&list, -EEXIST, "a", "b", "c");
    ck_assert_int_eq(nv_error_give(list, &given), -EEXIST);
    nv_fail(&more, -EINVAL, "a", "b", "c");
    nv_error_append(&given, more);
    ck_assert_int_eq(nv_error_give(given, NULL), NESTVIRT_E_INVALID_VM); /* and frees them */
}
END_TEST

Suite *nv_test_suite(void)
{
    Suite *suite = suite_create("core_error");
    TCase *tcase = support_case(suite, "error", 30);

    tcase_add_loop_test(tcase, test_each_code_has_one_name_and_text, 0, ROWS);
    tcase_add_test(tcase, test_codes_of_the_library);
    tcase_add_test(tcase, test_other_codes);
    tcase_add_test(tcase, test_null_is_allowed);
    tcase_add_test(tcase, test_parts_of_an_error);
    tcase_add_test(tcase, test_system_calls);
    tcase_add_test(tcase, test_lists);
    tcase_add_test(tcase, test_prefix);
    tcase_add_test(tcase, test_long_texts_are_cut);
    tcase_add_test(tcase, test_giving_a_list);
    return suite;
}
