/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the guest physical map: RAM, holes, windows and the places of tables. */
#ifndef NV_MEMORY_LAYOUT_H
#define NV_MEMORY_LAYOUT_H

#include <stdint.h>

/*
 * address        size       what
 * 0x00000500     0x0b00     descriptor tables of the boot CPU
 * 0x00001000     0x1000     PVH start information, memory map, module list
 * 0x00002000     0x1000     zero page (struct boot_params)
 * 0x00003000     0x6000     page tables: 4 GiB one to one
 * 0x00020000     0x0800     kernel command line
 * 0x0009fc00     0x0400     reserved, as an extended BIOS data area would be
 * 0x000e0000     0xf000     ACPI tables, RSDP first
 * 0x000ef000     0x1000     the VM generation ID, for a VM with the device vmgenid
 * 0x000f0000     0x10000    MP table, floating pointer first
 * 0x00100000     ..         the kernel, unless it asks for another place
 * 0xc0000000     1 GiB      the gap: windows of devices and interrupt controllers
 * 0xd0000000     0x40000    windows of virtio devices, a page each
 * 0x100000000    ..         RAM continued
 */
#define NV_LAYOUT_GDT 0x00000500ull
#define NV_LAYOUT_IDT 0x00000580ull
#define NV_LAYOUT_PVH 0x00001000ull
#define NV_LAYOUT_ZERO_PAGE 0x00002000ull
#define NV_LAYOUT_PAGE_TABLES 0x00003000ull
#define NV_LAYOUT_PAGE_TABLES_SIZE 0x6000ull
#define NV_LAYOUT_TABLES_END 0x00009000ull
#define NV_LAYOUT_CMDLINE 0x00020000ull
#define NV_LAYOUT_LOW_END 0x0009fc00ull
#define NV_LAYOUT_ACPI 0x000e0000ull
#define NV_LAYOUT_ACPI_SIZE 0xf000ull
#define NV_LAYOUT_GENERATION 0x000ef000ull
#define NV_LAYOUT_MPTABLE 0x000f0000ull
#define NV_LAYOUT_MPTABLE_SIZE 0x10000ull
#define NV_LAYOUT_HIGH_START 0x00100000ull
#define NV_LAYOUT_GAP 0xc0000000ull
#define NV_LAYOUT_GAP_END 0x100000000ull

/* Windows of virtio devices; free for other use where a VM has fewer devices. */
#define NV_LAYOUT_VIRTIO 0xd0000000ull
#define NV_LAYOUT_VIRTIO_STRIDE 0x1000ull
#define NV_LAYOUT_VIRTIO_SIZE 0x200 /* bytes of registers and configuration in each */

/* Windows of the library, never given to memory or handlers. */
#define NV_LAYOUT_IOAPIC 0xfec00000ull
#define NV_LAYOUT_IOAPIC_SIZE 0x1000ull
#define NV_LAYOUT_LAPIC 0xfee00000ull
#define NV_LAYOUT_LAPIC_SIZE 0x100000ull
#define NV_LAYOUT_KVM_PAGES 0xfffbc000ull /* identity map page and the three pages of the TSS */
#define NV_LAYOUT_KVM_PAGES_SIZE 0x4000ull

/* Guest physical addresses end here (46 bits), and no region may be larger (16 TiB). */
#define NV_LAYOUT_ADDRESS_END (1ull << 46)
#define NV_LAYOUT_REGION_MAX (1ull << 44)

/* Ports of the platform. */
#define NV_PORT_SERIAL 0x3f8
#define NV_PORT_I8042 0x64 /* command and status */
#define NV_PORT_EXIT 0x501
#define NV_PORT_ACPI 0x600 /* +0 sleep control, +1 sleep status, +2 reset, +4 event status */

#endif
