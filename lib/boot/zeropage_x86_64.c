/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the zero page, struct boot_params of the Linux x86 boot protocol. */
#include <asm/bootparam.h>
#include <errno.h>
#include <stddef.h>
#include <string.h>

#include <nestvirt/boot.h>

#include "boot/bootdata.h"
#include "core/util.h"
#include "memory/layout.h"

_Static_assert(sizeof(struct boot_params) == NV_PAGE_SIZE, "the zero page is one page");
_Static_assert(offsetof(struct boot_params, hdr) == NV_SETUP_HEADER_AT, "header in its place");
_Static_assert(offsetof(struct boot_params, edd_mbr_sig_buffer) ==
                   NV_SETUP_HEADER_AT + NV_SETUP_HEADER_MAX,
               "room for the header");

enum {
    LOADER_UNDEFINED = 0xff, /* type_of_loader of one without a number of its own */
    BOOT_FLAG = 0xaa55,
    MAGIC = 0x53726448,
    VERSION = 0x020f,
    KERNEL_ALIGNMENT = 2 << 20
};

/* For a kernel that came without a header. */
static void make_header(struct setup_header *header, const struct nv_kernel *kernel)
{
    header->boot_flag = BOOT_FLAG;
    header->header = MAGIC;
    header->version = VERSION;
    header->kernel_alignment = KERNEL_ALIGNMENT;
    header->initrd_addr_max = (uint32_t)(kernel->initrd_end - 1);
    header->cmdline_size = (uint32_t)kernel->cmdline_max;
}

static void fill_header(struct boot_params *params, const struct nv_kernel *kernel,
                        const struct nv_boot_data *data)
{
    struct setup_header *header = &params->hdr;

    if (kernel->setup_header_size)
        memcpy((uint8_t *)params + NV_SETUP_HEADER_AT, kernel->setup_header,
               kernel->setup_header_size);
    else
        make_header(header, kernel);
    header->type_of_loader = LOADER_UNDEFINED;
    header->loadflags |= LOADED_HIGH;
    header->setup_data = 0;
    header->cmd_line_ptr = (uint32_t)NV_LAYOUT_CMDLINE;
    header->ramdisk_image = (uint32_t)data->initrd_address;
    header->ramdisk_size = (uint32_t)data->initrd_size;
    params->ext_ramdisk_image = (uint32_t)(data->initrd_address >> 32);
    params->ext_ramdisk_size = (uint32_t)(data->initrd_size >> 32);
}

static int fill_e820(struct boot_params *params, const struct nv_memory *memory,
                     struct nestvirt_error **ret_error)
{
    struct nv_e820_entry entries[NV_E820_MAX];
    uint32_t count = nv_e820_make(memory, entries);

    if (count > E820_MAX_ENTRIES_ZEROPAGE)
        return nv_fail(ret_error, -E2BIG, "guest memory",
                       "use fewer regions, or regions that touch",
                       "has %u separate pieces, more than the %d a Linux kernel can be told of",
                       count, E820_MAX_ENTRIES_ZEROPAGE);
    for (uint32_t i = 0; i < count; i++)
        params->e820_table[i] = (struct boot_e820_entry){ .addr = entries[i].address,
                                                          .size = entries[i].length,
                                                          .type = entries[i].type };
    params->e820_entries = (uint8_t)count;
    return 0;
}

int nv_zero_page_write(const struct nv_kernel *kernel, const struct nv_boot_data *data,
                       const struct nv_memory *memory, struct nestvirt_error **ret_error)
{
    struct boot_params params = { 0 };
    int r = fill_e820(&params, memory, ret_error);

    if (r < 0)
        return r;
    fill_header(&params, kernel, data);
    if (data->has_acpi)
        params.acpi_rsdp_addr = NV_LAYOUT_ACPI;
    if (nv_memory_write(memory, nv_gpa_at(NV_LAYOUT_ZERO_PAGE), &params, sizeof(params)) < 0)
        return nv_fail(ret_error, -E2BIG, "guest memory", "add a region of memory at address 0",
                       "there is none at 0x2000 for the zero page");
    return 0;
}
