/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzzes the balloon with a hostile driver: lists of pages, reports, statistics, configuration. */
#include <stdlib.h>

#include "device_program.h"

static struct virtio_guest guest;

static void begin(void)
{
    if (guest_new(&guest, "balloon", 0) < 0 ||
        guest_set_u64(&guest, "free_page_reporting", 1) < 0 ||
        guest_set_u64(&guest, "deflate_on_oom", 1) < 0 || guest_wire(&guest) < 0)
        abort();
    guest_start(&guest);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input input = { data, size };

    if (!guest.device)
        begin();
    fuzz_drive(&input, &guest);
    for (unsigned steps = 0; input.left > 0 && steps < 64; steps++) {
        uint8_t what = (uint8_t)fuzz_take(&input, 1);

        if (what >= 0xf8)
            guest_set_u64(&guest, "target", fuzz_take(&input, 2) * 4096);
        else
            fuzz_step(&input, &guest, what);
    }
    return 0;
}
