/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the door of boot.h: what the VM boots. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "api/api.h"
#include "host/file.h"

enum { FLAT_CONFIG_FIRST = sizeof(struct nestvirt_flat_config) };

/* Opens a path or duplicates a descriptor, and checks that it is a regular file. */
static int open_image(const char *path, int fd, const char *what, struct nestvirt_error **ret_error)
{
    NV_AUTO_FD file = -1;
    uint64_t size;
    int r;

    /* Not blocking: opening a FIFO must not wait for its writer. */
    file = path ? open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY) : nv_fd_dup(fd);
    if (!path && file < 0) {
        r = file;
        file = -1;
        return nv_fail(ret_error, r, what, nv_fd_hint(-r, "pass an open descriptor"),
                       "cannot duplicate descriptor %d", fd);
    }
    if (file < 0)
        return nv_fail_sys(ret_error, errno, nv_text("%s %.100s", what, path).s, "open",
                           "check the path and its permissions");
    r = nv_boot_check_file(file, what, &size, ret_error);
    return r < 0 ? r : nv_steal_fd(&file);
}

static void replace_fd(int *place, int fd)
{
    if (*place >= 0)
        close(*place);
    *place = fd;
}

static int set_kernel(struct nestvirt_vm *vm, const char *path, int fd, uint32_t format,
                      struct nestvirt_error **ret_error)
{
    int image;
    int r = nv_api_enter_plain(vm, "set the kernel", ret_error);

    if (r < 0)
        return r;
    if (format > NESTVIRT_KERNEL_BZIMAGE_IN_GUEST)
        image = nv_fail(ret_error, -EINVAL, "kernel", "use NESTVIRT_KERNEL_*", "unknown format %u",
                        format);
    else
        image = open_image(path, fd, "kernel", ret_error);
    if (image >= 0) {
        replace_fd(&vm->boot.kernel_fd, image);
        vm->boot.format = format;
        vm->boot.is_flat = false;
    }
    nv_api_leave(vm);
    return image < 0 ? image : 0;
}

NV_EXPORT int nestvirt_boot_set_kernel(struct nestvirt_vm *vm, const char *path, uint32_t format,
                                       struct nestvirt_error **ret_error)
{
    int r;

    nv_ok(ret_error);
    r = nv_api_pointer(path, "path", ret_error);
    return r < 0 ? r : set_kernel(vm, path, -1, format, ret_error);
}

NV_EXPORT int nestvirt_boot_set_kernel_fd(struct nestvirt_vm *vm, int fd, uint32_t format,
                                          struct nestvirt_error **ret_error)
{
    return set_kernel(vm, NULL, fd, format, ret_error);
}

static int set_initrd(struct nestvirt_vm *vm, const char *path, int fd,
                      struct nestvirt_error **ret_error)
{
    int image;
    int r = nv_api_enter_plain(vm, "set the initrd", ret_error);

    if (r < 0)
        return r;
    image = open_image(path, fd, "initrd", ret_error);
    if (image >= 0)
        replace_fd(&vm->boot.initrd_fd, image);
    nv_api_leave(vm);
    return image < 0 ? image : 0;
}

NV_EXPORT int nestvirt_boot_set_initrd(struct nestvirt_vm *vm, const char *path,
                                       struct nestvirt_error **ret_error)
{
    int r;

    nv_ok(ret_error);
    r = nv_api_pointer(path, "path", ret_error);
    return r < 0 ? r : set_initrd(vm, path, -1, ret_error);
}

NV_EXPORT int nestvirt_boot_set_initrd_fd(struct nestvirt_vm *vm, int fd,
                                          struct nestvirt_error **ret_error)
{
    return set_initrd(vm, NULL, fd, ret_error);
}

NV_EXPORT int nestvirt_boot_set_cmdline(struct nestvirt_vm *vm, const char *text,
                                        struct nestvirt_error **ret_error)
{
    size_t length = text ? strnlen(text, NESTVIRT_CMDLINE_MAX + 1) : 0;
    int r = nv_api_enter_plain(vm, "set the command line", ret_error);

    if (r < 0)
        return r;
    if (length > NESTVIRT_CMDLINE_MAX)
        r = nv_fail(ret_error, -E2BIG, "kernel command line", "shorten it",
                    "is longer than %d bytes", NESTVIRT_CMDLINE_MAX);
    else
        snprintf(vm->boot.cmdline, sizeof(vm->boot.cmdline), "%s", text ? text : "");
    nv_api_leave(vm);
    return r;
}

NV_EXPORT int nestvirt_boot_set_discovery(struct nestvirt_vm *vm, uint32_t discovery,
                                          struct nestvirt_error **ret_error)
{
    const uint32_t known =
        NESTVIRT_DISCOVERY_MPTABLE | NESTVIRT_DISCOVERY_ACPI | NESTVIRT_DISCOVERY_CMDLINE;
    int r = nv_api_enter_plain(vm, "set the discovery", ret_error);

    if (r < 0)
        return r;
    if (discovery & ~known)
        r = nv_fail(ret_error, -EINVAL, nv_vm_name(vm).s, "use NESTVIRT_DISCOVERY_*",
                    "unknown discovery bits 0x%x", discovery & ~known);
    else
        vm->boot.discovery = discovery;
    nv_api_leave(vm);
    return r;
}

NV_EXPORT void nestvirt_flat_config_init(struct nestvirt_flat_config *config, size_t caller_size)
{
    nv_struct_init(config, caller_size);
}

static int set_flat(struct nestvirt_vm *vm, const char *path, int fd,
                    const struct nestvirt_flat_config *config, struct nestvirt_error **ret_error)
{
    struct nestvirt_flat_config ours;
    int image;
    int r = nv_api_vm(vm, ret_error);

    if (r == 0)
        r = nv_struct_in(&ours, sizeof(ours), FLAT_CONFIG_FIRST, config, "flat config", ret_error);
    if (r < 0)
        return r;
    if (ours.flags || ours.reserved || ours.mode > NESTVIRT_MODE_LONG)
        return nv_fail(ret_error, -EINVAL, "flat config", "use NESTVIRT_MODE_* and zeroes",
                       "flags 0x%x, reserved 0x%x, mode %u", ours.flags, ours.reserved, ours.mode);
    r = nv_api_enter_plain(vm, "set the flat image", ret_error);
    if (r < 0)
        return r;
    image = open_image(path, fd, "flat image", ret_error);
    if (image >= 0) {
        replace_fd(&vm->boot.kernel_fd, image);
        vm->boot.is_flat = true;
        vm->boot.flat = ours;
    }
    nv_api_leave(vm);
    return image < 0 ? image : 0;
}

NV_EXPORT int nestvirt_boot_set_flat(struct nestvirt_vm *vm, const char *path,
                                     const struct nestvirt_flat_config *config,
                                     struct nestvirt_error **ret_error)
{
    int r;

    nv_ok(ret_error);
    r = nv_api_pointer(path, "path", ret_error);
    return r < 0 ? r : set_flat(vm, path, -1, config, ret_error);
}

NV_EXPORT int nestvirt_boot_set_flat_fd(struct nestvirt_vm *vm, int fd,
                                        const struct nestvirt_flat_config *config,
                                        struct nestvirt_error **ret_error)
{
    return set_flat(vm, NULL, fd, config, ret_error);
}
