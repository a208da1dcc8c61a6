/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the caller's ioeventfds: checking them and registering them with KVM. */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "bus/bus.h"
#include "core/util.h"
#include "host/file.h"
#include "memory/layout.h"

static int check_config(const struct nestvirt_ioeventfd_config *config, const char *name,
                        struct nestvirt_error **ret_error)
{
    uint64_t end = config->space == NESTVIRT_SPACE_PORT ? 0x10000 : NV_LAYOUT_ADDRESS_END;
    bool has_match = config->flags & NESTVIRT_IOEVENTFD_DATAMATCH;

    if (config->flags & ~(uint32_t)NESTVIRT_IOEVENTFD_DATAMATCH)
        return nv_fail(ret_error, -EINVAL, name, "clear them", "unknown flags 0x%x", config->flags);
    if (config->reserved)
        return nv_fail(ret_error, -EINVAL, name, "set it to 0", "reserved field is not 0");
    if (config->space != NESTVIRT_SPACE_PORT && config->space != NESTVIRT_SPACE_MMIO)
        return nv_fail(ret_error, -EINVAL, name, "use NESTVIRT_SPACE_*", "unknown address space %u",
                       config->space);
    if (config->length > 8 || (config->length & (config->length - 1)))
        return nv_fail(ret_error, -EINVAL, name, "use 0, 1, 2, 4 or 8", "length %u",
                       config->length);
    if (config->length == 0 && (has_match || config->space == NESTVIRT_SPACE_PORT))
        return nv_fail(ret_error, -EINVAL, name, "use 1, 2, 4 or 8",
                       "length 0 is for MMIO without data match");
    if (!has_match && config->value)
        return nv_fail(ret_error, -EINVAL, name, "set NESTVIRT_IOEVENTFD_DATAMATCH",
                       "has a value but no data match");
    if (!nv_range_fits(config->address, NV_MAX(config->length, 1u), end))
        return nv_fail(ret_error, -EINVAL, name, "move it", "ends beyond the address space");
    return 0;
}

static bool same_place(const struct nestvirt_ioeventfd_config *a,
                       const struct nestvirt_ioeventfd_config *b)
{
    if (a->space != b->space || a->address != b->address)
        return false;
    if (a->length && b->length && a->length != b->length)
        return false;
    return !(a->flags & b->flags & NESTVIRT_IOEVENTFD_DATAMATCH) || a->value == b->value;
}

/* Checks and makes room for one more; those of devices are as many as these have queues. */
static int add(struct nv_bus *bus, const struct nestvirt_ioeventfd_config *config, bool is_lent,
               struct nv_ioeventfd **ret_entry, struct nestvirt_error **ret_error)
{
    const struct nv_text name = nv_text("ioeventfd at 0x%llx", (unsigned long long)config->address);
    struct nv_ioeventfd *grown;
    int r = check_config(config, name.s, ret_error);

    if (r < 0)
        return r;
    if (!is_lent && bus->ioeventfd_count >= NV_IOEVENTFDS_MAX)
        return nv_fail(ret_error, -ENOSPC, name.s, "share eventfds", "a VM has at most %d",
                       NV_IOEVENTFDS_MAX);
    for (uint32_t i = 0; i < bus->ioeventfd_count; i++)
        if (same_place(&bus->ioeventfds[i].config, config))
            return nv_fail(ret_error, -EEXIST, name.s, "use another address, length or value",
                           "there is one already");
    grown = realloc(bus->ioeventfds, (bus->ioeventfd_count + 1) * sizeof(*grown));
    if (!grown)
        return nv_fail_sys(ret_error, ENOMEM, name.s, "malloc", "free memory in this process");
    bus->ioeventfds = grown;
    *ret_entry = &grown[bus->ioeventfd_count];
    **ret_entry = (struct nv_ioeventfd){ .config = *config };
    return 0;
}

int nv_bus_add_ioeventfd(struct nv_bus *bus, const struct nestvirt_ioeventfd_config *config,
                         struct nestvirt_error **ret_error)
{
    struct nv_ioeventfd *entry;
    int r = add(bus, config, false, &entry, ret_error);

    if (r < 0)
        return r;
    r = nv_fd_dup(config->fd);
    if (r < 0)
        return nv_fail_sys(ret_error, -r,
                           nv_text("ioeventfd at 0x%llx", (unsigned long long)config->address).s,
                           "dup", nv_fd_hint(-r, "pass an open eventfd"));
    entry->config.fd = r;
    bus->ioeventfd_count++;
    return 0;
}

int nv_bus_lend_ioeventfd(struct nv_bus *bus, const struct nestvirt_ioeventfd_config *config,
                          struct nestvirt_error **ret_error)
{
    struct nv_ioeventfd *entry;
    int r = add(bus, config, true, &entry, ret_error);

    if (r < 0)
        return r;
    entry->is_lent = true;
    bus->ioeventfd_count++;
    return 0;
}

int nv_bus_attach(const struct nv_bus *bus, const struct nestvirt_host *host, int vm_fd,
                  struct nestvirt_error **ret_error)
{
    for (uint32_t i = 0; i < bus->ioeventfd_count; i++) {
        const struct nestvirt_ioeventfd_config *config = &bus->ioeventfds[i].config;
        struct kvm_ioeventfd request = {
            .datamatch = config->value,
            .addr = config->address,
            .len = config->length,
            .fd = config->fd,
        };
        int r;

        if (config->space == NESTVIRT_SPACE_PORT)
            request.flags |= KVM_IOEVENTFD_FLAG_PIO;
        if (config->flags & NESTVIRT_IOEVENTFD_DATAMATCH)
            request.flags |= KVM_IOEVENTFD_FLAG_DATAMATCH;
        r = nv_kvm_try(host, vm_fd, KVM_IOEVENTFD, &request,
                       nv_text("ioeventfd at 0x%llx", (unsigned long long)config->address).s,
                       ret_error);
        if (r < 0)
            return r;
    }
    return 0;
}
