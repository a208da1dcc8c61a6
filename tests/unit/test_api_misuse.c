/* SPDX-License-Identifier: Apache-2.0 */
/* Proves that wrong calls are refused and change nothing: values, files, limits, threads. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fake_kvm.h"
#include "leak.h"
#include "support.h"

static struct nestvirt_host *host;
static struct nestvirt_vm *vm;
static struct nestvirt_vcpu *vcpu;
static struct nestvirt_device *device;

static void setup(void)
{
    fake_kvm_reset();
    host = fake_kvm_host();
    vm = fake_kvm_vm(host, 0, NESTVIRT_CHIP_SPLIT, 2);
    ck_nv_ok(nestvirt_vm_get_vcpu(vm, 0, &vcpu, &error));
    ck_nv_ok(nestvirt_device_add(vm, "serial", &device, &error));
}

static void teardown(void)
{
    ck_assert_int_eq(nestvirt_vm_free(vm), 0);
    ck_assert_int_eq(nestvirt_host_free(host), 0);
}

static int32_t handle(void *user_data, struct nestvirt_access *access)
{
    return NESTVIRT_ACTION_RESUME;
}

static void new_fails(const struct nestvirt_vm_config *config, const char *text)
{
    struct nestvirt_vm *made = vm;

    ck_nv_fails_with(nestvirt_vm_new(host, config, &made, &error), -EINVAL, text);
    ck_assert_ptr_null(made);
}

START_TEST(test_misuse_05_and_08_configuration)
{
    struct nestvirt_vm_config config;
    char name[80];

    nestvirt_vm_config_init(&config, sizeof(config));
    config.vcpus = 0;
    new_fails(&config, "0 vCPUs; give it 1 to 254");
    config.vcpus = 255;
    new_fails(&config, "255 vCPUs");
    config.vcpus = UINT32_MAX;
    new_fails(&config, "vCPUs");
    config.vcpus = 1;
    config.flags = 1u << 30;
    new_fails(&config, "flags 0x40000000");
    config.flags = NESTVIRT_VM_PIT;
    new_fails(&config, "NESTVIRT_VM_PIT");
    config.flags = 0;
    config.reserved = 1;
    new_fails(&config, "reserved");
    config.reserved = 0;
    config.interrupt_chip = 3;
    new_fails(&config, "chip 3");
    config.interrupt_chip = 0;
    config.memory_backing = 1;
    new_fails(&config, "memory_backing");
    config.memory_backing = 0;
    config.memory_size = 4095;
    new_fails(&config, "multiple of 4096");
    config.memory_size = 1ull << 63;
    new_fails(&config, "16 TiB");
    config.memory_size = 4096;
    config.memory_backing = 7;
    new_fails(&config, "backing");
    config.memory_backing = 0;
    memset(name, 'n', sizeof(name));
    name[64] = '\0';
    config.name = name;
    new_fails(&config, "63 bytes");
}
END_TEST

START_TEST(test_largest_configuration)
{
    struct nestvirt_vm_config config;
    struct nestvirt_vm *made = NULL;
    char name[64];

    nestvirt_vm_config_init(&config, sizeof(config));
    memset(name, 'n', 63);
    name[63] = '\0';
    config.name = name;
    config.vcpus = 254;
    config.memory_size = 4096;
    ck_nv_ok(nestvirt_vm_new(host, &config, &made, &error));
    ck_nv_ok(nestvirt_vm_build(made, &error));
    ck_nv_ok(nestvirt_vm_start(made, &error));
    ck_assert_int_eq(nestvirt_vm_free(made), 0);
    ck_nv_ok(nestvirt_vm_new(host, NULL, &made, &error));  /* the defaults */
    ck_nv_fails(nestvirt_vm_build(made, &error), -EINVAL); /* no memory */
    ck_assert_int_eq(nestvirt_vm_free(made), 0);
}
END_TEST

/* Boot files of the wrong kind, each with a code of its own. */
START_TEST(test_misuse_14_boot_files)
{
    char fifo[] = "/tmp/nestvirt-fifo-XXXXXX";
    struct nestvirt_flat_config flat;
    char line[NESTVIRT_CMDLINE_MAX + 2];

    ck_assert_ptr_nonnull(mkdtemp(fifo));
    ck_assert_int_eq(rmdir(fifo), 0);
    ck_assert_int_eq(mkfifo(fifo, 0600), 0);
    ck_nv_fails_with(nestvirt_boot_set_kernel(vm, "/nonexistent", 0, &error), -ENOENT, "/nonexist");
    ck_nv_fails(nestvirt_boot_set_kernel(vm, "/tmp", 0, &error), -EISDIR);
    ck_nv_fails(nestvirt_boot_set_kernel(vm, fifo, 0, &error), -EINVAL); /* and does not wait */
    ck_nv_fails(nestvirt_boot_set_kernel(vm, "/dev/null", 0, &error), -EINVAL);
    ck_nv_fails(nestvirt_boot_set_kernel(vm, "/proc/self/exe", 5, &error), -EINVAL);
    ck_nv_fails_with(nestvirt_boot_set_kernel_fd(vm, -1, 0, &error), -EBADF, "-1");
    ck_nv_fails(nestvirt_boot_set_initrd(vm, "/tmp", &error), -EISDIR);
    ck_nv_fails(nestvirt_boot_set_initrd_fd(vm, 19999, &error), -EBADF);
    nestvirt_flat_config_init(&flat, sizeof(flat));
    flat.mode = 3;
    ck_nv_fails(nestvirt_boot_set_flat(vm, "/proc/self/exe", &flat, &error), -EINVAL);
    flat.mode = 0;
    flat.reserved = 1;
    ck_nv_fails(nestvirt_boot_set_flat(vm, "/proc/self/exe", &flat, &error), -EINVAL);
    ck_nv_fails(nestvirt_boot_set_discovery(vm, 8, &error), -EINVAL);
    memset(line, 'x', sizeof(line));
    line[NESTVIRT_CMDLINE_MAX + 1] = '\0';
    ck_nv_fails(nestvirt_boot_set_cmdline(vm, line, &error), -E2BIG);
    line[NESTVIRT_CMDLINE_MAX] = '\0';
    ck_nv_ok(nestvirt_boot_set_cmdline(vm, line, &error));
    unlink(fifo);
}
END_TEST

/* A failed call leaves all as it was, and clears what it would have returned. */
START_TEST(test_misuse_17_failures_change_nothing)
{
    struct nestvirt_vcpu *other = vcpu;
    struct nestvirt_device *added = device;
    void *pointer = &pointer;
    struct nestvirt_memory_config memory = { .size = sizeof(memory) };

    ck_nv_fails(nestvirt_vm_get_vcpu(vm, 2, &other, &error), -ENOENT);
    ck_assert_ptr_null(other);
    other = vcpu;
    ck_nv_fails(nestvirt_vm_get_vcpu((void *)host, 0, &other, &error), -EBADF);
    ck_assert_ptr_null(other);
    ck_nv_fails(nestvirt_device_add(NULL, "exit", &added, &error), -EFAULT);
    ck_assert_ptr_null(added);
    ck_nv_fails(nestvirt_memory_get_pointer(vm, UINT64_MAX, 1, &pointer, &error), -EFAULT);
    ck_assert_ptr_null(pointer);
    pointer = &pointer;
    ck_nv_fails(nestvirt_memory_get_pointer(NULL, 0, 1, &pointer, &error), -EFAULT);
    ck_assert_ptr_null(pointer);
    ck_nv_fails(nestvirt_memory_get(vm, 1, &memory, &error), -ENOENT);
    ck_nv_fails(nestvirt_memory_get(vm, UINT32_MAX, &memory, &error), -ENOENT);
    ck_nv_ok(nestvirt_vm_build(vm, &error)); /* nothing of all that was in the way */
}
END_TEST

START_TEST(test_misuse_03_twice)
{
    ck_nv_ok(nestvirt_vm_build(vm, &error));
    ck_nv_fails_with(nestvirt_vm_build(vm, &error), -EBUSY, "built");
    ck_nv_ok(nestvirt_vm_start(vm, &error));
    ck_nv_fails_with(nestvirt_vm_start(vm, &error), -EALREADY, "running");
    ck_nv_fails_with(nestvirt_vm_resume(vm, &error), -EALREADY, "running");
    ck_nv_ok(nestvirt_vm_pause(vm, &error));
    ck_nv_fails_with(nestvirt_vm_pause(vm, &error), -EALREADY, "paused");
    ck_nv_ok(nestvirt_vm_stop(vm, -1, &error));
    ck_nv_ok(nestvirt_vm_stop(vm, -1, &error));
}
END_TEST

START_TEST(test_interrupt_arguments)
{
    ck_assert_int_eq(nestvirt_irq_add(vm, NESTVIRT_IRQ_ANY, 0, NULL), 5);
    ck_nv_fails(nestvirt_irq_add(vm, 24, 0, &error), -EINVAL);
    ck_nv_fails(nestvirt_irq_add(vm, 6, 2, &error), -EINVAL);
    ck_nv_ok(nestvirt_vm_build(vm, &error));
    ck_nv_fails(nestvirt_irq_set(vm, 5, 2, &error), -EINVAL);
    ck_nv_fails(nestvirt_irq_set(vm, 6, 1, &error), -EINVAL);
    ck_nv_fails(nestvirt_irq_set(vm, UINT32_MAX, 1, &error), -EINVAL);
    ck_nv_ok(nestvirt_irq_set(vm, 5, 1, &error));
    fake_kvm_set_msi_result(0);
    ck_assert_int_eq(nestvirt_msi_send(vm, 0xfee00000, 1, NULL), 0);
    fake_kvm_set_msi_result(-EINVAL);
    ck_nv_fails(nestvirt_msi_send(vm, 0xfee00000, 1, &error), -EINVAL);
}
END_TEST

static unsigned freed;

static void free_and_call_back(void *user_data)
{
    char byte;

    freed++;
    if (nestvirt_vm_get_state(user_data) == NESTVIRT_STATE_NEW)
        freed += nestvirt_memory_read(user_data, 0, &byte, 1, NULL) == 0 ? 10 : 100;
}

/* free_data is a callback as well: it may call the library. */
START_TEST(test_handler_data_is_freed_once)
{
    int number;

    freed = 0;
    ck_nv_fails(
        nestvirt_handler_add(vm, NESTVIRT_SPACE_PORT, 1, 0, handle, vm, free_and_call_back, &error),
        -EINVAL);
    ck_assert_uint_eq(freed, 0);
    number =
        nestvirt_handler_add(vm, NESTVIRT_SPACE_PORT, 1, 1, handle, vm, free_and_call_back, NULL);
    ck_assert_int_ge(number, 0);
    ck_nv_ok(nestvirt_handler_remove(vm, (uint32_t)number, &error));
    ck_assert_uint_eq(freed, 11);
    ck_nv_fails(nestvirt_handler_remove(vm, (uint32_t)number, &error), -ENOENT);
    ck_assert_uint_eq(freed, 11);
}
END_TEST

/* Descriptors run out in the middle: the code stays, nothing is left, and it works again later. */
START_TEST(test_misuse_11_and_fault_12_no_descriptors)
{
    struct rlimit old;
    struct rlimit low;
    struct leak_count before = leak_count();
    char text[256];
    int highest = dup(0);
    unsigned failures = 0;

    close(highest);
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &old), 0);
    low = old;
    for (int extra = 0; extra < 20; extra++) {
        int r;

        low.rlim_cur = (rlim_t)(highest + extra);
        ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &low), 0);
        r = nestvirt_vm_build(vm, NULL);
        ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &old), 0);
        if (r == 0)
            break;
        ck_assert_int_eq(r, -EMFILE);
        failures++;
        ck_assert_msg(!leak_compare(&before, text, sizeof(text)), "%s", text);
    }
    ck_assert_uint_ge(failures, 3);
    ck_assert_int_eq(nestvirt_vm_get_state(vm), NESTVIRT_STATE_BUILT);
}
END_TEST

/* Configuring from several threads at once: they take turns. */
enum { ADDERS = 4, ADDED = 200 };

static void *adder(void *argument)
{
    uint64_t base = (uintptr_t)argument * 0x1000;
    uintptr_t wrong = 0;

    for (uint64_t i = 0; i < ADDED; i++) {
        int number = nestvirt_handler_add(vm, NESTVIRT_SPACE_PORT, base + i * 4, 2, handle, NULL,
                                          NULL, NULL);

        wrong += number < 0;
        if (i % 2)
            wrong += nestvirt_handler_remove(vm, (uint32_t)number, NULL) != 0;
    }
    return (void *)wrong;
}

START_TEST(test_misuse_06_configuring_from_many_threads)
{
    pthread_t threads[ADDERS];

    for (uintptr_t i = 0; i < ADDERS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, adder, (void *)(i + 1)), 0);
    for (int i = 0; i < ADDERS; i++) {
        void *wrong;

        pthread_join(threads[i], &wrong);
        ck_assert_ptr_null(wrong);
    }
    ck_nv_ok(nestvirt_vm_build(vm, &error));
}
END_TEST

START_TEST(test_version)
{
    ck_assert_uint_eq(nestvirt_version(), NESTVIRT_VERSION_MAJOR << 16 |
                                              NESTVIRT_VERSION_MINOR << 8 | NESTVIRT_VERSION_MICRO);
    ck_assert_str_eq(nestvirt_version_string(), "0.1.0");
}
END_TEST

Suite *nv_test_suite(void)
{
    Suite *suite = suite_create("api_misuse");
    TCase *tcase = support_case(suite, "misuse", 60);

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, test_misuse_05_and_08_configuration);
    tcase_add_test(tcase, test_largest_configuration);
    tcase_add_test(tcase, test_misuse_14_boot_files);
    tcase_add_test(tcase, test_misuse_17_failures_change_nothing);
    tcase_add_test(tcase, test_misuse_03_twice);
    tcase_add_test(tcase, test_interrupt_arguments);
    tcase_add_test(tcase, test_handler_data_is_freed_once);
    tcase_add_test(tcase, test_misuse_11_and_fault_12_no_descriptors);
    tcase_add_test(tcase, test_misuse_06_configuring_from_many_threads);
    tcase_add_test(tcase, test_version);
    return suite;
}
