/* SPDX-License-Identifier: Apache-2.0 */
/*
 * prefault: building a VM whose 4 GiB are touched beforehand, against a bare parallel
 * MADV_POPULATE_WRITE of as much memory on as many threads as this program has CPUs.
 *
 * A host that is a virtual machine itself and reports its free pages gives the same 4 GiB cold, at
 * a half or a third of the speed, once they were free for a second or two. So before each turn as
 * much memory is touched, held until what was free before is reported, and given back: warm for
 * whoever comes next.
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>

#include "bench.h"
#include "ours.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

#define MEMORY_SIZE (4ull << 30)
#define AVAILABLE (6ull << 30)
#define HOLD_NS 2000000000l

/* Fewer rounds than elsewhere: each takes seconds. */
enum { ROUNDS = 5, THREADS_MAX = 64 };

struct part {
    char *start;
    size_t length;
    int result;
};

static void *touch(void *argument)
{
    struct part *part = argument;

    part->result = madvise(part->start, part->length, MADV_POPULATE_WRITE) < 0 ? -errno : 0;
    return NULL;
}

/* The memory is held for hold_ns more and freed, which is not timed. */
static uint64_t measure_raw(unsigned threads, long hold_ns)
{
    pthread_t ids[THREADS_MAX];
    struct part parts[THREADS_MAX];
    char *memory = mmap(NULL, MEMORY_SIZE, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    uint64_t start = bench_now_ns();

    bench_need(memory == MAP_FAILED ? -errno : 0, "mmap");
    for (unsigned i = 0; i < threads; i++) {
        parts[i].start = memory + i * (MEMORY_SIZE / threads);
        parts[i].length =
            i + 1 < threads ? MEMORY_SIZE / threads : MEMORY_SIZE - i * (MEMORY_SIZE / threads);
        bench_need(-pthread_create(&ids[i], NULL, touch, &parts[i]), "thread");
    }
    for (unsigned i = 0; i < threads; i++) {
        pthread_join(ids[i], NULL);
        bench_need(parts[i].result, "madvise(MADV_POPULATE_WRITE)");
    }
    start = bench_now_ns() - start;
    bench_sleep(hold_ns);
    munmap(memory, MEMORY_SIZE);
    return start;
}

static uint64_t measure_ours(struct nestvirt_host *host)
{
    struct nestvirt_memory_config memory;
    struct nestvirt_error *error = NULL;
    struct nestvirt_vm *vm;
    uint64_t start;

    ours_need(nestvirt_vm_new(host, NULL, &vm, &error), &error);
    nestvirt_memory_config_init(&memory, sizeof(memory));
    memory.flags = NESTVIRT_MEMORY_DEFAULT_LAYOUT | NESTVIRT_MEMORY_PREFAULT;
    memory.length = MEMORY_SIZE;
    ours_need(nestvirt_memory_add(vm, &memory, &error), &error);
    start = bench_now_ns();
    ours_need(nestvirt_vm_build(vm, &error), &error);
    start = bench_now_ns() - start;
    bench_need(nestvirt_vm_free(vm), "nestvirt_vm_free");
    return start;
}

static unsigned count_cpus(void)
{
    cpu_set_t set;

    bench_need(sched_getaffinity(0, sizeof(set), &set) < 0 ? -errno : 0, "sched_getaffinity");
    return CPU_COUNT(&set) < THREADS_MAX ? (unsigned)CPU_COUNT(&set) : THREADS_MAX;
}

int main(int argc, char **argv)
{
    struct bench_report report;
    struct bench_series ours = { 0 };
    struct bench_series raw = { 0 };
    struct nestvirt_host *host;
    unsigned threads = count_cpus();

    bench_begin(&report, &argc, argv);
    bench_need_kvm();
    if (bench_available() < AVAILABLE)
        bench_skip("prefault needs 6 GiB of available memory: end other programs");
    host = ours_open();
    for (int round = 0; round < ROUNDS; round++) {
        measure_raw(threads, HOLD_NS);
        bench_add(&ours, measure_ours(host));
        measure_raw(threads, HOLD_NS);
        bench_add(&raw, measure_raw(threads, 0));
    }
    bench_print(
        &report,
        &(struct bench_line){
            .name = "prefault", .kind = BENCH_SPEED, .target = 0.95, .ours = &ours, .base = &raw });
    bench_clear(&ours);
    bench_clear(&raw);
    nestvirt_host_free(host);
    return bench_end(&report);
}
