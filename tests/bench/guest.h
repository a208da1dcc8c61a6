/* SPDX-License-Identifier: Apache-2.0 */
/* The code of the benchmarks' guests: 16 bits, loaded at FLOOR_ENTRY. */
#ifndef BENCH_GUEST_H
#define BENCH_GUEST_H

#include <stdint.h>

enum { GUEST_PORT = 0x10 }; /* where they write */

/* One write to the port, then a halt that nothing ends. */
static const uint8_t guest_exit_once[] = {
    0xe6, GUEST_PORT, /* out %al, $GUEST_PORT */
    0xf4,             /* again: hlt */
    0xeb, 0xfd,       /* jmp again */
};

/* Writes to the port for ever. */
static const uint8_t guest_exit_always[] = {
    0xe6, GUEST_PORT, /* again: out %al, $GUEST_PORT */
    0xeb, 0xfc,       /* jmp again */
};

#endif
