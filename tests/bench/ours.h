/* SPDX-License-Identifier: Apache-2.0 */
/* The library's side of the benchmarks: VMs with a handler on the guests' port. */
#ifndef BENCH_OURS_H
#define BENCH_OURS_H

#include <semaphore.h>
#include <stddef.h>
#include <stdint.h>

#include <nestvirt/nestvirt.h>

/*
 * Ends the program with the error's text if r is negative; frees the error. A pointer to it, as the
 * call that writes it may stand beside it.
 */
void ours_need(int r, struct nestvirt_error **error);

/* Opens the host. */
struct nestvirt_host *ours_open(void);

/* Puts code into a file in memory; returns its descriptor. */
int ours_make_image(const void *code, size_t size);

struct ours_vm {
    struct nestvirt_vm *vm;
    uint64_t first_exit_ns; /* CLOCK_MONOTONIC_RAW */
    int32_t action;         /* the handler's answer, NESTVIRT_ACTION_* */
    sem_t exited;
};

/* Makes a VM, starts it, and waits for its first exit; the handler notes the time. */
void ours_run(struct nestvirt_host *host, uint64_t memory_size, int image, int32_t action,
              struct ours_vm *ret_vm);

/* The parts of ours_run(): the VM up to its start with a given handler. */
struct nestvirt_vm *ours_new(struct nestvirt_host *host, uint64_t memory_size, int image,
                             int32_t (*fn)(void *user_data, struct nestvirt_access *access),
                             void *user_data);
void ours_start(struct nestvirt_vm *vm);

/* A handler for guests that do not use the port. */
int32_t ours_ignore(void *user_data, struct nestvirt_access *access);

void ours_free(struct ours_vm *vm);

#endif
