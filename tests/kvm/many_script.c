/* SPDX-License-Identifier: Apache-2.0 */
/* Owns a script that uses one device of every virtio kind, and what is at the host's end of them.
 */
#include "many_script.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/util.h"
#include "devices/vsock.h"
#include "disk_script.h"
#include "guests.h"
#include "netns.h"
#include "support.h"

enum { BLK, NET, CONSOLE, RNG, BALLOON, VSOCK, KINDS };
enum {
    SECTOR = 512,
    DISK_SIZE = 64 * 1024,
    PORT = 5000,
    CID = 33,
    FRAME = 60,
    NET_HEADER = 12,
    QUEUE_SIZE = 4,
    RINGS = 0x80000,   /* a page for each queue: table, available and used ring */
    BUFFERS = 0x90000, /* a page for each queue */
    GIVEN = 0xa0000,   /* the page for the balloon */
    WAIT_MS = 10000
};

static const char *const kinds[KINDS] = { "blk", "net", "console", "rng", "balloon", "vsock" };
static const char tap[] = "nvpriv0";
static const char hello[] = "hello";

/* --- The guest's side --- */

static uint32_t reg_of(uint32_t device, uint32_t reg)
{
    return device * 0x1000 + reg;
}

static uint64_t page_of(uint64_t base, uint32_t device, uint32_t queue)
{
    return base + 0x1000ull * (device * 3 + queue - 3);
}

static void put(struct many *m, uint32_t device, uint32_t reg, uint32_t value)
{
    script_put(&m->script, reg_of(device, reg), value);
}

static void add_queue(struct many *m, uint32_t device, uint32_t queue)
{
    uint32_t page = (uint32_t)page_of(RINGS, device, queue);

    put(m, device, NV_VIRTIO_REG_QUEUE_SEL, queue);
    put(m, device, NV_VIRTIO_REG_QUEUE_NUM, QUEUE_SIZE);
    put(m, device, NV_VIRTIO_REG_QUEUE_DESC_LOW, page);
    put(m, device, NV_VIRTIO_REG_QUEUE_DESC_HIGH, 0);
    put(m, device, NV_VIRTIO_REG_QUEUE_DRIVER_LOW, page + 0x400);
    put(m, device, NV_VIRTIO_REG_QUEUE_DRIVER_HIGH, 0);
    put(m, device, NV_VIRTIO_REG_QUEUE_DEVICE_LOW, page + 0x800);
    put(m, device, NV_VIRTIO_REG_QUEUE_DEVICE_HIGH, 0);
    put(m, device, NV_VIRTIO_REG_QUEUE_READY, 1);
}

static void drive(struct many *m, uint32_t device, uint32_t queues)
{
    put(m, device, NV_VIRTIO_REG_STATUS, 0);
    put(m, device, NV_VIRTIO_REG_STATUS, 3);
    put(m, device, NV_VIRTIO_REG_DRIVER_FEATURES_SEL, 1);
    put(m, device, NV_VIRTIO_REG_DRIVER_FEATURES, 1);
    put(m, device, NV_VIRTIO_REG_STATUS, 11);
    for (uint32_t i = 0; i < queues; i++)
        add_queue(m, device, i);
    put(m, device, NV_VIRTIO_REG_STATUS, 15);
}

/* Makes a queue's one buffer available, from the guest, so that a second run begins alike. */
static void offer(struct many *m, uint32_t device, uint32_t queue)
{
    script_store16(&m->script, page_of(RINGS, device, queue) + 0x402, 1);
    put(m, device, NV_VIRTIO_REG_QUEUE_NOTIFY, queue);
}

static void wait_used(struct many *m, uint32_t device, uint32_t queue)
{
    script_wait16(&m->script, page_of(RINGS, device, queue) + 0x802, 1);
}

static void add_buffer(struct many *m, uint32_t device, uint32_t queue, const void *bytes,
                       uint32_t length)
{
    uint64_t buffer = page_of(BUFFERS, device, queue);

    script_descriptor(&m->script, page_of(RINGS, device, queue), 0, buffer, length,
                      bytes ? 0 : SCRIPT_WRITE, 0);
    if (bytes)
        ck_nv_ok(nestvirt_memory_write(m->script.vm, buffer, bytes, length, &error));
}

static void fill_buffers(struct many *m)
{
    static const uint8_t frame[NET_HEADER + FRAME] = { [NET_HEADER + 12] = 0x88, 0xb5, 'g' };
    const uint32_t page = GIVEN / 4096;
    const struct nv_vsock_header call = { .src_cid = CID,
                                          .dst_cid = NV_VSOCK_HOST_CID,
                                          .src_port = 1,
                                          .dst_port = PORT,
                                          .type = NV_VSOCK_STREAM,
                                          .op = NV_VSOCK_REQUEST,
                                          .buf_alloc = 4096 };

    add_buffer(m, NET, 0, NULL, 2048);
    add_buffer(m, NET, 1, frame, sizeof(frame));
    add_buffer(m, CONSOLE, 0, NULL, 64);
    add_buffer(m, CONSOLE, 1, hello, sizeof(hello) - 1);
    add_buffer(m, RNG, 0, NULL, 64);
    add_buffer(m, BALLOON, 0, &page, sizeof(page));
    add_buffer(m, VSOCK, 0, NULL, 2048);
    add_buffer(m, VSOCK, 1, &call, NV_VSOCK_HEADER);
}

static void use_disk(struct many *m)
{
    static const struct {
        uint64_t sector;
        uint32_t sectors, flags;
    } segment = { 64, 8, 0 };
    const uint32_t length = 8 * SECTOR;

    ck_nv_ok(nestvirt_memory_write(m->script.vm, DISK_BUFFERS + 0x3000, &segment, 16, &error));
    disk_request(&m->script, 0, DISK_OUT, 0, DISK_BUFFERS, length);
    disk_request(&m->script, 1, DISK_FLUSH, 0, 0, 0);
    disk_request(&m->script, 2, DISK_DISCARD, 0, DISK_BUFFERS + 0x3000, 16);
    disk_request(&m->script, 3, DISK_WRITE_ZEROES, 0, DISK_BUFFERS + 0x3000, 16);
    disk_request(&m->script, 4, DISK_IN, 0, DISK_BUFFERS + 0x1000, length);
    disk_drive(&m->script, DISK_F_FLUSH);
    for (uint16_t i = 1; i <= 5; i++)
        disk_submit(&m->script, i);
}

void many_write(struct many *m)
{
    static const struct {
        uint32_t device, queues;
    } others[] = { { NET, 2 }, { CONSOLE, 2 }, { RNG, 1 }, { BALLOON, 2 }, { VSOCK, 3 } };

    m->script.steps = 0;
    m->runs++;
    fill_buffers(m);
    use_disk(m);
    for (uint32_t i = 0; i < NV_ARRAY_SIZE(others); i++)
        drive(m, others[i].device, others[i].queues);
    for (uint32_t queue = 0; queue < 2; queue++) {
        offer(m, NET, queue);
        offer(m, CONSOLE, queue);
        offer(m, VSOCK, queue);
    }
    offer(m, RNG, 0);
    offer(m, BALLOON, 0);
    wait_used(m, RNG, 0);
    wait_used(m, BALLOON, 0);
    for (uint32_t queue = 0; queue < 2; queue++) {
        wait_used(m, NET, queue);
        wait_used(m, CONSOLE, queue);
        wait_used(m, VSOCK, queue);
    }
    script_finish(&m->script);
}

/* --- The host's side --- */

static void listen_for_guest(struct many *m)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };

    snprintf(address.sun_path, sizeof(address.sun_path), "%s/vsock_%d", m->folder, PORT);
    m->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_ge(m->listener, 0);
    ck_assert_int_eq(bind(m->listener, (struct sockaddr *)&address, sizeof(address)), 0);
    ck_assert_int_eq(chmod(address.sun_path, 0666), 0);
    ck_assert_int_eq(listen(m->listener, 1), 0);
}

void many_make_folder(struct many *m)
{
    snprintf(m->folder, sizeof(m->folder), "/tmp/nestvirt-priv-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(m->folder));
    ck_assert_int_eq(chmod(m->folder, 0777), 0);
}

void many_remove_folder(struct many *m)
{
    char path[96];

    snprintf(path, sizeof(path), "%s/vsock_%d", m->folder, PORT);
    unlink(path);
    snprintf(path, sizeof(path), "%s/vsock", m->folder);
    unlink(path);
    rmdir(m->folder);
}

static void set_up_host(struct many *m, bool is_lent)
{
    netns_enter();
    if (!is_lent)
        netns_make_tap(tap, 0);
    m->tap = is_lent ? netns_open_tap(tap, 0) : -1;
    netns_set_up(tap, true);
    m->packets = netns_open_packets(tap, false);
    m->disk = memfd_create("disk", MFD_CLOEXEC);
    ck_assert_int_eq(ftruncate(m->disk, DISK_SIZE), 0);
    ck_assert_int_eq(pipe2(m->input, O_CLOEXEC), 0);
    ck_assert_int_eq(pipe2(m->output, O_CLOEXEC), 0);
    listen_for_guest(m);
}

static void set_up_devices(struct many *m, const char *engine)
{
    char path[96];

    for (uint32_t i = 0; i < KINDS; i++)
        ck_nv_ok(nestvirt_device_add(m->script.vm, kinds[i], &m->devices[i], &error));
    m->script.device = m->devices[BLK];
    ck_nv_ok(nestvirt_device_set_fd(m->devices[BLK], "fd", m->disk, &error));
    ck_nv_ok(nestvirt_device_set_string(m->devices[BLK], "engine", engine, &error));
    if (m->tap >= 0)
        ck_nv_ok(nestvirt_device_set_fd(m->devices[NET], "fd", m->tap, &error));
    else
        ck_nv_ok(nestvirt_device_set_string(m->devices[NET], "tap", tap, &error));
    ck_nv_ok(nestvirt_device_set_fd(m->devices[CONSOLE], "input", m->input[0], &error));
    ck_nv_ok(nestvirt_device_set_fd(m->devices[CONSOLE], "output", m->output[1], &error));
    snprintf(path, sizeof(path), "%s/vsock", m->folder);
    ck_nv_ok(nestvirt_device_set_u64(m->devices[VSOCK], "cid", CID, &error));
    ck_nv_ok(nestvirt_device_set_string(m->devices[VSOCK], "path", path, &error));
}

void many_begin(struct many *m, struct nestvirt_host *host, const char *engine, bool is_lent)
{
    m->runs = 0;
    set_up_host(m, is_lent);
    script_begin(&m->script, host, NULL);
    set_up_devices(m, engine);
    many_write(m);
}

void many_feed(struct many *m)
{
    uint8_t frame[FRAME] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, [12] = 0x88, 0xb5, 'h' };
    struct pollfd poller = { .fd = m->output[0], .events = POLLIN };
    char got[8] = "";

    /* The guest has said hello, so all its devices are driven. */
    ck_assert_msg(poll(&poller, 1, WAIT_MS) == 1, "the console is silent");
    ck_assert_int_eq(read(m->output[0], got, sizeof(got)), sizeof(hello) - 1);
    ck_assert_mem_eq(got, hello, sizeof(hello) - 1);
    ck_assert_int_eq(write(m->input[1], "x", 1), 1);
    ck_assert_int_eq(send(m->packets, frame, sizeof(frame), 0), sizeof(frame));
}

static uint64_t counter(struct many *m, uint32_t kind, const char *name)
{
    uint64_t value = 0;

    ck_nv_ok(nestvirt_device_get_u64(m->devices[kind], name, &value, &error));
    return value;
}

void many_check(struct many *m)
{
    struct nestvirt_vm_result result;
    uint8_t frame[128];

    ck_assert_uint_eq(guest_wait(m->script.vm, &result), NESTVIRT_RESULT_GUEST_EXIT);
    for (uint32_t i = 0; i < 5; i++)
        ck_assert_msg(disk_status(&m->script, i) == 0, "request %u: %u", i,
                      disk_status(&m->script, i));
    ck_assert_int_ge(netns_receive(m->packets, frame, sizeof(frame), WAIT_MS), FRAME);
    ck_assert_uint_eq(frame[14], 'g');
    ck_assert_uint_eq(counter(m, RNG, "bytes"), 64 * m->runs);
    ck_assert_uint_eq(counter(m, NET, "rx_packets"), m->runs);
    for (uint32_t i = 0; i < KINDS; i++)
        ck_assert_uint_eq(counter(m, i, "faults"), 0);
}

void many_close(struct many *m)
{
    close(m->disk);
    if (m->tap >= 0)
        close(m->tap);
    close(m->packets);
    close(m->listener);
    for (int i = 0; i < 2; i++) {
        close(m->input[i]);
        close(m->output[i]);
    }
    netns_leave();
}

void many_end(struct many *m)
{
    script_end(&m->script);
    many_close(m);
}
