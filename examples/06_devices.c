/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lists what devices there are and what can be set; or boots Linux with some of them, and changes
 * them while it runs.
 *
 *     06_devices
 *     06_devices --kernel K [--initrd I] [--cmdline C]
 *
 * The machine has a scratch disk, random numbers, a balloon and a console. Every few seconds one
 * property changes, and counters and events are shown, until the guest ends.
 */
#include <getopt.h>
#include <poll.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common.h"

enum { MIB = 1 << 20, STEP_MS = 3000 };

/* What is to be booted, and the devices that are looked at later. */
struct machine {
    const char *kernel;
    const char *initrd;
    const char *cmdline;
    int disk_fd;
    struct nestvirt_vm *vm;
    struct nestvirt_device *disk, *rng, *balloon, *console;
};

/* --- The list --- */

static const char *describe(const struct nestvirt_device_property *property)
{
    static const char *const types[] = { [NESTVIRT_PROPERTY_U64] = "number",
                                         [NESTVIRT_PROPERTY_BOOL] = "0 or 1",
                                         [NESTVIRT_PROPERTY_FD] = "descriptor",
                                         [NESTVIRT_PROPERTY_STRING] = "text" };
    static char text[32];

    if (property->flags & NESTVIRT_PROPERTY_READ_ONLY)
        return "counter";
    snprintf(text, sizeof(text), "%s%s", types[property->type],
             property->flags & NESTVIRT_PROPERTY_LIVE ? ", live" : "");
    return text;
}

static void list(void)
{
    struct nestvirt_device_property property;
    const char *kind;

    printf("A counter is only read; what is live may be set while the guest runs.\n");
    for (uint32_t i = 0; (kind = nestvirt_device_get_kind(i)); i++) {
        printf("\n%s\n", kind);
        nestvirt_device_property_init(&property, sizeof(property));
        for (uint32_t j = 0; nestvirt_device_get_property(kind, j, &property, NULL) == 0; j++)
            printf("  %-26s %-13s %s\n", property.name, describe(&property), property.help);
    }
}

/* --- The machine --- */

static void add_devices(struct machine *m)
{
    struct nestvirt_error *error = NULL;
    struct nestvirt_device *serial;

    TRY(nestvirt_device_add(m->vm, "serial", &serial, &error));
    TRY(nestvirt_device_set_fd(serial, "output", STDOUT_FILENO, &error));
    TRY(nestvirt_device_add(m->vm, "reset", NULL, &error));

    /* An image is a file or a block device; this one is gone with the program. */
    m->disk_fd = memfd_create("scratch", MFD_CLOEXEC);
    if (m->disk_fd < 0 || ftruncate(m->disk_fd, 64 * MIB) < 0) {
        perror("memfd_create");
        exit(1);
    }
    TRY(nestvirt_device_add(m->vm, "blk", &m->disk, &error));
    TRY(nestvirt_device_set_fd(m->disk, "fd", m->disk_fd, &error));
    TRY(nestvirt_device_set_string(m->disk, "serial", "scratch", &error));

    TRY(nestvirt_device_add(m->vm, "rng", &m->rng, &error));
    TRY(nestvirt_device_add(m->vm, "balloon", &m->balloon, &error));
    TRY(nestvirt_device_set_u64(m->balloon, "stats_interval_ms", 1000, &error));
    TRY(nestvirt_device_add(m->vm, "console", &m->console, &error));
    TRY(nestvirt_device_set_fd(m->console, "input", STDIN_FILENO, &error));
    TRY(nestvirt_device_set_fd(m->console, "output", STDOUT_FILENO, &error));
}

static void build(struct machine *m, struct nestvirt_host *host)
{
    struct nestvirt_error *error = NULL;
    struct nestvirt_host_info info;
    struct nestvirt_vm_config config;

    nestvirt_host_info_init(&info, sizeof(info));
    TRY(nestvirt_host_get_info(host, &info, &error));
    nestvirt_vm_config_init(&config, sizeof(config));
    config.name = "devices";
    config.memory_size = 128 * MIB;
    if (info.features & NESTVIRT_HOST_INTERPRETED)
        config.flags |= NESTVIRT_VM_FIXUPS;
    TRY(nestvirt_vm_new(host, &config, &m->vm, &error));
    add_devices(m);
    TRY(nestvirt_boot_set_kernel(m->vm, m->kernel, NESTVIRT_KERNEL_AUTO, &error));
    if (m->initrd)
        TRY(nestvirt_boot_set_initrd(m->vm, m->initrd, &error));
    TRY(nestvirt_boot_set_cmdline(m->vm, m->cmdline, &error));
    TRY(nestvirt_vm_build(m->vm, &error));
}

/* --- What changes while it runs --- */

static uint64_t get(struct nestvirt_device *device, const char *name)
{
    struct nestvirt_error *error = NULL;
    uint64_t value = 0;

    TRY(nestvirt_device_get_u64(device, name, &value, &error));
    return value;
}

static void set(struct nestvirt_device *device, const char *name, uint64_t value)
{
    struct nestvirt_error *error = NULL;

    TRY(nestvirt_device_set_u64(device, name, value, &error));
}

static void change(struct machine *m, unsigned step)
{
    switch (step % 4) {
    case 0:
        printf("devices: the disk grows by 64 MiB\n");
        if (ftruncate(m->disk_fd, (off_t)(get(m->disk, "capacity") * 512) + 64 * MIB) < 0)
            perror("ftruncate");
        set(m->disk, "resize", 0);
        break;
    case 1:
        printf("devices: the balloon is to take 16 MiB\n");
        set(m->balloon, "target", 16 * MIB);
        break;
    case 2:
        printf("devices: the disk may move 1 MiB a second, the balloon gives back\n");
        set(m->disk, "rate_bytes", MIB);
        set(m->balloon, "target", 0);
        break;
    default:
        printf("devices: no limit any more\n");
        set(m->disk, "rate_bytes", 0);
        break;
    }
}

static void show(const struct machine *m)
{
    printf("devices: disk %llu MiB, %llu reads; balloon %llu MiB; %llu random bytes; "
           "guest has %llu MiB free\n",
           (unsigned long long)get(m->disk, "capacity") * 512 / MIB,
           (unsigned long long)get(m->disk, "reads"),
           (unsigned long long)get(m->balloon, "actual") / MIB,
           (unsigned long long)get(m->rng, "bytes"),
           (unsigned long long)get(m->balloon, "stat_free_memory") / MIB);
}

/* Prints the events that wait; false when the VM has stopped. */
static bool show_events(struct machine *m)
{
    struct nestvirt_event event;

    nestvirt_event_init(&event, sizeof(event));
    while (nestvirt_vm_next_event(m->vm, &event, NULL) == 1) {
        if (event.kind == NESTVIRT_EVENT_IO_ERROR)
            printf("event: device %llu: %s\n", (unsigned long long)event.values[0],
                   strerror((int)event.values[1]));
        if (event.kind == NESTVIRT_EVENT_STATE)
            printf("event: the VM is %s\n", nestvirt_vm_state_name((int)event.values[1]));
        if (event.kind == NESTVIRT_EVENT_STOPPED)
            return false;
    }
    return true;
}

static void run(struct machine *m)
{
    struct nestvirt_error *error = NULL;
    struct nestvirt_vm_result result;
    struct pollfd poller = { .events = POLLIN };

    TRY(poller.fd = nestvirt_vm_get_event_fd(m->vm, &error));
    TRY(nestvirt_vm_start(m->vm, &error));
    for (unsigned step = 0; show_events(m);) {
        if (poll(&poller, 1, STEP_MS) != 0)
            continue;
        show(m);
        /* Once the guest's drivers are there, and the balloon has got what it was to take. */
        if (get(m->balloon, "stats_updates") > 0 &&
            get(m->balloon, "actual") == get(m->balloon, "target"))
            change(m, step++);
    }
    nestvirt_vm_result_init(&result, sizeof(result));
    TRY(nestvirt_vm_wait(m->vm, -1, &result, &error));
    printf("ended by %s\n", nestvirt_vm_result_name(result.reason));
}

int main(int argc, char **argv)
{
    static const struct option longs[] = { { "kernel", required_argument, NULL, 'k' },
                                           { "initrd", required_argument, NULL, 'i' },
                                           { "cmdline", required_argument, NULL, 'c' },
                                           { NULL, 0, NULL, 0 } };
    struct machine machine = { .cmdline = "console=ttyS0 reboot=k panic=-1" };
    struct nestvirt_error *error = NULL;
    struct nestvirt_host *host;
    int option;

    setvbuf(stdout, NULL, _IOLBF, 0);
    while ((option = getopt_long(argc, argv, "", longs, NULL)) != -1) {
        if (option == 'k')
            machine.kernel = optarg;
        else if (option == 'i')
            machine.initrd = optarg;
        else if (option == 'c')
            machine.cmdline = optarg;
        else
            goto usage;
    }
    if (optind < argc || (!machine.kernel && argc > 1))
        goto usage;
    if (!machine.kernel) {
        list();
        return 0;
    }
    TRY(nestvirt_host_open(NULL, &host, &error));
    build(&machine, host);
    run(&machine);
    nestvirt_vm_free(machine.vm);
    nestvirt_host_free(host);
    close(machine.disk_fd);
    return 0;

usage:
    fprintf(stderr, "usage: 06_devices [--kernel FILE [--initrd FILE] [--cmdline TEXT]]\n");
    return 2;
}
