/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the process's user, groups and capabilities, and what its threads have kept of them. */
#include "host/process.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/cleanup.h"
#include "core/error.h"
#include "host/facts.h"
#include "host/privileges.h"

static const char object[] = "process";

/* What is to be done; what is so already takes no privilege. */
struct change {
    bool uid;
    bool gid;
    bool groups;
};

static bool is_among(gid_t group, const gid_t *groups, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (groups[i] == group)
            return true;
    return false;
}

/* The kernel keeps them sorted. */
static bool has_groups(const struct nv_identity *identity)
{
    int count = getgroups(0, NULL);
    NV_AUTO_FREE gid_t *now = NULL;

    if (count < 0 || (size_t)count != identity->group_count)
        return false;
    now = calloc((size_t)count + 1, sizeof(*now));
    if (!now || getgroups(count, now) != count)
        return false;
    for (int i = 0; i < count; i++)
        if (!is_among(now[i], identity->groups, identity->group_count) ||
            !is_among(identity->groups[i], now, (size_t)count))
            return false;
    return true;
}

static struct change find_change(const struct nv_identity *identity)
{
    uid_t uids[3] = { 0 };
    gid_t gids[3] = { 0 };

    getresuid(&uids[0], &uids[1], &uids[2]);
    getresgid(&gids[0], &gids[1], &gids[2]);
    return (struct change){
        .uid = identity->has_uid &&
               (uids[0] != identity->uid || uids[1] != identity->uid || uids[2] != identity->uid),
        .gid = identity->has_gid &&
               (gids[0] != identity->gid || gids[1] != identity->gid || gids[2] != identity->gid),
        .groups = identity->has_groups && !has_groups(identity),
    };
}

/* The numbers of a thread's status file that matter; what is missing is zero. */
struct thread_status {
    char name[32];
    unsigned long long effective;
    unsigned long long any; /* of all sets but the bounding one */
};

static unsigned long long parse_set(const char *text, const char *key)
{
    const char *line = strstr(text, key);

    return line ? strtoull(line + strlen(key), NULL, 16) : 0;
}

static void parse_status(const char *text, struct thread_status *status)
{
    *status = (struct thread_status){ .effective = parse_set(text, "\nCapEff:") };
    sscanf(text, "Name: %31[^\n]", status->name);
    status->any = status->effective | parse_set(text, "\nCapInh:") | parse_set(text, "\nCapPrm:") |
                  parse_set(text, "\nCapAmb:");
}

/* Threads of the kernel's own in our list, such as KVM's and io_uring's, never run a program. */
static bool is_kernel_thread(const struct nv_tree *tree, const char *task)
{
    enum { OF_IO_URING = 0x10, OF_VHOST = 0x4000, OF_KERNEL = 0x200000 }; /* linux/sched.h, PF_ */
    char text[1024];
    const char *end;
    unsigned flags = 0;

    if (nv_tree_read(tree, nv_text("proc/self/task/%.20s/stat", task).s, text, sizeof(text)) < 0)
        return true; /* gone meanwhile */
    end = strrchr(text, ')');
    if (!end || sscanf(end + 1, " %*c %*d %*d %*d %*d %*d %u", &flags) != 1)
        return false;
    return flags & (OF_IO_URING | OF_VHOST | OF_KERNEL);
}

/* Threads of which something is true, and the first of them. */
struct search {
    const struct nv_tree *tree;
    bool (*is_meant)(const struct thread_status *status, unsigned argument);
    unsigned argument;
    unsigned count;
    struct nv_text task;
    struct thread_status first;
};

static int look_at(void *data, const char *task)
{
    struct search *search = data;
    char text[4096];
    struct thread_status status;

    if (nv_tree_read(search->tree, nv_text("proc/self/task/%.20s/status", task).s, text,
                     sizeof(text)) < 0)
        return 0;
    parse_status(text, &status);
    if (!search->is_meant(&status, search->argument) || is_kernel_thread(search->tree, task))
        return 0;
    if (search->count++ == 0) {
        search->first = status;
        search->task = nv_text("%.20s", task);
    }
    return 0;
}

static int find_threads(const struct nv_tree *tree,
                        bool (*is_meant)(const struct thread_status *status, unsigned argument),
                        unsigned argument, struct search *ret_found,
                        struct nestvirt_error **ret_error)
{
    int r;

    *ret_found = (struct search){ .tree = tree, .is_meant = is_meant, .argument = argument };
    r = nv_facts_entries(tree, "proc/self/task", look_at, ret_found);
    if (r < 0)
        return nv_fail_sys(ret_error, -r, object, "open(/proc/self/task)",
                           "mount /proc: what the other threads have is not known");
    return 0;
}

static bool has_any(const struct thread_status *status, unsigned unused)
{
    return status->any != 0;
}

int nv_process_check_threads(const struct nv_tree *tree, struct nestvirt_error **ret_error)
{
    struct search found;
    int r = find_threads(tree, has_any, 0, &found, ret_error);

    if (r < 0 || found.count == 0)
        return r;
    return nv_fail(ret_error, -EPERM, object,
                   "change to another user than root too, or let each thread drop its own",
                   "thread %s (%s) kept capabilities 0x%llx, as did %u others", found.task.s,
                   found.first.name, found.first.any, found.count - 1);
}

static bool lacks(const struct thread_status *status, unsigned capability)
{
    return !(status->effective >> capability & 1);
}

/*
 * Each thread needs it: the C library lets all of them do the change, and ends the process when it
 * succeeds in some and fails in others.
 */
static int check_all_have(const struct nv_tree *tree, unsigned capability, const char *problem,
                          const char *hint, struct nestvirt_error **ret_error)
{
    struct search found;
    int r = find_threads(tree, lacks, capability, &found, ret_error);

    if (r < 0 || found.count == 0)
        return r;
    if (found.first.any != 0 || found.count > 1)
        hint = "start as root, and do it before nestvirt_vm_remove_privileges and its like";
    return nv_fail(ret_error, -EPERM, object, hint, "%s, which thread %s (%s) lacks", problem,
                   found.task.s, found.first.name);
}

/* Everything that may be forbidden, before the first step, which cannot be taken back. */
static int check_permission(const struct nv_tree *tree, const struct change *change,
                            struct nestvirt_error **ret_error)
{
    int r = 0;

    if (change->uid)
        r = check_all_have(tree, CAP_SETUID, "changing the user needs CAP_SETUID",
                           "start as root, or leave the user as it is", ret_error);
    if (r == 0 && (change->gid || change->groups))
        r = check_all_have(tree, CAP_SETGID, "changing groups needs CAP_SETGID",
                           "start as root, or leave the groups as they are", ret_error);
    return r;
}

/* Groups while the user may still do it. The C library takes all threads along. */
static int become(const struct nv_privileges *privileges, const struct nv_identity *identity,
                  const struct change *change, struct nestvirt_error **ret_error)
{
    static const char hint[] =
        "see user_namespaces(7); the process is neither what it was nor what it was to be: end it";

    if (change->groups && setgroups(identity->group_count, identity->groups) < 0)
        return nv_fail_sys(ret_error, errno, object, "setgroups",
                           "see user_namespaces(7): nothing has changed");
    if (change->gid && setresgid(identity->gid, identity->gid, identity->gid) < 0)
        return nv_fail_sys(ret_error, errno, object, "setresgid", hint);
    nv_privileges_limit(privileges);
    if (change->uid && setresuid(identity->uid, identity->uid, identity->uid) < 0)
        return nv_fail_sys(ret_error, errno, object, "setresuid", hint);
    return 0;
}

int nv_process_drop(const struct nv_identity *identity, struct nestvirt_error **ret_error)
{
    struct change change = find_change(identity);
    struct nv_privileges *privileges;
    struct nv_tree tree = { -1 };
    const char *call;
    int r;

    r = nv_privileges_open(&privileges, ret_error);
    if (r < 0)
        return r;
    r = nv_tree_open(NULL, &tree, ret_error);
    if (r == 0)
        r = check_permission(&tree, &change, ret_error);
    if (r == 0)
        r = become(privileges, identity, &change, ret_error);
    if (r == 0) {
        r = nv_privileges_drop(privileges, &call);
        if (r < 0)
            nv_fail_sys(ret_error, -r, object, call, "is the call forbidden by a filter?");
    }
    nv_privileges_close(privileges);
    if (r == 0)
        r = nv_process_check_threads(&tree, ret_error);
    nv_tree_close(&tree);
    return r;
}
