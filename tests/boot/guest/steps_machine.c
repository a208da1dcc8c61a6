// SPDX-License-Identifier: Apache-2.0
// This file owns the steps about the machine itself: how it ends, what it has, what it is told.

#include <asm/stat.h>
#include <linux/input-event-codes.h>
#include <linux/input.h>
#include <linux/mman.h>
#include <linux/poll.h>
#include <linux/reboot.h>
#include <linux/sysinfo.h>
#include <linux/utsname.h>

#include "guest.h"

enum {
    EXIT_PORT = 0x501, // the exit device of the tests' machine
    INPUTS = 8,        // event devices looked at for a power button
    PAGE = 4096,
    CLOCK_NS = 20 * 1000 * 1000,
    TICK_NS = 100 * 1000 * 1000,
};

// --- How the guest ends

static void end(const char *how, unsigned int command)
{
    line_text("end", how);
    drain();
    sys6(__NR_reboot, (long)LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2, command, 0, 0, 0);
}

static void step_reboot(const char *arg)
{
    (void)arg;
    end("reboot", LINUX_REBOOT_CMD_RESTART);
}

// Without ACPI the kernel would only stop here, for ever.
static void step_poweroff(const char *arg)
{
    long fd;

    need_sysfs();
    fd = sys_open("/sys/firmware/acpi", O_RDONLY);
    if (fd < 0) {
        line_text("poweroff", "unavailable");
        return;
    }
    sys_close(fd);
    (void)arg;
    end("poweroff", LINUX_REBOOT_CMD_POWER_OFF);
}

// The end of /init is a panic.
static void step_panic(const char *arg)
{
    (void)arg;
    line_text("end", "panic");
    drain();
    sys3(__NR_exit, 1, 0, 0);
}

static void step_exit(const char *arg)
{
    line_text("end", "exit");
    drain();
    if (sys3(__NR_ioperm, EXIT_PORT, 1, 1) < 0)
        line_text("exit", "unavailable");
    else
        outb(EXIT_PORT, (uint8_t)text_number(arg));
}

// --- What the guest sees

static void step_hello(const char *arg)
{
    struct new_utsname name;
    struct sysinfo info;

    (void)arg;
    sys3(__NR_uname, (long)&name, 0, 0);
    line_text("hello", name.release);
    sys3(__NR_sysinfo, (long)&info, 0, 0);
    line_number("memory", info.totalram * info.mem_unit / 1024);
}

// The file is a list of ranges, "0-1,3"; a kernel for one CPU has none.
static void step_cpus(const char *arg)
{
    const char *at = scratch;
    uint64_t count = 0;

    (void)arg;
    need_sysfs();
    if (!read_file("/sys/devices/system/cpu/online")) {
        line_number("cpus", 1);
        return;
    }
    while (*at >= '0' && *at <= '9') {
        uint64_t first = text_number(at), last = first;

        while (*at >= '0' && *at <= '9')
            at++;
        if (*at == '-') {
            last = text_number(++at);
            while (*at >= '0' && *at <= '9')
                at++;
        }
        count += last - first + 1;
        if (*at == ',')
            at++;
    }
    line_number("cpus", count);
}

// Adds the columns of one line of /proc/interrupts; there is one for each CPU.
static uint64_t add_columns(const char *at)
{
    uint64_t sum = 0;

    for (;;) {
        while (*at == ' ')
            at++;
        if (*at < '0' || *at > '9')
            return sum;
        sum += text_number(at);
        while (*at >= '0' && *at <= '9')
            at++;
    }
}

// The line of the serial port is the one that ends in its name: its number is 4 only where the
// kernel numbers interrupts as a PC does, which it does not with reduced hardware.
static void step_interrupts(const char *arg)
{
    const char *at = scratch, *columns = NULL;

    (void)arg;
    read_file("/proc/interrupts");
    while (*at) {
        if (*at == ':' && !columns)
            columns = at + 1;
        if (columns && text_after(at, " ttyS0\n")) {
            line_number("irq4", add_columns(columns));
            return;
        }
        if (*at++ == '\n')
            columns = NULL;
    }
    line_text("irq4", "none");
}

// Each record of the folder is a struct linux_dirent64: length at 16, kind at 18, name at 19.
static void step_acpi(const char *arg)
{
    long fd, got, at;

    (void)arg;
    need_sysfs();
    fd = sys_open("/sys/firmware/acpi/tables", O_RDONLY | O_DIRECTORY);
    line_text("acpi", fd < 0 ? "no" : "yes");
    if (fd < 0)
        return;
    while ((got = sys3(__NR_getdents64, fd, (long)scratch, sizeof(scratch))) > 0) {
        for (at = 0; at < got; at += (uint8_t)scratch[at + 16] | (uint8_t)scratch[at + 17] << 8) {
            bool is_file = scratch[at + 18] == 8; // DT_REG

            if (is_file)
                line_text("table", scratch + at + 19);
        }
    }
    sys_close(fd);
}

// --- What the guest is told

// Prints one line from the serial port; returns false at its end or after the line "quit".
static bool read_line(void)
{
    char text[LINE_MAX];
    long len = read_line_of(open_serial(), text);

    if (len < 0) {
        line_text("line", "unavailable");
        return false;
    }
    line("line", text, (size_t)len);
    return !text_equal(text, "quit");
}

static void step_readline(const char *arg)
{
    (void)arg;
    open_serial();
    line_text("waiting", "line");
    read_line();
}

static void step_echo(const char *arg)
{
    (void)arg;
    open_serial();
    line_text("waiting", "line");
    while (read_line())
        ;
}

// Fills `fds` with the event devices there are and returns their number.
static unsigned int open_inputs(struct pollfd *fds)
{
    char path[] = "/dev/input/event0";
    unsigned int count = 0, i;

    sys_mkdir("/dev/input");
    for (i = 0; i < INPUTS; i++) {
        long fd;

        path[sizeof(path) - 2] = (char)('0' + i);
        sys_mkchr(path, 13, 64 + i);
        fd = sys_open(path, O_RDONLY);
        if (fd >= 0)
            fds[count++] = (struct pollfd){ .fd = (int)fd, .events = POLLIN };
    }
    return count;
}

static bool power_pressed(int fd)
{
    struct input_event event;

    return sys_read(fd, &event, sizeof(event)) == sizeof(event) && event.type == EV_KEY &&
           event.code == KEY_POWER && event.value == 1;
}

static void step_button(const char *arg)
{
    struct pollfd fds[INPUTS];
    unsigned int count = open_inputs(fds), i;

    (void)arg;
    if (!count) {
        line_text("button", "unavailable");
        return;
    }
    line_text("waiting", "button");
    for (;;) {
        sys3(__NR_poll, (long)fds, count, -1);
        for (i = 0; i < count; i++) {
            if (fds[i].revents && power_pressed(fds[i].fd)) {
                line_text("button", "");
                return;
            }
        }
    }
}

// --- What the guest is busy with

static void step_ticks(const char *arg)
{
    uint64_t count = text_number(arg), i;

    for (i = 0; !*arg || i < count; i++) {
        line_number("tick", i);
        sleep_for(0, TICK_NS);
    }
}

static void step_sleep(const char *arg)
{
    sleep_for(text_number(arg), 0);
}

// clock:SECONDS: looks at the clock all the time; prints how often it went back, and by how many
// milliseconds it went forward at most from one look to the next.
static void step_clock(const char *arg)
{
    uint64_t last = now_ns(), end = last + text_number(arg) * 1000000000, back = 0, largest = 0;

    while (last < end) {
        uint64_t now = now_ns();

        if (now < last)
            back++;
        else if (now - last > largest)
            largest = now - last;
        last = now;
        sleep_for(0, CLOCK_NS);
    }
    line_numbers("clock", back, largest / 1000000);
}

// Two random numbers, as programs get them.
static void step_entropy(const char *arg)
{
    uint64_t random[2];

    (void)arg;
    if (!line_error("entropy", sys3(__NR_getrandom, (long)random, sizeof(random), 0)))
        line_numbers("entropy", random[0], random[1]);
}

// Writes each page's number into it, then reads all of them back.
static void step_memtest(const char *arg)
{
    uint64_t mib = text_number(arg), len = mib << 20, at;
    long base = sys6(__NR_mmap, 0, (long)len, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

    if (base < 0 && base > -PAGE) {
        line_text("memtest", "unavailable");
        return;
    }
    for (at = 0; at < len; at += PAGE)
        *(volatile uint64_t *)(base + (long)at) = ~at;
    for (at = 0; at < len; at += PAGE) {
        if (*(volatile uint64_t *)(base + (long)at) != ~at) {
            line_number("memtest-bad", at);
            return;
        }
    }
    sys3(__NR_munmap, base, (long)len, 0);
    line_number("memtest", mib);
}

const struct step machine_steps[] = {
    { "hello", step_hello },
    { "cpus", step_cpus },
    { "interrupts", step_interrupts },
    { "readline", step_readline },
    { "echo", step_echo },
    { "ticks", step_ticks },
    { "acpi", step_acpi },
    { "button", step_button },
    { "poweroff", step_poweroff },
    { "reboot", step_reboot },
    { "panic", step_panic },
    { "exit", step_exit },
    { "sleep", step_sleep },
    { "memtest", step_memtest },
    { "clock", step_clock },
    { "entropy", step_entropy },
    { NULL, NULL },
};
