/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the functions that the library calls back, and the cells by which they find what to call in Go. */
#ifndef NESTVIRT_GO_CALLBACKS_H
#define NESTVIRT_GO_CALLBACKS_H

#include "abi.h"

/* The functions of callbacks.go, as the library takes them. */
typedef int32_t (*go_access_function)(void *user_data, struct nestvirt_access *access);
typedef int32_t (*go_exit_function)(void *user_data, struct nestvirt_exit *exit);
typedef void (*go_log_function)(void *user_data, uint32_t level, const char *text);
typedef void (*go_free_function)(void *user_data);

go_access_function go_access(void);
go_exit_function go_exit(void);
go_log_function go_log(void);
go_free_function go_free(void);

#endif
