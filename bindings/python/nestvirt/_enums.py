# SPDX-License-Identifier: Apache-2.0
"""Owns what all constants have in common: numbers of a newer library are taken too."""

import enum
from typing import Any


class Number(enum.IntEnum):
    """One of several values. One that this package does not know becomes a member UNKNOWN_<value>."""

    @classmethod
    def _missing_(cls, value: object) -> Any:
        if not isinstance(value, int):
            return None
        member = int.__new__(cls, value)
        member._name_ = f"UNKNOWN_{value}".replace("-", "MINUS_")
        member._value_ = value
        return member

    def __str__(self) -> str:
        return self._name_.lower().replace("_", " ")


class Flags(enum.IntFlag):
    """Bits of a word. Those that this package does not know are kept."""
