/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How many virtual machines fit into one process: starts as many as are asked for, or as many as
 * there is room for, and tells what each took.
 *
 *     10_density --until-full --memory 1G
 *     10_density --count 500 --busy 100 --hold 10
 *     10_density --help
 *
 * Progress goes to stderr, one JSON object to stdout; 10_density_plot draws it. Ctrl-C ends it at
 * any moment: all VMs are freed and the host's settings are put back. 10_density_qemu does the same
 * with a QEMU process for each VM.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "common.h"
#include "density.h"

enum { PROGRESS_NS = 1000000000, POINTS_MAX = 4096, RAN_TRIES = 600, RAN_NS = 100000000 };

volatile sig_atomic_t was_interrupted;

static struct options wanted = { .memory = 1ull << 30, .reserve = 512ull << 20, .step = 50 };

/* A point of the curves over the count of VMs. */
struct point {
    uint32_t vms;
    double seconds;
    uint64_t create_ns; /* the median of those since the last point */
    uint64_t memory;    /* taken from the host so far */
};

static struct point points[POINTS_MAX];
static uint32_t point_count;
static struct fleet fleet;
static struct look before;
static uint64_t start_ns;

uint64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void on_signal(int number)
{
    was_interrupted = number;
}

static void catch_signals(void)
{
    const struct sigaction action = { .sa_handler = on_signal };

    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGHUP, &action, NULL);
}

/* --- Options --- */

static void usage(FILE *file)
{
    fprintf(file, "usage: 10_density --count N | --until-full [options]\n"
                  "  --count N        so many VMs\n"
                  "  --until-full     as many as there is room for\n"
                  "  --memory SIZE    of each, with suffix K, M or G (1G)\n"
                  "  --busy PERCENT   of the VMs spin in ring 3, the others halt (0)\n"
                  "  --hold SECONDS   keep all of them so long (0)\n"
                  "  --reserve SIZE   of the host's memory that is left alone (512M)\n"
                  "  --ksm            equal pages are merged; KSM of the host runs fast meanwhile\n"
                  "  --shared-loop    each has a device, and one event loop serves them all\n"
                  "  --template       the VMs are clones of one, which share its memory\n"
                  "  --step N         VMs between two points of the curves (50)\n"
                  "  --quiet          no progress\n");
}

static uint64_t number(const char *text, uint64_t max)
{
    static const char suffixes[] = "KMG";
    char *end;
    unsigned long long value = strtoull(text, &end, 10);
    const char *suffix = *end ? strchr(suffixes, *end) : NULL;
    unsigned shift = suffix ? 10 * (unsigned)(suffix - suffixes + 1) : 0;

    if (text[0] < '0' || text[0] > '9' || (suffix ? end[1] : *end) || value > max >> shift) {
        fprintf(stderr, "error: \"%s\" is no value for this option\n", text);
        usage(stderr);
        exit(2);
    }
    return value << shift;
}

static void parse(int argc, char **argv)
{
    static const struct option options[] = {
        { "count", required_argument, NULL, 'c' },
        { "until-full", no_argument, NULL, 'f' },
        { "memory", required_argument, NULL, 'm' },
        { "busy", required_argument, NULL, 'b' },
        { "hold", required_argument, NULL, 'h' },
        { "reserve", required_argument, NULL, 'r' },
        { "ksm", no_argument, NULL, 'k' },
        { "shared-loop", no_argument, NULL, 'l' },
        { "step", required_argument, NULL, 's' },
        { "quiet", no_argument, NULL, 'q' },
        { "template", no_argument, NULL, 't' },
        { "help", no_argument, NULL, '?' + 256 },
        { NULL, 0, NULL, 0 },
    };
    bool is_until_full = false;
    int found;

    while ((found = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (found) {
        case 'c':
            wanted.count = number(optarg, 1000000);
            break;
        case 'f':
            is_until_full = true;
            break;
        case 'm':
            wanted.memory = number(optarg, 1ull << 44);
            break;
        case 'b':
            wanted.busy = number(optarg, 100);
            break;
        case 'h':
            wanted.hold = number(optarg, 86400);
            break;
        case 'r':
            wanted.reserve = number(optarg, 1ull << 44);
            break;
        case 's':
            wanted.step = number(optarg, 1000000);
            break;
        case 'k':
            wanted.is_mergeable = true;
            break;
        case 'l':
            wanted.has_loop = true;
            break;
        case 't':
            wanted.has_template = true;
            break;
        case 'q':
            wanted.is_quiet = true;
            break;
        case '?' + 256:
            usage(stdout);
            exit(0);
        default:
            usage(stderr);
            exit(2);
        }
    }
    if (optind < argc || is_until_full == (wanted.count > 0) || wanted.step == 0) {
        usage(stderr);
        exit(2);
    }
}

/* --- What it costs --- */

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;

    return x < y ? -1 : x > y;
}

/* The value that so many percent of `count` times do not exceed. */
static uint64_t percentile(const uint64_t *times, uint32_t count, unsigned percent)
{
    uint64_t *sorted = count ? malloc(count * sizeof(*sorted)) : NULL;
    uint64_t value;

    if (!sorted)
        return 0;
    memcpy(sorted, times, count * sizeof(*sorted));
    qsort(sorted, count, sizeof(*sorted), compare);
    value = sorted[(uint64_t)(count - 1) * percent / 100];
    free(sorted);
    return value;
}

static uint64_t taken(uint64_t available)
{
    return before.available > available ? before.available - available : 0;
}

static void note_point(void)
{
    const uint32_t last = point_count ? points[point_count - 1].vms : 0;

    if (point_count == POINTS_MAX || fleet.count == last)
        return;
    points[point_count++] = (struct point){
        .vms = fleet.count,
        .seconds = (double)(now_ns() - start_ns) / 1e9,
        .create_ns = percentile(fleet.create_ns + last, fleet.count - last, 50),
        .memory = taken(look_at_memory()),
    };
}

static void show_progress(bool is_filling)
{
    const double seconds = (double)(now_ns() - start_ns) / 1e9;
    struct nestvirt_ksm_stats ksm;
    char rate[32] = "";

    if (wanted.is_quiet)
        return;
    nestvirt_ksm_stats_init(&ksm, sizeof(ksm));
    nestvirt_ksm_get_stats(&ksm, NULL);
    if (is_filling)
        snprintf(rate, sizeof(rate), ", %.0f/s", fleet.count / seconds);
    fprintf(stderr,
            "%7.1f s  %s %u VMs, %u busy%s, %" PRIu64 " MiB taken, %" PRIu64
            " MiB left, KSM saves %" PRIu64 " MiB",
            seconds, is_filling ? "started" : "holding", fleet.count, fleet.busy, rate,
            taken(look_at_memory()) >> 20, look_at_memory() >> 20, ksm.pages_sharing >> 8);
    queue_show(stderr);
    fputc('\n', stderr);
}

/* --- The run --- */

/* Makes VMs until there are enough, or no more; what stopped it goes to `limit`. */
static void fill(char *limit, size_t size)
{
    uint64_t shown_ns = start_ns;
    struct nestvirt_error *error = NULL;

    while (!was_interrupted && (wanted.count == 0 || fleet.count < wanted.count)) {
        if (look_at_memory() < wanted.reserve) {
            snprintf(limit, size, "%" PRIu64 " MiB of the host's memory are kept (--reserve)",
                     wanted.reserve >> 20);
            break;
        }
        if (fleet_add(&fleet, &wanted, &error) < 0) {
            snprintf(limit, size, "%s", nestvirt_error_get_message(error));
            nestvirt_error_free(error);
            break;
        }
        if (fleet.count % wanted.step == 0)
            note_point();
        if (now_ns() - shown_ns > PROGRESS_NS) {
            show_progress(true);
            shown_ns = now_ns();
        }
    }
    note_point();
    show_progress(true);
}

static void nap(uint64_t ns)
{
    const struct timespec time = { .tv_sec = (time_t)(ns / 1000000000u),
                                   .tv_nsec = (long)(ns % 1000000000u) };

    nanosleep(&time, NULL);
}

/* Waits until all have run, which takes a while where thousands spin. */
static uint32_t wait_for_all(void)
{
    uint32_t ran = fleet_count_ran(&fleet);

    for (int i = 0; i < RAN_TRIES && ran < fleet.count && !was_interrupted; i++) {
        nap(RAN_NS);
        ran = fleet_count_ran(&fleet);
    }
    return ran;
}

static void hold(void)
{
    for (uint64_t i = 0; i < wanted.hold && !was_interrupted; i++) {
        nap(1000000000);
        show_progress(false);
    }
}

/* --- The result --- */

static void print_text(const char *text)
{
    putchar('"');
    for (; *text; text++) {
        if (*text == '"' || *text == '\\')
            putchar('\\');
        putchar((unsigned char)*text < ' ' ? ' ' : *text);
    }
    putchar('"');
}

static const char *truth(bool is_true)
{
    return is_true ? "true" : "false";
}

static void print_points(void)
{
    printf("\"points\":[");
    for (uint32_t i = 0; i < point_count; i++)
        printf("%s{\"vms\":%u,\"seconds\":%.3f,\"create_ns\":%" PRIu64 ",\"memory\":%" PRIu64 "}",
               i ? "," : "", points[i].vms, points[i].seconds, points[i].create_ns,
               points[i].memory);
    printf("]");
}

static void print_result(const struct look *full, uint32_t ran, double seconds, const char *limit)
{
    const uint32_t vms = fleet.count ? fleet.count : 1;

    printf("{\"program\":\"10_density\",\"vms\":%u,\"asked\":%" PRIu64 ",\"ran\":%u,\"busy\":%u,"
           "\"memory_size\":%" PRIu64 ",\"template\":%s,\"shared_loop\":%s,\"ksm\":%s,"
           "\"interrupted\":%s,\"limit\":",
           fleet.count, wanted.count, ran, fleet.busy, wanted.memory, truth(wanted.has_template),
           truth(wanted.has_loop), truth(wanted.is_mergeable), truth(was_interrupted));
    print_text(limit);
    printf(",\"seconds\":%.3f,\"create_p50_ns\":%" PRIu64 ",\"create_p99_ns\":%" PRIu64
           ",\"memory\":%" PRIu64 ",\"memory_per_vm\":%" PRIu64 ",\"resident\":%" PRIu64
           ",\"ksm_saved\":%" PRIu64,
           seconds, percentile(fleet.create_ns, fleet.count, 50),
           percentile(fleet.create_ns, fleet.count, 99), taken(full->available),
           taken(full->available) / vms, full->resident,
           full->ksm_saved > before.ksm_saved ? full->ksm_saved - before.ksm_saved : 0);
    printf(",\"descriptors\":%" PRIu64 ",\"mappings\":%" PRIu64 ",\"threads\":%" PRIu64 ",",
           full->descriptors - before.descriptors, full->mappings - before.mappings,
           full->threads - before.threads);
    print_points();
}

/* KSM as fast as makes sense here; put back when the token is freed. */
static struct nestvirt_ksm_token *run_ksm(void)
{
    struct nestvirt_error *error = NULL;
    struct nestvirt_ksm_settings settings;
    struct nestvirt_ksm_token *token;

    nestvirt_ksm_settings_init(&settings, sizeof(settings));
    settings.flags = NESTVIRT_KSM_RUN | NESTVIRT_KSM_PAGES_TO_SCAN | NESTVIRT_KSM_SLEEP_MS;
    settings.run = NESTVIRT_KSM_MERGE;
    settings.pages_to_scan = 10000;
    settings.sleep_ms = 10;
    TRY(nestvirt_ksm_remove_record(NULL, &error));
    TRY(nestvirt_ksm_set_settings(&settings, NULL, &token, &error));
    return token;
}

/* If memory gets short all the same, this program goes before others. And it comes first for a CPU:
 * without a right to either it is slower, that is all. */
static void be_considerate(void)
{
    FILE *file = fopen("/proc/self/oom_score_adj", "we");

    if (file) {
        fputs("1000", file);
        fclose(file);
    }
    if (wanted.busy > 0)
        setpriority(PRIO_PROCESS, 0, -20);
}

int main(int argc, char **argv)
{
    struct nestvirt_ksm_token *token = NULL;
    char limit[512] = "";
    struct look full;
    double seconds;
    uint32_t ran;

    parse(argc, argv);
    catch_signals();
    raise_limits(&wanted);
    print_plan(&wanted);
    be_considerate();
    fleet_open(&fleet, &wanted); /* may end the program: before the host is changed */
    if (wanted.is_mergeable)
        token = run_ksm();
    queue_open();
    look_at_all(&before);
    start_ns = now_ns();
    fill(limit, sizeof(limit));
    seconds = (double)(now_ns() - start_ns) / 1e9;
    ran = wait_for_all();
    if (wanted.hold > 0 && !was_interrupted)
        queue_start();
    hold();
    look_at_all(&full);
    if (limit[0])
        fprintf(stderr, "no more: %s\n", limit);
    print_result(&full, ran, seconds, limit);
    putchar(',');
    queue_print_json(stdout);
    if (!wanted.is_quiet)
        queue_print_text(stderr);
    start_ns = now_ns();
    fleet_close(&fleet);
    queue_close();
    printf(",\"free_seconds\":%.3f}\n", (double)(now_ns() - start_ns) / 1e9);
    nestvirt_ksm_token_free(token);
    return wanted.count && !limit[0] && ran < wanted.count && !was_interrupted;
}
