/* SPDX-License-Identifier: Apache-2.0 */
/* Owns disk images: regular files and block devices, opened, locked and used by offset. */
#ifndef NV_HOST_DISK_H
#define NV_HOST_DISK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include <nestvirt/error.h>

enum {
    NV_SECTOR_SIZE = 512,
    NV_DISK_PIECE = 1 << 20 /* bytes of one transfer at most: nobody can end one before its time */
};

/* What to open: a path, or without one a descriptor, which stays the caller's. */
struct nv_disk_config {
    const char *path;
    int fd;
    bool is_read_only;
    bool is_direct; /* past the host's page cache */
    bool has_lock;  /* refuse an image that another has open for writing */
};

/* Once open it may be used by any number of threads at a time. */
struct nv_disk {
    int fd;      /* -1: not open */
    int lock_fd; /* whose description has the lock; -1: there is none */
    bool is_own;
    bool is_block;
    bool is_direct;
    atomic_bool has_no_cached; /* the file system cannot say what is cached */
    uint32_t memory_align;     /* of direct transfers; 1 otherwise */
    uint32_t offset_align;
};

/* Says what is wrong with a path or descriptor without opening anything. 0 or -errno. */
int nv_disk_check(const struct nv_disk_config *config, struct nestvirt_error **ret_error);

/*
 * Opens and locks. -ENOENT, -EACCES, -EROFS, -EISDIR, -EBUSY (locked), -EINVAL (neither file nor
 * block device, empty, or no multiple of a sector), -EBADF (descriptor read-only), -ENOTSUP.
 */
int nv_disk_open(struct nv_disk *disk, const struct nv_disk_config *config, uint64_t *ret_size,
                 struct nestvirt_error **ret_error);
void nv_disk_close(struct nv_disk *disk);

/* The size now, in bytes. */
int nv_disk_get_size(const struct nv_disk *disk, uint64_t *ret_size,
                     struct nestvirt_error **ret_error);

/*
 * Transfers of at most what the parts hold, and of much only a piece; return the bytes done, 0 at
 * the end of the file, or -errno. read_cached never waits for the medium: -EAGAIN if it had to, or
 * if it cannot tell. Direct transfers of odd pieces go through a bounded buffer, a little at a
 * time.
 */
ssize_t nv_disk_read_cached(struct nv_disk *disk, const struct iovec *parts, int count,
                            uint64_t offset);
ssize_t nv_disk_read(const struct nv_disk *disk, const struct iovec *parts, int count,
                     uint64_t offset);
ssize_t nv_disk_write(const struct nv_disk *disk, const struct iovec *parts, int count,
                      uint64_t offset);

/* True if direct transfers of these parts need no buffer between. */
bool nv_disk_is_aligned(const struct nv_disk *disk, const struct iovec *parts, int count,
                        uint64_t offset);

/* True if the range is still in the file: a write beyond its end would make it grow. */
bool nv_disk_holds(const struct nv_disk *disk, uint64_t offset, uint64_t length);

/* What was written is on the medium. Waits. */
int nv_disk_flush(const struct nv_disk *disk);

/* Gives the range's blocks back; it may read as anything. -EOPNOTSUPP. */
int nv_disk_discard(const struct nv_disk *disk, uint64_t offset, uint64_t length);

/* Makes the range read as zero, with may_discard by giving its blocks back. */
int nv_disk_zero(const struct nv_disk *disk, uint64_t offset, uint64_t length, bool may_discard);

#endif
