/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the ways between a VM and a template. */
#ifndef NV_VM_STATE_H
#define NV_VM_STATE_H

#include <nestvirt/template.h>

#include "state/template.h"
#include "vm/vm.h"

/* Makes a template of a built or paused VM; api_lock held. Errors: template.h (public). */
int nv_vm_save(struct nestvirt_vm *vm, uint32_t flags, struct nestvirt_template **ret_template,
               struct nestvirt_error **ret_error);

/* Makes a VM in state new, with the template's devices. Errors: template.h (public). */
int nv_vm_new_clone(struct nestvirt_template *template, const char *name,
                    struct nestvirt_vm **ret_vm, struct nestvirt_error **ret_error);

/* How many vCPUs and devices a clone will have. NESTVIRT_E_BAD_STATE. */
int nv_vm_count_parts(const struct nestvirt_template *template, uint32_t *ret_vcpus,
                      uint32_t *ret_devices, struct nestvirt_error **ret_error);

/*
 * Whether a clone, which is not built, would find the records that nv_vm_load() reads, and nothing
 * behind them. NESTVIRT_E_BAD_STATE.
 */
int nv_vm_check_machine(const struct nestvirt_vm *clone, struct nestvirt_error **ret_error);

/* The last step of assembling a clone: everything stands as in its template. */
int nv_vm_load(struct nestvirt_vm *vm, struct nestvirt_error **ret_error);

/* A clone is about to go on: its clock from where it stood, its devices with what they had to do.
 */
int nv_vm_go_on(struct nestvirt_vm *vm, struct nestvirt_error **ret_error);

/* The generation ID; -ENOENT, -EBUSY. */
int nv_vm_get_generation(struct nestvirt_vm *vm, uint8_t ret_id[NESTVIRT_GENERATION_SIZE],
                         struct nestvirt_error **ret_error);

#endif
