/* SPDX-License-Identifier: Apache-2.0 */
/* Owns a virtio device: status, features, configuration, queues, interrupts; and its MMIO window.
 */
#ifndef NV_VIRTIO_VIRTIO_H
#define NV_VIRTIO_VIRTIO_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <nestvirt/device.h>

#include "bus/bus.h"
#include "bus/irq.h"
#include "core/cleanup.h"
#include "core/log.h"
#include "host/loop.h"
#include "memory/memory.h"
#include "virtio/queue.h"

/* Device types (virtio 1.2, 5). */
enum {
    NV_VIRTIO_ID_NET = 1,
    NV_VIRTIO_ID_BLK = 2,
    NV_VIRTIO_ID_CONSOLE = 3,
    NV_VIRTIO_ID_RNG = 4,
    NV_VIRTIO_ID_BALLOON = 5,
    NV_VIRTIO_ID_VSOCK = 19
};

/* Feature bits of every device (virtio 1.2, 6). */
#define NV_VIRTIO_F_INDIRECT_DESC (1ull << 28)
#define NV_VIRTIO_F_EVENT_IDX (1ull << 29)
#define NV_VIRTIO_F_VERSION_1 (1ull << 32)

/* Device status (virtio 1.2, 2.1). */
enum {
    NV_VIRTIO_ACKNOWLEDGE = 1,
    NV_VIRTIO_DRIVER = 2,
    NV_VIRTIO_DRIVER_OK = 4,
    NV_VIRTIO_FEATURES_OK = 8,
    NV_VIRTIO_NEEDS_RESET = 64,
    NV_VIRTIO_FAILED = 128,
    NV_VIRTIO_DRIVER_BITS = NV_VIRTIO_ACKNOWLEDGE | NV_VIRTIO_DRIVER | NV_VIRTIO_FEATURES_OK |
                            NV_VIRTIO_DRIVER_OK | NV_VIRTIO_FAILED
};

enum {
    NV_VIRTIO_QUEUES_MAX = 64,
    NV_VIRTIO_CONFIG_MAX = 256,  /* bytes */
    NV_VIRTIO_DRAIN_SLICE_MS = 5 /* a reset waits this long, then lets the vCPU look around */
};

struct nv_virtio;

/*
 * What a kind of virtio device does. All are called with the device's lock held, on the loop's or a
 * vCPU's thread, and must not wait. Optional ops are NULL.
 */
struct nv_virtio_class {
    uint32_t id; /* NV_VIRTIO_ID_* */
    /*
     * Serve a queue: the guest has notified, or the driver is ready, or the VM goes on. Pops with
     * nv_virtio_pop() until there is nothing or no use; what is popped is completed here, or held.
     */
    void (*serve)(struct nv_virtio *v, uint32_t queue);
    /* DRIVER_OK: v->features is settled. -errno makes the device need a reset. */
    int (*activate)(struct nv_virtio *v);
    /*
     * Forget the chains of a queue: cancel those held that can be, with nv_virtio_release(); the
     * device waits for the others. Called for each queue at a reset, and when one is switched off.
     */
    void (*drop)(struct nv_virtio *v, uint32_t queue);
    /* After a reset, when nothing is in flight any more. */
    void (*reset)(struct nv_virtio *v);
    /* The guest wrote configuration bytes that exist; without it they are read-only. */
    void (*write_config)(struct nv_virtio *v, uint32_t offset, const uint8_t *bytes,
                         uint32_t length);
    /* The guest is about to read the configuration. */
    void (*read_config)(struct nv_virtio *v);
    /* May features be accepted together? For dependencies that one bit has on another. */
    bool (*check_features)(const struct nv_virtio *v, uint64_t features);
};

/* A queue and the library's side of it. */
struct nv_virtio_queue {
    struct nv_queue ring;
    struct nv_virtio *v;
    struct nv_source kick; /* its eventfd, -1: none; in the loop while is_wired */
    uint32_t held;         /* chains that another thread works on */
    uint32_t budget;       /* pops left in this pass */
    uint32_t haste;        /* short rests in a row, up to what makes it watched */
    uint64_t rest_ns;      /* since when nothing is done */
    bool is_drained;       /* the pass found the ring empty */
    bool is_serving;       /* a pass is under way */
    bool is_dropping;      /* switched off, and waiting for held chains */
    struct nv_chain chain; /* for devices that complete each chain before the next pop */
};

/*
 * A virtio device; the first member of a device's state. `lock` guards all but what is set while
 * claiming and wiring, and the interrupt status.
 */
struct nv_virtio {
    const struct nv_virtio_class *class;
    /* Properties (see NV_VIRTIO_PROPERTIES). */
    uint64_t queue_size; /* most descriptors of each queue */
    uint64_t faults;     /* times the guest broke a ring */
    uint64_t ignored;    /* accesses that meant nothing */
    uint64_t notified;   /* passes over queues that notifications caused */

    /* Set by the device before nv_virtio_wire(), constant then. */
    uint32_t queue_count;
    uint64_t offered; /* its own feature bits; the common ones are added */
    uint32_t config_length;

    pthread_mutex_t lock;
    pthread_cond_t drained; /* CLOCK_MONOTONIC */
    bool is_claimed;
    bool is_wired;
    bool is_running; /* the VM runs: queues may be served */
    bool is_loaded;  /* from saved state, and has not gone on since */
    const struct nv_memory *memory;
    struct nv_bus *bus;
    struct nv_irq *irq;
    struct nestvirt_loop *loop; /* NULL (tests): notifications are served where they arise */
    const struct nv_log *log;
    struct nv_log_limit log_limit;
    const char *why;                      /* it needs a reset, still to be logged; NULL: nothing */
    char name[NESTVIRT_VM_NAME_MAX + 40]; /* "vm web1: device 2 (blk)" */
    uint64_t window;
    uint32_t pin;
    bool has_pin;
    int irq_fd; /* the pin's */
    struct nv_virtio_queue *queues;

    /* The driver's side. */
    uint64_t features; /* accepted, once FEATURES_OK is set */
    uint64_t driver_features;
    uint32_t device_select, driver_select;
    uint32_t queue_select;
    uint8_t status;
    bool is_resetting;
    atomic_uint interrupt_status;
    uint32_t generation;
    uint8_t config[NV_VIRTIO_CONFIG_MAX];
};

/* What a device of the VM is wired to. */
struct nv_virtio_env {
    const struct nv_memory *memory;
    struct nv_bus *bus;
    struct nv_irq *irq;
    struct nestvirt_loop *loop;
    const struct nv_log *log;
    const char *vm_name;
};

/*
 * The life of a device, as of any device (devices/device.h): claim takes the window (number'th) and
 * a pin; wire makes queues and their eventfds; quiesce takes it off the loop and waits for passes
 * under way, after which the device frees its own things; unclaim frees ours.
 */
int nv_virtio_claim(struct nv_virtio *v, const struct nv_virtio_class *class, const char *name,
                    uint32_t number, const struct nv_virtio_env *env,
                    struct nestvirt_error **ret_error);
int nv_virtio_wire(struct nv_virtio *v, struct nestvirt_error **ret_error);
void nv_virtio_quiesce(struct nv_virtio *v);
void nv_virtio_unclaim(struct nv_virtio *v);

/* The guest starts from reset state; or goes on after a pause. */
void nv_virtio_start(struct nv_virtio *v);
void nv_virtio_resume(struct nv_virtio *v);

/*
 * The device as it stands while the VM is paused, and put back to that after nv_virtio_wire(); it
 * goes on with nv_virtio_resume() (state.c). Its configuration is what it was wired with: the
 * driver is told if that is another than it knew. Lock held for save alone. -EBUSY while it
 * resets, -EINVAL for a device that offers less than the driver has accepted,
 * NESTVIRT_E_BAD_STATE.
 */
int nv_virtio_save(struct nv_virtio *v, struct nv_writer *writer,
                   struct nestvirt_error **ret_error);
int nv_virtio_load(struct nv_virtio *v, struct nv_reader *reader,
                   struct nestvirt_error **ret_error);

/* No queue is served from now on; a pass under way has ended. Held chains may still complete. */
void nv_virtio_halt(struct nv_virtio *v);

/* The MMIO window (virtio 1.2, 4.2.2), as a range handler; user_data is the nv_virtio. */
int32_t nv_virtio_access(void *user_data, struct nestvirt_access *access);

/*
 * The device's lock. Giving it back logs what arose under it: no callback runs with a lock held.
 * Take no other device's lock, and no lock of the VM, while holding it.
 */
struct nv_virtio *nv_virtio_lock(struct nv_virtio *v);
void nv_virtio_unlock(struct nv_virtio *v);

static inline void nv_virtio_cleanup_unlock(struct nv_virtio **v)
{
    nv_virtio_unlock(*v);
}

/* Holds the lock until the end of the block. */
#define NV_VIRTIO_GUARD(device)                                                                \
    __attribute__((cleanup(nv_virtio_cleanup_unlock), unused)) struct nv_virtio *NV_LOCK_NAME( \
        __LINE__) = nv_virtio_lock(device)

/*
 * True if the driver may bring its bits of the status there: it only ever adds some, each after the
 * one before it (3.1.1).
 */
bool nv_virtio_is_step(uint8_t old, uint8_t status);

/* True while the driver is ready and nothing is broken: queues may be used. Lock held. */
bool nv_virtio_is_live(const struct nv_virtio *v);

/* True if the queue exists, is ready and the device live and running. Lock held. */
bool nv_virtio_can_serve(const struct nv_virtio *v, uint32_t queue);

/*
 * All of these with the lock held.
 *
 * pop: 1, or 0 when there is nothing, the pass is over or the device broken. complete: gives a
 * chain back to the guest; the interrupt comes at the end of the pass. hold: the chain is completed
 * later, by release on any thread (which takes no lock): until then a reset waits. release: true if
 * the guest got the chain, false if a reset or a fault came in between. signal: an interrupt if the
 * guest wants one for what was completed outside of a pass.
 */
int nv_virtio_pop(struct nv_virtio *v, uint32_t queue, struct nv_chain *chain);
void nv_virtio_unpop(struct nv_virtio *v, uint32_t queue, const struct nv_chain *chain);
void nv_virtio_complete(struct nv_virtio *v, uint32_t queue, const struct nv_chain *chain,
                        uint32_t written);
void nv_virtio_hold(struct nv_virtio *v, uint32_t queue);
bool nv_virtio_release(struct nv_virtio *v, uint32_t queue, const struct nv_chain *chain,
                       uint32_t written);
void nv_virtio_signal(struct nv_virtio *v, uint32_t queue);

/* Serves a queue now, as if the guest had notified: for what comes from the host. */
void nv_virtio_serve(struct nv_virtio *v, uint32_t queue);

/*
 * Serves a queue once more after the VM has stopped, in one pass at most: what the guest left
 * there. Nobody is interrupted any more.
 */
void nv_virtio_serve_last(struct nv_virtio *v, uint32_t queue);

/* Serves a queue again as soon as the loop comes round: for what took enough of its time. */
void nv_virtio_serve_later(struct nv_virtio *v, uint32_t queue);

/* The device needs a reset (virtio 1.2, 2.1.2): it stops, and tells the driver if that is ready. */
void nv_virtio_break(struct nv_virtio *v, const char *why);

/* Counts an access that means nothing. */
void nv_virtio_ignore(struct nv_virtio *v);

/* The configuration has changed: the generation rises and the driver is told. */
void nv_virtio_config_changed(struct nv_virtio *v);

/* Property rows (devices/device.h) that every virtio device has; STATE is the type of its state. */
#define NV_VIRTIO_PROPERTIES(STATE)                                                          \
    { .name = "queue_size",                                                                  \
      .type = NESTVIRT_PROPERTY_U64,                                                         \
      .offset = offsetof(STATE, virtio.queue_size),                                          \
      .initial = 256,                                                                        \
      .min = 1,                                                                              \
      .max = NV_QUEUE_SIZE_MAX,                                                              \
      .help = "most requests that may wait in each queue; a power of two up to 1024" },      \
        NV_COUNTER_ROW(STATE, "faults", virtio.faults,                                       \
                       "times the guest broke the device's rules and it had to be reset"),   \
        NV_COUNTER_ROW(STATE, "ignored", virtio.ignored,                                     \
                       "accesses of the guest to the device's registers that were ignored"), \
        NV_COUNTER_ROW(STATE, "notified", virtio.notified,                                   \
                       "times the device looked at a queue because the guest notified it")

#endif
