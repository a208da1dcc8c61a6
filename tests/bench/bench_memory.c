/* SPDX-License-Identifier: Apache-2.0 */
/*
 * M3: what an idle VM of 128 MiB takes of the host's memory, with its part of the process.
 * M3.floor: against the floor, each contender in a process of its own. M3.qemu: against QEMU's
 * microvm, a process for each.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"
#include "floor.h"
#include "guest.h"
#include "ours.h"

enum {
    VMS = 300,
    QEMUS = 6,
    ROUNDS = 7,
    ROUNDS_QEMU = 5,
    MEMORY_SIZE = 128 << 20,
    FDS_PER_VM = 4,
    SETTLES = 4,
    SETTLE_NS = 500000000, /* the kernel gives back what was freed a while later */
    START_NS = 700000000,  /* of all QEMU processes */
    FIRMWARE_SIZE = 65536,
    RESET_VECTOR = 0xfff0
};

#define AVAILABLE (2ull << 30)

static const char qemu[] = "/usr/bin/qemu-system-x86_64";

static void fill_ours(void)
{
    struct nestvirt_host *host = ours_open();
    int image = ours_make_image(guest_exit_once, sizeof(guest_exit_once));
    struct ours_vm *vms = calloc(VMS, sizeof(*vms));

    for (int i = 0; vms && i < VMS; i++)
        ours_run(host, MEMORY_SIZE, image, NESTVIRT_ACTION_RESUME, &vms[i]);
}

static void fill_floor(void)
{
    static struct floor_host host;
    struct floor_vm *vms = calloc(VMS, sizeof(*vms));

    bench_need(floor_open(&host), "floor");
    for (int i = 0; vms && i < VMS; i++) {
        bench_need(
            floor_create(&host, MEMORY_SIZE, guest_exit_once, sizeof(guest_exit_once), &vms[i]),
            "floor");
        bench_need(floor_start(&host, &vms[i]), "floor thread");
        bench_need(floor_wait(&vms[i]), "floor guest");
    }
}

/*
 * What the host has less while VMs are there is found out by a control group of theirs, which
 * counts exactly and nobody else's memory; without one by MemAvailable, which other programs move,
 * and which comes back late after VMs have gone.
 */
static char group[64];
static const char *usage_file; /* of a control group; NULL: there is none */

static void remove_group(void)
{
    for (int i = 0; usage_file && rmdir(group) < 0 && errno == EBUSY && i < SETTLES; i++)
        bench_sleep(SETTLE_NS);
}

static void make_group(void)
{
    static const struct {
        const char *mount;
        const char *usage;
    } versions[] = {
        { "/sys/fs/cgroup/memory", "memory.usage_in_bytes" },
        { "/sys/fs/cgroup", "memory.current" },
    };
    char path[128];

    for (int i = 0; i < 2; i++) {
        snprintf(group, sizeof(group), "%s/nestvirt-bench-%d", versions[i].mount, getpid());
        snprintf(path, sizeof(path), "%s/%s", group, versions[i].usage);
        if (mkdir(group, 0755) == 0 && access(path, R_OK) == 0) {
            usage_file = versions[i].usage;
            break;
        }
        rmdir(group);
    }
    atexit(remove_group);
}

/* Puts this process into the group. */
static void join_group(void)
{
    char path[128];
    FILE *file;

    if (!usage_file)
        return;
    snprintf(path, sizeof(path), "%s/cgroup.procs", group);
    file = fopen(path, "we");
    bench_need(!file || fprintf(file, "%d\n", getpid()) < 0 || fclose(file) ? -errno : 0, path);
}

/* Grows with what is taken. */
static uint64_t used(void)
{
    unsigned long long bytes = 0;
    char path[128];
    FILE *file;

    if (!usage_file)
        return UINT64_MAX / 2 - bench_available();
    snprintf(path, sizeof(path), "%s/%s", group, usage_file);
    file = fopen(path, "re");
    bench_need(!file || fscanf(file, "%llu", &bytes) != 1 ? -EIO : 0, path);
    fclose(file);
    return bytes;
}

static void settle(void)
{
    for (int i = 0; i < (usage_file ? 1 : SETTLES); i++)
        bench_sleep(SETTLE_NS);
}

static uint64_t taken(uint64_t before, uint64_t count)
{
    uint64_t now = used();

    return now > before ? (now - before) / count : 0;
}

/* Bytes for each VM, with the process that has them; it ends without taking them apart. */
static uint64_t measure(void (*fill)(void))
{
    uint64_t before;
    uint64_t each;
    int fds[2];
    char byte;
    pid_t pid;

    bench_need(pipe(fds) < 0 ? -errno : 0, "pipe");
    settle();
    before = used();
    pid = fork();
    bench_need(pid < 0 ? -errno : 0, "fork");
    if (pid == 0) {
        join_group();
        fill();
        if (write(fds[1], "", 1) == 1)
            pause();
        _exit(1);
    }
    close(fds[1]);
    bench_need(read(fds[0], &byte, 1) == 1 ? 0 : -EIO, "a contender's process");
    close(fds[0]);
    settle();
    each = taken(before, VMS);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    return each;
}

/* The least firmware: it halts. QEMU inherits the descriptor. */
static int make_firmware(void)
{
    static const unsigned char code[] = { 0xf4, 0xeb, 0xfd }; /* hlt; jmp back */
    int fd = memfd_create("firmware", 0);

    if (fd < 0 || ftruncate(fd, FIRMWARE_SIZE) < 0 ||
        pwrite(fd, code, sizeof(code), RESET_VECTOR) != (ssize_t)sizeof(code))
        bench_need(-errno, "firmware");
    return fd;
}

static uint64_t measure_qemu(char *firmware)
{
    char *const arguments[] = {
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
        NULL,
    };
    pid_t pids[QEMUS];
    uint64_t before;
    uint64_t each;

    settle();
    before = used();
    for (int i = 0; i < QEMUS; i++) {
        pids[i] = fork();
        bench_need(pids[i] < 0 ? -errno : 0, "fork");
        if (pids[i] == 0) {
            join_group();
            execv(qemu, arguments);
            _exit(1);
        }
    }
    bench_sleep(START_NS);
    settle();
    each = taken(before, QEMUS);
    for (int i = 0; i < QEMUS; i++) {
        bench_need(waitpid(pids[i], NULL, WNOHANG) == 0 ? 0 : -ECHILD, "QEMU ended");
        kill(pids[i], SIGKILL);
        waitpid(pids[i], NULL, 0);
    }
    return each;
}

static void compare_qemu(struct bench_report *report, const struct bench_series *ours)
{
    struct bench_series base = { 0 };
    char firmware[64];

    snprintf(firmware, sizeof(firmware), "/proc/self/fd/%d", make_firmware());
    measure_qemu(firmware); /* warms the files */
    for (int i = 0; i < ROUNDS_QEMU; i++)
        bench_add(&base, measure_qemu(firmware));
    bench_print(report, &(struct bench_line){ .name = "M3.qemu",
                                              .target = 0.04,
                                              .nonsense = 0.2,
                                              .unit = "bytes",
                                              .extra = usage_file ? ",\"by\":\"cgroup\""
                                                                  : ",\"by\":\"MemAvailable\"",
                                              .ours = ours,
                                              .base = &base });
    bench_clear(&base);
}

int main(int argc, char **argv)
{
    struct bench_series ours = { 0 };
    struct bench_series base = { 0 };
    struct bench_report report;

    bench_begin(&report, &argc, argv);
    bench_need_kvm();
    bench_need_files(VMS * FDS_PER_VM);
    if (bench_available() < AVAILABLE)
        bench_skip("M3 needs 2 GiB of available memory");
    make_group();
    measure(fill_ours);
    measure(fill_floor);
    for (int i = 0; i < ROUNDS; i++) {
        bench_add(&ours, measure(fill_ours));
        bench_add(&base, measure(fill_floor));
    }
    bench_print(&report, &(struct bench_line){ .name = "M3.floor",
                                               .target = 1.1,
                                               .unit = "bytes",
                                               .extra = usage_file ? ",\"by\":\"cgroup\""
                                                                   : ",\"by\":\"MemAvailable\"",
                                               .ours = &ours,
                                               .base = &base });
    if (access(qemu, X_OK) < 0)
        bench_skip("M3.qemu needs QEMU: install Debian's package qemu-system-x86");
    compare_qemu(&report, &ours);
    bench_clear(&ours);
    bench_clear(&base);
    return bench_end(&report);
}
