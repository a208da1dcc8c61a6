/* SPDX-License-Identifier: Apache-2.0 */
/* Owns a VM's queue of events and the descriptor that tells of them. */
#include "vm/events.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "core/cleanup.h"
#include "core/log.h"

void nv_events_init(struct nv_events *events)
{
    memset(events, 0, sizeof(*events));
    events->fd = -1;
    pthread_mutex_init(&events->lock, NULL);
}

void nv_events_destroy(struct nv_events *events)
{
    if (events->fd >= 0)
        close(events->fd);
    pthread_mutex_destroy(&events->lock);
}

/* What a guest can cause as often as it likes. */
static bool is_from_guest(uint32_t kind)
{
    return kind == NESTVIRT_EVENT_UNHANDLED_EXIT || kind == NESTVIRT_EVENT_IO_ERROR;
}

static struct nestvirt_event *event_at(struct nv_events *events, uint32_t position)
{
    return &events->queue[(events->start + position) % NV_EVENTS_MAX];
}

/* Takes out the newest event that is not the end of a run; if all are, the oldest. */
static void make_room(struct nv_events *events)
{
    uint32_t i = events->count - 1;

    while (i > 0 && event_at(events, i)->kind == NESTVIRT_EVENT_STOPPED)
        i--;
    for (; i + 1 < events->count; i++)
        *event_at(events, i) = *event_at(events, i + 1);
    events->count--;
}

void nv_events_push(struct nv_events *events, uint32_t kind, uint32_t vcpu,
                    const uint64_t values[4])
{
    struct nestvirt_event *event;

    NV_GUARD(&events->lock);
    /* What a guest can cause leaves room for what its owner must know. */
    if (events->count >= (is_from_guest(kind) ? NV_EVENTS_MAX / 2u : (uint32_t)NV_EVENTS_MAX)) {
        events->lost++;
        if (kind != NESTVIRT_EVENT_STOPPED)
            return;
        make_room(events);
    }
    event = event_at(events, events->count++);
    *event = (struct nestvirt_event){
        .size = sizeof(*event), .kind = kind, .vcpu = vcpu, .time_ns = nv_now_ns()
    };
    memcpy(event->values, values, sizeof(event->values));
    if (events->fd >= 0 && events->count == 1)
        eventfd_write(events->fd, 1);
}

int nv_events_pop(struct nv_events *events, struct nestvirt_event *ret_event)
{
    eventfd_t value;

    NV_GUARD(&events->lock);
    if (events->count > 0) {
        *ret_event = events->queue[events->start];
        events->start = (events->start + 1) % NV_EVENTS_MAX;
        events->count--;
    } else if (events->lost > 0) {
        *ret_event = (struct nestvirt_event){
            .size = sizeof(*ret_event),
            .kind = NESTVIRT_EVENT_LOST,
            .time_ns = nv_now_ns(),
            .values = { events->lost },
        };
        events->lost = 0;
    } else {
        return 0;
    }
    if (events->fd >= 0 && events->count == 0 && events->lost == 0)
        eventfd_read(events->fd, &value);
    return 1;
}

int nv_events_fd(struct nv_events *events)
{
    NV_GUARD(&events->lock);
    if (events->fd >= 0)
        return events->fd;
    events->fd = eventfd(events->count > 0 || events->lost > 0, EFD_CLOEXEC | EFD_NONBLOCK);
    return events->fd < 0 ? -errno : events->fd;
}
