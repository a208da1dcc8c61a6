/* SPDX-License-Identifier: Apache-2.0 */
/* Owns what every test program shares: its main, leak-counting cases, checks on errors. */
#ifndef TESTS_SUPPORT_SUPPORT_H
#define TESTS_SUPPORT_SUPPORT_H

#include <check.h>
#include <stdint.h>

#include <nestvirt/nestvirt.h>

/* Each test file makes its one suite; main.c runs it. */
Suite *nv_test_suite(void);

/*
 * A case whose tests each fail if they leave descriptors, threads or mappings behind. timeout in
 * seconds.
 */
TCase *support_case(Suite *suite, const char *name, double timeout);

/* Ends the program with status 77 and the reason: for what this machine lacks. */
void support_skip(const char *reason) __attribute__((noreturn));

/* The same for how a host is made, which no package and no right changes: counted as a skip even
 * where KVM is there. */
void support_skip_host(const char *reason) __attribute__((noreturn));

/* True under valgrind, which plays some of the kernel's part itself and slows everything down. */
int support_is_valgrind(void);

/* How often to do what is done over and over: a twentieth under valgrind, and at least once. */
uint32_t support_rounds(uint32_t count);

/* For test programs that need /dev/kvm: skips without it, opens the host with it. */
struct nestvirt_host *support_host(void);

/* Fails the test with the error's message if r is negative. */
#define ck_nv_ok(call)                                                                          \
    do {                                                                                        \
        struct nestvirt_error *error = NULL;                                                    \
        int ck_r = (call);                                                                      \
        ck_assert_msg(ck_r >= 0, "%s: %d: %s", #call, ck_r, nestvirt_error_get_message(error)); \
        ck_assert_ptr_null(error);                                                              \
    } while (0)

/* Fails unless the call returns code and its error agrees and has a message. */
#define ck_nv_fails(call, code)                                           \
    do {                                                                  \
        struct nestvirt_error *error = NULL;                              \
        int ck_r = (call);                                                \
        ck_assert_msg(ck_r == (code), "%s: %d (%s), not %d", #call, ck_r, \
                      nestvirt_error_get_message(error), (int)(code));    \
        ck_assert_ptr_nonnull(error);                                     \
        ck_assert_int_eq(nestvirt_error_get_code(error), (code));         \
        ck_assert_int_gt(strlen(nestvirt_error_get_message(error)), 10);  \
        nestvirt_error_free(error);                                       \
    } while (0)

/* As ck_nv_fails, and the message contains text. */
#define ck_nv_fails_with(call, code, text)                                                    \
    do {                                                                                      \
        struct nestvirt_error *error = NULL;                                                  \
        int ck_r = (call);                                                                    \
        ck_assert_msg(ck_r == (code), "%s: %d (%s), not %d", #call, ck_r,                     \
                      nestvirt_error_get_message(error), (int)(code));                        \
        ck_assert_msg(strstr(nestvirt_error_get_message(error), text), "no \"%s\" in \"%s\"", \
                      text, nestvirt_error_get_message(error));                               \
        nestvirt_error_free(error);                                                           \
    } while (0)

#endif
