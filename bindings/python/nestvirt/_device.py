# SPDX-License-Identifier: Apache-2.0
"""Owns devices of the library's kinds, and their properties as attributes."""

import ctypes
import errno
import os
from typing import TYPE_CHECKING, Any, Dict, Generic, Iterator, List, Optional, Tuple, Type, TypeVar, Union, overload

from . import _check
from ._abi import nestvirt_device_property
from ._base import VMBase
from ._constants import PropertyFlag, PropertyType
from ._errors import Error, NotFoundError
from ._library import call, lib, struct


class PropertyInfo:
    """A property of a kind of device, as the library in use describes it."""

    def __init__(self, raw: Any) -> None:
        self.name: str = raw.name.decode()
        self.help: str = raw.help.decode()
        self.type = PropertyType(raw.type)
        self.is_live = bool(raw.flags & PropertyFlag.LIVE)
        self.is_read_only = bool(raw.flags & PropertyFlag.READ_ONLY)
        self.is_identity = bool(raw.flags & PropertyFlag.IDENTITY)  # A clone has its own.

    def __repr__(self) -> str:
        return f"<PropertyInfo {self.name}, {self.type}: {self.help}>"


def device_kinds() -> Tuple[str, ...]:
    """The kinds of devices that the library in use has."""
    found: List[str] = []
    while True:
        name: Optional[bytes] = lib.nestvirt_device_get_kind(len(found))
        if name is None:
            return tuple(found)
        found.append(name.decode())


_properties: Dict[str, Dict[str, PropertyInfo]] = {}


def device_properties(kind: str) -> Dict[str, PropertyInfo]:
    """The properties of a kind, by name. NotFoundError for a kind that the library does not have."""
    encoded = _check.text("kind", kind)
    known = _properties.get(kind)
    if known is None:
        if kind not in device_kinds():
            names = ", ".join(device_kinds())
            raise NotFoundError(-2, f"device kind {kind}: is none of {names}", object=f"device kind {kind}")
        known = {one.name: one for one in _read_properties(encoded)}
        _properties[kind] = known
    return dict(known)


def _read_properties(kind: bytes) -> Iterator[PropertyInfo]:
    position = 0
    while True:
        raw = struct(nestvirt_device_property)
        try:
            call("nestvirt_device_get_property", kind, position, ctypes.byref(raw))
        except NotFoundError:
            return
        yield PropertyInfo(raw)
        position += 1


def prepare(kind: str, name: str, value: Any) -> Tuple[str, str, Any]:
    """The function that sets a property, its name, and the value, checked, as the function takes it."""
    _check.text("name", name)
    label = f"{kind}.{name}"
    known = device_properties(kind).get(name)
    if known is None:
        return "nestvirt_device_set_u64", name, 0  # It fails, and its text lists the names there are.
    if known.type is PropertyType.STRING:
        return "nestvirt_device_set_string", name, _check.text(label, getattr(value, "__fspath__", lambda: value)())
    if known.type is PropertyType.FD:
        return "nestvirt_device_set_fd", name, _check.descriptor(label, value)
    if known.type is PropertyType.BOOL:
        return "nestvirt_device_set_u64", name, int(_check.boolean(label, value))
    return "nestvirt_device_set_u64", name, _check.size(label, value)


class Device:
    """A device of a VM. It belongs to the VM and lives as long."""

    kind: str = ""

    def __init__(self, vm: VMBase, kind: str, pointer: int) -> None:
        self._vm = vm
        self._pointer = pointer
        self._texts = vm._texts.setdefault(pointer, {})
        self.kind = kind

    def _call(self, function: str, *arguments: Any) -> int:
        with self._vm._handle.gate():
            self._vm._handle.check()
            return call(function, self._pointer, *arguments)

    def get(self, name: str) -> Union[int, bool, str, None]:
        """
        A property: a number, a truth value, or a text that was set here.

        Any state. NotFoundError for an unknown name. Descriptors cannot be read back.
        """
        encoded = _check.text("name", name)
        known = self.properties().get(name)
        if known is not None and known.type is PropertyType.STRING:
            return self._texts.get(name)
        value = ctypes.c_uint64()
        self._call("nestvirt_device_get_u64", encoded, ctypes.byref(value))
        return bool(value.value) if known is not None and known.type is PropertyType.BOOL else value.value

    def set(self, name: str, value: Any) -> None:
        """
        Sets a property. State new, or any for a live one.

        value: an int, bool, str, or a descriptor (an int or what has fileno()), as the property's
        type needs. NotFoundError for an unknown name, AccessError for one that is read-only.
        """
        self._set(*prepare(self.kind, name, value))

    def _set(self, function: str, name: str, value: Any) -> None:
        """Does what prepare() made ready."""
        self._call(function, name.encode("utf-8", "surrogateescape"), value)
        if isinstance(value, bytes):
            self._texts[name] = value.decode("utf-8", "surrogateescape")

    def properties(self) -> Dict[str, PropertyInfo]:
        """What this kind of device has, by name."""
        return device_properties(self.kind)

    if not TYPE_CHECKING:  # Type checkers know the properties of the classes in _devices.

        def __getattr__(self, name: str) -> Any:
            """A property that this package does not know, but the library in use does."""
            known = None if name.startswith("_") else self.properties().get(name)
            if known is None or known.type is PropertyType.FD:
                raise AttributeError(f"{self.kind}.{name}: {'cannot be read' if known else 'there is no such property'}")
            return self.get(name)

        def __setattr__(self, name: str, value: Any) -> None:
            """Likewise; anything else would be a mistake that nobody sees."""
            if name.startswith("_") or hasattr(type(self), name):
                super().__setattr__(name, value)
            elif name in self.properties():
                self.set(name, value)
            else:
                raise AttributeError(f"{self.kind}.{name}: there is no such property")

    def __repr__(self) -> str:
        return f"<nestvirt {self.kind} of {self._vm._handle.label}>"


class OwnDevice(Device):
    """A virtio device of the program's own, among others: it only has the counters of VirtioDevice.get()."""

    kind = "virtio"

    def properties(self) -> Dict[str, PropertyInfo]:
        """None: it is of no kind of the library."""
        return {}


def find_kind(vm: VMBase, pointer: int) -> str:
    """
    The kind of a device that was not added here, such as a clone's.

    The library does not tell it, but which properties there are: it is the kind with the most of
    those that all are there.
    """
    kinds = sorted(device_kinds(), key=lambda kind: len(device_properties(kind)), reverse=True)
    for kind in kinds:
        if all(_has(vm, pointer, name) for name in device_properties(kind)):
            return kind
    return OwnDevice.kind


def _has(vm: VMBase, pointer: int, name: str) -> bool:
    value = ctypes.c_uint64()
    try:
        with vm._handle.gate():
            vm._handle.check()
            call("nestvirt_device_get_u64", pointer, name.encode(), ctypes.byref(value))
    except NotFoundError:
        return False
    except Error as error:
        if error.code != -errno.EINVAL:  # It is no number, but it is there.
            raise
    return True


G = TypeVar("G")
S = TypeVar("S")
P = TypeVar("P", bound="Property[Any, Any]")


class Property(Generic[G, S]):
    """A property of a class of devices, as an attribute; the library's help is its documentation."""

    def __init__(self, help: str) -> None:
        self.__doc__ = help
        self._name = ""

    def __set_name__(self, owner: Type[Device], name: str) -> None:
        self._name = name

    @overload
    def __get__(self: P, device: None, owner: Type[Device]) -> P: ...
    @overload
    def __get__(self, device: Device, owner: Type[Device]) -> G: ...

    def __get__(self, device: Optional[Device], owner: Type[Device]) -> Any:
        return self if device is None else device.get(self._name)

    def __set__(self, device: Device, value: S) -> None:
        device.set(self._name, value)


class Number(Property[int, Union[int, str]]):
    """A number; sizes may be texts such as "1G"."""


class Truth(Property[bool, bool]):
    """True or False."""


class Text(Property[Optional[str], Union[str, "os.PathLike[str]"]]):
    """A text; reads as None where none was set here."""


class Descriptor(Property[None, Any]):
    """A file descriptor, or an object with fileno(); it is duplicated. It cannot be read back."""

    def __get__(self, device: Optional[Device], owner: Type[Device]) -> Any:
        if device is None:
            return self
        raise AttributeError(f"{device.kind}.{self._name}: can be set, not read")


class Counter(Property[int, Any]):
    """A counter or state, only to be read."""
