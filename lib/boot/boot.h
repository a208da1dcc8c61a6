/* SPDX-License-Identifier: Apache-2.0 */
/* Owns what the rooms above need of boot: the sources of a start, the machine it describes, load.
 */
#ifndef NV_BOOT_BOOT_H
#define NV_BOOT_BOOT_H

#include <stdbool.h>
#include <stdint.h>

#include <nestvirt/boot.h>
#include <nestvirt/numa.h>

#include "core/log.h"
#include "host/list.h"
#include "memory/memory.h"
#include "vcpu/start.h"

/* What the caller chose to boot. Descriptors are -1 when absent. */
struct nv_boot_source {
    int kernel_fd;
    int initrd_fd;
    uint32_t format; /* NESTVIRT_KERNEL_* */
    bool is_flat;    /* kernel_fd is a flat image, placed by flat */
    struct nestvirt_flat_config flat;
    uint32_t discovery; /* NESTVIRT_DISCOVERY_* */
    char cmdline[NESTVIRT_CMDLINE_MAX + 1];
};

enum { NV_BOOT_SERIALS_MAX = 4, NV_BOOT_VIRTIO_MAX = 64 };

/* The guest's NUMA nodes; regions name theirs themselves. */
struct nv_boot_nodes {
    uint32_t count;
    uint8_t distance[NESTVIRT_GUEST_NODES_MAX][NESTVIRT_GUEST_NODES_MAX]; /* 0: not set */
    struct nv_set vcpus[NESTVIRT_GUEST_NODES_MAX];
};

/* What the tables say about the machine. */
struct nv_boot_machine {
    uint32_t vcpus;   /* APIC ids are 0 to vcpus - 1 */
    bool has_irqchip; /* IOAPIC at NV_LAYOUT_IOAPIC, id = vcpus, 24 pins, GSI n = pin n */
    bool has_pic;     /* a PC-compatible PIC and PIT exist too */
    uint32_t
        level_pins; /* bit n: pin n is level-triggered (active high); others edge, active high */
    uint32_t serial_count;
    struct {
        uint16_t port;
        uint8_t pin;
    } serial[NV_BOOT_SERIALS_MAX];
    uint32_t virtio_count; /* devices with an MMIO window (virtio 1.2, 4.2) */
    struct {
        uint64_t window;
        uint8_t pin;
    } virtio[NV_BOOT_VIRTIO_MAX];
    bool has_power;                    /* ACPI ports at NV_PORT_ACPI: sleep, reset, events */
    bool has_i8042;                    /* reset line at port 0x64 */
    bool has_generation;               /* a VM generation ID at NV_LAYOUT_GENERATION */
    uint8_t generation_pin;            /* IOAPIC pin that tells of a new one */
    uint8_t event_pin;                 /* IOAPIC pin of the generic event device, when has_power */
    const struct nv_boot_nodes *nodes; /* NULL: no NUMA */
};

/*
 * Loads everything into guest memory (which reads as zero where it has not been written) and tells
 * how the boot vCPU starts. Reads the descriptors with pread, from offset 0; their position does
 * not matter and does not change. Errors: boot.h (public).
 */
int nv_boot_load(const struct nv_boot_source *source, const struct nv_boot_machine *machine,
                 const struct nv_memory *memory, const struct nv_log *log,
                 struct nv_cpu_start *ret_start, struct nestvirt_error **ret_error);

/*
 * Writes the MP table (MultiProcessor Specification 1.4) at NV_LAYOUT_MPTABLE.
 * -EFAULT if guest memory does not cover it, -E2BIG if it does not fit.
 */
int nv_mptable_write(const struct nv_boot_machine *machine, const struct nv_memory *memory,
                     struct nestvirt_error **ret_error);

/*
 * Writes the ACPI tables at NV_LAYOUT_ACPI, RSDP first. Same errors. The RSDP's address is
 * always NV_LAYOUT_ACPI.
 */
int nv_acpi_write(const struct nv_boot_machine *machine, const struct nv_memory *memory,
                  struct nestvirt_error **ret_error);

/*
 * Checks that fd is a regular file and returns its size in bytes.
 * what names it in messages ("kernel", "initrd"). -EISDIR, -EINVAL (FIFO, device, socket).
 */
int nv_boot_check_file(int fd, const char *what, uint64_t *ret_size,
                       struct nestvirt_error **ret_error);

#endif
