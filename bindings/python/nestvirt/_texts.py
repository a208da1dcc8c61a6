# SPDX-License-Identifier: Apache-2.0
"""Owns reading a text of unknown length that the library writes into a buffer."""

import ctypes
import errno
import os
from typing import Any, Callable

from ._errors import Error

_SIZES = (256, 4096, 65536, 1 << 20)  # The last is beyond all lists of CPUs and paths of Linux.


def read_text(read: Callable[[Any, int], int]) -> str:
    """The text; `read` takes a buffer and its size, and fails with E2BIG if it is too small."""
    for size in _SIZES:
        buffer = ctypes.create_string_buffer(size)
        try:
            read(buffer, size)
        except Error as error:
            if error.code != -errno.E2BIG or size == _SIZES[-1]:
                raise
            continue
        return os.fsdecode(buffer.value)
    raise AssertionError("the last size has ended the loop")
