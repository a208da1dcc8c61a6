/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the host's side of a guest's network: a namespace with a tap, pings, streams and sockets. */
#include "network.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <netinet/ip_icmp.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "pattern.h"
#include "support.h"

enum { STREAM = 256 * 1024, PATIENCE_MS = 180000 };

static const char bridge[] = "nvbr0";
static int outside = -1; /* the namespace we came from */
static uint64_t bytes[STREAM / 8];

static void set_address(int fd, struct ifreq *request, unsigned long command, const char *text)
{
    struct sockaddr_in address = { .sin_family = AF_INET };

    ck_assert_int_eq(inet_pton(AF_INET, text, &address.sin_addr), 1);
    memcpy(&request->ifr_addr, &address, sizeof(address));
    ck_assert_int_eq(ioctl(fd, command, request), 0);
}

/* A tap that stays, as `ip tuntap add` makes it. */
static void make_tap(const char *name)
{
    struct ifreq request = { .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR };
    int tap = open("/dev/net/tun", O_RDWR | O_CLOEXEC);

    if (tap < 0)
        support_skip("there is no /dev/net/tun on this machine");
    snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", name);
    ck_assert_int_eq(ioctl(tap, TUNSETIFF, &request), 0);
    ck_assert_int_eq(ioctl(tap, TUNSETPERSIST, 1), 0);
    close(tap);
}

/* Up, for packets as long as may be; with the host's address if it is the host's interface. */
static void start_interface(const char *name, bool is_host)
{
    struct ifreq request = { .ifr_mtu = 0 };
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", name);
    if (is_host) {
        set_address(fd, &request, SIOCSIFADDR, NETWORK_HOST);
        set_address(fd, &request, SIOCSIFNETMASK, "255.255.255.0");
    }
    request.ifr_mtu = NETWORK_MTU;
    ck_assert_int_eq(ioctl(fd, SIOCSIFMTU, &request), 0);
    request.ifr_flags = IFF_UP | IFF_RUNNING;
    ck_assert_int_eq(ioctl(fd, SIOCSIFFLAGS, &request), 0);
    close(fd);
}

static void enter(void)
{
    outside = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
    ck_assert_int_ge(outside, 0);
    if (unshare(CLONE_NEWNET) < 0)
        support_skip("this process may not make a network namespace; run the test as root");
}

void network_enter(void)
{
    enter();
    make_tap(NETWORK_TAP);
    start_interface(NETWORK_TAP, true);
}

void network_enter_bridge(unsigned taps)
{
    int fd;

    enter();
    fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (ioctl(fd, SIOCBRADDBR, bridge) < 0)
        support_skip("this kernel has no bridges");
    for (unsigned i = 0; i < taps; i++) {
        struct ifreq request = { .ifr_name = "" };
        char name[sizeof(NETWORK_TAP)] = NETWORK_TAP;

        name[sizeof(name) - 2] = (char)('0' + i);
        make_tap(name);
        start_interface(name, false);
        snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", bridge);
        request.ifr_ifindex = (int)if_nametoindex(name);
        ck_assert_int_eq(ioctl(fd, SIOCBRADDIF, &request), 0);
    }
    close(fd);
    start_interface(bridge, true);
}

void network_get_mac(const char *address, char ret_mac[18])
{
    struct arpreq request = { .arp_dev = "" };
    struct sockaddr_in *internet = (struct sockaddr_in *)&request.arp_pa;
    const uint8_t *mac = (const uint8_t *)request.arp_ha.sa_data;
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    snprintf(request.arp_dev, sizeof(request.arp_dev), "%s", bridge);
    internet->sin_family = AF_INET;
    ck_assert_int_eq(inet_pton(AF_INET, address, &internet->sin_addr), 1);
    ret_mac[0] = '\0';
    if (ioctl(fd, SIOCGARP, &request) == 0)
        snprintf(ret_mac, 18, "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2], mac[3],
                 mac[4], mac[5]);
    close(fd);
}

void network_leave(void)
{
    if (outside < 0)
        return;
    setns(outside, CLONE_NEWNET);
    close(outside);
    outside = -1;
}

static uint16_t icmp_sum(const uint8_t *data, size_t length)
{
    uint32_t sum = 0;

    for (size_t i = 0; i < length; i += 2)
        sum += (uint32_t)data[i] | (uint32_t)data[i + 1] << 8;
    sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t) ~(sum + (sum >> 16));
}

/* One echo request; true if its answer came within a second. */
static bool ping_once(int fd, const char *address, uint16_t number)
{
    struct sockaddr_in guest = { .sin_family = AF_INET };
    struct pollfd poller = { .fd = fd, .events = POLLIN };
    uint8_t packet[64] = { ICMP_ECHO }, answer[256];
    uint16_t sum;
    ssize_t got;

    memcpy(packet + 6, &number, 2);
    for (unsigned i = 8; i < sizeof(packet); i++)
        packet[i] = (uint8_t)i;
    sum = icmp_sum(packet, sizeof(packet));
    memcpy(packet + 2, &sum, 2);
    inet_pton(AF_INET, address, &guest.sin_addr);
    sendto(fd, packet, sizeof(packet), 0, (struct sockaddr *)&guest, sizeof(guest));
    while (poll(&poller, 1, 1000) > 0) {
        got = recv(fd, answer, sizeof(answer), 0);
        if (got == 20 + sizeof(packet) && answer[20] == ICMP_ECHOREPLY &&
            memcmp(answer + 26, packet + 6, sizeof(packet) - 6) == 0)
            return true;
    }
    return false;
}

void network_ping(int seconds)
{
    network_ping_at(NETWORK_GUEST, seconds);
}

void network_ping_at(const char *address, int seconds)
{
    int fd = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_ICMP), tries = 0;

    ck_assert_int_ge(fd, 0);
    while (!ping_once(fd, address, (uint16_t)tries))
        ck_assert_msg(++tries < seconds, "%d pings of %s were not answered", tries, address);
    close(fd);
}

int network_connect(uint16_t port)
{
    return network_connect_at(NETWORK_GUEST, port);
}

int network_connect_at(const char *address, uint16_t port)
{
    struct sockaddr_in guest = { .sin_family = AF_INET, .sin_port = htons(port) };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    inet_pton(AF_INET, address, &guest.sin_addr);
    ck_assert_int_ge(fd, 0);
    ck_assert_msg(connect(fd, (struct sockaddr *)&guest, sizeof(guest)) == 0,
                  "connect to port %u of %s: %s", port, address, strerror(errno));
    return fd;
}

static int make_unix(const char *path, struct sockaddr_un *address)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    ck_assert_int_ge(fd, 0);
    *address = (struct sockaddr_un){ .sun_family = AF_UNIX };
    snprintf(address->sun_path, sizeof(address->sun_path), "%s", path);
    return fd;
}

int network_listen_unix(const char *path)
{
    struct sockaddr_un address;
    int fd = make_unix(path, &address);

    ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    ck_assert_int_eq(listen(fd, 4), 0);
    return fd;
}

int network_connect_unix(const char *path)
{
    struct sockaddr_un address;
    int fd = make_unix(path, &address);

    ck_assert_msg(connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0, "%s: %s", path,
                  strerror(errno));
    return fd;
}

void network_wait(int fd, int seconds)
{
    struct pollfd poller = { .fd = fd, .events = POLLIN };

    ck_assert_msg(poll(&poller, 1, seconds * 1000) == 1, "nothing came in %d s", seconds);
}

int network_accept(int fd)
{
    int connection;

    network_wait(fd, PATIENCE_MS / 1000);
    connection = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
    ck_assert_int_ge(connection, 0);
    return connection;
}

static void send_all(int fd, const uint8_t *data, size_t length)
{
    struct pollfd poller = { .fd = fd, .events = POLLOUT };

    while (length) {
        ssize_t done;

        ck_assert_msg(poll(&poller, 1, PATIENCE_MS) == 1, "the guest takes no more bytes");
        done = send(fd, data, length, MSG_NOSIGNAL | MSG_DONTWAIT);
        ck_assert_msg(done > 0, "send: %s", strerror(errno));
        data += done;
        length -= (size_t)done;
    }
}

void network_send(int fd, uint64_t mib, uint64_t seed)
{
    for (uint64_t at = 0; at < mib << 20; at += STREAM) {
        pattern_fill(bytes, STREAM, seed, at);
        send_all(fd, (const uint8_t *)bytes, STREAM);
    }
    ck_assert_int_eq(shutdown(fd, SHUT_WR), 0);
}

uint64_t network_receive(int fd, uint32_t *ret_sum)
{
    uint64_t total = 0;
    ssize_t got;

    *ret_sum = 0;
    do {
        network_wait(fd, PATIENCE_MS / 1000);
        got = recv(fd, bytes, STREAM, 0);
        ck_assert_msg(got >= 0, "recv: %s", strerror(errno));
        *ret_sum = pattern_sum(*ret_sum, bytes, (size_t)got);
        total += (uint64_t)got;
    } while (got);
    return total;
}

void network_send_round(int fd, uint64_t seed, unsigned round)
{
    pattern_fill(bytes, NETWORK_ROUND, seed, (uint64_t)round * NETWORK_ROUND);
    send_all(fd, (const uint8_t *)bytes, NETWORK_ROUND);
}

uint32_t network_receive_round(int fd, uint32_t sum)
{
    for (size_t at = 0; at < NETWORK_ROUND;) {
        ssize_t got;

        network_wait(fd, PATIENCE_MS / 1000);
        got = recv(fd, (uint8_t *)bytes + at, NETWORK_ROUND - at, 0);
        ck_assert_msg(got > 0, "recv: %s", got ? strerror(errno) : "the stream has ended");
        at += (size_t)got;
    }
    return pattern_sum(sum, bytes, NETWORK_ROUND);
}

uint32_t network_echo(int fd, uint64_t seed, unsigned rounds)
{
    uint32_t sum = 0;

    for (unsigned i = 0; i < rounds; i++) {
        network_send_round(fd, seed, i);
        sum = network_receive_round(fd, sum);
    }
    ck_assert_int_eq(shutdown(fd, SHUT_WR), 0);
    return sum;
}
