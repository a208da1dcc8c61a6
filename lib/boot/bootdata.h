/* SPDX-License-Identifier: Apache-2.0 */
/* Owns what is written beside a kernel for the processor: descriptors, page tables, boot data. */
#ifndef NV_BOOT_BOOTDATA_H
#define NV_BOOT_BOOTDATA_H

#include <stdbool.h>
#include <stdint.h>

#include "boot/boot.h"
#include "boot/kernel.h"
#include "memory/memory.h"

/* What a kernel is told. */
struct nv_boot_data {
    uint64_t initrd_address;
    uint64_t initrd_size; /* 0: none */
    bool has_acpi;        /* RSDP at NV_LAYOUT_ACPI */
};

enum {
    NV_E820_USABLE = 1,
    NV_E820_RESERVED = 2,
    NV_E820_MAX =
        NV_MEMORY_SLOTS_MAX + 2 /* the first slots are split around the hole below 1 MiB */
};

struct nv_e820_entry {
    uint64_t address;
    uint64_t length;
    uint32_t type;
};

/* The kernel command line, complete. */
struct nv_cmdline {
    char text[NESTVIRT_CMDLINE_MAX + 1];
};

/* Puts it together; -E2BIG when it does not fit. */
int nv_cmdline_make(const struct nv_boot_source *source, const struct nv_boot_machine *machine,
                    struct nv_cmdline *ret_cmdline, struct nestvirt_error **ret_error);

/* Describes guest memory, sorted, pieces that touch as one. Returns the number of entries. */
uint32_t nv_e820_make(const struct nv_memory *memory,
                      struct nv_e820_entry ret_entries[NV_E820_MAX]);

/*
 * Writes the descriptor table of NV_SELECTOR_* and, for long mode, the page tables that map 4 GiB
 * one to one. -E2BIG if there is no guest memory for them.
 */
int nv_cpu_tables_write(const struct nv_memory *memory, bool long_mode,
                        struct nestvirt_error **ret_error);

/* Writes the zero page (struct boot_params). -E2BIG for more e820 entries than it can hold. */
int nv_zero_page_write(const struct nv_kernel *kernel, const struct nv_boot_data *data,
                       const struct nv_memory *memory, struct nestvirt_error **ret_error);

/* Writes the PVH start information with its memory map and module. */
int nv_pvh_write(const struct nv_boot_data *data, const struct nv_memory *memory,
                 struct nestvirt_error **ret_error);

#endif
