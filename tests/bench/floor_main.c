/* SPDX-License-Identifier: Apache-2.0 */
/* The floor as a program of its own: one guest to its first exit. */
#include <stdio.h>
#include <string.h>

#include "floor.h"
#include "guest.h"

enum { MEMORY_SIZE = 128 << 20 };

int main(void)
{
    struct floor_host host;
    struct floor_vm vm;
    int r = floor_open(&host);

    if (r == 0)
        r = floor_create(&host, MEMORY_SIZE, guest_exit_once, sizeof(guest_exit_once), &vm);
    if (r == 0)
        r = floor_start(&host, &vm);
    if (r == 0)
        r = floor_wait(&vm);
    if (r < 0)
        fprintf(stderr, "floor: %s\n", strerror(-r));
    return r < 0;
}
