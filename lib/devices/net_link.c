/* SPDX-License-Identifier: Apache-2.0 */
/* Owns how the network device follows its tap: readiness, limits, the link, active pairs. */
#include <errno.h>

#include "core/cleanup.h"
#include "core/util.h"
#include "devices/net.h"

/* How often we look whether a tap that is down is up again. */
static const uint64_t RETRY_NS = 1000000000;

/*
 * The interface is not changed more often, nor for more than a part of the time: each time takes a
 * lock of all the host's network, and the guest can ask for it without end.
 */
static const uint64_t FOLLOW_NS = 100000000;
enum { FOLLOW_REST = 20 }; /* times as long as the last changes took */

bool nv_net_must_wait(struct nv_net *net, struct nv_net_flow *flow, uint64_t bytes)
{
    uint64_t when_ns = 0;

    if (!flow->is_granted)
        when_ns = nv_limit_take(&flow->limit, bytes, nv_now_ns());
    flow->is_waiting = when_ns > 0;
    flow->is_granted = when_ns == 0;
    if (when_ns)
        nv_net_set_timer(net, &flow->timer, when_ns);
    return when_ns > 0;
}

/* What of the tap's readiness could be used now. */
static uint32_t wanted_events(const struct nv_net_pair *pair)
{
    const struct nv_virtio *v = &pair->net->virtio;
    uint32_t events = 0;

    if (pair->net->is_gone)
        return 0;
    if (nv_virtio_can_serve(v, nv_net_rx_queue(pair)) && nv_net_can_receive(pair) &&
        !pair->is_starved && !pair->net->rx.is_waiting)
        events |= EPOLLIN;
    if (nv_virtio_can_serve(v, nv_net_tx_queue(pair)) && pair->is_blocked)
        events |= EPOLLOUT;
    return events;
}

void nv_net_watch(struct nv_net_pair *pair)
{
    struct nestvirt_loop *loop = pair->net->virtio.loop;
    uint32_t events = wanted_events(pair);

    if (!loop || events == pair->watched)
        return;
    nv_loop_disable(loop, &pair->source);
    pair->watched = 0;
    if (events == 0)
        return;
    if (nv_loop_add(loop, &pair->source, events) < 0)
        nv_net_set_timer(pair->net, &pair->net->care_timer, nv_now_ns() + RETRY_NS);
    else
        pair->watched = events;
}

void nv_net_watch_all(struct nv_net *net)
{
    for (uint32_t i = 0; i < net->open_count; i++)
        nv_net_watch(&net->pairs[i]);
}

/* Tells the driver when the link's state is another one than it knows. */
void nv_net_update_status(struct nv_net *net)
{
    bool is_up = __atomic_load_n(&net->link, __ATOMIC_RELAXED) && !net->is_gone;
    uint16_t status = is_up ? NV_NET_LINK_UP : 0;

    if (nv_get_le16(net->virtio.config + NV_NET_CONFIG_STATUS) == status)
        return;
    nv_put_le16(net->virtio.config + NV_NET_CONFIG_STATUS, status);
    nv_virtio_config_changed(&net->virtio);
}

void nv_net_went_well(struct nv_net *net)
{
    if (net->down_errno == 0 || net->is_gone)
        return;
    net->down_errno = 0;
    nv_net_set_timer(net, &net->care_timer, nv_now_ns());
}

void nv_net_went_wrong(struct nv_net *net, int error)
{
    if ((error != EIO && error != EBADFD) || net->is_gone || error == net->down_errno)
        return;
    net->down_errno = error;
    net->is_gone = error == EBADFD;
    if (net->is_gone) {
        nv_net_update_status(net);
        nv_net_watch_all(net);
    }
    nv_net_set_timer(net, &net->care_timer, nv_now_ns()); /* no event from here: the lock is held */
}

/* Lets the interface send to those pairs that the driver uses. */
static int follow_active(struct nv_net *net)
{
    int r = 0;

    while (net->attached < net->active && r >= 0) {
        struct nv_net_pair *pair = &net->pairs[net->attached];

        r = nv_tap_set_attached(&pair->tap, true);
        if (r < 0)
            break;
        pair->stale = 0; /* the host emptied it when it was detached: what comes now is new */
        net->attached++;
    }
    while (net->attached > net->active && r >= 0) {
        r = nv_tap_set_attached(&net->pairs[net->attached - 1].tap, false);
        net->attached -= r >= 0;
    }
    return r;
}

/* Lets the interface leave to the driver what that has accepted, and nothing else. */
static int follow_offload(struct nv_net *net)
{
    bool has_lost = net->offload & ~net->wanted_offload;
    int r = 0;

    if (net->offload != net->wanted_offload)
        r = nv_tap_set_offload(&net->pairs[0].tap, net->wanted_offload);
    if (r == -EBADFD)
        nv_net_went_wrong(net, EBADFD);
    else if (r < 0 && nv_virtio_is_live(&net->virtio))
        nv_virtio_break(&net->virtio, "its tap cannot be set to what the driver accepted");
    if (r < 0)
        return r;
    net->offload = net->wanted_offload;
    /* What came until now may be as the driver does not know it. */
    for (uint32_t i = 0; i < net->open_count && has_lost; i++) {
        net->pairs[i].stale = NV_NET_STALE_MAX;
        nv_virtio_serve_later(&net->virtio, nv_net_rx_queue(&net->pairs[i]));
    }
    return 0;
}

static bool is_behind(const struct nv_net *net)
{
    return !net->is_gone && (net->attached != net->active || net->offload != net->wanted_offload);
}

/* The interface becomes what the driver wants it to be. */
static void follow_driver(struct nv_net *net, uint64_t now_ns)
{
    uint64_t end_ns;
    int r;

    if (!is_behind(net) || now_ns < net->follow_after_ns)
        return;
    r = follow_offload(net);
    if (r >= 0)
        r = follow_active(net);
    end_ns = nv_now_ns();
    net->follow_after_ns =
        end_ns + NV_MAX(r < 0 ? RETRY_NS : FOLLOW_NS, FOLLOW_REST * (end_ns - now_ns));
}

/* Not here: this may be a vCPU's thread, and the driver can go on meanwhile. */
static void follow_soon(struct nv_net *net)
{
    if (net->virtio.loop) {
        nv_net_set_timer(net, &net->care_timer, nv_now_ns());
    } else {
        net->follow_after_ns = 0; /* nobody would come back to it */
        follow_driver(net, nv_now_ns());
    }
}

void nv_net_set_offload(struct nv_net *net, uint32_t offload)
{
    net->wanted_offload = offload;
    if (is_behind(net))
        follow_soon(net);
}

void nv_net_set_active(struct nv_net *net, uint32_t pairs)
{
    net->active = pairs;
    for (uint32_t i = 0; i < net->open_count; i++)
        nv_virtio_serve_later(&net->virtio, nv_net_rx_queue(&net->pairs[i]));
    if (is_behind(net))
        follow_soon(net);
}

/* What takes time, is repeated until it succeeds, or calls upward. True if there is an event. */
static bool take_care(struct nv_net *net, uint64_t *ret_value)
{
    uint64_t now_ns = nv_now_ns();

    NV_VIRTIO_GUARD(&net->virtio);
    net->needs_care = !net->virtio.is_running;
    if (net->needs_care)
        return false;
    if (net->down_errno == EIO && nv_tap_is_writable(&net->pairs[0].tap))
        net->down_errno = 0;
    follow_driver(net, now_ns);
    nv_net_watch_all(net);
    if (is_behind(net))
        nv_net_set_timer(net, &net->care_timer, NV_MAX(net->follow_after_ns, now_ns + 1));
    else if (net->down_errno == EIO)
        nv_net_set_timer(net, &net->care_timer, now_ns + RETRY_NS);
    *ret_value = (uint64_t)net->down_errno;
    if (net->told_errno == net->down_errno)
        return false;
    net->told_errno = net->down_errno;
    return true;
}

void nv_net_on_care(void *user_data)
{
    struct nv_net *net = user_data;
    uint64_t value;

    if (take_care(net, &value))
        net->upward.event(net->upward.owner, net->device, NESTVIRT_EVENT_LINK, value);
}
