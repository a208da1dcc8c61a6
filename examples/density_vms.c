/* SPDX-License-Identifier: Apache-2.0 */
/* The VMs of 10_density. */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common.h"
#include "density.h"

/* density_guest.S */
extern const uint8_t density_idle[], density_idle_end[];
extern const uint8_t density_busy[], density_busy_end[];

enum { COUNTER = 0xff0, IDLE_BASE = 0x1000, BUSY_BASE = 0x10000, PAGE = 4096 };

static int idle_image;
static int busy_image;

/* A file in memory. */
static int make_image(const uint8_t *start, const uint8_t *end)
{
    int fd = memfd_create("guest", MFD_CLOEXEC);

    if (fd < 0 || ftruncate(fd, PAGE) < 0 ||
        write(fd, start, (size_t)(end - start)) != (ssize_t)(end - start)) {
        perror("memfd");
        exit(1);
    }
    return fd;
}

static int add_memory(struct nestvirt_vm *vm, const struct options *options,
                      struct nestvirt_error **error)
{
    struct nestvirt_memory_config config;

    nestvirt_memory_config_init(&config, sizeof(config));
    config.flags = NESTVIRT_MEMORY_DEFAULT_LAYOUT;
    if (options->is_mergeable)
        config.flags |= NESTVIRT_MEMORY_MERGEABLE;
    config.length = options->memory;
    return nestvirt_memory_add(vm, &config, error);
}

/* This program hurries, for it is one thread among thousands; its guests do not. */
static int calm_down(struct nestvirt_vm *vm, struct nestvirt_error **error)
{
    struct nestvirt_thread_config config;

    nestvirt_thread_config_init(&config, sizeof(config));
    config.flags = NESTVIRT_THREAD_SET_NICE;
    return nestvirt_thread_set(vm, NESTVIRT_THREAD_VCPU, NESTVIRT_THREAD_EVERY, &config, error);
}

/* A VM up to its build, but for what a clone gets again. */
static int configure(struct nestvirt_vm *vm, const struct options *options, bool is_busy,
                     struct nestvirt_error **error)
{
    struct nestvirt_flat_config flat;
    int r = add_memory(vm, options, error);

    nestvirt_flat_config_init(&flat, sizeof(flat));
    flat.address = flat.entry = is_busy ? BUSY_BASE : IDLE_BASE;
    flat.mode = is_busy ? NESTVIRT_MODE_LONG : NESTVIRT_MODE_REAL;
    if (r >= 0 && options->has_loop)
        r = nestvirt_device_add(vm, "rng", NULL, error);
    return r < 0 ? r
                 : nestvirt_boot_set_flat_fd(vm, is_busy ? busy_image : idle_image, &flat, error);
}

/* A VM that was built and has not started: its clones run from the first instruction. */
static void make_template(struct fleet *fleet, const struct options *options, bool is_busy)
{
    struct nestvirt_error *error = NULL;
    struct nestvirt_vm *vm;

    TRY(nestvirt_vm_new(fleet->host, NULL, &vm, &error));
    TRY(configure(vm, options, is_busy, &error));
    if (fleet->loop)
        TRY(nestvirt_vm_set_loop(vm, fleet->loop, &error));
    TRY(nestvirt_vm_build(vm, &error));
    TRY(nestvirt_template_new(vm, NESTVIRT_TEMPLATE_CONSUME, &fleet->templates[is_busy], &error));
    nestvirt_vm_free(vm);
}

void fleet_open(struct fleet *fleet, const struct options *options)
{
    struct nestvirt_error *error = NULL;

    memset(fleet, 0, sizeof(*fleet));
    TRY(nestvirt_host_open(NULL, &fleet->host, &error));
    if (options->has_loop)
        TRY(nestvirt_loop_new(&fleet->loop, &error));
    idle_image = make_image(density_idle, density_idle_end);
    busy_image = make_image(density_busy, density_busy_end);
    for (int i = 0; options->has_template && i < 2; i++)
        make_template(fleet, options, i);
}

/* In state new: a clone, or a VM of its own. */
static int make_vm(struct fleet *fleet, const struct options *options, bool is_busy,
                   struct nestvirt_vm **ret_vm, struct nestvirt_error **error)
{
    struct nestvirt_clone_config clone;
    struct nestvirt_vm_config config;
    char name[32];
    int r;

    snprintf(name, sizeof(name), "vm%u", fleet->count);
    if (options->has_template) {
        nestvirt_clone_config_init(&clone, sizeof(clone));
        clone.name = name;
        return nestvirt_clone_new(fleet->templates[is_busy], &clone, ret_vm, error);
    }
    nestvirt_vm_config_init(&config, sizeof(config));
    config.name = name;
    r = nestvirt_vm_new(fleet->host, &config, ret_vm, error);
    if (r < 0)
        return r;
    r = configure(*ret_vm, options, is_busy, error);
    if (r < 0)
        nestvirt_vm_free(*ret_vm);
    return r;
}

static int start(const struct fleet *fleet, struct nestvirt_vm *vm, const struct options *options,
                 struct nestvirt_error **error)
{
    int r = 0;

    if (fleet->loop)
        r = nestvirt_vm_set_loop(vm, fleet->loop, error);
    if (r >= 0 && options->busy > 0)
        r = calm_down(vm, error);
    if (r >= 0)
        r = nestvirt_vm_build(vm, error);
    if (r >= 0)
        r = queue_add(vm, error);
    return r < 0 ? r : nestvirt_vm_start(vm, error);
}

static bool make_room(struct fleet *fleet)
{
    uint32_t room = fleet->room ? fleet->room * 2 : 256;
    void *vms;
    void *times;

    if (fleet->count < fleet->room)
        return true;
    vms = realloc(fleet->vms, room * sizeof(*fleet->vms));
    fleet->vms = vms ? vms : fleet->vms;
    times = realloc(fleet->create_ns, room * sizeof(*fleet->create_ns));
    fleet->create_ns = times ? times : fleet->create_ns;
    if (vms && times)
        fleet->room = room;
    return vms && times;
}

int fleet_add(struct fleet *fleet, const struct options *options, struct nestvirt_error **error)
{
    /* Spread evenly: after any number of VMs so many percent are busy. */
    const bool is_busy = (fleet->count + 1) * options->busy / 100 > fleet->busy;
    const uint64_t start_ns = now_ns();
    struct nestvirt_vm *vm;
    int r;

    if (!make_room(fleet))
        return -12;
    r = make_vm(fleet, options, is_busy, &vm, error);
    if (r < 0)
        return r;
    r = start(fleet, vm, options, error);
    if (r < 0) {
        nestvirt_vm_free(vm);
        return r;
    }
    fleet->vms[fleet->count] = vm;
    fleet->create_ns[fleet->count++] = now_ns() - start_ns;
    fleet->busy += is_busy;
    return 0;
}

uint32_t fleet_count_ran(const struct fleet *fleet)
{
    uint32_t ran = 0;

    for (uint32_t i = 0; i < fleet->count; i++) {
        uint32_t counter = 0;

        nestvirt_memory_read(fleet->vms[i], IDLE_BASE + COUNTER, &counter, sizeof(counter), NULL);
        if (counter == 0)
            nestvirt_memory_read(fleet->vms[i], BUSY_BASE + COUNTER, &counter, sizeof(counter),
                                 NULL);
        ran += counter != 0;
    }
    return ran;
}

/* All are told first, so that those that spin come out together, each when it has a CPU. */
void fleet_close(struct fleet *fleet)
{
    for (uint32_t i = 0; i < fleet->count; i++)
        nestvirt_vm_stop(fleet->vms[i], 0, NULL);
    while (fleet->count > 0)
        nestvirt_vm_free(fleet->vms[--fleet->count]);
    nestvirt_template_free(fleet->templates[0]);
    nestvirt_template_free(fleet->templates[1]);
    nestvirt_loop_free(fleet->loop);
    nestvirt_host_free(fleet->host);
    free(fleet->vms);
    free(fleet->create_ns);
    close(idle_image);
    close(busy_image);
}
