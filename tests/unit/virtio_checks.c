/* SPDX-License-Identifier: Apache-2.0 */
/* Owns what tests of the virtio core share: the probe device, and checks of how it is afterwards.
 */
#include "virtio_checks.h"

#include <poll.h>
#include <string.h>

#include "core/util.h"

struct virtio_guest guest;

static uint64_t ignored_before;

void checks_make(uint32_t flags)
{
    ck_assert_int_eq(guest_new_class(&guest, &probe_class, flags), 0);
    probe_of(&guest)->queues = 2;
}

void checks_start(uint64_t features)
{
    ck_assert_msg(guest_wire(&guest) == 0, "%s", guest.error);
    guest_start(&guest);
    ck_assert_int_eq(guest_drive(&guest, features), 0);
    ignored_before = guest_get_u64(&guest, "ignored");
}

void checks_setup(void)
{
    checks_make(0);
    checks_start(GUEST_ALL);
}

void checks_teardown(void)
{
    guest_free(&guest);
}

uint32_t checks_status(void)
{
    return guest_read32(&guest, NV_VIRTIO_REG_STATUS);
}

uint32_t checks_add(uint32_t queue, uint32_t length)
{
    uint64_t buffer = guest_alloc(&guest, 2ull * length);
    const struct guest_part parts[] = { { buffer, length, false },
                                        { buffer + length, length, true } };
    int head;

    ck_assert_uint_ne(buffer, 0);
    for (uint32_t i = 0; i < length; i++)
        guest.low[buffer + i] = (uint8_t)(i * 7 + 1);
    head = guest_add(&guest, queue, parts, 2);
    ck_assert_int_ge(head, 0);
    return (uint32_t)head;
}

/* Whether there is one more than there were, at the latest after 20 seconds. */
static bool wait_interrupt(uint64_t before)
{
    const uint64_t end_ns = nv_now_ns() + 20 * 1000000000ull;

    while (guest_interrupts(&guest) == before) {
        struct pollfd irq = { .fd = guest.virtio->irq_fd, .events = POLLIN };

        if (nv_now_ns() >= end_ns)
            return false;
        poll(&irq, 1, 10);
    }
    return true;
}

void checks_echo(uint32_t queue)
{
    enum { LENGTH = 300 };
    /* Before the request is there: a device that has just started looks without a kick. */
    uint64_t interrupts = guest_interrupts(&guest);
    uint32_t added = checks_add(queue, LENGTH);
    uint64_t buffer = guest.heap - 2 * LENGTH;
    uint32_t head;
    uint32_t length;

    guest_kick(&guest, queue);
    /*
     * The interrupt first: a driver that looks before may see the entry and move its event on
     * before the device looks at the event, and then there is none.
     */
    ck_assert(!guest.loop || wait_interrupt(interrupts));
    ck_assert(guest_wait_used(&guest, queue, &head, &length, 20000));
    ck_assert_uint_eq(head, added);
    ck_assert_uint_eq(length, LENGTH);
    ck_assert_int_eq(memcmp(guest.low + buffer, guest.low + buffer + LENGTH, LENGTH), 0);
    ck_assert(guest.loop || guest_interrupts(&guest) == interrupts + 1);
    guest_write32(&guest, NV_VIRTIO_REG_INTERRUPT_ACK, 1);
}

void checks_breaks(uint32_t queue)
{
    const uint64_t faults = guest_get_u64(&guest, "faults");
    const uint64_t interrupts = guest_interrupts(&guest);
    const uint16_t used = guest_used_index(&guest, queue);

    guest_write32(&guest, NV_VIRTIO_REG_INTERRUPT_ACK, 3);
    guest_kick(&guest, queue);
    ck_assert_uint_eq(checks_status(), 0xf | NV_VIRTIO_NEEDS_RESET);
    ck_assert_uint_eq(guest_get_u64(&guest, "faults"), faults + 1);
    ck_assert_uint_eq(guest_read32(&guest, NV_VIRTIO_REG_INTERRUPT_STATUS), 2);
    ck_assert_uint_eq(guest_interrupts(&guest), interrupts + 1);
    ck_assert_uint_eq(guest_used_index(&guest, queue), used);
    /* It stays so, and says it once. */
    guest_kick(&guest, queue);
    guest_kick(&guest, !queue);
    ck_assert_uint_eq(guest_get_u64(&guest, "faults"), faults + 1);
    ck_assert_uint_eq(guest_interrupts(&guest), interrupts + 1);
    ck_assert_uint_le(guest_log_lines(&guest), faults + 1);
    ck_assert_ptr_nonnull(strstr(guest.log_text, "vm test: device 0 (probe) needs a reset: "));
    guest_reset(&guest);
    ck_assert_uint_eq(checks_status(), 0);
    ck_assert_uint_eq(guest_read32(&guest, NV_VIRTIO_REG_INTERRUPT_STATUS), 0);
    ck_assert_int_eq(guest_drive(&guest, GUEST_ALL), 0);
    for (uint32_t i = 0; i < guest.virtio->queue_count; i++)
        checks_echo(i);
}

void checks_ignored(unsigned times)
{
    ck_assert_uint_eq(guest_get_u64(&guest, "ignored"), ignored_before + times);
    ignored_before += times;
    ck_assert_uint_eq(guest_get_u64(&guest, "faults"), 0);
}
