/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the process's user, groups and capabilities, and what its threads have kept of them. */
#include "host/process.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/cleanup.h"
#include "core/error.h"
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

/* Everything that may be forbidden, before the first step, which cannot be taken back. */
static int check_permission(const struct nv_privileges *privileges, const struct change *change,
                            struct nestvirt_error **ret_error)
{
    if (change->uid && !nv_privileges_has(privileges, CAP_SETUID))
        return nv_fail(ret_error, -EPERM, object, "start as root, or leave the user as it is",
                       "changing the user needs CAP_SETUID");
    if ((change->gid || change->groups) && !nv_privileges_has(privileges, CAP_SETGID))
        return nv_fail(ret_error, -EPERM, object, "start as root, or leave the groups as they are",
                       "changing groups needs CAP_SETGID");
    return 0;
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

/* The numbers of a thread's status file that matter; what is missing is zero. */
struct thread_status {
    char name[32];
    unsigned long long capabilities; /* of all sets but the bounding one */
};

static void parse_status(const char *text, struct thread_status *status)
{
    static const char *const sets[] = { "\nCapInh:", "\nCapPrm:", "\nCapEff:", "\nCapAmb:" };

    *status = (struct thread_status){ 0 };
    sscanf(text, "Name: %31[^\n]", status->name);
    for (size_t i = 0; i < sizeof(sets) / sizeof(sets[0]); i++) {
        const char *line = strstr(text, sets[i]);

        if (line)
            status->capabilities |= strtoull(line + strlen(sets[i]), NULL, 16);
    }
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

int nv_process_check_threads(const struct nv_tree *tree, struct nestvirt_error **ret_error)
{
    int fd = nv_tree_open_at(tree, "proc/self/task", O_RDONLY | O_DIRECTORY);
    DIR *folder = fd < 0 ? NULL : fdopendir(fd);
    struct thread_status first = { 0 };
    struct nv_text task = { 0 };
    struct dirent *entry;
    unsigned kept = 0;

    if (!folder)
        return nv_fail_sys(ret_error, fd < 0 ? -fd : errno, object, "open(/proc/self/task)",
                           "mount /proc: what the other threads have is not known");
    while ((entry = readdir(folder))) {
        char text[4096];
        struct thread_status status;

        if (entry->d_name[0] == '.' ||
            nv_tree_read(tree, nv_text("proc/self/task/%.20s/status", entry->d_name).s, text,
                         sizeof(text)) < 0)
            continue;
        parse_status(text, &status);
        if (!status.capabilities || is_kernel_thread(tree, entry->d_name))
            continue;
        if (kept++ == 0) {
            first = status;
            task = nv_text("%.20s", entry->d_name);
        }
    }
    closedir(folder);
    if (kept == 0)
        return 0;
    return nv_fail(ret_error, -EPERM, object,
                   "change to another user than root too, or let each thread drop its own",
                   "thread %s (%s) kept capabilities 0x%llx, as did %u others", task.s, first.name,
                   first.capabilities, kept - 1);
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
        r = check_permission(privileges, &change, ret_error);
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
