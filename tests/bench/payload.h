/* SPDX-License-Identifier: Apache-2.0 */
/* The guest of the virtio benchmarks (payload.S) and what it shares with the host. */
#ifndef BENCH_PAYLOAD_H
#define BENCH_PAYLOAD_H

#include <stdint.h>

enum {
    PAYLOAD_SIZE = 0x10000,
    PAYLOAD_BASE = 0xf0000,
    PAYLOAD_SHARED = 0x8000,
    PAYLOAD_DATA = 0x40000, /* where it reads to, 4 KiB for each request of a batch */
    PAYLOAD_BATCH_MAX = 128
};

extern const uint8_t bench_payload[PAYLOAD_SIZE];

/* A far jump to the reset vector, for VMs that start elsewhere in real mode. */
static const uint8_t payload_jump[] = { 0xea, 0xf0, 0xff, 0x00, 0xf0 };

/* In guest memory at PAYLOAD_SHARED. */
struct payload_shared {
    volatile uint64_t count; /* requests, or doorbells, done */
    volatile uint32_t batch; /* requests for each notification; 0: wait */
    uint32_t reserved;
    volatile uint64_t doorbell; /* not 0 at the start: only write to this address */
    volatile uint32_t value;    /* what to write there */
    uint32_t reserved2;
    volatile uint32_t state; /* 1: running, 2: no disk found */
    uint32_t reserved3;
    volatile uint64_t mask;   /* sectors to read from, a power of two, less one, times eight */
    volatile uint32_t errors; /* statuses, ored */
    uint32_t reserved4;
    volatile uint64_t step; /* sectors from one read to the next, a multiple of eight */
};

#endif
