/* SPDX-License-Identifier: Apache-2.0 */
/* Owns what every public function does first: checking handles, the fork and the state. */
#ifndef NV_API_API_H
#define NV_API_API_H

#include <errno.h>

#include <nestvirt/nestvirt.h>

#include "core/cleanup.h"
#include "core/error.h"
#include "core/structs.h"
#include "host/list.h"
#include "vm/vm.h"

#define NV_EXPORT __attribute__((visibility("default")))

/* The first member of a handle, or NULL for a missing one: 0, -EFAULT, -EBADF. */
int nv_api_handle(const uint32_t *tag, uint32_t wanted, const char *name,
                  struct nestvirt_error **ret_error);

/* Each: 0, -EFAULT for NULL, -EBADF for another kind of handle, -ECHILD after fork. */
int nv_api_host(const struct nestvirt_host *host, struct nestvirt_error **ret_error);
int nv_api_loop(const struct nestvirt_loop *loop, struct nestvirt_error **ret_error);
int nv_api_vm(const struct nestvirt_vm *vm, struct nestvirt_error **ret_error);
int nv_api_vcpu(const struct nestvirt_vcpu *vcpu, struct nestvirt_error **ret_error);
int nv_api_device(const struct nestvirt_device *device, struct nestvirt_error **ret_error);

/*
 * One thread of a VM whose api_lock is held: -EINVAL, -ENOENT, -ENOTSUP (thread.h, public). Before
 * a build there are none.
 */
int nv_api_thread(const struct nestvirt_vm *vm, uint32_t kind, uint32_t index,
                  struct nv_vm_thread *ret_thread, struct nestvirt_error **ret_error);

/* -EFAULT for a missing argument. */
int nv_api_pointer(const void *pointer, const char *name, struct nestvirt_error **ret_error);

/*
 * Gives a text, or a set as a list, to a caller's buffer, which is empty by now: its length.
 * -E2BIG with the length when it does not fit; nothing is written then.
 */
int nv_api_give_text(const char *text, const char *object, char *buffer, size_t size,
                     struct nestvirt_error **ret_error);
int nv_api_give_set(const struct nv_set *set, const char *object, char *buffer, size_t size,
                    struct nestvirt_error **ret_error);

/*
 * Checks vm and takes its api_lock (left to the caller to give back with nv_api_leave) for a call
 * that waits or changes the state. -EDEADLK on the VM's own threads.
 */
int nv_api_enter(struct nestvirt_vm *vm, const char *what, struct nestvirt_error **ret_error);

/* The same, but waits for other calls until a deadline at most: -ETIMEDOUT. */
int nv_api_enter_until(struct nestvirt_vm *vm, const char *what, uint64_t deadline_ns,
                       struct nestvirt_error **ret_error);

/* The same for calls that configure: -EBUSY unless the VM is in state new. */
int nv_api_enter_new(struct nestvirt_vm *vm, const char *what, struct nestvirt_error **ret_error);

/* The same for what a clone has from its template: -EBUSY for one. */
int nv_api_enter_plain(struct nestvirt_vm *vm, const char *what, struct nestvirt_error **ret_error);

void nv_api_leave(struct nestvirt_vm *vm);

/* A caller's timeout in milliseconds as a deadline. */
uint64_t nv_api_deadline(int32_t timeout_ms);

#endif
