/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the way to KVM: the ops seam, the host object with its capabilities, checked calls. */
#ifndef NV_KVM_KVM_H
#define NV_KVM_KVM_H

#include <linux/kvm.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <nestvirt/host.h>

#include "core/error.h"
#include "host/limits.h"
#include "host/stacks.h"

/* How the library reaches KVM; tests put others in its place. All return -errno on failure. */
struct nv_kvm_ops {
    int (*open)(const char *path);
    int (*ioctl)(int fd, unsigned long request, void *argument);
    int (*map)(int fd, size_t length, void **ret_pointer); /* shared, read and write */
};

extern const struct nv_kvm_ops nv_kvm_real_ops;

/*
 * IOAPIC entries and MSIs carry 8-bit APIC ids, 255 of which means everyone; one more id is the
 * IOAPIC's own in the tables.
 */
enum { NV_VCPUS_MAX = 254 };

enum {
    NV_KVM_CPUID_MAX = 256, /* entries; hosts have about 60 */
    NV_IOAPIC_PINS = 24     /* GSIs that are pins of the IOAPIC */
};

/* The room for KVM_GET_SUPPORTED_CPUID's answer. */
union nv_cpuid {
    struct kvm_cpuid2 list;
    uint8_t room[sizeof(struct kvm_cpuid2) + NV_KVM_CPUID_MAX * sizeof(struct kvm_cpuid_entry2)];
};

/* /dev/kvm opened once: immutable after opening, but for the counts, stacks and headroom. */
struct nestvirt_host {
    uint32_t tag;
    atomic_uint references;
    const struct nv_kvm_ops *ops;
    int fd;
    volatile uint32_t *fork_mark; /* a page that a child finds wiped */
    struct nestvirt_host_info info;
    struct nv_stacks stacks;     /* of its VMs' vCPU threads; has its own lock */
    struct nv_headroom headroom; /* of memory; has its own lock */
    bool can_set_tss;
    bool can_set_identity_map;
    bool has_kvmclock_ctrl;
    bool has_late_thread; /* KVM makes its own thread of a VM at the first run */
    union nv_cpuid cpuid;
};

/*
 * Bytes that an idle VM takes of the host's memory at most. has_paging: the processor translates
 * guests' pages; elsewhere KVM keeps 10 bytes for each page of RAM, touched or not.
 */
uint64_t nv_kvm_idle_bytes(bool has_paging, uint32_t vcpus, uint32_t devices, uint64_t memory);

/* Opens a host through ops; fd -1: open path. */
int nv_host_open(const struct nv_kvm_ops *ops, const char *path, int fd,
                 struct nestvirt_host **ret_host, struct nestvirt_error **ret_error);

struct nestvirt_host *nv_host_ref(struct nestvirt_host *host);
void nv_host_unref(struct nestvirt_host *host);

/* True in a child process that inherited the host by fork. */
static inline bool nv_host_is_forked(const struct nestvirt_host *host)
{
    return *host->fork_mark == 0;
}

/*
 * One KVM call; the result or -errno. EINTR is retried, except for KVM_RUN, which does not go
 * through here.
 */
int nv_kvm_call(const struct nestvirt_host *host, int fd, unsigned long request, void *argument);

/* As nv_kvm_call with an error text that names the object and the request. */
int nv_kvm_call_named(const struct nestvirt_host *host, int fd, unsigned long request,
                      void *argument, const char *request_name, const char *object,
                      struct nestvirt_error **ret_error);

#define nv_kvm_try(host, fd, request, argument, object, ret_error) \
    nv_kvm_call_named(host, fd, request, (void *)(uintptr_t)(argument), #request, object, ret_error)

#endif
