/* SPDX-License-Identifier: Apache-2.0 */
/* Owns what the kernel is told about a region: forks, core dumps, huge pages, KSM, locking. */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include "core/util.h"
#include "memory/region.h"

/* Also for what lies around an aligned region, so that all is one mapping. */
static int advise(const struct nv_memory_region *region, int advice)
{
    return madvise(region->map, region->map_length, advice) < 0 ? -errno : 0;
}

static int set_huge_pages(const struct nv_memory_region *region, uint32_t number,
                          struct nestvirt_error **ret_error)
{
    bool is_always = region->config.huge_pages == NESTVIRT_HUGE_PAGES_ALWAYS;
    int r;

    if (region->config.huge_pages == NESTVIRT_HUGE_PAGES_DEFAULT)
        return 0;
    r = advise(region, is_always ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
    if (r == -EINVAL && !is_always)
        return 0; /* a kernel that has none */
    if (r == -EINVAL)
        return nv_fail(ret_error, -ENOTSUP, nv_region_name(number).s,
                       "leave huge_pages at the default",
                       "this kernel has no transparent huge pages");
    return r < 0 ? nv_fail_sys(ret_error, -r, nv_region_name(number).s, "madvise(MADV_HUGEPAGE)",
                               "raise the limit on mappings")
                 : 0;
}

static int fail_lock(const struct nv_memory_region *region, uint32_t number, int sys_errno,
                     struct nestvirt_error **ret_error)
{
    const struct nv_text name = nv_region_name(number);
    struct rlimit limit = { 0 };

    if (sys_errno != ENOMEM && sys_errno != EPERM && sys_errno != EAGAIN)
        return nv_fail_sys(ret_error, sys_errno, name.s, "mlock2", "leave the lock out");
    getrlimit(RLIMIT_MEMLOCK, &limit);
    return nv_fail(ret_error, -ENOMEM, name.s,
                   "raise it (ulimit -l, in KiB), or give the program CAP_IPC_LOCK",
                   "needs %llu bytes of locked memory beside what is locked already, and "
                   "RLIMIT_MEMLOCK is %llu",
                   (unsigned long long)region->config.length, (unsigned long long)limit.rlim_cur);
}

/* Pages are locked as they are touched, and the limit counts all of them now. */
static int lock(const struct nv_memory_region *region, uint32_t number,
                struct nestvirt_error **ret_error)
{
    /* The kernel never takes a page of the pool away. */
    if (!(region->config.flags & NESTVIRT_MEMORY_LOCK) || region->page_size > NV_PAGE_SIZE)
        return 0;
    if (mlock2(region->host, region->config.length, MLOCK_ONFAULT) == 0)
        return 0;
    return fail_lock(region, number, errno, ret_error);
}

int nv_region_check_mergeable(const struct nestvirt_memory_config *config, const char *name,
                              struct nestvirt_error **ret_error)
{
    if (config->backing == NESTVIRT_BACKING_MEMFD || config->backing == NESTVIRT_BACKING_FD)
        return nv_fail(
            ret_error, -ENOTSUP, name, "use NESTVIRT_BACKING_ANONYMOUS or NESTVIRT_BACKING_FILE",
            "KSM leaves shared memory alone, such as a memfd or the caller's descriptor");
    if (config->backing == NESTVIRT_BACKING_HUGETLB)
        return nv_fail(ret_error, -ENOTSUP, name,
                       "use NESTVIRT_BACKING_ANONYMOUS or NESTVIRT_BACKING_FILE",
                       "KSM leaves pages of the huge page pools alone");
    return 0;
}

int nv_region_set_mergeable(struct nv_memory_region *region, uint32_t number, bool on,
                            struct nestvirt_error **ret_error)
{
    const struct nv_text name = nv_region_name(number);
    int r = on ? nv_region_check_mergeable(&region->config, name.s, ret_error) : 0;

    if (r < 0 || (!on && !nv_region_is_mergeable(region)))
        return r;
    /* The region alone: what lies around it keeps its mapping apart from a neighbour's. */
    r = madvise(region->host, region->config.length, on ? MADV_MERGEABLE : MADV_UNMERGEABLE);
    r = r < 0 ? -errno : 0;
    if (r == -EINVAL)
        return nv_fail(ret_error, -ENOTSUP, name.s, "use a kernel with CONFIG_KSM",
                       "this kernel has no KSM");
    if (r < 0)
        return nv_fail_sys(ret_error, -r, name.s,
                           on ? "madvise(MADV_MERGEABLE)" : "madvise(MADV_UNMERGEABLE)",
                           r == -EPERM ? "allow madvise in the sandbox (seccomp) of the program"
                                       : "free memory on the host and try again");
    __atomic_store_n(&region->mergeable, on, __ATOMIC_RELAXED);
    return 0;
}

bool nv_region_is_mergeable(const struct nv_memory_region *region)
{
    return __atomic_load_n(&region->mergeable, __ATOMIC_RELAXED);
}

int nv_region_advise(struct nv_memory_region *region, uint32_t number,
                     struct nestvirt_error **ret_error)
{
    static const char hint[] = "raise the limit on mappings";
    const struct nv_text name = nv_region_name(number);
    int r = advise(region, MADV_DONTFORK);

    if (r < 0)
        return nv_fail_sys(ret_error, -r, name.s, "madvise(MADV_DONTFORK)", hint);
    if (region->config.flags & NESTVIRT_MEMORY_NO_DUMP) {
        r = advise(region, MADV_DONTDUMP);
        if (r < 0)
            return nv_fail_sys(ret_error, -r, name.s, "madvise(MADV_DONTDUMP)", hint);
    }
    r = set_huge_pages(region, number, ret_error);
    if (r == 0 && region->config.flags & NESTVIRT_MEMORY_MERGEABLE)
        r = nv_region_set_mergeable(region, number, true, ret_error);
    if (r == 0)
        r = lock(region, number, ret_error);
    return r;
}

int nv_region_prefault(const struct nv_memory_region *region, uint32_t number,
                       struct nestvirt_error **ret_error)
{
    const struct nv_text name = nv_region_name(number);
    int r;

    if (!(region->config.flags & NESTVIRT_MEMORY_PREFAULT) || region->page_size > NV_PAGE_SIZE)
        return 0; /* huge pages are there since they were mapped */
    /* A private file's pages stay shared with its other users until they are written. */
    r = nv_populate(region->host, region->config.length, region->page_size,
                    !nv_region_is_lazy_file(region));
    if (r == -ENOTSUP)
        return nv_fail(ret_error, r, name.s, "leave NESTVIRT_MEMORY_PREFAULT out",
                       "touching memory beforehand needs Linux 5.14 or later");
    if (r == -EFAULT)
        return nv_fail(
            ret_error, -ENOSPC, name.s, "make room there, or give a whole file",
            "not every page can be touched: its file system is full, or its file shorter");
    return r < 0 ? nv_fail_sys(ret_error, -r, name.s, "madvise(MADV_POPULATE_WRITE)",
                               "use less memory, or leave NESTVIRT_MEMORY_PREFAULT out")
                 : 0;
}
