/* SPDX-License-Identifier: Apache-2.0 */
/* Owns a FUSE file system of one file that loses, on order, what was written but not synced. */
#ifndef TESTS_SUPPORT_LOSSY_FS_H
#define TESTS_SUPPORT_LOSSY_FS_H

#include <stdint.h>
#include <sys/types.h>

enum { LOSSY_SIZE_MAX = 1 << 20, LOSSY_SECTOR = 512 };

/* What it has seen since its start; lost: sectors that the last order to lose took back. */
struct lossy_counts {
    uint32_t writes;
    uint32_t syncs;
    uint32_t lost;
    uint32_t failed;
};

/*
 * Served by a process of its own, which dies with ours. Nothing is cached by the kernel: each read,
 * write and fsync of a user arrives at it; a close is no sync.
 */
struct lossy_fs {
    pid_t server; /* 0: none */
    int control;
    int mount;
    char path[40]; /* of the file, for this process and those it forks */
};

/* A file of size bytes, all zero. Skips the program where FUSE or mounting is not possible. */
void lossy_fs_start(struct lossy_fs *fs, uint32_t size);

/* Ends it, also after a failure. May be called at any time after the structure was zeroed. */
void lossy_fs_stop(struct lossy_fs *fs);

/* Power fails: what was written and not synced is gone. */
struct lossy_counts lossy_fs_lose(struct lossy_fs *fs);

/* Writes fail with this errno from now on; 0: they do not. */
struct lossy_counts lossy_fs_fail_writes(struct lossy_fs *fs, int code);
struct lossy_counts lossy_fs_fail_syncs(struct lossy_fs *fs, int code);

/* Each transfer takes so long; one under way ends when this is set to less. */
struct lossy_counts lossy_fs_delay(struct lossy_fs *fs, uint32_t microseconds);

struct lossy_counts lossy_fs_count(struct lossy_fs *fs);

#endif
