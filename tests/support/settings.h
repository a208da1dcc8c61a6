/* SPDX-License-Identifier: Apache-2.0 */
/* Owns changes of the host's settings, which are put back however the test program ends. */
#ifndef TESTS_SUPPORT_SETTINGS_H
#define TESTS_SUPPORT_SETTINGS_H

#include <stdbool.h>
#include <stdint.h>

/*
 * Begins, before any test: skips the program without root or the file, waits for other test
 * programs that change the same (a lock on the file), and forks a guardian, which puts everything
 * back if this process dies.
 */
void settings_begin(const char *file);

/* Changes a file of one number; its old value is kept. False with the reason in errno. */
bool settings_set(const char *file, uint64_t value);

uint64_t settings_get(const char *file);

/* Puts all back now; exit() does so too, and after a deadly signal the guardian at the latest. */
void settings_restore(void);

#endif
