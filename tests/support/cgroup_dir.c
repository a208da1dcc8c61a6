/* SPDX-License-Identifier: Apache-2.0 */
/* Owns real control groups for tests, which go again whatever becomes of the test. */
#include "cgroup_dir.h"

#include <errno.h>
#include <fcntl.h>
#include <mntent.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "support.h"

enum { GROUPS_MAX = 16, TOLD_MAX = 256, PATH_SIZE = 256, TRIES = 500, TRY_US = 10000 };

static char paths[GROUPS_MAX][PATH_SIZE];
static int count;
static int guardian_pipe = -1;

const char *cgroup_dir_mount(const char *controller)
{
    static char found[PATH_SIZE];
    FILE *file = setmntent("/proc/self/mounts", "re");
    struct mntent *mount;

    found[0] = '\0';
    while (file && (mount = getmntent(file)))
        if (strcmp(mount->mnt_type, controller) == 0 ||
            (strcmp(mount->mnt_type, "cgroup") == 0 && hasmntopt(mount, controller)))
            snprintf(found, sizeof(found), "%s", mount->mnt_dir);
    if (file)
        endmntent(file);
    return found[0] ? found : NULL;
}

/* A group empties a moment after its last thread has ended. */
static int remove_group(const char *path)
{
    for (int i = 0; i < TRIES; i++) {
        if (rmdir(path) == 0 || errno == ENOENT)
            return 0;
        usleep(TRY_US);
    }
    return 1;
}

/* Waits for the end of whoever started it and clears up. Never returns. */
static void guard(int fd)
{
    static char lines[TOLD_MAX][PATH_SIZE];
    FILE *file;
    int used = 0;

    setsid(); /* what ends the test does not end this */
    dup2(fd, STDIN_FILENO);
    close_range(STDERR_FILENO + 1, ~0u, 0);
    file = fdopen(STDIN_FILENO, "r");
    for (; file && used < TOLD_MAX && fgets(lines[used], PATH_SIZE, file); used++)
        lines[used][strcspn(lines[used], "\n")] = '\0';
    while (used > 0)
        remove_group(lines[--used]);
    _exit(0);
}

void cgroup_dir_begin(void)
{
    int ends[2];
    pid_t guardian;

    if (guardian_pipe >= 0)
        close(guardian_pipe); /* of the parent process */
    guardian_pipe = -1;
    if (pipe2(ends, O_CLOEXEC) < 0)
        return;
    guardian = fork();
    if (guardian == 0) {
        close(ends[1]);
        guard(ends[0]);
    }
    close(ends[0]);
    guardian_pipe = guardian < 0 ? -1 : ends[1];
}

const char *cgroup_dir_make(const char *parent, const char *name)
{
    char *path = paths[count];

    ck_assert_int_lt(count, GROUPS_MAX);
    snprintf(path, PATH_SIZE, "%s/nestvirt-%d-%s", parent, getpid(), name);
    ck_assert_int_gt(dprintf(guardian_pipe, "%s\n", path), 0); /* before there is something to go */
    if (mkdir(path, 0755) < 0)
        ck_abort_msg("mkdir %s: %s", path, strerror(errno));
    count++;
    return path;
}

void cgroup_dir_remove(void)
{
    int left = 0;

    while (count > 0)
        left += remove_group(paths[--count]);
    ck_assert_int_eq(left, 0);
}

static void name_file(char path[2 * PATH_SIZE], const char *group, const char *file)
{
    snprintf(path, 2 * PATH_SIZE, "%s/%s", group, file);
}

void cgroup_dir_put(const char *group, const char *file, const char *text)
{
    char path[2 * PATH_SIZE];
    int fd;

    name_file(path, group, file);
    fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0 || write(fd, text, strlen(text)) < 0)
        ck_abort_msg("%s: %s", path, strerror(errno));
    close(fd);
}

const char *cgroup_dir_get(const char *group, const char *file)
{
    static char text[4096];
    char path[2 * PATH_SIZE];
    ssize_t length;
    int fd;

    name_file(path, group, file);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    length = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
    if (length < 0)
        ck_abort_msg("%s: %s", path, strerror(errno));
    close(fd);
    text[length] = '\0';
    return text;
}
