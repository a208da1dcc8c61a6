/* SPDX-License-Identifier: Apache-2.0 */
/* Owns file systems for tests that no path leads to: closing their descriptor ends them. */
#include "mounts.h"

#include <errno.h>
#include <stdio.h>
#include <sys/mount.h>
#include <unistd.h>

#include "support.h"

int mounts_try(const char *type, const struct mount_option *options)
{
    int context = fsopen(type, FSOPEN_CLOEXEC);
    int r = context < 0 ? -errno : 0;

    for (; r == 0 && options->name; options++)
        if (fsconfig(context, FSCONFIG_SET_STRING, options->name, options->value, 0) < 0)
            r = -errno;
    if (r == 0 && fsconfig(context, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
        r = -errno;
    if (r == 0) {
        r = fsmount(context, FSMOUNT_CLOEXEC, 0);
        r = r < 0 ? -errno : r;
    }
    if (context >= 0)
        close(context);
    return r;
}

int mounts_tmpfs(size_t size)
{
    char text[32];
    const struct mount_option options[] = { { "size", text }, { NULL, NULL } };
    int r;

    snprintf(text, sizeof(text), "%zu", size);
    r = mounts_try("tmpfs", options);
    if (r == -EPERM || r == -ENOSYS)
        support_skip("this process may not mount a file system; run it as root");
    ck_assert_int_ge(r, 0);
    return r;
}
