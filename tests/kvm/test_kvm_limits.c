/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the tests of limits that many VMs run into: the next one fails with the limit's own code
 * and a text that names it, all others live on, and after one is freed a new one starts.
 *
 * Each has a process of its own, on which the limit is set.
 */
#include <errno.h>
#include <grp.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "limit.h"
#include "support.h"

enum {
    OTHER_USER = 54321, /* one that has no threads */
    PAGE = 4096
};

static int set_limit(int resource, rlim_t value)
{
    const struct rlimit limit = { .rlim_cur = value, .rlim_max = value };

    return setrlimit((__rlimit_resource_t)resource, &limit);
}

static int set_files(void)
{
    return set_limit(RLIMIT_NOFILE, 64);
}

START_TEST(test_fault_12_open_files)
{
    limit_check(&(struct limit){ .set = set_files, .code = -EMFILE, .text = "ulimit -n" });
}
END_TEST

/* Another user, for root is above this limit; the last of its capabilities go with the user. */
static int set_threads(rlim_t count)
{
    if (set_limit(RLIMIT_NPROC, count) < 0 || setgroups(0, NULL) < 0 ||
        setresgid(OTHER_USER, OTHER_USER, OTHER_USER) < 0)
        return -1;
    return setresuid(OTHER_USER, OTHER_USER, OTHER_USER);
}

/* The main thread; and of each VM two, KVM's and the vCPU's: with these the latter is too many. */
static int set_even_threads(void)
{
    return set_threads(40);
}

START_TEST(test_misuse_11_threads_of_a_user)
{
    limit_check(&(struct limit){ .set = set_even_threads, .code = -EAGAIN, .text = "ulimit -u" });
}
END_TEST

static int set_odd_threads(void)
{
    return set_threads(41);
}

START_TEST(test_misuse_11_thread_of_kvm)
{
    struct limit limit = { .set = set_odd_threads, .code = -EAGAIN, .text = "ulimit -u" };

    limit_check(&limit);
}
END_TEST

/* Every other page is read-only, so that none of them joins its neighbours. */
static int use_mappings(void)
{
    enum { LEFT = 80 };
    FILE *file = fopen("/proc/sys/vm/max_map_count", "re");
    size_t count = 0;
    uint8_t *pages;

    if (!file || fscanf(file, "%zu", &count) != 1 || count < 2 * LEFT)
        return -1;
    fclose(file);
    count -= LEFT;
    pages = mmap(NULL, count * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (pages == MAP_FAILED)
        return -1;
    for (size_t i = 0; i + 30 < count; i += 2)
        if (mprotect(pages + i * PAGE, PAGE, PROT_READ) < 0)
            return errno == ENOMEM ? 0 : -1;
    return 0;
}

START_TEST(test_fault_mappings)
{
    limit_check(
        &(struct limit){ .set = use_mappings, .code = -ENOMEM, .text = "vm.max_map_count" });
}
END_TEST

static int set_addresses(void)
{
    FILE *file = fopen("/proc/self/statm", "re");
    unsigned long pages = 0;

    if (!file || fscanf(file, "%lu", &pages) != 1)
        return -1;
    fclose(file);
    return set_limit(RLIMIT_AS, pages * PAGE + (400ul << 20));
}

START_TEST(test_fault_11_address_space)
{
    limit_check(&(struct limit){
        .set = set_addresses, .code = -ENOMEM, .text = "ulimit -v", .memory = 24 << 20 });
}
END_TEST

/* What is asked to be there at once is weighed too. */
START_TEST(test_prefault_beyond_memory)
{
    struct nestvirt_host *host = support_host();
    struct nestvirt_memory_config memory;
    struct nestvirt_vm *vm;

    ck_nv_ok(nestvirt_vm_new(host, NULL, &vm, &error));
    nestvirt_memory_config_init(&memory, sizeof(memory));
    memory.flags = NESTVIRT_MEMORY_DEFAULT_LAYOUT | NESTVIRT_MEMORY_PREFAULT;
    memory.length = (uint64_t)sysconf(_SC_PHYS_PAGES) * PAGE;
    ck_nv_ok(nestvirt_memory_add(vm, &memory, &error));
    ck_nv_fails_with(nestvirt_vm_build(vm, &error), -ENOMEM, "the host's memory");
    ck_assert_int_eq(nestvirt_vm_get_state(vm), NESTVIRT_STATE_NEW);
    ck_assert_int_eq(nestvirt_vm_free(vm), 0);
    nestvirt_host_free(host);
}
END_TEST

Suite *nv_test_suite(void)
{
    Suite *suite = suite_create("kvm_limits");
    TCase *tcase = support_case(suite, "limits", 60);

    nestvirt_host_free(support_host());
    if (geteuid() != 0)
        support_skip("setting limits of another user needs root");
    limit_begin();
    tcase_add_test(tcase, test_fault_12_open_files);
    tcase_add_test(tcase, test_misuse_11_threads_of_a_user);
    tcase_add_test(tcase, test_misuse_11_thread_of_kvm);
    tcase_add_test(tcase, test_fault_mappings);
    tcase_add_test(tcase, test_fault_11_address_space);
    tcase_add_test(tcase, test_prefault_beyond_memory);
    return suite;
}
