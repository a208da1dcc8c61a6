# SPDX-License-Identifier: Apache-2.0
"""Owns adding a device to a VM."""

import ctypes
import os
from typing import Any, Dict, List, Optional, Tuple, Type, TypeVar, Union

from . import _check
from ._base import VMBase
from ._device import Device, prepare

Num = Optional[Union[int, str]]
Bool = Optional[bool]
Str = Optional[Union[str, "os.PathLike[str]"]]
D = TypeVar("D", bound=Device)


class AdderBase(VMBase):
    """Makes devices."""

    def _add_known(self, kind: Type[D], properties: Dict[str, Any]) -> D:
        prepared = [prepare(kind.kind, name, value) for name, value in properties.items() if value is not None]
        return self._add(kind, kind.kind, prepared)

    def _add(self, python_class: Type[D], kind: str, prepared: List[Tuple[str, str, Any]]) -> D:
        pointer = ctypes.c_void_p()
        self._call("nestvirt_device_add", _check.text("kind", kind), ctypes.byref(pointer))
        assert pointer.value is not None
        self._kinds[pointer.value] = kind
        device = python_class(self, kind, pointer.value)
        for one in prepared:
            device._set(*one)
        return device
