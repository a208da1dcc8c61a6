/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzzes the loading of bzImages, unpacked by the host and by the guest. */
#include <nestvirt/boot.h>

#include "load.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_load(data, size, NESTVIRT_KERNEL_BZIMAGE);
    fuzz_load(data, size, NESTVIRT_KERNEL_BZIMAGE_IN_GUEST);
    return 0;
}
