/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the door of privilege.h: giving up privileges, and what is needed without them. */
#include "api/api.h"
#include "host/process.h"

enum {
    PRIVILEGE_CONFIG_FIRST = sizeof(struct nestvirt_privilege_config),
    NEED_FIRST = sizeof(struct nestvirt_need)
};

NV_EXPORT int nestvirt_vm_remove_privileges(struct nestvirt_vm *vm,
                                            struct nestvirt_error **ret_error)
{
    int r = nv_api_enter(vm, "give up privileges", ret_error);

    if (r < 0)
        return r;
    r = nv_vm_drop(vm, ret_error);
    nv_api_leave(vm);
    return r;
}

NV_EXPORT void nestvirt_privilege_config_init(struct nestvirt_privilege_config *config,
                                              size_t caller_size)
{
    nv_struct_init(config, caller_size);
}

/* The value of a field: it is 0 unless its flag is set, and never the id that means none. */
static int check_id(const struct nestvirt_privilege_config *config, uint32_t flag, uint32_t id,
                    const char *name, struct nestvirt_error **ret_error)
{
    if (!(config->flags & flag) && id != 0)
        return nv_fail(ret_error, -EINVAL, "privileges", "set its flag too",
                       "%s is set, but its flag is not", name);
    if (id == UINT32_MAX)
        return nv_fail(ret_error, -EINVAL, "privileges", "use an id below it",
                       "%s 4294967295 means none", name);
    return 0;
}

static int check_groups(const struct nestvirt_privilege_config *config,
                        struct nestvirt_error **ret_error)
{
    int r =
        check_id(config, NESTVIRT_PRIVILEGE_GROUPS, config->group_count, "group_count", ret_error);

    if (r < 0)
        return r;
    if (config->group_count > NESTVIRT_PRIVILEGE_GROUPS_MAX)
        return nv_fail(ret_error, -EINVAL, "privileges", "use fewer", "%u groups, more than %d",
                       config->group_count, NESTVIRT_PRIVILEGE_GROUPS_MAX);
    if (config->group_count > 0 && !config->groups)
        return nv_fail(ret_error, -EFAULT, "privileges", "set it, or group_count to 0",
                       "groups is NULL");
    for (uint32_t i = 0; i < config->group_count && r == 0; i++)
        r = check_id(config, NESTVIRT_PRIVILEGE_GROUPS, config->groups[i], "group", ret_error);
    return r;
}

static int check_config(const struct nestvirt_privilege_config *config,
                        struct nestvirt_error **ret_error)
{
    const uint32_t known =
        NESTVIRT_PRIVILEGE_UID | NESTVIRT_PRIVILEGE_GID | NESTVIRT_PRIVILEGE_GROUPS;
    int r;

    if (config->flags & ~known)
        return nv_fail(ret_error, -EINVAL, "privileges", "clear them", "unknown flags 0x%x",
                       config->flags & ~known);
    if (config->reserved)
        return nv_fail(ret_error, -EINVAL, "privileges", "set it to 0", "reserved field is 0x%x",
                       config->reserved);
    r = check_id(config, NESTVIRT_PRIVILEGE_UID, config->uid, "uid", ret_error);
    if (r == 0)
        r = check_id(config, NESTVIRT_PRIVILEGE_GID, config->gid, "gid", ret_error);
    return r < 0 ? r : check_groups(config, ret_error);
}

NV_EXPORT int nestvirt_process_remove_privileges(const struct nestvirt_privilege_config *config,
                                                 struct nestvirt_error **ret_error)
{
    struct nestvirt_privilege_config ours = { .size = sizeof(ours) };
    struct nv_identity identity;
    int r = nv_ok(ret_error);

    if (config)
        r = nv_struct_in(&ours, sizeof(ours), PRIVILEGE_CONFIG_FIRST, config, "privilege config",
                         ret_error);
    if (r == 0)
        r = check_config(&ours, ret_error);
    if (r < 0)
        return r;
    identity = (struct nv_identity){
        .has_uid = ours.flags & NESTVIRT_PRIVILEGE_UID,
        .has_gid = ours.flags & NESTVIRT_PRIVILEGE_GID,
        .has_groups = ours.flags & NESTVIRT_PRIVILEGE_GROUPS,
        .uid = ours.uid,
        .gid = ours.gid,
        .groups = ours.groups,
        .group_count = ours.group_count,
    };
    return nv_process_drop(&identity, ret_error);
}

NV_EXPORT void nestvirt_need_init(struct nestvirt_need *need, size_t caller_size)
{
    nv_struct_init(need, caller_size);
}

NV_EXPORT int nestvirt_privilege_get_need(uint32_t position, struct nestvirt_need *need,
                                          struct nestvirt_error **ret_error)
{
    struct nestvirt_need ours;
    int r;

    nv_ok(ret_error);
    r = nv_struct_check(need, NEED_FIRST, "need", ret_error);
    if (r < 0)
        return r;
    if (!nv_vm_get_need(position, &ours))
        return nv_fail(ret_error, -ENOENT, "needs", "stop there", "there is no number %u",
                       position);
    return nv_struct_out(need, &ours, sizeof(ours), NEED_FIRST, "need", ret_error);
}
