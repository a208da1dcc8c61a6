/* SPDX-License-Identifier: Apache-2.0 */
/*
 * M12: how many clones of a real Linux are alive at once. Linux boots once, with ACPI and a VM
 * generation ID; each clone has a vsock CID and socket of its own and answers a challenge when it
 * has started: by batches, as hundreds that start at once keep a slow host from all else for
 * minutes. When all are there, a random choice of them is challenged again. What an idle one
 * costs is told, too. Not to be mixed with M11, whose guests are a few instructions.
 *
 * Arguments: how many clones, and the seed of the choice.
 */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "../boot/pattern.h"
#include "bench.h"
#include "ours.h"

enum {
    COUNT = 600,
    TARGET = 500,
    BATCH = 50,
    CHOSEN = 50,
    FDS_PER_VM = 24, /* at most */
    CID = 1000,      /* of the template; its clones have those that follow */
    PORT = 7000,
    BOOT_MS = 240000,
    ANSWER_MS = 10000,
    IDLE_MS = 10000,    /* over which the processors' time is looked at */
    SETTLE_LOOKS = 100, /* of 0.3 s */
    CHALLENGE = 32      /* bytes */
};

#define MEMORY_SIZE (64ull << 20)
#define RESERVE (2ull << 30)
#define NEEDED (14ull << 30)

/* Devices in the order in which make_source() adds them. */
enum { SERIAL, VSOCK };

/*
 * The first words are for hosts that interpret ring 0 (tests/boot/README.md). kvm-clock without
 * the watchdog of the TSC keeps an idle guest asleep: that one wakes it twice a second.
 */
static const char cmdline[] =
    "console=ttyS0 reboot=k panic=-1 nokaslr mitigations=off noxsave "
    "clearcpuid=308,295,514,151,141,288,158,306,298,145,534 no_timer_check lpj=1000000 rodata=off "
    "rcupdate.rcu_cpu_stall_suppress=1 pci=off clocksource=kvm-clock tsc=reliable quiet "
    "nv.do=answer:7000";

struct answer {
    uint64_t random[2];
    uint64_t uptime_ms;
    uint64_t ns; /* from the connection on */
};

struct linux_clone {
    struct nestvirt_vm *vm;
    uint8_t generation[NESTVIRT_GENERATION_SIZE];
    struct answer first, second;
    bool has_answered; /* the first challenge */
    bool is_chosen;    /* for the second */
};

struct figures {
    uint32_t alive;
    uint32_t right;
    uint32_t alike;
    unsigned seed;
    double idle; /* processors */
    double seconds;
    uint64_t memory; /* bytes for each clone */
    struct bench_series first, second;
};

static char folder[] = "/tmp/nestvirt-linux-XXXXXX";
static struct linux_clone *clones;
static struct nestvirt_loop *loop;
static struct nestvirt_error *error;

static const char *socket_path(uint32_t cid)
{
    static char path[64];

    snprintf(path, sizeof(path), "%s/%u", folder, cid);
    return path;
}

static int64_t now_ms(void)
{
    return (int64_t)(bench_now_ns() / 1000000);
}

/* --- One challenge --- */

static int connect_to(uint32_t cid)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    snprintf(address.sun_path, sizeof(address.sun_path), "%s", socket_path(cid));
    bench_need(fd < 0 ? -errno : 0, "socket");
    bench_need(connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ? -errno : 0,
               "connect to a clone's socket");
    return fd;
}

/* Reads a line until the deadline; false at the end of the stream or of the time. */
static bool read_line(int fd, char *text, size_t size, int64_t deadline)
{
    size_t used = 0;

    while (used < size - 1) {
        struct pollfd poller = { .fd = fd, .events = POLLIN };
        const int64_t left = deadline - now_ms();

        if (left <= 0 || poll(&poller, 1, (int)left) != 1 || read(fd, text + used, 1) != 1)
            return false;
        if (text[used] == '\n') {
            text[used] = '\0';
            return true;
        }
        used++;
    }
    return false;
}

/* What the guest says of itself, and whether it is right for this CID and challenge. */
static bool is_right(const char *text, uint32_t cid, const char *challenge,
                     struct answer *ret_answer)
{
    struct answer answer;
    uint32_t told_cid, sum;

    if (sscanf(text, "answer %" SCNu32 " %" SCNu32 " %" SCNu64 " %" SCNu64 " %" SCNu64, &told_cid,
               &sum, &answer.random[0], &answer.random[1], &answer.uptime_ms) != 5)
        return false;
    if (told_cid != cid || sum != pattern_sum(cid, challenge, CHALLENGE))
        return false;
    *ret_answer = answer;
    return true;
}

/* Challenges the guest with this CID; false, with the reason on stderr, unless it answers right. */
static bool challenge(uint32_t cid, int64_t milliseconds, struct answer *ret_answer)
{
    const int64_t deadline = now_ms() + milliseconds;
    const uint64_t start = bench_now_ns();
    char bytes[CHALLENGE], text[160], word[32];
    int fd = connect_to(cid);
    bool is_good;

    for (int i = 0; i < CHALLENGE; i++)
        bytes[i] = (char)random();
    snprintf(word, sizeof(word), "CONNECT %d\n", PORT);
    is_good = send(fd, word, strlen(word), MSG_NOSIGNAL) == (ssize_t)strlen(word) &&
              read_line(fd, text, sizeof(text), deadline) && strncmp(text, "OK ", 3) == 0;
    if (!is_good) {
        fprintf(stderr, "CID %u took no connection\n", cid);
    } else {
        is_good = send(fd, bytes, CHALLENGE, MSG_NOSIGNAL) == CHALLENGE &&
                  read_line(fd, text, sizeof(text), deadline);
        if (!is_good || !is_right(text, cid, bytes, ret_answer)) {
            fprintf(stderr, "CID %u answered \"%s\"\n", cid, is_good ? text : "");
            is_good = false;
        }
    }
    ret_answer->ns = bench_now_ns() - start;
    close(fd);
    return is_good;
}

/* --- The source --- */

static struct nestvirt_vm *make_source(struct nestvirt_host *host, int console)
{
    struct nestvirt_vm_config config;
    struct nestvirt_host_info info;
    struct nestvirt_device *device;
    struct nestvirt_vm *vm = NULL;

    nestvirt_host_info_init(&info, sizeof(info));
    ours_need(nestvirt_host_get_info(host, &info, &error), &error);
    nestvirt_vm_config_init(&config, sizeof(config));
    config.memory_size = MEMORY_SIZE;
    config.memory_backing = NESTVIRT_BACKING_MEMFD;
    if (info.features & NESTVIRT_HOST_INTERPRETED)
        config.flags |= NESTVIRT_VM_FIXUPS;
    ours_need(nestvirt_vm_new(host, &config, &vm, &error), &error);
    ours_need(nestvirt_vm_set_loop(vm, loop, &error), &error);
    ours_need(nestvirt_device_add(vm, "serial", &device, &error), &error);
    ours_need(nestvirt_device_set_fd(device, "output", console, &error), &error);
    ours_need(nestvirt_device_add(vm, "vsock", &device, &error), &error);
    ours_need(nestvirt_device_set_u64(device, "cid", CID, &error), &error);
    ours_need(nestvirt_device_set_string(device, "path", socket_path(CID), &error), &error);
    ours_need(nestvirt_device_add(vm, "vmgenid", NULL, &error), &error);
    return vm;
}

/* Waits until the console says that the guest takes challenges. */
static void wait_for_guest(struct nestvirt_vm *vm, int console)
{
    static char text[1 << 16];
    const int64_t deadline = now_ms() + BOOT_MS;
    ssize_t got = 0;

    while (now_ms() < deadline && nestvirt_vm_get_state(vm) == NESTVIRT_STATE_RUNNING) {
        got = pread(console, text, sizeof(text) - 1, 0);
        text[got < 0 ? 0 : got] = '\0';
        if (strstr(text, "nv: waiting answer"))
            return;
        bench_sleep(100000000);
    }
    fprintf(stderr, "Linux did not come up; its console ends with:\n%s\n",
            text + (got > 1500 ? got - 1500 : 0));
    exit(1);
}

/* Boots Linux and makes it a template; its VM is used up. */
static struct nestvirt_template *make_template(struct nestvirt_host *host, const char *kernel,
                                               const char *initrd)
{
    struct nestvirt_template *template = NULL;
    int console = memfd_create("console", MFD_CLOEXEC);
    struct answer answer;
    struct nestvirt_vm *vm;

    bench_need(console < 0 ? -errno : 0, "memfd");
    vm = make_source(host, console);
    ours_need(nestvirt_boot_set_kernel(vm, kernel, NESTVIRT_KERNEL_AUTO, &error), &error);
    ours_need(nestvirt_boot_set_initrd(vm, initrd, &error), &error);
    ours_need(nestvirt_boot_set_cmdline(vm, cmdline, &error), &error);
    ours_need(nestvirt_vm_build(vm, &error), &error);
    ours_need(nestvirt_vm_start(vm, &error), &error);
    wait_for_guest(vm, console);
    if (!challenge(CID, BOOT_MS, &answer)) /* which also brings what answers need into memory */
        exit(1);
    bench_sleep(500000000);
    ours_need(nestvirt_vm_pause(vm, &error), &error);
    ours_need(nestvirt_template_new(vm, NESTVIRT_TEMPLATE_CONSUME, &template, &error), &error);
    bench_need(nestvirt_vm_free(vm), "nestvirt_vm_free");
    close(console);
    return template;
}

/* --- Clones --- */

/* Starts one; false at a limit, with its text on stderr. */
static bool add(struct nestvirt_template *template, uint32_t number)
{
    struct linux_clone *clone = &clones[number];
    struct nestvirt_device *vsock;
    const uint32_t cid = CID + 1 + number;

    ours_need(nestvirt_clone_new(template, NULL, &clone->vm, &error), &error);
    ours_need(nestvirt_vm_set_loop(clone->vm, loop, &error), &error);
    ours_need(nestvirt_device_get(clone->vm, VSOCK, &vsock, &error), &error);
    ours_need(nestvirt_device_set_u64(vsock, "cid", cid, &error), &error);
    ours_need(nestvirt_device_set_string(vsock, "path", socket_path(cid), &error), &error);
    if (nestvirt_vm_build(clone->vm, &error) < 0 || nestvirt_vm_start(clone->vm, &error) < 0) {
        fprintf(stderr, "no more: %s\n", nestvirt_error_get_message(error));
        nestvirt_error_free(error);
        error = NULL;
        nestvirt_vm_free(clone->vm);
        return false;
    }
    ours_need(
        nestvirt_vm_get_generation(clone->vm, clone->generation, sizeof(clone->generation), &error),
        &error);
    return true;
}

static double processor_seconds(void)
{
    struct rusage usage;

    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

/*
 * Waits until clones have seen to it that they are clones, which takes them some CPU time: until
 * then they end connections. When nothing else is asked of them, they are idle afterwards.
 */
static void wait_until_idle(void)
{
    for (int i = 0; i < SETTLE_LOOKS; i++) {
        const double before = processor_seconds();

        bench_sleep(300000000);
        if (processor_seconds() - before < 0.15)
            return;
    }
    fprintf(stderr, "clones are still busy, and are challenged all the same\n");
}

/* Each is challenged once, to see that it has run since it was made. */
static void challenge_batch(uint32_t from, uint32_t to, struct bench_series *latencies)
{
    for (uint32_t i = from; i < to; i++) {
        clones[i].has_answered = challenge(CID + 1 + i, ANSWER_MS, &clones[i].first);
        if (clones[i].has_answered)
            bench_add(latencies, clones[i].first.ns);
    }
}

/* Starts clones up to as many as wanted, by batches that are challenged; how many it has. */
static uint32_t add_all(struct nestvirt_template *template, uint32_t wanted, struct figures *f)
{
    uint32_t count = 0, before;

    do {
        const uint64_t start = bench_now_ns();

        before = count;
        while (count < wanted && count < before + BATCH && bench_available() > RESERVE &&
               add(template, count))
            count++;
        f->seconds += (double)(bench_now_ns() - start) / 1e9;
        wait_until_idle();
        challenge_batch(before, count, &f->first);
    } while (count == before + BATCH && count < wanted);
    return count;
}

/* Those that have answered as clones and run at the same time now. */
static uint32_t count_alive(uint32_t count)
{
    uint32_t alive = 0;

    for (uint32_t i = 0; i < count; i++)
        alive +=
            clones[i].has_answered && nestvirt_vm_get_state(clones[i].vm) == NESTVIRT_STATE_RUNNING;
    return alive;
}

/* Challenges a random choice anew; returns how many answered right, and later than before. */
static uint32_t challenge_chosen(uint32_t count, struct bench_series *latencies)
{
    uint32_t right = 0;

    for (uint32_t done = 0; done < CHOSEN && done < count;) {
        const uint32_t i = (uint32_t)random() % count;
        struct linux_clone *clone = &clones[i];

        if (clone->is_chosen)
            continue;
        clone->is_chosen = true;
        done++;
        if (!clone->has_answered || !challenge(CID + 1 + i, ANSWER_MS, &clone->second))
            continue;
        right += clone->second.uptime_ms > clone->first.uptime_ms;
        bench_add(latencies, clone->second.ns);
    }
    return right;
}

static int compare_keys(const void *a, const void *b)
{
    return memcmp(a, b, 16);
}

/* How often something of 16 bytes stands in an array more than once. */
static uint32_t count_repeated(uint8_t (*keys)[16], uint32_t count)
{
    uint32_t repeated = 0;

    qsort(keys, count, 16, compare_keys);
    for (uint32_t i = 1; i < count; i++)
        repeated += memcmp(keys[i], keys[i - 1], 16) == 0;
    return repeated;
}

/* Generation IDs and random numbers that two clones, or one twice, have in common. */
static uint32_t count_alike(uint32_t count)
{
    uint8_t(*keys)[16] = calloc(2 * (size_t)count + 1, 16);
    uint32_t used = 0, alike;

    bench_need(keys ? 0 : -ENOMEM, "memory");
    for (uint32_t i = 0; i < count; i++)
        memcpy(keys[i], clones[i].generation, 16);
    alike = count_repeated(keys, count);
    for (uint32_t i = 0; i < count; i++) {
        if (clones[i].has_answered)
            memcpy(keys[used++], clones[i].first.random, 16);
        if (clones[i].second.ns)
            memcpy(keys[used++], clones[i].second.random, 16);
    }
    alike += count_repeated(keys, used);
    free(keys);
    return alike;
}

/* --- The report --- */

/* Processors that this process uses while nobody asks it anything. */
static double look_at_idle(void)
{
    const double before = processor_seconds();
    const uint64_t start = bench_now_ns();

    for (int i = 0; i < IDLE_MS / 500; i++)
        bench_sleep(500000000);
    return (processor_seconds() - before) / ((double)(bench_now_ns() - start) / 1e9);
}

static void print(struct bench_report *report, const struct figures *f)
{
    const bool is_right = f->right == CHOSEN && f->alike == 0;
    const bool is_met = f->alive >= TARGET && is_right;
    const uint32_t value = is_right ? f->alive : 0; /* wrong answers count as nobody's */

    printf("{\"name\":\"M12\",\"value\":%u,\"ratio\":%.3f,\"rounds\":1,\"target\":%d,"
           "\"verdict\":\"%s\",\"answered\":%u,\"asked\":%d,\"alike\":%u,\"seed\":%u,"
           "\"p50_ns\":%" PRIu64 ",\"p99_ns\":%" PRIu64 ",\"first_p50_ns\":%" PRIu64
           ",\"first_p99_ns\":%" PRIu64 ",\"memory_each\":%" PRIu64
           ",\"idle_cpu_each\":%.6f,\"seconds\":%.1f}\n",
           value, value / (double)TARGET, TARGET, is_met ? "met" : "missed", f->right, CHOSEN,
           f->alike, f->seed, bench_percentile(&f->second, 50), bench_percentile(&f->second, 99),
           bench_percentile(&f->first, 50), bench_percentile(&f->first, 99), f->memory,
           f->idle / (f->alive ? f->alive : 1), f->seconds);
    fflush(stdout);
    fprintf(stderr,
            "M12              %u clones of Linux alive, started in %.1f s  target >= %d %s\n"
            "                 %u of %d chosen (seed %u) answered right: p50 %.1f ms, p99 %.1f ms\n"
            "                 first answers, of all:          p50 %.1f ms, p99 %.1f ms\n"
            "                 each takes %.2f MiB and, idle, %.4f%% of a processor (all: %.2f)\n"
            "                 random numbers and generation IDs that are alike: %u\n",
            f->alive, f->seconds, TARGET, is_met ? "met" : "missed", f->right, CHOSEN, f->seed,
            (double)bench_percentile(&f->second, 50) / 1e6,
            (double)bench_percentile(&f->second, 99) / 1e6,
            (double)bench_percentile(&f->first, 50) / 1e6,
            (double)bench_percentile(&f->first, 99) / 1e6, (double)f->memory / (1 << 20),
            100 * f->idle / (f->alive ? f->alive : 1), f->idle, f->alike);
    report->has_missed = !is_met;
    report->is_nonsense = value < TARGET / 2;
}

static void measure(struct nestvirt_template *template, uint32_t wanted, struct figures *f)
{
    const uint64_t available = bench_available();
    uint32_t count = add_all(template, wanted, f);

    f->memory = count ? (available - bench_available()) / count : 0;
    bench_settle();
    f->idle = look_at_idle();
    f->right = challenge_chosen(count, &f->second);
    f->alive = count_alive(count);
    f->alike = count_alike(count);
    while (count > 0) {
        bench_need(nestvirt_vm_free(clones[--count].vm), "nestvirt_vm_free");
        unlink(socket_path(CID + 1 + count));
    }
}

int main(int argc, char **argv)
{
    const char *kernel = getenv("NESTVIRT_TEST_KERNEL_FULL"), *initrd;
    struct nestvirt_template *template;
    struct figures figures = { 0 };
    struct bench_report report;
    struct nestvirt_host *host;
    uint32_t wanted = COUNT;
    char path[512];

    bench_begin(&report, &argc, argv);
    figures.seed = (unsigned)time(NULL);
    if (argc > 1)
        wanted = (uint32_t)strtoul(argv[1], NULL, 10);
    if (argc > 2)
        figures.seed = (unsigned)strtoul(argv[2], NULL, 10);
    initrd = getenv("NESTVIRT_TEST_INITRD");
    bench_need_kvm();
    if (!kernel || !initrd)
        bench_skip("NESTVIRT_TEST_KERNEL_FULL or NESTVIRT_TEST_INITRD is not set; see "
                   "CONTRIBUTING.md, or use tests/run boot bench");
    if (wanted >= TARGET && bench_available() < NEEDED)
        bench_skip("M12 needs 14 GiB of available memory");
    bench_need_files((uint64_t)wanted * FDS_PER_VM);
    srandom(figures.seed);
    bench_need(mkdtemp(folder) ? 0 : -errno, folder);
    clones = calloc(wanted ? wanted : 1, sizeof(*clones));
    bench_need(clones ? 0 : -ENOMEM, "memory");
    host = ours_open();
    ours_need(nestvirt_loop_new(&loop, &error), &error);
    snprintf(path, sizeof(path), "%s/bzImage", kernel);
    template = make_template(host, path, initrd);
    measure(template, wanted, &figures);
    print(&report, &figures);
    nestvirt_template_free(template);
    nestvirt_loop_free(loop);
    nestvirt_host_free(host);
    unlink(socket_path(CID));
    rmdir(folder);
    bench_clear(&figures.first);
    bench_clear(&figures.second);
    free(clones);
    return bench_end(&report);
}
