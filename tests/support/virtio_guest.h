/* SPDX-License-Identifier: Apache-2.0 */
/* Owns a virtio device on plain memory, without KVM, and the guest's driver that a test plays. */
#ifndef TESTS_SUPPORT_VIRTIO_GUEST_H
#define TESTS_SUPPORT_VIRTIO_GUEST_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "bus/bus.h"
#include "bus/irq.h"
#include "devices/device.h"
#include "host/loop.h"
#include "memory/memory.h"
#include "virtio/registers.h"
#include "virtio/virtio.h"

/*
 * Guest memory: 1 MiB at 0; a region of its own that touches it; a hole; and an island. Rings lie
 * from GUEST_RINGS on, one queue behind the other, and the heap of guest_alloc() behind them.
 */
enum {
    GUEST_RINGS = 0x1000,
    GUEST_SPAN = 0x100000, /* the second region begins, the first ends */
    GUEST_SPAN_SIZE = 0x10000,
    GUEST_HOLE = 0x110000,
    GUEST_ISLAND = 0x200000,
    GUEST_ISLAND_SIZE = 0x10000,
    GUEST_END = 0x210000,
    GUEST_RING_SIZE = 64, /* descriptors of each queue, unless the test sets ring_size */
    GUEST_EVENTS_MAX = 64
};

/* Flags of guest_new(). */
enum {
    GUEST_LOOP = 1 << 0 /* a real event loop; else notifications are served where they arise */
};

/* Descriptor flags (virtio 1.2, 2.7.5). */
enum { GUEST_NEXT = 1, GUEST_WRITE = 2, GUEST_INDIRECT = 4 };

/* All that the device offers. */
#define GUEST_ALL UINT64_MAX

/* A buffer of a request. */
struct guest_part {
    uint64_t address;
    uint32_t length;
    bool is_writable;
};

/* The driver's side of a queue. */
struct guest_queue {
    uint32_t size;
    uint64_t descriptors, driver, device; /* guest addresses of the rings */
    uint16_t next_available;
    uint16_t last_used;
    uint16_t last_kick; /* next_available when it was last asked whether to notify */
    uint32_t fence;     /* written only for the order that it gives */
    uint16_t free_count;
    uint16_t free[NV_QUEUE_SIZE_MAX]; /* descriptors that are free, as a stack */
    uint16_t next[NV_QUEUE_SIZE_MAX]; /* the driver's own copy of the chains */
    uint16_t count[NV_QUEUE_SIZE_MAX];
};

struct virtio_guest {
    struct nv_memory memory;
    struct nv_bus bus;
    struct nv_irq irq;
    struct nv_log log;
    struct nestvirt_loop *loop; /* NULL without GUEST_LOOP */
    struct nv_device_env env;
    struct nestvirt_device *device;
    struct nv_virtio *virtio; /* the device's first member */
    uint8_t *low;             /* the first MiB */
    bool is_wired;

    char error[512]; /* of the last call that failed */

    pthread_mutex_t lock; /* what other threads record */
    unsigned log_lines;
    char log_text[512]; /* the last line */
    unsigned event_count;
    struct {
        uint32_t kind;
        uint64_t value;
    } events[GUEST_EVENTS_MAX]; /* the first ones */
    unsigned pause_count;

    uint64_t interrupt_count;
    uint32_t ring_size;    /* that guest_drive() asks for; at most what the device has */
    bool has_event_idx;    /* negotiated */
    bool has_no_interrupt; /* the driver does not want any */
    uint64_t features;     /* negotiated */
    uint64_t heap;         /* the next free address */
    uint64_t dirty_end;    /* what guest_reset() zeroes begins at GUEST_RINGS and ends here */
    uint32_t queue_count;
    struct guest_queue queues[NV_VIRTIO_QUEUES_MAX];
};

/*
 * All functions that return int return 0 (or what is told) or -errno, and leave the text of a
 * library error in guest->error. None ends the program, so that fuzzers may use them.
 */

/* Makes the memory and a device of a kind, not yet built; class for kinds of the test's own. */
int guest_new(struct virtio_guest *guest, const char *kind, uint32_t flags);
int guest_new_class(struct virtio_guest *guest, const struct nv_device_class *class,
                    uint32_t flags);

/* Properties. */
int guest_set_u64(struct virtio_guest *guest, const char *name, uint64_t value);
int guest_set_string(struct virtio_guest *guest, const char *name, const char *text);
int guest_set_fd(struct virtio_guest *guest, const char *name, int fd);
uint64_t guest_get_u64(struct virtio_guest *guest, const char *name);

/* Builds the device as lib/vm/assemble.c does; and takes it apart, so that it may be built again.
 */
int guest_claim(struct virtio_guest *guest);
int guest_wire(struct virtio_guest *guest); /* with guest_claim(); taken apart if it fails */
void guest_unbuild(struct virtio_guest *guest);

void guest_start(struct virtio_guest *guest);
void guest_stop(struct virtio_guest *guest);
void guest_pause(struct virtio_guest *guest);
void guest_resume(struct virtio_guest *guest);

/* Frees everything; also after a failed guest_new(). */
void guest_free(struct virtio_guest *guest);

/*
 * An access of the guest to the device's window, as a vCPU makes it: repeated while the device
 * answers NV_ACTION_AGAIN. once: the answer, NESTVIRT_ACTION_DEFAULT if nothing is at the address.
 */
void guest_access(struct virtio_guest *guest, uint64_t offset, uint32_t length, bool is_write,
                  void *data);
int32_t guest_access_once(struct virtio_guest *guest, uint64_t offset, uint32_t length,
                          bool is_write, void *data);
uint32_t guest_read32(struct virtio_guest *guest, uint64_t offset);
void guest_write32(struct virtio_guest *guest, uint64_t offset, uint32_t value);

/* Configuration, field by field (offset from its start; length 1, 2, 4; 8 as two halves). */
uint64_t guest_config(struct virtio_guest *guest, uint32_t offset, uint32_t length);
void guest_set_config(struct virtio_guest *guest, uint32_t offset, uint32_t length, uint64_t value);

/* What other threads recorded. */
unsigned guest_log_lines(struct virtio_guest *guest);
unsigned guest_events(struct virtio_guest *guest);
unsigned guest_pauses(struct virtio_guest *guest);

/* Interrupts since guest_start(). */
uint64_t guest_interrupts(struct virtio_guest *guest);

/* --- The driver (virtio_driver.c) --- */

/*
 * The driver's whole initialisation (virtio 1.2, 3.1.1), all queues set up. features: what to
 * accept of what is offered, VERSION_1 is added. -EPROTO: features refused; -EIO: a queue refused.
 */
int guest_drive(struct virtio_guest *guest, uint64_t features);

/* Its parts: up to FEATURES_OK; one queue (size 0: the usual one); DRIVER_OK. */
int guest_negotiate(struct virtio_guest *guest, uint64_t features);
int guest_setup_queue(struct virtio_guest *guest, uint32_t queue, uint32_t size);
void guest_driver_ok(struct virtio_guest *guest);

/*
 * A cheap new beginning between two inputs of a fuzzer: device reset, rings and heap zeroed and
 * empty. What was written elsewhere (guest_touch() tells it) is zeroed if below 1 MiB.
 */
void guest_reset(struct virtio_guest *guest);
void guest_touch(struct virtio_guest *guest, uint64_t address, uint64_t length);

/* Guest memory from the heap, aligned to 16; 0: none left. */
uint64_t guest_alloc(struct virtio_guest *guest, uint64_t length);

/* A pointer to guest memory within one region; NULL: not there. */
void *guest_mem(struct virtio_guest *guest, uint64_t address, uint64_t length);

/*
 * Puts a request into the available ring; returns its head, or -ENOSPC. indirect: by a table at the
 * given address, 0: a new one from the heap.
 */
int guest_add(struct virtio_guest *guest, uint32_t queue, const struct guest_part *parts,
              uint32_t count);
int guest_add_indirect(struct virtio_guest *guest, uint32_t queue, uint64_t table,
                       const struct guest_part *parts, uint32_t count);

/* Notifies; kick_wanted only if the device wants it, and tells whether. */
void guest_kick(struct virtio_guest *guest, uint32_t queue);
bool guest_kick_wanted(struct virtio_guest *guest, uint32_t queue);

/* Takes the next used entry: true, its descriptors are free again. Outputs may be NULL. */
bool guest_used(struct virtio_guest *guest, uint32_t queue, uint32_t *ret_head,
                uint32_t *ret_length);
bool guest_wait_used(struct virtio_guest *guest, uint32_t queue, uint32_t *ret_head,
                     uint32_t *ret_length, unsigned timeout_ms);

/* The device's used index as it stands. */
uint16_t guest_used_index(struct virtio_guest *guest, uint32_t queue);

/* Raw access to rings, for drivers that do wrong. Without checks of any kind but memory's own. */
void guest_put_descriptor(struct virtio_guest *guest, uint64_t table, uint32_t index,
                          uint64_t address, uint32_t length, uint16_t flags, uint16_t next);
void guest_put_available(struct virtio_guest *guest, uint32_t queue, uint16_t slot, uint16_t head);
void guest_put_index(struct virtio_guest *guest, uint32_t queue, uint16_t index);

#endif
