# SPDX-License-Identifier: Apache-2.0
"""
Owns the checks of arguments, made before the library is called.

Each names the parameter: TypeError for another type, ValueError for a value out of range.
"""

import enum
import math
import operator
import os
import re
from typing import TYPE_CHECKING, Any, Callable, Optional, Type, TypeVar, Union


if TYPE_CHECKING:
    import array
    import ctypes
    import mmap

U32_MAX = (1 << 32) - 1
U64_MAX = (1 << 64) - 1
I32_MIN, I32_MAX = -(1 << 31), (1 << 31) - 1

Buffer = Union[bytes, bytearray, memoryview, "array.array[Any]", "mmap.mmap", "ctypes.Array[Any]"]
Size = Union[int, str]
Descriptor = Any  # An int or an object with fileno().
Path = Union[str, bytes, "os.PathLike[str]", "os.PathLike[bytes]"]

E = TypeVar("E", bound=enum.IntEnum)

_SIZE = re.compile(r"\s*([0-9]+)\s*([KMGT]?)(?:i?B)?\s*", re.IGNORECASE)
_DIGITS_MAX = 100  # Leading zeros are allowed; Python refuses thousands of digits.
_SHIFTS = {"": 0, "K": 10, "M": 20, "G": 30, "T": 40}


def _index(value: Any) -> Optional[int]:
    """As a plain int; None if it is none. A bool is a mistake for something else."""
    if type(value) is int:
        return value
    try:
        return None if isinstance(value, bool) else int(operator.index(value))
    except TypeError:
        return None


def integer(name: str, value: Any, low: int = 0, high: int = U32_MAX) -> int:
    """An int from low to high; what has __index__ is one."""
    number = _index(value)
    if number is None:
        raise TypeError(f"{name}: must be an int from {low} to {high}, not {value!r}")
    if not low <= number <= high:
        raise ValueError(f"{name}: must be from {low} to {high}, not {number}")
    return number


def u64(name: str, value: Any) -> int:
    """A number of 64 bits."""
    return integer(name, value, 0, U64_MAX)


def size(name: str, value: Any) -> int:
    """Bytes, as an int or a text such as "256M"; K, M, G and T are powers of 1024."""
    if not isinstance(value, str):
        number = _index(value)
        if number is None:
            raise TypeError(f'{name}: must be an int or a text such as "256M", not {value!r}')
        return integer(name, number, 0, U64_MAX)
    match = _SIZE.fullmatch(value)
    if match is None or len(match[1]) > _DIGITS_MAX:
        raise ValueError(f'{name}: must be bytes or a text such as "256M", not {value!r}')
    return integer(name, int(match[1]) << _SHIFTS[match[2].upper()], 0, U64_MAX)


def boolean(name: str, value: Any) -> bool:
    """True or False; nothing else, as 0 and 1 are often mistakes for something else."""
    if not isinstance(value, bool):
        raise TypeError(f"{name}: must be True or False, not {value!r}")
    return value


def text(name: str, value: Any, longest: Optional[int] = None) -> bytes:
    """A str, encoded for the library."""
    if not isinstance(value, str):
        raise TypeError(f"{name}: must be a str, not {value!r}")
    if "\0" in value:
        raise ValueError(f"{name}: must have no null character, not {value!r}")
    try:
        encoded = value.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise ValueError(f"{name}: must be a text that UTF-8 can encode, not {value!r}") from None
    if longest is not None and len(encoded) > longest:
        raise ValueError(f"{name}: must have at most {longest} bytes, not {len(encoded)}")
    return encoded


def path(name: str, value: Any) -> bytes:
    """A str, bytes or os.PathLike."""
    try:
        encoded = os.fsencode(value)
    except TypeError:
        raise TypeError(f"{name}: must be a path (str, bytes or os.PathLike), not {value!r}") from None
    except UnicodeEncodeError:
        raise ValueError(f"{name}: must be a path that can be encoded, not {value!r}") from None
    if b"\0" in encoded:
        raise ValueError(f"{name}: must have no null character, not {value!r}")
    return encoded


def is_descriptor(value: Any) -> bool:
    """Whether this is an open file by its number or by its object, not by its path."""
    return hasattr(value, "fileno") or _index(value) is not None


def descriptor(name: str, value: Any) -> int:
    """An int, or what the object's fileno() gives."""
    found = value
    if hasattr(value, "fileno"):
        try:
            found = value.fileno()
        except (TypeError, ValueError, OSError) as error:  # It is closed, a class, or has none after all.
            raise ValueError(f"{name}: must be an open file, not {value!r} ({error})") from error
    number = _index(found)
    if number is None:
        raise TypeError(f"{name}: must be a file descriptor or have fileno(), not {value!r}")
    return integer(name, number, 0, I32_MAX)


def member(name: str, kind: Type[E], value: Any) -> E:
    """A member of an enumeration, as such, by its number or by its name."""
    if type(value) is kind:
        return value
    if isinstance(value, str):
        found = kind.__members__.get(value.upper())
        if found is not None:
            return found
        raise ValueError(f"{name}: must be one of {_names(kind)}, not {value!r}")
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name}: must be a {kind.__name__} or one of {_names(kind)}, not {value!r}")
    if value not in tuple(kind.__members__.values()):
        raise ValueError(f"{name}: must be one of {_names(kind)}, not {int(value)}")
    return kind(value)


def _names(kind: Type[enum.IntEnum]) -> str:
    return ", ".join(name.lower() for name in kind.__members__)


def function(name: str, value: Any) -> Callable[..., Any]:
    """Something that can be called."""
    if not callable(value):
        raise TypeError(f"{name}: must be callable, not {value!r}")
    found: Callable[..., Any] = value
    return found


def milliseconds(name: str, value: Any) -> int:
    """Seconds to milliseconds, rounded up; None is -1, for ever."""
    if value is None:
        return -1
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{name}: must be seconds as a number, or None, not {value!r}")
    if not 0 <= value <= I32_MAX / 1000:
        raise ValueError(f"{name}: must be from 0 to {I32_MAX // 1000} seconds, not {value!r}")
    return math.ceil(value * 1000)


def contents(name: str, value: Any) -> memoryview:
    """The bytes of something that has them, such as bytes, bytearray or an array."""
    try:
        view = memoryview(value)
    except TypeError:
        raise TypeError(f"{name}: must be bytes-like, not {value!r}") from None
    if not view.c_contiguous:
        raise ValueError(f"{name}: must be contiguous")
    return view.cast("B")


def instance(name: str, kind: Any, value: Any) -> Any:
    """An object of a class."""
    if not isinstance(value, kind):
        raise TypeError(f"{name}: must be a {kind.__name__}, not {value!r}")
    return value


__all__ = ["Buffer", "Descriptor", "Path", "Size"]
