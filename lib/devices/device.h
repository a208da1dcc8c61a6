/* SPDX-License-Identifier: Apache-2.0 */
/* Owns what a device model is: its class, properties, life, and what it tells the boot tables. */
#ifndef NV_DEVICES_DEVICE_H
#define NV_DEVICES_DEVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <nestvirt/device.h>

#include "bus/bus.h"
#include "bus/irq.h"
#include "core/log.h"
#include "core/record.h"
#include "host/errand.h"
#include "host/loop.h"
#include "vcpu/vcpu.h"
#include "virtio/virtio.h"

/* A property row. The value lives in the device's state at offset: uint64_t, int (fd) or char *. */
struct nv_property {
    const char *name;
    uint32_t type;  /* NESTVIRT_PROPERTY_* */
    uint32_t flags; /* NESTVIRT_PROPERTY_LIVE, _READ_ONLY, _IDENTITY */
    size_t offset;
    uint64_t initial;
    uint64_t min;
    uint64_t max;
    const char *help;
};

struct nestvirt_device;

/* The row of a counter: STATE is the type of the device's state, MEMBER its uint64_t in there. */
#define NV_COUNTER_ROW(STATE, NAME, MEMBER, HELP)                            \
    {                                                                        \
        .name = (NAME), .type = NESTVIRT_PROPERTY_U64,                       \
        .flags = NESTVIRT_PROPERTY_READ_ONLY | NESTVIRT_PROPERTY_LIVE,       \
        .offset = offsetof(STATE, MEMBER), .max = UINT64_MAX, .help = (HELP) \
    }

/* What a device tells the room above. Called without a lock of the device, on any thread. */
struct nv_device_owner {
    void *owner;
    void (*event)(void *owner, const struct nestvirt_device *device, uint32_t kind, uint64_t value);
    void (*pause)(void *owner); /* pause the VM soon, as nestvirt_vm_pause() would */
};

/* What a device is wired to; given to build. */
struct nv_device_env {
    const struct nv_memory *memory;
    struct nv_device_owner upward;
    struct nv_bus *bus;
    struct nv_irq *irq;
    struct nv_group *group;
    struct nestvirt_loop *loop; /* NULL unless some device of the VM needs one */
    const struct nv_log *log;
    const char *vm_name;
    bool is_fresh_clone; /* its template had never run: nothing is loaded, whenever it is built */
};

/* What the boot tables have to say about a device. */
struct nv_device_place {
    bool is_serial;
    bool is_power; /* ACPI ports at NV_PORT_ACPI and the i8042 reset line */
    bool is_virtio;
    bool is_generation; /* the ID is at NV_LAYOUT_GENERATION */
    uint64_t window;    /* of a virtio device */
    uint16_t port;
    uint8_t pin;
};

/*
 * A kind of device: one of these in one file, and one row in lib/devices/meson.build. Optional ops
 * are NULL. The state of a virtio device begins with its struct nv_virtio, which is claimed before
 * and wired after the device, quiesced before and given back after its unbuild.
 */
struct nv_device_class {
    const struct nv_virtio_class *virtio; /* NULL: not a virtio device */
    const char *name;
    const char *help;
    size_t state_size;
    bool needs_loop;
    const struct nv_property *properties;
    size_t property_count;
    /*
     * Claims ranges and pins, and nothing that costs or waits; the state is zero but for the
     * properties. Undone by unbuild, also after a failure.
     */
    int (*claim)(struct nestvirt_device *device, const struct nv_device_env *env,
                 struct nestvirt_error **ret_error);
    /* Then opens what the device needs. Undone by unbuild, also after a failure. */
    int (*wire)(struct nestvirt_device *device, const struct nv_device_env *env,
                struct nestvirt_error **ret_error);
    /* Back to the state before claim. */
    void (*unbuild)(struct nestvirt_device *device);
    /* The device is freed, after unbuild; what only this kind has in its state goes too. */
    void (*destroy)(struct nestvirt_device *device);
    /* The guest starts: from reset state, interrupts may be sent from now on. */
    void (*start)(struct nestvirt_device *device);
    /*
     * All vCPUs have parked for good: bring out what is under way. Waits for files alone, and until
     * the deadline (CLOCK_MONOTONIC), which is one for all devices of the VM: the group is locked.
     */
    void (*stop)(struct nestvirt_device *device, uint64_t deadline_ns);
    /* All vCPUs have parked for a while; they go on. Must not wait. */
    void (*pause)(struct nestvirt_device *device);
    void (*resume)(struct nestvirt_device *device);
    /*
     * While the VM is paused: waits until nothing of the device's writes guest memory (CLOCK_
     * MONOTONIC deadline); writes what only this kind has to remember, beyond its virtio part. load
     * reads it after wire and that part; the device then goes on with resume. Requests in flight
     * are left to the queue, which gives them once more. -ENOTSUP from save: it cannot be saved.
     */
    int (*settle)(struct nestvirt_device *device, uint64_t deadline_ns,
                  struct nestvirt_error **ret_error);
    int (*save)(struct nestvirt_device *device, struct nv_writer *writer,
                struct nestvirt_error **ret_error);
    int (*load)(struct nestvirt_device *device, struct nv_reader *reader,
                struct nestvirt_error **ret_error);
    /* A live property was set after wire; if the device refuses, the old value is put back. */
    int (*changed)(struct nestvirt_device *device, const struct nv_property *row,
                   struct nestvirt_error **ret_error);
    /* Sends threads of the device's own on an errand, between wire and start. */
    void (*send)(struct nestvirt_device *device, nv_errand_fn *fn, void *user_data,
                 struct nv_errand_result *result);
    void (*describe)(const struct nestvirt_device *device, struct nv_device_place *place);
    /* Thread number index of those that are the device's own; false behind the last. */
    bool (*thread_at)(const struct nestvirt_device *device, uint32_t index, pthread_t *ret_thread);
    /* The VM generation ID that the guest finds: 0, or -EBUSY before the first build. */
    int (*get_generation)(struct nestvirt_device *device, uint8_t ret_id[16],
                          struct nestvirt_error **ret_error);
    /* Asks the guest to shut down; -ENOTSUP with the reason. */
    int (*request_stop)(struct nestvirt_device *device, struct nestvirt_error **ret_error);
};

struct nestvirt_device {
    uint32_t tag;
    uint32_t number; /* among the VM's devices */
    const struct nv_device_class *class;
    void *owner; /* the VM */
    bool is_built;
    pthread_mutex_t live_lock; /* is_live, calls of wire and changed, setting a number */
    bool is_live;              /* wired */
    void *state;               /* class->state_size bytes */
};

/* Generated from lib/devices/meson.build; ends with NULL. */
extern const struct nv_device_class *const nv_device_classes[];

const struct nv_device_class *nv_device_find_class(const char *name);

/* Makes a device with its properties at their defaults. */
int nv_device_new(const struct nv_device_class *class, uint32_t number, void *owner,
                  struct nestvirt_device **ret_device, struct nestvirt_error **ret_error);

/* Unbuilds and frees; closes property descriptors. NULL is allowed. */
void nv_device_free(struct nestvirt_device *device);

/* The two halves of building; a failure is prefixed with the device's name. */
int nv_device_claim(struct nestvirt_device *device, const struct nv_device_env *env,
                    struct nestvirt_error **ret_error);
int nv_device_wire(struct nestvirt_device *device, const struct nv_device_env *env,
                   struct nestvirt_error **ret_error);
void nv_device_unbuild(struct nestvirt_device *device);

/* The guest starts, ends, is paused, goes on; errands; and what to tell the boot tables. */
void nv_device_start(struct nestvirt_device *device);
void nv_device_stop(struct nestvirt_device *device, uint64_t deadline_ns);
void nv_device_pause(struct nestvirt_device *device);
void nv_device_resume(struct nestvirt_device *device);
void nv_device_send(struct nestvirt_device *device, nv_errand_fn *fn, void *user_data,
                    struct nv_errand_result *result);
void nv_device_describe(const struct nestvirt_device *device, struct nv_device_place *place);
bool nv_device_needs_loop(const struct nestvirt_device *device);

/*
 * Saved state (state.c): the kind and properties without what is one VM's own; and how the device
 * stands. Devices are made anew from the first, and put back to the second after wire.
 */
void nv_device_save_config(const struct nestvirt_device *device, struct nv_writer *writer);
int nv_device_load_config(struct nv_reader *reader, uint32_t number, void *owner,
                          struct nestvirt_device **ret_device, struct nestvirt_error **ret_error);
int nv_device_settle(struct nestvirt_device *device, uint64_t deadline_ns,
                     struct nestvirt_error **ret_error);
int nv_device_save(struct nestvirt_device *device, struct nv_writer *writer,
                   struct nestvirt_error **ret_error);
int nv_device_load(struct nestvirt_device *device, struct nv_reader *reader,
                   struct nestvirt_error **ret_error);

/* Passes over the record that nv_device_load() reads. NESTVIRT_E_BAD_STATE if it is not there. */
int nv_device_pass(const struct nestvirt_device *device, struct nv_reader *reader,
                   struct nestvirt_error **ret_error);

/* Thread number index (from 0) of a device that is wired; false behind the last. */
bool nv_device_thread_at(const struct nestvirt_device *device, uint32_t index,
                         pthread_t *ret_thread);

/* Property access by name; is_new: the VM is in state new. Errors: device.h (public). */
/* The row of a property by its name, NULL if the kind has none such. */
const struct nv_property *nv_device_find_property(const struct nestvirt_device *device,
                                                  const char *name);

int nv_device_set(struct nestvirt_device *device, const char *name, uint32_t type, bool is_new,
                  uint64_t number, const char *text, struct nestvirt_error **ret_error);
int nv_device_get(struct nestvirt_device *device, const char *name, uint64_t *ret_value,
                  struct nestvirt_error **ret_error);

/* "device 1 (serial)", for errors. */
struct nv_text nv_device_name(const struct nestvirt_device *device);

/* Claims an internal port range for a device. */
int nv_device_claim_port(const struct nv_device_env *env, uint64_t port, uint64_t length,
                         int32_t (*fn)(void *user_data, struct nestvirt_access *access),
                         void *user_data, struct nestvirt_error **ret_error);

#endif
