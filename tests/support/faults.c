/* SPDX-License-Identifier: Apache-2.0 */
/* Owns failures of chosen library and system calls, put in by the linker's --wrap. */
#include "faults.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/types.h>

struct stat;

const char *const fault_names[FAULT_CALLS] = {
    [FAULT_MALLOC] = "malloc",
    [FAULT_MMAP] = "mmap",
    [FAULT_MADVISE] = "madvise",
    [FAULT_EVENTFD] = "eventfd",
    [FAULT_EPOLL_CREATE] = "epoll_create1",
    [FAULT_EPOLL_CTL] = "epoll_ctl",
    [FAULT_THREAD] = "pthread_create",
    [FAULT_MEMFD] = "memfd_create",
    [FAULT_FCNTL] = "fcntl",
    [FAULT_FTRUNCATE] = "ftruncate",
    [FAULT_PREAD] = "pread",
    [FAULT_FSTAT] = "fstat",
};

const int fault_errors[FAULT_CALLS] = {
    [FAULT_MALLOC] = ENOMEM,    [FAULT_MMAP] = ENOMEM,         [FAULT_MADVISE] = EAGAIN,
    [FAULT_EVENTFD] = EMFILE,   [FAULT_EPOLL_CREATE] = EMFILE, [FAULT_EPOLL_CTL] = ENOSPC,
    [FAULT_THREAD] = EAGAIN,    [FAULT_MEMFD] = EMFILE,        [FAULT_FCNTL] = EMFILE,
    [FAULT_FTRUNCATE] = ENOSPC, [FAULT_PREAD] = EIO,           [FAULT_FSTAT] = EIO,
};

/* Only the arming thread's calls count, so that others' do not make the n-th a matter of luck. */
static _Thread_local struct {
    bool is_armed;
    bool has_happened;
    enum fault_call call;
    unsigned left;
} fault;

void faults_arm(enum fault_call call, unsigned n)
{
    fault.call = call;
    fault.left = n;
    fault.has_happened = false;
    fault.is_armed = true;
}

bool faults_disarm(void)
{
    fault.is_armed = false;
    return fault.has_happened;
}

/* True if this call is the one; errno is set. */
static bool fails(enum fault_call call)
{
    if (!fault.is_armed || fault.call != call || fault.left == 0 || --fault.left > 0)
        return false;
    fault.has_happened = true;
    errno = fault_errors[call];
    return true;
}

/* Declares the real function and defines the one that stands before it. */
#define WRAP(call, failure, type, name, parameters, arguments)    \
    type __real_##name parameters;                                \
    type __wrap_##name parameters;                                \
    type __wrap_##name parameters                                 \
    {                                                             \
        return fails(call) ? (failure) : __real_##name arguments; \
    }

#define FAILED_MAP ((void *)-1)

WRAP(FAULT_MALLOC, NULL, void *, malloc, (size_t size), (size))
WRAP(FAULT_MALLOC, NULL, void *, calloc, (size_t count, size_t size), (count, size))
WRAP(FAULT_MALLOC, NULL, void *, realloc, (void *old, size_t size), (old, size))
WRAP(FAULT_MALLOC, NULL, char *, strdup, (const char *text), (text))
WRAP(FAULT_MMAP, FAILED_MAP, void *, mmap,
     (void *at, size_t length, int protection, int flags, int fd, off_t offset),
     (at, length, protection, flags, fd, offset))
WRAP(FAULT_MMAP, FAILED_MAP, void *, mmap64,
     (void *at, size_t length, int protection, int flags, int fd, off_t offset),
     (at, length, protection, flags, fd, offset))
WRAP(FAULT_MADVISE, -1, int, madvise, (void *at, size_t length, int advice), (at, length, advice))
WRAP(FAULT_EVENTFD, -1, int, eventfd, (unsigned value, int flags), (value, flags))
WRAP(FAULT_EPOLL_CREATE, -1, int, epoll_create1, (int flags), (flags))
WRAP(FAULT_EPOLL_CTL, -1, int, epoll_ctl,
     (int epoll, int operation, int fd, struct epoll_event *event), (epoll, operation, fd, event))
WRAP(FAULT_THREAD, fault_errors[FAULT_THREAD], int, pthread_create,
     (pthread_t * thread, const pthread_attr_t *attributes, void *(*main)(void *), void *argument),
     (thread, attributes, main, argument))
WRAP(FAULT_MEMFD, -1, int, memfd_create, (const char *name, unsigned flags), (name, flags))
WRAP(FAULT_FTRUNCATE, -1, int, ftruncate, (int fd, off_t length), (fd, length))
WRAP(FAULT_FTRUNCATE, -1, int, ftruncate64, (int fd, off_t length), (fd, length))
WRAP(FAULT_PREAD, -1, ssize_t, pread, (int fd, void *buffer, size_t length, off_t offset),
     (fd, buffer, length, offset))
WRAP(FAULT_PREAD, -1, ssize_t, pread64, (int fd, void *buffer, size_t length, off_t offset),
     (fd, buffer, length, offset))
WRAP(FAULT_FSTAT, -1, int, fstat, (int fd, struct stat *info), (fd, info))
WRAP(FAULT_FSTAT, -1, int, fstat64, (int fd, struct stat *info), (fd, info))

/* The library gives at most one argument, which fits a word. */
#define WRAP_FCNTL(name)                                                       \
    int __real_##name(int fd, int command, ...);                               \
    int __wrap_##name(int fd, int command, ...);                               \
    int __wrap_##name(int fd, int command, ...)                                \
    {                                                                          \
        va_list arguments;                                                     \
        intptr_t argument;                                                     \
                                                                               \
        va_start(arguments, command);                                          \
        argument = va_arg(arguments, intptr_t);                                \
        va_end(arguments);                                                     \
        return fails(FAULT_FCNTL) ? -1 : __real_##name(fd, command, argument); \
    }

WRAP_FCNTL(fcntl)
WRAP_FCNTL(fcntl64)
