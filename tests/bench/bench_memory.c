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
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"
#include "floor.h"
#include "guest.h"
#include "ours.h"
#include "usage.h"

enum {
    VMS = 300,
    QEMUS = 6,
    ROUNDS = 7,
    ROUNDS_QEMU = 5,
    MEMORY_SIZE = 128 << 20,
    FDS_PER_VM = 4,
    START_NS = 700000000, /* of all QEMU processes */
    FIRMWARE_SIZE = 65536,
    RESET_VECTOR = 0xfff0
};

#define AVAILABLE (2ull << 30)

static const char qemu[] = "/usr/bin/qemu-system-x86_64";

static void fill_ours(uint64_t count)
{
    struct nestvirt_host *host = ours_open();
    int image = ours_make_image(guest_exit_once, sizeof(guest_exit_once));
    struct ours_vm *vms = calloc(count, sizeof(*vms));

    for (uint64_t i = 0; vms && i < count; i++)
        ours_run(host, MEMORY_SIZE, image, NESTVIRT_ACTION_RESUME, &vms[i]);
}

static void fill_floor(uint64_t count)
{
    static struct floor_host host;
    struct floor_vm *vms = calloc(count, sizeof(*vms));

    bench_need(floor_open(&host), "floor");
    for (uint64_t i = 0; vms && i < count; i++) {
        bench_need(
            floor_create(&host, MEMORY_SIZE, guest_exit_once, sizeof(guest_exit_once), &vms[i]),
            "floor");
        bench_need(floor_start(&host, &vms[i]), "floor thread");
        bench_need(floor_wait(&vms[i]), "floor guest");
    }
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
    uint64_t after;

    usage_settle();
    before = usage_now();
    for (int i = 0; i < QEMUS; i++) {
        pids[i] = fork();
        bench_need(pids[i] < 0 ? -errno : 0, "fork");
        if (pids[i] == 0) {
            usage_join();
            execv(qemu, arguments);
            _exit(1);
        }
    }
    bench_sleep(START_NS);
    usage_settle();
    after = usage_now();
    for (int i = 0; i < QEMUS; i++) {
        bench_need(waitpid(pids[i], NULL, WNOHANG) == 0 ? 0 : -ECHILD, "QEMU ended");
        kill(pids[i], SIGKILL);
        waitpid(pids[i], NULL, 0);
    }
    return after > before ? (after - before) / QEMUS : 0;
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
                                              .extra = usage_extra(),
                                              .ours = ours,
                                              .base = &base });
    bench_clear(&base);
}

int main(int argc, char **argv)
{
    const struct usage_contender ours_vms = { .fill = fill_ours, .count = VMS };
    const struct usage_contender floor_vms = { .fill = fill_floor, .count = VMS };
    struct bench_series ours = { 0 };
    struct bench_series base = { 0 };
    struct bench_report report;

    bench_begin(&report, &argc, argv);
    bench_need_kvm();
    bench_need_files(VMS * FDS_PER_VM);
    if (bench_available() < AVAILABLE)
        bench_skip("M3 needs 2 GiB of available memory: end other programs");
    usage_begin();
    usage_measure(&ours_vms);
    usage_measure(&floor_vms);
    for (int i = 0; i < ROUNDS; i++) {
        bench_add(&ours, usage_measure(&ours_vms));
        bench_add(&base, usage_measure(&floor_vms));
    }
    bench_print(&report, &(struct bench_line){ .name = "M3.floor",
                                               .target = 1.1,
                                               .unit = "bytes",
                                               .extra = usage_extra(),
                                               .ours = &ours,
                                               .base = &base });
    if (access(qemu, X_OK) < 0)
        bench_skip("M3.qemu needs QEMU: install Debian's package qemu-system-x86");
    compare_qemu(&report, &ours);
    bench_clear(&ours);
    bench_clear(&base);
    return bench_end(&report);
}
