/* SPDX-License-Identifier: Apache-2.0 */
/*
 * M7: exits per second. M7.one: through a registered handler against a bare KVM_RUN loop.
 * M7.many: with 1,024 ranges registered against one.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/ioctl.h>

#include "bench.h"
#include "floor.h"
#include "guest.h"
#include "ours.h"

enum {
    MEMORY_SIZE = 16 << 20,
    ROUNDS = 100,
    ROUNDS_WARM = 3,
    EXITS = 1000, /* in a round */
    RANGES = 1024,
    RANGES_BASE = 0x1000, /* ports of the ranges nobody uses */
    RANGES_STEP = 4
};

/* A guest's writes are counted in rounds; between them its vCPU waits in the handler. */
struct counter {
    uint64_t left; /* exits to go in this round */
    uint64_t start_ns;
    uint64_t end_ns;
    bool quit;
    sem_t go;
    sem_t done;
};

static void counter_init(struct counter *counter)
{
    *counter = (struct counter){ 0 };
    sem_init(&counter->go, 0, 0);
    sem_init(&counter->done, 0, 0);
}

/* The end of a round and the wait for the next one. */
static void turn_round(struct counter *counter)
{
    counter->end_ns = bench_now_ns();
    sem_post(&counter->done);
    while (sem_wait(&counter->go) < 0)
        ;
    counter->left = EXITS - 1; /* the exit that ends the round counts too */
    counter->start_ns = bench_now_ns();
}

static uint64_t measure(struct counter *counter)
{
    sem_post(&counter->go);
    sem_wait(&counter->done);
    return (counter->end_ns - counter->start_ns) / EXITS;
}

static int32_t count_exit(void *user_data, struct nestvirt_access *access)
{
    struct counter *counter = user_data;

    if (counter->left-- == 0)
        turn_round(counter);
    return counter->quit ? NESTVIRT_ACTION_STOP : NESTVIRT_ACTION_RESUME;
}

struct floor_loop {
    struct counter counter;
    struct floor_host host;
    struct floor_vm vm;
};

static void *floor_main(void *argument)
{
    struct floor_loop *loop = argument;
    struct counter *counter = &loop->counter;

    while (!counter->quit) {
        if (ioctl(loop->vm.vcpu_fd, KVM_RUN, NULL) < 0)
            bench_need(-errno, "KVM_RUN");
        if (loop->vm.run->exit_reason != KVM_EXIT_IO || loop->vm.run->io.port != GUEST_PORT)
            bench_need(-EIO, "floor guest");
        if (counter->left-- == 0)
            turn_round(counter);
    }
    return NULL;
}

static void floor_begin(struct floor_loop *loop)
{
    counter_init(&loop->counter);
    bench_need(floor_open(&loop->host), "floor");
    bench_need(floor_create(&loop->host, MEMORY_SIZE, guest_exit_always, sizeof(guest_exit_always),
                            &loop->vm),
               "floor");
    bench_need(-pthread_create(&loop->vm.thread, &loop->host.thread, floor_main, loop),
               "floor thread");
    sem_wait(&loop->counter.done);
}

static void floor_end(struct floor_loop *loop)
{
    loop->counter.quit = true;
    sem_post(&loop->counter.go);
    pthread_join(loop->vm.thread, NULL);
    floor_destroy(&loop->host, &loop->vm);
    floor_close(&loop->host);
}

static int32_t refuse(void *user_data, struct nestvirt_access *access)
{
    return NESTVIRT_ACTION_DEFAULT;
}

/* A VM with `ranges` in all, halfway between which the used one is not: it is the first. */
static struct nestvirt_vm *ours_begin(struct nestvirt_host *host, int image, uint32_t ranges,
                                      struct counter *counter)
{
    struct nestvirt_error *error = NULL;
    struct nestvirt_vm *vm;

    counter_init(counter);
    vm = ours_new(host, MEMORY_SIZE, image, count_exit, counter);
    for (uint32_t i = 1; i < ranges; i++)
        ours_need(nestvirt_handler_add(vm, NESTVIRT_SPACE_PORT, RANGES_BASE + i * RANGES_STEP, 1,
                                       refuse, NULL, NULL, &error),
                  &error);
    ours_start(vm);
    sem_wait(&counter->done);
    return vm;
}

static void ours_end(struct nestvirt_vm *vm, struct counter *counter)
{
    counter->quit = true;
    sem_post(&counter->go);
    bench_need(nestvirt_vm_free(vm), "nestvirt_vm_free");
}

static void compare(struct bench_report *report, struct counter *counters[3])
{
    struct bench_series times[3] = { 0 };

    for (int round = 0; round < ROUNDS_WARM + ROUNDS; round++)
        for (int i = 0; i < 3; i++) {
            uint64_t ns = measure(counters[i]);

            if (round >= ROUNDS_WARM)
                bench_add(&times[i], ns);
        }
    bench_print(report, &(struct bench_line){ .name = "M7.one",
                                              .kind = BENCH_SPEED,
                                              .target = 0.98,
                                              .ours = &times[0],
                                              .base = &times[2] });
    bench_print(report, &(struct bench_line){ .name = "M7.many",
                                              .kind = BENCH_SPEED,
                                              .target = 0.95,
                                              .ours = &times[1],
                                              .base = &times[0] });
    for (int i = 0; i < 3; i++)
        bench_clear(&times[i]);
}

int main(int argc, char **argv)
{
    struct counter one;
    struct counter many;
    struct floor_loop floor;
    struct bench_report report;
    struct nestvirt_host *host;
    struct nestvirt_vm *vms[2];
    int image;

    bench_begin(&report, &argc, argv);
    bench_need_kvm();
    host = ours_open();
    image = ours_make_image(guest_exit_always, sizeof(guest_exit_always));
    vms[0] = ours_begin(host, image, 1, &one);
    vms[1] = ours_begin(host, image, RANGES, &many);
    floor_begin(&floor);
    compare(&report, (struct counter *[]){ &one, &many, &floor.counter });
    floor_end(&floor);
    ours_end(vms[0], &one);
    ours_end(vms[1], &many);
    nestvirt_host_free(host);
    return bench_end(&report);
}
