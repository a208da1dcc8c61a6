# SPDX-License-Identifier: Apache-2.0
"""Owns what the library tells in structures, as objects that stay what they are."""

from dataclasses import dataclass
from typing import Any, Tuple

from ._constants import EventKind, ExitReason, HostFeature, ResultReason, Space, State
from ._library import lib


def _state_name(number: int) -> str:
    name: bytes = lib.nestvirt_vm_state_name(number)
    return name.decode()


def _result_name(number: int) -> str:
    name: bytes = lib.nestvirt_vm_result_name(number)
    return name.decode()


@dataclass(frozen=True)
class Result:
    """How a VM's run ended."""

    reason: ResultReason
    exit_code: int  # Of GUEST_EXIT.
    vcpu: int  # The one that ended the run, if one did.
    suberror: int  # Of INTERNAL_ERROR, as KVM reports it; else 0.
    rip: int  # Of INTERNAL_ERROR and TRIPLE_FAULT, where known.
    instruction: bytes  # At rip.

    @classmethod
    def of(cls, raw: Any) -> "Result":
        """From the library's structure."""
        return cls(ResultReason(raw.reason), raw.exit_code, raw.vcpu, raw.suberror, raw.rip,
                   bytes(raw.instruction)[:raw.instruction_length])

    def __str__(self) -> str:
        if self.reason is ResultReason.GUEST_EXIT:
            return f"{_result_name(self.reason)}, code {self.exit_code}"
        return _result_name(self.reason)


@dataclass(frozen=True)
class Event:
    """Something that happened to a VM. What values hold depends on the kind; see EventKind."""

    kind: EventKind
    vcpu: int  # Where one is concerned.
    time_ns: int  # CLOCK_MONOTONIC, as time.monotonic_ns().
    values: Tuple[int, int, int, int]

    @classmethod
    def of(cls, raw: Any) -> "Event":
        """From the library's structure."""
        values = tuple(raw.values)
        return cls(EventKind(raw.kind), raw.vcpu, raw.time_ns, (values[0], values[1], values[2], values[3]))

    @property
    def old_state(self) -> State:
        """Of STATE."""
        return State(self.values[0])

    @property
    def new_state(self) -> State:
        """Of STATE."""
        return State(self.values[1])

    @property
    def reason(self) -> ResultReason:
        """Of STOPPED."""
        return ResultReason(self.values[0])

    def __str__(self) -> str:
        if self.kind is EventKind.STATE:
            return f"{self.kind}: {_state_name(self.values[0])} to {_state_name(self.values[1])}"
        if self.kind is EventKind.STOPPED:
            return f"{self.kind}: {_result_name(self.values[0])}"
        if self.kind is EventKind.UNHANDLED_EXIT:
            return f"{self.kind}: {'write' if self.values[2] else 'read'} of {self.values[1]} at {self.values[0]:#x}"
        return f"{self.kind}: {', '.join(map(str, self.values))}"


@dataclass(frozen=True)
class HostInfo:
    """What a host offers."""

    api_version: int
    recommended_vcpus: int  # For each VM.
    max_vcpus: int  # Of each VM, that the library allows here.
    max_memory_slots: int  # Of each VM.
    vcpu_mmap_size: int  # Bytes of each vCPU's area shared with the kernel.
    features: HostFeature


@dataclass(frozen=True)
class CPUIDEntry:
    """A CPUID leaf as KVM supports it for guests."""

    leaf: int
    index: int
    is_indexed: bool  # Whether index means something.
    eax: int
    ebx: int
    ecx: int
    edx: int


class Access:
    """
    A guest's access to a handler's range.

    vcpu: number of the vCPU. address: port or guest physical address. offset: the same from the
    start of the range. length: bytes, 1 to 8. is_write: value and data hold what the guest wrote;
    else they are 0 and empty, and the handler's answer is what it reads. space: ports or memory.
    """

    __slots__ = ("vcpu", "address", "offset", "length", "is_write", "data", "_space")

    def __init__(self, raw: Any) -> None:
        self.vcpu: int = raw.vcpu
        self.address: int = raw.address
        self.offset: int = raw.offset
        length: int = raw.length
        self.length = length
        self.is_write: bool = raw.is_write != 0
        self.data = bytes(raw.data)[:length] if self.is_write else b""
        self._space: int = raw.space

    @property
    def value(self) -> int:
        """What the guest wrote, as a number."""
        return int.from_bytes(self.data, "little")

    @property
    def space(self) -> Space:
        """The address space."""
        return Space(self._space)

    def __repr__(self) -> str:
        what = f"write {self.value:#x}" if self.is_write else "read"
        return f"<Access {what}, {self.length} bytes at {self.space} {self.address:#x}>"


class Exit:
    """
    Why a vCPU left guest mode.

    reason: which of the following mean something. vcpu: number of the vCPU. address, length,
    is_write, data, value: of PORT and MMIO, as in Access. code: of DEBUG the exception, of
    INTERNAL_ERROR the suberror, of ENTRY_FAILED the hardware's reason, of UNKNOWN KVM's. rip: of
    these but UNKNOWN. instruction: bytes at rip, of INTERNAL_ERROR.
    """

    __slots__ = ("reason", "vcpu", "address", "length", "is_write", "data", "code", "rip", "instruction")

    def __init__(self, raw: Any) -> None:
        self.reason = ExitReason(raw.reason)
        self.vcpu: int = raw.vcpu
        self.address: int = raw.address
        self.length: int = raw.length
        self.is_write: bool = raw.is_write != 0
        self.data = bytes(raw.data)[:self.length] if self.is_write else b""
        self.code: int = raw.code
        self.rip: int = raw.rip
        self.instruction = bytes(raw.instruction[0:raw.instruction_length])

    @property
    def value(self) -> int:
        """What the guest wrote, as a number."""
        return int.from_bytes(self.data, "little")

    def __repr__(self) -> str:
        if self.reason in (ExitReason.PORT, ExitReason.MMIO):
            what = f"write {self.value:#x}" if self.is_write else "read"
            return f"<Exit {self.reason}: {what}, {self.length} bytes at {self.address:#x}>"
        return f"<Exit {self.reason}, code {self.code}>"
