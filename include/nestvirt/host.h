/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The host: /dev/kvm opened once and shared by all VMs; and event loops that VMs may share.
 */
#ifndef NESTVIRT_HOST_H
#define NESTVIRT_HOST_H

#include <nestvirt/error.h>

#ifdef __cplusplus
extern "C" {
#endif

struct nestvirt_host;
struct nestvirt_loop;

/*
 * Opens KVM and learns what it can do (KVM API documentation 4.1 to 4.4, 4.46).
 *
 * path: the device, NULL for /dev/kvm.
 * ret_host: the host; free it with nestvirt_host_free().
 * Errors: -ENOENT no such device (is KVM in the kernel?), -EACCES no permission, -ENOTSUP not a
 * KVM device, an API other than version 12, or a capability the library needs is missing (the
 * message names it), -EMFILE, -ENFILE, -ENOMEM.
 */
int nestvirt_host_open(const char *path, struct nestvirt_host **ret_host,
                       struct nestvirt_error **ret_error);

/*
 * Opens KVM as nestvirt_host_open() does, but on an open descriptor of /dev/kvm, which is
 * duplicated. -EBADF if it is not open, -ENOTSUP if it is something else.
 */
int nestvirt_host_open_fd(int fd, struct nestvirt_host **ret_host,
                          struct nestvirt_error **ret_error);

/*
 * Gives back the caller's hold on a host. VMs made from it keep it alive for as long as they need
 * it. NULL is allowed. Returns 0, or -EBADF for another kind of handle.
 */
int nestvirt_host_free(struct nestvirt_host *host);

/* Bits of nestvirt_host_info.features. */
enum {
    NESTVIRT_HOST_SPLIT_IRQCHIP = 1 << 0,   /* local APIC in the kernel, IOAPIC in the library */
    NESTVIRT_HOST_IRQFD = 1 << 1,           /* interrupts by eventfd */
    NESTVIRT_HOST_IOEVENTFD = 1 << 2,       /* guest writes signal an eventfd */
    NESTVIRT_HOST_X2APIC = 1 << 3,          /* x2APIC in KVM's supported CPUID */
    NESTVIRT_HOST_TSC_DEADLINE = 1 << 4,    /* TSC deadline timer */
    NESTVIRT_HOST_KVMCLOCK = 1 << 5,        /* paravirtual clock */
    NESTVIRT_HOST_NESTED_VMX = 1 << 6,      /* guests may use VMX */
    NESTVIRT_HOST_NESTED_SVM = 1 << 7,      /* guests may use SVM */
    NESTVIRT_HOST_READONLY_MEMORY = 1 << 8, /* read-only memory slots */
    NESTVIRT_HOST_INTERPRETED = 1 << 9      /* software KVM that interprets guest ring 0 (pvm) */
};

/* What the host offers. Filled by nestvirt_host_get_info(). */
struct nestvirt_host_info {
    uint32_t size;              /* the caller's sizeof; in and out */
    uint32_t flags;             /* 0 */
    uint32_t api_version;       /* 12 */
    uint32_t recommended_vcpus; /* vCPUs per VM KVM recommends */
    uint32_t max_vcpus;         /* vCPUs per VM this library allows here */
    uint32_t max_memory_slots;  /* memory slots per VM */
    uint32_t vcpu_mmap_size;    /* bytes of each vCPU's shared area */
    uint32_t features;          /* NESTVIRT_HOST_* */
};

/* Zeroes the structure and sets its size; never writes past caller_size bytes. */
void nestvirt_host_info_init(struct nestvirt_host_info *info, size_t caller_size);

/*
 * Reads what the host offers: fills info with min(info->size, the library's) bytes. Errors:
 * -EINVAL for a bad size.
 */
int nestvirt_host_get_info(struct nestvirt_host *host, struct nestvirt_host_info *info,
                           struct nestvirt_error **ret_error);

/* One CPUID leaf as KVM supports it for guests on this host (KVM API documentation 4.46). */
struct nestvirt_cpuid_entry {
    uint32_t size;
    uint32_t flags; /* bit 0: index is significant */
    uint32_t leaf;
    uint32_t index;
    uint32_t eax;
    uint32_t ebx;
    uint32_t ecx;
    uint32_t edx;
};

/* Zeroes the structure and sets its size; never writes past caller_size bytes. */
void nestvirt_cpuid_entry_init(struct nestvirt_cpuid_entry *entry, size_t caller_size);

/*
 * Reads entry number position (from 0) of the supported set. -ENOENT behind the last one.
 */
int nestvirt_host_get_cpuid(struct nestvirt_host *host, uint32_t position,
                            struct nestvirt_cpuid_entry *entry, struct nestvirt_error **ret_error);

/*
 * Makes an event loop: one thread that serves the devices of the VMs given to it by
 * nestvirt_vm_set_loop(). A VM that needs a loop and was given none makes its own.
 * Errors: -ENOMEM, -EMFILE, -EAGAIN (no more threads).
 */
int nestvirt_loop_new(struct nestvirt_loop **ret_loop, struct nestvirt_error **ret_error);

/*
 * Gives back the caller's hold; the thread ends when the last VM that uses it is freed.
 * NULL is allowed. Returns 0 or -EBADF.
 */
int nestvirt_loop_free(struct nestvirt_loop *loop);

#ifdef __cplusplus
}
#endif

#endif
