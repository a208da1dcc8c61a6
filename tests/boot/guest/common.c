// SPDX-License-Identifier: Apache-2.0
// This file owns what the steps of the test init share: lines on the console, and files.

#include <asm/ioctls.h>
#include <asm/termbits.h>
#include <linux/time_types.h>

#include "guest.h"

char scratch[SCRATCH_SIZE];
char buffer[BUFFER_SIZE] __attribute__((aligned(4096)));

static long out = 1; // where lines go

void *memcpy(void *restrict to, const void *restrict from, size_t len)
{
    void *ret = to;

    __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(len) : : "memory");
    return ret;
}

void *memset(void *to, int byte, size_t len)
{
    void *ret = to;

    __asm__ volatile("rep stosb" : "+D"(to), "+c"(len) : "a"(byte) : "memory");
    return ret;
}

// --- Lines on the console

// A kernel without an interrupt controller gives EIO for its console; its log still works.
static void put(const char *text, size_t len)
{
    while (len) {
        long done = sys_write(out, text, len);

        if (done <= 0) {
            if (out != 1)
                return;
            sys_mkchr("/dev/kmsg", 1, 11);
            out = sys_open("/dev/kmsg", O_WRONLY);
            continue;
        }
        text += done;
        len -= (size_t)done;
    }
}

void line(const char *key, const char *value, size_t value_len)
{
    char text[LINE_MAX + 64] = "nv: ";
    size_t at = 4, key_len = text_len(key);

    if (value_len > LINE_MAX)
        value_len = LINE_MAX;
    memcpy(text + at, key, key_len);
    at += key_len;
    if (value_len) {
        text[at++] = ' ';
        memcpy(text + at, value, value_len);
        at += value_len;
    }
    text[at++] = '\n';
    put(text, at);
}

void line_text(const char *key, const char *value)
{
    line(key, value, text_len(value));
}

size_t digits_of(char *to, uint64_t value)
{
    char digits[20];
    size_t at = sizeof(digits);

    do
        digits[--at] = (char)('0' + value % 10);
    while (value /= 10);
    memcpy(to, digits + at, sizeof(digits) - at);
    return sizeof(digits) - at;
}

void line_number(const char *key, uint64_t value)
{
    char text[20];

    line(key, text, digits_of(text, value));
}

void line_numbers(const char *key, uint64_t first, uint64_t second)
{
    char text[41];
    size_t len = digits_of(text, first);

    text[len++] = ' ';
    line(key, text, len + digits_of(text + len, second));
}

bool line_error(const char *key, long ret)
{
    char text[32] = "error ";

    if (ret >= 0 || ret < -4095)
        return false;
    line(key, text, 6 + digits_of(text + 6, (uint64_t)-ret));
    return true;
}

void drain(void)
{
    sys_ioctl(1, TCSBRK, (void *)1);
}

// --- Time

void sleep_for(uint64_t seconds, uint64_t nanoseconds)
{
    struct __kernel_timespec time = { (int64_t)seconds, (int64_t)nanoseconds };

    sys3(__NR_nanosleep, (long)&time, 0, 0);
}

uint64_t now_ns(void)
{
    struct __kernel_timespec time = { 0, 0 };

    sys3(__NR_clock_gettime, 1, (long)&time, 0); // CLOCK_MONOTONIC
    return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

uint64_t now_ms(void)
{
    return now_ns() / 1000000;
}

// --- Files the kernel makes

size_t read_file(const char *path)
{
    long fd = sys_open(path, O_RDONLY), got;
    size_t len = 0;

    scratch[0] = '\0';
    if (fd < 0)
        return 0;
    while (len < sizeof(scratch) - 1) {
        got = sys_read(fd, scratch + len, sizeof(scratch) - 1 - len);
        if (got <= 0)
            break;
        len += (size_t)got;
    }
    sys_close(fd);
    scratch[len] = '\0';
    return len;
}

void need_sysfs(void)
{
    if (sys_mkdir("/sys") == 0)
        sys_mount("sysfs", "/sys");
}

void need_devtmpfs(void)
{
    static bool done;

    if (!done)
        sys_mount("devtmpfs", "/dev");
    done = true;
}

// --- Terminals

void set_lines(long fd)
{
    struct termios settings;

    if (sys_ioctl(fd, TCGETS, &settings) < 0)
        return;
    settings.c_lflag |= ICANON;
    settings.c_lflag &= ~(tcflag_t)ECHO;
    sys_ioctl(fd, TCSETS, &settings);
}

long open_serial(void)
{
    static long fd = -1;

    if (fd >= 0)
        return fd;
    sys_mkchr("/dev/ttyS0", 4, 64);
    fd = sys_open("/dev/ttyS0", O_RDWR | O_NOCTTY);
    if (fd >= 0)
        set_lines(fd);
    return fd;
}

long read_line_of(long fd, char *text)
{
    long got = sys_read(fd, text, LINE_MAX - 1);

    if (got <= 0)
        return -1;
    if (text[got - 1] == '\n')
        got--;
    text[got] = '\0';
    return got;
}

// --- Arguments

const char *const *split(const char *arg)
{
    static char copy[LINE_MAX];
    static const char *args[ARGS_MAX];
    size_t len = text_len(arg), count = 0, i;

    if (len > sizeof(copy) - 1)
        len = sizeof(copy) - 1;
    memcpy(copy, arg, len);
    copy[len] = '\0';
    args[count++] = copy;
    for (i = 0; i < len && count < ARGS_MAX; i++) {
        if (copy[i] == ':') {
            copy[i] = '\0';
            args[count++] = copy + i + 1;
        }
    }
    while (count < ARGS_MAX)
        args[count++] = copy + len;
    return args;
}
