/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the door of cgroup.h. */
#include <stdlib.h>
#include <string.h>

#include "api/api.h"

enum { CGROUP_USAGE_FIRST = sizeof(struct nestvirt_cgroup_usage) };

NV_EXPORT void nestvirt_cgroup_usage_init(struct nestvirt_cgroup_usage *usage, size_t caller_size)
{
    nv_struct_init(usage, caller_size);
}

static int check_flags(const struct nestvirt_vm *vm, uint32_t flags,
                       struct nestvirt_error **ret_error)
{
    const uint32_t known = NESTVIRT_CGROUP_VCPU | NESTVIRT_CGROUP_LOOP | NESTVIRT_CGROUP_WORKER |
                           NESTVIRT_CGROUP_SHARED_LOOP | NESTVIRT_CGROUP_NEED_CPU |
                           NESTVIRT_CGROUP_NEED_CPUSET | NESTVIRT_CGROUP_NEED_MEMORY;

    if (flags & ~known)
        return nv_fail(ret_error, -EINVAL, nv_vm_name(vm).s, "clear them",
                       "unknown cgroup flags 0x%x", flags & ~known);
    if (flags & NESTVIRT_CGROUP_VCPU)
        return nv_vm_check_thread(vm, NESTVIRT_THREAD_VCPU, NESTVIRT_THREAD_EVERY, ret_error);
    return 0;
}

NV_EXPORT int nestvirt_cgroup_set(struct nestvirt_vm *vm, const char *path, uint32_t flags,
                                  struct nestvirt_error **ret_error)
{
    int r = nv_api_vm(vm, ret_error);

    if (r == 0)
        r = nv_api_pointer(path, "path", ret_error);
    if (r == 0)
        r = check_flags(vm, flags, ret_error);
    if (r == 0)
        r = nv_api_enter(vm, "have its control group set", ret_error);
    if (r < 0)
        return r;
    r = nv_vm_set_cgroup(vm, path, flags, ret_error);
    nv_api_leave(vm);
    return r;
}

/* Checks what functions that give a text are called with, and empties it. */
static int enter_for_text(struct nestvirt_vm *vm, char *buffer, size_t size,
                          struct nestvirt_error **ret_error)
{
    int r;

    if (buffer && size > 0)
        buffer[0] = '\0';
    r = nv_api_vm(vm, ret_error);
    if (r == 0)
        r = nv_api_pointer(buffer, "buffer", ret_error);
    if (r == 0)
        r = nv_api_enter(vm, "have its control groups looked at", ret_error);
    return r;
}

NV_EXPORT int nestvirt_cgroup_get(struct nestvirt_vm *vm, uint32_t position, char *buffer,
                                  size_t size, struct nestvirt_error **ret_error)
{
    int r = enter_for_text(vm, buffer, size, ret_error);

    if (r < 0)
        return r;
    if (position < vm->cgroups.count)
        r = nv_api_give_text(vm->cgroups.rows[position].group.path, "path of a control group",
                             buffer, size, ret_error);
    else
        r = nv_fail(ret_error, -ENOENT, nv_vm_name(vm).s, "count up from 0 until this",
                    "has no control group at position %u", position);
    nv_api_leave(vm);
    return r;
}

NV_EXPORT int nestvirt_cgroup_get_usage(struct nestvirt_vm *vm, struct nestvirt_cgroup_usage *usage,
                                        struct nestvirt_error **ret_error)
{
    struct nestvirt_cgroup_usage ours;
    int r = nv_api_vm(vm, ret_error);

    if (r == 0)
        r = nv_struct_check(usage, CGROUP_USAGE_FIRST, "cgroup usage", ret_error);
    if (r == 0)
        r = nv_api_enter(vm, "have its control groups looked at", ret_error);
    if (r < 0)
        return r;
    r = nv_vm_get_cgroup_usage(vm, &ours, ret_error);
    nv_api_leave(vm);
    if (r < 0)
        return r;
    return nv_struct_out(usage, &ours, sizeof(ours), CGROUP_USAGE_FIRST, "cgroup usage", ret_error);
}

static int read_groups(const struct nestvirt_vm *vm, pid_t tid, const char *object, char *buffer,
                       size_t size, struct nestvirt_error **ret_error)
{
    enum { LINES_MAX = 16384 };
    NV_AUTO_FREE char *lines = malloc(LINES_MAX);
    struct nv_tree tree;
    ssize_t length;
    int r = lines ? nv_tree_open(vm->cgroups.root, &tree, ret_error)
                  : nv_fail_sys(ret_error, ENOMEM, object, "malloc", "free memory in this process");

    if (r < 0)
        return r;
    length = nv_tree_read(&tree, nv_text("proc/self/task/%d/cgroup", tid).s, lines, LINES_MAX);
    nv_tree_close(&tree);
    if (length < 0)
        return nv_fail_sys(ret_error, (int)-length, object, "reading its groups", "mount /proc");
    return nv_api_give_text(lines, object, buffer, size, ret_error);
}

NV_EXPORT int nestvirt_cgroup_get_of_thread(struct nestvirt_vm *vm, uint32_t kind, uint32_t index,
                                            char *buffer, size_t size,
                                            struct nestvirt_error **ret_error)
{
    int r = enter_for_text(vm, buffer, size, ret_error);
    struct nv_vm_thread thread;

    if (r < 0)
        return r;
    r = nv_api_thread(vm, kind, index, &thread, ret_error);
    if (r == 0)
        r = read_groups(vm, thread.tid, nv_vm_thread_name(vm, kind, index).s, buffer, size,
                        ret_error);
    nv_api_leave(vm);
    return r;
}
