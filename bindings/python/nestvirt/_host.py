# SPDX-License-Identifier: Apache-2.0
"""Owns the host, which is /dev/kvm opened once, and event loops that VMs share."""

import ctypes
import weakref
from typing import Iterator, Optional

from . import _check
from ._abi import nestvirt_cpuid_entry, nestvirt_host_info
from ._constants import HostFeature
from ._errors import NotFoundError
from ._handle import Closable, Handle
from ._library import call, struct
from ._values import CPUIDEntry, HostInfo


class Host(Closable):
    """
    KVM, opened and asked what it can do.

    path: the device, None for /dev/kvm. fd: an open descriptor of it instead, which is duplicated.
    NotFoundError if there is no such device, AccessError without permission, UnsupportedError if it
    is something else or lacks what the library needs. VMs keep what they need: a host may be closed
    before them.
    """

    def __init__(self, path: Optional[_check.Path] = None, *, fd: Optional[_check.Descriptor] = None) -> None:
        pointer = ctypes.c_void_p()
        if fd is not None:
            if path is not None:
                raise ValueError("fd: must be None if a path is given")
            call("nestvirt_host_open_fd", _check.descriptor("fd", fd), ctypes.byref(pointer))
        else:
            encoded = None if path is None else _check.path("path", path)
            call("nestvirt_host_open", encoded, ctypes.byref(pointer))
        self._handle = Handle(pointer.value, "host", "nestvirt_host_free")
        weakref.finalize(self, self._handle.close).atexit = False

    @property
    def info(self) -> HostInfo:
        """What this host offers."""
        raw = struct(nestvirt_host_info)
        with self._handle.gate():
            call("nestvirt_host_get_info", self._handle.pointer, ctypes.byref(raw))
        return HostInfo(raw.api_version, raw.recommended_vcpus, raw.max_vcpus, raw.max_memory_slots,
                        raw.vcpu_mmap_size, HostFeature(raw.features))

    def cpuid(self) -> Iterator[CPUIDEntry]:
        """The CPUID leaves that guests may have."""
        position = 0
        while True:
            raw = struct(nestvirt_cpuid_entry)
            try:
                with self._handle.gate():
                    call("nestvirt_host_get_cpuid", self._handle.pointer, position, ctypes.byref(raw))
            except NotFoundError:
                return
            yield CPUIDEntry(raw.leaf, raw.index, bool(raw.flags & 1), raw.eax, raw.ebx, raw.ecx, raw.edx)
            position += 1


class Loop(Closable):
    """An event loop: one thread of the library that serves the devices of the VMs given to it."""

    def __init__(self) -> None:
        pointer = ctypes.c_void_p()
        call("nestvirt_loop_new", ctypes.byref(pointer))
        self._handle = Handle(pointer.value, "event loop", "nestvirt_loop_free")
        weakref.finalize(self, self._handle.close_later, None).atexit = False
