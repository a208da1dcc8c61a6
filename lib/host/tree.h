/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the kernel's small files (proc, sys, cgroup) under a root that tests put elsewhere. */
#ifndef NV_HOST_TREE_H
#define NV_HOST_TREE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <nestvirt/error.h>

#include "host/list.h"

/* A folder to look in; closed: fd -1. */
struct nv_tree {
    int fd;
};

/* Opens root, NULL for "/". -errno with a text. */
int nv_tree_open(const char *root, struct nv_tree *ret_tree, struct nestvirt_error **ret_error);
void nv_tree_close(struct nv_tree *tree);

/*
 * Reads a small file, path relative to the root ("sys/kernel/mm/ksm/run"), into size bytes with a
 * closing zero; what is longer is cut off. Never blocks: -EINVAL for a pipe or a device, -EISDIR.
 * Links and ".." stay within the root. Returns the length, or -errno.
 */
ssize_t nv_tree_read(const struct nv_tree *tree, const char *path, char *buffer, size_t size);

/* The same, for one decimal number or one list. -EINVAL if it is something else. */
int nv_tree_read_u64(const struct nv_tree *tree, const char *path, uint64_t *ret_value);
int nv_tree_read_list(const struct nv_tree *tree, const char *path, struct nv_set *ret_set);

/* Writes text to an existing file in one call. 0 or -errno. */
int nv_tree_write(const struct nv_tree *tree, const char *path, const char *text);

/* Opens something below the root with flags of open(); its descriptor, close-on-exec, or -errno. */
int nv_tree_open_at(const struct nv_tree *tree, const char *path, int flags);

/*
 * The same for a regular file: -EISDIR for a folder, -EINVAL for what else there is, such as a
 * pipe, which is neither waited for nor started.
 */
int nv_tree_open_file(const struct nv_tree *tree, const char *path, int flags);

#endif
