/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the VM generation ID: 16 random bytes in guest memory that are others in each clone, and
 * the interrupt that tells ACPI guests so.
 */
#include <errno.h>
#include <string.h>
#include <sys/random.h>

#include "core/util.h"
#include "devices/device.h"
#include "memory/layout.h"

enum { ID_SIZE = 16 };

struct vmgenid_state {
    const struct nv_memory *memory;
    struct nv_irq *irq;
    uint8_t pin;
    bool has_pin;
    bool has_id;
    bool is_new; /* the guest knew another one */
    uint8_t id[ID_SIZE];
    uint64_t made; /* property */
};

static const struct nv_property vmgenid_properties[] = {
    NV_COUNTER_ROW(struct vmgenid_state, "made", made,
                   "generation IDs made: one, and one for each time it goes back to its template"),
};

static int make_id(struct vmgenid_state *s, struct nestvirt_error **ret_error)
{
    if (getrandom(s->id, sizeof(s->id), GRND_NONBLOCK) != (ssize_t)sizeof(s->id))
        return nv_fail(ret_error, -EAGAIN, "generation ID", "try again",
                       "the host has no random numbers yet");
    s->has_id = true;
    nv_count(&s->made, 1);
    return 0;
}

static int put_id(const struct vmgenid_state *s, struct nestvirt_error **ret_error)
{
    if (nv_memory_write(s->memory, nv_gpa_at(NV_LAYOUT_GENERATION), s->id, sizeof(s->id)) == 0)
        return 0;
    return nv_fail(ret_error, -EFAULT, "generation ID", "give the VM memory below 1 MiB",
                   "there is no memory at 0x%llx", (unsigned long long)NV_LAYOUT_GENERATION);
}

static int vmgenid_claim(struct nestvirt_device *device, const struct nv_device_env *env,
                         struct nestvirt_error **ret_error)
{
    struct vmgenid_state *s = device->state;
    int r;

    s->memory = env->memory;
    s->irq = env->irq;
    if (!nv_memory_covers(s->memory, nv_gpa_at(NV_LAYOUT_GENERATION), ID_SIZE))
        return put_id(s, ret_error);
    if (env->irq->chip == NESTVIRT_CHIP_NONE)
        return 0;
    r = nv_irq_claim(env->irq, NESTVIRT_IRQ_ANY, 0, true, ret_error);
    if (r < 0)
        return r;
    s->pin = (uint8_t)r;
    s->has_pin = true;
    return 0;
}

/*
 * A VM that starts again is the same one: it keeps its ID. A clone goes back to its template, and
 * where that had never run there is no load to make another.
 */
static int vmgenid_wire(struct nestvirt_device *device, const struct nv_device_env *env,
                        struct nestvirt_error **ret_error)
{
    struct vmgenid_state *s = device->state;
    int r = s->has_id && !env->is_fresh_clone ? 0 : make_id(s, ret_error);

    return r < 0 ? r : put_id(s, ret_error);
}

static void vmgenid_unbuild(struct nestvirt_device *device)
{
    struct vmgenid_state *s = device->state;

    s->has_pin = s->is_new = false;
}

static int vmgenid_save(struct nestvirt_device *device, struct nv_writer *writer,
                        struct nestvirt_error **ret_error)
{
    struct vmgenid_state *s = device->state;

    nv_write_u8(writer, s->has_pin ? s->pin : UINT8_MAX);
    return 0;
}

/* Once more from the same state: nothing that is to be random may come out the same again. */
static int vmgenid_load(struct nestvirt_device *device, struct nv_reader *reader,
                        struct nestvirt_error **ret_error)
{
    struct vmgenid_state *s = device->state;
    int r;

    if (nv_read_u8(reader) != (s->has_pin ? s->pin : UINT8_MAX))
        return nv_fail(ret_error, -EINVAL, "generation ID",
                       "claim the same pins with nestvirt_irq_add as in the template",
                       "has another interrupt pin than in the template");
    r = make_id(s, ret_error);
    if (r == 0)
        r = put_id(s, ret_error);
    s->is_new = r == 0;
    return r;
}

static void vmgenid_resume(struct nestvirt_device *device)
{
    struct vmgenid_state *s = device->state;

    if (s->is_new && s->has_pin)
        nv_irq_pulse(s->irq, s->pin);
    s->is_new = false;
}

static void vmgenid_describe(const struct nestvirt_device *device, struct nv_device_place *place)
{
    const struct vmgenid_state *s = device->state;

    place->is_generation = s->has_pin;
    place->pin = s->pin;
}

static int vmgenid_get(struct nestvirt_device *device, uint8_t ret_id[ID_SIZE],
                       struct nestvirt_error **ret_error)
{
    const struct vmgenid_state *s = device->state;

    if (!s->has_id)
        return nv_fail(ret_error, -EBUSY, "generation ID", "build the VM first",
                       "has not been made yet");
    memcpy(ret_id, s->id, sizeof(s->id));
    return 0;
}

const struct nv_device_class nv_device_vmgenid = {
    .name = "vmgenid",
    .help = "VM generation ID: tells the guest that it was cloned, so that it makes new random "
            "numbers",
    .state_size = sizeof(struct vmgenid_state),
    .properties = vmgenid_properties,
    .property_count = NV_ARRAY_SIZE(vmgenid_properties),
    .claim = vmgenid_claim,
    .wire = vmgenid_wire,
    .unbuild = vmgenid_unbuild,
    .resume = vmgenid_resume,
    .save = vmgenid_save,
    .load = vmgenid_load,
    .describe = vmgenid_describe,
    .get_generation = vmgenid_get,
};
