/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the IOAPIC's registers (Intel 82093AA) and turns its entries into MSIs for KVM. */
#include "bus/ioapic.h"

#include <string.h>

#include "core/cleanup.h"
#include "core/util.h"

/* Offsets in the window, and numbers of the indirect registers. */
enum {
    REG_SELECT = 0x00,
    REG_WINDOW = 0x10,
    INDEX_ID = 0x00,
    INDEX_VERSION = 0x01,
    INDEX_ARBITRATION = 0x02,
    INDEX_ENTRIES = 0x10
};

enum { VERSION = 0x11 | (NV_IOAPIC_PINS - 1) << 16 };

/* Bits of a redirection entry. */
#define ENTRY_VECTOR 0xffull
#define ENTRY_DELIVERY_MODE (7ull << 8)
#define ENTRY_LOGICAL (1ull << 11)
#define ENTRY_STATUS (1ull << 12)
#define ENTRY_REMOTE_IRR (1ull << 14)
#define ENTRY_LEVEL (1ull << 15)
#define ENTRY_MASKED (1ull << 16)
#define ENTRY_READ_ONLY (ENTRY_STATUS | ENTRY_REMOTE_IRR)

/* Delivery mode 1, lowest priority, is asked for by the redirection hint of an MSI's address. */
enum { MODE_LOWEST_PRIORITY = 1 };

/* The MSI that has the effect of an entry (Intel SDM volume 3, 11.11). */
static void entry_to_msi(uint64_t entry, uint32_t *ret_address, uint32_t *ret_data)
{
    uint32_t mode = (uint32_t)(entry & ENTRY_DELIVERY_MODE) >> 8;
    uint32_t address = 0xfee00000u | (uint32_t)(entry >> 56) << 12;
    uint32_t data = (uint32_t)(entry & (ENTRY_VECTOR | ENTRY_DELIVERY_MODE));

    if (entry & ENTRY_LOGICAL)
        address |= 1u << 2;
    if (mode == MODE_LOWEST_PRIORITY)
        address |= 1u << 3;
    if (entry & ENTRY_LEVEL)
        data |= 1u << 15 | 1u << 14;
    *ret_address = address;
    *ret_data = data;
}

static struct kvm_irq_routing_entry route_of(const struct nv_pin *pin, uint32_t number)
{
    struct kvm_irq_routing_entry route = { 0 };

    /* Routes are needed by irqfds, and by level pins for KVM_EXIT_IOAPIC_EOI. */
    if (pin->entry & ENTRY_MASKED)
        return route;
    if (pin->irqfd < 0 && !(pin->entry & ENTRY_LEVEL))
        return route;
    route.gsi = number;
    route.type = KVM_IRQ_ROUTING_MSI;
    entry_to_msi(pin->entry, &route.u.msi.address_lo, &route.u.msi.data);
    return route;
}

static int set_routes(struct nv_irq *irq)
{
    struct {
        struct kvm_irq_routing header;
        struct kvm_irq_routing_entry entries[NV_IOAPIC_PINS];
    } table = { 0 };

    for (uint32_t i = 0; i < NV_IOAPIC_PINS; i++)
        if (irq->pins[i].route.type)
            table.entries[table.header.nr++] = irq->pins[i].route;
    return nv_kvm_call(irq->host, irq->vm_fd, KVM_SET_GSI_ROUTING, &table);
}

/* Tells KVM the routes, if this pin's has changed. */
static void update_routes(struct nv_irq *irq, uint32_t changed)
{
    struct kvm_irq_routing_entry route = route_of(&irq->pins[changed], changed);

    if (memcmp(&route, &irq->pins[changed].route, sizeof(route)) == 0 || !irq->host)
        return;
    irq->pins[changed].route = route;
    if (set_routes(irq) < 0)
        irq->lost++;
}

int nv_ioapic_restore_routes(struct nv_irq *irq, struct nestvirt_error **ret_error)
{
    bool has_any = false;
    int r = 0;

    for (uint32_t i = 0; i < NV_IOAPIC_PINS; i++) {
        irq->pins[i].route = route_of(&irq->pins[i], i);
        has_any = has_any || irq->pins[i].route.type;
    }
    if (has_any)
        r = set_routes(irq);
    return r < 0 ? nv_fail_sys(ret_error, -r, "interrupt chip", "KVM_SET_GSI_ROUTING", "") : 0;
}

void nv_ioapic_reset(struct nv_irq *irq)
{
    irq->select = 0;
    irq->id = 0;
    for (uint32_t i = 0; i < NV_IOAPIC_PINS; i++) {
        irq->pins[i].entry = ENTRY_MASKED;
        irq->pins[i].is_raised = false;
        memset(&irq->pins[i].route, 0, sizeof(irq->pins[i].route));
    }
}

void nv_ioapic_fire(struct nv_irq *irq, uint32_t number)
{
    struct nv_pin *pin = &irq->pins[number];
    struct kvm_msi message = { 0 };

    if (pin->entry & ENTRY_MASKED)
        return;
    if (pin->entry & ENTRY_LEVEL) {
        if (pin->entry & ENTRY_REMOTE_IRR)
            return;
        pin->entry |= ENTRY_REMOTE_IRR;
    }
    entry_to_msi(pin->entry, &message.address_lo, &message.data);
    if (nv_kvm_call(irq->host, irq->vm_fd, KVM_SIGNAL_MSI, &message) <= 0) {
        irq->lost++;
        pin->entry &= ~ENTRY_REMOTE_IRR;
    }
}

bool nv_ioapic_is_masked(const struct nv_irq *irq, uint32_t pin)
{
    return irq->pins[pin].entry & ENTRY_MASKED;
}

void nv_irq_eoi(struct nv_irq *irq, uint8_t vector)
{
    NV_GUARD(&irq->lock);
    for (uint32_t i = 0; i < NV_IOAPIC_PINS; i++) {
        struct nv_pin *pin = &irq->pins[i];

        if ((pin->entry & ENTRY_VECTOR) != vector || !(pin->entry & ENTRY_REMOTE_IRR))
            continue;
        pin->entry &= ~ENTRY_REMOTE_IRR;
        if (pin->is_raised && irq->host)
            nv_ioapic_fire(irq, i);
    }
}

static void write_entry(struct nv_irq *irq, uint32_t number, bool high, uint32_t value)
{
    struct nv_pin *pin = &irq->pins[number];
    uint64_t entry = high ? (pin->entry & 0xffffffffull) | (uint64_t)value << 32
                          : (pin->entry & ~0xffffffffull) | value;

    entry = (entry & ~ENTRY_READ_ONLY) | (pin->entry & ENTRY_READ_ONLY);
    if (!(entry & ENTRY_LEVEL))
        entry &= ~ENTRY_REMOTE_IRR;
    pin->entry = entry;
    update_routes(irq, number);
    /* A level line that is up when its pin is unmasked interrupts at once. */
    if ((entry & ENTRY_LEVEL) && pin->is_raised && irq->host)
        nv_ioapic_fire(irq, number);
}

static uint32_t read_register(const struct nv_irq *irq)
{
    uint32_t index = irq->select;
    uint32_t pin = (index - INDEX_ENTRIES) / 2;

    if (index == INDEX_ID || index == INDEX_ARBITRATION)
        return irq->id << 24;
    if (index == INDEX_VERSION)
        return VERSION;
    if (index >= INDEX_ENTRIES && pin < NV_IOAPIC_PINS)
        return (uint32_t)(irq->pins[pin].entry >> (index & 1 ? 32 : 0));
    return 0xffffffffu;
}

static void write_register(struct nv_irq *irq, uint32_t value)
{
    uint32_t index = irq->select;
    uint32_t pin = (index - INDEX_ENTRIES) / 2;

    if (index == INDEX_ID)
        irq->id = value >> 24 & 0xf;
    else if (index >= INDEX_ENTRIES && pin < NV_IOAPIC_PINS)
        write_entry(irq, pin, index & 1, value);
}

int32_t nv_ioapic_access(void *user_data, struct nestvirt_access *access)
{
    struct nv_irq *irq = user_data;
    uint8_t padded[4] = { 0 };

    NV_GUARD(&irq->lock);
    if (access->is_write) {
        memcpy(padded, access->data, NV_MIN(access->length, 4u));
        if (access->offset == REG_SELECT)
            irq->select = padded[0];
        else if (access->offset == REG_WINDOW)
            write_register(irq, nv_get_le32(padded));
    } else {
        uint32_t value = 0;

        if (access->offset == REG_SELECT)
            value = irq->select;
        else if (access->offset == REG_WINDOW)
            value = read_register(irq);
        nv_put_le32(padded, value);
        memcpy(access->data, padded, NV_MIN(access->length, 4u));
    }
    return NESTVIRT_ACTION_RESUME;
}
