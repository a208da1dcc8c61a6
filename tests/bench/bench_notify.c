/* SPDX-License-Identifier: Apache-2.0 */
/*
 * M8: notifications per second by a guest that does nothing else. M8.raw: of a virtio queue by
 * ioeventfd, against a bare ioeventfd with a thread that waits on it; M8.unread: against one that
 * nobody waits on, which is what the write alone costs. M8.exit: against notifications that leave
 * the guest.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "bench.h"
#include "floor.h"
#include "ours.h"
#include "payload.h"

enum {
    MEMORY_SIZE = 1 << 20,
    ROUNDS = 60,
    ROUNDS_WARM = 3,
    ROUND_NS = 20000000,
    WINDOW = 0xd0000000, /* of the first device */
    NOTIFY = 0x50,
    NO_QUEUE = 99, /* a queue that does not exist: no ioeventfd takes it */
    DEVICES_MANY = 16
};

/* Raw KVM: the guest's thread, and one that reads the eventfd as an event loop would. */
struct raw {
    struct floor_host host;
    struct floor_vm vm;
    int event;
    int epoll;
    bool has_reader;
    pthread_t reader;
    volatile int quit;
    volatile int is_held; /* the guest waits outside of KVM_RUN */
    sem_t go;
    sem_t held;
};

static void *read_events(void *argument)
{
    struct raw *raw = argument;
    struct epoll_event event;
    eventfd_t value;

    while (!raw->quit)
        if (epoll_wait(raw->epoll, &event, 1, -1) > 0)
            eventfd_read(raw->event, &value);
    return NULL;
}

static void *run_raw(void *argument)
{
    struct raw *raw = argument;

    while (!raw->quit) {
        int r = ioctl(raw->vm.vcpu_fd, KVM_RUN, NULL);

        if (r < 0 && errno != EINTR)
            bench_need(-errno, "KVM_RUN");
        if (raw->is_held) {
            sem_post(&raw->held);
            while (sem_wait(&raw->go) < 0)
                ;
        }
    }
    return NULL;
}

static void raw_hold(struct raw *raw)
{
    raw->is_held = 1;
    raw->vm.run->immediate_exit = 1;
    pthread_kill(raw->vm.thread, SIGUSR1);
    sem_wait(&raw->held);
}

static void raw_release(struct raw *raw)
{
    raw->is_held = 0;
    raw->vm.run->immediate_exit = 0;
    sem_post(&raw->go);
}

static void raw_begin(struct raw *raw, bool has_reader)
{
    struct epoll_event event = { .events = EPOLLIN };
    struct kvm_ioeventfd request = {
        .datamatch = 0, .addr = WINDOW + NOTIFY, .len = 4, .flags = KVM_IOEVENTFD_FLAG_DATAMATCH
    };
    struct payload_shared *shared;

    *raw = (struct raw){ .event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
                         .epoll = epoll_create1(EPOLL_CLOEXEC) };
    sem_init(&raw->go, 0, 0);
    sem_init(&raw->held, 0, 0);
    bench_need(floor_open(&raw->host), "floor");
    bench_need(floor_create(&raw->host, MEMORY_SIZE, payload_jump, sizeof(payload_jump), &raw->vm),
               "floor");
    memcpy(raw->vm.memory + PAYLOAD_BASE, bench_payload, PAYLOAD_SIZE);
    shared = (struct payload_shared *)(raw->vm.memory + PAYLOAD_SHARED);
    shared->doorbell = WINDOW + NOTIFY;
    request.fd = raw->event;
    if (raw->event < 0 || raw->epoll < 0 ||
        epoll_ctl(raw->epoll, EPOLL_CTL_ADD, raw->event, &event) < 0 ||
        ioctl(raw->vm.fd, KVM_IOEVENTFD, &request) < 0)
        bench_need(-errno, "ioeventfd");
    raw->has_reader = has_reader;
    if (has_reader)
        bench_need(-pthread_create(&raw->reader, NULL, read_events, raw), "thread");
    bench_need(-pthread_create(&raw->vm.thread, &raw->host.thread, run_raw, raw), "thread");
}

static void raw_end(struct raw *raw)
{
    raw->quit = 1;
    raw_release(raw);
    eventfd_write(raw->event, 1);
    floor_stop(&raw->vm);
    if (raw->has_reader)
        pthread_join(raw->reader, NULL);
    floor_destroy(&raw->host, &raw->vm);
    floor_close(&raw->host);
    close(raw->event);
    close(raw->epoll);
}

static struct nestvirt_vm *ours_begin(struct nestvirt_host *host, int image, uint32_t devices,
                                      uint32_t value, struct payload_shared **ret_shared)
{
    struct nestvirt_vm *vm = ours_new(host, MEMORY_SIZE, image, ours_ignore, NULL);
    struct nestvirt_error *error = NULL;
    void *shared;

    for (uint32_t i = 0; i < devices; i++)
        ours_need(nestvirt_device_add(vm, "rng", NULL, &error), &error);
    ours_need(nestvirt_memory_write(vm, PAYLOAD_BASE, bench_payload, PAYLOAD_SIZE, &error), &error);
    ours_need(nestvirt_memory_get_pointer(vm, PAYLOAD_SHARED, sizeof(struct payload_shared),
                                          &shared, &error),
              &error);
    *ret_shared = shared;
    (*ret_shared)->doorbell = WINDOW + NOTIFY;
    (*ret_shared)->value = value;
    ours_start(vm);
    return vm;
}

/* Nanoseconds for each notification, over one round. */
static uint64_t measure(struct payload_shared *shared)
{
    uint64_t count = shared->count;
    uint64_t start = bench_now_ns();

    bench_sleep(ROUND_NS);
    count = shared->count - count;
    return count ? (bench_now_ns() - start) / count : ROUND_NS;
}

static void await_start(const struct payload_shared *shared)
{
    for (int i = 0; i < 5000 && shared->state == 0; i++)
        bench_sleep(1000000);
    bench_need(shared->state == 1 ? 0 : -EIO, "the guest");
}

enum { ONE, MANY, EXITS, OURS, RAW = OURS, RAW_UNREAD, ALL };

struct contenders {
    struct nestvirt_vm *vms[OURS];
    struct raw raws[ALL - RAW];
    struct payload_shared *shared[ALL];
};

static void turn_on(struct contenders *all, int i)
{
    if (i < OURS)
        bench_need(nestvirt_vm_resume(all->vms[i], NULL), "nestvirt_vm_resume");
    else
        raw_release(&all->raws[i - RAW]);
}

static void turn_off(struct contenders *all, int i)
{
    if (i < OURS)
        bench_need(nestvirt_vm_pause(all->vms[i], NULL), "nestvirt_vm_pause");
    else
        raw_hold(&all->raws[i - RAW]);
}

static void begin(struct contenders *all, struct nestvirt_host *host, int image)
{
    static const uint32_t devices[OURS] = { 1, DEVICES_MANY, 1 };
    static const uint32_t values[OURS] = { 0, 0, NO_QUEUE };

    for (int i = 0; i < ALL; i++) {
        if (i < OURS) {
            all->vms[i] = ours_begin(host, image, devices[i], values[i], &all->shared[i]);
        } else {
            raw_begin(&all->raws[i - RAW], i == RAW);
            all->shared[i] =
                (struct payload_shared *)(all->raws[i - RAW].vm.memory + PAYLOAD_SHARED);
        }
        await_start(all->shared[i]);
        turn_off(all, i);
    }
}

/* How much cheaper than an exit the bare eventfd that a thread reads is on this machine. */
static double floor_ratio(struct bench_series times[ALL])
{
    return (double)bench_percentile(&times[EXITS], 50) / (double)bench_percentile(&times[RAW], 50);
}

/* Machines differ by a factor of five in what an exit costs more: reason is what the floor has. */
static void print(struct bench_report *report, struct bench_series times[ALL])
{
    const double floor = floor_ratio(times);
    char extra[64];
    const struct bench_line lines[] = {
        { .name = "M8.raw",
          .target = 0.95,
          .at = "1 device",
          .ours = &times[ONE],
          .base = &times[RAW] },
        { .name = "M8.raw",
          .target = 0.95,
          .at = "16 devices",
          .ours = &times[MANY],
          .base = &times[RAW] },
        { .name = "M8.unread",
          .at = "nobody woken",
          .ours = &times[ONE],
          .base = &times[RAW_UNREAD] },
        { .name = "M8.exit",
          .target = 4,
          .nonsense = floor / 2,
          .extra = extra,
          .ours = &times[ONE],
          .base = &times[EXITS] },
    };

    snprintf(extra, sizeof(extra), ",\"floor_ratio\":%.3f", floor);
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        struct bench_line line = lines[i];

        line.kind = BENCH_SPEED;
        bench_print(report, &line);
    }
}

int main(int argc, char **argv)
{
    static struct contenders all;
    struct bench_series times[ALL] = { 0 };
    struct bench_report report;
    struct nestvirt_host *host;
    int image;

    bench_begin(&report, &argc, argv);
    bench_need_kvm();
    host = ours_open();
    image = ours_make_image(payload_jump, sizeof(payload_jump));
    begin(&all, host, image);
    for (int round = 0; round < ROUNDS_WARM + ROUNDS; round++) {
        for (int i = 0; i < ALL; i++) {
            uint64_t ns;

            turn_on(&all, i);
            ns = measure(all.shared[i]);
            turn_off(&all, i);
            if (round >= ROUNDS_WARM)
                bench_add(&times[i], ns);
        }
    }
    print(&report, times);
    for (int i = 0; i < OURS; i++)
        bench_need(nestvirt_vm_free(all.vms[i]), "nestvirt_vm_free");
    for (int i = RAW; i < ALL; i++)
        raw_end(&all.raws[i - RAW]);
    for (int i = 0; i < ALL; i++)
        bench_clear(&times[i]);
    close(image);
    nestvirt_host_free(host);
    return bench_end(&report);
}
