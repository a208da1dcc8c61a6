/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the boot tests on the fast kernel: MP table, one CPU, no ACPI. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "console.h"
#include "support.h"

static struct nestvirt_host *host;
static struct linux_vm first, second, third;

enum { BOOT_SECONDS = 240 };

/* The count behind the last "nv: irq4 ". */
static long irq_count(const struct linux_vm *linux_vm)
{
    const char *line = linux_vm->text + linux_vm->mark;
    long count = -1;

    sscanf(line, " %ld", &count);
    return count;
}

/* A process in the guest reads a typed line by interrupts that /proc/interrupts counts. */
static void talk(struct linux_vm *linux_vm)
{
    long before;

    linux_expect(linux_vm, "nv: hello 6.1", BOOT_SECONDS);
    linux_expect(linux_vm, "nv: memory ", 30);
    linux_expect(linux_vm, "nv: irq4", 30);
    linux_listen(linux_vm, 200);
    before = irq_count(linux_vm);
    ck_assert_int_gt(before, 0);
    linux_expect(linux_vm, "nv: waiting line", 30);
    linux_type(linux_vm, "typed on the host\n");
    linux_expect(linux_vm, "nv: line typed on the host", 60);
    linux_expect(linux_vm, "nv: irq4", 60);
    linux_listen(linux_vm, 200);
    ck_assert_int_gt(irq_count(linux_vm), before);
}

/*
 * Three VMs in one process: one from vmlinux (then started again), one from the bzImage that is
 * paused, resumed and stopped in the middle, one through PVH that ends by the exit device.
 */
START_TEST(test_three_linux_at_once)
{
    const struct linux_options options[] = {
        { .kernel = linux_file("NESTVIRT_TEST_KERNEL_FAST", "vmlinux"),
          .format = NESTVIRT_KERNEL_AUTO,
          .discovery = NESTVIRT_DISCOVERY_MPTABLE,
          .steps = "hello,interrupts,readline,interrupts" },
        { .kernel = linux_file("NESTVIRT_TEST_KERNEL_FAST", "bzImage"),
          .format = NESTVIRT_KERNEL_BZIMAGE,
          .backing = NESTVIRT_BACKING_MEMFD,
          .steps = "ticks" },
        { .kernel = linux_file("NESTVIRT_TEST_KERNEL_FAST", "vmlinux"),
          .format = NESTVIRT_KERNEL_PVH,
          .steps = "hello,exit:42" },
    };
    struct nestvirt_vm_result result;

    linux_start(&first, host, &options[0]);
    linux_start(&second, host, &options[1]);
    linux_start(&third, host, &options[2]);

    talk(&first);
    linux_expect_end(&first, NESTVIRT_RESULT_GUEST_RESET, 60, NULL);

    linux_expect_end(&third, NESTVIRT_RESULT_GUEST_EXIT, BOOT_SECONDS, &result);
    ck_assert_int_eq(result.exit_code, 42);
    linux_free(&third);

    linux_expect(&second, "nv: tick 3", BOOT_SECONDS);
    ck_nv_ok(nestvirt_vm_pause(second.vm, &error));
    linux_listen(&second, 50);
    ck_assert_uint_eq(linux_listen(&second, 1000), 0);
    ck_nv_ok(nestvirt_vm_resume(second.vm, &error));
    linux_expect(&second, "nv: tick", 30);
    linux_expect(&second, "nv: tick", 30);

    /* The first again, in the same process and the same object, while the second goes on. */
    linux_forget(&first);
    ck_nv_ok(nestvirt_vm_start(first.vm, &error));
    linux_expect(&first, "Linux version", 60);
    ck_nv_ok(nestvirt_vm_stop(second.vm, 5000, &error));
    linux_expect_end(&second, NESTVIRT_RESULT_STOPPED, 5, NULL);
    linux_free(&second);
    talk(&first);
    linux_expect_end(&first, NESTVIRT_RESULT_GUEST_RESET, 60, NULL);
    linux_free(&first);
}
END_TEST

Suite *nv_test_suite(void)
{
    Suite *suite = suite_create("boot_fast");
    TCase *tcase = support_case(suite, "fast", 900);

    host = support_host();
    linux_file("NESTVIRT_TEST_KERNEL_FAST", "vmlinux");
    linux_file("NESTVIRT_TEST_INITRD", "");
    tcase_add_test(tcase, test_three_linux_at_once);
    return suite;
}
