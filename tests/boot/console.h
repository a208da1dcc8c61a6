/* SPDX-License-Identifier: Apache-2.0 */
/* Owns what the boot tests share: a Linux VM with its console at hand. */
#ifndef TESTS_BOOT_CONSOLE_H
#define TESTS_BOOT_CONSOLE_H

#include <stdbool.h>
#include <stdint.h>

#include <nestvirt/nestvirt.h>

enum { CONSOLE_SIZE = 1 << 20 };

/* A VM that boots Linux; its console is read whenever something is waited for. */
struct linux_vm {
    struct nestvirt_vm *vm;
    int input[2];  /* what we type */
    int output[2]; /* what it prints */
    int64_t noted_ms;
    unsigned used;
    unsigned mark;  /* texts are looked for behind it */
    unsigned order; /* where the answer to the last order begins */
    char text[CONSOLE_SIZE];
};

struct linux_options {
    const char *kernel; /* path */
    uint32_t format;    /* NESTVIRT_KERNEL_* */
    const char *steps;  /* of the test init, for nv.do= */
    const char *words;  /* more of the command line, or NULL */
    uint32_t vcpus;     /* 0: 1 */
    uint32_t discovery; /* 0: the default */
    uint32_t backing;   /* NESTVIRT_BACKING_* */
    uint64_t memory;    /* bytes, 0: 128 MiB */
    bool is_resident;   /* all of it takes memory of the host from the start on */
    /* Adds more devices to the new VM, or NULL. */
    void (*add)(struct nestvirt_vm *vm, void *data);
    void *data;
    void (*built)(struct nestvirt_vm *vm); /* called between build and start, or NULL */
};

/* Path of a file of a test kernel: environment variable and file name. Skips when not set. */
const char *linux_file(const char *variable, const char *name);

/* Makes, builds and starts a VM. */
void linux_start(struct linux_vm *linux_vm, struct nestvirt_host *host,
                 const struct linux_options *options);

/* Reads the console until text appears behind the mark, then moves the mark behind it. */
void linux_expect(struct linux_vm *linux_vm, const char *text, int seconds);

/* Reads what is there for some milliseconds; returns how many bytes came. */
unsigned linux_listen(struct linux_vm *linux_vm, int milliseconds);

void linux_type(struct linux_vm *linux_vm, const char *text);

/*
 * Lets a guest in its step "obey" do steps, and waits until it has; fails unless it printed
 * "nv: EXPECTED" (NULL: anything).
 */
void linux_order(struct linux_vm *linux_vm, const char *steps, const char *expected, int seconds);

/* What stands behind "nv: KEY " in the answer to the last order; fails if that is not there. */
const char *linux_answer(struct linux_vm *linux_vm, const char *key);

/* The same as a number, or the second of two. */
uint64_t linux_number(struct linux_vm *linux_vm, const char *key);
uint64_t linux_second_number(struct linux_vm *linux_vm, const char *key);

/* Prints the seconds since the last note, for whoever reads how long a test takes. */
void linux_note(struct linux_vm *linux_vm, const char *what);

/* Waits for the end while reading the console; fails unless it is this reason. */
void linux_expect_end(struct linux_vm *linux_vm, uint32_t reason, int seconds,
                      struct nestvirt_vm_result *result);

/* Forgets the console's text, before another start. */
void linux_forget(struct linux_vm *linux_vm);

void linux_free(struct linux_vm *linux_vm);

#endif
