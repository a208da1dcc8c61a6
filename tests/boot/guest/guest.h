// SPDX-License-Identifier: Apache-2.0
// This file owns what the parts of the test init share: steps, lines on the console, files.
//
// System calls are few on purpose: where the kernel's code is interpreted, each costs milliseconds.
#ifndef NESTVIRT_TESTS_GUEST_GUEST_H
#define NESTVIRT_TESTS_GUEST_GUEST_H

#include "sys.h"

enum {
    LINE_MAX = 256,
    ARGS_MAX = 6,
    SCRATCH_SIZE = 8192,
    BUFFER_SIZE = 256 * 1024,
};

struct step {
    const char *name;
    void (*run)(const char *arg); // `arg` is what follows the colon, or ""
};

// Each file of steps has its table; the last row has no name.
extern const struct step machine_steps[], file_steps[], net_steps[], port_steps[];

extern char scratch[SCRATCH_SIZE]; // what read_file() has read
extern char buffer[BUFFER_SIZE];   // for what moves many bytes; aligned to a page

// Prints "nv: KEY VALUE" with one write, so that the kernel's own lines do not fall into it.
void line(const char *key, const char *value, size_t value_len);
void line_text(const char *key, const char *value);
void line_number(const char *key, uint64_t value);
void line_numbers(const char *key, uint64_t first, uint64_t second);

// Writes a number's digits, at most 20; returns their count.
size_t digits_of(char *to, uint64_t value);

// Prints "nv: KEY error N" if `ret` is what a failed system call returns; returns whether it is.
bool line_error(const char *key, long ret);

// Waits until the console has sent what was written: what ends the machine does not wait for it.
void drain(void);

void sleep_for(uint64_t seconds, uint64_t nanoseconds);
uint64_t now_ns(void);
uint64_t now_ms(void);

// Reads the start of a file into `scratch` as a text; returns its length, 0 if there is none.
size_t read_file(const char *path);

// Mounts /sys and the kernel's own /dev, once each.
void need_sysfs(void);
void need_devtmpfs(void);

// Opens the serial port as a terminal that gives whole lines and does not send them back.
long open_serial(void);

// Makes a terminal give whole lines and send nothing back; does nothing to other files.
void set_lines(long fd);

// Reads one line into `text` of LINE_MAX bytes, without its end; returns its length, -1 at the end.
long read_line_of(long fd, char *text);

// Splits `arg` at its colons into a static copy; those that are not there are "".
const char *const *split(const char *arg);

// Runs one step, NAME or NAME:ARGUMENT.
void run_step(const char *order);

#endif
