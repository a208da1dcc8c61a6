# SPDX-License-Identifier: Apache-2.0
"""Owns the table at the end of `python -m nestvirt run --stats`."""

import contextlib
import time
from typing import Any, Dict, Iterator, List, Optional

from ._errors import Error
from ._memory import Placement
from ._placement import ThreadInfo
from ._table import amount, seconds, table
from ._values import Result
from ._vm import VM

_LOOK_SECONDS = 0.5
_PAGE = 4096


class Stats:
    """Figures of one run. Threads are there only while the VM runs: they are looked at now and then."""

    def __init__(self, vm: VM) -> None:
        self._vm = vm
        self._times: Dict[str, float] = {}
        self._started = 0.0
        self._looked = 0.0
        self._threads: List[ThreadInfo] = []
        self._placement: Optional[Placement] = None
        self._console_bytes = 0

    @contextlib.contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Measures what is done inside."""
        start = time.monotonic()
        yield
        self._times[name] = time.monotonic() - start

    def start(self) -> None:
        """The guest starts now."""
        self._started = time.monotonic()

    def look(self) -> None:
        """Reads the threads, if it was long ago."""
        now = time.monotonic()
        if now - self._looked < _LOOK_SECONDS:
            return
        self._looked = now
        threads = self._vm.threads()
        self._threads = threads or self._threads

    def end(self, console: Any) -> None:
        """The guest has ended; the VM is still there."""
        self._times["run"] = time.monotonic() - self._started
        if console.first_output is not None:
            self._times["until first output"] = console.first_output - self._started
        self._console_bytes = console.bytes
        try:
            self._placement = self._vm.memory.get_placement(0)
        except Error:
            pass  # Its row says that it is not known.

    def lines(self, result: Result) -> List[str]:
        """The tables."""
        resident = None if self._placement is None else self._placement.resident * _PAGE
        rows: List[List[object]] = [["ended by", str(result)]]
        rows += [[name, f"{value:.3f} s"] for name, value in self._times.items()]
        rows += [["memory in use", amount(resident)], ["console output", amount(self._console_bytes)]]
        threads = [[one.name, f"{one.kind} {one.index}", one.cpus, str(one.policy), seconds(one.cpu_time_ns),
                    seconds(one.run_delay_ns)] for one in self._threads]
        if not threads:
            return table(("what", "value"), rows)
        return [*table(("what", "value"), rows), "",
                *table(("thread", "kind", "CPUs", "policy", "on a CPU", "waited for one"), threads, right=(4, 5))]
