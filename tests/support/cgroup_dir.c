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

#include "cgroup_guard.h"
#include "support.h"

enum { GROUPS_MAX = 16, PATH_SIZE = 256 };

static char paths[GROUPS_MAX][PATH_SIZE];
static int count;

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

void cgroup_dir_begin(void)
{
    cgroup_guard_begin();
}

const char *cgroup_dir_make(const char *parent, const char *name)
{
    char *path = paths[count];

    ck_assert_int_lt(count, GROUPS_MAX);
    snprintf(path, PATH_SIZE, "%s/nestvirt-%d-%s", parent, getpid(), name);
    ck_assert_int_eq(cgroup_guard_tell(path), 0); /* before there is something to go */
    if (mkdir(path, 0755) < 0)
        ck_abort_msg("mkdir %s: %s", path, strerror(errno));
    count++;
    return path;
}

void cgroup_dir_remove(void)
{
    int left = 0;

    while (count > 0)
        left += cgroup_guard_remove(paths[--count]);
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
