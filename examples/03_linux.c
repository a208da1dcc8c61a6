/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Boots Linux with its console on this terminal.
 *
 *     03_linux --kernel K [--initrd I] [--cmdline C] [--memory 256M] [--cpus 1]
 *              [--disk PATH[,ro][,direct]] [--net tap=NAME[,mac=...]] [--console] [--rng]
 *              [--balloon[=SIZE]] [--vsock cid=N,path=P]
 *
 * More words behind an option are properties of the device, by the names that 06_devices lists:
 * --disk data.img,ro,serial=abc or --console=cols=80.
 *
 * Ends with status 0 when the guest resets or powers off, with the guest's own code when it writes
 * one to the exit device (port 0x501), and with 1 and a message otherwise. The first Ctrl-C presses
 * the guest's power button, the second one stops it.
 */
#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "common.h"

enum { DEVICES_MAX = 32 };

/* A device that the command line asks for: --disk, --net ... */
struct wish {
    const char *kind;  /* as nestvirt_device_add() takes it */
    const char *words; /* "name=value,name"; NULL: none */
};

struct options {
    const char *kernel;
    const char *initrd;
    const char *cmdline;
    uint64_t memory;
    uint32_t cpus;
    bool has_console;
    struct nestvirt_device *console; /* of --console, once it is made */
    uint32_t wish_count;
    struct wish wishes[DEVICES_MAX];
};

static void usage(int status)
{
    fprintf(status ? stderr : stdout,
            "usage: 03_linux --kernel FILE [options]\n"
            "  --kernel FILE    bzImage or vmlinux\n"
            "  --initrd FILE    initial RAM disk\n"
            "  --cmdline TEXT   kernel command line (console=ttyS0 reboot=k panic=-1)\n"
            "  --memory SIZE    RAM, with suffix K, M or G (256M)\n"
            "  --cpus N         virtual CPUs (1)\n"
            "  --disk PATH[,ro][,direct]     a disk of this file or block device; may be repeated\n"
            "  --net tap=NAME[,mac=ADDRESS]  a network device on this tap; may be repeated\n"
            "  --console        the terminal is a virtio console (console=hvc0); what goes to the\n"
            "                   serial port is still shown, but it gets no input\n"
            "  --rng            random numbers of the host\n"
            "  --balloon[=SIZE] a balloon, which takes SIZE of the guest's memory back (0)\n"
            "  --vsock cid=N,path=P          sockets; the guest's port X is the socket P_X here\n"
            "  more words may follow, as in --disk PATH,queues=2; 06_devices lists them all\n");
    exit(status);
}

static void bad_word(const char *kind, const char *word, const char *problem)
{
    fprintf(stderr, "error: %s: \"%s\" %s\n", kind, word, problem);
    usage(2);
}

/* "256M" to bytes; 0 if it is no size. */
static uint64_t parse_size(const char *text)
{
    static const char suffixes[] = "KMG";
    char *end;
    unsigned long long value;
    const char *suffix;
    unsigned shift = 0;

    errno = 0;
    value = strtoull(text, &end, 10);
    if (errno || end == text || strchr(text, '-'))
        return 0;
    if (*end) {
        suffix = strchr(suffixes, *end);
        if (!suffix || end[1])
            return 0;
        shift = 10 * (unsigned)(suffix - suffixes + 1);
    }
    return value > UINT64_MAX >> shift ? 0 : value << shift;
}

/* The type of a property, 0 if the kind has none of this name. */
static uint32_t find_type(const char *kind, const char *name)
{
    struct nestvirt_device_property property;

    nestvirt_device_property_init(&property, sizeof(property));
    for (uint32_t i = 0; nestvirt_device_get_property(kind, i, &property, NULL) == 0; i++)
        if (strcmp(property.name, name) == 0)
            return property.flags & NESTVIRT_PROPERTY_READ_ONLY ? 0 : property.type;
    return 0;
}

/* Sets one property from "name=value", or "name" for true; without a device it only checks. */
static void set_word(struct nestvirt_device *device, const char *kind, const char *name,
                     const char *value)
{
    struct nestvirt_error *error = NULL;
    uint64_t number = value ? parse_size(value) : 1;

    switch (find_type(kind, name)) {
    case NESTVIRT_PROPERTY_BOOL:
    case NESTVIRT_PROPERTY_U64:
        if (number == 0 && strcmp(value, "0") != 0)
            bad_word(kind, value, "is no number");
        if (device)
            TRY(nestvirt_device_set_u64(device, name, number, &error));
        break;
    case NESTVIRT_PROPERTY_STRING:
        if (!value || !*value)
            bad_word(kind, name, "needs a value");
        if (device)
            TRY(nestvirt_device_set_string(device, name, value, &error));
        break;
    default:
        bad_word(kind, name, "is no property that can be set");
    }
}

/* Sets all the words of a wish. The first of a disk and a balloon goes without its name. */
static void set_words(struct nestvirt_device *device, const struct wish *wish)
{
    char *copy = wish->words ? strdup(wish->words) : NULL;
    char *rest = copy;
    const char *first = strcmp(wish->kind, "blk") == 0       ? "path"
                        : strcmp(wish->kind, "balloon") == 0 ? "target"
                                                             : NULL;

    while (rest) {
        char *value = strsep(&rest, ",");
        const char *name = first ? first : strsep(&value, "=");

        if (strcmp(name, "ro") == 0)
            name = "read_only";
        set_word(device, wish->kind, name, value);
        first = NULL;
    }
    free(copy);
}

static void add_wish(struct options *options, const char *kind, const char *words)
{
    struct wish wish = { .kind = kind, .words = words };

    if (options->wish_count == DEVICES_MAX)
        bad_word(kind, words ? words : "", "is one device too many");
    set_words(NULL, &wish);
    options->wishes[options->wish_count++] = wish;
}

static void parse(int argc, char **argv, struct options *options)
{
    static const struct option longs[] = {
        { "kernel", required_argument, NULL, 'k' },
        { "initrd", required_argument, NULL, 'i' },
        { "cmdline", required_argument, NULL, 'c' },
        { "memory", required_argument, NULL, 'm' },
        { "cpus", required_argument, NULL, 'n' },
        { "disk", required_argument, NULL, 'd' },
        { "net", required_argument, NULL, 't' },
        { "console", optional_argument, NULL, 'o' },
        { "rng", optional_argument, NULL, 'r' },
        { "balloon", optional_argument, NULL, 'b' },
        { "vsock", required_argument, NULL, 'v' },
        { "help", no_argument, NULL, 'h' },
        { NULL, 0, NULL, 0 },
    };
    int option;

    while ((option = getopt_long(argc, argv, "", longs, NULL)) != -1) {
        switch (option) {
        case 'k':
            options->kernel = optarg;
            break;
        case 'i':
            options->initrd = optarg;
            break;
        case 'c':
            options->cmdline = optarg;
            break;
        case 'm':
            options->memory = parse_size(optarg);
            break;
        case 'n':
            options->cpus = (uint32_t)strtoul(optarg, NULL, 10);
            break;
        case 'd':
            add_wish(options, "blk", optarg);
            break;
        case 't':
            add_wish(options, "net", optarg);
            break;
        case 'o':
            options->has_console = true;
            add_wish(options, "console", optarg);
            break;
        case 'r':
            add_wish(options, "rng", optarg);
            break;
        case 'b':
            add_wish(options, "balloon", optarg);
            break;
        case 'v':
            add_wish(options, "vsock", optarg);
            break;
        case 'h':
            usage(0);
            break;
        default:
            usage(2);
        }
    }
    if (!options->kernel || optind < argc || options->memory == 0)
        usage(2);
    if (!options->cmdline)
        options->cmdline = options->has_console ? "console=hvc0 reboot=k panic=-1"
                                                : "console=ttyS0 reboot=k panic=-1";
}

static void on_log(void *user_data, uint32_t level, const char *text)
{
    (void)user_data;
    (void)level;
    fprintf(stderr, "%s\n", text);
}

/* Tells the guest the size of our terminal, if it is one. */
static void show_size(struct nestvirt_device *console)
{
    struct winsize size;

    if (!console || ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) < 0)
        return;
    nestvirt_device_set_u64(console, "cols", size.ws_col, NULL);
    nestvirt_device_set_u64(console, "rows", size.ws_row, NULL);
}

static void add_device(struct nestvirt_vm *vm, struct options *options, const struct wish *wish)
{
    struct nestvirt_error *error = NULL;
    struct nestvirt_device *device;

    TRY(nestvirt_device_add(vm, wish->kind, &device, &error));
    if (strcmp(wish->kind, "console") == 0) {
        TRY(nestvirt_device_set_fd(device, "output", STDOUT_FILENO, &error));
        TRY(nestvirt_device_set_fd(device, "input", STDIN_FILENO, &error));
        show_size(device);
        options->console = device;
    }
    set_words(device, wish);
}

static struct nestvirt_vm *make_vm(struct nestvirt_host *host, struct options *options)
{
    struct nestvirt_error *error = NULL;
    struct nestvirt_host_info info;
    struct nestvirt_vm_config config;
    struct nestvirt_vm *vm;
    struct nestvirt_device *serial;

    nestvirt_host_info_init(&info, sizeof(info));
    TRY(nestvirt_host_get_info(host, &info, &error));
    nestvirt_vm_config_init(&config, sizeof(config));
    config.name = "linux";
    config.memory_size = options->memory;
    config.vcpus = options->cpus;
    if (info.features & NESTVIRT_HOST_INTERPRETED)
        config.flags |= NESTVIRT_VM_FIXUPS;
    TRY(nestvirt_vm_new(host, &config, &vm, &error));
    TRY(nestvirt_vm_set_log(vm, NESTVIRT_LOG_WARNING, on_log, NULL, NULL, &error));
    TRY(nestvirt_device_add(vm, "serial", &serial, &error));
    TRY(nestvirt_device_set_fd(serial, "output", STDOUT_FILENO, &error));
    if (!options->has_console)
        TRY(nestvirt_device_set_fd(serial, "input", STDIN_FILENO, &error));
    for (uint32_t i = 0; i < options->wish_count; i++)
        add_device(vm, options, &options->wishes[i]);
    TRY(nestvirt_device_add(vm, "reset", NULL, &error));
    TRY(nestvirt_device_add(vm, "exit", NULL, &error));
    TRY(nestvirt_boot_set_kernel(vm, options->kernel, NESTVIRT_KERNEL_AUTO, &error));
    if (options->initrd)
        TRY(nestvirt_boot_set_initrd(vm, options->initrd, &error));
    TRY(nestvirt_boot_set_cmdline(vm, options->cmdline, &error));
    return vm;
}

/* Ctrl-C: the power button first; when that is not possible or was not enough, force. */
static void on_interrupt(struct nestvirt_vm *vm, int count)
{
    struct nestvirt_error *error = NULL;

    if (count == 1 && nestvirt_vm_request_stop(vm, &error) == 0) {
        fprintf(stderr, "\npower button pressed; Ctrl-C again to stop at once\n");
        return;
    }
    nestvirt_error_free(error);
    nestvirt_vm_stop(vm, 5000, NULL);
}

/* Serves the VM's events and our signals until the VM has stopped. */
static void serve(struct nestvirt_vm *vm, struct nestvirt_device *console, int signals)
{
    struct nestvirt_error *error = NULL;
    struct signalfd_siginfo info;
    struct nestvirt_event event;
    int interrupts = 0;
    int events = nestvirt_vm_get_event_fd(vm, &error);

    TRY(events);
    for (;;) {
        struct pollfd fds[] = { { .fd = events, .events = POLLIN },
                                { .fd = signals, .events = POLLIN } };

        if (poll(fds, 2, -1) < 0)
            continue;
        if (fds[1].revents && read(signals, &info, sizeof(info)) > 0) {
            if (info.ssi_signo == SIGWINCH)
                show_size(console);
            else
                on_interrupt(vm, ++interrupts);
        }
        nestvirt_event_init(&event, sizeof(event));
        while (nestvirt_vm_next_event(vm, &event, NULL) == 1)
            if (event.kind == NESTVIRT_EVENT_STOPPED)
                return;
    }
}

static int report(const struct nestvirt_vm_result *result)
{
    switch (result->reason) {
    case NESTVIRT_RESULT_GUEST_RESET:
    case NESTVIRT_RESULT_GUEST_SHUTDOWN:
        return 0;
    case NESTVIRT_RESULT_GUEST_EXIT:
        return result->exit_code;
    case NESTVIRT_RESULT_INTERNAL_ERROR:
        fprintf(stderr, "error: KVM could not go on at RIP 0x%llx (suberror %u):",
                (unsigned long long)result->rip, result->suberror);
        for (uint32_t i = 0; i < result->instruction_length; i++)
            fprintf(stderr, " %02x", result->instruction[i]);
        fprintf(stderr, "\n");
        return 1;
    default:
        fprintf(stderr, "error: the guest ended: %s\n", nestvirt_vm_result_name(result->reason));
        return 1;
    }
}

int main(int argc, char **argv)
{
    struct options options = { .memory = 256 << 20, .cpus = 1 };
    struct nestvirt_error *error = NULL;
    struct nestvirt_vm_result result;
    struct nestvirt_host *host;
    struct nestvirt_vm *vm;
    sigset_t set;
    int signals;

    parse(argc, argv, &options);
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGWINCH);
    sigprocmask(SIG_BLOCK, &set, NULL);
    signals = signalfd(-1, &set, SFD_CLOEXEC);

    TRY(nestvirt_host_open(NULL, &host, &error));
    vm = make_vm(host, &options);
    TRY(nestvirt_vm_build(vm, &error));
    TRY(nestvirt_vm_start(vm, &error));
    serve(vm, options.console, signals);
    nestvirt_vm_result_init(&result, sizeof(result));
    TRY(nestvirt_vm_wait(vm, -1, &result, &error));
    nestvirt_vm_free(vm);
    nestvirt_host_free(host);
    return report(&result);
}
