/* SPDX-License-Identifier: Apache-2.0 */
/* Owns what boot tests do on the host's side: files of patterns, a folder for them, programs. */
#ifndef TESTS_BOOT_TOOLS_H
#define TESTS_BOOT_TOOLS_H

#include <stdint.h>

enum { MIB = 1 << 20 };

/*
 * A temporary folder for the test program; it is removed when the program ends, as unchecked
 * fixtures of its case.
 */
void tools_make_folder(void);
void tools_remove_folder(void);

/* The path of a file in the folder; one of the last eight asked for. */
const char *tools_path(const char *name);

/* Runs a program (found also in /usr/sbin) with its output in the test's; returns its status. */
int tools_run(const char *const arguments[]);

/* Makes a file of so many MiB of a pattern (pattern.h), written through; returns its descriptor. */
int tools_make_file(const char *path, uint64_t mib, uint64_t seed);

/* The sum of so many bytes of a pattern from its start, at most a MiB. */
uint32_t tools_sum_bytes(uint32_t length, uint64_t seed);

/* Sums of a pattern from its start, and of a file's bytes from an offset on (to its end: 0). */
uint32_t tools_sum_pattern(uint64_t mib, uint64_t seed);
uint32_t tools_sum_file(int fd, uint64_t offset, uint64_t length);

/* Bytes that a file takes on its disk. */
uint64_t tools_allocated(int fd);

#endif
