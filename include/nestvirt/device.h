/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Devices of the library with typed properties, and the means for devices of the caller's own:
 * port and MMIO handlers, notifications by eventfd, and interrupts.
 *
 * Kinds of this release: "serial" (8250 at port 0x3f8, interrupt 4), "reset" (i8042 reset line;
 * ACPI reset, sleep and power button), "exit" (a port that ends the run with an exit code),
 * "vmgenid" (the VM generation ID, see template.h), and the virtio devices "blk", "net", "console",
 * "rng", "balloon" and "vsock" (virtio 1.2, MMIO transport). nestvirt_device_get_kind() and
 * nestvirt_device_get_property() list what this library has.
 */
#ifndef NESTVIRT_DEVICE_H
#define NESTVIRT_DEVICE_H

#include <nestvirt/vm.h>

#ifdef __cplusplus
extern "C" {
#endif

struct nestvirt_device;

/* nestvirt_device_property.type */
enum {
    NESTVIRT_PROPERTY_U64 = 1,   /* a number; nestvirt_device_set_u64() */
    NESTVIRT_PROPERTY_BOOL = 2,  /* 0 or 1; nestvirt_device_set_u64() */
    NESTVIRT_PROPERTY_FD = 3,    /* a file descriptor, duplicated; nestvirt_device_set_fd() */
    NESTVIRT_PROPERTY_STRING = 4 /* text, copied; nestvirt_device_set_string() */
};

/* nestvirt_device_property.flags */
enum {
    NESTVIRT_PROPERTY_LIVE = 1 << 0,      /* may be set in any state */
    NESTVIRT_PROPERTY_READ_ONLY = 1 << 1, /* a counter or state, only to be read */
    NESTVIRT_PROPERTY_IDENTITY = 1 << 2 /* names what one VM has for itself: a clone has its own */
};

/* One property of a kind of device. The texts are static. */
struct nestvirt_device_property {
    uint32_t size;
    uint32_t flags; /* NESTVIRT_PROPERTY_LIVE, _READ_ONLY, _IDENTITY */
    uint32_t type;  /* NESTVIRT_PROPERTY_U64 ... */
    uint32_t reserved;
    const char *name;
    const char *help;
};

/* Zeroes the structure and sets its size; never writes past caller_size bytes. */
void nestvirt_device_property_init(struct nestvirt_device_property *property, size_t caller_size);

/* The name of kind number position (from 0), NULL behind the last. Static. */
const char *nestvirt_device_get_kind(uint32_t position);

/*
 * Property number position (from 0) of a kind. -ENOENT behind the last one or for an unknown kind.
 */
int nestvirt_device_get_property(const char *kind, uint32_t position,
                                 struct nestvirt_device_property *property,
                                 struct nestvirt_error **ret_error);

/*
 * Adds a device to a VM; it belongs to the VM and lives as long. State new.
 * Errors: -ENOENT for an unknown kind (the message lists them), -EEXIST for a second "serial",
 * "reset" or "exit" at the same place (found by build), -ENOSPC above 64 devices, -EBUSY.
 */
int nestvirt_device_add(struct nestvirt_vm *vm, const char *kind,
                        struct nestvirt_device **ret_device, struct nestvirt_error **ret_error);

/*
 * Device number (from 0) of a VM, in the order in which they were added; a clone has those of its
 * template's VM. It belongs to the VM. Any state. Errors: -ENOENT behind the last one.
 */
int nestvirt_device_get(struct nestvirt_vm *vm, uint32_t number,
                        struct nestvirt_device **ret_device, struct nestvirt_error **ret_error);

/*
 * Sets a property. State new, or any for a live property. Errors: -ENOENT for an unknown name (the
 * message lists them), -EINVAL for another type or a value out of range, -EBADF for a bad
 * descriptor, -EPERM for a read-only property, -EBUSY.
 */
int nestvirt_device_set_u64(struct nestvirt_device *device, const char *name, uint64_t value,
                            struct nestvirt_error **ret_error);
int nestvirt_device_set_fd(struct nestvirt_device *device, const char *name, int fd,
                           struct nestvirt_error **ret_error);
int nestvirt_device_set_string(struct nestvirt_device *device, const char *name, const char *value,
                               struct nestvirt_error **ret_error);

/*
 * Reads a number, a truth value, or a counter. Any state. Errors as for nestvirt_device_set_u64().
 */
int nestvirt_device_get_u64(struct nestvirt_device *device, const char *name, uint64_t *ret_value,
                            struct nestvirt_error **ret_error);

/* Address spaces of handlers and notifications. */
enum {
    NESTVIRT_SPACE_PORT = 1, /* addresses 0 to 0xffff */
    NESTVIRT_SPACE_MMIO = 2  /* guest physical addresses */
};

/* One access to a handler's range. */
struct nestvirt_access {
    uint32_t size;
    uint32_t flags;    /* 0 */
    uint32_t space;    /* NESTVIRT_SPACE_* */
    uint32_t vcpu;     /* number of the vCPU */
    uint64_t address;  /* port or guest physical address */
    uint64_t offset;   /* the same, from the start of the range */
    uint32_t length;   /* bytes, 1 to 8 */
    uint32_t is_write; /* 1: data holds what the guest wrote; 0: put the answer there (zeroed) */
    uint8_t data[8];   /* little-endian */
};

/*
 * Handles accesses to a range: fn is called on the vCPU's thread, several at a time if several
 * vCPUs access it, and answers NESTVIRT_ACTION_*; DEFAULT treats the access as unclaimed.
 * free_data (may be NULL) is called once when the range is removed or the VM freed; not if this
 * call fails. State new. Returns the handler's number, for nestvirt_handler_remove().
 * Errors: -EINVAL for an empty or wrapping range or an unknown space, -EEXIST where it overlaps
 * another range, guest memory (found by build) or the library's windows, -ENOSPC above 4096 ranges.
 */
int nestvirt_handler_add(struct nestvirt_vm *vm, uint32_t space, uint64_t address, uint64_t length,
                         int32_t (*fn)(void *user_data, struct nestvirt_access *access),
                         void *user_data, void (*free_data)(void *user_data),
                         struct nestvirt_error **ret_error);

/* Removes a handler. State new. -ENOENT for an unknown number. */
int nestvirt_handler_remove(struct nestvirt_vm *vm, uint32_t handler,
                            struct nestvirt_error **ret_error);

/* nestvirt_ioeventfd_config.flags */
enum {
    NESTVIRT_IOEVENTFD_DATAMATCH = 1 << 0 /* only writes of value */
};

struct nestvirt_ioeventfd_config {
    uint32_t size;
    uint32_t flags;    /* NESTVIRT_IOEVENTFD_* */
    uint32_t space;    /* NESTVIRT_SPACE_* */
    uint32_t length;   /* bytes of the write: 1, 2, 4, 8; 0 any (MMIO without DATAMATCH) */
    uint64_t address;  /* port or guest physical address */
    uint64_t value;    /* with DATAMATCH */
    int32_t fd;        /* an eventfd, duplicated */
    uint32_t reserved; /* 0 */
};

/* Zeroes the structure, sets its size and fd to -1; never writes past caller_size bytes. */
void nestvirt_ioeventfd_config_init(struct nestvirt_ioeventfd_config *config, size_t caller_size);

/*
 * Lets guest writes signal an eventfd in the kernel, without an exit to the library. State new.
 * Errors: -EINVAL, -EBADF when fd is no descriptor, -EEXIST for the same address, length and value,
 * -ENOSPC above 1024.
 */
int nestvirt_ioeventfd_add(struct nestvirt_vm *vm, const struct nestvirt_ioeventfd_config *config,
                           struct nestvirt_error **ret_error);

enum {
    NESTVIRT_IRQ_ANY = 0x7fffffff /* nestvirt_irq_add(): let the library choose the pin */
};

/* nestvirt_irq_add() flags */
enum {
    NESTVIRT_IRQ_LEVEL = 1 << 0 /* level-triggered: fires again at EOI while raised; else edge */
};

/*
 * Claims an IOAPIC pin (0 to 23, which is also its number in the MP table and ACPI) as an
 * interrupt line of the caller's. State new. Returns the pin.
 * Errors: -EEXIST when the pin is taken, NESTVIRT_E_NO_INTERRUPT_PIN when all are,
 * -EINVAL, -ENOTSUP with NESTVIRT_CHIP_NONE.
 */
int nestvirt_irq_add(struct nestvirt_vm *vm, uint32_t pin, uint32_t flags,
                     struct nestvirt_error **ret_error);

/*
 * Sets a claimed line: level 1 raises, 0 lowers. An edge line interrupts at each 0 to 1.
 * States built to paused; may be called from callbacks.
 */
int nestvirt_irq_set(struct nestvirt_vm *vm, uint32_t pin, uint32_t level,
                     struct nestvirt_error **ret_error);

/*
 * Lets an eventfd (duplicated) trigger a claimed edge line without a call. State new.
 * -EINVAL for a level line, -EBADF, -EEXIST when the line has one.
 */
int nestvirt_irqfd_add(struct nestvirt_vm *vm, uint32_t pin, int fd,
                       struct nestvirt_error **ret_error);

/*
 * Sends a message-signalled interrupt (address 0xfee....., KVM API documentation 4.71).
 * States built to paused. Returns 1 if a vCPU took it, 0 if it was dropped.
 */
int nestvirt_msi_send(struct nestvirt_vm *vm, uint64_t address, uint32_t data,
                      struct nestvirt_error **ret_error);

#ifdef __cplusplus
}
#endif

#endif
