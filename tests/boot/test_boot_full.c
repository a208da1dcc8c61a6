/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the boot tests on the full kernel: ACPI, two CPUs, power button and power-off. */
#include <errno.h>
#include <string.h>

#include "console.h"
#include "support.h"

static struct nestvirt_host *host;
static struct linux_vm linux_vm;

enum { BOOT_SECONDS = 420 };

START_TEST(test_acpi_and_two_cpus)
{
    const struct linux_options options = {
        .kernel = linux_file("NESTVIRT_TEST_KERNEL_FULL", "bzImage"),
        .discovery = NESTVIRT_DISCOVERY_ACPI,
        .words = "pci=off",
        .vcpus = 2,
        .steps = "hello,cpus,acpi,readline,interrupts,button,poweroff",
    };

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
    linux_expect(&linux_vm, "nv: waiting button", 60);
    ck_nv_ok(nestvirt_vm_request_stop(linux_vm.vm, &error));
    linux_expect(&linux_vm, "nv: button", 60);
    linux_expect_end(&linux_vm, NESTVIRT_RESULT_GUEST_SHUTDOWN, 120, NULL);
    ck_assert_ptr_nonnull(strstr(linux_vm.text, "nv: table DSDT"));
    ck_assert_ptr_nonnull(strstr(linux_vm.text, "nv: table FACP"));
    linux_free(&linux_vm);
}
END_TEST

Suite *nv_test_suite(void)
{
    Suite *suite = suite_create("boot_full");
    TCase *tcase = support_case(suite, "full", 900);

    host = support_host();
    linux_file("NESTVIRT_TEST_KERNEL_FULL", "bzImage");
    linux_file("NESTVIRT_TEST_INITRD", "");
    tcase_add_test(tcase, test_acpi_and_two_cpus);
    return suite;
}
