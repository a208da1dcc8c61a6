/* SPDX-License-Identifier: Apache-2.0 */
/* Owns a VM's queue of events and the descriptor that tells of them. */
#ifndef NV_VM_EVENTS_H
#define NV_VM_EVENTS_H

#include <pthread.h>
#include <stdint.h>

#include <nestvirt/vm.h>

enum { NV_EVENTS_MAX = 64 };

struct nv_events {
    pthread_mutex_t lock;
    int fd; /* an eventfd; -1 until asked for */
    uint32_t start;
    uint32_t count;
    uint64_t lost;
    struct nestvirt_event queue[NV_EVENTS_MAX];
};

void nv_events_init(struct nv_events *events);
void nv_events_destroy(struct nv_events *events);

/*
 * Queues an event; when the queue is full, counts it as lost, or for one that tells of the end of a
 * run the newest of another kind. Any thread.
 */
void nv_events_push(struct nv_events *events, uint32_t kind, uint32_t vcpu,
                    const uint64_t values[4]);

/* Takes the oldest: 1, or 0 if there is none. */
int nv_events_pop(struct nv_events *events, struct nestvirt_event *ret_event);

/* The descriptor, made at the first call; or -errno. */
int nv_events_fd(struct nv_events *events);

#endif
