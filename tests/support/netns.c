/* SPDX-License-Identifier: Apache-2.0 */
/* Owns a network namespace for a test: taps, their states and packets at the host's end of them. */
#include "netns.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "support.h"

static int outside = -1; /* the namespace that we came from */

/* Only what a test sends is to be seen, not what IPv6 says by itself. */
static void silence_ipv6(void)
{
    int fd = open("/proc/sys/net/ipv6/conf/default/disable_ipv6", O_WRONLY | O_CLOEXEC);

    if (fd < 0)
        return; /* a kernel without it */
    ck_assert_int_eq(write(fd, "1", 1), 1);
    close(fd);
}

void netns_enter(void)
{
    int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);

    if (fd < 0)
        support_skip("/dev/net/tun does not open: no module tun, or no permission");
    close(fd);
    outside = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
    ck_assert_int_ge(outside, 0);
    if (unshare(CLONE_NEWNET) < 0)
        support_skip("this process may not make a network namespace; run it as root");
    silence_ipv6();
}

void netns_leave(void)
{
    if (outside < 0)
        return;
    if (setns(outside, CLONE_NEWNET) < 0)
        ck_abort_msg("setns: %s", strerror(errno));
    close(outside);
    outside = -1;
}

int netns_open_tap(const char *name, unsigned flags)
{
    const int kind = flags & NETNS_TUN ? IFF_TUN : IFF_TAP;
    const int header = flags & NETNS_NO_HEADER ? 0 : IFF_VNET_HDR;
    const int many = flags & NETNS_MANY_QUEUES ? IFF_MULTI_QUEUE : 0;
    struct ifreq request = { .ifr_flags = (short)(kind | IFF_NO_PI | header | many) };
    int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | (flags & NETNS_BLOCKING ? 0 : O_NONBLOCK));

    strncpy(request.ifr_name, name, sizeof(request.ifr_name) - 1);
    ck_assert_int_ge(fd, 0);
    ck_assert_msg(ioctl(fd, TUNSETIFF, &request) == 0, "TUNSETIFF %s: %s", name, strerror(errno));
    return fd;
}

void netns_make_tap(const char *name, unsigned flags)
{
    int fd = netns_open_tap(name, flags);

    ck_assert_int_eq(ioctl(fd, TUNSETPERSIST, 1), 0);
    close(fd);
}

/* An ioctl about an interface. */
static void control(const char *name, unsigned long command, struct ifreq *request)
{
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    int r;

    ck_assert_int_ge(fd, 0);
    strncpy(request->ifr_name, name, sizeof(request->ifr_name) - 1);
    r = ioctl(fd, command, request);
    close(fd);
    ck_assert_msg(r == 0, "interface %s: %s", name, strerror(errno));
}

void netns_set_up(const char *name, bool is_up)
{
    struct ifreq request = { .ifr_flags = is_up ? IFF_UP : 0 };

    control(name, SIOCSIFFLAGS, &request);
}

void netns_set_mtu(const char *name, int mtu)
{
    struct ifreq request = { .ifr_mtu = mtu };

    control(name, SIOCSIFMTU, &request);
}

static void set_address(const char *name, unsigned long command, const char *text)
{
    struct sockaddr_in address = { .sin_family = AF_INET };
    struct ifreq request = { 0 };

    ck_assert_int_eq(inet_pton(AF_INET, text, &address.sin_addr), 1);
    memcpy(&request.ifr_addr, &address, sizeof(address));
    control(name, command, &request);
}

void netns_set_address(const char *name, const char *address, const char *mask)
{
    set_address(name, SIOCSIFADDR, address);
    set_address(name, SIOCSIFNETMASK, mask);
}

void netns_delete(const char *name)
{
    struct {
        struct nlmsghdr header;
        struct ifinfomsg info;
    } request = {
        .header = { .nlmsg_len = sizeof(request),
                    .nlmsg_type = RTM_DELLINK,
                    .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK },
        .info = { .ifi_index = (int)if_nametoindex(name) },
    };
    struct {
        struct nlmsghdr header;
        struct nlmsgerr error;
        char rest[256];
    } answer;
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(send(fd, &request, sizeof(request), 0), sizeof(request));
    ck_assert_int_ge(recv(fd, &answer, sizeof(answer), 0),
                     sizeof(answer.header) + sizeof(answer.error.error));
    close(fd);
    ck_assert_msg(answer.header.nlmsg_type == NLMSG_ERROR && answer.error.error == 0,
                  "deleting %s: %s", name, strerror(-answer.error.error));
}

int netns_open_packets(const char *name, bool with_header)
{
    const struct sockaddr_ll address = { .sll_family = AF_PACKET,
                                         .sll_protocol = htons(ETH_P_ALL),
                                         .sll_ifindex = (int)if_nametoindex(name) };
    const int on = 1;
    int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    ck_assert_int_ge(fd, 0);
    /* Not our own; and into the tap at once, but for what the kernel has yet to cut up. */
    ck_assert_int_eq(setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &on, sizeof(on)), 0);
    if (with_header)
        ck_assert_int_eq(setsockopt(fd, SOL_PACKET, PACKET_VNET_HDR, &on, sizeof(on)), 0);
    else
        ck_assert_int_eq(setsockopt(fd, SOL_PACKET, PACKET_QDISC_BYPASS, &on, sizeof(on)), 0);
    ck_assert_int_eq(bind(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
    return fd;
}

ssize_t netns_receive(int packets, void *buffer, size_t length, int timeout_ms)
{
    struct pollfd poller = { .fd = packets, .events = POLLIN };
    ssize_t got;

    if (poll(&poller, 1, timeout_ms) <= 0)
        return 0;
    got = recv(packets, buffer, length, 0);
    if (got < 0)
        ck_abort_msg("packet socket: %s", strerror(errno));
    return got;
}
