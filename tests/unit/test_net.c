/* SPDX-License-Identifier: Apache-2.0 */
/* Proves the network device's properties, configuration, several pairs, life, and bad input. */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/util.h"
#include "net_guest.h"
#include "netns.h"
#include "support.h"

enum { RX = 0, TX = 1, CTRL = 2 };

#define OFFLOADS                                                                       \
    (NV_NET_F_CSUM | NV_NET_F_GUEST_CSUM | NV_NET_F_GUEST_TSO4 | NV_NET_F_GUEST_TSO6 | \
     NV_NET_F_GUEST_ECN | NV_NET_F_HOST_TSO4 | NV_NET_F_HOST_TSO6 | NV_NET_F_HOST_ECN)
#define ALWAYS                                                                    \
    (NV_NET_F_MAC | NV_NET_F_STATUS | NV_NET_F_CTRL_VQ | NV_NET_F_CTRL_RX |       \
     NV_NET_F_CTRL_MAC_ADDR | NV_VIRTIO_F_VERSION_1 | NV_VIRTIO_F_INDIRECT_DESC | \
     NV_VIRTIO_F_EVENT_IDX)

static void set_text(const char *name, const char *text)
{
    ck_assert_int_eq(guest_set_string(&net.guest, name, text), 0);
}

static void set_number(const char *name, uint64_t value)
{
    ck_assert_int_eq(guest_set_u64(&net.guest, name, value), 0);
}

static uint64_t read_mac(void)
{
    return guest_config(&net.guest, 0, 4) << 16 | guest_config(&net.guest, 4, 2);
}

/* --- Configuration --- */

START_TEST(test_net_features)
{
    net_setup(NET_IDLE, 0);
    ck_assert_uint_eq(guest_read32(&net.guest, NV_VIRTIO_REG_DEVICE_ID), 1);
    ck_assert_uint_eq(net.guest.virtio->offered, ALWAYS | OFFLOADS | NV_NET_F_MRG_RXBUF);
    guest_unbuild(&net.guest);

    set_number("offloads", 0);
    set_number("mrg_rxbuf", 0);
    set_number("mtu", 1400);
    net_run(NET_IDLE, 0);
    ck_assert_uint_eq(net.guest.virtio->offered, ALWAYS | NV_NET_F_MTU);
    ck_assert_uint_eq(guest_config(&net.guest, 10, 2), 1400);
}
END_TEST

START_TEST(test_net_config)
{
    uint8_t byte;

    net_new(0);
    set_text("mac", "02:0A:ff:00:00:01");
    net_run(0, GUEST_ALL);
    ck_assert_uint_eq(guest_config(&net.guest, 0, 1), 0x02);
    ck_assert_uint_eq(guest_config(&net.guest, 1, 1), 0x0a);
    ck_assert_uint_eq(guest_config(&net.guest, 2, 1), 0xff);
    ck_assert_uint_eq(guest_config(&net.guest, 5, 1), 0x01);
    ck_assert_uint_eq(guest_config(&net.guest, 6, 2), 1); /* the link is up */
    ck_assert_uint_eq(guest_config(&net.guest, 8, 2), 1); /* pairs */
    ck_assert_uint_eq(guest_config(&net.guest, 10, 2), 0);
    ck_assert_uint_eq(guest_get_u64(&net.guest, "ignored"), 0);
    guest_access(&net.guest, NV_VIRTIO_REG_CONFIG + 12, 1, false, &byte); /* behind it */
    guest_set_config(&net.guest, 0, 1, 0x44);                             /* read-only */
    ck_assert_uint_eq(guest_get_u64(&net.guest, "ignored"), 2);
    ck_assert_uint_eq(guest_config(&net.guest, 0, 1), 0x02);
}
END_TEST

/* Random, local, and the same as long as the device lives; not the same in another one. */
START_TEST(test_net_random_mac)
{
    uint64_t mac;

    net_setup(0, GUEST_ALL);
    mac = read_mac();
    ck_assert_uint_eq(guest_config(&net.guest, 0, 1) & 3, 2);
    guest_unbuild(&net.guest);
    net_run(0, GUEST_ALL);
    ck_assert_uint_eq(read_mac(), mac);
    net_end();
    net_setup(0, GUEST_ALL);
    ck_assert_uint_ne(read_mac(), mac);
}
END_TEST

/* Names are found by the first row that has them. */
START_TEST(test_net_property_names)
{
    const struct nv_device_class *class = nv_device_find_class("net");

    for (size_t i = 0; i < class->property_count; i++)
        for (size_t k = 0; k < i; k++)
            ck_assert_str_ne(class->properties[i].name, class->properties[k].name);
}
END_TEST

/* --- The control queue --- */

static int command(uint32_t queue, const void *bytes, uint32_t length)
{
    uint64_t at = guest_alloc(&net.guest, length + 1);
    const struct guest_part parts[] = { { at, length, false }, { at + length, 1, true } };
    uint8_t *memory = guest_mem(&net.guest, at, length + 1);
    uint32_t written;

    memcpy(memory, bytes, length);
    memory[length] = 0xee;
    ck_assert_int_ge(guest_add(&net.guest, queue, parts, 2), 0);
    guest_kick(&net.guest, queue);
    ck_assert(guest_wait_used(&net.guest, queue, NULL, &written, NET_TIMEOUT));
    ck_assert_uint_eq(written, 1);
    return memory[length];
}

/* Until the next reset. */
START_TEST(test_net_driver_sets_mac)
{
    static const uint8_t set[] = { 1, 1, 2, 0, 0, 0, 0, 0x77 };
    uint64_t mac;

    net_setup(0, GUEST_ALL);
    mac = read_mac();
    ck_assert_int_eq(command(CTRL, set, sizeof(set)), 0);
    ck_assert_uint_eq(guest_config(&net.guest, 5, 1), 0x77);
    ck_assert_int_eq(guest_drive(&net.guest, GUEST_ALL), 0);
    ck_assert_uint_eq(read_mac(), mac);
}
END_TEST

static int set_pairs(uint16_t pairs)
{
    const uint8_t bytes[] = { 4, 0, (uint8_t)pairs, (uint8_t)(pairs >> 8) };

    return command(2 * (uint32_t)guest_get_u64(&net.guest, "pairs"), bytes, sizeof(bytes));
}

static void setup_pairs(unsigned flags, uint64_t pairs, uint64_t features)
{
    netns_make_tap("nvmany0", NETNS_MANY_QUEUES);
    netns_set_up("nvmany0", true);
    ck_assert_int_eq(guest_new(&net.guest, "net", flags), 0);
    net.device = net.guest.device->state;
    net.packets = netns_open_packets("nvmany0", false);
    net.guest.ring_size = 32;
    set_text("tap", "nvmany0");
    set_number("pairs", pairs);
    net_run(flags, features);
}

static void wait_attached(uint32_t pairs)
{
    for (int i = 0; i < NET_TIMEOUT; i++) {
        {
            NV_VIRTIO_GUARD(net.guest.virtio);
            if (net.device->attached == pairs)
                return;
        }
        usleep(1000);
    }
    ck_abort_msg("%u pairs are attached", net.device->attached);
}

/* UDP packets from as many ports: a tap chooses the queue by addresses and ports, and gives all
 * else to one. */
static void send_flows(uint32_t count)
{
    enum { LENGTH = 100, MAC = 14, IP = 20 };
    static const uint8_t head[] = { 0x45, 0,  0, LENGTH - MAC,
                                    0,    0,  0, 0,
                                    64,   17, 0, 0, /* checksum not looked at */
                                    10,   0,  0, 1,
                                    10,   0,  0, 2 };
    uint8_t frame[LENGTH];

    net_frame(frame, sizeof(frame), 0);
    frame[MAC - 2] = 8; /* IPv4 */
    frame[MAC - 1] = 0;
    memcpy(&frame[MAC], head, sizeof(head));
    for (uint32_t i = 0; i < count; i++) {
        frame[MAC + IP] = 0x10;
        frame[MAC + IP + 1] = (uint8_t)i;
        net_host_send(NULL, frame, sizeof(frame));
    }
}

/* Sends packets that the tap spreads over its queues; returns how many pair 0 got of them. */
static uint32_t spread_frames(uint32_t count)
{
    uint64_t before = guest_get_u64(&net.guest, "rx_packets");
    uint16_t first = guest_used_index(&net.guest, RX);

    send_flows(count);
    net_wait_for("rx_packets", before + count);
    return (uint16_t)(guest_used_index(&net.guest, RX) - first);
}

static void give_buffers(uint32_t pairs)
{
    for (uint32_t pair = 0; pair < pairs; pair++) {
        for (int i = 0; i < 28; i++)
            net_add_buffer(2 * pair, 200);
        guest_kick(&net.guest, 2 * pair);
    }
}

START_TEST(test_net_pairs)
{
    uint8_t frame[100];

    setup_pairs(GUEST_LOOP, 4, GUEST_ALL);
    ck_assert_uint_eq(guest_config(&net.guest, 8, 2), 4);
    give_buffers(4);
    ck_assert_uint_eq(spread_frames(8), 8); /* one pair at first */
    ck_assert_int_eq(set_pairs(4), 0);
    wait_attached(4);
    ck_assert_uint_lt(spread_frames(12), 12);
    net_frame(frame, sizeof(frame), 1);
    for (uint32_t pair = 0; pair < 4; pair++) {
        net_send(2 * pair + 1, NULL, frame, sizeof(frame));
        net_expect(frame, sizeof(frame));
    }
    ck_assert_int_eq(set_pairs(1), 0);
    wait_attached(1);
    ck_assert_uint_eq(spread_frames(8), 8);
    net_send(3, NULL, frame, sizeof(frame)); /* not in use */
    net_wait_for("tx_dropped", 1);
    net_expect_nothing();

    /* A new driver begins with one. */
    ck_assert_int_eq(set_pairs(3), 0);
    wait_attached(3);
    ck_assert_int_eq(guest_drive(&net.guest, GUEST_ALL), 0);
    wait_attached(1);
    ck_assert_uint_eq(guest_get_u64(&net.guest, "faults"), 0);
}
END_TEST

/* Frames that come after a pair was attached, and before a pass over its queue, are new ones. */
START_TEST(test_net_pairs_lose_nothing)
{
    enum { FRAMES = 16 };

    setup_pairs(0, 4, GUEST_ALL);
    for (uint32_t pair = 0; pair < 4; pair++)
        for (int i = 0; i < 28; i++)
            net_add_buffer(2 * pair, 200);
    guest_kick(&net.guest, RX);
    ck_assert_int_eq(set_pairs(4), 0);
    ck_assert_uint_eq(net.device->attached, 4);
    send_flows(FRAMES);
    for (uint32_t pair = 0; pair < 4; pair++)
        guest_kick(&net.guest, 2 * pair);
    ck_assert_uint_eq(guest_get_u64(&net.guest, "rx_dropped"), 0);
    ck_assert_uint_eq(guest_get_u64(&net.guest, "rx_packets"), FRAMES);
    ck_assert_uint_lt(guest_used_index(&net.guest, RX), FRAMES);
}
END_TEST

START_TEST(test_hostile_43_net_pairs)
{
    static const uint8_t bad[][6] = { { 4, 0 }, { 4, 0, 1 }, { 4, 0, 1, 0, 0 }, { 4, 1, 1, 0 } };
    static const uint32_t lengths[] = { 2, 3, 5, 4 };

    setup_pairs(0, 2, GUEST_ALL);
    ck_assert_int_eq(set_pairs(0), 1);
    ck_assert_int_eq(set_pairs(3), 1);
    ck_assert_int_eq(set_pairs(0xffff), 1);
    ck_assert_int_eq(set_pairs(0x0100), 1);
    for (size_t i = 0; i < NV_ARRAY_SIZE(bad); i++)
        ck_assert_int_eq(command(4, bad[i], lengths[i]), 1);
    ck_assert_uint_eq(net.device->active, 1);
    ck_assert_int_eq(set_pairs(2), 0);
    ck_assert_uint_eq(net.device->active, 2);
}
END_TEST

/* Each switch makes the host wait: a guest that asks without end gets ten a second. */
START_TEST(test_hostile_43_net_pairs_storm)
{
    uint64_t start_ns;
    uint64_t switches = 0;
    uint32_t last = 1;

    setup_pairs(GUEST_LOOP, 2, GUEST_ALL);
    start_ns = nv_now_ns();
    for (int i = 0; i < 1000; i++) {
        ck_assert_int_eq(set_pairs((uint16_t)(1 + i % 2)), 0);
        usleep(100);
        NV_VIRTIO_GUARD(net.guest.virtio);
        switches += net.device->attached != last;
        last = net.device->attached;
    }
    ck_assert_uint_le(switches, (nv_now_ns() - start_ns) / 100000000u + 2);
    wait_attached(2);
}
END_TEST

/* A driver that knows nothing of pairs has its control queue behind the first (5.1.2). */
START_TEST(test_net_pairs_not_negotiated)
{
    static const uint8_t promiscuous[] = { 0, 0, 1 };
    uint8_t frame[100];

    setup_pairs(0, 2, (ALWAYS | NV_NET_F_MRG_RXBUF) & ~NV_NET_F_MQ);
    ck_assert_int_eq(command(2, promiscuous, sizeof(promiscuous)), 0);
    net_frame(frame, sizeof(frame), 1);
    net_send(TX, NULL, frame, sizeof(frame));
    net_expect(frame, sizeof(frame));
}
END_TEST

/* Saved state that says so many pairs are in use. */
static bool can_load(uint8_t pairs)
{
    struct nv_reader reader = { .bytes = (const uint8_t[]){ pairs, 0, 0, 0 }, .left = 4 };

    ck_nv_ok(net.guest.device->class->load(net.guest.device, &reader, &error));
    return !reader.is_bad;
}

START_TEST(test_net_loads_pairs)
{
    setup_pairs(0, 2, ALWAYS & ~NV_NET_F_MQ);
    ck_assert(can_load(1));
    ck_assert(!can_load(2));
    ck_assert(!can_load(0));
}
END_TEST

START_TEST(test_net_loads_negotiated_pairs)
{
    setup_pairs(0, 2, GUEST_ALL);
    ck_assert(can_load(1));
    ck_assert(can_load(2));
    ck_assert(!can_load(3));
}
END_TEST

/* --- Life --- */

START_TEST(test_net_builds_again)
{
    uint8_t frame[200];

    net_new(GUEST_LOOP);
    net_frame(frame, sizeof(frame), 1);
    for (int i = 0; i < 100; i++) {
        net_run(0, GUEST_ALL);
        if (i % 10 == 0) {
            net_add_buffer(RX, 50); /* a packet stays half-way */
            guest_kick(&net.guest, RX);
            net_host_send(NULL, frame, sizeof(frame));
            net_send(TX, NULL, frame, sizeof(frame));
            net_expect(frame, sizeof(frame));
        }
        guest_stop(&net.guest);
        guest_unbuild(&net.guest);
    }
    ck_assert_uint_eq(guest_log_lines(&net.guest), 0);
}
END_TEST

/* --- Bad input --- */

/* What wire says to the properties so far. */
static void check_refused(int code, const char *text)
{
    int r = guest_wire(&net.guest);

    ck_assert_msg(r == code && strstr(net.guest.error, text), "%d, not %d: %s", r, code,
                  net.guest.error);
    ck_assert(strstr(net.guest.error, "device 0 (net)"));
}

START_TEST(test_net_refuses_names)
{
    static const struct {
        const char *name;
        int code;
        const char *text;
    } rows[] = {
        { "", -EINVAL, "no name of an interface" },
        { "a/b", -EINVAL, "no name of an interface" },
        { "a b", -EINVAL, "no name of an interface" },
        { "nv%d", -EINVAL, "no name of an interface" },
        { "..", -EINVAL, "no name of an interface" },
        { "lo", -EINVAL, "must be a tap" },
        { "nvtest0123456789", -ENAMETOOLONG, "longer than 15" },
    };

    net_new(0);
    for (size_t i = 0; i < NV_ARRAY_SIZE(rows); i++) {
        set_text("tap", rows[i].name);
        check_refused(rows[i].code, rows[i].text);
    }
    set_text("tap", "nvtest012345678"); /* 15: a new one */
    ck_assert_msg(guest_wire(&net.guest) == 0, "%s", net.guest.error);
}
END_TEST

START_TEST(test_net_refuses_macs)
{
    static const char *const rows[] = {
        "",
        "02:00:00:00:00",
        "02:00:00:00:00:01:02",
        "02:00:00:00:00:0g",
        "02:00:00:00:00:1",
        "2:00:00:00:00:001",
        "02-00-00-00-00-01",
        "0x:00:00:00:00:01",
        "+2:00:00:00:00:01",
        " 2:00:00:00:00:01",
        "02:00:00:00:00:01 ",
        "00:00:00:00:00:00", /* nobody's */
        "ff:ff:ff:ff:ff:ff",
        "01:00:5e:00:00:01",
    };

    net_new(0);
    for (size_t i = 0; i < NV_ARRAY_SIZE(rows); i++) {
        set_text("mac", rows[i]);
        check_refused(-EINVAL, "property mac");
    }
    set_text("mac", "52:54:00:12:34:56");
    ck_assert_int_eq(guest_wire(&net.guest), 0);
}
END_TEST

START_TEST(test_net_refuses_numbers)
{
    net_new(0);
    set_number("mtu", 67);
    check_refused(-EINVAL, "property mtu");
    ck_assert_int_eq(guest_set_u64(&net.guest, "mtu", 65536), -EINVAL);
    ck_assert_int_eq(guest_set_u64(&net.guest, "pairs", 0), -EINVAL);
    ck_assert_int_eq(guest_set_u64(&net.guest, "pairs", 9), -EINVAL);
    ck_assert_int_eq(guest_set_u64(&net.guest, "link", 2), -EINVAL);
    ck_assert_int_eq(guest_set_u64(&net.guest, "rx_packets", 1), -EPERM);
    set_number("mtu", 68);
    ck_assert_int_eq(guest_wire(&net.guest), 0);
    ck_assert_int_eq(guest_set_u64(&net.guest, "mtu", 1000), -EBUSY);
}
END_TEST

START_TEST(test_net_refuses_taps)
{
    int fd;

    netns_make_tap("nvmany0", NETNS_MANY_QUEUES);
    ck_assert_int_eq(guest_new(&net.guest, "net", 0), 0);
    net.device = net.guest.device->state;
    check_refused(-EINVAL, "there is no tap");
    set_text("tap", "nvmany0");
    check_refused(-EINVAL, "mode tap");
    set_text("tap", NET_TAP);
    set_number("pairs", 2);
    check_refused(-EINVAL, "multi_queue");
    set_number("pairs", 1);
    fd = netns_open_tap(NET_TAP, 0);
    check_refused(-EBUSY, "another program");
    close(fd);
    ck_assert_msg(guest_wire(&net.guest) == 0, "%s", net.guest.error);
}
END_TEST

START_TEST(test_net_refuses_descriptors)
{
    const int fds[] = { open("/dev/null", O_RDWR | O_CLOEXEC),
                        open("/dev/net/tun", O_RDWR | O_CLOEXEC),
                        netns_open_tap("nvbare0", NETNS_NO_HEADER),
                        netns_open_tap("nvtun0", NETNS_TUN), netns_open_tap("nvgood0", 0) };
    static const char *const texts[] = { "is no tap", "attached to no tap", "IFF_VNET_HDR",
                                         "is a tun" };

    ck_assert_int_eq(guest_new(&net.guest, "net", 0), 0);
    net.device = net.guest.device->state;
    for (size_t i = 0; i < NV_ARRAY_SIZE(texts); i++) {
        ck_assert_int_eq(guest_set_fd(&net.guest, "fd", fds[i]), 0);
        check_refused(-EINVAL, texts[i]);
    }
    ck_assert_int_eq(guest_set_fd(&net.guest, "fd", -1), -EBADF);
    ck_assert_int_eq(guest_set_fd(&net.guest, "fd", fds[4]), 0);
    set_number("pairs", 2);
    check_refused(-EINVAL, "one descriptor is one pair");
    set_number("pairs", 1);
    ck_assert_msg(guest_wire(&net.guest) == 0, "%s", net.guest.error);
    guest_unbuild(&net.guest);
    set_text("tap", NET_TAP);
    check_refused(-EINVAL, "both tap and fd");
    for (size_t i = 0; i < NV_ARRAY_SIZE(fds); i++)
        close(fds[i]);
}
END_TEST

/* Takes away a right, or gives it back. */
static void set_net_admin(bool on)
{
    struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
    struct __user_cap_data_struct data[2];

    ck_assert_int_eq(syscall(SYS_capget, &header, data), 0);
    if (on)
        data[0].effective |= 1u << CAP_NET_ADMIN;
    else
        data[0].effective &= ~(1u << CAP_NET_ADMIN);
    ck_assert_int_eq(syscall(SYS_capset, &header, data), 0);
}

/* Absent, and this process may not make one. */
START_TEST(test_net_without_right)
{
    net_new(0);
    set_text("tap", "nvnone0");
    set_net_admin(false);
    check_refused(-EPERM, "ip tuntap add nvnone0 mode tap user");
    set_net_admin(true);
    ck_assert_msg(guest_wire(&net.guest) == 0, "%s", net.guest.error);
}
END_TEST

/* In a child, whose surroundings are then its own. Returns what wire said. */
static int wire_without(bool device)
{
    pid_t child = fork();
    int status;

    ck_assert_int_ge(child, 0);
    if (child == 0) {
        bool is_ready;

        if (device)
            is_ready = unshare(CLONE_NEWNS) == 0 &&
                       mount("none", "/", "none", MS_REC | MS_PRIVATE, NULL) == 0 &&
                       mount("none", "/dev/net", "tmpfs", 0, NULL) == 0;
        else
            is_ready = setresgid(65534, 65534, 65534) == 0 && setresuid(65534, 65534, 65534) == 0;
        _exit(is_ready ? -guest_wire(&net.guest) : 255);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert(WIFEXITED(status));
    return -WEXITSTATUS(status);
}

START_TEST(test_net_without_control_device)
{
    net_new(0);
    ck_assert_int_eq(wire_without(true), -ENOENT);
    if (access("/dev/net/tun", F_OK) == 0)
        ck_assert_int_eq(wire_without(false), -EACCES);
}
END_TEST

Suite *nv_test_suite(void)
{
    Suite *suite = suite_create("net");
    TCase *tcase = support_case(suite, "net", 60);

    tcase_add_checked_fixture(tcase, net_enter, net_leave);
    tcase_add_test(tcase, test_net_features);
    tcase_add_test(tcase, test_net_config);
    tcase_add_test(tcase, test_net_random_mac);
    tcase_add_test(tcase, test_net_property_names);
    tcase_add_test(tcase, test_net_driver_sets_mac);
    tcase_add_test(tcase, test_net_pairs);
    tcase_add_test(tcase, test_net_pairs_lose_nothing);
    tcase_add_test(tcase, test_net_pairs_not_negotiated);
    tcase_add_test(tcase, test_net_loads_pairs);
    tcase_add_test(tcase, test_net_loads_negotiated_pairs);
    tcase_add_test(tcase, test_hostile_43_net_pairs);
    tcase_add_test(tcase, test_hostile_43_net_pairs_storm);
    tcase_add_test(tcase, test_net_builds_again);
    tcase_add_test(tcase, test_net_refuses_names);
    tcase_add_test(tcase, test_net_refuses_macs);
    tcase_add_test(tcase, test_net_refuses_numbers);
    tcase_add_test(tcase, test_net_refuses_taps);
    tcase_add_test(tcase, test_net_refuses_descriptors);
    tcase_add_test(tcase, test_net_without_right);
    tcase_add_test(tcase, test_net_without_control_device);
    return suite;
}
