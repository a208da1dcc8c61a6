/* SPDX-License-Identifier: Apache-2.0 */
/* Proves how a kernel finds virtio devices: words of its command line, and entries of the DSDT. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "bus/irq.h"
#include "core/util.h"
#include "image.h"
#include "memory/layout.h"
#include "support.h"

static struct loader loader;
static struct image elf;

static void setup(void)
{
    loader_init(&loader, NV_MIB(4));
    elf = image_elf();
    loader.source.discovery = NESTVIRT_DISCOVERY_CMDLINE;
    loader.machine.has_irqchip = true;
    loader.machine.vcpus = 1;
}

static void teardown(void)
{
    loader_destroy(&loader);
    image_free(&elf);
}

static void add_devices(uint32_t count)
{
    loader.machine.virtio_count = count;
    for (uint32_t i = 0; i < count; i++) {
        loader.machine.virtio[i].window = NV_LAYOUT_VIRTIO + i * NV_LAYOUT_VIRTIO_STRIDE;
        loader.machine.virtio[i].pin = (uint8_t)(5 + i % 19);
    }
}

static const char *load(void)
{
    loader_set_kernel(&loader, &elf, NESTVIRT_KERNEL_AUTO);
    loader_must_load(&loader);
    return (const char *)loader_at(&loader, NV_LAYOUT_CMDLINE, NESTVIRT_CMDLINE_MAX + 1);
}

START_TEST(test_words_stand_in_front)
{
    add_devices(2);
    strcpy(loader.source.cmdline, "console=ttyS0 -- for init");
    ck_assert_str_eq(load(), "virtio_mmio.device=512@0xd0000000:5 "
                             "virtio_mmio.device=512@0xd0001000:6 console=ttyS0 -- for init");
}
END_TEST

START_TEST(test_no_words_unless_asked_for)
{
    add_devices(2);
    loader.source.discovery = NESTVIRT_DISCOVERY_ACPI;
    strcpy(loader.source.cmdline, "quiet");
    ck_assert_str_eq(load(), "quiet");
    loader.source.discovery = NESTVIRT_DISCOVERY_CMDLINE;
    add_devices(0);
    ck_assert_str_eq(load(), "quiet");
}
END_TEST

static const size_t word_length = sizeof("virtio_mmio.device=512@0xd0000000:5 ") - 1;

START_TEST(test_words_that_just_fit)
{
    add_devices(1);
    memset(loader.source.cmdline, 'c', NESTVIRT_CMDLINE_MAX - word_length);
    ck_assert_uint_eq(strlen(load()), NESTVIRT_CMDLINE_MAX);
}
END_TEST

START_TEST(test_words_that_do_not_fit)
{
    add_devices(1);
    memset(loader.source.cmdline, 'c', NESTVIRT_CMDLINE_MAX - word_length + 1);
    loader_set_kernel(&loader, &elf, NESTVIRT_KERNEL_AUTO);
    loader_must_fail(&loader, -E2BIG, "kernel command line");
    add_devices(NV_BOOT_VIRTIO_MAX);
    memset(loader.source.cmdline, 0, sizeof(loader.source.cmdline));
    loader_must_fail(&loader, -E2BIG, "kernel command line");
}
END_TEST

/* Positions of a text in the ACPI tables. */
static uint32_t count_in_tables(const void *bytes, size_t length)
{
    const uint8_t *tables = loader_at(&loader, NV_LAYOUT_ACPI, NV_LAYOUT_ACPI_SIZE);
    uint32_t count = 0;

    for (size_t i = 0; i + length <= NV_LAYOUT_ACPI_SIZE; i++)
        count += memcmp(tables + i, bytes, length) == 0;
    return count;
}

START_TEST(test_acpi_entries)
{
    /* Memory32Fixed 0xd0003000 + 0x200, then the interrupt of pin 8, edge, active high. */
    static const uint8_t resources[] = {
        0x86, 0x09, 0x00, 0x01, 0x00, 0x30, 0x00, 0xd0, 0x00, 0x02, 0x00,
        0x00, 0x89, 0x06, 0x00, 0x03, 0x01, 0x08, 0x00, 0x00, 0x00, 0x79,
    };

    loader.source.discovery = NESTVIRT_DISCOVERY_ACPI;
    add_devices(NV_BOOT_VIRTIO_MAX);
    load();
    ck_assert_uint_eq(count_in_tables("LNRO0005", 9), NV_BOOT_VIRTIO_MAX);
    ck_assert_uint_eq(count_in_tables("V000", 4), 1);
    ck_assert_uint_eq(count_in_tables("V03F", 4), 1);
    ck_assert_uint_eq(count_in_tables(resources, sizeof(resources)), 1);
}
END_TEST

/* More devices than pins: those that come last share, evenly. */
START_TEST(test_pins_are_shared)
{
    uint32_t users[NV_IOAPIC_PINS] = { 0 };
    struct nestvirt_error *error = NULL;
    struct nv_irq irq;
    int fd;

    nv_irq_init(&irq, NESTVIRT_CHIP_SPLIT);
    ck_assert_int_eq(nv_irq_claim(&irq, 4, 0, true, NULL), 4);
    for (int i = 0; i < 64; i++) {
        int pin = nv_irq_share(&irq, NULL);

        ck_assert_int_ge(pin, 0);
        users[pin]++;
    }
    for (uint32_t i = 0; i < NV_IOAPIC_PINS; i++) {
        ck_assert_uint_le(users[i], 3);
        ck_assert_uint_ge(users[i], i == 4 ? 0 : 2);
    }
    ck_assert_uint_eq(users[4], 0);
    fd = nv_irq_open_fd(&irq, 7, NULL);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(nv_irq_open_fd(&irq, 7, NULL), fd); /* sharers write to the same */
    nv_irq_release_internal(&irq);
    ck_assert(!irq.pins[7].is_claimed);
    nv_irq_destroy(&irq);

    /* The caller's own pins are never shared. */
    nv_irq_init(&irq, NESTVIRT_CHIP_SPLIT);
    for (uint32_t i = 0; i < NV_IOAPIC_PINS; i++)
        ck_assert_int_eq(nv_irq_claim(&irq, i, 0, false, NULL), (int)i);
    ck_assert_int_eq(nv_irq_share(&irq, &error), NESTVIRT_E_NO_INTERRUPT_PIN);
    nestvirt_error_free(error);
    nv_irq_destroy(&irq);
}
END_TEST

Suite *nv_test_suite(void)
{
    Suite *suite = suite_create("boot_virtio");
    TCase *tcase = support_case(suite, "discovery", 30);

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, test_words_stand_in_front);
    tcase_add_test(tcase, test_no_words_unless_asked_for);
    tcase_add_test(tcase, test_words_that_just_fit);
    tcase_add_test(tcase, test_words_that_do_not_fit);
    tcase_add_test(tcase, test_acpi_entries);
    tcase_add_test(tcase, test_pins_are_shared);
    return suite;
}
