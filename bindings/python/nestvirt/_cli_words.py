# SPDX-License-Identifier: Apache-2.0
"""Owns devices as a command line writes them: PATH,name=value,name."""

import argparse
from typing import Any, Callable, Dict, Tuple

from . import _check
from ._constants import PropertyType
from ._device import PropertyInfo, device_properties

_TRUTHS = {"1": True, "0": False, "true": True, "false": False, "yes": True, "no": False, "on": True, "off": False}
_SHORT = {"ro": "read_only"}

Wish = Tuple[str, Dict[str, Any]]


def device(kind: str, first: str = "") -> Callable[[str], Wish]:
    """An argparse type: a device of the kind; the word without a name at the beginning is property `first`."""
    def parse(text: str) -> Wish:
        properties: Dict[str, Any] = {}
        try:
            for number, word in enumerate(text.split(",")) if text else ():
                name, value = _word(kind, first if number == 0 else "", word)
                if name in properties:
                    raise ValueError(f"{name} is there twice")
                properties[name] = value
        except ValueError as error:
            raise argparse.ArgumentTypeError(f'"{text}": {error}') from None
        return kind, properties
    return parse


def _word(kind: str, first: str, word: str) -> Tuple[str, Any]:
    """The name and the value of one word."""
    known = {name: one for name, one in device_properties(kind).items()
             if not one.is_read_only and one.type is not PropertyType.FD}
    name, equals, value = word.partition("=")
    name = _SHORT.get(name, name)
    if first and (not equals or name not in known):
        return first, _value(known[first], word)
    if name not in known:
        raise ValueError(f'{kind} has no property "{name}"; it has {", ".join(known)}')
    return name, _value(known[name], value if equals else None)


def _value(known: PropertyInfo, value: Any) -> Any:
    if known.type is PropertyType.BOOL:
        if value is None:
            return True
        if value.lower() not in _TRUTHS:
            raise ValueError(f'{known.name}: must be yes or no, not "{value}"')
        return _TRUTHS[value.lower()]
    if not value:
        raise ValueError(f"{known.name} needs a value: {known.name}=...")
    if known.type is PropertyType.U64:
        return _check.size(known.name, value)
    return value


def size(text: str) -> int:
    """An argparse type: "256M"."""
    try:
        return _check.size("size", text)
    except ValueError:
        raise argparse.ArgumentTypeError(f'"{text}" is no size such as 256M') from None
