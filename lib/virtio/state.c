/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the saved state of a virtio device and its queues: what the driver and it have agreed on. */
#include <errno.h>
#include <string.h>

#include "core/util.h"
#include "virtio/virtio.h"

enum { VIRTIO_RECORD = NV_RECORD('V', 'R', 'I', 'O'), VIRTIO_VERSION = 1 };
enum { QUEUE_RECORD = NV_RECORD('V', 'R', 'N', 'G'), QUEUE_VERSION = 1 };

enum { INTERRUPT_BITS = 3, INTERRUPT_CONFIG = 2 };

static const char was_broken[] = "the guest had broken the ring before its state was saved";

void nv_queue_save(const struct nv_queue *queue, struct nv_writer *writer)
{
    size_t mark = nv_write_begin(writer, QUEUE_RECORD, QUEUE_VERSION);

    nv_write_u32(writer, queue->size);
    nv_write_u64(writer, queue->descriptors);
    nv_write_u64(writer, queue->driver);
    nv_write_u64(writer, queue->device);
    nv_write_u8(writer, queue->is_ready);
    nv_write_u8(writer, queue->fault != NULL);
    nv_write_u16(writer, queue->next_available);
    nv_write_u16(writer, queue->next_used);
    nv_write_u16(writer, queue->signalled);
    for (size_t i = 0; i < NV_ARRAY_SIZE(queue->in_flight); i++)
        nv_write_u64(writer, queue->is_ready ? queue->in_flight[i] : 0);
    nv_write_end(writer, mark);
}

/* Heads that were in flight are popped once more; all of them have to exist. */
static bool load_heads(struct nv_queue *queue, struct nv_reader *body)
{
    queue->replay_count = 0;
    for (uint32_t i = 0; i < NV_ARRAY_SIZE(queue->in_flight); i++) {
        uint64_t heads = nv_read_u64(body);
        uint64_t known = queue->size >= 64 * (i + 1) ? UINT64_MAX
                         : queue->size <= 64 * i     ? 0
                                                     : (1ull << (queue->size - 64 * i)) - 1;

        if (heads & ~known)
            return false;
        queue->in_flight[i] = queue->replay[i] = heads;
        queue->replay_count += (uint32_t)__builtin_popcountll(heads);
    }
    return true;
}

int nv_queue_load(struct nv_queue *queue, const struct nv_memory *memory, uint64_t size_max,
                  bool has_indirect, bool has_event_idx, struct nv_reader *reader,
                  struct nestvirt_error **ret_error)
{
    static const char what[] = "queue";
    struct nv_reader body;
    bool is_ready;
    bool is_broken;
    int r = nv_read_begin(reader, QUEUE_RECORD, QUEUE_VERSION, what, &body, ret_error);

    if (r < 0)
        return r;
    nv_queue_reset(queue);
    queue->size = nv_read_u32(&body);
    queue->descriptors = nv_read_u64(&body);
    queue->driver = nv_read_u64(&body);
    queue->device = nv_read_u64(&body);
    is_ready = nv_read_bool(&body);
    is_broken = nv_read_bool(&body);
    if (is_ready &&
        (queue->size > size_max || nv_queue_open(queue, memory, has_indirect, has_event_idx) < 0))
        return nv_bad_state(what, "its rings cannot be where it says", ret_error);
    queue->next_available = nv_read_u16(&body);
    queue->next_used = nv_read_u16(&body);
    queue->signalled = nv_read_u16(&body);
    if (!load_heads(queue, &body) || (!is_ready && queue->replay_count > 0))
        return nv_bad_state(what, "a descriptor is in flight that does not exist", ret_error);
    if (is_broken)
        queue->fault = was_broken;
    return nv_read_end(&body, what, ret_error);
}

static int check_quiet(const struct nv_virtio *v, struct nestvirt_error **ret_error)
{
    bool is_quiet = !v->is_resetting;

    for (uint32_t i = 0; i < v->queue_count && v->queues; i++)
        is_quiet = is_quiet && !v->queues[i].is_dropping;
    if (is_quiet)
        return 0;
    return nv_fail(ret_error, -EBUSY, "virtio", "resume the VM and try again",
                   "the guest resets the device at this moment");
}

int nv_virtio_save(struct nv_virtio *v, struct nv_writer *writer, struct nestvirt_error **ret_error)
{
    size_t mark = nv_write_begin(writer, VIRTIO_RECORD, VIRTIO_VERSION);
    int r = check_quiet(v, ret_error);

    if (r < 0)
        return r;
    nv_write_u32(writer, v->class->id);
    nv_write_u64(writer, v->window);
    nv_write_u32(writer, v->has_pin ? v->pin : UINT32_MAX);
    nv_write_u8(writer, v->status);
    nv_write_u64(writer, v->features);
    nv_write_u64(writer, v->driver_features);
    nv_write_u32(writer, v->device_select);
    nv_write_u32(writer, v->driver_select);
    nv_write_u32(writer, v->queue_select);
    nv_write_u32(writer, atomic_load(&v->interrupt_status));
    nv_write_u32(writer, v->generation);
    nv_write_blob(writer, v->config, v->config_length);
    nv_write_u32(writer, v->queue_count);
    for (uint32_t i = 0; i < v->queue_count; i++)
        nv_queue_save(&v->queues[i].ring, writer);
    nv_write_end(writer, mark);
    return 0;
}

/* What the guest knows of where the device is. */
static int check_place(const struct nv_virtio *v, struct nv_reader *body,
                       struct nestvirt_error **ret_error)
{
    uint32_t id = nv_read_u32(body);
    uint64_t window = nv_read_u64(body);
    uint32_t pin = nv_read_u32(body);

    if (id != v->class->id || window != v->window)
        return nv_bad_state("virtio", "another device stood at its place", ret_error);
    if (pin == (v->has_pin ? v->pin : UINT32_MAX))
        return 0;
    return nv_fail(ret_error, -EINVAL, "virtio",
                   "claim the same pins with nestvirt_irq_add as in the template",
                   "has another interrupt pin than in the template");
}

/* The steps of 3.1.1, and features that the driver has from the third on and not before. */
static bool is_reachable(const struct nv_virtio *v)
{
    const uint8_t known = NV_VIRTIO_DRIVER_BITS | NV_VIRTIO_NEEDS_RESET;

    if ((v->status & ~known) || !nv_virtio_is_step(0, v->status & NV_VIRTIO_DRIVER_BITS))
        return false;
    return v->features == (v->status & NV_VIRTIO_FEATURES_OK ? v->driver_features : 0);
}

static int load_queues(struct nv_virtio *v, struct nv_reader *body,
                       struct nestvirt_error **ret_error)
{
    int r = 0;

    if (nv_read_u32(body) != v->queue_count)
        return nv_fail(ret_error, -EINVAL, "virtio", "set the properties as in the template",
                       "has another number of queues than in the template");
    for (uint32_t i = 0; i < v->queue_count && r == 0; i++) {
        r = nv_queue_load(&v->queues[i].ring, v->memory, v->queue_size,
                          v->features & NV_VIRTIO_F_INDIRECT_DESC,
                          v->features & NV_VIRTIO_F_EVENT_IDX, body, ret_error);
        if (r == 0 && v->queues[i].ring.is_ready && !(v->status & NV_VIRTIO_FEATURES_OK))
            r = nv_bad_state("virtio", "a queue is ready before the features are", ret_error);
    }
    return r;
}

/* The driver is told of a configuration that is another than it knew. */
static void compare_config(struct nv_virtio *v, const uint8_t *known, size_t length)
{
    if (length == v->config_length && memcmp(known, v->config, length) == 0)
        return;
    v->generation++;
    if (nv_virtio_is_live(v))
        atomic_fetch_or(&v->interrupt_status, INTERRUPT_CONFIG);
}

int nv_virtio_load(struct nv_virtio *v, struct nv_reader *reader, struct nestvirt_error **ret_error)
{
    struct nv_reader body;
    const uint8_t *config;
    size_t config_length;
    int r = nv_read_begin(reader, VIRTIO_RECORD, VIRTIO_VERSION, "virtio", &body, ret_error);

    if (r == 0)
        r = check_place(v, &body, ret_error);
    if (r < 0)
        return r;
    v->status = nv_read_u8(&body);
    v->features = nv_read_u64(&body);
    v->driver_features = nv_read_u64(&body);
    v->device_select = nv_read_u32(&body);
    v->driver_select = nv_read_u32(&body);
    v->queue_select = nv_read_u32(&body);
    atomic_store(&v->interrupt_status, nv_read_u32(&body) & INTERRUPT_BITS);
    v->generation = nv_read_u32(&body);
    config = nv_read_blob(&body, &config_length);
    if (!is_reachable(v))
        return nv_bad_state("virtio", "no driver brings it to its status and features", ret_error);
    if (v->features & ~v->offered)
        return nv_fail(ret_error, -EINVAL, "virtio", "set the properties as in the template",
                       "lacks features 0x%llx that its driver uses",
                       (unsigned long long)(v->features & ~v->offered));
    if ((v->status & NV_VIRTIO_FEATURES_OK) &&
        (!(v->features & NV_VIRTIO_F_VERSION_1) ||
         (v->class->check_features && !v->class->check_features(v, v->features))))
        return nv_bad_state("virtio", "its features cannot go together", ret_error);
    r = load_queues(v, &body, ret_error);
    if (r == 0)
        r = nv_read_end(&body, "virtio", ret_error);
    if (r == 0 && config)
        compare_config(v, config, config_length);
    v->is_loaded = r == 0;
    return r;
}
