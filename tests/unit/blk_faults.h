/* SPDX-License-Identifier: Apache-2.0 */
/* Owns faults of a disk: failing, short and endless system calls, put in by the linker's --wrap. */
#ifndef TESTS_UNIT_BLK_FAULTS_H
#define TESTS_UNIT_BLK_FAULTS_H

#include <stdbool.h>

enum disk_call {
    DISK_CACHED, /* reads that may not wait: fail with EAGAIN unless told otherwise */
    DISK_READ,
    DISK_WRITE,
    DISK_SYNC,
    DISK_ALLOCATE,
    DISK_THREAD,
    DISK_CALLOC,
    DISK_CALLS
};

/* The next so many calls fail with an errno; -1: all. The first `after` ones are spared. */
void disk_fail(enum disk_call call, int error, int count);
void disk_fail_after(enum disk_call call, int error, int after);

/* Transfers move at most so many bytes; 0: as many as they are asked to. */
void disk_cut(unsigned bytes);

/* Calls wait until they may go; and how many do. */
void disk_block(enum disk_call call, bool is_blocked);
int disk_blocked(void);

/* How often a call was made since disk_clear(). */
int disk_count(enum disk_call call);

/* No faults any more; but reads go to the threads, if cached is false. */
void disk_clear(bool cached);

#endif
