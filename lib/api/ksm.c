/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the door of ksm.h: the host's KSM. */
#include "host/ksm.h"
#include "api/api.h"
#include "core/tags.h"

enum {
    KSM_SETTINGS_FIRST = sizeof(struct nestvirt_ksm_settings),
    KSM_STATS_FIRST = sizeof(struct nestvirt_ksm_stats)
};

NV_EXPORT void nestvirt_ksm_settings_init(struct nestvirt_ksm_settings *settings,
                                          size_t caller_size)
{
    nv_struct_init(settings, caller_size);
}

NV_EXPORT int nestvirt_ksm_get_settings(struct nestvirt_ksm_settings *settings,
                                        struct nestvirt_error **ret_error)
{
    struct nestvirt_ksm_settings ours;
    struct nv_tree tree;
    int r;

    nv_ok(ret_error);
    r = nv_struct_check(settings, KSM_SETTINGS_FIRST, "ksm settings", ret_error);
    if (r == 0)
        r = nv_tree_open(NULL, &tree, ret_error);
    if (r < 0)
        return r;
    r = nv_ksm_read(&tree, &ours, ret_error);
    nv_tree_close(&tree);
    if (r < 0)
        return r;
    return nv_struct_out(settings, &ours, sizeof(ours), KSM_SETTINGS_FIRST, "ksm settings",
                         ret_error);
}

NV_EXPORT void nestvirt_ksm_stats_init(struct nestvirt_ksm_stats *stats, size_t caller_size)
{
    nv_struct_init(stats, caller_size);
}

NV_EXPORT int nestvirt_ksm_get_stats(struct nestvirt_ksm_stats *stats,
                                     struct nestvirt_error **ret_error)
{
    struct nestvirt_ksm_stats ours;
    struct nv_tree tree;
    int r;

    nv_ok(ret_error);
    r = nv_struct_check(stats, KSM_STATS_FIRST, "ksm stats", ret_error);
    if (r == 0)
        r = nv_tree_open(NULL, &tree, ret_error);
    if (r < 0)
        return r;
    r = nv_ksm_read_stats(&tree, &ours, ret_error);
    nv_tree_close(&tree);
    if (r < 0)
        return r;
    return nv_struct_out(stats, &ours, sizeof(ours), KSM_STATS_FIRST, "ksm stats", ret_error);
}

NV_EXPORT int nestvirt_ksm_set_settings(const struct nestvirt_ksm_settings *settings,
                                        const char *record, struct nestvirt_ksm_token **ret_token,
                                        struct nestvirt_error **ret_error)
{
    struct nestvirt_ksm_settings ours;
    struct nv_tree tree;
    int r;

    nv_ok(ret_error);
    r = nv_api_pointer(ret_token, "ret_token", ret_error);
    if (r < 0)
        return r;
    *ret_token = NULL;
    r = nv_struct_in(&ours, sizeof(ours), KSM_SETTINGS_FIRST, settings, "ksm settings", ret_error);
    if (r == 0)
        r = nv_tree_open(NULL, &tree, ret_error);
    if (r < 0)
        return r;
    r = nv_ksm_set(&tree, &ours, record, ret_token, ret_error);
    nv_tree_close(&tree);
    return r;
}

NV_EXPORT int nestvirt_ksm_token_free(struct nestvirt_ksm_token *token)
{
    if (!token)
        return 0;
    return token->tag == NV_TAG_KSM_TOKEN ? nv_ksm_put_back(token) : -EBADF;
}

NV_EXPORT int nestvirt_ksm_remove_record(const char *record, struct nestvirt_error **ret_error)
{
    struct nv_tree tree;
    int r;

    nv_ok(ret_error);
    r = nv_tree_open(NULL, &tree, ret_error);
    if (r < 0)
        return r;
    r = nv_ksm_recover(&tree, record, ret_error);
    nv_tree_close(&tree);
    return r;
}
