# SPDX-License-Identifier: Apache-2.0
"""Owns the host's NUMA nodes, and choosing one of them."""

import ctypes
import weakref
from dataclasses import dataclass
from typing import Iterator, Optional, Tuple

from . import _check
from ._abi import nestvirt_numa_config, nestvirt_numa_need, nestvirt_numa_node, nestvirt_numa_pool
from ._constants import NUMANodeFlag
from ._errors import NotFoundError
from ._handle import Closable, Handle
from ._library import call, struct
from ._texts import read_text


@dataclass(frozen=True)
class NUMAPool:
    """Huge pages of one size on one node: bytes of one, and how many pages there are and are free."""

    page_size: int
    total: int
    free: int


@dataclass(frozen=True)
class NUMANode:
    """
    A node of the host.

    cpus: how many are online. cpus_allowed: those of them that the thread may run on. Memory in
    bytes; memory_available counts caches that the kernel gives up for others too. is_allowed: the
    thread may have memory of the node.
    """

    node: int
    cpus: int
    cpus_allowed: int
    memory_total: int
    memory_free: int
    memory_available: int
    is_allowed: bool
    pools: Tuple[NUMAPool, ...]


class NUMA(Closable):
    """
    The host's nodes as they were when this was made, which takes a moment: make a new one to look again.

    root: a folder that holds sys and proc, None for this machine.
    """

    def __init__(self, root: Optional[_check.Path] = None) -> None:
        config = struct(nestvirt_numa_config)
        if root is not None:
            config.root = _check.path("root", root)
        pointer = ctypes.c_void_p()
        call("nestvirt_numa_new", ctypes.byref(config), ctypes.byref(pointer))
        self._handle = Handle(pointer.value, "host nodes", "nestvirt_numa_free")
        weakref.finalize(self, self._handle.close).atexit = False

    def _call(self, function: str, *arguments: object) -> int:
        with self._handle.gate():
            return call(function, self._handle.pointer, *arguments)

    def nodes(self) -> Iterator[NUMANode]:
        """The nodes that are online, by number."""
        position = 0
        while True:
            raw = struct(nestvirt_numa_node)
            try:
                self._call("nestvirt_numa_get_node", position, ctypes.byref(raw))
            except NotFoundError:
                return
            yield NUMANode(raw.node, raw.cpus, raw.cpus_allowed, raw.memory_total, raw.memory_free,
                           raw.memory_available, bool(raw.flags & NUMANodeFlag.ALLOWED),
                           tuple(self._pool(raw.node, pool) for pool in range(raw.pools)))
            position += 1

    def _pool(self, node: int, position: int) -> NUMAPool:
        raw = struct(nestvirt_numa_pool)
        self._call("nestvirt_numa_get_pool", node, position, ctypes.byref(raw))
        return NUMAPool(raw.page_size, raw.total, raw.free)

    def get_cpus(self, node: int, *, allowed: bool = False) -> str:
        """
        A node's CPUs as "0-3,8"; with allowed only those that the thread may run on.

        NotFoundError for a node that is not online.
        """
        number, only = _check.integer("node", node), _check.boolean("allowed", allowed)
        return read_text(lambda buffer, size: self._call("nestvirt_numa_get_cpus", number, int(only), buffer, size))

    def get_distance(self, from_node: int, to_node: int) -> int:
        """How far memory of to_node is from CPUs of from_node: 10 is the node itself, 20 twice as far."""
        return self._call("nestvirt_numa_get_distance", _check.integer("from_node", from_node),
                          _check.integer("to_node", to_node))

    def get_place(self, memory: _check.Size = 0, vcpus: int = 0, *, page_size: _check.Size = 0) -> int:
        """
        Chooses a node with enough memory and CPUs that this thread may use; its number.

        memory: bytes or a text such as "4G". vcpus: each gets a CPU to itself. page_size: of huge
        pages, 0: ordinary ones. Nothing is reserved. Error with errno ENOSPC where no node has
        enough; its text says what each has.
        """
        need = struct(nestvirt_numa_need)
        need.memory = _check.size("memory", memory)
        need.vcpus = _check.integer("vcpus", vcpus)
        need.page_size = _check.size("page_size", page_size)
        return self._call("nestvirt_numa_get_place", ctypes.byref(need))
