/* SPDX-License-Identifier: Apache-2.0 */
/* Owns a disk that does not answer: writes to one file wait, by the linker's --wrap=write. */
#ifndef TESTS_UNIT_FILE_GATE_H
#define TESTS_UNIT_FILE_GATE_H

#include <stdbool.h>

/* A new file, in memory; to be closed by the test. */
int file_gate_new(void);

/* While it is shut, writes to the file wait, though not for more than 20 seconds. */
void file_gate_set(bool shut);

/* Returns once a write waits. */
void file_gate_await(void);

#endif
