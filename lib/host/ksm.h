/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the host's KSM: its settings, its figures, and that former settings are put back. */
#ifndef NV_HOST_KSM_H
#define NV_HOST_KSM_H

#include <stdbool.h>
#include <stdint.h>

#include <nestvirt/ksm.h>

#include "host/tree.h"

#define NV_KSM_RECORD "/run/nestvirt-ksm"

/* See ksm.h (public) for all; the tree is where the kernel's files are. */
int nv_ksm_read(const struct nv_tree *tree, struct nestvirt_ksm_settings *ret_settings,
                struct nestvirt_error **ret_error);
int nv_ksm_read_stats(const struct nv_tree *tree, struct nestvirt_ksm_stats *ret_stats,
                      struct nestvirt_error **ret_error);

/* Ranges and flags, before anything else. */
int nv_ksm_check(const struct nestvirt_ksm_settings *settings, struct nestvirt_error **ret_error);

/* Takes the tree over if it succeeds. */
int nv_ksm_set(struct nv_tree *tree, const struct nestvirt_ksm_settings *settings,
               const char *record, struct nestvirt_ksm_token **ret_token,
               struct nestvirt_error **ret_error);
int nv_ksm_put_back(struct nestvirt_ksm_token *token);
int nv_ksm_recover(const struct nv_tree *tree, const char *record,
                   struct nestvirt_error **ret_error);

/*
 * Writes settings in the order that the kernel wants; the flags say which. It ends at the first
 * that fails; is_return: they are former ones, as many of which as possible are put back, though
 * pages have to be unmerged for that. -errno with a text.
 */
int nv_ksm_apply(const struct nv_tree *tree, const struct nestvirt_ksm_settings *settings,
                 bool is_return, struct nestvirt_error **ret_error);

/* Reads or prints one line "name value" of a setting; false for a name that is none. */
bool nv_ksm_parse_line(const char *line, struct nestvirt_ksm_settings *settings);
int nv_ksm_print(const struct nestvirt_ksm_settings *settings, char *text, size_t size);

/* Where a record is: its folder, safe to be trusted, and its name there. */
struct nv_ksm_place {
    int folder; /* -1: closed */
    char name[128];
    char path[256]; /* for messages */
};

/* What a record tells. */
struct nv_ksm_record {
    int pid;
    uint64_t start_time;
    char boot[48];
    struct nestvirt_ksm_settings former;
};

int nv_ksm_open_place(const char *record, struct nv_ksm_place *ret_place,
                      struct nestvirt_error **ret_error);

/* -EEXIST if there is one. When it returns, the record is on the disk. */
int nv_ksm_write_record(const struct nv_tree *tree, const struct nv_ksm_place *place,
                        const struct nestvirt_ksm_settings *former,
                        struct nestvirt_error **ret_error);

/* -ENOENT without a text if there is none. */
int nv_ksm_read_record(const struct nv_ksm_place *place, struct nv_ksm_record *ret_record,
                       struct nestvirt_error **ret_error);
int nv_ksm_unlink_record(const struct nv_ksm_place *place);

/*
 * A descriptor that keeps others from putting the record's settings back until it is closed; -EBUSY
 * while somebody does, -ENOENT without a text if there is none any more.
 */
int nv_ksm_lock_record(const struct nv_ksm_place *place, struct nestvirt_error **ret_error);

/* True while the process that wrote it lives; is_old: it is of another boot. */
bool nv_ksm_has_owner(const struct nv_tree *tree, const struct nv_ksm_record *record,
                      bool *ret_is_old);

struct nestvirt_ksm_token {
    uint32_t tag;
    int process; /* of who made it */
    struct nv_tree tree;
    struct nv_ksm_place place;
    struct nestvirt_ksm_settings former;
};

#endif
