/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the exit device: a port whose first write ends the run with that byte as exit code. */
#include "core/util.h"
#include "devices/device.h"
#include "memory/layout.h"

struct exit_state {
    uint64_t port;
    struct nv_group *group;
};

static const struct nv_property exit_properties[] = {
    { .name = "port",
      .type = NESTVIRT_PROPERTY_U64,
      .offset = offsetof(struct exit_state, port),
      .initial = NV_PORT_EXIT,
      .max = 0xffff,
      .help = "the port, 0 to 65535; a byte written there becomes the exit code" },
};

static int32_t exit_access(void *user_data, struct nestvirt_access *access)
{
    struct exit_state *state = user_data;
    const struct nestvirt_vm_result result = {
        .size = sizeof(result),
        .reason = NESTVIRT_RESULT_GUEST_EXIT,
        .exit_code = access->data[0],
        .vcpu = access->vcpu,
    };

    if (access->is_write)
        nv_group_end(state->group, &result);
    return NESTVIRT_ACTION_RESUME;
}

static int exit_claim(struct nestvirt_device *device, const struct nv_device_env *env,
                      struct nestvirt_error **ret_error)
{
    struct exit_state *state = device->state;

    state->group = env->group;
    return nv_device_claim_port(env, state->port, 1, exit_access, state, ret_error);
}

const struct nv_device_class nv_device_exit = {
    .name = "exit",
    .help = "ends the run with an exit code the guest writes to a port",
    .state_size = sizeof(struct exit_state),
    .properties = exit_properties,
    .property_count = NV_ARRAY_SIZE(exit_properties),
    .claim = exit_claim,
};
