/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the boot tests on the full kernel: ACPI with virtio devices, two CPUs on two NUMA nodes,
 * power button and power-off.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "console.h"
#include "network.h"
#include "support.h"
#include "tools.h"

enum {
    BOOT_SECONDS = 420,
    LONG = 180,
    DISK_MIB = 4,
    DISK_SEED = 3,
    REPORTED_MIB = 8,
    REPORTING_MIB = 256, /* Linux reports only from a zone with 128 MiB free */
    SECOND_MIB = 32,
    DISTANCE = 25
};

struct devices {
    struct nestvirt_device *disk, *net, *balloon;
    int disk_fd;
};

static struct nestvirt_host *host;
static struct linux_vm linux_vm;

/* The first node has the first CPU and the memory that every VM here has. */
static void add_second_node(struct nestvirt_vm *vm)
{
    struct nestvirt_memory_config memory;

    nestvirt_memory_config_init(&memory, sizeof(memory));
    memory.address = (uint64_t)REPORTING_MIB * MIB;
    memory.length = (uint64_t)SECOND_MIB * MIB;
    memory.guest_node = 1;
    ck_nv_ok(nestvirt_memory_add(vm, &memory, &error));
    ck_nv_ok(nestvirt_numa_add_guest_node(vm, "0", &error));
    ck_nv_ok(nestvirt_numa_add_guest_node(vm, "1", &error));
    ck_nv_ok(nestvirt_numa_set_guest_distance(vm, 0, 1, DISTANCE, &error));
}

static void add(struct nestvirt_vm *vm, void *data)
{
    struct devices *d = data;

    add_second_node(vm);
    ck_nv_ok(nestvirt_device_add(vm, "blk", &d->disk, &error));
    ck_nv_ok(nestvirt_device_set_fd(d->disk, "fd", d->disk_fd, &error));
    ck_nv_ok(nestvirt_device_add(vm, "net", &d->net, &error));
    ck_nv_ok(nestvirt_device_set_string(d->net, "tap", NETWORK_TAP, &error));
    ck_nv_ok(nestvirt_device_add(vm, "balloon", &d->balloon, &error));
    ck_nv_ok(nestvirt_device_set_u64(d->balloon, "free_page_reporting", 1, &error));
}

/* No word of the command line names them: the drivers found them in the DSDT. */
static void use_devices(const struct devices *d)
{
    uint64_t reported = 0;
    char answer[64];

    ck_assert_ptr_null(strstr(linux_vm.text, "virtio_mmio.device"));
    linux_order(&linux_vm, "link:/sys/bus/platform/drivers/virtio-mmio/LNRO0005:00", "link ..",
                LONG);
    linux_order(&linux_vm, "link:/sys/bus/platform/drivers/virtio-mmio/LNRO0005:02", "link ..",
                LONG);
    snprintf(answer, sizeof(answer), "sum %d %u", DISK_MIB * MIB,
             tools_sum_pattern(DISK_MIB, DISK_SEED));
    linux_order(&linux_vm, "cat:/sys/block/vda/size,sum:/dev/vda:direct", answer, LONG);
    network_ping(LONG);
    for (int i = 0; reported < (uint64_t)REPORTED_MIB * MIB; i++) {
        ck_assert_msg(i < LONG * 10, "%llu bytes reported", (unsigned long long)reported);
        linux_listen(&linux_vm, 100);
        ck_nv_ok(nestvirt_device_get_u64(d->balloon, "reported", &reported, &error));
    }
}

/* What the guest made of SRAT and SLIT. */
static void look_at_nodes(void)
{
    linux_order(&linux_vm, "cat:/sys/devices/system/node/online", "cat 0-1", LONG);
    linux_order(&linux_vm, "cat:/sys/devices/system/node/node0/cpulist", "cat 0", LONG);
    linux_order(&linux_vm, "cat:/sys/devices/system/node/node1/cpulist", "cat 1", LONG);
    linux_order(&linux_vm, "cat:/sys/devices/system/node/node0/distance", "cat 10 25", LONG);
    linux_order(&linux_vm, "cat:/sys/devices/system/node/node1/distance", "cat 25 10", LONG);
    linux_order(&linux_vm, "cat:/sys/devices/system/node/node1/meminfo",
                "cat Node 1 MemTotal:", LONG);
    /* All 32 MiB but what the kernel keeps from the start. */
    ck_assert_ptr_null(strstr(linux_vm.text, "Node 1 MemTotal:              0 kB"));
}

START_TEST(test_acpi_and_two_cpus)
{
    struct devices devices;
    const struct linux_options options = {
        .kernel = linux_file("NESTVIRT_TEST_KERNEL_FULL", "bzImage"),
        .discovery = NESTVIRT_DISCOVERY_ACPI,
        .words = "pci=off ip=" NETWORK_GUEST "::" NETWORK_HOST ":255.255.255.0::eth0:off",
        .memory = REPORTING_MIB * MIB,
        .vcpus = 2,
        .steps = "hello,cpus,acpi,readline,interrupts,obey,button,poweroff",
        .add = add,
        .data = &devices,
    };

    network_enter();
    devices.disk_fd = tools_make_file(tools_path("disk.img"), DISK_MIB, DISK_SEED);
    linux_start(&linux_vm, host, &options);
    linux_expect(&linux_vm, "Linux version", 60);
    /* Before its driver is there, a request says so. */
    ck_nv_fails(nestvirt_vm_request_stop(linux_vm.vm, &error), -ENOTSUP);
    linux_expect(&linux_vm, "nv: hello 6.1", BOOT_SECONDS);
    linux_expect(&linux_vm, "nv: cpus 2", 60);
    linux_expect(&linux_vm, "nv: acpi yes", 60);
    linux_expect(&linux_vm, "nv: waiting line", 60);
    linux_type(&linux_vm, "through the PNP0501 port\n");
    linux_expect(&linux_vm, "nv: line through the PNP0501 port", 60);
    linux_expect(&linux_vm, "nv: waiting order", 60);
    look_at_nodes();
    use_devices(&devices);
    linux_type(&linux_vm, "quit\n");
    linux_expect(&linux_vm, "nv: waiting button", 60);
    ck_nv_ok(nestvirt_vm_request_stop(linux_vm.vm, &error));
    linux_expect(&linux_vm, "nv: button", 60);
    linux_expect_end(&linux_vm, NESTVIRT_RESULT_GUEST_SHUTDOWN, 120, NULL);
    ck_assert_ptr_nonnull(strstr(linux_vm.text, "nv: table DSDT"));
    ck_assert_ptr_nonnull(strstr(linux_vm.text, "nv: table FACP"));
    ck_assert_ptr_nonnull(strstr(linux_vm.text, "nv: table SRAT"));
    ck_assert_ptr_nonnull(strstr(linux_vm.text, "nv: table SLIT"));
    linux_free(&linux_vm);
    close(devices.disk_fd);
    network_leave();
}
END_TEST

Suite *nv_test_suite(void)
{
    Suite *suite = suite_create("boot_full");
    TCase *tcase = support_case(suite, "full", 900);

    host = support_host();
    linux_file("NESTVIRT_TEST_KERNEL_FULL", "bzImage");
    linux_file("NESTVIRT_TEST_INITRD", "");
    tcase_add_unchecked_fixture(tcase, tools_make_folder, tools_remove_folder);
    tcase_add_test(tcase, test_acpi_and_two_cpus);
    return suite;
}
