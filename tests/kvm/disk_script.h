/* SPDX-License-Identifier: Apache-2.0 */
/* Owns scripts whose device is a disk: its requests, and what its owner is told. */
#ifndef TESTS_KVM_DISK_SCRIPT_H
#define TESTS_KVM_DISK_SCRIPT_H

#include <stdint.h>

#include "script.h"

enum {
    DISK_HEADS = 32, /* requests, each with a head of its own */
    DISK_HEADERS = 0x46000,
    DISK_STATUSES = 0x47000,
    DISK_BUFFERS = 0x60000 /* up to the end of memory at 1 MiB */
};
enum { DISK_IN = 0, DISK_OUT = 1, DISK_FLUSH = 4, DISK_DISCARD = 11, DISK_WRITE_ZEROES = 13 };
enum { DISK_F_RO = 1 << 5, DISK_F_FLUSH = 1 << 9 };

/* A VM with a disk on this file; a property that is NULL keeps its default. */
void disk_begin(struct script *script, struct nestvirt_host *host, const char *path,
                const char *engine, const char *on_error);

/* The same on a VM that the caller made. */
void disk_add(struct script *script, const char *path, const char *engine, const char *on_error);

/* Memory before the start: request `head` is the ring's head'th. */
void disk_request(struct script *script, uint32_t head, uint32_t type, uint64_t sector,
                  uint32_t address, uint32_t length);

/* Steps: to DRIVER_OK; make requests up to `end` available and wait for all of them. */
void disk_drive(struct script *script, uint64_t features);
void disk_submit(struct script *script, uint16_t end);

/* The answer; 0xff: there is none. */
uint8_t disk_status(struct script *script, uint32_t head);
uint16_t disk_used(struct script *script);
uint64_t disk_counter(struct script *script, const char *name);

/* Waits for the pause; returns how many events of an error came before it. */
uint32_t disk_await_pause(struct script *script, int code);

/* The same, with an event at least. */
void disk_expect_pause(struct script *script, int code);

/*
 * How often an error was told; the VM has not been paused. Waits for the first so many: the guest
 * may have its answer, and have ended, a moment before the program is told.
 */
uint32_t disk_count_reports(struct script *script, int code, uint32_t least);

#endif
