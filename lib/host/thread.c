/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the library's threads: creation with every signal blocked, and the kick signal. */
#include "host/thread.h"

#include <errno.h>
#include <sys/prctl.h>
#include <time.h>

#include "host/stacks.h"

int nv_thread_create(pthread_t *ret_thread, void *stack, void *(*main)(void *), void *argument)
{
    pthread_attr_t attributes;
    sigset_t all;
    sigset_t old;
    int r;

    r = pthread_attr_init(&attributes);
    if (r != 0)
        return -r;
    if (stack)
        pthread_attr_setstack(&attributes, stack, NV_STACK_SIZE);
    else
        pthread_attr_setstacksize(&attributes, NV_STACK_SIZE);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    r = pthread_create(ret_thread, &attributes, main, argument);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    pthread_attr_destroy(&attributes);
    return -r;
}

/* The kernel's numbering of clocks: those of threads have the complement of the id above 3 bits. */
pid_t nv_thread_get_tid(pthread_t thread)
{
    clockid_t clock;

    if (pthread_getcpuclockid(thread, &clock) != 0)
        return -1; /* it has ended; 0 would be the caller */
    return ~(clock >> 3);
}

void nv_thread_set_name(const char *name)
{
    prctl(PR_SET_NAME, name);
}

void nv_signals_shield(struct nv_signal_shield *shield)
{
    sigset_t block;
    sigset_t pending;

    sigpending(&pending);
    shield->had_pipe = sigismember(&pending, SIGPIPE) == 1;
    shield->had_size = sigismember(&pending, SIGXFSZ) == 1;
    shield->had_kick = sigismember(&pending, nv_kick_signal()) == 1;
    sigemptyset(&block);
    sigaddset(&block, SIGPIPE);
    sigaddset(&block, SIGXFSZ);
    sigaddset(&block, nv_kick_signal());
    pthread_sigmask(SIG_BLOCK, &block, &shield->old);
}

void nv_signals_unshield(const struct nv_signal_shield *shield)
{
    const struct timespec now = { 0 };
    sigset_t ours;

    /* What was pending before is the caller's. */
    sigemptyset(&ours);
    if (!shield->had_pipe)
        sigaddset(&ours, SIGPIPE);
    if (!shield->had_size)
        sigaddset(&ours, SIGXFSZ);
    if (!shield->had_kick)
        sigaddset(&ours, nv_kick_signal());
    while (sigtimedwait(&ours, NULL, &now) >= 0 || errno == EINTR)
        ;
    pthread_sigmask(SIG_SETMASK, &shield->old, NULL);
}
