# SPDX-License-Identifier: Apache-2.0
"""
Owns devices.go of bindings/go: a struct of options for each kind of device that a library has.

A field that is zero leaves the property's default. Where the default is not zero and zero means
something, the field is a pointer; the library does not tell which these are, so they stand below, and a
test of the package sees that they are all.
"""

from typing import Dict, Iterator, List

from devices import Kind, Property
from go import comment

NAME = "go/devices.go"

# Names that are not the kind's own: Exit is what ends a vCPU's run.
TYPES = {"exit": "ExitDevice", "rng": "RNG", "vmgenid": "VMGenID"}

WORDS = {"fd": "FD", "cid": "CID", "mac": "MAC", "mtu": "MTU", "irq": "IRQ", "oom": "OOM"}

POINTERS = {
    "serial": ("port", "irq"), "reset": ("i8042",), "exit": ("port",), "blk": ("writeback", "discard", "lock"),
    "net": ("link", "offloads", "mrg_rxbuf"), "console": ("consoles", "patience_ms"), "balloon": ("stats",)}

PLAIN = {"u64": "uint64", "bool": "bool", "string": "string", "fd": "syscall.Conn"}


def camel(name: str) -> str:
    """rate_bytes as RateBytes."""
    return "".join(WORDS.get(word, word.capitalize()) for word in name.split("_"))


def type_name(kind: str) -> str:
    """The kind's struct."""
    return TYPES.get(kind, kind.capitalize())


def field(kind: str, one: Property) -> Iterator[str]:
    """One property."""
    pointer = "*" if one.name in POINTERS.get(kind, ()) else ""
    text = one.help + (" (live)" if one.is_live else "")
    if pointer and one.type == "bool":
        text += " (on by default)"
    yield from comment(text, "\t")
    yield f'\t{camel(one.name)} {pointer}{PLAIN[one.type]} `nestvirt:"{one.name}"`'


def struct(kind: Kind) -> Iterator[str]:
    """One kind, and the method that adds it."""
    name = type_name(kind.name)
    yield from comment(f'{name} are the options of a device "{kind.name}". Those that are live may be set at any '
                       "time by Device.Set.", "")
    counters = [one for one in kind.properties if one.is_read_only]
    if counters:
        yield "//"
        yield "// Device.Get reads:"
        yield "//"
        for one in counters:
            yield from comment(f"  - {one.name}: {one.help}", "")
    yield f"type {name} struct {{"
    for one in kind.properties:
        if not one.is_read_only:
            yield from field(kind.name, one)
    yield "}"
    yield ""
    add = "Add" + name.replace("Device", "")
    yield from comment(f'{add} adds a device "{kind.name}" as AddDevice does. State new.', "")
    yield f"func (vm *VM) {add}(options {name}) (*Device, error) {{"
    yield f'\treturn vm.AddDevice("{kind.name}", properties(options))'
    yield "}"
    yield ""


def files(kinds: List[Kind]) -> Dict[str, str]:
    """What this writes, by the path from bindings/."""
    lines = ["// SPDX-License-Identifier: Apache-2.0", "",
             "// Code generated from the library by bindings/generate/generate. DO NOT EDIT.", "",
             "package nestvirt", "", 'import "syscall"', ""]
    for kind in kinds:
        lines += struct(kind)
    return {NAME: "\n".join(lines).rstrip("\n") + "\n"}
