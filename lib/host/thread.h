/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the library's threads: creation with every signal blocked, and the kick signal. */
#ifndef NV_HOST_THREAD_H
#define NV_HOST_THREAD_H

#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/types.h>

/*
 * Starts a thread with all signals blocked, on a stack of nv_stacks_take() or, with NULL, on the C
 * library's. -errno on failure.
 */
int nv_thread_create(pthread_t *ret_thread, void *stack, void *(*main)(void *), void *argument);

/*
 * The kernel's id of a thread that has not been joined. It costs the thread nothing: the C library
 * has it since the thread was created.
 */
pid_t nv_thread_get_tid(pthread_t thread);

/* Names the calling thread; cut to 15 bytes. Cheaper than from outside, which opens a file. */
void nv_thread_set_name(const char *name);

/*
 * The real-time signal that gets a vCPU out of guest mode. It is blocked wherever the library
 * waits for it and never delivered to a handler.
 */
static inline int nv_kick_signal(void)
{
    return SIGRTMIN + 5;
}

/* What nv_signals_shield() has to put back. */
struct nv_signal_shield {
    sigset_t old;
    bool had_pipe;
    bool had_size;
    bool had_kick;
};

/*
 * For library code on a caller's thread: blocks the kick signal, SIGPIPE and SIGXFSZ; unshield
 * drains those that arose meanwhile and restores the mask.
 */
void nv_signals_shield(struct nv_signal_shield *shield);
void nv_signals_unshield(const struct nv_signal_shield *shield);

#endif
