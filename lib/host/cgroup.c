/* SPDX-License-Identifier: Apache-2.0 */
/* Owns control groups of both versions: finding one, moving threads, reading its CPU figures. */
#include "host/cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/cleanup.h"
#include "core/error.h"
#include "core/util.h"
#include "host/facts.h"
#include "host/file.h"

/* Hosts of containers have thousands of mounts of about 300 bytes; touched as needed. */
enum { MOUNTS_MAX = 4 << 20, LINES_MAX = 16384 };

/* A path with room for what its error adds. */
static struct nv_text group_name(const char *path)
{
    return nv_text("cgroup %s", path);
}

/* What of path lies behind prefix, "" or from a slash on; NULL if it is not below. */
static const char *behind(const char *path, const char *prefix)
{
    size_t length = strcmp(prefix, "/") == 0 ? 0 : strlen(prefix);

    if (strncmp(path, prefix, length) != 0 || (path[length] && path[length] != '/'))
        return NULL;
    return strcmp(path + length, "/") == 0 ? "" : path + length;
}

static int read_link_of(int fd, char path[PATH_MAX])
{
    ssize_t length = readlink(nv_text("/proc/self/fd/%d", fd).s, path, PATH_MAX - 1);

    if (length < 0)
        return -errno;
    path[length] = '\0';
    return 0;
}

/* The folder of a path without links, as seen from the tree's root; the caller frees it. */
static int resolve(const struct nv_tree *tree, const char *path, char **ret_path)
{
    NV_AUTO_FD fd = nv_tree_open_at(tree, path, O_RDONLY | O_DIRECTORY);
    char root[PATH_MAX];
    char full[PATH_MAX];
    const char *rest;
    int r;

    if (fd < 0)
        return fd;
    r = read_link_of(tree->fd, root);
    if (r == 0)
        r = read_link_of(fd, full);
    if (r < 0)
        return r;
    rest = behind(full, root);
    if (!rest)
        return -ENOENT; /* removed meanwhile: the kernel adds a word to its path */
    *ret_path = strdup(*rest ? rest : "/");
    return *ret_path ? 0 : -ENOMEM;
}

/* A line of mountinfo (proc_pid_mountinfo(5)); the texts lie in the file's. */
struct mount_line {
    char *root, *point, *type, *options;
};

/* Spaces and the like stand as three octal digits. */
static void unescape(char *text)
{
    char *to = text;

    for (const char *from = text; *from; to++) {
        unsigned byte;

        if (from[0] == '\\' && sscanf(from + 1, "%3o", &byte) == 1 && strlen(from) >= 4) {
            *to = (char)byte;
            from += 4;
        } else {
            *to = *from++;
        }
    }
    *to = '\0';
}

static bool split_mount(char *line, struct mount_line *ret_mount)
{
    enum { ROOT = 3, POINT = 4, FIELDS = 6 };
    char *fields[FIELDS];
    char *word;

    for (int i = 0; i < FIELDS; i++) {
        fields[i] = strsep(&line, " ");
        if (!fields[i])
            return false;
    }
    do
        word = strsep(&line, " ");
    while (word && strcmp(word, "-") != 0);
    ret_mount->root = fields[ROOT];
    ret_mount->point = fields[POINT];
    ret_mount->type = strsep(&line, " ");
    strsep(&line, " "); /* the source */
    ret_mount->options = line;
    if (!ret_mount->options || !ret_mount->type)
        return false;
    unescape(ret_mount->root);
    unescape(ret_mount->point);
    return true;
}

/* The mount that a folder is on: the lowest, and of those the last. mounts is cut up. */
static bool find_mount(char *mounts, const char *path, struct mount_line *ret_mount)
{
    struct mount_line mount;
    size_t best = 0;
    char *line;

    while ((line = strsep(&mounts, "\n"))) {
        if (!split_mount(line, &mount) || !behind(path, mount.point))
            continue;
        if (strlen(mount.point) < best)
            continue;
        best = strlen(mount.point);
        *ret_mount = mount;
    }
    return best > 0;
}

/* Without "rw," or "ro,": what tells one hierarchy of version 1 from another. */
static const char *controllers_of(const struct mount_line *mount)
{
    const char *comma = strchr(mount->options, ',');

    return comma ? comma + 1 : "";
}

static int keep_mount(struct nv_cgroup *group, const struct mount_line *mount,
                      struct nestvirt_error **ret_error)
{
    group->version = strcmp(mount->type, "cgroup2") == 0 ? 2 : 1;
    group->mount = strdup(mount->point);
    group->mount_root = strdup(mount->root);
    group->controllers = strdup(group->version == 1 ? controllers_of(mount) : "");
    if (!group->mount || !group->mount_root || !group->controllers)
        return nv_fail_sys(ret_error, ENOMEM, group_name(group->path).s, "malloc",
                           "free memory in this process");
    return 0;
}

static int find_hierarchy(const struct nv_tree *tree, struct nv_cgroup *group,
                          struct nestvirt_error **ret_error)
{
    NV_AUTO_FREE char *mounts = malloc(MOUNTS_MAX);
    struct mount_line mount;
    ssize_t length;

    if (!mounts)
        return nv_fail_sys(ret_error, ENOMEM, group_name(group->path).s, "malloc",
                           "free memory in this process");
    length = nv_tree_read(tree, "proc/self/mountinfo", mounts, MOUNTS_MAX);
    if (length < 0)
        return nv_fail_sys(ret_error, (int)-length, "/proc/self/mountinfo", "open", "mount /proc");
    if (!find_mount(mounts, group->path, &mount) || strncmp(mount.type, "cgroup", 6) != 0)
        return nv_fail(ret_error, -EINVAL, group_name(group->path).s,
                       "use a folder below the mounts of type cgroup or cgroup2 in /proc/mounts",
                       "is not in a cgroup file system");
    return keep_mount(group, &mount, ret_error);
}

/* Only then single threads can be in it; the root alone has no type, and takes them. */
static int check_type(const struct nv_tree *tree, const struct nv_cgroup *group,
                      struct nestvirt_error **ret_error)
{
    NV_AUTO_FREE char *path = NULL;
    char type[64];

    if (asprintf(&path, "%s/cgroup.type", group->path) < 0)
        return -ENOMEM;
    if (nv_tree_read(tree, path, type, sizeof(type)) < 0)
        return 0;
    type[strcspn(type, "\n")] = '\0';
    if (strcmp(type, "threaded") == 0)
        return 0;
    return nv_fail(ret_error, -ENOTSUP, group_name(group->path).s,
                   "below the group of this process, write \"threaded\" to its cgroup.type",
                   "takes no single threads: its type is \"%s\"", type);
}

static const char *open_hint(int sys_errno)
{
    switch (sys_errno) {
    case ENOENT:
        return "make the folder first (mkdir)";
    case EROFS:
        return "mount the cgroup file system read-write, or name one that is";
    case EACCES:
    case EPERM:
        return "run as root, or have the group given to this user (chown of its files)";
    default:
        return nv_fd_hint(sys_errno, "");
    }
}

static int open_tasks(const struct nv_tree *tree, struct nv_cgroup *group,
                      struct nestvirt_error **ret_error)
{
    const char *file = group->version == 2 ? "cgroup.threads" : "tasks";
    NV_AUTO_FREE char *path = NULL;

    if (asprintf(&path, "%s/%s", group->path, file) < 0)
        return -ENOMEM;
    group->tasks_fd = nv_tree_open_at(tree, path, O_WRONLY);
    if (group->tasks_fd < 0)
        return nv_fail_sys(ret_error, -group->tasks_fd, group_name(group->path).s,
                           nv_text("open %s", file).s, open_hint(-group->tasks_fd));
    return 0;
}

static int open_group(const struct nv_tree *tree, const char *path, struct nv_cgroup *group,
                      struct nestvirt_error **ret_error)
{
    int r = resolve(tree, path, &group->path);

    if (r == -ENOTDIR)
        return nv_fail(ret_error, -EINVAL, group_name(path).s, "name the group's folder",
                       "is not a folder");
    if (r < 0)
        return nv_fail_sys(ret_error, -r, group_name(path).s, "open", open_hint(-r));
    r = find_hierarchy(tree, group, ret_error);
    if (r < 0)
        return r;
    if (group->version == 2)
        r = check_type(tree, group, ret_error);
    else if (strcmp(group->controllers, "memory") == 0)
        r = nv_fail(ret_error, -ENOTSUP, group_name(path).s,
                    "put the process itself there: write its id to cgroup.procs",
                    "memory is charged to the group of the process, not of its threads");
    return r < 0 ? r : open_tasks(tree, group, ret_error);
}

int nv_cgroup_open(const struct nv_tree *tree, const char *path, struct nv_cgroup *ret_group,
                   struct nestvirt_error **ret_error)
{
    struct nv_cgroup group = { .tasks_fd = -1 };
    int r;

    if (path[0] != '/')
        return nv_fail(ret_error, -EINVAL, group_name(path).s,
                       "write the whole path, such as /sys/fs/cgroup/cpu/vm1", "is not absolute");
    r = open_group(tree, path, &group, ret_error);
    if (r < 0) {
        nv_cgroup_close(&group);
        return r;
    }
    *ret_group = group;
    return 0;
}

void nv_cgroup_close(struct nv_cgroup *group)
{
    if (group->tasks_fd >= 0)
        close(group->tasks_fd);
    free(group->path);
    free(group->mount);
    free(group->mount_root);
    free(group->controllers);
    *group = (struct nv_cgroup){ .tasks_fd = -1 };
}

bool nv_cgroup_is_beside(const struct nv_cgroup *a, const struct nv_cgroup *b)
{
    return a->version == b->version && strcmp(a->controllers, b->controllers) == 0;
}

int nv_cgroup_need(const struct nv_tree *tree, const struct nv_cgroup *group,
                   const char *controller, struct nestvirt_error **ret_error)
{
    NV_AUTO_FREE char *path = NULL;
    char text[512] = "";

    if (group->version == 1) {
        if (nv_facts_has_word(group->controllers, controller))
            return 0;
        return nv_fail(
            ret_error, -ENOTSUP, group_name(group->path).s,
            nv_text("use a group of the hierarchy with it (mount -t cgroup -o %s)", controller).s,
            "its hierarchy has no controller %s", controller);
    }
    if (asprintf(&path, "%s/cgroup.controllers", group->path) < 0)
        return -ENOMEM;
    if (nv_tree_read(tree, path, text, sizeof(text)) >= 0 && nv_facts_has_word(text, controller))
        return 0;
    return nv_fail(ret_error, -ENOTSUP, group_name(group->path).s,
                   nv_text("write \"+%s\" to cgroup.subtree_control of the groups above it; it may "
                           "be in use by version 1",
                           controller)
                       .s,
                   "has no controller %s", controller);
}

/* The path of a thread's group in the line of a hierarchy; NULL if it is another's. */
static const char *path_in_line(char *line, const struct nv_cgroup *group)
{
    char *number = strsep(&line, ":");
    char *controllers = strsep(&line, ":");

    if (!line || !number)
        return NULL;
    if (group->version == 2)
        return controllers[0] == '\0' ? line : NULL;
    controllers[strcspn(controllers, ",")] = '\0';
    return controllers[0] && nv_facts_has_word(group->controllers, controllers) ? line : NULL;
}

static int find_folder(const struct nv_cgroup *group, char *lines, char **ret_folder)
{
    const char *path = NULL;
    char *line;

    while (!path && (line = strsep(&lines, "\n")))
        path = path_in_line(line, group);
    path = path ? behind(path, group->mount_root) : NULL;
    if (!path || strstr(path, "/../") == path)
        return -ENOTSUP;
    return asprintf(ret_folder, "%s%s", group->mount, path) < 0 ? -ENOMEM : 0;
}

int nv_cgroup_find(const struct nv_tree *tree, const struct nv_cgroup *group, pid_t tid,
                   char **ret_folder, struct nestvirt_error **ret_error)
{
    const struct nv_text file = nv_text("proc/self/task/%d/cgroup", tid);
    NV_AUTO_FREE char *lines = malloc(LINES_MAX);
    ssize_t length = lines ? nv_tree_read(tree, file.s, lines, LINES_MAX) : -ENOMEM;
    int r = length < 0 ? (int)length : find_folder(group, lines, ret_folder);

    if (r == -ENOTSUP)
        return nv_fail(ret_error, r, group_name(group->path).s,
                       "use the mount of that hierarchy which shows both groups",
                       "the thread's present group is outside of what is mounted at %s",
                       group->mount);
    if (r < 0)
        return nv_fail_sys(ret_error, -r, nv_text("/%s", file.s).s, "open", "mount /proc");
    return 0;
}

static int write_tid(int fd, pid_t tid)
{
    const struct nv_text text = nv_text("%d\n", tid);
    ssize_t done;

    do
        done = write(fd, text.s, strlen(text.s));
    while (done < 0 && errno == EINTR);
    return done < 0 ? -errno : 0;
}

static const char *move_hint(const struct nv_cgroup *group, int sys_errno)
{
    switch (sys_errno) {
    case EOPNOTSUPP:
        return "the group must be in the threaded domain of the process: below the process's group";
    case EACCES:
    case EPERM:
        return "run as root, or have the groups given to this user up to their common parent";
    case ENOSPC:
        return "write CPUs and memory nodes to its cpuset.cpus and cpuset.mems first";
    case EINVAL:
        return "a real-time thread needs time in the group's cpu.rt_runtime_us";
    case EBUSY:
        return "take the controllers out of its cgroup.subtree_control";
    default:
        return "";
    }
}

int nv_cgroup_move(const struct nv_cgroup *group, pid_t tid, const char *name,
                   struct nestvirt_error **ret_error)
{
    int r = write_tid(group->tasks_fd, tid);

    if (r == -ENODEV)
        return nv_fail(ret_error, -ENOENT, group_name(group->path).s, "make it and set it again",
                       "was removed since it was set");
    if (r < 0)
        return nv_fail_sys(ret_error, -r, name, nv_text("moving it to %s", group->path).s,
                           move_hint(group, -r));
    return 0;
}

int nv_cgroup_move_back(const struct nv_tree *tree, const struct nv_cgroup *group,
                        const char *folder, pid_t tid)
{
    NV_AUTO_FREE char *path = NULL;
    NV_AUTO_FD fd = -1;

    if (asprintf(&path, "%s/%s", folder, group->version == 2 ? "cgroup.threads" : "tasks") < 0)
        return -ENOMEM;
    fd = nv_tree_open_at(tree, path, O_WRONLY);
    return fd < 0 ? fd : write_tid(fd, tid);
}
