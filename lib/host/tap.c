/* SPDX-License-Identifier: Apache-2.0 */
/* Owns tap interfaces: opening their queues, what they may offload, packets in and out. */
#include "host/tap.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <linux/virtio_net.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "core/error.h"
#include "host/file.h"

static_assert(NV_TAP_NAME_MAX == IFNAMSIZ - 1, "room for a name");
static_assert(NV_TAP_CSUM == TUN_F_CSUM && NV_TAP_TSO4 == TUN_F_TSO4 && NV_TAP_TSO6 == TUN_F_TSO6 &&
                  NV_TAP_TSO_ECN == TUN_F_TSO_ECN,
              "ours are the kernel's");

static const char *const CONTROL = "/dev/net/tun";

static int control_error(int sys_errno, struct nestvirt_error **ret_error)
{
    const char *hint = "see tun(4) of Linux";

    if (sys_errno == ENOENT || sys_errno == ENODEV)
        hint = "load the kernel module tun, and give the device to this container";
    else if (sys_errno == EACCES || sys_errno == EPERM)
        hint = "let this user read and write it, or pass an open tap as property fd";
    return nv_fail_sys(ret_error, sys_errno, CONTROL, "open", nv_fd_hint(sys_errno, hint));
}

static int attach_error(int sys_errno, const char *name, bool is_one_of_many,
                        struct nestvirt_error **ret_error)
{
    const char *more = is_one_of_many ? " multi_queue" : "";
    const struct nv_text object = nv_text("tap %s", name);
    struct nv_text hint = nv_text("see dmesg");

    switch (sys_errno) {
    case EPERM:
        hint = nv_text("create it first: ip tuntap add %s mode tap%s user $USER, or give this "
                       "process CAP_NET_ADMIN",
                       name, more);
        break;
    case EBUSY:
        hint = nv_text("another program has it open; each VM needs a tap of its own");
        break;
    case EINVAL:
        hint = nv_text("it must be a tap made for this number of pairs: ip tuntap add %s mode "
                       "tap%s",
                       name, more);
        break;
    default:
        break;
    }
    return nv_fail_sys(ret_error, sys_errno, object.s, "ioctl(TUNSETIFF)",
                       nv_fd_hint(sys_errno, hint.s));
}

/* The header of virtio 1, whatever the tap had before. */
static int set_header(const struct nv_tap *tap, const char *object,
                      struct nestvirt_error **ret_error)
{
    const int length = sizeof(struct virtio_net_hdr_v1);
    const int is_little_endian = 1;
    const char *hint = "a kernel from 4.0 on is needed";

    if (ioctl(tap->fd, TUNSETVNETHDRSZ, &length) < 0)
        return nv_fail_sys(ret_error, errno, object, "ioctl(TUNSETVNETHDRSZ)", hint);
    if (ioctl(tap->fd, TUNSETVNETLE, &is_little_endian) < 0)
        return nv_fail_sys(ret_error, errno, object, "ioctl(TUNSETVNETLE)", hint);
    return 0;
}

int nv_tap_open(const char *name, bool is_one_of_many, struct nv_tap *ret_tap,
                struct nestvirt_error **ret_error)
{
    struct nv_tap tap = { .fd = open(CONTROL, O_RDWR | O_NONBLOCK | O_CLOEXEC) };
    struct ifreq request = { .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR };
    int r;

    if (tap.fd < 0)
        return control_error(errno, ret_error);
    if (is_one_of_many)
        request.ifr_flags |= IFF_MULTI_QUEUE;
    strncpy(request.ifr_name, name, sizeof(request.ifr_name) - 1);
    if (ioctl(tap.fd, TUNSETIFF, &request) < 0)
        r = attach_error(errno, name, is_one_of_many, ret_error);
    else
        r = set_header(&tap, nv_text("tap %s", name).s, ret_error);
    if (r < 0) {
        close(tap.fd);
        return r;
    }
    *ret_tap = tap;
    return 0;
}

/* A caller's tap is what it was opened as. */
static int check_kind(int fd, struct nestvirt_error **ret_error)
{
    struct ifreq request = { 0 };

    if (ioctl(fd, TUNGETIFF, &request) < 0)
        return nv_fail(ret_error, -EINVAL, "property fd",
                       "pass an open /dev/net/tun after ioctl(TUNSETIFF)",
                       errno == EBADFD ? "the descriptor is attached to no tap, or it was deleted"
                                       : "the descriptor is no tap");
    if (!(request.ifr_flags & IFF_TAP) || !(request.ifr_flags & IFF_NO_PI))
        return nv_fail(ret_error, -EINVAL, "property fd", "open it with IFF_TAP | IFF_NO_PI",
                       "%.15s is a tun, or has packet information", request.ifr_name);
    if (!(request.ifr_flags & IFF_VNET_HDR))
        return nv_fail(ret_error, -EINVAL, "property fd", "open it with IFF_VNET_HDR",
                       "tap %.15s has no vnet header", request.ifr_name);
    return 0;
}

int nv_tap_dup(int fd, struct nv_tap *ret_tap, struct nestvirt_error **ret_error)
{
    struct nv_tap tap = { .is_lent = true };
    int r = check_kind(fd, ret_error);

    if (r < 0)
        return r;
    tap.fd = nv_fd_dup(fd);
    if (tap.fd < 0)
        return nv_fail_sys(ret_error, -tap.fd, "property fd", "fcntl(F_DUPFD_CLOEXEC)",
                           nv_fd_hint(-tap.fd, "pass an open descriptor"));
    r = set_header(&tap, "property fd", ret_error);
    if (r < 0) {
        close(tap.fd);
        return r;
    }
    *ret_tap = tap;
    return 0;
}

void nv_tap_close(struct nv_tap *tap)
{
    if (tap->fd >= 0)
        close(tap->fd);
    *tap = (struct nv_tap){ .fd = -1 };
}

int nv_tap_set_offload(const struct nv_tap *tap, uint32_t offload)
{
    return ioctl(tap->fd, TUNSETOFFLOAD, (unsigned long)offload) < 0 ? -errno : 0;
}

int nv_tap_set_attached(const struct nv_tap *tap, bool is_attached)
{
    struct ifreq request = { .ifr_flags = is_attached ? IFF_ATTACH_QUEUE : IFF_DETACH_QUEUE };

    return ioctl(tap->fd, TUNSETQUEUE, &request) < 0 ? -errno : 0;
}

static bool is_ready(const struct nv_tap *tap, short events)
{
    struct pollfd poller = { .fd = tap->fd, .events = events };

    return poll(&poller, 1, 0) > 0 && (poller.revents & events);
}

bool nv_tap_is_writable(const struct nv_tap *tap)
{
    return is_ready(tap, POLLOUT);
}

/*
 * A lent descriptor may be a blocking one, and its flags are the caller's: each call says that it
 * will not wait. Kernels before 6.0 cannot do that with a tap; there, asking first has to do.
 */
ssize_t nv_tap_read(const struct nv_tap *tap, const struct iovec *parts, int count)
{
    ssize_t done;

    do {
        done = preadv2(tap->fd, parts, count, -1, tap->is_lent ? RWF_NOWAIT : 0);
        if (done < 0 && errno == EOPNOTSUPP)
            done = is_ready(tap, POLLIN | POLLERR) ? readv(tap->fd, parts, count) : -EAGAIN;
    } while (done == -1 && errno == EINTR);
    return done == -1 ? -errno : done;
}

ssize_t nv_tap_write(const struct nv_tap *tap, const struct iovec *parts, int count)
{
    ssize_t done;

    do {
        done = pwritev2(tap->fd, parts, count, -1, tap->is_lent ? RWF_NOWAIT : 0);
        if (done < 0 && errno == EOPNOTSUPP)
            done = is_ready(tap, POLLOUT | POLLERR) ? writev(tap->fd, parts, count) : -EAGAIN;
    } while (done == -1 && errno == EINTR);
    return done == -1 ? -errno : done;
}
