# SPDX-License-Identifier: Apache-2.0
"""Owns what all parts of a VM's class share: its handle, the functions it was given, and calls."""

from errno import ECANCELED as _ECANCELED
from typing import Any, Dict, Optional

from ._callbacks import Slot, add, discard, free_data
from ._errors import HandlerError
from ._handle import Handle
from ._library import call


class VMBase:
    """The VM's handle."""

    _handle: Handle
    _slots: Dict[int, Slot]  # Functions that the library may call, by their user_data.
    _kinds: Dict[int, str]  # Of devices, by their pointers; those that are known.
    _texts: Dict[int, Dict[str, str]]  # Properties of devices that were set here, by their pointers.
    _failure: Optional[BaseException]  # The first exception that left one of them in this run.

    def _call(self, function: str, *arguments: Any) -> int:
        """Calls a function of the library whose first parameter is the VM and whose last is ret_error."""
        with self._handle.gate():
            return call(function, self._handle.pointer, *arguments)

    def _give(self, function: str, before: Any, trampoline: Any, callback: Any) -> int:
        """Calls one that takes a callback as fn, user_data and free_data, behind the arguments `before`."""
        number = add(self, callback)
        try:
            return self._call(function, *before, trampoline, number, free_data)
        except BaseException:
            discard(self, number)
            raise

    def _raise_failure(self) -> None:
        """Raises what left a function of the program, if something did."""
        failure = self._failure
        if failure is None:
            return
        if not isinstance(failure, Exception):
            raise failure  # Such as KeyboardInterrupt.
        label = self._handle.label
        raise HandlerError(-_ECANCELED, f"{label}: a function of the program raised {failure!r}, "
                           "which stopped the VM", object=label) from failure
