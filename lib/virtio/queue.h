/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the split virtqueue and the descriptor chain: the only way from a device to guest memory. */
#ifndef NV_VIRTIO_QUEUE_H
#define NV_VIRTIO_QUEUE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "core/record.h"
#include "memory/memory.h"

enum {
    NV_QUEUE_SIZE_MAX = 1024,     /* descriptors of a queue, and of an indirect table */
    NV_CHAIN_PARTS_MAX = 2 * 1024 /* pieces of a chain in this process's memory */
};

/*
 * One request: the buffers of a descriptor chain, checked and as pieces of this process's memory.
 * Descriptors are copied once; what the guest changes later has no effect. The functions below
 * take bytes from the front of what is left. May be used again for another pop; freed by
 * nv_chain_destroy().
 */
struct nv_chain {
    struct iovec *parts;
    uint32_t capacity;
    uint32_t read_at, read_end;   /* parts that are left of the device-readable buffers */
    uint32_t write_at, write_end; /* and of the device-writable ones */
    uint64_t read_left;           /* bytes */
    uint64_t write_left;
    uint64_t written; /* bytes, by nv_chain_write() */
    uint16_t head;
    bool is_replayed; /* taken before the state was saved, and once more now */
};

void nv_chain_destroy(struct nv_chain *chain);

/* Copies from the readable buffers at most length bytes; returns how many. Each byte once. */
uint64_t nv_chain_read(struct nv_chain *chain, void *buffer, uint64_t length);

/* Leaves out readable or writable bytes; returns how many. */
uint64_t nv_chain_skip_read(struct nv_chain *chain, uint64_t length);
uint64_t nv_chain_skip_write(struct nv_chain *chain, uint64_t length);

/* Copies to the writable buffers at most length bytes, counts them in written; returns how many. */
uint64_t nv_chain_write(struct nv_chain *chain, const void *buffer, uint64_t length);

/* Takes away the last writable byte and tells where it is; NULL if nothing is writable. */
uint8_t *nv_chain_take_last(struct nv_chain *chain);

/*
 * The parts that are left, for readv and writev; NULL if there are none. The guest may change the
 * bytes at any time.
 */
static inline const struct iovec *nv_chain_readable(const struct nv_chain *chain, int *ret_count)
{
    *ret_count = (int)(chain->read_end - chain->read_at);
    return *ret_count ? chain->parts + chain->read_at : NULL;
}

static inline const struct iovec *nv_chain_writable(const struct nv_chain *chain, int *ret_count)
{
    *ret_count = (int)(chain->write_end - chain->write_at);
    return *ret_count ? chain->parts + chain->write_at : NULL;
}

/* A split virtqueue (virtio 1.2, 2.7). */
struct nv_queue {
    /* As the guest set them. */
    uint32_t size;
    uint64_t descriptors; /* guest physical */
    uint64_t driver;
    uint64_t device;

    const struct nv_memory *memory;
    bool is_ready;
    bool has_indirect;
    bool has_event_idx;
    uint8_t *table; /* size descriptors */
    uint8_t *available;
    uint8_t *used;
    uint16_t next_available;
    uint16_t next_used;
    uint16_t signalled;                         /* next_used when last asked about an interrupt */
    uint64_t in_flight[NV_QUEUE_SIZE_MAX / 64]; /* heads popped and not yet pushed */
    uint64_t replay[NV_QUEUE_SIZE_MAX / 64];    /* those of them that are to be popped once more */
    uint32_t replay_count;
    const char *fault; /* what the guest did wrong; NULL: nothing */
};

/*
 * Makes the queue live: 0, or -EINVAL with queue->fault when size, alignment or place of a ring is
 * wrong. Rings start at index 0.
 */
int nv_queue_open(struct nv_queue *queue, const struct nv_memory *memory, bool has_indirect,
                  bool has_event_idx);

/*
 * The queue as it stands, and put back to that: chains in flight are popped first then, each once
 * more (state.c). NESTVIRT_E_BAD_STATE. size_max: most descriptors it may have.
 */
void nv_queue_save(const struct nv_queue *queue, struct nv_writer *writer);
int nv_queue_load(struct nv_queue *queue, const struct nv_memory *memory, uint64_t size_max,
                  bool has_indirect, bool has_event_idx, struct nv_reader *reader,
                  struct nestvirt_error **ret_error);

/* Back to a queue that the guest has not set up. */
void nv_queue_reset(struct nv_queue *queue);

/*
 * Takes the next chain: 1, 0 if there is none, -EPROTO with queue->fault if the guest broke the
 * ring, -ENOMEM. The head stays in flight until it is pushed.
 */
int nv_queue_pop(struct nv_queue *queue, struct nv_chain *chain);

/* Puts the chain taken last back, for a later pop; nothing of it was used. */
void nv_queue_unpop(struct nv_queue *queue, const struct nv_chain *chain);

/*
 * Gives a chain back to the guest with the number of bytes written to it; staged, the guest sees it
 * only with the next push, for chains that belong together.
 */
void nv_queue_push(struct nv_queue *queue, uint16_t head, uint32_t written);
void nv_queue_stage(struct nv_queue *queue, uint16_t head, uint32_t written);

/* Where the guest keeps the available index, and the index now: to look at without a lock. */
const uint8_t *nv_queue_index(const struct nv_queue *queue);
uint16_t nv_queue_index_load(const uint8_t *at);

/* True if chains may wait. */
bool nv_queue_has_more(const struct nv_queue *queue);

/* Asks the guest not to notify us while we look anyway. */
void nv_queue_silence(struct nv_queue *queue);

/* Asks for a notification of the next chain; true if one has come meanwhile. */
bool nv_queue_arm(struct nv_queue *queue);

/* True if the guest wants an interrupt for what was pushed since it was last asked. */
bool nv_queue_wants_interrupt(struct nv_queue *queue);

#endif
