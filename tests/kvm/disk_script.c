/* SPDX-License-Identifier: Apache-2.0 */
/* Owns scripts whose device is a disk: its requests, and what its owner is told. */
#include "disk_script.h"

#include <poll.h>
#include <string.h>

#include "guests.h"
#include "support.h"

enum { TABLE_SIZE = 64, DEVICE = 2, EVENT_WAIT_MS = 10000 };

void disk_add(struct script *script, const char *path, const char *engine, const char *on_error)
{
    const char *const texts[][2] = { { "path", path },
                                     { "engine", engine },
                                     { "on_error", on_error } };

    ck_nv_ok(nestvirt_device_add(script->vm, "blk", &script->device, &error));
    for (int i = 0; i < 3; i++)
        if (texts[i][1])
            ck_nv_ok(nestvirt_device_set_string(script->device, texts[i][0], texts[i][1], &error));
}

void disk_begin(struct script *script, struct nestvirt_host *host, const char *path,
                const char *engine, const char *on_error)
{
    script_begin(script, host, NULL);
    disk_add(script, path, engine, on_error);
}

/* A table of its own for each request: header, data if there is some, status. */
void disk_request(struct script *script, uint32_t head, uint32_t type, uint64_t sector,
                  uint32_t address, uint32_t length)
{
    const struct {
        uint32_t type, unused;
        uint64_t sector;
    } header = { type, 0, sector };
    uint64_t table = SCRIPT_INDIRECT + (uint64_t)head * TABLE_SIZE;
    uint16_t direction = type == DISK_IN ? SCRIPT_WRITE : 0;
    uint32_t used = 0;

    ck_assert_uint_lt(head, DISK_HEADS);
    ck_nv_ok(nestvirt_memory_write(script->vm, DISK_HEADERS + 16ull * head, &header, sizeof(header),
                                   &error));
    ck_nv_ok(nestvirt_memory_write(script->vm, DISK_STATUSES + head, "\xff", 1, &error));
    script_descriptor(script, table, used++, DISK_HEADERS + 16ull * head, 16, SCRIPT_NEXT, 1);
    if (length)
        script_descriptor(script, table, used++, address, length, SCRIPT_NEXT | direction, 2);
    script_descriptor(script, table, used++, DISK_STATUSES + head, 1, SCRIPT_WRITE, 0);
    script_descriptor(script, SCRIPT_TABLE, head, table, 16 * used, SCRIPT_IS_INDIRECT, 0);
    script_head(script, head, (uint16_t)head);
}

void disk_drive(struct script *script, uint64_t features)
{
    script_drive_to_queues(script, features | NV_VIRTIO_F_INDIRECT_DESC);
    script_set_queue(script, DISK_HEADS, SCRIPT_TABLE, SCRIPT_AVAILABLE, SCRIPT_USED);
    script_put(script, NV_VIRTIO_REG_STATUS, 15);
}

void disk_submit(struct script *script, uint16_t end)
{
    script_set_available(script, end);
    script_put(script, NV_VIRTIO_REG_QUEUE_NOTIFY, 0);
    script_wait_all_used(script);
}

uint8_t disk_status(struct script *script, uint32_t head)
{
    uint8_t status;

    ck_nv_ok(nestvirt_memory_read(script->vm, DISK_STATUSES + head, &status, 1, &error));
    return status;
}

uint16_t disk_used(struct script *script)
{
    return (uint16_t)(script_load32(script, SCRIPT_USED) >> 16);
}

uint64_t disk_counter(struct script *script, const char *name)
{
    uint64_t value;

    ck_nv_ok(nestvirt_device_get_u64(script->device, name, &value, &error));
    return value;
}

static bool next_event(struct script *script, int timeout_ms, struct nestvirt_event *event)
{
    struct pollfd poller = { .events = POLLIN };
    int r;

    nestvirt_event_init(event, sizeof(*event));
    ck_nv_ok(poller.fd = nestvirt_vm_get_event_fd(script->vm, &error));
    if (poll(&poller, 1, timeout_ms) <= 0)
        return false;
    ck_nv_ok(r = nestvirt_vm_next_event(script->vm, event, &error));
    return r == 1;
}

uint32_t disk_await_pause(struct script *script, int code)
{
    uint32_t told = 0;
    bool is_paused = false;
    struct nestvirt_event event;

    while (!is_paused) {
        ck_assert_msg(next_event(script, EVENT_WAIT_MS, &event), "no %s",
                      told > 0 ? "pause" : "event of an error");
        ck_assert_uint_ne(event.kind, NESTVIRT_EVENT_LOST);
        ck_assert_uint_ne(event.kind, NESTVIRT_EVENT_STOPPED);
        if (event.kind == NESTVIRT_EVENT_IO_ERROR) {
            ck_assert_uint_eq(event.values[0], DEVICE);
            ck_assert_uint_eq(event.values[1], (uint64_t)code);
            told++;
        }
        is_paused = event.kind == NESTVIRT_EVENT_STATE && event.values[1] == NESTVIRT_STATE_PAUSED;
    }
    ck_assert_int_eq(nestvirt_vm_get_state(script->vm), NESTVIRT_STATE_PAUSED);
    return told;
}

void disk_expect_pause(struct script *script, int code)
{
    ck_assert_uint_gt(disk_await_pause(script, code), 0);
}

uint32_t disk_count_reports(struct script *script, int code, uint32_t least)
{
    struct nestvirt_event event;
    uint32_t count = 0;

    while (next_event(script, count < least ? EVENT_WAIT_MS : 0, &event)) {
        if (event.kind == NESTVIRT_EVENT_STATE)
            ck_assert_uint_ne(event.values[1], NESTVIRT_STATE_PAUSED);
        if (event.kind == NESTVIRT_EVENT_IO_ERROR)
            count += event.values[0] == DEVICE && event.values[1] == (uint64_t)code;
    }
    return count;
}
