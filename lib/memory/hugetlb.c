/* SPDX-License-Identifier: Apache-2.0 */
/* Owns what is known of the host's pools of huge pages. */
#include <errno.h>

#include "core/util.h"
#include "host/facts.h"
#include "memory/region.h"

uint64_t nv_hugetlb_default_size(void)
{
    char text[64];
    struct nv_tree tree;
    uint64_t kib = 0;

    if (nv_tree_open(NULL, &tree, NULL) < 0)
        return NV_MIB(2);
    if (nv_facts_field(&tree, "proc/meminfo", "Hugepagesize", text, sizeof(text)) == 0)
        nv_facts_number(text, &kib);
    nv_tree_close(&tree);
    /* Without a pool the mapping fails and tells. */
    return kib == NV_GIB(1) / 1024 ? NV_GIB(1) : NV_MIB(2);
}

/* A number of the pool; 0 if it cannot be read. */
static uint64_t read_pool(const char *pool, const char *file)
{
    struct nv_tree tree;
    uint64_t value = 0;

    if (nv_tree_open(NULL, &tree, NULL) < 0)
        return 0;
    nv_tree_read_u64(&tree, nv_text("%s/%s", pool + 1, file).s, &value);
    nv_tree_close(&tree);
    return value;
}

int nv_hugetlb_fail(const struct nestvirt_memory_config *config, uint64_t page_size,
                    uint32_t number, struct nestvirt_error **ret_error)
{
    const struct nv_text pool =
        nv_text("/sys/kernel/mm/hugepages/hugepages-%llukB", (unsigned long long)page_size / 1024);
    uint64_t need = config->length / page_size;
    uint64_t all = read_pool(pool.s, "nr_hugepages");
    uint64_t free_pages = read_pool(pool.s, "free_hugepages");
    uint64_t promised = read_pool(pool.s, "resv_hugepages");
    uint64_t left = free_pages > promised ? free_pages - promised : 0;
    uint64_t missing =
        need > left ? need - left : 1; /* 1: another was faster, or a cgroup's limit */

    return nv_fail(
        ret_error, -ENOMEM, nv_region_name(number).s,
        nv_text("write %llu to %s/nr_hugepages", (unsigned long long)(all + missing), pool.s).s,
        "needs %llu huge pages, of which %llu are missing in the pool %s", (unsigned long long)need,
        (unsigned long long)missing, pool.s);
}
