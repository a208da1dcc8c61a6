/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the serial port's bytes between the guest and the caller's descriptors. */
#include "devices/serial.h"

#include <errno.h>
#include <stdlib.h>

#include "core/cleanup.h"
#include "core/util.h"

/* How long the guest waits for a reader that takes nothing before its output is dropped. */
static const uint64_t PATIENCE_NS = 1000000000ull;

bool nv_serial_can_send(const struct nv_serial *s)
{
    return s->out_length < NV_SERIAL_OUTPUT || nv_now_ns() - s->full_since_ns > PATIENCE_NS;
}

/*
 * A source is in the loop only while something is wanted from it: a descriptor whose other side is
 * gone reports that for ever. Without a loop's help (no memory) the next guest access tries again.
 */
static void watch(struct nv_serial *s, struct nv_source *source, uint32_t events, bool on)
{
    if (s->is_ending)
        return;
    if (on && !source->place)
        nv_loop_add(s->loop, source, events);
    else if (!on && source->place)
        nv_loop_disable(s->loop, source);
}

/* Writes what can be written now. Drops everything when the other side is gone. */
void nv_serial_flush(struct nv_serial *s)
{
    bool was_full = s->out_length == NV_SERIAL_OUTPUT;

    nv_count(&s->dropped, nv_stream_take_lost(&s->output));
    while (s->out_length > 0) {
        uint32_t run = NV_MIN(s->out_length, NV_SERIAL_OUTPUT - s->out_start);
        ssize_t done = nv_stream_write(&s->output, s->out + s->out_start, run);

        if (done == -EAGAIN)
            break;
        if (done <= 0) {
            nv_count(&s->dropped, s->out_length);
            s->out_start = s->out_length = 0;
            break;
        }
        s->out_start = (s->out_start + (uint32_t)done) % NV_SERIAL_OUTPUT;
        s->out_length -= (uint32_t)done;
    }
    if (was_full && s->out_length < NV_SERIAL_OUTPUT) {
        s->full_since_ns = 0;
        nv_serial_raise_transmit_empty(s);
    }
    watch(s, &s->output_source, EPOLLOUT, s->out_length > 0);
}

void nv_serial_transmit(struct nv_serial *s, uint8_t byte)
{
    if (s->output.fd < 0)
        return;
    if (s->out_length == NV_SERIAL_OUTPUT)
        nv_serial_flush(s);
    if (s->out_length == NV_SERIAL_OUTPUT) {
        nv_count(&s->dropped, 1);
        return;
    }
    s->out[(s->out_start + s->out_length++) % NV_SERIAL_OUTPUT] = byte;
    /* Behind bytes that wait, it waits too: the loop writes them when there is room. */
    if (!s->output_source.place)
        nv_serial_flush(s);
    if (s->out_length == NV_SERIAL_OUTPUT && s->full_since_ns == 0)
        s->full_since_ns = nv_now_ns();
}

void nv_serial_receive(struct nv_serial *s, const uint8_t *bytes, uint32_t length)
{
    for (uint32_t i = 0; i < length; i++)
        s->in[(s->in_start + s->in_length++) % NV_SERIAL_INPUT] = bytes[i];
}

/* Takes input into the free room. The line rises if it was the first byte. */
void nv_serial_fill_input(struct nv_serial *s)
{
    uint8_t bytes[NV_SERIAL_INPUT];
    uint32_t room = NV_SERIAL_INPUT - s->in_length;
    ssize_t done = -EAGAIN;

    if (s->input.fd < 0)
        return;
    if (room > 0 && !s->input_has_ended)
        done = nv_stream_read(&s->input, bytes, room);
    if (done > 0)
        nv_serial_receive(s, bytes, (uint32_t)done);
    if (done == 0 || (done < 0 && done != -EAGAIN))
        s->input_has_ended = true;
    /* Watched only while there is room, so that the sender is held back. */
    if (!s->input_is_file)
        watch(s, &s->input_source, EPOLLIN, !s->input_has_ended && s->in_length < NV_SERIAL_INPUT);
    nv_serial_update_line(s);
}

static void on_output(void *user_data, uint32_t events)
{
    struct nv_serial *s = user_data;

    NV_GUARD(&s->lock);
    nv_serial_flush(s);
}

static void on_input(void *user_data, uint32_t events)
{
    struct nv_serial *s = user_data;

    NV_GUARD(&s->lock);
    nv_serial_fill_input(s);
}

static int wire_output(struct nv_serial *s, struct nestvirt_error **ret_error)
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
    s->out = malloc(NV_SERIAL_OUTPUT);
    if (!s->out)
        return nv_fail_sys(ret_error, ENOMEM, "output", "malloc", "free memory in this process");
    s->output_source = (struct nv_source){ .fd = s->output.fd, .fn = on_output, .user_data = s };
    return 0;
}

static int wire_input(struct nv_serial *s, struct nestvirt_error **ret_error)
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

int nv_serial_wire_streams(struct nv_serial *s, struct nestvirt_error **ret_error)
{
    int r = wire_output(s, ret_error);

    return r < 0 ? r : wire_input(s, ret_error);
}
