/* SPDX-License-Identifier: Apache-2.0 */
/* Owns plans: what VMs cost, how many fit into what a report found, and what stops the next. */
#include <string.h>

#include "core/util.h"
#include "host/stacks.h"
#include "kvm/kvm.h"
#include "kvm/report.h"

/*
 * The most that a VM costs, by what the rooms to the right do; tests/kvm/test_kvm_report.c counts.
 * A VM with devices has an event loop of its own here; in truth several may share one.
 */
enum {
    VM_DESCRIPTORS = 1,   /* KVM's VM */
    VCPU_DESCRIPTORS = 1, /* KVM's vCPU */
    LOOP_DESCRIPTORS = 3,
    DEVICE_DESCRIPTORS = 8, /* an eventfd for each queue and the interrupt, a file, a ring */
    VM_MAPPINGS = 4,        /* memory, and what KVM itself maps on some processors */
    VCPU_MAPPINGS = 3,      /* KVM's area, a stack, and its guard on kernels before 6.13 */
    LOOP_MAPPINGS = 2,
    DEVICE_MAPPINGS = 6, /* rings, and stacks of a disk's threads */
    VM_THREADS = 1,      /* KVM's own */
    VCPU_THREADS = 1,
    LOOP_THREADS = 1,
    DEVICE_THREADS = 2 /* of a disk */
};

/* Page tables that translate memory once touched: those of the process and those of KVM. */
enum { TABLE_BYTES = 16 };

/* What one VM takes of each room, idle and with all its memory touched. */
struct cost {
    uint64_t idle[NV_ROOMS];
    uint64_t touched[NV_ROOMS];
};

static uint64_t times(uint64_t a, uint64_t b)
{
    uint64_t product;

    return nv_mul_overflows(a, b, &product) ? UINT64_MAX : product;
}

static uint64_t count(const struct nestvirt_plan_config *config, uint32_t vm, uint32_t vcpu,
                      uint32_t loop, uint32_t device)
{
    const uint64_t devices = config->devices;

    return vm + (uint64_t)vcpu * config->vcpus + (devices ? loop : 0) + device * devices;
}

static void count_costs(const struct nestvirt_report *report,
                        const struct nestvirt_plan_config *config, struct cost *cost)
{
    const uint64_t pages = config->memory_size / NV_PAGE_SIZE;
    const uint64_t files = config->files + count(config, VM_DESCRIPTORS, VCPU_DESCRIPTORS,
                                                 LOOP_DESCRIPTORS, DEVICE_DESCRIPTORS);
    const uint64_t threads = count(config, VM_THREADS, VCPU_THREADS, LOOP_THREADS, DEVICE_THREADS);
    const uint64_t idle =
        nv_kvm_idle_bytes(report->has_paging, config->vcpus, config->devices, config->memory_size);
    const uint64_t mapped = config->memory_size + threads * NV_STACK_SIZE;

    memset(cost, 0, sizeof(*cost));
    cost->idle[NV_ROOM_DESCRIPTORS] = cost->idle[NV_ROOM_SYSTEM_FILES] = files;
    cost->idle[NV_ROOM_MAPPINGS] =
        count(config, VM_MAPPINGS, VCPU_MAPPINGS, LOOP_MAPPINGS, DEVICE_MAPPINGS);
    cost->idle[NV_ROOM_PROCESSES] = cost->idle[NV_ROOM_THREADS] = threads;
    cost->idle[NV_ROOM_PIDS] = cost->idle[NV_ROOM_GROUP_PIDS] = threads;
    cost->idle[NV_ROOM_ADDRESSES] = cost->idle[NV_ROOM_DATA] = mapped;
    cost->idle[NV_ROOM_COMMIT] = mapped;
    cost->idle[NV_ROOM_MEMORY] = cost->idle[NV_ROOM_GROUP_MEMORY] = idle;
    memcpy(cost->touched, cost->idle, sizeof(cost->touched));
    cost->touched[NV_ROOM_MEMORY] = idle + config->memory_size + pages * TABLE_BYTES;
    cost->touched[NV_ROOM_GROUP_MEMORY] = cost->touched[NV_ROOM_MEMORY];
}

/* How many fit at a cost in each room, and which room stops the next; NV_ROOMS: none. */
static uint64_t fit(const struct nestvirt_report *report, const uint64_t *cost, uint32_t *ret_room)
{
    uint64_t least = UINT64_MAX;

    *ret_room = NV_ROOMS;
    for (uint32_t i = 0; i < NV_ROOMS; i++) {
        const struct nv_room *room = &report->rooms[i];

        if (!room->item || !room->is_known || room->left == UINT64_MAX || cost[i] == 0)
            continue;
        if (room->left / cost[i] < least) {
            least = room->left / cost[i];
            *ret_room = i;
        }
    }
    return least;
}

static const char *find_unknown(const struct nestvirt_report *report)
{
    const struct nestvirt_report_item *kvm = nv_report_find(report, "device.kvm");

    if (kvm->answer == NESTVIRT_ANSWER_UNKNOWN)
        return kvm->name;
    for (uint32_t i = 0; i < NV_ROOMS; i++)
        if (report->rooms[i].item && !report->rooms[i].is_known)
            return report->rooms[i].item;
    return "";
}

/* What stops the very first VM, whatever its size; "": nothing. */
static const char *find_obstacle(const struct nestvirt_report *report, uint32_t vcpus)
{
    const struct nestvirt_report_item *kvm = nv_report_find(report, "device.kvm");
    const uint32_t most =
        report->max_vcpus ? NV_MIN(report->max_vcpus, (uint32_t)NV_VCPUS_MAX) : NV_VCPUS_MAX;

    if (kvm->answer == NESTVIRT_ANSWER_NO)
        return kvm->name;
    return vcpus > most ? "kvm.max_vcpus" : "";
}

static uint32_t judge(uint64_t wanted, uint64_t possible, const char *unknown)
{
    if (wanted > possible)
        return NESTVIRT_ANSWER_NO;
    return unknown[0] ? NESTVIRT_ANSWER_UNKNOWN : NESTVIRT_ANSWER_YES;
}

void nv_report_plan(const struct nestvirt_report *report, const struct nestvirt_plan_config *config,
                    struct nestvirt_plan *ret_plan)
{
    struct nestvirt_plan plan = { .size = sizeof(plan), .idle_limit = "", .touched_limit = "" };
    const char *obstacle = find_obstacle(report, config->vcpus);
    struct cost cost;
    uint32_t idle_room;
    uint32_t touched_room;

    count_costs(report, config, &cost);
    plan.idle_vms = fit(report, cost.idle, &idle_room);
    plan.touched_vms = fit(report, cost.touched, &touched_room);
    if (idle_room < NV_ROOMS) {
        plan.idle_limit = report->rooms[idle_room].item;
        plan.needed = times(cost.idle[idle_room], config->vms);
        plan.available = report->rooms[idle_room].left;
    }
    if (touched_room < NV_ROOMS)
        plan.touched_limit = report->rooms[touched_room].item;
    if (obstacle[0]) {
        plan.idle_vms = plan.touched_vms = 0;
        plan.idle_limit = plan.touched_limit = obstacle;
        plan.needed = config->vms;
        plan.available = 0;
    }
    plan.unknown = find_unknown(report);
    plan.idle = judge(config->vms, plan.idle_vms, plan.unknown);
    plan.touched = judge(config->vms, plan.touched_vms, plan.unknown);
    plan.idle_memory = times(cost.idle[NV_ROOM_MEMORY], config->vms);
    plan.touched_memory = times(cost.touched[NV_ROOM_MEMORY], config->vms);
    plan.descriptors = times(cost.idle[NV_ROOM_DESCRIPTORS], config->vms);
    plan.mappings = times(cost.idle[NV_ROOM_MAPPINGS], config->vms);
    plan.threads = times(cost.idle[NV_ROOM_THREADS], config->vms);
    *ret_plan = plan;
}
