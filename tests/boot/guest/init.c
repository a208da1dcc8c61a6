// SPDX-License-Identifier: Apache-2.0
// This file owns what a Linux guest does in the boot tests: it is /init there, and takes its steps
// from the kernel's command line.
//
// The word nv.do=STEP[,STEP...] names the steps; each prints lines "nv: KEY VALUE" on the console.

#include "guest.h"

static void obey(void);

static const struct step *const tables[] = { machine_steps, file_steps, net_steps, port_steps };

void run_step(const char *order)
{
    const struct step *step;
    size_t i;

    if (text_equal(order, "obey")) {
        obey();
        return;
    }
    for (i = 0; i < sizeof(tables) / sizeof(tables[0]); i++) {
        for (step = tables[i]; step->name; step++) {
            const char *rest = text_after(order, step->name);

            if (rest && (!*rest || *rest == ':')) {
                step->run(*rest ? rest + 1 : rest);
                return;
            }
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

// Does what the lines of the serial port order, each a list of steps, until its end or "quit".
static void obey(void)
{
    char text[LINE_MAX];

    open_serial();
    line_text("waiting", "order");
    while (read_line_of(open_serial(), text) >= 0 && !text_equal(text, "quit")) {
        run_steps(text);
        line_text("done", "");
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
        run_step("hello");
    for (;;)
        run_step("reboot");
}

// The kernel enters with the stack aligned to 16; a call makes it what a C function expects.
__asm__(".globl _start\n_start: call init\n");
