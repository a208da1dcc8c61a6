/* SPDX-License-Identifier: Apache-2.0 */
/* Owns a socket device, its guest's driver, and the programs on the host, as tests play them. */
#include "vsock_guest.h"

#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/log.h"
#include "core/util.h"

enum { PATIENCE_MS = 10000, TX_MAX = 65536 };

struct virtio_guest vs_guest;
struct nv_vsock *vs_device;
char vs_folder[64];
char vs_path[80];
bool vs_refill;

static struct {
    uint64_t address[NV_QUEUE_SIZE_MAX]; /* of each receive buffer, by its head */
    uint32_t length[NV_QUEUE_SIZE_MAX];
    uint64_t tx;
} driver;

void vs_make(uint32_t flags)
{
    strcpy(vs_folder, "/tmp/nestvirt-vsock-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(vs_folder));
    snprintf(vs_path, sizeof(vs_path), "%s/s", vs_folder);
    ck_assert_int_eq(guest_new(&vs_guest, "vsock", flags), 0);
    vs_device = vs_guest.device->state;
    ck_assert_int_eq(guest_set_u64(&vs_guest, "cid", VS_CID), 0);
    ck_assert_int_eq(guest_set_string(&vs_guest, "path", vs_path), 0);
}

void vs_unmake(void)
{
    DIR *folder;
    struct dirent *entry;

    guest_free(&vs_guest);
    folder = opendir(vs_folder);
    while (folder && (entry = readdir(folder)))
        if (entry->d_name[0] != '.')
            unlinkat(dirfd(folder), entry->d_name, 0);
    if (folder)
        closedir(folder);
    rmdir(vs_folder);
}

void vs_drive(uint32_t buffers)
{
    ck_assert_int_eq(guest_drive(&vs_guest, GUEST_ALL), 0);
    driver.tx = guest_alloc(&vs_guest, NV_VSOCK_HEADER + TX_MAX);
    vs_refill = true;
    vs_give(buffers, NV_VSOCK_HEADER + 4096);
}

void vs_build(uint32_t buffers)
{
    ck_assert_msg(guest_wire(&vs_guest) == 0, "%s", vs_guest.error);
    guest_start(&vs_guest);
    vs_drive(buffers);
}

void vs_start(uint32_t flags, uint32_t buffers)
{
    vs_make(flags);
    vs_build(buffers);
}

void vs_make_looped(void)
{
    vs_make(GUEST_LOOP);
}

void vs_setup_inline(void)
{
    vs_start(0, 32);
}

void vs_setup_loop(void)
{
    vs_start(GUEST_LOOP, 32);
}

void vs_add_both(Suite *suite, void (*add)(TCase *tcase))
{
    TCase *plain = support_case(suite, "without a loop", 120);
    TCase *looped = support_case(suite, "with a loop", 120);

    tcase_add_checked_fixture(plain, vs_setup_inline, vs_teardown);
    tcase_add_checked_fixture(looped, vs_setup_loop, vs_teardown);
    add(plain);
    add(looped);
}

void vs_must_be_alone(void)
{
    DIR *folder = opendir(vs_folder);
    const struct dirent *entry;

    ck_assert_ptr_nonnull(folder);
    while ((entry = readdir(folder)))
        ck_assert_msg(entry->d_name[0] == '.' || strcmp(entry->d_name, "s") == 0, "there is %s",
                      entry->d_name);
    closedir(folder);
}

bool vs_exists(const char *path)
{
    struct stat info;

    return lstat(path, &info) == 0;
}

int vs_come(const char *path)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    strcpy(address.sun_path, path);
    if (fd >= 0 && connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0)
        send(fd, "CONNECT 1\nabc", 13, MSG_NOSIGNAL);
    return fd;
}

void vs_teardown(void)
{
    vs_unmake();
}

static void give_at(uint64_t address, uint32_t length)
{
    int head = guest_add(&vs_guest, NV_VSOCK_RX, &(struct guest_part){ address, length, true }, 1);

    ck_assert_int_ge(head, 0);
    driver.address[head] = address;
    driver.length[head] = length;
}

void vs_give(uint32_t count, uint32_t length)
{
    for (uint32_t i = 0; i < count; i++) {
        uint64_t address = guest_alloc(&vs_guest, length);

        ck_assert_uint_ne(address, 0);
        give_at(address, length);
    }
    guest_kick(&vs_guest, NV_VSOCK_RX);
}

void vs_look(void)
{
    if (!vs_guest.loop)
        guest_kick(&vs_guest, NV_VSOCK_RX);
}

struct nv_vsock_header vs_header(uint16_t op)
{
    return (struct nv_vsock_header){ .src_cid = VS_CID,
                                     .dst_cid = NV_VSOCK_HOST_CID,
                                     .src_port = VS_GUEST_PORT,
                                     .dst_port = VS_PORT,
                                     .type = NV_VSOCK_STREAM,
                                     .op = op,
                                     .buf_alloc = VS_WINDOW };
}

static void put_header(uint8_t *to, const struct nv_vsock_header *header)
{
    nv_put_le64(to, header->src_cid);
    nv_put_le64(to + 8, header->dst_cid);
    nv_put_le32(to + 16, header->src_port);
    nv_put_le32(to + 20, header->dst_port);
    nv_put_le32(to + 24, header->length);
    nv_put_le16(to + 28, header->type);
    nv_put_le16(to + 30, header->op);
    nv_put_le32(to + 32, header->flags);
    nv_put_le32(to + 36, header->buf_alloc);
    nv_put_le32(to + 40, header->fwd_cnt);
}

static void get_header(const uint8_t *from, struct nv_vsock_header *ret_header)
{
    *ret_header = (struct nv_vsock_header){
        .src_cid = nv_get_le64(from),
        .dst_cid = nv_get_le64(from + 8),
        .src_port = nv_get_le32(from + 16),
        .dst_port = nv_get_le32(from + 20),
        .length = nv_get_le32(from + 24),
        .type = nv_get_le16(from + 28),
        .op = nv_get_le16(from + 30),
        .flags = nv_get_le32(from + 32),
        .buf_alloc = nv_get_le32(from + 36),
        .fwd_cnt = nv_get_le32(from + 40),
    };
}

void vs_tx(const struct nv_vsock_header *header, const void *data, uint32_t length)
{
    struct nv_vsock_header full = *header;
    uint8_t *at = guest_mem(&vs_guest, driver.tx, NV_VSOCK_HEADER + TX_MAX);
    const struct guest_part parts[] = { { driver.tx, NV_VSOCK_HEADER, false },
                                        { driver.tx + NV_VSOCK_HEADER, length, false } };

    if (full.length == 0)
        full.length = length;
    put_header(at, &full);
    if (length > 0)
        memcpy(at + NV_VSOCK_HEADER, data, length);
    ck_assert_int_ge(guest_add(&vs_guest, NV_VSOCK_TX, parts, length ? 2 : 1), 0);
    guest_kick(&vs_guest, NV_VSOCK_TX);
    ck_assert(guest_wait_used(&vs_guest, NV_VSOCK_TX, NULL, NULL, PATIENCE_MS));
}

void vs_tx_op(uint16_t op)
{
    const struct nv_vsock_header header = vs_header(op);

    vs_tx(&header, NULL, 0);
}

bool vs_rx_within(struct vs_packet *packet, unsigned timeout_ms)
{
    uint32_t head;
    uint32_t length;
    const uint8_t *at;

    vs_look();
    if (!guest_wait_used(&vs_guest, NV_VSOCK_RX, &head, &length, timeout_ms))
        return false;
    ck_assert_uint_ge(length, NV_VSOCK_HEADER);
    ck_assert_uint_le(length, driver.length[head]);
    at = guest_mem(&vs_guest, driver.address[head], length);
    get_header(at, &packet->header);
    ck_assert_uint_eq(packet->header.length, length - NV_VSOCK_HEADER);
    ck_assert_uint_eq(packet->header.dst_cid, VS_CID);
    memcpy(packet->data, at + NV_VSOCK_HEADER, length - NV_VSOCK_HEADER);
    if (vs_refill) {
        give_at(driver.address[head], driver.length[head]);
        guest_kick(&vs_guest, NV_VSOCK_RX);
    }
    return true;
}

void vs_expect(uint16_t op, struct vs_packet *packet)
{
    static struct vs_packet own;

    if (!packet)
        packet = &own;
    ck_assert_msg(vs_rx_within(packet, PATIENCE_MS), "no packet, but %u was expected", op);
    ck_assert_msg(packet->header.op == op, "packet %u, not %u", packet->header.op, op);
}

void vs_expect_nothing(void)
{
    static struct vs_packet packet;

    ck_assert_msg(!vs_rx_within(&packet, vs_guest.loop ? 30 : 0), "packet %u", packet.header.op);
}

static struct sockaddr_un make_address(const char *format, const char *path, uint32_t port)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };

    snprintf(address.sun_path, sizeof(address.sun_path), format, path, port);
    return address;
}

int vs_listen(uint32_t port)
{
    const struct sockaddr_un address = make_address("%s_%u", vs_path, port);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(bind(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
    ck_assert_int_eq(listen(fd, 4096), 0);
    return fd;
}

int vs_accept(int listener)
{
    struct pollfd wait = { .fd = listener, .events = POLLIN };
    int fd;

    ck_assert_int_eq(poll(&wait, 1, PATIENCE_MS), 1);
    fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    ck_assert_int_ge(fd, 0);
    return fd;
}

int vs_client(const char *line)
{
    const struct sockaddr_un address = make_address("%s", vs_path, 0);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(connect(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
    if (*line)
        ck_assert_int_eq((int)send(fd, line, strlen(line), MSG_NOSIGNAL), (int)strlen(line));
    return fd;
}

size_t vs_read(int fd, void *buffer, size_t length)
{
    const uint64_t end_ns = nv_now_ns() + PATIENCE_MS * 1000000ull;
    uint8_t *to = buffer;
    size_t done = 0;

    while (done < length && nv_now_ns() < end_ns) {
        struct pollfd wait = { .fd = fd, .events = POLLIN };
        ssize_t got;

        vs_look();
        if (poll(&wait, 1, 10) == 0)
            continue;
        got = recv(fd, to + done, length - done, MSG_DONTWAIT);
        if (got == 0 || (got < 0 && errno != EAGAIN))
            return done;
        done += got > 0 ? (size_t)got : 0;
    }
    ck_assert_msg(done == length, "%zu bytes of %zu came in time", done, length);
    return done;
}

bool vs_is_at_end(int fd)
{
    uint8_t byte;

    return vs_read(fd, &byte, 1) == 0;
}

void vs_expect_bytes(int fd, const char *text)
{
    char bytes[256] = "";
    size_t length = strlen(text);

    ck_assert_uint_eq(vs_read(fd, bytes, length), length);
    ck_assert_str_eq(bytes, text);
}

int vs_connect_guest(int listener, uint32_t guest_port)
{
    struct nv_vsock_header header = vs_header(NV_VSOCK_REQUEST);
    struct vs_packet packet;

    header.src_port = guest_port;
    vs_tx(&header, NULL, 0);
    vs_expect(NV_VSOCK_RESPONSE, &packet);
    ck_assert_uint_eq(packet.header.src_cid, NV_VSOCK_HOST_CID);
    ck_assert_uint_eq(packet.header.src_port, header.dst_port);
    ck_assert_uint_eq(packet.header.dst_port, guest_port);
    ck_assert_uint_eq(packet.header.type, NV_VSOCK_STREAM);
    ck_assert_uint_gt(packet.header.buf_alloc, 0);
    return vs_accept(listener);
}

int vs_connect_host(uint32_t guest_port, uint32_t *ret_host_port)
{
    struct nv_vsock_header header = vs_header(NV_VSOCK_RESPONSE);
    struct vs_packet packet;
    char text[32];
    int fd;

    snprintf(text, sizeof(text), "CONNECT %u\n", guest_port);
    fd = vs_client(text);
    vs_expect(NV_VSOCK_REQUEST, &packet);
    ck_assert_uint_eq(packet.header.dst_port, guest_port);
    header.src_port = guest_port;
    header.dst_port = *ret_host_port = packet.header.src_port;
    vs_tx(&header, NULL, 0);
    snprintf(text, sizeof(text), "OK %u\n", *ret_host_port);
    vs_expect_bytes(fd, text);
    return fd;
}

void vs_expect_counter(const char *name, uint64_t value)
{
    const uint64_t end_ns = nv_now_ns() + PATIENCE_MS * 1000000ull;
    uint64_t now;

    do {
        vs_look();
        now = guest_get_u64(&vs_guest, name);
        if (now == value)
            return;
        usleep(1000);
    } while (nv_now_ns() < end_ns);
    ck_abort_msg("%s is %llu, not %llu", name, (unsigned long long)now, (unsigned long long)value);
}
