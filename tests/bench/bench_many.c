/* SPDX-License-Identifier: Apache-2.0 */
/*
 * M2: 2,000 VMs alive in one process, each run to its first exit and halted. M2.growth: what the
 * last tenth costs to create against the first. M2.teardown: what each costs to stop and free,
 * against the floor.
 *
 * Each contender has a process of its own, for much of the kernel's work grows with the VMs of
 * one process; they work in turns, a chunk of VMs each.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"
#include "floor.h"
#include "guest.h"
#include "ours.h"

enum {
    VMS = 2000,
    CHUNK = 50,             /* by ours, then by the floor, and so on */
    WARM = 20,              /* made and freed beforehand */
    FDS_PER_VM = 4,         /* of one contender, at most */
    MEMORY_SIZE = 16 << 20, /* of each guest */
    NONSENSE_GROWTH = 10    /* times the growth of the floor */
};

#define AVAILABLE (6ull << 30)

struct times {
    uint64_t ns[CHUNK];
};

/* What one process does; create and free take a VM's number and return what it cost. */
struct contender {
    void (*open)(void *state);
    uint64_t (*create)(void *state, size_t i);
    uint64_t (*free)(void *state, size_t i);
    void *state;
};

static struct ours {
    struct nestvirt_host *host;
    int image;
    struct ours_vm vms[VMS];
} ours;

static struct base {
    struct floor_host host;
    struct floor_vm vms[VMS];
} base;

static void open_ours(void *state)
{
    struct ours *o = state;

    o->host = ours_open();
    o->image = ours_make_image(guest_exit_once, sizeof(guest_exit_once));
}

static uint64_t create_ours(void *state, size_t i)
{
    struct ours *o = state;
    uint64_t start = bench_now_ns();

    ours_run(o->host, MEMORY_SIZE, o->image, NESTVIRT_ACTION_RESUME, &o->vms[i]);
    return o->vms[i].first_exit_ns - start;
}

static uint64_t free_ours(void *state, size_t i)
{
    struct ours *o = state;
    uint64_t start = bench_now_ns();

    ours_free(&o->vms[i]);
    return bench_now_ns() - start;
}

static void open_floor(void *state)
{
    struct base *b = state;

    bench_need(floor_open(&b->host), "floor");
}

static uint64_t create_floor(void *state, size_t i)
{
    struct base *b = state;
    struct floor_vm *vm = &b->vms[i];
    uint64_t start = bench_now_ns();

    bench_need(floor_create(&b->host, MEMORY_SIZE, guest_exit_once, sizeof(guest_exit_once), vm),
               "floor");
    bench_need(floor_start(&b->host, vm), "floor thread");
    bench_need(floor_wait(vm), "floor guest");
    return vm->first_exit_ns - start;
}

static uint64_t free_floor(void *state, size_t i)
{
    struct base *b = state;
    uint64_t start = bench_now_ns();

    floor_stop(&b->vms[i]);
    floor_destroy(&b->host, &b->vms[i]);
    return bench_now_ns() - start;
}

static void warm(const struct contender *c)
{
    for (size_t i = 0; i < WARM; i++)
        c->create(c->state, i);
    for (size_t i = 0; i < WARM; i++)
        c->free(c->state, i);
}

/* Answers each word it reads, c or f, by the times of one more chunk. */
static void serve(const void *state, int fd)
{
    const struct contender *c = state;
    size_t created = 0;
    size_t freed = 0;
    struct times times;
    char word;

    c->open(c->state);
    warm(c);
    while (read(fd, &word, 1) == 1) {
        for (size_t i = 0; i < CHUNK; i++)
            times.ns[i] = word == 'c' ? c->create(c->state, created++) : c->free(c->state, freed++);
        if (write(fd, &times, sizeof(times)) != (ssize_t)sizeof(times))
            break;
    }
}

static void measure_chunk(int fd, char word, struct bench_series *series)
{
    struct times times;

    if (write(fd, &word, 1) != 1 || recv(fd, &times, sizeof(times), MSG_WAITALL) != sizeof(times))
        bench_need(-EPIPE, "a contender's process");
    for (size_t i = 0; i < CHUNK; i++)
        bench_add(series, times.ns[i]);
}

static void in_turns(const int fds[2], char word, struct bench_series ret_series[2])
{
    for (size_t done = 0; done < VMS; done += CHUNK)
        for (int i = 0; i < 2; i++)
            measure_chunk(fds[i], word, &ret_series[i]);
}

static double growth(const struct bench_series *times)
{
    const struct bench_series first = bench_part(times, 0, VMS / 10);
    const struct bench_series last = bench_part(times, VMS - VMS / 10, VMS);

    return (double)bench_percentile(&last, 50) / (double)bench_percentile(&first, 50);
}

/*
 * The kernel's own part grows (KVM_CREATE_VM locks every mapping of the process), on some hosts
 * many times over, so what is out of all reason is judged by how the floor grows; and whether ours
 * grows by itself, by what the last tenth costs against the floor's.
 */
static void report_created(struct bench_report *report, const struct bench_series times[2])
{
    const struct bench_series first = bench_part(&times[0], 0, VMS / 10);
    const struct bench_series last = bench_part(&times[0], VMS - VMS / 10, VMS);
    const struct bench_series base_last = bench_part(&times[1], VMS - VMS / 10, VMS);
    const double floor_ratio = growth(&times[1]);
    char extra[64];

    snprintf(extra, sizeof(extra), ",\"floor_ratio\":%.3f", floor_ratio);
    bench_print(report, &(struct bench_line){ .name = "M2.growth",
                                              .target = 1.2,
                                              .nonsense = NONSENSE_GROWTH * floor_ratio,
                                              .extra = extra,
                                              .ours = &last,
                                              .base = &first });
    bench_print(report,
                &(struct bench_line){ .name = "M2.create", .ours = &times[0], .base = &times[1] });
    bench_print(report, &(struct bench_line){ .name = "M2.create",
                                              .at = "last tenth",
                                              .target = 1.15,
                                              .ours = &last,
                                              .base = &base_last });
}

static uint64_t total(const struct bench_series *times)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < times->count; i++)
        sum += times->ns[i];
    return sum;
}

static void report_freed(struct bench_report *report, const struct bench_series times[2])
{
    char extra[96];

    snprintf(extra, sizeof(extra), ",\"ours_total_ns\":%llu,\"base_total_ns\":%llu",
             (unsigned long long)total(&times[0]), (unsigned long long)total(&times[1]));
    bench_print(report, &(struct bench_line){ .name = "M2.teardown",
                                              .target = 1.3,
                                              .extra = extra,
                                              .ours = &times[0],
                                              .base = &times[1] });
}

int main(int argc, char **argv)
{
    const struct contender contenders[] = {
        { open_ours, create_ours, free_ours, &ours },
        { open_floor, create_floor, free_floor, &base },
    };
    struct bench_series created[2] = { 0 };
    struct bench_series freed[2] = { 0 };
    struct bench_report report;
    int fds[2];

    bench_begin(&report, &argc, argv);
    bench_need_kvm();
    bench_need_files(VMS * FDS_PER_VM);
    if (bench_available() < AVAILABLE)
        bench_skip("2,000 VMs twice need 6 GiB of available memory: end other programs");
    for (int i = 0; i < 2; i++)
        fds[i] = bench_spawn(serve, &contenders[i], NULL);
    in_turns(fds, 'c', created);
    report_created(&report, created);
    in_turns(fds, 'f', freed);
    report_freed(&report, freed);
    for (int i = 0; i < 2; i++) /* both first: the second process inherited the first socket */
        close(fds[i]);
    for (int i = 0; i < 2; i++) {
        wait(NULL);
        bench_clear(&created[i]);
        bench_clear(&freed[i]);
    }
    return bench_end(&report);
}
