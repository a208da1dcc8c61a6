/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the reading of ELF kernels: program headers and the PVH entry note. */
#ifndef NV_BOOT_ELF_H
#define NV_BOOT_ELF_H

#include "boot/kernel.h"

/* True if the bytes begin as an ELF file does. */
bool nv_elf_is(const void *bytes, size_t size);

/*
 * Checks the ELF file that is kernel's image and adds its segments and entry: e_entry, or that of
 * the PVH note. -ENOEXEC for what is no x86-64 ELF kernel, -E2BIG when memory is too small.
 */
int nv_elf_parse(struct nv_kernel *kernel, const struct nv_memory *memory, bool want_pvh,
                 struct nestvirt_error **ret_error);

#endif
