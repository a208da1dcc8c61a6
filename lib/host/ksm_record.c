/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the record of former KSM settings: written before a change, read when its writer has died.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/cleanup.h"
#include "core/error.h"
#include "host/file.h"
#include "host/ksm.h"

enum { RECORD_MAX = 2048 /* bytes; ours are below 600 */ };
static const char first_line[] = "nestvirt-ksm 1";

static bool is_trusted(const struct stat *info)
{
    bool is_ours = info->st_uid == 0 || info->st_uid == geteuid();
    bool is_open = info->st_mode & (S_IWGRP | S_IWOTH);

    return is_ours && (!is_open || (S_ISDIR(info->st_mode) && info->st_mode & S_ISVTX));
}

/* The folder that a path begins with, of length bytes; -ELOOP: it is a symbolic link. */
static int enter_plain(int folder, const char *path, size_t length)
{
    char name[NAME_MAX + 1];
    struct stat info;
    NV_AUTO_FD fd = -1;

    if (length >= sizeof(name))
        return -ENAMETOOLONG;
    snprintf(name, sizeof(name), "%.*s", (int)length, path);
    fd = openat(folder, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &info) < 0)
        return -errno;
    return S_ISLNK(info.st_mode) ? -ELOOP : nv_steal_fd(&fd);
}

/*
 * Opens without following any symbolic link on the way, which might be somebody else's: folder by
 * folder, as openat2() is not known everywhere.
 */
static int open_plain(int folder, const char *path, int flags)
{
    NV_AUTO_FD at = openat(folder, *path == '/' ? "/" : ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    int fd;

    if (at < 0)
        return -errno;
    path += strspn(path, "/");
    while (strchr(path, '/')) {
        size_t length = strcspn(path, "/");

        fd = enter_plain(at, path, length);
        if (fd < 0)
            return fd;
        close(at);
        at = fd;
        path += length + strspn(path + length, "/");
    }
    fd = openat(at, *path ? path : ".", flags | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    return fd < 0 ? -errno : fd;
}

static int fail(const struct nv_ksm_place *place, int code, const char *hint, const char *problem,
                struct nestvirt_error **ret_error)
{
    return nv_fail(ret_error, code, nv_text("KSM record %.80s", place->path).s, hint, "%s",
                   problem);
}

static int fail_call(const struct nv_ksm_place *place, int code, const char *call,
                     struct nestvirt_error **ret_error)
{
    const char *hint = code == -ELOOP    ? "name it without symbolic links"
                       : code == -EACCES ? "use a folder that this user may write to"
                       : code == -ENOENT ? "make the folder first"
                                         : "use another path";

    return nv_fail_sys(ret_error, -code, nv_text("KSM record %.80s", place->path).s, call, hint);
}

int nv_ksm_open_place(const char *record, struct nv_ksm_place *ret_place,
                      struct nestvirt_error **ret_error)
{
    const char *path = record ? record : NV_KSM_RECORD;
    const char *slash = strrchr(path, '/');
    struct nv_ksm_place place = { .folder = -1 };
    char folder[sizeof(place.path)];
    struct stat info;

    snprintf(place.path, sizeof(place.path), "%s", path);
    snprintf(place.name, sizeof(place.name), "%s", slash ? slash + 1 : path);
    if (strlen(path) >= sizeof(place.path) || strlen(slash ? slash : path) >= sizeof(place.name))
        return fail(&place, -ENAMETOOLONG, "use a shorter path", "its path is too long", ret_error);
    if (!place.name[0] || strcmp(place.name, ".") == 0 || strcmp(place.name, "..") == 0)
        return fail(&place, -EINVAL, "name a file", "is no file's name", ret_error);
    snprintf(folder, sizeof(folder), "%.*s", slash ? (int)(slash - path) + 1 : 1,
             slash ? path : ".");
    place.folder = open_plain(AT_FDCWD, folder, O_RDONLY | O_DIRECTORY);
    if (place.folder < 0)
        return fail_call(&place, place.folder, "open", ret_error);
    if (fstat(place.folder, &info) < 0 || !is_trusted(&info)) {
        close(place.folder);
        return fail(&place, -EPERM,
                    "use a folder of root's or this user's that others cannot write to",
                    "others may write to its folder", ret_error);
    }
    *ret_place = place;
    return 0;
}

static uint64_t get_start_time(const struct nv_tree *tree, int pid)
{
    char text[1024];
    const char *end;
    char state;
    int threads;
    uint64_t start;

    if (nv_tree_read(tree, nv_text("proc/%d/stat", pid).s, text, sizeof(text)) < 0)
        return 0;
    end = strrchr(text, ')');
    if (!end || sscanf(end + 1,
                       " %c %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %d "
                       "%*s %" SCNu64,
                       &state, &threads, &start) != 3)
        return 0;
    /* Dead, and its parent has not asked yet; with other threads only its first one has ended. */
    return (state == 'Z' || state == 'X') && threads <= 1 ? 0 : start;
}

static void get_boot(const struct nv_tree *tree, char boot[48])
{
    char text[48];

    if (nv_tree_read(tree, "proc/sys/kernel/random/boot_id", text, sizeof(text)) <= 0 ||
        sscanf(text, "%47[0-9a-f-]", boot) != 1)
        snprintf(boot, 48, "unknown");
}

static int print(const struct nv_tree *tree, const struct nestvirt_ksm_settings *former, char *text)
{
    int pid = getpid();
    char boot[48];
    int head, rest;

    get_boot(tree, boot);
    head = snprintf(text, RECORD_MAX, "%s\nowner %d %" PRIu64 " %s\n", first_line, pid,
                    get_start_time(tree, pid), boot);
    rest = nv_ksm_print(former, text + head, RECORD_MAX - (size_t)head - 4);
    if (rest < 0)
        return rest;
    memcpy(text + head + rest, "end\n", 5);
    return head + rest + 4;
}

/* Complete before it has its name, so that there is never a part of one. */
static int write_file(const struct nv_ksm_place *place, const char *draft, const char *text,
                      size_t length)
{
    NV_AUTO_FD fd =
        openat(place->folder, draft, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    ssize_t done;

    if (fd < 0)
        return -errno;
    do
        done = write(fd, text, length);
    while (done < 0 && errno == EINTR);
    if (done < 0)
        return -errno;
    if ((size_t)done != length)
        return -ENOSPC;
    if (fsync(fd) < 0)
        return -errno;
    return renameat2(place->folder, draft, place->folder, place->name, RENAME_NOREPLACE) < 0
               ? -errno
               : 0;
}

int nv_ksm_write_record(const struct nv_tree *tree, const struct nv_ksm_place *place,
                        const struct nestvirt_ksm_settings *former,
                        struct nestvirt_error **ret_error)
{
    const struct nv_text draft = nv_text("%.90s.%d", place->name, gettid());
    char text[RECORD_MAX];
    int r = print(tree, former, text);

    if (r < 0)
        return fail_call(place, r, "snprintf", ret_error);
    unlinkat(place->folder, draft.s, 0); /* of a thread of this number that died just there */
    r = write_file(place, draft.s, text, (size_t)r);
    if (r < 0)
        unlinkat(place->folder, draft.s, 0);
    if (r == -EEXIST)
        return fail(place, r, "wait until it is gone", "is there already", ret_error);
    if (r < 0)
        return fail_call(place, r, "write", ret_error);
    if (fsync(place->folder) < 0) {
        r = -errno;
        nv_ksm_unlink_record(place);
        return fail_call(place, r, "fsync", ret_error);
    }
    return 0;
}

int nv_ksm_unlink_record(const struct nv_ksm_place *place)
{
    if (unlinkat(place->folder, place->name, 0) < 0)
        return -errno;
    fsync(place->folder);
    return 0;
}

int nv_ksm_lock_record(const struct nv_ksm_place *place, struct nestvirt_error **ret_error)
{
    NV_AUTO_FD fd = open_plain(place->folder, place->name, O_RDONLY);
    struct stat info;

    if (fd == -ENOENT)
        return fd;
    if (fd < 0)
        return fail_call(place, fd, "open", ret_error);
    if (flock(fd, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK)
        return fail(place, -EBUSY, "wait until it is gone",
                    "another program is putting the settings back", ret_error);
    if (fstat(fd, &info) < 0)
        return fail_call(place, -errno, "fstat", ret_error);
    return info.st_nlink == 0 ? -ENOENT : nv_steal_fd(&fd);
}

static bool parse(char *text, struct nv_ksm_record *record)
{
    char *save = NULL;
    const char *line = strtok_r(text, "\n", &save);
    int used = 0;

    *record = (struct nv_ksm_record){ .former.size = sizeof(record->former) };
    if (!line || strcmp(line, first_line) != 0)
        return false;
    line = strtok_r(NULL, "\n", &save);
    if (!line ||
        sscanf(line, "owner %9d %" SCNu64 " %47s%n", &record->pid, &record->start_time,
               record->boot, &used) != 3 ||
        line[used] != '\0' || record->pid <= 0)
        return false;
    while ((line = strtok_r(NULL, "\n", &save)) && strcmp(line, "end") != 0)
        if (!nv_ksm_parse_line(line, &record->former))
            return false;
    return line && !strtok_r(NULL, "\n", &save) && record->former.flags != 0;
}

int nv_ksm_read_record(const struct nv_ksm_place *place, struct nv_ksm_record *ret_record,
                       struct nestvirt_error **ret_error)
{
    NV_AUTO_FD fd = open_plain(place->folder, place->name, O_RDONLY);
    char text[RECORD_MAX];
    struct stat info;
    ssize_t length;

    if (fd == -ENOENT)
        return fd;
    if (fd < 0)
        return fail_call(place, fd, "open", ret_error);
    if (fstat(fd, &info) < 0)
        return fail_call(place, -errno, "fstat", ret_error);
    if (!S_ISREG(info.st_mode))
        return fail(place, -EINVAL, "remove what is there", "is no regular file", ret_error);
    if (!is_trusted(&info) || info.st_nlink != 1)
        return fail(place, -EPERM, "remove it if you know how it came there",
                    "belongs to another user, or others may write to it", ret_error);
    length = read(fd, text, sizeof(text) - 1);
    if (length < 0)
        return fail_call(place, -errno, "read", ret_error);
    text[length] = '\0';
    if (strlen(text) != (size_t)length || length == RECORD_MAX - 1 || !parse(text, ret_record))
        return fail(place, -EINVAL, "remove it, and set KSM by hand",
                    "is no record of this library", ret_error);
    return 0;
}

bool nv_ksm_has_owner(const struct nv_tree *tree, const struct nv_ksm_record *record,
                      bool *ret_is_old)
{
    uint64_t start_time = get_start_time(tree, record->pid);
    char boot[48];

    get_boot(tree, boot);
    *ret_is_old = strcmp(boot, record->boot) != 0;
    /* 0: dead, or not to be seen; a record of one that did not see itself holds nobody up. */
    return !*ret_is_old && start_time != 0 && start_time == record->start_time;
}
