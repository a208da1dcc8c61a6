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

/*
 * nestvirt_memory_config.backing
 *
 * A guest can never end this process by touching memory: huge pages are taken from their pool when
 * the region is added, and a file is mapped only where it cannot shrink or the caller answers for
 * it (NESTVIRT_MEMORY_ALLOW_UNSEALED).
 *
 *                  at a new start (vm.h)       a page the guest gives back (balloon)
 *   ANONYMOUS      zeroed                      to the host
 *   MEMFD          zeroed                      to the host
 *   HUGETLB        zeroed                      stays with the VM
 *   FD             left as it is               a hole in the caller's file
 *   FILE           the file's bytes again      stays; to the host where the file was copied
 *
 * Whatever the backing, a page that was given back reads as zero.
 */
enum {
    NESTVIRT_BACKING_ANONYMOUS = 0, /* private memory of this process */
    NESTVIRT_BACKING_MEMFD = 1,     /* a memfd of the library's, sealed against change of size */
    /* Huge pages of the host's pool, private, zeroed when added; see page_size. */
    NESTVIRT_BACKING_HUGETLB = 2,
    /* The caller's memfd or file, open for reading and writing, shared: writes go there. */
    NESTVIRT_BACKING_FD = 3,
    /*
     * The caller's file, private: writes stay here. A memfd sealed with F_SEAL_SHRINK, or any file
     * with NESTVIRT_MEMORY_ALLOW_UNSEALED, is mapped copy on write, sharing untouched pages with
     * its other users. Others are copied, now and at each new start.
     */
    NESTVIRT_BACKING_FILE = 4
};

/* nestvirt_memory_config.flags */
enum {
    /* Place the region by the default layout; address must be 0. */
    NESTVIRT_MEMORY_DEFAULT_LAYOUT = 1 << 0,
    /*
     * Touch every page in each nestvirt_vm_build(), on several threads, so that the guest never
     * waits. Pages of a file that is mapped copy on write stay shared until they are written.
     * Needs Linux 5.14.
     */
    NESTVIRT_MEMORY_PREFAULT = 1 << 1,
    /*
     * Lock pages in memory from their first touch on (mlock2(2)); with PREFAULT all from build on.
     * The whole region counts against RLIMIT_MEMLOCK when it is added. Huge pages of a pool are
     * always locked and do not count.
     */
    NESTVIRT_MEMORY_LOCK = 1 << 2,
    /*
     * The guest and its devices can only read it; the caller writes it by nestvirt_memory_write().
     * A guest's write is an exit that nobody handles and changes nothing; a virtio device that is
     * told to write there needs a reset. It is no RAM in the tables that a kernel is given. Hosts
     * without NESTVIRT_HOST_READONLY_MEMORY: nestvirt_vm_validate() and _build() say -ENOTSUP.
     */
    NESTVIRT_MEMORY_READ_ONLY = 1 << 3,
    /* Leave it out of core dumps of this process. */
    NESTVIRT_MEMORY_NO_DUMP = 1 << 4,
    /* Let KSM merge its pages, as nestvirt_memory_set_mergeable() does. */
    NESTVIRT_MEMORY_MERGEABLE = 1 << 5,
    /*
     * Of BACKING_FD and _FILE: map a file that can shrink. Whoever may truncate it can then end
     * this process with SIGBUS.
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
    uint64_t address;       /* guest physical address, a multiple of 4096, or of huge pages */
    uint64_t length;        /* bytes, likewise */
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
 * Adds a region of RAM, not inherited by fork(). Anonymous memory and memfds are reserved but not
 * touched; huge pages and copies of files are there when this returns. Returns its number (0, 1,
 * ...) which stays its own until it is removed. State new.
 * Errors: -EINVAL for a length that is 0 or not a multiple of 4096 (of the page size with huge
 * pages), an address or offset that is not, an end beyond the address space (2^46) or the end of
 * the file, a length above 16 TiB, an unknown flag, backing, page size or huge_pages, a descriptor
 * that is neither memfd nor regular file, or of BACKING_FD without F_SEAL_SHRINK; -EISDIR for a
 * directory; -EBADF for a descriptor that is not open; -EACCES where it is not open for what the
 * backing does; -EPERM for BACKING_FD of a memfd sealed against writes; -EEXIST where it would
 * overlap another region or the library's own windows; -ENOSPC when KVM's memory slots are used
 * up; -ENOMEM, also when huge pages are missing in the pool (the message says how many and where)
 * and when RLIMIT_MEMLOCK is too low; -ENOTSUP for a page size or a kind of huge pages that the
 * host lacks, and as nestvirt_memory_set_mergeable() says; -EIO and others from reading a file to
 * copy; -EFBIG; -EBUSY in another state.
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
 * Reads the configuration of a region back as it was given; NESTVIRT_MEMORY_MERGEABLE tells how it
 * is now, and fd is the caller's number, which may be closed by now. With the default layout,
 * address is 0 and length the sum of both parts. numa_nodes is the library's, valid until the
 * region is removed. Any state. -ENOENT for an unknown number.
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

/*
 * Switches KSM, the kernel's merging of pages with equal contents, on (1) or off (0) for one
 * region. Off unless asked for, and never for the process as a whole.
 *
 * WARNING: merging opens a side channel between all whose memory is mergeable on this host. The
 * first write to a merged page takes measurably longer, because it is copied then. A guest that
 * guesses a page's contents, writes them to its own memory, waits for KSM and times a write learns
 * whether another VM, or the program itself, has that page: which programs and versions run there,
 * defeated address randomisation, and secrets whose other bytes are known (memory deduplication
 * attacks). Merged pages also let a guest choose where in physical memory a neighbour's page lies,
 * which helps attacks by bit flips (rowhammer). Do it only among VMs that may know of each other's
 * contents.
 *
 * Only private pages of 4096 bytes merge: -ENOTSUP for MEMFD, FD and HUGETLB, where the kernel
 * would take the advice and ignore it. Of a FILE that is mapped copy on write only those pages
 * merge that were written and so copied; untouched ones are shared through the file already.
 * Nothing merges while KSM does not run on the host (nestvirt_memory_ksm.host_run).
 *
 * Off gives each merged page its own copy before this returns, which may take long (seconds for
 * GiB) and needs that much memory; other calls that change the VM wait meanwhile, the guest does
 * not. Any state. Errors: -EINVAL for another value of on; -ENOENT for an unknown number; -ENOTSUP
 * as above, and where the kernel has no KSM; -ENOMEM, -EAGAIN; -EPERM where a sandbox forbids
 * madvise(2); -EDEADLK from a callback or vCPU of this VM. Then nothing has changed, but an
 * interrupted "off" may have unmerged some pages.
 */
int nestvirt_memory_set_mergeable(struct nestvirt_vm *vm, uint32_t region, uint32_t on,
                                  struct nestvirt_error **ret_error);

enum {
    NESTVIRT_MEMORY_EVERY = 0x7fffffff /* in place of a region's number: all of the VM */
};

/* nestvirt_memory_ksm.flags: which figures this kernel gave; the others are 0 and mean nothing. */
enum {
    NESTVIRT_MEMORY_KSM_MERGED = 1 << 0,        /* merged_bytes: Linux 6.8 */
    NESTVIRT_MEMORY_KSM_MERGING_PAGES = 1 << 1, /* process_merging_pages: Linux 6.4 */
    NESTVIRT_MEMORY_KSM_ZERO_PAGES = 1 << 2,    /* process_zero_pages: Linux 6.6 */
    NESTVIRT_MEMORY_KSM_RMAP_ITEMS = 1 << 3,    /* process_rmap_items: Linux 6.1 */
    NESTVIRT_MEMORY_KSM_PROFIT = 1 << 4,        /* process_profit: Linux 6.4 */
    NESTVIRT_MEMORY_KSM_HOST_RUN = 1 << 5       /* host_run */
};

/*
 * What KSM has merged. Of single regions and VMs the kernel tells only how many of their pages are
 * merged ones, each mapping of a page counted, without pages of zeroes that it replaced by the
 * host's own. Everything named process_ is of all VMs and the rest of this process together; there
 * is no finer figure.
 */
struct nestvirt_memory_ksm {
    uint32_t size;
    uint32_t flags;                 /* NESTVIRT_MEMORY_KSM_* */
    uint64_t mergeable_bytes;       /* of regions that are mergeable now */
    uint64_t merged_bytes;          /* mapped by the regions and merged; of smaps */
    uint64_t process_merging_pages; /* pages of the process that are merged */
    uint64_t process_zero_pages;    /* pages of zeroes that share the host's own */
    uint64_t process_rmap_items;    /* pages that KSM keeps account of */
    int64_t process_profit;         /* bytes saved less what KSM's accounts need; may be negative */
    uint32_t host_run;              /* 0: KSM stands, 1: it runs, 2: it stands and unmerged all */
    uint32_t reserved;
};

/* Zeroes the structure and sets its size; never writes past caller_size bytes. */
void nestvirt_memory_ksm_init(struct nestvirt_memory_ksm *ksm, size_t caller_size);

/*
 * Reports on a region or NESTVIRT_MEMORY_EVERY. The kernel walks the page tables of the whole
 * process for it: milliseconds for each GiB in use, so do not ask often. Any state.
 * Errors: -ENOENT for an unknown number; -ENOMEM, -EMFILE, -ENFILE.
 */
int nestvirt_memory_get_ksm(struct nestvirt_vm *vm, uint32_t region,
                            struct nestvirt_memory_ksm *ksm, struct nestvirt_error **ret_error);

#ifdef __cplusplus
}
#endif

#endif
