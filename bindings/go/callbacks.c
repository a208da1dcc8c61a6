/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the addresses of the exported Go functions, with the library's types. */
#include "callbacks.h"

#include "_cgo_export.h"

static int32_t access_in_go(void *user_data, struct nestvirt_access *access)
{
    return goNestvirtAccess(user_data, access);
}

static int32_t exit_in_go(void *user_data, struct nestvirt_exit *exit)
{
    return goNestvirtExit(user_data, exit);
}

static void log_in_go(void *user_data, uint32_t level, const char *text)
{
    goNestvirtLog(user_data, level, (char *)text);
}

static void free_in_go(void *user_data)
{
    goNestvirtFree(user_data);
}

go_access_function go_access(void)
{
    return access_in_go;
}

go_exit_function go_exit(void)
{
    return exit_in_go;
}

go_log_function go_log(void)
{
    return log_in_go;
}

go_free_function go_free(void)
{
    return free_in_go;
}
