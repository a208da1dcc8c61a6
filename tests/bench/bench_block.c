/* SPDX-License-Identifier: Apache-2.0 */
/*
 * M9: 4 KiB reads of a virtio disk per second of CPU that the host spends beside the vCPU.
 * M9.pread: against a plain pread loop into the same guest pages. M9.qemu: against QEMU's microvm
 * with the same guest. For batches of 1, 8, 32 and 128 requests with one notification each; the
 * file is in the page cache.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "bench.h"
#include "ours.h"
#include "payload.h"

enum {
    MEMORY_SIZE = 16 << 20,
    FILE_SIZE = 64 << 20,
    BLOCK = 4096,
    ROUNDS = 40,
    ROUNDS_WARM = 2,
    ROUND_NS = 30000000,
    SETTLE_NS = 3000000,
    FLOOR_READS = 4000,
    PATTERNS = 5,
    SCATTERED = 8 * 1237 /* sectors: no read is the neighbour of another one in its batch */
};

/* What the guest does. The library joins neighbouring reads; scattered ones it cannot. */
static const struct pattern {
    const char *name;
    uint32_t batch;
    uint32_t step; /* sectors */
    bool is_judged;
} patterns[PATTERNS] = {
    { "batch 1", 1, 8, false },
    { "batch 8", 8, 8, false },
    { "batch 32", 32, 8, true },
    { "batch 128", 128, 8, false },
    { "32 scattered", 32, SCATTERED, true },
};
static const char qemu[] = "/usr/bin/qemu-system-x86_64";

/* A process whose threads' CPU time is read; the vCPU's thread is told by its name. */
struct contender {
    pid_t pid;
    const char *vcpu; /* what its name begins with */
    struct payload_shared *shared;
    struct nestvirt_vm *vm; /* NULL: a process to be stopped and continued */
};

struct cpu_time {
    uint64_t others_ns; /* all threads but the vCPU's and this one */
    uint64_t all_ns;
};

static bool read_line(const char *path, char *line, int size)
{
    FILE *file = fopen(path, "re");
    bool is_read = file && fgets(line, size, file);

    if (file)
        fclose(file);
    return is_read;
}

/* From /proc/PID/task/TID/schedstat, whose first number is the time on a CPU in nanoseconds. */
static struct cpu_time cpu_of(const struct contender *c)
{
    struct cpu_time time = { 0 };
    char path[320];
    char line[256];
    struct dirent *entry;
    DIR *tasks;

    snprintf(path, sizeof(path), "/proc/%d/task", (int)c->pid);
    tasks = opendir(path);
    if (!tasks)
        bench_need(-errno, path);
    while ((entry = readdir(tasks))) {
        unsigned long long ns;

        snprintf(path, sizeof(path), "/proc/%d/task/%s/schedstat", (int)c->pid, entry->d_name);
        if (entry->d_name[0] == '.' || !read_line(path, line, sizeof(line)) ||
            sscanf(line, "%llu", &ns) != 1 || atoi(entry->d_name) == gettid())
            continue;
        time.all_ns += ns;
        snprintf(path, sizeof(path), "/proc/%d/task/%s/comm", (int)c->pid, entry->d_name);
        if (read_line(path, line, sizeof(line)) && strncmp(line, c->vcpu, strlen(c->vcpu)) != 0)
            time.others_ns += ns;
    }
    closedir(tasks);
    return time;
}

static void turn(const struct contender *c, bool on)
{
    if (!c->vm)
        kill(c->pid, on ? SIGCONT : SIGSTOP);
    else if (on)
        bench_need(nestvirt_vm_resume(c->vm, NULL), "nestvirt_vm_resume");
    else
        bench_need(nestvirt_vm_pause(c->vm, NULL), "nestvirt_vm_pause");
}

/* CPU nanoseconds for each request over one round. */
static void measure(const struct contender *c, const struct pattern *pattern,
                    struct bench_series *others, struct bench_series *all)
{
    struct cpu_time before;
    struct cpu_time after;
    uint64_t count;

    turn(c, true);
    c->shared->step = pattern->step;
    c->shared->batch = pattern->batch;
    bench_sleep(SETTLE_NS);
    count = c->shared->count;
    before = cpu_of(c);
    bench_sleep(ROUND_NS);
    after = cpu_of(c);
    count = c->shared->count - count;
    c->shared->batch = 0;
    bench_sleep(SETTLE_NS);
    turn(c, false);
    if (count == 0 || c->shared->errors)
        bench_need(-EIO, c->vm ? "our disk" : "QEMU's disk");
    bench_add(others, (after.others_ns - before.others_ns) / count);
    bench_add(all, (after.all_ns - before.all_ns) / count);
}

static uint64_t thread_cpu_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* The floor: nothing but the reads, to where the guest would get them. */
static uint64_t measure_floor(int fd, uint8_t *pages, const struct pattern *pattern)
{
    static off_t offset;
    uint64_t start = thread_cpu_ns();

    for (uint32_t i = 0; i < FLOOR_READS; i++) {
        if (pread(fd, pages + (size_t)(i % pattern->batch) * BLOCK, BLOCK, offset) != BLOCK)
            bench_need(-EIO, "pread");
        offset = (offset + (off_t)pattern->step * 512) % FILE_SIZE;
    }
    return (thread_cpu_ns() - start) / FLOOR_READS;
}

static int make_file(char *path, size_t size)
{
    const char *folder = getenv("TMPDIR");
    static char block[1 << 20];
    int fd;

    snprintf(path, size, "%s/nestvirt-bench.XXXXXX", folder ? folder : "/tmp");
    fd = mkostemp(path, O_CLOEXEC);
    if (fd < 0)
        bench_need(-errno, path);
    for (int i = 0; i < FILE_SIZE; i += (int)sizeof(block)) {
        memset(block, i >> 20, sizeof(block));
        if (write(fd, block, sizeof(block)) != (ssize_t)sizeof(block))
            bench_need(-ENOSPC, path);
    }
    return fd;
}

static void begin_ours(struct contender *c, struct nestvirt_host *host, int image, const char *path,
                       uint8_t **ret_pages)
{
    struct nestvirt_error *error = NULL;
    struct nestvirt_device *disk;
    void *pointer;

    *c = (struct contender){ .pid = getpid(), .vcpu = "nv0:" };
    c->vm = ours_new(host, MEMORY_SIZE, image, ours_ignore, NULL);
    ours_need(nestvirt_device_add(c->vm, "blk", &disk, &error), &error);
    ours_need(nestvirt_device_set_string(disk, "path", path, &error), &error);
    ours_need(nestvirt_device_set_u64(disk, "lock", 0, &error), &error); /* QEMU reads it too */
    ours_need(nestvirt_device_set_u64(disk, "queue_size", 512, &error), &error);
    ours_need(nestvirt_memory_write(c->vm, PAYLOAD_BASE, bench_payload, PAYLOAD_SIZE, &error),
              &error);
    ours_need(
        nestvirt_memory_get_pointer(c->vm, PAYLOAD_SHARED, sizeof(*c->shared), &pointer, &error),
        &error);
    c->shared = pointer;
    ours_need(nestvirt_memory_get_pointer(c->vm, PAYLOAD_DATA, PAYLOAD_BATCH_MAX * BLOCK, &pointer,
                                          &error),
              &error);
    *ret_pages = pointer;
    c->shared->mask = FILE_SIZE / 512 - 1;
    ours_start(c->vm);
}

/* QEMU with the same image as its firmware, and its memory in a file that we map too. */
static void begin_qemu(struct contender *c, const char *path)
{
    static char memory[128];
    static char drive[512];
    static char firmware[64];
    char *const arguments[] = {
        (char *)qemu,
        "-M",
        "microvm,accel=kvm,acpi=off,pit=off,pic=off,rtc=off,isa-serial=off,x-option-roms=off,"
        "memory-backend=ram",
        "-cpu",
        "host,-arch-capabilities",
        "-nodefaults",
        "-no-user-config",
        "-display",
        "none",
        "-m",
        "16M",
        "-name",
        "bench,debug-threads=on",
        "-object",
        memory,
        "-bios",
        firmware,
        "-global",
        "virtio-mmio.force-legacy=false",
        "-drive",
        drive,
        "-device",
        "virtio-blk-device,drive=disk,queue-size=512",
        NULL
    };
    int ram = memfd_create("ram", 0);
    int bios = memfd_create("firmware", 0);
    void *mapped;

    if (ram < 0 || bios < 0 || ftruncate(ram, MEMORY_SIZE) < 0 ||
        write(bios, bench_payload, PAYLOAD_SIZE) != PAYLOAD_SIZE)
        bench_need(-errno, "memfd");
    snprintf(memory, sizeof(memory),
             "memory-backend-file,id=ram,size=16M,share=on,mem-path=/proc/%d/fd/%d", (int)getpid(),
             ram);
    snprintf(firmware, sizeof(firmware), "/proc/%d/fd/%d", (int)getpid(), bios);
    snprintf(drive, sizeof(drive), "if=none,id=disk,format=raw,read-only=on,file=%s", path);
    mapped = mmap(NULL, MEMORY_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, ram, 0);
    if (mapped == MAP_FAILED)
        bench_need(-errno, "mmap");
    *c = (struct contender){ .vcpu = "CPU 0/KVM" };
    c->shared = (struct payload_shared *)((uint8_t *)mapped + PAYLOAD_SHARED);
    c->shared->mask = FILE_SIZE / 512 - 1;
    bench_need(-posix_spawn(&c->pid, qemu, NULL, NULL, arguments, environ), qemu);
}

static void await_start(const struct contender *c)
{
    for (int i = 0; i < 10000 && c->shared->state == 0; i++)
        bench_sleep(1000000);
    bench_need(c->shared->state == 1 ? 0 : -EIO, c->vm ? "our guest" : "QEMU's guest");
    turn(c, false);
}

struct times {
    struct bench_series ours[PATTERNS];
    struct bench_series ours_all[PATTERNS];
    struct bench_series floor[PATTERNS];
    struct bench_series qemu[PATTERNS];
    struct bench_series qemu_all[PATTERNS];
};

static void print(struct bench_report *report, struct times *times, bool has_qemu)
{
    char extra[128];

    for (int i = 0; i < PATTERNS; i++) {
        bool is_judged = patterns[i].is_judged;
        const char *at = patterns[i].name;

        snprintf(extra, sizeof(extra), ",\"process_p50_ns\":%llu",
                 (unsigned long long)bench_percentile(&times->ours_all[i], 50));
        bench_print(report, &(struct bench_line){ .name = "M9.pread",
                                                  .kind = BENCH_SPEED,
                                                  .target = is_judged ? 0.8 : 0,
                                                  .at = at,
                                                  .extra = extra,
                                                  .ours = &times->ours[i],
                                                  .base = &times->floor[i] });
        if (!has_qemu)
            continue;
        snprintf(extra, sizeof(extra), ",\"process_p50_ns\":%llu,\"qemu_process_p50_ns\":%llu",
                 (unsigned long long)bench_percentile(&times->ours_all[i], 50),
                 (unsigned long long)bench_percentile(&times->qemu_all[i], 50));
        bench_print(report, &(struct bench_line){ .name = "M9.qemu",
                                                  .kind = BENCH_SPEED,
                                                  .target = is_judged ? 1.5 : 0,
                                                  .at = at,
                                                  .extra = extra,
                                                  .ours = &times->ours[i],
                                                  .base = &times->qemu[i] });
    }
}

static void run(struct times *times, const struct contender *ours, const struct contender *other,
                int file, uint8_t *pages)
{
    for (int round = 0; round < ROUNDS_WARM + ROUNDS; round++) {
        for (int i = 0; i < PATTERNS; i++) {
            measure(ours, &patterns[i], &times->ours[i], &times->ours_all[i]);
            bench_add(&times->floor[i], measure_floor(file, pages, &patterns[i]));
            if (other)
                measure(other, &patterns[i], &times->qemu[i], &times->qemu_all[i]);
            if (round < ROUNDS_WARM)
                times->ours[i].count = times->ours_all[i].count = times->floor[i].count =
                    times->qemu[i].count = times->qemu_all[i].count = 0;
        }
    }
}

int main(int argc, char **argv)
{
    static struct times times;
    struct bench_report report;
    struct contender ours;
    struct contender other;
    struct nestvirt_host *host;
    bool has_qemu = access(qemu, X_OK) == 0;
    uint8_t *pages;
    char path[256];
    int image;
    int file;

    bench_begin(&report, &argc, argv);
    bench_need_kvm();
    file = make_file(path, sizeof(path));
    host = ours_open();
    image = ours_make_image(payload_jump, sizeof(payload_jump));
    begin_ours(&ours, host, image, path, &pages);
    if (has_qemu)
        begin_qemu(&other, path);
    await_start(&ours);
    if (has_qemu)
        await_start(&other);
    unlink(path);
    run(&times, &ours, has_qemu ? &other : NULL, file, pages);
    print(&report, &times, has_qemu);
    bench_need(nestvirt_vm_free(ours.vm), "nestvirt_vm_free");
    if (has_qemu) {
        kill(other.pid, SIGKILL);
        waitpid(other.pid, NULL, 0);
    }
    close(image);
    close(file);
    nestvirt_host_free(host);
    if (!has_qemu)
        bench_skip("M9.qemu needs QEMU: install Debian's package qemu-system-x86");
    return bench_end(&report);
}
