/* SPDX-License-Identifier: Apache-2.0 */
/* Owns what the kernel's text files say: their lines, fields, words, counts and limits. */
#ifndef NV_HOST_FACTS_H
#define NV_HOST_FACTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "host/tree.h"

enum {
    NV_LINE_MAX = 8192,              /* what is longer is cut: flags of processors have 3,000 */
    NV_FACTS_BYTES_MAX = 8 * 1048576 /* of one file; modules.dep of distributions has 1 MiB */
};

/*
 * Calls fn with each line, without its newline, until fn answers something else than 0; that, 0 at
 * the end (or after NV_FACTS_BYTES_MAX), or -errno.
 */
int nv_facts_lines(const struct nv_tree *tree, const char *path,
                   int (*fn)(void *data, const char *line), void *data);

/*
 * The text behind the first "key : value" of a file, without blanks around it, cut at size.
 * -ENOENT if no line has the key, or what nv_tree_read() answers.
 */
int nv_facts_field(const struct nv_tree *tree, const char *path, const char *key, char *value,
                   size_t size);

/* The whole of a small file without blanks around it. -errno. */
int nv_facts_text(const struct nv_tree *tree, const char *path, char *text, size_t size);

/* The decimal number that a text begins with, blanks before it allowed. False: there is none. */
bool nv_facts_number(const char *text, uint64_t *ret_number);

/* True if text holds word between blanks, commas or ends. */
bool nv_facts_has_word(const char *text, const char *word);

/* Lines of a file; entries of a folder but for "." and "..". -errno. */
int nv_facts_count_lines(const struct nv_tree *tree, const char *path, uint64_t *ret_count);
int nv_facts_count_entries(const struct nv_tree *tree, const char *path, uint64_t *ret_count);

/* Calls fn with the name of each entry of a folder, until it answers something else than 0. */
int nv_facts_entries(const struct nv_tree *tree, const char *path,
                     int (*fn)(void *data, const char *name), void *data);

/* A limit of this process, by the name it has in proc/self/limits. UINT64_MAX: unlimited. */
int nv_facts_limit(const struct nv_tree *tree, const char *name, uint64_t *ret_soft,
                   uint64_t *ret_hard);

/* True if the process may read and write the file by its permissions; nothing is opened. -errno. */
int nv_facts_may_use(const struct nv_tree *tree, const char *path);

#endif
