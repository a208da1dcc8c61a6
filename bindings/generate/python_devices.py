# SPDX-License-Identifier: Apache-2.0
"""Owns bindings/python/nestvirt/_devices.py: a class for each kind of device that the library has."""

import textwrap
from typing import Dict, Iterator, List

from devices import Kind, Property
from python import FOLDER, HEAD

# Kinds whose classes can do more than have properties.
BASES = {"serial": "StreamDevice", "console": "StreamDevice", "vsock": "SocketDevice"}
TITLES = {
    "serial": ("Serial", "A serial port, 16550A."),
    "reset": ("Reset", "Reset, power button and power-off."),
    "exit": ("ExitDevice", "A port that ends the run with a code."),
    "vmgenid": ("Vmgenid", "The VM generation ID, another one in each clone."),
    "rng": ("Rng", "Random numbers of the host (virtio 1.2, 5.4)."),
    "blk": ("Blk", "A disk (virtio 1.2, 5.2)."),
    "net": ("Net", "A network interface (virtio 1.2, 5.1)."),
    "console": ("Console", "A console with one or more ports (virtio 1.2, 5.3)."),
    "balloon": ("Balloon", "Memory back to the host (virtio 1.2, 5.5)."),
    "vsock": ("Vsock", "Sockets between guest and host (virtio 1.2, 5.10)."),
}
CLASSES = {"u64": "Number", "bool": "Truth", "string": "Text", "fd": "Descriptor"}
ARGUMENTS = {"u64": "Num", "bool": "Bool", "string": "Str", "fd": "Any"}


def quoted(text: str) -> str:
    """As a Python literal in double quotes."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def attribute(one: Property) -> Iterator[str]:
    kind = "Counter" if one.is_read_only else CLASSES[one.type]
    help_text = one.help + ("; may be set in any state" if one.is_live and not one.is_read_only else "")
    line = f"    {one.name} = {kind}({quoted(help_text)})"
    if len(line) <= 115:
        yield line
        return
    yield f"    {one.name} = {kind}("
    for part in split(help_text, 100):
        yield f"        {quoted(part)}"
    lines_end = "    )"
    yield lines_end


def split(text: str, width: int) -> List[str]:
    """Parts that give the text again when they are put together."""
    lines = textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False)
    return [line + " " for line in lines[:-1]] + lines[-1:]


def packed(words: List[str], before: str, behind: str) -> Iterator[str]:
    """Words with commas between them, in lines that begin below each other."""
    line = before
    for number, word in enumerate(words):
        word += behind if number == len(words) - 1 else ","
        if len(line) + len(word) > 114 and number:
            yield line.rstrip()
            line = " " * len(before)
        line += word + " "
    yield line.rstrip()


def device_class(kind: Kind) -> Iterator[str]:
    name, title = TITLES[kind.name]
    yield from ("", "", f"class {name}({BASES.get(kind.name, 'Device')}):", f'    """{title}"""', "",
                f'    kind = "{kind.name}"')
    for one in kind.properties:
        yield from attribute(one)


def adder(kind: Kind) -> Iterator[str]:
    name, title = TITLES[kind.name]
    settable = [one for one in kind.properties if not one.is_read_only]
    parameters = ["self", "*"] if settable else ["self"]
    parameters += [f"{one.name}: {ARGUMENTS[one.type]} = None" for one in settable]
    head = f"    def add_{kind.name}("
    yield ""
    yield from packed(parameters, head, f") -> {name}:")
    yield f'        """{title} State new. See the attributes of {name}."""'
    if settable:
        values = [f"{one.name}={one.name}" for one in settable]
        yield from packed(values, f"        return self._add_known({name}, dict(", "))")
    else:
        yield f"        return self._add_known({name}, {{}})"


def files(kinds: List[Kind]) -> Dict[str, str]:
    """What this writes, by the path from bindings/."""
    names = [TITLES[kind.name][0] for kind in kinds]
    lines = [HEAD.format(what="The kinds of devices, and their properties.")
             .replace("from include/nestvirt", "by asking a library that was built from the same source"),
             "from typing import Any, Dict, Type", "",
             "from ._adder import AdderBase, Bool, Num, Str",
             "from ._device import Counter, Descriptor, Device, Number, Text, Truth",
             "from ._streams import SocketDevice, StreamDevice"]
    for kind in kinds:
        lines += device_class(kind)
    lines += ["", "", "# Classes by kind.", "CLASSES: Dict[str, Type[Device]] = {"]
    lines += [f'    "{kind.name}": {name},' for kind, name in zip(kinds, names)]
    lines += ["}", "", "", "class DevicesMixin(AdderBase):", '    """Adds devices, one method for each kind."""']
    for kind in kinds:
        lines += adder(kind)
    lines += ["", "", "__all__ = [", *[f'    "{name}",' for name in sorted(names)], "]"]
    return {f"{FOLDER}/_devices.py": "\n".join(lines) + "\n"}
