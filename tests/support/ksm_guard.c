/* SPDX-License-Identifier: Apache-2.0 */
/* Owns a child that puts the host's KSM settings back, however the test program ends. */
#include "ksm_guard.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { COUNT = 12, VALUE_SIZE = 64 };

/* In the order in which they are written: an advisor behind pages_to_scan, run last. */
static const char *const names[COUNT] = {
    "sleep_millisecs",
    "merge_across_nodes",
    "use_zero_pages",
    "max_page_sharing",
    "smart_scan",
    "advisor_max_cpu",
    "advisor_min_pages_to_scan",
    "advisor_max_pages_to_scan",
    "advisor_target_scan_time",
    "pages_to_scan",
    "advisor_mode",
    "run",
};

static struct {
    char values[COUNT][VALUE_SIZE]; /* as found */
    pid_t child;
    int pipe;
} guard = { .pipe = -1 };

static void read_one(unsigned i, char value[VALUE_SIZE])
{
    char path[96];
    ssize_t length;
    int fd;

    snprintf(path, sizeof(path), "/sys/kernel/mm/ksm/%s", names[i]);
    value[0] = '\0';
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    length = read(fd, value, VALUE_SIZE - 1);
    value[length > 0 ? length : 0] = '\0';
    close(fd);
}

/* Of the advisor's words, the one in brackets. */
static void write_one(unsigned i, const char *value)
{
    const char *chosen = strchr(value, '[');
    const char *text = chosen ? chosen + 1 : value;
    char path[96];
    int fd;

    snprintf(path, sizeof(path), "/sys/kernel/mm/ksm/%s", names[i]);
    fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    if (write(fd, text, strcspn(text, "]\n")) < 0)
        fprintf(stderr, "KSM: %s cannot be put back\n", names[i]);
    close(fd);
}

bool ksm_guard_is_clean(void)
{
    char now[VALUE_SIZE];

    for (unsigned i = 0; i < COUNT; i++) {
        read_one(i, now);
        if (strcmp(now, guard.values[i]) != 0)
            return false;
    }
    return true;
}

static void put_back(void)
{
    char now[VALUE_SIZE];

    for (unsigned i = 0; i < COUNT; i++) {
        read_one(i, now);
        if (guard.values[i][0] && strcmp(now, guard.values[i]) != 0)
            write_one(i, guard.values[i]);
    }
}

bool ksm_guard_begin(void)
{
    int ends[2];
    char byte;

    for (unsigned i = 0; i < COUNT; i++)
        read_one(i, guard.values[i]);
    if (!guard.values[COUNT - 1][0] || access("/sys/kernel/mm/ksm/run", W_OK) < 0 ||
        pipe2(ends, O_CLOEXEC) < 0)
        return false;
    fflush(NULL);
    guard.child = fork();
    if (guard.child == 0) {
        setsid();
        signal(SIGINT, SIG_IGN);
        signal(SIGTERM, SIG_IGN);
        close(ends[1]);
        while (read(ends[0], &byte, 1) > 0) /* ends when its other ends are closed */
            ;
        put_back();
        _exit(0);
    }
    close(ends[0]);
    guard.pipe = ends[1];
    return guard.child > 0;
}

void ksm_guard_end(void)
{
    close(guard.pipe);
    guard.pipe = -1;
    waitpid(guard.child, NULL, 0);
}
