/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the network device's control queue (virtio 1.2, 5.1.6.5). */
#include <string.h>

#include "core/util.h"
#include "devices/net.h"

enum { ACK_OK = 0, ACK_ERR = 1 };
enum { CLASS_RX = 0, CLASS_MAC = 1, CLASS_MQ = 4 };
enum { RX_PROMISC = 0, RX_ALLMULTI = 1 };
enum { MAC_TABLE_SET = 0, MAC_ADDR_SET = 1 };
enum { MQ_PAIRS_SET = 0 };

/* The guest sees all that the tap has; how much of that it wants is all the same. */
static uint8_t set_mode(struct nv_chain *chain, uint8_t command)
{
    uint8_t value;

    if (command > RX_ALLMULTI || chain->read_left != sizeof(value))
        return ACK_ERR;
    nv_chain_read(chain, &value, sizeof(value));
    return value <= 1 ? ACK_OK : ACK_ERR;
}

/* Twice a number of addresses and the addresses; nothing filters by them. */
static uint8_t set_table(struct nv_chain *chain)
{
    for (int i = 0; i < 2; i++) {
        uint8_t entries[4];
        uint64_t bytes;

        if (nv_chain_read(chain, entries, sizeof(entries)) < sizeof(entries))
            return ACK_ERR;
        bytes = (uint64_t)nv_get_le32(entries) * NV_NET_MAC;
        if (nv_chain_skip_read(chain, bytes) < bytes)
            return ACK_ERR;
    }
    return chain->read_left == 0 ? ACK_OK : ACK_ERR;
}

/* Until the next reset. */
static uint8_t set_address(struct nv_net *net, struct nv_chain *chain)
{
    uint8_t mac[NV_NET_MAC];

    if (chain->read_left != sizeof(mac))
        return ACK_ERR;
    nv_chain_read(chain, mac, sizeof(mac));
    if (!nv_net_is_mac(mac))
        return ACK_ERR;
    memcpy(net->virtio.config, mac, sizeof(mac));
    net->virtio.generation++;
    return ACK_OK;
}

static uint8_t set_pairs(struct nv_net *net, struct nv_chain *chain)
{
    uint8_t bytes[2];
    uint16_t pairs;

    if (chain->read_left != sizeof(bytes))
        return ACK_ERR;
    nv_chain_read(chain, bytes, sizeof(bytes));
    pairs = nv_get_le16(bytes);
    if (pairs < 1 || pairs > net->open_count)
        return ACK_ERR;
    nv_net_set_active(net, pairs);
    return ACK_OK;
}

/* Carries out a command, if its feature was negotiated. */
static uint8_t obey(struct nv_net *net, struct nv_chain *chain)
{
    const uint64_t features = net->virtio.features;
    uint8_t command[2];

    if (nv_chain_read(chain, command, sizeof(command)) < sizeof(command))
        return ACK_ERR;
    if (command[0] == CLASS_RX && (features & NV_NET_F_CTRL_RX))
        return set_mode(chain, command[1]);
    if (command[0] == CLASS_MAC && command[1] == MAC_TABLE_SET && (features & NV_NET_F_CTRL_RX))
        return set_table(chain);
    if (command[0] == CLASS_MAC && command[1] == MAC_ADDR_SET &&
        (features & NV_NET_F_CTRL_MAC_ADDR))
        return set_address(net, chain);
    if (command[0] == CLASS_MQ && command[1] == MQ_PAIRS_SET && (features & NV_NET_F_MQ))
        return set_pairs(net, chain);
    return ACK_ERR;
}

void nv_net_serve_ctrl(struct nv_net *net, uint32_t queue)
{
    struct nv_virtio *v = &net->virtio;
    struct nv_chain *chain = &v->queues[queue].chain;

    while (nv_virtio_pop(v, queue, chain) > 0) {
        /* Without room for the answer nothing is done. */
        if (chain->write_left > 0) {
            uint8_t ack = obey(net, chain);

            nv_chain_write(chain, &ack, sizeof(ack));
        }
        nv_virtio_complete(v, queue, chain, (uint32_t)chain->written);
    }
}
