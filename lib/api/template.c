/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the door of template.h. */
#include <string.h>

#include "api/api.h"
#include "core/tags.h"
#include "host/reflink.h"
#include "vm/state.h"

enum {
    INFO_FIRST = sizeof(struct nestvirt_template_info),
    CLONE_CONFIG_FIRST = sizeof(struct nestvirt_clone_config)
};

static const char object[] = "template";

static int check_template(const struct nestvirt_template *template,
                          struct nestvirt_error **ret_error)
{
    int r;

    nv_ok(ret_error);
    r = nv_api_handle(template ? &template->tag : NULL, NV_TAG_TEMPLATE, object, ret_error);
    return r < 0 ? r : nv_api_host(template->host, ret_error);
}

static int check_flags(uint32_t flags, uint32_t known, struct nestvirt_error **ret_error)
{
    if (flags & ~known)
        return nv_fail(ret_error, -EINVAL, object, "clear them", "unknown flags 0x%x",
                       flags & ~known);
    return 0;
}

NV_EXPORT int nestvirt_template_new(struct nestvirt_vm *vm, uint32_t flags,
                                    struct nestvirt_template **ret_template,
                                    struct nestvirt_error **ret_error)
{
    int r;

    if (ret_template)
        *ret_template = NULL;
    r = nv_api_vm(vm, ret_error);
    if (r == 0)
        r = nv_api_pointer(ret_template, "ret_template", ret_error);
    if (r == 0)
        r = check_flags(flags, NESTVIRT_TEMPLATE_CONSUME, ret_error);
    if (r == 0)
        r = nv_api_enter(vm, "become a template", ret_error);
    if (r < 0)
        return r;
    r = nv_vm_save(vm, flags, ret_template, ret_error);
    nv_api_leave(vm);
    return r;
}

NV_EXPORT int nestvirt_template_free(struct nestvirt_template *template_handle)
{
    int r;

    if (!template_handle)
        return 0;
    r = nv_api_handle(&template_handle->tag, NV_TAG_TEMPLATE, object, NULL);
    if (r == 0)
        nv_template_unref(template_handle);
    return r;
}

NV_EXPORT void nestvirt_template_info_init(struct nestvirt_template_info *info, size_t caller_size)
{
    nv_struct_init(info, caller_size);
}

NV_EXPORT int nestvirt_template_get_info(const struct nestvirt_template *template_handle,
                                         struct nestvirt_template_info *info,
                                         struct nestvirt_error **ret_error)
{
    struct nestvirt_template_info ours = { .size = sizeof(ours) };
    int r = check_template(template_handle, ret_error);

    if (r == 0)
        r = nv_struct_check(info, INFO_FIRST, "template info", ret_error);
    if (r == 0)
        r = nv_vm_count_parts(template_handle, &ours.vcpus, &ours.devices, ret_error);
    if (r < 0)
        return r;
    ours.memory_size = template_handle->image.length;
    ours.data_size = template_handle->image.data;
    ours.state_size = template_handle->config.length + template_handle->machine.length;
    return nv_struct_out(info, &ours, sizeof(ours), INFO_FIRST, "template info", ret_error);
}

NV_EXPORT void nestvirt_clone_config_init(struct nestvirt_clone_config *config, size_t caller_size)
{
    nv_struct_init(config, caller_size);
}

static int check_config(const struct nestvirt_clone_config *config,
                        struct nestvirt_error **ret_error)
{
    if (config->name && strnlen(config->name, NESTVIRT_VM_NAME_MAX + 1) > NESTVIRT_VM_NAME_MAX)
        return nv_fail(ret_error, -EINVAL, "clone", "shorten it",
                       "the name is longer than %d bytes", NESTVIRT_VM_NAME_MAX);
    return check_flags(config->flags, 0, ret_error);
}

NV_EXPORT int nestvirt_clone_new(struct nestvirt_template *template_handle,
                                 const struct nestvirt_clone_config *config,
                                 struct nestvirt_vm **ret_vm, struct nestvirt_error **ret_error)
{
    struct nestvirt_clone_config ours = { .size = sizeof(ours) };
    int r;

    if (ret_vm)
        *ret_vm = NULL;
    r = check_template(template_handle, ret_error);
    if (r == 0)
        r = nv_api_pointer(ret_vm, "ret_vm", ret_error);
    if (r == 0 && config)
        r = nv_struct_in(&ours, sizeof(ours), CLONE_CONFIG_FIRST, config, "clone config",
                         ret_error);
    if (r == 0)
        r = check_config(&ours, ret_error);
    return r < 0 ? r : nv_vm_new_clone(template_handle, ours.name, ret_vm, ret_error);
}

NV_EXPORT int nestvirt_template_write(const struct nestvirt_template *template_handle,
                                      const struct nestvirt_template *base, int fd,
                                      struct nestvirt_error **ret_error)
{
    int r = check_template(template_handle, ret_error);

    if (r == 0 && base)
        r = check_template(base, ret_error);
    return r < 0 ? r : nv_template_write(template_handle, base, fd, ret_error);
}

/* A VM made for trial and freed: what the records say is looked at before anybody relies on it. */
static int try_clone(struct nestvirt_template *template, struct nestvirt_error **ret_error)
{
    struct nestvirt_vm *vm;
    int r = nv_vm_new_clone(template, NULL, &vm, ret_error);

    if (r < 0)
        return r;
    r = nv_vm_check_machine(vm, ret_error);
    nv_vm_free(vm);
    return r;
}

NV_EXPORT int nestvirt_template_open(struct nestvirt_host *host, int fd, uint32_t flags,
                                     const struct nestvirt_template *base,
                                     struct nestvirt_template **ret_template,
                                     struct nestvirt_error **ret_error)
{
    struct nestvirt_template *template;
    int r;

    if (ret_template)
        *ret_template = NULL;
    r = nv_api_host(host, ret_error);
    if (r == 0)
        r = nv_api_pointer(ret_template, "ret_template", ret_error);
    if (r == 0)
        r = check_flags(flags, NESTVIRT_TEMPLATE_TRUST_FILE, ret_error);
    if (r == 0 && base)
        r = check_template(base, ret_error);
    if (r == 0)
        r = nv_template_read(host, fd, flags, base, &template, ret_error);
    if (r < 0)
        return r;
    r = try_clone(template, ret_error);
    if (r < 0)
        nv_template_unref(template);
    else
        *ret_template = template;
    return r;
}

NV_EXPORT int nestvirt_vm_get_generation(struct nestvirt_vm *vm, void *buffer, size_t size,
                                         struct nestvirt_error **ret_error)
{
    uint8_t id[NESTVIRT_GENERATION_SIZE];
    int r = nv_api_pointer(buffer, "buffer", ret_error);

    if (r == 0 && size < sizeof(id))
        r = nv_fail(ret_error, -EINVAL, "buffer", "give it NESTVIRT_GENERATION_SIZE",
                    "has %zu bytes", size);
    if (r == 0)
        r = nv_api_enter(vm, "read the generation ID", ret_error);
    if (r < 0)
        return r;
    r = nv_vm_get_generation(vm, id, ret_error);
    nv_api_leave(vm);
    if (r < 0)
        return r;
    memcpy(buffer, id, sizeof(id));
    return NESTVIRT_GENERATION_SIZE;
}

NV_EXPORT int nestvirt_reflink_new(int from, int to, uint32_t flags,
                                   struct nestvirt_error **ret_error)
{
    nv_ok(ret_error);
    if (flags & ~(uint32_t)NESTVIRT_REFLINK_OR_COPY)
        return nv_fail(ret_error, -EINVAL, "reflink", "clear them", "unknown flags 0x%x",
                       flags & ~(uint32_t)NESTVIRT_REFLINK_OR_COPY);
    return nv_reflink(from, to, (flags & NESTVIRT_REFLINK_OR_COPY) != 0, ret_error);
}
