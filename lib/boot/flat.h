/* SPDX-License-Identifier: Apache-2.0 */
/* Owns flat images: copied to memory as they are. */
#ifndef NV_BOOT_FLAT_H
#define NV_BOOT_FLAT_H

#include "boot/boot.h"

/*
 * Checks source->flat and copies the image; tables for its mode are left to the caller.
 * -EINVAL for a place, entry or stack that cannot be, -E2BIG when memory is too small.
 */
int nv_flat_load(const struct nv_boot_source *source, const struct nv_memory *memory,
                 struct nv_cpu_start *ret_start, struct nestvirt_error **ret_error);

#endif
