/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the disk device (virtio 1.2, 5.2): properties, configuration and life. */
#include "devices/blk.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/cleanup.h"
#include "core/util.h"

#define BLK_NUMBER(NAME, MEMBER, INITIAL, MIN, MAX, HELP)                                          \
    {                                                                                              \
        .name = NAME, .type = NESTVIRT_PROPERTY_U64, .offset = offsetof(struct blk_state, MEMBER), \
        .initial = INITIAL, .min = MIN, .max = MAX, .help = HELP                                   \
    }
#define BLK_SWITCH(NAME, MEMBER, INITIAL, HELP)                                                  \
    {                                                                                            \
        .name = NAME, .type = NESTVIRT_PROPERTY_BOOL,                                            \
        .offset = offsetof(struct blk_state, MEMBER), .initial = INITIAL, .max = 1, .help = HELP \
    }
#define BLK_TEXT(NAME, MEMBER, HELP)                               \
    {                                                              \
        .name = NAME, .type = NESTVIRT_PROPERTY_STRING,            \
        .offset = offsetof(struct blk_state, MEMBER), .help = HELP \
    }
static const struct nv_property blk_properties[] = {
    { .name = "path",
      .type = NESTVIRT_PROPERTY_STRING,
      .flags = NESTVIRT_PROPERTY_IDENTITY,
      .offset = offsetof(struct blk_state, path),
      .help = "image file or block device; its bytes are the disk's (raw)" },
    { .name = "fd",
      .type = NESTVIRT_PROPERTY_FD,
      .flags = NESTVIRT_PROPERTY_IDENTITY,
      .offset = offsetof(struct blk_state, fd),
      .help = "the same as an open descriptor, instead of path" },
    BLK_SWITCH("read_only", is_read_only, 0, "the guest may not write"),
    BLK_SWITCH("direct", is_direct, 0, "bypass the host's page cache (O_DIRECT)"),
    BLK_TEXT("serial", serial, "what the guest sees as the disk's serial; up to 20 bytes"),
    BLK_NUMBER("queues", wanted_queues, 1, 1, BLK_QUEUES_MAX, "request queues, 1 to 16"),
    BLK_SWITCH("writeback", is_writeback, 1,
               "1: writes are on the medium once the guest flushes; 0: once they complete"),
    BLK_SWITCH("discard", has_discard, 1, "let the guest give blocks back and zero them"),
    BLK_SWITCH(
        "lock", has_lock, 1,
        "lock the image, so that nobody else writes it (read_only: nor reads it to write); an "
        "fd that the caller has locked already keeps that lock, and must not be of two disks"),
    BLK_TEXT("engine", engine, "how I/O is done: auto, threads or io_uring"),
    BLK_NUMBER("workers", wanted_workers, 2, 1, NV_WORKERS_MAX, "threads of the disk, 1 to 16"),
    BLK_TEXT("on_error", on_error,
             "what a failure of the host does: report (to the guest), stop (pause the VM and try "
             "again when it goes on) or stop_on_enospc (only when the host's disk is full)"),
    BLK_NUMBER("block_size", block_size, NV_SECTOR_SIZE, NV_SECTOR_SIZE, 4096,
               "the disk's block as the guest sees it: 512, 1024, 2048 or 4096"),
    { .name = "resize",
      .type = NESTVIRT_PROPERTY_U64,
      .flags = NESTVIRT_PROPERTY_LIVE,
      .offset = offsetof(struct blk_state, resize),
      .max = INT64_MAX,
      .help = "bytes of the image that the guest sees, 0: all; setting it looks at the image anew "
              "and tells the guest" },
    NV_COUNTER_ROW(struct blk_state, "capacity", capacity,
                   "the disk's size in sectors of 512 bytes, as the guest sees it"),
    NV_COUNTER_ROW(struct blk_state, "reads", reads, "reads done"),
    NV_COUNTER_ROW(struct blk_state, "writes", writes, "writes done"),
    NV_COUNTER_ROW(struct blk_state, "flushes", flushes, "flushes done"),
    NV_COUNTER_ROW(struct blk_state, "errors", errors, "requests that were refused or failed"),
    NV_COUNTER_ROW(struct blk_state, "bytes_read", bytes_read, "bytes read by the guest"),
    NV_COUNTER_ROW(struct blk_state, "bytes_written", bytes_written, "bytes written by the guest"),
    NV_LIMIT_PROPERTIES(struct blk_state, limit, "rate", "of reads, writes and others"),
    NV_VIRTIO_PROPERTIES(struct blk_state),
};

static struct nv_disk_config disk_config(const struct blk_state *s)
{
    return (struct nv_disk_config){ .path = s->path && *s->path ? s->path : NULL,
                                    .fd = s->fd,
                                    .is_read_only = s->is_read_only,
                                    .is_direct = s->is_direct,
                                    .has_lock = s->has_lock };
}

/* The position of a word among those that a property may be; the first if it is not set. */
static int find_word(const char *property, const char *word, const char *const words[],
                     struct nestvirt_error **ret_error)
{
    if (!word)
        return 0;
    for (int i = 0; words[i]; i++)
        if (strcmp(words[i], word) == 0)
            return i;
    return nv_fail(ret_error, -EINVAL, nv_text("property %s", property).s,
                   nv_text("use %s, %s or %s", words[0], words[1], words[2]).s,
                   "\"%.32s\" is not known", word);
}

static const char *const policy_words[] = {
    [BLK_REPORT] = "report", [BLK_STOP] = "stop", [BLK_STOP_ON_ENOSPC] = "stop_on_enospc", NULL
};

enum { ENGINE_AUTO, ENGINE_THREADS, ENGINE_URING };
static const char *const engine_words[] = {
    [ENGINE_AUTO] = "auto", [ENGINE_THREADS] = "threads", [ENGINE_URING] = "io_uring", NULL
};

static int blk_claim(struct nestvirt_device *device, const struct nv_device_env *env,
                     struct nestvirt_error **ret_error)
{
    struct blk_state *s = device->state;
    const struct nv_disk_config config = disk_config(s);
    int r;

    (void)env;
    s->disk.fd = -1;
    if (s->serial && strlen(s->serial) > BLK_ID_SIZE)
        return nv_fail(ret_error, -EINVAL, "property serial", "use at most 20 bytes",
                       "it has %zu bytes", strlen(s->serial));
    if (s->block_size & (s->block_size - 1))
        return nv_fail(ret_error, -EINVAL, "property block_size", "use 512, 1024, 2048 or 4096",
                       "%llu is not a power of two", (unsigned long long)s->block_size);
    r = find_word("engine", s->engine, engine_words, ret_error);
    if (r >= 0)
        r = find_word("on_error", s->on_error, policy_words, ret_error);
    if (r < 0)
        return r;
    s->policy = (enum blk_policy)r;
    return nv_disk_check(&config, ret_error);
}

/* The bytes that the guest is to see of an image of this size. */
static int choose_size(const struct blk_state *s, uint64_t size, uint64_t *ret_size,
                       struct nestvirt_error **ret_error)
{
    uint64_t wanted = __atomic_load_n(&s->resize, __ATOMIC_RELAXED);
    uint64_t step = NV_MAX(s->block_size, (uint64_t)s->disk.offset_align);

    if (wanted > size)
        return nv_fail(ret_error, -EINVAL, "property resize", "enlarge the image first",
                       "%llu bytes are more than the image's %llu", (unsigned long long)wanted,
                       (unsigned long long)size);
    wanted = wanted ? wanted : size;
    if (wanted % step)
        return nv_fail(ret_error, -EINVAL, "disk",
                       nv_text("make it a multiple of %llu", (unsigned long long)step).s,
                       "%llu bytes are no whole number of blocks", (unsigned long long)wanted);
    *ret_size = wanted;
    return 0;
}

static void set_capacity(struct blk_state *s, uint64_t size)
{
    __atomic_store_n(&s->capacity, size / NV_SECTOR_SIZE, __ATOMIC_RELAXED);
    nv_put_le64(s->virtio.config + BLK_CONFIG_CAPACITY, s->capacity);
}

/* What the guest may know and choose. */
static void offer(struct blk_state *s)
{
    enum { PHYSICAL_BLOCK = 4096 };
    struct nv_virtio *v = &s->virtio;
    uint32_t block = (uint32_t)NV_MAX(s->block_size, (uint64_t)s->disk.offset_align);
    uint32_t physical = NV_MAX(block, (uint32_t)PHYSICAL_BLOCK);

    v->queue_count = (uint32_t)s->wanted_queues;
    v->config_length = BLK_CONFIG_LENGTH;
    v->offered = BLK_F_SEG_MAX | BLK_F_BLK_SIZE | BLK_F_TOPOLOGY;
    v->offered |= s->is_read_only ? BLK_F_RO : 0;
    v->offered |= s->is_writeback ? BLK_F_FLUSH | BLK_F_CONFIG_WCE : 0;
    v->offered |= s->wanted_queues > 1 ? BLK_F_MQ : 0;
    v->offered |= s->has_discard && !s->is_read_only ? BLK_F_DISCARD | BLK_F_WRITE_ZEROES : 0;
    nv_put_le32(v->config + BLK_CONFIG_SEG_MAX,
                v->queue_size > 2 ? (uint32_t)v->queue_size - 2 : 1);
    nv_put_le32(v->config + BLK_CONFIG_BLK_SIZE, block);
    v->config[BLK_CONFIG_PHYSICAL_EXP] = (uint8_t)__builtin_ctz(physical / block);
    nv_put_le16(v->config + BLK_CONFIG_MIN_IO, (uint16_t)(physical / block));
    v->config[BLK_CONFIG_WRITEBACK] = s->is_writeback ? 1 : 0;
    nv_put_le16(v->config + BLK_CONFIG_QUEUES, (uint16_t)s->wanted_queues);
    nv_put_le32(v->config + BLK_CONFIG_DISCARD_MAX, BLK_DISCARD_MAX);
    nv_put_le32(v->config + BLK_CONFIG_DISCARD_SEGMENTS, 1);
    nv_put_le32(v->config + BLK_CONFIG_DISCARD_ALIGN, physical / NV_SECTOR_SIZE);
    nv_put_le32(v->config + BLK_CONFIG_ZEROES_MAX, BLK_ZEROES_MAX);
    nv_put_le32(v->config + BLK_CONFIG_ZEROES_SEGMENTS, 1);
    v->config[BLK_CONFIG_ZEROES_MAY_UNMAP] = 1;
}

static int make_requests(struct blk_state *s, struct nestvirt_error **ret_error)
{
    uint32_t count =
        (uint32_t)NV_MIN(s->wanted_queues * s->virtio.queue_size, (uint64_t)BLK_HELD_MAX);

    s->requests = calloc(count, sizeof(*s->requests));
    if (!s->requests)
        return nv_fail_sys(ret_error, ENOMEM, "disk requests", "calloc",
                           "free memory in this process");
    for (uint32_t i = 0; i < count; i++) {
        s->requests[i].job.next = s->free ? &s->free->job : NULL;
        s->free = &s->requests[i];
    }
    return 0;
}

/*
 * The ring pays where the host's page cache is bypassed; for the cache, threads are as good. They
 * are there anyway for what a ring cannot do.
 */
static int start_engine(struct blk_state *s, struct nestvirt_error **ret_error)
{
    int engine = find_word("engine", s->engine, engine_words, ret_error);
    int r =
        nv_workers_start(&s->workers, (uint32_t)s->wanted_workers, &nv_blk_workers, s, ret_error);

    if (r < 0)
        return r;
    if (engine == ENGINE_URING)
        return nv_blk_open_uring(s, ret_error);
    if (engine == ENGINE_AUTO && s->is_direct)
        nv_blk_open_uring(s, NULL);
    return 0;
}

static int blk_wire(struct nestvirt_device *device, const struct nv_device_env *env,
                    struct nestvirt_error **ret_error)
{
    struct blk_state *s = device->state;
    const struct nv_disk_config config = disk_config(s);
    uint64_t size;
    int r;

    s->device = device;
    s->upward = env->upward;
    s->timer = (struct nv_timer){ .fn = nv_blk_on_timer, .user_data = s };
    r = nv_disk_open(&s->disk, &config, &size, ret_error);
    if (r >= 0)
        r = choose_size(s, size, &size, ret_error);
    if (r >= 0)
        r = make_requests(s, ret_error);
    if (r < 0)
        return r;
    set_capacity(s, size);
    offer(s);
    return env->loop ? start_engine(s, ret_error) : 0;
}

static void free_requests(struct blk_state *s)
{
    uint32_t count =
        (uint32_t)NV_MIN(s->wanted_queues * s->virtio.queue_size, (uint64_t)BLK_HELD_MAX);

    for (uint32_t i = 0; i < count && s->requests; i++)
        nv_chain_destroy(&s->requests[i].chain);
    free(s->requests);
    s->requests = NULL;
}

/* Waits for the pieces that the kernel has under way; what has not begun is forgotten with the
 * guest. */
static void blk_unbuild(struct nestvirt_device *device)
{
    struct blk_state *s = device->state;

    atomic_store(&s->given_up, UINT32_MAX);
    nv_blk_close_uring(s);
    nv_workers_stop(&s->workers);
    if (s->timer.fn && s->virtio.loop)
        nv_loop_clear_timer(s->virtio.loop, &s->timer);
    free_requests(s);
    if (s->disk.fd >= 0)
        nv_disk_close(&s->disk);
    s->free = NULL;
    s->fresh = s->stopped = (struct nv_job_list){ NULL, NULL };
    s->timer = (struct nv_timer){ 0 };
}

static void blk_send(struct nestvirt_device *device, nv_errand_fn *fn, void *user_data,
                     struct nv_errand_result *result)
{
    struct blk_state *s = device->state;

    nv_workers_send(&s->workers, fn, user_data, result);
}

/* To the state that the guest finds after a reset. Lock held. */
static void blk_reset(struct nv_virtio *v)
{
    struct blk_state *s = (struct blk_state *)v;

    s->is_writethrough = !s->is_writeback;
    v->config[BLK_CONFIG_WRITEBACK] = s->is_writeback ? 1 : 0;
    s->starved = s->limited = 0;
    s->is_stopped = false;
    atomic_store(&s->has_lost_writes, false);
}

static void blk_start(struct nestvirt_device *device)
{
    struct blk_state *s = device->state;

    NV_VIRTIO_GUARD(&s->virtio);
    blk_reset(&s->virtio);
    nv_limit_reset(&s->limit);
    s->quiet_until_ns = 0;
}

static uint32_t count_stopped(const struct blk_state *s)
{
    uint32_t count = 0;

    for (const struct nv_job *job = s->stopped.first; job; job = job->next)
        count++;
    return count;
}

/* True while threads or the ring work on requests; those that the policy holds stand still. */
static bool is_working(struct blk_state *s)
{
    struct nv_virtio *v = &s->virtio;
    uint32_t held = 0;

    NV_VIRTIO_GUARD(v);
    for (uint32_t i = 0; i < v->queue_count; i++)
        held += v->queues[i].held;
    return held > count_stopped(s);
}

static int blk_settle(struct nestvirt_device *device, uint64_t deadline_ns,
                      struct nestvirt_error **ret_error)
{
    const struct timespec while_ns = { .tv_nsec = 200000 };

    while (is_working(device->state)) {
        if (nv_now_ns() >= deadline_ns)
            return nv_fail(ret_error, -EBUSY, "disk", "try again when it has answered",
                           "the image's disk has not finished its requests");
        nanosleep(&while_ns, NULL);
    }
    return 0;
}

static int blk_save(struct nestvirt_device *device, struct nv_writer *writer,
                    struct nestvirt_error **ret_error)
{
    struct blk_state *s = device->state;

    nv_write_u8(writer, s->is_writethrough);
    nv_write_u8(writer, s->virtio.config[BLK_CONFIG_WRITEBACK] != 0);
    nv_write_u8(writer, atomic_load(&s->has_lost_writes));
    return 0;
}

static int blk_load(struct nestvirt_device *device, struct nv_reader *reader,
                    struct nestvirt_error **ret_error)
{
    struct blk_state *s = device->state;

    blk_reset(&s->virtio);
    nv_limit_reset(&s->limit);
    s->quiet_until_ns = 0;
    s->is_writethrough = nv_read_bool(reader);
    s->virtio.config[BLK_CONFIG_WRITEBACK] = nv_read_bool(reader);
    atomic_store(&s->has_lost_writes, nv_read_bool(reader));
    return 0;
}

static void blk_resume(struct nestvirt_device *device)
{
    nv_blk_retry(device->state);
}

/* A driver that cannot flush gets every write on the medium (5.2.6.2). */
static int blk_activate(struct nv_virtio *v)
{
    struct blk_state *s = (struct blk_state *)v;

    if (v->features & BLK_F_CONFIG_WCE)
        s->is_writethrough = !v->config[BLK_CONFIG_WRITEBACK];
    else
        s->is_writethrough = !(v->features & BLK_F_FLUSH);
    return 0;
}

/* Only the cache mode can be written. The next write brings the earlier ones onto the medium. */
static void blk_write_config(struct nv_virtio *v, uint32_t offset, const uint8_t *bytes,
                             uint32_t length)
{
    struct blk_state *s = (struct blk_state *)v;

    if (offset != BLK_CONFIG_WRITEBACK || length != 1 || bytes[0] > 1 ||
        !(v->features & BLK_F_CONFIG_WCE)) {
        nv_virtio_ignore(v);
        return;
    }
    v->config[BLK_CONFIG_WRITEBACK] = bytes[0];
    s->is_writethrough = bytes[0] == 0;
}

/* The driver finds the new size in the configuration (5.2.5). Requests are checked against it. */
static int apply_size(struct blk_state *s, struct nestvirt_error **ret_error)
{
    uint64_t size;
    int r = nv_disk_get_size(&s->disk, &size, ret_error);

    if (r >= 0)
        r = choose_size(s, size, &size, ret_error);
    if (r < 0)
        return r;
    NV_VIRTIO_GUARD(&s->virtio);
    set_capacity(s, size);
    nv_virtio_config_changed(&s->virtio);
    return 0;
}

/* Requests that wait for the old limit are looked at by the new one. */
static void apply_limit(struct blk_state *s)
{
    NV_VIRTIO_GUARD(&s->virtio);
    if (s->limited && s->virtio.loop)
        nv_loop_set_timer(s->virtio.loop, &s->timer, 0);
}

static bool blk_thread_at(const struct nestvirt_device *device, uint32_t index,
                          pthread_t *ret_thread)
{
    const struct blk_state *s = device->state;

    if (index >= s->workers.count)
        return false;
    *ret_thread = s->workers.threads[index];
    return true;
}

static int blk_changed(struct nestvirt_device *device, const struct nv_property *row,
                       struct nestvirt_error **ret_error)
{
    struct blk_state *s = device->state;

    if (row->offset == offsetof(struct blk_state, resize))
        return apply_size(s, ret_error);
    apply_limit(s);
    return 0;
}

static const struct nv_virtio_class blk_virtio = {
    .id = NV_VIRTIO_ID_BLK,
    .serve = nv_blk_serve,
    .activate = blk_activate,
    .drop = nv_blk_drop,
    .reset = blk_reset,
    .write_config = blk_write_config,
};

const struct nv_device_class nv_device_blk = {
    .name = "blk",
    .help = "virtio disk on a raw image file or a block device",
    .virtio = &blk_virtio,
    .state_size = sizeof(struct blk_state),
    .properties = blk_properties,
    .property_count = NV_ARRAY_SIZE(blk_properties),
    .claim = blk_claim,
    .wire = blk_wire,
    .unbuild = blk_unbuild,
    .send = blk_send,
    .start = blk_start,
    .resume = blk_resume,
    .settle = blk_settle,
    .save = blk_save,
    .load = blk_load,
    .changed = blk_changed,
    .thread_at = blk_thread_at,
};
