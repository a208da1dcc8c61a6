/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzzes the loading of ELF kernels, entered by the Linux 64-bit protocol and by PVH. */
#include <nestvirt/boot.h>

#include "load.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_load(data, size, NESTVIRT_KERNEL_ELF);
    fuzz_load(data, size, NESTVIRT_KERNEL_PVH);
    return 0;
}
