/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guest memory: regions, and the caller's access to them.
 *
 * The default layout is RAM from address 0, with what does not fit below 3 GiB continued at
 * 4 GiB. The gap holds the interrupt controllers and the device windows.
 */
#ifndef NESTVIRT_MEMORY_H
#define NESTVIRT_MEMORY_H

#include <nestvirt/vm.h>

#ifdef __cplusplus
extern "C" {
#endif

/* nestvirt_memory_config.backing */
enum {
    NESTVIRT_BACKING_ANONYMOUS = 0, /* private memory of this process */
    NESTVIRT_BACKING_MEMFD = 1,     /* a memfd of the library's, sealed against change of size */
    NESTVIRT_BACKING_HUGETLB = 2,   /* huge pages of the host's pool, private; see page_size */
    NESTVIRT_BACKING_FD = 3,        /* the caller's memfd or file, shared: writes go there */
    NESTVIRT_BACKING_FILE = 4 /* the caller's file, private: writes stay here (copy on write) */
};

/* nestvirt_memory_config.flags */
enum {
    /* Place the region by the default layout; address must be 0. */
    NESTVIRT_MEMORY_DEFAULT_LAYOUT = 1 << 0,
    /* Touch every page in nestvirt_vm_build(), on several threads, so that the guest never waits.
     */
    NESTVIRT_MEMORY_PREFAULT = 1 << 1,
    /* Lock every page (mlock(2)): counts against RLIMIT_MEMLOCK. */
    NESTVIRT_MEMORY_LOCK = 1 << 2,
    /* The guest and its devices can read it only; the caller writes it by nestvirt_memory_write().
     */
    NESTVIRT_MEMORY_READ_ONLY = 1 << 3,
    /* Leave it out of core dumps of this process. */
    NESTVIRT_MEMORY_NO_DUMP = 1 << 4,
    /* Let KSM merge its pages, as nestvirt_memory_set_mergeable() does. */
    NESTVIRT_MEMORY_MERGEABLE = 1 << 5,
    /*
     * Take a descriptor whose file can shrink, or be written by others. Its owner can then end
     * this process with SIGBUS by truncating it.
     */
    NESTVIRT_MEMORY_ALLOW_UNSEALED = 1 << 6,
    /* The policy for nodes is kept to, and checked, or the call fails; without it, best effort. */
    NESTVIRT_MEMORY_NUMA_STRICT = 1 << 7
};

/* nestvirt_memory_config.huge_pages: transparent huge pages (madvise(2)) */
enum {
    NESTVIRT_HUGE_PAGES_DEFAULT = 0, /* as the host is set */
    NESTVIRT_HUGE_PAGES_ALWAYS =
        1,                        /* MADV_HUGEPAGE: where the host's setting is madvise or always */
    NESTVIRT_HUGE_PAGES_NEVER = 2 /* MADV_NOHUGEPAGE */
};

/* nestvirt_memory_config.numa_policy (set_mempolicy(2)) */
enum {
    NESTVIRT_NUMA_DEFAULT = 0,        /* that of the thread which touches a page first */
    NESTVIRT_NUMA_LOCAL = 1,          /* the node of the CPU that touches a page first */
    NESTVIRT_NUMA_BIND = 2,           /* numa_nodes and no other */
    NESTVIRT_NUMA_PREFERRED = 3,      /* the one node of numa_nodes, else another */
    NESTVIRT_NUMA_PREFERRED_MANY = 4, /* those of numa_nodes, else another (Linux 5.15) */
    NESTVIRT_NUMA_INTERLEAVE = 5      /* page by page over numa_nodes */
};

struct nestvirt_memory_config {
    uint32_t size;
    uint32_t flags;         /* NESTVIRT_MEMORY_* */
    uint64_t address;       /* guest physical address, a multiple of 4096 */
    uint64_t length;        /* bytes, a multiple of 4096 */
    uint32_t backing;       /* NESTVIRT_BACKING_* */
    uint32_t reserved;      /* 0 */
    uint64_t offset;        /* bytes into the file of BACKING_FD and _FILE, a multiple of 4096 */
    uint64_t page_size;     /* of BACKING_HUGETLB: 2 MiB, 1 GiB; 0: the host's default */
    int32_t fd;             /* of BACKING_FD and _FILE, duplicated; else not looked at */
    uint32_t huge_pages;    /* NESTVIRT_HUGE_PAGES_* */
    uint32_t numa_policy;   /* NESTVIRT_NUMA_* */
    uint32_t guest_node;    /* the guest's NUMA node that it belongs to (numa.h) */
    const char *numa_nodes; /* the host's nodes, "0-1,3"; copied; NULL where the policy has none */
};

/* Zeroes the structure, sets its size, and fd to -1; never writes past caller_size bytes. */
void nestvirt_memory_config_init(struct nestvirt_memory_config *config, size_t caller_size);

/*
 * Adds a region of RAM, zeroed, reserved but not touched, not inherited by fork(). Returns its
 * number (0, 1, ...) which stays its own until it is removed. State new.
 * Errors: -EINVAL for a length that is 0 or not a multiple of 4096, an address that is not, an end
 * beyond the address space (2^46) or a length above 16 TiB; -EEXIST where it would overlap another
 * region or the library's own windows; -ENOSPC when KVM's memory slots are used up; -ENOMEM;
 * -EFBIG; -EBUSY in another state.
 * Of numa_policy and numa_nodes: -EINVAL for an unknown policy, one without the nodes it needs or
 * with nodes it does not have, several nodes for PREFERRED, a malformed or empty list, a node that
 * does not exist, is offline, has no memory or is outside of the process's cpuset, and for
 * MEMORY_NUMA_STRICT without nodes; -ENOTSUP without libnuma or on a kernel without NUMA; -ENOMEM
 * where BIND's nodes have less memory than is to be touched or locked in build. If the host refuses
 * a policy (a sandbox without mbind(2), PREFERRED_MANY before Linux 5.15), the region is added
 * without it and the log says so; with MEMORY_NUMA_STRICT the call fails with the kernel's code.
 * MEMORY_NUMA_STRICT with PREFAULT or LOCK: nestvirt_vm_build() fails with -EIO if a page is on
 * another node. Pages that a file's cache holds already stay where they are.
 */
int nestvirt_memory_add(struct nestvirt_vm *vm, const struct nestvirt_memory_config *config,
                        struct nestvirt_error **ret_error);

/*
 * Removes a region and unmaps it; pointers into it become invalid. State new, else -EBUSY.
 * -ENOENT for an unknown number.
 */
int nestvirt_memory_remove(struct nestvirt_vm *vm, uint32_t region,
                           struct nestvirt_error **ret_error);

/*
 * Reads the configuration of a region back. With the default layout, address is 0 and length the
 * sum of both parts. numa_nodes is the library's, valid until the region is removed. Any state.
 * -ENOENT for an unknown number.
 */
int nestvirt_memory_get(struct nestvirt_vm *vm, uint32_t region,
                        struct nestvirt_memory_config *config, struct nestvirt_error **ret_error);

/*
 * Copies between the caller's buffer and guest memory; may span regions that touch. The guest may
 * be running: the copy is then not atomic. Any state. -EFAULT when any byte lies outside guest
 * memory; nothing is copied then.
 */
int nestvirt_memory_read(struct nestvirt_vm *vm, uint64_t address, void *buffer, size_t length,
                         struct nestvirt_error **ret_error);
int nestvirt_memory_write(struct nestvirt_vm *vm, uint64_t address, const void *buffer,
                          size_t length, struct nestvirt_error **ret_error);

/*
 * The address in this process of length bytes of guest memory. Valid until the region is removed
 * or the VM freed; the same across starts. A running guest changes the bytes at any time: read
 * each once, then check, then use. Any state. -EFAULT when the bytes are not within one piece of
 * one region.
 */
int nestvirt_memory_get_pointer(struct nestvirt_vm *vm, uint64_t address, size_t length,
                                void **ret_pointer, struct nestvirt_error **ret_error);

/* flags of nestvirt_memory_set_numa() */
enum {
    NESTVIRT_NUMA_STRICT = 1 << 0, /* fail if a page is, or stays, on another node */
    NESTVIRT_NUMA_MOVE = 1 << 1    /* move the pages that are on other nodes */
};

/*
 * Changes the policy for nodes of a region: pages touched from now on follow it, and with
 * NESTVIRT_NUMA_MOVE those that are resident move, while the guest runs. The kernel moves what only
 * this process has mapped; pages that are pinned, merged by KSM or shared with another process stay
 * where they are. The region's configuration tells what it was added with; the policy that holds is
 * in nestvirt_memory_placement.
 *
 * policy: NESTVIRT_NUMA_*. nodes: as nestvirt_memory_config.numa_nodes, copied.
 * flags: NESTVIRT_NUMA_STRICT and NESTVIRT_NUMA_MOVE, both only for policies with nodes.
 * The host's nodes are read from sysfs at each call, and libnuma is loaded at the first one of the
 * process: a sandbox must leave that possible, if policies are to change later.
 * Any state; moving takes as long as copying the pages does, and other calls that change the VM
 * wait. Errors: those of nestvirt_memory_add() for nodes; -ENOENT for an unknown region; -EIO with
 * NESTVIRT_NUMA_STRICT when pages are elsewhere (the error says how many): the policy is then as it
 * was, but pages that moved have moved; -EDEADLK on the VM's own threads; -EPERM where a sandbox
 * forbids mbind(2); -ENOMEM.
 */
int nestvirt_memory_set_numa(struct nestvirt_vm *vm, uint32_t region, uint32_t policy,
                             const char *nodes, uint32_t flags, struct nestvirt_error **ret_error);

/*
 * Where the pages of a region are. Pages are counted by 4096 bytes, huge ones as all they consist
 * of: one of 2 MiB is 512.
 */
struct nestvirt_memory_placement {
    uint32_t size;
    uint32_t flags;     /* 0 */
    uint32_t policy;    /* NESTVIRT_NUMA_*, as the kernel has it now */
    uint32_t reserved;  /* 0 */
    uint64_t resident;  /* pages of this process's mapping that are in memory */
    uint64_t absent;    /* never touched here, swapped out, or a page of zeroes that all share */
    uint64_t elsewhere; /* resident on nodes that the caller's array has no place for */
};

/* Zeroes the structure and sets its size; never writes past caller_size bytes. */
void nestvirt_memory_placement_init(struct nestvirt_memory_placement *placement,
                                    size_t caller_size);

/*
 * Asks the kernel for the node of each page (move_pages(2)). Nothing is touched or made resident.
 * The guest may run: each page was where it is said to be at the moment it was looked at.
 *
 * pages: filled with the number of pages on node 0, 1, ... count - 1. NULL if count is 0.
 * Any state, any thread. Takes some tenths of a microsecond for each page of the region.
 * Errors: -ENOENT for an unknown region; -ENOTSUP without libnuma, or if somebody else has set a
 * policy that this library does not know; -EFAULT, -EINVAL, -ENOMEM.
 */
int nestvirt_memory_get_placement(struct nestvirt_vm *vm, uint32_t region,
                                  struct nestvirt_memory_placement *placement, uint64_t *pages,
                                  uint32_t count, struct nestvirt_error **ret_error);

#ifdef __cplusplus
}
#endif

#endif
