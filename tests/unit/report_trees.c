/* SPDX-License-Identifier: Apache-2.0 */
/* Owns recorded machines for tests of the report: what their kernels say, written into folders. */
#include "report_trees.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/util.h"
#include "support.h"

struct file {
    const char *path;
    const char *text; /* NULL: not there, though an earlier table has it */
};

const char *const tree_names[TREE_MACHINES] = {
    "Intel full",  "Intel plain", "Intel old", "Intel silent", "AMD full", "AMD plain", "cloud",
    "interpreted", "not loaded",  "denied",    "firmware off", "Xen",      "VMware",    "empty",
};

/* What all machines have in common. */
static const struct file common[] = {
    { "proc/meminfo", "MemTotal:       65857512 kB\nMemFree:        60000000 kB\n"
                      "MemAvailable:   62914560 kB\nBuffers:           29560 kB\n"
                      "SwapTotal:       2097152 kB\nSwapFree:        1048576 kB\n"
                      "CommitLimit:    41943040 kB\nCommitted_AS:    10485760 kB\n" },
    { "proc/loadavg", "0.12 0.07 0.01 2/768 4711\n" },
    { "proc/self/limits",
      "Limit                     Soft Limit           Hard Limit           Units     \n"
      "Max cpu time              unlimited            unlimited            seconds   \n"
      "Max data size             unlimited            unlimited            bytes     \n"
      "Max processes             4096                 8192                 processes \n"
      "Max open files            1024                 524288               files     \n"
      "Max locked memory         8388608              8388608              bytes     \n"
      "Max address space         unlimited            unlimited            bytes     \n" },
    { "proc/self/status", "Name:\tprobe\nUid:\t1000\t1000\t1000\t1000\n"
                          "VmSize:\t    3060 kB\nVmData:\t     360 kB\nVmLck:\t       0 kB\n"
                          "CapEff:\t0000000000000000\n" },
    { "proc/self/maps", "00400000-00401000 r-xp 00000000 fe:00 1 /bin/probe\n"
                        "7fff0000-7fff2000 rw-p 00000000 00:00 0 [stack]\n" },
    { "proc/self/fd/0", "" },
    { "proc/self/fd/1", "" },
    { "proc/self/fd/2", "" },
    { "proc/self/cgroup", "0::/user.slice/app.service\n" },
    { "sys/fs/cgroup/user.slice/app.service/pids.max", "5000\n" },
    { "sys/fs/cgroup/user.slice/app.service/pids.current", "10\n" },
    { "sys/fs/cgroup/user.slice/pids.max", "3000\n" },
    { "sys/fs/cgroup/user.slice/pids.current", "100\n" },
    { "sys/fs/cgroup/user.slice/app.service/memory.max", "max\n" },
    { "sys/fs/cgroup/user.slice/memory.max", "max\n" },
    { "proc/sys/kernel/threads-max", "513000\n" },
    { "proc/sys/kernel/pid_max", "4194304\n" },
    { "proc/sys/kernel/osrelease", "6.1.0-18-amd64\n" },
    { "proc/sys/fs/file-nr", "1216\t0\t9223372036854775807\n" },
    { "proc/sys/vm/max_map_count", "65530\n" },
    { "proc/sys/vm/overcommit_memory", "0\n" },
    { "proc/sys/vm/overcommit_ratio", "50\n" },
    { "sys/kernel/mm/ksm/run", "1\n" },
    { "sys/kernel/mm/ksm/pages_sharing", "1234\n" },
    { "sys/kernel/mm/transparent_hugepage/enabled", "always [madvise] never\n" },
    { "sys/kernel/mm/hugepages/hugepages-1048576kB/nr_hugepages", "0\n" },
    { "sys/kernel/mm/hugepages/hugepages-1048576kB/free_hugepages", "0\n" },
    { "sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages", "512\n" },
    { "sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages", "500\n" },
    { "sys/devices/system/node/online", "0-1\n" },
    { "sys/class/dmi/id/sys_vendor", "Dell Inc.\n" },
    { "sys/class/dmi/id/product_name", "PowerEdge R750\n" },
    { "dev/kvm", "" },
    { "dev/net/tun", "" },
    { "dev/vhost-net", "" },
    { "proc/misc", "232 kvm\n200 tun\n" },
    { "lib/modules/6.1.0-18-amd64/modules.builtin", "kernel/fs/binfmt_script.ko\n" },
    { "lib/modules/6.1.0-18-amd64/modules.dep",
      "kernel/virt/lib/irqbypass.ko.xz:\n"
      "kernel/arch/x86/kvm/kvm.ko.xz: kernel/virt/lib/irqbypass.ko.xz\n"
      "kernel/arch/x86/kvm/kvm-intel.ko.xz: kernel/arch/x86/kvm/kvm.ko.xz "
      "kernel/virt/lib/irqbypass.ko.xz\n"
      "kernel/arch/x86/kvm/kvm-amd.ko.xz: kernel/drivers/crypto/ccp/ccp.ko.xz\n"
      "kernel/drivers/net/tun.ko.xz:\n"
      "kernel/drivers/vhost/vhost_net.ko.xz: kernel/drivers/vhost/vhost.ko.xz\n" },
};

#define INTEL_CPU(flags)                                                               \
    "processor\t: 0\nvendor_id\t: GenuineIntel\nmodel name\t: Intel(R) Xeon(R) Gold\n" \
    "flags\t\t: fpu vme msr pae ht lm constant_tsc pni " flags " x2apic\n"
#define AMD_CPU(flags)                                                         \
    "processor\t: 0\nvendor_id\t: AuthenticAMD\nmodel name\t: AMD EPYC 7543\n" \
    "flags\t\t: fpu vme msr pae ht lm constant_tsc pni " flags " x2apic\n\nprocessor\t: 1\n"
#define VMX_FLAGS(more)                                                                  \
    "vmx flags\t: vnmi preemption_timer invvpid ept_x_only ept_ad ept_1gb flexpriority " \
    "tsc_offset vtpr mtf vapic ept vpid unrestricted_guest" more " ple pml\n\n"

#define LOADED(module)                               \
    { "sys/module/" module "/initstate", "live\n" }, \
    {                                                \
        "sys/module/" module "/refcnt", "0\n"        \
    }
#define PARAMETER(module, name, value)                       \
    {                                                        \
        "sys/module/" module "/parameters/" name, value "\n" \
    }

#define KVM_RECORD(more)                                                    \
    "open 0\napi_version 12\nKVM_CAP_MAX_VCPUS 1024\nKVM_CAP_NR_VCPUS 64\n" \
    "KVM_CAP_NR_MEMSLOTS 32764\nKVM_CAP_SPLIT_IRQCHIP 1\nKVM_CAP_IRQFD 1\n" \
    "KVM_CAP_IOEVENTFD 1\nKVM_CAP_READONLY_MEM 1\n" more

static const struct file intel_modules[] = {
    LOADED("kvm"),
    LOADED("kvm_intel"),
    LOADED("irqbypass"),
    PARAMETER("kvm_intel", "ept", "Y"),
    PARAMETER("kvm_intel", "unrestricted_guest", "Y"),
    PARAMETER("kvm_intel", "vpid", "Y"),
    PARAMETER("kvm_intel", "enable_shadow_vmcs", "Y"),
    PARAMETER("kvm_intel", "enable_apicv", "Y"),
    PARAMETER("kvm_intel", "nested", "Y"),
    { "kvm", KVM_RECORD("KVM_CAP_NESTED_STATE 4224\nnested_vmx 1\nnested_svm 0\n") },
    { "cpuid",
      "CPU 0:\n"
      "   0x00000000 0x00: eax=0x0000001b ebx=0x756e6547 ecx=0x6c65746e edx=0x49656e69\n"
      "   0x00000001 0x00: eax=0x000606a6 ebx=0x00400800 ecx=0x7ffefbff edx=0xbfebfbff\n" },
};

static const struct file intel_full[] = {
    { "proc/cpuinfo",
      INTEL_CPU("vmx ept vpid") VMX_FLAGS(" posted_intr apicv vapic_reg vid shadow_vmcs") },
};

/* The processor has APICv in parts; KVM was told not to nest. */
static const struct file intel_plain[] = {
    { "proc/cpuinfo", INTEL_CPU("vmx ept vpid") VMX_FLAGS("") },
    PARAMETER("kvm_intel", "enable_shadow_vmcs", "N"),
    PARAMETER("kvm_intel", "enable_apicv", "N"),
    PARAMETER("kvm_intel", "unrestricted_guest", "N"),
    PARAMETER("kvm_intel", "nested", "N"),
    { "kvm", KVM_RECORD("KVM_CAP_NESTED_STATE 4224\nnested_vmx 0\nnested_svm 0\n") },
    { "sys/kernel/mm/ksm/run", "0\n" },
    { "sys/kernel/mm/transparent_hugepage/enabled", "always madvise [never]\n" },
};

/* Numbers instead of letters, version 1 of cgroups, and root. */
static const struct file intel_old[] = {
    { "proc/cpuinfo", INTEL_CPU("vmx ept vpid") },
    { "proc/sys/kernel/osrelease", "4.19.0-26-amd64\n" },
    { "msr", "0x3a 0x5\n0x481 0x000000ff00000016\n0x48b 0x00557fff00000000\n" },
    PARAMETER("kvm_intel", "nested", "1"),
    { "sys/devices/system/node/online", NULL },
    { "proc/self/status", "Uid:\t0\t0\t0\t0\nCapEff:\t000001ffffffffff\n" },
    { "proc/self/cgroup", "9:memory:/app\n8:cpu,pids:/app\n0::/\n" },
    { "sys/fs/cgroup/pids/app/pids.max", "max\n" },
    { "sys/fs/cgroup/pids/app/pids.current", "1\n" },
    { "sys/fs/cgroup/memory/app/memory.limit_in_bytes", "1073741824\n" },
    { "sys/fs/cgroup/memory/app/memory.usage_in_bytes", "536870912\n" },
    { "sys/fs/cgroup/memory/app/memory.stat", "cache 0\ntotal_inactive_file 268435456\n" },
    { "sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n" },
};

static const struct file intel_silent[] = { { "msr", NULL } };

static const struct file amd_full[] = {
    { "proc/cpuinfo", AMD_CPU("hypervisor svm npt avic v_vmsave_vmload vgif") },
    { "cpuid",
      "CPU 0:\n"
      "   0x00000001 0x00: eax=0x00a00f11 ebx=0x00400800 ecx=0xfed8320b edx=0x178bfbff\n"
      "   0x40000000 0x00: eax=0x4000000c ebx=0x7263694d ecx=0x666f736f edx=0x76482074\n"
      "   0x80000001 0x00: eax=0x00a00f11 ebx=0x40000000 ecx=0x75c237ff edx=0x2fd3fbff\n"
      "   0x8000000a 0x00: eax=0x00000001 ebx=0x00008000 ecx=0x00000000 edx=0x0001bcff\n" },
    LOADED("kvm"),
    LOADED("kvm_amd"),
    LOADED("irqbypass"),
    PARAMETER("kvm_amd", "npt", "Y"),
    PARAMETER("kvm_amd", "avic", "N"),
    PARAMETER("kvm_amd", "vgif", "1"),
    PARAMETER("kvm_amd", "nested", "1"),
    { "kvm", KVM_RECORD("KVM_CAP_NESTED_STATE 4224\nnested_vmx 0\nnested_svm 1\n") },
};

static const struct file amd_plain[] = {
    { "proc/cpuinfo", AMD_CPU("svm npt") },
    { "cpuid",
      "CPU 0:\n"
      "   0x80000001 0x00: eax=0x00600f20 ebx=0x10000000 ecx=0x00002fff edx=0x2fd3fbff\n"
      "   0x8000000a 0x00: eax=0x00000001 ebx=0x00010000 ecx=0x00000000 edx=0x00001cff\n" },
    PARAMETER("kvm_amd", "vgif", "0"),
};

static const struct file cloud[] = {
    { "proc/cpuinfo", INTEL_CPU("hypervisor") },
    { "cpuid",
      "CPU 0:\n"
      "   0x00000001 0x00: eax=0x000606a6 ebx=0x00400800 ecx=0xfffa3203 edx=0x178bfbff\n"
      "   0x40000000 0x00: eax=0x40000001 ebx=0x4b4d564b ecx=0x564b4d56 edx=0x0000004d\n" },
    { "sys/class/dmi/id/sys_vendor", "Amazon EC2\n" },
    { "sys/class/dmi/id/product_name", "m6i.large\n" },
    { "dev/kvm", NULL },
    { "dev/vhost-net", NULL },
    { "proc/misc", "200 tun\n" },
};

/* KVM is built in, and there is no list of modules. */
static const struct file interpreted[] = {
    { "sys/module/kvm/parameters/ignore_msrs", "N\n" },
    { "sys/module/kvm_pvm/parameters/force", "N\n" },
    { "dev/kvm", "" },
    { "kvm", KVM_RECORD("KVM_CAP_NESTED_STATE 0\nnested_vmx 0\nnested_svm 0\n") },
    { "lib/modules/6.1.0-18-amd64/modules.builtin", NULL },
    { "lib/modules/6.1.0-18-amd64/modules.dep", NULL },
};

static const struct file not_loaded[] = {
    { "proc/cpuinfo",
      INTEL_CPU("vmx ept vpid") VMX_FLAGS(" posted_intr apicv vapic_reg vid shadow_vmcs") },
    { "dev/kvm", NULL },
    { "proc/misc", "200 tun\n" },
    { "proc/sys/vm/overcommit_memory", "2\n" },
};

static const struct file denied[] = { { "kvm", "open 13\n" } };

static const struct file firmware_off[] = {
    { "proc/cpuinfo", INTEL_CPU("") },
    { "cpuid",
      "CPU 0:\n"
      "   0x00000001 0x00: eax=0x000606a6 ebx=0x00400800 ecx=0x7ffefbff edx=0xbfebfbff\n" },
    { "msr", "0x3a 0x1\n" },
    { "dev/kvm", NULL },
};

static const struct file xen[] = {
    { "proc/cpuinfo", INTEL_CPU("hypervisor") },
    { "sys/hypervisor/type", "xen\n" },
    { "dev/kvm", NULL },
};

static const struct file vmware[] = {
    { "proc/cpuinfo", INTEL_CPU("hypervisor vmx ept vpid") VMX_FLAGS("") },
    { "sys/class/dmi/id/sys_vendor", "VMware, Inc.\n" },
    { "sys/class/dmi/id/product_name", "VMware20,1\n" },
};

struct table {
    const struct file *files;
    size_t count;
};

#define TABLE(name)               \
    {                             \
        name, NV_ARRAY_SIZE(name) \
    }

static const struct table machines[TREE_MACHINES][4] = {
    [TREE_INTEL_FULL] = { TABLE(common), TABLE(intel_modules), TABLE(intel_full) },
    [TREE_INTEL_PLAIN] = { TABLE(common), TABLE(intel_modules), TABLE(intel_plain) },
    [TREE_INTEL_OLD] = { TABLE(common), TABLE(intel_modules), TABLE(intel_old) },
    [TREE_INTEL_SILENT] = { TABLE(common), TABLE(intel_modules), TABLE(intel_old),
                            TABLE(intel_silent) },
    [TREE_AMD_FULL] = { TABLE(common), TABLE(amd_full) },
    [TREE_AMD_PLAIN] = { TABLE(common), TABLE(amd_full), TABLE(amd_plain) },
    [TREE_CLOUD] = { TABLE(common), TABLE(cloud) },
    [TREE_INTERPRETED] = { TABLE(common), TABLE(cloud), TABLE(interpreted) },
    [TREE_NOT_LOADED] = { TABLE(common), TABLE(not_loaded) },
    [TREE_DENIED] = { TABLE(common), TABLE(intel_modules), TABLE(intel_full), TABLE(denied) },
    [TREE_FIRMWARE_OFF] = { TABLE(common), TABLE(firmware_off) },
    [TREE_XEN] = { TABLE(common), TABLE(xen) },
    [TREE_VMWARE] = { TABLE(common), TABLE(vmware) },
};

static char root[64];

const char *tree_path(const char *path)
{
    static char name[512];

    snprintf(name, sizeof(name), "%s/%s", root, path);
    return name;
}

void tree_put_bytes(const char *path, const void *bytes, size_t length)
{
    char name[512];
    int fd;

    snprintf(name, sizeof(name), "%s", tree_path(path));
    for (char *at = name + strlen(root) + 1; (at = strchr(at, '/')); at++) {
        *at = '\0';
        ck_assert(mkdir(name, 0755) == 0 || errno == EEXIST);
        *at = '/';
    }
    fd = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    ck_assert_msg(fd >= 0, "%s: %m", name);
    ck_assert_int_eq(write(fd, bytes, length), (ssize_t)length);
    close(fd);
}

void tree_put(const char *path, const char *text)
{
    if (text)
        tree_put_bytes(path, text, strlen(text));
    else
        remove(tree_path(path));
}

const char *tree_make(enum tree_machine machine)
{
    /* Hundreds of trees are made: in memory, where there is a place for it. */
    snprintf(root, sizeof(root), "%s/nestvirt-report-XXXXXX",
             access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    ck_assert_ptr_nonnull(mkdtemp(root));
    for (size_t i = 0; i < 4; i++)
        for (size_t j = 0; j < machines[machine][i].count; j++)
            tree_put(machines[machine][i].files[j].path, machines[machine][i].files[j].text);
    return root;
}

static int remove_one(const char *path, const struct stat *info, int kind, struct FTW *place)
{
    (void)info;
    (void)kind;
    (void)place;
    return remove(path);
}

void tree_remove(void)
{
    if (root[0])
        nftw(root, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    root[0] = '\0';
}

struct nestvirt_report *tree_report(void)
{
    struct nestvirt_report_config config;
    struct nestvirt_report *report = NULL;

    nestvirt_report_config_init(&config, sizeof(config));
    config.root = root;
    ck_nv_ok(nestvirt_report_new(&config, &report, &error));
    ck_assert_ptr_nonnull(report);
    return report;
}

struct nestvirt_report_item tree_item(struct nestvirt_report *report, const char *name)
{
    struct nestvirt_report_item item;

    nestvirt_report_item_init(&item, sizeof(item));
    ck_nv_ok(nestvirt_report_get_named(report, name, &item, &error));
    return item;
}
