/* SPDX-License-Identifier: Apache-2.0 */
/* Owns crowds of bare VMs in one process: made one by one, looked at, freed. */
#include "crowd.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ENTRY = 0x1000, RUN_TRIES = 500, RUN_US = 10000 };

/* Real mode: counts once, then halts with interrupts off. */
static const uint8_t once[] = {
    0x31, 0xc0,                   /* xor %ax, %ax */
    0x8e, 0xd8,                   /* mov %ax, %ds */
    0x66, 0xff, 0x06, 0x00, 0x30, /* incl 0x3000 */
    0xf4, 0xeb, 0xfd,             /* again: hlt; jmp again */
};

/* Real mode: counts for ever. */
static const uint8_t busy[] = {
    0x31, 0xc0,                   /* xor %ax, %ax */
    0x8e, 0xd8,                   /* mov %ax, %ds */
    0x66, 0xff, 0x06, 0x00, 0x30, /* again: incl 0x3000 */
    0xeb, 0xf9,                   /* jmp again */
};

void crowd_come_first(pid_t tid, bool on)
{
    const struct sched_param param = { .sched_priority = on ? 1 : 0 };

    sched_setscheduler(tid, (on ? SCHED_FIFO : SCHED_OTHER) | SCHED_RESET_ON_FORK, &param);
}

struct crowd *crowd_new(struct nestvirt_host *host, uint64_t memory, bool is_busy)
{
    struct crowd *crowd = calloc(1, sizeof(*crowd));
    const uint8_t *code = is_busy ? busy : once;
    size_t size = is_busy ? sizeof(busy) : sizeof(once);

    if (!crowd)
        return NULL;
    crowd->host = host;
    crowd->memory = memory;
    crowd->image = memfd_create("guest", MFD_CLOEXEC);
    if (crowd->image < 0 || write(crowd->image, code, size) != (ssize_t)size) {
        perror("memfd");
        free(crowd);
        return NULL;
    }
    return crowd;
}

static int set_up(const struct crowd *crowd, struct nestvirt_vm *vm,
                  struct nestvirt_error **ret_error)
{
    struct nestvirt_flat_config flat;
    int r = 0;

    nestvirt_flat_config_init(&flat, sizeof(flat));
    flat.address = flat.entry = ENTRY;
    flat.mode = NESTVIRT_MODE_REAL;
    if (crowd->loop)
        r = nestvirt_vm_set_loop(vm, crowd->loop, ret_error);
    if (r == 0 && crowd->loop)
        r = nestvirt_device_add(vm, "rng", NULL, ret_error);
    if (r >= 0)
        r = nestvirt_boot_set_flat_fd(vm, crowd->image, &flat, ret_error);
    if (r == 0)
        r = nestvirt_vm_build(vm, ret_error);
    return r < 0 ? r : nestvirt_vm_start(vm, ret_error);
}

int crowd_add(struct crowd *crowd, struct nestvirt_error **ret_error)
{
    struct nestvirt_vm_config config;
    struct nestvirt_vm *vm;
    int r;

    if (crowd->count == CROWD_MAX)
        return -E2BIG;
    nestvirt_vm_config_init(&config, sizeof(config));
    config.memory_size = crowd->memory;
    r = nestvirt_vm_new(crowd->host, &config, &vm, ret_error);
    if (r < 0)
        return r;
    r = set_up(crowd, vm, ret_error);
    if (r < 0)
        nestvirt_vm_free(vm);
    else
        crowd->vms[crowd->count++] = vm;
    return r;
}

uint32_t crowd_progress(const struct crowd *crowd, uint32_t number)
{
    uint32_t value = 0;

    nestvirt_memory_read(crowd->vms[number], CROWD_COUNTER, &value, sizeof(value), NULL);
    return value;
}

bool crowd_has_run(const struct crowd *crowd, uint32_t number)
{
    for (int i = 0; i < RUN_TRIES && crowd_progress(crowd, number) == 0; i++)
        usleep(RUN_US);
    return crowd_progress(crowd, number) != 0;
}

uint32_t crowd_find_bad(const struct crowd *crowd)
{
    uint32_t i = 0;

    while (i < crowd->count && crowd_has_run(crowd, i) &&
           nestvirt_vm_get_state(crowd->vms[i]) == NESTVIRT_STATE_RUNNING)
        i++;
    return i;
}

void crowd_remove(struct crowd *crowd)
{
    nestvirt_vm_free(crowd->vms[--crowd->count]);
}

/* All are told to stop before the first is waited for: busy ones stop when it is their turn. */
void crowd_free(struct crowd *crowd)
{
    for (uint32_t i = 0; i < crowd->count; i++)
        nestvirt_vm_stop(crowd->vms[i], 0, NULL);
    while (crowd->count > 0)
        crowd_remove(crowd);
    close(crowd->image);
    free(crowd);
}

int crowd_run_child(int (*fn)(void *user_data), void *user_data)
{
    int status = -1;
    pid_t child;

    fflush(NULL);
    child = fork();
    if (child == 0) {
        int r = fn(user_data);

        fflush(NULL);
        _exit(r);
    }
    while (child > 0 && waitpid(child, &status, 0) < 0 && errno == EINTR)
        ;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
