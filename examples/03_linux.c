/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Boots Linux with its console on this terminal.
 *
 *     03_linux --kernel K [--initrd I] [--cmdline C] [--memory 256M] [--cpus 1]
 *
 * Ends with status 0 when the guest resets or powers off, with the guest's own code when it writes
 * one to the exit device (port 0x501), and with 1 and a message otherwise. The first Ctrl-C presses
 * the guest's power button, the second one stops it.
 */
#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "common.h"

struct options {
    const char *kernel;
    const char *initrd;
    const char *cmdline;
    uint64_t memory;
    uint32_t cpus;
};

static void usage(int status)
{
    fprintf(status ? stderr : stdout,
            "usage: 03_linux --kernel FILE [options]\n"
            "  --kernel FILE    bzImage or vmlinux\n"
            "  --initrd FILE    initial RAM disk\n"
            "  --cmdline TEXT   kernel command line (console=ttyS0 reboot=k panic=-1)\n"
            "  --memory SIZE    RAM, with suffix K, M or G (256M)\n"
            "  --cpus N         virtual CPUs (1)\n");
    exit(status);
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

static void parse(int argc, char **argv, struct options *options)
{
    static const struct option longs[] = {
        { "kernel", required_argument, NULL, 'k' },
        { "initrd", required_argument, NULL, 'i' },
        { "cmdline", required_argument, NULL, 'c' },
        { "memory", required_argument, NULL, 'm' },
        { "cpus", required_argument, NULL, 'n' },
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
        case 'h':
            usage(0);
            break;
        default:
            usage(2);
        }
    }
    if (!options->kernel || optind < argc || options->memory == 0)
        usage(2);
}

static void on_log(void *user_data, uint32_t level, const char *text)
{
    (void)user_data;
    (void)level;
    fprintf(stderr, "%s\n", text);
}

static struct nestvirt_vm *make_vm(struct nestvirt_host *host, const struct options *options)
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
    TRY(nestvirt_device_set_fd(serial, "input", STDIN_FILENO, &error));
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
static void serve(struct nestvirt_vm *vm, int signals)
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
        if (fds[1].revents && read(signals, &info, sizeof(info)) > 0)
            on_interrupt(vm, ++interrupts);
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
        fprintf(stderr, "error: the guest ended by %s\n", nestvirt_vm_result_name(result->reason));
        return 1;
    }
}

int main(int argc, char **argv)
{
    struct options options = { .cmdline = "console=ttyS0 reboot=k panic=-1",
                               .memory = 256 << 20,
                               .cpus = 1 };
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
    sigprocmask(SIG_BLOCK, &set, NULL);
    signals = signalfd(-1, &set, SFD_CLOEXEC);

    TRY(nestvirt_host_open(NULL, &host, &error));
    vm = make_vm(host, &options);
    TRY(nestvirt_vm_build(vm, &error));
    TRY(nestvirt_vm_start(vm, &error));
    serve(vm, signals);
    nestvirt_vm_result_init(&result, sizeof(result));
    TRY(nestvirt_vm_wait(vm, -1, &result, &error));
    nestvirt_vm_free(vm);
    nestvirt_host_free(host);
    return report(&result);
}
