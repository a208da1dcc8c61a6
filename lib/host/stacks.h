/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the stacks of vCPU threads: many in one mapping, used again instead of unmapped. */
#ifndef NV_HOST_STACKS_H
#define NV_HOST_STACKS_H

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

/* The usable bytes of a stack: enough for callbacks in interpreted languages, touched as needed. */
enum { NV_STACK_SIZE = 1024 * 1024 };

/*
 * Why not the C library's: KVM_CREATE_VM locks every mapping of the process, and every change of a
 * mapping calls all VMs of the process. A stack and its guard for each vCPU made the thousandth VM
 * cost several times the first.
 */
struct nv_stacks {
    pthread_mutex_t lock;
    void **arenas;
    uint32_t arena_count;
    void **free;
    uint32_t free_count;
    uint32_t capacity; /* stacks in all arenas, and room in free */
    uint32_t fresh;    /* stacks of the last arena that were never given out */
};

void nv_stacks_init(struct nv_stacks *stacks);

/* Unmaps all. No thread uses one any more. */
void nv_stacks_destroy(struct nv_stacks *stacks);

/* A stack of NV_STACK_SIZE bytes above a guard page: its lowest usable byte, or NULL. */
void *nv_stacks_take(struct nv_stacks *stacks);

/* Gives a stack back once its thread was joined. NULL is allowed. */
void nv_stacks_give(struct nv_stacks *stacks, void *stack);

#endif
