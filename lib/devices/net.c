/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the network device (virtio 1.2, 5.1) on a tap: its properties, its life, its link. */
#include "devices/net.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "core/cleanup.h"
#include "core/util.h"

enum { MTU_MIN = 68, MTU_MAX = 65535 };

static const struct nv_property net_properties[] = {
    NV_VIRTIO_PROPERTIES(struct nv_net),
    NV_LIMIT_PROPERTIES(struct nv_net, rx.limit, "rx_rate", "received by the guest"),
    NV_LIMIT_PROPERTIES(struct nv_net, tx.limit, "tx_rate", "sent by the guest"),
    { .name = "tap",
      .type = NESTVIRT_PROPERTY_STRING,
      .flags = NESTVIRT_PROPERTY_IDENTITY,
      .offset = offsetof(struct nv_net, tap_name),
      .help = "name of the host's tap interface; made if it does not exist and this process may" },
    { .name = "fd",
      .type = NESTVIRT_PROPERTY_FD,
      .flags = NESTVIRT_PROPERTY_IDENTITY,
      .offset = offsetof(struct nv_net, tap_fd),
      .help = "instead of a name: an open tap, IFF_TAP | IFF_NO_PI | IFF_VNET_HDR; for one pair" },
    { .name = "mac",
      .type = NESTVIRT_PROPERTY_STRING,
      .flags = NESTVIRT_PROPERTY_IDENTITY,
      .offset = offsetof(struct nv_net, mac_text),
      .help = "the guest's address, such as 02:00:00:00:00:01; without it, a random one" },
    { .name = "mtu",
      .type = NESTVIRT_PROPERTY_U64,
      .offset = offsetof(struct nv_net, mtu),
      .max = MTU_MAX,
      .help = "the MTU told to the guest, 68 to 65535; 0: none" },
    { .name = "link",
      .type = NESTVIRT_PROPERTY_BOOL,
      .flags = NESTVIRT_PROPERTY_LIVE,
      .offset = offsetof(struct nv_net, link),
      .initial = 1,
      .max = 1,
      .help = "1: the cable is plugged in; at 0 nothing is sent or received" },
    { .name = "offloads",
      .type = NESTVIRT_PROPERTY_BOOL,
      .offset = offsetof(struct nv_net, offloads),
      .initial = 1,
      .max = 1,
      .help = "1: the guest may leave checksums and segmentation of TCP to the host" },
    { .name = "mrg_rxbuf",
      .type = NESTVIRT_PROPERTY_BOOL,
      .offset = offsetof(struct nv_net, mrg_rxbuf),
      .initial = 1,
      .max = 1,
      .help = "1: the guest may receive long packets in several buffers" },
    { .name = "pairs",
      .type = NESTVIRT_PROPERTY_U64,
      .offset = offsetof(struct nv_net, pair_count),
      .initial = 1,
      .min = 1,
      .max = NV_NET_PAIRS_MAX,
      .help = "pairs of queues; above 1 the tap must be one with several queues" },
    NV_COUNTER_ROW(struct nv_net, "rx_packets", rx_packets, "packets received by the guest"),
    NV_COUNTER_ROW(struct nv_net, "rx_bytes", rx_bytes, "bytes of them"),
    NV_COUNTER_ROW(struct nv_net, "rx_dropped", rx_dropped,
                   "packets for the guest dropped because its buffers were too small, or "
                   "old when it began to receive"),
    NV_COUNTER_ROW(struct nv_net, "tx_packets", tx_packets, "packets sent by the guest"),
    NV_COUNTER_ROW(struct nv_net, "tx_bytes", tx_bytes, "bytes of them"),
    NV_COUNTER_ROW(struct nv_net, "tx_dropped", tx_dropped,
                   "packets of the guest dropped because they were malformed, the link "
                   "was down or the tap refused them"),
};

bool nv_net_is_mac(const uint8_t mac[NV_NET_MAC])
{
    static const uint8_t none[NV_NET_MAC];

    return !(mac[0] & 1) && memcmp(mac, none, sizeof(none)) != 0;
}

/* --- What comes from the loop --- */

static void on_rx_timer(void *user_data)
{
    struct nv_net *net = user_data;

    NV_VIRTIO_GUARD(&net->virtio);
    net->rx.is_waiting = false;
    for (uint32_t i = 0; i < net->open_count; i++)
        nv_virtio_serve(&net->virtio, nv_net_rx_queue(&net->pairs[i]));
}

static void on_tx_timer(void *user_data)
{
    struct nv_net *net = user_data;

    NV_VIRTIO_GUARD(&net->virtio);
    for (uint32_t i = 0; i < net->open_count; i++)
        nv_virtio_serve(&net->virtio, nv_net_tx_queue(&net->pairs[i]));
}

static void on_tap(void *user_data, uint32_t events)
{
    struct nv_net_pair *pair = user_data;
    struct nv_virtio *v = &pair->net->virtio;

    NV_VIRTIO_GUARD(v);
    if (events & (EPOLLOUT | EPOLLERR | EPOLLHUP))
        nv_virtio_serve(v, nv_net_tx_queue(pair));
    if (events & (EPOLLIN | EPOLLERR | EPOLLHUP))
        nv_virtio_serve(v, nv_net_rx_queue(pair));
    nv_net_watch(pair); /* also when neither could be served */
}

/* --- What the driver does --- */

/* The control queue is behind the pairs, or behind the first one if the driver knows no others. */
static bool is_ctrl_queue(const struct nv_net *net, uint32_t queue)
{
    uint32_t pairs = net->virtio.features & NV_NET_F_MQ ? net->open_count : 1;

    return (net->virtio.features & NV_NET_F_CTRL_VQ) && queue == 2 * pairs;
}

static void net_serve(struct nv_virtio *v, uint32_t queue)
{
    struct nv_net *net = (struct nv_net *)v;

    if (net->needs_care)
        nv_net_set_timer(net, &net->care_timer, nv_now_ns());
    if (is_ctrl_queue(net, queue))
        nv_net_serve_ctrl(net, queue);
    else if (queue < 2 * net->open_count && queue % 2)
        nv_net_serve_tx(&net->pairs[queue / 2]);
    else if (queue < 2 * net->open_count)
        nv_net_serve_rx(&net->pairs[queue / 2]);
}

static uint32_t offload_of(uint64_t features)
{
    uint32_t offload = 0;

    if (features & NV_NET_F_GUEST_CSUM)
        offload |= NV_TAP_CSUM;
    if (features & NV_NET_F_GUEST_TSO4)
        offload |= NV_TAP_TSO4;
    if (features & NV_NET_F_GUEST_TSO6)
        offload |= NV_TAP_TSO6;
    if (features & NV_NET_F_GUEST_ECN)
        offload |= NV_TAP_TSO_ECN;
    return offload;
}

/* What waited in the tap for an earlier driver is not for this one, nor as that one wanted it. */
static int net_activate(struct nv_virtio *v)
{
    struct nv_net *net = (struct nv_net *)v;

    nv_net_set_offload(net, offload_of(v->features));
    nv_net_set_active(net, 1);
    for (uint32_t i = 0; i < net->open_count; i++)
        net->pairs[i].stale = NV_NET_STALE_MAX;
    return 0;
}

static void net_drop(struct nv_virtio *v, uint32_t queue)
{
    struct nv_net *net = (struct nv_net *)v;
    struct nv_net_pair *pair = &net->pairs[queue / 2];

    if (queue >= 2 * net->open_count)
        return;
    if (queue % 2)
        pair->is_blocked = false;
    else
        nv_net_drop_rx(pair);
    nv_net_watch(pair);
}

static void net_reset(struct nv_virtio *v)
{
    memcpy(v->config + NV_NET_CONFIG_MAC, ((struct nv_net *)v)->mac, NV_NET_MAC);
}

/* 5.1.3.1 */
static bool net_check_features(const struct nv_virtio *v, uint64_t features)
{
    static const struct {
        uint64_t feature;
        uint64_t needs; /* any of these */
    } rules[] = {
        { NV_NET_F_GUEST_TSO4, NV_NET_F_GUEST_CSUM },
        { NV_NET_F_GUEST_TSO6, NV_NET_F_GUEST_CSUM },
        { NV_NET_F_GUEST_ECN, NV_NET_F_GUEST_TSO4 | NV_NET_F_GUEST_TSO6 },
        { NV_NET_F_HOST_TSO4, NV_NET_F_CSUM },
        { NV_NET_F_HOST_TSO6, NV_NET_F_CSUM },
        { NV_NET_F_HOST_ECN, NV_NET_F_HOST_TSO4 | NV_NET_F_HOST_TSO6 },
        { NV_NET_F_CTRL_RX, NV_NET_F_CTRL_VQ },
        { NV_NET_F_MQ, NV_NET_F_CTRL_VQ },
        { NV_NET_F_CTRL_MAC_ADDR, NV_NET_F_CTRL_VQ },
    };

    for (size_t i = 0; i < NV_ARRAY_SIZE(rules); i++)
        if ((features & rules[i].feature) && !(features & rules[i].needs))
            return false;
    return true;
}

static const struct nv_virtio_class net_virtio = {
    .id = NV_VIRTIO_ID_NET,
    .serve = net_serve,
    .activate = net_activate,
    .drop = net_drop,
    .reset = net_reset,
    .check_features = net_check_features,
};

/* --- Its life --- */

static int parse_mac(struct nv_net *net, struct nestvirt_error **ret_error)
{
    const char *hint = "write it as 02:00:00:00:00:01; a first byte of 02 is for private use";
    unsigned int byte[NV_NET_MAC];
    int length = 0;

    if (sscanf(net->mac_text, "%2x:%2x:%2x:%2x:%2x:%2x%n", &byte[0], &byte[1], &byte[2], &byte[3],
               &byte[4], &byte[5], &length) != NV_NET_MAC ||
        length != 17 || net->mac_text[length] || strpbrk(net->mac_text, " +-xX"))
        return nv_fail(ret_error, -EINVAL, "property mac", hint, "\"%.32s\" is no MAC address",
                       net->mac_text);
    for (int i = 0; i < NV_NET_MAC; i++)
        net->mac[i] = (uint8_t)byte[i];
    if (!nv_net_is_mac(net->mac))
        return nv_fail(ret_error, -EINVAL, "property mac", hint,
                       "%s is not the address of one interface", net->mac_text);
    net->has_random_mac = false;
    return 0;
}

/* Locally administered, and the same at each start. */
static int choose_mac(struct nv_net *net, struct nestvirt_error **ret_error)
{
    if (net->mac_text)
        return parse_mac(net, ret_error);
    if (net->has_random_mac)
        return 0;
    if (getrandom(net->mac, sizeof(net->mac), GRND_NONBLOCK) != (ssize_t)sizeof(net->mac))
        return nv_fail(ret_error, -EAGAIN, "property mac", "set it",
                       "the host has no random numbers yet");
    net->mac[0] = (uint8_t)((net->mac[0] & 0xfc) | 2);
    net->has_random_mac = true;
    return 0;
}

static int check_name(const char *name, struct nestvirt_error **ret_error)
{
    if (strlen(name) > NV_TAP_NAME_MAX)
        return nv_fail(ret_error, -ENAMETOOLONG, "property tap", "use a shorter name",
                       "\"%.32s\" is longer than %d bytes", name, NV_TAP_NAME_MAX);
    /* With % the kernel would choose a number. */
    if (!name[0] || strpbrk(name, "/:% \t\n\v\f\r") || strcmp(name, ".") == 0 ||
        strcmp(name, "..") == 0)
        return nv_fail(ret_error, -EINVAL, "property tap", "see ip link for those there are",
                       "\"%s\" is no name of an interface", name);
    return 0;
}

static int net_claim(struct nestvirt_device *device, const struct nv_device_env *env,
                     struct nestvirt_error **ret_error)
{
    struct nv_net *net = device->state;
    int r;

    if (!net->tap_name && net->tap_fd < 0)
        return nv_fail(ret_error, -EINVAL, "property tap",
                       "set tap to a name (ip tuntap add NAME mode tap), or fd to an open tap",
                       "there is no tap");
    if (net->tap_name && net->tap_fd >= 0)
        return nv_fail(ret_error, -EINVAL, "property fd", "set one of them",
                       "both tap and fd are set");
    if (net->tap_fd >= 0 && net->pair_count > 1)
        return nv_fail(ret_error, -EINVAL, "property fd", "set tap to its name, or pairs to 1",
                       "one descriptor is one pair, not %d", (int)net->pair_count);
    if (net->mtu > 0 && net->mtu < MTU_MIN)
        return nv_fail(ret_error, -EINVAL, "property mtu", "use 0 to offer none",
                       "%d is less than %d", (int)net->mtu, MTU_MIN);
    r = net->tap_name ? check_name(net->tap_name, ret_error) : 0;
    return r < 0 ? r : choose_mac(net, ret_error);
}

static uint64_t offered_features(const struct nv_net *net)
{
    uint64_t features = NV_NET_F_MAC | NV_NET_F_STATUS | NV_NET_F_CTRL_VQ | NV_NET_F_CTRL_RX |
                        NV_NET_F_CTRL_MAC_ADDR;

    if (net->offloads)
        features |= NV_NET_F_CSUM | NV_NET_F_GUEST_CSUM | NV_NET_F_GUEST_TSO4 |
                    NV_NET_F_GUEST_TSO6 | NV_NET_F_GUEST_ECN | NV_NET_F_HOST_TSO4 |
                    NV_NET_F_HOST_TSO6 | NV_NET_F_HOST_ECN;
    if (net->mrg_rxbuf)
        features |= NV_NET_F_MRG_RXBUF;
    if (net->mtu)
        features |= NV_NET_F_MTU;
    if (net->pair_count > 1)
        features |= NV_NET_F_MQ;
    return features;
}

static void describe_to_driver(struct nv_net *net)
{
    struct nv_virtio *v = &net->virtio;

    v->queue_count = 2 * (uint32_t)net->pair_count + 1;
    v->offered = offered_features(net);
    v->config_length = NV_NET_CONFIG_LENGTH;
    memcpy(v->config + NV_NET_CONFIG_MAC, net->mac, NV_NET_MAC);
    nv_put_le16(v->config + NV_NET_CONFIG_STATUS, net->link ? NV_NET_LINK_UP : 0);
    nv_put_le16(v->config + NV_NET_CONFIG_PAIRS, (uint16_t)net->pair_count);
    nv_put_le16(v->config + NV_NET_CONFIG_MTU, (uint16_t)net->mtu);
}

static int open_pair(struct nv_net *net, uint32_t number, struct nestvirt_error **ret_error)
{
    struct nv_net_pair *pair = &net->pairs[number];
    int r;

    *pair = (struct nv_net_pair){ .net = net, .number = number, .tap = { .fd = -1 } };
    pair->receive = calloc(1, sizeof(*pair->receive));
    if (!pair->receive)
        return nv_fail_sys(ret_error, ENOMEM, "receive buffer", "calloc",
                           "free memory in this process");
    net->open_count++;
    if (net->tap_name)
        r = nv_tap_open(net->tap_name, net->pair_count > 1, &pair->tap, ret_error);
    else
        r = nv_tap_dup(net->tap_fd, &pair->tap, ret_error);
    pair->source = (struct nv_source){ .fd = pair->tap.fd, .fn = on_tap, .user_data = pair };
    return r;
}

/* The tap as the first driver expects it: no offload, one pair. */
static int prepare_tap(struct nv_net *net, struct nestvirt_error **ret_error)
{
    int r = nv_tap_set_offload(&net->pairs[0].tap, 0);

    if (r < 0)
        return nv_fail_sys(ret_error, -r, "tap", "ioctl(TUNSETOFFLOAD)", "see tun(4) of Linux");
    for (uint32_t i = 1; i < net->open_count; i++) {
        r = nv_tap_set_attached(&net->pairs[i].tap, false);
        if (r < 0)
            return nv_fail_sys(ret_error, -r, "tap", "ioctl(TUNSETQUEUE)", "set pairs to 1");
    }
    net->active = net->attached = 1;
    net->offload = net->wanted_offload = 0;
    return 0;
}

static int net_wire(struct nestvirt_device *device, const struct nv_device_env *env,
                    struct nestvirt_error **ret_error)
{
    struct nv_net *net = device->state;
    int r = 0;

    net->is_wired = true;
    net->device = device;
    net->upward = env->upward;
    net->rx.timer = (struct nv_timer){ .fn = on_rx_timer, .user_data = net };
    net->tx.timer = (struct nv_timer){ .fn = on_tx_timer, .user_data = net };
    net->care_timer = (struct nv_timer){ .fn = nv_net_on_care, .user_data = net };
    net->open_count = 0;
    net->down_errno = net->told_errno = 0;
    net->is_gone = net->needs_care = false;
    net->follow_after_ns = 0;
    describe_to_driver(net);
    net->packet = malloc(NV_NET_PACKET_MAX);
    if (!net->packet)
        return nv_fail_sys(ret_error, ENOMEM, "packet buffer", "malloc",
                           "free memory in this process");
    for (uint32_t i = 0; i < net->pair_count && r >= 0; i++)
        r = open_pair(net, i, ret_error);
    return r < 0 ? r : prepare_tap(net, ret_error);
}

static void net_unbuild(struct nestvirt_device *device)
{
    struct nv_net *net = device->state;
    struct nestvirt_loop *loop = net->virtio.loop;

    if (!net->is_wired)
        return;
    for (uint32_t i = 0; i < net->open_count && loop; i++)
        nv_loop_remove(loop, &net->pairs[i].source);
    if (loop) {
        nv_loop_clear_timer(loop, &net->rx.timer);
        nv_loop_clear_timer(loop, &net->tx.timer);
        nv_loop_clear_timer(loop, &net->care_timer);
    }
    for (uint32_t i = 0; i < net->open_count; i++) {
        nv_tap_close(&net->pairs[i].tap);
        free(net->pairs[i].receive);
    }
    free(net->packet);
    net->packet = NULL;
    net->open_count = 0;
    net->is_wired = false;
}

/* Begins the limits anew, and with no packet under way. */
static void net_start(struct nestvirt_device *device)
{
    struct nv_net *net = device->state;

    NV_VIRTIO_GUARD(&net->virtio);
    for (uint32_t i = 0; i < net->open_count; i++)
        nv_net_drop_rx(&net->pairs[i]);
    nv_limit_reset(&net->rx.limit);
    nv_limit_reset(&net->tx.limit);
    net->rx.is_granted = net->tx.is_granted = net->rx.is_waiting = false;
    net->rx.charge = 0;
}

static int net_save(struct nestvirt_device *device, struct nv_writer *writer,
                    struct nestvirt_error **ret_error)
{
    const struct nv_net *net = device->state;

    nv_write_u32(writer, net->active);
    return 0;
}

/* The tap is another one: it follows the driver, and what waits in it is not for this guest. */
static int net_load(struct nestvirt_device *device, struct nv_reader *reader,
                    struct nestvirt_error **ret_error)
{
    struct nv_net *net = device->state;
    uint32_t active = nv_read_u32(reader);

    net_start(device);
    if (active < 1 || active > net->open_count) {
        reader->is_bad = true;
        return 0;
    }
    NV_VIRTIO_GUARD(&net->virtio);
    if (!nv_virtio_is_live(&net->virtio)) /* the number is of a driver before the last reset */
        return 0;
    if (active > 1 && !(net->virtio.features & NV_NET_F_MQ)) {
        reader->is_bad = true;
        return 0;
    }
    nv_net_set_offload(net, offload_of(net->virtio.features));
    nv_net_set_active(net, active);
    for (uint32_t i = 0; i < net->open_count; i++)
        net->pairs[i].stale = NV_NET_STALE_MAX;
    return 0;
}

/* Nothing is served from now on, so that nothing is to be watched. */
static void net_pause(struct nestvirt_device *device)
{
    struct nv_net *net = device->state;

    NV_VIRTIO_GUARD(&net->virtio);
    nv_net_watch_all(net);
}

static void net_stop(struct nestvirt_device *device, uint64_t deadline_ns)
{
    net_pause(device);
}

static int net_changed(struct nestvirt_device *device, const struct nv_property *row,
                       struct nestvirt_error **ret_error)
{
    struct nv_net *net = device->state;
    struct nv_virtio *v = &net->virtio;
    bool was_down;

    NV_VIRTIO_GUARD(v);
    was_down = !(nv_get_le16(v->config + NV_NET_CONFIG_STATUS) & NV_NET_LINK_UP);
    /* What came while the cable was out is lost. */
    for (uint32_t i = 0; i < net->open_count && was_down; i++)
        net->pairs[i].stale = NV_NET_STALE_MAX;
    net->rx.is_waiting = false;
    nv_net_update_status(net);
    nv_net_watch_all(net);
    for (uint32_t i = 0; i < v->queue_count; i++)
        nv_virtio_serve_later(v, i);
    return 0;
}

const struct nv_device_class nv_device_net = {
    .name = "net",
    .help = "virtio network device on a tap interface of the host",
    .virtio = &net_virtio,
    .state_size = sizeof(struct nv_net),
    .properties = net_properties,
    .property_count = NV_ARRAY_SIZE(net_properties),
    .claim = net_claim,
    .wire = net_wire,
    .unbuild = net_unbuild,
    .start = net_start,
    .stop = net_stop,
    .pause = net_pause,
    .save = net_save,
    .load = net_load,
    .changed = net_changed,
};
