/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a user's program pays from exec to exit for one VM: a guest that writes to the exit device.
 * bench_process runs it against other programs; its exit status is 0 if the guest got there.
 */
#include <sys/mman.h>
#include <unistd.h>

#include <nestvirt/nestvirt.h>

enum { MEMORY_SIZE = 128 << 20, ENTRY = 0x1000, TIMEOUT_MS = 10000 };

static const unsigned char guest[] = {
    0xba, 0x01, 0x05, /* mov $0x501, %dx */
    0xee,             /* out %al, %dx */
};

static int make_image(void)
{
    int fd = memfd_create("guest", MFD_CLOEXEC);

    return fd >= 0 && write(fd, guest, sizeof(guest)) == (ssize_t)sizeof(guest) ? fd : -1;
}

static int run(struct nestvirt_vm *vm, int image)
{
    struct nestvirt_flat_config flat;
    struct nestvirt_vm_result result;

    nestvirt_flat_config_init(&flat, sizeof(flat));
    flat.address = flat.entry = ENTRY;
    flat.mode = NESTVIRT_MODE_REAL;
    nestvirt_vm_result_init(&result, sizeof(result));
    if (nestvirt_device_add(vm, "exit", NULL, NULL) < 0 ||
        nestvirt_boot_set_flat_fd(vm, image, &flat, NULL) < 0 || nestvirt_vm_build(vm, NULL) < 0 ||
        nestvirt_vm_start(vm, NULL) < 0 || nestvirt_vm_wait(vm, TIMEOUT_MS, &result, NULL) < 0)
        return 1;
    return result.reason != NESTVIRT_RESULT_GUEST_EXIT;
}

int main(void)
{
    struct nestvirt_vm_config config;
    struct nestvirt_host *host;
    struct nestvirt_vm *vm;
    int image = make_image();
    int status;

    nestvirt_vm_config_init(&config, sizeof(config));
    config.memory_size = MEMORY_SIZE;
    if (image < 0 || nestvirt_host_open(NULL, &host, NULL) < 0 ||
        nestvirt_vm_new(host, &config, &vm, NULL) < 0)
        return 1;
    status = run(vm, image);
    nestvirt_vm_free(vm);
    nestvirt_host_free(host);
    close(image);
    return status;
}
