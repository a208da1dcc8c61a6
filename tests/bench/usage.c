/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the control group whose memory is counted, and the process that is in it. */
#include "usage.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    SETTLES = 4,          /* without a group */
    SETTLE_NS = 500000000 /* the kernel gives back what was freed a while later */
};

static char group[64];
static const char *usage_file; /* of a control group; NULL: there is none */

static void remove_group(void)
{
    for (int i = 0; usage_file && rmdir(group) < 0 && errno == EBUSY && i < SETTLES; i++)
        bench_sleep(SETTLE_NS);
}

/* Removes the group when all processes of this program have ended, in whatever way. */
static void start_guardian(void)
{
    int ends[2];
    pid_t guardian;
    char byte;

    bench_need(pipe2(ends, O_CLOEXEC) < 0 ? -errno : 0, "a pipe");
    guardian = fork();
    bench_need(guardian < 0 ? -errno : 0, "a process");
    if (guardian > 0) {
        close(ends[0]);
        return;
    }
    setsid(); /* what ends the program does not end this */
    dup2(ends[0], STDIN_FILENO);
    close_range(STDIN_FILENO + 1, ~0u, 0);
    while (read(STDIN_FILENO, &byte, 1) < 0 && errno == EINTR)
        ;
    remove_group();
    _exit(0);
}

void usage_begin(void)
{
    static const struct {
        const char *mount;
        const char *usage;
    } versions[] = {
        { "/sys/fs/cgroup/memory", "memory.usage_in_bytes" },
        { "/sys/fs/cgroup", "memory.current" },
    };
    char path[128];

    for (int i = 0; i < 2; i++) {
        snprintf(group, sizeof(group), "%s/nestvirt-bench-%d", versions[i].mount, getpid());
        snprintf(path, sizeof(path), "%s/%s", group, versions[i].usage);
        if (mkdir(group, 0755) == 0 && access(path, R_OK) == 0) {
            usage_file = versions[i].usage;
            break;
        }
        rmdir(group);
    }
    if (usage_file)
        start_guardian();
    atexit(remove_group);
}

const char *usage_extra(void)
{
    return usage_file ? ",\"by\":\"cgroup\"" : ",\"by\":\"MemAvailable\"";
}

void usage_join(void)
{
    char path[128];
    FILE *file;

    if (!usage_file)
        return;
    snprintf(path, sizeof(path), "%s/cgroup.procs", group);
    file = fopen(path, "we");
    bench_need(!file || fprintf(file, "%d\n", getpid()) < 0 || fclose(file) ? -errno : 0, path);
}

uint64_t usage_now(void)
{
    unsigned long long bytes = 0;
    char path[128];
    FILE *file;

    if (!usage_file)
        return UINT64_MAX / 2 - bench_available();
    snprintf(path, sizeof(path), "%s/%s", group, usage_file);
    file = fopen(path, "re");
    bench_need(!file || fscanf(file, "%llu", &bytes) != 1 ? -EIO : 0, path);
    fclose(file);
    return bytes;
}

void usage_settle(void)
{
    for (int i = 0; i < (usage_file ? 1 : SETTLES); i++)
        bench_sleep(SETTLE_NS);
}

/* One word to the other process, one from it. */
static void tell(int fd)
{
    bench_need(write(fd, "", 1) == 1 ? 0 : -EPIPE, "a contender's process");
}

static void hear(int fd)
{
    char byte;

    bench_need(read(fd, &byte, 1) == 1 ? 0 : -EPIPE, "a contender's process");
}

static void live(const struct usage_contender *contender, int fd)
{
    if (contender->prepare)
        contender->prepare();
    tell(fd);
    hear(fd);
    usage_join();
    contender->fill(contender->count);
    tell(fd);
    pause();
    _exit(1);
}

uint64_t usage_measure(const struct usage_contender *contender)
{
    uint64_t before;
    uint64_t after;
    int fds[2];
    pid_t pid;

    bench_need(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0 ? -errno : 0, "socket");
    pid = fork();
    bench_need(pid < 0 ? -errno : 0, "fork");
    if (pid == 0) {
        close(fds[0]);
        live(contender, fds[1]);
    }
    close(fds[1]);
    hear(fds[0]);
    usage_settle();
    before = usage_now();
    tell(fds[0]);
    hear(fds[0]);
    usage_settle();
    after = usage_now();
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    close(fds[0]);
    return after > before ? (after - before) / contender->count : 0;
}
