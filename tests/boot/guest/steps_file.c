// SPDX-License-Identifier: Apache-2.0
// This file owns the steps about files, disks and what the kernel says of its devices.

#include <linux/fs.h>

#include "../pattern.h"
#include "guest.h"

enum {
    MIB = 1 << 20,
    MODE_FILE = 0644,
};

// --- File systems

// mount:DISK:FOLDER:ro|rw[:OPTIONS], ext4
static void step_mount(const char *arg)
{
    const char *const *args = split(arg);
    unsigned long flags = text_equal(args[2], "ro") ? MS_RDONLY : 0;
    long ret;

    need_sysfs();
    need_devtmpfs();
    sys_mkdir(args[1]);
    ret =
        sys6(__NR_mount, (long)args[0], (long)args[1], (long)"ext4", (long)flags, (long)args[3], 0);
    if (!line_error("mount", ret))
        line_text("mount", "ok");
}

static void step_umount(const char *arg)
{
    if (!line_error("umount", sys3(__NR_umount2, (long)arg, 0, 0)))
        line_text("umount", "ok");
}

static void step_remove(const char *arg)
{
    line_error("remove", sys3(__NR_unlink, (long)arg, 0, 0));
}

static void step_sync(const char *arg)
{
    (void)arg;
    sys3(__NR_sync, 0, 0, 0);
}

// trim:FOLDER
static void step_trim(const char *arg)
{
    struct fstrim_range range = { .len = ~0ull };
    long fd = sys_open(arg, O_RDONLY | O_DIRECTORY);

    if (line_error("trim", fd) || line_error("trim", sys_ioctl(fd, FITRIM, &range)))
        return;
    line_number("trim", range.len);
    sys_close(fd);
}

// discard:DISK:OFFSET:LENGTH, or zero:..., in MiB
static void clear_range(const char *key, unsigned long request, const char *arg)
{
    const char *const *args = split(arg);
    uint64_t range[2] = { text_number(args[1]) * MIB, text_number(args[2]) * MIB };
    long fd = sys_open(args[0], O_RDWR);

    if (line_error(key, fd))
        return;
    if (!line_error(key, sys_ioctl(fd, request, range)))
        line_text(key, "ok");
    sys_close(fd);
}

static void step_discard(const char *arg)
{
    clear_range("discard", BLKDISCARD, arg);
}

static void step_zero(const char *arg)
{
    clear_range("zero", BLKZEROOUT, arg);
}

// --- Contents

// Moves `mib` MiB between the buffer and a file; returns their sum, or the error.
static long write_pattern(long fd, uint64_t mib, uint64_t seed)
{
    uint64_t offset = 0;
    uint32_t sum = 0;

    for (; offset < mib * MIB; offset += BUFFER_SIZE) {
        long done;

        pattern_fill(buffer, BUFFER_SIZE, seed, offset);
        sum = pattern_sum(sum, buffer, BUFFER_SIZE);
        done = sys_write(fd, buffer, BUFFER_SIZE);
        if (done != BUFFER_SIZE)
            return done < 0 ? done : -1;
    }
    return (long)sum;
}

// Past the kernel's cache: many pages at a time cost little more than one.
static int direct_of(const char *const *args, int last)
{
    return text_equal(args[last], "direct") ? O_DIRECT : 0;
}

// fill:PATH:MIB:SEED:OFFSET[:direct]: writes a pattern (at an offset in MiB), flushes, prints its
// CRC.
static void step_fill(const char *arg)
{
    const char *const *args = split(arg);
    int flags = O_RDWR | O_CREAT | direct_of(args, 4);
    long fd, ret;

    need_devtmpfs();
    fd = sys6(__NR_open, (long)args[0], flags, MODE_FILE, 0, 0, 0);
    if (line_error("fill", fd))
        return;
    sys3(__NR_lseek, fd, (long)text_number(args[3]) * MIB, 0);
    ret = write_pattern(fd, text_number(args[1]), text_number(args[2]));
    if (!line_error("fill", ret) && !line_error("fill", sys3(__NR_fsync, fd, 0, 0)))
        line_number("fill", (uint64_t)ret);
    sys_close(fd);
}

// sum:PATH[:direct]: prints the number of bytes and their CRC.
static void step_sum(const char *arg)
{
    const char *const *args = split(arg);
    uint64_t bytes = 0;
    uint32_t sum = 0;
    long fd, got;

    need_devtmpfs();
    fd = sys_open(args[0], O_RDONLY | direct_of(args, 1));
    if (line_error("sum", fd))
        return;
    while ((got = sys_read(fd, buffer, BUFFER_SIZE)) > 0) {
        sum = pattern_sum(sum, buffer, (size_t)got);
        bytes += (uint64_t)got;
    }
    if (!line_error("sum", got))
        line_numbers("sum", bytes, sum);
    sys_close(fd);
}

// --- What the kernel says and is told

// cat:PATH: prints the first line of a file.
static void step_cat(const char *arg)
{
    size_t len = 0;

    need_sysfs();
    if (!read_file(arg)) {
        line_text("cat", "unavailable");
        return;
    }
    while (scratch[len] && scratch[len] != '\n')
        len++;
    line("cat", scratch, len);
}

// await:PATH:TEXT: waits until a file begins with the text, at most 20 seconds.
static void step_await(const char *arg)
{
    const char *const *args = split(arg);
    int tries;

    need_sysfs();
    for (tries = 0; tries < 200; tries++) {
        read_file(args[0]);
        if (text_after(scratch, args[1])) {
            line_text("await", "ok");
            return;
        }
        sleep_for(0, 100 * 1000 * 1000);
    }
    line_text("await", "in vain");
}

// link:PATH: prints where a symbolic link leads.
static void step_link(const char *arg)
{
    long len;

    need_sysfs();
    len = sys3(__NR_readlink, (long)arg, (long)scratch, LINE_MAX);
    if (!line_error("link", len))
        line("link", scratch, (size_t)len);
}

static long write_text(const char *path, const char *text)
{
    long fd = sys_open(path, O_WRONLY), ret;

    if (fd < 0)
        return fd;
    ret = sys_write(fd, text, text_len(text));
    sys_close(fd);
    return ret;
}

// write:PATH:TEXT
static void step_write(const char *arg)
{
    const char *const *args = split(arg);
    long ret;

    need_sysfs();
    ret = write_text(args[0], args[1]);
    if (!line_error("write", ret))
        line_text("write", "ok");
}

// module:PATH: loads a module of the kernel.
static void step_module(const char *arg)
{
    long fd = sys_open(arg, O_RDONLY);

    if (line_error("module", fd))
        return;
    if (!line_error("module", sys3(__NR_finit_module, fd, (long)"", 0)))
        line_text("module", "ok");
    sys_close(fd);
}

// rebind:DRIVER:DEVICE:COUNT:SECONDS: takes a virtio device from its driver and gives it back, so
// often or as often as it goes in the time; prints how often and the milliseconds.
static void step_rebind(const char *arg)
{
    const char *const *args = split(arg);
    uint64_t count = text_number(args[2]), start = now_ms(), done = 0;
    uint64_t limit = text_number(args[3]) * 1000;
    char unbind[LINE_MAX] = "/sys/bus/virtio/drivers/", bind[LINE_MAX];
    size_t len = text_len(unbind), name_len = text_len(args[0]);

    need_sysfs();
    memcpy(unbind + len, args[0], name_len);
    len += name_len;
    memcpy(bind, unbind, len);
    memcpy(unbind + len, "/unbind", 8);
    memcpy(bind + len, "/bind", 6);
    while (done < count && now_ms() - start < limit) {
        if (line_error("unbind", write_text(unbind, args[1])) ||
            line_error("bind", write_text(bind, args[1])))
            return;
        done++;
    }
    line_numbers("rebind", done, now_ms() - start);
}

const struct step file_steps[] = {
    { "mount", step_mount },   { "umount", step_umount },
    { "trim", step_trim },     { "remove", step_remove },
    { "sync", step_sync },     { "discard", step_discard },
    { "zero", step_zero },     { "fill", step_fill },
    { "sum", step_sum },       { "module", step_module },
    { "cat", step_cat },       { "await", step_await },
    { "link", step_link },     { "write", step_write },
    { "rebind", step_rebind }, { NULL, NULL },
};
