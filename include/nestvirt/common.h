/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What every other header of libnestvirt builds on: the version and the rules of the interface.
 *
 * Rules that hold for every function unless its comment says otherwise:
 *
 * - Results. 0 or a non-negative result on success, a negative code on failure: a negated errno
 *   value, or one of the library's own codes (see error.h). A failed call changes nothing, and
 *   handles it would have returned are set to NULL.
 * - Errors. The last parameter, ret_error, may be NULL. Otherwise it is always written: NULL on
 *   success, else an error object that the caller frees with nestvirt_error_free().
 * - Threads. Any thread may make any call at any time; calls on one VM take turns. Callbacks run
 *   with no lock of the library held and may call back into it, except that stopping or freeing a
 *   VM from one of its own callbacks or vCPU threads is refused with -EDEADLK.
 * - Handles. NULL where a handle or an output is needed is -EFAULT, a handle of another kind is
 *   -EBADF. Using a handle after it was freed is undefined.
 * - Fork. A child process that inherited handles by fork() gets -ECHILD from every call on them;
 *   guest memory is not inherited at all. Freeing them there is allowed and touches nothing.
 * - Structures. Structures start with `size`, the caller's sizeof, and `flags`. Call the _init
 *   function first; it sets the defaults. A size of 0 or shorter than the first release's structure
 *   is -EINVAL, non-zero bytes behind what this library knows are -E2BIG, unknown flags and
 *   non-zero reserved fields are -EINVAL.
 * - File descriptors. The library duplicates what it is given; the caller's own stays the
 *   caller's to close. Every descriptor of the library is close-on-exec.
 * - Process. The library never ends the process, prints, installs a signal handler, or changes
 *   the signal mask of a thread it was called on beyond the call.
 *
 * Since 0.1 unless said otherwise.
 */
#ifndef NESTVIRT_COMMON_H
#define NESTVIRT_COMMON_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
    /* The version of these headers. */
    NESTVIRT_VERSION_MAJOR = 0,
    NESTVIRT_VERSION_MINOR = 1,
    NESTVIRT_VERSION_MICRO = 0
};

/*
 * The version of the library in use: major << 16 | minor << 8 | micro. Never fails; any thread.
 */
uint32_t nestvirt_version(void);

/*
 * The version of the library as text, "0.1.0". Static; never NULL, not to be freed.
 */
const char *nestvirt_version_string(void);

#ifdef __cplusplus
}
#endif

#endif
