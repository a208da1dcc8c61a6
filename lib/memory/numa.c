/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the policies by which a region's pages go to nodes of the host. */
#include "memory/numa.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/cleanup.h"
#include "core/error.h"
#include "core/util.h"
#include "host/numa.h"
#include "host/topology.h"

/* What each policy is called, and whether it has nodes. */
static const struct {
    const char *name;
    bool has_nodes;
} kinds[] = {
    [NESTVIRT_NUMA_DEFAULT] = { "default", false },
    [NESTVIRT_NUMA_LOCAL] = { "local", false },
    [NESTVIRT_NUMA_BIND] = { "bind", true },
    [NESTVIRT_NUMA_PREFERRED] = { "preferred", true },
    [NESTVIRT_NUMA_PREFERRED_MANY] = { "preferred-many", true },
    [NESTVIRT_NUMA_INTERLEAVE] = { "interleave", true },
};

/* A policy as it was asked for, checked. */
struct request {
    struct nv_text name; /* of the region */
    uint32_t policy;
    uint32_t flags; /* NV_NUMA_* */
    struct nv_set nodes;
};

/* A list, shortened where it is long. */
static struct nv_text list_text(const struct nv_set *set)
{
    struct nv_text text;

    if (nv_list_format(set, text.s, sizeof(text.s)) >= sizeof(text.s))
        memcpy(text.s + sizeof(text.s) - 4, "...", 4);
    return text;
}

/* Without looking at the host: does the policy go with its nodes and flags? */
static int check_form(const struct request *request, const char *nodes,
                      struct nestvirt_error **ret_error)
{
    const char *name = request->name.s;

    if (request->policy >= NV_ARRAY_SIZE(kinds))
        return nv_fail(ret_error, -EINVAL, name, "use NESTVIRT_NUMA_*", "unknown policy %u",
                       request->policy);
    if (kinds[request->policy].has_nodes && !nodes)
        return nv_fail(ret_error, -EINVAL, name, "name them, such as \"0-1\"",
                       "policy %s is without nodes", kinds[request->policy].name);
    if (!kinds[request->policy].has_nodes && nodes)
        return nv_fail(ret_error, -EINVAL, name, "leave the nodes out, or choose another policy",
                       "policy %s has no nodes, but \"%.40s\" is given",
                       kinds[request->policy].name, nodes);
    if (!kinds[request->policy].has_nodes && request->flags)
        return nv_fail(ret_error, -EINVAL, name, "leave them out, or choose a policy with nodes",
                       "policy %s can be neither strict nor moved to", kinds[request->policy].name);
    return 0;
}

/* Are the nodes there, with memory, and for us? */
static int check_nodes(const struct request *request, const struct nv_topology *topology,
                       struct nestvirt_error **ret_error)
{
    const struct nv_set absent = nv_set_minus(&request->nodes, &topology->online);
    const struct nv_set forbidden = nv_set_minus(&request->nodes, &topology->allowed);
    const char *name = request->name.s;

    if (!nv_set_is_empty(&absent))
        return nv_fail(ret_error, -EINVAL, name,
                       nv_text("this host has %.60s", list_text(&topology->online).s).s,
                       "node %s %s", list_text(&absent).s,
                       nv_set_is_within(&absent, &topology->possible) ? "is offline"
                                                                      : "does not exist");
    if (!nv_set_is_empty(&forbidden))
        return nv_fail(
            ret_error, -EINVAL, name,
            nv_text("use %.40s, or change cpuset.mems", list_text(&topology->allowed).s).s,
            "node %s is outside of this process's cpuset", list_text(&forbidden).s);
    for (uint32_t i = 0; i < topology->count; i++)
        if (nv_set_has(&request->nodes, topology->nodes[i].number) &&
            topology->nodes[i].memory_total == 0)
            return nv_fail(ret_error, -EINVAL, name, "name nodes that have",
                           "node %u has no memory", topology->nodes[i].number);
    return 0;
}

/*
 * Touching more than the nodes of a binding policy have does not fail: the kernel kills a process,
 * most likely this one. So what is to be touched in build must be there.
 */
static int check_room(const struct request *request, const struct nestvirt_memory_config *config,
                      const struct nv_topology *topology, struct nestvirt_error **ret_error)
{
    uint64_t available = 0;

    if (request->policy != NESTVIRT_NUMA_BIND || config->backing == NESTVIRT_BACKING_HUGETLB ||
        !(config->flags & (NESTVIRT_MEMORY_PREFAULT | NESTVIRT_MEMORY_LOCK)))
        return 0;
    for (uint32_t i = 0; i < topology->count; i++)
        if (nv_set_has(&request->nodes, topology->nodes[i].number))
            available += topology->nodes[i].memory_available;
    if (config->length <= available)
        return 0;
    return nv_fail(ret_error, -ENOMEM, request->name.s,
                   "use other nodes, more of them, or less memory",
                   "%llu MiB are to be touched, and node %s has %llu MiB to give",
                   (unsigned long long)(config->length >> 20), list_text(&request->nodes).s,
                   (unsigned long long)(available >> 20));
}

/* config NULL: the region is there already. */
static int check_request(struct request *request, const char *nodes,
                         const struct nestvirt_memory_config *config, const char *root,
                         struct nestvirt_error **ret_error)
{
    struct nv_topology topology;
    int r = check_form(request, nodes, ret_error);

    if (r < 0 || !nodes)
        return r;
    r = nv_list_parse(nodes, "node", &request->nodes, ret_error);
    if (r == 0 && request->policy == NESTVIRT_NUMA_PREFERRED && nv_set_count(&request->nodes) > 1)
        r = nv_fail(ret_error, -EINVAL, request->name.s, "use NESTVIRT_NUMA_PREFERRED_MANY",
                    "policy preferred is given nodes %s", list_text(&request->nodes).s);
    if (r == 0)
        r = nv_topology_read(root, &topology, ret_error);
    if (r < 0)
        return r;
    r = check_nodes(request, &topology, ret_error);
    if (r == 0 && config)
        r = check_room(request, config, &topology, ret_error);
    nv_topology_free(&topology);
    return r;
}

/* An errno of mbind() as our code and text. */
static int fail_bind(int code, const struct request *request, struct nestvirt_error **ret_error)
{
    const char *hint = "free memory in this process";

    if (code == -ENOSYS)
        return nv_fail(ret_error, -ENOTSUP, request->name.s, "use a kernel with CONFIG_NUMA",
                       "this kernel has no policies for nodes");
    if (code == -EPERM || code == -EACCES)
        hint = "let the container's seccomp profile allow mbind (CAP_SYS_NICE)";
    if (code == -EINVAL)
        hint = request->policy == NESTVIRT_NUMA_PREFERRED_MANY
                   ? "use Linux 5.15 or later, or NESTVIRT_NUMA_PREFERRED"
                   : "see which nodes the process may use (Mems_allowed_list in /proc/self/status)";
    return nv_fail_sys(ret_error, -code, request->name.s, "mbind", hint);
}

/* Strict: what the kernel says of the first page must be what was asked for. */
static int check_read_back(const struct nv_numa_ops *ops, const struct request *request, void *host,
                           struct nestvirt_error **ret_error)
{
    struct nv_set nodes;
    uint32_t policy;
    int r = nv_numa_get(ops, host, &policy, &nodes);

    if (r < 0)
        return nv_fail_sys(ret_error, -r, request->name.s, "get_mempolicy",
                           "leave strictness out, or let a sandbox allow it");
    if (policy == request->policy && nv_set_is_equal(&nodes, &request->nodes))
        return 0;
    return nv_fail(ret_error, -EIO, request->name.s, "leave strictness out",
                   "the kernel took policy %s of nodes %s for %s of %s",
                   kinds[request->policy].name, list_text(&request->nodes).s, kinds[policy].name,
                   list_text(&nodes).s);
}

/* The text of a strict failure: how many pages are where they should not be. */
static int fail_strays(const struct nv_numa_ops *ops, const struct nv_memory_region *region,
                       const struct request *request, struct nestvirt_error **ret_error)
{
    static const char hint[] = "free memory on the nodes, or leave strictness out";
    NV_AUTO_FREE uint64_t *counts = calloc(NV_NODES_MAX, sizeof(*counts));
    struct nestvirt_memory_placement placement = { 0 };
    struct nv_set strays = { { 0 } };
    uint64_t stray_count = 0;

    if (!counts || nv_memory_count_pages(ops, region, &placement, counts, NV_NODES_MAX) < 0)
        return nv_fail_sys(ret_error, EIO, request->name.s, "mbind", hint);
    for (uint32_t i = 0; i < NV_NODES_MAX; i++) {
        if (counts[i] == 0 || nv_set_has(&request->nodes, i))
            continue;
        nv_set_add(&strays, i);
        stray_count += counts[i];
    }
    return nv_fail(ret_error, -EIO, request->name.s, hint,
                   "%llu of %llu resident pages are on node %s instead of %s",
                   (unsigned long long)stray_count, (unsigned long long)placement.resident,
                   nv_set_is_empty(&strays) ? "none" : list_text(&strays).s,
                   list_text(&request->nodes).s);
}

/* Makes the record of a region's policy, with room for the text of its nodes. */
static struct nv_memory_policy *new_policy(const char *text, struct nestvirt_error **ret_error)
{
    size_t size = text ? strlen(text) + 1 : 1;
    struct nv_memory_policy *policy = calloc(1, sizeof(*policy) + size);

    if (!policy)
        nv_fail(ret_error, -ENOMEM, "policy for nodes", "free memory in this process",
                "out of memory");
    else if (text)
        memcpy(policy->text, text, size);
    return policy;
}

static void keep(struct nv_memory_policy *policy, const struct request *request)
{
    policy->policy = request->policy;
    policy->is_strict = request->flags & NV_NUMA_STRICT;
    policy->nodes = request->nodes;
    policy->refused = 0;
}

int nv_memory_place(struct nv_memory *memory, uint32_t number, struct nestvirt_error **ret_error)
{
    struct nv_memory_region *region = &memory->regions[number];
    const struct nestvirt_memory_config *config = &region->config;
    bool is_strict = config->flags & NESTVIRT_MEMORY_NUMA_STRICT;
    struct request request = { .name = nv_region_name(number),
                               .policy = config->numa_policy,
                               .flags = is_strict ? NV_NUMA_STRICT : 0 };
    struct nv_numa_ops ops;
    int r;

    if (config->numa_policy == NESTVIRT_NUMA_DEFAULT && !config->numa_nodes && !is_strict)
        return 0;
    r = check_request(&request, config->numa_nodes, config,
                      memory->numa_ops ? memory->numa_ops->root : NULL, ret_error);
    if (r == 0)
        r = nv_memory_open_numa(memory, &ops, ret_error);
    if (r < 0)
        return r;
    region->policy = new_policy(config->numa_nodes, ret_error);
    if (!region->policy)
        return -ENOMEM;
    keep(region->policy, &request);
    if (config->numa_nodes)
        region->config.numa_nodes = region->policy->text;
    r = nv_numa_bind(&ops, region->host, config->length, request.policy, &request.nodes,
                     request.flags);
    if (r < 0 && !is_strict) {
        region->policy->refused = -r;
        return 0;
    }
    if (r < 0)
        return fail_bind(r, &request, ret_error);
    return is_strict ? check_read_back(&ops, &request, region->host, ret_error) : 0;
}

int nv_memory_refused(const struct nv_memory *memory, uint32_t number)
{
    const struct nv_memory_policy *policy = memory->regions[number].policy;

    return policy ? policy->refused : 0;
}

/* The kernel itself compares the pages with the policy, and faster than they can be counted. */
static int check_region(const struct nv_memory *memory, uint32_t number,
                        struct nestvirt_error **ret_error)
{
    const struct nv_memory_region *region = &memory->regions[number];
    const struct nv_memory_policy *policy = region->policy;
    struct request request = { .name = nv_region_name(number),
                               .policy = policy->policy,
                               .flags = NV_NUMA_STRICT,
                               .nodes = policy->nodes };
    struct nv_numa_ops ops;
    int r = nv_memory_open_numa(memory, &ops, ret_error);

    if (r < 0)
        return r;
    r = nv_numa_bind(&ops, region->host, region->config.length, request.policy, &request.nodes,
                     request.flags);
    if (r == -EIO)
        return fail_strays(&ops, region, &request, ret_error);
    return r < 0 ? fail_bind(r, &request, ret_error) : 0;
}

int nv_memory_check_placed(const struct nv_memory *memory, struct nestvirt_error **ret_error)
{
    int r = 0;

    for (uint32_t i = 0; i < NV_MEMORY_REGIONS_MAX && r == 0; i++) {
        const struct nv_memory_region *region = &memory->regions[i];

        if (region->used && region->policy && region->policy->is_strict &&
            region->config.flags & (NESTVIRT_MEMORY_PREFAULT | NESTVIRT_MEMORY_LOCK))
            r = check_region(memory, i, ret_error);
    }
    return r;
}

/* Binds anew; if that fails, the policy is as it was, and pages that moved stay where they are. */
static int change(const struct nv_numa_ops *ops, const struct nv_memory_region *region,
                  const struct request *request, struct nestvirt_error **ret_error)
{
    uint64_t length = region->config.length;
    struct nv_set old_nodes;
    uint32_t old_policy;
    int undone = nv_numa_get(ops, region->host, &old_policy, &old_nodes);
    int r =
        nv_numa_bind(ops, region->host, length, request->policy, &request->nodes, request->flags);

    if (r == 0 && request->flags & NV_NUMA_STRICT)
        r = check_read_back(ops, request, region->host, ret_error);
    else if (r == -EIO)
        fail_strays(ops, region, request, ret_error);
    else if (r < 0)
        r = fail_bind(r, request, ret_error);
    if (r < 0 && undone == 0)
        nv_numa_bind(ops, region->host, length, old_policy, &old_nodes, 0);
    return r;
}

int nv_memory_set_numa(struct nv_memory *memory, uint32_t number, uint32_t policy,
                       const char *nodes, uint32_t flags, struct nestvirt_error **ret_error)
{
    struct request request = { .name = nv_region_name(number),
                               .policy = policy,
                               .flags = (flags & NESTVIRT_NUMA_STRICT ? NV_NUMA_STRICT : 0) |
                                        (flags & NESTVIRT_NUMA_MOVE ? NV_NUMA_MOVE : 0) };
    struct nv_memory_region *region;
    struct nv_numa_ops ops;
    int r = nv_memory_find_region(memory, number, ret_error);

    if (r < 0)
        return r;
    if (flags & ~(uint32_t)(NESTVIRT_NUMA_STRICT | NESTVIRT_NUMA_MOVE))
        return nv_fail(ret_error, -EINVAL, request.name.s, "clear them", "unknown flags 0x%x",
                       flags);
    r = check_request(&request, nodes, NULL, memory->numa_ops ? memory->numa_ops->root : NULL,
                      ret_error);
    if (r == 0)
        r = nv_memory_open_numa(memory, &ops, ret_error);
    if (r < 0)
        return r;
    region = &memory->regions[number];
    if (!region->policy)
        region->policy = new_policy(NULL, ret_error);
    if (!region->policy)
        return -ENOMEM;
    r = change(&ops, region, &request, ret_error);
    if (r == 0)
        keep(region->policy, &request);
    return r;
}
