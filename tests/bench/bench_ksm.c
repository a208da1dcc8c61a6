/* SPDX-License-Identifier: Apache-2.0 */
/*
 * M6: how long KSM takes to 95% of what two VMs with equal memory can share, at the kernel's
 * default settings against those that the library has set for a token. M6.cpu: what CPU time of the
 * kernel's thread that costs. The defaults scan 20 MB/s, so memory is small and rounds are few, but
 * none is extrapolated.
 */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../support/ksm_guard.h"
#include "bench.h"
#include "ours.h"
#include "payload.h"

enum {
    PAGE = 4096,
    MEMORY_SIZE = 32 << 20, /* of each VM */
    PAGES = MEMORY_SIZE / PAGE,
    VMS = 2,
    ROUNDS = 3,
    WAIT_SECONDS = 60,
    POLL_NS = 1000000
};

enum { DEFAULTS, TUNED, CONTENDERS };

static const struct nestvirt_ksm_settings settings[CONTENDERS] = {
    [DEFAULTS] = { .pages_to_scan = 100, .sleep_ms = 20 },
    [TUNED] = { .pages_to_scan = 10000, .sleep_ms = 1 },
};

static int ksmd; /* its process, 0: not to be seen */

static int find_ksmd(void)
{
    DIR *folder = opendir("/proc");
    struct dirent *entry;
    int found = 0;

    while (folder && !found && (entry = readdir(folder))) {
        char path[64], name[16] = "";
        FILE *file;

        if (!isdigit((unsigned char)entry->d_name[0]))
            continue;
        snprintf(path, sizeof(path), "/proc/%.20s/comm", entry->d_name);
        file = fopen(path, "re");
        if (file && fgets(name, sizeof(name), file) && strcmp(name, "ksmd\n") == 0)
            found = atoi(entry->d_name);
        if (file)
            fclose(file);
    }
    if (folder)
        closedir(folder);
    return found;
}

static uint64_t cpu_time_ns(void)
{
    char path[64];
    unsigned long long ns = 0;
    FILE *file;

    snprintf(path, sizeof(path), "/proc/%d/schedstat", ksmd);
    file = fopen(path, "re");
    if (file && fscanf(file, "%llu", &ns) != 1)
        ns = 0;
    if (file)
        fclose(file);
    return ns;
}

/* Pages that differ from each other, but not from those of the other VM. */
static void fill(struct nestvirt_vm *vm, uint32_t seed)
{
    struct nestvirt_error *error = NULL;
    void *memory;

    ours_need(nestvirt_memory_get_pointer(vm, 0, MEMORY_SIZE, &memory, &error), &error);
    for (uint32_t i = 0; i < PAGES; i++) {
        uint32_t *words = (uint32_t *)((uint8_t *)memory + (size_t)i * PAGE);

        for (uint32_t k = 0; k < PAGE / 4; k++)
            words[k] = seed + i * 2654435761u + k;
    }
    ours_need(nestvirt_memory_set_mergeable(vm, 0, 1, &error), &error);
}

static uint64_t sharing(void)
{
    struct nestvirt_error *error = NULL;
    struct nestvirt_ksm_stats stats;

    nestvirt_ksm_stats_init(&stats, sizeof(stats));
    ours_need(nestvirt_ksm_get_stats(&stats, &error), &error);
    return stats.pages_sharing;
}

/*
 * What ended VMs had merged stays in the figures until ksmd comes across it. Unmerging, which
 * nobody else misses here, forgets it.
 */
static void forget(void)
{
    const struct nestvirt_ksm_settings unmerge = { .size = sizeof(unmerge),
                                                   .flags = NESTVIRT_KSM_RUN,
                                                   .run = NESTVIRT_KSM_UNMERGE };
    struct nestvirt_ksm_token *token;
    struct nestvirt_error *error = NULL;

    ours_need(nestvirt_ksm_set_settings(&unmerge, NULL, &token, &error), &error);
    bench_need(nestvirt_ksm_token_free(token), "nestvirt_ksm_token_free");
    bench_need(sharing() == 0 ? 0 : -EBUSY, "pages shared before the round");
}

struct result {
    uint64_t ns;
    uint64_t cpu_ns;
};

static void measure(const struct nestvirt_ksm_settings *wanted, struct result *result)
{
    struct nestvirt_ksm_settings all = *wanted;
    struct nestvirt_ksm_token *token;
    struct nestvirt_error *error = NULL;
    uint64_t cpu = cpu_time_ns(), start;

    all.size = sizeof(all);
    all.flags = NESTVIRT_KSM_RUN | NESTVIRT_KSM_PAGES_TO_SCAN | NESTVIRT_KSM_SLEEP_MS;
    all.run = NESTVIRT_KSM_MERGE;
    ours_need(nestvirt_ksm_set_settings(&all, NULL, &token, &error), &error);
    start = bench_now_ns();
    while (sharing() < (uint64_t)PAGES * 95 / 100) {
        if (bench_now_ns() - start > WAIT_SECONDS * 1000000000ull) {
            nestvirt_ksm_token_free(token);
            bench_need(-ETIMEDOUT, "sharing");
        }
        bench_sleep(POLL_NS);
    }
    result->ns = bench_now_ns() - start;
    result->cpu_ns = cpu_time_ns() - cpu;
    bench_need(nestvirt_ksm_token_free(token), "nestvirt_ksm_token_free");
}

static void run(struct nestvirt_host *host, int image, int contender, uint32_t seed,
                struct result *result)
{
    struct nestvirt_vm *vms[VMS];

    for (int i = 0; i < VMS; i++) {
        vms[i] = ours_new(host, MEMORY_SIZE, image, ours_ignore, NULL);
        fill(vms[i], seed);
    }
    forget();
    measure(&settings[contender], result);
    for (int i = 0; i < VMS; i++)
        bench_need(nestvirt_vm_free(vms[i]), "nestvirt_vm_free");
}

static void prepare(void)
{
    struct nestvirt_ksm_settings now;
    struct nestvirt_error *error = NULL;

    nestvirt_ksm_settings_init(&now, sizeof(now));
    if (nestvirt_ksm_get_settings(&now, NULL) < 0 || !ksm_guard_begin())
        bench_skip(
            "KSM is not in this kernel, or not for this user to change: run this as root on a "
            "kernel with CONFIG_KSM");
    ours_need(nestvirt_ksm_remove_record(NULL, &error), &error); /* of a run that was killed */
    if (now.run != NESTVIRT_KSM_STOP)
        bench_skip("KSM is in use on this host: write 0 to /sys/kernel/mm/ksm/run first");
    if (now.advisor_mode != NESTVIRT_KSM_ADVISOR_NONE)
        bench_skip("an advisor chooses this host's KSM settings: write none to "
                   "/sys/kernel/mm/ksm/advisor_mode first");
    ksmd = find_ksmd();
}

int main(int argc, char **argv)
{
    static const char extra[] = ",\"mib\":64,\"possible_pages\":8192";
    struct bench_series times[CONTENDERS] = { 0 }, cpu[CONTENDERS] = { 0 };
    struct bench_report report;
    struct nestvirt_host *host;
    int image;

    bench_begin(&report, &argc, argv);
    bench_need_kvm();
    prepare();
    host = ours_open();
    image = ours_make_image(payload_jump, sizeof(payload_jump));
    for (uint32_t round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < CONTENDERS; i++) {
            struct result result;

            run(host, image, i, round * 1000003u + (uint32_t)i * 7919u, &result);
            bench_add(&times[i], result.ns);
            bench_add(&cpu[i], result.cpu_ns);
        }
    }
    bench_print(&report, &(struct bench_line){ .name = "M6",
                                               .kind = BENCH_SPEED,
                                               .target = 20,
                                               .nonsense = 4, /* ksmd is nice: others come first */
                                               .extra = extra,
                                               .ours = &times[TUNED],
                                               .base = &times[DEFAULTS] });
    if (ksmd)
        bench_print(&report, &(struct bench_line){ .name = "M6.cpu",
                                                   .kind = BENCH_COST,
                                                   .target = 1.1,
                                                   .extra = extra,
                                                   .ours = &cpu[TUNED],
                                                   .base = &cpu[DEFAULTS] });
    for (int i = 0; i < CONTENDERS; i++) {
        bench_clear(&times[i]);
        bench_clear(&cpu[i]);
    }
    close(image);
    nestvirt_host_free(host);
    ksm_guard_end();
    if (!ksmd)
        bench_skip("M6.cpu needs to see the thread ksmd: run this in the host's PID namespace");
    return bench_end(&report);
}
