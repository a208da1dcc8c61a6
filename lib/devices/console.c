/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the console device (virtio 1.2, 5.3): its properties, configuration and life. */
#include "devices/console.h"

#include <errno.h>
#include <string.h>

#include "core/error.h"
#include "core/util.h"

/* Configuration (5.3.4). */
enum { CONFIG_COLS = 0, CONFIG_ROWS = 2, CONFIG_PORTS = 4, CONFIG_EMERGENCY = 8, CONFIG_END = 12 };

/* The descriptors and the name of one port; port 0's have no number behind them. */
#define PORT_ROWS(NUMBER, SUFFIX)                                                    \
    { .name = "input" SUFFIX,                                                        \
      .type = NESTVIRT_PROPERTY_FD,                                                  \
      .flags = NESTVIRT_PROPERTY_IDENTITY,                                           \
      .offset = offsetof(struct nv_console, ports[NUMBER].input_fd),                 \
      .help = "where input of port " #NUMBER " comes from" },                        \
        { .name = "output" SUFFIX,                                                   \
          .type = NESTVIRT_PROPERTY_FD,                                              \
          .flags = NESTVIRT_PROPERTY_IDENTITY,                                       \
          .offset = offsetof(struct nv_console, ports[NUMBER].output_fd),            \
          .help = "where output of port " #NUMBER " goes; without it, nowhere" },    \
    {                                                                                \
        .name = "name" SUFFIX, .type = NESTVIRT_PROPERTY_STRING,                     \
        .offset = offsetof(struct nv_console, ports[NUMBER].name),                   \
        .help = "name of port " #NUMBER ", in a Linux guest under /dev/virtio-ports" \
    }

static const struct nv_property console_properties[] = {
    NV_VIRTIO_PROPERTIES(struct nv_console),
    PORT_ROWS(0, ""),
    { .name = "ports",
      .type = NESTVIRT_PROPERTY_U64,
      .offset = offsetof(struct nv_console, port_count),
      .initial = 1,
      .min = 1,
      .max = NV_CONSOLE_PORTS_MAX,
      .help = "how many ports it has, 1 to 8; a port is two streams of bytes" },
    { .name = "consoles",
      .type = NESTVIRT_PROPERTY_U64,
      .offset = offsetof(struct nv_console, console_count),
      .initial = 1,
      .max = NV_CONSOLE_PORTS_MAX,
      .help = "how many of the ports, from port 0 on, are terminals (hvc0, ...)" },
    { .name = "cols",
      .type = NESTVIRT_PROPERTY_U64,
      .flags = NESTVIRT_PROPERTY_LIVE,
      .offset = offsetof(struct nv_console, cols),
      .max = UINT16_MAX,
      .help = "columns of the terminal on port 0; 0: unknown" },
    { .name = "rows",
      .type = NESTVIRT_PROPERTY_U64,
      .flags = NESTVIRT_PROPERTY_LIVE,
      .offset = offsetof(struct nv_console, rows),
      .max = UINT16_MAX,
      .help = "rows of the terminal on port 0; 0: unknown" },
    { .name = "rows_first",
      .type = NESTVIRT_PROPERTY_BOOL,
      .offset = offsetof(struct nv_console, rows_first),
      .max = 1,
      .help = "1: with several ports, tell a size as rows and columns, as Linux before 2025 reads "
              "it; 0: as the specification has it" },
    { .name = "patience_ms",
      .type = NESTVIRT_PROPERTY_U64,
      .flags = NESTVIRT_PROPERTY_LIVE,
      .offset = offsetof(struct nv_console, patience_ms),
      .initial = 1000,
      .max = 3600000,
      .help = "milliseconds that a terminal waits for a reader that takes nothing; then output is "
              "dropped until it takes again" },
    NV_LIMIT_PROPERTIES(struct nv_console, limit, "tx", "of output of all ports"),
    NV_COUNTER_ROW(struct nv_console, "sent", sent, "bytes of output written for the guest"),
    NV_COUNTER_ROW(struct nv_console, "received", received, "bytes of input given to the guest"),
    NV_COUNTER_ROW(struct nv_console, "dropped", dropped,
                   "bytes of output dropped because the reader was gone or too slow"),
    NV_COUNTER_ROW(struct nv_console, "malformed", malformed,
                   "control messages that meant nothing, or had no room"),
    PORT_ROWS(1, "1"),
    PORT_ROWS(2, "2"),
    PORT_ROWS(3, "3"),
    PORT_ROWS(4, "4"),
    PORT_ROWS(5, "5"),
    PORT_ROWS(6, "6"),
    PORT_ROWS(7, "7"),
};

static bool has_name(const struct nv_console_port *port)
{
    return port->name && port->name[0];
}

/* One terminal and nothing else needs no control messages, and all drivers know it. */
static bool is_plain(const struct nv_console *s)
{
    return s->port_count == 1 && s->console_count == 1 && !has_name(&s->ports[0]);
}

bool nv_console_is_terminal(const struct nv_console_port *port)
{
    return port->number < port->console->console_count || !port->console->is_multiport;
}

static void put_size(struct nv_console *s)
{
    nv_put_le16(s->virtio.config + CONFIG_COLS,
                (uint16_t)__atomic_load_n(&s->cols, __ATOMIC_RELAXED));
    nv_put_le16(s->virtio.config + CONFIG_ROWS,
                (uint16_t)__atomic_load_n(&s->rows, __ATOMIC_RELAXED));
}

static void console_serve(struct nv_virtio *v, uint32_t queue)
{
    struct nv_console *s = (struct nv_console *)v;
    uint32_t port = queue < NV_CONSOLE_PLAIN_QUEUES ? 0 : queue / 2 - 1;

    if (!s->is_multiport && queue >= NV_CONSOLE_PLAIN_QUEUES)
        return;
    if (queue == NV_CONSOLE_CONTROL_RECEIVE)
        nv_console_serve_control_receive(s);
    else if (queue == NV_CONSOLE_CONTROL_TRANSMIT)
        nv_console_serve_control_transmit(s);
    else if (queue % 2 == 0)
        nv_console_serve_input(&s->ports[port]);
    else
        nv_console_serve_output(&s->ports[port]);
}

static int console_activate(struct nv_virtio *v)
{
    struct nv_console *s = (struct nv_console *)v;

    s->is_multiport = v->features & NV_CONSOLE_F_MULTIPORT;
    return 0;
}

static void console_drop(struct nv_virtio *v, uint32_t queue)
{
    struct nv_console *s = (struct nv_console *)v;

    for (uint32_t i = 0; i < s->port_count; i++)
        if (queue == nv_console_transmit_queue(&s->ports[i]))
            nv_console_drop_output(&s->ports[i]);
}

static void console_reset(struct nv_virtio *v)
{
    nv_console_forget((struct nv_console *)v);
}

static void console_write_config(struct nv_virtio *v, uint32_t offset, const uint8_t *bytes,
                                 uint32_t length)
{
    struct nv_console *s = (struct nv_console *)v;

    if (offset == CONFIG_EMERGENCY)
        nv_console_write_emergency(&s->ports[0], bytes[0]);
    else
        nv_virtio_ignore(v);
}

static const struct nv_virtio_class console_virtio = {
    .id = NV_VIRTIO_ID_CONSOLE,
    .serve = console_serve,
    .activate = console_activate,
    .drop = console_drop,
    .reset = console_reset,
    .write_config = console_write_config,
};

/* For output and input that wait for time: the limit, a reader's patience, memory for the loop. */
static void on_timer(void *user_data)
{
    struct nv_console *s = user_data;

    NV_VIRTIO_GUARD(&s->virtio);
    s->wake_ns = 0;
    for (uint32_t i = 0; i < s->port_count; i++) {
        nv_virtio_serve(&s->virtio, nv_console_receive_queue(&s->ports[i]));
        nv_virtio_serve(&s->virtio, nv_console_transmit_queue(&s->ports[i]));
    }
}

static int check_name(const struct nv_console *s, uint32_t number,
                      struct nestvirt_error **ret_error)
{
    const char *name = s->ports[number].name;
    const struct nv_text object = nv_text("name of port %u", number);

    if (strlen(name) > NV_CONSOLE_NAME_MAX)
        return nv_fail(ret_error, -EINVAL, object.s, "shorten it", "is longer than %d bytes",
                       NV_CONSOLE_NAME_MAX);
    for (const char *at = name; *at; at++)
        if ((unsigned char)*at <= ' ' || *at == '/' || *at == 0x7f)
            return nv_fail(ret_error, -EINVAL, object.s, "use letters, digits, '.', '-' and '_'",
                           "holds a slash, a space or a control character");
    for (uint32_t i = 0; i < number; i++)
        if (s->ports[i].name && strcmp(s->ports[i].name, name) == 0)
            return nv_fail(ret_error, -EEXIST, object.s, "give each port another name",
                           "is the name of port %u", i);
    return 0;
}

static int console_claim(struct nestvirt_device *device, const struct nv_device_env *env,
                         struct nestvirt_error **ret_error)
{
    struct nv_console *s = device->state;

    for (uint32_t i = 0; i < NV_CONSOLE_PORTS_MAX; i++) {
        struct nv_console_port *port = &s->ports[i];
        int r;

        port->console = s;
        port->number = i;
        port->input.fd = port->output.fd = -1;
        if (i >= s->port_count && (port->input_fd >= 0 || port->output_fd >= 0 || has_name(port)))
            return nv_fail(ret_error, -EINVAL, "property ports", nv_text("use %u", i + 1).s,
                           "%llu, but port %u has an input, output or name",
                           (unsigned long long)s->port_count, i);
        r = has_name(port) ? check_name(s, i, ret_error) : 0;
        if (r < 0)
            return r;
    }
    if (s->console_count > s->port_count)
        return nv_fail(ret_error, -EINVAL, "property consoles", "raise ports, or lower it",
                       "%llu, but there are only %llu ports", (unsigned long long)s->console_count,
                       (unsigned long long)s->port_count);
    return 0;
}

static int console_wire(struct nestvirt_device *device, const struct nv_device_env *env,
                        struct nestvirt_error **ret_error)
{
    struct nv_console *s = device->state;
    struct nv_virtio *v = &s->virtio;
    int r = 0;

    v->offered = NV_CONSOLE_F_SIZE | NV_CONSOLE_F_EMERG_WRITE;
    v->queue_count = NV_CONSOLE_PLAIN_QUEUES;
    if (!is_plain(s)) {
        v->offered |= NV_CONSOLE_F_MULTIPORT;
        v->queue_count = 2 * ((uint32_t)s->port_count + 1);
    }
    v->config_length = CONFIG_END;
    put_size(s);
    nv_put_le32(v->config + CONFIG_PORTS, (uint32_t)s->port_count);
    s->timer = (struct nv_timer){ .fn = on_timer, .user_data = s };
    s->wake_ns = s->unpaid = 0;
    nv_limit_reset(&s->limit);
    nv_console_forget(s);
    for (uint32_t i = 0; i < s->port_count && r >= 0; i++)
        r = nv_console_open_port(&s->ports[i], ret_error);
    return r;
}

static void console_unbuild(struct nestvirt_device *device)
{
    struct nv_console *s = device->state;

    if (!s->virtio.is_claimed)
        return;
    if (s->virtio.loop)
        nv_loop_clear_timer(s->virtio.loop, &s->timer);
    for (uint32_t i = 0; i < NV_CONSOLE_PORTS_MAX; i++)
        if (s->ports[i].console)
            nv_console_close_port(&s->ports[i]);
}

static void console_start(struct nestvirt_device *device)
{
    struct nv_console *s = device->state;

    NV_VIRTIO_GUARD(&s->virtio);
    nv_console_forget(s);
}

static int console_save(struct nestvirt_device *device, struct nv_writer *writer,
                        struct nestvirt_error **ret_error)
{
    nv_console_save(device->state, writer);
    return 0;
}

static int console_load(struct nestvirt_device *device, struct nv_reader *reader,
                        struct nestvirt_error **ret_error)
{
    nv_console_load(device->state, reader);
    return 0;
}

/* True if there is more. */
static bool serve_last(struct nv_console_port *port)
{
    struct nv_virtio *v = &port->console->virtio;

    NV_VIRTIO_GUARD(v);
    nv_virtio_serve_last(v, nv_console_transmit_queue(port));
    return port->has_chain;
}

static void drop_last(struct nv_console_port *port)
{
    NV_VIRTIO_GUARD(&port->console->virtio);
    nv_count(&port->console->dropped, nv_stream_take_lost(&port->output));
    nv_console_drop_output(port);
}

/*
 * What the guest sent before it ended, and no pass has seen yet, comes out as far as it may; in a
 * file it is there when the VM has stopped. The lock is free while a file is waited for: the loop,
 * which has others to serve, may want it.
 */
static void console_stop(struct nestvirt_device *device, uint64_t deadline_ns)
{
    struct nv_console *s = device->state;

    for (uint32_t i = 0; i < s->port_count; i++) {
        struct nv_console_port *port = &s->ports[i];
        bool has_more;

        do {
            has_more = serve_last(port);
        } while (nv_stream_drain(&port->output, deadline_ns) && has_more &&
                 nv_now_ns() < deadline_ns);
        drop_last(port);
    }
}

static int console_changed(struct nestvirt_device *device, const struct nv_property *row,
                           struct nestvirt_error **ret_error)
{
    struct nv_console *s = device->state;
    struct nv_virtio *v = &s->virtio;

    NV_VIRTIO_GUARD(v);
    if (row->offset == offsetof(struct nv_console, cols) ||
        row->offset == offsetof(struct nv_console, rows)) {
        put_size(s);
        nv_virtio_config_changed(v);
        nv_console_tell_size(s);
        return 0;
    }
    /* Output that waits may go by the new limit or the new patience. */
    for (uint32_t i = 0; i < s->port_count; i++)
        nv_virtio_serve_later(v, nv_console_transmit_queue(&s->ports[i]));
    return 0;
}

/* Those that write to files, of the ports whose output is one. */
static bool console_thread_at(const struct nestvirt_device *device, uint32_t index,
                              pthread_t *ret_thread)
{
    const struct nv_console *s = device->state;

    for (uint32_t i = 0; i < s->port_count; i++)
        if (nv_stream_get_thread(&s->ports[i].output, ret_thread) && index-- == 0)
            return true;
    return false;
}

static void console_send(struct nestvirt_device *device, nv_errand_fn *fn, void *user_data,
                         struct nv_errand_result *result)
{
    struct nv_console *console = device->state;

    for (uint32_t i = 0; i < NV_CONSOLE_PORTS_MAX; i++)
        nv_stream_send(&console->ports[i].output, fn, user_data, result);
}

const struct nv_device_class nv_device_console = {
    .name = "console",
    .help = "virtio console: terminals and named byte streams on descriptors of the caller",
    .virtio = &console_virtio,
    .state_size = sizeof(struct nv_console),
    .properties = console_properties,
    .property_count = NV_ARRAY_SIZE(console_properties),
    .claim = console_claim,
    .wire = console_wire,
    .unbuild = console_unbuild,
    .start = console_start,
    .save = console_save,
    .load = console_load,
    .stop = console_stop,
    .send = console_send,
    .changed = console_changed,
    .thread_at = console_thread_at,
};
