/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the door of host.h: hosts and event loops. */
#include <unistd.h>

#include "api/api.h"
#include "core/tags.h"

/* Sizes of the structures in release 0.1, below which a caller's is taken for garbage. */
enum {
    HOST_INFO_FIRST = sizeof(struct nestvirt_host_info),
    CPUID_ENTRY_FIRST = sizeof(struct nestvirt_cpuid_entry)
};

NV_EXPORT int nestvirt_host_open(const char *path, struct nestvirt_host **ret_host,
                                 struct nestvirt_error **ret_error)
{
    int r;

    nv_ok(ret_error);
    r = nv_api_pointer(ret_host, "ret_host", ret_error);
    if (r < 0)
        return r;
    *ret_host = NULL;
    return nv_host_open(&nv_kvm_real_ops, path ? path : "/dev/kvm", -1, ret_host, ret_error);
}

NV_EXPORT int nestvirt_host_open_fd(int fd, struct nestvirt_host **ret_host,
                                    struct nestvirt_error **ret_error)
{
    int r;

    nv_ok(ret_error);
    r = nv_api_pointer(ret_host, "ret_host", ret_error);
    if (r < 0)
        return r;
    *ret_host = NULL;
    if (fd < 0)
        return nv_fail(ret_error, -EBADF, nv_text("descriptor %d", fd).s,
                       "pass an open descriptor of /dev/kvm", "is not open");
    return nv_host_open(&nv_kvm_real_ops, nv_text("descriptor %d", fd).s, fd, ret_host, ret_error);
}

NV_EXPORT int nestvirt_host_free(struct nestvirt_host *host)
{
    int r;

    if (!host)
        return 0;
    r = nv_api_host(host, NULL);
    if (r == -ECHILD)
        return 0;
    if (r == 0)
        nv_host_unref(host);
    return r;
}

NV_EXPORT void nestvirt_host_info_init(struct nestvirt_host_info *info, size_t caller_size)
{
    nv_struct_init(info, caller_size);
}

NV_EXPORT int nestvirt_host_get_info(struct nestvirt_host *host, struct nestvirt_host_info *info,
                                     struct nestvirt_error **ret_error)
{
    int r = nv_api_host(host, ret_error);

    if (r < 0)
        return r;
    return nv_struct_out(info, &host->info, sizeof(host->info), HOST_INFO_FIRST, "host info",
                         ret_error);
}

NV_EXPORT void nestvirt_cpuid_entry_init(struct nestvirt_cpuid_entry *entry, size_t caller_size)
{
    nv_struct_init(entry, caller_size);
}

NV_EXPORT int nestvirt_host_get_cpuid(struct nestvirt_host *host, uint32_t position,
                                      struct nestvirt_cpuid_entry *entry,
                                      struct nestvirt_error **ret_error)
{
    const struct kvm_cpuid_entry2 *found;
    struct nestvirt_cpuid_entry ours = { .size = sizeof(ours) };
    int r = nv_api_host(host, ret_error);

    if (r < 0)
        return r;
    r = nv_struct_check(entry, CPUID_ENTRY_FIRST, "CPUID entry", ret_error);
    if (r < 0)
        return r;
    if (position >= host->cpuid.list.nent)
        return nv_fail(ret_error, -ENOENT, nv_text("CPUID entry %u", position).s,
                       "stop at the first -ENOENT", "the host has %u entries",
                       host->cpuid.list.nent);
    found = &host->cpuid.list.entries[position];
    ours.flags = found->flags & KVM_CPUID_FLAG_SIGNIFCANT_INDEX ? 1 : 0;
    ours.leaf = found->function;
    ours.index = found->index;
    ours.eax = found->eax;
    ours.ebx = found->ebx;
    ours.ecx = found->ecx;
    ours.edx = found->edx;
    return nv_struct_out(entry, &ours, sizeof(ours), CPUID_ENTRY_FIRST, "CPUID entry", ret_error);
}

NV_EXPORT int nestvirt_loop_new(struct nestvirt_loop **ret_loop, struct nestvirt_error **ret_error)
{
    int r;

    nv_ok(ret_error);
    r = nv_api_pointer(ret_loop, "ret_loop", ret_error);
    if (r < 0)
        return r;
    *ret_loop = NULL;
    return nv_loop_new(ret_loop, ret_error);
}

NV_EXPORT int nestvirt_loop_free(struct nestvirt_loop *loop)
{
    if (!loop)
        return 0;
    if (loop->tag != NV_TAG_LOOP)
        return -EBADF;
    if (loop->process != (uint32_t)getpid())
        return 0;
    if (nv_loop_is_own_thread(loop))
        return -EDEADLK;
    nv_loop_unref(loop);
    return 0;
}
