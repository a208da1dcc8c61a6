/* SPDX-License-Identifier: Apache-2.0 */
/* Owns interrupt lines: the pins, their user-space IOAPIC, irqfds and MSI delivery. */
#ifndef NV_BUS_IRQ_H
#define NV_BUS_IRQ_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include <nestvirt/device.h>

#include "core/record.h"
#include "kvm/kvm.h"

/* One pin: who has it, and what the guest programmed (82093AA data sheet, 3.2.4). */
struct nv_pin {
    bool is_claimed;
    bool is_internal; /* claimed by a device of the library for one build */
    bool is_level;
    bool is_raised;
    bool is_shareable; /* claimed by nv_irq_share() */
    uint8_t sharers;   /* devices beyond the first */
    int irqfd;         /* ours; -1: none */
    uint64_t entry;
    struct kvm_irq_routing_entry route; /* what KVM was told last; gsi and type 0: nothing */
};

struct nv_irq {
    pthread_mutex_t lock;
    const struct nestvirt_host *host; /* NULL: no VM attached */
    int vm_fd;
    uint32_t chip; /* NESTVIRT_CHIP_* */
    uint32_t select;
    uint32_t id;
    uint64_t lost; /* interrupts KVM dropped or refused */
    struct nv_pin pins[NV_IOAPIC_PINS];
};

void nv_irq_init(struct nv_irq *irq, uint32_t chip);
void nv_irq_destroy(struct nv_irq *irq);

/* Claims a pin, NESTVIRT_IRQ_ANY for a free one from 5 up; returns it. Errors: device.h. */
int nv_irq_claim(struct nv_irq *irq, uint32_t pin, uint32_t flags, bool internal,
                 struct nestvirt_error **ret_error);

/*
 * Claims an edge pin for a device of the library; when none is free, one that such devices share:
 * each edge is a message of its own, and each device tells whether it was the cause.
 */
int nv_irq_share(struct nv_irq *irq, struct nestvirt_error **ret_error);

/* Gives back the pins claimed as internal. */
void nv_irq_release_internal(struct nv_irq *irq);

/* Gives a claimed edge pin an irqfd (a duplicate of fd). */
int nv_irq_add_fd(struct nv_irq *irq, uint32_t pin, int fd, struct nestvirt_error **ret_error);

/*
 * Gives a claimed edge pin an eventfd of its own, if it has none, and returns it: writing to it
 * interrupts. The pin closes it.
 */
int nv_irq_open_fd(struct nv_irq *irq, uint32_t pin, struct nestvirt_error **ret_error);

/* Creates the interrupt chip of a new KVM VM; before any vCPU, after all memory slots. */
int nv_irq_create_chip(struct nv_irq *irq, const struct nestvirt_host *host, int vm_fd,
                       struct nestvirt_error **ret_error);

/* Resets the IOAPIC and registers the irqfds; after the vCPUs. */
int nv_irq_attach(struct nv_irq *irq, const struct nestvirt_host *host, int vm_fd,
                  struct nestvirt_error **ret_error);

/* The VM is about to close: lines stay as they are, nothing is delivered any more. */
void nv_irq_detach(struct nv_irq *irq);

/* Sets a line. -EINVAL for a pin nobody claimed, -EBUSY without a VM. */
int nv_irq_set(struct nv_irq *irq, uint32_t pin, bool level);

/* Lets an edge pin fire once. */
int nv_irq_pulse(struct nv_irq *irq, uint32_t pin);

/* Sends an MSI; 1 delivered, 0 dropped, or -errno. */
int nv_irq_msi(struct nv_irq *irq, uint64_t address, uint32_t data);

/* KVM_EXIT_IOAPIC_EOI: the guest has ended the interrupt with this vector. */
void nv_irq_eoi(struct nv_irq *irq, uint8_t vector);

/* The IOAPIC's registers, as a range handler; user_data is the nv_irq. */
int32_t nv_ioapic_access(void *user_data, struct nestvirt_access *access);

/* True if the guest has unmasked the pin; always with a chip in the kernel. */
bool nv_irq_is_enabled(struct nv_irq *irq, uint32_t pin);

/*
 * The chip as it stands, and put back to that, after nv_irq_attach() (irq_state.c). Pins are
 * claimed anew by then: -EINVAL for one that is not.
 */
int nv_irq_save(struct nv_irq *irq, struct nv_writer *writer, struct nestvirt_error **ret_error);
int nv_irq_load(struct nv_irq *irq, struct nv_reader *reader, struct nestvirt_error **ret_error);

/* Passes over the record that nv_irq_load() reads. NESTVIRT_E_BAD_STATE if it is not there. */
int nv_irq_pass(struct nv_reader *reader, struct nestvirt_error **ret_error);

/* Bits of pins that are level-triggered. */
uint32_t nv_irq_level_pins(const struct nv_irq *irq);

#endif
