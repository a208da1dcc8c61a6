/* SPDX-License-Identifier: Apache-2.0 */
/* Owns what the pages of a region come from: anonymous memory, memfds, huge pages, files. */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "core/cleanup.h"
#include "core/util.h"
#include "host/file.h"
#include "host/limits.h"
#include "host/thread.h"
#include "memory/region.h"

#ifndef MAP_HUGE_SHIFT
#define MAP_HUGE_SHIFT 26
#endif

/* From this length on a mapping starts where a transparent huge page can. */
#define ALIGN_FROM NV_MIB(2)

static const char map_hint[] = "use less memory, or raise the limits on address space and mappings";

static int open_memfd(uint64_t length, const char *name, struct nestvirt_error **ret_error)
{
    NV_AUTO_FD fd = memfd_create("nestvirt", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    struct nv_signal_shield shield;
    int r;

    if (fd < 0)
        return nv_fail_sys(ret_error, errno, name, "memfd_create", "raise the limit on open files");
    nv_signals_shield(&shield); /* RLIMIT_FSIZE would send SIGXFSZ */
    r = ftruncate(fd, (off_t)length) < 0 ? errno : 0;
    nv_signals_unshield(&shield);
    if (r)
        return nv_fail_sys(ret_error, r, name, "ftruncate of a memfd",
                           "use less memory, or raise the limit on file size (ulimit -f)");
    /* More seals follow if it becomes a template's. */
    if (fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) < 0)
        return nv_fail_sys(ret_error, errno, name, "F_ADD_SEALS", "use anonymous backing");
    return nv_steal_fd(&fd);
}

/* What is known of a caller's descriptor. */
struct file {
    uint64_t page_size;
    bool is_sealed; /* cannot shrink */
};

static int check_kind(int fd, const char *name, uint64_t *ret_size,
                      struct nestvirt_error **ret_error)
{
    struct stat status;

    if (fstat(fd, &status) < 0)
        return nv_fail_sys(ret_error, errno, name, "fstat", "give an open file");
    if (S_ISDIR(status.st_mode))
        return nv_fail(ret_error, -EISDIR, name, "give a memfd or a regular file",
                       "the descriptor is a directory");
    if (!S_ISREG(status.st_mode))
        return nv_fail(ret_error, -EINVAL, name, "give a memfd or a regular file",
                       "the descriptor is a FIFO, a socket or a device");
    *ret_size = (uint64_t)status.st_size;
    return 0;
}

static int check_access(const struct nestvirt_memory_config *config, const char *name,
                        struct nestvirt_error **ret_error)
{
    int flags = fcntl(config->fd, F_GETFL);

    if (flags < 0 || flags & O_PATH)
        return nv_fail(ret_error, -EBADF, name, "give one that is open for reading",
                       "%d is not an open descriptor", config->fd);
    if (config->backing == NESTVIRT_BACKING_FD && (flags & O_ACCMODE) != O_RDWR)
        return nv_fail(ret_error, -EACCES, name, "open it O_RDWR, or use NESTVIRT_BACKING_FILE",
                       "the descriptor is not open for reading and writing");
    if ((flags & O_ACCMODE) == O_WRONLY)
        return nv_fail(ret_error, -EACCES, name, "open it O_RDONLY or O_RDWR",
                       "the descriptor is not open for reading");
    return 0;
}

static int check_seals(const struct nestvirt_memory_config *config, const char *name,
                       struct file *file, struct nestvirt_error **ret_error)
{
    int seals = fcntl(config->fd, F_GET_SEALS);

    file->is_sealed = seals >= 0 && seals & F_SEAL_SHRINK;
    if (config->backing != NESTVIRT_BACKING_FD)
        return 0;
    if (!file->is_sealed && !(config->flags & NESTVIRT_MEMORY_ALLOW_UNSEALED))
        return nv_fail(ret_error, -EINVAL, name,
                       "seal it with F_SEAL_SHRINK, or set NESTVIRT_MEMORY_ALLOW_UNSEALED",
                       "the file could be truncated, which would end this process");
    if (seals >= 0 && seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE))
        return nv_fail(ret_error, -EPERM, name, "use NESTVIRT_BACKING_FILE",
                       "the memfd is sealed against writes");
    return 0;
}

static int check_file(const struct nestvirt_memory_config *config, const char *name,
                      struct file *ret_file, struct nestvirt_error **ret_error)
{
    struct statfs system;
    uint64_t size = 0;
    int r = check_access(config, name, ret_error);

    if (r == 0)
        r = check_kind(config->fd, name, &size, ret_error);
    if (r < 0)
        return r;
    if (!nv_range_fits(config->offset, config->length, size))
        return nv_fail(ret_error, -EINVAL, name, "give a longer file, or map less of it",
                       "offset 0x%llx + size 0x%llx is beyond the end of the file at 0x%llx",
                       (unsigned long long)config->offset, (unsigned long long)config->length,
                       (unsigned long long)size);
    r = check_seals(config, name, ret_file, ret_error);
    if (r < 0)
        return r;
    if (fstatfs(config->fd, &system) < 0)
        return nv_fail_sys(ret_error, errno, name, "fstatfs", "give a memfd or a regular file");
    ret_file->page_size =
        system.f_type == HUGETLBFS_MAGIC ? (uint64_t)system.f_bsize : NV_PAGE_SIZE;
    return 0;
}

bool nv_region_is_shared(const struct nv_memory_region *region)
{
    return region->config.backing == NESTVIRT_BACKING_MEMFD ||
           region->config.backing == NESTVIRT_BACKING_FD;
}

bool nv_region_is_lazy_file(const struct nv_memory_region *region)
{
    return region->config.backing == NESTVIRT_BACKING_FILE && !region->is_copied;
}

static int fail_map(const struct nv_memory_region *region, uint32_t number, int sys_errno,
                    struct nestvirt_error **ret_error)
{
    const struct nv_text name = nv_region_name(number);
    const bool is_pool = region->config.backing == NESTVIRT_BACKING_HUGETLB;

    if (region->page_size > NV_PAGE_SIZE && sys_errno == ENOMEM)
        return nv_hugetlb_fail(&region->config, region->page_size, number, ret_error);
    if (is_pool && sys_errno == EINVAL)
        return nv_fail(ret_error, -ENOTSUP, name.s, "use another page size or backing",
                       "this host has no huge pages of 0x%llx bytes",
                       (unsigned long long)region->page_size);
    return nv_fail_sys(ret_error, sys_errno, name.s, "mmap",
                       nv_limit_hint(sys_errno, region->config.length, map_hint).s);
}

/*
 * Anonymous memory, with a page or more behind it that nobody uses. The kernel joins neighbours of
 * a kind to one mapping, which makes many VMs cheaper; only where KSM is on does it keep them
 * apart, because the pages between are not mergeable, so that what it counts can be told apart too.
 */
static int map_anonymous(struct nv_memory_region *region)
{
    uint64_t length = region->config.length;
    uint64_t align = length >= ALIGN_FROM ? ALIGN_FROM : NV_PAGE_SIZE;
    uint64_t whole = length + align; /* the start moves by less */
    void *map = mmap(NULL, whole, PROT_READ | PROT_WRITE,
                     MAP_NORESERVE | MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (map == MAP_FAILED)
        return -errno;
    region->map = map;
    region->map_length = whole;
    region->host = (uint8_t *)(uintptr_t)nv_align_up((uintptr_t)map, align);
    return 0;
}

static int map_other(struct nv_memory_region *region)
{
    const struct nestvirt_memory_config *config = &region->config;
    int flags = nv_region_is_shared(region) ? MAP_SHARED : MAP_PRIVATE;
    uint64_t offset = config->backing == NESTVIRT_BACKING_MEMFD ? 0 : config->offset;
    void *map;

    if (config->backing ==
        NESTVIRT_BACKING_HUGETLB) /* reserved: no fault may find the pool empty */
        flags |= MAP_ANONYMOUS | MAP_HUGETLB | __builtin_ctzll(region->page_size) << MAP_HUGE_SHIFT;
    else if (region->page_size == NV_PAGE_SIZE)
        flags |= MAP_NORESERVE;
    map = mmap(NULL, config->length, PROT_READ | PROT_WRITE, flags, region->fd, (off_t)offset);
    if (map == MAP_FAILED)
        return -errno;
    region->map = region->host = map;
    region->map_length = config->length;
    return 0;
}

/* Finds out about a caller's file and whether its pages may be mapped as they are. */
static int take_file(struct nv_memory_region *region, const char *name,
                     struct nestvirt_error **ret_error)
{
    const struct nestvirt_memory_config *config = &region->config;
    struct file file = { 0 };
    int r = check_file(config, name, &file, ret_error);

    if (r < 0)
        return r;
    if (config->backing == NESTVIRT_BACKING_FD) {
        region->page_size = file.page_size;
    } else {
        bool is_trusted = file.is_sealed || config->flags & NESTVIRT_MEMORY_ALLOW_UNSEALED;

        region->is_copied = !is_trusted || file.page_size != NV_PAGE_SIZE;
    }
    if (!nv_is_aligned(config->length | config->offset, region->page_size))
        return nv_fail(ret_error, -EINVAL, name, "round them",
                       "offset or size is not a multiple of the file's huge pages of 0x%llx bytes",
                       (unsigned long long)region->page_size);
    region->fd = nv_fd_dup(config->fd);
    if (region->fd < 0)
        return nv_fail_sys(ret_error, -region->fd, name, "fcntl(F_DUPFD)",
                           nv_fd_hint(-region->fd, "give an open file"));
    return 0;
}

static int open_backing(struct nv_memory_region *region, const char *name,
                        struct nestvirt_error **ret_error)
{
    const struct nestvirt_memory_config *config = &region->config;

    switch (config->backing) {
    case NESTVIRT_BACKING_MEMFD:
        region->fd = open_memfd(config->length, name, ret_error);
        return region->fd < 0 ? region->fd : 0;
    case NESTVIRT_BACKING_HUGETLB:
        region->page_size = config->page_size ? config->page_size : nv_hugetlb_default_size();
        return 0;
    case NESTVIRT_BACKING_FD:
    case NESTVIRT_BACKING_FILE:
        return take_file(region, name, ret_error);
    default:
        return 0;
    }
}

int nv_region_map(const struct nestvirt_memory_config *config, uint32_t number,
                  struct nv_memory_region *ret_region, struct nestvirt_error **ret_error)
{
    struct nv_memory_region region = {
        .used = true, .config = *config, .page_size = NV_PAGE_SIZE, .fd = -1
    };
    bool is_anonymous;
    int r = open_backing(&region, nv_region_name(number).s, ret_error);

    if (r < 0)
        return r;
    is_anonymous = config->backing == NESTVIRT_BACKING_ANONYMOUS || region.is_copied;
    r = is_anonymous ? map_anonymous(&region) : map_other(&region);
    if (r < 0) {
        r = fail_map(&region, number, -r, ret_error);
        nv_region_drop(&region, false);
        return r;
    }
    if (nv_region_is_lazy_file(&region)) { /* the mapping keeps the file */
        close(region.fd);
        region.fd = -1;
    }
    *ret_region = region;
    return 0;
}

void nv_region_drop(struct nv_memory_region *region, bool unmap)
{
    if (unmap && region->map)
        munmap(region->map, region->map_length);
    if (region->fd >= 0)
        close(region->fd);
    free(region->policy);
    *region = (struct nv_memory_region){ .fd = -1 };
}
