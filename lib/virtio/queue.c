/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the split virtqueue (virtio 1.2, 2.7): its rings, and the walk along a descriptor chain. */
#include "virtio/queue.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/util.h"

enum { DESCRIPTOR_SIZE = 16 };
enum { DESC_NEXT = 1 << 0, DESC_WRITE = 1 << 1, DESC_INDIRECT = 1 << 2 };
enum { AVAILABLE_NO_INTERRUPT = 1, USED_NO_NOTIFY = 1 };

/* Offsets in the available and used rings. */
enum { RING_FLAGS = 0, RING_INDEX = 2, RING_ENTRIES = 4 };

#define CHAIN_BYTES_MAX (1ull << 32)

/* One copied descriptor. */
struct descriptor {
    uint64_t address;
    uint32_t length;
    uint16_t flags;
    uint16_t next;
};

/* Where the walk takes descriptors from. */
struct walk {
    const uint8_t *table;
    uint32_t count;
    bool is_indirect;
    bool has_writable;
    uint32_t steps;
    uint64_t bytes;
};

static uint16_t load_u16(const uint8_t *at)
{
    return le16toh(__atomic_load_n((const uint16_t *)at, __ATOMIC_ACQUIRE));
}

static void store_u16(uint8_t *at, uint16_t value)
{
    __atomic_store_n((uint16_t *)at, htole16(value), __ATOMIC_RELEASE);
}

/*
 * Loads that the compiler cannot repeat: what the guest changes meanwhile is its own affair. Only
 * an indirect table may be misaligned; its bytes are copied one by one.
 */
static struct descriptor load_descriptor(const uint8_t *at)
{
    uint8_t bytes[DESCRIPTOR_SIZE];
    const uint64_t *words = (const uint64_t *)at;
    uint64_t address;
    uint64_t rest;

    if (nv_is_aligned((uintptr_t)at, sizeof(*words))) {
        address = le64toh(__atomic_load_n(&words[0], __ATOMIC_RELAXED));
        rest = le64toh(__atomic_load_n(&words[1], __ATOMIC_RELAXED));
    } else {
        for (uint32_t i = 0; i < DESCRIPTOR_SIZE; i++)
            bytes[i] = __atomic_load_n(at + i, __ATOMIC_RELAXED);
        address = nv_get_le64(bytes);
        rest = nv_get_le64(bytes + 8);
    }
    return (struct descriptor){ .address = address,
                                .length = (uint32_t)rest,
                                .flags = (uint16_t)(rest >> 32),
                                .next = (uint16_t)(rest >> 48) };
}

static int broken(struct nv_queue *queue, const char *fault)
{
    queue->fault = fault;
    return -EPROTO;
}

static int refused(struct nv_queue *queue, const char *fault)
{
    queue->fault = fault;
    return -EINVAL;
}

static uint8_t *used_event(const struct nv_queue *queue)
{
    return queue->available + RING_ENTRIES + 2u * queue->size;
}

static uint8_t *available_event(const struct nv_queue *queue)
{
    return queue->used + RING_ENTRIES + 8u * queue->size;
}

int nv_queue_open(struct nv_queue *queue, const struct nv_memory *memory, bool has_indirect,
                  bool has_event_idx)
{
    uint32_t size = queue->size;

    if (size == 0 || size > NV_QUEUE_SIZE_MAX || (size & (size - 1)) != 0)
        return refused(queue, "the queue's size is not a power of two within its maximum");
    if (queue->descriptors % 16 || queue->driver % 2 || queue->device % 4)
        return refused(queue, "a ring is misaligned");
    queue->table = nv_memory_at(memory, nv_gpa_at(queue->descriptors), DESCRIPTOR_SIZE * size);
    queue->available = nv_memory_at(memory, nv_gpa_at(queue->driver), RING_ENTRIES + 2 * size + 2);
    queue->used =
        nv_memory_at_writable(memory, nv_gpa_at(queue->device), RING_ENTRIES + 8 * size + 2);
    if (!queue->table || !queue->available || !queue->used)
        return refused(queue, "a ring is outside of memory, or the used ring in read-only memory");
    queue->memory = memory;
    queue->has_indirect = has_indirect;
    queue->has_event_idx = has_event_idx;
    queue->next_available = queue->next_used = queue->signalled = 0;
    memset(queue->in_flight, 0, sizeof(queue->in_flight));
    queue->replay_count = 0;
    queue->fault = NULL;
    queue->is_ready = true;
    return 0;
}

void nv_queue_reset(struct nv_queue *queue)
{
    *queue = (struct nv_queue){ 0 };
}

/* Adds one piece of this process's memory. */
static int add_part(struct nv_chain *chain, void *host, uint64_t length)
{
    enum { FIRST = 8 };

    if (chain->write_end == chain->capacity) {
        uint32_t capacity = chain->capacity ? 2 * chain->capacity : FIRST;
        struct iovec *grown;

        if (chain->capacity >= NV_CHAIN_PARTS_MAX)
            return -EPROTO;
        grown = realloc(chain->parts, capacity * sizeof(*grown));
        if (!grown)
            return -ENOMEM;
        chain->parts = grown;
        chain->capacity = capacity;
    }
    chain->parts[chain->write_end++] = (struct iovec){ host, length };
    return 0;
}

/* Adds the buffer of a descriptor, which may lie in several regions that touch. */
static int add_buffer(struct nv_queue *queue, struct nv_chain *chain, const struct descriptor *desc)
{
    uint64_t address = desc->address;
    uint64_t left = desc->length;

    while (left > 0) {
        uint64_t run = left;
        void *host = desc->flags & DESC_WRITE
                         ? nv_memory_run_writable(queue->memory, nv_gpa_at(address), &run)
                         : nv_memory_run(queue->memory, nv_gpa_at(address), &run);
        int r;

        if (!host)
            return broken(queue, "a buffer is outside of memory, or to be written and read-only");
        r = add_part(chain, host, run);
        if (r == -EPROTO)
            return broken(queue, "a chain has too many pieces");
        if (r < 0)
            return r;
        address += run; /* cannot wrap: regions end below 2^46 */
        left -= run;
    }
    if (desc->flags & DESC_WRITE) {
        chain->write_left += desc->length;
    } else {
        chain->read_left += desc->length;
        chain->read_end = chain->write_at = chain->write_end;
    }
    return 0;
}

/* Goes over to an indirect table (2.7.5.3); its descriptor's WRITE flag means nothing. */
static int enter_table(struct nv_queue *queue, struct walk *walk, const struct descriptor *desc)
{
    if (!queue->has_indirect)
        return broken(queue, "an indirect descriptor without the feature");
    if (walk->is_indirect)
        return broken(queue, "an indirect table within an indirect table");
    if (desc->flags & DESC_NEXT)
        return broken(queue, "an indirect descriptor with NEXT");
    if (desc->length == 0 || desc->length % DESCRIPTOR_SIZE)
        return broken(queue, "an indirect table of an odd length");
    if (desc->length / DESCRIPTOR_SIZE > NV_QUEUE_SIZE_MAX)
        return broken(queue, "an indirect table that is too long");
    walk->table = nv_memory_at(queue->memory, nv_gpa_at(desc->address), desc->length);
    if (!walk->table)
        return broken(queue, "an indirect table outside of memory");
    walk->count = desc->length / DESCRIPTOR_SIZE;
    walk->is_indirect = true;
    walk->steps = 0;
    return 0;
}

static int add_descriptor(struct nv_queue *queue, struct nv_chain *chain, struct walk *walk,
                          const struct descriptor *desc)
{
    if (desc->flags & DESC_WRITE)
        walk->has_writable = true;
    else if (walk->has_writable)
        return broken(queue, "a readable buffer behind a writable one");
    walk->bytes += desc->length;
    if (walk->bytes > CHAIN_BYTES_MAX)
        return broken(queue, "a chain of more than 2^32 bytes");
    return add_buffer(queue, chain, desc);
}

static int walk_chain(struct nv_queue *queue, struct nv_chain *chain)
{
    struct walk walk = { .table = queue->table, .count = queue->size };
    uint32_t index = chain->head;

    for (;;) {
        struct descriptor desc = load_descriptor(walk.table + (size_t)index * DESCRIPTOR_SIZE);
        int r;

        if (++walk.steps > walk.count)
            return broken(queue, "a descriptor loop");
        if (desc.flags & DESC_INDIRECT) {
            r = enter_table(queue, &walk, &desc);
            if (r < 0)
                return r;
            index = 0;
            continue;
        }
        r = add_descriptor(queue, chain, &walk, &desc);
        if (r < 0)
            return r;
        if (!(desc.flags & DESC_NEXT))
            return 0;
        index = desc.next;
        if (index >= walk.count)
            return broken(queue, "a next descriptor that does not exist");
    }
}

static bool test_in_flight(const struct nv_queue *queue, uint32_t head)
{
    return queue->in_flight[head / 64] >> (head % 64) & 1;
}

static void begin_chain(struct nv_chain *chain, uint32_t head, bool is_replayed)
{
    chain->read_at = chain->read_end = chain->write_at = chain->write_end = 0;
    chain->read_left = chain->write_left = chain->written = 0;
    chain->head = (uint16_t)head;
    chain->is_replayed = is_replayed;
}

/* A chain that was in flight when the state was saved. Its head is in flight still. */
static int pop_again(struct nv_queue *queue, struct nv_chain *chain)
{
    uint32_t word = 0;
    uint32_t head;
    int r;

    while (queue->replay[word] == 0)
        word++;
    head = 64 * word + (uint32_t)__builtin_ctzll(queue->replay[word]);
    begin_chain(chain, head, true);
    r = walk_chain(queue, chain);
    if (r < 0)
        return r;
    queue->replay[word] &= queue->replay[word] - 1;
    queue->replay_count--;
    return 1;
}

int nv_queue_pop(struct nv_queue *queue, struct nv_chain *chain)
{
    uint16_t waiting;
    uint32_t head;
    int r;

    if (queue->fault)
        return -EPROTO;
    if (queue->replay_count > 0)
        return pop_again(queue, chain);
    waiting = (uint16_t)(load_u16(queue->available + RING_INDEX) - queue->next_available);
    if (waiting == 0)
        return 0;
    if (waiting > queue->size)
        return broken(queue, "the available index has jumped");
    head = load_u16(queue->available + RING_ENTRIES +
                    2 * (size_t)(queue->next_available & (queue->size - 1)));
    if (head >= queue->size)
        return broken(queue, "a head that does not exist");
    if (test_in_flight(queue, head))
        return broken(queue, "a head that is in flight");
    begin_chain(chain, head, false);
    r = walk_chain(queue, chain);
    if (r < 0)
        return r;
    queue->in_flight[head / 64] |= 1ull << (head % 64);
    queue->next_available++;
    return 1;
}

void nv_queue_unpop(struct nv_queue *queue, const struct nv_chain *chain)
{
    if (chain->is_replayed) {
        queue->replay[chain->head / 64] |= 1ull << (chain->head % 64);
        queue->replay_count++;
        return;
    }
    queue->in_flight[chain->head / 64] &= ~(1ull << (chain->head % 64));
    queue->next_available--;
}

void nv_queue_stage(struct nv_queue *queue, uint16_t head, uint32_t written)
{
    uint8_t *entry =
        queue->used + RING_ENTRIES + 8 * (size_t)(queue->next_used & (queue->size - 1));

    queue->in_flight[head / 64] &= ~(1ull << (head % 64));
    __atomic_store_n((uint32_t *)entry, htole32(head), __ATOMIC_RELAXED);
    __atomic_store_n((uint32_t *)(entry + 4), htole32(written), __ATOMIC_RELAXED);
    queue->next_used++;
}

void nv_queue_push(struct nv_queue *queue, uint16_t head, uint32_t written)
{
    nv_queue_stage(queue, head, written);
    store_u16(queue->used + RING_INDEX, queue->next_used);
}

const uint8_t *nv_queue_index(const struct nv_queue *queue)
{
    return queue->available + RING_INDEX;
}

uint16_t nv_queue_index_load(const uint8_t *at)
{
    return load_u16(at);
}

bool nv_queue_has_more(const struct nv_queue *queue)
{
    return !queue->fault && (queue->replay_count > 0 ||
                             load_u16(queue->available + RING_INDEX) != queue->next_available);
}

void nv_queue_silence(struct nv_queue *queue)
{
    if (!queue->has_event_idx)
        store_u16(queue->used + RING_FLAGS, USED_NO_NOTIFY);
}

bool nv_queue_arm(struct nv_queue *queue)
{
    if (queue->has_event_idx)
        store_u16(available_event(queue), queue->next_available);
    else
        store_u16(queue->used + RING_FLAGS, 0);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    return nv_queue_has_more(queue);
}

bool nv_queue_wants_interrupt(struct nv_queue *queue)
{
    uint16_t before = queue->signalled;
    uint16_t now = queue->next_used;

    if (now == before)
        return false;
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    queue->signalled = now;
    if (!queue->has_event_idx)
        return !(load_u16(queue->available + RING_FLAGS) & AVAILABLE_NO_INTERRUPT);
    /* 2.7.7.2: the guest asks for an interrupt when the index passes its event. */
    return (uint16_t)(now - load_u16(used_event(queue)) - 1) < (uint16_t)(now - before);
}
