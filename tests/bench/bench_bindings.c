/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a binding costs: the same work done by C here, and by a contender in another language.
 *
 *     bench_bindings NAME PROGRAM [ARGUMENT...]
 *
 * NAME.create: from nothing to the guest's first exit. NAME.exits: a guest's writes to MMIO, taken
 * by a handler. NAME.read: reading 64 MiB of guest memory into a buffer that is there.
 *
 * The contender reads lines "create COUNT", "exits COUNT" and "read COUNT", and answers each with
 * COUNT lines, the nanoseconds of one round each, of exits those of EXITS of them. It ends with its
 * input. In turn with it C does the same.
 */
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"
#include "floor.h"
#include "guest.h"
#include "ours.h"

enum {
    MIB = 1 << 20,
    MEMORY_CREATE = 16 * MIB,
    MEMORY_EXITS = 64 << 10,
    MMIO_BASE = 0x20000, /* where guest_mmio writes */
    READ_SIZE = 64 * MIB,
    EXITS = 2000,
    ROUNDS_CREATE = 200,
    ROUNDS_EXITS = 40,
    ROUNDS_READ = 60,
    BATCH = 10 /* rounds of one side before it is the other's turn */
};

/* What is asked of them, but for the handler in C's speed: see exits_target(). */
static const double target_read = 1.1;
static const double target_exits = 0.3;
static const double exits_enough = 20000; /* a second */

/* Writes a byte to MMIO_BASE for ever. */
static const uint8_t guest_mmio[] = {
    0xb8, 0x00, 0x20, /* mov $0x2000, %ax */
    0x8e, 0xd8,       /* mov %ax, %ds */
    0xa2, 0x00, 0x00, /* again: mov %al, 0 */
    0xeb, 0xfb,       /* jmp again */
};

struct contender {
    pid_t pid;
    FILE *to;
    FILE *from;
};

static struct contender contender_start(char *const *arguments)
{
    struct contender contender;
    posix_spawn_file_actions_t actions;
    int to[2];
    int from[2];

    if (pipe2(to, O_CLOEXEC) < 0 || pipe2(from, O_CLOEXEC) < 0)
        bench_need(-errno, "pipe");
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, to[0], STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&actions, from[1], STDOUT_FILENO);
    bench_need(-posix_spawnp(&contender.pid, arguments[0], &actions, NULL, arguments, environ),
               arguments[0]);
    posix_spawn_file_actions_destroy(&actions);
    close(to[0]);
    close(from[1]);
    contender.to = fdopen(to[1], "w");
    contender.from = fdopen(from[0], "r");
    if (!contender.to || !contender.from)
        bench_need(-ENOMEM, "pipe");
    return contender;
}

static void contender_ask(struct contender *contender, const char *what, size_t count,
                          struct bench_series *series)
{
    char line[64];

    fprintf(contender->to, "%s %zu\n", what, count);
    fflush(contender->to);
    for (size_t i = 0; i < count; i++) {
        char *end;
        unsigned long long ns;

        if (!fgets(line, sizeof(line), contender->from))
            bench_need(-EPIPE, "contender");
        ns = strtoull(line, &end, 10);
        if (end == line || *end != '\n' || ns == 0)
            bench_need(-EINVAL, "answer of the contender");
        bench_add(series, ns);
    }
}

static void contender_end(struct contender *contender)
{
    int status;

    fclose(contender->to);
    fclose(contender->from);
    while (waitpid(contender->pid, &status, 0) < 0 && errno == EINTR)
        ;
    if (status != 0)
        bench_need(-EIO, "contender at its end");
}

static struct nestvirt_host *host;

static uint64_t measure_create(void)
{
    static int image = -1;
    struct ours_vm vm;
    uint64_t start;

    if (image < 0)
        image = ours_make_image(guest_exit_once, sizeof(guest_exit_once));
    start = bench_now_ns();
    ours_run(host, MEMORY_CREATE, image, NESTVIRT_ACTION_RESUME, &vm);
    ours_free(&vm);
    return vm.first_exit_ns - start;
}

struct exits {
    uint64_t count;
    uint64_t start_ns;
    uint64_t end_ns;
};

static int32_t count_exit(void *user_data, struct nestvirt_access *access)
{
    struct exits *exits = user_data;

    if (exits->count++ == 0)
        exits->start_ns = bench_now_ns();
    if (exits->count <= EXITS)
        return NESTVIRT_ACTION_RESUME;
    exits->end_ns = bench_now_ns();
    return NESTVIRT_ACTION_STOP;
}

static struct nestvirt_vm *make_mmio(struct exits *exits)
{
    struct nestvirt_error *error = NULL;
    struct nestvirt_vm_config config;
    struct nestvirt_flat_config flat;
    struct nestvirt_vm *vm = NULL;
    int image = ours_make_image(guest_mmio, sizeof(guest_mmio));

    nestvirt_vm_config_init(&config, sizeof(config));
    config.memory_size = MEMORY_EXITS;
    ours_need(nestvirt_vm_new(host, &config, &vm, &error), &error);
    ours_need(nestvirt_handler_add(vm, NESTVIRT_SPACE_MMIO, MMIO_BASE, 4096, count_exit, exits,
                                   NULL, &error),
              &error);
    nestvirt_flat_config_init(&flat, sizeof(flat));
    flat.address = flat.entry = FLOOR_ENTRY;
    ours_need(nestvirt_boot_set_flat_fd(vm, image, &flat, &error), &error);
    close(image);
    return vm;
}

static uint64_t measure_exits(void)
{
    static struct nestvirt_vm *vm;
    static struct exits exits;
    struct nestvirt_error *error = NULL;

    if (!vm) {
        vm = make_mmio(&exits);
        ours_need(nestvirt_vm_build(vm, &error), &error);
    }
    exits.count = 0;
    ours_need(nestvirt_vm_start(vm, &error), &error);
    ours_need(nestvirt_vm_wait(vm, -1, NULL, &error), &error);
    return exits.end_ns - exits.start_ns;
}

static uint64_t measure_read(void)
{
    static void *guest;
    static char *buffer;
    struct nestvirt_error *error = NULL;
    uint64_t start;

    if (!guest) {
        struct nestvirt_vm *vm =
            ours_new(host, READ_SIZE, ours_make_image(guest_exit_once, 1), ours_ignore, NULL);

        ours_need(nestvirt_memory_get_pointer(vm, 0, READ_SIZE, &guest, &error), &error);
        buffer = malloc(READ_SIZE);
        if (!buffer)
            bench_need(-ENOMEM, "buffer");
        memset(guest, 0x5a, READ_SIZE);
        memset(buffer, 1, READ_SIZE);
    }
    start = bench_now_ns();
    memcpy(buffer, guest, READ_SIZE);
    __asm__ volatile("" : : "r"(buffer) : "memory");
    return bench_now_ns() - start;
}

struct work {
    const char *what;
    uint64_t (*measure)(void);
    size_t rounds;
};

/* A batch that does not count, then both sides in turn. */
static void run(struct contender *contender, const struct work *work, struct bench_series *ours,
                struct bench_series *base)
{
    for (size_t done = 0; done < work->rounds + BATCH; done += BATCH) {
        contender_ask(contender, work->what, BATCH, ours);
        for (size_t i = 0; i < BATCH; i++)
            bench_add(base, work->measure());
        if (done == 0)
            ours->count = base->count = 0;
    }
}

/* 0.3 of the handler in C, or as much less as is enough for 20,000 exits a second. */
static double exits_target(const struct bench_series *base)
{
    double ns = (double)bench_percentile(base, 50) / EXITS;
    double enough = ns > 0 ? exits_enough * ns / 1e9 : target_exits;

    return enough < target_exits ? enough : target_exits;
}

static void compare(struct bench_report *report, struct contender *contender, const char *name,
                    double target_create)
{
    static const struct work works[] = {
        { "create", measure_create, ROUNDS_CREATE },
        { "exits", measure_exits, ROUNDS_EXITS },
        { "read", measure_read, ROUNDS_READ },
    };

    for (size_t i = 0; i < sizeof(works) / sizeof(works[0]); i++) {
        struct bench_series ours = { 0 };
        struct bench_series base = { 0 };
        struct bench_line line = { .ours = &ours, .base = &base };
        char title[64];

        run(contender, &works[i], &ours, &base);
        snprintf(title, sizeof(title), "%s.%s", name, works[i].what);
        line.name = title;
        line.target = i == 0 ? target_create : i == 1 ? exits_target(&base) : target_read;
        line.kind = i == 1 ? BENCH_SPEED : BENCH_COST;
        bench_print(report, &line);
        bench_clear(&ours);
        bench_clear(&base);
    }
}

int main(int argc, char **argv)
{
    struct bench_report report;
    struct contender contender;

    bench_begin(&report, &argc, argv);
    if (argc < 3) {
        fprintf(stderr, "usage: bench_bindings NAME PROGRAM [ARGUMENT...]\n");
        return 2;
    }
    bench_need_kvm();
    host = ours_open();
    contender = contender_start(argv + 2);
    compare(&report, &contender, argv[1], strcmp(argv[1], "go") == 0 ? 1.2 : 2);
    contender_end(&contender);
    return bench_end(&report);
}
