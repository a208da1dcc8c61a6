/* SPDX-License-Identifier: Apache-2.0 */
/* M1.floor: from nothing to the guest's first exit, in one process, against the floor. */
#include <stdlib.h>

#include "bench.h"
#include "floor.h"
#include "guest.h"
#include "ours.h"

enum {
    MIB = 1 << 20,
    ROUNDS = 300,
    ROUNDS_EXTRA = 100, /* where only flatness is looked at */
    ROUNDS_WARM = 10,
    CROWD = 1000,
    CROWD_MEMORY = 16 * MIB
};

struct contenders {
    struct nestvirt_host *host;
    struct floor_host floor;
    int image;
};

static uint64_t measure_ours(struct contenders *c, size_t memory_size)
{
    struct ours_vm vm;
    uint64_t start = bench_now_ns();

    ours_run(c->host, memory_size, c->image, NESTVIRT_ACTION_RESUME, &vm);
    ours_free(&vm);
    bench_settle();
    return vm.first_exit_ns - start;
}

static uint64_t measure_floor(struct contenders *c, size_t memory_size)
{
    struct floor_vm vm;
    uint64_t start = bench_now_ns();

    bench_need(floor_create(&c->floor, memory_size, guest_exit_once, sizeof(guest_exit_once), &vm),
               "floor");
    bench_need(floor_start(&c->floor, &vm), "floor thread");
    bench_need(floor_wait(&vm), "floor guest");
    floor_stop(&vm);
    floor_destroy(&c->floor, &vm);
    bench_settle();
    return vm.first_exit_ns - start;
}

/* ours, floor, ours, floor, ... */
static void compare(struct bench_report *report, struct contenders *c, size_t memory_size,
                    size_t rounds, struct bench_line line)
{
    struct bench_series ours = { 0 };
    struct bench_series base = { 0 };

    for (int i = 0; i < ROUNDS_WARM; i++) {
        measure_ours(c, memory_size);
        measure_floor(c, memory_size);
    }
    for (size_t i = 0; i < rounds; i++) {
        bench_add(&ours, measure_ours(c, memory_size));
        bench_add(&base, measure_floor(c, memory_size));
    }
    line.ours = &ours;
    line.base = &base;
    bench_print(report, &line);
    bench_clear(&ours);
    bench_clear(&base);
}

static void compare_in_crowd(struct bench_report *report, struct contenders *c)
{
    const struct bench_line line = { .name = "M1.floor.vms", .at = "1000 alive" };
    struct ours_vm *crowd = calloc(CROWD, sizeof(*crowd));

    if (!crowd)
        bench_need(-12, "memory for VMs");
    for (size_t i = 0; i < CROWD; i++)
        ours_run(c->host, CROWD_MEMORY, c->image, NESTVIRT_ACTION_RESUME, &crowd[i]);
    compare(report, c, 128 * MIB, ROUNDS_EXTRA, line);
    for (size_t i = 0; i < CROWD; i++)
        ours_free(&crowd[i]);
    free(crowd);
}

int main(int argc, char **argv)
{
    struct bench_report report;
    struct contenders c;

    bench_begin(&report, &argc, argv);
    bench_need_kvm();
    c.host = ours_open();
    c.image = ours_make_image(guest_exit_once, sizeof(guest_exit_once));
    bench_need(floor_open(&c.floor), "floor");
    compare(&report, &c, 128 * MIB, ROUNDS,
            (struct bench_line){ .name = "M1.floor", .target = 1.15, .target_p99 = 1.5 });
    compare(&report, &c, 16 * MIB, ROUNDS_EXTRA,
            (struct bench_line){ .name = "M1.floor.size", .at = "16 MiB" });
    compare(&report, &c, 1024 * (size_t)MIB, ROUNDS_EXTRA,
            (struct bench_line){ .name = "M1.floor.size", .at = "1 GiB" });
    compare_in_crowd(&report, &c);
    floor_close(&c.floor);
    nestvirt_host_free(c.host);
    return bench_end(&report);
}
