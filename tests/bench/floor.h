/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The floor: the least a program must do to run a guest on KVM to its first exit, in the best
 * order. The library is measured against it. Calls may be removed from it, never added.
 */
#ifndef BENCH_FLOOR_H
#define BENCH_FLOOR_H

#include <linux/kvm.h>
#include <pthread.h>
#include <semaphore.h>
#include <stddef.h>
#include <stdint.h>

enum {
    FLOOR_ENTRY = 0x1000, /* where the code goes and the vCPU starts, in real mode */
    FLOOR_PINS = 24,      /* of the split interrupt chip */
    FLOOR_CPUID_MAX = 256
};

/* What is fetched once per process. */
struct floor_host {
    int fd;
    size_t run_size;
    struct kvm_sregs sregs; /* of a fresh vCPU, with the code segment at 0 */
    pthread_attr_t thread;  /* a small stack */
    struct kvm_cpuid2 *cpuid;
};

struct floor_vm {
    int fd;
    int vcpu_fd;
    struct kvm_run *run;
    uint8_t *memory;
    size_t memory_size;
    pthread_t thread;
    sem_t exited;
    uint64_t first_exit_ns; /* CLOCK_MONOTONIC_RAW; 0 if the first exit was no port access */
};

/* Opens KVM and fetches the lists. Like all here returns 0 or a negated errno value. */
int floor_open(struct floor_host *host);
void floor_close(struct floor_host *host);

/* Makes a VM with `code` at FLOOR_ENTRY, up to the point where its vCPU can run. */
int floor_create(const struct floor_host *host, size_t memory_size, const void *code,
                 size_t code_size, struct floor_vm *vm);

/* Runs the vCPU on a thread of its own: to the first exit, and on until it is stopped. */
int floor_start(const struct floor_host *host, struct floor_vm *vm);

/* Waits for the first exit. -EIO if it was not the port access. */
int floor_wait(struct floor_vm *vm);

/* Gets the vCPU out of the guest, which has halted, and ends its thread. */
void floor_stop(struct floor_vm *vm);

/* Takes the VM apart; its thread has ended. */
void floor_destroy(const struct floor_host *host, struct floor_vm *vm);

#endif
