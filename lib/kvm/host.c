/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the host object: opening KVM, learning its capabilities, the mark that shows a fork. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "core/cleanup.h"
#include "core/structs.h"
#include "core/tags.h"
#include "core/util.h"
#include "host/file.h"
#include "kvm/kvm.h"

static const struct {
    int capability;
    const char *name;
} needed[] = {
    { KVM_CAP_USER_MEMORY, "KVM_CAP_USER_MEMORY" },
    { KVM_CAP_EXT_CPUID, "KVM_CAP_EXT_CPUID" },
    { KVM_CAP_MP_STATE, "KVM_CAP_MP_STATE" },
    { KVM_CAP_VCPU_EVENTS, "KVM_CAP_VCPU_EVENTS" },
    { KVM_CAP_IMMEDIATE_EXIT, "KVM_CAP_IMMEDIATE_EXIT" },
    { KVM_CAP_CHECK_EXTENSION_VM, "KVM_CAP_CHECK_EXTENSION_VM" },
};

static int check_extension(const struct nestvirt_host *host, int capability)
{
    int r = nv_kvm_call(host, host->fd, KVM_CHECK_EXTENSION, (void *)(uintptr_t)capability);

    return r < 0 ? 0 : r;
}

static int open_device(const struct nv_kvm_ops *ops, const char *path,
                       struct nestvirt_error **ret_error)
{
    int fd = ops->open(path);

    if (fd == -ENOENT || fd == -ENXIO || fd == -ENODEV)
        return nv_fail(ret_error, -ENOENT, path,
                       "load kvm_intel or kvm_amd, or enable virtualization in the firmware",
                       "there is no KVM here");
    if (fd == -EACCES || fd == -EPERM)
        return nv_fail(ret_error, -EACCES, path,
                       "add the user to its group (usually kvm), or run as root",
                       "permission denied");
    if (fd == -EISDIR || fd == -ENOTDIR)
        return nv_fail(ret_error, -ENOTSUP, path, "give the path of /dev/kvm", "is not KVM");
    if (fd < 0)
        return nv_fail_sys(ret_error, -fd, path, "open", nv_fd_hint(-fd, ""));
    return fd;
}

static int check_api(struct nestvirt_host *host, const char *path,
                     struct nestvirt_error **ret_error)
{
    int version = nv_kvm_call(host, host->fd, KVM_GET_API_VERSION, NULL);
    int mmap_size;

    if (version < 0)
        return nv_fail(ret_error, -ENOTSUP, path, "give the path of /dev/kvm", "is not KVM");
    if (version != KVM_API_VERSION)
        return nv_fail(ret_error, -ENOTSUP, path, "use Linux 5.10 or later",
                       "KVM API version %d instead of %d", version, KVM_API_VERSION);
    for (size_t i = 0; i < NV_ARRAY_SIZE(needed); i++)
        if (check_extension(host, needed[i].capability) == 0)
            return nv_fail(ret_error, -ENOTSUP, path, "use Linux 5.10 or later", "lacks %s",
                           needed[i].name);
    mmap_size = nv_kvm_call(host, host->fd, KVM_GET_VCPU_MMAP_SIZE, NULL);
    if (mmap_size < (int)sizeof(struct kvm_run))
        return nv_fail(ret_error, -ENOTSUP, path, "use Linux 5.10 or later",
                       "KVM_GET_VCPU_MMAP_SIZE says %d", mmap_size);
    host->info.api_version = (uint32_t)version;
    host->info.vcpu_mmap_size = (uint32_t)mmap_size;
    return 0;
}

static const struct kvm_cpuid_entry2 *find_leaf(const struct kvm_cpuid2 *list, uint32_t leaf)
{
    for (uint32_t i = 0; i < list->nent; i++)
        if (list->entries[i].function == leaf)
            return &list->entries[i];
    return NULL;
}

static void learn_features(struct nestvirt_host *host)
{
    static const struct {
        int capability;
        uint32_t feature;
    } rows[] = {
        { KVM_CAP_SPLIT_IRQCHIP, NESTVIRT_HOST_SPLIT_IRQCHIP },
        { KVM_CAP_IRQFD, NESTVIRT_HOST_IRQFD },
        { KVM_CAP_IOEVENTFD, NESTVIRT_HOST_IOEVENTFD },
        { KVM_CAP_TSC_DEADLINE_TIMER, NESTVIRT_HOST_TSC_DEADLINE },
        { KVM_CAP_ADJUST_CLOCK, NESTVIRT_HOST_KVMCLOCK },
        { KVM_CAP_READONLY_MEM, NESTVIRT_HOST_READONLY_MEMORY },
    };
    const struct kvm_cpuid_entry2 *one = find_leaf(&host->cpuid.list, 1);
    const struct kvm_cpuid_entry2 *amd = find_leaf(&host->cpuid.list, 0x80000001);

    for (size_t i = 0; i < NV_ARRAY_SIZE(rows); i++)
        if (check_extension(host, rows[i].capability) > 0)
            host->info.features |= rows[i].feature;
    if (one && one->ecx & 1u << 21)
        host->info.features |= NESTVIRT_HOST_X2APIC;
    if (one && one->ecx & 1u << 5)
        host->info.features |= NESTVIRT_HOST_NESTED_VMX;
    if (amd && amd->ecx & 1u << 2)
        host->info.features |= NESTVIRT_HOST_NESTED_SVM;
    if (access("/sys/module/kvm_pvm", F_OK) == 0)
        host->info.features |= NESTVIRT_HOST_INTERPRETED;
}

/*
 * Linux 6.13 and later. Earlier it comes with the VM, and there the first run is better left to
 * the vCPU's own thread: up to 6.11 another one waits for a grace period after it.
 */
static bool has_late_thread(void)
{
    struct utsname name;
    unsigned major = 0;
    unsigned minor = 0;

    if (uname(&name) < 0 || sscanf(name.release, "%u.%u", &major, &minor) != 2)
        return false;
    return major > 6 || (major == 6 && minor >= 13);
}

static int learn(struct nestvirt_host *host, const char *path, struct nestvirt_error **ret_error)
{
    int vcpus = check_extension(host, KVM_CAP_MAX_VCPUS);
    int recommended = check_extension(host, KVM_CAP_NR_VCPUS);
    int slots = check_extension(host, KVM_CAP_NR_MEMSLOTS);
    int r;

    host->info.size = sizeof(host->info);
    host->info.recommended_vcpus = recommended > 0 ? (uint32_t)recommended : 4;
    host->info.max_vcpus = vcpus > 0 ? (uint32_t)vcpus : host->info.recommended_vcpus;
    host->info.max_vcpus = NV_MIN(host->info.max_vcpus, (uint32_t)NV_VCPUS_MAX);
    host->info.max_memory_slots = slots > 0 ? (uint32_t)slots : 32;
    host->can_set_tss = check_extension(host, KVM_CAP_SET_TSS_ADDR) > 0;
    host->can_set_identity_map = check_extension(host, KVM_CAP_SET_IDENTITY_MAP_ADDR) > 0;
    host->has_kvmclock_ctrl = check_extension(host, KVM_CAP_KVMCLOCK_CTRL) > 0;
    host->has_late_thread = has_late_thread();
    host->cpuid.list.nent = NV_KVM_CPUID_MAX;
    r = nv_kvm_try(host, host->fd, KVM_GET_SUPPORTED_CPUID, &host->cpuid, path, ret_error);
    if (r < 0)
        return r;
    learn_features(host);
    return 0;
}

static int make_fork_mark(struct nestvirt_host *host, struct nestvirt_error **ret_error)
{
    uint32_t *page =
        mmap(NULL, NV_PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (page == MAP_FAILED)
        return nv_fail_sys(ret_error, errno, "host", "mmap",
                           nv_limit_hint(errno, 0, "raise the limit on mappings").s);
    host->fork_mark = page;
    if (madvise(page, NV_PAGE_SIZE, MADV_WIPEONFORK) < 0)
        return nv_fail_sys(ret_error, errno, "host", "madvise(MADV_WIPEONFORK)",
                           "use Linux 5.10 or later");
    *host->fork_mark = 1;
    return 0;
}

int nv_host_open(const struct nv_kvm_ops *ops, const char *path, int fd,
                 struct nestvirt_host **ret_host, struct nestvirt_error **ret_error)
{
    struct nestvirt_host *host = calloc(1, sizeof(*host));
    int r;

    if (!host)
        return nv_fail_sys(ret_error, ENOMEM, path, "malloc", "free memory in this process");
    host->tag = NV_TAG_HOST;
    host->ops = ops;
    host->fd = -1;
    atomic_init(&host->references, 1);
    nv_stacks_init(&host->stacks);
    nv_headroom_init(&host->headroom);
    r = make_fork_mark(host, ret_error);
    if (r == 0) {
        r = fd >= 0 ? fcntl(fd, F_DUPFD_CLOEXEC, 3) : open_device(ops, path, ret_error);
        if (r < 0 && fd >= 0)
            r = nv_fail_sys(ret_error, errno, path, "dup",
                            nv_fd_hint(errno, "pass an open descriptor of /dev/kvm"));
    }
    if (r >= 0) {
        host->fd = r;
        r = check_api(host, path, ret_error);
    }
    if (r >= 0)
        r = learn(host, path, ret_error);
    if (r < 0) {
        nv_host_unref(host);
        return r;
    }
    *ret_host = host;
    return 0;
}

struct nestvirt_host *nv_host_ref(struct nestvirt_host *host)
{
    atomic_fetch_add(&host->references, 1);
    return host;
}

void nv_host_unref(struct nestvirt_host *host)
{
    if (!host || atomic_fetch_sub(&host->references, 1) != 1)
        return;
    host->tag = NV_TAG_FREED;
    if (host->fd >= 0)
        close(host->fd);
    if (host->fork_mark)
        munmap((void *)host->fork_mark, NV_PAGE_SIZE);
    nv_stacks_destroy(&host->stacks);
    nv_headroom_destroy(&host->headroom);
    free(host);
}
