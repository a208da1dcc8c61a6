# SPDX-License-Identifier: Apache-2.0
"""
Owns the way from the library into functions of the program.

The library gets one C function for each kind of callback, which exists as long as the process, and
as user_data the number of a slot. The slot holds the program's function and belongs to its VM, so
that a VM and functions that refer to it can be collected together. The library's free_data ends it.
"""

import _thread
import ctypes
import itertools
import weakref
from ctypes import c_int32, c_void_p
from typing import TYPE_CHECKING, Any, Callable, Dict, Optional

from . import _abi
from ._constants import Action
from ._library import lib
from ._values import Access, Exit

if TYPE_CHECKING:
    from ._base import VMBase

_RESUME, _STOP, _DEFAULT = int(Action.RESUME), int(Action.STOP), int(Action.DEFAULT)


class Slot:
    """A function of the program, and the VM that it is for."""

    __slots__ = ("function", "vm", "__weakref__")

    def __init__(self, function: Callable[..., Any], vm: "VMBase") -> None:
        self.function = function
        self.vm = weakref.ref(vm)


_numbers = itertools.count(1)
_slots: Dict[int, "weakref.ref[Slot]"] = {}


def add(vm: "VMBase", function: Callable[..., Any]) -> int:
    """Makes a slot; its number is the user_data."""
    number = next(_numbers)
    slot = Slot(function, vm)
    vm._slots[number] = slot
    _slots[number] = weakref.ref(slot)
    return number


def discard(vm: "VMBase", number: int) -> None:
    """The library did not take the callback after all."""
    _slots.pop(number, None)
    vm._slots.pop(number, None)


def find(number: int) -> Optional[Slot]:
    """The slot, None when its VM is collected."""
    reference = _slots.get(number)
    return None if reference is None else reference()


def count() -> int:
    """How many functions the library may call now; for tests."""
    return len(_slots)


def fail(slot: Slot, error: BaseException) -> None:
    """An exception left a function: whoever waits for the VM is told."""
    vm = slot.vm()
    if vm is not None and vm._failure is None:
        vm._failure = error


def fail_and_stop(slot: Slot, error: BaseException) -> None:
    """The same where the answer cannot stop the VM: another thread does."""
    fail(slot, error)
    vm = slot.vm()
    if vm is not None:
        _thread.start_new_thread(_stop, (vm,))


def _stop(vm: "VMBase") -> None:
    try:
        with vm._handle.gate():
            lib.nestvirt_vm_stop(vm._handle.pointer, -1, None)
    except OSError:
        pass  # It is closed: there is nothing left to stop.


def _free_slot(number: Optional[int]) -> None:
    reference = _slots.pop(number or 0, None)
    slot = None if reference is None else reference()
    vm = None if slot is None else slot.vm()
    if vm is not None:
        vm._slots.pop(number or 0, None)


def _put(raw: Any, answer: Any) -> int:
    """Does what a handler answered for an access; the action. To a write, only an Action says anything."""
    if isinstance(answer, Action):
        return int(answer)
    if isinstance(answer, int):
        data: Any = b"" if raw.is_write else answer.to_bytes(raw.length, "little")
    elif isinstance(answer, (bytes, bytearray)):
        data = answer
    else:
        raise TypeError(f"a handler answers an int, bytes, an Action or None, not {answer!r}")
    if not raw.is_write:
        if len(data) != raw.length:
            raise ValueError(f"a handler answered {len(data)} bytes to an access of {raw.length}")
        raw.data[0:raw.length] = data
    return _RESUME


def _handle(number: int, pointer: Any, kind: Callable[[Any], Any], default: int) -> int:
    """What a handler answers, as an action; `default` is that of None."""
    slot = find(number)
    if slot is None:
        return _DEFAULT
    try:
        raw = pointer.contents
        answer = slot.function(kind(raw))
        return default if answer is None else _put(raw, answer)
    except BaseException as error:  # pylint: disable=broad-except
        fail(slot, error)
        return _STOP


def _on_access(number: int, pointer: Any) -> int:
    return _handle(number, pointer, Access, _RESUME)


def _on_exit(number: int, pointer: Any) -> int:
    return _handle(number, pointer, Exit, _DEFAULT)


def _run(number: int, *arguments: Any) -> None:
    """A callback that answers nothing."""
    slot = find(number)
    if slot is None:
        return
    try:
        slot.function(*arguments)
    except BaseException as error:  # pylint: disable=broad-except
        fail_and_stop(slot, error)


def _on_log(number: int, level: int, text: Optional[bytes]) -> None:
    _run(number, level, (text or b"").decode("utf-8", "replace"))


def _on_queue(number: int, _device: int, queue: int) -> None:
    _run(number, "queue", queue)


def _on_drop(number: int, _device: int, queue: int) -> None:
    _run(number, "drop", queue)


def _on_config(number: int, _device: int, offset: int, length: int) -> None:
    _run(number, "config", offset, length)


# As _abi's prototypes take them. They are never freed: the library may hold them to the very end.
free_data = ctypes.CFUNCTYPE(None, c_void_p)(_free_slot)
on_access = ctypes.CFUNCTYPE(c_int32, c_void_p, ctypes.POINTER(_abi.nestvirt_access))(_on_access)
on_exit = ctypes.CFUNCTYPE(c_int32, c_void_p, ctypes.POINTER(_abi.nestvirt_exit))(_on_exit)
on_log = ctypes.CFUNCTYPE(None, c_void_p, ctypes.c_uint32, ctypes.c_char_p)(_on_log)
on_queue = ctypes.CFUNCTYPE(None, c_void_p, c_void_p, ctypes.c_uint32)(_on_queue)
on_drop = ctypes.CFUNCTYPE(None, c_void_p, c_void_p, ctypes.c_uint32)(_on_drop)
on_config = ctypes.CFUNCTYPE(None, c_void_p, c_void_p, ctypes.c_uint32, ctypes.c_uint32)(_on_config)

# NULL of the same types: no function.
no_log = ctypes.cast(c_void_p(), type(on_log))
no_exit = ctypes.cast(c_void_p(), type(on_exit))
no_free = ctypes.cast(c_void_p(), type(free_data))
