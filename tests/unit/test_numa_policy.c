/* SPDX-License-Identifier: Apache-2.0 */
/* Proves the policies for nodes of memory regions on a fake kernel with two nodes and more. */
#include <dlfcn.h>
#include <errno.h>
#include <linux/mempolicy.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/error.h"
#include "core/util.h"
#include "fake_kvm.h"
#include "fake_numa.h"
#include "memory/layout.h"
#include "memory/numa.h"
#include "nodes.h"
#include "support.h"
#include "vm/vm.h"

enum { PAGE = 4096, PAGES = 700 };

/* A sanitizer's own memory does not fit into any limit. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { HAS_LIMITS = 0 };
#else
enum { HAS_LIMITS = 1 };
#endif

static struct nestvirt_host *host;
static struct nestvirt_vm *vm;
static char log_text[512];
static int has_dlopen = 1;

void *__real_dlopen(const char *name, int flags);
void *__wrap_dlopen(const char *name, int flags);

void *__wrap_dlopen(const char *name, int flags)
{
    return has_dlopen ? __real_dlopen(name, flags) : NULL;
}

static void on_log(void *user_data, uint32_t level, const char *text)
{
    snprintf(log_text, sizeof(log_text), "%u %s", level, text);
}

static void setup(void)
{
    fake_kvm_reset();
    fake_numa_reset(nodes_make());
    nodes_fill_two();
    host = fake_kvm_host();
    vm = fake_kvm_vm(host, 0, NESTVIRT_CHIP_SPLIT, 1);
    ck_nv_ok(nestvirt_memory_remove(vm, 0, &error));
    vm->memory.numa_ops = &fake_numa.ops;
    log_text[0] = '\0';
    has_dlopen = 1;
    ck_nv_ok(nestvirt_vm_set_log(vm, NESTVIRT_LOG_DEBUG, on_log, NULL, NULL, &error));
}

static void teardown(void)
{
    ck_assert_int_eq(nestvirt_vm_free(vm), 0);
    ck_assert_int_eq(nestvirt_host_free(host), 0);
    nodes_remove();
}

static struct nestvirt_memory_config region(uint32_t policy, const char *nodes, uint32_t flags)
{
    struct nestvirt_memory_config config;

    nestvirt_memory_config_init(&config, sizeof(config));
    config.length = PAGES * PAGE;
    config.flags = flags;
    config.numa_policy = policy;
    config.numa_nodes = nodes;
    return config;
}

static int add(uint32_t policy, const char *nodes, uint32_t flags, struct nestvirt_error **error)
{
    const struct nestvirt_memory_config config = region(policy, nodes, flags);

    return nestvirt_memory_add(vm, &config, error);
}

static struct nestvirt_memory_placement placement(uint64_t *pages, uint32_t count)
{
    struct nestvirt_memory_placement now;

    nestvirt_memory_placement_init(&now, sizeof(now));
    ck_nv_ok(nestvirt_memory_get_placement(vm, 0, &now, pages, count, &error));
    return now;
}

static const struct {
    uint32_t policy;
    const char *nodes;
    int mode;
    uint64_t mask;
} policies[] = {
    { NESTVIRT_NUMA_LOCAL, NULL, MPOL_LOCAL, 0 },
    { NESTVIRT_NUMA_BIND, "0", MPOL_BIND, 1 },
    { NESTVIRT_NUMA_BIND, "0-1", MPOL_BIND, 3 },
    { NESTVIRT_NUMA_PREFERRED, "1", MPOL_PREFERRED, 2 },
    { NESTVIRT_NUMA_PREFERRED_MANY, "1,0", MPOL_PREFERRED_MANY, 3 },
    { NESTVIRT_NUMA_INTERLEAVE, "0-1", MPOL_INTERLEAVE, 3 },
};

START_TEST(test_each_policy)
{
    struct nestvirt_memory_config config;
    char nodes[16] = "";

    if (policies[_i].nodes)
        strcpy(nodes, policies[_i].nodes);
    ck_nv_ok(add(policies[_i].policy, policies[_i].nodes ? nodes : NULL, 0, &error));
    memset(nodes, 'x', sizeof(nodes)); /* the library has its own */
    ck_assert_uint_eq(fake_numa.binds, 1);
    ck_assert_int_eq(fake_numa.mode, policies[_i].mode);
    ck_assert_uint_eq(fake_numa.flags, 0);
    ck_assert_int_eq(fake_numa.has_mask, policies[_i].mask != 0);
    ck_assert_uint_eq(fake_numa.max_node, policies[_i].mask ? NV_SET_MAX + 1 : 0);
    ck_assert_uint_eq(fake_numa.nodes.words[0], policies[_i].mask);
    ck_assert_uint_eq(fake_numa.length, PAGES * PAGE);
    ck_assert_ptr_eq(fake_numa.start, vm->memory.regions[0].host);
    ck_assert_uint_eq(placement(NULL, 0).policy, policies[_i].policy);
    nestvirt_memory_config_init(&config, sizeof(config));
    ck_nv_ok(nestvirt_memory_get(vm, 0, &config, &error));
    ck_assert_uint_eq(config.numa_policy, policies[_i].policy);
    if (policies[_i].nodes)
        ck_assert_str_eq(config.numa_nodes, policies[_i].nodes);
    else
        ck_assert_ptr_null(config.numa_nodes);
}
END_TEST

/* Who does not ask for nodes has nothing to do with them. */
START_TEST(test_default_costs_nothing)
{
    vm->memory.numa_ops = NULL;
    has_dlopen = 0;
    ck_nv_ok(add(NESTVIRT_NUMA_DEFAULT, NULL, 0, &error));
    ck_assert_ptr_null(vm->memory.regions[0].policy);
}
END_TEST

/* One region in two slots, and a memfd: the policy is that of the whole. */
START_TEST(test_whole_region)
{
    struct nestvirt_memory_config config = region(NESTVIRT_NUMA_BIND, "1", 0);

    config.flags |= NESTVIRT_MEMORY_DEFAULT_LAYOUT;
    config.backing = NESTVIRT_BACKING_MEMFD;
    ck_nv_ok(nestvirt_memory_add(vm, &config, &error));
    ck_nv_ok(nestvirt_memory_remove(vm, 0, &error));
    config.length = NV_LAYOUT_GAP + PAGE;
    fake_numa.fail_bind = EIO; /* the fake is too small for it; not strict, so it is there */
    ck_nv_ok(nestvirt_memory_add(vm, &config, &error));
    ck_assert_uint_eq(vm->memory.slot_count, 2);
    ck_assert_uint_eq(fake_numa.binds, 2);
}
END_TEST

static const struct {
    uint32_t policy;
    const char *nodes;
    uint32_t flags;
    const char *text;
} refused[] = {
    { 6, NULL, 0, "unknown policy 6" },
    { UINT32_MAX, "0", 0, "unknown policy" },
    { NESTVIRT_NUMA_BIND, NULL, 0, "policy bind is without nodes" },
    { NESTVIRT_NUMA_INTERLEAVE, NULL, 0, "policy interleave is without nodes" },
    { NESTVIRT_NUMA_BIND, "", 0, "node list \"\": is empty" },
    { NESTVIRT_NUMA_BIND, "0-", 0, "node list \"0-\": is malformed" },
    { NESTVIRT_NUMA_BIND, "all", 0, "malformed" },
    { NESTVIRT_NUMA_BIND, "9999", 0, "malformed" },
    { NESTVIRT_NUMA_DEFAULT, "0", 0, "policy default has no nodes, but \"0\" is given" },
    { NESTVIRT_NUMA_LOCAL, "0", 0, "policy local has no nodes" },
    { NESTVIRT_NUMA_LOCAL, NULL, NESTVIRT_MEMORY_NUMA_STRICT, "neither strict" },
    { NESTVIRT_NUMA_DEFAULT, NULL, NESTVIRT_MEMORY_NUMA_STRICT, "neither strict" },
    { NESTVIRT_NUMA_PREFERRED, "0-1", 0, "NESTVIRT_NUMA_PREFERRED_MANY" },
    { NESTVIRT_NUMA_BIND, "4", 0, "node 4 does not exist; this host has 0-1" },
    { NESTVIRT_NUMA_BIND, "0-2", 0, "node 2 is offline; this host has 0-1" },
    { NESTVIRT_NUMA_PREFERRED, "7", 0, "node 7 does not exist" },
};

START_TEST(test_misuse_13_absent_or_empty_nodes)
{
    ck_nv_fails_with(add(refused[_i].policy, refused[_i].nodes, refused[_i].flags, &error), -EINVAL,
                     refused[_i].text);
    ck_assert_uint_eq(fake_numa.binds, 0);
    ck_assert_uint_eq(vm->memory.slot_count, 0);
    ck_assert(!vm->memory.regions[0].used);
    ck_nv_ok(add(NESTVIRT_NUMA_DEFAULT, NULL, 0, &error));
    ck_nv_fails_with(nestvirt_memory_set_numa(vm, 0, refused[_i].policy, refused[_i].nodes,
                                              refused[_i].flags ? NESTVIRT_NUMA_STRICT : 0, &error),
                     -EINVAL, refused[_i].text);
    ck_assert_uint_eq(fake_numa.binds, 0);
}
END_TEST

START_TEST(test_misuse_13_cpuset)
{
    nodes_put("proc/self/status", "Mems_allowed_list:\t0\n");
    ck_nv_fails_with(add(NESTVIRT_NUMA_BIND, "0-1", 0, &error), -EINVAL,
                     "node 1 is outside of this process's cpuset; use 0, or change cpuset.mems");
    ck_nv_ok(add(NESTVIRT_NUMA_BIND, "0", 0, &error));
}
END_TEST

START_TEST(test_misuse_13_node_without_memory)
{
    static const struct fake_node nodes[] = { { 0, "0", 64, 32, 0, "10 20", 0 },
                                              { 3, "1", 0, 0, 0, "20 10", 0 } };

    nodes_drop("sys");
    nodes_fill("0,3", "0,3", nodes, 2);
    ck_nv_fails_with(add(NESTVIRT_NUMA_BIND, "0,3", 0, &error), -EINVAL, "node 3 has no memory");
    nodes_put("sys/devices/system/node/online", "x");
    ck_nv_fails_with(add(NESTVIRT_NUMA_BIND, "0", 0, &error), -EINVAL, "online: is malformed");
}
END_TEST

static const struct {
    int error;
    uint32_t policy;
    int code;
    const char *text;
} denials[] = {
    { EPERM, NESTVIRT_NUMA_BIND, -EPERM, "CAP_SYS_NICE" },
    { ENOSYS, NESTVIRT_NUMA_BIND, -ENOTSUP, "CONFIG_NUMA" },
    { EINVAL, NESTVIRT_NUMA_PREFERRED_MANY, -EINVAL, "Linux 5.15" },
    { EINVAL, NESTVIRT_NUMA_BIND, -EINVAL, "Mems_allowed_list" },
    { ENOMEM, NESTVIRT_NUMA_BIND, -ENOMEM, "mbind" },
};

/* Strict: the call fails, and nothing of the region is left. */
START_TEST(test_denied_strictly)
{
    fake_numa.fail_bind = denials[_i].error;
    ck_nv_fails_with(add(denials[_i].policy, "0", NESTVIRT_MEMORY_NUMA_STRICT, &error),
                     denials[_i].code, denials[_i].text);
    ck_assert(!vm->memory.regions[0].used);
    ck_assert_uint_eq(vm->memory.slot_count, 0);
}
END_TEST

/* Best effort: the region is there, and the log says that it has no policy. */
START_TEST(test_denied_gently)
{
    fake_numa.fail_bind = denials[_i].error;
    ck_nv_ok(add(denials[_i].policy, "0", 0, &error));
    ck_assert_ptr_nonnull(strstr(log_text, "2 vm "));
    ck_assert_ptr_nonnull(
        strstr(log_text, "memory region 0: the host refuses its policy for nodes (mbind: E"));
    fake_numa.start = vm->memory.regions[0].host;
    fake_numa.length = PAGES * PAGE;
    ck_assert_uint_eq(placement(NULL, 0).policy, NESTVIRT_NUMA_DEFAULT);
}
END_TEST

START_TEST(test_strict_is_read_back)
{
    ck_nv_ok(add(NESTVIRT_NUMA_BIND, "0-1", NESTVIRT_MEMORY_NUMA_STRICT, &error));
    ck_assert_uint_eq(fake_numa.flags, MPOL_MF_STRICT);
    ck_nv_ok(nestvirt_memory_remove(vm, 0, &error));
    nv_set_add(&fake_numa.kept_nodes, 1);
    ck_nv_fails_with(add(NESTVIRT_NUMA_BIND, "0-1", NESTVIRT_MEMORY_NUMA_STRICT, &error), -EIO,
                     "the kernel took policy bind of nodes 0-1 for bind of 1");
    fake_numa.fail_get = EPERM;
    ck_nv_fails_with(add(NESTVIRT_NUMA_BIND, "0-1", NESTVIRT_MEMORY_NUMA_STRICT, &error), -EPERM,
                     "get_mempolicy");
    ck_nv_ok(add(NESTVIRT_NUMA_BIND, "0-1", 0, &error));
}
END_TEST

START_TEST(test_placement)
{
    struct nestvirt_memory_placement now;
    uint64_t pages[3] = { 9, 9, 9 };

    ck_nv_ok(add(NESTVIRT_NUMA_INTERLEAVE, "0-1", 0, &error));
    now = placement(pages, 3);
    ck_assert_uint_eq(now.absent, PAGES);
    ck_assert_uint_eq(now.resident + now.elsewhere + pages[0] + pages[1] + pages[2], 0);
    fake_numa_put(0, 100, 0);
    fake_numa_put(300, 550, 1);
    fake_numa_put(699, 700, 5);
    fake_numa.batches = 0;
    now = placement(pages, 3);
    ck_assert_uint_eq(now.resident, 351);
    ck_assert_uint_eq(now.absent, PAGES - 351);
    ck_assert_uint_eq(now.elsewhere, 1);
    ck_assert_uint_eq(pages[0], 100);
    ck_assert_uint_eq(pages[1], 250);
    ck_assert_uint_eq(pages[2], 0);
    ck_assert_uint_eq(fake_numa.batch_max, 256); /* bounded, whatever the region's size */
    ck_assert_uint_eq(fake_numa.batches, 3);
    ck_assert_uint_eq(placement(pages, 1).elsewhere, 251);
    ck_assert_uint_eq(placement(NULL, 0).elsewhere, 351);
}
END_TEST

START_TEST(test_placement_fails)
{
    struct nestvirt_memory_placement now;
    uint64_t pages[1];

    nestvirt_memory_placement_init(&now, sizeof(now));
    ck_nv_fails(nestvirt_memory_get_placement(vm, 0, &now, NULL, 0, &error), -ENOENT);
    ck_nv_fails(nestvirt_memory_get_placement(vm, UINT32_MAX, &now, NULL, 0, &error), -ENOENT);
    ck_nv_ok(add(NESTVIRT_NUMA_BIND, "0", 0, &error));
    ck_nv_fails(nestvirt_memory_get_placement(vm, 0, NULL, NULL, 0, &error), -EFAULT);
    ck_nv_fails(nestvirt_memory_get_placement(vm, 0, &now, NULL, 1, &error), -EFAULT);
    ck_nv_fails(nestvirt_memory_get_placement(NULL, 0, &now, NULL, 0, &error), -EFAULT);
    fake_numa.fail_move = EPERM;
    ck_nv_fails_with(nestvirt_memory_get_placement(vm, 0, &now, pages, 1, &error), -EPERM,
                     "move_pages");
    fake_numa.mode = 77;
    ck_nv_fails_with(nestvirt_memory_get_placement(vm, 0, &now, pages, 1, &error), -ENOTSUP,
                     "get_mempolicy");
    now.size = 4;
    ck_nv_fails(nestvirt_memory_get_placement(vm, 0, &now, pages, 1, &error), -EINVAL);
}
END_TEST

/* Linux before 5.14 has no MPOL_LOCAL of its own. */
START_TEST(test_old_local)
{
    ck_nv_ok(add(NESTVIRT_NUMA_LOCAL, NULL, 0, &error));
    fake_numa.mode = MPOL_PREFERRED;
    ck_assert_uint_eq(placement(NULL, 0).policy, NESTVIRT_NUMA_LOCAL);
}
END_TEST

static int set_numa(uint32_t policy, const char *nodes, uint32_t flags,
                    struct nestvirt_error **error)
{
    return nestvirt_memory_set_numa(vm, 0, policy, nodes, flags, error);
}

START_TEST(test_migrate)
{
    uint64_t pages[2];

    ck_nv_ok(add(NESTVIRT_NUMA_DEFAULT, NULL, 0, &error));
    ck_nv_ok(nestvirt_vm_build(vm, &error));
    ck_nv_ok(nestvirt_vm_start(vm, &error));
    fake_numa_put(10, 110, 0);
    ck_nv_ok(set_numa(NESTVIRT_NUMA_BIND, "1", 0, &error)); /* later pages only */
    ck_assert_uint_eq(fake_numa.flags, 0);
    ck_assert_uint_eq(placement(pages, 2).policy, NESTVIRT_NUMA_BIND);
    ck_assert_uint_eq(pages[0], 100);
    ck_nv_ok(set_numa(NESTVIRT_NUMA_BIND, "1", NESTVIRT_NUMA_MOVE | NESTVIRT_NUMA_STRICT, &error));
    ck_assert_uint_eq(fake_numa.flags, MPOL_MF_MOVE | MPOL_MF_STRICT);
    placement(pages, 2);
    ck_assert_uint_eq(pages[0], 0);
    ck_assert_uint_eq(pages[1], 100);
    ck_nv_ok(set_numa(NESTVIRT_NUMA_DEFAULT, NULL, 0, &error));
    ck_assert_uint_eq(placement(NULL, 0).policy, NESTVIRT_NUMA_DEFAULT);
    ck_nv_ok(nestvirt_vm_stop(vm, 5000, &error));
}
END_TEST

/* What does not move is counted, and the policy is as it was. */
START_TEST(test_migrate_in_part)
{
    uint64_t pages[2];

    ck_nv_ok(add(NESTVIRT_NUMA_INTERLEAVE, "0-1", 0, &error));
    fake_numa_put(0, 100, 0);
    fake_numa_put(40, 47, FAKE_STUCK + 0);
    ck_nv_fails_with(
        set_numa(NESTVIRT_NUMA_BIND, "1", NESTVIRT_NUMA_MOVE | NESTVIRT_NUMA_STRICT, &error), -EIO,
        "memory region 0: 7 of 100 resident pages are on node 0 instead of 1");
    ck_assert_uint_eq(placement(pages, 2).policy, NESTVIRT_NUMA_INTERLEAVE);
    ck_assert_uint_eq(fake_numa.nodes.words[0], 3);
    ck_assert_uint_eq(pages[1], 93); /* these have moved */
    ck_nv_ok(set_numa(NESTVIRT_NUMA_BIND, "1", NESTVIRT_NUMA_MOVE, &error));
    ck_assert_uint_eq(placement(pages, 2).policy, NESTVIRT_NUMA_BIND);
    ck_assert_uint_eq(pages[0], 7);
    ck_nv_fails_with(set_numa(NESTVIRT_NUMA_BIND, "1", NESTVIRT_NUMA_STRICT, &error), -EIO,
                     "7 of 100");
    fake_numa.fail_move = EPERM;
    ck_nv_fails_with(set_numa(NESTVIRT_NUMA_BIND, "1", NESTVIRT_NUMA_STRICT, &error), -EIO,
                     "mbind");
}
END_TEST

START_TEST(test_set_fails)
{
    ck_nv_fails(set_numa(NESTVIRT_NUMA_BIND, "0", 0, &error), -ENOENT);
    ck_nv_fails(nestvirt_memory_set_numa(NULL, 0, 0, NULL, 0, &error), -EFAULT);
    ck_nv_ok(add(NESTVIRT_NUMA_BIND, "0", 0, &error));
    ck_nv_fails_with(set_numa(NESTVIRT_NUMA_BIND, "1", 4, &error), -EINVAL, "flags 0x4");
    ck_nv_fails_with(set_numa(NESTVIRT_NUMA_LOCAL, NULL, NESTVIRT_NUMA_MOVE, &error), -EINVAL,
                     "moved");
    fake_numa.fail_bind = EPERM;
    ck_nv_fails_with(set_numa(NESTVIRT_NUMA_BIND, "1", 0, &error), -EPERM, "mbind");
    ck_assert_uint_eq(fake_numa.nodes.words[0], 1);
    nv_set_add(&fake_numa.kept_nodes, 0);
    ck_nv_fails_with(set_numa(NESTVIRT_NUMA_BIND, "1", NESTVIRT_NUMA_STRICT, &error), -EIO,
                     "the kernel took");
    ck_assert_uint_eq(fake_numa.nodes.words[0], 1);
}
END_TEST

/* In build, where a region that insists was touched. */
START_TEST(test_verified_in_build)
{
    ck_nv_ok(add(NESTVIRT_NUMA_BIND, "0", NESTVIRT_MEMORY_NUMA_STRICT, &error));
    fake_numa_put(0, 100, 1);
    ck_nv_ok(nv_memory_check_placed(&vm->memory, &error)); /* nobody asked for it to be touched */
    ck_assert_uint_eq(fake_numa.binds, 1);
    vm->memory.regions[0].config.flags |= NESTVIRT_MEMORY_PREFAULT;
    ck_nv_fails_with(nestvirt_vm_build(vm, &error), -EIO,
                     "memory region 0: 100 of 100 resident pages are on node 1 instead of 0");
    ck_assert_int_eq(nestvirt_vm_get_state(vm), NESTVIRT_STATE_NEW);
    fake_numa_put(0, 100, 0);
    ck_nv_ok(nestvirt_vm_build(vm, &error));
}
END_TEST

/* Without this the kernel would kill the process when the node is full. */
START_TEST(test_more_than_there_is)
{
    struct nv_memory_region *there;

    ck_nv_ok(add(NESTVIRT_NUMA_DEFAULT, NULL, 0, &error));
    there = &vm->memory.regions[0];
    there->config.numa_policy = NESTVIRT_NUMA_BIND;
    there->config.numa_nodes = "0";
    there->config.flags |= NESTVIRT_MEMORY_PREFAULT;
    there->config.length = NV_MIB(1001);
    ck_nv_fails_with(nv_memory_place(&vm->memory, 0, &error), -ENOMEM,
                     "1001 MiB are to be touched, and node 0 has 1000 MiB to give");
    ck_assert_uint_eq(fake_numa.binds, 0);
    there->config = region(NESTVIRT_NUMA_BIND, NULL, 0);
}
END_TEST

START_TEST(test_without_libnuma)
{
    vm->memory.numa_ops = NULL;
    has_dlopen = 0;
    ck_nv_fails_with(add(NESTVIRT_NUMA_LOCAL, NULL, 0, &error), -ENOTSUP, "libnuma");
    ck_assert(!vm->memory.regions[0].used);
    ck_nv_ok(add(NESTVIRT_NUMA_DEFAULT, NULL, 0, &error));
    ck_nv_fails_with(set_numa(NESTVIRT_NUMA_LOCAL, NULL, 0, &error), -ENOTSUP,
                     "the policy for nodes out");
    ck_nv_fails(nestvirt_memory_get_placement(
                    vm, 0, &(struct nestvirt_memory_placement){ .size = 40 }, NULL, 0, &error),
                -ENOTSUP);
}
END_TEST

/* Takes all memory that malloc can get, then lets the process have some KiB more. */
static void starve(unsigned kib)
{
    struct rlimit limit;
    unsigned long pages = 0;
    FILE *file = fopen("/proc/self/statm", "re");

    if (!file || fscanf(file, "%lu", &pages) != 1)
        _exit(2);
    fclose(file);
    getrlimit(RLIMIT_AS, &limit);
    limit.rlim_cur = pages * PAGE;
    setrlimit(RLIMIT_AS, &limit);
    for (size_t size = 65536; size >= 16; size /= 2)
        while (malloc(size))
            ;
    limit.rlim_cur += (rlim_t)kib * 1024;
    setrlimit(RLIMIT_AS, &limit);
}

/* libnuma ends a process that is short of memory while it is loaded. Ours must not let it. */
START_TEST(test_never_ends_the_process)
{
    struct nv_numa_ops ops;
    unsigned loaded = 0;
    unsigned failed = 0;

    for (unsigned kib = 0; kib <= 9000; kib += kib < 640 ? 8 : 256) {
        int status;
        pid_t child = fork();

        ck_assert_int_ge(child, 0);
        if (child == 0) {
            fclose(stderr); /* where libnuma would complain */
            starve(kib);
            _exit(nv_numa_open(&ops, NULL) == 0 ? 40 : 41);
        }
        ck_assert_int_eq(waitpid(child, &status, 0), child);
        ck_assert_msg(WIFEXITED(status) && (WEXITSTATUS(status) == 40 || WEXITSTATUS(status) == 41),
                      "status 0x%x with %u KiB", status, kib);
        loaded += WEXITSTATUS(status) == 40;
        failed += WEXITSTATUS(status) == 41;
    }
    ck_assert_uint_gt(loaded, 0);
    ck_assert_uint_gt(failed, 0);
}
END_TEST

/* A build without libnuma's header refuses policies, and has nothing else to prove. */
static int is_built_in(void)
{
    struct nestvirt_error *error = NULL;
    struct nv_numa_ops ops;
    int r = nv_numa_open(&ops, &error);
    int is_missing = r == -ENOTSUP && strstr(nv_error_get_message(error), "this build");

    nv_error_free(error);
    return !is_missing;
}

/* In a child: nothing of libnuma may be loaded here before its test. */
static int ask_child(void)
{
    int status;
    pid_t child = fork();

    if (child == 0)
        _exit(is_built_in());
    waitpid(child, &status, 0);
    return WEXITSTATUS(status);
}

static void add_policies(TCase *tcase)
{
    tcase_add_loop_test(tcase, test_each_policy, 0, (int)NV_ARRAY_SIZE(policies));
    tcase_add_test(tcase, test_whole_region);
    tcase_add_loop_test(tcase, test_denied_strictly, 0, (int)NV_ARRAY_SIZE(denials));
    tcase_add_loop_test(tcase, test_denied_gently, 0, (int)NV_ARRAY_SIZE(denials));
    tcase_add_test(tcase, test_strict_is_read_back);
    tcase_add_test(tcase, test_placement);
    tcase_add_test(tcase, test_placement_fails);
    tcase_add_test(tcase, test_old_local);
    tcase_add_test(tcase, test_migrate);
    tcase_add_test(tcase, test_migrate_in_part);
    tcase_add_test(tcase, test_set_fails);
    tcase_add_test(tcase, test_verified_in_build);
    tcase_add_test(tcase, test_misuse_13_cpuset);
}

Suite *nv_test_suite(void)
{
    int has_policies = ask_child();
    Suite *suite = suite_create("numa_policy");
    TCase *tcase = support_case(suite, "policies", 60);

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, test_default_costs_nothing);
    tcase_add_loop_test(tcase, test_misuse_13_absent_or_empty_nodes, 0,
                        (int)NV_ARRAY_SIZE(refused));
    tcase_add_test(tcase, test_misuse_13_node_without_memory);
    tcase_add_test(tcase, test_more_than_there_is);
    tcase_add_test(tcase, test_without_libnuma);
    if (!has_policies)
        return suite;
    add_policies(tcase);
    if (HAS_LIMITS && !support_is_valgrind())
        tcase_add_test(tcase, test_never_ends_the_process);
    return suite;
}
