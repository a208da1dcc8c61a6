/* SPDX-License-Identifier: Apache-2.0 */
/* Owns crowds of bare VMs in one process: made one by one, looked at, freed. */
#ifndef TESTS_KVM_CROWD_H
#define TESTS_KVM_CROWD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include <nestvirt/nestvirt.h>

enum {
    CROWD_MAX = 2048,
    CROWD_COUNTER = 0x3000 /* where guests count, 32 bits */
};

/* Also for child processes, where check's assertions do not work: nothing here uses them. */
struct crowd {
    struct nestvirt_host *host;
    struct nestvirt_loop *loop; /* shared by all; NULL: they need none */
    uint64_t memory;            /* of each VM */
    int image;
    uint32_t count;
    struct nestvirt_vm *vms[CROWD_MAX];
};

/* Begins one with guests that count once and halt; or, is_busy, count for ever. */
struct crowd *crowd_new(struct nestvirt_host *host, uint64_t memory, bool is_busy);

/* Makes and starts one more VM; with a loop it gets a device that the loop serves. */
int crowd_add(struct crowd *crowd, struct nestvirt_error **ret_error);

/* How often a VM's guest has counted; and whether it does within some seconds. */
uint32_t crowd_progress(const struct crowd *crowd, uint32_t number);
bool crowd_has_run(const struct crowd *crowd, uint32_t number);

/*
 * What is measured in milliseconds, or takes turns very often, goes before what else the machine
 * does, where that is permitted; elsewhere all takes longer. tid 0: this thread. What the thread
 * starts does not.
 */
void crowd_come_first(pid_t tid, bool on);

/* The first VM that is not running or whose guest has not run; crowd->count if all are well. */
uint32_t crowd_find_bad(const struct crowd *crowd);

/* Frees the last VM. */
void crowd_remove(struct crowd *crowd);

/* Frees all of them and the crowd. */
void crowd_free(struct crowd *crowd);

/* Runs fn in a child process with a host of its own; its exit status, or 128 and the signal. */
int crowd_run_child(int (*fn)(void *user_data), void *user_data);

#endif
