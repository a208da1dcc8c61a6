/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the socket device's Unix sockets: those of clients and listeners, and bytes both ways. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/cleanup.h"
#include "core/error.h"
#include "core/util.h"
#include "devices/vsock.h"
#include "host/file.h"

enum {
    ACCEPT_MAX = 16,  /* clients in a row, before the loop's other work has its turn */
    GIVE_PARTS = 64,  /* of a chain, in one call */
    FIRST_HELD = 4096 /* bytes; doubled as needed */
};

/* Clients wait this long when descriptors or memory have run out. */
static const uint64_t ACCEPT_RETRY_NS = 250000000;

int nv_vsock_connect_path(const char *path)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int length = snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    NV_AUTO_FD fd = -1;

    if (length < 0 || (size_t)length >= sizeof(address.sun_path))
        return -ENAMETOOLONG;
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    /* Non-blocking: -EAGAIN when the other side has too many that wait. */
    if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
        return -errno;
    return nv_steal_fd(&fd);
}

int nv_vsock_connect(struct nv_vsock *s, uint32_t port)
{
    if (!s->path || !*s->path)
        return -ECONNREFUSED;
    return nv_vsock_connect_path(nv_text("%s_%u", s->path, port).s);
}

void nv_vsock_watch_listener(struct nv_vsock *s)
{
    bool is_wanted = s->listener.fd >= 0 && nv_vsock_is_on(s) && s->listener_retry_ns == 0;

    if (!s->loop || is_wanted == s->listener_is_watched)
        return;
    if (!is_wanted) {
        nv_loop_disable(s->loop, &s->listener);
        s->listener_is_watched = false;
    } else if (nv_loop_add(s->loop, &s->listener, EPOLLIN) == 0) {
        s->listener_is_watched = true;
    } else {
        s->listener_retry_ns = nv_now_ns() + ACCEPT_RETRY_NS;
        nv_vsock_arm(s, s->listener_retry_ns);
    }
}

void nv_vsock_adopt(struct nv_vsock *s, int fd)
{
    struct nv_vsock_connection *c = nv_vsock_new(s, fd, NV_VSOCK_HANDSHAKE);

    if (c) {
        nv_vsock_on_socket(c, EPOLLIN);
    } else {
        nv_count(&s->refused, 1);
        close(fd);
    }
}

void nv_vsock_accept(struct nv_vsock *s)
{
    for (uint32_t i = 0; i < ACCEPT_MAX && s->listener.fd >= 0; i++) {
        int fd = accept4(s->listener.fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

        if (fd >= 0) {
            nv_vsock_adopt(s, fd);
        } else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            s->listener_retry_ns = nv_now_ns() + ACCEPT_RETRY_NS;
            nv_vsock_arm(s, s->listener_retry_ns);
            return;
        } else {
            return;
        }
    }
}

/* The port of "CONNECT <port>\n"; false if the line is anything else. */
static bool parse_line(const char *line, uint32_t *ret_port)
{
    static const char word[] = "CONNECT ";
    const char *at = line + sizeof(word) - 1;
    uint64_t port = 0;

    if (strncasecmp(line, word, sizeof(word) - 1) != 0 || *at < '0' || *at > '9')
        return false;
    while (*at >= '0' && *at <= '9' && port < UINT32_MAX)
        port = 10 * port + (uint64_t)(*at++ - '0');
    if (*at == '\r')
        at++;
    *ret_port = (uint32_t)port;
    return port < UINT32_MAX && *at == '\n'; /* the last number means "any" */
}

/* The client has said what it wants: the guest is asked. */
static void request(struct nv_vsock_connection *c)
{
    uint32_t port;

    c->line[c->line_length] = '\0';
    if (!parse_line(c->line, &port)) {
        nv_vsock_refuse(c);
        return;
    }
    nv_vsock_bind(c, nv_vsock_choose_port(c->device, port), port);
    c->state = NV_VSOCK_REQUESTED;
    nv_vsock_set_deadline(c);
    nv_vsock_want(c, 1u << NV_VSOCK_REQUEST);
}

/* Takes the client's line, and nothing behind it. */
static void read_line(struct nv_vsock_connection *c)
{
    char bytes[NV_VSOCK_LINE];
    size_t room = NV_VSOCK_LINE - c->line_length;
    ssize_t got = recv(c->source.fd, bytes, room, MSG_PEEK | MSG_DONTWAIT);
    const char *end;

    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (got <= 0) {
        nv_vsock_refuse(c);
        return;
    }
    end = memchr(bytes, '\n', (size_t)got);
    if (end)
        got = end + 1 - bytes;
    got = recv(c->source.fd, c->line + c->line_length, (size_t)got, MSG_DONTWAIT);
    if (got > 0)
        c->line_length += (uint32_t)got;
    if (got <= 0 || (!end && c->line_length == NV_VSOCK_LINE))
        nv_vsock_refuse(c);
    else if (end)
        request(c);
}

bool nv_vsock_greet(struct nv_vsock_connection *c)
{
    char line[32];
    int length = snprintf(line, sizeof(line), "OK %u\n", c->host_port);

    /* Nothing was written to this socket before: it has room. */
    return send(c->source.fd, line, (size_t)length, MSG_DONTWAIT | MSG_NOSIGNAL) == length;
}

/* Bytes have left us, wherever to. The guest is told now and then. */
static void forward(struct nv_vsock_connection *c, uint32_t length)
{
    c->forwarded += length;
    if (c->forwarded - c->told >= NV_VSOCK_WINDOW / 4 && c->state == NV_VSOCK_OPEN)
        nv_vsock_want(c, 1u << NV_VSOCK_CREDIT_UPDATE);
}

static void forget_held(struct nv_vsock_connection *c)
{
    forward(c, c->held_length);
    free(c->held);
    c->held = NULL;
    c->held_start = c->held_length = c->held_capacity = 0;
}

/* The host takes no more bytes. It may still have some for the guest. */
static void go_deaf(struct nv_vsock_connection *c)
{
    forget_held(c);
    c->host_is_deaf = true;
    if (c->state == NV_VSOCK_ENDED) {
        nv_vsock_close(c);
        nv_vsock_settle(c);
    } else if (c->state == NV_VSOCK_OPEN && c->host_eof) {
        nv_vsock_host_gone(c);
    } else if (c->state == NV_VSOCK_OPEN) {
        c->is_readable = true; /* perhaps it is gone altogether */
        nv_vsock_want(c, 1u << NV_VSOCK_SHUTDOWN);
    }
}

/* Everything held is with the host. */
static void on_flushed(struct nv_vsock_connection *c)
{
    forget_held(c);
    if (c->state == NV_VSOCK_ENDED) {
        nv_vsock_close(c);
        nv_vsock_settle(c);
    } else {
        nv_vsock_shut(c);
    }
}

static void flush(struct nv_vsock_connection *c)
{
    bool has_moved = false;

    while (c->held_length > 0) {
        ssize_t done = send(c->source.fd, c->held + c->held_start, c->held_length,
                            MSG_DONTWAIT | MSG_NOSIGNAL);

        if (done < 0 && (errno == EAGAIN || errno == EINTR))
            break;
        if (done <= 0) {
            go_deaf(c);
            return;
        }
        has_moved = true;
        c->held_start += (uint32_t)done;
        c->held_length -= (uint32_t)done;
        forward(c, (uint32_t)done);
    }
    if (c->held_length == 0)
        on_flushed(c);
    else if (has_moved && c->state == NV_VSOCK_ENDED)
        nv_vsock_set_deadline(c); /* slow, but alive */
}

void nv_vsock_shut(struct nv_vsock_connection *c)
{
    if (c->source.fd < 0)
        return;
    if (c->guest_shut & NV_VSOCK_NO_RECEIVE)
        shutdown(c->source.fd, SHUT_RD);
    if ((c->guest_shut & NV_VSOCK_NO_SEND) && c->held_length == 0)
        shutdown(c->source.fd, SHUT_WR);
}

/* Room for length more bytes behind those that are held. */
static int make_room(struct nv_vsock_connection *c, uint32_t length)
{
    uint32_t capacity = NV_MAX(c->held_capacity, (uint32_t)FIRST_HELD);
    uint8_t *bytes;

    if (c->held_start > 0 && length > c->held_capacity - c->held_start - c->held_length) {
        memmove(c->held, c->held + c->held_start, c->held_length);
        c->held_start = 0;
    }
    if (c->held && length <= c->held_capacity - c->held_start - c->held_length)
        return 0;
    while (capacity < c->held_length + length)
        capacity *= 2;
    bytes = realloc(c->held, capacity);
    if (!bytes)
        return -ENOMEM;
    c->held = bytes;
    c->held_capacity = capacity;
    return 0;
}

static int hold(struct nv_vsock_connection *c, struct nv_chain *chain, uint32_t length)
{
    int r = make_room(c, length);

    if (r < 0)
        return r;
    nv_chain_read(chain, c->held + c->held_start + c->held_length, length);
    c->held_length += length;
    return 0;
}

/* Sends from the chain what the socket takes now, at most length bytes: how many, or -errno. */
static ssize_t send_now(struct nv_vsock_connection *c, struct nv_chain *chain, uint32_t length)
{
    struct iovec parts[GIVE_PARTS];
    struct msghdr message = { .msg_iov = parts };
    int count;
    const struct iovec *from = nv_chain_readable(chain, &count);
    uint32_t left = length;
    ssize_t done;

    for (int i = 0; i < count && i < GIVE_PARTS && left > 0; i++) {
        parts[i] = from[i];
        parts[i].iov_len = NV_MIN(parts[i].iov_len, left);
        left -= (uint32_t)parts[i].iov_len;
        message.msg_iovlen++;
    }
    done = sendmsg(c->source.fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (done < 0)
        return -errno;
    nv_chain_skip_read(chain, (uint64_t)done);
    return done;
}

int nv_vsock_give(struct nv_vsock_connection *c, struct nv_chain *chain, uint32_t length)
{
    while (length > 0 && c->held_length == 0 && !c->host_is_deaf) {
        ssize_t done = send_now(c, chain, length);

        if (done == -EAGAIN || done == -EINTR)
            break;
        if (done < 0) {
            go_deaf(c);
            break;
        }
        forward(c, (uint32_t)done);
        length -= (uint32_t)done;
    }
    if (length == 0)
        return 0;
    if (!c->host_is_deaf)
        return hold(c, chain, length);
    forward(c, length);
    return 0;
}

void nv_vsock_on_eof(struct nv_vsock_connection *c)
{
    struct pollfd hup = { .fd = c->source.fd };

    c->host_eof = true;
    c->is_readable = false;
    if (c->host_is_deaf || (poll(&hup, 1, 0) == 1 && (hup.revents & (POLLHUP | POLLERR))))
        nv_vsock_host_gone(c);
    else
        nv_vsock_want(c, 1u << NV_VSOCK_SHUTDOWN);
}

/* The socket says that nothing goes in either direction, but for what it may still hold. */
static void on_hang_up(struct nv_vsock_connection *c)
{
    c->has_hung_up = true;
    if (c->state == NV_VSOCK_REQUESTED)
        nv_vsock_refuse(c); /* the client has given up */
    else if (c->state == NV_VSOCK_OPEN && (c->host_eof || (c->guest_shut & NV_VSOCK_NO_RECEIVE)))
        nv_vsock_host_gone(c);
}

void nv_vsock_on_socket(struct nv_vsock_connection *c, uint32_t events)
{
    if (c->state == NV_VSOCK_HANDSHAKE)
        read_line(c);
    if (c->source.fd >= 0 && (events & (EPOLLHUP | EPOLLERR)))
        on_hang_up(c);
    if (c->held_length > 0 && (events & (EPOLLOUT | EPOLLHUP | EPOLLERR)))
        flush(c);
    if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) && nv_vsock_can_read(c)) {
        c->is_readable = true;
        nv_vsock_want(c, 0);
    }
    if (c->state != NV_VSOCK_FREE)
        nv_vsock_watch(c);
}
