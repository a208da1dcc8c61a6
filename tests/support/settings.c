/* SPDX-License-Identifier: Apache-2.0 */
/* Owns changes of the host's settings, which are put back however the test program ends. */
#include "settings.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <unistd.h>

#include "support.h"

enum { SETTINGS_MAX = 8 };

/* Shared with the guardian. Only what a signal handler may do is done with it. */
struct table {
    volatile sig_atomic_t count;
    struct {
        char file[128];
        char old[32];
    } rows[SETTINGS_MAX];
};

static struct table *table;

/* Also before the tests, where check's own assertions do not work. */
static void need(bool is_good, const char *what)
{
    if (is_good)
        return;
    printf("FAIL: %s: %s\n", what, strerror(errno));
    exit(1);
}

uint64_t settings_get(const char *file)
{
    char text[64] = "";
    int fd = open(file, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, text, sizeof(text) - 1) : -1;

    if (fd >= 0)
        close(fd);
    need(n > 0, file);
    return strtoull(text, NULL, 10);
}

/* Signal-safe. */
static bool write_text(const char *file, const char *text)
{
    int fd = open(file, O_WRONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? write(fd, text, strlen(text)) : -1;
    int saved = errno;

    if (fd >= 0)
        close(fd);
    errno = saved;
    return n == (ssize_t)strlen(text);
}

/* The last change is undone first. */
void settings_restore(void)
{
    while (table && table->count > 0) {
        int i = table->count - 1;

        write_text(table->rows[i].file, table->rows[i].old);
        table->count = i;
    }
}

static void on_signal(int number)
{
    settings_restore();
    signal(number, SIG_DFL);
    raise(number);
}

/* Holds nothing of the test program's but the pipe: its end says that the program is gone. */
static void guard(int end)
{
    char byte;

    setsid();
    for (int fd = 0; fd < 1024; fd++)
        if (fd != end)
            close(fd);
    for (int number = 1; number < 32; number++)
        signal(number, SIG_IGN);
    while (read(end, &byte, 1) < 0 && errno == EINTR)
        ;
    settings_restore();
    _exit(0);
}

static void start_guardian(void)
{
    static const int deadly[] = { SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGABRT, SIGSEGV, SIGBUS };
    int ends[2];
    pid_t child;

    need(pipe2(ends, O_CLOEXEC) == 0, "pipe2");
    fflush(NULL);
    child = fork();
    if (child == 0) {
        close(ends[1]);
        guard(ends[0]);
    }
    need(child > 0, "fork");
    close(ends[0]);
    for (size_t i = 0; i < sizeof(deadly) / sizeof(*deadly); i++)
        signal(deadly[i], on_signal);
    atexit(settings_restore);
}

void settings_begin(const char *file)
{
    int fd = open(file, O_RDWR | O_CLOEXEC);

    if (fd < 0) {
        printf("%s: %s\n", file, strerror(errno));
        support_skip("this host lacks the setting, or changing it needs root");
    }
    table = mmap(NULL, sizeof(*table), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    need(table != MAP_FAILED, "mmap");
    need(flock(fd, LOCK_EX) == 0, "flock"); /* until the program ends */
    start_guardian();
}

bool settings_set(const char *file, uint64_t value)
{
    char text[32];
    int row = table->count;

    need(row < SETTINGS_MAX, "too many settings");
    snprintf(table->rows[row].file, sizeof(table->rows[row].file), "%s", file);
    snprintf(table->rows[row].old, sizeof(table->rows[row].old), "%llu",
             (unsigned long long)settings_get(file));
    snprintf(text, sizeof(text), "%llu", (unsigned long long)value);
    table->count = row + 1;
    return write_text(file, text);
}
