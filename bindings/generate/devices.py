# SPDX-License-Identifier: Apache-2.0
"""Owns reading the kinds of devices and their properties out of a compiled library."""

import ctypes
from dataclasses import dataclass, field
from pathlib import Path
from typing import List

from headers import Api

LIBRARY = Path(__file__).resolve().parents[2] / "build" / "lib" / "libnestvirt.so.0"


class Record(ctypes.Structure):
    """struct nestvirt_device_property"""

    _fields_ = [("size", ctypes.c_uint32), ("flags", ctypes.c_uint32), ("type", ctypes.c_uint32),
                ("reserved", ctypes.c_uint32), ("name", ctypes.c_char_p), ("help", ctypes.c_char_p)]


@dataclass
class Property:
    """A property of a kind: type is u64, bool, fd or string."""

    name: str
    type: str
    help: str
    is_live: bool
    is_read_only: bool


@dataclass
class Kind:
    """A kind of device."""

    name: str
    properties: List[Property] = field(default_factory=list)


def read(api: Api, path: Path = LIBRARY) -> List[Kind]:
    """The kinds that a library has, in its order."""
    library = ctypes.CDLL(str(path))
    library.nestvirt_device_get_kind.restype = ctypes.c_char_p
    types = {constant.value: name[len("NESTVIRT_PROPERTY_"):].lower()
             for name, constant in api.constants.items() if constant.group == "NESTVIRT_PROPERTY_U64"}
    live = api.constants["NESTVIRT_PROPERTY_LIVE"].value
    read_only = api.constants["NESTVIRT_PROPERTY_READ_ONLY"].value
    kinds: List[Kind] = []
    while True:
        name = library.nestvirt_device_get_kind(len(kinds))
        if name is None:
            return kinds
        kind = Kind(name.decode())
        record = Record()
        library.nestvirt_device_property_init(ctypes.byref(record), ctypes.sizeof(record))
        while library.nestvirt_device_get_property(name, len(kind.properties), ctypes.byref(record), None) >= 0:
            kind.properties.append(Property(record.name.decode(), types[record.type], record.help.decode(),
                                            bool(record.flags & live), bool(record.flags & read_only)))
        kinds.append(kind)
