/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the rules of size-first structures: the only place that reads their `size`. */
#ifndef NV_CORE_STRUCTS_H
#define NV_CORE_STRUCTS_H

#include <stddef.h>

#include <nestvirt/error.h>

/*
 * Copies a caller's structure into ours. first_size is the structure's size in its first release,
 * known_size ours; what the caller lacks becomes zero. name is for messages.
 * -EFAULT for NULL, -EINVAL for a short size, -E2BIG for a non-zero unknown tail.
 */
int nv_struct_in(void *ours, size_t known_size, size_t first_size, const void *callers,
                 const char *name, struct nestvirt_error **ret_error);

/*
 * Copies our structure out to the caller's: min(caller's size, ours) bytes; the caller's size
 * field stays, a longer tail is zeroed. Checks as nv_struct_in, but for the tail.
 */
int nv_struct_out(void *callers, const void *ours, size_t known_size, size_t first_size,
                  const char *name, struct nestvirt_error **ret_error);

/* Checks a caller's output structure alone, before the work that fills it. */
int nv_struct_check(const void *callers, size_t first_size, const char *name,
                    struct nestvirt_error **ret_error);

/*
 * Zeroes a caller's structure of caller_size bytes and stores that size; nothing is written to
 * NULL or to less than four bytes.
 */
void nv_struct_init(void *callers, size_t caller_size);

#endif
