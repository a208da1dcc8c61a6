# SPDX-License-Identifier: Apache-2.0
"""
Owns the loaded library: found at the first call, its functions bound at their first use.

A function that the library in use lacks raises UnsupportedError when it is called.
"""

import ctypes
import errno
import os
import threading
from typing import Any, Callable, Optional, Type, TypeVar

from . import _errors
from ._abi import PROTOTYPES
from ._constants import VERSION_MAJOR

SONAME = f"libnestvirt.so.{VERSION_MAJOR}"
# A path in the environment takes the place of the system's own search.
VARIABLE = "NESTVIRT_LIBRARY"

S = TypeVar("S", bound=ctypes.Structure)


def _open() -> ctypes.CDLL:
    name = os.environ.get(VARIABLE) or SONAME
    try:
        cdll = ctypes.CDLL(name)
        version = cdll.nestvirt_version
    except (OSError, AttributeError) as error:
        reason = str(error)  # That of dlopen() begins with the name.
        raise _errors.LibraryError(
            -errno.ENOENT,
            f"{'' if reason.startswith(name) else name + ': '}{reason}; "
            f"install libnestvirt {VERSION_MAJOR}.x (meson install, then ldconfig), "
            f"or name its file in {VARIABLE}") from error
    version.restype = ctypes.c_uint32
    version.argtypes = ()
    if version() >> 16 != VERSION_MAJOR:
        raise _errors.LibraryError(
            -errno.ENOTSUP,
            f"{name}: is version {version() >> 16}.{version() >> 8 & 255}, this package needs "
            f"{VERSION_MAJOR}.x; install libnestvirt {VERSION_MAJOR}.x")
    return cdll


class Library:
    """The library's functions as attributes, by their C names."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._cdll: Optional[ctypes.CDLL] = None

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name not in PROTOTYPES:
            raise AttributeError(name)
        with self._lock:
            if self._cdll is None:
                self._cdll = _open()
        try:
            function: Any = getattr(self._cdll, name)
        except AttributeError:
            return self._missing(name)
        function.restype, function.argtypes = PROTOTYPES[name]
        setattr(self, name, function)
        bound: Callable[..., Any] = function
        return bound

    def _missing(self, name: str) -> Callable[..., Any]:
        """What stands in for a function that is not there: it raises UnsupportedError."""
        def refuse(*_: Any) -> Any:
            version = self._version_text()
            raise _errors.UnsupportedError(
                -errno.ENOTSUP, f"{name}: not supported by libnestvirt {version}; install a newer one", object=name)
        return refuse

    def _version_text(self) -> str:
        assert self._cdll is not None
        number = self._cdll.nestvirt_version()
        return f"{number >> 16}.{number >> 8 & 255}.{number & 255}"


lib = Library()


def _after_fork() -> None:
    """Another thread of the parent may have held the lock, and is not here to give it back."""
    lib._lock = threading.Lock()


os.register_at_fork(after_in_child=_after_fork)


def call(function: str, *arguments: Any) -> int:
    """
    Calls a function whose last parameter is ret_error, which is added here.

    Returns the result; raises Error for a negative one.
    """
    error = ctypes.c_void_p()
    result: int = getattr(lib, function)(*arguments, ctypes.byref(error))
    if result < 0:
        raise _errors.take(lib, result, error, function)
    return result


def struct(kind: Type[S]) -> S:
    """A structure of the library, with its size and the defaults set by its _init function."""
    value = kind()
    getattr(lib, f"{kind.__name__}_init")(ctypes.byref(value), ctypes.sizeof(value))
    return value


def check(result: int, what: str) -> int:
    """The result of a function without ret_error; raises Error for a negative one."""
    if result < 0:
        raise _errors.from_code(lib, result, what)
    return result


def version() -> str:
    """The version of the library in use, such as "0.1.0"."""
    text: bytes = lib.nestvirt_version_string()
    return text.decode()
