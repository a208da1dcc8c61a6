/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the checked way to the bytes of an image, be it a file or unpacked in memory. */
#ifndef NV_BOOT_SOURCE_H
#define NV_BOOT_SOURCE_H

#include <stddef.h>
#include <stdint.h>

#include "core/error.h"
#include "memory/memory.h"

/* The bytes of an image. A file is only ever read by pread: one that shrinks is an error. */
struct nv_image {
    const char *name;     /* in messages: "kernel", "initrd", "flat image" */
    int fd;               /* -1: the image is at bytes */
    const uint8_t *bytes; /* not owned */
    uint64_t size;
};

/* As nv_boot_check_file, and -ENOEXEC for an empty file. The descriptor stays the caller's. */
int nv_image_open(int fd, const char *name, struct nv_image *ret_image,
                  struct nestvirt_error **ret_error);

/* Reads exactly length bytes. -ENOEXEC if they are not there, else what pread says. */
int nv_image_read(const struct nv_image *image, uint64_t offset, void *buffer, size_t length,
                  struct nestvirt_error **ret_error);

/* The same, straight into guest memory. -EFAULT if it does not cover the target. */
int nv_image_load(const struct nv_image *image, uint64_t offset, uint64_t length,
                  const struct nv_memory *memory, nv_gpa target, struct nestvirt_error **ret_error);

#endif
