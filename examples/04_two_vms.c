/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two VMs in one process, on one event loop, watched by one poll: each counts, is paused while the
 * other goes on, and is stopped.
 *
 *     04_two_vms
 */
#include <poll.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common.h"

/* 16-bit code at 0x1000: counts up the 32-bit word at 0x2000 for ever. */
static const unsigned char guest[] = "\x31\xc0"             /* xor %ax, %ax */
                                     "\x8e\xd8"             /* mov %ax, %ds */
                                     "\x66\xff\x06\x00\x20" /* next: incl 0x2000 */
                                     "\xeb\xf9";            /* jmp next */

static struct nestvirt_vm *make_vm(struct nestvirt_host *host, struct nestvirt_loop *loop,
                                   const char *name)
{
    struct nestvirt_error *error = NULL;
    struct nestvirt_vm_config config;
    struct nestvirt_flat_config flat;
    struct nestvirt_vm *vm;
    int image = memfd_create("guest", MFD_CLOEXEC);

    if (image < 0 || write(image, guest, sizeof(guest)) != (ssize_t)sizeof(guest)) {
        perror("memfd");
        exit(1);
    }
    nestvirt_vm_config_init(&config, sizeof(config));
    config.name = name;
    config.memory_size = 1 << 20;
    TRY(nestvirt_vm_new(host, &config, &vm, &error));
    TRY(nestvirt_vm_set_loop(vm, loop, &error));
    nestvirt_flat_config_init(&flat, sizeof(flat));
    flat.address = flat.entry = 0x1000;
    flat.mode = NESTVIRT_MODE_REAL;
    TRY(nestvirt_boot_set_flat_fd(vm, image, &flat, &error));
    close(image);
    TRY(nestvirt_vm_build(vm, &error));
    TRY(nestvirt_vm_start(vm, &error));
    return vm;
}

static uint32_t count_of(struct nestvirt_vm *vm)
{
    struct nestvirt_error *error = NULL;
    uint32_t count;

    TRY(nestvirt_memory_read(vm, 0x2000, &count, sizeof(count), &error));
    return count;
}

/* How far each VM counts in a tenth of a second. */
static void measure(struct nestvirt_vm *const vms[2], uint32_t ret_steps[2])
{
    uint32_t before[2] = { count_of(vms[0]), count_of(vms[1]) };

    usleep(100000);
    for (int i = 0; i < 2; i++)
        ret_steps[i] = count_of(vms[i]) - before[i];
}

/* Polls both VMs' event descriptors until each has stopped. */
static void await_both(struct nestvirt_vm *const vms[2])
{
    struct nestvirt_error *error = NULL;
    struct pollfd fds[2];
    struct nestvirt_event event;
    int left = 2;

    for (int i = 0; i < 2; i++) {
        fds[i] =
            (struct pollfd){ .fd = nestvirt_vm_get_event_fd(vms[i], &error), .events = POLLIN };
        TRY(fds[i].fd);
    }
    while (left > 0 && poll(fds, 2, 5000) > 0) {
        for (int i = 0; i < 2; i++) {
            nestvirt_event_init(&event, sizeof(event));
            while (nestvirt_vm_next_event(vms[i], &event, NULL) == 1)
                left -= event.kind == NESTVIRT_EVENT_STOPPED;
        }
    }
}

int main(void)
{
    struct nestvirt_error *error = NULL;
    struct nestvirt_host *host;
    struct nestvirt_loop *loop;
    struct nestvirt_vm *vms[2];
    uint32_t both[2], one[2];

    TRY(nestvirt_host_open(NULL, &host, &error));
    TRY(nestvirt_loop_new(&loop, &error));
    vms[0] = make_vm(host, loop, "first");
    vms[1] = make_vm(host, loop, "second");

    measure(vms, both);
    printf("both run:         first %8u steps, second %8u steps\n", both[0], both[1]);
    TRY(nestvirt_vm_pause(vms[0], &error));
    measure(vms, one);
    printf("first is paused:  first %8u steps, second %8u steps\n", one[0], one[1]);
    TRY(nestvirt_vm_resume(vms[0], &error));

    for (int i = 0; i < 2; i++)
        TRY(nestvirt_vm_stop(vms[i], 5000, &error));
    await_both(vms);
    for (int i = 0; i < 2; i++)
        nestvirt_vm_free(vms[i]);
    nestvirt_loop_free(loop);
    nestvirt_host_free(host);
    return both[0] > 0 && both[1] > 0 && one[0] == 0 && one[1] > 0 ? 0 : 1;
}
