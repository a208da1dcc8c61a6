/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Puts virtual machines where its options say, as numactl and taskset do with programs, and prints
 * where everything really is.
 *
 *     07_placement --cpus 0-1 --membind 0 --ksm --hugepages --nice 5 --cgroup PATH
 *
 * The guests fill their memory, all with the same, and spin. Ends with status 0 when everything is
 * where it was asked for, and with 1 and a message otherwise.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "common.h"

enum { VMS_MAX = 64, GROUPS_MAX = 8, NODES_MAX = 64, PAGE = 4096, FILL_START = 1 << 20 };

struct options {
    uint32_t vms;
    uint32_t vcpus;
    uint32_t seconds;
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
    uint64_t memory;
    uint64_t page_size;
    const char *nodes;
    const char *cpus;
    const char *io_cpus;
    const char *disk;
    const char *cgroups[GROUPS_MAX];
    uint32_t cgroup_count;
};

static void usage(int status)
{
    fprintf(status ? stderr : stdout,
            "usage: 07_placement [options]\n"
            "  --vms N              virtual machines (1)\n"
            "  --vcpus N            virtual CPUs of each (1); the first one spins\n"
            "  --memory SIZE        RAM of each, with suffix K, M or G (64M)\n"
            "  --seconds N          how long they run before the tables are printed (2)\n"
            "threads\n"
            "  --cpus LIST          the CPUs of vCPU threads, as \"0-3,8\"\n"
            "  --io-cpus LIST       the CPUs of event loops and disks' threads\n"
            "  --nice N             -20 to 19\n"
            "  --sched POLICY       other, batch, idle, fifo:PRIORITY or rr:PRIORITY\n"
            "  --cgroup PATH        a control group's folder; may be repeated\n"
            "  --disk PATH          a disk, so that there are threads for it\n"
            "memory\n"
            "  --membind NODES      only on these nodes, as \"0-1\"; checked\n"
            "  --preferred NODES    on these nodes while they have room\n"
            "  --interleave NODES   page by page over these nodes\n"
            "  --auto               nodes and CPUs that have room, chosen by the library\n"
            "  --hugepages[=SIZE]   pages of the host's pool (its default size)\n"
            "  --thp always|never   transparent huge pages\n"
            "  --prefault --lock    there from the beginning; never swapped out\n"
            "  --ksm                equal pages are merged\n"
            "  --ksm-run            KSM of the host runs fast meanwhile, then as before\n");
    exit(status);
}

static void refuse(const char *option, const char *value)
{
    fprintf(stderr, "error: --%s: \"%s\" is no value for it\n", option, value);
    usage(2);
}

static uint64_t parse_number(const char *option, const char *text, uint64_t max)
{
    static const char suffixes[] = "KMG";
    char *end;
    unsigned long long value = strtoull(text, &end, 10);
    const char *suffix = *end ? strchr(suffixes, *end) : NULL;
    unsigned shift = suffix ? 10 * (unsigned)(suffix - suffixes + 1) : 0;

    if (text[0] < '0' || text[0] > '9' || (suffix ? end[1] : *end) || value > max >> shift)
        refuse(option, text);
    return value << shift;
}

static int32_t parse_nice(const char *text)
{
    char *end;
    long value = strtol(text, &end, 10);

    if (end == text || *end || value < -20 || value > 19)
        refuse("nice", text);
    return (int32_t)value;
}

static void parse_sched(struct options *options, const char *text)
{
    static const struct {
        const char *name;
        uint32_t policy;
    } rows[] = {
        { "other", NESTVIRT_SCHED_OTHER }, { "batch", NESTVIRT_SCHED_BATCH },
        { "idle", NESTVIRT_SCHED_IDLE },   { "fifo", NESTVIRT_SCHED_FIFO },
        { "rr", NESTVIRT_SCHED_RR },
    };
    size_t length = strcspn(text, ":");

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if (strlen(rows[i].name) == length && strncmp(rows[i].name, text, length) == 0)
            options->sched_policy = rows[i].policy;
    if (options->sched_policy == NESTVIRT_SCHED_LEAVE)
        refuse("sched", text);
    if (text[length])
        options->priority = (int32_t)parse_number("sched", text + length + 1, 99);
}

static void set_nodes(struct options *options, uint32_t policy, const char *nodes)
{
    options->numa_policy = policy;
    options->nodes = nodes;
    if (policy == NESTVIRT_NUMA_BIND)
        options->region_flags |= NESTVIRT_MEMORY_NUMA_STRICT;
}

enum {
    OPTION_VMS = 1,
    OPTION_VCPUS,
    OPTION_MEMORY,
    OPTION_SECONDS,
    OPTION_CPUS,
    OPTION_IO_CPUS,
    OPTION_NICE,
    OPTION_SCHED,
    OPTION_CGROUP,
    OPTION_DISK,
    OPTION_BIND,
    OPTION_PREFERRED,
    OPTION_INTERLEAVE,
    OPTION_AUTO,
    OPTION_HUGE,
    OPTION_THP,
    OPTION_PREFAULT,
    OPTION_LOCK,
    OPTION_KSM,
    OPTION_KSM_RUN,
    OPTION_HELP
};

static const struct option rows[] = {
    { "vms", required_argument, NULL, OPTION_VMS },
    { "vcpus", required_argument, NULL, OPTION_VCPUS },
    { "memory", required_argument, NULL, OPTION_MEMORY },
    { "seconds", required_argument, NULL, OPTION_SECONDS },
    { "cpus", required_argument, NULL, OPTION_CPUS },
    { "io-cpus", required_argument, NULL, OPTION_IO_CPUS },
    { "nice", required_argument, NULL, OPTION_NICE },
    { "sched", required_argument, NULL, OPTION_SCHED },
    { "cgroup", required_argument, NULL, OPTION_CGROUP },
    { "disk", required_argument, NULL, OPTION_DISK },
    { "membind", required_argument, NULL, OPTION_BIND },
    { "preferred", required_argument, NULL, OPTION_PREFERRED },
    { "interleave", required_argument, NULL, OPTION_INTERLEAVE },
    { "auto", no_argument, NULL, OPTION_AUTO },
    { "hugepages", optional_argument, NULL, OPTION_HUGE },
    { "thp", required_argument, NULL, OPTION_THP },
    { "prefault", no_argument, NULL, OPTION_PREFAULT },
    { "lock", no_argument, NULL, OPTION_LOCK },
    { "ksm", no_argument, NULL, OPTION_KSM },
    { "ksm-run", no_argument, NULL, OPTION_KSM_RUN },
    { "help", no_argument, NULL, OPTION_HELP },
    { NULL, 0, NULL, 0 },
};

static void parse_thp(struct options *options, const char *text)
{
    if (strcmp(text, "always") == 0)
        options->huge_pages = NESTVIRT_HUGE_PAGES_ALWAYS;
    else if (strcmp(text, "never") == 0)
        options->huge_pages = NESTVIRT_HUGE_PAGES_NEVER;
    else
        refuse("thp", text);
}

static void add_cgroup(struct options *options, const char *path)
{
    if (options->cgroup_count == GROUPS_MAX)
        refuse("cgroup", path);
    options->cgroups[options->cgroup_count++] = path;
}

/* Options that say where memory is. */
static void parse_memory(struct options *options, int option)
{
    switch (option) {
    case OPTION_MEMORY:
        options->memory = parse_number("memory", optarg, UINT64_MAX);
        break;
    case OPTION_BIND:
        set_nodes(options, NESTVIRT_NUMA_BIND, optarg);
        break;
    case OPTION_PREFERRED:
        set_nodes(options, NESTVIRT_NUMA_PREFERRED_MANY, optarg);
        break;
    case OPTION_INTERLEAVE:
        set_nodes(options, NESTVIRT_NUMA_INTERLEAVE, optarg);
        break;
    case OPTION_HUGE:
        options->backing = NESTVIRT_BACKING_HUGETLB;
        options->page_size = optarg ? parse_number("hugepages", optarg, UINT64_MAX) : 0;
        break;
    case OPTION_THP:
        parse_thp(options, optarg);
        break;
    case OPTION_PREFAULT:
        options->region_flags |= NESTVIRT_MEMORY_PREFAULT;
        break;
    case OPTION_LOCK:
        options->region_flags |= NESTVIRT_MEMORY_LOCK;
        break;
    case OPTION_KSM:
        options->region_flags |= NESTVIRT_MEMORY_MERGEABLE;
        break;
    default:
        usage(option == OPTION_HELP ? 0 : 2);
    }
}

static void parse(int argc, char **argv, struct options *options)
{
    int option;

    while ((option = getopt_long(argc, argv, "", rows, NULL)) != -1) {
        switch (option) {
        case OPTION_VMS:
            options->vms = (uint32_t)parse_number("vms", optarg, VMS_MAX);
            break;
        case OPTION_VCPUS:
            options->vcpus = (uint32_t)parse_number("vcpus", optarg, 254);
            break;
        case OPTION_SECONDS:
            options->seconds = (uint32_t)parse_number("seconds", optarg, 86400);
            break;
        case OPTION_CPUS:
            options->cpus = optarg;
            break;
        case OPTION_IO_CPUS:
            options->io_cpus = optarg;
            break;
        case OPTION_NICE:
            options->nice = parse_nice(optarg);
            options->has_nice = true;
            break;
        case OPTION_SCHED:
            parse_sched(options, optarg);
            break;
        case OPTION_CGROUP:
            add_cgroup(options, optarg);
            break;
        case OPTION_DISK:
            options->disk = optarg;
            break;
        case OPTION_AUTO:
            options->is_automatic = true;
            break;
        case OPTION_KSM_RUN:
            options->tunes_ksm = true;
            break;
        default:
            parse_memory(options, option);
        }
    }
    if (optind < argc)
        usage(2);
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
    need.vcpus = options->vcpus;
    TRY(node = nestvirt_numa_get_place(numa, &need, &error));
    TRY(nestvirt_numa_get_cpus(numa, (uint32_t)node, 1, cpus, sizeof(cpus), &error));
    nestvirt_numa_free(numa);
    snprintf(nodes, sizeof(nodes), "%d", node);
    set_nodes(options, NESTVIRT_NUMA_BIND, nodes);
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
    config.vcpus = options->vcpus;
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

/* KSM of the host at a speed that shows something; put back when the token is freed. */
static struct nestvirt_ksm_token *hurry_ksm(void)
{
    struct nestvirt_error *error = NULL;
    struct nestvirt_ksm_settings settings;
    struct nestvirt_ksm_token *token;

    nestvirt_ksm_settings_init(&settings, sizeof(settings));
    settings.flags = NESTVIRT_KSM_RUN | NESTVIRT_KSM_PAGES_TO_SCAN | NESTVIRT_KSM_SLEEP_MS;
    settings.run = NESTVIRT_KSM_MERGE;
    settings.pages_to_scan = 10000;
    settings.sleep_ms = 10;
    TRY(nestvirt_ksm_set_settings(&settings, NULL, &token, &error));
    return token;
}

int main(int argc, char **argv)
{
    struct options options = { .vms = 1, .vcpus = 1, .seconds = 2, .memory = 64 << 20 };
    struct nestvirt_error *error = NULL;
    struct nestvirt_vm *vms[VMS_MAX] = { NULL };
    struct nestvirt_ksm_token *token = NULL;
    struct nestvirt_host *host;
    struct timespec rest;
    int image;

    parse(argc, argv, &options);
    TRY(nestvirt_host_open(NULL, &host, &error));
    if (options.is_automatic)
        choose(&options);
    image = make_image();
    for (uint32_t i = 0; i < options.vms; i++)
        vms[i] = make_vm(host, &options, i, image);
    if (options.tunes_ksm)
        token = hurry_ksm();
    rest = (struct timespec){ .tv_sec = options.seconds };
    while (nanosleep(&rest, &rest) < 0 && errno == EINTR)
        ;
    print_all(vms, &options);
    nestvirt_ksm_token_free(token);
    for (uint32_t i = 0; i < options.vms; i++)
        nestvirt_vm_free(vms[i]);
    close(image);
    nestvirt_host_free(host);
    return 0;
}
