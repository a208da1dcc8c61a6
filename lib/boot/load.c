/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the order of loading: check everything, then place kernel, initrd and tables. */
#include <errno.h>
#include <string.h>

#include "boot/boot.h"
#include "boot/bootdata.h"
#include "boot/bzimage.h"
#include "boot/elf.h"
#include "boot/flat.h"
#include "boot/kernel.h"
#include "core/util.h"
#include "memory/layout.h"

static int parse_kernel(struct nv_kernel *kernel, uint32_t format, const struct nv_memory *memory,
                        const struct nv_log *log, struct nestvirt_error **ret_error)
{
    uint8_t start[4];
    bool is_elf;

    if (format == NESTVIRT_KERNEL_AUTO) {
        is_elf = kernel->image.size >= sizeof(start) &&
                 nv_image_read(&kernel->image, 0, start, sizeof(start), NULL) == 0 &&
                 nv_elf_is(start, sizeof(start));
        if (!is_elf && !nv_bzimage_is(&kernel->image))
            return nv_fail(ret_error, -ENOEXEC, kernel->image.name,
                           "give a bzImage or vmlinux of 64-bit x86 Linux, or set a flat image",
                           "is neither a bzImage nor an ELF file");
        format = is_elf ? NESTVIRT_KERNEL_ELF : NESTVIRT_KERNEL_BZIMAGE;
    }
    switch (format) {
    case NESTVIRT_KERNEL_ELF:
    case NESTVIRT_KERNEL_PVH:
        return nv_elf_parse(kernel, memory, format == NESTVIRT_KERNEL_PVH, ret_error);
    case NESTVIRT_KERNEL_BZIMAGE:
    case NESTVIRT_KERNEL_BZIMAGE_IN_GUEST:
        return nv_bzimage_parse(kernel, memory, format == NESTVIRT_KERNEL_BZIMAGE_IN_GUEST, log,
                                ret_error);
    default:
        return nv_fail(ret_error, -EINVAL, kernel->image.name, "use NESTVIRT_KERNEL_*",
                       "unknown format %u", format);
    }
}

/* Everything that must fit is looked at here, before anything is written. */
static int check_low_memory(const struct nv_kernel *kernel, const char *cmdline,
                            const struct nv_memory *memory, struct nestvirt_error **ret_error)
{
    size_t length = strnlen(cmdline, NESTVIRT_CMDLINE_MAX + 1);
    uint64_t max = NV_MIN((uint64_t)NESTVIRT_CMDLINE_MAX, kernel->cmdline_max);

    if (length > max)
        return nv_fail(ret_error, -E2BIG, "kernel command line", "shorten it",
                       "has %s%zu bytes; this kernel takes %llu",
                       length > NESTVIRT_CMDLINE_MAX ? "at least " : "", length,
                       (unsigned long long)max);
    if (!nv_memory_covers(memory, nv_gpa_at(NV_LAYOUT_GDT), NV_LAYOUT_TABLES_END - NV_LAYOUT_GDT) ||
        !nv_memory_covers(memory, nv_gpa_at(NV_LAYOUT_CMDLINE), NESTVIRT_CMDLINE_MAX + 1))
        return nv_fail(ret_error, -E2BIG, "guest memory", "add a region of memory at address 0",
                       "a kernel needs memory at 0x500 to 0x207ff for its tables and command line");
    return 0;
}

/* Finds the initrd's file and place; a size of 0 stands for none. */
static int check_initrd(const struct nv_boot_source *source, const struct nv_kernel *kernel,
                        const struct nv_memory *memory, struct nv_image *ret_image,
                        struct nv_boot_data *data, struct nestvirt_error **ret_error)
{
    int r;

    if (source->initrd_fd < 0)
        return 0;
    r = nv_image_open(source->initrd_fd, "initrd", ret_image, ret_error);
    if (r < 0)
        return r;
    r = nv_kernel_find_initrd(kernel, memory, ret_image->size, &data->initrd_address, ret_error);
    if (r < 0)
        return r;
    data->initrd_size = ret_image->size;
    return 0;
}

static int write_discovery(const struct nv_boot_source *source,
                           const struct nv_boot_machine *machine, const struct nv_memory *memory,
                           struct nv_boot_data *data, struct nestvirt_error **ret_error)
{
    int r;

    /* Both kinds of table are about the interrupt controllers first of all. */
    if (!machine->has_irqchip)
        return 0;
    if (source->discovery & NESTVIRT_DISCOVERY_MPTABLE) {
        r = nv_mptable_write(machine, memory, ret_error);
        if (r < 0)
            return r;
    }
    if (source->discovery & NESTVIRT_DISCOVERY_ACPI) {
        r = nv_acpi_write(machine, memory, ret_error);
        if (r < 0)
            return r;
        data->has_acpi = true;
    }
    return 0;
}

static int write_tables(const char *cmdline, const struct nv_kernel *kernel,
                        const struct nv_boot_data *data, const struct nv_memory *memory,
                        struct nestvirt_error **ret_error)
{
    size_t length = strlen(cmdline);
    int r = nv_cpu_tables_write(memory, !kernel->is_pvh, ret_error);

    if (r < 0)
        return r;
    r = nv_memory_write(memory, nv_gpa_at(NV_LAYOUT_CMDLINE), cmdline, length);
    if (r == 0)
        r = nv_memory_clear(memory, nv_gpa_at(NV_LAYOUT_CMDLINE + length), 1);
    if (r < 0)
        return nv_fail(ret_error, -E2BIG, "kernel command line",
                       "add a region of memory at address 0", "there is no memory at 0x20000");
    if (kernel->is_pvh)
        return nv_pvh_write(data, memory, ret_error);
    return nv_zero_page_write(kernel, data, memory, ret_error);
}

/* Places a kernel that passed the checks, with all that belongs to it. */
static int load_checked(const struct nv_boot_source *source, const struct nv_boot_machine *machine,
                        const struct nv_memory *memory, const struct nv_kernel *kernel,
                        struct nestvirt_error **ret_error)
{
    struct nv_boot_data data = { 0 };
    struct nv_image initrd;
    struct nv_cmdline cmdline;
    int r = nv_cmdline_make(source, machine, &cmdline, ret_error);

    if (r == 0)
        r = check_low_memory(kernel, cmdline.text, memory, ret_error);
    if (r < 0)
        return r;
    r = check_initrd(source, kernel, memory, &initrd, &data, ret_error);
    if (r < 0)
        return r;
    r = nv_kernel_place(kernel, memory, ret_error);
    if (r < 0)
        return r;
    if (data.initrd_size) {
        r = nv_image_load(&initrd, 0, initrd.size, memory, nv_gpa_at(data.initrd_address),
                          ret_error);
        if (r < 0)
            return r;
    }
    r = write_discovery(source, machine, memory, &data, ret_error);
    if (r < 0)
        return r;
    return write_tables(cmdline.text, kernel, &data, memory, ret_error);
}

static int load_kernel(const struct nv_boot_source *source, const struct nv_boot_machine *machine,
                       const struct nv_memory *memory, const struct nv_log *log,
                       struct nv_cpu_start *ret_start, struct nestvirt_error **ret_error)
{
    struct nv_image image;
    struct nv_kernel kernel;
    int r = nv_image_open(source->kernel_fd, "kernel", &image, ret_error);

    if (r < 0)
        return r;
    nv_kernel_init(&kernel, &image);
    r = parse_kernel(&kernel, source->format, memory, log, ret_error);
    if (r == 0)
        r = load_checked(source, machine, memory, &kernel, ret_error);
    if (r == 0)
        *ret_start = (struct nv_cpu_start){
            .valid = true,
            .mode = kernel.is_pvh ? NESTVIRT_MODE_PROTECTED : NESTVIRT_MODE_LONG,
            .rip = kernel.entry,
            .rsi = kernel.is_pvh ? 0 : NV_LAYOUT_ZERO_PAGE,
            .rbx = kernel.is_pvh ? NV_LAYOUT_PVH : 0,
        };
    nv_kernel_destroy(&kernel);
    return r;
}

static int load_flat(const struct nv_boot_source *source, const struct nv_memory *memory,
                     struct nv_cpu_start *ret_start, struct nestvirt_error **ret_error)
{
    struct nv_cpu_start start;
    int r = nv_flat_load(source, memory, &start, ret_error);

    if (r < 0)
        return r;
    if (start.mode != NESTVIRT_MODE_REAL) {
        r = nv_cpu_tables_write(memory, start.mode == NESTVIRT_MODE_LONG, ret_error);
        if (r < 0)
            return r;
    }
    *ret_start = start;
    return 0;
}

int nv_boot_load(const struct nv_boot_source *source, const struct nv_boot_machine *machine,
                 const struct nv_memory *memory, const struct nv_log *log,
                 struct nv_cpu_start *ret_start, struct nestvirt_error **ret_error)
{
    bool is_linux = source->kernel_fd >= 0 && !source->is_flat;

    if (!is_linux && source->initrd_fd >= 0)
        return nv_fail(ret_error, -EINVAL, "initrd", "set a kernel too, or no initrd",
                       "there is no kernel to be given it");
    if (!is_linux && source->cmdline[0] != '\0')
        return nv_fail(ret_error, -EINVAL, "kernel command line",
                       "set a kernel too, or no command line", "there is no kernel to be given it");
    if (source->kernel_fd < 0) {
        *ret_start = (struct nv_cpu_start){ .valid = false };
        return 0;
    }
    if (source->is_flat)
        return load_flat(source, memory, ret_start, ret_error);
    return load_kernel(source, machine, memory, log, ret_start, ret_error);
}
