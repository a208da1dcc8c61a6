// SPDX-License-Identifier: Apache-2.0
// This file owns how the test init talks to Linux: system calls and text, without a C library.
//
// A C library would cost more of an interpreted boot than all of the tests: unpacking and mapping
// it, and its own start.
#ifndef NESTVIRT_TESTS_GUEST_SYS_H
#define NESTVIRT_TESTS_GUEST_SYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <asm/unistd.h>
#include <linux/fcntl.h>

static inline long sys6(long nr, long a, long b, long c, long d, long e, long f)
{
    register long r10 __asm__("r10") = d;
    register long r8 __asm__("r8") = e;
    register long r9 __asm__("r9") = f;
    long ret;

    __asm__ volatile("syscall"
                     : "=a"(ret)
                     : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return ret;
}

static inline long sys3(long nr, long a, long b, long c)
{
    return sys6(nr, a, b, c, 0, 0, 0);
}

static inline long sys_open(const char *path, int flags)
{
    return sys3(__NR_open, (long)path, flags, 0);
}

static inline long sys_close(long fd)
{
    return sys3(__NR_close, fd, 0, 0);
}

static inline long sys_read(long fd, void *buf, size_t len)
{
    return sys3(__NR_read, fd, (long)buf, (long)len);
}

static inline long sys_write(long fd, const void *buf, size_t len)
{
    return sys3(__NR_write, fd, (long)buf, (long)len);
}

static inline long sys_ioctl(long fd, unsigned long request, const void *arg)
{
    return sys3(__NR_ioctl, fd, (long)request, (long)arg);
}

static inline long sys_mount(const char *type, const char *where)
{
    return sys6(__NR_mount, (long)type, (long)where, (long)type, 0, 0, 0);
}

static inline long sys_mkdir(const char *path)
{
    return sys3(__NR_mkdir, (long)path, 0755, 0);
}

// Makes a character device; major and minor stay below 256.
static inline long sys_mkchr(const char *path, unsigned int major, unsigned int minor)
{
    return sys3(__NR_mknod, (long)path, 0020600, major << 8 | minor);
}

static inline void outb(uint16_t port, uint8_t value)
{
    __asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}

// The compiler calls these two by itself.
void *memcpy(void *restrict to, const void *restrict from, size_t len);
void *memset(void *to, int byte, size_t len);

static inline size_t text_len(const char *s)
{
    size_t n = 0;

    while (s[n])
        n++;
    return n;
}

// Returns what follows `prefix` in `s`, or NULL if `s` does not begin with it.
static inline const char *text_after(const char *s, const char *prefix)
{
    while (*prefix)
        if (*s++ != *prefix++)
            return NULL;
    return s;
}

static inline bool text_equal(const char *a, const char *b)
{
    const char *rest = text_after(a, b);

    return rest && !*rest;
}

// Reads decimal digits, stops at the first other character.
static inline uint64_t text_number(const char *s)
{
    uint64_t n = 0;

    while (*s >= '0' && *s <= '9')
        n = n * 10 + (uint64_t)(*s++ - '0');
    return n;
}

#endif
