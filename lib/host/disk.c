/* SPDX-License-Identifier: Apache-2.0 */
/* Owns disk images: how they are opened, checked, locked and measured. */
#include "host/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "core/error.h"
#include "core/util.h"
#include "host/file.h"

enum { PROBE_SIZE = 4096 }; /* a read that every disk takes */

/* "disk /srv/a.img", for errors; the end of a long path is what tells it from others. */
static struct nv_text disk_name(const struct nv_disk_config *config)
{
    enum { SHOWN = NV_TEXT_SIZE - 16 };
    size_t length;

    if (!config->path)
        return nv_text("disk descriptor %d", config->fd);
    length = strlen(config->path);
    if (length <= SHOWN)
        return nv_text("disk %s", config->path);
    return nv_text("disk ...%s", config->path + length - SHOWN + 4);
}

static const char *open_hint(int sys_errno)
{
    switch (sys_errno) {
    case ENOENT:
        return "make the image first, for instance with truncate -s 1G";
    case EACCES:
    case EPERM:
        return "give this process the right, or set read_only";
    case EROFS:
        return "set read_only, or move the image";
    case ENXIO:
    case ENODEV:
        return "give a regular file or a block device";
    default:
        return nv_fd_hint(sys_errno, "give a regular file or a block device");
    }
}

static int check_kind(const struct nv_disk_config *config, const struct stat *info,
                      struct nestvirt_error **ret_error)
{
    const struct nv_text name = disk_name(config);
    const char *kind = "is neither a file nor a block device";

    if (S_ISREG(info->st_mode) || S_ISBLK(info->st_mode))
        return 0;
    if (S_ISDIR(info->st_mode))
        return nv_fail(ret_error, -EISDIR, name.s, "give a file in it", "is a directory");
    if (S_ISFIFO(info->st_mode))
        kind = "is a pipe";
    if (S_ISSOCK(info->st_mode))
        kind = "is a socket";
    if (S_ISCHR(info->st_mode))
        kind = "is a character device";
    return nv_fail(ret_error, -EINVAL, name.s, "give a regular file or a block device",
                   "%s, which has no sectors", kind);
}

static int check_size(const struct nv_text *name, uint64_t size, struct nestvirt_error **ret_error)
{
    if (size == 0)
        return nv_fail(ret_error, -EINVAL, name->s, "enlarge it, for instance with truncate -s 1G",
                       "is empty");
    if (size % NV_SECTOR_SIZE)
        return nv_fail(ret_error, -EINVAL, name->s, "enlarge it with truncate -s %512",
                       "has %llu bytes, which is no multiple of 512", (unsigned long long)size);
    return 0;
}

static int check_descriptor(const struct nv_disk_config *config, struct nestvirt_error **ret_error)
{
    int flags = fcntl(config->fd, F_GETFL);

    if (flags < 0)
        return nv_fail_sys(ret_error, errno, disk_name(config).s, "fcntl",
                           "pass an open descriptor");
    if ((flags & O_ACCMODE) == (config->is_read_only ? O_WRONLY : O_RDONLY) || (flags & O_PATH))
        return nv_fail(ret_error, -EBADF, disk_name(config).s,
                       config->is_read_only ? "open it for reading"
                                            : "open it with O_RDWR, or set read_only",
                       "is not open for %s", config->is_read_only ? "reading" : "writing");
    if (!config->is_read_only && (flags & O_ACCMODE) != O_RDWR)
        return nv_fail(ret_error, -EBADF, disk_name(config).s, "open it with O_RDWR",
                       "is not open for reading");
    if (!config->is_read_only && (flags & O_APPEND))
        return nv_fail(ret_error, -EBADF, disk_name(config).s, "open it without O_APPEND",
                       "is open for appending");
    return 0;
}

int nv_disk_check(const struct nv_disk_config *config, struct nestvirt_error **ret_error)
{
    const struct nv_text name = disk_name(config);
    struct stat info;
    int r;

    if (!config->path && config->fd < 0)
        return nv_fail(ret_error, -EINVAL, "disk", "set path or fd", "it has no file");
    if (config->path && config->fd >= 0)
        return nv_fail(ret_error, -EINVAL, name.s, "set only one of path and fd",
                       "it has both a path and a descriptor");
    if ((config->path ? stat(config->path, &info) : fstat(config->fd, &info)) < 0)
        return nv_fail_sys(ret_error, errno, name.s, "stat", open_hint(errno));
    r = check_kind(config, &info, ret_error);
    if (r >= 0 && !config->path)
        r = check_descriptor(config, ret_error);
    if (r < 0)
        return r;
    if (config->path && faccessat(AT_FDCWD, config->path, config->is_read_only ? R_OK : R_OK | W_OK,
                                  AT_EACCESS) < 0)
        return nv_fail_sys(ret_error, errno, name.s, "open", open_hint(errno));
    return S_ISREG(info.st_mode) ? check_size(&name, (uint64_t)info.st_size, ret_error) : 0;
}

static int open_flags(const struct nv_disk_config *config)
{
    return (config->is_read_only ? O_RDONLY : O_RDWR) | (config->is_direct ? O_DIRECT : 0) |
           O_CLOEXEC | O_NOCTTY;
}

/*
 * O_NONBLOCK so that a pipe put in the image's place meanwhile holds up nobody; taken off again,
 * because io_uring heeds it even for files.
 */
static int open_path(const struct nv_disk_config *config, const char *path,
                     struct nestvirt_error **ret_error)
{
    int flags = open_flags(config);
    int fd = open(path, flags | O_NONBLOCK);

    if (fd < 0 && config->is_direct && errno == EINVAL)
        return nv_fail(ret_error, -ENOTSUP, disk_name(config).s, "set direct to 0",
                       "its file system cannot do direct I/O");
    if (fd < 0)
        return nv_fail_sys(ret_error, errno, disk_name(config).s, "open", open_hint(errno));
    fcntl(fd, F_SETFL, flags & ~O_CLOEXEC);
    return fd;
}

/* A caller's descriptor is used as it is; only direct I/O needs one of its own. */
static int open_descriptor(struct nv_disk *disk, const struct nv_disk_config *config,
                           struct nestvirt_error **ret_error)
{
    char path[32];

    if (!config->is_direct || (fcntl(config->fd, F_GETFL) & O_DIRECT))
        return config->fd;
    snprintf(path, sizeof(path), "/proc/self/fd/%d", config->fd);
    disk->is_own = true;
    return open_path(config, path, ret_error);
}

/* Sets, or with F_UNLCK gives back, the lock of a descriptor's description. 0 or -errno. */
static int set_lock(int fd, short type)
{
    struct flock range = { .l_type = type };

    return fcntl(fd, F_OFD_SETLK, &range) < 0 ? -errno : 0;
}

/* True if whoever asks by this descriptor's description is in nobody's way. */
static bool is_free(int fd, short type)
{
    struct flock range = { .l_type = type };

    return fcntl(fd, F_OFD_GETLK, &range) == 0 && range.l_type == F_UNLCK;
}

/*
 * A caller's descriptor may be given to several disks, and what shares a description shares its
 * lock: such a disk opens the file once more, only to lock it. If that is in the way of a lock by
 * this very description, it is the caller's own, which stays as it is.
 */
static int take_lock_anew(struct nv_disk *disk, int anew, short type)
{
    int r = set_lock(anew, type);

    if (r == 0)
        disk->lock_fd = anew;
    else if ((r == -EAGAIN || r == -EACCES) && is_free(disk->fd, type) && !is_free(anew, type))
        r = 0;
    if (disk->lock_fd != anew)
        close(anew);
    return r;
}

static int take_lock(struct nv_disk *disk, const struct nv_disk_config *config)
{
    short type = config->is_read_only ? F_RDLCK : F_WRLCK;
    int r;

    if (!disk->is_own) {
        const struct nv_text path = nv_text("/proc/self/fd/%d", disk->fd);
        int anew = open(path.s, (config->is_read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC | O_NOCTTY);

        if (anew >= 0)
            return take_lock_anew(disk, anew, type);
    }
    r = set_lock(disk->fd, type);
    if (r == 0)
        disk->lock_fd = disk->fd;
    return r;
}

static int lock(struct nv_disk *disk, const struct nv_disk_config *config,
                struct nestvirt_error **ret_error)
{
    int r = take_lock(disk, config);

    if (r == 0)
        return 0;
    if (r == -EAGAIN || r == -EACCES)
        return nv_fail(ret_error, -EBUSY, disk_name(config).s,
                       config->is_read_only
                           ? "stop its other user, or set lock to 0"
                           : "stop its other user, open it read_only everywhere, or set lock to 0",
                       "is in use by another VM or program that %s it",
                       config->is_read_only ? "writes" : "reads or writes");
    return nv_fail_sys(ret_error, -r, disk_name(config).s, "fcntl(F_OFD_SETLK)",
                       "set lock to 0 where the file system has no locks");
}

/* What the kernel says about direct transfers, or what every disk can do. */
static void find_alignment(struct nv_disk *disk)
{
    struct statx info;

    disk->memory_align = disk->offset_align = 1;
    if (!disk->is_direct)
        return;
    disk->memory_align = disk->offset_align = NV_SECTOR_SIZE;
    memset(&info, 0, sizeof(info));
#ifdef STATX_DIOALIGN
    if (statx(disk->fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &info) == 0 &&
        (info.stx_mask & STATX_DIOALIGN) && info.stx_dio_offset_align) {
        disk->memory_align = info.stx_dio_mem_align;
        disk->offset_align = info.stx_dio_offset_align;
    }
#endif
}

static int measure(const struct nv_disk *disk, const struct nv_text *name, uint64_t *ret_size,
                   struct nestvirt_error **ret_error)
{
    struct stat info;
    off_t size;
    int r;

    if (fstat(disk->fd, &info) < 0)
        return nv_fail_sys(ret_error, errno, name->s, "fstat", "see to the disk");
    size = S_ISBLK(info.st_mode) ? lseek(disk->fd, 0, SEEK_END) : info.st_size;
    if (size < 0)
        return nv_fail_sys(ret_error, errno, name->s, "lseek", "see to the disk");
    r = check_size(name, (uint64_t)size, ret_error);
    if (r < 0)
        return r;
    *ret_size = (uint64_t)size;
    return 0;
}

int nv_disk_get_size(const struct nv_disk *disk, uint64_t *ret_size,
                     struct nestvirt_error **ret_error)
{
    const struct nv_text name = nv_text("disk");

    return measure(disk, &name, ret_size, ret_error);
}

/*
 * File systems that cannot promise not to wait, such as FUSE, also make io_uring wait where it
 * submits: they are left to threads.
 */
static void probe_cached(struct nv_disk *disk)
{
    _Alignas(PROBE_SIZE) uint8_t buffer[PROBE_SIZE];
    struct iovec part = { buffer, sizeof(buffer) };

    if (syscall(SYS_preadv2, disk->fd, &part, 1L, 0L, 0L, (long)RWF_NOWAIT) < 0 &&
        (errno == EOPNOTSUPP || errno == ENOSYS))
        atomic_store(&disk->has_no_cached, true);
}

static int inspect(struct nv_disk *disk, const struct nv_disk_config *config, uint64_t *ret_size,
                   struct nestvirt_error **ret_error)
{
    const struct nv_text name = disk_name(config);
    struct stat info;
    int r;

    if (fstat(disk->fd, &info) < 0)
        return nv_fail_sys(ret_error, errno, name.s, "fstat", open_hint(errno));
    r = check_kind(config, &info, ret_error);
    if (r >= 0)
        r = measure(disk, &name, ret_size, ret_error);
    if (r < 0)
        return r;
    disk->is_block = S_ISBLK(info.st_mode);
    find_alignment(disk);
    probe_cached(disk);
    if (*ret_size % disk->offset_align)
        return nv_fail(ret_error, -EINVAL, name.s, "enlarge it, or set direct to 0",
                       "direct I/O on it needs a size that is a multiple of %u",
                       disk->offset_align);
    return 0;
}

int nv_disk_open(struct nv_disk *disk, const struct nv_disk_config *config, uint64_t *ret_size,
                 struct nestvirt_error **ret_error)
{
    int r = nv_disk_check(config, ret_error);

    *disk = (struct nv_disk){
        .fd = -1, .lock_fd = -1, .is_own = config->path, .is_direct = config->is_direct
    };
    if (r < 0)
        return r;
    r = config->path ? open_path(config, config->path, ret_error)
                     : open_descriptor(disk, config, ret_error);
    if (r < 0)
        return r;
    disk->fd = r;
    r = inspect(disk, config, ret_size, ret_error);
    if (r >= 0 && config->has_lock)
        r = lock(disk, config, ret_error);
    if (r < 0)
        nv_disk_close(disk);
    return r;
}

/* A caller's descriptor stays open, so that the lock has to be given back by itself. */
void nv_disk_close(struct nv_disk *disk)
{
    if (disk->fd < 0)
        return;
    if (disk->lock_fd >= 0)
        set_lock(disk->lock_fd, F_UNLCK);
    if (disk->lock_fd >= 0 && disk->lock_fd != disk->fd)
        close(disk->lock_fd);
    if (disk->is_own)
        close(disk->fd);
    *disk = (struct nv_disk){ .fd = -1, .lock_fd = -1 };
}
