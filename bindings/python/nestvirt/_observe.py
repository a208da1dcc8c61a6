# SPDX-License-Identifier: Apache-2.0
"""Owns run-queue latency: how long the threads of VMs were ready to run and had to wait for a CPU."""

import ctypes
import threading
import weakref
from dataclasses import dataclass
from typing import Any, Optional, Tuple

from . import _check
from ._abi import nestvirt_observer_config, nestvirt_waits
from ._base import VMBase
from ._constants import WAIT_BUCKETS, ObserveKind, ObserverFlag, WaitsFlag, WaitsWeight
from ._handle import Closable, Handle
from ._library import call, lib, struct
from ._texts import read_text

_Numbers = ctypes.c_uint64 * WAIT_BUCKETS


def wait_limits() -> Tuple[int, ...]:
    """
    The nanoseconds at which each bucket of Waits.counts and Waits.times_ns begins; WAIT_BUCKETS numbers.

    A bucket ends before the next one begins, and the last one does not end. They are fixed for good.
    """
    return tuple(lib.nestvirt_waits_get_limit(bucket) for bucket in range(WAIT_BUCKETS))


@dataclass(frozen=True)
class Waits:
    """
    Waits for a CPU that have ended since the VM was added, or since the last Observer.start().

    count: waits. time_ns: nanoseconds that they took together. max_ns: the longest. lost: waits that
    were not seen whole and are in no other figure. preempted: those of count that began with the
    thread being put off its CPU. inferred: those of count that no tracepoint told of, whose length is
    the kernel's own figure. threads, vms: observed now.
    counts, times_ns: the histogram, how many waits took how long, and nanoseconds spent in waits
    that took so long; wait_limits() tells where each bucket begins. Divided by the time that has
    passed, times_ns tells how many threads were waiting on the average.
    is_incomplete: a thread that a later build made could not be observed; Observer.add() says why.

    Where there are only totals (Observer.reason), max_ns, lost, preempted, inferred, counts and
    times_ns are None.
    """

    count: int
    time_ns: int
    max_ns: Optional[int]
    lost: Optional[int]
    preempted: Optional[int]
    inferred: Optional[int]
    threads: int
    vms: int
    counts: Optional[Tuple[int, ...]]
    times_ns: Optional[Tuple[int, ...]]
    is_incomplete: bool

    @classmethod
    def _of(cls, raw: Any, counts: Any, times_ns: Any) -> "Waits":
        flags = WaitsFlag(raw.flags)
        is_incomplete = bool(flags & WaitsFlag.INCOMPLETE)
        if flags & WaitsFlag.TOTALS_ONLY:
            return cls(raw.count, raw.time_ns, None, None, None, None, raw.threads, raw.vms, None, None, is_incomplete)
        return cls(raw.count, raw.time_ns, raw.max_ns, raw.lost, raw.preempted, raw.inferred, raw.threads, raw.vms,
                   tuple(counts), tuple(times_ns), is_incomplete)

    def percentile(self, percent: float, weight: Any = WaitsWeight.COUNT) -> int:
        """
        The nanoseconds that so many of all waits do not exceed; 0 if there was no wait.

        percent: 50 for the median, 99.9, 100 for the longest. weight: WaitsWeight or its name;
        "time": so much of the time was spent in waits that are no longer. Within a bucket it is
        interpolated, so it is off by an eighth at most. UnsupportedError where there are only totals.
        """
        if isinstance(percent, bool) or not isinstance(percent, (int, float)):
            raise TypeError(f"percent: must be a number from 0 to 100, not {percent!r}")
        if not 0 <= percent <= 100:
            raise ValueError(f"percent: must be from 0 to 100, not {percent!r}")
        is_time = _check.member("weight", WaitsWeight, weight) is WaitsWeight.TIME
        raw = struct(nestvirt_waits)
        raw.max_ns = self.max_ns or 0
        numbers = (self.times_ns if is_time else self.counts) or ()
        if not numbers:
            raw.flags = WaitsFlag.TOTALS_ONLY
        found = ctypes.c_uint64()
        call("nestvirt_waits_get_percentile", ctypes.byref(raw), _Numbers(*numbers), WAIT_BUCKETS,
             round(percent * 10000), ctypes.byref(found))
        return found.value


class Observer(Closable):
    """
    Counts how long the threads of VMs were ready to run and had to wait for a CPU.

    It does so by a BPF program, which takes CAP_BPF and CAP_PERFMON (or root) here and not later,
    Linux 6.1 with BTF, and libbpf.so.1. Where one of these is missing there are totals and no
    histogram, and `reason` says why.

    need_bpf: without a histogram there is to be no observer: AccessError without the right,
    UnsupportedError for what else is missing. schedstat: totals are enough; not with need_bpf.

    It keeps no VM, and none needs it: either may be closed first. It counts until it is closed, and
    costs every switch between threads of the host a fraction of a microsecond meanwhile.

        with nestvirt.Observer() as observer:
            observer.add(vm)
            ...
            print(observer.text())
    """

    def __init__(self, *, need_bpf: bool = False, schedstat: bool = False) -> None:
        flags = ObserverFlag.NEED_BPF if _check.boolean("need_bpf", need_bpf) else 0
        flags |= ObserverFlag.SCHEDSTAT if _check.boolean("schedstat", schedstat) else 0
        if need_bpf and schedstat:
            raise ValueError("schedstat: must be False if need_bpf is True")
        config = struct(nestvirt_observer_config)
        config.flags = flags
        pointer = ctypes.c_void_p()
        call("nestvirt_observer_new", ctypes.byref(config), ctypes.byref(pointer))
        self._handle = Handle(pointer.value, "observer", "nestvirt_observer_free")
        weakref.finalize(self, self._handle.close_later, None).atexit = False

    @property
    def reason(self) -> str:
        """Why there are only totals, as a sentence; "" if there is a histogram."""
        with self._handle.gate():
            text: bytes = lib.nestvirt_observer_get_reason(self._handle.pointer)
        return text.decode("utf-8", "replace")

    def _call(self, function: str, vm: Optional[VMBase], *arguments: Any) -> int:
        """Calls a function whose first parameters are the observer and a VM."""
        if vm is None:
            with self._handle.gate():
                return call(function, self._handle.pointer, None, *arguments)
        with self._handle.gate(), vm._handle.gate():
            return call(function, self._handle.pointer, vm._handle.pointer, *arguments)

    def add(self, vm: VMBase, kinds: Optional[ObserveKind] = None) -> None:
        """
        Observes the threads of a VM from now on, and those that later builds make. Any state.

        kinds: such as ObserveKind.VCPU | ObserveKind.LOOP, None for all. For an observed VM, others
        are added; StateError with errno EALREADY if all of them are observed. An event loop that was
        given to the VM is left out. StateError from one of the VM's own functions.
        """
        number = 0
        if kinds is not None:
            if isinstance(kinds, bool) or not isinstance(kinds, int):
                raise TypeError(f"kinds: must be an ObserveKind, not {kinds!r}")
            number = _check.integer("kinds", int(kinds))
        self._call("nestvirt_observer_add", _vm(vm), number)

    def add_thread(self, vm: VMBase, tid: Optional[int] = None) -> None:
        """
        Counts one more thread of this process to an observed VM, such as one that drives its vCPUs by hand.

        tid: as threading.get_native_id() gives it, None for the calling thread. It counts until it
        ends, or the VM is removed. NotFoundError if the VM is not observed, Error with errno ESRCH if
        there is no such thread, BusyError if it counts for another VM.
        """
        number = threading.get_native_id() if tid is None else _check.integer("tid", tid, 1, _check.I32_MAX)
        self._call("nestvirt_observer_add_thread", _vm(vm), number)

    def remove(self, vm: VMBase) -> None:
        """
        No longer observes a VM, whose figures are gone; the total keeps what was counted.

        Closing the VM does the same. NotFoundError if it is not observed.
        """
        self._call("nestvirt_observer_remove", _vm(vm))

    def start(self) -> None:
        """Counts anew from 0, for all VMs and in total, one after the other."""
        with self._handle.gate():
            call("nestvirt_observer_start", self._handle.pointer)

    def read(self, vm: Optional[VMBase] = None) -> Waits:
        """The figures of a VM; None: of all together, those that were removed or closed included."""
        raw = struct(nestvirt_waits)
        counts, times_ns = _Numbers(), _Numbers()
        self._call("nestvirt_observer_read", None if vm is None else _vm(vm), ctypes.byref(raw), counts, times_ns,
                   WAIT_BUCKETS)
        return Waits._of(raw, counts, times_ns)

    def text(self, vm: Optional[VMBase] = None, *, weight: Any = WaitsWeight.COUNT) -> str:
        """
        The figures as a table for people, a row for each power of two in microseconds.

        vm: as in read(). weight: what the rows count, WaitsWeight or its name: "count" for waits,
        "time" for microseconds spent in them. With totals only it is a line with them and the reason.
        """
        number = _check.member("weight", WaitsWeight, weight)
        place = None if vm is None else _vm(vm)
        return read_text(lambda buffer, size: self._call("nestvirt_observer_get_text", place, number, buffer, size))

    def json(self, vm: Optional[VMBase] = None) -> str:
        """The figures as one object of JSON in one line, for json.loads(); observe.h lists its members."""
        place = None if vm is None else _vm(vm)
        return read_text(lambda buffer, size: self._call("nestvirt_observer_get_json", place, buffer, size))


def _vm(vm: Any) -> VMBase:
    if not isinstance(vm, VMBase):
        raise TypeError(f"vm: must be a VM, not {vm!r}")
    return vm
