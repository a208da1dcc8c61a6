/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the report of what KSM has merged. */
#ifndef NV_MEMORY_KSM_H
#define NV_MEMORY_KSM_H

#include <nestvirt/memory.h>

#include "memory/memory.h"

/*
 * Fills the report for a region, or NESTVIRT_MEMORY_EVERY; size is left. root: where proc and sys
 * are, NULL for "/". -ENOENT for an unknown number; -ENOMEM, -EMFILE.
 */
int nv_memory_get_ksm(const struct nv_memory *memory, const char *root, uint32_t region,
                      struct nestvirt_memory_ksm *ret_ksm, struct nestvirt_error **ret_error);

#endif
