/* SPDX-License-Identifier: Apache-2.0 */
/* Proves the rules of size-first structures, by themselves and on every public one. */
#include <errno.h>
#include <string.h>

#include "core/structs.h"
#include "fake_kvm.h"
#include "support.h"

/* What a caller of release 1, 2 and 3 would have; the library is release 2. */
struct first {
    uint32_t size, flags, a;
};
struct second {
    uint32_t size, flags, a, b;
};
struct third {
    uint32_t size, flags, a, b, c;
};

static int take(struct second *ours, const void *callers, struct nestvirt_error **e)
{
    return nv_struct_in(ours, sizeof(*ours), sizeof(struct first), callers, "thing", e);
}

START_TEST(test_misuse_04_sizes)
{
    static uint8_t room[8192];
    uint32_t bad[] = { 0, 1, 4, sizeof(struct first) - 1, 4097, 8192, UINT32_MAX };
    struct second ours;

    ck_nv_fails_with(take(&ours, NULL, &error), -EFAULT, "thing");
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        memcpy(room, &bad[i], 4);
        ck_nv_fails_with(take(&ours, room, &error), -EINVAL, "_init");
    }
    bad[0] = 4096; /* the longest there may be */
    memcpy(room, &bad[0], 4);
    ck_nv_ok(take(&ours, room, &error));
    room[4095] = 1;
    ck_nv_fails_with(take(&ours, room, &error), -E2BIG, "4095");
    room[4095] = 0;
    room[4096] = 1; /* behind it: not looked at */
    ck_nv_ok(take(&ours, room, &error));
    room[4096] = 0;
}
END_TEST

START_TEST(test_misuse_04_older_and_newer_callers)
{
    const struct first older = { .size = sizeof(older), .a = 1 };
    const struct second same = { .size = sizeof(same), .a = 1, .b = 2 };
    struct third newer = { .size = sizeof(newer), .a = 1, .b = 2 };
    struct second ours;

    memset(&ours, 0xee, sizeof(ours));
    ck_nv_ok(take(&ours, &older, &error));
    ck_assert_uint_eq(ours.a, 1);
    ck_assert_uint_eq(ours.b, 0); /* what the caller lacks is 0 */
    ck_nv_ok(take(&ours, &same, &error));
    ck_assert_uint_eq(ours.b, 2);
    ck_nv_ok(take(&ours, &newer, &error));
    newer.c = 1 << 24;
    ours.a = 77;
    ck_nv_fails(take(&ours, &newer, &error), -E2BIG);
    ck_assert_uint_eq(ours.a, 77); /* nothing was written */
}
END_TEST

START_TEST(test_output)
{
    const struct second ours = { .size = sizeof(ours), .flags = 4, .a = 1, .b = 2 };
    struct third callers[2];

    memset(callers, 0xee, sizeof(callers));
    callers[0].size = sizeof(struct first);
    ck_nv_ok(nv_struct_out(callers, &ours, sizeof(ours), sizeof(struct first), "thing", &error));
    ck_assert_uint_eq(callers[0].size, sizeof(struct first));
    ck_assert_uint_eq(callers[0].flags, 4);
    ck_assert_uint_eq(callers[0].a, 1);
    ck_assert_uint_eq(callers[0].b, 0xeeeeeeee); /* never past the caller's size */
    callers[0].size = sizeof(struct third);
    ck_nv_ok(nv_struct_out(callers, &ours, sizeof(ours), sizeof(struct first), "thing", &error));
    ck_assert_uint_eq(callers[0].size, sizeof(struct third));
    ck_assert_uint_eq(callers[0].b, 2);
    ck_assert_uint_eq(callers[0].c, 0); /* what the library lacks is 0 */
    ck_assert_uint_eq(callers[1].size, 0xeeeeeeee);
    callers[0].size = 3;
    ck_nv_fails(nv_struct_out(callers, &ours, sizeof(ours), sizeof(struct first), "thing", &error),
                -EINVAL);
    ck_assert_uint_eq(callers[0].b, 2);
}
END_TEST

/* Every _init and the size of its structure. */
typedef void (*init_fn)(void *structure, size_t size);
#define ROW(name)                                                        \
    {                                                                    \
#name, (init_fn)(void (*)(void))name##_init, sizeof(struct name) \
    }

static const struct {
    const char *name;
    init_fn init;
    size_t size;
} structs[] = {
    ROW(nestvirt_host_info),
    ROW(nestvirt_cpuid_entry),
    ROW(nestvirt_vm_config),
    ROW(nestvirt_vm_result),
    ROW(nestvirt_event),
    ROW(nestvirt_memory_config),
    ROW(nestvirt_regs),
    ROW(nestvirt_sregs),
    ROW(nestvirt_exit),
    ROW(nestvirt_flat_config),
    ROW(nestvirt_device_property),
    ROW(nestvirt_ioeventfd_config),
    ROW(nestvirt_numa_config),
    ROW(nestvirt_numa_node),
    ROW(nestvirt_numa_pool),
    ROW(nestvirt_numa_need),
    ROW(nestvirt_memory_placement),
};

START_TEST(test_init_of_each_structure)
{
    uint8_t room[8192];
    uint32_t size;

    structs[_i].init(NULL, 0);
    structs[_i].init(NULL, structs[_i].size);
    for (size_t length = 0; length <= structs[_i].size + 16; length++) {
        memset(room, 0xee, sizeof(room));
        structs[_i].init(room, length);
        for (size_t i = length; i < structs[_i].size + 64; i++)
            ck_assert_msg(room[i] == 0xee, "%s: byte %zu of %zu", structs[_i].name, i, length);
        memcpy(&size, room, 4);
        if (length >= 4)
            ck_assert_uint_eq(size, length);
        if (length >= 8)
            ck_assert_mem_eq(room + 4, "\0\0\0\0", 4); /* flags */
    }
    memset(room, 0xee, sizeof(room));
    structs[_i].init(room, sizeof(room)); /* absurd */
    ck_assert_uint_eq(room[0], 0xee);
}
END_TEST

START_TEST(test_defaults)
{
    struct nestvirt_vm_config config;
    struct nestvirt_ioeventfd_config ioeventfd;

    nestvirt_vm_config_init(&config, sizeof(config));
    ck_assert_uint_eq(config.vcpus, 1);
    ck_assert_uint_eq(config.interrupt_chip, NESTVIRT_CHIP_SPLIT);
    ck_assert_uint_eq(config.memory_size, 0);
    ck_assert_ptr_null(config.name);
    nestvirt_ioeventfd_config_init(&ioeventfd, sizeof(ioeventfd));
    ck_assert_int_eq(ioeventfd.fd, -1);
}
END_TEST

/* Calls that take a structure, with sizes 0, short, exact, long and zero, long and not, 4097. */
static struct nestvirt_host *host;
static struct nestvirt_vm *vm;
static struct nestvirt_vcpu *vcpu;
static struct nestvirt_numa *numa;

static int call_vm_new(void *s, struct nestvirt_error **e)
{
    struct nestvirt_vm *made = NULL;
    int r = nestvirt_vm_new(host, s, &made, e);

    nestvirt_vm_free(made);
    return r;
}

enum { MEMORY_CONFIG_FIRST = 32 }; /* bytes, before it grew */

static int call_memory_add(void *s, struct nestvirt_error **e)
{
    struct nestvirt_memory_config *config = s;
    int r;

    if (config->size >= MEMORY_CONFIG_FIRST) {
        config->address = 1 << 30;
        config->length = 4096;
    }
    r = nestvirt_memory_add(vm, s, e);
    if (r >= 0)
        nestvirt_memory_remove(vm, (uint32_t)r, NULL);
    return r;
}

static int call_flat(void *s, struct nestvirt_error **e)
{
    return nestvirt_boot_set_flat(vm, "/proc/self/exe", s, e);
}

static int call_host_info(void *s, struct nestvirt_error **e)
{
    return nestvirt_host_get_info(host, s, e);
}

static int call_cpuid(void *s, struct nestvirt_error **e)
{
    return nestvirt_host_get_cpuid(host, 0, s, e);
}

static int call_memory_get(void *s, struct nestvirt_error **e)
{
    return nestvirt_memory_get(vm, 0, s, e);
}

static int call_property(void *s, struct nestvirt_error **e)
{
    return nestvirt_device_get_property("serial", 0, s, e);
}

static int call_next_event(void *s, struct nestvirt_error **e)
{
    return nestvirt_vm_next_event(vm, s, e);
}

static int call_numa_new(void *s, struct nestvirt_error **e)
{
    struct nestvirt_numa *made = NULL;
    int r = nestvirt_numa_new(s, &made, e);

    nestvirt_numa_free(made);
    return r;
}

static int call_numa_node(void *s, struct nestvirt_error **e)
{
    return nestvirt_numa_get_node(numa, 0, s, e);
}

static int call_numa_place(void *s, struct nestvirt_error **e)
{
    struct nestvirt_numa_need *need = s;

    if (need->size >= sizeof(*need)) {
        need->flags = need->reserved = need->vcpus = 0;
        need->memory = 1;
        need->page_size = 0;
    }
    return nestvirt_numa_get_place(numa, s, e);
}

static const struct {
    const char *name;
    int (*call)(void *structure, struct nestvirt_error **ret_error);
    init_fn init;
    size_t size;
    size_t first; /* its size in the first release */
    bool is_input;
} takers[] = {
#define GROWN(fn, structure, first, is_in)                                                         \
    {                                                                                              \
#fn, fn, (init_fn)(void (*)(void))structure##_init, sizeof(struct structure), first, is_in \
    }
#define TAKER(fn, structure, is_in) GROWN(fn, structure, sizeof(struct structure), is_in)
    TAKER(call_vm_new, nestvirt_vm_config, true),
    GROWN(call_memory_add, nestvirt_memory_config, MEMORY_CONFIG_FIRST, true),
    TAKER(call_flat, nestvirt_flat_config, true),
    TAKER(call_host_info, nestvirt_host_info, false),
    TAKER(call_cpuid, nestvirt_cpuid_entry, false),
    GROWN(call_memory_get, nestvirt_memory_config, MEMORY_CONFIG_FIRST, false),
    TAKER(call_property, nestvirt_device_property, false),
    TAKER(call_next_event, nestvirt_event, false),
    TAKER(call_numa_new, nestvirt_numa_config, true),
    TAKER(call_numa_node, nestvirt_numa_node, false),
    TAKER(call_numa_place, nestvirt_numa_need, true),
};

static void setup(void)
{
    fake_kvm_reset();
    host = fake_kvm_host();
    vm = fake_kvm_vm(host, 0, NESTVIRT_CHIP_SPLIT, 1);
    ck_nv_ok(nestvirt_numa_new(NULL, &numa, &error));
}

static void teardown(void)
{
    ck_assert_int_eq(nestvirt_numa_free(numa), 0);
    ck_assert_int_eq(nestvirt_vm_free(vm), 0);
    ck_assert_int_eq(nestvirt_host_free(host), 0);
}

static void set_size(uint8_t *room, uint32_t size)
{
    memcpy(room, &size, 4);
}

START_TEST(test_misuse_04_each_call_with_a_structure)
{
    _Alignas(16) uint8_t room[8192];
    size_t size = takers[_i].size;

    takers[_i].init(room, size);
    set_size(room, 0);
    ck_nv_fails(takers[_i].call(room, &error), -EINVAL);
    set_size(room, (uint32_t)takers[_i].first - 1);
    ck_nv_fails(takers[_i].call(room, &error), -EINVAL);
    memset(room + takers[_i].first, 0xee, 16);
    set_size(room, (uint32_t)takers[_i].first);
    ck_nv_ok(takers[_i].call(room, &error));
    for (size_t i = 0; i < 16; i++)
        ck_assert_uint_eq(room[takers[_i].first + i], 0xee);
    takers[_i].init(room, size);
    set_size(room, (uint32_t)size);
    memset(room + size, 0xee, 16);
    ck_nv_ok(takers[_i].call(room, &error));
    for (size_t i = size; i < size + 16; i++)
        ck_assert_uint_eq(room[i], 0xee);
    memset(room + size, 0, 16);
    set_size(room, (uint32_t)size + 16);
    ck_nv_ok(takers[_i].call(room, &error));
    room[size + 15] = 1;
    if (takers[_i].is_input)
        ck_nv_fails(takers[_i].call(room, &error), -E2BIG);
    set_size(room, 4097);
    ck_nv_fails(takers[_i].call(room, &error), -EINVAL);
}
END_TEST

START_TEST(test_misuse_04_registers_and_results)
{
    struct nestvirt_regs regs;
    struct nestvirt_sregs sregs;
    struct nestvirt_vm_result result;

    ck_nv_ok(nestvirt_vm_build(vm, &error));
    ck_nv_ok(nestvirt_vm_get_vcpu(vm, 0, &vcpu, &error));
    memset(&regs, 0, sizeof(regs));
    memset(&sregs, 0, sizeof(sregs));
    memset(&result, 0, sizeof(result));
    ck_nv_fails(nestvirt_vcpu_get_regs(vcpu, &regs, &error), -EINVAL);
    ck_nv_fails(nestvirt_vcpu_set_regs(vcpu, &regs, &error), -EINVAL);
    ck_nv_fails(nestvirt_vcpu_get_sregs(vcpu, &sregs, &error), -EINVAL);
    ck_nv_fails(nestvirt_vcpu_set_sregs(vcpu, &sregs, &error), -EINVAL);
    ck_nv_fails(nestvirt_vm_wait(vm, 0, &result, &error), -EINVAL);
    regs.size = sizeof(regs);
    sregs.size = sizeof(sregs);
    regs.flags = sregs.flags = 1;
    ck_nv_fails(nestvirt_vcpu_set_regs(vcpu, &regs, &error), -EINVAL);
    ck_nv_fails(nestvirt_vcpu_set_sregs(vcpu, &sregs, &error), -EINVAL);
}
END_TEST

Suite *nv_test_suite(void)
{
    Suite *suite = suite_create("core_structs");
    TCase *rules = support_case(suite, "rules", 30);
    TCase *calls = support_case(suite, "calls", 30);

    tcase_add_test(rules, test_misuse_04_sizes);
    tcase_add_test(rules, test_misuse_04_older_and_newer_callers);
    tcase_add_test(rules, test_output);
    tcase_add_loop_test(rules, test_init_of_each_structure, 0,
                        sizeof(structs) / sizeof(structs[0]));
    tcase_add_test(rules, test_defaults);
    tcase_add_checked_fixture(calls, setup, teardown);
    tcase_add_loop_test(calls, test_misuse_04_each_call_with_a_structure, 0,
                        sizeof(takers) / sizeof(takers[0]));
    tcase_add_test(calls, test_misuse_04_registers_and_results);
    return suite;
}
