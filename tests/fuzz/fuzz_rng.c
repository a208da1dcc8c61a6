/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzzes the entropy device with a hostile driver, on a host that gives little or nothing. */
#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>

#include "device_program.h"

static struct virtio_guest guest;
static uint8_t host; /* what the host does */

/* Instead of the C library's: quick, and the same for the same input. */
ssize_t getrandom(void *buffer, size_t length, unsigned flags)
{
    if (host & 1) {
        errno = EAGAIN;
        return -1;
    }
    if ((host & 2) && length > 3)
        length = 3;
    memset(buffer, 0x5a, length);
    return (ssize_t)length;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input input = { data, size };

    if (!guest.device) {
        if (guest_new(&guest, "rng", 0) < 0 || guest_wire(&guest) < 0)
            abort();
        guest_start(&guest);
    }
    fuzz_drive(&input, &guest);
    for (unsigned steps = 0; input.left > 0 && steps < 64; steps++) {
        uint8_t what = (uint8_t)fuzz_take(&input, 1);

        if (what >= 0xf0)
            host = what & 3;
        else
            fuzz_step(&input, &guest, what);
    }
    host = 0;
    if (guest_get_u64(&guest, "bytes") == UINT64_MAX)
        abort();
    return 0;
}
