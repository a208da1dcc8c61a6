/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the serial port: a 16550A (National Semiconductor PC16550D) on the caller's descriptors. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "core/cleanup.h"
#include "core/util.h"
#include "devices/device.h"
#include "host/file.h"
#include "memory/layout.h"

/* Register offsets. */
enum { DATA, IER, IIR_FCR, LCR, MCR, LSR, MSR, SCRATCH, SERIAL_PORTS };

enum { IER_RECEIVED = 1 << 0, IER_TRANSMIT_EMPTY = 1 << 1, IER_BITS = 0x0f };
enum { IIR_NONE = 1, IIR_TRANSMIT_EMPTY = 2, IIR_RECEIVED = 4, IIR_FIFO_ON = 0xc0 };
enum { FCR_ENABLE = 1 << 0, FCR_CLEAR_RECEIVE = 1 << 1 };
enum { LCR_DIVISOR = 1 << 7 };
enum { MCR_OUT2 = 1 << 3, MCR_LOOP = 1 << 4, MCR_BITS = 0x1f };
enum { LSR_RECEIVED = 1 << 0, LSR_TRANSMIT_EMPTY = 1 << 5, LSR_IDLE = 1 << 6 };
enum { MSR_READY = 0xb0 }; /* carrier, data set ready, clear to send */

enum {
    OUTPUT_SIZE = 65536, /* bytes held for a slow reader before the guest has to wait */
    INPUT_SIZE = 256     /* bytes taken from the input before the guest has read them */
};

/* How long the guest waits for a reader that takes nothing before its output is dropped. */
static const uint64_t PATIENCE_NS = 1000000000ull;

struct serial_state {
    /* Properties. */
    uint64_t port;
    uint64_t wanted_pin;
    int output_fd;
    int input_fd;
    uint64_t dropped; /* bytes */

    pthread_mutex_t lock; /* everything below; vCPUs and the loop come here */
    bool is_wired;
    bool is_ending; /* nothing is watched any more */
    struct nv_irq *irq;
    struct nestvirt_loop *loop;
    uint8_t pin;
    bool has_pin;
    struct nv_stream output;
    struct nv_stream input;
    struct nv_source output_source;
    struct nv_source input_source;
    bool input_is_file; /* cannot be polled: read whenever the guest has room */
    bool input_has_ended;
    uint8_t *out; /* OUTPUT_SIZE bytes, a ring */
    uint32_t out_start;
    uint32_t out_length;
    uint64_t full_since_ns; /* 0: there is room */
    uint8_t in[INPUT_SIZE];
    uint32_t in_start;
    uint32_t in_length;
    uint8_t ier, fcr, lcr, mcr, scratch;
    uint16_t divisor;
    bool transmit_pending; /* the transmitter-empty interrupt */
};

static const struct nv_property serial_properties[] = {
    { .name = "output",
      .type = NESTVIRT_PROPERTY_FD,
      .offset = offsetof(struct serial_state, output_fd),
      .help = "where the guest's output goes; without it, it is discarded" },
    { .name = "input",
      .type = NESTVIRT_PROPERTY_FD,
      .offset = offsetof(struct serial_state, input_fd),
      .help = "where the guest's input comes from" },
    { .name = "port",
      .type = NESTVIRT_PROPERTY_U64,
      .offset = offsetof(struct serial_state, port),
      .initial = NV_PORT_SERIAL,
      .max = 0x10000 - SERIAL_PORTS,
      .help = "first of its 8 ports; COM1 to COM4 are 0x3f8, 0x2f8, 0x3e8, 0x2e8" },
    { .name = "irq",
      .type = NESTVIRT_PROPERTY_U64,
      .offset = offsetof(struct serial_state, wanted_pin),
      .initial = 4,
      .max = NV_IOAPIC_PINS - 1,
      .help = "its interrupt pin, 0 to 23; COM1 and COM3 use 4, COM2 and COM4 use 3" },
    NV_COUNTER_ROW(struct serial_state, "dropped", dropped,
                   "bytes of output dropped because the reader was too slow"),
};

static bool can_send(const struct serial_state *s)
{
    return s->out_length < OUTPUT_SIZE || nv_now_ns() - s->full_since_ns > PATIENCE_NS;
}

/* The interrupt that is pending, by priority; IIR_NONE if none. */
static uint8_t pending(const struct serial_state *s)
{
    if ((s->ier & IER_RECEIVED) && s->in_length > 0)
        return IIR_RECEIVED;
    if ((s->ier & IER_TRANSMIT_EMPTY) && s->transmit_pending)
        return IIR_TRANSMIT_EMPTY;
    return IIR_NONE;
}

/* The line follows what is pending, while OUT2 connects it as on a PC. */
static void update_line(struct serial_state *s)
{
    if (s->has_pin)
        nv_irq_set(s->irq, s->pin, (s->mcr & MCR_OUT2) && pending(s) != IIR_NONE);
}

/* An edge for each event: the line goes down first. */
static void raise_transmit_empty(struct serial_state *s)
{
    s->transmit_pending = false;
    update_line(s);
    s->transmit_pending = true;
    update_line(s);
}

/*
 * A source is in the loop only while something is wanted from it: a descriptor whose other side is
 * gone reports that for ever. Without a loop's help (no memory) the next guest access tries again.
 */
static void watch(struct serial_state *s, struct nv_source *source, uint32_t events, bool on)
{
    if (s->is_ending)
        return;
    if (on && !source->place)
        nv_loop_add(s->loop, source, events);
    else if (!on && source->place)
        nv_loop_disable(s->loop, source);
}

/* Writes what can be written now. Drops everything when the other side is gone. */
static void flush(struct serial_state *s)
{
    bool was_full = s->out_length == OUTPUT_SIZE;

    nv_count(&s->dropped, nv_stream_take_lost(&s->output));
    while (s->out_length > 0) {
        uint32_t run = NV_MIN(s->out_length, OUTPUT_SIZE - s->out_start);
        ssize_t done = nv_stream_write(&s->output, s->out + s->out_start, run);

        if (done == -EAGAIN)
            break;
        if (done <= 0) {
            nv_count(&s->dropped, s->out_length);
            s->out_start = s->out_length = 0;
            break;
        }
        s->out_start = (s->out_start + (uint32_t)done) % OUTPUT_SIZE;
        s->out_length -= (uint32_t)done;
    }
    if (was_full && s->out_length < OUTPUT_SIZE) {
        s->full_since_ns = 0;
        raise_transmit_empty(s);
    }
    watch(s, &s->output_source, EPOLLOUT, s->out_length > 0);
}

static void transmit(struct serial_state *s, uint8_t byte)
{
    if (s->output.fd < 0)
        return;
    if (s->out_length == OUTPUT_SIZE)
        flush(s);
    if (s->out_length == OUTPUT_SIZE) {
        nv_count(&s->dropped, 1);
        return;
    }
    s->out[(s->out_start + s->out_length++) % OUTPUT_SIZE] = byte;
    /* Behind bytes that wait, it waits too: the loop writes them when there is room. */
    if (!s->output_source.place)
        flush(s);
    if (s->out_length == OUTPUT_SIZE && s->full_since_ns == 0)
        s->full_since_ns = nv_now_ns();
}

static void receive_bytes(struct serial_state *s, const uint8_t *bytes, uint32_t length)
{
    for (uint32_t i = 0; i < length; i++)
        s->in[(s->in_start + s->in_length++) % INPUT_SIZE] = bytes[i];
}

/* Takes input into the free room. The line rises if it was the first byte. */
static void fill_input(struct serial_state *s)
{
    uint8_t bytes[INPUT_SIZE];
    uint32_t room = INPUT_SIZE - s->in_length;
    ssize_t done = -EAGAIN;

    if (s->input.fd < 0)
        return;
    if (room > 0 && !s->input_has_ended)
        done = nv_stream_read(&s->input, bytes, room);
    if (done > 0)
        receive_bytes(s, bytes, (uint32_t)done);
    if (done == 0 || (done < 0 && done != -EAGAIN))
        s->input_has_ended = true;
    /* Watched only while there is room, so that the sender is held back. */
    if (!s->input_is_file)
        watch(s, &s->input_source, EPOLLIN, !s->input_has_ended && s->in_length < INPUT_SIZE);
    update_line(s);
}

static void on_output(void *user_data, uint32_t events)
{
    struct serial_state *s = user_data;

    NV_GUARD(&s->lock);
    flush(s);
}

static void on_input(void *user_data, uint32_t events)
{
    struct serial_state *s = user_data;

    NV_GUARD(&s->lock);
    fill_input(s);
}

static uint8_t read_data(struct serial_state *s)
{
    uint8_t byte;

    if (s->in_length == 0)
        return 0;
    if (s->in_length == 1 && s->input_is_file && !s->input_has_ended)
        fill_input(s);
    byte = s->in[s->in_start];
    s->in_start = (s->in_start + 1) % INPUT_SIZE;
    s->in_length--;
    if (!s->input_has_ended && s->in_length == INPUT_SIZE / 2)
        fill_input(s);
    update_line(s);
    return byte;
}

static uint8_t read_iir(struct serial_state *s)
{
    uint8_t which = pending(s);

    if (which == IIR_TRANSMIT_EMPTY) {
        s->transmit_pending = false;
        update_line(s);
    }
    return which | (s->fcr & FCR_ENABLE ? IIR_FIFO_ON : 0);
}

static uint8_t read_msr(const struct serial_state *s)
{
    if (!(s->mcr & MCR_LOOP))
        return MSR_READY;
    /* Loop-back: the modem control outputs are the inputs (PC16550D, 8.6.7). */
    return (uint8_t)((s->mcr & 0x0c) << 4 | (s->mcr & 0x02) << 3 | (s->mcr & 0x01) << 5);
}

static uint8_t read_lsr(const struct serial_state *s)
{
    return (s->in_length > 0 ? LSR_RECEIVED : 0) |
           (can_send(s) ? LSR_TRANSMIT_EMPTY | LSR_IDLE : 0);
}

static uint8_t read_register(struct serial_state *s, uint64_t offset)
{
    bool divisor = s->lcr & LCR_DIVISOR;

    switch (offset) {
    case DATA:
        return divisor ? (uint8_t)s->divisor : read_data(s);
    case IER:
        return divisor ? (uint8_t)(s->divisor >> 8) : s->ier;
    case IIR_FCR:
        return read_iir(s);
    case LCR:
        return s->lcr;
    case MCR:
        return s->mcr;
    case LSR:
        return read_lsr(s);
    case MSR:
        return read_msr(s);
    default:
        return s->scratch;
    }
}

static void write_data(struct serial_state *s, uint8_t value)
{
    if (s->mcr & MCR_LOOP) {
        if (s->in_length < INPUT_SIZE)
            receive_bytes(s, &value, 1);
    } else {
        transmit(s, value);
    }
    if (can_send(s))
        raise_transmit_empty(s);
    else
        s->transmit_pending = false;
    update_line(s);
}

static void write_ier(struct serial_state *s, uint8_t value)
{
    bool turns_on = (value & IER_TRANSMIT_EMPTY) && !(s->ier & IER_TRANSMIT_EMPTY);

    s->ier = value & IER_BITS;
    if (turns_on && can_send(s))
        raise_transmit_empty(s);
    update_line(s);
}

static void write_register(struct serial_state *s, uint64_t offset, uint8_t value)
{
    bool divisor = s->lcr & LCR_DIVISOR;

    switch (offset) {
    case DATA:
        if (divisor)
            s->divisor = (s->divisor & 0xff00) | value;
        else
            write_data(s, value);
        break;
    case IER:
        if (divisor)
            s->divisor = (uint16_t)((s->divisor & 0x00ff) | value << 8);
        else
            write_ier(s, value);
        break;
    case IIR_FCR:
        s->fcr = value;
        if (value & FCR_CLEAR_RECEIVE) {
            s->in_length = 0;
            fill_input(s);
        }
        break;
    case LCR:
        s->lcr = value;
        break;
    case MCR:
        s->mcr = value & MCR_BITS;
        update_line(s);
        break;
    case SCRATCH:
        s->scratch = value;
        break;
    default: /* LSR and MSR are read-only */
        break;
    }
}

/* A wider access reaches the register it names alone; the other bytes read as zero. */
static int32_t serial_access(void *user_data, struct nestvirt_access *access)
{
    struct serial_state *s = user_data;

    NV_GUARD(&s->lock);
    if (access->is_write)
        write_register(s, access->offset, access->data[0]);
    else
        access->data[0] = read_register(s, access->offset);
    return NESTVIRT_ACTION_RESUME;
}

static int wire_output(struct serial_state *s, struct nestvirt_error **ret_error)
{
    int copy;

    if (s->output_fd < 0)
        return 0;
    copy = nv_fd_dup(s->output_fd);
    if (copy < 0)
        return nv_fail_sys(ret_error, -copy, "output", "dup", "raise the limit on open files");
    copy = nv_stream_init(&s->output, copy, true);
    if (copy < 0)
        return nv_fail_sys(ret_error, -copy, "output", "pthread_create",
                           nv_fd_hint(-copy, "raise the limit on processes and threads"));
    s->out = malloc(OUTPUT_SIZE);
    if (!s->out)
        return nv_fail_sys(ret_error, ENOMEM, "output", "malloc", "free memory in this process");
    s->output_source = (struct nv_source){ .fd = s->output.fd, .fn = on_output, .user_data = s };
    return 0;
}

static int wire_input(struct serial_state *s, struct nestvirt_error **ret_error)
{
    int copy;
    int r;

    if (s->input_fd < 0)
        return 0;
    copy = nv_fd_dup(s->input_fd);
    if (copy < 0)
        return nv_fail_sys(ret_error, -copy, "input", "dup", "raise the limit on open files");
    nv_stream_init(&s->input, copy, false);
    s->input_source = (struct nv_source){ .fd = s->input.fd, .fn = on_input, .user_data = s };
    r = nv_loop_add(s->loop, &s->input_source, 0);
    if (r < 0 && r != -EPERM)
        return nv_fail_sys(ret_error, -r, "input", "epoll_ctl", "use a pipe, socket or file");
    nv_loop_disable(s->loop, &s->input_source);
    s->input_is_file = r == -EPERM;
    s->input_has_ended = false;
    return 0;
}

static int serial_claim(struct nestvirt_device *device, const struct nv_device_env *env,
                        struct nestvirt_error **ret_error)
{
    struct serial_state *s = device->state;
    int r;

    pthread_mutex_init(&s->lock, NULL);
    s->is_wired = true;
    s->is_ending = false;
    s->output.fd = s->input.fd = -1;
    s->irq = env->irq;
    r = nv_device_claim_port(env, s->port, SERIAL_PORTS, serial_access, s, ret_error);
    if (r < 0 || env->irq->chip == NESTVIRT_CHIP_NONE)
        return r;
    r = nv_irq_claim(env->irq, (uint32_t)s->wanted_pin, 0, true, ret_error);
    if (r < 0)
        return r;
    s->pin = (uint8_t)r;
    s->has_pin = true;
    return 0;
}

static int serial_wire(struct nestvirt_device *device, const struct nv_device_env *env,
                       struct nestvirt_error **ret_error)
{
    struct serial_state *s = device->state;
    int r;

    s->loop = env->loop;
    r = wire_output(s, ret_error);
    return r < 0 ? r : wire_input(s, ret_error);
}

static void end_watching(struct serial_state *s)
{
    NV_GUARD(&s->lock);
    s->is_ending = true;
}

/* A callback that is under way would add its source again. */
static void leave_loop(struct serial_state *s)
{
    if (!s->loop)
        return;
    end_watching(s);
    nv_loop_remove(s->loop, &s->output_source);
    nv_loop_remove(s->loop, &s->input_source);
}

static void serial_unbuild(struct nestvirt_device *device)
{
    struct serial_state *s = device->state;

    if (!s->is_wired)
        return;
    leave_loop(s);
    /* What a slow reader has not taken by now. A file takes what it was given. */
    nv_count(&s->dropped, s->out_length + nv_stream_close(&s->output));
    nv_stream_close(&s->input);
    free(s->out);
    s->out = NULL;
    s->loop = NULL;
    pthread_mutex_destroy(&s->lock);
    s->is_wired = s->has_pin = false;
    s->out_start = s->out_length = 0;
}

static void serial_start(struct nestvirt_device *device)
{
    struct serial_state *s = device->state;

    NV_GUARD(&s->lock);
    s->ier = s->fcr = s->lcr = s->mcr = s->scratch = 0;
    s->divisor = 12; /* 9600 baud, as firmware would leave it */
    s->in_length = 0;
    s->transmit_pending = false;
    s->full_since_ns = 0;
    fill_input(s);
}

/* True if there is more. */
static bool flush_last(struct serial_state *s)
{
    NV_GUARD(&s->lock);
    flush(s);
    return s->out_length > 0;
}

/* What the guest wrote last comes out; in a file it is there when the VM has stopped. */
static void serial_stop(struct nestvirt_device *device, uint64_t deadline_ns)
{
    struct serial_state *s = device->state;
    bool has_more;

    do {
        has_more = flush_last(s);
    } while (nv_stream_drain(&s->output, deadline_ns) && has_more);
    flush_last(s); /* counts what the file did not take */
}

/* The one that writes to a file, if the output is one. */
static bool serial_thread_at(const struct nestvirt_device *device, uint32_t index,
                             pthread_t *ret_thread)
{
    const struct serial_state *s = device->state;

    return index == 0 && nv_stream_get_thread(&s->output, ret_thread);
}

static void serial_describe(const struct nestvirt_device *device, struct nv_device_place *place)
{
    const struct serial_state *s = device->state;

    place->is_serial = s->has_pin;
    place->port = (uint16_t)s->port;
    place->pin = s->pin;
}

static void serial_send(struct nestvirt_device *device, nv_errand_fn *fn, void *user_data,
                        struct nv_errand_result *result)
{
    struct serial_state *s = device->state;

    nv_stream_send(&s->output, fn, user_data, result);
}

const struct nv_device_class nv_device_serial = {
    .name = "serial",
    .help = "a 16550A serial port on descriptors of the caller",
    .state_size = sizeof(struct serial_state),
    .needs_loop = true,
    .properties = serial_properties,
    .property_count = NV_ARRAY_SIZE(serial_properties),
    .claim = serial_claim,
    .wire = serial_wire,
    .unbuild = serial_unbuild,
    .start = serial_start,
    .stop = serial_stop,
    .send = serial_send,
    .thread_at = serial_thread_at,
    .describe = serial_describe,
};
