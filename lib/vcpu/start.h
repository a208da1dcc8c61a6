/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the description of how the boot vCPU starts, which boot fills and vcpu turns to registers.
 */
#ifndef NV_VCPU_START_H
#define NV_VCPU_START_H

#include <stdbool.h>
#include <stdint.h>

#include <nestvirt/boot.h>

/* Selectors of the table at NV_LAYOUT_GDT; those of code64 and data are Linux's own for booting. */
enum {
    NV_SELECTOR_CODE64 = 0x10,
    NV_SELECTOR_DATA = 0x18,
    NV_SELECTOR_TSS = 0x20, /* of two entries, base 0, limit 0x67, busy */
    NV_SELECTOR_CODE32 = 0x30,
    NV_GDT_ENTRIES = 7 /* of 8 bytes each */
};

/* CR3 in long mode is NV_LAYOUT_PAGE_TABLES. */
struct nv_cpu_start {
    bool valid;    /* false: registers stay as after reset, or as the caller set them */
    uint32_t mode; /* NESTVIRT_MODE_*; its tables stand in guest memory at NV_LAYOUT_* */
    uint64_t rip;
    uint64_t rsp;
    uint64_t rsi; /* zero page, for the Linux 64-bit protocol */
    uint64_t rbx; /* start information, for PVH */
};

#endif
