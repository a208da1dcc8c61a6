/* SPDX-License-Identifier: Apache-2.0 */
/*
 * M1.qemu: one VM per process, from exec to exit: a program that uses the library, dynamically
 * linked, against QEMU's microvm with an equal guest. M1.process: the same against the floor.
 *
 *     bench_process PROGRAM FLOOR
 */
#include <errno.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"

enum {
    ROUNDS = 60,
    ROUNDS_WARM = 3,
    FIRMWARE_SIZE = 65536,
    RESET_VECTOR = 0xfff0, /* in the firmware's last 64 KiB: where the processor starts */
    QEMU_STATUS = 1        /* isa-debug-exit ends QEMU with value * 2 + 1 */
};

static const char qemu[] = "/usr/bin/qemu-system-x86_64";

/* out %al, $0xf4; hlt; again: jmp again */
static const unsigned char reset_code[] = { 0xe6, 0xf4, 0xf4, 0xeb, 0xfe };

/* The least firmware: an exit at the reset vector. QEMU inherits the descriptor. */
static int make_firmware(void)
{
    int fd = memfd_create("firmware", 0);

    if (fd < 0 || ftruncate(fd, FIRMWARE_SIZE) < 0 ||
        pwrite(fd, reset_code, sizeof(reset_code), RESET_VECTOR) != (ssize_t)sizeof(reset_code))
        bench_need(-errno, "firmware");
    return fd;
}

/* From before the process exists to after it is gone. */
static uint64_t measure(char *const *arguments, int expected)
{
    uint64_t start = bench_now_ns();
    uint64_t end;
    pid_t pid;
    int status = -1;

    bench_need(-posix_spawn(&pid, arguments[0], NULL, NULL, arguments, environ), arguments[0]);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    end = bench_now_ns();
    if (!WIFEXITED(status) || WEXITSTATUS(status) != expected) {
        fprintf(stderr, "%s: wait status 0x%x instead of exit status %d\n", arguments[0],
                (unsigned)status, expected);
        exit(1);
    }
    bench_settle();
    return end - start;
}

struct contenders {
    char *const *ours;
    char *const *floor;
    char *const *qemu; /* NULL if there is none */
};

static void measure_all(const struct contenders *c, size_t rounds, struct bench_series *ours,
                        struct bench_series *base, struct bench_series *other)
{
    for (size_t i = 0; i < rounds; i++) {
        bench_add(ours, measure(c->ours, 0));
        bench_add(base, measure(c->floor, 0));
        if (c->qemu)
            bench_add(other, measure(c->qemu, QEMU_STATUS));
    }
}

static void compare(struct bench_report *report, const struct contenders *c)
{
    struct bench_series ours = { 0 };
    struct bench_series base = { 0 };
    struct bench_series other = { 0 };

    measure_all(c, ROUNDS_WARM, &ours, &base, &other);
    ours.count = base.count = other.count = 0;
    measure_all(c, ROUNDS, &ours, &base, &other);
    if (c->qemu)
        bench_print(report, &(struct bench_line){ .name = "M1.qemu",
                                                  .kind = BENCH_SPEED,
                                                  .target = 12,
                                                  .ours = &ours,
                                                  .base = &other });
    bench_print(report, &(struct bench_line){ .name = "M1.process", .ours = &ours, .base = &base });
    bench_clear(&ours);
    bench_clear(&base);
    bench_clear(&other);
}

int main(int argc, char **argv)
{
    char firmware[64];
    char *const qemu_arguments[] = {
        (char *)qemu,
        "-M",
        "microvm,accel=kvm,acpi=off,pit=off,pic=off,rtc=off,isa-serial=off,x-option-roms=off",
        "-cpu",
        "host,-arch-capabilities",
        "-nodefaults",
        "-no-user-config",
        "-display",
        "none",
        "-no-reboot",
        "-m",
        "128M",
        "-bios",
        firmware,
        "-device",
        "isa-debug-exit,iobase=0xf4,iosize=0x04",
        NULL,
    };
    struct bench_report report;

    bench_begin(&report, &argc, argv);
    bench_need_kvm();
    if (argc != 3) {
        fprintf(stderr, "usage: bench_process [--strict] PROGRAM FLOOR\n");
        return 2;
    }
    snprintf(firmware, sizeof(firmware), "/proc/self/fd/%d", make_firmware());
    compare(&report, &(struct contenders){
                         .ours = (char *const[]){ argv[1], NULL },
                         .floor = (char *const[]){ argv[2], NULL },
                         .qemu = access(qemu, X_OK) == 0 ? qemu_arguments : NULL,
                     });
    if (access(qemu, X_OK) < 0)
        bench_skip("M1.qemu needs QEMU: install Debian's package qemu-system-x86");
    return bench_end(&report);
}
