# SPDX-License-Identifier: Apache-2.0
"""Owns bindings/python/nestvirt/_abi.py and _constants.py: structures, prototypes and constants."""

import keyword
import textwrap
from typing import Dict, Iterator, List

import groups
from headers import Api, Constant, Function, Struct, Type

FOLDER = "python/nestvirt"
HEAD = '''\
# SPDX-License-Identifier: Apache-2.0
"""
{what}

Made by bindings/generate/generate from include/nestvirt. Do not edit.
"""
'''

SCALARS = {
    "void": "None", "int": "c_int", "size_t": "c_size_t",
    **{f"{sign}int{bits}_t": f"c_{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)}}


class Abi:
    """Writes _abi.py."""

    def __init__(self, api: Api) -> None:
        self.api = api
        self.callbacks: Dict[str, str] = {}  # Text of the type, and its name.

    def type(self, kind: Type) -> str:
        """A type as ctypes names it. Handles are plain addresses."""
        if kind.is_function:
            assert kind.result is not None
            parts = [self.type(kind.result)] + [self.type(p.type) for p in kind.parameters]
            text = f"CFUNCTYPE({', '.join(parts)})"
            return self.callbacks.setdefault(text, f"callback_{len(self.callbacks)}")
        pointers = kind.pointers
        if kind.struct:
            if kind.struct in self.api.handles:
                base, pointers = "c_void_p", pointers - 1
            else:
                base = kind.struct
        elif kind.base == "char":
            base, pointers = "c_char_p", pointers - 1
        elif kind.base == "void" and pointers:
            base, pointers = "c_void_p", pointers - 1
        else:
            base = SCALARS[kind.base]
        for _ in range(pointers):
            base = f"POINTER({base})"
        return f"{base} * {kind.count}" if kind.count else base

    def struct(self, struct: Struct) -> Iterator[str]:
        yield ""
        yield ""
        yield f"class {struct.name}(Structure):"
        yield f'    """include/nestvirt/{struct.header}"""'
        yield ""
        yield "    _fields_ = ["
        for one in struct.fields:
            yield f'        ("{one.name}", {self.type(one.type)}),'
        yield "    ]"

    def prototype(self, function: Function) -> str:
        parameters = "".join(f"{self.type(p.type)}, " for p in function.parameters).strip()
        return f'    "{function.name}": ({self.type(function.result)}, ({parameters})),'

    def text(self) -> str:
        structs = [line for struct in self.api.records for line in self.struct(struct)]
        prototypes = [self.prototype(function) for function in self.api.functions.values()]
        lines = [HEAD.format(what="Structures and prototypes of the library."),
                 "from ctypes import (CFUNCTYPE, POINTER, Structure, c_char_p, c_int, c_int32, c_int64, "
                 "c_size_t, c_uint8,",
                 "                    c_uint16, c_uint32, c_uint64, c_void_p)",
                 "from typing import Any, Dict, Tuple", *structs, "", ""]
        for text, name in self.callbacks.items():
            lines.append(f"{name} = {text}")
        lines += ["", "# Of each function: what it returns, and what it takes.",
                  "PROTOTYPES: Dict[str, Tuple[Any, Tuple[Any, ...]]] = {", *prototypes, "}"]
        return "\n".join(lines) + "\n"


def wrapped(text: str, indent: str, before: str = "") -> List[str]:
    """Text as comment lines."""
    return textwrap.wrap(" ".join(text.split()), 110, initial_indent=f"{indent}# {before}",
                         subsequent_indent=f"{indent}# ")


def members(constants: List[Constant], indent: str) -> Iterator[str]:
    for constant in constants:
        name = groups.short(constant)
        if keyword.iskeyword(name):
            name += "_"
        yield from wrapped(constant.comment, indent)
        yield f"{indent}{name} = {constant.value}"


def constants_text(api: Api) -> str:
    """The text of _constants.py."""
    plain: List[str] = []
    classes: List[str] = []
    names: List[str] = []
    for first, constants in groups.split(api).items():
        group = groups.GROUPS.get(first)
        if group is None:
            plain += list(members(constants, ""))
            names += [groups.short(constant) for constant in constants]
            continue
        base = "Flags" if groups.is_flags(constants) else "Number"
        comment = " ".join(constants[0].group_comment.split()).replace('"', "'").rstrip(".")
        doc = [f'    """{group.prefix}*: {comment or "see include/nestvirt/" + constants[0].header}."""']
        if len(doc[0]) > 110:
            doc = textwrap.wrap(doc[0].strip(), 106, initial_indent="    ", subsequent_indent="    ")
        classes += ["", "", f"class {group.type}({base}):", *doc, "", *members(constants, "    ")]
        names.append(group.type)
    lines = [HEAD.format(what="Constants of the library, by enumeration."),
             "from ._enums import Flags, Number", "", *plain, *classes, "", "",
             "__all__ = [", *[f'    "{name}",' for name in sorted(names)], "]"]
    return "\n".join(lines) + "\n"


def files(api: Api) -> Dict[str, str]:
    """What this writes, by the path from bindings/."""
    return {f"{FOLDER}/_abi.py": Abi(api).text(), f"{FOLDER}/_constants.py": constants_text(api)}
