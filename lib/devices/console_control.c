/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the console's control messages (virtio 1.2, 5.3.6.2): what each side tells about ports. */
#include <string.h>

#include "core/util.h"
#include "devices/console.h"

enum event {
    DEVICE_READY,
    PORT_ADD,
    PORT_REMOVE,
    PORT_READY,
    CONSOLE_PORT,
    RESIZE,
    PORT_OPEN,
    PORT_NAME
};

/* A message: le32 port, le16 event, le16 value; a size or a name may follow. */
enum { HEADER = 8, SIZE_BYTES = 4 };

struct message {
    uint8_t bytes[HEADER + NV_CONSOLE_NAME_MAX];
    uint32_t length;
};

/* Terminals never hang up; other ports do when their input has ended. */
static bool is_host_open(const struct nv_console_port *port)
{
    return nv_console_is_terminal(port) || !port->input_has_ended;
}

static void make_message(const struct nv_console_port *port, enum event event,
                         struct message *message)
{
    const struct nv_console *console = port->console;
    const uint8_t *config = console->virtio.config; /* columns, then rows */
    uint8_t *more = message->bytes + HEADER;

    nv_put_le32(message->bytes, port->number);
    nv_put_le16(message->bytes + 4, (uint16_t)event);
    nv_put_le16(message->bytes + 6, event != PORT_OPEN || is_host_open(port));
    message->length = HEADER;
    if (event == RESIZE) {
        memcpy(more, config + (console->rows_first ? 2 : 0), 2);
        memcpy(more + 2, config + (console->rows_first ? 0 : 2), 2);
        message->length += SIZE_BYTES;
    } else if (event == PORT_NAME) {
        uint32_t length = (uint32_t)strnlen(port->name, NV_CONSOLE_NAME_MAX);

        memcpy(more, port->name, length);
        message->length += length;
    }
}

/* The next event to tell the guest of; NULL if there is none. */
static struct nv_console_port *next_pending(struct nv_console *console, enum event *ret_event)
{
    /* A port is a console before it has a size, and named before it opens. */
    static const enum event order[] = { PORT_ADD, CONSOLE_PORT, RESIZE, PORT_NAME, PORT_OPEN };

    for (uint32_t i = 0; i < console->port_count; i++)
        for (size_t k = 0; k < NV_ARRAY_SIZE(order); k++)
            if (console->ports[i].pending >> order[k] & 1) {
                *ret_event = order[k];
                return &console->ports[i];
            }
    return NULL;
}

/*
 * What waits to be told is a set of events of each port, not a list of messages: it cannot grow,
 * however often the guest asks, and a message says how things are when it goes.
 */
void nv_console_serve_control_receive(struct nv_console *console)
{
    struct nv_virtio *v = &console->virtio;
    struct nv_chain *chain = &v->queues[NV_CONSOLE_CONTROL_RECEIVE].chain;
    struct nv_console_port *port;
    struct message message;
    enum event event;

    while ((port = next_pending(console, &event)) &&
           nv_virtio_pop(v, NV_CONSOLE_CONTROL_RECEIVE, chain) > 0) {
        port->pending &= ~(1u << event);
        make_message(port, event, &message);
        if (chain->write_left < message.length) {
            nv_count(&console->malformed, 1);
            message.length = 0;
        }
        nv_chain_write(chain, message.bytes, message.length);
        nv_virtio_complete(v, NV_CONSOLE_CONTROL_RECEIVE, chain, message.length);
    }
}

/* On any thread: a pass over the queue that is under way may be past looking at what is pending. */
static void send_pending(struct nv_console *console)
{
    if (console->virtio.loop)
        nv_virtio_serve_later(&console->virtio, NV_CONSOLE_CONTROL_RECEIVE);
    else
        nv_virtio_serve(&console->virtio, NV_CONSOLE_CONTROL_RECEIVE);
}

static void tell(struct nv_console_port *port, uint32_t events)
{
    port->pending |= events;
    send_pending(port->console);
}

static bool has_size(const struct nv_console_port *port)
{
    const uint8_t *config = port->console->virtio.config;

    return port->number == 0 && nv_console_is_terminal(port) && nv_get_le16(config) != 0 &&
           nv_get_le16(config + 2) != 0;
}

void nv_console_tell_open(struct nv_console_port *port)
{
    if (port->is_ready && !nv_console_is_terminal(port))
        tell(port, 1u << PORT_OPEN);
}

void nv_console_tell_size(struct nv_console *console)
{
    struct nv_console_port *port = &console->ports[0];

    if (console->is_multiport && port->is_ready && has_size(port))
        tell(port, 1u << RESIZE);
}

static void set_device_ready(struct nv_console *console, bool is_ready)
{
    for (uint32_t i = 0; i < console->port_count; i++)
        console->ports[i].pending = is_ready ? 1u << PORT_ADD : 0;
    send_pending(console);
}

static void set_port_ready(struct nv_console_port *port, bool is_ready)
{
    uint32_t events = 1u << PORT_OPEN;

    port->is_ready = is_ready;
    port->pending = 0;
    if (!is_ready)
        return;
    if (nv_console_is_terminal(port))
        events |= 1u << CONSOLE_PORT;
    if (has_size(port))
        events |= 1u << RESIZE;
    if (port->name && port->name[0])
        events |= 1u << PORT_NAME;
    tell(port, events);
}

static void set_port_open(struct nv_console_port *port, bool is_open)
{
    port->is_open = is_open;
    nv_virtio_serve(&port->console->virtio, nv_console_receive_queue(port));
}

/* False for a message that means nothing. */
static bool handle(struct nv_console *console, const uint8_t header[HEADER])
{
    uint32_t number = nv_get_le32(header);
    uint16_t event = nv_get_le16(header + 4);
    bool value = nv_get_le16(header + 6) != 0;

    if (event == DEVICE_READY) { /* of no port */
        set_device_ready(console, value);
        return true;
    }
    if (number >= console->port_count || (event != PORT_READY && event != PORT_OPEN))
        return false;
    if (event == PORT_READY)
        set_port_ready(&console->ports[number], value);
    else
        set_port_open(&console->ports[number], value);
    return true;
}

void nv_console_serve_control_transmit(struct nv_console *console)
{
    struct nv_virtio *v = &console->virtio;
    struct nv_chain *chain = &v->queues[NV_CONSOLE_CONTROL_TRANSMIT].chain;

    while (nv_virtio_pop(v, NV_CONSOLE_CONTROL_TRANSMIT, chain) > 0) {
        uint8_t header[HEADER];

        if (nv_chain_read(chain, header, HEADER) < HEADER || !handle(console, header))
            nv_count(&console->malformed, 1);
        nv_virtio_complete(v, NV_CONSOLE_CONTROL_TRANSMIT, chain, 0);
    }
}

void nv_console_forget(struct nv_console *console)
{
    console->is_multiport = false;
    for (uint32_t i = 0; i < NV_CONSOLE_PORTS_MAX; i++) {
        console->ports[i].is_ready = console->ports[i].is_open = false;
        console->ports[i].pending = 0;
    }
}

void nv_console_save(const struct nv_console *console, struct nv_writer *writer)
{
    nv_write_u8(writer, console->is_multiport);
    for (uint32_t i = 0; i < console->port_count; i++) {
        nv_write_u8(writer, console->ports[i].is_ready);
        nv_write_u8(writer, console->ports[i].is_open);
        nv_write_u32(writer, console->ports[i].pending);
    }
}

/* The host's side is another one: the guest is told anew whether it is there. */
void nv_console_load(struct nv_console *console, struct nv_reader *reader)
{
    const uint32_t known = 1u << PORT_ADD | 1u << CONSOLE_PORT | 1u << RESIZE | 1u << PORT_OPEN;

    console->is_multiport = nv_read_bool(reader);
    for (uint32_t i = 0; i < console->port_count; i++) {
        struct nv_console_port *port = &console->ports[i];
        bool has_name = port->name && port->name[0];

        port->is_ready = nv_read_bool(reader);
        port->is_open = nv_read_bool(reader);
        port->pending = nv_read_u32(reader) & (known | (has_name ? 1u << PORT_NAME : 0));
        if (port->is_ready && !nv_console_is_terminal(port))
            port->pending |= 1u << PORT_OPEN;
    }
}
