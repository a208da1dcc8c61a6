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
    NESTVIRT_BACKING_MEMFD = 1      /* a memfd sealed against change of size */
};

/* nestvirt_memory_config.flags */
enum {
    /* Place the region by the default layout; address must be 0. */
    NESTVIRT_MEMORY_DEFAULT_LAYOUT = 1 << 0
};

struct nestvirt_memory_config {
    uint32_t size;
    uint32_t flags;    /* NESTVIRT_MEMORY_* */
    uint64_t address;  /* guest physical address, a multiple of 4096 */
    uint64_t length;   /* bytes, a multiple of 4096 */
    uint32_t backing;  /* NESTVIRT_BACKING_* */
    uint32_t reserved; /* 0 */
};

/* Zeroes the structure and sets its size; never writes past caller_size bytes. */
void nestvirt_memory_config_init(struct nestvirt_memory_config *config, size_t caller_size);

/*
 * Adds a region of RAM, zeroed, reserved but not touched, not inherited by fork(). Returns its
 * number (0, 1, ...) which stays its own until it is removed. State new.
 * Errors: -EINVAL for a length that is 0 or not a multiple of 4096, an address that is not, an end
 * beyond the address space (2^46) or a length above 16 TiB; -EEXIST where it would overlap another
 * region or the library's own windows; -ENOSPC when KVM's memory slots are used up; -ENOMEM;
 * -EFBIG; -EBUSY in another state.
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
 * sum of both parts. Any state. -ENOENT for an unknown number.
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

#ifdef __cplusplus
}
#endif

#endif
