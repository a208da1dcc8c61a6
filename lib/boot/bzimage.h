/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the reading of bzImage kernels (Linux x86 boot protocol). */
#ifndef NV_BOOT_BZIMAGE_H
#define NV_BOOT_BZIMAGE_H

#include "boot/kernel.h"
#include "core/log.h"

/* True if the image has the mark of the boot protocol; reading errors count as false. */
bool nv_bzimage_is(const struct nv_image *image);

/*
 * Checks the bzImage that is kernel's image and makes it ready: its payload unpacked, so that
 * image becomes the ELF file within; or, in_guest or when its format cannot be unpacked here, as
 * it is. -ENOEXEC for what is no 64-bit bzImage, -E2BIG when memory is too small, -ENOMEM.
 */
int nv_bzimage_parse(struct nv_kernel *kernel, const struct nv_memory *memory, bool in_guest,
                     const struct nv_log *log, struct nestvirt_error **ret_error);

#endif
