/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the tests of the report on real KVM: what it says is so, and VMs cost what plans say. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "guests.h"
#include "leak.h"
#include "support.h"

enum { VMS = 8, DISK_SIZE = 1 << 20 };

static struct nestvirt_host *host;

static struct nestvirt_report_item item_of(const struct nestvirt_report *report, const char *name)
{
    struct nestvirt_report_item item;

    nestvirt_report_item_init(&item, sizeof(item));
    ck_nv_ok(nestvirt_report_get_named(report, name, &item, &error));
    return item;
}

static uint32_t answer_of(int is_so)
{
    return is_so ? NESTVIRT_ANSWER_YES : NESTVIRT_ANSWER_NO;
}

START_TEST(test_agrees_with_the_host)
{
    struct nestvirt_report *report;
    struct nestvirt_host_info info;

    nestvirt_host_info_init(&info, sizeof(info));
    ck_nv_ok(nestvirt_host_get_info(host, &info, &error));
    ck_nv_ok(nestvirt_report_new(NULL, &report, &error));
    ck_assert_uint_eq(item_of(report, "device.kvm").answer, NESTVIRT_ANSWER_YES);
    ck_assert_uint_eq(item_of(report, "kvm.api_version").number, info.api_version);
    ck_assert_uint_eq(item_of(report, "kvm.recommended_vcpus").number, info.recommended_vcpus);
    ck_assert_uint_eq(item_of(report, "kvm.memory_slots").number, info.max_memory_slots);
    ck_assert_uint_eq(item_of(report, "kvm.irqfd").answer,
                      answer_of(info.features & NESTVIRT_HOST_IRQFD));
    ck_assert_uint_eq(item_of(report, "kvm.interpreted").answer,
                      answer_of(info.features & NESTVIRT_HOST_INTERPRETED));
    ck_assert_uint_eq(item_of(report, "nested.vmx").answer,
                      answer_of(info.features & NESTVIRT_HOST_NESTED_VMX));
    ck_assert_uint_eq(item_of(report, "nested.svm").answer,
                      answer_of(info.features & NESTVIRT_HOST_NESTED_SVM));
    ck_assert_int_eq(nestvirt_report_free(report), 0);
}
END_TEST

/* The switch is refused, or its guests see what they were promised. */
START_TEST(test_nested_switch)
{
    struct nestvirt_vm_config config;
    struct nestvirt_host_info info;
    struct nestvirt_vm *vm = NULL;

    nestvirt_host_info_init(&info, sizeof(info));
    ck_nv_ok(nestvirt_host_get_info(host, &info, &error));
    nestvirt_vm_config_init(&config, sizeof(config));
    config.flags = NESTVIRT_VM_NESTED;
    config.memory_size = 1 << 20;
    if (info.features & (NESTVIRT_HOST_NESTED_VMX | NESTVIRT_HOST_NESTED_SVM)) {
        ck_nv_ok(nestvirt_vm_new(host, &config, &vm, &error));
        ck_nv_ok(nestvirt_vm_build(vm, &error));
        ck_assert_int_eq(nestvirt_vm_free(vm), 0);
        return;
    }
    ck_nv_fails_with(nestvirt_vm_new(host, &config, &vm, &error), -ENOTSUP, "nested=1");
    ck_assert_ptr_null(vm);
}
END_TEST

static int count_mappings(void)
{
    FILE *maps = fopen("/proc/self/maps", "re");
    int count = 0;
    int c;

    ck_assert_ptr_nonnull(maps);
    while ((c = fgetc(maps)) != EOF)
        count += c == '\n';
    fclose(maps);
    return count;
}

/* All threads, KVM's own too, which counts for limits. */
static int count_tasks(void)
{
    FILE *status = fopen("/proc/self/status", "re");
    char line[256];
    int count = -1;

    ck_assert_ptr_nonnull(status);
    while (fgets(line, sizeof(line), status))
        sscanf(line, "Threads: %d", &count);
    fclose(status);
    return count;
}

static struct nestvirt_plan plan_of(uint32_t vcpus, uint32_t devices)
{
    struct nestvirt_plan_config config;
    struct nestvirt_plan plan;
    struct nestvirt_report *report;

    nestvirt_plan_config_init(&config, sizeof(config));
    nestvirt_plan_init(&plan, sizeof(plan));
    config.vms = VMS;
    config.memory_size = 1 << 20;
    config.vcpus = vcpus;
    config.devices = devices;
    config.files = 1; /* the guest's image */
    ck_nv_ok(nestvirt_report_new(NULL, &report, &error));
    ck_nv_ok(nestvirt_report_get_plan(report, &config, &plan, &error));
    ck_assert_int_eq(nestvirt_report_free(report), 0);
    return plan;
}

static void add_device(struct nestvirt_vm *vm, const char *kind, int disk)
{
    struct nestvirt_device *device;

    ck_nv_ok(nestvirt_device_add(vm, kind, &device, &error));
    if (strcmp(kind, "blk") == 0) {
        ck_nv_ok(nestvirt_device_set_fd(device, "fd", disk, &error));
        ck_nv_ok(nestvirt_device_set_u64(device, "lock", 0, &error));
    }
}

static const char *const kinds[] = { "blk", "rng", "balloon", "console" };
enum { KINDS = sizeof(kinds) / sizeof(kinds[0]) };

/* What idle VMs really take is at most what a plan says. */
static void check_costs(uint32_t vcpus, uint32_t devices, int disk)
{
    const struct nestvirt_plan plan = plan_of(vcpus, devices);
    const struct leak_count before = leak_count();
    const int mappings = count_mappings();
    const int tasks = count_tasks();
    struct nestvirt_vm *vms[VMS];
    struct leak_count after;

    for (int i = 0; i < VMS; i++) {
        vms[i] = GUEST_NEW(host, halt, .vcpus = vcpus);
        for (uint32_t j = 0; j < devices; j++)
            add_device(vms[i], kinds[j], disk);
        guest_start(vms[i]);
    }
    usleep(200000); /* KVM's own thread starts with the first run */
    after = leak_count();
    printf(
        "%u vCPUs, %u devices: %d of %llu descriptors, %d of %llu mappings, %d of %llu threads\n",
        vcpus, devices, after.fds - before.fds, (unsigned long long)plan.descriptors,
        count_mappings() - mappings, (unsigned long long)plan.mappings, count_tasks() - tasks,
        (unsigned long long)plan.threads);
    ck_assert_int_le(after.fds - before.fds, (int)plan.descriptors);
    ck_assert_int_le(count_mappings() - mappings, (int)plan.mappings);
    ck_assert_int_le(count_tasks() - tasks, (int)plan.threads);
    if (devices == 0) /* and not much less either */
        ck_assert_int_ge(2 * (after.fds - before.fds), (int)plan.descriptors);
    for (int i = 0; i < VMS; i++)
        ck_assert_int_eq(nestvirt_vm_free(vms[i]), 0);
}

START_TEST(test_costs_of_vms)
{
    int disk = memfd_create("disk", MFD_CLOEXEC);

    ck_assert_int_eq(ftruncate(disk, DISK_SIZE), 0);
    check_costs(1, 0, disk);
    check_costs(2, 0, disk);
    for (uint32_t devices = 1; devices <= KINDS; devices++)
        check_costs(1, devices, disk);
    close(disk);
}
END_TEST

Suite *nv_test_suite(void)
{
    Suite *suite = suite_create("kvm_report");
    TCase *tcase = support_case(suite, "report", 60);

    host = support_host();
    tcase_add_test(tcase, test_agrees_with_the_host);
    tcase_add_test(tcase, test_nested_switch);
    tcase_add_test(tcase, test_costs_of_vms);
    return suite;
}
