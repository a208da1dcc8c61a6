/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the IOAPIC's registers and what they mean for delivery; for the bus room only. */
#ifndef NV_BUS_IOAPIC_H
#define NV_BUS_IOAPIC_H

#include <stdbool.h>

#include "bus/irq.h"

/* All of these are called with the lock held. */

/* Registers as after a reset: every pin masked. */
void nv_ioapic_reset(struct nv_irq *irq);

/* Delivers a pin whose line is up, if its entry lets it. */
void nv_ioapic_fire(struct nv_irq *irq, uint32_t pin);

/* True if the pin's entry is masked. */
bool nv_ioapic_is_masked(const struct nv_irq *irq, uint32_t pin);

/* Tells KVM the routes of all entries at once, as they were loaded. */
int nv_ioapic_restore_routes(struct nv_irq *irq, struct nestvirt_error **ret_error);

#endif
