// SPDX-License-Identifier: Apache-2.0
// This file owns the steps about consoles, ports and random numbers.

#include <asm/ioctls.h>
#include <asm/termios.h>

#include "guest.h"

// talk:PATH: reads lines from a console or port and sends each back as "heard LINE", until "quit".
static void step_talk(const char *arg)
{
    char text[LINE_MAX], answer[LINE_MAX + 8];
    long fd, len;

    need_devtmpfs();
    fd = sys_open(arg, O_RDWR | O_NOCTTY);
    if (line_error("talk", fd))
        return;
    set_lines(fd);
    line_text("waiting", "talk");
    while ((len = read_line_of(fd, text)) >= 0 && !text_equal(text, "quit")) {
        line("talk", text, (size_t)len);
        memcpy(answer, "heard ", 6);
        memcpy(answer + 6, text, (size_t)len);
        answer[6 + len] = '\n';
        sys_write(fd, answer, (size_t)len + 7);
    }
    line_text("talk", "end");
    sys_close(fd);
}

// flood:PATH:KIB: writes so much of the alphabet to a console or port.
static void step_flood(const char *arg)
{
    const char *const *args = split(arg);
    uint64_t len = text_number(args[1]) * 1024, at;
    long fd, done = 1;

    need_devtmpfs();
    fd = sys_open(args[0], O_RDWR | O_NOCTTY);
    if (line_error("flood", fd))
        return;
    for (at = 0; at < BUFFER_SIZE; at++)
        buffer[at] = (char)('a' + at % 26);
    for (at = 0; at < len && done > 0; at += (uint64_t)done) {
        uint64_t from = at % 26, room = BUFFER_SIZE - from;

        done = sys_write(fd, buffer + from, len - at < room ? len - at : room);
        line_error("flood", done);
    }
    line_text("flood", "end");
    sys_close(fd);
}

// winsize:PATH:COLUMNS:ROWS: waits until a console has this size, at most 20 seconds.
static void step_winsize(const char *arg)
{
    const char *const *args = split(arg);
    uint64_t cols = text_number(args[1]), rows = text_number(args[2]);
    struct winsize size = { 0, 0, 0, 0 };
    int tries;
    long fd;

    need_devtmpfs();
    fd = sys_open(args[0], O_RDWR | O_NOCTTY);
    if (line_error("winsize", fd))
        return;
    for (tries = 0; tries < 200; tries++) {
        sys_ioctl(fd, TIOCGWINSZ, &size);
        if (size.ws_col == cols && size.ws_row == rows)
            break;
        sleep_for(0, 100 * 1000 * 1000);
    }
    if (tries < 200)
        line_text("winsize", "ok");
    else
        line_numbers("winsize", size.ws_col, size.ws_row);
    sys_close(fd);
}

static bool differs(const char *a, const char *b, size_t len)
{
    while (len--)
        if (*a++ != *b++)
            return true;
    return false;
}

// random:PATH: reads twice 64 bytes; prints whether they differ.
static void step_random(const char *arg)
{
    enum { LEN = 64 };
    long fd, first, second;

    need_devtmpfs();
    fd = sys_open(arg, O_RDONLY);
    if (line_error("random", fd))
        return;
    first = sys_read(fd, buffer, LEN);
    second = sys_read(fd, buffer + LEN, LEN);
    sys_close(fd);
    if (line_error("random", first) || line_error("random", second))
        return;
    if (first != LEN || second != LEN)
        line_numbers("random-short", (uint64_t)first, (uint64_t)second);
    else
        line_text("random", differs(buffer, buffer + LEN, LEN) ? "differs" : "is the same");
}

const struct step port_steps[] = {
    { "talk", step_talk },     { "flood", step_flood }, { "winsize", step_winsize },
    { "random", step_random }, { NULL, NULL },
};
