/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the kernel's small files (proc, sys, cgroup) under a root that tests put elsewhere. */
#include "host/tree.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/cleanup.h"
#include "core/error.h"
#include "host/file.h"

enum {
    LIST_MAX = 32768, /* the longest list of CPUs that the kernel prints is below this */
    WALK_PATH_MAX = 1024,
    WALK_LINKS_MAX = 40 /* as the kernel has it */
};

int nv_tree_open(const char *root, struct nv_tree *ret_tree, struct nestvirt_error **ret_error)
{
    const char *path = root ? root : "/";
    int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0)
        return nv_fail_sys(ret_error, errno, path, "open",
                           nv_fd_hint(errno, "name a folder that exists"));
    ret_tree->fd = fd;
    return 0;
}

void nv_tree_close(struct nv_tree *tree)
{
    if (tree->fd >= 0)
        close(tree->fd);
    tree->fd = -1;
}

/* A path on its way: what is done has no links, dots or slashes at its start; the rest is to come.
 */
struct walk {
    char done[WALK_PATH_MAX];
    char rest[WALK_PATH_MAX];
    int links;
};

/* Takes a link's text in place of the component that is not done. */
static int follow(struct walk *walk, const char *link, const char *rest)
{
    char text[WALK_PATH_MAX];

    if (++walk->links > WALK_LINKS_MAX)
        return -ELOOP;
    if (snprintf(text, sizeof(text), "%s/%s", link, rest) >= (int)sizeof(text))
        return -ENAMETOOLONG;
    if (link[0] == '/')
        walk->done[0] = '\0';
    strcpy(walk->rest, text);
    return 0;
}

/* One component: dots stay within the root, links are followed, others are done. */
static int step(const struct nv_tree *tree, struct walk *walk)
{
    char *name = walk->rest + strspn(walk->rest, "/");
    size_t length = strcspn(name, "/");
    char *rest = name + length + (name[length] == '/');
    size_t used = strlen(walk->done);
    char link[WALK_PATH_MAX];
    ssize_t got;

    name[length] = '\0';
    if (strcmp(name, "..") == 0) {
        char *slash = strrchr(walk->done, '/');

        *(slash ? slash : walk->done) = '\0';
    } else if (name[0] && strcmp(name, ".") != 0) {
        if (used + length + 2 > sizeof(walk->done))
            return -ENAMETOOLONG;
        snprintf(walk->done + used, sizeof(walk->done) - used, "%s%s", used ? "/" : "", name);
        got = readlinkat(tree->fd, walk->done, link, sizeof(link) - 1);
        if (got >= 0) {
            link[got] = '\0';
            walk->done[used] = '\0';
            return follow(walk, link, rest);
        }
    }
    memmove(walk->rest, rest, strlen(rest) + 1);
    return 0;
}

/* openat2() by hand. */
static int open_by_steps(const struct nv_tree *tree, const char *path, int flags)
{
    struct walk walk = { .done = "" };
    int fd;

    if (snprintf(walk.rest, sizeof(walk.rest), "%s", path) >= (int)sizeof(walk.rest))
        return -ENAMETOOLONG;
    while (walk.rest[0]) {
        int r = step(tree, &walk);

        if (r < 0)
            return r;
    }
    fd = openat(tree->fd, walk.done[0] ? walk.done : ".", flags | O_NOFOLLOW);
    return fd < 0 ? -errno : fd;
}

int nv_tree_open_at(const struct nv_tree *tree, const char *path, int flags)
{
    struct open_how how = {
        /* O_PATH goes with few others, and opens no terminal. */
        .flags = (uint64_t)(unsigned)(flags | O_CLOEXEC | (flags & O_PATH ? 0 : O_NOCTTY)),
        .resolve = RESOLVE_IN_ROOT,
    };
    long fd = syscall(SYS_openat2, tree->fd, path, &how, sizeof(how));

    /* Older kernels and sandboxes do not know it; and a rename elsewhere may confuse it. */
    if (fd < 0 && (errno == ENOSYS || errno == EPERM || errno == EAGAIN))
        return open_by_steps(tree, path, (int)how.flags);
    return fd < 0 ? -errno : (int)fd;
}

int nv_tree_open_file(const struct nv_tree *tree, const char *path, int flags)
{
    NV_AUTO_FD fd = nv_tree_open_at(tree, path, flags | O_NONBLOCK);
    struct stat info;

    if (fd < 0)
        return fd;
    if (fstat(fd, &info) < 0)
        return -errno;
    if (!S_ISREG(info.st_mode))
        return S_ISDIR(info.st_mode) ? -EISDIR : -EINVAL;
    return nv_steal_fd(&fd);
}

ssize_t nv_tree_read(const struct nv_tree *tree, const char *path, char *buffer, size_t size)
{
    NV_AUTO_FD fd = nv_tree_open_file(tree, path, O_RDONLY);
    size_t used = 0;

    if (fd < 0)
        return fd;
    while (used + 1 < size) {
        ssize_t done = read(fd, buffer + used, size - 1 - used);

        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0)
            return -errno;
        if (done == 0)
            break;
        used += (size_t)done;
    }
    buffer[used] = '\0';
    return (ssize_t)used;
}

int nv_tree_read_u64(const struct nv_tree *tree, const char *path, uint64_t *ret_value)
{
    char text[64];
    char *end;
    unsigned long long value;
    ssize_t length = nv_tree_read(tree, path, text, sizeof(text));

    if (length < 0)
        return (int)length;
    if (text[0] < '0' || text[0] > '9')
        return -EINVAL;
    errno = 0;
    value = strtoull(text, &end, 10);
    if (errno || (*end && *end != '\n'))
        return -EINVAL;
    *ret_value = value;
    return 0;
}

int nv_tree_read_list(const struct nv_tree *tree, const char *path, struct nv_set *ret_set)
{
    NV_AUTO_FREE char *text = malloc(LIST_MAX);
    ssize_t length;

    if (!text)
        return -ENOMEM;
    length = nv_tree_read(tree, path, text, LIST_MAX);
    return length < 0 ? (int)length : nv_list_parse_kernel(text, ret_set);
}

int nv_tree_write(const struct nv_tree *tree, const char *path, const char *text)
{
    NV_AUTO_FD fd = nv_tree_open_file(tree, path, O_WRONLY);
    size_t length = strlen(text);
    ssize_t done;

    if (fd < 0)
        return fd;
    do
        done = write(fd, text, length);
    while (done < 0 && errno == EINTR);
    if (done < 0)
        return -errno;
    return (size_t)done == length ? 0 : -EIO;
}
