/* SPDX-License-Identifier: Apache-2.0 */
/* Owns interrupt lines: claiming pins, irqfds, and attaching them to a KVM VM. */
#include "bus/irq.h"

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "bus/ioapic.h"
#include "core/cleanup.h"
#include "core/util.h"
#include "host/file.h"

/* Pins below are ISA's: timer, keyboard, cascade, serial ports. They are given on request only. */
enum { FIRST_FREE_PIN = 5 };

static struct nv_text pin_name(uint32_t pin)
{
    return nv_text("interrupt pin %u", pin);
}

void nv_irq_init(struct nv_irq *irq, uint32_t chip)
{
    memset(irq, 0, sizeof(*irq));
    irq->chip = chip;
    irq->vm_fd = -1;
    pthread_mutex_init(&irq->lock, NULL);
    for (uint32_t i = 0; i < NV_IOAPIC_PINS; i++)
        irq->pins[i].irqfd = -1;
}

void nv_irq_destroy(struct nv_irq *irq)
{
    for (uint32_t i = 0; i < NV_IOAPIC_PINS; i++)
        if (irq->pins[i].irqfd >= 0)
            close(irq->pins[i].irqfd);
    pthread_mutex_destroy(&irq->lock);
}

/* ISA pins first come last: 5 to 23, then none. */
static int find_free_pin(const struct nv_irq *irq)
{
    for (uint32_t i = FIRST_FREE_PIN; i < NV_IOAPIC_PINS; i++)
        if (!irq->pins[i].is_claimed)
            return (int)i;
    for (uint32_t i = 0; i < FIRST_FREE_PIN; i++)
        if (!irq->pins[i].is_claimed)
            return (int)i;
    return -1;
}

/* The internal edge pin with the fewest sharers, or -1. */
static int find_shared_pin(const struct nv_irq *irq)
{
    int best = -1;

    for (uint32_t i = 0; i < NV_IOAPIC_PINS; i++) {
        const struct nv_pin *pin = &irq->pins[i];

        if (!pin->is_shareable)
            continue;
        if (best < 0 || pin->sharers < irq->pins[best].sharers)
            best = (int)i;
    }
    return best;
}

int nv_irq_share(struct nv_irq *irq, struct nestvirt_error **ret_error)
{
    int pin = find_free_pin(irq) < 0 ? find_shared_pin(irq) : -1;

    if (pin >= 0) {
        irq->pins[pin].sharers++;
        return pin;
    }
    pin = nv_irq_claim(irq, NESTVIRT_IRQ_ANY, 0, true, ret_error);
    if (pin >= 0)
        irq->pins[pin].is_shareable = true;
    return pin;
}

int nv_irq_claim(struct nv_irq *irq, uint32_t pin, uint32_t flags, bool internal,
                 struct nestvirt_error **ret_error)
{
    if (irq->chip == NESTVIRT_CHIP_NONE)
        return nv_fail(ret_error, -ENOTSUP, "interrupt pin", "make the VM with NESTVIRT_CHIP_SPLIT",
                       "the VM has no interrupt chip");
    if (flags & ~(uint32_t)NESTVIRT_IRQ_LEVEL)
        return nv_fail(ret_error, -EINVAL, "interrupt pin", "clear them", "unknown flags 0x%x",
                       flags);
    if (pin == NESTVIRT_IRQ_ANY) {
        int found = find_free_pin(irq);

        if (found < 0)
            return nv_fail(ret_error, NESTVIRT_E_NO_INTERRUPT_PIN, "interrupt pin",
                           "use fewer devices, share a level line, or use MSIs",
                           "all %d pins are in use", NV_IOAPIC_PINS);
        pin = (uint32_t)found;
    }
    if (pin >= NV_IOAPIC_PINS)
        return nv_fail(ret_error, -EINVAL, pin_name(pin).s, "use 0 to 23 or NESTVIRT_IRQ_ANY",
                       "does not exist");
    if (irq->pins[pin].is_claimed)
        return nv_fail(ret_error, -EEXIST, pin_name(pin).s, "use NESTVIRT_IRQ_ANY", "is taken");
    irq->pins[pin].is_claimed = true;
    irq->pins[pin].is_internal = internal;
    irq->pins[pin].is_level = flags & NESTVIRT_IRQ_LEVEL;
    irq->pins[pin].is_raised = false;
    return (int)pin;
}

void nv_irq_release_internal(struct nv_irq *irq)
{
    for (uint32_t i = 0; i < NV_IOAPIC_PINS; i++)
        if (irq->pins[i].is_internal) {
            if (irq->pins[i].irqfd >= 0)
                close(irq->pins[i].irqfd);
            irq->pins[i] = (struct nv_pin){ .irqfd = -1 };
        }
}

int nv_irq_open_fd(struct nv_irq *irq, uint32_t pin, struct nestvirt_error **ret_error)
{
    int fd = irq->pins[pin].irqfd;

    if (fd >= 0)
        return fd;
    fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (fd < 0)
        return nv_fail_sys(ret_error, errno, pin_name(pin).s, "eventfd",
                           nv_fd_hint(errno, "free memory in this process"));
    irq->pins[pin].irqfd = fd;
    return fd;
}

int nv_irq_add_fd(struct nv_irq *irq, uint32_t pin, int fd, struct nestvirt_error **ret_error)
{
    int copy;

    if (pin >= NV_IOAPIC_PINS || !irq->pins[pin].is_claimed)
        return nv_fail(ret_error, -EINVAL, pin_name(pin).s, "claim it with nestvirt_irq_add",
                       "is not claimed");
    if (irq->pins[pin].is_level)
        return nv_fail(ret_error, -EINVAL, pin_name(pin).s, "use an edge line, or nestvirt_irq_set",
                       "is level-triggered");
    if (irq->pins[pin].irqfd >= 0)
        return nv_fail(ret_error, -EEXIST, pin_name(pin).s, "use that one", "has an irqfd");
    copy = nv_fd_dup(fd);
    if (copy < 0)
        return nv_fail_sys(ret_error, -copy, pin_name(pin).s, "dup",
                           nv_fd_hint(-copy, "pass an open eventfd"));
    irq->pins[pin].irqfd = copy;
    return 0;
}

int nv_irq_create_chip(struct nv_irq *irq, const struct nestvirt_host *host, int vm_fd,
                       struct nestvirt_error **ret_error)
{
    struct kvm_enable_cap split = { .cap = KVM_CAP_SPLIT_IRQCHIP, .args = { NV_IOAPIC_PINS } };

    switch (irq->chip) {
    case NESTVIRT_CHIP_SPLIT:
        return nv_kvm_call_named(host, vm_fd, KVM_ENABLE_CAP, &split,
                                 "KVM_ENABLE_CAP(KVM_CAP_SPLIT_IRQCHIP)", "interrupt chip",
                                 ret_error);
    case NESTVIRT_CHIP_KERNEL:
        return nv_kvm_try(host, vm_fd, KVM_CREATE_IRQCHIP, 0, "interrupt chip", ret_error);
    default:
        return 0;
    }
}

static int attach_fd(struct nv_irq *irq, uint32_t pin, struct nestvirt_error **ret_error)
{
    struct kvm_irqfd request = { .fd = (uint32_t)irq->pins[pin].irqfd, .gsi = pin };

    return nv_kvm_try(irq->host, irq->vm_fd, KVM_IRQFD, &request, pin_name(pin).s, ret_error);
}

int nv_irq_attach(struct nv_irq *irq, const struct nestvirt_host *host, int vm_fd,
                  struct nestvirt_error **ret_error)
{
    int r = 0;

    NV_GUARD(&irq->lock);
    irq->host = host;
    irq->vm_fd = vm_fd;
    nv_ioapic_reset(irq);
    for (uint32_t i = 0; i < NV_IOAPIC_PINS && r >= 0; i++)
        if (irq->pins[i].irqfd >= 0)
            r = attach_fd(irq, i, ret_error);
    return r < 0 ? r : 0;
}

void nv_irq_detach(struct nv_irq *irq)
{
    NV_GUARD(&irq->lock);
    irq->host = NULL;
    irq->vm_fd = -1;
}

static int set_line_in_kernel(struct nv_irq *irq, uint32_t pin, bool level)
{
    struct kvm_irq_level request = { .irq = pin, .level = level };

    return nv_kvm_call(irq->host, irq->vm_fd, KVM_IRQ_LINE, &request);
}

/* Called with the lock held. */
static int set_locked(struct nv_irq *irq, uint32_t pin, bool level)
{
    bool rises;

    if (pin >= NV_IOAPIC_PINS || !irq->pins[pin].is_claimed)
        return -EINVAL;
    if (!irq->host)
        return -EBUSY;
    rises = level && !irq->pins[pin].is_raised;
    irq->pins[pin].is_raised = level;
    if (irq->chip == NESTVIRT_CHIP_KERNEL)
        return set_line_in_kernel(irq, pin, level);
    if (rises || (level && irq->pins[pin].is_level))
        nv_ioapic_fire(irq, pin);
    return 0;
}

int nv_irq_set(struct nv_irq *irq, uint32_t pin, bool level)
{
    NV_GUARD(&irq->lock);
    return set_locked(irq, pin, level);
}

int nv_irq_pulse(struct nv_irq *irq, uint32_t pin)
{
    int r;

    NV_GUARD(&irq->lock);
    r = set_locked(irq, pin, true);
    return r < 0 ? r : set_locked(irq, pin, false);
}

static int msi_locked(struct nv_irq *irq, uint64_t address, uint32_t data)
{
    struct kvm_msi message = {
        .address_lo = (uint32_t)address,
        .address_hi = (uint32_t)(address >> 32),
        .data = data,
    };

    if (!irq->host)
        return -EBUSY;
    return nv_kvm_call(irq->host, irq->vm_fd, KVM_SIGNAL_MSI, &message);
}

int nv_irq_msi(struct nv_irq *irq, uint64_t address, uint32_t data)
{
    int r;

    NV_GUARD(&irq->lock);
    r = msi_locked(irq, address, data);
    return r > 0 ? 1 : r;
}

bool nv_irq_is_enabled(struct nv_irq *irq, uint32_t pin)
{
    NV_GUARD(&irq->lock);
    return irq->chip == NESTVIRT_CHIP_KERNEL || !nv_ioapic_is_masked(irq, pin);
}

uint32_t nv_irq_level_pins(const struct nv_irq *irq)
{
    uint32_t bits = 0;

    for (uint32_t i = 0; i < NV_IOAPIC_PINS; i++)
        if (irq->pins[i].is_level)
            bits |= 1u << i;
    return bits;
}
