/* SPDX-License-Identifier: Apache-2.0 */
/* Owns what tests of the virtio core share: the probe device, and checks of how it is afterwards.
 */
#ifndef TESTS_UNIT_VIRTIO_CHECKS_H
#define TESTS_UNIT_VIRTIO_CHECKS_H

#include "support.h"
#include "virtio_probe.h"

extern struct virtio_guest guest;

/* The usual fixture: a probe with two queues, wired, started, and driven with all features. */
void checks_setup(void);
void checks_teardown(void);

/* Parts of it; flags of guest_new_class(). */
void checks_make(uint32_t flags);
void checks_start(uint64_t features);

/* Status register. */
uint32_t checks_status(void);

/* Adds a request of so many bytes, with an answer as long; returns its head. */
uint32_t checks_add(uint32_t queue, uint32_t length);

/* A request is answered with what was sent, and interrupts. */
void checks_echo(uint32_t queue);

/* Outcome N: kick, and the device needs a reset, told by an interrupt; a reset recovers. */
void checks_breaks(uint32_t queue);

/* Outcome I: what was done since the last call was ignored so many times, and all works. */
void checks_ignored(unsigned times);

#endif
