/* SPDX-License-Identifier: Apache-2.0 */
/* Owns what the files of this room tell each other of observers and watches; the lock is held. */
#ifndef NV_OBSERVE_WATCH_H
#define NV_OBSERVE_WATCH_H

#include "observe/observer.h"

/* Gives a reference back; without the lock. */
void nv_observer_put(struct nestvirt_observer *observer);

/* Reads the program's figures of a VM or in total, over what ret_waits has. */
int nv_observer_read_sums(struct nestvirt_observer *observer, uint32_t id,
                          struct nv_waits *ret_waits, struct nestvirt_error **ret_error);

/* Without the program: what a VM's threads have waited, and beginning anew. */
struct nv_run_delay nv_watch_delay(struct nv_watch *watch);
void nv_watch_restart(struct nv_watch *watch);

#endif
