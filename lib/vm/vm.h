/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the VM object: its parts, its states, how they are put together, its events. */
#ifndef NV_VM_VM_H
#define NV_VM_VM_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <nestvirt/nestvirt.h>

#include "boot/boot.h"
#include "bus/bus.h"
#include "bus/irq.h"
#include "core/log.h"
#include "devices/device.h"
#include "host/errand.h"
#include "host/loop.h"
#include "host/privileges.h"
#include "kvm/kvm.h"
#include "memory/memory.h"
#include "vcpu/vcpu.h"
#include "vm/cgroups.h"
#include "vm/events.h"
#include "vm/threads.h"
#include "vm/watches.h"

enum { NV_DEVICES_MAX = 64 };

/* A log line that waits for the api_lock to be given back; level 0: none. */
struct nv_late_line {
    uint32_t level;
    char text[256];
};

struct nestvirt_template;

struct nestvirt_vm {
    uint32_t tag;
    struct nestvirt_host *host;
    char name[NESTVIRT_VM_NAME_MAX + 1];
    uint32_t flags; /* NESTVIRT_VM_* */
    uint32_t chip;  /* NESTVIRT_CHIP_* */

    /*
     * api_lock: held by calls that configure or change the state, maybe for long; never taken on
     * the VM's own threads. The group's lock guards the state itself and is never held while
     * anything is waited for but the group's condition.
     */
    pthread_mutex_t api_lock;
    atomic_int state;
    atomic_bool is_to_pause; /* a device asked for it */
    atomic_bool is_freeing;  /* the first call of free has it */

    struct nv_memory memory;
    struct nv_bus bus;
    struct nv_irq irq;
    struct nv_group group;
    struct nv_cpuid_masks masks;
    struct nv_boot_source boot;
    struct nv_boot_nodes *nodes; /* NUMA nodes of the guest; NULL: none */
    struct nestvirt_device *devices[NV_DEVICES_MAX];
    uint32_t device_count;
    struct nestvirt_loop *loop; /* changes under both locks */
    bool has_given_loop;        /* it may be shared */
    struct nv_kept_places kept_places;
    struct nv_kept_cgroups cgroups;
    struct nv_watch *watches; /* observers of its threads; api_lock */
    struct nv_log log;
    struct nv_late_line late; /* the last of a build; api_lock */
    /* Under the api_lock. */
    struct nv_privileges *privileges; /* once its threads gave theirs up; else NULL */
    bool is_confined;                 /* they were told to */
    bool is_unfit;                    /* and one of them could not: never to run */
    bool was_started;
    /* Of a clone: where it comes from, and the clock it goes on with. */
    struct nestvirt_template *origin; /* NULL: none */
    bool is_fresh;                    /* the origin has never run */
    bool is_loaded;                   /* built, and goes on instead of starting anew */
    bool is_consumed;                 /* it became a template: never to run again */
    uint64_t clock;                   /* KVM's, nanoseconds */
    void (*exit_free)(void *user_data);
    struct nv_events events;
};

/* Makes a VM in state new; config is of our size and checked. */
int nv_vm_new(struct nestvirt_host *host, const struct nestvirt_vm_config *config,
              struct nestvirt_vm **ret_vm, struct nestvirt_error **ret_error);

/* Frees a VM that does not run. */
void nv_vm_free(struct nestvirt_vm *vm);

/* True on a thread of the VM, where waiting for it would be for ever. */
bool nv_vm_is_own_thread(struct nestvirt_vm *vm);

/* Sets or clears the loop; the api_lock is held. */
void nv_vm_set_loop(struct nestvirt_vm *vm, struct nestvirt_loop *loop);

/* -ENOSPC when no device can be added. */
int nv_vm_check_room(const struct nestvirt_vm *vm, struct nestvirt_error **ret_error);

/* "vm web1". */
struct nv_text nv_vm_name(const struct nestvirt_vm *vm);

/* -ENOMEM with its text. */
int nv_vm_fail_memory(const struct nestvirt_vm *vm, struct nestvirt_error **ret_error);

/* "running", "unknown" for values that are none. */
const char *nv_state_name(int state);

/* "guest reset", "unknown" for values that are none. */
const char *nv_result_name(uint32_t reason);

/* Stores a new state and queues the event. Group lock held, or no thread exists yet. */
void nv_vm_set_state(struct nestvirt_vm *vm, int state);

/* All vCPUs have parked: devices pause too. Group lock held. */
void nv_vm_set_paused(struct nestvirt_vm *vm);

/* A device has asked for a pause: the vCPUs park, the last one pauses the VM. Group lock held. */
void nv_vm_park_to_pause(struct nestvirt_vm *vm);

/* State changes; api_lock held. Errors: vm.h (public). */
int nv_vm_build(struct nestvirt_vm *vm, struct nestvirt_error **ret_error);
int nv_vm_start(struct nestvirt_vm *vm, struct nestvirt_error **ret_error);
int nv_vm_pause(struct nestvirt_vm *vm, struct nestvirt_error **ret_error);
int nv_vm_resume(struct nestvirt_vm *vm, struct nestvirt_error **ret_error);
int nv_vm_stop(struct nestvirt_vm *vm, uint64_t deadline_ns, struct nestvirt_error **ret_error);

/* Sends all threads of a built VM on an errand, vCPUs first; api_lock held. */
void nv_vm_send(struct nestvirt_vm *vm, nv_errand_fn *fn, void *user_data,
                struct nv_errand_result *result);

/* The same for an errand without which the VM is never to run. The error names the thread. */
int nv_vm_confine(struct nestvirt_vm *vm, nv_errand_fn *fn, void *user_data,
                  struct nestvirt_error **ret_error);

/* All threads give up their privileges; and those that another build has made. */
int nv_vm_remove_privileges(struct nestvirt_vm *vm, struct nestvirt_error **ret_error);
int nv_vm_confine_again(struct nestvirt_vm *vm, struct nestvirt_error **ret_error);

/* The same with the checks and changes of state around it. Errors: privilege.h (public). */
int nv_vm_drop(struct nestvirt_vm *vm, struct nestvirt_error **ret_error);

/* What the threads of a built VM need; false behind the last. */
bool nv_vm_get_need(uint32_t position, struct nestvirt_need *ret_need);

/* No lock held. */
int nv_vm_wait(struct nestvirt_vm *vm, uint64_t deadline_ns, struct nestvirt_vm_result *ret_result,
               struct nestvirt_error **ret_error);
int nv_vm_request_stop(struct nestvirt_vm *vm, struct nestvirt_error **ret_error);

/* What devices call: an event of theirs; and a pause as soon as the vCPUs have parked. */
void nv_vm_device_event(void *owner, const struct nestvirt_device *device, uint32_t kind,
                        uint64_t value);
void nv_vm_pause_soon(void *owner);

/* Runs a vCPU by hand on this thread. */
int nv_vm_run_vcpu(struct nestvirt_vcpu *vcpu, struct nestvirt_exit *exit,
                   struct nestvirt_error **ret_error);

/* 0, the code of the only problem, or NESTVIRT_E_INVALID_VM with the list. */
int nv_vm_validate(struct nestvirt_vm *vm, struct nestvirt_error **ret_error);

/* Lists the problems of a configuration; *list stays NULL if there are none. */
void nv_vm_check(struct nestvirt_vm *vm, struct nestvirt_error **list);

/*
 * Claims the ports, windows and pins of the chip and all devices, adding each failure to *list;
 * and gives them back.
 */
void nv_vm_claim(struct nestvirt_vm *vm, struct nestvirt_error **list);
void nv_vm_unclaim(struct nestvirt_vm *vm);

/* Puts everything together (assemble.c); undone by nv_vm_take_apart(). */
int nv_vm_assemble(struct nestvirt_vm *vm, struct nestvirt_error **ret_error);
void nv_vm_take_apart(struct nestvirt_vm *vm);

#endif
