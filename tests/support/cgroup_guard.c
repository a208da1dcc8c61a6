/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the process that removes control groups when whoever made them has ended, in whatever way.
 */
#include "cgroup_guard.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { TOLD_MAX = 256, PATH_SIZE = 256, TRIES = 500, TRY_US = 10000 };

static int guardian_pipe = -1;

/* A group empties a moment after its last thread has ended. */
int cgroup_guard_remove(const char *path)
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
        cgroup_guard_remove(lines[--used]);
    _exit(0);
}

void cgroup_guard_begin(void)
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

int cgroup_guard_tell(const char *path)
{
    return dprintf(guardian_pipe, "%s\n", path) > 0 ? 0 : -1;
}
