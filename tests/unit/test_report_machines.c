/* SPDX-License-Identifier: Apache-2.0 */
/* Proves what the report says of recorded machines, with reasons, sources and remedies. */
#include <stdio.h>
#include <string.h>

#include "core/util.h"
#include "report_trees.h"
#include "support.h"

enum { UNKNOWN = NESTVIRT_ANSWER_UNKNOWN, NO = NESTVIRT_ANSWER_NO, YES = NESTVIRT_ANSWER_YES };

/* text: somewhere in value, reason, source or remedy; NULL: anything will do. */
static const struct row {
    enum tree_machine machine;
    const char *name;
    uint32_t answer;
    const char *text;
} rows[] = {
    { TREE_INTEL_FULL, "host.kind", YES, "bare metal" },
    { TREE_INTEL_FULL, "host.guest", NO, "bare metal" },
    { TREE_INTEL_FULL, "host.machine", YES, "Dell Inc. PowerEdge R750" },
    { TREE_INTEL_FULL, "host.processor", YES, "Xeon" },
    { TREE_INTEL_FULL, "host.kernel", YES, "6.1.0-18-amd64" },
    { TREE_INTEL_FULL, "cpu.vmx", YES, "/proc/cpuinfo, flags: vmx" },
    { TREE_INTEL_FULL, "cpu.svm", NO, "this is an Intel processor" },
    { TREE_INTEL_FULL, "cpu.ept", YES, "vmx flags: ept" },
    { TREE_INTEL_FULL, "cpu.vpid", YES, NULL },
    { TREE_INTEL_FULL, "cpu.unrestricted_guest", YES, NULL },
    { TREE_INTEL_FULL, "cpu.vmcs_shadowing", YES, "vmx flags: shadow_vmcs" },
    { TREE_INTEL_FULL, "cpu.apicv", YES, NULL },
    { TREE_INTEL_FULL, "cpu.posted_interrupts", YES, "posted_intr" },
    { TREE_INTEL_FULL, "cpu.npt", NO, "this is an Intel processor" },
    { TREE_INTEL_FULL, "cpu.avic", NO, NULL },
    { TREE_INTEL_FULL, "kvm.ept", YES, "/sys/module/kvm_intel/parameters/ept" },
    { TREE_INTEL_FULL, "kvm.unrestricted_guest", YES, NULL },
    { TREE_INTEL_FULL, "kvm.vmcs_shadowing", YES, "enable_shadow_vmcs=Y" },
    { TREE_INTEL_FULL, "kvm.apicv", YES, NULL },
    { TREE_INTEL_FULL, "kvm.posted_interrupts", YES, NULL },
    { TREE_INTEL_FULL, "kvm.avic", NO, "kvm_amd is not for this processor" },
    { TREE_INTEL_FULL, "kvm.interpreted", NO, NULL },
    { TREE_INTEL_FULL, "kvm.irqbypass", YES, "loaded" },
    { TREE_INTEL_FULL, "kvm.api_version", YES, "12" },
    { TREE_INTEL_FULL, "kvm.max_vcpus", YES, "1024" },
    { TREE_INTEL_FULL, "nested.available", YES, NULL },
    { TREE_INTEL_FULL, "nested.vmx", YES, "KVM_GET_SUPPORTED_CPUID" },
    { TREE_INTEL_FULL, "nested.svm", NO, "not on this processor" },
    { TREE_INTEL_FULL, "nested.parameter", YES, "nested=Y" },
    { TREE_INTEL_FULL, "nested.state", YES, "4224 bytes" },
    { TREE_INTEL_FULL, "module.kvm_intel", YES, "loaded" },
    { TREE_INTEL_FULL, "module.kvm_amd", NO, "this is an Intel processor" },
    { TREE_INTEL_FULL, "module.tun", YES, "built in" },
    { TREE_INTEL_FULL, "module.vhost_net", NO, "modprobe vhost_net" },
    { TREE_INTEL_FULL, "module.vhost_vsock", NO, "not in this kernel" },
    { TREE_INTEL_FULL, "device.kvm", YES, "/dev/kvm" },
    { TREE_INTEL_FULL, "device.tun", YES, NULL },
    { TREE_INTEL_FULL, "device.tap_making", NO, "CAP_NET_ADMIN" },
    { TREE_INTEL_FULL, "device.vhost_net", YES, "loaded at first use" },
    { TREE_INTEL_FULL, "device.vhost_vsock", NO, "is missing" },
    { TREE_INTEL_FULL, "memory.total", YES, "64313 MiB" },
    { TREE_INTEL_FULL, "memory.available", YES, "61440 MiB" },
    { TREE_INTEL_FULL, "memory.ksm", YES, "on, 1234 pages saved" },
    { TREE_INTEL_FULL, "memory.nodes", YES, "2 (0-1)" },
    { TREE_INTEL_FULL, "memory.transparent_huge_pages", YES, "madvise" },
    { TREE_INTEL_FULL, "memory.huge_page_sizes", YES, "2" },
    { TREE_INTEL_FULL, "memory.huge_pages.2048kB", YES, "500 of 512 free" },
    { TREE_INTEL_FULL, "memory.huge_pages.1048576kB", NO, "hugepages-1048576kB/nr_hugepages" },
    { TREE_INTEL_FULL, "limit.open_files", YES, "1024, 3 in use" },
    { TREE_INTEL_FULL, "limit.open_files", YES, "raise it to 524288" },
    { TREE_INTEL_FULL, "limit.system_files", NO, "unlimited" },
    { TREE_INTEL_FULL, "limit.processes", YES, "4096" },
    { TREE_INTEL_FULL, "limit.threads", YES, "513000, 768 in use" },
    { TREE_INTEL_FULL, "limit.pids", YES, "4194304" },
    { TREE_INTEL_FULL, "limit.cgroup_pids", YES, "3000, 100 in use" }, /* the tighter one */
    { TREE_INTEL_FULL, "limit.cgroup_memory", NO, "unlimited" },
    { TREE_INTEL_FULL, "limit.mappings", YES, "65530, 2 in use" },
    { TREE_INTEL_FULL, "limit.locked_memory", YES, "8388608" },
    { TREE_INTEL_FULL, "limit.address_space", NO, NULL },
    { TREE_INTEL_FULL, "limit.overcommit", NO, "mode 0" },

    { TREE_INTEL_PLAIN, "cpu.ept", YES, NULL },
    { TREE_INTEL_PLAIN, "cpu.vmcs_shadowing", NO, "the processor has none" },
    { TREE_INTEL_PLAIN, "cpu.posted_interrupts", NO, NULL },
    { TREE_INTEL_PLAIN, "cpu.unrestricted_guest", YES, NULL },
    { TREE_INTEL_PLAIN, "kvm.vmcs_shadowing", NO, "see what the processor has" },
    { TREE_INTEL_PLAIN, "kvm.posted_interrupts", NO, NULL },
    /* The two differ, and the report says so. */
    { TREE_INTEL_PLAIN, "kvm.unrestricted_guest", NO, "the processor has it, but KVM" },
    { TREE_INTEL_PLAIN, "kvm.unrestricted_guest", NO,
      "modprobe -r kvm_intel && modprobe kvm_intel unrestricted_guest=1" },
    { TREE_INTEL_PLAIN, "nested.available", NO, "kvm_intel runs with nested=N" },
    { TREE_INTEL_PLAIN, "nested.vmx", NO, "modprobe kvm_intel nested=1" },
    { TREE_INTEL_PLAIN, "nested.parameter", NO, "nested=N" },
    { TREE_INTEL_PLAIN, "memory.ksm", YES, "off" },
    { TREE_INTEL_PLAIN, "memory.transparent_huge_pages", NO, "never" },

    { TREE_INTEL_OLD, "cpu.vmx", YES, NULL },
    { TREE_INTEL_OLD, "cpu.ept", YES, "flags: ept" },
    { TREE_INTEL_OLD, "cpu.unrestricted_guest", YES, "MSR 0x48b" },
    { TREE_INTEL_OLD, "cpu.vmcs_shadowing", YES, "MSR 0x48b" },
    { TREE_INTEL_OLD, "cpu.apicv", YES, NULL },
    { TREE_INTEL_OLD, "cpu.posted_interrupts", YES, "MSR 0x481" },
    { TREE_INTEL_OLD, "nested.parameter", YES, "nested=1" },
    { TREE_INTEL_OLD, "module.vhost_net", UNKNOWN, "list of modules" },
    { TREE_INTEL_OLD, "device.tap_making", YES, NULL },
    { TREE_INTEL_OLD, "limit.processes", NO, "root" },
    { TREE_INTEL_OLD, "limit.cgroup_pids", NO, NULL },
    { TREE_INTEL_OLD, "limit.cgroup_memory", YES, "1073741824, 268435456 in use" },
    { TREE_INTEL_OLD, "memory.nodes", NO, "1" },

    { TREE_INTEL_SILENT, "cpu.vmcs_shadowing", UNKNOWN, "no line \"vmx flags\"" },
    { TREE_INTEL_SILENT, "cpu.vmcs_shadowing", UNKNOWN, "module msr" },
    { TREE_INTEL_SILENT, "cpu.ept", YES, NULL },
    { TREE_INTEL_SILENT, "kvm.posted_interrupts", UNKNOWN, NULL },
    { TREE_INTEL_SILENT, "kvm.vmcs_shadowing", YES, "enable_shadow_vmcs=Y" },

    { TREE_AMD_FULL, "host.kind", YES, "guest of Hyper-V" },
    { TREE_AMD_FULL, "host.guest", YES, "nested themselves" },
    { TREE_AMD_FULL, "cpu.svm", YES, "flags: svm" },
    { TREE_AMD_FULL, "cpu.vmx", NO, "this is an AMD processor" },
    { TREE_AMD_FULL, "cpu.npt", YES, "flags: npt" },
    { TREE_AMD_FULL, "cpu.avic", YES, NULL },
    { TREE_AMD_FULL, "cpu.vgif", YES, NULL },
    { TREE_AMD_FULL, "cpu.ept", NO, "this is an AMD processor" },
    { TREE_AMD_FULL, "kvm.npt", YES, NULL },
    { TREE_AMD_FULL, "kvm.avic", NO, "modprobe kvm_amd avic=1" },
    { TREE_AMD_FULL, "kvm.vgif", YES, "vgif=1" },
    { TREE_AMD_FULL, "nested.available", YES, NULL },
    { TREE_AMD_FULL, "nested.svm", YES, NULL },
    { TREE_AMD_FULL, "nested.vmx", NO, NULL },
    { TREE_AMD_FULL, "module.kvm_amd", YES, "loaded" },

    { TREE_AMD_PLAIN, "host.kind", YES, "bare metal" },
    { TREE_AMD_PLAIN, "cpu.npt", YES, NULL },
    { TREE_AMD_PLAIN, "cpu.avic", NO, "the processor has none" },
    { TREE_AMD_PLAIN, "cpu.vgif", NO, NULL },
    { TREE_AMD_PLAIN, "kvm.vgif", NO, "see what the processor has" },

    { TREE_CLOUD, "host.kind", YES, "guest of KVM" },
    { TREE_CLOUD, "host.guest", YES, "CPUID 0x40000000" },
    { TREE_CLOUD, "cpu.vmx", NO, "does not pass it on" },
    { TREE_CLOUD, "cpu.vmx", NO, "ask for nested virtualization" },
    { TREE_CLOUD, "cpu.ept", NO, "see VMX" },
    { TREE_CLOUD, "kvm.ept", UNKNOWN, "kvm_intel is not loaded" },
    { TREE_CLOUD, "nested.available", UNKNOWN, NULL },
    { TREE_CLOUD, "module.kvm_intel", NO, "does not pass it on" },
    { TREE_CLOUD, "device.kvm", NO, "ask for nested virtualization" },

    { TREE_INTERPRETED, "kvm.interpreted", YES, "kvm_pvm" },
    { TREE_INTERPRETED, "kvm.ept", NO, "KVM here is software" },
    { TREE_INTERPRETED, "kvm.irqbypass", YES, "KVM is built in" },
    { TREE_INTERPRETED, "nested.available", NO, "kvm_pvm" },
    { TREE_INTERPRETED, "nested.state", NO, "cannot be saved" },
    { TREE_INTERPRETED, "device.kvm", YES, NULL },
    { TREE_INTERPRETED, "module.kvm", YES, "built in" },
    { TREE_INTERPRETED, "module.kvm_intel", UNKNOWN, NULL },
    { TREE_INTERPRETED, "module.tun", YES, "built in" },

    { TREE_NOT_LOADED, "cpu.vmcs_shadowing", YES, NULL },
    { TREE_NOT_LOADED, "kvm.vmcs_shadowing", UNKNOWN, "modprobe kvm_intel" },
    { TREE_NOT_LOADED, "kvm.irqbypass", NO, "modprobe irqbypass" },
    { TREE_NOT_LOADED, "module.kvm", NO, "can be loaded" },
    { TREE_NOT_LOADED, "module.kvm_intel", NO, "modprobe kvm_intel" },
    { TREE_NOT_LOADED, "module.irqbypass", NO, "modprobe irqbypass" },
    { TREE_NOT_LOADED, "device.kvm", NO, "kvm_intel is not loaded" },
    { TREE_NOT_LOADED, "device.kvm", NO, "modprobe kvm_intel" },
    { TREE_NOT_LOADED, "kvm.api_version", UNKNOWN, "there is no KVM" },
    { TREE_NOT_LOADED, "limit.overcommit", YES, "mode 2" },
    { TREE_NOT_LOADED, "limit.overcommit", YES, "ratio 50%" },

    { TREE_DENIED, "device.kvm", NO, "permission denied" },
    { TREE_DENIED, "device.kvm", NO, "usermod -aG kvm" },
    { TREE_DENIED, "nested.vmx", YES, "by the module's parameter: KVM may not be opened" },
    { TREE_DENIED, "nested.state", UNKNOWN, "KVM may not be opened" },
    { TREE_DENIED, "kvm.ept", YES, NULL },

    { TREE_FIRMWARE_OFF, "cpu.vmx", NO, "switched off by the firmware" },
    { TREE_FIRMWARE_OFF, "cpu.vmx", NO, "MSR 0x3a" },
    { TREE_FIRMWARE_OFF, "device.kvm", NO, "switch on virtualization in the firmware" },
    { TREE_FIRMWARE_OFF, "module.kvm_intel", NO, "switch on virtualization in the firmware" },

    { TREE_XEN, "host.kind", YES, "guest of Xen" },
    { TREE_XEN, "host.kind", YES, "/sys/hypervisor/type" },
    { TREE_VMWARE, "host.kind", YES, "guest of VMware" },
    { TREE_VMWARE, "cpu.vmx", YES, NULL },

    { TREE_EMPTY, "host.kind", UNKNOWN, "neither" },
    { TREE_EMPTY, "host.guest", UNKNOWN, NULL },
    { TREE_EMPTY, "cpu.vmx", UNKNOWN, NULL },
    { TREE_EMPTY, "cpu.avic", UNKNOWN, NULL },
    { TREE_EMPTY, "kvm.ept", UNKNOWN, NULL },
    { TREE_EMPTY, "device.kvm", NO, NULL },
    { TREE_EMPTY, "module.tun", UNKNOWN, NULL },
    { TREE_EMPTY, "memory.available", UNKNOWN, "is missing" },
    { TREE_EMPTY, "memory.ksm", NO, "this kernel has none" },
    { TREE_EMPTY, "limit.open_files", UNKNOWN, "is missing" },
    { TREE_EMPTY, "limit.cgroup_pids", UNKNOWN, NULL },
    { TREE_EMPTY, "limit.overcommit", UNKNOWN, NULL },
};

static void check_row(struct nestvirt_report *report, const struct row *row)
{
    const struct nestvirt_report_item item = tree_item(report, row->name);
    const char *machine = tree_names[row->machine];
    char all[2048];

    snprintf(all, sizeof(all), "%s | %s | %s | %s", item.value, item.reason, item.source,
             item.remedy);
    ck_assert_msg(item.answer == row->answer, "%s: %s is \"%s\" (%s)", machine, row->name,
                  nestvirt_report_answer_name(item.answer), all);
    ck_assert_msg(!row->text || strstr(all, row->text), "%s: %s has no \"%s\": %s", machine,
                  row->name, row->text, all);
}

START_TEST(test_machine)
{
    struct nestvirt_report *report;
    unsigned checked = 0;

    tree_make((enum tree_machine)_i);
    report = tree_report();
    for (size_t i = 0; i < NV_ARRAY_SIZE(rows); i++) {
        if (rows[i].machine != (enum tree_machine)_i)
            continue;
        check_row(report, &rows[i]);
        checked++;
    }
    ck_assert_uint_gt(checked, 1);
    ck_assert_int_eq(nestvirt_report_free(report), 0);
}
END_TEST

/* Whatever the machine: names are there once, groups in order, no text is missing. */
START_TEST(test_items_are_whole)
{
    struct nestvirt_report_item item;
    struct nestvirt_report_item twin;
    struct nestvirt_report *report;
    uint32_t group = 0;
    uint32_t count = 0;

    tree_make((enum tree_machine)_i);
    report = tree_report();
    nestvirt_report_item_init(&item, sizeof(item));
    for (; nestvirt_report_get_item(report, count, &item, NULL) == 0; count++) {
        twin = tree_item(report, item.name);
        ck_assert_msg(twin.title == item.title, "%s is there twice", item.name);
        ck_assert_uint_ge(item.group, group);
        ck_assert_uint_le(item.group, NESTVIRT_GROUP_LIMIT);
        ck_assert_uint_le(item.answer, NESTVIRT_ANSWER_YES);
        ck_assert(item.title[0] && item.value && item.reason && item.remedy);
        ck_assert_msg(item.source[0], "%s has no source", item.name);
        ck_assert_msg(item.answer != NESTVIRT_ANSWER_UNKNOWN || item.reason[0],
                      "%s is unknown without a reason", item.name);
        group = item.group;
    }
    ck_assert_uint_gt(count, 60);
    ck_assert_int_eq(nestvirt_report_free(report), 0);
}
END_TEST

START_TEST(test_numbers)
{
    struct nestvirt_report *report;

    tree_make(TREE_INTEL_FULL);
    report = tree_report();
    ck_assert_uint_eq(tree_item(report, "host.kind").number, NESTVIRT_KIND_BARE_METAL);
    ck_assert_uint_eq(tree_item(report, "limit.open_files").number, 1024);
    ck_assert_uint_eq(tree_item(report, "limit.address_space").number, UINT64_MAX);
    ck_assert_uint_eq(tree_item(report, "memory.available").number, NV_GIB(60));
    ck_assert_uint_eq(tree_item(report, "memory.nodes").number, 2);
    ck_assert_uint_eq(tree_item(report, "memory.huge_pages.2048kB").number, 500);
    ck_assert_uint_eq(tree_item(report, "nested.state").number, 4224);
    ck_assert_int_eq(nestvirt_report_free(report), 0);
}
END_TEST

Suite *nv_test_suite(void)
{
    Suite *suite = suite_create("report_machines");
    TCase *tcase = support_case(suite, "machines", 60);

    tcase_add_checked_fixture(tcase, NULL, tree_remove);
    tcase_add_loop_test(tcase, test_machine, 0, TREE_MACHINES);
    tcase_add_loop_test(tcase, test_items_are_whole, 0, TREE_MACHINES);
    tcase_add_test(tcase, test_numbers);
    return suite;
}
