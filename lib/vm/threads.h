/* SPDX-License-Identifier: Apache-2.0 */
/* Owns which threads a VM has, and what is kept of where they are to run. */
#ifndef NV_VM_THREADS_H
#define NV_VM_THREADS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include <nestvirt/thread.h>

#include "core/error.h"
#include "host/placement.h"

/* What was set for one thread, or for every one of a kind. */
struct nv_kept_place {
    uint32_t kind;
    uint32_t index;
    uint32_t cookie; /* number of the call that asked for one; 0: none */
    struct nv_placement wanted;
};

/* Zero-initialised: nothing is kept, and nothing is done. */
struct nv_kept_places {
    struct nv_kept_place *rows;
    uint32_t count;
    uint32_t cookies; /* calls that asked for one */
};

/* A thread of a VM. */
struct nv_vm_thread {
    uint32_t kind;
    uint32_t index;
    pid_t tid;
    bool is_shared; /* a loop that was given to the VM */
};

/* "vm web1: vcpu 0", "vm web1: worker 2". */
struct nv_text nv_vm_thread_name(const struct nestvirt_vm *vm, uint32_t kind, uint32_t index);

/*
 * Thread number position of a VM that is built, or in the course of it; false behind the last. The
 * api_lock is held, as for all below.
 */
bool nv_vm_thread_at(const struct nestvirt_vm *vm, uint32_t position,
                     struct nv_vm_thread *ret_thread);

/* True if kind and index (or NESTVIRT_THREAD_EVERY) name this thread. */
bool nv_vm_thread_is(const struct nv_vm_thread *thread, uint32_t kind, uint32_t index);

/* 0 if there can be such threads; -EINVAL, -ENOENT, -ENOTSUP. */
int nv_vm_check_thread(const struct nestvirt_vm *vm, uint32_t kind, uint32_t index,
                       struct nestvirt_error **ret_error);

/* Keeps what part of a placement means, and applies it to the threads there are: their number. */
int nv_vm_place_threads(struct nestvirt_vm *vm, const struct nv_kept_place *wish,
                        struct nestvirt_error **ret_error);

/* -ENOENT unless every single thread that something is kept for is there. */
int nv_vm_check_kept(const struct nestvirt_vm *vm, struct nestvirt_error **ret_error);

/* Applies all that is kept to the threads there are. */
int nv_vm_place_kept(struct nestvirt_vm *vm, struct nestvirt_error **ret_error);

/* Adds to *list what makes that fail and can be known before. */
void nv_vm_check_places(const struct nestvirt_vm *vm, struct nestvirt_error **list);

#endif
