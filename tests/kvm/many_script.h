/* SPDX-License-Identifier: Apache-2.0 */
/* Owns a script that uses one device of every virtio kind, and what is at the host's end of them.
 */
#ifndef TESTS_KVM_MANY_SCRIPT_H
#define TESTS_KVM_MANY_SCRIPT_H

#include <stdbool.h>

#include <nestvirt/nestvirt.h>

#include "script.h"

struct many {
    struct script script;
    char folder[64]; /* of the socket; for everyone */
    unsigned runs;   /* counters go on */
    int disk;
    int tap;                            /* -1: opened by its name */
    int packets;                        /* at the tap's other end */
    int input[2];                       /* of the console */
    int output[2];                      /* of the console */
    int listener;                       /* where the guest's vsock goes */
    struct nestvirt_device *devices[6]; /* blk net console rng balloon vsock */
};

/* The folder, before the others and after all; many is zero before. */
void many_make_folder(struct many *many);
void many_remove_folder(struct many *many);

/*
 * A namespace with a tap (is_lent: given to the VM as a descriptor), and a VM in state new whose
 * guest reads, writes, discards and flushes its disk, sends and receives a packet, talks on the
 * console, asks for random bytes, gives a page to the balloon and a line to the host by vsock, and
 * ends. engine: of the disk.
 */
void many_begin(struct many *many, struct nestvirt_host *host, const char *engine, bool is_lent);

/* What the guest waits for: a packet and a character. Call it once it runs. */
void many_feed(struct many *many);

/* Waits for the guest's end and checks all that it has done. */
void many_check(struct many *many);

/* Frees the VM and closes everything. */
void many_end(struct many *many);

/* Before another run: memory has been zeroed. */
void many_write(struct many *many);

/* Closes everything, for who frees the VM on another thread. */
void many_close(struct many *many);

#endif
