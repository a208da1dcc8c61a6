/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the checked way to the bytes of an image, be it a file or unpacked in memory. */
#include "boot/source.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "boot/boot.h"
#include "core/util.h"

static const char *kind_of(mode_t mode)
{
    if (S_ISFIFO(mode))
        return "a FIFO or pipe";
    if (S_ISSOCK(mode))
        return "a socket";
    if (S_ISCHR(mode) || S_ISBLK(mode))
        return "a device";
    return "not a file";
}

int nv_boot_check_file(int fd, const char *what, uint64_t *ret_size,
                       struct nestvirt_error **ret_error)
{
    static const char hint[] = "give a regular file";
    struct stat status;

    if (fstat(fd, &status) < 0)
        return nv_fail_sys(ret_error, errno, what, "fstat", "give an open file");
    if (S_ISDIR(status.st_mode))
        return nv_fail(ret_error, -EISDIR, what, hint, "is a directory");
    if (!S_ISREG(status.st_mode))
        return nv_fail(ret_error, -EINVAL, what, hint, "is %s", kind_of(status.st_mode));
    *ret_size = (uint64_t)status.st_size;
    return 0;
}

int nv_image_open(int fd, const char *name, struct nv_image *ret_image,
                  struct nestvirt_error **ret_error)
{
    uint64_t size = 0;
    int r = nv_boot_check_file(fd, name, &size, ret_error);

    if (r < 0)
        return r;
    if (size == 0)
        return nv_fail(ret_error, -ENOEXEC, name, "give the whole file", "the file is empty");
    *ret_image = (struct nv_image){ .name = name, .fd = fd, .size = size };
    return 0;
}

static int fail_truncated(const struct nv_image *image, uint64_t offset, uint64_t length,
                          struct nestvirt_error **ret_error)
{
    return nv_fail(ret_error, -ENOEXEC, image->name, "give the whole file",
                   "is truncated: bytes 0x%llx + 0x%llx are beyond its end at 0x%llx",
                   (unsigned long long)offset, (unsigned long long)length,
                   (unsigned long long)image->size);
}

/* Reads length bytes of a file whose size was checked before; it may have shrunk since. */
static int read_file(const struct nv_image *image, uint64_t offset, uint8_t *to, uint64_t length,
                     struct nestvirt_error **ret_error)
{
    while (length > 0) {
        ssize_t n = pread(image->fd, to, length, (off_t)offset);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return nv_fail_sys(ret_error, errno, image->name, "pread",
                               "check that the file can be read");
        if (n == 0)
            return nv_fail(ret_error, -ENOEXEC, image->name, "do not change it while a VM starts",
                           "the file became shorter than 0x%llx bytes while it was read",
                           (unsigned long long)image->size);
        to += n;
        offset += (uint64_t)n;
        length -= (uint64_t)n;
    }
    return 0;
}

int nv_image_read(const struct nv_image *image, uint64_t offset, void *buffer, size_t length,
                  struct nestvirt_error **ret_error)
{
    if (!nv_range_fits(offset, length, image->size))
        return fail_truncated(image, offset, length, ret_error);
    if (image->fd >= 0)
        return read_file(image, offset, buffer, length, ret_error);
    if (length > 0)
        memcpy(buffer, image->bytes + offset, length);
    return 0;
}

int nv_image_load(const struct nv_image *image, uint64_t offset, uint64_t length,
                  const struct nv_memory *memory, nv_gpa target, struct nestvirt_error **ret_error)
{
    if (!nv_range_fits(offset, length, image->size))
        return fail_truncated(image, offset, length, ret_error);
    while (length > 0) {
        uint64_t run = length;
        uint8_t *to = nv_memory_run(memory, target, &run);
        int r;

        if (!to)
            return nv_fail(ret_error, -EFAULT, image->name, "give the VM more memory",
                           "there is no guest memory at 0x%llx", (unsigned long long)target.value);
        r = nv_image_read(image, offset, to, run, ret_error);
        if (r < 0)
            return r;
        target.value += run;
        offset += run;
        length -= run;
    }
    return 0;
}
