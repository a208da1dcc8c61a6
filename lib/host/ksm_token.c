/* SPDX-License-Identifier: Apache-2.0 */
/* Owns changes of the host's KSM settings that are put back: by their token, or from its record. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/cleanup.h"
#include "core/error.h"
#include "core/tags.h"
#include "host/ksm.h"

/* What is there now of what is to change. An advisor that is left takes pages_to_scan along. */
static int read_former(const struct nv_tree *tree, const struct nestvirt_ksm_settings *settings,
                       struct nestvirt_ksm_settings *ret_former, struct nestvirt_error **ret_error)
{
    uint32_t wanted = settings->flags;
    uint32_t missing;
    int r = nv_ksm_read(tree, ret_former, ret_error);

    if (r < 0)
        return r;
    missing = wanted & ~ret_former->flags;
    if (missing)
        return nv_fail(ret_error, -ENOTSUP, "KSM", "use a later kernel, or leave them out",
                       "this kernel does not have the settings of flags 0x%x", missing);
    if (wanted & NESTVIRT_KSM_ADVISOR_MODE && ret_former->advisor_mode == NESTVIRT_KSM_ADVISOR_NONE)
        wanted |= NESTVIRT_KSM_PAGES_TO_SCAN;
    ret_former->flags &= wanted;
    return 0;
}

/* Whoever cannot write the files needs no record. */
static int check_right(const struct nv_tree *tree, struct nestvirt_error **ret_error)
{
    NV_AUTO_FD fd = nv_tree_open_at(tree, "sys/kernel/mm/ksm/run", O_WRONLY);

    if (fd >= 0)
        return 0;
    return nv_fail_sys(ret_error, -fd, "KSM", "open",
                       fd == -EROFS ? "mount /sys writable" : "only root may change the settings");
}

/* There is a record: whose it is. */
static int refuse(const struct nv_tree *tree, const struct nv_ksm_place *place,
                  struct nestvirt_error **ret_error)
{
    const struct nv_text name = nv_text("KSM record %.80s", place->path);
    struct nv_ksm_record record;
    bool is_old;
    int r = nv_ksm_read_record(place, &record, ret_error);

    if (r < 0 && r != -ENOENT)
        return r;
    if (r == -ENOENT)
        return nv_fail(ret_error, -EBUSY, name.s, "try again", "was there a moment ago");
    if (nv_ksm_has_owner(tree, &record, &is_old))
        return nv_fail(ret_error, -EBUSY, name.s, "wait until it has put the settings back",
                       "process %d has changed the settings", record.pid);
    return nv_fail(ret_error, -ESTALE, name.s, "call nestvirt_ksm_remove_record first",
                   "process %d left it and has died", record.pid);
}

static bool is_same(const struct nestvirt_ksm_settings *a, const struct nestvirt_ksm_settings *b)
{
    char texts[2][1024];

    return nv_ksm_print(a, texts[0], sizeof(texts[0])) > 0 &&
           nv_ksm_print(b, texts[1], sizeof(texts[1])) > 0 && strcmp(texts[0], texts[1]) == 0;
}

/*
 * What was read before the record was ours may have been another program's change, which that has
 * put back since. An advisor chooses pages_to_scan at any time.
 */
static int check_former(const struct nestvirt_ksm_token *token,
                        const struct nestvirt_ksm_settings *settings,
                        struct nestvirt_error **ret_error)
{
    struct nestvirt_ksm_settings now;
    struct nestvirt_ksm_settings former = token->former;
    int r = read_former(&token->tree, settings, &now, ret_error);

    if (r < 0)
        return r;
    if (now.advisor_mode == former.advisor_mode && now.advisor_mode != NESTVIRT_KSM_ADVISOR_NONE)
        former.pages_to_scan = now.pages_to_scan;
    if (is_same(&now, &former))
        return 0;
    return nv_fail(ret_error, -EBUSY, "KSM", "try again",
                   "somebody else has changed the settings just now");
}

static int change(struct nestvirt_ksm_token *token, const struct nestvirt_ksm_settings *settings,
                  struct nestvirt_error **ret_error)
{
    struct nestvirt_error *ignored = NULL;
    int r = nv_ksm_write_record(&token->tree, &token->place, &token->former, &ignored);

    if (r == -EEXIST) {
        nv_error_free(ignored);
        return refuse(&token->tree, &token->place, ret_error);
    }
    if (ret_error)
        *ret_error = ignored;
    else
        nv_error_free(ignored);
    if (r < 0)
        return r;
    r = check_former(token, settings, ret_error);
    if (r < 0) {
        nv_ksm_unlink_record(&token->place);
        return r;
    }
    r = nv_ksm_apply(&token->tree, settings, false, ret_error);
    /* A record stays if even that fails: it is all that is known then. */
    if (r < 0 && nv_ksm_apply(&token->tree, &token->former, true, NULL) == 0)
        nv_ksm_unlink_record(&token->place);
    return r;
}

static void token_free(struct nestvirt_ksm_token *token)
{
    if (token->place.folder >= 0)
        close(token->place.folder);
    nv_tree_close(&token->tree);
    token->tag = NV_TAG_FREED;
    free(token);
}

int nv_ksm_set(struct nv_tree *tree, const struct nestvirt_ksm_settings *settings,
               const char *record, struct nestvirt_ksm_token **ret_token,
               struct nestvirt_error **ret_error)
{
    struct nestvirt_ksm_token *token = calloc(1, sizeof(*token));
    int r;

    if (!token)
        return nv_fail_sys(ret_error, ENOMEM, "KSM", "calloc", "free memory in this process");
    token->tag = NV_TAG_KSM_TOKEN;
    token->process = getpid();
    token->tree = *tree;
    token->place.folder = -1;
    r = nv_ksm_check(settings, ret_error);
    if (r == 0)
        r = read_former(tree, settings, &token->former, ret_error);
    if (r == 0)
        r = check_right(tree, ret_error);
    if (r == 0)
        r = nv_ksm_open_place(record, &token->place, ret_error);
    if (r == 0)
        r = change(token, settings, ret_error);
    if (r < 0) {
        token->tree.fd = -1; /* the caller's still */
        token_free(token);
        return r;
    }
    tree->fd = -1;
    *ret_token = token;
    return 0;
}

/*
 * True if another program has the settings by now: this one was taken for dead, as it may be from
 * another PID namespace, and they have been put back. Without a record, somebody has removed it.
 */
static bool is_of_another(const struct nestvirt_ksm_token *token)
{
    struct nv_ksm_record record;

    return nv_ksm_read_record(&token->place, &record, NULL) == 0 && record.pid != token->process;
}

int nv_ksm_put_back(struct nestvirt_ksm_token *token)
{
    int r;

    if (token->process != getpid() || is_of_another(token)) {
        token_free(token);
        return 0;
    }
    r = nv_ksm_apply(&token->tree, &token->former, true, NULL);
    if (r < 0)
        return r;
    nv_ksm_unlink_record(&token->place);
    token_free(token);
    return 0;
}

/* The record is locked: the slower of two would undo what a third has changed since. */
static int recover(const struct nv_tree *tree, const struct nv_ksm_place *place,
                   struct nestvirt_error **ret_error)
{
    NV_AUTO_FD lock = nv_ksm_lock_record(place, ret_error);
    struct nv_ksm_record record;
    bool is_old;
    int r = lock < 0 ? lock : nv_ksm_read_record(place, &record, ret_error);

    if (r == -ENOENT)
        return 0;
    if (r < 0)
        return r;
    if (nv_ksm_has_owner(tree, &record, &is_old))
        return nv_fail(ret_error, -EBUSY, nv_text("KSM record %.80s", place->path).s,
                       "let it put them back, or end it first",
                       "process %d, which changed the settings, lives", record.pid);
    if (!is_old)
        r = nv_ksm_apply(tree, &record.former, true, ret_error);
    if (r == 0)
        r = nv_ksm_unlink_record(place);
    return r < 0 ? r : !is_old;
}

int nv_ksm_recover(const struct nv_tree *tree, const char *record,
                   struct nestvirt_error **ret_error)
{
    struct nv_ksm_place place;
    int r = nv_ksm_open_place(record, &place, ret_error);

    if (r < 0)
        return r;
    r = recover(tree, &place, ret_error);
    close(place.folder);
    return r;
}
