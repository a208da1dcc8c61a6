# SPDX-License-Identifier: Apache-2.0
"""Owns a network namespace with a tap, for a guest's network."""

import ctypes
import fcntl
import os
import socket
import struct
import unittest

TAP, HOST, GUEST = "nvtap0", "10.77.0.1", "10.77.0.2"

_CLONE_NEWNET = 0x40000000
_TUNSETIFF, _TUNSETPERSIST = 0x400454ca, 0x400454cb
_TAP_NO_INFORMATION_HEADER = 0x0002 | 0x1000 | 0x4000  # IFF_TAP | IFF_NO_PI | IFF_VNET_HDR
_SIOCSIFFLAGS, _SIOCSIFADDR, _SIOCSIFNETMASK = 0x8914, 0x8916, 0x891c
_UP_AND_RUNNING = 0x1 | 0x40

_libc = ctypes.CDLL(None, use_errno=True)


def enter(case: unittest.TestCase) -> None:
    """
    Takes this thread into a namespace of its own, which has a tap with the host's address.

    It ends with the test. Skips where this process may not.
    """
    outside = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    case.addCleanup(os.close, outside)
    if _libc.unshare(_CLONE_NEWNET):
        raise unittest.SkipTest("this process may not make a network namespace; run the test as root")
    case.addCleanup(_libc.setns, outside, _CLONE_NEWNET)
    _make_tap()


def _make_tap() -> None:
    try:
        tap = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        raise unittest.SkipTest(f"/dev/net/tun does not open: {error}") from error
    try:
        fcntl.ioctl(tap, _TUNSETIFF, struct.pack("16sH22x", TAP.encode(), _TAP_NO_INFORMATION_HEADER))
        fcntl.ioctl(tap, _TUNSETPERSIST, 1)
    finally:
        os.close(tap)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        for request, address in ((_SIOCSIFADDR, HOST), (_SIOCSIFNETMASK, "255.255.255.0")):
            fcntl.ioctl(control, request, struct.pack("16sH2x4s16x", TAP.encode(), socket.AF_INET,
                                                      socket.inet_aton(address)))
        fcntl.ioctl(control, _SIOCSIFFLAGS, struct.pack("16sH22x", TAP.encode(), _UP_AND_RUNNING))
