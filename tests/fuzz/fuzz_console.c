/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzzes the console with a hostile driver: a terminal and ports whose readers may be slow. */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "device_program.h"

static struct virtio_guest guest;
static int terminal; /* our end: what the guest sent to port 0, and its input */
static int port;     /* of port 1 */

static int give(const char *input, const char *output, int fd)
{
    int r = guest_set_fd(&guest, input, fd);

    return r < 0 ? r : guest_set_fd(&guest, output, fd);
}

static int open_ports(void)
{
    const int room = 4096; /* soon full, and cheap to empty */
    int first[2];
    int second[2];
    int zero = open("/dev/zero", O_RDWR | O_CLOEXEC);

    if (zero < 0 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, first) < 0 ||
        socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, second) < 0)
        return -1;
    for (unsigned i = 0; i < 2; i++) {
        setsockopt(first[i], SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
        setsockopt(second[i], SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
    }
    terminal = first[0];
    port = second[0];
    return give("input", "output", first[1]) < 0 || give("input1", "output1", second[1]) < 0 ||
                   give("input2", "output2", zero) < 0
               ? -1
               : 0;
}

static void begin(void)
{
    if (guest_new(&guest, "console", 0) < 0 || guest_set_u64(&guest, "ports", 3) < 0 ||
        guest_set_u64(&guest, "patience_ms", 0) < 0 ||
        guest_set_string(&guest, "name1", "one") < 0 || open_ports() < 0 || guest_wire(&guest) < 0)
        abort();
    guest.ring_size = 16;
    guest_start(&guest);
}

/* Takes what the guest has sent. */
static void drain(int fd)
{
    static uint8_t bytes[8192];

    while (recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT) > 0)
        ;
}

static void step(struct fuzz_input *input, uint8_t what)
{
    switch (what) {
    case 0xf8:
        drain(port);
        break;
    case 0xf9:
        send(terminal, "typed", 5, MSG_DONTWAIT);
        break;
    case 0xfa:
        send(port, "sent", 4, MSG_DONTWAIT);
        break;
    case 0xfb:
        guest_set_u64(&guest, "cols", fuzz_take(input, 1));
        guest_set_u64(&guest, "rows", fuzz_take(input, 1));
        break;
    default:
        fuzz_step(input, &guest, what);
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input input = { data, size };

    if (!guest.device)
        begin();
    fuzz_drive(&input, &guest);
    for (unsigned steps = 0; input.left > 0 && steps < 64; steps++)
        step(&input, (uint8_t)fuzz_take(&input, 1));
    drain(terminal);
    drain(port);
    return 0;
}
