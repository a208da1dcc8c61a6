# SPDX-License-Identifier: Apache-2.0
"""Owns virtio devices of the program's own."""

import ctypes
from typing import Any, Callable, Dict, Iterator, Optional

from . import _callbacks, _check
from ._abi import nestvirt_virtio_config
from ._base import VMBase
from ._constants import VIRTIO_CONFIG_MAX
from ._errors import StateError
from ._library import call, struct

_READ_MAX = (1 << 31) - 1


class Chain:
    """
    A request of the guest: bytes to read, then room to write to.

    Complete each, on any thread; the guest waits for it when it resets the device. What nobody
    refers to any more is completed as it is, and so are those that are left when the VM is closed.
    One thread at a time.
    """

    def __init__(self, device: "VirtioDevice", pointer: int) -> None:
        self._device = device
        self._pointer: Optional[int] = pointer
        self._handle = device._vm._handle
        self._handle.chains.add(pointer)

    def _call(self, function: str, *arguments: Any) -> int:
        with self._handle.gate():
            self._handle.check()
            if self._pointer is None:
                raise StateError(-9, "virtio chain: is completed", object="virtio chain")
            return call(function, self._pointer, *arguments)

    def _size(self) -> Any:
        readable, writable = ctypes.c_uint64(), ctypes.c_uint64()
        self._call("nestvirt_chain_get_size", ctypes.byref(readable), ctypes.byref(writable))
        return readable.value, writable.value

    @property
    def readable(self) -> int:
        """Bytes that are left to read."""
        return int(self._size()[0])

    @property
    def writable(self) -> int:
        """Bytes that are left to write."""
        return int(self._size()[1])

    def read(self, length: int = -1) -> bytes:
        """The next readable bytes, at most length; -1: all. Each can be read once."""
        wanted = _check.integer("length", length, -1, _READ_MAX)
        left = min(self.readable, _READ_MAX)
        buffer = ctypes.create_string_buffer(left if wanted < 0 else min(wanted, left))
        done = self._call("nestvirt_chain_read", buffer, len(buffer))
        return buffer.raw[:done]

    def write(self, data: _check.Buffer) -> int:
        """Fills the next writable bytes; how many there was room for."""
        view = bytes(_check.contents("data", data))
        return self._call("nestvirt_chain_write", view, len(view))

    def complete(self) -> bool:
        """Gives it back to the guest; False if the guest has reset the device meanwhile."""
        with self._handle.gate():
            self._handle.check()
            pointer, self._pointer = self._pointer, None
            if pointer is None:
                raise StateError(-9, "virtio chain: is completed", object="virtio chain")
            self._handle.chains.discard(pointer)
            return call("nestvirt_chain_complete", pointer) == 1

    def __del__(self) -> None:
        if self._pointer is not None and not self._handle.is_closed:
            try:
                self.complete()
            except OSError:
                pass  # The VM was closed in this moment, which has completed it.


Queue = Callable[["VirtioDevice", int], Any]
Config = Callable[["VirtioDevice", int, int], Any]


class VirtioDevice:
    """A virtio device of the program's own, by VM.add_virtio(). It belongs to the VM and lives as long."""

    def __init__(self, vm: VMBase) -> None:
        self._vm = vm
        self._pointer = 0
        self._functions: Dict[str, Callable[..., Any]] = {}

    def _call(self, function: str, *arguments: Any) -> int:
        with self._vm._handle.gate():
            self._vm._handle.check()
            return call(function, self._pointer, *arguments)

    def next_chain(self, queue: int = 0) -> Optional[Chain]:
        """A queue's next request, None if there is none now. Any thread."""
        pointer = ctypes.c_void_p()
        number = _check.integer("queue", queue)
        with self._vm._handle.gate():
            self._vm._handle.check()
            if not call("nestvirt_virtio_next_chain", self._pointer, number, ctypes.byref(pointer)):
                return None
            assert pointer.value is not None
            return Chain(self, pointer.value)

    def chains(self, queue: int = 0) -> Iterator[Chain]:
        """The requests that wait in a queue now."""
        while True:
            chain = self.next_chain(queue)
            if chain is None:
                return
            yield chain

    @property
    def features(self) -> int:
        """The features that the driver has accepted; 0 before."""
        value = ctypes.c_uint64()
        self._call("nestvirt_virtio_get_features", ctypes.byref(value))
        return value.value

    def get_config(self, offset: int, length: int) -> bytes:
        """Bytes of the configuration space."""
        length = _check.integer("length", length, 0, VIRTIO_CONFIG_MAX)
        buffer = ctypes.create_string_buffer(length)
        self._call("nestvirt_virtio_get_config", _check.integer("offset", offset), buffer, length)
        return buffer.raw

    def set_config(self, offset: int, data: _check.Buffer) -> None:
        """Writes bytes of the configuration space, and tells the driver."""
        view = bytes(_check.contents("data", data))
        self._call("nestvirt_virtio_set_config", _check.integer("offset", offset), view, len(view))

    def request_reset(self) -> None:
        """The guest broke the protocol: the device stops until the driver resets it."""
        self._call("nestvirt_virtio_request_reset")

    def get(self, name: str) -> int:
        """A counter: "faults", "ignored" or "notified"."""
        value = ctypes.c_uint64()
        self._call("nestvirt_device_get_u64", _check.text("name", name), ctypes.byref(value))
        return value.value

    def _dispatch(self, kind: str, *arguments: int) -> None:
        self._functions[kind](self, *arguments)


class VirtioMixin(VMBase):
    """Adds them."""

    def add_virtio(self, device_id: int, on_queue: Queue, *, queues: int = 1, queue_size: int = 0,
                   features: int = 0, config: _check.Buffer = b"", on_drop: Optional[Queue] = None,
                   on_config: Optional[Config] = None) -> VirtioDevice:
        """
        Adds a virtio device of the program's own. State new.

        device_id: what the driver looks for (virtio 1.2, section 5). queues: 1 to 64, each of
        queue_size descriptors (a power of two; 0: 256). features: the device's own bits. config:
        what the configuration space starts with, up to 256 bytes.
        on_queue(device, queue): a queue may have requests: take them with device.chains(queue) and
        complete each. It runs on the event loop's thread.
        on_drop(device, queue): complete every chain of that queue soon; needed where chains are
        completed outside of on_queue. on_config(device, offset, length): the guest wrote there;
        without it, it cannot. Both run on a vCPU's thread. An exception in any of them stops the
        VM; wait() raises HandlerError from it.
        """
        device = VirtioDevice(self)
        device._functions["queue"] = _check.function("on_queue", on_queue)
        raw = struct(nestvirt_virtio_config)
        raw.device_id = _check.integer("device_id", device_id)
        raw.queue_count = _check.integer("queues", queues)
        raw.queue_size = _check.integer("queue_size", queue_size)
        raw.features = _check.u64("features", features)
        start = bytes(_check.contents("config", config))
        raw.config_length = len(start)
        buffer = ctypes.create_string_buffer(start, len(start)) if start else None
        raw.config = ctypes.addressof(buffer) if buffer is not None else None
        for name, function in (("drop", on_drop), ("config", on_config)):
            if function is not None:
                device._functions[name] = _check.function(f"on_{name}", function)
        self._add_virtio(device, raw)
        return device

    def _add_virtio(self, device: VirtioDevice, raw: Any) -> None:
        pointer = ctypes.c_void_p()
        number = _callbacks.add(self, device._dispatch)
        try:
            self._call("nestvirt_virtio_add", ctypes.byref(raw), _callbacks.on_queue, number,
                       _callbacks.free_data, ctypes.byref(pointer))
        except BaseException:
            _callbacks.discard(self, number)
            raise
        device._pointer = pointer.value or 0
        if "drop" in device._functions:
            device._call("nestvirt_virtio_set_drop_handler", _callbacks.on_drop)
        if "config" in device._functions:
            device._call("nestvirt_virtio_set_config_handler", _callbacks.on_config)
