# SPDX-License-Identifier: Apache-2.0
"""Owns the exceptions, and turning the library's error objects into them."""

import errno as _errno
from ctypes import c_void_p
from typing import Any, Dict, List, Optional, Type

from ._constants import ErrorCode


class Error(OSError):
    """
    A call failed.

    code: the library's negative code, a negated errno or an ErrorCode. name: "EINVAL" or the like.
    errno: the same as a positive number of the module errno, or that of the system call which failed.
    strerror: one whole sentence: object, problem and remedy. Also str() of the exception.
    object, hint: the object and the remedy alone, "" if there is none.
    problems: what is wrong, one Error each, where validate() or build() found several things.
    """

    def __init__(self, code: int, message: str, *, object: str = "", hint: str = "",
                 system_errno: int = 0) -> None:
        number = -code if code > ErrorCode.BUG else system_errno
        super().__init__(number, message)
        self.code = code
        self.object = object
        self.hint = hint
        self.system_errno = system_errno
        self.problems: List["Error"] = []
        self.name = _errno.errorcode.get(-code, str(code))

    def __str__(self) -> str:
        return str(self.strerror)

    def __reduce__(self) -> Any:
        state = {name: value for name, value in self.__dict__.items() if name != "code"}
        return type(self), (self.code, str(self)), state


class StateError(Error):
    """The object is not in a state that allows the call, closed for example, or the thread is not."""


class BusyError(StateError):
    """Not in this state of the VM, or something else holds what is wanted."""


class UnsupportedError(Error):
    """The host, the library in use or its build cannot do it; the text says which and why."""


class NotFoundError(Error, FileNotFoundError):
    """There is no such file, device, property or number."""


class ExistsError(Error, FileExistsError):
    """It exists, or would overlap something that does."""


class AccessError(Error, PermissionError):
    """Not permitted; the text says what would be needed."""


class WaitTimeout(Error, TimeoutError):
    """The time was over before what was waited for."""


class InvalidVMError(Error):
    """Several things are wrong with a VM; see problems."""


class HandlerError(Error):
    """A function that the program gave to a VM raised an exception, which stopped the VM; see __cause__."""


class LibraryError(Error):
    """libnestvirt cannot be used: not found, or of another major version."""


for _class in (Error, StateError, BusyError, UnsupportedError, NotFoundError, ExistsError, AccessError, WaitTimeout,
               InvalidVMError, HandlerError, LibraryError):
    _class.__module__ = "nestvirt"  # Where programs find them, and what tracebacks should say.

_CLASSES: Dict[int, Type[Error]] = {
    -_errno.EALREADY: StateError,
    -_errno.EDEADLK: StateError,
    -_errno.ECHILD: StateError,
    -_errno.ESTALE: StateError,
    -_errno.EBUSY: BusyError,
    -_errno.ENOTSUP: UnsupportedError,
    -_errno.ENOENT: NotFoundError,
    -_errno.EEXIST: ExistsError,
    -_errno.EACCES: AccessError,
    -_errno.EPERM: AccessError,
    -_errno.ETIMEDOUT: WaitTimeout,
    ErrorCode.INVALID_VM: InvalidVMError,
}


def _text(value: Optional[bytes]) -> str:
    return (value or b"").decode("utf-8", "replace")


def _one(lib: Any, code: int, error: Any) -> Error:
    """The exception of one error object."""
    return _named(lib, _CLASSES.get(code, Error)(
        code, _text(lib.nestvirt_error_get_message(error)), object=_text(lib.nestvirt_error_get_object(error)),
        hint=_text(lib.nestvirt_error_get_hint(error)), system_errno=lib.nestvirt_error_get_errno(error)))


def _named(lib: Any, error: Error) -> Error:
    """With the name that the library has for the code, which may be newer than this package."""
    error.name = _text(lib.nestvirt_error_code_name(error.code))
    return error


def from_code(lib: Any, code: int, what: str) -> Error:
    """The exception of a call that gives no error object; `what` names its object."""
    text = _text(lib.nestvirt_error_code_text(code))
    return _named(lib, _CLASSES.get(code, Error)(code, f"{what}: {text}", object=what))


def take(lib: Any, code: int, error: c_void_p, what: str) -> Error:
    """The exception of a call that returned `code`; frees the error object."""
    if not error:
        return from_code(lib, code, what)
    try:
        found = _one(lib, code, error)
        following = lib.nestvirt_error_get_next(error)
        if code == ErrorCode.INVALID_VM:
            found.problems.append(_one(lib, lib.nestvirt_error_get_code(error), error))
        while following:
            found.problems.append(_one(lib, lib.nestvirt_error_get_code(following), following))
            following = lib.nestvirt_error_get_next(following)
        return found
    finally:
        lib.nestvirt_error_free(error)
