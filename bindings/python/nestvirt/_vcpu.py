# SPDX-License-Identifier: Apache-2.0
"""Owns virtual CPUs: registers, and driving one by hand."""

import ctypes
from dataclasses import dataclass, fields
from typing import Any, Optional, Type, TypeVar, Union

from . import _check
from ._abi import nestvirt_exit, nestvirt_regs, nestvirt_segment, nestvirt_sregs
from ._base import VMBase
from ._constants import ExitReason
from ._library import call, struct
from ._values import Exit


@dataclass
class Regs:
    """General registers."""

    rax: int = 0
    rbx: int = 0
    rcx: int = 0
    rdx: int = 0
    rsi: int = 0
    rdi: int = 0
    rsp: int = 0
    rbp: int = 0
    r8: int = 0
    r9: int = 0
    r10: int = 0
    r11: int = 0
    r12: int = 0
    r13: int = 0
    r14: int = 0
    r15: int = 0
    rip: int = 0
    rflags: int = 0


@dataclass
class Segment:
    """A segment register with its hidden part; type to unusable are bits of the descriptor."""

    base: int = 0
    limit: int = 0
    selector: int = 0
    type: int = 0
    present: int = 0
    dpl: int = 0
    db: int = 0
    s: int = 0
    l: int = 0
    g: int = 0
    avl: int = 0
    unusable: int = 0


@dataclass
class Sregs:
    """Segment, control and table registers."""

    cs: Segment
    ds: Segment
    es: Segment
    fs: Segment
    gs: Segment
    ss: Segment
    tr: Segment
    ldt: Segment
    gdt_base: int
    idt_base: int
    gdt_limit: int
    idt_limit: int
    cr0: int
    cr2: int
    cr3: int
    cr4: int
    cr8: int
    efer: int
    apic_base: int


D = TypeVar("D", Regs, Segment, Sregs)


def _load(kind: Type[D], raw: Any) -> D:
    values = {}
    for one in fields(kind):
        value = getattr(raw, one.name)
        values[one.name] = _load(Segment, value) if isinstance(value, nestvirt_segment) else value
    return kind(**values)


def _store(value: Any, raw: Any, name: str) -> None:
    for one in fields(value):
        number = getattr(value, one.name)
        target = getattr(raw, one.name)
        if isinstance(target, nestvirt_segment):
            _store(_check.instance(f"{name}.{one.name}", Segment, number), target, f"{name}.{one.name}")
        else:
            bits = 8 * getattr(type(raw), one.name).size
            setattr(raw, one.name, _check.integer(f"{name}.{one.name}", number, 0, (1 << bits) - 1))


class VCPU:
    """
    A vCPU of a VM, by VM.get_vcpu().

    Register calls raise BusyError while it runs guest code: use them in state built or paused,
    between two runs by hand, in the exit handler, or when the VM has stopped.
    """

    def __init__(self, vm: VMBase, pointer: int, index: int) -> None:
        self._vm = vm
        self._pointer = pointer
        self.index = index
        self._exit = struct(nestvirt_exit)

    def _call(self, function: str, *arguments: Any) -> int:
        with self._vm._handle.gate():
            self._vm._handle.check()
            return call(function, self._pointer, *arguments)

    def get_regs(self) -> Regs:
        """All general registers."""
        raw = struct(nestvirt_regs)
        self._call("nestvirt_vcpu_get_regs", ctypes.byref(raw))
        return _load(Regs, raw)

    def set_regs(self, regs: Regs) -> None:
        """Sets all general registers: get them first, then change some."""
        raw = struct(nestvirt_regs)
        _store(_check.instance("regs", Regs, regs), raw, "regs")
        self._call("nestvirt_vcpu_set_regs", ctypes.byref(raw))

    def get_sregs(self) -> Sregs:
        """All segment, control and table registers."""
        raw = struct(nestvirt_sregs)
        self._call("nestvirt_vcpu_get_sregs", ctypes.byref(raw))
        return _load(Sregs, raw)

    def set_sregs(self, sregs: Sregs) -> None:
        """Sets all segment, control and table registers: get them first, then change some."""
        raw = struct(nestvirt_sregs)
        _store(_check.instance("sregs", Sregs, sregs), raw, "sregs")
        self._call("nestvirt_vcpu_set_sregs", ctypes.byref(raw))

    def get_msr(self, index: int) -> int:
        """A model-specific register. NotFoundError if KVM does not know it."""
        value = ctypes.c_uint64()
        self._call("nestvirt_vcpu_get_msr", _check.integer("index", index), ctypes.byref(value))
        return value.value

    def set_msr(self, index: int, value: int) -> None:
        """Sets one. NotFoundError if KVM does not know it or refuses the value."""
        self._call("nestvirt_vcpu_set_msr", _check.integer("index", index), _check.u64("value", value))

    def run(self, answer: Union[int, bytes, None] = None) -> Exit:
        """
        Runs the vCPU on this thread until something happens that no handler takes care of.

        For a VM with manual_vcpus, in state running. answer: after an exit for a read, what the
        guest reads: an int, or as many bytes as the exit's length. Ctrl-C ends it by
        KeyboardInterrupt; it can be run on afterwards. One thread at a time for each vCPU; BusyError
        for another one. Guest trouble is an Exit, not an error.
        """
        with self._vm._handle.gate():
            self._vm._handle.check()
            if answer is not None:
                self._answer(answer)
            call("nestvirt_vcpu_run", self._pointer, ctypes.byref(self._exit))
            found = Exit(self._exit)
        if found.reason is ExitReason.STOPPED:
            self._vm._raise_failure()
        return found

    def _answer(self, answer: Union[int, bytes]) -> None:
        raw = self._exit
        if raw.reason not in (ExitReason.PORT, ExitReason.MMIO) or raw.is_write:
            raise ValueError("answer: the last exit was no read")
        if isinstance(answer, (bytes, bytearray)):
            if len(answer) != raw.length:
                raise ValueError(f"answer: must have {raw.length} bytes, not {len(answer)}")
        else:
            number = _check.integer("answer", answer, 0, (1 << 8 * raw.length) - 1)
            answer = number.to_bytes(raw.length, "little")
        raw.data[0:raw.length] = answer

    def cancel(self) -> None:
        """Makes run() return with CANCELED: the present one, or the next. Any thread. State running."""
        self._call("nestvirt_vcpu_cancel")

    def inject_exception(self, vector: int, error_code: Optional[int] = None) -> None:
        """Queues an exception for the next entry. vector: 0 to 31 but 2."""
        code = 0 if error_code is None else _check.integer("error_code", error_code)
        self._call("nestvirt_vcpu_inject_exception", _check.integer("vector", vector),
                   error_code is not None, code)

    def skip(self, length: int) -> None:
        """Moves the instruction pointer on by 1 to 15 bytes."""
        self._call("nestvirt_vcpu_skip", _check.integer("length", length))

    def __repr__(self) -> str:
        return f"<nestvirt.VCPU {self.index} of {self._vm._handle.label}>"
