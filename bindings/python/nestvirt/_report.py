# SPDX-License-Identifier: Apache-2.0
"""Owns the report on a host, and plans: how many VMs fit."""

import ctypes
import weakref
from dataclasses import dataclass
from typing import Any, Iterator, Optional, Tuple

from . import _check
from ._abi import nestvirt_plan, nestvirt_plan_config, nestvirt_report_config, nestvirt_report_item
from ._constants import Answer, ReportGroup
from ._errors import NotFoundError
from ._handle import Closable, Handle
from ._library import call, lib, struct

_NO_LIMIT = _check.U64_MAX


def _limited(number: int) -> Optional[int]:
    return None if number == _NO_LIMIT else number


@dataclass(frozen=True)
class ReportItem:
    """
    A question and its answer.

    name: for programs, such as "nested.vmx". title: for people. answer: Answer.YES, NO or UNKNOWN.
    number: where one is concerned, else 0; None: no limit. reason: why the answer is this one.
    source: where it was read. remedy: what to do about it. Texts are "" where there is nothing to say.
    """

    name: str
    title: str
    answer: Answer
    answer_name: str
    group: ReportGroup
    group_name: str
    number: Optional[int]
    value: str
    reason: str
    source: str
    remedy: str

    def __bool__(self) -> bool:
        """Whether the answer is yes."""
        return self.answer is Answer.YES

    @classmethod
    def _of(cls, raw: Any) -> "ReportItem":
        return cls(raw.name.decode(), raw.title.decode(), Answer(raw.answer),
                   lib.nestvirt_report_answer_name(raw.answer).decode(), ReportGroup(raw.group),
                   lib.nestvirt_report_group_name(raw.group).decode(), _limited(raw.number), raw.value.decode(),
                   raw.reason.decode(), raw.source.decode(), raw.remedy.decode())


@dataclass(frozen=True)
class Plan:
    """
    Whether planned VMs fit: idle, if guests use hardly any of their memory; touched, if they use all.

    idle_vms, touched_vms: how many fit, None where nothing known stops them. Memory is in bytes.
    idle_limit, touched_limit: name of the report's item that stops more, or "". needed, available:
    of what idle_limit limits. unknown: name of an item that may stop them earlier, or "".
    """

    idle: Answer
    touched: Answer
    idle_vms: Optional[int]
    touched_vms: Optional[int]
    idle_memory: int
    touched_memory: int
    descriptors: int
    mappings: int
    threads: int
    needed: int
    available: int
    idle_limit: str
    touched_limit: str
    unknown: str


class Report(Closable):
    """
    What this host's processor, KVM, devices and limits allow; a list of items that does not change.

    root: a folder with a copy of another machine's files, see include/nestvirt/report.h; None: this
    machine. device: KVM's device, None for /dev/kvm; only without a root. It needs no Host, and so
    also tells why opening one fails.

        for item in nestvirt.Report():
            print(item.answer, item.title, item.value, item.reason)
    """

    def __init__(self, root: Optional[_check.Path] = None, *, device: Optional[_check.Path] = None) -> None:
        config = struct(nestvirt_report_config)
        if root is not None:
            config.root = _check.path("root", root)
        if device is not None:
            config.device = _check.path("device", device)
        pointer = ctypes.c_void_p()
        call("nestvirt_report_new", ctypes.byref(config), ctypes.byref(pointer))
        self._handle = Handle(pointer.value, "report", "nestvirt_report_free")
        weakref.finalize(self, self._handle.close).atexit = False
        self._items = tuple(self._read())

    def _read(self) -> Iterator[ReportItem]:
        position = 0
        while True:
            raw = struct(nestvirt_report_item)
            with self._handle.gate():
                try:
                    call("nestvirt_report_get_item", self._handle.pointer, position, ctypes.byref(raw))
                except NotFoundError:
                    return
                yield ReportItem._of(raw)
            position += 1

    @property
    def items(self) -> Tuple[ReportItem, ...]:
        """All items; those of a group follow each other. Also after close()."""
        return self._items

    def __iter__(self) -> Iterator[ReportItem]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def get(self, name: str) -> ReportItem:
        """The item of a name, such as "device.kvm". NotFoundError if there is none."""
        raw = struct(nestvirt_report_item)
        with self._handle.gate():
            call("nestvirt_report_get_named", self._handle.pointer, _check.text("name", name), ctypes.byref(raw))
            return ReportItem._of(raw)

    def plan(self, memory: _check.Size, vms: int = 0, *, vcpus: int = 1, devices: int = 0, files: int = 2) -> Plan:
        """
        Says whether VMs that are all alike fit, by what the report knows.

        memory: RAM of each, bytes or a text such as "256M". vms: how many; 0: only asks how many fit.
        vcpus, devices (disks, network interfaces and the like): of each. files: boot files that each
        keeps, kernel and initrd.
        """
        config = struct(nestvirt_plan_config)
        config.memory_size = _check.size("memory", memory)
        config.vms = _check.integer("vms", vms)
        config.vcpus = _check.integer("vcpus", vcpus)
        config.devices = _check.integer("devices", devices)
        config.files = _check.integer("files", files)
        raw = struct(nestvirt_plan)
        with self._handle.gate():
            call("nestvirt_report_get_plan", self._handle.pointer, ctypes.byref(config), ctypes.byref(raw))
            return Plan(Answer(raw.idle), Answer(raw.touched), _limited(raw.idle_vms), _limited(raw.touched_vms),
                        raw.idle_memory, raw.touched_memory, raw.descriptors, raw.mappings, raw.threads, raw.needed,
                        raw.available, raw.idle_limit.decode(), raw.touched_limit.decode(), raw.unknown.decode())
