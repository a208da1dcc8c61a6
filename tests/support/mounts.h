/* SPDX-License-Identifier: Apache-2.0 */
/* Owns file systems for tests that no path leads to: closing their descriptor ends them. */
#ifndef TESTS_SUPPORT_MOUNTS_H
#define TESTS_SUPPORT_MOUNTS_H

#include <stddef.h>

struct mount_option {
    const char *name;
    const char *value;
};

/*
 * Mounts a file system of this type where nobody sees it, and returns a descriptor of its root for
 * openat() and /proc/self/fd. Options end with the name NULL. -errno.
 */
int mounts_try(const char *type, const struct mount_option *options);

/* A tmpfs with room for so many bytes. Skips the program where this is not allowed. */
int mounts_tmpfs(size_t size);

#endif
