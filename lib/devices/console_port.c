/* SPDX-License-Identifier: Apache-2.0 */
/* Owns a console port's streams: queues of the guest to and from descriptors of the caller. */
#include <errno.h>

#include "core/util.h"
#include "devices/console.h"

/* What one pass over a queue does at most, so that others have their turn soon. */
enum {
    TRANSFER_MAX = 65536, /* bytes at once */
    PASS_TRANSFERS = 256,
    PASS_BYTES = 1 << 20
};

/* When the loop cannot watch a descriptor for lack of memory, it is tried again so much later. */
static const uint64_t RETRY_NS = 100000000;

/* How far a chain of output came. */
enum progress {
    DONE,
    WAITS, /* for the reader or for the limit; somebody will serve the queue again */
    YIELDS /* it did enough for this pass */
};

/* What is left of a pass. */
struct pass {
    uint32_t transfers;
    uint64_t bytes;
};

static void wake_at(struct nv_console *console, uint64_t when_ns)
{
    if (!console->virtio.loop || (console->wake_ns && console->wake_ns <= when_ns))
        return;
    console->wake_ns = when_ns;
    nv_loop_set_timer(console->virtio.loop, &console->timer, when_ns);
}

/*
 * A source is in the loop only while something is wanted from it: a descriptor whose other side is
 * gone reports that for ever.
 */
static void watch(struct nv_console *console, struct nv_source *source, uint32_t events)
{
    if (console->virtio.loop && !source->place &&
        nv_loop_add(console->virtio.loop, source, events) < 0)
        wake_at(console, nv_now_ns() + RETRY_NS);
}

static void on_input(void *user_data, uint32_t events)
{
    struct nv_console_port *port = user_data;
    struct nv_virtio *v = &port->console->virtio;

    NV_VIRTIO_GUARD(v);
    nv_loop_disable(v->loop, &port->input_source);
    nv_virtio_serve(v, nv_console_receive_queue(port));
}

static void on_output(void *user_data, uint32_t events)
{
    struct nv_console_port *port = user_data;
    struct nv_virtio *v = &port->console->virtio;

    NV_VIRTIO_GUARD(v);
    nv_loop_disable(v->loop, &port->output_source);
    nv_virtio_serve(v, nv_console_transmit_queue(port));
}

static int copy_fd(int fd, const char *what, struct nestvirt_error **ret_error)
{
    int copy = nv_fd_dup(fd);

    if (copy < 0)
        return nv_fail_sys(ret_error, -copy, what, "dup",
                           nv_fd_hint(-copy, "pass an open descriptor"));
    return copy;
}

static int open_stream(struct nv_stream *stream, int fd, const char *what, bool for_write,
                       struct nestvirt_error **ret_error)
{
    int r = copy_fd(fd, what, ret_error);

    if (r < 0)
        return r;
    r = nv_stream_init(stream, r, for_write);
    if (r < 0)
        return nv_fail_sys(ret_error, -r, what, "pthread_create",
                           nv_fd_hint(-r, "raise the limit on processes and threads"));
    return 0;
}

int nv_console_open_port(struct nv_console_port *port, struct nestvirt_error **ret_error)
{
    int r = 0;

    port->input_has_ended = port->has_chain = port->is_lost = false;
    port->stuck_since_ns = 0;
    if (port->input_fd >= 0)
        r = open_stream(&port->input, port->input_fd, "input", false, ret_error);
    if (r >= 0 && port->output_fd >= 0)
        r = open_stream(&port->output, port->output_fd, "output", true, ret_error);
    port->input_source =
        (struct nv_source){ .fd = port->input.fd, .fn = on_input, .user_data = port };
    port->output_source =
        (struct nv_source){ .fd = port->output.fd, .fn = on_output, .user_data = port };
    return r;
}

void nv_console_close_port(struct nv_console_port *port)
{
    struct nestvirt_loop *loop = port->console->virtio.loop;

    if (loop) {
        nv_loop_remove(loop, &port->input_source);
        nv_loop_remove(loop, &port->output_source);
    }
    nv_stream_close(&port->input);
    nv_count(&port->console->dropped, nv_stream_close(&port->output));
    port->has_chain = false;
}

/* The writer has gone: the guest reads an end of file, but a terminal goes on without input. */
static void end_input(struct nv_console_port *port)
{
    port->input_has_ended = true;
    nv_console_tell_open(port);
}

/* Only a port that the guest has opened gets input: its driver would throw it away (5.3.6.2). */
static bool wants_input(const struct nv_console_port *port)
{
    return port->input.fd >= 0 && !port->input_has_ended &&
           (port->is_open || !port->console->is_multiport);
}

void nv_console_serve_input(struct nv_console_port *port)
{
    struct nv_virtio *v = &port->console->virtio;
    uint32_t queue = nv_console_receive_queue(port);
    struct nv_chain *chain = &v->queues[queue].chain;
    uint32_t transfers = PASS_TRANSFERS;

    while (wants_input(port) && nv_virtio_pop(v, queue, chain) > 0) {
        const struct iovec *part;
        ssize_t done;
        int count;

        if (chain->write_left == 0) {
            nv_virtio_complete(v, queue, chain, 0);
            continue;
        }
        if (transfers-- == 0) {
            nv_virtio_unpop(v, queue, chain);
            nv_virtio_serve_later(v, queue);
            return;
        }
        part = nv_chain_writable(chain, &count);
        done = nv_stream_read(&port->input, part->iov_base,
                              NV_MIN(part->iov_len, (size_t)TRANSFER_MAX));
        if (done > 0) {
            nv_count(&port->console->received, (uint64_t)done);
            nv_virtio_complete(v, queue, chain, (uint32_t)done);
            continue;
        }
        nv_virtio_unpop(v, queue, chain);
        if (done == -EAGAIN) {
            watch(port->console, &port->input_source, EPOLLIN);
            return;
        }
        end_input(port);
    }
}

/*
 * Counts what was written last against the limit: 0, or when there will be room for it. Nothing is
 * written before that, so that a write that brings out less than it could does not cost more.
 */
static uint64_t pay(struct nv_console *console)
{
    uint64_t when_ns = 0;

    if (console->unpaid)
        when_ns = nv_limit_take(&console->limit, console->unpaid, nv_now_ns());
    if (!when_ns)
        console->unpaid = 0;
    return when_ns;
}

/* The reader's buffer is full: true if the output waits for it, false if it is to be dropped. */
static bool waits_for_reader(struct nv_console_port *port)
{
    struct nv_console *console = port->console;
    uint64_t patience_ns = __atomic_load_n(&console->patience_ms, __ATOMIC_RELAXED) * 1000000u;
    uint64_t now_ns = nv_now_ns();

    if (port->stuck_since_ns == 0)
        port->stuck_since_ns = now_ns;
    if (nv_console_is_terminal(port)) {
        port->is_lost = port->is_lost || now_ns - port->stuck_since_ns >= patience_ns;
        if (port->is_lost)
            return false;
        wake_at(console, port->stuck_since_ns + patience_ns);
    }
    watch(console, &port->output_source, EPOLLOUT);
    return true;
}

static void drop_rest(struct nv_console_port *port, struct nv_chain *chain)
{
    nv_count(&port->console->dropped, chain->read_left);
    nv_chain_skip_read(chain, chain->read_left);
}

/* Writes the front of a chain. */
static enum progress write_some(struct nv_console_port *port, struct nv_chain *chain,
                                struct pass *pass)
{
    struct nv_console *console = port->console;
    uint64_t when_ns;
    ssize_t done;
    int count;
    const struct iovec *part = nv_chain_readable(chain, &count);

    if (pass->transfers == 0 || pass->bytes == 0)
        return YIELDS;
    when_ns = pay(console);
    if (when_ns) {
        wake_at(console, when_ns);
        return WAITS;
    }
    pass->transfers--;
    done =
        nv_stream_write(&port->output, part->iov_base, NV_MIN(part->iov_len, (size_t)TRANSFER_MAX));
    if (done == -EAGAIN && waits_for_reader(port))
        return WAITS;
    if (done <= 0) { /* the reader is gone, or asleep; another may come */
        drop_rest(port, chain);
        return DONE;
    }
    nv_chain_skip_read(chain, (uint64_t)done);
    nv_count(&console->sent, (uint64_t)done);
    console->unpaid += (uint64_t)done;
    pass->bytes -= NV_MIN(pass->bytes, (uint64_t)done);
    port->stuck_since_ns = 0;
    port->is_lost = false;
    return DONE;
}

static enum progress write_chain(struct nv_console_port *port, struct nv_chain *chain,
                                 struct pass *pass)
{
    enum progress progress = DONE;

    if (port->output.fd < 0)
        nv_chain_skip_read(chain, chain->read_left);
    while (chain->read_left > 0 && progress == DONE)
        progress = write_some(port, chain, pass);
    return progress;
}

/* The next chain is taken only when the one before it is out: the guest's own ring is the buffer.
 */
void nv_console_serve_output(struct nv_console_port *port)
{
    struct nv_virtio *v = &port->console->virtio;
    uint32_t queue = nv_console_transmit_queue(port);
    struct nv_chain *chain = &v->queues[queue].chain;
    struct pass pass = { PASS_TRANSFERS, PASS_BYTES };

    nv_count(&port->console->dropped, nv_stream_take_lost(&port->output));
    while (port->has_chain || nv_virtio_pop(v, queue, chain) > 0) {
        enum progress progress;

        if (!port->has_chain)
            nv_virtio_hold(v, queue);
        port->has_chain = true;
        progress = write_chain(port, chain, &pass);
        if (progress == YIELDS)
            nv_virtio_serve_later(v, queue);
        if (progress != DONE)
            return;
        port->has_chain = false;
        nv_virtio_release(v, queue, chain, 0);
    }
}

void nv_console_drop_output(struct nv_console_port *port)
{
    struct nv_virtio *v = &port->console->virtio;
    uint32_t queue = nv_console_transmit_queue(port);

    if (!port->has_chain)
        return;
    port->has_chain = false;
    port->stuck_since_ns = 0;
    drop_rest(port, &v->queues[queue].chain);
    nv_virtio_release(v, queue, &v->queues[queue].chain, 0);
}

void nv_console_write_emergency(struct nv_console_port *port, uint8_t byte)
{
    struct nv_console *console = port->console;

    if (port->output.fd < 0)
        return;
    if (pay(console) == 0 && nv_stream_write(&port->output, &byte, 1) == 1) {
        console->unpaid++;
        nv_count(&console->sent, 1);
    } else {
        nv_count(&console->dropped, 1);
    }
}
