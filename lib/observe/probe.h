/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the loaded BPF program, by libbpf, which is loaded when the first one is. */
#ifndef NV_OBSERVE_PROBE_H
#define NV_OBSERVE_PROBE_H

#include <sys/types.h>

#include <nestvirt/error.h>

#include "observe/runqueue.h"

/* One user at a time: the owner's lock is held in all calls. */
struct nv_probe;

enum { NV_PROBE_TOTAL = 0 }; /* as an id: of all VMs */

/*
 * Loads the program into the kernel and attaches it. -ENOTSUP: libbpf is missing, this build is
 * without it, or the kernel lacks something; -EPERM, -EACCES without the right; -ENOMEM, -EMFILE.
 */
int nv_probe_open(struct nv_probe **ret_probe, struct nestvirt_error **ret_error);

/* Takes it out of the kernel. NULL is allowed. */
void nv_probe_close(struct nv_probe *probe);

/* Makes room for the figures of a VM, id from 1 and not used before. -ENOSPC, -ENOMEM. */
int nv_probe_add(struct nv_probe *probe, uint32_t id);

/* Gives it back; no thread counts for it any more. */
void nv_probe_remove(struct nv_probe *probe, uint32_t id);

/* A thread of this process counts for a VM from now on. -ESRCH, -EBUSY, -ENOMEM. */
int nv_probe_watch(struct nv_probe *probe, pid_t tid, uint32_t id);

/* It no longer does; nothing happens if it has ended. */
void nv_probe_ignore(struct nv_probe *probe, pid_t tid);

/* What was counted for a VM or for all. 0 or -errno. */
int nv_probe_read(struct nv_probe *probe, uint32_t id, struct nv_wait_sums *ret_sums);

/* Counts anew. 0 or -errno. */
int nv_probe_clear(struct nv_probe *probe, uint32_t id);

#endif
