/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the control group whose memory is counted, and the process that is in it. */
#include "usage.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cgroup_guard.h"

enum {
    SETTLES = 4,          /* without a group */
    SETTLE_NS = 500000000 /* the kernel gives back what was freed a while later */
};

static char group[64];
static const char *usage_file; /* of a control group; NULL: there is none */

static void remove_group(void)
{
    if (usage_file)
        cgroup_guard_remove(group);
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

    cgroup_guard_begin();
    for (int i = 0; i < 2; i++) {
        snprintf(group, sizeof(group), "%s/nestvirt-bench-%d", versions[i].mount, getpid());
        bench_need(cgroup_guard_tell(group) < 0 ? -EPIPE : 0, "what removes the control group");
        snprintf(path, sizeof(path), "%s/%s", group, versions[i].usage);
        if (mkdir(group, 0755) == 0 && access(path, R_OK) == 0) {
            usage_file = versions[i].usage;
            break;
        }
        rmdir(group);
    }
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

static void live(const void *state, int fd)
{
    const struct usage_contender *contender = state;
    char byte;

    if (contender->prepare)
        contender->prepare();
    tell(fd);
    hear(fd);
    usage_join();
    contender->fill(contender->count);
    tell(fd);
    while (read(fd, &byte, 1) < 0 && errno == EINTR) /* until it is killed, or its parent was */
        ;
    _exit(1);
}

uint64_t usage_measure(const struct usage_contender *contender)
{
    uint64_t before;
    uint64_t after;
    pid_t pid;
    int fd;

    fd = bench_spawn(live, contender, &pid);
    hear(fd);
    usage_settle();
    before = usage_now();
    tell(fd);
    hear(fd);
    usage_settle();
    after = usage_now();
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    close(fd);
    return after > before ? (after - before) / contender->count : 0;
}
