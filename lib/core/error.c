/* SPDX-License-Identifier: Apache-2.0 */
/* Owns error objects: making, chaining and handing them out. */
#include "core/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/error_codes.h"

struct nestvirt_error {
    int code;
    int sys_errno;
    bool is_static;
    struct nestvirt_error *next;
    const char *object;
    const char *hint;
    const char *message;
    char texts[]; /* the three texts, one after the other */
};

/* Stands in when there is no memory for an error object. Never written to. */
static const struct nestvirt_error out_of_memory = {
    .code = -ENOMEM,
    .sys_errno = ENOMEM,
    .is_static = true,
    .object = "",
    .hint = "free memory in this process or on the host",
    .message = "out of memory while making an error object; free memory in this process or on "
               "the host",
};

struct nv_text nv_text(const char *format, ...)
{
    struct nv_text text;
    va_list args;

    va_start(args, format);
    if (vsnprintf(text.s, sizeof(text.s), format, args) < 0)
        text.s[0] = '\0';
    va_end(args);
    return text;
}

static struct nestvirt_error *error_new(int code, int sys_errno, const char *object,
                                        const char *hint, const char *message)
{
    size_t object_size = strlen(object) + 1;
    size_t hint_size = strlen(hint) + 1;
    size_t message_size = strlen(message) + 1;
    struct nestvirt_error *error = malloc(sizeof(*error) + object_size + hint_size + message_size);

    if (!error)
        return (struct nestvirt_error *)&out_of_memory;
    *error = (struct nestvirt_error){ .code = code, .sys_errno = sys_errno };
    error->object = memcpy(error->texts, object, object_size);
    error->hint = memcpy(error->texts + object_size, hint, hint_size);
    error->message = memcpy(error->texts + object_size + hint_size, message, message_size);
    return error;
}

static int fail(struct nestvirt_error **ret_error, int code, int sys_errno, const char *object,
                const char *hint, const char *problem)
{
    char message[1024];

    if (!ret_error)
        return code;
    object = object ? object : "";
    hint = hint ? hint : "";
    snprintf(message, sizeof(message), "%s%s%s%s%s", object, object[0] ? ": " : "", problem,
             hint[0] ? "; " : "", hint);
    *ret_error = error_new(code, sys_errno, object, hint, message);
    return code;
}

int nv_fail(struct nestvirt_error **ret_error, int code, const char *object, const char *hint,
            const char *format, ...)
{
    char problem[640];
    va_list args;

    va_start(args, format);
    if (vsnprintf(problem, sizeof(problem), format, args) < 0)
        problem[0] = '\0';
    va_end(args);
    return fail(ret_error, code, 0, object, hint, problem);
}

int nv_fail_sys(struct nestvirt_error **ret_error, int sys_errno, const char *object,
                const char *call, const char *hint)
{
    char problem[256];
    const char *name = strerrorname_np(sys_errno);
    const char *text = strerrordesc_np(sys_errno);

    if (sys_errno <= 0)
        sys_errno = EIO;
    snprintf(problem, sizeof(problem), "%s: %s (%s)", call, text ? text : "unknown error",
             name ? name : "?");
    return fail(ret_error, -sys_errno, sys_errno, object, hint, problem);
}

int nv_ok(struct nestvirt_error **ret_error)
{
    if (ret_error)
        *ret_error = NULL;
    return 0;
}

void nv_error_append(struct nestvirt_error **list, struct nestvirt_error *error)
{
    struct nestvirt_error *last = *list;

    if (!error)
        return;
    if (!last) {
        *list = error;
        return;
    }
    if (error->is_static) /* the static object cannot be chained twice: the list says enough */
        return;
    if (last->is_static) {
        *list = error;
        return;
    }
    while (last->next)
        last = last->next;
    last->next = error;
}

/* True if an error's object is, or begins with, the one of this name. */
static bool is_of(const struct nestvirt_error *error, const char *name)
{
    size_t length = strlen(name);

    return strncmp(error->object, name, length) == 0 &&
           (error->object[length] == '\0' || error->object[length] == ':');
}

static void prefix_one(struct nestvirt_error **error, const char *prefix)
{
    struct nestvirt_error *old = *error;
    struct nestvirt_error *fresh;
    char object[NV_TEXT_SIZE * 2];
    char message[1280];

    if (is_of(old, prefix))
        return;
    snprintf(object, sizeof(object), "%s%s%s", prefix, old->object[0] ? ": " : "", old->object);
    snprintf(message, sizeof(message), "%s: %s", prefix, old->message);
    fresh = error_new(old->code, old->sys_errno, object, old->hint, message);
    if (fresh->is_static)
        return;
    fresh->next = old->next;
    free(old);
    *error = fresh;
}

void nv_error_prefix(struct nestvirt_error **error, const char *prefix)
{
    for (; error && *error && !(*error)->is_static; error = &(*error)->next)
        prefix_one(error, prefix);
}

int nv_error_give(struct nestvirt_error *list, struct nestvirt_error **ret_error)
{
    int code;

    if (!list)
        return 0;
    code = list->next ? NESTVIRT_E_INVALID_VM : list->code;
    if (ret_error)
        *ret_error = list;
    else
        nv_error_free(list);
    return code;
}

int nv_error_get_code(const struct nestvirt_error *error)
{
    return error ? error->code : -EFAULT;
}

int nv_error_get_errno(const struct nestvirt_error *error)
{
    return error ? error->sys_errno : 0;
}

const char *nv_error_get_message(const struct nestvirt_error *error)
{
    return error ? error->message : "";
}

const char *nv_error_get_object(const struct nestvirt_error *error)
{
    return error ? error->object : "";
}

const char *nv_error_get_hint(const struct nestvirt_error *error)
{
    return error ? error->hint : "";
}

const struct nestvirt_error *nv_error_get_next(const struct nestvirt_error *error)
{
    return error ? error->next : NULL;
}

void nv_error_free(struct nestvirt_error *error)
{
    while (error && !error->is_static) {
        struct nestvirt_error *next = error->next;

        free(error);
        error = next;
    }
}

static const struct {
    int code;
    const char *name;
    const char *text;
} codes[] = {
#define ROW(name, value, text) { value, #name, text },
    NV_ERROR_CODES(ROW)
#undef ROW
};

const char *nv_error_code_name(int code)
{
    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++)
        if (codes[i].code == code)
            return codes[i].name;
    if (code < 0 && code > -4000 && strerrorname_np(-code))
        return strerrorname_np(-code);
    return "UNKNOWN";
}

const char *nv_error_code_text(int code)
{
    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++)
        if (codes[i].code == code)
            return codes[i].text;
    if (code < 0 && code > -4000 && strerrordesc_np(-code))
        return strerrordesc_np(-code);
    return "unknown code";
}
