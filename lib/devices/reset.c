/* SPDX-License-Identifier: Apache-2.0 */
/* Owns reset and power: the i8042 reset line, ACPI's reset, sleep and event registers. */
#include <errno.h>

#include "core/util.h"
#include "devices/device.h"
#include "memory/layout.h"

/* Offsets from NV_PORT_ACPI (ACPI 6.4, 4.8.3.6 and 4.8.3.7; the event status is ours). */
enum { SLEEP_CONTROL = 0, SLEEP_STATUS = 1, RESET = 2, EVENT_STATUS = 4, ACPI_PORTS = 5 };
enum { SLEEP_ENABLE = 1 << 5, SLEEP_TYPE_SHIFT = 2, SLEEP_TYPE_MASK = 7, SLEEP_TYPE_S5 = 5 };
enum { RESET_VALUE = 1 };
enum { EVENT_POWER_BUTTON = 1 << 0 };

/* Commands 0xf0 to 0xff pulse the controller's output lines; bit 0 clear means the reset line. */
enum { I8042_PULSE = 0xf0, I8042_NO_RESET = 1 };

struct reset_state {
    uint64_t wants_i8042;
    struct nv_group *group;
    struct nv_irq *irq;
    uint8_t pin;
    bool has_pin;
    uint8_t events; /* pending; atomic */
};

static const struct nv_property reset_properties[] = {
    { .name = "i8042",
      .type = NESTVIRT_PROPERTY_BOOL,
      .offset = offsetof(struct reset_state, wants_i8042),
      .initial = 1,
      .max = 1,
      .help = "1: also the keyboard controller's reset line at port 0x64 (reboot=k)" },
};

static int32_t i8042_access(void *user_data, struct nestvirt_access *access)
{
    struct reset_state *state = user_data;
    uint8_t command = access->data[0];

    /* Reading gives status 0: nothing to read, ready for a command. */
    if (access->is_write && command >= I8042_PULSE && !(command & I8042_NO_RESET))
        nv_group_end_reason(state->group, NESTVIRT_RESULT_GUEST_RESET, access->vcpu);
    return NESTVIRT_ACTION_RESUME;
}

static void write_acpi(struct reset_state *state, uint64_t offset, uint8_t value, uint32_t vcpu)
{
    if (offset == RESET && value == RESET_VALUE)
        nv_group_end_reason(state->group, NESTVIRT_RESULT_GUEST_RESET, vcpu);
    if (offset == SLEEP_CONTROL && (value & SLEEP_ENABLE) &&
        (value >> SLEEP_TYPE_SHIFT & SLEEP_TYPE_MASK) == SLEEP_TYPE_S5)
        nv_group_end_reason(state->group, NESTVIRT_RESULT_GUEST_SHUTDOWN, vcpu);
}

static int32_t acpi_access(void *user_data, struct nestvirt_access *access)
{
    struct reset_state *state = user_data;

    if (access->is_write) {
        write_acpi(state, access->offset, access->data[0], access->vcpu);
    } else if (access->offset == EVENT_STATUS) {
        access->data[0] = __atomic_exchange_n(&state->events, 0, __ATOMIC_SEQ_CST);
    }
    return NESTVIRT_ACTION_RESUME;
}

static int reset_claim(struct nestvirt_device *device, const struct nv_device_env *env,
                       struct nestvirt_error **ret_error)
{
    struct reset_state *state = device->state;
    int r;

    state->group = env->group;
    state->irq = env->irq;
    r = nv_device_claim_port(env, NV_PORT_ACPI, ACPI_PORTS, acpi_access, state, ret_error);
    if (r == 0 && state->wants_i8042)
        r = nv_device_claim_port(env, NV_PORT_I8042, 1, i8042_access, state, ret_error);
    if (r < 0 || env->irq->chip == NESTVIRT_CHIP_NONE)
        return r;
    r = nv_irq_claim(env->irq, NESTVIRT_IRQ_ANY, 0, true, ret_error);
    if (r < 0)
        return r;
    state->pin = (uint8_t)r;
    state->has_pin = true;
    return 0;
}

static void reset_unbuild(struct nestvirt_device *device)
{
    struct reset_state *state = device->state;

    state->has_pin = false;
}

static void reset_start(struct nestvirt_device *device)
{
    struct reset_state *state = device->state;

    state->events = 0;
}

static int reset_save(struct nestvirt_device *device, struct nv_writer *writer,
                      struct nestvirt_error **ret_error)
{
    struct reset_state *state = device->state;

    nv_write_u8(writer, __atomic_load_n(&state->events, __ATOMIC_SEQ_CST));
    return 0;
}

static int reset_load(struct nestvirt_device *device, struct nv_reader *reader,
                      struct nestvirt_error **ret_error)
{
    struct reset_state *state = device->state;

    state->events = nv_read_u8(reader) & EVENT_POWER_BUTTON;
    return 0;
}

static void reset_describe(const struct nestvirt_device *device, struct nv_device_place *place)
{
    const struct reset_state *state = device->state;

    place->is_power = state->has_pin;
    place->pin = state->pin;
    place->port = state->wants_i8042 ? NV_PORT_I8042 : 0;
}

static int reset_request_stop(struct nestvirt_device *device, struct nestvirt_error **ret_error)
{
    struct reset_state *state = device->state;
    int r;

    if (!state->has_pin)
        return nv_fail(ret_error, -ENOTSUP, nv_device_name(device).s,
                       "make the VM with NESTVIRT_CHIP_SPLIT",
                       "there is no interrupt chip for the power button");
    if (!nv_irq_is_enabled(state->irq, state->pin))
        return nv_fail(ret_error, -ENOTSUP, nv_device_name(device).s,
                       "wait until it has booted, or use nestvirt_vm_stop",
                       "the guest has not set up its ACPI event device");
    __atomic_fetch_or(&state->events, EVENT_POWER_BUTTON, __ATOMIC_SEQ_CST);
    r = nv_irq_pulse(state->irq, state->pin);
    if (r < 0)
        return nv_fail_sys(ret_error, -r, nv_device_name(device).s, "KVM_SIGNAL_MSI", "");
    return 0;
}

const struct nv_device_class nv_device_reset = {
    .name = "reset",
    .help = "lets the guest reset and power off, and the caller press the power button",
    .state_size = sizeof(struct reset_state),
    .properties = reset_properties,
    .property_count = NV_ARRAY_SIZE(reset_properties),
    .claim = reset_claim,
    .unbuild = reset_unbuild,
    .start = reset_start,
    .save = reset_save,
    .load = reset_load,
    .describe = reset_describe,
    .request_stop = reset_request_stop,
};
