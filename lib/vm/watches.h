/* SPDX-License-Identifier: Apache-2.0 */
/* Owns a VM's watches: the observers that count its threads. */
#ifndef NV_VM_WATCHES_H
#define NV_VM_WATCHES_H

#include <stdint.h>
#include <sys/types.h>

#include <nestvirt/observe.h>

#include "observe/observer.h"

/* The watch of an observer, or NULL. The api_lock is held, as for all below. */
struct nv_watch *nv_vm_find_watch(struct nestvirt_vm *vm, const struct nestvirt_observer *observer);

/* Errors: observe.h (public). */
int nv_vm_observe(struct nestvirt_vm *vm, struct nestvirt_observer *observer, uint32_t kinds,
                  struct nestvirt_error **ret_error);
int nv_vm_observe_thread(struct nestvirt_vm *vm, struct nestvirt_observer *observer, pid_t tid,
                         struct nestvirt_error **ret_error);
int nv_vm_ignore(struct nestvirt_vm *vm, struct nestvirt_observer *observer,
                 struct nestvirt_error **ret_error);

/* After a build: its threads are observed too. What cannot be makes the watch incomplete. */
void nv_vm_watch_threads(struct nestvirt_vm *vm);

/* Before threads of these kinds, NESTVIRT_OBSERVE_*, end. */
void nv_vm_drop_threads(struct nestvirt_vm *vm, uint32_t kinds);

/* Nobody observes the VM any more. */
void nv_vm_end_watches(struct nestvirt_vm *vm);

#endif
