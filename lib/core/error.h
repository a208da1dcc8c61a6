/* SPDX-License-Identifier: Apache-2.0 */
/* Owns error objects: making, chaining and handing them out. */
#ifndef NV_CORE_ERROR_H
#define NV_CORE_ERROR_H

#include <stddef.h>

#include <nestvirt/error.h>

enum { NV_TEXT_SIZE = 128 };

/* A short text by value, for object names built in an argument list. */
struct nv_text {
    char s[NV_TEXT_SIZE];
};

/* Formats a short text; cut off at the end if too long. */
struct nv_text nv_text(const char *format, ...) __attribute__((format(printf, 1, 2)));

/*
 * Makes an error and stores it in *ret_error (unless NULL). The message becomes
 * "object: problem; hint". Returns code.
 */
int nv_fail(struct nestvirt_error **ret_error, int code, const char *object, const char *hint,
            const char *format, ...) __attribute__((format(printf, 5, 6)));

/*
 * The same for a failed system call: sys_errno is the positive errno, call names the call.
 * Returns -sys_errno.
 */
int nv_fail_sys(struct nestvirt_error **ret_error, int sys_errno, const char *object,
                const char *call, const char *hint);

/* Stores success: *ret_error = NULL. Returns 0. */
int nv_ok(struct nestvirt_error **ret_error);

/* Appends an error (may be NULL) to a list; *list may be NULL. Takes error over. */
void nv_error_append(struct nestvirt_error **list, struct nestvirt_error *error);

/*
 * Hands a list to the caller: 0 for NULL, the code of the only error, or NESTVIRT_E_INVALID_VM.
 * Takes the list over; frees it if ret_error is NULL.
 */
int nv_error_give(struct nestvirt_error *list, struct nestvirt_error **ret_error);

/* What the public accessors of the same names give. */
int nv_error_get_code(const struct nestvirt_error *error);
int nv_error_get_errno(const struct nestvirt_error *error);
const char *nv_error_get_message(const struct nestvirt_error *error);
const char *nv_error_get_object(const struct nestvirt_error *error);
const char *nv_error_get_hint(const struct nestvirt_error *error);
const struct nestvirt_error *nv_error_get_next(const struct nestvirt_error *error);
void nv_error_free(struct nestvirt_error *error);
const char *nv_error_code_name(int code);
const char *nv_error_code_text(int code);

/*
 * Puts "prefix: " before the object and message of an error and those behind it, except where it
 * stands already. Does nothing on NULL or out of memory.
 */
void nv_error_prefix(struct nestvirt_error **error, const char *prefix);

#endif
