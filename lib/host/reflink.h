/* SPDX-License-Identifier: Apache-2.0 */
/* Owns copies of files that share their blocks with the original until one of them is written. */
#ifndef NV_HOST_REFLINK_H
#define NV_HOST_REFLINK_H

#include <stdbool.h>

#include <nestvirt/error.h>

/*
 * Makes the empty file `to` a reflink of the file `from`: 0. Where the file system has none, with
 * or_copy a copy with the same holes: 1; else -EOPNOTSUPP, or -EXDEV between two file systems.
 * -EINVAL for what is no regular file, or not empty; -EBADF; those of write(2). After a failure
 * `to` is empty.
 */
int nv_reflink(int from, int to, bool or_copy, struct nestvirt_error **ret_error);

#endif
