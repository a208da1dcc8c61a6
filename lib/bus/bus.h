/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the map from ports and MMIO addresses to handlers, and the list of ioeventfds. */
#ifndef NV_BUS_BUS_H
#define NV_BUS_BUS_H

#include <stdbool.h>
#include <stdint.h>

#include <nestvirt/device.h>

#include "kvm/kvm.h"
#include "memory/memory.h"

/* A claimed range. The handler answers NESTVIRT_ACTION_*. */
struct nv_range {
    uint64_t address;
    uint64_t length;
    int32_t (*fn)(void *user_data, struct nestvirt_access *access);
    void *user_data;
    void (*free_data)(void *user_data); /* only of the caller's ranges */
    uint32_t number;                    /* of the caller's ranges; NV_RANGE_INTERNAL for ours */
};

/* Sorted by address, no overlaps; not changed while a vCPU runs. */
struct nv_space {
    struct nv_range *ranges;
    uint32_t count;
    uint32_t capacity;
};

struct nv_ioeventfd {
    struct nestvirt_ioeventfd_config config; /* fd is ours unless it is lent */
    bool is_lent;                            /* by a device of the library for one build */
};

/*
 * What a handler of the library may answer besides NESTVIRT_ACTION_*: not done yet, call again; in
 * between the vCPU parks if it is asked to.
 */
enum { NV_ACTION_AGAIN = -1 };

enum {
    NV_RANGE_INTERNAL = 0xffffffffu,
    NV_RANGES_MAX = 4096, /* per space: bounds what a caller's mistake can cost */
    NV_IOEVENTFDS_MAX = 1024
};

struct nv_bus {
    struct nv_space port;
    struct nv_space mmio;
    uint32_t next_number;
    struct nv_ioeventfd *ioeventfds;
    uint32_t ioeventfd_count;
};

/* Frees the ranges, calling free_data of each, and closes the ioeventfds. */
void nv_bus_destroy(struct nv_bus *bus);

/*
 * Claims a range for the caller (number >= 0 returned) or, with internal, for the library (0).
 * -EINVAL, -EEXIST, -ENOSPC, -ENOMEM.
 */
int nv_bus_add(struct nv_bus *bus, uint32_t space, const struct nv_range *range, bool internal,
               struct nestvirt_error **ret_error);

/* Takes out one of the caller's ranges, whose free_data is then his to call. -ENOENT. */
int nv_bus_remove(struct nv_bus *bus, uint32_t number, struct nv_range *ret_range,
                  struct nestvirt_error **ret_error);

/* Gives back every internal range and lent ioeventfd. */
void nv_bus_remove_internal(struct nv_bus *bus);

/* The range that holds all of [address, address + length), or NULL. */
const struct nv_range *nv_bus_find(const struct nv_space *space, uint64_t address, uint32_t length);

/* Appends an error for every MMIO range that lies over guest memory. */
void nv_bus_check_memory(const struct nv_bus *bus, const struct nv_memory *memory,
                         struct nestvirt_error **list);

/* Adds an ioeventfd (config of our size); takes a duplicate of its fd. Errors: device.h. */
int nv_bus_add_ioeventfd(struct nv_bus *bus, const struct nestvirt_ioeventfd_config *config,
                         struct nestvirt_error **ret_error);

/* The same for a device of the library: fd stays its own, and must last until it is given back. */
int nv_bus_lend_ioeventfd(struct nv_bus *bus, const struct nestvirt_ioeventfd_config *config,
                          struct nestvirt_error **ret_error);

/* Registers all ioeventfds with a new KVM VM. */
int nv_bus_attach(const struct nv_bus *bus, const struct nestvirt_host *host, int vm_fd,
                  struct nestvirt_error **ret_error);

#endif
