/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the tests of virtio devices of the program's own, on real KVM. */
#include <errno.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "guests.h"
#include "script.h"
#include "support.h"

static struct nestvirt_host *host;

enum { GO = SCRIPT_BUFFER + 0x800 }; /* where the guest waits for a sign */
enum { FEATURE = 1 << 3, QUICK_NS = 2000000000 };

/* What the device of a test does and has seen. */
struct own {
    struct script script;
    bool holds; /* keep the chain instead of completing it */
    struct nestvirt_chain *_Atomic held;
    atomic_int calls;
    atomic_int drops;
    atomic_int writes;
    atomic_int freed;
    uint32_t offset, length;
    char text[64];
    uint64_t readable, writable;
    int errors;
};

static int64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static void await(atomic_int *value, int wanted)
{
    for (int i = 0; i < 5000 && atomic_load(value) < wanted; i++)
        usleep(1000);
    ck_assert_int_ge(atomic_load(value), wanted);
}

static void await_held(struct own *own)
{
    for (int i = 0; i < 5000 && !atomic_load(&own->held); i++)
        usleep(1000);
    ck_assert_ptr_nonnull(atomic_load(&own->held));
}

static void answer(struct own *own, struct nestvirt_chain *chain)
{
    own->errors += nestvirt_chain_get_size(chain, &own->readable, &own->writable, NULL) != 0;
    own->errors += nestvirt_chain_read(chain, own->text, sizeof(own->text), NULL) != 5;
    own->errors += nestvirt_chain_read(chain, own->text + 5, 1, NULL) != 0;
    own->errors += nestvirt_chain_write(chain, "pong", 4, NULL) != 4;
    own->errors += nestvirt_chain_write(chain, "!!", 2, NULL) != 1;
    own->errors += nestvirt_chain_complete(chain, NULL) != 1;
}

static void on_queue(void *user_data, struct nestvirt_device *device, uint32_t queue)
{
    struct own *own = user_data;
    struct nestvirt_chain *chain;

    while (nestvirt_virtio_next_chain(device, queue, &chain, NULL) == 1) {
        if (own->holds)
            atomic_store(&own->held, chain);
        else
            answer(own, chain);
    }
    atomic_fetch_add(&own->calls, 1);
}

static void on_drop(void *user_data, struct nestvirt_device *device, uint32_t queue)
{
    struct own *own = user_data;

    atomic_fetch_add(&own->drops, 1);
}

static void on_config(void *user_data, struct nestvirt_device *device, uint32_t offset,
                      uint32_t length)
{
    struct own *own = user_data;

    own->offset = offset;
    own->length = length;
    atomic_fetch_add(&own->writes, 1);
}

static void on_free(void *user_data)
{
    struct own *own = user_data;

    atomic_fetch_add(&own->freed, 1);
}

/* A VM with the device, and a chain of five readable and five writable bytes at head 0. */
static void begin(struct own *own)
{
    struct nestvirt_virtio_config config;

    *own = (struct own){ .holds = false };
    script_begin(&own->script, host, NULL);
    nestvirt_virtio_config_init(&config, sizeof(config));
    config.device_id = 42;
    config.queue_count = 1;
    config.config_length = 8;
    config.config = "configur";
    config.features = FEATURE;
    ck_nv_ok(nestvirt_virtio_add(own->script.vm, &config, on_queue, own, on_free,
                                 &own->script.device, &error));
    ck_nv_ok(nestvirt_virtio_set_drop_handler(own->script.device, on_drop, &error));
    ck_nv_ok(nestvirt_virtio_set_config_handler(own->script.device, on_config, &error));
    ck_nv_ok(nestvirt_memory_write(own->script.vm, SCRIPT_BUFFER, "ping?", 5, &error));
    script_descriptor(&own->script, SCRIPT_TABLE, 0, SCRIPT_BUFFER, 5, SCRIPT_NEXT, 1);
    script_descriptor(&own->script, SCRIPT_TABLE, 1, SCRIPT_BUFFER + 64, 5, SCRIPT_WRITE, 0);
    script_drive(&own->script, FEATURE);
}

static void end(struct own *own)
{
    script_end(&own->script);
    ck_assert_int_eq(own->freed, 1);
    ck_assert_int_eq(own->errors, 0);
}

START_TEST(test_request_and_answer)
{
    struct own own;
    char text[5];
    uint64_t features;
    uint32_t id;
    uint32_t interrupt;

    begin(&own);
    id = script_read(&own.script, NV_VIRTIO_REG_DEVICE_ID);
    script_set_available(&own.script, 1);
    script_put(&own.script, NV_VIRTIO_REG_QUEUE_NOTIFY, 0);
    script_wait_used(&own.script, 1);
    script_wait_bits(&own.script, NV_VIRTIO_REG_INTERRUPT_STATUS, 1);
    script_put(&own.script, NV_VIRTIO_REG_INTERRUPT_ACK, 1);
    interrupt = script_read(&own.script, NV_VIRTIO_REG_INTERRUPT_STATUS);
    script_run(&own.script);
    ck_assert_uint_eq(script_value(&own.script, id), 42);
    ck_assert_uint_eq(script_value(&own.script, interrupt), 0);
    ck_assert_uint_eq(own.readable, 5);
    ck_assert_uint_eq(own.writable, 5);
    ck_assert_mem_eq(own.text, "ping?", 5);
    ck_nv_ok(nestvirt_memory_read(own.script.vm, SCRIPT_BUFFER + 64, text, 5, &error));
    ck_assert_mem_eq(text, "pong!", 5);
    ck_assert_uint_eq(script_load32(&own.script, SCRIPT_USED + 8), 5);
    ck_nv_ok(nestvirt_virtio_get_features(own.script.device, &features, &error));
    ck_assert_uint_eq(features, NV_VIRTIO_F_VERSION_1 | FEATURE);
    end(&own);
}
END_TEST

START_TEST(test_configuration)
{
    struct own own;
    uint32_t before;
    uint32_t after;
    uint32_t generation[2];
    char text[8];

    begin(&own);
    before = script_read(&own.script, NV_VIRTIO_REG_CONFIG);
    script_put(&own.script, NV_VIRTIO_REG_CONFIG + 4, 0x64636261);
    generation[0] = script_read(&own.script, NV_VIRTIO_REG_CONFIG_GENERATION);
    script_put(&own.script, NV_VIRTIO_REG_CONFIG + 8, 1); /* beyond the end */
    script_wait_bits(&own.script, NV_VIRTIO_REG_INTERRUPT_STATUS, 2);
    generation[1] = script_read(&own.script, NV_VIRTIO_REG_CONFIG_GENERATION);
    after = script_read(&own.script, NV_VIRTIO_REG_CONFIG);
    ck_nv_fails(nestvirt_virtio_get_config(own.script.device, 0, text, 8, &error), -EBUSY);
    script_read(&own.script, 0);
    ck_nv_ok(nestvirt_vm_build(own.script.vm, &error));
    ck_nv_fails(nestvirt_virtio_set_config(own.script.device, 5, text, 4, &error), -EINVAL);
    /* The guest goes round in WAIT_BITS until the configuration changes. */
    script_finish(&own.script);
    ck_nv_ok(nestvirt_vm_start(own.script.vm, &error));
    await(&own.writes, 1);
    ck_assert_uint_eq(own.offset, 4);
    ck_assert_uint_eq(own.length, 4);
    ck_nv_ok(nestvirt_virtio_get_config(own.script.device, 0, text, 8, &error));
    ck_assert_mem_eq(text, "confabcd", 8);
    usleep(20000);
    ck_nv_ok(nestvirt_virtio_set_config(own.script.device, 0, "new!", 4, &error));
    ck_assert_uint_eq(guest_wait(own.script.vm, NULL), NESTVIRT_RESULT_GUEST_EXIT);
    ck_assert_uint_eq(script_value(&own.script, before), 0x666e6f63);
    ck_assert_uint_eq(script_value(&own.script, after), 0x2177656e);
    ck_assert_uint_ne(script_value(&own.script, generation[0]),
                      script_value(&own.script, generation[1]));
    end(&own);
}
END_TEST

/* A chain in the program's hands holds up the guest's reset, but neither pause nor stop. */
START_TEST(test_hostile_27_reset_with_held_chain)
{
    struct own own;
    uint32_t used;
    int64_t start;
    int result;

    begin(&own);
    own.holds = true;
    script_set_available(&own.script, 1);
    script_put(&own.script, NV_VIRTIO_REG_QUEUE_NOTIFY, 0);
    script_wait16(&own.script, GO, 1);
    script_put(&own.script, NV_VIRTIO_REG_STATUS, 0);
    used = script_read(&own.script, NV_VIRTIO_REG_STATUS);
    script_finish(&own.script);
    guest_start(own.script.vm);
    await_held(&own);
    script_write16(&own.script, GO, 1);
    await(&own.drops, 2); /* the first is the driver's at its start */
    usleep(50000);
    ck_assert_int_eq(nestvirt_vm_get_state(own.script.vm), NESTVIRT_STATE_RUNNING);
    for (int i = 0; i < 20; i++) {
        start = now_ns();
        ck_nv_ok(nestvirt_vm_pause(own.script.vm, &error));
        ck_nv_ok(nestvirt_vm_resume(own.script.vm, &error));
        ck_assert_int_lt(now_ns() - start, QUICK_NS);
    }
    ck_assert_int_eq(atomic_load(&own.drops), 2);
    ck_assert_int_eq(nestvirt_chain_write(own.held, "late", 4, NULL), 4);
    result = nestvirt_chain_complete(own.held, NULL);
    ck_assert_int_eq(result, 0);
    ck_assert_uint_eq(guest_wait(own.script.vm, NULL), NESTVIRT_RESULT_GUEST_EXIT);
    ck_assert_uint_eq(script_value(&own.script, used), 0);
    ck_assert_uint_eq(script_load32(&own.script, SCRIPT_USED) >> 16, 0);
    end(&own);
}
END_TEST

START_TEST(test_stop_with_held_chain_and_start_again)
{
    struct own own;
    struct nestvirt_chain *chain;
    int64_t start;
    char byte;

    begin(&own);
    own.holds = true;
    script_set_available(&own.script, 1);
    script_put(&own.script, NV_VIRTIO_REG_QUEUE_NOTIFY, 0);
    script_wait16(&own.script, GO, 1);
    script_put(&own.script, NV_VIRTIO_REG_STATUS, 0);
    guest_start(own.script.vm);
    await_held(&own);
    script_write16(&own.script, GO, 1);
    await(&own.drops, 2); /* the first is the driver's at its start */
    start = now_ns();
    ck_nv_ok(nestvirt_vm_stop(own.script.vm, 5000, &error));
    ck_assert_int_lt(now_ns() - start, QUICK_NS);
    ck_nv_ok(nestvirt_vm_build(own.script.vm, &error)); /* memory is zeroed, the chain is stale */
    chain = own.held;
    ck_nv_fails(nestvirt_chain_read(chain, &byte, 1, &error), -ESTALE);
    ck_assert_int_eq(nestvirt_chain_complete(chain, NULL), 0);
    ck_nv_fails(nestvirt_chain_complete(chain, &error), -EBADF);
    end(&own);
}
END_TEST

/* The device asks for a reset: the driver is told, and the queue is dead until then. */
START_TEST(test_request_reset)
{
    struct own own;

    begin(&own);
    script_wait_bits(&own.script, NV_VIRTIO_REG_STATUS, NV_VIRTIO_NEEDS_RESET);
    script_wait_bits(&own.script, NV_VIRTIO_REG_INTERRUPT_STATUS, 2);
    script_finish(&own.script);
    ck_nv_fails(nestvirt_virtio_request_reset(own.script.device, &error), -EBUSY);
    guest_start(own.script.vm);
    await(&own.calls, 1); /* DRIVER_OK */
    ck_nv_ok(nestvirt_virtio_request_reset(own.script.device, &error));
    ck_assert_uint_eq(guest_wait(own.script.vm, NULL), NESTVIRT_RESULT_GUEST_EXIT);
    end(&own);
}
END_TEST

START_TEST(test_misuse)
{
    struct nestvirt_virtio_config config;
    struct nestvirt_device *device;
    struct nestvirt_device *rng;
    struct nestvirt_chain *chain;
    struct script script;
    uint64_t features;

    script_begin(&script, host, NULL);
    nestvirt_virtio_config_init(&config, sizeof(config));
    config.device_id = 1;
    config.queue_count = 1;
#define FAILS(change, back, code)                                                                  \
    do {                                                                                           \
        change;                                                                                    \
        ck_nv_fails(                                                                               \
            nestvirt_virtio_add(script.vm, &config, on_queue, NULL, NULL, &device, &error), code); \
        ck_assert_ptr_null(device);                                                                \
        back;                                                                                      \
    } while (0)
    FAILS(config.device_id = 0, config.device_id = 1, -EINVAL);
    FAILS(config.queue_count = 0, config.queue_count = 1, -EINVAL);
    FAILS(config.queue_count = 65, config.queue_count = 1, -EINVAL);
    FAILS(config.queue_size = 3, config.queue_size = 0, -EINVAL);
    FAILS(config.queue_size = 2048, config.queue_size = 0, -EINVAL);
    FAILS(config.config_length = 257, config.config_length = 0, -EINVAL);
    FAILS(config.features = 1ull << 28, config.features = 0, -EINVAL);
    FAILS(config.flags = 1, config.flags = 0, -EINVAL);
    FAILS(config.size = 4, config.size = sizeof(config), -EINVAL);
    ck_nv_fails(nestvirt_virtio_add(script.vm, &config, NULL, NULL, NULL, &device, &error),
                -EFAULT);
    ck_nv_fails(nestvirt_virtio_add(script.vm, NULL, on_queue, NULL, NULL, &device, &error),
                -EFAULT);
    ck_nv_ok(nestvirt_virtio_add(script.vm, &config, on_queue, NULL, NULL, &device, &error));
    ck_nv_fails(nestvirt_virtio_next_chain(device, 0, &chain, &error), -EBUSY);
    ck_nv_fails(nestvirt_virtio_next_chain(device, 1, &chain, &error), -EINVAL);
    ck_nv_fails(nestvirt_virtio_get_features(device, &features, &error), -EBUSY);
    ck_nv_fails(nestvirt_chain_complete(NULL, &error), -EFAULT);
    ck_nv_fails(nestvirt_chain_complete((struct nestvirt_chain *)device, &error), -EBADF);
    ck_nv_ok(nestvirt_device_add(script.vm, "rng", &rng, &error));
    ck_nv_fails(nestvirt_virtio_next_chain(rng, 0, &chain, &error), -EBADF);
    script_end(&script);
}
END_TEST

Suite *nv_test_suite(void)
{
    Suite *suite = suite_create("kvm_own");
    TCase *tcase = support_case(suite, "own", 60);

    host = support_host();
    tcase_add_test(tcase, test_request_and_answer);
    tcase_add_test(tcase, test_configuration);
    tcase_add_test(tcase, test_hostile_27_reset_with_held_chain);
    tcase_add_test(tcase, test_stop_with_held_chain_and_start_again);
    tcase_add_test(tcase, test_request_reset);
    tcase_add_test(tcase, test_misuse);
    return suite;
}
