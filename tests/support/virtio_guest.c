/* SPDX-License-Identifier: Apache-2.0 */
/* Owns a virtio device on plain memory, without KVM: its surroundings, life and register accesses.
 */
#include "virtio_guest.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>

#include "core/cleanup.h"
#include "core/error.h"
#include "core/util.h"
#include "host/file.h"

static void on_log(void *user_data, uint32_t level, const char *text)
{
    struct virtio_guest *guest = user_data;

    NV_GUARD(&guest->lock);
    guest->log_lines++;
    snprintf(guest->log_text, sizeof(guest->log_text), "%s", text);
}

static void on_device_event(void *owner, const struct nestvirt_device *device, uint32_t kind,
                            uint64_t value)
{
    struct virtio_guest *guest = owner;

    NV_GUARD(&guest->lock);
    if (guest->event_count < GUEST_EVENTS_MAX) {
        guest->events[guest->event_count].kind = kind;
        guest->events[guest->event_count].value = value;
    }
    guest->event_count++;
}

static void on_device_pause(void *owner)
{
    struct virtio_guest *guest = owner;

    NV_GUARD(&guest->lock);
    guest->pause_count++;
}

/* Keeps the text of an error and frees it. */
static int keep(struct virtio_guest *guest, int r, struct nestvirt_error *error)
{
    if (r < 0)
        snprintf(guest->error, sizeof(guest->error), "%s", nv_error_get_message(error));
    nv_error_free(error);
    return r;
}

static int add_memory(struct virtio_guest *guest)
{
    static const struct {
        uint64_t address;
        uint64_t length;
    } regions[] = {
        { 0, GUEST_SPAN },
        { GUEST_SPAN, GUEST_SPAN_SIZE },
        { GUEST_ISLAND, GUEST_ISLAND_SIZE },
    };

    nv_memory_init(&guest->memory);
    for (size_t i = 0; i < NV_ARRAY_SIZE(regions); i++) {
        const struct nestvirt_memory_config config = { .size = sizeof(config),
                                                       .address = regions[i].address,
                                                       .length = regions[i].length };
        struct nestvirt_error *error = NULL;
        int r = nv_memory_add(&guest->memory, &config, &error);

        if (r < 0)
            return keep(guest, r, error);
    }
    guest->low = nv_memory_at(&guest->memory, nv_gpa_at(0), GUEST_SPAN);
    return 0;
}

int guest_new(struct virtio_guest *guest, const char *kind, uint32_t flags)
{
    return guest_new_class(guest, nv_device_find_class(kind), flags);
}

int guest_new_class(struct virtio_guest *guest, const struct nv_device_class *class, uint32_t flags)
{
    struct nestvirt_error *error = NULL;
    int r;

    memset(guest, 0, sizeof(*guest));
    pthread_mutex_init(&guest->lock, NULL);
    nv_irq_init(&guest->irq, NESTVIRT_CHIP_SPLIT);
    r = add_memory(guest);
    if (r < 0)
        return r;
    if (!class || !class->virtio)
        return -ENOENT;
    if (flags & GUEST_LOOP)
        r = nv_loop_new(&guest->loop, &error);
    if (r >= 0)
        r = nv_device_new(class, 0, guest, &guest->device, &error);
    if (r < 0)
        return keep(guest, r, error);
    guest->log = (struct nv_log){ .level = NESTVIRT_LOG_DEBUG, .fn = on_log, .user_data = guest };
    guest->env = (struct nv_device_env){
        .memory = &guest->memory,
        .upward = { .owner = guest, .event = on_device_event, .pause = on_device_pause },
        .bus = &guest->bus,
        .irq = &guest->irq,
        .loop = guest->loop,
        .log = &guest->log,
        .vm_name = "test",
    };
    guest->virtio = guest->device->state;
    guest->ring_size = GUEST_RING_SIZE;
    guest->heap = guest->dirty_end = GUEST_RINGS;
    return 0;
}

static int set(struct virtio_guest *guest, const char *name, uint32_t type, uint64_t number,
               const char *text)
{
    struct nestvirt_error *error = NULL;
    int r = nv_device_set(guest->device, name, type, !guest->is_wired, number, text, &error);

    return keep(guest, r, error);
}

int guest_set_u64(struct virtio_guest *guest, const char *name, uint64_t value)
{
    return set(guest, name, NESTVIRT_PROPERTY_U64, value, NULL);
}

int guest_set_string(struct virtio_guest *guest, const char *name, const char *text)
{
    return set(guest, name, NESTVIRT_PROPERTY_STRING, 0, text);
}

int guest_set_fd(struct virtio_guest *guest, const char *name, int fd)
{
    return set(guest, name, NESTVIRT_PROPERTY_FD, (uint64_t)fd, NULL);
}

uint64_t guest_get_u64(struct virtio_guest *guest, const char *name)
{
    struct nestvirt_error *error = NULL;
    uint64_t value = 0;
    int r = nv_device_get(guest->device, name, &value, &error);

    return keep(guest, r, error) < 0 ? UINT64_MAX : value;
}

int guest_claim(struct virtio_guest *guest)
{
    struct nestvirt_error *error = NULL;
    int r = nv_device_claim(guest->device, &guest->env, &error);

    return keep(guest, r, error);
}

int guest_wire(struct virtio_guest *guest)
{
    struct nestvirt_error *error = NULL;
    int r = guest_claim(guest);

    if (r >= 0) {
        r = nv_device_wire(guest->device, &guest->env, &error);
        keep(guest, r, error);
    }
    if (r < 0)
        guest_unbuild(guest);
    else
        guest->is_wired = true;
    return r < 0 ? r : 0;
}

void guest_unbuild(struct virtio_guest *guest)
{
    nv_device_unbuild(guest->device);
    nv_bus_remove_internal(&guest->bus);
    nv_irq_release_internal(&guest->irq);
    guest->is_wired = false;
}

void guest_start(struct virtio_guest *guest)
{
    guest_interrupts(guest);
    guest->interrupt_count = 0;
    nv_device_start(guest->device);
}

void guest_stop(struct virtio_guest *guest)
{
    nv_device_stop(guest->device, nv_now_ns() + NV_STREAM_STOP_NS);
}

void guest_pause(struct virtio_guest *guest)
{
    nv_device_pause(guest->device);
}

void guest_resume(struct virtio_guest *guest)
{
    nv_device_resume(guest->device);
}

void guest_free(struct virtio_guest *guest)
{
    if (guest->device)
        guest_unbuild(guest);
    nv_device_free(guest->device);
    nv_loop_unref(guest->loop);
    nv_bus_destroy(&guest->bus);
    nv_irq_destroy(&guest->irq);
    nv_memory_destroy(&guest->memory, true);
    pthread_mutex_destroy(&guest->lock);
    guest->device = NULL;
    guest->loop = NULL;
}

int32_t guest_access_once(struct virtio_guest *guest, uint64_t offset, uint32_t length,
                          bool is_write, void *data)
{
    const uint64_t address = guest->virtio->window + offset;
    const struct nv_range *range = nv_bus_find(&guest->bus.mmio, address, length);
    struct nestvirt_access access = {
        .size = sizeof(access),
        .space = NESTVIRT_SPACE_MMIO,
        .address = address,
        .length = length,
        .is_write = is_write,
    };
    int32_t action;

    if (!range) {
        if (!is_write)
            memset(data, 0xff, length);
        return NESTVIRT_ACTION_DEFAULT;
    }
    access.offset = address - range->address;
    if (is_write)
        memcpy(access.data, data, length);
    action = range->fn(range->user_data, &access);
    if (!is_write)
        memcpy(data, access.data, length);
    return action;
}

void guest_access(struct virtio_guest *guest, uint64_t offset, uint32_t length, bool is_write,
                  void *data)
{
    while (guest_access_once(guest, offset, length, is_write, data) == NV_ACTION_AGAIN)
        ;
}

uint32_t guest_read32(struct virtio_guest *guest, uint64_t offset)
{
    uint8_t data[4];

    guest_access(guest, offset, sizeof(data), false, data);
    return nv_get_le32(data);
}

void guest_write32(struct virtio_guest *guest, uint64_t offset, uint32_t value)
{
    uint8_t data[4];

    nv_put_le32(data, value);
    guest_access(guest, offset, sizeof(data), true, data);
}

uint64_t guest_config(struct virtio_guest *guest, uint32_t offset, uint32_t length)
{
    uint8_t data[8] = { 0 };

    if (length == 8)
        return guest_config(guest, offset, 4) | guest_config(guest, offset + 4, 4) << 32;
    guest_access(guest, NV_VIRTIO_REG_CONFIG + offset, length, false, data);
    return nv_get_le64(data);
}

void guest_set_config(struct virtio_guest *guest, uint32_t offset, uint32_t length, uint64_t value)
{
    uint8_t data[8];

    nv_put_le64(data, value);
    if (length == 8) {
        guest_access(guest, NV_VIRTIO_REG_CONFIG + offset, 4, true, data);
        guest_access(guest, NV_VIRTIO_REG_CONFIG + offset + 4, 4, true, data + 4);
    } else {
        guest_access(guest, NV_VIRTIO_REG_CONFIG + offset, length, true, data);
    }
}

unsigned guest_log_lines(struct virtio_guest *guest)
{
    NV_GUARD(&guest->lock);
    return guest->log_lines;
}

unsigned guest_events(struct virtio_guest *guest)
{
    NV_GUARD(&guest->lock);
    return guest->event_count;
}

unsigned guest_pauses(struct virtio_guest *guest)
{
    NV_GUARD(&guest->lock);
    return guest->pause_count;
}

uint64_t guest_interrupts(struct virtio_guest *guest)
{
    eventfd_t value;

    if (guest->is_wired && eventfd_read(guest->virtio->irq_fd, &value) == 0)
        guest->interrupt_count += value;
    return guest->interrupt_count;
}
