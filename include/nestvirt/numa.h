/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NUMA: the host's nodes and a choice among them; the nodes that the guest sees.
 *
 * On which of the host's nodes a region's pages are is set and read back by memory.h.
 */
#ifndef NESTVIRT_NUMA_H
#define NESTVIRT_NUMA_H

#include <nestvirt/boot.h>
#include <nestvirt/memory.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What the kernel said of the host's nodes at one moment; immutable. */
struct nestvirt_numa;

struct nestvirt_numa_config {
    uint32_t size;
    uint32_t flags;   /* 0 */
    const char *root; /* a folder that holds sys and proc; NULL: "/" */
};

/* Zeroes the structure and sets its size; never writes past caller_size bytes. */
void nestvirt_numa_config_init(struct nestvirt_numa_config *config, size_t caller_size);

/*
 * Reads the nodes that are online: their CPUs, memory, distances and pools of huge pages. A kernel
 * without NUMA has one node 0 with all CPUs and all memory. Any thread; what the thread may use
 * (its cpuset and affinity) is part of it.
 *
 * config: NULL for the defaults. ret_numa: free it with nestvirt_numa_free().
 * Errors: -ENOENT and other codes of the system where a file cannot be read, -EINVAL for one that
 * is malformed, each with the file's name; -EINVAL for unknown flags; -E2BIG; -ENOMEM.
 */
int nestvirt_numa_new(const struct nestvirt_numa_config *config, struct nestvirt_numa **ret_numa,
                      struct nestvirt_error **ret_error);

/*
 * Frees what nestvirt_numa_new() made. NULL is allowed. Returns 0, or -EBADF for another kind of
 * handle.
 */
int nestvirt_numa_free(struct nestvirt_numa *numa);

/* nestvirt_numa_node.flags */
enum {
    NESTVIRT_NUMA_NODE_ALLOWED = 1 << 0 /* the thread's cpuset lets it have memory of the node */
};

struct nestvirt_numa_node {
    uint32_t size;
    uint32_t flags;            /* NESTVIRT_NUMA_NODE_* */
    uint32_t node;             /* its number */
    uint32_t cpus;             /* online; 0: a node of memory only */
    uint32_t cpus_allowed;     /* those of them that the thread may run on */
    uint32_t pools;            /* sizes of huge pages */
    uint64_t memory_total;     /* bytes; 0: a node of CPUs only */
    uint64_t memory_free;      /* bytes that nobody uses */
    uint64_t memory_available; /* those, and caches that the kernel gives up for others */
};

/* Zeroes the structure and sets its size; never writes past caller_size bytes. */
void nestvirt_numa_node_init(struct nestvirt_numa_node *node, size_t caller_size);

/*
 * Reads the node at a position (from 0) of those online, by number. -ENOENT behind the last one.
 * Any thread, as all functions that read a nestvirt_numa.
 */
int nestvirt_numa_get_node(const struct nestvirt_numa *numa, uint32_t position,
                           struct nestvirt_numa_node *node, struct nestvirt_error **ret_error);

/*
 * Writes the list of a node's CPUs, "0-3,8", into buffer: those online, and with allowed not 0 only
 * those that the thread may run on. Returns the length of the list. Errors: -E2BIG when it
 * does not fit into size bytes (the message tells the length), -ENOENT for a node that is not
 * online; buffer is then "", never a part of the list.
 */
int nestvirt_numa_get_cpus(const struct nestvirt_numa *numa, uint32_t node, uint32_t allowed,
                           char *buffer, size_t size, struct nestvirt_error **ret_error);

/*
 * How far memory of node `to` is from CPUs of node `from`, 10 being the node itself and 20 twice as
 * far (ACPI 6.4, 5.2.17). -ENOENT for a node that is not online.
 */
int nestvirt_numa_get_distance(const struct nestvirt_numa *numa, uint32_t from, uint32_t to,
                               struct nestvirt_error **ret_error);

/* Huge pages of one size on one node. */
struct nestvirt_numa_pool {
    uint32_t size;
    uint32_t flags;     /* 0 */
    uint64_t page_size; /* bytes */
    uint64_t total;     /* pages */
    uint64_t free;      /* pages, reserved ones among them */
};

/* Zeroes the structure and sets its size; never writes past caller_size bytes. */
void nestvirt_numa_pool_init(struct nestvirt_numa_pool *pool, size_t caller_size);

/* Reads the pool at a position (from 0) of a node, by size of page. -ENOENT behind the last one. */
int nestvirt_numa_get_pool(const struct nestvirt_numa *numa, uint32_t node, uint32_t position,
                           struct nestvirt_numa_pool *pool, struct nestvirt_error **ret_error);

/* What is to be put on one node. */
struct nestvirt_numa_need {
    uint32_t size;
    uint32_t flags;     /* 0 */
    uint64_t memory;    /* bytes */
    uint64_t page_size; /* 0: ordinary pages; else huge pages of this size, from the pool */
    uint32_t vcpus;     /* each gets a CPU of the node to itself */
    uint32_t reserved;  /* 0 */
};

/* Zeroes the structure and sets its size; never writes past caller_size bytes. */
void nestvirt_numa_need_init(struct nestvirt_numa_need *need, size_t caller_size);

/*
 * Chooses a node that has enough memory available and enough CPUs, both of those the thread may
 * use: the one with most CPUs, then with most memory. Nothing is reserved: a later call, on a new
 * nestvirt_numa, sees what has been taken meanwhile. Bind memory to it
 * (nestvirt_memory_config.numa_nodes), and vCPUs to its nestvirt_numa_get_cpus().
 *
 * Returns the node's number. Errors: -ENOSPC where no node has enough: the error says what each
 * has; -EINVAL for nothing wanted, unknown flags or a page size that is not a power of two; -E2BIG.
 */
int nestvirt_numa_get_place(const struct nestvirt_numa *numa, const struct nestvirt_numa_need *need,
                            struct nestvirt_error **ret_error);

enum {
    NESTVIRT_GUEST_NODES_MAX = 64, /* nodes of a guest: what Linux is usually built for */
    NESTVIRT_DISTANCE_LOCAL = 10,
    NESTVIRT_DISTANCE_DEFAULT = 20, /* between nodes, if not set */
    NESTVIRT_DISTANCE_MAX = 254
};

/*
 * Adds a NUMA node to the guest: a proximity domain in ACPI's SRAT and SLIT (ACPI 6.4, 5.2.16 and
 * 5.2.17). Regions belong to it by nestvirt_memory_config.guest_node. As soon as there is a node,
 * every vCPU and region must belong to one. nestvirt_vm_validate() lists a vCPU in no node or in
 * two, a node that has neither vCPUs nor memory, a region of an unknown node, and nodes without a
 * kernel that is started with NESTVIRT_DISCOVERY_ACPI and could see them.
 *
 * vcpus: their numbers, "0-1,4"; NULL: none, for a node of memory only.
 * Returns the node's number: 0, 1, ... State new.
 * Errors: -EINVAL for a malformed or empty list or a vCPU the VM does not have; -ENOSPC above
 * NESTVIRT_GUEST_NODES_MAX; -ENOMEM; -EBUSY in another state.
 */
int nestvirt_numa_add_guest_node(struct nestvirt_vm *vm, const char *vcpus,
                                 struct nestvirt_error **ret_error);

/*
 * Sets how far memory of guest node `to` is from vCPUs of node `from`: 11 to
 * NESTVIRT_DISTANCE_MAX. The way back is as far, unless it is set too. A node is at
 * NESTVIRT_DISTANCE_LOCAL of itself, and no other node is (Linux drops tables that say so).
 * State new. Errors: -ENOENT for an unknown node, -EINVAL, -EBUSY in another state.
 */
int nestvirt_numa_set_guest_distance(struct nestvirt_vm *vm, uint32_t from, uint32_t to,
                                     uint32_t distance, struct nestvirt_error **ret_error);

#ifdef __cplusplus
}
#endif

#endif
