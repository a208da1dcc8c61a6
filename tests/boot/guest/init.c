// SPDX-License-Identifier: Apache-2.0
// This file owns what a Linux guest does in the boot tests: it is /init there, and takes its steps
// from the kernel's command line.
//
// The word nv.do=STEP[,STEP...] names the steps; each prints lines "nv: KEY VALUE" on the console.
// System calls are few on purpose: where the kernel's code is interpreted, each costs milliseconds.

#include <asm/ioctls.h>
#include <asm/stat.h>
#include <asm/termbits.h>
#include <linux/input-event-codes.h>
#include <linux/input.h>
#include <linux/mman.h>
#include <linux/poll.h>
#include <linux/reboot.h>
#include <linux/sysinfo.h>
#include <linux/time_types.h>
#include <linux/utsname.h>

#include "sys.h"

enum {
    EXIT_PORT = 0x501, // the exit device of the tests' machine
    INPUTS = 8,        // event devices looked at for a power button
    LINE_MAX = 256,
    PAGE = 4096,
    TICK_NS = 100 * 1000 * 1000,
};

struct step {
    const char *name;
    void (*run)(const char *arg); // `arg` is what follows the colon, or ""
};

static long out = 1; // where lines go
static char scratch[8192];

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

// Prints "nv: KEY VALUE" with one write, so that the kernel's own lines do not fall into it.
static void line(const char *key, const char *value, size_t value_len)
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

static void line_text(const char *key, const char *value)
{
    line(key, value, text_len(value));
}

static void line_number(const char *key, uint64_t value)
{
    char digits[20];
    size_t at = sizeof(digits);

    do
        digits[--at] = (char)('0' + value % 10);
    while (value /= 10);
    line(key, digits + at, sizeof(digits) - at);
}

// Waits until the console has sent what was written: what ends the machine does not wait for it.
static void drain(void)
{
    sys_ioctl(1, TCSBRK, (void *)1);
}

static void sleep_for(uint64_t seconds, uint64_t nanoseconds)
{
    struct __kernel_timespec time = { (int64_t)seconds, (int64_t)nanoseconds };

    sys3(__NR_nanosleep, (long)&time, 0, 0);
}

// --- Files the kernel makes

// Reads the start of a file into `scratch` as a text; returns its length, 0 if there is none.
static size_t read_file(const char *path)
{
    long fd = sys_open(path, O_RDONLY), got;
    size_t len = 0;

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

static void need_sysfs(void)
{
    if (sys_mkdir("/sys") == 0)
        sys_mount("sysfs", "/sys");
}

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

// Opens the serial port as a terminal that gives whole lines and does not send them back.
static long open_serial(void)
{
    static long fd = -1;
    struct termios settings;

    if (fd >= 0)
        return fd;
    sys_mkchr("/dev/ttyS0", 4, 64);
    fd = sys_open("/dev/ttyS0", O_RDWR | O_NOCTTY);
    if (fd < 0 || sys_ioctl(fd, TCGETS, &settings) < 0)
        return fd;
    settings.c_lflag |= ICANON;
    settings.c_lflag &= ~(tcflag_t)ECHO;
    sys_ioctl(fd, TCSETS, &settings);
    return fd;
}

// Prints one line from the serial port; returns false at its end or after the line "quit".
static bool read_line(void)
{
    char text[LINE_MAX];
    long got = sys_read(open_serial(), text, sizeof(text) - 1);

    if (got <= 0) {
        line_text("line", "unavailable");
        return false;
    }
    if (text[got - 1] == '\n')
        got--;
    text[got] = '\0';
    line("line", text, (size_t)got);
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

// --- The orders

static const struct step steps[] = {
    { "hello", step_hello },       { "cpus", step_cpus },       { "interrupts", step_interrupts },
    { "readline", step_readline }, { "echo", step_echo },       { "ticks", step_ticks },
    { "acpi", step_acpi },         { "button", step_button },   { "poweroff", step_poweroff },
    { "reboot", step_reboot },     { "panic", step_panic },     { "exit", step_exit },
    { "sleep", step_sleep },       { "memtest", step_memtest },
};

// Runs one step, NAME or NAME:ARGUMENT.
static void run_step(const char *order)
{
    size_t i;

    for (i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        const char *rest = text_after(order, steps[i].name);

        if (rest && (!*rest || *rest == ':')) {
            steps[i].run(*rest ? rest + 1 : rest);
            return;
        }
    }
    line_text("unknown", order);
}

// Runs the steps of one comma-separated list, and writes over it.
static void run_steps(char *list)
{
    while (*list) {
        char *stop = list;
        bool last;

        while (*stop && *stop != ',')
            stop++;
        last = !*stop;
        *stop = '\0';
        run_step(list);
        list = last ? stop : stop + 1;
    }
}

// Finds the next word nv.do= in the command line, cuts it off there and returns its list.
static char *next_orders(char **at)
{
    char *word = *at, *stop;
    const char *list;

    while (*word) {
        while (*word == ' ' || *word == '\n')
            word++;
        stop = word;
        while (*stop && *stop != ' ' && *stop != '\n')
            stop++;
        *at = *stop ? stop + 1 : stop;
        *stop = '\0';
        list = text_after(word, "nv.do=");
        if (list)
            return word + (list - word);
        word = *at;
    }
    return NULL;
}

__attribute__((noreturn, used)) static void init(void)
{
    static char command_line[4096]; // the longest that Linux takes on x86, with its end
    char *at = command_line, *orders;
    long fd;
    bool any = false;

    sys_mount("proc", "/proc");
    fd = sys_open("/proc/cmdline", O_RDONLY);
    sys_read(fd, command_line, sizeof(command_line) - 1);
    sys_close(fd);
    while ((orders = next_orders(&at))) {
        any = true;
        run_steps(orders);
    }
    if (!any)
        step_hello("");
    for (;;)
        step_reboot("");
}

// The kernel enters with the stack aligned to 16; a call makes it what a C function expects.
__asm__(".globl _start\n_start: call init\n");
