/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the serial port: a 16550A (National Semiconductor PC16550D) on the caller's descriptors. */
#include "devices/serial.h"

#include <stdlib.h>

#include "core/cleanup.h"
#include "core/util.h"
#include "memory/layout.h"

static const struct nv_property serial_properties[] = {
    { .name = "output",
      .type = NESTVIRT_PROPERTY_FD,
      .flags = NESTVIRT_PROPERTY_IDENTITY,
      .offset = offsetof(struct nv_serial, output_fd),
      .help = "where the guest's output goes; without it, it is discarded" },
    { .name = "input",
      .type = NESTVIRT_PROPERTY_FD,
      .flags = NESTVIRT_PROPERTY_IDENTITY,
      .offset = offsetof(struct nv_serial, input_fd),
      .help = "where the guest's input comes from" },
    { .name = "port",
      .type = NESTVIRT_PROPERTY_U64,
      .offset = offsetof(struct nv_serial, port),
      .initial = NV_PORT_SERIAL,
      .max = 0x10000 - NV_SERIAL_PORTS,
      .help = "first of its 8 ports; COM1 to COM4 are 0x3f8, 0x2f8, 0x3e8, 0x2e8" },
    { .name = "irq",
      .type = NESTVIRT_PROPERTY_U64,
      .offset = offsetof(struct nv_serial, wanted_pin),
      .initial = 4,
      .max = NV_IOAPIC_PINS - 1,
      .help = "its interrupt pin, 0 to 23; COM1 and COM3 use 4, COM2 and COM4 use 3" },
    NV_COUNTER_ROW(struct nv_serial, "dropped", dropped,
                   "bytes of output dropped because the reader was too slow"),
};

static int serial_claim(struct nestvirt_device *device, const struct nv_device_env *env,
                        struct nestvirt_error **ret_error)
{
    struct nv_serial *s = device->state;
    int r;

    pthread_mutex_init(&s->lock, NULL);
    s->is_wired = true;
    s->is_ending = false;
    s->output.fd = s->input.fd = -1;
    s->irq = env->irq;
    r = nv_device_claim_port(env, s->port, NV_SERIAL_PORTS, nv_serial_access, s, ret_error);
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
    struct nv_serial *s = device->state;

    s->loop = env->loop;
    return nv_serial_wire_streams(s, ret_error);
}

static void end_watching(struct nv_serial *s)
{
    NV_GUARD(&s->lock);
    s->is_ending = true;
}

/* A callback that is under way would add its source again. */
static void leave_loop(struct nv_serial *s)
{
    if (!s->loop)
        return;
    end_watching(s);
    nv_loop_remove(s->loop, &s->output_source);
    nv_loop_remove(s->loop, &s->input_source);
}

static void serial_unbuild(struct nestvirt_device *device)
{
    struct nv_serial *s = device->state;

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
    struct nv_serial *s = device->state;

    NV_GUARD(&s->lock);
    s->ier = s->fcr = s->lcr = s->mcr = s->scratch = 0;
    s->divisor = 12; /* 9600 baud, as firmware would leave it */
    s->in_length = 0;
    s->transmit_pending = s->is_loaded = false;
    s->full_since_ns = 0;
    nv_serial_fill_input(s);
}

static void serial_resume(struct nestvirt_device *device)
{
    nv_serial_resume(device->state);
}

static int serial_save(struct nestvirt_device *device, struct nv_writer *writer,
                       struct nestvirt_error **ret_error)
{
    nv_serial_save(device->state, writer);
    return 0;
}

static int serial_load(struct nestvirt_device *device, struct nv_reader *reader,
                       struct nestvirt_error **ret_error)
{
    nv_serial_load(device->state, reader);
    return 0;
}

/* True if there is more. */
static bool flush_last(struct nv_serial *s)
{
    NV_GUARD(&s->lock);
    nv_serial_flush(s);
    return s->out_length > 0;
}

/* What the guest wrote last comes out; in a file it is there when the VM has stopped. */
static void serial_stop(struct nestvirt_device *device, uint64_t deadline_ns)
{
    struct nv_serial *s = device->state;
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
    const struct nv_serial *s = device->state;

    return index == 0 && nv_stream_get_thread(&s->output, ret_thread);
}

static void serial_describe(const struct nestvirt_device *device, struct nv_device_place *place)
{
    const struct nv_serial *s = device->state;

    place->is_serial = s->has_pin;
    place->port = (uint16_t)s->port;
    place->pin = s->pin;
}

static void serial_send(struct nestvirt_device *device, nv_errand_fn *fn, void *user_data,
                        struct nv_errand_result *result)
{
    struct nv_serial *s = device->state;

    nv_stream_send(&s->output, fn, user_data, result);
}

const struct nv_device_class nv_device_serial = {
    .name = "serial",
    .help = "a 16550A serial port on descriptors of the caller",
    .state_size = sizeof(struct nv_serial),
    .needs_loop = true,
    .properties = serial_properties,
    .property_count = NV_ARRAY_SIZE(serial_properties),
    .claim = serial_claim,
    .wire = serial_wire,
    .unbuild = serial_unbuild,
    .start = serial_start,
    .resume = serial_resume,
    .save = serial_save,
    .load = serial_load,
    .stop = serial_stop,
    .send = serial_send,
    .thread_at = serial_thread_at,
    .describe = serial_describe,
};
