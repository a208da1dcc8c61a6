/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the library's side of the benchmarks. */
#include "ours.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bench.h"
#include "floor.h"
#include "guest.h"

void ours_need(int r, struct nestvirt_error **error)
{
    if (r >= 0)
        return;
    fprintf(stderr, "%s\n", *error ? nestvirt_error_get_message(*error) : "the library failed");
    nestvirt_error_free(*error);
    exit(1);
}

struct nestvirt_host *ours_open(void)
{
    struct nestvirt_host *host = NULL;
    struct nestvirt_error *error = NULL;

    ours_need(nestvirt_host_open(NULL, &host, &error), &error);
    return host;
}

int ours_make_image(const void *code, size_t size)
{
    int fd = memfd_create("guest", MFD_CLOEXEC);

    if (fd < 0 || write(fd, code, size) != (ssize_t)size) {
        perror("memfd");
        exit(1);
    }
    return fd;
}

struct nestvirt_vm *ours_new(struct nestvirt_host *host, uint64_t memory_size, int image,
                             int32_t (*fn)(void *user_data, struct nestvirt_access *access),
                             void *user_data)
{
    struct nestvirt_error *error = NULL;
    struct nestvirt_vm_config config;
    struct nestvirt_flat_config flat;
    struct nestvirt_vm *vm = NULL;

    nestvirt_vm_config_init(&config, sizeof(config));
    config.memory_size = memory_size;
    ours_need(nestvirt_vm_new(host, &config, &vm, &error), &error);
    ours_need(
        nestvirt_handler_add(vm, NESTVIRT_SPACE_PORT, GUEST_PORT, 1, fn, user_data, NULL, &error),
        &error);
    nestvirt_flat_config_init(&flat, sizeof(flat));
    flat.address = flat.entry = FLOOR_ENTRY;
    flat.mode = NESTVIRT_MODE_REAL;
    ours_need(nestvirt_boot_set_flat_fd(vm, image, &flat, &error), &error);
    return vm;
}

void ours_start(struct nestvirt_vm *vm)
{
    struct nestvirt_error *error = NULL;

    ours_need(nestvirt_vm_build(vm, &error), &error);
    ours_need(nestvirt_vm_start(vm, &error), &error);
}

int32_t ours_ignore(void *user_data, struct nestvirt_access *access)
{
    return NESTVIRT_ACTION_RESUME;
}

static int32_t note_exit(void *user_data, struct nestvirt_access *access)
{
    struct ours_vm *vm = user_data;
    int32_t action = vm->action;

    vm->first_exit_ns = bench_now_ns();
    sem_post(&vm->exited);
    return action;
}

void ours_run(struct nestvirt_host *host, uint64_t memory_size, int image, int32_t action,
              struct ours_vm *ret_vm)
{
    ret_vm->action = action;
    sem_init(&ret_vm->exited, 0, 0);
    ret_vm->vm = ours_new(host, memory_size, image, note_exit, ret_vm);
    ours_start(ret_vm->vm);
    sem_wait(&ret_vm->exited);
}

void ours_free(struct ours_vm *vm)
{
    bench_need(nestvirt_vm_free(vm->vm), "nestvirt_vm_free");
    sem_destroy(&vm->exited);
}
