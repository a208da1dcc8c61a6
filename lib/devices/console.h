/* SPDX-License-Identifier: Apache-2.0 */
/* Owns what the console device's files share: its ports and its state. */
#ifndef NV_DEVICES_CONSOLE_H
#define NV_DEVICES_CONSOLE_H

#include "devices/device.h"
#include "host/file.h"
#include "virtio/limit.h"

/* Virtqueues (virtio 1.2, 5.3.2); those of port 1 and on are behind the control queues. */
enum {
    NV_CONSOLE_RECEIVE_0,
    NV_CONSOLE_TRANSMIT_0,
    NV_CONSOLE_CONTROL_RECEIVE,
    NV_CONSOLE_CONTROL_TRANSMIT,
    NV_CONSOLE_PLAIN_QUEUES = NV_CONSOLE_CONTROL_RECEIVE /* without F_MULTIPORT */
};

/* Feature bits (5.3.3). */
#define NV_CONSOLE_F_SIZE (1ull << 0)
#define NV_CONSOLE_F_MULTIPORT (1ull << 1)
#define NV_CONSOLE_F_EMERG_WRITE (1ull << 2)

enum {
    NV_CONSOLE_PORTS_MAX = 8, /* each has rows of properties of its own */
    NV_CONSOLE_NAME_MAX = 64  /* bytes of a port's name */
};

struct nv_console;

/* One port: a stream each way between two queues of the guest and descriptors of the caller. */
struct nv_console_port {
    /* Properties. */
    int input_fd;
    int output_fd;
    char *name;

    struct nv_console *console;
    uint32_t number;
    struct nv_stream input;
    struct nv_stream output;
    struct nv_source input_source; /* in the loop only while there is something to wait for */
    struct nv_source output_source;
    bool input_has_ended;
    bool has_chain; /* the transmit queue's chain is held, with bytes still to be written */
    bool is_lost;   /* the reader of a console port took nothing for too long */
    uint64_t stuck_since_ns; /* the reader has taken nothing since; 0: it takes */

    /* What the guest said by control messages, and what it is to be told: 1 << event. */
    bool is_ready;
    bool is_open;
    uint32_t pending;
};

struct nv_console {
    struct nv_virtio virtio;
    /* Properties. */
    uint64_t port_count;
    uint64_t console_count;
    uint64_t cols;
    uint64_t rows;
    uint64_t rows_first;
    uint64_t patience_ms;
    uint64_t sent;      /* bytes, by the guest */
    uint64_t received;  /* bytes, by the guest */
    uint64_t dropped;   /* bytes of output */
    uint64_t malformed; /* control messages */
    struct nv_limit limit;

    bool is_multiport; /* negotiated */
    uint64_t unpaid;   /* bytes written that the limit has not counted yet */
    struct nv_timer timer;
    uint64_t wake_ns; /* when the timer fires; 0: it is not set */
    struct nv_console_port ports[NV_CONSOLE_PORTS_MAX];
};

static inline uint32_t nv_console_receive_queue(const struct nv_console_port *port)
{
    return port->number == 0 ? NV_CONSOLE_RECEIVE_0 : 2 + 2 * port->number;
}

static inline uint32_t nv_console_transmit_queue(const struct nv_console_port *port)
{
    return nv_console_receive_queue(port) + 1;
}

/* A port that the guest uses as a terminal. Its driver waits with a lock held: never for long. */
bool nv_console_is_terminal(const struct nv_console_port *port);

/* --- console_port.c: the streams --- */

/* Opens the streams of a port on duplicates of its descriptors; close undoes it. */
int nv_console_open_port(struct nv_console_port *port, struct nestvirt_error **ret_error);
void nv_console_close_port(struct nv_console_port *port);

/* Serve one of a port's queues. */
void nv_console_serve_input(struct nv_console_port *port);
void nv_console_serve_output(struct nv_console_port *port);

/* Gives up the chain that is held, if any. */
void nv_console_drop_output(struct nv_console_port *port);

/* One byte past all queues (5.3.4, emerg_wr): written at once or dropped. */
void nv_console_write_emergency(struct nv_console_port *port, uint8_t byte);

/* --- console_control.c: the control messages --- */

/* Serve the control queues. */
void nv_console_serve_control_receive(struct nv_console *console);
void nv_console_serve_control_transmit(struct nv_console *console);

/* The host's side of a port, or the size of the terminal, is another now. */
void nv_console_tell_open(struct nv_console_port *port);
void nv_console_tell_size(struct nv_console *console);

/* The guest's side of all ports as it stands, and put back to that. */
void nv_console_save(const struct nv_console *console, struct nv_writer *writer);
void nv_console_load(struct nv_console *console, struct nv_reader *reader);

/* The guest's side of all ports as after a reset. */
void nv_console_forget(struct nv_console *console);

#endif
