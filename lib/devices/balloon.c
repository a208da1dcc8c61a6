/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the balloon device (virtio 1.2, 5.5): its target, statistics and life. */
#include "devices/balloon.h"

#include <errno.h>
#include <string.h>

#include "core/error.h"
#include "core/util.h"

/* Feature bits (5.5.3). Page poisoning is not offered: pages come back zeroed. */
#define F_STATS_VQ (1ull << 1)
#define F_DEFLATE_ON_OOM (1ull << 2)
#define F_PAGE_REPORTING (1ull << 5)

/* Configuration (5.5.4). */
enum { CONFIG_NUM_PAGES = 0, CONFIG_ACTUAL = 4, CONFIG_END = 8 };

enum {
    OPTIONAL_QUEUE = 2, /* the first behind inflate and deflate */
    STAT_BYTES = 10,    /* le16 tag, le64 value */
    STATS_MAX = 64      /* that are looked at in one buffer */
};

static const struct nv_property balloon_properties[] = {
    NV_VIRTIO_PROPERTIES(struct nv_balloon),
    { .name = "target",
      .type = NESTVIRT_PROPERTY_U64,
      .flags = NESTVIRT_PROPERTY_LIVE,
      .offset = offsetof(struct nv_balloon, target),
      .max = (uint64_t)UINT32_MAX * NV_BALLOON_PAGE,
      .help = "bytes that the guest is asked to give back, a multiple of 4096" },
    NV_COUNTER_ROW(struct nv_balloon, "actual", actual,
                   "bytes that the guest says it has given back"),
    { .name = "deflate_on_oom",
      .type = NESTVIRT_PROPERTY_BOOL,
      .offset = offsetof(struct nv_balloon, deflate_on_oom),
      .max = 1,
      .help = "1: a guest that runs out of memory may take it back by itself" },
    { .name = "free_page_reporting",
      .type = NESTVIRT_PROPERTY_BOOL,
      .offset = offsetof(struct nv_balloon, free_page_reporting),
      .max = 1,
      .help = "1: the guest reports free memory, which goes back to the host until it is used" },
    { .name = "stats",
      .type = NESTVIRT_PROPERTY_BOOL,
      .offset = offsetof(struct nv_balloon, has_stats),
      .initial = 1,
      .max = 1,
      .help = "1: the guest can be asked for the statistics below" },
    { .name = "stats_interval_ms",
      .type = NESTVIRT_PROPERTY_U64,
      .flags = NESTVIRT_PROPERTY_LIVE,
      .offset = offsetof(struct nv_balloon, stats_interval_ms),
      .max = 86400000,
      .help = "milliseconds after which the guest is asked for statistics again; 0: never" },
    NV_COUNTER_ROW(struct nv_balloon, "inflated", inflated,
                   "bytes given back by the balloon since the VM was made"),
    NV_COUNTER_ROW(struct nv_balloon, "deflated", deflated,
                   "bytes that the guest took from the balloon again"),
    NV_COUNTER_ROW(struct nv_balloon, "reported", reported,
                   "bytes given back by free page reporting"),
    NV_COUNTER_ROW(struct nv_balloon, "refused", refused,
                   "pages that the guest named and that are not its memory"),
    NV_COUNTER_ROW(struct nv_balloon, "failed", failed,
                   "times the host did not take memory back, and it was zeroed"),
    NV_COUNTER_ROW(struct nv_balloon, "stats_updates", stats_updates,
                   "times the guest sent statistics"),
    NV_COUNTER_ROW(struct nv_balloon, "stat_swap_in", stats[0],
                   "bytes that the guest has swapped in"),
    NV_COUNTER_ROW(struct nv_balloon, "stat_swap_out", stats[1],
                   "bytes that the guest has swapped out"),
    NV_COUNTER_ROW(struct nv_balloon, "stat_major_faults", stats[2],
                   "the guest's page faults that read from a disk"),
    NV_COUNTER_ROW(struct nv_balloon, "stat_minor_faults", stats[3],
                   "the guest's page faults that did not"),
    NV_COUNTER_ROW(struct nv_balloon, "stat_free_memory", stats[4],
                   "bytes that nobody in the guest uses"),
    NV_COUNTER_ROW(struct nv_balloon, "stat_total_memory", stats[5], "bytes that the guest has"),
    NV_COUNTER_ROW(struct nv_balloon, "stat_available_memory", stats[6],
                   "bytes that the guest could use at once"),
    NV_COUNTER_ROW(struct nv_balloon, "stat_disk_caches", stats[7],
                   "bytes of the guest's file caches"),
    NV_COUNTER_ROW(struct nv_balloon, "stat_hugetlb_allocations", stats[8],
                   "huge pages that the guest allocated"),
    NV_COUNTER_ROW(struct nv_balloon, "stat_hugetlb_failures", stats[9],
                   "huge pages that it could not allocate"),
    NV_COUNTER_ROW(struct nv_balloon, "stat_oom_kills", stats[10],
                   "processes that the guest killed for memory"),
    NV_COUNTER_ROW(struct nv_balloon, "stat_allocation_stalls", stats[11],
                   "the guest's allocations that had to wait"),
    NV_COUNTER_ROW(struct nv_balloon, "stat_async_scans", stats[12],
                   "pages that the guest looked at in background"),
    NV_COUNTER_ROW(struct nv_balloon, "stat_direct_scans", stats[13],
                   "pages that it looked at when it needed some"),
    NV_COUNTER_ROW(struct nv_balloon, "stat_async_reclaims", stats[14],
                   "pages that it reclaimed in background"),
    NV_COUNTER_ROW(struct nv_balloon, "stat_direct_reclaims", stats[15],
                   "pages that it reclaimed when it needed some"),
};

bool nv_balloon_take(struct nv_balloon *balloon, uint32_t queue)
{
    struct nv_virtio *v = &balloon->virtio;

    if (balloon->has_chain[queue])
        return true;
    if (nv_virtio_pop(v, queue, &v->queues[queue].chain) <= 0)
        return false;
    nv_virtio_hold(v, queue);
    balloon->has_chain[queue] = true;
    return true;
}

void nv_balloon_give_back(struct nv_balloon *balloon, uint32_t queue)
{
    struct nv_virtio *v = &balloon->virtio;

    if (!balloon->has_chain[queue])
        return;
    balloon->has_chain[queue] = false;
    nv_virtio_release(v, queue, &v->queues[queue].chain, 0);
}

/*
 * The optional queues are numbered 2, 3 and 4 (5.5.2), but Linux leaves out those it does not use.
 * Hints are not offered, so statistics are always 2, and reports 4, or the first that is free.
 */
static bool has_stats_at(const struct nv_virtio *v, uint32_t queue)
{
    return queue == OPTIONAL_QUEUE && (v->features & F_STATS_VQ);
}

/* When the guest is to be asked again, which is done by giving its buffer back (5.5.6.3). */
static void set_timer(struct nv_balloon *s)
{
    uint64_t interval_ms = __atomic_load_n(&s->stats_interval_ms, __ATOMIC_RELAXED);

    if (s->virtio.loop && interval_ms && s->has_chain[OPTIONAL_QUEUE])
        nv_loop_set_timer(s->virtio.loop, &s->timer, nv_now_ns() + interval_ms * 1000000u);
}

static void read_stats(struct nv_balloon *s, struct nv_chain *chain)
{
    uint8_t bytes[STAT_BYTES];

    for (uint32_t i = 0; i < STATS_MAX && nv_chain_read(chain, bytes, STAT_BYTES) == STAT_BYTES;
         i++) {
        uint16_t tag = nv_get_le16(bytes);

        if (tag < NV_BALLOON_STATS)
            __atomic_store_n(&s->stats[tag], nv_get_le64(bytes + 2), __ATOMIC_RELAXED);
    }
    nv_count(&s->stats_updates, 1);
}

static void serve_stats(struct nv_balloon *s, uint32_t queue)
{
    if (s->has_chain[queue] || !nv_balloon_take(s, queue))
        return;
    read_stats(s, &s->virtio.queues[queue].chain);
    set_timer(s);
}

static void on_timer(void *user_data)
{
    struct nv_balloon *s = user_data;
    struct nv_virtio *v = &s->virtio;

    NV_VIRTIO_GUARD(v);
    if (!nv_virtio_can_serve(v, OPTIONAL_QUEUE) || !has_stats_at(v, OPTIONAL_QUEUE) ||
        __atomic_load_n(&s->stats_interval_ms, __ATOMIC_RELAXED) == 0)
        return;
    nv_balloon_give_back(s, OPTIONAL_QUEUE);
    nv_virtio_serve(v, OPTIONAL_QUEUE);
}

static void balloon_serve(struct nv_virtio *v, uint32_t queue)
{
    struct nv_balloon *s = (struct nv_balloon *)v;

    if (queue == NV_BALLOON_INFLATE)
        nv_balloon_serve_inflate(s, queue);
    else if (queue == NV_BALLOON_DEFLATE)
        nv_balloon_serve_deflate(s, queue);
    else if (has_stats_at(v, queue))
        serve_stats(s, queue);
    else if (v->features & F_PAGE_REPORTING)
        nv_balloon_serve_reports(s, queue);
}

static void balloon_drop(struct nv_virtio *v, uint32_t queue)
{
    nv_balloon_give_back((struct nv_balloon *)v, queue);
}

static void forget_actual(struct nv_balloon *s)
{
    nv_put_le32(s->virtio.config + CONFIG_ACTUAL, 0);
    __atomic_store_n(&s->actual, 0, __ATOMIC_RELAXED);
}

static void balloon_reset(struct nv_virtio *v)
{
    forget_actual((struct nv_balloon *)v);
}

static void balloon_write_config(struct nv_virtio *v, uint32_t offset, const uint8_t *bytes,
                                 uint32_t length)
{
    struct nv_balloon *s = (struct nv_balloon *)v;

    if (offset < CONFIG_ACTUAL) {
        nv_virtio_ignore(v);
        return;
    }
    memcpy(v->config + offset, bytes, length); /* the transport has checked the end */
    __atomic_store_n(&s->actual, (uint64_t)nv_get_le32(v->config + CONFIG_ACTUAL) * NV_BALLOON_PAGE,
                     __ATOMIC_RELAXED);
}

static const struct nv_virtio_class balloon_virtio = {
    .id = NV_VIRTIO_ID_BALLOON,
    .serve = balloon_serve,
    .drop = balloon_drop,
    .reset = balloon_reset,
    .write_config = balloon_write_config,
};

static int check_target(uint64_t target, const struct nv_memory *memory,
                        struct nestvirt_error **ret_error)
{
    uint64_t total = nv_memory_total(memory);

    if (target % NV_BALLOON_PAGE)
        return nv_fail(ret_error, -EINVAL, "property target", "round it",
                       "%llu is not a multiple of %d", (unsigned long long)target, NV_BALLOON_PAGE);
    if (target > total)
        return nv_fail(ret_error, -EINVAL, "property target", "lower it",
                       "%llu is more than the guest's %llu bytes", (unsigned long long)target,
                       (unsigned long long)total);
    return 0;
}

static void put_target(struct nv_balloon *s)
{
    uint64_t target = __atomic_load_n(&s->target, __ATOMIC_RELAXED);

    nv_put_le32(s->virtio.config + CONFIG_NUM_PAGES, (uint32_t)(target / NV_BALLOON_PAGE));
}

static int balloon_claim(struct nestvirt_device *device, const struct nv_device_env *env,
                         struct nestvirt_error **ret_error)
{
    struct nv_balloon *s = device->state;

    return check_target(s->target, env->memory, ret_error);
}

static int balloon_wire(struct nestvirt_device *device, const struct nv_device_env *env,
                        struct nestvirt_error **ret_error)
{
    struct nv_balloon *s = device->state;
    struct nv_virtio *v = &s->virtio;

    v->queue_count = OPTIONAL_QUEUE;
    if (s->has_stats) {
        v->offered |= F_STATS_VQ;
        v->queue_count = OPTIONAL_QUEUE + 1;
    }
    if (s->free_page_reporting) {
        v->offered |= F_PAGE_REPORTING;
        v->queue_count = NV_BALLOON_QUEUES;
    }
    if (s->deflate_on_oom)
        v->offered |= F_DEFLATE_ON_OOM;
    v->config_length = CONFIG_END;
    put_target(s);
    forget_actual(s);
    memset(s->has_chain, 0, sizeof(s->has_chain));
    s->timer = (struct nv_timer){ .fn = on_timer, .user_data = s };
    return 0;
}

static void balloon_unbuild(struct nestvirt_device *device)
{
    struct nv_balloon *s = device->state;

    if (s->virtio.is_claimed && s->virtio.loop)
        nv_loop_clear_timer(s->virtio.loop, &s->timer);
}

static int balloon_save(struct nestvirt_device *device, struct nv_writer *writer,
                        struct nestvirt_error **ret_error)
{
    const struct nv_balloon *s = device->state;

    nv_write_u32(writer, nv_get_le32(s->virtio.config + CONFIG_ACTUAL));
    return 0;
}

static int balloon_load(struct nestvirt_device *device, struct nv_reader *reader,
                        struct nestvirt_error **ret_error)
{
    struct nv_balloon *s = device->state;
    uint32_t pages = nv_read_u32(reader);

    nv_put_le32(s->virtio.config + CONFIG_ACTUAL, pages);
    __atomic_store_n(&s->actual, (uint64_t)pages * NV_BALLOON_PAGE, __ATOMIC_RELAXED);
    return 0;
}

static void balloon_resume(struct nestvirt_device *device)
{
    struct nv_balloon *s = device->state;

    NV_VIRTIO_GUARD(&s->virtio);
    set_timer(s);
}

static int balloon_changed(struct nestvirt_device *device, const struct nv_property *row,
                           struct nestvirt_error **ret_error)
{
    struct nv_balloon *s = device->state;
    int r;

    NV_VIRTIO_GUARD(&s->virtio);
    if (row->offset == offsetof(struct nv_balloon, target)) {
        r = check_target(__atomic_load_n(&s->target, __ATOMIC_RELAXED), s->virtio.memory,
                         ret_error);
        if (r < 0)
            return r;
        put_target(s);
        nv_virtio_config_changed(&s->virtio);
    } else {
        set_timer(s);
    }
    return 0;
}

const struct nv_device_class nv_device_balloon = {
    .name = "balloon",
    .help = "virtio memory balloon: memory that the guest does not need goes back to the host",
    .virtio = &balloon_virtio,
    .state_size = sizeof(struct nv_balloon),
    .properties = balloon_properties,
    .property_count = NV_ARRAY_SIZE(balloon_properties),
    .claim = balloon_claim,
    .wire = balloon_wire,
    .unbuild = balloon_unbuild,
    .resume = balloon_resume,
    .save = balloon_save,
    .load = balloon_load,
    .changed = balloon_changed,
};
