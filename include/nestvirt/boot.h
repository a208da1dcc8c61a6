/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the VM boots: a Linux kernel (bzImage or ELF) or a flat image, an initrd, a command line,
 * and how the guest learns of its hardware.
 *
 * Files are opened by these calls (paths) or duplicated (descriptors), read when the VM is built,
 * and read again for each further start. They must be regular files.
 */
#ifndef NESTVIRT_BOOT_H
#define NESTVIRT_BOOT_H

#include <nestvirt/vm.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Kernel formats of nestvirt_boot_set_kernel(). */
enum {
    NESTVIRT_KERNEL_AUTO = 0,    /* bzImage or ELF, by what the file says */
    NESTVIRT_KERNEL_BZIMAGE = 1, /* Linux boot protocol 2.10 or later; unpacked on the host */
    NESTVIRT_KERNEL_ELF = 2,     /* vmlinux, entered by the Linux 64-bit boot protocol */
    NESTVIRT_KERNEL_PVH = 3,     /* ELF with a PVH entry note, entered there */
    NESTVIRT_KERNEL_BZIMAGE_IN_GUEST = 4 /* bzImage that unpacks itself in the guest */
};

enum {
    NESTVIRT_CMDLINE_MAX = 2047 /* bytes of a kernel command line */
};

/*
 * Sets the kernel. bzImage payloads packed by gzip, lz4, zstd or xz are unpacked on the host;
 * others (and those whose library is missing) unpack themselves in the guest. State new.
 * Errors: -ENOENT, -EACCES, -EISDIR for a directory, -EINVAL for another non-regular file or an
 * unknown format, -EMFILE, -EBUSY. Content is judged by nestvirt_vm_build(): -ENOEXEC for an
 * empty, truncated, wrapping, overlapping or foreign file, -E2BIG when memory is too small.
 */
int nestvirt_boot_set_kernel(struct nestvirt_vm *vm, const char *path, uint32_t format,
                             struct nestvirt_error **ret_error);
int nestvirt_boot_set_kernel_fd(struct nestvirt_vm *vm, int fd, uint32_t format,
                                struct nestvirt_error **ret_error);

/*
 * Sets the initrd; it is placed as high in low memory as the kernel allows. State new. Errors as
 * for nestvirt_boot_set_kernel(); build: -E2BIG when it does not fit beside the kernel.
 */
int nestvirt_boot_set_initrd(struct nestvirt_vm *vm, const char *path,
                             struct nestvirt_error **ret_error);
int nestvirt_boot_set_initrd_fd(struct nestvirt_vm *vm, int fd, struct nestvirt_error **ret_error);

/*
 * Sets the kernel command line, copied. NULL or "" for none. State new. -E2BIG when longer than
 * NESTVIRT_CMDLINE_MAX bytes.
 */
int nestvirt_boot_set_cmdline(struct nestvirt_vm *vm, const char *text,
                              struct nestvirt_error **ret_error);

/* Ways for the guest to find its hardware, of nestvirt_boot_set_discovery(). */
enum {
    NESTVIRT_DISCOVERY_MPTABLE = 1 << 0, /* Intel MultiProcessor Specification 1.4 */
    NESTVIRT_DISCOVERY_ACPI = 1 << 1,    /* ACPI 6.4, hardware-reduced */
    NESTVIRT_DISCOVERY_CMDLINE = 1 << 2  /* virtio devices as words of the kernel command line */
};

/*
 * Chooses how the guest finds its hardware: what is written beside the kernel; the default is all
 * of them. 0 for none. State new. With CMDLINE, a word "virtio_mmio.device=SIZE@ADDRESS:PIN" for
 * each virtio device stands in front of the command line: kernels without ACPI need it, those built
 * without CONFIG_VIRTIO_MMIO_CMDLINE_DEVICES pass over it. Leave it out for a kernel that would
 * find the devices in both ways.
 */
int nestvirt_boot_set_discovery(struct nestvirt_vm *vm, uint32_t discovery,
                                struct nestvirt_error **ret_error);

/* nestvirt_flat_config.mode */
enum {
    NESTVIRT_MODE_REAL = 0,      /* 16-bit real mode; entry below 1 MiB */
    NESTVIRT_MODE_PROTECTED = 1, /* 32-bit, flat segments, paging off */
    NESTVIRT_MODE_LONG = 2       /* 64-bit, the first 4 GiB mapped one to one */
};

struct nestvirt_flat_config {
    uint32_t size;
    uint32_t flags;    /* 0 */
    uint64_t address;  /* guest physical address of the image's first byte */
    uint64_t entry;    /* guest physical address of the first instruction */
    uint64_t stack;    /* initial stack pointer, 0: the page below the image, if there is one */
    uint32_t mode;     /* NESTVIRT_MODE_* */
    uint32_t reserved; /* 0 */
};

/* Zeroes the structure and sets its size; never writes past caller_size bytes. */
void nestvirt_flat_config_init(struct nestvirt_flat_config *config, size_t caller_size);

/*
 * Sets a flat image (instead of a kernel) that is copied to memory as it is. Descriptor tables and
 * page tables for protected and long mode stand at 0x500 to 0x8fff, which the image must not use.
 * State new. Errors as for nestvirt_boot_set_kernel(); -EINVAL for an entry outside the image.
 */
int nestvirt_boot_set_flat(struct nestvirt_vm *vm, const char *path,
                           const struct nestvirt_flat_config *config,
                           struct nestvirt_error **ret_error);
int nestvirt_boot_set_flat_fd(struct nestvirt_vm *vm, int fd,
                              const struct nestvirt_flat_config *config,
                              struct nestvirt_error **ret_error);

#ifdef __cplusplus
}
#endif

#endif
