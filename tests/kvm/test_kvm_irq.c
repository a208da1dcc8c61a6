/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the tests of interrupts, eventfds, a second CPU and the serial port on real KVM. */
#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "guests.h"
#include "support.h"

static struct nestvirt_host *host;

enum { EDGE_PIN = 10, LEVEL_PIN = 11, EDGE_VECTOR = 0x40, LEVEL_VECTOR = 0x41 };

/* What the guest's handlers wrote, and when to lower the level line. */
struct seen {
    struct nestvirt_vm *vm;
    atomic_int edge;
    atomic_int level;
    atomic_int ready;
    atomic_int lower_at;
};

static int32_t on_vector(void *user_data, struct nestvirt_access *access)
{
    struct seen *seen = user_data;

    if (access->offset == 1)
        atomic_fetch_add(&seen->ready, 1);
    else if (access->data[0] == EDGE_VECTOR)
        atomic_fetch_add(&seen->edge, 1);
    else if (access->data[0] == LEVEL_VECTOR &&
             atomic_fetch_add(&seen->level, 1) + 1 == seen->lower_at)
        nestvirt_irq_set(seen->vm, LEVEL_PIN, 0, NULL);
    return NESTVIRT_ACTION_RESUME;
}

/* Waits until *value is at least wanted; fails after 10 seconds. */
static void await_count(atomic_int *value, int wanted)
{
    for (int i = 0; i < 10000 && atomic_load(value) < wanted; i++)
        usleep(1000);
    ck_assert_int_ge(atomic_load(value), wanted);
}

/* The interrupt guest, started and with its pins unmasked. */
static struct nestvirt_vm *start_interrupts(struct seen *seen, int irqfd)
{
    struct nestvirt_vm *vm = GUEST_NEW(host, interrupts, .mode = NESTVIRT_MODE_LONG);

    seen->vm = vm;
    ck_nv_ok(
        nestvirt_handler_add(vm, NESTVIRT_SPACE_PORT, 0x700, 2, on_vector, seen, NULL, &error));
    ck_assert_int_eq(nestvirt_irq_add(vm, EDGE_PIN, 0, NULL), EDGE_PIN);
    ck_assert_int_eq(nestvirt_irq_add(vm, LEVEL_PIN, NESTVIRT_IRQ_LEVEL, NULL), LEVEL_PIN);
    if (irqfd >= 0)
        ck_nv_ok(nestvirt_irqfd_add(vm, EDGE_PIN, irqfd, &error));
    guest_start(vm);
    await_count(&seen->ready, 1);
    return vm;
}

START_TEST(test_edge_line)
{
    struct seen seen = { 0 };
    struct nestvirt_vm *vm = start_interrupts(&seen, -1);

    for (int i = 0; i < 100; i++) {
        ck_nv_ok(nestvirt_irq_set(vm, EDGE_PIN, 1, &error));
        await_count(&seen.edge, i + 1);
        ck_nv_ok(nestvirt_irq_set(vm, EDGE_PIN, 1, &error)); /* already up: no edge */
        ck_nv_ok(nestvirt_irq_set(vm, EDGE_PIN, 0, &error));
    }
    usleep(20000);
    ck_assert_int_eq(atomic_load(&seen.edge), 100);
    nestvirt_vm_free(vm);
}
END_TEST

START_TEST(test_level_line_fires_until_lowered)
{
    struct seen seen = { .lower_at = 5 };
    struct nestvirt_vm *vm = start_interrupts(&seen, -1);

    ck_nv_ok(nestvirt_irq_set(vm, LEVEL_PIN, 1, &error));
    await_count(&seen.level, 5);
    usleep(20000);
    ck_assert_int_eq(atomic_load(&seen.level), 5);
    seen.lower_at = 6;
    ck_nv_ok(nestvirt_irq_set(vm, LEVEL_PIN, 1, &error));
    await_count(&seen.level, 6);
    usleep(20000);
    ck_assert_int_eq(atomic_load(&seen.level), 6);
    nestvirt_vm_free(vm);
}
END_TEST

START_TEST(test_irqfd)
{
    struct seen seen = { 0 };
    int fd = eventfd(0, EFD_CLOEXEC);
    struct nestvirt_vm *vm = start_interrupts(&seen, fd);

    for (int i = 0; i < 100; i++) {
        ck_assert_int_eq(eventfd_write(fd, 1), 0);
        await_count(&seen.edge, i + 1);
    }
    ck_assert_int_eq(atomic_load(&seen.edge), 100);
    nestvirt_vm_free(vm);
    close(fd);
}
END_TEST

START_TEST(test_msi)
{
    struct seen seen = { 0 };
    struct nestvirt_vm *vm = start_interrupts(&seen, -1);

    ck_assert_int_eq(nestvirt_msi_send(vm, 0xfee00000, EDGE_VECTOR, NULL), 1);
    await_count(&seen.edge, 1);
    ck_nv_ok(nestvirt_vm_pause(vm, &error));
    ck_assert_int_eq(nestvirt_msi_send(vm, 0xfee00000, EDGE_VECTOR, NULL), 1);
    ck_nv_ok(nestvirt_vm_resume(vm, &error));
    await_count(&seen.edge, 2);
    ck_nv_ok(nestvirt_vm_stop(vm, 1000, &error));
    nestvirt_vm_free(vm);
}
END_TEST

START_TEST(test_ioeventfd)
{
    struct nestvirt_ioeventfd_config config;
    struct nestvirt_vm *vm = GUEST_NEW(host, notify);
    int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    int other = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    eventfd_t value = 0;

    nestvirt_ioeventfd_config_init(&config, sizeof(config));
    config.space = NESTVIRT_SPACE_PORT;
    config.address = 0x720;
    config.length = 1;
    config.flags = NESTVIRT_IOEVENTFD_DATAMATCH;
    config.value = 1;
    config.fd = fd;
    ck_nv_ok(nestvirt_ioeventfd_add(vm, &config, &error));
    config.value = 2;
    config.fd = other;
    ck_nv_ok(nestvirt_ioeventfd_add(vm, &config, &error));
    ck_nv_fails(nestvirt_ioeventfd_add(vm, &config, &error), -EEXIST);
    guest_start(vm);
    ck_assert_uint_eq(guest_wait(vm, NULL), NESTVIRT_RESULT_GUEST_EXIT);
    ck_assert_int_eq(eventfd_read(fd, &value), 0);
    ck_assert_uint_eq(value, 3);
    ck_assert_int_eq(eventfd_read(other, &value), -1);
    nestvirt_vm_free(vm);
    close(fd);
    close(other);
}
END_TEST

static int32_t on_cpu(void *user_data, struct nestvirt_access *access)
{
    atomic_int *bits = user_data;

    atomic_fetch_or(bits, access->data[0] == 0x11 ? 1 << access->vcpu : 16 << access->vcpu);
    return NESTVIRT_ACTION_RESUME;
}

START_TEST(test_second_cpu_starts)
{
    struct nestvirt_vm *vm =
        GUEST_NEW(host, second_cpu, .mode = NESTVIRT_MODE_PROTECTED, .vcpus = 2);
    atomic_int bits = 0;

    ck_nv_ok(nestvirt_handler_add(vm, NESTVIRT_SPACE_PORT, 0x700, 1, on_cpu, &bits, NULL, &error));
    guest_start(vm);
    for (int i = 0; i < 10000 && atomic_load(&bits) != (1 | 32); i++)
        usleep(1000);
    ck_assert_int_eq(atomic_load(&bits), 1 | 32); /* 0x11 from CPU 0, 0x22 from CPU 1 */
    nestvirt_vm_free(vm);
}
END_TEST

START_TEST(test_serial_echo)
{
    struct nestvirt_vm *vm = GUEST_NEW(host, echo);
    struct nestvirt_device *serial;
    int in[2], out[2];
    char text[32] = "";

    ck_assert_int_eq(pipe(in), 0);
    ck_assert_int_eq(pipe(out), 0);
    ck_nv_ok(nestvirt_device_add(vm, "serial", &serial, &error));
    ck_nv_ok(nestvirt_device_set_fd(serial, "input", in[0], &error));
    ck_nv_ok(nestvirt_device_set_fd(serial, "output", out[1], &error));
    guest_start(vm);
    ck_assert_int_eq(write(in[1], "hello, q", 8), 8);
    ck_assert_uint_eq(guest_wait(vm, NULL), NESTVIRT_RESULT_GUEST_EXIT);
    /* All output is there when wait returns. */
    ck_assert_int_eq(read(out[0], text, sizeof(text)), 8);
    ck_assert_str_eq(text, "hello, q");
    nestvirt_vm_free(vm);
    for (int i = 0; i < 2; i++) {
        close(in[i]);
        close(out[i]);
    }
}
END_TEST

START_TEST(test_two_vms_share_a_loop)
{
    struct nestvirt_loop *loop;
    struct nestvirt_vm *vms[2];
    int in[2][2];

    ck_nv_ok(nestvirt_loop_new(&loop, &error));
    for (int i = 0; i < 2; i++) {
        struct nestvirt_device *serial;

        vms[i] = GUEST_NEW(host, echo);
        ck_assert_int_eq(pipe(in[i]), 0);
        ck_nv_ok(nestvirt_vm_set_loop(vms[i], loop, &error));
        ck_nv_ok(nestvirt_device_add(vms[i], "serial", &serial, &error));
        ck_nv_ok(nestvirt_device_set_fd(serial, "input", in[i][0], &error));
        guest_start(vms[i]);
    }
    ck_assert_int_eq(nestvirt_loop_free(loop), 0); /* the VMs hold it */
    for (int i = 1; i >= 0; i--) {
        ck_assert_int_eq(write(in[i][1], "q", 1), 1);
        ck_assert_uint_eq(guest_wait(vms[i], NULL), NESTVIRT_RESULT_GUEST_EXIT);
        nestvirt_vm_free(vms[i]);
        close(in[i][0]);
        close(in[i][1]);
    }
}
END_TEST

START_TEST(test_request_stop_says_why_not)
{
    struct nestvirt_vm *vm = GUEST_NEW(host, halt);

    guest_start(vm);
    ck_nv_fails_with(nestvirt_vm_request_stop(vm, &error), -ENOTSUP, "ACPI event device");
    ck_nv_ok(nestvirt_vm_stop(vm, 1000, &error));
    ck_nv_fails(nestvirt_vm_request_stop(vm, &error), -EBUSY);
    nestvirt_vm_free(vm);
}
END_TEST

Suite *nv_test_suite(void)
{
    Suite *suite = suite_create("kvm_irq");
    TCase *tcase = support_case(suite, "irq", 60);

    host = support_host();
    tcase_add_test(tcase, test_edge_line);
    tcase_add_test(tcase, test_level_line_fires_until_lowered);
    tcase_add_test(tcase, test_irqfd);
    tcase_add_test(tcase, test_msi);
    tcase_add_test(tcase, test_ioeventfd);
    tcase_add_test(tcase, test_second_cpu_starts);
    tcase_add_test(tcase, test_serial_echo);
    tcase_add_test(tcase, test_two_vms_share_a_loop);
    tcase_add_test(tcase, test_request_stop_says_why_not);
    return suite;
}
