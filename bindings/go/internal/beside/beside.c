/* SPDX-License-Identifier: Apache-2.0 */
/* Owns a fork without exec, and the C side of the comparison of speeds. */
#include "beside.h"

#include <dlfcn.h>
#include <errno.h>
#include <semaphore.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <nestvirt/nestvirt.h>

/* A function of the library under its own name; it is not linked, as that of the package is not. */
#define FIND(name) __typeof__(name) *const name##_ = (__typeof__(name) *)dlsym(library, #name)

void *beside_open(const char *path)
{
    return dlopen(path, RTLD_NOW | RTLD_LOCAL);
}

void *beside_open_host(void *library)
{
    FIND(nestvirt_host_open);
    struct nestvirt_host *host = NULL;

    nestvirt_host_open_(NULL, &host, NULL);
    return host;
}

void beside_close_host(void *library, void *host)
{
    FIND(nestvirt_host_free);

    nestvirt_host_free_(host);
}

static void use_in_child(void *library, void *vm, struct beside_forked *forked)
{
    FIND(nestvirt_vm_get_state);
    FIND(nestvirt_vm_start);
    FIND(nestvirt_vm_stop);
    FIND(nestvirt_memory_read);
    FIND(nestvirt_vm_free);
    char byte;

    forked->state = nestvirt_vm_get_state_(vm);
    forked->start = nestvirt_vm_start_(vm, NULL);
    forked->stop = nestvirt_vm_stop_(vm, 1000, NULL);
    forked->read = nestvirt_memory_read_(vm, 0, &byte, 1, NULL);
    forked->free = nestvirt_vm_free_(vm);
}

int beside_fork(void *library, void *vm, struct beside_forked *ret_forked)
{
    struct beside_forked forked;
    int pipes[2], status;
    ssize_t got;
    pid_t child;

    if (pipe(pipes) < 0)
        return -errno;
    child = fork();
    if (child == 0) {
        use_in_child(library, vm, &forked);
        _exit(write(pipes[1], &forked, sizeof(forked)) == sizeof(forked) ? 0 : 1);
    }
    close(pipes[1]);
    do
        got = read(pipes[0], ret_forked, sizeof(*ret_forked));
    while (got < 0 && errno == EINTR);
    close(pipes[0]);
    if (child < 0)
        return -EAGAIN;
    while (waitpid(child, &status, 0) < 0)
        if (errno != EINTR)
            return -errno;
    return got == sizeof(*ret_forked) && status == 0 ? 0 : -EIO;
}

struct seen {
    sem_t exited;
    int64_t ns;
};

static int64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000000ll + now.tv_nsec;
}

static int32_t on_access(void *user_data, struct nestvirt_access *access)
{
    struct seen *seen = user_data;

    if (access->size > 0 && seen->ns == 0)
        seen->ns = now_ns();
    sem_post(&seen->exited);
    return NESTVIRT_ACTION_RESUME;
}

static int set_up(void *library, struct nestvirt_vm *vm, int image, uint16_t port, struct seen *seen)
{
    FIND(nestvirt_handler_add);
    FIND(nestvirt_flat_config_init);
    FIND(nestvirt_boot_set_flat_fd);
    FIND(nestvirt_vm_build);
    FIND(nestvirt_vm_start);
    struct nestvirt_error *error = NULL;
    struct nestvirt_flat_config flat;
    int r;

    nestvirt_flat_config_init_(&flat, sizeof(flat));
    flat.address = flat.entry = 0x1000;
    r = nestvirt_handler_add_(vm, NESTVIRT_SPACE_PORT, port, 1, on_access, seen, NULL, &error);
    if (r >= 0)
        r = nestvirt_boot_set_flat_fd_(vm, image, &flat, &error);
    if (r >= 0)
        r = nestvirt_vm_build_(vm, &error);
    return r >= 0 ? nestvirt_vm_start_(vm, &error) : r;
}

int64_t beside_first_exit(void *library, void *host, int image, uint64_t memory, uint16_t port)
{
    FIND(nestvirt_vm_config_init);
    FIND(nestvirt_vm_new);
    FIND(nestvirt_vm_free);
    struct nestvirt_vm_config config;
    struct nestvirt_vm *vm = NULL;
    struct seen seen = { .ns = 0 };
    int64_t start = now_ns();
    int r;

    sem_init(&seen.exited, 0, 0);
    nestvirt_vm_config_init_(&config, sizeof(config));
    config.memory_size = memory;
    r = nestvirt_vm_new_(host, &config, &vm, NULL);
    if (r >= 0)
        r = set_up(library, vm, image, port, &seen);
    while (r >= 0 && sem_wait(&seen.exited) < 0)
        ;
    nestvirt_vm_free_(vm);
    sem_destroy(&seen.exited);
    return r < 0 ? r : seen.ns - start;
}

void beside_copy(void *to, const void *from, size_t length)
{
    memcpy(to, from, length);
}
