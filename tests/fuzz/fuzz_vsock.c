/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzzes the socket device with a hostile driver, and hosts that come, send, shut and go. */
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/util.h"
#include "device_program.h"
#include "devices/vsock.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { CID = 3, CONNECTIONS = 6, PEERS = 8, PORTS = 3, STEPS_MAX = 64 };

static struct virtio_guest guest;
static struct nv_vsock *device;
static int peers[PEERS]; /* the hosts' ends of sockets; -1: none */
static unsigned next_peer;

static void forget(unsigned number)
{
    if (peers[number] >= 0)
        close(peers[number]);
    peers[number] = -1;
}

/* A pair of sockets: the device's end, while a host keeps the other; -errno. */
static int open_pair(void)
{
    int pair[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
        return -errno;
    next_peer = (next_peer + 1) % PEERS;
    forget(next_peer);
    peers[next_peer] = pair[0];
    return pair[1];
}

static int connect_pair(struct nv_vsock *s, uint32_t port)
{
    return port == 0 ? -ECONNREFUSED : open_pair();
}

static void begin(void)
{
    if (guest_new(&guest, "vsock", 0) < 0 || guest_set_u64(&guest, "cid", CID) < 0 ||
        guest_set_u64(&guest, "connections", CONNECTIONS) < 0 || guest_wire(&guest) < 0)
        abort();
    device = guest.device->state;
    device->connect = connect_pair;
    guest.ring_size = 16;
    for (unsigned i = 0; i < PEERS; i++)
        peers[i] = -1;
    guest_start(&guest);
}

/* A packet with a header that makes sense but for what the input chooses. */
static void packet(struct fuzz_input *input)
{
    uint8_t shape = (uint8_t)fuzz_take(input, 1);
    uint32_t ports = (uint32_t)fuzz_take(input, 1);
    uint32_t length = shape & 0x10 ? fuzz_length(input) : 0;
    uint32_t told = shape & 0x20 ? fuzz_length(input) : length;
    uint64_t at = guest_alloc(&guest, NV_VSOCK_HEADER + (uint64_t)length);
    uint8_t *bytes = at ? guest_mem(&guest, at, NV_VSOCK_HEADER) : NULL;
    const struct guest_part parts[] = { { at, NV_VSOCK_HEADER, false },
                                        { at + NV_VSOCK_HEADER, length, false } };

    if (!bytes || guest.queue_count <= NV_VSOCK_TX)
        return;
    nv_put_le64(bytes, CID);
    nv_put_le64(bytes + 8, NV_VSOCK_HOST_CID);
    nv_put_le32(bytes + 16, ports % PORTS);
    nv_put_le32(bytes + 20, (ports & 0x80 ? 0x40000000 : 0) + (ports >> 4) % 4);
    nv_put_le32(bytes + 24, told);
    nv_put_le16(bytes + 28, NV_VSOCK_STREAM);
    nv_put_le16(bytes + 30, shape & 7);
    nv_put_le32(bytes + 32, ports >> 2 & 3);
    nv_put_le32(bytes + 36, shape & 0x40 ? (uint32_t)fuzz_take(input, 4) : 65536);
    nv_put_le32(bytes + 40, shape & 0x80 ? (uint32_t)fuzz_take(input, 4) : 0);
    guest_add(&guest, NV_VSOCK_TX, parts, length > 0 ? 2 : 1);
    guest_kick(&guest, NV_VSOCK_TX);
}

static void give_buffers(struct fuzz_input *input)
{
    uint32_t count = 1 + (uint32_t)fuzz_take(input, 1) % 8;
    uint32_t length = NV_VSOCK_HEADER + fuzz_length(input) % 8192;

    for (uint32_t i = 0; i < count && guest.queue_count > NV_VSOCK_RX; i++) {
        uint64_t at = guest_alloc(&guest, length);

        if (at != 0)
            guest_add(&guest, NV_VSOCK_RX, &(struct guest_part){ at, length, true }, 1);
    }
    guest_kick(&guest, NV_VSOCK_RX);
}

/* A host's client comes, with a line that may be one. */
static void come(struct fuzz_input *input)
{
    uint8_t kind = (uint8_t)fuzz_take(input, 1);
    int fd = open_pair();
    char line[40];
    size_t length = kind % sizeof(line);

    if (fd < 0)
        return;
    for (size_t i = 0; i < length; i++)
        line[i] = (char)fuzz_take(input, 1);
    if (kind >= 0x40)
        send(peers[next_peer], "CONNECT 1\n", 10, MSG_NOSIGNAL);
    send(peers[next_peer], line, length, MSG_NOSIGNAL);
    nv_virtio_lock(&device->virtio);
    if (nv_vsock_is_on(device))
        nv_vsock_adopt(device, fd);
    else
        close(fd);
    nv_virtio_unlock(&device->virtio);
    guest_kick(&guest, NV_VSOCK_RX);
}

static void peer_sends(struct fuzz_input *input)
{
    static const uint8_t bytes[1 << 16];
    int fd = peers[fuzz_take(input, 1) % PEERS];

    if (fd >= 0)
        send(fd, bytes, fuzz_length(input) % sizeof(bytes), MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void peer_reads(struct fuzz_input *input)
{
    static uint8_t bytes[1 << 18];
    int fd = peers[fuzz_take(input, 1) % PEERS];

    if (fd >= 0)
        recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT);
}

static void peer_shuts(struct fuzz_input *input)
{
    uint8_t kind = (uint8_t)fuzz_take(input, 1);
    unsigned number = kind % PEERS;

    if (kind >= 0xc0)
        forget(number);
    else if (peers[number] >= 0)
        shutdown(peers[number], kind % 3);
}

/* Nobody has any more time. */
static void let_time_pass(void)
{
    nv_virtio_lock(&device->virtio);
    for (uint32_t i = 0; i < device->slot_count; i++)
        if (device->slots[i]->deadline_ns != 0)
            device->slots[i]->deadline_ns = 1;
    nv_virtio_unlock(&device->virtio);
    guest_kick(&guest, NV_VSOCK_RX);
}

static void step(struct fuzz_input *input, uint8_t what)
{
    switch (what >> 4) {
    case 0xf:
    case 0xe:
    case 0xd:
        packet(input);
        break;
    case 0xc:
        give_buffers(input);
        break;
    case 0xb:
        come(input);
        break;
    case 0xa:
        peer_sends(input);
        break;
    case 0x9:
        peer_reads(input);
        break;
    case 0x8:
        peer_shuts(input);
        break;
    case 0x7:
        let_time_pass();
        break;
    default:
        fuzz_step(input, &guest, what);
        break;
    }
}

/* What is promised at any time. */
static void check_bounds(void)
{
    uint64_t open = 0;

    for (uint32_t i = 0; i < device->slot_count; i++) {
        const struct nv_vsock_connection *c = device->slots[i];

        open += c->state != NV_VSOCK_FREE;
        if (c->held_length > NV_VSOCK_WINDOW || c->held_capacity > NV_VSOCK_WINDOW ||
            (c->state == NV_VSOCK_FREE && (c->source.fd >= 0 || c->held || c->is_ready)))
            abort();
    }
    if (open != device->open || open > CONNECTIONS || device->slot_count > CONNECTIONS ||
        device->reset_count > NV_VSOCK_RESETS)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input input = { data, size };

    if (!guest.device)
        begin();
    guest_drive(&guest, fuzz_take(&input, 1) | NV_VIRTIO_F_INDIRECT_DESC);
    for (unsigned steps = 0; input.left > 0 && steps < STEPS_MAX; steps++)
        step(&input, (uint8_t)fuzz_take(&input, 1));
    check_bounds();
    guest_reset(&guest);
    if (device->open != 0)
        abort();
    for (unsigned i = 0; i < PEERS; i++)
        forget(i);
    next_peer = 0;
    device->next_port = 0;
    return 0;
}
