/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the door of error.h. */
#include "api/api.h"

NV_EXPORT int nestvirt_error_get_code(const struct nestvirt_error *error)
{
    return nv_error_get_code(error);
}

NV_EXPORT int nestvirt_error_get_errno(const struct nestvirt_error *error)
{
    return nv_error_get_errno(error);
}

NV_EXPORT const char *nestvirt_error_get_message(const struct nestvirt_error *error)
{
    return nv_error_get_message(error);
}

NV_EXPORT const char *nestvirt_error_get_object(const struct nestvirt_error *error)
{
    return nv_error_get_object(error);
}

NV_EXPORT const char *nestvirt_error_get_hint(const struct nestvirt_error *error)
{
    return nv_error_get_hint(error);
}

NV_EXPORT const struct nestvirt_error *nestvirt_error_get_next(const struct nestvirt_error *error)
{
    return nv_error_get_next(error);
}

NV_EXPORT void nestvirt_error_free(struct nestvirt_error *error)
{
    nv_error_free(error);
}

NV_EXPORT const char *nestvirt_error_code_name(int code)
{
    return nv_error_code_name(code);
}

NV_EXPORT const char *nestvirt_error_code_text(int code)
{
    return nv_error_code_text(code);
}
