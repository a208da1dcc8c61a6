/* SPDX-License-Identifier: Apache-2.0 */
/* Owns a child that puts the host's KSM settings back, however the test program ends. */
#ifndef TESTS_SUPPORT_KSM_GUARD_H
#define TESTS_SUPPORT_KSM_GUARD_H

#include <stdbool.h>

/*
 * Begins to watch: what is there now is what is put back when this process calls end or dies.
 * False without KSM, or if its settings cannot be written.
 */
bool ksm_guard_begin(void);

/* True if all settings are what they were. */
bool ksm_guard_is_clean(void);

/* Puts back what differs. */
void ksm_guard_end(void);

#endif
