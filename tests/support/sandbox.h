/* SPDX-License-Identifier: Apache-2.0 */
/* Owns seccomp filters for the threads of a VM, made from what the library says that they need. */
#ifndef TESTS_SUPPORT_SANDBOX_H
#define TESTS_SUPPORT_SANDBOX_H

#include <stdint.h>

#include <nestvirt/nestvirt.h>

/*
 * Begins a sandbox; one at a time. Calls that the filters do not know are carried out, but noted.
 * Skips the program where the kernel has no listeners of seccomp (Linux 5.5).
 */
void sandbox_begin(void);

/*
 * Puts filters on all threads of a built VM. Without the need of this role and name (NULL: with
 * all), to see that it is missed.
 */
void sandbox_add_vm(struct nestvirt_vm *vm, uint32_t role, const char *without);

/* Puts the filter of NESTVIRT_ROLE_CALLER on the calling thread, which may end by exit too. */
void sandbox_add_caller(void);

/* How often a role called what the filters do not know; role 0: all, and they are printed. */
unsigned sandbox_count(uint32_t role);

/* Ends it; the threads have ended, or use no more than they may. */
void sandbox_end(void);

#endif
