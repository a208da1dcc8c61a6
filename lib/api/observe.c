/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the door of observe.h: how long threads wait for a CPU. */
#include <stdlib.h>
#include <string.h>

#include "api/api.h"
#include "core/tags.h"
#include "observe/observer.h"

enum {
    CONFIG_FIRST = sizeof(struct nestvirt_observer_config),
    WAITS_FIRST = sizeof(struct nestvirt_waits),
    CONFIG_FLAGS = NESTVIRT_OBSERVER_NEED_BPF | NESTVIRT_OBSERVER_SCHEDSTAT,
    MILLION = 1000000
};

static const char object[] = "observer";

NV_EXPORT void nestvirt_observer_config_init(struct nestvirt_observer_config *config,
                                             size_t caller_size)
{
    nv_struct_init(config, caller_size);
}

NV_EXPORT void nestvirt_waits_init(struct nestvirt_waits *waits, size_t caller_size)
{
    nv_struct_init(waits, caller_size);
}

static int check_observer(const struct nestvirt_observer *observer,
                          struct nestvirt_error **ret_error)
{
    int r;

    nv_ok(ret_error);
    r = nv_api_handle(observer ? &observer->tag : NULL, NV_TAG_OBSERVER, object, ret_error);
    if (r == 0 && observer->process != (uint32_t)getpid())
        return nv_fail(ret_error, -ECHILD, object, "make one in this process",
                       "belongs to the parent process");
    return r;
}

/* Checks both and takes the VM's api_lock. */
static int enter(const struct nestvirt_observer *observer, struct nestvirt_vm *vm, const char *what,
                 struct nestvirt_error **ret_error)
{
    int r = check_observer(observer, ret_error);

    return r < 0 ? r : nv_api_enter(vm, what, ret_error);
}

NV_EXPORT int nestvirt_observer_new(const struct nestvirt_observer_config *config,
                                    struct nestvirt_observer **ret_observer,
                                    struct nestvirt_error **ret_error)
{
    struct nestvirt_observer_config ours = { .size = sizeof(ours) };
    int r;

    nv_ok(ret_error);
    r = nv_api_pointer(ret_observer, "ret_observer", ret_error);
    if (r < 0)
        return r;
    *ret_observer = NULL;
    if (config)
        r = nv_struct_in(&ours, sizeof(ours), CONFIG_FIRST, config, "observer config", ret_error);
    if (r < 0)
        return r;
    if (ours.flags & ~(uint32_t)CONFIG_FLAGS || ours.flags == CONFIG_FLAGS)
        return nv_fail(ret_error, -EINVAL, object,
                       "use NESTVIRT_OBSERVER_NEED_BPF or _SCHEDSTAT, or neither",
                       "flags 0x%x are unknown or contradict each other", ours.flags);
    return nv_observer_new(ours.flags, NULL, ret_observer, ret_error);
}

NV_EXPORT int nestvirt_observer_free(struct nestvirt_observer *observer)
{
    if (!observer)
        return 0;
    if (observer->tag != NV_TAG_OBSERVER)
        return -EBADF;
    nv_observer_close(observer);
    return 0;
}

NV_EXPORT const char *nestvirt_observer_get_reason(const struct nestvirt_observer *observer)
{
    return observer && observer->tag == NV_TAG_OBSERVER ? observer->reason : "";
}

NV_EXPORT int nestvirt_observer_add(struct nestvirt_observer *observer, struct nestvirt_vm *vm,
                                    uint32_t kinds, struct nestvirt_error **ret_error)
{
    int r = check_observer(observer, ret_error);

    if (r == 0 && kinds & ~(uint32_t)NV_OBSERVE_OWN)
        return nv_fail(ret_error, -EINVAL, object, "use NESTVIRT_OBSERVE_*, or 0 for all",
                       "kinds 0x%x are unknown", kinds);
    if (r == 0)
        r = nv_api_enter(vm, "be observed", ret_error);
    if (r < 0)
        return r;
    r = nv_vm_observe(vm, observer, kinds, ret_error);
    nv_api_leave(vm);
    return r;
}

NV_EXPORT int nestvirt_observer_add_thread(struct nestvirt_observer *observer,
                                           struct nestvirt_vm *vm, int32_t tid,
                                           struct nestvirt_error **ret_error)
{
    int r = enter(observer, vm, "have a thread observed", ret_error);

    if (r < 0)
        return r;
    r = nv_vm_observe_thread(vm, observer, tid, ret_error);
    nv_api_leave(vm);
    return r;
}

NV_EXPORT int nestvirt_observer_remove(struct nestvirt_observer *observer, struct nestvirt_vm *vm,
                                       struct nestvirt_error **ret_error)
{
    int r = enter(observer, vm, "be removed from an observer", ret_error);

    if (r < 0)
        return r;
    r = nv_vm_ignore(vm, observer, ret_error);
    nv_api_leave(vm);
    return r;
}

NV_EXPORT int nestvirt_observer_start(struct nestvirt_observer *observer,
                                      struct nestvirt_error **ret_error)
{
    int r = check_observer(observer, ret_error);

    return r < 0 ? r : nv_observer_restart(observer, ret_error);
}

NV_EXPORT uint64_t nestvirt_waits_get_limit(uint32_t bucket)
{
    return nv_wait_limit(bucket);
}

/* vm: NULL for the total. */
static int read_waits(struct nestvirt_observer *observer, struct nestvirt_vm *vm,
                      struct nv_waits *ret_waits, struct nestvirt_error **ret_error)
{
    struct nv_watch *watch;
    int r = check_observer(observer, ret_error);

    if (r < 0)
        return r;
    if (!vm)
        return nv_observer_read(observer, ret_waits, ret_error);
    r = nv_api_enter(vm, "have its waits read", ret_error);
    if (r < 0)
        return r;
    watch = nv_vm_find_watch(vm, observer);
    if (watch)
        r = nv_watch_read(watch, ret_waits, ret_error);
    else
        r = nv_fail(ret_error, -ENOENT, nv_vm_name(vm).s, "call nestvirt_observer_add",
                    "is not observed by this observer");
    nv_api_leave(vm);
    return r;
}

static int check_buckets(uint32_t buckets, struct nestvirt_error **ret_error)
{
    if (buckets == NESTVIRT_WAIT_BUCKETS)
        return 0;
    return nv_fail(ret_error, -EINVAL, "histogram", "give it NESTVIRT_WAIT_BUCKETS numbers",
                   "has %d buckets, not %u", NESTVIRT_WAIT_BUCKETS, buckets);
}

NV_EXPORT int nestvirt_observer_read(struct nestvirt_observer *observer, struct nestvirt_vm *vm,
                                     struct nestvirt_waits *waits, uint64_t *counts,
                                     uint64_t *times_ns, uint32_t buckets,
                                     struct nestvirt_error **ret_error)
{
    struct nv_waits ours;
    int r;

    nv_ok(ret_error);
    r = nv_struct_check(waits, WAITS_FIRST, "waits", ret_error);
    if (r == 0 && (counts || times_ns))
        r = check_buckets(buckets, ret_error);
    if (r == 0)
        r = read_waits(observer, vm, &ours, ret_error);
    if (r < 0)
        return r;
    if (counts)
        memcpy(counts, ours.sums.counts, sizeof(ours.sums.counts));
    if (times_ns)
        memcpy(times_ns, ours.sums.times_ns, sizeof(ours.sums.times_ns));
    return nv_struct_out(waits, &ours.info, sizeof(ours.info), WAITS_FIRST, "waits", ret_error);
}

NV_EXPORT int nestvirt_waits_get_percentile(const struct nestvirt_waits *waits,
                                            const uint64_t *numbers, uint32_t buckets,
                                            uint32_t per_million, uint64_t *ret_ns,
                                            struct nestvirt_error **ret_error)
{
    struct nestvirt_waits ours;
    int r;

    nv_ok(ret_error);
    r = nv_struct_in(&ours, sizeof(ours), WAITS_FIRST, waits, "waits", ret_error);
    if (r == 0)
        r = nv_api_pointer(numbers, "numbers", ret_error);
    if (r == 0)
        r = nv_api_pointer(ret_ns, "ret_ns", ret_error);
    if (r == 0)
        r = check_buckets(buckets, ret_error);
    if (r < 0)
        return r;
    if (ours.flags & NESTVIRT_WAITS_TOTALS_ONLY)
        return nv_fail(ret_error, -ENOTSUP, "waits", "see nestvirt_observer_get_reason",
                       "have no histogram");
    if (per_million > MILLION)
        return nv_fail(ret_error, -EINVAL, "waits", "990000 is p99", "%u is more than a million",
                       per_million);
    *ret_ns = nv_waits_percentile(numbers, per_million, ours.max_ns);
    return 0;
}

/* What a text is made from; buffer becomes empty. */
static int begin_text(struct nestvirt_observer *observer, struct nestvirt_vm *vm, char *buffer,
                      size_t size, struct nv_waits *ret_waits, struct nestvirt_error **ret_error)
{
    int r;

    nv_ok(ret_error);
    if (size > 0) {
        r = nv_api_pointer(buffer, "buffer", ret_error);
        if (r < 0)
            return r;
        buffer[0] = '\0';
    }
    return read_waits(observer, vm, ret_waits, ret_error);
}

static int end_text(size_t length, char *buffer, size_t size, struct nestvirt_error **ret_error)
{
    if (size == 0 || length < size)
        return (int)length;
    buffer[0] = '\0';
    return nv_fail(ret_error, -E2BIG, "waits", nv_text("give it %zu bytes", length + 1).s,
                   "do not fit into %zu bytes", size);
}

NV_EXPORT int nestvirt_observer_get_text(struct nestvirt_observer *observer, struct nestvirt_vm *vm,
                                         uint32_t weight, char *buffer, size_t size,
                                         struct nestvirt_error **ret_error)
{
    struct nv_waits_labels labels;
    struct nv_waits ours;
    int r = begin_text(observer, vm, buffer, size, &ours, ret_error);

    if (r < 0)
        return r;
    if (weight != NESTVIRT_WEIGHT_COUNT && weight != NESTVIRT_WEIGHT_TIME)
        return nv_fail(ret_error, -EINVAL, "waits", "use NESTVIRT_WEIGHT_COUNT or _TIME",
                       "weight %u is unknown", weight);
    labels = (struct nv_waits_labels){ vm ? vm->name : NULL, observer->reason };
    return end_text(nv_waits_text(&ours, &labels, weight, buffer, size), buffer, size, ret_error);
}

NV_EXPORT int nestvirt_observer_get_json(struct nestvirt_observer *observer, struct nestvirt_vm *vm,
                                         char *buffer, size_t size,
                                         struct nestvirt_error **ret_error)
{
    struct nv_waits_labels labels;
    struct nv_waits ours;
    int r = begin_text(observer, vm, buffer, size, &ours, ret_error);

    if (r < 0)
        return r;
    labels = (struct nv_waits_labels){ vm ? vm->name : NULL, observer->reason };
    return end_text(nv_waits_json(&ours, &labels, buffer, size), buffer, size, ret_error);
}
