/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest of 30 bytes says hello on its serial port and ends with an exit code.
 *
 *     02_hello
 */
#include <sys/mman.h>
#include <unistd.h>

#include "common.h"

/* 16-bit code at 0x1000: writes the text behind it to port 0x3f8, then 7 to port 0x501. */
static const unsigned char guest[] =
    "\xbe\x14\x10"                     /* mov $text, %si */
    "\xba\xf8\x03"                     /* mov $0x3f8, %dx */
    "\xac"                             /* next: lodsb */
    "\x84\xc0"                         /* test %al, %al */
    "\x74\x03"                         /* jz end */
    "\xee"                             /* out %al, %dx */
    "\xeb\xf8"                         /* jmp next */
    "\xba\x01\x05"                     /* end: mov $0x501, %dx */
    "\xb0\x07"                         /* mov $7, %al */
    "\xee"                             /* out %al, %dx */
    "Hello from a virtual machine!\n"; /* text, at 0x1014, with a zero behind */

/* The image as a file in memory; a path of a file on disk would do as well. */
static int make_image(void)
{
    int fd = memfd_create("guest", MFD_CLOEXEC);

    if (fd < 0 || write(fd, guest, sizeof(guest)) != (ssize_t)sizeof(guest)) {
        perror("memfd");
        exit(1);
    }
    return fd;
}

int main(void)
{
    struct nestvirt_error *error = NULL;
    struct nestvirt_host *host;
    struct nestvirt_vm *vm;
    struct nestvirt_vm_config config;
    struct nestvirt_vm_result result;
    struct nestvirt_flat_config flat;
    struct nestvirt_device *serial;
    int image = make_image();

    TRY(nestvirt_host_open(NULL, &host, &error));

    nestvirt_vm_config_init(&config, sizeof(config));
    config.memory_size = 1 << 20;
    config.name = "hello";
    TRY(nestvirt_vm_new(host, &config, &vm, &error));

    TRY(nestvirt_device_add(vm, "serial", &serial, &error));
    TRY(nestvirt_device_set_fd(serial, "output", STDOUT_FILENO, &error));
    TRY(nestvirt_device_add(vm, "exit", NULL, &error));

    nestvirt_flat_config_init(&flat, sizeof(flat));
    flat.address = flat.entry = 0x1000;
    flat.mode = NESTVIRT_MODE_REAL;
    TRY(nestvirt_boot_set_flat_fd(vm, image, &flat, &error));
    close(image);

    TRY(nestvirt_vm_build(vm, &error));
    TRY(nestvirt_vm_start(vm, &error));
    nestvirt_vm_result_init(&result, sizeof(result));
    TRY(nestvirt_vm_wait(vm, 10000, &result, &error));

    printf("%s, code %d\n", nestvirt_vm_result_name(result.reason), result.exit_code);
    nestvirt_vm_free(vm);
    nestvirt_host_free(host);
    return result.reason == NESTVIRT_RESULT_GUEST_EXIT && result.exit_code == 7 ? 0 : 1;
}
