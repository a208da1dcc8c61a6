/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A virtio device of the program's own: a disk that exists only in this program. Linux uses it with
 * the driver it has (virtio 1.2, section 5.2); every sector reads as a line that names it, and
 * what the guest writes is forgotten.
 *
 *     08_own_device --kernel K [--initrd I] [--cmdline C]
 *
 * In the guest: dd if=/dev/vda bs=512 count=3
 */
#include <getopt.h>
#include <string.h>
#include <unistd.h>

#include "common.h"

enum { BLOCK_DEVICE = 2, SECTOR = 512, SECTORS = 2048 };
enum { READ = 0, WRITE = 1 };
enum { STATUS_OK = 0, STATUS_ERROR = 1, STATUS_UNSUPPORTED = 2 };

/* What the guest's request begins with. */
struct header {
    uint32_t type;
    uint32_t reserved;
    uint64_t sector;
};

struct disk {
    unsigned long reads;
    unsigned long writes;
};

/* Fills the buffers, all but the last byte, which is for the status. */
static unsigned char read_sectors(struct nestvirt_chain *chain, uint64_t sector, uint64_t bytes)
{
    if (bytes % SECTOR || sector > SECTORS || bytes / SECTOR > SECTORS - sector)
        return STATUS_ERROR;
    for (; bytes > 0; bytes -= SECTOR, sector++) {
        char text[SECTOR];
        int length =
            snprintf(text, sizeof(text), "This is sector %llu.\n", (unsigned long long)sector);

        memset(text + length, '.', sizeof(text) - (size_t)length);
        text[SECTOR - 1] = '\n';
        if (nestvirt_chain_write(chain, text, sizeof(text), NULL) != SECTOR)
            return STATUS_ERROR;
    }
    return STATUS_OK;
}

static void answer(struct disk *disk, struct nestvirt_chain *chain)
{
    struct header header = { UINT32_MAX, 0, 0 };
    unsigned char status = STATUS_UNSUPPORTED;
    uint64_t readable;
    uint64_t writable;

    if (nestvirt_chain_read(chain, &header, sizeof(header), NULL) < (int)sizeof(header) ||
        nestvirt_chain_get_size(chain, &readable, &writable, NULL) < 0 || writable == 0) {
        nestvirt_chain_complete(chain, NULL); /* no request; and nowhere to say so */
        return;
    }
    if (header.type == READ) {
        disk->reads++;
        status = read_sectors(chain, header.sector, writable - 1);
    } else if (header.type == WRITE) {
        disk->writes++;
        status = STATUS_OK;
    }
    nestvirt_chain_write(chain, &status, 1, NULL);
    nestvirt_chain_complete(chain, NULL);
}

/* The guest has notified: take its requests until there is none. */
static void on_queue(void *user_data, struct nestvirt_device *device, uint32_t queue)
{
    struct nestvirt_chain *chain;

    while (nestvirt_virtio_next_chain(device, queue, &chain, NULL) == 1)
        answer(user_data, chain);
}

static void add_disk(struct nestvirt_vm *vm, struct disk *disk)
{
    const uint64_t capacity = SECTORS; /* all that this device's configuration has to say */
    struct nestvirt_error *error = NULL;
    struct nestvirt_virtio_config config;

    nestvirt_virtio_config_init(&config, sizeof(config));
    config.device_id = BLOCK_DEVICE;
    config.queue_count = 1;
    config.config = &capacity;
    config.config_length = sizeof(capacity);
    TRY(nestvirt_virtio_add(vm, &config, on_queue, disk, NULL, NULL, &error));
}

static void usage(void)
{
    fprintf(stderr, "usage: 08_own_device --kernel FILE [--initrd FILE] [--cmdline TEXT]\n");
    exit(2);
}

static struct nestvirt_vm *make_vm(struct nestvirt_host *host, struct disk *disk, int argc,
                                   char **argv)
{
    static const struct option longs[] = {
        { "kernel", required_argument, NULL, 'k' },
        { "initrd", required_argument, NULL, 'i' },
        { "cmdline", required_argument, NULL, 'c' },
        { NULL, 0, NULL, 0 },
    };
    struct nestvirt_error *error = NULL;
    struct nestvirt_host_info info;
    struct nestvirt_vm_config config;
    struct nestvirt_device *serial;
    struct nestvirt_vm *vm;
    const char *kernel = NULL;
    const char *initrd = NULL;
    const char *cmdline = "console=ttyS0 reboot=k panic=-1";
    int option;

    while ((option = getopt_long(argc, argv, "", longs, NULL)) != -1) {
        if (option == '?')
            usage();
        *(option == 'k' ? &kernel : option == 'i' ? &initrd : &cmdline) = optarg;
    }
    if (!kernel || optind < argc)
        usage();
    nestvirt_host_info_init(&info, sizeof(info));
    TRY(nestvirt_host_get_info(host, &info, &error));
    nestvirt_vm_config_init(&config, sizeof(config));
    config.memory_size = 128 << 20;
    if (info.features & NESTVIRT_HOST_INTERPRETED)
        config.flags |= NESTVIRT_VM_FIXUPS;
    TRY(nestvirt_vm_new(host, &config, &vm, &error));
    TRY(nestvirt_device_add(vm, "serial", &serial, &error));
    TRY(nestvirt_device_set_fd(serial, "output", STDOUT_FILENO, &error));
    TRY(nestvirt_device_set_fd(serial, "input", STDIN_FILENO, &error));
    TRY(nestvirt_device_add(vm, "reset", NULL, &error));
    add_disk(vm, disk);
    TRY(nestvirt_boot_set_kernel(vm, kernel, NESTVIRT_KERNEL_AUTO, &error));
    if (initrd)
        TRY(nestvirt_boot_set_initrd(vm, initrd, &error));
    TRY(nestvirt_boot_set_cmdline(vm, cmdline, &error));
    return vm;
}

int main(int argc, char **argv)
{
    struct nestvirt_error *error = NULL;
    struct disk disk = { 0, 0 };
    struct nestvirt_host *host;
    struct nestvirt_vm *vm;

    TRY(nestvirt_host_open(NULL, &host, &error));
    vm = make_vm(host, &disk, argc, argv);
    TRY(nestvirt_vm_build(vm, &error));
    TRY(nestvirt_vm_start(vm, &error));
    TRY(nestvirt_vm_wait(vm, -1, NULL, &error));
    nestvirt_vm_free(vm);
    nestvirt_host_free(host);
    printf("the guest read %lu times and wrote %lu times\n", disk.reads, disk.writes);
    return 0;
}
