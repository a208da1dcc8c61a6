/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the registers of the serial port, and its interrupt. */
#include "devices/serial.h"

#include "core/cleanup.h"
#include "core/util.h"

/* Register offsets. */
enum { DATA, IER, IIR_FCR, LCR, MCR, LSR, MSR, SCRATCH };

enum { IER_RECEIVED = 1 << 0, IER_TRANSMIT_EMPTY = 1 << 1, IER_BITS = 0x0f };
enum { IIR_NONE = 1, IIR_TRANSMIT_EMPTY = 2, IIR_RECEIVED = 4, IIR_FIFO_ON = 0xc0 };
enum { FCR_ENABLE = 1 << 0, FCR_CLEAR_RECEIVE = 1 << 1 };
enum { LCR_DIVISOR = 1 << 7 };
enum { MCR_OUT2 = 1 << 3, MCR_LOOP = 1 << 4, MCR_BITS = 0x1f };
enum { LSR_RECEIVED = 1 << 0, LSR_TRANSMIT_EMPTY = 1 << 5, LSR_IDLE = 1 << 6 };
enum { MSR_READY = 0xb0 }; /* carrier, data set ready, clear to send */

/* The interrupt that is pending, by priority; IIR_NONE if none. */
static uint8_t pending(const struct nv_serial *s)
{
    if ((s->ier & IER_RECEIVED) && s->in_length > 0)
        return IIR_RECEIVED;
    if ((s->ier & IER_TRANSMIT_EMPTY) && s->transmit_pending)
        return IIR_TRANSMIT_EMPTY;
    return IIR_NONE;
}

/* The line follows what is pending, while OUT2 connects it as on a PC. */
void nv_serial_update_line(struct nv_serial *s)
{
    if (s->has_pin)
        nv_irq_set(s->irq, s->pin, (s->mcr & MCR_OUT2) && pending(s) != IIR_NONE);
}

/* An edge for each event: the line goes down first. */
void nv_serial_raise_transmit_empty(struct nv_serial *s)
{
    s->transmit_pending = false;
    nv_serial_update_line(s);
    s->transmit_pending = true;
    nv_serial_update_line(s);
}

static uint8_t read_data(struct nv_serial *s)
{
    uint8_t byte;

    if (s->in_length == 0)
        return 0;
    if (s->in_length == 1 && s->input_is_file && !s->input_has_ended)
        nv_serial_fill_input(s);
    byte = s->in[s->in_start];
    s->in_start = (s->in_start + 1) % NV_SERIAL_INPUT;
    s->in_length--;
    if (!s->input_has_ended && s->in_length == NV_SERIAL_INPUT / 2)
        nv_serial_fill_input(s);
    nv_serial_update_line(s);
    return byte;
}

static uint8_t read_iir(struct nv_serial *s)
{
    uint8_t which = pending(s);

    if (which == IIR_TRANSMIT_EMPTY) {
        s->transmit_pending = false;
        nv_serial_update_line(s);
    }
    return which | (s->fcr & FCR_ENABLE ? IIR_FIFO_ON : 0);
}

static uint8_t read_msr(const struct nv_serial *s)
{
    if (!(s->mcr & MCR_LOOP))
        return MSR_READY;
    /* Loop-back: the modem control outputs are the inputs (PC16550D, 8.6.7). */
    return (uint8_t)((s->mcr & 0x0c) << 4 | (s->mcr & 0x02) << 3 | (s->mcr & 0x01) << 5);
}

static uint8_t read_lsr(const struct nv_serial *s)
{
    return (s->in_length > 0 ? LSR_RECEIVED : 0) |
           (nv_serial_can_send(s) ? LSR_TRANSMIT_EMPTY | LSR_IDLE : 0);
}

static uint8_t read_register(struct nv_serial *s, uint64_t offset)
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

static void write_data(struct nv_serial *s, uint8_t value)
{
    if (s->mcr & MCR_LOOP) {
        if (s->in_length < NV_SERIAL_INPUT)
            nv_serial_receive(s, &value, 1);
    } else {
        nv_serial_transmit(s, value);
    }
    if (nv_serial_can_send(s))
        nv_serial_raise_transmit_empty(s);
    else
        s->transmit_pending = false;
    nv_serial_update_line(s);
}

static void write_ier(struct nv_serial *s, uint8_t value)
{
    bool turns_on = (value & IER_TRANSMIT_EMPTY) && !(s->ier & IER_TRANSMIT_EMPTY);

    s->ier = value & IER_BITS;
    if (turns_on && nv_serial_can_send(s))
        nv_serial_raise_transmit_empty(s);
    nv_serial_update_line(s);
}

static void write_register(struct nv_serial *s, uint64_t offset, uint8_t value)
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
            nv_serial_fill_input(s);
        }
        break;
    case LCR:
        s->lcr = value;
        break;
    case MCR:
        s->mcr = value & MCR_BITS;
        nv_serial_update_line(s);
        break;
    case SCRATCH:
        s->scratch = value;
        break;
    default: /* LSR and MSR are read-only */
        break;
    }
}

/* A wider access reaches the register it names alone; the other bytes read as zero. */
int32_t nv_serial_access(void *user_data, struct nestvirt_access *access)
{
    struct nv_serial *s = user_data;

    NV_GUARD(&s->lock);
    if (access->is_write)
        write_register(s, access->offset, access->data[0]);
    else
        access->data[0] = read_register(s, access->offset);
    return NESTVIRT_ACTION_RESUME;
}

void nv_serial_save(struct nv_serial *s, struct nv_writer *writer)
{
    NV_GUARD(&s->lock);
    nv_write_u8(writer, s->ier);
    nv_write_u8(writer, s->fcr);
    nv_write_u8(writer, s->lcr);
    nv_write_u8(writer, s->mcr);
    nv_write_u8(writer, s->scratch);
    nv_write_u16(writer, s->divisor);
    nv_write_u8(writer, s->transmit_pending);
    nv_write_u32(writer, s->in_length);
    for (uint32_t i = 0; i < s->in_length; i++)
        nv_write_u8(writer, s->in[(s->in_start + i) % NV_SERIAL_INPUT]);
}

void nv_serial_load(struct nv_serial *s, struct nv_reader *reader)
{
    uint32_t length;
    const uint8_t *bytes;

    NV_GUARD(&s->lock);
    s->ier = nv_read_u8(reader) & IER_BITS;
    s->fcr = nv_read_u8(reader);
    s->lcr = nv_read_u8(reader);
    s->mcr = nv_read_u8(reader) & MCR_BITS;
    s->scratch = nv_read_u8(reader);
    s->divisor = nv_read_u16(reader);
    s->transmit_pending = nv_read_bool(reader);
    length = nv_read_u32(reader);
    bytes = nv_read_data(reader, length);
    if (!bytes || length > NV_SERIAL_INPUT) {
        reader->is_bad = true;
        return;
    }
    s->in_start = s->in_length = 0;
    nv_serial_receive(s, bytes, length);
    s->full_since_ns = 0;
    s->is_loaded = true;
}

/* The output has room by now, whatever the guest waited for; an edge too many does no harm. */
void nv_serial_resume(struct nv_serial *s)
{
    NV_GUARD(&s->lock);
    if (!s->is_loaded)
        return;
    s->is_loaded = false;
    if (s->has_pin)
        nv_irq_set(s->irq, s->pin, false);
    nv_serial_fill_input(s);
    nv_serial_raise_transmit_empty(s);
}
