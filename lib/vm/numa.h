/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the guest's NUMA nodes: adding them, and checking what belongs to them. */
#ifndef NV_VM_NUMA_H
#define NV_VM_NUMA_H

#include "vm/vm.h"

/* Doors: see numa.h (public). api_lock held, state new. */
int nv_vm_add_guest_node(struct nestvirt_vm *vm, const char *vcpus,
                         struct nestvirt_error **ret_error);
int nv_vm_set_guest_distance(struct nestvirt_vm *vm, uint32_t from, uint32_t to, uint32_t distance,
                             struct nestvirt_error **ret_error);

/* Lists what is wrong with the nodes of the guest. */
void nv_vm_check_guest_nodes(const struct nestvirt_vm *vm, struct nestvirt_error **list);

#endif
