/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the socket device's own socket file: how it comes to its path, and goes. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "core/cleanup.h"
#include "core/error.h"
#include "core/util.h"
#include "devices/vsock.h"
#include "host/file.h"

enum {
    BACKLOG = 128,
    NAMES_MAX = 8,    /* that are tried for the file until it is at its path */
    MOVES_MAX = 8,    /* to the path, while others come and go there */
    LOCK_TRIES = 1000 /* a millisecond apart */
};

/*
 * A socket is bound and listens under a name of its own before it is moved to its path: whoever
 * finds it there, be it a client or another device that wants the path, finds one that answers. A
 * stale one changes places with it and is looked at again, where nobody can take it any more.
 */
struct socket_file {
    int fd;
    struct sockaddr_un address; /* the name of its own */
};

static int path_error(const struct nv_vsock *s, int code, const char *hint, const char *problem,
                      struct nestvirt_error **ret_error)
{
    return nv_fail(ret_error, code, nv_text("socket %s", s->path).s, hint, "%s", problem);
}

static int system_error(const struct nv_vsock *s, int sys_errno, const char *call, const char *hint,
                        struct nestvirt_error **ret_error)
{
    return nv_fail_sys(ret_error, sys_errno, nv_text("socket %s", s->path).s, call, hint);
}

/* Binds and listens in the path's folder. */
static int make_file(const struct nv_vsock *s, struct socket_file *file,
                     struct nestvirt_error **ret_error)
{
    uint32_t number = (uint32_t)(nv_now_ns() ^ s->hash_key);
    int r = -1;

    file->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (file->fd < 0)
        return nv_fail_sys(ret_error, errno, "socket", "socket",
                           nv_fd_hint(errno, "free memory in this process"));
    for (int i = 0; i < NAMES_MAX && r < 0; i++) {
        file->address = (struct sockaddr_un){ .sun_family = AF_UNIX };
        snprintf(file->address.sun_path, sizeof(file->address.sun_path), "%s.%08x", s->path,
                 number + (uint32_t)i);
        r = bind(file->fd, (const struct sockaddr *)&file->address, sizeof(file->address));
        if (r < 0 && errno != EADDRINUSE)
            break;
    }
    if (r < 0)
        return system_error(s, errno, "bind",
                            errno == ENOENT ? "make the folder first"
                                            : "use a folder that this user may write to",
                            ret_error);
    if (listen(file->fd, BACKLOG) == 0)
        return 0;
    r = system_error(s, errno, "listen", "use another path", ret_error);
    unlink(file->address.sun_path);
    return r;
}

/*
 * Keeps other devices, also of other processes, from the folder until it is closed. -1: that is not
 * possible, or somebody else holds it for long; then there is only what renameat2() promises.
 */
static int lock_folder(const struct nv_vsock *s)
{
    const struct timespec pause = { .tv_nsec = 1000000 };
    struct nv_text folder = nv_text("%s", s->path);
    char *end = strrchr(folder.s, '/');
    NV_AUTO_FD fd = -1;

    if (!end)
        folder = nv_text(".");
    else
        end[end == folder.s] = '\0';
    fd = open(folder.s, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (int i = 0; i < LOCK_TRIES && fd >= 0; i++) {
        if (flock(fd, LOCK_EX | LOCK_NB) == 0)
            return nv_steal_fd(&fd);
        if (errno != EWOULDBLOCK && errno != EINTR)
            return -1;
        nanosleep(&pause, NULL);
    }
    return -1;
}

/* 0 if there is only a socket that nobody listens on, or nothing. */
static int check_stale(const struct nv_vsock *s, const char *path,
                       struct nestvirt_error **ret_error)
{
    struct stat info;
    int r;

    if (lstat(path, &info) < 0)
        return errno == ENOENT ? 0 : system_error(s, errno, "lstat", "check the path", ret_error);
    if (!S_ISSOCK(info.st_mode))
        return path_error(s, -EEXIST, "use another path or remove the file",
                          "there is something else than a socket", ret_error);
    r = nv_vsock_connect_path(path);
    if (r >= 0)
        close(r);
    if (r != -ECONNREFUSED && r != -ENOENT)
        return path_error(s, -EADDRINUSE, "use another path, or end the program that listens there",
                          "somebody listens there already", ret_error);
    return 0;
}

/* Puts the file where a stale one is; 1: there is none any more. */
static int replace(const struct nv_vsock *s, const char *own, struct nestvirt_error **ret_error)
{
    int r;

    if (renameat2(AT_FDCWD, own, AT_FDCWD, s->path, RENAME_EXCHANGE) < 0) {
        if (errno == ENOENT)
            return 1;
        if (errno != EINVAL && errno != ENOSYS)
            return system_error(s, errno, "renameat2", "remove the old socket file", ret_error);
        /* A file system that cannot do that: what came to the path just now is lost. */
        return rename(own, s->path) < 0
                   ? system_error(s, errno, "rename", "remove the old socket file", ret_error)
                   : 0;
    }
    r = check_stale(s, own, ret_error);
    if (r >= 0 && unlink(own) < 0 && errno != ENOENT)
        r = system_error(s, errno, "unlink", "remove the old socket file", ret_error);
    if (r < 0)
        renameat2(AT_FDCWD, own, AT_FDCWD, s->path, RENAME_EXCHANGE);
    return r;
}

/* Moves it to a path where nothing is: 0; -EEXIST: something is there. */
static int move(const char *own, const char *path)
{
    if (renameat2(AT_FDCWD, own, AT_FDCWD, path, RENAME_NOREPLACE) == 0)
        return 0;
    if (errno != EINVAL && errno != ENOSYS)
        return -errno;
    if (link(own, path) < 0)
        return -errno;
    unlink(own);
    return 0;
}

static int move_to_path(const struct nv_vsock *s, const char *own,
                        struct nestvirt_error **ret_error)
{
    NV_AUTO_FD folder = lock_folder(s);
    int r = 1;

    (void)folder;
    for (int i = 0; i < MOVES_MAX && r > 0; i++) {
        r = move(own, s->path);
        if (r < 0 && r != -EEXIST)
            return system_error(s, -r, "renameat2", "use another path", ret_error);
        if (r == -EEXIST) {
            r = check_stale(s, s->path, ret_error);
            if (r >= 0)
                r = replace(s, own, ret_error);
        }
    }
    return r > 0 ? path_error(s, -EADDRINUSE, "use another path",
                              "others make and remove sockets there all the time", ret_error)
                 : r;
}

int nv_vsock_listen(struct nv_vsock *s, struct nestvirt_error **ret_error)
{
    struct socket_file file;
    struct stat info;
    int r = make_file(s, &file, ret_error);

    /* What file it is, so that not another's is removed in the end. */
    if (r >= 0 && lstat(file.address.sun_path, &info) == 0) {
        s->listener_device = info.st_dev;
        s->listener_inode = info.st_ino;
    }
    if (r >= 0) {
        r = move_to_path(s, file.address.sun_path, ret_error);
        if (r < 0)
            unlink(file.address.sun_path);
    }
    if (r < 0 && file.fd >= 0)
        close(file.fd);
    if (r < 0)
        return r;
    s->listener.fd = file.fd;
    return 0;
}

void nv_vsock_stop_listening(struct nv_vsock *s)
{
    struct stat info;

    if (s->listener.fd < 0)
        return;
    if (s->listener_is_watched)
        nv_loop_disable(s->loop, &s->listener);
    s->listener_is_watched = false;
    if (lstat(s->path, &info) == 0 && S_ISSOCK(info.st_mode) && info.st_ino == s->listener_inode &&
        info.st_dev == s->listener_device)
        unlink(s->path);
    close(s->listener.fd);
    s->listener.fd = -1;
}
