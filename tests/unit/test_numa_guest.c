/* SPDX-License-Identifier: Apache-2.0 */
/* Proves the guest's NUMA nodes: adding and checking them, and the SRAT and SLIT that tell them. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "boot/boot.h"
#include "core/util.h"
#include "fake_kvm.h"
#include "memory/layout.h"
#include "support.h"
#include "vm/vm.h"

enum { HEADER_SIZE = 36, SRAT_ENTRIES = 48, SLIT_ENTRIES = 44 };

enum { SRAT_LAPIC = 0, SRAT_MEMORY = 1, SRAT_X2APIC = 2 };

static struct nestvirt_host *host;
static struct nestvirt_vm *vm;
static struct nv_boot_nodes nodes;
static struct nv_memory memory;

static void setup(void)
{
    int kernel = memfd_create("kernel", MFD_CLOEXEC);

    fake_kvm_reset();
    host = fake_kvm_host();
    vm = fake_kvm_vm(host, 0, NESTVIRT_CHIP_SPLIT, 4);
    ck_nv_ok(nestvirt_boot_set_kernel_fd(vm, kernel, NESTVIRT_KERNEL_AUTO, &error));
    ck_nv_ok(nestvirt_boot_set_discovery(vm, NESTVIRT_DISCOVERY_ACPI, &error));
    close(kernel);
    memset(&nodes, 0, sizeof(nodes));
    nv_memory_init(&memory);
}

static void teardown(void)
{
    nv_memory_destroy(&memory, true);
    ck_assert_int_eq(nestvirt_vm_free(vm), 0);
    ck_assert_int_eq(nestvirt_host_free(host), 0);
}

static void add_region(uint64_t address, uint32_t guest_node)
{
    struct nestvirt_memory_config config;

    nestvirt_memory_config_init(&config, sizeof(config));
    config.address = address;
    config.length = NV_MIB(1);
    config.guest_node = guest_node;
    ck_nv_ok(nestvirt_memory_add(vm, &config, &error));
}

/* True if a problem of the VM contains the text; validate must find count of them. */
static int finds(const char *text, int count)
{
    struct nestvirt_error *list = NULL;
    int found = 0;
    int r = nestvirt_vm_validate(vm, &list);

    ck_assert_int_eq(r, count == 0 ? 0 : count == 1 ? -EINVAL : NESTVIRT_E_INVALID_VM);
    for (const struct nestvirt_error *e = list; e; e = nestvirt_error_get_next(e), count--)
        found |= strstr(nestvirt_error_get_message(e), text) != NULL;
    ck_assert_int_eq(count, 0);
    nestvirt_error_free(list);
    return found;
}

START_TEST(test_nodes)
{
    ck_assert_int_eq(nestvirt_numa_add_guest_node(vm, "0-1", NULL), 0);
    ck_assert_int_eq(nestvirt_numa_add_guest_node(vm, "2,3", NULL), 1);
    ck_assert_int_eq(nestvirt_numa_add_guest_node(vm, NULL, NULL), 2);
    add_region(NV_MIB(16), 1);
    add_region(NV_MIB(32), 2);
    finds("", 0);
    ck_nv_ok(nestvirt_numa_set_guest_distance(vm, 0, 1, 11, &error));
    ck_nv_ok(nestvirt_numa_set_guest_distance(vm, 2, 0, 254, &error));
    ck_nv_ok(nestvirt_numa_set_guest_distance(vm, 2, 2, 10, &error));
}
END_TEST

static const struct {
    const char *vcpus;
    const char *text;
} bad_nodes[] = {
    { "", "vCPU list \"\": is empty" },
    { "0-", "vCPU list \"0-\": is malformed" },
    { "one", "malformed" },
    { "4", "vCPU 4 does not exist: the VM has 4" },
    { "0-9", "vCPU 4 does not exist" },
    { "8191", "vCPU 8191 does not exist" },
};

START_TEST(test_bad_nodes)
{
    ck_nv_fails_with(nestvirt_numa_add_guest_node(vm, bad_nodes[_i].vcpus, &error), -EINVAL,
                     bad_nodes[_i].text);
    finds("", 0); /* and there is none */
    ck_nv_fails(nestvirt_numa_add_guest_node(NULL, "0", &error), -EFAULT);
}
END_TEST

START_TEST(test_bad_distances)
{
    ck_nv_fails_with(nestvirt_numa_set_guest_distance(vm, 0, 0, 10, &error), -ENOENT,
                     "there are 0");
    ck_nv_ok(nestvirt_numa_add_guest_node(vm, "0-1", &error));
    ck_nv_ok(nestvirt_numa_add_guest_node(vm, "2-3", &error));
    ck_nv_fails_with(nestvirt_numa_set_guest_distance(vm, 2, 0, 20, &error), -ENOENT,
                     "guest node 2");
    ck_nv_fails_with(nestvirt_numa_set_guest_distance(vm, 0, 3, 20, &error), -ENOENT,
                     "guest node 3");
    ck_nv_fails_with(nestvirt_numa_set_guest_distance(vm, 0, 1, 10, &error), -EINVAL,
                     "use 11 to 254");
    ck_nv_fails(nestvirt_numa_set_guest_distance(vm, 0, 1, 255, &error), -EINVAL);
    ck_nv_fails(nestvirt_numa_set_guest_distance(vm, 0, 1, 0, &error), -EINVAL);
    ck_nv_fails(nestvirt_numa_set_guest_distance(vm, 0, 1, 256 + 20, &error), -EINVAL);
    ck_nv_fails_with(nestvirt_numa_set_guest_distance(vm, 1, 1, 20, &error), -EINVAL,
                     "distance 10 of itself");
    ck_nv_fails(nestvirt_numa_set_guest_distance(NULL, 0, 1, 20, &error), -EFAULT);
}
END_TEST

START_TEST(test_too_many_nodes)
{
    for (int i = 0; i < NESTVIRT_GUEST_NODES_MAX; i++)
        ck_assert_int_eq(nestvirt_numa_add_guest_node(vm, NULL, NULL), i);
    ck_nv_fails_with(nestvirt_numa_add_guest_node(vm, NULL, &error), -ENOSPC, "at most 64");
}
END_TEST

/* Only a new VM has its nodes to choose. */
START_TEST(test_state)
{
    ck_nv_ok(nestvirt_numa_add_guest_node(vm, "0-3", &error));
    vm->state = NESTVIRT_STATE_BUILT;
    ck_nv_fails(nestvirt_numa_add_guest_node(vm, "0", &error), -EBUSY);
    ck_nv_fails(nestvirt_numa_set_guest_distance(vm, 0, 0, 10, &error), -EBUSY);
    vm->state = NESTVIRT_STATE_NEW;
}
END_TEST

/* Everything that is wrong at once. */
START_TEST(test_validate)
{
    add_region(NV_MIB(16), 1);
    ck_assert(finds("memory region 1: is in guest node 1, and there are 0", 1));
    ck_nv_ok(nestvirt_numa_add_guest_node(vm, "0,2", &error));
    ck_nv_ok(nestvirt_numa_add_guest_node(vm, "2,3", &error));
    ck_assert(finds("vcpu 1: is in none of the guest's 2 nodes", 2));
    ck_assert(finds("vcpu 2: is in guest nodes 0 and 1", 2));
    ck_nv_ok(nestvirt_numa_add_guest_node(vm, NULL, &error));
    ck_assert(finds("guest node 2: has neither vCPUs nor memory", 3));
    add_region(NV_MIB(32), UINT32_MAX);
    ck_assert(finds("memory region 2: is in guest node 4294967295, and there are 3", 4));
    ck_nv_ok(nestvirt_boot_set_discovery(vm, NESTVIRT_DISCOVERY_MPTABLE, &error));
    ck_assert(finds("has guest nodes, and no ACPI tables", 5));
    ck_assert_int_eq(nestvirt_vm_build(vm, NULL), NESTVIRT_E_INVALID_VM);
}
END_TEST

START_TEST(test_validate_flat)
{
    struct nestvirt_flat_config flat;
    int image = memfd_create("flat", MFD_CLOEXEC);

    ck_nv_ok(nestvirt_numa_add_guest_node(vm, "0-3", &error));
    finds("", 0);
    nestvirt_flat_config_init(&flat, sizeof(flat));
    flat.address = 0x1000;
    ck_nv_ok(nestvirt_boot_set_flat_fd(vm, image, &flat, &error));
    close(image);
    ck_assert(finds("no ACPI tables", 1));
}
END_TEST

static uint8_t sum(const uint8_t *bytes, size_t length)
{
    uint8_t total = 0;

    while (length--)
        total = (uint8_t)(total + *bytes++);
    return total;
}

/* The table of a signature, by way of RSDP and XSDT; NULL if there is none. */
static const uint8_t *find_table(const char *signature)
{
    const uint8_t *rsdp = nv_memory_at(&memory, nv_gpa_at(NV_LAYOUT_ACPI), 36);
    const uint8_t *xsdt = nv_memory_at(&memory, nv_gpa_at(nv_get_le64(rsdp + 24)), HEADER_SIZE);
    uint32_t count = (nv_get_le32(xsdt + 4) - HEADER_SIZE) / 8;

    for (uint32_t i = 0; i < count; i++) {
        uint64_t address = nv_get_le64(xsdt + HEADER_SIZE + 8ull * i);
        const uint8_t *table = nv_memory_at(&memory, nv_gpa_at(address), HEADER_SIZE);

        if (memcmp(table, signature, 4) != 0)
            continue;
        ck_assert_uint_eq(sum(table, nv_get_le32(table + 4)), 0);
        return table;
    }
    return NULL;
}

/* The n-th structure of a type in the SRAT; NULL behind the last one. */
static const uint8_t *find_entry(uint8_t type, uint32_t n)
{
    static const uint8_t lengths[] = { 16, 40, 24 };
    const uint8_t *srat = find_table("SRAT");
    const uint8_t *end = srat + nv_get_le32(srat + 4);
    const uint8_t *entry = srat + SRAT_ENTRIES;

    for (; entry < end; entry += entry[1]) {
        ck_assert_uint_le(entry[0], SRAT_X2APIC);
        ck_assert_uint_eq(entry[1], lengths[entry[0]]);
        if (entry[0] == type && n-- == 0)
            return entry;
    }
    ck_assert_ptr_eq(entry, end);
    return NULL;
}

/* Two nodes with memory below and above the gap, a third of memory only. */
static void write_tables(uint32_t vcpus)
{
    struct nv_boot_machine machine = { .vcpus = vcpus, .has_irqchip = true, .nodes = &nodes };
    const struct nestvirt_memory_config regions[] = {
        { .size = sizeof(regions[0]), .length = NV_MIB(64) },
        { .size = sizeof(regions[0]), .address = NV_MIB(64), .length = NV_MIB(8), .guest_node = 1 },
        { .size = sizeof(regions[0]), .address = NV_GIB(8), .length = NV_GIB(5), .guest_node = 2 },
    };

    for (size_t i = 0; i < NV_ARRAY_SIZE(regions); i++)
        ck_nv_ok(nv_memory_add(&memory, &regions[i], &error));
    nodes.count = 3;
    for (uint32_t i = 0; i < vcpus; i++)
        nv_set_add(&nodes.vcpus[i % 2], i);
    nodes.distance[0][1] = 31;
    nodes.distance[0][2] = 40;
    nodes.distance[2][0] = 41;
    ck_nv_ok(nv_acpi_write(&machine, &memory, &error));
}

START_TEST(test_srat)
{
    static const uint8_t first[16] = { 0, 16, 0, 0, 1 };
    static const uint8_t fourth[16] = { 0, 16, 1, 3, 1 };
    static const uint8_t memories[3][40] = {
        { 1, 40, 0, 0, 0, 0, 0, 0, [19] = 4, [28] = 1 },
        { 1, 40, 1, 0, 0, 0, 0, 0, [11] = 4, [18] = 0x80, [28] = 1 },
        { 1, 40, 2, 0, 0, 0, 0, 0, [12] = 2, [19] = 0x40, [20] = 1, [28] = 1 },
    };

    write_tables(4);
    ck_assert_uint_eq(find_table("SRAT")[8], 3);
    ck_assert_uint_eq(nv_get_le32(find_table("SRAT") + 36), 1);
    ck_assert_mem_eq(find_entry(SRAT_LAPIC, 0), first, sizeof(first));
    ck_assert_mem_eq(find_entry(SRAT_LAPIC, 3), fourth, sizeof(fourth));
    ck_assert_ptr_null(find_entry(SRAT_LAPIC, 4));
    ck_assert_ptr_null(find_entry(SRAT_X2APIC, 0));
    for (uint32_t i = 0; i < 3; i++)
        ck_assert_mem_eq(find_entry(SRAT_MEMORY, i), memories[i], sizeof(memories[i]));
    ck_assert_ptr_null(find_entry(SRAT_MEMORY, 3));
}
END_TEST

/* Ids above 254 have the longer structure. */
START_TEST(test_srat_of_many)
{
    static const uint8_t last[24] = { 2, 24, [4] = 1, [8] = 0x2b, [9] = 1, [12] = 1 };

    write_tables(300);
    ck_assert_ptr_nonnull(find_entry(SRAT_LAPIC, 254));
    ck_assert_ptr_null(find_entry(SRAT_LAPIC, 255));
    ck_assert_ptr_nonnull(find_entry(SRAT_X2APIC, 44));
    ck_assert_ptr_null(find_entry(SRAT_X2APIC, 45));
    ck_assert_mem_eq(find_entry(SRAT_X2APIC, 44), last, sizeof(last));
}
END_TEST

START_TEST(test_slit)
{
    static const uint8_t matrix[] = { 10, 31, 40, 31, 10, 20, 41, 20, 10 };
    const uint8_t *slit;

    write_tables(2);
    slit = find_table("SLIT");
    ck_assert_uint_eq(slit[8], 1);
    ck_assert_uint_eq(nv_get_le32(slit + 4), SLIT_ENTRIES + sizeof(matrix));
    ck_assert_uint_eq(nv_get_le64(slit + HEADER_SIZE), 3);
    ck_assert_mem_eq(slit + SLIT_ENTRIES, matrix, sizeof(matrix));
}
END_TEST

/* A region of the default layout is two pieces of the same node. */
START_TEST(test_split_region)
{
    struct nv_boot_machine machine = { .vcpus = 1, .has_irqchip = true, .nodes = &nodes };
    const struct nestvirt_memory_config region = { .size = sizeof(region),
                                                   .flags = NESTVIRT_MEMORY_DEFAULT_LAYOUT,
                                                   .length = NV_GIB(4) };

    nodes.count = 1;
    nv_set_add(&nodes.vcpus[0], 0);
    ck_nv_ok(nv_memory_add(&memory, &region, &error));
    ck_nv_ok(nv_acpi_write(&machine, &memory, &error));
    ck_assert_uint_eq(nv_get_le64(find_entry(SRAT_MEMORY, 0) + 16), NV_GIB(3));
    ck_assert_uint_eq(nv_get_le64(find_entry(SRAT_MEMORY, 1) + 8), NV_GIB(4));
    ck_assert_uint_eq(nv_get_le64(find_entry(SRAT_MEMORY, 1) + 16), NV_GIB(1));
    machine.nodes = NULL;
    ck_nv_ok(nv_acpi_write(&machine, &memory, &error));
    ck_assert_ptr_null(find_table("SRAT"));
    ck_assert_ptr_null(find_table("SLIT"));
}
END_TEST

START_TEST(test_largest)
{
    struct nv_boot_machine machine = { .vcpus = 254, .has_irqchip = true, .nodes = &nodes };
    const struct nestvirt_memory_config region = { .size = sizeof(region), .length = NV_MIB(1) };

    ck_nv_ok(nv_memory_add(&memory, &region, &error));
    nodes.count = NESTVIRT_GUEST_NODES_MAX;
    for (uint32_t i = 0; i < 254; i++)
        nv_set_add(&nodes.vcpus[i % NESTVIRT_GUEST_NODES_MAX], i);
    ck_nv_ok(nv_acpi_write(&machine, &memory, &error));
    ck_assert_uint_eq(nv_get_le32(find_table("SLIT") + 4), SLIT_ENTRIES + 64 * 64);
    ck_assert_ptr_nonnull(find_entry(SRAT_LAPIC, 253));
}
END_TEST

/* Lets iasl take a table apart; returns what it wrote. */
static char *take_apart(const char *folder, const char *signature)
{
    const uint8_t *table = find_table(signature);
    char command[256];
    char *text = calloc(1, 65536);
    FILE *file;

    snprintf(command, sizeof(command), "%s/%s.dat", folder, signature);
    file = fopen(command, "we");
    ck_assert_ptr_nonnull(file);
    ck_assert_uint_eq(fwrite(table, 1, nv_get_le32(table + 4), file), nv_get_le32(table + 4));
    fclose(file);
    snprintf(command, sizeof(command), "cd %s && iasl -d %s.dat >output 2>&1 && cat %s.dsl", folder,
             signature, signature);
    file = popen(command, "re");
    ck_assert_ptr_nonnull(file);
    ck_assert_uint_lt(fread(text, 1, 65535, file), 65535);
    ck_assert_msg(pclose(file) == 0, "iasl (package acpica-tools) failed");
    return text;
}

START_TEST(test_iasl)
{
    static const char *const words[] = {
        "Subtable Type : 00 [Processor Local APIC/SAPIC Affinity]",
        "Subtable Type : 01 [Memory Affinity]",
        "Base Address : 0000000200000000",
        "Address Length : 0000000140000000",
        "Proximity Domain : 00000002",
        "Enabled : 1",
    };
    char folder[] = "/tmp/nv_srat_XXXXXX";
    char command[64];
    char *text;

    write_tables(2);
    ck_assert_ptr_nonnull(mkdtemp(folder));
    text = take_apart(folder, "SRAT");
    for (size_t i = 0; i < NV_ARRAY_SIZE(words); i++)
        ck_assert_msg(strstr(text, words[i]), "no \"%s\" in %s", words[i], text);
    ck_assert_msg(!strstr(text, "rror") && !strstr(text, "Unknown"), "%s", text);
    free(text);
    text = take_apart(folder, "SLIT");
    ck_assert_msg(strstr(text, "Localities : 0000000000000003"), "%s", text);
    ck_assert_msg(strstr(text, "0A 1F 28"), "%s", text);
    ck_assert_msg(!strstr(text, "rror"), "%s", text);
    free(text);
    snprintf(command, sizeof(command), "rm -r %s", folder);
    ck_assert_int_eq(system(command), 0);
}
END_TEST

Suite *nv_test_suite(void)
{
    Suite *suite = suite_create("numa_guest");
    TCase *api = support_case(suite, "nodes", 30);
    TCase *tables = support_case(suite, "tables", 120);

    tcase_add_checked_fixture(api, setup, teardown);
    tcase_add_test(api, test_nodes);
    tcase_add_loop_test(api, test_bad_nodes, 0, (int)NV_ARRAY_SIZE(bad_nodes));
    tcase_add_test(api, test_bad_distances);
    tcase_add_test(api, test_too_many_nodes);
    tcase_add_test(api, test_state);
    tcase_add_test(api, test_validate);
    tcase_add_test(api, test_validate_flat);
    tcase_add_checked_fixture(tables, setup, teardown);
    tcase_add_test(tables, test_srat);
    tcase_add_test(tables, test_srat_of_many);
    tcase_add_test(tables, test_slit);
    tcase_add_test(tables, test_split_region);
    tcase_add_test(tables, test_largest);
    tcase_add_test(tables, test_iasl);
    return suite;
}
