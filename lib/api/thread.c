/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the door of thread.h. */
#include <sched.h>
#include <string.h>

#include "api/api.h"
#include "core/util.h"

_Static_assert(sizeof(((struct nestvirt_thread_info *)NULL)->name) ==
                   sizeof(((struct nv_thread_sight *)NULL)->name),
               "a thread's name fits");

enum {
    THREAD_CONFIG_FIRST = sizeof(struct nestvirt_thread_config),
    THREAD_INFO_FIRST = sizeof(struct nestvirt_thread_info)
};

/* The kernel's numbers, by NESTVIRT_SCHED_*. */
static const int policies[] = { -1, SCHED_OTHER, SCHED_BATCH, SCHED_IDLE, SCHED_FIFO, SCHED_RR };

NV_EXPORT void nestvirt_thread_config_init(struct nestvirt_thread_config *config,
                                           size_t caller_size)
{
    nv_struct_init(config, caller_size);
}

NV_EXPORT void nestvirt_thread_info_init(struct nestvirt_thread_info *info, size_t caller_size)
{
    nv_struct_init(info, caller_size);
}

static int check_policy(const struct nestvirt_thread_config *config, const char *object,
                        struct nestvirt_error **ret_error)
{
    bool is_realtime = config->policy >= NESTVIRT_SCHED_FIFO;

    if (config->policy >= NV_ARRAY_SIZE(policies))
        return nv_fail(ret_error, -EINVAL, object, "use NESTVIRT_SCHED_*", "unknown policy %u",
                       config->policy);
    if (is_realtime && (config->priority < 1 || config->priority > 99))
        return nv_fail(ret_error, -EINVAL, object, "use 1 to 99",
                       "priority %d of a real-time policy", config->priority);
    if (!is_realtime && config->priority != 0)
        return nv_fail(ret_error, -EINVAL, object, "set it to 0, or use nice",
                       "priority %d without a real-time policy", config->priority);
    return 0;
}

static int check_config(const struct nestvirt_thread_config *config, const char *object,
                        struct nestvirt_error **ret_error)
{
    enum { NICE_MIN = -20, NICE_MAX = 19 };
    const uint32_t known = NESTVIRT_THREAD_SET_NICE | NESTVIRT_THREAD_CORE_COOKIE;

    if (config->flags & ~known)
        return nv_fail(ret_error, -EINVAL, object, "clear them", "unknown flags 0x%x",
                       config->flags & ~known);
    if (config->reserved)
        return nv_fail(ret_error, -EINVAL, object, "set it to 0", "reserved field is 0x%x",
                       config->reserved);
    if (config->nice < NICE_MIN || config->nice > NICE_MAX)
        return nv_fail(ret_error, -EINVAL, object, "use -20 to 19", "nice %d", config->nice);
    if (config->nice != 0 && !(config->flags & NESTVIRT_THREAD_SET_NICE))
        return nv_fail(ret_error, -EINVAL, object, "set NESTVIRT_THREAD_SET_NICE, or 0",
                       "nice %d without its flag", config->nice);
    return check_policy(config, object, ret_error);
}

/* A checked configuration as what the VM keeps. */
static int take_config(const struct nestvirt_thread_config *config, struct nv_kept_place *wish,
                       struct nestvirt_error **ret_error)
{
    struct nv_placement *wanted = &wish->wanted;
    int r;

    if (config->cpus) {
        r = nv_list_parse(config->cpus, "CPU", &wanted->cpus, ret_error);
        if (r < 0)
            return r;
        wanted->fields |= NV_PLACE_CPUS;
    }
    if (config->policy != NESTVIRT_SCHED_LEAVE) {
        wanted->fields |= NV_PLACE_POLICY;
        wanted->policy = policies[config->policy];
        wanted->priority = config->priority;
    }
    if (config->flags & NESTVIRT_THREAD_SET_NICE) {
        wanted->fields |= NV_PLACE_NICE;
        wanted->nice = config->nice;
    }
    return 0;
}

NV_EXPORT int nestvirt_thread_set(struct nestvirt_vm *vm, uint32_t kind, uint32_t index,
                                  const struct nestvirt_thread_config *config,
                                  struct nestvirt_error **ret_error)
{
    struct nv_kept_place wish = { .kind = kind, .index = index };
    struct nestvirt_thread_config ours;
    int r = nv_api_vm(vm, ret_error);

    if (r == 0)
        r = nv_struct_in(&ours, sizeof(ours), THREAD_CONFIG_FIRST, config, "thread config",
                         ret_error);
    if (r == 0)
        r = nv_vm_check_thread(vm, kind, index, ret_error);
    if (r == 0)
        r = check_config(&ours, nv_vm_thread_name(vm, kind, index).s, ret_error);
    if (r == 0)
        r = take_config(&ours, &wish, ret_error);
    if (r == 0)
        r = nv_api_enter(vm, "have its threads set", ret_error);
    if (r < 0)
        return r;
    if (ours.flags & NESTVIRT_THREAD_CORE_COOKIE)
        wish.cookie = vm->kept_places.cookies + 1;
    r = nv_vm_place_threads(vm, &wish, ret_error);
    nv_api_leave(vm);
    return r;
}

/* The public number of a policy of the kernel. */
static uint32_t policy_number(int policy)
{
    for (uint32_t i = 1; i < NV_ARRAY_SIZE(policies); i++)
        if (policies[i] == policy)
            return i;
    return NESTVIRT_SCHED_LEAVE;
}

/* What the kernel says of a thread, as the public structure. */
static int look(const struct nv_vm_thread *thread, const struct nv_tree *tree,
                struct nestvirt_thread_info *ret_info)
{
    struct nv_placement placement;
    struct nv_thread_sight sight;
    uint64_t cookie = 0;
    int r = nv_placement_read(thread->tid, &placement);

    if (r == 0)
        r = nv_thread_look(tree, thread->tid, &sight);
    if (r < 0)
        return r;
    *ret_info = (struct nestvirt_thread_info){
        .size = sizeof(*ret_info),
        .kind = thread->kind,
        .index = thread->index,
        .tid = thread->tid,
        .policy = policy_number(placement.policy),
        .priority = placement.priority,
        .nice = placement.nice,
        .cpu_time_ns = sight.cpu_time_ns,
        .run_delay_ns = sight.run_delay_ns,
        .last_cpu = sight.last_cpu,
    };
    if (nv_core_read(thread->tid, &cookie) == 0)
        ret_info->flags |= NESTVIRT_THREAD_HAS_COOKIE;
    ret_info->core_cookie = cookie;
    ret_info->flags |= thread->is_shared ? NESTVIRT_THREAD_SHARED : 0u;
    ret_info->flags |= sight.has_times ? NESTVIRT_THREAD_HAS_TIMES : 0u;
    ret_info->flags |= sight.has_cpu ? NESTVIRT_THREAD_HAS_CPU : 0u;
    memcpy(ret_info->name, sight.name, sizeof(ret_info->name));
    return 0;
}

/* Before a build there are none, though a loop may have been given. */
static bool thread_at(const struct nestvirt_vm *vm, uint32_t position,
                      struct nv_vm_thread *ret_thread)
{
    return vm->state != NESTVIRT_STATE_NEW && nv_vm_thread_at(vm, position, ret_thread);
}

static int get_info(struct nestvirt_vm *vm, uint32_t position,
                    struct nestvirt_thread_info *ret_info, struct nestvirt_error **ret_error)
{
    struct nv_vm_thread thread;
    struct nv_tree tree;
    int r;

    if (!thread_at(vm, position, &thread))
        return nv_fail(ret_error, -ENOENT, nv_vm_name(vm).s, "count up from 0 until this",
                       "has no thread at position %u", position);
    r = nv_tree_open(NULL, &tree, ret_error);
    if (r < 0)
        return r;
    r = look(&thread, &tree, ret_info);
    nv_tree_close(&tree);
    if (r < 0)
        return nv_fail_sys(ret_error, -r, nv_vm_thread_name(vm, thread.kind, thread.index).s,
                           "reading its state", "mount /proc");
    return 0;
}

NV_EXPORT int nestvirt_thread_get(struct nestvirt_vm *vm, uint32_t position,
                                  struct nestvirt_thread_info *info,
                                  struct nestvirt_error **ret_error)
{
    struct nestvirt_thread_info ours;
    int r = nv_api_vm(vm, ret_error);

    if (r == 0)
        r = nv_struct_check(info, THREAD_INFO_FIRST, "thread info", ret_error);
    if (r == 0)
        r = nv_api_enter(vm, "have its threads looked at", ret_error);
    if (r < 0)
        return r;
    r = get_info(vm, position, &ours, ret_error);
    nv_api_leave(vm);
    if (r < 0)
        return r;
    return nv_struct_out(info, &ours, sizeof(ours), THREAD_INFO_FIRST, "thread info", ret_error);
}

int nv_api_thread(const struct nestvirt_vm *vm, uint32_t kind, uint32_t index,
                  struct nv_vm_thread *ret_thread, struct nestvirt_error **ret_error)
{
    struct nv_vm_thread thread;
    int r = nv_vm_check_thread(vm, kind, index, ret_error);

    if (r < 0)
        return r;
    if (index == NESTVIRT_THREAD_EVERY)
        return nv_fail(ret_error, -EINVAL, nv_vm_name(vm).s, "ask for one after the other",
                       "this is asked of one thread, not of every one");
    for (uint32_t i = 0; thread_at(vm, i, &thread); i++) {
        if (!nv_vm_thread_is(&thread, kind, index))
            continue;
        *ret_thread = thread;
        return 0;
    }
    return nv_fail(ret_error, -ENOENT, nv_vm_thread_name(vm, kind, index).s,
                   "see nestvirt_thread_get for those there are", "the VM has no such thread");
}

static int get_cpus(const struct nestvirt_vm *vm, uint32_t kind, uint32_t index, char *buffer,
                    size_t size, struct nestvirt_error **ret_error)
{
    const struct nv_text name = nv_vm_thread_name(vm, kind, index);
    struct nv_placement placement;
    struct nv_vm_thread thread;
    int r = nv_api_thread(vm, kind, index, &thread, ret_error);

    if (r < 0)
        return r;
    r = nv_placement_read(thread.tid, &placement);
    if (r < 0)
        return nv_fail_sys(ret_error, -r, name.s, "sched_getaffinity", "");
    return nv_api_give_set(&placement.cpus, nv_text("%s: list of CPUs", name.s).s, buffer, size,
                           ret_error);
}

NV_EXPORT int nestvirt_thread_get_cpus(struct nestvirt_vm *vm, uint32_t kind, uint32_t index,
                                       char *buffer, size_t size, struct nestvirt_error **ret_error)
{
    int r;

    if (buffer && size > 0)
        buffer[0] = '\0';
    r = nv_api_vm(vm, ret_error);
    if (r == 0)
        r = nv_api_pointer(buffer, "buffer", ret_error);
    if (r == 0)
        r = nv_api_enter(vm, "have its threads looked at", ret_error);
    if (r < 0)
        return r;
    r = get_cpus(vm, kind, index, buffer, size, ret_error);
    nv_api_leave(vm);
    return r;
}
