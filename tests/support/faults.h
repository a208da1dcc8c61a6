/* SPDX-License-Identifier: Apache-2.0 */
/* Owns failures of chosen library and system calls, put in by the linker's --wrap. */
#ifndef TESTS_SUPPORT_FAULTS_H
#define TESTS_SUPPORT_FAULTS_H

#include <stdbool.h>

/* The calls that can fail; their link arguments stand in tests/unit/meson.build. */
enum fault_call {
    FAULT_MALLOC, /* malloc, calloc, realloc and strdup, counted together */
    FAULT_MMAP,
    FAULT_MADVISE,
    FAULT_EVENTFD,
    FAULT_EPOLL_CREATE,
    FAULT_EPOLL_CTL,
    FAULT_THREAD,
    FAULT_MEMFD,
    FAULT_FCNTL,
    FAULT_FTRUNCATE,
    FAULT_PREAD,
    FAULT_FSTAT,
    FAULT_CALLS
};

extern const char *const fault_names[FAULT_CALLS];

/* What each fails with. */
extern const int fault_errors[FAULT_CALLS];

/* The n-th call from now on (1: the next) on this thread fails. */
void faults_arm(enum fault_call call, unsigned n);

/* Ends it; true if the failure happened. */
bool faults_disarm(void);

#endif
