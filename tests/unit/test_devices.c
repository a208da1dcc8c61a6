/* SPDX-License-Identifier: Apache-2.0 */
/* Proves the table of devices, their properties, and the reset and exit devices. */
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stddef.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "core/util.h"
#include "fake_kvm.h"
#include "support.h"
#include "vm/vm.h"

enum { SLEEP_CONTROL = 0x600, SLEEP_STATUS = 0x601, RESET = 0x602, EVENTS = 0x604, I8042 = 0x64 };

static struct nestvirt_host *host;
static struct nestvirt_vm *vm;

static void setup(void)
{
    fake_kvm_reset();
    host = fake_kvm_host();
    vm = fake_kvm_vm(host, 0, NESTVIRT_CHIP_SPLIT, 1);
}

static void teardown(void)
{
    ck_assert_int_eq(nestvirt_vm_free(vm), 0);
    ck_assert_int_eq(nestvirt_host_free(host), 0);
}

static void run(void)
{
    ck_nv_ok(nestvirt_vm_build(vm, &error));
    ck_nv_ok(nestvirt_vm_start(vm, &error));
}

START_TEST(test_kinds_and_properties)
{
    struct nestvirt_device_property property;
    uint32_t kinds = 0;

    nestvirt_device_property_init(&property, sizeof(property));
    for (; nestvirt_device_get_kind(kinds); kinds++) {
        const char *kind = nestvirt_device_get_kind(kinds);
        uint32_t i = 0;

        while (nestvirt_device_get_property(kind, i, &property, NULL) == 0) {
            ck_assert_int_gt(strlen(property.name), 0);
            ck_assert_int_ge(strlen(property.help), 10);
            ck_assert_uint_ge(property.type, NESTVIRT_PROPERTY_U64);
            ck_assert_uint_le(property.type, NESTVIRT_PROPERTY_STRING);
            i++;
        }
        ck_assert_uint_ge(i, 1);
        ck_nv_fails_with(nestvirt_device_get_property(kind, i, &property, &error), -ENOENT, kind);
        ck_nv_ok(nestvirt_device_add(vm, kind, NULL, &error));
    }
    ck_assert_uint_ge(kinds, 3);
    ck_assert_ptr_null(nestvirt_device_get_kind(UINT32_MAX));
    ck_nv_fails_with(nestvirt_device_get_property("disk", 0, &property, &error), -ENOENT, "serial");
    ck_nv_fails(nestvirt_device_get_property("exit", UINT32_MAX, &property, &error), -ENOENT);
    /* Some kinds need to be told more: each missing thing is named. */
    ck_assert_int_eq(nestvirt_vm_validate(vm, NULL), NESTVIRT_E_INVALID_VM);
}
END_TEST

START_TEST(test_adding)
{
    struct nestvirt_device *device = (struct nestvirt_device *)1;

    ck_nv_fails_with(nestvirt_device_add(vm, "floppy", &device, &error), -ENOENT, "floppy");
    ck_assert_ptr_null(device);
    ck_nv_fails_with(nestvirt_device_add(vm, "", &device, &error), -ENOENT, "serial");
    for (int i = 0; i < NV_DEVICES_MAX; i++)
        ck_nv_ok(nestvirt_device_add(vm, "exit", &device, &error));
    ck_nv_fails_with(nestvirt_device_add(vm, "exit", &device, &error), -ENOSPC, "64");
    ck_assert_ptr_null(device);
    ck_assert_int_eq(nestvirt_vm_build(vm, NULL), NESTVIRT_E_INVALID_VM); /* all at one port */
}
END_TEST

START_TEST(test_numbers_and_truth_values)
{
    struct nestvirt_device *device;
    uint64_t value;

    ck_nv_ok(nestvirt_device_add(vm, "reset", &device, &error));
    ck_nv_ok(nestvirt_device_get_u64(device, "i8042", &value, &error));
    ck_assert_uint_eq(value, 1);
    ck_nv_ok(nestvirt_device_set_u64(device, "i8042", 0, &error));
    ck_nv_ok(nestvirt_device_get_u64(device, "i8042", &value, &error));
    ck_assert_uint_eq(value, 0);
    ck_nv_fails(nestvirt_device_set_u64(device, "i8042", 2, &error), -EINVAL);
    ck_nv_fails(nestvirt_device_get_u64(device, "colour", &value, &error), -ENOENT);
    ck_nv_ok(nestvirt_device_add(vm, "exit", &device, &error));
    ck_nv_ok(nestvirt_device_set_u64(device, "port", 0xffff, &error));
    ck_nv_fails_with(nestvirt_device_set_u64(device, "port", 0x10000, &error), -EINVAL, "port");
    ck_nv_fails(nestvirt_device_set_u64(device, "port", UINT64_MAX, &error), -EINVAL);
    ck_nv_ok(nestvirt_device_get_u64(device, "port", &value, &error));
    ck_assert_uint_eq(value, 0xffff);
    ck_nv_ok(nestvirt_device_add(vm, "serial", &device, &error));
    value = 5;
    ck_nv_fails(nestvirt_device_get_u64(device, "output", &value, &error), -EINVAL);
    ck_assert_uint_eq(value, 0);
}
END_TEST

/* Descriptors given twice: the first copy is closed, which the leak counter would notice. */
START_TEST(test_descriptor_set_twice)
{
    struct nestvirt_device *device;
    int ends[2];

    ck_assert_int_eq(pipe(ends), 0);
    ck_nv_ok(nestvirt_device_add(vm, "serial", &device, &error));
    for (int i = 0; i < 3; i++)
        ck_nv_ok(nestvirt_device_set_fd(device, "output", ends[1], &error));
    close(ends[0]);
    close(ends[1]); /* the caller's own is not needed any more */
    ck_nv_ok(nestvirt_vm_build(vm, &error));
}
END_TEST

START_TEST(test_live_and_fixed_properties)
{
    struct nestvirt_device *device;
    uint64_t value;

    ck_nv_ok(nestvirt_device_add(vm, "serial", &device, &error));
    run();
    ck_nv_fails(nestvirt_device_set_u64(device, "port", 0x2f8, &error), -EBUSY);
    ck_nv_fails(nestvirt_device_set_fd(device, "output", 1, &error), -EBUSY);
    ck_nv_fails(nestvirt_device_set_u64(device, "dropped", 1, &error), -EPERM);
    ck_nv_ok(nestvirt_device_get_u64(device, "dropped", &value, &error));
}
END_TEST

/* What a guest may write to the ports without anything happening. */
START_TEST(test_harmless_writes)
{
    static const struct {
        uint16_t port;
        uint8_t value;
    } writes[] = {
        { RESET, 0 },
        { RESET, 2 },
        { RESET, 0xff },
        { SLEEP_CONTROL, 5 << 2 },
        { SLEEP_STATUS, 0x34 },
        { SLEEP_CONTROL, 1 << 5 | 3 << 2 },
        { SLEEP_CONTROL, 1 << 5 },
        { EVENTS, 1 },
        { I8042, 0xed },
        { I8042, 0xff },
        { I8042, 0xf1 },
        { I8042, 0x01 },
    };

    ck_nv_ok(nestvirt_device_add(vm, "reset", NULL, &error));
    for (size_t i = 0; i < NV_ARRAY_SIZE(writes); i++)
        fake_kvm_push_out(0, 0, writes[i].port, writes[i].value);
    run();
    ck_assert(fake_kvm_wait_idle(0, 0));
    ck_assert_int_eq(nestvirt_vm_get_state(vm), NESTVIRT_STATE_RUNNING);
}
END_TEST

START_TEST(test_reads)
{
    const struct fake_exit *status;
    const struct fake_exit *keyboard;
    const struct fake_exit *exit_port;
    const struct fake_exit *none;

    ck_nv_ok(nestvirt_device_add(vm, "reset", NULL, &error));
    ck_nv_ok(nestvirt_device_add(vm, "exit", NULL, &error));
    status = fake_kvm_push_in(0, 0, SLEEP_STATUS);
    keyboard = fake_kvm_push_in(0, 0, I8042);
    exit_port = fake_kvm_push_in(0, 0, 0x501);
    none = fake_kvm_push_in(0, 0, 0x605);
    run();
    ck_assert(fake_kvm_wait_idle(0, 0));
    ck_assert_uint_eq(status->data[0], 0);
    ck_assert_uint_eq(keyboard->data[0], 0); /* ready for a command */
    ck_assert_uint_eq(exit_port->data[0], 0);
    ck_assert_uint_eq(none->data[0], 0xff);
    ck_assert_int_eq(nestvirt_vm_get_state(vm), NESTVIRT_STATE_RUNNING);
}
END_TEST

START_TEST(test_without_i8042)
{
    struct nestvirt_device *device;
    const struct fake_exit *keyboard;

    ck_nv_ok(nestvirt_device_add(vm, "reset", &device, &error));
    ck_nv_ok(nestvirt_device_set_u64(device, "i8042", 0, &error));
    keyboard = fake_kvm_push_in(0, 0, I8042);
    fake_kvm_push_out(0, 0, I8042, 0xfe);
    run();
    ck_assert(fake_kvm_wait_idle(0, 0));
    ck_assert_uint_eq(keyboard->data[0], 0xff);
    ck_assert_int_eq(nestvirt_vm_get_state(vm), NESTVIRT_STATE_RUNNING);
}
END_TEST

/* Without a chip the guest can still reset and power off. */
START_TEST(test_reset_without_a_chip)
{
    struct nestvirt_vm_result result;

    ck_assert_int_eq(nestvirt_vm_free(vm), 0);
    vm = fake_kvm_vm(host, 0, NESTVIRT_CHIP_NONE, 1);
    ck_nv_ok(nestvirt_device_add(vm, "reset", NULL, &error));
    ck_nv_ok(nestvirt_device_add(vm, "serial", NULL, &error));
    fake_kvm_push_out(0, 0, RESET, 1);
    run();
    nestvirt_vm_result_init(&result, sizeof(result));
    ck_nv_ok(nestvirt_vm_wait(vm, 20000, &result, &error));
    ck_assert_uint_eq(result.reason, NESTVIRT_RESULT_GUEST_RESET);
}
END_TEST

/* The power button: refused with the reason until the guest has set up the event device. */
static void unmask(uint32_t pin)
{
    struct nestvirt_access access = { .offset = 0, .length = 4, .is_write = 1 };

    nv_put_le32(access.data, 0x10 + 2 * pin);
    nv_ioapic_access(&vm->irq, &access);
    access.offset = 0x10;
    nv_put_le32(access.data, 0x55);
    nv_ioapic_access(&vm->irq, &access);
}

START_TEST(test_power_button)
{
    struct nv_device_place place = { 0 };
    struct nestvirt_device *device;
    const struct fake_exit *events;
    const struct fake_exit *again;

    run();
    ck_nv_fails_with(nestvirt_vm_request_stop(vm, &error), -ENOTSUP, "ACPI");
    ck_assert_int_eq(nestvirt_vm_free(vm), 0);
    fake_kvm_reset();
    vm = fake_kvm_vm(host, 0, NESTVIRT_CHIP_SPLIT, 1);
    ck_nv_ok(nestvirt_device_add(vm, "reset", &device, &error));
    run();
    vm->boot.kernel_fd = dup(0); /* as if a kernel with ACPI tables had been loaded */
    ck_nv_fails_with(nestvirt_vm_request_stop(vm, &error), -ENOTSUP, "has not set up");
    device->class->describe(device, &place);
    ck_assert(place.is_power);
    unmask(place.pin);
    ck_nv_ok(nestvirt_vm_request_stop(vm, &error));
    ck_assert_uint_eq(fake_kvm_msi_count(), 1);
    ck_assert_uint_eq(fake_kvm_msi(0).data & 0xff, 0x55);
    events = fake_kvm_push_in(0, 0, EVENTS);
    again = fake_kvm_push_in(0, 0, EVENTS);
    ck_assert(fake_kvm_wait_idle(0, 0));
    ck_assert_uint_eq(events->data[0], 1);
    ck_assert_uint_eq(again->data[0], 0); /* reading acknowledges */
    fake_kvm_set_msi_result(-EINVAL);
    ck_nv_ok(nestvirt_vm_request_stop(vm, &error)); /* lost, but the event stays pending */
}
END_TEST

/* What a log function does with the device that the line is about. */
struct log_user {
    struct nestvirt_device *device;
    unsigned lines;
    int errors;
};

static void log_and_call(void *user_data, uint32_t level, const char *text)
{
    struct log_user *user = user_data;
    struct nestvirt_chain *chain;
    uint64_t features;

    user->errors += nestvirt_virtio_get_features(user->device, &features, NULL) != 0;
    user->errors += nestvirt_virtio_next_chain(user->device, 0, &chain, NULL) != 0;
    user->lines += strstr(text, "needs a reset") != NULL;
}

static void ignore_queue(void *user_data, struct nestvirt_device *device, uint32_t queue)
{
}

/* Lines are logged with no lock held: who gets them may use the device. */
START_TEST(test_log_function_calls_back)
{
    struct nestvirt_virtio_config config;
    struct log_user user = { 0 };

    nestvirt_virtio_config_init(&config, sizeof(config));
    config.device_id = 42;
    config.queue_count = 1;
    ck_nv_ok(nestvirt_virtio_add(vm, &config, ignore_queue, NULL, NULL, &user.device, &error));
    ck_nv_ok(nestvirt_vm_set_log(vm, NESTVIRT_LOG_WARNING, log_and_call, &user, NULL, &error));
    for (unsigned i = 1; i <= 3; i++) {
        ck_nv_ok(nestvirt_vm_build(vm, &error));
        ck_nv_ok(nestvirt_virtio_request_reset(user.device, &error));
        ck_assert_uint_eq(user.lines, i);
        ck_assert_int_eq(user.errors, 0);
        ck_nv_ok(nestvirt_vm_stop(vm, -1, &error));
    }
}
END_TEST

/* A device that is slow to build, after it has read its property. */
struct slow {
    uint64_t size;    /* property */
    uint64_t applied; /* the device goes by this one */
    sem_t has_read;
    sem_t is_set;
};

static int slow_wire(struct nestvirt_device *device, const struct nv_device_env *env,
                     struct nestvirt_error **ret_error)
{
    struct slow *slow = device->state;
    struct timespec until;

    slow->applied = __atomic_load_n(&slow->size, __ATOMIC_RELAXED);
    sem_post(&slow->has_read);
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += 200000000;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    while (sem_timedwait(&slow->is_set, &until) < 0 && errno == EINTR)
        ;
    return 0;
}

static int slow_changed(struct nestvirt_device *device, const struct nv_property *row,
                        struct nestvirt_error **ret_error)
{
    struct slow *slow = device->state;

    slow->applied = slow->size;
    return 0;
}

static const struct nv_property slow_properties[] = {
    { .name = "size",
      .type = NESTVIRT_PROPERTY_U64,
      .flags = NESTVIRT_PROPERTY_LIVE,
      .offset = offsetof(struct slow, size),
      .max = 100,
      .help = "any" },
};

static const struct nv_device_class slow_class = {
    .name = "slow",
    .help = "for one test",
    .state_size = sizeof(struct slow),
    .properties = slow_properties,
    .property_count = NV_ARRAY_SIZE(slow_properties),
    .wire = slow_wire,
    .changed = slow_changed,
};

static void *set_size(void *argument)
{
    struct nestvirt_device *device = argument;
    struct slow *slow = device->state;

    while (sem_wait(&slow->has_read) < 0)
        ;
    ck_nv_ok(nv_device_set(device, "size", NESTVIRT_PROPERTY_U64, false, 7, NULL, &error));
    sem_post(&slow->is_set);
    return NULL;
}

/* Set by another thread while the device is built: not only stored. */
START_TEST(test_live_property_set_while_wiring)
{
    struct nestvirt_device *device;
    struct slow *slow;
    pthread_t thread;

    ck_nv_ok(nv_device_new(&slow_class, 0, NULL, &device, &error));
    slow = device->state;
    sem_init(&slow->has_read, 0, 0);
    sem_init(&slow->is_set, 0, 0);
    ck_assert_int_eq(pthread_create(&thread, NULL, set_size, device), 0);
    ck_nv_ok(nv_device_claim(device, NULL, &error));
    ck_nv_ok(nv_device_wire(device, NULL, &error));
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    ck_assert_uint_eq(slow->size, 7);
    ck_assert_uint_eq(slow->applied, 7);
    sem_destroy(&slow->has_read);
    sem_destroy(&slow->is_set);
    nv_device_free(device);
}
END_TEST

Suite *nv_test_suite(void)
{
    Suite *suite = suite_create("devices");
    TCase *tcase = support_case(suite, "devices", 60);

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, test_kinds_and_properties);
    tcase_add_test(tcase, test_adding);
    tcase_add_test(tcase, test_numbers_and_truth_values);
    tcase_add_test(tcase, test_descriptor_set_twice);
    tcase_add_test(tcase, test_live_and_fixed_properties);
    tcase_add_test(tcase, test_live_property_set_while_wiring);
    tcase_add_test(tcase, test_log_function_calls_back);
    tcase_add_test(tcase, test_harmless_writes);
    tcase_add_test(tcase, test_reads);
    tcase_add_test(tcase, test_without_i8042);
    tcase_add_test(tcase, test_reset_without_a_chip);
    tcase_add_test(tcase, test_power_button);
    return suite;
}
