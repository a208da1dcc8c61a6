/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the interface of what tests of the Go package do in C. */
#ifndef NESTVIRT_GO_BESIDE_H
#define NESTVIRT_GO_BESIDE_H

#include <stddef.h>
#include <stdint.h>

/* What calls returned in a child process. */
struct beside_forked {
    int32_t state, start, stop, read, free;
};

void *beside_open(const char *path);
void *beside_open_host(void *library);
void beside_close_host(void *library, void *host);
int beside_fork(void *library, void *vm, struct beside_forked *ret_forked);
int64_t beside_first_exit(void *library, void *host, int image, uint64_t memory, uint16_t port);
void beside_copy(void *to, const void *from, size_t length);

#endif
