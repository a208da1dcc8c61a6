/* SPDX-License-Identifier: Apache-2.0 */
/* Makes the seeds of the corpus "state": files of small VMs as the library writes them. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fake_kvm.h"
#include "virtio/virtio.h"
#include "vm/vm.h"

enum { PAGE = 4096 };

static void need(int r, const char *what)
{
    if (r >= 0)
        return;
    fprintf(stderr, "%s: %d\n", what, r);
    exit(1);
}

/* As if a driver had set it up: queues of 8 descriptors, a chain of each in flight. */
static void set_up(struct nestvirt_device *device)
{
    struct nv_virtio *v = device->state;

    NV_VIRTIO_GUARD(v);
    v->status =
        NV_VIRTIO_ACKNOWLEDGE | NV_VIRTIO_DRIVER | NV_VIRTIO_FEATURES_OK | NV_VIRTIO_DRIVER_OK;
    v->features = v->driver_features = v->offered;
    for (uint32_t i = 0; i < v->queue_count; i++) {
        struct nv_queue *ring = &v->queues[i].ring;

        ring->size = 8;
        ring->descriptors = 0;
        ring->driver = 0x100;
        ring->device = 0x200;
        need(nv_queue_open(ring, v->memory, true, true), "queue");
        ring->in_flight[0] = 1;
        ring->next_available = 1;
    }
}

static struct nestvirt_vm *make_vm(struct nestvirt_host *host, uint32_t chip, uint32_t vcpus)
{
    static const char *const kinds[] = { "serial",  "reset",   "exit", "rng",
                                         "console", "balloon", "blk",  "vsock" };
    struct nestvirt_vm_config config;
    struct nestvirt_vm *vm;
    int disk = memfd_create("disk", MFD_CLOEXEC);

    need(disk, "memfd_create");
    need(ftruncate(disk, (off_t)16 * PAGE), "ftruncate");
    nestvirt_vm_config_init(&config, sizeof(config));
    config.memory_size = 2 * PAGE;
    config.vcpus = vcpus;
    config.interrupt_chip = chip;
    config.flags = chip == NESTVIRT_CHIP_KERNEL ? NESTVIRT_VM_PIT : 0;
    need(nestvirt_vm_new(host, &config, &vm, NULL), "vm");
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        struct nestvirt_device *device;

        need(nestvirt_device_add(vm, kinds[i], &device, NULL), kinds[i]);
        nestvirt_device_set_u64(device, "cid", 3, NULL);
        nestvirt_device_set_fd(device, "fd", disk, NULL);
    }
    close(disk);
    return vm;
}

static void save(const char *folder, const char *name, struct nestvirt_vm *vm)
{
    struct nestvirt_template *template;
    char path[4096];
    int fd;

    snprintf(path, sizeof(path), "%s/seed-%s", folder, name);
    fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    need(fd, path);
    need(nestvirt_template_new(vm, 0, &template, NULL), "template");
    need(nestvirt_template_write(template, NULL, fd, NULL), path);
    nestvirt_template_free(template);
    close(fd);
}

/* With a page where its generation ID is. */
static void save_generation(const char *folder, struct nestvirt_host *host)
{
    struct nestvirt_vm *vm = make_vm(host, NESTVIRT_CHIP_SPLIT, 1);
    struct nestvirt_memory_config page;

    nestvirt_memory_config_init(&page, sizeof(page));
    page.address = 0xef000;
    page.length = PAGE;
    need(nestvirt_memory_add(vm, &page, NULL), "page");
    need(nestvirt_device_add(vm, "vmgenid", NULL, NULL), "vmgenid");
    need(nestvirt_vm_build(vm, NULL), "build");
    save(folder, "vmgenid-built", vm);
    need(nestvirt_vm_start(vm, NULL), "start");
    need(nestvirt_vm_pause(vm, NULL), "pause");
    save(folder, "vmgenid", vm);
    nestvirt_vm_free(vm);
}

int main(int argc, char **argv)
{
    struct nestvirt_host *host;
    struct nestvirt_vm *vm;

    if (argc != 2) {
        fprintf(stderr, "usage: make_state FOLDER\n");
        return 2;
    }
    fake_kvm_reset();
    need(nv_host_open(&fake_kvm_ops, "fake", -1, &host, NULL), "host");
    vm = make_vm(host, NESTVIRT_CHIP_SPLIT, 2);
    need(nestvirt_vm_build(vm, NULL), "build");
    save(argv[1], "built", vm);
    need(nestvirt_vm_start(vm, NULL), "start");
    need(nestvirt_vm_pause(vm, NULL), "pause");
    save(argv[1], "paused", vm);
    for (uint32_t i = 0; i < vm->device_count; i++)
        if (vm->devices[i]->class->virtio)
            set_up(vm->devices[i]);
    save(argv[1], "queues", vm);
    nestvirt_vm_free(vm);
    vm = make_vm(host, NESTVIRT_CHIP_KERNEL, 1);
    need(nestvirt_vm_build(vm, NULL), "build");
    need(nestvirt_vm_start(vm, NULL), "start");
    need(nestvirt_vm_pause(vm, NULL), "pause");
    save(argv[1], "kernel-chip", vm);
    nestvirt_vm_free(vm);
    save_generation(argv[1], host);
    nestvirt_host_free(host);
    return 0;
}
