/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzzes the network device: a hostile driver, and a tap that is only functions of this file. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/util.h"
#include "devices/net.h"
#include "virtio_guest.h"

/* Put in place of those of lib/host/tap.c by the linker. */
int __wrap_nv_tap_open(const char *name, bool is_one_of_many, struct nv_tap *ret_tap,
                       struct nestvirt_error **ret_error);
void __wrap_nv_tap_close(struct nv_tap *tap);
int __wrap_nv_tap_set_offload(const struct nv_tap *tap, uint32_t offload);
int __wrap_nv_tap_set_attached(const struct nv_tap *tap, bool is_attached);
ssize_t __wrap_nv_tap_read(const struct nv_tap *tap, const struct iovec *parts, int count);
ssize_t __wrap_nv_tap_write(const struct nv_tap *tap, const struct iovec *parts, int count);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { DEVICES = 3, PAIRS = 2, RING = 16, WAITING_MAX = 4, OPS_MAX = 200 };

/* Where buffers lie that are not from the heap; the device may write there. */
enum { SCRATCH = 0x80000, SCRATCH_SIZE = 0x40000 };

static struct virtio_guest guests[DEVICES];
static struct virtio_guest *guest; /* of this input */
static const uint8_t *input;
static size_t left;

/* The tap: packets that wait, by their lengths, and what the next calls answer. */
static uint32_t waiting[WAITING_MAX];
static unsigned waiting_count;
static int read_error, write_error;
static uint8_t written[NV_NET_PACKET_MAX];

static void require(bool is_true, const char *what)
{
    if (is_true)
        return;
    fprintf(stderr, "broken promise: %s\n", what);
    abort();
}

int __wrap_nv_tap_open(const char *name, bool is_one_of_many, struct nv_tap *ret_tap,
                       struct nestvirt_error **ret_error)
{
    *ret_tap = (struct nv_tap){ .fd = -1 };
    return 0;
}

void __wrap_nv_tap_close(struct nv_tap *tap)
{
}

int __wrap_nv_tap_set_offload(const struct nv_tap *tap, uint32_t offload)
{
    require((offload & NV_TAP_CSUM) || offload == 0, "segments need checksums");
    return 0;
}

int __wrap_nv_tap_set_attached(const struct nv_tap *tap, bool is_attached)
{
    return 0;
}

ssize_t __wrap_nv_tap_read(const struct nv_tap *tap, const struct iovec *parts, int count)
{
    uint32_t length;
    uint32_t done = 0;
    int error = read_error;

    read_error = 0;
    require(count >= 1 && count <= NV_NET_PARTS_MAX, "a call takes so many parts");
    if (error || waiting_count == 0)
        return error ? -error : -EAGAIN;
    length = waiting[--waiting_count];
    for (int i = 0; i < count && done < length; i++) {
        uint32_t run = (uint32_t)NV_MIN(parts[i].iov_len, (size_t)(length - done));

        memset(parts[i].iov_base, 0x5a, run);
        done += run;
    }
    return done;
}

/* What of the driver's header reaches the host's kernel is what was promised. */
static void check_header(const uint8_t *header, size_t frame)
{
    uint64_t features = guest->virtio->features;
    uint8_t type = header[NV_NET_HDR_GSO_TYPE];
    uint32_t end = nv_get_le16(header + NV_NET_HDR_CSUM_START) +
                   nv_get_le16(header + NV_NET_HDR_CSUM_OFFSET) + 2u;

    require(header[NV_NET_HDR_FLAGS] <= 1, "known flags only");
    require(type == 0 || header[NV_NET_HDR_FLAGS] == 1, "segments have checksums");
    if (header[NV_NET_HDR_FLAGS] == 0)
        return;
    require(features & NV_NET_F_CSUM, "checksums were negotiated");
    require(end <= frame && nv_get_le16(header + NV_NET_HDR_HDR_LEN) <= frame, "they are inside");
    require(type == 0 || nv_get_le16(header + NV_NET_HDR_GSO_SIZE) > 0, "segments have a size");
    require((type & 0x7f) != 1 || (features & NV_NET_F_HOST_TSO4), "TSO4 was negotiated");
    require((type & 0x7f) != 4 || (features & NV_NET_F_HOST_TSO6), "TSO6 was negotiated");
    require(!(type & 0x80) || (features & NV_NET_F_HOST_ECN), "ECN was negotiated");
    require((type & 0x7f) == 0 || (type & 0x7f) == 1 || (type & 0x7f) == 4, "known segments only");
}

ssize_t __wrap_nv_tap_write(const struct nv_tap *tap, const struct iovec *parts, int count)
{
    size_t total = 0;
    int error = write_error;

    write_error = 0;
    require(count >= 1 && count <= NV_NET_PARTS_MAX, "a call takes so many parts");
    require(parts[0].iov_len == NV_NET_HEADER, "the header is a copy");
    for (int i = 0; i < count; i++) {
        require(parts[i].iov_len <= sizeof(written) - total, "a packet is not too long");
        memcpy(written + total, parts[i].iov_base, parts[i].iov_len);
        total += parts[i].iov_len;
    }
    require(total >= NV_NET_HEADER + NV_NET_FRAME_MIN, "a frame is not too short");
    check_header(written, total - NV_NET_HEADER);
    return error ? -error : (ssize_t)total;
}

static uint32_t take(unsigned bytes)
{
    uint32_t value = 0;

    for (unsigned i = 0; i < bytes && left > 0; i++, left--)
        value |= (uint32_t)*input++ << 8 * i;
    return value;
}

/* With and without several pairs, with and without merging. */
static void setup(void)
{
    for (int i = 0; i < DEVICES; i++) {
        require(guest_new(&guests[i], "net", 0) == 0, "a device");
        guests[i].ring_size = RING;
        require(guest_set_string(&guests[i], "tap", "fuzz") == 0, "tap");
        require(guest_set_string(&guests[i], "mac", "02:00:00:00:00:01") == 0, "mac");
        require(guest_set_u64(&guests[i], "pairs", i == 1 ? PAIRS : 1) == 0, "pairs");
        require(guest_set_u64(&guests[i], "mrg_rxbuf", i != 2) == 0, "mrg_rxbuf");
        require(guest_wire(&guests[i]) == 0, "wire");
        guest_start(&guests[i]);
    }
}

/* An address and a length; most of them within memory. */
static struct guest_part take_part(bool is_writable)
{
    uint32_t kind = take(1);
    struct guest_part part = { .is_writable = is_writable ^ (kind % 61 == 60) };

    part.length = kind & 1 ? take(1) : take(2) * (kind & 2 ? 2 : 1);
    switch (kind % 13) {
    case 12:
        part.address = (uint64_t)take(4) << (kind % 7);
        break;
    case 11:
        part.address = GUEST_SPAN - take(1);
        break;
    default:
        part.address = SCRATCH + take(2);
    }
    return part;
}

static void add_chain(uint32_t queue, bool is_writable)
{
    struct guest_part parts[RING];
    uint32_t count = 1 + take(1) % RING;
    bool is_indirect = count & 1;

    if (queue >= guest->queue_count)
        return;
    for (uint32_t i = 0; i < count; i++)
        parts[i] = take_part(is_writable);
    if (is_indirect)
        guest_add_indirect(guest, queue, 0, parts, count);
    else
        guest_add(guest, queue, parts, count);
}

/* A packet as drivers make them, with a header of the input's. */
static void add_packet(uint32_t queue)
{
    const struct guest_part parts[] = {
        { SCRATCH, NV_NET_HEADER, false },
        { SCRATCH + NV_NET_HEADER, take(2), false },
    };
    uint8_t *header = guest_mem(guest, SCRATCH, NV_NET_HEADER);

    for (uint32_t i = 0; i < NV_NET_HEADER; i++)
        header[i] = (uint8_t)take(1);
    if (queue < guest->queue_count)
        guest_add(guest, queue, parts, 2);
}

/* A command with room for its answer. */
static void add_command(uint32_t queue)
{
    uint32_t length = take(1) % 32;
    const struct guest_part parts[] = {
        { SCRATCH + 64, length, false },
        { SCRATCH + 128, 1, true },
    };
    uint8_t *bytes = guest_mem(guest, SCRATCH + 64, 64);

    for (uint32_t i = 0; i < length; i++)
        bytes[i] = (uint8_t)take(1);
    if (queue < guest->queue_count)
        guest_add(guest, queue, parts, length ? 2 : 1);
}

static void kick(uint32_t queue)
{
    uint32_t head;
    uint32_t length;

    guest_kick(guest, queue);
    for (uint32_t i = 0; i < RING && queue < guest->queue_count; i++)
        if (!guest_used(guest, queue, &head, &length))
            break;
}

/* What a driver must not do. */
static void spoil(uint32_t queue)
{
    uint32_t what = take(1);

    if (queue >= guest->queue_count)
        return;
    if (what % 3 == 0)
        guest_put_descriptor(guest, guest->queues[queue].descriptors, take(1) % RING,
                             SCRATCH + take(2), take(2), (uint16_t)take(1),
                             (uint16_t)(take(1) % (RING + 1)));
    else if (what % 3 == 1)
        guest_put_available(guest, queue, (uint16_t)(take(1) % RING), (uint16_t)take(1));
    else
        guest_put_index(guest, queue, (uint16_t)take(2));
}

static void drive(void)
{
    static const uint64_t masks[] = { GUEST_ALL,          ~NV_NET_F_MRG_RXBUF,
                                      ~NV_NET_F_MQ,       ~(NV_NET_F_HOST_TSO4 | NV_NET_F_HOST_ECN),
                                      NV_NET_F_MRG_RXBUF, 0 };

    guest_drive(guest, guest->virtio->offered & masks[take(1) % NV_ARRAY_SIZE(masks)]);
}

static void set_errors(void)
{
    static const int errors[] = { 0, EAGAIN, EIO, EINVAL, EFAULT, EBADFD };

    read_error = errors[take(1) % NV_ARRAY_SIZE(errors)];
    write_error = errors[take(1) % NV_ARRAY_SIZE(errors)];
}

static void step(void)
{
    uint32_t op = take(1);
    uint32_t queue = op / 16 % (2 * PAIRS + 2);

    switch (op % 16) {
    case 0:
    case 1:
        add_chain(queue & ~1u, true);
        break;
    case 2:
        add_chain(queue | 1, false);
        break;
    case 3:
    case 4:
        add_packet(queue | 1);
        break;
    case 5:
        add_command(guest->queue_count - 1);
        break;
    case 6:
        spoil(queue);
        break;
    case 7:
        guest_write32(guest, 4 * take(1), take(4));
        break;
    case 8:
        guest_set_config(guest, take(1) % 16, 1u << take(1) % 3, take(4));
        break;
    case 9:
        set_errors();
        break;
    case 10:
        guest_set_u64(guest, "link", take(1) & 1);
        break;
    case 11:
        if (op / 16 == 0) /* takes as long as all else */
            drive();
        else
            kick(queue);
        break;
    case 12:
    case 13:
        waiting_count = NV_MIN(waiting_count + 1, (unsigned)WAITING_MAX);
        waiting[waiting_count - 1] = take(2) + (op & 128 ? 100 : 0);
        break;
    default:
        kick(queue);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct nv_net *net;

    if (!guests[0].device)
        setup();
    input = data;
    left = size;
    guest = &guests[take(1) % DEVICES];
    net = guest->device->state;
    waiting_count = 0;
    read_error = write_error = 0;
    guest_set_u64(guest, "link", 1);
    drive();
    for (int i = 0; i < OPS_MAX && left > 0; i++)
        step();
    guest_reset(guest);
    for (uint32_t i = 0; i < net->open_count; i++)
        require(net->pairs[i].receive->count == 0, "a reset leaves nothing under way");
    require(guest->virtio->status == 0, "a reset resets");
    net->down_errno = 0;
    net->is_gone = false;
    return 0;
}
