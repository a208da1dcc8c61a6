/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the disk device's state, shared by its parts: blk.c, blk_serve.c and blk_request.c. */
#ifndef NV_DEVICES_BLK_H
#define NV_DEVICES_BLK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "devices/device.h"
#include "host/disk.h"
#include "host/uring.h"
#include "host/workers.h"
#include "virtio/limit.h"

/* Feature bits (virtio 1.2, 5.2.3). */
#define BLK_F_SEG_MAX (1ull << 2)
#define BLK_F_RO (1ull << 5)
#define BLK_F_BLK_SIZE (1ull << 6)
#define BLK_F_FLUSH (1ull << 9)
#define BLK_F_TOPOLOGY (1ull << 10)
#define BLK_F_CONFIG_WCE (1ull << 11)
#define BLK_F_MQ (1ull << 12)
#define BLK_F_DISCARD (1ull << 13)
#define BLK_F_WRITE_ZEROES (1ull << 14)

/* Offsets in the configuration (5.2.4). */
enum {
    BLK_CONFIG_CAPACITY = 0,
    BLK_CONFIG_SEG_MAX = 12,
    BLK_CONFIG_BLK_SIZE = 20,
    BLK_CONFIG_PHYSICAL_EXP = 24,
    BLK_CONFIG_MIN_IO = 26,
    BLK_CONFIG_WRITEBACK = 32,
    BLK_CONFIG_QUEUES = 34,
    BLK_CONFIG_DISCARD_MAX = 36,
    BLK_CONFIG_DISCARD_SEGMENTS = 40,
    BLK_CONFIG_DISCARD_ALIGN = 44,
    BLK_CONFIG_ZEROES_MAX = 48,
    BLK_CONFIG_ZEROES_SEGMENTS = 52,
    BLK_CONFIG_ZEROES_MAY_UNMAP = 56,
    BLK_CONFIG_LENGTH = 60
};

/* Requests (5.2.6). */
enum {
    BLK_T_IN = 0,
    BLK_T_OUT = 1,
    BLK_T_FLUSH = 4,
    BLK_T_GET_ID = 8,
    BLK_T_DISCARD = 11,
    BLK_T_WRITE_ZEROES = 13
};
enum { BLK_S_OK = 0, BLK_S_IOERR = 1, BLK_S_UNSUPP = 2 };

enum {
    BLK_QUEUES_MAX = 16,
    BLK_ID_SIZE = 20,
    BLK_HELD_MAX = 1024,  /* requests of all queues under way; more wait in their rings */
    BLK_PARTS_KEPT = 256, /* memory of a request's list of buffers that is kept for the next one */
    BLK_RUN_MAX = 32,     /* reads of neighbouring sectors that are done by one call */
    BLK_RUN_PARTS = 64,   /* and the buffers of all of them */
    BLK_DISCARD_MAX = 1 << 22, /* sectors of one discard */
    BLK_ZEROES_MAX = 1 << 15   /* the same of write-zeroes, which may have to be written */
};

/* What becomes of a request that the host failed. */
enum blk_policy { BLK_REPORT, BLK_STOP, BLK_STOP_ON_ENOSPC };

/* One request of the guest: where it lies from pop to release. */
struct blk_request {
    struct nv_job job; /* in one of the lists, or free */
    struct nv_chain chain;
    uint8_t *status; /* the guest's byte for the answer */
    uint32_t type;
    uint16_t queue;
    bool is_held;     /* beyond the pass that popped it */
    bool is_through;  /* on the medium before it is answered */
    bool may_discard; /* write-zeroes */
    bool is_lost;     /* what was written may not be on the medium: never try again */
    uint32_t epoch;   /* of the device when it was begun */
    uint64_t offset;  /* of what is left to do, in bytes; and how much that is */
    uint64_t length;
    uint64_t total; /* length at first */
    int result;     /* 0 or -errno */
};

/* Reads of a pass, one behind the other on the disk, that may need no waiting. */
struct blk_run {
    struct blk_request *requests[BLK_RUN_MAX];
    uint32_t count;
    struct iovec parts[BLK_RUN_PARTS];
    int part_count;
    uint64_t offset;
    uint64_t length;
};

struct blk_state {
    struct nv_virtio virtio;
    /* Properties. */
    char *path;
    int fd;
    char *serial;
    char *engine;
    char *on_error;
    uint64_t is_read_only;
    uint64_t is_direct;
    uint64_t is_writeback;
    uint64_t has_discard;
    uint64_t has_lock;
    uint64_t wanted_queues;
    uint64_t wanted_workers;
    uint64_t block_size;
    uint64_t resize;
    uint64_t capacity; /* sectors */
    uint64_t reads, writes, flushes, errors, bytes_read, bytes_written;
    struct nv_limit limit;

    /* Set by wire. */
    const struct nestvirt_device *device;
    struct nv_device_owner upward;
    struct nv_disk disk;
    enum blk_policy policy;
    struct nv_workers workers; /* started only if there is a loop */
    struct nv_uring *uring;    /* NULL: threads do it all */
    struct nv_source ended;    /* transfers of the ring */
    struct nv_timer timer;     /* for the rate limit */
    struct blk_request *requests;

    /* With the device's lock. */
    struct blk_request *free;
    struct blk_run run;
    struct nv_job_list fresh;   /* to be handed over at the end of the pass */
    struct nv_job_list stopped; /* held by the policy until the VM goes on */
    uint32_t starved;           /* queues, as bits, that wait for a free request */
    uint32_t limited;           /* and for the timer */
    bool is_writethrough;
    uint32_t epoch;  /* how often the VM went on after a stop */
    bool is_stopped; /* the owner was asked to pause, and the VM did not go on yet */
    int report_code; /* to be told upward as soon as the lock is free; 0: nothing */
    bool report_pause;
    uint64_t quiet_until_ns; /* no event before this */

    /* A flush has failed. Linux may then take the pages for clean: no later one can be trusted. */
    atomic_bool has_lost_writes;

    /* Queues, as bits, whose long requests end after the piece that is being transferred. */
    atomic_uint given_up;
};

/* What is to be done with a request that was popped. */
enum blk_step {
    BLK_BROKEN,   /* it has no room for an answer */
    BLK_ANSWERED, /* nothing: result tells the answer */
    BLK_WORK
};

/* Takes the popped chain apart and checks all of it. The device's lock is held. */
enum blk_step nv_blk_parse(struct blk_state *s, struct blk_request *request);

/* Does a request, waiting for the medium; result is set. Any thread, no lock needed. */
void nv_blk_run(struct blk_state *s, struct blk_request *request);

/* So many bytes of a transfer are done. */
void nv_blk_advance(struct blk_request *request, uint64_t done);

/* Ops of the virtio device and its threads. */
extern const struct nv_workers_ops nv_blk_workers;
void nv_blk_serve(struct nv_virtio *v, uint32_t queue);
void nv_blk_drop(struct nv_virtio *v, uint32_t queue);

/*
 * The ring: start prepares a request that it can do; the device's lock is held, on the loop's
 * thread. close waits for what is under way. on_ended takes back what has ended.
 */
int nv_blk_open_uring(struct blk_state *s, struct nestvirt_error **ret_error);
void nv_blk_close_uring(struct blk_state *s);
bool nv_blk_start_uring(struct blk_state *s, struct blk_request *request);
void nv_blk_on_ended(struct blk_state *s);

/* The time has come for requests that the rate limit holds up. */
void nv_blk_on_timer(void *user_data);

/* The VM goes on: requests held by the policy are tried again. */
void nv_blk_retry(struct blk_state *s);

#endif
