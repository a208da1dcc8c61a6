# SPDX-License-Identifier: Apache-2.0
"""Owns a VM's memory: regions, copies, views, and what the host does with the pages."""

import ctypes
from dataclasses import dataclass
from typing import Any, Optional, Tuple

from . import _check
from ._abi import nestvirt_memory_config, nestvirt_memory_ksm, nestvirt_memory_placement
from ._base import VMBase
from ._constants import (MEMORY_EVERY, Backing, HugePages, MemoryFlag, MemoryKSMFlag, NUMAFlag,
                         NUMAPolicy)
from ._handle import Lease
from ._library import call, struct

_VIEW_MAX = (1 << 63) - 1


@dataclass(frozen=True)
class Region:
    """A region's configuration; see Memory.add()."""

    address: int
    length: int
    backing: Backing
    flags: MemoryFlag
    offset: int
    page_size: int
    huge_pages: HugePages
    numa_policy: NUMAPolicy
    numa_nodes: Optional[str]
    guest_node: int


@dataclass(frozen=True)
class MemoryKSM:
    """What KSM has merged; None is what this kernel does not tell. Names with process: of the whole process."""

    mergeable_bytes: int
    merged_bytes: Optional[int]
    process_merging_pages: Optional[int]
    process_zero_pages: Optional[int]
    process_rmap_items: Optional[int]
    process_profit: Optional[int]
    host_run: Optional[int]


@dataclass(frozen=True)
class Placement:
    """Where the pages of a region are, in pages of 4096 bytes."""

    policy: NUMAPolicy
    resident: int
    absent: int
    elsewhere: int  # Resident on nodes behind those of `nodes`.
    nodes: Tuple[int, ...]  # Pages on node 0, 1, ...


def _raw_view(lease: Lease, pointer: int, length: int) -> memoryview:
    """Memory of the library as bytes. The array lives as long as a view of it, and the lease likewise."""
    array = (ctypes.c_ubyte * length).from_address(pointer)
    array._nestvirt_lease = lease  # type: ignore[attr-defined]
    return memoryview(array).cast("B")


class Memory:
    """
    A VM's memory, as vm.memory.

    Addresses are guest physical ones, lengths are bytes.
    """

    def __init__(self, vm: VMBase) -> None:
        self._vm = vm

    def add(self, length: _check.Size, address: Optional[int] = None, *, backing: Any = Backing.ANONYMOUS,
            prefault: bool = False, lock: bool = False, read_only: bool = False, no_dump: bool = False,
            mergeable: bool = False, allow_unsealed: bool = False, offset: int = 0,
            page_size: _check.Size = 0, fd: Optional[_check.Descriptor] = None,
            huge_pages: Any = HugePages.DEFAULT, numa_policy: Any = NUMAPolicy.DEFAULT,
            numa_nodes: Optional[str] = None, numa_strict: bool = False, guest_node: int = 0) -> int:
        """
        Adds a region of RAM and returns its number. State new.

        length, address: multiples of 4096, or of huge pages; without an address it is placed by the
        default layout. length, page_size: bytes, or a text such as "1G".
        backing: Backing or its name. fd: of the backings FD and FILE, with the offset into it.
        prefault: touch all pages in build(). lock: keep them in memory. read_only: for the guest.
        no_dump: leave it out of core dumps. mergeable: for KSM; see set_mergeable() for the danger.
        allow_unsealed: map a file that can shrink; whoever truncates it can end this process.
        numa_policy, numa_nodes ("0-1,3"): the host's nodes; numa_strict: fail if they cannot be had.
        guest_node: the guest's node that it belongs to.
        Raises ExistsError where it would overlap another region, UnsupportedError for what the host
        lacks, Error with errno ENOMEM for missing huge pages or a limit of locked memory.
        """
        config = struct(nestvirt_memory_config)
        flags = [(prefault, "prefault", MemoryFlag.PREFAULT), (lock, "lock", MemoryFlag.LOCK),
                 (read_only, "read_only", MemoryFlag.READ_ONLY), (no_dump, "no_dump", MemoryFlag.NO_DUMP),
                 (mergeable, "mergeable", MemoryFlag.MERGEABLE),
                 (allow_unsealed, "allow_unsealed", MemoryFlag.ALLOW_UNSEALED),
                 (numa_strict, "numa_strict", MemoryFlag.NUMA_STRICT)]
        config.flags = sum(flag for value, name, flag in flags if _check.boolean(name, value))
        config.length = _check.size("length", length)
        if address is None:
            config.flags |= MemoryFlag.DEFAULT_LAYOUT
        else:
            config.address = _check.u64("address", address)
        config.backing = _check.member("backing", Backing, backing)
        config.offset = _check.u64("offset", offset)
        config.page_size = _check.size("page_size", page_size)
        config.huge_pages = _check.member("huge_pages", HugePages, huge_pages)
        config.numa_policy = _check.member("numa_policy", NUMAPolicy, numa_policy)
        config.guest_node = _check.integer("guest_node", guest_node)
        if fd is not None:
            config.fd = _check.descriptor("fd", fd)
        if numa_nodes is not None:
            config.numa_nodes = _check.text("numa_nodes", numa_nodes)
        return self._vm._call("nestvirt_memory_add", ctypes.byref(config))

    def remove(self, region: int) -> None:
        """Removes a region. State new. BufferError while a view of the VM's memory exists."""
        region = _check.integer("region", region)
        handle = self._vm._handle
        with handle.gate():
            with handle.without_views():
                call("nestvirt_memory_remove", handle.pointer, region)

    def get(self, region: int) -> Region:
        """A region's configuration; its flag MERGEABLE tells how it is now. NotFoundError if there is none."""
        raw = struct(nestvirt_memory_config)
        self._vm._call("nestvirt_memory_get", _check.integer("region", region), ctypes.byref(raw))
        return Region(raw.address, raw.length, Backing(raw.backing), MemoryFlag(raw.flags), raw.offset,
                      raw.page_size, HugePages(raw.huge_pages), NUMAPolicy(raw.numa_policy),
                      None if raw.numa_nodes is None else raw.numa_nodes.decode(), raw.guest_node)

    def read(self, address: int, length: int) -> bytes:
        """Copies bytes from guest memory. Error with errno EFAULT where some are outside of it."""
        buffer = bytearray(_check.integer("length", length, 0, _VIEW_MAX))
        self.read_into(address, buffer)
        return bytes(buffer)

    def read_into(self, address: int, buffer: Any) -> None:
        """Fills a writable buffer from guest memory."""
        view = _check.contents("buffer", buffer)
        if view.readonly:
            raise TypeError("buffer: must be writable")
        target = (ctypes.c_char * len(view)).from_buffer(view) if len(view) else None
        self._vm._call("nestvirt_memory_read", _check.u64("address", address), target or b"", len(view))

    def write(self, address: int, data: _check.Buffer) -> None:
        """Copies bytes into guest memory, also into read-only regions. All or nothing."""
        view = _check.contents("data", data)
        source: Any = bytes(view) if view.readonly and not isinstance(data, bytes) else data
        if not view.readonly and len(view):
            source = (ctypes.c_char * len(view)).from_buffer(view)
        self._vm._call("nestvirt_memory_write", _check.u64("address", address),
                       source if len(view) else b"", len(view))

    def view(self, address: int, length: int) -> memoryview:
        """
        Guest memory itself as a writable memoryview; nothing is copied.

        It keeps the VM: until it and all slices of it are released (release(), `with`, or the last
        reference gone), close() of the VM raises BufferError. A running guest changes the bytes at
        any time, and the memory is zeroed when the VM is started again. Error with errno EFAULT if
        the bytes are not within one piece of one region. A child after fork() must not touch it: guest
        memory is not there.
        """
        address = _check.u64("address", address)
        length = _check.integer("length", length, 1, _VIEW_MAX)
        place = ctypes.c_void_p()
        handle = self._vm._handle
        with handle.gate():
            lease = Lease(handle, self._vm)
            handle.check_barriers()
            call("nestvirt_memory_get_pointer", handle.pointer, address, length, ctypes.byref(place))
            assert place.value is not None
            return _raw_view(lease, place.value, length)

    def set_mergeable(self, region: int, on: bool) -> None:
        """
        Lets KSM merge a region's pages, or gives each page its own copy again.

        WARNING: merging is a side channel among all whose memory is mergeable on this host, and
        helps attacks by bit flips; memory.h tells more. Use it among VMs that may know each other's
        contents. UnsupportedError for backings where the kernel would ignore it.
        """
        self._vm._call("nestvirt_memory_set_mergeable", _check.integer("region", region),
                       _check.boolean("on", on))

    def get_ksm(self, region: Optional[int] = None) -> MemoryKSM:
        """What KSM has merged of a region, or of all. Takes milliseconds for each GiB in use."""
        raw = struct(nestvirt_memory_ksm)
        number = MEMORY_EVERY if region is None else _check.integer("region", region)
        self._vm._call("nestvirt_memory_get_ksm", number, ctypes.byref(raw))
        known = MemoryKSMFlag(raw.flags)

        def only(flag: MemoryKSMFlag, value: int) -> Optional[int]:
            return value if known & flag else None

        return MemoryKSM(raw.mergeable_bytes, only(MemoryKSMFlag.MERGED, raw.merged_bytes),
                         only(MemoryKSMFlag.MERGING_PAGES, raw.process_merging_pages),
                         only(MemoryKSMFlag.ZERO_PAGES, raw.process_zero_pages),
                         only(MemoryKSMFlag.RMAP_ITEMS, raw.process_rmap_items),
                         only(MemoryKSMFlag.PROFIT, raw.process_profit),
                         only(MemoryKSMFlag.HOST_RUN, raw.host_run))

    def set_numa(self, region: int, policy: Any, nodes: Optional[str] = None, *, strict: bool = False,
                 move: bool = False) -> None:
        """
        Changes a region's policy for the host's nodes.

        policy: NUMAPolicy or its name. nodes: as "0-1,3". move: also pages that are resident.
        strict: Error with errno EIO if a page is, or stays, on another node. Any state.
        """
        flags = NUMAFlag.STRICT if _check.boolean("strict", strict) else 0
        flags |= NUMAFlag.MOVE if _check.boolean("move", move) else 0
        self._vm._call("nestvirt_memory_set_numa", _check.integer("region", region),
                       _check.member("policy", NUMAPolicy, policy),
                       None if nodes is None else _check.text("nodes", nodes), int(flags))

    def get_placement(self, region: int, nodes: int = 64) -> Placement:
        """Where a region's pages are, by the kernel. nodes: how many of the host's are told apart."""
        raw = struct(nestvirt_memory_placement)
        pages = (ctypes.c_uint64 * _check.integer("nodes", nodes, 0, 1024))()
        self._vm._call("nestvirt_memory_get_placement", _check.integer("region", region), ctypes.byref(raw),
                       pages if nodes else None, nodes)
        return Placement(NUMAPolicy(raw.policy), raw.resident, raw.absent, raw.elsewhere, tuple(pages))
