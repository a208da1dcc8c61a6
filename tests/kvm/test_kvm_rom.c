/* SPDX-License-Identifier: Apache-2.0 */
/* Proves read-only memory on real KVM: neither the guest nor its devices write there. */
#include <string.h>

#include "core/util.h"
#include "script.h"
#include "support.h"

enum { ROM = 0x200000, ROM_SIZE = 0x2000 };

static struct nestvirt_host *host;

/* The script's VM and a region full of 0x5a. */
static void begin(struct script *script)
{
    struct nestvirt_memory_config config;
    uint8_t bytes[ROM_SIZE];

    script_begin(script, host, "rng");
    nestvirt_memory_config_init(&config, sizeof(config));
    config.flags = NESTVIRT_MEMORY_READ_ONLY | NESTVIRT_MEMORY_PREFAULT;
    config.address = ROM;
    config.length = ROM_SIZE;
    ck_nv_ok(nestvirt_memory_add(script->vm, &config, &error));
    memset(bytes, 0x5a, sizeof(bytes));
    ck_nv_ok(nestvirt_memory_write(script->vm, ROM, bytes, sizeof(bytes), &error));
}

static void check_unchanged(struct script *script)
{
    uint8_t bytes[ROM_SIZE];

    ck_nv_ok(nestvirt_memory_read(script->vm, ROM, bytes, sizeof(bytes), &error));
    for (size_t i = 0; i < sizeof(bytes); i++)
        ck_assert_uint_eq(bytes[i], 0x5a);
}

/* A write is an exit that nobody handles; the guest goes on and reads what was there. */
START_TEST(test_hostile_11_guest_writes_rom)
{
    struct nestvirt_event event;
    struct script script;
    unsigned writes = 0;
    uint32_t first;
    uint32_t last;

    begin(&script);
    script_store32(&script, ROM + 0x1ffc, 0x11223344);
    script_store16(&script, ROM, 0x5566);
    first = script_read_memory(&script, ROM);
    last = script_read_memory(&script, ROM + 0x1ffc);
    script_run(&script);
    ck_assert_uint_eq(script_value(&script, first), 0x5a5a5a5a);
    ck_assert_uint_eq(script_value(&script, last), 0x5a5a5a5a);
    check_unchanged(&script);
    nestvirt_event_init(&event, sizeof(event));
    while (nestvirt_vm_next_event(script.vm, &event, NULL) == 1)
        if (event.kind == NESTVIRT_EVENT_UNHANDLED_EXIT && event.values[2] == 1 &&
            event.values[0] >= ROM && event.values[0] < ROM + ROM_SIZE)
            writes++;
    ck_assert_uint_eq(writes, 2);
    script_end(&script);
}
END_TEST

START_TEST(test_hostile_11_device_writes_rom)
{
    struct script script;
    uint64_t faults;

    begin(&script);
    script_descriptor(&script, SCRIPT_TABLE, 0, ROM, 64, SCRIPT_WRITE, 0);
    script_head(&script, 0, 0);
    script_drive(&script, 0);
    script_set_available(&script, 1);
    script_put(&script, NV_VIRTIO_REG_QUEUE_NOTIFY, 0);
    script_wait_bits(&script, NV_VIRTIO_REG_STATUS, NV_VIRTIO_NEEDS_RESET);
    script_run(&script);
    check_unchanged(&script);
    ck_nv_ok(nestvirt_device_get_u64(script.device, "faults", &faults, &error));
    ck_assert_uint_eq(faults, 1);
    script_end(&script);
}
END_TEST

Suite *nv_test_suite(void)
{
    struct nestvirt_host_info info;
    Suite *suite = suite_create("kvm rom");
    TCase *tcase = support_case(suite, "rom", 30);

    host = support_host();
    nestvirt_host_info_init(&info, sizeof(info));
    if (nestvirt_host_get_info(host, &info, NULL) < 0 ||
        !(info.features & NESTVIRT_HOST_READONLY_MEMORY))
        support_skip_host("this host's KVM has no read-only memory");
    tcase_add_test(tcase, test_hostile_11_guest_writes_rom);
    tcase_add_test(tcase, test_hostile_11_device_writes_rom);
    return suite;
}
