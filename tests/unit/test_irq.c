/* SPDX-License-Identifier: Apache-2.0 */
/* Proves interrupt lines and the IOAPIC: pins, edges, levels, routes and registers. */
#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "bus/irq.h"
#include "core/util.h"
#include "fake_kvm.h"
#include "support.h"

enum { SELECT = 0x00, WINDOW = 0x10, ENTRIES = 0x10 };
#define MASKED (1u << 16)
#define LEVEL (1u << 15)
#define REMOTE_IRR (1u << 14)
#define STATUS (1u << 12)
#define LOGICAL (1u << 11)

static struct nestvirt_host *host;
static struct nv_irq irq;
static int vm_fd;

static void setup(void)
{
    fake_kvm_reset();
    host = fake_kvm_host();
    vm_fd = nv_kvm_call(host, host->fd, KVM_CREATE_VM, NULL);
    ck_assert_int_ge(vm_fd, 0);
    nv_irq_init(&irq, NESTVIRT_CHIP_SPLIT);
}

static void teardown(void)
{
    nv_irq_destroy(&irq);
    close(vm_fd);
    nv_host_unref(host);
}

static void attach(void)
{
    ck_nv_ok(nv_irq_attach(&irq, host, vm_fd, &error));
}

static void claim(uint32_t pin, uint32_t flags)
{
    ck_assert_int_eq(nv_irq_claim(&irq, pin, flags, false, NULL), (int)pin);
}

static struct nestvirt_access access_of(uint64_t offset, uint32_t length, uint32_t value,
                                        bool is_write)
{
    struct nestvirt_access access = { .size = sizeof(access),
                                      .space = NESTVIRT_SPACE_MMIO,
                                      .offset = offset,
                                      .length = length,
                                      .is_write = is_write };

    nv_put_le32(access.data, value);
    return access;
}

static void write_at(uint64_t offset, uint32_t length, uint32_t value)
{
    struct nestvirt_access access = access_of(offset, length, value, true);

    ck_assert_int_eq(nv_ioapic_access(&irq, &access), NESTVIRT_ACTION_RESUME);
}

static uint32_t read_at(uint64_t offset, uint32_t length)
{
    struct nestvirt_access access = access_of(offset, length, 0, false);

    ck_assert_int_eq(nv_ioapic_access(&irq, &access), NESTVIRT_ACTION_RESUME);
    return nv_get_le32(access.data);
}

static void write_register(uint32_t index, uint32_t value)
{
    write_at(SELECT, 4, index);
    write_at(WINDOW, 4, value);
}

static uint32_t read_register(uint32_t index)
{
    write_at(SELECT, 4, index);
    return read_at(WINDOW, 4);
}

static void program(uint32_t pin, uint32_t low, uint32_t high)
{
    write_register(ENTRIES + 2 * pin + 1, high);
    write_register(ENTRIES + 2 * pin, low);
}

static uint32_t entry_low(uint32_t pin)
{
    return read_register(ENTRIES + 2 * pin);
}

static void set(uint32_t pin, bool level)
{
    ck_assert_int_eq(nv_irq_set(&irq, pin, level), 0);
}

START_TEST(test_any_gives_each_pin_once)
{
    bool taken[NV_IOAPIC_PINS] = { false };
    int last = -1;

    for (int i = 0; i < NV_IOAPIC_PINS; i++) {
        last = nv_irq_claim(&irq, NESTVIRT_IRQ_ANY, 0, false, NULL);
        ck_assert_int_ge(last, 0);
        ck_assert_int_lt(last, NV_IOAPIC_PINS);
        ck_assert(!taken[last]);
        taken[last] = true;
        if (i < NV_IOAPIC_PINS - 5)
            ck_assert_int_eq(last, i + 5); /* ISA's come last */
    }
    ck_assert_int_lt(last, 5);
    ck_nv_fails_with(nv_irq_claim(&irq, NESTVIRT_IRQ_ANY, 0, false, &error),
                     NESTVIRT_E_NO_INTERRUPT_PIN, "all 24 pins");
}
END_TEST

START_TEST(test_claims)
{
    int event = eventfd(0, EFD_CLOEXEC);

    claim(23, 0);
    claim(0, NESTVIRT_IRQ_LEVEL);
    ck_nv_fails_with(nv_irq_claim(&irq, 23, 0, false, &error), -EEXIST, "interrupt pin 23");
    ck_nv_fails_with(nv_irq_claim(&irq, 24, 0, false, &error), -EINVAL, "interrupt pin 24");
    ck_nv_fails(nv_irq_claim(&irq, UINT32_MAX, 0, false, &error), -EINVAL);
    ck_nv_fails(nv_irq_claim(&irq, 7, 2, false, &error), -EINVAL);
    ck_nv_fails(nv_irq_add_fd(&irq, 5, event, &error), -EINVAL);
    ck_nv_fails(nv_irq_add_fd(&irq, 24, event, &error), -EINVAL);
    ck_nv_fails_with(nv_irq_add_fd(&irq, 0, event, &error), -EINVAL, "level");
    ck_nv_fails(nv_irq_add_fd(&irq, 23, -1, &error), -EBADF);
    ck_nv_ok(nv_irq_add_fd(&irq, 23, event, &error));
    ck_nv_fails(nv_irq_add_fd(&irq, 23, event, &error), -EEXIST);
    ck_assert_uint_eq(nv_irq_level_pins(&irq), 1);
    ck_assert_int_eq(nv_irq_set(&irq, 5, true), -EINVAL);
    ck_assert_int_eq(nv_irq_set(&irq, 24, true), -EINVAL);
    ck_assert_int_eq(nv_irq_set(&irq, 23, true), -EBUSY); /* no VM yet */
    close(event);
}
END_TEST

START_TEST(test_no_chip_has_no_pins)
{
    struct nv_irq none;

    nv_irq_init(&none, NESTVIRT_CHIP_NONE);
    ck_nv_fails(nv_irq_claim(&none, 5, 0, false, &error), -ENOTSUP);
    nv_irq_destroy(&none);
}
END_TEST

START_TEST(test_internal_pins_are_given_back)
{
    claim(9, 0);
    ck_assert_int_eq(nv_irq_claim(&irq, 4, 0, true, NULL), 4);
    nv_irq_release_internal(&irq);
    claim(4, 0);
    ck_nv_fails(nv_irq_claim(&irq, 9, 0, false, &error), -EEXIST);
}
END_TEST

START_TEST(test_registers_after_reset)
{
    attach();
    ck_assert_uint_eq(read_register(0), 0);
    ck_assert_uint_eq(read_register(1), 0x00170011);
    ck_assert_uint_eq(read_register(2), 0);
    for (uint32_t pin = 0; pin < NV_IOAPIC_PINS; pin++) {
        ck_assert_uint_eq(entry_low(pin), MASKED);
        ck_assert_uint_eq(read_register(ENTRIES + 2 * pin + 1), 0);
    }
    ck_assert_uint_eq(read_register(ENTRIES + 2 * NV_IOAPIC_PINS), 0xffffffff);
    ck_assert_uint_eq(read_register(0xff), 0xffffffff);
    ck_assert_uint_eq(read_register(3), 0xffffffff);
}
END_TEST

START_TEST(test_register_writes)
{
    attach();
    write_register(0, 0xff000000);
    ck_assert_uint_eq(read_register(0), 0x0f000000);
    ck_assert_uint_eq(read_register(2), 0x0f000000);
    write_register(1, 0);
    ck_assert_uint_eq(read_register(1), 0x00170011);
    write_register(ENTRIES + 2 * NV_IOAPIC_PINS, 0); /* behind the last */
    write_register(0xff, 0);
    program(3, MASKED | STATUS | REMOTE_IRR | 0x33, 0xab000000);
    ck_assert_uint_eq(entry_low(3), MASKED | 0x33); /* status and IRR are read-only */
    ck_assert_uint_eq(read_register(ENTRIES + 7), 0xab000000);
    ck_assert_uint_eq(entry_low(2), MASKED);
    ck_assert_uint_eq(entry_low(4), MASKED);
}
END_TEST

START_TEST(test_hostile_29_register_access_sizes)
{
    attach();
    for (uint32_t length = 1; length <= 8; length *= 2) {
        write_at(SELECT, length, 1);
        ck_assert_uint_eq(read_at(SELECT, length), 1);
        ck_assert_uint_eq(read_at(WINDOW, length),
                          0x00170011 & (length >= 4 ? 0xffffffff : (1u << length * 8) - 1));
    }
    write_at(SELECT, 4, 0x112); /* eight bits select */
    ck_assert_uint_eq(read_at(SELECT, 4), 0x12);
    for (uint64_t offset = 1; offset < 0x1000; offset++)
        if (offset != WINDOW)
            ck_assert_uint_eq(read_at(offset, 4), 0);
    write_at(0x04, 4, 0xff);
    write_at(0x40, 4, 0xff); /* EOI of newer chips: not this one */
    ck_assert_uint_eq(read_at(SELECT, 4), 0x12);
}
END_TEST

START_TEST(test_edge_fires_at_each_rise)
{
    struct kvm_msi msi;

    claim(5, 0);
    attach();
    set(5, true);
    ck_assert_uint_eq(fake_kvm_msi_count(), 0); /* masked */
    set(5, false);
    program(5, 0x41, 0x02000000);
    set(5, true);
    ck_assert_uint_eq(fake_kvm_msi_count(), 1);
    msi = fake_kvm_msi(0);
    ck_assert_uint_eq(msi.address_lo, 0xfee02000);
    ck_assert_uint_eq(msi.address_hi, 0);
    ck_assert_uint_eq(msi.data, 0x41);
    ck_assert_uint_eq(msi.flags, 0);
    set(5, true);
    ck_assert_uint_eq(fake_kvm_msi_count(), 1); /* it is up already */
    set(5, false);
    ck_assert_uint_eq(fake_kvm_msi_count(), 1);
    set(5, true);
    ck_assert_uint_eq(fake_kvm_msi_count(), 2);
    ck_assert_int_eq(nv_irq_pulse(&irq, 5), 0);
    ck_assert_uint_eq(fake_kvm_msi_count(), 2); /* was up */
    ck_assert_int_eq(nv_irq_pulse(&irq, 5), 0);
    ck_assert_uint_eq(fake_kvm_msi_count(), 3);
    nv_irq_eoi(&irq, 0x41);
    ck_assert_uint_eq(fake_kvm_msi_count(), 3);
}
END_TEST

START_TEST(test_edge_while_masked_is_lost)
{
    claim(5, 0);
    attach();
    program(5, MASKED | 0x41, 0);
    ck_assert(!nv_irq_is_enabled(&irq, 5));
    set(5, true);
    program(5, 0x41, 0);
    ck_assert(nv_irq_is_enabled(&irq, 5));
    ck_assert_uint_eq(fake_kvm_msi_count(), 0);
}
END_TEST

START_TEST(test_modes_of_delivery)
{
    claim(6, 0);
    attach();
    program(6, LOGICAL | 0x50, 0x03000000);
    ck_assert_int_eq(nv_irq_pulse(&irq, 6), 0);
    ck_assert_uint_eq(fake_kvm_msi(0).address_lo, 0xfee03004);
    program(6, 1u << 8 | 0x50, 0xff000000); /* lowest priority */
    ck_assert_int_eq(nv_irq_pulse(&irq, 6), 0);
    ck_assert_uint_eq(fake_kvm_msi(1).address_lo, 0xfeeff008);
    ck_assert_uint_eq(fake_kvm_msi(1).data, 0x150);
    program(6, 4u << 8 | 0x02, 0); /* NMI */
    ck_assert_int_eq(nv_irq_pulse(&irq, 6), 0);
    ck_assert_uint_eq(fake_kvm_msi(2).data, 0x402);
}
END_TEST

START_TEST(test_level_fires_again_at_eoi_while_raised)
{
    claim(10, NESTVIRT_IRQ_LEVEL);
    attach();
    program(10, LEVEL | 0x60, 0);
    set(10, true);
    ck_assert_uint_eq(fake_kvm_msi_count(), 1);
    ck_assert_uint_eq(fake_kvm_msi(0).data, 1u << 15 | 1u << 14 | 0x60);
    ck_assert_uint_eq(entry_low(10), LEVEL | REMOTE_IRR | 0x60);
    set(10, true);
    ck_assert_uint_eq(fake_kvm_msi_count(), 1); /* in service */
    nv_irq_eoi(&irq, 0x61);
    ck_assert_uint_eq(fake_kvm_msi_count(), 1); /* another vector */
    nv_irq_eoi(&irq, 0x60);
    ck_assert_uint_eq(fake_kvm_msi_count(), 2); /* still raised */
    set(10, false);
    nv_irq_eoi(&irq, 0x60);
    ck_assert_uint_eq(fake_kvm_msi_count(), 2);
    ck_assert_uint_eq(entry_low(10), LEVEL | 0x60);
    nv_irq_eoi(&irq, 0x60);
    ck_assert_uint_eq(fake_kvm_msi_count(), 2);
    set(10, true);
    ck_assert_uint_eq(fake_kvm_msi_count(), 3);
}
END_TEST

START_TEST(test_level_raised_while_masked_fires_at_unmask)
{
    claim(10, NESTVIRT_IRQ_LEVEL);
    attach();
    program(10, MASKED | LEVEL | 0x60, 0);
    set(10, true);
    ck_assert_uint_eq(fake_kvm_msi_count(), 0);
    program(10, LEVEL | 0x60, 0);
    ck_assert_uint_eq(fake_kvm_msi_count(), 1);
    set(10, false);
    nv_irq_eoi(&irq, 0x60);
    program(10, MASKED | LEVEL | 0x60, 0);
    program(10, LEVEL | 0x60, 0);
    ck_assert_uint_eq(fake_kvm_msi_count(), 1);
}
END_TEST

/* Linux clears a stuck remote IRR by switching the entry to edge and back. */
START_TEST(test_edge_clears_remote_irr)
{
    claim(10, NESTVIRT_IRQ_LEVEL);
    attach();
    program(10, LEVEL | 0x60, 0);
    set(10, true);
    set(10, false);
    ck_assert_uint_eq(entry_low(10) & REMOTE_IRR, REMOTE_IRR);
    program(10, MASKED | 0x60, 0);
    ck_assert_uint_eq(entry_low(10) & REMOTE_IRR, 0);
}
END_TEST

START_TEST(test_two_pins_with_one_vector)
{
    claim(10, NESTVIRT_IRQ_LEVEL);
    claim(11, NESTVIRT_IRQ_LEVEL);
    attach();
    program(10, LEVEL | 0x60, 0);
    program(11, LEVEL | 0x60, 0);
    set(10, true);
    set(11, true);
    ck_assert_uint_eq(fake_kvm_msi_count(), 2);
    set(10, false);
    nv_irq_eoi(&irq, 0x60);
    ck_assert_uint_eq(fake_kvm_msi_count(), 3); /* the other is still up */
}
END_TEST

START_TEST(test_lost_interrupts_are_counted)
{
    claim(5, 0);
    claim(10, NESTVIRT_IRQ_LEVEL);
    attach();
    program(5, 0x41, 0);
    program(10, LEVEL | 0x60, 0);
    fake_kvm_set_msi_result(0);
    set(5, true);
    set(10, true);
    ck_assert_uint_eq(irq.lost, 2);
    ck_assert_uint_eq(entry_low(10) & REMOTE_IRR, 0); /* or no EOI would ever clear it */
    ck_assert_int_eq(nv_irq_msi(&irq, 0xfee00000, 1), 0);
    fake_kvm_set_msi_result(3);
    ck_assert_int_eq(nv_irq_msi(&irq, 0x1fee00000, 1), 1);
    ck_assert_uint_eq(fake_kvm_msi(fake_kvm_msi_count() - 1).address_hi, 1);
    fake_kvm_set_msi_result(-EINVAL);
    ck_assert_int_eq(nv_irq_msi(&irq, 0xfee00000, 1), -EINVAL);
}
END_TEST

START_TEST(test_routes_are_sent_when_they_change)
{
    struct kvm_irq_routing_entry routes[NV_IOAPIC_PINS];
    int event = eventfd(0, EFD_CLOEXEC);

    claim(7, 0);
    claim(8, 0);
    claim(9, NESTVIRT_IRQ_LEVEL);
    ck_nv_ok(nv_irq_add_fd(&irq, 7, event, &error));
    attach();
    ck_assert_uint_eq(fake_kvm_irqfd().gsi, 7);
    ck_assert_uint_eq(fake_kvm_count(KVM_SET_GSI_ROUTING), 0);
    program(7, MASKED | 0x41, 0x01000000); /* masked: none */
    program(8, 0x42, 0);                   /* edge without irqfd: none is needed */
    ck_assert_uint_eq(fake_kvm_count(KVM_SET_GSI_ROUTING), 0);
    write_register(ENTRIES + 14, 0x41);
    ck_assert_uint_eq(fake_kvm_count(KVM_SET_GSI_ROUTING), 1);
    ck_assert_uint_eq(fake_kvm_routes(routes), 1);
    ck_assert_uint_eq(routes[0].gsi, 7);
    ck_assert_uint_eq(routes[0].type, KVM_IRQ_ROUTING_MSI);
    ck_assert_uint_eq(routes[0].u.msi.address_lo, 0xfee01000);
    ck_assert_uint_eq(routes[0].u.msi.data, 0x41);
    write_register(ENTRIES + 14, 0x41);
    ck_assert_uint_eq(fake_kvm_count(KVM_SET_GSI_ROUTING), 1); /* the same again */
    program(9, LEVEL | 0x60, 0);                               /* for the EOI exit */
    ck_assert_uint_eq(fake_kvm_count(KVM_SET_GSI_ROUTING), 2);
    ck_assert_uint_eq(fake_kvm_routes(routes), 2);
    write_register(ENTRIES + 14, MASKED | 0x41);
    ck_assert_uint_eq(fake_kvm_count(KVM_SET_GSI_ROUTING), 3);
    ck_assert_uint_eq(fake_kvm_routes(routes), 1);
    ck_assert_uint_eq(routes[0].gsi, 9);
    close(event);
}
END_TEST

START_TEST(test_attach_again_starts_from_reset)
{
    claim(10, NESTVIRT_IRQ_LEVEL);
    attach();
    program(10, LEVEL | 0x60, 0);
    set(10, true);
    nv_irq_detach(&irq);
    ck_assert_int_eq(nv_irq_set(&irq, 10, true), -EBUSY);
    ck_assert_int_eq(nv_irq_msi(&irq, 0xfee00000, 1), -EBUSY);
    nv_irq_eoi(&irq, 0x60);
    attach();
    ck_assert_uint_eq(entry_low(10), MASKED);
    program(10, LEVEL | 0x60, 0);
    ck_assert_uint_eq(fake_kvm_msi_count(), 1); /* the line is down */
}
END_TEST

START_TEST(test_chip_in_the_kernel_takes_lines)
{
    struct nv_irq kernel;

    nv_irq_init(&kernel, NESTVIRT_CHIP_KERNEL);
    ck_assert_int_eq(nv_irq_claim(&kernel, 4, 0, false, NULL), 4);
    ck_nv_ok(nv_irq_create_chip(&kernel, host, vm_fd, &error));
    ck_assert_uint_eq(fake_kvm_count(KVM_CREATE_IRQCHIP), 1);
    ck_nv_ok(nv_irq_attach(&kernel, host, vm_fd, &error));
    ck_assert_int_eq(nv_irq_set(&kernel, 4, true), 0);
    ck_assert_uint_eq(fake_kvm_line().irq, 4);
    ck_assert_uint_eq(fake_kvm_line().level, 1);
    ck_assert_int_eq(nv_irq_pulse(&kernel, 4), 0);
    ck_assert_uint_eq(fake_kvm_line().level, 0);
    ck_assert(nv_irq_is_enabled(&kernel, 4));
    ck_assert_uint_eq(fake_kvm_msi_count(), 0);
    nv_irq_destroy(&kernel);
}
END_TEST

Suite *nv_test_suite(void)
{
    Suite *suite = suite_create("irq");
    TCase *tcase = support_case(suite, "irq", 30);

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, test_any_gives_each_pin_once);
    tcase_add_test(tcase, test_claims);
    tcase_add_test(tcase, test_no_chip_has_no_pins);
    tcase_add_test(tcase, test_internal_pins_are_given_back);
    tcase_add_test(tcase, test_registers_after_reset);
    tcase_add_test(tcase, test_register_writes);
    tcase_add_test(tcase, test_hostile_29_register_access_sizes);
    tcase_add_test(tcase, test_edge_fires_at_each_rise);
    tcase_add_test(tcase, test_edge_while_masked_is_lost);
    tcase_add_test(tcase, test_modes_of_delivery);
    tcase_add_test(tcase, test_level_fires_again_at_eoi_while_raised);
    tcase_add_test(tcase, test_level_raised_while_masked_fires_at_unmask);
    tcase_add_test(tcase, test_edge_clears_remote_irr);
    tcase_add_test(tcase, test_two_pins_with_one_vector);
    tcase_add_test(tcase, test_lost_interrupts_are_counted);
    tcase_add_test(tcase, test_routes_are_sent_when_they_change);
    tcase_add_test(tcase, test_attach_again_starts_from_reset);
    tcase_add_test(tcase, test_chip_in_the_kernel_takes_lines);
    return suite;
}
