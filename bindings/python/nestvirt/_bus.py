# SPDX-License-Identifier: Apache-2.0
"""Owns a VM's ranges that the program handles, and its interrupts."""

import ctypes
from typing import Any, Callable, Optional, Union

from . import _callbacks, _check
from ._abi import nestvirt_ioeventfd_config
from ._base import VMBase
from ._constants import IRQ_ANY, Action, IoeventfdFlag, IRQFlag, Space
from ._library import struct
from ._values import Access

Answer = Union[int, bytes, Action, None]
Handler = Callable[[Access], Answer]


class BusMixin(VMBase):
    """Handlers, ioeventfds and interrupts."""

    def add_handler(self, space: Any, address: int, length: int, handler: Handler) -> int:
        """
        Gives the accesses to a range to a function of the program; returns a number. State new.

        space: Space.PORT or Space.MMIO, or the name. handler: is given an Access, on the vCPU's
        thread, and answers None (done; a read gives 0), an int or bytes (what the guest reads), or
        an Action. An exception in it stops the VM; wait() raises HandlerError from it. It must not
        wait for what only happens when the VM goes on, and cannot stop or close the VM: answer
        Action.STOP. ExistsError where the range overlaps another one.
        """
        space = _check.member("space", Space, space)
        address, length = _check.u64("address", address), _check.u64("length", length)
        return self._give("nestvirt_handler_add", (space, address, length), _callbacks.on_access,
                          _check.function("handler", handler))

    def add_port_handler(self, address: int, length: int, handler: Handler) -> int:
        """add_handler() for ports, which are 0 to 0xffff."""
        return self.add_handler(Space.PORT, address, length, handler)

    def add_mmio_handler(self, address: int, length: int, handler: Handler) -> int:
        """add_handler() for guest physical addresses outside of memory."""
        return self.add_handler(Space.MMIO, address, length, handler)

    def remove_handler(self, handler: int) -> None:
        """Removes a handler by its number. State new. NotFoundError if there is none."""
        self._call("nestvirt_handler_remove", _check.integer("handler", handler))

    def add_ioeventfd(self, space: Any, address: int, fd: _check.Descriptor, *, length: int = 0,
                      value: Optional[int] = None) -> None:
        """
        Lets guest writes signal an eventfd in the kernel, without any function. State new.

        length: bytes of the write, 1, 2, 4 or 8, or 0 for any. value: only writes of it. fd is
        duplicated.
        """
        config = struct(nestvirt_ioeventfd_config)
        config.space = _check.member("space", Space, space)
        config.address = _check.u64("address", address)
        config.length = _check.integer("length", length)
        config.fd = _check.descriptor("fd", fd)
        if value is not None:
            config.flags = IoeventfdFlag.DATAMATCH
            config.value = _check.u64("value", value)
        self._call("nestvirt_ioeventfd_add", ctypes.byref(config))

    def add_irq(self, pin: Optional[int] = None, *, level: bool = False) -> int:
        """
        Claims a pin of the interrupt controller and returns it. State new.

        pin: 0 to 23; None lets the library choose. level: fires again while raised; else edge.
        """
        flags = IRQFlag.LEVEL if _check.boolean("level", level) else 0
        return self._call("nestvirt_irq_add", IRQ_ANY if pin is None else _check.integer("pin", pin), int(flags))

    def set_irq(self, pin: int, level: bool) -> None:
        """Raises (True) or lowers a claimed line. States built to paused; also from handlers."""
        self._call("nestvirt_irq_set", _check.integer("pin", pin), _check.boolean("level", level))

    def add_irqfd(self, pin: int, fd: _check.Descriptor) -> None:
        """Lets an eventfd, which is duplicated, trigger a claimed edge line. State new."""
        self._call("nestvirt_irqfd_add", _check.integer("pin", pin), _check.descriptor("fd", fd))

    def send_msi(self, address: int, data: int) -> bool:
        """Sends a message-signalled interrupt; whether a vCPU took it. States built to paused."""
        return self._call("nestvirt_msi_send", _check.u64("address", address), _check.integer("data", data)) == 1
