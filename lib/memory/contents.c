/* SPDX-License-Identifier: Apache-2.0 */
/* Owns what stands in a region: at the start, at each new start, and when pages are given back. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/util.h"
#include "memory/region.h"

#ifndef MADV_DONTNEED_LOCKED
#define MADV_DONTNEED_LOCKED 24 /* Linux 5.18 */
#endif

/* One read; a kernel moves a little less than 2 GiB at most. */
#define READ_MAX NV_MIB(512)

static int drop_private(const struct nv_memory_region *region, void *host, uint64_t length)
{
    bool is_locked = region->config.flags & NESTVIRT_MEMORY_LOCK;

    return madvise(host, length, is_locked ? MADV_DONTNEED_LOCKED : MADV_DONTNEED) < 0 ? -errno : 0;
}

/* A shared mapping's page stays in its file, so that needs a hole. */
static int punch_hole(const struct nv_memory_region *region, uint8_t *host, uint64_t length)
{
    uint64_t offset = region->config.offset + (uint64_t)(host - region->host);

    if (!(region->config.flags & NESTVIRT_MEMORY_LOCK))
        return madvise(host, length, MADV_REMOVE) < 0 ? -errno : 0;
    return fallocate(region->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset,
                     (off_t)length) < 0
               ? -errno
               : 0;
}

int nv_region_give_back(const struct nv_memory_region *region, uint8_t *host, uint64_t length)
{
    /* Others could take a huge page from the pool, and the next touch would find none. */
    if (region->page_size > NV_PAGE_SIZE)
        return -EOPNOTSUPP;
    /* The file's bytes would come back. */
    if (nv_region_is_lazy_file(region))
        return -EOPNOTSUPP;
    return nv_region_is_shared(region) ? punch_hole(region, host, length)
                                       : drop_private(region, host, length);
}

/* Copies the file, which may have become shorter since it was looked at. */
static int copy_file(const struct nv_memory_region *region, uint32_t number,
                     struct nestvirt_error **ret_error)
{
    const struct nv_text name = nv_region_name(number);
    uint64_t done = 0;

    while (done < region->config.length) {
        uint64_t left = region->config.length - done;
        ssize_t n = pread(region->fd, region->host + done, NV_MIN(left, READ_MAX),
                          (off_t)(region->config.offset + done));

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return nv_fail_sys(ret_error, errno, name.s, "pread of its file",
                               "check that the file can be read");
        if (n == 0)
            return nv_fail(ret_error, -EINVAL, name.s, "do not shorten it while a VM uses it",
                           "its file ends 0x%llx bytes too early", (unsigned long long)left);
        done += (uint64_t)n;
    }
    return 0;
}

int nv_region_fill(const struct nv_memory_region *region, uint32_t number,
                   struct nestvirt_error **ret_error)
{
    int r;

    if (region->is_copied)
        return copy_file(region, number, ret_error);
    if (region->page_size == NV_PAGE_SIZE)
        return 0;
    /* A huge page that is missing shows here, not as SIGBUS later. */
    r = nv_populate(region->host, region->config.length, region->page_size, true);
    if (r == -ENOTSUP)
        return nv_fail(ret_error, r, nv_region_name(number).s, "use another backing",
                       "huge pages need Linux 5.14 or later");
    return r < 0 ? nv_hugetlb_fail(&region->config, region->page_size, number, ret_error) : 0;
}

int nv_region_reset(const struct nv_memory_region *region, uint32_t number,
                    struct nestvirt_error **ret_error)
{
    uint64_t length = region->config.length;
    int r;

    if (region->config.backing == NESTVIRT_BACKING_FD)
        return 0;
    if (nv_region_is_lazy_file(region)) {
        r = drop_private(region, region->host, length);
        return r < 0 ? nv_fail_sys(ret_error, -r, nv_region_name(number).s, "madvise",
                                   "make a new VM, or use Linux 5.18 or later for a locked file")
                     : 0;
    }
    if (nv_region_give_back(region, region->host, length) < 0)
        memset(region->host, 0, length);
    return region->is_copied ? copy_file(region, number, ret_error) : 0;
}
