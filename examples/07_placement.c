/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Puts virtual machines where its options say, as numactl and taskset do with programs, and prints
 * where everything really is.
 *
 *     07_placement --vms 2 --cpus 0-1 --membind 0 --nice 5 --ksm --ksm-run --cgroup PATH
 *     07_placement --help
 *
 * The guests fill their memory, all with the same, and spin. Ends with status 0 when everything is
 * where it was asked for, and with 1 and a message otherwise.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "common.h"

enum { VMS_MAX = 64, GROUPS_MAX = 8, NODES_MAX = 64, PAGE = 4096, FILL_START = 1 << 20 };

struct options {
    uint64_t vms;
    uint64_t vcpus;
    uint64_t seconds;
    uint64_t memory;
    uint64_t page_size;
    uint32_t region_flags; /* NESTVIRT_MEMORY_* */
    uint32_t huge_pages;   /* NESTVIRT_HUGE_PAGES_* */
    uint32_t numa_policy;  /* NESTVIRT_NUMA_* */
    uint32_t backing;      /* NESTVIRT_BACKING_* */
    uint32_t sched_policy; /* NESTVIRT_SCHED_* */
    int32_t priority;
    int32_t nice;
    bool has_nice;
    bool is_automatic;
    bool tunes_ksm;
    const char *nodes;
    const char *cpus;
    const char *io_cpus;
    const char *disk;
    const char *cgroups[GROUPS_MAX];
    uint32_t cgroup_count;
};

static struct options wanted = { .vms = 1, .vcpus = 1, .seconds = 2, .memory = 64 << 20 };

/* Digits with K, M or G behind them. */
static bool take_number(const char *text, uint64_t max, uint64_t *ret_number)
{
    static const char suffixes[] = "KMG";
    char *end;
    unsigned long long value = strtoull(text, &end, 10);
    const char *suffix = *end ? strchr(suffixes, *end) : NULL;
    unsigned shift = suffix ? 10 * (unsigned)(suffix - suffixes + 1) : 0;

    *ret_number = value << shift;
    return text[0] >= '0' && text[0] <= '9' && !(suffix ? end[1] : *end) && value <= max >> shift;
}

static bool take_nice(const char *text)
{
    char *end;
    long value = strtol(text, &end, 10);

    wanted.nice = (int32_t)value;
    wanted.has_nice = true;
    return end != text && !*end && value >= -20 && value <= 19;
}

/* "fifo:10" */
static bool take_sched(const char *text)
{
    static const char *const names[] = {
        [NESTVIRT_SCHED_OTHER] = "other", [NESTVIRT_SCHED_BATCH] = "batch",
        [NESTVIRT_SCHED_IDLE] = "idle",   [NESTVIRT_SCHED_FIFO] = "fifo",
        [NESTVIRT_SCHED_RR] = "rr",
    };
    size_t length = strcspn(text, ":");
    uint64_t priority = 0;

    if (text[length] && !take_number(text + length + 1, 99, &priority))
        return false;
    wanted.priority = (int32_t)priority;
    for (uint32_t i = NESTVIRT_SCHED_OTHER; i <= NESTVIRT_SCHED_RR; i++)
        if (strlen(names[i]) == length && strncmp(names[i], text, length) == 0) {
            wanted.sched_policy = i;
            return true;
        }
    return false;
}

static bool take_cgroup(const char *path)
{
    if (wanted.cgroup_count == GROUPS_MAX)
        return false;
    wanted.cgroups[wanted.cgroup_count++] = path;
    return true;
}

static bool take_thp(const char *text)
{
    bool is_always = strcmp(text, "always") == 0;

    wanted.huge_pages = is_always ? NESTVIRT_HUGE_PAGES_ALWAYS : NESTVIRT_HUGE_PAGES_NEVER;
    return is_always || strcmp(text, "never") == 0;
}

static bool take_huge(const char *size)
{
    wanted.backing = NESTVIRT_BACKING_HUGETLB;
    return !size || take_number(size, UINT64_MAX, &wanted.page_size);
}

static void set_nodes(uint32_t policy, const char *nodes)
{
    wanted.numa_policy = policy;
    wanted.nodes = nodes;
    wanted.region_flags &= ~(uint32_t)NESTVIRT_MEMORY_NUMA_STRICT;
    if (policy == NESTVIRT_NUMA_BIND)
        wanted.region_flags |= NESTVIRT_MEMORY_NUMA_STRICT;
}

static bool show_help(const char *text);

/* The options. Of what is behind the help each has one thing. */
static const struct row {
    const char *group; /* the heading above it */
    const char *name;
    const char *value; /* NULL: it has none; "[=...]": it may be left out */
    const char *help;
    uint64_t *number;
    uint64_t min, max; /* of the number */
    const char **text;
    bool *is_set;
    uint32_t flag;   /* NESTVIRT_MEMORY_* */
    uint32_t policy; /* NESTVIRT_NUMA_* */
    bool (*take)(const char *text);
} rows[] = {
    { "machines", "vms", "N", "virtual machines (1)", .number = &wanted.vms, .min = 1,
      .max = VMS_MAX },
    { NULL, "vcpus", "N", "virtual CPUs of each (1); the first one spins", .number = &wanted.vcpus,
      .min = 1, .max = 254 },
    { NULL, "memory", "SIZE", "RAM of each, all of it filled, with suffix K, M or G (64M)",
      .number = &wanted.memory, .min = 1, .max = UINT64_MAX },
    { NULL, "seconds", "N", "how long they run before the tables (2); Ctrl-C: no longer",
      .number = &wanted.seconds, .max = 86400 },
    { NULL, "help", NULL, "this text", .take = show_help },
    { "threads", "cpus", "LIST", "the CPUs of vCPU threads, as \"0-3,8\"", .text = &wanted.cpus },
    { NULL, "io-cpus", "LIST", "the CPUs of event loops and disks' threads",
      .text = &wanted.io_cpus },
    { NULL, "nice", "N", "-20 to 19", .take = take_nice },
    { NULL, "sched", "POLICY", "other, batch, idle, fifo:PRIORITY or rr:PRIORITY",
      .take = take_sched },
    { NULL, "cgroup", "PATH", "a control group's folder; may be repeated", .take = take_cgroup },
    { NULL, "disk", "PATH", "a disk, so that there are threads for it", .text = &wanted.disk },
    { "memory", "membind", "NODES", "only on these nodes, as \"0-1\"; checked",
      .policy = NESTVIRT_NUMA_BIND },
    { NULL, "preferred", "NODES", "on these nodes while they have room",
      .policy = NESTVIRT_NUMA_PREFERRED_MANY },
    { NULL, "interleave", "NODES", "page by page over these nodes",
      .policy = NESTVIRT_NUMA_INTERLEAVE },
    { NULL, "auto", NULL, "nodes and CPUs that have room, chosen by the library",
      .is_set = &wanted.is_automatic },
    { NULL, "hugepages", "[=SIZE]", "pages of the host's pool (its default size)",
      .take = take_huge },
    { NULL, "thp", "WHEN", "transparent huge pages: always or never", .take = take_thp },
    { NULL, "prefault", NULL, "all there from the beginning", .flag = NESTVIRT_MEMORY_PREFAULT },
    { NULL, "lock", NULL, "never swapped out", .flag = NESTVIRT_MEMORY_LOCK },
    { NULL, "ksm", NULL, "equal pages are merged", .flag = NESTVIRT_MEMORY_MERGEABLE },
    { NULL, "ksm-run", NULL, "KSM of the host runs fast meanwhile, then as before",
      .is_set = &wanted.tunes_ksm },
};

enum { ROWS = sizeof(rows) / sizeof(rows[0]), FIRST_ROW = 256 };

static bool show_help(const char *text)
{
    (void)text;
    printf("usage: 07_placement [options]\n");
    for (size_t i = 0; i < ROWS; i++) {
        const char *value = rows[i].value ? rows[i].value : "";
        int width = 19 - (int)strlen(rows[i].name);

        if (rows[i].group)
            printf("%s\n", rows[i].group);
        printf("  --%s%s%-*s %s\n", rows[i].name, value[0] == '[' ? "" : " ",
               value[0] == '[' ? width + 1 : width, value, rows[i].help);
    }
    exit(0);
}

static bool take(const struct row *row, const char *text)
{
    if (row->take)
        return row->take(text);
    if (row->number)
        return take_number(text, row->max, row->number) && *row->number >= row->min;
    if (row->text)
        *row->text = text;
    if (row->is_set)
        *row->is_set = true;
    if (row->policy)
        set_nodes(row->policy, text);
    wanted.region_flags |= row->flag;
    return true;
}

static void refuse(void)
{
    fprintf(stderr, "usage: 07_placement [options]; --help lists them\n");
    exit(2);
}

static void parse(int argc, char **argv)
{
    struct option options[ROWS + 1] = { { NULL, 0, NULL, 0 } };
    int found;

    for (int i = 0; i < ROWS; i++) {
        options[i].name = rows[i].name;
        options[i].val = FIRST_ROW + i;
        if (rows[i].value)
            options[i].has_arg = rows[i].value[0] == '[' ? optional_argument : required_argument;
    }
    while ((found = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (found < FIRST_ROW)
            refuse();
        if (!take(&rows[found - FIRST_ROW], optarg)) {
            fprintf(stderr, "error: --%s: \"%s\" is no value for it\n",
                    rows[found - FIRST_ROW].name, optarg);
            refuse();
        }
    }
    if (optind < argc) {
        fprintf(stderr, "error: \"%s\" belongs to no option\n", argv[optind]);
        refuse();
    }
}

/* 16-bit code at 0x1000 that spins. */
static const unsigned char guest[] = "\xeb\xfe"; /* jmp . */

/* The image as a file in memory. */
static int make_image(void)
{
    int fd = memfd_create("guest", MFD_CLOEXEC);

    if (fd < 0 || write(fd, guest, sizeof(guest)) != (ssize_t)sizeof(guest)) {
        perror("memfd");
        exit(1);
    }
    return fd;
}

/* The library's choice of a node for one VM: its CPUs and its memory. */
static void choose(struct options *options)
{
    static char nodes[16];
    static char cpus[4096];
    struct nestvirt_error *error = NULL;
    struct nestvirt_numa_need need;
    struct nestvirt_numa *numa;
    int node;

    TRY(nestvirt_numa_new(NULL, &numa, &error));
    nestvirt_numa_need_init(&need, sizeof(need));
    need.memory = options->memory * options->vms;
    need.page_size = options->backing == NESTVIRT_BACKING_HUGETLB ? options->page_size : 0;
    need.vcpus = (uint32_t)options->vcpus;
    TRY(node = nestvirt_numa_get_place(numa, &need, &error));
    TRY(nestvirt_numa_get_cpus(numa, (uint32_t)node, 1, cpus, sizeof(cpus), &error));
    nestvirt_numa_free(numa);
    snprintf(nodes, sizeof(nodes), "%d", node);
    set_nodes(NESTVIRT_NUMA_BIND, nodes);
    options->cpus = options->cpus ? options->cpus : cpus;
    printf("chosen: node %s, CPUs %s\n", nodes, options->cpus);
}

static void add_region(struct nestvirt_vm *vm, const struct options *options)
{
    struct nestvirt_error *error = NULL;
    struct nestvirt_memory_config config;

    nestvirt_memory_config_init(&config, sizeof(config));
    config.flags = options->region_flags | NESTVIRT_MEMORY_DEFAULT_LAYOUT;
    config.length = options->memory;
    config.backing = options->backing;
    config.page_size = options->page_size;
    config.huge_pages = options->huge_pages;
    config.numa_policy = options->numa_policy;
    config.numa_nodes = options->nodes;
    TRY(nestvirt_memory_add(vm, &config, &error));
}

static void place_threads(struct nestvirt_vm *vm, const struct options *options)
{
    static const uint32_t kinds[] = { NESTVIRT_THREAD_VCPU, NESTVIRT_THREAD_LOOP,
                                      NESTVIRT_THREAD_WORKER };
    struct nestvirt_error *error = NULL;
    struct nestvirt_thread_config config;

    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        nestvirt_thread_config_init(&config, sizeof(config));
        config.cpus = kinds[i] == NESTVIRT_THREAD_VCPU ? options->cpus : options->io_cpus;
        config.nice = options->nice;
        config.flags = options->has_nice ? NESTVIRT_THREAD_SET_NICE : 0;
        if (kinds[i] == NESTVIRT_THREAD_VCPU) {
            config.policy = options->sched_policy;
            config.priority = options->priority;
        }
        TRY(nestvirt_thread_set(vm, kinds[i], NESTVIRT_THREAD_EVERY, &config, &error));
    }
    for (uint32_t i = 0; i < options->cgroup_count; i++)
        TRY(nestvirt_cgroup_set(vm, options->cgroups[i], 0, &error));
}

/* Fills memory behind the guest's code, each page differently, each VM the same. */
static void fill(struct nestvirt_vm *vm, uint64_t size)
{
    struct nestvirt_error *error = NULL;
    uint64_t page[PAGE / sizeof(uint64_t)];
    uint64_t state = 88172645463325252u;

    for (uint64_t address = FILL_START; address < size; address += PAGE) {
        for (size_t i = 0; i < sizeof(page) / sizeof(page[0]); i++) {
            state ^= state << 13; /* xorshift (Marsaglia, 2003) */
            state ^= state >> 7;
            state ^= state << 17;
            page[i] = state;
        }
        /* What lies in the gap below 4 GiB is no memory; the rest continues behind it. */
        TRY(nestvirt_memory_write(vm, address < 3ull << 30 ? address : address + (1ull << 30), page,
                                  sizeof(page), &error));
    }
}

static struct nestvirt_vm *make_vm(struct nestvirt_host *host, const struct options *options,
                                   uint32_t number, int image)
{
    struct nestvirt_error *error = NULL;
    struct nestvirt_flat_config flat;
    struct nestvirt_vm_config config;
    struct nestvirt_device *disk;
    struct nestvirt_vm *vm;
    char name[16];

    snprintf(name, sizeof(name), "vm%u", number);
    nestvirt_vm_config_init(&config, sizeof(config));
    config.vcpus = (uint32_t)options->vcpus;
    config.name = name;
    TRY(nestvirt_vm_new(host, &config, &vm, &error));
    add_region(vm, options);
    if (options->disk) {
        TRY(nestvirt_device_add(vm, "blk", &disk, &error));
        TRY(nestvirt_device_set_string(disk, "path", options->disk, &error));
        TRY(nestvirt_device_set_u64(disk, "read_only", 1, &error));
    }
    nestvirt_flat_config_init(&flat, sizeof(flat));
    flat.address = flat.entry = 0x1000;
    flat.mode = NESTVIRT_MODE_REAL;
    TRY(nestvirt_boot_set_flat_fd(vm, image, &flat, &error));
    place_threads(vm, options);
    TRY(nestvirt_vm_build(vm, &error));
    fill(vm, options->memory);
    TRY(nestvirt_vm_start(vm, &error));
    return vm;
}

static void print_threads(struct nestvirt_vm *vm, uint32_t number)
{
    static const char *const kinds[] = { "", "vcpu", "loop", "worker" };
    static const char *const policies[] = { "?", "other", "batch", "idle", "fifo", "rr" };
    struct nestvirt_error *error = NULL;
    struct nestvirt_thread_info info;
    char cpus[4096];

    for (uint32_t i = 0;; i++) {
        nestvirt_thread_info_init(&info, sizeof(info));
        if (nestvirt_thread_get(vm, i, &info, &error) < 0)
            break;
        TRY(nestvirt_thread_get_cpus(vm, info.kind, info.index, cpus, sizeof(cpus), &error));
        printf("vm%-3u %-6s %5u %8d %-10s %8u %-6s %8d %5d %9.3f s\n", number, kinds[info.kind],
               info.index, info.tid, cpus, info.last_cpu, policies[info.policy], info.priority,
               info.nice, (double)info.cpu_time_ns / 1e9);
    }
    if (nestvirt_error_get_code(error) != -ENOENT)
        die(error);
    nestvirt_error_free(error);
}

/* Where the pages are, and how many of them the host saves by merging. */
static void print_memory(struct nestvirt_vm *vm, uint32_t number, uint64_t *merged)
{
    struct nestvirt_error *error = NULL;
    struct nestvirt_memory_placement placement;
    struct nestvirt_memory_ksm ksm;
    uint64_t pages[NODES_MAX] = { 0 };

    nestvirt_memory_placement_init(&placement, sizeof(placement));
    TRY(nestvirt_memory_get_placement(vm, 0, &placement, pages, NODES_MAX, &error));
    nestvirt_memory_ksm_init(&ksm, sizeof(ksm));
    TRY(nestvirt_memory_get_ksm(vm, 0, &ksm, &error));
    printf("vm%-3u %10" PRIu64 " %10" PRIu64 " %10" PRIu64 "  ", number, placement.resident,
           placement.absent, ksm.merged_bytes / PAGE);
    for (uint32_t i = 0; i < NODES_MAX; i++)
        if (pages[i])
            printf(" node %u: %" PRIu64, i, pages[i]);
    if (placement.elsewhere)
        printf(" elsewhere: %" PRIu64, placement.elsewhere);
    printf("\n");
    *merged += ksm.merged_bytes / PAGE;
}

static void print_cgroups(struct nestvirt_vm *vm, uint32_t number)
{
    struct nestvirt_error *error = NULL;
    struct nestvirt_cgroup_usage usage;
    char path[4096];

    for (uint32_t i = 0; nestvirt_cgroup_get(vm, i, path, sizeof(path), NULL) >= 0; i++)
        printf("vm%-3u %s\n", number, path);
    nestvirt_cgroup_usage_init(&usage, sizeof(usage));
    if (nestvirt_cgroup_get_usage(vm, &usage, &error) < 0) {
        printf("vm%-3u no CPU figures: %s\n", number, nestvirt_error_get_message(error));
        nestvirt_error_free(error);
        return;
    }
    printf("vm%-3u", number);
    if (usage.flags & NESTVIRT_CGROUP_HAS_TIME)
        printf(" %.3f s of CPU time", (double)usage.cpu_time_ns / 1e9);
    if ((usage.flags & NESTVIRT_CGROUP_HAS_LIMIT) && usage.quota_us)
        printf(", limit %" PRIu64 "%%", usage.quota_us * 100 / usage.period_us);
    if (usage.flags & NESTVIRT_CGROUP_HAS_THROTTLING)
        printf(", throttled in %" PRIu64 " of %" PRIu64 " periods", usage.throttled_periods,
               usage.periods);
    printf("\n");
}

static void print_all(struct nestvirt_vm **vms, const struct options *options)
{
    uint64_t merged = 0;

    printf("\nvm    thread index      tid cpus       last cpu policy priority  nice  CPU time\n");
    for (uint32_t i = 0; i < options->vms; i++)
        print_threads(vms[i], i);
    printf("\nvm      resident     absent     merged   pages of 4 KiB\n");
    for (uint32_t i = 0; i < options->vms; i++)
        print_memory(vms[i], i, &merged);
    if (options->region_flags & NESTVIRT_MEMORY_MERGEABLE && merged == 0)
        printf("nothing has merged yet: KSM needs time, and must run (--ksm-run)\n");
    if (options->cgroup_count)
        printf("\nvm   control groups\n");
    for (uint32_t i = 0; i < options->vms && options->cgroup_count; i++)
        print_cgroups(vms[i], i);
}

static struct nestvirt_ksm_token *ksm_token;

/* However this program ends, but for being killed. */
static void calm_ksm(void)
{
    if (nestvirt_ksm_token_free(ksm_token) < 0)
        fprintf(stderr, "error: KSM's settings are not as before; run this again with --ksm-run\n");
}

/* KSM of the host at a speed that shows something; put back by calm_ksm(). */
static void hurry_ksm(void)
{
    struct nestvirt_error *error = NULL;
    struct nestvirt_ksm_settings settings;

    /* What a run has left that was killed. */
    TRY(nestvirt_ksm_remove_record(NULL, &error));
    nestvirt_ksm_settings_init(&settings, sizeof(settings));
    settings.flags = NESTVIRT_KSM_RUN | NESTVIRT_KSM_PAGES_TO_SCAN | NESTVIRT_KSM_SLEEP_MS;
    settings.run = NESTVIRT_KSM_MERGE;
    settings.pages_to_scan = 10000;
    settings.sleep_ms = 10;
    TRY(nestvirt_ksm_set_settings(&settings, NULL, &ksm_token, &error));
    atexit(calm_ksm);
}

/* From here on, signals and a reader that is gone do not end the program, but its rest. */
static void block_signals(sigset_t *signals)
{
    sigemptyset(signals);
    sigaddset(signals, SIGINT);
    sigaddset(signals, SIGTERM);
    sigaddset(signals, SIGHUP);
    sigaddset(signals, SIGPIPE);
    sigprocmask(SIG_BLOCK, signals, NULL);
}

int main(int argc, char **argv)
{
    struct nestvirt_error *error = NULL;
    struct nestvirt_vm *vms[VMS_MAX] = { NULL };
    struct nestvirt_host *host;
    struct timespec rest;
    sigset_t signals;
    int image;

    parse(argc, argv);
    TRY(nestvirt_host_open(NULL, &host, &error));
    if (wanted.is_automatic)
        choose(&wanted);
    image = make_image();
    for (uint32_t i = 0; i < wanted.vms; i++)
        vms[i] = make_vm(host, &wanted, i, image);
    block_signals(&signals);
    if (wanted.tunes_ksm)
        hurry_ksm();
    rest = (struct timespec){ .tv_sec = (time_t)wanted.seconds };
    sigtimedwait(&signals, NULL, &rest);
    print_all(vms, &wanted);
    for (uint32_t i = 0; i < wanted.vms; i++)
        nestvirt_vm_free(vms[i]);
    close(image);
    nestvirt_host_free(host);
    return 0;
}
