/* SPDX-License-Identifier: Apache-2.0 */
/* Owns what the parts of the serial port share: its state, and what they ask of each other. */
#ifndef NV_DEVICES_SERIAL_H
#define NV_DEVICES_SERIAL_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "devices/device.h"
#include "host/file.h"

enum { NV_SERIAL_PORTS = 8 };

enum {
    NV_SERIAL_OUTPUT = 65536, /* bytes held for a slow reader before the guest has to wait */
    NV_SERIAL_INPUT = 256     /* bytes taken from the input before the guest has read them */
};

struct nv_serial {
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
    uint8_t *out; /* NV_SERIAL_OUTPUT bytes, a ring */
    uint32_t out_start;
    uint32_t out_length;
    uint64_t full_since_ns; /* 0: there is room */
    uint8_t in[NV_SERIAL_INPUT];
    uint32_t in_start;
    uint32_t in_length;
    uint8_t ier, fcr, lcr, mcr, scratch;
    uint16_t divisor;
    bool transmit_pending; /* the transmitter-empty interrupt */
    bool is_loaded;        /* from saved state, and has not gone on since */
};

/* Its 8 ports (serial_registers.c). */
int32_t nv_serial_access(void *user_data, struct nestvirt_access *access);

/* The registers and input as they stand; load puts them back, resume the interrupt too. */
void nv_serial_save(struct nv_serial *s, struct nv_writer *writer);
void nv_serial_load(struct nv_serial *s, struct nv_reader *reader);
void nv_serial_resume(struct nv_serial *s);

/* The interrupt line follows what is pending. Lock held, as for all below. */
void nv_serial_update_line(struct nv_serial *s);

/* The transmitter has room again: an edge. */
void nv_serial_raise_transmit_empty(struct nv_serial *s);

/* Streams (serial_streams.c): opens the caller's descriptors anew for us. No lock needed. */
int nv_serial_wire_streams(struct nv_serial *s, struct nestvirt_error **ret_error);

/* True if a byte of the guest's would be taken, or dropped because it has waited long enough. */
bool nv_serial_can_send(const struct nv_serial *s);

/* Takes a byte of output; and writes what can be written now, all dropped if nobody reads. */
void nv_serial_transmit(struct nv_serial *s, uint8_t byte);
void nv_serial_flush(struct nv_serial *s);

/* Puts bytes into the free room of the input; takes some from the caller's descriptor. */
void nv_serial_receive(struct nv_serial *s, const uint8_t *bytes, uint32_t length);
void nv_serial_fill_input(struct nv_serial *s);

#endif
