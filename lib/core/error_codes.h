/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the table of error codes: name, value and general meaning, one line each. */
#ifndef NV_CORE_ERROR_CODES_H
#define NV_CORE_ERROR_CODES_H

#include <errno.h>

#include <nestvirt/error.h>

#define NV_ERROR_CODES(X)                                                                          \
    X(EPERM, -EPERM, "not permitted")                                                              \
    X(ENOENT, -ENOENT, "no such thing")                                                            \
    X(EINTR, -EINTR, "interrupted")                                                                \
    X(EIO, -EIO, "input or output failed")                                                         \
    X(E2BIG, -E2BIG, "too long, too large, or from a newer release")                               \
    X(ENOEXEC, -ENOEXEC, "not an image that can be booted")                                        \
    X(EBADF, -EBADF, "not a handle or descriptor of the kind needed")                              \
    X(ECHILD, -ECHILD, "the handle belongs to the parent process")                                 \
    X(EAGAIN, -EAGAIN, "no resources at the moment")                                               \
    X(ENOMEM, -ENOMEM, "out of memory")                                                            \
    X(EACCES, -EACCES, "permission denied")                                                        \
    X(EFAULT, -EFAULT, "a pointer is missing, or an address is outside guest memory")              \
    X(EBUSY, -EBUSY, "not allowed in this state")                                                  \
    X(EEXIST, -EEXIST, "already taken")                                                            \
    X(ENODEV, -ENODEV, "no such device")                                                           \
    X(EISDIR, -EISDIR, "is a directory")                                                           \
    X(EINVAL, -EINVAL, "invalid value")                                                            \
    X(ENFILE, -ENFILE, "too many open files on the system")                                        \
    X(EMFILE, -EMFILE, "too many open files in this process")                                      \
    X(EROFS, -EROFS, "read-only")                                                                  \
    X(ENOSPC, -ENOSPC, "a table is full")                                                          \
    X(EDEADLK, -EDEADLK, "would wait for itself")                                                  \
    X(ENAMETOOLONG, -ENAMETOOLONG, "a name is too long")                                           \
    X(ENOTSUP, -ENOTSUP, "not supported here")                                                     \
    X(ETIMEDOUT, -ETIMEDOUT, "not in the time given")                                              \
    X(EALREADY, -EALREADY, "already so")                                                           \
    X(NESTVIRT_E_BUG, NESTVIRT_E_BUG, "a defect of the library; please report it")                 \
    X(NESTVIRT_E_NO_INTERRUPT_PIN, NESTVIRT_E_NO_INTERRUPT_PIN,                                    \
      "all pins of the interrupt controller are in use")                                           \
    X(NESTVIRT_E_VCPU_STUCK, NESTVIRT_E_VCPU_STUCK, "a vCPU did not leave guest mode in time")     \
    X(NESTVIRT_E_INVALID_VM, NESTVIRT_E_INVALID_VM, "the VM's configuration has several problems") \
    X(NESTVIRT_E_BAD_STATE, NESTVIRT_E_BAD_STATE,                                                  \
      "saved state is cut off, damaged or from elsewhere")

#endif
